"""The figures of the chapter on preferences."""

from llama_tutorial.figures.preferences.live import mistakes, plane
from llama_tutorial.figures.preferences.path import PairPath, dpo_steps
from llama_tutorial.figures.preferences.plots import (
    best_of,
    changes,
    dpo,
    eight,
    kept,
    ranking_loss,
    rounds,
    two_rewards,
)
from llama_tutorial.figures.preferences.words import TintedTales, words

__all__ = [
    "PairPath",
    "TintedTales",
    "best_of",
    "changes",
    "dpo",
    "dpo_steps",
    "eight",
    "kept",
    "mistakes",
    "plane",
    "ranking_loss",
    "rounds",
    "two_rewards",
    "words",
]
