"""What is left of somebody who was erased: nothing, in any file of the books.

    check_erasure.py TOKENWORKS DATA            books in a file
    TW_TEST_POSTGRES=... check_erasure.py ...   books in that PostgreSQL, whose folder is searched
"""
import base64
import http.client
import json
import os
import re
import shutil
import sqlite3
import subprocess
import re
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books, bearer  # noqa: E402
from server import becomes, run_cases  # noqa: E402

MARKER = "Zyxwvut-Marker-4711"
KEY_BYTES = 32
TOOL = {"type": "function", "function": {"name": "look", "parameters": {
    "type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}}
POSTGRES = os.environ.get("TW_TEST_POSTGRES")


def forms(name, data):
    """The forms in which something might be found again: (what, bytes)."""
    encoded = base64.b64encode
    cut = [encoded(data[k:])[4:-4] for k in range(3)]  # within something longer, at any place
    return [(name, data), (f"{name} in hexadecimal", data.hex().encode()),
            (f"{name} in HEXADECIMAL", data.hex().upper().encode()),
            *((f"{name} in base64", part) for part in cut if len(part) >= 12)]


def forms_of_text(text):
    data = text.encode()
    more = [form for k in ("utf-16-le", "utf-16-be") for form in forms(k, text.encode(k))]
    return forms("the marker", data) + more


def search(folders, wanted):
    """Where what is wanted stands in files: [(what, file)]."""
    found = []
    for path in (path for folder in folders for path in sorted(Path(folder).rglob("*"))):
        if path.is_file() and not path.is_symlink():
            data = path.read_bytes()
            found += [(name, path.name) for name, form in wanted if form in data]
    return found


def psql():
    return str(sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"))[-1])


class Site:
    """Books whose project stores content, and a server whose log lies beside them."""

    def __init__(self, program, data, folder):
        self.folder = Path(folder, "books")
        self.folder.mkdir()
        self.model = Path(data, "tokenworks-demo.gguf")
        if POSTGRES:
            os.environ["TOKENWORKS_BOOKS_KEYS"] = str(self.folder)
            subprocess.run([psql(), POSTGRES, "-c", "DROP SCHEMA public CASCADE",
                            "-c", "CREATE SCHEMA public"], check=True, capture_output=True)
        self.books = Books(program, self.folder, POSTGRES)
        self.books.command("project", "set", "acme/research/chat", "--store-content")
        self.copies = [self.folder]
        if POSTGRES:
            self.copies.append(Path(re.search("host=([^&]*)", POSTGRES)[1]))

    def serve(self):
        return self.books.serve("--model", self.model, "--ctx", "512")

    def key_bytes(self):
        return [path.read_bytes()[:KEY_BYTES] for path in Path(self.folder, "subjects").iterdir()]

    def wanted(self, keys):
        return forms_of_text(MARKER) + [form for key in keys for form in forms("the key", key)]

    def settle(self):
        """What PostgreSQL has in memory is in its files."""
        if POSTGRES:
            subprocess.run([psql(), POSTGRES, "-c", "CHECKPOINT"], check=True, capture_output=True)

    def back_up(self):
        """As an administrator does, while the server runs; keys are kept elsewhere."""
        if POSTGRES:
            return
        to = Path(self.folder, "backup.db")
        source, target = sqlite3.connect(self.books.path), sqlite3.connect(to)
        with target:
            source.backup(target)
        source.close()
        target.close()


def ask_all(it, server):
    """Requests with the marker as user, in prompt and answer; their ids."""
    headers = bearer(it.books.key)
    answers = [
        server.post("/v1/completions", {"prompt": f"Say {MARKER}", "max_tokens": 8, "user": MARKER,
                                        "echo": True}, headers=headers),
        server.chat(f"My name is {MARKER}.", headers=headers, max_tokens=8,
                    safety_identifier=MARKER, stop=[MARKER]),
        server.post("/v1/completions", {"prompt": MARKER, "max_tokens": 8, "stream": True,
                                        "user": MARKER}, headers=headers),
        server.post("/v1/embeddings", {"input": MARKER, "user": MARKER}, headers=headers)]
    assert [a.status for a in answers] == [200] * 4, [a.body for a in answers]
    server.post("/v1/completions", {"prompt": MARKER, "max_tokens": 0, "n": 200, "user": MARKER},
                headers=headers)  # refused
    return answers[0].json["id"], answers[1].json["id"]


def read_before(it, requests):
    """What is there is shown; the subject, as the books have it."""
    for request in requests:
        shown = it.books.run("content", "show", request, "--json").stdout
        assert MARKER in shown and json.loads(shown)["is_as_recorded"], shown
    exported = it.books.run("subject", "export", MARKER).stdout.splitlines()
    assert len(exported) == 4 and all(MARKER in line for line in exported)
    return bytes.fromhex(json.loads(shown)["subject"])


def find_before(it, keys, subject):
    """The key is found where it belongs and nowhere else, and the store's files are searched."""
    found = search(it.copies, it.wanted(keys))
    assert [name for name, _ in found] == ["the key"], found
    assert search([Path(it.folder, "subjects")], it.wanted(keys)) == found
    it.settle()
    stores = {name for _, name in search(it.copies, [("the subject", subject)])}
    assert any(name.isdigit() and len(name) < 10 for name in stores) if POSTGRES \
        else "books.db" in stores, stores


def nothing_is_found_of_a_subject_that_was_erased(program, data):
    with tempfile.TemporaryDirectory() as folder:
        it = Site(program, data, folder)
        with it.serve() as server:
            requests = (*ask_all(it, server), "3", "4")
            log = server.log_text()
        with it.serve() as server:
            subject = read_before(it, requests)
            keys = it.key_bytes()
            assert len(keys) == 1
            find_before(it, keys, subject)
            it.back_up()
            certificate = it.books.command("subject", "erase", MARKER)
            assert certificate["keys"] == 1 and certificate["requests"] == 4, certificate
            for request in requests:
                out = it.books.run("content", "show", request, check=False)
                assert out.returncode == 3 and "erased" in out.stderr, out
            it.settle()
            it.back_up()
            Path(it.folder, "server.log").write_text(log + server.log_text(), encoding="utf-8")
            assert search(it.copies, it.wanted(keys)) == []
        Path(it.folder, "server.log").write_text(log + server.log_text(), encoding="utf-8")
        assert search(it.copies, it.wanted(keys)) == []
        check_proof(it, folder, certificate)


def check_proof(it, folder, certificate):
    """The books balance, and the log has the erasure where the certificate says."""
    checkpoint = Path(folder, "checkpoint")
    checkpoint.write_text(certificate["checkpoint"], encoding="ascii")
    report = it.books.command("audit", "verify", "--checkpoint", str(checkpoint))
    assert report["good"] and report["last"] >= certificate["record"], report
    it.books.must_balance()
    records = it.books.command("audit", "list", "--kind", "subject.erased")["records"]
    assert [(r["seq"], r["body"]["object"]) for r in records] == \
        [(certificate["record"], certificate["subject"])], records


def the_search_finds_what_is_there(*_):
    """In each form, in the middle of other bytes."""
    key = bytes(range(100, 100 + KEY_BYTES))
    wanted = forms_of_text(MARKER) + forms("the key", key)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file")
        for data in (MARKER.encode(), MARKER.encode("utf-16-le"), MARKER.encode("utf-16-be"), key):
            for shape in (data, data.hex().encode(), data.hex().upper().encode(),
                          *(base64.b64encode(b"x" * k + data + b"yz") for k in range(3))):
                path.write_bytes(b"before" * 100 + shape + b"behind" * 100)
                assert search([folder], wanted), shape
        path.write_bytes(os.urandom(100000))
        assert not search([folder], wanted)


def a_backup_of_the_keys_that_is_put_back_is_erased_again(program, data):
    with tempfile.TemporaryDirectory() as folder:
        it = Site(program, data, folder)
        with it.serve() as server:
            ask_all(it, server)
        keys = it.key_bytes()
        shutil.copytree(Path(it.folder, "subjects"), Path(folder, "kept"))
        it.books.command("subject", "erase", MARKER)
        shutil.copytree(Path(folder, "kept"), Path(it.folder, "subjects"), dirs_exist_ok=True)
        shutil.rmtree(Path(folder, "kept"))
        assert search([it.folder], it.wanted(keys)) != []
        with it.serve():
            out = it.books.run("content", "show", "1", check=False)
            assert out.returncode == 3 and "erased" in out.stderr, out
        assert search(it.copies, it.wanted(keys)) == []


def a_replay_is_equal_or_says_why_not(program, data):
    with tempfile.TemporaryDirectory() as folder:
        it = Site(program, data, folder)
        headers = bearer(it.books.key)
        with it.serve() as server:
            for more in ({"temperature": 1.5, "n": 2, "logit_bias": {"300": 2.5}},
                         {"temperature": 0.8, "seed": 7, "stop": ["e"], "top_p": 0.9},
                         {"temperature": 0, "max_tokens": 40, "stream": True},
                         {"guided_regex": "[a-z ]+"}, {"guided_choice": ["yes", "no"]},
                         {"guided_json": {"type": "object", "required": ["a"], "properties":
                                          {"a": {"type": "integer"}}}}):
                answer = server.post("/v1/completions", {"prompt": "Once upon", "max_tokens": 24,
                                                         **more}, headers=headers)
                assert answer.status == 200, answer.body

            def replay(request, model=it.model, **more):
                return it.books.run("audit", "replay", request, "--model", str(model), "--json",
                                    check=False, **more)
            answer = server.chat("What is it?", headers=headers, max_tokens=60, tools=[TOOL],
                                 tool_choice="required")
            assert answer.status == 200, answer.body
            for request in ("1", "2", "3", "4", "5", "6", "7"):
                out = replay(request)
                assert out.returncode == 0 and json.loads(out.stdout)["equal"], out
            other = replay("1", env={**os.environ, "TW_CPU": "ref"})
            if it.books.command("content", "show", "1")["isa"] != "ref":
                assert other.returncode != 0 and "the instruction set" in other.stderr, other
            another = Path(folder, "another.gguf")
            another.write_bytes(it.model.read_bytes() + b"\0" * 32)
            assert "model's digest" in replay("1", another).stderr
            assert "not comparable" in replay("99").stderr
            shown = it.books.run("subject", "erase", "acme/research/chat", "--kind",
                                 "project").stdout
            assert all(re.match("[a-z_]+  |  ", line) for line in shown.splitlines()), shown
            gone = replay("1")
            assert gone.returncode == 3 and "erased" in gone.stderr, gone


def what_a_client_got_before_it_left_is_replayed_as_a_beginning(program, data):
    with tempfile.TemporaryDirectory() as folder:
        it = Site(program, data, folder)
        with it.serve() as server:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
            connection.request("POST", "/v1/completions", json.dumps(
                {"prompt": "Once", "max_tokens": 480, "ignore_eos": True, "stream": True}),
                bearer(it.books.key))
            connection.getresponse().readline()
            connection.close()
            shown = ("content", "show", "1")
            assert becomes(lambda: it.books.run(*shown, check=False).returncode == 0)
            answer = it.books.command(*shown)["answers"][0]
            assert answer["finish"] == "cancelled" and 1 <= answer["tokens"] < 480, answer
            report = it.books.command("audit", "replay", "1", "--model", str(it.model))
            assert report["equal"] and report["tokens"] == answer["tokens"], report


def a_replay_finds_that_the_server_computed_with_damaged_weights(program, data):
    """In the file of packed weights, of which no digest is taken at each start."""
    with tempfile.TemporaryDirectory() as folder:
        it = Site(program, data, folder)
        copies = [Path(folder, name, "m.gguf") for name in ("served", "kept")]
        for path in copies:
            path.parent.mkdir()
            shutil.copy(it.model, path)
        it.model = copies[0]
        with it.serve():
            pass
        packed = Path(f"{copies[0]}.twpack")
        data = bytearray(packed.read_bytes())
        for at in range(len(data) // 4, len(data) // 2, 64):
            data[at] ^= 0x55
        packed.write_bytes(data)
        with it.serve() as server:
            answer = server.post("/v1/completions", {"prompt": "Once upon a time", "max_tokens": 40,
                                                     "temperature": 0, "ignore_eos": True},
                                 headers=bearer(it.books.key))
            assert answer.status == 200, answer.body
            out = it.books.run("audit", "replay", "1", "--model", str(copies[1]), "--json",
                               check=False)
            assert out.returncode == 9 and "differs at byte" in out.stderr, out
            assert json.loads(out.stdout)["equal"] is False


CASES = [the_search_finds_what_is_there,
         nothing_is_found_of_a_subject_that_was_erased,
         a_backup_of_the_keys_that_is_put_back_is_erased_again,
         a_replay_is_equal_or_says_why_not,
         what_a_client_got_before_it_left_is_replayed_as_a_beginning,
         a_replay_finds_that_the_server_computed_with_damaged_weights]

if __name__ == "__main__":
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, sys.argv[1], sys.argv[2]))
