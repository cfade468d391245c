"""The figures of the evaluation chapter."""

from llama_tutorial.figures.evaluation.live import (
    Scored,
    endings,
    endings_numbers,
    interval,
    interval_numbers,
)
from llama_tutorial.figures.evaluation.plots import contamination, surprise
from llama_tutorial.figures.evaluation.tables import (
    LLAMA_2,
    kinds,
    leaderboard,
    llama_2,
    templates,
    units,
)

__all__ = [
    "LLAMA_2",
    "Scored",
    "contamination",
    "endings",
    "endings_numbers",
    "interval",
    "interval_numbers",
    "kinds",
    "leaderboard",
    "llama_2",
    "surprise",
    "templates",
    "units",
]
