"""Packed weights in a file: the second start maps what the first one packed, and says the same."""
import json
import os
import re
import signal
import subprocess
import time

import golden
from golden_commands import refused

PROMPT = ("--prompt", "hello", "--max-tokens", 12, "--json", "--temperature", 0, "--seed", 1)
PACK = "m.gguf.twpack"


def answer(program, *words, model="m.gguf"):
    """What a run says, without what differs from run to run."""
    result = json.loads(program.good("run", "--model", model, *PROMPT, *words))
    del result["timings"]
    return result


def packed(program, *words, model="m.gguf"):
    """The file that a start would map, or None."""
    return json.loads(program.good("model", "inspect", model, "--json", *words))["packed_weights"]


def the_second_start_maps_what_the_first_one_packed(program):
    program.synthesise("m.gguf")
    without = answer(program, "--no-pack")
    assert os.listdir(program.folder) == ["m.gguf"] and packed(program) is None
    assert "packed weights        none yet" in program.good("model", "inspect", "m.gguf").decode()
    assert answer(program) == without
    first = (program.folder / PACK).stat()
    assert packed(program) == PACK
    assert answer(program) == without
    assert (program.folder / PACK).stat() == first or \
        (program.folder / PACK).stat().st_ino == first.st_ino
    assert sorted(os.listdir(program.folder)) == ["m.gguf", PACK]


def one_file_serves_every_instruction_set(program):
    program.synthesise("m.gguf")
    inodes, answers = set(), []
    for level in program.levels():
        result = program.good("run", "--model", "m.gguf", *PROMPT, env={"TW_CPU": level})
        answers.append(json.loads(result)["tokens"])
        inodes.add((program.folder / PACK).stat().st_ino)
    assert len(inodes) == 1 and all(tokens == answers[0] for tokens in answers)


def a_model_that_is_replaced_is_packed_anew(program):
    program.synthesise("m.gguf")
    before = answer(program)
    subprocess.run([program.synth_model, "--preset", "tiny", "--type", "F16", "--seed", "7", "-o",
                    "other.gguf"], cwd=program.folder, check=True, stdout=subprocess.DEVNULL)
    new = (program.folder / "other.gguf").read_bytes()
    old = (program.folder / "m.gguf").stat()
    assert len(new) == old.st_size
    (program.folder / "m.gguf").write_bytes(new)  # in its place, of the same size and time
    os.utime(program.folder / "m.gguf", ns=(old.st_atime_ns, old.st_mtime_ns))
    assert "none that fit: " in program.good("model", "inspect", "m.gguf").decode()
    after = answer(program)
    assert after == answer(program, "--no-pack") and after != before
    assert packed(program) == PACK


def verify_finds_a_flipped_bit_and_another_model(program):
    program.synthesise("m.gguf")
    code, _, err = program.run("model", "verify", "m.gguf")
    assert code != 0 and b"no file of packed weights" in err
    assert b"bytes of packed weights were written" in program.good("model", "pack", "m.gguf")
    assert b"were there already" in program.good("model", "pack", "m.gguf")
    assert b"are what the model gives" in program.good("model", "verify", "m.gguf")
    path = program.folder / PACK
    whole = path.read_bytes()
    for at in (0, 20, 5000, len(whole) // 2, len(whole) - 1):
        damaged = bytearray(whole)
        damaged[at] ^= 1
        path.write_bytes(damaged)
        code, _, err = program.run("model", "verify", "m.gguf")
        assert code != 0 and err.startswith(b"tokenworks: error: "), at
    path.write_bytes(whole[:-1])
    assert answer(program) == answer(program, "--no-pack")  # written anew
    program.good("model", "verify", "m.gguf")


def a_folder_can_be_named_and_one_that_cannot_be_written_costs_one_line(program):
    program.synthesise("m.gguf")
    (program.folder / "file").write_text("no folder")
    without = answer(program, "--no-pack")
    assert answer(program, "--pack-dir", "packs/here") == without
    assert packed(program) is None
    assert re.fullmatch(r"packs/here/m\.gguf-[0-9a-f]{16}\.twpack",
                        packed(program, "--pack-dir", "packs/here"))
    code, out, err = program.run("run", "--model", "m.gguf", *PROMPT, "--pack-dir", "file/x")
    assert code == 0 and json.loads(out)["tokens"] == without["tokens"]
    assert re.fullmatch(rb"tokenworks: packed weights are not kept: .*file.*\n", err), err
    code, _, err = program.run("model", "pack", "m.gguf", "--pack-dir", "file/x")
    assert code != 0 and b"packed weights cannot be kept" in err
    (program.folder / PACK).mkdir()  # nothing can be written there: the cache folder is next
    assert answer(program) == without
    assert packed(program).startswith(str(program.folder / "cache" / "tokenworks" / "m.gguf-"))


def an_empty_name_of_a_folder_is_refused(program):
    program.synthesise("m.gguf")
    sentence = "--pack-dir: it must name a folder"
    (program.folder / "s.yaml").write_text('pack-dir: ""\nmodels:\n  - path: m.gguf\n')
    for words in (("run", "--model", "m.gguf", *PROMPT), ("model", "pack", "m.gguf"),
                  ("model", "verify", "m.gguf"), ("model", "inspect", "m.gguf"),
                  ("bench", "engine", "--model", "m.gguf")):
        refused(program, "usage", sentence, *words, "--pack-dir", "")
    code, _, err = program.run("serve", "--port", 0, "--model", "m.gguf", "--pack-dir", "")
    assert code == 2 and sentence.encode() in err, err
    code, _, err = program.run("serve", "--port", 0, "--config", "s.yaml")
    assert code != 0 and b"pack-dir" in err, err


def a_pack_that_replaces_one_says_why(program):
    program.synthesise("m.gguf")
    program.good("model", "pack", "m.gguf")
    path = program.folder / PACK
    path.write_bytes(path.read_bytes()[:-1])
    out = program.good("model", "pack", "m.gguf").decode()
    assert re.search(r"packed weights were written \(before: .*m\.gguf\.twpack.*\)\n$", out), out
    assert "before" not in program.good("model", "pack", "m.gguf").decode()


def a_killed_pack_leaves_nothing_that_looks_whole(program):
    subprocess.run([program.synth_model, "--preset", "llama2-tiny", "-o", "m.gguf"],
                   cwd=program.folder, check=True, stdout=subprocess.DEVNULL)
    for delay in (0.002, 0.01, 0.03, 0.06, 0.1, 0.15):
        process = program.start("model", "pack", "m.gguf")
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if (program.folder / PACK).exists():
            program.good("model", "verify", "m.gguf")
            (program.folder / PACK).unlink()
        else:
            assert packed(program) is None
    program.good("model", "pack", "m.gguf")
    assert sorted(os.listdir(program.folder)) == ["m.gguf", PACK]


def starts_of_a_server(program, *words):
    """What the log of a server that is loaded and stopped says of packed weights."""
    process = program.start("serve", "--port", 0, "--ctx", 64, *words)
    log = b""
    while b"listening" not in log:
        line = process.stderr.readline()
        assert line, log
        log += line
    process.send_signal(signal.SIGTERM)
    log += process.communicate(timeout=60)[1]
    records = [json.loads(line) for line in log.decode().splitlines()]
    return [record for record in records if "packed weights" in record["message"]]


def a_server_says_what_it_packed_and_mapped_and_where(program):
    program.synthesise("m.gguf")
    (program.folder / "s.yaml").write_text("pack-dir: packs\nmodels:\n  - path: m.gguf\n")
    for words, place in ((("--model", "m.gguf"), PACK), (("--config", "s.yaml"), "packs/m.gguf-")):
        first, = starts_of_a_server(program, *words)
        second, = starts_of_a_server(program, *words)
        assert first["message"] == "packed weights were written", first
        assert second["message"] == "packed weights were mapped", second
        assert first["file"] == second["file"] and first["file"].startswith(place)
        assert first["bytes"] == second["bytes"] > 0 and second["model"] == "m"
    assert starts_of_a_server(program, "--model", "m.gguf", "--no-pack") == []
    (program.folder / "file").write_text("no folder")
    record, = starts_of_a_server(program, "--model", "m.gguf", "--pack-dir", "file/x")
    assert record["level"] == "warn" and "file" in record["reason"]


if __name__ == "__main__":
    golden.main([
        the_second_start_maps_what_the_first_one_packed,
        one_file_serves_every_instruction_set,
        a_model_that_is_replaced_is_packed_anew,
        verify_finds_a_flipped_bit_and_another_model,
        a_folder_can_be_named_and_one_that_cannot_be_written_costs_one_line,
        an_empty_name_of_a_folder_is_refused,
        a_pack_that_replaces_one_says_why,
        a_killed_pack_leaves_nothing_that_looks_whole,
        a_server_says_what_it_packed_and_mapped_and_where,
    ])
