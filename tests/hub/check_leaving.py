"""Who leaves before the end pays the tokens that were computed by then.

    check_leaving.py TOKENWORKS DATA
"""
import contextlib
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books, bearer  # noqa: E402
from server import becomes, run_cases  # noqa: E402

PROMPT, BEGUN = 1900, 100  # tokens; one a step, so that there is time to leave


def prompt(seed):
    """Tokens that no other seed's prompt begins with."""
    return [300 + seed, *((seed * 7919 + i * 31) % 400 + 300 for i in range(PROMPT - 1))]


@contextlib.contextmanager
def site(program, data):
    with tempfile.TemporaryDirectory() as folder:
        books = Books(program, folder)
        with books.serve("--model", Path(data, "tokenworks-demo.gguf"), "--batch", "1",
                         "--threads", "1", "--drain", "0", "--max-seqs", "2") as server:
            yield books, server
        books.must_balance()


def begin(server, key, body, path="/v1/completions"):
    """A request of which BEGUN tokens are computed; its socket, and what was computed before."""
    before = server.metric("computed_tokens_total")
    client = server.ask_unread(path, body, bearer(key))
    assert becomes(lambda: server.metric("computed_tokens_total") >= before + BEGUN)
    return client, before


def last_record(books, n):
    assert becomes(lambda: len(books.records("request.settled")) == n), "it was not settled"
    return books.records("request.settled")[-1]


def must_have_paid(record, n_computed):
    assert record["finish"] == "cancelled" and record["output_tokens"] == 0, record
    assert 0 < BEGUN <= record["prompt_tokens"] - record["cached_tokens"] == n_computed, \
        (record, n_computed)
    assert record["prompt_tokens"] < PROMPT, record
    # 1 a million tokens, cached ones the half.
    n_halves = 2 * record["prompt_tokens"] - record["cached_tokens"]
    assert record["cost_nano"] == n_halves * 500, record


def a_client_that_leaves_pays_the_prompt_that_was_computed_for_it(program, data):
    with site(program, data) as (books, server):
        for n, is_stream in ((1, True), (2, False)):
            client, before = begin(server, books.key, {"prompt": prompt(n), "max_tokens": 4,
                                                       "stream": is_stream})
            client.close()
            record = last_record(books, n)
            must_have_paid(record, server.metric("computed_tokens_total") - before)
            assert record["cached_tokens"] == 0, record


def what_was_cached_for_a_client_that_leaves_counts_as_cached(program, data):
    with site(program, data) as (books, server):
        client, before = begin(server, books.key, {"prompt": prompt(1), "max_tokens": 4})
        client.close()
        first = last_record(books, 1)
        client, before = begin(server, books.key, {"prompt": prompt(1), "max_tokens": 4})
        client.close()
        second = last_record(books, 2)
        must_have_paid(second, server.metric("computed_tokens_total") - before)
        assert second["cached_tokens"] == first["prompt_tokens"] // 64 * 64 > 0, (first, second)


def a_client_that_leaves_before_its_turn_pays_nothing(program, data):
    with site(program, data) as (books, server):
        clients = [begin(server, books.key, {"prompt": prompt(n), "max_tokens": 100})[0]
                   for n in (1, 2)]
        waits = server.ask_unread("/v1/completions", {"prompt": prompt(3), "max_tokens": 4},
                                  bearer(books.key))
        assert becomes(lambda: server.metric("num_requests_waiting") +
                       server.metric("num_requests_running") == 3)
        waits.close()
        record = last_record(books, 1)
        assert (record["finish"], record["prompt_tokens"], record["cost_nano"]) == \
            ("cancelled", 0, 0), record
        for client in clients:
            client.close()
        last_record(books, 3)


def a_key_that_is_revoked_pays_the_prompt_that_was_computed_for_it(program, data):
    with site(program, data) as (books, server):
        client, before = begin(server, books.key, {"prompt": prompt(1), "max_tokens": 4})
        with client:
            books.command("key", "revoke", "acme/research/chat/ci")
            record = last_record(books, 1)
            must_have_paid(record, server.metric("computed_tokens_total") - before)
            assert b"invalid_api_key" in client.recv(65536)


def a_server_that_is_stopped_settles_the_prompt_that_was_computed(program, data):
    with site(program, data) as (books, server):
        client, _ = begin(server, books.key, {"prompt": prompt(1), "max_tokens": 4})
        with client:
            server.stop()
        record = last_record(books, 1)
        must_have_paid(record, record["prompt_tokens"])


def texts_that_were_embedded_for_a_client_that_leaves_are_paid(program, data):
    with site(program, data) as (books, server):
        client, before = begin(server, books.key, {"input": [prompt(n) for n in range(8)]},
                               "/v1/embeddings")
        assert becomes(lambda: server.metric("computed_tokens_total") >= before + PROMPT + 9)
        client.close()
        record = last_record(books, 1)
        assert record["finish"] == "cancelled", record
        computed = server.metric("computed_tokens_total") - before
        assert PROMPT < record["prompt_tokens"] - record["cached_tokens"] == computed < 8 * PROMPT


CASES = (a_client_that_leaves_pays_the_prompt_that_was_computed_for_it,
         what_was_cached_for_a_client_that_leaves_counts_as_cached,
         a_client_that_leaves_before_its_turn_pays_nothing,
         a_key_that_is_revoked_pays_the_prompt_that_was_computed_for_it,
         a_server_that_is_stopped_settles_the_prompt_that_was_computed,
         texts_that_were_embedded_for_a_client_that_leaves_are_paid)

if __name__ == "__main__":
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, *sys.argv[1:3]))
