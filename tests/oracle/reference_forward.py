#!/usr/bin/env python3
"""The forward pass of llama, qwen2, qwen3 and qwen3moe in double precision, written for reading.

Knows nothing of the program it checks: it reads the GGUF file by itself (unquantised tensors only),
computes every position at once without a cache, and uses the textbook form of each step.

    reference_forward.py MODEL.gguf TOKENS OUT     TOKENS: text file of ids; OUT: f64 logits
    reference_forward.py MODEL.gguf TOKENS --stats what a test wants to know about the weights

Keys and values are rounded to half precision as a cache would (--kv f32: they are not).
"""
import argparse
import math
import struct
import sys

import numpy as np

SCALARS = dict(zip((0, 1, 2, 3, 4, 5, 6, 7, 10, 11, 12), "BbHhIif?Qqd"))
STRING, ARRAY = 8, 9
F32, F16, BF16 = 0, 1, 30


class Gguf:
    """Metadata and tensors of one file; tensors come as f64."""

    def __init__(self, path):
        self.bytes = np.memmap(path, dtype=np.uint8, mode="r")
        self.at = 0
        magic, version, n_tensors, n_keys = struct.unpack("<4sIQQ", self.take(24))
        if magic != b"GGUF" or version not in (2, 3):
            sys.exit(f"{path}: not a GGUF file of version 2 or 3")
        self.keys = {}
        for _ in range(n_keys):
            key = self.string()
            self.keys[key] = self.value(self.scalar(4))
        self.infos = {}
        for _ in range(n_tensors):
            name = self.string()
            shape = [self.scalar(10) for _ in range(self.scalar(4))]
            kind, offset = self.scalar(4), self.scalar(10)
            self.infos[name] = (shape, kind, offset)
        alignment = self.keys.get("general.alignment", 32)
        self.data = (self.at + alignment - 1) // alignment * alignment

    def take(self, n):
        piece = self.bytes[self.at : self.at + n].tobytes()
        self.at += n
        return piece

    def scalar(self, kind):
        form = "<" + SCALARS[kind]
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def string(self):
        return self.take(self.scalar(10)).decode("utf-8", "replace")

    def value(self, kind):
        if kind == STRING:
            return self.string()
        if kind == ARRAY:
            item, n = self.scalar(4), self.scalar(10)
            return [self.value(item) for _ in range(n)]
        return self.scalar(kind)

    def tensor(self, name):
        if name not in self.infos:
            return None
        shape, kind, offset = self.infos[name]
        count = math.prod(shape)
        start = self.data + offset
        if kind == F32:
            values = self.bytes[start : start + 4 * count].view("<f4").astype(np.float64)
        elif kind == F16:
            values = self.bytes[start : start + 2 * count].view("<f2").astype(np.float64)
        elif kind == BF16:
            halves = self.bytes[start : start + 2 * count].view("<u2").astype(np.uint32) << 16
            values = halves.view("<f4").astype(np.float64)
        else:
            sys.exit(f"{name}: type {kind} is quantised; this program reads plain floats")
        return values.reshape(shape[::-1])


class Model:
    def __init__(self, gguf, kv_half):
        self.gguf = gguf
        self.arch = gguf.keys["general.architecture"]
        if self.arch not in ("llama", "qwen2", "qwen3", "qwen3moe"):
            sys.exit(f"architecture {self.arch} is not one of llama, qwen2, qwen3, qwen3moe")
        self.kv_half = kv_half
        self.n_layers = self.number("block_count")
        self.n_embed = self.number("embedding_length")
        self.n_heads = self.number("attention.head_count")
        self.n_kv_heads = self.number("attention.head_count_kv", self.n_heads)
        self.head_dim = self.number("attention.key_length", self.n_embed // self.n_heads)
        self.eps = np.float64(np.float32(self.number("attention.layer_norm_rms_epsilon")))
        self.stats = []

    def number(self, key, default=None):
        value = self.gguf.keys.get(f"{self.arch}.{key}", default)
        if value is None:
            sys.exit(f"{self.arch}.{key} is missing")
        return value

    def frequencies(self):
        """Angle per position of each rotated pair, and the factor on cosine and sine."""
        dims = self.number("rope.dimension_count", self.head_dim)
        base = self.number("rope.freq_base", 10000.0)
        pair = np.arange(dims // 2)
        frequency = base ** (-2.0 * pair / dims)
        factors = self.gguf.tensor("rope_freqs.weight")
        if factors is not None:
            frequency = frequency / factors
        kind = self.gguf.keys.get(f"{self.arch}.rope.scaling.type", "none")
        if kind == "none":
            return dims, frequency, 1.0
        factor = self.number("rope.scaling.factor")
        if kind == "linear":
            return dims, frequency / factor, 1.0
        return (dims, *self.yarn(dims, base, pair, frequency, factor))

    def yarn(self, dims, base, pair, frequency, factor):
        """Peng et al. 2023: pairs that turn often within the original context keep their angle,
        pairs that turn less than once are stretched by the factor, a ramp between."""
        context = self.number("rope.scaling.original_context_length")
        fast = self.gguf.keys.get(f"{self.arch}.rope.scaling.yarn_beta_fast", 32.0)
        slow = self.gguf.keys.get(f"{self.arch}.rope.scaling.yarn_beta_slow", 1.0)

        def pair_that_turns(times):
            return dims * math.log(context / (times * 2 * math.pi)) / (2 * math.log(base))

        low = max(math.floor(pair_that_turns(fast)), 0)
        high = min(math.ceil(pair_that_turns(slow)), dims - 1)
        ramp = np.clip((pair - low) / max(high - low, 0.001), 0, 1)
        blended = frequency / factor * ramp + frequency * (1 - ramp)
        return blended, 0.1 * math.log(factor) + 1.0

    def rotate(self, x, dims, frequency, factor):
        """x: [positions, heads, head_dim]. Llama files hold rotated pairs side by side, the others
        half a head apart."""
        angle = np.arange(x.shape[0])[:, None] * frequency
        cos, sin = factor * np.cos(angle)[:, None, :], factor * np.sin(angle)[:, None, :]
        turned = x.copy()
        if self.arch == "llama":
            first, second = slice(0, dims, 2), slice(1, dims, 2)
        else:
            first, second = slice(0, dims // 2), slice(dims // 2, dims)
        turned[..., first] = x[..., first] * cos - x[..., second] * sin
        turned[..., second] = x[..., first] * sin + x[..., second] * cos
        return turned

    def norm(self, x, weight):
        return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + self.eps) * weight

    def project(self, x, name):
        y = x @ self.gguf.tensor(name + ".weight").T
        bias = self.gguf.tensor(name + ".bias")
        return y if bias is None else y + bias

    def attention(self, x, layer):
        n = x.shape[0]
        heads = {}
        for name, count in (("q", self.n_heads), ("k", self.n_kv_heads), ("v", self.n_kv_heads)):
            y = self.project(x, f"blk.{layer}.attn_{name}").reshape(n, count, self.head_dim)
            weight = self.gguf.tensor(f"blk.{layer}.attn_{name}_norm.weight")
            heads[name] = y if weight is None else self.norm(y, weight)
        rope = self.frequencies()
        q, k, v = self.rotate(heads["q"], *rope), self.rotate(heads["k"], *rope), heads["v"]
        if self.kv_half:
            k, v = k.astype(np.float16).astype(np.float64), v.astype(np.float16).astype(np.float64)
        group = self.n_heads // self.n_kv_heads
        k, v = np.repeat(k, group, axis=1), np.repeat(v, group, axis=1)
        scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(self.head_dim)
        scores = np.where(np.tri(n, dtype=bool), scores, -np.inf)
        weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
        weights /= weights.sum(axis=-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", weights, v).reshape(n, -1)
        self.note(layer, scores=scores, weights=weights, mixed=mixed)
        return self.project(mixed, f"blk.{layer}.attn_output")

    def experts(self, x, layer):
        """Every position goes through the experts of its largest probabilities, which are made to
        add up to one; equal ones go to the lower number."""
        gates, ups, downs = (self.gguf.tensor(f"blk.{layer}.ffn_{name}_exps.weight")
                             for name in ("gate", "up", "down"))
        logits = x @ self.gguf.tensor(f"blk.{layer}.ffn_gate_inp.weight").T
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        shares /= shares.sum(axis=1, keepdims=True)
        y, inners, n_used = np.zeros_like(x), [], self.number("expert_used_count")
        for position, share in enumerate(shares):
            chosen = np.argsort(-share, kind="stable")[:n_used]
            for expert in chosen:
                gate, up = gates[expert] @ x[position], ups[expert] @ x[position]
                inner = gate / (1 + np.exp(-gate)) * up
                y[position] += share[expert] / share[chosen].sum() * (downs[expert] @ inner)
                inners.append(inner)
        self.note(layer, inner=np.array(inners), shares=shares)
        return y

    def feed_forward(self, x, layer):
        gate, up = self.project(x, f"blk.{layer}.ffn_gate"), self.project(x, f"blk.{layer}.ffn_up")
        inner = gate / (1 + np.exp(-gate)) * up
        self.note(layer, gate=gate, inner=inner)
        return self.project(inner, f"blk.{layer}.ffn_down")

    def forward(self, tokens):
        embedding = self.gguf.tensor("token_embd.weight")
        x = embedding[tokens]
        for layer in range(self.n_layers):
            normed = self.norm(x, self.gguf.tensor(f"blk.{layer}.attn_norm.weight"))
            self.note(layer, residual=x, normed=normed)
            attention = self.attention(normed, layer)
            x = x + attention
            normed = self.norm(x, self.gguf.tensor(f"blk.{layer}.ffn_norm.weight"))
            ffn = (self.experts if self.arch == "qwen3moe" else self.feed_forward)(normed, layer)
            self.note(layer, attention=attention, ffn=ffn)
            x = x + ffn
        x = self.norm(x, self.gguf.tensor("output_norm.weight"))
        head = self.gguf.tensor("output.weight")
        return x @ (embedding if head is None else head).T

    def note(self, layer, **values):
        while len(self.stats) <= layer:
            self.stats.append({})
        self.stats[layer].update(values)


def rms(x, axis=None):
    return np.sqrt(np.mean(x * x, axis=axis))


def print_stats(model, tokens, logits):
    for layer, seen in enumerate(model.stats):
        channels = rms(seen["residual"], axis=0)
        typical = np.median(channels)
        n = seen["weights"].shape[1]
        scores = np.where(np.tri(n, dtype=bool), seen["scores"], np.nan)
        spread = np.nanmean(np.nanstd(scores[:, n // 2 :, :], axis=-1))
        top = np.mean(seen["weights"][:, n // 2 :, :].max(axis=-1))
        print(
            f"layer {layer}: residual {rms(seen['residual']):.3f}, ordinary channel {typical:.3f}, "
            f"loudest {channels.max() / typical:.1f} times; "
            f"normed {np.median(rms(seen['normed'], axis=0)):.2f}; "
            f"scores spread {spread:.2f}, top weight {top:.2f}, mixed {rms(seen['mixed']):.2f}; "
            f"inner {rms(seen['inner']):.2f}; "
            f"attention adds {np.median(rms(seen['attention'], axis=0)) / typical:.2f}, "
            f"ffn {np.median(rms(seen['ffn'], axis=0)) / typical:.2f}"
        )
    top = logits.argmax(axis=1)
    print(
        f"logits: deviation {logits.std(axis=1).mean():.3f}, "
        f"range {(logits.max(axis=1) - logits.min(axis=1)).mean():.2f}, "
        f"{len(set(top))} different tops in {len(top)}, "
        f"own token on top {np.mean(top == tokens):.3f}"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("tokens")
    parser.add_argument("out", nargs="?")
    parser.add_argument("--kv", choices=("f16", "f32"), default="f16")
    parser.add_argument("--stats", action="store_true")
    options = parser.parse_args()
    with open(options.tokens, encoding="ascii") as file:
        tokens = np.array([int(word) for word in file.read().split()])
    model = Model(Gguf(options.model), options.kv == "f16")
    logits = model.forward(tokens)
    if options.stats:
        print_stats(model, tokens, logits)
    if options.out:
        logits.astype("<f8").tofile(options.out)


if __name__ == "__main__":
    main()
