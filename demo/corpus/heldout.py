"""What the training data must not contain: the held-out prompts.

A user message is compared as its words in lower case. It is forbidden when it equals the last user
message of a held-out row, or when it shares eight words in a row with one, field values apart.
"""
import json
import re

WORDS = re.compile(r"[a-z0-9]+")
N_WORDS = 8


def words_of(text):
    return WORDS.findall(text.lower())


def grams_of(words):
    return {" ".join(words[i:i + N_WORDS]) for i in range(len(words) - N_WORDS + 1)}


def last_user(row):
    return [m["content"] for m in row["messages"] if m["role"] == "user"][-1]


def row_grams(row):
    """The runs of eight words of a row's last user message that do not touch a field value."""
    values = sorted((str(v).lower() for v in row.get("values", [])), key=len, reverse=True)
    text = last_user(row).lower()
    pieces = [text]
    if any(values):
        cut = "|".join(rf"(?<![a-z0-9]){re.escape(v)}(?![a-z0-9])" for v in values if v)
        pieces = re.split(cut, text)
    return set().union(*(grams_of(words_of(piece)) for piece in pieces))


class HeldOut:
    """The prompts of some files of held-out rows."""

    def __init__(self, paths):
        self.messages, self.grams = set(), set()
        for path in paths:
            with open(path, encoding="utf-8") as lines:
                for row in map(json.loads, lines):
                    self.messages.add(" ".join(words_of(last_user(row))))
                    self.grams |= row_grams(row)

    def forbids(self, text):
        words = words_of(text)
        if " ".join(words) in self.messages:
            return True
        grams = self.grams
        return any(" ".join(words[i:i + N_WORDS]) in grams
                   for i in range(len(words) - N_WORDS + 1))
