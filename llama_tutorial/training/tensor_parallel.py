"""Tensor parallel generation: each GPU holds a shard of every layer, and all compute each token.

For a model that one GPU cannot hold. Attention's heads and the feed-forward layer's inner features
know nothing of each other until ``wo`` and ``w2`` add them up, so each process takes some of them:

- ``wq``, ``wk``, ``wv``, ``w1`` and ``w3`` are split by rows: a process gets whole heads, and whole
  inner features;
- ``wo`` and ``w2`` by columns, those that multiply what it has; the products are summed over the
  processes, two sums a layer;
- the embedding and the output head by the vocabulary. One matrix for both stays whole.

The splitting and the sums are PyTorch's (``torch.distributed.tensor.parallel``). Every process then
has the same logits and, with the same seed, draws the same token.

Source: Shoeybi et al. (2019), "Megatron-LM".
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from llama_tutorial._util.progress import progress
from llama_tutorial.checkpoints import open_checkpoint
from llama_tutorial.checkpoints.weights import check_floating, dtype_name, empty_model
from llama_tutorial.config import ModelConfig
from llama_tutorial.model import Transformer
from llama_tutorial.training.processes import group_device, world_size

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh
    from torch.distributed.tensor import DTensor


def load_shard(path: str | os.PathLike[str], *, dtype: torch.dtype | None = None) -> Transformer:
    """The shard of a model that this process holds, from a file or a folder; on its device.

    No process ever holds the model: tensors are read one after the other, and of each the process
    keeps its part. (A file that is mapped into memory is not even read beyond it.)

    Args:
        path: As :func:`llama_tutorial.checkpoints.load_model`.
        dtype: Of the weights; None keeps the file's.

    Raises:
        FileNotFoundError, ValueError: As `load_model` does; or the model cannot be split over so
            many processes.
    """
    from torch.distributed.device_mesh import init_device_mesh

    with open_checkpoint(path) as checkpoint:
        check_divisible(checkpoint.config, world_size())
        model, shards = empty_model(checkpoint.config), {}
        mesh = init_device_mesh(group_device().type, (world_size(),))
        parallelize(model, mesh)
        wanted = model.state_dict()
        bar = {"total": len(wanted), "delay": 1, "leave": False}
        for name, tensor in progress(checkpoint.tensors(), "loading", **bar):
            check_floating(name, tensor, checkpoint.source)
            tensor = checkpoint.finish(name, tensor.to(dtype or tensor.dtype))
            shards[name] = _local(tensor, wanted[name])
        if len(found := sorted({dtype_name(shard) for shard in shards.values()})) > 1:
            raise ValueError(f"{path}: the weights are {' and '.join(found)}; choose one (--dtype)")
        model.load_state_dict(shards, assign=True)
    return model.eval()


def check_divisible(config: ModelConfig, n: int) -> None:
    """Raise a ValueError unless the model's layers split evenly over ``n`` processes."""
    for name in ("n_kv_heads", "hidden_dim"):
        if (size := getattr(config, name)) % n:
            raise ValueError(
                f"{n} processes cannot share this model: its {name} of {size} must be a multiple "
                f"of their number; start fewer of them (--nproc-per-node)"
            )


def parallelize(model: Transformer, mesh: DeviceMesh) -> None:
    """Leave this process its shard of every layer, in place.

    Args:
        model: The same in every process, or without weights (on "meta").
        mesh: All processes, in one row.

    Raises:
        ValueError: The model cannot be split over so many.
    """
    from torch.distributed.tensor import Replicate
    from torch.distributed.tensor.parallel import (
        ColwiseParallel,
        ParallelStyle,
        RowwiseParallel,
        parallelize_module,
    )

    check_divisible(model.config, mesh.size())
    rows, columns = ColwiseParallel, RowwiseParallel  # named after the transposed matrix
    layer_plan: dict[str, ParallelStyle]
    layer_plan = {f"attention.{name}": rows() for name in ("wq", "wk", "wv")}
    layer_plan |= {f"feed_forward.{name}": rows() for name in ("w1", "w3")}
    layer_plan |= {"attention.wo": columns(), "feed_forward.w2": columns()}
    if model.config.feed_forward == "gelu":
        del layer_plan["feed_forward.w3"]
    layer: Any
    for layer in model.layers:
        parallelize_module(layer, mesh, layer_plan)
        layer.attention.n_kv_heads //= mesh.size()
    if not model.config.tie_embeddings:
        ends: dict[str, ParallelStyle]
        ends = {
            "tok_embeddings": columns(input_layouts=Replicate()),
            "output": rows(output_layouts=Replicate()),
        }
        parallelize_module(model, mesh, ends)


def _local(tensor: Tensor, wanted: Tensor) -> Tensor | DTensor:
    """The part of ``tensor`` that this process holds, cut as ``wanted`` is; always a copy."""
    from torch.distributed.tensor import DTensor, Shard

    device = group_device()
    if not isinstance(wanted, DTensor):
        return tensor.to(device, copy=True)
    (placement,), mesh = wanted.placements, wanted.device_mesh
    part = tensor
    if isinstance(placement, Shard):
        parts = tensor.chunk(mesh.size(), placement.dim)
        here = mesh.get_local_rank()
        empty = tensor.narrow(placement.dim, 0, 0)
        part = parts[here] if here < len(parts) else empty
    part = part.to(device, copy=True, memory_format=torch.contiguous_format)
    return DTensor.from_local(
        part, mesh, [placement], run_check=False, shape=wanted.shape, stride=wanted.stride()
    )
