"""Packing: examples of different lengths in rows of one length, in batches.

Examples are short and rows are long, so a row holds several. In the paper they are concatenated and
cut into rows of 4,096 tokens, with attention across examples (``"concatenate"``). By default they
stay whole here, each in the first row that has room for it, and attention does not cross from one
to the next (``"documents"``): a packed example then has exactly the logits that it has alone.

Source: Touvron et al. (2023), "Llama 2", section 3.1, for the first way; the masks are our choice.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from llama_tutorial._util.labels import IGNORE
from llama_tutorial._util.shapes import Int
from llama_tutorial.finetuning.examples import Example
from llama_tutorial.training.step import Batch, check_rows

PACKINGS = ("documents", "concatenate")
OPEN_ROWS = 64  # how many rows are tried for an example before a new one is begun
PADDING = 0  # any id would do: it has no label, and no example attends to it


class _Rows(NamedTuple):
    """Packed examples in R rows; padding is document -1."""

    ids: Int[np.ndarray, "R T"]
    targets: Int[np.ndarray, "R T"]
    documents: Int[np.ndarray, "R T"]


class PackedExamples:
    """Examples in rows of ``context`` tokens, in batches.

    The rows are made once, in an order drawn from ``seed``; each epoch takes them in another order.
    The batch of a step is a pure function of the step, so a stopped run resumes exactly.

    An example longer than a row is cut at the row's end and loses its EOS; if no label is left, it
    is dropped. Both are counted.

    Args:
        examples: From :func:`llama_tutorial.finetuning.examples.encode_example`.
        batch_size: Rows, B.
        context: Tokens of a row, T.
        seed: Seed of the order.
        packing: ``"documents"``: examples stay whole and apart, each in the first row that has room
            for it. ``"concatenate"``: one after the other, cut where a row ends, with attention
            across.

    Attributes:
        n_rows: Rows in an epoch.
        n_examples: Examples that were given.
        n_cut: Examples that were too long and lost their end (none with ``"concatenate"``).
        n_dropped: Examples that were left out because their prompt alone fills a row.
        n_tokens: Tokens of all rows, without padding.
        n_targets: How many of them are learned.

    Raises:
        ValueError: There is no example, one has no label or not as many labels as ids, the packing
            is unknown, a size is below 1, or the seed is negative.
    """

    def __init__(
        self,
        examples: Sequence[tuple[Sequence[int], Sequence[int]]],
        batch_size: int,
        context: int,
        *,
        seed: int = 0,
        packing: str = "documents",
    ) -> None:
        if packing not in PACKINGS:
            raise ValueError(f"packing={packing!r}: must be one of {', '.join(PACKINGS)}")
        check_rows(batch_size, context, seed)
        _check(examples)
        self.batch_size, self.context, self.seed = batch_size, context, seed
        self.packing = packing
        order = np.random.default_rng(seed).permutation(len(examples))
        shuffled = [examples[i] for i in order]
        pack = self._pack_whole if packing == "documents" else self._concatenate
        self.n_examples, self.n_cut, self.n_dropped = len(examples), 0, 0
        self._rows = pack(shuffled)
        self.n_rows = len(self._rows.ids)
        self.n_tokens = int((self._rows.documents >= 0).sum())
        self.n_targets = int((self._rows.targets != IGNORE).sum())

    def batch(self, step: int) -> Batch:
        """The batch of ``step``, counted from 1."""
        positions = range((step - 1) * self.batch_size, step * self.batch_size)
        return self._batch([self._row(position) for position in positions])

    def every_row(self) -> Iterator[Batch]:
        """Batches that together hold every row once, in order; for validation."""
        for first in range(0, self.n_rows, self.batch_size):
            yield self._batch(list(range(first, min(first + self.batch_size, self.n_rows))))

    def steps(self, epochs: float | int) -> int:
        """The number of batches that hold every row ``epochs`` times, rounded up.

        Raises:
            ValueError: ``epochs`` is not a finite number above 0.
        """
        if not 0 < epochs < math.inf:
            raise ValueError(f"epochs={epochs}: must be a finite number above 0")
        return math.ceil(epochs * self.n_rows / self.batch_size)

    @property
    def content(self) -> str:
        """A name for what is learned, which changes with any of the rows."""
        digest = hashlib.sha256()
        for part in self._rows:
            digest.update(np.ascontiguousarray(part).data)
        return f"sha256 {digest.hexdigest()}"

    def _row(self, position: int) -> int:
        epoch, position = divmod(position, self.n_rows)
        return int(shuffled_order(self.seed, epoch, self.n_rows)[position])

    def _batch(self, rows: list[int]) -> Batch:
        ids, targets, documents = (
            torch.from_numpy(part[rows].astype(np.int64)) for part in self._rows
        )
        return Batch(ids, targets, documents if self.packing == "documents" else None)

    def _pack_whole(self, examples: Sequence[Example]) -> _Rows:
        rows: list[list[Example]] = []
        open_rows: list[tuple[int, int]] = []  # number and free tokens, the fullest ones closed
        for ids, labels in examples:
            if len(ids) > self.context:
                ids, labels = ids[: self.context], labels[: self.context]
                kept = any(label != IGNORE for label in labels)
                self.n_cut, self.n_dropped = self.n_cut + kept, self.n_dropped + (not kept)
                if not kept:
                    continue
            place = next((i for i, (_, free) in enumerate(open_rows) if len(ids) <= free), None)
            if place is None:
                open_rows.append((len(rows), self.context))
                rows.append([])
                place = len(open_rows) - 1
            number, free = open_rows[place]
            rows[number].append(Example(ids, labels))
            open_rows[place] = (number, free - len(ids))
            if len(open_rows) > OPEN_ROWS:
                open_rows.remove(min(open_rows, key=lambda row: row[1]))
        if not rows:
            raise ValueError(
                f"no example is left: in all {len(examples)}, the prompt alone fills the context "
                f"of {self.context} tokens"
            )
        return _laid_out(rows, self.context)

    def _concatenate(self, examples: Sequence[Example]) -> _Rows:
        ids = np.concatenate([np.array(ids, np.int32) for ids, _ in examples])
        targets = np.concatenate([_shifted(labels) for _, labels in examples])
        n_rows = -(-len(ids) // self.context)
        padding = (0, n_rows * self.context - len(ids))
        flat = (
            np.pad(ids, padding, constant_values=PADDING),
            np.pad(targets, padding, constant_values=IGNORE),
            np.pad(np.zeros_like(ids), padding, constant_values=-1),
        )
        rows = _Rows(*(part.reshape(n_rows, self.context) for part in flat))
        learned = (rows.targets != IGNORE).any(1)  # a row inside one long prompt has no target
        return _Rows(*(part[learned] for part in rows))


def _check(examples: Sequence[tuple[Sequence[int], Sequence[int]]]) -> None:
    if not len(examples):
        raise ValueError("no example to learn from: the list is empty")
    for number, (ids, labels) in enumerate(examples):
        if len(ids) != len(labels):
            raise ValueError(
                f"example {number} has {len(ids)} ids and {len(labels)} labels: one for each id"
            )
        if all(label == IGNORE for label in labels[1:]):  # nothing predicts the first
            raise ValueError(
                f"example {number} has nothing to learn: all of its labels are {IGNORE}, and the "
                "mean over no token is not a number"
            )


def _shifted(labels: Sequence[int]) -> np.ndarray:
    """Targets: the label of the next token; the last token has none."""
    return np.array([*labels[1:], IGNORE], np.int32)


def _laid_out(rows: list[list[Example]], context: int) -> _Rows:
    """Every row's examples one after the other, and padding after them."""
    shape = (len(rows), context)
    ids, targets, documents = (np.full(shape, n, np.int32) for n in (PADDING, IGNORE, -1))
    for row, examples in enumerate(rows):
        at = 0
        for number, example in enumerate(examples):
            end = at + len(example.ids)
            ids[row, at:end] = example.ids
            targets[row, at:end] = _shifted(example.labels)
            documents[row, at:end] = number
            at = end
    return _Rows(ids, targets, documents)


@lru_cache(maxsize=4)
def shuffled_order(seed: int, epoch: int, n_rows: int) -> np.ndarray:
    """The order in which an epoch takes its rows."""
    return np.random.default_rng((seed, epoch)).permutation(n_rows)
