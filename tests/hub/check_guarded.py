"""A process that has opened books leaves no core file, and others of its user cannot read it.

    check_guarded.py TOKENWORKS DATA
"""
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books  # noqa: E402
from server import Server, becomes, run_cases  # noqa: E402

NOBODY = 65534
AS_NOBODY = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.getuid() == 0 else {}


def core_limit(pid):
    text = Path(f"/proc/{pid}/limits").read_text(encoding="ascii")
    return re.search(r"Max core file size +(\S+) +(\S+)", text).groups()


def is_guarded(pid):
    """What the process has of its own in /proc belongs to root as soon as it may not be dumped."""
    owner = os.stat(f"/proc/{pid}/environ").st_uid
    return core_limit(pid) == ("0", "0") and owner == 0


class Site:
    """A program, a model and books of a user who is not root."""

    def __init__(self, program, data, folder):
        self.model = shutil.copy(Path(data, "tokenworks-demo.gguf"), folder)
        self.program = shutil.copy(program, folder)
        self.folder = Path(folder, "hub")
        self.folder.mkdir(mode=0o700)
        self.books = Books(self.program, self.folder)
        for path in (Path(folder), self.folder, *self.folder.iterdir()):
            if AS_NOBODY:
                os.chown(path, NOBODY, NOBODY)


def site(function):
    """A case with a site of its own."""
    def case(program, data):
        with tempfile.TemporaryDirectory() as folder:
            function(Site(program, data, folder))
    case.__name__ = function.__name__
    return case


@site
def a_server_with_books_is_guarded(it):
    with Server(it.program, "--model", it.model, **AS_NOBODY) as server:
        assert not is_guarded(server.process.pid), "this would show nothing"
    with it.books.serve("--model", it.model, **AS_NOBODY) as server:
        pid = server.process.pid
        assert is_guarded(pid)
        locked = re.search(r"VmLck:\s+(\d+)", Path(f"/proc/{pid}/status").read_text("ascii"))
        print(f"# {locked[1]} KiB of it are locked in memory")
        os.kill(pid, signal.SIGABRT)
        _, status = os.waitpid(pid, 0)
        server.process.returncode = -signal.SIGABRT
        assert os.WTERMSIG(status) == signal.SIGABRT and not os.WCOREDUMP(status)


@site
def a_command_that_opens_books_is_guarded(it):
    rival = sqlite3.connect(it.books.path, isolation_level=None)
    rival.execute("BEGIN IMMEDIATE")  # so that there is time to look
    process = subprocess.Popen([it.program, "org", "create", "b", "--books", it.books.path],
                               stdout=subprocess.DEVNULL, **AS_NOBODY)
    try:
        assert becomes(lambda: is_guarded(process.pid), 10)
        assert process.poll() is None
    finally:
        rival.execute("ROLLBACK")
        rival.close()
    assert process.wait(60) == 0


CASES = (a_server_with_books_is_guarded, a_command_that_opens_books_is_guarded)

if __name__ == "__main__":
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, *sys.argv[1:3]))
