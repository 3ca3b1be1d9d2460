"""The real server, sealed: with somebody inside who tries to get out, and with clients as ever.

    check_sealed.py TOKENWORKS DATA PRELOAD

PRELOAD is a library that makes a thread in the server, which tries what escape_attempts.c knows
after the server is sealed. Nothing in the program itself helps with that.
"""
import ctypes
import errno
import json
import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "http"), str(TESTS / "hub")]
from books import Books  # noqa: E402
from server import Server, bearer, becomes, run_cases  # noqa: E402

REFUSED = (errno.EPERM, errno.EACCES)
SIGSYS = -signal.SIGSYS


class Site:
    """A folder, the program and the model."""

    def __init__(self, program, data, preload, folder):
        self.program, self.preload, self.folder = program, preload, folder
        self.model = Path(data, "tokenworks-demo.gguf").resolve()
        self.report_path = Path(folder, "report")

    def serve(self, *words, mode="process", **more):
        return Server(self.program, "--model", f"demo={self.model}", "--no-pack", "--ctx", 512,
                      "--sealed", mode, *words, **more)

    def inside(self, **settings):
        return dict(os.environ, LD_PRELOAD=str(Path(self.preload).resolve()),
                    ESCAPE_REPORT=str(self.report_path), **settings)

    def report(self):
        """{attempt: error} when all were made."""
        def is_whole():
            return self.report_path.exists() and "end 0" in self.report_path.read_text()
        assert becomes(is_whole), self.report_path.exists() and self.report_path.read_text()
        rows = [line.split() for line in self.report_path.read_text().splitlines()]
        return {name: int(code) for name, code in rows if name != "end"}

    @staticmethod
    def looks_inside(server):
        """How often the thread inside has looked for a seal."""
        names = [path.read_text().split() for path in
                 Path(f"/proc/{server.process.pid}/task").glob("*/comm")]
        return next(int(n[1]) for n in names if n[0] == "waits")

    def doctor(self, *words):
        return subprocess.run([self.program, "doctor", "--sealed", *map(str, words)],
                              capture_output=True, text=True, timeout=60)


def site(function):
    def case(*arguments):
        with tempfile.TemporaryDirectory() as folder:
            function(Site(*arguments, folder))
    case.__name__ = function.__name__
    return case


def ways_out(report):
    """What was not refused. Landlock is of a thread and those it makes, and whoever is inside here
    was there before; tests/unit/seal tries that one."""
    return {name: code for name, code in report.items()
            if code not in REFUSED and name != "another_process_by_its_file"}


def status_lines(pid):
    """Of every thread: (Seccomp, NoNewPrivs)."""
    lines = []
    for path in Path(f"/proc/{pid}/task").iterdir():
        fields = dict(line.split(":\t", 1) for line in
                      Path(path, "status").read_text().splitlines() if ":\t" in line)
        lines.append((fields["Seccomp"], fields["NoNewPrivs"]))
    return lines


def must_serve(server, headers=None, model="demo"):
    answer = server.chat("hello", model=model, max_tokens=8, headers=headers)
    assert answer.status == 200 and answer.json["usage"]["completion_tokens"] >= 1
    events = server.chat("hello", model=model, max_tokens=8, headers=headers, stream=True).events
    assert events[-1]["choices"][0]["finish_reason"] in ("stop", "length")


@site
def whoever_is_inside_gets_nowhere_and_clients_notice_nothing(it):
    books = Books(it.program, it.folder)
    key = bearer(books.key)
    with it.serve("--books", books.path, env=it.inside()) as server:
        must_serve(server, key)
        report = it.report()
        out = ways_out(report)
        assert not out and len(report) > 50, out
        must_serve(server, key)
        books.command("key", "create", "acme/research/chat/second")
        assert "requests" in books.run_bare("usage", "--books", books.path).stdout
        books.must_balance()
        lines = status_lines(server.process.pid)
        assert len(lines) > 6 and set(lines) == {("2", "1")}, lines
        assert server.stop() == 0
    assert len(books.records("request.settled")) == 4
    books.must_balance()


@site
def a_server_that_nobody_asked_to_seal_is_not(it):
    """The thread inside waits for a seal, for ever."""
    with Server(it.program, "--model", it.model, "--no-pack", env=it.inside()) as server:
        assert it.doctor(server.process.pid).returncode == 9
        must_serve(server, model="tokenworks-demo")
        looks = it.looks_inside(server)
        assert becomes(lambda: it.looks_inside(server) > looks + 2)  # once more, and it still waits
        assert not it.report_path.exists()


@site
def a_call_of_another_abi_ends_the_server(it):
    for number, kind in enumerate(("x32", "i386")):
        with it.serve(env=it.inside(ESCAPE_FATAL=str(number)), waits=False) as server:
            code = server.process.wait(60)
            if kind == "i386" and code == -signal.SIGSEGV:
                print(f"# {platform.release()} has no i386")
                continue
            assert code == SIGSYS, f"{kind}: {code} {server.log_text()}"


@site
def a_socket_that_is_there_when_it_is_sealed_keeps_it_from_starting(it):
    with it.serve(env=it.inside(ESCAPE_SOCKET="1"), waits=False) as server:
        assert server.process.wait(60) == 2, server.log_text()
        assert "which is not on the list" in server.log_text()


@site
def what_was_inherited_is_closed_and_said(it):
    ours, theirs = socket.socketpair()
    with it.serve(pass_fds=(theirs.fileno(),)) as server:
        number = theirs.fileno()
        theirs.close()
        ours.settimeout(10)
        assert ours.recv(1) == b"", "the server has it still"
        assert f"an inherited descriptor was closed: {number}: socket:" in server.log_text()
        must_serve(server)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        with it.serve(stdin=client.fileno(), waits=False) as server:
            assert server.process.wait(60) == 2
            assert "standard input is a socket of a network" in server.log_text()
        client.close()


@site
def what_cannot_be_sealed_is_refused_at_the_start(it):
    for words, message in (
            (("--sealed", "process", "--books", "postgres:///x"), "books in PostgreSQL need"),
            (("--sealed", "process", "--reach", "127.0.0.1:80"), "give --sealed broker"),
            (("--reach", "127.0.0.1:80"), "give --sealed broker"),
            (("--sealed", "broker", "--reach", "nothing"), "is no address"),
            (("--sealed", "wholly"), "'wholly'")):
        for check in ((), ("--check",)):
            if check and message == "is no address":
                continue  # names are looked up when it starts
            run = subprocess.run([it.program, "serve", "--port", "0", "--model", it.model, *words,
                                  *check], capture_output=True, text=True, timeout=60)
            assert run.returncode == 2 and message in run.stderr, f"{words}: {run}"


@site
def models_are_loaded_and_files_read_again_while_it_is_sealed(it):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-noenc", "-days", "2",
                    "-subj", "/CN=localhost", "-out", "cert.pem", "-keyout", "key.pem"],
                   cwd=it.folder, check=True, capture_output=True)
    config = Path(it.folder, "serve.yaml")
    config.write_text(f"sealed: process\nmodels-bytes: 60000000\nmodels:\n"
                      f"  - {{path: {it.model}, name: demo, ctx: 512}}\n"
                      f"  - {{path: {it.model}, name: two, ctx: 512}}\n"
                      f"pack-dir: {it.folder}\n", encoding="ascii")
    with Server(it.program, "--config", config) as server:
        for model in ("demo", "two", "demo", "two"):
            must_serve(server, model=model)
        assert server.log_text().count("a model was loaded") >= 2, server.log_text()
        assert set(status_lines(server.process.pid)) == {("2", "1")}
        assert server.stop() == 0
    words = ("--tls-cert", Path(it.folder, "cert.pem"), "--tls-key", Path(it.folder, "key.pem"))
    with it.serve(*words) as server:
        address = f"https://127.0.0.1:{server.port}/ready"
        subprocess.run(["curl", "-skfo", "/dev/null", address], check=True, timeout=60)
        server.process.send_signal(signal.SIGHUP)
        assert becomes(lambda: "the certificate was read again" in server.log_text())
        assert server.stop() == 0


@site
def doctor_shows_what_is_sealed_and_what_is_not(it):
    books = Books(it.program, it.folder)
    with it.serve("--books", books.path) as server:
        with socket.create_connection(("127.0.0.1", server.port)):
            run = it.doctor(server.process.pid, "--json")
            seen = json.loads(run.stdout)
            assert run.returncode == 0 and seen["sealed"] == "process", run
            assert seen["threads"] == seen["threads_with_filter"] >= 6, seen
            assert seen["filters"] == 1 and seen["may_reach"] == [], seen
            kinds = [row["kind"] for row in seen["sockets"]]
            assert "accepted" in kinds and "outgoing" not in kinds, seen
            doors = [row for row in seen["sockets"] if row["kind"] == "listening"]
            assert all(row["loopback"] for row in doors) and len(doors) >= 2, seen
        run = it.doctor(Path(it.folder, "admin.sock"))
        assert run.returncode == 0 and "may reach   nothing" in run.stdout, run
        assert f"listens     127.0.0.1:{server.port} (this machine only)" in run.stdout, run
    with it.serve("--host", "0.0.0.0", "--no-auth") as server:
        assert "(other machines, too)" in it.doctor(server.process.pid).stdout
    with Server(it.program, "--model", it.model, "--no-pack") as server:
        run = it.doctor(server.process.pid)
        assert run.returncode == 9 and "is not sealed" in run.stderr, run
        assert "may reach   whatever this machine reaches" in run.stdout
        assert json.loads(it.doctor(server.process.pid, "--json").stdout)["sealed"] == "no"
    assert it.doctor(2**31 - 1).returncode == 3 and it.doctor("nowhere.sock").returncode == 3


def filter_of_another():
    """As a service manager sets one before a program starts: it allows everything."""
    class Instruction(ctypes.Structure):
        _fields_ = [("code", ctypes.c_ushort), ("jt", ctypes.c_ubyte), ("jf", ctypes.c_ubyte),
                    ("k", ctypes.c_uint)]

    class Program(ctypes.Structure):
        _fields_ = [("n", ctypes.c_ushort), ("first", ctypes.POINTER(Instruction))]
    libc = ctypes.CDLL(None, use_errno=True)
    program = Program(1, ctypes.pointer(Instruction(0x06, 0, 0, 0x7fff0000)))
    zero = ctypes.c_ulong(0)
    if libc.prctl(38, ctypes.c_ulong(1), zero, zero, zero) != 0 or \
            libc.prctl(22, ctypes.c_ulong(2), ctypes.byref(program), zero, zero) != 0:
        raise OSError(ctypes.get_errno(), "no filter")


@site
def a_filter_of_another_is_no_seal(it):
    with Server(it.program, "--model", it.model, "--no-pack",
                preexec_fn=filter_of_another) as server:
        assert set(status_lines(server.process.pid)) == {("2", "1")}
        run = it.doctor(server.process.pid)
        assert run.returncode == 9 and "would not be ours" in run.stdout, run
        assert json.loads(it.doctor(server.process.pid, "--json").stdout)["statement"] is False
    with it.serve(preexec_fn=filter_of_another) as server:
        run = it.doctor(server.process.pid, "--json")
        seen = json.loads(run.stdout)
        assert run.returncode == 0 and seen["filters"] == 2 and seen["statement"], run


@site
def systemd_is_told_and_its_socket_is_served(it):
    path = str(Path(it.folder, "notify"))
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(path)
    notify.settimeout(60)
    listener = socket.create_server(("127.0.0.1", 0))
    start = ("bash", "-c", f'exec 3<&{listener.fileno()} {listener.fileno()}<&-; '
             'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@"', "start")
    with Server(it.program, "--model", it.model, "--no-pack", "--sealed", "process", before=start,
                waits=False, pass_fds=(listener.fileno(),),
                env=dict(os.environ, NOTIFY_SOCKET=path)) as server:
        assert notify.recv(100) == b"READY=1"
        server.port = listener.getsockname()[1]
        must_serve(server, model="tokenworks-demo")
        assert it.doctor(server.process.pid).returncode == 0
        server.process.send_signal(signal.SIGTERM)
        assert notify.recv(100) == b"STOPPING=1"
        assert server.process.wait(60) == 0


@site
def a_broker_reaches_its_list_and_nothing_else(it):
    with socket.create_server(("127.0.0.1", 0)) as allowed, \
            socket.create_server(("127.0.0.1", 0)) as refused:
        to, away = (f"127.0.0.1:{s.getsockname()[1]}" for s in (allowed, refused))
        with it.serve("--reach", to.replace("127.0.0.1", "localhost"), mode="broker",
                      env=it.inside(ESCAPE_CONNECT=f"{to},{away},127.0.0.1:9")) as server:
            report = it.report()
            expected = {to: 0, f"blocking:{to}": errno.EPERM, away: errno.EPERM,
                        f"blocking:{away}": errno.EPERM, "127.0.0.1:9": errno.EPERM,
                        "blocking:127.0.0.1:9": errno.EPERM}
            assert report == expected, report
            for listener, bytes_sent in ((allowed, b"out"), (refused, None)):
                listener.settimeout(60 if bytes_sent else 0)  # all attempts have been made
                try:
                    assert listener.accept()[0].recv(3) == bytes_sent
                except BlockingIOError:
                    assert bytes_sent is None
            must_serve(server)
            run = it.doctor(server.process.pid, "--json")
            seen = json.loads(run.stdout)
            assert run.returncode == 0 and seen["sealed"] == "broker", run
            assert to in seen["may_reach"] and away not in seen["may_reach"], seen
            broker = seen["broker_pid"]
            assert set(status_lines(broker)) == {("2", "1")}
            command = Path(f"/proc/{broker}/environ").read_bytes()
            assert command == b"", "the broker has the server's environment"
            assert server.stop() == 0
        assert becomes(lambda: not Path(f"/proc/{broker}").exists())


@site
def with_a_broker_whoever_is_inside_gets_nowhere(it):
    with it.serve(mode="broker", env=it.inside()) as server:
        # A socket can be had, but leads nowhere until the broker connects it.
        out = ways_out(it.report())
        assert out.keys() == {"tcp_over_ipv4", "tcp_over_ipv6", "local_stream"}, out
        must_serve(server)


@site
def backends_are_asked_by_way_of_the_broker_and_nothing_else_is(it):
    """A name is one of the list by the addresses that it had at the start; a file that is read
    again brings what the broker may reach, and nothing else."""
    config = Path(it.folder, "serve.yaml")

    def write(url):
        config.write_text(json.dumps({"backends": [
            {"name": "node", "url": url, "models": [{"name": "far", "upstream": "near",
                                                     "ctx": 512}]}]}), encoding="ascii")

    def hang_up(line):
        n = server.log_text().count(line)
        server.process.send_signal(signal.SIGHUP)
        assert becomes(lambda: server.log_text().count(line) == n + 1), server.log_text()

    with Server(it.program, "--model", f"near={it.model}", "--no-pack", "--ctx", 512) as node, \
            socket.create_server(("127.0.0.1", 0)) as trap:
        to, away = f"127.0.0.1:{node.port}", f"127.0.0.1:{trap.getsockname()[1]}"
        write(f"http://localhost:{node.port}")
        with it.serve("--config", config, mode="broker",
                      env=it.inside(ESCAPE_CONNECT=f"{to},{away}")) as server:
            report = it.report()
            assert report[to] == 0 and report[away] == errno.EPERM, report
            must_serve(server, model="far")
            must_serve(server)
            seen = json.loads(it.doctor(server.process.pid, "--json").stdout)
            assert seen["sealed"] == "broker" and to in seen["may_reach"], seen
            assert all(place.endswith(f":{node.port}") for place in seen["may_reach"]), seen
            for url, said in ((f"http://{away}", "may not reach it"),
                              ("http://example.org:80", "looks up no names"),
                              ("dns://example.org:80", "looks up no names")):
                write(url)
                hang_up("stay as they were")
                assert said in server.log_text().splitlines()[-1], server.log_text()
                must_serve(server, model="far")
            write(f"http://{to}")
            hang_up("the backends were read again")
            must_serve(server, model="far")
            assert server.stop() == 0
        trap.settimeout(0)
        try:
            raise AssertionError(f"{trap.accept()} came to an address that is not on the list")
        except BlockingIOError:
            pass
    with Server(it.program, "--config", config, "--sealed", "process", waits=False) as server:
        assert server.process.wait(60) == 2 and "--sealed broker" in server.log_text()


CASES = (whoever_is_inside_gets_nowhere_and_clients_notice_nothing,
         a_server_that_nobody_asked_to_seal_is_not,
         a_call_of_another_abi_ends_the_server,
         a_socket_that_is_there_when_it_is_sealed_keeps_it_from_starting,
         what_was_inherited_is_closed_and_said,
         what_cannot_be_sealed_is_refused_at_the_start,
         models_are_loaded_and_files_read_again_while_it_is_sealed,
         doctor_shows_what_is_sealed_and_what_is_not,
         a_filter_of_another_is_no_seal,
         systemd_is_told_and_its_socket_is_served,
         a_broker_reaches_its_list_and_nothing_else,
         with_a_broker_whoever_is_inside_gets_nowhere,
         backends_are_asked_by_way_of_the_broker_and_nothing_else_is)

if __name__ == "__main__":
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, *sys.argv[1:4]))
