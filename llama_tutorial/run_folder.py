"""The folder of a training run: settings, metrics, checkpoints that survive anything.

::

    settings.json        what the run was started with
    metrics.jsonl        one line a step: loss, learning rate, tokens, now and then validation loss
    checkpoints/latest   the name of the newest whole checkpoint
    checkpoints/step-…   weights (native format), optimiser, random state
    model/               the finished model (native format)

A checkpoint is written under another name and renamed when it is whole; only then does ``latest``
name it. So whenever the process is killed, the newest whole checkpoint is found, and the metrics
are cut back to its step.

Read next: :mod:`llama_tutorial.trainer`, the loop that writes it.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch

from llama_tutorial.checkpoints import load_model, save_model
from llama_tutorial.files import replace_file
from llama_tutorial.model import Transformer


class RunFolder:
    """One run's folder.

    Args:
        path: The folder; it need not exist.
        settings: What the run is started with, as plain values by part: ``{"model": {...}, ...}``.
            A run goes on only under the settings that it began with.

    Raises:
        ValueError: The folder holds a run with other settings.
    """

    def __init__(self, path: str | Path, settings: dict[str, dict[str, Any]]) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.jsonl"
        self.path.mkdir(parents=True, exist_ok=True)
        self._check_settings(settings)

    def note(self, figures: dict[str, Any]) -> None:
        """Append one line to the metrics."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(figures) + "\n")

    def save(self, step: int, model: Transformer, optimizer: torch.optim.Optimizer) -> None:
        """Write a whole checkpoint, then point to it, then remove the one before."""
        name = f"step-{step:08d}"
        partial = self.checkpoints / f"{name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        save_model(model, partial / "model")
        state = {"step": step, "optimizer": optimizer.state_dict(), "random": _random_state()}
        torch.save(state, partial / "training.pt")
        shutil.rmtree(self.checkpoints / name, ignore_errors=True)  # whole, but never pointed to
        partial.rename(self.checkpoints / name)
        _replace(self.checkpoints / "latest", name)
        for old in self.checkpoints.glob("step-*"):
            if old.name != name:
                shutil.rmtree(old)

    def resume(self, model: Transformer, optimizer: torch.optim.Optimizer) -> int:
        """Bring model, optimiser and random state back to the newest checkpoint.

        Returns:
            The number of steps already done; 0 where there is no checkpoint.
        """
        step, latest = 0, self.checkpoints / "latest"
        if latest.exists():
            folder = self.checkpoints / latest.read_text(encoding="utf-8")
            state = torch.load(folder / "training.pt", weights_only=True, map_location="cpu")
            model.load_state_dict(load_model(folder / "model").state_dict())
            optimizer.load_state_dict(state["optimizer"])
            _set_random_state(state["random"])
            step = state["step"]
        self._cut_metrics(step)
        return step

    def _check_settings(self, settings: dict[str, dict[str, Any]]) -> None:
        path = self.path / "settings.json"
        if not path.exists():
            _replace(path, json.dumps(settings, indent=2) + "\n")
            return
        before = json.loads(path.read_text(encoding="utf-8"))
        for part, values in settings.items():
            for name, value in values.items():
                if (was := before.get(part, {}).get(name)) != value:
                    raise ValueError(
                        f"{self.path} holds a run with {part} setting {name}={was!r}, not "
                        f"{value!r}: go on with the same settings, or choose another folder"
                    )

    def _cut_metrics(self, step: int) -> None:
        if not self.metrics.exists():
            return
        kept = []
        for line in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                figures = json.loads(line)
            except json.JSONDecodeError:  # the line that was being written
                break
            if figures["step"] <= step:
                kept.append(line + "\n")
        _replace(self.metrics, "".join(kept))


def _random_state() -> dict[str, Any]:
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {"cpu": torch.get_rng_state(), "cuda": cuda}


def _set_random_state(state: dict[str, Any]) -> None:
    torch.set_rng_state(state["cpu"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])


def _replace(path: Path, text: str) -> None:
    with replace_file(path) as file:
        file.write(text.encode())
