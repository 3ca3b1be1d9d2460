"""Templates written by hand, by what they are about: cases.txt, and every character there is.

A line of cases.txt is "= what the next ones are about", "e an expression to print" or "t a template
as a JSON string". Each is rendered with DATA.
"""
import json
import unicodedata
from pathlib import Path

DATA = {
    "s": "αβ γ", "t": " Σας σΣ. ", "n": 5, "f": 2.5, "b": True, "z": None, "xs": [3, 1, 2], "e": [],
    "d": {"k": "ß", "n": 1, "items": "éé"},
    "ms": [{"role": "user", "content": "αβ"}, {"role": "assistant", "content": "γδ\n"}],
}


def written():
    """(what they are about, templates)."""
    groups = []
    text = (Path(__file__).parent / "cases.txt").read_text("utf-8")
    for line in text.split("\n")[:-1]:
        kind, rest = line[:2], line[2:]
        if kind == "= ":
            groups.append((rest, []))
        else:
            groups[-1][1].append("{{ " + rest + " }}" if kind == "e " else json.loads(rest))
    return groups


def every_character(expression):
    """The expression, for every character that Unicode 14 has, in texts of 512."""
    codes = [c for c in range(1, 0x30000)
             if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co")]
    texts = ["x".join(map(chr, codes[i:i + 512])) for i in range(0, len(codes), 512)]
    return [{"template": "{{ " + expression + " }}", "data": {"s": text}} for text in texts]


def groups():
    for name, templates in written():
        yield name, [{"template": template, "data": DATA, "settings": {"bos_token": "<s>"}}
                     for template in templates]
    yield "every character has Python's upper case", every_character("s|upper")
    yield "every character has Python's lower case", every_character("s.lower()")
    yield "every character has Python's title case", every_character("s.title()")
    yield "every character is printed as Python prints it", every_character("[s]")
