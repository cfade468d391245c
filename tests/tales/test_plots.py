"""The table of plots can be told: a misspelt word in it would be found here."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

import pytest

from llama_tutorial.tales.patterns import event_kinds, frames
from llama_tutorial.tales.plots import Choice, If, Step, Tell, plots, tell_plot
from llama_tutorial.tales.story import Story
from llama_tutorial.tales.wording import Unfit

KNOWN = {*event_kinds(), *plots("-"), "trouble"}  # "trouble" is drawn in the plot where it stands


def told(steps: list[Step]) -> Iterator[Tell]:
    for step in steps:
        if isinstance(step, If):
            yield from told(step.then + step.otherwise)
        elif isinstance(step, Tell):
            yield step


def options(choice: str | Choice) -> tuple[str, ...]:
    return (choice,) if isinstance(choice, str) else choice.options


@pytest.mark.parametrize("name", [*plots(), *plots("-")])
def test_events_and_openers_are_known(name):
    for step in told((plots() | plots("-"))[name]):
        assert set(options(step.kind)) <= KNOWN
        assert set(options(step.opener)) <= {*frames().openers, "link"}


@pytest.mark.parametrize("name", plots())
def test_every_plot_can_be_told(name):
    """In most attempts; every role that it gives is one that it drew."""
    whole = 0
    for seed in range(40):
        story = Story(Random(seed))
        try:
            tell_plot(name, story)
        except Unfit:
            continue
        whole += 1
        assert len(story.sentences) >= 3
    assert whole > 25


def test_shares_and_choices():
    """A birthday is forgotten in three tales of ten after "So", and in the others without it."""
    steps = {step.kind: step for step in told(plots()["surprise"]) if isinstance(step.kind, str)}
    assert steps["forgotten"].opener == Choice(0.3, ("so", ""))
    assert steps["hello"].opener == ""
