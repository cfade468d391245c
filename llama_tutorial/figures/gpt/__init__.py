"""The figures of the GPT chapter."""

from llama_tutorial.figures.gpt.live import (
    PARTS,
    budget,
    budget_numbers,
    budget_parts,
    head,
    head_numbers,
)
from llama_tutorial.figures.gpt.plots import attention, cafe, growth, losses, network_map, slabs

__all__ = [
    "PARTS",
    "attention",
    "budget",
    "budget_numbers",
    "budget_parts",
    "cafe",
    "growth",
    "head",
    "head_numbers",
    "losses",
    "network_map",
    "slabs",
]
