"""What both engines refuse, and what a seed stands for."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
import torch

from llama_tutorial import ModelConfig
from llama_tutorial._util.generation_settings import check_sampling, check_start, read_rows

CONFIG = ModelConfig(24, 2, 4, 2, 40, vocab_size=37, max_seq_len=64)
pytestmark = pytest.mark.usefixtures("unchecked")


def seeds_of(prompts, seed):
    return [number for _, number in read_rows(CONFIG, prompts, 0, seed)]


# Settings


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperature": -0.1}, "temperature=-0.1: must be 0 (the likeliest token) or above"),
        ({"temperature": math.nan}, "temperature=nan: must be 0"),
        ({"temperature": math.inf}, "temperature=inf: must be 0"),
        ({"temperature": 10**400}, ": must be 0 (the likeliest token) or above"),
        ({"temperature": True}, "temperature=True: must be 0"),
        ({"temperature": "0.6"}, "temperature='0.6': must be 0"),
        ({"temperature": None}, "temperature=None: must be 0"),
        ({"temperature": torch.tensor([0.6])}, "temperature=[0.6"),
        ({"top_k": 0}, "top_k=0: must be a whole number of at least 1, or None for all"),
        ({"top_k": 5.0}, "top_k=5.0: must be a whole number"),
        ({"top_k": True}, "top_k=True: must be a whole number"),
        ({"top_k": np.int64(-3)}, "top_k=-3: must be a whole number"),
        ({"top_p": 0}, "top_p=0: must be above 0 and at most 1, which keeps all"),
        ({"top_p": 1.5}, "top_p=1.5: must be above 0"),
        ({"top_p": math.nan}, "top_p=nan: must be above 0"),
        ({"top_p": None}, "top_p=None: must be above 0"),
        ({"min_p": -0.1}, "min_p=-0.1: must be at least 0, which keeps all, and at most 1"),
        ({"min_p": 1.5}, "min_p=1.5: must be at least 0"),
        ({"min_p": math.nan}, "min_p=nan: must be at least 0"),
        ({"min_p": "0.1"}, "min_p='0.1': must be at least 0"),
        ({"min_p": None}, "min_p=None: must be at least 0"),
        ({"min_p": True}, "min_p=True: must be at least 0"),
        (
            {"repetition_penalty": 0},
            "repetition_penalty=0: must be above 0 and finite; 1 is no penalty",
        ),
        ({"repetition_penalty": -1.2}, "repetition_penalty=-1.2: must be above 0"),
        ({"repetition_penalty": math.nan}, "repetition_penalty=nan: must be above 0"),
        ({"repetition_penalty": math.inf}, "repetition_penalty=inf: must be above 0 and finite"),
        ({"repetition_penalty": "1.2"}, "repetition_penalty='1.2': must be above 0"),
        ({"repetition_penalty": None}, "repetition_penalty=None: must be above 0"),
        ({"max_new_tokens": -1}, "max_new_tokens=-1: must be 0 or above, a whole number"),
        ({"max_new_tokens": 2.5}, "max_new_tokens=2.5: must be 0 or above, a whole number"),
        ({"max_new_tokens": True}, "max_new_tokens=True: must be 0 or above, a whole number"),
        ({"max_new_tokens": None}, "max_new_tokens=None: must be 0 or above, a whole number"),
        ({"stop_ids": 2}, "stop_ids=2: must be a set of ids; put a single one in a set"),
        ({"stop_ids": np.int64(2)}, ": must be a set of ids; put a single one in a set"),
        ({"stop_ids": torch.tensor(2)}, ": must be a set of ids; put a single one in a set"),
        ({"stop_ids": "</s>"}, "stop_ids='</s>': must be a set of ids"),
        ({"stop_ids": [2.0]}, "stop_ids=[2.0]: must be a set of ids"),
        ({"stop_ids": {None}}, "stop_ids={None}: must be a set of ids"),
    ],
)
def test_settings_that_mean_nothing(settings, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_sampling(**settings)


@pytest.mark.parametrize("library", [np, torch])
def test_numbers_of_libraries_are_pythons(library):
    make = {np: np.array, torch: torch.tensor}[library]
    numbers = 0.5, 5, 1.0, 0.25, 2, 7
    settings = check_sampling(*(make(number)[()] for number in numbers), make([2, 3]))
    assert settings == (*numbers, {2, 3})
    assert [type(value) for value in settings[:6]] == [float, int, float, float, float, int]
    assert check_sampling(stop_ids=list(make([2, 3]))).stop_ids == {2, 3}


def test_stops_may_be_any_ids_or_none():
    assert check_sampling(stop_ids=None).stop_ids == set()
    assert check_sampling(stop_ids=(-1, 5)).stop_ids == {-1, 5}  # -1: a tokenizer without EOS
    assert check_sampling(stop_ids=iter([1, 2])).stop_ids == {1, 2}


# Prompts


@pytest.mark.parametrize(
    ("prompts", "n", "message"),
    [
        ([[1], []], 5, "prompt 1 is empty: give at least one id, such as BOS"),
        (torch.zeros(2, 0, dtype=torch.int64), 5, "prompt 0 is empty"),
        ([[0] * 60], 5, "prompt 0 has 60 tokens; with max_new_tokens=5 that is more than the con"),
        ([[1, 37]], 5, "prompt 0 holds the id 37: the model's ids are 0 to 36"),
        ([[1], [-1]], 5, "prompt 1 holds the id -1: the model's ids are 0 to 36"),
        ([[1, 2.0]], 5, "prompt 0 holds 2.0: ids are whole numbers"),
        (torch.ones(1, 3), 5, "prompt 0 holds 1.0: ids are whole numbers"),
        ([[True]], 5, "prompt 0 holds True: ids are whole numbers"),
        (np.array([[True]]), 5, "prompt 0 holds True: ids are whole numbers"),
        ([[None]], 5, "prompt 0 holds None: ids are whole numbers"),
        ([[[1]]], 5, "prompt 0 holds [1]: ids are whole numbers"),
        ([1, 2], 5, "prompts must be a list of lists of ids; put the one prompt in a list"),
        (torch.tensor([1, 2]), 5, "prompts must be a list of lists of ids; put the one prompt in"),
        (5, 5, "prompts must be a list of lists of ids"),
        (None, 5, "prompts must be a list of lists of ids"),
        ("hello", 5, "prompt 0 is text: encode it first, tokenizer.encode(text, bos=True)"),
        ([[1], "hello"], 5, "prompt 1 is text: encode it first"),
        ([b"hello"], 5, "prompt 0 is text: encode it first"),
        ([["hello"]], 5, "prompt 0 holds 'hello': ids are whole numbers"),
    ],
)
def test_prompts_that_do_not_fit(prompts, n, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        read_rows(CONFIG, prompts, n, 0)


def test_prompts_come_in_many_forms():
    expected = [[1, 2, 3], [1, 2, 4]]
    for prompts in (
        expected,
        torch.tensor(expected),
        torch.tensor(expected, dtype=torch.int32),
        np.array(expected, np.uint16),
        [np.array(row) for row in expected],
        [torch.tensor(row) for row in expected],
        [list(torch.tensor(row)) for row in expected],
        tuple(map(tuple, expected)),
        (range(1, 4), [1, 2, np.int8(4)]),
        (row for row in expected),
    ):
        rows = read_rows(CONFIG, prompts, 5, 0)
        assert [ids for ids, _ in rows] == expected
        assert all(type(token) is int for ids, _ in rows for token in ids)
    assert read_rows(CONFIG, [], 5, 0) == []
    assert len(read_rows(CONFIG, [[0, 36], [5] * 59], 5, 0)) == 2


# Where to go on


def test_where_a_prompt_can_go_on():
    for start in (0, 1, 3, np.int64(3), torch.tensor(3)):
        assert check_start([5, 6, 7, 8], start, 2, 9, 20) == int(start)
    assert check_start([5, 6, 7, 8], 3, 2, torch.tensor([9]), 20) == 3
    for prompt, start, length, most in (
        ([5, 6], 2, 9, 1),
        ([5, 6, 7], 2, 1, 1),
        ([5], -1, 0, 0),
        ([5, 6], 1.0, 9, 1),
        ([5, 6], True, 9, 1),
        ([5, 6], None, 9, 1),
    ):
        with pytest.raises(
            ValueError, match=f"start={start}: must be between 0 and {most}, for the cache holds"
        ):
            check_start(prompt, start, 2, length, 20)


def test_a_cache_must_have_one_row_and_room():
    with pytest.raises(ValueError, match="the cache has 2 rows: it must have one"):
        check_start([5], 0, 1, torch.tensor([0, 0]), 20)
    assert check_start([5, 6, 7], 0, 4, 0, 6) == 0
    with pytest.raises(ValueError, match=r"6 slots: 3 ids and max_new_tokens=5 need 7; make a lon"):
        check_start([5, 6, 7], 0, 5, 0, 6)


# Seeds


def test_seeds_depend_on_seed_prompt_and_copies_alone():
    seeds = seeds_of([[1, 2], [3], [1, 2]], 7)
    assert len({*seeds}) == 3
    assert all(0 <= seed < 2**64 for seed in seeds)
    assert seeds_of([[3], [1, 2], [1, 2]], 7) == [seeds[1], seeds[0], seeds[2]]
    assert seeds_of([list(np.array([1, 2]))], 7) == seeds[:1]
    for seven in (np.int64(7), torch.tensor(7)):
        assert seeds_of([[1, 2]], seven) == seeds[:1]
    assert seeds_of([[1, 2]], 8) != seeds[:1]


def test_any_whole_number_is_a_seed():
    numbers = (-1, 0, 2**64, 10**30)
    assert len({seeds_of([[1]], number)[0] for number in numbers}) == len(numbers)
    for seed in (1.0, True, "1", math.nan):
        with pytest.raises(ValueError, match=f"seed={seed!r}: must be a whole number, or None"):
            seeds_of([[1]], seed)


def test_the_seeds_stay_what_they_are():
    """Texts in the book hang on them."""
    assert seeds_of([[1, 2], [1, 2]], 0) == [3153840831595186109, 2733972815897057588]


def test_without_a_seed_they_are_new_every_time():
    assert seeds_of([[1]], None) != seeds_of([[1]], None)
