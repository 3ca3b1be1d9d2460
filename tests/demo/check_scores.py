"""The demo model's card says how well it does what it is made for.

Asks the shipped model all held-out questions; the table of demo/README.md holds the very numbers,
and its list the scores that are below demo/at-least.txt, no more and no fewer.
"""
import argparse
import json
import re
import subprocess
import sys
from pathlib import Path


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", type=Path, required=True)
    parser.add_argument("--build", type=Path, required=True)
    return parser.parse_args()


def measure(options):
    model = options.root / "data" / "tokenworks-demo.gguf"
    done = subprocess.run([options.build / "src" / "app" / "tokenworks", "eval", "--json",
                           options.root / "demo" / "eval.jsonl", "--model", model],
                          check=True, capture_output=True, text=True)
    result = json.loads(done.stdout)
    return {(task["task"], name): score
            for task in result["tasks"] for name, score in task["scores"].items()}


def wishes(root):
    for line in (root / "demo" / "at-least.txt").read_text().split():
        name, least = line.split("=")
        yield tuple(name.split(".")), float(least)


def card_rows(root):
    """Rows | `task` | score | right of of | percent | of the card."""
    text = (root / "demo" / "README.md").read_text(encoding="utf-8")
    row = re.compile(r"^\| `(\w+)` \| (\w+) \| (\d+) of (\d+) \|", re.M)
    for task, score, right, of in row.findall(text):
        yield (task, score), int(right), int(of)


def misses_are_named(scores, root):
    wanted = list(wishes(root))
    assert len(wanted) >= 9, wanted
    text = (root / "demo" / "README.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^- `(\w+)` (\w+)[:,]", text, re.M))
    missed = {name for name, least in wanted if scores[name]["value"] < least}
    assert named == missed, (named, missed)


def in_the_card(scores, root):
    rows = {name: (right, of) for name, right, of in card_rows(root)}
    measured = {name: (score["right"], score["of"]) for name, score in scores.items()
                if name[1] != "passed"}
    assert rows == measured, sorted(set(rows.items()) ^ set(measured.items()))


def main():
    options = parse()
    scores = measure(options)
    failed = 0
    cases = {"the card names every score below its aim, and no other": misses_are_named,
             "the card has the scores that are measured": in_the_card}
    print(f"1..{len(cases)}")
    for number, (name, case) in enumerate(cases.items(), 1):
        try:
            case(scores, options.root)
            print(f"ok {number} - {name}")
        except AssertionError as error:
            failed += 1
            print(f"# {error}\nnot ok {number} - {name}")
    return failed > 0


sys.exit(main())
