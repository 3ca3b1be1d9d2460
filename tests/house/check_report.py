"""What a long check leaves behind: scripts/long_report.py on results of a small run. Prints TAP.

    check_report.py ROOT
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

TAP = """TAP version 13
# Subtest: tiny Q8_0: logits are close
ok 1 - tiny Q8_0: logits are close
  ---
  duration_ms: 16.5
  ...
# model 1: divergence (nats) 2.28e-3
# mean of 5: divergence (nats) 2.30e-3
not ok 2 - tiny Q4_0: logits are close
1..2
# tests 2
"""


def write_results(folder):
    tests = [{"name": "full+oracle / llama logits", "result": "FAIL", "stdout": TAP},
             {"name": "quick+unit / base arena", "result": "OK", "stdout": "ok 1 - grows\n1..1\n"}]
    fuzz = {"name": "fuzz gguf", "result": "OK", "stdout": "", "seconds": 601, "inputs": 123456,
            "findings": 0}
    (folder / "gcc.json").write_text("".join(json.dumps(test) + "\n" for test in tests))
    (folder / "fuzz.json").write_text(json.dumps(fuzz) + "\n")
    (folder / "train-rates.txt").write_text("ratio of the medians: 3.17\n")
    (folder / "bench-qwen2.5-0.5b-Q8_0.txt").write_text("cpu avx512, 2 threads\ndecode 1 9.87\n")


def make_page(root, folder, failed_stages):
    path = folder / "results" / "page.md"
    subprocess.run([sys.executable, "-B", root / "scripts" / "long_report.py", folder,
                    str(failed_stages), path], cwd=root, check=True)
    return path.read_text(encoding="utf-8")


def main():
    root = Path(sys.argv[1])
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        empty = make_page(root, folder, 1)
        write_results(folder)
        page = make_page(root, folder, 1)
    head = page.split("## Tests")[0]
    checks = [
        ("date, commit and machine are stated",
         "- date: 20" in head and "- commit: " in head and " cores, " in head),
        ("counts are those of all runners and stages",
         "| gcc | 2 | 1 | 0 |" in page and "**3 passed, 2 failed**" in page
         and "- failed in gcc: full+oracle / llama logits" in page),
        ("each fuzzer's seconds and findings are stated",
         "| fuzz gguf | OK | 601 | 123456 | 0 |" in page),
        ("every figure of an oracle stands under its test",
         "### llama logits: FAIL" in page and "- tiny Q8_0: logits are close\n"
         "    - model 1: divergence (nats) 2.28e-3\n    - mean of 5: divergence (nats) 2.30e-3\n"
         "- tiny Q4_0" in page and "tests 2" not in page),
        ("rates stand beside the model",
         "### qwen2.5-0.5b-Q8_0\n\n```\ncpu avx512, 2 threads\ndecode 1 9.87\n```" in page),
        ("what did not run is said to be missing",
         empty.count("Missing: ") == 10 and page.count("Missing: ") == 6),
        ("the rates of training stand as they were printed",
         "ratio of the medians: 3.17\n```" in page),
    ]
    for number, (what, passed) in enumerate(checks, 1):
        print(f"{'ok' if passed else 'not ok'} {number} - {what}")
    print(f"1..{len(checks)}")
    sys.exit(not all(passed for _, passed in checks))


if __name__ == "__main__":
    main()
