"""The figures of the quantization chapter."""

from llama_tutorial.figures.quantization.live import COUNT, level_numbers, levels
from llama_tutorial.figures.quantization.plots import block, courses, laptop, shares
from llama_tutorial.figures.quantization.study import (
    BITS,
    GROUPS,
    Moved,
    bits_per_weight,
    guesses,
    key,
    matrices,
    moved,
    round_weights,
    rounded_model,
    study,
)

__all__ = [
    "BITS",
    "COUNT",
    "GROUPS",
    "Moved",
    "bits_per_weight",
    "block",
    "courses",
    "guesses",
    "key",
    "laptop",
    "level_numbers",
    "levels",
    "matrices",
    "moved",
    "round_weights",
    "rounded_model",
    "shares",
    "study",
]
