"""Texts about one invoice, one patient or one order, answered with one line of JSON.

The keys of a kind and their order never change; a field the text does not give is null. Strings are
copied letter by letter, dates become ISO dates, money and temperatures the shortest decimal.

    invoice  vendor, invoice_number, date, due, amount, currency
    triage   age, sex, complaint, duration, temperature_c, urgency
    order    customer, item, quantity, unit_price, currency, city, deliver_by

Rules for triage: the complaint stands without "severe" or "mild"; a duration is what follows "for"
or stands before "ago" ("3 days"), or the whole of "since yesterday"; sex is null unless a word
tells it; urgency is high or low if the text says so (sections high and low of
extract_triage.txt), else medium.
"""
import json
import re

import clauses
import pools

ASK = clauses.load("extract_ask.txt")
TEXTS = {kind: clauses.load(f"extract_{kind}.txt") for kind in ("invoice", "triage", "order")}
LABELS = {kind: {nodes[0][1].split(":")[0]: nodes[1:] for nodes in texts["labels"]}
          for kind, texts in TEXTS.items()}
KEYS = {
    "invoice": ["vendor", "invoice_number", "date", "due", "amount", "currency"],
    "triage": ["age", "sex", "complaint", "duration", "temperature_c", "urgency"],
    "order": ["customer", "item", "quantity", "unit_price", "currency", "city", "deliver_by"],
}
# field of a text -> how often a text that lacks it gets a sentence with it
ADDED = {
    "invoice": {"number": 0.8, "date": 0.75, "due": 0.45, "amount": 0.92, "vendor": 0.9},
    "triage": {"age": 0.9, "duration": 0.4, "since": 0.12, "temp": 0.4},
    "order": {"qty": 0.95, "price": 0.5, "city": 0.65, "by": 0.55, "customer": 0.9},
}
FEMALE = re.compile(r"\b(?:woman|girl|lady|female|wife|daughter|mother|sister|grandmother|aunt|she"
                    r"|her)\b", re.IGNORECASE)
MALE = re.compile(r"\b(?:man|boy|gentleman|male|husband|son|father|brother|grandfather|uncle|he"
                  r"|his)\b", re.IGNORECASE)
GROWN = {"female": ["woman", "woman", "lady", "female", "female patient", "woman patient"],
         "male": ["man", "man", "gentleman", "male", "male patient"],
         None: ["patient", "person", "adult", "customer", "employee", "visitor", "pensioner",
                "student", "nurse", "driver", "office worker"]}
YOUNG = {"female": ["girl", "girl", "female child"],
         "male": ["boy", "boy", "male child"],
         None: ["child", "patient", "pupil", "toddler", "kid"]}
NUMBERS = "two three four five six seven eight nine ten twelve twenty thirty".split()
SINCE = ["yesterday", "this morning", "last night", "last week", "noon", "lunch", "the weekend",
         "breakfast", "yesterday evening", "last month", "early morning", "midnight", "a fall",
         "the day before yesterday", "last year", "this afternoon", "the holidays", "a long walk"]


SIGNS = {"USD": "$"}
UNITS = {"USD": "dollars", "EUR": "euros", "GBP": "pounds"}


def joined_money(rng, written, code):
    """An amount with its currency behind or before it, now and then as a word or a sign."""
    if code in UNITS and pools.chance(rng, 0.12):
        return f"{written} {UNITS[code]}"
    if code in SIGNS and pools.chance(rng, 0.3):
        return SIGNS[code] + written
    return f"{written} {code}" if pools.chance(rng, 0.65) else f"{code} {written}"


def invoice_values(rng):
    """(what stands in the text, what stands in the answer) for an invoice."""
    form = rng.choice(pools.DATE_FORMS)
    other = form if pools.chance(rng, 0.7) else rng.choice(pools.DATE_FORMS)
    when = pools.day(rng)
    date, date_iso = pools.date(rng, when, form)
    due, due_iso = pools.date(rng, pools.day(rng, after=when), other)
    written, amount = pools.amount(rng)
    code = pools.currency(rng)
    values = {"vendor": pools.company(rng), "number": pools.document_code(rng), "date": date,
              "due": due, "amount": joined_money(rng, written, code)}
    if pools.chance(rng, 0.08):
        values["vendor"] = rng.choice([str.lower, str.lower, str.upper])(values["vendor"])
    return values, {"date": date_iso, "due": due_iso, "amount": amount, "currency": code}


def order_values(rng):
    """The same for an order; one price in eight has no currency, one order in 25 is for one."""
    by, by_iso = pools.date(rng)
    written, price = pools.price(rng)
    code = None if pools.chance(rng, 0.12) else pools.currency(rng)
    qty, quantity = pools.count(rng)
    one, several = pools.product(rng)
    if pools.chance(rng, 0.04):
        qty, quantity, several = "1", 1, one
    values = {"customer": pools.shop(rng), "items": several, "qty": qty, "by": by,
              "price": joined_money(rng, written, code) if code else written,
              "city": pools.city(rng)}
    if pools.chance(rng, 0.08):
        for name in ("customer", "items", "city"):
            values[name] = values[name].lower()
    return values, {"quantity": quantity, "unit_price": price, "currency": code,
                    "deliver_by": by_iso}


def duration(rng):
    """How long something has lasted, in digits or words."""
    unit = rng.choice(["hour", "day", "day", "day", "week", "week", "month", "minute", "year"])
    kind = rng.randrange(8)
    if kind == 0:
        return ("an " if unit == "hour" else "a ") + unit
    if kind == 1:
        return rng.choice(["several", "a few", "a couple of", "some"]) + f" {unit}s"
    if kind == 2:
        return rng.choice(["half a day", "a day and a half", "over a week", "almost a year",
                           "half an hour", "the whole day", "about a month", "more than a week"])
    if kind == 3:
        return f"{rng.choice(NUMBERS)} {unit}s"
    return f"{pools.between(rng, 2, 12) * (5 if unit == 'minute' else 1)} {unit}s"


def since(rng):
    """A beginning, with the word since."""
    kind = rng.randrange(3)
    if kind == 0:
        return "since " + rng.choice(pools.WEEKDAYS + pools.MONTHS[:6])
    if kind == 1:
        return f"since {rng.choice(pools.WEEKDAYS)} {rng.choice(['morning', 'evening', 'night'])}"
    return "since " + rng.choice(SINCE)


def triage_values(rng):
    """The same for a patient; sex and urgency are read off the finished text."""
    age = pools.between(rng, 1, 97)
    sex = rng.choice(["female", "male", "female", "male", None])
    tenths = pools.between(rng, 360, 411)
    temp = tenths / 10 if tenths % 10 else tenths // 10
    written = str(temp) if tenths % 10 or pools.chance(rng, 0.5) else f"{tenths / 10:.1f}"
    complaint = clauses.text_of(clauses.pick(rng, TEXTS["triage"], "symptom", {}))
    told = sex or rng.choice(["female", "male"])
    values = {"age": str(age), "who": rng.choice((YOUNG if age < 16 else GROWN)[sex]),
              "sexword": told, "sexletter": rng.choice([told[0].upper(), told[0].upper(), told[0]]),
              "complaint": complaint, "duration": duration(rng), "since": since(rng),
              "temp": written}
    return values, {"age": age, "temperature_c": temp}


def with_distractors(rng, values):
    """The values and those of facts that no field asks for."""
    return values | {"xdept": rng.choice(pools.DEPARTMENTS[:32]), "xcode": pools.document_code(rng),
                     "xcity": pools.city(rng), "xcount": str(pools.between(rng, 2, 900)),
                     "xitems": pools.product(rng)[1], "xcompany": pools.company(rng),
                     "xyear": str(pools.between(rng, 2015, 2029)),
                     "xroom": str(pools.between(rng, 1, 40))}


def sentence(pieces):
    """The pieces with a capital and a full stop, if they end in a word."""
    pieces = clauses.begin_large(pieces)
    return pieces if pieces[-1][1].rstrip()[-1] in ".?!:" else pieces + [(None, ".")]


def labelled(rng, kind, values):
    """A text of labels and values in any order: "Vendor: ...; Total: ..."."""
    labels = LABELS[kind]
    keep = ADDED[kind]
    names = [n for n in labels if pools.chance(rng, keep.get(n, 0.97) + 0.08)]
    if "duration" in names and "since" in names:
        names.remove(rng.choice(["duration", "since"]))
    rng.shuffle(names)
    mark = rng.choice([": ", ": ", " ", " = ", " - "])
    between = "\n" if pools.chance(rng, 0.4) else rng.choice(["; ", ", ", ". ", " | "])
    pieces = []
    for name in names:
        label = clauses.expand(rng, labels[name], TEXTS[kind], values)
        pieces += [(None, between if pieces else "")] + label
        pieces[-1] = (None, pieces[-1][1].strip())
        pieces += [(None, mark), (name, values[name])]
    return pieces


def told(rng, kind, values):
    """A text of sentences: a core, most of what it lacks, now and then something irrelevant."""
    texts = TEXTS[kind]
    core = clauses.pick(rng, texts, "core", values)
    seen = clauses.shown(core)
    missing = [n for n, share in ADDED[kind].items()
               if n not in seen and pools.chance(rng, share)]
    if seen & {"duration", "since"} or {"duration", "since"} <= set(missing):
        missing = [n for n in missing if n != "since" and (n != "duration" or not seen & {"since"})]
    parts = [clauses.pick(rng, texts, name, values) for name in missing]
    if kind == "triage":
        parts += urgency_part(rng, "temp" in seen or "temp" in missing)
    while pools.chance(rng, 0.3) and len(parts) < 6:
        filler = clauses.pick(rng, texts, "filler", values)
        parts += [] if filler in parts else [filler]
    rng.shuffle(parts)
    if not parts:
        return core
    first = pools.chance(rng, 0.12)
    ordered = [parts[0], core] + parts[1:] if first else [core] + parts
    return join_sentences(ordered)


def join_sentences(parts):
    pieces = []
    for part in parts:
        pieces += ([(None, " ")] if pieces else []) + sentence(part)
    return pieces


def urgency_part(rng, has_temp):
    """Sentences about urgency: high and low as often as neither."""
    kind = rng.choice(["high", "high", "low", "low", "medium", None])
    parts = []
    if kind:
        parts.append([("urgency " + kind, "")] + clauses.pick(rng, TEXTS["triage"], kind, {}))
    if not has_temp and pools.chance(rng, 0.15):
        parts.append(clauses.pick(rng, TEXTS["triage"], "nofever", {}))
    return parts


def with_severity(rng, pieces):
    """Now and then "severe" or "mild" before the complaint of a text that tells no urgency."""
    if not pools.chance(rng, 0.25) or any((n or "").startswith("urgency") for n, _ in pieces):
        return pieces
    changed = []
    for name, text in pieces:
        if name == "complaint" and not text.startswith("a "):
            word, kind = rng.choice([("severe ", "high"), ("mild ", "low")])
            changed += [("urgency " + kind, ""), (None, word)]
        changed.append((name, text))
    return changed


def triage_answer(pieces, values, answer):
    """The answer's fields, or None for a text that contradicts itself."""
    text = clauses.text_of(pieces)
    seen = clauses.shown(pieces)
    letter = values["sexletter"].lower() if "sexletter" in seen else ""
    female = bool(FEMALE.search(text)) or letter == "f"
    male = bool(MALE.search(text)) or letter == "m"
    if (female and male) or {"duration", "since"} <= seen:
        return None
    urgency = [name.split()[1] for name in seen if name.startswith("urgency")]
    return {
        "age": answer["age"] if "age" in seen else None,
        "sex": "female" if female else "male" if male else None,
        "complaint": values["complaint"] if "complaint" in seen else None,
        "duration": values["duration"] if "duration" in seen else
        values["since"] if "since" in seen else None,
        "temperature_c": answer["temperature_c"] if "temp" in seen else None,
        "urgency": urgency[0] if urgency else "medium",
    }


def invoice_answer(pieces, values, answer):
    seen = clauses.shown(pieces)
    return {
        "vendor": values["vendor"] if "vendor" in seen else None,
        "invoice_number": values["number"] if "number" in seen else None,
        "date": answer["date"] if "date" in seen else None,
        "due": answer["due"] if "due" in seen else None,
        "amount": answer["amount"] if "amount" in seen else None,
        "currency": answer["currency"] if "amount" in seen else None,
    }


def order_answer(pieces, values, answer):
    seen = clauses.shown(pieces)
    return {
        "customer": values["customer"] if "customer" in seen else None,
        "item": values["items"] if "items" in seen else None,
        "quantity": answer["quantity"] if "qty" in seen else None,
        "unit_price": answer["unit_price"] if "price" in seen else None,
        "currency": answer["currency"] if "price" in seen else None,
        "city": values["city"] if "city" in seen else None,
        "deliver_by": answer["deliver_by"] if "by" in seen else None,
    }


KINDS = {"invoice": (invoice_values, invoice_answer), "triage": (triage_values, triage_answer),
         "order": (order_values, order_answer)}


def make_text(rng, kind):
    """(pieces of a text, the answer's fields)."""
    draw, answer_of = KINDS[kind]
    while True:
        values, answer = draw(rng)
        known = with_distractors(rng, values)
        make = labelled if pools.chance(rng, 0.12) else told
        pieces = make(rng, kind, known)
        if kind == "triage" and make is labelled:
            for part in urgency_part(rng, True):
                pieces += [(None, ". ")] + part
        if kind == "triage":
            pieces = with_severity(rng, pieces)
        found = answer_of(pieces, values, answer)
        if found and sum(v is not None for v in found.values()) > 2:
            return pieces, found


def prompt(rng, ask, pieces):
    """The question and the text in one of the orders people write them in."""
    ask, text = clauses.text_of(clauses.hurry(rng, ask)), clauses.text_of(pieces)
    gap = rng.choice(["\n", "\n", "\n\n", " "])
    layout = rng.randrange(10)
    if layout < 2:
        return f"{text}{gap}{ask.rstrip(':')}"
    if layout == 2:
        return f"{ask}{gap}\"{text}\""
    if layout == 3:
        return f"{ask}{gap}{rng.choice(['Text:', 'Message:', 'Input:', '---', 'Note:'])}{gap}{text}"
    return f"{ask}{gap}{text}"


def make(rng, kind):
    """One exchange for a kind."""
    pieces, found = make_text(rng, kind)
    own = pools.chance(rng, 0.72)
    ask = clauses.pick(rng, *((TEXTS[kind], "ask") if own else (ASK, "generic")), {})
    question = prompt(rng, ask, clauses.hurry(rng, pieces))
    return {"task": f"extract_{kind}", "system": None, "tools": None,
            "messages": [{"role": "user", "content": question},
                         {"role": "assistant", "content": json.dumps(found)}]}


TASKS = {
    "extract_invoice": (10, lambda rng: make(rng, "invoice")),
    "extract_triage": (8, lambda rng: make(rng, "triage")),
    "extract_order": (11, lambda rng: make(rng, "order")),
}
