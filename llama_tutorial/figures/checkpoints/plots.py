"""The pictures of the checkpoints chapter that stand still.

Each function takes the numbers that the chapter has computed and returns a matplotlib figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from torch import Tensor

from llama_tutorial._util.shapes import Float
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.kit.style import BLUE, GREEN, INK, ORANGE, VIOLET

_LOOKS = ((BLUE, "-"), (ORANGE, "--"), (VIOLET, "-."), (GREEN, ":"))


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
