"""Answers keep the schemas that are prescribed: 200 of them, at a temperature that writes nonsense.

    check_forms.py TOKENWORKS DATA SAMPLES

Every answer that ends with "stop" must be JSON that an independent validator allows; so must end 99
of a hundred. Numbers are compared in decimal, as they are written.
"""
import json
import sys
import time
from decimal import Decimal
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "oracle/schema")]
from bounded_schemas import WRITTEN, random_schema  # noqa: E402
from json_validator import is_allowed  # noqa: E402
from server import Server, run_cases, together  # noqa: E402

N_SCHEMAS = 200
N_CLIENTS = 8
MAX_TOKENS = 1900  # the context has 2,048
MOST_LENGTH = 0.01  # of the answers may end at the bound
counts = {"stop": 0, "length": 0, "bytes": 0}


def exact(schema):
    return json.loads(json.dumps(schema), parse_float=Decimal)


def unique(pairs):
    assert len(dict(pairs)) == len(pairs), f"a member comes twice: {pairs}"
    return dict(pairs)


def not_json(word):
    raise ValueError(f"{word} is no JSON")


def check(schema, text):
    value = json.loads(text, parse_float=Decimal, parse_constant=not_json,
                       object_pairs_hook=unique)
    assert is_allowed(exact(schema), value), f"{schema} does not allow {text!r}"


def ask(server, schema, number, n_samples):
    form = ({"guided_json": schema} if number % 2 else
            {"response_format": {"type": "json_schema",
                                 "json_schema": {"name": "form", "schema": schema}}})
    return server.post("/v1/completions", {
        "prompt": "The answer: ", "temperature": 1.5, "n": n_samples, "seed": number,
        "max_tokens": MAX_TOKENS, **form})


def take(schema, answer):
    assert answer.status == 200, f"{schema}: {answer.body}"
    for choice in answer.json["choices"]:
        counts[choice["finish_reason"]] += 1
        counts["bytes"] += len(choice["text"])
        if choice["finish_reason"] == "stop":
            check(schema, choice["text"])


def run_all(server, schemas, n_samples):
    """In pieces for so many clients at once; the validator has its turn between them."""
    for first in range(0, len(schemas), N_CLIENTS):
        numbers = range(first, min(first + N_CLIENTS, len(schemas)))
        answers = together([lambda i=i: ask(server, schemas[i], i, n_samples) for i in numbers])
        for i, answer in zip(numbers, answers):
            take(schemas[i], answer)


def report(n_schemas, n_samples, start):
    n = counts["stop"] + counts["length"]
    print(f"# {n_schemas} schemas x {n_samples}: {100 * counts['stop'] / n:.2f}% of {n} answers "
          f"end with stop, all of them valid; {counts['bytes'] / n:.0f} bytes each; "
          f"{time.monotonic() - start:.0f} s")
    assert n == n_schemas * n_samples and counts["length"] <= MOST_LENGTH * n, counts
    counts.update(stop=0, length=0, bytes=0)


def answers_keep_written_schemas(server, n_samples):
    start = time.monotonic()
    assert len(WRITTEN) == N_SCHEMAS / 2
    run_all(server, WRITTEN, n_samples)
    report(len(WRITTEN), n_samples, start)


def answers_keep_random_schemas(server, n_samples):
    """Those that nothing can meet are refused, and others taken for them."""
    start = time.monotonic()
    schemas, seed = [], 0
    while len(schemas) < N_SCHEMAS / 2:
        schema = random_schema(seed)
        answer = server.post("/v1/completions", {"prompt": "x", "guided_json": schema,
                                                 "max_tokens": 1})
        assert answer.status == 200 or "no text at all" in answer.error["message"], answer.body
        schemas += [schema] if answer.status == 200 else []
        seed += 1
    assert seed < N_SCHEMAS / 2 * 1.2, f"{seed} were needed"
    run_all(server, schemas, n_samples)
    report(len(schemas), n_samples, start)


CASES = (answers_keep_written_schemas, answers_keep_random_schemas)


def main():
    program, data, n_samples = sys.argv[1:4]
    print(f"1..{len(CASES)}")
    with Server(program, "--model", f"demo={data}/tokenworks-demo.gguf", "--max-seqs",
                64) as server:
        code = run_cases(CASES, server, int(n_samples))
    sys.exit(code)


if __name__ == "__main__":
    main()
