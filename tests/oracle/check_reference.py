#!/usr/bin/env python3
"""Our logits against reference_forward.py for every small preset of tools/synth_model, and whether
the weights are what the other tests rely on. Prints TAP.

    check_reference.py BUILD N_SEEDS        seeds 1 to N_SEEDS, none left out
"""
import filecmp
import os
import subprocess
import sys
import tempfile

try:
    import numpy as np

    import reference_forward as reference
except ImportError:
    print("1..0 # SKIP numpy is not installed")
    sys.exit(0)

# The tolerance for plain float weights, as a share of the range of logits. Both sides round keys
# and values to half precision; now and then they differ in the last bit of one.
TOLERANCE = 1e-3
TOKENS = np.array([(i * i * 7 + 13 * i) % 700 for i in range(200)])


class Tap:
    def __init__(self):
        self.n, self.failed = 0, 0

    def check(self, passed, what, detail=""):
        self.n += 1
        self.failed += not passed
        print(f"{'ok' if passed else 'not ok'} {self.n} - {what}")
        if detail:
            print(f"# {detail}")


def make(build, path, preset, *flags):
    tool = os.path.join(build, "tools", "synth_model")
    subprocess.run([tool, "--preset", preset, *flags, "-o", path], check=True)


def our_logits(build, folder, model, shape):
    tokens, out = os.path.join(folder, "tokens"), os.path.join(folder, "out")
    with open(tokens, "w", encoding="ascii") as file:
        file.write(" ".join(map(str, TOKENS)))
    tool = os.path.join(build, "tests", "oracle", "llama", "logits_tool")
    subprocess.run([tool, model, tokens, out, "--chunk", "77"], check=True)
    return np.fromfile(out, "<f4").astype(np.float64).reshape(shape)


def worst_share(ours, theirs):
    difference = ours - theirs
    difference -= difference.mean(axis=1, keepdims=True)
    return (abs(difference).max(axis=1) / np.ptp(theirs, axis=1)).max()


def check_logits(tap, build, folder, preset, seed):
    path = os.path.join(folder, "model.gguf")
    make(build, path, preset, "--type", "F32", "--seed", str(seed))
    model = reference.Model(reference.Gguf(path), kv_half=True)
    theirs = model.forward(TOKENS)
    share = worst_share(our_logits(build, folder, path, theirs.shape), theirs)
    tap.check(share <= TOLERANCE,
              f"{preset} {seed}: logits are those of the textbook in double precision",
              f"off by {share:.1e} of the range")
    return model, theirs


def check_weights(tap, preset, models):
    """What synth_weights.h promises, of a preset's models and their logits. The mean of all: at
    some width of a model chance decides how much the layers add, so a single one may stray."""
    spread = np.mean([logits.std(axis=1).mean() for _, logits in models])
    highest = 4 if "narrow" in preset else 3  # 64 channels, of which two are loud
    tap.check(2 <= spread <= highest, f"{preset}: logits spread by 2 to {highest}", f"{spread:.2f}")
    loudness, weights = [], []
    for model, logits in models:
        top = logits.argmax(axis=1)
        tap.check(len(set(top)) >= 50 and np.mean(top == TOKENS) < 0.15,
                  f"{preset}: the most probable token depends on what was read",
                  f"{len(set(top))} different ones")
        channels = np.sort(reference.rms(model.stats[-1]["residual"], axis=0))
        loudness.append(channels[-2:] / np.median(channels))  # of the embedding, of the first layer
        weights.append(model.stats[len(model.stats) // 2]["weights"][:, 100:, :].max(axis=-1))
    loudness = np.mean(loudness, axis=0)
    tap.check(35 <= loudness[0] and loudness[1] <= 90,
              f"{preset}: two channels are about 50 times the others",
              f"{loudness[0]:.0f} and {loudness[1]:.0f} times")
    weight = np.quantile(np.concatenate(weights), 0.9)
    tap.check(weight >= 0.2, f"{preset}: attention is not uniform",
              f"a tenth of the queries give one position {weight:.2f} or more")


def check_determinism(tap, build, folder):
    one, two, other = (os.path.join(folder, name) for name in ("one", "two", "other"))
    make(build, one, "qwen2-odd-tiny", "--type", "Q4_K_M", "--threads", "1")
    make(build, two, "qwen2-odd-tiny", "--type", "Q4_K_M", "--threads", "3")
    make(build, other, "qwen2-odd-tiny", "--type", "Q4_K_M", "--seed", "2")
    tap.check(filecmp.cmp(one, two, shallow=False), "the number of threads changes no byte")
    tap.check(not filecmp.cmp(one, other, shallow=False), "the seed changes the weights")
    check_stock(tap, build, folder)


def check_stock(tap, build, folder):
    """Rows from a stock: the same file for any number of threads, blocks of the same weights in
    F32, and logits that spread as they should."""
    one, two, plain = (os.path.join(folder, name) for name in ("one", "two", "plain"))
    model = ("qwen2-odd-tiny", "--fast")
    make(build, one, *model, "--type", "Q4_K_M", "--threads", "1")
    make(build, two, *model, "--type", "Q4_K_M", "--threads", "3")
    tap.check(filecmp.cmp(one, two, shallow=False),
              "the number of threads changes no byte of --fast")
    make(build, plain, *model, "--type", "F32")
    program = os.path.join(build, "src", "app", "tokenworks")
    subprocess.run([program, "model", "quantize", plain, two, "Q4_K_M", "--force"], check=True)
    same = np.array_equal(*(np.fromfile(path, np.uint8)[-(1 << 20):] for path in (one, two)))
    tap.check(same, "--fast writes the blocks of the weights that it writes as F32")
    logits = reference.Model(reference.Gguf(plain), kv_half=True).forward(TOKENS)
    spread = logits.std(axis=1).mean()
    tap.check(1.8 <= spread <= 3.2 and len(set(logits.argmax(axis=1))) >= 50,
              "--fast makes models of the same kind", f"{spread:.2f}")


def main():
    build, n_seeds, tap = sys.argv[1], int(sys.argv[2]), Tap()
    listing = subprocess.run([os.path.join(build, "tools", "synth_model"), "--list"], check=True,
                             capture_output=True, text=True).stdout
    presets = [line.split()[0] for line in listing.splitlines() if "tiny" in line.split()[0]]
    with tempfile.TemporaryDirectory(dir=build) as folder:
        for preset in presets:
            models = [check_logits(tap, build, folder, preset, seed + 1) for seed in range(n_seeds)]
            check_weights(tap, preset, models)
        check_determinism(tap, build, folder)
    print(f"1..{tap.n}")
    sys.exit(tap.failed > 0)


if __name__ == "__main__":
    main()
