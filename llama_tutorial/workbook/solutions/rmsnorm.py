"""From LayerNorm to RMSNorm: divide each vector by its size, and leave its mean alone."""

import torch
from torch import nn


def rms_norm(x, eps=1e-5):
    """Divide each vector of x by its root mean square.

    The root mean square is the root of the mean of the squared features; eps is added to the mean,
    under the root. The squares are taken in float32 (in float64 for a float64 x), because those of
    a float16 overflow above 255; the result goes back to the dtype of x.

    Args:
        x: The vectors, float[..., D], of any dtype.
        eps: A small number.

    Returns:
        float[..., D], in the dtype of x.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    mean_square = wide.pow(2).mean(-1, keepdim=True)  # (..., 1)
    return (wide * torch.rsqrt(mean_square + eps)).to(x.dtype)


class RMSNorm(nn.Module):
    """RMSNorm as a layer of a model, with a learned weight for each feature.

    The weight multiplies what rms_norm gives in the dtype of x: the cast comes first, then the
    weight, as in Meta's code. (torch.nn.RMSNorm has the other order, which differs in the last bit
    of a bfloat16.)
    """

    def __init__(self, dim, eps=1e-5):
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(dim))

    def forward(self, x):
        """Norm and scale each vector of x, float[..., D]; the shape stays."""
        return rms_norm(x, self.eps) * self.weight


def centre_writer(weight):
    """Change a matrix so that nothing it writes has a mean, and change nothing else.

    A matrix W writes W @ x into the residual stream, whose D features LayerNorm centres again and
    again. If what all matrices write has mean 0 to begin with, there is nothing to centre, and
    LayerNorm is RMSNorm. So take from W what makes the mean: for every x, the new W @ x must be the
    old one minus its mean over the D features.

    Args:
        weight: The matrix W, float[D, F].

    Returns:
        float[D, F]: the new matrix; the old one stays as it is.
    """
    return weight - weight.mean(0, keepdim=True)
