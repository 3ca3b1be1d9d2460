#!/usr/bin/env python3
"""Our logits against reference_forward.py for every small preset of tools/synth_model, and whether
the weights are what the other tests rely on. Prints TAP.

    check_reference.py BUILD
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

# Both round keys and values to half precision; now and then they differ in the last bit of one.
TOLERANCE = 5e-4
SEED = {"qwen2-yarn-tiny": 3, "llama-narrow-tiny": 2, "llama2-tiny": 3}
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


def check_logits(tap, build, folder, preset):
    path = os.path.join(folder, "model.gguf")
    make(build, path, preset, "--type", "F32", "--seed", str(SEED.get(preset, 1)))
    model = reference.Model(reference.Gguf(path), kv_half=True)
    theirs = model.forward(TOKENS)
    share = worst_share(our_logits(build, folder, path, theirs.shape), theirs)
    tap.check(share <= TOLERANCE, f"{preset}: logits are those of the textbook in double precision",
              f"off by {share:.1e} of the range")
    return model, theirs


def check_weights(tap, preset, model, logits):
    """What synth_weights.h promises."""
    spread = logits.std(axis=1).mean()
    top = logits.argmax(axis=1)
    tap.check(1.8 <= spread <= 3.5, f"{preset}: logits spread by 2 to 3", f"{spread:.2f}")
    tap.check(len(set(top)) >= 50 and np.mean(top == TOKENS) < 0.1,
              f"{preset}: the most probable token depends on what was read")
    middle = model.stats[len(model.stats) // 2]
    channels = reference.rms(middle["residual"], axis=0)
    loudness = channels.max() / np.median(channels)
    tap.check(35 <= loudness <= 90, f"{preset}: one channel is about 50 times the others",
              f"{loudness:.0f} times")
    weights = middle["weights"][:, 100:, :].max(axis=-1)
    tap.check(np.quantile(weights, 0.9) >= 0.2, f"{preset}: attention is not uniform",
              f"a tenth of the queries give one position {np.quantile(weights, 0.9):.2f} or more")


def check_determinism(tap, build, folder):
    one, two, other = (os.path.join(folder, name) for name in ("one", "two", "other"))
    make(build, one, "qwen2-odd-tiny", "--type", "Q4_K_M", "--threads", "1")
    make(build, two, "qwen2-odd-tiny", "--type", "Q4_K_M", "--threads", "3")
    make(build, other, "qwen2-odd-tiny", "--type", "Q4_K_M", "--seed", "2")
    tap.check(filecmp.cmp(one, two, shallow=False), "the number of threads changes no byte")
    tap.check(not filecmp.cmp(one, other, shallow=False), "the seed changes the weights")


def main():
    build, tap = sys.argv[1], Tap()
    listing = subprocess.run([os.path.join(build, "tools", "synth_model"), "--list"], check=True,
                             capture_output=True, text=True).stdout
    presets = [line.split()[0] for line in listing.splitlines() if "tiny" in line.split()[0]]
    with tempfile.TemporaryDirectory(dir=build) as folder:
        for preset in presets:
            model, logits = check_logits(tap, build, folder, preset)
            check_weights(tap, preset, model, logits)
        check_determinism(tap, build, folder)
    print(f"1..{tap.n}")
    sys.exit(tap.failed > 0)


if __name__ == "__main__":
    main()
