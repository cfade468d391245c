r"""From logits to a token in NumPy: the same rules as :mod:`llama_tutorial.sampling`, for one row.

A repetition penalty comes first, then temperature, top-k, top-p and min-p. Top-k and top-p keep the
tokens above a threshold and, among those that lie exactly on it, the first. So nothing but the
values has to be sorted, which NumPy does in vector registers.

The random numbers are PyTorch's, too. Both libraries have the Mersenne Twister; seeded alike and
read alike, it gives the same numbers, so one seed gives one text in both engines.

Source: ``sample_top_p`` in Meta's ``generation.py``; Matsumoto and Nishimura (1998), "Mersenne
Twister".
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence

import numpy as np

from llama_tutorial._util.generation_settings import check_sampling
from llama_tutorial._util.not_finite import not_finite
from llama_tutorial._util.shapes import Float
from llama_tutorial.numpy_llama.layers import softmax

_TINY, _HUGE = float(np.finfo(np.float32).tiny), float(np.finfo(np.float32).max)


def next_probabilities(
    logits: Float[np.ndarray, " V"],
    temperature: float | int,
    top_k: int | None = None,
    top_p: float | int = 1.0,
    min_p: float | int = 0.0,
) -> Float[np.ndarray, " V"]:
    """What the next token is drawn from; ``temperature`` is above 0.

    Raises:
        ValueError: The largest logit is not finite, or one is NaN; or there is no such setting.
    """
    if not 0 <= temperature < math.inf or not 0 < top_p <= 1 or top_k is not None or min_p:
        temperature, top_k, top_p, min_p, *_ = check_sampling(temperature, top_k, top_p, min_p)
    best = logits.max()  # NaN where one is
    if not math.isfinite(best):
        raise not_finite([float(best)])
    # The best becomes 0. A tiny temperature must not, and a huge one not infinite.
    with np.errstate(over="ignore"):
        logits = (logits - best) / min(max(temperature, _TINY), _HUGE)
    if top_k is not None and top_k < logits.size:
        least = np.partition(logits, -top_k)[-top_k]
        logits = _keep(logits, top_k, least)
    if top_p < 1:
        ordered = np.sort(logits)[::-1]
        probabilities = softmax(ordered)
        reached = probabilities.cumsum(dtype=np.float64).astype(np.float32)  # rounded once
        above = reached - probabilities  # what the likelier tokens hold
        count = max(int((above <= top_p).sum()), 1)  # the likeliest always stays
        logits = _keep(logits, count, ordered[count - 1])
    if min_p:
        logits = np.where(logits < math.log(min_p), np.float32(-np.inf), logits)
    return softmax(logits)


def repetition_penalty(
    logits: Float[np.ndarray, " V"], ids: Sequence[int], penalty: float | int
) -> Float[np.ndarray, " V"]:
    """Make the tokens of a text less likely: positive logits divided, the others multiplied.

    Each once; ``ids`` are the prompt and the new tokens. A logit of -inf stays; the others stay
    finite.

    Raises:
        ValueError: The penalty is not above 0.
    """
    penalty = check_sampling(repetition_penalty=penalty).repetition_penalty
    penalty = min(max(penalty, _TINY), _HUGE)
    now = logits[ids]  # (T,)
    with np.errstate(over="ignore"):
        changed = np.where(now > 0, now / penalty, now * penalty).clip(-_HUGE, _HUGE)
    logits = logits.copy()
    logits[ids] = np.where(now > -np.inf, changed, now)
    return logits


def _keep(
    logits: Float[np.ndarray, " V"], count: int, least: np.float32
) -> Float[np.ndarray, " V"]:
    """Set all but the ``count`` largest to -inf, of which ``least`` is the smallest."""
    kept = np.full_like(logits, -np.inf)
    larger, equal = np.flatnonzero(logits > least), np.flatnonzero(logits == least)
    stay = np.concatenate((larger, equal[: count - larger.size]))  # the first of the equals
    kept[stay] = logits[stay]
    return kept


def draw(probabilities: Float[np.ndarray, " V"], uniform: float) -> int:
    """The token whose share of the unit interval ``uniform`` falls into.

    Raises:
        ValueError: The probabilities sum to 0, or to no finite number.
    """
    reached = probabilities.cumsum(dtype=np.float64)  # (V,)
    if not sys.float_info.min <= (total := float(reached[-1])) < math.inf:
        raise ValueError(f"the probabilities sum to {total}: must be above 0")
    target = min(uniform, 1 - 2**-53) * total  # always below the total
    return int(np.searchsorted(reached, target, side="right"))


def uniforms(seed: int) -> Iterator[float]:
    """Numbers in [0, 1): those of ``torch.rand(1, dtype=torch.float64)`` after this seed."""
    twister = np.random.MT19937()
    np.random.RandomState(twister).seed(seed % 2**32)  # torch takes the low half as well
    while True:
        high, low = map(int, twister.random_raw(2))
        yield (high << 32 | low) % 2**53 / 2**53
