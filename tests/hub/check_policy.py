"""A server with a policy: what may leave it, and what of it.

    check_policy.py TOKENWORKS DATA
"""
import http.client
import json
import random
import re
import signal
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books, bearer  # noqa: E402
from check_relay import LAST, STREAM, Fake, answer  # noqa: E402
from server import becomes, run_cases  # noqa: E402

POLICY = """
zones:
  - {name: local, trust: 100}
  - {name: berlin, trust: 80}
  - {name: cloud, trust: 10}
detectors:
  - {find: email, class: confidential}
  - {find: iban, class: restricted}
rules:
  - {name: own, class: [restricted], allow: [local]}
  - {name: on-prem, class: [confidential], allow: [local, berlin]}
  - {name: anywhere, up-to: internal, allow: [local, berlin, cloud]}
"""
REDACTING = POLICY.replace("rules:\n", "rules:\n  - {name: blacked, class: [confidential], "
                           "redact: [email], left-up-to: internal, allow: [cloud]}\n")
MAIL, IBAN = "anna.muster@example.org", "DE89 3704 0044 0532 0130 00"


class Site:
    def __init__(self, program, data, folder):
        self.folder = Path(folder)
        self.model = Path(data, "tokenworks-demo.gguf")
        (self.folder / "hub").mkdir()
        self.books = Books(program, self.folder / "hub")
        self.policy = self.folder / "policy.yaml"

    def serve(self, policy, *backends, aliases=(), **more):
        """Each backend is (name, zone, fake)."""
        self.policy.write_text(policy, encoding="utf-8")
        config = self.folder / "serve.yaml"
        config.write_text(json.dumps({
            "policy": "policy.yaml", "models": [{"path": str(self.model), "name": "here",
                                              "aliases": list(aliases)}],
            "backends": [{"name": name, "url": fake.url, "zone": zone,
                          "weight": 1 if n > 0 else 100000,  # the first one is asked first
                          "models": [{"name": "far", "ctx": 2048}]}
                         for n, (name, zone, fake) in enumerate(backends)]}), encoding="ascii")
        return self.books.serve("--config", config, **more)


def site(function):
    def case(program, data):
        with tempfile.TemporaryDirectory() as folder:
            function(Site(program, data, folder))
    case.__name__ = function.__name__
    return case


def ask(server, key, text, model="far", headers=None, **more):
    return server.post("/v1/chat/completions",
                       {"model": model, "max_tokens": 8, **more,
                        "messages": [{"role": "user", "content": text}]},
                       headers={**bearer(key), **(headers or {})})


def good():
    return Fake(answer(200, {"id": "x", "object": "chat.completion", "choices": [
        {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 6}}))


@site
def a_request_goes_only_where_its_class_may(it):
    label = {"x-tokenworks-data-class": "restricted"}
    cases = [("hello", None, {"cloud"}), (f"mail {MAIL}", None, {"berlin"}),
             (f"pay {IBAN}", None, set()), ("hello", label, set()),
             (f"mail {MAIL}", {"x-tokenworks-data-class": "public"}, {"berlin"})]
    for text, headers, zones in cases:
        with good() as cloud, good() as berlin, \
                it.serve(POLICY, ("c", "cloud", cloud), ("b", "berlin", berlin)) as server:
            reply = ask(server, it.books.key, text, headers=headers)
            seen = {name for name, fake in (("cloud", cloud), ("berlin", berlin)) if fake.requests}
            assert seen == zones, (text, headers, seen, reply.body)
            if zones:
                assert reply.status == 200, reply.body
            else:
                assert (reply.status, reply.error["code"]) == (403, "refused_by_policy")
            assert ask(server, it.books.key, text, model="here", headers=headers).status == 200


@site
def what_a_client_writes_into_its_id_stays_here(it):
    """No detector looks there; the log has both ids."""
    headers = {"x-request-id": "4111-1111-1111-1111"}
    with good() as cloud, Fake(answer(500, {"error": {"message": "no"}})) as broken:
        with it.serve(POLICY, ("b", "cloud", broken), ("c", "cloud", cloud)) as server:
            reply = ask(server, it.books.key, "hello", headers=headers)
            assert reply.json["id"] == "chatcmpl-4111-1111-1111-1111", reply.body
            log = server.log_text()
    (head,), lines = broken.heads, [json.loads(x) for x in log.splitlines() if "4111" in x]
    assert "1111" not in head + cloud.heads[0], (head, cloud.heads)
    sent = re.search(r"(?i)x-request-id: (\S+)", head)[1]
    assert sent in {line.get("sent_id") for line in lines}, (sent, lines)


@site
def a_floor_counts_whatever_the_client_says(it):
    policy = POLICY.replace("detectors:", "floors:\n  - {who: [acme/research/chat/ci], "
                            "class: confidential}\ndetectors:")
    with good() as cloud, it.serve(policy, ("c", "cloud", cloud)) as server:
        reply = ask(server, it.books.key, "hello", headers={"x-tokenworks-data-class": "public"})
        assert reply.status == 403 and not cloud.requests, reply.body
        assert ask(server, it.books.make_key("other"), "hello").status == 200


@site
def every_decision_is_on_record(it):
    with good() as cloud, it.serve(POLICY, ("c", "cloud", cloud)) as server:
        assert ask(server, it.books.key, "hello").status == 200
        assert ask(server, it.books.key, f"mail {MAIL}").status == 403
        assert ask(server, it.books.key, f"mail {MAIL}", model="here").status == 200
    sent, here = it.books.records("request.settled")
    refused, = it.books.records("request.refused")
    version = sent["route"]["policy"]
    assert len(version) == 12
    assert sent["route"] == {"backend": "c", "zone": "cloud", "class": "public",
                             "class_reason": sent["route"]["class_reason"], "policy": version,
                             "rule": "anywhere"}
    assert here["route"]["zone"] == "local" and here["route"]["rule"] == "on-prem"
    assert refused["http_status"] == 403 and refused["route"]["class"] == "confidential"
    assert "email in messages[0].content" in refused["route"]["class_reason"]
    assert not any(MAIL in json.dumps(r) for r in (sent, here, refused))
    it.books.must_balance()


@site
def nothing_is_tried_where_trust_is_lower(it):
    """The first choice fails: what comes next is at least as trusted."""
    policy = POLICY.replace("trust: 10}", "trust: 10}\n  - {name: edge, trust: 80}").replace(
        "allow: [local, berlin, cloud]", "allow: [local, berlin, edge, cloud]")
    broken = answer(500, {"error": {"message": "broken"}})
    with Fake(broken) as berlin, good() as cloud, \
            it.serve(policy, ("b", "berlin", berlin), ("c", "cloud", cloud)) as server:
        reply = ask(server, it.books.key, "hello")
        assert berlin.requests and not cloud.requests, "it fell to a lower trust"
        assert reply.status == 502, reply.body
    with Fake(broken) as berlin, good() as edge, \
            it.serve(policy, ("b", "berlin", berlin), ("e", "edge", edge)) as server:
        assert ask(server, it.books.key, "hello").status == 200 and edge.requests


@site
def what_a_rule_replaces_does_not_leave_and_comes_back(it):
    pieces = ["Dear <", "EMAIL_1", ">, you wrote <EMAIL", "_2>: <EMAIL_3", "> <EM"]
    chunks = "".join('data: ' + json.dumps({"id": "x", "choices": [
        {"index": 0, "delta": {"content": piece}}]}) + "\n\n" for piece in pieces)
    other = "bob@example.com"
    with Fake(STREAM, chunks, LAST) as cloud, \
            it.serve(REDACTING, ("c", "cloud", cloud)) as server:
        reply = ask(server, it.books.key, f"{MAIL} and {other}, {MAIL}", stream=True)
        text = "".join(c["delta"].get("content") or "" for e in reply.events
                       for c in e["choices"])
        assert text == f"Dear {MAIL}, you wrote {other}: <EMAIL_3> <EM", text
        sent = json.dumps(cloud.requests)
        assert MAIL not in sent and other not in sent
        assert "<EMAIL_1> and <EMAIL_2>, <EMAIL_1>" in sent
        here = ask(server, it.books.key, f"mail {MAIL}", model="here")
        assert here.status == 200, "what redacts is for other servers, so the next rule decides"
    whole = answer(200, {"choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
        "role": "assistant", "content": "to <EMAIL_1>", "tool_calls": [{
            "id": "1", "type": "function",
            "function": {"name": "f", "arguments": '{"to": "\\u003cEMAIL_1\\u003e"}'}}]}}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 1}})
    with Fake(whole) as cloud, it.serve(REDACTING, ("c", "cloud", cloud)) as server:
        message = ask(server, it.books.key, f"mail {MAIL}").json["choices"][0]["message"]
        assert message["content"] == f"to {MAIL}"
        assert json.loads(message["tool_calls"][0]["function"]["arguments"]) == {"to": MAIL}
        assert MAIL not in json.dumps(cloud.requests)


HERE = REDACTING.replace("left-up-to: internal, allow: [cloud]",
                         "left-up-to: internal, allow: [local, cloud]")


@site
def what_a_rule_replaces_is_not_seen_by_a_model_here_and_comes_back(it):
    with good() as cloud, it.serve(HERE, ("c", "cloud", cloud)) as server:
        reply = server.post("/v1/completions", {"prompt": f"to {MAIL}.", "model": "here",
                                                "max_tokens": 2, "echo": True, "logprobs": 0},
                            headers=bearer(it.books.key))
        choice, = reply.json["choices"]
        assert choice["text"].startswith(f"to {MAIL}."), choice
        seen = "".join(choice["logprobs"]["tokens"])
        assert seen.startswith("to <EMAIL_1>.") and MAIL not in seen, seen
        form = {"guided_regex": "[(]<EMAIL_[1]>[)]", "max_tokens": 64}
        reply = ask(server, it.books.key, f"mail {MAIL}", model="here", **form)
        assert reply.json["choices"][0]["message"]["content"] == f"({MAIL})", reply.body
        reply = ask(server, it.books.key, f"mail {MAIL}", model="here", stream=True, **form)
        text = "".join(c["delta"].get("content") or "" for e in reply.events
                       for c in e["choices"])
        assert text == f"({MAIL})", text
        parts = [{"type": "text", "text": MAIL[:8]}, {"type": "text", "text": MAIL[8:]}]
        reply = ask(server, it.books.key, parts, model="here", **form)
        assert reply.json["choices"][0]["message"]["content"] == f"({MAIL})", reply.body


@site
def what_nobody_reads_does_not_leave(it):
    with good() as cloud, it.serve(POLICY, ("c", "cloud", cloud)) as server:
        for content in ([{"image_url": {"url": "https://x.example/a.png"}}],
                        "![](data:image/png;base64,aGVsbG8=)", [{"type": "text", "text": "a",
                                                                 "pixels": "aGVsbG8="}],
                        [{"type": "text", "text": IBAN[:12]}, {"type": "text", "text": IBAN[12:]}]):
            reply = ask(server, it.books.key, content)
            assert reply.status == 403 and not cloud.requests, (content, reply.body)
        for body in ({"prompt": [1, 2]}, {"prompt": {"prompt_string": "x", "multimodal_data": []}},
                     {"prompt": "x", "prompt_embeds": "aGVsbG8="}):
            reply = server.post("/v1/completions", {"model": "far", **body},
                                headers=bearer(it.books.key))
            assert reply.status == 403 and not cloud.requests, (body, reply.body)
        parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
        assert ask(server, it.books.key, parts, tools=[{"type": "function", "function": {
            "name": "f", "parameters": {"x": 0.5}}}]).status == 200


@site
def rules_name_models_and_not_what_clients_call_them(it):
    policy = POLICY.replace("rules:", "rules:\n  - {name: not-here, up-to: restricted, "
                            "models: [here], refuse: Not this one.}")
    with good() as cloud, it.serve(policy, ("c", "cloud", cloud), aliases=["other"]) as server:
        for model in ("here", "other", None):
            reply = ask(server, it.books.key, "hello", model=model)
            assert reply.status == 403 and "Not this one." in reply.error["message"], reply.body
        assert ask(server, it.books.key, "hello", model="nobody").status == 404
        assert ask(server, it.books.key, "hello").status == 200


@site
def what_a_policy_names_keeps_its_name(it):
    floor = "floors:\n  - {who: [acme/research], class: confidential}\ndetectors:"
    policy = POLICY.replace("detectors:", floor)
    with good() as cloud, it.serve(policy, ("c", "cloud", cloud)) as server:
        run = it.books.run("team", "set", "acme/research", "--name", "free", check=False)
        assert run.returncode == 2 and "the policy has a floor or a rule for" in run.stderr, run
        it.books.command("project", "set", "acme/research/chat", "--name", "talk")
        assert ask(server, it.books.key, "hello").status == 403
    it.books.command("team", "set", "acme/research", "--name", "free")
    with good() as cloud, it.serve(policy, ("c", "cloud", cloud), waits=False) as server:
        assert server.process.wait(60) != 0
        assert "a floor for 'acme/research', and the books have nobody" in server.log_text()


@site
def a_policy_is_read_again_and_a_wrong_one_changes_nothing(it):
    with good() as cloud, it.serve(POLICY, ("c", "cloud", cloud)) as server:
        assert ask(server, it.books.key, f"mail {MAIL}").status == 403
        it.policy.write_text(POLICY.replace("allow: [local, berlin]", "allow: [local, cloud]"),
                             encoding="utf-8")
        server.process.send_signal(signal.SIGHUP)
        assert becomes(lambda: ask(server, it.books.key, f"mail {MAIL}").status == 200)
        for wrong in ("rules: [", POLICY.replace("- {name: cloud, trust: 10}\n", "")):
            it.policy.write_text(wrong, encoding="utf-8")
            n = server.log_text().count("policy stay as they were")
            server.process.send_signal(signal.SIGHUP)
            assert becomes(lambda: server.log_text().count("policy stay as they were") == n + 1)
            assert ask(server, it.books.key, f"mail {MAIL}").status == 200


@site
def a_zone_that_the_policy_lacks_is_refused_at_the_start(it):
    with good() as fake, it.serve(POLICY, ("x", "moon", fake), waits=False) as server:
        assert server.process.wait(60) != 0
        assert "no zone 'moon', in which the backend x is" in server.log_text()


@site
def an_unknown_class_of_a_header_is_refused(it):
    with good() as cloud, it.serve(POLICY, ("c", "cloud", cloud)) as server:
        for value in ("secretish", "public, restricted", "x" * 200, "", "public" + " " * 70):
            reply = ask(server, it.books.key, "hi", headers={"x-tokenworks-data-class": value})
            assert reply.status == 400 and not cloud.requests, (value, reply.body)
        body = json.dumps({"model": "far", "messages": [{"role": "user", "content": "hi"}]})
        twice = (("x-tokenworks-data-class", "public"), ("X-Tokenworks-Data-Class", "restricted"))
        long = (("x-tokenworks-data-class", "public" + " " * 70 + "restricted"),)
        for path, classes in (("/v1/chat/completions", twice), ("/v1/batches", twice),
                              ("/v1/files", twice), ("/v1/batches", long)):
            raw = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
            raw.putrequest("POST", path)
            for name, value in (("Content-Length", str(len(body))),
                                *bearer(it.books.key).items(), *classes):
                raw.putheader(name, value)
            raw.endheaders(body.encode())
            reply = raw.getresponse()
            assert reply.status == 400 and b"give it once" in reply.read(), path
            assert not cloud.requests
            raw.close()


@site
def no_byte_of_a_labelled_request_reaches_another_zone(it):
    """Random policies, labels and failures; fakes keep every byte that they get."""
    rng = random.Random(7)
    classes = ["public", "internal", "confidential", "restricted"]
    zones = ["berlin", "cloud", "edge"]
    n_arrived = 0
    for _ in range(12):
        allowed = {c: rng.sample(zones, rng.randint(0, 3)) for c in classes}
        trust = {z: rng.randint(1, 3) for z in zones}
        rows = "".join(f"  - {{name: r-{c}, class: [{c}], allow: [{', '.join(['local', *z])}]}}\n"
                       for c, z in allowed.items())
        policy = ("zones:\n  - {name: local, trust: 9}\n"
                  + "".join(f"  - {{name: {z}, trust: {t}}}\n" for z, t in trust.items())
                  + "detectors: []\nrules:\n" + rows)
        fakes = {z: rng.choice([good, lambda: Fake(answer(500, {})), lambda: Fake(STREAM),
                                lambda: Fake("")])() for z in zones}
        try:
            with it.serve(policy, *((z, z, fakes[z]) for z in zones)) as server:
                for n in range(16):
                    label = rng.choice(classes)
                    ask(server, it.books.key, f"mark-{n}-{label}", stream=rng.random() < 0.5,
                        headers={"x-tokenworks-data-class": label})
            n_arrived += sum(len(fake.requests) for fake in fakes.values())
            for zone, fake in fakes.items():
                for label in classes:
                    reached = any(f"-{label}" in json.dumps(r) for r in fake.requests)
                    assert not reached or zone in allowed[label], (zone, label, policy)
        finally:
            for fake in fakes.values():
                fake.socket.close()
    assert n_arrived > 12, n_arrived
    it.books.must_balance()


if __name__ == "__main__":
    cases = [a_request_goes_only_where_its_class_may,
             what_a_client_writes_into_its_id_stays_here, a_floor_counts_whatever_the_client_says,
             every_decision_is_on_record,
             nothing_is_tried_where_trust_is_lower,
             what_a_rule_replaces_does_not_leave_and_comes_back,
             what_a_rule_replaces_is_not_seen_by_a_model_here_and_comes_back,
             what_nobody_reads_does_not_leave, rules_name_models_and_not_what_clients_call_them,
             what_a_policy_names_keeps_its_name,
             a_policy_is_read_again_and_a_wrong_one_changes_nothing,
             a_zone_that_the_policy_lacks_is_refused_at_the_start,
             an_unknown_class_of_a_header_is_refused,
             no_byte_of_a_labelled_request_reaches_another_zone]
    print(f"1..{len(cases)}")
    sys.exit(run_cases(cases, *sys.argv[1:]))
