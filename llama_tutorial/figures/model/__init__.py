"""The figures of the model chapter."""

from llama_tutorial.figures.model.live import memory, memory_numbers, read_out, trace, walk
from llama_tutorial.figures.model.plots import budget, forward_map, guesses, stream_growth
from llama_tutorial.figures.model.widgets import explore

__all__ = [
    "budget",
    "explore",
    "forward_map",
    "guesses",
    "memory",
    "memory_numbers",
    "read_out",
    "stream_growth",
    "trace",
    "walk",
]
