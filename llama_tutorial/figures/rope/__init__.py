"""The figures of the RoPE chapter."""

from llama_tutorial.figures.rope.live import (
    clock_numbers,
    clocks,
    score,
    score_curve,
    score_numbers,
)
from llama_tutorial.figures.rope.plots import (
    attention,
    decay,
    layouts,
    loss_by_position,
    stored_positions,
    two_dimensions,
    wavelengths,
)

__all__ = [
    "attention",
    "clock_numbers",
    "clocks",
    "decay",
    "layouts",
    "loss_by_position",
    "score",
    "score_curve",
    "score_numbers",
    "stored_positions",
    "two_dimensions",
    "wavelengths",
]
