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

_SERIES = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (ROSE, ":"), (VIOLET, (0, (5, 1, 1, 1))))
_MARKS = ("o", "s", "^", "D", "v", "P")


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
    figure, axes = plt.subplots()
    axes.semilogx(rounded(sizes, 5), rounded(losses, 5), color=BLUE)
    for (name, (size, loss)), mark in zip(points.items(), _MARKS, strict=False):
        axes.plot([size], [rounded(loss, 4)], mark, color=ORANGE, label=name)
    axes.set(xlabel="parameters", ylabel="predicted loss (nats)")
    axes.legend(loc="upper center")
    return figure


def lines(
    x: Sequence[float | int],
    curves: Mapping[str, Sequence[float | int]],
    *,
    xlabel: str,
    ylabel: str,
    logarithmic: bool = False,
    bands: Mapping[str, Sequence[float | int]] | None = None,
    edge: float | int | None = None,
) -> Figure:
    """One or more curves, perhaps with a band around each.

    Args:
        x: Where they are given; a shorter curve ends early.
        curves: By name.
        xlabel: Under the picture.
        ylabel: Beside it.
        logarithmic: Of the vertical axis.
        bands: Half the height of the band around a curve, by its name.
        edge: Where a dotted vertical line stands.
    """
    figure, axes = plt.subplots()
    for (name, values), (color, linestyle) in zip(curves.items(), _SERIES, strict=False):
        places = rounded(list(x)[: len(values)])
        axes.plot(places, rounded(values), color=color, linestyle=linestyle, label=name)
        if bands and name in bands:
            pairs = list(zip(values, bands[name], strict=True))
            low, high = ([v + sign * b for v, b in pairs] for sign in (-1, 1))
            axes.fill_between(places, rounded(low), rounded(high), color=color, alpha=0.2)
    if edge is not None:
        axes.axvline(edge, color=INK, linestyle=":", linewidth=1.2)
    axes.set(xlabel=xlabel, ylabel=ylabel, yscale="log" if logarithmic else "linear")
    if len(curves) > 1:
        axes.legend()
    return figure


def memory(rows: Mapping[str, Mapping[str, float | int]], limit: float | int, name: str) -> Figure:
    """Bars of gigabytes, each a stack of parts, beside what a card has.

    Args:
        rows: By the bar's name, its parts by theirs; all bars have the same parts.
        limit: Gigabytes of the card.
        name: Of the card.
    """
    figure, axes = plt.subplots(figsize=(4.6, 3.2))
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
    figure.legend(loc="outside upper center", ncols=3)
    return figure


def run(losses: Sequence[float | int], validation: Mapping[int, float], blind: float) -> Figure:
    """The losses of a run, step by step, with the validations and the loss of a blind guess."""
    figure, axes = plt.subplots()
    axes.axhline(rounded(blind), color=INK, linestyle=":", linewidth=1.2, label="a blind guess")
    axes.plot(range(1, len(losses) + 1), rounded(losses), color=BLUE, linewidth=0.8, label="batch")
    steps, values = list(validation), list(validation.values())
    axes.plot(steps, rounded(values), "o", color=ORANGE, label="validation")
    axes.set(xlabel="step", ylabel="loss (nats a token)", ylim=(0, None))
    axes.legend()
    return figure


def swaps(entries: Sequence[Mapping[str, Any]]) -> Figure:
    """The validation losses of a chain of models: every seed, and the mean as a bar.

    Args:
        entries: Of ``swaps.json``: ``name``, ``validation_loss``, ``mean``.
    """
    figure, axes = plt.subplots(figsize=(4.6, 3.0))
    for row, entry in enumerate(entries):
        mean = rounded(entry["mean"])
        axes.plot([mean, mean], [row - 0.3, row + 0.3], color=BLUE, linestyle="-")
        losses = rounded(entry["validation_loss"])
        axes.plot(losses, [row] * len(losses), "o", color=ORANGE, markersize=4, alpha=0.8)
    names = [
        entry["name"] if row == 0 else f"+ {entry['name']}" for row, entry in enumerate(entries)
    ]
    axes.set_yticks(range(len(entries)), names)
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.set(xlabel="validation loss (nats a token)")
    return figure
