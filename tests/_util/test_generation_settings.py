"""What both engines refuse, and what a seed stands for."""

from __future__ import annotations

import re

import numpy as np
import pytest

from llama_tutorial import ModelConfig
from llama_tutorial._util.generation_settings import (
    check_prompts,
    check_sampling,
    check_start,
    row_seeds,
)

CONFIG = ModelConfig(24, 2, 4, 2, 40, vocab_size=37, max_seq_len=64)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -0.1}, "temperature=-0.1: must be 0 (the likeliest token) or above"),
        ({"top_k": 0}, "top_k=0: must be a whole number of at least 1, or None for all"),
        ({"top_p": 0}, "top_p=0: must be above 0 and at most 1, which keeps all"),
    ],
)
def test_settings_that_mean_nothing(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_sampling(**settings)
    check_sampling()


@pytest.mark.parametrize(
    ("prompts", "n", "message"),
    [
        ([[1], []], 5, "prompt 1 is empty: give at least one id, such as BOS"),
        ([[0] * 60], 5, "prompt 0 has 60 tokens; with max_new_tokens=5 that is more than the con"),
        ([[1, 37]], 5, "prompt 0 holds the id 37: the model's ids are 0 to 36"),
        ([[1]], -1, "max_new_tokens=-1: must be 0 or above"),
        ([1, 2], 5, "prompts must be a list of lists of ids; put the one prompt in a list"),
    ],
)
def test_prompts_that_do_not_fit(prompts, n, message, unchecked):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_prompts(CONFIG, prompts, n)
    check_prompts(CONFIG, [[0, 36], [5] * 59], 5)


def test_where_a_prompt_can_go_on():
    for start in (0, 1, 3):
        check_start([5, 6, 7, 8], start, 9)
    check_start([], 0, 0)  # an empty prompt has a message of its own
    for prompt, start, length, most in (([5, 6], 2, 9, 1), ([5, 6, 7], 2, 1, 1), ([5], -1, 0, 0)):
        with pytest.raises(
            ValueError, match=f"start={start}: must be between 0 and {most}, for the cache holds"
        ):
            check_start(prompt, start, length)


def test_seeds_depend_on_seed_prompt_and_copies_alone(unchecked):
    seeds = row_seeds([[1, 2], [3], [1, 2]], 7)
    assert len({*seeds}) == 3
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert row_seeds([[3], [1, 2], [1, 2]], 7) == [seeds[1], seeds[0], seeds[2]]
    assert row_seeds([list(np.array([1, 2]))], 7) == seeds[:1]
    assert row_seeds([[1, 2]], 8) != seeds[:1]


def test_the_seeds_stay_what_they_are():
    """Texts in the book hang on them."""
    assert row_seeds([[1, 2], [1, 2]], 0) == [3153840831595186109, 2733972815897057588]


def test_without_a_seed_they_are_new_every_time():
    assert row_seeds([[1]], None) != row_seeds([[1]], None)
