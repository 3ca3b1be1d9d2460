"""Runs what the documents tell the reader to run.

Every ```sh block of README.md and docs/ is executed with bash, the blocks of one document in one
scratch folder and in their order, with `tokenworks` and the tools of this build on the PATH, a
small model as model.gguf and the tree's own models in data/. A block that is only to be looked at
is marked ```text. Each block is a test of its own.
"""
import argparse
import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import house

BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SECONDS = 300


def blocks(tree):
    """(document, line, script) of every block that is to be run."""
    for path in ["README.md", *tree.files(".md", under="docs")]:
        if (tree.root / path).is_file():
            text = tree.read(path)
            for match in BLOCK.finditer(text):
                yield path, house.line_of(text, match.start()), match[1]


def run_block(script, folder, programs):
    """What it starts in the background ends with it, even where it fails."""
    environment = dict(os.environ, PATH=f"{programs}:{os.environ['PATH']}", LC_ALL="C.UTF-8")
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(["bash", "-euo", "pipefail", "-c", script], cwd=folder,
                                   env=environment, stdin=subprocess.DEVNULL, stdout=output,
                                   stderr=subprocess.STDOUT, start_new_session=True)
        try:
            code = process.wait(SECONDS)
        except subprocess.TimeoutExpired:
            code = 124
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # nothing is left
        process.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
    return subprocess.CompletedProcess([], code, text, "")


def run_documents(tree, programs):
    """(document, line, result) for every block; programs: a folder, perhaps with a model.gguf."""
    model = Path(programs, "model.gguf")
    with tempfile.TemporaryDirectory() as scratch:
        for path, line, script in blocks(tree):
            folder = Path(scratch, path.replace("/", "_"))
            if not folder.exists():
                folder.mkdir()
                for name in ("data", "docs"):
                    Path(folder, name).symlink_to(Path(tree.root, name).resolve())
                if model.exists():
                    Path(folder, model.name).symlink_to(model)
            yield path, line, run_block(script, folder, programs)


def make_model(programs):
    """A model with random weights, which is all that a document's commands need."""
    maker = Path(programs, "synth_model")
    if maker.exists():
        subprocess.run([maker, "--preset", "tiny", "--type", "F16", "-o",
                        Path(programs, "model.gguf")], check=True, stdout=subprocess.DEVNULL)


def self_test():
    """Problems of the runner itself, on a document whose outcome is known."""
    document = "```sh\necho one > a\n```\n```text\nfalse\n```\n```sh\ncat a\nfalse | true\n```\n"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "README.md").write_text(document, encoding="utf-8")
        results = list(run_documents(house.Tree(folder), folder))
    codes = [(line, result.returncode) for _, line, result in results]
    return [] if codes == [(1, 0), (7, 1)] else [f"unexpected outcome {codes}"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--root", required=True)
    parser.add_argument("programs", nargs="*", help="executables to put on the PATH")
    options = parser.parse_args()
    tree = house.Tree(options.root)
    problems = self_test()
    print(f"1..{len(list(blocks(tree))) + 1}")
    print(f"{'not ok' if problems else 'ok'} 1 - a failing block fails, a text block is not run")
    failed = bool(problems)
    with tempfile.TemporaryDirectory() as folder:
        for program in options.programs:
            Path(folder, Path(program).name).symlink_to(Path(program).resolve())
        make_model(folder)
        for number, (path, line, result) in enumerate(run_documents(tree, folder), 2):
            good = result.returncode == 0
            failed = failed or not good
            print(f"{'ok' if good else 'not ok'} {number} - {path}:{line}", flush=True)
            for text in [] if good else (result.stdout + result.stderr).splitlines()[-20:]:
                print(f"# {text}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
