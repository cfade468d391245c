"""Pairs as batches: each pair is two rows, the chosen answer's and the rejected one's.

Rows are not packed here: a reward is read at a row's last token, and a log-probability is summed
over a row. They are padded on the right, where no token before it looks.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from llama_tutorial._util.labels import IGNORE
from llama_tutorial._util.shapes import Int
from llama_tutorial.chat.dialog import Encoder
from llama_tutorial.finetuning.examples import Example, encode_example
from llama_tutorial.finetuning.packing import PADDING, shuffled_order
from llama_tutorial.preferences.pair_file import Pair
from llama_tutorial.training.processes import rank, world_size
from llama_tutorial.training.step import check_rows


class PairBatch(NamedTuple):
    """Some pairs: the rows of all chosen answers, then those of all rejected ones.

    Attributes:
        inputs: Token ids.
        labels: The id where the last answer is, -100 elsewhere; not shifted.
        last: The place of each row's last token, the answer's EOS.
        grades: Of each pair.
        numbers: Of each pair among all.
        n: How many pairs count: all, or none of a batch that only keeps a process busy.
    """

    inputs: Int[Tensor, "R T"]
    labels: Int[Tensor, "R T"]
    last: Int[Tensor, " R"]
    grades: Int[Tensor, " B"]
    numbers: Int[Tensor, " B"]
    n: int

    def to(self, device: torch.device) -> PairBatch:
        """The batch on ``device``."""
        return PairBatch(
            self.inputs.to(device),
            self.labels.to(device),
            self.last.to(device),
            self.grades.to(device),
            self.numbers.to(device),
            self.n,
        )

    def micro_batches(self, n: int = 1) -> list[PairBatch]:
        """The pairs of this process in ``n`` parts; those of all processes are the whole batch.

        Where there are more parts than pairs, some hold one pair that does not count: no process
        may be absent while the others compute.
        """
        total, first = world_size() * n, rank() * n
        pairs = torch.arange(len(self.numbers)).tensor_split(total)
        return [self._of(pairs[i]) for i in range(first, first + n)]

    def _of(self, pairs: Int[Tensor, " b"]) -> PairBatch:
        n = len(pairs)
        pairs = (pairs if n else torch.zeros(1, dtype=torch.int64)).to(self.numbers.device)
        rows = torch.cat((pairs, pairs + len(self.numbers)))
        return PairBatch(
            self.inputs[rows],
            self.labels[rows],
            self.last[rows],
            self.grades[pairs],
            self.numbers[pairs],
            n,
        )


def encode_pair(pair: Pair, tokenizer: Encoder) -> tuple[Example, Example]:
    """Both dialogs as tokens; only the last answer has labels, with the EOS that ends it.

    Raises:
        ValueError: As :func:`llama_tutorial.finetuning.examples.encode_example`.
    """
    chosen, rejected = (last_answer(encode_example(dialog, tokenizer)) for dialog in pair.dialogs())
    return chosen, rejected


def last_answer(example: Example) -> Example:
    """The example with the labels of its last answer alone."""
    before = [i for i, label in enumerate(example.labels) if label == IGNORE]
    n = before[-1] + 1  # the last question ends there
    return Example(example.ids, [IGNORE] * n + example.labels[n:])


class PairBatches:
    """Encoded pairs in batches; the batch of a step is a pure function of the step.

    Each epoch takes the pairs in another order, drawn from ``seed``. A pair of which an answer does
    not fit into the context is left out, and counted: a reward is read at the end, and a cut answer
    is another answer.

    Args:
        pairs: From `encode_pair`, with the pair's grade.
        batch_size: Pairs, B.
        context: The most tokens that a row may have.
        seed: Of the order.

    Attributes:
        n_pairs: How many there are.
        n_dropped: How many were left out.

    Raises:
        ValueError: No pair is left, a size is below 1, or the seed is negative.
    """

    def __init__(
        self,
        pairs: Sequence[tuple[Example, Example, int]],
        batch_size: int,
        context: int,
        *,
        seed: int = 0,
    ) -> None:
        check_rows(batch_size, context, seed)
        self._pairs = [pair for pair in pairs if max(len(e.ids) for e in pair[:2]) <= context]
        if not self._pairs:
            raise ValueError(
                f"no pair is left of {len(pairs)}: none fits into the context of {context} tokens"
            )
        self.batch_size, self.context, self.seed = batch_size, context, seed
        self.n_pairs, self.n_dropped = len(self._pairs), len(pairs) - len(self._pairs)

    def batch(self, step: int) -> PairBatch:
        """The batch of ``step``, counted from 1."""
        positions = range((step - 1) * self.batch_size, step * self.batch_size)
        return self.of([self._number(position) for position in positions])

    def every_pair(self) -> Iterator[PairBatch]:
        """Batches that together hold every pair once, in order."""
        for first in range(0, self.n_pairs, self.batch_size):
            yield self.of(list(range(first, min(first + self.batch_size, self.n_pairs))))

    def steps(self, epochs: float | int) -> int:
        """The number of batches that hold every pair ``epochs`` times, rounded up.

        Raises:
            ValueError: ``epochs`` is not a finite number above 0.
        """
        if not 0 < epochs < math.inf:
            raise ValueError(f"epochs={epochs}: must be a finite number above 0")
        return math.ceil(epochs * self.n_pairs / self.batch_size)

    @property
    def n_tokens(self) -> int:
        """Tokens of all rows, without padding."""
        return sum(len(example.ids) for pair in self._pairs for example in pair[:2])

    @property
    def content(self) -> str:
        """A name for what is learned, which changes with any of the pairs."""
        digest = hashlib.sha256()
        for chosen, rejected, grade in self._pairs:
            digest.update(repr((chosen.ids, rejected.ids, grade)).encode())
        return f"sha256 {digest.hexdigest()}"

    def of(self, numbers: Sequence[int]) -> PairBatch:
        """The pairs of these numbers as a batch."""
        pairs = [self._pairs[i] for i in numbers]
        examples = [pair[0] for pair in pairs] + [pair[1] for pair in pairs]
        longest = max(len(example.ids) for example in examples)
        ids = np.full((len(examples), longest), PADDING)
        labels = np.full((len(examples), longest), IGNORE)
        for row, example in enumerate(examples):
            ids[row, : len(example.ids)] = example.ids
            labels[row, : len(example.ids)] = example.labels
        return PairBatch(
            torch.from_numpy(ids.astype(np.int64)),
            torch.from_numpy(labels.astype(np.int64)),
            torch.tensor([len(example.ids) - 1 for example in examples]),
            torch.tensor([pair[2] for pair in pairs]),
            torch.tensor(numbers),
            len(pairs),
        )

    def _number(self, position: int) -> int:
        epoch, position = divmod(position, self.n_pairs)
        return int(shuffled_order(self.seed, epoch, self.n_pairs)[position])
