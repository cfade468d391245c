"""Activations of a thousand and more, which real models have in some features."""

from __future__ import annotations

import numpy as np
import pytest

from llama_tutorial.quantization.formats import quantize, quantize_int4
from llama_tutorial.quantization.packed import FloatMatrix, PackedMatrix


@pytest.mark.parametrize("size", [1.0, 3e3, 1e6, 1e30])
@pytest.mark.parametrize("zero_point", [None, False, True])
def test_products_of_large_numbers_are_finite(size, zero_point):
    """A float16 scale is widened by 2^112; were that multiplied first, all would be infinite."""
    dice = np.random.default_rng(0)
    weight = dice.normal(size=(70, 64)).astype(np.float32)
    x = (size * dice.normal(size=(2, 64))).astype(np.float32)
    if zero_point is None:
        tensor = quantize(weight, 32, np.float16)
    else:
        tensor = quantize_int4(weight, 32, zero_point)
    y = PackedMatrix.pack(tensor).times(x)
    expected = x.astype(float) @ tensor.dequantize().astype(float).T
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-4 * size)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(value):
    """Whoever looks at logits finds a damage by it."""
    dice = np.random.default_rng(0)
    weight, x = dice.normal(size=(70, 64)).astype(np.float32), np.ones((1, 64), np.float32)
    x[0, 40] = value
    for tensor in (quantize(weight, 32), quantize_int4(weight), quantize_int4(weight, 32, True)):
        assert not np.isfinite(PackedMatrix.pack(tensor).times(x)).any()
    assert not np.isfinite(FloatMatrix(weight).times(x)).any()
