"""What the commands do with files, pipes, mistakes and each other."""
import json
import os
import pty
import re
import signal
import subprocess
import time

import golden

CODES = {"usage": 2, "not found": 3, "input/output": 4, "format": 5, "unsupported": 6, "limit": 7}
COMMANDS = ["run", "chat", "tokenize", "model", "model inspect", "model quantize", "model convert",
            "perplexity", "eval", "bench", "bench engine", "bench server", "train",
            "train tokenizer", "policy", "policy check", "policy test", "policy explain",
            "policy replay", "version"]


def refused(program, code, part, *words, **more):
    """The run fails with that code and one line on standard error that has the part in it."""
    exit_code, out, err = program.run(*words, **more)
    text = err.decode(errors="replace")
    assert exit_code == CODES[code], f"{exit_code}, not {CODES[code]}: {text}"
    assert text.startswith("tokenworks: error: ") and text.count("\n") == 1, text
    assert part in text, f"{part!r} is not in {text!r}"
    assert out == b"", out


def every_command_explains_itself(program):
    assert b"Commands:" in program.good("--help")
    for command in COMMANDS:
        out = program.good(*command.split(), "--help").decode()
        assert out.startswith("usage: tokenworks " + command), out
        assert max(map(len, out.splitlines())) <= 100, command
        assert out == "\n".join(line.rstrip() for line in out.split("\n")), command
        assert program.good("help", *command.split()).decode() == out, command
    assert program.good("--version") == program.good("version")


def mistakes_on_the_command_line_are_usage_errors(program):
    model = golden.make_model(program.folder / "m.gguf")
    refused(program, "usage", "did you mean 'tokenworks run'", "rnu")
    refused(program, "usage", "did you mean '--max-tokens'", "run", "--max-token", "3")
    refused(program, "usage", "from 0 to 100", "run", "--temperature", "900")
    refused(program, "usage", "give --model", "run", "--prompt", "x")
    refused(program, "usage", "give --prompt", "run", "--model", model)
    refused(program, "usage", "--json", "run", "--model", model, "--prompt", "x", "--logprobs", "2")
    refused(program, "usage", "unexpected 'x'", "run", "--model", model, "x")
    refused(program, "usage", "TW_CPU=mmx", "run", "--model", model, "--prompt", "x",
            env={"TW_CPU": "mmx"})
    refused(program, "usage", "stop string 1 is empty", "run", "--model", model, "--prompt", "x",
            "--stop", "")
    refused(program, "usage", "token id", "run", "--model", model, "--prompt", "x",
            "--logit-bias", "7:3")
    refused(program, "usage", "must be one of", "model", "quantize", "m.gguf", "o.gguf", "Q9_9")
    refused(program, "usage", "usage: tokenworks model inspect F", "model", "inspect")
    train = ["train", "tokenizer"]
    refused(program, "usage", "give --corpus", *train, "--vocab", "300", "-o", "t.json")
    refused(program, "usage", "give --vocab", *train, "c.txt", "-o", "t.json")
    refused(program, "usage", "give -o", *train, "c.txt", "--vocab", "300")
    refused(program, "usage", "from 263", *train, "c.txt", "--vocab", "262")
    refused(program, "usage", "a window", "perplexity", "--model", model, "--file", "-",
            stdin=b"short")


def bad_files_are_named_and_nothing_is_written(program):
    model = golden.make_model(program.folder / "m.gguf")
    data = model.read_bytes()
    (program.folder / "cut.gguf").write_bytes(data[: len(data) // 2])
    (program.folder / "no.gguf").write_bytes(b"this is no model" * 10)
    (program.folder / "empty.gguf").write_bytes(b"")
    for command in (["run", "--prompt", "x", "--model"], ["tokenize", "x", "--model"],
                    ["model", "inspect"], ["chat", "--model"]):
        refused(program, "not found", "absent.gguf", *command, "absent.gguf")
        refused(program, "format", "cut.gguf", *command, "cut.gguf")
        refused(program, "format", "no.gguf", *command, "no.gguf")
        refused(program, "format", "empty.gguf", *command, "empty.gguf")
    (program.folder / "bad.jsonl").write_bytes(b'{"text": "a"}\n{"text": 1}\n')
    before = sorted(os.listdir(program.folder))
    train = ["train", "tokenizer", "--vocab", "300", "-o", "t.json", "--corpus"]
    refused(program, "not found", "absent.txt", *train, "absent.txt")
    refused(program, "format", "bad.jsonl:2: ", *train, "bad.jsonl")
    refused(program, "format", "no text", *train, "empty.gguf")
    refused(program, "format", "cut.gguf", "model", "quantize", "cut.gguf", "out.gguf", "Q8_0")
    assert sorted(os.listdir(program.folder)) == before


def each_help_has_the_context_of_its_own_command(program):
    for command, default in (("run", "what the model was trained for."), ("chat", "4096."),
                             ("perplexity", "512."), ("eval", "what the model was trained for.")):
        text = " ".join(program.good(command, "--help").decode().split())
        context = text[text.index("--ctx N"):text.index("--kv-type T")].strip()
        assert "Default: " in context and context.endswith(default), (command, context)


def an_existing_output_is_replaced_only_by_force(program):
    golden.make_model(program.folder / "m.gguf")
    (program.folder / "out.gguf").write_bytes(b"precious")
    refused(program, "usage", "--force", "model", "quantize", "m.gguf", "out.gguf", "Q8_0")
    assert (program.folder / "out.gguf").read_bytes() == b"precious"
    refused(program, "usage", "--force", "train", "tokenizer", "m.gguf", "--vocab", "300", "-o",
            "out.gguf")
    program.good("model", "quantize", "m.gguf", "out.gguf", "Q8_0", "--force")
    formats = json.loads(program.good("model", "inspect", "out.gguf", "--json"))["formats"]
    assert set(formats) == {"F32", "Q8_0"}, formats


def an_output_that_cannot_be_written_is_said_before_the_work(program):
    golden.make_model(program.folder / "m.gguf")
    text = "low lower lowest " * 9
    (program.folder / "c.txt").write_text(text, encoding="utf-8")
    (program.folder / "e.jsonl").write_text("no row", encoding="utf-8")
    train = ["train", "tokenizer", "--vocab", "300", "--corpus", "c.txt", "absent.txt", "-o"]
    refused(program, "not found", "absent/t.json", *train, "absent/t.json")
    refused(program, "not found", "absent/f", "eval", "e.jsonl", "--model", "m.gguf", "--failures",
            "absent/f")
    refused(program, "not found", "absent/q", "model", "quantize", "absent.gguf", "absent/q", "F16")
    refused(program, "usage", "a file of the corpus", *train, "./c.txt", "--force")
    for path in ("e.jsonl", "./m.gguf"):
        refused(program, "usage", "read by this command", "eval", "e.jsonl", "--model", "m.gguf",
                "--force", "--failures", path)
    assert (program.folder / "c.txt").read_text(encoding="utf-8") == text
    assert sorted(os.listdir(program.folder)) == ["c.txt", "e.jsonl", "m.gguf"]


def inspect_counts_what_is_in_the_file(program):
    golden.make_model(program.folder / "m.gguf", n_embd=64, n_layers=2, n_ff=128)
    report = json.loads(program.good("model", "inspect", "m.gguf", "--json", "--tensors"))
    n_vocab = report["n_vocab"]
    n_layer = 64 * 64 * 2 + 64 * 32 * 2 + 3 * 64 * 128 + 2 * 64
    assert report["architecture"] == "llama" and report["chat_format"] == "ChatML"
    assert report["n_parameters"] == 2 * n_layer + 2 * 64 * n_vocab + 64
    assert report["weight_bytes"] == 4 * report["n_parameters"]
    assert report["weight_bytes_a_token"] == report["weight_bytes"] - 4 * 64 * n_vocab
    assert report["kv_bytes_a_token_f16"] == 2 * 2 * 2 * 16 * 2
    assert len(report["tensors"]) == report["n_tensors"] == 2 * 9 + 3
    text = program.good("model", "inspect", "m.gguf", "--tensors").decode()
    assert "begin -" not in text and "end -" not in text, text
    assert "blk.1.ffn_down.weight" in text and "chat format           ChatML" in text


def of_experts_a_token_reads_those_it_takes(program):
    program.synthesise("moe.gguf", "qwen3moe-tiny", "F32")
    report = json.loads(program.good("model", "inspect", "moe.gguf", "--json", "--tensors"))
    experts = 3 * 3 * 256 * 256  # of one expert in all layers
    assert (report["n_experts"], report["n_experts_used"], report["n_expert_ffn"]) == (8, 2, 256)
    assert report["n_parameters"] - report["n_parameters_a_token"] == 6 * experts
    assert report["weight_bytes"] - report["weight_bytes_a_token"] == 4 * 6 * experts
    shapes = {tensor["name"]: tensor["shape"] for tensor in report["tensors"]}
    assert shapes["blk.1.ffn_down_exps.weight"] == [256, 256, 8]
    text = program.good("model", "inspect", "moe.gguf").decode()
    assert "8 in a layer, of which a token takes 2" in text


def a_mixture_of_experts_is_one_model_in_every_form(program):
    program.synthesise("moe.gguf", "qwen3moe-tiny", "F32")
    program.synthesise("folder", "qwen3moe-tiny", "F32", "hf")
    program.good("model", "convert", "folder", "out.gguf", "--type", "Q4_K_M")
    program.good("model", "quantize", "moe.gguf", "small.gguf", "Q4_K_M")
    for pair in (("moe.gguf", "folder"), ("out.gguf", "small.gguf")):
        said = {program.good("run", "--model", model, "--prompt", "Tell me of experts.", "--json",
                             "--ignore-eos", "--max-tokens", 20, "--threads", threads)
                for threads in (1, 2) for model in pair}
        tokens = {tuple(json.loads(answer)["tokens"]) for answer in said}
        assert len(tokens) == 1, tokens


def special_tokens_in_a_text_are_text_unless_asked_for(program):
    golden.make_model(program.folder / "m.gguf")
    words = ["tokenize", "--model", "m.gguf", "--ids"]
    start = program.good(*words, "--special", "<|im_start|>").split()
    assert len(start) == 1
    assert start[0] not in program.good(*words, "a<|im_start|>b").split()
    assert start[0] in program.good(*words, "--special", "a<|im_start|>b").split()
    run = ["run", "--model", "m.gguf", "--max-tokens", 1, "--json", "--prompt", "a<|im_start|>b"]
    assert int(start[0]) not in json.loads(program.good(*run))["prompt_tokens"]
    assert int(start[0]) in json.loads(program.good(*run, "--special"))["prompt_tokens"]


def a_prompt_that_does_not_fit_is_a_limit(program):
    golden.make_model(program.folder / "m.gguf", n_ctx=64)
    words = ["run", "--model", "m.gguf", "--prompt"]
    refused(program, "limit", "it must have 1 to 64", *words, "x y z " * 40)
    refused(program, "limit", "(see --ctx)", *words, "x y z " * 4, "--ctx", "4")
    answer = json.loads(program.good(*words, "x", "--json", "--ctx", 10, "--ignore-eos"))
    assert answer["finish_reason"] == "length"
    assert len(answer["prompt_tokens"]) + len(answer["tokens"]) == 10


def output_that_nobody_can_take_is_an_error(program):
    golden.make_model(program.folder / "m.gguf")
    with open("/dev/full", "wb") as full:
        process = subprocess.run([program.path, "run", "--model", "m.gguf", "--prompt", "x"],
                                 cwd=program.folder, stdout=full, stderr=subprocess.PIPE,
                                 check=False)
    assert process.returncode == CODES["input/output"]
    assert b"standard output cannot be written" in process.stderr


def a_reader_that_has_seen_enough_ends_the_program_quietly(program):
    golden.make_model(program.folder / "m.gguf", n_ctx=100000)
    process = program.start("run", "--model", "m.gguf", "--prompt", "x", "--ignore-eos",
                            "--threads", 1,
                            "--max-tokens", 90000)
    process.stdout.read(10)
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=60) == -signal.SIGPIPE
    assert err == b"", err


def text_streams_and_never_breaks_a_character(program):
    """Random weights write random bytes: everything that arrives must be whole characters."""
    golden.make_model(program.folder / "m.gguf", n_ctx=4000)
    process = program.start("run", "--model", "m.gguf", "--prompt", "x", "--ignore-eos",
                            "--threads", 1,
                            "--temperature", 3, "--seed", 4, "--max-tokens", 3000)
    n_pieces, n_not_ascii = 0, 0
    while piece := os.read(process.stdout.fileno(), 65536):
        n_not_ascii += not piece.isascii()
        if len(piece) < 65536:  # a full pipe may be cut anywhere
            piece.decode("utf-8")
        n_pieces += 1
    assert process.wait(timeout=60) == 0
    assert n_pieces > 1 and n_not_ascii > 0


def progress_is_shown_on_a_terminal_and_nowhere_else(program):
    golden.make_model(program.folder / "m.gguf", n_embd=256, n_layers=4, n_ff=1024)
    (program.folder / "p.txt").write_text("x" * 300)
    words = ["run", "--model", "m.gguf", "--prompt-file", "p.txt", "--max-tokens", 1,
             "--ignore-eos", "--threads", 1, "--batch", 32]
    slow = {"TW_CPU": "ref", "TERM": "xterm"}
    quiet = program.good(*words, env=slow)
    here, there = pty.openpty()
    process = subprocess.Popen([program.path, *map(str, words)], cwd=program.folder, stderr=there,
                               stdout=subprocess.PIPE, env=dict(os.environ, **slow))
    os.close(there)
    out, _ = process.communicate(timeout=300)
    seen = os.read(here, 65536).decode()
    os.close(here)
    assert out == quiet and process.returncode == 0
    assert "reading the prompt" in seen and "%" in seen, seen
    assert seen.endswith("\r\x1b[K"), seen


def a_model_that_shrinks_while_it_is_read_is_a_sentence(program):
    golden.make_model(program.folder / "m.gguf", n_embd=1024, n_layers=2, n_ff=16384, sparse=True)
    process = program.start("model", "quantize", "m.gguf", "o.gguf", "Q8_0", "--threads", 1)
    deadline = time.monotonic() + 60
    while not any(f.name.startswith("o.gguf.partial") and f.stat().st_size > 0
                  for f in os.scandir(program.folder)):  # the model has been looked at
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.001)
    os.truncate(program.folder / "m.gguf", 65536)
    _, err = process.communicate(timeout=60)
    assert process.returncode == CODES["input/output"], err
    assert b"error: a file became shorter" in err, err
    assert not (program.folder / "o.gguf").exists()


def names_of_a_file_steer_no_terminal(program):
    path = golden.make_model(program.folder / "m.gguf")
    data = path.read_bytes()
    for old, new in ((b"blk.0.attn_norm.weight",
                      b"\x1b[2J\xc2\x9b31m\nblk\xe2\x80\xae\x7f\xff.xyz"),
                     (b"made for a test", b"\x1b]0;x\x07\xe2\x81\xa6\n\tyzzz")):
        assert len(old) == len(new) and data.count(old) == 1
        data = data.replace(old, new)
    path.write_bytes(data)
    for words in ([], ["--tensors"], ["--json", "--tensors"]):
        out = program.good("model", "inspect", "m.gguf", *words).decode()
        bad = [c for c in out if (ord(c) < 32 and c != "\n") or 127 <= ord(c) < 160
               or c in "\u202e\u2066"]
        assert not bad, bad
    lines = program.good("model", "inspect", "m.gguf", "--tensors").decode().splitlines()
    assert sum("blk" in line for line in lines) == 2 * 9, lines


def what_a_model_says_steers_no_terminal(program):
    """The biases leave it nothing to say but ESC, U+009B, U+202E and their bytes."""
    golden.make_model(program.folder / "m.gguf", n_ctx=4000)
    words = ["run", "--model", "m.gguf", "--prompt", "x", "--ignore-eos", "--threads", 1,
             "--temperature", 3, "--seed", 4, "--max-tokens", 3000]
    for byte in (0x1b, 0xc2, 0x9b, 0xe2, 0x80, 0xae):
        words += ["--logit-bias", f"{3 + byte}=100"]
    steering = ("\x1b", "\x9b", "\u202e")
    piped = program.good(*words).decode()
    assert all(c in piped for c in steering)
    here, there = pty.openpty()
    process = subprocess.Popen([program.path, *map(str, words)], cwd=program.folder, stdout=there,
                               stderr=subprocess.PIPE)
    os.close(there)
    seen = b""
    try:
        while piece := os.read(here, 65536):
            seen += piece
    except OSError:  # Linux: the other side is closed
        pass
    os.close(here)
    assert process.wait(timeout=60) == 0, process.stderr.read()
    seen = seen.decode()
    assert len(seen) > 1000 and not any(c in seen for c in steering), seen[:200]


def a_stopped_quantize_leaves_nothing(program):
    golden.make_model(program.folder / "m.gguf", n_embd=1024, n_layers=2, n_ff=16384, sparse=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        process = program.start("model", "quantize", "m.gguf", "o.gguf", "Q8_0", "--threads", 1)
        deadline = time.monotonic() + 60
        while not any(f.name.startswith("o.gguf.partial") and f.stat().st_size > 0
                  for f in os.scandir(program.folder)):  # the model has been looked at
            assert time.monotonic() < deadline and process.poll() is None
            time.sleep(0.001)
        process.send_signal(number)
        _, err = process.communicate(timeout=60)
        assert process.returncode == -number, (process.returncode, err)
        assert b"nothing is written" in err, err
        assert os.listdir(program.folder) == ["m.gguf"]


def catches(process, number):
    """Whether a program has come so far as to have a handler for a signal."""
    for line in open(f"/proc/{process.pid}/status", encoding="ascii"):
        if line.startswith("SigCgt:"):
            return int(line.split()[1], 16) >> number - 1 & 1
    return False


def whoever_stops_a_command_gets_one_line_and_the_signals_own_code(program):
    golden.make_model(program.folder / "m.gguf", n_ctx=2**20)
    (program.folder / "rows.jsonl").write_text(
        '{"task": "t", "messages": [{"role": "user", "content": "x"}], "expect": '
        '{"kind": "exact", "any": ["y"]}}\n', encoding="utf-8")
    run = ["run", "--model", "m.gguf", "--prompt", "x", "--ignore-eos", "--max-tokens", 10**6]
    ask = ["eval", "rows.jsonl", "--model", "m.gguf", "--max-tokens", 10**5]
    for words in (run, ask):
        for number, sentence in ((signal.SIGINT, b"stopped by Ctrl-C"),
                                 (signal.SIGTERM, b"ended by SIGTERM")):
            process = program.start(*words)
            while not catches(process, number):
                assert process.poll() is None
                time.sleep(0.001)
            if words is run:
                assert process.stdout.read(1)
            process.send_signal(number)
            _, err = process.communicate(timeout=60)
            assert err == b"tokenworks: error: " + sentence + b"\n", err
            assert process.returncode == -number, process.returncode  # 128 + number in a shell


def a_model_whose_rows_are_out_of_proportion_is_refused(program):
    """Weights of 25 MB ask for gigabytes of work space."""
    golden.make_model(program.folder / "m.gguf", n_embd=8, n_layers=1, n_ff=2**18, sparse=True)
    words = ["run", "--model", "m.gguf", "--prompt", "x", "--max-tokens", 1, "--ignore-eos"]
    refused(program, "limit", "out of proportion", *words)
    program.good(*words, "--batch", 16)


def an_answer_has_the_form_that_was_asked_for(program):
    program.synthesise("m.gguf")
    schema = {"type": "object", "properties": {"name": {"type": "string", "maxLength": 12},
                                               "size": {"enum": ["small", "large"]}},
              "required": ["name", "size"], "additionalProperties": False}
    (program.folder / "s.json").write_text(json.dumps(schema))
    words = ["run", "--model", "m.gguf", "--prompt", "x", "--temperature", 1, "--max-tokens", 100]
    for seed in range(5):
        value = json.loads(program.good(*words, "--seed", seed, "--json-schema", "s.json"))
        assert list(value) == ["name", "size"] and value["size"] in ("small", "large"), value
        assert len(value["name"]) <= 12, value
    out = program.good(*words, "--regex", "[ab]{3}-[0-9]{2}").decode()
    assert re.fullmatch(r"[ab]{3}-[0-9]{2}\n", out), out
    out = program.good("chat", "--model", "m.gguf", "--regex", "(yes|no)",
                       stdin=b"Well?\nReally?\n")
    assert set(out.split()) <= {b"yes", b"no"} and len(out.split()) == 2, out


def a_form_that_cannot_be_enforced_is_named(program):
    program.synthesise("m.gguf")
    words = ["run", "--model", "m.gguf", "--prompt", "x"]
    (program.folder / "s.json").write_text('{"properties": {"a": {"not": {}}}}')
    refused(program, "unsupported", "s.json: schema, #/properties/a/not", *words,
            "--json-schema", "s.json")
    refused(program, "unsupported", "--regex: pattern, byte 3: back references", *words,
            "--regex", "(a)\\1")
    refused(program, "usage", "exclude each other", *words, "--regex", "a", "--json-schema",
            "s.json")
    refused(program, "usage", "--ignore-eos", *words, "--regex", "a", "--ignore-eos")


if __name__ == "__main__":
    golden.main([
        every_command_explains_itself,
        each_help_has_the_context_of_its_own_command,
        mistakes_on_the_command_line_are_usage_errors,
        bad_files_are_named_and_nothing_is_written,
        an_existing_output_is_replaced_only_by_force,
        an_output_that_cannot_be_written_is_said_before_the_work,
        inspect_counts_what_is_in_the_file, of_experts_a_token_reads_those_it_takes,
        a_mixture_of_experts_is_one_model_in_every_form,
        special_tokens_in_a_text_are_text_unless_asked_for,
        a_prompt_that_does_not_fit_is_a_limit,
        output_that_nobody_can_take_is_an_error,
        a_reader_that_has_seen_enough_ends_the_program_quietly,
        text_streams_and_never_breaks_a_character,
        progress_is_shown_on_a_terminal_and_nowhere_else,
        a_model_that_shrinks_while_it_is_read_is_a_sentence,
        names_of_a_file_steer_no_terminal,
        what_a_model_says_steers_no_terminal,
        a_stopped_quantize_leaves_nothing,
        whoever_stops_a_command_gets_one_line_and_the_signals_own_code,
        a_model_whose_rows_are_out_of_proportion_is_refused,
        an_answer_has_the_form_that_was_asked_for,
        a_form_that_cannot_be_enforced_is_named,
    ])
