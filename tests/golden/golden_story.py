"""The text that a model must give, on every instruction set, however it is asked for."""
import json
import re
import signal
import urllib.request

import golden

STORY = (", there was a little girl named Lily. She loved to play outside in the park. "
         "One day, she saw a big, red ball. She wanted to play with it, but it was too high.")
PROMPTS = ["Once upon a time", "The dog", "Lily", "One day, a boy", "In the park there was",
           "A big",
           "Tom and his mom", "She said", "Once", "The sun was", "He wanted to go", "It was",
           "A cat sat on the mat and looked at the bird. The bird", "Why", "My friend is",
           "There was a boy. " * 20]


def run_json(program, *words, **more):
    """The objects of a run, without what differs from run to run."""
    answers = [json.loads(line) for line in
               program.good("run", "--json", *words, **more).splitlines()]
    for answer in answers:
        del answer["timings"], answer["index"]
    return answers


def prompt_words(prompts):
    return [word for prompt in prompts for word in ("--prompt", prompt)]


def the_story_is_the_same_on_every_instruction_set_with_one_and_two_threads(program):
    model = golden.story_model()
    texts = set()
    for level in program.levels():
        for threads in (1, 2):
            out = program.good("run", "--model", model, "--prompt", "Once upon a time",
                               "--max-tokens", 200, "--temperature", 0, "--threads", threads,
                               env={"TW_CPU": level})
            assert out.decode().startswith(STORY), out[:200]
            texts.add(out)
    assert len(texts) == 1, texts


def each_of_sixteen_prompts_is_answered_as_if_it_were_alone(program):
    model = golden.story_model()
    for level in program.levels():
        for sampling in (["--temperature", 0], ["--temperature", 0.8, "--top-p", 0.95]):
            words = ["--model", model, "--max-tokens", 60, "--seed", 7, "--logprobs", 2,
                     *sampling]
            env = {"TW_CPU": level}
            batch = run_json(program, *words, *prompt_words(PROMPTS), "--threads", 2, env=env)
            alone = [run_json(program, *words, "--prompt", prompt, "--threads", 1, env=env)[0]
                     for prompt in PROMPTS]
            assert batch == alone


def the_size_of_a_pass_changes_nothing(program):
    model = golden.story_model()
    words = ["--model", model, "--max-tokens", 40, "--logprobs", 1, "--threads", 1,
             *prompt_words([*PROMPTS[:4], PROMPTS[-1]]), "--temperature", 0.7, "--seed", 3]
    whole = run_json(program, *words)
    for batch in (5, 7, 16, 33, 64, 65, 100):
        assert run_json(program, *words, "--batch", batch) == whole, batch


def plain_text_and_json_say_the_same(program):
    model = golden.story_model()
    words = ["run", "--model", model, "--max-tokens", 30]
    plain = program.good(*words, "--prompt", "Once upon a time").decode()
    answer = json.loads(program.good(*words, "--prompt", "Once upon a time", "--json"))
    assert plain == answer["text"] + "\n"
    assert answer["finish_reason"] == "length"
    assert len(answer["tokens"]) == 30
    ids = program.good("tokenize", "--model", model, "--ids", "--bos", "Once upon a time")
    assert [int(i) for i in ids.split()] == answer["prompt_tokens"]


def prompts_come_from_options_files_and_standard_input(program):
    model = golden.story_model()
    (program.folder / "p.txt").write_text("Once upon a time")
    words = ["run", "--model", model, "--max-tokens", 12]
    expected = program.good(*words, "--prompt", "Once upon a time")
    assert program.good(*words, "--prompt-file", "p.txt") == expected
    assert program.good(*words, "-", stdin=b"Once upon a time") == expected
    assert program.good(*words, "--prompt", "-", stdin=b"Once upon a time") == expected
    both = program.good(*words, "--prompt", "The dog", "--prompt-file", "p.txt").decode()
    assert both.startswith("==> prompt 1 <==\n") and "\n==> prompt 2 <==\n" in both
    assert both.endswith(expected.decode())


def seeds_repeat_an_answer_and_vary_it(program):
    model = golden.story_model()
    words = ["--model", model, "--prompt", "One day", "--max-tokens", 40, "--temperature", 1]
    first = run_json(program, *words, "--seed", 1)
    assert run_json(program, *words, "--seed", 1) == first
    assert run_json(program, *words, "--seed", 2) != first
    drawn = run_json(program, *words)
    assert run_json(program, *words, "--seed", drawn[0]["seed"]) == drawn


def a_stop_string_and_the_token_bound_end_an_answer(program):
    model = golden.story_model()
    words = ["--model", model, "--prompt", "Once upon a time"]
    answer = run_json(program, *words, "--stop", "Lily", "--stop", "zzz")[0]
    assert answer["text"] == ", there was a little girl named "
    assert answer["finish_reason"] == "stop"
    answer = run_json(program, *words, "--max-tokens", 3)[0]
    assert answer["finish_reason"] == "length" and len(answer["tokens"]) == 3
    answer = run_json(program, *words, "--logit-bias", "2=1000")[0]
    assert answer["finish_reason"] == "stop" and answer["tokens"] == [2] and answer["text"] == ""
    answer = run_json(program, *words, "--logit-bias", "2=1000", "--ignore-eos",
                      "--max-tokens", 4)[0]
    assert answer["finish_reason"] == "length" and answer["tokens"] == [2] * 4


def the_quantised_cache_tells_the_same_story(program):
    model = golden.story_model()
    out = program.good("run", "--model", model, "--prompt", "Once upon a time", "--max-tokens", 40,
                       "--kv-type", "q8_0").decode()
    assert out.startswith(STORY[:60]), out


def perplexity_is_that_of_the_logprobs_of_run(program):
    """Teacher-forced scores against the log-probabilities that generation reports."""
    model = golden.story_model()
    answer = run_json(program, "--model", model, "--prompt", "Once upon a time",
                      "--max-tokens", 200, "--logprobs", 0)[0]
    (program.folder / "t.txt").write_text("Once upon a time" + answer["text"])
    n = len(answer["prompt_tokens"]) + 200
    ids = program.good("tokenize", "--model", model, "--ids", "--bos", "-",
                       stdin=(program.folder / "t.txt").read_bytes())
    if [int(i) for i in ids.split()] != answer["prompt_tokens"] + answer["tokens"]:
        raise golden.Skip("the text does not tokenise as it was generated")
    result = json.loads(program.good("perplexity", "--model", model, "--file", "t.txt", "--ctx", n,
                                     "--json"))
    scored = [entry["logprob"] for entry in answer["logprobs"]][-result["n_counted"]:]
    assert result["n_windows"] == 1 and result["n_counted"] == n - 1 - n // 2
    assert abs(result["mean_logprob"] - sum(scored) / len(scored)) < 1e-6


AGAIN = "the cat sat on the mat and " * 6


def accepted_drafts(program, *words):
    """What a server counts while it answers the same prompt."""
    process = program.start("serve", "--port", 0, *words)
    try:
        log = b""
        while b"listening" not in log:
            line = process.stderr.readline()
            assert line, log
            log += line
        url = re.search(rb'"url":"([^"]*)"', log)[1].decode()
        body = {"prompt": AGAIN, "max_tokens": 200, "ignore_eos": True, "seed": 1, "temperature": 0}
        asked = urllib.request.Request(url + "/v1/completions", json.dumps(body).encode(),
                                       {"Content-Type": "application/json"})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        opener.open(asked, timeout=60).close()
        metrics = opener.open(url + "/metrics", timeout=60).read().decode()
        return sum(float(n) for n in re.findall(
            r"(?m)^tokenworks_spec_decode_num_accepted_tokens_total\S* (\S+)$", metrics))
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=60)


def guessing_changes_no_byte_of_an_answer(program):
    """Of models made here, which fall into circles that can be guessed."""
    for preset in ("tiny", "qwen3moe-tiny"):
        program.synthesise("m.gguf", preset)
        for level in program.levels():
            for sampling in (["--temperature", 0], ["--temperature", 0.8]):
                words = ["--model", "m.gguf", "--prompt", AGAIN, "--ignore-eos", "--max-tokens",
                         200, "--logprobs", 2, "--seed", 1, *sampling]
                env = {"TW_CPU": level}
                guessed = run_json(program, *words, env=env)
                assert guessed == run_json(program, *words, "--no-speculation", env=env)
                assert len(guessed[0]["tokens"]) == 200
        assert accepted_drafts(program, "--model", "m.gguf") > 20
        assert accepted_drafts(program, "--model", "m.gguf", "--no-speculation") == 0


if __name__ == "__main__":
    golden.main([
        the_story_is_the_same_on_every_instruction_set_with_one_and_two_threads,
        each_of_sixteen_prompts_is_answered_as_if_it_were_alone,
        the_size_of_a_pass_changes_nothing,
        guessing_changes_no_byte_of_an_answer,
        plain_text_and_json_say_the_same,
        prompts_come_from_options_files_and_standard_input,
        seeds_repeat_an_answer_and_vary_it,
        a_stop_string_and_the_token_bound_end_an_answer,
        the_quantised_cache_tells_the_same_story,
        perplexity_is_that_of_the_logprobs_of_run,
    ])
