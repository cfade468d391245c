r"""Products of a packed matrix and a vector, compiled by numba: what decoding spends its time on.

.. math:: y_r = \sum_g s_{rg} \sum_{i \in g} q_{ri}\,x_i + z_{rg} \sum_{i \in g} x_i

A token needs every weight once, for one multiplication, so the time is the weights' bytes over the
speed of memory, if the processor keeps up. It does where its vector units are fed: rows lie in
blocks of `ROWS` (:mod:`llama_tutorial.quantization.packed`), and the innermost loops run over the
rows of a block, each of which has a sum of its own. One input meets 64 weights that lie side by
side; LLVM makes vector code of that, on any processor. Along a row, a group's sum would have to be
added up across the vector's lanes, group by group, at half the speed.

Two things look clumsy and are not. Two inputs a pass, ``x0`` and ``x1``, halve how often the sums
are loaded and stored. And ``v & 15`` is an int64 to numba: narrowed again before it becomes a
float, it is twice as fast.

Importing this module imports numba. It compiles a kernel when one is first called, in about a
second, and keeps it in ``__pycache__``, from where the next process has it in milliseconds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, no_type_check

import numba
import numpy as np
from numba.extending import overload

ROWS = 64


def _jit(*freedoms: str) -> Callable[[Any], Any]:
    """Compile; the freedoms are those of fast mathematics that the compiler may take."""
    # Never all of them. With "reassoc" it would multiply the sum by `_float`'s 2^112 before the
    # scale, and a thousand times that is infinite; "nnan" lets it take NaN for a number.
    fast = partial(numba.njit, nogil=True, boundscheck=False, error_model="numpy")

    def compiled(function: Any) -> Any:
        try:
            return fast(function, fastmath={*freedoms}, cache=True)
        except RuntimeError:  # nowhere to write: neither beside this file nor in the user's folders
            return fast(function, fastmath={*freedoms})

    return compiled


_in_order = _jit("contract")
_in_any_order = _jit("contract", "reassoc", "nsz")  # the sum of a row in several parts


@no_type_check
def _float(number):
    """A scale as a float32: numba has no float16, so one comes as the uint16 of its bits."""


@overload(_float)
@no_type_check
def _float_of(number):
    if number != numba.uint16:
        return lambda number: number

    def widen(number):
        # The ten bits of the fraction and the five of the exponent move to where float32 has its
        # own; the exponents' biases differ by 112. Right for float16's smallest numbers, too.
        bits = np.uint32(number)
        sign = np.uint32((bits & np.uint32(0x8000)) << np.uint32(16))
        rest = np.uint32((bits & np.uint32(0x7FFF)) << np.uint32(13))
        return np.uint32(sign | rest).view(np.float32) * np.float32(2.0**112)

    return widen


@_in_order
@no_type_check
def int8(first, last, q, scales, _zeros, x, _sums, y):
    """Rows of the blocks ``first`` to ``last - 1`` times ``x``.

    ``q (blocks, D, 64)`` int8; ``scales (blocks, G, 64)``; ``x (D,)``; ``y (blocks, 64)``.
    """
    group = q.shape[1] // scales.shape[1]
    part, total = np.empty(ROWS, np.float32), np.empty(ROWS, np.float32)
    for b in range(first, last):
        total[:] = 0
        for g in range(scales.shape[1]):
            part[:] = 0
            end = g * group + group
            for i in range(g * group, end - 1, 2):
                x0, x1 = x[i], x[i + 1]
                for r in range(ROWS):
                    part[r] += np.float32(q[b, i, r]) * x0 + np.float32(q[b, i + 1, r]) * x1
            if group % 2:
                for r in range(ROWS):
                    part[r] += np.float32(q[b, end - 1, r]) * x[end - 1]
            for r in range(ROWS):
                total[r] += part[r] * _float(scales[b, g, r])
        y[b] = total


@_in_order
@no_type_check
def int4(first, last, q, scales, zeros, x, sums, y):
    """Likewise of two weights a byte.

    ``q (blocks, D / 2, 64)`` uint8; ``zeros`` as ``scales``, or None; ``sums (G,)``, the sum of
    each group of ``x``.
    """
    half = q.shape[1] // scales.shape[1]
    part, total = np.empty(ROWS, np.float32), np.empty(ROWS, np.float32)
    for b in range(first, last):
        total[:] = 0
        for g in range(scales.shape[1]):
            part[:] = 0
            for i in range(half):
                x0, x1 = x[2 * g * half + i], x[2 * g * half + half + i]
                for r in range(ROWS):
                    v = q[b, g * half + i, r]
                    part[r] += np.float32(np.int32(v & 15)) * x0 + np.float32(np.int32(v >> 4)) * x1
            if zeros is None:
                middle = np.float32(8) * sums[g]
                for r in range(ROWS):
                    total[r] += (part[r] - middle) * _float(scales[b, g, r])
            else:
                for r in range(ROWS):
                    zero = _float(zeros[b, g, r]) * sums[g]
                    total[r] += part[r] * _float(scales[b, g, r]) + zero
        y[b] = total


@_in_order
@no_type_check
def widen_int8(first, last, q, scales, _zeros, w):
    """The blocks ``first`` to ``last - 1`` as float32, ``w (last - first, D, 64)``."""
    group = q.shape[1] // scales.shape[1]
    scale = np.empty(ROWS, np.float32)
    for b in range(first, last):
        for g in range(scales.shape[1]):
            for r in range(ROWS):
                scale[r] = _float(scales[b, g, r])
            for i in range(g * group, g * group + group):
                for r in range(ROWS):
                    w[b - first, i, r] = np.float32(q[b, i, r]) * scale[r]


@_in_order
@no_type_check
def widen_int4(first, last, q, scales, zeros, w):
    """Likewise of two weights a byte."""
    half = q.shape[1] // scales.shape[1]
    scale, zero = np.empty(ROWS, np.float32), np.empty(ROWS, np.float32)
    for b in range(first, last):
        for g in range(scales.shape[1]):
            for r in range(ROWS):
                scale[r] = _float(scales[b, g, r])
                zero[r] = np.float32(-8) * scale[r] if zeros is None else _float(zeros[b, g, r])
            for i in range(half):
                for r in range(ROWS):
                    v = q[b, g * half + i, r]
                    low, high = np.float32(np.int32(v & 15)), np.float32(np.int32(v >> 4))
                    w[b - first, 2 * g * half + i, r] = low * scale[r] + zero[r]
                    w[b - first, 2 * g * half + half + i, r] = high * scale[r] + zero[r]


@_in_any_order
@no_type_check
def float32(first, last, w, x, y):
    """Rows ``first`` to ``last - 1`` of a float32 matrix ``w (N, D)`` times ``x (D,)``."""
    for r in range(first, last):
        total = np.float32(0)
        for i in range(w.shape[1]):
            total += w[r, i] * x[i]
        y[r] = total


@_in_any_order
@no_type_check
def bfloat16(first, last, w, x, y):
    """Likewise of a bfloat16 matrix, as the uint16 of its bits: the upper half of a float32's."""
    for r in range(first, last):
        total = np.float32(0)
        for i in range(w.shape[1]):
            total += np.uint32(np.uint32(w[r, i]) << np.uint32(16)).view(np.float32) * x[i]
        y[r] = total
