r"""Weights as integers of 8 or 4 bits, in groups of neighbours that share a scale.

.. math::
    s &= \frac{\max_i |w_i|}{127} \\
    q_i &= \mathrm{round}(w_i / s) \\
    \hat w_i &= s\,q_i, \quad |w_i - \hat w_i| \le s / 2

Each row of a matrix is cut into groups of, say, 32 or 64 neighbours, so that one outlier coarsens
so many weights and not the whole matrix. Groups lie along rows because a matrix multiplies by
rows: one group of weights meets one group of the input, and the scale multiplies their sum once.

======================  =====================  ==================  ===============================
kind                    bits a weight          integers            no weight moves by more than
======================  =====================  ==================  ===============================
int8, float32 scales    8 + 32 / group         -127 … 127          s / 2
int8, float16 scales    8 + 16 / group         -127 … 127          s (1/2 + 127 / 2048)
int4, symmetric         4 + 16 / group         0 … 15, 8 is 0.0    s (1 + 8 / 2048)
int4 with zero point    4 + 32 / group         0 … 15              s / 2, or (15 s + \|z\|) / 2048
======================  =====================  ==================  ===============================

With 8 bits the scale is that of the largest weight. With 4 bits 15 steps are few, so all are used:
the integers run from -8 to 7, and the largest weight, whatever its sign, becomes -8. A weight of
the other sign that is as large would be 8, which there is not; it becomes 7 and moves by a whole
step. All others move by half a step at most. What a float16 for the scale rounds, one part in
2048, is the rest of the bound; that is as long as the scale is one of float16's normal numbers,
above 6.1e-5, and below them it is rounded to a multiple of 6e-8.

A zero point ``z`` is the weight that the integer 0 stands for, :math:`\hat w_i = s\,q_i + z`. It
lets 15 steps span from the smallest weight to the largest where these are not alike in size.

Two integers of 4 bits share a byte as in llama.cpp's files: in a group of G, byte j holds weight j
in its low half and weight j + G / 2 in its high half.

Source: ``quantize_q80`` in llama2.c's ``export.py`` (float32 scales, groups of 64); llama.cpp's
Q8_0, Q4_0 and Q4_1 (float16 scales, groups of 32). Their integers are the ones here, but for ties:
of a weight halfway between two steps of Q8_0, llama.cpp makes the one further from 0; and of two
largest weights with opposite signs, the first that it meets becomes -8 in its Q4_0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from llama_tutorial._util.shapes import Float, Int, UInt
from llama_tutorial.config import ModelConfig

SMALLEST_GROUP = 8  # weights: with fewer the scales weigh as much as what they save


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """A matrix in int8: llama2.c's form, and llama.cpp's Q8_0.

    Attributes:
        values: int8, in -127 … 127.
        scales: float32 or float16, one for each group of neighbours in a row.
    """

    values: Int[np.ndarray, "rows columns"]
    scales: Float[np.ndarray, "rows groups"]

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the matrix: rows, columns."""
        return self.values.shape

    @property
    def group_size(self) -> int:
        """Weights that share one scale."""
        return self.values.shape[1] // self.scales.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes that the integers and their scales take."""
        return self.values.nbytes + self.scales.nbytes

    def dequantize(self) -> Float[np.ndarray, "rows columns"]:
        """The matrix in float32, a new array."""
        rows, groups = self.scales.shape
        grouped = self.values.reshape(rows, groups, -1)  # (rows, groups, group_size)
        scales = self.scales.astype(np.float32, copy=False)[..., None]
        return (grouped * scales).reshape(self.shape)  # (rows, columns)


@dataclass(frozen=True, eq=False)
class Int4Tensor:
    """A matrix in int4, two weights a byte: llama.cpp's Q4_0, and with zeros its Q4_1.

    Attributes:
        packed: uint8. Byte j of a group of G holds weight j (low half) and weight j + G / 2 (high).
        scales: float16, one for each group of neighbours in a row.
        zeros: float16, the weight that the integer 0 stands for; None for symmetric groups, where
            it is -8 scales, and the integer 8 stands for 0.
    """

    packed: UInt[np.ndarray, "rows bytes"]
    scales: Float[np.ndarray, "rows groups"]
    zeros: Float[np.ndarray, "rows groups"] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the matrix: rows, columns."""
        return self.packed.shape[0], 2 * self.packed.shape[1]

    @property
    def group_size(self) -> int:
        """Weights that share one scale."""
        return 2 * self.packed.shape[1] // self.scales.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes that the integers, their scales and zeros take."""
        zeros = 0 if self.zeros is None else self.zeros.nbytes
        return self.packed.nbytes + self.scales.nbytes + zeros

    def integers(self) -> UInt[np.ndarray, "rows groups group_size"]:
        """The integers 0 … 15 one by one, uint8, in the matrix's order."""
        grouped = self.packed.reshape(*self.scales.shape, -1)  # (rows, groups, group_size / 2)
        return np.concatenate((grouped & 15, grouped >> 4), -1)

    def dequantize(self) -> Float[np.ndarray, "rows columns"]:
        """The matrix in float32, a new array."""
        scales = self.scales.astype(np.float32)[..., None]  # (rows, groups, 1)
        if self.zeros is None:
            return ((self.integers() - np.float32(8)) * scales).reshape(self.shape)
        zeros = self.zeros.astype(np.float32)[..., None]
        return (self.integers() * scales + zeros).reshape(self.shape)  # (rows, columns)


def quantize(
    weight: Float[np.ndarray, "rows columns"], group_size: int = 64, scales: Any = np.float32
) -> QuantizedTensor:
    """Round a matrix to int8; halves go to the even neighbour.

    Args:
        weight: float32, or what converts to it.
        group_size: Weights that share a scale.
        scales: The scales' type: ``np.float32`` as llama2.c has it, ``np.float16`` as Q8_0.

    Raises:
        ValueError: ``group_size`` does not divide the rows, a weight is infinite or no number, or
            a scale is too large for its type.
    """
    check_group_size(group_size, weight.shape[1])
    weight = np.asarray(weight, np.float32)
    grouped = weight.reshape(len(weight), -1, group_size)  # (rows, groups, group_size)
    largest = np.maximum(grouped.max(-1), -grouped.min(-1))  # (rows, groups)
    _check_finite(largest, 8)
    steps = largest / np.float32(127)
    quotients = grouped / np.where(steps == 0, np.float32(1), steps)[..., None]  # of zeros: zeros
    np.rint(quotients, out=quotients)
    # A scale too small for float32's full precision leaves quotients beyond 127.
    np.clip(quotients, -127, 127, out=quotients)
    return QuantizedTensor(quotients.astype(np.int8).reshape(weight.shape), _stored(steps, scales))


def quantize_int4(
    weight: Float[np.ndarray, "rows columns"], group_size: int = 32, zero_point: bool = False
) -> Int4Tensor:
    """Round a matrix to int4, two weights a byte.

    Args:
        weight: float32, or what converts to it.
        group_size: Weights that share a scale: even.
        zero_point: Span each group from its smallest weight to its largest, for 16 bits more a
            group; else from -8 to 7 steps, as llama.cpp's Q4_0 does.

    Raises:
        ValueError: ``group_size`` is odd or does not divide the rows, a weight is infinite or no
            number, or a scale is too large for float16.
    """
    check_group_size(group_size, weight.shape[1])
    if group_size % 2:
        raise ValueError(f"group_size={group_size}: must be even, as two weights share a byte")
    weight = np.asarray(weight, np.float32)
    grouped = weight.reshape(len(weight), -1, group_size)  # (rows, groups, group_size)
    low, high = grouped.min(-1), grouped.max(-1)  # (rows, groups)
    _check_finite(np.maximum(high, -low), 4)
    if zero_point:
        zeros = _stored(low, np.float16)
        scales = _stored((high - low) / np.float32(15), np.float16)
        begin, step = zeros.astype(np.float32), scales.astype(np.float32)
        quotients = (grouped - begin[..., None]) / np.where(step == 0, 1, step)[..., None] + 0.5
    else:
        zeros = None
        step = np.where(-low >= high, low, high) / np.float32(-8)  # the largest becomes -8
        scales = _stored(step, np.float16)
        # What float16 stores as a step of 0 is a group of zeros.
        inverse = np.float32(1) / np.where(scales == 0, np.float32(1), step)
        quotients = grouped * inverse[..., None]
        quotients += np.float32(8.5)
    np.clip(quotients, 0, 15, out=quotients)
    integers = quotients.astype(np.uint8)  # rounds down
    half = group_size // 2
    packed = integers[..., :half] | integers[..., half:] << 4
    return Int4Tensor(packed.reshape(len(weight), -1), scales, zeros)


def check_group_size(group_size: int, *row_lengths: int) -> None:
    """Raise a ValueError unless ``group_size`` divides rows of all these lengths."""
    if group_size >= 1 and not any(length % group_size for length in row_lengths):
        return
    common = math.gcd(*row_lengths)
    fitting = [str(size) for size in range(1, min(common, 256) + 1) if common % size == 0]
    raise ValueError(
        f"group_size={group_size}: must divide rows of {' and '.join(map(str, row_lengths))} "
        "weights, or the last columns of a row would fall into no group and be lost; "
        f"group sizes that do: {', '.join(fitting)}"
    )


def fitting_group(row_length: int, most: int = 32) -> int | None:
    """The largest even group of 8 to ``most`` weights that divides a row; None if there is none."""
    sizes = range(most - most % 2, SMALLEST_GROUP - 1, -2)
    return next((size for size in sizes if row_length % size == 0), None)


def packed_bytes(config: ModelConfig, kind: str, group_size: int = 32) -> int:
    """Bytes of a model's weights when its matrices are packed.

    Args:
        config: The model's configuration.
        kind: ``"int8"``, or ``"int4"``, in which embedding and output head are int8.
        group_size: Weights that share a scale.
    """
    ends = config.vocab_size * config.dim * (1 if config.tie_embeddings else 2)
    blocks = config.n_params - ends  # and some norms, which hardly count
    scales = 16 / group_size
    return round((ends * (8 + scales) + blocks * ((8 if kind == "int8" else 4) + scales)) / 8)


def _check_finite(largest: np.ndarray, bits: int) -> None:
    if not np.isfinite(largest).all():
        raise ValueError(f"holds an infinite weight or NaN, which no {bits}-bit integer stands for")


def _stored(numbers: np.ndarray, dtype: Any) -> np.ndarray:
    """Scales or zeros in the type that holds them, at most float32."""
    with np.errstate(over="ignore"):
        stored = numbers.astype(dtype)
    if not np.isfinite(stored).all():
        raise ValueError(
            f"holds weights up to {np.abs(numbers).max():.3g}, whose scale is beyond float16's "
            "65504: scale the matrix down, or take int8 with float32 scales"
        )
    return stored
