"""GGUF, llama.cpp's format: configuration, tokenizer and weights in one file, or in a few parts.

The header is :mod:`llama_tutorial._util.gguf_file`'s, the configuration
:mod:`~llama_tutorial.checkpoints.gguf_config`'s, the tokenizer
:mod:`llama_tutorial.tokenizer.gguf_vocabulary`'s, and what the tensors are called stands in the
table of :mod:`~llama_tutorial.checkpoints.names`.

Vectors are in float32. Matrices may be as well, or in 16 bits; but mostly they are quantized, cut
into blocks of 32 or 256 numbers that share a scale or two. Q8_0, for instance::

    34 bytes: a float16, the scale; 32 int8                          8.5 bits a weight
    Q4_0, 18: a float16; 32 numbers of 4 bits, from which 8 is taken    4.5
    Q4_K, 144 for 256: two float16, eight scales and eight minimums of 6 bits, 4 bits a number

What is in float32, float16 or bfloat16 alone stays in the file, mapped, and is a model of that
type; all else becomes float32, one tensor at a time. A packed model
(:mod:`llama_tutorial.quantization`) takes Q8_0, Q4_0 and Q4_1 as they are, to the bit, and gives
them back so. The arithmetic of the blocks is the gguf package's.

Source: ``ggml-quants.c`` of ggml, which the gguf package follows.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llama_tutorial._util.files import replace_file
from llama_tutorial._util.gguf_file import Header, Place, parts_of, read_header
from llama_tutorial._util.given_file import kind_of
from llama_tutorial._util.progress import progress
from llama_tutorial._util.tensor_check import check_names, check_shapes, listed
from llama_tutorial.chat.dialog import CHAT_TEMPLATE
from llama_tutorial.checkpoints.folders import AnyTokenizer, check_tokenizer
from llama_tutorial.checkpoints.gguf_config import read_config, write_config
from llama_tutorial.checkpoints.names import stored_as
from llama_tutorial.checkpoints.weights import Checkpoint, check_state, dtype_name, empty_model
from llama_tutorial.model import Transformer
from llama_tutorial.quantization.formats import Int4Tensor, QuantizedTensor
from llama_tutorial.quantization.linear import (
    GROUP,
    PARTS,
    QuantizedLinear,
    plan,
    quantized_layers,
    replace_layer,
)
from llama_tutorial.quantization.packed import PackedMatrix
from llama_tutorial.tokenizer.base import BaseTokenizer
from llama_tutorial.tokenizer.gguf_vocabulary import format_vocabulary

QUANTIZATIONS = {"q8_0": "Q8_0", "q4_0": "Q4_0"}
_PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
_EMBEDDING, _HEAD = "token_embd.weight", "output.weight"
_FACTORS = "rope_freqs.weight"  # by which the rotary angles are divided, where that is not one
_SPLIT, _SPLIT_COUNT = "split.no", "split.count"
# Bits, and whether there are zero points, of the types that packed layers hold as they are.
_PACKED = {"Q8_0": (8, False), "Q4_0": (4, False), "Q4_1": (4, True)}


@contextmanager
def opened(path: Path, quantize: str | None = None) -> Iterator[Checkpoint]:
    """The checkpoint in a GGUF file, or in all the parts of one, checked and not yet read.

    Args:
        path: The file; of several parts any.
        quantize: What the model is to be packed in, ``"int8"`` or ``"int4"``: matrices that the
            file holds in that form stay as they are, to the bit.

    Raises:
        FileNotFoundError: A part is missing.
        ValueError: It is damaged, of a model that this package cannot compute, of a type that the
            gguf package does not read, or its tensors do not fit its configuration.
        ImportError: The gguf package is not installed.
    """
    library = _library()
    header, files = _headers(path)
    places = {name: (file, place) for file in files for name, place in file.tensors.items()}
    kinds = {name: _kind(library, name, place, file) for name, (file, place) in places.items()}
    _check_lie_apart(library, files)
    memory = {file.path: np.memmap(file.path, np.uint8, mode="c") for file in files}

    def stored(name: str) -> np.ndarray:
        file, place = places[name]
        n_bytes = _bytes(library, place.shape, kinds[name])
        return np.asarray(memory[file.path][place.start : place.start + n_bytes])

    _drop_unit_factors(places, kinds, stored, path)
    shapes = {name: place.shape for name, (_, place) in places.items()}
    if _EMBEDDING not in shapes:
        raise ValueError(f"{path} holds no whole Llama; missing: {_EMBEDDING}")
    config = read_config(
        header.metadata,
        path,
        vocab_size=shapes[_EMBEDDING][0],
        bias=any(name.endswith(".bias") for name in shapes),
        tied=_HEAD not in shapes,
    )
    what = f"{path} does not hold the model of its header"
    model = empty_model(config, shapes, what)
    expected = {stored_as(n, "gguf").name: tuple(t.shape) for n, t in model.state_dict().items()}
    check_names(shapes, expected, what)
    check_shapes(shapes, expected, what)
    dtype = _model_dtype(expected, kinds, stored)
    words = _in_words(kinds, shapes)
    _pack_layers(model, kinds, quantize)

    def tensors() -> Iterator[tuple[str, Tensor]]:
        parts: dict[str, Tensor] = {}
        for ours in model.state_dict():
            layer, _, part = ours.rpartition(".")
            name = stored_as(f"{layer}.weight" if part in PARTS else ours, "gguf").name
            if part not in PARTS:
                yield ours, _read(library, stored(name), kinds[name], expected[name]).to(dtype)
                continue
            if part == PARTS[0]:
                parts = _packed_parts(stored(name), kinds[name], expected[name], path, name)
            yield ours, parts.pop(part)

    yield Checkpoint(path, f"GGUF, version {header.version}", words, model, tensors)


def save(
    model: Transformer,
    path: str | os.PathLike[str],
    tokenizer: AnyTokenizer | None = None,
    quantize: str | None = None,
    chat_template: bool = False,
) -> None:
    """Write ``model`` for llama.cpp; the file appears when it is complete.

    Args:
        model: A Llama in float32, float16 or bfloat16: its matrices stay as they are, and its
            vectors become float32, as llama.cpp wants them.
        path: The file.
        tokenizer: Stored in it. Without, llama.cpp takes and gives ids alone.
        quantize: ``"q8_0"`` or ``"q4_0"``: what the matrices are rounded to, where their rows are a
            multiple of 32. The output head, or the embedding that it is tied to, is Q8_0 in both:
            there rounding costs the most. A packed model is not rounded again: its layers are
            written as they are; but an embedding that is tied to a packed head becomes Q8_0.
        chat_template: Whether to say how Llama 2 lays out a dialog.

    Raises:
        FileNotFoundError: The folder that the file is to lie in does not exist.
        ValueError: llama.cpp's ``llama`` cannot be such a model, or GGUF cannot hold the tokenizer;
            or there is no such ``quantize``.
        ImportError: The gguf package is not installed.
    """
    library = _library()
    if quantize not in (None, *QUANTIZATIONS):
        names = ", ".join(map(repr, QUANTIZATIONS))
        raise ValueError(f"quantize={quantize!r:.50}: must be {names}, or None")
    config, state = model.config, check_state(model)
    keys = {**write_config(config), **_tokenizer_keys(tokenizer, model, chat_template)}
    plain = {dtype: name for name, dtype in _PLAIN.items()}
    if model.dtype not in plain:
        raise ValueError(
            f"llama.cpp does not compute in {dtype_name(next(iter(state.values())))}: convert the "
            "model first, model.float()"
        )
    own = plain[model.dtype]
    ours = {
        stored_as(name, "gguf").name: matrix
        for name, matrix in _floating_or_packed(model, state).items()
    }
    head = _HEAD if _HEAD in ours else _EMBEDDING
    kinds = {}
    for name, tensor in ours.items():
        kinds[name] = own if len(tensor.shape) == 2 else "F32"
        if isinstance(tensor, PackedMatrix):
            kinds[name] = _kind_of(tensor)
        elif quantize is not None and tensor.ndim == 2 and tensor.shape[1] % GROUP == 0:
            kinds[name] = "Q8_0" if name == head else QUANTIZATIONS[quantize]
    file_types = library.LlamaFileType
    of_file = kinds["blk.0.attn_q.weight"]
    kind = file_types.ALL_F32 if of_file == "F32" else file_types[f"MOSTLY_{of_file}"]
    with replace_file(path) as file:
        writer = library.GGUFWriter(None, "llama")
        writer.add_type("model")
        writer.add_file_type(int(kind))
        writer.add_custom_alignment(library.GGUF_DEFAULT_ALIGNMENT)
        if not set(kinds.values()) <= _PLAIN.keys():
            writer.add_quantization_version(library.GGML_QUANT_VERSION)
        for key, value in keys.items():
            _add(writer, key, value)
        types = {name: library.GGMLQuantizationType[kind] for name, kind in kinds.items()}
        for name, tensor in ours.items():
            n_bytes = _bytes(library, tuple(tensor.shape), kinds[name])
            as_float = np.dtype(np.float32)
            writer.add_tensor_info(name, tuple(tensor.shape), as_float, n_bytes, types[name])
        # Its own way to a file is a name; this file has none yet that another may open.
        writer.fout, writer.state = [file], library.gguf_writer.WriterState.EMPTY
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        bar = {"unit": "tensor", "delay": 1, "leave": False}
        for name, tensor in progress(ours.items(), f"writing {Path(path).name}", **bar):
            writer.write_tensor_data(_packed(library, tensor, kinds[name]))


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
        known = kind.name in _PLAIN or kind in library.quants._type_traits
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
    n_bytes, size = _bytes(library, place.shape, kind.name), file.path.stat().st_size
    if place.start + n_bytes > size:
        raise ValueError(
            f"{file.path} is truncated: {listed([name])} takes {n_bytes} bytes at byte "
            f"{place.start}, and the file has {size}; download or write it again"
        )
    return kind.name


def _bytes(library: ModuleType, shape: tuple[int, ...], kind: str) -> int:
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
            ends, last = place.start + _bytes(library, place.shape, kind), name


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


def _pack_layers(model: Transformer, kinds: dict[str, str], quantize: str | None) -> None:
    """Make packed layers, without storage, of those whose matrix the file holds in their form."""
    if quantize is None:
        return
    found = {}
    for layer, (bits, _) in plan(model, quantize).items():
        kind = kinds.get(stored_as(f"{layer}.weight", "gguf").name)
        if kind in _PACKED and _PACKED[kind][0] == bits:
            found[layer] = kind
    # A model of int4 whose blocks are in another form is packed when it is read, its head as well.
    if quantize == "int4" and all(_PACKED[kind][0] == 8 for kind in found.values()):
        return
    for layer, kind in found.items():
        floating: Any = model.get_submodule(layer)
        rows, columns = floating.weight.shape
        bits, zeros = _PACKED[kind]
        bias, half = getattr(floating, "bias", None), torch.float16
        packed = QuantizedLinear(columns, rows, bits, GROUP, bias, half, zeros, device="meta")
        replace_layer(model, layer, packed)


def _packed_parts(
    data: np.ndarray, kind: str, shape: tuple[int, ...], path: Path, name: str
) -> dict[str, Tensor]:
    """The arrays of a packed layer: the file's integers, moved, and its scales."""
    bits, zeros = _PACKED[kind]
    rows, columns = shape
    blocks = data.reshape(rows, columns // GROUP, -1)
    n_halves = 2 if zeros else 1
    halves = np.ascontiguousarray(blocks[..., : 2 * n_halves]).view("<f2")
    if not np.isfinite(halves).all():
        raise ValueError(f"{path}: {name} holds scales that are NaN or infinite: it is damaged")
    integers = np.ascontiguousarray(blocks[..., 2 * n_halves :]).reshape(rows, -1)
    tensor: QuantizedTensor | Int4Tensor
    if bits == 8:
        tensor = QuantizedTensor(integers.view(np.int8), halves[..., 0])
    else:
        tensor = Int4Tensor(integers, halves[..., 0], halves[..., 1] if zeros else None)
    matrix = PackedMatrix.pack(tensor)
    arrays = {part: getattr(matrix, part) for part in PARTS}
    return {part: torch.from_numpy(a) for part, a in arrays.items() if a is not None}


def _in_words(kinds: dict[str, str], shapes: dict[str, tuple[int, ...]]) -> str:
    """The types of the tensors, that of the most numbers first."""
    numbers: Counter[str] = Counter()
    for name, kind in kinds.items():
        numbers[kind] += math.prod(shapes[name])
    *most, last = (kind for kind, _ in numbers.most_common())
    return f"{', '.join(most)} and {last}" if most else last


def _model_dtype(
    shapes: dict[str, tuple[int, ...]], kinds: dict[str, str], stored: Callable[[str], np.ndarray]
) -> torch.dtype:
    """What holds all numbers of a file as they are: the matrices' own type, or float32."""
    matrices = {kinds[name] for name, shape in shapes.items() if len(shape) == 2}
    dtype = _PLAIN.get(next(iter(matrices)), torch.float32) if len(matrices) == 1 else torch.float32
    for name, shape in shapes.items():
        if dtype is torch.float32:
            break
        if len(shape) == 1:
            vector = (
                _read(None, stored(name), kinds[name], shape) if kinds[name] in _PLAIN else None
            )
            if vector is None or not torch.equal(vector.to(dtype).float(), vector.float()):
                dtype = torch.float32
    return dtype


def _read(library: Any, data: np.ndarray, kind: str, shape: tuple[int, ...]) -> Tensor:
    """A tensor in its own type where PyTorch has that, else in float32."""
    if kind in _PLAIN:
        return torch.from_numpy(data).view(_PLAIN[kind]).reshape(shape)
    rows = data.reshape(*shape[:-1], -1)
    with np.errstate(all="ignore"):  # a scale may be anything in a damaged file
        numbers = library.quants.dequantize(rows, library.GGMLQuantizationType[kind])
    return torch.from_numpy(numbers.reshape(shape))


def _floating_or_packed(
    model: Transformer, state: dict[str, Tensor]
) -> dict[str, Tensor | PackedMatrix]:
    """Each weight by its name, in the model's order; that of a packed layer as it is packed."""
    layers = quantized_layers(model)
    found: dict[str, Tensor | PackedMatrix] = {}
    for name, tensor in state.items():
        layer, _, part = name.rpartition(".")
        if part not in PARTS:
            found[name] = tensor
        elif part == PARTS[0]:
            tied = layer == "output" and model.config.tie_embeddings
            place = "tok_embeddings.weight" if tied else f"{layer}.weight"
            found[place] = layers[layer].cpu().packed
    return found


def _kind_of(matrix: PackedMatrix) -> str:
    """The type that holds a packed matrix as it is; else float32, which holds its numbers."""
    form = (matrix.bits, matrix.zeros is not None)
    fits = matrix.group_size == GROUP and matrix.scales.dtype == np.float16
    return next((kind for kind, its in _PACKED.items() if fits and its == form), "F32")


def _packed(library: ModuleType, tensor: Tensor | PackedMatrix, kind: str) -> np.ndarray:
    """The bytes of a tensor in a type."""
    if isinstance(tensor, PackedMatrix):
        return _blocks(tensor) if kind in _PACKED else tensor.dequantize().view(np.uint8)
    tensor = tensor.detach().cpu()
    if kind in _PLAIN:
        plain = tensor.to(_PLAIN[kind]).resolve_neg().contiguous()
        return plain.flatten().view(torch.uint8).numpy()
    return library.quants.quantize(tensor.float().numpy(), library.GGMLQuantizationType[kind])


def _blocks(matrix: PackedMatrix) -> np.ndarray:
    """A packed matrix as GGUF has it: the scale, and the zero point, before each group."""
    rows = matrix.unpack()
    integers, halves = _integers(rows), [rows.scales]
    if isinstance(rows, Int4Tensor) and rows.zeros is not None:
        halves.append(rows.zeros)
    parts = [*halves, integers]
    groups = [np.ascontiguousarray(p).view(np.uint8).reshape(*rows.scales.shape, -1) for p in parts]
    return np.concatenate(groups, -1).reshape(len(integers), -1)


def _integers(rows: QuantizedTensor | Int4Tensor) -> np.ndarray:
    return rows.values if isinstance(rows, QuantizedTensor) else rows.packed


def _tokenizer_keys(
    tokenizer: AnyTokenizer | None, model: Transformer, chat_template: bool
) -> dict[str, Any]:
    check_tokenizer(tokenizer, model.config)
    if tokenizer is None:
        return {"tokenizer.ggml.model": "none"}
    if not isinstance(tokenizer, BaseTokenizer):
        raise ValueError(
            "GGUF cannot hold this tokenizer beside a Llama: its pieces are GPT-2's, not "
            "SentencePiece's; leave tokenizer= out"
        )
    keys = format_vocabulary(tokenizer.vocabulary, model.config.vocab_size)
    return {**keys, "tokenizer.chat_template": CHAT_TEMPLATE} if chat_template else keys


def _add(writer: Any, key: str, value: Any) -> None:
    """One key of the header, in the type in which llama.cpp asks for it."""
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _library() -> ModuleType:
    try:
        return import_module("gguf")
    except ModuleNotFoundError as error:
        raise ImportError(
            "GGUF files need the package of that name: pip install 'llama-tutorial[gguf]'"
        ) from error
