"""PyTorch's own files, ``.pth`` and ``.bin``, read without running what is in them, and written.

Such a file is a pickle, which can run any program when it is opened. So it is read with
``weights_only=True``, which builds tensors and plain containers and refuses the rest. Since PyTorch
1.6 the pickle lies in a zip archive beside the numbers, and those can be mapped into memory; an
older file is read whole.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from llama_tutorial._util.progress import progress
from llama_tutorial._util.tensor_check import listed

# What comes of a damaged file is not documented, and differs from one byte to the next.
_DAMAGE = (
    AssertionError,
    RuntimeError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    OverflowError,
    MemoryError,
    struct.error,
)
_ZIP = b"PK\3\4"
_MAGIC = b"l\xfc\x9cF\xf9 j\xa8P\x19"  # the number that older files begin with, in a pickle


def read_torch_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that ``torch.save`` made of a dictionary, mapped where possible.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, truncated, damaged, no file of PyTorch's, holds something that is
            no tensor, or would have to run a program.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    with open(path, "rb") as file:
        head = file.read(40)
    if not head:
        raise ValueError(f"{path} is empty (0 bytes)")
    if not head.startswith(_ZIP) and _MAGIC not in head:
        raise ValueError(f"{path} is no file of PyTorch's: it begins with {head[:20]!r}")
    contents = _load(path, is_zip=head.startswith(_ZIP))
    if not isinstance(contents, dict):
        raise ValueError(
            f"{path} holds one {type(contents).__name__}, not a dictionary of named tensors"
        )
    others = [str(name) for name, value in contents.items() if not _is_dense(value)]
    if others:
        raise ValueError(f"{path} holds more than tensors: {listed(others)}")
    return {str(name): tensor.detach() for name, tensor in contents.items()}


def write_torch_file(tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write tensors as ``torch.save`` does; such as are one in memory are one in the file.

    Args:
        tensors: By name. Of a part of a larger tensor, the part alone is written.
        path: The file.
    """
    whole = {key: _compact(tensor.detach().cpu()) for key, tensor in tensors.items()}
    total = sum(tensor.nbytes for tensor in whole.values())
    options = {"unit": "B", "unit_scale": True, "delay": 1, "leave": False}
    bar = progress(None, f"writing {path.name}", total=total, **options)
    try:
        with open(path, "wb") as file:
            torch.save(whole, _Counted(file, bar))  # type: ignore[arg-type]  # all that it calls
    finally:
        bar.close()


def _load(path: Path, is_zip: bool) -> Any:
    try:
        mapped = is_zip and _is_plain_zip(path)
        return torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except zipfile.BadZipFile:
        raise ValueError(
            f"{path} is truncated or damaged: the zip archive that it is has no end"
        ) from None
    except pickle.UnpicklingError as error:
        refused = [line.strip() for line in str(error).splitlines() if "GLOBAL" in line]
        if not refused:
            raise ValueError(f"{path} is damaged: {_first_line(error)}") from None
        raise ValueError(
            f"{path} holds more than tensors, and loading it could run any program "
            f"({refused[0].partition(' was not ')[0]}); ask its author for safetensors, or for "
            "the state dictionary alone"
        ) from None
    except EOFError:
        raise ValueError(f"{path} is truncated") from None
    except _DAMAGE as error:
        raise ValueError(f"{path} is truncated or damaged: {_first_line(error)}") from None


def _is_plain_zip(path: Path) -> bool:
    """Whether the numbers can be mapped: somebody may have packed the archive anew."""
    with zipfile.ZipFile(path) as archive:
        return all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def _is_dense(value: object) -> bool:
    if not isinstance(value, Tensor):
        return False
    return value.layout == torch.strided and not value.is_quantized


def _compact(tensor: Tensor) -> Tensor:
    """The tensor without what surrounds it in memory, for torch.save writes all of that."""
    surrounded = tensor.untyped_storage().nbytes() != tensor.nbytes
    return tensor.clone() if surrounded or not tensor.is_contiguous() else tensor


class _Counted:
    """A file that counts on a progress bar what is written to it."""

    def __init__(self, file: BinaryIO, bar: Any) -> None:
        self.file, self.bar = file, bar

    def write(self, data: Any) -> int:
        self.bar.update(memoryview(data).nbytes)
        return self.file.write(data)

    def flush(self) -> None:
        self.file.flush()
