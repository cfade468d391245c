"""Rejection sampling fine-tuning: of several answers keep the best, and learn from these.

Each round draws K answers to every prompt from the model as it is, takes the one with the highest
reward, and fine-tunes on it as on any dialog. The rounds before are not forgotten: a model that
learned from the newest samples alone lost abilities (Llama 2's could no longer rhyme), so the best
answers of all rounds are learned from.

Source: Touvron et al. (2023), "Llama 2", section 3.2.3.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch

from llama_tutorial.chat.dialog import TAGS, Dialog, encode_dialog
from llama_tutorial.checkpoints.folders import AnyTokenizer
from llama_tutorial.finetuning.evaluation import Answer, answer_dialogs
from llama_tutorial.finetuning.examples import Example, encode_example
from llama_tutorial.model import Transformer
from llama_tutorial.preferences.batches import last_answer
from llama_tutorial.preferences.reward_model import RewardModel
from llama_tutorial.training.processes import rank, world_size

CHUNK = 16  # prompts whose answers are drawn together

Reward = Callable[[Sequence[tuple[Dialog, Answer]]], list[float]]
"""From prompts with their answers to a number for each: a reward model's, or the truth."""


class Best(NamedTuple):
    """The best of some answers to a prompt.

    Attributes:
        prompt: The dialog.
        answer: The text.
        reward: Its reward.
        mean: The mean reward of all candidates: what one draw would have brought.
    """

    prompt: list[dict[str, str]]
    answer: str
    reward: float
    mean: float

    def dialog(self) -> list[dict[str, str]]:
        """The prompt with the answer, to learn from."""
        return [*self.prompt, {"role": "assistant", "content": self.answer}]


def best_of(
    model: Transformer,
    tokenizer: AnyTokenizer,
    prompts: Sequence[Dialog],
    reward: Reward,
    *,
    k: int,
    max_new_tokens: int,
    temperature: float | int = 1.0,
    seed: int = 0,
) -> list[Best]:
    """The best of ``k`` answers to each prompt.

    An answer that did not end, that is empty, or that holds one of Llama's tags is no candidate;
    a prompt with no other is left out. Several processes share the prompts; all get all answers.

    Args:
        model: The model, whole in every process.
        tokenizer: Its tokenizer.
        prompts: Dialogs that end with a question.
        reward: What "best" means.
        k: How many are drawn.
        max_new_tokens: Maximal length of an answer.
        temperature: Of the draws.
        seed: Of the draws; the same seed gives the same answers.

    Raises:
        ValueError: ``k`` is below 1, no answer has ended, or a prompt does not fit.
    """
    if k < 1:
        raise ValueError(f"k={k}: must be at least 1")
    starts = range(0, len(prompts), CHUNK)
    mine: dict[int, list[Best]] = {}
    for number, first in enumerate(starts):
        if number % world_size() != rank():
            continue
        part = [dialog for dialog in prompts[first : first + CHUNK] for _ in range(k)]
        drawn = answer_dialogs(
            model,
            tokenizer,
            part,
            max_new_tokens,
            temperature=temperature,
            top_p=1.0,
            seed=(seed * 1_000_003 + first) % 2**63,
        )
        mine[first] = []
        for begin in range(0, len(part), k):
            usable = [answer for answer in drawn[begin : begin + k] if is_usable(answer)]
            if usable:
                prompt = [dict(message) for message in part[begin]]
                rewards = reward([(prompt, answer) for answer in usable])
                best = max(range(len(usable)), key=rewards.__getitem__)  # of equals the first
                mean = sum(rewards) / len(rewards)
                mine[first].append(Best(prompt, usable[best].text, rewards[best], mean))
    every = {key: value for found in gathered(mine) for key, value in found.items()}
    bests = [best for first in starts for best in every[first]]
    if not bests:
        raise ValueError(
            f"of {k} answers to each of {len(prompts)} prompts, none has ended within "
            f"{max_new_tokens} tokens: there is nothing to learn from"
        )
    return bests


def is_usable(answer: Answer) -> bool:
    """Whether an answer can stand in a dialog that is learned from."""
    return answer.ended and bool(answer.text) and not any(tag in answer.text for tag in TAGS)


def gathered(value: dict[int, list[Best]]) -> list[dict[int, list[Best]]]:
    """What every process gives, in every process."""
    if world_size() == 1:
        return [value]
    values: list[dict[int, list[Best]]] = [{} for _ in range(world_size())]
    torch.distributed.all_gather_object(values, value)
    return values


def learned_reward(model: RewardModel, tokenizer: AnyTokenizer, batch_size: int = 64) -> Reward:
    """The reward that a reward model gives, for answers as they are in a dialog.

    Equal answers are read once: of several samples, many are.
    """

    @torch.inference_mode()
    def rewards(answered: Sequence[tuple[Dialog, Answer]]) -> list[float]:
        dialogs = [
            [*prompt, {"role": "assistant", "content": answer.text}] for prompt, answer in answered
        ]
        rows = [tuple(encode_answered(dialog, tokenizer).ids) for dialog in dialogs]
        different = sorted(set(rows), key=lambda row: (len(row), row))  # little padding
        found: list[float] = []
        for first in range(0, len(different), batch_size):
            part = different[first : first + batch_size]
            longest = max(map(len, part))
            ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in part])
            last = torch.tensor([len(row) - 1 for row in part])
            found += model.rewards(ids.to(model.device), last.to(model.device)).tolist()
        reward_of = dict(zip(different, found, strict=True))
        return [reward_of[row] for row in rows]

    return rewards


def encode_answered(dialog: Dialog, tokenizer: AnyTokenizer) -> Example:
    """A dialog that ends with an answer, as tokens; only that answer has labels."""
    return last_answer(encode_example(dialog, tokenizer))


def answer_room(dialogs: Sequence[Dialog], tokenizer: AnyTokenizer, context: int) -> int:
    """The tokens that are left for an answer after the longest prompt."""
    return context - max(len(encode_dialog(dialog, tokenizer)) for dialog in dialogs)
