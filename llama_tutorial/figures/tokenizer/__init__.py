"""The figures of the tokenizer chapter."""

from llama_tutorial.figures.tokenizer.live import coverage, growth, merges

__all__ = ["coverage", "growth", "merges"]
