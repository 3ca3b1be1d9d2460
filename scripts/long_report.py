"""Writes what ./check --long found as a page of docs/results.

    long_report.py FOLDER FAILED_STAGES PAGE

FOLDER holds <runner>.json as count_tests.py reads them, fuzz.json with seconds, inputs and findings
of each target, bench-<model>.txt as `tokenworks bench engine` prints it, and train-rates.txt what
bench/train/compare.sh prints. What is not there is said to be missing, so that a page cannot look
complete when it is not.
"""
import argparse
import datetime
import json
import os
import platform
import re
import subprocess
from pathlib import Path

import count_tests

# Runs whose comments are figures, in the runner that has all oracles.
ORACLES = ("llama logits", "llama large", "llama stories", "llama mistakes", "reference, models 5",
           "blocks agree with another implementation", "tokenizers agree")
TAP_NAME = re.compile(r"^(?:not )?ok \d+ - (.*)$")


def first_match(pattern, text, otherwise=""):
    match = re.search(pattern, text, re.MULTILINE)
    return match[1].strip() if match else otherwise


def machine():
    cpu = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    memory = int(first_match(r"^MemTotal:\s*(\d+)", Path("/proc/meminfo").read_text(), "0"))
    name = first_match(r"^model name\s*:(.*)$", cpu, platform.machine())
    numbers = [first_match(rf"^{key}\s*:(.*)$", cpu, "?") for key in ("cpu family", "model")]
    flags = first_match(r"^flags\s*:(.*)$", cpu).split()
    levels = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8")
              if flag in flags]
    system = f"{platform.system()} {platform.release().split('-')[0]}"
    return (f"{name} (family {numbers[0]}, model {numbers[1]}), {os.cpu_count()} cores, "
            f"{memory / 1e6:.0f} GB of memory, {' '.join(levels) or 'no AVX2'}, {system}")


def git(*words):
    try:
        run = subprocess.run(["git", *words], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return run.stdout.strip()


def commit():
    name = git("rev-parse", "--short=12", "HEAD")
    if name is None:
        return "unknown: not a copy that git keeps"
    changed = git("status", "--porcelain", "--untracked-files=no")
    return name + (", with changes that are not committed" if changed else "")


def read_tests(path):
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def table(head, rows):
    lines = ["| " + " | ".join(map(str, row)) + " |" for row in [head, *rows]]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def counts(folder, failed_stages):
    rows = count_tests.count_folder(folder)
    passed = sum(numbers[0] for _, numbers, _ in rows)
    failed = sum(numbers[1] for _, numbers, _ in rows) + failed_stages
    text = table(("runner", "passed", "failed", "skipped"),
                 [(runner, *numbers) for runner, numbers, _ in rows])
    text += f"\n\n**{passed} passed, {failed} failed**"
    if failed_stages:
        text += f", {failed_stages} of them stages that did not end well"
    for runner, _, names in rows:
        text += "".join(f"\n- failed in {runner}: {name}" for name in names)
    return text


def fuzzers(folder):
    path = folder / "fuzz.json"
    if not path.is_file():
        return "Missing: no fuzzer ran."
    rows = [(test["name"], test["result"], test.get("seconds", "?"), test.get("inputs", "?"),
             test.get("findings", "?")) for test in read_tests(path)]
    return table(("target", "result", "seconds", "inputs", "findings"), rows)


def figures(test):
    """[(what, its comments)] of a TAP log. A comment stands behind the line it belongs to."""
    found = []
    for line in test["stdout"].splitlines():
        name = TAP_NAME.match(line)
        if name:
            found.append((name[1], []))
        elif line.startswith("# ") and found and not line.startswith("# Subtest: "):
            found[-1][1].append(line[2:])
    # What node's runner counts at the end belongs to no test.
    return [(name, [text for text in lines if not re.fullmatch(r"\w+ [\d.]+", text)])
            for name, lines in found]


def oracles(folder):
    path = folder / "gcc.json"
    tests = read_tests(path) if path.is_file() else []
    texts = []
    for wanted in ORACLES:
        match = [test for test in tests if test["name"].split(" / ")[-1] == wanted]
        if not match or match[0]["result"] == "SKIP":
            texts.append(f"### {wanted}\n\nMissing: it did not run.")
            continue
        lines = []
        for name, comments in figures(match[0]):
            # Seeds one by one where they were judged together.
            lines += [f"- {name}"] + [f"    - {text}" for text in comments]
        texts.append(f"### {wanted}: {match[0]['result']}\n\n" + "\n".join(lines))
    return "\n\n".join(texts)


def rates(folder):
    texts = []
    for path in sorted(folder.glob("bench-*.txt")):
        text = path.read_text(encoding="utf-8").strip()
        texts.append(f"### {path.stem.removeprefix('bench-')}\n\n```\n{text}\n```")
    return "\n\n".join(texts) or "Missing: no rate was measured."


def training(folder):
    path = folder / "train-rates.txt"
    if not path.is_file():
        return "Missing: training was not measured."
    return "```\n" + path.read_text(encoding="utf-8").strip() + "\n```"


def page(folder, failed_stages, today):
    return f"""# ./check --long, {today}

- date: {today} (UTC)
- commit: {commit()}
- machine: {machine()}

## Tests

{counts(folder, failed_stages)}

## Fuzzers

{fuzzers(folder)}

## Rates

Of a whole forward pass, beside the machine's own limit, measured in turn
(`bench/run_rates.sh`).

{rates(folder)}

Of a step of training, beside PyTorch's with the same model, batch and threads, in turn
(`bench/train/compare.sh`):

{training(folder)}

## Figures of the oracles

{oracles(folder)}
"""


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("failed_stages", type=int)
    parser.add_argument("page", type=Path)
    options = parser.parse_args()
    today = datetime.datetime.now(datetime.timezone.utc).date()
    options.page.parent.mkdir(parents=True, exist_ok=True)
    options.page.write_text(page(options.folder, options.failed_stages, today), encoding="utf-8")


if __name__ == "__main__":
    main()
