"""Writes the scripts that bring a Llama into a page: the engine and the package's models.

They go into ``_static/llama/`` once, for all pages; a page loads them when its reader wants them.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from llama_tutorial.figures.kit.living import page_scripts


def write(app: Any, exception: Exception | None) -> None:
    """Writes them into a finished HTML build; what is there already stays as it is."""
    if exception is not None or app.builder.format != "html":
        return
    folder = Path(app.outdir) / "_static" / "llama"
    folder.mkdir(parents=True, exist_ok=True)
    for name, script in page_scripts().items():
        path = folder / f"{name}.js"
        if not path.is_file() or path.read_text(encoding="utf-8") != script:
            path.write_text(script, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Registers the extension."""
    app.connect("build-finished", write)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
