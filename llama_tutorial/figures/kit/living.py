"""The scripts that bring a Llama into a page: the engine, and one for each model of the package.

A page loads them when its reader first wants them, from ``_static/llama/``, where the book's
extension ``living_llama`` writes them. They are scripts and not data because a page that was
opened from a folder may load nothing else. ``_llama.js`` is the page's side.
"""

from __future__ import annotations

import json
import tempfile
import zlib
from base64 import b64encode
from functools import cache
from pathlib import Path

import numpy as np

from llama_tutorial import browser
from llama_tutorial.checkpoints import load_model, save_model
from llama_tutorial.shipped import SHIPPED
from llama_tutorial.tokenizer import load_tokenizer

HEADER = 256  # bytes, of llama2.c's versions 1 and 2


@cache
def page_scripts() -> dict[str, str]:
    """Each script by the name of its file, ``engine`` or that of a model, without ``.js``."""
    return {"engine": _script("engine", browser.source())} | {
        name: _script(name, _asset(name)) for name in SHIPPED
    }


def megabytes(name: str) -> str:
    """What a page loads before a model writes its first word: ``"2.4 MB"``."""
    scripts = page_scripts()
    size = sum(len(scripts[one].encode()) for one in ("engine", name))
    return f"{size / 1e6:.1f}\N{NO-BREAK SPACE}MB"


def n_params(name: str) -> str:
    """How many weights a model of the package has: ``"1.3 million"``."""
    count = load_model(SHIPPED[name].model).config.n_params
    return f"{count / 1e6:.1f}\N{NO-BREAK SPACE}million"


def _script(name: str, value: object) -> str:
    return f"(globalThis.llamaAssets ??= {{}})[{json.dumps(name)}] = {json.dumps(value)};\n"


def _asset(name: str) -> dict[str, object]:
    """Tokenizer and model of the package, exactly as ``load(name)`` has them, packed.

    The model is a llama2.c file in one part, or in three where its weights are float32 that were
    stored in 16 bits: the header, the lower bytes of those 16, and the upper ones. In int8 the
    weights would take half the room, but draw other texts than Python.
    """
    shipped = SHIPPED[name]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tokenizer.bin"
        load_tokenizer(shipped.tokenizer).save_tokenizer_bin(path)
        tokenizer = path.read_bytes()
        path = shipped.model
        if path.is_dir():
            path = Path(folder) / "model.bin"
            save_model(load_model(shipped.model, dtype="float32"), path, "llama2c-v1")
        model = path.read_bytes()
    parts = [model]
    if shipped.model.is_dir():
        weights = np.frombuffer(model[HEADER:], np.uint8).reshape(-1, 4)
        if not weights[:, :2].any():
            parts = [model[:HEADER], weights[:, 2].tobytes(), weights[:, 3].tobytes()]
    return {"model": [_packed(part) for part in parts], "tokenizer": _packed(tokenizer)}


def _packed(data: bytes) -> str:
    """Bytes that a browser unpacks by itself, in base64.

    Weights hold no repeated strings to find: Huffman's code alone makes them smaller than the
    highest level does, and of nearly the same size with every build of zlib.
    """
    packer = zlib.compressobj(strategy=zlib.Z_HUFFMAN_ONLY)
    return b64encode(packer.compress(data) + packer.flush()).decode()
