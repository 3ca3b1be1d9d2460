"""plan, from the outside: what it answers, refuses, writes; its figures by other means (numpy)."""
import csv
import io
import json
import re
import resource
from pathlib import Path

import golden
import numpy as np

SCENARIOS = Path(__file__).resolve().parents[2] / "docs" / "scenarios"
ENGINES = SCENARIOS.parents[1] / "data" / "engines.csv"
SMALL = """name: small
model: Qwen3-8B
weights: [fp8]
devices: [L40S, RTX-4090]
apis: [qwen-turbo-intl, gpt-5]
use-cases:
  - {name: chat, requests-per-s: 2, input-tokens: 500, output-tokens: 200}
slo: {percentile: 90, ttft-ms: 1000, tpot-ms: 60}
"""


def written(it, text, name="s.yaml"):
    path = it.folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def plan(it, text, *words):
    return json.loads(it.good("plan", written(it, text), "--json", *words))


def refused(it, text, *sentences):
    code, out, err = it.run("plan", written(it, text))
    assert code != 0 and out == b"", (code, out)
    for sentence in sentences:
        assert sentence in err.decode(), (sentence, err)
    assert err.count(b"\n") == 1, err


def a_scenario_is_answered_and_the_same_twice(it):
    first, second = plan(it, SMALL), plan(it, SMALL)
    assert first == second
    assert first["answer"] == first["options"][0]["name"]
    kinds = {o["kind"] for o in first["options"]}
    assert {"owned", "colocated", "tokens bought"} <= kinds, kinds
    for o in first["options"]:
        if "npv_usd_range" in o:
            low, typical, high = o["npv_usd_range"]
            assert low <= typical <= high and o["measure"], o


def cheap_tokens_are_bought_and_dear_ones_are_not(it):
    few = plan(it, SMALL.replace("requests-per-s: 2", "requests-per-s: 0.01"))
    assert few["keep_buying_tokens"]
    text = it.good("plan", it.folder / "s.yaml").decode()
    assert "Answer: keep buying tokens." in text and "surer by:" in text
    many = plan(it, SMALL.replace("[qwen-turbo-intl, gpt-5]", "[gpt-5]").replace(
        "requests-per-s: 2", "requests-per-s: 20"))
    assert not many["keep_buying_tokens"]
    flip = many["flip_utilisation"]
    assert flip is not None and 0 < flip < 1, flip
    for o in few["options"] + many["options"]:
        assert 0 <= o.get("best_share", 0) <= 1, o["best_share"]
    assert abs(sum(o.get("best_share", 0) for o in many["options"]) - 1) < 1e-9


def net_present_values_are_those_of_numpy(it):
    made = plan(it, SMALL)
    out = it.good("plan", it.folder / "s.yaml", "--csv").decode()
    rows = list(csv.DictReader(io.StringIO(out)))
    inputs = {i["name"]: i["range"][1] for i in made["inputs"]}
    for option in made["options"]:
        mine = [r for r in rows if r["option"] == option["name"]]
        at = np.arange(len(mine)) / 12
        number = lambda key: np.array([float(r[key]) for r in mine])  # noqa: E731
        parts = ("loan", "maintenance", "energy", "space", "staff", "software", "rent", "tail")
        running = sum(number(k + "_usd") for k in parts)
        rate = 1 + inputs["discount-rate"]
        npv = np.sum((number("capex_usd") - number("sold_usd")) * rate ** -at)
        npv += np.sum(running * rate ** -(at + 1 / 12))
        npv -= option["total_usd"]["left"] * rate ** -(len(mine) / 12)
        assert abs(npv - option["npv_usd"]) < 1e-4 * abs(npv) + 1, (npv, option["npv_usd"])
        tokens = np.sum(number("tokens_million") * rate ** -(at + 1 / 12))
        per_million = npv / tokens
        assert abs(per_million - option["usd_per_million_tokens"]) < 1e-3 * per_million


def a_measured_machine_is_what_it_was_made_to_be(it):
    """Half of the card's bandwidth, two fifths of its arithmetic, and nothing else."""
    weights, bytes_s, ops_s = 16.06e9, 1008e9 * 0.5, 165.2e12 * 0.4
    points = [{"phase": "decode", "sequences": n, "depth_tokens": 0, "pass_s": weights / bytes_s}
              for n in (1, 2, 4)]
    points += [{"phase": "prefill", "prompt_tokens": n, "depth_tokens": 0,
                "pass_s": 2 * 8.03e9 * n / ops_s} for n in (1024, 2048, 4096)]
    (it.folder / "bench.json").write_text(json.dumps({"points": points}))
    words = ("plan", "calibrate", it.folder / "bench.json", "--model", "Llama-3.1-8B", "--device",
             "RTX-4090", "--weights", "bf16")
    out = it.good(*words).decode()
    rows = {row["field"]: row for row in csv.DictReader(
        line for line in out.splitlines() if not line.startswith("#"))}
    for field, value in (("compute_share", 0.4), ("bandwidth_share", 0.5)):
        assert float(rows[field]["low"]) * 0.97 < value < float(rows[field]["high"]) * 1.03, out
    (it.folder / "mine.csv").write_text(out)
    slow = plan(it, SMALL + f"engine: tokenworks\ncatalogue: [{it.folder / 'mine.csv'}]\n")
    fast = plan(it, SMALL + "engine: tokenworks\n")
    assert slow["options"] != fast["options"]


def a_servers_log_calibrates(it):
    """One request after the other, 25 ms a token and 0.2 ms a token of its prompt, as none takes by
    itself; a byte order mark, as spreadsheets write it."""
    rows = ["\ufeffarrival_s,input_tokens,output_tokens,ttft_s,tpot_s"]
    rows += [f"{20 * i},{n},60,{0.02 + 2e-4 * n:.6f},0.025" for i, n in
             enumerate(200 + 37 * k % 1800 for k in range(40))]
    (it.folder / "log.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    plant = ("--model", "Llama-3.1-8B", "--device", "RTX-4090", "--weights", "bf16", "--engine",
             "vllm")
    out = it.good("plan", "calibrate", it.folder / "log.csv", "--log", *plant).decode()
    (it.folder / "mine.csv").write_text(out)
    load = ("plan", "simulate", *plant, "--json", "--clients", 1, "--requests", 20,
            "--input-tokens", 1000, "--output-tokens", 60)
    mine, usual = (json.loads(it.good(*load, *more)) for more in (
        ("--catalogue", it.folder / "mine.csv"), ()))
    for what, seconds in (("first_token_s", 0.22), ("token_s", 0.025)):
        assert abs(mine[what]["mean"] / seconds - 1) < 0.08, (what, mine[what], out)
        assert abs(usual[what]["mean"] / seconds - 1) > 0.12, (what, usual[what])
    (it.folder / "log.csv").write_bytes(b"")
    code, out, err = it.run("plan", "calibrate", it.folder / "log.csv", "--log", *plant)
    assert code != 0 and out == b"" and b"there is no request" in err, err


def loads_that_were_measured_calibrate(it):
    """Times a token of a card that reads three quarters as fast as ours, of two models."""
    words = ("plan", "simulate", "--device", "L40S", "--weights", "fp8", "--engine", "vllm",
             "--json", "--requests")
    base = next(row for row in csv.reader(ENGINES.open(encoding="utf-8"))
                if row[:2] == ["vllm-0.19", "bandwidth_share"])
    (it.folder / "slow.csv").write_text(
        f"engine,field,value,low,high,source,date\nvllm-0.19,bandwidth_share,"
        f"{float(base[2]) * 0.75},,,made,2026\n")
    rows = ["model,clients,input_tokens,output_tokens,tpot_ms"]
    for model in ("Qwen3-8B", "Qwen3-14B"):
        for n in (1, 4, 16):
            out = json.loads(it.good(*words, 5 * n, "--model", model, "--clients", n, "--catalogue",
                                     it.folder / "slow.csv", "--input-tokens", 400,
                                     "--output-tokens", 60))
            rows.append(f"{model},{n},400,60,{1e3 * out['token_s']['mean']}")
    (it.folder / "points.csv").write_text("\n".join(rows) + "\n")
    words = ("plan", "calibrate", it.folder / "points.csv", "--points", "--model", "Qwen3-8B",
             "--device", "L40S", "--weights", "fp8")
    out = it.good(*words).decode()
    (it.folder / "mine.csv").write_text(out)
    load = ("plan", "simulate", "--device", "L40S", "--weights", "fp8", "--engine", "vllm",
            "--json", "--requests", 40, "--model", "Qwen3-14B", "--clients", 8,
            "--input-tokens", 700)
    made, mine, usual = (json.loads(it.good(*load, *more))["token_s"]["mean"] for more in (
        ("--catalogue", it.folder / "slow.csv"), ("--catalogue", it.folder / "mine.csv"), ()))
    assert abs(mine / made - 1) < 0.04 and usual / made < 0.85, (made, mine, usual)
    (it.folder / "points.csv").write_text("\n".join(rows).replace("Qwen3-8B,1,", "Qwen3-8B,x,"))
    code, _, err = it.run(*words)
    assert code == 5 and b"points.csv:2: clients is 'x'" in err, err


def one_plant_under_one_load(it):
    """A client alone waits for a prompt and as many steps as tokens; more clients, more tokens."""
    words = ("plan", "simulate", "--model", "Qwen3-8B", "--device", "L40S", "--weights", "fp8",
             "--requests", "40", "--input-tokens", "700", "--output-tokens", "50", "--json")
    one, many = (json.loads(it.good(*words, "--clients", n)) for n in ("1", "16"))
    assert one["completed"] == 40 and one["answer_tokens"] == 2000
    whole = one["first_token_s"]["mean"] + 49 * one["token_s"]["mean"]
    assert abs(whole * 40 / one["seconds"] - 1) < 0.01, one
    assert many["answer_tokens_per_s"] > 5 * one["answer_tokens_per_s"]
    assert many["token_s"]["p50"] > one["token_s"]["p50"]
    trace = it.folder / "trace.csv"
    trace.write_text("arrival_s,input_tokens,output_tokens\n" +
                     "".join(f"{10 * i},700,50\n" for i in range(40)))
    far = json.loads(it.good(*words, "--trace", trace))
    assert abs(far["first_token_s"]["p50"] / one["first_token_s"]["p50"] - 1) < 0.01
    assert b"first token" in it.good(*words[:-1], "--rate", "2")
    code, _, err = it.run("plan", "simulate", "--model", "Qwen3-8B")
    assert code == 2 and b"name both" in err, err
    code, _, err = it.run(*words, "--kv", "int3")
    assert code == 2 and b"--kv" in err, err


RULES = """data-classes:
  - {name: secret, may-go: [house]}
"""


def what_a_rule_forbids_is_gone_and_has_a_price(it):
    free, bound = plan(it, SMALL), plan(it, SMALL + RULES)
    assert free["keep_buying_tokens"]
    best = bound["options"][0]
    assert best["kind"] == "owned" and best["parts"][0]["place"] == "house"
    assert all(o["kind"] == "owned" for o in bound["options"] if o["admitted"])
    price = best["npv_usd"] - min(o["npv_usd"] for o in bound["options"])
    assert abs(bound["rules"][0]["usd"] - price) < 1e-6 and price > 0


def tokens_that_the_rules_forbid_are_not_advised(it):
    written(it, SMALL.replace("requests-per-s: 2", "requests-per-s: 0.01") + RULES)
    out = it.good("plan", it.folder / "s.yaml").decode()
    assert "would be cheaper at any utilisation, but the rules forbid them" in out, out
    assert "It does not flip" not in out


def spare_machines_are_called_so_and_money_is_said_to_be_dollars(it):
    made = plan(it, SMALL + "spare-replicas: 1\ncurrency: EUR\n")
    owned = [o for o in made["options"] if o["kind"] == "owned" and "RTX-4090" in o["name"]]
    assert "(1 spare)" in owned[0]["name"], owned[0]["name"]
    assert made["currency"] == "EUR" and "US dollars" in made["unit_of_usd"]


def a_models_own_config_is_enough(it):
    config = it.folder / "Mine-8B" / "config.json"
    config.parent.mkdir()
    config.write_text(json.dumps({
        "num_hidden_layers": 36, "hidden_size": 4096, "num_attention_heads": 32,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 12288,
        "vocab_size": 151936, "max_position_embeddings": 40960, "tie_word_embeddings": False}))
    words = ("plan", "--requests-per-s", "2", "--device", "L40S", "--weights", "fp8", "--json",
             "--model")
    mine = json.loads(it.good(*words, "Mine-8B", "--config", config))
    theirs = json.loads(it.good(*words, "Qwen3-8B"))
    mine, theirs = (m["options"][0]["npv_usd"] for m in (mine, theirs))
    assert abs(mine / theirs - 1) < 0.02, (mine, theirs)
    code, _, err = it.run(*words, "Mine-8B", "--config", it.folder / "none.json")
    assert code == 2 and b"none.json" in err, err
    config.write_text("{}")
    code, _, err = it.run(*words, "Mine-8B", "--config", config)
    assert code != 0 and b"no num_hidden_layers" in err and err.count(b"\n") == 1, err


def more_load_never_costs_less(it):
    last = 0
    for rate in (1, 3, 9):
        made = plan(it, SMALL.replace("requests-per-s: 2", f"requests-per-s: {rate}"))
        now = min(o["npv_usd"] for o in made["options"] if o["kind"] == "owned")
        assert now >= last * 0.999
        last = now


def what_is_impossible_is_told_with_its_line(it):
    refused(it, SMALL.replace("Qwen3-8B", "Qwen3-8X"), "(line: 2", "Qwen3-8B")
    refused(it, SMALL.replace("L40S", "L41S"), "(line: 4", "L40S")
    refused(it, SMALL.replace("gpt-5]", "gpt-55]"), "(line: 5", "gpt-5")
    refused(it, SMALL + "money: {pue: 0.5}\n", "(line: 9", "between 1 and 5")
    refused(it, SMALL + "money: {energy-usd-per-kwh: -1}\n", "(line: 9", "between 0 and 10")
    refused(it, SMALL + "money: {growth: 0.5..0.1}\n", "(line: 9", "the lowest first")
    refused(it, SMALL.replace("requests-per-s: 2", "requests-per-s: -2"), "(line: 7", "0 to")
    refused(it, SMALL.replace("requests-per-s: 2", "users: 5, requests-per-s: 2"), "either users")
    refused(it, SMALL + "currency: XYZ\n", "(line: 9", "there is no rate")
    refused(it, SMALL.replace("apis: [qwen-turbo-intl, gpt-5]\n", "").replace(
        "Qwen3-8B", "Kimi-K2"), "no device serves Kimi-K2", "loosen the targets")
    refused(it, SMALL + "data-classes:\n  - {name: a, may-go: [nowhere]}\n", "no place 'nowhere'")
    refused(it, SMALL + "data-classes:\n  - {name: a, seal-at-least: [4]}\n",
            "no option may be had")
    prices = written(it, "price,field,value,low,high,source,date\nL40S,bought_usd,-5,,,me,2026\n",
                     "p.csv")
    refused(it, SMALL + f"prices: [{prices}]\n", "p.csv", "0 or more")


def a_price_of_ones_own_replaces_ours(it):
    prices = written(it, "price,field,value,low,high,source,date\nL40S,bought_usd,1,,,me,2026-11\n",
                     "p.csv")
    made = plan(it, SMALL + f"prices: [{prices}]\n")
    mine = [o for o in made["options"] if o["kind"] == "owned" and "L40S" in o["name"]]
    assert mine and mine[0]["parts"][0]["cost"]["device_usd"] == 1
    assert mine[0]["parts"][0]["price_source"] == "me"


def options_say_the_same_as_a_file(it):
    made = json.loads(it.good("plan", "--model", "Qwen3-8B", "--requests-per-s", "2", "--device",
                              "L40S", "--api", "gpt-5", "--weights", "fp8", "--money", "pue=1.1",
                              "--json"))
    assert {i["name"]: i["range"] for i in made["inputs"]}["pue"] == [1.1, 1.1, 1.1]
    code, _, err = it.run("plan", "--model", "Qwen3-8B")
    assert code == 2 and b"--users" in err


def the_catalogue_shows_rows_with_what_others_say_and_what_was_replaced(it):
    rows = json.loads(it.good("plan", "catalogue", "--json"))
    assert len(rows) > 1000 and all(r["source"] and r["date"] for r in rows)
    assert {r["table"] for r in rows} == {"devices", "models", "engines", "prices"}
    price = next(r for r in rows if (r["name"], r["field"]) == ("H100-80GB-SXM", "bought_usd"))
    assert price["low"] < price["high"] and price["others"][0]["value"] != price["value"]
    written(it, "price,field,value,low,high,source,date\nL40S,bought_usd,1,,,me,2026-11\n",
            "own/p.csv")
    written(it, "# mine\ndevice,field,value,low,high,source,date\nL40S,tdp_w,1,,,me,2026-11\n",
            "own/d.csv")
    text = it.good("plan", "catalogue", "--filter", "l40s", "--data", it.folder / "own").decode()
    for part in ("in place of", "p.csv line 2", "d.csv line 3", "13098", "350"):
        assert part in text, (part, text)
    only = it.good("plan", "catalogue", "prices", "--conflicts", "--filter", "H100-80").decode()
    assert "otherwise" in only and "31268 (31268 .. 40000)" in only and "tdp_w" not in only
    made = json.loads(it.good("plan", written(it, SMALL), "--data", it.folder / "own", "--json"))
    costs = [p["cost"] for o in made["options"] for p in o["parts"] if "L40S" in p["name"]]
    assert any(c["device_usd"] == 1 for c in costs)
    assert it.run("plan", "catalogue", "cards")[0] == 2


def several_models_have_plants_of_their_own(it):
    text = SMALL.replace("model: Qwen3-8B\n", "").replace(
        "output-tokens: 200}", "output-tokens: 200, model: Qwen3-8B}\n"
        "  - {name: hard, requests-per-s: 1, model: Qwen3-14B}").replace(
        "RTX-4090", "RTX-PRO-6000-WS")
    made = plan(it, text)
    assert [m["name"] for m in made["models"]] == ["Qwen3-8B", "Qwen3-14B"]
    assert all(len(o["parts"]) == 2 for o in made["options"])
    for o in made["options"]:
        assert sum(p["cost"]["needs_staff"] for p in o["parts"]) == 1, o["name"]
    kinds = {o["kind"] for o in made["options"]}
    assert {"owned", "tokens bought", "mixed"} <= kinds, kinds
    out = it.good("plan", it.folder / "s.yaml").decode()
    assert "Qwen3-8B: " in out and "Machines for Qwen3-14B" in out
    single = sum(plan(it, SMALL.replace("L40S, RTX-4090", "L40S, RTX-PRO-6000-WS").replace(
        "model: Qwen3-8B", f"model: {m}").replace("requests-per-s: 2, input-tokens: 500, "
        "output-tokens: 200", use))["options"][0]["npv_usd"] for m, use in (
            ("Qwen3-8B", "requests-per-s: 2, input-tokens: 500, output-tokens: 200"),
            ("Qwen3-14B", "requests-per-s: 1")))
    assert made["options"][0]["npv_usd"] <= single * 1.02


def servers_are_bought_whole(it):
    made = plan(it, SMALL.replace("L40S, RTX-4090", "H100-80GB-SXM").replace(
        "model", "options: [owned]\nmodel"))
    assert made["options"][0]["devices"] == 8 and "8 x H100" in made["options"][0]["name"]


def a_report_needs_nothing_else(it):
    path = it.folder / "plan.html"
    it.good("plan", written(it, SMALL.replace("name: small", "name: '</script><b>'")), "--report",
            path)
    page = path.read_text(encoding="utf-8")
    links = page.replace("http://www.w3.org/2000/svg", "")
    assert "http://" not in links and "https://" not in links
    assert "@@" not in page and "</script><b>" not in page and page.rstrip().endswith("</html>")
    code, _, err = it.run("plan", it.folder / "s.yaml", "--report", path)
    assert code == 2 and b"--force" in err


def published_tables_come_out(it):
    text = it.good("plan", "published").decode()
    cells = [c for line in text.splitlines() for c in re.findall(r"([\d.]+) \(([\d.]+)\)", line)]
    assert len(cells) == 45 and all(abs(float(a) - float(b)) <= 0.06 for a, b in cells), cells
    assert text.count("Kimi-K2") == 5 and text.count("differs:") == 2
    assert "largest difference to the printed table: 0.052 month of 45 cells" in text


def processor_s():
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def examples_are_planned_in_time(it):
    """Their time proper is bench/plan/check_plan_speed.py's; this notices what is out of hand,
    also under sanitizers."""
    for path in sorted(SCENARIOS.glob("*.yaml")):
        begun = processor_s()
        made = json.loads(it.good("plan", path, "--json"))
        assert made["options"][0]["admitted"], path
        assert processor_s() - begun < 60, path


if __name__ == "__main__":
    golden.main([a_scenario_is_answered_and_the_same_twice,
                 cheap_tokens_are_bought_and_dear_ones_are_not,
                 net_present_values_are_those_of_numpy,
                 a_measured_machine_is_what_it_was_made_to_be,
                 one_plant_under_one_load, a_servers_log_calibrates,
                 loads_that_were_measured_calibrate,
                 what_a_rule_forbids_is_gone_and_has_a_price, more_load_never_costs_less,
                 tokens_that_the_rules_forbid_are_not_advised, a_models_own_config_is_enough,
                 spare_machines_are_called_so_and_money_is_said_to_be_dollars,
                 what_is_impossible_is_told_with_its_line, a_price_of_ones_own_replaces_ours,
                 the_catalogue_shows_rows_with_what_others_say_and_what_was_replaced,
                 several_models_have_plants_of_their_own, servers_are_bought_whole,
                 options_say_the_same_as_a_file, a_report_needs_nothing_else,
                 published_tables_come_out, examples_are_planned_in_time])
