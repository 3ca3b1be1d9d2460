"""The shape of the tree: unique names, no dead files, C alone, bounds in one place."""
import re

import house

SOURCE = (".c", ".h", ".py", ".mjs", ".sh")
OTHER_LANGUAGES = (".cc", ".cpp", ".cxx", ".hpp", ".hh", ".C", ".f", ".f90")
LIMIT = re.compile(r"#\s*define\s+(TW_LIMIT_\w+)")
LIMITS_FILE = "src/base/limits.h"
BLAS = re.compile(r"(?i)\b\w*(?:cblas|openblas|lapack|libblis|mkl_)\w*|dependency\('blas")
FLAGS = ("-Wvla", "-Walloca", "werror=true")


def check_names(paths):
    seen, problems = {}, []
    for path in paths:
        name = path.rsplit("/", 1)[-1]
        if name in seen:
            problems.append(f"{path}:1: the name is taken by {seen[name]}")
        seen.setdefault(name, path)
    return problems


def is_built(tree, path):
    """Is the file named in a meson.build of its folder or of one above, by name or by its stem?"""
    parts = path.split("/")
    stem = parts[-1].rsplit(".", 1)[0]
    for depth in range(len(parts) - 1, 0, -1):
        build = "/".join(parts[:depth]) + "/meson.build"
        if not (tree.root / build).is_file():
            continue
        text = tree.read(build)
        below = "/".join(parts[depth:])
        without_prefix = re.sub(r"^(?:test|fuzz|bench)_", "", stem)
        if re.search(rf"'(?:{re.escape(below)}|{re.escape(stem)}|{re.escape(without_prefix)})'",
                     text):
            return True
    return False


def check(tree):
    paths = tree.files(*SOURCE)
    problems = check_names(paths)
    for path in tree.files(*OTHER_LANGUAGES):
        problems.append(f"{path}:1: C is the only compiled language here")
    for path in paths:
        text = tree.read(path)
        if path.endswith(".c") and not is_built(tree, path):
            problems.append(f"{path}:1: no meson.build names this file")
        if path.endswith((".c", ".h")) and path != LIMITS_FILE:
            problems += [f"{path}:{house.line_of(text, m.start())}: {m[1]} belongs in {LIMITS_FILE}"
                         for m in LIMIT.finditer(text)]
    for path in tree.files("meson.build", ".c", ".h"):
        text = tree.read(path)
        problems += [f"{path}:{house.line_of(text, m.start())}: {m[0]}: products are computed by "
                     "our own kernels" for m in BLAS.finditer(text)]
    root_build = tree.read("meson.build")
    problems += [f"meson.build: {flag} is gone" for flag in FLAGS if flag not in root_build]
    if not re.search(r"project\('\w+', 'c',", root_build):
        problems.append("meson.build: the project's one language is c")
    return problems


BUILD = "project('x', 'c',\n 'werror=true')\n'-Wvla' '-Walloca'\n"
GOOD = {"meson.build": BUILD, "src/base/meson.build": "'a.c'", "src/base/a.c": ""}
CASES = [
    ("a file that is built", GOOD, None),
    ("a name used twice", GOOD | {"src/text/a.c": "", "src/text/meson.build": "'a.c'"},
     "src/text/a.c:1: the name is taken by src/base/a.c"),
    ("a dead file", GOOD | {"src/base/old.c": ""}, "src/base/old.c:1: no meson.build"),
    ("a file built by its stem", GOOD | {"tests/unit/base/test_b.c": "",
                                         "tests/unit/base/meson.build": "'b': []"}, None),
    ("another language", GOOD | {"src/base/b.cpp": ""}, "C is the only"),
    ("a second language in the build", GOOD | {"meson.build": BUILD.replace("'c'", "['c', 'cpp']")},
     "one language"),
    ("a bound elsewhere", GOOD | {"src/base/b.h": "\n#define TW_LIMIT_B 3\n"},
     "src/base/b.h:2: TW_LIMIT_B belongs in"),
    ("somebody else's products", GOOD | {"src/base/meson.build": "'a.c'\ndependency('openblas')"},
     "our own kernels"),
    ("a lost warning", GOOD | {"meson.build": BUILD.replace("-Wvla", "")}, "-Wvla is gone"),
]

if __name__ == "__main__":
    house.main(check, CASES)
