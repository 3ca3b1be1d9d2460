"""How the server starts and stops: signals at any moment, sockets of systemd, keys that change.

    check_stop.py TOKENWORKS DATA SYNTH_MODEL

The demo model is in DATA; SYNTH_MODEL makes one that takes a while to load.
"""
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from server import Server, bearer, becomes, run_cases, write_keys  # noqa: E402

N_KEPT = 300
N_QUEUED = 600
SMALL = ("--ctx", 512, "--max-seqs", 2)
# Refused, but not before all the steps that compiling may take.
COSTLY = {"prompt": "x", "guided_regex": "(a{1,999}){1,999}"}
# The socket becomes descriptor 3 of the process that becomes the server.
PASS_ON = ("import os, sys; os.dup2(int(sys.argv[1]), 3); "
           "os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1'); "
           "os.execv(sys.argv[2], sys.argv[2:])")


class Things:
    """What the cases work with."""

    def __init__(self, program, data, maker, folder):
        self.program, self.folder = program, folder
        self.demo = Path(data, "tokenworks-demo.gguf")
        self.large = Path(folder, "large.gguf")
        subprocess.run([maker, "--preset", "llama3.2-1b", "--layers", "6", "--fast", "-o",
                        self.large], check=True, stdout=subprocess.DEVNULL)

    def server(self, *words, **more):
        return Server(self.program, *SMALL, *words, **more)

    def keys(self, *names):
        return write_keys(self.folder, *((name, name, "") for name in names))


def post_bytes(path, body):
    data = json.dumps(body).encode()
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
            ).encode() + data


def connect(server, n):
    return [socket.create_connection(("127.0.0.1", server.port), timeout=60) for _ in range(n)]


def close_all(sockets):
    for one in sockets:
        one.close()


# ---- the end ----

def who_asks_for_numbers_until_the_end_hurts_nobody(things):
    models = [word for i in range(12) for word in ("--model", f"m{i}={things.demo}")]
    request = b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
    ready = request.replace(b"/metrics", b"/ready")
    for _ in range(3):
        with things.server("--drain", 0, *models) as server:
            kept = connect(server, N_KEPT)
            for one in kept:
                one.sendall(ready)
                assert one.recv(1000).startswith(b"HTTP/1.1 200")
            server.process.send_signal(signal.SIGTERM)
            for i, one in enumerate(kept):
                try:
                    one.sendall(request if i % 2 else ready)
                except OSError:
                    pass  # it is closed already
            code = server.process.wait(60)
            assert code == 0, f"{code}: {server.log_text()[-3000:]}"
            close_all(kept)


def what_waits_to_be_prepared_is_refused_unread_when_the_server_stops(things):
    with things.server("--drain", 0, "--model", things.demo) as server:
        waiting = connect(server, N_QUEUED)
        for one in waiting:
            one.sendall(post_bytes("/v1/completions", COSTLY))
        def answered():
            return server.metric("http_requests_total")
        before = answered()
        assert becomes(lambda: answered() > before + 20, 60), "they are not worked off"
        assert server.stop() == 0, server.log_text()
        answers = [one.recv(1000)[9:12] for one in waiting]
        n_refused = answers.count(b"503")
        assert n_refused > N_QUEUED // 4, {answer: answers.count(answer) for answer in answers}
        close_all(waiting)


# ---- the beginning ----

def blocks_sigterm(process):
    """Whether the process has come so far that it takes signals one by one."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(re.search(r"SigBlk:\t(\w+)", status)[1], 16) >> (signal.SIGTERM - 1) & 1


def a_signal_ends_a_server_whose_models_are_being_loaded(things):
    for number in (signal.SIGTERM, signal.SIGINT):
        with things.server("--model", things.large, "--model", things.demo,
                           waits=False) as server:
            assert becomes(lambda: blocks_sigterm(server.process), 60)
            assert server.stop(number) == 0, server.log_text()
            log = server.log_text()
            assert "stopping" in log and "listening" not in log, log


def a_load_is_given_up_when_the_server_stops(things):
    with things.server("--model", things.demo, "--model", f"large={things.large}",
                       "--models-bytes", 3 * 10**9, "--kv-bytes", 10**8, "--drain",
                       0) as server:
        client, = connect(server, 1)
        client.sendall(post_bytes("/v1/completions", {"model": "large", "prompt": "x"}))
        assert becomes(lambda: server.metric("num_requests_waiting") == 1, 60)
        assert server.stop() == 0, server.log_text()
        assert b"503" in client.recv(1000)[:16]
        client.close()
        log = server.log_text()
        assert "a model was loaded" not in log and "cannot be loaded" not in log, log


# ---- systemd ----

def passed_on(things, listener, *words, **more):
    """A server with that socket."""
    before = (sys.executable, "-c", PASS_ON, str(listener.fileno()))
    return things.server("--model", things.demo, *words, before=before,
                         pass_fds=(listener.fileno(),), **more)


def listening(host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, 0), family=family, dualstack_ipv6=host == "::")


def a_socket_of_this_machine_is_served(things):
    for host, shown in (("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")):
        with listening(host) as listener:
            # what --host says does not count then
            with passed_on(things, listener, "--host", "0.0.0.0") as server:
                port = listener.getsockname()[1]
                assert f'"url":"http://{shown}:{port}"' in server.log_text(), server.log_text()
                client = socket.create_connection((host, port), timeout=60)
                client.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert client.recv(1000).startswith(b"HTTP/1.1 200")
                client.close()
                assert server.stop() == 0


def a_socket_in_the_file_system_is_served(things):
    path = str(Path(things.folder, "s.sock"))
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        with passed_on(things, listener, waits=False) as server:
            assert becomes(lambda: f'"url":"http+unix:{path}"' in server.log_text(), 60), \
                server.log_text()
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(path)
                client.sendall(b"GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert client.recv(1000).startswith(b"HTTP/1.1 200")
            assert server.stop() == 0


def a_socket_of_the_network_needs_keys(things):
    for host in ("0.0.0.0", "::"):
        with listening(host) as listener:
            with passed_on(things, listener, waits=False) as server:
                assert server.process.wait(60) == 2
                assert "passed on" in server.log_text(), server.log_text()
                assert "--api-keys" in server.log_text(), server.log_text()
            with passed_on(things, listener, "--api-keys", things.keys("a")) as server:
                assert server.get("/v1/models").status == 401
                assert server.get("/v1/models", headers=bearer("a")).status == 200
                assert server.stop() == 0


def what_is_no_socket_is_refused(things):
    with open(things.demo, "rb") as file:
        with passed_on(things, file, waits=False) as server:
            assert server.process.wait(60) == 4
            assert "LISTEN_FDS promises" in server.log_text(), server.log_text()


def systemd_is_told_when_it_is_ready_and_when_it_stops(things):
    path = str(Path(things.folder, "n.sock"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as told:
        told.bind(path)
        told.settimeout(60)
        with things.server("--model", things.demo,
                           env={**os.environ, "NOTIFY_SOCKET": path}) as server:
            assert told.recv(100) == b"READY=1"
            server.process.send_signal(signal.SIGTERM)
            assert told.recv(100) == b"STOPPING=1"
            assert server.process.wait(60) == 0


# ---- keys ----

def a_new_key_is_good_as_soon_as_it_is_known(things):
    """While an answer is written, a tenant is made known between two steps: it takes a while."""
    keys = things.keys("old")
    with Server(things.program, "--model", things.demo, "--api-keys", keys) as server:
        names = [f"new{i}" for i in range(300)]
        client, = connect(server, 1)
        body = {"prompt": "x", "max_tokens": 1900, "ignore_eos": True, "stream": True}
        client.sendall(post_bytes("/v1/completions", body).replace(
            b"Host:", b"Authorization: Bearer old\r\nHost:"))
        client.recv(1000)
        things.keys("old", *names)
        server.process.send_signal(signal.SIGHUP)
        statuses = []

        def is_good():
            answer = server.post("/v1/completions", {"prompt": "x", "max_tokens": 1},
                                 headers=bearer(names[-1]))
            statuses.append(answer.status)
            return answer.status == 200
        end = time.monotonic() + 60
        # Wrong keys are counted: not more often than is allowed.
        while not is_good() and time.monotonic() < end and len(statuses) < 18:
            time.sleep(0.2 * len(statuses))
        assert set(statuses) <= {200, 401} and statuses[-1] == 200, statuses
        client.close()
        assert server.stop() == 0, server.log_text()


CASES = (who_asks_for_numbers_until_the_end_hurts_nobody,
         what_waits_to_be_prepared_is_refused_unread_when_the_server_stops,
         a_signal_ends_a_server_whose_models_are_being_loaded,
         a_load_is_given_up_when_the_server_stops, a_socket_of_this_machine_is_served,
         a_socket_in_the_file_system_is_served, a_socket_of_the_network_needs_keys,
         what_is_no_socket_is_refused, systemd_is_told_when_it_is_ready_and_when_it_stops,
         a_new_key_is_good_as_soon_as_it_is_known)


def main():
    program, data, maker = sys.argv[1:4]
    print(f"1..{len(CASES)}")
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(run_cases(CASES, Things(program, data, maker, folder)))


if __name__ == "__main__":
    main()
