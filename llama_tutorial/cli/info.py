"""``llama-tutorial info``: what a checkpoint holds, and what it costs."""

from __future__ import annotations

import argparse
from pathlib import Path

from llama_tutorial._util.terminal import bytes_in_words, one_line, printable
from llama_tutorial.checkpoints.download import is_hub_id
from llama_tutorial.cli.options import for_shell
from llama_tutorial.config import PRESETS, ModelConfig
from llama_tutorial.hub import find, read_tokenizer
from llama_tutorial.quantization import packed_bytes
from llama_tutorial.shipped import SHIPPED


def run(arguments: argparse.Namespace) -> None:
    """Print the configuration and its arithmetic."""
    if arguments.model and arguments.checkpoint:
        raise ValueError(
            f"--model {arguments.model}: {arguments.checkpoint} is given already; leave one out"
        )
    name, filename = arguments.model or arguments.checkpoint, arguments.filename
    if name is None:
        raise ValueError("info needs a model: llama-tutorial info tales")
    if name in PRESETS and filename is None:
        _print_info(f"preset {name}", PRESETS[name], {})
        return
    if not (name in SHIPPED or Path(name).exists() or is_hub_id(name)):
        names = ", ".join([*SHIPPED, *PRESETS])
        raise ValueError(f"{name}: no such file or folder, no model, no preset; those are {names}")
    from llama_tutorial.checkpoints import open_checkpoint  # needs torch, which a preset does not

    path, pieces = find(name, filename, needs_tokenizer=False)
    with open_checkpoint(path) as checkpoint:
        what = name if filename is None else f"{name}, {filename}"
        _print_info(
            f"{what}: {checkpoint.format}, {checkpoint.dtype}",
            checkpoint.config,
            {"on disk": _on_disk(path), "tokenizer": _tokenizer(pieces, path)},
        )


def _on_disk(path: Path) -> str:
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.is_file()]
    many = "" if len(files) == 1 else f" in {len(files)} files"
    return f"{sum(file.stat().st_size for file in files):,} bytes{many}"


def _tokenizer(pieces: Path | None, model: Path) -> str:
    """The tokenizer that comes with a model, in a few words."""
    if pieces is None:
        return "none comes with it; --tokenizer gives one to the other commands"
    try:
        return f"{read_tokenizer(pieces, model).vocab_size:,} pieces, {pieces.name}"
    except ValueError as error:
        return f"cannot be read: {for_shell(one_line(error))}"


def _print_info(title: str, config: ModelConfig, more: dict[str, str]) -> None:
    """Print a configuration, its arithmetic, and ``more`` lines by their names."""
    context = config.max_seq_len
    print(printable(title))
    for field, value in config.to_dict().items():
        print(f"  {field:<16} {value}")
    print(f"  {'parameters':<16} {config.n_params:,}")
    for label, text in more.items():
        print(f"  {label:<16} {printable(text)}")
    print(f"  {'FLOPs/token':<16} {config.flops_per_token(context):,} at position {context:,}")
    cache = config.kv_bytes_per_token("float16")
    print(f"  {'cache/token':<16} {cache:,} bytes in 16 bits, {cache * context:,} at full context")
    for label, n_positions in (("weights", 0), ("and full cache", context)):
        half, single = (
            bytes_in_words(
                n_bytes * config.n_params + n_positions * config.kv_bytes_per_token(dtype)
            )
            for n_bytes, dtype in ((2, "float16"), (4, "float32"))
        )
        print(f"  {label:<16} {half} of memory in 16 bits, {single} in float32")
    eight, four = (bytes_in_words(packed_bytes(config, kind)) for kind in ("int8", "int4"))
    print(f"  {'packed':<16} {eight} of memory with --quantize int8, {four} with int4")
