"""demo/chat_template.jinja renders conversations to the text that the model is trained on.

Renders with Jinja as model hubs set it up: sandboxed, trim_blocks, lstrip_blocks, and a tojson
that neither sorts nor escapes.
"""
import argparse
import json
import random
import sys
from pathlib import Path

from jinja2.sandbox import ImmutableSandboxedEnvironment

N_CONVERSATIONS = 300


def template_of(text):
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(text)


def sampled(corpus):
    """(messages as a client sends them, schemas, the messages of the training row)"""
    rng = random.Random(11)
    made = corpus.generate.Corpus()
    for number in range(N_CONVERSATIONS):
        exchange = (corpus.tools.make_tool_answer if number % 2 else made.all.make)(rng)
        names = exchange["tools"] or ()
        schemas = corpus.tools.schemas(rng, names)
        system = exchange["system"] or ("You are short. \u00fc" if number % 3 == 0 else None)
        said = list(exchange["messages"])
        if number % 5 == 0 and names:
            said += [*corpus.tools.more_with(rng, list(names))["messages"]]
        plain = [{"role": "system", "content": system}] if system else []
        whole = corpus.chat_format.system_text(system, schemas)
        row = [{"role": "system", "content": whole}] if whole else []
        yield plain + corpus.chat_format.structured(said), schemas, row + said


def differing(corpus, change=lambda messages, schemas: (messages, schemas)):
    """The conversations that the template renders otherwise, in short."""
    template = template_of((corpus.root / "demo" / "chat_template.jinja").read_text("ascii"))
    n_seen = 0
    for messages, schemas, row in sampled(corpus):
        messages, schemas = change(messages, schemas)
        for prompt in (False, True):
            got = template.render(messages=messages, tools=schemas or None,
                                  add_generation_prompt=prompt)
            expected = corpus.chat_format.chatml(row, prompt)
            if got != expected:
                yield f"{got!r} is not {expected!r}"
        n_seen += 1
    if n_seen != N_CONVERSATIONS:
        yield f"{n_seen} conversations"


def the_template_renders_the_text_of_training(corpus):
    return differing(corpus)


def arguments_may_be_json_text(corpus):
    def as_text(messages, schemas):
        for message in messages:
            for call in message.get("tool_calls", ()):
                call["function"]["arguments"] = json.dumps(call["function"]["arguments"],
                                                           ensure_ascii=False)
        return messages, schemas
    return differing(corpus, as_text)


def tools_may_be_wrapped_as_clients_send_them(corpus):
    return differing(corpus, lambda messages, schemas: (
        messages, [{"type": "function", "function": schema} for schema in schemas]))


def calls_and_results_of_one_turn_stay_together(corpus):
    """Two calls at once, with text before them, and their two results in one user message."""
    call = corpus.chat_format.call_text
    row = [{"role": "user", "content": "Oslo and Rome?"},
           {"role": "assistant", "content": "Two calls.\n" + call("get_weather", {"city": "Oslo"}) +
            "\n" + call("get_weather", {"city": "Rome"})},
           {"role": "user", "content": "<tool_response>\n1\n</tool_response>\n<tool_response>\n"
            "2\n</tool_response>"}]
    messages = corpus.chat_format.structured(row)
    if [m["role"] for m in messages] != ["user", "assistant", "tool", "tool"]:
        yield f"structured as {messages}"
    template = template_of((corpus.root / "demo" / "chat_template.jinja").read_text("ascii"))
    got = template.render(messages=messages, add_generation_prompt=True)
    if got != corpus.chat_format.chatml(row, True):
        yield f"got {got!r}"


def nothing_stands_before_the_first_message_by_default(corpus):
    template = template_of((corpus.root / "demo" / "chat_template.jinja").read_text("ascii"))
    got = template.render(messages=[{"role": "user", "content": "Hi"}])
    if got != "<|im_start|>user\nHi<|im_end|>\n":
        yield f"got {got!r}"


TESTS = (the_template_renders_the_text_of_training, arguments_may_be_json_text,
         tools_may_be_wrapped_as_clients_send_them, calls_and_results_of_one_turn_stay_together,
         nothing_stands_before_the_first_message_by_default)


class Sources:
    """The corpus' modules below a root."""

    def __init__(self, root):
        self.root = root
        sys.path.insert(0, str(root / "demo"))
        import generate
        import chat_format
        import tools
        self.generate, self.chat_format, self.tools = generate, chat_format, tools


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True, type=Path)
    corpus = Sources(parser.parse_args().root)
    print(f"1..{len(TESTS)}")
    n_failed = 0
    for number, test in enumerate(TESTS, 1):
        problems = list(test(corpus))
        n_failed += bool(problems)
        print(f"{'not ok' if problems else 'ok'} {number} - {test.__name__}")
        for problem in problems[:3]:
            print(f"# {problem}")
    sys.exit(1 if n_failed else 0)


if __name__ == "__main__":
    main()
