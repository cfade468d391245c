"""The layers in NumPy, one by one: the float64 formula, the PyTorch layer, and float32."""

from __future__ import annotations

import numpy as np
import oracles
import pytest
import torch

from llama_tutorial.gqa import GroupedQueryAttention
from llama_tutorial.numpy_llama.layers import (
    Layer,
    attention,
    feed_forward,
    rms_norm,
    rotate,
    rotations,
    silu,
    softmax,
)
from llama_tutorial.rope import apply_rope, rope_table
from llama_tutorial.swiglu import SwiGLU

HEADS = [(4, 4), (4, 2), (4, 1), (6, 3), (1, 1)]


def arrays(*shapes, seed=0, scale=1.0):
    generator = np.random.default_rng(seed)
    return [scale * generator.standard_normal(shape, np.float32) for shape in shapes]


def layer_of(D, H, K, F=10, seed=0):
    h = D // H
    shapes = [(D,), (D, D), (K * h, D), (K * h, D), (D, D), (D,), (F, D), (D, F), (F, D)]
    return Layer(*arrays(*shapes, seed=seed, scale=0.3))


def test_rms_norm_is_the_formula():
    x, weight = arrays((5, 24), (24,))
    for eps in (1e-5, 1, 0.3):
        y = rms_norm(x, weight, eps)
        assert y.dtype == np.float32
        np.testing.assert_allclose(y, oracles.rms_norm(x, weight, eps), rtol=0, atol=1e-5)


def test_a_vector_of_zeros_stays_zero():
    assert (rms_norm(np.zeros((1, 8), np.float32), np.ones(8, np.float32), 1e-5) == 0).all()


def test_softmax_is_the_formula_and_does_not_overflow(recwarn):
    (x,) = arrays((2, 3, 7), scale=200.0)
    x[0, 0, :4] = -np.inf
    y = softmax(x)
    assert y.dtype == np.float32
    for index in np.ndindex(2, 3):
        expected = oracles.softmax(x[index].astype(float))
        np.testing.assert_allclose(y[index], expected, rtol=0, atol=1e-5)
    assert not recwarn.list


def test_silu_is_the_formula_and_gives_no_warning(recwarn):
    (x,) = arrays((3, 50), scale=5.0)
    np.testing.assert_allclose(silu(x), oracles.silu(x.astype(float)), rtol=0, atol=1e-5)
    ends = np.array([[-1e30, -1000, -100, 0, 100, 1e30]], np.float32)
    y = silu(ends)
    assert y.dtype == np.float32
    assert y.tolist() == [[0, 0, pytest.approx(0, abs=1e-35), 0, 100, np.float32(1e30)]]
    assert not recwarn.list


@pytest.mark.parametrize("theta", [10000, 500.0])
def test_rotations_are_the_tables_of_pytorch(theta):
    turns = rotations(12, 4096, theta)
    assert turns.dtype == np.complex64
    cos, sin = rope_table(12, 4096, theta)
    np.testing.assert_allclose(turns.real, cos.numpy(), rtol=0, atol=1e-7)
    np.testing.assert_allclose(turns.imag, sin.numpy(), rtol=0, atol=1e-7)


def test_rotating_turns_neighbours():
    (x,) = arrays((7, 3, 8))
    turns = rotations(8, 30, 10000.0)[20:27, None]
    y = rotate(x, turns)
    assert y.dtype == np.float32
    assert y.shape == x.shape
    for t, head in np.ndindex(7, 3):
        expected = oracles.rope_interleaved(x[t, head].astype(float), 20 + t)
        np.testing.assert_allclose(y[t, head], expected, rtol=0, atol=1e-5)
    cos, sin = (part[20:27] for part in rope_table(8, 30))
    torchs = apply_rope(torch.from_numpy(x).transpose(0, 1), cos, sin).transpose(0, 1)
    np.testing.assert_allclose(y, torchs.numpy(), rtol=0, atol=1e-6)


def test_feed_forward_is_swiglu():
    layer, (x,) = layer_of(24, 4, 2), arrays((5, 24))
    theirs = SwiGLU(24, 10)
    with torch.no_grad():
        for name in ("w1", "w2", "w3"):
            getattr(theirs, name).weight.copy_(torch.from_numpy(getattr(layer, name)))
        expected = theirs(torch.from_numpy(x)).numpy()
    y = feed_forward(x, layer)
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("H", "K"), HEADS)
def test_attention_is_grouped_query_attention(H, K):
    D = 12 * H
    layer, (x,) = layer_of(D, H, K), arrays((6, D), scale=0.5)
    keys, values = np.zeros((2, K, 9, 12), np.float32)
    y = attention(x, layer, rotations(12, 6, 10000.0)[:, None], keys, values, 0)
    theirs = GroupedQueryAttention(D, H, K)
    with torch.no_grad():
        for name in ("wq", "wk", "wv", "wo"):
            getattr(theirs, name).weight.copy_(torch.from_numpy(getattr(layer, name)))
        expected = theirs(torch.from_numpy(x)[None], rope_table(12, 6))[0].numpy()
    assert y.dtype == np.float32
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-5)
    assert (keys[:, 6:] == 0).all()
    assert (values[:, 6:] == 0).all()
    assert (np.abs(keys[:, :6]).max(-1) > 0).all()


@pytest.mark.parametrize(("H", "K"), HEADS)
def test_attention_in_pieces_is_attention_at_once(H, K):
    D = 12 * H
    layer, (x,) = layer_of(D, H, K), arrays((7, D), scale=0.5)
    turns = rotations(12, 7, 10000.0)[:, None]
    whole = attention(x, layer, turns, *np.zeros((2, K, 7, 12), np.float32), 0)
    keys, values = np.full((2, K, 20, 12), 1e9, np.float32)  # what lies behind is never seen
    start = 0
    for size in (3, 1, 2, 1):
        part = slice(start, start + size)
        y = attention(x[part], layer, turns[part], keys, values, start)
        np.testing.assert_allclose(y, whole[part], rtol=0, atol=1e-5)
        start += size
