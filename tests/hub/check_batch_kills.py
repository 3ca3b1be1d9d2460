"""A server that is killed at any moment: its batch goes on, each line has one result, and what is
paid is what the results say.

    check_batch_kills.py TOKENWORKS DATA KILLS
"""
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from batch_site import Client, lines  # noqa: E402
from books import Books  # noqa: E402
from server import run_cases  # noqa: E402

LINES = 150


def count(books):
    """Lines with a result, and requests that were settled and not cut off by a kill."""
    results, = books.rows("SELECT COUNT(*) FROM batch_line AS l JOIN batch_file AS f"
                          " ON f.id = l.file WHERE f.purpose = 'batch_output'")
    paid, = books.rows("SELECT COUNT(*), SUM(input_tokens + cached_tokens + output_tokens)"
                       " FROM entry WHERE kind = 'settle'"
                       " AND input_tokens + cached_tokens + output_tokens > 0")
    return results[0], paid


def each_line_is_answered_and_paid_once_whatever_is_killed(program, data, n_kills):
    chance = random.Random(1)
    n_within = 0
    with tempfile.TemporaryDirectory() as folder:
        books = Books(program, folder)
        words = ("--model", Path(data, "tokenworks-demo.gguf"), "--ctx", "512", "--batch-lines",
                 "4")
        with books.serve(*words) as server:
            client = Client(server, books.key)
            name = client.batch(lines(LINES * max(1, n_kills // 10), max_tokens=24))
            time.sleep(chance.uniform(0, 0.3))
            server.process.send_signal(signal.SIGKILL)
            server.process.wait()
        for _ in range(n_kills - 1):
            with books.serve(*words) as server:
                time.sleep(chance.uniform(0, 0.6))
                server.process.send_signal(signal.SIGKILL)
                server.process.wait()
            n_results, (n_paid, _) = count(books)
            assert n_results == n_paid, (n_results, n_paid)
            n_within += 0 < n_results < LINES * max(1, n_kills // 10)
            books.must_balance()
        with books.serve(*words) as server:
            client = Client(server, books.key)
            batch = client.wait(name, seconds=300)
            rows = client.rows(batch["output_file_id"])
    total = batch["request_counts"]["total"]
    assert batch["status"] == "completed", batch
    assert batch["request_counts"] == {"total": total, "completed": total, "failed": 0}, batch
    names = [row["custom_id"] for row in rows]
    assert names == [f"request-{i}" for i in range(1, total + 1)], names
    tokens = sum(row["response"]["body"]["usage"]["total_tokens"] for row in rows)
    assert tokens == batch["usage"]["total_tokens"]
    assert n_within > 0, "no kill fell into the batch: the test proves nothing"
    print(f"# {n_kills} kills, {n_within} of them within the batch; {total} lines, {tokens} tokens")


def cases(program, data, n_kills):
    def what_is_paid_is_what_the_results_say(*_):
        each_line_is_answered_and_paid_once_whatever_is_killed(program, data, n_kills)
    return (what_is_paid_is_what_the_results_say,)


if __name__ == "__main__":
    print("1..1")
    sys.exit(run_cases(cases(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
