"""Scenarios that are contradictory, impossible or misspelt: each is refused with one sentence that
says at which line, and what to do."""
import re

import golden

BASE = """name: small
model: Qwen3-8B
weights: [fp8]
devices: [L40S]
apis: [qwen-turbo-intl]
use-cases:
  - {name: chat, requests-per-s: 2, input-tokens: 500, output-tokens: 200, data-class: open}
slo: {percentile: 90, ttft-ms: 1000, tpot-ms: 60}
horizon-months: 24
places:
  - {name: house, holds: [owned], seal: [4]}
  - {name: away, holds: [colocated, rented, api], seal: [1, 1, 1, 1, 1, 1, 1, 1]}
data-classes:
  - {name: open}
"""
USE = "requests-per-s: 2, input-tokens: 500, output-tokens: 200, data-class: open"
MODELS = ("model: Qwen3-8B\n", "models:\n  - {name: Qwen3-8B}\n  - {name: Qwen3-14B}\n")

# What is replaced by what, the line that is told (0: none can be), and words of the sentence.
CASES = [
    # names
    ("model: Qwen3-8B", "model: Qwen3-8X", 2, "Qwen3-8B"),
    ("model: Qwen3-8B\n", "", 6, "add model"),
    ("fp8", "fp9", 3, "write bf16"),
    ("L40S", "L41S", 4, "L40S"),
    ("L40S", "Xeon-6980", 4, "Xeon-6980P"),
    ("qwen-turbo-intl", "qwen-turbo-int", 5, "qwen-turbo-intl"),
    ("[L40S]", "[L40S, l40s]", 4, "stands here twice"),
    ("[qwen-turbo-intl]", "[qwen-turbo-intl, qwen-turbo-intl]", 5, "stands here twice"),
    ("horizon", "engine: vlm\nhorizon", 9, "lists them"),
    ("horizon", "kv: fp3\nhorizon", 9, "write bf16 or fp8"),
    ("horizon", "currency: EURO\nhorizon", 9, "did you mean EUR"),
    ("horizon", "currency: dollars\nhorizon", 9, "did you mean USD"),
    ("horizon", "currency: XYZ\nhorizon", 9, "there is no rate"),
    ("horizon", "rents: [Nobody]\nhorizon", 9, "nobody rents out"),
    ("horizon", "options: [own]\nhorizon", 9, "none of owned"),
    ("horizon", "day: morning\nhorizon", 9, "write office, evening or flat"),
    ("horizon", "horizont: 3\nhorizon", 9, "horizon-months"),
    ("name: chat", "name: chat, kind: chatter", 7, "there are chat,"),
    ("data-class: open", "data-class: opan", 7, "did you mean open"),
    ("{name: open}", "{name: open, may-go: [hause]}", 14, "did you mean house"),
    ("holds: [owned]", "holds: [own]", 11, "owned, colocated, rented or api"),
    # lists that hold nothing
    ("{name: open}", "{name: open, may-go: []}", 14,
     "may-go is empty: name the places, or leave the key out for anywhere"),
    ("{name: open}", "{name: open, seal-at-least: []}", 14, "seal-at-least is empty"),
    ("{name: open}", "name: open\n    may-go:", 15, "must be a list, such as [house]"),
    ("horizon", "rents: []\nhorizon", 9, "rents is empty"),
    ("horizon", "options: []\nhorizon", 9, "options is empty"),
    # numbers
    ("requests-per-s: 2", "requests-per-s: 1e-15", 7, "at least 1e-05"),
    ("requests-per-s: 2", "users: 1, active-share: 0.000001", 7, "at least 1e-05"),
    ("requests-per-s: 2", "requests-per-s: -2", 7, "write 0 to"),
    ("requests-per-s: 2", "requests-per-s: many", 7, "many"),
    ("requests-per-s: 2", "requests-per-s: 0", 7, "above 0"),
    ("requests-per-s: 2", "users: 10, active-share: 3", 7, "write 0 to 1"),
    ("requests-per-s: 2", "requests-per-s: .nan", 7, "requests-per-s"),
    ("input-tokens: 500", "input-tokens: 1e9", 7, "write 0 to"),
    ("percentile: 90", "percentile: 190", 8, "50 to 99.99"),
    ("percentile: 90", "percentile: -1", 8, "50 to 99.99"),
    ("percentile: 90", "percentile: 0.95", 8, "95 for 95%"),
    ("ttft-ms: 1000", "ttft-ms: -5", 8, "above 0 to"),
    ("horizon-months: 24", "horizon-months: 600", 9, "write 1 to 120"),
    ("horizon-months: 24", "horizon-months: 0", 9, "write 1 to 120"),
    ("horizon-months: 24", "spare-replicas: 5000", 9, "at most 1000"),
    ("horizon-months: 24", "batch-share: 2", 9, "write 0 to 1"),
    ("horizon-months: 24", "cached-share: -0.5", 9, "write 0 to 1"),
    ("horizon-months: 24", "weekend: -1", 9, "write 0 to 10"),
    ("horizon-months: 24", "hours: [1, 2, 3]", 9, "a day has 24"),
    ("horizon-months: 24", "hours: [" + ", ".join(["0"] * 24) + "]", 9, "write one above 0"),
    ("horizon-months: 24", "context-tokens: 99999999", 9, "at most"),
    ("seal: [4]", "seal: [7]", 11, "levels are 0 to 4"),
    ("seal: [4]", "seal: [4, 4]", 11, "one for all, or 8"),
    # money
    ("horizon-months: 24", "money: {pue: 0.5}", 9, "between 1 and 5"),
    ("horizon-months: 24", "money: {energy-usd-per-kwh: -1}", 9, "between 0 and 10"),
    ("horizon-months: 24", "money: {growth: 0.5..0.1}", 9, "the lowest first"),
    ("horizon-months: 24", "money: {growth: 20%}", 9, "neither a number nor a range"),
    ("horizon-months: 24", "money: {growth: 1..2..3..4}", 9, "neither a number nor a range"),
    ("horizon-months: 24", "money: {discount-rate: -0.9}", 9, "between"),
    ("horizon-months: 24", "money: {staff-rented-share: 2}", 9, "between 0 and 1"),
    ("horizon-months: 24", "money: {draws: 10000000}", 9, "write 1 to"),
    ("horizon-months: 24", "money: {life-months: 700}", 9, "600"),
    ("horizon-months: 24", "money: {life-months: 0}", 9, "write 1 to 600"),
    ("horizon-months: 24", "money: {draws: 0}", 9, "write 1 to"),
    ("horizon-months: 24", "money: {discount-rate: 8}", 9, "800% a year; write 0.08"),
    ("horizon-months: 24", "money: {discount-rate: 5..8..12}", 9, "between -0.5 and 1"),
    ("horizon-months: 24", "money: {growth: 20}", 9, "write 0.2 for 20%"),
    ("horizon-months: 24", "money: {staff-drift: 3}", 9, "write 0.03 for 3%"),
    ("horizon-months: 24", "money: {staff-usd-per-year: 95}", 9, "between 1000 and"),
    ("horizon-months: 24", "money: {energy: 0.2}", 9, "energy"),
    # contradictions
    ("requests-per-s: 2", "users: 5, requests-per-s: 2", 7, "either users or requests-per-s"),
    (USE, "data-class: open", 7, "either users or requests-per-s"),
    ("input-tokens: 500", "input-tokens: 500, shared-prefix-tokens: 900", 7,
     "part of the input"),
    ("name: small\n", "name: small\ntrace: t.csv\n", 2, "either use-cases or a trace"),
    ("tpot-ms: 60", "latency-s: 0.5", 8, "longer than its first token"),
    ("horizon-months: 24", "day: office\nhours: [" + ", ".join(["1"] * 24) + "]", 10,
     "remove one of them"),
    ("{name: open}", "{name: open}\n  - {name: open}", 15, "stands here twice"),
    ("{name: house", "{name: away", 12, "stands here twice"),
    (", data-class: open", "", 7, "add data-class", "{name: open}", "{name: open}\n  - {name: b}"),
    (*MODELS, 9, "add the model of this use case"),
    (MODELS[0], MODELS[1], 4, "no use case has the model", USE, USE + ", model: Qwen3-8B"),
    (MODELS[0], "models:\n  - {name: Qwen3-8B}\n  - {name: qwen3-8b}\n", 4, "stands here twice"),
    ("use-cases:\n  - {name: chat, " + USE + "}\n", "use-cases:\n" + "".join(
        f"  - {{name: u{i}, {USE}, model: m{i}}}\n" for i in range(9)), 14, "at most 8 models",
     "model: Qwen3-8B\n", ""),
    # impossible
    ("model: Qwen3-8B", "model: Kimi-K2", 4, "no device serves Kimi-K2",
     "apis: [qwen-turbo-intl]\n", ""),
    ("ttft-ms: 1000, tpot-ms: 60", "ttft-ms: 1, tpot-ms: 1", 4, "loosen the targets",
     "apis: [qwen-turbo-intl]\n", ""),
    ("{name: open}", "{name: open, seal-at-least: [4, 4, 4, 4, 4, 4, 4, 4]}", 15, "away",
     "devices: [L40S]", "devices: [L40S]\noptions: [tokens, reserved]"),
    ("horizon-months: 24", "context-tokens: 9000000", 9, "reads"),
    ("horizon-months: 24", "options: [tokens]", 8, "add apis", "apis: [qwen-turbo-intl]\n", ""),
    ("ttft-ms: 1000, tpot-ms: 60", "ttft-ms: 30, tpot-ms: 1", 4,
     "at house no device serves Qwen3-8B within the targets (one request alone is slower",
     "{name: open}", "{name: open, may-go: [house]}"),
    ("model: Qwen3-8B", "model: DeepSeek-V3", 4, "at house no device serves DeepSeek-V3",
     "{name: open}", "{name: open, may-go: [house]}"),
    ("[L40S]", "[L40S, RTX-4090]", 4, "RTX-4090: one request alone", "tpot-ms: 60", "tpot-ms: 1",
     "apis: [qwen-turbo-intl]\n", ""),
    # files
    ("use-cases:\n  - {name: chat, " + USE + "}\n",
     "trace: nowhere.csv\ntrace-factor: 1e-300\n", 7, "write 0.000001 to"),
    ("use-cases:\n  - {name: chat, " + USE + "}\n", "trace: nowhere.csv\n", 6, "there is no file"),
    ("horizon-months: 24", "prices: [nowhere.csv]", 9, "nowhere.csv"),
    ("horizon-months: 24", "catalogue: [nowhere.csv]", 9, "nowhere.csv"),
    # not a scenario
    (BASE, "- a list\n", 1, ""),
    (BASE, "name: [\n", 2, ""),
    (BASE, "", 0, ""),
    (BASE, "\0\1\2", 0, ""),
]


def each_is_refused_with_its_line_and_a_remedy(it):
    path, wrong = it.folder / "s.yaml", []
    for case in CASES:
        old, new, line, words, *more = case
        assert old in BASE, case
        text = BASE.replace(old, new)
        for a, b in zip(more[::2], more[1::2]):
            assert a in text, case
            text = text.replace(a, b)
        path.write_text(text, encoding="utf-8")
        code, out, err = it.run("plan", path)
        told = re.search(rb"line: (\d+)", err)
        if code == 0 or out or err.count(b"\n") != 1 or words not in err.decode() or \
                len(err) > 420 or (line and (told is None or int(told[1]) != line)):
            wrong.append((new[:60], line, words, code, err.decode()))
    assert not wrong, "\n".join(map(str, wrong))
    assert len(CASES) >= 60


TITLES = "price,field,value,low,high,source,date\n"
DEVICES = TITLES.replace("price", "device")
TABLES = [
    ("prices", TITLES + "L40S,bought_eur,9000,,,me,2026\n", "line 2: ", "did you mean bought_usd"),
    ("prices", TITLES + "L40S,tier2_inputs_per_million,1,,,me,2026\n",
     "tier2_input_per_million", "line 2"),
    ("prices", TITLES + "RTX-PRO-6000WS,bought_usd,9000,,,me,2026\n", "line 2",
     "did you mean 'RTX-PRO-6000-WS'"),
    ("prices", TITLES + "Mine,usd_per_h,2,,,me,2026\n", "line 2", "no device"),
    ("prices", TITLES + "Mine,usd_per_h,2,,,me,2026\nMine,device,L41S,,,me,2026\n", "line 3",
     "L40S"),
    ("prices", TITLES + "gpt-55,output_per_million,2,,,me,2026\n", "line 2",
     "no input_per_million"),
    ("prices", TITLES + "Mine,usd_per_h,2,,,me,2026\nMine,device,L40S,,,me,2026\n"
     "Mine,term_months,1e12,,,me,2026\n", "line 4", "write 0 to 600"),
    ("prices", TITLES.replace(",", ";") + "L40S;bought_usd;9000,5;;;me;2026\n", ":1:",
     "semicolons"),
    ("catalogue", DEVICES + "L40S,tdp,300,,,me,2026\n", ":2:", "did you mean tdp_w"),
    ("catalogue", DEVICES + "L40S,linked,1e300,,,me,2026\n", "L40S", "linked"),
    ("catalogue", DEVICES.replace(",", ";") + "L40S;tdp_w;300;;;me;2026\n", ":1:", "semicolons"),
]


def a_table_of_ones_own_that_would_change_nothing_is_refused(it):
    path = it.folder / "t.csv"
    for key, text, *words in TABLES:
        path.write_text(text, encoding="utf-8")
        (it.folder / "s.yaml").write_text(BASE + f"{key}: [{path}]\n", encoding="utf-8")
        code, out, err = it.run("plan", it.folder / "s.yaml")
        assert code != 0 and out == b"" and err.count(b"\n") == 1, (text, err)
        assert all(w in err.decode() for w in ("t.csv", *words)) or "linked" in words, (text, err)
        assert all(w in err.decode() for w in words), (text, err)


def options_are_refused_likewise(it):
    for words, part in (
            (("--users", "5"), b"--model"), (("--model", "Qwen3-8B"), b"--users"),
            (("--model", "Qwen3-8B", "--users", "5", "--requests-per-s", "1"), b"either"),
            (("--model", "Qwen3-8B", "--users", "-5"), b"--users"),
            (("--model", "Qwen3-8B", "--users", "5", "--money", "pue"), b"KEY=VALUE"),
            (("--model", "Qwen3-8B", "--users", "5", "--money", "pue=0"), b"between 1 and 5"),
            (("--model", "Qwen3-8B", "--users", "5", "--money", "puh=1"), b"pue"),
            (("--model", "Qwen3-8B", "--users", "5", "--months", "0"), b"--months"),
            (("--model", "Qwen3-8B", "--users", "5", "--device", "L41S"), b"L40S"),
            (("--model", "Qwen3-8B", "--users", "5", "--data", "nowhere"), b"no folder"),
            (("nowhere.yaml",), b"nowhere.yaml"),
            (("nowhere.yaml", "--model", "Qwen3-8B"), b"either")):
        code, out, err = it.run("plan", *words)
        assert code != 0 and out == b"" and err.count(b"\n") == 1 and part in err, (words, err)


if __name__ == "__main__":
    golden.main([a_table_of_ones_own_that_would_change_nothing_is_refused,
                 each_is_refused_with_its_line_and_a_remedy, options_are_refused_likewise])
