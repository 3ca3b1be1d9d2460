"""Books of every schema that a program wrote are opened by this one, and are what they were.

    check_old_books.py TOKENWORKS DATA              files, of tests/hub/old/*.db
    TW_TEST_POSTGRES=... check_old_books.py ...     dumps for PostgreSQL, of *.sql

They were made by tools/old_books.py with the program of their day.
"""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books, bearer  # noqa: E402
from server import run_cases  # noqa: E402

POSTGRES = os.environ.get("TW_TEST_POSTGRES")
OLD = sorted(Path(__file__).resolve().parent.glob("old/*." + ("sql" if POSTGRES else "db")))
KEYS = ("pepper", "audit-key", "audit-key.pub")
UNSUPPORTED = 6


def restore(path, folder):
    """Where the books are now."""
    for key in KEYS:
        shutil.copyfile(f"{path}.{key}", Path(folder, key))
        Path(folder, key).chmod(0o600)
    if not POSTGRES:
        shutil.copyfile(path, Path(folder, "books.db"))
        return Path(folder, "books.db")
    psql = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"))[-1]
    for words in (["-c", "DROP SCHEMA public CASCADE; CREATE SCHEMA public"], ["-f", path]):
        subprocess.run([psql, "-q", "-v", "ON_ERROR_STOP=1", *words, POSTGRES], check=True,
                       capture_output=True, timeout=60)
    return POSTGRES


def old(function):
    """A case of all old books, each restored into a folder of its own."""
    def case(program, data):
        assert OLD
        for path in OLD:
            with tempfile.TemporaryDirectory() as folder:
                os.environ["TOKENWORKS_BOOKS_KEYS"] = folder
                books = object.__new__(Books)
                books.program, books.path = program, restore(path, folder)
                facts = json.loads(Path(f"{path}.json").read_text(encoding="ascii"))
                function(books, facts, data)
    case.__name__ = function.__name__
    return case


def usage_of(books):
    report = json.loads(books.run("usage", "--by", "key", "--period", "all", "--format",
                                  "json").stdout)
    return {row["key"]: (row["requests"], row["amount_nano"]) for row in report["rows"]}


@old
def a_reader_says_that_a_writer_is_to_come_first(books, facts, _data):
    def read():
        return books.run("usage", "--period", "all", check=False)
    before = read()
    if before.returncode != 0:
        assert before.returncode == UNSUPPORTED, before
        assert "start once what writes it" in before.stderr
        books.command("org", "set", "acme")
    else:  # of this program's schema: it is read, and has what it had
        usage = {row[0]: tuple(row[1:]) for row in facts["usage"]}
        assert usage and usage_of(books) == usage
    assert read().returncode == 0 and set(usage_of(books)) == {row[0] for row in facts["usage"]}


@old
def every_entry_budget_and_record_is_what_it_was(books, facts, _data):
    books.command("org", "set", "acme")  # writes, and settles what was cut off
    check = books.command("ledger", "check")
    assert check["requests"] == facts["check"]["requests"] and check["open"] == 0
    assert check["windows"] == facts["check"]["windows"]
    usage, before = usage_of(books), {row[0]: tuple(row[1:]) for row in facts["usage"]}
    cut_off = "acme/research/chat/ci"
    assert usage[cut_off][0] == before[cut_off][0] + 1
    assert usage[cut_off][1] >= before[cut_off][1]
    assert usage | {cut_off: None} == before | {cut_off: None}
    assert books.command("audit", "verify")["good"] is True
    budgets = {row["path"]: row for row in books.command("budget", "list")["budgets"]}
    assert set(budgets) == {"acme", "acme/research", "acme/research/chat"}
    spent = sum(amount for _, amount in usage.values())
    assert budgets["acme"]["spent"] == f"{spent / 10**9:.9f}".rstrip("0"), budgets["acme"]
    assert budgets["acme/research"]["spent"] == check["settled_tokens"]
    assert all(row["reserved"] in (0, "0") for row in budgets.values())
    keys = {row["path"]: row for row in books.command("key", "list")["keys"]}
    assert set(keys) == {"acme/research/chat/ci", "acme/research/chat/own"}
    assert keys["acme/research/chat/own"]["user"] == "acme/lea"
    assert keys["acme/research/chat/own"]["rpm"] == 600
    assert len(books.command("key", "list", "--all")["keys"]) == 3
    assert len(books.command("team", "list", "--all")["teams"]) == 2


@old
def its_secrets_open_what_they_opened(books, facts, data):
    secrets = facts["secrets"]
    with books.serve("--model", Path(data, "tokenworks-demo.gguf"), "--ctx", "512") as server:
        def status(secret):
            return server.post("/v1/completions", {"prompt": "a", "max_tokens": 1},
                               headers=bearer(secret)).status
        assert (status(secrets["key"]), status(secrets["own_key"])) == (200, 200)
        assert (status(secrets["revoked_key"]), status(secrets["user"])) == (401, 401)
        env = dict(os.environ, TOKENWORKS_SECRET=secrets["user"])
        books.run("budget", "set", "acme/research", "--limit", "6M", env=env)
        books.run("key", "revoke", "acme/research/chat/own")
        assert status(secrets["own_key"]) == 401
    books.must_balance()


CASES = [a_reader_says_that_a_writer_is_to_come_first,
         every_entry_budget_and_record_is_what_it_was,
         its_secrets_open_what_they_opened]

if __name__ == "__main__":
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, *sys.argv[1:]))
