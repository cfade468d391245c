"""The pictures of the model chapter that stand still, and the live ones as Python draws them.

Each function takes the numbers that the chapter has computed and returns a matplotlib figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from llama_tutorial.config import ModelConfig
from llama_tutorial.figures.numbers import rounded
from llama_tutorial.figures.style import BLUE, GREEN, INK, ORANGE, PALETTE, ROSE, VIOLET

# The stations of the walk in one layer.
IN_A_LAYER = ("norm", "attention", "attention added", "second norm", "SwiGLU", "SwiGLU added")

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
    frame = {"fill": False, "edgecolor": INK, "linewidth": 1, "linestyle": "--"}
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
    outline = {"fill": False, "edgecolor": color, "linewidth": 1.8}
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
        style = {"marker": look[0], "linestyle": look[1:], "color": color, "markersize": 4}
        axes.plot(rounded(values), label=name, **style)
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
            style = {"facecolor": "none", "edgecolor": color, "linewidth": 1.2}
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


def walk(data: Mapping[str, Any], stop: int, station: str, token: int, head: int) -> Figure:
    """A station of the walk: what goes in, what comes out, and the guesses read out there."""
    additions = additions_before(stop, data["layers"])
    figure, axes = plt.subplot_mosaic("ab;cc", figsize=(4.6, 4.1), height_ratios=[3, 1.2])
    for name, panel in zip("ab", panels(data, stop, head), strict=True):
        if panel is None:
            _words(axes[name], data, stop)
        else:
            _heat(axes[name], *panel, token)
    axes["a"].set_yticks([t + 0.5 for t in range(len(data["pieces"]))])
    axes["a"].set_yticklabels(data["pieces"], fontsize=7.5)
    words = data["guess"][additions][token][::-1]
    axes["c"].barh(words, data["probability"][additions][token][::-1], color=BLUE, height=0.6)
    axes["c"].set(xlim=(0, 1), xlabel=f"probability, read out at: {station}")
    return figure


def additions_before(stop: int, n_layers: int) -> int:
    """How many sub-layers have been added to the stream at a station, that one included."""
    if stop == 0:
        return 0
    layer, place = divmod(stop - 1, len(IN_A_LAYER))
    return min(2 * layer + (place >= 2) + (place >= 5), 2 * n_layers)


def panels(data: Mapping[str, Any], stop: int, head: int) -> list[tuple[str, Any, int] | None]:
    """What goes into a station and what comes out: title, rows of numbers, and range of colour.

    None where words stand instead: the ids that go in, the guesses that come out.
    """
    L = data["layers"]
    layer, place = divmod(max(stop - 1, 0), len(IN_A_LAYER))
    sublayer = 2 * layer + place // 3

    def panel(title: str, kind: str, place: int) -> tuple[str, Any, int]:
        return title, data[kind][place], data["ranges"][kind][place]

    if stop == 0:
        return [None, panel("rows of the table", "stream", 0)]
    if stop == 6 * L + 1:
        return [panel("stream", "stream", 2 * L), panel("normed", "normed", 2 * L)]
    if stop == 6 * L + 2:
        return [panel("normed", "normed", 2 * L), None]
    x, n = panel("stream", "stream", sublayer), panel("normed", "normed", sublayer)
    y, after = (
        panel("to be added", "added", sublayer),
        panel("stream after", "stream", sublayer + 1),
    )
    weights = (f"weights, head {head}", data["weights"][layer][head - 1], 1)
    inside = weights if place < 3 else panel("gated activations", "hidden", layer)
    return [[x, n], [inside, y], [(*y[:2], after[2]), after]][place % 3]


def _heat(axes: Any, title: str, rows: Any, top: int, token: int) -> None:
    width = max(map(len, rows))
    values = [[*row, *[0] * (width - len(row))] for row in rows]
    shares = [[max(-1.0, min(1.0, value / top)) for value in row] for row in values]
    axes.pcolormesh(rounded(shares), cmap="lt-diverging", vmin=-1, vmax=1)
    outline = {"fill": False, "edgecolor": ROSE, "linewidth": 1.2}
    axes.add_patch(plt.Rectangle((0, token), width, 1, **outline))
    axes.set(title=title, ylim=(len(rows), 0), xticks=[], yticks=[])


def _words(axes: Any, data: Mapping[str, Any], stop: int) -> None:
    """The ids that go in at the first station, or the guesses that come out at the last."""
    words = data["guess"][-1] if stop else [[str(i)] for i in data["ids"]]
    for t, (word, *_) in enumerate(words):
        axes.text(0.5, t + 0.5, word, ha="center", va="center", fontsize=7.5)
    axes.set(title="best guess for the next" if stop else "token ids")
    axes.set(xlim=(0, 1), ylim=(len(words), 0), xticks=[], yticks=[])
    axes.spines[:].set_visible(False)


def memory(numbers: Mapping[str, Any], cards: Mapping[str, int]) -> Figure:
    """A stacked bar of bytes beside the sizes of some cards."""
    figure, axes = plt.subplots(figsize=(4.6, 2.2))
    left = 0.0
    for part, color in (("weights", BLUE), ("cache", GREEN), ("training", ORANGE)):
        size = rounded(numbers[part])
        axes.barh(0, size, left=left, color=color, height=0.5, label=part)
        left += size
    for name, size in cards.items():
        axes.barh(-1 - list(cards).index(name), size, color="none", edgecolor=INK, lw=1, height=0.5)
    axes.set(yticks=[0, -1, -2, -3], yticklabels=["needed", *cards], xlabel="gigabytes")
    axes.set(xlim=(0, max(90.0, 1.05 * left)))
    axes.legend(loc="lower right")
    return figure
