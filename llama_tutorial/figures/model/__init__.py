"""The figures of the model chapter."""

from llama_tutorial.figures.model.live import memory, memory_numbers, read_out, trace, walk
from llama_tutorial.figures.model.plots import (
    budget,
    forward_map,
    guesses,
    ring,
    stream_growth,
    tiles,
    two_cards,
)
from llama_tutorial.figures.model.tables import (
    costs,
    first_llamas,
    generations,
    mistakes,
    released,
    shares,
    steps,
    tensors,
)
from llama_tutorial.figures.model.widgets import explore

__all__ = [
    "budget",
    "costs",
    "explore",
    "first_llamas",
    "forward_map",
    "generations",
    "guesses",
    "memory",
    "memory_numbers",
    "mistakes",
    "read_out",
    "released",
    "ring",
    "shares",
    "steps",
    "stream_growth",
    "tensors",
    "tiles",
    "trace",
    "two_cards",
    "walk",
]
