"""The pictures of the evaluation chapter that stand still.

Each function takes the numbers that the chapter has computed and returns a matplotlib figure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.kit.style import BLUE, ORANGE

WIDTH = 4.0  # inches: on a phone the writing is then of 10 pixels


def surprise(pieces: Sequence[str], bits: Mapping[str, Sequence[float]]) -> Figure:
    """What each token of a text costs, one row a token and one bar a model.

    Args:
        pieces: The tokens, from the first that is predicted.
        bits: What each cost, in bits, by the name of the model; two models.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.21 * len(pieces) + 0.9))
    rows = range(len(pieces))
    for (name, costs), color, shift in zip(bits.items(), (BLUE, ORANGE), (-0.2, 0.2), strict=True):
        places = [row + shift for row in rows]
        hundredths = [round(cost, 2) for cost in costs]  # the same on every machine
        axes.barh(places, hundredths, height=0.38, color=color, label=name)
    axes.set_yticks(rows, [piece.replace("▁", " ") for piece in pieces])
    axes.set(xlabel="cost of the token, bits", ylim=(len(pieces) - 0.4, -0.6))
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def contamination(perplexities: Mapping[str, tuple[float, float]]) -> Figure:
    """The perplexity of several models on an exam and on new tales of the same kind.

    Args:
        perplexities: On the exam and on the new tales, by the name of the model.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.62 * len(perplexities) + 1.0))
    rows = range(len(perplexities))
    for i, (name, color) in enumerate((("the exam", BLUE), ("new tales", ORANGE))):
        values = rounded([pair[i] for pair in perplexities.values()])
        places = [row + (i - 0.5) * 0.36 for row in rows]
        axes.barh(places, values, height=0.32, color=color, label=name)
        for place, value in zip(places, values, strict=True):
            axes.text(value + 0.02, place, f"{value:.2f}", va="center")
    axes.set_yticks(rows, list(perplexities))
    highest = max(max(pair) for pair in perplexities.values())
    axes.set(xlabel="perplexity", xlim=(1, highest + 0.14 * highest))
    axes.set_ylim(len(perplexities) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)
    figure.legend(loc="outside upper center", ncols=2)
    return figure
