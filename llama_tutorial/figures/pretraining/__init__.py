"""The figures of the pre-training chapter."""

from llama_tutorial.figures.pretraining.live import CARDS, plan, plan_numbers, window
from llama_tutorial.figures.pretraining.plots import lines, memory, run, swaps, valley

__all__ = ["CARDS", "lines", "memory", "plan", "plan_numbers", "run", "swaps", "valley", "window"]
