"""The generators of extraction, sorting and summaries, and the held-out prompts beside them.

Looks at 20,000 samples of each module with a fixed seed: answers have their form, every string of
an answer stands in its prompt, and no held-out wording occurs in the samples.
"""
import argparse
import json
import random
import re
import sys
from pathlib import Path

N_SAMPLES = 20000
N_GRAM = 8
LEAST_ROWS = {"extract_invoice": 80, "extract_triage": 80, "extract_order": 80, "classify": 200,
              "summarise": 200}
LEAST_TEMPLATES = 60
LEAST_CITIES = 150
LEAST_NAMES = 10000
DATE = re.compile(r"\d{4}-\d\d-\d\d")
DATES = {"date", "due", "deliver_by"}
NUMBERS = {"amount", "age", "temperature_c", "quantity", "unit_price"}
CHOICES = {"sex": {"female", "male", None}, "urgency": {"low", "medium", "high"}}
SIGNS = {"USD": ("$", "dollars"), "EUR": ("euros",), "GBP": ("pounds",)}
SUMMARY = re.compile(r"(Order|Invoice|Patient|Complaint|Meeting|Delay|Stock|Sales|Payment"
                     r"|Price change|Opening): .*[^.]\.")


def words(text):
    return re.sub(r"[^a-z0-9 ]", "", re.sub(r"\s+", " ", text.lower())).split()


def grams(pieces):
    found = set()
    for piece in pieces:
        row = words(piece)
        found |= {tuple(row[i:i + N_GRAM]) for i in range(len(row) - N_GRAM + 1)}
    return found


def without_values(text, values):
    """The text in pieces between its values, the longest values cut out first."""
    pieces = [text]
    for value in sorted(values, key=len, reverse=True):
        pieces = [part for piece in pieces for part in piece.split(value)]
    return pieces


def last_user(row):
    return [m["content"] for m in row["messages"] if m["role"] == "user"][-1]


def check_field(key, value, prompt):
    """What is wrong with a field of a JSON answer, or None."""
    if key in CHOICES:
        return None if value in CHOICES[key] else f"{key} is {value!r}"
    if value is None:
        return None
    if key in NUMBERS:
        whole = isinstance(value, int) or isinstance(value, float) and value != int(value)
        return None if whole and not isinstance(value, bool) else f"{key} is {value!r}"
    if not isinstance(value, str):
        return f"{key} is no string"
    if key in DATES:
        return None if DATE.fullmatch(value) else f"{key} is {value!r}"
    if key == "currency" and any(sign in prompt for sign in SIGNS.get(value, ())):
        return None
    return None if value in prompt else f"{value!r} of {key} is not in the prompt"


def check_json(task, prompt, answer, keys):
    try:
        found = json.loads(answer)
    except ValueError:
        return [f"{task}: no JSON: {answer}"]
    if list(found) != keys[task.split("_")[1]] or "\n" in answer or json.dumps(found) != answer:
        return [f"{task}: not the keys in their form: {answer}"]
    wrong = [check_field(key, value, prompt) for key, value in found.items()]
    return [f"{task}: {why}: {prompt!r}" for why in wrong if why]


def check_exchange(exchange, notes, extract):
    task = exchange["task"]
    prompt, answer = (m["content"] for m in exchange["messages"])
    problems = []
    if not (prompt + answer).isascii() or exchange["system"] or exchange["tools"]:
        problems.append(f"{task}: not plain: {prompt!r}")
    if set("{}[]<") & set(prompt):
        problems.append(f"{task}: a template shows: {prompt!r}")
    if task.startswith("extract_"):
        problems += check_json(task, prompt, answer, extract.KEYS)
    elif task == "classify":
        labels = {label for row in notes.LABELS.values() for label in row} | {"yes", "no"}
        problems += [] if answer in labels else [f"classify: no label: {answer!r}"]
    elif not SUMMARY.fullmatch(answer):
        problems.append(f"summarise: not its form: {answer!r}")
    return problems


def samples(module, seed, n_samples=N_SAMPLES):
    """Exchanges of a module, its tasks in turn."""
    rng = random.Random(seed)
    makers = [make for _, make in module.TASKS.values()]
    return [makers[i % len(makers)](rng) for i in range(n_samples)]


def check_forms(exchanges, notes, extract):
    return [p for e in exchanges for p in check_exchange(e, notes, extract)]


def check_summaries(exchanges):
    """Names of a summary are copied: its words with a capital or a code stand in the prompt."""
    problems = []
    for exchange in exchanges:
        if exchange["task"] != "summarise":
            continue
        prompt, answer = (m["content"] for m in exchange["messages"])
        body = answer.split(": ", 1)[1]
        for word in re.findall(r"[A-Za-z][A-Za-z-]*\d[\w-]*|\b[A-Z][a-z]{3,}\b", body):
            if word not in prompt:
                problems.append(f"summarise: {word} of {answer!r} is not in {prompt!r}")
    return problems


def check_held_out(rows, exchanges):
    """Held-out prompts whose wording the samples know."""
    prompts = [last_user(e) for e in exchanges]
    known = grams(prompts)
    whole = {" ".join(words(prompt)) for prompt in prompts}
    problems = []
    for number, row in enumerate(rows, 1):
        prompt = last_user(row)
        shared = grams(without_values(prompt, row["values"])) & known
        problems += [f"row {number}: known words: {' '.join(gram)}" for gram in sorted(shared)]
        if " ".join(words(prompt)) in whole:
            problems.append(f"row {number}: known: {prompt!r}")
    return problems


def check_rows(rows, notes, extract):
    """The form of the held-out rows themselves."""
    problems = []
    for number, row in enumerate(rows, 1):
        prompt, expect = last_user(row), row["expect"]
        if any(value not in prompt for value in row["values"]) or not prompt.isascii():
            problems.append(f"row {number}: a value is not in the prompt")
        if row["task"].startswith("extract_"):
            problems += [f"row {number}: {p}" for p in check_json(
                row["task"], prompt, json.dumps(expect["value"]), extract.KEYS)]
    if len({" ".join(words(last_user(row))) for row in rows}) != len(rows):
        problems.append("two rows are the same")
    return problems


def check_counts(rows, extract, pools):
    problems = []
    for task, least in LEAST_ROWS.items():
        n_rows = sum(row["task"] == task for row in rows)
        problems += [] if n_rows >= least else [f"{task}: {n_rows} rows, {least} are needed"]
    for kind, texts in extract.TEXTS.items():
        if len(texts["core"]) < LEAST_TEMPLATES:
            problems.append(f"{kind}: {len(texts['core'])} templates")
    rng = random.Random(3)
    for name in ("company", "shop", "product", "item_code", "document_code"):
        n_names = len({getattr(pools, name)(rng) for _ in range(20000)})
        problems += [] if n_names > LEAST_NAMES else [f"{name}: {n_names} of 20,000 differ"]
    if len(set(pools.CITIES)) < LEAST_CITIES:
        problems.append(f"{len(set(pools.CITIES))} cities")
    return problems


def broken(exchange, old, new):
    """The exchange with a change in its answer."""
    user, answer = exchange["messages"]
    return exchange | {"messages": [user, answer | {"content": answer["content"].replace(
        old, new, 1)}]}


def check_itself(exchanges, notes, extract):
    """Every check must see what it is for."""
    invoice = next(e for e in exchanges if e["task"] == "extract_invoice")
    changes = [("{", ""), ('"vendor"', '"seller"'), ('"vendor": "', '"vendor": "No '),
               (", ", ",")]
    missed = [f"{old} -> {new} goes unseen" for old, new in changes
              if not check_exchange(broken(invoice, old, new), notes, extract)]
    copy = {"messages": invoice["messages"], "values": []}
    return missed + ([] if check_held_out([copy], exchanges) else ["a known prompt goes unseen"])


def report(results):
    print(f"1..{len(results)}")
    for number, (name, problems) in enumerate(results, 1):
        print(f"{'not ok' if problems else 'ok'} {number} - {name}")
        for line in problems[:20]:
            print(f"# {line}")
    sys.exit(1 if any(problems for _, problems in results) else 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True)
    root = Path(parser.parse_args().root)
    sys.path.insert(0, str(root / "demo/corpus"))
    import extract
    import notes
    import pools
    lines = (root / "demo/eval.jsonl").read_text(encoding="ascii").splitlines()
    tasks = {**extract.TASKS, **notes.TASKS}
    rows = [row for row in map(json.loads, lines) if row["task"] in tasks]
    made = samples(extract, 11) + samples(notes, 12)
    again = samples(extract, 11, 1000) + samples(notes, 12, 1000)
    report([
        ("the checks see what they are for", check_itself(made, notes, extract)),
        ("answers have their form and copy from their prompt", check_forms(made, notes, extract)),
        ("names in summaries are those of the text", check_summaries(made)),
        ("a seed gives the same texts again",
         [] if again == made[:1000] + made[N_SAMPLES:N_SAMPLES + 1000] else ["they differ"]),
        ("held-out wordings do not occur in training", check_held_out(rows, made)),
        ("held-out rows have their form", check_rows(rows, notes, extract)),
        ("there are enough rows, templates and names", check_counts(rows, extract, pools)),
    ])


if __name__ == "__main__":
    main()
