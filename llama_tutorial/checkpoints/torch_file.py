"""PyTorch's own files, ``.pth`` and ``.bin``, read without running what is in them, and written.

Such a file is a pickle, which can run any program when it is opened. So it is read with
``weights_only=True``, which builds tensors and plain containers and refuses the rest. Since PyTorch
1.6 the pickle lies in a zip archive beside the numbers, and those can be mapped into memory; an
older file is read whole.

PyTorch believes the pickle where it says how long a record of numbers is, and maps what comes after
a shorter one. So the archive's own directory is compared with it. Its checksums are not: to compute
them every number would have to be read (a second for each gigabyte or two), PyTorch can be told to
write none, and the other formats have none either.
"""

from __future__ import annotations

import errno
import io
import pickle
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from llama_tutorial._util.given_file import check_file, foreign
from llama_tutorial._util.pickle_check import LARGEST, check_pickle
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
# What training leaves beside the optimizer's state calls the weights so.
_NESTED = ("model", "state_dict", "model_state_dict", "module")
_ITEM_BYTES = {
    "DoubleStorage": 8, "FloatStorage": 4, "HalfStorage": 2, "BFloat16Storage": 2,
    "LongStorage": 8, "IntStorage": 4, "ShortStorage": 2, "CharStorage": 1, "ByteStorage": 1,
    "BoolStorage": 1, "ComplexFloatStorage": 8, "ComplexDoubleStorage": 16, "UntypedStorage": 1,
}  # fmt: skip
# What an archive may unpack to: so many times its size, and a little more for a small one.
_UNPACKED, _SLACK = 20, 2**24
# An older file: PyTorch's number, the format's, the system's, the tensors, the storages' names.
_OLD_PICKLES = 5
_MAGIC = b"l\xfc\x9cF\xf9 j\xa8P\x19"  # the number that older files begin with, in a pickle


def read_torch_file(path: Path) -> dict[str, Tensor]:
    """The tensors of a file that ``torch.save`` made of a dictionary, mapped where possible.

    Of a training checkpoint, which has the weights under ``"model"`` or ``"state_dict"`` beside
    other things, it is those weights.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is empty, truncated, damaged, no file of PyTorch's, holds something that is
            no tensor, or would have to run a program.
    """
    check_file(path)
    with open(path, "rb") as file:
        head = file.read(256)
    if not head:
        raise ValueError(f"{path} is empty (0 bytes)")
    is_zip = head.startswith(_ZIP)
    if not is_zip and _MAGIC not in head[:40]:
        what = foreign(head, path.name)
        raise ValueError(
            f"{path} is no file of PyTorch's: it begins with {head[:20]!r}"
            + (f"; it is {what}" if what else "")
        )
    contents = _unwrapped(_load(path, is_zip))
    if not isinstance(contents, dict):
        raise ValueError(
            f"{path} holds one {type(contents).__name__}, not a dictionary of named tensors"
        )
    others = [str(name) for name, value in contents.items() if not _is_dense(value)]
    if others:
        raise ValueError(f"{path} holds more than tensors: {listed(others)}")
    _check_storages(contents, path, is_zip)
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
        _check_pickles(path, is_zip)
        contents = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
        if is_zip:
            _check_records(path)
        return contents
    except zipfile.BadZipFile:
        raise ValueError(
            f"{path} is truncated or damaged: the zip archive that it is has no end"
        ) from None
    except pickle.UnpicklingError as error:
        refused = [line.strip() for line in str(error).splitlines() if "GLOBAL" in line]
        if not refused:  # PyTorch's first lines are about its own versions
            reason = re.search(r"Unpickler error: (.*)", str(error))
            raise ValueError(
                f"{path} is damaged: {reason[1] if reason else _first_line(error):.200}"
            ) from None
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
        entries = archive.infolist()
    if len({entry.filename for entry in entries}) < len(entries):
        raise ValueError("two of its records have the same name")
    if any(_is_pickle(entry) and entry.file_size > LARGEST for entry in entries):
        raise ValueError(f"its pickle has more than {LARGEST} bytes")
    total, size = sum(entry.file_size for entry in entries), path.stat().st_size
    if total > _UNPACKED * size + _SLACK:
        raise ValueError(f"its {size} bytes would unpack to {total}")
    return all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)


def _is_pickle(entry: zipfile.ZipInfo) -> bool:
    return entry.filename.endswith("data.pkl")


def _check_pickles(path: Path, is_zip: bool) -> None:
    """Raise a ValueError where a pickle could end the process."""
    if not is_zip:
        with open(path, "rb") as file:
            check_pickle(file.read(LARGEST), _OLD_PICKLES)
        return
    with zipfile.ZipFile(path) as archive:
        for entry in filter(_is_pickle, archive.infolist()):
            check_pickle(_contents(archive, entry))


def _contents(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes:
    if entry.CRC == 0:  # not computed, when it was written
        entry.CRC = None  # type: ignore[assignment]
    try:
        return archive.read(entry)
    except zlib.error as error:
        raise ValueError(f"{entry.filename}: {error}") from None
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        raise ValueError(f"{entry.filename} would begin before the file does") from None


class _Anything(dict):
    """Whatever a pickle makes; nothing of it is used."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        super().__init__()

    def __setstate__(self, _state: Any) -> None:
        pass


class _Records(pickle._Unpickler):  # not C's, which trusts a pickle's sizes
    """Reads which records of numbers a pickle names, and runs nothing."""

    sizes: dict[str, int]

    def find_class(self, _module: str, name: str) -> type:
        return type(name, (_Anything,), {})

    def persistent_load(self, pid: Any) -> _Anything:
        _, kind, key, _, count = pid
        self.sizes.setdefault(str(key), count * _ITEM_BYTES[kind.__name__])
        return _Anything()


def _check_records(path: Path) -> None:
    """Raise a ValueError unless every record is as long as the pickle says."""
    with zipfile.ZipFile(path) as archive:
        prefix = archive.namelist()[0].partition("/")[0]
        pickled = _contents(archive, archive.getinfo(f"{prefix}/data.pkl"))
        reader = _Records(io.BytesIO(pickled))
        reader.sizes = {}
        reader.load()
        for key, size in reader.sizes.items():
            found = archive.getinfo(f"{prefix}/data/{key}").file_size
            if found != size:
                raise ValueError(f"its record {key} has {found} bytes where there must be {size}")


def _check_storages(tensors: Mapping[Any, Tensor], path: Path, is_zip: bool) -> None:
    """Raise a ValueError where tensors are larger than what is stored of them."""
    size = path.stat().st_size
    if is_zip:
        with zipfile.ZipFile(path) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
    storages = [tensor.untyped_storage() for tensor in tensors.values()]
    if sum({storage.data_ptr(): storage.nbytes() for storage in storages}.values()) > size:
        raise ValueError(f"{path} is truncated or damaged: its tensors are larger than itself")
    for name, tensor in tensors.items():
        if tensor.nbytes > tensor.untyped_storage().nbytes():
            raise ValueError(
                f"{path} is damaged: {name!s:.100} is {tuple(tensor.shape)}, and of its numbers "
                "only some are stored"
            )


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def _is_dense(value: object) -> bool:
    if not isinstance(value, Tensor) or value.device.type != "cpu":  # "meta": no numbers
        return False
    return value.layout == torch.strided and not value.is_quantized


def _unwrapped(contents: Any) -> Any:
    for _ in range(3):  # one in another is enough; a pickle may hold itself
        if not isinstance(contents, dict):
            break
        inner = [contents[key] for key in _NESTED if isinstance(contents.get(key), dict)]
        if len(inner) != 1:
            break
        contents = inner[0]
    return contents


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
