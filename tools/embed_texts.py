"""Writes a C file with texts in it: embed_texts.py OUT SYMBOL INCLUDE FILE..."""
import pathlib
import sys


def literal(path):
    lines = pathlib.Path(path).read_text(encoding="utf-8").splitlines()
    return "\n".join('     "' + line.replace("\\", "\\\\").replace('"', '\\"') + '\\n"'
                     for line in lines)


def main(out, symbol, include, *files):
    rows = ",\n".join(f'    {{"built-in {pathlib.Path(f).name}",\n{literal(f)}}}' for f in files)
    pathlib.Path(out).write_text(
        f'#include "{include}"\n\nconst struct {symbol} {symbol}[{len(files)}] = {{\n{rows}}};\n',
        encoding="utf-8")


main(*sys.argv[1:])
