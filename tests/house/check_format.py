"""Every C file is laid out as clang-format 14 does it; `ninja -C build format` puts it right."""
import shutil
import subprocess
import sys
from pathlib import Path

import house

TOOL = shutil.which("clang-format-14")
STYLE = Path(__file__).resolve().parents[2] / ".clang-format"


def check(tree):
    paths = tree.sources()
    if not paths:
        return []
    command = [TOOL, f"--style=file:{STYLE}", "--dry-run", "--Werror", "--ferror-limit=1", *paths]
    done = subprocess.run(command, cwd=tree.root, capture_output=True, text=True)
    return [line for line in done.stderr.splitlines() if ": error:" in line]


CASES = [
    ("the layout", {"a.c": "int f(int a)\n{\n    return a;\n}\n"}, None),
    ("another brace", {"a.c": "int f(int a) {\n    return a;\n}\n"}, "a.c:1"),
    ("another indent", {"a.c": "int f(int a)\n{\n  return a;\n}\n"}, "a.c:2"),
]

if __name__ == "__main__":
    if TOOL is None:
        print("1..0 # SKIP clang-format-14 is not installed")
        sys.exit(0)
    if sys.argv[1:2] == ["--apply"]:
        tree = house.Tree(sys.argv[2])
        sys.exit(subprocess.run([TOOL, "-i", *tree.sources()], cwd=tree.root).returncode)
    house.main(check, CASES)
