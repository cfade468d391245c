"""The pictures of the GPT chapter that stand still: café, map, heads, losses, who looks at whom.

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
from llama_tutorial.figures.kit.style import BLUE, GREEN, INK, ORANGE, ROSE, VIOLET

_LOOKS = ((ORANGE, "--"), (GREEN, "-."), (BLUE, "-"), (ROSE, ":"))

#: The parts of the map from top to bottom: height, words, shape of what leaves it, marks.
_MAP = (
    (10.0, "tokens", "(B, T)", ""),
    (8.8, "embedding + position", "(B, T, D)", "2"),
    (7.1, "norm", "(B, T, D)", "1"),
    (6.2, "attention", "(B, T, D)", "45"),
    (4.5, "norm", "(B, T, D)", "1"),
    (3.6, "feed-forward", "(B, T, D)", "34"),
    (1.6, "norm", "(B, T, D)", "1"),
    (0.4, "output head", "(B, T, V)", "4"),
)


def network_map(n_layers: int) -> Figure:
    """GPT from tokens to logits: the stream on the left, the parts on the right, five marks.

    Args:
        n_layers: How often the block is there.
    """
    figure, axes = plt.subplots(figsize=(4, 4.4))
    axes.plot([1, 1], [8.4, 2.0], color=BLUE, linewidth=5, linestyle="-", alpha=0.85)
    axes.text(0.55, 5.2, "residual stream", rotation=90, ha="center", va="center")
    for height, words, shape, marks in _MAP:
        inside = 3 < height < 8
        _part(axes, 4.6 if inside else 2.6, height, words, marks)
        axes.text(8.45, height, shape, ha="left", va="center")
    for read, write in ((7.1, 6.2), (4.5, 3.6)):
        _arrow(axes, (1.1, read), (2.85, read))
        _arrow(axes, (4.6, read - 0.3), (4.6, write + 0.32))
        _arrow(axes, (2.85, write), (1.22, write))
        axes.plot([1], [write], "o", color=BLUE, markersize=11)
        axes.text(1.45, write + 0.3, "+", ha="center", va="center", fontsize=12)
    for start, end in ((9.7, 9.12), (2.0, 1.92), (1.3, 0.72)):
        x = 1.0 if start == 2.0 else 2.6
        _arrow(axes, (x, start), (x, end))
    line: dict[str, Any] = {"edgecolor": INK, "linewidth": 0.9, "linestyle": (0, (4, 3))}
    axes.add_patch(plt.Rectangle((1.75, 2.75), 6.45, 5.15, fill=False, **line))
    axes.text(8.05, 2.88, f"one block, {n_layers} of them", ha="right")
    axes.set(xlim=(0.2, 10.4), ylim=(-0.1, 10.4))
    axes.axis("off")
    return figure


def _part(axes: Any, x: float, height: float, words: str, marks: str) -> None:
    width = 4.4 if len(words) > 15 else 3.5
    left = max(x - width / 2, 0.75)
    box = (left, height - 0.32)
    patch = plt.Rectangle(box, width, 0.64, facecolor="none", edgecolor=INK, linewidth=1.3)
    axes.add_patch(patch)
    axes.text(left + width / 2, height - 0.02, words, ha="center", va="center")
    for number, mark in enumerate(marks):
        place = left + width + 0.45 + 0.62 * number
        look = {"markerfacecolor": "none", "markeredgecolor": ORANGE, "markeredgewidth": 1.8}
        axes.plot([place], [height], "o", markersize=13, **look)
        axes.text(place, height - 0.03, mark, ha="center", va="center")


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    look = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.1, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", xy=end, xytext=start, arrowprops=look)


def cafe(words: Sequence[str]) -> Figure:
    """One text of the café: three orders above, the waiter's three below, one look-up drawn.

    Args:
        words: Three orders, guest and dish in turn, and the same orders again: twelve words.
    """
    figure, axes = plt.subplots(figsize=(4, 2.15))
    for position, word in enumerate(words):
        row, column = divmod(position, 6)
        asked = row == 1 and column % 2 == 1
        color = BLUE if column % 2 == 0 else GREEN
        line: dict[str, Any] = {"edgecolor": ORANGE if asked else color, "linewidth": 1.6}
        x, y = _cafe_corner(row, column)
        style = (0, (3, 2)) if asked else "-"
        axes.add_patch(plt.Rectangle((x, y), 1.36, 0.62, facecolor="none", linestyle=style, **line))
        axes.text(x + 0.68, y + 0.29, word, ha="center", va="center")
        axes.text(x + 0.68, y + 0.88, str(position), ha="center", va="center", color=color)
    axes.text(0, 3.42, "three orders …", va="center")
    axes.text(0, -0.42, "… and the waiter repeats them", va="center")
    guest = list(words[:6]).index(words[6])
    start, found = _cafe_corner(1, 0), _cafe_corner(0, guest)
    look = {"arrowstyle": "-|>", "color": ORANGE, "linewidth": 1.3, "shrinkA": 0, "shrinkB": 0}
    up = (found[0] + 0.68, found[1] - 0.06)
    axes.annotate("", xy=up, xytext=(start[0] + 0.68, start[1] + 1.1), arrowprops=look)
    down = (_cafe_corner(1, 1)[0] + 1.0, start[1] + 0.68)
    from_dish = (_cafe_corner(0, guest + 1)[0] + 0.68, found[1] - 0.06)
    axes.annotate("", xy=down, xytext=from_dish, arrowprops=look)
    axes.set(xlim=(-0.1, 9.6), ylim=(-0.7, 3.65))
    axes.axis("off")
    return figure


def _cafe_corner(row: int, column: int) -> tuple[float, float]:
    """Lower left corner of a word's box: guest and dish stand close together."""
    return 1.46 * column + 0.3 * (column // 2), (0.05 if row else 2.05)


def slabs(n_heads: int) -> Figure:
    """How (B, T, D) becomes (B, H, T, h): one text's features are cut into slabs, one a head.

    Args:
        n_heads: Number of heads, H; up to five are told apart.
    """
    figure, axes = plt.subplots(figsize=(4, 2.5))
    width, height = 0.82, 2.5
    looks = (BLUE, ORANGE, GREEN, ROSE, VIOLET)[:n_heads]
    for head, color in enumerate(looks):
        _slab(axes, 0.62 + width * head, 0.9, color, width, height)
        back = n_heads - 1 - head
        _slab(axes, 6.35 + 0.62 * back, 0.5 + 0.34 * back, color, width, height, solid=True)
        axes.text(0.62 + width * (head + 0.5), 2.15, str(head), ha="center", va="center")
        axes.text(6.5 + 0.62 * back, 2.72 + 0.34 * back, str(head), va="center")
    end = 0.62 + width * n_heads
    _arrow(axes, (end + 0.25, 2.15), (6.1, 2.15))
    middle = (end + 0.25 + 6.1) / 2
    axes.text(middle, 2.35, "heads", ha="center", va="bottom")
    axes.text(middle, 1.98, f"h = D / {n_heads}", ha="center", va="top")
    axes.text(0.4, 2.15, "T", ha="center", va="center")
    axes.text((0.62 + end) / 2, 3.62, "D", ha="center", va="center")
    axes.text(6.35 + width / 2, 0.22, "h", ha="center", va="center")
    axes.text(6.1, 1.2, "T", ha="center", va="center")
    axes.text((0.62 + end) / 2, -0.3, "(B, T, D)", ha="center", va="center")
    axes.text(7.75, -0.3, "(B, H, T, h)", ha="center", va="center")
    axes.set(xlim=(0.1, 9.4), ylim=(-0.6, 4.35))
    axes.axis("off")
    return figure


def _slab(
    axes: Any, x: float, y: float, color: str, width: float, height: float, *, solid: bool = False
) -> None:
    """A column of features over all positions; a solid one hides what lies behind it."""
    box: dict[str, Any] = {"edgecolor": color, "linewidth": 1.5}
    axes.add_patch(plt.Rectangle((x, y), width, height, facecolor="none", **box))
    axes.add_patch(plt.Rectangle((x, y), width, height, facecolor=color, alpha=0.16))
    if solid:
        return
    for row in range(1, 6):
        across = y + height * row / 6
        axes.plot([x, x + width], [across, across], color=color, linewidth=0.6, linestyle="-")


def losses(curves: Mapping[str, Sequence[float]], every: int, marks: Mapping[str, float]) -> Figure:
    """Loss over training, one line a model, with the losses that simple strategies have.

    Args:
        curves: Loss in nats at each reading, by the model's name.
        every: Training steps from one reading to the next.
        marks: Losses to draw a line at, by name.
    """
    figure, axes = plt.subplots(figsize=(4, 2.6))
    for (name, curve), (color, linestyle) in zip(curves.items(), _LOOKS, strict=False):
        steps = [every * reading for reading in range(len(curve))]
        axes.plot(steps, rounded(list(curve)), color=color, linestyle=linestyle, label=name)
    for name, loss in marks.items():
        axes.axhline(loss, color=INK, linewidth=0.9, linestyle=(0, (2, 3)))
        axes.text(0, loss - 0.06, name, va="top")
    axes.set(xlabel="training steps", ylabel="loss of the answers (nats)", ylim=(0, None))
    look: dict[str, Any] = {"handlelength": 1.7, "columnspacing": 1, "handletextpad": 0.5}
    axes.legend(
        loc="upper left", bbox_to_anchor=(0, 1.2), ncols=len(curves), borderaxespad=0, **look
    )
    return figure


def attention(
    weights: Mapping[str, Float[Tensor, "T T"]], words: Sequence[str], asked: Sequence[int]
) -> Figure:
    """Who looks at whom, one panel a layer: rows are queries, columns are keys.

    Args:
        weights: Attention weights of one head, by the layer's name.
        words: The words of the text.
        asked: Query positions to be pointed at.
    """
    figure, panels = plt.subplots(1, len(weights), figsize=(4, 2.8), sharey=True, squeeze=False)
    places = range(len(words))
    for axes, (name, weight) in zip(panels[0], weights.items(), strict=True):
        axes.pcolormesh(rounded(weight), cmap="lt-sequential", vmin=0, vmax=1)
        for query in asked:
            axes.plot([-0.35], [query + 0.5], ">", color=ORANGE, markersize=5, clip_on=False)
        axes.set(title=name, aspect="equal", xlim=(-0.7, len(words)), ylim=(len(words), 0))
        axes.set(xlabel="looks at", xticks=[place + 0.5 for place in places])
        axes.set_xticklabels(words, rotation=90)
        axes.set_yticks([place + 0.5 for place in places], words)
        axes.tick_params(length=0, labelsize=9.5)
        axes.spines[:].set_visible(False)
    panels[0][0].set_ylabel("the word that looks")
    return figure


def growth(sizes: Mapping[str, Sequence[float]]) -> Figure:
    """How large the features of the residual stream are after each block.

    Args:
        sizes: Standard deviation of the stream before the first block and after each, by name.
    """
    figure, axes = plt.subplots(figsize=(4, 2.6))
    for (name, size), (color, linestyle) in zip(sizes.items(), _LOOKS[::2], strict=False):
        axes.plot(rounded(list(size)), color=color, linestyle=linestyle, label=name)
    axes.set(xlabel="blocks passed", ylabel="standard deviation", ylim=(0, None))
    axes.legend(loc="upper left")
    return figure
