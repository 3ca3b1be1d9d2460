"""Arithmetic with operands of up to two digits, and conversions with exact factors.

Answers have one form: "17 + 8 = 25", "3 km = 3000 m". A product of two operands of two digits is
worked out by the tens and ones of the second ("34 x 27 = 34 x 20 + 34 x 7 = 680 + 238 = 918"): each
step is a table or a short addition, which a small model can learn; the product at once is neither.
What is out of reach gets a fixed sentence instead of a guess.
"""
import re

from wording import expand, fill, pick, read_sections, say

LINES = read_sections("sums.txt")
OPERATORS = ("+", "-", "*", "/")
SIGNS = {"+": "+", "-": "-", "*": "x", "/": "/"}
TOO_LARGE = "I only calculate with whole numbers of up to two digits."
NO_ZERO = "Nothing can be divided by 0."
NO_UNIT = "I do not know that conversion."

ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
        "fifteen sixteen seventeen eighteen nineteen").split()
TENS = "- - twenty thirty forty fifty sixty seventy eighty ninety".split()
BOXES = (("box", "boxes"), ("bag", "bags"), ("crate", "crates"), ("pack", "packs"),
         ("basket", "baskets"), ("carton", "cartons"), ("case", "cases"), ("bundle", "bundles"),
         ("drawer", "drawers"), ("tin", "tins"), ("tray", "trays"), ("packet", "packets"),
         ("jar", "jars"), ("shelf", "shelves"), ("bucket", "buckets"), ("chest", "chests"))


def in_words(n):
    """A number below 100 as words."""
    if n < 20:
        return ONES[n]
    return TENS[n // 10] + (f"-{ONES[n % 10]}" if n % 10 else "")


def worked(left, operator, right):
    """The answer: the sum as it is read, how it is worked out, and its result."""
    sum_text = f"{left} {SIGNS[operator]} {right}"
    if operator == "+":
        return f"{sum_text} = {left + right}"
    if operator == "-":
        return f"{sum_text} = {left - right}"
    if operator == "/":
        if right == 0:
            return NO_ZERO
        whole, rest = divmod(left, right)
        return f"{sum_text} = {whole}" + (f" remainder {rest}" if rest else "")
    tens, ones = right // 10 * 10, right % 10
    if left < 10 or not tens or not ones:
        return f"{sum_text} = {left * right}"
    return (f"{sum_text} = {left} x {tens} + {left} x {ones} = {left * tens} + {left * ones} = "
            f"{left * right}")


def _operand(rng):
    """0 to 99; one digit as often as a third of the time."""
    return int(rng.random() * (10 if rng.random() < 0.3 else 100))


def _exact_division(rng):
    right = 1 + int(rng.random() * (12 if rng.random() < 0.7 else 50))
    return right * int(rng.random() * (99 // right + 1)), right


def small_operands(rng, operator):
    """Operands of up to two digits."""
    left, right = _operand(rng), _operand(rng)
    if operator == "/":
        if rng.random() < 0.8:
            return _exact_division(rng)
        return left, (right % 20 if rng.random() < 0.97 else 0)
    if operator == "-" and left < right and rng.random() < 0.8:
        return right, left
    return left, right


def story_operands(rng, operator):
    """As in a small word problem: 2 and more, a positive result, no remainder."""
    if operator == "/":
        right = 2 + int(rng.random() * 14)
        return right * (1 + int(rng.random() * (99 // right))), right
    left, right = 2 + int(rng.random() * 98), 2 + int(rng.random() * 98)
    if operator == "-":
        return max(left, right), min(left, right)
    if operator == "*" and rng.random() < 0.6:
        right = 2 + right % 11
    return (left, right) if rng.random() < 0.7 else (right, left)


def large_number(rng):
    return int(10 ** (2 + rng.random() * 4)) + rng.randrange(90)


def large_operands(rng, operator):
    """Beyond two digits: for the calculator, or to be declined."""
    left, right = large_number(rng), large_number(rng)
    x = rng.random()
    if x < 0.15:
        left, right = (left % 1000 + 1) / 10, right % 100 + 1
    elif x < 0.55:
        right = 2 + int(rng.random() * 98)
    if operator in "-/":
        return max(left, right), min(left, right)
    return (left, right) if rng.random() < 0.6 else (right, left)


def _story_values(rng):
    box, boxes = pick(rng, BOXES)
    values = {"box": box, "boxes": boxes}
    for name in ("things", "lengths", "place", "place2", "team", "seats"):
        values[name] = expand(rng, pick(rng, LINES[name])[1])
    while True:
        values["things2"] = expand(rng, pick(rng, LINES["things"])[1])
        if values["things2"] != values["things"]:
            return values


def number_text(rng, n, may_be_words):
    if may_be_words and n < 100 and n == int(n) and rng.random() < 0.22:
        return in_words(int(n))
    if n >= 1000 and rng.random() < 0.15:
        return f"{n:,}"
    return str(n)


def _has_sign(text):
    return bool(re.search(r"> ?[-+*/x:] ?<", text))


def question(rng, operator, left, right, story=False):
    """A message that asks for the sum."""
    values = {}
    if story:
        values = _story_values(rng)
        text = say(rng, LINES[f"story {operator}"])
        text = fill(text, values | {"a": "<a>", "b": "<b>"})
    elif rng.random() < 0.6:
        phrase = expand(rng, pick(rng, LINES[f"phrase {operator}"])[1])
        text = fill(say(rng, LINES["any"]), {"expr": phrase})
    else:
        text = say(rng, LINES[operator])
    words = not _has_sign(text)
    return fill(text, {"a": number_text(rng, left, words), "b": number_text(rng, right, words)})


def small_sum(rng):
    """(message, left, operator, right) with operands of up to two digits."""
    operator = "*" if rng.random() < 0.34 else pick(rng, OPERATORS)
    story = rng.random() < 0.25
    left, right = (story_operands if story else small_operands)(rng, operator)
    return question(rng, operator, left, right, story), left, operator, right


def large_sum(rng):
    operator = pick(rng, OPERATORS)
    left, right = large_operands(rng, operator)
    return question(rng, operator, left, right, rng.random() < 0.2), left, operator, right


def exchange(task, user, assistant, tools=None):
    return {"task": task, "system": None, "tools": tools,
            "messages": [{"role": "user", "content": user},
                         {"role": "assistant", "content": assistant}]}


CHAIN_WORDS = {"+": ("+", "+", "plus", "and"), "-": ("-", "-", "minus", "less")}


def chain(rng):
    """(message, answer) of a sum of three terms, worked out from the left."""
    a, b, c = _operand(rng), _operand(rng), _operand(rng)
    first, second = pick(rng, "++-"), pick(rng, "++-")
    if a < b and first == "-":
        a, b = b, a
    style = rng.randrange(4)
    spoken = f"{a} {CHAIN_WORDS[first][style]} {b} {CHAIN_WORDS[second][style]} {c}"
    if first == second == "+" and rng.random() < 0.3:
        spoken = fill(pick(rng, CHAIN_LISTS), {"a": str(a), "b": str(b), "c": str(c)})
    elif style < 2 and rng.random() < 0.3:
        spoken = spoken.replace(" ", "")
    so_far = a + b if first == "+" else a - b
    result = so_far + c if second == "+" else so_far - c
    return (fill(say(rng, LINES["any"]), {"expr": spoken}),
            f"{a} {first} {b} {second} {c} = {so_far} {second} {c} = {result}")


CHAIN_LISTS = ("<a>, <b> and <c>", "the sum of <a>, <b> and <c>", "<a> and <b> and <c> together",
               "<a>, <b> and <c> added up", "the total of <a>, <b> and <c>")


def make_arithmetic(rng):
    x = rng.random()
    if x < 0.04:
        return exchange("arithmetic", large_sum(rng)[0], TOO_LARGE)
    if x < 0.1:
        return exchange("arithmetic", *chain(rng))
    user, left, operator, right = small_sum(rng)
    return exchange("arithmetic", user, worked(left, operator, right))


LIST_REQUESTS = (
    "Calculate: <sums>", "Work these out: <sums>", "Solve: <sums>", "<sums>", "sums: <sums>",
    "Please do these sums: <sums>", "What are <sums>?", "My homework: <sums>", "Compute <sums>",
    "Can you calculate <sums>?", "One result a line, please: <sums>", "Results of <sums>")


def make_sum_list(rng):
    """Several sums in one message, one result a line: the plainest way to practise the tables."""
    separator = pick(rng, (", ", "; ", " and ", "\n", ", "))
    close = rng.random() < 0.5
    asked, answers = [], []
    for _ in range(3 + rng.randrange(10)):
        operator = pick(rng, "++--*/")
        left, right = small_operands(rng, operator)
        sign = pick(rng, ("x", "*")) if operator == "*" else operator
        asked.append(f"{left}{sign}{right}" if close else f"{left} {sign} {right}")
        answers.append(worked(left, operator, right))
    text = fill(pick(rng, LIST_REQUESTS), {"sums": separator.join(asked)})
    return exchange("sum_list", text, "\n".join(answers))


# Units: answer form, then how people write one and several of them.
UNITS = {
    "km": ("km", "km", "kilometre", "kilometres", "kilometer", "kilometers"),
    "m": ("m", "m", "metre", "metres", "meter", "meters"),
    "cm": ("cm", "cm", "centimetre", "centimetres", "centimeter", "centimeters"),
    "mm": ("mm", "mm", "millimetre", "millimetres", "millimeter", "millimeters"),
    "in": ("inch", "inches"),
    "ft": ("ft", "ft", "foot", "feet"),
    "t": ("t", "t", "tonne", "tonnes", "ton", "tons"),
    "kg": ("kg", "kg", "kilogram", "kilograms", "kilo", "kilos"),
    "g": ("g", "g", "gram", "grams"),
    "mg": ("mg", "mg", "milligram", "milligrams"),
    "l": ("l", "l", "litre", "litres", "liter", "liters"),
    "ml": ("ml", "ml", "millilitre", "millilitres", "milliliter", "milliliters"),
    "cl": ("cl", "cl", "centilitre", "centilitres"),
    "years": ("year", "years"),
    "months": ("month", "months"),
    "weeks": ("week", "weeks"),
    "days": ("day", "days"),
    "h": ("h", "h", "hour", "hours", "hour", "hours"),
    "min": ("min", "min", "minute", "minutes", "minute", "minutes"),
    "s": ("s", "s", "second", "seconds", "sec", "secs"),
    "ms": ("ms", "ms", "millisecond", "milliseconds"),
    "EUR": ("EUR", "EUR", "euro", "euros"),
    "USD": ("USD", "USD", "dollar", "dollars"),
    "cents": ("cent", "cents"),
    "TB": ("TB", "TB", "terabyte", "terabytes"),
    "GB": ("GB", "GB", "gigabyte", "gigabytes"),
    "MB": ("MB", "MB", "megabyte", "megabytes"),
    "KB": ("KB", "KB", "kilobyte", "kilobytes"),
    "dozen": ("dozen", "dozen"),
    "pieces": ("piece", "pieces"),
}
SINGULAR = {"years": "year", "months": "month", "weeks": "week", "days": "day", "cents": "cent",
            "pieces": "piece"}
# (large unit, small unit, how many of these it has, weight)
FACTORS = (
    ("km", "m", 1000, 5), ("m", "cm", 100, 5), ("m", "mm", 1000, 3), ("cm", "mm", 10, 3),
    ("in", "cm", 2.54, 3), ("ft", "in", 12, 2), ("t", "kg", 1000, 3), ("kg", "g", 1000, 5),
    ("g", "mg", 1000, 3), ("l", "ml", 1000, 5), ("l", "cl", 100, 2), ("cl", "ml", 10, 1),
    ("years", "months", 12, 3), ("weeks", "days", 7, 4), ("days", "h", 24, 4), ("h", "min", 60, 5),
    ("min", "s", 60, 5), ("s", "ms", 1000, 3), ("h", "s", 3600, 1), ("EUR", "cents", 100, 4),
    ("USD", "cents", 100, 2), ("TB", "GB", 1000, 3), ("GB", "MB", 1000, 4), ("MB", "KB", 1000, 2),
    ("dozen", "pieces", 12, 1), ("days", "min", 1440, 1), ("weeks", "h", 168, 1),
    ("days", "s", 86400, 1), ("km", "cm", 100000, 1), ("kg", "mg", 1000000, 1),
    ("TB", "MB", 1000000, 1), ("GB", "KB", 1000000, 1),
)
WEIGHTED_FACTORS = [row[:3] for row in FACTORS for _ in range(row[3])]
# How many of the large unit are asked for: tables beyond this are too long to learn by heart.
MOST = {2.54: 24, 12: 20, 7: 40, 24: 30, 60: 60, 3600: 12, 1440: 9, 168: 9, 86400: 3}
UNKNOWN_UNITS = (
    "miles", "yards", "pounds", "ounces", "stone", "gallons", "pints", "acres", "hectares", "knots",
    "light years", "nautical miles", "calories", "joules", "horsepower", "kilowatts", "bar",
    "furlongs", "cubic metres", "degrees fahrenheit", "degrees celsius", "quarts", "fathoms",
    "barrels", "carats", "newtons", "volts", "square metres", "leagues", "bushels", "watts", "psi")
UNIT_LINES = read_sections("units.txt")
AMOUNT_WORDS = {0.5: ("half a", "half a", "0.5", "1/2"), 1.5: ("one and a half", "1.5", "1 1/2"),
                2.5: ("two and a half", "2.5"),
                0.25: ("a quarter of a", "0.25"), 1: ("one", "a", "1")}


def plain(value):
    """3000.0 as 3000, 12.70 as 12.7."""
    return f"{value:.3f}".rstrip("0").rstrip(".")


def _with_unit(text, unit):
    return f"{text} {SINGULAR.get(unit, unit) if text == '1' else unit}"


def conversion_text(value, unit, result, target):
    return f"{_with_unit(plain(value), unit)} = {_with_unit(plain(result), target)}"


def _part(rng, factor):
    """Halves and a quarter where they are exact, or 1."""
    if factor in (24, 12, 60, 100, 1000):
        return (0.5, 1.5, 2.5, 0.25)[int(rng.random() * 4)]
    return 0.5 if factor % 2 == 0 else 1


def conversion(rng):
    """(value, unit, result, unit of the result)"""
    large, small, factor = pick(rng, WEIGHTED_FACTORS)
    n = 1 + int(rng.random() * MOST.get(factor, 99))
    x = rng.random()
    if factor != 2.54 and x < 0.12:
        n = _part(rng, factor)
    elif factor in (10, 100, 1000) and x < 0.3:
        n = n % 10 + (1 + int(rng.random() * 9)) / 10
    elif factor in (100, 1000) and x < 0.4:
        n *= 10
    if rng.random() < 0.62 or factor == 2.54 and rng.random() < 0.6:
        return n, large, n * factor, small
    return n * factor, small, n, large


def _amount_text(rng, value):
    if value in AMOUNT_WORDS and rng.random() < 0.6:
        return pick(rng, AMOUNT_WORDS[value])
    whole = value == int(value)
    if whole and value < 100 and rng.random() < 0.15:
        return in_words(int(value))
    if whole and value >= 1000 and rng.random() < 0.15:
        return f"{int(value):,}"
    return plain(value)


def _measure_text(rng, value, unit):
    """'3 km', 'half an hour', '3km', 'an hour and a half'."""
    forms = UNITS[unit]
    at = 2 * rng.randrange(len(forms) // 2)
    amount = _amount_text(rng, value)
    halved = ("hour", "minute", "day", "week", "year")
    if value == 1.5 and forms[at] in halved and rng.random() < 0.4:
        article = "an" if forms[at] == "hour" else "a"
        return f"{article} {forms[at]} and a half"
    if amount.endswith("a"):
        amount += "n" if forms[at][0] in "aeiou" or forms[at] == "hour" else ""
        return f"{amount} {forms[at]}"
    if at == 0 and len(forms[0]) <= 2 and amount[-1].isdigit() and rng.random() < 0.35:
        return amount + forms[0]
    return f"{amount} {forms[at + (value != 1)]}"


def unit_question(rng, value, unit, target):
    forms = UNITS[target]
    name = forms[1 + 2 * rng.randrange(len(forms) // 2)]
    if name == "foot":
        name = "feet"
    return fill(say(rng, UNIT_LINES["units"]),
                {"m": _measure_text(rng, value, unit), "u": name})


def _unknown_conversion(rng):
    """Units without an exact small factor, or that do not measure the same thing."""
    value = 1 + rng.randrange(99)
    unknown = pick(rng, UNKNOWN_UNITS)
    if rng.random() < 0.25:
        other = pick(rng, UNKNOWN_UNITS)
    else:
        other = pick(rng, UNITS[pick(rng, ("km", "m", "cm", "kg", "g", "l", "ml", "t"))])
    names = (unknown, other) if rng.random() < 0.5 else (other, unknown)
    text = say(rng, UNIT_LINES["units"])
    return fill(text, {"m": f"{value} {names[0]}", "u": names[1]})


def make_units(rng):
    if rng.random() < 0.05:
        return exchange("units", _unknown_conversion(rng), NO_UNIT)
    value, unit, result, target = conversion(rng)
    return exchange("units", unit_question(rng, value, unit, target),
                    conversion_text(value, unit, result, target))


TASKS = {"arithmetic": (9, make_arithmetic), "sum_list": (6, make_sum_list),
         "units": (6, make_units)}
