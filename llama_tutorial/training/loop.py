"""The training loop: steps, evaluation, metrics, checkpoints. One for all kinds of training.

The loop is given a function from a step's number to its batch. So the position in the data *is* the
step, and a run that was killed goes on with exactly the batch that it would have seen next: its
losses are those of a run that was never killed.

The loop is the same for one process and for several, which divide the rows of each batch between
them. One process may begin a run and four may go on with it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from llama_tutorial._util.progress import progress
from llama_tutorial.checkpoints import save_model
from llama_tutorial.checkpoints.folders import AnyTokenizer
from llama_tutorial.model import Transformer
from llama_tutorial.training.interrupts import interruptible
from llama_tutorial.training.processes import (
    all_reduce_sum,
    any_rank,
    barrier,
    is_rank0,
    rank0_first,
    world_size,
)
from llama_tutorial.training.run_folder import RunFolder
from llama_tutorial.training.run_lock import run_lock
from llama_tutorial.training.sharding import gather, shard
from llama_tutorial.training.step import (
    Batch,
    autocast_to,
    checkpoint_layers,
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
        peak_lr: Maximal learning rate.
        warmup_steps: Updates of the linear warm-up.
        min_ratio: The learning rate at the end of the cosine, divided by the peak.
        weight_decay: On matrices.
        beta1: AdamW's, for the mean of the gradient.
        beta2: AdamW's, for the mean of its square.
        eps: AdamW's.
        clip: Maximal norm of the gradient.
        micro_batches: Parts that each process's rows are split into, to save memory.
        autocast: ``"bfloat16"`` to compute in it; None for the weights' own dtype. (float16
            would need a scaled loss, or small gradients would vanish.)
        compile: Compile the model: seconds to a minute at the start, faster steps afterwards.
        gradient_checkpointing: Keep only each layer's input and compute the rest again in the
            backward pass: less memory, a third more work.
        evaluate_every: Steps between validations; 0 for one at the end.
        checkpoint_every: Steps between checkpoints; 0 for one at the end.

    Raises:
        ValueError: A number is out of range.
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

    @property
    def autocast_dtype(self) -> torch.dtype | None:
        """``autocast`` as torch's dtype."""
        return None if self.autocast is None else getattr(torch, self.autocast)


def train(
    model: Transformer,
    batch_at: Callable[[int], Batch],
    config: TrainConfig,
    out: str | Path,
    *,
    validation: Sequence[Batch] = (),
    tokenizer: AnyTokenizer | None = None,
    data: dict[str, Any] | None = None,
    on_evaluation: Callable[[int, Transformer], None] | None = None,
    write_model: Callable[[Transformer, Path], None] | None = None,
) -> bool:
    """Train ``model`` in place, or go on with the run in ``out``.

    After Ctrl-C (or SIGTERM) it ends the current step, writes a checkpoint, and returns.

    In a :func:`llama_tutorial.training.processes.process_group`, every process calls it with the
    same arguments. The model is sharded, and stays sharded; rank 0 writes the files.

    Args:
        model: The model. Where ``out`` holds a checkpoint, its trainable weights are replaced.
        batch_at: The batch of a step, counted from 1: a pure function, or the run cannot resume.
            Always the whole batch: each process takes its rows itself.
        config: The settings. A run goes on only with the settings that it began with.
        out: The folder for everything that is written.
        validation: Batches for the validation loss; each process takes its rows of them.
        tokenizer: Stored beside the finished model.
        data: What the batches are made from, as plain values; a run goes on only with the same.
        on_evaluation: Called after each validation with the step and the model; in every process,
            and all of them must use the model in the same way.
        write_model: Writes the finished model into the folder that it is given, ``model`` in
            ``out``; by default :func:`llama_tutorial.checkpoints.save_model`, with ``tokenizer``.
            Called in rank 0 only, with the whole model.

    Returns:
        Whether the run is finished; False after Ctrl-C.

    Raises:
        BlockingIOError: Another process, or another thread, trains in ``out``.
        ValueError: ``out`` holds a run with other settings, or of another model.
    """
    with run_lock(out):
        return _train(
            model, batch_at, config, out, validation, tokenizer, data, on_evaluation, write_model
        )


def _train(
    model: Transformer,
    batch_at: Callable[[int], Batch],
    config: TrainConfig,
    out: str | Path,
    validation: Sequence[Batch],
    tokenizer: AnyTokenizer | None,
    data: dict[str, Any] | None,
    on_evaluation: Callable[[int, Transformer], None] | None,
    write_model: Callable[[Transformer, Path], None] | None,
) -> bool:
    settings = {"model": model.config.to_dict(), "training": dataclasses.asdict(config)}
    settings["data"] = data or {}
    with rank0_first():
        folder = RunFolder(out, settings)
    if config.gradient_checkpointing:
        checkpoint_layers(model)
    whole = model  # what the finished weights are gathered into
    if world_size() > 1:
        whole = shard(model, config.autocast_dtype, config.compile)
    elif config.compile:
        model.compile()
    optimizer = make_optimizer(
        model,
        lr=config.peak_lr,
        weight_decay=config.weight_decay,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
    )
    step = folder.resume(model, optimizer)
    steps = progress(
        range(step + 1, config.total_steps + 1),
        "training",
        initial=step,
        total=config.total_steps,
        unit="step",
    )
    with interruptible() as signals:
        for step in steps:
            batch = batch_at(step)
            began = time.perf_counter()
            loss = train_step(
                model,
                optimizer,
                *batch.to(model.device),
                lr=config.lr(step),
                clip=config.clip,
                micro_batches=config.micro_batches,
                autocast=config.autocast_dtype,
            )
            n_tokens = batch.inputs.numel()
            metrics = {
                "step": step,
                "loss": loss,
                "lr": config.lr(step),
                "tokens": n_tokens,
                "tokens_per_s": round(n_tokens / (time.perf_counter() - began)),
            }
            last = step == config.total_steps
            if validation and (last or _is_due(step, config.evaluate_every)):
                metrics["validation_loss"] = evaluate(model, validation, config.autocast_dtype)
                if on_evaluation is not None:
                    with autocast_to(model.device, config.autocast_dtype):
                        on_evaluation(step, model)
            folder.log(metrics)
            steps.set_postfix(loss=f"{loss:.3f}", tokens_s=metrics["tokens_per_s"])
            interrupted = any_rank(bool(signals))  # no process may leave alone
            if last or interrupted or _is_due(step, config.checkpoint_every):
                folder.save(step, model, optimizer)
            if interrupted:
                break
    if step < config.total_steps:
        return False
    if whole is not model:
        gather(model, whole)
    if is_rank0():
        if write_model is None:
            save_model(whole, folder.path / "model", tokenizer=tokenizer)
        else:
            write_model(whole, folder.path / "model")
    barrier()
    return True


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


@torch.no_grad()
def evaluate(
    model: Transformer, batches: Iterable[Batch], autocast: torch.dtype | None = None
) -> float:
    """The mean loss over all tokens of ``batches`` that have a target, in nats.

    Each of several processes takes its rows of every batch; all of them get the mean of all.

    Raises:
        ValueError: No token has a target.
    """
    loss, n_targets = 0.0, 0
    for batch in batches:
        (part,) = batch.micro_batches()
        with autocast_to(model.device, autocast):
            summed, n = token_loss(model, *part.to(model.device))
        loss, n_targets = loss + float(summed), n_targets + n
    total = all_reduce_sum(n_targets)
    if total == 0:
        raise ValueError("no token has a target: there is nothing to evaluate")
    return all_reduce_sum(loss) / total
