"""Tool calls: which function a wish needs, its arguments, and a sentence about its result.

Arguments are copied as they are written, and so are the values of a result. Three more rules:
 - With the calculator offered every sum goes to it; without it sums of up to two digits are
   answered directly, and larger ones are something no tool is there for.
 - Where the tool that is needed is not offered the answer is one fixed sentence.
 - Where the value a tool needs is not named the answer asks for it.
"""
import sums
from chat_format import as_json, call_text, response_text
from toolpools import amount, city, currency, item, order_id, warehouse
from wording import expand, fill, parse, pick, read_sections, say, tidy

LINES = read_sections("tool_wordings.txt")
NO_TOOL = "I have no tool for that."
NAMES = ("get_weather", "calculator", "stock_level", "order_status", "convert_currency")

# tool -> descriptions, the usual one first
DESCRIPTIONS = {
    "get_weather": ("Current weather in a city", "Get the weather of a city",
                    "Returns temperature and conditions for a place",
                    "Look up the weather right now"),
    "calculator": ("Compute an arithmetic expression", "Evaluates arithmetic",
                   "Calculate the value of an expression", "Does sums with numbers of any size"),
    "stock_level": ("How many of an item are in stock", "Get the stock level of an item",
                    "Returns the quantity of an item in a warehouse", "Look up our inventory"),
    "order_status": ("Status of an order", "Get the status of an order by its id",
                     "Returns state and delivery date of an order", "Look up an order"),
    "convert_currency": ("Convert an amount of money between currencies",
                         "Converts an amount from one currency to another",
                         "Returns an amount in another currency", "Exchange money at today's rate"),
}
TEXT = {"type": "string"}
# tool -> (properties, required)
PARAMETERS = {
    "get_weather": ({"city": TEXT, "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}},
                    ["city"]),
    "calculator": ({"expression": TEXT}, ["expression"]),
    "stock_level": ({"item": TEXT, "warehouse": TEXT}, ["item"]),
    "order_status": ({"order_id": TEXT}, ["order_id"]),
    "convert_currency": ({"amount": {"type": "number"}, "from": TEXT, "to": TEXT},
                         ["amount", "from", "to"]),
}
HINTS = {
    "city": ("Name of the city", "City", "The place"), "unit": ("Unit of the temperature", "Unit"),
    "expression": ("For example (3 + 4) * 12", "The expression", "Sum to compute"),
    "item": ("Name or code of the item", "Item", "What to look for"),
    "warehouse": ("Name of the warehouse", "Warehouse", "Where to look"),
    "order_id": ("Id of the order", "Order number", "The order's id"),
    "amount": ("Amount of money", "Amount"),
    "from": ("Currency code, such as EUR", "Source currency"),
    "to": ("Currency code, such as USD", "Target currency"),
}
QUESTIONS = {"get_weather": "Which city do you mean?", "stock_level": "Which item do you mean?",
             "order_status": "What is the order id?",
             "convert_currency": "Which amount and which currencies do you mean?"}


def schema(name, description, hints=None):
    """The JSON schema of a tool, as a client offers it."""
    properties, required = PARAMETERS[name]
    if hints:
        properties = {key: value | {"description": hints[key]} for key, value in properties.items()}
    return {"name": name, "description": description,
            "parameters": {"type": "object", "properties": properties, "required": required}}


def plain_schema(name):
    return schema(name, DESCRIPTIONS[name][0])


def schemas(rng, names):
    """Schemas in the order of the names, sometimes worded otherwise."""
    varied, hinted = rng.random() < 0.5, rng.random() < 0.4
    found = []
    for name in names:
        hints = {key: pick(rng, HINTS[key]) for key in PARAMETERS[name][0]} if hinted else None
        found.append(schema(name, DESCRIPTIONS[name][rng.randrange(4) if varied else 0], hints))
    return found


def offered(rng, needed=None, missing=None):
    """A random selection in random order, with one tool and without another."""
    names = [name for name in NAMES if name not in (needed, missing)]
    chosen = rng.sample(names, rng.randrange(len(names) + 1) if needed else
                        1 + rng.randrange(len(names)))
    if needed:
        chosen.insert(rng.randrange(len(chosen) + 1), needed)
    return chosen


# What is asked for: (message, arguments).

def _cased(rng, text, value):
    """Somebody who writes everything in lower case does so with names too."""
    return value.lower() if text == text.lower() and rng.random() < 0.4 else value


def _line(rng, tool, again):
    return say(rng, LINES[f"{tool} again" if again else tool])


UNIT_WISHES = [parse(text) for text in
               (" in (degrees |)<unit>", " in <unit>", " (in <unit>|, in <unit>)", ", unit <unit>",
                ", <unit>", " in <unit>, not in <other>")]


def ask_weather(rng, again):
    text, place = _line(rng, "get_weather", again), city(rng)
    place = _cased(rng, text, place)
    arguments, wish = {"city": place}, ""
    if "<u>" in text and rng.random() < 0.2:
        units = ["celsius", "fahrenheit"] if rng.random() < 0.4 else ["fahrenheit", "celsius"]
        wish = fill(expand(rng, pick(rng, UNIT_WISHES)), {"unit": units[0], "other": units[1]})
        arguments["unit"] = units[0]
        if rng.random() < 0.2:
            wish = wish.replace("fahrenheit", "Fahrenheit").replace("celsius", "Celsius")
    return tidy(fill(text, {"city": place, "u": wish})), arguments


WAREHOUSE_WISHES = [parse(text) for text in
                    (" (in|at) warehouse <w>", " in the <w> warehouse",
                     " (in|at) the <w> warehouse",
                     " in warehouse <w>", ", warehouse <w>", " (at|in) our <w> warehouse")]


def ask_stock(rng, again):
    text, thing = _line(rng, "stock_level", again), item(rng)
    thing = _cased(rng, text, thing)
    arguments, at = {"item": thing}, ""
    if "<at>" in text and rng.random() < 0.33:
        place = _cased(rng, text, warehouse(rng))
        at = fill(expand(rng, pick(rng, WAREHOUSE_WISHES)), {"w": place})
        if place.isdigit() or place[-1].isdigit():
            at = pick(rng, (" in warehouse ", " at warehouse ", ", warehouse ")) + place
        arguments["warehouse"] = place
    return tidy(fill(text, {"item": thing, "at": at})), arguments


def ask_order(rng, again):
    number = order_id(rng)
    x = rng.random()
    written = f"#{number}" if x < 0.15 else f"no. {number}" if x < 0.2 else number
    text = _line(rng, "order_status", again)
    if "number" in text and written.startswith("no."):
        written = number
    return fill(text, {"order": written}), {"order_id": number}


def ask_money(rng, again):
    value, written = amount(rng)
    source, source_text = currency(rng)
    target, target_text = currency(rng)
    while target == source:
        target, target_text = currency(rng)
    text = fill(_line(rng, "convert_currency", again), {
        "amount": "<a>", "from": source_text, "to": target_text})
    if source == "USD" and text.count("<a> " + source_text) == 1 and rng.random() < 0.15:
        text = text.replace("<a> " + source_text, "$<a>")
    arguments = {"amount": value, "from": source, "to": target}
    return fill(text, {"a": written}), arguments


SPOKEN = {"+": ("plus", "+", "and"), "-": ("minus", "-", "less"),
          "*": ("times", "x", "multiplied by", "*"), "/": ("divided by", "/", "over", ":")}


def _number(rng):
    x = rng.random()
    if x < 0.35:
        return str(1 + rng.randrange(99))
    if x < 0.8:
        return str(sums.large_number(rng))
    return str((1 + rng.randrange(9999)) / (10 if x < 0.9 else 100))


def _two_terms(rng):
    operator = pick(rng, sums.OPERATORS)
    left, right = _number(rng), _number(rng)
    spoken = pick(rng, SPOKEN[operator][1:2] + SPOKEN[operator])
    gap = "" if not spoken.isalpha() and " " not in spoken and rng.random() < 0.3 else " "
    return f"{left}{gap}{spoken}{gap}{right}", f"{left} {operator} {right}"


def _three_terms(rng):
    a, b, c = _number(rng), _number(rng), _number(rng)
    first, second = pick(rng, sums.OPERATORS), pick(rng, sums.OPERATORS)
    x = rng.random()
    if x < 0.35:
        expression = f"({a} {first} {b}) {second} {c}"
    elif x < 0.55:
        expression = f"{a} {first} ({b} {second} {c})"
    else:
        expression = f"{a} {first} {b} {second} {c}"
        if rng.random() < 0.4:
            words = SPOKEN[first][0], SPOKEN[second][0]
            return f"{a} {words[0]} {b} {words[1]} {c}", expression
    return expression if rng.random() < 0.6 else expression.replace(" ", ""), expression


def _percent(rng):
    part = pick(rng, ("5", "8", "10", "12", "15", "20", "25", "30", "7.5",
                      str(1 + rng.randrange(99))))
    whole = _number(rng)
    sign = pick(rng, ("%", "%", " percent", " per cent"))
    return f"{part}{sign} of {whole}", f"{whole} * {part} / 100"


def _power(rng):
    base, exponent = str(2 + rng.randrange(98)), str(2 + rng.randrange(9))
    x = rng.random()
    if x < 0.3:
        return f"{base} squared", f"{base} ^ 2"
    if x < 0.45:
        return f"{base} cubed", f"{base} ^ 3"
    spoken = pick(rng, ("{} to the power of {}", "{}^{}", "{} ^ {}", "{} to the power {}"))
    return spoken.format(base, exponent), f"{base} ^ {exponent}"


def ask_sum(rng, again):
    if not again and rng.random() < 0.5:
        make = sums.small_sum if rng.random() < 0.45 else sums.large_sum
        text, left, operator, right = make(rng)
        return text, {"expression": f"{left} {operator} {right}"}
    x = rng.random()
    make = _two_terms if x < 0.5 else _three_terms if x < 0.75 else _percent if x < 0.9 else _power
    spoken, expression = make(rng)
    return fill(_line(rng, "calculator", again), {"expr": spoken}), {"expression": expression}


ASK = {"get_weather": ask_weather, "calculator": ask_sum, "stock_level": ask_stock,
       "order_status": ask_order, "convert_currency": ask_money}


# What comes back: (result, the assistant's sentence).

CONDITIONS = """light rain|heavy rain|rain|showers|drizzle|clear sky|sunshine|some clouds|
many clouds|scattered clouds|overcast sky|fog|mist|light snow|heavy snow|snow|
sleet|hail|strong wind|light wind|thunderstorms|haze|dust|
freezing rain|blue sky|a few clouds|low clouds|a storm|dry air|frost|
snow showers|gusts of wind|bright sunshine|patchy fog|high clouds|thunder and rain|wind and rain|
sun and clouds|icy wind|grey sky""".replace("\n", "").split("|")
STATUSES = """shipped|in transit|delivered|cancelled|on hold|being packed|waiting for payment|
ready for pickup|out for delivery|delayed|returned|refunded|confirmed|received|processing|
at customs|partly shipped|back in the warehouse|paid|open|closed|at the carrier|
being produced|handed over to the carrier|stuck at customs|waiting for stock|at the depot|
on its way|in preparation|lost in transit|under review|scheduled""".replace("\n", "").split("|")
ERRORS = [parse(text) for text in (
    "(city|place|item|order|record|entry|currency|expression) "
    "(not found|unknown|not known|invalid)",
    "no (data|result|entry|record)( for this request|)", "(timeout|timed out)( after <n> seconds|)",
    "(service|server|database|network) (unavailable|not available|down|busy|error)",
    "too many requests", "access denied", "(status|error|code) <n>", "(internal|unknown) error",
    "(connection|request) (refused|failed|lost|rejected)", "invalid (request|argument|input|key)",
    "(bad|missing|wrong) (argument|value|key|parameter)", "(line|row) <n> (missing|unreadable)",
    "quota (exceeded|used up)", "maintenance for <n> minutes", "try again (later|in <n> minutes)")]


def _temperature(rng):
    value = rng.randrange(68) - 26
    return value if rng.random() < 0.85 else value + (1 + rng.randrange(9)) / 10


def weather_result(rng, arguments):
    result = {"city": arguments["city"].title() if rng.random() < 0.5 and
              arguments["city"].islower() else arguments["city"],
              "temperature": _temperature(rng), "unit": arguments.get("unit", "celsius"),
              "condition": pick(rng, CONDITIONS)}
    if rng.random() < 0.15:
        del result["unit"]
    return result, {"humidity": rng.randrange(100), "wind_kmh": rng.randrange(90)}


def weather_sentence(arguments, result):
    unit = f" {result['unit']}" if "unit" in result else ""
    place = result.get("city", arguments["city"])
    return f"In {place} it is {result['temperature']} degrees{unit} with {result['condition']}."


def stock_result(rng, arguments):
    x = rng.random()
    quantity = 0 if x < 0.08 else 1 + rng.randrange(99) if x < 0.6 else rng.randrange(5000)
    result = {"item": arguments["item"], "quantity": quantity}
    if "warehouse" in arguments or rng.random() < 0.15:
        result["warehouse"] = arguments.get("warehouse") or warehouse(rng)
    return result, {"reserved": rng.randrange(50), "reorder_level": 10 * rng.randrange(20)}


def stock_sentence(arguments, result):
    thing = result.get("item", arguments["item"])
    place = result.get("warehouse", arguments.get("warehouse"))
    at = f" in warehouse {place}" if place else ""
    return f"We have {result['quantity'] or 'no'} {thing} in stock{at}."


def _date(rng):
    return f"20{24 + rng.randrange(8)}-{1 + rng.randrange(12):02}-{1 + rng.randrange(28):02}"


def order_result(rng, arguments):
    result = {"order_id": arguments["order_id"], "status": pick(rng, STATUSES)}
    if rng.random() < 0.6:
        result["delivery_date"] = _date(rng)
    return result, {"items": 1 + rng.randrange(12), "weight_kg": 1 + rng.randrange(40)}


def order_sentence(arguments, result):
    number = result.get("order_id", arguments["order_id"])
    date = f", delivery on {result['delivery_date']}" if "delivery_date" in result else ""
    return f"Order {number} is {result['status']}{date}."


def money_result(rng, arguments):
    rate = round(0.02 + 3 * rng.random() ** 2, 4)
    if rng.random() < 0.1:
        rate = round(rate * 100, 2)
    result = dict(arguments)
    result["result"] = _whole(round(arguments["amount"] * rate, 2))
    return result, {"rate": rate, "date": _date(rng)}


def money_sentence(arguments, result):
    known = arguments | result
    return f"{known['amount']} {known['from']} are {known['result']} {known['to']}."


def _whole(value):
    return int(value) if value == int(value) else value


def value_of(expression):
    """The value of an expression of our own making, whole where it is whole; None without one."""
    try:
        value = eval(expression.replace("^", "**"), {"__builtins__": {}})
    except ZeroDivisionError:
        return None
    return _whole(round(value, 4))


def sum_result(rng, arguments):
    value = value_of(arguments["expression"])
    if value is None:
        return {"error": "division by zero"}, {}
    result = {"result": value}
    if rng.random() < 0.4:
        result = {"expression": arguments["expression"], "result": value}
    return result, {}


def sum_sentence(arguments, result):
    return f"The result is {result['result']}."


RESULTS = {"get_weather": (weather_result, weather_sentence, ("city",)),
           "calculator": (sum_result, sum_sentence, ()),
           "stock_level": (stock_result, stock_sentence, ("item", "warehouse")),
           "order_status": (order_result, order_sentence, ("order_id",)),
           "convert_currency": (money_result, money_sentence, ("amount", "from", "to"))}


def sentence(tool, arguments, result):
    """What the assistant says about a result."""
    if "error" in result:
        return f"The tool reports an error: {result['error']}."
    return RESULTS[tool][1](arguments, result)


def _shuffled(rng, result):
    keys = list(result)
    rng.shuffle(keys)
    return {key: result[key] for key in keys}


def result_of(rng, tool, arguments):
    """A result as such a tool may send it: other orders, more or fewer fields, errors."""
    if rng.random() < 0.06:
        text = fill(expand(rng, pick(rng, ERRORS)), {"n": str(1 + rng.randrange(59))})
        return {"error": text}
    make, _, echoed = RESULTS[tool]
    result, more = make(rng, arguments)
    if rng.random() < 0.15:
        result = {key: value for key, value in result.items() if key not in echoed}
    for key, value in more.items():
        if rng.random() < 0.1:
            result[key] = value
    return _shuffled(rng, result) if rng.random() < 0.3 else result


def _result_text(rng, result):
    text = as_json(result)
    if rng.random() < 0.12:
        text = text.replace('": ', '":').replace(', "', ',"')
    return text


# Exchanges.

def _turns(*contents):
    return [{"role": ("user", "assistant")[i % 2], "content": content}
            for i, content in enumerate(contents)]


def _exchange(task, tools, messages):
    return {"task": task, "system": None, "tools": tools, "messages": messages}


def _called(rng, tool, again=False):
    """Four messages: the wish, the call, the result, the sentence."""
    text, arguments = ASK[tool](rng, again)
    result = result_of(rng, tool, arguments)
    return _turns(text, call_text(tool, arguments), response_text(_result_text(rng, result)),
                  sentence(tool, arguments, result))


def _asked_back(rng, tool):
    """The value is not named at first."""
    text = say(rng, LINES[f"{tool} unnamed"])
    more, arguments = ASK[tool](rng, rng.random() < 0.6)
    return _turns(text, QUESTIONS[tool], more, call_text(tool, arguments))


def make_missing(rng, tools=None):
    """No offered tool does what is asked for."""
    if rng.random() < 0.3 or tools and len(tools) == len(NAMES):
        text = fill(say(rng, LINES["other"]), {"city": city(rng), "n": str(2 + rng.randrange(58))})
        return _exchange("tool_call", tools or offered(rng), _turns(text, NO_TOOL))
    if tools is None:
        tool = pick(rng, NAMES)
        tools = offered(rng, missing=tool)
    else:
        tool = pick(rng, [name for name in NAMES if name not in tools])
    if tool == "calculator":
        text = sums.large_sum(rng)[0]
    else:
        text = ASK[tool](rng, False)[0]
    return _exchange("tool_call", tools, _turns(text, NO_TOOL))


def make_call(rng, tools=None):
    tool = pick(rng, tools or NAMES)
    tools = tools or offered(rng, needed=tool)
    if tool in QUESTIONS and rng.random() < 0.04:
        return _exchange("tool_call", tools, _asked_back(rng, tool))
    text, arguments = ASK[tool](rng, False)
    return _exchange("tool_call", tools, _turns(text, call_text(tool, arguments)))


def make_tool_call(rng):
    return make_missing(rng) if rng.random() < 0.2 else make_call(rng)


def make_tool_answer(rng, tools=None):
    tool = pick(rng, tools or NAMES)
    tools = tools or offered(rng, needed=tool)
    messages = _called(rng, tool)
    if rng.random() < 0.15:
        messages += _called(rng, tool, again=True)
    return _exchange("tool_answer", tools, messages)


# With the same answers as where no tools are offered.
SMALL_TALK = [
    ("Hello! How can I help you?",
     [parse(text) for text in (
         "(hi|hello|hey|good morning|good evening|good afternoon|hi there|hello there|hey there|"
         "greetings|good day|hello again|hi again|morning|howdy)"
         "(!|.||, assistant|, you|, anyone there)",
         "(hi|hello|hey)(,| -|!|) (are you there|anybody there|are you awake|can you hear me)(?|)",
         "(I want to|let me) say (hello|hi)(.|)", "(nice|good) to (meet|see) you(.|!|)")]),
    ("You are welcome!",
     [parse(text) for text in (
         "(thanks|thank you|many thanks|thank you very much|thanks a lot|thx|cheers|great, thanks|"
         "perfect, thank you|thanks for (your|the) help|ok thanks|very kind, thank you)"
         "(!|.||, that helps)",
         "(that|this) (helps|helped|was helpful|is perfect|is great)(, thanks|, thank you|)(.|!|)",
         "I am (very |)grateful(.|!|)",
         "(good|great|nice|fine) (work|job|answer)(!|.|, thanks|)")]),
    ("Goodbye! Come back when you have a question.",
     [parse(text) for text in (
         "(bye|goodbye|good bye|see you|see you later|bye bye|good night|until tomorrow|farewell|"
         "ok bye|see you soon|talk to you later|so long)(!|.||, assistant)",
         "(I have to|I must) go now(, bye|.|)",
         "(that is|that was) all(,|.) (bye|goodbye)(!|.|)")]),
]


def make_small_talk(rng, tools):
    answer, lines = pick(rng, SMALL_TALK)
    text = expand(rng, pick(rng, lines))
    text = text if rng.random() < 0.4 else text[0].upper() + text[1:]
    return _exchange("no_tool_needed", tools, _turns(text, answer))


def make_no_tool_needed(rng, tools=None):
    """With tools offered, but answered directly: a small sum without calculator, or small talk."""
    x = rng.random()
    if tools is None:
        tools = offered(rng, missing="calculator" if x < 0.5 else None)
    if x < 0.5 and "calculator" not in tools:
        text, left, operator, right = sums.small_sum(rng)
        return _exchange("no_tool_needed", tools, _turns(text, sums.worked(left, operator, right)))
    return make_small_talk(rng, tools)


def more_with(rng, tools):
    """A further exchange in a conversation that offers these tools."""
    x = rng.random()
    if x < 0.7:
        return make_tool_answer(rng, tools)
    if x < 0.85:
        return make_no_tool_needed(rng, tools)
    return make_missing(rng, tools)


def ends_with_call(exchange):
    return exchange["messages"][-1]["content"].startswith("<tool_call>")


TASKS = {"tool_call": (17, make_tool_call), "tool_answer": (6, make_tool_answer),
         "no_tool_needed": (3, make_no_tool_needed)}
