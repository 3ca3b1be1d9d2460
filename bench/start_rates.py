#!/usr/bin/env python3
"""How long a server takes to start, what memory it has then, and what a cached prompt saves.

    start_rates.py BUILD MODEL.gguf [ROUNDS]

Prints a row a round and the medians: milliseconds from exec to the first answer of /ready,
anonymous memory in MB (weights are mapped, so this comes beside them; the KV cache is in it as far
as it was touched), and milliseconds to the first token of a prompt of about 2,000 tokens, at first
and again. The model is packed before. /ready is asked every two milliseconds.
"""
import argparse
import http.client
import json
import re
import socket
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

PROMPT_TOKENS = 2000
PATIENCE_S = 120


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def ask(port, method, path, body=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request(method, path, json.dumps(body) if body is not None else None)
    return connection.getresponse()


def wait_until_ready(port, process):
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if ask(port, "GET", "/ready").status == 200:
                return
        except OSError:
            pass
        time.sleep(0.002)
    raise SystemExit("start_rates: the server does not answer")


def anonymous_mb(process):
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
    return int(re.search(r"^Anonymous: +(\d+) kB", text, re.MULTILINE)[1]) / 1000


def prompt_of(port, n_tokens):
    """Words, as many as are so many tokens."""
    words = " ".join(f"word{i % 97}" for i in range(n_tokens))
    n = len(json.load(ask(port, "POST", "/tokenize", {"prompt": words}))["tokens"])
    return words[:len(words) * n_tokens // n]


def first_token_ms(port, prompt):
    start = time.monotonic()
    answer = ask(port, "POST", "/v1/completions",
                 {"prompt": prompt, "max_tokens": 1, "stream": True, "ignore_eos": True})
    if answer.status != 200 or not answer.readline().startswith(b"data: "):
        raise SystemExit(f"start_rates: status {answer.status}")
    ms = (time.monotonic() - start) * 1000
    answer.read()
    return ms


def measure(program, model):
    """One server's life: milliseconds, MB, and milliseconds twice."""
    port = free_port()
    with tempfile.TemporaryFile() as log:
        start = time.monotonic()
        process = subprocess.Popen([program, "serve", "--port", str(port), "--model", model,
                                    "--ctx", "4096"], stdout=log, stderr=log)
        try:
            wait_until_ready(port, process)
            ready_ms = (time.monotonic() - start) * 1000
            memory_mb = anonymous_mb(process)
            prompt = prompt_of(port, PROMPT_TOKENS)
            return ready_ms, memory_mb, first_token_ms(port, prompt), first_token_ms(port, prompt)
        finally:
            process.terminate()
            process.wait()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=Path)
    parser.add_argument("model")
    parser.add_argument("rounds", nargs="?", type=int, default=7)
    options = parser.parse_args()
    program = str(options.build.resolve() / "src/app/tokenworks")
    subprocess.run([program, "model", "pack", options.model], check=True,
                   stdout=subprocess.DEVNULL)
    print("ready_ms,anonymous_mb,first_token_ms,cached_first_token_ms")
    rows = []
    for _ in range(options.rounds):
        rows.append(measure(program, options.model))
        print(",".join(f"{value:.1f}" for value in rows[-1]), flush=True)
    medians = [statistics.median(column) for column in zip(*rows)]
    print("median: " + ",".join(f"{value:.1f}" for value in medians))
    print(f"a cached prompt takes {100 * medians[3] / medians[2]:.1f}% of the time")


if __name__ == "__main__":
    main()
