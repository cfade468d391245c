"""The figures of the chapter on preferences."""

from llama_tutorial.figures.preferences.plots import (
    best_of,
    changes,
    dpo,
    eight,
    ranking_loss,
    two_rewards,
)

__all__ = ["best_of", "changes", "dpo", "eight", "ranking_loss", "two_rewards"]
