"""The figures and tables of the pre-training chapter."""

from llama_tutorial.figures.pretraining.live import CARDS, plan, plan_numbers, window
from llama_tutorial.figures.pretraining.plots import memory, mixture, rates, run, valley
from llama_tutorial.figures.pretraining.tables import (
    MIXTURE,
    RUNS,
    gradients,
    paper,
    runs,
)

__all__ = [
    "CARDS",
    "MIXTURE",
    "RUNS",
    "gradients",
    "memory",
    "mixture",
    "paper",
    "plan",
    "plan_numbers",
    "rates",
    "run",
    "runs",
    "valley",
    "window",
]
