"""Our Jinja beside Python's: the same text, or a failure of both.

The reference is jinja2 as Hugging Face sets it up, in its sandbox that allows changes of lists.
Texts of the data are of letters that templates here do not use, so that every character of an
output tells where it came from, and the spans can be held against that.
"""
import copy
import datetime
import json
import random
import subprocess
import sys
import warnings

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox

import jinja_cases

DAY = datetime.datetime(2024, 7, 26, 9, 0, 0)
# What Python prints of a function or a sequence that was not made a list; we print other things.
ADDRESSES = (" at 0x", "<generator", "<built-in", "<bound", "<function", "<class", "<jinja2",
             "<Macro", "<LoopContext", "<list_reverse", "<dict_reverse", "<reversed", "<Joiner")
BEYOND = ("64 bits", "too large", "have no order", "is not empty")  # refused on purpose
WORD = set("αβγδσΩéß中文😀")  # letters of data alone


class Generation(jinja2.ext.Extension):
    """{% generation %}: a block with variables of its own, as in Hugging Face's extension."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller):
        return caller()


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators,
                      sort_keys=sort_keys)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def environment():
    env = jinja2.sandbox.SandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, cache_size=0,
        extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.filters["from_json"] = json.loads
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = DAY.strftime
    return env


ENVIRONMENT = environment()


def reference(case):
    """The text, or None where jinja2 fails, and why."""
    try:
        template = ENVIRONMENT.from_string(case["template"])
        text = template.render(**copy.deepcopy(case["data"]), **case.get("settings", {}))
        text.encode("utf-8")
        return text, None
    except Exception as error:  # whatever it is, it must be an error for us, too
        return None, f"{type(error).__name__}: {error}"


def answers(tool, cases):
    lines = "".join(json.dumps(case) + "\n" for case in cases)
    run = subprocess.run([tool], input=lines.encode(), capture_output=True, check=True)
    # Newlines in texts are escaped; other line ends are not.
    results = [json.loads(line) for line in run.stdout.decode().split("\n")[:-1]]
    assert len(results) == len(cases), "an answer for each case"
    return results


def wrong_origin(result):
    """A character of the data that counts as the template's, if there is one."""
    data, begin = result["text"].encode(), 0
    for end, is_input in result["spans"]:
        part = data[begin:end].decode("utf-8", errors="replace")
        if not is_input and WORD & set(part):
            return f"{part!r} of {result['text']!r} counts as the template's"
        begin = end
    return None if begin == len(data) else f"the spans end at {begin} of {len(data)}"


def difference(case, ours):
    """(what differs or None, whether jinja2 rendered it)."""
    text, why = reference(case)
    if text is None:
        what = f"jinja2 fails ({why}), we say {ours.get('text')!r}"
        return None if "error" in ours else what, False
    if any(address in text for address in ADDRESSES):
        return None, False
    if "error" in ours:
        beyond = any(words in ours["error"] for words in BEYOND)
        return (None if beyond else f"jinja2 says {text!r}, we fail: {ours['error']}"), False
    if text != ours["text"]:
        return f"jinja2 says {text!r}, we say {ours['text']!r}", True
    of_data = WORD.isdisjoint(case["template"]) and "\\" not in case["template"]
    return (wrong_origin(ours) if of_data else None), True


def compare(tool, cases):
    """The first differences, with their cases, and how many were rendered."""
    found, rendered = [], 0
    for case, ours in zip(cases, answers(tool, cases)):
        what, good = difference(case, ours)
        rendered += good
        if what is not None:
            found.append(f"{what}\n{json.dumps(case, ensure_ascii=False)}")
    return found, rendered


# ---- random templates ----

DICT_FILTERS = ["items|list", "dictsort", "list", "dictsort(by='value')", "dictsort(reverse=true)"]
JSON_ARGUMENTS = ["", "(indent=2)", "(ensure_ascii=true)", "(indent=0)", "(separators=(',', ':'))"]
WORDS = ["", "a", "b c", " a ", "x,y,z", "Ab-Cd", "\\n", "k\\nl\\n", "1.5", "12", "q\\tz", "aXbXc",
         "<i>", "it\\u0041", "-7", "1e3", "name", "role"]
KINDS = ["defined", "none", "string", "number", "mapping", "iterable", "sequence", "true", "false",
         "boolean", "integer", "float", "undefined"]
NUMBER_TESTS = ["eq 1", "in [1, 2]", "gt 1", "lessthan(3)", "ge(2)", "ne(3)", "le(f)"]
BLOCK_FILTERS = ["upper", "trim", "indent(2)", "replace('a', 'b')"]


class Writer:
    """Random templates: mostly of kinds that fit together, so that most of them can be rendered."""

    def __init__(self, seed):
        self.rng = random.Random(seed)
        self.depth = 0
        self.names = []

    def one(self, *choices):
        return self.rng.choice(choices)

    def word(self):
        return "'" + self.one(*WORDS) + "'"

    def text(self):
        rng = self.rng
        if self.depth > 3 or rng.random() < 0.35:
            return self.one("s", "t", "u", "m.content", "m.role", "d.k", self.word(), self.word(),
                            "d['k']", "bos_token", "p", "q", *self.names[-2:])
        self.depth += 1
        value = self.one(
            lambda: f"({self.text()} + {self.text()})",
            lambda: f"({self.text()} ~ {self.any()})",
            # Not of a constant: jinja2 computes those while it compiles, and then forgives more.
            lambda: f"[n, {self.text()}][1]{self.slice()}",
            lambda: f"{self.text()}[{self.whole()}]",
            lambda: f"({self.text()}|{self.text_filter()})",
            lambda: f"({self.text()}.{self.text_method()})",
            lambda: f"({self.list()}|join({self.one('', self.word(), 't')}))",
            lambda: f"({self.any()}|string)",
            lambda: f"({self.any()}|tojson{self.one(*JSON_ARGUMENTS)})",
            lambda: f"({self.text()} if {self.test()} else {self.text()})",
            lambda: f"(({self.text()}|string) * {self.one(0, 1, 2, 3)})",
        )()
        self.depth -= 1
        return value

    def text_filter(self):
        return self.one("upper", "lower", "capitalize", "trim", "trim('a ')", "length",
                        f"replace({self.one('t', repr('a'), repr('bc'))}, {self.word()})",
                        "indent(2)", "indent(3, first=true)", "indent('>', true, true)", "string",
                        "first", "last", "reverse|list|join", "list|string", "int",
                        f"default({self.word()})", "d('z', true)",
                        "replace('a', 'b', 1)", "int(default=3)")

    def text_method(self):
        return self.one("upper()", "lower()", "title()", "capitalize()", "strip()", "lstrip()",
                        "rstrip()", "strip('a')", "split()|string", "split(',')|string",
                        "split('a', 1)[-1]", "split(None, 1)|string", "split()[0]",
                        "startswith('a')|string", "endswith(('a', 'c'))|string",
                        "replace('a', 'bb')", "replace('x', '-', 2)", "join(['x', 'y'])",
                        "lstrip('ab ')", "nothing()")

    def whole(self):
        rng = self.rng
        if self.depth > 3 or rng.random() < 0.5:
            return self.one("0", "1", "2", "-1", "n", "7", "true", "b", "d.n", "1000")
        self.depth += 1
        value = self.one(
            lambda: f"({self.whole()} {self.one('+', '-', '*', '//', '%')} {self.whole()})",
            lambda: f"{self.one(self.text, self.list, self.dict)()}|length",
            lambda: f"{self.text()}|int",
            lambda: f"-{self.whole()}",
        )()
        self.depth -= 1
        return value

    def number(self):
        rng = self.rng
        if self.depth > 3 or rng.random() < 0.5:
            return self.one("3.5", "0.1", "f", "1e20", "2.0", self.whole(), self.whole())
        self.depth += 1
        value = self.one(
            lambda: f"({self.number()} {self.one('+', '-', '*', '/')} {self.number()})",
            lambda: f"-{self.number()}",
            lambda: f"{self.one('xs', '(1, 2)', '[3, 0.5]')}|{self.one('first', 'last')}",
            self.whole,
        )()
        self.depth -= 1
        return value

    def list(self):
        rng = self.rng
        if self.depth > 3 or rng.random() < 0.4:
            return self.one("xs", "ys", "ms", "ws", "[]", "['b', 'a', 'C']", "(1, 2)",
                            "range(3)|list", "[3, 1, 2]", "s", "d", "range(5, 0, -2)|list")
        self.depth += 1
        value = self.one(
            lambda: "[" + ", ".join(self.any() for _ in range(rng.randrange(4))) + "]",
            lambda: "(" + ", ".join(self.any() for _ in range(rng.randrange(2, 4))) + ")",
            lambda: f"[n, {self.list()}][1]{self.slice()}",
            lambda: f"({self.list()} + {self.list()})",
            lambda: f"{self.list()}|{self.list_filter()}",
            lambda: f"{self.dict()}|{self.one(*DICT_FILTERS)}",
            lambda: f"{self.dict()}.{self.one('keys()', 'values()', 'items()')}|list",
            lambda: f"{self.text()}.split({self.one('', self.word())})",
            lambda: f"{self.one('xs', 'ys')}|unique|list",
            lambda: f"ms|sort(attribute='{self.one('role', 'content')}')",
            lambda: f"ms|map(attribute='{self.one('role', 'content', 'x', 'n.k')}')|list",
        )()
        self.depth -= 1
        return value

    def list_filter(self):
        return self.one("list", "sort", "sort(reverse=true)", "reverse|list",
                        "map('string')|list", "map('upper')|list", "select|list", "reject|list",
                        "select('string')|list", "reject('none')|list", "select('equalto', 1)|list",
                        "selectattr('role')|list", "selectattr('role', 'equalto', 'user')|list",
                        "rejectattr('x', 'defined')|list",
                        "map('length')|list", "map('default', 'z')|list",
                        "sort(case_sensitive=true)", "map(attribute=0)|list",
                        "select('in', [1, 2, 'a'])|list", "select('>', 1)|list", "map('int')|sort",
                        "join(',')|list")

    def dict(self):
        rng = self.rng
        if self.depth > 3 or rng.random() < 0.5:
            return self.one("d", "m", "{}", "{'a': 1, 'b': 'x'}", "ms[0]", "dict(a=1)")
        self.depth += 1
        keys = [self.one("'a'", "'b'", "1", "true", "t", "none", "1.0")
                for _ in range(rng.randrange(3))]
        value = "{" + ", ".join(f"{key}: {self.any()}" for key in keys) + "}"
        self.depth -= 1
        return value

    def slice(self):
        return self.one("[1:]", "[:1]", "[::-1]", "[-2:]", "[:-1]", "[1:3]", "[::2]", "[5:1:-2]",
                        "[:]", "[-9:9]", "[n:]")

    def test(self):
        rng = self.rng
        if self.depth > 3 or rng.random() < 0.3:
            return self.one("true", "false", "b", "s", "missing", "none", "xs", "(n > 1)",
                            "(loop is defined)", "(m.x is defined)")
        self.depth += 1
        value = self.one(
            lambda: f"({self.any()} is {self.one('', 'not ')}{self.one(*KINDS)})",
            lambda: f"({self.number()} is {self.one(*NUMBER_TESTS)})",
            lambda: f"({self.whole()} is {self.one('', 'not ')}{self.one('odd', 'even')})",
            lambda: f"({self.any()} {self.one('==', '!=')} {self.any()})",
            lambda: f"({self.number()} {self.one('<', '>', '<=', '>=')} {self.number()})",
            lambda: f"({self.text()} {self.one('<', '>', '<=', '==')} {self.text()})",
            lambda: f"({self.one(self.text, self.number, lambda: 'ms[0]')()} "
                    f"{self.one('in', 'not in')} {self.one(self.text, self.list)()})",
            lambda: f"({self.text()} in {self.any()})",
            lambda: f"(not {self.test()})",
            lambda: f"({self.test()} {self.one('and', 'or')} {self.test()})",
        )()
        self.depth -= 1
        return value

    def any(self):
        return self.one(self.text, self.text, self.number, self.list, self.dict, self.test,
                        lambda: self.one("none", "missing", "m.x", "d['items']", "loop.index",
                                         "ns.a"))()

    # ---- statements ----

    def tag(self, inside):
        return ("{%" + self.one("", "", "", "-", "+") + f" {inside} " +
                self.one("", "", "", "-", "+") + "%}")

    def output(self):
        return ("{{" + self.one("", "", "-") + f" {self.any()} " + self.one("", "", "|safe", "-") +
                "}}")

    def data(self):
        return self.one("", "", " ", "\n", "text", "  \n  ", "\n\n", "a\n  ", " b ", "{ }", "#",
                        "\t", "%}\n")

    def block(self, depth):
        return "".join(self.statement(depth) for _ in range(self.rng.randrange(1, 4)))

    def loop(self, depth):
        variable = self.one("i", "m", "k, v", "x")
        source = self.one(self.list, self.list, lambda: f"{self.dict()}.items()",
                          lambda: f"{self.dict()}|items")()
        if variable == "k, v":
            source = self.one("d.items()", "m|items", "[(1, 2), (3, 4)]", "d|dictsort")
        test = self.one("", "", "", f" if {self.test()}")
        names = self.names
        self.names = names + ["k", "v"] if variable == "k, v" else names + [variable]
        # jinja2's else also runs where no iteration came to its end.
        leaves = self.one("{% break %}", "{% continue %}",
                          "{% if loop.index > 1 %}{% break %}{% endif %}")
        end = self.one(leaves, self.one(
            "", "", "{{ loop.index }}", "{{ loop.last }}", "{{ loop.first }}", "{{ loop.index0 }}",
            "{{ loop.length }}", "{{ loop.previtem }}", "{{ loop.nextitem }}",
            "{{ loop.revindex }}", "{{ loop.revindex0 }}"))
        inner = self.block(depth - 1) + end
        self.names = names
        other = "" if "break" in inner or "continue" in inner else self.one(
            "", self.tag("else") + self.block(depth - 1))
        return (self.tag(f"for {variable} in {source}{test}") + inner + other + self.tag("endfor"))

    def condition(self, depth):
        parts = [self.tag(f"if {self.test()}"), self.block(depth - 1)]
        for _ in range(self.one(0, 0, 1)):
            parts += [self.tag(f"elif {self.test()}"), self.block(depth - 1)]
        if self.one(True, False):
            parts += [self.tag("else"), self.block(depth - 1)]
        return "".join(parts) + self.tag("endif")

    def setting(self, depth):
        name = self.one("p", "q")
        return self.one(
            lambda: self.tag(f"set {name} = {self.any()}"),
            lambda: self.tag(f"set p, q = {self.any()}, {self.any()}"),
            lambda: self.tag(f"set ns.a = {self.any()}"),
            lambda: self.tag(f"set {name}{self.one('', '|upper', '|trim|length')}") +
            self.block(depth - 1) + self.tag("endset"),
        )()

    def macro(self, depth):
        name = self.one("mac", "mac2")
        defaults = self.one("", ", y=3", ", y=x", ", y='z'")
        body = self.block(depth - 1) + self.one("{{ x }}", "{{ y }}", "")
        call = self.one(f"{{{{ {name}({self.any()}) }}}}", f"{{{{ {name}() }}}}",
                        f"{{{{ {name}(1, y={self.any()}) }}}}", f"{{{{ {name}(1, 2, 3) }}}}",
                        f"{{{{ {name}(x=4, z=1) }}}}")
        return self.tag(f"macro {name}(x{defaults})") + body + self.tag("endmacro") + call

    def statement(self, depth):
        if depth <= 0 or self.rng.random() < 0.45:
            return self.data() + self.output()
        return self.data() + self.one(
            lambda: self.loop(depth), lambda: self.condition(depth), lambda: self.setting(depth),
            lambda: self.macro(depth), lambda: self.output(),
            lambda: "{#" + self.one("", "-") + " note " + self.one("", "-") + "#}",
            lambda: self.tag(f"filter {self.one(*BLOCK_FILTERS)}") +
            self.block(depth - 1) + self.tag("endfilter"),
        )() + self.data()

    def template(self):
        # p and q are set once: jinja2 hides what the data has under a name that a template sets,
        # even before it is set; we do not.
        return ("{% set ns = namespace(a=1) %}{% set p = s %}{% set q = n %}" +
                "".join(self.statement(2) for _ in range(self.rng.randrange(1, 4))))

    def small(self):
        return self.output() + self.output()


def data_of(rng):
    def text():
        return "".join(rng.choice("αβγδσΩéß中文😀  ,.\n12-") for _ in range(rng.randrange(9)))
    message = {"role": rng.choice(["user", "assistant", "tool"]), "content": text()}
    messages = [{"role": rng.choice(["user", "assistant", "system"]), "content": text(),
                 **({"x": rng.randrange(3)} if rng.random() < 0.5 else {}),
                 **({"n": {"k": text()}} if rng.random() < 0.5 else {})}
                for _ in range(rng.randrange(4))]
    return {"s": text(), "t": text(), "u": text().strip(), "m": message, "ms": messages,
            "n": rng.randrange(-3, 6), "f": rng.choice([0.5, -2.25, 1e16, 1e-5, 3.0, 123456.789]),
            "b": rng.random() < 0.5, "xs": [rng.randrange(5) for _ in range(rng.randrange(5))],
            "ys": [text() for _ in range(rng.randrange(4))],
            "ws": [rng.choice([1, "α", None, 2.5, True, [1], {"a": "β"}])
                   for _ in range(rng.randrange(4))],
            "d": {"k": text(), "n": rng.randrange(9), "β": None, "items": text()}}


def random_cases(seed, n, small):
    cases = []
    for i in range(n):
        writer = Writer(f"{seed} {i}")
        cases.append({"template": writer.small() if small else writer.template(),
                      "data": data_of(writer.rng), "settings": {"bos_token": "<s>"}})
    return cases


def report(number, name, found, detail):
    print(f"{'not ok' if found else 'ok'} {number} - {name}")
    lines = [line for text in found[:5] for line in text.split("\n")] or [detail]
    print("\n".join("# " + line for line in lines), flush=True)
    return bool(found)


def main():
    warnings.simplefilter("ignore")  # of the Python that jinja2 makes
    tool, n_random = sys.argv[1], int(sys.argv[2])
    groups = list(jinja_cases.groups())
    print(f"1..{len(groups) + 2}")
    failed = False
    for number, (name, cases) in enumerate(groups, 1):
        found, rendered = compare(tool, cases)
        failed |= report(number, name, found, f"{len(cases)} cases, {rendered} rendered")
    for number, (name, small) in enumerate([("random expressions are Python's", True),
                                            ("random templates are Python's", False)],
                                           len(groups) + 1):
        found, rendered = compare(tool, random_cases(f"{small}", n_random, small))
        if rendered < n_random / 4:
            found.append(f"only {rendered} of {n_random} could be rendered")
        failed |= report(number, name, found, f"{n_random} cases, {rendered} rendered")
    return failed


if __name__ == "__main__":
    sys.exit(main())
