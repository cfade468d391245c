"""Damaged files of every format: each loads, or is refused with an error that says so.

    python tests/fuzz_files.py --files 20000 --seed 1

Every case is made from its seed and number alone, so ``--only NUMBER`` makes one again, and
``--keep FOLDER`` leaves its files there. A mutation knows the structure: it changes a value of the
JSON, a number of the header, an opcode of the pickle, an entry of the archive; or plainly bytes.

A case is good if the file loads, as a model whose tensors have the shapes that its configuration
says, or is refused with a ValueError or FileNotFoundError in one line that names it; within 10
seconds and with less than 1 GB of memory. Cases run in a process of their own, which is killed and
replaced where it does not come back.
"""

from __future__ import annotations

import argparse
import faulthandler
import json
import multiprocessing
import os
import pickletools
import random
import re
import shutil
import signal
import struct
import sys
import tempfile
import time
import warnings
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # the package of this source tree

SECONDS, MEGABYTES = 10, 1000
GOOD = ("loaded", "ValueError", "FileNotFoundError")


class Outcome(NamedTuple):
    """What became of one case."""

    number: int
    kind: str
    what: str  # one of GOOD, or what went wrong
    seconds: float
    megabytes: float
    text: str = ""


# The files that are damaged


def build_corpus(folder: Path) -> None:
    """One small file or folder of every kind."""
    import torch

    from llama_tutorial import ModelConfig, Tokenizer, Transformer, save_model
    from llama_tutorial.checkpoints import save_adapter
    from llama_tutorial.lora import add_lora
    from llama_tutorial.pretraining import tokenize
    from llama_tutorial.tokenizer.gpt2 import GPT2Tokenizer, _printable

    torch.manual_seed(0)
    tokenizer = Tokenizer.train(["the cat sat on the mat", "a dog ran to the park"] * 20, 290)
    config = ModelConfig(16, 2, 4, 2, 24, 290, 32)
    model = Transformer(config)
    save_model(model, folder / "native", tokenizer=tokenizer)
    save_model(model, folder / "meta", "meta", tokenizer=tokenizer)
    save_model(model, folder / "meta2", "meta", shards=2)
    save_model(model, folder / "huggingface", "huggingface", tokenizer=tokenizer)
    tied = Transformer(config.replace(tie_embeddings=True))
    save_model(tied, folder / "tied", "meta")
    for version, name in enumerate(("llama2c", "llama2c-v1", "llama2c-int8")):
        save_model((model, tied)[version % 2], folder / f"v{version}.bin", name, group_size=8)

    save_model(model, folder / "x.gguf", "gguf", tokenizer=tokenizer)
    wide = config.replace(dim=32, hidden_dim=64)
    quantized = Transformer(wide.replace(tie_embeddings=True))
    save_model(quantized, folder / "q.gguf", "gguf", tokenizer=tokenizer, quantize="q4_0")

    pickled = folder / "pickle"
    shutil.copytree(folder / "huggingface", pickled)
    from safetensors.torch import load_file, save_file

    tensors = load_file(pickled / "model.safetensors")
    (pickled / "model.safetensors").unlink()
    torch.save(tensors, pickled / "pytorch_model.bin")
    legacy = folder / "legacy"
    shutil.copytree(folder / "meta", legacy)
    state = torch.load(legacy / "consolidated.00.pth")
    wrapped = {"model": {f"module.{name}": t for name, t in state.items()}, "step": 3}
    torch.save(wrapped, legacy / "consolidated.00.pth", _use_new_zipfile_serialization=False)
    index = folder / "index"
    shutil.copytree(folder / "huggingface", index)
    (index / "model.safetensors").unlink()
    places = {key: f"model-0000{1 + n % 2}-of-00002.safetensors" for n, key in enumerate(tensors)}
    for file in set(places.values()):
        save_file({key: tensors[key] for key in tensors if places[key] == file}, index / file)
    about = {"metadata": {"total_size": 1}, "weight_map": places}
    (index / "model.safetensors.index.json").write_text(json.dumps(about))

    gpt2 = config.replace(
        n_kv_heads=4, norm="layernorm", feed_forward="gelu", positions="learned", bias=True,
        tie_embeddings=True, vocab_size=260,
    )  # fmt: skip
    merges = [("t", "h"), ("th", "e"), ("Ġ", "the")]
    pieces = [*_printable(), *("".join(pair) for pair in merges), "<|endoftext|>"]
    words = GPT2Tokenizer({piece: i for i, piece in enumerate(pieces)}, merges)
    save_model(Transformer(gpt2), folder / "gpt2", "huggingface", tokenizer=words)
    both = folder / "tokenizer.json"
    both.mkdir()
    (both / "tokenizer.json").write_text(
        json.dumps(
            {
                "added_tokens": [{"id": 259, "content": "<|endoftext|>", "special": True}],
                "normalizer": None,
                "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
                "decoder": {"type": "ByteLevel"},
                "model": {
                    "type": "BPE",
                    "vocab": {piece: i for i, piece in enumerate(pieces[:-1])},
                    "merges": [" ".join(pair) for pair in merges],
                },
            }
        )
    )
    add_lora(model, rank=2)
    (folder / "adapter").mkdir()
    shutil.copytree(folder / "native", folder / "adapter" / "base")
    save_adapter(model, folder / "adapter" / "a", base=folder / "adapter" / "base")

    tokenizer.save(folder / "tokenizer.model")
    tokenizer.save_tokenizer_bin(folder / "tokenizer.bin")
    lines = [
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Yes"}]},
        {"instruction": "Name it.", "input": "A kite.", "output": "Kite."},
    ]
    (folder / "dialogs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines * 3))
    (folder / "stream").mkdir()
    tokenize(["the cat sat"] * 200, tokenizer, folder / "stream" / "x.tokens", source="x")


# What is done with them


def _use_model(model: Any) -> None:
    from llama_tutorial.checkpoints.weights import empty_model, shapes_of

    assert not model.training
    assert shapes_of(model) == shapes_of(empty_model(model.config))
    for tensor in model.state_dict().values():
        assert tensor.isfinite().all()


def _load_model(path: Path) -> None:
    from llama_tutorial import load_model

    _use_model(load_model(path))


def _load_both_engines(path: Path) -> None:
    from llama_tutorial.numpy_llama import NumpyLlama

    errors = []
    for load in (_load_model, NumpyLlama.load):
        try:
            load(path)
        except ValueError as error:
            errors.append(error)
    assert len(errors) != 1, f"one engine loads what the other refuses: {errors[0]}"
    if errors:
        raise errors[0]


def _load_pair(path: Path) -> None:
    from llama_tutorial import load

    model, tokenizer = load(path)
    _use_model(model)
    assert model.config.vocab_size == tokenizer.vocab_size
    _use_tokenizer(tokenizer)


def _use_tokenizer(tokenizer: Any) -> None:
    for text in ("the cat sat", " é\n語 <s>"):
        ids = tokenizer.encode(text)
        assert all(0 <= i < tokenizer.vocab_size for i in ids)
        assert isinstance(tokenizer.decode(ids), str)
    tokenizer.decode(range(tokenizer.vocab_size))


def _load_tokenizer(path: Path) -> None:
    from llama_tutorial import BPETokenizer, load_tokenizer

    _use_tokenizer(load_tokenizer(path))
    _use_tokenizer(BPETokenizer.from_file(path))


def _load_gpt2_tokenizer(path: Path) -> None:
    from llama_tutorial.tokenizer.gpt2 import GPT2Tokenizer

    _use_tokenizer(GPT2Tokenizer.from_folder(path))


def _load_dialogs(path: Path) -> None:
    from llama_tutorial.finetuning.dialog_file import read_dialogs

    for dialog in read_dialogs(path):
        assert all(isinstance(text, str) for message in dialog for text in message.values())


def _load_stream(path: Path) -> None:
    from llama_tutorial.pretraining import TokenStream

    stream = TokenStream(path / "x.tokens", 2, 8)
    ids = stream.batch(1).inputs
    assert 0 <= int(ids.min()) <= int(ids.max()) < stream.info.vocab_size


KINDS: dict[str, tuple[str, Callable[[Path], None]]] = {
    "native": ("native", _load_model),
    "native pair": ("native", _load_pair),
    "meta": ("meta", _load_model),
    "meta in two": ("meta2", _load_model),
    "meta tied": ("tied", _load_model),
    "meta as before 1.6": ("legacy", _load_model),
    "huggingface": ("huggingface", _load_model),
    "huggingface pair": ("huggingface", _load_pair),
    "huggingface pickle": ("pickle", _load_model),
    "huggingface index": ("index", _load_model),
    "gpt2 pair": ("gpt2", _load_pair),
    "adapter": ("adapter/a", _load_model),
    "llama2c v0": ("v0.bin", _load_both_engines),
    "llama2c v1": ("v1.bin", _load_both_engines),
    "llama2c v2": ("v2.bin", _load_both_engines),
    "gguf": ("x.gguf", _load_model),
    "gguf pair": ("q.gguf", _load_pair),
    "gguf's tokenizer": ("x.gguf", _load_tokenizer),
    "tokenizer.model": ("tokenizer.model", _load_tokenizer),
    "tokenizer.bin": ("tokenizer.bin", _load_tokenizer),
    "tokenizer.json": ("tokenizer.json", _load_gpt2_tokenizer),
    "dialogs": ("dialogs.jsonl", _load_dialogs),
    "token stream": ("stream", _load_stream),
}
"""Kind to the file or folder, and what is done with it."""


# Mutations of bytes

NUMBERS = (0, 1, -1, 2, 3, 7, 255, 2**15, 2**24, 2**24 + 1, 2**31 - 1, -(2**31), 2**32 - 1)

OTHER_FILES = (
    *(b"", b"{}", b"[]", b"null", b"<html></html>", b"PK\3\4", b"\xff\xfe{\0}\0"),
    *(b"version https://git-lfs.github.com/spec/v1\n", b"GGUF" + bytes(30)),
)


def mutate_bytes(data: bytes, dice: random.Random) -> bytes:
    """Flip, cut, insert, remove, repeat, or write a number."""
    if not data:
        return dice.randbytes(dice.randint(1, 50))
    # Near the beginning, where headers are, as often as anywhere.
    end = dice.choice((min(len(data), 300), len(data)))
    at, size = dice.randrange(end), dice.choice((1, 2, 4, 8, 16, 100, 1000))
    kind = dice.randrange(8)
    if kind == 0:
        changed = bytearray(data)
        for _ in range(dice.choice((1, 1, 1, 2, 8, 64))):
            changed[dice.randrange(end)] ^= 1 << dice.randrange(8)
        return bytes(changed)
    if kind == 1:
        return data[: dice.choice((at, len(data) - dice.randint(1, min(len(data), 40))))]
    if kind == 2:
        filler = dice.choice((dice.randbytes(size), bytes(size), b"\xff" * size))
        return data[:at] + filler + data[at:]
    if kind == 3:
        return data[:at] + data[at + size :]
    if kind == 4:
        return data[: at + size] + data[at : at + size] + data[at + size :]
    if kind == 5:
        number = dice.choice(NUMBERS) & (2**32 - 1)
        at -= at % 4 * dice.randrange(2)
        return (data[:at] + struct.pack("<I", number) + data[at + 4 :])[: len(data)]
    if kind == 6:
        number = dice.choice((0x7FC00000, 0x7F800000, 0xFF800000, 0x7F7FFFFF, 1))  # of float32
        at -= at % 4
        return (data[:at] + struct.pack("<I", number) + data[at + 4 :])[: len(data)]
    return dice.choice((*OTHER_FILES, bytes(len(data))))


# Mutations of JSON


class Raw(str):
    """Text that is put into JSON as it is."""


VALUES = (
    0, 1, 2, -1, 3, 5, 7, 255, 10**6, 2**24, 2**24 + 1, 2**31, 2**40, 2**62, 2**64, 10**30,
    -(2**63), 10**12 + 1, 0.0, 0.5, 1.5, -1.0, 16.0, 1e-300, 1e30, 1e308, True, False, None,
    "", "a", "16", "../x", "/etc/passwd", "a" * 5000, "\0", "\ud800", "..", "NaN", [], [1],
    ["a"], [[]], [None] * 10, {}, {"a": 1}, {"weight_map": {}}, [0, 2**63], "llama", "gpt2",
    Raw("NaN"), Raw("Infinity"), Raw("-Infinity"), Raw("1e999"), Raw("9" * 5000),
    Raw("[" * 100000), Raw("[" * 70 + "]" * 70), Raw('{"a":1,"a":2}'), Raw("-0"), Raw(""),
    Raw("0" * 3 + "1"), Raw("1" * 400), Raw("1e-400"), Raw('"\\ud800"'), Raw("tru"),
)  # fmt: skip
KEYS = (
    *("a", "", "use_scaled_rope", "rope_theta", "rope_scaling", "x" * 3000, "format", "head_dim"),
    *("quantization_config", "architectures", "model_type"),
)


def _value(dice: random.Random) -> Any:
    """A value of a wrong kind or size."""
    return dice.choice(VALUES)


def _places(value: Any, path: tuple = ()) -> Iterator[tuple]:
    yield path
    if isinstance(value, dict | list):
        for key, child in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _places(child, (*path, key))


def _dump(value: Any) -> str:
    """JSON, in which a `Raw` is itself, and the same key may stand twice."""
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, dict):
        rows = (f"{json.dumps(key.rstrip(chr(1)))}: {_dump(v)}" for key, v in value.items())
        return "{" + ", ".join(rows) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_dump, value)) + "]"
    return json.dumps(value)


def mutate_json(text: str, dice: random.Random) -> str:
    """Change a value, remove, repeat, add or rename a key."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    places = list(_places(value))
    path = dice.choice(places)
    if not path:
        return _dump(_value(dice))
    parent = value
    for key in path[:-1]:
        parent = parent[key]
    key, kind = path[-1], dice.randrange(6)
    if kind == 0:
        del parent[key]
    elif kind == 1 and isinstance(parent, dict):
        parent[f"{key}\1"] = dice.choice((parent[key], _value(dice)))  # the same key again
    elif kind == 2 and isinstance(parent, dict):
        parent[dice.choice(KEYS)] = _value(dice)
    elif kind == 3:
        other = value
        for step in dice.choice(places):
            other = other[step]
        parent[key] = json.loads(json.dumps(other))
    elif kind == 4 and type(parent[key]) in (int, float):
        change = dice.choice((lambda x: x + 1, lambda x: x * 2, lambda x: -x, lambda x: x * 1000,
            lambda x: x - 1, lambda x: float(x), lambda x: str(x), lambda x: x + 0.5))  # fmt: skip
        parent[key] = change(parent[key])
    else:
        parent[key] = _value(dice)
    return _dump(value)


# Mutations of each format


def mutate_safetensors(data: bytes, dice: random.Random) -> bytes:
    """Its header's JSON, or the length of it."""
    (length,) = struct.unpack("<Q", data[:8])
    header, rest = data[8 : 8 + length], data[8 + length :]
    if dice.randrange(8) == 0:
        wrong = dice.choice((0, 1, length - 1, length + 1, length * 2, 2**31, 2**63, 2**64 - 1))
        return struct.pack("<Q", wrong % 2**64) + data[8:]
    contents = json.loads(header)
    names = [name for name in contents if name != "__metadata__"]
    kind = dice.randrange(5)
    if kind == 0:
        contents[dice.choice(names)]["dtype"] = dice.choice(
            ("F64", "F32", "F16", "BF16", "I64", "I8", "U8", "BOOL", "F8_E4M3", "F8_E5M2", "C64",
                "F4", "F8_E8M0", "U16", "F6_E2M3", "", "f32", None, 5)
        )  # fmt: skip
    elif kind == 1:
        entry = contents[dice.choice(names)]
        shape = entry["shape"]
        entry["shape"] = dice.choice(
            (shape[::-1], [*shape, 1], [], [0], [math_product(shape)], [2**32, 2**32], [-1])
        )
    elif kind == 2:
        one, other = dice.choice(names), dice.choice(names)
        contents[one], contents[other] = contents[other], contents[one]
    elif kind == 3:
        entry = contents[dice.choice(names)]
        entry["data_offsets"] = [
            number + dice.choice((-4, 0, 4)) for number in entry["data_offsets"]
        ]
    text = json.dumps(contents) if kind < 4 else mutate_json(header.decode(), dice)
    header = text.encode("utf-8", "surrogatepass")
    header += b" " * (-len(header) % 8)
    return struct.pack("<Q", len(header)) + header + rest


def math_product(shape: list[int]) -> int:
    """All sizes multiplied."""
    product = 1
    for size in shape:
        product *= size
    return product


def mutate_zip(data: bytes, dice: random.Random, scratch: Path) -> bytes:
    """Entries of the archive: cut, longer, renamed, repeated, packed, or with another pickle."""
    scratch.write_bytes(data)
    with zipfile.ZipFile(scratch) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    kind, chosen = dice.randrange(8), dice.randrange(len(entries))
    name, content = entries[chosen]
    packed = zipfile.ZIP_STORED
    if kind == 0:
        entries[chosen] = (name, content[: dice.choice((0, 1, len(content) // 2))])
    elif kind == 1:
        entries[chosen] = (name, content + bytes(dice.choice((1, 64, 4096))))
    elif kind == 2:
        entries[chosen] = (dice.choice(("a", f"{name}x", f"x/{name}", "../a", "")), content)
    elif kind == 3:
        entries.append((name, dice.choice((content, content[:10], b""))))
    elif kind == 4:
        packed = zipfile.ZIP_DEFLATED
        entries[chosen] = (name, dice.choice((content, bytes(len(content)), bytes(300_000_000))))
    elif kind == 5:
        entries.pop(chosen)
    else:
        number = next(i for i, (name, _) in enumerate(entries) if name.endswith("data.pkl"))
        entries[number] = (entries[number][0], mutate_pickle(entries[number][1], dice))
    with zipfile.ZipFile(scratch, "w", packed) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the same name twice
        for name, content in entries:
            archive.writestr(name, content)
    return scratch.read_bytes()


def mutate_pickle(data: bytes, dice: random.Random) -> bytes:
    """An opcode's number or name, or an opcode removed, repeated or moved."""
    ops = list(pickletools.genops(data))
    ends = [position for _, _, position in ops[1:]] + [len(data)]
    at = dice.randrange(len(ops))
    if dice.randrange(2):  # one with an argument
        at = dice.choice([i for i, (_, arg, _) in enumerate(ops) if arg is not None])
    op, arg, position = ops[at]
    piece, before, after = data[position : ends[at]], data[:position], data[ends[at] :]
    kind = dice.randrange(5)
    if kind == 0:
        return before + after
    if kind == 1:
        return before + piece * dice.choice((2, 3, 1000)) + after
    if kind == 2:
        return before + bytes([dice.randrange(256)]) + piece[1:] + after
    if "INT" in op.name or op.name == "LONG1":
        number = dice.choice((*NUMBERS, 2**40, 2**62, 2**63 - 1))
        number = (
            number if isinstance(arg, str) else dice.choice((number, int(arg) + 1, int(arg) * 2))
        )
        return before + b"\x8a\x09" + (number % 2**72).to_bytes(9, "little") + after
    if op.name in ("GLOBAL", "STACK_GLOBAL", "BINUNICODE", "SHORT_BINUNICODE"):
        text = piece.decode("utf-8", "replace")
        names = ("torch IntStorage", "torch QInt8Storage", "torch ComplexFloatStorage",
            "torch DoubleStorage", "torch._utils _rebuild_sparse_tensor", "builtins list",
            "torch._utils _rebuild_meta_tensor_no_storage", "torch._utils _rebuild_qtensor",
            "torch._utils _rebuild_tensor", "torch._utils _rebuild_parameter", "os system",
            "torch Size", "torch device", "torch FloatStorage", "collections Counter")  # fmt: skip
        if op.name == "GLOBAL":
            return before + b"c" + dice.choice(names).replace(" ", "\n").encode() + b"\n" + after
        text = dice.choice(("", "a", "0", "1", "storage", "cpu", "meta", "cuda:0", "x" * 300, text))
        return before + b"X" + struct.pack("<I", len(text.encode())) + text.encode() + after
    other = ops[dice.randrange(len(ops))]
    moved = data[other[2] : ends[ops.index(other)]]
    return before + moved + after


def mutate_legacy(data: bytes, dice: random.Random) -> bytes:
    """One of the pickles that stand one after another in an older file."""
    starts, at = [0], 0
    for _ in range(4):
        at += next(end for op, _, end in pickletools.genops(data[at:]) if op.name == "STOP") + 1
        starts.append(at)
    chosen = dice.choice((2, 3, 3, 3, 3, 0, 1))
    if chosen == 3:
        end = starts[4]
        return data[: starts[3]] + mutate_pickle(data[starts[3] : end], dice) + data[end:]
    begin, end = starts[chosen], starts[chosen + 1]
    return data[:begin] + mutate_bytes(data[begin:end], dice) + data[end:]


def mutate_header(data: bytes, dice: random.Random) -> bytes:
    """A number of a llama2.c header."""
    first = 4 * (2 if data[:4] == b"24ka" else 0)
    at = first + 4 * dice.randrange(7)
    (number,) = struct.unpack_from("<i", data, at)
    number = dice.choice((*NUMBERS, -number, number + 1, number * 2, number // 2, number - 1))
    return data[:at] + struct.pack("<I", number % 2**32) + data[at + 4 :]


def mutate_gguf(data: bytes, dice: random.Random) -> bytes:
    """A number or a name of the header, found by the names that stand before the numbers."""
    pattern = rb"([\x01-\xff]\0{7})((general|llama|tokenizer|blk|output|token_embd)[.\w]*)"
    places = [m for m in re.finditer(pattern, data) if m[1][0] == len(m[2])]
    one, other = dice.choice(places), dice.choice(places)
    kind, end = dice.randrange(6), one.end()
    if kind == 0:  # a name of the same length, perhaps one that is there already
        same = [m[2] for m in places if len(m[2]) == len(one[2])]
        name = dice.choice((*same, b"x" * len(one[2]), b"\xff" * len(one[2])))
        return data[: one.start(2)] + name + data[end:]
    if kind == 1:  # another's value, type or place
        size = dice.choice((4, 8, 12, 40))
        return data[:end] + data[other.end() : other.end() + size] + data[end + size :]
    number = dice.choice((*NUMBERS, dice.randrange(40), 2**40, 2**61, 2**62, 2**63, 2**64 - 1))
    if kind == 2:  # how many there are
        at = dice.choice((4, 8, 16))
        return data[:at] + struct.pack("<Q", number % 2**64) + data[at + 8 :]
    at = dice.choice((one.start(), end, end, end + 4, end + 4, end + 8, end + 12, end + 20))
    if kind == 3:  # a little more or less
        (number,) = struct.unpack_from("<I", data, at)
        number += dice.choice((-1, 1, 8, number, 1000))
    if kind == 5:
        return data[:at] + struct.pack("<Q", number % 2**64) + data[at + 8 :]
    return data[:at] + struct.pack("<I", number % 2**32) + data[at + 4 :]


def mutate_lines(text: str, dice: random.Random) -> str:
    """Lines of a text file: one changed, removed, repeated or moved."""
    lines = text.split("\n")
    at, kind = dice.randrange(len(lines)), dice.randrange(5)
    if kind == 0:
        del lines[at]
    elif kind == 1:
        lines.insert(dice.randrange(len(lines)), lines[at])
    elif kind == 2:
        lines[at] = dice.choice(
            ("", " ", "a", "a b", "a b c", "\0", "é", "\ud7ff" * 5, "t h", "x" * 10**5)
        )
    elif kind == 3:
        dice.shuffle(lines)
    else:
        lines[at] = mutate_json(lines[at], dice)
    return "\n".join(lines)


def mutate_file(path: Path, dice: random.Random) -> None:
    """Damage one file, most often with what is known of its format."""
    data, name = path.read_bytes(), path.name
    if dice.randrange(4) == 0 or not data:
        path.write_bytes(mutate_bytes(data, dice))
    elif name.endswith(".json"):
        text = mutate_json(data.decode("utf-8", "replace"), dice)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    elif name.endswith((".jsonl", ".txt")):
        text = mutate_lines(data.decode("utf-8", "replace"), dice)
        path.write_bytes(text.encode("utf-8", "surrogatepass"))
    elif name.endswith(".safetensors") and len(data) > 8:
        path.write_bytes(mutate_safetensors(data, dice))
    elif data.startswith(b"PK\3\4"):
        path.write_bytes(mutate_zip(data, dice, path.with_name("scratch")))
        path.with_name("scratch").unlink()
    elif name.endswith(".pth"):
        path.write_bytes(mutate_legacy(data, dice))
    elif name.endswith(".gguf") and len(data) > 2000:
        path.write_bytes(mutate_gguf(data, dice))
    elif re.fullmatch(r"v\d\.bin", name):
        path.write_bytes(mutate_header(data, dice))
    else:
        path.write_bytes(mutate_bytes(data, dice))


def mutate(path: Path, dice: random.Random) -> None:
    """Damage a file, or some file of a folder; seldom remove, empty or rename one."""
    if path.is_file():
        mutate_file(path, dice)
        return
    files = sorted(file for file in path.iterdir() if file.is_file())
    for _ in range(dice.choice((1, 1, 1, 2))):
        file = dice.choice(files)
        if not file.is_file():
            continue
        kind = dice.randrange(40)
        if kind == 0:
            file.unlink()
        elif kind == 1 and (other := dice.choice(files)).is_file():
            shutil.copy(other, file.with_name(f"{file.name}.copy"))
        elif kind == 2 and (other := dice.choice(files)).is_file():
            shutil.copy(other, file) if other != file else None
        else:
            try:
                mutate_file(file, dice)
            except Exception:  # it was damaged before, beyond its structure
                file.write_bytes(mutate_bytes(file.read_bytes(), dice))


# Running


def _peak(reset: bool = False) -> float:
    """Megabytes: the process's memory now, or its peak since the last reset."""
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024


def run_case(corpus: Path, seed: int, number: int, kinds: list[str], keep: Path | None) -> Outcome:
    """Make one case and load it."""
    dice = random.Random(f"{seed} {number}")
    kind = kinds[number % len(kinds)]
    name, use = KINDS[kind]
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "case"
        source = corpus / name
        if kind == "adapter":
            shutil.copytree(source.parent, folder)
            target = folder / source.name
        elif source.is_dir():
            target = Path(shutil.copytree(source, folder))
        else:
            folder.mkdir()
            target = Path(shutil.copy(source, folder))
        try:
            mutate(target, dice)
        except Exception as error:
            return Outcome(number, kind, "the fuzzer failed", 0.0, 0.0, repr(error))
        if keep:
            shutil.copytree(folder, keep, dirs_exist_ok=True)
        before, begin = _peak(reset=True), time.monotonic()
        what = text = ""
        try:
            signal.alarm(SECONDS)
            try:
                use(target)
            finally:
                signal.alarm(0)
        except Exception as error:
            what, text = type(error).__name__, str(error)
            if isinstance(error, UnicodeError):
                what = "UnicodeError"
            if what in GOOD:
                what = _complaint(text, target) or what
        seconds, megabytes = time.monotonic() - begin, _peak() - before
    if megabytes > MEGABYTES:
        what = f"{megabytes:.0f} MB"
    return Outcome(number, kind, what or "loaded", seconds, megabytes, text)


def _complaint(text: str, path: Path) -> str:
    """What is wrong with the message of an error of the right type."""
    if str(path.parent if path.is_file() else path) not in text:
        return "names no file"
    if "\n" in text.strip():
        return "more than one line"
    return "very long message" if len(text) > 1000 + 4 * len(str(path)) else ""


def too_slow(*_: Any) -> None:
    """End a case that takes too long."""
    raise TimeoutError(f"more than {SECONDS} seconds")


def _work(pipe: Any, corpus: Path, seed: int, kinds: list[str], keep: Path | None) -> None:
    """A process: cases as they come."""
    warnings.simplefilter("ignore")
    faulthandler.disable()
    os.environ["TQDM_DISABLE"] = "1"
    signal.signal(signal.SIGALRM, too_slow)
    while (number := pipe.recv()) is not None:
        pipe.send(run_case(corpus, seed, number, kinds, keep))


def run(
    seed: int,
    numbers: range | list[int],
    kinds: list[str] | None = None,
    keep: Path | None = None,
    until: float = float("inf"),
) -> list[Outcome]:
    """Run cases, in a process that is replaced where it dies or hangs."""
    kinds, outcomes = list(kinds or KINDS), []
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        build_corpus(corpus := Path(folder))
        process = pipe = None
        for number in numbers:
            if time.monotonic() > until:
                break
            if process is None:
                pipe, theirs = context.Pipe()
                process = context.Process(target=_work, args=(theirs, corpus, seed, kinds, keep))
                process.start()
                theirs.close()
            pipe.send(number)
            try:
                if not pipe.poll(SECONDS + 30):  # the first case imports torch
                    raise TimeoutError
                outcomes.append(pipe.recv())
            except (EOFError, ConnectionError, TimeoutError) as error:
                what = "hangs" if isinstance(error, TimeoutError) else "the process died"
                outcomes.append(Outcome(number, kinds[number % len(kinds)], what, SECONDS, 0.0))
                process.kill()
                process.join()
                process = None
        if process is not None:
            pipe.send(None)
            process.join()
    return outcomes


def report(outcomes: list[Outcome]) -> str:
    """Counts by kind and outcome, the slowest, the largest, and what is not good."""
    columns = sorted({o.what for o in outcomes}, key=lambda what: (what not in GOOD, what))
    lines = [f"{'':20}" + "".join(f"{what:>18}" for what in columns)]
    for kind in dict.fromkeys(sorted(o.kind for o in outcomes)):
        counts = Counter(o.what for o in outcomes if o.kind == kind)
        lines.append(f"{kind:20}" + "".join(f"{counts[what]:18}" for what in columns))
    counts = Counter(o.what for o in outcomes)
    lines.append(f"{'all':20}" + "".join(f"{counts[what]:18}" for what in columns))
    slowest = max(outcomes, key=lambda o: o.seconds)
    largest = max(outcomes, key=lambda o: o.megabytes)
    lines.append(f"slowest {slowest.seconds:.2f} s: {slowest.kind}, {slowest.number}")
    lines.append(f"largest {largest.megabytes:.0f} MB: {largest.kind}, {largest.number}")
    bad = [o for o in outcomes if o.what not in GOOD]
    lines += [f"BAD {o.number} {o.kind}: {o.what}: {o.text[:300]!r}" for o in bad[:60]]
    lines.append(f"{len(outcomes)} files, {len(bad)} not good")
    return "\n".join(lines)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="number of the first case")
    parser.add_argument("--only", type=int, help="run this one case")
    parser.add_argument("--kinds", nargs="+", choices=KINDS)
    parser.add_argument("--keep", type=Path, help="leave the files of the cases in this folder")
    arguments = parser.parse_args()
    numbers = range(arguments.first, arguments.first + arguments.files)
    numbers = numbers if arguments.only is None else [arguments.only]
    begin = time.monotonic()
    outcomes = run(arguments.seed, numbers, arguments.kinds, arguments.keep)
    print(f"seed {arguments.seed}, {time.monotonic() - begin:.0f} s")
    print(report(outcomes))
    if arguments.only is not None:
        print(outcomes[0])
    return any(o.what not in GOOD for o in outcomes)


if __name__ == "__main__":
    sys.exit(main())
