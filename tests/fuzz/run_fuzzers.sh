#!/usr/bin/env bash
# Runs every fuzz target for a while, one a core, beginning from its corpus:
#     tests/fuzz/run_fuzzers.sh SECONDS [RESULT FILE]
# New inputs that reach new code stay in build-fuzz/corpus/<target>; a finding ends up as
# build-fuzz/finding-<target>-*, to be put into tests/fuzz/corpus/<target> together with its fix.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source scripts/stages.sh
seconds=${1:?usage: run_fuzzers.sh SECONDS [RESULT FILE]}
result_file=${2:-/dev/null}
options=(-max_total_time="$seconds" -max_len=65536 -timeout=20 -rss_limit_mb=2048
    -malloc_limit_mb=1024 -print_final_stats=1 -use_value_profile=1)

build_folder build-fuzz CC=clang-14 -Dfuzz=true -Dbuildtype=debugoptimized -Db_lundef=false \
    -Db_sanitize=address,undefined

run_target() {
    local program=$1 name=${1##*/fuzz_} log=$1.log
    mkdir -p "build-fuzz/corpus/$name"
    local result=OK
    "$program" "${options[@]}" -artifact_prefix="build-fuzz/finding-$name-" \
        "build-fuzz/corpus/$name" "tests/fuzz/corpus/$name" > "$log" 2>&1 || result=FAIL
    local inputs spent findings
    inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")
    spent=$(sed -n 's/^Done [0-9]* runs in \([0-9]*\) second.*/\1/p' "$log")
    findings=$(grep -c 'Test unit written to' "$log" || true)
    printf '%s: %s, %s inputs in %s s, %s findings\n' "$name" "$result" "${inputs:-?}" \
        "${spent:-?}" "$findings"
    {
        printf '{"name": "fuzz %s", "result": "%s", "stdout": "", ' "$name" "$result"
        printf '"seconds": %s, "inputs": %s, ' "${spent:-null}" "${inputs:-null}"
        printf '"findings": %s}\n' "$findings"
    } >> "$result_file"
    if [[ $result != OK ]]; then
        tail -n 40 "$log"
        return 1
    fi
}

# One target a core: each is a single thread.
failures=0 running=0
while read -r program; do
    if ((running == $(nproc))); then
        wait -n || failures=$((failures + 1))
        running=$((running - 1))
    fi
    run_target "$program" &
    running=$((running + 1))
done < <(find build-fuzz/tests/fuzz -maxdepth 1 -name 'fuzz_*' -type f -executable | sort)
while ((running > 0)); do
    wait -n || failures=$((failures + 1))
    running=$((running - 1))
done
exit $((failures > 0))
