#!/usr/bin/env bash
# Runs `tokenworks bench engine` on models made for it, one after the other:
#     bench/run_rates.sh BUILD FOLDER [ROUNDS [PRESET...]]
# FOLDER/bench-<preset>-<type>.txt is what it prints. No model is left behind.
set -euo pipefail
build=${1:?usage: run_rates.sh BUILD FOLDER [ROUNDS [PRESET...]]}
folder=${2:?usage: run_rates.sh BUILD FOLDER [ROUNDS [PRESET...]]}
rounds=${3:-9}
presets=("${@:4}")
((${#presets[@]} > 0)) || presets=(qwen2.5-0.5b qwen2.5-1.5b)
model=$build/bench/rates.gguf
trap 'rm -f "$model"' EXIT

for preset in "${presets[@]}"; do
    for type in Q8_0 Q4_0 Q4_K_M; do
        "$build/tools/synth_model" --preset "$preset" --type "$type" --fast -o "$model"
        "$build/src/app/tokenworks" bench engine --model "$model" --rounds "$rounds" \
            --no-pack --depth 0,1024 > "$folder/bench-$preset-$type.txt"
        printf '%s %s: measured\n' "$preset" "$type"
    done
done
