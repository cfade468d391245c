"""The command in a shell: streams that end, fill up or are closed, and errors of all kinds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from run_cli import run

import llama_tutorial
from llama_tutorial import cli

pty = pytest.importorskip("pty")

COMMAND = f"{sys.executable} -m llama_tutorial"
GENERATE = f"{COMMAND} generate --engine numpy --seed 1"
ENV = {**os.environ, "PYTHONPATH": str(Path(llama_tutorial.__file__).parents[1])}


def shell(command: str, **env: str) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(["bash", "-c", command], capture_output=True, env={**ENV, **env})
    assert b"Traceback" not in done.stderr
    assert b"Exception ignored" not in done.stderr
    return done


# Standard output


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", [GENERATE, f"{COMMAND} info llama-2-7b", f"{COMMAND} --help"])
def test_a_pipe_whose_reader_has_gone_is_silent(command, unbuffered):
    done = shell(f"{command} | true; exit ${{PIPESTATUS[0]}}", PYTHONUNBUFFERED=unbuffered)
    assert (done.returncode, done.stderr) == (141, b"")


def test_the_first_line_alone(capsys):
    done = shell(f"{COMMAND} info llama-2-7b | head -1")
    assert (done.stdout, done.stderr) == (b"preset llama-2-7b\n", b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("command", [GENERATE, f"{COMMAND} info llama-2-7b", f"{COMMAND} --help"])
def test_a_full_disk_is_said_once(command, unbuffered):
    done = shell(f"{command} >/dev/full", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 2
    assert done.stderr == (
        b"llama-tutorial: [Errno 28] No space left on device: 'standard output'\n"
    )


def test_closed_streams():
    done = shell(f"{COMMAND} info llama-2-7b >&-")
    assert (done.returncode, done.stderr) == (
        2,
        b"llama-tutorial: standard output is closed: send it to a file, or to /dev/null\n",
    )
    done = shell(f"{COMMAND} info nothing 2>&-")
    assert (done.returncode, done.stdout) == (2, b"")
    done = shell(f"{COMMAND} info llama-2-7b 2>&- <&-")
    assert done.returncode == 0
    assert done.stdout.startswith(b"preset llama-2-7b\n")
    done = shell(f"{COMMAND} chat --engine numpy <&-")  # no questions
    assert (done.returncode, done.stdout) == (0, b"")


def test_what_the_encoding_does_not_hold_is_written_out():
    done = shell(f"{GENERATE} --prompt Zoë --max-new-tokens 1", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.startswith(rb"Zo\xeb")


def test_a_line_that_is_no_text_is_not_asked():
    ask = f"{COMMAND} chat --engine numpy --seed 1"
    done = shell(rf"printf 'Who\xff?\n/system \xff\nWho?\n' | {ask}")
    assert done.returncode == 0
    assert done.stderr.count(b"[not asked: the line is not utf-8]\n") == 2
    assert done.stdout == shell(f"echo 'Who?' | {ask}").stdout


# Foreign text


@pytest.mark.parametrize("command", ["info", "generate --engine numpy --checkpoint", "convert x"])
def test_a_files_name_gives_no_orders(command):
    done = shell(rf"{COMMAND} {command} $'x\e]0;PWNED\a\xff'")
    assert done.returncode == 2
    assert rb"x\x1b]0;PWNED\x07\udcff" in done.stderr or b"x: no such file" in done.stderr
    assert b"\x1b" not in done.stderr
    assert done.stderr.count(b"\n") == 1


def test_a_wrong_option_gives_no_orders():
    done = shell(rf"{COMMAND} info tales $'--\e[2J'")
    assert done.returncode == 2
    assert rb"unrecognized arguments: --\x1b[2J" in done.stderr


def test_a_models_text_gives_no_orders_to_a_terminal_and_is_whole_in_a_file():
    order = "\x1b]0;PWNED\a"
    command = [*GENERATE.split(), "--max-new-tokens", "1", "--prompt", f"Once{order}"]
    whole = subprocess.run(command, stdout=subprocess.PIPE, env=ENV).stdout
    assert whole.startswith(b"Once" + order.encode())
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdout=theirs, env=ENV)
    os.close(theirs)
    text = b""
    try:
        while piece := os.read(ours, 1000):
            text += piece
    except OSError:  # how Linux says that the other side is closed
        pass
    assert process.wait() == 0
    assert text.startswith(rb"Once\x1b]0;PWNED\x07")
    assert b"\x1b" not in text


# Ctrl-C


def test_ctrl_c_while_it_writes():
    process = subprocess.Popen(
        [*GENERATE.split(), "Once", "--num-samples", "99"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV,
    )  # fmt: skip
    assert process.stdout.read(4) == b"Once"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate()
    assert (process.returncode, err) == (130, b"\n")


def test_ctrl_c_at_any_moment():
    """But for the first: Python's own start, and that of its -m, are not ours."""
    for tenth in (3, 6, 9, 13):
        process = subprocess.Popen(
            [*COMMAND.split(), "info", "tales"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=ENV,
        )  # fmt: skip
        time.sleep(tenth / 10)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
        assert process.returncode in (0, 130, -signal.SIGINT)
        assert err in (b"", b"\n")


# Errors of all kinds


class PanicException(BaseException):
    """As those of libraries in Rust: no Exception."""


UNFORESEEN = (
    "this is a fault of llama-tutorial, please report it (with LLAMA_TUTORIAL_TRACEBACK=1 it shows "
    "where it happened)"
)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ValueError("no\n such \x1b[2J"), 2, r"no such \x1b[2J"),
        (OSError(28, "No space left on device", "x\a"), 2, None),
        (ImportError("torch is broken"), 2, "torch is broken"),
        (
            ModuleNotFoundError("No module named 'tqdm.x'", name="tqdm.x"),
            2,
            "this needs tqdm.x, which is not installed: pip install 'llama-tutorial[torch]'",
        ),
        (MemoryError(), 2, "not enough memory"),
        (MemoryError("8 GB"), 2, "not enough memory: 8 GB"),
        (RuntimeError("CUDA out of memory."), 2, "not enough memory: CUDA out of memory."),
        (
            RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes"),
            2,
            "not enough memory: DefaultCPUAllocator: not enough memory: you tried to allocate 8 "
            "bytes",
        ),
        (
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            2,
            "not enough memory: DefaultCPUAllocator: can't allocate memory: you tried",
        ),
        (RuntimeError("x\x1b"), 1, rf"unexpected RuntimeError: x\x1b; {UNFORESEEN}"),
        (RecursionError("deep"), 1, f"unexpected RecursionError: deep; {UNFORESEEN}"),
        (TypeError("int"), 1, f"unexpected TypeError: int; {UNFORESEEN}"),
        (OverflowError("big"), 1, f"unexpected OverflowError: big; {UNFORESEEN}"),
        (PanicException("oh"), 1, f"unexpected PanicException: oh; {UNFORESEEN}"),
    ],
)
def test_every_error_is_one_line(monkeypatch, capsys, error, code, message):
    def fail(_):
        raise error

    monkeypatch.setattr("llama_tutorial.cli.info.run", fail)
    expected = "[Errno 28] No space left on device: 'x\\x07'" if message is None else message
    assert run(capsys, "info", "tales") == (code, "", f"llama-tutorial: {expected}\n")
    monkeypatch.setenv("LLAMA_TUTORIAL_TRACEBACK", "1")
    again, _, err = run(capsys, "info", "tales")
    assert again == code
    assert err.startswith("Traceback (most recent call last):\n")
    assert err.endswith(f"llama-tutorial: {expected}\n")
    assert "\x1b" not in err


def test_ctrl_c_during_imports_and_a_reader_that_has_gone(monkeypatch, capsys):
    def interrupted(_):
        raise KeyboardInterrupt

    def gone(_):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("llama_tutorial.cli.import_module", interrupted)
    assert cli.main(["info", "tales"]) == 130
    monkeypatch.setattr("llama_tutorial.cli.import_module", gone)
    assert cli.main(["info", "tales"]) == 141
    assert capsys.readouterr() == ("", "\n")
