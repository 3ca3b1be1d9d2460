"""Random schemas, and random values near them: mostly allowed, often just outside."""
import json
from urllib.parse import unquote

NAMES = ["a", "b", "name", "id", "é", "x y", "\"q\"", "list", "kind", "long_name"]
WORDS = ["", "a", "ab", "abc", "x1", "hello world", "é€", "\U0001f600", "\n\t", "\\", "/", "12",
         "\x01", "A-Z", "zzzzzzzz"]
PATTERNS = ["^a", "b$", "^[a-z]+$", "[0-9]{2,4}", "^(ab|cd)*$", "^.{1,3}$", "^[^a]*$",
            "x+y?z", "^$", "é|€", "^a{0,3}b{1,2}$", "[ \\t-]", "^\\d+(\\.\\d+)?$"]
NUMBERS = [0, 1, -1, 2, 5, 7, 10, 12, 99, 100, 1000, -17, 0.5, -2.5, 3.25, 99.5, 0.1, 123456789]


class Maker:
    def __init__(self, random):
        self.random = random
        self.definitions = {}
        self.depth = 0

    def pick(self, items):
        return self.random.choice(items)

    def chance(self, p):
        return self.random.random() < p

    # ---- schemas ----

    def root(self):
        schema = self.schema(3)
        while not isinstance(schema, dict):
            schema = self.schema(3)
        if self.chance(0.3):
            self.definitions["node"] = {
                "type": "object", "additionalProperties": False, "required": ["v"],
                "properties": {"v": self.schema(1),
                               "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}}
            schema = {"type": "object", "properties": {"head": {"$ref": "#/$defs/node"},
                                                       "rest": schema},
                      "additionalProperties": False}
        return dict(schema, **({"$defs": self.definitions} if self.definitions else {}))

    def schema(self, depth):
        kinds = [self.string, self.string, self.integer, self.number, self.enumeration,
                 self.simple, self.simple]
        if depth > 0:
            kinds += [self.object, self.object, self.object, self.array, self.array, self.any_of,
                      self.one_of, self.all_of]
        return self.pick(kinds)(depth)

    def simple(self, depth):
        return self.pick([{"type": "null"}, {"type": "boolean"}, {"type": ["string", "null"]},
                          {"type": ["integer", "boolean"]}, {"type": "number"}, {}, True,
                          {"type": "string", "title": "t", "description": "d"}])

    def string(self, depth):
        schema = {"type": "string"}
        if self.chance(0.4):
            schema["pattern"] = self.pick(PATTERNS)
        if self.chance(0.3):
            schema["minLength"] = self.random.randint(0, 4)
        if self.chance(0.3):
            schema["maxLength"] = self.random.randint(2, 9)
        return schema

    def bounds(self, numbers):
        low, high = sorted([self.pick(numbers), self.pick(numbers)])
        schema = {}
        if self.chance(0.5):
            schema[self.pick(["minimum", "exclusiveMinimum"])] = low
        if self.chance(0.5):
            schema[self.pick(["maximum", "exclusiveMaximum"])] = high
        return schema

    def integer(self, depth):
        schema = {"type": "integer", **self.bounds(NUMBERS)}
        if self.chance(0.2):
            schema["multipleOf"] = self.pick([2, 3, 7, 10])
        return schema

    def number(self, depth):
        return {"type": "number", **self.bounds(NUMBERS)}

    def enumeration(self, depth):
        values = [self.pick(WORDS), self.pick(NUMBERS), None, True, self.pick(NAMES), [1, "a"],
                  {"k": [], "l": {}}]
        if self.chance(0.3):
            return {"const": self.pick(values)}
        listed = self.random.sample(values, self.random.randint(1, 5))
        return {"enum": listed, **({"type": "string"} if self.chance(0.2) else {})}

    def object(self, depth):
        names = self.random.sample(NAMES, self.random.randint(0, 4))
        schema = {"type": "object", "properties": {n: self.schema(depth - 1) for n in names}}
        schema["required"] = [n for n in names if self.chance(0.5)]
        if self.chance(0.6):
            schema["additionalProperties"] = False
        elif self.chance(0.5):
            schema["additionalProperties"] = self.schema(0)
        if self.chance(0.2):
            schema["maxProperties"] = self.random.randint(0, 3)
        if self.chance(0.2):
            schema["minProperties"] = self.random.randint(0, 2)
        if self.chance(0.1):
            del schema["type"]
        return schema

    def array(self, depth):
        schema = {"type": "array"}
        if self.chance(0.8):
            schema["items"] = self.schema(depth - 1)
        if self.chance(0.3):
            schema["prefixItems"] = [self.schema(depth - 1), self.schema(0)]
        if self.chance(0.4):
            schema["minItems"] = self.random.randint(0, 3)
        if self.chance(0.4):
            schema["maxItems"] = self.random.randint(0, 4)
        return schema

    def any_of(self, depth):
        return {"anyOf": [self.schema(depth - 1) for _ in range(self.random.randint(1, 3))]}

    def one_of(self, depth):
        if self.chance(0.5):
            return {"oneOf": [self.string(0), self.integer(0), {"type": "null"}]}
        return {"oneOf": [{"type": "object", "required": ["kind"],
                           "properties": {"kind": {"const": k}, "a": self.schema(depth - 1)},
                           "additionalProperties": False} for k in ["p", "q"]]}

    def all_of(self, depth):
        if self.chance(0.5):
            return {"allOf": [self.integer(0), {**self.bounds(NUMBERS)}]}
        if self.chance(0.5):
            return {"allOf": [self.string(0), self.string(0)]}
        return {"allOf": [{"type": "object", "properties": {"a": self.schema(depth - 1)}},
                          {"required": ["a"], "properties": {"b": self.schema(0)}}]}

    # ---- values ----

    def value(self, schema, root):
        """Something near the schema; a reference that goes on for ever ends in anything."""
        self.depth += 1
        try:
            return self.value_inside(schema, root)
        finally:
            self.depth -= 1

    def value_inside(self, schema, root):
        if not isinstance(schema, dict) or self.depth > 12 or self.chance(0.03):
            return self.anything(2)
        if "$ref" in schema:
            at = root
            for step in schema["$ref"].split("/")[1:]:
                at = at[unquote(step).replace("~1", "/").replace("~0", "~")]
            return self.value(at, root)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.pick(schema["enum"])
        for word in ("anyOf", "oneOf"):
            if word in schema:
                return self.value(self.pick(schema[word]), root)
        if "allOf" in schema:
            merged = {}
            for part in schema["allOf"]:
                for key, value in part.items():
                    merged[key] = ({**merged[key], **value} if key == "properties" and
                                   key in merged else value)
            return self.value(merged, root)
        kind = schema.get("type", "object" if "properties" in schema else None)
        kind = self.pick(kind) if isinstance(kind, list) else kind
        return {"object": self.object_value, "array": self.array_value,
                "string": self.string_value, "integer": self.number_value,
                "number": self.number_value}.get(
                    kind, lambda s, r: self.scalar(kind))(schema, root)

    def scalar(self, kind):
        return {"null": None, "boolean": self.chance(0.5)}.get(kind, None) if kind else (
            self.anything(2))

    def anything(self, depth):
        kinds = [None, True, False, self.pick(NUMBERS), self.pick(WORDS), self.pick(NAMES)]
        if depth > 0:
            kinds += [[self.anything(depth - 1) for _ in range(self.random.randint(0, 2))],
                      {self.pick(NAMES + ["x1", "y_id"]): self.anything(depth - 1)
                       for _ in range(self.random.randint(0, 1))}]  # two might be out of order
        return self.pick(kinds)

    def string_value(self, schema, root):
        if self.chance(0.5):
            return self.pick(WORDS)
        return "".join(self.pick("abcxyz01 -é€") for _ in range(self.random.randint(0, 8)))

    def number_value(self, schema, root):
        near = [schema[k] for k in ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
                if k in schema] or [0]
        number = self.pick(near) + self.pick([0, 0, 1, -1, 0.5, -0.25, 3, -8, 40, 1000])
        number = int(number) if schema["type"] == "integer" and self.chance(0.9) else number
        number -= number % schema.get("multipleOf", 1) if self.chance(0.5) else 0
        return int(number) if number == int(number) else number

    def object_value(self, schema, root):
        value = {}
        for name, part in schema.get("properties", {}).items():
            if name in schema.get("required", []) or self.chance(0.5):
                value[name] = self.value(part, root)
        more = schema.get("additionalProperties", True)
        if more is not False or self.chance(0.1):
            for _ in range(self.random.randint(0, 2)):
                value.setdefault(self.pick(NAMES + ["x1", "y_id"]), self.value(more, root))
        declared = [*schema.get("properties", {}), *schema.get("required", [])]
        return {n: value[n] for n in declared if n in value} | value

    def array_value(self, schema, root):
        prefix = schema.get("prefixItems", [])
        least = schema.get("minItems", 0)
        most = schema["maxItems"] + 1 if "maxItems" in schema else 5
        n = self.random.randint(least, max(least, most))
        return [self.value(prefix[i] if i < len(prefix) else schema.get("items", {}), root)
                for i in range(n)]


def write(value, random):
    """JSON as the documentation says it is written: every text has one spelling."""
    comma, colon = random.choice([",", ", "]), random.choice([":", ": "])
    if isinstance(value, dict):
        return "{" + comma.join(json.dumps(k, ensure_ascii=False) + colon + write(v, random)
                                for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + comma.join(write(v, random) for v in value) + "]"
    return json.dumps(value, ensure_ascii=False)
