"""Schemas whose values all have a bounded length: a hundred written ones, and random ones."""
import random
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "oracle/schema"))
from random_schemas import Maker  # noqa: E402


def obj(optional=(), **properties):
    return {"type": "object", "properties": properties, "additionalProperties": False,
            "required": [name for name in properties if name not in optional]}


def text(most, **more):
    return {"type": "string", "maxLength": most, **more}


def whole(least, most, **more):
    return {"type": "integer", "minimum": least, "maximum": most, **more}


def number(least, most, **more):
    return {"type": "number", "minimum": least, "maximum": most, **more}


def some(items, most, **more):
    return {"type": "array", "items": items, "maxItems": most, **more}


def pattern(expression):
    return {"type": "string", "pattern": expression}


def formatted(name):
    return {"type": "string", "format": name}


def one_of(*values):
    return {"enum": list(values)}


BOOL = {"type": "boolean"}
NULL = {"type": "null"}
MONEY = pattern("^[0-9]{1,6}\\.[0-9]{2}$")
ADDRESS = obj(street=text(20), number=whole(1, 999), city=text(15), zip=pattern("^[0-9]{5}$"))

WRITTEN = [
    # What programs ask for.
    obj(vendor=text(20), total=MONEY, currency=one_of("EUR", "USD", "GBP")),
    obj(name=text(20, minLength=1), age=whole(0, 130), member=BOOL),
    obj(sentiment=one_of("good", "bad", "neither"), score=number(0, 1)),
    obj(("note",), title=text(30), done=BOOL, note=text(20)),
    obj(from_=ADDRESS, to=ADDRESS),
    obj(items=some(obj(sku=pattern("^[A-Z]{3}-[0-9]{4}$"), count=whole(1, 99)), 3, minItems=1)),
    obj(id=formatted("uuid"), at=formatted("date-time")),
    obj(mail=formatted("email"), since=formatted("date")),
    obj(host=formatted("hostname"), address=formatted("ipv4"), port=whole(1, 65535)),
    obj(answer=one_of(True, False), why=text(60)),
    obj(city=text(20), celsius=number(-90, 60), sky=one_of("clear", "rain", "snow", None)),
    obj(steps=some(text(30, minLength=3), 4, minItems=1)),
    obj(x=number(-1, 1), y=number(-1, 1), z=number(-1, 1)),
    obj(kind={"const": "circle"}, radius=number(0, 100, exclusiveMinimum=0)),
    obj(language=pattern("^[a-z]{2}(-[A-Z]{2})?$"), words=whole(0, 10 ** 6)),
    obj(start=formatted("time"), end=formatted("time"), days=some(whole(1, 7), 7)),
    obj(call=one_of("add", "remove"), arguments=some(whole(-9, 9), 2, minItems=2)),
    obj(("b", "c", "d"), a=BOOL, b=BOOL, c=BOOL, d=BOOL),
    obj(tags=some(one_of("red", "green", "blue"), 3), weight=number(0, 10)),
    obj(version=pattern("^v?\\d{1,3}(\\.\\d{1,3}){2}$"), channel=one_of("stable", "next")),
    obj(rows=some(some(whole(0, 1), 3, minItems=3), 3, minItems=3)),
    obj(question=text(40), options=some(text(10), 4, minItems=2), right=whole(0, 3)),
    obj(person=obj(given=text(12), family=text(12)), phone=pattern("^\\+[0-9]{6,15}$")),
    obj(ok=BOOL, error={"anyOf": [NULL, obj(code=whole(100, 599), message=text(30))]}),
    obj(duration=formatted("duration"), cost={"anyOf": [MONEY, NULL]}),
    # Strings.
    text(0), text(10), text(40, minLength=5), text(4, minLength=4), text(200, minLength=20),
    text(20, pattern="^a"), text(12, pattern="b$"), text(16, pattern="x"),
    text(8, pattern="^[^0-9]*$"), pattern("^(yes|no|maybe)$"), pattern("^[A-F0-9]{8}$"),
    pattern("^.{2,5}$"), pattern("^\\w{1,9}$"),
    pattern("^(ab|cd){1,4}$"), pattern("^[é-ü]{2}€?$"), pattern("^\\u0041\\x42[\\\\\"]$"),
    pattern("^(?:a|(b))c{0,3}?$"), text(10, pattern="\\.[a-z]{2}$", minLength=6),
    {"allOf": [text(9), {"pattern": "^[a-z]*$"}, {"pattern": "q"}]},
    formatted("date"), formatted("time"), formatted("date-time"), formatted("duration"),
    formatted("email"), formatted("hostname"), formatted("ipv4"), formatted("ipv6"),
    formatted("uuid"), {"type": "string", "format": "uri", "maxLength": 40},
    # Numbers.
    whole(-5, 5), whole(95, 105), whole(-1000, 12345), whole(7, 7),
    whole(0, 1000, multipleOf=7), whole(-50, 50, multipleOf=25), {"type": "integer"},
    whole(0, 9, exclusiveMinimum=3, exclusiveMaximum=6), whole(10 ** 11, 10 ** 12),
    number(0, 1), number(-2.5, 2.5), number(0.001, 0.002), number(99.5, 100.25),
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5}, {"type": "number"},
    {"type": "number", "minimum": 1000}, {"type": ["integer", "null"], "maximum": -1},
    {"allOf": [{"type": "number", "minimum": 2}, {"maximum": 8}, {"type": "integer"}]},
    # Constants, alternatives, references.
    BOOL, NULL, {"type": ["boolean", "null"]}, {"const": {"a": [1, {"b": None}], "c": "é\"\\\n"}},
    one_of("a", 1, None, 2.5, True, [1, "x"], {"k": {}}),
    one_of(*(f"item {i}" for i in range(300))),
    {"enum": [1, 5, 9, 13], "minimum": 4, "maximum": 10},
    {"enum": ["abc", "abd", "b"], "pattern": "^a", "minLength": 3},
    {"anyOf": [whole(0, 9), text(5), some(BOOL, 2)]}, {"anyOf": [obj(a=BOOL), obj(b=BOOL)]},
    {"oneOf": [whole(0, 3), text(3), NULL]},
    {"oneOf": [obj(kind={"const": "dot"}, x=whole(0, 9)),
               obj(kind={"const": "line"}, x=whole(0, 9), length=whole(1, 5))]},
    {"$ref": "#/$defs/pair", "$defs": {"pair": some({"$ref": "#/$defs/one"}, 2, minItems=2),
                                       "one": whole(0, 99)}},
    {"definitions": {"a/b~c": text(6)}, "$ref": "#/definitions/a~1b~0c"},
    {"$defs": {"base": {"type": "object", "properties": {"id": whole(1, 99)}, "required": ["id"]}},
     "allOf": [{"$ref": "#/$defs/base"},
               {"properties": {"name": text(9), "id": {}}, "required": ["name"],
                "additionalProperties": False}]},
    # Arrays and objects.
    some(BOOL, 5), some(whole(0, 9), 8, minItems=8), some(text(4), 3, minItems=1),
    some(some(some(NULL, 1), 2), 2),
    {"type": "array", "prefixItems": [BOOL, text(5)], "items": False},
    {"type": "array", "prefixItems": [whole(0, 9)], "items": text(3), "minItems": 2, "maxItems": 4},
    obj(), obj(("a",), a=obj(("b",), b=obj(("c",), c=NULL))),
    {**obj(("a", "b", "c", "d"), a=whole(0, 9), b=whole(0, 9), c=whole(0, 9), d=whole(0, 9)),
     "minProperties": 2, "maxProperties": 3},
    obj(**{"é \"quoted\"\n": BOOL, "": NULL, "$ref": text(3)}),
    obj(**{f"field_{i}": one_of(i, None) for i in range(30)}),
    obj(tuple(f"option_{i}" for i in range(30)), **{f"option_{i}": BOOL for i in range(30)}),
    {"type": ["object", "string"], "properties": {"a": BOOL}, "additionalProperties": False,
     "maxLength": 5},
]


def bounded(schema):
    """A random schema with a bound to everything that could go on."""
    if not isinstance(schema, dict) or not schema:
        return {"type": ["boolean", "null"]}
    schema = dict(schema)
    for word in ("anyOf", "oneOf", "prefixItems"):
        if word in schema:
            schema[word] = [bounded(part) for part in schema[word]]
    if "allOf" in schema:  # the first part has the bounds
        schema["allOf"] = [bounded(schema["allOf"][0]), *schema["allOf"][1:]]
    if "properties" in schema:
        schema |= {"type": "object", "additionalProperties": False,
                   "properties": bounded_all(schema["properties"])}
    types = schema.get("type", ())
    if "string" in types:
        schema["maxLength"] = min(12, schema.get("maxLength", 12))
    if "array" in types:
        schema["maxItems"] = min(3, schema.get("maxItems", 3))
        schema["items"] = bounded(schema.get("items"))
    return schema


def bounded_all(properties):
    return {name: bounded(part) for name, part in properties.items()}


def random_schema(seed):
    maker = Maker(random.Random(seed))
    return bounded(maker.schema(3))
