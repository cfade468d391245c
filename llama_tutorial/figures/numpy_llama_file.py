"""The live figure of the NumPy chapter that lays a llama2.c file open.

Python reads the file with :mod:`llama_tutorial.numpy_llama.llama2c`; ``js/numpy_file.js``
walks through the same bytes on its own, from the header on, and the browser tests hold the two
equal.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from llama_tutorial.figures.controls import Select, Slider
from llama_tutorial.figures.live import LiveFigure
from llama_tutorial.figures.numbers import number_text
from llama_tutorial.figures.style import INK, PALETTE
from llama_tutorial.numpy_llama.llama2c import HEADER_BYTES, Header, parse_header

SIZES = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len")
N_SHOWN = 4  # numbers shown of a part's beginning


def file_walk(files: Mapping[str, str | os.PathLike[str]]) -> LiveFigure:
    """Walk through llama2.c files: where each part lies, and its first bytes as numbers.

    Args:
        files: By the words that the reader chooses from, the paths of files of one model.
    """
    data = {name: file_data(path) for name, path in files.items()}
    kinds = {name: _kinds(one) for name, one in data.items()}
    layers = max(count for parts in kinds.values() for *_, count in parts)

    def numbers(file: str, part: int, layer: int) -> dict[str, Any]:
        return file_numbers(data[file], part, layer)

    def render(file: str, part: int, layer: int) -> Figure:
        return _draw_file(data[file], part, layer)

    return LiveFigure(
        "numpy_file",
        data=data,
        controls=[
            Select("file", options=list(data), label="file"),
            Slider("part", 0, max(map(len, kinds.values())), 3, label="part of the file"),
            Slider("layer", 0, layers - 1, 0, label="layer"),
        ],
        render=render,
        numbers=numbers,
        readout="{name}: bytes {first} to {last} of {whole}, {share} % of the file. "
        "{shape} numbers; the boxes hold {values}.",
        alt="A strip for the {whole} bytes of the file, {name} marked at bytes {first} to {last}. "
        "Below, the first bytes, {hexes}, and what they mean: {values}.",
        caption="Above, the whole file to scale, every kind of tensor in a colour of its own, and "
        "the chosen part in a frame. Below, its first bytes as they lie in the file, and the "
        "numbers that they are; of an int8 matrix three weights and the scale of their group. "
        "<b>Walk through the parts</b>, then choose a layer; <b>change the file</b> and see what "
        "moves.",
        checks=[
            {"file": name, "part": part, "layer": layer}
            for name in data
            for part, layer in ((1, 0), (3, layers - 1), (9, 1), (len(kinds[name]), 0))
        ],
    )


def file_data(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What the page gets of a file: its length, its header, and how every tensor begins.

    Returns:
        ``length`` in bytes, ``header`` in hexadecimal, and ``starts``: for each tensor in the
        file's order its first bytes, and those of its scales where it is int8.
    """
    raw = Path(path).read_bytes()
    header = parse_header(raw[:256])
    at, starts = HEADER_BYTES[header.version], []
    for _, shape in header.entries():
        size = header.stored_bytes(shape)
        scales = at + shape[0] * shape[1] if header.is_quantized(shape) else at + size
        scale = raw[scales : min(scales + 4, at + size)]  # none where the numbers are float32
        starts.append([raw[at : at + 4 * N_SHOWN].hex(), scale.hex()])
        at += size
    return {"length": len(raw), "header": raw[:48].hex(), "starts": starts}


def _header(data: Mapping[str, Any]) -> Header:
    return parse_header(bytes.fromhex(data["header"]).ljust(256, b"\0"))


def _kinds(data: Mapping[str, Any]) -> list[tuple[str, tuple[int, ...], int]]:
    """Short name, shape of one tensor, and number of tensors of each kind, in the file's order."""
    kinds: dict[str, tuple[tuple[int, ...], int]] = {}
    for name, shape in _header(data).entries():
        short = [word for word in name.split(".") if word != "weight"]
        kind = short[-1] if short[0] == "layers" else ".".join(short)
        kinds[kind] = (shape, kinds.get(kind, (shape, 0))[1] + 1)
    return [(kind, shape, count) for kind, (shape, count) in kinds.items()]


def file_numbers(data: Mapping[str, Any], part: int, layer: int) -> dict[str, Any]:
    """Where one part of a file lies and how it begins; part 0 is the header.

    Args:
        data: What :func:`file_data` gives.
        part: Which kind of tensor, from 1; the last, where there are fewer.
        layer: Of which layer; the last, where there are fewer.
    """
    header, kinds = _header(data), _kinds(data)
    start, name, shape, index = HEADER_BYTES[header.version], "the header", [], 0
    first, size = 0, start
    for kind, one, count in kinds[: min(part, len(kinds))]:
        of = min(layer, count - 1)
        size = header.stored_bytes(one)
        first, start = start + of * size, start + count * size
        name, shape = f"{kind} of layer {of}" if count > 1 else kind, list(one)
        place, index = index + of, index + count
    fields = _fields(header, data, place if shape else None, shape)
    return {
        "name": name,
        "first": f"{first:,}",
        "last": f"{first + size - 1:,}",
        "whole": f"{data['length']:,}",
        "size": size,
        "share": 100 * size / data["length"],
        "shape": " × ".join(map(str, shape)) or str(len(fields)),
        "hexes": [hexes for hexes, _, _ in fields],
        "values": [value for _, value, _ in fields],
        "labels": [label for _, _, label in fields],
    }


def _fields(
    header: Header, data: Mapping[str, Any], place: int | None, shape: list[int]
) -> list[tuple[str, float | int | str, str]]:
    """The first bytes of a part, the number that they are, and what it is called."""
    if place is None:
        return _header_fields(header, bytes.fromhex(data["header"]))
    raw, scale = map(bytes.fromhex, data["starts"][place])
    if not header.is_quantized(tuple(shape)):
        values = struct.unpack(f"<{N_SHOWN}f", raw)
        return [(_spaced(raw[4 * i : 4 * i + 4]), v, "float32") for i, v in enumerate(values)]
    integers = struct.unpack(f"<{N_SHOWN - 1}b", raw[: N_SHOWN - 1])
    shown = [(_spaced(raw[i : i + 1]), v, "int8") for i, v in enumerate(integers)]
    return [*shown, (_spaced(scale), struct.unpack("<f", scale)[0], "scale")]


def _header_fields(header: Header, raw: bytes) -> list[tuple[str, float | int | str, str]]:
    names = [(name, "<i", 4) for name in SIZES]
    if header.version:
        names = [("magic", "4s", 4), ("version", "<i", 4), *names, ("tied head", "<B", 1)]
    if header.version == 2:
        names.append(("group size", "<i", 4))
    fields, at = [], 0
    for name, form, size in names:
        (value,) = struct.unpack_from(form, raw, at)
        value = value.decode() if isinstance(value, bytes) else value
        fields.append((_spaced(raw[at : at + size]), value, name))
        at += size
    return fields


def _spaced(raw: bytes) -> str:
    return raw.hex(" ")


def _draw_file(data: Mapping[str, Any], part: int, layer: int) -> Figure:
    header, numbers = _header(data), file_numbers(data, part, layer)
    figure, (strip, below) = plt.subplots(2, 1, figsize=(4.6, 2.7), height_ratios=[1, 3])
    start = HEADER_BYTES[header.version]
    for number, (_, shape, count) in enumerate(_kinds(data)):
        size = count * header.stored_bytes(shape)
        strip.barh(0, size, left=start, color=PALETTE[number % 5], alpha=0.5)
        start += size
    width = max(numbers["size"], data["length"] / 200)
    first = int(numbers["first"].replace(",", ""))
    strip.barh(0, width, left=first, fill=False, edgecolor=INK, linewidth=2)
    strip.set(xlim=(0, data["length"]), yticks=[], xlabel="byte")
    strip.set_title(numbers["name"], loc="left")
    for i, (hexes, value, label) in enumerate(
        zip(numbers["hexes"], numbers["values"], numbers["labels"], strict=True)
    ):
        x, y = i % N_SHOWN, -(i // N_SHOWN)
        below.text(x, y, f"{hexes}\n{number_text(value)}\n{label}", ha="center", va="center")
    below.set(xlim=(-0.5, N_SHOWN - 0.5), ylim=(-2.6, 0.6))
    below.axis("off")
    return figure
