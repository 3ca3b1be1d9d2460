#!/usr/bin/env python3
"""Runs others beside tokenworks, in turn, on the same file, threads and prompts:

    bench/peers/compare.py --tokenworks BIN --model F [--llama-bench [NAME=]COMMAND]...
        [--llama-batched-bench [NAME=]COMMAND]... [--llama-server [NAME=]COMMAND]...
        [--node-llama-cpp FOLDER] [--rounds N] [--threads N] [--csv F] ...

A round measures everything once: tokenworks, the first peer, the second ... and again. The
machine's own rates are measured beside every turn. README.md says what is fair about it.
Exit codes are those of docs/exit-codes.md: 2 for a word that is off, 4 where a peer fails.
"""
import argparse
import csv
import statistics
import sys
from pathlib import Path

from peer_engines import (Command, Job, LlamaCpp, NodeLlama, PeerError, Setting, Tokenworks,
                          rates_of)
from peer_servers import Asker, Clients, LlamaServer, Load, TokenworksServer

FAILED = 4
RATES = ("read_bytes_per_s", "int8_operations_per_s", "f32_operations_per_s")
COLUMNS = ("round", "who", "measure", "size", "depth", "tokens_per_s", "share_of_limit",
           "first_token_p50_s", "first_token_p99_s", "prompt_tokens", "cached_tokens",
           "answer_tokens", *RATES)


def numbers(text):
    try:
        values = tuple(int(part) for part in text.split(",") if part)
    except ValueError:
        values = (-1,)
    if any(value < 0 for value in values):
        raise argparse.ArgumentTypeError(f"'{text}' is no list of whole numbers")
    return tuple(value for value in values if value > 0)


def count(text):
    values = numbers(text)
    if len(values) != 1:
        raise argparse.ArgumentTypeError(f"'{text}' is no number from 1 on")
    return values[0]


def parse_arguments(words):
    parser = argparse.ArgumentParser(
        prog="compare.py", formatter_class=argparse.RawDescriptionHelpFormatter,
        description=__doc__.split("\n\n", maxsplit=1)[0])
    add = parser.add_argument
    add("--tokenworks", required=True, metavar="BIN", help="the program to compare with")
    add("--model", required=True, metavar="F", help="a GGUF file")
    for name in ("llama-bench", "llama-batched-bench", "llama-server"):
        add("--" + name, action="append", default=[], metavar="[NAME=]COMMAND",
            help="a peer's program, with words of its own; several may be given")
    add("--node-llama-cpp", metavar="FOLDER", help="whose node_modules has node-llama-cpp")
    add("--rounds", type=count, default=3, metavar="N")
    add("--threads", type=count, default=2, metavar="N")
    add("--csv", metavar="F", help="every single figure, for a table")
    add("--timeout", type=count, default=1800, metavar="S", help="of one run of a program")
    engines = parser.add_argument_group("engines")
    add = engines.add_argument
    add("--prompt", type=numbers, default=(512, 2048), metavar="N,...", help="0: none")
    add("--batch", type=numbers, default=(1, 4, 16, 32), metavar="N,...",
        help="sequences that generate at once; 0: none")
    add("--gen", type=count, default=64, metavar="N", help="tokens that each generates")
    add("--depth", type=numbers, default=(), metavar="N,...", help="depths beside 0")
    add("--deep-batch", type=numbers, default=(1,), metavar="N,...", help="--batch at those")
    servers = parser.add_argument_group("servers (measured where --llama-server is given)")
    add = servers.add_argument
    add("--clients", type=count, default=16, metavar="N")
    add("--requests", type=count, default=64, metavar="N", help="with prompts of their own")
    add("--prompt-tokens", type=count, default=154, metavar="N", help="of those, about")
    add("--shared-requests", type=count, default=32, metavar="N", help="that share a beginning")
    add("--shared-tokens", type=count, default=1000, metavar="N", help="of that beginning, about")
    add("--answer-tokens", type=count, default=63, metavar="N")
    add("--start", type=count, default=120, metavar="S", help="until a server must answer")
    return parser.parse_args(words)


def machine_text(rates):
    int8, floats = rates_of(rates)
    return (f"reads {rates['read_bytes_per_s'] / 1e9:.1f} GB/s; {int8 / 1e12:.2f} TOP/s int8, "
            f"{floats / 1e12:.2f} TFLOP/s f32")


def mean_rates(before, after):
    return {name: (before[name] + after[name]) / 2 for name in before}


class Results:
    """Rows of COLUMNS; `say` is told of every turn."""

    def __init__(self):
        self.rows = []

    def add(self, round_number, who, measure, rates, **more):
        row = {"round": round_number, "who": who, "measure": measure, "size": "", "depth": ""}
        self.rows.append(row | {name: rates[name] for name in RATES} | more)

    def of(self, who, point, column):
        return [row[column] for row in self.rows
                if row["who"] == who and point == (row["measure"], row["size"], row["depth"])]

    @property
    def points(self):
        return list(dict.fromkeys((r["measure"], r["size"], r["depth"]) for r in self.rows))

    @property
    def names(self):
        return list(dict.fromkeys(row["who"] for row in self.rows))

    def write(self, path):
        with open(path, "w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, COLUMNS, restval="")
            writer.writeheader()
            writer.writerows(self.rows)


def say(round_number, who, what, rates):
    print(f"round {round_number}, {what}: {who} done; this machine {machine_text(rates)}",
          flush=True)


# ---- the turns ----

def jobs_of(options):
    """What is measured in one turn: single sequences, then several at once."""
    jobs = []
    for depth in (0, *options.depth):
        batches = options.deep_batch if depth else options.batch
        one = tuple(n for n in batches if n == 1)
        many = tuple(n for n in batches if n > 1)
        prompts = options.prompt
        jobs += [Job(prompts, one, depth, options.gen)] if prompts or one else []
        jobs += [Job((), many, depth, options.gen)] if many else []
    return jobs


def measure_job(round_number, job, own, peers, setting, results):
    what = f"{'prompts' if job.prompts else 'batches'} at {job.depth}"
    before = own.machine(setting)
    for engine in (own, *peers):
        points = engine.measure(job, setting)
        if not points:
            continue
        after = own.machine(setting)
        rates, before = mean_rates(before, after), after
        for key, rate in points.items():
            results.add(round_number, engine.name, key[0], rates, size=key[1], depth=key[2],
                        tokens_per_s=rate, share_of_limit=own.share(key, rate, rates))
        say(round_number, engine.name, what, rates)


def measure_servers(round_number, own, kinds, asker, setting, results):
    for kind in kinds:
        for name, out in asker.turn(kind).items():
            rates = mean_rates(out["machine_before"], out["machine_after"])
            prompt_s, answer_s = own.token_seconds(setting, rates)
            least_s = out["prompt_tokens"] * prompt_s + out["answer_tokens"] * answer_s
            results.add(round_number, kind.name, name, rates,
                        tokens_per_s=out["answer_tokens_per_s"],
                        share_of_limit=least_s / out["seconds"],
                        first_token_p50_s=out["first_token_s"]["p50"],
                        first_token_p99_s=out["first_token_s"]["p99"],
                        **{n: out[n] for n in ("prompt_tokens", "cached_tokens",
                                               "answer_tokens")})
            say(round_number, kind.name, name, rates)


# ---- the report ----

def spread(values, scale=1, digits=1):
    middle, least, most = (value * scale for value in
                           (statistics.median(values), min(values), max(values)))
    return f"{middle:.{digits}f} ({least:.{digits}f}-{most:.{digits}f})"


def ratio_text(ours, theirs):
    return f"{statistics.median(ours) / statistics.median(theirs):.2f}"


def point_text(point):
    measure, size, depth = point
    return f"{measure} {size}" + (f" at {depth}" if depth else "") if size else measure


def print_table(heads, rows):
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    for row in (heads, *rows):
        print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths)).rstrip())


def report(results, rounds):
    """For every peer: what was measured of both, and how many times as fast tokenworks is; once
    in tokens a second, once in shares of what the machine could do meanwhile."""
    ours, *peers = results.names
    print(f"\nmedian (least-most) of {rounds} rounds; tokens/s, and the share of the machine's "
          "limit\n")
    rows = []
    for point in results.points:
        for who in (ours, *peers):
            rates, shares = (results.of(who, point, column)
                             for column in ("tokens_per_s", "share_of_limit"))
            if not rates:
                continue
            ratios = ("", "") if who == ours else (
                ratio_text(results.of(ours, point, "tokens_per_s"), rates),
                ratio_text(results.of(ours, point, "share_of_limit"), shares))
            rows.append((point_text(point) if who == ours else "", who, spread(rates),
                         spread(shares, 100, 0) + "%", *ratios))
    print_table(("", "", "tokens/s", "share", "times", "times in shares"), rows)
    report_clients(results)


def report_clients(results):
    rows = []
    for point in results.points:
        for who in results.names if not point[1] else ():
            first = [spread(results.of(who, point, f"first_token_{p}_s"), 1e3, 0)
                     for p in ("p50", "p99")]
            prompts, cached, answers = (statistics.median(results.of(who, point, name)) for name in
                                        ("prompt_tokens", "cached_tokens", "answer_tokens"))
            rows.append((point[0], who, *first, f"{prompts:.0f}", f"{100 * cached / prompts:.0f}%",
                         f"{answers:.0f}"))
    if rows:
        print()
        print_table(("", "", "first token p50, ms", "p99, ms", "prompt tokens", "cached",
                     "answer tokens"), rows)


# ---- the command ----

def make_engines(options):
    peers = {}
    for option, part in ((options.llama_bench, "bench"), (options.llama_batched_bench, "batched")):
        for text in option:
            command = Command.parse(text, "llama.cpp")
            peer = peers.setdefault(command.name, LlamaCpp(command.name))
            if getattr(peer, part) is not None:
                raise PeerError(f"two programs are called {command.name}; NAME= tells them apart")
            setattr(peer, part, command)
    nodes = [NodeLlama(options.node_llama_cpp)] if options.node_llama_cpp else []
    return [*peers.values(), *nodes]


def make_servers(options):
    peers = [LlamaServer(Command.parse(text, "llama.cpp")) for text in options.llama_server]
    names = [peer.name for peer in peers]
    if len(names) > len(set(names)):
        raise PeerError("two servers have the same name; NAME= tells them apart")
    return peers


def compare(options):
    model = Path(options.model).resolve()
    if not model.exists():
        raise PeerError(f"{options.model}: there is no such model")
    program = Command.parse(options.tokenworks, "tokenworks").words[0]
    own, engines, servers = Tokenworks(program), make_engines(options), make_servers(options)
    if not engines and not servers:
        raise PeerError("there is nobody to compare with: name a peer (--help lists them)")
    setting = Setting(model, options.threads, options.timeout)
    clients = Clients(options.clients, options.answer_tokens, (
        Load("own prompts", options.prompt_tokens, 0, options.requests, 1),
        Load("shared beginning", options.shared_tokens + 50, options.shared_tokens,
             options.shared_requests, 2)), options.start)
    asker = Asker(program, setting, clients)
    results = Results()
    for round_number in range(1, options.rounds + 1):
        for job in jobs_of(options) if engines else ():
            measure_job(round_number, job, own, engines, setting, results)
        if servers:
            measure_servers(round_number, own, [TokenworksServer(program), *servers], asker,
                            setting, results)
        if options.csv:  # now, so that a round that fails takes no others with it
            results.write(options.csv)
    report(results, options.rounds)


def main():
    options = parse_arguments(sys.argv[1:])
    try:
        compare(options)
    except PeerError as error:
        print(f"compare.py: {error}", file=sys.stderr)
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
