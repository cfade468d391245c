"""The live figures of the evaluation chapter: endings and their costs, and how sure a score is.

The scripts ``endings.js`` and ``interval.js`` compute the same in the page, and the browser tests
hold them equal.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from llama_tutorial.figures.kit.controls import Select, Slider, Stops
from llama_tutorial.figures.kit.live import LiveFigure

DIVISORS = {"nothing": "none", "its tokens": "tokens", "its bytes": "bytes"}
UNITS = {"none": "nats", "tokens": "nats a token", "bytes": "nats a byte"}

Z = 1.96  # of a normal distribution, 95 % lie within so many standard deviations
QUESTIONS = [10, 20, 50, 100, 164, 200, 500, 1000, 2000, 5000, 10_000, 14_000, 20_000]
GAPS = [1, 2, 3, 5, 10]
INTERVALS = 2000  # of Simpson's rule, an even number


class Scored(NamedTuple):
    """A beginning with several endings, and what each of them costs a model.

    Attributes:
        stem: The text before the endings.
        endings: The endings to choose from.
        costs: -ln p of each ending after the stem, in nats.
        tokens: Tokens of each ending.
        right: The position of the true ending.
    """

    stem: str
    endings: Sequence[str]
    costs: Sequence[float]
    tokens: Sequence[int]
    right: int


def endings(models: Mapping[str, Sequence[Scored]], shown: int = 8, start: int = 1) -> LiveFigure:
    """Which ending a model chooses, for each length that its cost may be divided by.

    Args:
        models: What the same questions cost, by the name of the model.
        shown: How many of the questions, from the first on, the reader can look at.
        start: The one that is shown first, from 1 on.

    Raises:
        ValueError: The models were asked different questions.
    """
    names = list(models)
    asked = {tuple((one.stem, *one.endings) for one in questions) for questions in models.values()}
    if len(asked) != 1:
        raise ValueError(f"the models {names} must be asked the same questions")
    rows = {name: [_row(question) for question in models[name]] for name in names}
    return LiveFigure(
        "evaluation/endings",
        data={
            "texts": [[one.stem, list(one.endings)] for one in models[names[0]][:shown]],
            "rows": rows,
            "units": UNITS,
        },
        controls=[
            Slider("question", 1, shown, start, label="question"),
            Select("model", names[0], label="model", options=names),
            Select("by", "none", label="divide each cost by", options=DIVISORS),
        ],
        numbers=partial(endings_numbers, rows),
        readout="Chosen: {chosen}. True: {right}. Of all {n} questions, the true ending is chosen "
        "in {n_right}, and the shortest one in {n_shortest}.",
        alt="Four endings of a tale with a bar each, whose lengths are {costs} {unit}. The "
        "shortest bar is number {chosen}; the true ending is number {right}.",
        caption="The beginning of a tale, with four endings. The bar under an ending is what it "
        "costs the model; the shortest bar is its choice (orange), and a tick marks the true "
        "ending. <b>Divide the costs by a length</b>, and watch the choice and the counts below.",
        checks=[
            {"question": number, "model": name, "by": by}
            for number in (2, shown)
            for name in names
            for by in UNITS
        ],
    )


def _row(question: Scored) -> dict[str, Any]:
    """The numbers of a question, whole ones: the page rounds others."""
    return {
        "costs": [round(100 * cost) for cost in question.costs],
        "tokens": [int(n) for n in question.tokens],
        "bytes": [len(ending.encode()) for ending in question.endings],
        "right": question.right,
    }


def endings_numbers(
    models: Mapping[str, Sequence[dict[str, Any]]], question: int, model: str, by: str
) -> dict[str, Any]:
    """The costs of one question and the model's choice, and its choices in all."""
    rows = models[model]
    chosen = [_chosen(row, by) for row in rows]
    shortest = [row["bytes"].index(min(row["bytes"])) for row in rows]
    return {
        "costs": _costs(rows[question - 1], by),
        "unit": UNITS[by],
        "chosen": chosen[question - 1] + 1,
        "right": rows[question - 1]["right"] + 1,
        "n": len(rows),
        "n_right": sum(one == row["right"] for one, row in zip(chosen, rows, strict=True)),
        "n_shortest": sum(one == short for one, short in zip(chosen, shortest, strict=True)),
    }


def _costs(row: dict[str, Any], by: str) -> list[float]:
    lengths = row.get(by, [1] * len(row["costs"]))
    return [cost / 100 / length for cost, length in zip(row["costs"], lengths, strict=True)]


def _chosen(row: dict[str, Any], by: str) -> int:
    costs = _costs(row, by)
    return costs.index(min(costs))


def interval() -> LiveFigure:
    """How wide a score's interval is, and how often the better of two models looks worse."""
    return LiveFigure(
        "evaluation/interval",
        data={"questions": QUESTIONS, "intervals": INTERVALS},
        controls=[
            Stops("n", 100, QUESTIONS, label="questions"),
            Slider("right", 10, 90, 88, label="first model, right", unit=" %"),
            Stops("gap", 3, GAPS, label="second is better by", unit=" points"),
        ],
        numbers=interval_numbers,
        readout="First: {right} ± {half} points; second: ± {half_better}. In {wrong} of 100 such "
        "exams the better model comes out behind. To tell them apart takes {needed} questions.",
        alt="A funnel around {right} that narrows as the number of questions grows. At {n} "
        "questions the first model has ± {half} points and the second, {gap} better, ± "
        "{half_better}.",
        caption="The funnel holds 95 of 100 scores that a model with the chosen share of right "
        "answers would get, by the number of questions asked (logarithmic). Beside it a second "
        "model that is truly better, asked as many questions of its own. <b>Drag the line</b> "
        "until the two bars no longer overlap.",
        checks=[
            {"n": 10, "right": 10, "gap": 10},
            {"n": 164, "right": 30, "gap": 5},
            {"n": 14_000, "right": 45, "gap": 1},
            {"n": 20_000, "right": 90, "gap": 10},
        ],
    )


def interval_numbers(n: int, right: int, gap: int) -> dict[str, Any]:
    """Half the width of both intervals in points, and what the two scores say of the models."""
    first, better = _variance(right), _variance(right + gap)
    return {
        "half": Z * math.sqrt(first / n),
        "half_better": Z * math.sqrt(better / n),
        "wrong": 100 * (1 - _below(gap / math.sqrt((first + better) / n))),
        "needed": math.ceil(Z**2 * (first + better) / gap**2),
    }


def _variance(percent: float | int) -> float | int:
    """Of one answer, in squared points."""
    return percent * (100 - percent)


def _below(z: float) -> float:
    """The share of a normal distribution below ``z``, by Simpson's rule: JavaScript has no erf."""
    z = min(z, 8.0)
    step = z / INTERVALS
    heights = [math.exp(-((i * step) ** 2) / 2) for i in range(INTERVALS + 1)]
    inner = sum((4 if i % 2 else 2) * heights[i] for i in range(1, INTERVALS))
    return 0.5 + step / 3 * (heights[0] + inner + heights[-1]) / math.sqrt(2 * math.pi)
