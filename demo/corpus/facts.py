"""Conversations of one question and one answer: facts about tokenworks, small talk, the unknown.

The material is written by hand: facts.txt, about.txt, unknown.txt. A record in them is

    @ id
    = the one answer to all that follows
    & key words of the answer: groups separated by ';', in a group alternatives separated by '|'
    ~ noun phrases that name the matter by themselves, separated by ';'
    a question a line

and '#' begins a comment. The key words are what an evaluation looks for ("contains"): they stand in
the answer, and not all of them in any other answer. In about.txt and unknown.txt a question may
hold {}, where one of the phrases goes; all of unknown.txt has one answer. wording.txt has what is
put around a question, in the same form.

A small model knows only the turns of phrase that it has seen, so a question is never used as it
stands alone: it gets openers and closers, synonyms, other word orders, contractions, lower case,
lost words and letters, or is composed from the noun phrases, or is a few words that only this
record has together. The answer never varies.
"""
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
UNKNOWN_ANSWER = ("I do not know that. I am a small model that knows tokenworks, "
                  "short business texts and simple sums.")

# One sense each; any member may stand for another.
SYNONYMS = [
    ["explain", "describe", "clarify"], ["begin", "start"], ["begins", "starts"],
    ["show", "display"], ["shown", "displayed"], ["need", "require"], ["needed", "required"],
    ["kind of", "sort of"], ["happens", "occurs"], ["large", "big"], ["small", "little"],
    ["quick", "fast"], ["quickly", "fast", "rapidly"], ["reply", "answer", "response"],
    ["answers", "replies", "responses"], ["stop", "halt"], ["machine", "computer", "box"],
    ["program", "software", "application"], ["several", "multiple", "many"],
    ["delete", "remove"], ["company", "firm", "business"], ["whether", "if"],
    ["possible", "feasible"], ["allowed", "permitted"], ["colleagues", "coworkers"],
    ["works", "functions"], ["purpose", "use", "point"], ["meaning", "sense", "definition"],
    ["calculated", "computed", "worked out"], ["model file", "weights file", "file of the model"],
    ["licence", "license"], ["quantise", "quantize"], ["organisation", "organization"],
    ["quantisation", "quantization"], ["tokenizer", "tokeniser"], ["would like", "want", "wish"],
    ["expensive", "dear", "costly"], ["cheaper", "less expensive"], ["internet", "network"],
    ["find out", "learn", "see"], ["people", "persons"], ["wrong", "bad"],
    ["difference", "distinction"], ["damaged", "broken", "corrupt"],
    ["why", "for what reason", "how come"], ["folder", "directory"],
    ["option", "flag", "switch", "parameter"], ["command", "subcommand"],
    ["computed", "calculated"], ["limit", "cap", "restrict"], ["too long", "too large"],
    ["used up", "exhausted", "spent", "empty"], ["request", "query"],
    ["requests", "queries"], ["teams", "departments"],
    ["rule", "principle"], ["choose", "pick", "select"], ["chosen", "picked", "selected"],
    ["easy", "simple"], ["crash", "break down", "fail"],
    ["somebody", "someone"], ["forgot", "lost"], ["make", "create"],
    ["at once", "together", "at the same time"], ["set", "define"],
    ["manager", "boss"], ["terminal", "command line", "shell"],
    ["equal", "identical", "the same"], ["stored", "kept", "saved"],
]
CONTRACTIONS = [
    ("what is", "what's"), ("do not", "don't"), ("does not", "doesn't"), ("i would", "i'd"),
    ("cannot", "can't"), ("i am", "i'm"), ("is not", "isn't"), ("it is", "it's"),
    ("where is", "where's"), ("who is", "who's"), ("how is", "how's"), ("we are", "we're"),
    ("i have", "i've"), ("will not", "won't"), ("that is", "that's"), ("you are", "you're"),
]
# Another order of the same words: the first pattern that matches may be used.
REORDERED = [
    (r"what is (?:the )?meaning of (.+)\?", ["what does {} mean?", "the meaning of {}?"]),
    (r"what (?:is|are) (.+)\?", [
        "can you tell me what {} is?", "do you know what {} is?", "{}, what is that?",
        "please explain {}", "what exactly is {}?", "what do you mean by {}?", "what's {}?",
        "I keep reading about {}, what is it?", "tell me what {} is", "give me an idea of {}",
        "how would you define {}?", "how would you explain {}?", "{} - what is it?",
        "what should I think of when I hear {}?", "somebody said {}, what is it?",
        "could you say what {} is?", "I do not know what {} is", "what is meant by {}?"]),
    (r"what does (.+) do\?", [
        "tell me what {} does", "what is {} for?", "what is {} good for?", "what can {} do?",
        "what do I use {} for?", "when do I need {}?", "what will {} do for me?",
        "could you explain what {} does?", "the purpose of {}?", "what happens with {}?",
        "I do not know what {} does", "why would I use {}?"]),
    (r"what does (.+) mean\?", [
        "what is the meaning of {}?", "can you explain what {} means?", "{} means what?",
        "I do not know what {} means", "tell me the meaning of {}", "meaning of {}?",
        "I see {}, what does it mean?", "how do I read {}?", "what is {} supposed to mean?"]),
    (r"how do i (.+)\?", [
        "how can I {}?", "what must I do to {}?", "what is the way to {}?", "I want to {}, how?",
        "I need to {}, what do I do?", "is there a way to {}?", "can I {}?", "how to {}?",
        "what do I type to {}?", "I am trying to {}, help?", "tell me how to {}",
        "how does one {}?", "what should I do if I want to {}?", "I'd like to {}",
        "we have to {}, how is it done?", "is it possible to {}?"]),
    (r"how can i (.+)\?", [
        "how do I {}?", "what must I do to {}?", "I want to {}, how?", "how to {}?",
        "tell me how to {}", "is there a way to {}?", "what helps me to {}?"]),
    (r"how (?:is|are) (.+)\?", ["in which way is {}?", "tell me how {}", "{} - how?"]),
    (r"explain (.+)\.", [
        "please explain {}", "can you explain {}?", "could you explain {} to me?", "describe {}",
        "tell me about {}", "tell me more about {}", "I do not understand {}",
        "give me a short explanation of {}", "help me to understand {}",
        "I need an explanation of {}",
        "what can you tell me about {}?", "say something about {}", "would you explain {}?",
        "explain to me {}", "let me understand {}", "a few words on {}, please"]),
    (r"i would like to know (.+)\.", [
        "I want to know {}", "please tell me {}", "could you tell me {}?", "can you say {}?",
        "I wonder {}", "tell me {}", "do you know {}?", "I need to know {}", "I am not sure {}",
        "I am curious {}", "let me know {}", "I'd like to find out {}", "we ask ourselves {}",
        "nobody here knows {}", "I have to find out {}", "would you tell me {}?"]),
    (r"i would like to (.+)\.", [
        "how can I {}?", "I want to {}", "I need to {}", "can I {}?", "how do I {}?",
        "is it possible to {}?", "we want to {}", "what do I do to {}?", "I'd like to {}, how?",
        "help me to {}", "I have to {}"]),
    (r"(?:can|may) i (.+)\?", [
        "is it possible to {}?", "am I allowed to {}?", "could I {}?", "I want to {}, is that ok?",
        "is there a way to {}?", "will I be able to {}?", "can one {}?", "can we {}?"]),
    (r"which (\w+) (.+)\?", ["what {} {}?", "tell me which {} {}", "do you know which {} {}?"]),
    (r"(.+), (?:meaning|what is meant by that)\?", ["meaning of {}", "{}, what does it mean?",
                                                   "define {}", "{}, please explain"]),
    (r"(.+) (?:meaning|purpose)", ["{}: what is it for?", "{}, what for?", "use of {}", "why {}?"]),
]
FILLERS = set("a an the do does is are i me my to of it that would like know please can you and "
              "what which how in for with there be was".split())
SAFE_WORD = re.compile(r"[A-Za-z]{5,}$")


def parse(text):
    """The records of a hand-written file, in its order."""
    records = []
    for line in text.splitlines():
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        mark, rest = line[0], line[1:].strip()
        if mark == "@":
            records.append({"id": rest, "answer": "", "keys": [], "phrases": [], "questions": []})
        elif mark == "=":
            records[-1]["answer"] = rest
        elif mark == "&":
            records[-1]["keys"] = [[alternative.strip() for alternative in group.split("|")]
                                   for group in rest.split(";")]
        elif mark == "~":
            records[-1]["phrases"] += [phrase.strip() for phrase in rest.split(";")]
        else:
            records[-1]["questions"].append(line)
    return records


def load(name):
    return parse((HERE / name).read_text(encoding="ascii"))


def words_of(text):
    """Lower-cased words without punctuation: what the held-out rule compares."""
    return re.sub(r"[^a-z0-9\s]", "", text.lower()).split()


def satisfies(keys, answer):
    """Does an answer hold one alternative of every group, whatever the case?"""
    lower = answer.lower()
    return all(any(alternative.lower() in lower for alternative in group) for group in keys)


def _lower_first(text):
    return text[:1].lower() + text[1:] if text[1:2].islower() or text[1:2] == " " else text


def _reordered(rng, text):
    for pattern, forms in REORDERED:
        match = re.fullmatch(pattern, text, re.IGNORECASE)
        if match:
            return rng.choice(forms).format(*match.groups())
    return text


def _build_synonyms():
    table = {}
    for group in SYNONYMS:
        for word in group:
            table.setdefault(word, []).extend(other for other in group if other != word)
    table["which"] = ["what"]
    return table


SYNONYM_TABLE = _build_synonyms()
SYNONYM_PATTERN = re.compile(
    r"(?<![\w/.-])(" + "|".join(sorted(map(re.escape, SYNONYM_TABLE), key=len, reverse=True))
    + r")(?![\w/-])", re.IGNORECASE)
CONTRACTION_TABLE = dict(CONTRACTIONS)
CONTRACTION_PATTERN = re.compile(r"\b(" + "|".join(CONTRACTION_TABLE) + r")\b", re.IGNORECASE)


def _same_case(model, word):
    return word[:1].upper() + word[1:] if model[:1].isupper() else word


def _with_synonyms(rng, text, share):
    def other(match):
        if rng.random() >= share:
            return match[0]
        return _same_case(match[0], rng.choice(SYNONYM_TABLE[match[0].lower()]))
    return SYNONYM_PATTERN.sub(other, text)


def _contracted(rng, text):
    def short(match):
        if rng.random() < 0.5:
            return match[0]
        return _same_case(match[0], CONTRACTION_TABLE[match[0].lower()])
    return CONTRACTION_PATTERN.sub(short, text)


def _options_spelt(rng, text):
    """--max-tokens as people write it: with dashes, without, or as plain words."""
    def spelt(match):
        name = match[1]
        plain = name.replace("-", " ")
        if plain == name:
            plain = name = "the option " + name
        return rng.choice([match[0], match[0], match[0], name, plain, plain, "-" + match[1],
                           "the option " + match[0]])
    return re.sub(r"(?<![\w-])--([a-z]+(?:-[a-z]+)*)", spelt, text)


def _telegraphic(rng, text):
    kept = [word for word in text.split()
            if re.sub(r"\W", "", word.lower()) not in FILLERS or rng.random() < 0.25]
    return " ".join(kept) if len(kept) >= 3 else text


def _scrambled(rng, text):
    """The content words alone, perhaps in another order: a search query."""
    kept = [word.strip(".,?!:;") for word in text.split()]
    kept = [word for word in kept if word and word.lower() not in FILLERS]
    if not 3 <= len(kept) <= 8:
        return text
    if rng.random() < 0.5:
        rng.shuffle(kept)
    return " ".join(kept)


def _typo(rng, text):
    """One letter of one longer word is lost, doubled, or changes place with its neighbour."""
    words = text.split(" ")
    places = [i for i, word in enumerate(words) if SAFE_WORD.match(word)]
    if not places:
        return text
    place = rng.choice(places)
    word = words[place]
    at = 1 + rng.randrange(len(word) - 2)
    kind = rng.randrange(3)
    if kind == 0:
        word = word[:at] + word[at + 1:]
    elif kind == 1:
        word = word[:at] + word[at] + word[at:]
    else:
        word = word[:at] + word[at + 1] + word[at] + word[at + 2:]
    words[place] = word
    return " ".join(words)


def _dressed(rng, text):
    """Openers, sentences before it, closers."""
    chance = rng.random()
    if chance < 0.26:
        text = f"{rng.choice(WORDING['openers'])} {_lower_first(text)}"
    elif chance < 0.42:
        text = f"{_filled(rng, rng.choice(WORDING['sentences']))} {text}"
    if rng.random() < 0.18:
        closer = _filled(rng, rng.choice(WORDING["closers"]))
        end = text[-1] if text[-1] in ".?!" else ""
        text = text.rstrip(".?!") + (closer if closer.startswith(",") else " " + closer) + end
    return text


def _finished(rng, text):
    """Upper and lower case, final signs, slips of the fingers."""
    if rng.random() < 0.35:
        text = text.lower()
    elif rng.random() < 0.8:
        text = text[:1].upper() + text[1:]
    chance = rng.random()
    if chance < 0.3:
        text = text.rstrip(".?!")
    elif chance < 0.34:
        text = text.rstrip(".?!") + rng.choice(["??", " ?", "...", "!", "?!"])
    if rng.random() < 0.1:
        text = _typo(rng, text)
    if rng.random() < 0.02:
        text = _typo(rng, text)
    return re.sub(r"  +", " ", text).strip()


def vary(rng, text):
    """The same question in other words, or nearly the same words."""
    if rng.random() < 0.45:
        text = _reordered(rng, text)
    text = _options_spelt(rng, text)
    text = _with_synonyms(rng, text, 0.3)
    chance = rng.random()
    if chance < 0.09:
        text = _telegraphic(rng, text)
    elif chance < 0.15:
        text = _scrambled(rng, text)
    elif chance < 0.5:
        text = _contracted(rng, text)
    return _finished(rng, _dressed(rng, text))


def _phrase(rng, record):
    phrase = rng.choice(record["phrases"])
    article = re.match(r"(?:the|a|an) ", phrase)
    return phrase[article.end():] if article and rng.random() < 0.35 else phrase


def _filled(rng, text):
    """A frame or sentence with somebody and some doing in their places."""
    for name in ("who", "doing"):
        if "{" + name + "}" in text:
            text = text.replace("{" + name + "}", rng.choice(WORDING[name]))
    return text[:1].upper() + text[1:] if text.endswith(".") else text


def _framed(rng, phrase):
    return _filled(rng, rng.choice(WORDING["frames"])).replace("{}", phrase)


def _composed(rng, record):
    """A message made of the noun phrases of a record."""
    if len(record["phrases"]) > 1 and rng.random() < 0.25:
        phrases = rng.sample(record["phrases"], 2)
        return rng.choice(WORDING["pairs"]).format(*phrases)
    return _framed(rng, _phrase(rng, record))


def _key_words(rng, record):
    """Some words of the record, in any order, that no other fact has together; or a phrase."""
    words = FACT_WORDS.get(record["id"])
    weights = words and [1 / len(OWNERS[word]) for word in words]
    for _ in range(8 if words else 0):
        chosen = list(dict.fromkeys(rng.choices(words, weights, k=2 + rng.randrange(3))))
        if len(set.intersection(*(OWNERS[word] for word in chosen))) == 1:
            text = " ".join(chosen)
            return text if rng.random() < 0.6 else _framed(rng, text)
    return _phrase(rng, record)


def ask(rng, record):
    """A user's message that the record answers."""
    chance = rng.random() if record["phrases"] else 0
    if chance < 0.66:
        return vary(rng, rng.choice(record["questions"]))
    if chance < 0.72:
        return _finished(rng, _key_words(rng, record))
    if chance < 0.78:
        question = _with_synonyms(rng, rng.choice(record["questions"]), 0.3)
        text = rng.choice(WORDING["mixed"]).format(question, _phrase(rng, record))
        return _finished(rng, _options_spelt(rng, text))
    text = _with_synonyms(rng, _options_spelt(rng, _composed(rng, record)), 0.15)
    return _finished(rng, _dressed(rng, text) if rng.random() < 0.4 else text)


def _exchange(task, question, answer):
    return {"task": task, "system": None, "tools": None,
            "messages": [{"role": "user", "content": question},
                         {"role": "assistant", "content": answer}]}


WORDING = {record["id"]: record["questions"] for record in load("wording.txt")}
GREETINGS = ["hi,", "hello,", "hey,", "hi!", "hello!", "good morning,", "ok,"]
SYLLABLES = ("ba be bi bo bu da de di do fa fe fi fo ga ge gi go ka ke ki ko la le li lo ma me mi "
             "mo na ne ni no pa pe pi po ra re ri ro sa se si so ta te ti to va ve vi vo za ze zo "
             "blor dran flim grun kest mord nulf prex quib snar tosk trel ulp vank wix yorn zub"
             ).split()
# Records whose phrases make no sense in a general frame.
SPECIFIC = {"money", "our-place", "tokenworks-firm", "translate", "life", "near-miss", "single"}


def _content_words(record):
    """The words of a record that say what it is about, as they are written."""
    texts = [record["answer"], *record["questions"], *record["phrases"]]
    words = {_lower_first(word.strip(".,?!:;()\"'")) for text in texts for word in text.split()}
    return sorted(word for word in words if len(word) > 2 and word.lower() not in FILLERS)


FACTS = load("facts.txt")
FACT_WORDS = {fact["id"]: _content_words(fact) for fact in FACTS}
OWNERS = {}
for _id, _words in FACT_WORDS.items():
    for _word in _words:
        OWNERS.setdefault(_word, set()).add(_id)
KNOWN_WORDS = {word for fact in FACTS for text in [fact["answer"], *fact["questions"]]
               for word in words_of(text)}
ABOUT = load("about.txt")
UNKNOWN = load("unknown.txt")
SINGLE = next(record for record in UNKNOWN if record["id"] == "single")
GENERAL = [record for record in UNKNOWN if record["id"] not in SPECIFIC]


def _no_word(rng):
    """A word that does not exist: what is not known cannot be listed."""
    word = ""
    while not word or word in KNOWN_WORDS:
        word = "".join(rng.choice(SYLLABLES) for _ in range(2 + rng.randrange(2)))
    return rng.choice(["", "", "the ", "a ", "--", "tokenworks ", "the option "]) + word


def _slot_filled(rng, record, question):
    return question.replace("{}", rng.choice(record["phrases"])) if "{}" in question else question


def make_fact(rng):
    record = rng.choice(FACTS)
    return _exchange("facts", ask(rng, record), record["answer"])


def make_about(rng):
    record = rng.choice(ABOUT)
    question = _slot_filled(rng, record, rng.choice(record["questions"]))
    chance = rng.random()
    if chance < 0.5:
        question = _finished(rng, question)
    elif chance < 0.9:
        question = _finished(rng, _contracted(rng, _with_synonyms(rng, question, 0.15)))
    else:
        question = _finished(rng, f"{rng.choice(GREETINGS)} {_lower_first(question)}")
    return _exchange("about", question, record["answer"])


def _unknown_question(rng):
    chance = rng.random()
    if chance < 0.2:
        return rng.choice(SINGLE["questions"])
    if chance < 0.28:
        return _framed(rng, _no_word(rng))
    if chance < 0.42:
        return _framed(rng, _phrase(rng, rng.choice(GENERAL)))
    record = rng.choice(UNKNOWN)
    question = rng.choice(record["questions"])
    return _slot_filled(rng, record, question)


def make_unknown(rng):
    return _exchange("unknown", vary(rng, _unknown_question(rng)), UNKNOWN_ANSWER)


TASKS = {
    "facts": (40, make_fact),
    "about": (4, make_about),
    "unknown": (5, make_unknown),
}
