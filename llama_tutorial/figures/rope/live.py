"""The live figures of the RoPE chapter: a sentence that turns, hands that turn, and a score.

What Python computes here comes from :mod:`llama_tutorial.rope`; the scripts ``sentence.js``,
``clocks.js`` and ``score.js`` compute the same in the page, and the browser tests hold them equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from llama_tutorial._util.shapes import Float
from llama_tutorial.figures.kit.controls import Select, Slider, Stops
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.rope import apply_rope, rope_table

WORDS = ("the", "cat", "saw", "the", "red", "ball")
FRONT = 60  # the most words that can be put in front of the sentence
SPEED = 18  # degrees by which a word's arrows turn from one position to the next
# Length and direction, in degrees, of each word's two features before anything is done to them.
QUERIES = ((0.8, 100), (0.9, 30), (1.0, 150), (0.8, 100), (0.75, 200), (1.0, 60))
KEYS = ((0.6, 10), (1.0, 80), (0.8, 250), (0.6, 10), (1.0, 330), (0.9, 120))

N_HANDS = 8
VISIBLE = 5  # degrees; less is hard to see on a small dial
POSITIONS = [*range(100), *range(100, 1000, 10), *range(1000, 4001, 100)]
WIDEST = 100  # the score's largest distance, in tokens


def sentence() -> LiveFigure:
    """Six words with a query and a key each, turned by their positions or added to a table's rows.

    The arrows are made up, one pair of features a word; the same word has the same two.
    """
    data = {
        "words": WORDS,
        "queries": _arrows(QUERIES),
        "keys": _arrows(KEYS),
        "table": position_rows(),
        "speed": SPEED,
        "front": FRONT,
    }
    last = len(WORDS) - 1
    return LiveFigure(
        "rope/sentence",
        data=data,
        controls=[
            Slider("front", 0, FRONT, 0, label="words put in front"),
            Select(
                "way",
                "turn",
                label="a position is",
                options={"an angle to turn by": "turn", "a vector to add": "add"},
            ),
            Slider("query", 0, last, last, label="query: word"),
            Slider("key", 0, last, 1, label="key: word"),
        ],
        numbers=sentence_numbers,
        readout="Query at position {m}, key at position {n}: angle between them {angle}°, "
        "score {score}.",
        alt="Six words, each with the arrow of its query and the arrow of its key, and the chosen "
        "two on one dial: query at position {m}, key at {n}, {angle} degrees apart, score "
        "{score}. Beside it the score for any number of words in front.",
        caption="The arrows of one pair of features; q, blue and solid, is a word's query, k, "
        "orange and dashed, its key. They are made up, but each position turns them by 18°, so "
        "the two words <i>the</i> differ. <b>Put words in front</b> of the sentence, or drag the "
        "dot of the curve: every arrow turns, and the angle between any two stays. Then let a "
        "position be <b>a vector to add</b>. Click a word to choose it.",
        checks=[
            {"front": 7},
            {"front": 60, "query": 4, "key": 0},
            {"front": 7, "way": "add"},
            {"front": 60, "way": "add", "query": 3, "key": 3},
        ],
    )


def _arrows(polar: Sequence[tuple[float, int]]) -> list[list[float]]:
    """Two features for each length and direction."""
    return rounded(
        [[r * math.cos(math.radians(d)), r * math.sin(math.radians(d))] for r, d in polar]
    )


@cache
def position_rows() -> list[list[float]]:
    """A row of two random numbers for every position that a word of the sentence can have."""
    generator = torch.Generator().manual_seed(4)
    size = (FRONT + len(WORDS), 2)
    return rounded((0.25 * torch.randn(size, generator=generator, dtype=torch.float64)).tolist())


def sentence_numbers(front: int, way: str, query: int, key: int) -> dict[str, Any]:
    """Score of a word's query and a word's key, and the angle from the key to the query.

    Args:
        front: How many words stand before the sentence.
        way: ``"turn"``, by the positions, or ``"add"``, rows of a table.
        query: Number of the word whose query it is.
        key: Number of the word whose key it is; no later than the query's.
    """
    key = min(key, query)
    m, n = query + front, key + front
    q, k = _placed(_arrows(QUERIES)[query], m, way), _placed(_arrows(KEYS)[key], n, way)
    angle = math.degrees(math.atan2(q[1], q[0]) - math.atan2(k[1], k[0])) % 360
    return {
        "m": m,
        "n": n,
        "angle": min(angle, 360 - angle),
        "score": q[0] * k[0] + q[1] * k[1],
    }


def _placed(arrow: Sequence[float], position: int, way: str) -> tuple[float, float]:
    a, b = arrow
    if way == "add":
        row = position_rows()[position]
        return a + row[0], b + row[1]
    angle = math.radians(SPEED * position)
    cos, sin = math.cos(angle), math.sin(angle)
    return a * cos - b * sin, a * sin + b * cos


def clocks() -> LiveFigure:
    """Eight pairs as the hands of eight clocks, at a position that the reader chooses."""
    return LiveFigure(
        "rope/clocks",
        data={"hands": N_HANDS, "visible": VISIBLE},
        controls=[
            Stops("position", 3, POSITIONS, label="position m"),
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
        "starts at three o'clock and turns counterclockwise. <b>Move the position, or drag a "
        "hand</b>, and watch which hands go round, which creep and which stand still. The bars are "
        "the same vector, feature by feature: filled for the first of a pair, hollow for the "
        "second.",
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
    """The score of one query and one key at two positions that the reader moves, and its softmax.

    Args:
        query: A query before it is turned.
        key: A key before it is turned; every position has the same.
        trained: Length of the training texts, whose distances are shaded.
    """
    q, k = rounded(query), rounded(key)

    def numbers(m: int, n: int, both: int) -> dict[str, Any]:
        return score_numbers(q, k, m, min(n, m), both)

    return LiveFigure(
        "rope/score",
        data={"query": q, "key": k, "widest": WIDEST, "trained": trained},
        controls=[
            Slider("m", 0, WIDEST, 20, label="query at m"),
            Slider("n", 0, WIDEST, 17, label="key at n"),
            Slider("both", 0, 2000, 0, 10, label="move both by"),
        ],
        numbers=numbers,
        readout="Query at {query}, key at {key}: distance {distance}, score {score}, attention "
        "weight {percent} %.",
        alt="Dials of four pairs with the turned query and the turned key; below them the score at "
        "every distance, and the softmax of the scores of all keys up to the query. Query at "
        "{query}, key at {key}: distance {distance}, score {score}, of which the pairs give "
        "{parts}; attention weight {percent} percent.",
        caption="One head of your GPT. Top: its four pairs; the query is blue and solid, the key "
        "orange and dashed, and the number under a dial is what the pair adds to the score. "
        "Middle: the score at every distance, shaded where training has been. Bottom: the softmax "
        "of these scores, if all keys from 0 to the query are alike. <b>Drag the dot</b> to the "
        "distance that the head looks for. Then <b>move both</b>: every hand turns, and no number "
        "under a dial changes. Then put the <b>query at 100</b>.",
        checks=[
            {"m": 9, "n": 0},
            {"m": 72, "n": 0},
            {"m": 9, "n": 0, "both": 2000},
            {"m": 100, "n": 37, "both": 370},
        ],
    )


def score_numbers(
    q: Sequence[float], k: Sequence[float], m: int, n: int, both: int = 0
) -> dict[str, Any]:
    """What each pair adds to the score of a query and a key, and the weight that attention gives.

    Args:
        q: The query, not yet turned.
        k: The key that all positions have, not yet turned.
        m: Where the query is.
        n: Where the key is, no later.
        both: How far the two, and all keys between, are moved.
    """
    parts = _parts(q, k, m + both, n + both)
    curve = torch.tensor(score_curve(q, k)[: m + 1], dtype=torch.float64)  # by distance
    return {
        "query": m + both,
        "key": n + both,
        "distance": m - n,
        "parts": parts.tolist(),
        "score": parts.sum().item(),
        "percent": 100 * curve.softmax(0)[m - n].item(),
    }


def score_curve(q: Sequence[float], k: Sequence[float]) -> list[float]:
    """The score at every distance from 0 to ``WIDEST``."""
    return [_parts(q, k, distance, 0).sum().item() for distance in range(WIDEST + 1)]


def _parts(q: Sequence[float], k: Sequence[float], at: int, key_at: int) -> Float[Tensor, " half"]:
    """The share of each pair in the score of a query at one position and a key at another."""
    product = _turned(q, at) * _turned(k, key_at)
    return product.unflatten(-1, (-1, 2)).sum(-1) / math.sqrt(len(q))


def _turned(x: Sequence[float], position: int) -> Float[Tensor, " h"]:
    cos, sin = rope_table(len(x), position + 1, dtype=torch.float64)
    return apply_rope(torch.tensor(x, dtype=torch.float64)[None], cos[-1:], sin[-1:])[0]
