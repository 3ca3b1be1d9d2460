#!/usr/bin/env python3
"""The published shapes, as files of tools/synth_model have them. Prints TAP.

    check_presets.py BUILD

The numbers below are those of the models' config.json. A file of one layer is enough to see all of
them but the number of layers, which the tool lists.
"""
import json
import math
import os
import subprocess
import sys
import tempfile

KEYS = ("architecture", "n_embed", "n_heads", "n_kv_heads", "head_dim", "n_ffn", "n_vocab",
        "n_context_tokens", "rope_freq_base", "rope_scaling", "rope_factor", "has_qkv_bias",
        "has_qk_norm", "tied_head")
EXPERTS = ("n_experts", "n_experts_used", "n_expert_ffn")  # behind the others, where there are any
QWEN2 = ("none", 1, True, False)
QWEN3 = ("none", 1, False, True)

# layers; then the keys above
PRESETS = {
    "qwen2.5-0.5b": (24, "qwen2", 896, 14, 2, 64, 4864, 151936, 32768, 1e6, *QWEN2, True),
    "qwen2.5-1.5b": (28, "qwen2", 1536, 12, 2, 128, 8960, 151936, 32768, 1e6, *QWEN2, True),
    "qwen2.5-7b": (28, "qwen2", 3584, 28, 4, 128, 18944, 152064, 32768, 1e6, *QWEN2, False),
    "qwen3-0.6b": (28, "qwen3", 1024, 16, 8, 128, 3072, 151936, 40960, 1e6, *QWEN3, True),
    "qwen3-4b": (36, "qwen3", 2560, 32, 8, 128, 9728, 151936, 40960, 1e6, *QWEN3, True),
    "qwen3-30b-a3b": (48, "qwen3moe", 2048, 32, 4, 128, 6144, 151936, 40960, 1e6, *QWEN3, False,
                      128, 8, 768),
    "llama3.2-1b": (16, "llama", 2048, 32, 8, 64, 8192, 128256, 131072, 5e5, "llama3", 32, False,
                    False, True),
}


def llama3_factors():
    """Llama 3.2: 64 dimensions, base 500000, factor 32 beyond 8192 positions, bounds 1 and 4."""
    factors = []
    for i in range(32):
        turns = 8192 / (2 * math.pi * 5e5 ** (2 * i / 64))
        smooth = min(max((turns - 1) / 3, 0), 1)
        factors.append(1 / ((1 - smooth) / 32 + smooth))
    return factors


def report(number, faults, what):
    print(f"{'not ok' if faults else 'ok'} {number} - {what}", flush=True)
    for fault in faults:
        print(f"# {fault}")
    return bool(faults)


def faults_of_rope(path):
    try:
        import reference_forward
    except ImportError:
        return []
    tensor = reference_forward.Gguf(path).tensor("rope_freqs.weight")
    expected = llama3_factors()
    if tensor is None or len(tensor) != len(expected):
        return ["no rope_freqs.weight of 32"]
    return [f"factor {i}: {have:.6g}, not {want:.6g}"
            for i, (have, want) in enumerate(zip(tensor, expected)) if abs(have / want - 1) > 1e-6]


def faults_of(maker, program, path, preset):
    subprocess.run([maker, "--preset", preset, "--layers", "1", "--fast", "--pure",
                    "--type", "Q2_K", "-o", path], check=True)
    out = subprocess.run([program, "model", "inspect", path, "--json"], check=True,
                         capture_output=True, text=True).stdout
    seen = json.loads(out)
    faults = [f"{key}: {seen[key]}, not {want}"
              for key, want in zip(KEYS + EXPERTS, PRESETS[preset][1:]) if seen[key] != want]
    return faults + (faults_of_rope(path) if preset.startswith("llama") else [])


def main():
    build = sys.argv[1]
    maker = os.path.join(build, "tools", "synth_model")
    program = os.path.join(build, "src", "app", "tokenworks")
    listing = subprocess.run([maker, "--list"], check=True, capture_output=True, text=True).stdout
    lines = {line.split()[0]: line for line in listing.splitlines()}
    usage = subprocess.run([maker, "--help"], check=True, capture_output=True, text=True).stdout
    failed = False
    with tempfile.TemporaryDirectory(dir=build) as folder:
        path = os.path.join(folder, "model.gguf")
        for number, preset in enumerate(PRESETS, 1):
            faults = faults_of(maker, program, path, preset)
            os.remove(path)
            if f" {PRESETS[preset][0]} layers," not in lines[preset]:
                faults.append(f"another number of layers: {lines[preset]}")
            if preset not in usage:
                faults.append("--help does not list it")
            failed |= report(number, faults, f"{preset} has the published shape")
    print(f"1..{len(PRESETS)}")
    sys.exit(failed)


if __name__ == "__main__":
    main()
