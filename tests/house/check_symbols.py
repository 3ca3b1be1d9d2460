"""Every external symbol of the static libraries begins with tw_, as nm sees it."""
import subprocess

import house


def symbols(library):
    out = subprocess.run(["nm", "--extern-only", "--defined-only", "--format=posix", library],
                         check=True, capture_output=True, text=True).stdout
    return [line.split()[0] for line in out.splitlines() if line and not line.endswith(":")]


def check(tree):
    for source in sorted(tree.build.glob("libtw_*.c")):  # the examples below arrive as C
        compiled = source.with_suffix(".o")
        subprocess.run(["cc", "-c", source, "-o", compiled], check=True)
        subprocess.run(["ar", "rcs", source.with_suffix(".a"), compiled], check=True)
    libraries = sorted(tree.build.rglob("libtw_*.a"))
    if not libraries:
        return [f"{tree.build}: no libraries to look at"]
    return [f"{library.name}: external symbol {name} does not begin with tw_"
            for library in libraries for name in symbols(library) if not name.startswith("tw_")]


CASES = [
    ("tw_ outside and any name inside",
     {"libtw_a.c": "static int x; int tw_a_get(void) { return x; }\n"}, None),
    ("a function without prefix", {"libtw_a.c": "int helper(void) { return 1; }\n"},
     "external symbol helper"),
    ("a variable without prefix", {"libtw_a.c": "int counter;\n"}, "external symbol counter"),
    ("an empty build", {"x": ""}, "no libraries"),
]

if __name__ == "__main__":
    house.main(check, CASES)
