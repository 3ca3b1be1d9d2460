"""A hub in front of other servers: real ones, and one that misbehaves as it is told.

    check_relay.py TOKENWORKS DATA
"""
import http.client
import json
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books, bearer  # noqa: E402
from server import Server, becomes, resident_bytes, run_cases, together  # noqa: E402

CHUNK = 'data: {"id":"x","choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
LAST = ('data: {"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        'data: {"id":"x","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
        'data: [DONE]\n\n')
STREAM = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


class Fake:
    """A server that answers every POST with the bytes given, piece after piece, and then closes the
    connection; `requests` are the bodies that it got."""

    def __init__(self, *pieces, wait=0.0):
        self.pieces, self.wait, self.requests, self.n_gone = pieces, wait, [], 0
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(client,), daemon=True).start()

    def serve(self, client):
        with client:
            data = b""
            while b"\r\n\r\n" not in data:
                part = client.recv(65536)
                if not part:
                    return
                data += part
            head, _, body = data.partition(b"\r\n\r\n")
            if head.startswith(b"GET"):
                client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
                               b"Connection: close\r\n\r\n{}")
                return
            length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
                          if line.startswith(b"content-length"))
            while len(body) < length:
                body += client.recv(65536)
            self.requests.append(json.loads(body))
            try:
                for piece in self.pieces:
                    client.sendall(piece.encode())
                    time.sleep(self.wait)
            except OSError:
                self.n_gone += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


def answer(status, value):
    body = json.dumps(value)
    return (f"HTTP/1.1 {status} Text\r\nContent-Type: application/json\r\nConnection: close\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}")


class Site:
    def __init__(self, program, data, folder):
        self.program, self.folder = program, Path(folder)
        self.model = Path(data, "tokenworks-demo.gguf")
        self.books = Books(program, self.folder / "books-folder")

    def node(self):
        return Server(self.program, "--model", self.model)

    def write(self, *backends):
        """A file with a backend for each (name, url, kind). The first one is by far the fastest, so
        it is asked first."""
        rows = [{"name": name, "url": url, "kind": kind, "zone": f"zone-of-{name}",
                 "weight": 1 if n > 0 else 100000,
                 "models": [{"name": "far", "upstream": "tokenworks-demo", "ctx": 2048}]}
                for n, (name, url, kind) in enumerate(backends)]
        path = self.folder / "serve.yaml"
        path.write_text(json.dumps({"backends": rows}), encoding="ascii")
        return path

    def hub(self, *backends):
        return self.books.serve("--config", self.write(*backends))


def site(function):
    def case(program, data):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "books-folder").mkdir()
            function(Site(program, data, folder))
    case.__name__ = function.__name__
    return case


def url_of(server):
    return f"http://127.0.0.1:{server.port}"


def ask(hub, key, **more):
    return hub.post("/v1/chat/completions",
                    {"model": "far", "temperature": 0, "max_tokens": 24,
                     "messages": [{"role": "user", "content": "What is a budget?"}], **more},
                    headers=bearer(key))


@site
def an_answer_of_another_server_is_the_same_and_is_paid_as_that_counts(it):
    with it.node() as node, it.hub(("n1", url_of(node), "tokenworks")) as hub:
        direct = node.chat("What is a budget?", max_tokens=24).json
        whole = ask(hub, it.books.key).json
        events = ask(hub, it.books.key, stream=True,
                     stream_options={"include_usage": True}).events
        plain = ask(hub, it.books.key, stream=True).events
    text = direct["choices"][0]["message"]["content"]
    assert whole["choices"][0]["message"]["content"] == text and whole["model"] == "far"
    assert whole["usage"]["prompt_tokens"] == direct["usage"]["prompt_tokens"]
    for stream in (events, plain):
        parts = [c["delta"].get("content") or "" for e in stream for c in e["choices"]]
        assert "".join(parts) == text
    assert events[-1]["choices"] == [] and events[-1]["usage"]["completion_tokens"] == 24
    assert all("usage" not in event for event in plain)
    records = it.books.records("request.settled")
    assert [(r["prompt_tokens"], r["output_tokens"]) for r in records] == \
        [(direct["usage"]["prompt_tokens"], 24)] * 3, records
    assert all(r["route"] == {"backend": "n1", "zone": "zone-of-n1"} for r in records)
    it.books.must_balance()


@site
def embeddings_are_passed_on(it):
    with it.node() as node, it.hub(("n1", url_of(node), "tokenworks")) as hub:
        direct = node.post("/v1/embeddings", {"input": ["one", "two"]}).json
        relayed = hub.post("/v1/embeddings", {"model": "far", "input": ["one", "two"]},
                           headers=bearer(it.books.key)).json
    assert relayed["data"] == direct["data"] and relayed["model"] == "far"
    assert it.books.records("request.settled")[0]["prompt_tokens"] == \
        direct["usage"]["prompt_tokens"]


@site
def who_leaves_ends_it_there_too_and_pays_what_came(it):
    with it.node() as node, it.hub(("n1", url_of(node), "tokenworks")) as hub:
        body = json.dumps({"model": "far", "prompt": "a", "max_tokens": 1900, "ignore_eos": True,
                           "stream": True}).encode()
        with socket.create_connection(("127.0.0.1", hub.port)) as client:
            client.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nAuthorization: "
                           b"Bearer %s\r\nContent-Length: %d\r\n\r\n%s"
                           % (it.books.key.encode(), len(body), body))
            assert client.recv(65536).startswith(b"HTTP/1.1 200")
        assert becomes(lambda: node.metric("num_requests_running") == 0)
        assert becomes(lambda: node.metric("http_clients_gone_total") == 1)
        n_made = node.metric("generation_tokens_total")
    record, = it.books.records("request.settled")
    assert record["finish"] == "cancelled", record
    assert 0 < record["output_tokens"] <= n_made < 1900, (record, n_made)
    it.books.must_balance()


@site
def one_that_does_not_answer_is_passed_over(it):
    with Fake(answer(500, {"error": {"message": "broken"}})) as broken, it.node() as node, \
            it.hub(("broken", broken.url, "openai"), ("n1", url_of(node), "tokenworks")) as hub:
        answers = together([lambda: ask(hub, it.books.key)] * 4)
        assert [a.status for a in answers] == [200] * 4, [a.body for a in answers]
        assert broken.requests, "the first one was never asked"
    assert {r["route"]["backend"] for r in it.books.records("request.settled")} == {"n1"}


@site
def behind_the_first_byte_nothing_is_tried_again(it):
    with Fake(STREAM, CHUNK, CHUNK) as cut, it.node() as node, \
            it.hub(("cut", cut.url, "openai"), ("n1", url_of(node), "tokenworks")) as hub:
        reply = ask(hub, it.books.key, stream=True)
        assert reply.status == 200 and cut.requests, reply.body
        *chunks, error = reply.events
        assert [c["choices"][0]["delta"]["content"] for c in chunks] == ["word "] * 2
        assert error["error"]["code"] == "backend_failed", error
        assert node.metric("generation_tokens_total") == 0
    record, = it.books.records("request.settled")
    assert record["finish"] == "failed" and record["output_tokens"] == 2, record
    it.books.must_balance()


@site
def what_a_server_refuses_is_said_in_its_words(it):
    cases = [(400, 400, None, "too long"), (422, 422, None, "too long"),
             (401, 502, "backend_refused_us", "our key"), (404, 502, "backend_lacks_model", "too"),
             (429, 429, "backend_busy", "too long"), (500, 502, "backend_failed", "too long")]
    for theirs, ours, code, text in cases:
        with Fake(answer(theirs, {"error": {"message": "too long", "type": "t"}})) as fake, \
                it.hub(("fake", fake.url, "openai")) as hub:
            for stream in (False, True):
                reply = ask(hub, it.books.key, stream=stream)
                assert (reply.status, reply.error["code"]) == (ours, code), (theirs, reply.body)
                assert text in reply.error["message"], reply.body
    records = it.books.records("request.settled")
    assert len(records) == 2 * len(cases)
    assert all(r["output_tokens"] == 0 and r["cost_nano"] == 0 for r in records), records


@site
def nonsense_of_a_server_is_no_answer(it):
    error = STREAM + 'data: {"error": {"message": "no", "code": 500}}\n\n'
    bad = [error, STREAM, STREAM + "data: {\n\n", STREAM + CHUNK,
           "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"a\"",
           answer(200, []), answer(200, {"error": {"message": "no"}}), "nonsense\r\n\r\n", ""]
    for pieces in bad:
        with Fake(pieces) as fake, it.hub(("fake", fake.url, "openai")) as hub:
            for stream in (False, True):
                reply = ask(hub, it.books.key, stream=stream)
                failed = reply.status == 502 or b'"code":"backend_failed"' in reply.body
                assert failed, (pieces, stream, reply.status, reply.body)
    assert all(r["cost_nano"] == 0 for r in it.books.records("request.settled")[:2])
    it.books.must_balance()


@site
def a_server_gets_what_was_granted_and_not_our_clients_names(it):
    it.books.command("budget", "set", "acme", "--unit", "tokens", "--limit", "400", "--period",
                     "total")
    with Fake(STREAM, CHUNK * 3, LAST) as fake, it.hub(("fake", fake.url, "openai")) as hub:
        assert ask(hub, it.books.key, max_tokens=100000, stream=True, cache_salt="mine",
                   x_vendor={"a": [1, 2.5]}).status == 200
    request, = fake.requests
    assert request["model"] == "tokenworks-demo" and "cache_salt" not in request
    assert 0 < request["max_completion_tokens"] < 400 and "max_tokens" not in request
    assert request["stream_options"] == {"include_usage": True}
    assert request["x_vendor"] == {"a": [1, 2.5]}
    record, = it.books.records("request.settled")
    assert (record["prompt_tokens"], record["output_tokens"]) == (7, 3), record


@site
def a_client_that_reads_slowly_holds_the_server_up_and_nobody_else(it):
    big = CHUNK * 2000
    with Fake(STREAM, *[big] * 200, LAST) as fake, it.hub(("fake", fake.url, "openai")) as hub:
        client = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=60)
        client.request("POST", "/v1/chat/completions",
                       json.dumps({"model": "far", "messages": [], "stream": True}),
                       bearer(it.books.key))
        response = client.getresponse()
        time.sleep(1)
        assert resident_bytes(hub.process.pid) < 100 << 20, resident_bytes(hub.process.pid)
        assert hub.get("/health").status == 200
        assert response.read().count(b'"word "') == 400000
        client.close()


@site
def no_client_can_make_a_server_look_broken(it):
    with it.node() as node, it.hub(("n1", url_of(node), "tokenworks")) as hub:
        for _ in range(8):
            for more in ({"stream": 1}, {"stream": "true"}):
                assert ask(hub, it.books.key, **more).status == 400
        assert ask(hub, it.books.key).status == 200
    refusal = answer(404, {"error": {"message": "no such endpoint"}})
    with Fake(refusal) as fake, it.hub(("fake", fake.url, "openai")) as hub:
        assert {ask(hub, it.books.key).status for _ in range(12)} == {502}
        assert len(fake.requests) == 12


@site
def wrong_backends_are_refused_at_the_start(it):
    good = {"name": "a", "url": "http://127.0.0.1:1", "models": [{"name": "m", "ctx": 10}]}
    cases = [({"url": "ftp://x"}, "ftp"), ({"kind": "best"}, "none of openai"),
             ({"models": []}, "models"), ({"models": [{"name": "m", "ctx": 0}]}, "context"),
             ({"models": [{"name": "demo", "ctx": 5}]}, "same"), ({"key": "/nowhere"}, "nowhere"),
             ({"models": [{"name": "m", "ctx": 5}] * 2}, "twice"), ({"trust": 1}, "trust")]
    for change, text in cases:
        path = it.folder / "bad.yaml"
        path.write_text(json.dumps({
            "models": [{"path": str(it.model), "name": "demo"}],
            "backends": [{**good, **change}]}), encoding="ascii")
        with Server(it.program, "--config", path, waits=False) as server:
            assert server.process.wait(60) != 0, change
            assert text in server.log_text(), (change, server.log_text())


if __name__ == "__main__":
    cases = [an_answer_of_another_server_is_the_same_and_is_paid_as_that_counts,
             embeddings_are_passed_on, who_leaves_ends_it_there_too_and_pays_what_came,
             one_that_does_not_answer_is_passed_over, behind_the_first_byte_nothing_is_tried_again,
             what_a_server_refuses_is_said_in_its_words, nonsense_of_a_server_is_no_answer,
             a_server_gets_what_was_granted_and_not_our_clients_names,
             a_client_that_reads_slowly_holds_the_server_up_and_nobody_else,
             no_client_can_make_a_server_look_broken, wrong_backends_are_refused_at_the_start]
    print(f"1..{len(cases)}")
    sys.exit(run_cases(cases, *sys.argv[1:]))
