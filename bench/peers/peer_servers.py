"""Servers beside each other, on loopback, each asked by `tokenworks bench server`.

    start -> wait until it answers -> warm up -> the loads, one after the other -> stop

A server lives for one turn. It listens on 127.0.0.1 only, and is ended whatever happens.
"""
import http.client
import json
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass

from peer_engines import PeerError, last_lines, run

STOP_S = 40
LEAST_CONTEXT = 1024
WARM_WORDS = (16, 80)


@dataclass(frozen=True)
class Load:
    name: str
    prompt_tokens: int  # about as many
    shared_tokens: int
    n_requests: int
    seed: int


@dataclass(frozen=True)
class Clients:
    n_clients: int
    gen: int
    loads: tuple
    start_s: int

    @property
    def context(self):
        """Tokens of a request, with some room, also for the words that warm up."""
        return max(LEAST_CONTEXT, *(load.prompt_tokens * 2 for load in self.loads)) + self.gen


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def status_of(port, path):
    """Of a GET, or None where nobody answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


class Server:
    """A context manager."""

    def __init__(self, name, words, port, ready_path, start_s):
        self.name, self.port, self.ready_path, self.start_s = name, port, ready_path, start_s
        self.words = [str(word) for word in words]
        self.log = self.process = self.folder = None

    def __enter__(self):
        self.log = tempfile.TemporaryFile()
        self.folder = tempfile.TemporaryDirectory()
        try:
            self.process = subprocess.Popen(self.words, stdout=self.log, stderr=self.log,
                                            stdin=subprocess.DEVNULL, cwd=self.folder.name)
            self.wait_until_ready()
        except BaseException as error:
            self.__exit__()
            if isinstance(error, OSError):
                raise PeerError(f"{self.words[0]} cannot be run: {error.strerror}") from error
            raise
        return self

    def log_text(self):
        self.log.seek(0)
        return self.log.read().decode(errors="replace")

    def wait_until_ready(self):
        end = time.monotonic() + self.start_s
        while time.monotonic() < end:
            code = self.process.poll()
            if code is not None:
                raise PeerError(f"{self.name}'s server ended with code {code} before it answered; "
                                f"it says: {last_lines(self.log_text())}")
            if status_of(self.port, self.ready_path) == 200:
                return
            time.sleep(0.1)
        raise PeerError(f"{self.name}'s server does not answer after {self.start_s} seconds; it "
                        f"says: {last_lines(self.log_text())}")

    def __exit__(self, *_):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.folder.cleanup()
        self.log.close()


class TokenworksServer:
    def __init__(self, program):
        self.name, self.program = "tokenworks", program

    def start(self, setting, clients):
        port = free_port()
        return Server(self.name, [
            self.program, "serve", "--model", setting.model, "--port", port, "--threads",
            setting.threads, "--max-seqs", clients.n_clients, "--ctx", clients.context],
            port, "/ready", clients.start_s)


class LlamaServer:
    """A slot for each client, each with the context of a request."""

    def __init__(self, command):
        self.name, self.command = command.name, command

    def start(self, setting, clients):
        port = free_port()
        return Server(self.name, [
            *self.command.words, "-m", setting.model, "--host", "127.0.0.1", "--port", port, "-t",
            setting.threads, "-np", clients.n_clients, "-c", clients.n_clients * clients.context],
            port, "/health", clients.start_s)


class Asker:
    """`bench server`, with prompts of about as many tokens as were wished."""

    def __init__(self, program, setting, clients):
        self.program, self.setting, self.clients = program, setting, clients
        self.words_per_token = self.extra_tokens = None

    def ask(self, server, prompt, shared, n_requests, n_clients, gen, seed):
        out = json.loads(run([
            self.program, "bench", "server", f"http://127.0.0.1:{server.port}", "--endpoint",
            "completions", "--prompt", prompt, "--shared", shared, "--requests", n_requests,
            "--clients", n_clients, "--gen", gen, "--seed", seed, "--ignore-eos", "--json"],
            self.setting.timeout_s))
        if out["failed"] > 0:
            raise PeerError(f"{server.name}: {out['failed']} of {n_requests} requests failed, the "
                            f"first with {out['failure']}; it says: "
                            f"{last_lines(server.log_text())}")
        return out

    def warm_up(self, server):
        """Also learns, of the first server, how many tokens words are."""
        few, many = (self.ask(server, n, 0, 1, 1, 8, 1000 + n)["prompt_tokens"]
                     for n in WARM_WORDS)
        if self.words_per_token is None:
            self.words_per_token = (WARM_WORDS[1] - WARM_WORDS[0]) / (many - few)
            self.extra_tokens = few - WARM_WORDS[0] / self.words_per_token

    def words_of(self, tokens):
        return max(1, round((tokens - self.extra_tokens) * self.words_per_token)) if tokens else 0

    def load(self, server, load):
        return self.ask(server, self.words_of(load.prompt_tokens),
                        self.words_of(load.shared_tokens), load.n_requests,
                        self.clients.n_clients, self.clients.gen, load.seed)

    def turn(self, kind):
        """A server's whole turn: {name of a load: what `bench server` says}."""
        with kind.start(self.setting, self.clients) as server:
            self.warm_up(server)
            return {load.name: self.load(server, load) for load in self.clients.loads}
