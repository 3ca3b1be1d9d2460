"""What `tokenworks bench server` says of a server is what the server says of itself.

    check_bench.py TOKENWORKS DATA
"""
import hashlib
import json
import os
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from server import Server, run_cases  # noqa: E402

URL = "http://127.0.0.1:{}/v1"
LIMIT = 7  # more than fits
REFUSED = 4  # input/output: nobody answered as asked


def run(program, server, *words):
    return subprocess.run([program, "bench", "server", URL.format(server.port), *map(str, words)],
                          capture_output=True, text=True, timeout=120)


def bench(program, server, *words):
    done = run(program, server, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def counters(server):
    return {name: server.metric(name)
            for name in ("prompt_tokens_total", "generation_tokens_total")}


def every_token_is_counted_as_the_server_counts_it(program, server):
    for words in ((), ("--endpoint", "completions"), ("--rate", 50)):
        before = counters(server)
        out = bench(program, server, "--clients", 4, "--requests", 10, "--gen", 7, "--ignore-eos",
                    *words)
        after = counters(server)
        assert (out["succeeded"], out["failed"]) == (10, 0), out
        assert out["answer_tokens"] == 70
        assert out["answer_tokens"] == after["generation_tokens_total"] - before[
            "generation_tokens_total"]
        assert out["prompt_tokens"] == after["prompt_tokens_total"] - before["prompt_tokens_total"]


def a_shared_beginning_is_shared_and_the_rest_is_not(program, server):
    words = ["--requests", 6, "--clients", 1, "--gen", 2, "--prompt", 400, "--ignore-eos"]
    alone = bench(program, server, *words, "--seed", 5)
    assert alone["cached_tokens"] == 0
    shared = bench(program, server, *words, "--seed", 6, "--shared", 300)
    # All but the first one find it, but for the last page that it fills in part.
    assert 0.5 < shared["cached_tokens"] / shared["prompt_tokens"] < 0.75, shared
    again = bench(program, server, *words, "--seed", 6, "--shared", 300)
    assert again["cached_tokens"] / again["prompt_tokens"] > 0.9, again


def times_are_ordered_and_bounds_count_the_good_ones(program, server):
    words = ["--requests", 12, "--clients", 12, "--gen", 20, "--ignore-eos"]
    start = time.monotonic()
    out = bench(program, server, *words, "--good-ttft", 1e6)
    assert out["seconds"] < time.monotonic() - start
    for name in ("first_token_s", "token_s", "whole_s"):
        times = out[name]
        assert 0 < times["p50"] <= times["p90"] <= times["p99"] <= times["most"], out
    assert out["first_token_s"]["most"] <= out["whole_s"]["most"] <= out["seconds"]
    assert out["good"] == 12
    assert bench(program, server, *words, "--good-ttft", 0.0001)["good"] == 0
    assert bench(program, server, *words, "--good-tpot", 0.0001)["good"] == 0


def an_open_loop_keeps_its_rate(program, server):
    out = bench(program, server, "--requests", 20, "--rate", 20, "--gen", 1, "--prompt", 4,
                "--ignore-eos", "--seed", 3)
    assert 0.4 < out["seconds"] < 4, out  # a second on average; the draw is the seed's


def waiting_for_a_client_counts(program, server):
    """Of requests that are due at once but have one client, the last waits for all others."""
    out = bench(program, server, "--requests", 10, "--rate", 1000, "--clients", 1, "--gen", 30,
                "--ignore-eos", "--endpoint", "completions")
    assert out["first_token_s"]["most"] > 5 * out["token_s"]["mean"] * 29, out


def failures_are_told_with_the_servers_words(program, server):
    done = run(program, server, "--model", "absent", "--requests", 3)
    assert done.returncode == REFUSED and "404" in done.stderr and "absent" in done.stderr, done
    done = subprocess.run([program, "bench", "server", "http://127.0.0.1:1"], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == REFUSED and "connect" in done.stderr, done
    done = subprocess.run([program, "bench", "server", "ftp://127.0.0.1"], capture_output=True,
                          text=True, timeout=60)
    assert done.returncode == 2 and "no address" in done.stderr, done
    done = run(program, server, "--prompt", 5, "--shared", 6)
    assert done.returncode == 2 and "--shared" in done.stderr, done


def a_key_is_read_from_its_file(program, data):
    with tempfile.TemporaryDirectory() as name:
        key, keys = Path(name, "key"), Path(name, "keys.yaml")
        key.write_text("tw-secret\n", encoding="ascii")
        digest = hashlib.sha256(b"tw-secret").hexdigest()
        keys.write_text(f"keys:\n  - {{tenant: a, hash: {digest}}}\n", encoding="ascii")
        with Server(program, "--model", f"{data}/tokenworks-demo.gguf", "--api-keys",
                    keys) as server:
            done = run(program, server, "--requests", 2)
            assert done.returncode == REFUSED and "401" in done.stderr, done
            assert bench(program, server, "--requests", 2, "--api-key-file", key)["failed"] == 0
            key.write_text("k" * 600, encoding="ascii")
            done = run(program, server, "--requests", 2, "--api-key-file", key)
            assert done.returncode == LIMIT and "larger than" in done.stderr, done


def no_proxy_of_the_environment_stands_between(program, server):
    dead = {name: "http://127.0.0.1:1" for name in ("http_proxy", "https_proxy", "all_proxy")}
    kept = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
    done = subprocess.run([program, "bench", "server", URL.format(server.port), "--requests", "2",
                           "--json"], capture_output=True, text=True, timeout=60,
                          env=kept | dead)
    assert done.returncode == 0 and json.loads(done.stdout)["failed"] == 0, done


class OneEvent(socketserver.StreamRequestHandler):
    """Answers with an event, and says that it is the last one where the server's words say so."""

    def handle(self):
        n_bytes = 0
        while (line := self.rfile.readline().strip()):
            if line.lower().startswith(b"content-length:"):
                n_bytes = int(line.split(b":")[1])
        self.rfile.read(n_bytes)
        event = json.dumps({"choices": [{"index": 0, "delta": {"content": "word"}}]})
        self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                         b"Connection: close\r\n\r\ndata: " + event.encode() + b"\n\n" +
                         self.server.last_words)


def a_stream_that_breaks_off_has_failed(program):
    for last_words, is_good in ((b"data: [DONE]\n\n", True), (b"data:[DONE]\n\n", True),
                                (b"", False), (b"data: [DO", False)):
        with socketserver.ThreadingTCPServer(("127.0.0.1", 0), OneEvent) as tiny:
            tiny.last_words = last_words
            threading.Thread(target=tiny.serve_forever, daemon=True).start()
            done = subprocess.run(
                [program, "bench", "server", f"http://127.0.0.1:{tiny.server_address[1]}",
                 "--requests", "3", "--clients", "1", "--json"], capture_output=True, text=True,
                timeout=60)
            tiny.shutdown()
        if is_good:
            assert done.returncode == 0, done
            assert json.loads(done.stdout)["succeeded"] == 3, done
        else:
            assert done.returncode == REFUSED and "the stream broke off" in done.stderr, done


CASES = (every_token_is_counted_as_the_server_counts_it,
         a_shared_beginning_is_shared_and_the_rest_is_not,
         times_are_ordered_and_bounds_count_the_good_ones, an_open_loop_keeps_its_rate,
         waiting_for_a_client_counts, failures_are_told_with_the_servers_words,
         no_proxy_of_the_environment_stands_between)


def main():
    program, data = sys.argv[1:3]
    print(f"1..{len(CASES) + 2}")
    with Server(program, "--model", f"{data}/tokenworks-demo.gguf") as server:
        code = run_cases(CASES, program, server)
        assert server.stop() == 0, server.log_text()
    code |= run_cases((a_key_is_read_from_its_file,), program, data, first=len(CASES) + 1)
    code |= run_cases((a_stream_that_breaks_off_has_failed,), program, first=len(CASES) + 2)
    sys.exit(code)


if __name__ == "__main__":
    main()
