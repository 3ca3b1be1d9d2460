"""The configuration file of the server, and --check.

    check_config.py TOKENWORKS DATA

The demo model is in DATA.
"""
import hashlib
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from server import Server, becomes, run_cases  # noqa: E402


def write(folder, name, text):
    path = Path(folder, name)
    path.write_text(text, encoding="utf-8")
    return path


def key_row(tenant, key):
    return f"  - {{tenant: {tenant}, hash: {hashlib.sha256(key.encode()).hexdigest()}}}\n"


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def check(program, *words):
    return subprocess.run([program, "serve", "--check", *map(str, words)], capture_output=True,
                          text=True, timeout=60)


def a_file_says_what_options_say(program, model):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "m.gguf").symlink_to(Path(model).resolve())
        write(folder, "keys.yaml", "keys:\n" + key_row("a", "secret"))
        path = write(folder, "tokenworks.yaml", """
            # paths are seen from here
            api-keys: keys.yaml
            ctx: 512
            max-seqs: 3
            models:
              - path: m.gguf
                aliases: [standard, small]
              - {path: m.gguf, name: second, ctx: 300, kv-type: q8_0}
            """)
        with Server(program, "--config", path) as server:
            assert server.get("/v1/models").status == 401
            rows = server.get("/v1/models", headers=bearer("secret")).json["data"]
            assert [(row["id"], row["root"], row["max_model_len"]) for row in rows] == [
                ("m", "m", 512), ("standard", "m", 512), ("small", "m", 512),
                ("second", "second", 300)], rows
            for name, answered in (("small", "m"), ("second", "second")):
                answer = server.chat("hello", model=name, max_tokens=2, headers=bearer("secret"))
                assert answer.status == 200 and answer.json["model"] == answered
            assert server.get("/v1/models/standard",
                              headers=bearer("secret")).json["root"] == "m"


def the_command_line_counts_more_than_the_file(program, model):
    with tempfile.TemporaryDirectory() as folder:
        path = write(folder, "c.yaml", "ctx: 512\nmax-seqs: 2\nmodels: [{path: nowhere.gguf}]\n")
        with Server(program, "--config", path, "--ctx", 256, "--model", f"demo={model}") as server:
            row, = server.get("/v1/models").json["data"]
            assert row["id"] == "demo" and row["max_model_len"] == 256


WRONG = (
    ("port: 70000", 5, "port is 70000; it must be from 0 to 65535 (line: 1, column: 7)"),
    ("prot: 1", 5, "did you mean port? (line: 1"),
    ("\nmodels:\n  - path: m\n    ctx: 99999999", 5, "ctx is 99999999; it must be from 0 to "
     "16777216 (line: 4, column: 10)"),
    ("models: [{name: a}]", 5, "the key path is missing in models (line: 1"),
    ("models: [{path: m, kv-type: q4}]", 5, "'q4' is not one of f16, q8_0 (line: 1, column: 29)"),
    ("kv-type: f32", 5, "'f32' is not one of f16, q8_0 (line: 1, column: 10)"),
    ("no-auth: maybe", 5, "'maybe' is not true, false, yes or no"),
    ("config: other.yaml", 5, "unknown key 'config'"),
    ("threads: -1", 5, "is not a whole number"),
    ("ctx: 1\nctx: 2", 5, "the key ctx is there a second time (line: 2"),
    ("models: [{path: m.gguf}, {path: m.gguf}]", 2, "two models are called 'm'"),
    ("models: [{path: m.gguf, aliases: [a, a]}]", 2, "two models are called 'a'"),
    ("models: [{path: m.gguf}, {path: m.gguf, name: n, aliases: [m]}]", 2, "are called 'm'"),
    ("models: [{path: nothing.gguf}]", 3, "nothing.gguf"),
    ("models: [{path: broken.gguf}]", 5, "broken.gguf"),
    ("models: [{path: m.gguf}]\napi-keys: none.yaml", 3, "none.yaml"),
    ("models: [{path: m.gguf}]\napi-keys: bad.yaml", 5, "SHA-256"),
    ("models: [{path: m.gguf}]\nhost: 0.0.0.0", 2, "loopback"),
    ("models: [{path: m.gguf}]\nhost: here", 2, "is no address"),
    ("port: 1", 2, "no model"),
)


def what_is_wrong_is_said_with_its_place_and_nothing_starts(program, model):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "m.gguf").symlink_to(Path(model).resolve())
        Path(folder, "broken.gguf").write_bytes(Path(model).read_bytes()[:5000])
        write(folder, "bad.yaml", "keys: [{tenant: a, hash: 12}]")
        for text, code, message in WRONG:
            path = write(folder, "c.yaml", text)
            run = check(program, "--config", path)
            assert run.returncode == code and message in run.stderr, f"{text}: {run}"
            served = subprocess.run([program, "serve", "--config", path, "--port", "0"],
                                    capture_output=True, text=True, timeout=60)
            assert served.returncode == code or "port" in text, f"{text}: {served}"


def check_has_a_line_for_each_thing(program, model):
    with tempfile.TemporaryDirectory() as folder:
        write(folder, "keys.yaml", "keys:\n" + key_row("a", "1") + key_row("b", "2"))
        path = write(folder, "c.yaml", f"models: [{{path: {Path(model).resolve()}, name: demo}}]\n"
                                       "api-keys: keys.yaml\nhost: 0.0.0.0\n")
        run = check(program, "--config", path)
        lines = run.stdout.splitlines()
        assert run.returncode == 0 and all(line.startswith("ok: ") for line in lines), run
        for part in ("c.yaml", "0.0.0.0 port 8080", "keys.yaml': 2 tenants", "1 model,",
                     "model demo: "):
            assert sum(part in line for line in lines) == 1, f"{part}: {lines}"
        run = check(program, "--config", path, "--model", "nothing.gguf", "--api-keys", "none")
        assert run.returncode == 3 and "nothing.gguf" in run.stderr and "none" in run.stderr
        assert "0.0.0.0" in run.stdout


def sighup_reads_the_keys_again_and_a_wrong_file_changes_nothing(program, model):
    with tempfile.TemporaryDirectory() as folder:
        keys = write(folder, "keys.yaml", "keys:\n" + key_row("a", "old"))
        with Server(program, "--model", model, "--api-keys", keys) as server:
            def status(key):
                return server.get("/v1/models", headers=bearer(key)).status
            assert (status("old"), status("new")) == (200, 401)
            write(folder, "keys.yaml", "keys:\n" + key_row("a", "new"))
            server.process.send_signal(signal.SIGHUP)
            assert becomes(lambda: "the keys were read again" in server.log_text())
            assert (status("old"), status("new")) == (401, 200)
            write(folder, "keys.yaml", "keys: none")
            server.process.send_signal(signal.SIGHUP)
            assert becomes(lambda: "the keys stay as they were" in server.log_text())
            assert (status("old"), status("new")) == (401, 200)


CASES = (a_file_says_what_options_say, the_command_line_counts_more_than_the_file,
         what_is_wrong_is_said_with_its_place_and_nothing_starts,
         check_has_a_line_for_each_thing,
         sighup_reads_the_keys_again_and_a_wrong_file_changes_nothing)


def main():
    program, data = sys.argv[1:3]
    print(f"1..{len(CASES)}")
    sys.exit(run_cases(CASES, program, str(Path(data, "tokenworks-demo.gguf"))))


if __name__ == "__main__":
    main()
