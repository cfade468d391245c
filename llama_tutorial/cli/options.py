"""What options are called in messages: fields and arguments have other names than they."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from contextlib import contextmanager

_OPTIONS = {  # where it is not the name of the field
    "total_steps": "steps",
    "peak_lr": "lr",
    "warmup_steps": "warmup",
    "max_seq_len": "context",
    "n_layers": "layers",
    "n_heads": "heads",
    "n_kv_heads": "kv-heads",
    "stop_strings": "stop",
}


@contextmanager
def options_named(arguments: argparse.Namespace) -> Iterator[None]:
    """Let a ValueError about a field, ``total_steps=0``, name the option: ``--steps 0``."""

    def named(match: re.Match[str]) -> str:
        return f"{option(match[1])} " if match[1] in vars(arguments) else match[0]

    try:
        yield
    except ValueError as error:
        raise ValueError(re.sub(r"\b([a-z]\w*)=", named, str(error))) from None


def option(name: str) -> str:
    """The option that sets a field: ``total_steps`` is ``--steps``."""
    return "--" + _OPTIONS.get(name, name).replace("_", "-")
