"""Sends a page's buttons for Colab, Binder and the download to its notebook of the run edition.

The theme derives their addresses from the page's source, ``book/rope.ipynb``, which is written for
the page. What readers should open is ``notebooks/rope.ipynb``; see ``scripts/run_edition.py``. A
copy of it lies beside the pages, for the download.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

FOLDER = "notebooks"


def redirect(app: Any, page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Changes the buttons' addresses, once the theme has made them."""
    own, plain = f"{page}.ipynb", f"{FOLDER}/{Path(page).name}.ipynb"
    if not Path(app.srcdir, plain).is_file():
        return
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if button.get("label") == "download-source-button":
                button["url"] = context["pathto"](plain, 1)
            elif button.get("url", "").endswith(own):
                button["url"] = button["url"].removesuffix(own) + plain


def copy(app: Any, exception: Exception | None) -> None:
    """Puts the run edition into a finished HTML build."""
    if exception is not None or app.builder.format != "html":
        return
    target = Path(app.outdir, FOLDER)
    target.mkdir(exist_ok=True)
    for path in Path(app.srcdir, FOLDER).glob("*.ipynb"):
        shutil.copy(path, target)


def setup(app: Any) -> dict[str, bool]:
    """Registers the extension, after the theme, whose buttons come at 501."""
    app.connect("html-page-context", redirect, priority=600)
    app.connect("build-finished", copy)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
