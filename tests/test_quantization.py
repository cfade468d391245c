"""Q8_0 against its definition."""

from __future__ import annotations

import numpy as np
import pytest

from llama_tutorial.quantization import QuantizedTensor, check_group_size, quantize


def matrix(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def test_an_example_worked_out_by_hand():
    # 254 / 127 = 2 and 0.5 / 127; halves go to the even neighbour: 1.5 -> 2, 0.5 -> 0, -2.5 -> -2.
    weight = np.array([[254, 3, 1, -5], [0, 0, 0.5, -0.25]], np.float32)
    quantized = quantize(weight, group_size=4)
    assert quantized.values.dtype == np.int8
    assert quantized.scales.dtype == np.float32
    assert quantized.values.tolist() == [[127, 2, 0, -2], [0, 0, 127, -64]]
    assert quantized.scales.tolist() == [[2.0], [float(np.float32(0.5) / np.float32(127))]]
    assert quantized.dequantize()[0].tolist() == [254, 4, 0, -4]


def test_no_weight_moves_by_more_than_half_a_step():
    weight = matrix(24, 128) * np.logspace(-6, 6, 24, dtype=np.float32)[:, None]
    quantized = quantize(weight, group_size=32)
    scales = quantized.scales.astype(np.float64).repeat(32, axis=1)
    error = np.abs(quantized.values * scales - weight.astype(np.float64))
    assert (error <= scales * (0.5 + 1e-5)).all()  # the quotient is rounded to float32 first
    assert (error > scales * 0.49).any()  # and the bound is tight


def test_scales_are_the_largest_weight_over_127_of_each_group_along_a_row():
    weight = matrix(3, 8)
    quantized = quantize(weight, group_size=4)
    assert quantized.scales.shape == (3, 2)
    for row in range(3):
        for group in range(2):
            part = weight[row, 4 * group : 4 * group + 4]
            assert quantized.scales[row, group] == np.abs(part).max() / np.float32(127)
            values = quantized.values[row, 4 * group : 4 * group + 4]
            assert np.abs(values).max() == 127


def test_a_group_of_zeros_stays_zero_without_a_warning():
    weight = matrix(2, 8)
    weight[0, :4] = 0
    with np.errstate(all="raise"):
        quantized = quantize(weight, group_size=4)
    assert quantized.scales[0, 0] == 0
    assert not quantized.dequantize()[0, :4].any()


def test_a_scale_below_float32s_full_precision_does_not_overflow():
    # 180 of float32's smallest steps; 180 / 127 rounds to one of them, and 180 is no int8
    weight = np.full((1, 4), 180 * np.finfo(np.float32).smallest_subnormal, np.float32)
    assert quantize(weight, 4).values.tolist() == [[127] * 4]


def test_dequantizing_gives_float32_in_the_matrix_own_shape():
    quantized = QuantizedTensor(
        np.array([[1, 2, -3, 4]], np.int8), np.array([[0.5, 10]], np.float32)
    )
    assert (quantized.shape, quantized.group_size) == ((1, 4), 2)
    assert quantized.dequantize().dtype == np.float32
    assert quantized.dequantize().tolist() == [[0.5, 1, -30, 40]]


def test_quantizing_what_was_quantized_changes_nothing():
    once = quantize(matrix(5, 64)).dequantize()
    twice = quantize(once)
    np.testing.assert_array_equal(twice.dequantize(), once)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_weights_that_are_no_numbers_are_refused(bad):
    weight = matrix(2, 4)
    weight[1, 2] = bad
    with pytest.raises(ValueError, match="holds an infinite weight or NaN"):
        quantize(weight, 4)


@pytest.mark.parametrize(
    ("group_size", "row_lengths", "fitting"),
    [(64, (64, 172), "1, 2, 4"), (0, (6,), "1, 2, 3, 6"), (-4, (4,), "1, 2, 4")],
)
def test_a_group_size_that_leaves_columns_over_is_refused(group_size, row_lengths, fitting):
    message = rf"^group_size={group_size}: .*group sizes that do: {fitting}$"
    with pytest.raises(ValueError, match=message):
        check_group_size(group_size, *row_lengths)


def test_group_sizes_that_divide_every_row_pass():
    check_group_size(64, 4096, 11008)
    check_group_size(4, 64, 172)
    with pytest.raises(ValueError, match="rows of 172 weights"):
        quantize(matrix(2, 172), 64)
