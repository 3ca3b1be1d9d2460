"""Makes rows of demo/eval.jsonl, those of tools and sums, of the hand-written demo/eval_tools.txt.

    python3 demo/make_eval_tools.py            puts them into the file
    python3 demo/make_eval_tools.py --check    says whether they are what the lines make

The sets of offered tools and the order of fields vary with the number of the row, not by chance.
"""
import json
import random
import re
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "corpus"))

from chat_format import as_json, call_text, response_text, system_text  # noqa: E402
import sums  # noqa: E402
from toolpools import CURRENCIES  # noqa: E402
import tools  # noqa: E402


def read_lines():
    """{section: [[column, ...], ...]}"""
    sections = {}
    for line in (HERE / "eval_tools.txt").read_text(encoding="ascii").splitlines():
        if line.startswith("["):
            rows = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            rows.append([column.strip() for column in line.split("|")])
    return sections


def read_fields(text):
    fields = {}
    for field in filter(None, text.split("; ")):
        key, value = field.split("=", 1)
        number = key in ("amount", "result", "temperature", "quantity")
        fields[key] = json.loads(value) if number else value
    return fields


def values_in(text, fields):
    """Those field values that stand in the text, and the ways of writing an amount or currency."""
    found = []
    parts = [value for key, value in fields.items() if key != "expression"]
    for value in parts + re.findall(r"[0-9.]+", fields.get("expression", "")):
        forms = [str(value)]
        if isinstance(value, (int, float)):
            forms.append(f"{value:,}")
        forms += CURRENCIES.get(str(value), ())
        found += [form for form in forms if form.lower() in text.lower()]
    return list(dict.fromkeys(found))


def system_of(names):
    return {"role": "system", "content": system_text(None, [tools.plain_schema(n) for n in names])}


def user(text):
    return {"role": "user", "content": text}


def row(task, messages, values, expect):
    return {"task": task, "messages": messages, "values": values, "expect": expect}


def call_row(number, tool, text, arguments):
    names = tools.offered(random.Random(number), needed=tool)
    return row("tool_call", [system_of(names), user(text)], values_in(text, arguments),
               {"kind": "tool_call", "name": tool, "arguments": arguments})


def missing_row(number, tool, text):
    names = tools.offered(random.Random(number), missing=tool)
    return row("tool_call", [system_of(names), user(text)], [],
               {"kind": "exact", "any": [tools.NO_TOOL]})


def answer_row(number, tool, text, arguments, result):
    """The result as such, every second time with the arguments in it, sometimes turned around."""
    names = tools.offered(random.Random(number), needed=tool)
    if "error" not in result and number % 4 != 3:
        result = arguments | result
    if number % 5 == 4:
        result = dict(reversed(result.items()))
    told = tools.sentence(tool, arguments, result)
    fields = {**arguments, **result}
    said = [str(value) for value in fields.values() if str(value) in told]
    groups = [[value] for value in said] + ([["no ", "0 "]] if result.get("quantity") == 0 else [])
    messages = [system_of(names), user(text),
                {"role": "assistant", "content": call_text(tool, arguments)},
                user(response_text(as_json(result)))]
    return row("tool_answer", messages, [str(value) for value in result.values()],
               {"kind": "contains", "all": groups, "none": ["<tool_call>"]})


def tool_rows(sections):
    for tool in tools.NAMES:
        for number, (text, fields) in enumerate(sections[f"tool_call {tool}"]):
            yield call_row(number, tool, text, read_fields(fields))
    for tool in (*tools.NAMES, "other"):
        for number, (text, _) in enumerate(sections[f"tool_call missing {tool}"]):
            yield missing_row(number, tool, text)
    for tool in tools.NAMES:
        prompts = sections[f"tool_call {tool}"]
        if tool == "calculator":
            results = [{"result": tools.value_of(read_fields(f)["expression"])} for _, f in prompts]
        else:
            results = [read_fields(line[0]) for line in sections[f"tool_answer {tool}"]]
        for number, ((text, fields), result) in enumerate(zip(prompts, results)):
            yield answer_row(number, tool, text, read_fields(fields), result)


def sum_rows(sections):
    for text, operator, *pairs in sections["arithmetic"]:
        for pair in pairs:
            left, right = map(int, pair.split())
            values = {"<a>": str(left), "<b>": str(right),
                      "<A>": sums.in_words(left), "<B>": sums.in_words(right)}
            filled = text
            for slot, value in values.items():
                filled = filled.replace(slot, value)
            yield row("arithmetic", [user(filled)], [v for s, v in values.items() if s in text],
                      {"kind": "exact", "any": sum_answers(left, operator, right)})


def sum_answers(left, operator, right):
    orders = [(left, right)] + ([(right, left)] if operator in "+*" else [])
    result = sums.worked(left, operator, right).rsplit(" = ", 1)[1]
    found = [sums.worked(a, operator, b) for a, b in orders]
    found += [f"{a} {sums.SIGNS[operator]} {b} = {result}" for a, b in orders] + [result]
    return list(dict.fromkeys(found))


def unit_rows(sections):
    for text, units, *amounts in sections["units"]:
        unit, target = units.split(" > ")
        for amount in map(int, amounts):
            told = sums.conversion_text(amount, unit, convert(amount, unit, target), target)
            yield row("units", [user(text.replace("<n>", str(amount)))], [str(amount)],
                      {"kind": "exact", "any": [told]})


def convert(amount, unit, target):
    for large, small, factor, _ in sums.FACTORS:
        if (unit, target) == (large, small):
            return amount * factor
        if (unit, target) == (small, large):
            return amount / factor
    raise ValueError(f"no factor for {unit} and {target}")


def make_text(old):
    """The file with its rows of these tasks made anew, behind all others."""
    sections = read_lines()
    rows = [*tool_rows(sections), *sum_rows(sections), *unit_rows(sections)]
    tasks = {one["task"] for one in rows}
    others = [line + "\n" for line in old.splitlines() if json.loads(line)["task"] not in tasks]
    return "".join(others) + "".join(as_json(one) + "\n" for one in rows)


def main():
    path = HERE / "eval.jsonl"
    text = make_text(path.read_text(encoding="utf-8"))
    if sys.argv[1:] == ["--check"]:
        sys.exit(0 if path.read_text(encoding="utf-8") == text else
                 f"{path} is not what its lines make; run {__file__}")
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
