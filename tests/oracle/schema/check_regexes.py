"""Random patterns, compared with Python's re: texts written match, and texts that match are taken.

Python's matcher tries one way after another, which for some patterns takes for ever: after a
twentieth of a second its verdict on a text is done without. Python reads the same dialect but for
a few points, which the patterns here keep clear of: $ before a last line end (\\Z is put in its
place), and \\d, \\w, \\s beyond ASCII (re.ASCII, texts without the spaces in question).
"""
import random
import re
import signal
import sys

from form_tool import run_cases

TOO_COMPLEX = []
GIVEN_UP = []
LETTERS = "ab01_- \n.é€\U0001f600Z"
CLASSES = ["[a-c]", "[^a]", "[^\\n]", "\\d", "\\D", "\\w", "\\W", "\\s", "\\S", ".", "[\\d_]",
           "[^\\w]", "[é-€]", "[\\-a]", "[a\\]]", "\\x61", "\\u00e9", "[\\u20ac-\\U0001f600]"]


def atom(random_, depth):
    kind = random_.random()
    if depth > 0 and kind < 0.3:
        return random_.choice(["({})", "(?:{})", "(?P<n>{})"]).format(pattern(random_, depth - 1))
    if kind < 0.5:
        return random_.choice(CLASSES)
    if kind < 0.56:
        return random_.choice(["^", "$"])
    return re.escape(random_.choice(LETTERS)).replace("\\\n", "\\n").replace("\\_", "_")


def piece(random_, depth):
    text = atom(random_, depth)
    if text in ("^", "$") or random_.random() < 0.6:
        return text
    count = random_.choice(["*", "+", "?", "{2}", "{1,3}", "{0}", "{2,}", "{0,1}"])
    return text + count + random_.choice(["", "", "?"])


def pattern(random_, depth):
    return "|".join("".join(piece(random_, depth) for _ in range(random_.randint(0, 4)))
                    for _ in range(random_.choice([1, 1, 2, 3])))


def for_tool(text):
    """Python's spelling of code points beyond 16 bits is \\U; here it is \\u{...}."""
    return text.replace("\\U0001f600", "\\u{1f600}")


def unnamed(text):
    """A name may be given once only."""
    return text.replace("(?P<n>", "(?:", max(0, text.count("(?P<n>") - 1))


class TooSlow(Exception):
    """Python's matcher did not come to an end."""


def give_up(*_):
    raise TooSlow


def verdict(match, text):
    """Whether Python finds a match, or None."""
    signal.setitimer(signal.ITIMER_VIRTUAL, 0.05)
    try:
        found = match(text) is not None
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        return found
    except TooSlow:
        GIVEN_UP.append(text)
        return None


def texts_near(random_, seeds):
    texts = ["", "\n", "a\n"]
    for _ in range(25):
        texts.append("".join(random_.choice(LETTERS) for _ in range(random_.randint(0, 6))))
    for seed in seeds:
        if seed:
            cut = random_.randrange(len(seed))
            texts += [seed, seed[:cut] + random_.choice(LETTERS) + seed[cut + 1:], seed[:cut]]
    return texts


def compare(tool, seed):
    """Texts written and verdicts of one pattern; how many texts matched."""
    random_ = random.Random(seed)
    text = unnamed(pattern(random_, 3))
    expected = re.compile(re.sub(r"(?<!\\)((?:\\\\)*)\$", r"\1\\Z", text), re.ASCII)
    answer = tool.ask("regex", for_tool(text), walks=6, seed=seed,
                      vocabulary="pieces" if seed % 2 else "bytes")
    if answer["status"] == "limit":
        TOO_COMPLEX.append(text)
        return 0
    if answer["status"] == "format" and "no text at all" in answer["error"]:
        texts = texts_near(random_, [])
        assert not any(verdict(expected.fullmatch, t) for t in texts), text
        return 0
    assert answer["status"] == "ok", f"{text!r}: {answer['error']}"
    for written in answer["written"]:
        # Line ends and \s beyond ASCII are where the two dialects part.
        if written is not None and not re.search("[\r\v\f\x1c-\x1f\x85\xa0\u1680\u2000-\u200a"
                                                 "\u2028\u2029\u202f\u205f\u3000\ufeff]", written):
            found = verdict(expected.fullmatch, written)
            assert found is not False, f"{text!r} does not match {written!r}"
    texts = texts_near(random_, [w for w in answer["written"] if w is not None and len(w) < 50])
    answer = tool.ask("regex", for_tool(text), texts)
    for given, accepted in zip(texts, answer["accepted"]):
        if not re.search("[\r\v\f\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
                         "\ufeff]", given):
            matches = verdict(expected.fullmatch, given)
            assert matches in (accepted, None), f"{text!r}, {given!r}: {matches}, here {accepted}"
    return sum(answer["accepted"])


def patterns_agree_with_another_implementation(tool):
    n_matches = sum(compare(tool, seed) for seed in range(N_PATTERNS))
    assert n_matches > 3 * N_PATTERNS, n_matches
    assert len(TOO_COMPLEX) < 0.02 * N_PATTERNS, TOO_COMPLEX
    assert len(GIVEN_UP) < 0.1 * N_PATTERNS + 3, len(GIVEN_UP)
    return (f"{N_PATTERNS} patterns, {n_matches} texts that match, {len(TOO_COMPLEX)} refused, "
            f"{len(GIVEN_UP)} verdicts done without")


def search(tool, text, texts):
    answer = tool.ask("schema", {"type": "string", "pattern": for_tool(text)},
                      ['"' + t.replace("\n", "\\n") + '"' for t in texts])
    return answer if answer["status"] == "ok" else None


def patterns_of_schemas_are_looked_for_anywhere(tool):
    n = 0
    for seed in range(N_PATTERNS // 4):
        random_ = random.Random(10000 + seed)
        text = unnamed(pattern(random_, 2))
        expected = re.compile(re.sub(r"(?<!\\)((?:\\\\)*)\$", r"\1\\Z", text), re.ASCII)
        texts = texts_near(random_, [])
        answer = search(tool, text, texts)
        for given, accepted in zip(texts, answer["accepted"] if answer else [False] * len(texts)):
            matches = verdict(expected.search, given)
            assert matches in (accepted, None), f"{text!r} in {given!r}: {matches}, not {accepted}"
            n += accepted
    assert n > N_PATTERNS, n
    return f"{n} texts that match"


N_PATTERNS = int(sys.argv[2])
signal.signal(signal.SIGVTALRM, give_up)
run_cases(sys.argv[1], [patterns_agree_with_another_implementation,
                        patterns_of_schemas_are_looked_for_anywhere])
