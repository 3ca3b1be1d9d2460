"""The admin API: every endpoint and every role, who is let in, and what is refused.

    check_admin.py TOKENWORKS DATA
"""
import http.client
import itertools
import json
import os
import signal
import socket
import sqlite3
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books, bearer  # noqa: E402
from server import Answer, becomes, run_cases, together  # noqa: E402

ROLES = ("owner", "finance", "auditor", "operator", "member")
# From the top; None is everything. A scope's number is its depth.
SCOPES = (None, "acme", "acme/research", "acme/research/chat")
NOBODY = 65534

# What the manual promises, in the order of ROLES. w: of what lies within the scope of the role,
# a: of what lies below it (everything is below a scope of everything), -: not at all.
MATRIX = {
    "backend/list": "w-ww-", "backend/drain": "w--w-", "backend/resume": "w--w-",
    "backend/reload": "w--w-",
    "org/create": "w----", "org/list": "wwwww", "org/set": "a--a-", "org/close": "a----",
    "team/create": "w--w-", "team/list": "wwwww", "team/set": "a--a-", "team/close": "a----",
    "project/create": "w--w-", "project/list": "wwwww", "project/set": "a--a-",
    "project/close": "a----",
    "user/create": "w----", "user/list": "w-w--", "user/grant": "w----", "user/withdraw": "w----",
    "user/secret": "w----", "user/close": "w----",
    "key/create": "w--w-", "key/list": "wwwww", "key/set": "w--w-", "key/rotate": "w--w-",
    "key/revoke": "w--w-",
    "budget/set": "aw---", "budget/list": "wwwww", "budget/close": "aw---",
    "price/set": "ww---", "price/list": "wwwww",
    "approval/set": "w----", "approval/use": "w----", "approval/list": "www--",
    "approval/approve": "ww---", "approval/reject": "ww---",
    "ledger/check": "www--", "ledger/list": "www--", "audit/list": "w-w--",
    "subject/erase": "w----", "subject/hold": "w----", "subject/release": "w----",
    "subject/list": "w-w--", "subject/export": "--w--", "content/show": "--w--",
    "audit/register": "w-w--", "usage/show": "www-w", "usage/invoice": "www--",
}
LISTS = {"org/list", "team/list", "project/list", "user/list", "key/list", "budget/list",
         "price/list", "ledger/list", "audit/register", "usage/show"}


class LocalConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=60)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(60)
        self.sock.connect(self.path)


class Site:
    """A server with books, and its socket."""

    def __init__(self, program, data, folder):
        self.books = Books(program, folder)
        self.folder = Path(folder)
        self.socket = Path(folder, "admin.sock")
        config = Path(folder, "serve.yaml")
        config.write_text('backends: [{name: node, url: "http://127.0.0.1:9", '
                          'models: [{name: far, ctx: 512}]}]', encoding="ascii")
        self.words = ("--config", config, "--model", Path(data, "tokenworks-demo.gguf"),
                      "--ctx", "512")

    def serve(self, **more):
        server = self.books.serve(*self.words, **more)
        assert becomes(self.socket.exists)
        return server

    def ask(self, command, fields=None, secret=None, method="POST", data=None):
        connection = LocalConnection(self.socket)
        try:
            connection.request(method, f"/admin/v1/{command}",
                               json.dumps(fields or {}) if data is None else data,
                               bearer(secret) if secret else {})
        except BrokenPipeError:
            pass  # it was refused by its head, which was answered
        answer = Answer(connection.getresponse())
        connection.close()
        return answer

    def good(self, command, **fields):
        answer = self.ask(command, fields)
        assert answer.status == 200, (command, fields, answer.body)
        return answer.json


def site(function):
    """A case with books of its own and a server."""
    def case(program, data):
        with tempfile.TemporaryDirectory() as folder:
            it = Site(program, data, folder)
            with it.serve() as server:
                function(it, server)
    case.__name__ = function.__name__
    return case


# ---- every endpoint and every role ----

def make_user(it, number, role, scope):
    path = f"u{number}" if scope is None else f"acme/u{number}"
    it.good("user/create", path=path)
    it.good("user/grant", path=path, role=role, **({"scope": scope} if scope else {}))
    return it.good("user/secret", path=path)["secret"]


def ask_model(server, key, user):
    answer = server.post("/v1/completions", {"prompt": "a", "max_tokens": 1, "user": user},
                         headers=bearer(key))
    assert answer.status == 200, answer.body


def target_of(it, command, depth, number):
    """(the depth of what the command is about, its fields); what may be lost is made for it."""
    name = f"x{number}"
    rates = {"input": "1", "output": "1"}
    if command == "org/create":
        return 0, {"path": name}
    if command == "org/close":
        if depth == 0:
            it.good("org/create", path=name)
        return 1, {"path": name if depth == 0 else "acme"}
    if command == "team/close":
        if depth < 2:
            it.good("team/create", path=f"acme/{name}")
        return 2, {"path": f"acme/{name}" if depth < 2 else "acme/research"}
    if command == "project/close":
        if depth < 3:
            it.good("project/create", path=f"acme/research/{name}")
        return 3, {"path": f"acme/research/{name}" if depth < 3 else "acme/research/chat"}
    if command in ("key/set", "key/rotate", "key/revoke"):
        it.good("key/create", path=f"acme/research/chat/{name}")
        return 4, {"path": f"acme/research/chat/{name}"}
    if command in ("user/grant", "user/withdraw", "user/secret", "user/close"):
        it.good("user/create", path=f"acme/{name}")
        grant = {"path": f"acme/{name}", "role": "member", "scope": "acme/research"}
        if command == "user/withdraw":
            it.good("user/grant", **grant)
        return (2, grant) if command in ("user/grant", "user/withdraw") else \
            (1, {"path": f"acme/{name}"})
    if command == "content/show":
        return 3, {"request": "1"}
    if command in ("subject/erase", "subject/hold", "subject/release", "subject/export"):
        about = {"subject": name, "in": "acme/research/chat"}
        if command in ("subject/erase", "subject/export"):
            ask_model(it.server, it.books.key, name)
        if command == "subject/release":
            it.good("subject/hold", reason="a reason", **about)
        return 3, {**about, "reason": "a reason"} if command == "subject/hold" else about
    if command == "budget/close":
        it.good("budget/set", path="acme/research", limit=1, name=name)
        return 2, {"path": "acme/research", "name": name}
    return {
        "backend/drain": (0, {"name": "node"}),
        "backend/resume": (0, {"name": "node"}),
        "org/set": (1, {"path": "acme", "rpm": 9999}),
        "team/create": (1, {"path": f"acme/{name}"}),
        "team/set": (2, {"path": "acme/research", "rpm": 9999}),
        "project/create": (2, {"path": f"acme/research/{name}"}),
        "project/set": (3, {"path": "acme/research/chat", "weight": 2}),
        "user/create": (1, {"path": f"acme/{name}"}),
        "key/create": (3, {"path": f"acme/research/chat/{name}"}),
        "budget/set": (2, {"path": "acme/research", "limit": "100", "name": "shared"}),
        "price/set": (0, {"model": name, **rates}),
        "usage/invoice": (1, {"org": "acme"}),
        "approval/set": (0, {"two_people": False}),
        "approval/use": (0, {"what": "policy", "digest": "0" * 64}),
        "approval/approve": (0, {"proposal": 1}),  # there is none
        "approval/reject": (0, {"proposal": 1}),
    }.get(command, (0, {}))


def may(cell, depth, object_depth, is_list):
    if cell == "-":
        return False
    if is_list:
        return True
    return depth <= object_depth if cell == "w" else depth == 0 or depth < object_depth


@site
def each_endpoint_is_open_to_its_roles_in_their_scopes_and_to_nobody_else(it, server):
    it.server = server
    it.good("project/set", path="acme/research/chat", store_content=True)
    ask_model(server, it.books.key, "somebody")
    numbers = itertools.count()
    users = [(role, depth, make_user(it, next(numbers), role, scope))
             for role in ROLES for depth, scope in enumerate(SCOPES)]
    wrong = []
    for command, cells in MATRIX.items():
        for role, depth, secret in users:
            object_depth, fields = target_of(it, command, depth, next(numbers))
            answer = it.ask(command, fields, secret)
            cell = cells[ROLES.index(role)]
            good = 404 if command in ("approval/approve", "approval/reject") else 200
            expected = good if may(cell, depth, object_depth, command in LISTS) else 403
            if answer.status != expected:
                wrong.append(f"{command} by {role} of {SCOPES[depth]}: {answer.status} "
                             f"{answer.body[:200]}, not {expected}")
    assert not wrong, "\n".join(wrong)


@site
def the_matrix_has_every_endpoint(it, _server):
    pages = [it.books.run_bare("man", f"tokenworks-{group}").stdout for group in
             ("org", "team", "project", "user", "key", "budget", "price", "ledger", "audit",
              "subject", "content", "usage", "backend", "approval")]
    known = {line.split()[2] + "/" + line.split()[3]
             for page in pages for line in page.splitlines() if line.startswith(".SS tokenworks ")}
    local = {command for command in known if it.ask(command).status == 404}
    assert local == {"audit/verify", "audit/checkpoint", "audit/export", "audit/replay"}, local
    assert known - local == set(MATRIX)


@site
def usage_is_shown_of_what_the_roles_reach_to_the_unit(it, server):
    it.good("team/create", path="acme/ops")
    it.good("project/create", path="acme/ops/bot")
    it.good("user/create", path="acme/ann")
    other = it.good("key/create", path="acme/ops/bot/night", user="acme/ann")["secret"]
    for key, n in ((it.books.key, 2), (other, 3)):
        for _ in range(n):
            ask_model(server, key, "somebody")
    assert becomes(lambda: it.books.rows(
        "SELECT COUNT(*) FROM entry WHERE kind = 'settle'") == [(5,)])
    member = make_user(it, 1, "member", "acme/research")
    finance = make_user(it, 2, "finance", "acme")
    words = {"by": "key,user", "period": "all", "format": "json"}

    def rows(secret, **more):
        report = it.ask("usage/show", words | more, secret)
        assert report.status == 200, report.body
        return {(row["key"], row["user"]): (row["requests"], row["amount_nano"])
                for row in report.json["rows"]}
    booked = {tuple(row[:2]): tuple(row[2:]) for row in it.books.rows(
        "SELECT o.name || '/' || t.name || '/' || p.name || '/' || k.name,"
        " (SELECT h.name || '/' || u.name FROM secret s JOIN person u ON u.id = s.person"
        "  JOIN holder h ON h.id = u.org WHERE s.holder = k.id),"
        " COUNT(*), SUM(e.amount_nano) FROM entry e JOIN holder k ON k.id = e.api_key"
        " JOIN holder p ON p.id = k.parent JOIN holder t ON t.id = p.parent"
        " JOIN holder o ON o.id = t.parent WHERE e.kind = 'settle' GROUP BY 1, 2")}
    ops = {key: sums for key, sums in booked.items() if key[0].startswith("acme/ops/")}
    assert ops and len(booked) == 2 and ("acme/ops/bot/night", "acme/ann") in ops
    assert rows(None) == rows(finance) == booked
    assert rows(member) == {key: sums for key, sums in booked.items() if key not in ops}
    assert rows(finance, **{"in": "acme/ops"}) == ops
    for part in ("acme/ops", "acme/osp", "acme/researhc/x"):
        answer = it.ask("usage/show", words | {"in": part}, member)
        assert answer.status == 404, answer.body
        assert "did you mean 'acme/ops" not in answer.error["message"], answer.body
    env = dict(os.environ, TOKENWORKS_SECRET=member)
    out = it.books.run("usage", "--by", "key", "--period", "all", "--format", "csv", env=env).stdout
    assert "research/chat" in out and "ops" not in out, out
    out = it.books.run("usage", "invoice", "--org", "acme", env=env, check=False)
    assert out.returncode == 10 and "do not allow 'usage invoice'" in out.stderr, out


@site
def roles_and_secrets_that_were_taken_away_are_of_no_use(it, _server):
    secret = make_user(it, 1, "owner", "acme")
    assert it.ask("team/create", {"path": "acme/a"}, secret).status == 200
    it.good("user/withdraw", path="acme/u1", role="owner", scope="acme")
    assert it.ask("team/create", {"path": "acme/b"}, secret).status == 403
    it.good("user/grant", path="acme/u1", role="owner")
    assert it.ask("team/create", {"path": "acme/b"}, secret).status == 200
    newer = it.good("user/secret", path="acme/u1")["secret"]
    assert it.ask("team/create", {"path": "acme/c"}, secret).status == 401
    assert it.ask("team/create", {"path": "acme/c"}, newer).status == 200
    it.good("user/close", path="acme/u1")
    assert it.ask("team/create", {"path": "acme/d"}, newer).status == 401


# ---- who is let in ----

@site
def nobody_is_let_in_by_a_wrong_secret_or_a_key(it, _server):
    for command in MATRIX:
        for secret in ("tw-user-nobodys", it.books.key, " "):
            answer = it.ask(command, {}, secret)
            assert answer.status == 401 and answer.error["code"] == "denied", (command, secret)
    connection = LocalConnection(it.socket)
    connection.request("POST", "/admin/v1/key/list", "{}", {"Authorization": "Basic YTpi"})
    assert connection.getresponse().status == 401


@site
def the_admin_api_is_not_on_the_network(it, server):
    for path in ("/admin/v1/key/list", "/admin/v1/", "/v1/../admin/v1/key/list"):
        assert server.post(path, {}).status in (401, 404)
        assert server.post(path, {}, headers=bearer(it.books.key)).status == 404


def of_nobody(function):
    """What a function gives, or raises, in a process of a user who is nobody."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            result = str(function())
        except Exception as error:  # a child's report
            result = type(error).__name__
        os.write(writing, result.encode())
        os._exit(0)
    os.close(writing)
    os.waitpid(pid, 0)
    with os.fdopen(reading, "rb") as pipe:
        return pipe.read().decode()


@site
def the_socket_is_for_its_owner_and_other_users_need_a_secret(it, _server):
    mode = it.socket.stat().st_mode & 0o777
    assert mode == 0o600, oct(mode)
    assert Path(it.folder, "pepper").stat().st_mode & 0o077 == 0
    if os.geteuid() != 0:
        return  # nobody else can be played
    secret = make_user(it, 1, "auditor", None)

    def as_nobody(secret=None):
        return of_nobody(lambda: it.ask("key/list", {}, secret).status)
    it.folder.chmod(0o755)
    assert as_nobody() == "PermissionError"
    it.socket.chmod(0o666)
    assert as_nobody() == "401"
    assert as_nobody(secret) == "200"
    assert it.ask("key/list").status == 200


# ---- what is refused ----

@site
def what_is_no_command_is_told_what_would_be_one(it, _server):
    def refused(status, code, sentence, answer):
        assert answer.status == status and answer.error["code"] == code, answer.body
        assert sentence in answer.error["message"], answer.body
    refused(404, "not found", "did you mean 'key list'", it.ask("key/lst"))
    refused(404, "not found", "did you mean 'budget'", it.ask("bugdet/list"))
    for path in ("", "key", "key/", "/list", "key/list/", "key/list/x", "a" * 200 + "/b",
                 "%00/%0a", "../v1/key/list"):
        refused(404, "not found", "", it.ask(path))
    refused(405, "usage", "POST", it.ask("key/list", method="GET"))
    refused(400, "format", "the body", it.ask("key/list", data="{"))
    refused(400, "usage", "a JSON object", it.ask("key/list", data="[]"))
    refused(400, "usage", "did you mean 'path'", it.ask("key/list", {"pth": "acme"}))
    refused(400, "usage", "needs 'path'", it.ask("org/create"))
    refused(404, "not found", "no open 'x'", it.ask("org/set", {"path": "x"}))
    assert it.ask("key/list", data="").status == 200
    assert it.ask("key/list", data="[" * 10000).status in (400, 409)
    assert it.ask("key/list", data=" " * 70000 + "{}").status == 413


@site
def texts_are_data_and_nothing_else(it, _server):
    before = it.books.rows("SELECT count(*) FROM holder")
    hostile = ["x'); DROP TABLE holder; --", 'x" OR 1=1', "%s%n%I%B", "?", "x\u2028y", "é" * 50]
    for model in hostile:
        answer = it.ask("price/set", {"model": model, "input": "1", "output": "1"})
        if "\u2028" in model:
            assert answer.status == 400, answer.body
        else:
            assert answer.status == 200 and answer.json["model"] == model, answer.body
    for path in ("a'b", "a;b", "../x", "a\nb", "a\r\nX-Evil: 1", "\u202etxt", "a\x00b"):
        assert it.ask("org/create", {"path": path}).status == 400, path
    assert it.books.rows("SELECT count(*) FROM holder") == before
    assert {row["model"] for row in it.good("price/list")["prices"]} >= set(hostile[:4])
    it.books.must_balance()


@site
def a_command_that_is_refused_changes_nothing(it, _server):
    def state():
        connection = sqlite3.connect(f"file:{it.books.path}?mode=ro", uri=True)
        try:
            return [connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
                    for table in ("holder", "person", "person_role", "secret", "price", "budget")]
        finally:
            connection.close()
    secret = make_user(it, 1, "member", None)
    before = state()
    for command in MATRIX:
        if not command.endswith("/list"):
            it.ask(command, target_of_nothing(command), secret)
            it.ask(command, {"path": "acme", "nonsense": 1})
    assert state() == before


def target_of_nothing(command):
    return {"price/set": {"model": "*", "input": "1", "output": "1"},
            "ledger/check": {}}.get(command, {"path": "acme/research/chat/ci"})


# ---- the life of it ----

@site
def commands_at_once_are_all_done(it, _server):
    answers = together([lambda n=n: it.ask("key/create", {"path": f"acme/research/chat/k{n}"})
                        for n in range(24)])
    assert [a.status for a in answers] == [200] * 24
    assert len({a.json["secret"] for a in answers}) == 24
    again = together([lambda: it.ask("key/create", {"path": "acme/research/chat/same"})] * 8)
    assert sorted(a.status for a in again) == [200] + [400] * 7
    assert len(it.good("key/list")["keys"]) == 26


def a_socket_that_a_killed_server_left_is_replaced(program, data):
    with tempfile.TemporaryDirectory() as folder:
        it = Site(program, data, folder)
        with it.serve() as server:
            server.process.kill()
            server.process.wait()
        assert it.socket.exists()
        assert it.books.command("key", "list")["keys"]
        with it.serve() as server:
            assert it.ask("key/list").status == 200
            assert server.stop(signal.SIGTERM) == 0
        assert not it.socket.exists()


CASES = [each_endpoint_is_open_to_its_roles_in_their_scopes_and_to_nobody_else,
         the_matrix_has_every_endpoint,
         usage_is_shown_of_what_the_roles_reach_to_the_unit,
         roles_and_secrets_that_were_taken_away_are_of_no_use,
         nobody_is_let_in_by_a_wrong_secret_or_a_key,
         the_admin_api_is_not_on_the_network,
         the_socket_is_for_its_owner_and_other_users_need_a_secret,
         what_is_no_command_is_told_what_would_be_one,
         texts_are_data_and_nothing_else,
         a_command_that_is_refused_changes_nothing,
         commands_at_once_are_all_done,
         a_socket_that_a_killed_server_left_is_replaced]

if __name__ == "__main__":
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, sys.argv[1], sys.argv[2]))
