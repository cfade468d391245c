"""Plots with storms, holes, dark nights, long waits and old keys."""

from __future__ import annotations

from llama_tutorial.tales.plots.lost import arrive, thank
from llama_tutorial.tales.story import Story


def storm(t: Story) -> None:
    """A storm, and company in it."""
    a, p, q = (
        t.someone(),
        t.pick(("forest", "hill", "beach", "meadow", "lake", "river")),
        t.place("dry"),
    )
    b = t.someone() if t.chance(0.7) else t.stranger("owl", "cow", "donkey", "toad")
    t("once", A=a)
    arrive(t, a, p, link="sunny")
    t("clouds", "sudden", A=a)
    t("storm", "then", A=a)
    t.maybe(0.5, "afraid", A=a)
    t("shelter", A=a, p=q)
    t("inside", A=a, B=b)
    if t.chance(0.6):
        t("comfort", A=a, B=b)
    t("comfort_told", A=a, B=b, G=(a, b))
    t("storm_end", "atlast", A=a)
    t("end_storm", A=a, B=b, G=(a, b))


def stuck(t: Story) -> None:
    """Somebody is stuck, and somebody comes."""
    a, b, p = t.someone(), t.someone(), t.place("out", without="shop")
    trouble, tool = t.pick(
        (("in_hole", "rope"), ("in_hole", "ladder"), ("in_mud", "rope"), ("in_tree", "ladder"))
    )
    t.maybe(0.6, "once", A=a)
    arrive(t, a, p)
    t("hear", "sudden", A=a)
    t(trouble, A=a, B=b)
    t("help_me", A=a, B=b)
    t.maybe(0.6, "hold_on", A=a, B=b)
    t.maybe(0.6, "try_reach", A=a, B=b)
    x = t.this(tool)
    t("fetch", "so" if t.chance(0.5) else "then", A=a, x=x)
    t("rescue", A=a, B=b, x=x)
    if t.chance(0.5):
        t("promise_help", A=a, B=b)
    else:
        thank(t, b, a)
    t("end_rescue", A=a, B=b, G=(a, b))


def lost_way(t: Story) -> None:
    """Too far from home, and back."""
    a, p = t.someone(), t.pick(("forest", "meadow", "hill", "orchard"))
    b = t.stranger("owl", "crow", "toad", "farmer") if t.chance(0.6) else t.someone(False)
    c = t.kin()
    t("once", A=a)
    t.wander("oneday", A=a, p=p)
    t("stray", A=a, p=p)
    t("no_way", A=a)
    t.maybe(0.5, "scared", A=a)
    t("meet", "just", A=a, B=b)
    t("ask_way", A=a, B=b)
    t("offer_way", A=a, B=b)
    t("guide", "so" if t.chance(0.5) else "", A=a, B=b)
    if t.chance(0.6):
        t("waiting", A=a, C=c)
        t.maybe(0.5, "promise", A=a, C=c)
    t("end_way", A=a)


def sick(t: Story) -> None:
    """A friend is sick, and is cheered up."""
    a = t.someone()
    b = t.someone() if t.chance(0.6) else t.kin()
    t("once", A=a)
    t("sick_friend" if t.cast[b].named else "sick", A=a, B=b)
    t.maybe(0.7, "cheer_plan", A=a, B=b)
    if t.chance(0.6):
        x = t.thing("made", "baked", "knit")
        t("make_gift", "so", A=a, x=x)
    else:
        p, x = t.place("out", without="shop"), t.this("flower")
        t("go", "so", A=a, p=p)
        t("find_gift", A=a, x=x, p=p)
    t("visit", A=a, B=b)
    t("give", A=a, B=b, x=x)
    t("sit_by", "then" if t.chance(0.4) else "", A=a, B=b)
    t("smile", A=a, B=b)
    t("well", t.pick(("nextday", "soon")), B=b, A=a)
    t("end_sick", A=a, B=b, G=(a, b))


def old_key(t: Story) -> None:
    """A key, and what it opens."""
    a, p, q = t.someone(), t.place("out", without="shop"), t.place("in", "home", without="shop")
    x = t.this("key")
    y = t.thing("toy", "treasure", "wear")  # no second key: what is cast is not cast again
    s, u = t.spots(p, 1)[0], t.spots(q, 1)[0]
    t("once", A=a)
    t.wander("oneday", A=a, p=p)
    t("find_key", A=a, x=x, s=s)
    t("wonder", A=a, x=x)
    t.maybe(0.6, "try_key", A=a, x=x)
    t("go", t.pick(("nextday", "then")), A=a, p=q)
    t("box", A=a, s=u)
    t("open", A=a, x=x, y=y)
    t.maybe(0.5, "glad", A=a)
    t("end_key", A=a, x=x, y=y)


def seed(t: Story) -> None:
    """A seed, and a long wait."""
    a, b, p = (
        t.someone(),
        t.kin() if t.chance(0.5) else t.stranger("farmer", "woman", "crow", "owl"),
        t.place("soil"),
    )
    x = t.this(t.pick(("sunflower", "pumpkin", "flower")))
    t("once", A=a)
    if t.cast[b].kind in ("Mom", "Dad", "Grandma", "Grandpa"):
        t("with_kin", A=a, B=b)
    else:
        t("meet", "oneday", A=a, B=b)
    t("seed", A=a, B=b)
    t.maybe(0.5, "seed_said", A=a, B=b)
    t("plant", "so", A=a, p=p)
    t("water", A=a, p=p)
    t("nothing", "but", A=a, p=p)
    t.maybe(0.6, "patience", A=a, B=b, p=p)
    t("sprout", t.pick(("atlast", "sudden")), A=a, p=p)
    t("grown", A=a, x=x, p=p)
    t("end_grow", A=a, x=x)


def dark(t: Story) -> None:
    """A noise in the night."""
    a, c = t.someone(), t.kin()
    t("once", A=a)
    t("bed", t.pick(("night", "night", "alone")), A=a)
    t("strange_noise", "sudden", A=a)
    t("imagine", A=a)
    t.maybe(0.6, "scared", A=a)
    t("call_for", A=a, C=c)
    t.maybe(0.5, "call", A=a, C=c)
    t("noise_said", A=a, C=c)
    t("see_noise", A=a, C=c, G=(c, a))
    t("laugh_noise", A=a)
    t("end_bed", A=a)


def baby_bird(t: Story) -> None:
    """A baby bird is brought back to its nest."""
    a, p, x = t.someone(True), t.place("out", without="shop water"), t.this("ladder")
    b = t.kin("Dad", "Grandpa", "Mom") if t.chance(0.5) else t.stranger("farmer", "man", "woman")
    t.maybe(0.6, "once", A=a)
    arrive(t, a, p)
    t("baby", A=a)
    t("nest_high", A=a)
    t("run_for", "so", A=a, B=b)
    t("bring_tool", A=a, B=b, x=x)
    t("carry_up", A=a, B=b, G=(a, b), x=x)
    t("end_bird", A=a)


def snowman(t: Story) -> None:
    """A snowman, and what he wears."""
    a, b = t.someone(True), t.someone(True)
    x, y = t.this("carrot"), t.thing("wear", without="treasure")
    t("pair", G=(a, b))
    t("snow", t.pick(("winter", "alone")), A=a)
    t("build", G=(a, b))
    t("snow_needs", A=a, B=b)
    t("fetch", "so", A=a, x=x)
    t("snow_nose", "then" if t.chance(0.3) else "", A=a, x=x)
    t("snow_wear", B=b, y=y, A=a)
    t("end_snow", G=(a, b))


PLOTS = (storm, stuck, lost_way, sick, old_key, seed, dark, baby_bird, snowman)
