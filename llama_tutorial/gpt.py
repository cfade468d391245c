r"""What GPT-2 has and Llama 2 replaces: LayerNorm, GELU, learned positions, the tied head.

.. math:: \mathrm{LayerNorm}(x) = \frac{x - \bar x}{\sqrt{\mathrm{Var}(x) + \epsilon}} \odot g + b

The causal attention between them stays; GPT's is :class:`~llama_tutorial.gqa.GroupedQueryAttention`
with as many key heads as query heads.

Source: Radford et al. (2019), "Language Models are Unsupervised Multitask Learners", and the
``model.py`` published with it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llama_tutorial._util.shapes import Float, Int


class LayerNorm(nn.Module):
    """Layer normalisation over the last axis: mean 0, variance 1, then scale and shift.

    Mean and variance (the biased one, divided by D) are taken in float32, or float64 for float64
    input, like :class:`~llama_tutorial.rmsnorm.RMSNorm`'s mean of squares.

    Args:
        dim: Number of features, D.
        eps: Added to the variance, inside the root.
        bias: Learn a shift as well as a scale.
    """

    def __init__(self, dim: int, eps: float | int = 1e-5, bias: bool = True) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))
        self.bias = nn.Parameter(torch.zeros(dim)) if bias else None

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Normalise each vector of ``x``, any floating dtype, and keep its shape."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        centred = wide - wide.mean(-1, keepdim=True)
        variance = centred.pow(2).mean(-1, keepdim=True)  # (..., 1)
        y = (centred * torch.rsqrt(variance + self.eps)).type_as(x) * self.weight
        return y if self.bias is None else y + self.bias


class GeluFeedForward(nn.Module):
    """GPT's feed-forward layer: up, GELU, down.

    GELU is in the tanh form that GPT-2 was trained with. The matrices carry the names of their
    counterparts in :class:`~llama_tutorial.swiglu.SwiGLU`: ``w1`` up, ``w2`` down.

    Args:
        dim: Input and output width, D.
        hidden_dim: Inner width, F; 4·D in GPT-2.
        bias: Biases on both matrices (GPT-2 has them).
    """

    def __init__(self, dim: int, hidden_dim: int, bias: bool = True) -> None:
        super().__init__()
        self.w1 = nn.Linear(dim, hidden_dim, bias=bias)
        self.w2 = nn.Linear(hidden_dim, dim, bias=bias)

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Apply the layer to each vector of ``x``, in ``x``'s dtype."""
        return self.w2(F.gelu(self.w1(x), approximate="tanh"))


class LearnedPositions(nn.Module):
    """One learned vector for each position, added to the token's embedding.

    Args:
        max_seq_len: Number of positions. Beyond it there is no vector: the model cannot go on.
        dim: Width of the residual stream, D.
    """

    def __init__(self, max_seq_len: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(max_seq_len, dim))

    def forward(self, positions: Int[Tensor, "#B T"]) -> Float[Tensor, "#B T D"]:
        """The vectors at ``positions``."""
        return self.weight[positions]


class TiedOutput(nn.Module):
    """An output head without a matrix of its own: it multiplies by the token embedding's.

    Whoever puts another embedding into a model must give it another head, too.

    Args:
        embedding: The token embedding, whose weight ``(V, D)`` it shares.
    """

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self._shared = (
            embedding,
        )  # a tuple, which torch does not register: the weight counts once

    @property
    def weight(self) -> Float[Tensor, "V D"]:
        """The embedding's matrix."""
        return self._shared[0].weight

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
        """The logits of each vector of ``x``, in ``x``'s dtype."""
        return F.linear(x, self.weight)
