"""Makes the live figures figures of the book: each has a number, which ``{numref}`` can cite.

The label is the one that the figure's HTML carries, ``fig-rope-clocks`` for the script
``rope/clocks``; where a chapter shows a figure again, ``fig-rope-clocks-2``. The number goes into
the figure's own caption. In the notebook, the HTML stays what it is.
"""

from __future__ import annotations

import re
from collections import Counter
from html import unescape
from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.util import logging
from sphinx.writers.html5 import HTML5Translator

logger = logging.getLogger(__name__)

_LABEL = re.compile(r'<figure class="lt-figure"[^>]* data-label="([^"]+)"')
_CAPTION = re.compile(r"<figcaption>(.*?)</figcaption>", re.DOTALL)


class live_figure(nodes.figure):  # noqa: N801 as docutils names its nodes
    """A live figure: a figure to all that numbers and cites, with the output's HTML inside."""


def caption_text(node: nodes.Node) -> str:
    """The words of a live figure's caption, without their markup."""
    caption = _CAPTION.search(node.astext())
    return unescape(re.sub(r"<[^>]+>", "", caption[1])) if caption else ""


class NumberLiveFigures(SphinxTransform):
    """Finds the outputs that are live figures and gives them their labels."""

    default_priority = 600

    def apply(self, **_: Any) -> None:
        """Wraps each output before the figures are counted."""
        shown = Counter[str]()
        for raw in list(self.document.findall(nodes.raw)):
            found = _LABEL.search(raw.astext())
            if "html" not in raw.get("format", "") or not found:
                continue
            label = found[1]
            shown[label] += 1
            if shown[label] > 1:
                label = f"{label}-{shown[label]}"
            if label in self.document.nameids:
                logger.error(
                    "the live figure and another figure or section of this page both have the "
                    "label %r: give the other one another name",
                    label,
                    location=raw,
                )
                continue
            figure = live_figure("", names=[label])
            figure.source, figure.line = raw.source, raw.line
            raw.replace_self(figure)
            figure += raw
            self.document.note_explicit_target(figure)


def visit_live_figure(self: HTML5Translator, node: live_figure) -> None:
    """Writes the output with the number at the head of its caption, and a link to it."""
    self.body.append(self.starttag(node, "div", CLASS="lt-numbered"))
    begin = len(self.body)
    self.add_fignumber(node)
    number = "".join(self.body[begin:])
    del self.body[begin:]
    self.add_permalink_ref(node, "Link to this figure")
    link = "".join(self.body[begin:])
    del self.body[begin:]
    raw = node[0]
    html = _CAPTION.sub(
        lambda match: f"<figcaption>{number}{match[1]}{link}</figcaption>", raw.astext(), count=1
    )
    raw.children = [nodes.Text(html)]


def depart_live_figure(self: HTML5Translator, _: live_figure) -> None:
    """Ends it."""
    self.body.append("</div>\n")


def setup(app: Any) -> dict[str, bool]:
    """Registers the extension."""
    app.add_enumerable_node(
        live_figure, "figure", caption_text, html=(visit_live_figure, depart_live_figure)
    )
    app.add_transform(NumberLiveFigures)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
