"""The money of a plan once more, from the inputs that its JSON shows: events on a time line, not
months of a loop; another sampler for the draws; prices of tokens request by request."""
import csv
import io
import json
import math

import golden
import numpy as np

TRACE_TIERED = [(i * 0.5, 200 + 977 * (i * i % 83), 20 + 13 * (i % 37)) for i in range(400)]
LOANS = """name: loans, growth, spare machines, yuan
currency: CNY
horizon-months: 38
model: Qwen3-8B
weights: [fp8]
devices: [L40S, H100-80GB-SXM]
apis: [gpt-5, qwen-plus-cn]
use-cases:
  - {name: chat, requests-per-s: 60, input-tokens: 700, output-tokens: 250,
     shared-prefix-tokens: 300}
slo: {percentile: 90, ttft-ms: 1500, tpot-ms: 60}
spare-replicas: 1
batch-share: 0.3
money: {growth: 0..0.2..0.5, financed-share: 0.4..0.7, interest-rate: 0.05..0.07..0.1,
  life-months: 30, loan-months: 18, software-usd-per-device-year: 100..400..900, draws: 4000}
"""
DRAWN = """name: drawn
horizon-months: 24
model: Qwen3-8B
weights: [fp8]
devices: [L40S]
apis: [gpt-5-mini]
day: flat
use-cases:
  - {name: chat, requests-per-s: 3}
options: [owned, colocated, tokens]
money: {growth: 0..0.2..0.5, financed-share: 0.2..0.4, draws: 8000}
"""
MIX = """name: own the base, buy the rest
horizon-months: 14
model: Qwen3-14B
weights: [fp8]
devices: [RTX-PRO-6000-WS]
apis: [qwen-plus-cn]
use-cases:
  - {name: chat, requests-per-s: 300}
money: {growth: 0.2, life-months: 48, draws: 50}
"""
TWO = """name: two models, a rule
currency: EUR
horizon-months: 40
models:
  - {name: Qwen3-8B, weights: [fp8], devices: [RTX-PRO-6000-WS], apis: [gpt-5-mini]}
  - {name: Qwen3-32B, weights: [fp8], devices: [H100-80GB-SXM], apis: [gpt-5]}
use-cases:
  - {name: chat, requests-per-s: 30, model: Qwen3-8B, data-class: open}
  - {name: cases, requests-per-s: 3, model: Qwen3-32B, data-class: secret}
data-classes:
  - {name: open}
  - {name: secret, seal-at-least: [3, 3, 3, 3, 1, 1, 3, 0]}
day: evening
money: {growth: -0.1..0..0.3, draws: 3000}
"""


# ---- what an option costs ----

def load_of(cost, n):
    """What n replicas serve: a line through the points, beyond the last one as steep as from 0."""
    xs, ys = [0] + cost["replicas"], [0] + cost["load"]
    return float(np.interp(n, xs, ys)) if n <= xs[-1] else ys[-1] * n / xs[-1]


def replicas_of(cost, load):
    """The fewest whole ones; found by counting, since that cannot be wrong."""
    n = max(1, math.floor(load / max(cost["load"][-1] / cost["replicas"][-1],
                                     cost["load"][0]) * 0.5))
    while load_of(cost, n) * (1 + 1e-9) < load:
        n += 1
    while n > 1 and load_of(cost, n - 1) * (1 + 1e-9) >= load:
        n -= 1
    return n


def servers(cost, n):
    """Devices for n replicas, and the replicas that all of them are."""
    devices, unit = n * cost["devices_per_replica"], cost["unit_devices"]
    if unit > 1:
        devices = math.ceil(devices / unit - 1e-9) * unit
    return devices, math.floor(devices / cost["devices_per_replica"] + 1e-9) if unit > 1 else n


def plant_of(cost, demand, x, month):
    """Devices, tokens and energy of a month."""
    grown = x["load"] * (1 + x["growth"]) ** (month / 12)
    hours, load = np.array(demand["hours"]), np.array(demand["load"]) * grown
    million, spare = demand["million_tokens_per_peak_h"], cost["spare_replicas"]
    if not cost["replicas"]:
        tokens = float(np.sum(hours * load)) * million
        return {"devices": 0, "served": 0, "tail": tokens, "kwh": 0, "device_h": 0, "used": 0,
                "possible": 0}
    working = cost["fixed_replicas"] or replicas_of(cost, max(load) / x["capacity"])
    devices, replicas = servers(cost, working + spare)
    most = load_of(cost, replicas - spare) * x["capacity"]
    served = np.minimum(load, most)
    ready = np.full(len(hours), float(devices))
    if cost["kind"] == 2:  # on demand: what each hour needs
        ready = np.array([float(servers(cost, min(replicas - spare, replicas_of(
            cost, s / x["capacity"])) + spare)[0]) for s in served])
    busy = served / most * (replicas - spare)
    watts = ready / cost["devices_per_replica"] * cost["idle_w"]
    watts = watts + busy * (cost["busy_w"] - cost["idle_w"])
    return {"devices": devices, "served": float(np.sum(served * hours)) * million,
            "tail": float(np.sum((load - served) * hours)) * million if cost["sheds_tail"] else 0,
            "kwh": float(np.sum(watts * hours)) / 1000 * x["power"] * x["pue"],
            "device_h": float(np.sum(ready * hours)), "used": float(np.sum(served * hours)),
            "possible": float(np.sum(most * hours))}


def cash_of(cost, demand, x):
    """Payments as (time in months, amount, is it a purchase), what is left, and the plants."""
    n, flows, stock = demand["months"], [], []  # stock: (month, devices, price)
    kind, bought = cost["kind"], cost["kind"] in (0, 1, 5)
    plants = [plant_of(cost, demand, x, m) for m in range(n)]
    share = {1: x["staff-colocated-share"], 2: x["staff-rented-share"],
             3: x["staff-rented-share"], 4: 0}.get(kind, 1)
    rate = (1 + x["interest-rate"]) ** (1 / 12) - 1
    term, life = cost["loan_months"], cost["life_months"]
    if bought:
        payment = rate / (1 - (1 + rate) ** -term) if abs(rate) > 1e-12 else 1 / term
    for m, p in enumerate(plants):
        year = m / 12
        flows.append((m + 1, p["tail"] * cost["tail_usd_per_million_tokens"] * x["api-price"] *
                      (1 + x["api-drift"]) ** year, "running"))
        if not cost["replicas"]:
            continue
        persons = x["staff-base"] * cost["needs_staff"] + x["staff-per-device"] * p["devices"]
        flows.append((m + 1, persons * share * x["staff-usd-per-year"] / 12 *
                      (1 + x["staff-drift"]) ** year, "running"))
        flows.append((m + 1, p["devices"] * x["software-usd-per-device-year"] / 12, "running"))
        if not bought:
            priced = m // cost["term_months"] * cost["term_months"] if kind == 3 else m
            flows.append((m + 1, p["device_h"] * cost["device_usd_h"] * x["rent-price"] *
                          (1 + x["rent-drift"]) ** (priced / 12), "running"))
            continue
        kw = p["devices"] * cost["provisioned_w"] * x["power"] / 1000
        flows.append((m + 1, p["kwh"] * x["energy-usd-per-kwh"] *
                      (1 + x["energy-drift"]) ** year, "running"))
        flows.append((m + 1, kw * x["colocation-usd-per-kw-month" if kind == 1 else
                                    "space-usd-per-kw-month"], "running"))
        here = sum(count for at, count, _ in stock if m - at < life)
        if p["devices"] > here:
            price = cost["device_usd"] * x["hardware-price"] * (1 + x["network-share"]) * \
                (1 + x["hardware-drift"]) ** year
            stock.append((m, p["devices"] - here, price))
    left = 0
    for at, count, price in stock:  # the life of each purchase
        worth, lent = count * price, count * price * x["financed-share"]
        flows.append((at, worth - lent, "bought"))
        flows += [(m + 1, lent * payment, "running") for m in range(at, min(n, at + term))]
        flows += [(m + 1, worth * x["maintenance-share"] / 12, "running")
                  for m in range(at, min(n, at + life))]
        if at + life < n:
            flows.append((at + life, -worth * x["residual-share"], "sold"))
        else:
            left += worth * (1 - (1 - x["residual-share"]) * (n - at) / life)
        owed = term - (n - at)
        if owed > 0:
            left -= lent * payment * (1 - (1 + rate) ** -owed) / rate if abs(rate) > 1e-12 else \
                lent * owed / term
    return flows, left, plants


def option_at(plan, option, x_of):
    """Figures of an option; x_of(part): its inputs."""
    flows, value, npv, left = [], 0, 0, 0
    total = {"served": 0, "kwh": 0, "device_h": 0, "used_h": 0, "tail": 0}
    for part in option["parts"]:
        demand, x = plan["models"][part["at"]]["demand"], x_of(part)
        some, rest, plants = cash_of(part["cost"], demand, x)
        rate = 1 + x["discount-rate"]
        npv += sum(usd * rate ** (-at / 12) for at, usd, _ in some)
        npv -= rest * rate ** (-demand["months"] / 12)
        value += sum((p["served"] + p["tail"]) * rate ** (-(m + 1) / 12)
                     for m, p in enumerate(plants))
        flows, left = flows + some, left + rest
        for key in ("served", "kwh", "device_h", "tail"):
            total[key] += sum(p[key] for p in plants)
        possible = sum(p["possible"] for p in plants)
        if possible > 0:
            total["used_h"] += sum(p["device_h"] for p in plants) * \
                sum(p["used"] for p in plants) / possible
    n = plan["demand"]["months"]
    paid = [sum(usd for at, usd, why in flows if why != "sold" and
                (at <= m if why == "running" else at < m)) for m in range(n + 1)]
    bought = [sum(usd for at, usd, why in flows if why == "bought" and at == m) for m in range(n)]
    return {"npv_usd": npv, "usd_per_million_tokens": npv / value, "paid": paid, "bought": bought,
            "utilisation": total["used_h"] / total["device_h"] if total["device_h"] else 0,
            "kwh_per_million_tokens": total["kwh"] / total["served"] if total["served"] else 0,
            "left": left, "tail": total["tail"]}


def break_even(a, b):
    """From when on less has been paid for a, to the end: straight lines between months, and what
    is bought at a month's beginning counts at once."""
    n = len(a["paid"]) - 1
    gaps = [a["paid"][m] - b["paid"][m] for m in range(n + 1)]
    if gaps[n] >= 0:
        return None
    last = max((m for m in range(1, n + 1) if gaps[m] >= 0), default=0)
    begin = gaps[last] + a["bought"][last] - b["bought"][last]
    return last if begin <= 0 else last + begin / (begin - gaps[last + 1])


# ---- inputs ----

def typical(plan):
    base = {i["name"]: i["range"][1] for i in plan["inputs"]}
    names = [i["name"] for i in plan["inputs"]][:6]

    def of(part, **others):
        x = dict(base)
        x.update({name: part["factors"][k][1] for k, name in enumerate(names)})
        x.update(others)
        return x
    return of


def range_of(plan, part, name):
    names = [i["name"] for i in plan["inputs"]]
    at = names.index(name)
    return part["factors"][at] if at < 6 else plan["inputs"][at]["range"]


def near(a, b, relative=1e-8):
    return abs(a - b) <= relative * max(1, abs(a), abs(b))


made = {}


def planned(it, text, name):
    if text not in made:
        path = it.folder / name
        path.write_text(text, encoding="utf-8")
        made[text] = json.loads(it.good("plan", path, "--json"))
    return made[text]


def several(it):
    return [planned(it, LOANS, "loans.yaml"), planned(it, TWO, "two.yaml"),
            planned(it, MIX, "mix.yaml")]


# ---- tests ----

def every_option_costs_what_its_payments_are_worth(it):
    kinds = set()
    for plan in several(it):
        x_of = typical(plan)
        tokens = next((o for o in plan["options"] if o["name"] == plan.get("tokens")), None)
        beside = option_at(plan, tokens, x_of)
        for option in plan["options"]:
            mine = option_at(plan, option, x_of)
            kinds |= {p["kind"] for p in option["parts"]}
            for key in ("npv_usd", "usd_per_million_tokens", "utilisation",
                        "kwh_per_million_tokens"):
                assert near(mine[key], option[key]), (option["name"], key, mine[key], option[key])
            assert near(mine["left"], option["total_usd"]["left"]), option["name"]
            assert near(mine["tail"], option["tail_tokens_million"]), option["name"]
            for month, usd in enumerate(option["cumulative_usd"]):
                assert near(mine["paid"][month + 1], usd), (option["name"], month)
            if "break_even_months" in option and option is not tokens:
                months = break_even(mine, beside)
                told = option["break_even_months"][1]
                assert (months is None) == (told is None), (option["name"], months, told)
                assert months is None or abs(months - told) < 1e-6, (option["name"], months, told)
    assert kinds == {"owned", "colocated", "rented on demand", "rented reserved", "tokens bought",
                     "hybrid"}, kinds


def ends_of_the_tornado_are_what_one_input_does(it):
    for plan in several(it):
        best = plan["options"][0]
        other = next(o for o in plan["options"] if o["name"] == plan["runner_up"])
        of = typical(plan)
        for bar in plan["tornado"][:10]:
            for end, key in ((0, "at_low_usd"), (2, "at_high_usd")):
                saved = [option_at(plan, o, lambda part, end=end: of(part, **{
                    bar["input"]: range_of(plan, part, bar["input"])[end]}))["npv_usd"]
                    for o in (other, best)]
                assert near(saved[0] - saved[1], bar[key], 1e-7), (bar, saved)
        widths = [abs(b["at_high_usd"] - b["at_low_usd"]) for b in plan["tornado"]]
        assert widths == sorted(widths, reverse=True) and len(widths) > 8


def quantiles_are_those_of_another_sampler(it):
    """What 5% and 95% of fewer draws differ by is chance: less than a tenth of the width."""
    plan = planned(it, DRAWN, "drawn.yaml")
    random, n = np.random.default_rng(5), 500
    names = [i["name"] for i in plan["inputs"]]
    drawn = [o for o in plan["options"] if "npv_usd_range" in o][:3]
    tokens = next(o for o in plan["options"] if o["name"] == plan["tokens"])
    npv, pays = {o["name"]: [] for o in drawn}, {o["name"]: 0 for o in drawn}
    for _ in range(n):
        u = dict(zip(names, random.random(len(names))))

        def x_of(part, u=u):
            x = {}
            for name in names:
                low, middle, high = range_of(plan, part, name)
                cut = (middle - low) / (high - low) if high > low else 0
                x[name] = middle if high <= low else \
                    low + math.sqrt(u[name] * (high - low) * (middle - low)) if u[name] < cut \
                    else high - math.sqrt((1 - u[name]) * (high - low) * (high - middle))
            return x
        beside = option_at(plan, tokens, x_of)
        for o in drawn:
            mine = option_at(plan, o, x_of)
            npv[o["name"]].append(mine["npv_usd"])
            pays[o["name"]] += break_even(mine, beside) is not None
    for o in drawn:
        low, _, high = o["npv_usd_range"]
        for told, mine in ((low, np.quantile(npv[o["name"]], 0.05)),
                           (high, np.quantile(npv[o["name"]], 0.95))):
            assert abs(told - mine) < (high - low) / 10, (o["name"], told, mine, low, high)
        if o["kind"] != "tokens bought":
            assert abs(o["pays_share"] - pays[o["name"]] / n) < 0.07, (o["name"], pays, n)


def the_flip_is_where_both_cost_the_same(it):
    plan = planned(it, DRAWN, "drawn.yaml")
    of = typical(plan)
    option = next(o for o in plan["options"] if o["name"] == plan["flip_option"])
    tokens = next(o for o in plan["options"] if o["name"] == plan["tokens"])
    assert plan["flip_load"] is not None
    fixed = json.loads(json.dumps(option))
    for part in fixed["parts"]:
        part["cost"]["fixed_replicas"] = replicas_of(part["cost"], 1)
    a, b = (option_at(plan, o, lambda part: of(part, load=plan["flip_load"], growth=0))
            for o in (fixed, tokens))
    assert near(a["npv_usd"], b["npv_usd"], 1e-6), (a["npv_usd"], b["npv_usd"])
    assert near(a["utilisation"], plan["flip_utilisation"], 1e-6)


def tokens_are_priced_request_by_request(it):
    """Tiers by the length of the input, cached input, batches, and prices in yuan."""
    trace = io.StringIO()
    writer = csv.writer(trace)
    writer.writerow(["arrival_s", "input_tokens", "output_tokens"])
    writer.writerows(TRACE_TIERED)
    (it.folder / "t.csv").write_text(trace.getvalue())
    (it.folder / "own.csv").write_text(
        "price,field,value,low,high,source,date\n" + "".join(
            f"mine,{field},{value},,,a test,2026-11\n" for field, value in (
                ("provider", "me"), ("currency", "CNY"), ("input_per_million", 2),
                ("cached_per_million", 0.5), ("output_per_million", 8),
                ("tier2_from_tokens", 16000), ("tier2_input_per_million", 4),
                ("tier2_cached_per_million", 1), ("tier2_output_per_million", 12),
                ("tier3_from_tokens", 48000), ("tier3_input_per_million", 7),
                ("tier3_output_per_million", 28), ("batch_discount", 0.5))) +
        "money,usd_per_cny,0.14,,,a test,2026-11\n")
    plan = planned(it, f"name: t\nmodel: Qwen3-8B\noptions: [tokens]\napis: [mine]\n"
                   f"trace: {it.folder / 't.csv'}\nprices: [{it.folder / 'own.csv'}]\n"
                   "cached-share: 0.25\nbatch-share: 0.4\n", "tiers.yaml")
    usd = 0
    tiers = [(0, 2, 0.5, 8), (16000, 4, 1, 12), (48000, 7, 7, 28)]
    used = set()
    for _, n_input, n_output in TRACE_TIERED:
        tier = max(t for t in tiers if t[0] <= n_input)
        used.add(tier[0])
        usd += n_input * (0.75 * tier[1] + 0.25 * tier[2]) + n_output * tier[3]
    tokens = sum(n_input + n_output for _, n_input, n_output in TRACE_TIERED)
    price = usd / tokens * (1 - 0.4 * 0.5) * 0.14
    assert used == {0, 16000, 48000}
    told = plan["options"][0]["parts"][0]["cost"]["tail_usd_per_million_tokens"]
    assert near(told, price, 1e-9), (told, price)
    assert plan["keep_buying_tokens"]


def rules_cost_what_the_cheapest_without_them_saves(it):
    plan = planned(it, TWO, "two.yaml")
    free = [o for o in plan["options"] if o["admitted"]]
    assert plan["answer"] == free[0]["name"] and len(free) < len(plan["options"])
    assert free[0]["npv_usd"] == min(o["npv_usd"] for o in free)
    least = min(o["npv_usd"] for o in plan["options"])
    assert near(plan["all_rules_usd"], free[0]["npv_usd"] - least)
    assert plan["rules"][0]["class"] == "open" and plan["rules"][0]["usd"] == 0
    assert near(plan["rules"][1]["usd"], free[0]["npv_usd"] - least) and plan["rules"][1]["usd"] > 0


def several_models_cost_the_least_of_all_combinations(it):
    """Every combination of ways that the plan shows for one model each, with shared staff."""
    plan = planned(it, TWO, "two.yaml")
    of, ways = typical(plan), [{}, {}]
    for option in plan["options"]:
        for part in option["parts"]:
            if option["admitted"]:
                ways[part["at"]][part["name"]] = part
    least = math.inf
    for a in ways[0].values():
        for b in ways[1].values():
            pair = json.loads(json.dumps([a, b]))
            shares = {"owned": 1, "hybrid": 1, "colocated": 0.8, "tokens bought": 0}
            most = max(pair, key=lambda p: shares.get(p["kind"], 0.5))
            for part in pair:
                part["cost"]["needs_staff"] = int(part is most)
            least = min(least, option_at(plan, {"parts": pair}, of)["npv_usd"])
    assert near(least, plan["options"][0]["npv_usd"]), (least, plan["options"][0]["npv_usd"])


if __name__ == "__main__":
    golden.main([every_option_costs_what_its_payments_are_worth,
                 ends_of_the_tornado_are_what_one_input_does,
                 quantiles_are_those_of_another_sampler, the_flip_is_where_both_cost_the_same,
                 tokens_are_priced_request_by_request,
                 rules_cost_what_the_cheapest_without_them_saves,
                 several_models_cost_the_least_of_all_combinations])
