"""What the formats that are folders share: reading their JSON, and what may be replaced."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from llama_tutorial._util.tensor_check import listed
from llama_tutorial.config import ModelConfig
from llama_tutorial.tokenizer.base import BaseTokenizer
from llama_tutorial.tokenizer.gpt2 import MERGES, VOCABULARY, GPT2Tokenizer

CONFIG = "config.json"
AnyTokenizer = BaseTokenizer | GPT2Tokenizer
# By the character that stands for a space in the pieces, in which the two forms differ.
_PIECES = {"▁": "tokenizer.model", " ": "tokenizer.bin"}
TOKENIZER_FILES = frozenset({*_PIECES.values(), VOCABULARY, MERGES})


def read_json(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds; an empty one where there is no file, or it is no object.

    Raises:
        ValueError: It is not JSON.
    """
    if not path.is_file():
        return {}
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from None
    return contents if isinstance(contents, dict) else {}


def read_versioned(path: Path, name: str, version: int) -> dict[str, Any]:
    """The object of a JSON file that says which format and version it is of.

    Raises:
        ValueError: It is not JSON, or of another format or version.
    """
    contents = read_json(path)
    if contents.get("format") != name:
        raise ValueError(f'{path} is of another format: it does not say "format": "{name}"')
    if (found := contents.get("version")) != version:
        raise ValueError(
            f"{path} is of version {found!r}, and this package reads version {version}; "
            "update the package"
        )
    return contents


def write_json(contents: dict[str, Any], path: Path) -> None:
    """Write an object for people to read."""
    path.write_text(json.dumps(contents, indent=2) + "\n", encoding="utf-8")


def check_replaceable(
    folder: Path, is_ours: Callable[[Path], bool], new_names: set[str], whose: str
) -> None:
    """Refuse to delete anything but an older checkpoint's own files.

    Args:
        folder: What shall be replaced, if it is there.
        is_ours: Tells whether it is a checkpoint of the same format.
        new_names: What the new checkpoint will hold.
        whose: Format, for the message.

    Raises:
        ValueError: ``folder`` is something else, or holds a file that would be lost.
    """
    if not folder.is_dir() or not any(folder.iterdir()):
        return
    if not is_ours(folder):
        raise ValueError(
            f"{folder} is there already and no checkpoint of {whose}; choose another name"
        )
    if lost := sorted({file.name for file in folder.iterdir()} - new_names):
        raise ValueError(
            f"{folder} would lose {listed(lost)}, which the new checkpoint does not hold; move "
            "it away, choose another name, or, if it is the tokenizer, pass tokenizer="
        )


def check_tokenizer(tokenizer: AnyTokenizer | None, config: ModelConfig) -> None:
    """Refuse a tokenizer with more pieces than the model has embeddings."""
    if tokenizer is not None and tokenizer.vocab_size > config.vocab_size:
        raise ValueError(
            f"the tokenizer has {tokenizer.vocab_size} pieces, the model {config.vocab_size}: "
            "the model would not know its last ones; give the tokenizer that it was trained with"
        )


def save_tokenizer(tokenizer: AnyTokenizer, folder: Path) -> str:
    """Write a tokenizer in its own form; returns the name of its file, or of the first of two."""
    if isinstance(tokenizer, GPT2Tokenizer):
        tokenizer.save(folder)
        return VOCABULARY
    name = _PIECES[tokenizer.vocabulary.space]
    tokenizer.save(folder / name)
    return name
