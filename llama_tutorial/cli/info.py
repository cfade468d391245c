"""``llama-tutorial info``: what a checkpoint holds, and what it costs."""

from __future__ import annotations

import argparse
from pathlib import Path

from llama_tutorial._util.terminal import printable
from llama_tutorial.checkpoints.download import is_hub_id
from llama_tutorial.config import PRESETS, ModelConfig
from llama_tutorial.hub import find
from llama_tutorial.shipped import SHIPPED


def run(arguments: argparse.Namespace) -> None:
    """Print the configuration and its arithmetic."""
    name, filename = arguments.model or arguments.checkpoint, arguments.filename
    if name is None:
        raise ValueError("info needs a model: llama-tutorial info tales")
    if name in PRESETS and filename is None:
        _print_info(f"preset {name}", PRESETS[name])
        return
    if not (name in SHIPPED or Path(name).exists() or is_hub_id(name)):
        names = ", ".join([*SHIPPED, *PRESETS])
        raise ValueError(f"{name}: no such file or folder, no model, no preset; those are {names}")
    from llama_tutorial.checkpoints import open_checkpoint  # needs torch, which a preset does not

    path, _ = find(name, filename, needs_tokenizer=False)
    with open_checkpoint(path) as checkpoint:
        what = name if filename is None else f"{name}, {filename}"
        _print_info(f"{what}: {checkpoint.format}, {checkpoint.dtype}", checkpoint.config)


def _print_info(title: str, config: ModelConfig) -> None:
    context = config.max_seq_len
    print(printable(title))
    for field, value in config.to_dict().items():
        print(f"  {field:<16} {value}")
    print(f"  {'parameters':<16} {config.n_params:,}")
    print(f"  {'FLOPs/token':<16} {config.flops_per_token(context):,} at position {context:,}")
    cache = config.kv_bytes_per_token("float16")
    print(f"  {'cache/token':<16} {cache:,} bytes in 16 bit, {cache * context:,} at full context")
