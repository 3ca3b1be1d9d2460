"""The project speaks of itself alone: no unfinished work, no machine, no registry, no tracker."""
import re

import house

# The words are put together here so that this file keeps its own rule.
RULES = [
    ("unfinished work belongs in a plan, not in the tree",
     r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b"),
    ("a path of one machine", r"/wo" r"rk/|/tmp/w" r"t\b|/ro" r"ot/|/ho" r"me/\w"),
    ("a registry's host", r"registry\.\w|npm" r"js\.|deb\.deb" r"ian|pypi\.org|crates\.io"),
    ("talk about a tracker", r"\b[Ii]ss" r"ue #?\d+|\bPR ?#\d+|\bticket #?\d+"),
    ("talk about how the text came about",
     r"(?i)\bas an ai\b|\bclau" r"de\b|\banthro" r"pic\b|\bco" r"pilot\b|\bchat" r"gpt\b"
     r"|\bthis ses" r"sion\b|\bsub-?agent\b|\bwork" r"tree\b|\bthe le" r"ad will\b"),
    ("a placeholder", r"(?i)\blorem ip" r"sum\b|\bnot impl" r"emented\b|\bcoming s" r"oon\b"),
]
COMPILED = [(why, re.compile(pattern)) for why, pattern in RULES]
# Texts to be tokenised, questions of users, fuzz inputs and vocabularies may say anything.
DATA = ("tests/fuzz/corpus/", "tests/golden/", "tests/oracle/texts", "data/",
        "demo/corpus/facts.txt", "LICENSE")
LOCK_ADDRESS = re.compile(r'"resolved":\s*"')


def check(tree):
    problems = []
    for path in tree.files():
        text = None if path.startswith(DATA) else tree.read(path)
        if text is None:
            continue
        for why, pattern in COMPILED:
            problems += [f"{path}:{house.line_of(text, m.start())}: '{m[0]}': {why}"
                         for m in pattern.finditer(text)]
        if path.endswith("package-lock.json"):
            problems += [f"{path}:{house.line_of(text, m.start())}: the lock names a host"
                         for m in LOCK_ADDRESS.finditer(text)]
    return problems


CASES = [
    ("plain words", {"README.md": "Build it, run it, measure it.\n"}, None),
    ("unfinished work", {"src/base/a.c": "/* TO" "DO: later */\n"}, "a.c:1: 'TO" "DO'"),
    ("a path of one machine", {"docs/a.md": "\nsee /wo" "rk/shared\n"}, "a.md:2"),
    ("a registry's host", {"package.json": "https://registry." "example.org"}, "registry's host"),
    ("a number of a tracker", {"docs/a.md": "as iss" "ue #12 says\n"}, "tracker"),
    ("a lock with addresses", {"tests/oracle/package-lock.json": '"resolved": "https://x/y.tgz"'},
     "the lock names a host"),
    ("a placeholder", {"src/base/a.c": '"not impl' 'emented"'}, "placeholder"),
    ("anything in data", {"tests/fuzz/corpus/json/a": "TO" "DO"}, None),
]

if __name__ == "__main__":
    house.main(check, CASES)
