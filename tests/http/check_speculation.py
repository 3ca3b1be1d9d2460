"""A server that guesses sends byte for byte what one sends that does not, in fewer steps.

    check_speculation.py TOKENWORKS DATA

The same requests go to a server with --no-speculation and to one without, one after another and all
at once; streams are compared event by event. How much is saved is counted, in tokens for each step,
where fields are copied out of the prompt: the demo model's held-out prompts.
"""
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from check_same import requests  # noqa: E402
from server import Server, becomes, run_cases, together  # noqa: E402

N_PROMPTS = 20  # of each task
FORM = {"type": "object", "additionalProperties": False,
        "required": ["vendor", "invoice_number", "amount"],
        "properties": {"vendor": {"type": ["string", "null"], "maxLength": 40},
                       "invoice_number": {"type": ["string", "null"], "maxLength": 20},
                       "amount": {"type": ["number", "null"]}}}
STEPS, ANSWERS, DRAFTED, ACCEPTED = (
    "engine_steps_total", "generation_tokens_total", "spec_decode_num_draft_tokens_total",
    "spec_decode_num_accepted_tokens_total")


def prompts(task):
    """The messages of the first held-out prompts of a task."""
    path = Path(__file__).resolve().parents[2] / "demo/eval.jsonl"
    rows = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [row["messages"] for row in rows if row["task"] == task][:N_PROMPTS]


def extractions(task, **more):
    return [("/v1/chat/completions", {"messages": messages, "max_tokens": 150, "temperature": 0,
                                      **more}) for messages in prompts(task)]


def without(keys, value):
    return json.loads(json.dumps(value), object_hook=lambda row: {
        key: item for key, item in row.items() if key not in keys})


def choice_of(event):
    """Events of a stream's choices may come in another order among each other; usage comes last."""
    return event["choices"][0]["index"] if event["choices"] else 10 ** 6


def ask(server, request, *more_keys):
    """What comes, but for names and times of its own."""
    path, body = request
    answer = server.post(path, body)
    assert answer.status == 200, f"{answer.body}: {str(body)[:500]}"
    events = answer.events if body.get("stream") else [answer.json]
    return without(("id", "created", *more_keys), sorted(events, key=choice_of))


def compare(expected, got):
    for i, (one, other) in enumerate(zip(expected, got, strict=True)):
        assert one == other, f"request {i}:\n{str(one)[:2000]}\n{str(other)[:2000]}"


def both(program, data, *words):
    model = ("--model", f"demo={data}/tokenworks-demo.gguf")
    return Server(program, *model, "--no-speculation", *words), Server(program, *model, *words)


def settle(server):
    """What a step has brought is sent before it is counted."""
    assert becomes(lambda: server.metric("kv_cache_pages_used") == 0)


def each_answer_and_each_event_of_its_stream_is_the_same(program, data):
    plain, guessing = both(program, data)
    with plain, guessing:
        asked = [(path, body | ({"stream_options": {"include_usage": True}} if body["stream"]
                                else {})) for path, body in requests()]
        compare([ask(plain, one) for one in asked], [ask(guessing, one) for one in asked])
        settle(plain)
        settle(guessing)
        assert plain.metric(DRAFTED) == plain.metric(ACCEPTED) == 0
        assert guessing.metric(ACCEPTED) > 500
        assert plain.metric(ANSWERS) == guessing.metric(ANSWERS)
        # A step for each token of an answer, unless it was guessed.
        assert guessing.metric(STEPS) < plain.metric(STEPS) - 500


def so_it_is_when_all_come_at_once_and_pages_are_few(program, data):
    plain, guessing = both(program, data, "--kv-bytes", 20 * 64 * 4096, "--max-seqs", 8,
                           "--batch", 50)
    with plain, guessing:
        # What was cached depends on who came first.
        answers = [together([lambda one=one, server=server: ask(server, one, "cached_tokens")
                             for one in requests()]) for server in (plain, guessing)]
        compare(*answers)
        settle(guessing)
        assert guessing.metric(DRAFTED) > guessing.metric(ACCEPTED) > 100


def copied_fields_take_fewer_steps(program, data):
    plain, guessing = both(program, data)
    with plain, guessing:
        for name, asked in (
                ("invoice", extractions("extract_invoice")),
                ("order", extractions("extract_order")),
                ("triage", extractions("extract_triage")),
                ("invoice, temperature 0.8",
                 extractions("extract_invoice", temperature=0.8, seed=1)),
                ("invoice, json_object",
                 extractions("extract_invoice", response_format={"type": "json_object"})),
                ("invoice, guided_json", extractions("extract_invoice", guided_json=FORM)),
                ("summary", extractions("summarise"))):
            rows, counts = [], []
            for server in (plain, guessing):
                before = [server.metric(what) for what in (STEPS, ANSWERS, DRAFTED, ACCEPTED)]
                rows.append([ask(server, one) for one in asked])
                settle(server)
                after = [server.metric(what) for what in (STEPS, ANSWERS, DRAFTED, ACCEPTED)]
                counts.append([int(b - a) for a, b in zip(before, after)])
            compare(*rows)
            (plain_steps, n_tokens, _, _), (steps, _, drafted, accepted) = counts
            print(f"# {name}: {n_tokens} tokens in {plain_steps} steps, with drafts in {steps}: "
                  f"{n_tokens / steps:.2f} a step; {accepted} of {drafted} accepted")
            assert n_tokens > 1.1 * steps and plain_steps == steps + accepted, counts


CASES = (each_answer_and_each_event_of_its_stream_is_the_same,
         so_it_is_when_all_come_at_once_and_pages_are_few, copied_fields_take_fewer_steps)


def main():
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, *sys.argv[1:3]))


if __name__ == "__main__":
    main()
