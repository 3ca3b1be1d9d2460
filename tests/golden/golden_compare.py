"""plan compare, made again by other means: SQL for the ledger, zoneinfo for the hours of the week,
the tables of data/ for what tokens cost elsewhere, and `plan` itself for what was measured."""
import csv
import datetime
import io
import json
import math
import re
import sqlite3
import subprocess
from pathlib import Path
from zoneinfo import ZoneInfo

import golden

NANO = 10**9
DATA = Path(__file__).resolve().parents[2] / "data"
PERIOD = "2026-10-20..2026-11-16"
APIS = ["gpt-5-mini", "gpt-5.4", "qwen3-max-cn"]
HOURS = [1, 2, 1, 1, 1, 2, 3, 4, 6, 8, 10, 9, 8, 7, 8, 9, 8, 7, 5, 4, 3, 2, 2, 1]
WEEKEND = 0.25
SCENARIO = {
    "name": "name: measured\n",
    "currency": "currency: EUR\n",
    "horizon-months": "horizon-months: 24\n",
    "model": "model: Qwen3-8B\n",
    "weights": "weights: [fp8]\n",
    "devices": "devices: [L40S]\n",
    "apis": f"apis: [{', '.join(APIS)}]\n",
    "hours": f"hours: {HOURS}\n",
    "weekend": f"weekend: {WEEKEND}\n",
    "use-cases": "use-cases:\n  - {name: chat, requests-per-s: 0.001, input-tokens: 1500, "
                 "output-tokens: 400}\n",
    "slo": "slo: {percentile: 90, ttft-ms: 1000, tpot-ms: 60}\n",
    "money": "money:\n  load: 0.7..1..1.4\n  pue: 1.2..1.3..1.5\n",
}


def make_books(it, name="books.db", *words):
    """Made-up books; golden.main was given their maker."""
    path = it.folder / name
    if not path.exists():
        subprocess.run([it.synth_model, "-o", name, *words], cwd=it.folder, check=True)
    return path


def write(it, blocks, name="s.yaml"):
    path = it.folder / name
    path.write_text("".join(blocks.values()), encoding="utf-8")
    return path


def compare(it, blocks, *words, books="books.db"):
    return json.loads(it.good("plan", "compare", write(it, blocks), "--books",
                              make_books(it, books), "--json", *words))


def entries_of(path, models, org=None):
    books = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    books.row_factory = sqlite3.Row
    rows = [dict(row) for row in books.execute(
        "SELECT e.at_ns, e.model, e.class, e.input_tokens, e.cached_tokens, e.output_tokens,"
        " e.amount_nano, o.name AS org FROM entry e, holder k, holder p, holder t, holder o"
        " WHERE e.kind = 'settle' AND k.id = e.api_key AND p.id = k.parent AND t.id = p.parent"
        " AND o.id = t.parent ORDER BY e.id")]
    books.close()
    return [r for r in rows if (models is None or r["model"] in models) and org in (None, r["org"])]


def near(a, b, tolerance=1e-9):
    assert a is not None and math.isclose(a, b, rel_tol=tolerance, abs_tol=1e-12), (a, b)


def local(seconds, zone):
    utc = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return utc.astimezone(ZoneInfo(zone))


def hour_of(seconds, zone):
    time = local(seconds, zone)
    return time.hour + (24 if time.weekday() >= 5 else 0)


def seconds_of_hours(from_ns, to_ns, zone):
    """How many seconds of each of the 48 hours lie in a time; by minutes."""
    seconds = [0.0] * 48
    at = from_ns / NANO
    while at < to_ns / NANO:
        end = min((at // 60 + 1) * 60, to_ns / NANO)
        seconds[hour_of(at, zone)] += end - at
        at = end
    return seconds


def row(made, name):
    return next(r for r in made["rows"] if r["name"] == name)


def instant(text, zone):
    time = datetime.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return int(time.timestamp()) * NANO


# ---- load ----

def check_load(it, made, entries, zone):
    mine = [e for e in entries if made["from_ns"] <= e["at_ns"] < made["to_ns"]]
    n = len(mine)
    assert n > 50
    prompts = [e["input_tokens"] + e["cached_tokens"] for e in mine]
    answers = [e["output_tokens"] for e in mine]
    assert row(made, "requests")["actual"] == n
    near(row(made, "prompt tokens")["actual"], sum(prompts) / 1e6)
    near(row(made, "output tokens")["actual"], sum(answers) / 1e6)
    near(row(made, "prompt of a request")["actual"], sum(prompts) / n)
    near(row(made, "answer of a request")["actual"], sum(answers) / n)
    near(row(made, "cached of the prompt")["actual"],
         sum(e["cached_tokens"] for e in mine) / sum(prompts))
    near(made["charged"]["amount_nano"], sum(e["amount_nano"] for e in mine))

    counts, seconds = [0] * 48, seconds_of_hours(made["from_ns"], made["to_ns"], zone)
    for e in mine:
        counts[hour_of(e["at_ns"] // NANO, zone)] += 1
    assert made["load"]["requests"] == counts
    for a, b in zip(made["load"]["seconds"], seconds):
        assert abs(a - b) < 0.01, (a, b)
    rates = [c / s for c, s in zip(counts, seconds)]
    weekend = sum(rates[24:]) / sum(rates[:24])
    near(row(made, "busiest usual hour")["actual"], max(rates[:24]) * max(1, weekend), 1e-3)

    starts = {}
    for e in mine:
        at = local(e["at_ns"] // NANO, zone).replace(minute=0, second=0)
        starts[at.timestamp()] = starts.get(at.timestamp(), 0) + 1
    most = max(starts.values())
    assert made["load"]["busiest_requests"] == most
    first = min(s for s, c in starts.items() if c == most)
    assert made["load"]["busiest"] == local(first, "UTC").strftime("%Y-%m-%dT%H:%M:%SZ")
    near(row(made, "busiest hour of all")["actual"], most / 3600)
    return seconds, weekend, rates


def check_planned(made, seconds):
    load = [h / max(HOURS) for h in HOURS]
    load += [WEEKEND * h for h in load]
    requests = 0.001 * sum(s * h for s, h in zip(seconds, load))
    low, typical, high = row(made, "requests")["planned"]
    near(typical, requests, 1e-6)
    # 5% and 95% of a triangle from 0.7 over 1 to 1.4
    near(low, requests * (0.7 + math.sqrt(0.05 * 0.7 * 0.3)), 0.03)
    near(high, requests * (1.4 - math.sqrt(0.05 * 0.7 * 0.4)), 0.03)
    near(row(made, "prompt tokens")["planned"][1], requests * 1500 / 1e6, 1e-6)


def the_load_is_what_the_entries_say_in_every_zone(it):
    path = make_books(it)
    for zone in ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/New_York"]:
        made = compare(it, SCENARIO, "--period", PERIOD, "--zone", zone, "--model", "demo")
        assert made["from_ns"] == instant("2026-10-20T00:00", zone)
        assert made["to_ns"] == instant("2026-11-17T00:00", zone)
        seconds, _, _ = check_load(it, made, entries_of(path, ["demo"]), zone)
        check_planned(made, seconds)
    made = compare(it, SCENARIO, "--period", PERIOD, "--model", "*", "--in", "globex")
    check_load(it, made, entries_of(path, None, "globex"), "UTC")


def models_that_the_plan_does_not_know_are_left_out_and_named(it):
    path = make_books(it)
    made = compare(it, SCENARIO, "--period", PERIOD, "--model", "demo", "--model", "writer")
    check_load(it, made, entries_of(path, ["demo", "writer"]), "UTC")
    assert [(m["model"], m["compared"]) for m in made["models"]] == [
        ("demo", True), ("embed-small", False), ("writer", True)]
    text = it.good("plan", "compare", it.folder / "s.yaml", "--books", path, "--period", PERIOD,
                   "--model", "demo").decode()
    assert "for models that the plan does not know are not in it: embed-small, writer" in text


# ---- money ----

def prices():
    table = {}
    with open(DATA / "prices.csv", encoding="utf-8") as file:
        for r in csv.reader(line for line in file if not line.startswith("#")):
            table.setdefault((r[0], r[1]), r[2])  # the first of several sources is the typical one
    return table


def bought(name, entries, is_cached):
    table = prices()
    rate = {"USD": 1.0, "CNY": float(table["money", "usd_per_cny"]),
            "EUR": float(table["money", "usd_per_eur"])}[table.get((name, "currency"), "USD")]
    tiers = []
    for t in range(1, 5):
        prefix = "" if t == 1 else f"tier{t}_"
        if t > 1 and (name, prefix + "from_tokens") not in table:
            break
        take = lambda key, otherwise=None: float(  # noqa: E731
            table.get((name, prefix + key), otherwise))
        tiers.append((0 if t == 1 else take("from_tokens"), take("input_per_million"),
                      take("cached_per_million", table[name, prefix + "input_per_million"]),
                      take("output_per_million")))
    usd = 0
    for e in entries:
        prompt = e["input_tokens"] + e["cached_tokens"]
        _, i, c, o = [t for t in tiers if prompt >= t[0]][-1]
        cost = e["input_tokens"] * i + e["cached_tokens"] * (c if is_cached else i)
        cost += e["output_tokens"] * o
        discount = float(table.get((name, "batch_discount"), 0)) if e["class"] == "batch" else 0
        usd += cost / 1e6 * rate * (1 - discount)
    return usd


def the_same_tokens_elsewhere_cost_what_the_tables_say(it):
    path = make_books(it)
    books = sqlite3.connect(path)  # some prompts that reach the dearer tiers
    for n, every in ((250000, 7), (40000, 5)):
        books.execute("UPDATE entry SET input_tokens = input_tokens + ?, tokens = tokens + ?"
                      " WHERE kind = 'settle' AND id % ? = 0", (n, n, every))
    books.commit()
    books.close()
    try:
        made = compare(it, SCENARIO, "--period", PERIOD, "--model", "*")
        mine = [e for e in entries_of(path, None)
                if made["from_ns"] <= e["at_ns"] < made["to_ns"]]
        assert {e["class"] for e in mine} == {"standard", "batch"}
        tokens = sum(e["input_tokens"] + e["cached_tokens"] + e["output_tokens"] for e in mine)
        assert [b["api"] for b in made["bought"]] == APIS
        for b in made["bought"]:
            near(b["usd"], bought(b["api"], mine, True))
            near(b["usd_uncached"], bought(b["api"], mine, False))
            near(b["usd_per_million_tokens"], b["usd"] / tokens * 1e6)
        euro = float(prices()["money", "usd_per_eur"])
        near(made["charged"]["usd"], sum(e["amount_nano"] for e in mine) / NANO * euro)
        near(made["charged"]["usd_per_million_tokens"], made["charged"]["usd"] / tokens * 1e6)
    finally:
        path.unlink()


def a_currency_without_a_rate_is_said_and_not_converted(it):
    path = make_books(it, "yen.db")
    books = sqlite3.connect(path)
    books.execute("UPDATE books SET currency = 'CHF'")
    books.commit()
    books.close()
    made = compare(it, SCENARIO, "--period", PERIOD, "--model", "demo", books="yen.db")
    assert made["charged"]["usd"] is None and made["charged"]["currency"] == "CHF"
    text = it.good("plan", "compare", it.folder / "s.yaml", "--books", path, "--period", PERIOD,
                   "--model", "demo").decode()
    assert "what that is in EUR is not known: add a row money,usd_per_chf,RATE" in text
    rates = it.folder / "rates.csv"
    rates.write_text("price,field,value,low,high,source,date\n"
                     "money,usd_per_chf,1.25,,,bank,2026-11\n", encoding="utf-8")
    made = compare(it, dict(SCENARIO, prices=f"prices: [{rates}]\n"), "--period", PERIOD, "--model",
                   "demo", books="yen.db")
    near(made["charged"]["usd"], made["charged"]["amount_nano"] / NANO * 1.25)


# ---- what was measured, as a scenario ----

def blocks_of(text):
    blocks = {}
    for line in text.splitlines(keepends=True):
        key = re.match(r"([a-z-]+):", line)
        if key:
            blocks[key[1]] = ""
        blocks[list(blocks)[-1]] += line
    return blocks


def pasted(measured):
    blocks, new = dict(SCENARIO), blocks_of(measured)
    money = new.pop("money", "money:\n").split("\n", 1)[1]
    kept = [line for line in SCENARIO["money"].splitlines(keepends=True)
            if not any(line.strip().split(":")[0] == m.strip().split(":")[0]
                       for m in money.splitlines())]
    blocks["money"] = "".join(kept) + money
    return dict(blocks, **new)


def what_was_measured_can_be_pasted_and_is_then_as_planned(it):
    make_books(it)
    words = ["--period", PERIOD, "--zone", "Europe/Berlin", "--model", "demo"]
    first = compare(it, SCENARIO, *words)
    assert row(first, "requests")["verdict"] == "below"
    assert any(f["about"] == "use-cases" and "requests-per-s: " in f["text"]
               for f in first["findings"]), first["findings"]
    assert any(f["about"] == "hours" for f in first["findings"])
    second = compare(it, pasted(first["measured"]), *words)
    for name in ["requests", "prompt tokens", "output tokens", "prompt of a request",
                 "answer of a request", "busiest usual hour"]:
        r = row(second, name)
        near(r["planned"][1], r["actual"], 2e-3)
        assert r["verdict"] == "as planned", r
    abouts = {f["about"] for f in second["findings"]}
    assert not abouts & {"use-cases", "input-tokens", "output-tokens", "hours", "cached-share",
                         "power"}, second["findings"]
    assert second["answer"] == first["answer_again"]
    assert second["answer_again"] == second["answer"]
    assert blocks_of(second["measured"])["hours"] == blocks_of(first["measured"])["hours"]


def plant_and_cost_are_those_of_the_pasted_plan(it):
    """Where the load stays and the plant is the same, what is compared is what `plan` says."""
    make_books(it)
    words = ["--period", PERIOD, "--model", "demo", "--option", "L40S, fp8, owned"]
    made = compare(it, SCENARIO, *words)
    again = json.loads(it.good("plan", write(it, pasted(made["measured"]), "p.yaml"), "--json"))
    option = next(o for o in again["options"] if o["name"] == made["option"])
    assert option["replicas"] == made["replicas"] == 1
    # The same payments; by the tokens that were measured, where a plan has those of its sample.
    peak = row(made, "busiest usual hour")["actual"]
    million_h = peak * 3600 / 1e6 * (row(made, "prompt of a request")["actual"] +
                                     row(made, "answer of a request")["actual"])
    near(row(made, "cost of a million tokens")["actual"] * million_h,
         option["usd_per_million_tokens"] * again["demand"]["million_tokens_per_peak_h"], 1e-4)

    (part,) = option["parts"]
    cost, seconds = part["cost"], made["load"]["seconds"]
    most = cost["load"][-1] * made["replicas"] / cost["replicas"][-1]
    served = possible = joules = 0
    for n, s in zip(made["load"]["requests"], seconds):
        load = n / s / peak
        served += min(load, most) * s
        possible += most * s
        busy = min(load, most) / most * made["replicas"]
        joules += s * (cost["idle_w"] * made["replicas"] + busy * (cost["busy_w"] - cost["idle_w"]))
    near(row(made, "utilisation")["actual"], served / possible, 1e-6)
    kwh = joules * 1.3 / 3.6e6
    near(row(made, "energy")["actual"], kwh, 1e-6)
    assert row(made, "energy")["basis"].startswith("modelled")
    tokens = row(made, "prompt tokens")["actual"] + row(made, "output tokens")["actual"]
    near(row(made, "energy of a million tokens")["actual"], kwh / tokens, 1e-6)
    near(made["energy"]["modelled_kwh"], kwh, 1e-6)
    assert made["energy"]["measured_kwh"] is None


# ---- energy ----

def write_meters(it, name, readings):
    lines = ["time,boot,meter,energy_uj,range_uj"]
    for at, boot, counters in readings:
        text = local(at, "UTC").strftime("%Y-%m-%dT%H:%M:%SZ")
        lines += [f"{text},{boot},{meter},{uj},{range_uj}" for meter, uj, range_uj in counters]
    path = it.folder / name
    path.write_text("\n".join(lines) + "\n", encoding="ascii")
    return path


def counters_of_a_machine(first, last, watts, top, start=0, holes=(), boot="a"):
    """A reading each minute of one that begins again above `top`, but for holes; and the spans."""
    readings, energy = [], start
    for at in range(first, last + 1, 60):
        if not any(a <= at < b for a, b in holes):
            readings.append((at, boot, [("rapl package-0", energy % (top + 1), top)]))
        energy += round(watts(at) * 60e6)
    return readings


def energy_is_what_the_counters_say(it):
    path = make_books(it)
    begin, end = (instant(day, "UTC") // NANO for day in ("2026-11-02T00:00", "2026-11-10T00:00"))
    top = 65712999613  # 66 kJ: from 100 W on it begins again every eleven minutes
    watts_a = lambda at: 90 + 40 * (at // 3600 % 5)  # noqa: E731
    hole = (begin + 86400, begin + 2 * 86400)
    a = write_meters(it, "a.csv", counters_of_a_machine(begin - 7200, end, watts_a, top, top - 5,
                                                         [hole]))
    cards = [(at, "b", [("nvml GPU-1", (at - begin + 7200) * 50 * 10**6, 0),
                        ("nvml GPU-2", (at - begin + 7200) * 70 * 10**6, 0)])
             for at in range(begin - 7200, end + 1, 3600) if at <= begin + 4 * 86400]
    cards += [(at, "c", [("nvml GPU-1", (at - begin - 4 * 86400) * 55 * 10**6, 0),
                         ("nvml GPU-2", (at - begin - 4 * 86400) * 75 * 10**6, 0)])
              for at in range(begin + 4 * 86400 + 3600, end + 1, 3600)]
    b = write_meters(it, "b.csv", cards)
    made = compare(it, SCENARIO, "--period", "2026-11-02..2026-11-09", "--model", "demo",
                   "--meter", a, "--meter", b, "--unmetered-watts", "25", "--option",
                   "L40S, fp8, owned")
    files = made["energy"]["files"]
    assert files[0]["pauses"] == 1 and files[0]["wraps"] > 1000, files
    assert files[1]["restarts"] == 1 and len(files[1]["counters"]) == 2

    covered, joules, tokens = 0, 0.0, 0
    spans = []
    for at in range(begin, end, 60):
        in_hole = hole[0] - 60 <= at < hole[1]
        in_restart = begin + 4 * 86400 <= at < begin + 4 * 86400 + 3600
        if not in_hole and not in_restart:
            spans.append(at)
            covered += 60
            joules += 60 * (watts_a(at) + (120 if at < begin + 4 * 86400 else 130) + 25)
    spans = set(spans)
    for e in entries_of(path, ["demo"]):
        if e["at_ns"] // NANO // 60 * 60 in spans:
            tokens += e["input_tokens"] + e["cached_tokens"] + e["output_tokens"]
    near(made["energy"]["measured_share"], covered / (end - begin))
    near(made["energy"]["measured_kwh"], joules / 3.6e6, 1e-6)
    assert made["energy"]["measured_tokens"] == tokens
    near(row(made, "mean power")["actual"], joules / covered * 1.3, 1e-6)
    near(row(made, "energy of a million tokens")["actual"], joules / 3.6 * 1.3 / tokens, 1e-6)
    assert "counters" in row(made, "mean power")["basis"]
    assert any(f["about"] == "meters" for f in made["findings"])
    factor = made["energy"]["power_factor"]
    assert any(f["about"] == "power" and f"power: {factor:.4g}" in f["text"]
               for f in made["findings"]), (factor, made["findings"])
    assert f"  power: {factor:.4g}\n" in made["measured"]


def power_that_was_measured_corrects_the_plan(it):
    """A machine that draws what the model says has the factor 1; one of twice as much, 2."""
    make_books(it)
    words = ["--period", PERIOD, "--model", "demo", "--option", "L40S, fp8, owned"]
    made = compare(it, SCENARIO, *words)
    watts = made["energy"]["modelled_kwh"] / 1.3 * 3.6e6 / sum(made["load"]["seconds"])
    begin, end = made["from_ns"] // NANO, made["to_ns"] // NANO
    for factor in (1, 2):
        meters = write_meters(it, "wall.csv", [
            (at, "", [("wall", round((at - begin) * watts * factor * 1e6), 0),
                      ("rapl package-0", 0, 0)])
            for at in (begin, end)])
        again = compare(it, SCENARIO, *words, "--meter", meters)
        near(again["energy"]["power_factor"], factor, 1e-6)
        near(row(again, "energy")["actual"], made["energy"]["modelled_kwh"] * factor, 1e-6)
        assert "measured at the wall, 100% of the time" in row(again, "energy")["basis"]
        abouts = {f["about"] for f in again["findings"]}
        assert ("power" in abouts) == (factor == 2), again["findings"]
    cost = "cost of a million tokens"
    assert row(again, cost)["actual"] > row(made, cost)["actual"]


# ---- options, several use cases, traces, short times ----

def tokens_can_be_what_was_bought(it):
    make_books(it)
    made = compare(it, SCENARIO, "--period", PERIOD, "--model", "demo", "--option",
                   "tokens of gpt-5-mini")
    assert row(made, "utilisation")["planned"] is None and row(made, "energy")["actual"] is None
    it_costs = next(b for b in made["bought"] if b["api"] == "gpt-5-mini")
    planned = row(made, "cost of a million tokens")
    # levelised over the horizon with the same drift, so the same ratio as today's prices
    near(planned["actual"] / planned["planned"][1],
         it_costs["usd_per_million_tokens"] / it_costs["planned_usd_per_million_tokens"], 1e-2)
    for wanted in ("1", made["option"]):
        compare(it, SCENARIO, "--period", PERIOD, "--model", "demo", "--option", wanted)


def several_use_cases_are_scaled_alike(it):
    make_books(it)
    blocks = dict(SCENARIO)
    blocks["use-cases"] = ("use-cases:\n"
                           "  - {name: chat, requests-per-s: 0.0003, input-tokens: 1000, "
                           "output-tokens: 300}\n"
                           "  - {name: \"it's code\", requests-per-s: 0.0001, input-tokens: 3000, "
                           "output-tokens: 700}\n")
    words = ["--period", PERIOD, "--model", "demo"]
    made = compare(it, blocks, *words)
    near(row(made, "prompt of a request")["planned"][1], 1500)
    assert "name: 'it''s code'" in made["measured"]
    blocks.update(blocks_of(made["measured"]))
    blocks["money"] = SCENARIO["money"]
    second = compare(it, blocks, *words)
    for name in ["requests", "prompt of a request", "answer of a request"]:
        near(row(second, name)["planned"][1], row(second, name)["actual"], 2e-3)


def of_several_models_one_is_compared(it):
    """With it alone in the scenario all is the same."""
    more = SCENARIO["use-cases"] + ("  - {name: code, model: Qwen3-14B, requests-per-s: 0.002, "
                                    "input-tokens: 800, output-tokens: 90}\n")
    words = ["--period", PERIOD, "--model", "demo", "--option", "L40S, fp8, owned"]
    alone = compare(it, SCENARIO, *words)
    both = dict(SCENARIO, **{"use-cases": more})
    assert compare(it, both, *words, "--of", "qwen3-8b") == alone
    assert compare(it, both, *words, "--of", "Qwen3-14B") != alone
    for wrong in ([], ["--of", "Qwen3-32B"]):
        code, _, err = it.run("plan", "compare", write(it, both), "--books", make_books(it), *words,
                              *wrong)
        assert code == 2 and b"of the scenario is compared: Qwen3-8B, Qwen3-14B" in err, err


def a_trace_is_replaced_by_what_was_measured(it):
    make_books(it)
    trace = it.folder / "trace.csv"
    trace.write_text("arrival_s,input_tokens,output_tokens\n" + "".join(
        f"{i * 2500},{1000 + i % 7 * 100},{100 + i % 5 * 10}\n" for i in range(500)),
        encoding="ascii")
    blocks = dict(SCENARIO)
    blocks["use-cases"] = f"trace: {trace}\n"
    made = compare(it, blocks, "--period", PERIOD, "--model", "demo")
    near(row(made, "busiest usual hour")["planned"][1], 1 / 2500, 1e-3)
    blocks.update(blocks_of(made["measured"]))
    blocks["money"] = SCENARIO["money"]
    second = compare(it, blocks, "--period", PERIOD, "--model", "demo")
    near(row(second, "requests")["planned"][1], row(second, "requests")["actual"], 2e-3)


def a_day_says_nothing_of_the_week(it):
    make_books(it)
    made = compare(it, SCENARIO, "--period", "2026-11-05", "--model", "*")
    assert not made["load"]["has_week"]
    assert "hours" not in blocks_of(made["measured"])
    assert any("were not judged" in f["text"] for f in made["findings"])
    requests, peak = row(made, "requests"), row(made, "busiest usual hour")
    near(peak["actual"] / peak["planned"][1], requests["actual"] / requests["planned"][1])


def growth_counts_from_the_first_month(it):
    make_books(it)
    blocks = dict(SCENARIO, money=SCENARIO["money"] + "  growth: 1\n")
    words = ["--period", PERIOD, "--model", "demo"]
    now, later = compare(it, blocks, *words), compare(it, blocks, *words, "--month", "13")
    near(row(later, "requests")["planned"][1], 2 * row(now, "requests")["planned"][1])


def a_closed_project_is_still_in_it(it):
    path = make_books(it, "closed.db")
    before = compare(it, SCENARIO, "--period", PERIOD, "--model", "demo", books="closed.db")
    books = sqlite3.connect(path)
    books.execute("UPDATE holder SET closed_ns = created_ns + 1 WHERE kind IN ('project', 'key')")
    books.commit()
    books.close()
    after = compare(it, SCENARIO, "--period", PERIOD, "--model", "demo", books="closed.db")
    assert before == after


def csv_and_json_say_the_same(it):
    path = make_books(it)
    made = compare(it, SCENARIO, "--period", PERIOD, "--model", "demo")
    out = it.good("plan", "compare", it.folder / "s.yaml", "--books", path, "--period", PERIOD,
                  "--model", "demo", "--csv").decode()
    rows = list(csv.DictReader(io.StringIO(out, newline="")))
    for r, mine in zip(rows, made["rows"]):
        assert r["name"] == mine["name"] and r["verdict"] == mine["verdict"]
        assert (float(r["actual"]) if r["actual"] else None) == mine["actual"]
        assert (float(r["planned"]) if r["planned"] else None) == (
            mine["planned"][1] if mine["planned"] else None)
    assert [r["name"] for r in rows[len(made["rows"]):]] == [
        "charged for a million tokens", *(f"a million tokens of {a}" for a in APIS)]


def mistakes_are_said_with_what_would_be_right(it):
    path = make_books(it)
    good = write(it, SCENARIO)
    empty = it.folder / "meters.csv"
    empty.write_text("time,boot,meter\n", encoding="ascii")
    command = ["plan", "compare", good, "--books", path]
    for code, part, *words in [
            (3, "no request of this period is for 'Qwen3-8B'; the books have demo, embed-small, "
                "writer: say with --model", *command, "--period", PERIOD),
            (3, "no request of this period is for 'dem'", *command, "--period", PERIOD, "--model",
             "dem"),
            (2, "nothing of the books' time in it, which is", *command, "--period", "2261"),
            (3, "have no request in this period; their first is of 2026-10-15", *command,
             "--period", "2026-10-14", "--model", "*"),
            (3, "have no request in globex in this period", *command, "--period", "2026-10-14",
             "--in", "globex", "--model", "*"),
            (3, "have no 'acme/nobody'", *command, "--in", "acme/nobody", "--model", "*"),
            (2, "did you mean 'last-month'", *command, "--period", "last-mont"),
            (3, "Europe/Berln", *command, "--zone", "Europe/Berln"),
            (3, "did you mean 'acme/research'", *command, "--in", "acme/reserch", "--model",
             "demo"),
            (2, "is none of them", *command, "--option", "99", "--model", "demo"),
            (2, "is in the names of several", *command, "--option", "L40S", "--model", "demo"),
            (2, "is in the name of none", *command, "--option", "H900", "--model", "demo"),
            (3, "nothing.csv", *command, "--meter", "nothing.csv", "--model", "demo"),
            (5, "line 1: it begins with 'time,boot,meter'; write the titles", *command, "--meter",
             empty, "--model", "demo"),
            (3, "there is no 'nothing.db'", "plan", "compare", good, "--books", "nothing.db"),
            (2, "something is missing; usage", "plan", "compare", "--books", path),
    ]:
        exit_code, out, err = it.run(*words)
        assert part in err.decode() and out == b"", (part, err)
        assert exit_code == code and err.count(b"\n") == 1, (words, exit_code, err)


if __name__ == "__main__":
    golden.main([
        the_load_is_what_the_entries_say_in_every_zone,
        models_that_the_plan_does_not_know_are_left_out_and_named,
        the_same_tokens_elsewhere_cost_what_the_tables_say,
        a_currency_without_a_rate_is_said_and_not_converted,
        what_was_measured_can_be_pasted_and_is_then_as_planned,
        plant_and_cost_are_those_of_the_pasted_plan,
        energy_is_what_the_counters_say,
        power_that_was_measured_corrects_the_plan,
        tokens_can_be_what_was_bought,
        several_use_cases_are_scaled_alike,
        of_several_models_one_is_compared,
        a_trace_is_replaced_by_what_was_measured,
        a_day_says_nothing_of_the_week,
        growth_counts_from_the_first_month,
        a_closed_project_is_still_in_it,
        csv_and_json_say_the_same,
        mistakes_are_said_with_what_would_be_right,
    ])
