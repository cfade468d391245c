"""``llama-tutorial convert``: a checkpoint in another format."""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from llama_tutorial._util.terminal import printable
from llama_tutorial.checkpoints import load_model, save_model
from llama_tutorial.hub import find, read_tokenizer


def run(arguments: argparse.Namespace) -> None:
    """Read, write, and print the names of the files that were written."""
    holds_tokenizer = not arguments.format.startswith("llama2c")
    if arguments.tokenizer and not holds_tokenizer:
        raise ValueError(
            f"--tokenizer: format {arguments.format} holds none; it is a file of its own there"
        )
    path, pieces = find(
        arguments.input, arguments.filename, arguments.tokenizer, needs_tokenizer=False
    )
    tokenizer = read_tokenizer(pieces, path) if pieces and holds_tokenizer else None
    dtype = None if arguments.dtype is None else getattr(torch, arguments.dtype)
    save_model(
        load_model(path, dtype=dtype),
        arguments.output,
        arguments.format,
        tokenizer=tokenizer,
        group_size=arguments.group_size,
        shards=arguments.shards,
    )
    output = Path(arguments.output)
    files = sorted(output.iterdir()) if output.is_dir() else [output]
    for file in files:
        print(f"{file.stat().st_size:>15,} bytes  {printable(str(file))}")
