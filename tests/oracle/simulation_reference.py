"""The planner's simulator, again: slow, one step after another, written from the rules that
scheduler.h, prefix_tree.h, step_time.h and simulator.h state, for one tenant.

    simulation_reference.py SIMULATE_CASES SEED N_CASES

Times agree to the nanosecond's rounding, counts exactly.
"""
import json
import math
import subprocess
import sys


class Node:
    """A page that holds page_tokens tokens of a beginning, below another page or the root."""

    def __init__(self, key, filled):
        self.key, self.users, self.filled = key, 1, filled


class Text:
    def __init__(self, request, number, case):
        self.request, self.number = request, number
        self.n_prompt, self.n_output = request["input"], request["output"]
        self.length, self.computed, self.given = self.n_prompt, 0, 0
        self.first_wanted = self.n_prompt - 1  # results are wanted from here on
        self.accounted = self.cached = self.preempted = 0
        self.nodes, self.n_own, self.parted = [], 0, False
        self.start = self.first = self.end = None
        self.named = case["prefix_cache"] and bool(request["blocks"])
        size = case["block_tokens"]
        words = [("block", b) for b in request["blocks"] for _ in range(size)][:self.n_prompt]
        self.words = words + [("mine", number)] * (self.n_prompt - len(words))

    def word(self, i):
        return self.words[i] if i < self.n_prompt else ("mine", self.number)

    def n_pages(self):
        return len(self.nodes) + self.n_own


class Lane:
    """A scheduler and its clock."""

    def __init__(self, case):
        self.case, self.size = case, case["page_tokens"]
        self.now, self.free = 0, case["pages"]
        self.waiting, self.running = [], []  # in the order of arrival
        self.tree, self.cached = {}, []  # key -> Node; unused full ones, the oldest first
        self.n_decoding = self.waiting_tokens = 0
        self.steps = self.preemptions = self.evictions = self.n_computed = 0

    # ---- pages ----

    def pages_for(self, n_tokens):
        return -(-n_tokens // self.size)

    def available(self):
        return self.free + len(self.cached)

    def take(self, text, n):
        while self.free < n:
            del self.tree[self.cached.pop(0).key]
            self.evictions += 1
            self.free += 1
        self.free -= n
        text.n_own += n

    def release(self, text):
        self.free += text.n_own
        for node in reversed(text.nodes):
            node.users -= 1
            if node.users == 0 and node.filled == self.size:
                self.cached.append(node)
            elif node.users == 0:
                del self.tree[node.key]
                self.free += 1
        text.nodes, text.n_own, text.computed, text.parted = [], 0, 0, False

    def key(self, text):
        """Of the page behind those it has in the tree: what is above it, and its words."""
        at = len(text.nodes) * self.size
        above = id(text.nodes[-1]) if text.nodes else None
        return above, tuple(text.word(at + i) for i in range(self.size))

    def use(self, text, node):
        if node.users == 0:
            self.cached.remove(node)
        node.users += 1
        text.nodes.append(node)

    # ---- who is resident ----

    def preempt(self, text):
        self.running.remove(text)
        self.release(text)
        text.preempted += 1
        self.preemptions += 1
        self.waiting.append(text)
        self.waiting.sort(key=lambda t: t.order)

    def grow(self):
        for text in list(self.running):
            if text not in self.running:
                continue
            n = self.pages_for(text.length) - text.n_pages()
            while n > 0 and text in self.running and self.available() < n:
                self.preempt(self.running[-1])
            if n > 0 and text in self.running:
                self.take(text, n)

    def admit(self):
        while self.waiting and len(self.running) < self.case["sequences"]:
            text = self.waiting[0]
            n_shared = text.first_wanted // self.size if text.named else 0
            while len(text.nodes) < n_shared and self.key(text) in self.tree:
                self.use(text, self.tree[self.key(text)])
            n = self.pages_for(text.length) - len(text.nodes)
            if self.available() < n + len(self.running):
                self.release(text)
                return
            self.take(text, n)
            while len(text.nodes) < n_shared:
                self.add_node(text, 0)
            self.waiting.pop(0)
            self.running.append(text)
            self.running.sort(key=lambda t: t.order)

    def add_node(self, text, filled):
        node = Node(self.key(text), filled)
        self.tree[node.key] = node
        text.nodes.append(node)
        text.n_own -= 1

    # ---- a step ----

    def catch_up(self, text):
        for i, node in enumerate(text.nodes):
            text.computed = max(text.computed, i * self.size + node.filled)
            if node.filled < self.size:
                break
        if text.computed > text.accounted:
            text.cached += max(0, min(text.computed, text.n_prompt) - text.accounted)
            text.accounted = text.computed

    def row(self, text, budget, claimed):
        """How many tokens it computes: of a page that another row computes, none."""
        left = text.length - text.computed
        if left == 1:
            return 1, budget
        most, n = min(left, budget), 0
        while n < most:
            i = (text.computed + n) // self.size
            if i >= len(text.nodes):
                n = most
            elif id(text.nodes[i]) in claimed:
                break
            else:
                claimed.add(id(text.nodes[i]))
                n = (i + 1) * self.size - text.computed
        n = min(n, most)
        return n, budget - n

    def step(self):
        budget = self.case["step_tokens"]
        if not self.case["ours"]:  # the budget counts what is decoded, too
            budget = max(1, budget - self.n_decoding)
        self.grow()
        self.admit()
        for text in self.running:
            self.catch_up(text)
        rows, claimed = [], set()
        for text in self.running:
            n, budget = self.row(text, budget, claimed)
            if n > 0:
                rows.append((text, n))
        assert rows
        for text, _ in rows:
            if text.start is None:
                text.start = self.now
                self.waiting_tokens -= text.n_prompt
        self.now += step_ns(self.case["cost"], rows)
        self.steps += 1
        self.n_computed += sum(n for _, n in rows)
        done = [text for text, n in rows if text.computed + n == text.length]
        for text, n in rows:
            self.count(text, n)
        self.n_decoding = 0
        ended = []
        for text in done:
            text.given += 1
            text.first = self.now if text.first is None else text.first
            if text.given == text.n_output:
                text.end = self.now
                self.running.remove(text)
                self.release(text)
                ended.append(text)
            else:
                text.length += 1
                self.n_decoding += 1
        return ended

    def count(self, text, n):
        last = text.computed + n
        for i, node in enumerate(text.nodes):
            if (i + 1) * self.size > text.computed and i * self.size < last:
                node.filled = min(self.size, last - i * self.size)
        text.computed = last
        text.accounted = max(text.accounted, last)
        text.first_wanted = max(text.first_wanted, last)
        while text.named and not text.parted and (len(text.nodes) + 1) * self.size <= last:
            there = self.tree.get(self.key(text))
            if there is None:
                self.add_node(text, self.size)
            elif there.filled == self.size:
                self.use(text, there)
                text.n_own -= 1
                self.free += 1
            else:
                text.parted = True


def step_ns(cost, rows):
    n_tokens = sum(n for _, n in rows)
    context = window = attended = results = 0
    for text, n in rows:
        end = text.computed + n
        context += end
        window += min(end, cost["n_window"]) if cost["n_window"] > 0 else end
        attended += sum(range(text.computed + 1, end + 1))  # each token sees those up to itself
        results += end == text.length
    touched = 1 - (1 - cost["expert_share"]) ** n_tokens if cost["expert_share"] > 0 else 0
    compute = cost["token"] * n_tokens + cost["result"] * results
    memory = cost["weights"] + cost["experts"] * touched
    power = 1 / (1 - cost["overlap"]) if cost["overlap"] < 0.98 else 50
    products = (compute ** power + memory ** power) ** (1 / power)
    total = (cost["fixed"] + cost["row"] * len(rows) + cost["reduce"] +
             (cost["reduce_token"] + cost["activation"]) * n_tokens + products +
             cost["window"] * window + cost["context"] * context +
             cost["attended"] * max(0, attended - context))
    return math.floor(total * 1e9 + 0.5)


class Plant:
    def __init__(self, case):
        self.case, self.lanes = case, [Lane(case) for _ in range(case["lanes"])]
        self.next_lane = self.spilled = self.refused = 0
        self.request_ns = int(case["cost"]["request"] * 1e9)
        self.texts = [None] * len(case["requests"])

    def load(self, lane):
        return len(lane.waiting) + len(lane.running)

    def choose(self):
        n = len(self.lanes)
        turns = [(self.next_lane + i) % n for i in range(n)]
        if not self.case["round_robin"]:
            turns.sort(key=lambda i: self.load(self.lanes[i]))  # of equals the next in turn
        self.next_lane = (turns[0] + 1) % n
        return turns[0]

    def arrive(self, number, at):
        """Whether it is under way."""
        case = self.case
        if case["spill"] and all(x.waiting_tokens > case["spill"] for x in self.lanes):
            self.spilled += 1
            return False
        text = Text(case["requests"][number], number, case)
        chosen = self.choose()
        lane = self.lanes[chosen]
        if lane.pages_for(text.n_prompt + text.n_output - 1) > case["pages"]:
            self.refused += 1
            return False
        text.arrival, text.lane, text.order = at, chosen, number
        self.texts[number] = text
        if self.load(lane) == 0:
            lane.now = max(lane.now, at + self.request_ns)
        lane.waiting.append(text)
        lane.waiting_tokens += text.n_prompt
        return True

    def run_open(self):
        """A request is there for steps that begin when it was read; what began is done."""
        for number, request in enumerate(self.case["requests"]):
            self.run(request["arrival"] + self.request_ns)
            self.arrive(number, request["arrival"])
        self.run(math.inf)

    def run(self, until):
        for lane in self.lanes:
            while self.load(lane) and lane.now < until:
                lane.step()

    def run_closed(self):
        """What comes first: a client's next request, or a lane's next step."""
        ready, n_sent = [0] * self.case["clients"], 0
        whose = {}
        while True:
            busy = [x for x in self.lanes if self.load(x)]
            lane = min(busy, key=lambda x: x.now, default=None)
            client = min(range(len(ready)), key=lambda c: ready[c])
            at = ready[client] if n_sent < len(self.case["requests"]) else math.inf
            if lane is None and at == math.inf:
                return
            if lane is None or at + self.request_ns <= lane.now:
                if self.arrive(n_sent, at):
                    ready[client] = math.inf
                    whose[n_sent] = client
                n_sent += 1
                continue
            for text in lane.step():
                ready[whose[text.number]] = lane.now


def close(a, b, tolerance):
    return abs(a - b) <= tolerance


def check(case):
    plant = Plant(case)
    (plant.run_closed if case["clients"] else plant.run_open)()
    lanes = plant.lanes
    assert plant.spilled == case["spilled"] and plant.refused == case["refused"]
    for mine, theirs in (("steps", "steps"), ("preemptions", "preemptions"),
                         ("evictions", "evictions"), ("n_computed", "computed")):
        assert sum(getattr(x, mine) for x in lanes) == case[theirs], theirs
    for number, (text, theirs) in enumerate(zip(plant.texts, case["requests"])):
        if text is None:
            assert theirs["ttft"] == theirs["latency"] == -1, number
            continue
        rounding = 4e-9  # expert shares are rounded in another order
        assert close(theirs["ttft"], (text.first - text.arrival) / 1e9, rounding), number
        assert close(theirs["latency"], (text.end - text.arrival) / 1e9, rounding), number
        assert close(theirs["queue"], (text.start - text.arrival) / 1e9, rounding), number
        tpot = (text.end - text.first) / 1e9 / (text.n_output - 1) if text.n_output > 1 else 0
        assert close(theirs["tpot"], tpot, rounding), number
        assert theirs["cached"] == text.cached and theirs["preempted"] == text.preempted, number
        assert theirs["replica"] == text.lane // case["stages"], number


def main():
    program, seed, n_cases = sys.argv[1:]
    out = subprocess.run([program, seed, n_cases], check=True, stdout=subprocess.PIPE).stdout
    seen = dict.fromkeys(("preemptions", "evictions", "spilled", "refused", "clients"), 0)
    seen["cached"] = 0
    cases = [json.loads(line) for line in out.splitlines()]
    assert len(cases) == int(n_cases)
    for i, case in enumerate(cases):
        try:
            check(case)
        except AssertionError as error:
            sys.exit(f"case {i} of seed {seed}: {error} is not as the rules say")
        for what in seen:
            seen[what] += (any(r["cached"] for r in case["requests"]) if what == "cached"
                           else case[what] > 0)
    assert all(n > len(cases) / 50 for n in seen.values()), seen  # all of it was looked at
    print(f"{len(cases)} workloads agree; with {seen}")


main()
