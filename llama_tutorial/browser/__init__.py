"""The engine that writes in a page: Llama 2 in plain JavaScript, with nothing to install or build.

``llama.js`` is the model and llama2.c's files, ``sampling.js`` draws the next token, and
``tokenizer.js`` is llama2.c's ``tokenizer.bin``. They follow the NumPy engine line by line and give
its ids, drawn ones as well. ``worker.js`` writes with them on request. In Node they are modules; a
page or a worker takes all of them as one script, :func:`source`.
"""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent
# Each builds on those before it.
SCRIPTS = ("sampling.js", "tokenizer.js", "llama.js", "bugs.js", "worker.js")


def source() -> str:
    """The engine as one script: it defines ``Llama``, ``Tokenizer`` and ``writer``."""
    paths = [FOLDER / name for name in SCRIPTS]
    return "\n".join(path.read_text(encoding="utf-8") for path in paths if path.is_file())
