"""From LayerNorm to RMSNorm: divide each vector by its size, and leave its mean alone."""

import copy

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


def rms_norm_backward(x, weight, grad, eps=1e-5):
    """The gradients of y = weight · x / r, where r is the root of the mean square of x.

    y depends on x in two ways: through the numerator, and through r, in which all features of the
    vector meet. No autograd: write the formula.

    Args:
        x: What went in, float[..., D].
        weight: The weight of each feature, float[D].
        grad: The gradient of the loss for y, float[..., D].
        eps: Added to the mean of the squares, under the root.

    Returns:
        The gradients for x, float[..., D], and for weight, float[D].
    """
    r = (x.pow(2).mean(-1, keepdim=True) + eps).sqrt()  # (..., 1)
    y, u = x / r, grad * weight  # (..., D) each
    grad_x = (u - y * (u * y).mean(-1, keepdim=True)) / r
    return grad_x, (grad * y).reshape(-1, x.shape[-1]).sum(0)


@torch.no_grad()
def folded(model):
    """Move the weights of all norms of a Llama into the matrices that read what was normed.

    A matrix that reads y · weight, feature by feature, can do the multiplying itself: it then reads
    y, and the weight of the norm is 1. Each norm has its own readers: in a block, attention_norm is
    read by the matrices of the attention (wq, wk, wv) and ffn_norm by the gate and the way up (w1,
    w3); the last norm is read by the head. The logits stay what they were.

    Args:
        model: A Llama whose head has a matrix of its own: model.layers with .attention_norm,
            .attention, .ffn_norm and .feed_forward; model.norm; model.output. It must stay as it
            is: copy.deepcopy(model) makes another.

    Returns:
        A new model, whose norms all have the weight 1.
    """
    model = copy.deepcopy(model)
    readers = [(model.norm, [model.output])]
    for layer in model.layers:
        attention, feed_forward = layer.attention, layer.feed_forward
        readers.append((layer.attention_norm, [attention.wq, attention.wk, attention.wv]))
        readers.append((layer.ffn_norm, [feed_forward.w1, feed_forward.w3]))
    for norm, linears in readers:
        for linear in linears:
            linear.weight *= norm.weight  # (out, D) times (D,): column by column
        norm.weight.fill_(1)
    return model


def variances(x):
    """The variance of some numbers, in one pass over them and in two, all in float32.

    In one pass: the mean of the squares, minus the square of the mean. In two passes: the mean
    first, then the mean of the squared distances from it. Both divide by the number of numbers,
    D, and are the same on paper. In float32 they differ if the mean is large, and your result
    should show it: compute in the dtype of x.

    Args:
        x: float32[D].

    Returns:
        Two floats: in one pass, and in two.
    """
    one_pass = x.pow(2).mean() - x.mean().pow(2)
    two_passes = (x - x.mean()).pow(2).mean()
    return one_pass.item(), two_passes.item()


def partial_rms_norm(x, weight, share, eps=1e-5):
    """RMSNorm that looks at the first features only, and divides all of them.

    The root mean square is estimated from the first share · D features, rounded down; all D
    features are divided by it, then multiplied by their weights.

    Args:
        x: The vectors, float[..., D].
        weight: float[D].
        share: Between 0 and 1: 0.25 looks at a quarter of the features.
        eps: Added to the mean of the squares, under the root.

    Returns:
        float[..., D].
    """
    first = x[..., : int(share * x.shape[-1])]
    mean_square = first.pow(2).mean(-1, keepdim=True)  # (..., 1)
    return x * torch.rsqrt(mean_square + eps) * weight
