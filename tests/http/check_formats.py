"""How models write calls of tools and thoughts, and what a client gets of it.

    check_formats.py TOKENWORKS FOLDER

Each model recites one answer, through tokenizer, sampler, engine and stream. FOLDER has golden.py,
which makes them.
"""
import json
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), sys.argv[2]]
import golden  # noqa: E402
from server import Server, run_cases  # noqa: E402

CHATML = ("{% for m in messages %}<|im_start|>{{ m.role }}\n"
          "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
          "{{ m.content }}"
          "{% for c in m.tool_calls or [] %}{{ c.function | tojson }}{% endfor %}<|im_end|>\n"
          "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
          "{% for t in tools or [] %}{% endfor %}")
HERMES, CODER = CHATML + "{# <tool_call> #}", CHATML + "{# <tool_call> <function= #}"
LLAMA = CHATML + "{# <|start_header_id|> \"parameters\": #}"
THINKS = HERMES + ("{% if add_generation_prompt and enable_thinking is false %}"
                   "<think>\n\n</think>\n\n{% endif %}")
OPENS = HERMES + "{% if add_generation_prompt %}<think>\n{% endif %}"

PARAMETERS = {"type": "object", "required": ["city", "days"], "additionalProperties": False,
              "properties": {"city": {"type": "string", "maxLength": 8},
                             "days": {"type": "integer", "minimum": 1, "maximum": 14},
                             "unit": {"enum": ["C", "F"]}}}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": PARAMETERS}},
         {"type": "function", "function": {"name": "now"}}]

CALLS = {
    "hermes": 'I shall look.\n<tool_call>\n{"name": "weather", "arguments": {"city": "Bad Ems", '
              '"days": 3}}\n</tool_call>\n<tool_call>\n{"name": "now", "arguments": {}}\n'
              '</tool_call>',
    "coder": 'I shall look.\n<tool_call>\n<function=weather>\n<parameter=city>\nBad Ems\n'
             '</parameter>\n<parameter=days>\n3\n</parameter>\n</function>\n</tool_call>\n'
             '<tool_call>\n<function=now>\n</function>\n</tool_call>',
    "llama": '{"name": "weather", "parameters": {"city": "Bad Ems", "days": 3}}; '
             '{"name": "now", "parameters": {}}',
}
THOUGHT = "<think>\nHe asks for a greeting.\n</think>\n\nHello to you!"
SAID = {
    **CALLS, "broken": '<tool_call>\n{"name": "weather", "arguments": {"city": Bad Ems}}\n'
                       '</tool_call>',
    "thinks": THOUGHT, "opens": THOUGHT[8:], "plain": THOUGHT, "no_template": "It goes on.",
    "shouts": "It goes on.",
}
TEMPLATES = {"hermes": HERMES, "coder": CODER, "llama": LLAMA, "broken": HERMES, "thinks": THINKS,
             "opens": OPENS, "plain": CHATML.replace("<think>", "").replace("</think>", ""),
             "no_template": None, "shouts": CHATML.replace("m.content", "m.content | upper")}


def make_models(folder):
    words = []
    for name, text in SAID.items():
        path = golden.make_model(Path(folder, f"{name}.gguf"), n_embd=96, n_layers=1,
                                 recites=golden.pieces(text), template=TEMPLATES[name])
        words += ["--model", f"{name}={path}"]
    return words


def ask(server, model, **more):
    return server.chat("Well?", model=model, **more)


def choice_of(answer):
    assert answer.status == 200, answer.body
    return answer.json["choices"][0]


def put_together(answer):
    """(message without role, finish reason, deltas) of a stream, as a client puts it together."""
    message, reason, deltas = {"content": ""}, None, []
    for event in answer.events:
        choice, = event["choices"]
        delta = choice["delta"]
        deltas.append(delta)
        reason = choice["finish_reason"] or reason
        for name in ("content", "reasoning_content", "reasoning"):
            if delta.get(name):
                message[name] = message.get(name, "") + delta[name]
        for call in delta.get("tool_calls", []):
            calls = message.setdefault("tool_calls", [])
            if call["index"] == len(calls):
                assert set(call) == {"index", "id", "type", "function"}, call
                assert call["type"] == "function" and call["id"].startswith("call_")
                assert set(call["function"]) == {"name", "arguments"}
                assert call["function"]["arguments"] == ""
                calls.append({**call["function"], "pieces": 0})
            else:
                assert call["index"] == len(calls) - 1 and set(call) == {"index", "function"}
                assert set(call["function"]) == {"arguments"} and call["function"]["arguments"]
                calls[-1]["arguments"] += call["function"]["arguments"]
                calls[-1]["pieces"] += 1
    return message, reason, deltas


def both(server, model, **more):
    """The message and its finish reason, streamed and whole, which must be the same."""
    whole = choice_of(ask(server, model, **more))
    message, reason, _ = put_together(ask(server, model, stream=True, **more))
    calls = [call["function"] for call in whole["message"].get("tool_calls", [])]
    assert [(c["name"], c["arguments"]) for c in calls] == \
        [(c["name"], c["arguments"]) for c in message.get("tool_calls", [])], (whole, message)
    assert (whole["message"]["content"] or "") == message["content"], (whole, message)
    for name in ("reasoning_content", "reasoning"):
        assert whole["message"].get(name) == message.get(name), (whole, message)
    assert whole["finish_reason"] == reason
    return whole["message"], reason


# ---- calls ----

def calls_of_every_form_become_tool_calls(server):
    for model in CALLS:
        message, reason = both(server, model, tools=TOOLS)
        assert reason == "tool_calls"
        assert message["content"] == (None if model == "llama" else "I shall look.")
        assert [(c["function"]["name"], json.loads(c["function"]["arguments"]))
                for c in message["tool_calls"]] == [("weather", {"city": "Bad Ems", "days": 3}),
                                                    ("now", {})]
        assert len({c["id"] for c in message["tool_calls"]}) == 2
        first, _ = both(server, model, tools=TOOLS, parallel_tool_calls=False)
        assert len(first["tool_calls"]) == 1


def arguments_arrive_while_they_are_written(server):
    for model in CALLS:
        message, _, deltas = put_together(ask(server, model, tools=TOOLS, stream=True))
        weather, now = message["tool_calls"]
        assert weather["pieces"] >= 4 and now["pieces"] >= 1, message
        assert deltas[0] == {"role": "assistant", "content": ""} and deltas[-1] == {}
        assert all("role" not in delta for delta in deltas[1:])


def without_tools_an_answer_is_text(server):
    for model, text in CALLS.items():
        for more in ({}, {"tools": TOOLS, "tool_choice": "none"}):
            message, reason = both(server, model, **more)
            assert message["content"] == text and reason == "stop"
            assert "tool_calls" not in message


def a_call_that_is_cut_has_the_arguments_so_far(server):
    for model in CALLS:
        text, parts = SAID[model], golden.pieces(SAID[model])
        n = sum(text.index("Bad") >= len("".join(p for p, _ in parts[:i]))
                for i in range(len(parts))) + 1
        message, reason = both(server, model, tools=TOOLS, max_tokens=n)
        call, = message["tool_calls"]
        assert reason == "length" and call["function"]["name"] == "weather"
        assert call["function"]["arguments"].startswith('{"city": "B'), call
        assert '{"city": "Bad Ems", "days": 3}'.startswith(call["function"]["arguments"])


def what_breaks_a_call_is_text(server):
    message, reason = both(server, "broken", tools=TOOLS)
    assert message["tool_calls"][0]["function"]["arguments"] == '{"city": '
    assert message["content"] == "Bad Ems}}\n</tool_call>" and reason == "tool_calls"


def check_arguments(call):
    arguments = json.loads(call["function"]["arguments"])
    if call["function"]["name"] == "now":
        return
    assert call["function"]["name"] == "weather"
    assert {"city", "days"} <= set(arguments) <= {"city", "days", "unit"}, arguments
    assert isinstance(arguments["city"], str) and len(arguments["city"]) <= 8
    assert isinstance(arguments["days"], int) and 1 <= arguments["days"] <= 14
    assert arguments.get("unit", "C") in ("C", "F")


def a_prescribed_call_is_written_in_the_models_form(server):
    named = {"type": "function", "function": {"name": "weather"}}
    more = {"tools": TOOLS, "temperature": 1.5, "n": 16, "seed": 3, "max_tokens": 600}
    for model in CALLS:
        counts = []
        for choice, parallel in (("required", True), ("required", False), (named, True)):
            answer = ask(server, model, tool_choice=choice, parallel_tool_calls=parallel, **more)
            assert answer.status == 200, answer.body
            for one in answer.json["choices"]:
                if one["finish_reason"] == "length":
                    continue
                assert one["finish_reason"] == "tool_calls" and not one["message"]["content"]
                calls = one["message"]["tool_calls"]
                counts.append(len(calls) if choice == "required" and parallel else 0)
                assert len(calls) == 1 or counts[-1] > 1
                for call in calls:
                    assert choice == "required" or call["function"]["name"] == "weather"
                    if call["function"]["name"] == "weather":
                        check_arguments(call)
        assert len(counts) >= 24, f"{model}: most answers were too long"
        assert (max(counts) > 1) is (model != "llama"), (model, counts)
        both(server, model, tools=TOOLS[:1], tool_choice="required", max_tokens=300,
             parallel_tool_calls=False)


# ---- thoughts ----

def a_thought_is_split_off_and_counted(server):
    for model in ("thinks", "opens"):
        message, reason = both(server, model)
        assert message["reasoning_content"] == message["reasoning"] == "He asks for a greeting."
        assert message["content"] == "Hello to you!" and reason == "stop"
        usage = ask(server, model).json["usage"]
        n = usage["completion_tokens_details"]["reasoning_tokens"]
        assert 8 <= n < usage["completion_tokens"], usage
    cut, reason = both(server, "thinks", max_tokens=6)
    assert reason == "length" and cut["content"] == ""
    assert cut["reasoning_content"] == "He asks for a gr", cut


def a_model_that_does_not_think_has_text_only(server):
    message, _ = both(server, "plain")
    assert message["content"] == THOUGHT and "reasoning" not in message
    usage = ask(server, "plain").json["usage"]
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 0}
    closed, _ = both(server, "thinks", chat_template_kwargs={"enable_thinking": False})
    assert closed["content"] == THOUGHT and "reasoning" not in closed


def log_probabilities_are_those_of_all_tokens(server):
    for model, more in (("thinks", {}), ("opens", {}), ("hermes", {"tools": TOOLS})):
        whole = choice_of(ask(server, model, logprobs=True, **more))["logprobs"]["content"]
        assert "".join(row["token"] for row in whole) == SAID[model]
        events = ask(server, model, logprobs=True, stream=True, **more).events
        rows = [row for event in events if event["choices"][0]["logprobs"]
                for row in event["choices"][0]["logprobs"]["content"]]
        assert rows == whole


def stop_strings_cut_thoughts_and_answers(server):
    message, reason = both(server, "thinks", stop=[" to you"])
    assert message["content"] == "Hello" and reason == "stop"
    message, reason = both(server, "thinks", stop=[" greet"])
    assert message["reasoning_content"] == "He asks for a" and message["content"] == ""


FORM = {"type": "object", "required": ["a"], "additionalProperties": False,
        "properties": {"a": {"enum": [1, 22, "x"]}}}


def a_form_stands_behind_a_thought(server):
    form = {"type": "json_schema", "json_schema": {"name": "form", "schema": FORM}}
    for model, thought in (("opens", "He asks for a greeting."), ("thinks", None),
                           ("plain", None)):
        message, reason = both(server, model, response_format=form)
        assert json.loads(message["content"])["a"] in (1, 22, "x"), message
        assert message.get("reasoning") == thought and reason == "stop"
    lengths = [ask(server, "thinks", max_tokens=1, **more).json["usage"]["prompt_tokens"]
               for more in ({"guided_regex": "a"}, {"chat_template_kwargs": {
                   "enable_thinking": False}}, {}, {"guided_regex": "a", "chat_template_kwargs": {
                       "enable_thinking": True}})]
    assert lengths[0] == lengths[1] > lengths[2] == lengths[3], lengths
    message, _ = both(server, "opens", guided_choice=["yes", "no"])
    assert message["content"] in ("yes", "no") and message["reasoning"]
    message, reason = both(server, "opens", tools=TOOLS[1:], tool_choice="required",
                           parallel_tool_calls=False, max_tokens=200)
    assert message["tool_calls"][0]["function"]["name"] == "now" and message["reasoning"]


def an_earlier_thought_goes_to_the_template(server):
    for name in ("reasoning_content", "reasoning"):
        prompt = server.post("/apply-template", {"model": "thinks", "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": "Ho", name: "He greets."},
            {"role": "user", "content": "Well?"}]}).json["prompt"]
        assert "assistant\n<think>He greets.</think>Ho<|im_end|>" in prompt, prompt


# ---- going on ----

def prompt_of(server, model, content, **more):
    return server.post("/apply-template", {
        "model": model, **more, "messages": [{"role": "user", "content": "Hi"},
                                             {"role": "assistant", "content": content}]})


def written(answer):
    """A prompt without the space that this tokenizer puts before a text behind a marker."""
    return answer.json["prompt"].replace("|> ", "|>")


def a_message_is_continued_where_it_ends(server):
    for model in ("plain", "no_template"):
        for content in ("It is ", "<|im_end|>\n", "a\x01tokenworks:continue\x01b", ""):
            prompt = written(prompt_of(server, model, content, continue_final_message=True,
                                       add_generation_prompt=False))
            assert prompt.endswith(f"<|im_start|>assistant\n{content}"), prompt
        done = written(prompt_of(server, model, "It is ", add_generation_prompt=False))
        assert done.endswith("It is <|im_end|>\n") and done.count("assistant") == 1
        asked = {"model": model, "continue_final_message": True, "temperature": 0, "messages": [
            {"role": "user", "content": "Hi"}, {"role": "assistant", "content": "So:\n"}]}
        assert choice_of(server.post("/v1/chat/completions", asked))["message"]["content"] == \
            SAID[model]
        tokens = server.post("/tokenize", asked).json["tokens"]
        text = server.post("/detokenize", {"model": model, "tokens": tokens}).json["prompt"]
        assert text.endswith("assistant\nSo:\n"), text


def what_cannot_be_continued_is_refused(server):
    for more, content in (({"add_generation_prompt": True}, "a"), ({}, None)):
        messages = [{"role": "user", "content": "Hi"}]
        messages += [{"role": "assistant", "content": content}] if content else []
        answer = server.post("/v1/chat/completions", {
            "model": "plain", "messages": messages, "continue_final_message": True, **more})
        assert answer.status == 400 and answer.error["param"] == "continue_final_message"
    shouted = prompt_of(server, "shouts", "a", continue_final_message=True)
    assert shouted.status == 400 and "cannot be continued" in shouted.error["message"]
    assert prompt_of(server, "plain", "a", add_generation_prompt=5).error["param"] == \
        "add_generation_prompt"


CASES = (calls_of_every_form_become_tool_calls, arguments_arrive_while_they_are_written,
         without_tools_an_answer_is_text, a_call_that_is_cut_has_the_arguments_so_far,
         what_breaks_a_call_is_text, a_prescribed_call_is_written_in_the_models_form,
         a_thought_is_split_off_and_counted, a_model_that_does_not_think_has_text_only,
         log_probabilities_are_those_of_all_tokens, stop_strings_cut_thoughts_and_answers,
         a_form_stands_behind_a_thought, an_earlier_thought_goes_to_the_template,
         a_message_is_continued_where_it_ends, what_cannot_be_continued_is_refused)


def main():
    print(f"1..{len(CASES)}")
    with tempfile.TemporaryDirectory() as folder:
        with Server(sys.argv[1], "--kv-bytes", 64 << 20, *make_models(folder)) as server:
            sys.exit(run_cases(CASES, server))


if __name__ == "__main__":
    main()
