"""Tensors that all processes share, on disk: PyTorch's distributed checkpoint (DCP), read safely.

Each process writes its part of them, and any other number of processes, even one, can read them.
Which part lies where is in the file ``.metadata``, a pickle, and so is everything that is no
tensor. DCP opens these pickles without restrictions, so that a folder from elsewhere could run any
program. Here the metadata's pickle makes nothing but records of what it says, from which DCP's own
objects are built; the other pickles are not opened; and what the metadata claims is compared with
the files and with the tensors that are to be filled before anything is read.
"""

from __future__ import annotations

import io
import itertools
import math
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
from llama_tutorial._util.given_file import check_file
from llama_tutorial._util.pickle_check import check_pickle

METADATA = ".metadata"
_PARTS = re.compile(r"__\d+_\d+\.distcp")
# What a metadata's pickle may name beside torch.float32 and the like.
_DCP = ("torch.distributed.checkpoint.metadata", "torch.distributed.checkpoint.filesystem")
_NAMES = {
    *(f"{_DCP[0]}.{name}" for name in ("Metadata", "TensorStorageMetadata", "MetadataIndex")),
    *(f"{_DCP[0]}.{name}" for name in ("BytesStorageMetadata", "ChunkStorageMetadata")),
    *(f"{_DCP[0]}.{name}" for name in ("TensorProperties", "StorageMeta")),
    f"{_DCP[0]}._MEM_FORMAT_ENCODING",
    f"{_DCP[1]}._StorageInfo",
    "torch.Size",
    "torch.serialization._get_layout",
    "builtins.getattr",  # how Python 3.11 pickles an enumeration
    *(f"pathlib{module}.{kind}Path" for module in ("", "._local") for kind in ("Posix", "Windows")),
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


def read_metadata(data: bytes) -> dcp_metadata.Metadata:
    """What `save_state` has written about the parts, in the file `METADATA`.

    Raises:
        ValueError: It is damaged, or holds anything else.
    """
    try:
        check_pickle(data)
        said = _Unpickler(io.BytesIO(data)).load()
        if not isinstance(said, _Record):
            raise ValueError("it does not describe a checkpoint")
        return _metadata(said)
    except Exception as error:  # a damaged pickle raises anything
        raise ValueError(f"{METADATA}: {_first_line(error)}") from None


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
            for entry in archive.infolist():
                if entry.filename.endswith("data.pkl"):
                    check_pickle(archive.read(entry))
    except zipfile.BadZipFile as error:
        raise ValueError(_first_line(error)) from None
    file.seek(0)


class _Record:
    """What a pickle says of one object: what it is called with, and its state.

    It does nothing. Each pickle gets classes of its own, so that nothing it says of them outlives
    it.
    """

    name = ""
    arguments: tuple[Any, ...]
    state: Any

    def __new__(cls, *arguments: Any) -> _Record:
        self = super().__new__(cls)
        self.arguments, self.state = arguments, None
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Unpickler(pickle._Unpickler):  # not C's, which trusts a pickle's sizes
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self.classes: dict[str, type[_Record]] = {}

    def find_class(self, module: str, name: str) -> type[_Record]:
        full = f"{module}.{name}"
        if full not in _NAMES and not (module == "torch" and _is_dtype(name)):
            raise pickle.UnpicklingError(f"{full} is code, or may be")
        return self.classes.setdefault(full, type("_Said", (_Record,), {"name": full}))


def _is_dtype(name: str) -> bool:
    return isinstance(vars(torch).get(name), torch.dtype)


def _metadata(said: Any) -> dcp_metadata.Metadata:
    """DCP's own objects; what loading does not need is left out."""
    fields = _fields(said, f"{_DCP[0]}.Metadata")
    tensors = _plain(fields.get("state_dict_metadata"), dict)
    places = _plain(fields.get("storage_data"), dict)
    return dcp_metadata.Metadata(
        state_dict_metadata={_plain(name, str): _entry(entry) for name, entry in tensors.items()},
        storage_data={_index(index): _place(place) for index, place in places.items()},
    )


def _entry(said: Any) -> dcp_metadata.STORAGE_TYPES:
    if isinstance(said, _Record) and said.name == f"{_DCP[0]}.BytesStorageMetadata":
        return dcp_metadata.BytesStorageMetadata()
    fields = _fields(said, f"{_DCP[0]}.TensorStorageMetadata")
    properties = fields.get("properties")
    if not (isinstance(properties, _Record) and properties.name == f"{_DCP[0]}.TensorProperties"):
        raise ValueError("a tensor without properties")
    dtype = _plain(properties.state, tuple)[0]
    if not (isinstance(dtype, type) and issubclass(dtype, _Record)):
        raise ValueError("a tensor without a dtype")
    chunks = [
        _fields(chunk, f"{_DCP[0]}.ChunkStorageMetadata")
        for chunk in _plain(fields.get("chunks"), list)
    ]
    return dcp_metadata.TensorStorageMetadata(
        dcp_metadata.TensorProperties(dtype=vars(torch)[dtype.name.removeprefix("torch.")]),
        _size(fields.get("size")),
        [
            dcp_metadata.ChunkStorageMetadata(_size(chunk["offsets"]), _size(chunk["sizes"]))
            for chunk in chunks
        ],
    )


def _index(said: Any) -> dcp_metadata.MetadataIndex:
    fields = _fields(said, f"{_DCP[0]}.MetadataIndex")
    offset = fields.get("offset")
    return dcp_metadata.MetadataIndex(
        _plain(fields.get("fqn"), str),
        None if offset is None else _size(offset),
        None if (index := fields.get("index")) is None else _plain(index, int),
    )


def _place(said: Any) -> filesystem._StorageInfo:
    fields = _fields(said, f"{_DCP[1]}._StorageInfo")
    name = _plain(fields.get("relative_path"), str)
    if not _PARTS.fullmatch(name):
        raise ValueError(f"it names a file {name!r}, not one like __0_0.distcp")
    if fields.get("transform_descriptors"):
        raise ValueError(f"it says that {name} is compressed")
    return filesystem._StorageInfo(
        name, _plain(fields.get("offset"), int), _plain(fields.get("length"), int)
    )


def _fields(said: Any, name: str) -> dict[str, Any]:
    if not isinstance(said, _Record) or said.name != name:
        raise ValueError(f"no {name.rpartition('.')[2]} where one must be")
    return _plain(said.state, dict)


def _size(said: Any) -> torch.Size:
    if not isinstance(said, _Record) or said.name != "torch.Size":
        raise ValueError("no size where one must be")
    sizes = [_plain(size, int) for size in _plain(said.arguments[0], tuple)]
    if any(not 0 <= size < 2**63 for size in sizes):
        raise ValueError(f"the size {sizes}")
    return torch.Size(sizes)


def _plain(value: Any, kind: type) -> Any:
    if type(value) is not kind:
        raise ValueError(f"{type(value).__name__} where {kind.__name__} must be")
    return value


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
    """Every part must lie within a file of the folder, and none within another."""
    ends: dict[str, int] = {}
    sizes: dict[str, int] = {}
    for place in sorted(metadata.storage_data.values(), key=lambda place: place.offset):
        name, begin, end = place.relative_path, place.offset, place.offset + place.length
        if name not in sizes:
            check_file(folder / name)
            sizes[name] = (folder / name).stat().st_size
        if not 0 <= begin <= end <= sizes[name]:
            raise ValueError(f"{name} is truncated: it has {sizes[name]} bytes of {end}")
        if begin < ends.get(name, 0):
            raise ValueError(f"{METADATA}: two tensors lie at byte {begin} of {name}")
        ends[name] = end


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
    if not _tile(entry.chunks, tuple(entry.size)):
        raise ValueError(f"{name} is not complete")


def _tile(chunks: list[dcp_metadata.ChunkStorageMetadata], size: tuple[int, ...]) -> bool:
    """Whether chunks, as a grid, cover a tensor once: how tensors are shared among processes."""
    parts = set()
    for chunk in chunks:
        if not len(chunk.offsets) == len(chunk.sizes) == len(size):
            return False
        if math.prod(chunk.sizes) or not math.prod(size):  # a process may have nothing of it
            parts.add(tuple(zip(chunk.offsets, chunk.sizes, strict=True)))
    cuts = [sorted({part[axis] for part in parts}) for axis in range(len(size))]
    for length, pieces in zip(size, cuts, strict=True):
        ends = list(itertools.accumulate((piece for _, piece in pieces), initial=0))
        if ends != [*(begin for begin, _ in pieces), length]:
            return False
    return len(parts) == math.prod(map(len, cuts))


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
