"""Bars on a terminal; without one, lines where a command asks for them, and else nothing."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from llama_tutorial._util import progress as module
from llama_tutorial._util.progress import clock, lines_without_terminal, progress


@pytest.fixture
def every_second(monkeypatch):
    """A clock that moves on by six seconds each time that somebody looks at it."""
    now = iter(range(0, 10_000, 6))
    monkeypatch.setattr(module.time, "monotonic", lambda: float(next(now)))


def test_lines_come_only_where_they_are_asked_for(capfd, every_second):
    assert list(progress(range(6), "counting")) == list(range(6))
    assert capfd.readouterr() == ("", "")
    with lines_without_terminal():
        assert list(progress(range(6), "counting")) == list(range(6))
        assert list(progress(range(6), "counting", lines=False)) == list(range(6))
    # At 12, 24 and 36 seconds, and two, four and six are done.
    lines = ["2 of 6 (33%), 0:24 left", "4 of 6 (67%), 0:12 left", "6 of 6 (100%), 0:00 left"]
    assert capfd.readouterr().out.splitlines() == [f"counting: {line}" for line in lines]
    assert list(progress(range(6), "counting")) == list(range(6))
    assert capfd.readouterr() == ("", "")


def test_work_without_a_known_end(capfd, every_second):
    with lines_without_terminal():
        list(progress(iter("abcd"), "reading"))
        bar = progress(None, "writing", total=30)
        bar.update(10)
        bar.update(10)
    assert capfd.readouterr().out.splitlines() == [
        "reading: 2",
        "reading: 4",
        "writing: 20 of 30 (67%), 0:06 left",
    ]


def test_other_processes_of_a_torchrun_say_nothing(capfd, every_second, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    with lines_without_terminal():
        assert list(progress(range(6), "counting")) == list(range(6))
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0:00"), (59.6, "1:00"), (3599.0, "59:59"), (3723.0, "1:02:03")]
)
def test_durations(seconds, text):
    assert clock(seconds) == text


@pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")
def test_a_line_stands_above_the_bar():
    pytest.importorskip("tqdm")
    termios = pytest.importorskip("termios")
    code = (
        "from llama_tutorial._util.progress import progress, write_line\n"
        "for i in progress(range(3), 'counting', ncols=60, mininterval=0):\n"
        "    write_line(f'line {i}')\n"
    )
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))  # without a size, nothing is drawn
    done = subprocess.Popen([sys.executable, "-c", code], stdout=theirs, stderr=theirs)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert done.wait() == 0
    rows = [row.split("\r") for row in shown.decode().replace("\r\n", "\n").split("\n")]
    written = [row[-1] for row in rows if "line" in row[-1]]
    assert written == ["line 0", "line 1", "line 2"]  # each in a row that the bar has left
    assert any("3/3" in drawn for row in rows for drawn in row)
