"""train: a recipe and conversations become a model, the same bytes however the run went."""
import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import time
import xml.etree.ElementTree as xml

import golden
from golden_chat import CHATML, Terminal

USAGE, NOT_FOUND, IO, FORMAT, UNSUPPORTED, LIMIT, CANCELLED = 2, 3, 4, 5, 6, 7, 130
COLOURS, THINGS = ("red", "blue", "green"), ("chair", "lamp", "desk", "shelf")
SVG = "{http://www.w3.org/2000/svg}"
SLOW = {"TW_CPU": "ref"}  # plain C: a step takes long enough to be hit

MODEL = {"layers": 2, "embed": 32, "heads": 2, "kv_heads": 1, "head_dim": 16, "ffn": 64,
         "context": 64, "rope_base": 10000, "tied_head": "yes"}
DATA = {"tokenizer": "tokenizer.json", "train": ["train.jsonl"], "valid": ["valid.jsonl"]}
TRAINING = {"seed": 1, "steps": 40, "warmup_steps": 4, "rows_per_step": 2, "learning_rate": 0.01,
            "final_learning_rate": 0.0001, "beta1": 0.9, "beta2": 0.98, "epsilon": 1e-8,
            "weight_decay": 0.01, "clip": 1.0, "format": "f32", "valid_every": 10,
            "checkpoint_every": 3}


def facts():
    """(question, answer): what there is to learn."""
    for i, colour in enumerate(COLOURS):
        for j, thing in enumerate(THINGS):
            yield f"Where is the {colour} {thing}?", f"In room {len(THINGS) * i + j + 1}."


def conversation(*texts):
    roles = ("user", "assistant") * len(texts)
    return {"messages": [{"role": r, "content": t} for r, t in zip(roles, texts)]}


def write_lines(program, name, rows):
    text = "".join(f"{json.dumps(row)}\n" for row in rows)
    (program.folder / name).write_text(text, encoding="utf-8")


def prepare(program):
    rng = random.Random(1)
    rows = [conversation(*rng.choice(list(facts()))) for _ in range(300)]
    write_lines(program, "train.jsonl", rows)
    write_lines(program, "valid.jsonl", [conversation(*fact) for fact in facts()])
    program.good("train", "tokenizer", "--corpus", "train.jsonl", "--vocab", 300, "-o",
                 "tokenizer.json")


def recipe(recipe_data=None, **changes):
    """The text of a recipe; a change to None leaves the key out."""
    sections = {"model": MODEL, "data": recipe_data or DATA, "training": TRAINING,
                "output": {"folder": "out", "gguf": "out.gguf", "type": "F16"}}
    lines = []
    for section, keys in sections.items():
        lines.append(f"{section}:")
        for key, value in keys.items():
            value = changes.get(key, value)
            if value is not None:
                lines.append(f"  {key}: {value if isinstance(value, str) else json.dumps(value)}")
    return "\n".join(lines) + "\n"


def write_recipe(program, **changes):
    (program.folder / "out.yaml").write_text(recipe(**changes), encoding="utf-8")
    return ["train", "--config", "out.yaml", "--threads", 1, "--log-every", 1]


def start_anew(program):
    """What a run left, which is then as if it had not been: its weights and its GGUF file."""
    found = [(program.folder / name).read_bytes() for name in ("out/model.safetensors", "out.gguf")]
    shutil.rmtree(program.folder / "out")
    (program.folder / "out.gguf").unlink()
    return found


def losses(out):
    return [float(loss) for loss in re.findall(r"  loss ([\d.]+)", out.decode())]


def partials(program):
    return list((program.folder / "out").glob("*.partial-*"))


class Run:
    """A run whose log is looked at while it goes on."""

    def __init__(self, program, words, env=None):
        self.process = program.start(*words, env=env)
        self.seen = b""
        os.set_blocking(self.process.stdout.fileno(), False)

    def reached(self, step=None):
        """Whether it has told of a step, or of any."""
        self.seen += self.process.stdout.read() or b""
        assert self.process.poll() is None, f"the run ended before step {step}: {self.seen}"
        return (b"\nstep " if step is None else b"\nstep %d/" % step) in self.seen

    def wait(self, step=None):
        while not self.reached(step):
            time.sleep(0.0005)

    def end(self, signal_number):
        """(exit code, the rest of standard output, standard error)"""
        self.process.send_signal(signal_number)
        os.set_blocking(self.process.stdout.fileno(), True)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


def kill_at(program, words, step, seconds):
    """Kills a run some time after a step."""
    run = Run(program, words, SLOW)
    run.wait(step)
    time.sleep(seconds)
    assert run.end(signal.SIGKILL)[0] == -signal.SIGKILL


def kill_while_a_checkpoint_is_written(program, words, most_steps):
    """Kills a run when it writes; at that step if no write was seen until then."""
    run = Run(program, words, SLOW)
    while b"\nstep " not in run.seen:
        run.reached(most_steps)
    while not partials(program) and not run.reached(most_steps):
        pass
    assert run.end(signal.SIGKILL)[0] == -signal.SIGKILL
    return len(partials(program))


def a_run_that_is_killed_ten_times_ends_with_the_same_bytes(program):
    prepare(program)
    words, rng, n_caught = write_recipe(program, steps=60), random.Random(7), 0
    whole, want = program.good(*words), start_anew(program)
    for i in range(5):
        kill_at(program, words, 8 * i + rng.randint(1, 4), rng.uniform(0, 0.03))
        n_caught += kill_while_a_checkpoint_is_written(program, words, 8 * i + 8)
    assert n_caught > 0, "no kill came while a checkpoint was written"
    rest = program.good(*words)
    assert re.search(rb"going on from the checkpoint after step \d+\n", rest), rest
    assert not partials(program), "what killed runs left is still there"
    assert losses(whole)[-len(losses(rest)):] == losses(rest)
    assert start_anew(program) == want


def threads_and_instruction_sets_give_the_same_files(program):
    prepare(program)
    for form in ("f32", "bf16"):
        words, found = write_recipe(program, steps=3, warmup_steps=1, format=form), set()
        for level in program.levels():
            for n_threads in (1, 2):
                program.good(*words, "--threads", n_threads, env={"TW_CPU": level})
                found.add(tuple(start_anew(program)))
        assert len(found) == 1, f"{form}: {len(found)} different results"


def an_interrupted_run_stops_after_its_step_and_goes_on(program):
    prepare(program)
    words = write_recipe(program, steps=30, checkpoint_every=0)
    whole, want = program.good(*words), start_anew(program)
    for step, number in ((5, signal.SIGINT), (11, signal.SIGTERM)):
        run = Run(program, words, SLOW)
        run.wait(step)
        code, out, err = run.end(number)
        assert code == 128 + number, code
        last = int(re.findall(rb"step (\d+)/", run.seen + out)[-1])
        assert step <= last < 30
        assert err.decode() == (f"tokenworks: error: stopped after step {last}; the same command "
                                "goes on from there\n"), err
    exported = program.good(*words, "--export")
    assert b"\nas after step %d of 30: " % last in exported, exported
    rest = program.good(*words)
    assert losses(whole)[last:] == losses(rest)
    assert start_anew(program) == want


def the_model_of_a_checkpoint_can_be_looked_at_before_the_end(program):
    prepare(program)
    words = write_recipe(program, steps=30, checkpoint_every=0)
    refused(program, [*words, "--export"], USAGE, "'out' has no checkpoint")
    run = Run(program, words, SLOW)
    run.wait(9)
    assert run.end(signal.SIGINT)[0] == CANCELLED
    checkpoint = (program.folder / "out" / "checkpoint.tw").read_bytes()
    assert b"\nstep" not in program.good(*words, "--export")
    early = (program.folder / "out.gguf").read_bytes()
    assert (program.folder / "out" / "checkpoint.tw").read_bytes() == checkpoint
    program.good("run", "--model", "out.gguf", "--prompt", "Where", "--max-tokens", 3)
    program.good(*words)
    end = [(program.folder / name).read_bytes() for name in ("out/model.safetensors", "out.gguf")]
    assert end[1] != early
    program.good(*words, "--export")
    assert start_anew(program) == end


def refused(program, words, code, *parts):
    """Nothing is trained, and one sentence has all the parts in it."""
    exit_code, out, err = program.run(*words)
    text = err.decode()
    assert exit_code == code, (exit_code, code, out, text)
    assert text.count("\n") == 1 and all(part in text for part in parts), (text, parts)
    assert b"\nstep" not in out, out


def a_second_run_into_a_folder_is_refused_and_an_export_beside_a_run_is_not(program):
    prepare(program)
    words = write_recipe(program, steps=400, checkpoint_every=3)
    run = Run(program, words, SLOW)
    run.wait(4)
    refused(program, words, USAGE, "'out' is in use by another run", "name another folder")
    assert re.search(rb"\nas after step \d+ of 400: ", program.good(*words, "--export"))
    assert run.end(signal.SIGKILL)[0] == -signal.SIGKILL
    run = Run(program, words, SLOW)  # whoever was killed holds nothing
    run.wait()  # it goes on from where the other was, wherever that is
    assert run.end(signal.SIGINT)[0] == CANCELLED


def a_checkpoint_that_is_not_whole_or_not_ours_is_refused_and_kept(program):
    prepare(program)
    words = write_recipe(program, steps=6)
    program.good(*words)
    path = program.folder / "out" / "checkpoint.tw"
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    for name, data in {"cut": whole[:-1], "half": whole[: len(whole) // 2], "empty": b"",
                       "long": whole + b"\0", "flipped": bytes(flipped), "text": b"weights " * 9,
                       "start": whole[:20]}.items():
        path.write_bytes(data)
        refused(program, words, FORMAT, "out/checkpoint.tw' is no whole checkpoint", "delete it")
        assert path.read_bytes() == data, name
    path.write_bytes(whole)
    for change, part in (({"seed": 2}, "training.seed is 2, there 1"),
                         ({"layers": 3}, "model.layers is 3, there 2"),
                         ({"steps": 20, "clip": 0.1}, "training.steps is 20, there 6; "
                          "training.clip"),
                         ({"train": ["valid.jsonl"]}, "data.train has another content"),
                         ({"format": "bf16"}, "training.format is bf16, there f32")):
        write_recipe(program, **{"steps": 6, **change})
        refused(program, words, USAGE, "out/checkpoint.tw' belongs to another recipe", f"({part}",
                "go on from its model with training.start")
        refused(program, [*words, "--force"], USAGE, part)
        assert path.read_bytes() == whole
    write_recipe(program, steps=6, valid_every=2, checkpoint_every=0)
    program.good(*words)


def a_bad_recipe_is_refused_by_line_or_key(program):
    prepare(program)
    good = recipe()
    place = {line.split(":")[0].strip(): i for i, line in enumerate(good.splitlines(), 1)}
    for key, value, code, part in (
            ("steps", "many", FORMAT, "many"), ("steps", "-3", FORMAT, "-3"),
            ("steps", "10_000", FORMAT, "10_000"), ("steps", "1e3", FORMAT, "1e3"),
            ("steps", "[3]", FORMAT, "steps must be one value and is a list"),
            ("learning_rate", "0,01", FORMAT, "0,01"),
            ("tied_head", "maybe", FORMAT, "maybe"),
            ("format", "f16", FORMAT, "'f16' is not one of f32, bf16"),
            ("train", "train.jsonl", FORMAT, "'train' must be a list: [train.jsonl]"),
            ("train", "[]", FORMAT, "'train' needs at least one entry"),
            ("seed", "[1", FORMAT, "expected ',' or ']'"),
            ("seed", "*one", FORMAT, "alias"),
            ("seed", "1\n  seed: 2", FORMAT, "there a second time"),
            ("seed", "1\n  leraning_rate: 2", FORMAT, "unknown key 'leraning_rate' of training; "
             "did you mean learning_rate?")):
        write_recipe(program, **{key: value})
        line = place[key]
        line += value == "[1" or value.startswith("1\n")
        where = f"(line: {line},"
        refused(program, ["train", "--config", "out.yaml"], code, "out.yaml", part, where)
    for key, value in (("steps", 0), ("steps", 10**8), ("warmup_steps", 41), ("clip", -1),
                       ("rows_per_step", 0), ("learning_rate", 11), ("beta1", 1), ("epsilon", 0),
                       ("final_learning_rate", 0.02), ("layers", 0), ("context", 1),
                       ("embed", 10**6), ("kv_heads", 3), ("head_dim", 15)):
        write_recipe(program, **{key: value})
        refused(program, ["train", "--config", "out.yaml"], FORMAT, "out.yaml",
                f"{key} is {value}", f"(line: {place[key]},")
    for key in ("seed", "layers", "tokenizer", "folder"):
        write_recipe(program, **{key: None})
        refused(program, ["train", "--config", "out.yaml"], FORMAT, f"the key {key} is missing")
    for text, part in (("", "empty"), ("model: {}", "layers"), ("- 1", "keys with values"),
                       ("\nmodel:\n\tlayers: 2", "a tab where YAML wants spaces (line: 3, "),
                       (good.replace("training:", "trainin:"), "trainin"), ("a: &a [*a]", "a")):
        (program.folder / "out.yaml").write_text(text, encoding="utf-8")
        refused(program, ["train", "--config", "out.yaml"], FORMAT, "out.yaml", part)
    for text, code, part in (("[" * 2**17, LIMIT, "more than 16 deep (line: 1, column: 17)"),
                             ("{a: " * 2**15, LIMIT, "more than 16 deep"),
                             ("[ #]\n" * 2**15, LIMIT, "more than 16 deep"),
                             ("".join(f"%TAG !{i}! x\n" for i in range(15000)) + f"---\n{good}",
                              FORMAT, "directives are not read"),
                             (f"# utf-16\r%YAML 1.1\r---\r{good}".encode("utf-16"), FORMAT,
                              "directives are not read")):
        data = text if isinstance(text, bytes) else text.encode()
        (program.folder / "out.yaml").write_bytes(data)
        start = time.monotonic()
        refused(program, ["train", "--config", "out.yaml"], code, "out.yaml", part)
        assert time.monotonic() - start < 5, part
    assert not (program.folder / "out").exists()
    refused(program, ["train", "--config", "absent.yaml"], NOT_FOUND, "absent.yaml")
    refused(program, ["train"], USAGE, "--config")


def what_cannot_work_is_said_before_the_first_step(program):
    prepare(program)
    write_lines(program, "asks.jsonl", [conversation("Where?", "Here."), conversation("Where?")])
    write_lines(program, "long.jsonl", [conversation("Where? " * 40, "Here.")])
    write_lines(program, "broken.jsonl", [conversation("a", "b"), {"messages": 3}])
    write_lines(program, "list.jsonl", [[conversation("a", "b")]])
    write_lines(program, "other.jsonl", [{"conversations": [{"from": "human", "value": "a"}]}])
    rows = json.dumps([conversation("a", "b")], indent=1)
    for name, text in (("none", "\n"), ("pretty", rows), ("cut", '{"text": "a"}\n{"a}\n')):
        (program.folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    (program.folder / "file").write_text("", encoding="utf-8")
    cuts = json.loads((program.folder / "tokenizer.json").read_text(encoding="utf-8"))
    cuts["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {"Regex": "[a-z]+"}
    (program.folder / "cuts.json").write_text(json.dumps(cuts), encoding="utf-8")
    for changes, code, *parts in (
            ({"train": ["absent.jsonl"]}, NOT_FOUND, "absent.jsonl"),
            ({"tokenizer": "absent.json"}, NOT_FOUND, "absent.json"),
            ({"tokenizer": "train.jsonl"}, FORMAT, "train.jsonl"),
            ({"train": ["train.jsonl", "asks.jsonl"]}, FORMAT, "asks.jsonl:2", "nothing to learn"),
            ({"valid": ["long.jsonl"]}, FORMAT, "of 'valid' fits into 64 tokens",
             "the shortest has 134 (long.jsonl): raise model.context"),
            ({"train": ["train.jsonl", "none.jsonl"]}, FORMAT, "'none.jsonl' has no rows"),
            ({"train": ["cut.jsonl"]}, FORMAT, ": cut.jsonl:2:4: not valid JSON: "),
            ({"train": ["pretty.jsonl"]}, FORMAT, ": pretty.jsonl:1:1: not valid JSON: the line "
             "ends too early; every row is an object on a line of its own"),
            ({"train": ["list.jsonl"]}, FORMAT, ": list.jsonl:1: a list; every row is"),
            ({"train": ["other.jsonl"]}, FORMAT, ": other.jsonl:1: \"conversations\" is another"),
            ({"valid": ["broken.jsonl"]}, FORMAT, "broken.jsonl:2"),
            ({"steps": 10**7, "rows_per_step": 4096, "train": ["valid.jsonl"]}, USAGE,
             "1048576 times"),
            ({"tokenizer": "cuts.json"}, UNSUPPORTED, "cuts.json", "GGUF has no word"),
            ({"type": "F17"}, FORMAT, "F17"),
            ({"gguf": "absent/out.gguf"}, NOT_FOUND, "absent/out"),
            ({"folder": "absent/out"}, NOT_FOUND, "absent/out"), ({"folder": "file"}, IO, "file")):
        refused(program, write_recipe(program, **changes), code, *parts)
    (program.folder / "there" / "checkpoint.tw.partial-tokenworks-0").mkdir(parents=True)
    for i in range(1, 100):  # every name that a file being written could have is taken
        (program.folder / "there" / f"checkpoint.tw.partial-tokenworks-{i}").mkdir()
    refused(program, write_recipe(program, folder="there"), IO, "there/checkpoint.tw")
    program.good(*write_recipe(program, tokenizer="cuts.json", gguf=None, steps=2, warmup_steps=1))
    shutil.rmtree(program.folder / "out")
    words = write_recipe(program, steps=2, warmup_steps=1)
    with open("/dev/full", "wb") as full:
        process = subprocess.run([program.path, *map(str, words)], cwd=program.folder,
                                        stdout=full, stderr=subprocess.PIPE, timeout=60)
    assert process.returncode == IO and b"standard output" in process.stderr, process


def nothing_that_a_run_reads_or_keeps_is_written_over(program):
    prepare(program)
    (program.folder / "chat.jinja").write_text(CHATML, encoding="utf-8")
    (program.folder / "link").symlink_to(".")
    data = {**DATA, "chat_template": "chat.jinja", "valid": ["train.jsonl", "valid.jsonl"]}
    for path, part in (("train.jsonl", "is read by this run"), ("valid.jsonl", "is read"),
                       ("tokenizer.json", "is read"), ("chat.jinja", "is read"),
                       ("link/train.jsonl", "is read"), ("out.yaml", "is the recipe"),
                       ("out/checkpoint.tw", "folder"), ("out/config.json", "folder"),
                       ("link/out/model.safetensors", "folder")):
        words = write_recipe(program, recipe_data=data, gguf=path, steps=2, warmup_steps=1)
        refused(program, words, USAGE, f"'{path}' is", part)
        words = write_recipe(program, recipe_data=data, steps=2, warmup_steps=1)
        refused(program, [*words, "--plot", path], USAGE, f"'{path}' is", part)
    refused(program, [*words, "--plot", "out.gguf"], USAGE, "is to be the GGUF file")
    (program.folder / "out" / "chat_template.jinja").write_text(CHATML, encoding="utf-8")
    refused(program, words, USAGE, "'out/chat_template.jinja' would be taken for the template")
    write_recipe(program, recipe_data={**DATA, "chat_template": "out/chat_template.jinja"},
                 steps=2, warmup_steps=1)
    program.good(*words, "--plot", "loss.svg")


def what_a_run_has_not_made_is_replaced_only_by_force(program):
    prepare(program)
    kept = {"other.yaml": b"model:\n", "m.gguf": b"GGUF", "gen.py": b"print(1)\n"}
    for name, data in kept.items():
        (program.folder / name).write_bytes(data)
        part = f"'{name}' exists already and is not of this run; --force replaces it"
        words = write_recipe(program, gguf=name)
        refused(program, words, USAGE, part)
        refused(program, [*write_recipe(program), "--plot", name], USAGE, part)
        assert (program.folder / name).read_bytes() == data
    (program.folder / "out" / "config.json").write_bytes(b"{}")
    refused(program, write_recipe(program), USAGE, "'out/config.json' exists already", "--force")
    assert not (program.folder / "out" / "checkpoint.tw").exists()
    words = [*write_recipe(program, gguf="m.gguf", steps=30), "--plot", "gen.py"]
    run = Run(program, [*words, "--force"], SLOW)
    run.wait(1)
    assert run.end(signal.SIGKILL)[0] == -signal.SIGKILL  # before it has a step to go on from
    run = Run(program, words, SLOW)
    run.wait(5)
    assert run.end(signal.SIGINT)[0] == CANCELLED
    refused(program, [*words, "--plot", "other.yaml"], USAGE, "'other.yaml' exists already")
    assert b"going on from" in program.good(*words, "--plot", "new.svg")
    program.good(*words)  # a run that has ended, too
    program.good(*words, "--plot", "new.svg")
    program.good(*words, "--export")
    assert xml.parse(program.folder / "gen.py").getroot().tag == f"{SVG}svg"
    write_recipe(program, gguf="other.yaml", steps=30)
    refused(program, [*words, "--export"], USAGE, "'other.yaml' exists already")
    assert (program.folder / "other.yaml").read_bytes() == kept["other.yaml"]


def a_model_answers_what_it_was_taught(program):
    prepare(program)
    out = program.good(*write_recipe(program, steps=200, rows_per_step=4, warmup_steps=20,
                                     learning_rate=0.005, embed=64, ffn=128, checkpoint_every=0))
    found = losses(out)
    assert len(found) == 200 and found[-1] < 0.5 * found[0], (found[0], found[-1])
    rows = [{"task": "rooms", "messages": [{"role": "user", "content": question}],
             "expect": {"kind": "exact", "any": [answer]}} for question, answer in facts()]
    write_lines(program, "rows.jsonl", rows)
    for model in ("out.gguf", "out"):
        report = json.loads(program.good("eval", "rows.jsonl", "--model", model, "--json"))
        right = report["total"]["scores"]["right"]
        assert right["right"] == right["of"] == 12, (model, right)
    question, answer = next(facts())
    prompt = f"<|im_start|>user\n{question}<|im_end|>\n<|im_start|>assistant\n"
    said = program.good("run", "--model", "out.gguf", "--special", "--prompt", prompt)
    assert said.decode() == f"{answer}\n", said


def a_model_is_trained_on_from_its_gguf_file_alone(program):
    prepare(program)
    (program.folder / "chat.jinja").write_text(CHATML, encoding="utf-8")
    program.good(*write_recipe(program, recipe_data={**DATA, "chat_template": "chat.jinja"},
                               steps=4, type="F32"))
    (program.folder / "out.gguf").rename(program.folder / "first.gguf")
    (program.folder / "out").rename(program.folder / "first")
    alone = {"train": ["train.jsonl"], "valid": ["valid.jsonl"]}
    want = [(program.folder / "first" / name).read_bytes().rstrip()
            for name in ("tokenizer.json", "tokenizer_config.json")]
    made = set()
    for start in ("first.gguf", "first", "first/model.safetensors"):
        for data in (alone, {**alone, "tokenizer": start.split("/")[0]}):
            words = write_recipe(program, recipe_data=data, steps=4)
            text = (program.folder / "out.yaml").read_text(encoding="utf-8")
            text = text.replace("training:", f"training:\n  start: {start}")
            (program.folder / "out.yaml").write_text(text, encoding="utf-8")
            assert f"\nstarting from {start}\n" in program.good(*words).decode()
            got = [(program.folder / "out" / name).read_bytes().rstrip()
                   for name in ("tokenizer.json", "tokenizer_config.json")]
            assert got == want, (start, data)
            made.add(tuple(start_anew(program)))
    assert len(made) == 1
    golden.make_model(program.folder / "other.gguf")
    refused(program, write_recipe(program, tokenizer="other.gguf"), UNSUPPORTED,
            "'other.gguf': its tokenizer cannot be written as a tokenizer.json")
    refused(program, write_recipe(program, recipe_data=alone), FORMAT,
            "the key tokenizer is missing")


def a_mixture_of_experts_is_not_trained_on(program):
    prepare(program)
    program.synthesise("moe.gguf", "qwen3moe-tiny", "F32")
    words = write_recipe(program, steps=4)
    text = (program.folder / "out.yaml").read_text(encoding="utf-8")
    text = text.replace("training:", "training:\n  start: moe.gguf")
    (program.folder / "out.yaml").write_text(text, encoding="utf-8")
    refused(program, words, USAGE,
            "'moe.gguf' is of the architecture qwen3moe; only qwen3 is trained")


def names_in_a_recipe_do_not_steer_the_terminal(program):
    prepare(program)
    write_lines(program, "t\033[2J.jsonl", [conversation("Where? " * 40, "Here."),
                                            *2 * [conversation(*fact) for fact in facts()]])
    out = program.good(*write_recipe(
        program, steps=2, warmup_steps=1, train='["t\\e[2J.jsonl"]', folder='"out\\e[31m"',
        gguf='"out\\u202e.gguf"')).decode()
    assert "the first at t?[2J.jsonl:1\n" in out and ": out?[31m, out???.gguf\n" in out, out
    assert (program.folder / "out\033[31m" / "config.json").exists()


def weights_that_are_no_numbers_are_not_written(program):
    prepare(program)
    wild = {"warmup_steps": 0, "learning_rate": 10, "final_learning_rate": 10, "clip": 0,
            "weight_decay": 100, "valid_every": 0, "checkpoint_every": 0}
    code, _, err = program.run(*write_recipe(program, steps=40, **wild))
    step = int(re.search(rb"the loss of step (\d+) is no number", err)[1])
    assert code == FORMAT and 0 < step < 39, err
    code, _, err = program.run(*write_recipe(program, steps=step, **wild))  # ends one step before
    assert code == FORMAT and b"the loss of step %d is no number" % (step - 1) in err, (code, err)
    assert not (program.folder / "out" / "config.json").exists()
    words = write_recipe(program, steps=40, **{**wild, "checkpoint_every": 1, "type": "F32"})
    code, _, err = program.run(*words)
    assert code == FORMAT and b"a weight after step %d is no number" % step in err, err
    assert b"\nas after step %d of 40" % (step - 1) in program.good(*words, "--export")


def a_run_that_ignores_a_signal_goes_on_and_one_that_does_not_keeps_its_step(program):
    prepare(program)
    words = write_recipe(program, steps=30, checkpoint_every=0)
    run = Run(program, words, SLOW)
    run.wait(5)
    code, out, _ = run.end(signal.SIGHUP)
    last = int(re.findall(rb"step (\d+)/", run.seen + out)[-1])
    assert code == 128 + signal.SIGHUP, code
    assert (program.folder / "out" / "checkpoint.tw").exists()
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # children have it from us
    run = Run(program, words, SLOW)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    run.wait(last + 5)
    run.process.send_signal(signal.SIGHUP)
    code, out, _ = run.end(signal.SIGINT)
    assert code == 0 and b"step 30/30" in run.seen + out, (code, out)


def a_run_that_cannot_report_keeps_its_steps(program):
    prepare(program)
    (program.folder / "plots").mkdir()
    words = write_recipe(program, steps=300, checkpoint_every=0, valid_every=0)
    for plot, code, part in (([], IO, "standard output"),
                             (["--plot", "plots/loss.svg"], NOT_FOUND, "plots/loss.svg")):
        run = Run(program, [*words, *plot], SLOW)
        run.wait(4)
        if plot:
            (program.folder / "plots").rename(program.folder / "gone")
            os.set_blocking(run.process.stdout.fileno(), True)
            run.process.stdout.read()
        run.process.stdout.close()
        err = run.process.stderr.read().decode()
        assert run.process.wait(60) == code and part in err, err
        shown = program.good(*words, "--export").decode()
        assert int(re.search(r"as after step (\d+) of 300", shown)[1]) >= 4, shown
        start_anew(program)


def a_limit_on_the_size_of_files_is_said(program):
    prepare(program)
    words = write_recipe(program, steps=2, warmup_steps=1, checkpoint_every=1)
    process = program.start(*words, preexec_fn=lambda: resource.setrlimit(
        resource.RLIMIT_FSIZE, (4096, 4096)))
    err = process.communicate(timeout=60)[1].decode()
    assert process.returncode == IO and "'out/checkpoint.tw': File too large" in err, err
    assert not partials(program)


def what_makes_a_model_hopeless_is_warned_of(program):
    prepare(program)
    rows = [conversation(*fact) for fact in facts()]
    write_lines(program, "long.jsonl", [*rows, conversation("Where? " * 40, "Here.")])
    words = write_recipe(program, train=["long.jsonl"], steps=2, warmup_steps=1)
    code, out, err = program.run(*words)
    assert code == 0 and b"left out:" not in out, out
    assert err.decode() == (
        "tokenworks: warning: 1 of 13 documents are left out, since they are longer than the "
        "context of 64 tokens (the first at long.jsonl:13, the longest has 134): raise "
        "model.context\n"), err
    assert re.match(rb"model: \d\d\.\d thousand weights ", out), out
    start_anew(program)
    write_lines(program, "long.jsonl", [*2 * rows, conversation("Where? " * 40, "Here.")])
    assert b"\nleft out: 1 documents longer than the context, the first at long" in program.good(
        *words)
    start_anew(program)
    code, _, err = program.run(*write_recipe(program, steps=20, learning_rate=1, clip=0,
                                             final_learning_rate=1, warmup_steps=0))
    assert code == 0 and err.count(b"\n") == 1, err
    assert re.match(rb"tokenworks: warning: the loss is \d+\.\d\d, far above that of the first "
                    rb"step, [56]\.\d\d: lower learning_rate", err), err
    start_anew(program)
    words = write_recipe(program, steps=2, warmup_steps=1)
    assert re.search(rb"\ndone in \d", program.good(*words))
    assert re.search(rb"\nalready finished, in \d:\d\d:\d\d: out, out.gguf\n$",
                     program.good(*words))


def a_plot_shows_every_validation_and_is_drawn_again(program):
    prepare(program)
    words = [*write_recipe(program, steps=25, valid_every=10), "--plot", "loss.svg"]
    out = program.good(*words).decode()
    root = xml.parse(program.folder / "loss.svg").getroot()
    assert root.tag == f"{SVG}svg"
    circles, lines = root.findall(f"{SVG}circle"), root.findall(f"{SVG}polyline")
    assert len(circles) == out.count("  valid ") == 3
    assert [len(line.get("points").split()) for line in lines] == [25, 25]
    places = [(float(c.get("cx")), float(c.get("cy"))) for c in circles]
    assert places == sorted(places) and all(0 < y < 480 for _, y in places), places
    texts = [text.text for text in root.findall(f"{SVG}text")]
    assert "5" in texts and "steps" in texts, texts
    words = write_recipe(program, folder="new", gguf="new.gguf")
    refused(program, [*words, "--plot", "absent/loss.svg"], NOT_FOUND, "absent/loss.svg")


def a_terminal_gets_one_line_that_changes_and_a_pipe_gets_plain_lines(program):
    prepare(program)
    words = write_recipe(program, steps=12, valid_every=0)[:-1]
    plain = program.good(*words, 6).decode()
    assert "\r" not in plain and "\033" not in plain
    assert re.findall(r"^step (\d+)/12 ", plain, re.MULTILINE) == ["6", "12"]
    start_anew(program)
    with Terminal(program, *words, 6) as terminal:
        text = terminal.wait(r"done in")
        assert terminal.end() == 0
    drawn = re.findall(r"\r\033\[\?7lstep (\d+)/12 [^\r\n]*\033\[K\033\[\?7h(\r\n)?", text)
    assert [int(step) for step, _ in drawn] == list(range(1, 13)), text
    assert [int(step) for step, end in drawn if end] == [6, 12], text

    words = write_recipe(program, folder="dumb", gguf=None, steps=2, warmup_steps=1)
    with Terminal(program, *words, env={"TERM": "dumb"}) as terminal:
        text = terminal.wait(r"done in")
        assert terminal.end() == 0 and "\033" not in text, text


def an_error_on_a_terminal_begins_a_line_of_its_own(program):
    prepare(program)
    words = write_recipe(program, steps=400)[:-1]
    with Terminal(program, *words, 400, env=SLOW) as terminal:
        terminal.wait(r"step 5/")
        terminal.type("\x03")
        text = terminal.wait(r"stopped after step \d+;")
        text = text.replace("^C", "")  # the terminal's echo
        assert text.endswith("\x1b[K\x1b[?7h\r\ntokenworks: error: "), text
        assert terminal.end() == CANCELLED


if __name__ == "__main__":
    golden.main([
        a_run_that_is_killed_ten_times_ends_with_the_same_bytes,
        threads_and_instruction_sets_give_the_same_files,
        an_interrupted_run_stops_after_its_step_and_goes_on,
        the_model_of_a_checkpoint_can_be_looked_at_before_the_end,
        a_second_run_into_a_folder_is_refused_and_an_export_beside_a_run_is_not,
        a_checkpoint_that_is_not_whole_or_not_ours_is_refused_and_kept,
        a_bad_recipe_is_refused_by_line_or_key,
        what_cannot_work_is_said_before_the_first_step,
        nothing_that_a_run_reads_or_keeps_is_written_over,
        what_a_run_has_not_made_is_replaced_only_by_force,
        a_model_answers_what_it_was_taught,
        a_model_is_trained_on_from_its_gguf_file_alone,
        a_mixture_of_experts_is_not_trained_on,
        names_in_a_recipe_do_not_steer_the_terminal,
        weights_that_are_no_numbers_are_not_written,
        a_run_that_ignores_a_signal_goes_on_and_one_that_does_not_keeps_its_step,
        a_run_that_cannot_report_keeps_its_steps,
        a_limit_on_the_size_of_files_is_said,
        what_makes_a_model_hopeless_is_warned_of,
        a_plot_shows_every_validation_and_is_drawn_again,
        a_terminal_gets_one_line_that_changes_and_a_pipe_gets_plain_lines,
        an_error_on_a_terminal_begins_a_line_of_its_own,
    ])
