"""``load``: a model and the tokenizer that belongs to it, by one name.

    >>> from llama_tutorial import load
    >>> model, tokenizer = load("tales")

The name is that of a model that the package carries (:mod:`llama_tutorial.shipped`), a path, or a
repository of the Hugging Face hub: ``meta-llama/Llama-2-7b``, ``gpt2``.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from llama_tutorial._util.gguf_file import is_gguf, parts_of, read_header
from llama_tutorial._util.given_file import kind_of
from llama_tutorial.checkpoints.download import SHORT_NAMES, download_file, is_hub_id, locate
from llama_tutorial.checkpoints.folders import PARAMS, AnyTokenizer, formats_of, is_padding
from llama_tutorial.quantization.packed import LARGE, PackedMatrix
from llama_tutorial.shipped import SHIPPED
from llama_tutorial.tokenizer import load_tokenizer
from llama_tutorial.tokenizer.gguf_vocabulary import has_vocabulary
from llama_tutorial.tokenizer.gpt2 import GPT2Tokenizer

if TYPE_CHECKING:
    import torch

    from llama_tutorial.config import ModelConfig
    from llama_tutorial.model import Transformer
    from llama_tutorial.numpy_llama import NumpyLlama

_TOKENIZERS = ("tokenizer.model", "tokenizer.bin", "vocab.json", "tokenizer.json")
# Where a file's tokenizer is, if it is not called so; or where to get it.
_COMPANIONS = {("karpathy/tinyllamas", "stories260K/stories260K.bin"): "stories260K/tok512.bin"}
_ELSEWHERE = {
    "karpathy/tinyllamas": "it was trained with Llama 2's own, which that repository does not "
    "hold: take tokenizer.bin from the repository karpathy/llama2.c on GitHub, or tokenizer.model "
    "from meta-llama/Llama-2-7b, and "
}


@overload
def load(
    source: str | os.PathLike[str],
    filename: str | None = None,
    *,
    tokenizer: str | os.PathLike[str] | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str = "cpu",
    engine: Literal["torch"] = "torch",
    quantize: Literal["int8", "int4"] | None = None,
) -> tuple[Transformer, AnyTokenizer]: ...
@overload
def load(
    source: str | os.PathLike[str],
    filename: str | None = None,
    *,
    tokenizer: str | os.PathLike[str] | None = None,
    engine: Literal["numpy"],
    quantize: Literal["int8", "int4"] | None = None,
) -> tuple[NumpyLlama, AnyTokenizer]: ...
def load(
    source: str | os.PathLike[str],
    filename: str | None = None,
    *,
    tokenizer: str | os.PathLike[str] | None = None,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str = "cpu",
    engine: str = "torch",
    quantize: Literal["int8", "int4"] | None = None,
) -> tuple[Transformer | NumpyLlama, AnyTokenizer]:
    """Load a model, in evaluation mode, and its tokenizer.

    Some models have a few more embeddings than the tokenizer has pieces, because a multiple of 64
    or 128 computes faster. These rows are left out: the model that is returned knows the
    tokenizer's pieces and no others, so that none is drawn which stands for nothing.

    Args:
        source: The name of a model that comes with the package; the path of a checkpoint (a folder
            of that same name is ``./name``); or a repository of the Hugging Face hub.
        filename: The checkpoint's name in the folder or repository ``source``, where it is one file
            of several.
        tokenizer: The path of the tokenizer, where none lies beside the model, or another is meant;
            or the name of a model that comes with the package, or a repository that holds a
            ``tokenizer.model``.
        dtype: Of the model, such as ``torch.float16`` or ``"float16"``. None keeps the file's; but
            int8 becomes float32, and so do the package's own models, which are stored in 16 bits
            to be small, and adapters on them: a row of a batch then gets the ids that it gets
            alone (see :func:`~llama_tutorial.generation.generate`).
        device: Where the weights go.
        engine: ``"torch"`` gives a :class:`~llama_tutorial.model.Transformer`; ``"numpy"`` a
            :class:`~llama_tutorial.numpy_llama.engine.NumpyLlama`, which needs no torch, takes
            llama2.c's and llama.cpp's files (GGUF) only, and computes in float32 on the CPU.
        quantize: ``"int8"`` or ``"int4"`` packs the matrices into integers of 8 or 4 bits, one
            after the other as they are read: a quarter or an eighth of the memory, and as much
            faster with numba (the extra ``fast``). A 7B model takes 4 GB in 4 bits. See
            :mod:`llama_tutorial.quantization`.

    Raises:
        FileNotFoundError: There is no such file, folder or repository, or the hub cannot be
            reached.
        PermissionError: The repository is gated; the message says how to get access.
        ValueError: The checkpoint cannot be read, comes without a tokenizer, or the tokenizer has
            more pieces than the model, or far fewer; or there is no such engine, dtype or device.
    """
    if engine not in ("torch", "numpy"):
        raise ValueError(f"engine={engine!r}: must be 'torch' or 'numpy'")
    if engine == "numpy" and (dtype is not None or str(device) != "cpu"):
        raise ValueError(
            f"engine='numpy' computes in float32 on the CPU, not with dtype={dtype}, "
            f"device={str(device)!r}; leave both out"
        )
    path, tokenizer_path = find(source, filename, tokenizer)
    pieces = read_tokenizer(tokenizer_path, path)
    model: Transformer | NumpyLlama
    if engine == "numpy":
        model = _numpy_llama(source, path, quantize)
    else:
        from llama_tutorial.checkpoints import load_model

        dtype = default_dtype(source, path) if dtype is None else dtype
        model = load_model(path, dtype=dtype, device=device, quantize=quantize)
        n_weights = sum(p.numel() for p in model.parameters())
        if n_weights >= LARGE and model.device.type == "cpu":
            from llama_tutorial._util.fast_linear import fast_linear

            fast_linear(model)
    if is_padding(pieces.vocab_size, model.config.vocab_size):
        leave_out_padding(model, pieces.vocab_size)
    check_tokenizer_matches(pieces, model.config)
    return model, pieces


def _numpy_llama(
    source: str | os.PathLike[str], path: Path, quantize: Literal["int8", "int4"] | None
) -> NumpyLlama:
    if is_gguf(path):
        from llama_tutorial.checkpoints.gguf_tensors import numpy_llama

        return numpy_llama(path, quantize)
    from llama_tutorial.numpy_llama import NumpyLlama

    return NumpyLlama.load(source if os.fspath(source) in SHIPPED else path, quantize=quantize)


def default_dtype(source: str | os.PathLike[str], path: Path) -> str | None:
    """What a model is loaded in if nothing else is asked for; None for what it is stored in.

    Args:
        source: What `load` was given.
        path: What `find` has found.
    """
    name = os.fspath(source)
    if path.is_dir() and "adapter" in formats_of(path):
        from llama_tutorial.checkpoints.adapter import base_of

        name = base_of(path)
    return "float32" if name in SHIPPED else None


def find(
    source: str | os.PathLike[str],
    filename: str | None = None,
    tokenizer: str | os.PathLike[str] | None = None,
    *,
    needs_tokenizer: bool = True,
) -> tuple[Path, Path | None]:
    """Where a checkpoint lies, and its tokenizer, if one was given or comes with it.

    What is on the hub is downloaded. Arguments and errors as in `load`; without ``needs_tokenizer``
    a file of the hub that comes without one is downloaded too.
    """
    name = os.fspath(source)
    given = None if tokenizer is None else _tokenizer_path(os.fspath(tokenizer))
    if name in SHIPPED:
        if filename is not None:
            raise ValueError(f"filename={filename!r}: {name!r} comes with the package, as one file")
        return SHIPPED[name].model, given or SHIPPED[name].tokenizer
    repository = SHORT_NAMES.get(name, name)
    if filename is not None and not kind_of(name) and is_hub_id(repository):
        return _download(repository, filename, given, needs_tokenizer)
    path = locate(name)
    path = path if filename is None else path / filename
    return path, given or _tokenizer_in(path)


def read_tokenizer(path: Path | None, model: Path) -> AnyTokenizer:
    """The tokenizer at ``path``, which `find` has found with ``model``.

    Raises:
        FileNotFoundError: It is not there.
        ValueError: There is none, or it cannot be read.
    """
    if path is None:
        raise ValueError(
            f"{model} comes without a tokenizer: give one with tokenizer= (on the command line, "
            "--tokenizer), a SentencePiece .model or a llama2.c tokenizer.bin"
        )
    if path.suffix == ".json":  # GPT-2's, perhaps in two files
        return GPT2Tokenizer.from_folder(path.parent)
    return load_tokenizer(path)


def check_tokenizer_matches(tokenizer: AnyTokenizer, config: ModelConfig) -> None:
    """Raise a ValueError unless a tokenizer has as many pieces as the model has embeddings."""
    if tokenizer.vocab_size != config.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size} pieces, the model has {config.vocab_size}: "
            "they do not belong together; give the model's own with tokenizer= (on the command "
            "line, --tokenizer)"
        )


def leave_out_padding(model: Transformer | NumpyLlama, n_pieces: int) -> None:
    """Cut the vocabulary to its first ``n_pieces`` ids, in place; nothing is copied."""
    if n_pieces == model.config.vocab_size:
        return
    model.config = model.config.replace(vocab_size=n_pieces)
    embedding: Any = model.tok_embeddings
    head: Any = model.output
    if isinstance(embedding, np.ndarray | PackedMatrix):
        model.tok_embeddings, model.output = embedding[:n_pieces], head[:n_pieces]
        return
    from torch import nn

    from llama_tutorial.quantization.linear import PackedLayer

    if isinstance(embedding, PackedLayer):
        embedding.keep_rows(n_pieces)
    else:
        embedding.num_embeddings = n_pieces
        embedding.weight = nn.Parameter(embedding.weight.detach()[:n_pieces])
    if isinstance(head, PackedLayer):
        head.keep_rows(n_pieces)
    elif not model.config.tie_embeddings:
        head.out_features = n_pieces
        head.weight = nn.Parameter(head.weight.detach()[:n_pieces])


def _tokenizer_in(path: Path) -> Path | None:
    """The tokenizer of a checkpoint's folder. Meta's download has one for all, a folder above."""
    if not path.is_dir():
        if is_gguf(path):
            return path if has_vocabulary(read_header(path).metadata) else None
        beside = llama2c_tokenizer(path)
        return beside if beside.is_file() else None
    folders = [path, path.absolute().parent] if (path / PARAMS).is_file() else [path]
    places = (folder / name for folder in folders for name in _TOKENIZERS)
    found = next((place for place in places if place.is_file()), None)
    if found is None and "adapter" in formats_of(path):  # a LoRA adapter: its base's
        from llama_tutorial.checkpoints.adapter import base_of

        return find(base_of(path))[1]
    return found


def llama2c_tokenizer(path: Path) -> Path:
    """Where `llama-tutorial convert` puts the tokenizer of a file of llama2.c's: beside it."""
    return path.with_name(f"{path.stem}.tokenizer.bin")


def _tokenizer_path(tokenizer: str) -> Path:
    """The path of a tokenizer that was given: a shipped model's, or a repository's, or a file."""
    if tokenizer in SHIPPED and not kind_of(tokenizer):
        return SHIPPED[tokenizer].tokenizer
    if not kind_of(tokenizer) and is_hub_id(tokenizer):
        return download_file(tokenizer, "tokenizer.model")
    return Path(tokenizer)


def _download(
    repository: str, filename: str, tokenizer: Path | None, needs_tokenizer: bool
) -> tuple[Path, Path | None]:
    """One file of a repository, and the tokenizer: the one that was given, or a known one."""
    if filename.endswith(".gguf"):
        return _download_gguf(repository, filename, tokenizer)
    companion = _COMPANIONS.get((repository, filename))
    if tokenizer is None and companion is None and needs_tokenizer:
        # said before a download that would be for nothing
        raise ValueError(
            f"{filename} of {repository} comes without a tokenizer: "
            f"{_ELSEWHERE.get(repository, '')}give its path with tokenizer= (on the command line, "
            "--tokenizer)"
        )
    path = download_file(repository, filename)
    if tokenizer is None and companion is not None:
        tokenizer = download_file(repository, companion)
    return path, tokenizer


def _download_gguf(
    repository: str, filename: str, tokenizer: Path | None
) -> tuple[Path, Path | None]:
    """A GGUF file, all its parts if there are several; the tokenizer is in it."""
    folder, slash, name = filename.rpartition("/")
    names = [f"{folder}{slash}{part}" for part in parts_of(Path(name))]
    paths = {part: download_file(repository, part) for part in names}
    path = paths.get(filename) or download_file(repository, filename)
    return path, tokenizer or _tokenizer_in(path)
