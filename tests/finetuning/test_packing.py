"""Packing: every example is there once, packed equals separate, and nothing is lost unsaid."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch

from llama_tutorial import ModelConfig, Transformer
from llama_tutorial.finetuning import Example
from llama_tutorial.finetuning.packing import OPEN_ROWS, PackedExamples
from llama_tutorial.training import IGNORE, make_optimizer, token_loss, train_step

CONFIG = ModelConfig(
    dim=16, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=24, vocab_size=40, max_seq_len=32
)


def example(n_prompt: int, n_answer: int, first: int = 3) -> Example:
    """Ids that say which example they are of, and which of its tokens."""
    ids = [first + i for i in range(n_prompt + n_answer)]
    return Example(ids, [IGNORE] * n_prompt + ids[n_prompt:])


# -- packing ------------------------------------------------------------------------------------


def random_examples(n: int, longest: int, seed: int = 0) -> list[Example]:
    generator = random.Random(seed)
    found = []
    for _ in range(n):
        n_prompt, n_answer = generator.randint(1, longest - 1), generator.randint(1, longest)
        ids = [generator.randrange(3, 40) for _ in range(n_prompt + n_answer)][:longest]
        found.append(Example(ids, ([IGNORE] * n_prompt + ids[n_prompt:])[:longest]))
    return found


def documents_of(batch) -> list[tuple[list[int], list[int]]]:
    """The examples of a packed batch again: ids and targets."""
    found = []
    for row in range(len(batch.inputs)):
        for number in batch.documents[row].unique():
            mine = batch.documents[row] == number
            if number >= 0:
                found.append((batch.inputs[row][mine].tolist(), batch.targets[row][mine].tolist()))
            else:
                assert (batch.targets[row][mine] == IGNORE).all()
    return found


def shifted(example: Example) -> tuple[list[int], list[int]]:
    return list(example.ids), [*example.labels[1:], IGNORE]


def test_every_example_is_whole_and_there_once():
    examples = random_examples(200, 20)
    packed = PackedExamples(examples, 7, 64)
    found = [document for batch in packed.every_row() for document in documents_of(batch)]
    assert sorted(found) == sorted(map(shifted, examples))
    assert packed.n_cut == packed.n_dropped == 0
    assert packed.n_tokens == sum(len(ids) for ids, _ in examples)
    assert packed.n_targets == sum(label != IGNORE for _, labels in examples for label in labels)
    assert packed.n_tokens / (packed.n_rows * 64) > 0.9


def test_the_first_row_with_room_is_taken():
    # Whatever the order: two of 6 fill a row of 12, three of 4 do, and a 6 leaves room for one 4.
    for seed in range(5):
        packed = PackedExamples([example(2, 4)] * 2 + [example(2, 2)] * 3, 1, 12, seed=seed)
        assert packed.n_rows in (2, 3)
    packed = PackedExamples([example(1, 1, i) for i in range(30)], 1, 20)
    assert packed.n_rows == 3
    assert packed.n_tokens == 60


def packed_in_order(lengths: list[int], context: int) -> list[list[int]]:
    """The lengths in every row, if examples of these lengths come in this order."""
    order = np.random.default_rng(0).permutation(len(lengths))
    examples = [example(1, 1)] * len(lengths)
    for length, place in zip(lengths, order, strict=True):
        examples[place] = example(1, length - 1)
    (batch,) = PackedExamples(examples, len(lengths), context).every_row()
    return [
        [int((numbers == n).sum()) for n in range(int(numbers.max()) + 1)]
        for numbers in batch.documents
    ]


def test_of_too_many_open_rows_the_fullest_is_closed():
    # No two of these share a row. The first row is the emptiest, the second the fullest.
    alone = [17, 30, *[20] * 61, 18]
    assert len(alone) == OPEN_ROWS
    rows = packed_in_order([*alone, 15, 14, 2], 32)
    assert rows == [[17, 15], [30, 2], *[[20]] * 61, [18, 14]]
    rows = packed_in_order([*alone, 21, 15, 14, 11, 2], 32)  # one row more than may be open
    assert rows == [[17, 15], [30], [20, 11], [20, 2], *[[20]] * 59, [18, 14], [21]]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-9)])
def test_packed_equals_separate(dtype, tolerance):
    torch.manual_seed(0)
    model = Transformer(CONFIG).to(dtype)
    model.reset_parameters()
    examples = random_examples(30, 14)
    total = n = 0
    for batch in PackedExamples(examples, 4, 32).every_row():
        logits = model(batch.inputs, documents=batch.documents)
        loss, targets = token_loss(model, *batch)
        total, n = total + loss, n + targets
        for row in range(len(batch.inputs)):
            for number in batch.documents[row].unique():
                mine = batch.documents[row] == number
                alone = model(batch.inputs[row][mine][None])
                assert (alone[0] - logits[row][mine]).abs().max() < tolerance
    apart = sum(
        token_loss(model, torch.tensor([ids]), torch.tensor([targets]))[0]
        for ids, targets in map(shifted, examples)
    )
    assert float((total - apart).detach()) / n == pytest.approx(0, abs=tolerance)


def test_end_to_end_is_one_text_cut_into_rows():
    examples = random_examples(50, 20)
    packed = PackedExamples(examples, 3, 48, packing="concatenate", seed=4)
    batches = list(packed.every_row())
    assert all(batch.documents is None for batch in batches)
    ids = torch.cat([batch.inputs.flatten() for batch in batches]).tolist()
    targets = torch.cat([batch.targets.flatten() for batch in batches]).tolist()
    assert sum(target != IGNORE for target in targets) == packed.n_targets
    # Nothing is lost where a row ends: a target is the next row's first id.
    for place, target in enumerate(targets[:-1]):
        assert target in (IGNORE, ids[place + 1])
    text = " ".join(map(str, ids))
    assert all(" ".join(map(str, example.ids)) in text for example in examples)
    assert packed.n_cut == packed.n_dropped == 0


def test_end_to_end_attends_across():
    torch.manual_seed(0)
    model = Transformer(CONFIG).double()
    examples = random_examples(6, 10)
    (apart,), (across,) = (
        PackedExamples(examples, 9, 32, packing=packing).every_row()
        for packing in ("documents", "concatenate")
    )
    sums = [token_loss(model, *batch) for batch in (apart, across)]
    values = [loss.item() / n for loss, n in sums]
    assert abs(values[0] - values[1]) > 1e-6


def test_rows_inside_a_long_prompt_are_left_out_end_to_end():
    packed = PackedExamples([example(30, 2)], 1, 8, packing="concatenate")
    assert packed.n_rows == 1
    assert packed.n_targets == 2
    assert packed.n_tokens == 8


def test_what_does_not_fit_is_cut_and_counted():
    examples = [example(4, 12), example(4, 4), example(12, 4), example(8, 8)]
    packed = PackedExamples(examples, 1, 10)
    assert (packed.n_examples, packed.n_cut, packed.n_dropped) == (4, 2, 1)
    found = [document for batch in packed.every_row() for document in documents_of(batch)]
    assert sorted(map(len, (ids for ids, _ in found))) == [8, 10, 10]
    ids, targets = next(document for document in found if document[1].count(IGNORE) == 4)
    assert ids == [3, 4, 5, 6, 7, 8, 9, 10, 11, 12]
    # The last id that is left foretells nothing: what it should foretell was cut.
    assert targets == [IGNORE] * 3 + [7, 8, 9, 10, 11, 12] + [IGNORE]


def test_nothing_left_is_an_error():
    with pytest.raises(ValueError, match=r"no example is left: in all 2, .* context of 10 tokens"):
        PackedExamples([example(12, 4)] * 2, 1, 10)


@pytest.mark.parametrize(
    ("examples", "changes", "message"),
    [
        ([], {}, "no example to learn from: the list is empty"),
        ([([1, 2], [IGNORE])], {}, "example 0 has 2 ids and 1 labels: one for each id"),
        (
            [example(1, 1), ([1, 2], [IGNORE] * 2)],
            {},
            "example 1 has nothing to learn: all of its labels are -100",
        ),
        ([([1, 2], [1, IGNORE])], {}, "example 0 has nothing to learn"),
        ([example(1, 1)], {"packing": "padded"}, "packing='padded': must be one of documents, con"),
        ([example(1, 1)], {"batch_size": 0}, "batch_size=0: must be at least 1"),
        ([example(1, 1)], {"context": 0}, "context=0: must be at least 1"),
        ([example(1, 1)], {"seed": -1}, "seed=-1: must be at least 0"),
    ],
)
def test_what_cannot_be_packed(examples, changes, message):
    with pytest.raises(ValueError, match=message):
        PackedExamples(examples, **{"batch_size": 1, "context": 8} | changes)


@pytest.mark.parametrize("epochs", [0, -1, float("inf"), float("nan")])
def test_epochs_that_are_none(epochs):
    with pytest.raises(ValueError, match=f"epochs={epochs}: must be a finite number above 0"):
        PackedExamples([example(1, 1)], 1, 8).steps(epochs)


def test_a_batch_without_a_target_is_an_error_and_no_nan():
    model = Transformer(CONFIG)
    nothing = torch.full((1, 4), IGNORE)
    with pytest.raises(ValueError, match="no token has a target: all 4 labels are -100"):
        train_step(model, make_optimizer(model, lr=1e-3), torch.ones(1, 4).long(), nothing, lr=1e-3)


# -- batches ------------------------------------------------------------------------------------


@pytest.mark.parametrize("packing", ["documents", "concatenate"])
def test_a_batch_is_a_function_of_its_step(packing):
    examples = random_examples(60, 20)
    packed, again = (PackedExamples(examples, 4, 32, packing=packing) for _ in range(2))
    for step in (9, 2, 40, 1):
        for part, other in zip(packed.batch(step), again.batch(step), strict=True):
            assert part is other is None or torch.equal(part, other)


def test_an_epoch_holds_every_row_once_and_each_has_its_own_order():
    packed = PackedExamples(random_examples(50, 20), 1, 32)
    epochs = [
        [
            tuple(packed.batch(step).inputs[0].tolist())
            for step in range(first, first + packed.n_rows)
        ]
        for first in (1, packed.n_rows + 1)
    ]
    rows = [tuple(batch.inputs[0].tolist()) for batch in packed.every_row()]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(rows)
    assert epochs[0] != epochs[1]
    other = PackedExamples(random_examples(50, 20), 1, 32, seed=1)
    assert not torch.equal(other.batch(1).inputs, packed.batch(1).inputs)


def test_steps_of_epochs():
    packed = PackedExamples([example(4, 4)] * 10, 4, 8)
    assert [packed.steps(n) for n in (0.1, 1, 2)] == [1, 3, 5]
    assert [len(batch.inputs) for batch in packed.every_row()] == [4, 4, 2]


def test_the_mean_weighs_tokens_not_examples():
    torch.manual_seed(1)
    model = Transformer(CONFIG).double()
    long, short = example(3, 20), example(3, 2)
    (batch,) = PackedExamples([long, short], 1, 32).every_row()
    (total, n) = token_loss(model, *batch)
    sums = [
        token_loss(model, torch.tensor([ids]), torch.tensor([targets]))
        for ids, targets in map(shifted, (long, short))
    ]
    of_tokens = sum(loss for loss, _ in sums) / sum(n for _, n in sums)
    of_examples = sum(loss / n for loss, n in sums) / 2
    assert total.item() / n == pytest.approx(of_tokens.item(), abs=1e-9)
    assert abs(of_tokens.item() - of_examples.item()) > 1e-4
