"""Pairs as tokens and as batches."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("sentencepiece")

from llama_tutorial import load_tokenizer
from llama_tutorial.chat.dialog import encode_dialog
from llama_tutorial.finetuning import Example
from llama_tutorial.preferences.batches import PairBatches, encode_pair, last_answer
from llama_tutorial.preferences.pair_file import Pair
from llama_tutorial.shipped import SHIPPED
from llama_tutorial.training import IGNORE


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(SHIPPED["tales"].tokenizer)


def made(n: int, context: int = 20, batch_size: int = 3, seed: int = 0) -> PairBatches:
    """Pairs of unequal lengths whose ids tell which they are."""
    pairs = [
        (
            Example([100 + i] * (4 + i % 3), [IGNORE, IGNORE] + [100 + i] * (2 + i % 3)),
            Example([200 + i] * 5, [IGNORE, IGNORE] + [200 + i] * 3),
            i % 4,
        )
        for i in range(n)
    ]
    return PairBatches(pairs, batch_size, context, seed=seed)


def test_only_the_last_answer_has_labels_and_eos_is_one_of_them(tokenizer):
    dialog = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello!"},
        {"role": "user", "content": "Name a color."},
    ]
    pair = Pair(dialog, "Red.", "A kite.")
    for example, text in zip(encode_pair(pair, tokenizer), ("Red.", "A kite."), strict=True):
        n = len(encode_dialog(dialog, tokenizer))
        assert example.labels[:n] == [IGNORE] * n
        assert example.labels[n:] == example.ids[n:]
        assert example.ids[-1] == tokenizer.eos_id
        assert tokenizer.decode(example.ids[n:-1]).strip() == text


def test_an_answer_before_the_last_loses_its_labels():
    example = Example([1, 2, 3, 4, 5, 6], [IGNORE, 2, 3, IGNORE, 5, 6])
    assert last_answer(example).labels == [IGNORE] * 4 + [5, 6]


def test_a_batch_has_the_chosen_rows_first_and_padding_without_labels():
    batch = made(3, batch_size=3).of([2, 0, 1])
    assert batch.inputs[:, 0].tolist() == [102, 100, 101, 202, 200, 201]
    assert batch.grades.tolist() == [2, 0, 1]
    assert batch.numbers.tolist() == [2, 0, 1]
    for row, last in enumerate(batch.last.tolist()):
        assert batch.labels[row, last] == batch.inputs[row, last] > 99
        assert (batch.labels[row, last + 1 :] == IGNORE).all()
        assert (batch.inputs[row, last + 1 :] == 0).all()


def test_each_epoch_has_every_pair_once_in_its_own_order():
    pairs = made(7, batch_size=2, seed=3)
    seen = [n for step in range(1, 8) for n in pairs.batch(step).numbers.tolist()]
    assert sorted(seen[:7]) == sorted(seen[7:]) == list(range(7))
    assert seen[:7] != seen[7:]
    again = made(7, batch_size=2, seed=3)
    assert torch.equal(again.batch(5).inputs, pairs.batch(5).inputs)
    assert [n for batch in pairs.every_pair() for n in batch.numbers.tolist()] == list(range(7))


def test_the_parts_of_a_batch_are_the_batch():
    batch = made(5, batch_size=5).of([0, 1, 2, 3, 4])
    parts = batch.micro_batches(3)
    assert [part.n for part in parts] == [2, 2, 1]
    assert [n for part in parts for n in part.numbers.tolist()] == [0, 1, 2, 3, 4]
    for part in parts:
        rows = part.inputs[:, 0].tolist()
        assert [row - 100 for row in rows[: part.n]] == part.numbers.tolist()
        assert [row - 200 for row in rows[part.n :]] == part.numbers.tolist()
    more = batch.micro_batches(7)
    assert [part.n for part in more] == [1] * 5 + [0] * 2
    assert all(len(part.inputs) == 2 for part in more)


def test_a_pair_that_does_not_fit_is_left_out_and_counted():
    assert (made(6, context=5).n_pairs, made(6, context=5).n_dropped) == (4, 2)
    with pytest.raises(ValueError, match="no pair is left of 6: none fits into the context of 4"):
        made(6, context=4)


def test_steps_and_content():
    assert made(7, batch_size=2).steps(2) == 7
    assert made(7).content != made(6).content
    assert made(7).content == made(7, seed=4).content
    for epochs in (0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=f"epochs={epochs}: must be a finite number above 0"):
            made(3).steps(epochs)
    with pytest.raises(ValueError, match="batch_size=0: must be at least 1"):
        made(3, batch_size=0)
