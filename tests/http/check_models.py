"""Several models in one server: who is in memory, who waits, and who computes.

    check_models.py TOKENWORKS DATA SYNTH_MODEL

The demo model is in DATA; SYNTH_MODEL makes two more, which babble.
"""
import hashlib
import json
import random
import re
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from server import Server, becomes, run_cases  # noqa: E402

NAMES = ("demo", "one", "two")
PROMPTS = ("hello", "What is tokenworks?", "Once upon a time", "3 km in m")
COMMON = ("--ctx", 512, "--max-seqs", 4)
ENOUGH_TOKENS = 12000


class Models:
    """Files of three models, and how much memory each takes."""

    def __init__(self, program, data, maker, folder):
        self.program, self.folder = program, folder
        self.paths = {"demo": Path(folder, "demo.gguf"), "one": Path(folder, "one.gguf"),
                      "two": Path(folder, "two.gguf")}
        self.paths["demo"].write_bytes(Path(data, "tokenworks-demo.gguf").read_bytes())
        for name, preset in (("one", "llama2-tiny"), ("two", "qwen3-tiny")):
            subprocess.run([maker, "--preset", preset, "-o", self.paths[name]], check=True,
                           stdout=subprocess.DEVNULL)
        run = subprocess.run([program, "serve", "--check", *map(str, COMMON), *self.words()],
                             capture_output=True, text=True, check=True)
        sizes = re.findall(r"model (\w+): .*, (\d+) bytes of weights and (\d+) of KV", run.stdout)
        self.bytes = {name: int(weights) + int(kv) for name, weights, kv in sizes}
        assert set(self.bytes) == set(NAMES), run.stdout

    def words(self, *names):
        return [word for name in names or NAMES
                for word in ("--model", f"{name}={self.paths[name]}")]

    def server(self, *words, names=(), n_bytes=None):
        """Room for one model, unless it is said otherwise."""
        room = max(self.bytes.values()) + 1000 if n_bytes is None else n_bytes
        return Server(self.program, *COMMON, *self.words(*names), "--models-bytes", room, *words)


def complete(server, name, prompt, **more):
    body = {"model": name, "prompt": prompt, "temperature": 0, "max_tokens": 24, **more}
    answer = server.post("/v1/completions", body)
    assert answer.status == 200, answer.body
    return answer.json["choices"][0]["text"]


def loaded(server):
    return {row["id"] for row in server.get("/v1/models").json["data"] if row["loaded"]}


def alone(models):
    """What each model says, served alone."""
    texts = {}
    for name in NAMES:
        with Server(models.program, *COMMON, *models.words(name)) as server:
            for prompt in PROMPTS:
                texts[name, prompt] = complete(server, name, prompt)
    return texts


class Stream:
    """A completion that is streamed, read byte by byte if one likes."""

    def __init__(self, server, name, prompt="hello", max_tokens=400):
        body = json.dumps({"model": name, "prompt": prompt, "max_tokens": max_tokens,
                           "ignore_eos": True, "stream": True}).encode()
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        self.socket.sendall(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                            b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        self.data = b""

    def read_until(self, mark):
        while mark not in self.data:
            part = self.socket.recv(1 << 16)
            assert part, f"the stream ended: {self.data[-200:]}"
            self.data += part

    def close(self):
        self.socket.close()


def all_at_once(work, items):
    """The results of work(item), each in a thread of its own."""
    results, failures = {}, []

    def run(item):
        try:
            results[item] = work(item)
        except Exception as failure:  # shown by the main thread
            failures.append((item, failure))
    threads = [threading.Thread(target=run, args=(item,)) for item in items]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures
    return results


# ---- who is in memory ----

def each_answer_is_that_of_a_server_with_that_model_alone(models):
    expected = alone(models)
    with models.server() as server:
        assert loaded(server) == set()
        for prompt in PROMPTS:
            for name in NAMES:
                assert complete(server, name, prompt) == expected[name, prompt]
                assert loaded(server) == {name}
        assert server.metric("model_loads_total") == len(PROMPTS) * len(NAMES)
        assert server.metric("generation_tokens_total") > 0
        # and all at once, each as often as it likes
        items = [(name, prompt) for name in NAMES for prompt in PROMPTS] * 2
        assert all_at_once(lambda item: complete(server, *item), set(items)) == expected


def with_room_for_two_the_least_recently_used_leaves(models):
    room = max(models.bytes["one"], models.bytes["two"]) + models.bytes["demo"] + 1000
    with models.server(n_bytes=room) as server:
        for name, remain in (("one", {"one"}), ("demo", {"one", "demo"}),
                             ("two", {"demo", "two"}), ("demo", {"demo", "two"}),
                             ("one", {"demo", "one"})):
            complete(server, name, "hello")
            assert loaded(server) == remain, f"after {name}: {loaded(server)}"


def without_a_bound_all_models_are_loaded_at_the_start(models):
    with Server(models.program, *COMMON, *models.words()) as server:
        assert loaded(server) == set(NAMES)
        assert "a model made room" not in server.log_text()


def what_needs_no_weights_loads_no_model(models):
    with models.server() as server:
        ids = server.post("/tokenize", {"model": "two", "prompt": "hello"}).json["tokens"]
        assert server.post("/detokenize", {"model": "two", "tokens": ids}).json[
            "prompt"] == "hello"
        assert server.get("/ready").status == 200
        refused = server.post("/v1/completions", {"model": "one", "prompt": "x " * 600})
        assert refused.error["code"] == "context_length_exceeded"
        assert loaded(server) == set()


def preload_and_budgets_are_checked_at_the_start(models):
    config = Path(models.folder, "preload.yaml")
    rows = "\n".join(f"  - {{path: {name}.gguf, preload: {preload}}}"
                     for name, preload in (("demo", "no"), ("one", "yes"), ("two", "no")))
    text = f"ctx: 512\nmax-seqs: 4\nmodels-bytes: {max(models.bytes.values())}\nmodels:\n{rows}\n"
    config.write_text(text, encoding="utf-8")
    with Server(models.program, "--config", config) as server:
        assert loaded(server) == {"one"}
        complete(server, "demo", "hello")
        assert loaded(server) == {"demo"}
    for wrong, message in ((text.replace("preload: no", "preload: yes"), "loaded at the start"),
                           (text.replace("models-bytes: ", "models-bytes: 1 # "), "are more than"),
                           (text + "kv-bytes: 1000", "KV cache")):
        config.write_text(wrong, encoding="utf-8")
        for more in ([], ["--check"]):
            run = subprocess.run([models.program, "serve", "--port", "0", "--config", config,
                                  *more], capture_output=True, text=True, timeout=60)
            assert run.returncode in (2, 7) and message in run.stderr, f"{wrong}: {run}"


def caches_share_one_budget(models):
    """Each model may have all of it, so only one is in memory at a time."""
    config = Path(models.folder, "caches.yaml")
    rows = "\n".join(f"  - {{path: {name}.gguf, kv-bytes: 20000000, preload: no}}"
                     for name in NAMES)
    config.write_text(f"ctx: 512\nmax-seqs: 4\nkv-bytes: 30000000\nmodels:\n{rows}\n",
                      encoding="utf-8")
    with Server(models.program, "--config", config) as server:
        for name in ("demo", "two", "demo"):
            complete(server, name, "hello")
            assert loaded(server) == {name}


# ---- who waits ----

def a_model_that_is_always_asked_does_not_keep_others_out(models):
    with models.server() as server:
        is_over = threading.Event()
        counts = {"demo": 0}

        def keep_asking():
            while not is_over.is_set():
                complete(server, "demo", "hello", max_tokens=100, ignore_eos=True)
                counts["demo"] += 1
        threads = [threading.Thread(target=keep_asking) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for name in ("one", "two"):
                begin = time.monotonic()
                complete(server, name, "hello")
                assert time.monotonic() - begin < 15, f"{name} waited too long"
            before = counts["demo"]
            assert becomes(lambda: counts["demo"] > before + 3), "demo does not come back"
        finally:
            is_over.set()
            for thread in threads:
                thread.join()


def leave_while_waiting(server):
    """Two ask for model "one", which is away, and one of them leaves. Whether it was let go before
    the model came, which has to wait for two seconds at least while the demo model is asked."""
    assert becomes(lambda: loaded(server) == {"demo"}, 60), "demo does not come back"

    def counts():
        text = server.get("/metrics").body.decode()
        return [int(re.search(rf'{name}\{{model_name="one"\}} (\d+)', text)[1]) for name in
                ("num_requests_waiting", "model_loads_total", "generation_tokens_total")]
    _, n_loads, n_tokens = counts()
    waiting, leaving = Stream(server, "one", max_tokens=5), Stream(server, "one")
    assert becomes(lambda: counts()[0] == 2 or counts()[1] > n_loads), "they do not arrive"
    both_wait = counts()[:2] == [2, n_loads]
    leaving.close()
    assert becomes(lambda: counts()[0] < 2 or counts()[1] > n_loads), "who left is waited for"
    is_caught = both_wait and counts()[:2] == [1, n_loads]
    waiting.read_until(b"[DONE]")
    waiting.close()
    assert not is_caught or becomes(lambda: counts()[2] == n_tokens + 5), "who left was answered"
    return is_caught


def a_stream_that_waits_for_its_model_lives_and_can_be_cancelled(models):
    """The demo model streams all the time: what runs is never cut off."""
    with models.server("--heartbeat", 1) as server:
        is_over = threading.Event()

        def keep_asking(number):
            n = 0
            while not is_over.is_set():
                stream = Stream(server, "demo", prompt=f"story {number}", max_tokens=450)
                stream.read_until(b"[DONE]")
                assert b'"finish_reason":"length"' in stream.data
                stream.close()
                n += 1
            return n

        def keep_leaving(_):
            try:
                assert becomes(lambda: server.metric("generation_tokens_total") > 10)
                return sum(leave_while_waiting(server) for _ in range(3))
            finally:
                is_over.set()
        work = {number: keep_asking for number in range(6)} | {"leaves": keep_leaving}
        results = all_at_once(lambda item: work[item](item), work)
        assert results["leaves"] > 0, "nobody left while the model was away"
        assert becomes(lambda: server.metric("num_requests_waiting") == 0)


def a_model_that_cannot_be_loaded_says_so_and_hurts_nobody(models):
    whole = models.paths["one"].read_bytes()
    with models.server() as server:
        try:
            models.paths["one"].unlink()
            models.paths["one"].write_bytes(whole[:len(whole) // 2])
            asked = all_at_once(lambda prompt: server.post(
                "/v1/completions", {"model": "one", "prompt": prompt}), PROMPTS)
            for answer in asked.values():
                assert answer.status == 500 and "cannot be loaded" in answer.error["message"]
                assert models.folder not in answer.error["message"]
            stream = server.post("/v1/completions",
                                 {"model": "one", "prompt": "hello", "stream": True})
            assert b"cannot be loaded" in stream.body and stream.body.endswith(b"[DONE]\n\n")
            assert "a model cannot be loaded" in server.log_text()
            assert complete(server, "demo", "hello") and server.get("/ready").status == 200
            models.paths["one"].unlink()
            models.paths["one"].write_bytes(models.paths["two"].read_bytes())
            answer = server.post("/v1/completions", {"model": "one", "prompt": "hello"})
            assert answer.status == 500 and "another model" in server.log_text()
        finally:
            models.paths["one"].unlink()
            models.paths["one"].write_bytes(whole)
        assert complete(server, "one", "hello")


def a_storm_of_requests_leaves_nothing_behind(models):
    """Short and long ones for all models, some of which are given up at any stage."""
    expected = alone(models)
    with models.server() as server:
        end = time.monotonic() + 6

        def ask(number):
            rng = random.Random(number)
            while time.monotonic() < end:
                name, prompt = rng.choice(NAMES), rng.choice(PROMPTS)
                if rng.random() < 0.5:
                    assert complete(server, name, prompt) == expected[name, prompt]
                    continue
                stream = Stream(server, name, prompt, max_tokens=rng.randrange(1, 300))
                if rng.random() < 0.5:
                    stream.read_until(b"data: ")
                else:
                    time.sleep(rng.random() * 0.1)
                stream.close()
        all_at_once(ask, range(10))
        assert becomes(lambda: server.metric("num_requests_waiting") == 0 and
                       server.metric("num_requests_running") == 0)
        assert becomes(lambda: server.metric("kv_cache_pages_used") == 0)
        assert len(loaded(server)) <= 1 and server.metric("model_loads_total") > 3
        for name in NAMES:
            assert complete(server, name, "hello") == expected[name, "hello"]
        assert server.stop() == 0, server.log_text()


def a_server_stops_while_somebody_waits_for_a_model(models):
    with models.server("--drain", 1) as server:
        running = Stream(server, "demo", max_tokens=480)
        running.read_until(b"data: ")
        streams = [Stream(server, name, max_tokens=400) for name in ("one", "two", "demo") * 3]
        time.sleep(0.1)
        assert server.stop() == 0, server.log_text()
        for stream in streams + [running]:
            stream.close()


# ---- who computes ----

def write_keys(models, rows):
    path = Path(models.folder, "keys.yaml")
    text = "".join(f"  - {{tenant: {name}, weight: {weight}, hash: "
                   f"{hashlib.sha256(name.encode()).hexdigest()}}}\n" for name, weight in rows)
    path.write_text("keys:\n" + text, encoding="utf-8")
    return path


def measure(server, work, n_clients=4):
    """Tokens that each tenant got until all together got enough. work: (tenant, model); each has
    so many clients that somebody always waits, however slow this program is."""
    tokens, lock, is_over = {}, threading.Lock(), threading.Event()

    def run(item):
        number, tenant, model = item
        while not is_over.is_set():
            answer = server.post("/v1/completions", {
                "model": model, "prompt": f"{tenant} {number}", "max_tokens": 120,
                "ignore_eos": True, "temperature": 0},
                headers={"Authorization": f"Bearer {tenant}"})
            assert answer.status == 200, answer.body
            with lock:
                if not is_over.is_set():
                    tokens[tenant] = (tokens.get(tenant, 0) +
                                      answer.json["usage"]["completion_tokens"])
                if sum(tokens.values()) >= ENOUGH_TOKENS:
                    is_over.set()
    all_at_once(run, [(number, *pair) for number, pair in enumerate(work * n_clients)])
    return tokens


def tenants_on_different_models_share_by_their_weights(models):
    keys = write_keys(models, (("a", 1), ("b", 3)))
    with Server(models.program, *COMMON, *models.words(), "--api-keys", keys) as server:
        tokens = measure(server, [("a", "one"), ("b", "two")])
        assert 2.0 < tokens["b"] / tokens["a"] < 4.0, tokens


def who_uses_two_models_gets_no_more_than_who_uses_one(models):
    """Model "one" has room for two at a time, and both tenants want all of it."""
    keys = write_keys(models, (("a", 1), ("b", 1)))
    with Server(models.program, "--ctx", 512, "--max-seqs", 2, *models.words(), "--api-keys",
                keys) as server:
        tokens = measure(server, [("a", "two"), ("a", "one"), ("b", "one")])
        assert 0.7 < tokens["a"] / tokens["b"] < 1.5, tokens


CASES = (each_answer_is_that_of_a_server_with_that_model_alone,
         with_room_for_two_the_least_recently_used_leaves,
         without_a_bound_all_models_are_loaded_at_the_start,
         what_needs_no_weights_loads_no_model, preload_and_budgets_are_checked_at_the_start,
         caches_share_one_budget, a_model_that_is_always_asked_does_not_keep_others_out,
         a_stream_that_waits_for_its_model_lives_and_can_be_cancelled,
         a_model_that_cannot_be_loaded_says_so_and_hurts_nobody,
         a_storm_of_requests_leaves_nothing_behind,
         a_server_stops_while_somebody_waits_for_a_model,
         tenants_on_different_models_share_by_their_weights,
         who_uses_two_models_gets_no_more_than_who_uses_one)


def main():
    program, data, maker = sys.argv[1:4]
    print(f"1..{len(CASES)}")
    with tempfile.TemporaryDirectory() as folder:
        models = Models(program, data, maker, folder)
        sys.exit(run_cases(CASES, models))


if __name__ == "__main__":
    main()
