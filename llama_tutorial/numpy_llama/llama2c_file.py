"""llama2.c's checkpoints: one ``.bin`` file, read as NumPy arrays without torch.

Reading maps the file into memory and gives out views of it, so that a model of any size opens at
once and the system fetches what is used. Both engines start from here, the PyTorch model by way of
:mod:`llama_tutorial.checkpoints.llama2c`.

Source: ``export.py`` of llama2.c. Read next: :mod:`llama_tutorial.numpy_llama.llama2c_header` for
    the bytes,
:mod:`llama_tutorial.quantization` for version 2.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from llama_tutorial._util.files import replace_file
from llama_tutorial._util.progress import progress
from llama_tutorial._util.shapes import Float
from llama_tutorial._util.tensor_check import check_names, check_shapes
from llama_tutorial.config import ModelConfig
from llama_tutorial.numpy_llama.llama2c_header import (
    HEADER_BYTES,
    ROPE_TABLES,
    ForeignFileError,
    Header,
    parse_header,
)
from llama_tutorial.quantization import QuantizedTensor, quantize


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
            no sense.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such file")
    if path.is_dir():
        raise ForeignFileError(f"{path} is a folder; a llama2.c checkpoint is one file")
    with open(path, "rb") as file:
        head = file.read(max(HEADER_BYTES.values()))
    try:
        header = parse_header(head)
        _check_length(header, path.stat().st_size)
    except ValueError as error:
        raise type(error)(f"{path} {error}") from None
    # Mode "c", copy on write: the arrays can be trained, and the file stays as it is.
    data = np.asarray(np.memmap(path, np.uint8, mode="c"))
    return Llama2cFile(header.version, header.config, _views(header, data), header.group_size)


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
        version: 0 is what ``run`` reads, 1 the same behind a proper header, 2 int8.
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
    if not header.is_quantized(array.shape):
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


def _rope_tables(config: ModelConfig) -> list[Float[np.ndarray, "S half"]]:
    """The cosines and sines of every angle that version 0 carries along."""
    pairs = np.arange(0, config.head_dim, 2) / config.head_dim
    angles = np.outer(np.arange(config.max_seq_len), config.rope_theta**-pairs)  # (S, half)
    return [np.cos(angles).astype(np.float32), np.sin(angles).astype(np.float32)]
