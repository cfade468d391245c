"""safetensors files, read with errors that say what is wrong, and written.

The format is a 64-bit length, that many bytes of JSON (each tensor's dtype, shape and place), then
the tensors. Nothing in it is executed, and the library maps it into memory. Its own errors speak of
headers and metadata; here the file's length is compared with what the JSON promises first.

The library is imported when it is needed, for the other formats do without.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor

_LONGEST_HEADER = 100_000_000  # the library's own limit


@contextmanager
def open_safetensors(path: Path) -> Iterator[Any]:
    """The library's handle of the file: ``keys()``, ``get_slice(name)``, ``get_tensor(name)``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, truncated, too long, damaged, or something else.
        ImportError: safetensors is not installed.
    """
    library = _library("safetensors")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    _check_length(path)
    try:
        with library.safe_open(path, framework="pt") as file:
            yield file
    except library.SafetensorError as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def save_safetensors(tensors: dict[str, Tensor], path: Path) -> None:
    """Write tensors of any device and layout, also such as share memory: each is stored whole.

    Raises:
        ImportError: safetensors is not installed.
    """
    library, separate, taken = _library("safetensors.torch"), {}, set()
    for name, tensor in tensors.items():
        tensor = tensor.detach().contiguous()
        separate[name] = tensor.clone() if tensor.data_ptr() in taken else tensor
        taken.add(tensor.data_ptr())
    path.touch()
    mode = path.stat().st_mode & 0o777
    library.save_file(separate, path, metadata={"format": "pt"})
    path.chmod(mode)  # the library makes files that nobody else may read


def _library(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(
            "checkpoints in safetensors need the library of that name: "
            "pip install 'llama-tutorial[torch]'"
        ) from error


def _check_length(path: Path) -> None:
    length = path.stat().st_size
    if length == 0:
        raise ValueError(f"{path} is empty (0 bytes)")
    with open(path, "rb") as file:
        head = file.read(9)
        if len(head) == 9 and head[8:] != b"{":
            raise ValueError(f"{path} is no safetensors file: it begins with {head!r}")
        json_bytes = struct.unpack("<Q", head[:8])[0] if len(head) == 9 else 1
        if 8 + json_bytes > length or json_bytes > _LONGEST_HEADER:
            raise ValueError(
                f"{path} is truncated: it has {length} bytes, and its header alone needs "
                f"{8 + json_bytes}"
            )
        file.seek(8)
        end = _end(path, file.read(json_bytes))
    expected = 8 + json_bytes + end
    if length != expected:
        raise ValueError(
            f"{path} is {'truncated' if length < expected else 'too long'}: its header asks for "
            f"{expected} bytes, it has {length}"
        )


def _end(path: Path, header: bytes) -> int:
    """Where the last tensor ends, counted from the header's end."""
    try:
        entries = json.loads(header)
        entries.pop("__metadata__", None)
        return max((int(entry["data_offsets"][1]) for entry in entries.values()), default=0)
    except (ValueError, TypeError, KeyError, IndexError, AttributeError):
        raise ValueError(f"{path} is damaged: its header is no list of tensors") from None
