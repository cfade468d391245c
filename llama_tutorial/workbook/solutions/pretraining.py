"""A training run's parts: windows, loss, gradient, clipping, AdamW, learning rate."""

import math

import torch
from torch.nn import functional as F


def rows_at(stream, starts, T):
    """Cut windows of T + 1 tokens from a stream: the inputs of a batch, and its targets.

    Args:
        stream: int[n], token ids.
        starts: Where each window begins, a list of B int.
        T: Tokens of a row.

    Returns:
        Inputs and targets, int[B, T] each: the target of an input is the token that follows it in
        the stream.
    """
    rows = torch.stack([stream[start : start + T + 1] for start in starts])  # (B, T + 1)
    return rows[:, :-1], rows[:, 1:]


def loss_of(model, x, y, documents=None):
    """The mean of -ln p(target) over all tokens of a batch that have a target.

    Args:
        model: ``model(x, documents=documents)`` are the logits, float[B, T, V].
        x: Token ids, int[B, T].
        y: Targets, int[B, T]: the token that each position should predict (the shift by one has
            been made), or -100 where there is none.
        documents: int[B, T], which document each token belongs to, or None; for the model.

    Returns:
        The loss, a tensor of one number, float[].
    """
    logits = model(x, documents=documents)  # (B, T, V)
    return F.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=-100)


def accumulated(model, batch, parts):
    """The gradient of a batch that is computed in parts, as large as that of the whole batch.

    The loss is the mean over the tokens that have a target, and the parts may hold unequally many
    of them, even none. Gradients that are there already do not count.

    Args:
        model: A module; ``model(x, documents=documents)`` are the logits, float[B, T, V].
        batch: Inputs x, targets y and documents, int[B, T] each; a target of -100 means none.
        parts: How many parts the rows are cut into; at most B. One part at a time is in memory.

    Returns:
        The gradients of ``model.parameters()``, all in one vector, float[n].
    """
    n_targets = (batch[1] != -100).sum()
    model.zero_grad()
    for x, y, documents in zip(*(one.tensor_split(parts) for one in batch), strict=True):
        logits = model(x, documents=documents).flatten(0, 1)
        total = F.cross_entropy(logits, y.flatten(), ignore_index=-100, reduction="sum")
        (total / n_targets).backward()
    return torch.cat([parameter.grad.flatten() for parameter in model.parameters()])


def clip(gradients, longest):
    """Scale gradients down, if all of them together are longer than allowed.

    Their length is the norm of all their numbers as one vector. If it is above longest, each is
    multiplied by the same factor, so that together they are as long as longest; else they stay.

    Args:
        gradients: A list of tensors, of any shapes.
        longest: A number above 0.

    Returns:
        A list of tensors, the gradients after clipping.
    """
    norm = torch.cat([gradient.flatten() for gradient in gradients]).norm()
    factor = (longest / norm).clamp(max=1)
    return [gradient * factor for gradient in gradients]


class AdamW:
    """AdamW with the paper's numbers.

    For each weight w with gradient g it keeps two running means, of g and of g squared, both 0 at
    first: m becomes 0.9 m + 0.1 g, and v becomes 0.95 v + 0.05 g squared. In step t, counted from
    1, both are corrected for having begun at 0: m by 1 / (1 - 0.9^t), v by 1 / (1 - 0.95^t). Then w
    shrinks by the factor 1 - lr * 0.1, if it belongs to a matrix (or to a tensor of more axes), and
    moves against the corrected m, divided by (the root of the corrected v) + 1e-5, times lr.
    """

    def __init__(self, parameters):
        """Take the parameters, an iterable of tensors whose ``grad`` will be filled."""
        self.weights = list(parameters)
        self.m = [torch.zeros_like(w) for w in self.weights]
        self.v = [torch.zeros_like(w) for w in self.weights]
        self.t = 0

    @torch.no_grad()
    def step(self, lr):
        """Change all weights in place, by their gradients, with the learning rate lr."""
        self.t += 1
        for w, m, v in zip(self.weights, self.m, self.v, strict=True):
            m.lerp_(w.grad, 1 - 0.9)
            v.lerp_(w.grad**2, 1 - 0.95)
            if w.ndim >= 2:
                w *= 1 - lr * 0.1
            m_hat = m / (1 - 0.9**self.t)
            v_hat = v / (1 - 0.95**self.t)
            w -= lr * m_hat / (v_hat.sqrt() + 1e-5)


def rate(step, peak, warmup, total):
    """The learning rate: a linear rise, half a cosine down to a tenth, and then that tenth.

    Args:
        step: Number of the update, an int. At 0 the rate is 0; at warmup it is the peak.
        peak: The highest rate.
        warmup: Steps of the linear rise, at least 1.
        total: The step at which the cosine, which begins at warmup, has come down to a tenth of the
            peak. From there on the rate stays.

    Returns:
        The rate, a float.
    """
    if step < warmup:
        return peak * step / warmup
    if step >= total:
        return 0.1 * peak
    done = (step - warmup) / (total - warmup)
    return peak * (0.55 + 0.45 * math.cos(math.pi * done))
