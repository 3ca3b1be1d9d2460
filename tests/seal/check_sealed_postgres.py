"""A sealed server whose books are in PostgreSQL, which it reaches by its broker.

    check_sealed_postgres.py TOKENWORKS DATA

TW_TEST_POSTGRES is the address of one, at a socket of the file system.
"""
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "http"), str(TESTS / "hub")]
from books import Books  # noqa: E402
from server import Server, bearer, run_cases  # noqa: E402

PATH = parse_qs(urlsplit(os.environ["TW_TEST_POSTGRES"]).query)["host"][0] + "/.s.PGSQL.5432"


class Relay:
    """PostgreSQL at a port of this machine: bytes go to and fro."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.n_clients = 0
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            self.n_clients += 1
            database = socket.socket(socket.AF_UNIX)
            database.connect(PATH)
            for source, target in ((client, database), (database, client)):
                threading.Thread(target=self.copy, args=(source, target), daemon=True).start()

    @staticmethod
    def copy(source, target):
        try:
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # one side has closed


def serve_and_report(books, data, address):
    model = Path(data, "tokenworks-demo.gguf")
    with Server(books.program, "--books", address, "--model", f"demo={model}", "--no-pack",
                "--ctx", "512", "--sealed", "broker") as server:
        for _ in range(3):
            answer = server.chat("hello", max_tokens=4, headers=bearer(books.key))
            assert answer.status == 200, answer.body
        for _ in range(3):  # a report has a connection of its own, which the broker makes
            assert json.loads(books.run("audit", "list", "--json").stdout), "no records"
        run = subprocess.run([books.program, "doctor", "--sealed", str(server.process.pid),
                              "--json"], check=True, capture_output=True, text=True, timeout=60)
        assert server.stop() == 0
    books.must_balance()
    seen = json.loads(run.stdout)
    assert seen["sealed"] == "broker", seen
    return seen


def books_at_a_socket_of_the_file_system_are_reached(books, data):
    seen = serve_and_report(books, data, books.path)
    assert seen["may_reach"] == [f"unix:{PATH}"], seen


def books_at_a_named_host_are_reached_by_the_address_it_had_at_the_start(books, data):
    relay = Relay()
    seen = serve_and_report(
        books, data, f"postgres://tokenworks@localhost:{relay.port}/postgres?sslmode=disable")
    assert f"127.0.0.1:{relay.port}" in seen["may_reach"], seen
    assert all(place.endswith(f":{relay.port}") for place in seen["may_reach"]), seen
    assert relay.n_clients >= 4, f"{relay.n_clients}: the writer and three reports"


CASES = (books_at_a_socket_of_the_file_system_are_reached,
         books_at_a_named_host_are_reached_by_the_address_it_had_at_the_start)


def main():
    program, data = sys.argv[1:3]
    print(f"1..{len(CASES)}")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TOKENWORKS_BOOKS_KEYS"] = folder
        books = Books(program, folder, os.environ["TW_TEST_POSTGRES"])
        sys.exit(run_cases(CASES, books, data))


if __name__ == "__main__":
    main()
