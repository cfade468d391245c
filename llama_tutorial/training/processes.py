"""Several processes that work as one: one for each GPU, started by PyTorch's ``torchrun``.

::

    torchrun --nproc-per-node 8 -m llama_tutorial pretrain --device cuda --out runs/mine
    torchrun --nproc-per-node 2 -m llama_tutorial generate --device cuda --checkpoint path

Every process runs the same program from beginning to end, and they meet where one needs what the
others have. `joined` lets them know each other and gives each its GPU; whatever else is here also
works in a program that nobody started with torchrun, and then does nothing.

The processes must go the same way, or one waits for the others for ever: the same steps in the same
order, the same seeds, and what one alone notices (a signal) it has to tell (`anywhere`).

Read next: :mod:`llama_tutorial.training.sharding`, training on all of them;
:mod:`llama_tutorial.training.tensor_parallel`, generation.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

# One process may tokenise a corpus while the others wait. Whether one has died is not found out by
# waiting: torchrun notices at once, and ends all.
PATIENCE = timedelta(days=1)


@contextmanager
def joined(device: torch.device | str) -> Iterator[torch.device]:
    """All processes of a ``torchrun``, as one group while the block lasts.

    The first of them speaks: what the others print is dropped.

    Args:
        device: ``"cuda"``, and every process gets the GPU of its number, or ``"cpu"``.

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
        "nccl" if on_gpu else "gloo", timeout=PATIENCE, device_id=device if on_gpu else None
    )
    try:
        with contextlib.nullcontext() if is_first() else _silence():
            yield device
    finally:
        dist.destroy_process_group()


def n_processes() -> int:
    """How many there are; 1 outside of `joined`."""
    return dist.get_world_size() if _in_a_group() else 1


def rank() -> int:
    """The number of this one, from 0 on."""
    return dist.get_rank() if _in_a_group() else 0


def is_first() -> bool:
    """Whether this one writes the files and the text."""
    return rank() == 0


def group_device() -> torch.device:
    """Where this process's tensors must lie for the others to be reached."""
    on_gpu = _in_a_group() and dist.get_backend() == "nccl"
    return torch.device("cuda", torch.cuda.current_device()) if on_gpu else torch.device("cpu")


def loading_device(device: torch.device) -> torch.device:
    """Where to make a model that shall be trained on ``device``.

    There, if this process is alone. Among several, on the CPU: sharding takes the weights to the
    GPU layer by layer, so that no GPU has to hold them all.
    """
    return device if n_processes() == 1 else torch.device("cpu")


def total(number: float | int) -> float | int:
    """The sum of what all processes give, which all get."""
    if n_processes() == 1:
        return number
    summed = torch.tensor(number, dtype=torch.float64, device=group_device())
    dist.all_reduce(summed)
    return float(summed)


def anywhere(flag: bool) -> bool:
    """Whether it is true in any process: so all decide alike."""
    return total(int(flag)) > 0


def agreed(value: Any) -> Any:
    """What the first process gives, for all."""
    if n_processes() == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0, device=group_device())
    return values[0]


def wait() -> None:
    """Go on when every process has come here."""
    if n_processes() > 1:
        dist.barrier()


@contextmanager
def first_goes_first() -> Iterator[None]:
    """Let the first process run the block, and then the others: they find what it has made."""
    if not is_first():
        wait()
    yield
    if is_first():
        wait()


def _in_a_group() -> bool:
    return dist.is_available() and dist.is_initialized()


def _own_device(device: torch.device) -> torch.device:
    if device.type != "cuda":
        return device
    if device.index is not None:
        raise ValueError(f"--device {device}: every process gets a GPU of its own; write cuda")
    number, there = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
    if number >= there:
        raise ValueError(
            f"process {number + 1} of this machine has no GPU of its own: there are {there}; "
            f"start at most so many (--nproc-per-node {there})"
        )
    return torch.device("cuda", number)


@contextmanager
def _silence() -> Iterator[None]:
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        yield
