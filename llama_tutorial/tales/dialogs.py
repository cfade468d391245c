"""Conversations about tales, to fine-tune on: a tale is told or given, and questions follow.

A dialog is a list of messages, as :mod:`llama_tutorial.chat` takes them. Either the user asks for
a tale, the assistant tells it, and the questions are about what was told; or the user gives the
tale together with the first question. Where there is room, a second tale follows. A few dialogs
begin with neither: small talk, and questions when nothing has been told yet. Every answer is known,
so whoever learned from these can be measured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from math import inf
from random import Random

from llama_tutorial.tales.questions import NOT_SAID, Question, questions
from llama_tutorial.tales.tables import sections
from llama_tutorial.tales.tale import Tale, tales
from llama_tutorial.tales.wording import the
from llama_tutorial.tales.words import THINGS

Message = dict[str, str]
Turn = tuple[str, str]

_TABLES = sections("dialogs")
SMALL_TALK: tuple[tuple[tuple[str, ...], str], ...] = tuple(
    (tuple(said.split(" | ")), answer)
    for said, answer in (row.split(" -> ") for row in _TABLES["small talk"])
)
TOLD, GIVEN = "told", "given"
# A told tale has twenty times the tokens of its answers, and is what the base can do already.
_TOLD_SHARE = 0.3
_SMALL_TALK_SHARE = 0.03
_UNTOLD_SHARE = 0.02
_NOT_SAID_SHARE = 0.3
_WORD = re.compile(r"[A-Za-z]+")


def dialogs(
    n: int,
    split: str = "train",
    seed: int = 0,
    *,
    room: int | None = None,
    length: Callable[[list[Message]], int] = len,
) -> Iterator[list[Message]]:
    """``n`` dialogs, each about one tale or two; the same on every machine.

    Two tales of one dialog share nobody and nothing, so that every question is about one of them.

    Args:
        n: How many.
        split: Of the tales.
        seed: Number of the first dialog; dialog ``i`` has the tales ``2i`` and ``2i + 1``.
        room: How long a dialog may be, by ``length``; what does not fit is left out. None: all.
        length: Measures a question with its answer; for a model, in tokens.

    Raises:
        ValueError: As :func:`llama_tutorial.tales.tale.tales`, or there is not even room for one
            turn.
    """
    told = tales(2 * n, split, 2 * seed)
    for number, (tale, other) in enumerate(zip(told, told, strict=True), seed):
        random = Random(f"dialog/{tale.split}/{tale.seed}")
        turns = _fitting(_parts(tale, other, random), inf if room is None else room, length)
        if not turns:
            raise ValueError(f"room={room}: no turn of dialog {number} fits; give more room")
        yield messages(turns)


def messages(turns: list[Turn]) -> list[Message]:
    """Questions and answers as messages by "user" and "assistant"."""
    return [
        {"role": role, "content": content}
        for turn in turns
        for role, content in zip(("user", "assistant"), turn, strict=True)
    ]


def ask(tale: Tale, question: Question, how: str = GIVEN) -> list[Message]:
    """The dialog that ends with a question on a tale, for a model to answer.

    Args:
        tale: What is asked about.
        question: One of its :func:`~llama_tutorial.tales.questions.questions`.
        how: ``"given"``: the user gives the tale with the question; ``"told"``: the assistant has
            told it before.

    Raises:
        ValueError: Another ``how``.
    """
    if how not in (TOLD, GIVEN):
        raise ValueError(f"how={how!r}: must be {TOLD!r} or {GIVEN!r}")
    if how == GIVEN:
        return messages([(f"{tale.text}\n{question.text}", "")])[:1]
    return messages([(request(tale), tale.text), (question.text, "")])[:3]


def request(tale: Tale, random: Random | None = None) -> str:
    """A request that this tale fulfils: by its own words, or for any tale."""
    random = random or Random(f"request/{tale.split}/{tale.seed}")
    own = [question.text for question in questions(tale) if question.kind == "tell"]
    if own and random.random() < 0.8:
        return own[0]
    return random.choice(_TABLES["any tale"]).format(A=the(next(iter(tale.facts.beings))))


def _parts(tale: Tale, other: Tale, random: Random) -> list[list[Turn]]:
    """What a dialog is made of, the first turn of each part being what the rest is about."""
    first, *asked = _about(tale, other, random)
    some = random.randint(0, len(asked))
    parts = [[turn] for turn in _before(tale, random)]
    parts.append([first, *asked[:some]])
    if _apart(tale, other):
        parts.append(_about(other, tale, random))
    return [*parts, *([turn] for turn in asked[some:])]


def _about(tale: Tale, other: Tale, random: Random) -> list[Turn]:
    """A tale, told or given, and questions on it which ``other`` does not answer."""
    elsewhere = _subjects(other)
    asked = [question for question in questions(tale) if question.kind != "tell"]
    asked = [q for q in asked if not elsewhere & set(_WORD.findall(q.text))]
    turns = [(q.text, q.answer) for q in _in_random_order(asked, random)]
    if random.random() < _TOLD_SHARE or not turns:
        return [(request(tale, random), tale.text), *turns]
    (question, answer), *rest = turns
    return [(f"{tale.text}\n{question}", answer), *rest]


def _apart(tale: Tale, other: Tale) -> bool:
    """Whether a question on one cannot be meant for the other."""
    birthdays = all(any(q.kind == "birthday" for q in questions(t)) for t in (tale, other))
    return not (_subjects(tale) & _subjects(other) or birthdays)


def _subjects(tale: Tale) -> set[str]:
    """Everybody and everything that a tale speaks of."""
    return {*tale.facts.beings, *(THINGS.keys() & set(_WORD.findall(tale.text)))}


def _in_random_order(asked: list[Question], random: Random) -> list[Question]:
    """Shuffled, and not more of them that the tale does not answer than that it does."""
    random.shuffle(asked)
    said = [question for question in asked if question.answer != NOT_SAID]
    unsaid = [question for question in asked if question.answer == NOT_SAID]
    order = []
    unsaid = unsaid[: max(len(said), 1)]
    while said or unsaid:
        choice = unsaid if not said or (unsaid and random.random() < _NOT_SAID_SHARE) else said
        order.append(choice.pop())
    return order


def _before(tale: Tale, random: Random) -> Iterator[Turn]:
    """What is said now and then before there is a tale."""
    if random.random() < _SMALL_TALK_SHARE:
        said, answer = random.choice(SMALL_TALK)
        yield random.choice(said), answer
    if random.random() < _UNTOLD_SHARE:
        asked = [question for question in questions(tale) if question.kind != "tell"]
        yield random.choice(asked).text, NOT_SAID


def _fitting(
    parts: list[list[Turn]], room: int | float, length: Callable[[list[Message]], int]
) -> list[Turn]:
    """The turns that fit: what is too long is left out, and a part whose first turn is, whole."""
    kept: list[Turn] = []
    for part in parts:
        for turn in part:
            size = length(messages([turn]))
            if size <= room:
                kept.append(turn)
                room -= size
            elif turn is part[0]:
                break
    return kept
