"""Plots about things that are lost and found, and the beginnings that many plots share."""

from __future__ import annotations

from llama_tutorial.tales.story import Story

HELPERS = ("owl", "crow", "farmer", "sailor", "toad", "beaver", "donkey")


def begin_with(t: Story, a: str, x: str) -> None:
    """Somebody who has something."""
    if t.chance(0.55):
        t("once", A=a)
    t("have", A=a, x=x)
    if t.chance(0.35):
        t.flavor(a, x)


def arrive(t: Story, a: str, p: str, x: str = "", link: str = "oneday") -> None:
    """Somebody goes somewhere, with or without something."""
    if x and t.chance(0.7):
        t("go_with", link, A=a, p=p, x=x)
    else:
        t.wander(link, A=a, p=p)
    t.maybe(0.25, "scene", A=a, p=p)


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
        t.maybe(0.35, "welcome", A=a, B=b)
    else:
        t("thank_told", A=a, B=b)


def lost_alone(t: Story) -> None:
    """Something is lost, looked for in vain, and found where nobody would look."""
    a, x, p = t.someone(), t.thing("toy", "wear", "treasure"), t.place("out")
    spot, wrong, other = t.spots(p, 3)
    begin_with(t, a, x)
    arrive(t, a, p, x)
    t.maybe(0.5, "play", A=a, x=x)
    t("lose", t.pick(("sudden", "then_but")), A=a, x=x)
    t.maybe(0.4, "notice", A=a, x=x)
    t.maybe(0.5, "sad", A=a)
    if t.chance(0.6):
        t("search", "first", A=a, x=x, s=wrong)
        t.maybe(0.5, "search", "then", A=a, x=x, s=other)
    else:
        t("search_two", A=a, x=x, s=wrong, t=other)
    t("find", "atlast", A=a, x=x, s=spot)
    t.maybe(0.6, "glad", A=a)
    t("kept_safe", "since" if t.chance(0.4) else "", A=a, x=x)


def lost_with_helper(t: Story) -> None:
    """Something is lost, and somebody helps to find it."""
    a, x, p = t.someone(), t.thing("toy", "wear", "treasure"), t.place("out")
    spot, wrong, _ = t.spots(p, 3)
    t.maybe(0.4, "once", A=a)
    t("have", A=a, x=x)
    t("go_with", "oneday", A=a, x=x, p=p)
    t("lose", t.pick(("sudden", "then_but")), A=a, x=x)
    if t.chance(0.35):
        t("sad", A=a)
    elif t.chance(0.5):
        t("search", A=a, x=x, s=wrong)
    b = t.someone() if t.chance(0.7) else t.stranger(*HELPERS)
    enter(t, a, b, "just")
    if t.chance(0.5):
        t("ask_what", A=a, B=b)
        t("cry_lost", A=a, B=b, x=x)
    else:
        t("ask_seen", A=a, B=b, x=x)
    if t.chance(0.5):
        t("clue", A=a, B=b, x=x, s=spot)
        t("find_there", "so", A=a, x=x, s=spot)
    else:
        t("help_offer", A=a, B=b)
        t("find_for", "soon", B=b, x=x, s=spot)
        t(t.pick(("here", "bring_back")), A=a, B=b, x=x, s=spot)
    thank(t, a, b)
    t.maybe(0.5, "end_friends", G=(a, b))


def found(t: Story) -> None:
    """Somebody finds what another has lost, and gives it back."""
    a, x, p = t.someone(), t.thing("toy", "wear", "treasure", without="big wild"), t.place("out")
    t("once", A=a)
    arrive(t, a, p)
    t("find_strange", "sudden" if t.chance(0.3) else "", A=a, x=x)
    t.maybe(0.7, "tempted", A=a, x=x)
    if t.chance(0.55):
        b = t.someone() if t.chance(0.6) else t.stranger(*HELPERS)
        enter(t, a, b, "soon")
        t("ask_owner", A=a, B=b, x=x)
        t("not_mine", A=a, B=b)
    c = t.someone()
    t("owner_comes", "soon", A=a, C=c, x=x)
    t("owner_said", A=a, C=c, x=x)
    t(t.pick(("return", "return_said")), A=a, C=c, x=x)
    if t.chance(0.4):
        thank(t, c, a)
    t(t.pick(("end_return", "end_friends")), A=a, C=c, G=(a, c))


def up_a_tree(t: Story) -> None:
    """Something hangs in a tree; one is too small, but two or three are not."""
    a, p = t.someone(), t.place("out", without="water shop")
    x = t.thing("wind", "ball", without="treasure")
    begin_with(t, a, x)
    arrive(t, a, p, x, "windy")
    t("stuck_up", "sudden", A=a, x=x)
    t("jump_for", A=a, x=x)
    b = t.someone() if t.chance(0.6) else t.stranger("crow", "owl", "woman", "man")
    enter(t, a, b, "just")
    t("ask_reach", A=a, B=b, x=x)
    if b not in ("crow", "owl") and t.chance(0.6):
        t("cannot_reach", A=a, B=b)
        c = t.someone()
        t("meet", "soon", A=a, B=c)
        t("three_high", "so", A=a, B=b, C=c, x=x)
        t("end_tower", A=a)
    else:
        t("get_down", "so", A=a, B=b, x=x)
        thank(t, a, b)
        t.maybe(0.5, "end_friends", G=(a, b))


PLOTS = (lost_alone, lost_with_helper, found, up_a_tree)
