"""The pictures of the model chapter that stand still.

Each function takes the numbers that the chapter has computed and returns a matplotlib figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from llama_tutorial.config import ModelConfig
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.kit.style import BLUE, GREEN, INK, ORANGE, PALETTE, ROSE, VIOLET

_HATCHES = ("", "//", "..", "\\\\", "xx")


def forward_map(config: ModelConfig) -> Figure:
    """The whole forward pass as boxes on the residual stream, with the shape after each.

    Args:
        config: Whose sizes stand beside the letters.
    """
    figure, axes = plt.subplots(figsize=(4.6, 5.4))
    axes.set(xlim=(0.6, 10.2), ylim=(-0.5, 12.7))
    axes.axis("off")
    D, V, F = config.dim, config.vocab_size, config.hidden_dim
    for low, high in ((0.2, 0.82), (1.58, 9.22), (9.98, 10.62), (11.38, 12.0)):
        axes.plot([3, 3], [low, high], color=BLUE, linewidth=2.6, linestyle="-")
    frame: dict[str, Any] = {"fill": False, "edgecolor": INK, "linewidth": 1, "linestyle": "--"}
    axes.add_patch(plt.Rectangle((0.9, 2.1), 9.2, 6.6, **frame))
    axes.text(9.9, 8.35, f"one layer of {config.n_layers}", ha="right", va="center")
    axes.text(3, -0.1, "tokens (B, T)", ha="center", va="center")
    axes.text(3, 12.35, "logits, in float32", ha="center", va="center")
    for y, name, color, shape in (
        (1.2, "tok_embeddings", BLUE, f"(B, T, D), D = {D:,}"),
        (9.6, "norm", GREEN, "(B, T, D)"),
        (11.0, "output", BLUE, f"(B, T, V), V = {V:,}"),
    ):
        _part(axes, 3, y, name, color)
        axes.text(4.95, y, shape, va="center")
    inside = f"{config.n_heads} heads\nof {config.head_dim}"
    _branch(axes, 2.7, ("attention_norm", "attention"), ORANGE, inside)
    _branch(axes, 5.6, ("ffn_norm", "feed_forward"), VIOLET, f"F =\n{F:,}")
    return figure


def _part(axes: Any, x: float | int, y: float | int, name: str, color: str) -> None:
    """A named box."""
    outline: dict[str, Any] = {"fill": False, "edgecolor": color, "linewidth": 1.8}
    axes.add_patch(plt.Rectangle((x - 1.65, y - 0.38), 3.3, 0.76, **outline))
    axes.text(x, y, name, ha="center", va="center")


def _branch(axes: Any, y: float | int, names: tuple[str, str], color: str, inside: str) -> None:
    """A sub-layer beside the stream: out through its norm, and back in by an addition."""
    right, top = 6.5, y + 2.5
    line = {"color": color, "linewidth": 1.6, "linestyle": "-"}
    axes.plot([3, right, right], [y, y, y + 0.32], **line)
    axes.plot([right, right], [y + 1.08, y + 1.32], **line)
    axes.plot([right, right, 3.3], [y + 2.08, top, top], **line)
    axes.plot([3.42], [top], marker="<", color=color, markersize=5)
    axes.plot([3], [top], "o", color=BLUE, fillstyle="none", markersize=12, markeredgewidth=1.6)
    axes.text(2.35, top, "add", ha="right", va="center")
    _part(axes, right, y + 0.7, names[0], GREEN)
    _part(axes, right, y + 1.7, names[1], color)
    axes.text(8.35, y + 1.7, inside, va="center")


def stream_growth(sizes: Mapping[str, Sequence[float]]) -> Figure:
    """The size of the residual stream after each layer, one line an initialisation.

    Args:
        sizes: Root mean squares, from the embedding on.
    """
    figure, axes = plt.subplots()
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
    figure, axes = plt.subplots()
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
    figure, axes = plt.subplots(figsize=(4.6, 2.9))
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
