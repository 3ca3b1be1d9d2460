"""A real foreign server behind a hub: llama.cpp's, at the path that TW_LLAMA_SERVER names.

    check_llama_server.py TOKENWORKS DATA

Without one the test is skipped. Its own answers to the same requests are the measure.
"""
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books, bearer  # noqa: E402
from server import becomes, run_cases  # noqa: E402

TOOLS = [{"type": "function", "function": {
    "name": "count", "parameters": {"type": "object", "properties": {
        "boxes": {"type": "integer"}}, "required": ["boxes"]}}}]


def post(port, path, body, key=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("POST", path, json.dumps(body), bearer(key) if key else {})
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


class Llama:
    def __init__(self, path, model):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(
            [path, "--model", model, "--host", "127.0.0.1", "--port", str(self.port), "--ctx-size",
             "4096", "--parallel", "2", "--threads", "2", "--metrics", "--alias", "demo",
             "--no-webui", "--jinja"], stdout=self.log, stderr=self.log)

    def is_up(self):
        if self.process.poll() is not None:
            self.log.seek(0)
            raise AssertionError(self.log.read().decode(errors="replace")[-2000:])
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/health")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def __enter__(self):
        assert becomes(self.is_up, 120)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def events(text):
    parts = [part[6:] for part in text.split("\n\n") if part.startswith("data: ")]
    assert parts[-1] == "[DONE]", parts[-1:]
    return [json.loads(part) for part in parts[:-1]]


def llama_cpp_answers_behind_a_hub_as_it_does_alone(program, data):
    model = Path(data, "tokenworks-demo.gguf")
    chat = {"model": "demo", "temperature": 0, "max_tokens": 24, "seed": 1,
            "messages": [{"role": "user", "content": "What is a budget?"}]}
    with tempfile.TemporaryDirectory() as folder, \
            Llama(os.environ["TW_LLAMA_SERVER"], model) as llama:
        books = Books(program, folder)
        config = Path(folder, "serve.yaml")
        config.write_text(json.dumps({"backends": [
            {"name": "llama", "url": f"http://127.0.0.1:{llama.port}", "kind": "llama.cpp",
             "models": [{"name": "far", "upstream": "demo", "ctx": 2048}]}]}), encoding="ascii")
        with books.serve("--config", config) as hub:
            def ask(path, body):
                return post(hub.port, path, {**body, "model": "far"}, books.key)
            status, text = post(llama.port, "/v1/chat/completions", chat)
            assert status == 200, text
            direct = json.loads(text)
            status, text = ask("/v1/chat/completions", chat)
            whole = json.loads(text)
            assert status == 200 and whole["model"] == "far", text
            message = direct["choices"][0]["message"]["content"]
            assert whole["choices"][0]["message"]["content"] == message, (whole, direct)
            assert whole["usage"]["prompt_tokens"] == direct["usage"]["prompt_tokens"]
            assert "timings" not in whole and "prompt_tokens_details" not in whole["usage"]
            status, text = ask("/v1/chat/completions", {
                **chat, "stream": True, "stream_options": {"include_usage": True}})
            stream = events(text)
            parts = [c["delta"].get("content") or "" for e in stream for c in e["choices"]]
            assert "".join(parts) == message, (parts, message)
            assert stream[-1]["usage"]["completion_tokens"] == 24, stream[-1]
            status, text = ask("/v1/completions", {"prompt": "Once", "max_tokens": 5, "n": 1})
            assert status == 200 and json.loads(text)["usage"]["completion_tokens"] <= 5, text
            form = {"type": "json_schema", "json_schema": {"name": "f", "schema": {
                "type": "object", "properties": {"boxes": {"type": "integer"}},
                "required": ["boxes"], "additionalProperties": False}}}
            status, text = ask("/v1/chat/completions",
                               {**chat, "max_tokens": 60, "response_format": form})
            answer = json.loads(text)["choices"][0]
            assert status == 200 and (answer["finish_reason"] == "length" or isinstance(
                json.loads(answer["message"]["content"])["boxes"], int)), text
            status, text = ask("/v1/chat/completions", {
                **chat, "max_tokens": 60, "tools": TOOLS, "tool_choice": "required"})
            answer = json.loads(text)["choices"][0]
            assert status == 200 and (answer["finish_reason"] == "length" or answer["message"][
                "tool_calls"][0]["function"]["name"] == "count"), text
            status, text = ask("/v1/embeddings", {"input": "a"})
            assert status == 400 and text.count("embeddings"), text
            status, text = ask("/v1/completions", {"prompt": "word " * 5000, "max_tokens": 5})
            assert status == 400, text
        records = books.records("request.settled")
        first = [(r["prompt_tokens"], r["output_tokens"]) for r in records[:2]]
        assert first == [(direct["usage"]["prompt_tokens"], 24)] * 2, records
        assert all(r["route"]["backend"] == "llama" for r in records)
        books.must_balance()


if __name__ == "__main__":
    if not os.environ.get("TW_LLAMA_SERVER"):
        print("1..0 # SKIP no server of llama.cpp: TW_LLAMA_SERVER names the program")
        sys.exit(0)
    print("1..1")
    sys.exit(run_cases([llama_cpp_answers_behind_a_hub_as_it_does_alone], *sys.argv[1:]))
