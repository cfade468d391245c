"""The pictures of the chapter on the swaps that stand still.

Each function takes the numbers that the chapter has computed and returns a matplotlib figure; the
drawing is here, so that the chapter's cells hold what they are about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.kit.style import BLUE, GREEN, INK, ORANGE
from llama_tutorial.figures.swaps.tables import interval

WIDTH = 4.0  # inches: on a phone the writing is then of 10 pixels
_LOOKS = ((BLUE, "-", "o"), (ORANGE, "--", "s"), (GREEN, "-.", "^"))


def changes(gains: Mapping[str, Sequence[float]]) -> Figure:
    """What each swap did to the loss: every seed as a dot, and the 95 % interval of the mean.

    Args:
        gains: Differences of the losses, seed by seed, by the swap's name.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 2.8))
    axes.axvline(0, color=INK, linewidth=1.2)
    for row, by_seed in enumerate(gains.values()):
        mean, half = interval(by_seed)
        ends = [rounded(mean - half), rounded(mean + half)]
        axes.plot(ends, [row, row], color=BLUE, linestyle="-", linewidth=4, alpha=0.4)
        axes.plot([rounded(mean)] * 2, [row - 0.22, row + 0.22], color=BLUE, linestyle="-")
        axes.plot(rounded(by_seed), [row] * len(by_seed), "o", color=ORANGE, markersize=4)
    axes.set_yticks(range(len(gains)), list(gains))
    axes.invert_yaxis()
    axes.grid(axis="x")
    axes.set(xlabel="change of the loss (nats a token)")
    return figure


def rates(curves: Mapping[str, Mapping[float, float]]) -> Figure:
    """Validation loss against the learning rate.

    Args:
        curves: The losses by rate, by the model's name.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 2.6))
    for (name, by_rate), (color, linestyle, mark) in zip(curves.items(), _LOOKS, strict=False):
        look: dict[str, Any] = {
            "color": color,
            "linestyle": linestyle,
            "marker": mark,
            "label": name,
        }
        axes.plot(list(by_rate), rounded(list(by_rate.values())), **look)
    every = list(next(iter(curves.values())))
    axes.set_xscale("log")
    axes.set_xticks(every, [f"{rate:g}" for rate in every])
    axes.minorticks_off()
    axes.set(xlabel="peak learning rate", ylabel="validation loss (nats)")
    axes.legend()
    return figure


def longer(
    middles: Sequence[float], curves: Mapping[str, Sequence[float]], *, edge: float | int
) -> Figure:
    """Loss along a text, with the length of the training windows as a dotted line.

    Args:
        middles: The positions.
        curves: The losses, by name.
        edge: Tokens of a training window.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.2))
    for (name, values), (color, linestyle, _) in zip(curves.items(), _LOOKS, strict=False):
        axes.plot(rounded(middles), rounded(values), color=color, linestyle=linestyle, label=name)
    axes.axvline(edge, color=INK, linestyle=":", linewidth=1.2)
    axes.set(xlabel="position in the tale", ylabel="loss (nats a token)")
    axes.legend()
    return figure
