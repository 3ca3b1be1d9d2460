"""Each header says what it is in its first line, is guarded by its path, and compiles alone.

A header that some source file includes before anything else has compiled alone in every build; the
others are compiled here, kernel templates once for every instruction set, behind the header of its
registers.
"""
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import house

TEMPLATES = "src/kernel/simd/"
LEVELS = {
    "avx2": ["-march=x86-64-v3"],
    "avx512": ["-march=x86-64-v4", "-mavx512vnni"],
}


def check_words(tree, path):
    text = tree.read(path)
    name = path.rsplit("/", 1)[-1]
    problems = []
    if not text.startswith(f"/* {name}: "):
        problems.append(f"{path}:1: must begin with '/* {name}: ' and its purpose")
    guard = "TW_" + re.sub(r"[^A-Z0-9]", "_", path.removeprefix("src/").upper())
    if f"#ifndef {guard}\n#define {guard}\n" not in text or not text.endswith("\n#endif\n"):
        problems.append(f"{path}:1: the include guard must be {guard}, to the end of the file")
    return problems


def ways_to_compile(path):
    """(flags, headers included before) for each way in which the header must compile."""
    if not path.startswith(TEMPLATES):
        return [([], [])]
    own = re.search(r"simd_(avx\w+)\.h$", path)
    if own:
        return [(LEVELS[own[1]], [])]
    return [(flags, [f"{TEMPLATES}simd_{level}.h"]) for level, flags in LEVELS.items()]


def included_first(tree):
    """The headers with which a source file begins."""
    found = (re.search(r'^#include (["<].*[">])', tree.read(path), re.M)
             for path in tree.files(".c", under="src"))
    return {"src/" + first[1].strip('"') for first in found if first}


def compile_alone(tree, path):
    problems = []
    for flags, before in ways_to_compile(path):
        text = "".join(f'#include "{p.removeprefix("src/")}"\n' for p in [*before, path])
        done = subprocess.run(
            ["cc", "-std=gnu17", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
             "-Wno-unused-function", *flags, "-I", tree.root / "src", "-x", "c", "-"],
            input=text, capture_output=True, text=True)
        if done.returncode != 0:
            first = " ".join(done.stderr.splitlines()[:3])
            problems.append(f"{path}:1: does not compile alone with {flags}: {first}")
    return problems


def check(tree):
    headers = tree.files(".h", under="src")
    problems = [p for path in headers for p in check_words(tree, path)]
    proven = included_first(tree)
    with ThreadPoolExecutor(2) as pool:
        for result in pool.map(lambda path: compile_alone(tree, path),
                               [path for path in headers if path not in proven]):
            problems += result
    return problems


def header(body, guard="TW_A_A_H"):
    return f"/* a.h: an example. */\n#ifndef {guard}\n#define {guard}\n{body}\n#endif\n"


CASES = [
    ("a header that includes what it needs",
     {"src/a/a.h": header("#include <stddef.h>\nsize_t tw_a_get(void);")}, None),
    ("a type from a header that is not included", {"src/a/a.h": header("size_t tw_a_get(void);")},
     "does not compile alone"),
    ("a header that is included after what it needs",
     {"src/a/a.h": header("size_t tw_a_get(void);"),
      "src/a/a.c": "#include <stddef.h>\n\n#include \"a/a.h\"\n"}, "does not compile alone"),
    ("a header with which its source file begins",
     {"src/a/a.h": header("size_t tw_a_get(void);"), "src/a/a.c": "#include \"a/a.h\"\n"}, None),
    ("a guard of another file", {"src/a/a.h": header("", "TW_B_H")}, "must be TW_A_A_H"),
    ("a header that does not say what it is", {"src/a/a.h": "int x;\n"}, "must begin with"),
]

if __name__ == "__main__":
    house.main(check, CASES)
