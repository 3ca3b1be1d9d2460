"""Machines for a test: network namespaces with addresses of their own, where root may make them, on
a switch that is a namespace as well; elsewhere addresses of loopback, whose links nobody can cut.

Whoever uses it calls enter() first, which runs the program anew in that namespace.
"""
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MARK = "TW_TEST_SWITCH"


def must(*words):
    subprocess.run(words, check=True, capture_output=True, text=True, timeout=30)


def can_make_namespaces():
    words = ["unshare", "--net", "ip", "link", "add", "switch", "type", "bridge"]
    return (os.geteuid() == 0 and shutil.which("ip") is not None and
            shutil.which("nsenter") is not None and
            subprocess.run(words, capture_output=True).returncode == 0)


def enter():
    """Whether machines are namespaces."""
    if MARK not in os.environ and can_make_namespaces():
        os.environ[MARK] = "yes"
        os.execvp("unshare", ["unshare", "--net", "--kill-child", "--fork", sys.executable,
                              *sys.argv])
    if MARK not in os.environ:
        return False
    must("ip", "link", "set", "lo", "up")
    must("ip", "link", "add", "switch", "type", "bridge")
    must("ip", "address", "add", "10.77.0.1/24", "dev", "switch")
    must("ip", "link", "set", "switch", "up")
    return True


class Machine:
    """One with the last number of an address; a context manager."""

    def __init__(self, number, has_namespace):
        self.number, self.holder = number, None
        self.address = f"127.0.0.{number}"
        self.before = []
        if has_namespace:
            self.address = f"10.77.0.{number}"
            self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
            pid = str(self.holder.pid)
            own = os.readlink("/proc/self/ns/net")
            while os.readlink(f"/proc/{pid}/ns/net") == own:
                time.sleep(0.005)
            self.before = ["nsenter", f"--net=/proc/{pid}/ns/net"]
            must("ip", "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0",
                 "netns", pid)
            must("ip", "link", "set", f"port{number}", "master", "switch", "up")
            must(*self.before, "ip", "link", "set", "lo", "up")
            must(*self.before, "ip", "address", "add", f"{self.address}/24", "dev", "eth0")
            must(*self.before, "ip", "link", "set", "eth0", "up")

    def connect(self, is_connected):
        """What is sent to it or by it meanwhile is lost without a word."""
        must("ip", "link", "set", f"port{self.number}", "up" if is_connected else "down")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.holder is not None:
            self.holder.kill()
            self.holder.wait()


class Database:
    """A PostgreSQL on a machine, that can be killed and started again."""

    def __init__(self, machine):
        self.machine, self.process = machine, None
        self.folder = Path(tempfile.mkdtemp(prefix="tokenworks-pg-"))
        self.bin = max(Path("/usr/lib/postgresql").glob("*/bin"),
                       key=lambda path: int(path.parent.name))
        self.user = []
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
            self.user = ["setpriv", "--reuid", "postgres", "--regid", "postgres",
                         "--clear-groups"]
        self.folder.chmod(0o755)
        with open(self.folder / "initdb.log", "wb") as log:
            subprocess.run([*self.user, self.bin / "initdb", "--pgdata", self.folder / "data",
                            "--username=tokenworks", "--auth=trust", "--encoding=UTF8",
                            "--locale=C", "--no-sync"], check=True, cwd=self.folder, stdout=log,
                           stderr=log, timeout=120)
        with open(self.folder / "data/pg_hba.conf", "a", encoding="ascii") as rules:
            rules.write("host all all 10.77.0.0/24 trust\n")
        self.port = 5432 if machine.holder is not None else 20000 + os.getpid() % 20000
        self.address = (f"postgres://tokenworks@{machine.address}:{self.port}/postgres"
                        "?sslmode=disable")
        self.local = f"postgres:///postgres?host={self.folder}&port={self.port}&user=tokenworks"
        self.start()

    def start(self):
        log = open(self.folder / "server.log", "ab")
        self.process = subprocess.Popen(
            [*self.machine.before, *self.user, "setpriv", "--pdeathsig", "QUIT",
             self.bin / "postgres", "-D", self.folder / "data", "-k", self.folder,
             "-p", str(self.port), "-c", f"listen_addresses={self.machine.address}",
             "-c", "unix_socket_permissions=0777", "-c", "max_connections=60",
             "-c", "shared_buffers=32MB"], cwd=self.folder, stdout=log, stderr=log)
        log.close()
        end = time.monotonic() + 60
        while time.monotonic() < end and self.process.poll() is None:
            if subprocess.run([self.bin / "pg_isready", "-q", "-h", self.folder, "-p",
                               str(self.port)]).returncode == 0:
                return
            time.sleep(0.05)
        raise AssertionError((self.folder / "server.log").read_text(errors="replace")[-500:])

    def kill(self):
        """At once, as a machine that loses its power; what was promised is in its log."""
        self.process.send_signal(3)
        self.process.wait()

    def stop(self):
        """As a machine whose disk is away: its system takes what is sent, and nobody answers."""
        self.tell(signal.SIGSTOP)

    def go_on(self):
        self.tell(signal.SIGCONT)

    def tell(self, number):
        children = subprocess.run(["pgrep", "-P", str(self.process.pid)], capture_output=True,
                                  text=True, check=True).stdout.split()
        for pid in (self.process.pid, *map(int, children)):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass

    def rows(self, sql):
        out = subprocess.run([self.bin / "psql", "-AtX", "-F", "\t", "-v", "ON_ERROR_STOP=1", "-d",
                              self.local, "-c", sql], check=True, capture_output=True, text=True,
                             timeout=60)
        return [line.split("\t") for line in out.stdout.splitlines()]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        shutil.rmtree(self.folder)
