"""A beginning that many requests share is computed once, also when all of them arrive together; of
several tenants each computes it for itself, unless the server is told to share.

    check_prefix.py TOKENWORKS DATA

What went through forward passes is counted by the engine, and must be to the token what it has to
be: whole pages of the beginning once, and of each request the rest of its prompt and its answer.
Guesses that were wrong, or came after the end, are none of it.
"""
import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from server import Server, bearer, run_cases, together, write_keys  # noqa: E402

PAGE_TOKENS = 64
N_ANSWER_TOKENS = 24
BEGINNING = "You are the clerk of a harbour, and every box that comes is counted twice. "
TENANTS = ("red", "blue")


def prompt_of(i, n_tokens):
    """About so many tokens that all have, and a few of its own."""
    return BEGINNING * (n_tokens // 24) + f"Box {i} holds"


def tokens_of(server, text, key):
    return server.post("/tokenize", {"prompt": text}, headers=bearer(key)).json["tokens"]


def shared_tokens(lists):
    """Of texts in tokens: how long the beginning is that all have, in whole pages."""
    return len(os.path.commonprefix(lists)) // PAGE_TOKENS * PAGE_TOKENS


def computed(server):
    drafted, accepted = (server.metric(f"spec_decode_num_{what}_tokens_total")
                         for what in ("draft", "accepted"))
    return server.metric("computed_tokens_total") - (drafted - accepted)


def load(server, prompts, keys):
    """All at once, streamed; the usage of each, and how many tokens were computed for all."""
    before = computed(server)

    def ask(i):
        answer = server.post("/v1/completions", {
            "prompt": prompts[i], "max_tokens": N_ANSWER_TOKENS, "ignore_eos": True,
            "temperature": 0, "stream": True, "stream_options": {"include_usage": True}},
            headers=bearer(keys[i]))
        assert answer.status == 200, answer.body
        return answer.events[-1]["usage"]
    usages = together([lambda i=i: ask(i) for i in range(len(prompts))])
    assert server.metric("num_preemptions_total") == 0
    return usages, computed(server) - before


def cached(usages):
    return [usage["prompt_tokens_details"]["cached_tokens"] for usage in usages]


def check_load(server, n_requests, n_tokens, tenants, n_times):
    """The beginning is computed so many times."""
    prompts = [prompt_of(i, n_tokens) for i in range(n_requests)]
    keys = [f"key-{tenants[i % len(tenants)]}" for i in range(n_requests)]
    lists = [tokens_of(server, prompts[i], keys[i]) for i in range(n_requests)]
    n_shared = shared_tokens(lists)
    assert n_shared > n_tokens - 100, f"{n_shared} tokens are shared"
    usages, n_computed = load(server, prompts, keys)
    n_prompts = sum(map(len, lists))
    # The last token of an answer is not fed back.
    n_rest = n_prompts - n_requests * n_shared + n_requests * (N_ANSWER_TOKENS - 1)
    print(f"# {n_requests} requests of {len(tenants)} tenants, {n_shared} tokens in common: "
          f"{n_prompts} of prompts, {n_computed:.0f} computed, "
          f"{(n_computed - n_rest) / n_shared:g} times the beginning")
    assert [usage["prompt_tokens"] for usage in usages] == list(map(len, lists))
    assert n_computed == n_times * n_shared + n_rest
    assert sum(cached(usages)) == (n_requests - n_times) * n_shared, cached(usages)


def serve(program, data, folder, *words):
    path = write_keys(folder, *((tenant, f"key-{tenant}", "") for tenant in TENANTS))
    return Server(program, "--model", f"demo={data}/tokenworks-demo.gguf", "--api-keys", path,
                  *words)


def sixteen_clients_compute_a_common_beginning_once(program, data, folder):
    with serve(program, data, folder) as server:
        check_load(server, 16, 1000, ("red",), 1)


def so_do_more_requests_than_fit_into_a_step(program, data, folder):
    with serve(program, data, folder, "--batch", 100) as server:
        check_load(server, 32, 1000, ("red",), 1)


def tenants_compute_it_for_themselves(program, data, folder):
    with serve(program, data, folder) as server:
        check_load(server, 16, 600, TENANTS, 2)


def tenants_that_share_compute_it_once(program, data, folder):
    with serve(program, data, folder, "--share-prefixes") as server:
        check_load(server, 16, 600, TENANTS, 1)


def what_was_computed_for_one_tenant_is_no_hit_of_another(program, data, folder):
    for words, is_shared in (((), False), (("--share-prefixes",), True)):
        with serve(program, data, folder, *words) as server:
            prompts = [prompt_of(0, 600)]
            assert cached(load(server, prompts, ["key-red"])[0]) == [0]
            other = cached(load(server, prompts, ["key-blue"])[0])[0]
            own = cached(load(server, prompts, ["key-red"])[0])[0]
            assert own > 500 and other == (own if is_shared else 0), (own, other)


CASES = (sixteen_clients_compute_a_common_beginning_once, so_do_more_requests_than_fit_into_a_step,
         tenants_compute_it_for_themselves, tenants_that_share_compute_it_once,
         what_was_computed_for_one_tenant_is_no_hit_of_another)


def main():
    program, data = sys.argv[1:3]
    print(f"1..{len(CASES)}")
    with tempfile.TemporaryDirectory() as folder:
        code = run_cases(CASES, program, data, folder)
    sys.exit(code)


if __name__ == "__main__":
    main()
