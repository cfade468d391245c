"""The figures of the generation chapter."""

from llama_tutorial.figures.generation.live import attention, cuts
from llama_tutorial.figures.generation.widgets import explore

__all__ = ["attention", "cuts", "explore"]
