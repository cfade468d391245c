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
from llama_tutorial.figures.kit.style import BLUE, GREEN, INK, ORANGE, PALETTE

_SERIES = ((ORANGE, "--"), (BLUE, "-"), (GREEN, ":"))


def triangle(words: Sequence[str]) -> Figure:
    """Who asks whom at one step of writing: all pairs again, or one row and a cache.

    Args:
        words: The tokens so far; the last one is new.
    """
    figure, panels = plt.subplots(1, 2, figsize=(4, 3))
    for axes, cached in zip(panels, (False, True), strict=True):
        _triangle(axes, len(words), cached)
        axes.set_title("with a cache" if cached else "everything again")
        axes.set(xlim=(-0.6, len(words) - 0.4), ylim=(len(words) + 1.5, -0.6), aspect="equal")
        axes.set(xticks=[], yticks=range(len(words)), yticklabels=[] if cached else words)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        below = len(words) + 1.2
        axes.text(-0.45, below, "keys, values", ha="left", va="center")
    panels[0].set_ylabel("queries")
    return figure


def _triangle(axes: Any, n: int, cached: bool) -> None:
    """The pairs of query and key, and below them the keys and values that this step needs."""
    for query in range(n):
        for key in range(query + 1):
            _square(axes, key, query, "new" if query == n - 1 else "saved" if cached else "again")
    for key in range(n):
        _square(axes, key, n + 0.2, "new" if key == n - 1 else "kept" if cached else "again")


def _square(axes: Any, x: float | int, y: float | int, kind: str) -> None:
    looks: dict[str, dict[str, Any]] = {
        "new": {"facecolor": ORANGE},
        "again": {"facecolor": INK, "alpha": 0.55},
        "kept": {"facecolor": BLUE},
        "saved": {"fill": False, "edgecolor": INK, "linewidth": 0.7, "linestyle": (0, (1, 2))},
    }
    axes.add_patch(plt.Rectangle((x - 0.42, y - 0.42), 0.84, 0.84, **looks[kind]))


def slabs(kinds: Mapping[str, int], *, n_heads: int) -> Figure:
    """Query heads as upright slabs, standing on the keys and values that they share.

    Args:
        kinds: For each panel, by its title, how many key and value heads there are.
        n_heads: Query heads.
    """
    figure, panels = plt.subplots(len(kinds), 1, figsize=(4, 1.5 * len(kinds)))
    for axes, (title, n_kv_heads) in zip(panels, kinds.items(), strict=True):
        group = n_heads // n_kv_heads
        for head in range(n_heads):
            _slab(axes, head + 0.12, 1.75, 0.5, 1.0, PALETTE[head // group % 5])
            axes.text(head + 0.37, 2.25, str(head), ha="center", va="center")
        for shared in range(n_kv_heads):
            for bottom in (0.0, 0.75):
                left, width = shared * group + 0.12, group - 0.5
                _slab(axes, left, bottom, width, 0.5, PALETTE[shared % 5])
        for height, name in ((2.25, "queries"), (1.0, "keys"), (0.25, "values")):
            axes.text(-0.15, height, name, ha="right", va="center")
        axes.set_title(title)
        axes.set(xlim=(-1.6, n_heads + 0.2), ylim=(-0.1, 3.15), aspect="equal")
        axes.axis("off")
    return figure


def _slab(axes: Any, x: float, y: float, width: float, height: float, color: str) -> None:
    """A box seen from the front, a little from the right and from above; its depth is the text."""
    deep = 0.24
    right, top = x + width, y + height
    upper = [(x, top), (right, top), (right + deep, top + deep), (x + deep, top + deep)]
    side = [(right, y), (right + deep, y + deep), (right + deep, top + deep), (right, top)]
    front = [(x, y), (right, y), (right, top), (x, top)]
    for corners, shade in ((upper, 0.5), (side, 0.75), (front, 0.25)):
        face = plt.Polygon(corners, facecolor=color, alpha=shade)
        axes.add_patch(face)
        axes.add_patch(plt.Polygon(corners, fill=False, edgecolor=color, linewidth=0.8))


def pairings(pairs: Mapping[str, Sequence[int]], wrong: str = "") -> Figure:
    """Query heads above, the key heads that they read below, and a line for each reading.

    Args:
        pairs: For each panel, by its title, the key head of every query head.
        wrong: Title of a panel whose lines are dashed.
    """
    figure, panels = plt.subplots(1, len(pairs), figsize=(4, 2.0), squeeze=False)
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
    figure, axes = plt.subplots(figsize=(4, 2.6))
    for (name, values), (color, style) in zip(series.items(), _SERIES, strict=False):
        axes.plot(positions, rounded([float(v) for v in values]), style, color=color, label=name)
    axes.set(xscale="log", yscale="log", xlabel="position of the new token", ylabel=unit)
    axes.grid(True)
    axes.legend(loc="upper left")
    return figure
