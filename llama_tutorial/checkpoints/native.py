"""The project's own format: a folder that holds any model this package can build.

::

    config.json         "format" and "version", by which it is known, and ModelConfig's fields
    model.safetensors   the weights under the model's own names, in the model's own dtype
    tokenizer.model     SentencePiece's form of the tokenizer, if one was given; tokenizer.bin for
                        one that came from llama2.c's form

A tied output head is stored once, as the embedding. A quantized model is stored as it is packed:
``layers.0.attention.wq.integers``, ``.scales`` and perhaps ``.zeros`` in place of ``.weight``, laid
out as in :class:`~llama_tutorial.quantization.packed.PackedMatrix`, so that it is mapped and used
without being moved. The folder is replaced as a whole, so its parts always belong together.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from llama_tutorial._util.files import replace_folder
from llama_tutorial._util.tensor_check import check_names
from llama_tutorial.checkpoints.folders import (
    CONFIG,
    NATIVE_FORMAT,
    SAFETENSORS,
    AnyTokenizer,
    check_replaceable,
    check_tokenizer,
    check_version,
    save_tokenizer,
    tokenizer_names,
    write_json,
)
from llama_tutorial.checkpoints.safetensors_file import save_safetensors
from llama_tutorial.checkpoints.weight_files import Tensors, open_weights
from llama_tutorial.checkpoints.weights import (
    Checkpoint,
    check_state,
    check_tensors,
    dtype_name,
    empty_model,
    packed_names,
)
from llama_tutorial.config import ModelConfig
from llama_tutorial.model import Transformer
from llama_tutorial.quantization.linear import (
    PARTS,
    kind_of_model,
    pack_layers,
    quantized_layers,
)

VERSION = 1


@contextmanager
def opened(folder: Path, contents: dict[str, Any]) -> Iterator[Checkpoint]:
    """The checkpoint in a native folder, checked and not yet read.

    Args:
        folder: Where it lies.
        contents: Of its ``config.json``.

    Raises:
        FileNotFoundError: The weights are not there.
        ValueError: It is of another version, or a file in it is damaged or does not fit the other.
    """
    config, path = _config(contents, folder / CONFIG), folder / SAFETENSORS
    with open_weights(path) as file:
        what = f"{path} does not hold the model of {CONFIG}"
        model = empty_model(config, file.shapes, what)
        pack_layers(model, packed_parts(file), what)
        check_tensors(model, file.shapes, what)
        yield Checkpoint(path, "native", _types(model, file), model, file.items)


def save(
    model: Transformer,
    folder: str | os.PathLike[str],
    tokenizer: AnyTokenizer | None = None,
) -> None:
    """Write ``model``, and its tokenizer beside it. The folder appears when it is complete.

    Raises:
        FileNotFoundError: The folder that it is to lie in does not exist.
        ValueError: ``folder`` is there and no native checkpoint, or holds a file that the new one
            would not; the model is not as its configuration says; or the tokenizer has more
            pieces than the model.
    """
    state = check_state(model)
    check_tokenizer(tokenizer, model.config)
    check_target(folder, tokenizer_names(tokenizer))
    with replace_folder(folder) as new:
        contents = {"format": NATIVE_FORMAT, "version": VERSION, "model": model.config.to_dict()}
        write_json(contents, new / CONFIG)
        save_safetensors(state.items(), state, new / SAFETENSORS)
        if tokenizer is not None:
            save_tokenizer(tokenizer, new)


def check_target(folder: str | os.PathLike[str], tokenizer_files: AbstractSet[str]) -> None:
    """Refuse a place that `save` would refuse, before there is a model to be written to it.

    Args:
        folder: The place.
        tokenizer_files: Names of the tokenizer's files, if one will be written.

    Raises:
        ValueError: As `save`.
    """
    new_names = {CONFIG, SAFETENSORS, *tokenizer_files}
    check_replaceable(Path(folder), "native", new_names, "this package")


def packed_parts(file: Tensors) -> dict[str, Tensor]:
    """The arrays of packed layers, mapped and not yet read."""
    return {name: file.get(name) for name in file.shapes if name.rpartition(".")[2] in PARTS}


def _types(model: Transformer, file: Tensors) -> str:
    """What the weights are stored in, in words."""
    packed = packed_names(model)
    kinds = sorted({dtype_name(file.get(name)) for name in file.shapes if name not in packed})
    floating = " and ".join(kinds)
    if (layers := quantized_layers(model)) and (kind := kind_of_model(model)):
        groups = " and ".join(map(str, sorted({layer.group_size for layer in layers.values()})))
        tied = model.config.tie_embeddings
        ends = {"embedding": "tok_embeddings", "head": "tok_embeddings" if tied else "output"}
        eight = [word for word, name in ends.items() if name in layers and layers[name].bits == 8]
        also = f", {' and '.join(eight)} int8" if kind == "int4" and eight else ""
        return f"{kind} in groups of {groups}{also}, the rest {floating}"
    return floating


def _config(contents: dict[str, Any], path: Path) -> ModelConfig:
    check_version(contents, path, NATIVE_FORMAT, VERSION)
    fields = contents.get("model")
    if not isinstance(fields, dict):
        raise ValueError(f'{path} is damaged: "model" must hold the model\'s configuration')
    check_names(fields, ModelConfig().to_dict(), f"{path} is damaged")
    try:
        return ModelConfig.from_dict(fields)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None
