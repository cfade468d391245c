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

from llama_tutorial._util.progress import progress

_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
}


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
    try:
        with library.safe_open(path, framework="pt") as file:
            yield file
    except library.SafetensorError as error:
        size = path.stat().st_size
        with open(path, "rb") as file:
            head = file.read(20)
        raise ValueError(
            f"{path} is truncated, damaged or no safetensors file: it has {size} bytes and begins "
            f"with {head!r} ({error}); download or write it again"
        ) from None


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
            file.write(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
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
