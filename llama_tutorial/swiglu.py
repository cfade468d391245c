r"""SwiGLU: a feed-forward layer with a gate.

.. math::
    y &= W_2\,\bigl(\mathrm{SiLU}(W_1 x) \odot W_3 x\bigr) \\
    \mathrm{SiLU}(z) &= z\,\sigma(z)

``w1`` is the gate, ``w3`` the way up, ``w2`` the way down (Meta's numbering). Three matrices
where GPT has two, so the hidden width shrinks from 4·D to about two thirds of that, and the layer
costs the same.

Source: Shazeer (2020), "GLU Variants Improve Transformer"; Meta's ``model.py``.
"""

from __future__ import annotations

import math

from torch import Tensor, nn
from torch.nn import functional as F

from llama_tutorial._util.shapes import Float


class SwiGLU(nn.Module):
    """The gated feed-forward layer of Llama 2.

    Args:
        dim: Input and output width, D.
        hidden_dim: Inner width, F; :func:`hidden_dim` gives Llama's.
        bias: Biases on all three matrices (Llama has none).
    """

    def __init__(self, dim: int, hidden_dim: int, bias: bool = False) -> None:
        super().__init__()
        self.w1 = nn.Linear(dim, hidden_dim, bias=bias)  # gate
        self.w2 = nn.Linear(hidden_dim, dim, bias=bias)  # down
        self.w3 = nn.Linear(dim, hidden_dim, bias=bias)  # up

    def forward(self, x: Float[Tensor, "... D"]) -> Float[Tensor, "... D"]:
        """Apply the layer to each vector of ``x``, in ``x``'s dtype."""
        return self.w2(F.silu(self.w1(x)) * self.w3(x))


def hidden_dim(
    dim: int, multiple_of: int = 256, ffn_dim_multiplier: float | int | None = None
) -> int:
    """Llama's inner width for a residual stream of width ``dim``.

    Two thirds of ``4 * dim``, times the multiplier, rounded up to a multiple: 11008 for 7B, and
    with ``multiple_of=4096`` and ``ffn_dim_multiplier=1.3`` the 28672 of 70B. Each product is cut
    to a whole number at once, in Meta's order, because later rounding would give other sizes.

    Raises:
        ValueError: ``dim`` or ``multiple_of`` is below 1, or the multiplier is not above 0.
    """
    if dim < 1 or multiple_of < 1:
        raise ValueError(f"dim={dim}, multiple_of={multiple_of}: both must be at least 1")
    if ffn_dim_multiplier is not None and not ffn_dim_multiplier > 0:
        raise ValueError(f"ffn_dim_multiplier={ffn_dim_multiplier}: must be above 0, or None")
    hidden = int(2 * (4 * dim) / 3)
    if ffn_dim_multiplier is not None:
        hidden = int(ffn_dim_multiplier * hidden)
    return multiple_of * math.ceil(hidden / multiple_of)
