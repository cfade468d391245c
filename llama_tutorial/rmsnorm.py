r"""RMSNorm: divide a vector by its root mean square, then scale each feature.

.. math:: y = \frac{x}{\sqrt{\frac{1}{D}\sum_i x_i^2 + \epsilon}} \odot g

GPT's LayerNorm also subtracts the mean and adds a bias; Llama 2 does neither. The norm runs over
the features of one position and never over positions, which would let the future leak in.

Source: Zhang and Sennrich (2019), "Root Mean Square Layer Normalization"; Meta's ``model.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llama_tutorial._util.shapes import Float


class RMSNorm(nn.Module):
    """Root-mean-square normalisation over the last axis.

    The mean of squares is taken in float32 (float64 for float64 input), since squares of half
    precision overflow above 255. The result goes back to the input's dtype *before* the weight
    multiplies it, as in Meta's code; :class:`torch.nn.RMSNorm` multiplies first, which in
    bfloat16 differs in the last bit.

    Args:
        dim: Number of features, D.
        eps: Added to the mean of squares, inside the root.
    """

    def __init__(self, dim: int, eps: float | int = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Normalise each vector of ``x``, any floating dtype, and keep its shape."""
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        mean_square = wide.pow(2).mean(-1, keepdim=True)  # (..., 1)
        return (wide * torch.rsqrt(mean_square + self.eps)).type_as(x) * self.weight
