r"""RoPE: positions as rotations of queries and keys.

The features of a head are taken in pairs :math:`(2j, 2j+1)`, and at position :math:`m` each pair is
rotated by its own angle,

.. math:: \phi_{m,j} = m\,\theta^{-2j/h}, \quad 0 \le j < h/2 .

The product of a query rotated by :math:`\phi_m` and a key rotated by :math:`\phi_n` depends on
:math:`m - n` alone, so attention sees distances, not places.

Two layouts of the pairs are in use. **Interleaved**, neighbours :math:`(2j, 2j+1)`, is Meta's and
the only one inside this package. **Half-split**, :math:`(j, j + h/2)`, is Hugging Face's::

    interleaved   0 1 | 2 3 | 4 5 | 6 7      pair j = features 2j and 2j+1
    half-split    0 2 4 6 | 1 3 5 7          pair j = places j and j + h/2

A model moves from one to the other by a permutation of the rows of ``wq`` and ``wk``, once, at
load: :func:`to_half_split` and :func:`to_interleaved`.

Source: Su et al. (2021), "RoFormer"; ``precompute_freqs_cis`` and ``apply_rotary_emb`` in Meta's
``model.py``; ``permute`` in Hugging Face's conversion script.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from llama_tutorial._util.shapes import Float


def rope_table(
    head_dim: int,
    max_seq_len: int,
    theta: float | int = 10000.0,
    *,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> tuple[Float[Tensor, "S half"], Float[Tensor, "S half"]]:
    """Cosines and sines of every angle, ``(max_seq_len, head_dim / 2)`` each.

    The angles are multiplied in float64 and only then rounded to ``dtype``: a float32 product
    of position and frequency is off by up to 4e-4 radians at position 4095.

    Args:
        head_dim: Width of one head, h; even.
        max_seq_len: Number of positions.
        theta: Base of the frequencies; 10000 in Llama 2.
        dtype: Of the tables. Nothing below float32: bfloat16 can tell only 769 of 4096 positions
            apart.
        device: Of the tables.

    Raises:
        ValueError: ``head_dim`` is odd or below 2, or ``max_seq_len`` is below 1.
    """
    if head_dim < 2 or head_dim % 2:
        raise ValueError(
            f"head_dim={head_dim}: RoPE rotates pairs, so it must be even and at least 2"
        )
    if max_seq_len < 1:
        raise ValueError(f"max_seq_len={max_seq_len}: must be at least 1")
    device = torch.empty(0, device=device).device  # the default one for None
    if device.type == "meta":  # without storage there is nothing to compute
        empty = torch.empty(max_seq_len, head_dim // 2, dtype=dtype, device=device)
        return empty, empty.clone()
    # On the CPU, so that the tables are the same everywhere: not every accelerator has float64.
    pairs = torch.arange(0, head_dim, 2, dtype=torch.float64, device="cpu")  # (half,)
    positions = torch.arange(max_seq_len, dtype=torch.float64, device="cpu")  # (S,)
    angles = torch.outer(positions, theta ** (-pairs / head_dim))  # (S, half)
    return angles.cos().to(device, dtype), angles.sin().to(device, dtype)


def apply_rope(
    x: Float[Tensor, "*B T h"], cos: Float[Tensor, "*#B T half"], sin: Float[Tensor, "*#B T half"]
) -> Float[Tensor, "*B T h"]:
    """Rotate each pair of neighbouring features of ``x`` by its angle.

    Args:
        x: Queries or keys after the split into heads, any floating dtype.
        cos: Cosines for the ``T`` positions of ``x``: rows of :func:`rope_table`, with leading
            axes that broadcast against ``x``'s where rows are at different positions.
        sin: Sines, likewise.

    Returns:
        The rotated ``x``, in its own shape and dtype; the products are taken in its dtype or the
        tables', whichever is wider.
    """
    return rotate(x, for_features(cos, sin))


class Rotation(NamedTuple):
    """What :func:`rotate` multiplies by: one factor for each feature, the same for all layers."""

    cos: Float[Tensor, "*B T h"]
    sin: Float[Tensor, "*B T h"]


def for_features(cos: Float[Tensor, "*B T half"], sin: Float[Tensor, "*B T half"]) -> Rotation:
    r"""One factor for each feature in place of one for each pair.

    A rotation by :math:`\phi` takes a pair :math:`(a, b)` to
    :math:`(a, b) \cos\phi + (b, a) (-\sin\phi, \sin\phi)`. So every cosine stands twice, and so
    does every sine, first with a minus.
    """
    cos, sin = torch.stack((cos, cos), -1), torch.stack((-sin, sin), -1)  # (..., T, half, 2)
    return Rotation(cos.flatten(-2), sin.flatten(-2))


def rotate(x: Float[Tensor, "*B T h"], rotation: Rotation) -> Float[Tensor, "*B T h"]:
    """As :func:`apply_rope`, with what :func:`for_features` has made of its tables."""
    wide = x.to(torch.promote_types(x.dtype, rotation.cos.dtype))
    swapped = wide.unflatten(-1, (-1, 2)).roll(1, -1).flatten(-2)  # (b, a) for every pair (a, b)
    return torch.addcmul(wide * rotation.cos, swapped, rotation.sin).type_as(x)


def to_half_split(
    weight: Float[Tensor, " rows *columns"], n_heads: int
) -> Float[Tensor, " rows *columns"]:
    """Rows of ``wq`` or ``wk`` from Meta's layout into Hugging Face's.

    Args:
        weight: A weight ``(n_heads * h, D)``, or a bias ``(n_heads * h,)``.
        n_heads: Heads in *this* matrix: ``n_kv_heads`` for ``wk``.
    """
    pairs = weight.unflatten(0, (n_heads, -1, 2))  # (heads, half, 2, D)
    return pairs.transpose(1, 2).reshape(weight.shape)


def to_interleaved(
    weight: Float[Tensor, " rows *columns"], n_heads: int
) -> Float[Tensor, " rows *columns"]:
    """Rows of ``wq`` or ``wk`` from Hugging Face's layout into Meta's; undoes `to_half_split`."""
    halves = weight.unflatten(0, (n_heads, 2, -1))  # (heads, 2, half, D)
    return halves.transpose(1, 2).reshape(weight.shape)


class RotaryPositions(nn.Module):
    """The tables of one model, kept in float32 whatever the model's own dtype is.

    They are buffers, so that they follow the model to its device, but no part of its state: a
    checkpoint holds weights only. ``.to(torch.bfloat16)`` rounds buffers, and would make
    neighbouring positions equal; so after every move the tables are computed anew.

    Args:
        head_dim: Width of one head, h.
        max_seq_len: Number of positions.
        theta: Base of the frequencies.

    Attributes:
        cos: ``(max_seq_len, h / 2)``, from :func:`rope_table`.
        sin: Likewise.
    """

    def __init__(self, head_dim: int, max_seq_len: int, theta: float | int) -> None:
        super().__init__()
        self.head_dim, self.max_seq_len, self.theta = head_dim, max_seq_len, theta
        self.register_buffer("cos", None, persistent=False)
        self.register_buffer("sin", None, persistent=False)
        self.rebuild(None, torch.get_default_dtype())

    def rebuild(self, device: torch.device | None, dtype: torch.dtype) -> None:
        """Compute the tables on ``device``, in ``dtype`` or float32, whichever is wider."""
        dtype = torch.promote_types(dtype, torch.float32)
        sizes = (self.head_dim, self.max_seq_len, self.theta)
        self.cos, self.sin = rope_table(*sizes, dtype=dtype, device=device)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> RotaryPositions:
        # nn.Module sends .to(), .half(), .cuda(), .to_empty() and their kind through here.
        moved = super()._apply(fn, recurse)
        moved.rebuild(moved.cos.device, moved.cos.dtype)
        return moved
