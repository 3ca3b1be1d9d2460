"""Random abuse for so many seconds: the server answers or closes, others do not notice, and memory
returns to where it was.

    check_abuse.py TOKENWORKS DATA SECONDS
"""
import json
import os
import random
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from server import Server, becomes, resident_bytes, run_cases  # noqa: E402

N_ABUSERS = 8
HEALTH_SECONDS = 2  # also on a machine that is busy otherwise
GROWTH_BYTES = 64 << 20
MARKS = (b"\r\n", b"\r\n\r\n", b" ", b":", b"\x00", b"\xff", b"HTTP/1.1", b"Content-Length: ",
         b"Transfer-Encoding: chunked\r\n", b"5\r\nhello\r\n", b"{", b"[", b'"', b"POST /")


def some_value(rng, depth=0):
    kind = rng.randrange(8 if depth < 4 else 6)
    if kind == 6:
        return [some_value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 7:
        return {rng.choice(("a", "type", "items", "role", "content")): some_value(rng, depth + 1)
                for _ in range(rng.randrange(4))}
    return (None, True, rng.randrange(-9, 999), rng.random() * 1e9, "text", "\ud7ff\u0000")[kind]


def some_request(rng):
    """A body that is right, or nearly."""
    body = {"messages": [{"role": "user", "content": "hello " * rng.randrange(1, 300)}],
            "max_tokens": rng.randrange(1, 40), "stream": rng.random() < 0.5,
            "temperature": rng.random() * 2, "n": rng.randrange(1, 4)}
    for _ in range(rng.randrange(4)):
        name = rng.choice(("messages", "max_tokens", "stop", "logit_bias", "response_format", "n",
                           "tools", "tool_choice", "guided_json", "guided_regex", "seed", "top_p",
                           "stream_options", "logprobs", "top_logprobs", "model", "prompt"))
        body[name] = some_value(rng)
    return json.dumps(body).encode()


def http(path, body, length=None):
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: "
            f"{len(body) if length is None else length}\r\n\r\n").encode() + body


def damaged(rng, data):
    data = bytearray(data)
    for _ in range(rng.randrange(1, 6)):
        at = rng.randrange(len(data) + 1)
        if rng.random() < 0.5:
            data[at:at] = rng.choice(MARKS)
        else:
            del data[at:at + rng.randrange(1, 20)]
    return bytes(data)


def attack(rng, connection):
    """One of the ways to behave badly."""
    path = rng.choice(("/v1/chat/completions", "/v1/completions", "/tokenize", "/detokenize",
                       "/apply-template", "/nowhere"))
    request = http(path, some_request(rng))
    way = rng.randrange(7)
    if way == 0:
        request = damaged(rng, request)
    elif way == 1:
        request = request[:rng.randrange(len(request))]
    elif way == 2:
        request = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 400)))
    elif way == 3:
        request = http(path, b"[" * rng.randrange(1, 100000))
    elif way == 4:
        request = http(path, b"x" * 1000, rng.choice((-1, 0, 999, 10 ** 7, 10 ** 30)))
    connection.sendall(request)
    if way == 5:
        connection.shutdown(socket.SHUT_WR)
    if rng.random() < 0.7:
        connection.recv(rng.choice((1, 100, 100000)))


def abuse(server, seed, end, counts):
    rng = random.Random(seed)
    while time.monotonic() < end:
        try:
            with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
                connection.settimeout(rng.choice((0.05, 0.5, 2)))
                attack(rng, connection)
        except (TimeoutError, ConnectionError, BrokenPipeError):
            pass
        counts[seed] += 1


def abuse_for(server, seconds, seed, good):
    """Others are asked meanwhile: the slowest /health, in seconds."""
    counts = {seed + i: 0 for i in range(N_ABUSERS)}
    end = time.monotonic() + seconds
    threads = [threading.Thread(target=abuse, args=(server, s, end, counts)) for s in counts]
    for thread in threads:
        thread.start()
    slowest = 0
    while time.monotonic() < end:
        start = time.monotonic()
        assert server.get("/health").status == 200
        slowest = max(slowest, time.monotonic() - start)
        answer = server.chat("What is tokenworks?")
        assert answer.status == 429 or answer.json["choices"][0]["message"]["content"] == good
        time.sleep(0.2)
    for thread in threads:
        thread.join()
    assert becomes(lambda: server.metric("kv_cache_pages_used") == 0, 60)
    assert becomes(lambda: server.metric("http_streams") == 0, 60)
    return sum(counts.values()), slowest


def the_server_answers_or_closes_and_memory_returns(server, seconds):
    good = server.chat("What is tokenworks?").json["choices"][0]["message"]["content"]
    abuse_for(server, max(seconds / 4, 3), 1000, good)  # until pools have their size
    before = resident_bytes(server.process.pid)
    n, slowest = abuse_for(server, seconds, 1, good)
    after = resident_bytes(server.process.pid)
    print(f"# {n} attacks in {seconds} s; /health took at most {1000 * slowest:.0f} ms; resident "
          f"{before >> 20} MB before, {after >> 20} MB after")
    assert slowest < HEALTH_SECONDS
    assert after - before < GROWTH_BYTES
    assert server.stop() == 0, server.log_text()


def main():
    program, data, seconds = sys.argv[1:4]
    print("1..1")
    # A sanitizer keeps freed memory; more than a little of it would look like a leak.
    os.environ["ASAN_OPTIONS"] = os.environ.get("ASAN_OPTIONS", "") + ":quarantine_size_mb=4"
    with Server(program, "--model", f"demo={data}/tokenworks-demo.gguf") as server:
        code = run_cases((the_server_answers_or_closes_and_memory_returns,), server, int(seconds))
    sys.exit(code)


if __name__ == "__main__":
    main()
