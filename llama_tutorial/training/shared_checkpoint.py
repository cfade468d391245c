"""Tensors that all processes share, on disk: PyTorch's distributed checkpoint (DCP), read safely.

Each process writes its part of them, and any other number of processes, even one, can read them.
Which part lies where is in the file ``.metadata``, a pickle, and so is everything that is no
tensor. DCP opens these pickles without restrictions, so that a folder from elsewhere could run any
program. Here the metadata is built from DCP's own classes alone, the other pickles are not opened,
and what the metadata claims is compared with the files and with the tensors that are to be filled
before anything is read.
"""

from __future__ import annotations

import io
import math
import pathlib
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import filesystem
from torch.distributed.checkpoint import metadata as dcp_metadata
from torch.distributed.checkpoint.api import CheckpointException

from llama_tutorial._util.files import disk_errors

METADATA = ".metadata"
_PARTS = re.compile(r"__\d+_\d+\.distcp")
_ALLOWED = {
    (kind.__module__, kind.__name__): kind
    for kind in (
        dcp_metadata.Metadata,
        dcp_metadata.TensorStorageMetadata,
        dcp_metadata.BytesStorageMetadata,
        dcp_metadata.TensorProperties,
        dcp_metadata.ChunkStorageMetadata,
        dcp_metadata.MetadataIndex,
        dcp_metadata.StorageMeta,
        dcp_metadata._MEM_FORMAT_ENCODING,
        filesystem._StorageInfo,
        torch.Size,
        torch.serialization._get_layout,
    )
}


def save_state(state: dict[str, Any], folder: Path) -> None:
    """Write a state, nested dictionaries of tensors and plain values, and sync its files.

    Every process must call it.

    Args:
        state: Each process's share of it.
        folder: An empty folder.

    Raises:
        OSError: It could not be written.
    """
    with _plain_errors(OSError, f"{folder} could not be written: "):
        dcp.save(state, storage_writer=_Writer(folder))


def load_state(state: dict[str, Any], folder: Path, metadata: dcp_metadata.Metadata) -> None:
    """Fill a state's tensors from a folder; what is no tensor in it stays as it is.

    Every process must call it. If it raises, some of the tensors may have been filled.

    Args:
        state: As it was saved, of any values.
        folder: From `save_state`.
        metadata: From `read_metadata`.

    Raises:
        ValueError: The files are damaged, or of a state with other names or shapes.
    """
    with _plain_errors(ValueError):
        dcp.load(state, storage_reader=_Reader(folder, metadata), planner=_Planner(folder))


def read_metadata(folder: Path) -> dcp_metadata.Metadata:
    """What `save_state` has written about the parts, built from DCP's own classes alone.

    Raises:
        ValueError: It is damaged, or holds anything else.
        FileNotFoundError: There is none.
    """
    with open(folder / METADATA, "rb") as file:
        try:
            metadata = _Unpickler(file).load()
        except Exception as error:  # a damaged pickle raises anything
            raise ValueError(f"{METADATA}: {_first_line(error)}") from None
    parts = [getattr(metadata, name, None) for name in ("state_dict_metadata", "storage_data")]
    if type(metadata) is not dcp_metadata.Metadata or not all(isinstance(p, dict) for p in parts):
        raise ValueError(f"{METADATA} does not describe a checkpoint")
    return metadata


def check_archive(file: io.BytesIO) -> None:
    """Check that what ``torch.save`` has written is all there and unpacks to its own size.

    Args:
        file: It is left at its beginning.

    Raises:
        ValueError: It is not.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
                raise ValueError("an entry is compressed")
            if (name := archive.testzip()) is not None:
                raise ValueError(f"the checksum of {name} is wrong")
    except zipfile.BadZipFile as error:
        raise ValueError(_first_line(error)) from None
    file.seek(0)


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (allowed := _ALLOWED.get((module, name))) is not None:
            return allowed
        if module == "torch" and isinstance(dtype := getattr(torch, name, None), torch.dtype):
            return dtype
        if module.partition(".")[0] == "pathlib" and name in ("PosixPath", "WindowsPath"):
            return pathlib.PurePosixPath  # where it was written; each system has only its own class
        if (module, name) == ("builtins", "getattr"):  # how Python 3.11 pickles an enumeration
            return lambda _kind, member: dcp_metadata._MEM_FORMAT_ENCODING[member]
        raise pickle.UnpicklingError(f"{module}.{name} is code, or may be")


class _Writer(dcp.FileSystemWriter):
    """Errors of the disk become plain ones where they arise: pickled, they lose their cause."""

    def write_data(self, *arguments: Any, **settings: Any) -> Any:
        with disk_errors(self.path):
            return super().write_data(*arguments, **settings)

    def finish(self, *arguments: Any, **settings: Any) -> None:
        with disk_errors(self.path):
            super().finish(*arguments, **settings)


class _Reader(dcp.FileSystemReader):
    def __init__(self, folder: Path, metadata: dcp_metadata.Metadata) -> None:
        super().__init__(folder)
        self.metadata = metadata

    def read_metadata(self) -> dcp_metadata.Metadata:
        return self.metadata

    def _slice_file(self, file: Any, place: Any) -> Any:
        file.seek(place.offset)
        part = io.BytesIO(
            file.read(place.length)
        )  # DCP's own view cannot be sought in from its end
        check_archive(part)
        return part


class _Planner(dcp.DefaultLoadPlanner):
    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def create_local_plan(self) -> Any:
        assert self.metadata is not None
        _check_parts(self.metadata, self.folder)
        for name, value in self.state_dict.items():
            _check_entry(name, value, self.metadata.state_dict_metadata.get(name))
        return super().create_local_plan()

    def load_bytes(self, read_item: Any, value: io.BytesIO) -> None:
        """Leave the pickle alone: what is no tensor stays as it is."""


def _check_parts(metadata: dcp_metadata.Metadata, folder: Path) -> None:
    """Every part must lie within a file of the folder."""
    sizes: dict[str, int] = {}
    for place in metadata.storage_data.values():
        name, begin, length = place.relative_path, place.offset, place.length
        if not (isinstance(name, str) and _PARTS.fullmatch(name)):
            raise ValueError(f"{METADATA} names a file {name!r}, not one like __0_0.distcp")
        if getattr(place, "transform_descriptors", None):
            raise ValueError(f"{METADATA} says that {name} is compressed")
        size = sizes.setdefault(name, (folder / name).stat().st_size)
        if not 0 <= begin <= begin + length <= size:
            raise ValueError(f"{name} is truncated: it has {size} bytes of {begin + length}")


def _check_entry(name: str, value: Any, entry: Any) -> None:
    """A tensor must be there whole, in the shape of the one that it goes to."""
    if entry is None:
        raise ValueError(f"{name} is missing")
    if not isinstance(value, torch.Tensor):
        if not isinstance(entry, dcp_metadata.BytesStorageMetadata):
            raise ValueError(f"{name} is a tensor")
        return
    if not isinstance(entry, dcp_metadata.TensorStorageMetadata):
        raise ValueError(f"{name} is no tensor")
    if tuple(entry.size) != tuple(value.shape):
        raise ValueError(f"{name} has the shape {tuple(entry.size)}, not {tuple(value.shape)}")
    if sum(math.prod(chunk.sizes) for chunk in entry.chunks) != value.numel():
        raise ValueError(f"{name} is not complete")


@contextmanager
def _plain_errors(error_class: type[Exception], what: str = "") -> Iterator[None]:
    """Re-raise DCP's failures as one line; hide its warning about a single process."""
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled")
            yield
    except CheckpointException as error:
        reason = next(iter(error.failures.values()))[0]
        if isinstance(reason, OSError) and error_class is OSError:
            raise reason from None
        raise error_class(what + _first_line(reason)) from None


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__
