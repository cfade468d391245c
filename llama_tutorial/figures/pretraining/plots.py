"""The pictures of the pre-training chapter that stand still.

Each function takes the numbers that the chapter has computed and returns a matplotlib figure; the
drawing is here, so that the chapter's cells hold what they are about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.kit.style import BLUE, GREEN, INK, ORANGE, ROSE, VIOLET

WIDTH = 4.0  # inches: on a phone the writing is then of 10 pixels
_MARKS = ("o", "s", "^", "D")
_LOOKS = ((BLUE, "-"), (ORANGE, "--"))


def valley(
    sizes: Sequence[float | int],
    losses: Sequence[float | int],
    points: Mapping[str, tuple[float | int, float | int]],
) -> Figure:
    """Loss against the size of the model where the work is fixed.

    Args:
        sizes: Parameters.
        losses: The loss that the formula gives each.
        points: Models to mark, by name: parameters and loss.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 2.8))
    axes.semilogx(rounded(sizes, 5), rounded(losses, 5), color=BLUE)
    for (name, (size, loss)), mark in zip(points.items(), _MARKS, strict=False):
        axes.plot([size], [rounded(loss, 4)], mark, color=ORANGE, label=name, markersize=8)
    axes.set(xlabel="parameters", ylabel="predicted loss (nats)")
    axes.legend(loc="upper center")
    return figure


def rates(steps: Sequence[float | int], curves: Mapping[str, Sequence[float | int]]) -> Figure:
    """Learning rates over the steps of a run.

    Args:
        steps: Where they are given, in thousands.
        curves: The rates, by name.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 2.5))
    for (name, values), (color, linestyle) in zip(curves.items(), _LOOKS, strict=False):
        axes.plot(rounded(steps), rounded(values), color=color, linestyle=linestyle, label=name)
    axes.set(xlabel="step (thousands)", ylabel="learning rate")
    axes.legend()
    return figure


def mixture(parts: Mapping[str, tuple[float, float]]) -> Figure:
    """Where a corpus comes from: bars of the share of each source, and how often it was read.

    Args:
        parts: Share in percent and number of epochs, by the source's name.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 2.7))
    for row, (share, epochs) in enumerate(parts.values()):
        more = epochs > 2
        color, hatch = (ORANGE, "//") if more else (BLUE, "")
        bar: dict[str, Any] = {"height": 0.65, "hatch": hatch, "edgecolor": INK}
        axes.barh(row, rounded(share), color=color, **bar)
        axes.text(share + 1, row, f"read {epochs:.2f} times", va="center")
    axes.set_yticks(range(len(parts)), list(parts))
    axes.invert_yaxis()
    axes.set(xlabel="% of the tokens", xlim=(0, 100))
    return figure


def memory(rows: Mapping[str, Mapping[str, float | int]], limit: float | int, name: str) -> Figure:
    """Bars of gigabytes, each a stack of parts, beside what a card has.

    Args:
        rows: By the bar's name, its parts by theirs; all bars have the same parts.
        limit: Gigabytes of the card.
        name: Of the card.
    """
    figure, axes = plt.subplots(figsize=(3.7, 3.2))
    looks = ((BLUE, ""), (GREEN, "//"), (ORANGE, ".."), (VIOLET, "xx"), (ROSE, "--"))
    for place, parts in enumerate(rows.values()):
        left = 0.0
        for (part, gb), (color, hatch) in zip(parts.items(), looks, strict=False):
            label = part if place == 0 else None
            look: dict[str, Any] = {"facecolor": color, "alpha": 0.85, "label": label}
            axes.barh(place, rounded(gb), left=rounded(left), height=0.6, **look)
            if hatch:
                frame: dict[str, Any] = {"facecolor": "none", "edgecolor": INK, "linewidth": 0.4}
                axes.barh(place, rounded(gb), left=rounded(left), height=0.6, hatch=hatch, **frame)
            left += gb
    axes.axvline(limit, color=INK, linestyle=":", linewidth=1.6)
    axes.text(limit, len(rows) - 0.45, f" {name}", va="bottom", ha="left")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set(xlabel="GB", ylim=(len(rows) - 0.2, -0.6))
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def run(
    losses: Sequence[float | int],
    validation: Mapping[int, float],
    levels: Mapping[str, float | int],
) -> Figure:
    """The losses of a run, step by step, with its validations and the losses of simpler guesses.

    Args:
        losses: Of each step's batch.
        validation: By step.
        levels: What to compare with, by name; each is a dotted line.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.1))
    axes.plot(range(1, len(losses) + 1), rounded(losses), color=BLUE, linewidth=0.8, label="batch")
    steps, values = list(validation), list(validation.values())
    axes.plot(steps, rounded(values), "o", color=ORANGE, label="validation")
    for name, level in levels.items():
        axes.axhline(rounded(level), color=INK, linestyle=":", linewidth=1.2)
        axes.text(len(losses), level + 0.06, name, ha="right", va="bottom")
    axes.set(xlabel="step", ylabel="loss (nats a token)", ylim=(0, None))
    axes.legend(loc="lower left", ncols=2)
    return figure
