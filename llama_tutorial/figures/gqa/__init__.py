"""The figures of the attention chapter."""

from llama_tutorial.figures.gqa.live import decode, memory, memory_numbers
from llama_tutorial.figures.gqa.plots import pairings, slabs, triangle, work
from llama_tutorial.figures.gqa.tables import caches, conversions, mistakes, reading

__all__ = [
    "caches",
    "conversions",
    "decode",
    "memory",
    "memory_numbers",
    "mistakes",
    "pairings",
    "reading",
    "slabs",
    "triangle",
    "work",
]
