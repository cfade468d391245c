"""Small models with weights that are the same in every check."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Any

import torch

from llama_tutorial.config import ModelConfig

SMALL = ModelConfig(
    dim=16,
    n_layers=2,
    n_heads=4,
    n_kv_heads=2,
    hidden_dim=24,
    vocab_size=13,
    max_seq_len=12,
    norm_eps=1e-2,
)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    """Normal numbers, the same for the same seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def filled(module: torch.nn.Module) -> Any:
    """A module whose weights come from their names, in whatever order they were made."""
    for name, parameter in module.named_parameters():
        values = draw(*parameter.shape, seed=zlib.crc32(name.encode()))
        parameter.copy_(1 + 0.3 * values if "norm" in name else 0.4 * values)
    return module


def in_steps(
    forward: Callable[[torch.Tensor, int], torch.Tensor], x: torch.Tensor, steps: tuple[int, ...]
) -> torch.Tensor:
    """The outputs of a cached pass: so many positions of ``x`` at once, then so many."""
    parts, start = [], 0
    for n in steps:
        parts.append(forward(x[:, start : start + n], start))
        start += n
    return torch.cat(parts, dim=1)
