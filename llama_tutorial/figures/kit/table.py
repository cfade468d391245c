"""Small tables, readable by eye, by screen reader and on a phone."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from llama_tutorial.figures.kit.assets import stylesheet
from llama_tutorial.figures.kit.numbers import number_text

ARROW = "→ "


class Table:
    """Rows under a header; a notebook shows it as HTML.

    Args:
        rows: The cells, row by row; the first cell of a row names the row. Ints are shown with
            thousands separators, floats with three significant digits, strings as they are.
        header: One name for each column.
        caption: What the table shows, in a sentence.
        marked: Numbers of the rows that get an arrow, from 0 on: "you are here".

    Raises:
        ValueError: A row has not as many cells as the header.
    """

    def __init__(
        self,
        rows: Sequence[Sequence[Any]],
        header: Sequence[str],
        caption: str,
        marked: Sequence[int] = (),
    ) -> None:
        self.rows = [list(row) for row in rows]
        self.header, self.caption, self.marked = list(header), caption, set(marked)
        for row in self.rows:
            if len(row) != len(self.header):
                raise ValueError(
                    f"table row {row!r} has {len(row)} cells, the header {self.header!r} has "
                    f"{len(self.header)}: give every row one cell for each column"
                )

    def __repr__(self) -> str:
        lines = [self.header, *([cell_text(cell) for cell in row] for row in self.rows)]
        for number in self.marked:
            lines[number + 1][0] = ARROW + lines[number + 1][0]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        padded = ("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)
        return "\n".join(padded)

    def _repr_html_(self) -> str:
        columns = list(zip(*self.rows, strict=True)) or [()] * len(self.header)
        kinds = [_column_class(column) for column in columns]
        head = "".join(
            f'<th scope="col"{kind}>{escape(name)}</th>'
            for name, kind in zip(self.header, kinds, strict=True)
        )
        body = "".join(
            _row_html(row, kinds, number in self.marked) for number, row in enumerate(self.rows)
        )
        caption = escape(self.caption)
        return (
            f'<div class="lt-table">{stylesheet("table")}'
            f'<div class="lt-scroll" role="region" aria-label="{caption}" tabindex="0">'
            f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table></div></div>"
        )


def table(
    rows: Sequence[Sequence[Any]],
    header: Sequence[str],
    caption: str,
    marked: Sequence[int] = (),
) -> Table:
    """A small table, as the last expression of a cell; see :class:`Table`."""
    return Table(rows, header, caption, marked)


def cell_text(value: Any) -> str:
    """The text of a cell: ``6,738,415,616``, ``0.125``, or the string itself."""
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}".replace("-", "−")
    return number_text(value)


def _column_class(cells: Sequence[Any]) -> str:
    numeric = cells and all(isinstance(c, (int, float)) and not isinstance(c, bool) for c in cells)
    return ' class="lt-number"' if numeric else ""


def _row_html(row: Sequence[Any], kinds: Sequence[str], marked: bool) -> str:
    first, *rest = (escape(cell_text(cell)) for cell in row)
    # The eye finds the arrow; the ear hears "current".
    start = '<tr class="lt-marked" aria-current="true">' if marked else "<tr>"
    first = f'<span aria-hidden="true">{ARROW}</span>{first}' if marked else first
    cells = "".join(f"<td{kind}>{cell}</td>" for cell, kind in zip(rest, kinds[1:], strict=True))
    return f'{start}<th scope="row"{kinds[0]}>{first}</th>{cells}</tr>'
