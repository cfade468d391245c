"""safetensors files, read with errors that say what is wrong, and written.

The format is a 64-bit length, that many bytes of JSON (each tensor's dtype, shape and place), then
the tensors. Nothing in it is executed, and the library maps it into memory and checks it.

The library is imported when a file is read, for the other formats do without.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from llama_tutorial._util.given_file import check_file, foreign
from llama_tutorial._util.json_file import parse_json
from llama_tutorial._util.progress import progress

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int8: "I8",
    torch.uint8: "U8",
}

_LONGEST = 2**21  # bytes of a header: a model of 405 billion parameters has some 1,100 tensors


@contextmanager
def open_safetensors(path: Path) -> Iterator[Any]:
    """The library's handle of the file: ``keys()``, ``get_slice(name)``, ``get_tensor(name)``.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, truncated, too long, damaged, or something else.
        ImportError: safetensors is not installed.
    """
    library = _library("safetensors")
    check_file(path)
    _check_length(path)
    try:
        with library.safe_open(path, framework="pt") as file:
            _check_header(path)
            yield file
    except library.SafetensorError as error:
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(256)
        what = foreign(head, path.name) if head[8:9] != b"{" else None
        raise ValueError(
            f"{path} is truncated, damaged or no safetensors file: it has {size} bytes and begins "
            f"with {head[:20]!r} ({what or str(error)[:200]}); download or write it again"
        ) from None


def _check_length(path: Path) -> None:
    """Raise a ValueError where it would take seconds to read the header alone."""
    with open(path, "rb") as file:
        head = file.read(9)
    length = int.from_bytes(head[:8], "little")
    if head[8:] == b"{" and _LONGEST < length <= path.stat().st_size - 8:
        raise ValueError(f"{path} has a header of {length} bytes: no model needs so many")


def _check_header(path: Path) -> None:
    """Raise a ValueError where the library is content with what the format forbids.

    That is a name that stands there twice, of which one reader takes the first and another the
    last.
    """
    with open(path, "rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        parse_json(file.read(length).decode("utf-8"), f"{path}: its header")


def save_safetensors(
    tensors: Iterable[tuple[str, Tensor]], like: Mapping[str, Tensor], path: Path
) -> None:
    """Write tensors of any device and layout, also such as share memory: each is stored whole.

    The library wants all of them at once. Here each may be made when its turn comes, so that a
    conversion of any size needs the memory of one tensor.

    Args:
        tensors: Name and tensor, one after another, in the order of ``like``.
        like: For each name a tensor of that shape and dtype, on any device ("meta" too).
        path: The file.

    Raises:
        ValueError: The tensors are not as ``like`` says.
    """
    header, end = {}, 0
    for name, tensor in like.items():
        begin, end = end, end + tensor.nbytes
        entry = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape)}
        header[name] = {**entry, "data_offsets": [begin, end]}
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    text += b" " * (-len(text) % 8)  # the numbers begin at a multiple of 8
    bar = {"unit": "tensor", "delay": 1, "leave": False, "total": len(like)}
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        expected = iter(like.items())
        for name, tensor in progress(tensors, f"writing {path.name}", **bar):
            promised, model = next(expected, (None, tensor))
            if (name, tensor.shape, tensor.dtype) != (promised, model.shape, model.dtype):
                raise ValueError(f"{name} comes where the header of {path} promises {promised}")
            plain = tensor.detach().resolve_neg().cpu().contiguous()  # bytes know no negative bit
            file.write(plain.flatten().view(torch.uint8).numpy().data)
        if missing := next(expected, None):
            raise ValueError(f"{missing[0]}, which the header of {path} promises, is missing")


def _library(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise ImportError(
            "checkpoints in safetensors need the library of that name: "
            "pip install 'llama-tutorial[torch]'"
        ) from error
