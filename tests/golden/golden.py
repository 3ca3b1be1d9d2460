"""What the golden tests share: cases reported as TAP, running the program, and models to run.

A case is a function whose name says what would break. Cases that need the shared model are skipped
where TW_SHARED does not have it.
"""
import argparse
import os
import re
import signal
import struct
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

LEVELS = ["ref", "avx2", "avx512"]


class Skip(Exception):
    """The case cannot run here; the text says why."""


class Program:
    """The program under test and a scratch folder."""

    def __init__(self, path, synth_model, folder):
        self.path = str(Path(path).resolve())
        self.synth_model = str(Path(synth_model).resolve())
        self.folder = Path(folder)

    def start(self, *words, env=None, **more):
        environment = dict(os.environ, XDG_CACHE_HOME=str(self.folder / "cache"), **(env or {}))
        return subprocess.Popen([self.path, *map(str, words)], cwd=self.folder, env=environment,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)

    def run(self, *words, stdin=b"", env=None):
        """(exit code, standard output, standard error), the last two as bytes."""
        process = self.start(*words, env=env, stdin=subprocess.PIPE)
        out, err = process.communicate(stdin, timeout=300)
        return process.returncode, out, err

    def good(self, *words, **more):
        """Standard output of a run that must succeed without a word on standard error."""
        code, out, err = self.run(*words, **more)
        assert code == 0, f"exit code {code}: {err.decode(errors='replace')}"
        assert err == b"", f"standard error is not empty: {err.decode(errors='replace')}"
        return out

    def synthesise(self, name, preset="tiny", weights="F16", form="gguf"):
        """Makes a tiny model that says something else to every prompt."""
        subprocess.run([self.synth_model, "--preset", preset, "--type", weights, "--format", form,
                        "-o", name],
                       cwd=self.folder, check=True, stdout=subprocess.DEVNULL)

    def levels(self):
        """Instruction sets this machine can run."""
        code, out, _ = self.run("version", env={"TW_CPU": ""})
        best = re.search(r"the machine can run (\w+)", out.decode())[1]
        assert code == 0
        return LEVELS[: LEVELS.index(best) + 1]


STORY_FOLDER = tempfile.TemporaryDirectory()


def story_model():
    """The tiny model with real weights, by a link: what is kept beside it stays here."""
    path = Path(os.environ.get("TW_SHARED", ""), "testdata", "stories260K.gguf")
    if not os.environ.get("TW_SHARED") or not path.is_file():
        raise Skip("TW_SHARED has no testdata/stories260K.gguf")
    link = Path(STORY_FOLDER.name, "story.gguf")
    if not link.exists():
        link.symlink_to(path)
    return link


# ---- models made here: GGUF v3, architecture llama, weights that mean nothing ----

GGUF_TYPES = {int: (4, "<I"), float: (6, "<f"), bool: (7, "<?")}
F32 = 0
ALIGNMENT = 32


def gguf_string(text):
    data = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(data)) + data


def gguf_value(value):
    if isinstance(value, str):
        return struct.pack("<I", 8) + gguf_string(value)
    if isinstance(value, list):
        kind = type(value[0])
        if kind in (str, bytes):
            body = struct.pack("<I", 8) + struct.pack("<Q", len(value))
            return struct.pack("<I", 9) + body + b"".join(map(gguf_string, value))
        number, form = (5, "<i") if kind is int else GGUF_TYPES[kind]
        body = struct.pack("<I", number) + struct.pack("<Q", len(value))
        return struct.pack("<I", 9) + body + b"".join(struct.pack(form, v) for v in value)
    number, form = GGUF_TYPES[type(value)]
    return struct.pack("<I", number) + struct.pack(form, value)


def vocabulary():
    """(tokens, kinds, scores): SentencePiece with all bytes, a few words, and ChatML's markers."""
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)]
    kinds = [2, 3, 3] + [6] * 256
    for marker in ("<|im_start|>", "<|im_end|>"):
        tokens.append(marker)
        kinds.append(3)
    tokens += ["\u2581"] + [chr(c) for c in range(33, 127)]
    tokens += ["\u2581the", "\u2581a", "he", "th", "in", "\u2581w", "er", "on", "re", "\u2581s"]
    kinds += [1] * (len(tokens) - len(kinds))
    return tokens, kinds, [0.0 if k != 1 else -float(i) for i, k in enumerate(kinds)]


def weights(path_seed, n_bytes):
    """Small numbers without pattern, cheap to make: a block of them, repeated."""
    block, state = [], path_seed
    for _ in range(4099):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        block.append(((state >> 40) / 2**24 - 0.5) * 0.2)
    data = struct.pack(f"<{len(block)}f", *block)
    return (data * (n_bytes // len(data) + 1))[:n_bytes]


def chain_rows(n_tokens, n_embd, ids):
    """(embedding, head): after token ids[i] comes ids[i + 1], whatever stood before."""
    embedding, head = ([[0.0] * n_embd for _ in range(n_tokens)] for _ in range(2))
    for i, (token, following) in enumerate(zip(ids, ids[1:])):
        embedding[token][i] = 1.0
        head[following][i] = 1.0
    return [struct.pack(f"<{n_tokens * n_embd}f", *sum(m, [])) for m in (embedding, head)]


def pieces(text, size=4):
    """A text as what a model recites: different pieces of three characters or more, so that no two
    tokens of the vocabulary make one."""
    parts = []
    while text:
        n = size
        while text[:n] in parts:
            n += 1
        n = n if len(text) - n >= 3 else len(text)
        parts.append(text[:n])
        text = text[n:]
    return [(part, 1) for part in parts]


def make_model(path, n_embd=64, n_layers=2, n_ff=128, n_ctx=4096, chatml=True, sparse=False,
               recites=None, template=None):
    """Writes a model. sparse: weights are holes in the file, zeros without blocks on disk.
    recites: [(text, kind of token)], what the model answers to everything, then it ends.
    template: its chat template, or None."""
    tokens, kinds, scores = vocabulary()
    for text, kind in recites or []:
        tokens.append(text.replace(" ", "\u2581"))
        kinds.append(kind)
        scores.append(-1e6)
    if not chatml:
        tokens = [t.replace("|", "!") if t.startswith("<|") else t for t in tokens]
    metadata = {
        "general.architecture": "llama", "general.name": "made for a test",
        "llama.block_count": n_layers, "llama.context_length": n_ctx,
        "llama.embedding_length": n_embd, "llama.feed_forward_length": n_ff,
        "llama.attention.head_count": 4, "llama.attention.head_count_kv": 2,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": n_embd // 4, "llama.rope.freq_base": 10000.0,
        "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.scores": scores, "tokenizer.ggml.token_type": kinds,
        "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_bos_token": True,
        **({} if template is None else {"tokenizer.chat_template": template}),
    }
    shapes = {"token_embd.weight": (n_embd, len(tokens)), "output_norm.weight": (n_embd,),
              "output.weight": (n_embd, len(tokens))}
    for i in range(n_layers):
        for name, shape in {
            "attn_norm": (n_embd,), "attn_q": (n_embd, n_embd), "attn_k": (n_embd, n_embd // 2),
            "attn_v": (n_embd, n_embd // 2), "attn_output": (n_embd, n_embd),
            "ffn_norm": (n_embd,), "ffn_gate": (n_embd, n_ff), "ffn_up": (n_embd, n_ff),
            "ffn_down": (n_ff, n_embd),
        }.items():
            shapes[f"blk.{i}.{name}.weight"] = shape
    chain = {}
    if recites is not None:
        newline, end = tokens.index("<0x0A>"), tokens.index("<|im_end|>")
        first = len(tokens) - len(recites)
        rows = chain_rows(len(tokens), n_embd, [newline, *range(first, len(tokens)), end])
        chain = dict(zip(("token_embd.weight", "output.weight"), rows))
    head = struct.pack("<IIQQ", 0x46554747, 3, len(shapes), len(metadata))
    head += b"".join(gguf_string(k) + gguf_value(v) for k, v in metadata.items())
    offset, places = 0, []
    for name, shape in shapes.items():
        n_bytes = 4
        for n in shape:
            n_bytes *= n
        places.append((name, shape, n_bytes))
        head += gguf_string(name) + struct.pack("<I", len(shape))
        head += b"".join(struct.pack("<Q", n) for n in shape) + struct.pack("<IQ", F32, offset)
        offset += -(-n_bytes // ALIGNMENT) * ALIGNMENT
    with open(path, "wb") as out:
        out.write(head + b"\0" * (-len(head) % ALIGNMENT))
        if sparse:
            out.truncate(out.tell() + offset)
        else:
            for i, (name, shape, n_bytes) in enumerate(places):
                ones = struct.pack(f"<{n_bytes // 4}f", *[1.0] * (n_bytes // 4))
                if len(shape) == 1:
                    out.write(ones)
                elif chain:
                    out.write(chain.get(name, b"\0" * n_bytes))
                else:
                    out.write(weights(i + 1, n_bytes))
                out.write(b"\0" * (-n_bytes % ALIGNMENT))
    return Path(path)


# ---- reporting ----

def hear_signals():
    """Who starts the tests in the background may have these ignored, and children inherit it."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def main(cases):
    hear_signals()
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("synth_model")
    options = parser.parse_args()
    failed = False
    print(f"1..{len(cases)}")
    for number, case in enumerate(cases, 1):
        name, note, good = case.__name__.replace("_", " "), "", True
        with tempfile.TemporaryDirectory() as folder:
            try:
                case(Program(options.program, options.synth_model, folder))
            except Skip as reason:
                note = f" # SKIP {reason}"
            except Exception:  # a case that breaks is a case that fails, whatever broke
                good, failed = False, True
                for line in traceback.format_exc().splitlines():
                    print(f"# {line}")
        print(f"{'ok' if good else 'not ok'} {number} - {name}{note}", flush=True)
    sys.exit(1 if failed else 0)
