"""A client that is killed frees what it held within one step and 20 ms: while it waits in the
queue, while its prompt is read, and while its answer is written.

    check_killed.py TOKENWORKS DATA

From the close of the socket to the first look at /metrics that says so. The length of a step is
measured in the same run, just before the kill; the median of the attempts is judged, as a machine
may be busy with other things for a while.
"""
import http.client
import json
import re
import socket
import statistics
import struct
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from server import Server, run_cases  # noqa: E402

N_ATTEMPTS = 11
SLACK_MS = 20
PATIENCE_SECONDS = 30


class Watch:
    """Looks at /metrics over one connection, as often as it can."""

    def __init__(self, server):
        self.connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)

    def look(self):
        """The metrics, and when they were there."""
        self.connection.request("GET", "/metrics")
        text = self.connection.getresponse().read().decode()
        metrics = {name: float(value) for name, value in
                   re.findall(r'^tokenworks_(\w+)\{model_name="demo"\} (\S+)$', text, re.M)}
        return metrics, time.monotonic()

    def until(self, condition):
        end = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < end:
            metrics, at = self.look()
            if condition(metrics):
                return metrics, at
        raise AssertionError(f"it does not come true: {metrics}")


class Client:
    """A request whose answer nobody reads."""

    def __init__(self, server, prompt, **more):
        body = json.dumps({"prompt": prompt, "max_tokens": 1000, "ignore_eos": True, **more})
        self.socket = socket.create_connection(("127.0.0.1", server.port))
        self.socket.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                            f"Content-Length: {len(body)}\r\n\r\n{body}".encode())

    def kill(self, by_reset):
        """When it was done. Where there is no stream nothing can be read, and a close says FIN."""
        if by_reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        at = time.monotonic()
        self.socket.close()
        return at


def step_ms(watch, n_steps, goes_on):
    """The mean length of the next steps; None when something else came meanwhile."""
    first, begin = watch.look()
    last, end = watch.until(lambda m: m["engine_steps_total"] >=
                            first["engine_steps_total"] + n_steps or not goes_on(m))
    n = last["engine_steps_total"] - first["engine_steps_total"]
    return 1000 * (end - begin) / n if goes_on(last) and n > 0 else None


def judge(what, rows):
    """rows: (milliseconds until all was free, of a step)."""
    taken, step = (statistics.median(column) for column in zip(*rows))
    print(f"# {what}: free after {taken:.1f} ms (median of {len(rows)}, at most "
          f"{max(row[0] for row in rows):.1f}), a step takes {step:.1f} ms")
    assert taken <= step + SLACK_MS


def attempts(watch, by_reset, one):
    """Enough of those that caught the client where it was to be caught."""
    rows = []
    for number in range(3 * N_ATTEMPTS):
        watch.until(lambda m: m["kv_cache_pages_used"] == 0 and m["num_requests_waiting"] == 0)
        row = one(number, by_reset)
        rows += [row] if row else []
        if len(rows) == N_ATTEMPTS:
            return rows
    raise AssertionError(f"only {len(rows)} attempts of {3 * N_ATTEMPTS} came in time")


def is_free(metrics):
    return metrics["kv_cache_pages_used"] == 0


def while_its_answer_is_written(server, watch):
    def one(number, by_reset):
        before = watch.look()[0]["generation_tokens_total"]
        client = Client(server, f"{number} hello", stream=by_reset)
        watch.until(lambda m: m["generation_tokens_total"] > before + 5 and not is_free(m))
        step = step_ms(watch, 5, lambda m: not is_free(m))
        killed_at = client.kill(by_reset)
        return step and (1000 * (watch.until(is_free)[1] - killed_at), step)
    for by_reset in (False, True):
        judge(f"decode, {'RST' if by_reset else 'FIN'}", attempts(watch, by_reset, one))


def while_its_prompt_is_read(server, watch):
    def one(number, by_reset):
        before = watch.look()[0]["generation_tokens_total"]
        client = Client(server, f"{number} {by_reset} " + "word " * 1900, stream=by_reset)
        watch.until(lambda m: not is_free(m))
        step = step_ms(watch, 3, lambda m: not is_free(m) and
                       m["generation_tokens_total"] == before)
        killed_at = client.kill(by_reset)
        metrics, at = watch.until(is_free)
        is_caught = step and metrics["generation_tokens_total"] == before
        return is_caught and (1000 * (at - killed_at), step)
    for by_reset in (False, True):
        judge(f"prefill, {'RST' if by_reset else 'FIN'}", attempts(watch, by_reset, one))


def while_it_waits_in_the_queue(server, watch):
    """Behind one that has the only place."""
    def one(number, by_reset):
        first = Client(server, f"{number} first", max_tokens=1900)
        watch.until(lambda m: m["num_requests_running"] == 1)
        client = Client(server, f"{number} second", stream=by_reset)
        watch.until(lambda m: m["num_requests_waiting"] == 1)
        step = step_ms(watch, 5, lambda m: m["num_requests_waiting"] == 1)
        killed_at = client.kill(by_reset)
        metrics, at = watch.until(lambda m: m["num_requests_waiting"] == 0)
        is_caught = step and metrics["num_requests_running"] == 1
        first.kill(by_reset)
        return is_caught and (1000 * (at - killed_at), step)
    for by_reset in (False, True):
        judge(f"queue, {'RST' if by_reset else 'FIN'}", attempts(watch, by_reset, one))


CASES = (while_its_answer_is_written, while_its_prompt_is_read, while_it_waits_in_the_queue)


def main():
    program, data = sys.argv[1:3]
    print(f"1..{len(CASES)}")
    with Server(program, "--model", f"demo={data}/tokenworks-demo.gguf", "--max-seqs", 1,
                "--batch", 64) as server:
        code = run_cases(CASES, server, Watch(server))
    sys.exit(code)


if __name__ == "__main__":
    main()
