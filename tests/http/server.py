"""A server for a test: started on a free port, asked, and stopped whatever happens."""
import concurrent.futures
import hashlib
import http.client
import json
import os
import re
import resource
import signal
import socket
import subprocess
import tempfile
import time
import threading
import traceback
from pathlib import Path


def becomes(condition, seconds=30):
    """Whether a condition comes true in that time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.005)
    return False


def allow_descriptors(n):
    """Whether as many file descriptors as a test needs can be had."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < n <= hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (n, hard))
    return n <= hard


def resident_bytes(pid):
    text = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    line = next(line for line in text.splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def run_cases(cases, *arguments, first=1):
    """Reports each as TAP, after the plan; the exit code."""
    code = 0
    for number, case in enumerate(cases, first):
        try:
            case(*arguments)
            print(f"ok {number} - {case.__name__}", flush=True)
        except Exception:  # a test's report, whatever went wrong
            code = 1
            print(f"not ok {number} - {case.__name__}", flush=True)
            for line in traceback.format_exc().splitlines():
                print(f"# {line}")
    return code


def write_keys(folder, *rows):
    """A key file; a row is (tenant, key, more)."""
    lines = [f"  - {{tenant: {tenant}, hash: {hashlib.sha256(key.encode()).hexdigest()}{more}}}"
             for tenant, key, more in rows]
    path = Path(folder, "keys.yaml")
    path.write_text("keys:\n" + "\n".join(lines) + "\n", encoding="ascii")
    return path


def stands_still(server, name):
    """Whether a number of the server's stays as it is for two seconds."""
    before = server.metric(name)
    time.sleep(2)
    return server.metric(name) == before


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def together(functions):
    """Calls them all at once, each on a thread of its own; what each gave."""
    barrier = threading.Barrier(len(functions))

    def run(function):
        barrier.wait()
        return function()
    with concurrent.futures.ThreadPoolExecutor(len(functions)) as pool:
        return list(pool.map(run, functions))


class Answer:
    """Status, headers and body of an answer."""

    def __init__(self, response):
        self.status = response.status
        self.headers = {name.lower(): value for name, value in response.getheaders()}
        self.body = response.read()

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def error(self):
        return self.json["error"]

    @property
    def events(self):
        """The objects of a stream, which must end with [DONE]."""
        events = [part[6:] for part in self.body.decode().split("\n\n")
                  if part.startswith("data: ")]
        assert events and events[-1] == "[DONE]", f"the stream ends with {events[-1:]}"
        return [json.loads(event) for event in events[:-1]]


class Server:
    """`tokenworks serve` with the words given; a context manager. before: words that start it;
    more: for subprocess.Popen. With waits=False it may not have come up yet, or never will."""

    def __init__(self, program, *words, before=(), waits=True, **more):
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen([*before, program, "serve", "--port", "0",
                                         *map(str, words)], stderr=self.log, **more)
        self.port = self.wait_for_port() if waits else None

    def log_text(self):
        file = self.log.fileno()  # its position is where the server writes: it stays
        return os.pread(file, os.fstat(file).st_size, 0).decode(errors="replace")

    def wait_for_port(self):
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            match = re.search(r'"url":"https?://[^"]*:(\d+)"', self.log_text())
            if match:
                return int(match[1])
            time.sleep(0.02)
        self.process.kill()
        self.process.wait()
        raise AssertionError(f"the server does not start: {self.log_text()}")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.stop()

    def stop(self, signal_number=signal.SIGTERM, seconds=60):
        """The exit code."""
        self.process.send_signal(signal_number)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise

    def ask(self, method, path, body=None, headers=None, raw=False, source="127.0.0.1"):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120,
                                                source_address=(source, 0))
        data = body if raw or body is None else json.dumps(body)
        connection.request(method, path, data, headers or {})
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    def get(self, path, **more):
        return self.ask("GET", path, **more)

    def post(self, path, body, **more):
        return self.ask("POST", path, body, **more)

    def chat(self, text, headers=None, **more):
        return self.post("/v1/chat/completions",
                         {"messages": [{"role": "user", "content": text}], "temperature": 0,
                          **more}, headers=headers)

    def ask_unread(self, path, body, headers=None):
        """A socket whose answer nobody has read yet."""
        data = json.dumps(body).encode()
        more = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        client = socket.create_connection(("127.0.0.1", self.port), timeout=120)
        client.sendall(b"POST %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
                       b"Content-Length: %d\r\n%s\r\n%s" % (path.encode(), len(data),
                                                       more.encode(), data))
        return client

    def metric(self, name):
        """The sum over all labels."""
        lines = self.get("/metrics").body.decode().splitlines()
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines
                   if re.match(rf"tokenworks_{name}(\{{| )", line))
