"""The pictures of the model chapter that stand still.

Each function takes the numbers that the chapter has computed and returns a matplotlib figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from llama_tutorial.config import ModelConfig
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.kit.style import BLUE, GREEN, INK, ORANGE, PALETTE, ROSE, VIOLET

_HATCHES = ("", "//", "..", "\\\\", "xx")


def ring(says: Mapping[str, Sequence[int]], letters: str) -> Figure:
    """Letters in a ring, and what models say comes after each of them.

    Args:
        says: By the model's name, for each letter the number of the letter that it says.
        letters: The ring, in order.
    """
    figure, panels = plt.subplots(1, len(says), figsize=(4, 2.2), squeeze=False)
    turns = [2 * math.pi * i / len(letters) for i in range(len(letters))]
    places = [(rounded(math.sin(turn)), rounded(math.cos(turn))) for turn in turns]
    for axes, (name, answers) in zip(panels[0], says.items(), strict=True):
        for here, there in enumerate(answers):
            right = there == (here + 1) % len(letters)
            _answer(axes, places[here], places[there], BLUE if right else ORANGE, right)
        for (x, y), letter in zip(places, letters, strict=True):
            axes.text(1.24 * x, 1.24 * y, letter, ha="center", va="center")
        axes.set(title=name, xlim=(-1.45, 1.45), ylim=(-1.45, 1.45), aspect="equal")
        axes.axis("off")
    return figure


def _answer(axes: Any, here: Any, there: Any, color: str, right: bool) -> None:
    """An arrow from a letter to the one that is said after it, or a circle where it is the same."""
    if here == there:
        axes.plot(*here, "o", color=color, fillstyle="none", markersize=9, markeredgewidth=1.6)
        return
    style = {"arrowstyle": "-|>", "color": color, "linewidth": 1.4, "shrinkA": 1, "shrinkB": 2}
    style |= {"linestyle": "-" if right else "--", "mutation_scale": 8}
    axes.annotate("", xy=there, xytext=here, arrowprops=style)


def forward_map(config: ModelConfig) -> Figure:
    """The whole forward pass on the residual stream, with what happens in each of the sub-layers.

    Args:
        config: Whose sizes stand beside the letters.
    """
    figure, axes = plt.subplots(figsize=(4, 6.9))
    axes.set(xlim=(0, 11), ylim=(-0.6, 17.6))
    axes.axis("off")
    for low, high in ((0.2, 0.62), (1.38, 14.62), (15.38, 15.82), (16.58, 17)):
        _path(axes, [(_STREAM, low), (_STREAM, high)], BLUE, 2.8)
    frame: dict[str, Any] = {"fill": False, "edgecolor": INK, "linewidth": 1, "linestyle": "--"}
    axes.add_patch(plt.Rectangle((0.1, 2), 10.8, 12.2, **frame))
    axes.text(10.7, 13.85, f"one layer of {config.n_layers}", ha="right", va="center")
    axes.text(_STREAM, -0.1, "tokens (B, T)", ha="center", va="center")
    axes.text(_STREAM, 17.3, "logits, in float32", ha="center", va="center")
    for y, name, color, shape in (
        (1, "tok_embeddings", BLUE, f"(B, T, D), D = {config.dim:,}"),
        (15, "norm", GREEN, "(B, T, D)"),
        (16.2, "output", BLUE, f"(B, T, V), V = {config.vocab_size:,}"),
    ):
        _part(axes, _STREAM, y, name, color, 3.5)
        axes.text(_STREAM + 2, y, shape, va="center")
    _attention(axes, config)
    _feed_forward(axes, config)
    return figure


_STREAM = 2.1  # where the stream runs, and the three columns of a branch
_LEFT, _MIDDLE, _RIGHT = 4.9, 6.9, 8.9


def _path(
    axes: Any,
    points: Sequence[tuple[float | int, float | int]],
    color: str,
    width: float | int = 1.5,
) -> None:
    axes.plot(*zip(*points, strict=True), color=color, linewidth=width, linestyle="-")


def _part(
    axes: Any, x: float | int, y: float | int, name: str, color: str, width: float | int = 1.5
) -> None:
    """A named box."""
    outline: dict[str, Any] = {"fill": False, "edgecolor": color, "linewidth": 1.6}
    axes.add_patch(plt.Rectangle((x - width / 2, y - 0.38), width, 0.76, **outline))
    axes.text(x, y, name, ha="center", va="center")


def _added(axes: Any, y: float | int, color: str) -> None:
    """The end of a branch: its addition to the stream."""
    axes.plot([_STREAM + 0.45], [y], marker="<", color=color, markersize=5)
    ring: dict[str, Any] = {"fillstyle": "none", "markersize": 12, "markeredgewidth": 1.6}
    axes.plot([_STREAM], [y], "o", color=BLUE, **ring)
    axes.plot([_STREAM], [y], "+", color=BLUE, markersize=7, markeredgewidth=1.6)
    axes.text(_STREAM - 0.45, y, "add", ha="right", va="center")


def _attention(axes: Any, config: ModelConfig) -> None:
    _path(axes, [(_STREAM, 2.4), (_MIDDLE, 2.4), (_MIDDLE, 2.62)], ORANGE)
    _part(axes, _MIDDLE, 3, "attention_norm", GREEN, 3.5)
    _path(axes, [(_MIDDLE, 3.38), (_MIDDLE, 3.82)], ORANGE)
    _path(axes, [(_LEFT, 3.82), (_LEFT, 3.6), (_RIGHT, 3.6), (_RIGHT, 3.82)], ORANGE)
    for x, name in ((_LEFT, "wq"), (_MIDDLE, "wk"), (_RIGHT, "wv")):
        _part(axes, x, 4.2, name, ORANGE)
    for x in (_LEFT, _MIDDLE):
        _path(axes, [(x, 4.58), (x, 4.92)], ORANGE)
        _part(axes, x, 5.3, "RoPE", ROSE)
        _path(axes, [(x, 5.68), (x, 6)], ORANGE)
    _path(axes, [(_RIGHT, 4.58), (_RIGHT, 7.1), (7.5, 7.1)], ORANGE)
    for depth in (2, 1, 0):  # heads, the nearest last
        _scores(axes, 5 + 0.22 * depth, 6 + 0.22 * depth, depth == 0)
    many = f"{config.n_heads} heads of {config.head_dim}"
    axes.text(_RIGHT + 0.15, 6.35, "values", va="center")
    axes.text(_RIGHT - 1.35, 7.75, f"{many}:\nmask, softmax", va="center")
    _path(axes, [(_MIDDLE - 0.8, 8.28), (_MIDDLE - 0.8, 8.62)], ORANGE)
    _part(axes, _MIDDLE - 0.8, 9, "wo", ORANGE)
    _path(axes, [(5.35, 9), (_STREAM + 0.45, 9)], ORANGE)
    _added(axes, 9, ORANGE)


def _scores(axes: Any, x: float | int, y: float | int, near: bool) -> None:
    """The scores of one head: a square whose upper right half is masked."""
    size, cells = 1.8, 5
    if near:
        step = size / cells
        for row in range(cells):
            for column in range(row + 1):
                at = x + column * step, y + (cells - 1 - row) * step
                box = plt.Rectangle(at, 0.88 * step, 0.88 * step, facecolor=ORANGE, alpha=0.75)
                axes.add_patch(box)
        _path(axes, [(x, y), (x + size, y), (x + size, y + size), (x, y + size), (x, y)], ORANGE, 1)
        return
    _path(axes, [(x, y + size), (x + size, y + size), (x + size, y)], ORANGE, 1)


def _feed_forward(axes: Any, config: ModelConfig) -> None:
    left, right = _LEFT + 0.4, _RIGHT - 0.4
    _path(axes, [(_STREAM, 9.7), (_MIDDLE, 9.7), (_MIDDLE, 9.82)], VIOLET)
    _part(axes, _MIDDLE, 10.2, "ffn_norm", GREEN, 3.5)
    _path(axes, [(_MIDDLE, 10.58), (_MIDDLE, 10.8)], VIOLET)
    _path(axes, [(left, 11.02), (left, 10.8), (right, 10.8), (right, 11.02)], VIOLET)
    _part(axes, left, 11.4, "w1", VIOLET)
    _part(axes, right, 11.4, "w3", VIOLET)
    _path(axes, [(left, 11.78), (left, 12.02)], VIOLET)
    _part(axes, left, 12.4, "SiLU", VIOLET)
    _path(axes, [(left + 0.75, 12.4), (_MIDDLE - 0.25, 12.4)], VIOLET)
    _path(axes, [(right, 11.78), (right, 12.4), (_MIDDLE + 0.25, 12.4)], VIOLET)
    axes.text(_MIDDLE, 12.4, "×", ha="center", va="center", color=VIOLET, fontsize=13)
    axes.text(right - 0.2, 12.75, f"F = {config.hidden_dim:,}", va="center")
    _path(axes, [(_MIDDLE, 12.65), (_MIDDLE, 13.02)], VIOLET)
    _part(axes, _MIDDLE, 13.4, "w2", VIOLET)
    _path(axes, [(_MIDDLE - 0.75, 13.4), (_STREAM + 0.45, 13.4)], VIOLET)
    _added(axes, 13.4, VIOLET)


def tiles(n: int, row: int) -> Figure:
    """The triangle of attention in tiles, while one row of tiles is at work.

    Args:
        n: Tiles along a side.
        row: The row at work; its last tile but one is the one in fast memory.
    """
    figure, axes = plt.subplots(figsize=(4, 2.9))
    looks: dict[str, dict[str, Any]] = {
        "done": {"facecolor": INK, "alpha": 0.35},
        "read": {"facecolor": BLUE, "alpha": 0.45},
        "now": {"facecolor": ORANGE},
        "to come": {"fill": False, "edgecolor": INK, "linewidth": 0.9},
        "never": {"fill": False, "edgecolor": INK, "linewidth": 0.6, "linestyle": (0, (1, 3))},
    }
    for i in range(n):
        for j in range(n):
            kind = "never" if j > i else "done" if i < row else "to come"
            if i == row and j < row:
                kind = "now" if j == row - 1 else "read"
            axes.add_patch(plt.Rectangle((j - 0.45, i - 0.45), 0.9, 0.9, **looks[kind]))
    for y, text in (
        (row - 1.3, "in fast memory:"),
        (row - 0.6, "this tile of scores,"),
        (row + 0.1, "and for each query"),
        (row + 0.8, "maximum, sum, mix"),
    ):
        axes.text(n - 0.2, y, text, va="center")
    axes.set(xlim=(-0.6, n + 4.4), ylim=(n - 0.4, -0.6), aspect="equal", xticks=[], yticks=[])
    axes.set_ylabel("queries, in blocks")
    axes.set_xlabel("keys and values, in blocks", loc="left")
    axes.spines[:].set_visible(False)
    return figure


def two_cards() -> Figure:
    """A feed-forward layer on two cards: which half of each matrix lies where."""
    figure, axes = plt.subplots(figsize=(4, 2.4))
    axes.set(xlim=(0, 11), ylim=(0.5, 5.9), aspect="equal")
    axes.axis("off")
    axes.text(0.5, 3.1, "x", ha="center", va="center")
    for y, color, hatch, name in ((4.6, BLUE, "", "card 0"), (1.6, ORANGE, "//", "card 1")):
        axes.text(2, y + 0.75, name)
        _path(axes, [(0.7, 3.1), (1.3, y), (2, y)], color)
        for x, width, height, matrix in ((2, 1.4, 0.8, "w1"), (3.6, 1.4, 0.8, "w3")):
            _half(axes, x, y, width, height, color, hatch)
            axes.text(x + width / 2, y, f"½ {matrix}", ha="center", va="center")
        _path(axes, [(5, y), (6, y)], color)
        _half(axes, 6, y, 0.8, 1.5, color, hatch)
        axes.text(6.45, y, "½ w2", ha="center", va="center", rotation=90)
        _path(axes, [(6.8, y), (8.5, y), (9.2, 3.1)], color)
    axes.text(9.55, 3.1, "+", ha="center", va="center", fontsize=15)
    axes.text(9.9, 3.1, "  result", va="center")
    return figure


def _half(
    axes: Any,
    x: float | int,
    y: float | int,
    width: float | int,
    height: float | int,
    color: str,
    hatch: str,
) -> None:
    box: dict[str, Any] = {"facecolor": "none", "edgecolor": color, "linewidth": 1.2}
    place = (x, y - height / 2)
    axes.add_patch(plt.Rectangle(place, width, height, hatch=hatch, **box))
    axes.add_patch(plt.Rectangle(place, width, height, facecolor=color, alpha=0.3))


def stream_growth(sizes: Mapping[str, Sequence[float]]) -> Figure:
    """The size of the residual stream after each layer, one line an initialisation.

    Args:
        sizes: Root mean squares, from the embedding on.
    """
    figure, axes = plt.subplots(figsize=(4, 2.7))
    looks = ((ORANGE, "--"), (BLUE, "-"), (ROSE, (0, (1, 1.2))), (GREEN, "-."))
    for (name, size), (color, linestyle) in zip(sizes.items(), looks, strict=False):
        axes.plot(rounded(size), color=color, linestyle=linestyle, label=name)
    axes.set(xlabel="layers passed", ylabel="size of the stream (rms)", ylim=(0, None))
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.02))
    return figure


def guesses(probability: Mapping[str, Sequence[float]], names: Sequence[str]) -> Figure:
    """The probability of a few tokens, read out of the stream after each addition.

    Args:
        probability: By token, one number for each state of the stream.
        names: What was added last, for the ticks; every other one is written.
    """
    figure, axes = plt.subplots(figsize=(4, 2.7))
    looks = zip((ORANGE, BLUE, GREEN), ("s--", "o-", "^:"), strict=False)
    for (name, values), (color, look) in zip(probability.items(), looks, strict=False):
        style: dict[str, Any] = {"marker": look[0], "linestyle": look[1:], "markersize": 4}
        axes.plot(rounded(values), label=name, color=color, **style)
    places = range(0, len(names), 2)
    axes.set(xticks=places, ylim=(0, 1.05), ylabel="probability when read out here")
    axes.set_xticklabels([names[place] for place in places])
    axes.set_xlabel("layers passed")
    axes.legend(loc="center", bbox_to_anchor=(0.42, 0.62))
    return figure


def budget(shares: Mapping[str, Mapping[str, float]]) -> Figure:
    """Where the parameters are: one bar a model, in percent.

    Args:
        shares: By model, then by part; every bar sums to 100.
    """
    figure, axes = plt.subplots(figsize=(4, 2.9))
    parts = list(next(iter(shares.values())))
    for y, one in enumerate(shares.values()):
        left = 0.0
        for part, color, hatch in zip(parts, PALETTE, _HATCHES, strict=False):
            width = rounded(one[part])
            style: dict[str, Any] = {"facecolor": "none", "edgecolor": color, "linewidth": 1.2}
            axes.barh(y, width, left=left, height=0.62, hatch=hatch, **style)
            axes.barh(y, width, left=left, height=0.62, color=color, alpha=0.35)
            if width >= 8:
                axes.text(left + width / 2, y, f"{width:.0f}", ha="center", va="center")
            left = round(left + width, 6)
    handles = [
        plt.Rectangle((0, 0), 1, 1, facecolor="none", edgecolor=color, hatch=hatch, lw=1.2)
        for _, color, hatch in zip(parts, PALETTE, _HATCHES, strict=False)
    ]
    axes.legend(handles, parts, loc="lower left", bbox_to_anchor=(-0.2, 1), ncols=2)
    axes.set(yticks=range(len(shares)), yticklabels=list(shares), xlim=(0, 100))
    axes.set(xlabel="share of the parameters (%)")
    axes.invert_yaxis()
    return figure
