"""Questions about a tale, worded in several ways, with the answers that its facts give.

A question that the tale does not answer has the answer :data:`NOT_SAID`. The last is no question
but a request, and the tale itself is its answer. ``data/questions.txt`` holds the wordings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from random import Random
from typing import Any, NamedTuple

from llama_tutorial.tales.patterns import Parts, Slot, parts
from llama_tutorial.tales.tables import lines
from llama_tutorial.tales.tale import Facts, Tale
from llama_tutorial.tales.wording import POSSESSIVE, article, the
from llama_tutorial.tales.words import BOYS, GIRLS, PLACES, THINGS

NOT_SAID = "The tale does not say."
_RULE = re.compile(
    r"> (?P<kinds>[\w, ]+?)(?: with (?P<asked>\w)=(?P<role>\w))?"
    r"(?: if (?P<only>[\w, ]+))?(?: unless (?P<never>[\w, ]+))?: (?P<answer>.+)"
)
_HELPING = (
    "do_help here bring_back clue rescue guide encourage show get_down comfort three_high carry_up"
).split()
Found = Iterator[tuple[dict[str, str], str]]  # what to fill into a wording, and the answer


class Question(NamedTuple):
    """Something to ask of a tale."""

    text: str
    answer: str
    kind: str  # the key of its wordings


class AnswerRule(NamedTuple):
    """Which events answer a kind of question, and how."""

    kinds: list[str]
    roles: dict[str, str]  # letter in the question -> role in the event
    only: list[str]
    never: list[str]
    answer: Parts


@cache
def question_kinds() -> dict[str, tuple[list[str], list[AnswerRule]]]:
    """The wordings of each kind of question, and what answers it."""
    kinds: dict[str, tuple[list[str], list[AnswerRule]]] = {}
    for row in lines("questions"):
        if row.startswith("= "):
            wordings, rules = kinds[row[2:]] = [], []
        elif row.startswith("> "):
            rules.append(_rule(row, wordings[0]))
        else:
            wordings.append(row)
    return kinds


def questions(tale: Tale) -> list[Question]:
    """Every question that the facts answer, three that they do not, and the request to tell it.

    The same for the same tale, on every machine. A question with two right answers is left out. A
    tale without a thing or without a place has no request.
    """
    random = Random(f"questions/{tale.split}/{tale.seed}")
    answers: dict[tuple[str, tuple[tuple[str, str], ...]], set[str]] = {}
    for kind, (_, rules) in question_kinds().items():
        asked = _BY_HAND[kind](tale.facts) if kind in _BY_HAND else _answers(rules, tale.facts)
        for filled, answer in asked:
            answers.setdefault((kind, tuple(sorted(filled.items()))), set()).add(answer)
    found = [
        _worded(kind, dict(filled), one_of.pop(), random)
        for (kind, filled), one_of in answers.items()
        if len(one_of) == 1
    ]
    for kind, filled in _not_said(tale.facts, random):
        found.append(_worded(kind, filled, NOT_SAID, random))
    request = _request(tale.facts)
    return [*found, _worded("tell", request, tale.text, random)] if request else found


def _worded(kind: str, filled: dict[str, str], answer: str, random: Random) -> Question:
    text = random.choice(question_kinds()[kind][0]).format(**filled)
    return Question(text[0].upper() + text[1:], answer, kind)


def _rule(row: str, wording: str) -> AnswerRule:
    match = _RULE.fullmatch(row)
    if not match:
        raise ValueError(f"{row!r}: must be '> events: answer'")
    kinds, only, never = (
        match[name].split(", ") if match[name] else [] for name in ("kinds", "only", "never")
    )
    roles = {part.role: part.role for part in parts(wording) if isinstance(part, Slot)}
    if match["asked"]:
        roles[match["asked"]] = match["role"]
    return AnswerRule(kinds, roles, only, never, parts(match["answer"]))


def _answers(rules: list[AnswerRule], facts: Facts) -> Found:
    """What to ask by some rules, and the answers."""
    happened = {event.kind for event in facts.events}
    for rule in rules:
        if happened & set(rule.never) or (rule.only and not happened & set(rule.only)):
            continue
        for roles in facts.told(*rule.kinds):
            if roles.keys() >= {*rule.roles.values()}:
                asked = {at: _words(Slot(of, ""), roles, facts) for at, of in rule.roles.items()}
                answer = (
                    part if isinstance(part, str) else _words(part, roles, facts)
                    for part in rule.answer
                )
                yield asked, _sentence("".join(answer))


def _words(slot: Slot, roles: dict[str, Any], facts: Facts) -> str:
    """The words for a role of an event."""
    value = roles[slot.role]
    if slot.form == "he":
        return facts.beings[value].gender
    if slot.form == "his":
        return POSSESSIVE[facts.beings[value].gender]
    if slot.form == "a":
        return article(value)
    if slot.form == "to":
        return PLACES[value].to
    return the(value) if slot.role in "ABCDE" else value


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:] + "."


def _has(facts: Facts) -> Found:
    """Who has what was lent is not asked: the tale need not tell of its return."""
    borrowers = {fact[2] for fact in facts.final if fact[0] == "lent"}
    for noun in facts.things:
        holder = facts.get("holder", noun)
        if holder and holder not in borrowers:
            yield {"x": noun}, _sentence(the(holder))


def _color(facts: Facts) -> Found:
    for noun, looks in facts.things.items():
        yield {"x": noun}, _sentence(looks["colour"]) if "colour" in looks else NOT_SAID


def _animal(facts: Facts) -> Found:
    for being in facts.beings.values():
        if being.named and being.kind not in ("boy", "girl"):
            yield {"A": being.name}, _sentence(article(being.kind))


def _helped(facts: Facts) -> Found:
    if facts.told(*_HELPING):
        for flag in facts.final:
            if flag[0] == "helped":
                yield {"A": the(flag[2])}, _sentence(the(flag[1]))


_BY_HAND = {"has": _has, "color": _color, "animal": _animal, "helped": _helped}


def _not_said(facts: Facts, random: Random) -> Iterator[tuple[str, dict[str, str]]]:
    """Questions that no tale answers, or not this one."""
    yield "nobody_asked", {"A": the(next(iter(facts.beings)))}
    yield "stranger", {"A": random.choice([n for n in (*BOYS, *GIRLS) if n not in facts.beings])}
    spoken_of = {value for event in facts.events for value in dict(event.roles).values()}
    unknown = [noun for noun in THINGS if noun not in {*facts.things, *spoken_of}]
    yield "nowhere", {"x": random.choice(unknown)}


def _request(facts: Facts) -> dict[str, str]:
    """Whom, what and where to ask a tale about; empty where it has no thing or no place."""
    places = [roles["p"] for event in facts.events if "p" in (roles := dict(event.roles))]
    if not facts.things or not places:
        return {}
    place = PLACES[places[0]]
    return {
        "A": the(next(iter(facts.beings))),
        "x": article(next(iter(facts.things))),
        "p": place.noun if place.noun in ("home", "school") else "the " + place.noun,
        "at": place.at,
    }
