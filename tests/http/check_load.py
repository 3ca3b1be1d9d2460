"""Many clients at once, all on this machine: 2,000 connections that idle, 200 answers that stream.

    check_load.py TOKENWORKS DATA

Rates are the machine's and are printed, not judged, but for the one that a user would notice: every
stream moves at a token a second or more.
"""
import json
import selectors
import socket
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from server import Server, allow_descriptors, becomes, run_cases  # noqa: E402

N_IDLE = 2000
N_ACTIVE = 200
SECONDS = 15


class Stream:
    """A completion that is streamed; events are counted as they come."""

    def __init__(self, server, prompt, max_tokens):
        body = json.dumps({"prompt": prompt, "max_tokens": max_tokens, "ignore_eos": True,
                           "stream": True, "temperature": 1, "seed": 1})
        self.socket = socket.create_connection(("127.0.0.1", server.port))
        self.socket.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                            f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        self.socket.setblocking(False)
        self.n_events = 0
        self.is_over = False

    def read(self):
        data = self.socket.recv(1 << 16)
        self.n_events += data.count(b"data: ")
        self.is_over = self.is_over or not data or b"[DONE]" in data


def watch(streams, seconds):
    """Reads all streams for so long, or until all are over."""
    with selectors.DefaultSelector() as selector:
        for stream in streams:
            selector.register(stream.socket, selectors.EVENT_READ, stream)
        end = time.monotonic() + seconds
        n_open = sum(not stream.is_over for stream in streams)
        while n_open > 0 and time.monotonic() < end:
            for key, _ in selector.select(0.2):
                key.data.read()
                if key.data.is_over:
                    selector.unregister(key.fileobj)
                    n_open -= 1


def idle_connections(server, n):
    """Connections that have had an answer and are kept."""
    sockets = []
    for _ in range(n):
        one = socket.create_connection(("127.0.0.1", server.port))
        one.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        sockets.append(one)
    for one in sockets:
        one.settimeout(30)
        answer = b""
        while b"}" not in answer:
            answer += one.recv(4096)
        assert b"200 OK" in answer
    return sockets


def two_thousand_idle_and_two_hundred_active_streams_are_held(server):
    idle = idle_connections(server, N_IDLE)
    streams = [Stream(server, f"Stream {i}", 2000) for i in range(N_ACTIVE)]
    watch(streams, 5)  # until all have begun
    before = [stream.n_events for stream in streams]
    start = time.monotonic()
    watch(streams, SECONDS)
    seconds = time.monotonic() - start
    start = time.monotonic()
    health = server.get("/health")
    health_ms = 1000 * (time.monotonic() - start)
    moved = [stream.n_events - n for stream, n in zip(streams, before)]
    slow = [n for n, stream in zip(moved, streams) if n / seconds < 1 and not stream.is_over]
    print(f"# {server.metric('http_connections'):.0f} connections; {sum(moved) / seconds:.0f} "
          f"tokens/s in all, slowest stream {min(moved) / seconds:.1f}; /health {health_ms:.1f} ms")
    assert health.status == 200
    assert server.metric("http_connections") >= N_IDLE + N_ACTIVE
    assert not slow, f"{len(slow)} streams below a token a second: {sorted(slow)[:5]}"
    for one in idle:  # still good
        one.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
    for one in idle:
        assert b"200 OK" in one.recv(4096)
        one.close()
    for stream in streams:
        stream.socket.close()
    assert becomes(lambda: server.metric("kv_cache_pages_used") == 0)


CASES = (two_thousand_idle_and_two_hundred_active_streams_are_held,)


def main():
    program, data = sys.argv[1:3]
    if not allow_descriptors(2 * (N_IDLE + N_ACTIVE)):
        print("1..0 # SKIP the system allows too few file descriptors (ulimit -Hn)")
        return
    print(f"1..{len(CASES)}")
    with Server(program, "--model", f"demo={data}/tokenworks-demo.gguf", "--max-seqs",
                N_ACTIVE) as server:
        code = run_cases(CASES, server)
    sys.exit(code)


if __name__ == "__main__":
    main()
