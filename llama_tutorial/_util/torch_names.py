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


def as_device(device: torch.device | str | None) -> torch.device:
    """A device of this machine; the default one for None.

    Raises:
        ValueError: There is no such device, or it cannot be used here.
    """
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError, TypeError) as error:  # torch without CUDA asserts
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={str(device)!r}: cannot be used here: {reason}") from None
