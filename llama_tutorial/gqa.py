r"""Grouped-query attention: several query heads share one key and value head.

.. math::
    & \mathrm{Attention}(q, k, v) \\
    & \quad = \mathrm{softmax}\!\left(\frac{q k^\top}{\sqrt h} + M\right) v

Query head :math:`i` reads key head :math:`\lfloor i / (H/K) \rfloor`::

    H = 4 query heads     0 1   2 3
                          \ /   \ /
    K = 2 key heads        0     1

With ``K = H`` this is multi-head attention, with ``K = 1`` multi-query. One module serves training
and decoding; the cache is an argument. One rule says who sees whom: query :math:`i`, at position
``start + i``, sees key :math:`j` if and only if :math:`j \le` ``start + i``, and when documents are
packed into one row, only if both belong to the same.

Source: Ainslie et al. (2023), "GQA"; ``Attention`` and ``repeat_kv`` in Meta's ``model.py``.

Read next: :mod:`llama_tutorial.kv_cache` and :mod:`llama_tutorial.model`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llama_tutorial._util.shapes import Bool, Float, Int
from llama_tutorial.kv_cache import LayerCache
from llama_tutorial.linear import Linear
from llama_tutorial.rope import apply_rope


class GroupedQueryAttention(nn.Module):
    """Causal self-attention with ``n_heads`` query heads and ``n_kv_heads`` key and value heads.

    Args:
        dim: Width of the residual stream, D.
        n_heads: Query heads, H.
        n_kv_heads: Key and value heads, K; None means H.
        bias: Biases on all four matrices (GPT-2 has them, Llama not).

    Raises:
        ValueError: ``n_heads`` does not divide ``dim``, or ``n_kv_heads`` not ``n_heads``.
    """

    def __init__(
        self, dim: int, n_heads: int, n_kv_heads: int | None = None, bias: bool = False
    ) -> None:
        super().__init__()
        n_kv_heads = n_heads if n_kv_heads is None else n_kv_heads
        if min(n_heads, n_kv_heads) < 1 or dim % n_heads or n_heads % n_kv_heads:
            raise ValueError(
                f"dim={dim}, n_heads={n_heads}, n_kv_heads={n_kv_heads}: n_heads must divide dim, "
                "and n_kv_heads must divide n_heads"
            )
        self.head_dim = dim // n_heads
        self.wq = Linear(dim, n_heads * self.head_dim, bias=bias)
        self.wk = Linear(dim, n_kv_heads * self.head_dim, bias=bias)
        self.wv = Linear(dim, n_kv_heads * self.head_dim, bias=bias)
        self.wo = Linear(n_heads * self.head_dim, dim, bias=bias)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        rotation: tuple[Tensor, Tensor] | None = None,
        mask: Bool[Tensor, "#B 1 T S"] | None = None,
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Let every position of ``x`` gather from those that it sees.

        Args:
            x: The normalised residual stream.
            rotation: RoPE's cosines and sines for the positions of ``x``; None without RoPE.
            mask: True where a query sees a key; None for the plain cases, see `visible`.
            cache: This layer's slots, when decoding. The keys then are those stored, S of them.
        """
        q, k, v = self.heads(x, rotation)
        if cache is not None:
            k, v = cache.update(k, v)  # (B, K, S, h)
        y = attend(q, k, v, mask)  # (B, H, T, h)
        return self.wo(y.transpose(1, 2).flatten(2))  # (B, T, D)

    def heads(
        self, x: Float[Tensor, "B T D"], rotation: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Float[Tensor, "B H T h"], Float[Tensor, "B K T h"], Float[Tensor, "B K T h"]]:
        """Queries, keys and values of ``x``, split into heads; queries and keys turned by RoPE."""
        q, k, v = (
            w(x).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)  # (B, H or K, T, h)
            for w in (self.wq, self.wk, self.wv)
        )
        if rotation is not None:
            q, k = apply_rope(q, *rotation), apply_rope(k, *rotation)
        return q, k, v


def attend(
    q: Float[Tensor, "B H T h"],
    k: Float[Tensor, "B K S h"],
    v: Float[Tensor, "B K S h"],
    mask: Bool[Tensor, "#B 1 T S"] | None = None,
) -> Float[Tensor, "B H T h"]:
    """The fast path: torch's fused attention, which never stores the ``T × S`` weights.

    Without a mask, one query sees every key, and several are causal with ``T = S``. (torch's
    ``is_causal`` would let a lone query see key 0 only, the classic trap of cached decoding.)
    """
    causal = mask is None and q.shape[2] > 1
    grouped = k.shape[1] != q.shape[1]
    return F.scaled_dot_product_attention(
        q, k, v, attn_mask=mask, is_causal=causal, enable_gqa=grouped
    )


def attention_weights(
    q: Float[Tensor, "B H T h"],
    k: Float[Tensor, "B K S h"],
    mask: Bool[Tensor, "#B 1 T S"] | None = None,
) -> Float[Tensor, "B H T S"]:
    """The written-out path: the weights themselves, for figures and tests.

    Every row sums to 1. ``attention_weights(q, k, mask) @ repeat_kv(v, H // K)`` equals
    :func:`attend`. The softmax runs in float32, or float64 for float64 input.
    """
    T, S = q.shape[2], k.shape[2]
    if mask is None:
        mask = torch.ones(1, 1, T, S, dtype=torch.bool, device=q.device).tril(S - T)
    k = repeat_kv(k, q.shape[1] // k.shape[1])  # (B, H, S, h)
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, H, T, S)
    scores = scores.masked_fill(~mask, -torch.inf)
    wide = torch.promote_types(q.dtype, torch.float32)
    return scores.softmax(-1, dtype=wide).type_as(q)


def repeat_kv(x: Float[Tensor, "B K S h"], group_size: int) -> Float[Tensor, "B H S h"]:
    """Give every query head its own copy of the key or value head that it shares.

    Head 0 is repeated ``group_size`` times, then head 1, and so on; whole rounds (0, 1, 0, 1)
    would pair query heads with the wrong keys.
    """
    return x.repeat_interleave(group_size, dim=1)


def visible(
    start: int | Int[Tensor, " B"],
    n_new: int,
    n_keys: int,
    documents: Int[Tensor, "B T"] | None = None,
    device: torch.device | str | None = None,
) -> Bool[Tensor, "#B 1 T S"] | None:
    """Who sees whom, as a mask that all layers share; None where :func:`attend` needs none.

    Args:
        start: Position of the first query, in a cache: one number, or ``(B,)`` where rows differ.
        n_new: Number of queries, T.
        n_keys: Number of keys, S.
        documents: Number of each token's document in a packed row; equal ones side by side are
            one document.
        device: Of the mask.
    """
    if documents is not None:
        # Runs, not numbers, are compared: a number that comes back is another document.
        run = F.pad(documents.diff(dim=1) != 0, (1, 0)).cumsum(1)  # (B, T)
        same = run[:, None, :, None] == run[:, None, None, :]  # (B, 1, T, T)
        return same.tril()
    if isinstance(start, int):
        if n_new in (1, n_keys):
            return None
        return torch.ones(1, 1, n_new, n_keys, dtype=torch.bool, device=device).tril(start)
    last = start.to(device)[:, None] + torch.arange(n_new, device=device)  # (B, T)
    return torch.arange(n_keys, device=device) <= last[:, None, :, None]  # (B, 1, T, S)
