"""Plots about wishing, giving, trading and sharing, and about taking and breaking."""

from __future__ import annotations

from llama_tutorial.tales.plots.lost import arrive, begin_with, enter
from llama_tutorial.tales.story import Story


def wish(t: Story) -> None:
    """A wish is earned by helping."""
    a, x = t.someone(), t.thing("toy", "wear", without="treasure")
    p = t.place("shop", without="out") if t.chance(0.6) else "market"
    b = t.stranger("baker", "farmer", "woman", "man", "sailor")
    p = "shop" if p == "bakery" else p
    t("once", A=a)
    t.wander("oneday", A=a, p=p)
    t("spy", A=a, x=x)
    t("no_money", A=a, x=x)
    t("burden", "just", A=a, B=b)
    t(t.pick(("ask_help", "offer_help")), A=a, B=b)
    t("do_help", "so" if t.chance(0.4) else "", A=a, B=b)
    if t.chance(0.5):
        t("paid", A=a, B=b)
        t("buy", A=a, x=x)
    else:
        t("reward", A=a, B=b, x=x)
        t.maybe(0.3, "thanks", A=a, B=b)
    t("end_earned", A=a, x=x)


def gift(t: Story) -> None:
    """A birthday, and the search for a gift."""
    a = t.someone()
    t("once", A=a)
    if t.chance(0.4):
        b = t.kin()
        t("birthday", A=a, B=b)
    else:
        b = t.someone()
        t("friend_birthday", A=a, B=b)
    t("no_gift", A=a, B=b)
    t.maybe(0.35, "idea", A=a)
    if t.chance(0.55):
        x = t.thing("made", "knit", "baked")
        t("make_gift", "so", A=a, x=x)
    else:
        p = "orchard" if t.chance(0.3) else t.place("out", without="shop")
        x = t.thing("fruit") if p == "orchard" else t.thing("treasure", without="sound")
        t("go", "so", A=a, p=p)
        t("find_gift", A=a, x=x, p=p)
    t.maybe(0.5, "wrap", "then", A=a, x=x)
    t("visit", A=a, B=b)
    t(t.pick(("gift_said", "give")), A=a, B=b, x=x)
    t(t.pick(("like_gift", "like_said")), A=a, B=b, x=x)
    t.maybe(0.8, "end_gift", A=a, B=b, G=(a, b))


def trade(t: Story) -> None:
    """Two trade, and are glad of it, or not."""
    a, b = t.someone(), t.someone()
    x, y = t.thing("toy", "wear", "treasure"), t.thing("toy", "wear", "treasure")
    if t.chance(0.5):
        t("pair", G=(a, b))
        t("have", A=a, x=x)
        t("other_has", "oneday", A=a, B=b, y=y)
    else:
        t("have", A=a, x=x)
        t("go_with", "oneday", A=a, x=x, p=t.place("out", "in", without="home"))
        enter(t, a, b)
        t("other_has", A=a, B=b, y=y)
    t("envy", A=a, B=b, y=y)
    t("offer_trade", A=a, B=b, x=x, y=y)
    t.maybe(0.6, "agree", A=a, B=b)
    t("swap", "so", A=a, B=b, G=(a, b), x=x, y=y)
    if t.chance(0.4):
        t("both_like", A=a, B=b, x=x, y=y, G=(a, b))
        t.maybe(0.5, "end_friends", G=(a, b))
        return
    t("regret", A=a, B=b, x=x, y=y)
    t("trade_back", "nextday", A=a, B=b, x=x, y=y)
    t("swap_back", A=a, B=b, G=(a, b), x=x, y=y)
    if t.chance(0.6):
        t("end_trade", A=a, x=x)
    else:
        t("moral_trade")


def share(t: Story) -> None:
    """There is something to eat, and somebody who has nothing."""
    a, b, x, p = t.someone(), t.someone(), t.thing("food"), t.place("out", "in", without="home")
    t.maybe(0.5, "once", A=a)
    t("food", A=a, x=x)
    arrive(t, a, p, x)
    enter(t, a, b)
    t("hungry", A=a, B=b, x=x)
    t.maybe(0.4, "hungry_said", A=a, B=b)
    if t.chance(0.6):
        t(t.pick(("keep_it", "keep_said")), A=a, B=b, x=x)
        t("think_again", A=a, B=b)
    t(t.pick(("share", "share_said")), "so", A=a, B=b, x=x)
    t("eat", G=(a, b), A=a, B=b)
    if t.chance(0.4):
        y = t.thing("food", "treasure")
        t("repay", "nextday", A=a, B=b, y=y)
    t.maybe(0.7, "end_share", A=a, B=b, G=(a, b))


def mistake(t: Story) -> None:
    """Something borrowed is broken; the truth mends more than glue."""
    a, b, x = t.someone(), t.someone(), t.thing("break")
    if t.chance(0.5):
        t("pair", G=(a, b))
        t("have", A=b, x=x)
    else:
        begin_with(t, b, x)
        t("join", "oneday", A=b, B=a)
    t(t.pick(("lend", "lend_said")), "oneday" if t.chance(0.5) else "", A=a, B=b, x=x)
    t.maybe(0.4, "play", A=a, x=x)
    t("break", "then_but", A=a, x=x)
    t("hide_it", A=a, x=x)
    t(t.pick(("confess", "confess", "confess_told")), "then_but", A=a, B=b, x=x)
    t.maybe(0.5, "quiet", A=a, B=b, x=x)
    t("forgive", A=a, B=b)
    t("mend", "so", G=(a, b), x=x, A=a)
    t("end_mend", A=a, B=b, x=x)


def took(t: Story) -> None:
    """Something is taken without asking."""
    a, b, y = t.someone(), t.someone(), t.thing("toy", "wear", "treasure")
    t("pair", G=(a, b))
    t("have", A=b, x=y)
    t("envy", A=a, B=b, y=y)
    t("take", "oneday" if t.chance(0.5) else "", A=a, B=b, x=y)
    t(t.pick(("miss", "miss_said")), A=a, B=b, x=y)
    t("guilt", A=a, B=b, x=y)
    t("give_back", "nextday", A=a, B=b, x=y)
    t("sorry", A=a, B=b)
    t("forgive_took", A=a, B=b)
    t.maybe(0.5, "play_both", G=(a, b), x=y)
    t.maybe(0.7, "end_took", A=a, B=b)


def quarrel(t: Story) -> None:
    """Two want the same thing."""
    a, b, c, x = t.someone(), t.someone(), t.kin("Mom", "Dad", "Grandma", "Grandpa"), t.thing("toy")
    p = t.pick(("park", "yard", "playground", "kitchen", "attic", "garden"))
    t("pair", G=(a, b))
    t("go_both", "oneday", G=(a, b), p=p)
    t("lying", A=a, B=b, G=(a, b), x=x)
    t("both_want", A=a, B=b, G=(a, b), x=x)
    t("quarrel_said", A=a, B=b)
    t.maybe(0.4, "quarrel_back", A=a, B=b)
    t("pull", A=a, B=b, G=(a, b))
    t("comes", "just", A=a, C=c)
    t("judge", A=a, B=b, C=c)
    t("turns", A=a, B=b, G=(a, b))
    t(t.pick(("end_turns", "play_both")), A=a, B=b, G=(a, b), x=x)


PLOTS = (wish, gift, trade, share, mistake, took, quarrel)
