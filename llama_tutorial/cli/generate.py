"""``llama-tutorial generate``: continue a text."""

from __future__ import annotations

import argparse
from typing import Any

from llama_tutorial.cli.options import (
    add_engine,
    add_sampling,
    joined_engine,
    load_engine,
    sampling,
)


def add(commands: Any) -> None:
    """Add the command and its options."""
    command = commands.add_parser("generate", help="continue a text")
    command.set_defaults(run=run)
    command.add_argument(
        "--checkpoint",
        default="tales",
        help="a model that comes with the package, one's file or folder, or a hub repository",
    )
    command.add_argument("--prompt", default="", help="the text to continue; empty: begin anew")
    add_sampling(command)
    add_engine(command)


def run(arguments: argparse.Namespace) -> None:
    """Print the prompt and what the model makes of it, piece by piece."""
    with joined_engine(arguments):
        _run(arguments)


def _run(arguments: argparse.Namespace) -> None:
    settings = sampling(arguments)
    model, tokenizer = load_engine(arguments.checkpoint, arguments)
    prompt = tokenizer.encode(arguments.prompt, bos=True)
    # llama2.c's models were trained on stories that begin with BOS and have no EOS.
    settings["stop_ids"] = {tokenizer.eos_id, tokenizer.bos_id}
    room = max(model.config.max_seq_len - len(prompt), 0)
    new_tokens = room if arguments.max_new_tokens is None else arguments.max_new_tokens
    if arguments.engine == "numpy":
        ids = model.stream(prompt, new_tokens, **settings)
    else:
        from llama_tutorial.generation import stream

        ids = stream(model, prompt, new_tokens, **settings)
    decoder = tokenizer.stream_decoder()
    for token in prompt:
        print(decoder.feed(token), end="")
    for token in ids:
        print(decoder.feed(token), end="", flush=True)
    print(decoder.flush())
