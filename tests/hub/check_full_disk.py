"""A disk that is full: nothing is given or changed that cannot be recorded, nothing is lost, and
all goes on when there is room again.

    check_full_disk.py TOKENWORKS DATA

The books are in a file system of their own, which is mounted for this process alone.
"""
import contextlib
import http.client
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books, bearer  # noqa: E402
from check_admin import LocalConnection  # noqa: E402
from server import becomes, run_cases  # noqa: E402

ALONE = ("unshare", "--user", "--map-root-user", "--mount")
DISK, MOST_TRIES = "16m", 2000  # until the file's own spare room is used up
SENTENCE = "it cannot be put on record now, so it was not done: no room left"


class Disk:
    """Small, with the books of a server."""

    def __init__(self, program, data, folder):
        self.folder = Path(folder)
        self.books = Books(program, folder)
        self.words = ("--model", Path(data, "tokenworks-demo.gguf"), "--ctx", "512")

    def fill(self):
        with (self.folder / "filler").open("wb", buffering=0) as file, \
                contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

    def make_room(self):
        (self.folder / "filler").unlink()

    def admin(self, command, **fields):
        connection = LocalConnection(self.folder / "admin.sock")
        connection.request("POST", f"/admin/v1/{command}", json.dumps(fields))
        response = connection.getresponse()
        answer = response.status, json.loads(response.read())
        connection.close()
        return answer


def disk(function):
    """A case with a disk of its own."""
    def case(program, data):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "none", folder],
                           check=True)
            try:
                function(Disk(program, data, folder))
            finally:
                subprocess.run(["umount", "--lazy", folder], check=True)
    case.__name__ = function.__name__
    return case


def complete(server, it, **more):
    return server.post("/v1/completions", {"prompt": "Once", "max_tokens": 2, "ignore_eos": True,
                                           **more}, headers=bearer(it.books.key))


def until_refused(function, refused):
    """What was answered before the first refusal, and that."""
    answers = []
    for _ in range(MOST_TRIES):
        answer = function()
        if refused(answer):
            return answers, answer
        answers.append(answer)
    raise AssertionError("nothing is refused on a full disk")


@disk
def requests_are_refused_while_the_disk_is_full(it):
    with it.books.serve(*it.words) as server:
        before = [complete(server, it)]
        it.fill()
        given, refused = until_refused(lambda: complete(server, it), lambda a: a.status != 200)
        assert (refused.status, refused.error["code"]) == (503, "not_recorded"), refused.error
        assert complete(server, it, stream=True).status == 503
        assert server.get("/health").status == 200
        it.make_room()
        assert becomes(lambda: complete(server, it).status == 200, 10)
        assert "no room left" in server.log_text()
    it.books.must_balance()
    n = len(it.books.records("request.settled"))
    assert n == len(before) + len(given) + 1, (n, len(given))
    assert it.books.rows("SELECT count(*) FROM reservation") == [(0,)]


@disk
def what_runs_when_the_disk_becomes_full_is_settled_when_there_is_room(it):
    with it.books.serve(*it.words) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        it.fill()
        until_refused(lambda: complete(server, it), lambda a: a.status != 200)
        it.make_room()
        connection.request("POST", "/v1/completions", json.dumps(
            {"prompt": "Once", "max_tokens": 500, "ignore_eos": True, "stream": True, "n": 8}),
            bearer(it.books.key))
        stream = connection.getresponse()
        assert stream.status == 200
        stream.readline()
        it.fill()
        rest = stream.read()
        assert b"not_recorded" in rest, rest[-300:]
        n = len(it.books.records("request.settled"))
        assert it.books.rows("SELECT count(*) FROM reservation") == [(1,)]
        it.make_room()
        assert becomes(lambda: it.books.rows("SELECT count(*) FROM reservation") == [(0,)], 10)
        assert becomes(lambda: len(it.books.records("request.settled")) +
                       len(it.books.records("request.recovered")) == n + 1)
    it.books.must_balance()


@disk
def commands_are_refused_while_the_disk_is_full(it):
    def set_rpm(rpm):
        return it.admin("team/set", path="acme/research", rpm=rpm)
    numbers = iter(range(1, MOST_TRIES + 1))
    with it.books.serve(*it.words) as server:
        it.fill()
        done, (status, body) = until_refused(lambda: set_rpm(next(numbers)),
                                             lambda answer: answer[0] != 200)
        error = body["error"]
        assert (status, error["code"], error["type"]) == (503, "not_recorded", "server_error"), body
        assert error["message"].startswith(SENTENCE), error
        out = it.books.run("team", "set", "acme/research", "--rpm", "1999999", check=False)
        assert out.returncode == 4 and SENTENCE in out.stderr, (out.returncode, out.stderr)
        status, body = it.admin("team/create", path="acme/other")
        assert (status, body["error"]["code"]) == (503, "not_recorded"), body
        status, body = it.admin("team/create", path="acme/research")
        assert status == 400 and "taken" in body["error"]["message"], body
        it.make_room()
        assert becomes(lambda: it.admin("team/list", path="acme")[0] == 200)
        status, body = it.admin("team/list", path="acme")
        assert status == 200, body
        (team,) = body["teams"]
        assert (team["path"], team.get("rpm")) == ("acme/research", len(done) or None), body
        assert set_rpm(7)[0] == 200
        assert complete(server, it).status == 200
    it.books.must_balance()
    records = it.books.records("config.changed")
    assert [r["after"]["rpm"] for r in records if r["command"] == "team set"] == \
        [*range(1, len(done) + 1), 7], records


CASES = (requests_are_refused_while_the_disk_is_full,
         what_runs_when_the_disk_becomes_full_is_settled_when_there_is_room,
         commands_are_refused_while_the_disk_is_full)

if __name__ == "__main__":
    if sys.argv[-1] != "alone":
        os.execvp(ALONE[0], [*ALONE, sys.executable, *sys.argv, "alone"])
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, *sys.argv[1:3]))
