r"""From logits to a token: penalty, temperature, top-k, top-p, min-p, and the draw.

.. math:: p_i = \frac{e^{z_i / \tau}}{\sum_j e^{z_j / \tau}}

A temperature below 1 sharpens the distribution, one above 1 flattens it. Top-k keeps the ``k``
likeliest tokens; top-p ("nucleus") the likeliest that together hold a share ``p``; min-p those at
least ``p`` times as likely as the likeliest. They are applied in this order, which is that of
transformers. Top-p looks at what top-k has left, since its sum is of that. Min-p compares with the
likeliest token alone, which no cut takes away, so it drops the same tokens wherever it stands
behind the temperature; it stands last, where it does not change what top-p sums.

A repetition penalty comes before all of them, on the logits as the model gives them. It divides
those above zero and multiplies those below, so nothing may have been added to them; and it decides
which token is the likeliest, the one that temperature 0 takes.

All functions are pure: logits in, logits or ids out.

Source: Holtzman et al. (2020), "The Curious Case of Neural Text Degeneration"; ``sample_top_p`` in
Meta's ``generation.py``; Nguyen et al. (2025), "Turning Up the Heat"; Keskar et al. (2019), "CTRL".
"""

from __future__ import annotations

import math
import sys

import numpy as np
import torch
from torch import Tensor

from llama_tutorial._util.generation_settings import check_sampling
from llama_tutorial._util.not_finite import not_finite
from llama_tutorial._util.shapes import Float, Int


def top_k_filter(logits: Float[Tensor, "*B V"], k: int) -> Float[Tensor, "*B V"]:
    """Set all but the ``k`` largest logits to -inf; among equals the first stay.

    Raises:
        ValueError: ``k`` is below 1.
    """
    k = int(check_sampling(top_k=k).top_k or logits.shape[-1])
    if k >= logits.shape[-1]:
        return logits
    return _keep(logits, k, least=logits.topk(k).values[..., -1:])


def top_p_filter(logits: Float[Tensor, "*B V"], p: float | int) -> Float[Tensor, "*B V"]:
    """Set the unlikely tail to -inf: a token stays while the sum above it is at most ``p``.

    The likeliest always stays. Where the sum is ``p`` exactly one token more is kept, as Meta does
    (Hugging Face keeps the smallest set that reaches ``p``). ``p = 1`` keeps everything.

    Raises:
        ValueError: ``p`` is not above 0 and at most 1.
    """
    if not 0 < p < 1:
        check_sampling(top_p=p)  # says what it must be
        return logits  # of p = 1: rounding can bring the sum above it, and would cut the tail
    if logits.device.type == "cpu" and logits.dtype in (torch.float32, torch.float64):
        # NumPy sorts 32,000 values in vector registers, thirty times as fast as torch, which also
        # sorts their places.
        ordered = torch.from_numpy(np.sort(logits.detach().numpy(), axis=-1)).flip(-1)
    else:
        ordered = logits.sort(dim=-1, descending=True).values
    probabilities = ordered.softmax(-1)
    above = probabilities.cumsum(-1) - probabilities  # what the likelier tokens hold
    count = (above <= p).sum(-1, keepdim=True).clamp(min=1)  # (..., 1)
    return _keep(logits, count, least=ordered.gather(-1, count - 1))


def min_p_filter(logits: Float[Tensor, "*B V"], p: float | int) -> Float[Tensor, "*B V"]:
    """Set to -inf what is less than ``p`` times as likely as the likeliest token.

    A ratio of probabilities is a difference of logits, so no probability is needed. ``p = 0`` keeps
    everything, ``p = 1`` the likeliest and its equals.

    Raises:
        ValueError: ``p`` is not at least 0 and at most 1.
    """
    if not 0 < p <= 1:
        check_sampling(min_p=p)  # says what it must be
        return logits  # of p = 0
    return logits.masked_fill(logits < logits.amax(-1, keepdim=True) + math.log(p), -torch.inf)


def repetition_penalty(
    logits: Float[Tensor, "*B V"], ids: Int[Tensor, "*B T"], penalty: float | int
) -> Float[Tensor, "*B V"]:
    """Make the tokens of a text less likely: positive logits divided, the others multiplied.

    Each once, however often it stands there. A penalty below 1 makes them likelier, 1 changes
    nothing. A logit of -inf stays; the others stay finite.

    Args:
        logits: The model's, of the next token.
        ids: The text so far, prompt and new tokens. To fill up a shorter row, repeat one of its
            ids.
        penalty: Keskar et al. take 1.2.

    Raises:
        ValueError: The penalty is not above 0, or an id has no logit.
    """
    penalty = check_sampling(repetition_penalty=penalty).repetition_penalty
    outside = ids[(ids < 0) | (ids >= logits.shape[-1])]
    if outside.numel():
        raise ValueError(f"ids hold {int(outside[0])}: must be 0 to {logits.shape[-1] - 1}")
    limits = torch.finfo(logits.dtype)
    penalty = min(max(penalty, limits.tiny), limits.max)
    now = logits.gather(-1, ids)  # (..., T)
    changed = torch.where(now > 0, now / penalty, now * penalty).clamp(limits.min, limits.max)
    return logits.scatter(-1, ids, changed.where(now > -torch.inf, now))


def _keep(
    logits: Float[Tensor, "*B V"], count: int | Int[Tensor, "*B 1"], least: Float[Tensor, "*B 1"]
) -> Float[Tensor, "*B V"]:
    """Set all but the ``count`` largest to -inf, of which ``least`` is the smallest."""
    larger, equal = logits > least, logits == least
    room = count - larger.sum(-1, keepdim=True)  # (..., 1): for the first of the equals
    return logits.masked_fill(~(larger | (equal & (equal.cumsum(-1) <= room))), -torch.inf)


def next_probabilities(
    logits: Float[Tensor, "*B V"],
    temperature: float | int,
    top_k: int | None = None,
    top_p: float | int = 1.0,
    min_p: float | int = 0.0,
) -> Float[Tensor, "*B V"]:
    """What the next token is drawn from: temperature, then top-k, then top-p, then min-p.

    Args:
        logits: Of the next token, with a repetition penalty if there is one; -inf for one that is
            ruled out.
        temperature: Above 0; for 0, which is the argmax, there is nothing to draw.
        top_k: None keeps all.
        top_p: 1 keeps all.
        min_p: 0 keeps all.

    Raises:
        ValueError: The largest logit of a row is not finite, or one of the row is NaN; or there is
            no such setting.
    """
    if not 0 <= temperature < math.inf:
        check_sampling(temperature)  # says what it must be
    best = logits.amax(-1, keepdim=True)  # NaN where one is
    if not all(map(math.isfinite, largest := best.flatten().tolist())):
        raise not_finite(largest)
    limits = torch.finfo(logits.dtype)  # a tiny temperature must not become 0, nor a huge one inf
    logits = (logits - best) / min(max(temperature, limits.tiny), limits.max)
    logits = logits if top_k is None else top_k_filter(logits, top_k)
    logits = top_p_filter(logits, top_p)
    return (min_p_filter(logits, min_p) if min_p else logits).softmax(-1)


def draw(probabilities: Float[Tensor, "*B V"], uniform: Float[Tensor, "*B"]) -> Int[Tensor, "*B"]:
    """The token whose share of the unit interval ``uniform`` falls into.

    One uniform number decides one draw, so the same number gives the same token whatever else is
    in the batch. A token of probability 0 is never drawn.

    Raises:
        ValueError: The probabilities of a row sum to 0, or to no finite number.
    """
    device = probabilities.device
    place = "cpu" if device.type == "mps" else device  # Apple's GPUs have no float64
    reached = probabilities.to(place, torch.float64).cumsum(-1)  # (..., V)
    total = reached[..., -1:]  # (..., 1)
    for row, value in enumerate(total.flatten().tolist()):
        if not sys.float_info.min <= value < math.inf:
            raise ValueError(f"the probabilities of row {row} sum to {value}: must be above 0")
    # 1 - 2**-53 is the last number before 1, so the target is below the total.
    target = uniform.to(reached).clamp(max=1 - 2**-53).unsqueeze(-1) * total  # (..., 1)
    return torch.searchsorted(reached, target, right=True).squeeze(-1).to(device)  # (...)
