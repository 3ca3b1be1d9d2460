"""Files and batches, as OpenAI's clients see them.

    check_batches.py TOKENWORKS DATA
    TW_TEST_POSTGRES=... check_batches.py ...   books in that PostgreSQL, for several hubs as well
"""
import http.client
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from batch_site import Client, form, line, lines  # noqa: E402
from books import Books, bearer  # noqa: E402
from server import Server, becomes, run_cases  # noqa: E402


POSTGRES = os.environ.get("TW_TEST_POSTGRES")


class Site:
    def __init__(self, program, data, folder):
        self.folder = Path(folder)
        if POSTGRES:
            os.environ["TOKENWORKS_BOOKS_KEYS"] = folder
            psql = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"))[-1]
            subprocess.run([psql, POSTGRES, "-q", "-c", "DROP SCHEMA public CASCADE",
                            "-c", "CREATE SCHEMA public"], check=True, capture_output=True)
        self.program, self.books = program, Books(program, folder, POSTGRES)
        self.words = ("--model", Path(data, "tokenworks-demo.gguf"), "--ctx", "512")

    def serve(self, *more, **how):
        return self.books.serve(*self.words, *more, **how)


def site(function):
    def case(program, data):
        with tempfile.TemporaryDirectory() as folder:
            function(Site(program, data, folder))
    case.__name__ = function.__name__
    return case


def write(it, sql):
    """As no client can; no server runs."""
    if POSTGRES:
        it.books.write(sql)
        return
    with sqlite3.connect(it.books.path) as connection:
        connection.execute(sql)
    connection.close()


def chat_line(number, text):
    return json.dumps({"custom_id": f"c{number}", "method": "POST", "url": "/v1/chat/completions",
                       "body": {"messages": [{"role": "user", "content": text}], "max_tokens": 3,
                                "temperature": 0}})


@site
def a_batch_gives_each_line_the_answer_that_it_gets_alone(it):
    with it.serve() as server:
        client = Client(server, it.books.key)
        file = client.send(lines(40))
        assert file.json["object"] == "file" and file.json["purpose"] == "batch", file.json
        assert file.json["bytes"] == len(lines(40)) and file.json["filename"] == "requests.jsonl"
        assert client.ask("GET", f"/v1/files/{file.json['id']}/content").body.decode() == lines(40)
        made = client.create(file.json["id"], metadata={"who": "night"}).json
        assert made["status"] == "validating" and made["metadata"] == {"who": "night"}, made
        batch = client.wait(made["id"])
        assert batch["status"] == "completed" and batch["error_file_id"] is None, batch
        assert batch["request_counts"] == {"total": 40, "completed": 40, "failed": 0}, batch
        assert batch["completed_at"] >= batch["in_progress_at"] >= batch["created_at"]
        rows = client.rows(batch["output_file_id"])
        assert [row["custom_id"] for row in rows] == [f"request-{i}" for i in range(1, 41)]
        size = client.ask("GET", f"/v1/files/{batch['output_file_id']}").json["bytes"]
        assert size == len(client.ask(
            "GET", f"/v1/files/{batch['output_file_id']}/content").body)
        usage = [row["response"]["body"]["usage"] for row in rows]
        assert batch["usage"]["total_tokens"] == sum(u["total_tokens"] for u in usage)
        for number in (1, 40):
            alone = server.post("/v1/completions", json.loads(line(number))["body"],
                                headers=bearer(it.books.key)).json
            found = rows[number - 1]["response"]
            assert found["status_code"] == 200
            assert found["body"]["choices"] == alone["choices"], (found, alone)
    it.books.must_balance()


def says_its_cost(it, batch):
    """The only one in the books."""
    paid, = it.books.rows("SELECT SUM(amount_nano) FROM entry WHERE kind = 'settle'"
                          " AND class = 'batch'")[0]
    currency, = it.books.rows("SELECT currency FROM books")[0]
    cost = batch["cost"]
    assert Decimal(cost["amount"]) * 10**9 == paid > 0, (cost, paid)
    assert cost["currency"] == currency, cost


@site
def batches_have_their_own_price_and_show_in_reports(it):
    it.books.command("price", "set", "*", "--class", "batch", "--input", "0.5", "--cached", "0.25",
                     "--output", "1")
    with it.serve() as server:
        client = Client(server, it.books.key)
        batch = client.wait(client.batch(lines(5)))
        server.post("/v1/completions", json.loads(line(6))["body"], headers=bearer(it.books.key))
    entries = it.books.rows("SELECT class, COUNT(*), SUM(input_tokens + cached_tokens),"
                            " SUM(output_tokens) FROM entry WHERE kind = 'settle' GROUP BY class"
                            " ORDER BY class")
    usage = batch["usage"]
    assert entries[0] == ("batch", 5, usage["input_tokens"], usage["output_tokens"]), entries
    assert entries[1][:2] == ("standard", 1), entries
    says_its_cost(it, batch)
    rows = it.books.command("usage", "show", "--by", "class")["rows"]
    classes = {row["class"]: row for row in rows}
    assert set(classes) == {"batch", "standard"}, rows
    records = it.books.records("request.settled")
    assert sum(record["price_class"] == "batch" for record in records) == 5
    it.books.must_balance()


@site
def without_a_price_for_batches_they_have_the_standard_one(it):
    with it.serve() as server:
        Client(server, it.books.key).wait(Client(server, it.books.key).batch(lines(1)))
    rows = it.books.rows("SELECT class, price FROM entry WHERE kind = 'settle'")
    assert rows == [("batch", it.books.rows("SELECT id FROM price")[0][0])], rows


@site
def chats_and_wrong_requests_get_a_line_each(it):
    texts = [chat_line(1, "Hello"), chat_line(2, ""), chat_line(3, "Hi")]
    broken = json.loads(texts[1])
    broken["body"]["messages"] = "no list"
    texts[1] = json.dumps(broken)
    with it.serve() as server:
        client = Client(server, it.books.key)
        batch = client.wait(client.batch("\n".join(texts), endpoint="/v1/chat/completions"))
        assert batch["request_counts"] == {"total": 3, "completed": 2, "failed": 1}, batch
        out = client.rows(batch["output_file_id"])
        assert [row["custom_id"] for row in out] == ["c1", "c3"]
        assert out[0]["response"]["body"]["object"] == "chat.completion"
        wrong, = client.rows(batch["error_file_id"])
        assert wrong["custom_id"] == "c2" and wrong["response"]["status_code"] == 400, wrong
        assert "messages" in wrong["response"]["body"]["error"]["message"]


@site
def faults_of_a_file_are_told_with_their_lines(it):
    texts = [line(1), "{", line(1), json.dumps({"custom_id": "a", "method": "GET", "url": "/",
                                                "body": 1}), line(5, stream=True)]
    with it.serve() as server:
        client = Client(server, it.books.key)
        batch = client.wait(client.batch("\n".join(texts)))
        assert batch["status"] == "failed" and batch["failed_at"] is not None, batch
        faults = [(e["line"], e["code"]) for e in batch["errors"]["data"]]
        assert faults == [(2, "invalid_json_line"), (4, "invalid_method"), (4, "mismatched_url"),
                          (4, "invalid_body"), (5, "invalid_body"),
                          (3, "duplicate_custom_id")], faults
        assert batch["output_file_id"] is None and batch["error_file_id"] is None
        for broken in ('{"custom_id": "x", "body": {"user": "ann@secret.org"',
                       '{"custom_id": 1 "ann@secret.org"}', "ann@secret.org",
                       '{"a": "ann@secret.org\\x"}', '{"ann@secret.org" 1}'):
            batch = client.wait(client.batch(f"{line(1)}\n{broken}\n"))
            told, = batch["errors"]["data"]
            assert (told["line"], told["code"]) == (2, "invalid_json_line"), told
            assert "not valid JSON" in told["message"] and "column" in told["message"], told
        deep = client.wait(client.batch("[" * 2000 + "]" * 2000))
        assert "nested deeper" in deep["errors"]["data"][0]["message"], deep
        ended = client.wait(client.batch(line(1).replace('request-1"', 'request-1\\u0000"')))
        assert "none of them 0" in ended["errors"]["data"][0]["message"], ended
        rows = it.books.rows("SELECT * FROM batch")
        assert len(rows) == 8 and "secret" not in repr(rows), rows
        empty = client.wait(client.batch("\n \n"))
        assert [e["code"] for e in empty["errors"]["data"]] == ["empty_file"], empty


@site
def calls_that_make_no_sense_are_refused_with_a_sentence(it):
    with it.serve("--batch-files", "3", "--batch-bytes", "3000") as server:
        client = Client(server, it.books.key)
        file = client.file(lines(2))
        cases = [
            (client.send(lines(1), purpose="fine-tune"), 400, "purpose"),
            (client.send(b""), 400, "1 to 50000"),
            (client.ask("POST", "/v1/files", {"file": 1}), 400, "multipart"),
            (client.send(lines(100)), 400, "3000"),
            (client.send(lines(1), **{"expires_after[seconds]": "1"}), 400, "3600"),
            (client.create("file-unknown"), 404, "file-unknown"),
            (client.create(file, endpoint="/v1/audio"), 400, "endpoint"),
            (client.create(file, completion_window="1h"), 400, "24h"),
            (client.create(file, metadata={"a": 1}), 400, "metadata"),
            (client.ask("GET", "/v1/files/none"), 404, "none"),
            (client.ask("GET", "/v1/files/" + "n" * 200), 404, "no file"),
            (client.ask("GET", f"/v1/files/{file}/other"), 404, "nothing"),
            (client.ask("DELETE", "/v1/batches"), 405, "DELETE"),
            (client.ask("GET", "/v1/batches/none"), 404, "none"),
            (client.ask("POST", "/v1/batches/none/cancel"), 404, "none"),
            (client.ask("POST", "/v1/batches/none/stop"), 404, "nothing"),
            (client.ask("GET", "/v1/batches?limit=x"), 400, "limit"),
        ]
        for number, (answer, status, word) in enumerate(cases):
            assert answer.status == status, (number, answer.status, answer.body)
            assert word in answer.error["message"], (number, answer.body)
        client.file(lines(1))
        client.file(lines(1))
        assert "may have 3" in client.send(lines(1)).error["message"]
    with it.books.serve(*it.words) as server:
        assert server.get("/v1/files").status == 401


@site
def lists_have_pages_and_a_project_sees_its_own_alone(it):
    it.books.command("project", "create", "acme/research/other")
    other_key = it.books.command("key", "create", "acme/research/other/ci")["secret"]
    with it.serve() as server:
        client, other = Client(server, it.books.key), Client(server, other_key)
        files = [client.file(lines(1)) for _ in range(5)]
        names = [client.create(file).json["id"] for file in files]
        first = client.ask("GET", "/v1/batches?limit=2").json
        assert [b["id"] for b in first["data"]] == names[:2:-1] and first["has_more"], first
        rest = client.ask("GET", f"/v1/batches?limit=10&after={first['last_id']}").json
        assert [b["id"] for b in rest["data"]] == names[2::-1] and not rest["has_more"]
        page = client.ask("GET", "/v1/files?purpose=batch&limit=3&order=asc").json
        assert [f["id"] for f in page["data"]] == files[:3] and page["has_more"], page
        for path in (f"/v1/files/{files[0]}", f"/v1/files/{files[0]}/content",
                     f"/v1/batches/{names[0]}"):
            assert other.ask("GET", path).status == 404, path
        assert other.ask("DELETE", f"/v1/files/{files[0]}").status == 404
        assert other.ask("POST", f"/v1/batches/{names[0]}/cancel").status == 404
        assert other.create(files[0]).status == 404
        assert other.ask("GET", "/v1/files").json["data"] == []
        for name in names:
            client.wait(name)
        gone = client.ask("DELETE", f"/v1/files/{files[0]}")
        assert gone.json == {"id": files[0], "object": "file", "deleted": True}
        assert client.ask("GET", f"/v1/files/{files[0]}").status == 404
        assert becomes(lambda: it.books.rows(
            "SELECT COUNT(*) FROM batch_file WHERE name = ?", files[0]) == [(0,)])


@site
def an_old_batch_names_no_file_that_came_after_its_own(it):
    it.books.command("project", "create", "acme/research/other")
    other_key = it.books.command("key", "create", "acme/research/other/ci")["secret"]
    broken = json.loads(line(2))
    broken["body"]["prompt"] = {"no": "text"}
    with it.serve() as server:
        client, other = Client(server, it.books.key), Client(server, other_key)
        old = client.wait(client.batch(line(1) + "\n" + json.dumps(broken) + "\n"))
        files = [old[name] for name in ("input_file_id", "output_file_id", "error_file_id")]
        assert all(files), old
        ids = it.books.rows("SELECT id FROM batch_file")
        for file in files:
            assert client.ask("DELETE", f"/v1/files/{file}").status == 200, file
        assert becomes(lambda: it.books.rows("SELECT COUNT(*) FROM batch_file") == [(0,)])
        for who in (other, other, other, client, client, client):
            who.wait(who.batch(lines(1)))
            again = client.get(old["id"])
            assert again["output_file_id"] is None and again["error_file_id"] is None, again
            assert not again["input_file_id"], again
        later = it.books.rows("SELECT id FROM batch_file ORDER BY id")
        assert min(later) > max(ids), (ids, later)
    write(it, f"UPDATE batch SET input = {later[0][0]}, output = {later[1][0]},"
              f" errors = {later[1][0]} WHERE id = (SELECT MIN(id) FROM batch)")
    with it.serve() as server:  # books of before may have such numbers
        again = Client(server, it.books.key).get(old["id"])
        assert again["output_file_id"] is None and not again["input_file_id"], again


@site
def a_batch_that_is_cancelled_keeps_what_it_has(it):
    with it.serve("--batch-lines", "2") as server:
        client = Client(server, it.books.key)
        file = client.file(lines(400, max_tokens=40))
        name = client.create(file).json["id"]
        assert becomes(lambda: client.get(name)["request_counts"]["completed"] > 3)
        refused = client.ask("DELETE", f"/v1/files/{file}")
        assert refused.status == 409 and "cancel" in refused.error["message"], refused.body
        assert client.ask("POST", f"/v1/batches/{name}/cancel").json["status"] == "cancelling"
        batch = client.wait(name, "cancelled")
        counts = batch["request_counts"]
        assert counts["completed"] + counts["failed"] == 400 and counts["failed"] > 300, counts
        done = {row["custom_id"] for row in client.rows(batch["output_file_id"])}
        rest = client.rows(batch["error_file_id"])
        assert len(done) == counts["completed"] and len(rest) == counts["failed"]
        assert not done & {row["custom_id"] for row in rest}
        assert {row["error"]["code"] for row in rest} == {"batch_cancelled"}
        assert client.ask("POST", f"/v1/batches/{name}/cancel").status == 200
    says_its_cost(it, batch)
    it.books.must_balance()


@site
def a_revoked_key_ends_its_batches(it):
    with it.serve("--batch-lines", "2") as server:
        client = Client(server, it.books.key)
        name = client.batch(lines(200, max_tokens=40))
        assert becomes(lambda: client.get(name)["request_counts"]["completed"] > 3)
        other = Client(server, it.books.make_key("other"))
        it.books.command("key", "revoke", "acme/research/chat/ci")
        batch = other.wait(name)
        assert batch["request_counts"]["failed"] > 100, batch
        codes = {row["error"]["code"] for row in other.rows(batch["error_file_id"])}
        assert codes == {"invalid_api_key"}, codes
    it.books.must_balance()


@site
def a_budget_that_is_used_up_fails_the_lines_and_nobody_else_pays(it):
    it.books.command("budget", "set", "acme", "--unit", "tokens", "--limit", "60", "--period",
                     "total")
    with it.serve("--batch-lines", "1") as server:
        client = Client(server, it.books.key)
        batch = client.wait(client.batch(lines(20)))
        counts = batch["request_counts"]
        assert counts["completed"] >= 2 and counts["failed"] >= 10, counts
        codes = {row["response"]["body"]["error"]["code"]
                 for row in client.rows(batch["error_file_id"])}
        assert codes == {"insufficient_quota"}, codes
        assert batch["usage"]["total_tokens"] <= 60
    it.books.must_balance()


@site
def who_is_erased_is_erased_in_files_and_results(it):
    texts = [line(1, user="ann"), line(2, user="bob"), line(3)]
    with it.serve() as server:
        client = Client(server, it.books.key)
        file = client.file("\n".join(texts) + "\n")
        batch = client.wait(client.create(file).json["id"])
        assert batch["request_counts"]["completed"] == 3, batch
        known = [json.loads(row) for row in
                 it.books.run("subject", "export", "ann").stdout.splitlines()]
        held = [(row["purpose"], row["line"], row["content"]["custom_id"]) for row in known
                if row["kind"] == "batch.line"]
        assert held == [("batch", 1, "request-1"), ("batch_output", 1, "request-1")], known
        it.books.command("subject", "erase", "ann")
        assert it.books.run("subject", "export", "ann", check=False).returncode != 0
        left = client.ask("GET", f"/v1/files/{file}/content").body.decode()
        assert left == texts[1] + "\n" + texts[2] + "\n", left
        rows = client.rows(batch["output_file_id"])
        assert [row["custom_id"] for row in rows] == ["request-2", "request-3"], rows
        again = client.wait(client.create(file).json["id"])
        assert again["request_counts"] == {"total": 3, "completed": 2, "failed": 1}, again
        gone, = client.rows(again["error_file_id"])
        assert gone["error"]["code"] == "erased", gone
    assert POSTGRES or b"Once upon" not in it.books.path.read_bytes()


@site
def what_clients_do_with_files_and_batches_is_on_record(it):
    with it.serve("--batch-lines", "1") as server:
        client = Client(server, it.books.key)
        file = client.file(lines(200, max_tokens=40))
        name = client.create(file).json["id"]
        client.ask("POST", f"/v1/batches/{name}/cancel")
        client.ask("POST", f"/v1/batches/{name}/cancel")
        client.wait(name, "cancelled")
        assert client.ask("DELETE", f"/v1/files/{file}").status == 200
        assert client.ask("DELETE", f"/v1/files/{file}").status == 404
        project, = it.books.rows("SELECT DISTINCT project FROM batch")[0]
    for kind, what in (("file.added", {"file": file, "lines": 200}),
                       ("batch.created", {"batch": name, "file": file}),
                       ("batch.cancelled", {"batch": name, "endpoint": "/v1/completions"}),
                       ("file.deleted", {"file": file})):
        record, = it.books.records(kind)
        assert record["project"] == project and record["key"] > 0, record
        assert what.items() <= record.items(), (kind, record)
    assert it.books.run("audit", "verify", check=False).returncode == 0


@site
def embeddings_are_answered_in_batches_as_alone(it):
    texts = ["Once upon a time", ["a girl", "a boy"], ""]
    rows = [json.dumps({"custom_id": f"e{i}", "method": "POST", "url": "/v1/embeddings",
                        "body": {"input": text, "dimensions": 8}})
            for i, text in enumerate(texts)]
    with it.serve() as server:
        client = Client(server, it.books.key)
        batch = client.wait(client.batch("\n".join(rows), endpoint="/v1/embeddings"))
        alone = [server.post("/v1/embeddings", {"input": text, "dimensions": 8},
                             headers=bearer(it.books.key)) for text in texts]
        good = [i for i, answer in enumerate(alone) if answer.status == 200]
        assert batch["request_counts"]["completed"] == len(good) >= 2, batch
        out = client.rows(batch["output_file_id"])
        assert [row["custom_id"] for row in out] == [f"e{i}" for i in good]
        for i, row in zip(good, out):
            assert row["response"]["body"]["data"] == alone[i].json["data"], row
        tokens = sum(alone[i].json["usage"]["prompt_tokens"] for i in good)
        assert batch["usage"]["input_tokens"] == tokens and tokens > 0, batch["usage"]
    paid, = it.books.rows("SELECT SUM(input_tokens + cached_tokens) FROM entry"
                          " WHERE kind = 'settle' AND class = 'batch'")
    assert paid == (tokens,), (paid, tokens)
    it.books.must_balance()


@site
def lines_are_relayed_to_other_servers(it):
    """Another node of ours has the model: each line's answer comes once, and is paid once."""
    with Server(it.program, "--no-auth", *it.words) as node:
        config = it.folder / "serve.yaml"
        config.write_text(json.dumps({"backends": [{
            "name": "node", "url": f"http://127.0.0.1:{node.port}", "kind": "tokenworks",
            "models": [{"name": "large", "upstream": "tokenworks-demo", "ctx": 512}]}]}),
            encoding="ascii")
        rows = [line(i, model="large" if i != 3 else "none") for i in range(1, 31)]
        with it.books.serve("--config", config) as server:
            client = Client(server, it.books.key)
            name = client.batch("\n".join(rows))
            batch = client.wait(name)
            assert batch["request_counts"] == {"total": 30, "completed": 29, "failed": 1}, batch
            out = client.rows(batch["output_file_id"])
            assert {row["custom_id"] for row in out} == {f"request-{i}" for i in range(1, 31)
                                                         if i != 3}
            wrong, = client.rows(batch["error_file_id"])
            assert wrong["response"]["status_code"] == 404, wrong
            alone = node.post("/v1/completions", json.loads(line(1))["body"]).json
            assert out[0]["response"]["body"]["choices"] == alone["choices"], out[0]
            vectors = [json.dumps({"custom_id": f"v{i}", "method": "POST",
                                   "url": "/v1/embeddings",
                                   "body": {"model": "large", "input": f"text {i}"}})
                       for i in range(3)]
            more = client.wait(client.batch("\n".join(vectors), endpoint="/v1/embeddings"))
            assert more["request_counts"]["completed"] == 3, more
            assert len(client.rows(more["output_file_id"])[0]["response"]["body"]["data"]) == 1
    paid, = it.books.rows("SELECT COUNT(*), SUM(input_tokens + cached_tokens + output_tokens)"
                          " FROM entry WHERE kind = 'settle' AND class = 'batch'"
                          " AND input_tokens + cached_tokens > 0")
    tokens = batch["usage"]["total_tokens"] + more["usage"]["total_tokens"]
    assert paid == (32, tokens), (paid, tokens)
    it.books.must_balance()


@site
def files_go_when_they_expire(it):
    it.books.command("project", "set", "acme/research/chat", "--keep-content", "2s")
    with it.serve() as server:
        client = Client(server, it.books.key)
        file = client.file(lines(3))
        assert client.ask("GET", f"/v1/files/{file}").status == 200
        assert becomes(lambda: client.ask("GET", f"/v1/files/{file}").status == 404)
        assert becomes(lambda: it.books.rows("SELECT COUNT(*) FROM batch_line") == [(0,)])


@site
def sealed_servers_have_batches_too(it):
    with it.serve("--sealed", "process") as server:
        client = Client(server, it.books.key)
        batch = client.wait(client.batch(lines(5)))
        assert batch["request_counts"]["completed"] == 5, batch
        assert len(client.rows(batch["output_file_id"])) == 5


@site
def a_policy_holds_for_each_line(it):
    policy = it.folder / "policy.yaml"
    policy.write_text("""
zones:
  - {name: local, trust: 1}
detectors:
  - {find: email, class: restricted}
rules:
  - {name: open, up-to: internal, allow: [local]}
""", encoding="ascii")
    texts = [line(1), line(2, prompt="write to ann@example.com"), line(3)]
    with it.serve("--policy", policy) as server:
        client = Client(server, it.books.key)
        batch = client.wait(client.batch("\n".join(texts)))
        assert batch["request_counts"] == {"total": 3, "completed": 2, "failed": 1}, batch
        wrong, = client.rows(batch["error_file_id"])
        assert wrong["custom_id"] == "request-2", wrong
        assert wrong["response"]["status_code"] == 403, wrong
        file = client.file(lines(2))
        for name in ("restricted" * 30, ""):
            for wrong in (client.create(file, headers={"X-Tokenworks-Data-Class": name}),
                          client.send(lines(1), headers={"X-Tokenworks-Data-Class": name})):
                assert wrong.status == 400 and "give it once" in wrong.error["message"], wrong.body
        wrong = client.create(file, headers={"X-Tokenworks-Data-Class": "public, restricted"})
        assert wrong.status == 200, wrong.body  # a class that there is not: no line runs
        assert client.wait(wrong.json["id"])["request_counts"]["failed"] == 2
        twice = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        body = json.dumps({"input_file_id": file, "endpoint": "/v1/completions",
                           "completion_window": "24h"}).encode()
        twice.putrequest("POST", "/v1/batches")
        for header, value in (*client.headers.items(), ("Content-Length", str(len(body))),
                              ("X-Tokenworks-Data-Class", "internal"),
                              ("X-Tokenworks-Data-Class", "restricted")):
            twice.putheader(header, value)
        twice.endheaders(body)
        answer = twice.getresponse()
        assert answer.status == 400 and b"give it once" in answer.read(), answer.status
        twice.close()
        raised = client.create(file, headers={"X-Tokenworks-Data-Class": "restricted"})
        batch = client.wait(raised.json["id"])
        assert batch["request_counts"]["failed"] == 2, batch


@site
def a_batch_has_the_higher_class_of_its_file_and_its_own(it):
    policy = it.folder / "policy.yaml"
    policy.write_text("""
zones:
  - {name: local, trust: 1}
rules:
  - {name: open, up-to: internal, allow: [local]}
""", encoding="ascii")
    with it.serve("--policy", policy) as server:
        client = Client(server, it.books.key)
        for of_file, of_batch, done in (("restricted", None, 0), ("restricted", "public", 0),
                                        ("public", "restricted", 0), ("none", "public", 0),
                                        ("internal", "public", 2), ("public", None, 2)):
            sent = client.send(lines(2), headers={"X-Tokenworks-Data-Class": of_file})
            assert sent.status == 200, sent.body
            headers = {"X-Tokenworks-Data-Class": of_batch} if of_batch else {}
            batch = client.wait(client.create(sent.json["id"], headers=headers).json["id"])
            assert batch["request_counts"]["completed"] == done, (of_file, of_batch, batch)
            if of_file != "none":
                record = it.books.records("request.settled" if done else "request.refused")[-1]
                high = max(of_file, of_batch or "public",
                           key=["public", "internal", "restricted"].index)
                assert record["route"]["class"] == high, record


@site
def a_stopped_server_goes_on_where_it_stopped(it):
    with it.serve("--batch-lines", "4") as server:
        client = Client(server, it.books.key)
        name = client.batch(lines(120, max_tokens=20))
        assert becomes(lambda: client.get(name)["request_counts"]["completed"] > 5)
        began = time.monotonic()
        assert server.stop() == 0
        print(f"# stopped within {time.monotonic() - began:.2f} s")
    (stopped,), = it.books.rows("SELECT hub FROM batch")
    with it.serve() as server:
        assert becomes(lambda: it.books.rows("SELECT hub FROM batch") != [(stopped,)], 10), \
            "that is no silence of 20 seconds"
        client = Client(server, it.books.key)
        batch = client.wait(name)
        assert batch["request_counts"] == {"total": 120, "completed": 120, "failed": 0}, batch
        rows = client.rows(batch["output_file_id"])
        assert len({row["custom_id"] for row in rows}) == len(rows) == 120
    settled, = it.books.rows("SELECT COUNT(*), SUM(input_tokens + cached_tokens + output_tokens)"
                             " FROM entry WHERE kind = 'settle'")
    assert settled == (120, batch["usage"]["total_tokens"]), (settled, batch["usage"])
    it.books.must_balance()


def other_folder(it, name, shares):
    """For a hub on another machine; shares: what the first one's has is the same there."""
    folder = it.folder / name
    folder.mkdir(mode=0o700)
    for file in ("pepper", "audit-key", "audit-key.pub"):
        shutil.copy(it.folder / file, folder)
    if shares:
        (folder / "subjects").symlink_to(it.folder / "subjects")
    return {"env": {**os.environ, "TOKENWORKS_BOOKS_KEYS": str(folder)}}


def is_taken_for_dead(it, hub):
    """As if its lease were over."""
    it.books.write(f"UPDATE hub_process SET seen_ns = seen_ns - 30000000000 WHERE id = {hub}")


def each_line_once(it, client, name, n_lines):
    batch = client.wait(name, seconds=120)
    assert batch["status"] == "completed", batch
    assert batch["request_counts"] == {"total": n_lines, "completed": n_lines, "failed": 0}, batch
    rows = client.rows(batch["output_file_id"])
    assert [row["custom_id"] for row in rows] == [f"request-{i}" for i in range(1, n_lines + 1)]
    tokens = sum(row["response"]["body"]["usage"]["total_tokens"] for row in rows)
    paid, = it.books.rows("SELECT COUNT(*), SUM(input_tokens + cached_tokens + output_tokens)"
                          " FROM entry WHERE kind = 'settle'"
                          " AND input_tokens + cached_tokens + output_tokens > 0")
    assert paid == (n_lines, tokens), (paid, n_lines, tokens)
    it.books.must_balance()


def takes_over(it, silence):
    """The hub that has a batch says nothing any more; how: by that signal."""
    n_lines = 200
    with it.serve("--batch-lines", "1") as first:
        client = Client(first, it.books.key)
        name = client.batch(lines(n_lines, max_tokens=48))
        assert becomes(lambda: client.get(name)["request_counts"]["completed"] > 5)
        with it.serve(**other_folder(it, "second", True)) as second:
            try:
                first.process.send_signal(silence)
                (dead, done), = it.books.rows("SELECT hub, n_completed FROM batch")
                assert 5 < done < n_lines, done
                time.sleep(1.5)
                assert it.books.rows("SELECT hub FROM batch") == [(dead,)], "its lease is not over"
                is_taken_for_dead(it, dead)
                assert becomes(lambda: it.books.rows("SELECT hub FROM batch") != [(dead,)])
            finally:  # and where it was only stopped, it wakes up in the middle of it
                first.process.send_signal(signal.SIGCONT)
            each_line_once(it, Client(second, it.books.key), name, n_lines)


@site
def another_hub_takes_over_from_one_that_was_killed(it):
    takes_over(it, signal.SIGKILL)


@site
def a_hub_that_wakes_up_behind_its_lease_answers_no_line_again(it):
    takes_over(it, signal.SIGSTOP)


@site
def a_hub_without_the_keys_of_a_file_leaves_it_to_one_that_has_them(it):
    with it.serve(**other_folder(it, "second", False)) as second:
        assert Client(second, it.books.key).file(lines(1))  # it has a key of the project's own
        with it.serve() as first:
            file = Client(first, it.books.key).file(lines(20))
            cut = None
            try:
                cut = Client(second, it.books.key).ask("GET", f"/v1/files/{file}/content").body
            except (http.client.HTTPException, OSError):
                pass
            assert not cut, cut
            client = Client(first, it.books.key)
            for _ in range(4):  # whoever takes it first
                batch = client.wait(Client(second, it.books.key).create(file).json["id"])
                assert batch["request_counts"]["completed"] == 20, batch


@site
def a_batch_that_is_over_waits_for_the_hub_that_can_read_its_lines(it):
    with it.serve("--batch-lines", "1") as first:
        client = Client(first, it.books.key)
        name = client.batch(lines(300, max_tokens=40))
        assert becomes(lambda: client.get(name)["request_counts"]["completed"] > 3)
    write(it, f"UPDATE batch SET expires_ns = {time.time_ns()}")
    with it.serve(**other_folder(it, "second", False)):
        time.sleep(3)
        assert it.books.rows("SELECT ended_ns FROM batch") == [(0,)]
        with it.serve() as first:
            batch = Client(first, it.books.key).wait(name)
    counts = batch["request_counts"]
    assert batch["status"] == "expired", batch
    assert counts["completed"] + counts["failed"] == 300 and counts["failed"] > 0, counts


@site
def a_batch_whose_window_is_over_runs_no_line(it):
    with it.serve("--batch-lines", "1") as server:
        client = Client(server, it.books.key)
        name = client.batch(lines(300, max_tokens=40))
        assert becomes(lambda: client.get(name)["request_counts"]["completed"] > 3)
    write(it, "UPDATE batch SET expires_ns = created_ns")
    with it.serve() as server:
        client = Client(server, it.books.key)
        batch = client.wait(name)
        counts = batch["request_counts"]
        assert batch["status"] == "expired" and batch["expired_at"], batch
        assert counts["completed"] + counts["failed"] == 300 and counts["failed"] > 0, counts
        codes = {row["error"]["code"] for row in client.rows(batch["error_file_id"])}
        assert codes == {"batch_expired"}, codes
        done = client.rows(batch["output_file_id"])
        assert len(done) == counts["completed"], counts
    paid, = it.books.rows("SELECT COUNT(*) FROM entry WHERE kind = 'settle'"
                          " AND input_tokens + cached_tokens > 0")
    assert paid == (len(done),), (paid, counts)
    it.books.must_balance()


@site
def clients_cut_the_steps_of_batches_short(it):
    with it.serve() as server:
        client = Client(server, it.books.key)
        name = client.batch(lines(400, max_tokens=40))
        assert becomes(lambda: client.get(name)["request_counts"]["completed"] > 3)
        for i in range(20):
            server.post("/v1/completions", {"prompt": f"Hello {i}", "max_tokens": 2},
                        headers=bearer(it.books.key))
            time.sleep(0.02)
        assert client.get(name)["status"] == "in_progress", "it was over too early"
        n = server.metric("idle_steps_given_up_total")
        print(f"# 20 clients cut {n:.0f} steps short")
        assert n >= 5, n
        client.ask("POST", f"/v1/batches/{name}/cancel")
        client.wait(name)


def without_books_the_calls_say_what_they_need(program, data):
    with Server(program, "--model", Path(data, "tokenworks-demo.gguf")) as server:
        answer = server.get("/v1/files")
        assert answer.status == 501 and "--books" in answer.error["message"], answer.body


def main():
    cases = (a_batch_gives_each_line_the_answer_that_it_gets_alone,
             batches_have_their_own_price_and_show_in_reports,
             without_a_price_for_batches_they_have_the_standard_one,
             chats_and_wrong_requests_get_a_line_each,
             faults_of_a_file_are_told_with_their_lines,
             calls_that_make_no_sense_are_refused_with_a_sentence,
             lists_have_pages_and_a_project_sees_its_own_alone,
             an_old_batch_names_no_file_that_came_after_its_own,
             a_batch_that_is_cancelled_keeps_what_it_has,
             a_revoked_key_ends_its_batches,
             a_budget_that_is_used_up_fails_the_lines_and_nobody_else_pays,
             who_is_erased_is_erased_in_files_and_results,
             what_clients_do_with_files_and_batches_is_on_record,
             embeddings_are_answered_in_batches_as_alone,
             lines_are_relayed_to_other_servers,
             files_go_when_they_expire,
             sealed_servers_have_batches_too,
             a_policy_holds_for_each_line,
             a_batch_has_the_higher_class_of_its_file_and_its_own,
             a_stopped_server_goes_on_where_it_stopped,
             a_batch_whose_window_is_over_runs_no_line,
             clients_cut_the_steps_of_batches_short,
             without_books_the_calls_say_what_they_need)
    if POSTGRES:  # which cannot be sealed alone, and may have several hubs
        cases = (*(one for one in cases if one is not sealed_servers_have_batches_too),
                 another_hub_takes_over_from_one_that_was_killed,
                 a_hub_that_wakes_up_behind_its_lease_answers_no_line_again,
                 a_hub_without_the_keys_of_a_file_leaves_it_to_one_that_has_them,
                 a_batch_that_is_over_waits_for_the_hub_that_can_read_its_lines)
    print(f"1..{len(cases)}")
    return run_cases(cases, sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    sys.exit(main())
