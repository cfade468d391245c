"""What the trainings on pairs have in common: a mean over pairs, and what is noted of each step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from llama_tutorial._util.shapes import Float
from llama_tutorial.model import Transformer
from llama_tutorial.preferences.batches import PairBatch
from llama_tutorial.training.loop import Method, TrainConfig, measuring
from llama_tutorial.training.processes import all_reduce_sum
from llama_tutorial.training.step import autocast_to, update_weights


class PairMethod(Method):
    """A loss of pairs for :func:`llama_tutorial.training.loop.train`; the batches are `PairBatch`.

    ``margin`` is by how much the chosen answer's reward is above the other's; ``accuracy`` the
    share of pairs where it is above at all (a tie is half a pair).
    """

    shown: tuple[str, ...] = ("margin", "accuracy")

    def loss(
        self, model: Transformer, batch: PairBatch
    ) -> tuple[Float[Tensor, ""], dict[str, Float[Tensor, " B"]]]:
        """The mean loss of the pairs, and what is noted of each."""
        raise NotImplementedError

    def step(
        self,
        model: Transformer,
        optimizer: torch.optim.Optimizer,
        batch: PairBatch,
        config: TrainConfig,
        lr: float,
    ) -> dict[str, float]:
        """One update by the mean loss of the pairs."""
        sums: dict[str, float] = {}
        loss, norm = update_weights(
            model,
            optimizer,
            batch.micro_batches(config.micro_batches),
            lambda part: self._summed(model, part, sums),
            batch.n,
            lr=lr,
            clip=config.clip,
            autocast=config.autocast_dtype,
        )
        return {"loss": loss, "grad_norm": norm, **_means(sums, batch.n)}

    @torch.no_grad()
    def validate(
        self, model: Transformer, validation: Sequence[PairBatch], config: TrainConfig
    ) -> dict[str, float]:
        """The mean of loss, margin and accuracy over all pairs."""
        sums, loss, n = dict[str, float](), 0.0, 0
        with measuring(model):
            for batch in validation:
                n += batch.n
                for part in batch.micro_batches(config.micro_batches):
                    with autocast_to(model.device, config.autocast_dtype):
                        loss += float(self._summed(model, part.to(model.device), sums))
        found = _means(sums, n)
        return {"validation_loss": all_reduce_sum(loss) / n} | {
            f"validation_{name}": found[name] for name in PairMethod.shown
        }

    def _summed(
        self, model: Transformer, part: PairBatch, sums: dict[str, float]
    ) -> Float[Tensor, ""]:
        """The loss of a part, summed over its pairs; adds to ``sums`` what is noted of them."""
        loss, noted = self.loss(model, part)
        for name, values in noted.items():
            sums[name] = sums.get(name, 0.0) + float(values.detach().double().sum()) * (part.n > 0)
        return loss * part.n


def won(difference: Float[Tensor, " B"]) -> Float[Tensor, " B"]:
    """1 where a difference is above 0, and a half where it is 0."""
    return (difference.sign() + 1) / 2


def _means(sums: dict[str, float], n: int) -> dict[str, float]:
    return {name: all_reduce_sum(value) / n for name, value in sums.items()}
