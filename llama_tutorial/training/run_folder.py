"""The folder of a training run: settings, metrics, checkpoints that survive a kill at any moment.

::

    settings.json        what the run was started with
    metrics.jsonl        one line a step: loss, learning rate, tokens, sometimes validation loss
    checkpoints/latest   the name of the newest complete checkpoint
    checkpoints/step-…   trainable weights, optimizer, random state
    model/               the finished model

A checkpoint is written under another name and renamed when it is complete; only then does
``latest`` name it. So whenever the process is killed, the newest complete checkpoint is found, and
the metrics are cut back to its step.

Checkpoints have the format of PyTorch's distributed ones (DCP): each process writes its part of the
weights and of the optimizer's state, and any other number of processes, even one, can read them.
Frozen weights are left out: a run that trains adapters on a 13 GB model would write those 13 GB
each time, and they have not changed since it began. Part of such a checkpoint is a pickle, which
can run code when it is opened: resume only your own runs.
"""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_state_dict,
)

from llama_tutorial._util.files import replace_file
from llama_tutorial.model import Transformer
from llama_tutorial.training.processes import barrier, is_rank0

_TRAINABLE = StateDictOptions(ignore_frozen_params=True, strict=False)


class RunFolder:
    """One run's folder.

    Args:
        path: The folder; it need not exist.
        settings: What the run is started with, as plain values by part: ``{"model": {...}, ...}``.
            A run goes on only with the settings that it began with.

    Raises:
        ValueError: The folder holds a run with other settings.
    """

    def __init__(self, path: str | Path, settings: dict[str, dict[str, Any]]) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.jsonl"
        self.path.mkdir(parents=True, exist_ok=True)
        if not check_settings(self.path, settings):
            _replace(self.path / "settings.json", json.dumps(settings, indent=2) + "\n")

    def log(self, metrics: dict[str, Any]) -> None:
        """Append one line to the metrics (in rank 0 only)."""
        if is_rank0():
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(metrics, allow_nan=False) + "\n")

    def save(self, step: int, model: Transformer, optimizer: torch.optim.Optimizer) -> None:
        """Write a complete checkpoint, then point to it, then remove the previous one.

        Every process must call it.

        Raises:
            OSError: The checkpoint could not be written; the previous one is still there.
        """
        name = f"step-{step:08d}"
        partial = self.checkpoints / f"{name}.partial"
        if is_rank0():
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
        barrier()
        with _dcp_errors_as(OSError, f"{partial} could not be written"):
            dcp.save(_state(model, optimizer), checkpoint_id=partial)
        if is_rank0():
            state = {"step": step, "random": _random_state(model.device)}
            torch.save(state, partial / "training.pt")
            shutil.rmtree(self.checkpoints / name, ignore_errors=True)  # complete, but not latest
            partial.rename(self.checkpoints / name)
            _replace(self.checkpoints / "latest", name)
            for old in self.checkpoints.glob("step-*"):
                if old.name != name:
                    shutil.rmtree(old)
        barrier()

    def resume(self, model: Transformer, optimizer: torch.optim.Optimizer) -> int:
        """Restore model, optimizer and random state from the newest checkpoint.

        Every process must call it; all get rank 0's random state.

        Returns:
            The number of steps already done; 0 where there is no checkpoint.

        Raises:
            ValueError: The checkpoint is damaged.
        """
        step, latest = 0, self.checkpoints / "latest"
        if latest.exists():
            folder = self.checkpoints / latest.read_text(encoding="utf-8")
            state = _state(model, optimizer)
            with _dcp_errors_as(ValueError, f"{folder} is damaged or of another model"):
                dcp.load(state, checkpoint_id=folder)
            set_state_dict(
                model,
                optimizer,
                model_state_dict=state["model"],
                optim_state_dict=state["optimizer"],
                options=_TRAINABLE,
            )
            rest = torch.load(folder / "training.pt", weights_only=True, map_location="cpu")
            _set_random_state(rest["random"], model.device)
            step = rest["step"]
        if is_rank0():
            self._cut_metrics(step)
        return step

    def _cut_metrics(self, step: int) -> None:
        if not self.metrics.exists():
            return
        kept = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                metrics = json.loads(line)
            except json.JSONDecodeError:  # the line that was being written
                break
            if metrics["step"] <= step:
                kept.append(line + "\n")
        _replace(self.metrics, "".join(kept))


def check_settings(path: Path, settings: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Compare settings with those that a run began with.

    Args:
        path: The run's folder.
        settings: As `RunFolder` takes them; those that are not given are not compared.

    Returns:
        The run's settings; an empty dictionary where there is no run.

    Raises:
        ValueError: They differ.
    """
    file = path / "settings.json"
    if not file.exists():
        return {}
    before = json.loads(file.read_text(encoding="utf-8"))
    for part, values in settings.items():
        for name, value in values.items():
            if (was := before.get(part, {}).get(name, value)) != value:
                raise ValueError(
                    f"{path} holds a run with {part} setting {name}={was!r}, not {value!r}: go on "
                    "with the same settings, or choose another folder"
                )
    return before


def _state(model: Transformer, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Trainable weights and optimizer state, both by the parameters' names."""
    weights, moments = get_state_dict(model, optimizer, options=_TRAINABLE)
    return {"model": weights, "optimizer": moments}


@contextmanager
def _dcp_errors_as(error_class: type[Exception], what: str) -> Iterator[None]:
    """Re-raise DCP's failures as one line; hide its warning about a single process."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            yield
    except CheckpointException as error:
        reason = next(iter(error.failures.values()))[0]
        raise error_class(f"{what}: {reason}") from error


def _random_state(device: torch.device) -> dict[str, Any]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_random_state(state: dict[str, Any], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def _replace(path: Path, text: str) -> None:
    with replace_file(path) as file:
        file.write(text.encode())
