"""Folds the sections whose titles begin with ``Deeper: ``: the page tells the story without them.

On an HTML page such a section is a native ``<details>`` with its heading as the summary, and says
how long it takes to read. Its number, its anchor, its place in the contents and in the search stay
those of a section; for every other builder, and in the notebook, it is one as all others are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from docutils import nodes
from sphinx.transforms import SphinxTransform
from sphinx.writers.html5 import HTML5Translator

PREFIX = "Deeper: "
WORDS_A_MINUTE = 200
LINES_A_MINUTE = 15

# What nobody reads as prose: code and formulas, and what is folded once more.
_NOT_PROSE = (nodes.math, nodes.math_block, nodes.raw, nodes.image, nodes.comment)
_FOLDED = {"tag_hide-input", "tag_hide-cell", "solution"}


class MarkDeeper(SphinxTransform):
    """Marks the sections and sets the word "Deeper" apart, here and in the lists of contents."""

    default_priority = 600

    def apply(self, **_: Any) -> None:
        """Finds the titles before the contents are collected from them."""
        for section in self.document.findall(nodes.section):
            title = section[0] if isinstance(section[0], nodes.title) else nodes.title()
            first = title[0] if len(title) else None
            if isinstance(first, nodes.Text) and first.startswith(PREFIX):
                label = nodes.inline("", PREFIX.rstrip(), classes=["lt-deeper-label"])
                title[0:1] = [label, nodes.Text(first[len(PREFIX) - 1 :])]
                section["deeper"] = True


def minutes(section: nodes.section) -> int:
    """How long a section takes to read: its words, and the lines of code that are in sight."""
    words, lines = 0, 0
    for node in _in_sight(section):
        if isinstance(node, nodes.literal_block):
            lines += sum(bool(line.strip()) for line in node.astext().splitlines())
        else:
            words += len(node.astext().split())
    return max(1, round(words / WORDS_A_MINUTE + lines / LINES_A_MINUTE))


def _in_sight(node: nodes.Element) -> Iterator[nodes.Node]:
    """The texts and the code below a node, without outputs and what is folded."""
    for child in node.children:
        if isinstance(child, (nodes.Text, nodes.literal_block)):
            yield child
        elif isinstance(child, nodes.Element) and not isinstance(child, _NOT_PROSE):
            classes = set(child.get("classes", []))
            if "cell_output" not in classes and not classes & _FOLDED:
                yield from _in_sight(child)


def _is_deeper(node: nodes.Node | None) -> bool:
    return isinstance(node, nodes.section) and "deeper" in node


def visit_title(self: HTML5Translator, node: nodes.title) -> None:
    """Opens the fold before the heading, which is its summary."""
    if _is_deeper(node.parent):
        self.body.append('<details class="lt-deeper">\n<summary>')
    type(self).visit_title(self, node)


def depart_title(self: HTML5Translator, node: nodes.title) -> None:
    """Ends the summary after the heading, with the time that the section takes."""
    type(self).depart_title(self, node)
    if _is_deeper(node.parent):
        said = f"{minutes(node.parent)} min"
        self.body.append(f'<span class="lt-minutes">{said}</span></summary>\n')


def visit_section(self: HTML5Translator, node: nodes.section) -> None:
    """Begins a section as ever."""
    type(self).visit_section(self, node)


def depart_section(self: HTML5Translator, node: nodes.section) -> None:
    """Closes the fold at the section's end."""
    if _is_deeper(node):
        self.body.append("</details>\n")
    type(self).depart_section(self, node)


def setup(app: Any) -> dict[str, bool]:
    """Registers the extension."""
    app.add_transform(MarkDeeper)
    app.add_node(nodes.title, override=True, html=(visit_title, depart_title))
    app.add_node(nodes.section, override=True, html=(visit_section, depart_section))
    app.add_js_file("deeper.js")
    app.add_css_file("deeper.css")
    return {"parallel_read_safe": True, "parallel_write_safe": True}
