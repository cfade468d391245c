"""The engine that writes in a page: Llama 2 in plain JavaScript, with nothing to install or build.

``llama.js`` is the model and llama2.c's files, ``sampling.js`` draws the next token, and
``tokenizer.js`` is llama2.c's ``tokenizer.bin``. They follow the NumPy engine line by line and give
its ids, drawn ones as well. ``dialog.js`` is the dialog format. ``bugs.js`` switches on the
mistakes of :mod:`llama_tutorial.bugs`, one at a time, and ``quantization.js`` rounds the weights;
``worker.js`` writes on request. In Node they are modules; a page or a worker takes all of them as
one script, :func:`source`.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
# Each builds on those before it.
SCRIPTS = (
    "sampling.js",
    "tokenizer.js",
    "dialog.js",
    "llama.js",
    "quantization.js",
    "bugs.js",
    "worker.js",
)


def source() -> str:
    """The engine as one script: it defines ``Llama``, ``Tokenizer``, ``bugs`` and ``writer``."""
    return "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS)
