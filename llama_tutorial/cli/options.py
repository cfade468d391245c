"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llama_tutorial.tokenizer.base import BaseTokenizer


def add_device(command: Any) -> None:
    """Add ``--device``."""
    command.add_argument("--device", default="cpu", help="cpu, cuda, cuda:1, ...")


def parse_device(name: str) -> Any:
    """The torch device of that name; a ValueError where it cannot be used."""
    import torch

    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"--device {name}: cannot be used here: {reason}") from None
    return device


def add_filename(command: Any) -> None:
    """Add ``--filename``."""
    command.add_argument(
        "--filename", help="the checkpoint's name in a folder or repository of several"
    )


def add_engine(command: Any) -> None:
    """Add ``--filename``, ``--tokenizer``, ``--engine``, ``--device`` and ``--dtype``."""
    add_filename(command)
    command.add_argument("--tokenizer", help="its tokenizer; by default the one that comes with it")
    command.add_argument(
        "--engine",
        choices=["torch", "numpy"],
        default="torch",
        help="numpy needs no torch, and takes llama2.c's files",
    )
    add_device(command)
    command.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], help="of the model")


def load_engine(source: str, arguments: argparse.Namespace) -> tuple[Any, BaseTokenizer]:
    """The model, a Transformer or a NumpyLlama, and its tokenizer."""
    from llama_tutorial import hub

    given = {"source": source, "filename": arguments.filename, "tokenizer": arguments.tokenizer}
    if arguments.engine == "numpy":
        if arguments.dtype not in (None, "float32") or arguments.device != "cpu":
            raise ValueError(
                f"--engine numpy computes in float32 on the CPU, not with --dtype {arguments.dtype}"
                f" --device {arguments.device}; leave both out"
            )
        return hub.load_numpy(**given)
    try:
        import torch
    except ModuleNotFoundError:
        raise ImportError(
            "--engine torch needs torch: pip install 'llama-tutorial[torch]', or take "
            "--engine numpy"
        ) from None
    dtype = None if arguments.dtype is None else getattr(torch, arguments.dtype)
    from llama_tutorial.training.processes import world_size

    if world_size() > 1:
        from llama_tutorial.training.tensor_parallel import load_share

        return hub.load_with(partial(load_share, dtype=dtype), **given)
    return hub.load(**given, dtype=dtype, device=parse_device(arguments.device))


@contextmanager
def joined_engine(arguments: argparse.Namespace) -> Iterator[None]:
    """Let the processes of a ``torchrun`` share the model, and draw alike; alone, do nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if arguments.engine == "numpy":
        raise ValueError("--engine numpy is one process's; start it without torchrun")
    import torch

    from llama_tutorial.training.processes import broadcast, process_group

    with process_group(parse_device(arguments.device)):
        if arguments.seed is None:
            arguments.seed = broadcast(torch.seed() % 2**31)
        yield


def add_sampling(command: Any) -> None:
    """Add the options that say how the next token is chosen, and when to end."""
    command.add_argument("--max-new-tokens", type=int, help="default: up to the context's end")
    command.add_argument("--temperature", type=float, default=0.6, help="0: the likeliest token")
    command.add_argument("--top-k", type=int, help="draw from the K likeliest only")
    command.add_argument("--top-p", type=float, default=0.9, help="draw from this share; 1: all")
    command.add_argument("--seed", type=int, help="the same seed gives the same text")


def sampling(arguments: argparse.Namespace) -> dict[str, Any]:
    """Those options as keyword arguments of both engines, checked; without the last token's."""
    from llama_tutorial._util.generation_settings import check_sampling

    chosen = {name: getattr(arguments, name) for name in ("temperature", "top_k", "top_p")}
    check_sampling(**chosen)
    return {**chosen, "seed": arguments.seed}
