"""int8 and int4 against their definition, and against llama.cpp's own."""

from __future__ import annotations

import numpy as np
import pytest

from llama_tutorial.quantization import (
    Int4Tensor,
    QuantizedTensor,
    check_group_size,
    fitting_group,
    quantize,
    quantize_int4,
)


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


# float16 scales, and 4 bits


def wide(quantized) -> np.ndarray:
    """The matrix in float64, without the rounding of float32."""
    if isinstance(quantized, Int4Tensor):
        scales = quantized.scales.astype(np.float64)[..., None]
        zeros = -8 * scales if quantized.zeros is None else quantized.zeros[..., None].astype(float)
        return (quantized.integers() * scales + zeros).reshape(quantized.shape)
    grouped = quantized.values.reshape(*quantized.scales.shape, -1)
    return (grouped * quantized.scales.astype(np.float64)[..., None]).reshape(quantized.shape)


def spread(rows: int, columns: int) -> np.ndarray:
    """Rows of very unlike sizes, and groups that are not centred."""
    sizes = np.logspace(-2, 3, rows, dtype=np.float32)[:, None]
    return (matrix(rows, columns) + matrix(rows, 1, seed=1)) * sizes


def test_two_integers_share_a_byte_half_a_group_apart():
    weight = np.array([[-8, 1, 2, 3, 4, 5, 6, 7]], np.float32)
    quantized = quantize_int4(weight, group_size=8)
    assert (quantized.packed.dtype, quantized.scales.dtype) == (np.uint8, np.float16)
    assert quantized.scales.tolist() == [[1.0]]
    assert quantized.integers().tolist() == [[[0, 9, 10, 11, 12, 13, 14, 15]]]
    assert quantized.packed.tolist() == [[0 | 12 << 4, 9 | 13 << 4, 10 | 14 << 4, 11 | 15 << 4]]
    assert (quantized.shape, quantized.group_size, quantized.nbytes) == ((1, 8), 8, 6)
    assert quantized.dequantize().tolist() == weight.tolist()


def test_the_largest_weight_is_minus_eight_steps_whatever_its_sign():
    up, down = quantize_int4(np.array([[4, -1], [-4, 1]], np.float32), group_size=2).integers()
    assert (up.tolist(), down.tolist()) == ([[0, 10]], [[0, 10]])
    # 8 steps the other way there are not: it moves by a whole one
    assert quantize_int4(np.array([[-4, 4]], np.float32), 2).dequantize().tolist() == [[-4, 3.5]]


def test_a_zero_point_spans_a_group_from_its_smallest_weight_to_its_largest():
    quantized = quantize_int4(np.array([[10, 25, 17, 11]], np.float32), 4, zero_point=True)
    assert (quantized.scales.tolist(), quantized.zeros.tolist()) == ([[1]], [[10]])
    assert quantized.integers().tolist() == [[[0, 15, 7, 1]]]
    assert quantized.dequantize().tolist() == [[10, 25, 17, 11]]


@pytest.mark.parametrize("group_size", [32, 64, 128])
def test_int4_moves_no_weight_by_more_than_is_promised(group_size):
    weight = spread(24, 256)
    quantized = quantize_int4(weight, group_size)
    steps = np.abs(quantized.scales.astype(np.float64)).repeat(group_size, 1)
    error = np.abs(wide(quantized) - weight)
    assert (error <= steps * (1 + 8 / 2048)).all()
    assert np.mean(error > steps * 0.51) < 0.02  # only those that lack an eighth step
    assert (error > steps * 0.49).any()


@pytest.mark.parametrize("group_size", [32, 64, 128])
def test_int4_with_zero_points_moves_no_weight_by_more_than_is_promised(group_size):
    weight = spread(24, 256)
    quantized = quantize_int4(weight, group_size, zero_point=True)
    steps = quantized.scales.astype(np.float64).repeat(group_size, 1)
    zeros = np.abs(quantized.zeros.astype(np.float64)).repeat(group_size, 1)
    error = np.abs(wide(quantized) - weight)
    assert (error <= np.maximum(steps * (0.5 + 1e-5), (15 * steps + zeros) / 2048)).all()
    symmetric = np.abs(wide(quantize_int4(weight, group_size)) - weight)
    assert np.sqrt(np.mean(error**2)) < 0.9 * np.sqrt(np.mean(symmetric**2))


def test_int8_with_float16_scales_moves_no_weight_by_more_than_is_promised():
    weight = spread(24, 128)
    quantized = quantize(weight, 32, np.float16)
    steps = quantized.scales.astype(np.float64).repeat(32, 1)
    error = np.abs(wide(quantized) - weight)
    assert (error <= steps * (0.5 + 127 / 2048 + 1e-3)).all()
    assert quantized.dequantize().dtype == np.float32
    assert quantized.nbytes == 24 * 128 + 24 * 4 * 2


@pytest.mark.parametrize("zero_point", [False, True])
def test_weights_that_are_representable_come_back_exactly(zero_point):
    integers = np.random.default_rng(0).integers(0, 16, (6, 64))
    integers[:, ::32], integers[:, 1::32] = 0, 15  # both ends in every group
    weight = ((integers - 8) * 0.25).astype(np.float32)
    quantized = quantize_int4(weight, 32, zero_point)
    np.testing.assert_array_equal(quantized.dequantize(), weight)


@pytest.mark.parametrize("zero_point", [False, True])
def test_a_group_of_zeros_or_of_almost_nothing_is_zeros_without_a_warning(zero_point):
    weight = np.zeros((2, 64), np.float32)
    weight[1] = 1e-40
    with np.errstate(divide="raise", invalid="raise", over="raise"):
        quantized = quantize_int4(weight, 32, zero_point)
    assert not quantized.dequantize().any()


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_0"])
def test_the_bits_are_llama_cpps(kind):
    quants = pytest.importorskip("gguf.quants")
    from gguf import GGMLQuantizationType

    weight = spread(40, 256)
    theirs = quants.quantize(weight, GGMLQuantizationType[kind]).reshape(40, 8, -1)
    ours = quantize_int4(weight, 32) if kind == "Q4_0" else quantize(weight, 32, np.float16)
    integers = ours.packed if kind == "Q4_0" else ours.values
    np.testing.assert_array_equal(theirs[..., :2].copy().view(np.float16)[..., 0], ours.scales)
    np.testing.assert_array_equal(theirs[..., 2:].reshape(40, -1).view(integers.dtype), integers)
    np.testing.assert_array_equal(
        quants.dequantize(theirs.reshape(40, -1), GGMLQuantizationType[kind]), ours.dequantize()
    )


def test_llama_cpps_zero_points_are_read():
    quants = pytest.importorskip("gguf.quants")
    from gguf import GGMLQuantizationType

    blocks = quants.quantize(spread(40, 256), GGMLQuantizationType.Q4_1)
    scales, zeros = blocks.reshape(40, 8, 20)[..., :4].copy().view(np.float16).transpose(2, 0, 1)
    read = Int4Tensor(blocks.reshape(40, 8, 20)[..., 4:].reshape(40, -1), scales, zeros)
    theirs = quants.dequantize(blocks, GGMLQuantizationType.Q4_1)
    np.testing.assert_allclose(read.dequantize(), theirs, rtol=1e-6)


def test_what_int4_refuses():
    with pytest.raises(ValueError, match="group_size=3: must be even, as two weights share a byte"):
        quantize_int4(matrix(2, 6), 3)
    with pytest.raises(ValueError, match="group_size=32: must divide rows of 172 weights"):
        quantize_int4(matrix(2, 172))
    with pytest.raises(ValueError, match="NaN, which no 4-bit integer stands for"):
        quantize_int4(np.full((1, 32), np.nan, np.float32))
    with pytest.raises(ValueError, match=r"weights up to 1e\+06, .* float16's 65504: scale"):
        quantize_int4(np.full((1, 32), 8e6, np.float32))
    with pytest.raises(ValueError, match="scale is beyond float16's 65504"):
        quantize(np.full((1, 32), 1e8, np.float32), 32, np.float16)


@pytest.mark.parametrize(
    ("row", "most", "group"),
    [(4096, 32, 32), (4096, 128, 128), (172, 32, None), (40, 32, 20), (24, 32, 24), (21, 32, None)],
)
def test_the_group_that_fits_a_row(row, most, group):
    assert fitting_group(row, most) == group
