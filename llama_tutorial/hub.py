"""``load``: a model and the tokenizer that belongs to it, by one name.

    >>> from llama_tutorial import load
    >>> model, tokenizer = load("tales")

The name is that of a model that the package carries (:mod:`llama_tutorial.shipped`), a path, or a
repository of the Hugging Face hub: ``meta-llama/Llama-2-7b``, ``gpt2``.

Read next: :mod:`llama_tutorial.checkpoints` for what is read,
:mod:`llama_tutorial.checkpoints.download` for what is fetched.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from llama_tutorial.checkpoints.download import (
    SHORT_NAMES,
    download_file,
    download_model,
    is_hub_id,
)
from llama_tutorial.shipped import SHIPPED
from llama_tutorial.tokenizer.gpt2 import GPT2Tokenizer

if TYPE_CHECKING:
    import torch

    from llama_tutorial.config import ModelConfig
    from llama_tutorial.model import Transformer
    from llama_tutorial.numpy_llama.engine import NumpyLlama
    from llama_tutorial.tokenizer.bpe import BPETokenizer
    from llama_tutorial.tokenizer.sentencepiece import Tokenizer

_TOKENIZERS = ("tokenizer.model", "tokenizer.bin", "vocab.json", "tokenizer.json")
# Where a file's tokenizer is, if it is not called so; or where to get it.
_COMPANIONS = {("karpathy/tinyllamas", "stories260K/stories260K.bin"): "stories260K/tok512.bin"}
_ELSEWHERE = {
    "karpathy/tinyllamas": "it was trained with Llama 2's own, which that repository does not "
    "hold: take tokenizer.bin from the repository karpathy/llama2.c on GitHub, or tokenizer.model "
    "from meta-llama/Llama-2-7b, and "
}


def load(
    source: str | os.PathLike[str],
    filename: str | None = None,
    *,
    tokenizer: str | os.PathLike[str] | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
) -> tuple[Transformer, Tokenizer | BPETokenizer | GPT2Tokenizer]:
    """Load a model and its tokenizer.

    Args:
        source: The name of a model that comes with the package; the path of a checkpoint (a folder
            of that same name is ``./name``); or a repository of the Hugging Face hub.
        filename: The checkpoint's name in the folder or repository ``source``, where it is one file
            of several.
        tokenizer: The path of the tokenizer, where none lies beside the model, or another is meant;
            or a repository that holds a ``tokenizer.model``.
        dtype: Of the model. None keeps the file's; int8 becomes float32.
        device: Where the weights shall lie.

    Raises:
        FileNotFoundError: There is no such file, folder or repository, or the hub cannot be
            reached.
        PermissionError: The repository is gated; the message says how to get access.
        ValueError: The checkpoint cannot be read, comes without a tokenizer, or the tokenizer has
            another number of pieces than the model.
    """
    from llama_tutorial.checkpoints import load_model

    read = partial(load_model, dtype=dtype, device=device)
    return load_with(read, source, filename, tokenizer=tokenizer)


def load_with(
    read_model: Callable[[Path], Transformer],
    source: str | os.PathLike[str],
    filename: str | None = None,
    *,
    tokenizer: str | os.PathLike[str] | None = None,
) -> tuple[Transformer, Tokenizer | BPETokenizer | GPT2Tokenizer]:
    """The same where the model is to be read in another way.

    Args:
        read_model: Gives the model of a checkpoint's path, in place of
            :func:`llama_tutorial.checkpoints.load_model`.
        source: As in `load`.
        filename: As in `load`.
        tokenizer: As in `load`.

    Raises:
        FileNotFoundError, PermissionError, ValueError: As in `load`.
    """
    path, pieces_path = find(source, filename, tokenizer)
    pieces = _checked(path, pieces_path)
    model = read_model(path)
    _check_company(pieces, model.config)
    return model, pieces


def load_numpy(
    source: str | os.PathLike[str],
    filename: str | None = None,
    *,
    tokenizer: str | os.PathLike[str] | None = None,
) -> tuple[NumpyLlama, Tokenizer | BPETokenizer | GPT2Tokenizer]:
    """The same for the engine that needs no torch; the model must be a llama2.c file.

    Args:
        source: As in `load`.
        filename: As in `load`.
        tokenizer: As in `load`.

    Raises:
        FileNotFoundError, PermissionError, ValueError: As in `load`.
    """
    from llama_tutorial.numpy_llama.engine import NumpyLlama

    path, pieces_path = find(source, filename, tokenizer)
    pieces = _checked(path, pieces_path)
    name = os.fspath(source)
    model = NumpyLlama.load(SHIPPED[name].llama2c if name in SHIPPED else path)
    _check_company(pieces, model.config)
    return model, pieces


def find(
    source: str | os.PathLike[str],
    filename: str | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    *,
    needs_tokenizer: bool = True,
) -> tuple[Path, Path | None]:
    """Where a checkpoint lies, and its tokenizer, if one was given or comes with it.

    What is on the hub is downloaded. Arguments and errors as in `load`; without ``needs_tokenizer``
    a file of the hub may be had that comes without one.
    """
    name = os.fspath(source)
    if name in SHIPPED:
        if filename is not None:
            raise ValueError(f"filename={filename!r}: {name!r} comes with the package, as one file")
        path, beside = SHIPPED[name].model, SHIPPED[name].tokenizer
    elif Path(name).exists():
        path = Path(name) if filename is None else Path(name) / filename
        beside = _beside(path)
    elif is_hub_id(SHORT_NAMES.get(name, name)):
        has_one = tokenizer is not None
        path, beside = _fetch(SHORT_NAMES.get(name, name), filename, has_one, needs_tokenizer)
    else:
        shipped = ", ".join(map(repr, SHIPPED))
        raise FileNotFoundError(
            f"{name}: no such file or folder, and no model of this package; those are {shipped}"
        )
    return path, beside if tokenizer is None else _given(os.fspath(tokenizer))


def read_tokenizer(path: Path) -> Tokenizer | BPETokenizer | GPT2Tokenizer:
    """The tokenizer of a file that `find` has found: GPT-2's is in JSON, and has two files."""
    from llama_tutorial.tokenizer.sentencepiece import load_tokenizer

    return (
        GPT2Tokenizer.from_folder(path.parent) if path.suffix == ".json" else load_tokenizer(path)
    )


def _checked(path: Path, pieces_path: Path | None) -> Tokenizer | BPETokenizer | GPT2Tokenizer:
    """The tokenizer, if there is one."""
    if pieces_path is None:
        raise ValueError(
            f"{path} comes without a tokenizer: give one with tokenizer= (on the command line, "
            "--tokenizer), a SentencePiece .model or a llama2.c tokenizer.bin"
        )
    return read_tokenizer(pieces_path)


def _check_company(pieces: Tokenizer | BPETokenizer | GPT2Tokenizer, config: ModelConfig) -> None:
    if pieces.vocab_size != config.vocab_size:
        raise ValueError(
            f"the tokenizer has {pieces.vocab_size} pieces, the model has {config.vocab_size}: "
            "they do not belong together; give the model's own with tokenizer= (on the command "
            "line, --tokenizer)"
        )


def _beside(path: Path) -> Path | None:
    """The tokenizer of a checkpoint's folder. Meta's download has one for all, a folder above."""
    if not path.is_dir():
        return None
    folders = [path, path.absolute().parent] if (path / "params.json").is_file() else [path]
    places = (folder / name for folder in folders for name in _TOKENIZERS)
    found = next((place for place in places if place.is_file()), None)
    if found is None and (path / "adapter.json").is_file():  # a LoRA adapter: its base's
        from llama_tutorial.checkpoints.adapter import find_base

        return find(find_base(path))[1]
    return found


def _fetch(
    repository: str, filename: str | None, has_tokenizer: bool, needs_tokenizer: bool
) -> tuple[Path, Path | None]:
    """Download a model, and its tokenizer unless one was given."""
    if filename is None:
        path = download_model(repository)
        return path, _beside(path)
    companion = _COMPANIONS.get((repository, filename))
    if companion is None and needs_tokenizer and not has_tokenizer:
        # said before a download that would be for nothing
        raise ValueError(
            f"{filename} of {repository} comes without a tokenizer: "
            f"{_ELSEWHERE.get(repository, '')}give its path with tokenizer= (on the command line, "
            "--tokenizer)"
        )
    path = download_file(repository, filename)
    if has_tokenizer or companion is None:
        return path, None
    return path, download_file(repository, companion)


def _given(tokenizer: str) -> Path:
    """A tokenizer's path; of a repository, that of its ``tokenizer.model``."""
    if not Path(tokenizer).exists() and is_hub_id(tokenizer):
        return download_file(tokenizer, "tokenizer.model")
    return Path(tokenizer)
