"""What lies in a GGUF file, as NumPy arrays: all that is read of it without torch.

:func:`~llama_tutorial.checkpoints.gguf_tensors.read_file` opens a file, or all parts of one, and
checks it; nothing of the weights is read yet. :mod:`llama_tutorial.checkpoints.gguf` makes a
PyTorch model of it, and :func:`~llama_tutorial.checkpoints.gguf_tensors.numpy_llama` one of the
NumPy engine, in which blocks of Q8_0, Q4_0 and Q4_1 can stay packed as they are.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np

from llama_tutorial._util.gguf_file import Header, Place, parts_of, read_header
from llama_tutorial._util.given_file import kind_of
from llama_tutorial._util.shapes import Float
from llama_tutorial._util.tensor_check import check_names, check_shapes, listed
from llama_tutorial.checkpoints.gguf_config import read_config
from llama_tutorial.checkpoints.names import stored_as
from llama_tutorial.config import ModelConfig
from llama_tutorial.numpy_llama import NumpyLlama
from llama_tutorial.quantization.formats import Int4Tensor, QuantizedTensor

PLAIN = ("F32", "F16", "BF16")
PACKED = {"Q8_0": (8, False), "Q4_0": (4, False), "Q4_1": (4, True)}
"""Bits, and whether there are zero points, of the types that packed matrices hold as they are."""
GROUP = 32  # weights of a block of these
EMBEDDING, HEAD = "token_embd.weight", "output.weight"
_FACTORS = "rope_freqs.weight"  # by which the rotary angles are divided, where that is not one
_SPLIT, _SPLIT_COUNT = "split.no", "split.count"


@dataclass(frozen=True, eq=False)
class GgufTensors:
    """A model in a GGUF file, or in all the parts of one, checked and not yet read.

    Attributes:
        path: The file.
        version: Of the format.
        config: The model's configuration.
        kinds: The type of each tensor, such as ``"Q8_0"``, by llama.cpp's name.
        shapes: Its shape, likewise.
        stored: Its bytes as they lie in the file, mapped, by its name.
    """

    path: Path
    version: int
    config: ModelConfig
    kinds: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    stored: Callable[[str], np.ndarray]

    def check(self, expected: Mapping[str, tuple[int, ...]]) -> None:
        """Raise a ValueError unless these are the tensors, by name and by shape."""
        what = f"{self.path} does not hold the model of its header"
        check_names(self.shapes, expected, what)
        check_shapes(self.shapes, expected, what)

    def numbers(self, name: str) -> Float[np.ndarray, "..."]:
        """A tensor in float32, or a view of the file where it is float32 or float16 there."""
        data, kind, shape = self.stored(name), self.kinds[name], self.shapes[name]
        if kind == "BF16":  # the upper half of a float32
            wide = data.view("<u2").astype(np.uint32) << np.uint32(16)
            return wide.view(np.float32).reshape(shape)
        if kind in PLAIN:
            return data.view({"F32": "<f4", "F16": "<f2"}[kind]).reshape(shape)
        library, rows = gguf_package(), data.reshape(*shape[:-1], -1)
        with np.errstate(all="ignore"):  # a scale may be anything in a damaged file
            numbers = library.quants.dequantize(rows, library.GGMLQuantizationType[kind])
        return numbers.reshape(shape)

    def packed(self, name: str) -> QuantizedTensor | Int4Tensor:
        """A matrix of Q8_0, Q4_0 or Q4_1: its integers, scales and zero points.

        Raises:
            ValueError: A scale or a zero point is not finite.
        """
        bits, zeros = PACKED[self.kinds[name]]
        rows, columns = self.shapes[name]
        blocks = self.stored(name).reshape(rows, columns // GROUP, -1)
        n_halves = 2 if zeros else 1
        halves = np.ascontiguousarray(blocks[..., : 2 * n_halves]).view("<f2")
        if not np.isfinite(halves).all():
            raise ValueError(
                f"{self.path}: {name} holds scales that are NaN or infinite: it is damaged"
            )
        integers = np.ascontiguousarray(blocks[..., 2 * n_halves :]).reshape(rows, -1)
        if bits == 8:
            return QuantizedTensor(integers.view(np.int8), halves[..., 0])
        return Int4Tensor(integers, halves[..., 0], halves[..., 1] if zeros else None)


def read_file(path: Path) -> GgufTensors:
    """Open a GGUF file; of several parts any may be given.

    Raises:
        FileNotFoundError: A part is missing.
        ValueError: It is damaged, of a model that this package cannot compute, or of a type that
            the gguf package does not read.
        ImportError: The gguf package is not installed.
    """
    library = gguf_package()
    header, files = _headers(path)
    places = {name: (file, place) for file in files for name, place in file.tensors.items()}
    kinds = {name: _kind(library, name, place, file) for name, (file, place) in places.items()}
    _check_lie_apart(library, files)
    memory = {file.path: np.memmap(file.path, np.uint8, mode="c") for file in files}

    def stored(name: str) -> np.ndarray:
        file, place = places[name]
        n_bytes = bytes_of(library, place.shape, kinds[name])
        return np.asarray(memory[file.path][place.start : place.start + n_bytes])

    _drop_unit_factors(places, kinds, stored, path)
    shapes = {name: place.shape for name, (_, place) in places.items()}
    if EMBEDDING not in shapes:
        raise ValueError(f"{path} holds no whole Llama; missing: {EMBEDDING}")
    config = read_config(
        header.metadata,
        path,
        vocab_size=shapes[EMBEDDING][0],
        bias=any(name.endswith(".bias") for name in shapes),
        tied=HEAD not in shapes,
    )
    return GgufTensors(path, header.version, config, kinds, shapes, stored)


class _OneByOne(Mapping[str, Any]):
    """The tensors by this package's names, each read when it is asked for."""

    def __init__(self, file: GgufTensors, names: list[str]) -> None:
        self.file, self.names = file, dict.fromkeys(names)

    def __getitem__(self, name: str) -> np.ndarray | QuantizedTensor | Int4Tensor:
        theirs = stored_as(name, "gguf").name
        packed = self.file.kinds[theirs] in PACKED and len(self.file.shapes[theirs]) == 2
        return self.file.packed(theirs) if packed else self.file.numbers(theirs)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def numpy_llama(path: Path, quantize: Literal["int8", "int4"] | None = None) -> NumpyLlama:
    """The NumPy engine's model of a GGUF file, made tensor by tensor; torch is not needed.

    Args:
        path: The file; of several parts any.
        quantize: What the matrices are packed in: those that the file holds in that form stay as
            they are. None keeps a large model's matrices of Q8_0, Q4_0 and Q4_1 packed, if numba is
            installed; all else becomes float32.

    Raises:
        FileNotFoundError: A part is missing.
        ValueError: It cannot be read, its tensors do not fit its configuration, or the NumPy engine
            computes no such model.
        ImportError: The gguf package is not installed.
    """
    file = read_file(path)
    shapes = _shapes(file.config)
    # The check of biases, which such a model would have more, is the engine's.
    if not file.config.bias:
        file.check({stored_as(name, "gguf").name: shape for name, shape in shapes.items()})
    return NumpyLlama(file.config, _OneByOne(file, list(shapes)), quantize)


def _shapes(config: ModelConfig) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a Llama without biases, by this package's name."""
    D, F, V = config.dim, config.hidden_dim, config.vocab_size
    kv = config.n_kv_heads * config.head_dim
    layer = {
        **dict.fromkeys(("attention_norm", "ffn_norm"), (D,)),
        **{"attention.wq": (D, D), "attention.wk": (kv, D), "attention.wv": (kv, D)},
        **{"attention.wo": (D, D), "feed_forward.w1": (F, D)},
        **{"feed_forward.w2": (D, F), "feed_forward.w3": (F, D)},
    }
    shapes: dict[str, tuple[int, ...]] = {"tok_embeddings.weight": (V, D)}
    for i in range(config.n_layers):
        shapes |= {f"layers.{i}.{name}.weight": shape for name, shape in layer.items()}
    shapes["norm.weight"] = (D,)
    return shapes if config.tie_embeddings else shapes | {"output.weight": (V, D)}


def _headers(path: Path) -> tuple[Header, list[Header]]:
    """The header with the configuration, and all of a model that may be in several files."""
    header = read_header(path)
    if _SPLIT not in header.metadata and _SPLIT_COUNT not in header.metadata:
        return header, [header]
    number, count = header.metadata.get(_SPLIT), header.metadata.get(_SPLIT_COUNT)
    paths = parts_of(path)
    if count == 1:
        return header, [header]
    if count != len(paths) or type(number) is not int or not 0 <= number < len(paths):
        raise ValueError(
            f"{path} is one part of several ({_SPLIT}={number!r:.30}, {_SPLIT_COUNT}="
            f"{count!r:.30}), and its name does not say so: such files are called "
            "name-00001-of-00003.gguf"
        )
    if missing := [part.name for part in paths if not kind_of(part)]:
        raise FileNotFoundError(
            f"{path} is one of {count} parts of a model; missing beside it: {listed(missing)}"
        )
    files = [read_header(part) for part in paths]
    for i, file in enumerate(files):
        if (file.metadata.get(_SPLIT), file.metadata.get(_SPLIT_COUNT)) != (i, count):
            raise ValueError(f"{file.path} is not part {i + 1} of {count}, as its name says")
    names = [name for file in files for name in file.tensors]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{listed(twice)} is in several parts of {path}")
    return files[0], files


def _kind(library: ModuleType, name: str, place: Place, file: Header) -> str:
    """The name of a tensor's type, after a check that its bytes are in the file."""
    try:
        kind = library.GGMLQuantizationType(place.type)
        known = kind.name in PLAIN or kind in library.quants._type_traits
    except ValueError:
        known, kind = False, None
    if kind is None or not known:
        is_called = "" if kind is None else f", {kind.name}"
        raise ValueError(
            f"{file.path}: {listed([name])} is of type {place.type}{is_called}, which the gguf "
            "package cannot turn into numbers"
        )
    block, _ = library.GGML_QUANT_SIZES[kind]
    if place.shape[-1] % block:
        raise ValueError(
            f"{file.path} is damaged: {listed([name])} is {kind.name}, in blocks of {block}, and "
            f"has rows of {place.shape[-1]}"
        )
    n_bytes, size = bytes_of(library, place.shape, kind.name), file.path.stat().st_size
    if place.start + n_bytes > size:
        raise ValueError(
            f"{file.path} is truncated: {listed([name])} takes {n_bytes} bytes at byte "
            f"{place.start}, and the file has {size}; download or write it again"
        )
    return kind.name


def bytes_of(library: ModuleType, shape: tuple[int, ...], kind: str) -> int:
    block, size = library.GGML_QUANT_SIZES[library.GGMLQuantizationType[kind]]
    return math.prod(shape) // block * size


def _check_lie_apart(library: ModuleType, files: list[Header]) -> None:
    """Raise a ValueError where two tensors share bytes: training one would change the other."""
    for file in files:
        ends, last = 0, ""
        for name, place in sorted(file.tensors.items(), key=lambda item: item[1].start):
            if place.start < ends:
                raise ValueError(
                    f"{file.path} is damaged: {listed([name])} lies over {listed([last])}"
                )
            kind = library.GGMLQuantizationType(place.type).name
            ends, last = place.start + bytes_of(library, place.shape, kind), name


def _drop_unit_factors(
    places: dict[str, Any], kinds: dict[str, str], stored: Callable[[str], np.ndarray], path: Path
) -> None:
    """Leave out factors of the rotary angles that are one; others make another model."""
    if _FACTORS not in places:
        return
    if kinds[_FACTORS] != "F32" or not (stored(_FACTORS).view("<f4") == 1).all():
        raise ValueError(
            f"{path} holds {_FACTORS}, factors of the rotary angles as Llama 3.1 has them, which "
            "this package cannot compute"
        )
    del places[_FACTORS], kinds[_FACTORS]


def in_words(kinds: dict[str, str], shapes: dict[str, tuple[int, ...]]) -> str:
    """The types of the tensors, that of the most numbers first."""
    numbers: Counter[str] = Counter()
    for name, kind in kinds.items():
        numbers[kind] += math.prod(shapes[name])
    *most, last = (kind for kind, _ in numbers.most_common())
    return f"{', '.join(most)} and {last}" if most else last


def gguf_package() -> ModuleType:
    """The gguf package; an ImportError that says how to get it where it is not there."""
    try:
        return import_module("gguf")
    except ModuleNotFoundError as error:
        raise ImportError(
            "GGUF files need the package of that name: pip install 'llama-tutorial[gguf]'"
        ) from error
