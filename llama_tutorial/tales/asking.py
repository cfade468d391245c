"""What can be asked of a tale, and what its facts answer.

Each function yields what to fill into the wording of its question, and the answer.
:mod:`llama_tutorial.tales.questions` words them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from llama_tutorial.tales.wording import POSSESSIVE, article
from llama_tutorial.tales.tale import Facts
from llama_tutorial.tales.words import PLACES

NOT_SAID = "The tale does not say."
Found = Iterator[tuple[dict[str, str], str]]  # what to fill in, and the answer


def name_of(being: str) -> str:
    """How an answer names somebody: "Tom", "the owl", "Grandma"."""
    return being if being[0].isupper() else "the " + being


def sentence(words: str) -> str:
    """The words with a capital and a full stop."""
    return words[0].upper() + words[1:] + "."


def _has(facts: Facts) -> Found:
    for noun in facts.things:
        holder = facts.get("holder", noun)
        if holder and not _borrowed(facts, holder):
            yield {"x": noun}, sentence(name_of(holder))


def _borrowed(facts: Facts, holder: str) -> bool:
    """Whether somebody has got something that was lent: the tale need not tell of its return."""
    return any(fact[0] == "lent" and fact[2] == holder for fact in facts.final)


def _color(facts: Facts) -> Found:
    for noun, looks in facts.things.items():
        yield {"x": noun}, sentence(looks["colour"]) if "colour" in looks else NOT_SAID


def _animal(facts: Facts) -> Found:
    for being in facts.beings.values():
        if being.named and being.kind not in ("boy", "girl"):
            yield {"A": being.name}, sentence(article(being.kind))


def _found_where(facts: Facts) -> Found:
    for roles in facts.told("find", "find_there", "find_for"):
        yield {"x": roles["x"]}, sentence(roles["s"])


def _found_who(facts: Facts) -> Found:
    for roles in facts.told("find", "find_there"):
        yield {"x": roles["x"]}, sentence(name_of(roles["A"]))
    for roles in facts.told("find_for"):
        yield {"x": roles["x"]}, sentence(name_of(roles["B"]))


def _gave(facts: Facts) -> Found:
    for roles in facts.told("give", "gift_said", "give_back"):
        yield {"x": roles["x"], "B": name_of(roles["B"])}, sentence(name_of(roles["A"]))
    for roles in facts.told("reward", "present", "bring_back"):
        if "B" in roles:
            yield {"x": roles["x"], "B": name_of(roles["A"])}, sentence(name_of(roles["B"]))


def _got(facts: Facts) -> Found:
    for roles in facts.told("give", "gift_said"):
        filled = {"A": name_of(roles["A"]), "B": name_of(roles["B"])}
        yield filled, sentence(article(roles["x"]))


def _wanted(facts: Facts) -> Found:
    for roles in facts.told("spy"):
        yield {"A": name_of(roles["A"])}, sentence(article(roles["x"]))
    for roles in facts.told("moon"):
        yield {"A": name_of(roles["A"])}, "The moon."


_REASONS = {
    "lose": "{he} had lost the {x}",
    "stuck_up": "the {x} was up in a tree",
    "miss": "the {x} was gone",
    "miss_said": "the {x} was gone",
    "alone": "{he} had no friends",
    "forgotten": "nobody remembered {his} birthday",
    "regret": "{he} missed the {x}",
    "try_fail": "{he} could not do it",
    "grow_dim": "the light grew weak",
}


def _why_sad(facts: Facts) -> Found:
    for kind, reason in _REASONS.items():
        for roles in facts.told(kind):
            who = roles["B" if kind in ("miss", "miss_said") else "A"]
            he = facts.beings[who].gender
            told = reason.format(he=he, his=POSSESSIVE[he], x=roles.get("x", ""))
            yield {"A": name_of(who)}, sentence("because " + told)


def _went(facts: Facts) -> Found:
    """Where to, for those who went to one place and were not brought away again."""
    if facts.told("dark_home", "guide", "go_both", "shelter"):
        return
    for roles in facts.told("go", "stroll", "go_with"):
        yield {"A": name_of(roles["A"])}, sentence(PLACES[roles["p"]].to)


_HELPING = (
    "do_help", "here", "bring_back", "clue", "rescue", "guide", "encourage", "show", "get_down",
    "comfort", "three_high", "carry_up",
)  # fmt: skip


def _helped(facts: Facts) -> Found:
    if facts.told(*_HELPING):
        for flag in facts.final:
            if flag[0] == "helped":
                yield {"A": name_of(flag[2])}, sentence(name_of(flag[1]))


def _hid(facts: Facts) -> Found:
    for roles in facts.told("hide"):
        yield {"A": name_of(roles["B"])}, sentence(roles["s"])


def _traded(facts: Facts) -> Found:
    for roles in facts.told("swap"):
        yield {"A": name_of(roles["A"]), "y": roles["y"]}, sentence("the " + roles["x"])


def _learned(facts: Facts) -> Found:
    if facts.told("can"):
        for roles in facts.told("cannot"):
            yield {"A": name_of(roles["A"])}, sentence("to " + roles["w"])


def _scared(facts: Facts) -> Found:
    for kind, answer in (("afraid", "The thunder."), ("strange_noise", "A strange sound.")):
        for roles in facts.told(kind):
            yield {"A": name_of(roles["A"])}, answer


def _who(kinds: str, role: str, thing: str = "") -> Callable[[Facts], Found]:
    """The answer is who has a role in an event; the question may name its thing."""

    def ask(facts: Facts) -> Found:
        for roles in facts.told(*kinds.split()):
            yield {thing: roles[thing]} if thing else {}, sentence(name_of(roles[role]))

    return ask


ASKERS: dict[str, Callable[[Facts], Found]] = {
    "has": _has,
    "color": _color,
    "animal": _animal,
    "found_where": _found_where,
    "found_who": _found_who,
    "gave": _gave,
    "got": _got,
    "wanted": _wanted,
    "why_sad": _why_sad,
    "went": _went,
    "helped": _helped,
    "hid": _hid,
    "traded": _traded,
    "broke": _who("break", "A", "x"),
    "took": _who("take", "A", "x"),
    "learned": _learned,
    "birthday": _who("birthday friend_birthday", "B"),
    "scared": _scared,
}
