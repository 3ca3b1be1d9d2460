"""Embeddings and scored prompts, as they are on the wire.

    check_embeddings.py TOKENWORKS DATA SYNTH_MODEL

The demo model is in DATA; SYNTH_MODEL makes models with other poolings.
"""
import base64
import http.client
import json
import math
import struct
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from server import Server, becomes, run_cases  # noqa: E402

TEXTS = ["What is tokenworks?", "hello", "The ledger holds what was used. " * 12, "a", "Norbury 17",
         "explain the KV cache", "3 km in m", "one two three " * 40]


def embed(server, texts, **more):
    return server.post("/v1/embeddings", {"input": texts, **more})


def vectors(answer):
    assert answer.status == 200, answer.body
    assert [row["index"] for row in answer.json["data"]] == list(range(len(answer.json["data"])))
    return [row["embedding"] for row in answer.json["data"]]


def length(vector):
    return math.sqrt(sum(x * x for x in vector))


def cosine(a, b):
    return sum(x * y for x, y in zip(a, b)) / length(a) / length(b)


def ids_of(server, text):
    return server.post("/tokenize", {"prompt": text}).json["tokens"]


def complete(server, prompt, **more):
    return server.post("/v1/completions", {"prompt": prompt, "temperature": 0, **more})


# ---- embeddings ----

def an_embedding_has_all_that_the_specification_requires(server):
    answer = embed(server, "What is tokenworks?", model="demo", user="me")
    assert answer.headers["content-type"] == "application/json"
    body = answer.json
    assert body["object"] == "list" and body["model"] == "demo"
    row, = body["data"]
    assert row["object"] == "embedding" and row["index"] == 0
    n = len(ids_of(server, "What is tokenworks?"))
    assert body["usage"] == {"prompt_tokens": n, "total_tokens": n}
    assert abs(length(row["embedding"]) - 1) < 1e-6 and len(row["embedding"]) > 16
    assert "x-unknown-parameters" not in answer.headers


def texts_and_ids_alone_and_together_give_the_same_numbers(server):
    alone = [vectors(embed(server, text))[0] for text in TEXTS]
    assert len({tuple(vector) for vector in alone}) == len(TEXTS)
    assert vectors(embed(server, TEXTS)) == alone
    ids = [ids_of(server, text) for text in TEXTS]
    assert vectors(embed(server, ids[0])) == alone[:1]
    assert vectors(embed(server, ids)) == alone
    assert vectors(embed(server, [TEXTS[0], ids[1]])) == alone[:2]


def base64_is_the_same_floats(server):
    plain = vectors(embed(server, TEXTS, encoding_format="float"))
    for vector, text in zip(plain, vectors(embed(server, TEXTS, encoding_format="base64"))):
        data = base64.b64decode(text, validate=True)
        assert struct.pack(f"<{len(vector)}f", *vector) == data


def fewer_dimensions_are_the_first_ones_made_as_long(server):
    whole = vectors(embed(server, TEXTS))
    for n in (1, 7, len(whole[0])):
        for vector, full in zip(vectors(embed(server, TEXTS, dimensions=n)), whole):
            assert len(vector) == n and abs(length(vector) - 1) < 1e-6
            assert cosine(vector, full[:n]) > 1 - 1e-6


def many_inputs_come_back_in_their_order(server):
    few = vectors(embed(server, TEXTS, dimensions=16))
    many = vectors(embed(server, TEXTS * 50, dimensions=16))
    assert many == few * 50


def numbers_do_not_depend_on_what_else_runs(server):
    alone = vectors(embed(server, TEXTS))
    said = server.chat("What is tokenworks?", max_tokens=60).json["choices"][0]["message"]
    wrong = []

    def run(i):
        if i % 2 == 0 and vectors(embed(server, TEXTS)) != alone:
            wrong.append("an embedding differs")
        if i % 2 == 1 and server.chat("What is tokenworks?", max_tokens=60).json["choices"][0][
                "message"] != said:
            wrong.append("an answer differs")
    threads = [threading.Thread(target=run, args=(i,)) for i in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong, wrong


BAD = [({}, "input"), ({"input": None}, "input"), ({"input": 5}, "input"), ({"input": []}, "input"),
       ({"input": ""}, "input"), ({"input": ["a", ""]}, "input"), ({"input": [[]]}, "input"),
       ({"input": {"a": 1}}, "input"), ({"input": [1, "a"]}, "input"),
       ({"input": [-1]}, "input"), ({"input": [99999999]}, "input"),
       ({"input": ["a"] * 2049}, "input"), ({"input": [[5] * 2000] * 151}, "input"),
       ({"input": "a", "encoding_format": "hex"}, "encoding_format"),
       ({"input": "a", "encoding_format": 1}, "encoding_format"),
       ({"input": "a", "dimensions": 0}, "dimensions"),
       ({"input": "a", "dimensions": 100000}, "dimensions"),
       ({"input": "a", "dimensions": "8"}, "dimensions"),
       ({"input": "a", "priority": "high"}, "priority"), ({"input": "a", "model": 1}, "model"),
       ({"input": "a", "truncate_prompt_tokens": 5}, "truncate_prompt_tokens"),
       ({"input": "a", "normalize": False}, "normalize")]


def what_is_off_is_refused_with_its_name(server):
    for body, param in BAD:
        answer = server.post("/v1/embeddings", body)
        assert answer.status == 400, f"{str(body)[:80]}: {answer.status} {answer.body[:200]}"
        assert answer.error["param"] == param, f"{str(body)[:80]}: {answer.error}"
    assert embed(server, "a", model="nothing").error["code"] == "model_not_found"
    assert server.get("/v1/embeddings").status == 405
    unknown = embed(server, "a", nonsense=1, normalize=True, user="me", dimensions=None,
                    encoding_format=None)
    assert unknown.status == 200 and "nonsense" in unknown.headers["x-unknown-parameters"]


def a_text_that_is_too_long_says_both_numbers(server):
    assert embed(server, [[5] * 2048]).status == 200
    error = embed(server, ["a", [5] * 2049]).error
    assert error["code"] == "context_length_exceeded" and error["param"] == "input"
    assert "2049" in error["message"] and "2048" in error["message"]


def a_client_that_leaves_frees_its_pages(server):
    before = server.metric("prompt_tokens_total")
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    connection.request("POST", "/v1/embeddings", json.dumps(
        {"input": [[n] + [5] * 1490 for n in range(200)]}))  # none begins like another
    assert becomes(lambda: server.metric("kv_cache_pages_used") > 0)
    connection.sock.close()
    assert becomes(lambda: server.metric("kv_cache_pages_used") == 0 and
                   server.metric("num_requests_waiting") == 0)
    assert server.metric("prompt_tokens_total") - before < 150 * 1491  # of 200
    assert embed(server, "a").status == 200


# ---- scored prompts ----

def a_prompt_is_scored_in_front_of_its_answer(server):
    text = "What is it? tokenworks is"
    ids = ids_of(server, text)
    ask = {"max_tokens": 5, "logprobs": 3}
    answer = complete(server, text, echo=True, **ask).json
    choice, = answer["choices"]
    rows = choice["logprobs"]
    plain = complete(server, text, **ask).json["choices"][0]
    assert choice["text"] == text + plain["text"]
    assert answer["usage"]["prompt_tokens"] == len(ids)
    assert answer["usage"]["completion_tokens"] == 5
    assert all(len(rows[name]) == len(ids) + 5 for name in rows), rows
    assert rows["token_logprobs"][0] is None and rows["top_logprobs"][0] is None
    assert all(x <= 0 for x in rows["token_logprobs"][1:])
    assert all(len(best) == 3 for best in rows["top_logprobs"][1:])
    assert "".join(rows["tokens"]) == choice["text"]
    for token, offset in zip(rows["tokens"], rows["text_offset"]):
        assert choice["text"][offset:offset + len(token)] == token
    for name in ("tokens", "token_logprobs", "top_logprobs"):
        assert rows[name][len(ids):] == plain["logprobs"][name]
    by_ids = complete(server, ids, echo=True, **ask).json["choices"][0]
    assert by_ids["text"] == choice["text"] and by_ids["logprobs"] == rows


def offsets_count_characters(server):
    text = "Übergröße: 5 € – naïve 猫 <|im_end|>"
    rows = complete(server, text, max_tokens=0, echo=True, logprobs=0).json["choices"][0]
    assert rows["text"] == text
    offsets = rows["logprobs"]["text_offset"]
    assert offsets[0] == 0 and offsets == sorted(offsets) and offsets[-1] < len(text)
    assert rows["logprobs"]["top_logprobs"] == [None] * len(offsets)
    assert offsets[rows["logprobs"]["tokens"].index(":")] == text.index(":")


def no_answer_is_given_where_none_is_wanted(server):
    for more in ({"echo": True}, {"echo": True, "logprobs": 1}, {}):
        answer = complete(server, ["hello there", "a"], max_tokens=0, **more).json
        assert [c["text"] for c in answer["choices"]] == (["hello there", "a"] if more
                                                          else ["", ""])
        assert all(c["finish_reason"] == "length" for c in answer["choices"])
        assert answer["usage"]["completion_tokens"] == 0
    refused = server.chat("hello", max_tokens=0)
    assert refused.status == 400 and refused.error["param"] == "max_tokens"
    assert complete(server, [5] * 2048, max_tokens=0, echo=True, logprobs=1).status == 200
    too_long = complete(server, [5] * 2048, max_tokens=1, echo=True, logprobs=1)
    assert too_long.error["code"] == "context_length_exceeded"


def a_stream_begins_with_the_scored_prompt(server):
    text = "What does the ledger hold? " * 40  # more than one step reads
    for n in (0, 4):
        ask = {"max_tokens": n, "echo": True, "logprobs": 1, "ignore_eos": True}
        whole = complete(server, text, **ask).json["choices"][0]
        events = complete(server, text, stream=True, **ask).events
        choices = [event["choices"][0] for event in events]
        assert "".join(choice["text"] for choice in choices) == whole["text"]
        assert choices[0]["text"].startswith(text)
        assert len(choices[0]["logprobs"]["tokens"]) >= len(ids_of(server, text)) > 256
        assert choices[-1]["finish_reason"] == whole["finish_reason"] == "length"
        for name in whole["logprobs"]:
            assert [item for choice in choices if choice["logprobs"]
                    for item in choice["logprobs"][name]] == whole["logprobs"][name]


def what_is_cached_is_scored_all_the_same(server):
    text = "The same beginning, which was read before. " * 20
    complete(server, text, max_tokens=1)
    first = complete(server, text + "One end", max_tokens=1, echo=True, logprobs=2).json
    again = complete(server, text + "One end", max_tokens=1, echo=True, logprobs=2).json
    assert first["choices"] == again["choices"]
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
    for n in (0, 1):
        used = complete(server, text + "One end", max_tokens=n).json["usage"]
        assert used["prompt_tokens_details"]["cached_tokens"] > 100, used


def likelihood(choice, n_context):
    """What an evaluation harness makes of a choice with one generated token at its end."""
    rows = choice["logprobs"]
    scored = rows["token_logprobs"][n_context:-1]
    greedy = all(token == max(best, key=best.get)
                 for token, best in zip(rows["tokens"][n_context:-1],
                                        rows["top_logprobs"][n_context:-1]))
    return sum(scored), greedy, len(scored)


def a_harness_can_compare_continuations(server):
    """Also where the token behind the continuation ends the answer."""
    template = server.post("/tokenize", {"messages": [
        {"role": "user", "content": "What is tokenworks?"}]}).json["tokens"]
    said = server.chat("What is tokenworks?").json["choices"][0]["message"]["content"]
    good, bad = ids_of(server, said), ids_of(server, "It is a kind of cheese from Norbury.")
    answer = complete(server, [template + good, template + bad], max_tokens=1, echo=True,
                      logprobs=1, seed=1234).json
    scores = [likelihood(choice, len(template)) for choice in answer["choices"]]
    assert [n for _, _, n in scores] == [len(good), len(bad)], scores
    assert scores[0][1] and not scores[1][1]
    assert scores[0][0] > scores[1][0] + 5
    rows = answer["choices"][0]["logprobs"]
    for token, offset in zip(rows["tokens"], rows["text_offset"]):
        shown = answer["choices"][0]["text"][offset:offset + len(token)]
        assert token == shown or token.startswith("<|im_"), (token, shown)  # has no text


def the_scores_are_those_of_perplexity(server, program, model):
    """Of one window, whose second half the command counts."""
    text = "tokenworks is one native program. The ledger holds what was used, and by whom. " * 5
    rows = complete(server, text, max_tokens=0, echo=True, logprobs=0).json["choices"][0]
    scores = rows["logprobs"]["token_logprobs"][1:]
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(text)
        file.flush()
        run = subprocess.run([program, "perplexity", "--model", model, "--file", file.name, "--ctx",
                              str(len(scores) + 1), "--json"], capture_output=True, text=True,
                             check=True)
    said = json.loads(run.stdout)
    counted = scores[-said["n_counted"]:]
    counted = struct.unpack(f"<{len(counted)}f", struct.pack(f"<{len(counted)}f", *counted))
    assert said["n_windows"] == 1 and len(counted) > 20, said
    assert abs(said["mean_logprob"] - sum(counted) / len(counted)) < 1e-9, said


def prompts_are_scored_alike_among_others(server):
    texts = [f"{i}: {text}" for i, text in enumerate(TEXTS)]
    alone = [complete(server, text, max_tokens=1, echo=True, logprobs=2).json["choices"][0]
             for text in texts]
    got = [None] * len(texts)

    def run(i):
        got[i] = complete(server, texts[i], max_tokens=1, echo=True, logprobs=2).json["choices"][0]
    threads = [threading.Thread(target=run, args=(i,)) for i in range(len(texts))]
    for thread in threads:
        thread.start()
    together = complete(server, texts, max_tokens=1, echo=True, logprobs=2).json["choices"]
    for thread in threads:
        thread.join()
    assert got == alone
    assert [{**choice, "index": 0} for choice in together] == alone


def many_vectors_do_not_hold_up_a_stream(server):
    """Gaps between the events of an answer while 2,048 embeddings are made and written."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=120)
    body = {"prompt": "hello", "stream": True, "max_tokens": 2000, "ignore_eos": True}
    connection.request("POST", "/v1/completions", json.dumps(body))
    response = connection.getresponse()
    gaps, answers = [0], []
    asking = threading.Thread(target=lambda: answers.append(embed(server, ["a b c"] * 2048)))
    asking.start()
    last = time.monotonic()
    while asking.is_alive() and response.readline():
        now = time.monotonic()
        gaps.append(now - last)
        last = now
    asking.join()
    connection.close()
    assert len(vectors(answers[0])) == 2048
    print(f"# the longest of {len(gaps)} gaps took {1000 * max(gaps):.0f} ms")
    assert max(gaps) < 1.2


CASES = (many_vectors_do_not_hold_up_a_stream,
         an_embedding_has_all_that_the_specification_requires,
         texts_and_ids_alone_and_together_give_the_same_numbers, base64_is_the_same_floats,
         fewer_dimensions_are_the_first_ones_made_as_long, many_inputs_come_back_in_their_order,
         numbers_do_not_depend_on_what_else_runs, what_is_off_is_refused_with_its_name,
         a_text_that_is_too_long_says_both_numbers, a_client_that_leaves_frees_its_pages,
         a_prompt_is_scored_in_front_of_its_answer, offsets_count_characters,
         no_answer_is_given_where_none_is_wanted, a_stream_begins_with_the_scored_prompt,
         what_is_cached_is_scored_all_the_same, a_harness_can_compare_continuations,
         prompts_are_scored_alike_among_others)


# ---- models of other kinds ----

def make_folder(synth_model, parent, name, pooling):
    """A synthetic model as sentence-transformers keeps one."""
    folder = Path(parent, name)
    subprocess.run([synth_model, "--preset", "qwen3-tiny", "--format", "hf", "-o", folder],
                   check=True)
    if pooling is not None:
        (folder / "1_Pooling").mkdir()
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling), encoding="ascii")
    return folder


def without(vector, direction):
    part = sum(x * y for x, y in zip(vector, direction))
    return [x - part * y for x, y in zip(vector, direction)]


def lies_between(vector, a, b):
    """All of length 1."""
    rest = without(b, a)
    across = [x / length(rest) for x in rest]
    part = sum(x * y for x, y in zip(vector, across))
    return part > 0 and length(without(without(vector, a), across)) < 1e-4


def the_models_files_say_how_embeddings_are_made(program, synth_model):
    texts = [[5, 6, 7, 8], [9], [5, 6, 7] * 50]
    with tempfile.TemporaryDirectory() as parent:
        poolings = {"silent": None, "last": {"pooling_mode_lasttoken": True},
                    "mean": {"pooling_mode_mean_tokens": True},
                    "first": {"pooling_mode_cls_token": True},
                    "largest": {"pooling_mode_max_tokens": True}}
        words = []
        for name, pooling in poolings.items():
            words += ["--model", f"{name}={make_folder(synth_model, parent, name, pooling)}"]
        with Server(program, *words, "--kv-bytes", len(poolings) * (2 << 20),
                    "--max-seqs", 4) as server:
            refused = embed(server, texts, model="largest")
            assert refused.status == 400 and refused.error["param"] == "model"
            by = {name: vectors(embed(server, texts, model=name)) for name in list(poolings)[:-1]}
            assert by["silent"] == by["last"]
            assert by["first"][0] == vectors(embed(server, [5], model="last"))[0]
            assert by["mean"][1] == by["last"][1] == by["first"][1]  # of one token there is one
            # The mean of a text lies between the mean of all but its last token and that one's own.
            beginnings = [texts[2][:n] for n in range(1, len(texts[2]) + 1)]
            lasts = vectors(embed(server, beginnings, model="last"))
            means = vectors(embed(server, beginnings, model="mean"))
            for before, last, mean in zip(means, lasts[1:], means[1:]):
                assert lies_between(mean, before, last)
            assert cosine(by["mean"][2], by["last"][2]) < 0.99
            # Nothing of it changes where much of it is cached, or is read in pieces among others.
            for name in by:
                assert vectors(embed(server, texts, model=name)) == by[name]
                assert vectors(embed(server, texts * 20, model=name)) == by[name] * 20


def an_end_token_is_added_where_the_tokenizer_says_so(program, synth_model):
    with tempfile.TemporaryDirectory() as parent:
        folder = make_folder(synth_model, parent, "plain", {"pooling_mode_lasttoken": True})
        path = folder / "tokenizer.json"
        tokenizer = json.loads(path.read_text(encoding="utf-8"))
        end = tokenizer["added_tokens"][0]
        tokenizer["post_processor"] = {
            "type": "TemplateProcessing",
            "single": [{"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": end["content"], "type_id": 0}}],
            "pair": [], "special_tokens": {end["content"]: {
                "id": end["content"], "ids": [end["id"]], "tokens": [end["content"]]}}}
        path.write_text(json.dumps(tokenizer), encoding="utf-8")
        with Server(program, "--model", f"m={folder}") as server:
            ids = server.post("/tokenize", {"prompt": "abc def"}).json["tokens"]
            assert ids[-1] != end["id"]
            answer = embed(server, "abc def")
            assert answer.json["usage"]["prompt_tokens"] == len(ids) + 1
            assert vectors(answer) == vectors(embed(server, [ids + [end["id"]]]))
            assert vectors(answer) != vectors(embed(server, [ids]))
            assert vectors(embed(server, "abc def", add_special_tokens=False)) == \
                vectors(embed(server, [ids]))
            assert vectors(embed(server, "")) == vectors(embed(server, [[end["id"]]]))


def a_space_that_is_no_part_of_the_text_is_not_counted(program, synth_model):
    with tempfile.TemporaryDirectory() as parent:
        path = Path(parent, "m.gguf")
        subprocess.run([synth_model, "--preset", "llama2-tiny", "-o", path], check=True)
        with Server(program, "--model", f"m={path}") as server:
            choice = complete(server, "hello there", max_tokens=0, echo=True,
                              logprobs=0).json["choices"][0]
            tokens, offsets = choice["logprobs"]["tokens"], choice["logprobs"]["text_offset"]
            assert choice["text"] == "hello there" and tokens[0] == "<s>"
            assert offsets[0] == offsets[1] == 0
            assert "".join(tokens[1:]) == " hello there"
            for token, offset in list(zip(tokens, offsets))[2:]:
                assert choice["text"][offset:offset + len(token)] == token


def main():
    program, data, synth_model = sys.argv[1:4]
    model = str(Path(data, "tokenworks-demo.gguf"))

    def it_stops_when_it_is_told_to(server, *_):
        assert server.stop() == 0, server.log_text()
    print(f"1..{len(CASES) + 5}")
    with Server(program, "--model", f"demo={model}") as server:
        code = run_cases(CASES, server)
        code = run_cases((the_scores_are_those_of_perplexity, it_stops_when_it_is_told_to),
                         server, program, model, first=len(CASES) + 1) or code
    code = run_cases((the_models_files_say_how_embeddings_are_made,
                      an_end_token_is_added_where_the_tokenizer_says_so,
                      a_space_that_is_no_part_of_the_text_is_not_counted), program, synth_model,
                     first=len(CASES) + 3) or code
    sys.exit(code)


if __name__ == "__main__":
    main()
