"""The true reward: the story world knows what holds in a tale, and judges every answer by it.

Llama 2's annotators preferred one of two answers, by a scale of four grades. Here nobody needs to
be asked. An answer is worth 3 if it is the tale's own, word for word and ended with EOS; 1 if it
declines ("The tale does not say.") where the tale does say, which is no lie and no help; 0 if it
says what is not so. The grade of a pair is the difference.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence

from llama_tutorial.chat.dialog import encode_dialog
from llama_tutorial.checkpoints.folders import AnyTokenizer
from llama_tutorial.finetuning.evaluation import (
    ANSWER_TOKENS,
    Answer,
    DialogQuestion,
    answer_dialogs,
)
from llama_tutorial.generation import generate
from llama_tutorial.model import Transformer
from llama_tutorial.preferences.pair_file import Pair
from llama_tutorial.tales import NOT_SAID
from llama_tutorial.tales.dialogs import GIVEN, ask
from llama_tutorial.tales.questions import questions
from llama_tutorial.tales.tale import Tale

TRUE, DECLINED, FALSE = 3, 1, 0
CHUNK = 16  # questions whose samples are drawn together


def worth(question: DialogQuestion, answer: Answer) -> int:
    """What the world makes of an answer: 3 if it is right, 1 if it declines in vain, 0 if false."""
    if not answer.ended:
        return FALSE
    if answer.text == question.answer:
        return TRUE
    return DECLINED if answer.text == NOT_SAID else FALSE


def questions_on(tales: Iterable[Tale], how: str = GIVEN) -> list[DialogQuestion]:
    """All questions about some tales, except the request to tell one."""
    return [
        DialogQuestion(ask(tale, question, how), question.answer, question.kind)
        for tale in tales
        for question in questions(tale)
        if question.kind != "tell"
    ]


def uncertain(
    model: Transformer,
    tokenizer: AnyTokenizer,
    asked: Sequence[DialogQuestion],
    certain: float = 0.98,
) -> list[DialogQuestion]:
    """The questions whose likeliest answer the model gives with a probability below ``certain``.

    Samples of the others would nearly all be the same, and a pair needs two answers.
    """
    doubtful = []
    for first in range(0, len(asked), CHUNK):
        part = asked[first : first + CHUNK]
        prompts = [encode_dialog(one.dialog, tokenizer) for one in part]
        _, logs = generate(
            model,
            prompts,
            ANSWER_TOKENS,
            temperature=0,
            stop_ids={tokenizer.eos_id},
            logprobs=True,
        )
        certainty = [math.exp(sum(log)) for log in logs]
        doubtful += [one for one, p in zip(part, certainty, strict=True) if p < certain]
    return doubtful


def sample_answers(
    model: Transformer,
    tokenizer: AnyTokenizer,
    asked: Sequence[DialogQuestion],
    k: int,
    *,
    temperature: float = 1.0,
    seed: int = 0,
) -> list[list[Answer]]:
    """``k`` answers to each question, drawn from the model.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        asked: The questions.
        k: How many answers to each.
        temperature: Of the draws.
        seed: Of the draws; the same questions in the same order get the same answers.
    """
    found: list[list[Answer]] = []
    for first in range(0, len(asked), CHUNK):
        dialogs = [one.dialog for one in asked[first : first + CHUNK] for _ in range(k)]
        drawn = answer_dialogs(
            model, tokenizer, dialogs, temperature=temperature, top_p=1.0, seed=seed + first
        )
        found += [drawn[i : i + k] for i in range(0, len(drawn), k)]
    return found


def pairs_of(question: DialogQuestion, answers: Sequence[Answer]) -> Iterator[Pair]:
    """A pair of the best and the worst of some answers, if the world can tell them apart.

    Only answers that ended: a file holds texts, and all of them would end there.
    """
    ended = [answer for answer in answers if answer.ended and answer.text]
    ranked = sorted(ended, key=lambda answer: worth(question, answer))  # stable: draws' order
    if ranked:
        best, worst = ranked[-1], ranked[0]
        grade = worth(question, best) - worth(question, worst)
        if grade:
            yield Pair([dict(m) for m in question.dialog], best.text, worst.text, grade)


def make_pairs(
    model: Transformer,
    tokenizer: AnyTokenizer,
    tales: Iterable[Tale],
    n: int,
    *,
    k: int = 8,
    temperature: float = 1.0,
    certain: float = 0.98,
    seed: int = 0,
) -> Iterator[Pair]:
    """``n`` pairs of the model's own answers, as the world prefers them; fewer if the tales end.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        tales: To ask about, as many as it takes.
        n: How many pairs.
        k: Answers that are drawn to each question.
        temperature: Of the draws.
        certain: Questions that the model answers with at least this probability are left out.
        seed: Of the draws.
    """
    told, number = iter(tales), 0
    while n > 0:
        some = [tale for tale, _ in zip(told, range(CHUNK), strict=False)]
        if not some:
            return
        asked = uncertain(model, tokenizer, questions_on(some), certain)
        draws = sample_answers(
            model, tokenizer, asked, k, temperature=temperature, seed=seed + 1000 * number
        )
        number += 1
        for question, answers in zip(asked, draws, strict=True):
            for pair in pairs_of(question, answers):
                if n > 0:
                    yield pair
                n -= 1
