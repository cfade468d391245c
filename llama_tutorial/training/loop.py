"""The training loop: steps, evaluation, metrics, checkpoints. One for all kinds of training.

What the loop is given is a function from a step's number to its batch. So the position in the
data *is* the step, and a run that was killed goes on with the very batch that it would have seen
next: its losses are those of a run that was never killed.

The loop is the same for one process and for several, which share each batch's rows. One may begin a
run and four go on with it.

Read next: :mod:`llama_tutorial.training.run_folder`, where everything is written, and
:mod:`llama_tutorial.pretraining`.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from llama_tutorial._util.progress import progress
from llama_tutorial.checkpoints import save_model
from llama_tutorial.model import Transformer
from llama_tutorial.training.interrupts import interruptible
from llama_tutorial.training.processes import (
    anywhere,
    first_goes_first,
    is_first,
    n_processes,
    total,
    wait,
)
from llama_tutorial.training.run_folder import RunFolder
from llama_tutorial.training.sharding import gather, shard
from llama_tutorial.training.step import (
    Batch,
    autocast_to,
    cosine_schedule,
    make_optimizer,
    token_loss,
    train_step,
)


@dataclass(frozen=True)
class TrainConfig:
    """The settings of a run; the defaults are Llama 2 7B's where the paper gives them.

    Args:
        total_steps: Updates of the weights.
        peak_lr: Largest learning rate.
        warmup_steps: Updates of the linear rise.
        min_ratio: Where the cosine ends, as a share of the peak.
        weight_decay: On matrices.
        beta1: AdamW's memory of the gradient.
        beta2: AdamW's memory of its square.
        eps: AdamW's.
        clip: Largest norm of the gradient.
        micro_batches: Parts that each process's rows are split into, to save memory.
        autocast: ``"bfloat16"`` to compute in; None for the weights' own dtype. float16
            would need its loss scaled, or small gradients vanish.
        compile: Compile the model (seconds to a minute at the start, faster steps after).
        gradient_checkpointing: Keep each layer's input alone, and compute the rest again in
            the backward pass: less memory, a third more work.
        evaluate_every: Steps between validations; 0 for one at the end.
        checkpoint_every: Steps between checkpoints; 0 for one at the end.

    Raises:
        ValueError: A number out of range.
    """

    total_steps: int
    peak_lr: float = 3e-4
    warmup_steps: int = 2000
    min_ratio: float = 0.1
    weight_decay: float = 0.1
    beta1: float = 0.9
    beta2: float = 0.95
    eps: float = 1e-5
    clip: float = 1.0
    micro_batches: int = 1
    autocast: str | None = None
    compile: bool = False
    gradient_checkpointing: bool = False
    evaluate_every: int = 0
    checkpoint_every: int = 0

    def __post_init__(self) -> None:
        for name in ("total_steps", "micro_batches"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 1")
        for name in ("peak_lr", "eps", "clip"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be above 0")
        for name in ("weight_decay", "evaluate_every", "checkpoint_every"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}={getattr(self, name)}: must be 0 or above")
        if self.autocast not in (None, "bfloat16"):
            raise ValueError(f"autocast={self.autocast!r}: must be 'bfloat16' or None")
        self.lr(0)  # the schedule checks its own numbers

    def lr(self, step: int) -> float:
        """The learning rate of ``step``, counted from 1."""
        return cosine_schedule(
            step,
            peak_lr=self.peak_lr,
            warmup_steps=self.warmup_steps,
            total_steps=self.total_steps,
            min_ratio=self.min_ratio,
        )

    def make_optimizer(self, model: Transformer) -> torch.optim.AdamW:
        """AdamW with these settings."""
        return make_optimizer(
            model,
            lr=self.peak_lr,
            weight_decay=self.weight_decay,
            betas=(self.beta1, self.beta2),
            eps=self.eps,
        )

    @property
    def autocast_dtype(self) -> torch.dtype | None:
        """``autocast`` as torch's own dtype."""
        return None if self.autocast is None else getattr(torch, self.autocast)


def train(
    model: Transformer,
    batch_at: Callable[[int], Batch],
    config: TrainConfig,
    out: str | Path,
    *,
    validation: Sequence[Batch] = (),
    tokenizer: Any = None,
    data: dict[str, Any] | None = None,
    on_evaluation: Callable[[int, Transformer], None] | None = None,
    write_model: Callable[[Transformer, Path], None] | None = None,
) -> bool:
    """Train ``model`` in place, or go on with the run that lies in ``out``.

    Ctrl-C (or SIGTERM) ends the step that is running, writes a checkpoint, and returns.

    Within :func:`llama_tutorial.training.processes.joined` every process calls it with the same
    arguments. The model is sharded, and stays so; the first process writes what is written.

    Args:
        model: The model. Where ``out`` holds a checkpoint, its trainable weights are replaced.
        batch_at: The batch of a step, counted from 1: a pure function, or the run cannot resume.
            Always the whole batch: a process takes its rows itself.
        config: The settings. A run goes on only under those that it began with.
        out: The folder for everything that is written.
        validation: Batches for the validation loss; every process takes its rows of each.
        tokenizer: Stored beside the finished model.
        data: What the batches are made from, as plain values; a run goes on with the same only.
        on_evaluation: Called after each validation with the step and the model; in every process,
            and each has to use the model alike.
        write_model: Writes the finished model into the folder that it is given, ``out``'s
            ``model``; by default :func:`llama_tutorial.checkpoints.save_model`, with ``tokenizer``.
            Called in the first process only, with the whole model.

    Returns:
        Whether the run is finished; False after Ctrl-C.

    Raises:
        ValueError: ``out`` holds a run with other settings, or of another model.
    """
    settings = {"model": model.config.to_dict(), "training": dataclasses.asdict(config)}
    settings["data"] = data or {}
    with first_goes_first():
        folder = RunFolder(out, settings)
    whole = _prepare(model, config)
    optimizer = config.make_optimizer(model)
    done = folder.resume(model, optimizer)
    steps = progress(
        range(done + 1, config.total_steps + 1),
        "training",
        initial=done,
        total=config.total_steps,
        unit="step",
    )
    with interruptible() as interrupts:
        for done in steps:
            figures = _step(model, optimizer, config, done, batch_at(done))
            last = done == config.total_steps
            if validation and _due(done, config.evaluate_every, last):
                figures["validation_loss"] = evaluate(model, validation, config.autocast_dtype)
                if on_evaluation is not None:
                    with autocast_to(model.device, config.autocast_dtype):
                        on_evaluation(done, model)
            folder.note(figures)
            steps.set_postfix(loss=f"{figures['loss']:.3f}", tokens_s=figures["tokens_per_s"])
            interrupted = anywhere(bool(interrupts))  # no process may leave alone
            if _due(done, config.checkpoint_every, last or interrupted):
                folder.save(done, model, optimizer)
            if interrupted:
                break
    finished = done == config.total_steps
    if finished:
        whole = model if whole is model else gather(model, whole)
        if is_first():
            write_model = write_model or partial(save_model, tokenizer=tokenizer)
            write_model(whole, folder.path / "model")
        wait()
    return finished


def _prepare(model: Transformer, config: TrainConfig) -> Transformer:
    """Make ``model`` as the settings want it; returns what the finished weights go into."""
    model.checkpoint_layers = config.gradient_checkpointing
    if n_processes() > 1:
        return shard(model, config.autocast_dtype, config.compile)
    if config.compile:
        model.compile()
    return model


def _step(
    model: Transformer,
    optimizer: torch.optim.Optimizer,
    config: TrainConfig,
    step: int,
    batch: Batch,
) -> dict[str, Any]:
    """Make one update and return its figures."""
    began, lr = time.perf_counter(), config.lr(step)
    batch = batch.to(model.device)
    loss = train_step(
        model,
        optimizer,
        batch.inputs,
        batch.targets,
        lr=lr,
        clip=config.clip,
        documents=batch.documents,
        micro_batches=config.micro_batches,
        autocast=config.autocast_dtype,
    )
    tokens = batch.inputs.numel()
    rate = round(tokens / (time.perf_counter() - began))
    return {"step": step, "loss": loss, "lr": lr, "tokens": tokens, "tokens_per_s": rate}


@torch.no_grad()
def evaluate(
    model: Transformer, batches: Iterable[Batch], autocast: torch.dtype | None = None
) -> float:
    """The mean loss over all tokens of ``batches`` that have a target, in nats.

    Among several processes each takes its rows of every batch, and all get the mean of all.
    """
    loss, n_tokens = 0.0, 0
    for batch in batches:
        (part,) = batch.own_parts()
        with autocast_to(model.device, autocast):
            summed, n = token_loss(model, *part.to(model.device))
        loss, n_tokens = loss + float(summed), n_tokens + n
    n_tokens = total(n_tokens)
    if n_tokens == 0:
        raise ValueError("no token has a target: there is nothing to evaluate")
    return total(loss) / n_tokens


def _due(step: int, every: int, last: bool) -> bool:
    return last or (every > 0 and step % every == 0)
