"""The tool under test as a function, and TAP for the programs that use it."""
import json
import subprocess
import sys
import traceback


class Tool:
    """One constraint_tool; a request is answered before the next one is made."""

    def __init__(self, path):
        self.process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def ask(self, kind, form, texts=(), walks=0, seed=0, vocabulary="bytes"):
        request = {"kind": kind, "form": form, "texts": list(texts), "walks": walks, "seed": seed,
                   "vocabulary": vocabulary}
        self.process.stdin.write(json.dumps(request, ensure_ascii=False).encode() + b"\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"the tool ended at {form!r}"
        return json.loads(line)


def run_cases(tool_path, cases):
    """Cases are functions of a tool; their names are what would be false."""
    failures = 0
    print(f"1..{len(cases)}")
    for number, case in enumerate(cases, 1):
        name = case.__name__.replace("_", " ")
        try:
            note = case(Tool(tool_path))
            print(f"ok {number} - {name}" + (f" # {note}" if note else ""), flush=True)
        except Exception:  # whatever goes wrong is a failure of the case
            failures += 1
            print(f"not ok {number} - {name}")
            for line in traceback.format_exc().splitlines()[-12:]:
                print(f"# {line[:1000]}", flush=True)
    sys.exit(1 if failures else 0)
