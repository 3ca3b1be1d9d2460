"""What a change of policy would do, and who approves it.

    check_governance.py TOKENWORKS DATA            books in a file
    TW_TEST_POSTGRES=... check_governance.py ...   books in that PostgreSQL
"""
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books, bearer  # noqa: E402
from server import becomes, run_cases  # noqa: E402

POSTGRES = os.environ.get("TW_TEST_POSTGRES")
POLICY = """
zones:
  - {name: local, trust: 100}
  - {name: cloud, trust: 10}
detectors:
  - {find: email, class: confidential}
rules:
  - {name: own, up-to: internal, allow: [local, cloud]}
  - {name: mail, class: [confidential], redact: [email], left-up-to: internal, allow: [local]}
"""


class Site:
    def __init__(self, program, data, folder):
        self.folder = Path(folder)
        self.data = data
        (self.folder / "hub").mkdir()
        if POSTGRES:
            os.environ["TOKENWORKS_BOOKS_KEYS"] = str(self.folder / "hub")
            psql = sorted(Path("/usr/lib/postgresql").glob("*/bin/psql"))[-1]
            subprocess.run([psql, POSTGRES, "-q", "-c", "DROP SCHEMA public CASCADE",
                            "-c", "CREATE SCHEMA public"], check=True, capture_output=True)
        self.books = Books(program, self.folder / "hub", POSTGRES)
        self.policy = self.write("policy.yaml", POLICY)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path

    def words(self):
        return ("--model", Path(self.data, "tokenworks-demo.gguf"), "--ctx", "512", "--policy",
                self.policy)

    def serve(self, **more):
        return self.books.serve(*self.words(), **more)

    def check(self):
        """Exit code, lines and errors of 'serve --check' for the same."""
        run = self.books.run("serve", "--check", *self.words(), check=False)
        return run.returncode, run.stdout.splitlines(), run.stderr


def site(function):
    def case(program, data):
        with tempfile.TemporaryDirectory() as folder:
            function(Site(program, data, folder))
    case.__name__ = function.__name__
    return case


def ask(server, key, text, **headers):
    return server.post("/v1/completions", {"prompt": text, "max_tokens": 1},
                       headers={**bearer(key), **headers}).status


@site
def a_policy_is_asked_what_it_would_have_done(it):
    with it.serve() as server:
        assert [ask(server, it.books.key, text) for text in ("a", "b", "to anna@b.example")] == [
            200, 200, 200]
        header = {"x-tokenworks-data-class": "restricted"}
        assert ask(server, it.books.key, "c", **header) == 403
        same = it.books.run("policy", "replay", it.policy, "--period", "all")
        assert "4 requests" in same.stdout and "4 as before" in same.stdout, same.stdout
    none = it.books.run("policy", "replay", it.policy, "--period", "2020").stdout
    assert none.startswith("no requests in this period, from 2020-01-01T00:00:00Z to "), none
    assert "from 19" in same.stdout and " to 2" in same.stdout, same.stdout

    def changes(old, new, code=9):
        path = it.write("new.yaml", POLICY.replace(old, new))
        run = it.books.run("policy", "replay", path, "--period", "all", "--json", check=False)
        assert run.returncode == code, run
        return {(row["change"], row["requests"], row["before"], row["new_rule"],
                 tuple(row["zones"]), row["who"]) for row in json.loads(run.stdout)["changes"]}
    who = "acme/research/chat/ci"
    assert changes("up-to: internal, allow: [local, cloud]", "up-to: internal, allow: [cloud]") == {
        ("refused", 2, "local", "own", (), who)}
    assert changes("name: own, up-to: internal", "name: own, class: [restricted, internal]") == {
        ("refused", 2, "local", "none", (), who),
        ("allowed", 1, "refused", "own", ("local",), who)}
    assert changes("detectors:", "floors: [{who: [acme/research], class: restricted}]\n"
                   "detectors:") == {("refused", 2, "local", "none", (), who),
                                     ("refused", 1, "local", "none", (), who)}
    assert changes("name: mail, ", "name: other, ") == {
        ("replaced", 1, "local", "other", ("local",), who)}
    assert changes("{name: local, trust: 100}", "{name: local, trust: 1}", code=0) == set()
    text = it.books.run("policy", "replay", it.write("none.yaml", POLICY.replace(
        "  - {name: own, up-to: internal, allow: [local, cloud]}\n", "")), "--period", "all",
        check=False)
    assert text.returncode == 9 and "2 of 4 requests would be decided otherwise" in text.stderr
    assert "note: requests are not kept" in text.stdout, text.stdout
    listed = it.books.command("audit", "list", "--class", "confidential", "--zone", "local")
    assert [r["body"]["route"]["class"] for r in listed["records"]] == ["confidential"], listed


class People:
    """Owners of everything, who give commands on the command line."""

    def __init__(self, it, *names):
        self.it = it
        self.secrets = {}
        for name in names:
            it.books.command("user", "create", name)
            it.books.command("user", "grant", name, "--role", "owner")
            self.secrets[name] = it.books.command("user", "secret", name)["secret"]

    def run(self, name, *words, check=True):
        return self.it.books.run(*words, "--json", check=check, env=dict(
            os.environ, TOKENWORKS_SECRET=self.secrets[name]))

    def ask(self, name, *words):
        return json.loads(self.run(name, *words).stdout)

    def refused(self, name, code, part, *words):
        run = self.run(name, *words, check=False)
        assert run.returncode == code and part in run.stderr, run


PRICE = ("price", "set", "demo", "--input", "3", "--output", "4")


def prices(it):
    return {row["model"] for row in it.books.command("price", "list")["prices"]}


@site
def what_one_proposes_is_done_when_another_approves(it):
    refused = it.books.run("approval", "set", "--two-people", check=False)
    assert refused.returncode == 2 and "nobody could approve" in refused.stderr, refused
    people = People(it, "ann", "bob")
    it.books.command("approval", "set", "--two-people")
    machine = it.books.run(*PRICE, check=False)
    assert machine.returncode == 10 and "give the command as a user" in machine.stderr, machine
    proposal = people.ask("ann", *PRICE)
    number = str(proposal["proposal"])
    assert proposal["state"] == "open" and len(proposal["digest"]) == 64 and prices(it) == {"*"}
    people.refused("ann", 10, "somebody else has to approve", "approval", "approve", number)
    last = it.books.records("command.refused")[-1]
    assert last["command"] == "approval approve", last
    assert "proposed this, and somebody else has to approve it" in last["reason"], last
    listed, = people.ask("bob", "approval", "list")["proposals"]
    assert listed["by"] == "ann" and '"verb":"set"' in listed["command"], listed
    done = people.ask("bob", "approval", "approve", number)
    assert done["model"] == "demo" and done["approved"] == proposal["proposal"]
    assert prices(it) == {"*", "demo"}
    people.refused("bob", 3, "was decided already", "approval", "approve", number)
    other = str(people.ask("bob", *PRICE)["proposal"])
    assert people.ask("ann", "approval", "reject", other)["rejected"] == int(other)
    people.refused("ann", 3, "was decided already", "approval", "approve", other)
    states = [row["state"] for row in people.ask("ann", "approval", "list", "--all")["proposals"]]
    assert states == ["rejected", "approved"], states
    kinds = [(row["kind"], row["body"].get("actor_name")) for row in
             it.books.command("audit", "list")["records"] if row["kind"].startswith("change.")]
    assert sorted(kinds) == [("change.approved", "bob"), ("change.proposed", "ann"),
                             ("change.proposed", "bob"), ("change.rejected", "ann")], kinds
    assert it.books.command("audit", "verify")["good"] is True


@site
def nobody_makes_himself_two_people_or_ends_it_alone(it):
    people = People(it, "ann", "bob")
    it.books.command("approval", "set", "--two-people")
    people.ask("ann", "user", "create", "eve")
    for words in (("user", "grant", "eve", "--role", "owner"),
                  ("approval", "set", "--no-two-people")):
        assert people.ask("ann", *words)["state"] == "open"
    people.refused("ann", 10, "replaces it himself", "user", "secret", "bob")
    people.refused("ann", 2, "without this one", "user", "close", "bob")
    people.refused("ann", 2, "without this one", "user", "withdraw", "bob", "--role", "owner")
    people.secrets["bob"] = people.ask("bob", "user", "secret", "bob")["secret"]
    secret = people.secrets["bob"]
    number = people.ask("bob", "approval", "list")["proposals"][0]["proposal"]
    assert secret and people.ask("bob", "approval", "list")["two_people"] is True
    assert people.ask("bob", "approval", "approve", str(number))["two_people"] is False
    assert "version" in people.ask("ann", *PRICE)


@site
def a_server_has_what_was_approved_and_nothing_else(it):
    def digest(path):
        return it.books.run_bare("policy", "check", path, "--json").stdout[12:76]

    def refused():
        with it.serve(waits=False) as server:
            assert server.process.wait(60) == 10
            return server.log_text()
    people = People(it, "ann", "bob")
    it.books.command("approval", "use", "policy", digest(it.policy))
    assert it.check()[0] == 0
    warned, = it.books.command("approval", "set", "--two-people")["warnings"]
    assert "no models are approved" in warned and "serve --check" in warned, warned
    text = refused()
    assert "two people approve the models here" in text, text
    code, lines, errors = it.check()
    assert code == 10 and "two people approve the models here" in errors, errors
    words = text.split("'")[1].split()
    assert words[:3] == ["approval", "use", "models"], text

    def approve(*command):
        proposal = people.ask("ann", *command)["proposal"]
        people.ask("bob", "approval", "approve", str(proposal))
    approve(*words)
    found, = [line.split()[-1] for line in lines if "have the digest" in line]
    assert [found] == words[3:4], (found, words)
    assert it.check()[0] == 0
    with it.serve() as server:
        assert ask(server, it.books.key, "a") == 200
        it.write("policy.yaml", POLICY.replace("allow: [local, cloud]", "allow: [cloud]"))
        server.process.send_signal(signal.SIGHUP)
        assert becomes(lambda: "stay as they were" in server.log_text()), server.log_text()
        assert ask(server, it.books.key, "a") == 200, "what nobody approved holds"
        approve("approval", "use", "policy", digest(it.policy))
        server.process.send_signal(signal.SIGHUP)
        assert becomes(lambda: ask(server, it.books.key, "a") == 403)
    it.write("policy.yaml", "# a comment changes nothing" + it.policy.read_text(encoding="utf-8"))
    with it.serve() as server:
        assert ask(server, it.books.key, "a") == 403
    it.write("policy.yaml", POLICY)
    assert "two people approve the policy here, and have not approved this" in refused()
    code, _, errors = it.check()
    assert code == 10 and "two people approve the policy here" in errors, errors


@site
def a_check_finds_what_a_start_would_refuse(it):
    """Each mistake is told by both, with the same sentence."""
    backend = '{name: gpu, url: "http://127.0.0.1:1", %s models: [{name: far, ctx: 64}]}'
    config = it.folder / "serve.yaml"

    def both(policy, zone, code, said):
        it.write("policy.yaml", policy)
        config.write_text("policy: policy.yaml\nmodels: [{path: %s, name: here}]\nbackends: [%s]\n"
                          % (Path(it.data, "tokenworks-demo.gguf").resolve(),
                             backend % (f"zone: {zone}," if zone else "")),
                          encoding="utf-8")
        check = it.books.run("serve", "--check", "--config", config, check=False)
        assert check.returncode == code and said in check.stderr, (said, check)
        if code != 0:
            with it.books.serve("--config", config, waits=False) as server:
                assert server.process.wait(60) == code and said in server.log_text(), said
    floor = "floors: [{who: [acme/%s], class: confidential}]\nzones:"
    both(POLICY, "cloud", 0, "")
    both(POLICY.replace("zones:", floor % "research"), "cloud", 0, "")
    both(POLICY.replace("zones:", floor % "reserach"), "cloud", 2, "a floor for 'acme/reserach'")
    both(POLICY, "clout", 2, "no zone 'clout', in which the backend gpu is")
    both(POLICY, None, 2, "no zone 'elsewhere', in which the backend gpu is")
    both(POLICY.replace("local", "here"), "cloud", 2, "no zone 'local', in which this server is")


@site
def a_request_refused_for_its_place_is_as_before_or_not_known(it):
    """Of a model of another zone, which it may not enter: nothing on record says where that is."""
    config = it.write("serve.yaml", "policy: policy.yaml\nbackends: [{name: gpu, url: "
                      '"http://127.0.0.1:1", zone: cloud, models: [{name: far, ctx: 64}]}]\n')
    with it.books.serve("--config", config) as server:
        reply = server.post("/v1/completions", {"model": "far", "prompt": "to anna@b.example"},
                            headers=bearer(it.books.key))
        assert reply.status == 403, reply.body
    same = it.books.run("policy", "replay", it.policy, "--period", "all")
    assert "0 as before" in same.stdout and "1 not known" in same.stdout, same.stdout
    refused, = it.books.command("audit", "list", "--class", "confidential")["records"]
    assert refused["kind"] == "request.refused" and refused["body"]["http_status"] == 403
    assert not it.books.command("audit", "list", "--class", "confidential", "--zone",
                                "cloud")["records"]


@site
def zones_without_a_policy_are_warned_of(it):
    config = it.write("serve.yaml", 'backends: [{name: gpu, url: "http://127.0.0.1:1", zone: cloud,'
                      ' models: [{name: far, ctx: 64}]}]\n')
    said = "backends have zones and no policy is given"
    assert said in it.books.run("serve", "--check", "--config", config).stdout
    with it.books.serve("--config", config) as server:
        assert server.log_text().count(said) == 1, server.log_text()
    config.write_text(config.read_text().replace(" zone: cloud,", ""))
    assert said not in it.books.run("serve", "--check", "--config", config).stdout
    with it.books.serve("--config", config) as server:
        assert said not in server.log_text()


CASES = [a_policy_is_asked_what_it_would_have_done,
         what_one_proposes_is_done_when_another_approves,
         nobody_makes_himself_two_people_or_ends_it_alone,
         a_server_has_what_was_approved_and_nothing_else,
         a_check_finds_what_a_start_would_refuse,
         a_request_refused_for_its_place_is_as_before_or_not_known,
         zones_without_a_policy_are_warned_of]

if __name__ == "__main__":
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, *sys.argv[1:]))
