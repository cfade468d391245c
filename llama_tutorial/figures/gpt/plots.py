"""The pictures of the GPT chapter that stand still: the map, the losses, what a layer looks at.

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
from llama_tutorial.figures.kit.style import BLUE, GREEN, INK, ORANGE, ROSE

_LOOKS = ((ORANGE, "--"), (GREEN, "-."), (BLUE, "-"), (ROSE, ":"))

#: The parts of the map from top to bottom: height, words, shape of what leaves it, marks.
_MAP = (
    (10.0, "tokens", "(B, T)", ""),
    (8.8, "token embedding + position", "(B, T, D)", "2"),
    (7.1, "norm", "(B, T, D)", "1"),
    (6.2, "attention", "(B, T, D)", "4"),
    (4.5, "norm", "(B, T, D)", "1"),
    (3.6, "feed-forward", "(B, T, D)", "34"),
    (1.6, "norm", "(B, T, D)", "1"),
    (0.4, "output head", "(B, T, V)", "5"),
)


def network_map(n_layers: int) -> Figure:
    """GPT from tokens to logits: the stream on the left, the parts on the right, five marks.

    Args:
        n_layers: How often the block is there.
    """
    figure, axes = plt.subplots(figsize=(4.6, 4.7))
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


def losses(curves: Mapping[str, Sequence[float]], every: int, marks: Mapping[str, float]) -> Figure:
    """Loss over training, one line a model, with the losses that simple strategies have.

    Args:
        curves: Loss in nats at each reading, by the model's name.
        every: Training steps from one reading to the next.
        marks: Losses to draw a line at, by name.
    """
    figure, axes = plt.subplots()
    for (name, curve), (color, linestyle) in zip(curves.items(), _LOOKS, strict=False):
        steps = [every * reading for reading in range(len(curve))]
        axes.plot(steps, rounded(list(curve)), color=color, linestyle=linestyle, label=name)
    for name, loss in marks.items():
        axes.axhline(loss, color=INK, linewidth=0.9, linestyle=(0, (2, 3)))
        axes.text(0, loss - 0.06, name, va="top", fontsize=8.5)
    axes.set(xlabel="training steps", ylabel="loss of the answers (nats)", ylim=(0, None))
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.2), ncols=len(curves), borderaxespad=0)
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
    figure, panels = plt.subplots(1, len(weights), figsize=(4.6, 2.9), sharey=True, squeeze=False)
    places = range(len(words))
    for axes, (name, weight) in zip(panels[0], weights.items(), strict=True):
        axes.pcolormesh(rounded(weight), cmap="lt-sequential", vmin=0, vmax=1)
        for query in asked:
            axes.plot([-0.35], [query + 0.5], ">", color=ORANGE, markersize=5, clip_on=False)
        axes.set(title=name, aspect="equal", xlim=(-0.7, len(words)), ylim=(len(words), 0))
        axes.set(xlabel="looks at", xticks=[place + 0.5 for place in places])
        axes.set_xticklabels(words, rotation=90)
        axes.set_yticks([place + 0.5 for place in places], words)
        axes.tick_params(length=0, labelsize=8)
        axes.spines[:].set_visible(False)
    panels[0][0].set_ylabel("the word that looks")
    return figure


def growth(sizes: Mapping[str, Sequence[float]]) -> Figure:
    """How large the features of the residual stream are after each block.

    Args:
        sizes: Standard deviation of the stream before the first block and after each, by name.
    """
    figure, axes = plt.subplots()
    for (name, size), (color, linestyle) in zip(sizes.items(), _LOOKS[::2], strict=False):
        axes.plot(rounded(list(size)), color=color, linestyle=linestyle, label=name)
    axes.set(xlabel="blocks passed", ylabel="standard deviation", ylim=(0, None))
    axes.legend(loc="upper left")
    return figure
