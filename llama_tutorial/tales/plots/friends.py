"""Plots about games, learning, parties, and making friends."""

from __future__ import annotations

from llama_tutorial.tales.story import Story
from llama_tutorial.tales.words import SKILLS


def hide_and_seek(t: Story) -> None:
    """One counts, the other hides; sometimes too well."""
    a, b, p = t.someone(), t.someone(), t.place("out", "in", without="shop")
    spot, wrong, other = t.spots(p, 3)
    t("pair", G=(a, b))
    t("go_both", "oneday", G=(a, b), p=p)
    t.maybe(0.3, "scene", A=a, p=p)
    t(t.pick(("hide_game", "hide_plan")), A=a, B=b, G=(a, b))
    t("count", A=a, B=b)
    t("hide", "", A=a, B=b, s=spot)
    t("seek", "first", A=a, B=b, s=wrong)
    t.maybe(0.5, "seek", "then", A=a, B=b, s=other)
    if t.chance(0.5):
        t("noise", A=a, B=b)
        t("find_hidden", "", A=a, B=b, s=spot)
        t("found_said", A=a, B=b)
    else:
        t.maybe(0.4, "where_said", A=a, B=b)
        t("asleep_hidden", "atlast", A=a, B=b, s=spot)
        t("asleep_said", A=a, B=b)
    t("end_hide", A=a, B=b, G=(a, b))


def race(t: Story) -> None:
    """A race that is won by losing."""
    a, b = t.someone(), t.someone()
    p, q = t.random.sample(
        ("park", "river", "hill", "forest", "lake", "farm", "beach", "meadow"), 2
    )
    t("pair", G=(a, b))
    t("go_both", "oneday", G=(a, b), p=q)
    t("boast", A=a, B=b)
    t("race_to", A=a, B=b, G=(a, b), p=p)
    t.maybe(0.4, "lead", "soon", A=a, B=b)
    t("trip", "sudden", A=a, B=b)
    t("turn_back", A=a, B=b)
    if t.chance(0.5):
        t("hurt_said", A=a, B=b)
        t.maybe(0.6, "go_on", A=a, B=b)
    else:
        t("go_on", A=a, B=b)
        t("rather", A=a, B=b)
    t("finish", "so", A=a, B=b, G=(a, b))
    t("end_race", A=a, B=b, G=(a, b))


def learn(t: Story) -> None:
    """Something hard is learned with a friend's help."""
    a, w = t.someone(True), t.pick(SKILLS)
    b = t.someone(True) if t.chance(0.5) else t.kin()
    t("once", A=a)
    t("cannot", A=a, w=w)
    t("try_fail", t.pick(("first", "but", "alone")), A=a, w=w)
    t("watched", A=a, B=b)
    t.maybe(0.7, "give_up", A=a, B=b)
    t(t.pick(("encourage", "show")), A=a, B=b)
    t("practice", "so", A=a, w=w)
    t("can", t.pick(("atlast", "sudden")), A=a, B=b, w=w)
    t("did_it", A=a, B=b)
    t("end_learn", A=a, B=b, w=w)


def new_friend(t: Story) -> None:
    """Somebody lonely is asked to play."""
    a, b, y, p = t.someone(), t.someone(), t.thing("toy"), t.place("out", without="deep")
    t("once", A=a)
    t("alone", A=a)
    t.wander("oneday", A=a, p=p)
    t.maybe(0.3, "scene", A=a, p=p)
    t("playing", A=a, B=b, y=y)
    t("shy", A=a)
    t("invite", A=a, B=b, y=y)
    t.maybe(0.6, "agree", A=b, B=a)
    t("play_both", "so" if t.chance(0.4) else "", G=(a, b), x=y)
    t("end_friends", G=(a, b))


def surprise(t: Story) -> None:
    """A birthday that nobody seems to remember."""
    a, b, p = t.someone(), t.someone(), t.place("out", without="deep")
    t.maybe(0.5, "once", A=a)
    t("party", A=a)
    t.wander("", A=a, p=p)
    t("join", "", A=a, B=b)
    t("hello", A=a, B=b)
    t("busy", A=a, B=b)
    t("forgotten", "so" if t.chance(0.3) else "", A=a)
    t("dark_home", "evening" if t.chance(0.4) else "", A=a)
    t("surprise", "sudden", A=a, B=b)
    if t.chance(0.6):
        x = t.thing("toy", "wear", "baked")
        t("present", A=a, B=b, x=x)
    t("end_party", A=a)


def bake(t: Story) -> None:
    """Baking, with one thing missing."""
    a, b = t.someone(), t.someone() if t.chance(0.5) else t.kin("Grandma", "Grandpa", "Dad", "Mom")
    c, x = t.stranger("woman", "man", "farmer", "sailor"), t.this(t.pick(("cake", "pie")))
    if t.cast[b].named:
        t("pair", G=(a, b))
    else:
        t("once", A=a)
        t("with_kin", A=a, B=b)
    t("bake_plan", "oneday" if t.chance(0.6) else "", G=(a, b), x=x)
    t("missing", A=a)
    t("borrow", "so", A=a, C=c)
    t("lend_egg", A=a, C=c)
    t("bake", G=(a, b), x=x, A=a)
    t("eat_baked", G=(a, b), x=x, A=a)
    t("end_bake", A=a, C=c, x=x)


PLOTS = (hide_and_seek, race, learn, new_friend, surprise, bake)
