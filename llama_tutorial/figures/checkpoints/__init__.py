"""The figures of the checkpoints chapter."""

from llama_tutorial.figures.checkpoints.live import how_many_tokens, shards
from llama_tutorial.figures.checkpoints.plots import files, memory, misread, two_ways
from llama_tutorial.figures.checkpoints.tables import (
    gpt2_names,
    mistakes,
    names,
    on_disk,
    round_trip,
)

__all__ = [
    "files",
    "gpt2_names",
    "how_many_tokens",
    "memory",
    "misread",
    "mistakes",
    "names",
    "on_disk",
    "round_trip",
    "shards",
    "two_ways",
]
