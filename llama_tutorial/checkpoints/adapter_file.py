"""The file form of LoRA adapters: a small folder that says what it belongs to.

::

    adapter.json          "format" and "version"; "base", the model that it was trained on; "lora",
                          rank, alpha, dropout and targets; "model", the base's configuration
    adapter.safetensors   A and B of every layer, under their names in the state dictionary
    tokenizer.model       if one was given, in its own form

The names are this package's, since the base may be any model that it can build. peft's form, for
Hugging Face's layout, would need the rows of B in another order for ``wq`` and ``wk``.

Read next: :mod:`llama_tutorial.checkpoints.adapter`, where it is used.
"""

from __future__ import annotations

import dataclasses
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from llama_tutorial._util.files import replace_folder
from llama_tutorial._util.tensor_check import check_names, check_shapes
from llama_tutorial.checkpoints.download import SHORT_NAMES, is_hub_id
from llama_tutorial.checkpoints.folders import (
    TOKENIZER_FILES,
    AnyTokenizer,
    check_replaceable,
    check_tokenizer,
    read_json,
    read_versioned,
    save_tokenizer,
    write_json,
)
from llama_tutorial.checkpoints.safetensors_file import save_safetensors
from llama_tutorial.checkpoints.weight_files import open_weights
from llama_tutorial.checkpoints.weights import check_floating, empty_model
from llama_tutorial.config import ModelConfig
from llama_tutorial.lora.adapters import LoRAConfig as LoraConfig
from llama_tutorial.lora.adapters import adapter_state, add_lora, lora_config
from llama_tutorial.model import Transformer
from llama_tutorial.shipped import SHIPPED

CONFIG, TENSORS = "adapter.json", "adapter.safetensors"
FORMAT, VERSION = "llama-tutorial-adapter", 1
_FIELDS = ("format", "version", "base", "lora", "model")


@dataclass(frozen=True)
class Adapter:
    """An adapter as it is stored, checked.

    Attributes:
        folder: Where it lies.
        base: What it was trained on: the name of a model of this package, a path seen from
            ``folder``, or a repository of the hub; None if that was not said.
        lora: Its settings.
        config: The base's configuration.
        tensors: By name.
    """

    folder: Path
    base: str | None
    lora: LoraConfig
    config: ModelConfig
    tensors: dict[str, Tensor]


def recognises(folder: Path) -> bool:
    """Whether ``folder`` is of this format, whatever its version and state.

    Raises:
        ValueError: Its ``adapter.json`` is not JSON.
    """
    return read_json(folder / CONFIG).get("format") == FORMAT


def save_adapter(
    model: Transformer,
    path: str | os.PathLike[str],
    *,
    base: str | os.PathLike[str] | None = None,
    tokenizer: AnyTokenizer | None = None,
) -> None:
    """Write the adapters of ``model``, merged or not, and nothing of its base.

    Args:
        model: A model with adapters.
        path: The folder; at any time it is the old adapter or the whole new one.
        base: What the adapters were trained on, as `load` takes it: a name of this package, a path,
            or a repository of the hub. Needed to load the folder as a model.
        tokenizer: Stored beside them; without, that of the base is used.

    Raises:
        FileNotFoundError: The folder that ``path`` shall lie in does not exist, or there is no such
            base.
        ValueError: The model has no adapters; the tokenizer has more pieces than the model; or
            ``path`` is something else, or holds a file that would be lost.
    """
    state, lora = adapter_state(model), lora_config(model)
    check_tokenizer(tokenizer, model.config)
    new_names = {CONFIG, TENSORS, *(TOKENIZER_FILES if tokenizer else ())}
    check_replaceable(Path(path), recognises, new_names, "this package's adapters")
    contents = {
        "format": FORMAT,
        "version": VERSION,
        "base": None if base is None else _as_seen_from(Path(path), os.fspath(base)),
        "lora": {**dataclasses.asdict(lora), "targets": list(lora.targets)},
        "model": model.config.to_dict(),
    }
    with replace_folder(path) as new:
        write_json(contents, new / CONFIG)
        save_safetensors(state.items(), state, new / TENSORS)
        if tokenizer is not None:
            save_tokenizer(tokenizer, new)


def read_adapter(path: str | os.PathLike[str]) -> Adapter:
    """What a folder holds, checked.

    Raises:
        FileNotFoundError, ValueError: As in `load_adapter`.
    """
    folder = Path(path)
    base, lora, config = read_config(folder / CONFIG)
    model = empty_model(config)
    try:
        add_lora(model, **dataclasses.asdict(lora))
    except ValueError as error:
        raise ValueError(f"{folder / CONFIG} is damaged: {error}") from None
    expected = {name: tuple(tensor.shape) for name, tensor in adapter_state(model).items()}
    with open_weights(folder / TENSORS) as file:
        what = f"{folder / TENSORS} does not hold the adapter of {CONFIG}"
        check_names(file.shapes, expected, what)
        check_shapes(file.shapes, expected, what)
        tensors = {name: file.get(name) for name in expected}
    for name, tensor in tensors.items():
        check_floating(name, tensor, folder / TENSORS)
    return Adapter(folder, base, lora, config, tensors)


def _as_seen_from(folder: Path, base: str) -> str:
    """A name as it is; a path so that the two folders can be moved together."""
    if base in SHIPPED:
        return base
    if Path(base).exists():
        return Path(os.path.relpath(os.path.realpath(base), os.path.realpath(folder))).as_posix()
    if is_hub_id(base := SHORT_NAMES.get(base, base)):
        return base
    raise FileNotFoundError(
        f"base={base!r}: no such file or folder, no model of this package ({', '.join(SHIPPED)}), "
        "and no repository (owner/name)"
    )


def read_config(path: Path) -> tuple[str | None, LoraConfig, ModelConfig]:
    """What ``adapter.json`` says: the base, the settings, and the base's configuration.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: It is of another format or version, or damaged.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; the folder of an adapter has one")
    contents = read_versioned(path, FORMAT, VERSION)
    check_names(contents, _FIELDS, f"{path} is damaged")
    base = contents["base"]
    try:
        if not (base is None or isinstance(base, str)):
            raise TypeError(f'"base" is {base!r}, must be a name, a path or null')
        return base, _lora(contents["lora"]), ModelConfig.from_dict(contents["model"])
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def _lora(fields: dict[str, Any]) -> LoraConfig:
    check_names(fields, [field.name for field in dataclasses.fields(LoraConfig)], '"lora"')
    return LoraConfig(**{**fields, "targets": tuple(fields["targets"])})
