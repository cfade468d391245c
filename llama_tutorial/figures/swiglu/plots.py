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

WIDTH = 4.0  # inches: on a phone the writing is then of 10 pixels
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
    figure, (left, right) = plt.subplots(1, 2, figsize=(3.7, 2.5))  # a fold has less room
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
    """What layers answer as two inputs grow together, with the range of the training inputs shaded.

    Args:
        scales: The two inputs, which are equal.
        curves: The answers, by name; the first is what they should be.
        trained: How far most inputs of training reach.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 2.8))
    axes.axvspan(-trained, trained, color=INK, alpha=0.12, linewidth=0)
    looks = ((INK, ":"), (ORANGE, "--"), (BLUE, "-"))
    for (name, values), (color, linestyle) in zip(curves.items(), looks, strict=False):
        axes.plot(rounded(scales), rounded(values), color=color, linestyle=linestyle, label=name)
    axes.set(xlabel="x₁ = x₂", ylabel="answer")
    axes.legend(loc="upper center")
    return figure


def matrices(widths: Mapping[str, Sequence[tuple[str, float | int]]]) -> Figure:
    """The matrices of feed-forward layers, drawn to scale: equal area is equal parameters.

    Args:
        widths: By layer, each matrix's name and its hidden width in units of the stream's width.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 2.6))
    top = 0.0
    for name, layers in widths.items():
        axes.text(0, top - 0.15, name, va="top")
        left = 0.0
        for matrix, hidden in layers:
            _matrix(axes, left, top - 1.9, hidden, matrix)
            left += hidden + 0.35
        top -= 2.5
    axes.set(xlim=(-0.1, 8.9), ylim=(top + 0.3, 0.1), aspect="equal")
    axes.axis("off")
    return figure


def wirings(losses: Mapping[str, float], *, right: float, bigram: float) -> Figure:
    """The loss of a model whose feed-forward layers are connected wrongly, a bar for each way.

    Args:
        losses: Nats a token, by the mistake.
        right: The loss without a mistake.
        bigram: The loss of a table of token pairs, on the same text.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.34 * len(losses) + 0.95))
    rows, values = range(len(losses)), list(losses.values())
    axes.barh(rows, rounded(values), height=0.6, color=BLUE)
    for row, value in zip(rows, values, strict=True):
        crossed = value < bigram < value + 1.5  # the line would run through the number
        axes.text((bigram if crossed else value) + 0.1, row, f"{value:.2f}", va="center")
    for value, name, align in ((right, "no mistake", "right"), (bigram, "bigram table", "center")):
        axes.axvline(rounded(value), color=ORANGE, linewidth=1.4, linestyle=(0, (4, 2)), zorder=0)
        axes.text(rounded(value), -0.75, name, ha=align, va="bottom")
    axes.set(xlabel="loss on held-out tales, nats a token", xlim=(0, 1.15 * max(values)))
    axes.set_yticks(rows, list(losses))
    axes.set_ylim(len(losses) - 0.5, -0.7)
    axes.tick_params(axis="y", length=0)
    return figure


def circuits() -> Figure:
    """GPT's feed-forward layer beside Llama 2's, from the input at the top to the output."""
    figure, axes = plt.subplots(figsize=(WIDTH, 3.9))
    for x, name in ((1.8, "GPT"), (7.0, "Llama 2")):
        axes.text(x, 10.6, name, ha="center", va="center", fontweight="bold")
    _gpt(axes, 1.8)
    _llama(axes, 7.0)
    axes.set(xlim=(0, 10), ylim=(0, 11))
    axes.axis("off")
    return figure


def _gpt(axes: Any, x: float) -> None:
    _wire(axes, (x, 9.4), (x, 8.6))
    _wire(axes, (x, 7.1), (x, 5.5))
    _wire(axes, (x, 4.7), (x, 2.9))
    _wire(axes, (x, 1.4), (x, 0.7))
    axes.text(x, 9.75, "x", ha="center", va="center")
    _trapezoid(axes, x, 8.6, 1.5, 3.2, "w1\nup", BLUE)
    _pill(axes, x, 5.1, "GELU")
    _trapezoid(axes, x, 2.9, 3.2, 1.5, "w2\ndown", BLUE)
    axes.text(x, 0.3, "y", ha="center", va="center")
    for y, width in ((9.0, "D"), (6.35, "4D"), (1.05, "D")):
        axes.text(x + 0.2, y, width, va="center")


def _llama(axes: Any, x: float) -> None:
    gate, up = x - 1.6, x + 1.6
    for side in (gate, up):
        axes.plot([x, x, side], [9.5, 9.2, 9.2], color=INK, linewidth=1.0, linestyle="-")
        _wire(axes, (side, 9.2), (side, 8.6))
        breaks = [7.1, 6.0, None, 5.2, 4.1] if side == gate else [7.1, 4.1]
        wire = {"color": INK, "linewidth": 1.0, "linestyle": "-"}
        axes.plot([side] * len(breaks), breaks, **wire)
        _wire(axes, (side, 4.1), (x + (0.35 if side > x else -0.35), 4.1))
    _wire(axes, (x, 3.8), (x, 2.9))
    _wire(axes, (x, 1.4), (x, 0.7))
    axes.text(x, 9.75, "x", ha="center", va="center")
    _trapezoid(axes, gate, 8.6, 1.5, 2.4, "w1\ngate", BLUE)
    _trapezoid(axes, up, 8.6, 1.5, 2.4, "w3\nup", ORANGE)
    _pill(axes, gate, 5.6, "SiLU")
    axes.plot([x], [4.1], "o", markersize=15, markerfacecolor="none", markeredgecolor=ORANGE)
    axes.text(x, 4.08, "×", ha="center", va="center_baseline")
    _trapezoid(axes, x, 2.9, 2.4, 1.5, "w2\ndown", BLUE)
    axes.text(x, 0.3, "y", ha="center", va="center")
    axes.text(x + 0.2, 1.05, "D", va="center")
    for side in (gate, up):
        axes.text(side + 0.2, 6.6, "⅔·4D", va="center")


def _wire(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    look = {"arrowstyle": "->", "color": INK, "linewidth": 1.0, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", end, start, arrowprops=look)


def _trapezoid(
    axes: Any, x: float, top: float, above: float, below: float, name: str, color: str
) -> None:
    corners = [(-above / 2, 0), (above / 2, 0), (below / 2, -1.5), (-below / 2, -1.5)]
    outline = [(x + dx, top + dy) for dx, dy in corners]
    axes.add_patch(plt.Polygon(outline, facecolor="none", edgecolor=color, linewidth=1.8))
    axes.text(x, top - 0.75, name, ha="center", va="center", linespacing=1.1)


def _pill(axes: Any, x: float, y: float, name: str) -> None:
    look = {"boxstyle": "round,pad=0.3", "facecolor": "none", "edgecolor": GREEN, "linewidth": 1.6}
    axes.text(x, y, name, ha="center", va="center", bbox=look)


def _matrix(axes: Any, left: float, bottom: float, width: float | int, name: str) -> None:
    color = ORANGE if name.startswith("w3") else BLUE  # as in the circuits: the new one
    box = plt.Rectangle(
        (rounded(left), bottom), rounded(width), 1, facecolor="none", edgecolor=color, linewidth=1.8
    )
    axes.add_patch(box)
    axes.text(rounded(left + width / 2), bottom + 0.5, name, ha="center", va="center")
