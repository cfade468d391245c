"""Meta's own format: ``params.json`` and ``consolidated.00.pth``, ``.01.pth``, ...

7B is one file, 13B two, 70B eight: one for each GPU that Meta ran the model on. Every file has all
names, and of each matrix a part; the norms are in all of them. The parts go side by side again
along the axis on which they were cut::

    rows (0)      wq  wk  wv  w1  w3  output       each GPU computes some of the outputs
    columns (1)   wo  w2  tok_embeddings           each GPU takes some of the inputs

Parameters have the names that they have in this package, so one file loads as it is: mapped, not
read. Several are merged one tensor at a time, so that the memory of the process itself holds the
model and one tensor more; the pages of the files belong to the system, which takes them back where
memory is short. ``rope.freqs``, which follows from ``params.json``, is left out.

Source: ``model.py`` of meta-llama/llama, where ``ColumnParallelLinear`` cuts rows and
``RowParallelLinear`` columns.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llama_tutorial._util.files import replace_folder
from llama_tutorial._util.tensor_check import listed
from llama_tutorial.checkpoints.folders import (
    PARAMS,
    SHARDS,
    AnyTokenizer,
    check_replaceable,
    check_tokenizer,
    save_tokenizer,
    tokenizer_names,
)
from llama_tutorial.checkpoints.meta_params import (
    EXTRA,
    check_holdable,
    read_params,
    write_params,
)
from llama_tutorial.checkpoints.meta_shards import check_shards, merged, part
from llama_tutorial.checkpoints.torch_file import write_torch_file
from llama_tutorial.checkpoints.weight_files import Tensors, open_weights, tidied
from llama_tutorial.checkpoints.weights import Checkpoint, check_state, empty_model, shapes_of
from llama_tutorial.config import ModelConfig
from llama_tutorial.model import Transformer

_SHARD = re.compile(r"consolidated\.(\d\d)\.pth")
_EMBEDDING, _HEAD = "tok_embeddings.weight", "output.weight"


@contextmanager
def opened(folder: Path, params: dict[str, Any]) -> Iterator[Checkpoint]:
    """The checkpoint in a folder of Meta's, checked and not yet read.

    Args:
        folder: Where it lies.
        params: What its ``params.json`` says.

    Raises:
        FileNotFoundError: ``params.json`` or a shard is missing.
        ValueError: A file is damaged or holds more than tensors; the shards do not belong together;
            or they are not the model of ``params.json``.
    """
    paths = _shard_paths(folder)
    with ExitStack() as stack:
        shards = [
            tidied(stack.enter_context(open_weights(path)), _EMBEDDING, path) for path in paths
        ]
        embedding = shards[0].shapes.get(_EMBEDDING) or (1,)
        config = read_params(params, folder, vocab_size=embedding[0])
        what = f"{paths[0]} does not hold the model of {PARAMS}"
        model = empty_model(config, shards[0].shapes, what)
        # A tied head is there all the same, for Meta's code wants one.
        stored = shapes_of(model) | {_HEAD: tuple(model.tok_embeddings.weight.shape)}
        check_shards(shards, paths, stored)
        count = "1 shard" if len(paths) == 1 else f"{len(paths)} shards"
        tensors = _tied if model.config.tie_embeddings else _merged
        yield Checkpoint(
            folder,
            f"Meta, {count}",
            shards[0].dtypes(),
            model,
            lambda: tensors(shards, list(stored), folder),
        )


def save(
    model: Transformer,
    folder: str | os.PathLike[str],
    tokenizer: AnyTokenizer | None = None,
    shards: int = 1,
) -> None:
    """Write ``model`` as Meta's code reads it; the folder appears when it is complete.

    Args:
        model: A Llama without biases.
        folder: May be an older checkpoint of this format.
        tokenizer: Stored beside the weights.
        shards: Number of files to cut the matrices into.

    Raises:
        FileNotFoundError: The folder that it is to lie in does not exist.
        ValueError: Meta's format cannot hold the model or cut it into so many shards; ``folder``
            is something else, or holds a file that would be lost.
    """
    config, folder = model.config, Path(folder)
    check_holdable(config)
    _check_cut(config, shards)
    state = check_state(model)
    if config.tie_embeddings:
        state[_HEAD] = state[_EMBEDDING]
    check_tokenizer(tokenizer, config)
    names = [f"consolidated.{number:02}.pth" for number in range(shards)]
    new_names = {PARAMS, EXTRA, *names, *tokenizer_names(tokenizer)}
    old_names = {f"consolidated.{number:02}.pth" for number in _numbers(folder)}
    check_replaceable(folder, "meta", new_names | old_names, "Meta's format")
    with replace_folder(folder) as new:
        write_params(config, new)
        for number, name in enumerate(names):
            parts = {key: part(key, t, number, shards) for key, t in state.items()}
            write_torch_file(parts, new / name)
        if tokenizer is not None:
            save_tokenizer(tokenizer, new)


def _numbers(folder: Path) -> list[int]:
    matches = (_SHARD.fullmatch(path.name) for path in folder.glob(SHARDS))
    return sorted(int(match[1]) for match in matches if match)


def _shard_paths(folder: Path) -> list[Path]:
    numbers = _numbers(folder)
    if not numbers:
        raise FileNotFoundError(f"{folder} holds {PARAMS} and no weights: no consolidated.00.pth")
    missing = sorted(set(range(numbers[-1])) - set(numbers))
    if missing:
        names = listed([f"consolidated.{number:02}.pth" for number in missing])
        raise FileNotFoundError(
            f"{folder} lacks {names}: it holds consolidated.{numbers[-1]:02}.pth, and the shards "
            "are counted from 00"
        )
    return [folder / f"consolidated.{number:02}.pth" for number in numbers]


def _merged(shards: list[Tensors], names: list[str], _: Path) -> Iterator[tuple[str, Tensor]]:
    taken: set[int] = set()
    for name in names:
        parts = [shard.get(name) for shard in shards]
        tensor = merged(name, parts)
        if len(shards) == 1:  # two names for the same numbers in the file are two parameters still
            tensor = tensor.clone() if tensor.data_ptr() in taken else tensor
            taken.add(tensor.data_ptr())
        yield name, tensor


def _tied(shards: list[Tensors], names: list[str], folder: Path) -> Iterator[tuple[str, Tensor]]:
    """All but the output head, which is the embedding."""
    embedding, head = (
        merged(name, [shard.get(name) for shard in shards]) for name in (_EMBEDDING, _HEAD)
    )
    if not torch.equal(embedding, head):
        raise ValueError(
            f"{folder}: {EXTRA} says that {_HEAD} is {_EMBEDDING}, and the two differ; the files "
            "do not belong together"
        )
    yield from _merged(shards, [name for name in names if name != _HEAD], folder)


def _check_cut(config: ModelConfig, shards: int) -> None:
    if not 1 <= shards <= 99:
        raise ValueError(
            f"shards={shards}: must be between 1 and 99, for the names have two digits"
        )
    sizes = ("dim", "hidden_dim", "vocab_size", "n_heads", "n_kv_heads")
    bad = [f"{name}={getattr(config, name)}" for name in sizes if getattr(config, name) % shards]
    if bad:
        raise ValueError(
            f"shards={shards} does not divide {', '.join(bad)}: every shard gets as many"
        )
