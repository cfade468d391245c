"""The live figures of the pre-training chapter: a window on the stream, and a plan for a run.

The scripts ``window.js`` and ``plan.js`` compute the same in the
page, and the browser tests hold them equal.

Sources: peak speed, memory and power of the cards are their makers' for dense 16-bit products
(NVIDIA's data sheets of the A100 80 GB SXM and the H200 SXM).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from llama_tutorial.config import PRESETS
from llama_tutorial.figures.kit.controls import Select, Slider, Stops, Toggle
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.figures.kit.numbers import number_text

NOTHING = "–"
STATE_BYTES = 16  # a parameter's weight, gradient and two means of AdamW, in float32

CARDS = {
    "A100, 80 GB": {"flops": 312e12, "gb": 80, "watts": 400},
    "H200, 141 GB": {"flops": 989e12, "gb": 141, "watts": 700},
}
MODELS = ("gpt2", "tinyllama-1.1b", "llama-2-7b", "llama-2-13b", "llama-2-70b")
UNITS = (("years", 365.25 * 86400), ("days", 86400), ("hours", 3600), ("minutes", 60))
MARKS = (
    ("minute", 60),
    ("hour", 3600),
    ("day", 86400),
    ("month", 30.4 * 86400),
    ("year", 365.25 * 86400),
    ("century", 36525 * 86400),
)


def window(pieces: Sequence[str], context: int, begin: str = "<s>") -> LiveFigure:
    """One row of a batch: a window that slides along the stream of tokens.

    Args:
        pieces: The pieces of several short documents, end to end.
        context: Tokens of a row, T.
        begin: The piece that begins each document.
    """
    pieces, last = list(pieces), len(pieces) - context - 1

    return LiveFigure(
        "pretraining/window",
        pieces=True,
        data={"pieces": pieces, "context": context, "begin": begin, "nothing": NOTHING},
        controls=[
            Slider("start", 0, last, last // 4, label="window begins at"),
            Slider("place", 0, context - 1, context // 2, label="position in the row"),
            Toggle("apart", True, label="keep documents apart"),
        ],
        numbers=partial(window_numbers, pieces, context, begin),
        readout="“{input}” must predict “{target}”. It sees {sees} tokens of the row, itself "
        "included, and its position is {position}. Targets in this row: {targets}.",
        alt="A row of tokens. The chosen one, “{input}”, sees {sees} tokens, itself among them; "
        "its target is “{target}”.",
        caption="One row of a batch, cut from a stream of four short documents: each box is an "
        "input, with its target below. The chosen token is orange, and what it may look at is "
        "filled. <b>Slide the window</b> until a <code>&lt;s&gt;</code> comes in, <b>click a "
        "token</b> after it, and then <b>untick the box</b>.",
        checks=[{"start": last // 2, "apart": False}, {"start": last, "place": context // 3}],
    )


def window_numbers(
    pieces: Sequence[str], context: int, begin: str, start: int, place: int, apart: bool
) -> dict[str, Any]:
    """What is asked at one position of the window, and how much of the window it sees."""
    row = pieces[start : start + context + 1]
    first = _first_of_document(row, begin, place) if apart else 0
    targets = [_target(row, begin, i) for i in range(context)]
    return {
        "input": row[place],
        "target": targets[place],
        "position": place - first,
        "sees": place - first + 1,
        "targets": context - targets.count(NOTHING),
    }


def _first_of_document(row: Sequence[str], begin: str, place: int) -> int:
    return max((i for i in range(place + 1) if row[i] == begin), default=0)


def _target(row: Sequence[str], begin: str, i: int) -> str:
    return NOTHING if row[i + 1] == begin else row[i + 1]


def plan() -> LiveFigure:
    """Days, energy and memory of a training run."""
    return LiveFigure(
        "pretraining/plan",
        data={
            # Strings and whole numbers: floats would be rounded on their way into the page.
            "models": {name: PRESETS[name].n_params for name in MODELS},
            "cards": {
                name: {key: int(value) for key, value in card.items()}
                for name, card in CARDS.items()
            },
            "units": [[name, round(seconds)] for name, seconds in UNITS],
            "marks": [[name, round(seconds)] for name, seconds in MARKS],
            "state": STATE_BYTES,
        },
        controls=[
            Select("model", "gpt2", label="model", options=list(MODELS)),
            Stops("tokens", 10, [10, 20, 100, 140, 300, 1000, 2000, 15000],
                  label="tokens", unit=" billion"),
            Select("card", "H200, 141 GB", label="GPU", options=list(CARDS)),
            Stops("cards", 8, [1, 2, 4, 8, 64, 512, 1024, 2048, 16384], label="how many"),
            Slider("utilisation", 10, 70, 40, 5, label="utilisation", unit=" %"),
        ],
        numbers=plan_numbers,
        readout="{took}: {gpu_hours} GPU hours, {mwh} MWh. {per_parameter} tokens a parameter. "
        "Each GPU holds {each} of weights, gradients and AdamW: {fits}.",
        alt="A bar on a scale from a minute to centuries: the run takes {took}. Below, {each} "
        "beside what one GPU has: {fits}.",
        caption="Six operations a parameter and token, divided by what the GPUs do in a second "
        "at the utilisation that you assume. Energy is that of the GPUs alone, at full power. "
        "Memory is 16 bytes a parameter shared among all GPUs, without activations. <b>Choose a "
        "model and a number of GPUs, then change the utilisation.</b>",
        checks=[
            {"model": "llama-2-7b", "tokens": 2000},
            {"model": "llama-2-7b", "tokens": 2000, "cards": 1},
            {"model": "llama-2-7b", "tokens": 2000, "cards": 2048, "card": "A100, 80 GB"},
            {"model": "llama-2-70b", "tokens": 2000, "cards": 16384, "utilisation": 55},
        ],
    )  # fmt: skip


def plan_numbers(
    model: str, tokens: int, card: str, cards: int, utilisation: int
) -> dict[str, Any]:
    """Time, energy and memory of a run of ``tokens`` billion tokens."""
    n_params, one = PRESETS[model].n_params, CARDS[card]
    operations = 6 * n_params * tokens * 1e9
    seconds = operations / (cards * one["flops"] * utilisation / 100)
    hours = seconds * cards / 3600
    memory = STATE_BYTES * n_params / cards / 1e9
    return {
        "operations": operations,
        "seconds": seconds,
        "took": time_text(seconds),
        "gpu_hours": hours,
        "mwh": hours * one["watts"] / 1e6,
        "per_parameter": tokens * 1e9 / n_params,
        "memory": memory,
        "each": memory_text(memory),
        "fits": "it fits" if memory < one["gb"] else "too much",
    }


def time_text(seconds: float | int) -> str:
    """A time in the largest unit of which it is two or more."""
    unit, size = next(((u, s) for u, s in UNITS if seconds >= 2 * round(s)), UNITS[-1])
    return f"{number_text(float(seconds / round(size)))} {unit}"


def memory_text(gb: float) -> str:
    """Gigabytes, or megabytes where it is less than one."""
    return f"{number_text(gb)} GB" if gb >= 1 else f"{number_text(gb * 1000)} MB"
