"""Puts the notebooks' SVG figures into the page itself, where its colours and fonts reach them.

An SVG behind ``<img>`` cannot know whether the reader has chosen the light or the dark page. Inside
the page its writing follows the page's text colour; see ``llama_tutorial/figures/svg.py``.
"""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.writers.html5 import HTML5Translator


def visit_image(self: HTML5Translator, node: nodes.image) -> None:
    """Writes the figure's own SVG element; all other images go Sphinx's way."""
    path = Path(self.builder.srcdir, node["uri"])
    text = path.read_text(encoding="utf-8") if path.suffix == ".svg" and path.is_file() else ""
    if not text.startswith("<svg "):
        HTML5Translator.visit_image(self, node)
        return
    alt = escape(node.get("alt", ""))
    label = f'<svg class="lt-svg" role="img" aria-label="{alt}" '
    self.body.append(f'<div class="lt-static">{text.replace("<svg ", label, 1)}</div>')


def depart_image(self: HTML5Translator, node: nodes.image) -> None:
    """Nothing is left open."""


def setup(app: Any) -> dict[str, bool]:
    """Registers the extension."""
    app.add_node(nodes.image, override=True, html=(visit_image, depart_image))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
