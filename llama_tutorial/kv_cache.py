"""The key-value cache: what attention need not compute twice.

A token's keys and values depend on the tokens before it only, so once computed they stay. The
cache holds them in slots, and one rule keeps it right: **slot = position**. Keys are stored after
RoPE has rotated them, since a position never changes.

Rows of a batch may be at different positions. What is left in a row's slots after its length is
never seen: a query looks at the slots up to its own position, and that slot has just been written.
"""

from __future__ import annotations

import torch
from torch import Tensor

from llama_tutorial._util.generation_settings import plain
from llama_tutorial._util.shapes import Float, Int
from llama_tutorial.config import ModelConfig

Heads = Float[Tensor, "B K _ h"]


class KVCache:
    """Keys and values of every layer for a batch, allocated once.

    Args:
        config: The model's configuration.
        batch_size: Number of rows, B.
        max_seq_len: Slots per row; the model's context if None.
        dtype: Of the entries; torch's default if None. Give the model's.
        device: Of the entries. Give the model's.
        n_kv_heads: Key and value heads to hold; all of the model's if None. Processes that share a
            model hold some each.

    Attributes:
        k: Keys, ``(B, K, S_max, h)`` for each layer.
        v: Values, likewise.
        length: Positions filled in each row: int64 ``(B,)``, on the CPU, where reading it does not
            wait for a GPU.

    Raises:
        ValueError: A size is no whole number or below 1, or ``max_seq_len`` is above the model's
            context.
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
        self.batch_size, context = plain(batch_size), config.max_seq_len
        self.max_seq_len = context if max_seq_len is None else plain(max_seq_len)
        if type(self.batch_size) is not int or self.batch_size < 1:
            raise ValueError(f"batch_size={batch_size!r}: must be at least 1, a whole number")
        if type(self.max_seq_len) is not int or not 1 <= self.max_seq_len <= context:
            rule = f"must be between 1 and the model's context of {context}"
            raise ValueError(f"max_seq_len={max_seq_len!r}: {rule}")
        K, h = n_kv_heads or config.n_kv_heads, config.dim // config.n_heads
        slots = (self.batch_size, K, self.max_seq_len, h)
        # A tensor for each layer: of one for all, the compiler would copy the whole at every write.
        self.k = [torch.zeros(slots, dtype=dtype, device=device) for _ in range(config.n_layers)]
        self.v = [torch.zeros_like(k) for k in self.k]
        self.length = torch.zeros(self.batch_size, dtype=torch.int64, device="cpu")

    def reset(self) -> None:
        """Forget everything. The old entries stay in memory, but after the length."""
        self.length = torch.zeros_like(self.length)

    def update(
        self, layer: int, positions: Int[Tensor, "#B T"], n_keys: int, k: Heads, v: Heads
    ) -> tuple[Heads, Heads]:
        """Write a layer's keys and values to ``positions``; return those in its first slots.

        What is returned are views, nothing is copied; copies only where gradients are taken, since
        later passes write to the slots, and backward needs what was read. Gradients reach the new
        entries, and end at those of earlier passes.

        Args:
            layer: Number of the layer.
            positions: Slots of the new entries.
            n_keys: How many slots to return, S: up to the last new one of any row.
            k: New keys, ``(B, K, T, h)``.
            v: New values, likewise.
        """
        filled = []
        for slots, new in ((self.k[layer], k), (self.v[layer], v)):
            seen = slots[:, :, :n_keys]  # (B, K, S, h)
            if new.requires_grad:
                seen = seen.clone()
            if len(positions) == 1:  # the same for all rows
                seen[:, :, n_keys - new.shape[2] :] = new
            else:
                rows = torch.arange(len(new), device=new.device)[:, None]  # (B, 1)
                seen[rows, :, positions] = new.transpose(1, 2).to(seen.dtype)  # (B, T, K, h)
            if new.requires_grad:
                slots[:, :, :n_keys] = seen.detach()
            filled.append(seen)
        return filled[0], filled[1]
