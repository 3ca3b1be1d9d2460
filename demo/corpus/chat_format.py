"""Exchanges as text: how tools, calls and results stand in a conversation, and ChatML around it.

The model sees text only. Tools are a part of the system message; a call is what the assistant
writes between <tool_call> marks; a result comes back in a user message between <tool_response>
marks. demo/chat_template.jinja renders the structured form of the same conversation to the same
text; tests/demo/check_template.py compares the two.
"""
import json

TOOLS_HEAD = "# Tools\nYou may call these functions:\n<tools>\n"
TOOLS_TAIL = ("\n</tools>\nTo call one, answer with\n<tool_call>\n"
              '{"name": ..., "arguments": {...}}\n</tool_call>')


def as_json(value):
    return json.dumps(value, ensure_ascii=False)


def tools_text(schemas):
    """The part of the system message that offers functions: one JSON schema a line."""
    return TOOLS_HEAD + "\n".join(map(as_json, schemas)) + TOOLS_TAIL


def system_text(system, schemas):
    """The system message, or None where there is nothing to say."""
    if not schemas:
        return system
    return f"{system}\n\n{tools_text(schemas)}" if system else tools_text(schemas)


def call_text(name, arguments):
    call = f'{{"name": {as_json(name)}, "arguments": {as_json(arguments)}}}'
    return f"<tool_call>\n{call}\n</tool_call>"


def response_text(result):
    """A tool's result, as text or as a value, as the user message that carries it."""
    text = result if isinstance(result, str) else as_json(result)
    return f"<tool_response>\n{text}\n</tool_response>"


def chatml(messages, add_generation_prompt=False):
    """Messages of plain text as one ChatML text."""
    text = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>\n" for m in messages)
    return text + ("<|im_start|>assistant\n" if add_generation_prompt else "")


def structured(messages):
    """Plain messages with tool calls and results as a client would send them: calls as fields,
    results as messages of the role tool. The opposite of what the chat template does."""
    return [part for message in messages for part in _structured_message(message)]


def _structured_message(message):
    role, content = message["role"], message["content"]
    if role == "assistant" and "<tool_call>\n" in content:
        said, *calls = content.split("<tool_call>\n")
        parsed = [json.loads(call.rsplit("\n</tool_call>", 1)[0]) for call in calls]
        return [{"role": role, "content": said.rstrip("\n") or None,
                 "tool_calls": [{"type": "function", "function": call} for call in parsed]}]
    if role == "user" and content.startswith("<tool_response>\n"):
        results = content[len("<tool_response>\n"):-len("\n</tool_response>")]
        return [{"role": "tool", "content": result}
                for result in results.split("\n</tool_response>\n<tool_response>\n")]
    return [message]
