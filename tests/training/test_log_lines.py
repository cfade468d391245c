"""The log of a run for people."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from llama_tutorial.training import log_lines
from llama_tutorial.training.log_lines import LogLines


@pytest.fixture
def clock(monkeypatch):
    """The time in seconds, which stands still until it is set."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(log_lines.time, "monotonic", lambda: clock.now)
    return clock


def log(total: int, done: int, clock, every_minute: bool = False, seconds: float = 10):
    """The lines, and a function that takes a step of so many seconds."""
    lines: list[str] = []
    log = LogLines(lines.append, total, done, every_minute=every_minute)

    def step(number: int, loss: float, **more: float) -> None:
        clock.now += seconds
        log.add({"step": number, "loss": loss, "lr": 1 / 300, "tokens": 50, **more}, seconds / 2)

    return lines, log, step


def test_a_line_at_each_evaluation_the_first_step_and_the_last(clock):
    lines, log_, step = log(6, 0, clock)
    log_.start(7.0)
    for number, loss in enumerate([6, 5, 4, 3, 2, 1], 1):
        step(number, loss, **({"validation_loss": 3.5} if number == 3 else {}))
    assert lines == [
        "step 0/6: validation loss 7.000",
        "step 1/6: training loss 6.000, lr 0.00333, 10 tokens/s, 0:50 left",
        "step 3/6: training loss 4.500 (mean of 2 steps), validation loss 3.500, lr 0.00333, "
        "10 tokens/s, 0:30 left",
        "step 6/6: training loss 2.000 (mean of 3 steps), lr 0.00333, 10 tokens/s",
    ]


def test_what_was_done_before_is_no_measure_of_the_time_left(clock):
    lines, _, step = log(100, 90, clock)
    step(91, 1.0)
    assert lines == ["step 91/100: training loss 1.000, lr 0.00333, 10 tokens/s, 1:30 left"]


@pytest.mark.parametrize(("every_minute", "steps"), [(True, [1, 7, 13, 19]), (False, [1])])
def test_a_line_a_minute_where_there_is_no_bar(clock, every_minute, steps):
    lines, _, step = log(100, 0, clock, every_minute)
    for number in range(1, 20):
        step(number, 1.0)
    assert [int(line.split("/")[0].removeprefix("step ")) for line in lines] == steps
