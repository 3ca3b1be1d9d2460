"""Books for a test: made by the program's own commands, asked by SQL."""
import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "http"))
from server import Server, bearer  # noqa: E402,F401


class Books:
    """In a folder, or at another address, with acme/research/chat, a price and a key. Those of a
    folder are made once, by commands, and copied: that is most of the time of many small cases."""

    first, first_key = None, None

    def __init__(self, program, folder, address=None):
        self.program, self.path = program, address or Path(folder, "books.db")
        if address is not None:
            self.key = self.make()
            return
        if Books.first is None:
            made = tempfile.TemporaryDirectory()
            self.path = Path(made.name, "books.db")
            Books.first_key = self.make()
            Books.first, self.path = made, Path(folder, "books.db")
        self.key = Books.first_key
        for file in Path(Books.first.name).iterdir():
            if file.is_file():
                shutil.copy2(file, folder)

    def make(self):
        for group, path in (("org", "acme"), ("team", "acme/research"),
                            ("project", "acme/research/chat")):
            self.command(group, "create", path)
        self.command("price", "set", "*", "--input", "1", "--cached", "0.5", "--output", "2")
        return self.make_key("ci")

    def run_bare(self, *words, check=True, program=None, **more):
        return subprocess.run([program or self.program, *words], check=check, capture_output=True,
                              text=True, timeout=120, **more)

    def run(self, *words, check=True, **more):
        return self.run_bare(*words, "--books", self.path, check=check, **more)

    def command(self, *words):
        return json.loads(self.run(*words, "--json").stdout)

    def make_key(self, name):
        return self.command("key", "create", f"acme/research/chat/{name}")["secret"]

    def serve(self, *words, **more):
        return Server(self.program, "--books", self.path, *words, **more)

    def rows(self, sql, *values):
        """Over a connection of its own, that only reads."""
        if str(self.path).startswith("postgres:"):
            return self.postgres_rows(sql, *values)
        connection = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=60)
        try:
            return connection.execute(sql, values).fetchall()
        finally:
            connection.close()

    def postgres_rows(self, sql, *values):
        psql = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"))[-1]
        for value in values:
            text = str(value).replace("'", "''")
            sql = sql.replace("?", str(value) if isinstance(value, int) else f"'{text}'", 1)
        out = subprocess.run([psql, self.path, "-AtXq", "-v", "ON_ERROR_STOP=1", "-c",
                              f"SELECT row_to_json(t) FROM ({sql}) t"], check=True,
                             capture_output=True, text=True, timeout=60).stdout
        return [tuple(value for _, value in json.loads(line, object_pairs_hook=list))
                for line in out.splitlines()]

    def write(self, sql):
        """As somebody with the database might; PostgreSQL only."""
        psql = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"))[-1]
        subprocess.run([psql, self.path, "-Xq", "-v", "ON_ERROR_STOP=1", "-c", sql], check=True,
                       capture_output=True, timeout=60)

    def records(self, kind):
        return [json.loads(body) for body, in
                self.rows("SELECT body FROM audit WHERE kind = ? ORDER BY seq", kind)]

    def must_balance(self):
        out = self.run("ledger", "check", check=False)
        assert out.returncode == 0, f"{out.stdout}{out.stderr}"
