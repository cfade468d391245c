"""Text cut into pieces, as a row of boxes: real text that wraps, in the page and in a notebook.

The live figures of the tokenizer chapter are built on it, and any other figure that shows tokens
may be. What a box says is decided here and in ``js/_pieces.js``; the browser tests hold the two
equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from typing import Any

from llama_tutorial.figures.assets import FOLDER, stylesheet
from llama_tutorial.figures.live import LiveFigure
from llama_tutorial.tokenizer.vocabulary import BYTE_PIECE

Box = tuple[str, object, str]


class PieceFigure(LiveFigure):
    """A live figure whose script may use ``js/_pieces.js`` and whose picture is rows of pieces."""

    def __init__(self, script: str, **options: Any) -> None:
        super().__init__(script, **options)
        shared = (FOLDER / "js" / "_pieces.js").read_text(encoding="utf-8")
        self.script = shared + "\n" + self.script


def kind_of(piece: str) -> str:
    """The class of a piece's box: a byte, unknown, a single character, or merged from several."""
    if BYTE_PIECE.fullmatch(piece):
        return "lt-byte"
    if piece == "<unk>":
        return "lt-unknown"
    return "lt-merged" if len(piece) > 1 else "lt-character"


def pieces_html(boxes: Iterable[Box], label: str, notes: Sequence[str] = ()) -> str:
    """A row of boxes and the lines below it.

    Args:
        boxes: For each piece its text, what stands below it, and the class of its box.
        label: What the row is, for those who do not see it.
        notes: Lines of text under the row.
    """
    row = "".join(
        f'<span class="lt-piece {kind}"><bdi>{escape(piece)}</bdi>'
        + (f"<small>{escape(str(below))}</small>" if below != "" else "")
        + "</span>"
        for piece, below, kind in boxes
    )
    lines = "".join(f'<p class="lt-note">{escape(note)}</p>' for note in notes)
    return (
        f"{stylesheet('pieces')}"
        f'<div class="lt-pieces" role="group" aria-label="{escape(label)}">{row}</div>{lines}'
    )


def well_formed(text: str) -> str:
    """The text with U+FFFD for half of a character, which a text field may cut off."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
