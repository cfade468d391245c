"""Plots about things that are lost and found, and the beginnings that many plots share."""

from __future__ import annotations

from llama_tutorial.tales.story import Story


def begin(t: Story, a: str) -> None:
    """Somebody is introduced by a sentence of their own."""
    t("once", A=a)


def begin_with(t: Story, a: str, x: str) -> None:
    """Somebody who has something."""
    if t.chance(0.6):
        begin(t, a)
    t("have", A=a, x=x)
    if t.chance(0.35):
        t.flavor(a, x)


def arrive(t: Story, a: str, p: str, x: str = "", link: str = "oneday") -> None:
    """Somebody goes somewhere, with or without something."""
    if x and t.chance(0.7):
        t("go_with", link, A=a, p=p, x=x)
    else:
        t("go", link, A=a, p=p)
    t.maybe(0.3, "scene", A=a, p=p)


def enter(t: Story, a: str, b: str, link: str = "") -> None:
    """Somebody else comes in."""
    if t.cast[b].named and t.chance(0.35):
        t("join", link, A=a, B=b)
    else:
        t("meet", link, A=a, B=b)


def thank(t: Story, a: str, b: str) -> None:
    """Thanks, and sometimes an answer to it."""
    if t.chance(0.65):
        t("thanks", A=a, B=b)
        t.maybe(0.5, "welcome", A=a, B=b)
    else:
        t("thank_told", A=a, B=b)


def lost_and_found(t: Story) -> None:
    """Something is lost, looked for and found; alone or with a helper."""
    a = t.someone()
    x = t.thing("toy", "wear", "treasure")
    p = t.place("out")
    spot, wrong, other = t.spots(p, 3)
    begin_with(t, a, x)
    arrive(t, a, p, x)
    t.maybe(0.4, "play", A=a, x=x)
    t("lose", "sudden" if t.chance(0.6) else "then_but", A=a, x=x)
    t.maybe(0.6, "sad", A=a)
    helper = t.chance(0.75)
    if t.chance(0.6):
        t("search", "first" if t.chance(0.3) else "", A=a, x=x, s=wrong)
    elif t.chance(0.6):
        t("search_two", A=a, x=x, s=wrong, t=other)
    if not helper:
        t("find", "atlast", A=a, x=x, s=spot)
        t("glad", A=a)
        t("kept_safe", A=a, x=x)
        return
    b = t.someone() if t.chance(0.7) else t.stranger("owl", "crow", "farmer", "sailor", "toad", "beaver")
    enter(t, a, b, "sudden")
    if t.chance(0.5):
        t("ask_what", A=a, B=b)
        t("cry_lost", A=a, B=b, x=x)
        if t.chance(0.5):
            t("clue", A=a, B=b, x=x, s=spot)
            t("find", "so", A=a, x=x, s=spot)
            t.world.facts["helped", b, a] = True
        else:
            t("help_offer", A=a, B=b)
            t("find_for", "soon", B=b, x=x, s=spot)
            t("here", A=a, B=b, x=x, s=spot)
    else:
        t("ask_seen", A=a, B=b, x=x)
        t("no_seen", A=a, B=b)
        t("find_for", "soon", B=b, x=x, s=spot)
        t("bring_back", A=a, B=b, x=x)
    thank(t, a, b)
    t("end_friends", G=(a, b)) if t.chance(0.5) else t("kept_safe", "since", A=a, x=x)
