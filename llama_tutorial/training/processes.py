"""Several processes that work as one: one for each GPU, started by PyTorch's ``torchrun``.

::

    torchrun --nproc-per-node 8 -m llama_tutorial pretrain --device cuda --out runs/mine
    torchrun --nproc-per-node 2 -m llama_tutorial generate --device cuda --model path

Every process runs the same program from beginning to end; they meet where one needs what the others
have. `process_group` connects them and gives each its GPU. Everything else here also works without
torchrun, in one process, and then does nothing.

All processes must make the same calls in the same order, or one waits forever for the others: the
same steps, the same seeds; and what one alone notices (a signal) it must tell the others
(`any_rank`).
"""

from __future__ import annotations

import contextlib
import os
import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist

# One process may tokenize a corpus while the others wait. A process that dies is not found by this
# timeout: torchrun notices at once, and ends them all.
TIMEOUT = timedelta(days=1)

T = TypeVar("T")


@contextmanager
def process_group(device: torch.device | str) -> Iterator[torch.device]:
    """Connect all processes of a ``torchrun`` while the block lasts.

    Only rank 0 prints: what the others write to standard output is dropped.

    Args:
        device: ``"cuda"``, which gives every process the GPU of its local rank, or ``"cpu"``.

    Yields:
        This process's own device. In a program without torchrun, ``device``.

    Raises:
        ValueError: ``device`` names one GPU for all, or there are more processes than GPUs.
    """
    device = torch.device(device)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield device
        return
    device = _own_device(device)
    on_gpu = device.type == "cuda"
    if on_gpu:
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if on_gpu else "gloo", timeout=TIMEOUT, device_id=device if on_gpu else None
    )
    try:
        with contextlib.nullcontext() if is_rank0() else _no_stdout():
            yield device
    finally:
        dist.destroy_process_group()


def world_size() -> int:
    """The number of processes; 1 outside of `process_group`."""
    return dist.get_world_size() if _has_group() else 1


def rank() -> int:
    """The number of this process, from 0 on."""
    return dist.get_rank() if _has_group() else 0


def is_rank0() -> bool:
    """Whether this process is the one that writes files and text."""
    return rank() == 0


def group_device() -> torch.device:
    """The device on which tensors must be to be sent to the other processes."""
    on_gpu = _has_group() and dist.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")


def loading_device(device: torch.device) -> torch.device:
    """The device to create a model on that will be trained on ``device``.

    In one process, ``device`` itself. In several, the CPU: sharding moves the weights to the GPU
    layer by layer, so that no GPU has to hold all of them.
    """
    return device if world_size() == 1 else torch.device("cpu")


def all_reduce_sum(number: float | int) -> float | int:
    """The sum of the numbers that all processes give; each gets it."""
    if world_size() == 1:
        return number
    summed = torch.tensor(number, dtype=torch.float64, device=group_device())
    dist.all_reduce(summed)
    return float(summed)


def sum_over_processes(tensor: torch.Tensor) -> torch.Tensor:
    """The sum of the tensors that all processes give, on the device of each process's own."""
    if world_size() == 1:
        return tensor
    summed = tensor.to(group_device())
    dist.all_reduce(summed)
    return summed.to(tensor.device)


def any_rank(flag: bool) -> bool:
    """Whether ``flag`` is true in any process: all of them get the same answer."""
    return all_reduce_sum(int(flag)) > 0


def broadcast(value: Any) -> Any:
    """Rank 0's value, in every process."""
    if world_size() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0, device=group_device())
    return values[0]


def barrier() -> None:
    """Wait until every process has reached this point."""
    if world_size() > 1:
        dist.barrier()


@contextmanager
def rank0_first() -> Iterator[None]:
    """Let rank 0 run the block first; the others run it afterwards and find what it has made.

    If it raises there, every process gets the error, and the others do not run it.
    """
    if not is_rank0():
        if (error := broadcast(None)) is not None:
            raise error
        yield
        return
    error = None
    try:
        yield
    except BaseException as raised:
        error = _sendable(raised)
        raise
    finally:
        broadcast(error)


def of_rank0(function: Callable[[], T]) -> T:
    """What ``function`` returns in rank 0, the only one that calls it; or its error, in all."""
    value = None
    with rank0_first():
        if is_rank0():
            value = function()
    return broadcast(value)


def _sendable(error: BaseException) -> BaseException:
    """The error, or the same words where it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def _has_group() -> bool:
    return dist.is_available() and dist.is_initialized()


def _own_device(device: torch.device) -> torch.device:
    if device.type != "cuda":
        return device
    if device.index is not None:
        raise ValueError(f"--device {device}: every process gets a GPU of its own; write cuda")
    local_rank, n_gpus = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if local_rank >= n_gpus:
        raise ValueError(
            f"process {local_rank + 1} of this machine has no GPU of its own: there are {n_gpus}; "
            f"start at most {n_gpus} (--nproc-per-node {n_gpus})"
        )
    return torch.device("cuda", local_rank)


@contextmanager
def _no_stdout() -> Iterator[None]:
    with open(os.devnull, "w", encoding="utf-8") as null, contextlib.redirect_stdout(null):
        yield
