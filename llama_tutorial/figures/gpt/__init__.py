"""The figures of the GPT chapter."""

from llama_tutorial.figures.gpt.live import budget, budget_numbers, head, head_numbers
from llama_tutorial.figures.gpt.plots import attention, growth, losses, network_map

__all__ = [
    "attention",
    "budget",
    "budget_numbers",
    "growth",
    "head",
    "head_numbers",
    "losses",
    "network_map",
]
