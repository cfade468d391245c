"""Serves MathJax with the book: one file of the sphinx-mathjax-offline wheel, no foreign host.

The file holds its glyphs as SVG paths, so it needs no fonts and works from a ``file:`` address too.
"""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

FILE = "tex-svg-full.js"


def copy(app: Any, exception: Exception | None) -> None:
    """Puts MathJax among the static files of a finished HTML build."""
    if exception is not None or app.builder.format != "html":
        return
    source = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax" / FILE
    target = Path(app.outdir) / "_static" / "mathjax"
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target / FILE)


def setup(app: Any) -> dict[str, bool]:
    """Registers the extension."""
    app.config.mathjax_path = f"mathjax/{FILE}"
    app.connect("build-finished", copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
