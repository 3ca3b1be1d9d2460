"""A hub that is killed at any moment loses nothing: the books balance, every token that a client
got is paid, and at most 32 of an answer are paid that it did not get.

    check_crash.py TOKENWORKS DATA KILLS
"""
import http.client
import json
import random
import signal
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books, bearer  # noqa: E402
from server import run_cases  # noqa: E402

N_CLIENTS = 6
AHEAD = 32


class Client(threading.Thread):
    """Streams answers until the server is gone: {id: (tokens that came, whether all of it)}."""

    def __init__(self, port, key, seed):
        super().__init__()
        self.port, self.key, self.random, self.answers = port, key, random.Random(seed), {}

    def run(self):
        try:
            while True:
                self.ask()
        except (OSError, http.client.HTTPException, ValueError):
            pass  # it was killed

    def ask(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        body = {"prompt": f"Once upon a time {self.random.random()}", "stream": True,
                "logprobs": 0, "max_tokens": self.random.randint(1, 150)}
        connection.request("POST", "/v1/completions", json.dumps(body), bearer(self.key))
        response = connection.getresponse()
        if response.status != 200:
            raise AssertionError(f"{response.status}: {response.read()}")
        for line in response:
            if line.startswith(b"data: {"):
                self.take(json.loads(line[6:]))

    def take(self, event):
        n, _ = self.answers.get(event["id"], (0, False))
        choice = event["choices"][0]
        logprobs = choice.get("logprobs") or {"tokens": []}
        self.answers[event["id"]] = (n + len(logprobs["tokens"]),
                                     choice["finish_reason"] is not None)


def kill_once(books, data, number, answers):
    chance = random.Random(number)
    with books.serve("--model", Path(data, "tokenworks-demo.gguf"), "--ctx", "512") as server:
        clients = [Client(server.port, books.key, (number, i).__hash__())
                   for i in range(N_CLIENTS)]
        for client in clients:
            client.start()
        time.sleep(chance.uniform(0.02, 0.8))
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
        for client in clients:
            client.join()
            answers.update(client.answers)
    books.must_balance()


def a_hub_that_is_killed_loses_no_token(program, data, n_kills):
    answers = {}
    with tempfile.TemporaryDirectory() as folder:
        books = Books(program, folder)
        books.command("budget", "set", "acme", "--limit", "1000000", "--period", "month")
        for number in range(n_kills):
            kill_once(books, data, number, answers)
        with books.serve("--model", Path(data, "tokenworks-demo.gguf")):
            pass  # settles the last ones
        books.must_balance()
        assert books.rows("SELECT COUNT(*) FROM reservation") == [(0,)]
        settled, recovered = ({record["request"]: record.get("output_tokens", 0)
                               for record in books.records("request." + kind)}
                              for kind in ("settled", "recovered"))
        assert not set(settled) & set(recovered)
        paid = settled | recovered
    over = []
    for name, (n_got, is_whole) in answers.items():
        assert name in paid, f"{name} got {n_got} tokens and is not in the books"
        assert paid[name] >= n_got, f"{name} got {n_got} tokens and paid {paid[name]}"
        over.append(paid[name] - n_got)
        if is_whole and name in settled:
            assert over[-1] == 0, f"{name} ended with {n_got} tokens and paid {paid[name]}"
    assert max(over) <= AHEAD, f"{max(over)} tokens were paid that nobody got"
    assert len(recovered) >= n_kills, f"{len(recovered)} answers were cut off in {n_kills} kills"
    print(f"# {n_kills} kills: {len(answers)} answers, {len(recovered)} cut off, at most "
          f"{max(over)} tokens too many")


if __name__ == "__main__":
    print("1..1")
    sys.exit(run_cases([a_hub_that_is_killed_loses_no_token], sys.argv[1], sys.argv[2],
                       int(sys.argv[3])))
