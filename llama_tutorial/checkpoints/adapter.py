"""LoRA adapters from disk: beside the weights of their base, or merged into them.

For :func:`~llama_tutorial.checkpoints.load_model` and :func:`~llama_tutorial.hub.load` the folder
of an adapter is a model like any other: the base with the adapter merged into it. `load_adapter`
puts it beside the weights of a base that is there already, to train on, or to compare.

Read next: :mod:`llama_tutorial.checkpoints.adapter_file` for what is in the folder.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

from torch import Tensor

from llama_tutorial.checkpoints.adapter_file import (
    CONFIG,
    Adapter,
    read_adapter,
    read_config,
)
from llama_tutorial.checkpoints.download import download_model, is_hub_id
from llama_tutorial.checkpoints.weights import Checkpoint
from llama_tutorial.config import ModelConfig
from llama_tutorial.lora.adapters import add_lora, lora_config, lora_layers
from llama_tutorial.lora.linear import add_change
from llama_tutorial.model import Transformer
from llama_tutorial.shipped import SHIPPED


def load_adapter(model: Transformer, path: str | os.PathLike[str]) -> None:
    """Put the adapters of a folder beside the weights of their base, unmerged; in place.

    Args:
        model: The base; or with adapters of the same settings, whose values are replaced.
        path: What `save_adapter` has written.

    Raises:
        FileNotFoundError: The folder or a file in it is not there.
        ValueError: It is no adapter, of another version, or damaged; it was trained on a model of
            another configuration; or ``model`` has other adapters, or merged ones.
    """
    adapter = read_adapter(path)
    _check_base(model.config, adapter, "the model")
    if not lora_layers(model):
        add_lora(model, **dataclasses.asdict(adapter.lora))
    _check_settings(model, adapter)
    # On the meta device there are no numbers to replace, only places for tensors.
    model.load_state_dict(adapter.tensors, strict=False, assign=model.device.type == "meta")


def find_base(folder: Path) -> str:
    """The base of an adapter, as :func:`~llama_tutorial.hub.load` takes it.

    Raises:
        FileNotFoundError: It is not where it was.
        ValueError: The adapter does not say what it is.
    """
    base, _, _ = read_config(folder / CONFIG)
    if base is None:
        raise ValueError(
            f"{folder} is an adapter, and its {CONFIG} names no base: load the base, then "
            "load_adapter(model, path); or write it anew with save_adapter(..., base=)"
        )
    if base in SHIPPED or (is_hub_id(base) and not (folder / base).exists()):
        return base
    if not (folder / base).exists():
        raise FileNotFoundError(
            f"{folder} is an adapter on {base}, and there is no such file or folder (seen from "
            f'the adapter): put it there, or write another "base" into {CONFIG}'
        )
    return str(folder / base)


def base_path(folder: Path) -> Path:
    """Where the base's weights lie; those of the hub are downloaded. Errors as in `find_base`."""
    base = find_base(folder)
    if base in SHIPPED:
        return SHIPPED[base].model
    return Path(base) if Path(base).exists() else download_model(base)


def merged(base: Checkpoint, folder: Path) -> Checkpoint:
    """The checkpoint that ``base`` and the adapter in ``folder`` make together.

    Each matrix is changed when its turn comes, in the type and on the device that the model is
    loaded to, so that loading takes no more memory than the base alone.

    Raises:
        FileNotFoundError, ValueError: As in `load_adapter`.
    """
    adapter = read_adapter(folder)
    _check_base(base.config, adapter, str(base.source))

    def finish(name: str, tensor: Tensor) -> Tensor:
        tensor = base.finish(name, tensor)
        layer = name.removesuffix(".weight")
        if f"{layer}.lora_a" not in adapter.tensors:
            return tensor
        a, b = (adapter.tensors[f"{layer}.lora_{part}"].to(tensor.device) for part in "ab")
        return add_change(tensor, a, b, adapter.lora.alpha / adapter.lora.rank)

    format = f"LoRA of rank {adapter.lora.rank} on {adapter.base} ({base.format})"
    return dataclasses.replace(base, source=folder, format=format, finish=finish)


def _check_base(config: ModelConfig, adapter: Adapter, what: str) -> None:
    """Raise a ValueError unless ``config`` is the base's; the context may be another."""
    ours, theirs = config.to_dict(), adapter.config.to_dict()
    wrong = [
        f"{name} is {ours[name]}, must be {value}"
        for name, value in theirs.items()
        if ours[name] != value and name != "max_seq_len"
    ]
    if wrong:
        raise ValueError(
            f"{what} is not the base of the adapter in {adapter.folder}: {', '.join(wrong)}"
        )


def _check_settings(model: Transformer, adapter: Adapter) -> None:
    """Raise a ValueError unless the model's adapters compute what the stored ones do."""
    if any(layer.merged for layer in lora_layers(model).values()):
        raise ValueError("the model's adapters are merged: unmerge_lora(model) first")
    ours, theirs = lora_config(model), adapter.lora
    pairs = {name: (getattr(ours, name), getattr(theirs, name)) for name in ("rank", "alpha")}
    pairs["targets"] = (sorted(ours.targets), sorted(theirs.targets))
    wrong = [f"{name} is {a}, must be {b}" for name, (a, b) in pairs.items() if a != b]
    if wrong:
        raise ValueError(
            f"the model's adapters are not like those in {adapter.folder}: {', '.join(wrong)}; "
            "remove_lora(model) first"
        )
