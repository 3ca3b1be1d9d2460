"""Schemas, compared with another validator (Debian's python3-jsonschema).

What is written through the masks must be JSON that the validator allows; of values in the
documented spelling the automaton must accept exactly those that the validator allows.
"""
import itertools
import json
import random
import sys

from form_tool import run_cases
from json_validator import is_allowed
from random_schemas import Maker, write


def assert_written(schema, answer):
    """Every text written is JSON of the schema."""
    for text in answer["written"]:
        assert text is not None, f"no end was found for {schema}"
        value = json.loads(text)
        assert is_allowed(schema, value), f"{schema} does not allow {text!r}"


def declared(*names, **more):
    return {"type": "object", "properties": {n: {"type": "integer"} for n in names},
            "additionalProperties": False, **more}


FORMATS = ["date", "time", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "uuid",
           "uri"]
TREE = {"$ref": "#/$defs/tree", "$defs": {"tree": {
    "type": "object", "additionalProperties": False, "required": ["value", "children"],
    "properties": {"value": {"type": "string", "maxLength": 5},
                   "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}}}

BY_HAND = (
    [{"type": "string", "format": f} for f in FORMATS] +
    [{"type": "string", "minLength": a, "maxLength": b} for a in (0, 1, 3) for b in (3, 4, 10)] +
    [{"type": "integer", "minimum": a, "maximum": a + b}
     for a in (-1000, -12, -1, 0, 1, 9, 95, 12345) for b in (0, 1, 10, 987)] +
    [{"type": "number", "minimum": a, "exclusiveMaximum": a + b}
     for a in (-2.5, -0.01, 0, 0.5, 99.75) for b in (0.25, 1, 100.5)] +
    [{"type": "integer", "exclusiveMinimum": a} for a in (-5, 0, 7, 999)] +
    [{"type": "integer", "multipleOf": m} for m in (1, 2, 3, 5, 12, 100)] +
    [{"type": "array", "items": {"type": "boolean"}, "minItems": a, "maxItems": a + b}
     for a in (0, 1, 2) for b in (0, 1, 5)] +
    [declared("a", "b", "c", required=r) for r in ([], ["a"], ["b"], ["c"], ["a", "c"],
                                                   ["a", "b", "c"])] +
    [declared("a", "b", "c", minProperties=a, maxProperties=b) for a in (0, 1, 2, 3)
     for b in (a, 3)] +
    [{"pattern": p} for p in ("^a", "a$", "^a$", "", "a|b", "^(a|b)*$", "\\.", "^\\w+$",
                              "^[^\"]*$")] +
    [{"type": t} for t in ("null", "boolean", "integer", "number", "string", "array", "object")] +
    [True, {}, TREE, {"enum": ["a", 1, None, [1], {"a": "é"}]}, {"const": {"a": [1, {"b": None}]}},
     {"const": 2.5}, {"const": "\u2028\"\\\n\x1f"}, {"enum": [f"item {i}" for i in range(1000)]},
     {"enum": [1, 2.5, 10], "minimum": 2, "maximum": 9},
     {"enum": ["ab", "b", "abc"], "pattern": "^a", "maxLength": 2},
     {"type": ["object", "null"], "properties": {"a": {"$ref": "#"}},
      "additionalProperties": False},
     {"prefixItems": [{"type": "integer"}, {"type": "string"}], "items": False, "minItems": 2},
     {"type": "array", "prefixItems": [{"const": 1}], "items": {"const": 2}, "maxItems": 4},
     {"required": ["x"], "type": "object"},
     {"type": "object", "additionalProperties": {"type": "integer"}, "maxProperties": 2},
     {"allOf": [{"$ref": "#/$defs/a"}, {"properties": {"y": {"type": "integer"}}}],
      "$defs": {"a": {"type": "object", "properties": {"x": {"type": "string"}},
                      "required": ["x"]}}},
     {"oneOf": [{"type": "integer", "maximum": 3}, {"type": "integer", "minimum": 4},
                {"type": "string"}]},
     {"type": "object", "oneOf": [
         {"properties": {"k": {"const": 1}}, "required": ["k"]},
         {"properties": {"k": {"const": 2}, "l": {"type": "string"}}, "required": ["k", "l"]}]},
     {"$defs": {"a/b~c %": {"type": "integer"}}, "$ref": "#/$defs/a~1b~0c%20%25"},
     {"type": "string", "pattern": "^[a-z]+$", "minLength": 3, "maxLength": 3}])


def orders(value):
    """The value with its members in every order."""
    if isinstance(value, dict):
        for items in itertools.permutations(value.items()):
            for parts in itertools.product(*(orders(v) for _, v in items)):
                yield dict(zip((k for k, _ in items), parts))
    elif isinstance(value, list):
        yield from map(list, itertools.product(*map(orders, value)))
    else:
        yield value


def is_accepted_in_another_order(tool, schema, value):
    """Members must come as declared; a value made for one branch may be another branch's."""
    texts = [json.dumps(v, ensure_ascii=False) for v in itertools.islice(orders(value), 5000)]
    return any(tool.ask("schema", schema, texts)["accepted"])


def test_values(tool, schema, maker, n_values):
    """The verdicts on values near the schema; how many of them were allowed."""
    values = [maker.value(schema, schema) for _ in range(n_values)]
    texts = [write(v, maker.random) for v in values]
    answer = tool.ask("schema", schema, texts)
    assert answer["status"] == "ok", f"{schema}: {answer['error']}"
    for value, text, accepted in zip(values, texts, answer["accepted"]):
        allowed = is_allowed(schema, value)
        if allowed and not accepted:
            accepted = is_accepted_in_another_order(tool, schema, value)
        assert allowed == accepted, f"{schema}: {text!r} is allowed: {allowed}, here: {accepted}"
    return sum(answer["accepted"])


def what_is_written_is_allowed_by_hand(tool):
    for number, schema in enumerate(BY_HAND):
        for vocabulary in ("bytes", "pieces"):
            answer = tool.ask("schema", schema, walks=5, seed=number, vocabulary=vocabulary)
            assert answer["status"] == "ok", f"{schema}: {answer['error']}"
            assert_written(schema, answer)
    return f"{len(BY_HAND)} schemas"


def what_is_allowed_is_accepted_by_hand(tool):
    maker = Maker(random.Random(1))
    n = sum(test_values(tool, s, maker, 30) for s in BY_HAND if "format" not in str(s))
    assert n > 1000, n
    return f"{n} values"


def random_case(tool, first_seed, n_schemas):
    """Schemas that are compiled, are met by nothing, are refused; values that were allowed."""
    counts = {"ok": 0, "format": 0, "unsupported": 0, "limit": 0, "values": 0}
    for seed in range(first_seed, first_seed + n_schemas):
        maker = Maker(random.Random(seed))
        schema = maker.root()
        answer = tool.ask("schema", schema, walks=4, seed=seed,
                          vocabulary="pieces" if seed % 2 else "bytes")
        counts[answer["status"]] += 1
        if answer["status"] == "ok":
            assert_written(schema, answer)
            counts["values"] += test_values(tool, schema, maker, 20)
        elif answer["status"] == "format":
            assert "no text at all" in answer["error"], f"{schema}: {answer['error']}"
            for _ in range(50):
                value = maker.value(schema, schema)
                assert not is_allowed(schema, value), f"{schema} is met by {value!r}"
    return counts


def random_schemas_agree_with_the_validator(tool):
    counts = random_case(tool, 1000, N_RANDOM)
    assert counts["ok"] > 0.8 * N_RANDOM and counts["limit"] == 0, counts
    assert counts["values"] > 4 * N_RANDOM, counts
    return str(counts)


def an_object_is_any_object(tool):
    answer = tool.ask("object", None, ['{"a": [1, {}], "b": null}', "{}", "[]", '{"a":}'],
                      walks=20, seed=5, vocabulary="pieces")
    assert answer["accepted"] == [True, True, False, False], answer
    assert all(isinstance(json.loads(t), dict) for t in answer["written"])


def choices_are_exactly_the_choices(tool):
    form = ["yes", "no", "yes, but", "é", ""]
    answer = tool.ask("choices", form, form + ["y", "yes,", "nope"], walks=40, seed=1)
    assert answer["accepted"] == [True] * 5 + [False] * 3, answer
    assert set(answer["written"]) == set(form), answer


N_RANDOM = int(sys.argv[2])
run_cases(sys.argv[1], [
    what_is_written_is_allowed_by_hand, what_is_allowed_is_accepted_by_hand,
    random_schemas_agree_with_the_validator, an_object_is_any_object,
    choices_are_exactly_the_choices])
