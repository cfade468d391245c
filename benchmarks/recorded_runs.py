"""Small trainings that are recorded: run each once, keep its result, put all into one file.

What ``swaps.py`` and ``shakespeare.py`` share. A run's result is a file of its own that is written
when the run is finished; a run that has one is skipped, and a run that was killed goes on from its
newest checkpoint.
"""

from __future__ import annotations

import datetime
import json
import platform
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from llama_tutorial import ModelConfig, Transformer
from llama_tutorial.pretraining import TokenStream
from llama_tutorial.training.loop import TrainConfig, evaluate, train

CURVE = 20  # steps whose training losses become one point


@dataclass(frozen=True)
class Run:
    """One training: a model, its data and the seed of its weights.

    Args:
        name: Of what is trained; several seeds share it.
        model: Its configuration.
        training: The settings.
        stream: Tokens to learn from; its own seed decides about their order.
        validation: Tokens to measure with: all of them, in float32.
        seed: Of the first weights.
    """

    name: str
    model: ModelConfig
    training: TrainConfig
    stream: TokenStream
    validation: TokenStream
    seed: int

    @property
    def label(self) -> str:
        """A file name that no other run has."""
        name = self.name.replace(",", "").replace(" ", "-")
        return f"{name}-lr{self.training.peak_lr:g}-seed{self.seed}"


def run_once(
    run: Run, out: Path, measure: Callable[[Transformer], dict[str, Any]] | None = None
) -> dict[str, Any]:
    """The result of ``run``: read from ``out`` if it is there, else trained.

    Args:
        run: What to train.
        out: The folder of all runs.
        measure: More figures of the finished model.
    """
    file = out / f"{run.label}.json"
    if file.exists():
        return json.loads(file.read_text(encoding="utf-8"))
    began = time.perf_counter()
    torch.manual_seed(run.seed)
    model = Transformer(run.model)
    tokens_a_step = run.stream.batch_size * run.stream.context
    data = {"source": run.stream.info.source, "tokens_a_step": tokens_a_step, "seed": run.seed}
    if not train(model, run.stream.batch, run.training, out / run.label, data=data):
        raise SystemExit("stopped; the same command goes on from here")
    lines = (out / run.label / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    losses = [json.loads(line)["loss"] for line in lines]
    result = {
        "name": run.name,
        "seed": run.seed,
        "lr": run.training.peak_lr,
        "parameters": run.model.n_params,
        "model": run.model.to_dict(),
        "tokens": tokens_a_step * run.training.total_steps,
        "validation_loss": round(evaluate(model, run.validation.every_window()), 4),
        "training_loss": [
            round(statistics.mean(losses[first : first + CURVE]), 3)
            for first in range(0, len(losses), CURVE)
        ],
        **(measure(model) if measure else {}),
        "seconds": round(time.perf_counter() - began),
    }
    file.write_text(json.dumps(result) + "\n", encoding="utf-8")
    print(f"{run.label:<44} {run.model.n_params:>9,} {result['validation_loss']:.4f}", flush=True)
    return result


def summary(results: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """One entry for each name: the losses of all seeds, their mean and spread."""
    by_name: dict[str, list[dict[str, Any]]] = {}
    for result in results:
        by_name.setdefault(result["name"], []).append(result)
    return [_entry(name, group) for name, group in by_name.items()]


def _entry(name: str, group: Sequence[dict[str, Any]]) -> dict[str, Any]:
    losses = [result["validation_loss"] for result in group]
    curves = zip(*(result["training_loss"] for result in group), strict=True)
    return {
        "name": name,
        "parameters": group[0]["parameters"],
        "model": group[0]["model"],
        "seeds": [result["seed"] for result in group],
        "validation_loss": losses,
        "mean": round(statistics.mean(losses), 4),
        "spread": round(statistics.stdev(losses), 4) if len(losses) > 1 else None,
        "training_loss": [round(statistics.mean(point), 3) for point in curves],
        "seconds": [result["seconds"] for result in group],
    }


def record(path: Path, command: str, content: dict[str, Any]) -> None:
    """Write ``content`` under the command, the machine and the date."""
    head = {
        "command": command,
        "machine": f"{platform.system()} {platform.machine()}, {processor()}, one thread",
        "torch": torch.__version__,
        "date": datetime.date.today().isoformat(),
    }
    path.write_text(json.dumps(head | content, indent=1) + "\n", encoding="utf-8")


def processor() -> str:
    """The processor's name, as far as the system tells it."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text(encoding="utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unnamed processor"
