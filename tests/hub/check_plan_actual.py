"""A plan beside what a real server did: requests from its books, energy from counters of a made-up
tree that rise meanwhile.

    check_plan_actual.py TOKENWORKS DATA NVML    books in a file; NVML: a driver's library
    TW_TEST_POSTGRES=... check_plan_actual.py ...        books in that PostgreSQL
"""
import csv
import datetime
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books, bearer  # noqa: E402
from server import becomes, run_cases  # noqa: E402

POSTGRES = os.environ.get("TW_TEST_POSTGRES")
TITLES = "time,boot,meter,energy_uj,range_uj"
TOP = 3_000_000_000  # microjoules: such a counter begins again after each 3 kJ
SCENARIO = """name: our own server
model: Qwen3-8B
engine: tokenworks
weights: [q4_k]
devices: [L40S]
apis: [gpt-5-mini]
use-cases:
  - {name: chat, requests-per-s: 2, input-tokens: 60, output-tokens: 20}
"""


class Machine:
    """A tree of counters, and a card, that rise by what they are told."""

    def __init__(self, folder):
        self.folder, self.cards = Path(folder, "powercap"), Path(folder, "cards")
        self.packages = {"intel-rapl:0": ("package-0", TOP - 200_000_000),
                         "intel-rapl:0:0": ("core", 0), "intel-rapl:0:1": ("dram", 0),
                         "intel-rapl:1": ("package-1", 0)}
        self.card_mj = 5
        for zone, (name, _) in self.packages.items():
            Path(self.folder, zone).mkdir(parents=True)
            Path(self.folder, zone, "name").write_text(name + "\n", encoding="ascii")
            Path(self.folder, zone, "max_energy_range_uj").write_text(f"{TOP}\n", encoding="ascii")
        self.write()

    def write(self):
        """Each file at once, as the kernel does it."""
        texts = {self.folder / zone / "energy_uj": f"{uj % (TOP + 1)}\n"
                 for zone, (_, uj) in self.packages.items()}
        texts[self.cards] = f"GPU-test {self.card_mj}\nGPU-old none\n"
        for path, text in texts.items():
            scratch = path.with_name(path.name + ".new")
            scratch.write_text(text, encoding="ascii")
            scratch.replace(path)

    def use(self, joules):
        for zone, (name, uj) in self.packages.items():
            self.packages[zone] = (name, uj + int(joules * 1e6))
        self.card_mj += int(joules * 1e3)
        self.write()

    def rise_until(self, done):
        while not done.is_set():
            self.use(40)
            time.sleep(0.01)


class Recorder:
    def __init__(self, program, machine, nvml, path, *words):
        self.path = path
        self.process = subprocess.Popen(
            [program, "plan", "meter", path, "--powercap", machine.folder, "--nvml", nvml,
             "--every", "0.01", *words], env=dict(os.environ, TW_FIXTURE_CARDS=str(machine.cards)),
            stderr=subprocess.PIPE, text=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def readings(self):
        return len({row["time"] for row in rows_of(self.path)}) if self.path.exists() else 0

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        err = self.process.stderr.read()
        return self.process.wait(30), err


def rows_of(path):
    text = path.read_text(encoding="ascii")
    return list(csv.DictReader(text[:text.rfind("\n") + 1].splitlines()))


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def joules_of(rows, first, last):
    """What counters rose by between two instants, whatever ends in between."""
    total = 0.0
    for meter in {row["meter"] for row in rows}:
        mine = [row for row in rows if row["meter"] == meter]
        for a, b in zip(mine, mine[1:]):
            if first <= seconds(a["time"]) and seconds(b["time"]) <= last:
                rise = int(b["energy_uj"]) - int(a["energy_uj"])
                total += (rise if rise >= 0 else rise + int(a["range_uj"])) / 1e6
    return total


class Site:
    def __init__(self, program, data, nvml, folder):
        self.program, self.data, self.nvml, self.folder = program, data, nvml, Path(folder)
        (self.folder / "hub").mkdir()
        if POSTGRES:
            os.environ["TOKENWORKS_BOOKS_KEYS"] = str(self.folder / "hub")
            psql = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"))[-1]
            subprocess.run([psql, POSTGRES, "-q", "-c", "DROP SCHEMA public CASCADE",
                            "-c", "CREATE SCHEMA public"], check=True, capture_output=True)
        self.books = Books(program, self.folder / "hub", POSTGRES)
        self.scenario = self.folder / "own.yaml"
        self.scenario.write_text(SCENARIO, encoding="utf-8")

    def serve(self):
        return self.books.serve("--model", Path(self.data, "tokenworks-demo.gguf"), "--ctx", "512")

    def compare(self, *words):
        out = self.books.run_bare("plan", "compare", self.scenario, "--books", self.books.path,
                                  "--json", *words, check=False)
        assert out.returncode == 0 and out.stderr == "", out
        return json.loads(out.stdout)


def site(function):
    def case(program, data, nvml):
        with tempfile.TemporaryDirectory() as folder:
            function(Site(program, data, nvml, folder))
    case.__name__ = function.__name__
    return case


def row(made, name):
    return next(r for r in made["rows"] if r["name"] == name)


def near(a, b, tolerance=1e-6):
    assert abs(a - b) <= tolerance * max(abs(a), abs(b)), (a, b)


def ask(server, key, n):
    answer = server.ask("POST", "/v1/chat/completions", {
        "model": "tokenworks-demo", "max_tokens": 12,
        "messages": [{"role": "user", "content": f"Count {n} sheep, then {n + 1}."}]}, bearer(key))
    assert answer.status == 200, answer.body
    return answer.json["usage"]


def serve_requests(it, recorder, done):
    """Usage of each, as clients were told it; the counters rise meanwhile."""
    with it.serve() as server:
        before = it.books.run_bare("plan", "compare", it.scenario, "--books", it.books.path,
                                   check=False)
        assert before.returncode == 3 and "no request yet" in before.stderr, before
        usage = [ask(server, it.books.key, n) for n in range(12)]
        made = it.compare("--model", "*", "--meter", recorder.path)  # beside both that write
        assert row(made, "requests")["actual"] == 12
    n = recorder.readings()
    assert becomes(lambda: recorder.readings() > n + 3)
    done.set()
    return usage


@site
def requests_and_energy_of_a_server_are_what_clients_and_counters_say(it):
    machine, done = Machine(it.folder), threading.Event()
    rising = threading.Thread(target=machine.rise_until, args=[done])
    with Recorder(it.program, machine, it.nvml, it.folder / "meters.csv") as recorder:
        assert becomes(lambda: recorder.readings() > 2)
        rising.start()
        try:
            usage = serve_requests(it, recorder, done)
        finally:
            done.set()
            rising.join()
        code, err = recorder.stop()
    assert code in (143, -signal.SIGTERM) and "card 1 is left out" in err, (code, err)

    made = it.compare("--model", "*", "--meter", recorder.path, "--zone", "Europe/Berlin")
    assert row(made, "requests")["actual"] == len(usage)
    prompts = sum(u["prompt_tokens"] for u in usage)
    near(row(made, "prompt tokens")["actual"], prompts / 1e6)
    near(row(made, "output tokens")["actual"], sum(u["completion_tokens"] for u in usage) / 1e6)
    cached = sum(u.get("prompt_tokens_details", {}).get("cached_tokens", 0) for u in usage)
    near(row(made, "cached of the prompt")["actual"], cached / prompts)
    report = json.loads(it.books.run("usage", "--by", "model", "--period", "all", "--format",
                                     "json").stdout)["total"]
    assert report["requests"] == len(usage)
    assert made["charged"]["amount_nano"] == report["amount_nano"] > 0
    check_energy(made, rows_of(recorder.path), usage)


def check_energy(made, rows, usage):
    file = made["energy"]["files"][0]
    assert {c["name"] for c in file["counters"]} == {
        "rapl package-0", "rapl package-0 dram", "rapl package-1", "nvml GPU-test"}
    assert file["wraps"] >= 1 and file["restarts"] == file["changes"] == 0, file
    if file["pauses"] == 0 and file["set_back"] == 0:
        near(sum(c["joules"] for c in file["counters"]), joules_of(rows, 0, 1e12))
        # The books begin between two readings: their energy is that of what lies behind.
        inside = joules_of(rows, made["from_ns"] / 1e9, 1e12) / 3.6e6
        near(made["energy"]["measured_kwh"], inside, 0.1)
        assert made["energy"]["measured_tokens"] == sum(u["total_tokens"] for u in usage)
    tokens = made["energy"]["measured_tokens"] / 1e6
    energy = row(made, "energy of a million tokens")
    near(energy["actual"], made["energy"]["measured_kwh"] * 1.4 / tokens)
    assert "counters" in energy["basis"]


def record(it, machine, path, *words, check=True):
    return subprocess.run([it.program, "plan", "meter", path, "--powercap", machine.folder,
                           "--every", "0.01", *words], check=check, capture_output=True,
                          text=True, timeout=60)


@site
def a_file_has_one_recorder_and_goes_on_where_it_ended(it):
    machine, path = Machine(it.folder), it.folder / "meters.csv"
    with Recorder(it.program, machine, it.nvml, path) as first:
        assert becomes(lambda: first.readings() > 1)
        second = record(it, machine, path, "--readings", "1", check=False)
        assert second.returncode == 2 and "another recorder writes into" in second.stderr, second
        first.stop()
    whole = path.read_text(encoding="ascii")
    path.write_text(whole + "2026-11-28T10:00:00.000Z,half a ro", encoding="ascii")
    record(it, machine, path, "--readings", "2")
    assert path.read_text(encoding="ascii").startswith(whole)
    rows = rows_of(path)
    assert all(None not in r.values() and len(r) == 5 for r in rows)
    assert path.read_text(encoding="ascii").count(TITLES) == 1
    other = it.folder / "other.csv"
    other.write_text("a,b\n1,2\n", encoding="ascii")
    refused = record(it, machine, other, "--readings", "1", check=False)
    assert refused.returncode == 5 and "name another file" in refused.stderr, refused
    assert other.read_text(encoding="ascii") == "a,b\n1,2\n"


@site
def a_counter_that_goes_away_is_a_gap_and_no_zero(it):
    machine, path = Machine(it.folder), it.folder / "meters.csv"
    with Recorder(it.program, machine, it.nvml, path) as recorder:
        assert becomes(lambda: recorder.readings() > 2)
        lost = machine.folder / "intel-rapl:1" / "energy_uj"
        lost.rename(lost.with_name("gone"))
        n = recorder.readings()
        assert becomes(lambda: recorder.readings() > n + 2)
        _, err = recorder.stop()
    assert err.count("intel-rapl:1/energy_uj") == 1, err
    last = rows_of(path)[-1]["time"]
    assert {r["meter"] for r in rows_of(path) if r["time"] == last} <= {
        "rapl package-0", "rapl package-0 dram", "nvml GPU-test"}


@site
def counters_are_listed_and_what_cannot_be_read_is_said(it):
    machine = Machine(it.folder)
    words = [it.program, "plan", "meter", "--list", "--powercap", machine.folder]
    out = subprocess.run(words, check=True, capture_output=True, text=True, timeout=60)
    assert out.stdout == ("rapl package-0, to 3000 J\nrapl package-0 dram, to 3000 J\n"
                          "rapl package-1, to 3000 J\n"), out
    nothing = subprocess.run([*words[:-1], it.folder], check=False, capture_output=True, text=True,
                             timeout=60)
    assert nothing.returncode == 6 and "no counter of energy can be read here" in nothing.stderr
    missing = subprocess.run([*words, "--nvml", "./none.so"], check=False, capture_output=True,
                             text=True, timeout=60)
    assert missing.returncode == 3 and "none.so" in missing.stderr
    bare = subprocess.run([it.program, "plan", "meter"], check=False, capture_output=True,
                          text=True, timeout=60)
    assert bare.returncode == 2 and "needs the file" in bare.stderr


CASES = [requests_and_energy_of_a_server_are_what_clients_and_counters_say,
         a_file_has_one_recorder_and_goes_on_where_it_ended,
         a_counter_that_goes_away_is_a_gap_and_no_zero,
         counters_are_listed_and_what_cannot_be_read_is_said]
CASES = CASES[:1] if POSTGRES else CASES

if __name__ == "__main__":
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, str(Path(sys.argv[1]).resolve()), sys.argv[2],
                       str(Path(sys.argv[3]).resolve())))
