"""The live figures of the RoPE chapter: the hands that turn, and the score that does not notice.

What Python computes here comes from :mod:`llama_tutorial.rope`; the scripts ``clocks.js`` and
``score.js`` compute the same in the page, and the browser tests hold them equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from llama_tutorial._util.shapes import Float
from llama_tutorial.figures.kit.controls import Select, Slider, Stops
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.rope import apply_rope, rope_table

N_HANDS = 8
VISIBLE = 5  # degrees; less is hard to see on a small dial
POSITIONS = [*range(100), *range(100, 1000, 10), *range(1000, 4001, 100)]
WIDEST = 100  # the score's largest distance, in tokens


def clocks() -> LiveFigure:
    """Eight pairs as the hands of eight clocks, at a position that the reader chooses."""
    return LiveFigure(
        "rope/clocks",
        data={"hands": N_HANDS, "visible": VISIBLE},
        controls=[
            Stops("position", 0, POSITIONS, label="position m"),
            Select(
                "base",
                10000,
                label="base θ",
                options={"10,000 (Llama 2)": 10000, "1,000,000 (Code Llama)": 1000000},
            ),
        ],
        numbers=clock_numbers,
        readout="Position {position}. Hands that have moved by 5° or more: {moved} of 8; that "
        "have come full circle: {completed}.",
        alt="Eight dials at position {position}, one for each pair. Their angles in degrees, from "
        "the fastest: {degrees}. Below them the 16 features of the vector as bars.",
        caption="A vector of 16 features is 8 pairs, and each pair is the hand of a clock that "
        "starts to the right and turns against the usual sense. <b>Move the position</b> and watch "
        "which hands go round, which creep, and which stand still. The bars are the same vector, "
        "feature by feature: filled for the first of a pair, hollow for the second.",
        checks=[{"position": 10}, {"position": 1000}, {"position": 4000, "base": 1000000}],
    )


def clock_numbers(position: int, base: int) -> dict[str, Any]:
    """Angle and turns of each hand, and how many have moved and gone full circle."""
    cos, sin = rope_table(2 * N_HANDS, position + 1, base, dtype=torch.float64)
    degrees = torch.atan2(sin[-1], cos[-1]).rad2deg().remainder(360)
    turns = [position * base ** (-j / N_HANDS) / math.tau for j in range(N_HANDS)]
    return {
        "degrees": degrees.tolist(),
        "turns": turns,
        "moved": sum(turn >= VISIBLE / 360 for turn in turns),
        "completed": sum(turn >= 1 for turn in turns),
    }


def score(query: Sequence[float], key: Sequence[float], *, trained: int) -> LiveFigure:
    """The score of one query and one key at two positions that the reader moves.

    Args:
        query: A query before it is turned.
        key: A key before it is turned.
        trained: Length of the training texts, whose distances are shaded.
    """
    q, k = rounded(query), rounded(key)

    def numbers(m: int, n: int, both: int) -> dict[str, Any]:
        return score_numbers(q, k, m + both, min(n, m) + both)

    return LiveFigure(
        "rope/score",
        data={"query": q, "key": k, "widest": WIDEST, "trained": trained},
        controls=[
            Slider("m", 0, WIDEST, 20, label="query at m"),
            Slider("n", 0, WIDEST, 5, label="key at n"),
            Slider("both", 0, 2000, 0, 10, label="move both by"),
        ],
        numbers=numbers,
        readout="Query at {query}, key at {key}: distance {distance}, score {score}.",
        alt="Dials of four pairs with the turned query and the turned key, and a curve of the "
        "score over the distance. Query at {query}, key at {key}: distance {distance}, score "
        "{score}, of which the pairs give {parts}.",
        caption="Four pairs of one head of the little model; the query is blue and solid, the key "
        "orange and dashed, and the number under a dial is what the pair adds to the score. The "
        "curve is the score at every distance, shaded where training has been. <b>Move the key</b> "
        "and find the distance that the head looks for. Then <b>move both</b>: every hand turns, "
        "and the score stays where it is.",
        checks=[
            {"m": 9, "n": 0},
            {"m": 72, "n": 0},
            {"m": 9, "n": 0, "both": 2000},
            {"m": 100, "n": 37, "both": 370},
        ],
    )


def score_numbers(q: Sequence[float], k: Sequence[float], at: int, key_at: int) -> dict[str, Any]:
    """What each pair adds to the score of a query at one position and a key at another."""
    turned_q, turned_k = _turned(q, at), _turned(k, key_at)
    parts = (turned_q * turned_k).unflatten(-1, (-1, 2)).sum(-1) / math.sqrt(len(q))  # (half,)
    return {
        "query": at,
        "key": key_at,
        "distance": at - key_at,
        "parts": parts.tolist(),
        "score": parts.sum().item(),
    }


def _turned(x: Sequence[float], position: int) -> Float[Tensor, " h"]:
    cos, sin = rope_table(len(x), position + 1, dtype=torch.float64)
    return apply_rope(torch.tensor(x, dtype=torch.float64)[None], cos[-1:], sin[-1:])[0]


def score_curve(q: Sequence[float], k: Sequence[float]) -> list[float]:
    """The score at every distance from 0 to ``WIDEST``."""
    return [score_numbers(q, k, distance, 0)["score"] for distance in range(WIDEST + 1)]
