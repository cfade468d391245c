"""Grouped-query attention with a cache: several query heads share one key and value head.

B texts, H query heads, K key and value heads, h the width of a head. T new positions, which begin
at start, and S = start + T positions in all.
"""

import math

import torch
from torch import nn

from .rope import rotate_at


def repeat_kv(x, group_size):
    """Give every query head its own copy of the key or value head that it shares.

    Query heads 0 to group_size - 1 share head 0, the next group_size heads share head 1, and so on.

    Args:
        x: Keys or values, float[B, K, S, h].
        group_size: How many query heads share a head, H / K.

    Returns:
        float[B, H, S, h].
    """
    return x.repeat_interleave(group_size, dim=1)


def causal_mask(n_queries, start=0):
    """Who sees whom: True where a query may look at a key.

    The queries are at the positions start, start + 1, ..., the keys at 0, 1, ..., up to the last
    query's position. A query sees the keys at its own position and before.

    Args:
        n_queries: How many queries, T.
        start: The position of the first: how many tokens the cache holds already.

    Returns:
        bool[T, start + T].
    """
    queries = torch.arange(start, start + n_queries)  # (T,)
    keys = torch.arange(start + n_queries)  # (S,)
    return keys <= queries[:, None]


def attention(q, k, v, start=0):
    """Let every query gather from the values that it sees.

    As in a GPT: scores, divided by the root of the head's width; a softmax over the keys that the
    query sees; the mean of the values under these weights. But there are fewer keys and values than
    queries, and perhaps older ones before them. Use your repeat_kv and causal_mask.

    Args:
        q: Queries, float[B, H, T, h], at the positions start, start + 1, ...
        k: Keys, float[B, K, S, h], at the positions 0 to start + T - 1.
        v: Values, likewise.
        start: The position of the first query.

    Returns:
        float[B, H, T, h].
    """
    group_size = q.shape[1] // k.shape[1]
    k, v = repeat_kv(k, group_size), repeat_kv(v, group_size)  # (B, H, S, h) each
    scores = q @ k.transpose(-2, -1) / math.sqrt(q.shape[-1])  # (B, H, T, S)
    sees = causal_mask(q.shape[2], start).to(q.device)  # (T, S)
    return scores.masked_fill(~sees, -math.inf).softmax(-1) @ v


class Cache:
    """The keys and values of one layer, for positions that need not be computed again.

    Slot m holds position m. The slots are made once; those that are not filled yet hold zeros.
    """

    def __init__(self, config, batch_size=1):
        h = config.dim // config.n_heads
        shape = (batch_size, config.n_kv_heads, config.max_seq_len, h)
        self.k, self.v = torch.zeros(shape), torch.zeros(shape)  # (B, K, max_seq_len, h) each

    def update(self, k, v, start):
        """Write new keys and values to their slots, and return all there are.

        Args:
            k: New keys, float[B, K, T, h], at the positions start to start + T - 1.
            v: New values, likewise.
            start: The position of the first: all slots before it are filled, those after it not.

        Returns:
            Keys and values of the positions 0 to start + T - 1, float[B, K, S, h] each.
        """
        end = start + k.shape[2]
        self.k[:, :, start:end] = k
        self.v[:, :, start:end] = v
        return self.k[:, :, :end], self.v[:, :, :end]


class Attention(nn.Module):
    """The attention layer of a Llama."""

    def __init__(self, config):
        super().__init__()
        self.head_dim = config.dim // config.n_heads
        kv_dim = config.n_kv_heads * self.head_dim
        self.wq = nn.Linear(config.dim, config.dim, bias=False)
        self.wk = nn.Linear(config.dim, kv_dim, bias=False)
        self.wv = nn.Linear(config.dim, kv_dim, bias=False)
        self.wo = nn.Linear(config.dim, config.dim, bias=False)

    def heads(self, x):
        """Cut the features into heads: float[B, T, H · h] becomes float[B, H, T, h]."""
        return x.unflatten(-1, (-1, self.head_dim)).transpose(1, 2)

    def forward(self, x, cos, sin, cache=None, start=0):
        """Let every position of x gather from those that it sees.

        Make queries, keys and values in heads; rotate the queries and the keys for their positions;
        if there is a cache, put the keys and values into it and take all that it then holds; let
        your attention do its work; put the heads side by side again, and let wo mix them.

        Args:
            x: The normed stream, float[B, T, D], at the positions start, start + 1, ...
            cos: Cosines from rope_table, float[max_seq_len, h / 2], from position 0 on.
            sin: Sines, likewise.
            cache: A Cache, or None: then start is 0.
            start: The position of the first.

        Returns:
            float[B, T, D].
        """
        q, k, v = self.heads(self.wq(x)), self.heads(self.wk(x)), self.heads(self.wv(x))
        q, k = rotate_at(q, cos, sin, start), rotate_at(k, cos, sin, start)
        if cache is not None:
            k, v = cache.update(k, v, start)  # (B, K, S, h) each
        y = attention(q, k, v, start)  # (B, H, T, h)
        return self.wo(y.transpose(1, 2).flatten(2))


def take_back(caches, n):
    """Let a model forget the last n tokens that it has read.

    These caches know how many positions they hold: cache.length, which is also the position of the
    next token. (The Cache above has no length; it is told start at each call.) A slot at or after
    the length is written again before it is read, so there is nothing to erase: leave the
    slots alone. Return nothing.

    Args:
        caches: A list of caches, one for each layer of the model; they are changed.
        n: How many tokens, 0 or more.

    Raises:
        ValueError: They hold fewer than n tokens. Then nothing has been changed.
    """
    if n > caches[0].length:
        raise ValueError(f"n={n}: the caches hold {caches[0].length} tokens")
    for cache in caches:
        cache.length -= n


def to_eight_bits(x):
    """Round keys or values to integers of 8 bits, with one scale for each vector.

    A vector's scale is its largest size |x|, divided by 127, so that this feature becomes 127 or
    -127; all its features are divided by the scale and rounded to the nearest integer. Whoever
    needs the vector multiplies again. A vector of zeros has integers of 0, and any finite scale.

    Args:
        x: float[..., h].

    Returns:
        The integers, int8[..., h], and the scales, float16[..., 1].
    """
    scale = x.abs().amax(-1, keepdim=True).clamp(min=1e-4) / 127  # (..., 1)
    return (x / scale).round().to(torch.int8), scale.half()
