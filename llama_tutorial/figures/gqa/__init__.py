"""The figures of the attention chapter."""

from llama_tutorial.figures.gqa.live import decode, memory, memory_numbers
from llama_tutorial.figures.gqa.plots import pairings, work

__all__ = ["decode", "memory", "memory_numbers", "pairings", "work"]
