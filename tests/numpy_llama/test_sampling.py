"""Sampling in NumPy: Meta's distribution, and the draws of the PyTorch engine."""

from __future__ import annotations

import itertools
import math

import numpy as np
import oracles
import pytest
import torch

from llama_tutorial import sampling
from llama_tutorial.numpy_llama.sampling import (
    draw,
    next_probabilities,
    repetition_penalty,
    uniforms,
)

pytest.importorskip("hypothesis")
from hypothesis import assume, given, settings
from hypothesis import strategies as st

repeatable = settings(derandomize=True, deadline=None, max_examples=200)
logit_lists = st.lists(st.integers(-8, 8), min_size=1, max_size=12)  # integers, so that many tie
shares = st.floats(0.01, 0.999)


def single(values) -> np.ndarray:
    return np.array(values, np.float32)


@repeatable
@given(logit_lists, st.floats(0.1, 4.0), st.none() | st.integers(1, 12), st.just(1.0) | shares)
def test_the_distribution_is_metas(logits, temperature, top_k, top_p):
    after_k = oracles.next_distribution(np.array(logits), temperature, top_k)
    above = np.cumsum(np.sort(after_k)[::-1])
    assume(all(abs(share - top_p) > 1e-5 for share in above[:-1]))  # exact sums: see below
    expected = oracles.next_distribution(np.array(logits), temperature, top_k, top_p)
    actual = next_probabilities(single(logits), temperature, top_k, top_p)
    assert actual.dtype == np.float32
    assert ((actual > 0) == (expected > 0)).all()
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("top_k", [None, 1, 50, 31999, 40000])
@pytest.mark.parametrize("top_p", [0.01, 0.9, 0.999, 1.0])
@pytest.mark.parametrize("min_p", [0.0, 0.2])
def test_the_distribution_is_the_pytorch_engines(top_k, top_p, min_p):
    for seed, temperature in itertools.product(range(3), (0.3, 1.0, 2.5)):
        logits = 3 * np.random.default_rng(seed).standard_normal(32000, np.float32)
        settings = (temperature, top_k, top_p, min_p)
        expected = sampling.next_probabilities(torch.from_numpy(logits), *settings)
        actual = next_probabilities(logits, *settings)
        np.testing.assert_allclose(actual, expected.numpy(), rtol=0, atol=1e-5)
        parted = (actual > 0) != (expected.numpy() > 0)
        assert (actual + expected.numpy())[parted].sum() < 1e-5  # where a rounded sum meets p


def test_min_p_keeps_what_is_likely_enough_beside_the_likeliest():
    logits = np.log(single([0.5, 0.26, 0.14, 0.1]))
    for p, n_kept in ((0.0, 4), (0.19, 4), (0.21, 3), (0.5, 2), (0.53, 1), (1, 1)):
        chances = next_probabilities(logits, 1.0, min_p=p)
        assert (chances > 0).tolist() == [True] * n_kept + [False] * (4 - n_kept)
        assert chances.sum() == pytest.approx(1)
    for p in (-0.1, 1.5, math.nan):
        with pytest.raises(ValueError, match=f"min_p={p}: must be at least 0, which keeps all"):
            next_probabilities(logits, 1.0, min_p=p)


@pytest.mark.parametrize("penalty", [1e-300, 0.5, 1, 1.2, 7.0, 1e300])
def test_the_penalty_is_the_pytorch_engines_to_the_bit(penalty):
    random = np.random.default_rng(0)
    logits = 3 * random.standard_normal(1000, np.float32)
    logits[:3] = 0, -0.0, -np.inf
    ids = [0, 1, 2, *random.integers(0, 1000, 300).tolist()]
    before = logits.copy()
    expected = sampling.repetition_penalty(torch.from_numpy(logits), torch.tensor(ids), penalty)
    changed = repetition_penalty(logits, ids, penalty)
    assert changed.dtype == np.float32
    np.testing.assert_array_equal(changed, expected.numpy())
    np.testing.assert_array_equal(logits, before)


@pytest.mark.parametrize("penalty", [0, -1.2, math.nan, math.inf])
def test_a_penalty_that_means_nothing(penalty):
    with pytest.raises(ValueError, match=f"repetition_penalty={penalty}: must be above 0 and fini"):
        repetition_penalty(single([1, 2]), [0], penalty)


@pytest.mark.parametrize(
    ("p", "n_kept"), [(0.125, 2), (0.1249, 1), (0.25, 3), (0.2501, 3), (0.875, 8), (0.8749, 7)]
)
def test_a_sum_of_exactly_p_keeps_one_more_and_among_equals_the_first(p, n_kept):
    kept = next_probabilities(np.zeros(8, np.float32), 1.0, None, p) > 0
    assert kept.tolist() == [True] * n_kept + [False] * (8 - n_kept)


def test_top_k_among_equals_keeps_the_first():
    kept = next_probabilities(single([1, 3, 3, 3, 0]), 1.0, 2) > 0
    assert kept.tolist() == [False, True, True, False, False]


def test_the_order_is_temperature_then_top_k_then_top_p():
    logits = np.log(single([0.4, 0.3, 0.2, 0.1]))
    assert (next_probabilities(logits, 1.0, None, 0.5) > 0).tolist() == [True, True, False, False]
    assert (next_probabilities(logits, 1.0, 2, 0.5) > 0).tolist() == [True, False, False, False]
    hot = next_probabilities(logits, 100.0, None, 0.6)  # nearly even, so three are needed
    assert (hot > 0).tolist() == [True, True, True, False]


@pytest.mark.parametrize("temperature", [1e-3, 1e-38, 1e-46, 1e-300])
def test_a_tiny_temperature_is_the_argmax_and_no_overflow(temperature, recwarn):
    with np.errstate(over="ignore"):  # towards -inf, which is right
        probabilities = next_probabilities(single([10, -3, 11, 4]), temperature, None, 0.9)
    assert probabilities.tolist() == [0, 0, 1, 0]
    assert not recwarn.list


def test_logits_may_be_excluded_and_are_left_alone():
    logits = single([1, -math.inf, 1])
    assert next_probabilities(logits, 0.7, 2, 0.9).tolist() == [0.5, 0, 0.5]
    assert logits.tolist() == [1, -math.inf, 1]


@pytest.mark.parametrize("seed", [0, 1, 2**31, 2**32 - 1, 2**32, 0x123456789ABCDEF0, 2**64 - 1])
def test_the_uniform_numbers_are_torchs(seed):
    generator = torch.Generator().manual_seed(seed)
    expected = [torch.rand(1, generator=generator, dtype=torch.float64).item() for _ in range(1000)]
    assert list(itertools.islice(uniforms(seed), 1000)) == expected


def test_numpys_own_generator_is_left_alone():
    np.random.seed(0)
    before = np.random.get_state()[1].copy()
    next(uniforms(1))
    assert (np.random.get_state()[1] == before).all()


def test_draws_are_the_pytorch_engines():
    generator = np.random.default_rng(0)
    for size in (1, 7, 32000):
        probabilities = generator.random((50, size), np.float32)
        probabilities[probabilities < 0.5] = 0
        probabilities[:, size // 2] += 0.1
        numbers = generator.random(50)
        expected = sampling.draw(torch.from_numpy(probabilities), torch.from_numpy(numbers))
        assert [
            draw(p, u) for p, u in zip(probabilities, numbers, strict=True)
        ] == expected.tolist()


def test_a_token_of_probability_0_is_never_drawn():
    probabilities = single([0, 0.25, 0, 0, 0.5, 0.25, 0])
    below = [math.nextafter(border, 0) for border in (0.25, 0.75, 1.0)]
    assert [draw(probabilities, border) for border in (0.0, 0.25, 0.75)] == [1, 4, 5]
    assert [draw(probabilities, border) for border in below] == [1, 4, 5]


# What is not finite


@pytest.mark.parametrize("temperature", [1e-46, 1e-38, 1e-30, 1e38, 1e39, 1e300])
def test_a_temperature_of_any_size_gives_no_nan_and_no_warning(temperature, recwarn):
    probabilities = next_probabilities(single([100, -np.inf, -100]), temperature)
    expected = [1, 0, 0] if temperature < 1 else [0.5, 0, 0.5]
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert not recwarn.list


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_logits_that_are_not_finite_are_refused(bad, recwarn):
    message = f"the logits of row 0 are not finite: the largest is {bad}"
    for cuts in ((), (2,), (None, 0.9)):
        with pytest.raises(ValueError, match=message):
            next_probabilities(single([1, bad, 2]), 1.0, *cuts)
    with pytest.raises(ValueError, match="the largest is -inf"):
        next_probabilities(single([-np.inf, -np.inf]), 1.0)
    with pytest.raises(ValueError, match="temperature=-1: must be 0"):
        next_probabilities(single([1, 2]), -1)
    assert not recwarn.list


@pytest.mark.parametrize("uniform", [0.99999999, 1 - 2**-53, 1.0, float(np.float32(0.99999999))])
def test_no_number_leads_out_of_the_vocabulary(uniform):
    rng = np.random.default_rng(0)
    for size in (1, 7, 1024, 32000):
        for _ in range(20):
            probabilities = rng.random(size, np.float32)
            probabilities[size // 2 + 1 :] = 0
            assert draw(probabilities, uniform) == size // 2


@pytest.mark.parametrize("row", [[0, 0], [np.nan, 1], [np.inf, 1], [-1, 0.5]])
def test_probabilities_that_are_none_are_refused(row):
    with pytest.raises(ValueError, match=r"the probabilities sum to .*: must be above 0"):
        draw(single(row), 0.5)
