"""The training loop: steps, evaluation, metrics, checkpoints. One for all kinds of training.

The loop is given a function from a step's number to its batch. So the position in the data *is* the
step, and a run that was killed goes on with exactly the batch that it would have seen next: its
losses are those of a run that was never killed.

The loop is the same for one process and for several, which divide the rows of each batch between
them. One process may begin a run and four may go on with it.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from llama_tutorial._util.eval_mode import eval_mode
from llama_tutorial._util.progress import progress
from llama_tutorial._util.terminal import notice
from llama_tutorial.checkpoints import save_model
from llama_tutorial.checkpoints.folders import AnyTokenizer, check_tokenizer, tokenizer_names
from llama_tutorial.checkpoints.native import check_target
from llama_tutorial.model import Transformer
from llama_tutorial.training.interrupts import interruptible
from llama_tutorial.training.log_lines import LogLines
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
    IGNORE,
    Batch,
    DivergenceError,
    autocast_to,
    checkpoint_layers,
    cosine_schedule,
    make_optimizer,
    token_loss,
    train_step,
)
from llama_tutorial.training.tensorboard import TensorBoard, check_installed

_LARGEST = 10**8 - 1  # steps: a checkpoint's name has room for eight digits


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
    peak_lr: float | int = 3e-4
    warmup_steps: int = 2000
    min_ratio: float | int = 0.1
    weight_decay: float | int = 0.1
    beta1: float | int = 0.9
    beta2: float | int = 0.95
    eps: float | int = 1e-5
    clip: float | int = 1.0
    micro_batches: int = 1
    autocast: str | None = None
    compile: bool = False
    gradient_checkpointing: bool = False
    evaluate_every: int = 0
    checkpoint_every: int = 0

    def __post_init__(self) -> None:
        for name in ("total_steps", "micro_batches"):
            _check_whole(name, getattr(self, name), 1)
        for name in ("warmup_steps", "evaluate_every", "checkpoint_every"):
            _check_whole(name, getattr(self, name), 0)
        for name in ("peak_lr", "min_ratio", "weight_decay", "beta1", "beta2", "eps", "clip"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"{name}={value!r}: must be a number (int or float)")
        for name in ("peak_lr", "eps", "clip"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"{name}={getattr(self, name)}: must be above 0 and finite")
        if not 0 <= self.weight_decay < math.inf:
            raise ValueError(f"weight_decay={self.weight_decay}: must be 0 or above, and finite")
        for name in ("beta1", "beta2"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: must be at least 0 and below 1")
        if self.autocast not in (None, "bfloat16"):
            raise ValueError(f"autocast={self.autocast!r}: must be 'bfloat16' or None")
        for name in ("compile", "gradient_checkpointing"):
            if not isinstance(getattr(self, name), bool):
                raise ValueError(f"{name}={getattr(self, name)!r}: must be True or False")
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


def _check_whole(name: str, value: Any, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError(f"{name}={value!r}: must be a whole number (int)")
    if value < least:
        bound = f"at least {least}" if least else "0 or above"
        raise ValueError(f"{name}={value}: must be {bound}")
    if value > _LARGEST:
        raise ValueError(f"{name}={value}: must be at most {_LARGEST:,}")


class Method:
    """What `train` does with a batch. This one is the ordinary loss of tokens; others inherit.

    The batches of another method are its own: they need ``to(device)`` and ``inputs``, the tokens
    that are counted; nothing else that the loop would look at.

    Attributes:
        shown: The names of more metrics that the log lines show.
    """

    shown: tuple[str, ...] = ()

    def start(self, model: Transformer, config: TrainConfig) -> None:
        """Look at the model as it was given: sharded already, and before a checkpoint is read."""

    def step(
        self,
        model: Transformer,
        optimizer: torch.optim.Optimizer,
        batch: Any,
        config: TrainConfig,
        lr: float,
    ) -> dict[str, Any]:
        """Update the weights; returns ``"loss"``, ``"grad_norm"`` and metrics of its own.

        With ``lr`` 0 it must leave no trace: so the loop tries whether another step could be taken.
        """
        norms: list[float] = []
        loss = train_step(
            model,
            optimizer,
            *batch,
            lr=lr,
            clip=config.clip,
            micro_batches=config.micro_batches,
            autocast=config.autocast_dtype,
            norms=norms,
        )
        return {"loss": loss, "grad_norm": norms[0]}

    def validate(
        self, model: Transformer, validation: Sequence[Any], config: TrainConfig
    ) -> dict[str, float]:
        """``"validation_loss"``, and more that is measured on the batches of the validation."""
        loss = evaluate(model, validation, config.autocast_dtype, config.micro_batches)
        return {"validation_loss": loss}


def train(
    model: Transformer,
    batch_at: Callable[[int], Any],
    config: TrainConfig,
    out: str | Path,
    *,
    validation: Sequence[Any] = (),
    method: Method | None = None,
    tokenizer: AnyTokenizer | None = None,
    data: dict[str, Any] | None = None,
    on_evaluation: Callable[[int, Transformer], str | None] | None = None,
    write_model: Callable[[Transformer, Path], None] | None = None,
    log: Callable[[str], object] | None = None,
    tensorboard: bool = False,
) -> bool:
    """Train ``model`` in place, or go on with the run in ``out``.

    After Ctrl-C (or SIGTERM) it ends the current step, writes a checkpoint, and returns.

    What measures the model (validation, ``on_evaluation``) runs in eval mode and leaves the random
    state as it was: the losses do not depend on how often it is measured. At the end the model is
    in eval mode.

    Every checkpoint and the finished model hold finite numbers, and give a finite loss.

    In a :func:`llama_tutorial.training.processes.process_group`, every process calls it with the
    same arguments. The model is sharded, and stays sharded; rank 0 writes the files.

    Args:
        model: The model. Where ``out`` holds a checkpoint, its trainable weights are replaced.
        batch_at: The batch of a step, counted from 1: a pure function, or the run cannot resume.
            Always the whole batch: each process takes its rows itself.
        config: The settings. A run goes on only with the settings that it began with. One that is
            finished may get more ``total_steps``: from there, its learning rate is that of a run
            of so many steps. It rises again at that point, at once and without a warm-up, as in
            nanoGPT and LitGPT; a message says from where to where.
        out: The folder for everything that is written.
        validation: Batches for the validation loss; each process takes its rows of them.
        method: What a step does with its batch; by default the loss of tokens.
        tokenizer: Stored beside the finished model.
        data: What the batches are made from, as plain values; a run goes on only with the same.
        on_evaluation: Called after each validation with the step and the model; in every process,
            and all of them must use the model in the same way. What it returns is a sample of
            what the model says, for TensorBoard.
        write_model: Writes the finished model into the folder that it is given, ``model`` in
            ``out``; by default :func:`llama_tutorial.checkpoints.save_model`, with ``tokenizer``.
            Called in rank 0 only, with the whole model.
        log: Takes a line of text at each evaluation and before the first step, as
            :mod:`.log_lines` makes them; in rank 0 only.
        tensorboard: Write the metrics for TensorBoard, too (:mod:`.tensorboard`).

    Returns:
        Whether the run is finished; False after Ctrl-C.

    Raises:
        BlockingIOError: Another process, or another thread, trains in ``out``.
        ImportError: TensorBoard is wanted, and not installed.
        DivergenceError: A loss, a gradient or a weight is no longer finite. Nothing of that step
            is written; the message names the last good checkpoint.
        ValueError: ``out`` holds a run with other settings, of more steps, of fewer that are not
            done yet, or of another model, or a ``model``
            that must not be replaced; the tokenizer has more pieces than the model; or nothing
            in ``validation`` has a target.
    """
    if write_model is None:
        check_target(Path(out) / "model", tokenizer_names(tokenizer))
        check_tokenizer(tokenizer, model.config)
    check_own_model(out)
    if tensorboard:
        check_installed()
    targets = [batch.targets for batch in validation] if method is None else []
    if targets and all(bool((target == IGNORE).all()) for target in targets):
        raise ValueError("validation: no token of it has a target, so there is nothing to measure")
    method = method or Method()
    with run_lock(out):
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
        method.start(model, config)
        saved = step = folder.resume(model, optimizer)
        if not _is_finite(model, optimizer):
            what = f"the checkpoint of step {step} in {folder.path}" if step else "the model"
            raise DivergenceError(
                f"{what} holds weights that are NaN or infinite, and no training mends them: begin "
                "with other weights, in another folder"
            )
        if step in folder.ends and step < config.total_steps and is_rank0():
            (log or notice)(
                f"the run was finished at step {step}, and goes on to step {config.total_steps}: "
                f"from here the learning rate follows the cosine of {config.total_steps} steps, "
                f"without another warm-up: it was {config.min_ratio * config.peak_lr:.3g}, and is "
                f"{config.lr(step + 1):.3g} at the next step"
            )
        steps = progress(
            range(step + 1, config.total_steps + 1),
            "training",
            lines=False,
            initial=step,
            total=config.total_steps,
            unit="step",
        )
        lines = LogLines(
            log if log is not None and is_rank0() else lambda _line: None,
            config.total_steps,
            step,
            every_minute=not steps.drawn,
            shown=method.shown,
        )
        on_board = tensorboard and is_rank0() and step < config.total_steps
        try:
            with (
                TensorBoard(folder.path if on_board else None, step) as board,
                interruptible() as signals,
            ):
                if log is not None and validation and step == 0:
                    lines.start(_validated(method, model, validation, config)["validation_loss"])
                for step in steps:
                    batch = batch_at(step)
                    began = time.perf_counter()
                    found = method.step(
                        model, optimizer, batch.to(model.device), config, config.lr(step)
                    )
                    seconds = time.perf_counter() - began
                    n_tokens = batch.inputs.numel()
                    metrics = {
                        "step": step,
                        "loss": found.pop("loss"),
                        "lr": config.lr(step),
                        "grad_norm": found.pop("grad_norm"),
                        "tokens": n_tokens,
                        "tokens_per_s": round(n_tokens / seconds),
                        **found,
                    }
                    last = step == config.total_steps
                    measured = validation and (last or _is_due(step, config.evaluate_every))
                    if measured:
                        metrics |= _validated(method, model, validation, config)
                    lines.add(metrics, seconds)
                    if measured and on_evaluation is not None:
                        with measuring(model), autocast_to(model.device, config.autocast_dtype):
                            sample = on_evaluation(step, model)
                        if sample:
                            board.text(step, sample)
                    interrupted = any_rank(bool(signals))  # no process may leave alone
                    save = last or interrupted or _is_due(step, config.checkpoint_every)
                    if save:
                        _check_before_saving(method, model, optimizer, batch, config)
                    folder.log(metrics)
                    board.log(metrics)
                    steps.set_postfix(
                        loss=f"{metrics['loss']:.3f}",
                        tokens_s=metrics["tokens_per_s"],
                        refresh=False,
                    )
                    if save:
                        folder.save(step, model, optimizer)
                        saved = step
                    if interrupted:
                        break
        except DivergenceError as error:
            name = folder.checkpoints / f"step-{saved:08d}"
            good = f"the last good checkpoint is that of step {saved}, {name}"
            raise DivergenceError(
                f"the training has diverged at step {step}, with a learning rate of "
                f"{config.lr(step):g}: {error}; nothing of this step was written, and "
                f"{good if saved else 'there is no checkpoint yet'}; begin again in another folder "
                "with a lower learning rate, a longer warm-up or a smaller clip"
            ) from None
        finally:
            steps.close()
            model.eval()
        if step < config.total_steps:
            return False
        if whole is not model:
            gather(model, whole)
        if is_rank0():
            folder.lock.check()
            if log is not None:
                log(f"writing the model to {folder.path / 'model'}")
            if write_model is None:
                save_model(whole, folder.path / "model", tokenizer=tokenizer)
            else:
                write_model(whole, folder.path / "model")
        barrier()
        return True


def check_own_model(out: str | Path) -> None:
    """Refuse a folder that holds a model, but no run that could have made it.

    Raises:
        ValueError: The folder is such.
    """
    model = Path(out) / "model"
    if model.exists() and not (Path(out) / "settings.json").exists():
        raise ValueError(
            f"{model} is there already, and {out} holds no run that has made it: it would be "
            "replaced; choose another folder"
        )


def _is_due(step: int, every: int) -> bool:
    return every > 0 and step % every == 0


def _check_before_saving(
    method: Method,
    model: Transformer,
    optimizer: torch.optim.Optimizer,
    batch: Any,
    config: TrainConfig,
) -> None:
    """Raise a DivergenceError unless another step can be taken from here.

    That all numbers are finite is not enough: a step of 1e30 leaves finite weights, and no
    gradient. So the batch is looked at once more, in a step of length 0.
    """
    if not _is_finite(model, optimizer):
        raise DivergenceError("weights are NaN or infinite after it")
    still = torch.optim.SGD(_trainable(model), lr=0.0)
    try:
        with _random_state_kept(model.device):
            method.step(model, still, batch.to(model.device), config, 0.0)
    except DivergenceError as error:
        raise DivergenceError(f"with the weights after it, {error}") from None


def _validated(
    method: Method, model: Transformer, validation: Sequence[Any], config: TrainConfig
) -> dict[str, float]:
    """What the method measures; a DivergenceError where the loss is not finite."""
    found = method.validate(model, validation, config)
    if not math.isfinite(loss := found["validation_loss"]):
        raise DivergenceError(f"the validation loss is {loss:g} after it")
    return found


def _trainable(model: Transformer) -> list[torch.nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]


def _is_finite(model: Transformer, optimizer: torch.optim.Optimizer) -> bool:
    """Whether all that a checkpoint holds is finite, in every process's share of it."""
    tensors: list[torch.Tensor] = list(_trainable(model))
    tensors += [value for state in optimizer.state.values() for value in state.values()]
    with torch.no_grad():
        shares = [getattr(tensor, "to_local", lambda t=tensor: t)() for tensor in tensors]
        return not any_rank(not all(bool(share.isfinite().all()) for share in shares))


@contextmanager
def measuring(model: Transformer) -> Iterator[None]:
    """Eval mode while the block lasts; afterwards modes and random state are as they were."""
    with _random_state_kept(model.device), eval_mode(model):
        yield


def _random_state_kept(device: torch.device) -> AbstractContextManager[None]:
    return torch.random.fork_rng([device] if device.type == "cuda" else [])


@torch.no_grad()
def evaluate(
    model: Transformer,
    batches: Iterable[Batch],
    autocast: torch.dtype | None = None,
    micro_batches: int = 1,
) -> float:
    """The mean loss over all tokens of ``batches`` that have a target, in nats.

    The model is in eval mode meanwhile, so without dropout, and afterwards as it was. Each of
    several processes takes its rows of every batch; all of them get the mean of all.

    Args:
        model: The model.
        batches: What to measure with.
        autocast: As for :func:`llama_tutorial.training.step.train_step`.
        micro_batches: Parts that each process's rows of a batch are split into, to save memory.

    Raises:
        ValueError: No token has a target.
    """
    loss, n_targets = 0.0, 0
    with measuring(model):
        for batch in batches:
            for part in batch.micro_batches(micro_batches):
                with autocast_to(model.device, autocast):
                    summed, n = token_loss(model, *part.to(model.device))
                loss, n_targets = loss + float(summed), n_targets + n
    total = all_reduce_sum(n_targets)
    if total == 0:
        raise ValueError("no token has a target: there is nothing to evaluate")
    return all_reduce_sum(loss) / total
