r"""Q8_0: weights as 8-bit integers, in groups that share a scale.

.. math::
    s &= \frac{\max_i |w_i|}{127} \\
    q_i &= \mathrm{round}(w_i / s) \\
    \hat w_i &= s\,q_i, \quad |w_i - \hat w_i| \le s / 2

Each row of a matrix is cut into groups of, say, 64 neighbours, so that one outlier coarsens 64
weights and not the whole matrix. A weight then takes 8 bits and its share of a float32 scale, 8.5
bits in all. Groups lie along rows because a matrix multiplies by rows: one group of weights meets
one group of the input, and their products are summed in integers before the scales multiply them.

Source: ``quantize_q80`` in llama2.c's ``export.py``; the name is llama.cpp's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from llama_tutorial._util.shapes import Float, Int


@dataclass(frozen=True, eq=False)
class QuantizedTensor:
    """A matrix in Q8_0.

    Attributes:
        values: int8, in -127 … 127.
        scales: float32, one for each group of neighbours in a row.
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

    def dequantize(self) -> Float[np.ndarray, "rows columns"]:
        """The matrix in float32, a new array."""
        rows, groups = self.scales.shape
        grouped = self.values.reshape(rows, groups, -1)  # (rows, groups, group_size)
        return (grouped * self.scales[..., None]).reshape(self.shape)  # (rows, columns)


def quantize(weight: Float[np.ndarray, "rows columns"], group_size: int = 64) -> QuantizedTensor:
    """Round a float32 matrix to Q8_0; halves go to the even neighbour.

    Raises:
        ValueError: ``group_size`` does not divide the rows, or a weight is infinite or no number.
    """
    check_group_size(group_size, weight.shape[1])
    weight = np.asarray(weight, np.float32)
    grouped = weight.reshape(len(weight), -1, group_size)  # (rows, groups, group_size)
    largest = np.maximum(grouped.max(-1), -grouped.min(-1))  # (rows, groups)
    if not np.isfinite(largest).all():
        raise ValueError("holds an infinite weight or NaN, which no 8-bit integer stands for")
    scales = largest / np.float32(127)
    divisors = np.where(scales == 0, np.float32(1), scales)[..., None]  # a group of zeros stays so
    quotients = grouped / divisors
    np.rint(quotients, out=quotients)
    # A scale too small for float32's full precision leaves quotients beyond 127.
    np.clip(quotients, -127, 127, out=quotients)
    return QuantizedTensor(quotients.astype(np.int8).reshape(weight.shape), scales)


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
