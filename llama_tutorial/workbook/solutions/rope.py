"""Positions as rotations of queries and keys."""

import torch


def rope_table(head_dim, max_seq_len, theta=10000.0):
    """Cosines and sines of all angles, up to max_seq_len positions.

    At position m, pair j of a head is rotated by m · θ^(-2j / h) radians, for j = 0 to h/2 - 1:
    pair 0 by one radian a position, the last pair hardly at all.

    Args:
        head_dim: Width of one head, h; even.
        max_seq_len: How many positions; the first is 0.
        theta: The base θ of the frequencies.

    Returns:
        Two tensors, float[max_seq_len, h / 2] each: the cosines and the sines, in float32 or wider.
    """
    pairs = torch.arange(0, head_dim, 2, dtype=torch.float64)  # 2j, (h / 2,)
    positions = torch.arange(max_seq_len, dtype=torch.float64)  # (max_seq_len,)
    angles = torch.outer(positions, theta ** (-pairs / head_dim))  # (max_seq_len, h / 2)
    return angles.cos().float(), angles.sin().float()


def rotate(x, cos, sin):
    """Rotate each pair of neighbouring features of x by its angle.

    Pair j is made of the features (2j, 2j + 1). Rotated by the angle φ, the pair (a, b) becomes
    (a cos φ - b sin φ, a sin φ + b cos φ).

    Args:
        x: Queries or keys, float[..., T, h], of any dtype.
        cos: Cosines of the angles, float[T, h / 2]: a row for each position, a column for a pair.
        sin: Sines, likewise.

    Returns:
        float[..., T, h]: the rotated x, a new tensor, in the dtype of x.
    """
    a, b = x[..., 0::2], x[..., 1::2]  # (..., T, h / 2) each
    pairs = torch.stack((a * cos - b * sin, a * sin + b * cos), dim=-1)  # (..., T, h / 2, 2)
    return pairs.flatten(-2).type_as(x)  # (..., T, h)


def rotate_at(x, cos, sin, start=0):
    """Rotate x, whose first position is not 0: as rotate does, with the rows of the tables for it.

    When a model writes token by token, each call brings one token, and its position is the number
    of tokens before it.

    Args:
        x: Queries or keys, float[..., T, h], at the positions start to start + T - 1.
        cos: Cosines from rope_table, float[max_seq_len, h / 2]: more rows than x has positions.
        sin: Sines, likewise.
        start: The position of the first one.

    Returns:
        float[..., T, h], in the dtype of x.
    """
    end = start + x.shape[-2]
    return rotate(x, cos[start:end], sin[start:end])


def to_half_split(weight, n_heads):
    """Reorder the rows of wq or wk from Meta's layout into Hugging Face's.

    In Meta's checkpoints the features of pair j of a head are neighbours, 2j and 2j + 1. In Hugging
    Face's, they are half a head apart, j and j + h/2. The pairs stay in their order, and so do the
    heads: a head (0, 1, 2, 3, 4, 5) becomes (0, 2, 4, 1, 3, 5).

    Args:
        weight: float[n_heads · h, D]; each row makes one feature of a head.
        n_heads: Heads in this matrix: for wk, the key heads.

    Returns:
        float[n_heads · h, D]: the same rows in another order.
    """
    pairs = weight.unflatten(0, (n_heads, -1, 2))  # (n_heads, h / 2, 2, D)
    return pairs.transpose(1, 2).flatten(0, 2)
