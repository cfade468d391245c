"""The pictures of the SwiGLU chapter that stand still.

Each function takes the numbers that the chapter has computed and returns a matplotlib figure; the
drawing is here, so that the chapter's cells hold what they are about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from llama_tutorial._util.shapes import Float
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.kit.style import BLUE, GREEN, INK, ORANGE

_SERIES = ((ORANGE, "--"), (GREEN, "-."), (BLUE, "-"))


def activations(
    z: Float[Tensor, " n"],
    curves: Mapping[str, Float[Tensor, " n"]],
    slopes: Mapping[str, Float[Tensor, " n"]],
) -> Figure:
    """Activation functions, and beside them their derivatives.

    Args:
        z: Where they are computed.
        curves: Values, by name.
        slopes: Derivatives, by the same names.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(4.6, 2.7))
    for axes, given in ((left, curves), (right, slopes)):
        for (name, values), (color, linestyle) in zip(given.items(), _SERIES, strict=False):
            axes.plot(rounded(z), rounded(values), color=color, linestyle=linestyle, label=name)
        axes.axhline(0, color=INK, linewidth=0.6)
        axes.set_xlabel("z")
    left.set_title("activation")
    right.set_title("its derivative")
    left.legend(loc="upper left", borderaxespad=0)
    return figure


def along_a_line(
    scales: Float[Tensor, " n"], curves: Mapping[str, Float[Tensor, " n"]], *, trained: float | int
) -> Figure:
    """What layers answer as one input grows, with the range of the training inputs shaded.

    Args:
        scales: By how much the input is multiplied.
        curves: The answers, by name; the first is what they should be.
        trained: Largest scale that training shows.
    """
    figure, axes = plt.subplots()
    axes.axvspan(-trained, trained, color=INK, alpha=0.12, linewidth=0)
    looks = ((INK, ":"), (ORANGE, "--"), (BLUE, "-"))
    for (name, values), (color, linestyle) in zip(curves.items(), looks, strict=False):
        axes.plot(rounded(scales), rounded(values), color=color, linestyle=linestyle, label=name)
    axes.set(xlabel="scale of the input", ylabel="answer")
    axes.legend(loc="upper center")
    return figure


def matrices(widths: Mapping[str, Sequence[tuple[str, float | int]]]) -> Figure:
    """The matrices of feed-forward layers, drawn to scale: equal area is equal parameters.

    Args:
        widths: By layer, each matrix's name and its hidden width in units of the stream's width.
    """
    figure, axes = plt.subplots(figsize=(4.6, 2.9))
    top = 0.0
    for (name, layers), color in zip(widths.items(), (ORANGE, BLUE), strict=False):
        axes.text(0, top - 0.15, name, va="top")
        left = 0.0
        for matrix, hidden in layers:
            _matrix(axes, left, top - 1.9, hidden, color, matrix)
            left += hidden + 0.35
        top -= 2.5
    axes.set(xlim=(-0.1, 8.9), ylim=(top + 0.3, 0.1), aspect="equal")
    axes.axis("off")
    return figure


def _matrix(
    axes: Any, left: float, bottom: float, width: float | int, color: str, name: str
) -> None:
    box = plt.Rectangle(
        (rounded(left), bottom), rounded(width), 1, facecolor="none", edgecolor=color, linewidth=1.8
    )
    axes.add_patch(box)
    axes.text(rounded(left + width / 2), bottom + 0.5, name, ha="center", va="center")
