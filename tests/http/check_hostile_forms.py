"""Hostile schemas and patterns are refused, or compiled, within 50 ms and 16 MB, while others are
answered.

    check_hostile_forms.py TOKENWORKS DATA FACTOR

Time is that of the processor, for all threads of the server, the best of some attempts; where a
core is shared with others, a yardstick says how slow it is. Memory is how far the server's resident
memory rises meanwhile. What reading the body costs is measured with the same body that prescribes
nothing, and subtracted. FACTOR allows more to a build that is slower.
"""
import json
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from server import Server, run_cases, together  # noqa: E402

MOST_MS = 50
MOST_BYTES = 16 << 20
N_ATTEMPTS = 3  # at first; one that seems dear is tried again, for others may be at work
N_MORE_ATTEMPTS = 4
MOST_YARDSTICKS = 4


def nested(depth, word, end):
    schema = end
    for _ in range(depth):
        schema = {word: [schema]} if word in ("anyOf", "allOf") else {word: schema}
    return schema


def grown(times, schema):
    """Objects of objects: eight members each, so many deep."""
    for _ in range(times):
        schema = {"type": "object", "properties": {f"p{i}": schema for i in range(8)}}
    return schema


def lettered(n, form):
    return [form.format(chr(97 + i % 26) + chr(97 + i // 26 % 26)) for i in range(n)]


PATTERNS = [
    "(a|b)*a(a|b){30}", "(a{1,999}){1,999}", "((((a{0,99}){0,99}){0,99}){0,99}){0,99}",
    "(" * 5000 + "a" + ")" * 5000, "(.*a){60}", "(x+x+)+y", "[^a]{100000}", ".{0,100000}",
    "[\\u{0}-\\u{10FFFF}]{1,5000}", "((a?){100}){100}", "a" * 500000, "|".join(["a{100000}"] * 99),
    "|".join(lettered(600, ".*{0}.*")), "(?:" * 190 + "a*" + ")*" * 190, "[" + "a-z" * 50000 + "]",
    "(.|..|...|....){1000}", "(\\w\\W?){3000}", "x{99999}{99999}", "(a|b|ab)*bc" * 300,
]

SCHEMAS = [
    {"$ref": "#"}, {"allOf": [{"$ref": "#"}]}, {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]},
    {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"},
    {"$defs": {f"d{i}": {"anyOf": [{"$ref": f"#/$defs/d{j}"} for j in range(99)]}
               for i in range(99)}, "$ref": "#/$defs/d0"},
    {"$defs": {f"d{i}": {"allOf": [{"$ref": f"#/$defs/d{i + 1}"}] * 2} for i in range(60)} |
     {"d60": {"type": "string"}}, "$ref": "#/$defs/d0"},
    {"$defs": {f"d{i}": {"type": "object", "properties": {
        f"p{j}": {"$ref": f"#/$defs/d{j}"} for j in range(60)}} for i in range(60)},
     "$ref": "#/$defs/d0"},
    nested(400, "anyOf", {"type": "string"}), nested(400, "allOf", {"type": "string"}),
    nested(120, "items", {"type": "string"}), grown(5, {"type": "string"}),
    {"allOf": [{"anyOf": [{"minimum": i * j} for j in range(6)]} for i in range(12)]},
    {"allOf": [{"anyOf": [{"type": "object", "properties": {f"p{i}{j}": {"type": "string"}}}
                          for j in range(4)]} for i in range(20)]},
    {"allOf": [{"pattern": f".*{word}.*"} for word in lettered(40, "{0}")]},
    {"allOf": [{"format": name} for name in ("uri", "hostname", "email", "ipv6")] * 9},
    {"type": "string", "minLength": 100000}, {"type": "string", "maxLength": 100000},
    {"type": "string", "pattern": "a.*b.*c", "minLength": 3000, "maxLength": 90000},
    {"type": "array", "items": {"type": "array", "minItems": 90000}, "minItems": 90000},
    {"type": "array", "maxItems": 100000, "items": {"type": "object"}},
    {"enum": [f"{i} {i * i} " + "x" * (i % 7) for i in range(60000)]},
    {"enum": [[i, {"a": [i]}] for i in range(30000)]},
    {"type": "object", "properties": {f"name{i}": {"type": "integer"} for i in range(10000)}},
    {"type": "object", "properties": {f"name{i}": {} for i in range(2000)},
     "additionalProperties": False, "minProperties": 900, "maxProperties": 1000},
    {"anyOf": [{"type": "object", "properties": {f"p{i}": {"type": "string"}}}
               for i in range(300)]},
    {"oneOf": [{"type": "object", "properties": {"k": {"const": i}}, "required": ["k"]}
               for i in range(3000)]},
    {"type": "integer", "multipleOf": 9973}, {"type": "integer", "multipleOf": 9999, "minimum": 7},
    {"type": "number", "minimum": 1e-300, "maximum": 1e300},
    {"allOf": [{"type": "integer", "multipleOf": m} for m in (97, 89, 83, 79, 73)]},
    {"type": "string", "pattern": "(a|b)*a(a|b){30}"},
    {"required": [f"r{i}" for i in range(20000)]},
    {"type": "array", "prefixItems": [{"type": "string", "format": "uri"}] * 5000},
]


def tools(n):
    """Calls of which one is required: all their schemas together are one form."""
    return {"messages": [{"role": "user", "content": "x"}], "tool_choice": "required", "tools": [
        {"type": "function", "function": {"name": f"f{i}", "parameters": {
            "type": "object", "properties": {f"p{j}": {"type": "string", "maxLength": 900}
                                             for j in range(40)}}}} for i in range(n)]}


def requests():
    """(what it is, path, body) of each."""
    for name, forms in (("guided_regex", PATTERNS), ("guided_json", SCHEMAS),
                        ("guided_choice", [[f"{i * i}" + "y" * 9 for i in range(50000)],
                                           ["z" * i for i in range(1400)]])):
        for form in forms:
            yield f"{name} {json.dumps(form)[:60]}", "/v1/completions", {"prompt": "x", name: form}
    yield "128 tools", "/v1/chat/completions", tools(128)


# ---- measuring ----

class Meter:
    """What a process uses, from /proc."""

    def __init__(self, process):
        self.folder = Path(f"/proc/{process.pid}")

    def cpu_ms(self):
        """Of all threads; they all live as long as the server."""
        return sum(int((task / "schedstat").read_text(encoding="ascii").split()[0])
                   for task in (self.folder / "task").iterdir()) / 1e6

    def status_bytes(self, name):
        lines = (self.folder / "status").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))

    def measure(self, ask):
        """(answer, milliseconds, bytes at the most above those before)."""
        (self.folder / "clear_refs").write_text("5", encoding="ascii")  # forgets the peak
        before_bytes, before_ms = self.status_bytes("VmRSS"), self.cpu_ms()
        answer = ask()
        return (answer, self.cpu_ms() - before_ms,
                self.status_bytes("VmHWM") - before_bytes)


def yardstick_ms():
    """What a fixed piece of work takes that is about 20 ms of a free core."""
    start = time.thread_time()
    table = {}
    for i in range(100000):
        key = i * 40503 & 0xffff
        table[key] = table.get(key, 0) + i
    return 1000 * (time.thread_time() - start)


def cost(server, path, body):
    """The answer, and the least that any attempt took, in milliseconds and bytes."""
    meter = Meter(server.process)
    data = json.dumps(body | {"max_tokens": 1})
    runs = [meter.measure(lambda: server.post(path, data, raw=True)) for _ in range(N_ATTEMPTS)]
    return runs[0][0], min(run[1] for run in runs), min(run[2] for run in runs)


def unprescribed(body):
    """The same body, but for the name that makes it a form."""
    return {"x" + name if name.startswith("guided") else name: value
            for name, value in body.items() if name != "tool_choice"}


def hostile_forms_cost_little(server, factor):
    worst_ms = worst_bytes = 0
    n_refused = 0
    dear = []
    for what, path, body in requests():
        for _ in range(1 + N_MORE_ATTEMPTS):
            answer, ms, n_bytes = cost(server, path, body)
            _, plain_ms, plain_bytes = cost(server, path, unprescribed(body))
            ms, n_bytes = ms - plain_ms, n_bytes - max(plain_bytes, 0)
            most_ms = factor * max(MOST_MS, MOST_YARDSTICKS * yardstick_ms())
            is_dear = ms > most_ms or n_bytes > factor * MOST_BYTES
            if not is_dear:
                break
        assert answer.status in (200, 400), f"{what}: {answer.status}"
        n_refused += answer.status == 400
        worst_ms, worst_bytes = max(worst_ms, ms), max(worst_bytes, n_bytes)
        if is_dear:
            dear.append(f"{what}: {answer.status}, {ms:.0f} ms, {n_bytes / 2 ** 20:.1f} MB")
    print(f"# {n_refused} refused; at most {worst_ms:.0f} ms of the processor and "
          f"{worst_bytes / 2 ** 20:.1f} MB")
    for line in dear:
        print(f"# {line}")
    assert not dear
    assert n_refused > 20


def others_are_answered_meanwhile(server, factor):
    """All of them at once, again and again: /health does not wait for one of them."""
    bodies = [(path, json.dumps(body | {"max_tokens": 1})) for _, path, body in requests()]
    end = time.monotonic() + 3

    def attack(i):
        while time.monotonic() < end:
            path, data = bodies[i % len(bodies)]
            assert server.post(path, data, raw=True).status in (200, 400, 429)
            i += 1

    def ask():
        slowest = 0
        while time.monotonic() < end:
            start = time.monotonic()
            assert server.get("/health").status == 200
            slowest = max(slowest, time.monotonic() - start)
        return slowest
    slowest = together([ask, *(lambda i=i: attack(i * 7) for i in range(8))])[0]
    print(f"# /health took at most {1000 * slowest:.0f} ms")
    assert slowest < 2 * factor


CASES = (hostile_forms_cost_little, others_are_answered_meanwhile)


def main():
    program, data, factor = sys.argv[1:4]
    print(f"1..{len(CASES)}")
    with Server(program, "--model", f"demo={data}/tokenworks-demo.gguf") as server:
        code = run_cases(CASES, server, int(factor))
    sys.exit(code)


if __name__ == "__main__":
    main()
