#!/usr/bin/env bash
# One step of training here and in PyTorch (Debian's, with OpenBLAS), in turn:
#     bench/train/compare.sh [BUILD FOLDER] [ROUNDS]
# Prints each round's tokens a second and the ratio of the medians; then our bf16. The machine
# should be idle.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=${1:-build}
rounds=${2:-5}

ours() { "$build/bench/train_rates" --steps 5 --format "$1" | tail -n 1; }
theirs() {
    /usr/bin/python3 -B bench/train/torch_rates.py --steps 4 --threads "$(nproc)" | tail -n 1
}
median() { sort -n | awk '{v[NR] = $1} END {print v[int((NR + 1) / 2)]}'; }

a=() b=()
for ((i = 0; i < rounds; i++)); do
    line=$(ours f32)
    a+=("$(cut -d, -f6 <<< "$line")")
    echo "ours, f32:    ${a[-1]} tokens/s, $(cut -d, -f9 <<< "$line") of the machine's f32 limit"
    b+=("$(theirs | cut -d, -f5)")
    echo "PyTorch, f32: ${b[-1]} tokens/s"
done
awk -v a="$(printf '%s\n' "${a[@]}" | median)" -v b="$(printf '%s\n' "${b[@]}" | median)" \
    'BEGIN {printf "ratio of the medians: %.2f\n", a / b}'
line=$(ours bf16)
echo "ours, bf16:   $(cut -d, -f6 <<< "$line") tokens/s, $(cut -d, -f9 <<< "$line") of bf16's limit"
