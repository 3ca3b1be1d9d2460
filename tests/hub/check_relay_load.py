"""Thousands of streams of another server at once: all come through whole, in bounded memory.

    check_relay_load.py TOKENWORKS STREAMS
"""
import asyncio
import json
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "http"))
from server import Server, allow_descriptors, resident_bytes, run_cases  # noqa: E402

CHUNKS, WAIT_S = 20, 0.5
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"word "}}]}\n\n'
HEAD = (b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n")
LAST = (b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
        b'data: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":20}}\n\n'
        b'data: [DONE]\n\n')
MOST_BYTES_A_STREAM = 100_000


async def answer(reader, writer):
    head = await reader.readuntil(b"\r\n\r\n")
    if head.startswith(b"GET"):
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
    else:
        length = next(int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
                      if line.startswith(b"content-length"))
        await reader.readexactly(length)
        writer.write(HEAD)
        for _ in range(CHUNKS):
            writer.write(EVENT)
            await writer.drain()
            await asyncio.sleep(WAIT_S)
        writer.write(LAST)
    await writer.drain()
    writer.close()


async def ask(port):
    body = json.dumps({"model": "far", "messages": [{"role": "user", "content": "x"}],
                       "stream": True}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                 b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
    data = await reader.read()
    writer.close()
    return data.startswith(b"HTTP/1.1 200") and data.count(b'"word "') == CHUNKS and \
        b"data: [DONE]" in data


async def run(program, n):
    fake = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=n)
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "serve.yaml")
        config.write_text(json.dumps({"backends": [{
            "name": "fake", "url": f"http://127.0.0.1:{fake.sockets[0].getsockname()[1]}",
            "models": [{"name": "far", "ctx": 4096}]}]}), encoding="ascii")
        server = await asyncio.to_thread(Server, program, "--config", config,
                                         "--max-connections", str(n + 100))
        try:
            before = resident_bytes(server.process.pid)
            tasks = [asyncio.create_task(ask(server.port)) for _ in range(n)]
            await asyncio.sleep(CHUNKS * WAIT_S / 2)
            during = resident_bytes(server.process.pid)
            whole = await asyncio.gather(*tasks)
            print(f"# {sum(whole)} of {n} whole, {(during - before) / n:.0f} bytes a stream")
            assert all(whole)
            assert during - before < n * MOST_BYTES_A_STREAM, during - before
            assert sum(await asyncio.gather(*[ask(server.port) for _ in range(n)])) == n
            after = resident_bytes(server.process.pid)
            assert after < during + n * MOST_BYTES_A_STREAM / 10, (during, after)
        finally:
            await asyncio.to_thread(server.stop)
            fake.close()


def many_streams_at_once_come_whole_in_bounded_memory(program, n):
    n = int(n)
    assert allow_descriptors(4 * n + 200), "not enough file descriptors are allowed"
    asyncio.run(run(program, n))


if __name__ == "__main__":
    print("1..1")
    sys.exit(run_cases([many_streams_at_once_come_whole_in_bounded_memory], *sys.argv[1:]))
