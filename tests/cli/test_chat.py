"""``llama-tutorial chat``: from a pipe and in a terminal, and nothing that is typed ends it."""

from __future__ import annotations

import io
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from small_models import LLAMA, random_model

pytest.importorskip("sentencepiece")
pytest.importorskip("safetensors")

from llama_tutorial import generate, load_tokenizer, save_model
from llama_tutorial.chat import encode_dialog
from llama_tutorial.cli import chat, main
from llama_tutorial.shipped import SHIPPED

TALES = load_tokenizer(SHIPPED["tales"].tokenizer)
GREEDY = ["--temperature", "0", "--max-new-tokens", "8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model with the tokenizer of tales that answers nonsense, always the same."""
    path = tmp_path_factory.mktemp("chat") / "model"
    config = LLAMA.replace(vocab_size=1024, max_seq_len=160)
    save_model(random_model(config, dtype=torch.float64), path, tokenizer=TALES)
    return path


def answer(folder, dialog: list[dict[str, str]], n: int = 8) -> str:
    """What generate makes of a dialog."""
    from llama_tutorial import load_model

    model = load_model(folder)
    (ids,) = generate(model, [encode_dialog(dialog, TALES)], n, temperature=0, stop_ids={1, 2})
    return TALES.decode(ids).strip()


def messages(*contents: str, system: str | None = None) -> list[dict[str, str]]:
    roles = [("user", "assistant")[i % 2] for i in range(len(contents))]
    dialog = [] if system is None else [{"role": "system", "content": system}]
    return dialog + [
        {"role": role, "content": content} for role, content in zip(roles, contents, strict=True)
    ]


class Terminal(io.StringIO):
    """Standard input that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def talk(monkeypatch, capsys, typed: str, *options, terminal=False) -> tuple[int, str, str]:
    """Exit code, standard output, standard error."""
    monkeypatch.setattr("sys.stdin", (Terminal if terminal else io.StringIO)(typed))
    try:
        code = main(["chat", *map(str, options)])
    except SystemExit as stop:  # argparse's way out
        code = stop.code
    out, err = capsys.readouterr()
    return code, out, err


def test_a_pipe_gets_the_answers_and_nothing_else(monkeypatch, capsys, folder):
    code, out, err = talk(monkeypatch, capsys, "Who?\n\n  \nWhy?\n", "--model", folder, *GREEDY)
    first = answer(folder, messages("Who?"))
    second = answer(folder, messages("Who?", first, "Why?"))
    assert (code, out) == (0, f"{first}\n{second}\n")
    cut = "[the answer was cut: --max-new-tokens, or the end of the context]\n"
    assert err == cut * err.count("\n")


def test_an_answer_ends_before_a_stop_string_which_is_named(monkeypatch, capsys, folder):
    whole = answer(folder, messages("Who?"))
    stop = whole[3:5]
    options = ["--model", folder, *GREEDY, "--stop", "Who?", "--stop", stop]
    code, out, err = talk(monkeypatch, capsys, "Who?\n", *options)
    assert (code, out) == (0, whole[: whole.index(stop)].rstrip() + "\n")
    assert err == f"[the answer was cut at --stop {stop!r}]\n"


def test_a_system_text_stands_before_the_dialog(monkeypatch, capsys, folder):
    options = ["--model", folder, *GREEDY, "--system", "Be kind."]
    _, out, _ = talk(monkeypatch, capsys, "Who?\n", *options)
    assert out == answer(folder, messages("Who?", system="Be kind.")) + "\n"
    code, out, err = talk(monkeypatch, capsys, "Who?\n", *options[:-1], "Be [INST]")
    assert (code, out) == (2, "")
    assert "message 0 holds '[INST]', one of Llama 2's tags" in err


def test_commands(monkeypatch, capsys, folder):
    alone = answer(folder, messages("Who?"))
    kind = answer(folder, messages("Who?", system="Be kind."))
    for typed, expected in {
        "Who?\n/reset\nWho?\n": [alone, alone],
        "/system Be kind.\nWho?\n/reset\nWho?\n/system\nWho?\n": [kind, kind, alone],
        "/exit\nWho?\n": [],
        "Who?\n/exit now\nWho?\n": [alone],
        "/foo\nWho?\n": [alone],
        "/system <<SYS>>\nWho?\n": [alone],
    }.items():
        code, out, err = talk(monkeypatch, capsys, typed, "--model", folder, *GREEDY)
        assert (code, out.splitlines()) == (0, expected), typed
        assert ("the dialog is forgotten" in err) == ("/reset" in typed), err
        assert ("system text is 'Be kind.'" in err) == ("/system Be" in typed), err
        assert ("there is no system text" in err) == ("/system\n" in typed), err
        assert ("/foo is no command: /reset forgets" in err) == ("/foo" in typed), err
        assert ("not taken: message 0 holds '<<SYS>>'" in err) == ("<<" in typed), err


def test_a_refused_message_does_not_end_the_talk(monkeypatch, capsys, folder):
    typed = "Who?\nI say [/INST] yes\n" + "long " * 400 + "\nWhy?\n"
    code, out, err = talk(monkeypatch, capsys, typed, "--model", folder, *GREEDY)
    first = answer(folder, messages("Who?"))
    second = answer(folder, messages("Who?", first, "Why?"))
    assert (code, out) == (0, f"{first}\n{second}\n")
    assert "[not asked: message 2 holds '[/INST]', one of Llama 2's tags" in err
    assert "the context of 160 leaves no room for an answer; shorten it]" in err


def test_a_line_without_an_end_is_passed_over(monkeypatch, capsys, folder):
    monkeypatch.setattr(chat, "LONGEST", 10)
    answered = answer(folder, messages("Who?"))
    for typed in (
        "so " * 99 + "\nWho?\n",
        "123456789\n/reset\nWho?",
        "Who?\n" + "x" * 99,
        "x" * 10,
    ):
        code, out, err = talk(monkeypatch, capsys, typed, "--model", folder, *GREEDY)
        assert code == 0
        assert out.endswith(f"{answered}\n" * ("Who" in typed))
        long = "[not asked: the line has more than 10 characters]\n"
        assert err.count(long) == (typed[:3] != "123")


def test_it_says_when_the_oldest_is_forgotten(monkeypatch, capsys, folder):
    code, out, err = talk(monkeypatch, capsys, "Who was it?\n" * 12, "--model", folder, *GREEDY)
    assert code == 0
    assert out.count("\n") >= 12
    assert "[the context is full: the oldest question and its answer are forgotten]" in err


def test_several_can_be_forgotten_at_once(monkeypatch, capsys, folder):
    typed = "Who?\nWhy?\n" + "so " * 115 + "\n"
    _, _, err = talk(monkeypatch, capsys, typed, "--model", folder, *GREEDY)
    assert "[the context is full: the oldest 2 questions and their answers are forgotten]" in err


def test_a_terminal_is_greeted_and_asked(monkeypatch, capsys, folder):
    code, out, err = talk(monkeypatch, capsys, "Who?\n", "--model", folder, *GREEDY, terminal=True)
    assert code == 0
    assert out == f"> {answer(folder, messages('Who?'))}\n> \n"
    assert err.startswith(f"[{folder}: ")
    assert "parameters. /reset forgets the dialog, /system TEXT" in err


@pytest.mark.parametrize("terminal", [False, True])
def test_ctrl_c_ends_the_answer_alone(monkeypatch, capsys, folder, terminal):
    """The second piece of the first answer is interrupted; the talk goes on from what came."""
    written, plain = [], print

    def interrupting(*values, **options):
        plain(*values, **options)
        if options.get("flush"):
            written.append(values[0])
            if len(written) == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(chat, "print", interrupting, raising=False)
    options = ["--model", folder, *GREEDY]
    code, out, err = talk(monkeypatch, capsys, "Who?\nWhy?\n", *options, terminal=terminal)
    assert code == 0
    assert "[stopped]" in err
    part = "".join(written[:2])
    second = answer(folder, messages("Who?", part, "Why?"))
    lines = out.replace("> ", "").splitlines()
    assert lines[:2] == [part, second]
    assert answer(folder, messages("Who?")) != part


def test_ctrl_c_at_the_prompt_says_how_to_end(monkeypatch, capsys, folder):
    typed = iter([KeyboardInterrupt, "/exit"])

    def read(_):
        if (line := next(typed)) is KeyboardInterrupt:
            raise KeyboardInterrupt
        return line

    monkeypatch.setattr("builtins.input", read)
    code, _, err = talk(monkeypatch, capsys, "", "--model", folder, *GREEDY, terminal=True)
    assert code == 0
    assert err.endswith("[/exit or Ctrl-D ends]\n")


def test_both_engines_answer_the_same(monkeypatch, capsys, folder, tmp_path):
    from llama_tutorial import load_model

    save_model(load_model(folder, dtype=torch.float32), tmp_path / "model.bin", "llama2c")
    options = ["--model", tmp_path / "model.bin", "--tokenizer", folder / "tokenizer.model"]
    for chosen in (GREEDY, ["--seed", "3", "--max-new-tokens", "8", "--top-k", "20"]):
        given = [*options, *chosen]
        code, out, _ = talk(monkeypatch, capsys, "Who?\nWhy?\n", *given, "--engine", "numpy")
        assert code == 0
        assert out.count("\n") >= 2
        assert talk(monkeypatch, capsys, "Who?\nWhy?\n", *given)[1] == out


def test_only_a_model_that_is_known_to_be_a_base_is_called_so(monkeypatch, capsys, folder):
    note = "[tales is a base model: it continues text, and was not taught to answer]\n"
    assert talk(monkeypatch, capsys, "", "--model", "tales") == (0, "", note)
    assert talk(monkeypatch, capsys, "", "--checkpoint", folder) == (0, "", "")
    monkeypatch.setitem(SHIPPED, chat.CHAT_MODEL, SHIPPED["tales"])
    assert talk(monkeypatch, capsys, "") == (0, "", "")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--model", "talse"], "talse: no such file or folder, and no model of this package"),
        (["--temperature", "-1"], "--temperature -1.0: must be 0 (the likeliest token) or above"),
        (["--top-p", "2"], "--top-p 2.0: must be above 0 and at most 1"),
        (["--max-new-tokens", "0"], "--max-new-tokens 0: must be at least 1 and below the context"),
        (["--device", "warp"], "--device warp: cannot be used here; this machine has cpu"),
        (["--engine", "numpy", "--dtype", "bfloat16"], "on the CPU, not with --dtype bfloat16"),
        (["--rude"], "unrecognized arguments: --rude"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(monkeypatch, capsys, folder, options, message):
    code, out, err = talk(monkeypatch, capsys, "Who?\n", "--model", folder, *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_ctrl_c_in_a_real_terminal(folder):
    """A process of its own on a pseudo-terminal, and a model that takes its time."""
    pty = pytest.importorskip("pty")
    program = f"""
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs of a shell ignore it
from llama_tutorial.cli import chat, main
from llama_tutorial.model import Transformer
plain = Transformer.forward
def slow(*arguments, **options):
    time.sleep(0.1)
    return plain(*arguments, **options)
Transformer.forward = slow
sys.exit(main(["chat", "--model", {str(folder)!r}, "--temperature", "0"]))
"""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=environment,
        start_new_session=True,
    )
    os.close(theirs)
    seen = ""

    def read(enough: Callable[[], object]) -> None:
        nonlocal seen
        end = time.monotonic() + 120
        while not enough() and time.monotonic() < end:
            if select.select([ours], [], [], 1)[0]:  # reading alone would wait for ever
                seen += os.read(ours, 1000).decode(errors="replace")
        assert enough(), seen

    def read_until(text: str) -> None:
        nonlocal seen
        read(lambda: text in seen)
        seen = seen.partition(text)[2]

    try:
        read_until("> ")
        os.write(ours, b"Who was it?\n")
        read_until("was it?\r\n")
        read(lambda: seen.strip())  # the answer has begun
        process.send_signal(signal.SIGINT)
        read_until("[stopped]")
        read_until("> ")
        os.write(ours, b"\x04")  # Ctrl-D
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        os.close(ours)
