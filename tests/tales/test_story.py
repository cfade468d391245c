"""Telling an event."""

from __future__ import annotations

import random

import pytest

from llama_tutorial.tales.story import Story


def test_a_plot_must_give_the_roles_that_the_rules_need():
    story = Story(random.Random(0))
    someone = story.someone()
    with pytest.raises(ValueError, match=r"give needs \['B', 'x'\] too, beside \['A'\]"):
        story("give", A=someone)
    story("once", A=someone)
    with pytest.raises(LookupError, match="no way to tell flavor"):
        story("flavor", A=someone, x="ladder")  # nothing is to be said of a ladder
