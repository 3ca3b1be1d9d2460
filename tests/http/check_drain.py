"""What a server says to those who are still connected while it stops.

    check_drain.py TOKENWORKS DATA
"""
import http.client
import json
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from server import Answer, Server, becomes, run_cases  # noqa: E402

HELLO = {"messages": [{"role": "user", "content": "hello"}]}


def kept_connection(server):
    """It has had an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    connection.request("GET", "/ready")
    assert Answer(connection.getresponse()).status == 200
    return connection


def refuses_connections(server):
    try:
        server.get("/health")
    except ConnectionRefusedError:
        return True
    except ConnectionError:  # it came just before
        pass
    return False


def ask(connection, method, path, body=None):
    connection.request(method, path, json.dumps(body) if body else None)
    return Answer(connection.getresponse())


def kept_connections_are_told_that_the_server_stops(program, model):
    with Server(program, "--model", f"demo={model}") as server:
        asks_ready, asks_health, asks_more = (kept_connection(server) for _ in range(3))
        # Nobody reads it at first: it is there as long as it has to be.
        running = server.ask_unread("/v1/chat/completions", {
            **HELLO, "ignore_eos": True, "stream": True, "n": 8, "max_tokens": 150,
            "logprobs": True, "top_logprobs": 20})
        assert becomes(lambda: server.metric("http_streams") == 1)
        server.process.send_signal(signal.SIGTERM)
        assert becomes(lambda: refuses_connections(server))
        answer = ask(asks_ready, "GET", "/ready")
        assert answer.status == 503 and "shutting down" in answer.error["message"], answer.body
        assert answer.headers["connection"] == "close"
        assert ask(asks_health, "GET", "/health").status == 200  # the process lives
        answer = ask(asks_more, "POST", "/v1/chat/completions", HELLO)
        assert answer.status == 503 and "shutting down" in answer.error["message"], answer.body
        assert answer.headers["connection"] == "close"
        with running, running.makefile("rb") as file:
            assert b"data: [DONE]" in file.read()
        assert server.process.wait(30) == 0, server.log_text()


CASES = (kept_connections_are_told_that_the_server_stops,)


def main():
    program, data = sys.argv[1:3]
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, program, f"{data}/tokenworks-demo.gguf"))


if __name__ == "__main__":
    main()
