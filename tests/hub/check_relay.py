"""A hub in front of other servers: real ones, and one that misbehaves as it is told.

    check_relay.py TOKENWORKS DATA
"""
import contextlib
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
        self.heads = []
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
            self.heads.append(head.decode())
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
        self.top = {}  # what the file has beside its backends
        self.is_sanitized = any(mark in Path(program).read_bytes()
                                for mark in (b"__asan_init", b"__tsan_init"))

    def node(self):
        return Server(self.program, "--model", self.model)

    def write(self, *backends, more=None):
        """A file with a backend for each (name, url, kind). The first one is by far the fastest, so
        it is asked first."""
        rows = []
        for n, (name, url, kind) in enumerate(backends):
            row = {"name": name, "url": url, "kind": kind, "zone": f"zone-of-{name}",
                   "weight": 1 if n > 0 else 100000}
            model = {"name": "far", "upstream": "tokenworks-demo", "ctx": 2048}
            for key, value in (more or {}).get(name, {}).items():
                (row if key in ("pass", "shares-prefixes") else model)[key] = value
            rows.append({**row, "models": [model]})
        path = self.folder / "serve.yaml"
        path.write_text(json.dumps({"backends": rows, **self.top}), encoding="ascii")
        return path

    def hub(self, *backends, more=None):
        """more: of a backend by its name, what its row or its model's has besides."""
        return self.books.serve("--config", self.write(*backends, more=more))


def site(function):
    def case(program, data):
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "books-folder").mkdir()
            function(Site(program, data, folder))
    case.__name__ = function.__name__
    return case


@contextlib.contextmanager
def each_with_a_model(it, fakes, kinds=(), **more):
    """A hub before all of them at once, each with a model that is called by its URL."""
    kinds = list(kinds) or ["openai"] * len(fakes)
    rows = [(f"fake{n}", fake.url, kind) for n, (fake, kind) in enumerate(zip(fakes, kinds))]
    try:
        with it.hub(*rows, more={name: {"name": url, **more} for name, url, _ in rows}) as hub:
            yield hub
    finally:
        for fake in fakes:
            fake.socket.close()


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
    assert [f"chatcmpl-{r['request']}" for r in records] == \
        [whole["id"], events[0]["id"], plain[0]["id"]], (records, whole["id"])
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
def what_a_server_refuses_is_said_in_its_words_where_it_is_of_the_request(it):
    cases = [(400, 400, None, "too long"), (422, 422, None, "too long"),
             (401, 502, "backend_refused_us", "our key"),
             (404, 502, "backend_lacks_model", "does not have"),
             (408, 504, "backend_timed_out", "did not get the request in time"),
             (429, 429, "backend_busy", "too much"), (500, 502, "backend_failed", "status 500")]
    fakes = [Fake(answer(row[0], {"error": {"message": f"too long at gpu-{row[0]}"}}))
             for row in cases]
    with each_with_a_model(it, fakes) as hub:
        for (theirs, ours, code, text), fake in zip(cases, fakes):
            for stream in (False, True):
                reply = ask(hub, it.books.key, model=fake.url, stream=stream)
                assert (reply.status, reply.error["code"]) == (ours, code), (theirs, reply.body)
                assert text in reply.error["message"], reply.body
                assert (reply.error["type"] == "server_error") == (ours >= 500), reply.body
                said = f"too long at gpu-{theirs}"
                is_theirs = said in reply.error["message"]
                assert is_theirs == (theirs in (400, 422)), reply.body
                assert is_theirs or said in hub.log_text(), hub.log_text()
    records = it.books.records("request.settled")
    assert len(records) == 2 * len(cases)
    assert all(r["output_tokens"] == 0 and r["cost_nano"] == 0 for r in records), records


@site
def what_went_wrong_on_the_way_is_for_the_log(it):
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    with it.hub(("gone", f"http://127.0.0.1:{port}", "openai")) as hub:
        for _ in range(30):  # it may be known as gone before it is asked
            reply = ask(hub, it.books.key)
            if reply.status == 502:
                break
        assert reply.status in (502, 503), reply.body
        assert "127.0.0.1" not in reply.error["message"] and str(port) not in reply.body.decode()
        assert str(port) in hub.log_text(), hub.log_text()
    with Fake("nonsense\r\n\r\n") as fake, it.hub(("odd", fake.url, "openai")) as hub:
        reply = ask(hub, it.books.key)
        assert reply.error["message"] == "the server 'odd' sent what is no answer", reply.body
        assert "HTTP/0.9" in hub.log_text(), hub.log_text()


@site
def an_answer_with_its_last_event_is_whole_however_its_connection_ends(it):
    """One that is cut behind [DONE], and one that stays open: both are whole, and end soon."""
    head = STREAM.replace("Connection: close", "Transfer-Encoding: chunked")
    pieces = [f"{len(piece):x}\r\n{piece}\r\n" for piece in (CHUNK, LAST)]
    for wait in (0.0, 6.0):
        with Fake(head + "".join(pieces), "", wait=wait) as fake, \
                it.hub(("fake", fake.url, "openai")) as hub:
            begin = time.monotonic()
            reply = ask(hub, it.books.key, stream=True)
            assert time.monotonic() - begin < 5
            assert reply.body.endswith(b"data: [DONE]\n\n"), reply.body
            assert reply.body.count(b"[DONE]") == 1 and b"error" not in reply.body, reply.body
            assert 'tokenworks_backend_calls_total{end="whole"} 1' in hub.get(
                "/metrics", headers=bearer(it.books.key)).body.decode()
    assert [(r["finish"], r["output_tokens"]) for r in it.books.records("request.settled")] == \
        [("stop", 3)] * 2


@site
def a_stream_where_none_was_asked_for_is_not_passed_on(it):
    with Fake(STREAM, CHUNK, LAST) as fake, it.hub(("fake", fake.url, "openai")) as hub:
        reply = ask(hub, it.books.key)
        assert reply.status == 502 and reply.error["code"] == "backend_failed", reply.body
        assert b"word" not in reply.body


@site
def nonsense_of_a_server_is_no_answer(it):
    error = STREAM + 'data: {"error": {"message": "no", "code": 500}}\n\n'
    bad = [error, STREAM, STREAM + "data: {\n\n", STREAM + CHUNK,
           "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n{\"a\"",
           answer(200, []), answer(200, {"error": {"message": "no"}}), "nonsense\r\n\r\n", ""]
    fakes = [Fake(pieces) for pieces in bad]
    with each_with_a_model(it, fakes) as hub:
        for fake in fakes:
            for stream in (False, True):
                reply = ask(hub, it.books.key, model=fake.url, stream=stream)
                failed = reply.status == 502 or b'"code":"backend_failed"' in reply.body
                assert failed, (fake.pieces, stream, reply.status, reply.body)
    assert all(r["cost_nano"] == 0 for r in it.books.records("request.settled")[:2])
    it.books.must_balance()


@site
def a_server_gets_what_was_granted_and_not_our_clients_names(it):
    it.books.command("budget", "set", "acme", "--unit", "tokens", "--limit", "400", "--period",
                     "total")
    with Fake(STREAM, CHUNK * 3, LAST) as fake, it.hub(("fake", fake.url, "openai")) as hub:
        assert ask(hub, it.books.key, max_tokens=100000, stream=True, cache_salt="mine",
                   x_vendor={"a": [1, 2.5]}, user="anna", top_k=3).status == 200
    request, = fake.requests
    assert request["model"] == "tokenworks-demo" and "cache_salt" not in request
    assert 0 < request["max_completion_tokens"] < 400 and "max_tokens" not in request
    assert request["stream_options"] == {"include_usage": True}
    assert not {"x_vendor", "user", "top_k"} & set(request)
    record, = it.books.records("request.settled")
    assert (record["prompt_tokens"], record["output_tokens"]) == (7, 3), record


@site
def a_client_that_reads_slowly_holds_the_server_up_and_nobody_else(it):
    # What waits is a quarter of TW_LIMIT_HTTP_STREAM_BYTES, and with books the words of
    # TW_LIMIT_HUB_AHEAD_TOKENS; round it are a connection, two threads' stacks and a few pieces.
    most_bytes = (16 if it.is_sanitized else 4) << 20  # a sanitizer keeps what was freed
    big = CHUNK * 2000
    with Fake(STREAM, *[big] * 100, LAST) as fake:
        config = it.write(("fake", fake.url, "openai"))
        for servers in (it.books.serve, lambda *words: Server(it.program, *words)):
            with servers("--config", config) as hub:
                before = resident_bytes(hub.process.pid)
                client = http.client.HTTPConnection("127.0.0.1", hub.port, timeout=60)
                client.request("POST", "/v1/chat/completions",
                               json.dumps({"model": "far", "messages": [], "stream": True}),
                               bearer(it.books.key))
                response = client.getresponse()
                time.sleep(0.7)
                grown = resident_bytes(hub.process.pid) - before
                assert grown < most_bytes, grown
                assert hub.get("/health").status == 200
                assert response.read().count(b'"word "') == 200000
                client.close()


def leave_before_an_answer(hub, key, fake, **more):
    n = len(fake.requests)
    with hub.ask_unread("/v1/chat/completions", {"model": "far", "messages": [
            {"role": "user", "content": "What is a budget?"}], **more}, headers=bearer(key)):
        assert becomes(lambda: len(fake.requests) == n + 1)


@site
def who_leaves_before_the_first_byte_pays_the_prompt(it):
    with Fake("", "", wait=5) as fake, it.hub(("fake", fake.url, "openai")) as hub:
        for n, stream in enumerate((True, False), 1):
            leave_before_an_answer(hub, it.books.key, fake, stream=stream)
            assert becomes(lambda: len(it.books.records("request.settled")) == n)
        with hub.ask_unread("/v1/completions", {"model": "far", "prompt": "a" * 50},
                            headers=bearer(it.books.key)) as client:
            assert becomes(lambda: len(fake.requests) == 3)
            it.books.command("key", "revoke", "acme/research/chat/ci")
            assert client.recv(65536).startswith(b"HTTP/1.1 401")
        assert becomes(lambda: len(it.books.records("request.settled")) == 3)
    for record in it.books.records("request.settled"):
        assert record["finish"] == "cancelled" and record["output_tokens"] == 0, record
        assert record["prompt_tokens"] > 50 and record["cost_nano"] > 0, record
    reserved = [tokens for tokens, in it.books.rows(
        "SELECT tokens FROM entry WHERE kind = 'settle' ORDER BY id")]
    assert reserved == [r["prompt_tokens"] for r in it.books.records("request.settled")]
    it.books.must_balance()


@site
def who_leaves_a_whole_answer_pays_what_came_of_it(it):
    part = ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
            '{"choices": [{')
    with Fake(part, wait=5) as fake, it.hub(("fake", fake.url, "openai")) as hub:
        with hub.ask_unread("/v1/completions", {"model": "far", "prompt": "a", "max_tokens": 9},
                            headers=bearer(it.books.key)):
            assert becomes(lambda: fake.requests)
            time.sleep(0.3)
        assert becomes(lambda: it.books.records("request.settled"))
    record, = it.books.records("request.settled")
    assert record["finish"] == "cancelled" and record["output_tokens"] == 9, record


def chunk(index, n_tokens):
    value = {"id": "x", "choices": [{"index": index, "delta": {"content": "word "}}],
             "usage": {"prompt_tokens": 7, "completion_tokens": n_tokens}}
    return f"data: {json.dumps(value)}\n\n"


@site
def tokens_of_each_answer_are_summed(it):
    events = [chunk(0, 5), chunk(1, 2), chunk(0, 9), chunk(1, 4)]
    total = LAST.replace('"completion_tokens":3', '"completion_tokens":14')
    for n, (kind, last, wanted) in enumerate((("vllm", "", 13), ("vllm", total, 14),
                                              ("tokenworks", "", 9))):
        with Fake(STREAM, *events, last) as fake, it.hub(("fake", fake.url, kind)) as hub:
            reply = ask(hub, it.books.key, n=2, stream=True, stream_options={"include_usage": True})
            assert reply.body.count(b'"word "') == 4
            assert b'"completion_tokens": 9' not in reply.body, reply.body
            assert fake.requests[0]["stream_options"]["continuous_usage_stats"] is True
        record = it.books.records("request.settled")[n]
        assert record["output_tokens"] == wanted and record["prompt_tokens"] == 7, (kind, record)
    with Fake(STREAM, LAST) as fake, it.hub(("fake", fake.url, "vllm")) as hub:
        assert hub.post("/v1/completions", {"model": "far", "prompt": ["a", "b"], "stream": True},
                        headers=bearer(it.books.key)).status == 200
        assert "continuous_usage_stats" not in fake.requests[0]["stream_options"]
    it.books.must_balance()


@site
def what_is_counted_beyond_the_bound_is_paid_where_it_can_be(it):
    def run(n_prompt, n_answer=3, **more):
        last = LAST.replace('"prompt_tokens":7', f'"prompt_tokens":{n_prompt}')
        last = last.replace('"completion_tokens":3', f'"completion_tokens":{n_answer}')
        with Fake(STREAM, CHUNK, last) as fake, it.hub(("fake", fake.url, "openai")) as hub:
            assert ask(hub, it.books.key, stream=True, **more).status == 200
            log = hub.log_text()
        it.books.must_balance()
        record = it.books.records("request.settled")[-1]
        rows = it.books.rows("SELECT kind, tokens FROM entry WHERE request = ? ORDER BY id",
                             record["number"])
        return record, rows, log
    record, rows, log = run(900)
    assert (record["prompt_tokens"], record["output_tokens"]) == (900, 3), record
    assert "reported_prompt_tokens" not in record
    assert [kind for kind, _ in rows] == ["reserve", "reserve", "release", "settle"], rows
    assert rows[2][1] == rows[0][1] + rows[1][1] == rows[3][1] == 903, rows
    assert "counts more tokens than were reserved" in log and '"unpaid_tokens":0' in log, log
    record, rows, log = run(90)
    assert len(rows) == 3 and "counts more" not in log, (rows, log)
    record, rows, log = run(7, 300)
    assert record["output_tokens"] == 300 and '"unpaid_tokens":0' in log, (record, log)
    record, rows, log = run(10 ** 12)  # more than its context has
    assert record["prompt_tokens"] == 2048 and "counts more" in log, record
    n_spent, = it.books.rows("SELECT SUM(tokens) FROM entry WHERE kind = 'settle'")[0]
    it.books.command("budget", "set", "acme", "--unit", "tokens", "--limit", "400", "--period",
                     "total")
    record, rows, log = run(900)
    assert (record["prompt_tokens"], record["output_tokens"]) == (397, 3), (record, n_spent)
    assert record["reported_prompt_tokens"] == 900 and record["reported_output_tokens"] == 3
    assert record["budgets"][0]["left_after"] == 0 and '"unpaid_tokens":503' in log, (record, log)


@site
def a_picture_is_reserved_for_and_paid_as_it_is_counted(it):
    picture = {"type": "image_url", "image_url": {"url": "http://127.0.0.1/a.png"}}
    last = LAST.replace('"prompt_tokens":7', '"prompt_tokens":1500')
    with Fake(STREAM, CHUNK, last) as fake, it.hub(("fake", fake.url, "openai")) as hub:
        reply = ask(hub, it.books.key, stream=True,
                    messages=[{"role": "user", "content": [picture]}])
        assert reply.status == 200 and fake.requests[0]["messages"][0]["content"] == [picture]
        assert "counts more" not in hub.log_text()
    (reserved,), = it.books.rows("SELECT tokens FROM entry WHERE kind = 'reserve'")
    assert 16384 < reserved < 16384 + 400, reserved
    assert it.books.records("request.settled")[0]["prompt_tokens"] == 1500


@site
def what_a_request_may_cost_is_read_in_one_way(it):
    wrong = [("max_tokens", 0), ("max_completion_tokens", 0), ("n_predict", -2), ("n", 0),
             ("n", 129), ("best_of", 0), ("n_cmpl", 0), ("max_tokens", 2.5), ("n_cmpl", "2"),
             ("chat_template", "{{ messages }} and more"), ("chat_template", {})]
    with Fake(STREAM, CHUNK, LAST) as fake, it.hub(("fake", fake.url, "openai")) as hub:
        for name, value in wrong:
            reply = ask(hub, it.books.key, stream=True, **{name: value})
            assert reply.status == 400 and reply.error["param"] == name, (name, reply.body)
        assert not fake.requests
        for more, n_answers, limit in (({"n_cmpl": 3}, 3, 24), ({"n": 2, "best_of": 4}, 4, 24),
                                       ({"max_completion_tokens": 5}, 1, 5),
                                       ({"n_predict": 6, "max_completion_tokens": -1}, 1, 6)):
            assert ask(hub, it.books.key, stream=True, **more).status == 200
            (reserved,), = it.books.rows(
                "SELECT tokens FROM entry WHERE kind = 'reserve' ORDER BY id DESC LIMIT 1")
            prompt = len(json.dumps(fake.requests[-1], separators=(",", ":")))
            assert fake.requests[-1]["max_completion_tokens"] == limit, fake.requests[-1]
            assert fake.requests[-1].get("n", 1) == more.get("n_cmpl", more.get("n", 1))
            assert "n_cmpl" not in fake.requests[-1], fake.requests[-1]
            assert abs(reserved - n_answers * limit - prompt) < 100, (more, reserved, prompt)
    it.books.must_balance()


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
             ({"models": [{"name": "m", "ctx": 5}] * 2}, "twice"), ({"trust": 1}, "trust"),
             ({"models": [{"name": "m", "ctx": 5, "can": ["fly"]}]}, "none of answers, tools"),
             ({"models": [{"name": "m", "ctx": 5, "cost": {"input": "-1", "output": "1"}}]},
              "no amount")]
    tops = [({"fallbacks": [{"model": "demo", "to": ["m"]}]}, "no backend has that model"),
            ({"fallbacks": [{"model": "m", "to": ["nobody"]}]}, "there is no model 'nobody'"),
            ({"fallbacks": [{"model": "m", "to": ["demo", "demo"]}]}, "was there before"),
            ({"fallbacks": [{"model": "m", "to": ["demo"]}] * 2}, "fallbacks twice"),
            ({"preferences": [{"who": ["a"], "prefer": "best"}]}, "none of cheapest"),
            ({"preferences": [{"who": ["a"], "prefer": "fastest"}]}, "only books know")]
    for change, text in cases + tops:
        path = it.folder / "bad.yaml"
        path.write_text(json.dumps({
            "models": [{"path": str(it.model), "name": "demo"}],
            **({"backends": [good], **change} if (change, text) in tops
               else {"backends": [{**good, **change}]})}), encoding="ascii")
        with Server(it.program, "--config", path, waits=False) as server:
            assert server.process.wait(60) != 0, change
            assert text in server.log_text(), (change, server.log_text())


WHOLE = {"id": "x", "object": "chat.completion", "model": "m", "choices": [
    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
    "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10,
              "prompt_tokens_details": {"cached_tokens": 8}}}


@site
def what_a_kind_does_not_know_is_named_and_what_is_passed_besides_arrives(it):
    with Fake(answer(200, WHOLE)) as fake:
        hub = it.hub(("fake", fake.url, "vllm"), more={"fake": {"pass": ["x_vendor"]}})
        with hub:
            reply = ask(hub, it.books.key, x_vendor=1, x_other=2, top_k=3, user="anna",
                        lora_path="/etc", kv_transfer_params={})
    request, = fake.requests
    assert request["x_vendor"] == 1 and request["top_k"] == 3, request
    assert not {"x_other", "user", "lora_path", "kv_transfer_params"} & set(request), request
    assert reply.headers["x-unknown-parameters"] == "x_other, lora_path, kv_transfer_params"


@site
def a_cache_is_salted_or_says_nothing(it):
    """Of a server that keeps tenants apart it may be seen what was cached; of others it may not."""
    for shares in (False, True):
        kinds = {"vllm": True, "sglang": True, "tokenworks": True, "openai": False,
                 "llama.cpp": False}
        fakes = [Fake(answer(200, {**WHOLE, "timings": {"cache_n": 8}})) for _ in kinds]
        with each_with_a_model(it, fakes, kinds, **{"shares-prefixes": shares}) as hub:
            for (kind, is_salted), fake in zip(kinds.items(), fakes):
                reply = ask(hub, it.books.key, model=fake.url, cache_salt="mine",
                            extra_key="1").json
                request, = fake.requests
                salt = request.get("cache_salt")
                assert "extra_key" not in request
                assert (salt is not None and salt.endswith("/") and salt != "mine") == \
                    (is_salted and not shares), (kind, shares, request)
                is_shown = "prompt_tokens_details" in reply["usage"] and "timings" in reply
                assert is_shown == (is_salted or shares), (kind, shares, reply)
                assert reply["usage"]["prompt_tokens"] == 9


@site
def a_node_keeps_what_two_projects_computed_apart(it):
    """Through one hub, whose key at the node is one: by the salt alone."""
    it.books.command("project", "create", "acme/research/other")
    other = it.books.command("key", "create", "acme/research/other/ci")["secret"]
    text = "A harbour has many boxes, and each is counted twice by two clerks. " * 12

    def cached(hub, key):
        return hub.post("/v1/completions", {"model": "far", "prompt": text, "max_tokens": 1},
                        headers=bearer(key)).json["usage"]["prompt_tokens_details"]["cached_tokens"]
    with it.node() as node, it.hub(("n1", url_of(node), "tokenworks")) as hub:
        assert [cached(hub, it.books.key), cached(hub, other)] == [0, 0]
        assert cached(hub, it.books.key) > 0 and cached(hub, other) > 0


@site
def who_is_cheaper_is_asked_first_unless_a_project_wants_speed(it):
    price = {"input": "5", "output": "9"}
    with Fake(answer(200, WHOLE)) as fast, Fake(answer(200, WHOLE)) as cheap:
        backends = (("fast", fast.url, "openai"), ("cheap", cheap.url, "openai"))
        more = {"fast": {"cost": price}, "cheap": {"cost": {"input": "0.5", "output": "9"}}}
        with it.hub(*backends, more=more) as hub:
            assert ask(hub, it.books.key).status == 200
        assert (len(fast.requests), len(cheap.requests)) == (0, 1)
        it.top = {"preferences": [{"who": ["acme/research"], "prefer": "fastest"}]}
        with it.hub(*backends, more=more) as hub:
            assert ask(hub, it.books.key).status == 200
        assert (len(fast.requests), len(cheap.requests)) == (1, 1)


@site
def what_no_server_can_do_is_refused_and_what_one_can_goes_there(it):
    with Fake(answer(200, WHOLE)) as plain, Fake(answer(200, WHOLE)) as able:
        more = {"plain": {"can": ["answers"]}, "able": {"can": ["answers", "tools"]}}
        tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
        image = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]
        with it.hub(("plain", plain.url, "openai"), ("able", able.url, "openai"),
                    more=more) as hub:
            assert ask(hub, it.books.key, tools=tools).status == 200
            assert ask(hub, it.books.key).status == 200
            assert (len(plain.requests), len(able.requests)) == (1, 1)
            for body, word in (({"messages": image}, "images"), ({"logprobs": True}, "logprobs"),
                               ({"n": 2}, "choices"),
                               ({"response_format": {"type": "json_object"}}, "schemas")):
                reply = ask(hub, it.books.key, **body)
                assert (reply.status, reply.error["code"]) == (400, "not_supported"), reply.body
                assert reply.error["message"].endswith(f": {word}"), reply.body
            reply = hub.post("/v1/embeddings", {"model": "far", "input": "a"},
                             headers=bearer(it.books.key))
            assert reply.status == 400 and reply.error["message"].endswith(": embeddings")
            reply = hub.post("/v1/completions", {"model": "far", "prompt": [1] * 2049},
                             headers=bearer(it.books.key))
            assert (reply.status, reply.error["code"]) == (400, "context_length_exceeded")
        assert (len(plain.requests), len(able.requests)) == (1, 1)


@site
def another_model_takes_the_place_of_one_that_nobody_can_answer_with(it):
    """Before the first byte, at its own price, under its own name; behind it nothing does."""
    it.books.command("price", "set", "near", "--input", "7", "--output", "7")
    it.books.command("project", "set", "acme/research/chat", "--rpm", "9")  # one for each of them
    it.top = {"fallbacks": [{"model": "far", "to": ["near"]}]}
    near = {"near": {"name": "near"}}
    with Fake(answer(500, {"error": {"message": "no"}})) as broken, \
            Fake(answer(200, WHOLE)) as good:
        with it.hub(("broken", broken.url, "openai"), ("near", good.url, "openai"),
                    more=near) as hub:
            replies = [ask(hub, it.books.key) for _ in range(8)]
            assert [r.status for r in replies] == [200] * 8, replies[0].body
            assert {r.json["model"] for r in replies} == {"near"}
            assert len(broken.requests) == 5, "its breaker opens, and then it is not asked"
            assert ask(hub, it.books.key, model="near").status == 200
            assert ask(hub, it.books.key, model="near").error["code"] == "rate_limit_exceeded"
            it.books.command("project", "set", "acme/research/chat", "--rpm", "0")
    records = it.books.records("request.settled")
    paid = [r for r in records if r["cost_nano"] > 0]
    assert len(records) == 14 and [r["model"] for r in paid] == ["near"] * 9, records
    assert {r["cost_nano"] for r in paid} == {70000}, paid
    assert [r["route"].get("instead_of") for r in paid] == ["far"] * 8 + [None], paid
    with Fake(STREAM, CHUNK) as cut, Fake(answer(200, WHOLE)) as good:
        with it.hub(("cut", cut.url, "openai"), ("near", good.url, "openai"), more=near) as hub:
            assert b"backend_failed" in ask(hub, it.books.key, stream=True).body
        assert not good.requests
    it.books.must_balance()


if __name__ == "__main__":
    cases = [an_answer_of_another_server_is_the_same_and_is_paid_as_that_counts,
             embeddings_are_passed_on, who_leaves_ends_it_there_too_and_pays_what_came,
             who_leaves_before_the_first_byte_pays_the_prompt,
             who_leaves_a_whole_answer_pays_what_came_of_it, tokens_of_each_answer_are_summed,
             what_is_counted_beyond_the_bound_is_paid_where_it_can_be,
             a_picture_is_reserved_for_and_paid_as_it_is_counted,
             what_a_request_may_cost_is_read_in_one_way,
             one_that_does_not_answer_is_passed_over, behind_the_first_byte_nothing_is_tried_again,
             what_a_server_refuses_is_said_in_its_words_where_it_is_of_the_request,
             an_answer_with_its_last_event_is_whole_however_its_connection_ends,
             a_stream_where_none_was_asked_for_is_not_passed_on,
             what_went_wrong_on_the_way_is_for_the_log, nonsense_of_a_server_is_no_answer,
             a_server_gets_what_was_granted_and_not_our_clients_names,
             a_client_that_reads_slowly_holds_the_server_up_and_nobody_else,
             what_a_kind_does_not_know_is_named_and_what_is_passed_besides_arrives,
             a_cache_is_salted_or_says_nothing, a_node_keeps_what_two_projects_computed_apart,
             who_is_cheaper_is_asked_first_unless_a_project_wants_speed,
             what_no_server_can_do_is_refused_and_what_one_can_goes_there,
             another_model_takes_the_place_of_one_that_nobody_can_answer_with,
             no_client_can_make_a_server_look_broken, wrong_backends_are_refused_at_the_start]
    print(f"1..{len(cases)}")
    sys.exit(run_cases(cases, *sys.argv[1:]))
