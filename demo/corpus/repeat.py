"""Saying a text again, letter for letter: alone, in quotes, as a list or inside of JSON.

Useful by itself, and the plainest exercise in what extraction, summaries and tool calls are made
of: a model that has learnt to copy names it never saw copies them everywhere. Many of the texts are
therefore syllables without meaning.
"""
import json

import pools
import toolpools

PLAIN = """Repeat: <t>|repeat after me: <t>|Say this again: <t>|Please repeat this text: <t>
Copy this: <t>|Write exactly this: <t>|echo <t>|Echo: <t>|Return this unchanged: <t>|say <t>
Can you say "<t>"?|Please write "<t>" for me.|Type this for me: <t>|The same again, please: <t>
Spell it the same way: <t>|I need these words back as they are: <t>|Give me back: <t>
Just write down what follows. <t>|Could you repeat "<t>"?|Once more: <t>|repeat "<t>"
What did I write here: "<t>"?|Do not change anything: <t>|copy <t>|Read it back to me: <t>"""
QUOTED = """Put this in quotes: <t>|Quote this: <t>|Repeat it in quotes: <t>|in quotes: <t>
Write <t> with quotes around it.|Please quote the name <t>."""
LISTS = """Make a JSON list of these: <t>|JSON array: <t>|Give me these as a JSON list: <t>
as a json array: <t>|Turn this into a JSON list: <t>|Please list in JSON: <t>"""
FIELDS = """Put <t> into JSON as "<k>".|JSON with "<k>": <t>|json, key <k>: <t>
Write a JSON object whose <k> is <t>.|Give me <t> as the <k> in JSON.|{"<k>": ...} for <t>"""
KEYS = """name text vendor customer item city note title label product place company word code
reference subject shop brand""".split()


def choices(text):
    return [one for line in text.splitlines() for one in line.split("|")]


PLAIN, QUOTED, LISTS, FIELDS = map(choices, (PLAIN, QUOTED, LISTS, FIELDS))


def nonsense(rng):
    return " ".join(pools.invented_word(rng) for _ in range(1 + rng.randrange(3)))


MAKERS = (nonsense, nonsense, nonsense, pools.company, pools.shop, pools.item_code,
          pools.document_code, toolpools.city, toolpools.item, toolpools.order_id,
          lambda rng: pools.product(rng)[rng.randrange(2)], lambda rng: pools.date(rng)[0],
          lambda rng: pools.amount(rng)[0])


def value(rng):
    text = rng.choice(MAKERS)(rng)
    return text.lower() if rng.random() < 0.15 else text


def several(rng, most):
    return [value(rng) for _ in range(1 + rng.randrange(most))]


def make(rng):
    kind = rng.random()
    if kind < 0.5:
        text = ", ".join(several(rng, 4)) if rng.random() < 0.5 else " ".join(several(rng, 3))
        asked, answer = rng.choice(PLAIN).replace("<t>", text), text
    elif kind < 0.6:
        text = value(rng)
        asked, answer = rng.choice(QUOTED).replace("<t>", text), f'"{text}"'
    elif kind < 0.75:
        items = [one.replace(",", "") for one in several(rng, 5)]
        asked, answer = rng.choice(LISTS).replace("<t>", ", ".join(items)), json.dumps(items)
    else:
        text, key = value(rng), rng.choice(KEYS)
        asked = rng.choice(FIELDS).replace("<t>", text).replace("<k>", key)
        answer = json.dumps({key: text})
    return {"task": "repeat", "system": None, "tools": None,
            "messages": [{"role": "user", "content": asked},
                         {"role": "assistant", "content": answer}]}


TASKS = {"repeat": (14, make)}
