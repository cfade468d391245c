"""The pictures of the checkpoints chapter that stand still, and the live ones as Python draws them.

Each function takes the numbers that the chapter has computed and returns a matplotlib figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from llama_tutorial._util.shapes import Float
from llama_tutorial.figures.numbers import rounded
from llama_tutorial.figures.style import BLUE, GREEN, INK, ORANGE, PALETTE, VIOLET

_LOOKS = ((BLUE, "-"), (ORANGE, "--"), (VIOLET, "-."), (GREEN, ":"))


def shards(cut: int, count: int, places: Sequence[int], size: int = 8) -> Figure:
    """An 8 × 8 matrix as the files hold it, and as it is after they were joined.

    Args:
        cut: The axis along which it was cut.
        count: Number of files.
        places: For each cell of the result, which cell of the matrix it holds.
        size: Rows and columns.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(4.6, 2.6))
    for cell in range(size * size):
        row, column = divmod(cell, size)
        file = (row, column)[cut] * count // size
        shift = 0.35 * file
        x, y = column + shift * (cut == 1), row + shift * (cut == 0)
        _cell(left, x, y, f"{row}{column}", PALETTE[file % 5], filled=True)
        held_row, held_column = divmod(places[cell], size)
        held_file = (held_row, held_column)[cut] * count // size
        name, color = f"{held_row}{held_column}", PALETTE[held_file % 5]
        _cell(right, column, row, name, color, filled=places[cell] == cell)
    for axes, title in ((left, f"{count} files"), (right, "joined, 8 × 8")):
        axes.set(xlim=(-0.2, size + 2.7), ylim=(size + 2.7, -0.2), aspect="equal", title=title)
        axes.axis("off")
    return figure


def _cell(axes: Any, x: float | int, y: float | int, name: str, color: str, filled: bool) -> None:
    look = {"edgecolor": color, "linewidth": 0.8, "linestyle": "-" if filled else ":"}
    box = {"xy": (x + 0.06, y + 0.06), "width": 0.88, "height": 0.88}
    axes.add_patch(plt.Rectangle(**box, facecolor="none", **look))
    if filled:
        axes.add_patch(plt.Rectangle(**box, facecolor=color, alpha=0.3, linewidth=0))
    axes.text(x + 0.5, y + 0.52, name, ha="center", va="center", fontsize=6.5)


def how_many_tokens(data: Mapping[str, Any], mistake: str, tokens: int) -> Figure:
    """Differences of the logits over the positions; those that a test sees are full.

    Args:
        data: As :func:`llama_tutorial.figures.checkpoints.token_data` gives it.
        mistake: Whose differences.
        tokens: How many positions the test looks at.
    """
    figure, axes = plt.subplots()
    values = data["differences"][mistake]
    seen, unseen = range(tokens), range(tokens, len(values))
    axes.axvspan(-0.5, tokens - 0.5, color=INK, alpha=0.12, linewidth=0)
    axes.plot(seen, values[:tokens], "o", color=ORANGE, markersize=5)
    axes.plot(unseen, values[tokens:], "o", color=INK, markersize=4, markerfacecolor="none")
    axes.set(xlabel="position (tokens)", ylabel="max |difference| of the logits")
    axes.set(xlim=(-0.8, len(values) - 0.2), ylim=(-0.5, 1.08 * max(values)))
    axes.set_title(mistake)
    return figure


def misread(meant: Float[Tensor, " n"], read: Float[Tensor, " n"]) -> Figure:
    """What becomes of numbers whose bits are read as another type, both axes logarithmic.

    Args:
        meant: Sizes of numbers, rising.
        read: What is read.
    """
    figure, axes = plt.subplots()
    axes.plot(rounded(meant), rounded(meant), color=INK, linestyle=":", label="as it was meant")
    axes.plot(rounded(meant), rounded(read), color=ORANGE, linestyle="-", label="as float16")
    axes.set(xscale="log", yscale="log", ylim=(5e-4, 20))
    axes.set(xlabel="size of the number, in bfloat16", ylabel="size that is read")
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.2), ncols=2, borderaxespad=0)
    return figure


Curve = tuple[Sequence[float | int], Sequence[float | int]]


def memory(panels: Mapping[str, Mapping[str, Curve]]) -> Figure:
    """The course of the memory while checkpoints are loaded and a token is generated.

    Args:
        panels: For each panel's title the curves by name: shares of the way, and memory as a
            multiple of the file.
    """
    figure, places = plt.subplots(1, len(panels), figsize=(4.6, 2.9), sharey=True, squeeze=False)
    top = max(max(memory) for curves in panels.values() for _, memory in curves.values())
    for axes, (title, curves) in zip(places[0], panels.items(), strict=True):
        axes.axhline(1, color=INK, linewidth=0.9, linestyle=(0, (2, 3)))
        for (name, (way, memory)), (color, line) in zip(curves.items(), _LOOKS, strict=False):
            axes.plot(rounded(way), rounded(memory), color=color, linestyle=line, label=name)
        axes.set(title=title, xlabel="share of the run", ylim=(0, 1.5 * top), xlim=(0, 1))
        axes.set(xticks=(0, 0.5, 1), yticks=(0, 1, 2))
        axes.legend(loc="upper left", fontsize="small", borderaxespad=0.1)
    places[0][0].set_ylabel("memory / size of the file")
    return figure
