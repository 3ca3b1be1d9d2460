"""The three hand-written pre-tokenizers once more, as slowly and plainly as their patterns read.

Standard input has a line per text: the pattern's name, a space, the text's UTF-8 in hexadecimal.
A line comes out for each: the lengths of its words in bytes. With --engine onig the words come from
the library Oniguruma instead, whose dialect the patterns are written in; the exit code is 77 where
it is not installed. The name is then a pattern of PATTERNS, or re: and any pattern in hexadecimal.

Unicode is that of Python's unicodedata (14.0 for Python 3.11), and that of Oniguruma (6.9.8: 14.0).
"""
import ctypes
import sys
import unicodedata

PATTERNS = {
    "gpt2": r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    "llama3": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
              r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|"
             r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}
WHITE_SPACE = set(map(chr, [*range(0x9, 0xe), 0x20, 0x85, 0xa0, 0x1680, *range(0x2000, 0x200b),
                            0x2028, 0x2029, 0x202f, 0x205f, 0x3000]))


def is_space(c):
    return c in WHITE_SPACE


def is_letter(c):
    return unicodedata.category(c)[0] == "L"


def is_number(c):
    return unicodedata.category(c)[0] == "N"


def is_other(c):
    return not (is_space(c) or is_letter(c) or is_number(c))


def is_newline(c):
    return c in "\r\n"


def is_lead(c):
    return not (is_newline(c) or is_letter(c) or is_number(c))


def one(accepts):
    return (accepts, 1, 1)


def some(accepts):
    return (accepts, 1, None)


def any_number(accepts):
    return (accepts, 0, None)


def maybe(accepts):
    return (accepts, 0, 1)


def literal(text):
    return [one(lambda c, want=want: c == want) for want in text]


def folded(text):
    # U+017F is the only character besides the letters themselves that folds to one of them.
    return [one(lambda c, want=want: c.lower() == want or (want == "s" and c == "\u017f"))
            for want in text]


NOT_BEFORE_NON_SPACE = "(?!\\S)"
SUFFIXES = ["'s", "'t", "'re", "'ve", "'m", "'ll", "'d"]


def blank(c):
    return c == " "


def newer(numbers):
    return [folded(s) for s in SUFFIXES] + [
        [maybe(is_lead), some(is_letter)],
        [(is_number, 1, numbers)],
        [maybe(blank), some(is_other), any_number(is_newline)],
        [any_number(is_space), some(is_newline)],
        [some(is_space), NOT_BEFORE_NON_SPACE],
        [some(is_space)],
    ]


ALTERNATIVES = {
    "gpt2": [literal(s) for s in SUFFIXES] + [
        [maybe(blank), some(is_letter)],
        [maybe(blank), some(is_number)],
        [maybe(blank), some(is_other)],
        [some(is_space), NOT_BEFORE_NON_SPACE],
        [some(is_space)],
    ],
    "llama3": newer(3),
    "qwen2": newer(1),
}


def match(items, text, at):
    """Backtracking over greedy items, as a regular expression engine does it; the end or None."""
    if not items:
        return at
    if items[0] is NOT_BEFORE_NON_SPACE:
        blocked = at < len(text) and not is_space(text[at])
        return None if blocked else match(items[1:], text, at)
    accepts, least, most = items[0]
    end = at
    while end < len(text) and (most is None or end - at < most) and accepts(text[end]):
        end += 1
    while end >= at + least:
        found = match(items[1:], text, end)
        if found is not None:
            return found
        end -= 1
    return None


def plain_words(name, text):
    at = 0
    while at < len(text):
        for alternative in ALTERNATIVES[name]:
            end = match(alternative, text, at)
            if end is not None:
                break
        yield len(text[at:end].encode())
        at = end


class Oniguruma:
    class Region(ctypes.Structure):
        _fields_ = [("allocated", ctypes.c_int), ("n", ctypes.c_int),
                    ("begin", ctypes.POINTER(ctypes.c_int)), ("end", ctypes.POINTER(ctypes.c_int))]

    def __init__(self):
        self.library = ctypes.CDLL("libonig.so.5")
        self.utf8 = ctypes.c_void_p(
            ctypes.addressof(ctypes.c_char.in_dll(self.library, "OnigEncodingUTF8")))
        self.library.onig_initialize((ctypes.c_void_p * 1)(self.utf8), 1)
        self.library.onig_region_new.restype = ctypes.POINTER(self.Region)
        self.region = self.library.onig_region_new()
        self.compiled = {}

    def compile(self, pattern):
        if pattern not in self.compiled:
            source = pattern.encode()
            memory = ctypes.create_string_buffer(source, len(source) + 1)
            address = ctypes.addressof(memory)
            regex = ctypes.c_void_p()
            code = self.library.onig_new(
                ctypes.byref(regex), ctypes.c_void_p(address),
                ctypes.c_void_p(address + len(source)), 0, self.utf8,
                ctypes.c_void_p.in_dll(self.library, "OnigDefaultSyntax"),
                ctypes.create_string_buffer(64))
            if code != 0:
                raise ValueError(f"{pattern}: {code}")
            self.compiled[pattern] = (regex, memory)
        return self.compiled[pattern][0]

    def matches(self, pattern, text):
        """As the Rust binding iterates: no empty match right behind another match."""
        regex = self.compile(pattern)
        memory = ctypes.create_string_buffer(text, len(text) + 1)
        address = ctypes.addressof(memory)
        end_of_text = ctypes.c_void_p(address + len(text))
        at, last = 0, None
        while at <= len(text):
            if self.library.onig_search(regex, ctypes.c_void_p(address), end_of_text,
                                        ctypes.c_void_p(address + at), end_of_text, self.region,
                                        0) < 0:
                return
            begin, end = self.region.contents.begin[0], self.region.contents.end[0]
            if begin == end == last:
                at += 1
                while at < len(text) and text[at] & 0xc0 == 0x80:
                    at += 1
                continue
            at = last = end
            yield begin, end

    def words(self, name, text):
        pattern = bytes.fromhex(name[3:]).decode() if name.startswith("re:") else PATTERNS[name]
        data = text.encode()
        at = 0
        for begin, end in self.matches(pattern, data):
            yield from (n for n in (begin - at, end - begin) if n)
            at = end
        if at < len(data):
            yield len(data) - at


def main():
    words = plain_words
    if sys.argv[1:] == ["--engine", "onig"]:
        try:
            words = Oniguruma().words
        except OSError:
            return 77
    for line in sys.stdin:
        name, _, text = line.strip("\n").partition(" ")
        print(*words(name, bytes.fromhex(text).decode()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
