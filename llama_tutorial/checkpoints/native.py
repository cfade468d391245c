"""The project's own format: a folder that holds any model this package can build.

::

    config.json         "format" and "version", by which it is known, and ModelConfig's fields
    model.safetensors   the weights under the model's own names, in the model's own dtype
    tokenizer.model     SentencePiece's form of the tokenizer, if one was given; tokenizer.bin for
                        one that came from llama2.c's form

A tied output head is stored once, as the embedding. The folder is replaced as a whole, so its parts
always belong together.

Read next: :mod:`llama_tutorial.files` for how it is replaced.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import torch

from llama_tutorial.checkpoints.safetensors_file import open_safetensors, save_safetensors
from llama_tutorial.checkpoints.weights import check_tensors, empty_model, fill
from llama_tutorial.config import ModelConfig
from llama_tutorial.files import replace_folder
from llama_tutorial.model import Transformer
from llama_tutorial.tensor_check import check_names, listed
from llama_tutorial.tokenizer_base import BaseTokenizer

FORMAT, VERSION = "llama-tutorial", 1
CONFIG, WEIGHTS = "config.json", "model.safetensors"
# By the character that stands for a space in the pieces, in which the two forms differ.
TOKENIZERS = {"▁": "tokenizer.model", " ": "tokenizer.bin"}


def recognises(folder: Path) -> bool:
    """Whether ``folder`` is of this format, whatever its version and state.

    Raises:
        ValueError: Its ``config.json`` is not JSON.
    """
    return _read_json(folder).get("format") == FORMAT


def load(
    folder: str | os.PathLike[str],
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
) -> Transformer:
    """The model of a native folder.

    Raises:
        FileNotFoundError: The folder or a file in it is not there.
        ValueError: It is of another version, or a file in it is damaged or does not fit the other.
    """
    folder = Path(folder)
    model = empty_model(_read_config(folder))
    with open_safetensors(folder / WEIGHTS) as file:
        shapes = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        check_tensors(model, shapes, f"{folder / WEIGHTS} does not hold the model of {CONFIG}")
        tensors = ((name, file.get_tensor(name)) for name in shapes)
        return fill(model, tensors, dtype, device, folder / WEIGHTS)


def save(
    model: Transformer,
    folder: str | os.PathLike[str],
    tokenizer: BaseTokenizer | None = None,
) -> None:
    """Write ``model``, and its tokenizer beside it. The folder appears when it is complete.

    Raises:
        FileNotFoundError: The folder that it shall lie in does not exist.
        ValueError: ``folder`` is there and no native checkpoint, or holds a file that the new one
            would not; the model is not as its configuration says; or the tokenizer has more
            pieces than the model.
    """
    state = model.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items()}
    check_tensors(empty_model(model.config), shapes, "the model is not as its config says")
    _check_tokenizer(tokenizer, model.config)
    _check_replaceable(Path(folder), {CONFIG, WEIGHTS, *(TOKENIZERS.values() if tokenizer else ())})
    with replace_folder(folder) as new:
        contents = {"format": FORMAT, "version": VERSION, "model": model.config.to_dict()}
        (new / CONFIG).write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")
        save_safetensors(state, new / WEIGHTS)
        if tokenizer is not None:
            tokenizer.save(new / TOKENIZERS[tokenizer.vocabulary.space])


def _read_json(folder: Path) -> dict[str, Any]:
    """What ``config.json`` says; nothing where there is none."""
    path = folder / CONFIG
    if not path.is_file():
        return {}
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    return contents if isinstance(contents, dict) else {}


def _read_config(folder: Path) -> ModelConfig:
    path = folder / CONFIG
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    contents = _read_json(folder)
    if contents.get("format") != FORMAT:
        raise ValueError(f'{path} is of another format: it does not say "format": "{FORMAT}"')
    if (version := contents.get("version")) != VERSION:
        raise ValueError(
            f"{path} is of version {version!r}, and this package reads version {VERSION}; "
            "update the package"
        )
    fields = contents.get("model")
    if not isinstance(fields, dict):
        raise ValueError(f'{path} is damaged: "model" must hold the model\'s configuration')
    check_names(fields, ModelConfig().to_dict(), f"{path} is damaged")
    try:
        return ModelConfig.from_dict(fields)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def _check_tokenizer(tokenizer: BaseTokenizer | None, config: ModelConfig) -> None:
    if tokenizer is not None and tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size} pieces, the model {config.vocab_size}: "
            "the model would not know its last ones; give the tokenizer that it was trained with"
        )


def _check_replaceable(folder: Path, new_names: set[str]) -> None:
    """Refuse to delete anything but an older checkpoint's own files."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not recognises(folder):
        raise ValueError(
            f"{folder} is there already and no checkpoint of this package; choose another name"
        )
    if lost := sorted({file.name for file in folder.iterdir()} - new_names):
        raise ValueError(
            f"{folder} would lose {listed(lost)}, which the new checkpoint does not hold; move "
            "it away, choose another name, or, if it is the tokenizer, pass tokenizer="
        )
