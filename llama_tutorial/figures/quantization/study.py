"""What few bits do to ``tales``: its matrices rounded, and how far its guesses move.

The package packs 8 and 4 bits. Here any number of them is tried, by the rule that
:mod:`llama_tutorial.quantization.formats` has for four: in each group the largest weight, whatever
its sign, becomes -2^(b - 1) scales, and the scale is kept as a float16. At 4 bits the weights are
those of the package, to the bit. The embedding, which is also the output head, and the norms stay
as they are.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from llama_tutorial._util.shapes import Float, Int
from llama_tutorial.model import Transformer

BITS = (8, 6, 4, 3, 2)
GROUPS = ("matrix", "row", 64, 32, 16)
Group = str | int


class Moved(NamedTuple):
    """How far a model's guesses are from another's, on the same text.

    Attributes:
        perplexity: The exponential of the mean loss.
        divergence: KL(other || this), in nats a token.
        agreement: Share of the positions at which both have the same likeliest token.
    """

    perplexity: float
    divergence: float
    agreement: float


def group_size(shape: tuple[int, ...], group: Group) -> int:
    """Weights that share a scale.

    Args:
        shape: Rows and columns of the matrix.
        group: ``"matrix"``, ``"row"``, or their number.

    Raises:
        ValueError: It does not divide the rows.
    """
    size = {"matrix": math.prod(shape), "row": shape[1]}.get(str(group), group)
    if not isinstance(size, int) or size < 1 or (group != "matrix" and shape[1] % size):
        raise ValueError(f"group={group!r}: must divide rows of {shape[1]} weights")
    return size


def round_weights(
    weight: Float[np.ndarray, "rows columns"], bits: int, group: Group
) -> Float[np.ndarray, "rows columns"]:
    """A matrix as it is after quantization, in float32.

    Args:
        weight: The matrix, float32.
        bits: 2 to 8.
        group: What shares a scale; see :func:`group_size`.

    Raises:
        ValueError: There are too few bits or too many, or the group does not divide the rows.
    """
    if not 2 <= bits <= 8:
        raise ValueError(f"bits={bits}: must be 2 to 8")
    grouped = np.asarray(weight, np.float32).reshape(-1, group_size(weight.shape, group))
    low, high = grouped.min(-1, keepdims=True), grouped.max(-1, keepdims=True)
    middle = 2 ** (bits - 1)
    step = np.where(-low >= high, low, high) / np.float32(-middle)
    stored = step.astype(np.float16).astype(np.float32)
    inverse = np.float32(1) / np.where(stored == 0, np.float32(1), step)
    integers = np.floor(grouped * inverse + np.float32(middle + 0.5))
    levels = np.clip(integers, 0, 2 * middle - 1) - np.float32(middle)
    return (levels * stored).reshape(weight.shape)


def matrices(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """The seven matrices of every block, by name."""
    for name, parameter in model.named_parameters():
        if name.startswith("layers.") and parameter.ndim == 2:
            yield name, parameter


@torch.no_grad()
def rounded_model(
    model: Transformer, bits: int, group: Group, which: Callable[[str], bool] = bool
) -> Transformer:
    """A copy of a model with rounded matrices, in the model's own type.

    Args:
        model: Its weights must be exact in float32.
        bits: 2 to 8.
        group: What shares a scale; see :func:`group_size`.
        which: Tells from the name whether a matrix of the blocks is rounded; all, unless said.
    """
    rounded = copy.deepcopy(model)
    for name, parameter in matrices(rounded):
        if which(name):
            coarse = round_weights(parameter.detach().float().numpy(), bits, group)
            parameter.copy_(torch.from_numpy(coarse))
    return rounded


def bits_per_weight(model: Transformer, bits: int, group: Group) -> float:
    """Bits of the integers and of the scales, 16 each, over the weights of the blocks' matrices."""
    shapes = [tuple(matrix.shape) for _, matrix in matrices(model)]
    weights = [math.prod(shape) for shape in shapes]
    sizes = [group_size(shape, group) for shape in shapes]
    steps = sum(count // size for count, size in zip(weights, sizes, strict=True))
    return bits + 16 * steps / sum(weights)


@torch.inference_mode()
def guesses(model: Transformer, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B t V"]:
    """The logarithms of the probabilities of all but the first token."""
    return model(tokens[:, :-1]).log_softmax(-1)


def moved(
    logs: Float[Tensor, "B t V"], before: Float[Tensor, "B t V"], tokens: Int[Tensor, "B T"]
) -> Moved:
    """Compare two models' :func:`guesses` on a text.

    Args:
        logs: Those of the changed model.
        before: Those of the model that it was.
        tokens: The text.
    """
    surprise = -logs.gather(-1, tokens[:, 1:, None]).mean()
    divergence = (before.exp() * (before - logs)).sum(-1).mean()
    agreement = (before.argmax(-1) == logs.argmax(-1)).double().mean()
    return Moved(surprise.exp().item(), divergence.item(), agreement.item())


def study(
    model: Transformer,
    tokens: Int[Tensor, "B T"],
    write: Callable[[Transformer], str] | None = None,
) -> dict[str, dict[str, Any]]:
    """All of `BITS` with all of `GROUPS`, by ``"4 bits, 32"`` and the like.

    Args:
        model: In float64, so that the numbers are the same on every machine.
        tokens: Text that it has not read.
        write: Gives a model's text.
    """
    before = guesses(model, tokens)
    found = {}
    for bits in BITS:
        for group in GROUPS:
            rounded = rounded_model(model, bits, group)
            found[key(bits, group)] = {
                "bits": bits,
                "group": group,
                "width": bits_per_weight(model, bits, group),
                **moved(guesses(rounded, tokens), before, tokens)._asdict(),
                "text": write(rounded) if write else "",
            }
    return found


def key(bits: int, group: Group) -> str:
    """What a setting is called in :func:`study`."""
    return f"{bits} bits, {group}"
