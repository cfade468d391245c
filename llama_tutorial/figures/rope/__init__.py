"""The figures of the RoPE chapter."""

from llama_tutorial.figures.rope.inside import mean_attention, mean_head, mistakes
from llama_tutorial.figures.rope.live import (
    clock_numbers,
    clocks,
    score,
    score_curve,
    score_numbers,
    sentence,
    sentence_numbers,
)
from llama_tutorial.figures.rope.plots import (
    attention,
    decay,
    echo,
    layouts,
    look_alikes,
    loss_by_position,
    stored_positions,
    stretched,
    wavelengths,
)

__all__ = [
    "attention",
    "clock_numbers",
    "clocks",
    "decay",
    "echo",
    "layouts",
    "look_alikes",
    "loss_by_position",
    "mean_attention",
    "mean_head",
    "mistakes",
    "score",
    "score_curve",
    "score_numbers",
    "sentence",
    "sentence_numbers",
    "stored_positions",
    "stretched",
    "wavelengths",
]
