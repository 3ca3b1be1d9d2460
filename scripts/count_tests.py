"""Adds up the test runs in a folder: one line a runner, and the sum as the last line.

    count_tests.py FOLDER FAILED_STAGES

Each <runner>.json holds one JSON object a line as `meson test` writes it: name, result, stdout. A
test that speaks TAP counts as many times as it says; any other counts once. A stage that failed
without tests (a build, say) is one failure.
"""
import argparse
import json
import re
import sys
from pathlib import Path

# A failure and what its program says of it, in the lines behind it.
TAP_FAILURE = re.compile(r"^not ok\b(?!.*# ?SKIP).*\n(?:#.*\n?){0,40}",
                         re.MULTILINE | re.IGNORECASE)
TAP_LINE = re.compile(r"^(not )?ok\b(?:.*(#\s*SKIP))?", re.MULTILINE | re.IGNORECASE)
BAD = {"FAIL", "ERROR", "TIMEOUT", "INTERRUPT", "UNEXPECTEDPASS"}


def count_test(test):
    """(passed, failed, skipped) of one meson test."""
    if test["result"] == "SKIP":
        return 0, 0, 1
    lines = TAP_LINE.findall(test.get("stdout") or "")
    bad = sum(1 for negated, skip in lines if negated and not skip)
    skipped = sum(1 for _, skip in lines if skip)
    good = len(lines) - bad - skipped
    if test["result"] in BAD and bad == 0:
        bad = 1  # it crashed, hung, or failed without saying where
    elif not lines:
        good = 1
    return good, bad, skipped


def count_runner(path):
    totals = [0, 0, 0]
    failures = []
    for line in path.read_text(encoding="utf-8").splitlines():
        test = json.loads(line)
        counts = count_test(test)
        totals = [a + b for a, b in zip(totals, counts)]
        if counts[1]:
            failures.append(test["name"])
            failures += TAP_FAILURE.findall(test.get("stdout") or "")
    return totals, failures


def count_folder(folder):
    """[(runner, (passed, failed, skipped), names of tests that failed, what they said)]"""
    return [(path.stem, *count_runner(path)) for path in sorted(folder.glob("*.json"))]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("failed_stages", type=int)
    options = parser.parse_args()
    rows = count_folder(options.folder)
    for runner, (passed, failed, skipped), failures in rows:
        print(f"{runner}: {passed} passed, {failed} failed, {skipped} skipped")
        for text in failures:
            print("    failed: " + text.rstrip().replace("\n", "\n        "))
    if options.failed_stages:
        print(f"stages that failed: {options.failed_stages}")
    passed = sum(counts[0] for _, counts, _ in rows)
    failed = sum(counts[1] for _, counts, _ in rows) + options.failed_stages
    print(f"{passed} passed, {failed} failed")
    sys.exit(1 if failed or not passed else 0)


if __name__ == "__main__":
    main()
