"""Types and devices by their names, as people write them."""

from __future__ import annotations

import torch

FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
"""What weights may be stored in, and a model may compute in."""


def as_dtype(dtype: torch.dtype | str | None) -> torch.dtype | None:
    """A floating type, given as such or by its name; None stays None.

    Raises:
        ValueError: There is no such type, or it is not floating.
    """
    if dtype is None:
        return None
    name = str(dtype).removeprefix("torch.")
    found = getattr(torch, name, None) if isinstance(dtype, str) else dtype
    if found not in FLOATS:
        raise ValueError(f"dtype={name}: must be a floating type, such as torch.bfloat16")
    return found


def available_devices() -> list[str]:
    """The devices that tensors can be on here: the processor, and what PyTorch finds beside it."""
    gpus = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    apple = ["mps"] if torch.backends.mps.is_available() else []
    return ["cpu", *(gpus if torch.cuda.is_available() else []), *apple]


def as_device(device: torch.device | str | None) -> torch.device:
    """A device of this machine; the default one for None.

    Raises:
        ValueError: There is no such device, or it cannot be used here; the message says which can.
    """
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError, NotImplementedError):  # torch's, at length
        available = ", ".join(available_devices())
        raise ValueError(
            f"device={str(device)!r}: cannot be used here; this machine has {available}"
        ) from None
