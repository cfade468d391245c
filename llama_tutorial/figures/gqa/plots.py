"""The pictures of the attention chapter that stand still.

Each function takes the numbers that the chapter has computed and returns a matplotlib figure; the
drawing is here, so that the chapter's cells hold what they are about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.kit.style import BLUE, GREEN, ORANGE, PALETTE

_SERIES = ((ORANGE, "--"), (BLUE, "-"), (GREEN, ":"))


def pairings(pairs: Mapping[str, Sequence[int]], wrong: str = "") -> Figure:
    """Query heads above, the key heads that they read below, and a line for each reading.

    Args:
        pairs: For each panel, by its title, the key head of every query head.
        wrong: Title of a panel whose lines are dashed.
    """
    figure, panels = plt.subplots(1, len(pairs), figsize=(4.6, 2.0), squeeze=False)
    for axes, (title, readers) in zip(panels[0], pairs.items(), strict=True):
        n_queries, n_keys = len(readers), max(readers) + 1
        for query, key in enumerate(readers):
            color, x = PALETTE[key % 5], _key_place(key, n_keys, n_queries)
            style = "--" if title == wrong else "-"
            axes.plot([query, x], [0.88, 0.16], color=color, linewidth=1.1, linestyle=style)
            _box(axes, query, 0.98, str(query), color)
        for key in range(n_keys):
            _box(axes, _key_place(key, n_keys, n_queries), 0.06, str(key), PALETTE[key % 5], 0.9)
        axes.set(title=title, xlim=(-0.8, n_queries - 0.2), ylim=(-0.1, 1.15))
        axes.axis("off")
    return figure


def _key_place(key: int, n_keys: int, n_queries: int) -> float:
    return (key + 0.5) * n_queries / n_keys - 0.5


def _box(
    axes: Any, x: float | int, y: float | int, text: str, color: str, frame: float | int = 0
) -> None:
    box = {"boxstyle": "square,pad=0.22", "facecolor": "none", "edgecolor": color}
    around = {**box, "linewidth": frame} if frame else None
    look = {"color": color, "fontweight": "bold", "bbox": around}
    axes.text(x, y, text, ha="center", va="center", **look)


def work(
    positions: Sequence[int], series: Mapping[str, Sequence[float | int]], *, unit: str
) -> Figure:
    """Work for the next token against its position, on logarithmic axes.

    Args:
        positions: How many tokens there are, the new one among them.
        series: Work at each position, one line a way of decoding.
        unit: Of the work.
    """
    figure, axes = plt.subplots(figsize=(4.6, 2.6))
    for (name, values), (color, style) in zip(series.items(), _SERIES, strict=False):
        axes.plot(positions, rounded([float(v) for v in values]), style, color=color, label=name)
    axes.set(xscale="log", yscale="log", xlabel="position of the new token", ylabel=unit)
    axes.grid(True)
    axes.legend(loc="upper left")
    return figure
