"""How long plans take: processor seconds of each example, and requests simulated a second.

    check_plan_speed.py TOKENWORKS PLAN_ACCURACY

Of three runs the best counts. Simulations need the traces of TW_SHARED and are left out without.
"""
import os
import re
import resource
import subprocess
import sys
from pathlib import Path

SCENARIOS = Path(__file__).resolve().parents[2] / "docs" / "scenarios"
MOST_S = 2.0
LEAST_A_SECOND = {"Azure conversation": 100_000, "512 in 16 out": 1_000_000}


def processor_s(*words):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main():
    tokenworks, plan_accuracy = sys.argv[1:]
    slow, paths = [], sorted(SCENARIOS.glob("*.yaml"))
    assert paths
    for path in paths:
        best = min(processor_s(tokenworks, "plan", path) for _ in range(3))
        print(f"{path.name}: {best:.2f} s")
        slow += [path.name] if best > MOST_S else []
    folder = Path(os.environ.get("TW_SHARED", "/nowhere")) / "plan-data"
    if folder.is_dir():
        out = subprocess.run([plan_accuracy, folder, "speed"], check=True, text=True,
                             stdout=subprocess.PIPE).stdout
        print(out)
        for title, least in LEAST_A_SECOND.items():
            rates = re.findall(rf"speed {title}.*?, (\d+) a second", out)
            assert rates, title
            slow += [title] if min(map(int, rates)) < least else []
    sys.exit(f"too slow: {slow}" if slow else 0)


main()
