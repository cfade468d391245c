"""LoRA adapters on disk: a small folder that says what it belongs to.

::

    adapter.json          "format" and "version"; "base", the model that it was trained on; "lora",
                          rank, alpha, dropout and targets; "model", the base's configuration
    adapter.safetensors   A and B of every layer, under their names in the state dictionary
    tokenizer.model       if one was given, in its own form

For :func:`~llama_tutorial.checkpoints.load_model` and :func:`~llama_tutorial.hub.load` such a
folder is a model like any other: the base with the adapter merged into it. `load_adapter` puts it
beside the weights of a base that is there already, to train on, or to compare.

The names are this package's, since the base may be any model that it can build. peft's form, for
Hugging Face's layout, would need the rows of B in another order for ``wq`` and ``wk``.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from llama_tutorial._util.files import replace_folder
from llama_tutorial._util.given_file import kind_of
from llama_tutorial._util.tensor_check import check_names, check_shapes
from llama_tutorial.checkpoints import open_checkpoint
from llama_tutorial.checkpoints.download import SHORT_NAMES, is_hub_id, locate
from llama_tutorial.checkpoints.folders import (
    ADAPTER,
    ADAPTER_FORMAT,
    TOKENIZER_FILES,
    AnyTokenizer,
    check_replaceable,
    check_tokenizer,
    check_version,
    read_object,
    save_tokenizer,
    write_json,
)
from llama_tutorial.checkpoints.safetensors_file import save_safetensors
from llama_tutorial.checkpoints.weight_files import open_weights
from llama_tutorial.checkpoints.weights import (
    Checkpoint,
    check_finite,
    check_floating,
    empty_model,
)
from llama_tutorial.config import ModelConfig
from llama_tutorial.lora.adapters import (
    LoRAConfig,
    adapter_state,
    add_lora,
    lora_config,
    lora_layers,
)
from llama_tutorial.lora.linear import add_change
from llama_tutorial.model import Transformer
from llama_tutorial.shipped import SHIPPED

TENSORS = "adapter.safetensors"
VERSION = 1
_CHAIN = 8  # an adapter on an adapter on ...
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
    lora: LoRAConfig
    config: ModelConfig
    tensors: dict[str, Tensor]


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
        FileNotFoundError: The folder that ``path`` is to lie in does not exist, or there is no such
            base.
        ValueError: The model has no adapters, or in them a number that is not finite; the
            tokenizer does not fit the model; or ``path`` is something else, or holds a file that
            would be lost.
    """
    state, lora = adapter_state(model), lora_config(model)
    for name, tensor in state.items():
        check_finite(name, tensor, "the model")
    check_tokenizer(tokenizer, model.config)
    new_names = {ADAPTER, TENSORS, *(TOKENIZER_FILES if tokenizer else ())}
    check_replaceable(Path(path), "adapter", new_names, "this package's adapters")
    contents = {
        "format": ADAPTER_FORMAT,
        "version": VERSION,
        "base": None if base is None else _as_seen_from(Path(path), os.fspath(base)),
        "lora": {**dataclasses.asdict(lora), "targets": list(lora.targets)},
        "model": model.config.to_dict(),
    }
    with replace_folder(path) as new:
        write_json(contents, new / ADAPTER)
        save_safetensors(state.items(), state, new / TENSORS)
        if tokenizer is not None:
            save_tokenizer(tokenizer, new)


def load_adapter(model: Transformer, path: str | os.PathLike[str]) -> None:
    """Put the adapters of a folder beside the weights of their base, unmerged; in place.

    The model is in eval mode afterwards, as after `load_model`.

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
    model.eval()


def read_adapter(path: str | os.PathLike[str]) -> Adapter:
    """What a folder holds, checked.

    Raises:
        FileNotFoundError, ValueError: As in `load_adapter`.
    """
    folder = Path(path)
    if not kind_of(folder / ADAPTER):
        raise FileNotFoundError(
            f"{folder / ADAPTER}: no such file; the folder of an adapter has one"
        )
    return _read(folder, read_object(folder / ADAPTER))


def _read(folder: Path, contents: dict[str, Any]) -> Adapter:
    base, lora, config = _parse(contents, folder / ADAPTER)
    with open_weights(folder / TENSORS) as file:
        what = f"{folder / TENSORS} does not hold the adapter of {ADAPTER}"
        model = empty_model(config, file.shapes, what)
        try:
            add_lora(model, **dataclasses.asdict(lora))
        except ValueError as error:
            raise ValueError(f"{folder / ADAPTER} is damaged: {error}") from None
        expected = {name: tuple(tensor.shape) for name, tensor in adapter_state(model).items()}
        check_names(file.shapes, expected, what)
        check_shapes(file.shapes, expected, what)
        tensors = {name: file.get(name) for name in expected}
    for name, tensor in tensors.items():
        check_floating(name, tensor, folder / TENSORS)
        check_finite(name, tensor, folder / TENSORS)
    return Adapter(folder, base, lora, config, tensors)


@contextmanager
def opened(folder: Path, contents: dict[str, Any]) -> Iterator[Checkpoint]:
    """The checkpoint that an adapter and its base make together, checked and not yet read.

    Args:
        folder: Where the adapter lies.
        contents: Of its ``adapter.json``.

    Raises:
        FileNotFoundError, ValueError: As in `load_adapter`.
    """
    adapter = _read(folder, contents)
    with open_checkpoint(locate(_source(folder, adapter.base))) as base:
        yield merged(base, adapter)


def merged(base: Checkpoint, adapter: Adapter) -> Checkpoint:
    """The checkpoint that ``base`` and ``adapter`` make together.

    Each matrix is changed when its turn comes, in the type and on the device that the model is
    loaded to, so that loading takes no more memory than the base alone.

    Raises:
        ValueError: It is the adapter of another base.
    """
    _check_base(base.config, adapter, str(base.source))

    def finish(name: str, tensor: Tensor) -> Tensor:
        tensor = base.finish(name, tensor)
        layer = name.removesuffix(".weight")
        if f"{layer}.lora_a" not in adapter.tensors:
            return tensor
        a, b = (adapter.tensors[f"{layer}.lora_{part}"].to(tensor.device) for part in "ab")
        return add_change(tensor, a, b, adapter.lora.alpha / adapter.lora.rank)

    format = f"LoRA of rank {adapter.lora.rank} on {adapter.base} ({base.format})"
    return dataclasses.replace(base, source=adapter.folder, format=format, finish=finish)


def base_of(folder: Path) -> str:
    """The base of an adapter, as :func:`~llama_tutorial.hub.load` takes it.

    Raises:
        FileNotFoundError: It is not where it was.
        ValueError: The adapter does not say what it is, or is damaged.
    """
    base, _, _ = _parse(read_object(folder / ADAPTER), folder / ADAPTER)
    return _source(folder, base)


def _source(folder: Path, base: str | None) -> str:
    if base is None:
        raise ValueError(
            f"{folder} is an adapter, and its {ADAPTER} names no base: load the base, then "
            "load_adapter(model, path); or write it anew with save_adapter(..., base=)"
        )
    if base in SHIPPED:
        return base
    if not kind_of(folder / base):
        if is_hub_id(base):
            return base
        raise FileNotFoundError(
            f"{folder} is an adapter on {base}, and there is no such file or folder (seen from "
            f'the adapter): put it there, or write another "base" into {ADAPTER}'
        )
    _check_chain(folder)
    return str(folder / base)


def _check_chain(folder: Path) -> None:
    """Raise a ValueError where the adapters' bases point in a circle."""
    seen: list[Path] = []
    while (folder / ADAPTER).is_file() and len(seen) <= _CHAIN:
        seen.append(folder.resolve())
        base = read_object(folder / ADAPTER).get("base")
        if not isinstance(base, str) or base in SHIPPED:
            return
        folder = folder / base
        if folder.resolve() in seen:
            names = " -> ".join(str(place) for place in [*seen, folder.resolve()])
            raise ValueError(f"the bases of adapters point in a circle: {names}")
    if len(seen) > _CHAIN:
        raise ValueError(f"{seen[0]} is an adapter on more than {_CHAIN} adapters")


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


def _parse(contents: dict[str, Any], path: Path) -> tuple[str | None, LoRAConfig, ModelConfig]:
    """What ``adapter.json`` says: the base, the settings, and the base's configuration.

    Raises:
        ValueError: It is of another format or version, or damaged.
    """
    check_version(contents, path, ADAPTER_FORMAT, VERSION)
    check_names(contents, _FIELDS, f"{path} is damaged")
    base = contents["base"]
    try:
        if not isinstance(base, str | None):
            raise ValueError(f'"base" is {base!r:.50}, must be a name, a path or null')
        return base, _lora(contents["lora"]), ModelConfig.from_dict(contents["model"])
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def _lora(fields: Any) -> LoRAConfig:
    if not isinstance(fields, dict):
        raise ValueError(f'"lora" is {fields!r:.50}, must be an object')
    check_names(fields, [field.name for field in dataclasses.fields(LoRAConfig)], '"lora"')
    if not isinstance(fields["targets"], list):
        raise ValueError(f"targets={fields['targets']!r:.50}: must be a list of names")
    return LoRAConfig(**{**fields, "targets": tuple(fields["targets"])})


def _check_base(config: ModelConfig, adapter: Adapter, what: str) -> None:
    """Raise a ValueError unless ``config`` is the base's.

    The context may be another, and so may the vocabulary's padding.
    """
    ours, theirs = config.to_dict(), adapter.config.to_dict()
    other = {"max_seq_len"} if "output" in adapter.lora.targets else {"max_seq_len", "vocab_size"}
    wrong = [
        f"{name} is {ours[name]}, must be {value}"
        for name, value in theirs.items()
        if ours[name] != value and name not in other
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
