"""Three hubs on one PostgreSQL in front of two nodes, each a machine of its own, of which some are
killed, restarted or cut off while clients ask.

    check_several.py TOKENWORKS DATA [SEED [EVENTS]]

EVENTS: how many failures, of all kinds in random order; without, two of them that are short, and
nobody waits until what dead hubs held comes back.
"""
import collections
import http.client
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books, bearer  # noqa: E402
from machines import Database, Machine, enter  # noqa: E402
from server import run_cases, together  # noqa: E402

HUBS, NODES, CLIENTS, PORT = (11, 12, 13), (21, 22), 6, 8000
PAID = 25  # requests
LEASE_SECONDS, BEAT_SECONDS = 20, 4  # limits.h
MAY_SEE = {0, 502, 503}  # 0: no answer, or half of one
POLICY = """floor: internal
zones:
  - {name: berlin, trust: 20}
  - {name: linz, trust: 20}
rules:
  - {name: ours, up-to: internal, allow: [berlin, linz]}
"""


def ask(address, key, n_tokens, stream=False, timeout=30):
    """Status, the request's id and why not; 0 for what is no whole answer."""
    body = {"model": "large", "temperature": 0, "max_tokens": n_tokens, "ignore_eos": True,
            "stream": stream, "messages": [{"role": "user", "content": "What is a budget?"}]}
    connection = http.client.HTTPConnection(address, PORT, timeout=timeout)
    try:
        connection.request("POST", "/v1/chat/completions", json.dumps(body), bearer(key))
        answer = connection.getresponse()
        data = answer.read().decode()
    except (OSError, http.client.HTTPException) as error:
        return 0, None, repr(error)
    finally:
        connection.close()
    if answer.status != 200:
        return answer.status, None, json.loads(data)["error"]["code"]
    if not stream:
        return 200, json.loads(data)["id"].removeprefix("chatcmpl-"), None
    events = [part[6:] for part in data.split("\n\n") if part.startswith("data: ")]
    if not events or events[-1] != "[DONE]" or any('"error"' in event for event in events):
        return 0, None, "a stream that was cut"
    return 200, json.loads(events[0])["id"].removeprefix("chatcmpl-"), None


class Process:
    """A server on a machine."""

    def __init__(self, program, machine, log, *words, **more):
        self.words = [*machine.before, program, "serve", "--port", str(PORT), "--host",
                      machine.address, *map(str, words)]
        self.machine, self.log, self.more, self.process = machine, log, more, None
        self.start()

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.words, stdout=log, stderr=log, **self.more)

    def is_ready(self):
        connection = http.client.HTTPConnection(self.machine.address, PORT, timeout=2)
        try:
            connection.request("GET", "/ready")
            return connection.getresponse().status == 200
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def metric(self, name, key):
        connection = http.client.HTTPConnection(self.machine.address, PORT, timeout=10)
        try:
            connection.request("GET", "/metrics", headers=bearer(key))
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        return re.search(rf"^tokenworks_{name} (\S+)$", text, re.MULTILINE)[1]

    def wait(self, seconds=60):
        end = time.monotonic() + seconds
        while not self.is_ready():
            assert time.monotonic() < end and self.process.poll() is None, \
                self.log.read_text(errors="replace")[-2000:]
            time.sleep(0.05)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Site:
    def __init__(self, program, data, folder, database, machines):
        self.folder, self.database, self.machines = Path(folder), database, machines
        keys = [self.folder / f"keys-{n}" for n in HUBS]
        os.environ["TOKENWORKS_BOOKS_KEYS"] = str(keys[0])
        keys[0].mkdir(mode=0o700)
        self.books = Books(program, folder, database.local)
        for other in keys[1:]:
            shutil.copytree(keys[0], other)
        self.nodes = [Process(program, machines[n], self.folder / f"node-{n}.log", "--no-auth",
                              "--no-pack", "--model", Path(data, "tokenworks-demo.gguf"))
                      for n in NODES]
        (self.folder / "policy.yaml").write_text(POLICY, encoding="ascii")
        rows = [{"name": f"n{n}", "url": f"http://{machines[n].address}:{PORT}",
                 "kind": "tokenworks", "zone": zone, "models": [
                     {"name": "large", "upstream": "tokenworks-demo", "ctx": 2048}]}
                for n, zone in zip(NODES, ("berlin", "linz"))]
        config = self.folder / "serve.yaml"
        config.write_text(json.dumps({"policy": "policy.yaml", "backends": rows}),
                          encoding="ascii")
        for node in self.nodes:
            node.wait()
        self.hubs = []
        for n, place in zip(HUBS, keys):
            self.hubs.append(Process(program, machines[n], self.folder / f"hub-{n}.log", "--books",
                                     database.address, "--config", config,
                                     env={**os.environ, "TOKENWORKS_BOOKS_KEYS": str(place)}))
            self.hubs[-1].wait()
        self.answered, self.seen = [], collections.Counter()

    def close(self):
        for process in (*self.hubs, *self.nodes):
            process.kill()

    # ---- load ----

    def ask_any(self, randomly, n_tokens, stream):
        """As a client behind a load balancer that tries the next one."""
        end = time.monotonic() + 60
        while time.monotonic() < end:
            for hub in randomly.sample(self.hubs, len(self.hubs)):
                status, number, reason = ask(hub.machine.address, self.books.key, n_tokens, stream)
                self.seen[status, None if status in (0, 200) else reason] += 1
                if status == 200:
                    self.answered.append(number)
                    return
                assert status in MAY_SEE, (status, reason)
            time.sleep(0.2)
        raise AssertionError(f"a request found nobody for a minute: {self.seen}")

    def load(self, seed, stop, failures):
        randomly = random.Random(seed)
        while not stop.is_set():
            try:
                self.ask_any(randomly, randomly.randint(1, 60), randomly.random() < 0.5)
            except Exception as error:  # the main thread reports it
                failures.append(repr(error))
                return

    # ---- failures: how it is done, and for how long something is away ----

    def events(self):
        kinds = {"hub killed": (self.hubs, Process.kill, Process.start),
                 "node killed": (self.nodes, Process.kill, Process.start),
                 "database killed": ([self.database], Database.kill, Database.start),
                 "database stopped": ([self.database], Database.stop, Database.go_on)}
        if self.machines[HUBS[0]].holder is not None:
            def cut(what):
                what.machine.connect(False)

            def join(what):
                what.machine.connect(True)
            kinds.update({"hub cut off": (self.hubs, cut, join),
                          "node cut off": (self.nodes, cut, join),
                          "database cut off": ([self.database], cut, join)})
        return kinds

    def until(self, is_so, seconds=90):
        begin = time.monotonic()
        while not is_so():
            assert time.monotonic() < begin + seconds, "it does not come back"
            time.sleep(0.02)
        return time.monotonic() - begin

    def answers(self, hub):
        return ask(hub.machine.address, self.books.key, 1, timeout=2)[0] == 200

    def has_failed(self, kind, what, seconds):
        """Two times: until somebody answers while it is away, until all is as before."""
        _, fail, mend = self.events()[kind]
        fail(what)
        others = [hub for hub in self.hubs if hub is not what]
        answers = 0.0
        if not isinstance(what, Database):
            answers = self.until(lambda: any(self.answers(hub) for hub in others))
        else:
            self.until(lambda: not any(hub.is_ready() for hub in self.hubs))
            assert all(hub.metric("books_up", self.books.key) == "0" for hub in self.hubs)
        time.sleep(seconds)
        mend(what)
        took = self.until(lambda: all(self.answers(hub) for hub in self.hubs))
        self.until(lambda: all(hub.is_ready() for hub in self.hubs))
        assert all(hub.metric("books_up", self.books.key) == "1" for hub in self.hubs)
        return answers, took

    # ---- what must be true afterwards ----

    def check(self):
        self.books.must_balance()
        for words in (("audit", "verify"),):
            out = self.books.run(*words, check=False)
            assert out.returncode == 0, f"{out.stdout}{out.stderr}"
        rows = self.database.rows("SELECT body FROM audit WHERE kind = 'request.settled'")
        settled = collections.Counter(
            record["request"] for record in (json.loads(row[0]) for row in rows)
            if record["finish"] in ("stop", "length"))
        wrong = [(number, settled[number]) for number in self.answered if settled[number] != 1]
        assert self.answered and not wrong, \
            f"{len(wrong)} were answered, and are not once in the records: {wrong[:10]}"
        over = self.database.rows(
            "SELECT w.spent, w.reserved, b.limit_value FROM budget_window w JOIN budget b"
            " ON b.id = w.budget WHERE w.spent + w.reserved > b.limit_value + w.carried")
        assert not over, f"more was spent than there was: {over}"

    def n_open(self):
        return int(self.database.rows("SELECT COUNT(*) FROM reservation")[0][0])


def a_budget_for_some_requests_serves_as_many(site):
    assert ask(site.hubs[0].machine.address, site.books.key, 1)[0] == 200
    reserved, used = (int(site.database.rows(
        f"SELECT tokens FROM entry WHERE kind = '{kind}' ORDER BY id DESC LIMIT 1")[0][0])
        for kind in ("reserve", "settle"))
    site.books.command("budget", "set", "acme/research/chat/ci", "--unit", "tokens", "--limit",
                       str((PAID - 1) * used + reserved), "--period", "total")
    served = collections.Counter()

    def client(n):
        randomly = random.Random(n)
        while True:
            status, _, code = ask(randomly.choice(site.hubs).machine.address, site.books.key, 1)
            served[status] += 1
            assert status in (200, 429), (status, code)
            if status == 429 and site.n_open() == 0:  # nobody's worst case is in the way
                return
            if sum(served.values()) > 50 * PAID:
                raise AssertionError(f"no end: {served}")
    together([lambda n=n: client(n) for n in range(CLIENTS)])
    assert served[200] == PAID, served
    site.books.command("budget", "set", "acme/research/chat/ci", "--unit", "tokens", "--limit",
                       "1000000", "--period", "total")


def a_revocation_reaches_all_hubs_within_a_second(site):
    secret = site.books.make_key("short")
    site.until(lambda: all(ask(hub.machine.address, secret, 1)[0] == 200 for hub in site.hubs))
    ends = []

    def stream(hub):
        status = 200
        while status == 200:
            status, _, why = ask(hub.machine.address, secret, 1800, stream=True, timeout=60)
        ends.append((status, why))
    threads = [threading.Thread(target=stream, args=(hub,)) for hub in site.hubs]
    for thread in threads:
        thread.start()
    site.until(lambda: site.n_open() == len(threads))
    site.books.command("key", "revoke", "acme/research/chat/short")
    took = site.until(lambda: all(ask(hub.machine.address, secret, 1)[0] == 401
                                  for hub in site.hubs))
    for thread in threads:
        thread.join()
    print(f"# a revocation was everywhere after {took:.2f} s; streams: {ends}", flush=True)
    assert took < 1 or os.getloadavg()[0] > 2 * (os.cpu_count() or 1), took
    assert all(status in (0, 401) for status, _ in ends) and any(s == 0 for s, _ in ends), ends


def failures_in_random_order_lose_and_overspend_nothing(site, seed, n_events):
    randomly = random.Random(seed)
    kinds = site.events()
    if not n_events:
        kinds.pop("database stopped")  # it takes TW_LIMIT_DB_ANSWER_MS
    order = [kind for _ in range(1 + n_events // len(kinds))
             for kind in randomly.sample(sorted(kinds), len(kinds))][:n_events or 2]
    stop, failures, times = threading.Event(), [], collections.defaultdict(list)
    clients = [threading.Thread(target=site.load, args=(seed * 1000 + n, stop, failures))
               for n in range(CLIENTS)]
    for client in clients:
        client.start()
    try:
        for kind in order:
            what = randomly.choice(kinds[kind][0])
            times[kind].append(site.has_failed(kind, what, 3 if n_events else 0.5))
            assert not failures, failures
    finally:
        stop.set()
        for client in clients:
            client.join()
    assert not failures, failures
    for kind, pairs in sorted(times.items()):
        print(f"# {kind}: others answer after at most {max(a for a, _ in pairs):.1f} s, all of "
              f"them {max(b for _, b in pairs):.1f} s after it is mended ({len(pairs)} times)",
              flush=True)
    print(f"# {len(site.answered)} answers; seen by clients: {dict(site.seen)}", flush=True)
    site.check()


def what_was_left_open_is_settled_after_the_lease(site):
    hub = site.hubs[0]
    site.until(lambda: site.n_open() == 0)
    for _ in range(20):  # until it is killed in the middle of one
        stream = threading.Thread(target=ask,
                                  args=(hub.machine.address, site.books.key, 1800, True))
        stream.start()
        site.until(lambda: site.n_open() > 0 or not stream.is_alive())
        hub.kill()
        stream.join()
        if site.n_open() > 0:
            break
        hub.start()
        hub.wait()
    took = site.until(lambda: site.n_open() == 0)
    print(f"# what a dead hub held came back after {took:.1f} s", flush=True)
    assert LEASE_SECONDS - BEAT_SECONDS - 1 < took < LEASE_SECONDS + 2 * BEAT_SECONDS + 5, took
    site.check()
    held = site.database.rows("SELECT SUM(reserved) FROM budget_window")[0][0]
    running = site.database.rows("SELECT COALESCE(SUM(running), 0) FROM rate")[0][0]
    assert (held, running) == ("0", "0"), (held, running)


def main(program, data, seed="1", n_events="0"):
    has_namespaces = enter()
    is_short = int(n_events) == 0
    print(f"1..{3 if is_short else 4}")
    if not has_namespaces:
        print("# no network namespaces here: loopback addresses, and no link is cut")
    print(f"# seed {seed}", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        machines = {n: Machine(n, has_namespaces) for n in (10, *HUBS, *NODES)}
        try:
            with Database(machines[10]) as database:
                site = Site(program, data, folder, database, machines)
                try:
                    code = run_cases([a_budget_for_some_requests_serves_as_many,
                                      a_revocation_reaches_all_hubs_within_a_second], site)
                    code |= run_cases([failures_in_random_order_lose_and_overspend_nothing], site,
                                      int(seed), int(n_events), first=3)
                    if not is_short:
                        code |= run_cases([what_was_left_open_is_settled_after_the_lease], site,
                                          first=4)
                    if code != 0:
                        for log in sorted(Path(folder).glob("*.log")):
                            text = log.read_text(errors="replace")[-1500:]
                            print(f"# {log.name}: " + text.replace("\n", "\n# "))
                finally:
                    site.close()
        finally:
            for machine in machines.values():
                machine.__exit__()
    return code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
