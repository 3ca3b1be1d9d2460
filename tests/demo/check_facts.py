"""The demo corpus of facts, small talk and the unknown keeps its rules.

Key words must tell a fact's answer from all others, or an evaluation would count wrong answers as
right. And the held-out questions must be new: no eight words in a row, and no whole message, may
occur in what the generators say, or a score would measure memory.
"""
import importlib.util
import json
import random
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "house"))
import house  # noqa: E402

FACTS_FILE = "demo/corpus/facts.txt"
ABOUT_FILE = "demo/corpus/about.txt"
UNKNOWN_FILE = "demo/corpus/unknown.txt"
EVAL_FILE = "demo/eval.jsonl"
MODULE = Path(__file__).resolve().parent.parent.parent / "demo" / "corpus" / "facts.py"
LEAST_FACTS = 320
LEAST_ROWS = {"facts": 300, "about": 200, "unknown": 200}
ANSWER_WORDS = (8, 30)
QUESTIONS = (20, 30)
LEAST_PHRASINGS = 40
SAMPLES = 20000
RUN = 8


def load_module():
    spec = importlib.util.spec_from_file_location("facts", MODULE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FACTS = load_module()


def key_problems(path, records, others):
    """Keys hold for their own answer and for no other one."""
    problems = []
    for record in records:
        name = f"{path}: {record['id']}"
        if not record["keys"] or not FACTS.satisfies(record["keys"], record["answer"]):
            problems.append(f"{name}: the answer lacks its own key words")
        problems += [f"{name}: its key words also fit the answer of {other['id']}"
                     for other in others if other is not record
                     and record["keys"] and FACTS.satisfies(record["keys"], other["answer"])]
    return problems


def fact_problems(facts):
    problems = []
    if len(facts) < LEAST_FACTS:
        problems.append(f"{FACTS_FILE}: {len(facts)} facts; at least {LEAST_FACTS}")
    for fact in facts:
        name = f"{FACTS_FILE}: {fact['id']}"
        n_words, n_questions = len(fact["answer"].split()), len(fact["questions"])
        if not ANSWER_WORDS[0] <= n_words <= ANSWER_WORDS[1]:
            problems.append(f"{name}: an answer of {n_words} words")
        if not QUESTIONS[0] <= n_questions <= QUESTIONS[1]:
            problems.append(f"{name}: {n_questions} questions")
        if len(fact["phrases"]) < 2:
            problems.append(f"{name}: fewer than two noun phrases")
    return problems


def asked(record):
    """What can be asked as it is written: with each phrase in a place for one, or by itself."""
    places = [question for question in record["questions"] if "{}" in question]
    for question in record["questions"]:
        if "{}" in question:
            yield from (question.replace("{}", phrase) for phrase in record["phrases"])
        else:
            yield question
    if not places:
        yield from record["phrases"]


def duplicate_problems(records):
    """A question or a noun phrase leads to one answer."""
    problems, seen = [], {}
    ids = [record["id"] for record in records]
    problems += [f"{name}: an id twice" for name in sorted({i for i in ids if ids.count(i) > 1})]
    for record in records:
        if len(set(record["questions"])) < len(record["questions"]):
            problems.append(f"{record['id']}: a question twice")
        for text in asked(record):
            words = " ".join(FACTS.words_of(text))
            if seen.setdefault(words, record["id"]) != record["id"]:
                problems.append(f"{record['id']}: '{text}' is also asked of {seen[words]}")
    return problems


def about_problems(about):
    return [f"{ABOUT_FILE}: {record['id']}: {len(record['questions'])} phrasings"
            for record in about if len(record["questions"]) < LEAST_PHRASINGS]


def messages(facts, about, unknown):
    """Every question as it is written, then samples of what the generators make of them."""
    for record in facts + about + unknown:
        yield from asked(record)
    rng = random.Random(20)
    for _ in range(SAMPLES if facts else 0):
        yield FACTS.ask(rng, rng.choice(facts))
    for number in range(SAMPLES if unknown else 0):
        make = FACTS.make_unknown if number % 2 else FACTS.make_about
        yield make(rng)["messages"][0]["content"]


def runs_of(words):
    return {tuple(words[i:i + RUN]) for i in range(len(words) - RUN + 1)}


def held_out_problems(rows, trained):
    runs, wholes = {}, {}
    for number, row in enumerate(rows, 1):
        words = FACTS.words_of(row["messages"][-1]["content"])
        wholes[" ".join(words)] = number
        runs.update((run, number) for run in runs_of(words))
    problems = set()
    for message in trained:
        words = FACTS.words_of(message)
        if " ".join(words) in wholes:
            problems.add(f"{EVAL_FILE}:{wholes[' '.join(words)]}: training says '{message}'")
        problems.update(f"{EVAL_FILE}:{runs[run]}: training says '{' '.join(run)}'"
                        for run in runs_of(words) & runs.keys())
    return sorted(problems)


def row_problems(rows, facts, about):
    """Rows are enough, differ, and look for the key words of one record."""
    problems, seen = [], set()
    known = {"facts": [fact["keys"] for fact in facts], "about": [a["keys"] for a in about],
             "unknown": [[["i do not know that"]]]}
    for task, least in LEAST_ROWS.items():
        expected = [row["expect"] for row in rows if row["task"] == task]
        count = len({json.dumps(e) for e in expected}) if task == "facts" else len(expected)
        if count < least:
            problems.append(f"{EVAL_FILE}: {count} rows of {task}; at least {least}")
    for number, row in enumerate(rows, 1):
        words = " ".join(FACTS.words_of(row["messages"][-1]["content"]))
        if words in seen:
            problems.append(f"{EVAL_FILE}:{number}: a question twice")
        seen.add(words)
        if row["expect"]["all"] not in known[row["task"]]:
            problems.append(f"{EVAL_FILE}:{number}: key words of no record")
    return problems


def check(tree):
    problems, read = [], {}
    for path in (FACTS_FILE, ABOUT_FILE, UNKNOWN_FILE, EVAL_FILE):
        read[path] = tree.read(path) if (tree.root / path).is_file() else ""
        if not read[path].isascii():
            problems.append(f"{path}: not all is ASCII")
    facts, about = FACTS.parse(read[FACTS_FILE]), FACTS.parse(read[ABOUT_FILE])
    unknown = FACTS.parse(read[UNKNOWN_FILE])
    rows = [json.loads(line) for line in read[EVAL_FILE].splitlines()]
    rows = [row for row in rows if row["task"] in LEAST_ROWS]
    answers = facts + about + [{"id": "the unknown", "answer": FACTS.UNKNOWN_ANSWER}]
    problems += fact_problems(facts) + about_problems(about)
    problems += key_problems(FACTS_FILE, facts, answers) + key_problems(ABOUT_FILE, about, answers)
    problems += duplicate_problems(facts + about)
    problems += row_problems(rows, facts, about)
    return problems + held_out_problems(rows, messages(facts, about, unknown))


VERBS = """Explain need show list find keep move open close count weigh read write name draw paint
sell rent lend""".split()


def fact(name, answer=None, key=None, question="What is {}?"):
    """A record that is right, unless told otherwise."""
    answer = answer or f"The {name} is a part of the plant and nothing else."
    asked = question.format(name)
    key = key or f"the {name} is"
    others = "".join(f"{verb} {name}\n" for verb in VERBS)
    return (f"@ {name}\n= {answer}\n& {key}\n~ {name}; some {name}\n{asked}\n"
            f"Why {name}?\n{others}")


def files(facts=(), row=None):
    """A tree that keeps the rules, with some facts and a row added."""
    names = [f"part{number}x" for number in range(LEAST_FACTS)]
    rows = [("facts", f"so {name} then", [[f"the {name} is"]]) for name in names]
    rows += [("about", f"you{n}", [["hello to you"]]) for n in range(LEAST_ROWS["about"])]
    rows += [("unknown", f"moon{n}", [["i do not know that"]])
             for n in range(LEAST_ROWS["unknown"])]
    rows += [row] if row else []
    lines = [json.dumps({"task": task, "messages": [{"role": "user", "content": text}],
                         "values": [], "expect": {"kind": "contains", "all": keys}})
             for task, text, keys in rows]
    greetings = "".join(f"greeting {number}\n" for number in range(LEAST_PHRASINGS))
    return {FACTS_FILE: "".join(fact(name) for name in names) + "".join(facts),
            ABOUT_FILE: "@ hello\n= Hello to you!\n& hello to you\n" + greetings,
            UNKNOWN_FILE: "", EVAL_FILE: "\n".join(lines) + "\n"}


LONG = "when {} was built the men sang all day long"
CASES = [
    ("a corpus that keeps the rules", files([fact("extra")]), None),
    ("too few facts", {FACTS_FILE: fact("extra")}, "1 facts; at least"),
    ("a key that the answer lacks", files([fact("extra", key="gone")]), "lacks its own key"),
    ("a key that fits another answer", files([fact("extra", key="nothing else")]),
     "also fit the answer of part0x"),
    ("an answer that is too short", files([fact("extra", "The extra is.")]),
     "an answer of 3 words"),
    ("a sign beyond ASCII",
     files([fact("extra", "The extra is a caf\u00e9 for us and all others.")]), "not all is ASCII"),
    ("a question asked twice", files([fact("extra", question="What is part0x?")]),
     "is also asked of part0x"),
    ("key words of no record", files(row=("facts", "what now", [["nowhere"]])), "of no record"),
    ("eight words in a row that training has",
     files([fact("extra", question=LONG)],
           ("facts", "When extra was built, the men sang all?", [["the part0x is"]])),
     "when extra was built the men sang"),
    ("a message that training has", files(row=("facts", "why part0x", [["the part0x is"]])),
     "training says"),
]

if __name__ == "__main__":
    house.main(check, CASES)
