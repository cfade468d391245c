"""The live figure of the quantization chapter: a row of weights, its levels, and the text.

The row's weights are real ones, rounded to three digits as all data of a figure; with them Python
and ``levels.js`` compute the same in float64. The text beside it is written with all matrices
rounded, by Python for the figure's own beginning, and by ``browser/quantization.js`` for the
reader's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np

from llama_tutorial._util.shapes import Float
from llama_tutorial.figures.kit.controls import Stops, Text
from llama_tutorial.figures.kit.live import WITHOUT_SCRIPT, LiveFigure
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.quantization.study import BITS, GROUPS, Group, key

COUNT = 40
"""New tokens of each text."""


def levels(
    matrix: Float[np.ndarray, "rows columns"],
    row: int,
    first: int,
    study: Mapping[str, Mapping[str, Any]],
    beginning: str,
    trained: str,
) -> LiveFigure:
    """64 neighbours in a row of a matrix, and what becomes of them.

    Args:
        matrix: The matrix.
        row: The row.
        first: The first of the 64; a multiple of 64.
        study: What :func:`~llama_tutorial.figures.quantization.study.study` gives, with texts.
        beginning: What all texts begin with.
        trained: How the model goes on with it as it was trained.
    """
    data = {
        "weights": rounded(matrix[row, first : first + 64]),
        "row": rounded(_largest(matrix[row])),
        "matrix": rounded(_largest(matrix)),
        "first": first,
        "beginning": beginning,
        "trained": trained,
        "count": COUNT,
        "measured": {
            name: rounded([one["width"], one["perplexity"], one["agreement"] * 100])
            for name, one in study.items()
        },
        "texts": {name: one["text"] for name, one in study.items()},
    }

    def numbers(bits: int, group: Group, **_: str) -> dict[str, Any]:
        width, perplexity, _agreement = data["measured"][key(bits, group)]
        return {
            **level_numbers(data["weights"], data["row"], data["matrix"], bits, group),
            "width": width,
            "perplexity": perplexity,
        }

    start = key(4, "matrix")
    return LiveFigure(
        "quantization/levels",
        data=data,
        controls=[
            Stops("bits", 4, values=BITS, label="bits a weight", unit=" bits"),
            Stops("group", "matrix", values=GROUPS, label="weights that share a scale"),
            Text("beginning", beginning, label="a beginning", max_length=400),
        ],
        numbers=numbers,
        readout="{width} bits a weight, scales included. {zeros} of these 64 weights become 0; the "
        "error is {error} % of their size. Perplexity on unseen tales: {perplexity}.",
        alt="64 weights of one row as dots, over horizontal lines, the levels that they may have. "
        "With {bits} and a scale shared by: {group}, {used} levels are used, {zeros} weights "
        "become 0, and the error is {error} % of their size.",
        caption="Blue dots are weights as trained; each moves to the nearest line, where its "
        "orange square is. <b>Turn the bits down</b> to 2, then <b>drag the dashed edge</b> of the "
        "first group to the left: each group has lines of its own. Below, the model’s likeliest "
        "text with all matrices of its blocks rounded in this way, <mark>marked</mark> from where "
        "it leaves the trained model’s. <b>Type a beginning</b> and press Enter: the page rounds "
        "the weights and writes.",
        llama="tales",
        still=f'<p class="lt-tale"><b>{escape(beginning)}</b>{escape(study[start]["text"])}</p>'
        f'<p class="lt-still"><i>{WITHOUT_SCRIPT}</i></p>',
        checks=[
            {"bits": bits, "group": group} for bits, group in ((2, 16), (3, 32), (8, 64), (2, 32))
        ],
    )


def level_numbers(
    weights: list[float], row: float, matrix: float, bits: int, group: Group
) -> dict[str, Any]:
    """What becomes of some weights, in float64.

    Args:
        weights: The neighbours.
        row: The largest weight of their row, with its sign.
        matrix: That of their matrix.
        bits: Of an integer.
        group: What shares a scale.

    Returns:
        ``zeros``, how many become 0; ``used``, how many different values are left; ``error``, the
        root of the mean squared error, in percent of that of the weights.
    """
    size = group if isinstance(group, int) else len(weights)
    middle = 2 ** (bits - 1)
    after: list[float] = []
    for at in range(0, len(weights), size):
        own = weights[at : at + size]
        largest = {"matrix": matrix, "row": row}.get(str(group), _largest(np.array(own)))
        step = largest / -middle
        for weight in own:
            place = math.floor(weight / step + middle + 0.5)
            after.append((min(max(place, 0), 2 * middle - 1) - middle) * step)
    squares = sum((one - other) ** 2 for one, other in zip(after, weights, strict=True))
    return {
        "zeros": sum(value == 0 for value in after),
        "used": len(set(after)),
        "error": 100 * math.sqrt(squares / sum(weight**2 for weight in weights)),
    }


def _largest(weights: np.ndarray) -> float:
    """The weight farthest from 0, with its sign; of two the negative one."""
    low, high = float(weights.min()), float(weights.max())
    return low if -low >= high else high
