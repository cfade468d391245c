"""The key-value cache: what attention need not compute twice.

A token's keys and values depend on the tokens before it only, so once computed they stay. The
cache holds them in slots, and one rule keeps it right: **slot = position**. Keys are stored after
RoPE has turned them, since a position never changes.

Rows of a batch may stand at different positions. What lies in a row's slots behind its length is
never seen: query ``i`` looks at slots up to its own position, and that slot has just been written.

Read next: :mod:`llama_tutorial.gqa`, which writes and reads it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from llama_tutorial._util.shapes import Float, Int
from llama_tutorial.config import ModelConfig


class LayerCache(NamedTuple):
    """One layer's slots during one forward pass, and where its new tokens go.

    Attributes:
        k: Keys of the whole cache, ``(B, K, S_max, h)``.
        v: Values, likewise.
        start: Slot of the first new token: one number, or ``(B,)`` where rows differ.
        stop: One behind the last slot that any row fills.
    """

    k: Float[Tensor, "B K S_max h"]
    v: Float[Tensor, "B K S_max h"]
    start: int | Int[Tensor, " B"]
    stop: int

    def update(
        self, k: Float[Tensor, "B K T h"], v: Float[Tensor, "B K T h"]
    ) -> tuple[Float[Tensor, "B K S h"], Float[Tensor, "B K S h"]]:
        """Write the new keys and values, return all up to ``stop``: views, nothing is copied.

        Only where gradients are taken are they copies, since the slots outlive the pass and will
        be written again. Gradients reach the new entries, and end at those of earlier passes.
        """
        return self._written(self.k, k), self._written(self.v, v)

    def _written(
        self, slots: Float[Tensor, "B K S_max h"], new: Float[Tensor, "B K T h"]
    ) -> Float[Tensor, "B K S h"]:
        filled = slots[:, :, : self.stop]  # (B, K, S, h)
        self._write(filled, new.detach())
        if new.requires_grad:
            filled = filled.clone()
            self._write(filled, new)
        return filled

    def _write(self, filled: Float[Tensor, "B K S h"], new: Float[Tensor, "B K T h"]) -> None:
        if isinstance(self.start, int):
            filled[:, :, self.start :] = new
        else:
            rows = torch.arange(new.shape[0], device=new.device)[:, None]  # (B, 1)
            places = self.start[:, None] + torch.arange(new.shape[2], device=new.device)  # (B, T)
            filled[rows, :, places] = new.transpose(1, 2).type_as(filled)  # (B, T, K, h)


class KVCache:
    """Keys and values of every layer for a batch, allocated once.

    Args:
        config: The model's configuration.
        batch_size: Number of rows, B.
        max_seq_len: Slots per row; the model's context if None.
        dtype: Of the entries; torch's default if None. Give the model's.
        device: Of the entries. Give the model's.
        n_kv_heads: Key and value heads to hold; None for all of the model's. Processes that share
            a model hold some each.

    Attributes:
        k: Keys, ``(B, K, S_max, h)`` for each layer.
        v: Values, likewise.
        length: Positions filled in each row: int64 ``(B,)``, on the CPU, where it is read.

    Raises:
        ValueError: A size is below 1, or ``max_seq_len`` is above the model's context.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch_size: int = 1,
        max_seq_len: int | None = None,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
        n_kv_heads: int | None = None,
    ) -> None:
        self.max_seq_len = config.max_seq_len if max_seq_len is None else max_seq_len
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: must be at least 1")
        if not 1 <= self.max_seq_len <= config.max_seq_len:
            raise ValueError(
                f"max_seq_len={self.max_seq_len}: must be between 1 and the model's "
                f"context of {config.max_seq_len}"
            )
        n_kv_heads = config.n_kv_heads if n_kv_heads is None else n_kv_heads
        slots = (batch_size, n_kv_heads, self.max_seq_len, config.head_dim)
        # A tensor for each layer: of one for all, the compiler would copy the whole at every write.
        self.k = [torch.zeros(slots, dtype=dtype, device=device) for _ in range(config.n_layers)]
        self.v = [torch.zeros_like(k) for k in self.k]
        self.length = torch.zeros(batch_size, dtype=torch.int64, device="cpu")

    @property
    def batch_size(self) -> int:
        """Number of rows, B."""
        return self.k[0].shape[0]

    def reset(self) -> None:
        """Forget everything. The old entries stay in memory, but behind the length."""
        self.length = torch.zeros_like(self.length)

    def layers(self, start: int | Int[Tensor, " B"], n_new: int) -> list[LayerCache]:
        """Each layer's slots for ``n_new`` tokens that go to ``start`` and behind.

        Raises:
            ValueError: They do not fit into ``max_seq_len``.
        """
        stop = (start if isinstance(start, int) else int(start.max())) + n_new
        if stop > self.max_seq_len:
            raise ValueError(
                f"the cache is full: {n_new} tokens at position {stop - n_new} need {stop} slots, "
                f"max_seq_len is {self.max_seq_len}; make a longer cache, or reset() this one"
            )
        start = start if isinstance(start, int) else start.to(self.k[0].device)
        return [LayerCache(k, v, start, stop) for k, v in zip(self.k, self.v, strict=True)]

    def advance(self, start: int | Int[Tensor, " B"], n_new: int) -> None:
        """Note that ``n_new`` tokens from ``start`` on have been stored in every layer."""
        if isinstance(start, int):
            self.length = torch.full_like(self.length, start + n_new)
        else:
            self.length = start.cpu() + n_new
