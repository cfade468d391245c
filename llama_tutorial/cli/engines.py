"""The engine, the device and the sampling that a command's options ask for.

With ``--engine numpy`` nothing here imports torch.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from llama_tutorial._util.generation_settings import check_sampling
from llama_tutorial.tokenizer.base import BaseTokenizer
from llama_tutorial.tokenizer.gpt2 import GPT2Tokenizer
from llama_tutorial.tokenizer.stop_strings import StopStrings

if TYPE_CHECKING:
    import torch


def parse_device(name: str) -> torch.device:
    """The torch device of this name; a ValueError where it cannot be used."""
    from llama_tutorial._util.torch_names import as_device

    device = as_device(name)
    if device.type == "meta":
        raise ValueError("--device meta: it holds shapes and no numbers; take cpu or cuda")
    return device


def load_engine(
    source: str, arguments: argparse.Namespace
) -> tuple[Any, BaseTokenizer | GPT2Tokenizer]:
    """The model, a Transformer or a NumpyLlama, and its tokenizer."""
    from llama_tutorial import hub

    given = {"source": source, "filename": arguments.filename, "tokenizer": arguments.tokenizer}
    quantize = arguments.quantize
    if arguments.engine == "numpy":
        if arguments.dtype not in (None, "float32") or arguments.device != "cpu":
            precision = (
                "" if arguments.dtype in (None, "float32") else f" --dtype {arguments.dtype}"
            )
            device = "" if arguments.device == "cpu" else f" --device {arguments.device}"
            raise ValueError(
                f"--engine numpy computes in float32 on the CPU, not with{precision}{device}; "
                f"leave {'both' if precision and device else 'it'} out"
            )
        return hub.load(**given, engine="numpy", quantize=quantize)
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
        from llama_tutorial.training.tensor_parallel import load_shard

        if quantize is not None:
            raise ValueError(
                f"--quantize {quantize}: processes of a torchrun share floating weights; leave it "
                "out, or start one process"
            )
        path, tokenizer_path = hub.find(**given)
        dtype = hub.default_dtype(source, path) if dtype is None else dtype
        tokenizer, model = hub.read_tokenizer(tokenizer_path, path), load_shard(path, dtype=dtype)
        hub.check_tokenizer_matches(tokenizer, model.config)
        return model, tokenizer
    place = parse_device(arguments.device)
    return hub.load(**given, dtype=dtype, device=place, quantize=quantize)


@contextmanager
def engine_processes(arguments: argparse.Namespace) -> Iterator[None]:
    """Connect the processes of a ``torchrun`` and give them one seed; without it, do nothing."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    if arguments.engine == "numpy":
        raise ValueError("--engine numpy works in one process only; start it without torchrun")
    import torch

    from llama_tutorial.training.processes import broadcast, process_group

    with process_group(parse_device(arguments.device)):
        if getattr(arguments, "seed", 0) is None:
            arguments.seed = broadcast(torch.seed() % 2**31)
        yield


def sampling(arguments: argparse.Namespace) -> dict[str, Any]:
    """The sampling options as keyword arguments of both engines, checked, --stop as well."""
    names = ("temperature", "top_k", "top_p", "min_p", "repetition_penalty")
    chosen = {name: getattr(arguments, name) for name in names}
    check_sampling(**chosen, max_new_tokens=arguments.max_new_tokens or 0)
    StopStrings(arguments.stop_strings)
    return {**chosen, "seed": arguments.seed}
