"""``llama-tutorial generate``: continue a text."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llama_tutorial.cli.options import add_device, parse_device

if TYPE_CHECKING:
    from llama_tutorial.tokenizer_base import BaseTokenizer


def add(commands: Any) -> None:
    """Add the command and its options."""
    command = commands.add_parser("generate", help="continue a text")
    command.set_defaults(run=run)
    command.add_argument(
        "--checkpoint",
        default="tales",
        help="a model that comes with the package, or one's file or folder",
    )
    command.add_argument("--tokenizer", help="its tokenizer; by default the one that comes with it")
    command.add_argument("--prompt", default="", help="the text to continue; empty: begin anew")
    command.add_argument("--max-new-tokens", type=int, help="default: up to the context's end")
    command.add_argument("--temperature", type=float, default=0.6, help="0: the likeliest token")
    command.add_argument("--top-k", type=int, help="draw from the K likeliest only")
    command.add_argument("--top-p", type=float, default=0.9, help="draw from this share; 1: all")
    command.add_argument("--seed", type=int, help="the same seed gives the same text")
    command.add_argument(
        "--engine",
        choices=["torch", "numpy"],
        default="torch",
        help="numpy needs no torch, and takes llama2.c's files",
    )
    add_device(command)
    command.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], help="of the model")


def run(arguments: argparse.Namespace) -> None:
    """Print the prompt and what the model makes of it, piece by piece."""
    from llama_tutorial.generation_settings import check_sampling

    check_sampling(arguments.temperature, arguments.top_k, arguments.top_p)
    model, tokenizer = _load(arguments)
    prompt = tokenizer.encode(arguments.prompt, bos=True)
    ids = _stream(arguments, model, tokenizer, prompt)
    decoder = tokenizer.stream_decoder()
    for token in prompt:
        print(decoder.feed(token), end="")
    for token in ids:
        print(decoder.feed(token), end="", flush=True)
    print(decoder.flush())


def _load(arguments: argparse.Namespace) -> tuple[Any, BaseTokenizer]:
    """The model, a Transformer or a NumpyLlama, and its tokenizer."""
    from llama_tutorial import hub

    given = {"source": arguments.checkpoint, "tokenizer": arguments.tokenizer}
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
    return hub.load(**given, dtype=dtype, device=parse_device(arguments.device))


def _stream(
    arguments: argparse.Namespace, model: Any, tokenizer: BaseTokenizer, prompt: list[int]
) -> Iterator[int]:
    """The new ids, one at a time."""
    room = model.config.max_seq_len - len(prompt)
    new_tokens = max(room, 0) if arguments.max_new_tokens is None else arguments.max_new_tokens
    settings = {
        "temperature": arguments.temperature,
        "top_k": arguments.top_k,
        "top_p": arguments.top_p,
        "seed": arguments.seed,
        # llama2.c's models were trained on stories that begin with BOS and have no EOS.
        "stop_ids": {tokenizer.eos_id, tokenizer.bos_id},
    }
    if arguments.engine == "numpy":
        return model.generate(prompt, new_tokens, **settings)
    from llama_tutorial.generation import stream

    return stream(model, prompt, new_tokens, **settings)
