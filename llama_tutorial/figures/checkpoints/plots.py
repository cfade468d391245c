"""The pictures of the checkpoints chapter that stand still.

Each function takes the numbers that the chapter has computed and returns a matplotlib figure.
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

_LOOKS = ((BLUE, "-"), (ORANGE, "--"), (VIOLET, "-."), (GREEN, ":"))


PROGRAM, LIST, NUMBERS = "program", "list", "numbers"
_PARTS = {PROGRAM: ROSE, LIST: GREEN, NUMBERS: BLUE}


def files(kinds: Mapping[str, Sequence[tuple[str, str, int]]]) -> Figure:
    """What kinds of file consist of, one strip each, every part named; not to scale.

    Args:
        kinds: For each strip, by its title, the parts in their order: what a part is
            (``"program"``, ``"list"`` or ``"numbers"``), what it is called, and its bytes.
    """
    figure, panels = plt.subplots(len(kinds), 1, figsize=(4, 0.95 * len(kinds)), squeeze=False)
    for axes, (title, parts) in zip(panels[:, 0], kinds.items(), strict=True):
        axes.set_title(title, loc="left", pad=3)
        left = 0.0
        for what, name, size in parts:
            width = 1.15 if what == NUMBERS else 0.85
            _part(axes, left, width, _PARTS[what])
            axes.text(left + width / 2, 0.66, name, ha="center", va="center", fontweight="bold")
            axes.text(left + width / 2, 0.3, f"{size:,} bytes", ha="center", va="center")
            left += width
        axes.set(xlim=(-0.02, 2.02), ylim=(-0.03, 1.03))
        axes.axis("off")
    return figure


def _part(axes: Any, left: float | int, width: float | int, color: str) -> None:
    face: dict[str, Any] = {"facecolor": color, "alpha": 0.2}
    axes.add_patch(plt.Rectangle((left, 0), width, 1, **face))
    axes.add_patch(plt.Rectangle((left, 0), width, 1, fill=False, edgecolor=color, linewidth=1.2))


def two_ways(axes_of: Mapping[str, int | None], whole: Mapping[str, int]) -> Figure:
    """The same matrices in two files: each cut through, or each whole in one of the files.

    Args:
        axes_of: For each matrix, by its name, the axis along which it is cut; None if it is in
            both files.
        whole: The file, 0 or 1, in which each of them lies whole.
    """
    figure, panels = plt.subplots(1, 2, figsize=(4, 0.42 * len(axes_of) + 0.5))
    for axes, title in zip(panels, ("Meta", "Hugging Face"), strict=True):
        for row, (name, axis) in enumerate(axes_of.items()):
            if axes is panels[0]:
                _halves(axes, row, axis)
                axes.text(-0.15, row, name, ha="right", va="center")
            else:
                height = 0.2 if axis is None else 0.76
                _tile(axes, 0.0, row - height / 2, 1.9, height, whole[name])
        axes.set_title(title, loc="left")
        axes.set(xlim=(-0.1, 2.0), ylim=(len(axes_of) - 0.45, -0.55), xticks=[], yticks=[])
        axes.axis("off")
    return figure


def _halves(axes: Any, row: int, axis: int | None) -> None:
    for file in (0, 1):
        if axis == 0:
            _tile(axes, 0.0, row - 0.38 + 0.4 * file, 1.9, 0.36, file)
        elif axis == 1:
            _tile(axes, 0.97 * file, row - 0.38, 0.93, 0.76, file)
        else:
            _tile(axes, 0.97 * file, row - 0.1, 0.93, 0.2, file)


def _tile(
    axes: Any, x: float | int, y: float | int, width: float | int, height: float | int, file: int
) -> None:
    color, look = ((BLUE, ""), (ORANGE, "///"))[file]
    axes.add_patch(plt.Rectangle((x, y), width, height, facecolor=color, alpha=0.3))
    frame: dict[str, Any] = {"fill": False, "edgecolor": color, "linewidth": 1, "hatch": look}
    axes.add_patch(plt.Rectangle((x, y), width, height, **frame))


def misread(meant: Float[Tensor, " n"], read: Float[Tensor, " n"]) -> Figure:
    """What becomes of numbers whose bits are read as another type, both axes logarithmic.

    Args:
        meant: Sizes of numbers, rising.
        read: What is read.
    """
    figure, axes = plt.subplots(figsize=(4, 2.6))
    axes.plot(rounded(meant), rounded(meant), color=INK, linestyle=":", label="as it was meant")
    axes.plot(rounded(meant), rounded(read), color=ORANGE, linestyle="-", label="as float16")
    axes.set(xscale="log", yscale="log", ylim=(5e-4, 20))
    axes.set(xlabel="size of the number, in bfloat16", ylabel="size that is read")
    axes.legend(loc="upper left", bbox_to_anchor=(0, 1.2), ncols=2, borderaxespad=0)
    return figure


Curve = tuple[Sequence[float | int], Sequence[float | int]]
_ALL, _ALONE = 1, 2  # columns of a record's course


def memory(small: Mapping[str, Any], large: Mapping[str, Any]) -> Figure:
    """The course of the memory while checkpoints are loaded and a token is generated.

    Args:
        small: The record of a small checkpoint, loaded naively and by the package.
        large: The record of a large one in three forms.
    """
    panels = {
        f"two layers, {_gigabytes(small)}": {
            "naive": _curve(small, "meta-1, naive", _ALL),
            "mapped": _curve(small, "meta-1", _ALL),
        },
        f"7B, {_gigabytes(large)}": {
            "Meta, 1 file": _curve(large, "meta-1", _ALL),
            "Meta, 2 files": _curve(large, "meta-2", _ALONE),
            "Hugging Face": _curve(large, "huggingface", _ALONE),
        },
    }
    figure, places = plt.subplots(1, len(panels), figsize=(4, 2.8), sharey=True)
    top = max(max(memory) for curves in panels.values() for _, memory in curves.values())
    for axes, (title, curves) in zip(places, panels.items(), strict=True):
        axes.axhline(1, color=INK, linewidth=0.9, linestyle=(0, (2, 3)))
        for (name, (way, memory)), (color, line) in zip(curves.items(), _LOOKS, strict=False):
            axes.plot(rounded(way), rounded(memory), color=color, linestyle=line, label=name)
        axes.set(title=title, xlabel="share of the run", ylim=(0, 1.5 * top), xlim=(0, 1))
        axes.set(xticks=(0, 0.5, 1), yticks=(0, 1, 2))
        axes.legend(loc="upper left", borderaxespad=0.1)
    places[0].set_ylabel("memory / size of the file")
    return figure


def _gigabytes(record: Mapping[str, Any]) -> str:
    return f"{record['forms']['meta-1']['bytes'] / 1e9:.1f} GB"


def _curve(record: Mapping[str, Any], form: str, column: int) -> Curve:
    result = record["forms"][form]
    end = result["course"][-1][0]
    way = [moment[0] / end for moment in result["course"]]
    return way, [moment[column] / result["bytes"] for moment in result["course"]]
