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


def swiglu_backward(x, grad, w1, w2, w3):
    """The way back through swiglu: from the gradient for its output to those for what goes in.

    No autograd: write the formulas. The curve of the gate has the slope SiLU'(z) =
    s + z · s · (1 - s), where s is the logistic function of z.

    Args:
        x: What went in, float[N, D].
        grad: The gradient of the loss for swiglu(x, w1, w2, w3), float[N, D].
        w1: The gate, float[F, D].
        w2: The way down, float[D, F].
        w3: The way up, float[F, D].

    Returns:
        The gradients for x, w1, w2 and w3, in this order, each of the shape of its tensor.
    """
    a, b = x @ w1.T, x @ w3.T  # (N, F) each
    s = a.sigmoid()
    hidden = grad @ w2  # the gradient for SiLU(a) · b, (N, F)
    grad_a = hidden * b * (s + a * s * (1 - s))
    grad_b = hidden * silu(a)
    grad_x = grad_a @ w1 + grad_b @ w3
    return grad_x, grad_a.T @ x, grad.T @ (silu(a) * b), grad_b.T @ x


def as_swiglu(w1, bias, w2):
    """The matrices of a SwiGLU layer that does what a layer with a bias and no gate does.

    That layer is W2 SiLU(W1 x + bias). SwiGLU has no bias; but if one feature of its input is
    always 1, it can do the same: here (x, 1) goes in, the D features of x and the 1 after them.

    Args:
        w1: float[F, D].
        bias: float[F].
        w2: float[D, F].

    Returns:
        w1, w2 and w3 of the SwiGLU layer: float[F, D + 1], float[D, F] and float[F, D + 1]. Any
        three that give the same output are right.
    """
    gate = torch.cat((w1, bias[:, None]), dim=1)  # (F, D + 1)
    up = torch.zeros_like(gate)
    up[:, -1] = 1  # every unit's b is the constant
    return gate, w2, up


def gate_is_first(both, w2, x, y):
    """Whether the gate is the upper half of a matrix that holds both gate and up, or the lower.

    Some libraries keep w1 and w3 as one matrix. Its shape cannot tell which is which; an input and
    the right output can. Try both with your swiglu. A half fits as the gate if no number of the
    output is further from y than a thousandth of y.abs().max().

    Args:
        both: float[2F, D].
        w2: The way down, float[D, F].
        x: float[N, D].
        y: What the layer gives for x, float[N, D], with some rounding.

    Returns:
        True if the gate is the upper half, False if it is the lower one.

    Raises:
        ValueError: Neither fits, or both do: there is something else wrong.
    """
    upper, lower = both.chunk(2)  # (F, D) each
    limit = y.abs().max() / 1000
    upper_fits = (swiglu(x, upper, w2, lower) - y).abs().max() < limit
    lower_fits = (swiglu(x, lower, w2, upper) - y).abs().max() < limit
    if upper_fits == lower_fits:
        raise ValueError(f"the upper half fits: {upper_fits}, the lower: {lower_fits}")
    return bool(upper_fits)
