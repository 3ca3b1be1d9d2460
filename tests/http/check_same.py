"""Each of 64 mixed requests gets, among all of them at once, byte for byte what it gets alone.

    check_same.py TOKENWORKS DATA

Alone: one after another, each for a tenant of its own, so that nothing is cached. Together: with
nothing cached, with everything cached, and in a KV cache that is too small for all.
"""
import json
import random
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from server import Server, bearer, run_cases, together, write_keys  # noqa: E402

N_REQUESTS = 64
TENANTS = (("red", ", weight: 3"), ("blue", ""), ("green", ", class: high"),
           ("night", ", class: idle"))
# Pages of 64 positions with 4 KiB each: one context and a little more.
SMALL_KV_BYTES = 20 * 64 * 4096

QUESTIONS = ("What is tokenworks?", "hello", "Repeat: Norbury 17", "What does the ledger hold?",
             "explain the KV cache", "Which exit code means a file was not found?", "3 km in m")
SYSTEM = "You answer questions about a program. " * 20
STORY = "Mara carries 12 boxes to the harbour and counts them again; one is missing. "
WEATHER = {"type": "function", "function": {
    "name": "get_weather", "description": "Get the current weather of a city.", "parameters": {
        "type": "object", "properties": {"city": {"type": "string", "maxLength": 30}},
        "required": ["city"], "additionalProperties": False}}}
SCHEMA = {"type": "object", "additionalProperties": False, "required": ["vendor", "lines"],
          "properties": {"vendor": {"type": "string", "maxLength": 20},
                         "lines": {"type": "array", "maxItems": 4,
                                   "items": {"type": "integer", "minimum": 0, "maximum": 99}}}}


# ---- what is asked ----

def conversation(rng):
    """Short or long, with a beginning that others have too or one of its own."""
    question = rng.choice(QUESTIONS)
    kind = rng.randrange(4)
    if kind == 0:
        return [{"role": "user", "content": question}]
    if kind == 1:
        return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": question}]
    if kind == 2:
        return [{"role": "user", "content": STORY * 35 + question}]
    own = f"{rng.randrange(10 ** 6)} " * rng.randrange(20, 120)
    return [{"role": "user", "content": question}, {"role": "assistant", "content": own},
            {"role": "user", "content": rng.choice(QUESTIONS)}]


def sampling(rng):
    """Greedy, or by a seed."""
    if rng.random() < 0.4:
        return {"temperature": 0}
    more = rng.choice(({}, {"top_k": 40}, {"top_p": 0.9}, {"min_p": 0.05},
                       {"repetition_penalty": 1.2}, {"frequency_penalty": 0.5},
                       {"presence_penalty": 0.5, "top_p": 0.95}, {"logit_bias": {"300": 5}}))
    return {"temperature": rng.choice((0.3, 0.8, 1.0, 1.5)), "seed": rng.randrange(1000), **more}


def chat(rng, kind):
    body = {"messages": conversation(rng), "max_tokens": rng.choice((8, 30, 80)), **sampling(rng)}
    if kind == "tools":
        body |= {"messages": [{"role": "user", "content": "What is the weather in Norbury?"}],
                 "tools": [WEATHER], "max_tokens": 80,
                 "tool_choice": rng.choice(("auto", "required", "none"))}
    elif kind == "form":
        body |= rng.choice(({"guided_json": SCHEMA}, {"guided_regex": "[A-F]{2}-[0-9]{3,9}"},
                            {"response_format": {"type": "json_schema", "json_schema": {
                                "name": "invoice", "schema": SCHEMA}}},
                            {"guided_choice": ["yes", "no", "not at all"]}))
    elif kind == "logprobs":
        body |= {"logprobs": True, "top_logprobs": rng.randrange(5)}
    elif kind == "long":  # grows while others do: pages run short
        body |= {"ignore_eos": True, "max_tokens": 250}
    elif kind == "several":
        body |= {"n": rng.randrange(2, 5)}
    return "/v1/chat/completions", body


def completion(rng):
    prompt = rng.choice((STORY * 40, STORY, "hello", [5, 6, 7], ["tokenworks is", STORY * 10],
                         f"{rng.randrange(10 ** 6)} " * 130))
    body = {"prompt": prompt, "max_tokens": rng.choice((5, 40, 120)), **sampling(rng)}
    return "/v1/completions", body | rng.choice(({}, {"ignore_eos": True}, {"echo": True},
                                                 {"logprobs": 3}, {"stop": ["e", "\n"]}, {"n": 2}))


def requests():
    """(path, body) of each; half of them are streamed."""
    rng = random.Random(64)
    kinds = ("plain", "text", "tools", "form", "logprobs", "several", "long", "long")
    result = []
    for i in range(N_REQUESTS):
        kind = kinds[i % len(kinds)]
        path, body = completion(rng) if kind == "text" else chat(rng, kind)
        result.append((path, body | {"stream": rng.random() < 0.5}))
    return result


# ---- what comes ----

def of_stream(answer):
    """The choices that the chunks amount to."""
    choices = {}
    for event in answer.events:
        for part in event["choices"]:
            whole = choices.setdefault(part["index"], {"text": "", "calls": [], "logprobs": []})
            delta = part.get("delta", {})
            whole["text"] += part.get("text", "") + delta.get("content", "")
            for call in delta.get("tool_calls", ()):
                whole["calls"].append(call["function"])
            if part.get("logprobs"):
                whole["logprobs"].append(part["logprobs"])
            whole["reason"] = part["finish_reason"]
    return [choices[i] for i in sorted(choices)]


def of_whole(answer):
    choices = []
    for choice in answer.json["choices"]:
        message = choice.get("message", {})
        calls = [call["function"] for call in message.get("tool_calls", ())]
        choices.append({"text": choice.get("text", message.get("content")), "calls": calls,
                        "logprobs": choice["logprobs"], "reason": choice["finish_reason"]})
    return choices


def ask(server, request, key):
    """All that was generated, as one string."""
    path, body = request
    answer = server.post(path, body, headers=bearer(key))
    assert answer.status == 200, f"{answer.body}: {str(body)[:500]}"
    return json.dumps(of_stream(answer) if body["stream"] else of_whole(answer))


def serve(program, model, folder, rows, *words):
    return Server(program, "--model", f"demo={model}", "--api-keys", write_keys(folder, *rows),
                  *words)


def own_tenants():
    return [(f"tenant{i}", f"key{i}", "") for i in range(N_REQUESTS)]


def all_at_once(server, keys):
    return together([lambda i=i, request=request: ask(server, request, keys[i % len(keys)])
                     for i, request in enumerate(requests())])


def compare(alone, got):
    different = [i for i in range(N_REQUESTS) if got[i] != alone[i]]
    for i in different[:3]:
        print(f"# request {i}: {str(requests()[i])[:900]}\n# alone {alone[i]}\n# here  {got[i]}")
    assert not different, f"{len(different)} of {N_REQUESTS} differ: {different}"


# ---- the cases ----

def with_nothing_cached_the_answers_are_those_alone(program, model, alone, folder):
    with serve(program, model, folder, own_tenants(), "--max-seqs", 64) as server:
        compare(alone, all_at_once(server, [f"key{i}" for i in range(N_REQUESTS)]))
        # Several answers of one request share its prompt; nobody else shares anything.
        assert server.metric("num_requests_running") == 0
        n_steps, n_answers = (server.metric(name) for name in ("engine_steps_total",
                                                               "generation_tokens_total"))
        assert n_answers > 4 * n_steps, f"{n_answers} tokens in {n_steps} steps: not together"


def with_a_cache_the_answers_are_those_alone(program, model, alone, folder):
    rows = [(tenant, f"key-{tenant}", more) for tenant, more in TENANTS]
    keys = [key for _, key, _ in rows]
    with serve(program, model, folder, rows) as server:
        compare(alone, all_at_once(server, keys))
        first = server.metric("prefix_cache_hits_total")
        n_prompt = server.metric("prefix_cache_queries_total")
        compare(alone, all_at_once(server, keys))
        again = server.metric("prefix_cache_hits_total") - first
        print(f"# of {n_prompt:.0f} tokens of prompts {first:.0f} were cached the first time, "
              f"{again:.0f} the second")
        assert 0 < first < again and again > n_prompt / 2


def under_preemption_the_answers_are_those_alone(program, model, alone, folder):
    rows = [(tenant, f"key-{tenant}", more) for tenant, more in TENANTS]
    with serve(program, model, folder, rows, "--kv-bytes", SMALL_KV_BYTES, "--max-seqs", 18,
               "--batch", 50) as server:
        for _ in range(2):
            compare(alone, all_at_once(server, [key for _, key, _ in rows]))
        n = server.metric("num_preemptions_total")
        print(f"# {n:.0f} preemptions with {server.metric('kv_cache_pages'):.0f} pages")
        assert n >= 5
        assert server.metric("kv_cache_pages_used") == 0


def answers_alone(program, model, folder):
    with serve(program, model, folder, own_tenants()) as server:
        return [ask(server, request, f"key{i}") for i, request in enumerate(requests())]


CASES = (with_nothing_cached_the_answers_are_those_alone, with_a_cache_the_answers_are_those_alone,
         under_preemption_the_answers_are_those_alone)


def main():
    program, data = sys.argv[1:3]
    model = Path(data, "tokenworks-demo.gguf")
    print(f"1..{len(CASES)}")
    with tempfile.TemporaryDirectory() as folder:
        alone = answers_alone(program, model, folder)
        assert len(set(alone)) > N_REQUESTS * 0.8, "the requests are too much alike"
        code = run_cases(CASES, program, model, alone, folder)
    sys.exit(code)


if __name__ == "__main__":
    main()
