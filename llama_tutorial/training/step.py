r"""One training step: the loss, the optimizer, the learning rate.

.. math:: \mathcal L = -\frac{1}{N} \sum_{i} \log p(y_i \mid x_1, \dots, x_i)

The mean is over the :math:`N` tokens that have a target :math:`y_i`; a label of -100 means none.
Llama 2's settings are the defaults: AdamW with betas 0.9 and 0.95, weight decay 0.1 on matrices
only, gradients clipped to norm 1, a linear warm-up and a cosine down to a tenth of the peak.

Source: Touvron et al. (2023), "Llama 2", section 2.2. The paper does not say which tensors decay;
leaving out the vectors (norms and biases) is a custom as old as GPT-1.

Several processes (:mod:`llama_tutorial.training.processes`) divide a step between them: each gets
the whole batch and takes its rows of it; losses and gradients are those of the whole batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from llama_tutorial._util.labels import IGNORE
from llama_tutorial._util.shapes import Float, Int
from llama_tutorial.model import Transformer
from llama_tutorial.training.processes import all_reduce_sum, rank, world_size


class DivergenceError(ValueError):
    """The training has left the finite numbers: a loss, a gradient or a weight is NaN or infinite.

    It is raised before anything is computed from that number or written to disk.
    """


class Batch(NamedTuple):
    """The rows that one step learns from; ``*batch`` is what `token_loss` and `train_step` take.

    Attributes:
        inputs: Token ids, ``(B, T)``.
        targets: The id after each, or -100 where there is no loss.
        documents: The packed document that each token belongs to; None where rows are not packed.
    """

    inputs: Int[Tensor, "B T"]
    targets: Int[Tensor, "B T"]
    documents: Int[Tensor, "B T"] | None = None

    def to(self, device: torch.device) -> Batch:
        """The batch on ``device``."""
        documents = None if self.documents is None else self.documents.to(device)
        return Batch(self.inputs.to(device), self.targets.to(device), documents)

    def micro_batches(self, n: int = 1) -> list[Batch]:
        """The rows of this process in ``n`` parts; those of all processes are the whole batch.

        Where there are more parts than rows, some parts are one row without targets. It adds
        nothing to loss or gradient, but no process may be absent while the others compute.
        """
        total, first = world_size() * n, rank() * n
        inputs, targets = self.inputs.tensor_split(total), self.targets.tensor_split(total)
        documents: Sequence[Tensor | None] = [None] * total
        if self.documents is not None:
            documents = self.documents.tensor_split(total)
        empty = Batch(self.inputs[:1], torch.full_like(self.targets[:1], IGNORE))
        return [
            Batch(inputs[i], targets[i], documents[i]) if len(inputs[i]) else empty
            for i in range(first, first + n)
        ]


def check_rows(batch_size: int, context: int, seed: int) -> None:
    """Raise a ValueError unless rows of ``context`` tokens can be dealt out in batches."""
    for name, value, least in (
        ("batch_size", batch_size, 1),
        ("context", context, 1),
        ("seed", seed, 0),
    ):
        if value < least:
            raise ValueError(f"{name}={value}: must be at least {least}")


def cosine_schedule(
    step: int,
    *,
    peak_lr: float | int,
    warmup_steps: int,
    total_steps: int,
    min_ratio: float | int = 0.1,
) -> float:
    """The learning rate of a step: a linear warm-up, then half a cosine, then a constant minimum.

    The first update is step 1. At step 0 the rate is 0 with a warm-up and the peak without one.

    Args:
        step: Number of the update, from 0 on.
        peak_lr: Reached at ``warmup_steps``.
        warmup_steps: Length of the linear rise; 0 for none.
        total_steps: Where the cosine reaches its minimum, and stays there.
        min_ratio: The minimum divided by the peak.

    Raises:
        ValueError: ``step`` or ``warmup_steps`` is negative, the warm-up is longer than
            ``total_steps``, or ``min_ratio`` is not between 0 and 1.
    """
    if step < 0:
        raise ValueError(f"step={step}: must be 0 or above")
    if not 0 <= warmup_steps <= total_steps:
        raise ValueError(
            f"warmup_steps={warmup_steps}: must be between 0 and total_steps={total_steps}"
        )
    if not 0 <= min_ratio <= 1:
        raise ValueError(f"min_ratio={min_ratio}: must be between 0 and 1")
    if step < warmup_steps:
        return peak_lr * step / warmup_steps
    if step >= total_steps:
        return peak_lr * min_ratio
    progress = (step - warmup_steps) / (total_steps - warmup_steps)
    return peak_lr * (min_ratio + (1 - min_ratio) * (1 + math.cos(math.pi * progress)) / 2)


def make_optimizer(
    model: nn.Module,
    *,
    lr: float | int,
    weight_decay: float | int = 0.1,
    betas: tuple[float, float] = (0.9, 0.95),
    eps: float = 1e-5,
) -> torch.optim.AdamW:
    """AdamW over the trainable parameters, with weight decay on matrices and none on vectors.

    The fused kernel does the whole update in one pass over memory, on the CPU and on a GPU: it is
    three to six times as fast as torch's default loop.
    """
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in trainable if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in trainable if p.ndim < 2], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, fused=True)


def token_loss(
    model: Transformer,
    inputs: Int[Tensor, "B T"],
    targets: Int[Tensor, "B T"],
    documents: Int[Tensor, "B T"] | None = None,
) -> tuple[Float[Tensor, ""], int]:
    """The sum of the loss over all tokens that have a target, and the number of these tokens.

    The sum and not the mean: batches and shards of unequal token counts can be added up and
    divided once.

    Args:
        model: The model.
        inputs: Token ids.
        targets: The id after each input, or -100 where there is no loss. Already shifted.
        documents: The packed document that each token belongs to; see
            :meth:`llama_tutorial.model.Transformer.forward`.
    """
    logits = model(inputs, documents=documents)  # (B, T, V)
    summed = F.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE, reduction="sum"
    )
    return summed, int((targets != IGNORE).sum())


def train_step(
    model: Transformer,
    optimizer: torch.optim.Optimizer,
    inputs: Int[Tensor, "B T"],
    targets: Int[Tensor, "B T"],
    documents: Int[Tensor, "B T"] | None = None,
    *,
    lr: float | int,
    clip: float | int = 1.0,
    micro_batches: int = 1,
    autocast: torch.dtype | None = None,
    norms: list[float] | None = None,
) -> float:
    """Update the weights once; returns the loss before the update, the mean over tokens.

    With several processes, ``model`` is sharded and all of them give the same batch.

    Args:
        model: The model, changed in place. It is put into training mode, and stays in it.
        optimizer: From :func:`make_optimizer`.
        inputs: Token ids.
        targets: The id after each input, or -100.
        documents: The packed document that each token belongs to.
        lr: Learning rate of this step.
        clip: Maximal norm of the gradient; a longer gradient is scaled down to it.
        micro_batches: Parts that the rows (each process's rows) are split into and computed one
            after the other, to save memory. The gradient is that of the whole batch, even where
            the parts have unequal token counts.
        autocast: Compute in this dtype where it is safe, such as ``torch.bfloat16``; the weights
            keep theirs.
        norms: A list that gets the norm of the gradient, as it was before it was clipped.

    Raises:
        DivergenceError: The loss or the norm of the gradient is not finite; the weights are as
            they were.
        ValueError: No token has a target, or there are more parts than rows.
    """
    n_targets = int((targets != IGNORE).sum())
    if n_targets == 0:
        raise ValueError(f"no token has a target: all {targets.numel()} labels are {IGNORE}")
    if not 1 <= micro_batches <= len(inputs):
        raise ValueError(f"micro_batches={micro_batches}: must be between 1 and {len(inputs)} rows")
    loss, norm = update_weights(
        model,
        optimizer,
        Batch(inputs, targets, documents).micro_batches(micro_batches),
        lambda part: token_loss(model, *part)[0],
        n_targets,
        lr=lr,
        clip=clip,
        autocast=autocast,
    )
    if norms is not None:
        norms.append(norm)
    return loss


def update_weights(
    model: Transformer,
    optimizer: torch.optim.Optimizer,
    parts: Sequence[Any],
    summed_loss: Callable[[Any], Float[Tensor, ""]],
    n: int,
    *,
    lr: float | int,
    clip: float | int = 1.0,
    autocast: torch.dtype | None = None,
) -> tuple[float, float]:
    """Update the weights once, by any loss that is a mean.

    The sum goes over the parts of all processes, and is divided by ``n`` once.

    Args:
        model: The model, changed in place. It is put into training mode, and stays in it.
        optimizer: From :func:`make_optimizer`.
        parts: What this process computes, one part after the other; every process has as many.
        summed_loss: The loss of a part, as a sum over what ``n`` counts.
        n: Tokens, pairs or whatever the mean is over: of all parts in all processes.
        lr: Learning rate of this step.
        clip: Maximal norm of the gradient.
        autocast: As for :func:`train_step`.

    Returns:
        The loss before the update, and the norm of its gradient before it was clipped.

    Raises:
        DivergenceError: One of these is not finite; the weights are as they were.
    """
    loss = 0.0
    model.train()
    optimizer.zero_grad(set_to_none=True)
    for part in parts:
        with autocast_to(model.device, autocast):
            summed = summed_loss(part)
        # FSDP takes the mean of the gradients over the processes; the factor makes it the sum.
        (summed * world_size() / n).backward()
        loss += float(summed.detach()) / n
    loss = all_reduce_sum(loss)
    norm = float(nn.utils.clip_grad_norm_(model.parameters(), clip))
    if not (math.isfinite(loss) and math.isfinite(norm)):
        raise DivergenceError(f"the loss is {loss:g}, and the norm of its gradient {norm:g}")
    for group in optimizer.param_groups:
        group["lr"] = lr
    optimizer.step()
    return loss, norm


def checkpoint_layers(model: Transformer) -> None:
    """Turn on gradient checkpointing (activation checkpointing), in place.

    In training, only each layer's input is kept; the backward pass computes the rest again: less
    memory, a third more work. Module names, weights and results stay the same.
    """
    for layer in model.layers:
        forward = MethodType(type(layer).forward, layer)
        layer.forward = partial(checkpoint, forward, use_reentrant=False)


def autocast_to(device: torch.device, dtype: torch.dtype | None) -> AbstractContextManager:
    """torch.autocast to ``dtype``, or a context that does nothing for None."""
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)
