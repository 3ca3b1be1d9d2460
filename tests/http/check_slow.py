"""A client that reads nothing of a streamed answer is cut off, and what it held is free again.

    check_slow.py TOKENWORKS DATA
"""
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from server import Server, becomes, run_cases, stands_still  # noqa: E402

STALL_SECONDS = 30  # TW_LIMIT_HTTP_STALL_SECONDS
N_ANSWERS, N_TOKENS = 8, 400
ASK = {"messages": [{"role": "user", "content": "hello"}], "ignore_eos": True, "stream": True,
       "n": N_ANSWERS, "max_tokens": N_TOKENS, "logprobs": True, "top_logprobs": 20}


def a_client_that_reads_nothing_is_cut_off_and_its_pages_are_free(server):
    with server.ask_unread("/v1/chat/completions", ASK):
        assert becomes(lambda: server.metric("generation_tokens_total") > 0 and
                       stands_still(server, "generation_tokens_total"), 60)
        start = time.monotonic()
        assert server.metric("generation_tokens_total") < N_ANSWERS * N_TOKENS
        assert server.metric("kv_cache_pages_used") > 0
        assert server.metric("http_clients_gone_total") == 0
        assert becomes(lambda: server.metric("http_clients_gone_total") == 1, 3 * STALL_SECONDS)
        assert time.monotonic() - start > STALL_SECONDS - 10, "it was cut off at once"
        assert becomes(lambda: server.metric("kv_cache_pages_used") == 0)
        assert becomes(lambda: server.metric("http_streams") == 0)
        assert server.metric("generation_tokens_total") < N_ANSWERS * N_TOKENS
        # Only the connection that asks for the number is left, though the client has not closed.
        assert becomes(lambda: server.metric("http_connections") == 1)


CASES = (a_client_that_reads_nothing_is_cut_off_and_its_pages_are_free,)


def main():
    program, data = sys.argv[1:3]
    print(f"1..{len(CASES)}")
    with Server(program, "--model", f"demo={data}/tokenworks-demo.gguf") as server:
        code = run_cases(CASES, server)
    sys.exit(code)


if __name__ == "__main__":
    main()
