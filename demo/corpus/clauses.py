"""A small language for sentences with choices, and the slips of people who type in a hurry.

A text file holds sections; a line is a template, empty lines and lines with # are left out:

    == opening
    [Please |]note that {vendor} [sent|mailed] <thing>[ on {date}|].

    [a|b|]   one of the parts, each equally likely; parts may hold parts
    {name}   a field; its value is copied as it stands
    <name>   a line of the section of that name in the same file

expand() gives pieces [(field name or None, text)], so that a caller knows which fields a text shows
and slips never touch a value. A text that shows no due date is thereby known to have none.
"""
import re
from pathlib import Path

TOKEN = re.compile(r"[\[\]|]|\{\w+\}|<[\w ]+>|[^\[\]|{}<]+")
NEIGHBOURS = {"a": "s", "e": "r", "i": "o", "n": "m", "o": "p", "r": "t", "s": "d", "t": "y"}


def parse_choice(tokens, index):
    """The parts up to the closing bracket and the index after it."""
    parts = [[]]
    while tokens[index] != "]":
        if tokens[index] == "|":
            parts.append([])
            index += 1
        else:
            node, index = parse_node(tokens, index)
            parts[-1].append(node)
    return ("choice", parts), index + 1


def parse_node(tokens, index):
    token = tokens[index]
    if token == "[":
        return parse_choice(tokens, index + 1)
    if token[0] in "{<":
        return ("field" if token[0] == "{" else "list", token[1:-1]), index + 1
    return ("text", token), index + 1


def parse(template):
    """A template as a list of nodes."""
    tokens, nodes, index = TOKEN.findall(template), [], 0
    while index < len(tokens):
        node, index = parse_node(tokens, index)
        nodes.append(node)
    return nodes


def load(name):
    """{section: [templates]} of a text file beside this module."""
    sections, current = {}, None
    for line in (Path(__file__).parent / name).read_text(encoding="ascii").splitlines():
        if line.startswith("== "):
            current = sections.setdefault(line[3:].strip(), [])
        elif line.strip() and not line.startswith("#"):
            current.append(parse(line))
    return sections


def walk(rng, nodes, sections, values, pieces):
    for kind, content in nodes:
        if kind == "text":
            pieces.append((None, content))
        elif kind == "field":
            pieces.append((content, values[content]))
        elif kind == "list":
            walk(rng, rng.choice(sections[content]), sections, values, pieces)
        else:
            walk(rng, rng.choice(content), sections, values, pieces)


def expand(rng, nodes, sections, values):
    """The pieces of one text of a template."""
    pieces = []
    walk(rng, nodes, sections, values, pieces)
    return pieces


def pick(rng, sections, section, values):
    """The pieces of one text of a section."""
    return expand(rng, rng.choice(sections[section]), sections, values)


def fields(nodes, sections):
    """The fields that every text of a template shows."""
    shown = set()
    for kind, content in nodes:
        if kind == "field":
            shown.add(content)
        elif kind == "list":
            shown |= set.intersection(*(fields(n, sections) for n in sections[content]))
        elif kind == "choice":
            shown |= set.intersection(*(fields(n, sections) for n in content))
    return shown


def text_of(pieces):
    return "".join(text for _, text in pieces)


def shown(pieces):
    """The names of the fields in the pieces."""
    return {name for name, _ in pieces if name}


def begin_large(pieces):
    """The pieces with a capital at the beginning, unless they begin with a value."""
    if pieces and pieces[0][0] is None:
        first = pieces[0][1]
        return [(None, first[:1].upper() + first[1:])] + pieces[1:]
    return pieces


def slip(rng, text):
    """The text with one slip of the finger in one of its longer words."""
    places = [m.start() + 1 for m in re.finditer(r"[a-z]{5,}", text)]
    if not places:
        return text
    at = rng.choice(places) + rng.randrange(3)
    kind = rng.randrange(4)
    if kind == 0:
        return text[:at] + text[at + 1:]
    if kind == 1:
        return text[:at] + text[at] + text[at:]
    if kind == 2:
        return text[:at] + text[at + 1] + text[at] + text[at + 2:]
    return text[:at] + NEIGHBOURS.get(text[at], text[at]) + text[at + 1:]


def hurry(rng, pieces):
    """Now and then lower case, no full stops or a slip, outside of the values."""
    small, bare, slips = rng.random() < 0.12, rng.random() < 0.06, rng.random() < 0.06
    if not (small or bare or slips):
        return pieces
    changed = []
    for name, text in pieces:
        if name is None:
            text = text.lower() if small else text
            text = re.sub(r"[.!,](?=\s|$)", "", text) if bare else text
            if slips:
                text, slips = slip(rng, text), rng.random() < 0.3
        changed.append((name, text))
    return changed
