"""Functions and constructs that are not used here, and the one place where some of them are."""
import re

import house

# (why, functions, folders the rule holds in, files and folders that are excepted)
EVERYWHERE = ("src/", "tools/", "bench/", "tests/")
PROGRAM = ("src/", "tools/", "bench/")
RULES = [
    ("no bound on what is written or read",
     "strcpy strcat sprintf vsprintf gets stpcpy strncpy strncat", EVERYWHERE, ()),
    ("errors go unnoticed", "atoi atol atoll atof sscanf scanf fscanf", EVERYWHERE, ()),
    ("hidden state", "strtok rand srand random srandom drand48 setlocale",
     EVERYWHERE, ("tests/unit/base/test_json.c",)),
    ("unbounded stack", "alloca __builtin_alloca", EVERYWHERE, ()),
    ("a shell between us and the system", "system popen", PROGRAM, ()),
    ("jumps over clean-up", "setjmp longjmp sigsetjmp siglongjmp", PROGRAM, ()),
    ("memory comes from base/mem.h or base/arena.h",
     "malloc calloc realloc free aligned_alloc posix_memalign strdup strndup asprintf vasprintf "
     "getline reallocarray memalign", PROGRAM, ("src/base/mem.c",)),
    ("mapping is the business of base", "mmap munmap mremap", PROGRAM,
     ("src/base/mem.c", "src/base/file.c")),
    ("time is passed in", "time gettimeofday clock_gettime clock", ("src/",),
     ("src/base/clock.c",)),
    ("layers return errors, the program ends elsewhere", "exit _exit quick_exit abort _Exit",
     ("src/",), ("src/app/",)),
    ("layers do not print", "printf vprintf puts putchar fprintf vfprintf fputs fputc perror",
     ("src/",), ("src/app/",)),
    ("settings are passed in", "getenv secure_getenv setenv putenv", ("src/",),
     ("src/base/cpu.c", "src/app/")),
    ("numbers must not depend on the locale", "strtod strtof strtold", ("src/",),
     ("src/base/json.c", "src/app/")),
]
CALL = re.compile(r"(?<![\w.>])(?:" + "|".join(
    sorted({f for _, functions, _, _ in RULES for f in functions.split()})) + r")(?=\s*\()")
RULE_OF = {f: rule for rule in RULES for f in rule[1].split()}
TYPEDEF = re.compile(r"\btypedef\s+(?:struct|union|enum)\b(?!\s+\w+\s*\**\s*\(\s*\*)")
REGISTER_TYPES = "src/kernel/simd/"  # vectors of one instruction set, used like numbers
LINE_COMMENT = re.compile(r"//")
BANNER = re.compile(r"/\*\s*[*=\-_#~]{8,}|[*=\-_#~]{8,}\s*\*/")


def check_calls(path, code):
    problems = []
    for match in CALL.finditer(code):
        why, _, folders, excepted = RULE_OF[match[0]]
        if path.startswith(folders) and not path.startswith(excepted or ("\0",)):
            problems.append(f"{path}:{house.line_of(code, match.start())}: {match[0]}: {why}")
    return problems


def check_style(path, text, code):
    without_strings = re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)
    without_blocks = re.sub(r"/\*.*?\*/", lambda m: "\n" * m.group().count("\n"), without_strings,
                            flags=re.DOTALL)
    found = []
    if not path.startswith(REGISTER_TYPES):
        found += [(m, code, "typedef hides what a type is; write struct tw_x")
                  for m in TYPEDEF.finditer(code)]
    found += [(m, without_blocks, "comments are /* ... */")
              for m in LINE_COMMENT.finditer(without_blocks)]
    found += [(m, text, "a banner carries no news") for m in BANNER.finditer(text)]
    return [f"{path}:{house.line_of(where, m.start())}: {why}" for m, where, why in found]


def check(tree):
    problems = []
    for path in tree.sources():
        text = tree.read(path)
        code = house.code_only(text)
        problems += check_calls(path, code) + check_style(path, text, code)
    return problems


CASES = [
    ("the bounded relatives", {"src/base/a.c": "int f(void) { snprintf(a, 1, b); }\n"}, None),
    ("strcpy", {"tests/unit/base/a.c": "\nint f(void) { strcpy (a, b); }\n"},
     "a.c:2: strcpy: no bound"),
    ("a name in a comment or string", {"src/base/a.c": '/* strcpy(a) */ char *s = "strcpy(a)";\n'},
     None),
    ("a name inside of a longer one", {"src/base/a.c": "int x = tw_mem_free(a) + my_atoi(b);\n"},
     None),
    ("a member of that name", {"src/base/a.c": "int x = ops->free(a) + ops.exit(b);\n"}, None),
    ("malloc", {"src/text/a.c": "void *p = malloc(3);\n"}, "malloc: memory comes from"),
    ("malloc where it lives", {"src/base/mem.c": "void *p = malloc(3);\n"}, None),
    ("exit in a layer", {"src/model/a.c": "void f(void) { exit(1); }\n"}, "exit: layers return"),
    ("exit in the program", {"src/app/a.c": "void f(void) { exit(1); }\n"}, None),
    ("printing in a layer", {"src/engine/a.c": "void f(void) { printf(x); }\n"}, "do not print"),
    ("getenv in a layer", {"src/engine/a.c": "char *f(void) { return getenv(x); }\n"}, "passed in"),
    ("alloca", {"src/base/a.c": "void *p = alloca(n);\n"}, "unbounded stack"),
    ("typedef struct", {"src/base/a.h": "typedef struct tw_a tw_a;\n"}, "typedef hides"),
    ("typedef of an id or a function", {"src/base/a.h": "typedef int tw_a;\n"}, None),
    ("typedef of a function that returns a status",
     {"src/base/a.h": "typedef enum tw_status (*tw_a_fn)(void *context);\n"}, None),
    ("a line comment", {"src/base/a.c": "int x; // why\n"}, "comments are"),
    ("an address in a comment", {"src/base/a.c": "/* see https://example.org */\n"}, None),
    ("a banner", {"src/base/a.c": "/* ------------ parse ------------ */\n"}, "banner"),
]

if __name__ == "__main__":
    house.main(check, CASES)
