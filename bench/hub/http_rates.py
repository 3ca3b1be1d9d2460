"""What the books cost a request through HTTP: a server with and without them, in turn.

    bench/hub/http_rates.py BUILD FOLDER [ROUNDS]

The model is so small that it hardly counts, and gives one token. FOLDER is on the disk that is to
be measured. Printed are medians of the rounds: requests a second in a closed loop of 64 clients,
whose generator works on the same processors; and the time to the first token of 1,000 requests a
second that arrive at random, with and without books, beside the disk's own time.
"""
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "hub"))
from books import Books  # noqa: E402
from server import Server  # noqa: E402

CLOSED = ("--clients", "64", "--requests", "20000")
OPEN = ("--rate", "1000", "--clients", "1000", "--requests", "10000")
SYNCS = 300


def sync_ms(folder):
    """The median of fdatasync behind 4 KB."""
    times = []
    with tempfile.NamedTemporaryFile(dir=folder) as file:
        for _ in range(SYNCS):
            os.write(file.fileno(), bytes(4096))
            before = time.monotonic()
            os.fdatasync(file.fileno())
            times.append((time.monotonic() - before) * 1e3)
    return statistics.median(times)


def ask(program, server, words, key_file):
    more = ("--api-key-file", key_file) if key_file else ()
    out = subprocess.run(
        [program, "bench", "server", f"http://127.0.0.1:{server.port}", "--endpoint",
         "completions", "--prompt", "4", "--gen", "1", "--ignore-eos", "--json", *words, *more],
        check=True, capture_output=True, text=True)
    out = json.loads(out.stdout)
    assert out["failed"] == 0, out
    return out


def measure(program, server, key_file):
    ask(program, server, ("--clients", "64", "--requests", "2000"), key_file)  # warm
    closed = ask(program, server, CLOSED, key_file)
    first = ask(program, server, OPEN, key_file)["first_token_s"]
    return {"requests_per_s": 20000 / closed["seconds"], "p50_ms": first["p50"] * 1e3,
            "p99_ms": first["p99"] * 1e3}


def main():
    build, folder, rounds = Path(sys.argv[1]), sys.argv[2], int((sys.argv + ["3"])[3])
    program = build / "src/app/tokenworks"
    rows = {"off": [], "on": []}
    syncs = []
    with tempfile.TemporaryDirectory(dir=folder) as place:
        model = Path(place, "tiny.gguf")
        subprocess.run([build / "tools/synth_model", "--preset", "qwen3-words", "--type", "Q8_0",
                        "-o", model], check=True)
        books = Books(program, place)
        for path in ("acme", "acme/research", "acme/research/chat", "acme/research/chat/ci"):
            books.command("budget", "set", path, "--limit", "1000000", "--period", "month")
        key_file = Path(place, "key")
        key_file.write_text(books.key, encoding="ascii")
        words = ("--model", model, "--max-seqs", "64", "--threads", "1")
        for _ in range(rounds):
            with Server(program, *words) as server:
                rows["off"].append(measure(program, server, None))
            syncs.append(sync_ms(place))
            with books.serve(*words) as server:
                rows["on"].append(measure(program, server, key_file))
        books.must_balance()
    sync = statistics.median(syncs)
    print("books,requests_per_s,first_token_p50_ms,first_token_p99_ms")
    middle = {}
    for name, measured in rows.items():
        middle[name] = {key: statistics.median(row[key] for row in measured)
                        for key in measured[0]}
        print(f"{name},{middle[name]['requests_per_s']:.0f},{middle[name]['p50_ms']:.2f},"
              f"{middle[name]['p99_ms']:.2f}")
    added = [middle["on"][key] - middle["off"][key] for key in ("p50_ms", "p99_ms")]
    print(f"fdatasync,p50_ms,{sync:.3f}\nadded,p50_ms,{added[0]:.3f}\nadded,p99_ms,{added[1]:.3f}")


if __name__ == "__main__":
    main()
