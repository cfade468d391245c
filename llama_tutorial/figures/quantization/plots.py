"""The pictures of the quantization chapter that stand still."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.kit.style import BLUE, GREEN, INK, ORANGE, ROSE, VIOLET
from llama_tutorial.figures.quantization.study import GROUPS

WIDTH = 4.0  # inches: on a phone the writing is then of 10 pixels
_LINES = dict(
    zip(
        map(str, GROUPS),
        (
            (ROSE, ":", "D", "one scale a matrix"),
            (ORANGE, "--", "s", "one a row"),
            (VIOLET, "-.", "v", "one for 64"),
            (BLUE, "-", "o", "one for 32"),
            (GREEN, (0, (5, 1, 1, 1)), "^", "one for 16"),
        ),
        strict=True,
    )
)


def laptop(gigabytes: Mapping[str, float | int], memory: float | int) -> Figure:
    """What a model's weights take, beside the memory of a machine.

    Args:
        gigabytes: By the name of the type.
        memory: Gigabytes that the machine has.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 2.1))
    for row, size in enumerate(gigabytes.values()):
        fits = size < memory
        axes.barh(row, rounded(size), 0.62, color=BLUE if fits else ORANGE, alpha=0.85)
        close = memory - 2 < size < memory  # the number would stand on the line
        axes.text((memory if close else size) + 0.4, row, f"{size:.1f}", va="center")
    axes.axvline(memory, color=INK, linestyle="--", linewidth=1.4)
    axes.set_yticks(range(len(gigabytes)), list(gigabytes))
    axes.invert_yaxis()
    axes.set(xlabel="GB of weights; dashed: the laptop", xlim=(0, 31))
    return figure


def block(group: int = 32) -> Figure:
    """A group of 4-bit weights as bytes: which half of a byte holds which weight.

    Args:
        group: Weights of the group.
    """
    half = group // 2
    figure, axes = plt.subplots(figsize=(WIDTH, 1.7))
    boxes = {"scale": (0.0, 2.6), "0": (3.2, 1.7), "1": (4.9, 1.7), f"{half - 1}": (8.0, 1.7)}
    for name, (left, wide) in boxes.items():
        if name == "scale":
            axes.add_patch(Rectangle((left, 0), wide, 1, fc="none", ec=GREEN, lw=1.5))
            axes.text(left + wide / 2, 0.5, "scale\nfloat16", ha="center", va="center")
            axes.text(left + wide / 2, -0.3, "2 bytes", ha="center", va="center")
            continue
        number = int(name)
        for part, (place, color) in enumerate(((number + half, ORANGE), (number, BLUE))):
            at = left + part * wide / 2
            axes.add_patch(Rectangle((at, 0), wide / 2, 1, fc=color, alpha=0.22))
            axes.text(at + wide / 4, 0.5, f"{place}", ha="center", va="center")
        axes.add_patch(Rectangle((left, 0), wide, 1, fc="none", ec=INK, lw=1.5))
        axes.text(left + wide / 2, -0.3, f"byte {number}", ha="center", va="center")
    axes.text(7.3, 0.5, "…", ha="center", va="center")
    axes.text(4.0, 1.2, "high half", ha="right", va="center", color=ORANGE)
    axes.text(4.1, 1.2, "low half", ha="left", va="center", color=BLUE)
    axes.set(xlim=(-0.1, 9.9), ylim=(-0.6, 1.5))
    axes.axis("off")
    return figure


def courses(study: Mapping[str, Mapping[str, Any]]) -> Figure:
    """KL divergence over the bits that a weight takes, a line for each group.

    Args:
        study: What :func:`~llama_tutorial.figures.quantization.study.study` gives.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 3.4))
    for group, (color, line, mark, label) in _LINES.items():
        own = [one for one in study.values() if str(one["group"]) == group]
        widths = rounded([one["width"] for one in own])
        axes.plot(
            widths, rounded([one["divergence"] for one in own]), marker=mark, linestyle=line,
            color=color, label=label, markersize=4.5,
        )  # fmt: skip
    axes.set(yscale="log", xlabel="bits a weight, scales included", ylabel="KL divergence (nats)")
    axes.set_yticks([1e-5, 1e-3, 0.1, 10], ["0.00001", "0.001", "0.1", "10"])
    axes.minorticks_off()
    axes.set_xticks([2, 3, 4, 5, 6, 7, 8, 9])
    axes.grid(alpha=0.25)
    axes.legend()
    return figure


def shares(costs: Mapping[str, float | int]) -> Figure:
    """What it costs to round one kind of matrix, or one layer, and nothing else.

    Args:
        costs: KL divergences in nats, by name.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.5 + 0.21 * len(costs)))
    for row, (name, cost) in enumerate(costs.items()):
        color, hatch = (ORANGE, "//") if name.startswith("layer") else (BLUE, "")
        axes.barh(row, rounded(cost), 0.65, color=color, hatch=hatch, edgecolor=INK)
    axes.set_yticks(range(len(costs)), list(costs))
    axes.invert_yaxis()
    axes.set(xlabel="KL divergence (nats)")
    return figure
