"""Sentences from hand-written lines: alternatives, slots, ways of asking, and careless typing.

A line such as "what is the weather (like|) in <city>" stands for several sentences: one alternative
of each pair of parentheses is taken, and <city> is filled in last, so that nothing here can alter a
value that the answer has to copy. The first character of a line says what kind of core it is:
    ?  a whole question                "what is the weather in <city>"
    !  a request without a subject     "check the weather in <city>"
    ~  an indirect question            "what the weather is like in <city>"
    .  a fragment or a statement       "weather <city>"
Each kind has its own ways of being asked, so a few hundred lines give very many messages.
"""
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
SLOT = re.compile(r"<(\w+)>")
WORD = re.compile(r"(?<![<\w'])[A-Za-z]{4,}(?![>\w'])")

MISSPELT = {
    "weather": "wether", "please": "plese", "temperature": "temprature", "what": "wat",
    "convert": "convrt", "calculate": "calulate", "status": "staus", "order": "oder",
    "stock": "stok", "warehouse": "warehose", "much": "mch", "many": "mny", "minutes": "minuts",
    "received": "recieved", "delivery": "delivry", "metres": "meters", "thanks": "thx",
    "today": "2day", "there": "ther", "umbrella": "umbrela", "could": "coud", "tell": "tel",
}


def parse(text):
    """A line as a list of parts: a string, or a list of alternatives that are lines themselves."""
    parts, end = _parse_sequence(text, 0)
    if end != len(text):
        raise ValueError(f"a parenthesis too many: {text!r}")
    return parts


def _parse_sequence(text, at):
    parts, start = [], at
    while at < len(text) and text[at] not in "|)":
        if text[at] == "(":
            parts.append(text[start:at])
            choices, at = _parse_choices(text, at + 1)
            parts.append(choices)
            start = at
        else:
            at += 1
    parts.append(text[start:at])
    return [p for p in parts if p != ""], at


def _parse_choices(text, at):
    choices = []
    while True:
        choice, at = _parse_sequence(text, at)
        choices.append(choice)
        if at == len(text):
            raise ValueError(f"a parenthesis stays open: {text!r}")
        at += 1
        if text[at - 1] == ")":
            return choices, at


def pick(rng, choices):
    """As rng.choice, but faster."""
    return choices[int(rng.random() * len(choices))]


def expand(rng, parts):
    """One of the sentences a parsed line stands for."""
    out = ""
    for part in parts:
        out += part if part.__class__ is str else expand(rng, pick(rng, part))
    return out


def fill(text, values):
    """The text with <name> replaced by values[name]."""
    return SLOT.sub(lambda m: values[m[1]], text)


def tidy(text):
    """Without the spaces that an empty alternative leaves behind."""
    return " ".join(text.split())


def read_sections(name):
    """{section: [(kind, parsed line), ...]} of a file of lines under [section] headings."""
    sections, lines = {}, None
    for line in (HERE / name).read_text(encoding="ascii").splitlines():
        if line.startswith("["):
            lines = sections.setdefault(line.strip("[]"), [])
        elif line and not line.startswith("#"):
            lines.append((line[0], parse(line[1:].strip())))
    return sections


def _parsed(*lines):
    return [parse(line) for line in lines]


WAYS = {
    "?": _parsed("*?"),
    "!": _parsed(
        "*.", "*.", "*", "*(, please.| please| please.)", "(Please|Kindly|Pls|Now) *.",
        "(Can|Could|Would|Will) you (please |)*( for me|)?", "(Can|Could) you (just |quickly |)*?",
        "I (need|want) you to *.", "I('d| would) like you to *.", "(Go ahead and|Just|Quickly) *.",
        "It would be (great|nice|helpful) if you could *.", "I was wondering if you could *.",
        "(Would|Could) you be so kind as to *?", "You can *, (right|can't you)?",
        "We need to *.", "I have to *.", "Let us *.", "Your (task|job): *.", "I am trying to *.",
        "(First|Next|Then), *.", "Help me *.", "Is it possible to *?", "May I ask you to *?"),
    "~": _parsed(
        "(Can|Could) you (please |)(tell me|say|find out|check|look up|work out) *?",
        "(Please |)(tell me|let me know|find out|check) *.", "(Please |)(tell|inform) us *.",
        "Do you (know|happen to know) *?", "I (want|need|would like|wish) to know *.",
        "I'd (like|love) to know *.", "I wonder *.", "(Any idea|Do you have any idea) *?",
        "(My boss|My colleague|A customer|The client|Someone here|The team) "
        "(wants to know|is asking|asks|would like to know) *.",
        "We (need|have|want) to (know|find out) *.", "(Can|Could|May) I ask *?",
        "I am (wondering|trying to find out|curious) *.", "(Say|Tell me) *, please.",
        "It would help me to know *.", "Is there a way to (see|find out) *?",
        "Find out * for me(, please|)."),
    ".": _parsed("*.", "*", "*?", "*, please.", "*, please"),
}
OPENERS = _parsed(
    "(Hi|Hello|Hey)(,| there,) ", "(Hi|Hello|Hey|Hi there|Hello there)(!|.) ",
    "Good (morning|afternoon|evening|day)(.|,|!) ", "(Quick|Small|Short|Simple|Another) question: ",
    "One (more thing|more question|last thing|other thing): ", "Excuse me, ",
    "Sorry to bother you, ",
    "(OK|Okay|Ok|Alright|So|Well|Right|Fine), ", "(Also|And|Then|Next|Now), ",
    "(Thanks|Thank you)(.|!) ",
    "By the way, ", "(Next one|Another one|Again|Next|Question|Request|Task): ",
    "I have a question: ", "I need (help|some help|a hand)(:|.) ", "Just a (quick|short) one: ",
    "(Great|Perfect|Nice|Good)(.|,) ", "Can you help(?| me?) ", "Sorry, ", "Dear assistant, ",
    "For my (notes|report|boss|records): ", "Before I forget: ")
CLOSERS = _parsed(
    " (Thanks|Thank you|Thx|Cheers)(.|!)", " (Thanks|Thank you) in advance.",
    " (It is|This is) urgent.",
    " No (rush|hurry).", " I need it (now|today|quickly|for a report|for a meeting|for my notes).",
    " That is all.", " (Please|Kindly) be (quick|brief).",
    " (Just|Only) the (answer|result), please.",
    " Many thanks(.|!)", " I (forgot|am in a hurry|am not sure|would be grateful).",
    " Let me know.", " (Short|Quick) answer please.")


def _lower_first(text):
    if re.match(r"(I\b|[A-Z]{2})", text):
        return text
    return text[:1].lower() + text[1:]


def _upper_first(text):
    return text[:1].upper() + text[1:]


def ask(rng, kind, core):
    """The core as somebody would ask it, slots still open."""
    before, after = expand(rng, pick(rng, WAYS[kind])).split("*", 1)
    core = tidy(core)
    text = _upper_first(before + core + after)
    if rng.random() < 0.24:
        opener = expand(rng, pick(rng, OPENERS))
        plain = opener[-2] in ",:" and rng.random() < 0.9
        text = opener + (_lower_first(text) if plain else text)
    if rng.random() < 0.13:
        text = (text if text[-1] in ".?!" else text + ".") + expand(rng, pick(rng, CLOSERS))
    return text


def _misspell(rng, text):
    words = list(WORD.finditer(text))
    if not words:
        return text
    match = pick(rng, words)
    word = match[0]
    wrong = MISSPELT.get(word.lower())
    if wrong is None or rng.random() < 0.4:
        at = 1 + int(rng.random() * (len(word) - 2))
        wrong = word[:at] + word[at + 1] + word[at] + word[at + 2:]
        if rng.random() < 0.4:
            wrong = word[:at] + word[at + 1:]
    return text[:match.start()] + wrong + text[match.end():]


def roughen(rng, text):
    """As typed: now and then lower case, no final stop, no apostrophe, a slip. Slots stay."""
    x = rng.random()
    if x < 0.34:
        text = text.lower()
        if x < 0.26:
            text = text.rstrip(".?!")
        if x < 0.08:
            text = text.replace("'", "")
        if x < 0.05:
            text = re.sub(r"[,:;](?=\s)", "", text)
    elif x < 0.44:
        text = text.rstrip(".?!")
    elif x < 0.46:
        text = text.rstrip(".?!") + pick(rng, ("??", "!", " ?", "...", "?!"))
    if rng.random() < 0.06:
        text = _misspell(rng, text)
    return text


def say(rng, lines):
    """A message with open slots from one of the lines of a section."""
    kind, parts = pick(rng, lines)
    return roughen(rng, ask(rng, kind, expand(rng, parts)))
