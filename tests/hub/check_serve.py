"""A server with books: who gets tokens, how many, and what they are told.

    check_serve.py TOKENWORKS DATA
"""
import grp
import http.client
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books, bearer  # noqa: E402
from server import Server, becomes, run_cases, together  # noqa: E402

CLIENTS, PAID, NOBODY = 200, 23, 65534
PROMPT, ANSWER = "Once upon a time", 4


class Site:
    """A server, its books and its model's name."""

    def __init__(self, program, data, folder, *words):
        self.books = Books(program, folder)
        self.model = Path(data, "tokenworks-demo.gguf")
        self.words = ("--model", self.model, "--ctx", "512", *words)

    def serve(self, **more):
        return self.books.serve(*self.words, **more)


def site(function):
    """A case with books of its own."""
    def case(program, data):
        with tempfile.TemporaryDirectory() as folder:
            function(Site(program, data, folder))
    case.__name__ = function.__name__
    return case


def complete(server, key, **more):
    return server.post("/v1/completions",
                       {"prompt": PROMPT, "max_tokens": ANSWER, "ignore_eos": True, **more},
                       headers=bearer(key))


def cost_of(server, key):
    usage = complete(server, key).json["usage"]
    return usage["total_tokens"]


@site
def of_200_at_once_as_many_are_served_as_the_budget_pays(it):
    with it.serve() as server:
        n_tokens = cost_of(server, it.books.key)
    it.books.command("budget", "set", "acme/research", "--unit", "tokens", "--limit",
                     str(PAID * n_tokens), "--period", "total")
    with it.serve() as server:
        answers = together([lambda: complete(server, it.books.key)] * CLIENTS)
    served = [a for a in answers if a.status == 200]
    refused = [a for a in answers if a.status == 429]
    assert (len(served), len(refused)) == (PAID, CLIENTS - PAID), (len(served), len(refused))
    assert all(a.error["code"] == "insufficient_quota" for a in refused)
    assert all(a.headers["x-should-retry"] == "false" for a in refused)
    assert all(a.json["choices"][0]["finish_reason"] == "length" for a in served)
    it.books.must_balance()
    assert len(it.books.records("request.refused")) == CLIENTS - PAID


@site
def a_stream_ends_where_the_budget_does_and_says_so(it):
    it.books.command("budget", "set", "acme", "--unit", "tokens", "--limit", "40", "--period",
                     "day", "--name", "daily")
    with it.serve() as server:
        answer = complete(server, it.books.key, max_tokens=400, stream=True,
                          stream_options={"include_usage": True})
        *chunks, usage = answer.events
        assert usage["usage"]["total_tokens"] == 40, usage
        last = chunks[-1]["choices"][0]
        assert last["finish_reason"] == "length" and "daily" in last["limited_by"], last
        assert complete(server, it.books.key).status == 429
    it.books.must_balance()


@site
def a_revoked_key_asks_no_more_and_its_streams_end_at_once(it):
    other = it.books.make_key("other")
    with it.serve() as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("POST", "/v1/completions", json.dumps(
            {"prompt": PROMPT, "max_tokens": 480, "ignore_eos": True, "stream": True}),
            bearer(it.books.key))
        response = connection.getresponse()
        response.readline()
        it.books.command("key", "revoke", "acme/research/chat/ci")
        revoked = time.monotonic()
        refused = complete(server, it.books.key)
        rest = response.read().decode()
        took_ms = (time.monotonic() - revoked) * 1e3
        assert refused.status == 401 and refused.error["code"] == "invalid_api_key"
        assert '"invalid_api_key"' in rest, rest[-300:]
        assert took_ms < 1000, f"the stream went on for {took_ms:.0f} ms"
        assert complete(server, other).status == 200
        print(f"# the stream ended {took_ms:.1f} ms after the revocation, a request included")
    it.books.must_balance()


@site
def rates_are_kept_and_shown_as_openai_shows_them(it):
    it.books.command("project", "set", "acme/research/chat", "--rpm", "2", "--tpm", "10000")
    with it.serve() as server:
        first = complete(server, it.books.key)
        assert first.status == 200
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert first.headers["x-ratelimit-limit-tokens"] == "10000"
        assert first.headers["x-ratelimit-reset-requests"].endswith("s")
        assert complete(server, it.books.key, stream=True).status == 200
        third = complete(server, it.books.key)
        assert third.status == 429 and third.error["code"] == "rate_limit_exceeded"
        assert 1 <= int(third.headers["retry-after"]) <= 31


@site
def a_project_sees_and_uses_its_models_only(it):
    it.books.command("project", "set", "acme/research/chat", "--models", "another")
    with it.serve() as server:
        assert server.get("/v1/models", headers=bearer(it.books.key)).json["data"] == []
        answer = complete(server, it.books.key, model=it.model.stem)
        assert (answer.status, answer.error["code"]) == (404, "model_not_found")
        it.books.command("project", "set", "acme/research/chat", "--models", it.model.stem)
        assert complete(server, it.books.key, model=it.model.stem).status == 200


@site
def members_of_the_admin_group_reach_the_server_with_a_secret_and_nothing_else(it):
    folder, group = it.books.path.parent, grp.getgrgid(os.getgid()).gr_name
    it.books.command("user", "create", "lea")
    it.books.command("user", "grant", "lea", "--role", "owner")
    secret = it.books.command("user", "secret", "lea")["secret"]
    with it.books.serve(*it.words, "--admin-group", group):
        socket = Path(folder, "admin.sock")
        assert becomes(lambda: socket.exists() and socket.stat().st_mode & 0o777 == 0o660)
        assert folder.stat().st_mode & 0o777 == 0o710
        assert all(Path(folder, name).stat().st_mode & 0o077 == 0
                   for name in ("books.db", "pepper", "audit-key"))
        if os.getuid() == 0:
            member = {"user": NOBODY, "group": os.getgid(), "extra_groups": []}
            alone = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
            mine = dict(os.environ, TOKENWORKS_SECRET=secret)
            assert "acme" in it.books.run("org", "list", env=mine, **member).stdout
            assert "who are you" in it.books.run("org", "list", check=False, **member).stderr
            out = it.books.run("org", "list", check=False, env=mine, **alone)
            assert out.returncode == 4 and "you may not look into" in out.stderr, out


@site
def a_first_start_makes_a_way_in_where_there_is_none_and_shows_secrets_when_it_serves(it):
    with tempfile.TemporaryDirectory() as folder, it.serve() as other:
        path = Path(folder, "hub")
        words = ("--books", path, *it.words)
        it.books.run_bare("org", "create", "early", "--books", path)
        out = it.books.run_bare("serve", *words, "--port", str(other.port), check=False)
        assert out.returncode == 4 and out.stdout == "" and "cannot listen" in out.stderr, out
        check = it.books.run_bare("serve", "--check", *words)
        assert f"ok: books '{path}/books.db', in EUR" in check.stdout
        check = it.books.run_bare("serve", "--check", *words, "--currency", "USD", check=False)
        assert check.returncode == 2 and "are in EUR for ever" in check.stderr
        with Server(it.books.program, *words, stdout=subprocess.PIPE) as server:
            assert becomes(Path(path, "admin.sock").exists)
            key = re.search(r"clients: *(\S+)", server.process.stdout.read1().decode())[1]
            assert complete(server, key).status == 200
        assert "no client can ask" not in server.log_text()
        it.books.run_bare("key", "revoke", "default/default/default/first", "--books", path)
        with Server(it.books.program, *words, stdout=subprocess.PIPE) as server:
            assert becomes(Path(path, "admin.sock").exists)
        assert "no client can ask" in server.log_text()
        assert server.process.stdout.read() == b""


@site
def a_command_that_settles_what_a_dead_server_left_open_says_so(it):
    with it.serve() as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("POST", "/v1/completions", json.dumps(
            {"prompt": PROMPT, "max_tokens": 480, "ignore_eos": True, "stream": True}),
            bearer(it.books.key))
        connection.getresponse().readline()
        server.process.kill()
        server.process.wait()
    assert "requests that a server had left open" in it.books.run("key", "list").stderr
    assert it.books.run("key", "list").stderr == ""


@site
def a_client_that_leaves_pays_what_was_made_for_it(it):
    with it.serve() as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request("POST", "/v1/completions", json.dumps(
            {"prompt": PROMPT, "max_tokens": 480, "ignore_eos": True, "stream": True}),
            bearer(it.books.key))
        connection.getresponse().readline()
        connection.close()
        assert becomes(lambda: it.books.records("request.settled") != [])
        record = it.books.records("request.settled")[0]
        assert record["finish"] == "cancelled" and 1 <= record["output_tokens"] < 480, record
    it.books.must_balance()


@site
def many_answers_of_one_stream_are_covered_and_paid(it):
    with it.serve() as server:
        for n in (64, 3, 64, 128):
            answer = complete(server, it.books.key, n=n, max_tokens=2, stream=True,
                              stream_options={"include_usage": True})
            *chunks, usage = answer.events
            ends = [c for c in chunks if c["choices"][0]["finish_reason"] is not None]
            assert len(ends) == n and usage["usage"]["completion_tokens"] == 2 * n, usage
    it.books.must_balance()
    paid = [record["output_tokens"] for record in it.books.records("request.settled")]
    assert paid == [128, 6, 128, 256], paid


@site
def what_cannot_be_recorded_is_not_given(it):
    """The file of the books may not grow: SQLite's writes fail as on a full disk."""
    with it.serve() as server:
        complete(server, it.books.key)
    size = max(p.stat().st_size for p in it.books.path.parent.glob("books.db*"))
    with it.serve(before=("prlimit", f"--fsize={size + 200000}")) as server:
        answers = [complete(server, it.books.key) for _ in range(400)]
        statuses = [a.status for a in answers]
        assert statuses[0] == 200 and statuses[-1] == 503, (statuses[0], statuses[-1])
        assert answers[-1].error["code"] == "not_recorded"
        assert server.get("/health").status == 200
        n_given = statuses.count(200)
    it.books.must_balance()
    with it.serve() as server:
        assert complete(server, it.books.key).status == 200
    it.books.must_balance()
    assert len(it.books.records("request.settled")) >= n_given + 2


CASES = [of_200_at_once_as_many_are_served_as_the_budget_pays,
         a_stream_ends_where_the_budget_does_and_says_so,
         a_revoked_key_asks_no_more_and_its_streams_end_at_once,
         rates_are_kept_and_shown_as_openai_shows_them,
         a_project_sees_and_uses_its_models_only,
         members_of_the_admin_group_reach_the_server_with_a_secret_and_nothing_else,
         a_first_start_makes_a_way_in_where_there_is_none_and_shows_secrets_when_it_serves,
         a_command_that_settles_what_a_dead_server_left_open_says_so,
         a_client_that_leaves_pays_what_was_made_for_it,
         many_answers_of_one_stream_are_covered_and_paid,
         what_cannot_be_recorded_is_not_given]

if __name__ == "__main__":
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, sys.argv[1], sys.argv[2]))
