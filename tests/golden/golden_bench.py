"""What `bench engine` counts is what a pass needs, and its three forms of output agree."""
import csv
import io
import json

import golden
from golden_commands import refused

FAST = ["--rounds", "2", "--gen", "2"]


def bench(program, model, *words):
    return json.loads(program.good("bench", "engine", "--model", model, *FAST, *words, "--json"))


def shape_of(program, model):
    return json.loads(program.good("model", "inspect", model, "--json"))


def weights_of(shape):
    """Of the products of all layers, and of the head."""
    q, kv = (shape[heads] * shape["head_dim"] for heads in ("n_heads", "n_kv_heads"))
    layer = shape["n_embed"] * (2 * q + 2 * kv + 3 * shape["n_ffn"])
    return layer * shape["n_layers"], shape["n_embed"] * shape["n_vocab"]


def every_size_is_measured_at_every_depth(program):
    program.synthesise("m.gguf")
    out = bench(program, "m.gguf", "--prompt", "5,70", "--batch", "1,3", "--depth", "0,100")
    got = [(p["phase"], p.get("prompt_tokens", p.get("sequences")), p["depth_tokens"])
           for p in out["points"]]
    assert got == [("prefill", 5, 0), ("prefill", 70, 0), ("decode", 1, 0), ("decode", 3, 0),
                   ("prefill", 5, 100), ("prefill", 70, 100), ("decode", 1, 100),
                   ("decode", 3, 100)], got
    for point in out["points"]:
        size = point.get("prompt_tokens", point.get("sequences"))
        assert abs(point["tokens_per_s"] * point["pass_s"] / size - 1) < 1e-9
        assert point["pass_first_quartile_s"] <= point["pass_s"] <= point["pass_third_quartile_s"]
        share = point["share_of_limit"]
        assert share is None and point["limit"] == "reading" or share > 0, point
        assert share is None or share <= 1 or point["limit"] == "arithmetic", point
        # Of two rounds the median lies halfway, the quartiles a quarter from either end.
        first, middle, third = (point[name] for name in (
            "pass_first_quartile_s", "pass_s", "pass_third_quartile_s"))
        assert abs(first + third - 2 * middle) < 1e-9 * middle, point
    assert all(rate > 0 for name, rate in out["machine"].items() if not name.startswith("int8"))


def bytes_and_operations_are_those_of_the_model(program):
    """Counted here once more, from what `model inspect` says of the shape."""
    program.synthesise("f16.gguf")
    program.good("model", "quantize", "f16.gguf", "q8.gguf", "Q8_0")
    for name, whole, other in (("f16.gguf", "float", "int8"), ("q8.gguf", "int8", "float")):
        shape = shape_of(program, name)
        layers, head = weights_of(shape)
        attention = 4 * shape["n_layers"] * shape["n_heads"] * shape["head_dim"]
        out = bench(program, name, "--prompt", "600", "--batch", "3", "--depth", "64")
        prefill, decode = out["points"]
        attended = 600 * 64 + 600 * 601 // 2
        products = 2 * (600 * layers + head)
        plain = whole == "float"
        assert prefill[whole + "_operations"] == products + plain * attention * attended
        assert prefill[other + "_operations"] == (not plain) * attention * attended
        # Two pieces of the prompt: the weights twice, and the cache up to either end.
        cached = (64 + 512) + (64 + 600)
        assert prefill["bytes"] == 2 * out["weight_bytes"] + cached * shape["kv_bytes_a_token_f16"]
        attended = 3 * (64 + 1.5)  # two steps, of 65 and 66 positions
        products = 2 * 3 * (layers + head)
        assert decode[whole + "_operations"] == products + plain * attention * attended
        assert decode["bytes"] == out["weight_bytes"] + attended * shape["kv_bytes_a_token_f16"]


def of_experts_those_count_that_a_token_takes(program):
    """The router, which every token takes, stays F32 in each format."""
    program.synthesise("f16.gguf", "qwen3moe-tiny")
    program.good("model", "quantize", "f16.gguf", "q8.gguf", "Q8_0")
    for name, whole, element_bytes in (("f16.gguf", "float", 2), ("q8.gguf", "int8", 34 / 32)):
        shape = shape_of(program, name)
        n_layers, n_embed = shape["n_layers"], shape["n_embed"]
        assert 0 < shape["n_experts_used"] < shape["n_experts"]
        q, kv = (shape[heads] * shape["head_dim"] for heads in ("n_heads", "n_kv_heads"))
        experts = 3 * n_embed * shape["n_expert_ffn"] * shape["n_experts_used"]
        layers = n_layers * (n_embed * (2 * q + 2 * kv) + experts)
        router = n_layers * n_embed * shape["n_experts"]
        head = n_embed * shape["n_vocab"]
        attended = 600 * 601 // 2
        out = bench(program, name, "--prompt", "600", "--batch", "0")
        prefill, = out["points"]
        floats = 2 * 600 * router + 4 * n_layers * q * attended
        products = 2 * (600 * layers + head)
        expected = {"float": floats, "int8": 0}
        expected[whole] += products
        assert {form: prefill[form + "_operations"] for form in expected} == expected, prefill
        # Packed forms add scales and fill up rows; all experts would be half as much again.
        least = element_bytes * (layers + head) + 4 * router
        assert least <= out["weight_bytes"] < 1.1 * least, (least, out["weight_bytes"])
        assert least + n_layers * n_embed * 4 * 2 <= out["weight_bytes"], "norms are read, too"
        cached = 512 + 600
        assert prefill["bytes"] == 2 * out["weight_bytes"] + cached * shape["kv_bytes_a_token_f16"]


def the_cost_model_gives_back_the_passes_it_was_made_from(program):
    program.synthesise("m.gguf")
    out = bench(program, "m.gguf", "--prompt", "64,512,900", "--batch", "1,16", "--depth", "0,500",
                "--rounds", "5")
    cost = out["step_cost"]
    assert all(cost[name] >= 0 for name in cost), cost
    squares = []
    for point in out["points"]:
        prompt, depth = point.get("prompt_tokens"), point["depth_tokens"]
        if prompt:
            tokens, rows, steps = prompt, 1, -(-prompt // 512)
            attended = prompt * depth + prompt * (prompt + 1) / 2
        else:
            tokens = rows = point["sequences"]
            attended, steps = rows * (depth + 1.5), 1
        seconds = (steps * cost["step_s"] + tokens * cost["token_s"] + rows * cost["logits_row_s"] +
                   attended * cost["attended_position_s"])
        squares.append((seconds / point["pass_s"] - 1) ** 2)
    root = (sum(squares) / len(squares)) ** 0.5
    # Of medians; the error is of single passes, which scatter more.
    assert root <= cost["relative_error"] + 0.05, (root, cost)
    assert cost["relative_error"] < 0.9, cost


def table_and_csv_have_a_line_for_each_point(program):
    program.synthesise("m.gguf")
    words = ["bench", "engine", "--model", "m.gguf", *FAST, "--prompt", "9", "--batch", "2,4"]
    rows = list(csv.DictReader(io.StringIO(program.good(*words, "--csv").decode())))
    assert [(row["phase"], row["size"]) for row in rows] == [("prefill", "9"), ("decode", "2"),
                                                             ("decode", "4")]
    for row in rows:
        assert abs(float(row["tokens_per_s"]) * float(row["pass_s"]) / int(row["size"]) - 1) < 0.01
    lines = program.good(*words).decode().splitlines()
    points = [line.split()[:2] for line in lines if line.startswith(("prefill ", "decode "))]
    assert points == [["prefill", "9"], ["decode", "2"], ["decode", "4"]], lines
    assert "GB/s" in lines[1] and "TOP/s" in lines[1], lines


def wishes_that_cannot_be_met_are_refused(program):
    program.synthesise("m.gguf")
    words = ["bench", "engine", "--model", "m.gguf"]
    refused(program, "usage", "which model", "bench", "engine")
    refused(program, "usage", "whole numbers", *words, "--batch", "1,,2")
    refused(program, "usage", "whole numbers", *words, "--prompt", "-5")
    refused(program, "usage", "whole numbers", *words, "--batch", "2000")
    refused(program, "usage", "from 1 to", *words, "--prompt", "0", "--batch", "0")
    refused(program, "limit", "context", *words, "--depth", "9999999")
    refused(program, "not found", "absent", "bench", "engine", "--model", "absent.gguf")


if __name__ == "__main__":
    golden.main([
        every_size_is_measured_at_every_depth,
        bytes_and_operations_are_those_of_the_model,
        of_experts_those_count_that_a_token_takes,
        the_cost_model_gives_back_the_passes_it_was_made_from,
        table_and_csv_have_a_line_for_each_point,
        wishes_that_cannot_be_met_are_refused,
    ])
