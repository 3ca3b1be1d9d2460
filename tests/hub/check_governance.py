"""What a change of policy would do, and who approves it.

    check_governance.py TOKENWORKS DATA            books in a file
    TW_TEST_POSTGRES=... check_governance.py ...   books in that PostgreSQL
"""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books, bearer  # noqa: E402
from server import run_cases  # noqa: E402

POSTGRES = os.environ.get("TW_TEST_POSTGRES")
POLICY = """
zones:
  - {name: local, trust: 100}
  - {name: cloud, trust: 10}
detectors:
  - {find: email, class: confidential}
rules:
  - {name: own, up-to: internal, allow: [local, cloud]}
  - {name: mail, class: [confidential], redact: [email], left-up-to: internal, allow: [local]}
"""


class Site:
    def __init__(self, program, data, folder):
        self.folder = Path(folder)
        self.data = data
        (self.folder / "hub").mkdir()
        if POSTGRES:
            os.environ["TOKENWORKS_BOOKS_KEYS"] = str(self.folder / "hub")
            psql = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"))[-1]
            subprocess.run([psql, POSTGRES, "-q", "-c", "DROP SCHEMA public CASCADE",
                            "-c", "CREATE SCHEMA public"], check=True, capture_output=True)
        self.books = Books(program, self.folder / "hub", POSTGRES)
        self.policy = self.write("policy.yaml", POLICY)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def serve(self, **more):
        return self.books.serve("--model", Path(self.data, "tokenworks-demo.gguf"), "--ctx", "512",
                                "--policy", self.policy, **more)


def site(function):
    def case(program, data):
        with tempfile.TemporaryDirectory() as folder:
            function(Site(program, data, folder))
    case.__name__ = function.__name__
    return case


def ask(server, key, text, **headers):
    return server.post("/v1/completions", {"prompt": text, "max_tokens": 1},
                       headers={**bearer(key), **headers}).status


@site
def a_policy_is_asked_what_it_would_have_done(it):
    with it.serve() as server:
        assert [ask(server, it.books.key, text) for text in ("a", "b", "to anna@b.example")] == [
            200, 200, 200]
        header = {"x-tokenworks-data-class": "restricted"}
        assert ask(server, it.books.key, "c", **header) == 403
        same = it.books.run("policy", "replay", it.policy, "--period", "all")
        assert "4 requests" in same.stdout and "4 as before" in same.stdout, same.stdout
    assert "0 requests" in it.books.run("policy", "replay", it.policy, "--period", "2020").stdout

    def changes(old, new, code=9):
        path = it.write("new.yaml", POLICY.replace(old, new))
        run = it.books.run("policy", "replay", path, "--period", "all", "--json", check=False)
        assert run.returncode == code, run
        return {(row["change"], row["requests"], row["before"], row["new_rule"], tuple(row["zones"]),
                 row["who"]) for row in json.loads(run.stdout)["changes"]}
    who = "acme/research/chat/ci"
    assert changes("up-to: internal, allow: [local, cloud]", "up-to: internal, allow: [cloud]") == {
        ("refused", 2, "local", "own", (), who)}
    assert changes("name: own, up-to: internal", "name: own, class: [restricted, internal]") == {
        ("refused", 2, "local", "none", (), who),
        ("allowed", 1, "refused", "own", ("local",), who)}
    assert changes("detectors:", "floors: [{who: [acme/research], class: restricted}]\n"
                   "detectors:") == {("refused", 2, "local", "none", (), who),
                                     ("refused", 1, "local", "none", (), who)}
    assert changes("name: mail, ", "name: other, ") == {
        ("replaced", 1, "local", "other", ("local",), who)}
    assert changes("{name: local, trust: 100}", "{name: local, trust: 1}", code=0) == set()
    text = it.books.run("policy", "replay", it.write("none.yaml", POLICY.replace(
        "  - {name: own, up-to: internal, allow: [local, cloud]}\n", "")), "--period", "all",
        check=False)
    assert text.returncode == 9 and "2 of 4 requests would be decided otherwise" in text.stderr
    assert "note: requests are not kept" in text.stdout, text.stdout


CASES = [a_policy_is_asked_what_it_would_have_done]

if __name__ == "__main__":
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, *sys.argv[1:]))
