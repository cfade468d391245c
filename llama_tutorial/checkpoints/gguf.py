"""GGUF, llama.cpp's format: configuration, tokenizer and weights in one file, or in a few parts.

The header is :mod:`llama_tutorial._util.gguf_file`'s, the configuration
:mod:`~llama_tutorial.checkpoints.gguf_config`'s, the tokenizer
:mod:`llama_tutorial.tokenizer.gguf_vocabulary`'s, and what the tensors are called stands in the
table of :mod:`~llama_tutorial.checkpoints.names`. What needs no torch, and the way into the NumPy
engine, is :mod:`~llama_tutorial.checkpoints.gguf_tensors`.

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

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from llama_tutorial._util.files import replace_file
from llama_tutorial._util.progress import progress
from llama_tutorial.chat.dialog import CHAT_TEMPLATE
from llama_tutorial.checkpoints.folders import AnyTokenizer, check_tokenizer
from llama_tutorial.checkpoints.gguf_config import write_config
from llama_tutorial.checkpoints.gguf_tensors import (
    EMBEDDING,
    HEAD,
    PACKED,
    GgufTensors,
    bytes_of,
    gguf_package,
    in_words,
    read_file,
)
from llama_tutorial.checkpoints.names import stored_as
from llama_tutorial.checkpoints.weights import Checkpoint, check_state, dtype_name, empty_model
from llama_tutorial.model import Transformer
from llama_tutorial.quantization.formats import Int4Tensor, QuantizedTensor
from llama_tutorial.quantization.linear import (
    GROUP,
    PARTS,
    plan,
    put_packed,
    quantized_layers,
)
from llama_tutorial.quantization.packed import PackedMatrix
from llama_tutorial.tokenizer.base import BaseTokenizer
from llama_tutorial.tokenizer.gguf_vocabulary import format_vocabulary

QUANTIZATIONS = {"q8_0": "Q8_0", "q4_0": "Q4_0"}
_PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}


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
    file = read_file(path)
    model = empty_model(file.config, file.shapes, f"{path} does not hold the model of its header")
    expected = {stored_as(n, "gguf").name: tuple(t.shape) for n, t in model.state_dict().items()}
    file.check(expected)
    dtype = _model_dtype(expected, file)
    words = in_words(file.kinds, file.shapes)
    _pack_layers(model, file.kinds, quantize)

    def tensors() -> Iterator[tuple[str, Tensor]]:
        parts: dict[str, Tensor] = {}
        for ours in model.state_dict():
            layer, _, part = ours.rpartition(".")
            name = stored_as(f"{layer}.weight" if part in PARTS else ours, "gguf").name
            if part not in PARTS:
                yield ours, _read(file, name).to(dtype)
                continue
            if part == PARTS[0]:
                parts = _packed_parts(file.packed(name))
            yield ours, parts.pop(part)

    yield Checkpoint(path, f"GGUF, version {file.version}", words, model, tensors)


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
            written as they are.
        chat_template: Whether to say how Llama 2 lays out a dialog.

    Raises:
        FileNotFoundError: The folder that the file is to lie in does not exist.
        ValueError: llama.cpp's ``llama`` cannot be such a model, or GGUF cannot hold the tokenizer;
            or there is no such ``quantize``.
        ImportError: The gguf package is not installed.
    """
    library = gguf_package()
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
    head = HEAD if HEAD in ours else EMBEDDING
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
            n_bytes = bytes_of(library, tuple(tensor.shape), kinds[name])
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


def _pack_layers(model: Transformer, kinds: dict[str, str], quantize: str | None) -> None:
    """Make packed layers, without storage, of those whose matrix the file holds in their form."""
    if quantize is None:
        return
    found = {}
    for layer, (bits, _) in plan(model, quantize).items():
        kind = kinds.get(stored_as(f"{layer}.weight", "gguf").name)
        # An embedding of four bits stays so: eight would not make it any better.
        own = quantize == "int4" and layer == "tok_embeddings"
        if kind in PACKED and (own or PACKED[kind][0] == bits):
            found[layer] = kind
    # A model of int4 whose blocks are in another form is packed when it is read, its head as well.
    if quantize == "int4" and not any(layer.startswith("layers.") for layer in found):
        return
    for layer, kind in found.items():
        floating: Any = model.get_submodule(layer)
        rows, columns = floating.weight.shape
        bits, zeros = PACKED[kind]
        empty = partial(torch.empty, rows, columns // GROUP, device="meta")
        parts = {"integers": empty(dtype=torch.int8 if bits == 8 else torch.uint8)}
        parts |= {part: empty(dtype=torch.float16) for part in PARTS[1 : 3 if zeros else 2]}
        put_packed(model, layer, parts)


def _packed_parts(tensor: QuantizedTensor | Int4Tensor) -> dict[str, Tensor]:
    """The arrays of a packed layer: the file's integers, moved, and its scales."""
    matrix = PackedMatrix.pack(tensor)
    arrays = {part: getattr(matrix, part) for part in PARTS}
    return {part: torch.from_numpy(a) for part, a in arrays.items() if a is not None}


def _model_dtype(shapes: dict[str, tuple[int, ...]], file: GgufTensors) -> torch.dtype:
    """What holds all numbers of a file as they are: the matrices' own type, or float32."""
    kinds = file.kinds
    matrices = {kinds[name] for name, shape in shapes.items() if len(shape) == 2}
    dtype = _PLAIN.get(next(iter(matrices)), torch.float32) if len(matrices) == 1 else torch.float32
    for name, shape in shapes.items():
        if dtype is torch.float32:
            break
        if len(shape) == 1:
            vector = _read(file, name) if kinds[name] in _PLAIN else None
            if vector is None or not torch.equal(vector.to(dtype).float(), vector.float()):
                dtype = torch.float32
    return dtype


def _read(file: GgufTensors, name: str) -> Tensor:
    """A tensor in its own type where PyTorch has that, else in float32."""
    if (kind := file.kinds[name]) in _PLAIN:
        return torch.from_numpy(file.stored(name)).view(_PLAIN[kind]).reshape(file.shapes[name])
    return torch.from_numpy(file.numbers(name))


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
            found[f"{layer}.weight"] = layers[layer].cpu().packed
    return found


def _kind_of(matrix: PackedMatrix) -> str:
    """The type that holds a packed matrix as it is; else float32, which holds its numbers."""
    form = (matrix.bits, matrix.zeros is not None)
    fits = matrix.group_size == GROUP and matrix.scales.dtype == np.float16
    return next((kind for kind, its in PACKED.items() if fits and its == form), "F32")


def _packed(library: ModuleType, tensor: Tensor | PackedMatrix, kind: str) -> np.ndarray:
    """The bytes of a tensor in a type."""
    if isinstance(tensor, PackedMatrix):
        return _blocks(tensor) if kind in PACKED else tensor.dequantize().view(np.uint8)
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
