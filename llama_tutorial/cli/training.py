"""What the commands that train have in common."""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import fields
from pathlib import Path
from typing import Any

from llama_tutorial.model import Transformer
from llama_tutorial.training.loop import TrainConfig
from llama_tutorial.training.processes import world_size


def train_config(arguments: argparse.Namespace, **changes: Any) -> TrainConfig:
    """The settings that the options and ``changes`` give, by the fields' names."""
    given = {**vars(arguments), **changes}
    names = [field.name for field in fields(TrainConfig)]
    return TrainConfig(**{name: given[name] for name in names if name in given})


def check_batch_size(batch_size: int) -> None:
    """Raise a ValueError unless every process gets a row of each batch."""
    if batch_size < world_size():
        raise ValueError(
            f"--batch-size {batch_size}: {world_size()} processes divide the rows of a batch, so "
            "there must be at least one for each"
        )


def weights_name(model: Transformer) -> str:
    """A name for a model's weights, wherever they lie: a hash of some of each tensor's numbers."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        numbers = tensor.flatten()[:1024].double().cpu().numpy()
        digest.update(f"{name} {tuple(tensor.shape)}".encode() + numbers.tobytes())
    return f"sha256 {digest.hexdigest()}"


def report_end(finished: bool, out: Path) -> None:
    """Print where the model is, or how to go on."""
    done = f"finished: the model is {out / 'model'}"
    print(done if finished else "stopped; the same command goes on from here")
