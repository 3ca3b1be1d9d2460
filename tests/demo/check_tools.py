"""The generated tool calls, sums and conversions are right, and held-out prompts stay held out."""
import argparse
import json
import os
import random
import re
import subprocess
import sys
import tempfile
from collections import Counter
from fractions import Fraction
from pathlib import Path

N_SAMPLES = 20000
N_CALLS = 4000
ALLOWED_NEAR = 0.003  # share of exchanges that generate.py may have to drop
LEAST_ROWS = {"tool_call": 240, "tool_answer": 200, "arithmetic": 200, "units": 200}
LEAST_WORDINGS = 100
CALL = re.compile(r'<tool_call>\n(\{.*\})\n</tool_call>')
TYPES = {"string": str, "number": (int, float)}


def call_problem(exchange, schema_of):
    """What is wrong with the calls of an exchange, or None."""
    for message in exchange["messages"]:
        if "<tool_call>" not in message["content"]:
            continue
        match = CALL.fullmatch(message["content"])
        call = json.loads(match[1]) if match else {}
        if list(call) != ["name", "arguments"] or call["name"] not in exchange["tools"]:
            return f"no call of an offered tool: {message['content']!r}"
        parameters = schema_of(call["name"])["parameters"]
        known, given = parameters["properties"], call["arguments"]
        if not set(parameters["required"]) <= set(given) <= set(known):
            return f"not the arguments of the schema: {message['content']!r}"
        for key, value in given.items():
            if not isinstance(value, TYPES[known[key]["type"]]):
                return f"{key} has the wrong type: {message['content']!r}"
    return None


def calls_follow_the_schema(corpus):
    rng = random.Random(1)
    for make in (corpus.tools.make_tool_call, corpus.tools.make_tool_answer):
        for _ in range(N_CALLS):
            problem = call_problem(make(rng), corpus.tools.plain_schema)
            if problem:
                yield problem


def arguments_are_copied(corpus):
    """But for currencies and expressions every argument stands in the message as it is."""
    rng = random.Random(2)
    for _ in range(N_CALLS):
        messages = corpus.tools.make_tool_call(rng)["messages"]
        match = CALL.fullmatch(messages[-1]["content"])
        arguments = json.loads(match[1])["arguments"] if match else {}
        text = messages[-2]["content"].replace(",", "")
        for key in ("city", "item", "warehouse", "order_id", "amount"):
            if key in arguments and str(arguments[key]) not in text:
                yield f"{arguments[key]!r} is not in {text!r}"


def sentences_copy_results(corpus):
    rng = random.Random(3)
    for _ in range(N_CALLS):
        messages = corpus.tools.make_tool_answer(rng)["messages"]
        result = json.loads(messages[2]["content"].split("\n")[1])
        keys = {"error", "temperature", "condition", "status", "delivery_date", "result"}
        for key in keys & set(result):
            if str(result[key]) not in messages[3]["content"]:
                yield f"{result[key]!r} is not in {messages[3]['content']!r}"


def value_of_side(side):
    """The value of one side of an equation with + - x /, from left to right, x and / first."""
    words = side.split(" ")
    terms, sign = [], 1
    at = 0
    while at < len(words):
        value = Fraction(words[at])
        while at + 1 < len(words) and words[at + 1] in "x/":
            factor = Fraction(words[at + 2])
            value = value * factor if words[at + 1] == "x" else value / factor
            at += 2
        terms.append(sign * value)
        if at + 1 < len(words):
            sign = {"+": 1, "-": -1}[words[at + 1]]
        at += 2
    return sum(terms)


def sums_are_right(corpus):
    rng, seen = random.Random(4), Counter()
    for _ in range(N_CALLS):
        answer = corpus.sums.make_arithmetic(rng)["messages"][1]["content"]
        if "=" not in answer:
            seen[answer] += 1
            continue
        left, *others = answer.split(" = ")
        if "remainder" in answer:
            dividend, divisor = map(int, left.split(" / "))
            others = [f"{n} x {divisor} + {rest}" for n, rest in
                      [others[0].split(" remainder ")]]
            left = str(dividend)
        if any(value_of_side(side) != value_of_side(left) for side in others):
            yield f"wrong: {answer}"
        seen[re.findall(r"[-+x/]", answer.split(" = ")[0])[0]] += 1
    if set(seen) != {"+", "-", "x", "/", corpus.sums.TOO_LARGE, corpus.sums.NO_ZERO}:
        yield f"not all kinds: {seen}"


# What each unit is in a base unit of its own, told apart from the corpus' table.
BASES = {
    "km": ("m", "1000"), "m": ("m", "1"), "cm": ("m", "0.01"), "mm": ("m", "0.001"),
    "in": ("m", "0.0254"), "ft": ("m", "0.3048"), "t": ("g", "1000000"), "kg": ("g", "1000"),
    "g": ("g", "1"), "mg": ("g", "0.001"), "l": ("l", "1"), "cl": ("l", "0.01"),
    "ml": ("l", "0.001"), "years": ("month", "12"), "year": ("month", "12"),
    "months": ("month", "1"), "month": ("month", "1"), "weeks": ("s", "604800"),
    "week": ("s", "604800"), "days": ("s", "86400"), "day": ("s", "86400"), "h": ("s", "3600"),
    "min": ("s", "60"), "s": ("s", "1"), "ms": ("s", "0.001"), "TB": ("B", "1000000000000"),
    "GB": ("B", "1000000000"), "MB": ("B", "1000000"), "KB": ("B", "1000"),
    "dozen": ("piece", "12"), "pieces": ("piece", "1"), "piece": ("piece", "1"),
}
MONEY = {"EUR": 100, "USD": 100, "cents": 1, "cent": 1}


def conversion_is_right(answer):
    (left, unit), (right, target) = (side.split(" ") for side in answer.split(" = "))
    left, right = Fraction(left), Fraction(right)
    if unit in MONEY or target in MONEY:
        return {unit, target} & {"cents", "cent"} and left * MONEY[unit] == right * MONEY[target]
    kind, size = BASES[unit]
    other_kind, other_size = BASES[target]
    return kind == other_kind and left * Fraction(size) == right * Fraction(other_size)


def conversions_are_right(corpus):
    rng, n_unknown = random.Random(5), 0
    for _ in range(N_CALLS):
        answer = corpus.sums.make_units(rng)["messages"][1]["content"]
        if answer == corpus.sums.NO_UNIT:
            n_unknown += 1
        elif not conversion_is_right(answer):
            yield f"wrong: {answer}"
    if not 0 < n_unknown < N_CALLS / 10:
        yield f"{n_unknown} of {N_CALLS} conversions are declined"


def user_texts(exchange):
    return [m["content"] for m in exchange["messages"] if m["role"] == "user"]


def held_out_prompts_stay_out(corpus):
    """Neither in what is generated, nor often in what generate.py would have to drop."""
    made = corpus.generate.Corpus()
    rng, n_seen = random.Random(6), 0
    while n_seen < N_SAMPLES:
        texts = user_texts({"messages": made.conversation(rng)})
        n_seen += len(texts)
        yield from (f"held out: {text!r}" for text in texts if made.held_out.forbids(text))
    near = Counter()
    for _ in range(N_SAMPLES):
        exchange = made.all.make(rng)
        near[exchange["task"]] += any(map(made.held_out.forbids, user_texts(exchange)))
    yield from (f"{n} of the exchanges of {task} are too near to held-out prompts"
                for task, n in near.items() if n > N_SAMPLES * ALLOWED_NEAR)


def generate(root, folder, seed, hash_seed, *more):
    environment = dict(os.environ, PYTHONHASHSEED=hash_seed, PYTHONDONTWRITEBYTECODE="1")
    subprocess.run([sys.executable, root / "demo" / "generate.py", "--seed", seed,
                    "--conversations", "1000", "--out", folder, *more],
                   check=True, env=environment)
    return [(folder / name).read_bytes() for name in ("train.jsonl", "valid.jsonl")]


def a_seed_gives_the_same_bytes(corpus):
    with tempfile.TemporaryDirectory() as folder:
        first = generate(corpus.root, Path(folder, "a"), "7", "1", "--jobs", "1")
        if generate(corpus.root, Path(folder, "b"), "7", "2", "--jobs", "2") != first:
            yield "another hash seed or number of processes gives other bytes"
        if generate(corpus.root, Path(folder, "c"), "8", "1") == first:
            yield "another seed gives the same bytes"
    if first[0] == first[1]:
        yield "the data for validation are the data for training"
    rows = [json.loads(line) for text in first for line in text.splitlines()]
    if len(rows) != 2000:
        yield f"{len(rows)} rows"
    yield from filter(None, map(row_problem, rows))


def row_problem(row):
    roles = [m["role"] for m in row["messages"] if m["role"] != "system"]
    if roles != ["user", "assistant"] * (len(roles) // 2):
        return f"roles {roles}"
    if sum(len(m["content"]) for m in row["messages"]) > 7000:
        return "a conversation is too long"
    return None


def held_out_rows_are_enough(corpus):
    lines = (corpus.root / "demo" / "eval.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [row for row in map(json.loads, lines) if row["task"] in LEAST_ROWS]
    counts = Counter(row["task"] for row in rows)
    yield from (f"{counts[task]} rows of {task}, at least {least} are needed"
                for task, least in LEAST_ROWS.items() if counts[task] < least)
    for task in ("arithmetic", "units"):
        wordings = {re.sub(r"\d+", "#", user_texts(row)[-1]) for row in rows if row["task"] == task}
        if len(wordings) < LEAST_WORDINGS:
            yield f"{len(wordings)} wordings of {task}"
    prompts = Counter(str(row["messages"]) for row in rows)
    yield from (f"twice: {prompt}" for prompt, n in prompts.items() if n > 1)
    made = subprocess.run([sys.executable, corpus.root / "demo" / "make_eval_tools.py", "--check"],
                          capture_output=True, text=True)
    if made.returncode:
        yield made.stderr.strip()


TESTS = (calls_follow_the_schema, arguments_are_copied, sentences_copy_results, sums_are_right,
         conversions_are_right, held_out_prompts_stay_out, a_seed_gives_the_same_bytes,
         held_out_rows_are_enough)


class Sources:
    """The corpus' modules below a root."""

    def __init__(self, root):
        self.root = root
        sys.path.insert(0, str(root / "demo"))
        import generate as generate_module
        import sums
        import tools
        self.generate, self.sums, self.tools = generate_module, sums, tools


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True, type=Path)
    corpus = Sources(parser.parse_args().root)
    print(f"1..{len(TESTS)}")
    n_failed = 0
    for number, test in enumerate(TESTS, 1):
        problems = list(test(corpus))
        n_failed += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {number} - {test.__name__}")
        for problem in problems[:10]:
            print(f"# {problem}")
    sys.exit(1 if n_failed else 0)


if __name__ == "__main__":
    main()
