"""What both engines agree on before the first token: settings, prompts, and what a seed stands for.

A setting that means nothing and a prompt that does not fit are refused here, at the door, with the
value and the rule; what passes leaves as Python's own numbers. And a seed is turned into the
numbers that start the random draws, so that the same seed gives the same text in PyTorch and in
NumPy. This module needs neither.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from types import NoneType
from typing import Any, NamedTuple

from llama_tutorial.config import ModelConfig

Rows = list[tuple[list[int], int]]
"""Of each row the prompt's ids, and the seed of its draws."""


class Sampling(NamedTuple):
    """How tokens are drawn, and when they end."""

    temperature: float
    top_k: int | None
    top_p: float
    min_p: float
    repetition_penalty: float
    max_new_tokens: int
    stop_ids: frozenset[int]


_ABOVE_0, _FINITE = math.ulp(0.0), sys.float_info.max
_RULES = {  # of each number, in the order above: types, the least and the greatest, and in words
    "temperature": ((int, float), 0, _FINITE, "0 (the likeliest token) or above"),
    "top_k": ((int, NoneType), 1, math.inf, "a whole number of at least 1, or None for all"),
    "top_p": ((int, float), _ABOVE_0, 1, "above 0 and at most 1, which keeps all"),
    "min_p": ((int, float), 0, 1, "at least 0, which keeps all, and at most 1"),
    "repetition_penalty": ((int, float), _ABOVE_0, _FINITE, "above 0 and finite; 1 is no penalty"),
    "max_new_tokens": ((int,), 0, math.inf, "0 or above, a whole number"),
}


def plain(value: Any) -> Any:
    """Python's own numbers and lists in place of NumPy's and torch's."""
    return value.tolist() if hasattr(value, "tolist") else value


def check_sampling(
    temperature: Any = 1.0,
    top_k: Any = None,
    top_p: Any = 1.0,
    min_p: Any = 0.0,
    repetition_penalty: Any = 1.0,
    max_new_tokens: Any = 0,
    stop_ids: Any = (),
) -> Sampling:
    """The settings of a call of ``generate``; None as ``stop_ids`` is none.

    Raises:
        ValueError: One of them means nothing; with the value and the rule.
    """
    given = temperature, top_k, top_p, min_p, repetition_penalty, max_new_tokens
    numbers: dict[str, Any] = dict(zip(_RULES, map(plain, given), strict=True))
    for name, (types, least, most, rule) in _RULES.items():
        value = numbers[name]
        if type(value) not in types or (value is not None and not least <= value <= most):
            raise ValueError(f"{name}={value!r}: must be {rule}")
        numbers[name] = float(value) if float in types else value
    stops = () if stop_ids is None else plain(stop_ids)
    stops = list(map(plain, stops)) if isinstance(stops, Iterable) else [None]
    if any(type(token) is not int for token in stops):
        raise ValueError(f"stop_ids={stop_ids!r}: must be a set of ids; put a single one in a set")
    return Sampling(**numbers, stop_ids=frozenset(stops))


def read_rows(config: ModelConfig, prompts: Any, max_new_tokens: int, seed: Any) -> Rows:
    """The ids of each prompt, and the seed of 64 bits for its draws.

    So no row disturbs another: a row's seed depends on ``seed``, its prompt, and how many equal
    prompts stand before it; without a ``seed`` on nothing.

    Raises:
        ValueError: The model cannot take a prompt; with the row and the numbers. Or ``seed`` is
            neither a whole number nor None.
    """
    seed, prompts = plain(seed), plain(prompts)
    if seed is not None and type(seed) is not int:
        raise ValueError(f"seed={seed!r}: must be a whole number, or None for new draws")
    if isinstance(prompts, str) or not isinstance(prompts, Iterable):
        prompts = [prompts]
    rows: Rows = []
    seen: Counter[tuple[int, ...]] = Counter()
    for row, prompt in enumerate(map(plain, prompts)):
        if isinstance(prompt, str | bytes):
            raise ValueError(
                f"prompt {row} is text: encode it first, tokenizer.encode(text, bos=True)"
            )
        if not isinstance(prompt, Iterable):
            raise ValueError("prompts must be a list of lists of ids; put the one prompt in a list")
        ids = list(map(plain, prompt))
        for token in ids:
            if type(token) is not int:
                raise ValueError(f"prompt {row} holds {token!r}: ids are whole numbers")
            if not 0 <= token < config.vocab_size:
                raise ValueError(
                    f"prompt {row} holds the id {token}: the model's ids are 0 to "
                    f"{config.vocab_size - 1}; was it made by another tokenizer?"
                )
        if not ids:
            raise ValueError(f"prompt {row} is empty: give at least one id, such as BOS")
        if len(ids) + max_new_tokens > config.max_seq_len:
            raise ValueError(
                f"prompt {row} has {len(ids)} tokens; with max_new_tokens={max_new_tokens} that "
                f"is more than the context of {config.max_seq_len}; shorten one of the two"
            )
        key = tuple(ids)
        digest = hashlib.blake2b(f"{seed} {seen[key]} {key}".encode(), digest_size=8).digest()
        number = secrets.randbits(64) if seed is None else int.from_bytes(digest, "big")
        rows.append((ids, number))
        seen[key] += 1
    return rows


def check_start(prompt: Sequence[int], start: Any, new_tokens: int, filled: Any, slots: int) -> int:
    """The position at which a prompt goes on, with a cache of one row.

    Args:
        prompt: Its ids.
        start: How many of them are in the cache.
        new_tokens: How many are to follow.
        filled: The cache's length.
        slots: How many positions it has room for.

    Raises:
        ValueError: The cache does not hold them, has not one row, or has too little room; or
            nothing is left to compute.
    """
    start, filled = plain(start), plain(filled)
    if isinstance(filled, list):
        if len(filled) != 1:
            raise ValueError(f"the cache has {len(filled)} rows: it must have one, for one prompt")
        [filled] = filled
    most = min(filled, len(prompt) - 1)
    if type(start) is not int or (start and not 0 <= start <= most):
        raise ValueError(
            f"start={start!r}: must be between 0 and {most}, for the cache holds {filled} "
            f"positions, and of the prompt's {len(prompt)} ids the last is computed"
        )
    needed = len(prompt) + new_tokens - 1  # the last id is not fed
    if new_tokens and needed > slots:
        raise ValueError(
            f"the cache has {slots} slots: {len(prompt)} ids and max_new_tokens={new_tokens} "
            f"need {needed}; make a longer one"
        )
    return start
