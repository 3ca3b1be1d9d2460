"""eval: answers are scored as they should be, the same ones however many are computed at once."""
import json
import re
import subprocess

import golden

MISSED = 9
CALL = {"name": "add", "arguments": {"a": 12, "b": 0.5}}
NORMAL, CONTROL = 1, 3
CALLER = [("<tool_call>", CONTROL), (json.dumps(CALL), NORMAL), ("</tool_call>", CONTROL)]
OBJECT = {"company": "Nordlicht", "total": 12.5, "paid": True}


def row(task, expect, *texts, roles=("user",)):
    messages = [{"role": r, "content": t} for r, t in zip(roles, texts or ["Hello."])]
    return {"task": task, "messages": messages, "expect": expect}


def write_rows(program, rows, name="rows.jsonl"):
    lines = [r if isinstance(r, str) else json.dumps(r) for r in rows]
    (program.folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return name


def call_row(task, name, **arguments):
    return row(task, {"kind": "tool_call", "name": name, "arguments": arguments})


def json_row(task, **fields):
    return row(task, {"kind": "json", "value": fields})


def score(report, task, name):
    """(right, of) of a score in the JSON report."""
    (found,) = [t for t in [*report["tasks"], report["total"]] if t["task"] == task]
    share = found["scores"][name]
    assert share["low"] <= share["value"] <= share["high"]
    assert share["value"] == share["right"] / share["of"]
    return share["right"], share["of"]


def evaluate(program, file, *words):
    return json.loads(program.good("eval", file, "--model", "m.gguf", "--json", *words))


def refused(program, code, part, rows, *words):
    """Nothing is printed but one error, which has the part in it."""
    file = write_rows(program, rows)
    exit_code, out, err = program.run("eval", file, "--model", "m.gguf", *words)
    assert (exit_code, out) == (code, b""), (exit_code, out, err)
    assert err.decode().count("\n") == 1 and part in err.decode(), err


def random_rows(n):
    """Prompts of many lengths, some of them the middle of a conversation."""
    for i in range(n):
        roles, texts = ("user",), ["word " * (i * 7 % 40 + 1)]
        if i % 3 == 0:
            roles = ("system", "user", "assistant", "user")
            texts = [f"Be number {i}.", "Hi.", "Hello!", *texts]
        yield row("ab"[i % 2], {"kind": "exact", "any": ["nobody says this"]}, *texts, roles=roles)


def results_do_not_depend_on_the_batch(program):
    program.synthesise("m.gguf")
    file = write_rows(program, random_rows(40))
    outputs = []
    for batch in (1, 16, 7):
        out = program.good("eval", file, "--model", "m.gguf", "--batch", batch, "--max-tokens", 24,
                           "--failures", f"f{batch}.jsonl", "--show", 40)
        outputs.append((out, (program.folder / f"f{batch}.jsonl").read_bytes()))
    assert outputs[0] == outputs[1] == outputs[2]
    answers = {json.loads(line)["answer"] for line in outputs[0][1].splitlines()}
    assert len(answers) > 30, "the model should say many different things"


def an_answer_that_is_expected_is_right_and_a_changed_one_is_wrong(program):
    """What the model says to each row is asked first, then expected of every second one."""
    golden.make_model(program.folder / "m.gguf")
    rows = list(random_rows(20))
    evaluate(program, write_rows(program, rows), "--max-tokens", 24, "--failures", "f.jsonl")
    lines = (program.folder / "f.jsonl").read_text(encoding="utf-8").splitlines()
    answers = [json.loads(line)["answer"] for line in lines]
    assert len(answers) == 20
    for i, answer in enumerate(answers):
        text = answer if i % 2 else answer + "?"
        rows[i] = row("ab"[i // 10], {"kind": "exact", "any": ["no", text]},
                      *[m["content"] for m in rows[i]["messages"]],
                      roles=[m["role"] for m in rows[i]["messages"]])
    report = evaluate(program, write_rows(program, rows), "--max-tokens", 24)
    assert score(report, "a", "right") == score(report, "b", "right") == (5, 10)
    assert score(report, "total", "passed") == (10, 20)


def tool_calls_are_compared_with_their_markers_and_without_the_end_token(program):
    golden.make_model(program.folder / "m.gguf", recites=CALLER)
    rows = [call_row("good", "add", b=0.5, a=12.0), call_row("good", "add", a=12, b=0.5),
            call_row("bad", "add", a=12), call_row("bad", "mul", a=12, b=0.5),
            row("none", {"kind": "contains", "all": [], "none": ["<TOOL_call>"]}),
            row("none", {"kind": "contains", "all": [["</tool_call>"]], "none": ["<|im_end|>"]})]
    report = evaluate(program, write_rows(program, rows))
    assert score(report, "good", "call") == score(report, "good", "name") == (2, 2)
    assert score(report, "bad", "call") == (0, 2)
    assert score(report, "bad", "name") == (1, 2)
    assert score(report, "none", "right") == (1, 2)
    assert score(report, "total", "passed") == (3, 6)


def fields_are_counted_over_all_rows_of_a_task(program):
    golden.make_model(program.folder / "m.gguf", recites=[(json.dumps(OBJECT), NORMAL)])
    rows = [json_row("x", **OBJECT), json_row("x", **{**OBJECT, "total": "12.5"}),
            json_row("x", company="Nordlicht", paid=True), json_row("y", **OBJECT, city="Bergen")]
    report = evaluate(program, write_rows(program, rows))
    assert score(report, "x", "valid") == (3, 3)
    assert score(report, "x", "fields") == (3 + 2 + 2, 3 + 3 + 3)
    assert score(report, "x", "objects") == (1, 3)
    assert score(report, "y", "fields") == (3, 4)
    table = program.good("eval", "rows.jsonl", "--model", "m.gguf").decode().splitlines()
    assert table[0].split() == ["task", "rows", "score", "value", "95%", "interval", "right"]
    assert table[1].split() == ["x", "3", "valid", "1.000", "0.439", "to", "1.000", "3", "of", "3"]
    assert table[2].split()[:2] == ["fields", "0.778"] and len(table) == 1 + 3 + 3 + 4
    assert table[-1].split()[0] == "passed"


def an_answer_is_cut_at_max_tokens_and_it_is_said(program):
    golden.make_model(program.folder / "m.gguf", recites=CALLER)
    file = write_rows(program, [call_row("c", "add", a=12, b=0.5)])
    report = evaluate(program, file, "--max-tokens", 2, "--failures", "f.jsonl")
    assert score(report, "c", "call") == (0, 1)
    failure = json.loads((program.folder / "f.jsonl").read_text())
    assert failure["finish_reason"] == "length"
    assert failure["answer"] == "<tool_call>" + json.dumps(CALL)
    shown = program.good("eval", file, "--model", "m.gguf", "--max-tokens", 2, "--show", 3).decode()
    assert "==> rows.jsonl:1, c <==\nuser: Hello.\n" in shown, shown
    assert "answer, cut off: <tool_call>{" in shown, shown


def failures_can_be_asked_again(program):
    golden.make_model(program.folder / "m.gguf", recites=CALLER)
    file = write_rows(program, [call_row("c", "mul"), call_row("c", "add", a=12, b=0.5)])
    evaluate(program, file, "--failures", "f.jsonl")
    again = evaluate(program, "f.jsonl", "--failures", "g.jsonl")
    assert score(again, "c", "call") == (0, 1)
    first, second = ((program.folder / f"{name}.jsonl").read_bytes() for name in "fg")
    assert first == second and first.count(b"\n") == 1
    code, out, err = program.run("eval", file, "--model", "m.gguf", "--failures", "f.jsonl")
    assert code == 2 and out == b"" and b"--force" in err
    evaluate(program, "rows.jsonl", "--task", "c", "--failures", "f.jsonl", "--force")
    with open("/dev/full", "wb") as full:  # what took an hour is not lost with its table
        process = subprocess.run([program.path, "eval", file, "--model", "m.gguf", "--failures",
                                  "h.jsonl"], cwd=program.folder, stdout=full,
                                 stderr=subprocess.PIPE, timeout=60)
    assert process.returncode == 4 and b"standard output" in process.stderr, process
    assert (program.folder / "h.jsonl").read_bytes() == first


def tasks_and_rows_can_be_chosen(program):
    golden.make_model(program.folder / "m.gguf", recites=CALLER)
    rows = [call_row(task, "add", a=12, b=0.5) for task in "abcabca"]
    file = write_rows(program, ["", rows[0], "  ", *rows[1:]])
    report = evaluate(program, file, "--task", "c", "--task", "a", "--limit", 2)
    assert [(t["task"], t["rows"]) for t in report["tasks"]] == [("a", 2), ("c", 2)]
    assert report["total"]["rows"] == 4
    refused(program, 2, "no row has the task 'd'", rows, "--task", "d")


def every_score_that_is_missed_is_named_and_the_exit_code_says_so(program):
    golden.make_model(program.folder / "m.gguf", recites=CALLER)
    rows = [call_row("c", "add", a=12, b=0.5), call_row("c", "add"), call_row("c.d", "add")]
    words = ["eval", write_rows(program, rows), "--model", "m.gguf"]
    good = ["--at-least", "c.call=0.5", "--at-least", "c.d.name=1", "--at-least", "c.call=.2"]
    table = program.good(*words, *good)
    assert table == program.good(*words)
    code, out, err = program.run(*words, *good, "--at-least", "c.call=0.51", "--at-least",
                                 "total.passed=0.34")
    lines = err.decode().splitlines()
    assert code == MISSED and out == table and len(lines) == 2, lines
    assert "c.call is 0.5000 (1 of 2): at least 0.51" in lines[0]
    assert "total.passed is 0.3333 (1 of 3)" in lines[1]
    for wish, part in {"c.call": "TASK.SCORE=X", "c.call=2": "TASK.SCORE=X", "call=0.5": "SCORE=X",
                       "c.call=0.5x": "SCORE=X", "d.call=0.5": "no row", "c.right=0.5": "no such",
                       "c.cal=0.5": "no such", ".call=0.5": "no row", "=1": "SCORE=X"}.items():
        refused(program, 2, part, rows, "--at-least", wish)


def bad_rows_are_named_before_the_first_token(program):
    golden.make_model(program.folder / "m.gguf", n_ctx=64)
    good = call_row("c", "add")
    refused(program, 5, "rows.jsonl:3: ", [good, "", "{"])
    refused(program, 5, "rows.jsonl:2: expect.kind must be json,", [good, row("c", {"kind": "js"})])
    refused(program, 5, "'argumnets'", [row("c", {"kind": "tool_call", "argumnets": {}})])
    refused(program, 5, "has no rows", ["", " "])
    refused(program, 7, "rows.jsonl:2: the messages have", [good, row("c", {
        "kind": "exact", "any": ["x"]}, "long " * 60)])
    refused(program, 2, "--show", [good], "--json", "--show", 1)
    code, _, err = program.run("eval", "absent.jsonl", "--model", "m.gguf")
    assert code == 3 and b"absent.jsonl" in err
    code, _, err = program.run("eval", "rows.jsonl")
    assert code == 2 and b"--model" in err


def an_answer_ends_where_the_context_does(program):
    golden.make_model(program.folder / "m.gguf", recites=CALLER)
    file = write_rows(program, [call_row("c", "add", a=12, b=0.5)])
    _, _, err = program.run("eval", file, "--model", "m.gguf", "--ctx", 4)
    n_tokens = int(re.search(r"the messages have (\d+) tokens", err.decode())[1])
    refused(program, 7, f"1 to {n_tokens - 1}", [call_row("c", "add")], "--ctx", n_tokens)
    for room in 1, 2:
        evaluate(program, file, "--ctx", n_tokens + room, "--failures", "f.jsonl", "--force")
        failure = json.loads((program.folder / "f.jsonl").read_text())
        assert failure["answer"] == "".join(text for text, _ in CALLER[:room])
        assert failure["finish_reason"] == "length"


if __name__ == "__main__":
    golden.main([
        results_do_not_depend_on_the_batch,
        an_answer_that_is_expected_is_right_and_a_changed_one_is_wrong,
        tool_calls_are_compared_with_their_markers_and_without_the_end_token,
        fields_are_counted_over_all_rows_of_a_task,
        an_answer_is_cut_at_max_tokens_and_it_is_said,
        failures_can_be_asked_again,
        tasks_and_rows_can_be_chosen,
        every_score_that_is_missed_is_named_and_the_exit_code_says_so,
        bad_rows_are_named_before_the_first_token,
        an_answer_ends_where_the_context_does,
    ])
