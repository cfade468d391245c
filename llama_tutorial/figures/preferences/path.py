"""A few steps of DPO on one pair, token by token: what the chapter's plane shows."""

from __future__ import annotations

from typing import NamedTuple

import torch

from llama_tutorial.model import Transformer
from llama_tutorial.preferences.batches import PairBatches, encode_pair
from llama_tutorial.preferences.losses import dpo_loss, token_logprobs
from llama_tutorial.preferences.pair_file import Pair
from llama_tutorial.tokenizer import Tokenizer


class PairPath(NamedTuple):
    """Two answers' log-probabilities while a model learns which is preferred.

    Attributes:
        answers: The chosen one, and the rejected one.
        pieces: The tokens of each, the EOS among them.
        logprobs: Before the first step and after each: for both answers, those of its tokens.
    """

    answers: tuple[str, str]
    pieces: tuple[list[str], list[str]]
    logprobs: list[tuple[list[float], list[float]]]

    @property
    def sums(self) -> list[tuple[float, float]]:
        """The log-probabilities of the answers themselves, in nats."""
        return [(sum(chosen), sum(rejected)) for chosen, rejected in self.logprobs]


def dpo_steps(
    model: Transformer,
    tokenizer: Tokenizer,
    pair: Pair,
    n_steps: int = 10,
    *,
    lr: float = 3e-5,
    beta: float = 0.1,
) -> PairPath:
    """``n_steps`` of AdamW on one pair; the model learns, and was its own reference before.

    Args:
        model: In float64, so that three digits are the same on every machine.
        tokenizer: Its tokenizer.
        pair: What is learned.
        n_steps: How many steps.
        lr: The learning rate, the same at each.
        beta: As for :func:`llama_tutorial.preferences.losses.dpo_loss`.
    """
    encoded = encode_pair(pair, tokenizer)
    batch = PairBatches([(*encoded, pair.grade)], 1, model.config.max_seq_len).of([0])
    learned = batch.labels[:, 1:] >= 0
    optimizer = torch.optim.AdamW(model.parameters(), lr=lr, weight_decay=0, eps=1e-5)
    found: list[tuple[list[float], list[float]]] = []
    reference = torch.empty(0)
    for step in range(n_steps + 1):
        tokens = token_logprobs(model(batch.inputs), batch.labels)  # (2, T-1)
        chosen, rejected = (row[here].tolist() for row, here in zip(tokens, learned, strict=True))
        found.append((chosen, rejected))
        answers = tokens.sum(1)  # (2,)
        if step == 0:
            reference = answers.detach()
        if step < n_steps:
            loss = dpo_loss(*answers[:, None], *reference[:, None], beta=beta)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    first, second = (
        [tokenizer.id_to_piece(label) for label in example.labels if label >= 0]
        for example in encoded
    )
    return PairPath((pair.chosen, pair.rejected), (first, second), found)
