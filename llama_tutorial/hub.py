"""``load``: a model and the tokenizer that belongs to it, by one name.

    >>> from llama_tutorial import load
    >>> model, tokenizer = load("tales")

The name is that of a model that the package carries (:mod:`llama_tutorial.shipped`), or a path.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from llama_tutorial.shipped import SHIPPED

if TYPE_CHECKING:
    import torch

    from llama_tutorial.bpe import BPETokenizer
    from llama_tutorial.model import Transformer
    from llama_tutorial.tokenizer import Tokenizer

_TOKENIZERS = ("tokenizer.model", "tokenizer.bin")


def load(
    source: str | os.PathLike[str],
    filename: str | None = None,
    *,
    tokenizer: str | os.PathLike[str] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
) -> tuple[Transformer, Tokenizer | BPETokenizer]:
    """Load a model and its tokenizer.

    Args:
        source: The name of a model that comes with the package, or the path of a checkpoint; a
            folder of that same name is ``./name``.
        filename: The checkpoint's name in the folder ``source``, where it is one file of several.
        tokenizer: The path of the tokenizer, where none lies beside the model, or another is meant.
        dtype: Of the model. None keeps the file's; int8 becomes float32.
        device: Where the weights shall lie.

    Raises:
        FileNotFoundError: There is no such file or folder.
        ValueError: The checkpoint cannot be read, comes without a tokenizer, or the tokenizer has
            another number of pieces than the model.
    """
    from llama_tutorial.checkpoints import load_model
    from llama_tutorial.tokenizer import load_tokenizer

    path, beside = _find(source, filename)
    if tokenizer is None and beside is None:
        raise ValueError(
            f"{path} comes without a tokenizer: give one with tokenizer= (on the command line, "
            "--tokenizer), a SentencePiece .model or a llama2.c tokenizer.bin"
        )
    pieces = load_tokenizer(beside if tokenizer is None else tokenizer)
    model = load_model(path, dtype=dtype, device=device)
    if pieces.vocab_size != model.config.vocab_size:
        raise ValueError(
            f"the tokenizer has {pieces.vocab_size} pieces, the model has "
            f"{model.config.vocab_size}: they do not belong together; give the model's own with "
            "tokenizer= (on the command line, --tokenizer)"
        )
    return model, pieces


def _find(source: str | os.PathLike[str], filename: str | None) -> tuple[Path, Path | None]:
    """The checkpoint, and the tokenizer that comes with it, if one does."""
    name = os.fspath(source)
    if name in SHIPPED:
        if filename is not None:
            raise ValueError(f"filename={filename!r}: {name!r} comes with the package, as one file")
        return SHIPPED[name].model, SHIPPED[name].tokenizer
    path = Path(name)
    if not path.exists():
        shipped = ", ".join(map(repr, SHIPPED))
        raise FileNotFoundError(
            f"{name}: no such file or folder, and no model of this package; those are {shipped}"
        )
    if filename is not None:
        return path / filename, None
    if path.is_dir():
        for candidate in _TOKENIZERS:
            if (path / candidate).is_file():
                return path, path / candidate
    return path, None
