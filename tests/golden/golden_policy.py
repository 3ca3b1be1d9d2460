"""The commands of policies, from the outside: what they print, refuse and end with."""
import json

import golden

POLICY = """zones:
- {name: house, trust: 3}
- {name: world, trust: 0}
detectors:
- {find: email, class: confidential}
rules:
- {name: free, up-to: internal, allow: [house, world]}
- {name: home, class: [confidential], redact: [email], left-up-to: public, allow: [world]}
- {name: late, class: [public], allow: [house]}
"""
SECRET = "anna@example.org"


def write(program, name, text):
    (program.folder / name).write_text(text, encoding="utf-8")
    return name


def refused(program, code, part, *words):
    exit_code, out, err = program.run("policy", *words)
    text = err.decode(errors="replace")
    assert exit_code == code, f"{exit_code}, not {code}: {text}"
    assert text.startswith("tokenworks: error: ") and text.count("\n") == 1, text
    assert part in text, f"{part!r} is not in {text!r}"
    return out.decode()


def a_policy_is_said_in_words_and_as_json(program):
    write(program, "p.yaml", POLICY)
    text = program.good("policy", "check", "p.yaml").decode()
    assert "classes, lowest first: public, internal, confidential, restricted\n" in text
    assert "  1. free: public, internal -> house, world\n" in text
    assert "note: rule 3 is never reached" in text
    whole = json.loads(program.good("policy", "check", "p.yaml", "--json"))
    assert len(whole["version"]) == 64 and text.startswith("policy " + whole["version"][:12])
    assert [rule["name"] for rule in whole["policy"]["rules"]] == ["free", "home", "late"]
    write(program, "q.yaml", "# other words\n" + POLICY.replace("up-to: internal",
                                                               "class: [internal, public]"))
    assert json.loads(program.good("policy", "check", "q.yaml", "--json")) == whole


def a_mistake_in_a_policy_has_its_line(program):
    write(program, "p.yaml", POLICY.replace("allow: [house]}", "allow: [hose]}"))
    refused(program, 5, "there is no zone 'hose'; did you mean house? (line: 9, column: ",
            "check", "p.yaml")
    write(program, "p.yaml", POLICY.replace("trust: 3", "trust: much"))
    refused(program, 5, "line: 2", "test", "p.yaml", "cases.yaml")
    refused(program, 3, "absent.yaml", "check", "absent.yaml")


def cases_pass_or_fail_and_the_exit_code_says_so(program):
    write(program, "p.yaml", POLICY)
    write(program, "good.yaml", f"""cases:
- {{name: a, text: hello, expect: {{class: public, zones: [world, house]}}}}
- {{text: {SECRET}, expect: {{rule: home, redacts: [email], sent: <EMAIL_1>, refused: no}}}}
- {{text: hello, header: restricted, expect: {{rule: none, refused: yes, zones: []}}}}
""")
    out = program.good("policy", "test", "p.yaml", "good.yaml").decode()
    assert out.startswith("passed 1: a\npassed 2\npassed 3\n3 passed, 0 failed, policy "), out
    write(program, "bad.yaml", f"""cases:
- {{text: hello, expect: {{class: public}}}}
- {{text: {SECRET}, zones: [house], expect: {{class: internal, rule: free, zones: [house]}}}}
""")
    out = refused(program, 9, "1 of 2 cases are not decided as expected",
                  "test", "p.yaml", "bad.yaml")
    assert "FAILED 2\n       class is 'confidential', expected 'internal'; rule is 'none'" in out
    write(program, "odd.yaml", "cases:\n- {expect: {class: public}}\n")
    refused(program, 5, "case 1: a case needs one of text and request", "test", "p.yaml",
            "odd.yaml")
    write(program, "odd.yaml", "cases:\n- {text: x, zones: [moon], expect: {}}\n")
    refused(program, 2, "case 1: the policy has no zone 'moon'", "test", "p.yaml", "odd.yaml")
    write(program, "odd.yaml", "cases:\n- {text: x, expects: {}}\n")
    refused(program, 5, "did you mean expect?", "test", "p.yaml", "odd.yaml")


def requests_are_explained_and_never_shown(program):
    write(program, "p.yaml", POLICY)
    write(program, "r.json", json.dumps({"model": "m", "messages": [
        {"role": "user", "content": "Hello."},
        {"role": "tool", "content": f"{SECRET}, {SECRET}"}]}))
    text = program.good("policy", "explain", "p.yaml", "r.json").decode()
    assert "class confidential\n" in text
    assert "  confidential: email in messages[1].content, 2 times\n" in text
    assert "  1. free: is for other classes\n  2. home: fits\n  3. late: is not reached\n" in text
    assert "may run in world; replaced before it leaves: email\n" in text
    answer = json.loads(program.good("policy", "explain", "p.yaml", "r.json", "--json", "--header",
                                     "internal", "--zone", "house"))
    assert answer["class"] == "confidential" and answer["allowed"] is False
    assert answer["rule"] is None and "no rule" in answer["sentence"]
    assert SECRET not in text and SECRET not in json.dumps(answer)
    refused(program, 2, "x-tokenworks-data-class: 'secret' is not one of public, internal",
            "explain", "p.yaml", "r.json", "--header", "secret")
    refused(program, 2, "no class 'old'", "explain", "p.yaml", "r.json", "--floor", "old")
    write(program, "no.json", "{")
    refused(program, 5, "no.json", "explain", "p.yaml", "no.json")


if __name__ == "__main__":
    golden.main([
        a_policy_is_said_in_words_and_as_json,
        a_mistake_in_a_policy_has_its_line,
        cases_pass_or_fail_and_the_exit_code_says_so,
        requests_are_explained_and_never_shown,
    ])
