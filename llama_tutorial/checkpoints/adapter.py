"""LoRA adapters on disk: a small folder that says what it belongs to.

::

    adapter.json          "format" and "version"; "base", the model that it was trained on; "lora",
                          rank, alpha, dropout and targets; "model", the base's configuration
    adapter.safetensors   A and B of every layer, under their names in the state dictionary
    tokenizer.model       if one was given, in its own form

For :func:`~llama_tutorial.checkpoints.load_model` and :func:`~llama_tutorial.hub.load` such a
folder is a model like any other: the base with the adapter merged into it. `load_adapter` puts it
beside the weights of a base that is there already, to train on, or to compare.

The names are this package's, since the base may be any model that it can build. An adapter of a
Llama may also have the form of Hugging Face's peft (:mod:`llama_tutorial.checkpoints.peft`); its
folder is read like the other.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from llama_tutorial._util.files import replace_folder
from llama_tutorial._util.given_file import kind_of
from llama_tutorial._util.tensor_check import check_names, check_shapes, listed
from llama_tutorial.checkpoints import open_checkpoint, peft
from llama_tutorial.checkpoints.download import SHORT_NAMES, is_hub_id, locate
from llama_tutorial.checkpoints.folders import (
    ADAPTER,
    ADAPTER_FORMAT,
    AnyTokenizer,
    check_replaceable,
    check_tokenizer,
    check_version,
    formats_of,
    read_object,
    save_tokenizer,
    tokenizer_names,
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
    format: Literal["native", "peft"] = "native",
) -> None:
    """Write the adapters of ``model``, merged or not, and nothing of its base.

    Args:
        model: A model with adapters.
        path: The folder; at any time it is the old adapter or the whole new one.
        base: What the adapters were trained on, as `load` takes it: a name of this package, a path,
            or a repository of the hub. Needed to load the folder as a model.
        tokenizer: Stored beside them; without, that of the base is used.
        format: ``"peft"`` for a Llama's in the form that Hugging Face's peft opens, over the base
            that ``save_model(base, path, "huggingface")`` writes.

    Raises:
        FileNotFoundError: The folder that ``path`` is to lie in does not exist, or there is no such
            base.
        ValueError: The model has no adapters, or in them a number that is not finite; the
            tokenizer does not fit the model; ``base`` is no model, one of another configuration,
            or stands on ``path`` itself; the adapters are not all of the same settings; ``format``
            is none, or cannot hold them; or ``path`` is something else, or holds a file that would
            be lost.
    """
    if format not in ("native", "peft"):
        raise ValueError(f"format={format!r}: must be 'native' or 'peft'")
    state, lora = adapter_state(model), lora_config(model)
    for name, tensor in state.items():
        check_finite(name, tensor, "the model")
    check_tokenizer(tokenizer, model.config)
    seen = None
    if base is not None:
        seen = _as_seen_from(Path(path), os.fspath(base))
        _check_is_base(os.fspath(base), Adapter(Path(path), seen, lora, model.config, state))
    if format == "peft":
        json_name, name = peft.CONFIG, peft.TENSORS
        contents = peft.config_of(lora, seen, model.config)
        state = dict(peft.to_peft(state, model.config))
    else:
        json_name, name = ADAPTER, TENSORS
        contents = {
            "format": ADAPTER_FORMAT,
            "version": VERSION,
            "base": seen,
            "lora": {**dataclasses.asdict(lora), "targets": list(lora.targets)},
            "model": model.config.to_dict(),
        }
    check_target(path, tokenizer_names(tokenizer), (json_name, name))
    with replace_folder(path) as new:
        write_json(contents, new / json_name)
        save_safetensors(state.items(), state, new / name)
        if tokenizer is not None:
            save_tokenizer(tokenizer, new)


def check_target(
    folder: str | os.PathLike[str],
    tokenizer_files: AbstractSet[str],
    names: tuple[str, str] = (ADAPTER, TENSORS),
) -> None:
    """Refuse a place that `save_adapter` would refuse, before there is anything to be written.

    Args:
        folder: The place.
        tokenizer_files: Names of the tokenizer's files, if one will be written.
        names: Those of the adapter's own files.

    Raises:
        ValueError: As `save_adapter`.
    """
    new_names = {*names, *tokenizer_files}
    check_replaceable(Path(folder), "adapter", new_names, "this package's adapters")


def load_adapter(model: Transformer, path: str | os.PathLike[str]) -> None:
    """Put the adapters of a folder beside the weights of their base, unmerged; in place.

    The model is in eval mode afterwards, as after `load_model`.

    Args:
        model: The base; or with adapters of the same settings, whose values are replaced.
        path: What `save_adapter` or peft has written.

    Raises:
        FileNotFoundError: The folder or a file in it is not there.
        ValueError: It is no adapter, of another version, or damaged; it was trained on a model of
            another configuration; or ``model`` has other adapters, or merged ones.
    """
    adapter = _read(Path(path), _contents(Path(path)), model.config)
    _check_base(model.config, adapter, "the model")
    if not lora_layers(model):
        add_lora(model, **dataclasses.asdict(adapter.lora))
    _check_settings(model, adapter)
    # On the meta device there are no numbers to replace, only places for tensors.
    model.load_state_dict(adapter.tensors, strict=False, assign=model.device.type == "meta")
    model.eval()


def _contents(folder: Path) -> dict[str, Any]:
    """Of an adapter's JSON file, in either form.

    Raises:
        FileNotFoundError: There is none.
        ValueError: It is damaged.
    """
    for name in (ADAPTER, peft.CONFIG):
        if kind_of(folder / name):
            return read_object(folder / name)
    raise FileNotFoundError(f"{folder / ADAPTER}: no such file; the folder of an adapter has one")


def _read(folder: Path, contents: dict[str, Any], base_config: ModelConfig) -> Adapter:
    """What a folder holds, checked; peft's form does not tell the base's configuration."""
    in_peft = peft.is_peft(contents)
    if in_peft:
        base, lora = peft.parse_config(contents, folder / peft.CONFIG)
        source, path, config = folder / peft.CONFIG, folder / peft.TENSORS, base_config
    else:
        base, lora, config = _parse(contents, folder / ADAPTER)
        source, path = folder / ADAPTER, folder / TENSORS
    with open_weights(path) as file:
        what = f"{path} does not hold the adapter of {source.name}"
        model = empty_model(config, file.shapes, what)
        try:
            add_lora(model, **dataclasses.asdict(lora))
        except ValueError as error:
            raise ValueError(f"{source} is damaged: {error}") from None
        expected = {name: tuple(tensor.shape) for name, tensor in adapter_state(model).items()}
        stored = {name: peft.their_name(name) if in_peft else name for name in expected}
        shapes = {stored[name]: shape for name, shape in expected.items()}
        check_names(file.shapes, shapes, what)
        check_shapes(file.shapes, shapes, what)
        tensors = {name: file.get(stored[name]) for name in expected}
    for name, tensor in tensors.items():
        check_floating(stored[name], tensor, path)
        check_finite(stored[name], tensor, path)
    if in_peft:
        tensors = {name: peft.from_peft(name, t, config) for name, t in tensors.items()}
    return Adapter(folder, base, lora, config, tensors)


@contextmanager
def opened(folder: Path, contents: dict[str, Any]) -> Iterator[Checkpoint]:
    """The checkpoint that an adapter and its base make together, checked and not yet read.

    Args:
        folder: Where the adapter lies.
        contents: Of its JSON file.

    Raises:
        FileNotFoundError, ValueError: As in `load_adapter`.
    """
    with open_checkpoint(locate(_source(folder, _base(folder, contents)))) as base:
        yield merged(base, _read(folder, contents, base.config))


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
    return _source(folder, _base(folder, _contents(folder)))


def _base(folder: Path, contents: dict[str, Any]) -> str | None:
    """What the JSON file says that the adapter was trained on."""
    if not peft.is_peft(contents):
        return _parse(contents, folder / ADAPTER)[0]
    base, _ = peft.parse_config(contents, folder / peft.CONFIG)
    if base and not kind_of(folder / base) and kind_of(Path(base)):
        return str(Path(base).absolute())  # peft sees a path from where it runs
    return base


def _source(folder: Path, base: str | None) -> str:
    if base is None:
        raise ValueError(
            f"{folder} is an adapter and names no base: load the base, then "
            "load_adapter(model, path); or write it anew with save_adapter(..., base=)"
        )
    if base in SHIPPED:
        return base
    if not kind_of(folder / base):
        if is_hub_id(base):
            return base
        raise FileNotFoundError(
            f"{folder} is an adapter on {listed([base])}, and there is no such file or folder "
            "(seen from the adapter): put it there, or write another base into its JSON file"
        )
    _check_chain(folder)
    return str(folder / base)


def _check_chain(folder: Path, above: Path | None = None) -> None:
    """Raise a ValueError where the adapters' bases point in a circle.

    Args:
        folder: Of an adapter, or of a base that is none.
        above: Of the adapter that is to stand on it.
    """
    seen = [] if above is None else [above.resolve()]
    if folder.resolve() in seen:
        raise ValueError(f"{folder} cannot be its own base")
    while "adapter" in formats_of(folder) and len(seen) <= _CHAIN:
        seen.append(folder.resolve())
        base = _base(folder, _contents(folder))
        if base is None or base in SHIPPED:
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
    if not base:
        raise ValueError("base='': must be a name or a path; leave it out where it is not known")
    if Path(base).exists():
        return Path(os.path.relpath(os.path.realpath(base), os.path.realpath(folder))).as_posix()
    if is_hub_id(base := SHORT_NAMES.get(base, base)):
        return base
    raise FileNotFoundError(
        f"base={base!r}: no such file or folder, no model of this package ({', '.join(SHIPPED)}), "
        "and no repository (owner/name)"
    )


def _check_is_base(base: str, adapter: Adapter) -> None:
    """Raise a ValueError where `load` would refuse a base; the hub's are taken as they are."""
    if base not in SHIPPED and not kind_of(base):
        return
    try:
        source = locate(base)
        _check_chain(source, above=adapter.folder)
        with open_checkpoint(source) as checkpoint:
            _check_base(checkpoint.config, adapter, base)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"base={base!r}: {error}") from None
    except ValueError as error:
        raise ValueError(f"base={base!r}: {error}") from None


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
