"""The demo model's training data: exchanges of all tasks, put together to conversations.

    python3 demo/generate.py --seed 1 --conversations 300000 --out DIR
        writes DIR/train.jsonl and DIR/valid.jsonl (1,000 more), rows {"messages": [...]}
    python3 demo/generate.py --seed 1 --conversations 40000 --text FILE
        writes the same conversations as plain text, for training a tokenizer

A module of demo/corpus that defines TASKS = {name: (weight, make)} takes part when its name is in
MODULES. Tasks named in PLAIN_WITH_TOOLS may also stand in a conversation where tools are offered:
their answers do not depend on that.

Conversations are made in blocks, each from a seed of its own, so that the output depends on --seed
and --conversations alone and not on the number of processes. Exchanges whose user messages are too
close to a held-out prompt (demo/eval.jsonl) are dropped.
"""
import argparse
import importlib
import json
import multiprocessing
import os
import random
import sys
from bisect import bisect
from itertools import accumulate
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "corpus"))

from chat_format import system_text  # noqa: E402
from heldout import HeldOut  # noqa: E402
import tools  # noqa: E402

MODULES = ("tools", "sums", "facts", "extract", "notes", "repeat")
PLAIN_WITH_TOOLS = ("units", "facts", "about")
BLOCK = 500
N_VALID = 1000
MOST_CHARACTERS = 7000
# How many exchanges a conversation has; 0 stands for one that fills a length of its own.
LENGTHS = (1,) * 46 + (2,) * 25 + (3,) * 16 + (4,) * 6 + (5,) * 3 + (6,) * 2 + (0,) * 2
SHARE_WITH_SYSTEM = 0.15
SHARE_PLAIN_WITH_TOOLS = 0.35
SYSTEMS = (HERE / "corpus" / "systems.txt").read_text(encoding="ascii").splitlines()


def load_modules():
    return [importlib.import_module(name) for name in MODULES
            if (HERE / "corpus" / f"{name}.py").is_file()]


class Weighted:
    """Tasks by weight."""

    def __init__(self, tasks):
        self.makes = [make for _, make in tasks]
        self.sums = list(accumulate(weight for weight, _ in tasks))

    def make(self, rng):
        return self.makes[bisect(self.sums, rng.random() * self.sums[-1])](rng)


class Corpus:
    """All tasks, and the rules by which their exchanges follow one another."""

    def __init__(self):
        modules = load_modules()
        named = {name: task for module in modules for name, task in module.TASKS.items()}
        self.all = Weighted(list(named.values()))
        plain = [named[name] for name in PLAIN_WITH_TOOLS if name in named]
        self.plain_with_tools = Weighted(plain)
        self.held_out = HeldOut([HERE / "eval.jsonl"])

    def allowed(self, make, *arguments):
        """An exchange that is not too close to a held-out prompt."""
        while True:
            exchange = make(*arguments)
            users = [m["content"] for m in exchange["messages"] if m["role"] == "user"]
            if not any(map(self.held_out.forbids, users)):
                return exchange

    def follow(self, rng, first):
        """An exchange that can stand beside the first one, or None."""
        if first["tools"]:
            if rng.random() < SHARE_PLAIN_WITH_TOOLS:
                return self.allowed(self.plain_with_tools.make, rng)
            return self.allowed(tools.more_with, rng, first["tools"])
        for _ in range(20):
            exchange = self.allowed(self.all.make, rng)
            if not exchange["tools"] and exchange["system"] is None:
                return exchange
        return None

    def conversation(self, rng):
        """The messages of a conversation."""
        first = self.allowed(self.all.make, rng)
        system = first["system"]
        if system is None and rng.random() < SHARE_WITH_SYSTEM:
            system = SYSTEMS[rng.randrange(len(SYSTEMS))]
        if first["tools"]:
            system = system_text(system, tools.schemas(rng, first["tools"]))
        exchanges = [first["messages"]]
        if first["system"] is None:
            exchanges += self.others(rng, first, len(system or ""))
        if first["tools"] and tools.ends_with_call(first):
            exchanges.append(exchanges.pop(0))
        messages = [] if system is None else [{"role": "system", "content": system}]
        return messages + [message for exchange in exchanges for message in exchange]

    def others(self, rng, first, n_characters):
        """The exchanges beside the first, within the length that a context holds."""
        n_wanted = LENGTHS[rng.randrange(len(LENGTHS))]
        room = MOST_CHARACTERS
        if n_wanted == 0:
            n_wanted, room = 1000, 1500 + rng.randrange(MOST_CHARACTERS - 1500)
        room -= n_characters + self.size(first["messages"])
        found = []
        while len(found) + 1 < n_wanted:
            exchange = self.follow(rng, first)
            room -= self.size(exchange["messages"]) if exchange else room
            if room <= 0:
                break
            found.append(exchange["messages"])
        return found

    @staticmethod
    def size(messages):
        return sum(len(message["content"]) + 12 for message in messages)


CORPUS = None


def make_block(job):
    """One block of conversations as lines of text."""
    global CORPUS
    if CORPUS is None:
        CORPUS = Corpus()
    name, number, n_conversations, as_text = job
    rng = random.Random(f"{name} {number}")
    return "".join(as_line(CORPUS.conversation(rng), as_text) for _ in range(n_conversations))


def as_line(messages, as_text):
    if as_text:
        return "".join(f"{message['content']}\n" for message in messages) + "\n"
    return json.dumps({"messages": messages}, ensure_ascii=False) + "\n"


def write(path, name, n_conversations, n_jobs, as_text=False):
    jobs = [(name, i, min(BLOCK, n_conversations - i * BLOCK), as_text)
            for i in range((n_conversations + BLOCK - 1) // BLOCK)]
    with multiprocessing.Pool(n_jobs) as pool, open(path, "w", encoding="utf-8") as out:
        for block in pool.imap(make_block, jobs):
            out.write(block)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--conversations", type=int, default=300000)
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    target = parser.add_mutually_exclusive_group(required=True)
    target.add_argument("--out", type=Path, help="folder for train.jsonl and valid.jsonl")
    target.add_argument("--text", type=Path, help="file for plain text")
    options = parser.parse_args()
    name = f"train {options.seed}"
    if options.text:
        write(options.text, name, options.conversations, options.jobs, as_text=True)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    write(options.out / "train.jsonl", name, options.conversations, options.jobs)
    write(options.out / "valid.jsonl", f"valid {options.seed}", N_VALID, options.jobs)


if __name__ == "__main__":
    main()
