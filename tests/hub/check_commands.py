"""The commands of the hub as people type them: with a server and without, tables and JSON, what is
said when something is wrong, completions and manual pages.

    check_commands.py TOKENWORKS DATA
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from books import Books  # noqa: E402
from server import becomes, run_cases  # noqa: E402

CODES = {"usage": 2, "not found": 3, "format": 5, "limit": 7, "missed": 9, "denied": 10}
GROUPS = ("org", "team", "project", "user", "key", "budget", "price", "approval", "usage", "ledger",
          "subject", "content", "audit", "backend")
ALONE = ("run", "chat", "serve", "tokenize", "perplexity", "eval", "train")


def books(function):
    def case(program, data):
        with tempfile.TemporaryDirectory() as folder:
            function(Books(program, folder), Path(data, "tokenworks-demo.gguf"))
    case.__name__ = function.__name__
    return case


def refused(it, status, sentence, *words, **more):
    out = it.run(*words, check=False, **more)
    assert out.returncode == CODES[status] and sentence in out.stderr, (words, out)
    assert out.stdout == "" and out.stderr.startswith("tokenworks: error: "), out
    assert out.stderr.count("\n") == 1, out


@books
def the_same_is_answered_with_a_server_and_without(it, model):
    it.run("budget", "set", "acme", "--limit", "100", "--zone", "Europe/Berlin")
    it.run("user", "create", "acme/eva")
    words = [(group, "list") for group in ("org", "team", "project", "user", "key", "budget",
                                           "price", "ledger")] + [("ledger", "check")]
    without = [it.run(*w).stdout for w in words]
    as_json = [it.command(*w) for w in words]
    with it.serve("--model", model, "--ctx", "512"):
        assert becomes(Path(it.path.parent, "admin.sock").exists)
        assert [it.run(*w).stdout for w in words] == without
        assert [it.command(*w) for w in words] == as_json
        it.run("team", "create", "acme/made")
    assert "acme/made" in it.run("team", "list").stdout


@books
def who_cannot_reach_the_server_is_told_who_has_the_books(it, model):
    with it.serve("--model", model, "--ctx", "512") as server:
        socket = Path(it.path.parent, "admin.sock")
        assert becomes(socket.exists)
        socket.unlink()
        out = it.run("key", "list", check=False)
        assert out.returncode != 0 and str(server.process.pid) in out.stderr, out


@books
def a_table_has_what_json_has(it, _model):
    rows = it.command("key", "list")["keys"]
    table = it.run("key", "list").stdout.splitlines()
    assert len(table) == len(rows) + 1
    for name in ("PATH", "ID", "STATE", "SECRETS"):
        assert name in table[0], table[0]
    for row, line in zip(rows, table[1:]):
        assert row["path"] in line and str(row["id"]) in line and row["secrets"][0] in line
    assert "RPM" not in table[0]  # nobody has one
    it.run("key", "set", "acme/research/chat/ci", "--rpm", "7")
    assert "RPM" in it.run("key", "list").stdout
    assert it.run("user", "list").stdout == "no users; --all shows what was closed as well\n"
    assert it.run("user", "list", "--all").stdout == "no users\n"
    it.run("budget", "set", "acme", "--limit", "2")
    assert "ZONE" not in it.run("budget", "list").stdout
    assert "ZONE" in it.run("budget", "list", "--wide").stdout
    register = it.run("audit", "register").stdout.splitlines()
    assert "MODELS" in register[0] and "READERS" in register[0] and "*" in register[1], register


@books
def a_secret_goes_to_standard_output_and_its_warning_elsewhere(it, _model):
    out = it.run("key", "create", "acme/research/chat/new")
    assert re.search(r"^secret +tw-[\w-]{43}$", out.stdout, re.MULTILINE), out.stdout
    assert "this once" in out.stderr
    secret = out.stdout.split("secret")[1].split()[0]
    assert secret.encode() not in it.path.read_bytes()
    listed = it.run("key", "list").stdout + it.run("audit", "list").stdout
    assert secret not in listed and secret[:9] in listed


@books
def what_is_wrong_is_said_with_the_option_and_the_remedy(it, _model):
    refused(it, "usage", "did you mean 'budget set'?", "budget", "sett")
    refused(it, "usage", "did you mean '--limit'?", "budget", "set", "acme", "--limt", "3")
    refused(it, "usage", "--limit: 'x' is no limit", "budget", "set", "acme", "--limit", "x")
    refused(it, "usage", "ORG: 'a b' is no path", "org", "create", "a b")
    refused(it, "usage", "--rpm: 'many' is no whole number", "org", "set", "acme", "--rpm", "many")
    refused(it, "usage", "--class: 'hgih' is none of normal, high, idle", "project", "set",
            "acme/research/chat", "--class", "hgih")
    refused(it, "usage", "price set needs --output AMOUNT", "price", "set", "*", "--input", "1")
    refused(it, "usage", "exclude each other", "budget", "set", "acme", "--limit", "1", "--soft",
            "--no-soft")
    refused(it, "usage", "usage: tokenworks key create ORG/TEAM/PROJECT/KEY", "key", "create")
    refused(it, "usage", "it must be like ORG, ORG/TEAM, ORG/TEAM/PROJECT or ORG/TEAM/PROJECT/KEY",
            "budget", "set", "a/b/c/d/e", "--limit", "1")
    refused(it, "usage", "'+90d' or 'never'", "key", "create", "acme/research/chat/x", "--expires",
            "soon")
    out = it.run_bare("hub", check=False)
    assert out.returncode == 2 and "the hub's commands are org, team" in out.stderr, out
    refused(it, "usage", "unexpected 'b'", "org", "create", "a", "b")
    refused(it, "usage", "taken already", "org", "create", "acme")
    refused(it, "not found", "no open 'acme/none'", "team", "close", "acme/none")
    it.path = Path(it.path.parent, "none.db")
    refused(it, "not found", "there are no books at", "key", "list")


@books
def a_user_has_the_rights_of_the_role(it, _model):
    it.run("user", "create", "acme/fin")
    it.run("user", "grant", "acme/fin", "--role", "finance")
    secret = it.command("user", "secret", "acme/fin")["secret"]
    as_fin = dict(os.environ, TOKENWORKS_SECRET=secret)
    it.run("budget", "set", "acme", "--limit", "5", env=as_fin)
    refused(it, "denied", "the roles of 'fin' do not allow 'key revoke' of acme/research/chat/ci",
            "key", "revoke", "acme/research/chat/ci", env=as_fin)
    refused(it, "denied", "TOKENWORKS_SECRET is no user's", "key", "list",
            env=dict(os.environ, TOKENWORKS_SECRET="tw-user-wrong"))


@books
def books_are_found_where_the_environment_says(it, _model):
    environment = dict(os.environ, TOKENWORKS_BOOKS=str(it.path))
    assert "acme" in it.run_bare("org", "list", env=environment).stdout
    environment["TOKENWORKS_BOOKS"] = str(it.path.parent)
    assert "acme" in it.run_bare("org", "list", env=environment).stdout
    del environment["TOKENWORKS_BOOKS"]
    with tempfile.TemporaryDirectory() as folder:
        environment["XDG_DATA_HOME"] = folder
        it.run_bare("org", "create", "there", env=environment)
        made = Path(folder, "tokenworks", "books.db")
        assert made.exists() and made.parent.stat().st_mode & 0o077 == 0
    folder = Path(it.path.parent, "new", "hub")
    it.run_bare("org", "create", "there", "--books", folder)
    assert Path(folder, "books.db").exists() and folder.stat().st_mode & 0o077 == 0
    other = Books.__new__(Books)
    other.program, other.path = it.program, Path(it.path.parent, "usd.db")
    other.run("org", "create", "x", "--currency", "USD")
    assert other.command("budget", "list")["currency"] == "USD"
    refused(other, "usage", "are in USD for ever", "org", "create", "y", "--currency", "EUR")


@books
def what_was_done_and_will_not_help_is_noted(it, model):
    def note(*words):
        return it.run(*words).stderr
    assert note("budget", "set", "acme", "--limit", "5") == ""
    assert "counted money until now" in note("budget", "set", "acme", "--limit", "5", "--unit",
                                             "tokens")
    assert "nothing to keep" in note("project", "set", "acme/research/chat", "--keep-content", "3d")
    assert "nothing to keep" not in note("project", "set", "acme/research/chat", "--keep-content",
                                         "3d", "--store-content")
    with it.serve("--model", model, "--ctx", "512"):
        assert becomes(Path(it.path.parent, "admin.sock").exists)
        assert "did you mean 'tokenworks-demo'" in note("team", "set", "acme/research", "--models",
                                                        "tokenworks-dema")
        assert "no model 'x'" in note("price", "set", "x", "--input", "1", "--output", "1")
        assert note("project", "create", "acme/research/b", "--models", "tokenworks-demo,*") == ""
        refused(it, "usage", "are in EUR for ever", "org", "create", "y", "--currency", "USD")
    it.path = Path(it.path.parent, "unpriced.db")
    it.run("org", "create", "acme")
    assert "no model has a price" in note("budget", "set", "acme", "--limit", "5")


@books
def the_log_is_verified_without_a_server(it, _model):
    kept, export = Path(it.path.parent, "kept"), Path(it.path.parent, "log.jsonl")
    it.run("audit", "checkpoint", "--out", kept)
    it.run("org", "set", "acme", "--rpm", "5")
    assert it.command("audit", "verify", "--checkpoint", kept)["good"] is True
    it.run("audit", "export", "--out", export)
    report = it.command("audit", "verify", export, "--checkpoint", kept)
    assert report["good"] and report["unsigned"] == 0
    export.write_bytes(export.read_bytes().replace(b"acme", b"acne", 1))
    out = it.run("audit", "verify", export, check=False)
    assert out.returncode == CODES["missed"] and "was changed" in out.stderr, out
    it.run("audit", "export", "--since", "2020-01-01", "--until", "+1d")


@books
def every_command_explains_itself_and_has_a_place_in_the_manual(it, _model):
    for group in GROUPS:
        verbs = re.findall(r"^  (\w+) +\w", it.run_bare(group, "--help").stdout, re.MULTILINE)
        assert verbs, group
        page = it.run_bare("man", f"tokenworks-{group}").stdout
        for verb in verbs:
            text = it.run_bare(group, verb, "--help").stdout
            assert text.startswith(f"usage: tokenworks {group} {verb}"), text
            assert max(map(len, text.splitlines())) <= 100, text
            assert f".SS tokenworks {group} {verb} " in page, (group, verb)
            for option in re.findall(r"^  --([a-z-]+)", text, re.MULTILINE):
                assert option == "help" or option.replace("-", r"\-") in page, (group, option)
    for command in ALONE:
        page = it.run_bare("man", f"tokenworks-{command}").stdout
        assert page.startswith('.TH "TOKENWORKS'), page[:100]
        for option in re.findall(r"^  --([a-z-]+)", it.run_bare(command, "--help").stdout, re.M):
            assert option == "help" or "\\-\\-" + option.replace("-", r"\-") in page, option
    assert "no page" in it.run_bare("man", "tokenworks-x", check=False).stderr
    if shutil.which("groff"):
        for page in ("tokenworks", *(f"tokenworks-{name}" for name in GROUPS + ALONE)):
            roff = it.run_bare("man", page).stdout
            out = subprocess.run(["groff", "-man", "-Tutf8", "-ww"], input=roff, text=True,
                                 capture_output=True, check=True, timeout=60)
            assert out.stderr == "" and "tokenworks" in out.stdout, out


@books
def a_shell_completes_commands_verbs_options_and_choices(it, _model):
    def complete(*words):
        script = ('source <("$TW" completion bash); COMP_WORDS=("$@"); '
                  'COMP_CWORD=$(($# - 1)); _tokenworks; printf "%s\\n" "${COMPREPLY[@]}"')
        out = it.run_bare("-c", script, "bash", "tokenworks", *words,
                          env=dict(os.environ, TW=it.program), program="bash")
        return set(out.stdout.split())
    assert "budget" in complete("bud")
    assert complete("key", "") == {"create", "list", "set", "rotate", "revoke"}
    assert complete("budget", "set", "acme", "--per") == {"--period"}
    assert complete("budget", "set", "acme", "--period", "") == {"day", "week", "month", "total"}
    assert complete("budget", "set", "acme", "--no-") == {"--no-soft", "--no-rollover"}
    for shell in ("bash", "zsh", "fish"):
        text = it.run_bare("completion", shell).stdout
        for group in GROUPS:
            assert group in text
    bash = it.run_bare("completion", "zsh").stdout
    subprocess.run(["bash", "-n"], input=bash, text=True, check=True, timeout=60)
    assert "no shell 'csh'" in it.run_bare("completion", "csh", check=False).stderr


CASES = [the_same_is_answered_with_a_server_and_without,
         who_cannot_reach_the_server_is_told_who_has_the_books,
         a_table_has_what_json_has,
         a_secret_goes_to_standard_output_and_its_warning_elsewhere,
         what_is_wrong_is_said_with_the_option_and_the_remedy,
         a_user_has_the_rights_of_the_role,
         books_are_found_where_the_environment_says,
         what_was_done_and_will_not_help_is_noted,
         the_log_is_verified_without_a_server,
         every_command_explains_itself_and_has_a_place_in_the_manual,
         a_shell_completes_commands_verbs_options_and_choices]

if __name__ == "__main__":
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, sys.argv[1], sys.argv[2]))
