"""The figures of the checkpoints chapter."""

from llama_tutorial.figures.checkpoints.live import how_many_tokens, shards
from llama_tutorial.figures.checkpoints.plots import memory, misread

__all__ = ["how_many_tokens", "memory", "misread", "shards"]
