r"""The layers of Llama 2 in NumPy: the forward pass on one page.

.. math::
    h &= x + \mathrm{Attention}(\mathrm{RMSNorm}(x)) \\
    \hat h &= \mathrm{RMSNorm}(h) \\
    y &= h + W_2\,\bigl(\mathrm{SiLU}(W_1 \hat h) \odot W_3 \hat h\bigr)

Functions of arrays: T tokens of one row in, T out. All of it is float32, and that takes care. NumPy
makes float64 arrays unless told otherwise, and one of them turns everything after it into float64:
twice the bytes to move, and the weights converted at every product. So single numbers are Python's
(``math.sqrt(h)``), not NumPy's (``np.sqrt(h)``), for which NumPy 2 widens an array.

Source: Meta's ``model.py``.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from llama_tutorial._util.shapes import Float


class Layer(NamedTuple):
    """The weights of one block."""

    attention_norm: Float[np.ndarray, " D"]
    wq: Float[np.ndarray, "D D"]
    wk: Float[np.ndarray, "Kh D"]
    wv: Float[np.ndarray, "Kh D"]
    wo: Float[np.ndarray, "D D"]
    ffn_norm: Float[np.ndarray, " D"]
    w1: Float[np.ndarray, "F D"]  # gate
    w2: Float[np.ndarray, "D F"]  # down
    w3: Float[np.ndarray, "F D"]  # up


def attention(
    x: Float[np.ndarray, "T D"],
    layer: Layer,
    rotation: np.ndarray,
    keys: Float[np.ndarray, "K S_max h"],
    values: Float[np.ndarray, "K S_max h"],
    start: int,
) -> Float[np.ndarray, "T D"]:
    """Grouped-query attention of T tokens, the first at position ``start``, to all up to their own.

    Their keys and values are written into the slots from ``start`` on. ``rotation`` is that of
    their positions, ``(T, 1, h / 2)``, the same for every head.
    """
    T, (K, _, h), stop = len(x), keys.shape, start + len(x)
    q = rotate((x @ layer.wq.T).reshape(T, -1, h), rotation)  # (T, H, h)
    k = rotate((x @ layer.wk.T).reshape(T, K, h), rotation)  # (T, K, h)
    v = (x @ layer.wv.T).reshape(T, K, h)  # (T, K, h)
    keys[:, start:stop] = k.swapaxes(0, 1)
    values[:, start:stop] = v.swapaxes(0, 1)

    q = q.reshape(T, K, -1, h).transpose(1, 2, 0, 3)  # (K, G, T, h): G heads share a key head
    k, v = keys[:, None, :stop], values[:, None, :stop]  # (K, 1, S, h)
    scores = q @ k.swapaxes(-1, -2) / math.sqrt(h)  # (K, G, T, S)
    if T > 1:  # query i sees key j if j <= start + i; a lone query, the newest, sees all
        scores[..., ~np.tri(T, stop, start, dtype=bool)] = -np.inf
    y = softmax(scores) @ v  # (K, G, T, h)
    return y.transpose(2, 0, 1, 3).reshape(T, -1) @ layer.wo.T  # (T, D)


def feed_forward(x: Float[np.ndarray, "T D"], layer: Layer) -> Float[np.ndarray, "T D"]:
    """SwiGLU: one way up gates the other."""
    return (silu(x @ layer.w1.T) * (x @ layer.w3.T)) @ layer.w2.T


def softmax(x: Float[np.ndarray, "... S"]) -> Float[np.ndarray, "... S"]:
    """Exponentials that sum to 1 over the last axis; the largest becomes 1, so none overflows."""
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def log_softmax(x: Float[np.ndarray, "... S"]) -> Float[np.ndarray, "... S"]:
    """The logarithm of :func:`softmax`, also where that would round to 0."""
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def rms_norm(
    x: Float[np.ndarray, "T D"], weight: Float[np.ndarray, " D"], eps: float | int
) -> Float[np.ndarray, "T D"]:
    """Each vector over its root mean square, then each feature by its weight."""
    mean_square = (x * x).sum(-1, keepdims=True) / x.shape[-1]  # (T, 1)
    return x / np.sqrt(mean_square + eps) * weight


def silu(x: Float[np.ndarray, "T F"]) -> Float[np.ndarray, "T F"]:
    """``x`` times its sigmoid ``1 / (1 + exp(-x))``, which is a tanh at half the size.

    In float32 ``exp(-x)`` would overflow for any ``x`` below -88.
    """
    return x * (1 + np.tanh(x / 2)) / 2


def rotations(head_dim: int, max_seq_len: int, theta: float | int) -> np.ndarray:
    """RoPE's rotations as complex numbers of length 1: ``(max_seq_len, head_dim / 2)``, complex64.

    The angles are float64 until the end: a float32 product of position and frequency is off by up
    to 4e-4 radians at position 4095.
    """
    pairs = np.arange(0, head_dim, 2) / head_dim  # (half,)
    angles = np.outer(np.arange(max_seq_len), float(theta) ** -pairs)  # (S, half)
    return np.exp(1j * angles).astype(np.complex64)


def rotate(
    x: Float[np.ndarray, "T heads h"], rotation: np.ndarray
) -> Float[np.ndarray, "T heads h"]:
    """RoPE: a pair of neighbouring features is a complex number, and rotated by a product."""
    return (x.view(np.complex64) * rotation).view(np.float32)
