#!/usr/bin/env python3
"""What a server in front of another one adds to the first token of a stream.

    relay_cost.py BUILD MODEL.gguf [ROUNDS]

200 requests a second for streams of 8 tokens, asked of a node itself, of a program in front of it
that passes bytes on and does nothing else (what this machine takes for being in front), of a server
in front of it, and of one with books, in turn. Prints milliseconds to the first token (middle and
99%) a round, and the medians with what was added. All are on this machine's cores, the generator
too, so the node has one thread.
"""
import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

RATE, REQUESTS = "200", "2000"


class Place:
    """A server on a port of its own, and how it is asked."""

    def __init__(self, command, folder, name, port, model):
        self.name, self.port, self.model, self.key = name, port, model, None
        self.out = folder / f"{name}.out"
        self.has_books = "--books" in command
        with open(self.out, "wb") as out:
            self.process = subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL)

    def wait(self):
        for _ in range(600):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/ready"):
                    pass
            except OSError:
                time.sleep(0.05)
                continue
            words = self.out.read_text(encoding="ascii").split()
            secrets = [w for w in words if w.startswith("tw-") and not w.startswith("tw-user-")]
            if secrets or not self.has_books:
                self.key = secrets[0] if secrets else None
                return
            time.sleep(0.05)
        raise TimeoutError(f"'{self.name}' is not ready")

    def measure(self, program, folder):
        words = [program, "bench", "server", f"http://127.0.0.1:{self.port}", "--rate", RATE,
                 "--requests", REQUESTS, "--prompt", "8", "--gen", "8", "--ignore-eos", "--json",
                 "--clients", "256", "--endpoint", "completions"]
        if self.model:
            words += ["--model", self.model]
        if self.key:
            path = folder / "key"
            path.touch(mode=0o600)
            path.write_text(self.key, encoding="ascii")
            words += ["--api-key-file", str(path)]
        result = json.loads(subprocess.run(words, check=True, capture_output=True).stdout)
        # Some answers of a small model are control characters alone, which show no first token.
        assert result["failed"] < result["succeeded"] / 100, result
        return result["first_token_s"]["p50"] * 1e3, result["first_token_s"]["p99"] * 1e3


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("build", type=Path)
    parser.add_argument("model")
    parser.add_argument("rounds", type=int, nargs="?", default=5)
    args = parser.parse_args()
    program = str(args.build / "src/app/tokenworks")
    first_port = 20000 + os.getpid() % 20000
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "front.yaml").write_text(json.dumps({"backends": [{
            "name": "node", "url": f"http://127.0.0.1:{first_port}", "kind": "tokenworks",
            "models": [{"name": "far", "upstream": "near", "ctx": 2048}]}]}), encoding="ascii")
        ports = [str(first_port + i) for i in range(4)]
        serve = [program, "serve", "--port"]
        front = ["--config", str(folder / "front.yaml")]
        commands = {
            "direct": [*serve, ports[0], "--model", f"near={args.model}", "--threads", "1"],
            "bytes passed on": [str(args.build / "bench/plain_relay"), ports[1], ports[0]],
            "relayed": [*serve, ports[2], *front],
            "relayed, books": [*serve, ports[3], *front, "--books", str(folder / "hub")]}
        places = []
        try:
            for port, (name, command) in zip(ports, commands.items()):
                model = "far" if front[0] in command else None
                places.append(Place(command, folder, name, int(port), model))
            for place in places:
                place.wait()
            rows = {place.name: [] for place in places}
            print("round,way,first_token_p50_ms,first_token_p99_ms")
            for turn in range(args.rounds):
                for place in places:
                    p50, p99 = place.measure(program, folder)
                    rows[place.name].append((p50, p99))
                    print(f"{turn + 1},{place.name},{p50:.3f},{p99:.3f}", flush=True)
            base = statistics.median(p50 for p50, _ in rows["direct"])
            for name, values in rows.items():
                p50 = statistics.median(v for v, _ in values)
                p99 = statistics.median(v for _, v in values)
                print(f"median,{name},{p50:.3f},{p99:.3f},added {p50 - base:+.3f}")
        finally:
            for place in places:
                place.process.terminate()
                place.process.wait()

main()
