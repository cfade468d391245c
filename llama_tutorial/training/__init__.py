"""Training: one step (:mod:`.step`), the loop around it, its folder on disk, several processes."""

from llama_tutorial.training.step import (
    IGNORE,
    Batch,
    DivergenceError,
    autocast_to,
    checkpoint_layers,
    cosine_schedule,
    make_optimizer,
    token_loss,
    train_step,
)

__all__ = [
    "IGNORE",
    "Batch",
    "DivergenceError",
    "autocast_to",
    "checkpoint_layers",
    "cosine_schedule",
    "make_optimizer",
    "token_loss",
    "train_step",
]
