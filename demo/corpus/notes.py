"""Short business texts that are to be sorted under a label or summarised in one sentence.

classify: the answer is one label, in lower case, of the set that the question names or means. The
sets are LABELS; a question may name fewer labels of a set, in any order, and now and then asks
for yes or no. A text that says nothing about how urgent it is has the urgency medium.

summarise: one sentence in a form fixed for each kind (SUMMARIES below); names are copied letter by
letter, days are ISO dates, times have 24 hours, numbers no thousands separators.
"""
import clauses
import extract
import pools

SORT = clauses.load("classify.txt")
SHORT = clauses.load("summarise.txt")
LABELS = {
    "department": ["finance", "healthcare", "retail", "it", "hr"],
    "urgency": ["low", "medium", "high"],
    "sentiment": ["positive", "neutral", "negative"],
    "kind": ["invoice", "order", "complaint", "question", "triage note"],
    "topic": ["billing", "delivery", "returns", "account"],
}
SET_SHARES = ["department"] * 6 + ["urgency"] * 4 + ["sentiment"] * 5 + ["kind"] * 4 + ["topic"] * 3


def known_values(rng):
    """Facts for a text whose label does not depend on them."""
    return {
        "money": extract.joined_money(rng, pools.amount(rng)[0], pools.currency(rng)),
        "month": rng.choice(pools.MONTHS), "company": pools.company(rng),
        "code": pools.document_code(rng), "date": pools.date(rng)[0],
        "time": pools.clock(rng)[0], "city": pools.city(rng), "items": pools.product(rng)[1],
        "count": pools.count(rng)[0], "room": str(pools.between(rng, 2, 60)),
    }


def part(rng, section, sections=SORT):
    return clauses.pick(rng, sections, section, known_values(rng))


def any_text(rng):
    """A text of any department."""
    return part(rng, "department " + rng.choice(LABELS["department"]))


def urgency_text(rng, label):
    """A text with or, for one medium in three, without words for how urgent it is."""
    parts = [any_text(rng)]
    if label != "medium" or pools.chance(rng, 0.67):
        parts.insert(rng.randrange(2), part(rng, "urgency " + label))
    return parts


def sentiment_text(rng, label):
    parts = [part(rng, "sentiment " + label)]
    if pools.chance(rng, 0.35):
        parts.append(part(rng, "sentiment " + label))
    return parts


def kind_text(rng, label):
    made = {"invoice": "invoice", "order": "order", "triage note": "triage"}
    if label in made:
        return [extract.make_text(rng, made[label])[0]]
    if label == "question" and pools.chance(rng, 0.25):
        return [question_of_any(rng)]
    if label == "complaint" and pools.chance(rng, 0.3):
        return [part(rng, "sentiment negative")]
    return [part(rng, "kind " + label)]


def question_of_any(rng):
    """A text of any department or topic that is a question."""
    while True:
        name = rng.choice(["department", "topic"])
        pieces = part(rng, f"{name} {rng.choice(LABELS[name])}")
        if clauses.text_of(pieces).endswith("?"):
            return pieces


def labelled_text(rng, name, label):
    """The pieces of a text that belongs under a label of a set."""
    if name == "urgency":
        parts = urgency_text(rng, label)
    elif name == "sentiment":
        parts = sentiment_text(rng, label)
    elif name == "kind":
        parts = kind_text(rng, label)
    else:
        parts = [part(rng, f"{name} {label}") for _ in range(1 + pools.chance(rng, 0.3))]
    if pools.chance(rng, 0.15):
        parts.insert(rng.choice([0, len(parts)]), part(rng, "chatter"))
    return extract.join_sentences(parts)


def written_labels(rng, labels):
    """The labels in any order as people write lists."""
    labels = rng.sample(labels, len(labels))
    if pools.chance(rng, 0.12):
        labels = [label.capitalize() for label in labels]
    kind = rng.randrange(8)
    if kind < 3:
        last = rng.choice([" or ", " or ", " and ", ", or "])
        return ", ".join(labels[:-1]) + last + labels[-1]
    if kind == 7:
        return " or ".join(labels)
    return rng.choice([", ", ", ", " / ", "/", " | "]).join(labels)


def offered(rng, name, label):
    """The labels a question names: mostly all, else some with the right one."""
    labels = LABELS[name]
    if pools.chance(rng, 0.7):
        return labels
    others = [other for other in labels if other != label]
    return [label] + rng.sample(others, pools.between(rng, 1, len(others)))


def yes_no(rng):
    """(question, text, answer) of a question for yes or no."""
    name, asked, no = rng.choice([("kind", "complaint", ["question", "order", "invoice"]),
                                  ("urgency", "high", ["low"]),
                                  ("sentiment", "positive", ["negative", "neutral"])])
    yes = pools.chance(rng, 0.5)
    text = labelled_text(rng, name, asked if yes else rng.choice(no))
    ask = part(rng, "yes " + {"high": "urgent"}.get(asked, asked))
    return ask, text, "yes" if yes else "no"


def sorting(rng):
    """(question, text, answer) of a question for a label."""
    name = rng.choice(SET_SHARES)
    label = rng.choice(LABELS[name])
    text = labelled_text(rng, name, label)
    if pools.chance(rng, 0.4):
        return part(rng, "ask " + name), text, label
    values = {"labels": written_labels(rng, offered(rng, name, label))}
    ask = clauses.pick(rng, SORT, "ask any", values)
    if pools.chance(rng, 0.25):
        ask = part(rng, "ask " + name) + [(None, " ("), ("labels", values["labels"]), (None, ")")]
    return ask, text, label


def make_label(rng):
    """One exchange of classify."""
    ask, text, answer = yes_no(rng) if pools.chance(rng, 0.07) else sorting(rng)
    return exchange("classify", extract.prompt(rng, ask, clauses.hurry(rng, text)), answer)


def exchange(task, question, answer):
    return {"task": task, "system": None, "tools": None,
            "messages": [{"role": "user", "content": question},
                         {"role": "assistant", "content": answer}]}


def summary_values(rng):
    """(what may stand in a text, what stands in its summary)."""
    date, date_iso = pools.date(rng)
    clock, clock_24 = pools.clock(rng)
    code = pools.currency(rng)
    paid, paid_number = pools.amount(rng)
    old, new = pools.price(rng), pools.price(rng)
    count, left, more = pools.count(rng), pools.count(rng), pools.count(rng)
    values = known_values(rng)
    text = values | {
        "dept": pools.department(rng), "year": str(pools.between(rng, 2024, 2029)),
        "customer": pools.shop(rng), "shop": pools.shop(rng), "xcode": pools.document_code(rng),
        "date": date, "time": clock, "count": count[0], "left": left[0], "more": more[0],
        "old": f"{old[0]} {code}", "new": f"{new[0]} {code}", "money": f"{paid} {code}",
        "monthyear": f"{values['month']} {pools.between(rng, 2023, 2029)}",
        "change": f"{rng.choice(['up', 'down'])} {pools.between(rng, 2, 60)} percent",
    }
    for name in ("fault", "remedy", "topic", "place", "reason", "site"):
        text[name] = clauses.text_of(clauses.pick(rng, SHORT, name, text))
    answer = text | {"date": date_iso, "time": clock_24, "count": count[1], "left": left[1],
                     "more": more[1], "old": f"{old[1]} {code}", "new": f"{new[1]} {code}",
                     "money": f"{paid_number} {code}"}
    return text, answer


# kind -> the form of its summary
SUMMARIES = {
    "complaint": "Complaint: {customer} - {items} {fault}; wants {remedy}.",
    "meeting": "Meeting: {topic}, {date} at {time}, {place}.",
    "delay": "Delay: {items} for {customer}, new date {date}, reason: {reason}.",
    "stock": "Stock: {left} {items} left in {city}, reorder {more}.",
    "sales": "Sales: {shop} sold {count} {items} in {monthyear}, {change}.",
    "payment": "Payment: {company} paid {money} for invoice {code} on {date}.",
    "price": "Price change: {items} from {old} to {new} as of {date}.",
    "opening": "Opening: {shop}, new {site} in {city} on {date}.",
}
FACTS = {kind: [name.split("}")[0] for name in form.split("{")[1:]]
         for kind, form in SUMMARIES.items()}
KIND_WORDS = {
    "complaint": "complaint", "meeting": "invitation", "delay": "delivery note",
    "stock": "stock note", "sales": "sales report", "payment": "payment note",
    "price": "price note", "opening": "news item", "invoice": "invoice", "order": "order",
    "triage": "triage note",
}


def with_filler(rng, parts, values, n_most):
    """The sentences with filler around them; the first parts stay in order."""
    for _ in range(pools.between(rng, 0, n_most)):
        filler = clauses.pick(rng, SHORT, "filler", values)
        parts.insert(rng.randrange(len(parts) + 1), filler)
    return extract.join_sentences(parts)


def told(rng, kind):
    """(text, summary) of a kind of SUMMARIES."""
    while True:
        values, answer = summary_values(rng)
        core = clauses.pick(rng, SHORT, f"{kind} core", values)
        missing = [fact for fact in FACTS[kind] if fact not in clauses.shown(core)]
        if all(f"{kind} {fact}" in SHORT for fact in missing):
            break
    rng.shuffle(missing)
    parts = [core] + [clauses.pick(rng, SHORT, f"{kind} {fact}", values) for fact in missing]
    return with_filler(rng, parts, values, 3), SUMMARIES[kind].format(**answer)


def joined(head, facts):
    return f"{head}: {', '.join(fact for fact in facts if fact)}."


def short_invoice(f):
    return joined("Invoice", [f["vendor"] or "vendor unknown", f["invoice_number"],
                              f["amount"] is not None and f"{f['amount']} {f['currency']}",
                              f["date"] and f"dated {f['date']}", f["due"] and f"due {f['due']}"])


def short_triage(f):
    age = None if f["age"] is None else str(f["age"])
    temp = None if f["temperature_c"] is None else f"{f['temperature_c']} C"
    return joined("Patient", [age, f["sex"], f["complaint"], f["duration"], temp,
                              f"urgency {f['urgency']}"])


def short_order(f):
    head = f"{f['quantity']} {f['item']} for {f['customer']}"
    price = None
    if f["unit_price"] is not None:
        price = f"{f['unit_price']} {f['currency'] or ''}".strip() + " each"
    to = f"delivery to {f['city']}" if f["city"] else "delivery" if f["deliver_by"] else None
    return joined("Order", [head, price, to and (f"{to} by {f['deliver_by']}" if f["deliver_by"]
                                                 else to)])


def extracted(rng, kind):
    """(text, summary) of a kind whose texts are those of extract.py, with a full head."""
    needed = {"invoice": ["vendor", "amount"], "triage": ["age", "complaint"],
              "order": ["customer", "item", "quantity"]}[kind]
    short = {"invoice": short_invoice, "triage": short_triage, "order": short_order}[kind]
    while True:
        pieces, found = extract.make_text(rng, kind)
        if all(found[name] is not None for name in needed):
            break
    values, _ = summary_values(rng)
    return with_filler(rng, [pieces], values, 2), short(found)


def make_summary(rng):
    """One exchange of summarise."""
    kind = rng.choice(list(KIND_WORDS))
    text, answer = told(rng, kind) if kind in SUMMARIES else extracted(rng, kind)
    own = pools.chance(rng, 0.15)
    ask = clauses.pick(rng, SHORT, "ask kind" if own else "ask", {"kindword": KIND_WORDS[kind]})
    return exchange("summarise", extract.prompt(rng, ask, clauses.hurry(rng, text)), answer)


TASKS = {"classify": (8, make_label), "summarise": (8, make_summary)}
