"""What the checkers of the house rules share: the tree, C without its comments, and TAP output.

A checker is a module with
    check(tree) -> list of problems, each "path:line: what is wrong"
    CASES = [(what it shows, {path: text, ...}, part of the expected problem or None), ...]
and ends with house.main(check, CASES). Every run first makes a small tree for each case and sees
that the checker catches the violation (or stays silent), and only then looks at the real tree: a
checker that could not fail would be no check.
"""
import argparse
import re
import sys
import tempfile
from pathlib import Path

SKIPPED_FOLDERS = re.compile(r"^(build.*|node_modules|__pycache__|models|\..*)$")
KEPT_HIDDEN = {".ci"}
SKIPPED_FILES = {".git"}


class Tree:
    """The project's files below root, build folders and downloads left out."""

    def __init__(self, root, build=None):
        self.root = Path(root)
        self.build = Path(build) if build else None

    def files(self, *suffixes, under=""):
        """Paths relative to the root, sorted; all of them without suffixes."""
        found = []
        pending = [self.root / under] if (self.root / under).is_dir() else []
        while pending:
            for path in pending.pop().iterdir():
                if path.is_dir() and not path.is_symlink():
                    if path.name in KEPT_HIDDEN or not SKIPPED_FOLDERS.match(path.name):
                        pending.append(path)
                elif path.name.endswith(suffixes or "") and path.name not in SKIPPED_FILES:
                    found.append(path.relative_to(self.root).as_posix())
        return sorted(found)

    def sources(self, under=""):
        return self.files(".c", ".h", under=under)

    def read(self, path):
        """The text of a file, or None when it is no text."""
        data = (self.root / path).read_bytes()
        if b"\0" in data:
            return None
        return data.decode("utf-8", errors="replace")


_C_PARTS = re.compile(
    r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def code_only(text):
    """C with comments and literals blanked out; lines and columns stay where they are."""
    return _C_PARTS.sub(lambda m: re.sub(r"[^\n]", " ", m.group()), text)


def line_of(text, index):
    return text.count("\n", 0, index) + 1


def _problems_of_case(check, files):
    with tempfile.TemporaryDirectory() as folder:
        for path, text in files.items():
            target = Path(folder, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        return check(Tree(folder, folder))


def _report(number, good, name, details):
    print(f"{'ok' if good else 'not ok'} {number} - {name}")
    for line in details:
        print(f"# {line}")


def main(check, cases):
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True)
    parser.add_argument("--build", required=True)
    options = parser.parse_args()
    failures = 0
    print(f"1..{len(cases) + 1}")
    for number, (name, files, expected) in enumerate(cases, 1):
        problems = _problems_of_case(check, files)
        caught = any(expected in p for p in problems) if expected else not problems
        failures += not caught
        details = [] if caught else [f"expected {expected!r}, got {problems}"]
        _report(number, caught, ("catches " if expected else "allows ") + name, details)
    problems = check(Tree(options.root, options.build))
    failures += bool(problems)
    _report(len(cases) + 1, not problems, "the tree keeps the rule", problems)
    for problem in problems:
        print(problem, file=sys.stderr)
    sys.exit(1 if failures else 0)
