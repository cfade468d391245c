"""``llama-tutorial convert``: a checkpoint in another format."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from llama_tutorial.checkpoints import FORMATS
from llama_tutorial.cli.options import add_filename


def add(commands: Any) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "convert",
        help="write a checkpoint in another format",
        description="Formats: native (holds every model), huggingface (a folder that transformers "
        "opens), meta (params.json and consolidated.*.pth), llama2c (float32, for llama2.c's run), "
        "llama2c-v1, llama2c-int8 (for its runq).",
    )
    command.set_defaults(run=run)
    command.add_argument(
        "input", help="a model that comes with the package, a file or folder, or a hub repository"
    )
    command.add_argument("output", help="the folder to write; for llama2.c's formats the file")
    command.add_argument("--format", choices=FORMATS, default="native", help="default: native")
    add_filename(command)
    command.add_argument("--dtype", choices=["float32", "bfloat16", "float16"], help="of the model")
    command.add_argument("--tokenizer", help="to store in OUTPUT; by default the one beside INPUT")
    command.add_argument("--shards", type=int, default=1, help="files that meta is cut into")
    command.add_argument(
        "--group-size", type=int, default=64, help="weights that share a scale in llama2c-int8"
    )


def run(arguments: argparse.Namespace) -> None:
    """Read, write, and say what was written."""
    import torch

    from llama_tutorial.checkpoints import load_model, save_model
    from llama_tutorial.hub import find, read_tokenizer

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
        print(f"{file.stat().st_size:>15,} bytes  {file}")
