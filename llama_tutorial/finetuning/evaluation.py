"""Exact match: how many questions about tales a chat model answers with exactly the right words.

The answers are greedy, and each is compared with the one that the tale's facts give. "the kite" is
not "kite", and an answer that does not end is wrong, whatever it begins with: in a conversation it
would go on and ask itself the next question.

Source: exact match is the measure of Rajpurkar et al. (2016), "SQuAD", here without their
normalisation of articles and punctuation. The questions come from
:mod:`llama_tutorial.tales.dialogs`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from llama_tutorial._util.eval_mode import eval_mode
from llama_tutorial.chat.dialog import Dialog, encode_dialog
from llama_tutorial.checkpoints.folders import AnyTokenizer
from llama_tutorial.generation import generate
from llama_tutorial.model import Transformer
from llama_tutorial.tales import NOT_SAID, questions, tales
from llama_tutorial.tales.dialogs import GIVEN, ask

BATCH_SIZE = 64  # dialogs that are answered together
ANSWER_TOKENS = 24  # the longest expected answer has 18


class Answer(NamedTuple):
    """A model's answer.

    Attributes:
        text: The text, without spaces around it.
        ended: Whether the model ended it, with EOS.
    """

    text: str
    ended: bool


class DialogQuestion(NamedTuple):
    """A question at the end of a dialog, with the right answer.

    Attributes:
        dialog: The dialog; its last message is the question.
        answer: The right answer.
        kind: The kind of question, such as ``"color"``.
    """

    dialog: Dialog
    answer: str
    kind: str


class Score(NamedTuple):
    """How many of all answers are right."""

    right: int
    total: int

    @property
    def accuracy(self) -> float:
        """Between 0 and 1."""
        return self.right / self.total


def answer_dialogs(
    model: Transformer,
    tokenizer: AnyTokenizer,
    dialogs: Sequence[Dialog],
    max_new_tokens: int = ANSWER_TOKENS,
    *,
    encode: Callable[[Dialog, AnyTokenizer], list[int]] = encode_dialog,
    **sampling: Any,
) -> list[Answer]:
    """The answers to dialogs; greedy, unless ``sampling`` says otherwise.

    The model is in eval mode meanwhile, and afterwards as it was.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        dialogs: Each ends with a message of the user.
        max_new_tokens: Maximal length of an answer.
        encode: Makes the prompt's ids from a dialog.
        sampling: As for :func:`llama_tutorial.generation.generate`.

    Raises:
        ValueError: A dialog is malformed, or does not fit into the context with its answer.
    """
    settings = {"stop_ids": {tokenizer.eos_id}, "temperature": 0, **sampling}
    prompts = [encode(dialog, tokenizer) for dialog in dialogs]
    answers: dict[int, Answer] = {}
    by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))  # little padding
    with eval_mode(model):
        for first in range(0, len(prompts), BATCH_SIZE):
            batch = by_length[first : first + BATCH_SIZE]
            rows = generate(model, [prompts[i] for i in batch], max_new_tokens, **settings)
            for i, ids in zip(batch, rows, strict=True):
                answers[i] = Answer(tokenizer.decode(ids).strip(), len(ids) < max_new_tokens)
    return [answers[i] for i in range(len(prompts))]


def questions_about_tales(
    n_tales: int, split: str = "test", how: str = GIVEN, seed: int = 0
) -> list[DialogQuestion]:
    """All questions about ``n_tales`` tales, except the request to tell one.

    Args:
        n_tales: Number of tales.
        split: The tales' split; those of "test" have combinations that no training tale has.
        how: ``"given"``: the user gives the tale; ``"told"``: the assistant has told it.
        seed: The first tale's.
    """
    return [
        DialogQuestion(ask(tale, question, how), question.answer, question.kind)
        for tale in tales(n_tales, split, seed)
        for question in questions(tale)
        if question.kind != "tell"
    ]


def exact_match(questions: Sequence[DialogQuestion], answers: Sequence[Answer]) -> dict[str, Score]:
    """Scores by kind, and for ``"said"``, ``"not said"`` and ``"all"``.

    A question counts as "said" if the tale answers it. The right answer to the others is
    ``llama_tutorial.tales.NOT_SAID``.

    Raises:
        ValueError: There are not as many answers as questions.
    """
    if len(questions) != len(answers):
        raise ValueError(f"{len(questions)} questions and {len(answers)} answers: one for each")
    scores: dict[str, Score] = {}
    for question, answer in zip(questions, answers, strict=True):
        is_right = answer.ended and answer.text == question.answer
        said = "not said" if question.answer == NOT_SAID else "said"
        for key in ("all", said, question.kind):
            right, total = scores.get(key, (0, 0))
            scores[key] = Score(right + is_right, total + 1)
    return dict(sorted(scores.items()))
