"""DPO in the training loop: the reference is measured once, so no second copy of it is kept.

What the loss needs of the reference are two numbers a pair. The model that is given *is* the
reference, so they are measured before the first step (and again when a run goes on, since every run
begins by loading the same model). That is as good for adapters as for a whole model.

Source: Rafailov et al. (2023), "Direct Preference Optimization".
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from llama_tutorial._util.shapes import Float
from llama_tutorial.model import Transformer
from llama_tutorial.preferences.batches import PairBatch, PairBatches
from llama_tutorial.preferences.losses import dpo_loss, implicit_reward, sequence_logprobs
from llama_tutorial.preferences.pair_method import PairMethod, won
from llama_tutorial.training.loop import TrainConfig, measuring
from llama_tutorial.training.processes import sum_over_processes
from llama_tutorial.training.step import autocast_to


class DPO(PairMethod):
    """The method ``"dpo"``.

    Beside margin and accuracy it notes ``logprob_chosen`` and ``logprob_rejected``, the policy's
    log-probabilities of the answers, and ``kl``: by how much these answers have become less likely,
    in nats an answer. Where the reference itself has written them, that is an estimate of the KL
    divergence from the reference to the policy, up to what the choice of pairs does to it.

    Args:
        training: The pairs that are learned.
        validation: Those that are measured with, or None.
        beta: As for :func:`llama_tutorial.preferences.losses.dpo_loss`.
    """

    shown = (*PairMethod.shown, "kl")

    def __init__(
        self, training: PairBatches, validation: PairBatches | None = None, beta: float | int = 0.1
    ) -> None:
        self.parts = [part for part in (training, validation) if part is not None]
        self.beta = beta
        self._reference: dict[PairBatches, Float[Tensor, "n 2"]] = {}
        self._of = training  # whose numbers the batches have

    def start(self, model: Transformer, config: TrainConfig) -> None:
        """Measure the reference, which the model is now."""
        with autocast_to(model.device, config.autocast_dtype):
            self._reference = {part: reference_logprobs(model, part) for part in self.parts}

    def loss(
        self, model: Transformer, batch: PairBatch
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, " B"]]]:
        """`dpo_loss`, and what is noted."""
        chosen, rejected = sequence_logprobs(model, batch.inputs, batch.labels).chunk(2)
        reference = self._reference[self._of][batch.numbers.cpu()].to(chosen)  # (B, 2)
        loss = dpo_loss(chosen, rejected, *reference.unbind(1), beta=self.beta)
        rewards = (
            implicit_reward(mine, its, self.beta)
            for mine, its in zip((chosen, rejected), reference.unbind(1), strict=True)
        )
        margin = next(rewards) - next(rewards)
        return loss, {
            "margin": margin,
            "accuracy": won(margin),
            "logprob_chosen": chosen,
            "logprob_rejected": rejected,
            "kl": reference.mean(1) - (chosen + rejected) / 2,
        }

    def validate(
        self, model: Transformer, validation: Sequence[PairBatch], config: TrainConfig
    ) -> dict[str, float]:
        """As every method of pairs, by the reference's numbers for the validation's pairs."""
        self._of = self.parts[-1]
        try:
            return super().validate(model, validation, config)
        finally:
            self._of = self.parts[0]


@torch.no_grad()
def reference_logprobs(model: Transformer, pairs: PairBatches) -> Float[Tensor, "n 2"]:
    """The log-probability of every chosen and rejected answer, in float64 on the CPU.

    Each of several processes computes its share; all get all of it.
    """
    found = torch.zeros(pairs.n_pairs, 2, dtype=torch.float64)
    with measuring(model):
        for batch in pairs.every_pair():
            (part,) = batch.to(model.device).micro_batches()
            logprobs = sequence_logprobs(model, part.inputs, part.labels).chunk(2)  # (b,) each
            if part.n:
                found[part.numbers.cpu()] = torch.stack(logprobs, 1).cpu().double()
    return sum_over_processes(found)
