"""Products with packed matrices, against the dequantized matrix in float64."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import warnings

import numpy as np
import pytest

from llama_tutorial.quantization import Int4Tensor, QuantizedTensor, packed, quantize, quantize_int4
from llama_tutorial.quantization.packed import FloatMatrix, PackedMatrix

KINDS = {
    "int8, float32 scales": lambda w, g: quantize(w, g),
    "int8, float16 scales": lambda w, g: quantize(w, g, np.float16),
    "int4": lambda w, g: quantize_int4(w, g),
    "int4, zeros": lambda w, g: quantize_int4(w, g, zero_point=True),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(params=["numba", "without numba"])
def numba(request, monkeypatch) -> bool:
    """With the kernels, and as where numba is not installed."""
    if request.param == "numba":
        pytest.importorskip("numba")
    else:
        monkeypatch.setattr(packed, "_compiled", lambda: None)
        monkeypatch.setattr(packed, "_warn_once", lambda: None)
    return request.param == "numba"


def matrix(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def uneven(rows: int, columns: int) -> np.ndarray:
    """Rows and groups of unlike sizes, and not centred."""
    return matrix(rows, columns) * (1 + np.arange(rows)[:, None] % 7) + matrix(rows, 1, seed=1)


@each_kind
@pytest.mark.parametrize(
    ("rows", "columns", "group"),
    [(64, 64, 32), (1, 32, 32), (63, 96, 32), (65, 128, 64), (200, 256, 128), (130, 40, 20)],
)
def test_products_are_those_of_the_dequantized_matrix(numba, kind, rows, columns, group):
    tensor = KINDS[kind](uneven(rows, columns), group)
    packing = PackedMatrix.pack(tensor)
    exact = tensor.dequantize().astype(np.float64)
    assert packing.shape == (rows, columns)
    assert packing.group_size == group
    for n in (1, 2, packed.FEW, packed.FEW + 1, 33):
        x = matrix(n, columns, seed=n)
        y = x @ packing.T
        assert (y.dtype, y.shape) == (np.float32, (n, rows))
        size = np.abs(exact) @ np.abs(x.T.astype(np.float64))  # of what is added up
        assert (np.abs(y - x @ exact.T) <= 1e-6 * size.T).all()
    vector = matrix(columns, seed=7)
    np.testing.assert_allclose(vector @ packing.T, exact @ vector, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("group", [1, 3, 5])
def test_int8_in_groups_of_an_odd_number(numba, group):
    tensor = quantize(matrix(70, 15), group)
    x = matrix(2, 15, seed=1)
    np.testing.assert_allclose(
        x @ PackedMatrix.pack(tensor).T, x @ tensor.dequantize().T, rtol=1e-4, atol=1e-5
    )


@each_kind
def test_packing_moves_and_changes_nothing(numba, kind):
    tensor = KINDS[kind](uneven(100, 64), 32)
    packing = PackedMatrix.pack(tensor)
    back = packing.unpack()
    assert type(back) is type(tensor)
    for name, part in vars(tensor).items():
        if part is not None:
            np.testing.assert_array_equal(getattr(back, name), part)
            assert getattr(back, name).dtype == part.dtype
    np.testing.assert_allclose(packing.dequantize(), tensor.dequantize(), rtol=1e-6)
    rows = np.array([[99, 0], [64, 63]])
    np.testing.assert_allclose(packing[rows[0]], tensor.dequantize()[rows[0]], rtol=1e-6)


def test_where_everything_lies():
    tensor = quantize(np.arange(66 * 4, dtype=np.float32).reshape(66, 4), 2)
    packing = PackedMatrix.pack(tensor)
    assert packing.integers.shape == (2, 4, 64)
    assert packing.scales.shape == (2, 2, 64)
    assert packing.integers[1, :, 1].tolist() == tensor.values[65].tolist()
    assert packing.scales[0, :, 63].tolist() == tensor.scales[63].tolist()
    assert not packing.integers[1, :, 2:].any()  # filled up
    assert packing.nbytes == 2 * 4 * 64 + 2 * 2 * 64 * 4


def test_float16_scales_are_widened_exactly(numba):
    """All of them: normal, subnormal, negative, zero."""
    bits = np.arange(2**16, dtype=np.uint16)
    scales = bits.view(np.float16)[np.isfinite(bits.view(np.float16))]
    scales = np.resize(scales, (64 * 993, 1))
    tensor = QuantizedTensor(np.full((len(scales), 2), 3, np.int8), scales)
    y = np.array([[1, 0]], np.float32) @ PackedMatrix.pack(tensor).T
    np.testing.assert_array_equal(y[0], 3 * scales[:, 0].astype(np.float32))


def test_rounding_piece_by_piece_is_rounding_at_once():
    weight = uneven(300, 8192)  # several pieces of a million weights
    for bits, whole in ((8, quantize(weight, 32, np.float16)), (4, quantize_int4(weight, 32))):
        pieces, at_once = PackedMatrix.of(weight, bits, 32), PackedMatrix.pack(whole)
        np.testing.assert_array_equal(pieces.integers, at_once.integers)
        np.testing.assert_array_equal(pieces.scales, at_once.scales)
        assert pieces.n_rows == 300


def test_the_end_can_be_cut_and_nothing_else():
    packing = PackedMatrix.pack(quantize_int4(matrix(200, 64)))
    cut = packing[:70]
    assert (cut.shape, len(cut.integers)) == ((70, 64), 2)
    np.testing.assert_array_equal(cut.dequantize(), packing.dequantize()[:70])
    with pytest.raises(ValueError, match="is cut at its end only"):
        packing[3:70]


@pytest.mark.parametrize("threads", [2, 3])
def test_threads_share_the_blocks_and_give_the_same_numbers(numba, monkeypatch, threads):
    packing = PackedMatrix.pack(quantize_int4(matrix(500, 128)))
    x = matrix(3, 128, seed=1)
    alone = x @ packing.T, packing.dequantize()
    shares = []
    monkeypatch.setattr(packed, "PART", 1)
    monkeypatch.setattr(packed, "n_threads", lambda: threads)
    pool = packed._pool(os.getpid(), threads - 1)
    submit = pool.submit
    monkeypatch.setattr(pool, "submit", lambda *a: shares.append(a[1:3]) or submit(*a))
    np.testing.assert_array_equal(x @ packing.T, alone[0])
    np.testing.assert_array_equal(packing.dequantize(), alone[1])
    assert bool(shares) == numba  # without, NumPy has its own


def test_several_threads_may_multiply_at_once(monkeypatch):
    """As a server's do: they share a pool, and none waits for another for ever."""
    monkeypatch.setattr(packed, "PART", 1)
    monkeypatch.setattr(packed, "n_threads", lambda: 2)
    packing, x = PackedMatrix.pack(quantize(matrix(500, 128), 32)), matrix(1, 128, seed=1)
    expected, wrong = x @ packing.T, []

    def work() -> None:
        wrong.extend(i for i in range(20) if not np.array_equal(x @ packing.T, expected))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    assert not wrong


def test_an_error_in_a_thread_is_not_lost(monkeypatch):
    monkeypatch.setattr(packed, "n_threads", lambda: 2)

    def kernel(first: int, last: int) -> None:
        if first:
            raise ArithmeticError("in the other thread")

    with pytest.raises(ArithmeticError, match="in the other thread"):
        packed.in_parallel(kernel, 2, 2**30)


def test_small_products_stay_in_one_thread(monkeypatch):
    monkeypatch.setattr(packed, "n_threads", lambda: 8)
    parts = []
    packed.in_parallel(lambda *ends: parts.append(ends), 10, packed.PART)
    assert parts == [(0, 10)]


def test_float_matrices_multiply_as_arrays_do(numba):
    array = matrix(70, 33)
    for n, shape in itertools.product((1, packed.FEW_FLOATS, 9), (70, 7)):
        x = matrix(n, 33, seed=n)
        y = x @ FloatMatrix(array)[:shape].T
        np.testing.assert_allclose(y, x.astype(np.float64) @ array[:shape].T, rtol=1e-4, atol=1e-5)
        assert y.dtype == np.float32
    assert FloatMatrix(array).shape == (70, 33)


def test_without_numba_one_warning_says_what_to_install(monkeypatch):
    monkeypatch.setattr(packed, "_compiled", lambda: None)
    packed._warn_once.cache_clear()
    packing, x = PackedMatrix.pack(quantize_int4(matrix(64, 32))), matrix(1, 32)
    with pytest.warns(UserWarning, match=r"numba is not installed: .*llama-tutorial.fast"):
        x @ packing.T
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x @ packing.T


def test_numba_is_imported_when_a_product_needs_it_and_not_before():
    code = """
import sys
import numpy as np
from llama_tutorial.quantization import quantize
from llama_tutorial.quantization.packed import PackedMatrix, has_kernels
from llama_tutorial.numpy_llama import NumpyLlama
model = NumpyLlama.load("tales")
model.generate([[1]], 3)
packing = PackedMatrix.pack(quantize(np.ones((64, 32), np.float32), 32))
print("numba" in sys.modules, has_kernels())
np.ones((1, 32), np.float32) @ packing.T
print("numba" in sys.modules)
"""
    pytest.importorskip("numba")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True", "True"]


def test_int4_takes_half_a_byte_and_a_half():
    packing = PackedMatrix.of(matrix(4096, 256), 4, 32)
    assert packing.nbytes == 4096 * 256 * 4.5 / 8
    assert isinstance(packing.unpack(), Int4Tensor)
