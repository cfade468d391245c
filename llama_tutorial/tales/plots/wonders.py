"""Plots about small wonders."""

from __future__ import annotations

from llama_tutorial.tales.plots.lost import enter
from llama_tutorial.tales.story import Story


def firefly(t: Story) -> None:
    """A firefly does not shine in a jar."""
    a, b, p = t.someone(), t.kin(), t.pick(("garden", "yard", "meadow", "orchard", "hill"))
    t("once", A=a)
    t.wander("evening", A=a, p=p)
    t("catch", A=a)
    t("glow", A=a)
    t("grow_dim", "soon", A=a)
    t("watched", A=a, B=b)
    t("firefly_said", A=a, B=b)
    t("let_go", "so" if t.chance(0.5) else "", A=a)
    t("end_firefly", A=a)


def tall_tale(t: Story) -> None:
    """A story that is not true, until it is told as a story."""
    a, b = t.someone(), t.someone()
    p = t.place("out", "in", without="shop home")
    if t.chance(0.5):
        t("pair", G=(a, b))
        t("go_both", "oneday", G=(a, b), p=p)
    else:
        t("once", A=a)
        t.wander("oneday", A=a, p=p)
        enter(t, a, b)
    t("tall_tale", A=a, B=b)
    t("show_it", A=a, B=b)
    t("red", A=a, B=b)
    t("own_up", "atlast" if t.chance(0.4) else "", A=a, B=b)
    t("like_you", A=a, B=b)
    t("write_it", "so" if t.chance(0.5) else "", A=a, B=b)
    t("end_tale", A=a, B=b)


def letter(t: Story) -> None:
    """A letter goes down the river."""
    a, b, x, p = (
        t.someone(),
        t.someone(),
        t.this("boat"),
        t.pick(("river", "lake", "beach", "pond")),
    )
    t("once", A=a)
    t("have", A=a, x=x)
    t.maybe(0.4, "alone", A=a)
    t("letter", "oneday", A=a)
    t("go_with", "then", A=a, x=x, p=p)
    t("send", A=a, x=x)
    t("far", A=a, B=b, x=x)
    t("answer", A=a, B=b, x=x)
    t("end_letter", A=a, B=b)


def huge(t: Story) -> None:
    """Something that will not come out of the ground."""
    a, b, p = t.someone(), t.someone(), t.place("soil")
    c = t.someone(False, "mouse", "frog", "mole", "hedgehog")
    x = t.this(t.pick(("pumpkin", "carrot")))
    t("once", A=a)
    t("go", "oneday", A=a, p=p)
    t("huge", A=a, x=x, p=p)
    t("pull_up", A=a, x=x)
    t("pull_two", "so" if t.chance(0.3) else "", A=a, B=b, x=x)
    t("pull_three", B=b, C=c, x=x)
    t("plop", A=a, C=c, x=x)
    t("end_huge", C=c, x=x)


def moon(t: Story) -> None:
    """The moon is caught after all."""
    a, b, x = t.someone(), t.kin(), t.this(t.pick(("bucket", "cup")))
    t("once", A=a)
    t("moon", A=a)
    t("moon_try", "first", A=a)
    t("moon_try", "then", A=a)
    t("watched", A=a, B=b)
    t("moon_ask", A=a, B=b)
    t("moon_how", A=a, B=b, x=x)
    t("end_moon", A=a)


PLOTS = (firefly, tall_tale, letter, huge, moon)
