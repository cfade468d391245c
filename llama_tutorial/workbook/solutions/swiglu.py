"""SwiGLU: a feed-forward layer with a gate."""

import math

import torch
from torch import nn


def silu(z):
    """SiLU, the curve of the gate: z times the logistic function of z, z / (1 + e^-z).

    Args:
        z: float[...], any numbers, also far from 0: silu(-1000) is 0 and silu(1000) is 1000.

    Returns:
        float[...].
    """
    return z * torch.sigmoid(z)


def swiglu(x, w1, w2, w3):
    """Llama's feed-forward layer: W2 (SiLU(W1 x) ⊙ W3 x), for each vector of x.

    w1 is the gate, w3 the way up, w2 the way down; that is Meta's numbering. As in nn.Linear, a
    matrix has a row for each feature that comes out. ⊙ multiplies feature by feature.

    Args:
        x: The vectors, float[..., D].
        w1: float[F, D].
        w2: float[D, F].
        w3: float[F, D].

    Returns:
        float[..., D].
    """
    gate, up = x @ w1.T, x @ w3.T  # (..., F) each
    return (silu(gate) * up) @ w2.T


def hidden_dim(dim, multiple_of=256, multiplier=None):
    """How wide Llama makes the layer, F, for a stream of width dim, D.

    Three matrices are to cost what GPT's two with 4 · D cost: so two thirds of 4 · D, and a
    multiplier times that, if there is one. Both results are cut to an integer (int) at once. Then
    it is rounded up to a multiple of multiple_of.

    Args:
        dim: The width of the stream, D: 4096 for 7B.
        multiple_of: 256 for 7B, 4096 for 70B.
        multiplier: None for 7B, 1.3 for 70B.

    Returns:
        An integer: 11008 for 7B, 28672 for 70B.
    """
    hidden = int(2 * (4 * dim) / 3)
    if multiplier is not None:
        hidden = int(multiplier * hidden)
    return multiple_of * math.ceil(hidden / multiple_of)


class FeedForward(nn.Module):
    """The layer in a model, made of your swiglu. Nothing to do here."""

    def __init__(self, config):
        super().__init__()
        self.w1 = nn.Linear(config.dim, config.hidden_dim, bias=False)
        self.w2 = nn.Linear(config.hidden_dim, config.dim, bias=False)
        self.w3 = nn.Linear(config.dim, config.hidden_dim, bias=False)

    def forward(self, x):
        """Apply the layer to each vector of x, float[..., D]."""
        return swiglu(x, self.w1.weight, self.w2.weight, self.w3.weight)
