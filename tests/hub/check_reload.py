"""Backends and policy of a running server change: by its file, by names, by hand.

    check_reload.py TOKENWORKS DATA
"""
import http.server
import json
import signal
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books, bearer  # noqa: E402
from nameserver import A, SRV, Nameserver  # noqa: E402
from server import becomes, run_cases  # noqa: E402

POLICY = """
zones:
  - {name: local, trust: 100}
  - {name: berlin, trust: 80}
rules:
  - {name: first, up-to: restricted, allow: [local, berlin]}
"""
WHOLE = {"id": "x", "object": "chat.completion", "choices": [
    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
    "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}}


class Backend(http.server.ThreadingHTTPServer):
    """A server that notes who asked with which key; its streams wait behind their first word until
    they may go on."""
    daemon_threads = True

    def __init__(self, address="127.0.0.1", port=0, context=None):
        super().__init__((address, port), Handler)
        self.keys, self.hosts, self.may_end, self.n_begun = [], [], threading.Event(), 0
        self.port = self.server_address[1]
        self.place = f"{address}:{self.port}"
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, *_):
        """Who closes a connection is no news."""

    @property
    def url(self):
        return f"http://{self.place}"

    def __exit__(self, *_):
        self.may_end.set()
        self.shutdown()
        self.server_close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(200 if self.path == "/health" else 404, b"{}")

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.keys.append(self.headers.get("Authorization"))
        self.server.hosts.append(self.headers["Host"])
        if not body.get("stream"):
            self.answer(200, json.dumps(WHOLE).encode())
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.word()
        self.server.n_begun += 1
        self.server.may_end.wait(60)
        self.word()
        for event in ({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
                      {"choices": [], "usage": {"prompt_tokens": 5, "completion_tokens": 2}}):
            self.chunk(b"data: %s\n\n" % json.dumps(event).encode())
        self.chunk(b"data: [DONE]\n\n")
        self.chunk(b"")

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def word(self):
        self.chunk(b'data: {"choices": [{"index": 0, "delta": {"content": "word "}}]}\n\n')


class Site:
    def __init__(self, program, data, folder):
        self.program, self.folder = program, Path(folder)
        self.model = Path(data, "tokenworks-demo.gguf").resolve()
        (self.folder / "hub").mkdir()
        self.books = Books(program, self.folder / "hub")
        self.config = self.folder / "serve.yaml"
        self.policy = self.folder / "policy.yaml"

    def write(self, *rows, **more):
        """Each row is a backend's, without its models."""
        for row in rows:
            row.setdefault("models", [{"name": "far", "ctx": 2048}])
        self.config.write_text(json.dumps({**more, "backends": list(rows)}, indent=1),
                               encoding="ascii")

    def serve(self, *rows, words=(), **more):
        self.write(*rows, **more)
        return self.books.serve("--config", self.config, *words)

    def reload(self, server, line="the backends were read again"):
        """Until the log has the line once more; the last such line."""
        n = server.log_text().count(line)
        server.process.send_signal(signal.SIGHUP)
        assert becomes(lambda: server.log_text().count(line) == n + 1), server.log_text()
        return [text for text in server.log_text().splitlines() if line in text][-1]

    def ask(self, server, **more):
        return server.post("/v1/chat/completions",
                           {"model": "far", "max_tokens": 8, **more,
                            "messages": [{"role": "user", "content": "hello"}]},
                           headers=bearer(self.books.key))


def site(function):
    def case(program, data):
        with tempfile.TemporaryDirectory() as folder:
            function(Site(program, data, folder))
    case.__name__ = function.__name__
    return case


def in_background(function):
    """A thread that runs it, and a list that gets what it gave."""
    got = []
    thread = threading.Thread(target=lambda: got.append(function()))
    thread.start()
    return thread, got


@site
def a_new_backend_gets_requests_and_a_removed_one_ends_what_it_has(it):
    with Backend() as old, Backend() as new, it.serve({"name": "old", "url": old.url}) as server:
        thread, got = in_background(lambda: it.ask(server, stream=True))
        assert becomes(lambda: old.n_begun == 1)
        it.write({"name": "new", "url": new.url})
        it.reload(server)
        for _ in range(4):
            assert it.ask(server).status == 200
        assert len(new.keys) == 4 and len(old.keys) == 1
        assert thread.is_alive()
        old.may_end.set()
        thread.join()
        text = "".join(c["delta"].get("content", "") for e in got[0].events for c in e["choices"])
        assert text == "word word ", got[0].body
        assert "backend=\"old\"" not in server.get("/metrics").body.decode()
    backends = [r["route"]["backend"] for r in it.books.records("request.settled")]
    assert sorted(backends) == ["new"] * 4 + ["old"], backends
    it.books.must_balance()


@site
def a_server_without_backends_gets_some_and_loses_them(it):
    with Backend() as node, it.serve(models=[{"path": str(it.model), "name": "here"}]) as server:
        assert it.ask(server).status == 404
        it.write({"name": "node", "url": node.url})
        it.reload(server)
        assert it.ask(server).status == 200
        models = server.get("/v1/models", headers=bearer(it.books.key)).json["data"]
        assert sorted(m["id"] for m in models) == ["far", "here"], models
        it.write()
        it.reload(server)
        assert it.ask(server).status == 404


@site
def a_changed_key_weight_and_zone_hold_for_new_requests(it):
    def key_file(name, text):
        path = it.folder / name
        path.write_text(text, encoding="ascii")
        path.chmod(0o600)
        return name
    with Backend() as a, Backend() as b:
        rows = [{"name": "a", "url": a.url, "key": key_file("a.key", "one"), "weight": 100000},
                {"name": "b", "url": b.url}]
        with it.serve(*rows) as server:
            assert it.ask(server).status == 200
            rows[0].update(key=key_file("c.key", "two"), zone="munich")
            it.write(*rows)
            it.reload(server)
            assert it.ask(server).status == 200
            assert a.keys == ["Bearer one", "Bearer two"], a.keys
            rows[0]["weight"], rows[1]["weight"] = 1, 100000
            it.write(*rows)
            it.reload(server)
            for _ in range(4):
                it.ask(server)
            assert len(b.keys) >= 3, (a.keys, b.keys)
    zones = [r["route"]["zone"] for r in it.books.records("request.settled")]
    assert zones[:2] == ["elsewhere", "munich"], zones


@site
def a_wrong_file_changes_nothing_and_says_where(it):
    with Backend() as node, it.serve({"name": "n", "url": node.url}) as server:
        good = it.config.read_text()
        cases = [(good.replace('"url"', '"ulr"'), "ulr"), ("backends: [", "line"),
                 (good.replace('"n"', '"n", "kind": "best"'), "none of openai"),
                 (good.replace(node.url, "ftp://x"), "(line: 5, column:"),
                 (good.replace('"n"', '"n", "key": "nowhere.key"'), "nowhere.key")]
        for text, said in cases:
            it.config.write_text(text)
            line = it.reload(server, "backends and policy stay as they were")
            assert said in line, (said, line)
            assert it.ask(server).status == 200, said
        it.config.write_text(good)
        it.reload(server)


@site
def backends_and_policy_change_together_and_records_say_by_which(it):
    it.policy.write_text(POLICY)
    with Backend() as a, Backend() as b, \
            it.serve({"name": "a", "url": a.url, "zone": "berlin"}, policy="policy.yaml") as server:
        assert it.ask(server).status == 200
        thread, got = in_background(lambda: it.ask(server, stream=True))
        assert becomes(lambda: a.n_begun == 1)
        it.write({"name": "b", "url": b.url, "zone": "paris"}, policy="policy.yaml")
        it.reload(server, "backends and policy stay as they were")  # no such zone
        assert it.ask(server).status == 200 and len(a.keys) == 3
        it.policy.write_text(POLICY.replace("berlin", "paris").replace("first", "second"))
        it.reload(server)
        assert it.ask(server).status == 200 and len(b.keys) == 1
        a.may_end.set()
        thread.join()
        assert got[0].status == 200
    routes = [r["route"] for r in it.books.records("request.settled")]
    by_rule = {}
    for route in routes:
        by_rule.setdefault(route["rule"], set()).add((route["policy"], route["zone"]))
    assert sorted(by_rule) == ["first", "second"] and all(len(v) == 1 for v in by_rule.values())
    assert by_rule["first"] != by_rule["second"]
    assert [r["rule"] for r in routes] == ["first", "first", "second", "first"], routes


def each_gets_one(it, server, *backends):
    """Of as many streams at once, where each server takes one: none chooses by its speed then."""
    streams = [in_background(lambda: it.ask(server, stream=True)) for _ in backends]
    assert becomes(lambda: all(b.n_begun == 1 for b in backends)), server.log_text()
    for backend in backends:
        backend.may_end.set()
    for thread, got in streams:
        thread.join()
        assert got[0].status == 200
    for backend in backends:
        backend.may_end.clear()
        backend.n_begun = 0


def certificates(folder):
    """Two authorities and a certificate of each for gpu.test, by the system's openssl."""
    def run(*words):
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=60)
    for name in ("one", "two"):
        run("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
            "-keyout", f"{name}.key", "-out", f"{name}.pem", "-days", "2", "-subj", "/CN=gpu.test",
            "-addext", "subjectAltName=DNS:gpu.test")
    return [folder / f"{name}.pem" for name in ("one", "two")]


def tls_context(pem):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, pem.with_suffix(".key"))
    return context


@site
def each_address_of_a_name_is_a_server_whose_certificate_is_of_the_name(it):
    one, two = certificates(it.folder)
    with Nameserver() as dns, Backend("127.0.0.1", context=tls_context(one)) as a, \
            Backend("127.0.0.2", a.port, context=tls_context(one)) as b:
        dns.names[("gpu.test", A)] = ["127.0.0.1", "127.0.0.2"]
        row = {"name": "gpu", "url": f"dns+https://gpu.test:{a.port}", "ca": "ca.pem",
               "most-at-once": 1}
        (it.folder / "ca.pem").write_bytes(one.read_bytes())
        with it.serve(row, words=("--nameserver", dns.address)) as server:
            each_gets_one(it, server, a, b)
            assert set(a.hosts + b.hosts) == {f"gpu.test:{a.port}"}
            thread, got = in_background(lambda: it.ask(server, stream=True))
            assert becomes(lambda: a.n_begun + b.n_begun == 1)
            gone, stays = (a, b) if a.n_begun else (b, a)
            dns.names[("gpu.test", A)] = [stays.place.split(":")[0]]
            assert becomes(lambda: f"gpu@{gone.place}" not in server.get("/metrics").body.decode())
            n = len(gone.keys)
            for _ in range(6):
                assert it.ask(server).status == 200
            assert len(gone.keys) == n
            gone.may_end.set()
            thread.join()
            assert got[0].events, "the stream of a server that is gone ended early"
            dns.is_silent = True  # what is known stays
            n_asked = dns.asked
            assert becomes(lambda: dns.asked > n_asked)
            assert it.ask(server).status == 200
            (it.folder / "ca.pem").write_bytes(two.read_bytes())  # kept connections end as well
            it.reload(server)
            assert it.ask(server).status in (502, 503)
    backends = {r["route"].get("backend") for r in it.books.records("request.settled")}
    assert {f"gpu@{a.place}", f"gpu@{b.place}"} <= backends, backends


@site
def services_are_found_with_their_ports_and_priorities_and_lost_again(it):
    with Nameserver() as dns, Backend() as a, Backend() as b, Backend() as reserve:
        name = "_vllm._tcp.gpu.test"
        dns.names[("n1.gpu.test", A)] = ["127.0.0.1"]
        dns.names[(name, SRV)] = [(10, 1, a.port, "n1.gpu.test"), (10, 1, b.port, "n1.gpu.test"),
                                  (20, 1, reserve.port, "n1.gpu.test")]
        row = {"name": "gpu", "url": f"srv://{name}", "most-at-once": 1}
        with it.serve(row, words=("--nameserver", dns.address)) as server:
            each_gets_one(it, server, a, b)
            assert not reserve.keys
            assert f"gpu@{reserve.place}" in server.get("/metrics").body.decode()
            for backend in (a, b):
                it.books.command("backend", "drain", f"gpu@{backend.place}")
            assert it.ask(server).status == 200 and len(reserve.keys) == 1
            it.books.command("backend", "resume", f"gpu@{a.place}")
            assert it.ask(server).status == 200 and len(reserve.keys) == 1
            dns.names[(name, SRV)] = [(20, 1, reserve.port, "n1.gpu.test")]
            assert becomes(lambda: it.ask(server).status == 200 and len(reserve.keys) > 1)
            dns.names[(name, SRV)] = []
            assert becomes(lambda: it.ask(server).status == 503)
            assert server.get("/v1/models", headers=bearer(it.books.key)).json["data"]
            dns.names[(name, SRV)] = [(10, 1, a.port, "n1.gpu.test")]
            assert becomes(lambda: it.ask(server).status == 200)


@site
def a_list_of_urls_is_a_server_each(it):
    with Backend() as a, Backend() as b, \
            it.serve({"name": "gpu", "urls": [a.url, b.url], "most-at-once": 1}) as server:
        each_gets_one(it, server, a, b)
    backends = {r["route"]["backend"] for r in it.books.records("request.settled")}
    assert backends == {f"gpu@{a.place}", f"gpu@{b.place}"}, backends


@site
def by_hand_a_server_is_drained_and_a_file_is_read_again(it):
    with Backend() as a, Backend() as b:
        rows = [{"name": "a", "url": a.url, "weight": 100000}, {"name": "b", "url": b.url}]
        with it.serve(*rows) as server:
            def states():
                listed = it.books.command("backend", "list")["backends"]
                return {row["name"]: (row["state"], row["breaker"], row["zone"]) for row in listed}
            assert becomes(lambda: it.ask(server).status == 200)
            assert states() == {n: ("up", "closed", "elsewhere") for n in "ab"}, states()
            thread, got = in_background(lambda: it.ask(server, stream=True))
            assert becomes(lambda: a.n_begun == 1)
            assert it.books.command("backend", "drain", "a")["state"] == "draining"
            assert states()["a"][0] == "draining"
            n = len(a.keys)
            assert it.ask(server).status == 200 and (len(a.keys), len(b.keys)) == (n, 1)
            it.reload(server)  # does not end it
            assert it.ask(server).status == 200 and len(a.keys) == n
            a.may_end.set()
            thread.join()
            assert got[0].events
            it.books.command("backend", "resume", "a")
            assert it.ask(server).status == 200 and len(a.keys) == n + 1
            rows[0]["zone"] = "munich"
            it.write(*rows)
            it.books.command("backend", "reload")
            assert states()["a"][2] == "munich"
            it.config.write_text("backends: [{name: 5")
            out = it.books.run("backend", "reload", check=False)
            assert out.returncode == 5 and "line" in out.stderr, out
            out = it.books.run("backend", "drain", "nobody", check=False)
            assert out.returncode == 3 and "no backend 'nobody'" in out.stderr, out
    out = it.books.run("backend", "list", check=False)
    assert out.returncode == 3 and "no server runs" in out.stderr, out
    assert [(r["command"], r["object"]) for r in of_backends(it, "config.changed")] == [
        ("backend drain", "a"), ("backend reload", "all"), ("backend resume", "a"),
        ("backend reload", "all")]
    assert [(r["command"], r["object"], r["status"]) for r in of_backends(it, "command.refused")] \
        == [("backend reload", None, "format"), ("backend drain", "nobody", "not found")]


def of_backends(it, kind):
    return [{"object": None, **r} for r in it.books.records(kind)
            if r["command"].startswith("backend")]


@site
def what_was_done_is_on_record_with_what_it_changed_and_what_was_refused_with_why(it):
    def version():
        return it.books.run_bare("policy", "check", it.policy, "--json").stdout[12:76]
    it.policy.write_text(POLICY)
    first = version()
    with Backend() as a, it.serve({"name": "a", "url": a.url, "zone": "berlin"},
                                  policy="policy.yaml") as server:
        it.books.command("backend", "drain", "a")
        it.books.command("backend", "reload")
        it.policy.write_text(POLICY.replace("first", "second"))
        second = version()
        it.write({"name": "a", "url": a.url, "zone": "local"}, policy="policy.yaml")
        it.reload(server)  # by a signal
        it.write({"name": "a", "url": a.url, "zone": "paris"}, policy="policy.yaml")
        out = it.books.run("backend", "reload", check=False)
        assert out.returncode == 2 and "no zone 'paris'" in out.stderr, out
        it.write({"name": "a", "url": a.url, "zone": "local", "key": "none.key"},
                 policy="policy.yaml")
        it.reload(server, "backends and policy stay as they were")
    drained, same, changed = of_backends(it, "config.changed")
    assert (drained["before"], drained["after"]) == ({"state": "up"}, {"state": "draining"})
    assert same["before"] == same["after"], same
    started, = it.books.records("hub.started")
    assert same["after"] == {"models": started["models"], "policy": started["policy"]}, started
    assert same["after"]["policy"] == first
    assert changed["before"] == same["after"] and changed["actor_name"] == "SIGHUP", changed
    assert changed["after"]["policy"] == second
    assert changed["after"]["models"] != started["models"] and len(started["models"]) == 64
    by_hand, by_signal = of_backends(it, "command.refused")
    assert by_hand["status"] == "usage" and by_hand["reason"].startswith("the policy has no zone")
    assert by_signal["actor_name"] == "SIGHUP" and by_signal["status"] == "not found", by_signal


CASES = [a_new_backend_gets_requests_and_a_removed_one_ends_what_it_has,
         a_server_without_backends_gets_some_and_loses_them,
         a_changed_key_weight_and_zone_hold_for_new_requests,
         a_wrong_file_changes_nothing_and_says_where,
         backends_and_policy_change_together_and_records_say_by_which,
         each_address_of_a_name_is_a_server_whose_certificate_is_of_the_name,
         services_are_found_with_their_ports_and_priorities_and_lost_again,
         a_list_of_urls_is_a_server_each,
         by_hand_a_server_is_drained_and_a_file_is_read_again,
         what_was_done_is_on_record_with_what_it_changed_and_what_was_refused_with_why]


if __name__ == "__main__":
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, *sys.argv[1:]))
