"""The figures of the chapter on preferences."""

from llama_tutorial.figures.preferences.live import mistakes, plane
from llama_tutorial.figures.preferences.path import PairPath, dpo_steps

__all__ = ["PairPath", "dpo_steps", "mistakes", "plane"]
