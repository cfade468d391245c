"""The pictures of the fine-tuning chapter that stand still.

Each function takes the numbers that the chapter has computed and returns a matplotlib figure; the
drawing is here, so that the chapter's cells hold what they are about.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.kit.style import BLUE, GREEN, INK, ORANGE, VIOLET

_HATCHES = ("", "//", "..", "xx", "--")


def accuracy(shares: Mapping[str, Mapping[str, float | int]]) -> Figure:
    """Shares of right answers, a group of bars for each kind of question.

    Args:
        shares: By model, its share for each kind; all models have the same kinds.
    """
    kinds = list(next(iter(shares.values())))
    figure, axes = plt.subplots(figsize=(4, 3.4))
    height = 0.8 / len(shares)
    looks = zip((INK, BLUE, GREEN, ORANGE, VIOLET), _HATCHES, strict=True)
    for n, ((name, values), (color, hatch)) in enumerate(zip(shares.items(), looks, strict=False)):
        rows = [row + (n - (len(shares) - 1) / 2) * height for row in range(len(kinds))]
        widths = [rounded(100 * values[kind]) for kind in kinds]
        axes.barh(rows, widths, 0.9 * height, facecolor=color, alpha=0.85, label=name)
        if hatch:
            axes.barh(rows, widths, 0.9 * height, facecolor="none", edgecolor=INK, hatch=hatch)
        for row, width in zip(rows, widths, strict=True):
            axes.text(width, row, f" {width:.0f}", va="center")
    axes.set_yticks(range(len(kinds)), kinds)
    axes.invert_yaxis()
    axes.set(xlim=(0, 118), xlabel="right to the letter (%)")
    figure.legend(loc="outside upper center", ncols=len(shares))
    return figure


def overfitting(learned: Sequence[float | int], held_out: Sequence[float | int]) -> Figure:
    """The loss after each epoch, of what is learned and of what is not.

    Args:
        learned: On the examples themselves, in nats a learned token.
        held_out: On others.
    """
    figure, axes = plt.subplots(figsize=(4, 2.8))
    epochs = range(1, len(learned) + 1)
    lines = {
        "held-out dialogs": (held_out, ORANGE, "--", "s"),
        "the dialogs themselves": (learned, BLUE, "-", "o"),
    }
    for name, (values, color, line, mark) in lines.items():
        style = f"{mark}{line}"
        axes.plot(epochs, rounded(values), style, color=color, ms=5, label=name)
    axes.set(xlabel="times read", ylabel="loss (nats a token)", ylim=(0, None))
    axes.set_xticks(epochs)
    figure.legend(loc="outside upper center", ncols=2, columnspacing=1)
    return figure


def best_of(
    counts: Sequence[int],
    rewards: Sequence[float | int],
    lengths: Mapping[str, Sequence[float | int]],
) -> Figure:
    """What is got by choosing the best of N samples, against N.

    Args:
        counts: The values of N.
        rewards: The chosen sample's mean reward for each N.
        lengths: By what was chosen by, the mean length of the chosen samples for each N.
    """
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(4, 4.4), sharex=True)
    upper.plot(counts, rounded(rewards), color=BLUE, marker="o", ms=4)
    upper.set(ylabel="mean reward", ylim=(None, 1))
    looks = ((BLUE, "-", "o"), (ORANGE, "--", "s"), (GREEN, "-.", "^"))
    for (name, words), (color, line, mark) in zip(lengths.items(), looks, strict=False):
        look = {"color": color, "linestyle": line, "marker": mark, "ms": 4}
        lower.plot(counts, rounded(words), label=name, **look)
    lower.set(ylabel="words of the tale", ylim=(0, None))
    lower.legend(loc="lower left")
    lower.set_xscale("log", base=2)
    lower.set_xticks(counts, [str(n) for n in counts])
    lower.minorticks_off()
    lower.set(xlabel="samples to choose from, N")
    return figure
