"""What the formats that are folders share: their marks, their JSON, and what may be replaced.

A folder's format shows in the names of its files and in its JSON, which is read here, once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from llama_tutorial._util.given_file import kind_of
from llama_tutorial._util.json_file import read_json
from llama_tutorial._util.tensor_check import listed
from llama_tutorial.config import ModelConfig
from llama_tutorial.tokenizer.base import BaseTokenizer
from llama_tutorial.tokenizer.gpt2 import MERGES, VOCABULARY, GPT2Tokenizer

CONFIG, PARAMS, ADAPTER = "config.json", "params.json", "adapter.json"
PEFT = "adapter_config.json"
# What "format" says in this package's own config.json and adapter.json.
NATIVE_FORMAT, ADAPTER_FORMAT = "llama-tutorial", "llama-tutorial-adapter"
SAFETENSORS, PICKLE = "model.safetensors", "pytorch_model.bin"
KINDS = (SAFETENSORS, f"{SAFETENSORS}.index.json", PICKLE, f"{PICKLE}.index.json")
SHARDS = "consolidated.[0-9][0-9].pth"
AnyTokenizer = BaseTokenizer | GPT2Tokenizer
# By the character that stands for a space in the pieces, in which the two forms differ.
_PIECES = {"▁": "tokenizer.model", " ": "tokenizer.bin"}
TOKENIZER_FILES = frozenset({*_PIECES.values(), VOCABULARY, MERGES})  # whatever its kind


def read_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds; an empty one where there is no file, or it is no object.

    Raises:
        ValueError: :func:`~llama_tutorial._util.json_file.read_json` refuses it.
    """
    if not kind_of(path):
        return {}
    contents = read_json(path)
    return contents if isinstance(contents, dict) else {}


def formats_of(folder: Path) -> dict[str, dict[str, Any]]:
    """The formats whose marks a folder bears, whatever their version and state.

    Returns:
        For each format, by the name of its module in this room, what its JSON file says: that of
        ``config.json``, ``params.json``, ``adapter.json`` or ``adapter_config.json``.

    Raises:
        ValueError: One of these files is not JSON.
    """
    config, adapter = read_object(folder / CONFIG), read_object(folder / ADAPTER)
    found = {}
    if config.get("format") == NATIVE_FORMAT:
        found["native"] = config
    if (folder / PARAMS).is_file() or any(folder.glob(SHARDS)):
        found["meta"] = read_object(folder / PARAMS)
    if "model_type" in config or "architectures" in config:
        found["huggingface"] = config
    elif not (folder / CONFIG).is_file() and any((folder / kind).is_file() for kind in KINDS):
        found["huggingface"] = {}  # its config.json is missing
    if adapter.get("format") == ADAPTER_FORMAT:
        found["adapter"] = adapter
    elif peft := read_object(folder / PEFT):
        found["adapter"] = peft
    return found


def check_version(contents: dict[str, Any], path: Path, name: str, version: int) -> None:
    """Raise a ValueError unless a JSON file's contents are of this format and version."""
    if contents.get("format") != name:
        raise ValueError(f'{path} is of another format: it does not say "format": "{name}"')
    found = contents.get("version")
    if type(found) is not int or found != version:
        raise ValueError(
            f"{path} is of version {found!r:.50}, and this package reads version {version}; "
            "update the package"
        )


def write_json(contents: dict[str, Any], path: Path) -> None:
    """Write an object for people to read."""
    path.write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")


def check_replaceable(folder: Path, format: str, new_names: set[str], whose: str) -> None:
    """Refuse to delete anything but an older checkpoint's own files.

    Args:
        folder: What is to be replaced, if it is there.
        format: What it must be, as in `formats_of`.
        new_names: What the new checkpoint will hold.
        whose: The format in words, for the message.

    Raises:
        ValueError: ``folder`` is something else, or holds a file that would be lost.
    """
    if folder.is_file():
        raise ValueError(f"{folder} is a file: give the name of a folder")
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if format not in formats_of(folder):
        raise ValueError(
            f"{folder} is there already and no checkpoint of {whose}; choose another name"
        )
    lost = [entry.name for entry in folder.iterdir() if entry.name not in new_names]
    lost += [f"{name}/" for name in new_names if (folder / name).is_dir()]
    if lost := sorted(lost):
        raise ValueError(
            f"{folder} would lose {listed(lost)}, which the new checkpoint does not hold; move "
            "it away, choose another name, or, if it is the tokenizer, pass tokenizer="
        )


def check_tokenizer(tokenizer: AnyTokenizer | None, config: ModelConfig) -> None:
    """Refuse a tokenizer that `load` would refuse with this model."""
    if tokenizer is None:
        return
    pieces, rows = tokenizer.vocab_size, config.vocab_size
    if pieces > rows:
        raise ValueError(
            f"the tokenizer has {pieces} pieces, the model {rows}: "
            "the model would not know its last ones; give the tokenizer that it was trained with"
        )
    if not is_padding(pieces, rows):
        raise ValueError(
            f"the tokenizer has {pieces} pieces, the model {rows}: so many more are no padding; "
            "give the tokenizer that it was trained with"
        )


def is_padding(pieces: int, rows: int) -> bool:
    """Whether a vocabulary of ``rows`` can be one of ``pieces`` that was filled up.

    That is done to a multiple of 8 or more, often 64 or 128; or a few tokens were added, such as
    one for padding. Any other number means that the tokenizer is another model's.
    """
    more = rows - pieces
    return 0 <= more <= 8 or (rows % 8 == 0 and 0 < more < max(256, pieces // 32))


def tokenizer_names(tokenizer: AnyTokenizer | None) -> set[str]:
    """The names of the files that `save_tokenizer` writes."""
    if tokenizer is None:
        return set()
    if isinstance(tokenizer, GPT2Tokenizer):
        return {VOCABULARY, MERGES}
    return {_PIECES[tokenizer.vocabulary.space]}


def save_tokenizer(tokenizer: AnyTokenizer, folder: Path) -> str:
    """Write a tokenizer in its own form; returns the name of its file, or of the first of two."""
    if isinstance(tokenizer, GPT2Tokenizer):
        tokenizer.save(folder)
        return VOCABULARY
    name = _PIECES[tokenizer.vocabulary.space]
    tokenizer.save(folder / name)
    return name
