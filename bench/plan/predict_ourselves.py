#!/usr/bin/env python3
"""Whether the planner foretells this program on this machine.

    predict_ourselves.py TOKENWORKS MODEL.gguf [--rounds 5] [--prompt N] [--gen N] [--rate R]
                         [--requests N] [--threads 1] [--out FOLDER]

In turn, as often as --rounds says: `bench engine --json`; the server under 16 clients that ask in
turn; the server under a trace, whose arrivals are drawn once. Each round's bench calibrates
(`plan calibrate`) and each round's loads are simulated with what it gave (`plan simulate`), so that
a machine whose speed drifts is compared with itself. Nothing that a server measured goes into a
prediction. Printed are each round, and the medians of predicted over measured. --out keeps both:
a second run with the same folder adds rounds, so that rounds may be run one by one.

The machine runs the clients too: the server computes with --threads, and the clients are bound to
the last core. Exit code 1 when a median is more than --within percent off.
"""
import argparse
import json
import math
import os
import random
import re
import selectors
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

CLIENTS = 16
TODAY = time.strftime("%Y-%m-%d")
WORDS = ("time year people way day man thing woman life child world school state family student "
         "group country problem hand part place case week company system program question work "
         "government number night point home water room mother area money story fact month").split()


def run(*words, **more):
    return subprocess.run([str(word) for word in words], check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.DEVNULL, **more).stdout


def on_last_core():
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def rows_of(model, bench):
    """The model and this machine as rows of a catalogue: shapes of the file, rates of the bench."""
    fields = {"layers": "n_layers", "embed": "n_embed", "heads": "n_heads",
              "kv_heads": "n_kv_heads", "head_dim": "head_dim", "ffn": "n_ffn",
              "vocab": "n_vocab", "context": "n_context_tokens"}
    lines = ["model,field,value,low,high,source,date"]
    lines += [f"measured,{ours},{model[theirs]},,,the file,{TODAY}"
              for ours, theirs in fields.items()]
    lines += [f"measured,tied,{int(model['tied_head'])},,,the file,{TODAY}"]
    machine = bench["machine"]
    # A core's own rate is no bound where a cache holds a part: twice of it is one.
    rates = {"kind": "cpu", "memory_gib": os.sysconf("SC_PHYS_PAGES") * 4096 / 2**30,
             "bandwidth_gb_s": 2 * machine["read_bytes_per_s"] / 1e9,
             "bf16_tflops": max(machine["bf16_operations_per_s"],
                                machine["f32_operations_per_s"]) / 1e12,
             "int8_tops": machine["int8_operations_per_s"] / 1e12, "tdp_w": 100}
    lines += ["", "device,field,value,low,high,source,date"]
    lines += [f"here,{field},{value},,,bench engine,{TODAY}" for field, value in rates.items()]
    return lines


class Server:
    def __init__(self, args, folder):
        self.log = open(folder / "serve.log", "wb")
        self.process = subprocess.Popen(
            [args.tokenworks, "serve", "--model", f"m={args.model}", "--port", "0", "--threads",
             str(args.threads), "--max-seqs", str(CLIENTS), "--no-speculation", "--batch",
             str(args.step_tokens)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        self.port = None
        end = time.monotonic() + 60
        while self.port is None and time.monotonic() < end:
            line = self.process.stdout.readline().decode(errors="replace")
            self.log.write(line.encode())
            match = re.search(r"http://[\w.]+:(\d+)", line)
            self.port = int(match.group(1)) if match else None
            if not line:
                break
        if self.port is None:
            self.close()
            sys.exit("the server did not start: see serve.log")
        threading.Thread(target=self.drain, daemon=True).start()

    def drain(self):
        for line in self.process.stdout:
            self.log.write(line)

    def close(self):
        self.process.terminate()
        self.process.wait()


def closed_loop(args, server, seed):
    out = json.loads(run(args.tokenworks, "bench", "server", f"http://127.0.0.1:{server.port}",
                         "--clients", CLIENTS, "--requests", args.requests, "--prompt", args.prompt,
                         "--gen", args.gen, "--ignore-eos", "--seed", seed, "--json",
                         preexec_fn=on_last_core))
    assert out["failed"] == 0, out["failure"]
    return {"n_in": out["prompt_tokens"] / out["succeeded"],
            "n_out": out["answer_tokens"] / out["succeeded"],
            "throughput": out["answer_tokens_per_s"], "ttft": out["first_token_s"]["p50"],
            "tpot": out["token_s"]["p50"]}


class Stream:
    """One request of a trace. What can be done before it or after all is not done in between."""

    def __init__(self, args, port, prompt):
        body = json.dumps({"messages": [{"role": "user", "content": prompt}],
                           "max_tokens": args.gen, "ignore_eos": True, "stream": True,
                           "stream_options": {"include_usage": True}})
        self.request = (f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                        f"Content-Type: application/json\r\nConnection: close\r\n"
                        f"Content-Length: {len(body)}\r\n\r\n{body}").encode()
        self.address, self.pieces = ("127.0.0.1", port), []

    def connect(self):
        self.socket = socket.create_connection(self.address)

    def send(self, selector):
        self.socket.sendall(self.request)
        selector.register(self.socket, selectors.EVENT_READ, self)

    def receive(self, selector):
        """False at its end."""
        piece = self.socket.recv(1 << 16)
        self.pieces.append((time.monotonic(), piece))
        if not piece:
            selector.unregister(self.socket)
            self.socket.close()
        return bool(piece)

    def times(self):
        """When text came first and last (never, where all are control tokens), and the usage."""
        whole = b"".join(piece for _, piece in self.pieces)
        assert whole.startswith(b"HTTP/1.1 200 "), whole[:400]
        texts = [at for at, piece in self.pieces if re.search(rb'"content":"[^"]', piece)]
        texts = texts or [math.nan]
        usage = re.search(rb'"usage":({"prompt_tokens".*?})}?,?', whole)
        tokens = [int(re.search(rb'"%s":(\d+)' % name, usage[1])[1])
                  for name in (b"prompt_tokens", b"completion_tokens")]
        return texts[0], texts[-1], *tokens


def open_loop(args, server, trace, seed):
    draw = random.Random(seed)
    streams = [Stream(args, server.port, " ".join(draw.choice(WORDS) for _ in range(args.prompt)))
               for _ in trace]
    processors = os.sched_getaffinity(0)
    on_last_core()
    n_sent, n_open, start = 0, 0, time.monotonic() + 0.2
    streams[0].connect()
    with selectors.DefaultSelector() as selector:
        while n_sent < len(trace) or n_open > 0:
            left = start + trace[n_sent] - time.monotonic() if n_sent < len(trace) else 60
            if left <= 0:
                streams[n_sent].send(selector)
                n_sent, n_open = n_sent + 1, n_open + 1
                if n_sent < len(trace):
                    streams[n_sent].connect()  # not when it is due
                continue
            for key, _ in selector.select(left):
                n_open -= not key.data.receive(selector)
    os.sched_setaffinity(0, processors)
    rows = [(due, *stream.times()) for due, stream in zip(trace, streams)]
    rows = [row for row in rows if not math.isnan(row[1])]
    assert len(rows) > len(trace) * 0.9, f"{len(trace) - len(rows)} answers without text"
    dues, first, last, n_in, n_out = zip(*rows)
    n_in, n_out = statistics.mean(n_in), statistics.mean(n_out)
    seconds = max(last) - start - trace[0]
    return {"n_in": n_in, "n_out": n_out, "throughput": n_out * len(trace) / seconds,
            "ttft": statistics.median(at - start - due for at, due in zip(first, dues)),
            "tpot": statistics.median((end - begin) / (args.gen - 1)
                                      for begin, end in zip(first, last))}


def bench(args):
    return json.loads(run(args.tokenworks, "bench", "engine", "--model", args.model, "--threads",
                          args.threads, "--prompt", "64,256", "--batch", "1,4,16",
                          "--depth", f"0,{args.prompt}", "--gen", 4, "--rounds", 5, "--json"))


def predict(args, folder, words):
    out = json.loads(run(args.tokenworks, "plan", "simulate", "--model", "measured", "--device",
                         "here", "--weights", args.weights, "--sequences", CLIENTS,
                         "--step-tokens", args.step_tokens, "--catalogue", folder / "shape.csv",
                         "--catalogue", folder / "device.csv", "--catalogue", folder / "mine.csv",
                         "--json", *words))
    return {"throughput": out["answer_tokens_per_s"], "ttft": out["first_token_s"]["p50"],
            "tpot": out["token_s"]["p50"]}


def one_round(args, folder, number, trace, model):
    measured = bench(args)
    (folder / f"bench{number}.json").write_text(json.dumps(measured))
    text = "\n".join(rows_of(model, measured))
    shape, device = text.split("\n\n")
    (folder / "shape.csv").write_text(shape + "\n")
    (folder / "device.csv").write_text(device + "\n")
    mine = run(args.tokenworks, "plan", "calibrate", folder / f"bench{number}.json", "--model",
               "measured", "--device", "here", "--weights", args.weights, "--catalogue",
               folder / "shape.csv", "--catalogue", folder / "device.csv")
    (folder / "mine.csv").write_bytes(mine)
    print(mine.decode().splitlines()[0], flush=True)
    server = Server(args, folder)
    try:
        closed = closed_loop(args, server, 100 + number)
        opened = open_loop(args, server, trace, 200 + number)
    finally:
        server.close()
    rows = "".join(f"{due:.6f},{round(opened['n_in'])},{round(opened['n_out'])}\n" for due in trace)
    (folder / "trace.csv").write_text("arrival_s,input_tokens,output_tokens\n" + rows)
    made = ("--clients", CLIENTS, "--requests", args.requests, "--input-tokens",
            round(closed["n_in"]), "--output-tokens", round(closed["n_out"]))
    return {"16 clients": (closed, predict(args, folder, made)),
            "trace": (opened, predict(args, folder, ("--trace", folder / "trace.csv")))}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tokenworks")
    parser.add_argument("model")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--prompt", type=int, default=128)
    parser.add_argument("--gen", type=int, default=32)
    parser.add_argument("--requests", type=int, default=320)
    parser.add_argument("--rate", type=float, default=40)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--step-tokens", type=int, default=256)
    parser.add_argument("--weights", default="q8_0")
    parser.add_argument("--within", type=float, default=10)
    parser.add_argument("--out")
    args = parser.parse_args()
    folder = Path(args.out or tempfile.mkdtemp())
    folder.mkdir(exist_ok=True)
    draw, trace, now = random.Random(1), [], 0.0
    for _ in range(args.requests):
        now += draw.expovariate(args.rate)
        trace.append(now)
    model = json.loads(run(args.tokenworks, "model", "inspect", args.model, "--json"))
    ratios, kept = {}, folder / "ratios.jsonl"
    for line in kept.read_text().splitlines() if kept.exists() else ():
        for load, what, ratio in json.loads(line):
            ratios.setdefault((load, what), []).append(ratio)
    begun = len(next(iter(ratios.values()), ()))
    for number in range(begun, begun + args.rounds):
        row = []
        for load, (theirs, ours) in one_round(args, folder, number, trace, model).items():
            for what in ("throughput", "ttft", "tpot"):
                unit, scale = ("tokens/s", 1) if what == "throughput" else ("ms", 1e3)
                ratios.setdefault((load, what), []).append(ours[what] / theirs[what])
                row.append((load, what, ours[what] / theirs[what]))
                print(f"{number} {load:10} {what:10} {theirs[what] * scale:9.1f} measured "
                      f"{ours[what] * scale:9.1f} {unit} foretold "
                      f"{100 * (ours[what] / theirs[what] - 1):+6.1f} %", flush=True)
        with kept.open("a") as file:
            file.write(json.dumps(row) + "\n")
    off = {key: 100 * (statistics.median(values) - 1) for key, values in ratios.items()}
    for (load, what), percent in off.items():
        print(f"median of {len(ratios[load, what])}: {load}, {what}: {percent:+.1f} %")
    return int(any(abs(percent) > args.within for (_, what), percent in off.items()
                   if what != "tpot"))


if __name__ == "__main__":
    sys.exit(main())
