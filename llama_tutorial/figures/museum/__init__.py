"""The bug museum: a silent mistake beside the right model, on the reader's own beginning."""

from llama_tutorial.figures.museum.live import exhibit, show

__all__ = ["exhibit", "show"]
