"""The pictures of the RMSNorm chapter that stand still.

Each function takes the numbers that the chapter has computed and returns a matplotlib figure; the
drawing is here, so that the chapter's cells hold what they are about.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from torch import Tensor

from llama_tutorial._util.shapes import Float
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.kit.style import BLUE, GREEN, INK, ORANGE, ROSE
from llama_tutorial.gpt import LayerNorm
from llama_tutorial.rmsnorm import RMSNorm

WIDTH = 4.0  # inches: on a phone the writing is then of 10 pixels
TILT = 0.35  # radians from which the sphere is looked at
_ARROW = {"arrowstyle": "->", "color": INK, "linewidth": 1.0}


def stream_sizes(sizes: Mapping[str, Sequence[float]], *, largest: float | int) -> Figure:
    """The root mean square of the residual stream after every layer, one line a norm.

    Args:
        sizes: The sizes, from the embedding on, by name.
        largest: The largest number of a small floating type, drawn as a line.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.0))
    looks = ((ROSE, "-", "o"), (GREEN, "-", "x"), (ORANGE, "-", "o"), (BLUE, "-", "x"))
    for (name, size), (color, linestyle, marker) in zip(sizes.items(), looks, strict=True):
        every = slice(0 if marker == "o" else 2, None, 4)
        axes.plot(rounded(size), color=color, linestyle=linestyle)
        layers = range(len(size))[every]
        axes.plot(layers, rounded(size[every]), color=color, linestyle="none", marker=marker)
        axes.plot([], [], color=color, linestyle=linestyle, marker=marker, label=name)
    axes.axhline(largest, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
    axes.text(len(size) - 1, largest * 2, "the end of float16", ha="right", va="bottom")
    axes.set(xlabel="layer", ylabel="RMS of the stream", yscale="log")
    figure.legend(loc="outside upper center", ncols=2, columnspacing=1.2, handlelength=1.6)
    return figure


def geometry(points: Float[Tensor, "N 3"]) -> Figure:
    """Where both norms put vectors: a plane through the ones-vector, and three dimensions.

    Args:
        points: Vectors of three features for the picture on the right.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(WIDTH, 2.5))
    _plane(left)
    _sphere(right, points)
    for axes in (left, right):
        axes.set(xlim=(-2.2, 2.2), ylim=(-2.2, 2.45), aspect="equal", xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
    return figure


def _plane(axes: Any) -> None:
    """Three vectors in the plane that the ones-vector and their centred selves span."""
    radius = math.sqrt(3)
    axes.add_patch(plt.Circle((0, 0), radius, fill=False, edgecolor=INK, linewidth=0.8))
    axes.plot([-2.1, 2.1], [0, 0], color=INK, linewidth=0.8, linestyle="-")
    axes.annotate("", (0, 2.15), (0, -2.1), arrowprops=_ARROW)
    axes.text(0, 2.2, "ones", ha="center", va="bottom")
    for across, up in ((0.7, 0.45), (1.55, -1.35), (-0.5, 0.95)):
        length = math.hypot(across, up)
        x, y = rounded([radius * across / length, radius * up / length])
        axes.plot([across, x], [up, y], color=BLUE, linewidth=1.2, linestyle="-")
        axes.plot([across, across], [up, 0], color=ORANGE, linewidth=1.2, linestyle=":")
        axes.plot([across], [up], "o", color=INK, markersize=4.5)
        axes.plot([x], [y], "o", color=BLUE, markersize=6)
        axes.plot([math.copysign(radius, across)], [0], "s", color=ORANGE, markersize=6)
    axes.text(0, -2.25, "a cut along the ones-vector", ha="center", va="top")


def _sphere(axes: Any, points: Float[Tensor, "N 3"]) -> None:
    radius = math.sqrt(3)
    axes.add_patch(plt.Circle((0, 0), radius, fill=False, edgecolor=INK, linewidth=0.8))
    turn = torch.linspace(0, math.tau, 73, dtype=torch.float64)
    x, y = radius * turn.cos(), radius * turn.sin() * math.sin(TILT)
    axes.plot(rounded(x), rounded(y), color=INK, linewidth=0.8, linestyle="-")
    top = 2.2 * math.cos(TILT)
    axes.annotate("", (0, top), (0, 0), arrowprops=_ARROW)
    axes.text(0, 2.2, "ones", ha="center", va="bottom")
    for norm, color, marker in ((RMSNorm, BLUE, "o"), (LayerNorm, ORANGE, "s")):
        with torch.no_grad():
            on_screen = _seen(norm(3).double()(points))
        axes.plot(*rounded(on_screen.T), marker, color=color, markersize=3.2, label=norm.__name__)
    axes.text(0, -2.25, "three features", ha="center", va="top")
    axes.figure.legend(loc="outside lower center", ncols=2)


def _seen(points: Float[Tensor, "N 3"]) -> Float[Tensor, "N 2"]:
    """The points as seen from a little above the plane that is orthogonal to the ones-vector."""
    rows = [[1, -1, 0], [1, 1, -2], [1, 1, 1]]
    a, b, ones = (torch.tensor(row, dtype=torch.float64) for row in rows)
    across, behind, up = (points @ (axis / axis.norm()) for axis in (a, b, ones))
    return torch.stack((across, up * math.cos(TILT) + behind * math.sin(TILT)), dim=1)


def mistakes(losses: Mapping[str, float], *, right: float, bigram: float) -> Figure:
    """The loss of a model with one mistake in its norms, a bar for each.

    Args:
        losses: Nats a token, by the mistake.
        right: The loss without a mistake.
        bigram: The loss of a table of token pairs, on the same text.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.34 * len(losses) + 0.95))
    rows = range(len(losses))
    values = rounded(list(losses.values()))
    axes.barh(rows, values, height=0.6, color=BLUE)
    for row, value in zip(rows, values, strict=True):
        axes.text(value + 0.08, row, f"{value:.2f}", va="center")
    for value, name, align in ((right, "no mistake", "right"), (bigram, "bigram table", "center")):
        axes.axvline(rounded(value), color=ORANGE, linewidth=1.4, linestyle=(0, (4, 2)), zorder=0)
        axes.text(rounded(value), -0.75, name, ha=align, va="bottom")
    axes.set(xlabel="loss on held-out tales, nats a token", xlim=(0, 1.12 * max(values)))
    axes.set_yticks(rows, list(losses))
    axes.set_ylim(len(losses) - 0.5, -0.7)
    axes.tick_params(axis="y", length=0)
    return figure


def eps_curves(sizes: Float[Tensor, " n"], curves: Mapping[str, Float[Tensor, " n"]]) -> Figure:
    """The size of the output over the size of the input, on a logarithmic axis.

    Args:
        sizes: Root mean squares of the input.
        curves: Root mean squares of the output, by the kind of eps.
    """
    figure, axes = plt.subplots(figsize=(3.7, 2.6))  # a fold has less room
    for name, values in curves.items():
        axes.plot(rounded(sizes), rounded(values), label=name)
    axes.axhline(1, color=INK, linewidth=0.6, linestyle="-")
    axes.set(xlabel="RMS of the input", ylabel="RMS of the output", xscale="log")
    axes.legend(loc="lower right")
    return figure
