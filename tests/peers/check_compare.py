"""What bench/peers/compare.py says of others is what they say of themselves.

    check_compare.py TOKENWORKS SYNTH_MODEL FOLDER

FOLDER has the node_modules of tests/oracle; without them the cases that need a peer are skipped.
The outputs beside this file are recorded ones of real programs.
"""
import csv
import os
import re
import statistics
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE.parent.parent / "bench" / "peers"
sys.path.insert(0, str(PEERS))
import peer_engines  # noqa: E402

FAILED = 4
QUICK = ["--threads", 1, "--rounds", 2, "--gen", 4]
NODE_PACKAGES = ("node-llama-cpp", "@node-llama-cpp/linux-x64")


class Skip(Exception):
    """The case cannot run here; the text says why."""


class Setup:
    def __init__(self, tokenworks, synth_model, modules, folder):
        self.tokenworks = str(Path(tokenworks).resolve())
        self.synth_model, self.modules, self.folder = synth_model, Path(modules), Path(folder)
        self.model = self.make("model.gguf")

    def make(self, name, *words):
        subprocess.run([self.synth_model, "--preset", "tiny", "--type", "Q8_0", *words, "-o",
                        self.folder / name], check=True, stdout=subprocess.DEVNULL)
        return self.folder / name

    def compare(self, *words, model=None):
        done = subprocess.run(
            [sys.executable, "-B", PEERS / "compare.py", "--tokenworks", self.tokenworks, "--model",
             model or self.model, *map(str, [*QUICK, *words])],
            capture_output=True, text=True, timeout=300, check=False)
        assert "Traceback" not in done.stderr, done.stderr
        return done

    def good(self, *words):
        """Rows of the table that --csv writes, and what was printed."""
        path = self.folder / "figures.csv"
        done = self.compare(*words, "--csv", path)
        assert done.returncode == 0, done.stderr
        with open(path, newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file)), done.stdout

    def refused(self, sentence, *words, model=None):
        done = self.compare(*words, model=model)
        assert done.returncode == FAILED, done
        assert re.fullmatch(rf"compare\.py: .*{sentence}.*\n", done.stderr), done.stderr

    @property
    def node(self):
        for name in NODE_PACKAGES:
            if not (self.modules / "node_modules" / name).is_dir():
                raise Skip(f"{self.modules} has no {name}")
        return ["--node-llama-cpp", self.modules]


def medians(rows, column):
    """{(who, measure, size, depth): median of a column}"""
    groups = {}
    for row in rows:
        key = tuple(row[name] for name in ("who", "measure", "size", "depth"))
        groups.setdefault(key, []).append(float(row[column]))
    return {key: statistics.median(values) for key, values in groups.items()}


def every_point_is_measured_of_both_and_divided(setup):
    rows, text = setup.good(*setup.node, "--prompt", "20", "--batch", "1,3", "--depth", "30")
    points = [("prefill", "20", "0"), ("decode", "1", "0"), ("decode", "3", "0"),
              ("prefill", "20", "30"), ("decode", "1", "30")]
    got = [(row["round"], row["who"], row["measure"], row["size"], row["depth"]) for row in rows]
    assert sorted(got) == sorted((turn, who, *point) for turn in "12" for point in points
                                 for who in ("tokenworks", "node-llama-cpp")), got
    assert all(float(row["tokens_per_s"]) > 0 and float(row["share_of_limit"]) > 0 and
               float(row["read_bytes_per_s"]) > 0 for row in rows), rows
    rates, shares = (medians(rows, name) for name in ("tokens_per_s", "share_of_limit"))
    printed = [line.split()[-2:] for line in text.splitlines()
               if re.match(r" +node-llama-cpp .*%  ", line)]
    for point, last in zip(points, printed, strict=True):
        expected = [f"{of['tokenworks', *point] / of['node-llama-cpp', *point]:.2f}"
                    for of in (rates, shares)]
        assert last == expected, (point, last, expected)


def a_share_is_what_the_machine_needs_at_least(setup):
    """In figures that can be seen through."""
    own = peer_engines.Tokenworks(setup.tokenworks)
    own.points = {("decode", 4, 0): {"bytes": 100, "int8_operations": 60, "float_operations": 10}}
    rates = {"read_bytes_per_s": 1000, "int8_operations_per_s": 1000, "f32_operations_per_s": 100}
    # A pass of four: 0.1 s to read, 0.16 s to compute; at 10 tokens/s it takes 0.4 s.
    assert abs(own.share(("decode", 4, 0), 10, rates) - 0.16 / 0.4) < 1e-12
    rates["int8_operations_per_s"] = 0  # computed in floats
    assert abs(own.share(("decode", 4, 0), 10, rates) - 0.7 / 0.4) < 1e-12
    rates |= {"int8_operations_per_s": 1000, "f32_operations_per_s": 1000}
    assert abs(own.share(("decode", 4, 0), 10, rates) - 0.1 / 0.4) < 1e-12


def outputs_of_real_programs_are_read(_):
    def text(name):
        return (HERE / "outputs" / name).read_text(encoding="utf-8")
    for name, expected in RECORDED_BENCH.items():
        got = peer_engines.parse_llama_bench(text(name), 0)
        assert {key: round(value, 2) for key, value in got.items()} == expected, (name, got)
    for name, expected in RECORDED_BATCHED.items():
        assert peer_engines.parse_batched_bench(text(name), 7) == expected, name


def programs_that_fail_are_named(setup):
    words = ["--prompt", 8, "--batch", "1,2"]
    setup.refused("/absent/bench: there is no such program", *words, "--llama-bench",
                  "/absent/bench")
    setup.refused("false ended with code 1; it says: nothing", *words, "--llama-bench", "false")
    setup.refused("llama-bench prints no JSON", *words, "--llama-bench", "true")
    setup.refused("prints no table", *words, "--llama-batched-bench", "x=true")
    setup.refused("x says nothing of prefill 8 at depth 0", *words, "--llama-bench",
                  "x=sh -c 'echo []'")
    setup.refused("sh was not done after 1 seconds", *words, "--timeout", 1, "--llama-bench",
                  "x=sh -c 'exec sleep 30'")
    setup.refused("two programs are called a", *words, "--llama-bench", "a=true",
                  "--llama-bench", "a=true")
    setup.refused("has no node-llama-cpp", *words, "--node-llama-cpp", setup.folder)
    setup.refused("there is no such model", *words, "--llama-bench", "true", model="absent.gguf")
    setup.refused("nobody to compare with", *words)


def a_model_that_a_peer_cannot_load_is_told(setup):
    """We read folders, llama.cpp does not."""
    folder = setup.make("folder", "--format", "hf", "--type", "BF16")
    setup.refused("node ended with code", *setup.node, "--prompt", 8, "--batch", 1, model=folder)


def servers_that_fail_are_named_and_none_is_left(setup):
    setup.refused("x's server ended with code 0 before it answered", "--llama-server", "x=true")
    pid_file = setup.folder / "pid"
    setup.refused("llama.cpp's server does not answer after 1 seconds", "--start", 1,
                  "--llama-server", f"sh -c 'echo $$ > {pid_file}; exec sleep 60'")
    try:
        os.kill(int(pid_file.read_text(encoding="ascii")), 0)
    except ProcessLookupError:
        return
    raise AssertionError("the server is still there")


def servers_get_the_same_words_and_are_told_apart(setup):
    """The other one is tokenworks again, started with the words that llama-server understands."""
    other = (f"again=sh -c 'exec {setup.tokenworks} serve --model \"$2\" --host \"$4\" --port "
             "\"$6\" --threads \"$8\"' llama-server")
    rows, text = setup.good("--llama-server", other, "--clients", 3, "--requests", 5,
                            "--prompt-tokens", 40, "--shared-requests", 6, "--shared-tokens", 400,
                            "--answer-tokens", 4, "--start", 30)
    got = [(row["round"], row["measure"], row["who"]) for row in rows]
    assert got == [(turn, measure, who) for turn in "12" for who in ("tokenworks", "again")
                   for measure in ("own prompts", "shared beginning")], got
    for row in rows:
        alone = row["measure"] == "own prompts"
        n, wished = (5, 40) if alone else (6, 450)
        assert int(row["answer_tokens"]) == 4 * n, row
        assert 0.8 < int(row["prompt_tokens"]) / n / wished < 1.25, row
        cached = int(row["cached_tokens"]) / int(row["prompt_tokens"])
        assert cached < 0.2 if alone else cached > 0.3, row
        assert 0 < float(row["first_token_p50_s"]) <= float(row["first_token_p99_s"]), row
    assert len({row["prompt_tokens"] for row in rows}) == 2, rows
    assert len(re.findall(r"\n(?:own prompts|shared beginning) +(?:tokenworks|again) ",
                          text)) == 6, text


RECORDED_BENCH = {
    "llama-bench.json": {("prefill", 20, 0): 7804.62, ("prefill", 33, 0): 1116.61,
                         ("decode", 1, 0): 3792.04},
    "ik-bench.json": {("prefill", 20, 0): 1422.96, ("decode", 1, 0): 2943.18},
    "ik-bench-behind.json": {("decode", 1, 0): 2410.13},
}
RECORDED_BATCHED = {
    "llama-batched-bench.txt": {("decode", 2, 7): 3848.00, ("decode", 5, 7): 4301.08},
    "ik-batched-bench.txt": {("decode", 2, 7): 434.90, ("decode", 5, 7): 1206.27},
}

CASES = (every_point_is_measured_of_both_and_divided, a_share_is_what_the_machine_needs_at_least,
         outputs_of_real_programs_are_read, programs_that_fail_are_named,
         a_model_that_a_peer_cannot_load_is_told, servers_that_fail_are_named_and_none_is_left,
         servers_get_the_same_words_and_are_told_apart)


def run_case(number, case, setup):
    try:
        case(setup)
        print(f"ok {number} - {case.__name__}", flush=True)
    except Skip as skip:
        print(f"ok {number} - {case.__name__} # SKIP {skip}", flush=True)
    except Exception:  # a test's report, whatever went wrong
        print(f"not ok {number} - {case.__name__}", flush=True)
        for line in traceback.format_exc().splitlines():
            print(f"# {line}")
        return False
    return True


def main():
    print(f"1..{len(CASES)}")
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(*sys.argv[1:4], folder)
        done = [run_case(number, case, setup) for number, case in enumerate(CASES, 1)]
    sys.exit(0 if all(done) else 1)


if __name__ == "__main__":
    main()
