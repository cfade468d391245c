"""Exact match: how many questions about tales a chat model answers with the very words expected.

The answers are greedy, and each is compared with the one that the tale's facts give. "the kite" is
not "kite", and an answer that does not end is wrong, whatever it begins with: in a conversation it
would go on and ask itself the next question.

Source: exact match is the measure of Rajpurkar et al. (2016), "SQuAD", here without their leniency
for articles and punctuation.

Read next: :mod:`llama_tutorial.tales.dialogs`, where the questions come from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from llama_tutorial.chat.dialog import Dialog, encode_dialog
from llama_tutorial.generation import generate
from llama_tutorial.model import Transformer
from llama_tutorial.tales import NOT_SAID, questions, tales
from llama_tutorial.tales.dialogs import GIVEN, ask

ROWS = 64  # dialogs that are answered together
ANSWER_TOKENS = 24  # the longest expected answer has 18


class Answer(NamedTuple):
    """What a model says.

    Attributes:
        text: Its words, without spaces around them.
        ended: Whether it stopped by itself, with EOS.
    """

    text: str
    ended: bool


class Asked(NamedTuple):
    """A question to a model.

    Attributes:
        dialog: It ends with the question.
        answer: What is right.
        kind: Of the question, such as ``"color"``.
    """

    dialog: Dialog
    answer: str
    kind: str


class Score(NamedTuple):
    """How many answers are right."""

    right: int
    asked: int

    @property
    def share(self) -> float:
        """Between 0 and 1."""
        return self.right / self.asked


def answer(
    model: Transformer,
    tokenizer: Any,
    dialogs: Sequence[Dialog],
    max_new_tokens: int = ANSWER_TOKENS,
    *,
    encode: Callable[[Dialog, Any], list[int]] = encode_dialog,
    **sampling: Any,
) -> list[Answer]:
    """Answer every dialog; greedily, unless ``sampling`` says otherwise.

    Args:
        model: The model.
        tokenizer: Its own.
        dialogs: Each ends with a message of the user.
        max_new_tokens: Where an answer ends at the latest.
        encode: Makes the prompt's ids of a dialog.
        sampling: As for :func:`llama_tutorial.generation.generate`.

    Raises:
        ValueError: A dialog is none, or does not fit into the context with its answer.
    """
    sampling = {"temperature": 0, **sampling}
    prompts = [encode(dialog, tokenizer) for dialog in dialogs]
    found: dict[int, Answer] = {}
    by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # little padding
    for first in range(0, len(prompts), ROWS):
        numbers = by_length[first : first + ROWS]
        stop = {"stop_ids": {tokenizer.eos_id}}
        rows = generate(model, [prompts[i] for i in numbers], max_new_tokens, **stop, **sampling)
        for i, ids in zip(numbers, rows, strict=True):
            found[i] = Answer(tokenizer.decode(ids).strip(), len(ids) < max_new_tokens)
    return [found[i] for i in range(len(prompts))]


def asked_of_tales(
    n_tales: int, split: str = "test", how: str = GIVEN, seed: int = 0
) -> list[Asked]:
    """All questions on ``n_tales`` tales, but for the request to tell one.

    Args:
        n_tales: How many tales.
        split: Of the tales; those of "test" have combinations that no training tale has.
        how: ``"given"``: the user gives the tale; ``"told"``: the assistant has told it.
        seed: The first tale's.
    """
    return [
        Asked(ask(tale, question, how), question.answer, question.kind)
        for tale in tales(n_tales, split, seed)
        for question in questions(tale)
        if question.kind != "tell"
    ]


def exact_match(asked: Sequence[Asked], answers: Sequence[Answer]) -> dict[str, Score]:
    """Scores by kind, and for ``"said"``, ``"not said"`` and ``"all"``.

    A question counts as "said" if the tale answers it. The right answer to the others is
    ``llama_tutorial.tales.asking.NOT_SAID``.

    Raises:
        ValueError: There are not as many answers as questions.
    """
    if len(asked) != len(answers):
        raise ValueError(f"{len(asked)} questions and {len(answers)} answers: one for each")
    scores: dict[str, Score] = {}
    for question, given in zip(asked, answers, strict=True):
        right = given.ended and given.text == question.answer
        said = "not said" if question.answer == NOT_SAID else "said"
        for key in ("all", said, question.kind):
            before = scores.get(key, Score(0, 0))
            scores[key] = Score(before.right + right, before.asked + 1)
    return dict(sorted(scores.items()))
