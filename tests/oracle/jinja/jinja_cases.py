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


def every_character(expression, is_plain):
    """The expression, for every character of Unicode 14 that is_plain says, in texts of 512."""
    codes = [c for c in range(1, 0x30000)
             if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co") and is_plain(chr(c))]
    texts = ["x".join(map(chr, codes[i:i + 512])) for i in range(0, len(codes), 512)]
    return [{"template": "{{ " + expression + " }}", "data": {"s": text}} for text in texts]


TOOLS = [{"type": "function", "function": {
    "name": "weather", "description": "Das Wetter <b>heute</b>",
    "parameters": {"type": "object", "properties": {"city": {"type": "string", "enum": ["Köln"]}},
                   "required": ["city"]}}}]
CALL = {"id": "abcdefghi", "type": "function",
        "function": {"name": "weather", "arguments": {"city": "Köln"}}}
CONVERSATIONS = [
    [{"role": "user", "content": " Hi αβ <|im_end|>\n"}],
    [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"},
     {"role": "assistant", "content": "<think>\nhm\n</think>\n\nHello! "},
     {"role": "user", "content": "中文"}],
    [{"role": "user", "content": "?"}, {"role": "assistant", "content": "", "tool_calls": [CALL]},
     {"role": "tool", "name": "weather", "tool_call_id": "abcdefghi", "content": "{\"t\": 5}"},
     {"role": "assistant", "content": "5."}, {"role": "user", "content": "Thanks"}],
    [{"role": "assistant", "content": "x"}, {"role": "assistant", "content": "y"}],
    [{"role": "user", "content": [{"type": "text", "text": "αβ"}, {"type": "image"}]}],
]


def published(modules):
    """Cases with the templates that tokenizers in a folder of packages bring along."""
    found = []
    for path in sorted(modules.glob("@*/tokenizer-*/models/tokenizer_config.json")):
        template = json.loads(path.read_text("utf-8")).get("chat_template")
        if isinstance(template, str):
            found += [{"template": template, "settings": {"bos_token": "<s>", "eos_token": "</s>"},
                       "data": {"messages": messages, "add_generation_prompt": begins, **tools}}
                      for messages in CONVERSATIONS for begins in (True, False)
                      for tools in ({}, {"tools": TOOLS})]
    return found


def groups():
    for name, templates in written():
        yield name, [{"template": template, "data": DATA, "settings": {"bos_token": "<s>"}}
                     for template in templates]
    # Those that become several are not, but for the sharp s; nor a sigma that ends a word.
    yield "characters have Python's upper case", every_character(
        "s|upper", lambda c: len(c.upper()) == 1 or c == "ß")
    yield "characters have Python's lower case", every_character(
        "s.lower()", lambda c: len(c.lower()) == 1 and c != "Σ")
    yield "characters are stripped as in Python", every_character(
        "(s|list|map('trim')|join).split()|length", lambda c: True)
    yield "characters are written to JSON as in Python", every_character(
        "s|tojson ~ s|tojson(ensure_ascii=true)", lambda c: True)
    cases = published(Path(__file__).parents[1] / "node_modules")
    if cases:
        yield "templates of published tokenizers are rendered as Python does", cases
