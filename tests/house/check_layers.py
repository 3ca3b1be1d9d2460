"""The layer card: the table in ARCHITECTURE.md, the build and every #include say the same."""
import re

import house

ROW = re.compile(r"^\|\s*([a-z]+(?:,\s*[a-z]+)*)\s*\|\s*([^|]*?)\s*\|([^|]*)\|", re.MULTILINE)
INCLUDE = re.compile(r'^\s*#\s*include\s+"([a-z]+)/[^"]+"', re.MULTILINE)
EXTERNAL = re.compile(r"^\s*#\s*include\s+<([^>]+)>", re.MULTILINE)
LIBRARY_OF = {
    "jansson.h": "jansson", "cyaml/cyaml.h": "libcyaml", "yaml.h": "libyaml",
    "xxhash.h": "xxHash", "utf8proc.h": "utf8proc", "pcre2.h": "PCRE2",
    "microhttpd.h": "libmicrohttpd", "gnutls/gnutls.h": "GnuTLS", "gnutls/abstract.h": "GnuTLS",
    "sodium.h": "libsodium", "curl/curl.h": "libcurl", "histedit.h": "libedit",
    "editline/readline.h": "libedit", "sqlite3.h": "SQLite", "libpq-fe.h": "libpq",
    "seccomp.h": "libseccomp",
}


def card(tree):
    """{layer: (what it may use, libraries)} from the table; 'everything' means all others."""
    rows = {}
    for names, uses, libraries in ROW.findall(tree.read("ARCHITECTURE.md")):
        if names == "layer":
            continue
        for name in re.split(r",\s*", names):
            rows[name] = (set(re.findall(r"[a-z]+", uses)), libraries)
    for name, (uses, libraries) in rows.items():
        if "everything" in uses:
            rows[name] = (set(rows) - {name}, libraries)
    return rows


def build_rows(tree):
    text = tree.read("meson.build")
    block = re.search(r"layer_rows = \{(.*?)\n\}", text, re.DOTALL).group(1)
    return {name: set(re.findall(r"'(\w+)'", row))
            for name, row in re.findall(r"'(\w+)': \[(.*?)\]", block, re.DOTALL)}


def check_file(tree, path, layer, rows):
    text = tree.read(path)
    uses, libraries = rows[layer]
    problems = []
    for match in INCLUDE.finditer(text):
        if match[1] in rows and match[1] != layer and match[1] not in uses:
            problems.append(f"{path}:{house.line_of(text, match.start(1))}: "
                            f"{layer} may not use {match[1]}")
    for match in EXTERNAL.finditer(text):
        library = LIBRARY_OF.get(match[1])
        if library and library not in libraries:
            problems.append(f"{path}:{house.line_of(text, match.start(1))}: "
                            f"{layer} may not use the library {library}")
    return problems


def check(tree):
    rows = card(tree)
    problems = []
    for name, built in build_rows(tree).items():
        written = rows.get(name, (None,))[0]
        if written != built:
            problems.append(f"meson.build: {name} is built with {sorted(built)}, "
                            f"ARCHITECTURE.md says {written and sorted(written)}")
    for folder in ("src", "tests/unit"):
        for path in tree.sources(folder):
            layer = path[len(folder) + 1:].split("/")[0]
            if layer not in rows:
                problems.append(f"{path}:1: {layer} has no row in ARCHITECTURE.md")
            else:
                problems += check_file(tree, path, layer, rows)
    return problems


CARD = """
| layer | may use | libraries |
|---|---|---|
| base | - | jansson |
| text, sched | base | text: utf8proc |
| app | everything | |
"""
BUILD = "layer_rows = {\n  'base': [],\n  'text': ['base'],\n  'sched': ['base'],\n}\n"
GOOD = {"ARCHITECTURE.md": CARD, "meson.build": BUILD}
CASES = [
    ("a row that is kept",
     GOOD | {"src/text/a.c": '#include "base/b.h"\n#include "text/a.h"\n',
             "src/app/m.c": '#include "text/a.h"\n#include <stdio.h>\n'}, None),
    ("an upward include", GOOD | {"src/base/a.c": '\n#include "text/a.h"\n'},
     "src/base/a.c:2: base may not use text"),
    ("a sideways include", GOOD | {"src/text/a.h": '#include "sched/p.h"\n'}, "may not use sched"),
    ("a test that reaches beyond its layer",
     GOOD | {"tests/unit/text/t.c": '#include "sched/p.h"\n'}, "text may not use sched"),
    ("a library outside of its layer", GOOD | {"src/base/a.c": "#include <utf8proc.h>\n"},
     "the library utf8proc"),
    ("a build that links more than the card",
     GOOD | {"meson.build": BUILD.replace("'sched': ['base']", "'sched': ['base', 'text']")},
     "sched is built with"),
    ("a folder that is no layer", GOOD | {"src/misc/a.c": ""}, "misc has no row"),
]

if __name__ == "__main__":
    house.main(check, CASES)
