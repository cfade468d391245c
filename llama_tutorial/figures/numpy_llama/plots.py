"""What the NumPy chapter shows of recorded speeds, and its pictures that stand still.

The speeds are those of ``data/decoding.json``, which ``benchmarks/decoding.py`` writes; the README
has the same table.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from llama_tutorial._util.shapes import Float
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.kit.style import BLUE, ORANGE

#: What the columns show: a name, and which part of the benchmark gives it as which ratio.
COLUMNS = {
    "of memory's limit": ("numpy", "share of the bandwidth's limit"),
    "over no cache": ("numpy", "times as fast as without a cache"),
    "growth to the end": ("numpy", "growth from position 16 to the end"),
    "eager": ("eager", "eager: times transformers' speed"),
    "compiled": ("compiled", "compiled: times transformers' speed"),
}
WAYS = {"anew": ("the whole text anew", ORANGE, "--"), "cached": ("with a cache", BLUE, "-")}


def speed(recorded: Mapping[str, Any], shape: str, threads: int, column: str) -> float | None:
    """One ratio; None where the benchmark did not run that part."""
    part, name = COLUMNS[column]
    for result in recorded["results"]:
        if (result["shape"], result["threads"], result["part"]) == (shape, threads, part):
            return result["ratios"][name]
    return None


def speed_rows(recorded: Mapping[str, Any]) -> list[list[str]]:
    """A row for each shape and number of threads: its name, then the ratio of every column."""
    runs = dict.fromkeys((result["shape"], result["threads"]) for result in recorded["results"])
    rows = []
    for shape, threads in runs:
        name = f"{shape}, {threads} thread{'s' if threads > 1 else ''}"
        ratios = [speed(recorded, shape, threads, column) for column in COLUMNS]
        rows.append([name, *(ratio_text(ratio) for ratio in ratios)])
    return rows


def ratio_text(ratio: float | None) -> str:
    """A ratio with two decimals, one from ten on; a dash for none."""
    if ratio is None:
        return "–"
    return f"{ratio:.1f}" if ratio >= 10 else f"{ratio:.2f}"


def course(
    recorded: Mapping[str, Any], shape: str, threads: int = 1
) -> dict[str, list[float | int]]:
    """The time of a token by the length of the text: ``tokens``, ``anew`` and ``cached``."""
    wanted = (shape, threads, "numpy")
    found = [r for r in recorded["results"] if (r["shape"], r["threads"], r["part"]) == wanted]
    return found[0]["positions"]


def costs(
    work: Mapping[str, Sequence[float | int]], times: Mapping[str, Sequence[float | int]]
) -> Figure:
    """The multiplications of one more token beside its time as recorded, for both ways.

    Args:
        work: Multiplications at each length of ``times``, ``anew`` and ``cached``.
        times: What :func:`course` gives.
    """
    figure, (above, below) = plt.subplots(2, 1, figsize=(4, 4.2), sharex=True)
    for way, (label, color, line) in WAYS.items():
        millions = rounded([count / 1e6 for count in work[way]])
        above.plot(times["tokens"], millions, line, color=color, label=label)
        below.plot(times["tokens"], times[way], line, color=color)
    above.set_ylabel("multiplications\n(millions)")
    below.set(ylabel="time, recorded\n(ratio)", xlabel="tokens in the text")
    for axes in (above, below):
        axes.set(xscale="log", yscale="log")
        axes.set_xticks([1, 4, 16, 64, 256], ["1", "4", "16", "64", "256"])
        axes.minorticks_off()
    above.set_yticks([10, 100, 1000], ["10", "100", "1,000"])
    below.set_yticks([1, 10, 100], ["1", "10", "100"])
    above.legend(loc="upper left")
    return figure


def leads(lead: Float[np.ndarray, " T"], moved: Float[np.ndarray, " T"]) -> Figure:
    """By how much each decision along a text was won, and how far rounding moves a logit.

    Args:
        lead: The likeliest token's logit over the next.
        moved: The largest change of any logit at that position.
    """
    figure, axes = plt.subplots(figsize=(4, 2.6))
    axes.plot(rounded(lead), "o", color=BLUE, markersize=3.5, label="lead of the likeliest")
    axes.plot(rounded(moved), "-", color=ORANGE, linewidth=1.4, label="moved by eight bits")
    axes.set(yscale="log", xlabel="position (tokens)", ylabel="logits")
    axes.set_yticks([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"])
    axes.minorticks_off()
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=2)
    return figure
