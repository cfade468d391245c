"""The bug museum: a silent mistake beside the right model, on the reader's own beginning."""

from llama_tutorial.figures.museum.live import exhibit, show
from llama_tutorial.figures.museum.widgets import explore

__all__ = ["exhibit", "explore", "show"]
