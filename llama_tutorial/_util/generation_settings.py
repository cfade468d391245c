"""What both engines agree on before the first token: settings, prompts, and what a seed stands for.

A setting that means nothing and a prompt that does not fit are refused here, at the door, with the
value and the rule. And a seed is turned into the numbers that start the random draws, so that the
same seed gives the same text in PyTorch and in NumPy. This module needs neither.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections import Counter
from collections.abc import Sequence

from llama_tutorial.config import ModelConfig


def check_sampling(
    temperature: float | int = 1.0, top_k: int | None = None, top_p: float | int = 1.0
) -> None:
    """Raise a ValueError for settings that mean nothing, with the value and the rule."""
    if not 0 <= temperature < math.inf:
        raise ValueError(f"temperature={temperature}: must be 0 (the likeliest token) or above")
    if top_k is not None and (not isinstance(top_k, int) or isinstance(top_k, bool) or top_k < 1):
        raise ValueError(f"top_k={top_k}: must be a whole number of at least 1, or None for all")
    if not 0 < top_p <= 1:
        raise ValueError(f"top_p={top_p}: must be above 0 and at most 1, which keeps all")


def check_prompts(
    config: ModelConfig, prompts: Sequence[Sequence[int]], max_new_tokens: int
) -> None:
    """Raise a ValueError for prompts that the model cannot take, with the row and the numbers."""
    if max_new_tokens < 0:
        raise ValueError(f"max_new_tokens={max_new_tokens}: must be 0 or above")
    for row, prompt in enumerate(prompts):
        if isinstance(prompt, int):
            raise ValueError("prompts must be a list of lists of ids; put the one prompt in a list")
        if len(prompt) == 0:
            raise ValueError(f"prompt {row} is empty: give at least one id, such as BOS")
        if len(prompt) + max_new_tokens > config.max_seq_len:
            raise ValueError(
                f"prompt {row} has {len(prompt)} tokens; with max_new_tokens={max_new_tokens} that "
                f"is more than the context of {config.max_seq_len}; shorten one of the two"
            )
        for token in prompt:
            if not 0 <= token < config.vocab_size:
                raise ValueError(
                    f"prompt {row} holds the id {token}: the model's ids are 0 to "
                    f"{config.vocab_size - 1}; was it made by another tokenizer?"
                )


def check_start(prompt: Sequence[int], start: int, length: int) -> None:
    """Raise a ValueError unless a prompt can go on at ``start``, with a cache of this length."""
    if start and not 0 <= start <= min(length, len(prompt) - 1):
        raise ValueError(
            f"start={start}: must be between 0 and {min(length, len(prompt) - 1)}, for the cache "
            f"holds {length} positions, and of the prompt's {len(prompt)} ids the last is computed"
        )


def row_seeds(prompts: Sequence[Sequence[int]], seed: int | None) -> list[int]:
    """A seed of 64 bits for every row, so that no row disturbs another.

    It depends on ``seed``, the row's prompt, and how many equal prompts stand before it; without a
    ``seed`` on nothing.
    """
    seeds: list[int] = []
    seen: Counter[tuple[int, ...]] = Counter()
    for prompt in prompts:
        key = tuple(map(int, prompt))  # NumPy's integers are the same prompt
        text = f"{seed} {seen[key]} {key}".encode()
        digest = hashlib.blake2b(text, digest_size=8).digest()
        seeds.append(secrets.randbits(64) if seed is None else int.from_bytes(digest, "big"))
        seen[key] += 1
    return seeds
