r"""Grouped-query attention: several query heads share one key and value head.

.. math::
    & \mathrm{Attention}(q, k, v) \\
    & \quad = \mathrm{softmax}\!\left(\frac{q k^\top}{\sqrt h} + M\right) v

Query head :math:`i` reads key head :math:`\lfloor i / (H/K) \rfloor`::

    H = 4 query heads     0 1   2 3
                          \ /   \ /
    K = 2 key heads        0     1

With ``K = H`` this is multi-head attention, with ``K = 1`` multi-query. One module serves training
and decoding; the cache is an argument. One rule says who sees whom: a query at position :math:`m`
sees the keys at positions :math:`n \le m`, and when documents are packed into one row, only those
of its own document.

Source: Ainslie et al. (2023), "GQA"; ``Attention`` and ``repeat_kv`` in Meta's ``model.py``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llama_tutorial._util.shapes import Bool, Float, Int
from llama_tutorial.rope import Rotation, for_features, rotate

Stream = Float[Tensor, "B T D"]
Positions = Int[Tensor, "#B T"]
Tables = Rotation | Sequence[Float[Tensor, "*#B T half"]] | None
Mask = Bool[Tensor, "#B 1 T S"] | None
Store = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None


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
        self.head_dim, self.n_kv_heads = dim // n_heads, n_kv_heads
        self.wq = nn.Linear(dim, n_heads * self.head_dim, bias=bias)
        self.wk = nn.Linear(dim, n_kv_heads * self.head_dim, bias=bias)
        self.wv = nn.Linear(dim, n_kv_heads * self.head_dim, bias=bias)
        self.wo = nn.Linear(n_heads * self.head_dim, dim, bias=bias)

    def forward(
        self, x: Stream, rotation: Tables = None, mask: Mask = None, store: Store = None
    ) -> Stream:
        """Let every position of ``x`` gather from those that it sees.

        Args:
            x: The normalised residual stream.
            rotation: RoPE's cosines and sines for the positions of ``x``, as
                :func:`~llama_tutorial.rope.apply_rope` takes them, or what
                :func:`~llama_tutorial.rope.for_features` has made of them; None without RoPE.
            mask: True where a query sees a key, see :func:`causal_mask`. None for the two that need
                not be stored: plain causal, and one query that sees every key.
            store: When decoding, :meth:`~llama_tutorial.kv_cache.KVCache.update` of this layer: it
                takes the keys and values of ``x`` and returns all S that the cache then holds.
        """
        q, k, v = self.project_qkv(x, rotation)
        if store is not None:
            k, v = store(k, v)  # (B, K, S, h)
        # torch's fused attention never stores the T × S weights. Its is_causal would let a lone
        # query see key 0 only, the classic trap of cached decoding.
        causal = mask is None and x.shape[1] > 1
        y = F.scaled_dot_product_attention(q, k, v, mask, is_causal=causal, enable_gqa=True)
        return self.wo(y.transpose(1, 2).flatten(2))  # (B, T, D)

    def project_qkv(
        self, x: Stream, rotation: Tables = None
    ) -> tuple[Float[Tensor, "B H T h"], Float[Tensor, "B K T h"], Float[Tensor, "B K T h"]]:
        """Queries, keys and values of ``x`` in heads; queries and keys rotated by RoPE."""
        heads = (-1, self.head_dim)  # (B, T, D) becomes (B, H or K, T, h)
        q, k, v = (w(x).unflatten(-1, heads).transpose(1, 2) for w in (self.wq, self.wk, self.wv))
        if rotation is not None:
            factors = rotation if isinstance(rotation, Rotation) else for_features(*rotation)
            q, k = rotate(q, factors), rotate(k, factors)
        return q, k, v


def causal_mask(
    positions: Positions, keys: Int[Tensor, "#B S"], documents: Positions | None = None
) -> Bool[Tensor, "#B 1 T S"]:
    """Who sees whom: a query sees the keys up to its own position, in its own document.

    One mask for all layers, True where a query sees a key.

    Args:
        positions: Of the queries.
        keys: Positions of the keys; in a cache, where slot = position, 0 to S - 1.
        documents: Number of each token's document in a packed row; equal ones side by side are
            one document. Positions restart in each, and the keys are those of the same tokens.
    """
    mask = keys[:, None, None, :] <= positions[:, None, :, None]  # (B or 1, 1, T, S)
    if documents is not None:
        # Runs are compared, not numbers: a number that comes back is another document.
        run = F.pad(documents.diff(dim=1) != 0, (1, 0)).cumsum(1)  # (B, T)
        mask = mask & (run[:, None, :, None] == run[:, None, None, :])  # (B, 1, T, T)
    return mask


def attention_weights(
    q: Float[Tensor, "B H T h"],
    k: Float[Tensor, "B K S h"],
    mask: Bool[Tensor, "#B 1 T S"] | None = None,
) -> Float[Tensor, "B H T S"]:
    """The written-out path: the weights themselves, for figures and tests.

    Every row sums to 1, and ``attention_weights(q, k, mask) @ repeat_kv(v, H // K)`` is what the
    fused attention gives. The softmax runs in float32, or float64 for float64 input.

    Args:
        q: Queries.
        k: Keys.
        mask: True where a query sees a key; None for causal, with the queries as the last tokens.
    """
    if mask is None:
        keys = torch.arange(k.shape[2], device=q.device)[None]
        mask = causal_mask(keys[:, k.shape[2] - q.shape[2] :], keys)
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
