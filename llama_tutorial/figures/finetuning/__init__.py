"""The figures of the fine-tuning chapter."""

from llama_tutorial.figures.finetuning.live import chat, labels, packing
from llama_tutorial.figures.finetuning.plots import accuracy, best_of, overfitting

__all__ = ["accuracy", "best_of", "chat", "labels", "overfitting", "packing"]
