"""Functions up to 100 lines (kernels excepted), files up to 1,500, lines up to 100 characters."""
import re

import house

FUNCTION_LINES = 100
FILE_LINES = 1500
LINE_CHARACTERS = 100
# path -> why it may be longer. Empty, and meant to stay so.
ALLOWED_LONG = {}
OFF = "/* clang-format off */"  # around a table whose columns are the point
KERNELS = ("src/kernel/",)


def functions(lines):
    """(name, first line, number of lines): a body begins and ends with a brace in column one."""
    start = None
    for number, line in enumerate(lines, 1):
        if line == "{":
            start = number
        elif start and line.startswith("}"):
            head = " ".join(lines[max(0, start - 6):start - 1])
            names = re.findall(r"(\w+)\(", head)
            yield (names[-1] if names else "?"), start, number - start + 1
            start = None


def check(tree):
    problems = []
    for path in tree.files(".c", ".h", ".py", ".mjs", ".sh"):
        lines = tree.read(path).splitlines()
        as_written = False
        if len(lines) > FILE_LINES and path not in ALLOWED_LONG:
            problems.append(f"{path}:{FILE_LINES}: {len(lines)} lines; at most {FILE_LINES}")
        for number, line in enumerate(lines, 1):
            as_written = as_written and "clang-format on" not in line or OFF in line
            if len(line) > LINE_CHARACTERS and not as_written:
                problems.append(f"{path}:{number}: {len(line)} characters in a line")
        if path.endswith(".c") and not path.startswith(KERNELS) and path not in ALLOWED_LONG:
            problems += [f"{path}:{first}: {name} has {n} lines; at most {FUNCTION_LINES}"
                         for name, first, n in functions(lines) if n > FUNCTION_LINES]
    return problems


def function_of(n_lines):
    return "int f(int a,\n      int b)\n{\n" + "    a++;\n" * (n_lines - 2) + "}\n"


CASES = [
    ("a function of 100 lines", {"src/base/a.c": function_of(100)}, None),
    ("a function of 101 lines", {"src/base/a.c": function_of(101)}, "src/base/a.c:3: f has 101"),
    ("a long kernel", {"src/kernel/avx2/a.c": function_of(300)}, None),
    ("a long table", {"src/base/a.c": "int t[] = {\n" + "    1,\n" * 300 + "};\n"}, None),
    ("a file of 1,501 lines", {"src/kernel/ref/a.c": "\n" * 1501}, "1501 lines"),
    ("a wide table", {"src/base/a.c": OFF + "\n" + "x" * 120 + "\n/* clang-format on */\n"}, None),
    ("a line of 101 characters", {"src/base/a.h": "/* " + "x" * 95 + " */\n"}, "101 characters"),
]

if __name__ == "__main__":
    house.main(check, CASES)
