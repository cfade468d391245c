"""The live figures of the NumPy chapter: a llama2.c file laid open, and what bounds a token's time.

Python reads the file with :mod:`llama_tutorial.numpy_llama.llama2c` and counts operations
with :class:`llama_tutorial.config.ModelConfig`; ``file.js`` walks through the same bytes on its
own, from the header on, ``cost.js`` counts again, and the browser tests hold the two equal.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llama_tutorial.config import PRESETS, ModelConfig
from llama_tutorial.figures.kit.controls import Select, Slider, Stops
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.numpy_llama.llama2c import HEADER_BYTES, Header, parse_header

SIZES = ("dim", "hidden_dim", "n_layers", "n_heads", "n_kv_heads", "vocab_size", "max_seq_len")
N_SHOWN = 4  # numbers shown of a part's beginning
LENGTHS = [2**i for i in range(13)]
RIDGES = [1, 2, 4, 8, 16, 32, 64, 128, 256]


# The file


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

    return LiveFigure(
        "numpy_llama/file",
        data=data,
        controls=[
            Select("file", options=list(data), label="file"),
            Slider("part", 0, max(map(len, kinds.values())), 3, label="part of the file"),
            Slider("layer", 0, layers - 1, 0, label="layer"),
        ],
        numbers=numbers,
        readout="{name}: bytes {first} to {last} of {whole}, {share} % of the file. "
        "{shape} numbers; the boxes hold {values}.",
        alt="A strip for the {whole} bytes of the file, {name} marked at bytes {first} to {last}. "
        "Below, the first bytes, {hexes}, and what they mean: {values}.",
        caption="Above, the whole file to scale, with the names of all but the smallest kinds of "
        "tensor, and the chosen part in a frame. Below, its first bytes as they lie in the file, "
        "and the numbers that they are; of an int8 matrix three weights and the scale of their "
        "group. <b>Walk through the parts</b>, then choose a layer; <b>change the file</b> and "
        "see what moves.",
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


# The cost


def cost(tales: ModelConfig) -> LiveFigure:
    """The time of a token with a cache and without one, as memory and arithmetic bound it.

    Args:
        tales: The configuration of the chapter's own model.
    """
    models = {
        "tales": tales,
        "stories15M": PRESETS["stories15M"],
        "stories110M": PRESETS["stories110M"],
        "Llama 2 7B": PRESETS["llama-2-7b"],
    }

    def numbers(model: str, tokens: int, ridge: int) -> dict[str, Any]:
        return cost_numbers(models[model], tokens, ridge)

    return LiveFigure(
        "numpy_llama/cost",
        data={"models": {name: _counts(config) for name, config in models.items()}},
        controls=[
            Select("model", options=list(models), label="model"),
            Stops("tokens", 256, LENGTHS, label="the text so far", unit=" tokens"),
            Stops("ridge", 8, RIDGES, label="operations for a byte read"),
        ],
        numbers=numbers,
        readout="With {tokens}: {naive_ops} billion operations without a cache, {cached_ops} with "
        "one, {fewer} times fewer. Without a cache the token takes {faster} times as long, bound "
        "by {bound}, and the cache begins to pay at {pays} tokens.",
        alt="Time of one token, in readings of all weights, against the length of the text, both "
        "axes logarithmic. With a cache it is {cached_time} at {tokens}, nearly level. Without, it "
        "is level up to about {pays} tokens and then climbs, to {naive_time} at {tokens}.",
        caption="The least time that a token can take, on a processor which does so many "
        "operations while its memory brings one byte. One unit is the time to read all weights "
        "once. <b>Move the text's length</b> along both lines; then <b>change the processor</b>, "
        "and watch where the orange line leaves the floor.",
        checks=[
            {"model": name, "tokens": tokens, "ridge": ridge}
            for name in models
            for tokens, ridge in ((16, 2), (256, 32))
        ],
    )


def _counts(config: ModelConfig) -> dict[str, int]:
    """What the script needs to count: numbers of weights, sizes, bytes of cache."""
    head = config.vocab_size * config.dim
    read = config.n_params - (0 if config.tie_embeddings else head)
    norms = (2 * config.n_layers + 1) * config.dim
    return {
        "read": read,
        "matrices": read - head - norms,
        "head": head,
        "mixing": 2 * config.n_layers * config.dim,
        "cache": config.kv_bytes_per_token("float32"),
        "context": config.max_seq_len,
    }


def operations(config: ModelConfig, tokens: int) -> tuple[int, int]:
    """Floating-point operations of the newest token's logits: the whole text anew, and cached.

    The head is applied to the last position alone, and attention scores every pair of positions,
    those to come among them, as the chapter's page of code does.
    """
    counts = _counts(config)
    naive = tokens * counts["matrices"] + counts["head"] + counts["mixing"] * tokens**2
    cached = counts["matrices"] + counts["head"] + counts["mixing"] * tokens
    return 2 * naive, 2 * cached


def times(config: ModelConfig, tokens: int, ridge: int) -> tuple[float, float]:
    """The least time of both ways, in readings of all float32 weights, by the roofline."""
    counts = _counts(config)
    naive, cached = operations(config, tokens)
    unit = 4 * counts["read"]
    return (
        max(naive / ridge, unit) / unit,
        max(cached / ridge, unit + tokens * counts["cache"]) / unit,
    )


def cost_numbers(config: ModelConfig, tokens: int, ridge: int) -> dict[str, Any]:
    """Operations and least times of both ways for one more token of a text.

    Args:
        config: The model.
        tokens: Length of the text, the newest token included; the context, where that is shorter.
        ridge: Operations that the processor does while memory brings a byte.
    """
    tokens = min(tokens, config.max_seq_len)
    naive, cached = operations(config, tokens)
    naive_time, cached_time = times(config, tokens, ridge)
    pays = (n for n in range(1, config.max_seq_len + 1) if _pays(config, n, ridge))
    bounds = naive_time > 1
    return {
        "naive_ops": naive / 1e9,
        "cached_ops": cached / 1e9,
        "fewer": naive / cached,
        "naive_time": naive_time,
        "cached_time": cached_time,
        "faster": naive_time / cached_time,
        "bound": "arithmetic" if bounds else "memory",
        "pays": next(pays, "no number of"),
    }


def _pays(config: ModelConfig, tokens: int, ridge: int) -> bool:
    naive, cached = times(config, tokens, ridge)
    return naive > cached
