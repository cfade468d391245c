"""llama2.c's checkpoints: one ``.bin`` file, read as NumPy arrays and written, without torch.

Three versions are about, all little-endian, the tensors one after another with nothing between::

    v0, "legacy"  28 bytes: 7 int32. No magic. A negative vocabulary size says: untied head
    v1, float32   256 bytes: "ak42", version, the 7 int32, a byte: 1 for a tied head; zeros
    v2, int8      256 bytes: likewise, then an int32: the group size

    v0      tok_embeddings | attention_norm | wq | wk | wv | wo | ffn_norm | w1 | w2 | w3 | norm
            | cosines, sines | output if untied            (each of all layers, then the next kind)
    v1, v2  the norms first, else the same without the tables; in v2 the norms stay float32, and
            each matrix is its int8 values, then its float32 scales

The header holds sizes only. All else about the model is agreed upon: it is a Llama with the eps and
theta that llama2.c's ``run.c`` computes with. The cosines and sines are a relic that ``run.c``
skips.

Reading maps the file into memory and gives out views of it, so that a model of any size opens at
once and the system fetches what is used. Both engines start from here, the PyTorch model by way of
:mod:`llama_tutorial.checkpoints.llama2c`.

Source: ``export.py``, ``run.c`` and ``runq.c`` of llama2.c.
"""

from __future__ import annotations

import math
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llama_tutorial._util.files import replace_file
from llama_tutorial._util.given_file import check_file, foreign, kind_of
from llama_tutorial._util.progress import progress
from llama_tutorial._util.shapes import Float
from llama_tutorial._util.tensor_check import check_names, check_shapes
from llama_tutorial.config import LARGEST, ModelConfig
from llama_tutorial.quantization import QuantizedTensor, check_group_size, quantize

HEADER_BYTES = {0: 28, 1: 256, 2: 256}
ROPE_TABLES = ("rope.cos", "rope.sin")
_LAYOUT = {0: struct.Struct("<7i"), 1: struct.Struct("<Ii7iB"), 2: struct.Struct("<Ii7iBi")}
_MAGIC = 0x616B3432  # "ak42" as one number; in the file its bytes stand in reverse
_SIZES = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len")
SMALL = 2**24  # weights: to look at each takes some hundredths of a second
_AGREED: dict[str, Any] = {
    "norm": "rmsnorm",
    "feed_forward": "swiglu",
    "positions": "rope",
    "bias": False,
    "norm_eps": 1e-5,
    "rope_theta": 10000.0,
}


class ForeignFileError(ValueError):
    """The file is not of this format at all; other ValueErrors mean a damaged one."""


@dataclass(frozen=True)
class Header:
    """What stands in front of the tensors.

    Attributes:
        version: 0, 1 or 2.
        config: The model's configuration.
        group_size: Weights that share a scale; None unless the version is 2.

    Raises:
        ValueError: llama2.c has no such version, cannot hold such a model, or the group size does
            not divide the model's rows.
    """

    version: int
    config: ModelConfig
    group_size: int | None = None

    def __post_init__(self) -> None:
        if self.version not in HEADER_BYTES:
            raise ValueError(f"version={self.version}: llama2.c's files are of version 0, 1 or 2")
        _check_agreed(self.config)
        if self.version == 2:
            check_group_size(self.group_size or 0, self.config.dim, self.config.hidden_dim)

    def pack(self) -> bytes:
        """The header's bytes."""
        config = self.config
        sizes = [getattr(config, name) for name in _SIZES]
        if self.version == 0:
            sizes[_SIZES.index("vocab_size")] *= 1 if config.tie_embeddings else -1
            return _LAYOUT[0].pack(*sizes)
        group_size = [self.group_size] if self.version == 2 else []
        numbers = [_MAGIC, self.version, *sizes, config.tie_embeddings, *group_size]
        return _LAYOUT[self.version].pack(*numbers).ljust(HEADER_BYTES[self.version], b"\0")

    def entries(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Name and shape of everything after the header, in the file's order.

        Names are Meta's; the two tables, in version 0, are called `ROPE_TABLES`.
        """
        for kind, shape, count in self._kinds():
            for layer in range(count):
                yield kind.format(layer), shape

    def is_quantized(self, shape: tuple[int, ...]) -> bool:
        """Whether a tensor of this shape is stored in int8: the matrices of version 2."""
        return self.group_size is not None and len(shape) == 2

    def stored_bytes(self, shape: tuple[int, ...]) -> int:
        """Bytes that a tensor of this shape takes in the file."""
        numbers = math.prod(shape)
        if self.group_size is None or not self.is_quantized(shape):
            return 4 * numbers
        return numbers + 4 * (numbers // self.group_size)

    def file_bytes(self) -> int:
        """Length of the whole file."""
        tensors = sum(count * self.stored_bytes(shape) for _, shape, count in self._kinds())
        return HEADER_BYTES[self.version] + tensors

    def _kinds(self) -> list[tuple[str, tuple[int, ...], int]]:
        """Name, shape and number of each kind of tensor, in the file's order."""
        config = self.config
        D, F, V = config.dim, config.hidden_dim, config.vocab_size
        shapes = {
            "tok_embeddings.weight": (V, D),
            "layers.{}.attention_norm.weight": (D,),
            "layers.{}.attention.wq.weight": (D, D),
            "layers.{}.attention.wk.weight": (config.kv_dim, D),
            "layers.{}.attention.wv.weight": (config.kv_dim, D),
            "layers.{}.attention.wo.weight": (D, D),
            "layers.{}.ffn_norm.weight": (D,),
            "layers.{}.feed_forward.w1.weight": (F, D),
            "layers.{}.feed_forward.w2.weight": (D, F),
            "layers.{}.feed_forward.w3.weight": (F, D),
            "norm.weight": (D,),
        }
        if self.version == 0:
            shapes |= dict.fromkeys(ROPE_TABLES, (config.max_seq_len, config.head_dim // 2))
        if not config.tie_embeddings:
            shapes["output.weight"] = (V, D)
        kinds = [
            (kind, shape, config.n_layers if "{}" in kind else 1) for kind, shape in shapes.items()
        ]
        norms_first = sorted(kinds, key=lambda kind: len(kind[1]))
        return kinds if self.version == 0 else norms_first


def parse_header(head: bytes) -> Header:
    """Read a header from the first 256 bytes of a file, or all if it has less.

    Raises:
        ForeignFileError: It is something else; a ValueError, and the message says what it found.
        ValueError: There is nothing, too little, an unknown version, or nonsense in the header.
    """
    if not head:
        raise ValueError("is empty (0 bytes)")
    if found := foreign(head):
        raise ForeignFileError(f"is no llama2.c checkpoint but {found}")
    version = _version(head)
    if len(head) < HEADER_BYTES[version]:
        raise ValueError(
            f"has {len(head)} bytes where the header alone takes {HEADER_BYTES[version]}: it is "
            "truncated, or no llama2.c checkpoint"
        )
    numbers = _LAYOUT[version].unpack_from(head)
    if version == 0:
        *sizes, vocab_size, max_seq_len = numbers
        try:
            return _header(0, [*sizes, abs(vocab_size), max_seq_len], vocab_size > 0)
        except ValueError as error:  # nothing but these numbers tells a version 0
            raise ForeignFileError(f"is no llama2.c checkpoint: read as one, {error}") from None
    sizes, (tied, *group_size) = list(numbers[2:9]), numbers[9:]
    if tied not in (0, 1):
        raise ValueError(f"is damaged: the flag for a tied head is {tied}, must be 0 or 1")
    try:
        return _header(version, sizes, bool(tied), *group_size)
    except ValueError as error:
        raise ValueError(f"has a damaged header: {error}") from None


def _version(head: bytes) -> int:
    if len(head) < 8 or struct.unpack_from("<I", head)[0] != _MAGIC:
        return 0
    (version,) = struct.unpack_from("<i", head, 4)
    if version not in (1, 2):
        raise ValueError(
            f"is a llama2.c file of version {version}; this package reads versions 0, 1 and 2"
        )
    return version


def _header(
    version: int, sizes: Sequence[int], tied: bool, group_size: int | None = None
) -> Header:
    # The limit is below every text: four letters make a number above 500 million.
    for name, size in zip(_SIZES, sizes, strict=True):
        if not 1 <= size <= LARGEST:
            raise ValueError(f"{name}={size}: must be between 1 and {LARGEST}")
    fields: dict[str, Any] = dict(zip(_SIZES, sizes, strict=True))
    return Header(version, ModelConfig(**fields, **_AGREED, tie_embeddings=tied), group_size)


def _check_agreed(config: ModelConfig) -> None:
    others = [
        f"{name}={getattr(config, name)!r} (must be {value!r})"
        for name, value in _AGREED.items()
        if getattr(config, name) != value
    ]
    if others:
        raise ValueError(
            f"llama2.c's files cannot hold {', '.join(others)}: the header has sizes only, and the "
            "engine computes all else in one way; save with format='native'"
        )


@dataclass(frozen=True, eq=False)
class Llama2cFile:
    """What a llama2.c file holds.

    Attributes:
        version: 0, 1 or 2.
        config: The model's configuration.
        tensors: By Meta's parameter names (``layers.0.attention.wq.weight``): float32 arrays, and
            in version 2 a `QuantizedTensor` for every matrix. They are views of the file; writing
            to one changes memory alone, never the file. RoPE's tables are left out.
        group_size: Weights that share a scale; None unless the version is 2.
    """

    version: int
    config: ModelConfig
    tensors: dict[str, np.ndarray | QuantizedTensor]
    group_size: int | None = None


def read(path: str | os.PathLike[str]) -> Llama2cFile:
    """Open a llama2.c checkpoint of any version.

    Raises:
        FileNotFoundError: There is no such file.
        ForeignFileError: It is something else; a ValueError, and the message says what it found.
        ValueError: It is empty, truncated or too long, of an unknown version, or its header makes
            no sense; or a model of at most `SMALL` weights holds one that is not finite. (To look
            at those of a large one would read all of its file.)
    """
    path = Path(path)
    if kind_of(path) == "folder":
        raise ForeignFileError(f"{path} is a folder; a llama2.c checkpoint is one file")
    check_file(path)
    with open(path, "rb") as file:
        head = file.read(max(HEADER_BYTES.values()))
    try:
        header = parse_header(head)
        _check_length(header, path.stat().st_size)
    except ValueError as error:
        raise type(error)(f"{path} {error}") from None
    # Mode "c", copy on write: the arrays can be trained, and the file stays as it is.
    data = np.asarray(np.memmap(path, np.uint8, mode="c"))
    tensors = _views(header, data)
    if header.config.n_params <= SMALL:
        for name, tensor in tensors.items():
            _check_finite(name, tensor, str(path))
    return Llama2cFile(header.version, header.config, tensors, header.group_size)


def write(
    path: str | os.PathLike[str],
    config: ModelConfig,
    tensors: Mapping[str, np.ndarray],
    version: int = 0,
    group_size: int = 64,
) -> None:
    """Write a checkpoint that llama2.c's ``run`` (version 0) or ``runq`` (version 2) takes.

    Args:
        path: The file. It appears when it is complete, and only then replaces an older one.
        config: The model's configuration.
        tensors: Meta's parameter names to float32 arrays (float16 is widened). They are asked for
            one by one, so a mapping that makes them on demand need not hold all of them.
        version: 0 is what ``run`` reads, 1 the same after a proper header, 2 int8.
        group_size: In version 2, how many weights share a scale.

    Raises:
        ValueError: The format cannot hold this model, ``group_size`` does not divide the rows, or
            a tensor is missing, unexpected, of another shape or of a wider type.
        FileNotFoundError: The folder of ``path`` does not exist.
    """
    header = Header(version, config, group_size if version == 2 else None)
    entries = list(header.entries())
    names = [name for name, _ in entries if name not in ROPE_TABLES]
    check_names(tensors, names, "the tensors do not fit the configuration")
    tables = dict(zip(ROPE_TABLES, _rope_tables(config), strict=True)) if version == 0 else {}
    with replace_file(path) as file:
        file.write(header.pack())
        bar = {"unit": "tensor", "delay": 1, "leave": False}
        for name, shape in progress(entries, f"writing {Path(path).name}", **bar):
            array = tables[name] if name in tables else _checked(name, tensors[name], shape)
            for part in _parts(header, name, array):
                file.write(np.ascontiguousarray(part).data)


def _check_length(header: Header, length: int) -> None:
    expected = header.file_bytes()
    if length == expected:
        return
    config, tied = header.config, "a tied" if header.config.tie_embeddings else "an untied"
    difference = (
        f"{expected - length} are missing"
        if length < expected
        else (f"{length - expected} are too many")
    )
    raise ValueError(
        f"is {'truncated' if length < expected else 'too long'}: a version {header.version} file "
        f"with dim={config.dim}, n_layers={config.n_layers}, vocab_size={config.vocab_size} and "
        f"{tied} head, as its header says, has {expected} bytes; this has {length}, {difference}"
    )


def _views(header: Header, data: np.ndarray) -> dict[str, np.ndarray | QuantizedTensor]:
    tensors, start = {}, HEADER_BYTES[header.version]
    for name, shape in header.entries():
        stop = start + header.stored_bytes(shape)
        if name not in ROPE_TABLES:
            tensors[name] = _view(header, data[start:stop], shape)
        start = stop
    return tensors


def _view(header: Header, data: np.ndarray, shape: tuple[int, ...]) -> np.ndarray | QuantizedTensor:
    if not header.is_quantized(shape):
        return data.view("<f4").reshape(shape)
    values, scales = np.split(data, [shape[0] * shape[1]])
    values = values.view(np.int8).reshape(shape)
    return QuantizedTensor(values, scales.view("<f4").reshape(shape[0], -1))


def _parts(header: Header, name: str, array: np.ndarray) -> list[np.ndarray]:
    """What is stored of one tensor: `_view` backwards."""
    if header.group_size is None or not header.is_quantized(array.shape):
        _check_finite(name, array, "the model")
        return [array.astype("<f4", copy=False)]
    try:
        quantized = quantize(array, header.group_size)
    except ValueError as error:
        raise ValueError(f"{name} {error}") from None
    return [quantized.values, quantized.scales.astype("<f4", copy=False)]


def _checked(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    check_shapes({name: array.shape}, {name: shape}, "the tensors do not fit the configuration")
    if array.dtype not in (np.float32, np.float16):
        raise ValueError(
            f"{name} is {array.dtype}, and a llama2.c file holds float32, which would not keep it "
            "exactly; convert the model first, as model.float() does"
        )
    return array


def _check_finite(name: str, tensor: np.ndarray | QuantizedTensor, what: str) -> None:
    """Raise a ValueError where a weight, or the scale of a group of weights, is not finite."""
    array = tensor.scales if isinstance(tensor, QuantizedTensor) else tensor
    with np.errstate(over="ignore", invalid="ignore"):
        if np.isfinite(array.sum(dtype=np.float32)):  # much faster than a look at each
            return
    if bad := array.size - int(np.isfinite(array).sum()):
        raise ValueError(
            f"{what}: {name} holds {bad} numbers of {array.size} that are NaN or infinite: the "
            "weights are damaged, or a training has diverged"
        )


def _rope_tables(config: ModelConfig) -> list[Float[np.ndarray, "S half"]]:
    """The cosines and sines of every angle that version 0 carries along."""
    pairs = np.arange(0, config.head_dim, 2) / config.head_dim
    angles = np.outer(np.arange(config.max_seq_len), config.rope_theta**-pairs)  # (S, half)
    return [np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)]
