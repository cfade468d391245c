"""Options that several commands share."""

from __future__ import annotations

from typing import Any


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
