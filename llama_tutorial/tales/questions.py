# ruff: noqa: E501 - a table: a row is a line
"""Questions about a tale, worded in several ways, with the answers that its facts give.

A question that the tale does not answer has the answer :data:`NOT_SAID`. The last is no question
but a request, and the tale itself is its answer.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from llama_tutorial.tales.asking import ASKERS, NOT_SAID, name_of
from llama_tutorial.tales.wording import article
from llama_tutorial.tales.tale import Facts, Tale
from llama_tutorial.tales.words import BOYS, GIRLS, PLACES, THINGS

WORDINGS: dict[str, tuple[str, ...]] = {
    "has": (
        "Who has the {x} at the end?",
        "At the end, who has the {x}?",
        "Who has the {x} when the tale is over?",
    ),
    "color": (
        "What color is the {x}?",
        "Which color does the {x} have?",
        "Tell me the color of the {x}.",
    ),
    "animal": (
        "What kind of animal is {A}?",
        "What animal is {A}?",
        "{A} is an animal. Which one?",
    ),
    "found_where": (
        "Where was the {x} found?",
        "Where did the {x} turn up?",
        "In which place was the {x} found?",
    ),
    "found_who": ("Who found the {x}?", "Who was it that found the {x}?"),
    "gave": ("Who gave the {x} to {B}?", "From whom did {B} get the {x}?", "Who gave {B} the {x}?"),
    "got": ("What did {A} give to {B}?", "What did {B} get from {A}?"),
    "wanted": (
        "What did {A} want?",
        "What did {A} wish for?",
        "{A} wanted something. What was it?",
    ),
    "why_sad": ("Why was {A} sad?", "What made {A} sad?", "{A} was sad. Why?"),
    "went": ("Where did {A} go?", "To which place did {A} go?", "{A} went somewhere. Where?"),
    "helped": ("Who helped {A}?", "Who was it that helped {A}?", "{A} got help. From whom?"),
    "hid": ("Where did {A} hide?", "What was the hiding place of {A}?"),
    "traded": ("What did {A} give for the {y}?", "What did {A} trade for the {y}?"),
    "broke": ("Who broke the {x}?", "Who was it that broke the {x}?"),
    "took": ("Who took the {x}?", "Who took the {x} without asking?"),
    "learned": ("What did {A} learn?", "What can {A} do now?"),
    "birthday": ("Whose birthday was it?", "Who had a birthday?"),
    "scared": ("What was {A} afraid of?", "What scared {A}?"),
    "nobody_asked": (
        "How old is {A}?",
        "What did {A} eat for breakfast?",
        "What is the name of the brother of {A}?",
    ),
    "stranger": (
        "Where does {A} live?",
        "What does {A} want?",
        "Why is {A} sad?",
        "Whom did {A} help?",
    ),
    "nowhere": ("Who has the {x}?", "What color is the {x}?", "Where was the {x} found?"),
    "tell": (
        "Tell a story about {A}, {x} and {p}.",
        "Tell me a tale with {A}, {x} and {p} in it.",
        "Please tell a story about {A} and {x}. It happens {at}.",
        "I would like to hear about {A}, {x} and {p}.",
    ),
}


class Question(NamedTuple):
    """Something to ask of a tale."""

    text: str
    answer: str
    kind: str  # the key of its wordings


def questions(tale: Tale) -> list[Question]:
    """Every question that the tale's facts answer, three that they do not, and the request to tell it.

    The same for the same tale, on every machine. A question with two right answers is left out. A
    tale without a thing or without a place has no request.
    """
    random = Random(f"questions/{tale.split}/{tale.seed}")
    answers: dict[tuple[str, tuple[tuple[str, str], ...]], set[str]] = {}
    for kind, ask in ASKERS.items():
        for filled, answer in ask(tale.facts):
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
    text = random.choice(WORDINGS[kind]).format(**filled)
    return Question(text[0].upper() + text[1:], answer, kind)


def _not_said(facts: Facts, random: Random) -> Iterator[tuple[str, dict[str, str]]]:
    """Questions that no tale answers, or not this one."""
    yield "nobody_asked", {"A": name_of(next(iter(facts.beings)))}
    yield "stranger", {"A": random.choice([n for n in (*BOYS, *GIRLS) if n not in facts.beings])}
    spoken_of = {value for event in facts.events for value in dict(event.roles).values()}
    yield (
        "nowhere",
        {"x": random.choice([n for n in THINGS if n not in {*facts.things, *spoken_of}])},
    )


def _request(facts: Facts) -> dict[str, str]:
    """Whom, what and where to ask a tale about; empty where it has no thing or no place."""
    places = [roles["p"] for event in facts.events if "p" in (roles := dict(event.roles))]
    if not facts.things or not places:
        return {}
    place = PLACES[places[0]]
    return {
        "A": name_of(next(iter(facts.beings))),
        "x": article(next(iter(facts.things))),
        "p": place.noun if place.noun in ("home", "school") else "the " + place.noun,
        "at": place.at,
    }
