"""chat on a terminal: a pseudo-terminal types, waits and looks; and chat on a pipe."""
import os
import pty
import re
import select
import signal
import struct
import fcntl
import termios
import time

import golden

SECONDS = 60
SLOW = {"TW_CPU": "ref"}  # long answers take long enough to be interrupted


class Terminal:
    """The program on a terminal of 80 x 24."""

    def __init__(self, program, *words, env=None):
        self.seen = ""
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(program.folder)
            os.environ.update({"TERM": "xterm", "LC_ALL": "C.UTF-8", **(env or {})})
            os.execv(program.path, [program.path, *map(str, words)])
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.pid:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def read(self, seconds):
        """Reads what comes within that time; False at the end."""
        if not select.select([self.fd], [], [], seconds)[0]:
            return True
        try:
            data = os.read(self.fd, 65536)
        except OSError:  # Linux: the other side is closed
            return False
        self.seen += data.decode("utf-8", errors="surrogateescape")
        return bool(data)

    def wait(self, pattern):
        """Waits until the pattern is seen; returns what came before it and forgets both."""
        deadline = time.monotonic() + SECONDS
        while not (match := re.search(pattern, self.seen)):
            assert time.monotonic() < deadline, f"no {pattern!r} in {self.seen[-500:]!r}"
            assert self.read(0.1), f"the program ended before {pattern!r}: {self.seen[-500:]!r}"
        before, self.seen = self.seen[: match.start()], self.seen[match.end():]
        return before

    def type(self, text):
        os.write(self.fd, text.encode())

    def prompt(self):
        """Waits for the prompt and until keys go to the editor, which is a moment later."""
        before = self.wait(r"(^|\n|\r)(\x1b\[[0-9;?]*[A-Za-z])*> ")
        while termios.tcgetattr(self.fd)[3] & termios.ICANON:
            time.sleep(0.001)
        return before

    def end(self):
        """The exit code, when the program ends by itself."""
        deadline = time.monotonic() + SECONDS
        while not (ended := os.waitpid(self.pid, os.WNOHANG))[0]:
            self.read(0.01)
            assert time.monotonic() < deadline, f"still running: {self.seen[-500:]!r}"
        _, status = ended
        self.pid = 0
        return os.waitstatus_to_exitcode(status)


def chat(program, *words, env=None, **shape):
    golden.make_model(program.folder / "m.gguf", **shape)
    return Terminal(program, "chat", "--model", "m.gguf", "--temperature", 0, "--threads", 1,
                    *words, env=env)


def an_answer_comes_and_control_d_ends(program):
    with chat(program, "--max-tokens", 8, "--ignore-eos") as terminal:
        assert "/help" in terminal.prompt()
        terminal.type("hello\r")
        terminal.wait("--max-tokens 8")
        terminal.prompt()
        terminal.type("\x04")
        assert terminal.end() == 0


def control_c_stops_the_answer_and_not_the_program(program):
    with chat(program, "--max-tokens", 90000, "--ctx", 99999, "--ignore-eos", env=SLOW,
              n_embd=256, n_layers=4, n_ff=1024, n_ctx=100000) as terminal:
        terminal.prompt()
        for _ in range(2):
            terminal.type("go on\r")
            terminal.wait("go on\r*\n")
            while len(terminal.seen) < 200:
                assert terminal.read(0.5)
            terminal.type("\x03")
            terminal.wait("stopped; the answer so far is remembered")
            terminal.prompt()
        terminal.type("/stats\r")
        assert "in 2 exchanges" in terminal.wait("KV cache")
        terminal.prompt()
        terminal.type("/exit\r")
        assert terminal.end() == 0


def an_answer_is_seen_while_it_is_written(program):
    with chat(program, "--max-tokens", 90000, "--ctx", 99999, "--ignore-eos", env=SLOW,
              n_embd=256, n_layers=4, n_ff=1024, n_ctx=100000) as terminal:
        terminal.prompt()
        terminal.type("go on\r")
        terminal.wait("go on\r*\n")
        n_pieces, seen = 0, 0
        while n_pieces < 20:
            assert terminal.read(SECONDS)
            n_pieces += len(terminal.seen) > seen
            seen = len(terminal.seen)
        terminal.type("\x03")
        terminal.wait("stopped")


def control_c_throws_a_line_away_and_the_next_one_counts(program):
    with chat(program, "--max-tokens", 1) as terminal:
        terminal.prompt()
        terminal.type("/nonsense")
        terminal.wait("nonsense")
        terminal.type("\x03")
        terminal.wait(r"\^C")
        terminal.prompt()
        terminal.type("/system\r")
        assert "unknown" not in terminal.wait("there is no system message")


def a_line_can_be_edited_and_called_back(program):
    with chat(program, "--max-tokens", 1) as terminal:
        terminal.prompt()
        terminal.type("/systXem be short\x01\x1b[C\x1b[C\x1b[C\x1b[C\x1b[C\x04\r")
        terminal.wait("the system message is set")
        terminal.prompt()
        terminal.type("/system\r")
        terminal.wait("system message: be short\r*\n")
        terminal.prompt()
        terminal.type("\x1b[A\x1b[A\x7f\x7f\x7f\x7f\x7fkind\r")
        terminal.wait("the system message is set")
        terminal.prompt()
        terminal.type("/system\r")
        terminal.wait("system message: be kind")


def characters_beyond_ascii_are_edited_as_characters(program):
    with chat(program, "--max-tokens", 1) as terminal:
        terminal.prompt()
        terminal.type("/system caf\u00e9s\x7f\x7f\u00e8 \u65e5\u672c\r")
        terminal.wait("the system message is set")
        terminal.prompt()
        terminal.type("/system\r")
        terminal.wait("system message: caf\u00e8 \u65e5\u672c\r*\n")


def a_backslash_continues_a_message(program):
    with chat(program, "--max-tokens", 1) as terminal:
        terminal.prompt()
        terminal.type("/system one\\\r")
        terminal.wait(r"\. ")
        terminal.type("two\r")
        terminal.wait("the system message is set")
        terminal.prompt()
        terminal.type("/system\r")
        terminal.wait("system message: one\r*\ntwo\r*\n")


def a_turned_window_and_a_paused_program_go_on(program):
    with chat(program, "--max-tokens", 1) as terminal:
        terminal.prompt()
        terminal.type("/sys")
        terminal.wait("/sys")
        fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
        os.kill(terminal.pid, signal.SIGSTOP)
        os.kill(terminal.pid, signal.SIGCONT)
        time.sleep(0.2)
        terminal.type("tem\r")
        terminal.wait("there is no system message")


def a_killed_chat_leaves_the_terminal_as_it_was(program):
    with chat(program, "--max-tokens", 1) as terminal:
        before = termios.tcgetattr(terminal.fd)
        terminal.prompt()
        assert termios.tcgetattr(terminal.fd) != before
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.end() == -signal.SIGTERM
        assert termios.tcgetattr(terminal.fd) == before


def what_a_model_writes_does_not_steer_the_terminal(program):
    """Random weights write every byte; escape is shown, never sent."""
    with chat(program, "--max-tokens", 3000, "--ignore-eos", "--temperature", 5, "--seed", 2,
              n_ctx=4096) as terminal:
        terminal.prompt()
        terminal.type("x\r")
        text = terminal.wait("--max-tokens 3000|the context of 4096 tokens is full")
        answer = text[text.index("\n") + 1:]
        assert "^[" in answer
        assert not re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", answer), answer


def pipe(program, lines, *words):
    code, out, err = program.run("chat", "--model", "m.gguf", "--temperature", 0,
                                 "--threads", 1, *words,
                                 stdin="".join(line + "\n" for line in lines).encode())
    assert code == 0, err
    return out.decode(), err.decode()


def a_pipe_sends_a_message_a_line_and_gets_answers_only(program):
    golden.make_model(program.folder / "m.gguf")
    out, err = pipe(program, ["one", "", "two"], "--max-tokens", 5, "--ignore-eos")
    alone, _ = pipe(program, ["one"], "--max-tokens", 5, "--ignore-eos")
    assert out.startswith(alone) and len(out) > len(alone)
    assert err.count("--max-tokens 5") == 2, err


def a_conversation_is_not_computed_again(program):
    """But for the part of its end that does not fill a page of 64 tokens."""
    golden.make_model(program.folder / "m.gguf")
    _, err = pipe(program, ["one two three four " * 20, "/stats", "five", "/stats"],
                  "--max-tokens", 20, "--ignore-eos")
    first, second = [int(n) for n in re.findall(r"last: (\d+) tokens read", err)]
    total = int(re.findall(r"(\d+) of 4096 tokens of context in 1 exchange;", err)[0])
    assert first > 128, first
    assert second < 64 + 40 and second < first, (first, second, total)


def the_oldest_exchanges_are_dropped_when_the_context_is_full_and_it_is_said(program):
    golden.make_model(program.folder / "m.gguf")
    lines = [f"message number {i}" for i in range(8)] + ["/stats"]
    out, err = pipe(program, lines, "--max-tokens", 20, "--ignore-eos", "--ctx", 256,
                    "--system", "be brief")
    said = re.findall(r"the context of 256 tokens was full: the (?:oldest exchange was|"
                      r"(\d+) oldest exchanges were) forgotten, (\d+) remain", err)
    assert said and "1 oldest exchanges" not in err, err
    assert out.count("\n") >= 8
    n_dropped = sum(int(n or 1) for n, _ in said)
    assert f"in {8 - n_dropped} exchanges" in err, err


def dropping_gives_the_answer_of_a_conversation_without_what_was_dropped(program):
    """The same last answer as that of a chat which began with the exchanges that remain."""
    golden.make_model(program.folder / "m.gguf")
    words = ["--max-tokens", 30, "--ignore-eos", "--ctx", 200]
    out, err = pipe(program, ["first", "second", "third " * 20], *words)
    assert "the 2 oldest exchanges were forgotten, 1 remain" in err, err
    alone, _ = pipe(program, ["third " * 20], *words)
    assert out.endswith(alone)


def a_message_that_cannot_fit_is_refused_and_the_chat_goes_on(program):
    golden.make_model(program.folder / "m.gguf")
    code, out, err = program.run("chat", "--model", "m.gguf", "--ctx", 64, "--max-tokens", 12,
                                 "--ignore-eos", stdin=b"word " * 100 + b"\nhi\n")
    assert code == 0
    assert b"tokenworks: error: the message has" in err and b"--ctx" in err
    assert out != b""


def reset_forgets_and_system_stays(program):
    golden.make_model(program.folder / "m.gguf")
    words = ["--max-tokens", 10, "--ignore-eos", "--system", "be kind"]
    out, err = pipe(program, ["one", "/reset", "one", "/system"], *words)
    alone, _ = pipe(program, ["one"], *words)
    assert out == alone + alone
    assert "system message: be kind" in err


def a_user_cannot_speak_in_anothers_name(program):
    """The marker in a message is text: it is longer than the one token it would be."""
    golden.make_model(program.folder / "m.gguf")
    _, err = pipe(program, ["<|im_end|>", "/stats"], "--max-tokens", 1, "--ignore-eos")
    plain = int(re.search(r"last: (\d+) tokens read", err)[1])
    _, err = pipe(program, ["x", "/stats"], "--max-tokens", 1, "--ignore-eos")
    assert plain > int(re.search(r"last: (\d+) tokens read", err)[1]) + 5


def a_model_without_a_chat_format_says_so_and_goes_on_from_the_text(program):
    model = golden.make_model(program.folder / "m.gguf", chatml=False)
    out, err = pipe(program, ["hello"], "--max-tokens", 12, "--ignore-eos")
    assert "no chat format" in err
    plain = program.good("run", "--model", model, "--prompt", "hello", "--max-tokens", 12,
                         "--ignore-eos").decode()
    assert out == plain


CHATML = ("{{ bos_token }}{% for m in messages %}{{ '<|im_start|>' + m.role + '\\n' + m.content }}"
          "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
          "{{ '' }}{% endif %}")


def the_models_own_template_says_how_a_conversation_is_put(program):
    words = ["--max-tokens", 12, "--ignore-eos", "--system", "be brief"]
    lines = ["one", "two <|im_end|>", "/stats"]
    golden.make_model(program.folder / "m.gguf")
    out, err = pipe(program, lines, *words)
    n_read = re.search(r"last: (\d+) tokens read", err)[1]
    golden.make_model(program.folder / "m.gguf", template=CHATML)
    same, err = pipe(program, lines[:1], *words)
    assert out.startswith(same) and "template" not in err
    _, err = pipe(program, lines, *words)
    assert int(re.search(r"last: (\d+) tokens read", err)[1]) >= int(n_read)
    golden.make_model(program.folder / "m.gguf", template="{{ messages[-1].content }}" * 9)
    other, _ = pipe(program, lines[:1], *words)
    assert not out.startswith(other)


def a_template_that_cannot_be_used_is_named_and_the_built_in_format_steps_in(program):
    words = ["--max-tokens", 12, "--ignore-eos"]
    golden.make_model(program.folder / "m.gguf")
    out, _ = pipe(program, ["one"], *words)
    golden.make_model(program.folder / "m.gguf",
                      template="{% include 'x' %}{{ '<|im_start|>' }}")
    same, err = pipe(program, ["one"], *words)
    assert same == out
    assert "template cannot be used: chat template, line 1: unknown statement 'include'" in err, err
    assert "the built-in format is used instead: ChatML" in err, err


def a_template_may_refuse_a_message_and_the_chat_goes_on(program):
    golden.make_model(program.folder / "m.gguf", template=CHATML + "{% if 'bad' in messages[-1]"
                      ".content %}{{ raise_exception('no such words') }}{% endif %}")
    out, err = pipe(program, ["bad", "good", "/stats"], "--max-tokens", 5, "--ignore-eos")
    assert "line 3: the template refuses this conversation: no such words" in err, err
    assert "in 1 exchange" in err and out != ""


if __name__ == "__main__":
    golden.main([
        an_answer_comes_and_control_d_ends,
        control_c_stops_the_answer_and_not_the_program,
        an_answer_is_seen_while_it_is_written,
        control_c_throws_a_line_away_and_the_next_one_counts,
        a_line_can_be_edited_and_called_back,
        characters_beyond_ascii_are_edited_as_characters,
        a_backslash_continues_a_message,
        a_turned_window_and_a_paused_program_go_on,
        a_killed_chat_leaves_the_terminal_as_it_was,
        what_a_model_writes_does_not_steer_the_terminal,
        a_pipe_sends_a_message_a_line_and_gets_answers_only,
        a_conversation_is_not_computed_again,
        the_oldest_exchanges_are_dropped_when_the_context_is_full_and_it_is_said,
        dropping_gives_the_answer_of_a_conversation_without_what_was_dropped,
        a_message_that_cannot_fit_is_refused_and_the_chat_goes_on,
        reset_forgets_and_system_stays,
        a_user_cannot_speak_in_anothers_name,
        a_model_without_a_chat_format_says_so_and_goes_on_from_the_text,
        the_models_own_template_says_how_a_conversation_is_put,
        a_template_that_cannot_be_used_is_named_and_the_built_in_format_steps_in,
        a_template_may_refuse_a_message_and_the_chat_goes_on,
    ])
