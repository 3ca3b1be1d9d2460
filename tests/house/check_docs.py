"""The documents: links lead somewhere, STYLE.md stays short, exit codes are those of the source."""
import re

import house

LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")
STYLE_LINES = 300
STATUS_ROW = re.compile(r'\[TW_(?:OK|ERR_\w+)\] = \{"([^"]+)", (\d+)\}')
CODE_ROW = re.compile(r"^\|\s*(\d+)\s*\|\s*([^|]+?)\s*\|", re.MULTILINE)


def check_links(tree, path):
    text = tree.read(path)
    folder = (tree.root / path).parent
    return [f"{path}:{house.line_of(text, m.start())}: {m[1]} is not there"
            for m in LINK.finditer(text)
            if not re.match(r"[a-z]+:", m[1]) and not (folder / m[1]).exists()]


def check_exit_codes(tree):
    source, document = "src/base/status.c", "docs/exit-codes.md"
    if not (tree.root / source).is_file():
        return []
    if not (tree.root / document).is_file():
        return [f"{document} is missing"]
    real = {int(code): name for name, code in STATUS_ROW.findall(tree.read(source))}
    told = {int(code): name for code, name in CODE_ROW.findall(tree.read(document))}
    return [f"{document}: {code} is {told.get(code)!r}, the source says {real.get(code)!r}"
            for code in sorted(real.keys() | told.keys()) if real.get(code) != told.get(code)]


def check(tree):
    problems = check_exit_codes(tree)
    for path in tree.files(".md"):
        problems += check_links(tree, path)
        n_lines = tree.read(path).count("\n")
        if path == "STYLE.md" and n_lines > STYLE_LINES:
            problems.append(f"{path}:{STYLE_LINES}: {n_lines} lines; at most {STYLE_LINES}")
    return problems


STATUS = '    [TW_OK] = {"ok", 0},\n    [TW_ERR_IO] = {"input/output", 4},\n'
CASES = [
    ("links to files and to the web",
     {"README.md": "[a](docs/a.md) [b](https://example.org) [c](docs/a.md#part)", "docs/a.md": ""},
     None),
    ("a link to nowhere", {"docs/a.md": "\n[a](b.md)\n"}, "docs/a.md:2: b.md"),
    ("exit codes as in the source",
     {"src/base/status.c": STATUS, "docs/exit-codes.md": "| 0 | ok | |\n| 4 | input/output | |\n"},
     None),
    ("an exit code that changed",
     {"src/base/status.c": STATUS, "docs/exit-codes.md": "| 0 | ok | |\n| 5 | input/output | |\n"},
     "5 is 'input/output', the source says None"),
    ("a style guide nobody reads", {"STYLE.md": "rule\n" * 301}, "301 lines"),
]

if __name__ == "__main__":
    house.main(check, CASES)
