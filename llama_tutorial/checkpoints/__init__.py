"""Checkpoints: models on disk, in this package's own format and in others'.

`load_model` knows a format by its content, never by its name. Each format is one module with a
``load`` and a ``save``:

- :mod:`~llama_tutorial.checkpoints.native`: a folder, for every model that this package can build;
- :mod:`~llama_tutorial.checkpoints.llama2c`: one ``.bin`` file, in float32 or int8.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from llama_tutorial.checkpoints import llama2c, native
from llama_tutorial.llama2c_header import ForeignFileError
from llama_tutorial.model import Transformer
from llama_tutorial.tensor_check import listed
from llama_tutorial.tokenizer_base import BaseTokenizer

__all__ = ["load_model", "save_model"]

_KNOWN = (
    "load_model knows this package's own folders (config.json and model.safetensors) and "
    "llama2.c's files (.bin, version 0, 1 or 2)"
)
_FOLDERS = (native,)
_LLAMA2C_VERSIONS = {"llama2c": 0, "llama2c-v1": 1, "llama2c-int8": 2}
_FORMATS = ("native", *_LLAMA2C_VERSIONS)


def load_model(
    path: str | os.PathLike[str],
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
) -> Transformer:
    """Load a model from a file or a folder, whatever its format.

    Weights that need no conversion are mapped into memory: the model is there at once, and its
    pages are read from disk when they are used. Training does not change the file.

    Args:
        path: A native folder, or a llama2.c file of version 0, 1 or 2.
        dtype: Of the model. None keeps the file's; int8 becomes float32.
        device: Where the weights shall lie.

    Raises:
        FileNotFoundError: There is no such file or folder, or a part of it is missing.
        ValueError: It is of no known format, of an unknown version, truncated or damaged, or its
            tensors do not fit its configuration; or ``dtype`` is not floating.
    """
    if dtype is not None and not dtype.is_floating_point:
        raise ValueError(f"dtype={dtype}: must be a floating type, such as torch.bfloat16")
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if path.is_dir():
        for format in _FOLDERS:
            if format.recognises(path):
                return format.load(path, dtype, device)
        names = sorted(entry.name for entry in path.iterdir())
        found = f"holds {listed(names)}" if names else "is empty"
        raise ValueError(f"the folder {path} {found}; {_KNOWN}")
    try:
        return llama2c.load(path, dtype, device)
    except ForeignFileError as error:
        raise ValueError(f"{error}; {_KNOWN}") from None


def save_model(
    model: Transformer,
    path: str | os.PathLike[str],
    format: str = "native",
    *,
    tokenizer: BaseTokenizer | None = None,
    group_size: int = 64,
) -> None:
    """Write a model, so that at ``path`` there is always the old checkpoint or the whole new one.

    Every format keeps the weights exactly, tied or not, except ``"llama2c-int8"``.

    Args:
        model: Any model for ``"native"``. llama2.c's formats hold Llamas only: RMSNorm with an eps
            of 1e-5, SwiGLU, RoPE with a theta of 10000, no biases.
        path: A folder for ``"native"``, else a file.
        format: ``"native"``, ``"llama2c"`` (version 0, what llama2.c's ``run`` reads),
            ``"llama2c-v1"`` or ``"llama2c-int8"`` (version 2, what its ``runq`` reads).
        tokenizer: Stored beside the weights in a native folder.
        group_size: Weights that share a scale in ``"llama2c-int8"``; divides ``dim`` and
            ``hidden_dim``.

    Raises:
        FileNotFoundError: The folder that ``path`` shall lie in does not exist.
        ValueError: There is no such format, it cannot hold this model or a tokenizer, or
            ``path`` is something that must not be replaced.
    """
    if format not in _FORMATS:
        raise ValueError(f"format={format!r}: must be one of {', '.join(map(repr, _FORMATS))}")
    if format == "native":
        native.save(model, path, tokenizer)
        return
    if tokenizer is not None:
        raise ValueError(
            f"format={format!r} holds no tokenizer: it is a file of its own there; leave "
            "tokenizer= out and call tokenizer.save_tokenizer_bin(path)"
        )
    llama2c.save(model, path, _LLAMA2C_VERSIONS[format], group_size)
