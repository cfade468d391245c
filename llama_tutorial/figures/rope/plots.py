"""The pictures of the RoPE chapter that stand still.

Each function takes the numbers that the chapter has computed and returns a matplotlib figure; the
drawing is here, so that the chapter's cells hold what they are about.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from torch import Tensor

from llama_tutorial._util.shapes import Float, Int
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.kit.style import BLUE, GREEN, INK, ORANGE, PALETTE, ROSE

# Inches; as wide as makes 9.5 points 10 pixels or more in a fold on a phone.
_WIDTH = 3.7
_LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1)))
_SERIES = ((ORANGE, "--"), (BLUE, "-"), (GREEN, ":"))


def echo(heard: str, said: str, *, back: int) -> Figure:
    """The game: letters as they are heard, and below them what must be said at each step.

    Args:
        heard: One letter for each position.
        said: The answer at each position; a full stop for none.
        back: How many steps back each answer lies.
    """
    figure, axes = plt.subplots(figsize=(_WIDTH, 1.3))
    for position, (letter, answer) in enumerate(zip(heard, said, strict=True)):
        for height, text in ((1, letter), (0, answer.replace(".", ""))):
            color = BLUE if text and height == 0 else INK
            box = (position - 0.44, height - 0.24)
            look: dict[str, Any] = {
                "facecolor": "none",
                "edgecolor": color,
                "linewidth": 1.2 if text else 0.5,
            }
            axes.add_patch(plt.Rectangle(box, 0.88, 0.48, **look))
            axes.text(position, height, text, ha="center", va="center", color=color)
        if answer != ".":
            axes.plot([position - back, position], [0.74, 0.26], "-", color=BLUE, linewidth=0.9)
    axes.text(-0.5, 1.36, "hears", va="bottom")
    axes.text(-0.5, -0.36, "must say", va="top")
    axes.set(xlim=(-0.6, len(heard) - 0.4), ylim=(-0.7, 1.7))
    axes.axis("off")
    return figure


def loss_by_position(
    losses: Mapping[str, Float[Tensor, " T"]], *, trained: int, gap: slice, chance: float
) -> Figure:
    """The loss at every position, one line a model, with what training never asked for shaded.

    Args:
        losses: Loss in nats by position; NaN where no answer is asked.
        trained: Length of the training texts.
        gap: Positions inside them that training left out.
        chance: Loss of a guess.
    """
    figure, axes = plt.subplots(figsize=(_WIDTH, 2.5))
    length = max(map(len, losses.values()))
    axes.axvspan(gap.start, gap.stop, color=INK, alpha=0.22, linewidth=0)
    axes.axvspan(trained, length, color=INK, alpha=0.12, linewidth=0)
    axes.axhline(chance, color=INK, linewidth=0.9, linestyle=(0, (2, 3)))
    axes.text(length, chance + 0.15, "a guess", ha="right")
    for (name, loss), (color, linestyle) in zip(losses.items(), _SERIES, strict=False):
        axes.plot(rounded(loss), color=color, linestyle=linestyle, label=name)
    top = 1.22 * max(value for loss in losses.values() for value in loss.tolist() if value == value)
    axes.text((gap.start + gap.stop) / 2, 0.97 * top, "never\nasked", ha="center", va="top")
    axes.text((trained + length) / 2, 0.97 * top, "never seen", ha="center", va="top")
    axes.set(xlabel="position (tokens)", ylabel="loss (nats)", xlim=(0, length), ylim=(0, top))
    axes.set_xticks(range(0, length + 1, 40))
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.2), ncols=2, borderaxespad=0)
    return figure


def attention(weights: Mapping[str, Float[Tensor, "T S"]], *, trained: int, gap: slice) -> Figure:
    """Where each position looks: one square for each weight of a twentieth or more.

    Args:
        weights: Attention weights of each model, averaged over texts and heads.
        trained: Length of the training texts.
        gap: Query positions that training left out.
    """
    figure, panels = plt.subplots(
        1, len(weights), sharey=True, figsize=(_WIDTH, 2.3), squeeze=False
    )
    for axes, (name, weight), color in zip(
        panels[0], weights.items(), (ORANGE, BLUE), strict=False
    ):
        axes.axhspan(gap.start, gap.stop, color=INK, alpha=0.22, linewidth=0)
        axes.axhspan(trained, len(weight), color=INK, alpha=0.12, linewidth=0)
        for low, high, size in ((0.05, 0.2, 0.8), (0.2, 0.5, 1.6), (0.5, 2.0, 2.6)):
            queries, keys = ((weight >= low) & (weight < high)).nonzero().T.tolist()
            axes.plot(keys, queries, "s", color=color, markersize=size, markeredgewidth=0)
        axes.set(title=name, xlabel="key position", aspect="equal")
        axes.set(xlim=(0, len(weight)), ylim=(len(weight), 0), xticks=range(0, len(weight), 32))
        axes.set(yticks=range(0, len(weight), 32))
    panels[0][0].set_ylabel("query position")
    return figure


def look_alikes(
    speeds: Mapping[str, float], *, distance: int, tolerance: float | int, widest: int
) -> Figure:
    """The distances that each hand cannot tell from one distance, and those that none can.

    Args:
        speeds: Radians per position of each hand, by name, fastest first.
        distance: The distance to recognise, in tokens.
        tolerance: By how many degrees two directions must differ to be told apart.
        widest: The largest distance shown.
    """
    figure, axes = plt.subplots(figsize=(_WIDTH, 2.2))
    steps = [0.05 * i for i in range(20 * widest + 1)]
    rows = {
        name: [_apart(speed * (step - distance)) < tolerance for step in steps]
        for name, speed in speeds.items()
    }
    rows["all together"] = [all(row) for row in zip(*rows.values(), strict=True)]
    axes.axvline(distance, color=INK, linewidth=0.8, linestyle=(0, (3, 2)), alpha=0.6)
    for height, (name, row) in enumerate(reversed(rows.items())):
        color = ORANGE if name == "all together" else BLUE
        for start, end in runs(row):
            width = rounded(steps[end] - steps[start])
            bar = [(rounded(steps[start]), width)]
            axes.broken_barh(bar, (height - 0.3, 0.6), color=color, linewidth=1.2, zorder=3)
    axes.set_yticks(range(len(rows)), [*reversed(rows)])
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel="distance (tokens)", xlim=(0, widest), xticks=range(0, widest + 1, 20))
    return figure


def _apart(angle: float) -> float:
    """Degrees between a direction and the one that ``angle`` radians turn it to."""
    degrees = math.degrees(angle) % 360
    return min(degrees, 360 - degrees)


def runs(row: Sequence[bool]) -> list[tuple[int, int]]:
    """First and last place of every run of true values."""
    padded = [False, *row, False]
    starts = [i for i in range(len(row)) if padded[i + 1] and not padded[i]]
    ends = [i for i in range(len(row)) if padded[i + 1] and not padded[i + 2]]
    return list(zip(starts, ends, strict=True))


def _whole(value: float, _: int) -> str:
    """A tick of a logarithmic axis without a power, whose exponent would be too small to read."""
    return f"{value:,.0f}"


def wavelengths(
    lengths: Mapping[str, Float[Tensor, " half"]],
    *,
    marks: Mapping[str, int],
    width: float = _WIDTH,
) -> Figure:
    """After how many positions each pair has come full circle, on a logarithmic scale.

    Args:
        lengths: Wavelengths in positions, one series for each base.
        marks: Contexts to draw a line at, by name.
        width: In inches; less where the page is narrower, as in a solution.
    """
    figure, axes = plt.subplots(figsize=(width, 2.5))
    markers = zip(lengths.items(), PALETTE, "os^", strict=False)
    for (name, wavelength), color, marker in markers:
        axes.plot(rounded(wavelength), marker, color=color, markersize=3.2, label=name)
    for name, position in marks.items():
        axes.axhline(position, color=INK, linewidth=1.0, linestyle=(0, (4, 3)))
        axes.text(0, position * 1.15, name)
    axes.set(xlabel="pair j", ylabel="positions for one turn", yscale="log")
    axes.yaxis.set_major_formatter(FuncFormatter(_whole))
    if len(lengths) > 1:
        axes.legend(loc="lower right")
    return figure


def layouts(head_dim: int, order: Int[Tensor, " h"]) -> Figure:
    """The two layouts of one head, with a line from each row to its new position.

    Args:
        head_dim: Features of the head.
        order: The interleaved feature that each position of the half-split layout holds.
    """
    figure, axes = plt.subplots(figsize=(_WIDTH, 2.1))
    half = head_dim // 2
    for place in range(head_dim):
        feature = int(order[place])
        _box(axes, place, 1, place, place // 2)
        _box(axes, place, 0, feature, place % half)
        color = PALETTE[feature // 2 % 5]
        axes.plot([feature, place], [0.72, 0.28], color=color, linewidth=1.5, linestyle="-")
    axes.text(-0.5, 1.42, "interleaved: 2j and 2j + 1 (Meta, this book)", va="bottom")
    axes.text(-0.5, -0.42, "half-split: j and j + h/2 (Hugging Face)", va="top")
    axes.plot([half - 0.5] * 2, [-0.34, 0.34], color=INK, linewidth=1.0, linestyle=(0, (3, 2)))
    axes.set(xlim=(-0.6, head_dim - 0.4), ylim=(-0.85, 1.85))
    axes.axis("off")
    return figure


def _box(axes: Any, x: int, y: int, feature: int, pair: int) -> None:
    color = PALETTE[pair % 5]
    box = (x - 0.43, y - 0.27)
    axes.add_patch(plt.Rectangle(box, 0.86, 0.54, facecolor="none", edgecolor=color, linewidth=1.8))
    letter = "abcdefghijklmnop"[pair]
    axes.text(x, y + 0.02, f"{feature}{letter}", ha="center", va="center")


def stored_positions(
    positions: Int[Tensor, " T"], stored: Mapping[str, Float[Tensor, " T"]]
) -> Figure:
    """What becomes of integers in a small floating type: stairs.

    Args:
        positions: The positions.
        stored: What each type makes of them.
    """
    figure, axes = plt.subplots(figsize=(_WIDTH, 2.5))
    for (name, values), (color, linestyle) in zip(stored.items(), _SERIES[::-1][1:], strict=False):
        axes.plot(positions.tolist(), values.tolist(), color=color, linestyle=linestyle, label=name)
    axes.set(xlabel="position", ylabel="position as stored")
    axes.legend(loc="upper left")
    return figure


def decay(distances: Sequence[int], curves: Mapping[str, Float[Tensor, " n"]]) -> Figure:
    """Scores over the distance, on a logarithmic axis.

    Args:
        distances: The distances, from 1 on.
        curves: Scores at these distances, by name.
    """
    figure, axes = plt.subplots(figsize=(_WIDTH, 2.5))
    looks = ((BLUE, "-"), (ROSE, (0, (5, 1.5))))
    for (name, values), (color, linestyle) in zip(curves.items(), looks, strict=False):
        axes.plot(distances, rounded(values), color=color, linestyle=linestyle, label=name)
    axes.axhline(0, color=INK, linewidth=0.6)
    axes.set(xlabel="distance (tokens)", ylabel="share of largest score", xscale="log")
    axes.xaxis.set_major_formatter(FuncFormatter(_whole))
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.34), borderaxespad=0)
    return figure


def stretched(losses: Mapping[str, Float[Tensor, " T"]], *, trained: int, width: int) -> Figure:
    """Loss over the position, far beyond the context of training, one line a method.

    Args:
        losses: Loss in nats by position; the mean over ``width`` positions is drawn.
        trained: The context of training, in tokens.
        width: How many positions are averaged.
    """
    figure, axes = plt.subplots(figsize=(_WIDTH, 2.7))
    for (name, loss), color, line in zip(losses.items(), PALETTE, _LINES, strict=False):
        means = loss[: len(loss) // width * width].unflatten(0, (-1, width)).mean(1)
        middles = [width * i + width / 2 for i in range(len(means))]
        axes.plot(middles, rounded(means), color=color, linestyle=line, label=name)
    axes.axvline(trained, color=INK, linewidth=1.0, linestyle=(0, (3, 2)))
    axes.set(xlabel="position (tokens)", ylabel="loss (nats)", ylim=(0, None), xlim=(0, None))
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.3), ncols=2, borderaxespad=0)
    return figure
