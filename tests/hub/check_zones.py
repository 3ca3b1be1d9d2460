"""No byte of a request reaches a zone that its class may not enter: random policies, classes,
backends, failures, retries, canaries and fallbacks, through the real server; the fakes behind it
keep every byte that they get.

    check_zones.py TOKENWORKS ROUNDS [SEED]

ROUNDS requests in all. What may happen is computed here, by other code, from the policy alone.
"""
import collections
import http.client
import json
import random
import re
import signal
import socket
import sys
import tempfile
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "http"))
from server import Server, becomes, run_cases  # noqa: E402

CLASSES = ["public", "internal", "confidential", "restricted"]
ZONES = ["berlin", "cloud", "edge", "far"]
MODELS = ["large", "medium", "small"]
N_SERVERS, N_POLICIES = 5, 6
CHUNK = (b'data: {"id":"x","model":"m","choices":[{"index":0,"delta":{"content":"word "}}]}\n\n')
LAST = (b'data: {"id":"x","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        b'data: {"id":"x","choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
        b'data: [DONE]\n\n')
WHOLE = json.dumps({"id": "x", "object": "chat.completion", "model": "m", "choices": [
    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": "ok"}}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10}}).encode()


class Fake:
    """A server in a zone, which answers as a die says. `log`, which all of them share, gets
    (zone, name, bytes) of everything that arrives, in the order of arrival."""

    def __init__(self, name, zone, seed, log):
        self.name, self.zone, self.rng, self.log = name, zone, random.Random(seed), log
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=128)
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
            try:
                while self.answer(client):
                    pass
            except OSError:
                pass

    def answer(self, client):
        """One request, recorded as it comes. False: the connection is over."""
        data, length = bytearray(), None
        while length is None or len(data) < length:
            part = client.recv(65536)
            if not part:
                return False
            if not data:
                self.log.append((self.zone, self.name, data))
            data += part
            head, found, _ = data.partition(b"\r\n\r\n")
            if found and length is None:
                sent = re.search(rb"(?i)content-length: (\d+)", head)
                length = len(head) + 4 + (int(sent[1]) if sent else 0)
        if data.startswith(b"GET"):
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            return True
        is_stream = b'"stream":true' in data
        # So often that retries are many, and so seldom that breakers are mostly closed.
        kind = self.rng.choice(["good"] * 20 + ["status", "status", "cut", "silent", "nonsense"])
        head = (b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n")
        stream = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close"
                  b"\r\n\r\n")
        if kind == "status":
            body = b'{"error":{"message":"no"}}'
            client.sendall(head % (self.rng.choice([429, 500, 502, 503]), len(body)) + body)
            return True
        if kind == "silent":
            return False
        if kind == "nonsense":
            client.sendall(b"what\r\n\r\n")
            return False
        if is_stream:
            client.sendall(stream + (CHUNK if kind == "cut" else CHUNK * 3 + LAST))
            return False
        client.sendall(head % (200, len(WHOLE)) + (WHOLE[:9] if kind == "cut" else WHOLE))
        return kind != "cut"


Visit = collections.namedtuple("Visit", "zone name model shows_mail")


class Policy:
    """A random one: its text, and what it says."""

    def __init__(self, rng):
        self.trust = {zone: rng.randint(1, 3) for zone in ZONES}
        self.allowed = {c: rng.sample(ZONES, rng.randint(0, len(ZONES))) for c in CLASSES}
        self.redacting = rng.sample(ZONES, rng.randint(1, 3)) if rng.random() < 0.5 else None
        self.left_up_to = rng.randint(0, 1)
        rules = []
        if self.redacting:
            rules.append("{name: black, class: [confidential], redact: [email], left-up-to: "
                         f"{CLASSES[self.left_up_to]}, allow: [{', '.join(self.redacting)}]}}")
        rules += [f"{{name: r-{c}, class: [{c}], allow: [{', '.join(zones)}]}}"
                  for c, zones in self.allowed.items() if zones]
        rules.append("{name: none, class: [public, internal, confidential, restricted], "
                     "refuse: no}")
        zones = [f"{{name: {zone}, trust: {trust}}}" for zone, trust in self.trust.items()]
        self.text = ("zones:\n" + "".join(f"  - {zone}\n" for zone in zones)
                     + "detectors:\n  - {find: email, class: confidential}\nrules:\n"
                     + "".join(f"  - {rule}\n" for rule in rules))

    def may(self, label, has_mail, zones):
        """Of the zones where a model is: where it may go, and whether the mail address is gone."""
        rank = max(label, 2) if has_mail else label
        if (self.redacting and rank == 2 and label <= self.left_up_to
                and zones & set(self.redacting)):  # leading nowhere, it does not count
            return zones & set(self.redacting), has_mail
        return zones & set(self.allowed[CLASSES[rank]]), False

    def allows(self, label, has_mail, visit, asked, zones_of):
        """Whether what a visit shows is right: of the model that was asked for, or of one that took
        its place, which goes to zones that are trusted so much."""
        least = [0] if visit.model == asked else range(self.trust[visit.zone] + 1)
        for trust in least:
            zones, is_gone = self.may(label, has_mail, {
                zone for zone in zones_of[visit.model] if self.trust[zone] >= trust})
            if visit.zone in zones and visit.shows_mail == (has_mail and not is_gone):
                return True
        return False


def make_backends(rng, log):
    rows, fakes = [], []
    for n in range(8):
        fake = Fake(f"b{n}", rng.choice(ZONES), rng.random(), log)
        fakes.append(fake)
        models = rng.sample(MODELS, rng.randint(1, 2))
        rows.append({"name": fake.name, "url": fake.url, "zone": fake.zone,
                     "canary-per-mille": rng.choice([0, 0, 200, 1000]),
                     "kind": rng.choice(["openai", "vllm", "sglang", "llama.cpp", "tokenworks"]),
                     "models": [{"name": m, "ctx": 4096, "cost": {
                         "input": str(rng.randint(0, 2)), "output": "1"}} for m in models]})
    there = sorted({m["name"] for row in rows for m in row["models"]})
    falls = [{"model": m, "to": [o for o in there if o != m]} for m in there if len(there) > 1]
    return rows, fakes, falls


class Run:
    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.n_sent = self.n_arrived = self.n_again = self.n_canaries = self.n_fell = 0
        self.n_refused = self.n_redacted = 0

    def ask(self, connection, mark, models):
        label, has_mail = self.rng.randrange(4), self.rng.random() < 0.4
        text = f"mark-{mark}-end" + (f" m{mark}x@example.org" if has_mail else "")
        model = self.rng.choice(models)
        connection.request("POST", "/v1/chat/completions", json.dumps({
            "model": model, "max_tokens": 5, "stream": self.rng.random() < 0.5,
            "messages": [{"role": "user", "content": text}]}),
            {"X-Tokenworks-Data-Class": CLASSES[label]})
        answer = connection.getresponse()
        answer.read()
        self.n_refused += answer.status == 403
        return label, has_mail, model

    def check(self, policy, rows, log, sent):
        """What arrived of all that was sent under a policy."""
        visits_of, zones_of = collections.defaultdict(list), collections.defaultdict(set)
        for row in rows:
            for model in row["models"]:
                zones_of[model["name"]].add(row["zone"])
        for zone, name, part in log:
            found = re.search(rb"mark-(\d+)-end", part)
            if found:
                model = re.search(rb'"model":"(\w+)"', part)[1].decode()
                mail = re.search(rb"m(\d+)x@example", part)
                assert mail is None or mail[1] == found[1], part
                visits_of[int(found[1])].append(Visit(zone, name, model, mail is not None))
        canaries = {row["name"] for row in rows if row["canary-per-mille"] > 0}
        for mark, visits in visits_of.items():
            label, has_mail, asked = sent[mark]
            for visit in visits:
                assert policy.allows(label, has_mail, visit, asked, zones_of), \
                    (policy.text, visit, sent[mark])
            first = visits[0].name
            if first not in canaries:  # its trust is the least of all that come
                least = policy.trust[visits[0].zone]
                assert all(policy.trust[visit.zone] >= least for visit in visits), \
                    (policy.text, visits, sent[mark])
            self.n_redacted += has_mail and not visits[0].shows_mail
            self.n_arrived += 1
            self.n_again += len(visits) > 1
            self.n_canaries += first in canaries
            self.n_fell += any(visit.model != asked for visit in visits)


def no_byte_of_a_request_reaches_a_zone_that_its_class_may_not_enter(program, rounds, seed):
    run, n_each = Run(int(seed)), int(rounds) // (N_SERVERS * N_POLICIES)
    for _ in range(N_SERVERS):
        log = []
        rows, fakes, falls = make_backends(run.rng, log)
        models = sorted({m["name"] for row in rows for m in row["models"]})
        with tempfile.TemporaryDirectory() as folder:
            rules, config = Path(folder, "policy.yaml"), Path(folder, "serve.yaml")
            policy = Policy(run.rng)
            rules.write_text(policy.text, encoding="ascii")
            config.write_text(json.dumps({"policy": "policy.yaml", "backends": rows,
                                          "fallbacks": falls}), encoding="ascii")
            with Server(program, "--config", config) as server:
                connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
                for number in range(N_POLICIES):
                    if number > 0:
                        policy = Policy(run.rng)
                        rules.write_text(policy.text, encoding="ascii")
                        server.process.send_signal(signal.SIGHUP)
                        assert becomes(lambda: server.log_text().count("a policy holds")
                                       == number + 1), server.log_text()
                    sent = {}
                    for _ in range(n_each):
                        run.n_sent += 1
                        sent[run.n_sent] = run.ask(connection, run.n_sent, models)
                    run.check(policy, rows, log, sent)
                    log.clear()
        for fake in fakes:
            fake.socket.close()
    print(f"# {run.n_sent} requests, {run.n_arrived} arrived somewhere, {run.n_again} at several, "
          f"{run.n_canaries} at a canary first, {run.n_fell} at another model's, "
          f"{run.n_redacted} redacted, {run.n_refused} refused")
    assert run.n_arrived > run.n_sent // 3, "too few arrived to show anything"
    for n in (run.n_again, run.n_canaries, run.n_fell, run.n_redacted, run.n_refused):
        assert n > run.n_sent // 100, "too little of it happened to show anything"


if __name__ == "__main__":
    print("1..1")
    seed = sys.argv[3] if len(sys.argv) > 3 else "1"
    sys.exit(run_cases([no_byte_of_a_request_reaches_a_zone_that_its_class_may_not_enter],
                       *sys.argv[1:3], seed))
