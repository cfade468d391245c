"""``llama-tutorial convert``: a checkpoint in another format."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path

import torch

from llama_tutorial._util.gguf_file import is_gguf
from llama_tutorial._util.given_file import kind_of
from llama_tutorial._util.terminal import printable
from llama_tutorial.checkpoints import load_model, save_model
from llama_tutorial.cli.options import for_shell
from llama_tutorial.cli.parser import CHAT_MODEL
from llama_tutorial.hub import find, llama2c_tokenizer, read_tokenizer
from llama_tutorial.numpy_llama import llama2c
from llama_tutorial.tokenizer.base import BaseTokenizer
from llama_tutorial.tokenizer.bpe import BPETokenizer

_BLOCKS = {"int8": "q8_0", "int4": "q4_0"}
_PROGRAMS = {"llama2c": "run", "llama2c-int8": "runq"}


def run(arguments: argparse.Namespace) -> None:
    """Read, write, and print the names of the files that were written."""
    if not arguments.output:
        raise ValueError("OUTPUT is empty: name the file or folder to write")
    output, beside = Path(arguments.output), arguments.format.startswith("llama2c")
    if arguments.quantize is not None and arguments.format not in ("native", "gguf"):
        raise ValueError(
            f"--quantize {arguments.quantize}: only --format native and gguf hold what it packs; "
            "llama2c-int8 rounds by itself"
        )
    native, blocks = arguments.quantize, None
    if arguments.format == "gguf":  # whose own names for the two forms are q8_0 and q4_0
        native, blocks = None, _BLOCKS.get(arguments.quantize, arguments.quantize)
    elif native in _BLOCKS.values():
        raise ValueError(f"--quantize {native} is a form of --format gguf alone; int8, int4")
    places = [output, llama2c_tokenizer(output)] if beside else [output]
    if not arguments.force and (there := next(filter(_holds_something, places), None)):
        raise ValueError(f"{there} is there already: --force replaces it, or give another name")
    for place in filter(Path.is_file, places):
        _check_replaceable(place, output, arguments.format)
    path, pieces = find(
        arguments.input, arguments.filename, arguments.tokenizer, needs_tokenizer=False
    )
    tokenizer = read_tokenizer(pieces, path) if pieces else None
    dtype = None if arguments.dtype is None else getattr(torch, arguments.dtype)
    save_model(
        load_model(path, dtype=dtype, quantize=native),
        output,
        arguments.format,
        tokenizer=None if beside else tokenizer,
        group_size=arguments.group_size,
        shards=arguments.shards,
        chat_template=arguments.chat_template
        or (arguments.input == CHAT_MODEL and arguments.format in ("huggingface", "gguf")),
        quantize=blocks,
    )
    files = sorted(output.iterdir()) if output.is_dir() else [output]
    if beside and isinstance(tokenizer, BaseTokenizer):
        try:
            tokenizer.save_tokenizer_bin(llama2c_tokenizer(output))
            files.append(llama2c_tokenizer(output))
        except ValueError as error:
            print(f"The tokenizer is not written: {for_shell(str(error), arguments)}")
    for file in files:
        print(f"{file.stat().st_size:>15,} bytes  {printable(str(file))}")
    if len(files) == 2 and arguments.format in _PROGRAMS:
        names = [shlex.quote(printable(str(file))) for file in files]
        print(f"For llama2.c: ./{_PROGRAMS[arguments.format]} {names[0]} -z {names[1]}")
    if arguments.format == "gguf" and tokenizer is not None:
        print(f"For llama.cpp: llama-completion -m {shlex.quote(printable(str(output)))}")


def _check_replaceable(place: Path, output: Path, format: str) -> None:
    """Raise a ValueError where --force would replace a file that this command does not write."""
    if not place.stat().st_size or (format == "gguf" and is_gguf(place)):
        return
    kind = "llama2.c checkpoint" if place == output else "tokenizer.bin"
    try:
        if format == "gguf":
            kind = "GGUF file"
            raise ValueError
        llama2c.read(place) if place == output else BPETokenizer.from_file(place)
    except ValueError:
        raise ValueError(
            f"{place} is there already and no {kind}, and --force replaces nothing else: give "
            "another name"
        ) from None


def _holds_something(path: Path) -> bool:
    """Whether there is a file, or a folder that is not empty."""
    return any(path.iterdir()) if kind_of(path) == "folder" else bool(kind_of(path))
