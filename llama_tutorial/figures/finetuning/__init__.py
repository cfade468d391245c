"""The figures of the fine-tuning chapter."""

from llama_tutorial.figures.finetuning.live import labels, packing
from llama_tutorial.figures.finetuning.plots import accuracy, best_of

__all__ = ["accuracy", "best_of", "labels", "packing"]
