"""A quantized matrix as both engines multiply by it: its rows in blocks of 64.

Within a block the weights lie column by column, so that 64 rows' weights for one input are
neighbours: the layout in which a processor's vector units are fed (why, and the loops:
:mod:`llama_tutorial.quantization.kernels`). Bytes and scales are those of
:mod:`llama_tutorial.quantization.formats`, moved, and nothing else. The last block is filled up
with rows of zeros.

:class:`PackedMatrix` stands where a NumPy engine's float32 matrix does: ``x @ matrix.T`` and
``matrix[ids]`` are float32. PyTorch's layers, which hold the same arrays as tensors, multiply
through it, too. One vector, or a few, go through the compiled kernels and read the packed bytes
alone. For more rows, those of a prompt, arithmetic is the cost: blocks are made float32, a few at a
time, and multiplied as matrices. Without numba that is done for one vector as well, and is slow.
"""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import numpy as np

from llama_tutorial._util.shapes import Float, Int, UInt
from llama_tutorial.quantization.formats import (
    Int4Tensor,
    QuantizedTensor,
    check_group_size,
    quantize,
    quantize_int4,
)

LARGE = 8_000_000  # weights of a model: in float32 more than a processor's caches hold
ROWS = 64
FEW = 8  # so many vectors are multiplied one by one
FEW_FLOATS = 4
TOGETHER = 8  # blocks that are made float32 at a time
PIECE = 2**17  # weights that are rounded at a time
PART = 2**22  # weights that are worth a thread: some 200 microseconds; to wake one costs about 100


@dataclass(frozen=True, eq=False)
class PackedMatrix:
    """A matrix of int8 or int4 in blocks of 64 rows.

    Attributes:
        n_rows: Rows of the matrix.
        integers: ``(blocks, D, 64)`` int8, or ``(blocks, D / 2, 64)`` uint8 of two weights each.
        scales: ``(blocks, groups, 64)``, float32 or float16.
        zeros: The weight that the integer 0 stands for, likewise; None where there are none.
    """

    n_rows: int
    integers: Int[np.ndarray, "blocks D 64"] | UInt[np.ndarray, "blocks D_2 64"]
    scales: Float[np.ndarray, "blocks groups 64"]
    zeros: Float[np.ndarray, "blocks groups 64"] | None = None

    __array_ufunc__ = None  # so that ``x @ matrix.T`` asks this class

    @classmethod
    def pack(cls, tensor: QuantizedTensor | Int4Tensor) -> PackedMatrix:
        """Move a matrix into blocks; a copy."""
        n_rows, scales = tensor.shape[0], _blocks(tensor.scales)
        if isinstance(tensor, QuantizedTensor):
            return cls(n_rows, _blocks(tensor.values), scales)
        zeros = None if tensor.zeros is None else _blocks(tensor.zeros)
        return cls(n_rows, _blocks(tensor.packed), scales, zeros)

    @classmethod
    def of(
        cls, weight: Any, bits: int, group_size: int, read: Callable[[Any], np.ndarray] = np.asarray
    ) -> PackedMatrix:
        """Round a floating matrix and pack it, some rows at a time.

        They are few, `PIECE` weights, so that what rounding needs beside them is small: the C
        library keeps room of up to the size that it has given out before, and between larger
        pieces the packed matrices of a whole model would lie apart, with a tenth of a gigabyte
        unused.

        Args:
            weight: The matrix, ``(rows, D)``.
            bits: 8 or 4.
            group_size: Weights that share a scale, a float16.
            read: Makes a float32 array of some of its rows.

        Raises:
            ValueError: See :func:`~llama_tutorial.quantization.formats.quantize`.
        """
        n_rows, columns = weight.shape
        check_group_size(group_size, columns)
        blocks, kind = -(-n_rows // ROWS), np.int8 if bits == 8 else np.uint8
        integers = np.zeros((blocks, columns * bits // 8, ROWS), kind)
        scales = np.zeros((blocks, columns // group_size, ROWS), np.float16)
        step = ROWS
        while step > 1 and step * columns > PIECE:
            step //= 2  # so that a piece lies in one block

        def piece(first: int) -> None:
            rows = read(weight[first : first + step])
            block, row = divmod(first, ROWS)
            at = block, slice(None), slice(row, row + len(rows))
            if bits == 8:
                eight = quantize(rows, group_size, np.float16)
                integers[at], scales[at] = eight.values.T, eight.scales.T
            else:
                four = quantize_int4(rows, group_size)
                integers[at], scales[at] = four.packed.T, four.scales.T

        for _ in _pool(os.getpid(), n_threads()).map(piece, range(0, n_rows, step)):
            pass  # what a piece raised is raised here
        return cls(n_rows, integers, scales)

    def unpack(self) -> QuantizedTensor | Int4Tensor:
        """The matrix with its rows in a row again; a copy."""
        integers, scales = _rows(self.integers, self.n_rows), _rows(self.scales, self.n_rows)
        if self.bits == 8:
            return QuantizedTensor(integers, scales)
        return Int4Tensor(
            integers, scales, None if self.zeros is None else _rows(self.zeros, self.n_rows)
        )

    @property
    def bits(self) -> int:
        """8 or 4."""
        return 8 if self.integers.dtype == np.int8 else 4

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the matrix: rows, columns."""
        return self.n_rows, self.integers.shape[1] * 8 // self.bits

    @property
    def group_size(self) -> int:
        """Weights that share one scale."""
        return self.shape[1] // self.scales.shape[1]

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        parts = (self.integers, self.scales, self.zeros)
        return sum(part.nbytes for part in parts if part is not None)

    @property
    def T(self) -> Transposed:  # noqa: N802  # NumPy's name
        """What ``x @`` takes."""
        return Transposed(self)

    def __getitem__(self, rows: Any) -> Any:
        """Some rows in float32, ``(len(rows), D)``; of a slice from the first, a `PackedMatrix`."""
        if isinstance(rows, slice):
            first, last, step = rows.indices(self.n_rows)
            if (first, step) != (0, 1):
                raise ValueError(f"{rows}: a packed matrix is cut at its end only")
            n_blocks = -(-last // ROWS)
            parts = (self.integers, self.scales, self.zeros)
            cut = [None if part is None else part[:n_blocks] for part in parts]
            return PackedMatrix(last, *cut)  # type: ignore[arg-type]
        block, row = np.divmod(np.asarray(rows), ROWS)
        parts = (self.integers, self.scales, self.zeros)
        picked = [None if part is None else part[block, :, row] for part in parts]
        kind: Any = QuantizedTensor if self.bits == 8 else Int4Tensor
        return kind(*picked[: 2 if self.bits == 8 else 3]).dequantize()

    def dequantize(self) -> Float[np.ndarray, "rows D"]:
        """The matrix in float32, a new array."""
        return _rows(self.widened(0, len(self.integers)), self.n_rows)

    def widened(self, first: int, last: int) -> Float[np.ndarray, "blocks D 64"]:
        """The blocks ``first`` to ``last - 1`` in float32, in their layout."""
        blocks, columns = last - first, self.shape[1]
        if (compiled := kernels()) is not None:
            w = np.empty((blocks, columns, ROWS), np.float32)
            kernel = compiled.widen_int8 if self.bits == 8 else compiled.widen_int4

            def widen(some: int, end: int, *arrays: Any) -> None:
                kernel(first + some, first + end, *arrays, w[some:])

            in_parallel(widen, blocks, blocks * columns * ROWS, *self._arrays)
            return w
        scales = self.scales[first:last, :, None].astype(np.float32)  # (blocks, groups, 1, 64)
        grouped = self.integers[first:last].reshape(blocks, scales.shape[1], -1, ROWS)
        if self.bits == 8:
            return (grouped * scales).reshape(blocks, columns, ROWS)
        integers = np.concatenate((grouped & 15, grouped >> 4), 2)
        if self.zeros is None:
            return ((integers - np.float32(8)) * scales).reshape(blocks, columns, ROWS)
        zeros = self.zeros[first:last, :, None].astype(np.float32)
        return (integers * scales + zeros).reshape(blocks, columns, ROWS)

    def times(
        self,
        x: Float[np.ndarray, "T D"],
        matmul: Callable[[np.ndarray, np.ndarray], np.ndarray] = np.matmul,
    ) -> Float[np.ndarray, "T rows"]:
        """Each vector of ``x``, float32, times the matrix: ``x @ dequantize().T``.

        Args:
            x: The vectors.
            matmul: What multiplies many vectors with blocks that were made float32.
        """
        x = np.ascontiguousarray(x, np.float32)
        n_blocks = len(self.integers)
        y = np.empty((len(x), n_blocks, ROWS), np.float32)
        if len(x) <= FEW and (compiled := kernels(warn=True)) is not None:
            kernel = compiled.int8 if self.bits == 8 else compiled.int4
            weights = self.integers.size * 8 // self.bits
            sums = x  # which int8 does not need
            if self.bits == 4:
                sums = x.reshape(len(x), self.scales.shape[1], -1).sum(-1)  # (T, groups)
            for vector, total, out in zip(x, sums, y, strict=True):
                in_parallel(kernel, n_blocks, weights, *self._arrays, vector, total, out)
        else:
            for first in range(0, n_blocks, TOGETHER):
                last = min(first + TOGETHER, n_blocks)
                y[:, first:last] = matmul(x, self.widened(first, last)).swapaxes(0, 1)
        return y.reshape(len(x), -1)[:, : self.n_rows]

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """As the kernels take them, to which a float16 is a uint16."""
        scales, zeros = self.scales, self.zeros
        if scales.dtype == np.float16:
            scales = scales.view(np.uint16)
            zeros = None if zeros is None else zeros.view(np.uint16)
        return self.integers, scales, zeros


@dataclass(frozen=True, eq=False)
class FloatMatrix:
    """A float32 matrix whose products with a few vectors go through a kernel.

    BLAS libraries are made for products of matrices. With one vector they read the weights at
    half the speed of memory on some processors, and with two or three at a tenth.
    """

    array: Float[np.ndarray, "rows D"]
    __array_ufunc__ = None

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of the matrix: rows, columns."""
        return self.array.shape

    @property
    def T(self) -> Transposed:  # noqa: N802  # NumPy's name
        """What ``x @`` takes."""
        return Transposed(self)

    def __getitem__(self, rows: slice) -> FloatMatrix:
        """Some rows."""
        return FloatMatrix(self.array[rows])

    def times(self, x: Float[np.ndarray, "T D"]) -> Float[np.ndarray, "T rows"]:
        """Each vector of ``x`` times the matrix."""
        compiled = kernels()
        if compiled is None or len(x) > FEW_FLOATS or not x.dtype == self.array.dtype == np.float32:
            return x @ self.array.T
        return rows_times(compiled.float32, self.array, x)


def rows_times(
    kernel: Callable[..., None], weights: np.ndarray, x: Float[np.ndarray, "T D"]
) -> Float[np.ndarray, "T rows"]:
    """Each vector times a matrix of floating rows, through a kernel for one vector."""
    x, y = np.ascontiguousarray(x), np.empty((len(x), len(weights)), np.float32)
    for vector, out in zip(x, y, strict=True):
        in_parallel(kernel, len(weights), weights.size, weights, vector, out)
    return y


@dataclass(frozen=True, eq=False)
class Transposed:
    """``matrix.T``, for products alone."""

    matrix: PackedMatrix | FloatMatrix
    __array_ufunc__ = None

    def __rmatmul__(self, x: Float[np.ndarray, "*T D"]) -> Float[np.ndarray, "*T rows"]:
        """The product of each vector of ``x`` with the matrix."""
        y = self.matrix.times(x.reshape(-1, x.shape[-1]))
        return y.reshape(*x.shape[:-1], -1)


def has_kernels() -> bool:
    """Whether numba is installed; asking does not import it."""
    return find_spec("numba") is not None


@cache
def _compiled() -> ModuleType | None:
    if not has_kernels():
        return None
    from llama_tutorial.quantization import kernels

    return kernels


def kernels(*, warn: bool = False) -> ModuleType | None:
    """:mod:`llama_tutorial.quantization.kernels`, or None where numba is not installed."""
    compiled = _compiled()
    if compiled is None and warn:
        _warn_once()
    return compiled


@cache
def _warn_once() -> None:
    warnings.warn(
        "numba is not installed: packed weights are made float32 again for every token, which is "
        "slow; pip install 'llama-tutorial[fast]'",
        stacklevel=2,
    )


def in_parallel(kernel: Callable[..., None], n_parts: int, weights: int, *arguments: Any) -> None:
    """``kernel(first, last, *arguments)`` for all parts, a thread's share each.

    As many threads as PyTorch uses, where it is loaded, else as OMP_NUM_THREADS or the processor
    says; fewer for small matrices.
    """
    n = max(1, min(n_threads(), n_parts, weights // PART))
    if n == 1:
        kernel(0, n_parts, *arguments)
        return
    ends = [n_parts * part // n for part in range(n + 1)]
    pool = _pool(os.getpid(), n - 1)
    waiting = [pool.submit(kernel, *ends[i : i + 2], *arguments) for i in range(1, n)]
    kernel(0, ends[1], *arguments)
    for share in waiting:
        share.result()


def n_threads() -> int:
    """How many threads a product may take."""
    if (torch := sys.modules.get("torch")) is not None:
        return int(torch.get_num_threads())
    return _threads_of_the_process()


@cache
def _threads_of_the_process() -> int:
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@cache
def _pool(_process: int, n: int) -> ThreadPoolExecutor:
    """Threads of this process: a fork does not take them along."""
    return ThreadPoolExecutor(n, thread_name_prefix="packed")


def _blocks(rows: np.ndarray) -> np.ndarray:
    """``(N, C)`` to ``(blocks, C, 64)``, filled up with zeros."""
    n, columns = rows.shape
    full, rest = divmod(n, ROWS)
    blocks = np.zeros((full + bool(rest), columns, ROWS), rows.dtype)
    for b in range(full):
        blocks[b] = rows[b * ROWS : (b + 1) * ROWS].T
    if rest:
        blocks[-1, :, :rest] = rows[full * ROWS :].T
    return blocks


def _rows(blocks: np.ndarray, n: int) -> np.ndarray:
    """``(blocks, C, 64)`` back to ``(N, C)``."""
    return np.ascontiguousarray(blocks.swapaxes(1, 2).reshape(-1, blocks.shape[1])[:n])
