"""Makes books as a program of its day writes them, for tests of later ones that open them:

    old_books.py TOKENWORKS DATA FOLDER             a file, books-VERSION.db
    TW_TEST_POSTGRES=... old_books.py ...           a dump of that PostgreSQL, books-VERSION.sql

VERSION is that of the schema. Beside each lie the keys of the books (.pepper, .audit-key,
.audit-key.pub) and what the program said of them (.json), with secrets, which open nothing else.
Holders, users, prices, budgets, requests, an audit log; one request was cut off.
"""
import http.client
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests/hub"))
from books import Books, bearer  # noqa: E402

KEYS = ("pepper", "audit-key", "audit-key.pub")
N_REQUESTS = 5
PAGE_BYTES = 1024


def fill(books):
    """Two more keys, one of a user and one that was revoked; budgets of both kinds."""
    secrets = {"key": books.key}
    books.command("user", "create", "acme/lea")
    books.command("user", "grant", "acme/lea", "--role", "finance")
    secrets["user"] = books.command("user", "secret", "acme/lea")["secret"]
    secrets["own_key"] = books.command("key", "create", "acme/research/chat/own", "--user",
                                       "acme/lea", "--rpm", "600")["secret"]
    secrets["revoked_key"] = books.make_key("old")
    books.command("key", "revoke", "acme/research/chat/old")
    books.command("budget", "set", "acme", "--limit", "100", "--period", "total")
    books.command("budget", "set", "acme/research", "--limit", "5M", "--unit", "tokens",
                  "--rollover")
    books.command("budget", "set", "acme/research/chat", "--limit", "1", "--soft")
    books.command("team", "create", "acme/gone")
    books.command("team", "close", "acme/gone")
    return secrets


def ask(books, secrets, data):
    """Whole answers, and one that the end of the server cut off."""
    with books.serve("--model", Path(data, "tokenworks-demo.gguf"), "--ctx", "512") as server:
        for i in range(N_REQUESTS):
            key = secrets["own_key" if i % 2 else "key"]
            answer = server.post("/v1/completions", {"prompt": f"Once {i}", "max_tokens": 4 + i},
                                 headers=bearer(key))
            assert answer.status == 200, answer.body
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("POST", "/v1/completions",
                           json.dumps({"prompt": "Once", "stream": True, "max_tokens": 400}),
                           bearer(secrets["key"]))
        assert connection.getresponse().readline()
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()


def facts_of(books):
    """What is to be the same for a later program; the request that was cut off is still open."""
    check = books.command("ledger", "check")
    assert check["open"] == 1, check
    usage = json.loads(books.run("usage", "--by", "key", "--period", "all", "--format",
                                 "json").stdout)
    return {"check": check, "usage": [[row["key"], row["requests"], row["amount_nano"]]
                                      for row in usage["rows"]]}


def small_copy(path, out):
    """The same rows on smaller pages."""
    shutil.copy(path, out)
    for ending in ("-wal",):
        if Path(f"{path}{ending}").exists():
            shutil.copy(f"{path}{ending}", f"{out}{ending}")
    copy = sqlite3.connect(out, isolation_level=None)
    copy.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    copy.execute("PRAGMA journal_mode = DELETE")
    copy.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    copy.execute("VACUUM")
    version = copy.execute("SELECT version FROM schema_version").fetchone()[0]
    copy.close()
    return version


def dump(address, out):
    tools = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    words = ["--inserts", "--no-owner", "--no-privileges", address]
    text = subprocess.run([tools / "pg_dump", *words], check=True, capture_output=True,
                          text=True).stdout
    lines = [line for line in text.splitlines()
             if line and not line.startswith(("--", "\\", "SET ", "SELECT pg_catalog"))]
    version = next(line for line in lines if line.startswith("INSERT INTO public.schema_version"))
    out.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return int(version.rsplit(", ", 1)[1].rstrip(");"))


def main(program, data, folder):
    address = os.environ.get("TW_TEST_POSTGRES")
    folder = Path(folder)
    with tempfile.TemporaryDirectory() as work:
        os.environ["TOKENWORKS_BOOKS_KEYS"] = work
        books = Books(program, work, address)
        secrets = fill(books)
        ask(books, secrets, data)
        facts = facts_of(books) | {"secrets": secrets}
        new = folder / "books-new"
        version = dump(address, new) if address else small_copy(books.path, new)
        name = f"books-{version}"
        ending = "sql" if address else "db"
        new.rename(folder / f"{name}.{ending}")
        for key in KEYS:
            shutil.copyfile(Path(work, key), folder / f"{name}.{ending}.{key}")
        (folder / f"{name}.{ending}.json").write_text(json.dumps(facts, indent=1) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
