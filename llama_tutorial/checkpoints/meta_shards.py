"""How Meta cuts a model into shards, and the check that shards belong together.

A wrong axis gives matrices of the right size and a model that talks nonsense, and so do shards of
two models. Nothing in a shard says which model it is of. But every shard repeats the norms, so
these must be the same in all of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from llama_tutorial._util.tensor_check import check_names, check_shapes
from llama_tutorial.checkpoints.weight_files import Tensors

_COLUMNS = ("tok_embeddings", "wo", "w2")


def split_axis(name: str) -> int | None:
    """The axis along which a tensor is cut: 0, 1, or None for the norms, which are not."""
    layer = name.split(".")[-2]
    if layer.endswith("norm"):
        return None
    return 1 if layer in _COLUMNS else 0


def part(name: str, tensor: Tensor, number: int, count: int) -> Tensor:
    """What shard ``number`` of ``count`` holds of a tensor."""
    axis = split_axis(name)
    return tensor if axis is None else tensor.chunk(count, axis)[number]


def merged(name: str, parts: Sequence[Tensor]) -> Tensor:
    """The tensor of which the shards hold ``parts``; itself if there is one."""
    axis = split_axis(name)
    if axis is None or len(parts) == 1:
        return parts[0].contiguous()
    return torch.cat(list(parts), axis)


def check_shards(
    shards: Sequence[Tensors], paths: Sequence[Path], whole: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise a ValueError unless these are the shards of one model with tensors of these shapes."""
    for path, shard in zip(paths, shards, strict=True):
        what = f"{path} does not hold the model of params.json"
        check_names(shard.shapes, whole, what)
        _check_count(path, shard, whole, len(shards))
        expected = {name: _cut(name, shape, len(shards)) for name, shape in whole.items()}
        check_shapes(shard.shapes, expected, what)
    for path, shard in list(zip(paths, shards, strict=True))[1:]:
        _check_same_model(path, shard, paths[0], shards[0])


def _cut(name: str, shape: tuple[int, ...], count: int) -> tuple[int, ...]:
    axis = split_axis(name)
    return tuple(size // count if i == axis else size for i, size in enumerate(shape))


def _check_count(
    path: Path, shard: Tensors, whole: Mapping[str, tuple[int, ...]], count: int
) -> None:
    """Say it plainly where files are missing or too many: all matrices are then of another cut."""
    cuts = {
        shape[axis] / shard.shapes[name][axis]
        for name, shape in whole.items()
        if (axis := split_axis(name)) is not None
        and len(shard.shapes[name]) == 2
        and shard.shapes[name][axis]
    }
    if len(cuts) == 1 and (found := cuts.pop()) != count and found == int(found):
        raise ValueError(
            f"{path} holds one part in {int(found)} of each matrix, so it is one of "
            f"{int(found)} shards; the folder has {count}"
        )


def _check_same_model(path: Path, shard: Tensors, first_path: Path, first: Tensors) -> None:
    what = f"{path} does not belong to {first_path.name}"
    for name in first.shapes:
        ours, theirs = first.get(name), shard.get(name)
        if ours.dtype != theirs.dtype:
            raise ValueError(f"{what}: {name} is {ours.dtype} there and {theirs.dtype} here")
        if split_axis(name) is None and not torch.equal(ours, theirs):
            raise ValueError(f"{what}: {name}, which every shard repeats, differs")
    embedding = "tok_embeddings.weight"
    if torch.equal(first.get(embedding), shard.get(embedding)):
        raise ValueError(f"{what}: both hold the same part, so one is a copy of the other")
