"""Tokenizer training once more, from its plain definition: all pairs are counted again for every
merge. Prints TAP.

    bpe_train_reference.py TOKENWORKS

Each corpus is learnt by both, and the files must have the same vocabulary, merges and added tokens.
Words come from pretokenize_reference.py, which reads the pattern as plainly.
"""
import json
import random
import subprocess
import sys
import tempfile
import unicodedata
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "tokenizer"))
import pretokenize_reference  # noqa: E402

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
MARKERS = ["<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>"]
MOST_TOKEN_BYTES = 256
PRINTABLE = [*range(0x21, 0x7f), *range(0xa1, 0xad), *range(0xae, 0x100)]


def byte_alphabet():
    """byte -> character, in the order of the characters."""
    rest = [byte for byte in range(256) if byte not in PRINTABLE]
    pairs = [(byte, chr(byte)) for byte in PRINTABLE]
    return dict(pairs + [(byte, chr(0x100 + i)) for i, byte in enumerate(rest)])


def stretches(text):
    """The text between added tokens."""
    while text:
        found = [(text.find(token), -len(token)) for token in SPECIAL + MARKERS if token in text]
        if not found:
            yield text
            return
        at, length = min(found)
        yield text[:at]
        text = text[at - length:]


def word_counts(texts):
    counts = Counter()
    for text in texts:
        for stretch in stretches(text):
            data = unicodedata.normalize("NFC", stretch)
            raw, at = data.encode(), 0
            for length in pretokenize_reference.plain_words("qwen2", data):
                counts[raw[at:at + length]] += 1
                at += length
    return counts


def count_pairs(words):
    pairs = Counter()
    for symbols, count in words:
        for pair in zip(symbols, symbols[1:]):
            pairs[pair] += count
    return pairs


def merge(symbols, pair):
    out, i = [], 0
    while i < len(symbols):
        if tuple(symbols[i:i + 2]) == pair:
            out.append(symbols[i] + symbols[i + 1])
            i += 2
        else:
            out.append(symbols[i])
            i += 1
    return out


def train(texts, n_tokens):
    """(vocabulary as bytes, merges as pairs of bytes, tokens of the corpus, pairs passed over)."""
    words = [([bytes([b]) for b in word], count) for word, count in word_counts(texts).items()]
    vocabulary = [bytes([byte]) for byte in byte_alphabet()]
    ids = {token: i for i, token in enumerate(vocabulary)}
    merges, passed_over = [], 0
    while len(vocabulary) < n_tokens - len(SPECIAL + MARKERS):
        pairs = count_pairs(words)
        fresh = {pair: n for pair, n in pairs.items()
                 if n >= 2 and len(pair[0] + pair[1]) <= MOST_TOKEN_BYTES
                 and pair[0] + pair[1] not in ids}
        passed_over += sum(pair[0] + pair[1] in ids for pair in pairs)
        if not fresh:
            break
        best = min(fresh, key=lambda pair: (-fresh[pair], ids[pair[0]], ids[pair[1]]))
        ids[best[0] + best[1]] = len(vocabulary)
        vocabulary.append(best[0] + best[1])
        merges.append(best)
        words = [(merge(symbols, best), count) for symbols, count in words]
    return vocabulary, merges, sum(len(s) * n for s, n in words), passed_over


def as_file(vocabulary, merges):
    """The parts of a tokenizer.json that training decides."""
    alphabet = byte_alphabet()

    def spell(token):
        return "".join(alphabet[byte] for byte in token)
    first = len(vocabulary)
    added = [(first + i, token, token in SPECIAL) for i, token in enumerate(SPECIAL + MARKERS)]
    return ({spell(token): i for i, token in enumerate(vocabulary)},
            [f"{spell(left)} {spell(right)}" for left, right in merges], added)


def read_file(path):
    file = json.loads(Path(path).read_text(encoding="utf-8"))
    added = [(t["id"], t["content"], t["special"]) for t in file["added_tokens"]]
    return file["model"]["vocab"], file["model"]["merges"], added


# ---- corpora ----

PROSE = """The order of 12 blue chairs ships on Monday. It's what we'd said, isn't it?
    def f(x):\n        return x + x  # twice\n\n\nGrösse, naïve café, Cafe\u0301, A\u030a, 今天天气很好,
我们去公园玩吧! 😀😃😄 the then there these them they  \t the\r\n1234567890 10 100 1000 ========
<|im_start|>user\nWhat <tool_call>{"name": "weather"}</tool_call> and <|endoftext|> is <|im_end|>
"""


def random_words(seed, letters, n_words, most):
    rng = random.Random(seed)
    return " ".join("".join(rng.choice(letters) for _ in range(1 + rng.randrange(most)))
                    for _ in range(n_words))


def corpora():
    """(what, file name, content, texts, size of the vocabulary)."""
    yield "prose", "a.txt", PROSE * 3, [PROSE * 3], 420
    yield "one letter, runs of it", "b.txt", random_words(1, "a", 60, 40), None, 320
    yield "a run longer than a token may be", "c.txt", "-" * 2000 + "\n" + "-" * 2000, None, 300
    for seed in range(12):
        letters = ["ab", "abc", "aab", "xyzw é"][seed % 4]
        text = random_words(seed + 10, letters, 40 + 40 * seed, 4 + 3 * seed)
        yield f"words of '{letters}', seed {seed}", "d.txt", text, None, 300 + 10 * seed
    rows = [{"messages": [{"role": "user", "content": "What is a token?"},
                          {"role": "assistant", "content": "A token is a piece of text."}]},
            {"text": "A text is a text."}]
    rows = [row for row in rows for _ in range(3)]
    texts = [text for row in rows for text in
             ([row["text"]] if "text" in row else
              [f"{m['role']}\n{m['content']}" for m in row["messages"]])]
    yield "rows", "e.jsonl", "".join(json.dumps(row) + "\n" for row in rows), texts, 400


def check(tokenworks, folder, name, content, texts, n_tokens):
    """A sentence about what differs, or about what was compared, and whether all is well."""
    path, out = Path(folder, name), Path(folder, "tokenizer.json")
    path.write_bytes(content.encode())
    run = subprocess.run([tokenworks, "train", "tokenizer", "--corpus", path, "--vocab",
                          str(n_tokens), "-o", out, "--force"], capture_output=True, check=True)
    vocabulary, merges, n_in_words, passed_over = train(texts or [content], n_tokens)
    ours, theirs = read_file(out), as_file(vocabulary, merges)
    for what, a, b in zip(("vocabulary", "merges", "added tokens"), ours, theirs):
        if a != b:
            differing = [pair for pair in zip(list(a), list(b)) if pair[0] != pair[1]][:3]
            return f"{what}: {len(a)} and {len(b)}, first {differing}", False
    n_added = sum((texts and "".join(texts) or content).count(t) for t in SPECIAL + MARKERS)
    told = run.stdout.decode().rsplit("; ", 1)[1].split()[0]
    size = len("".join(texts or [content]).encode())
    expected = f"{size / (n_in_words + n_added):.2f}"
    return (f"{len(merges)} merges, {passed_over} pairs passed over, {told} bytes a token",
            len(merges) >= 10 and told == expected)


def main():
    cases = list(corpora())
    print(f"1..{len(cases)}")
    failed = False
    with tempfile.TemporaryDirectory() as folder:
        for number, (what, *case) in enumerate(cases, 1):
            detail, good = check(sys.argv[1], folder, *case)
            failed = failed or not good
            print(f"{'ok' if good else 'not ok'} {number} - {what}: the merges are the plain "
                  f"definition's\n# {detail}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main())
