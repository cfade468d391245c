"""The engine that writes in a page: Llama 2 in plain JavaScript, with nothing to install or build.

``llama.js`` is the model and llama2.c's files, ``sampling.js`` draws the next token, and
``tokenizer.js`` is llama2.c's ``tokenizer.bin``. They follow the NumPy engine line by line and give
its ids, drawn ones as well. In Node they are modules; a page or a worker takes all three as one
script, :func:`source`.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
SCRIPTS = ("sampling.js", "tokenizer.js", "llama.js", "bugs.js")  # each builds on those before it


def source() -> str:
    """The engine as one script for a page: it defines ``Llama``, ``Tokenizer`` and ``bugs``."""
    return "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
