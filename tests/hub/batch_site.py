"""Batches for a test: files are sent, batches made and waited for, results read."""
import json
import time

from books import bearer

BOUNDARY = "----tokenworks-test"
ENDPOINT = "/v1/completions"


def form(text, filename="requests.jsonl", boundary=BOUNDARY, **fields):
    """The body of a form with a file."""
    parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
             for name, value in fields.items()]
    parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="file"; '
                 f'filename="{filename}"\r\nContent-Type: application/octet-stream\r\n\r\n')
    text = text if isinstance(text, bytes) else text.encode()
    return "".join(parts).encode() + text + f"\r\n--{boundary}--\r\n".encode()


def line(number, endpoint=ENDPOINT, **more):
    body = {"prompt": f"Once upon a time {number}", "max_tokens": 4, "temperature": 0,
            "ignore_eos": True, **more}
    return json.dumps({"custom_id": f"request-{number}", "method": "POST", "url": endpoint,
                       "body": body})


def lines(n, **more):
    return "\n".join(line(i, **more) for i in range(1, n + 1)) + "\n"


class Client:
    """Of one key."""

    def __init__(self, server, key):
        self.server, self.headers = server, bearer(key)

    def ask(self, method, path, body=None, **headers):
        return self.server.ask(method, path, body, headers={**self.headers, **headers})

    def send(self, text, purpose="batch", **fields):
        kind = f"multipart/form-data; boundary={BOUNDARY}"
        headers = {**self.headers, **fields.pop("headers", {}), "Content-Type": kind}
        return self.server.ask("POST", "/v1/files", form(text, purpose=purpose, **fields), raw=True,
                               headers=headers)

    def file(self, text):
        answer = self.send(text)
        assert answer.status == 200, answer.body
        return answer.json["id"]

    def create(self, file, endpoint=ENDPOINT, **more):
        headers = more.pop("headers", {})
        return self.ask("POST", "/v1/batches",
                        {"input_file_id": file, "endpoint": endpoint, "completion_window": "24h",
                         **more}, **headers)

    def batch(self, text, **more):
        answer = self.create(self.file(text), **more)
        assert answer.status == 200, answer.body
        return answer.json["id"]

    def get(self, name):
        answer = self.ask("GET", f"/v1/batches/{name}")
        assert answer.status == 200, answer.body
        return answer.json

    def wait(self, name, *statuses, seconds=60):
        end = time.monotonic() + seconds
        statuses = statuses or ("completed", "failed", "expired", "cancelled")
        while time.monotonic() < end:
            batch = self.get(name)
            if batch["status"] in statuses:
                return batch
            time.sleep(0.02)
        raise AssertionError(f"the batch is still {batch}")

    def rows(self, file):
        answer = self.ask("GET", f"/v1/files/{file}/content")
        assert answer.status == 200, answer.body
        return [json.loads(row) for row in answer.body.decode().splitlines()]
