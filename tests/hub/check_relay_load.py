"""Thousands of streams of another server at once, without and with books: all come through whole,
in bounded memory, and again and again in the same.

    check_relay_load.py TOKENWORKS STREAMS
"""
import asyncio
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books  # noqa: E402
from server import Server, allow_descriptors, resident_bytes, run_cases  # noqa: E402

CHUNKS, WAIT_S, ROUNDS = 20, 0.5, 4
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
HEAD = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
LAST = (b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":20}}\n\n'
        b'data: [DONE]\n\n')
MOST_BYTES_A_STREAM = 100_000


class Gathering:
    """Opens once so many have come: then all of a round are there at once, however slow."""

    def __init__(self, n):
        self.n_missing, self.opened = n, asyncio.Event()

    async def come(self):
        self.n_missing -= 1
        if self.n_missing == 0:
            self.opened.set()
        await self.opened.wait()


class Fake:
    def __init__(self):
        self.gathering = None

    async def answer(self, reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        if head.startswith(b"GET"):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        else:
            length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
                          if line.startswith(b"content-length"))
            await reader.readexactly(length)
            writer.write(HEAD + EVENT)
            await self.gathering.come()
            for _ in range(CHUNKS - 1):
                writer.write(EVENT)
                await writer.drain()
                await asyncio.sleep(WAIT_S)
            writer.write(LAST)
        await writer.drain()
        writer.close()


async def ask(port, key):
    body = json.dumps({"model": "far", "messages": [{"role": "user", "content": "x"}],
                       "stream": True, "max_tokens": 50}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                 b"Authorization: Bearer %s\r\nContent-Length: %d\r\n\r\n%s"
                 % (key.encode(), len(body), body))
    data = await reader.read()
    writer.close()
    return data.startswith(b"HTTP/1.1 200") and data.count(b'"word "') == CHUNKS and \
        b"data: [DONE]" in data


async def highest_bytes(pid, tasks):
    """While they run."""
    highest = 0
    while not all(task.done() for task in tasks):
        highest = max(highest, resident_bytes(pid))
        await asyncio.sleep(0.1)
    return highest


async def run_rounds(fake, server, n, key):
    before, peaks = resident_bytes(server.process.pid), []
    for _ in range(ROUNDS):
        fake.gathering = Gathering(n)
        tasks = [asyncio.create_task(ask(server.port, key)) for _ in range(n)]
        peaks.append(await highest_bytes(server.process.pid, tasks))
        whole = await asyncio.gather(*tasks)
        print(f"# {sum(whole)} of {n} whole, at most {(peaks[-1] - before) / n:.0f} bytes a stream",
              flush=True)
        assert all(whole)
    assert peaks[0] - before < n * MOST_BYTES_A_STREAM, (before, peaks)
    # What the allocator keeps of each thread still settles: by a tenth, and within twenty rounds by
    # nothing any more. A few kilobytes of each stream that stayed would be more.
    assert max(peaks[2:]) - before < 1.2 * (peaks[1] - before), (before, peaks)


async def run(program, n, has_books):
    fake = Fake()
    listening = await asyncio.start_server(fake.answer, "127.0.0.1", 0, backlog=n)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "serve.yaml")
        port = listening.sockets[0].getsockname()[1]
        config.write_text(json.dumps({"backends": [{
            "name": "fake", "url": f"http://127.0.0.1:{port}",
            "models": [{"name": "far", "ctx": 4096}]}]}), encoding="ascii")
        words = ["--config", config, "--max-connections", str(n + 100)]
        books = Books(program, folder) if has_books else None
        start = books.serve if has_books else lambda *words: Server(program, *words)
        server = await asyncio.to_thread(start, *words)
        try:
            await run_rounds(fake, server, n, books.key if has_books else "")
        finally:
            await asyncio.to_thread(server.stop)
            listening.close()
        if has_books:
            tokens, = books.rows("SELECT SUM(tokens) FROM entry WHERE kind = 'settle'")[0]
            assert tokens == ROUNDS * n * 27, tokens
            books.must_balance()


def many_streams_at_once_come_whole_in_bounded_memory(program, n):
    asyncio.run(run(program, int(n), False))


def and_with_books_each_is_paid(program, n):
    asyncio.run(run(program, int(n), True))


if __name__ == "__main__":
    if not allow_descriptors(4 * int(sys.argv[2]) + 200):
        print("1..0 # SKIP not enough file descriptors are allowed")
        sys.exit(0)
    cases = [many_streams_at_once_come_whole_in_bounded_memory, and_with_books_each_is_paid]
    print(f"1..{len(cases)}")
    sys.exit(run_cases(cases, *sys.argv[1:]))
