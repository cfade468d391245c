"""Old code beside new: the few lines of the reader's own class that a chapter changes."""

from __future__ import annotations

import ast
import inspect
import linecache
import textwrap
from collections.abc import Iterator
from difflib import SequenceMatcher
from types import FunctionType
from typing import Any

from llama_tutorial.figures.kit.assets import read, stylesheet
from llama_tutorial.figures.kit.source import highlighted

LONG = 30  # lines, from which on only what changes is shown,
CONTEXT = 3  # with so many lines around it
WIDEST = 48  # characters: longer lines are broken where the two stand side by side


class Diff:
    """Two versions of a piece of code; a notebook shows them as HTML.

    Where there is room for both they stand side by side; elsewhere, as on a phone, removed lines
    stand above those that take their place.

    Args:
        old: A function, a class, or source text.
        new: The same, as it is now.
        caption: HTML under the code: what to see in it.

    Raises:
        ValueError: The source of one cannot be found, or the two are the same.
    """

    def __init__(self, old: Any, new: Any, caption: str = "") -> None:
        self.old, self.new, self.caption = source_of(old), source_of(new), caption
        if self.old == self.new:
            raise ValueError("old and new are the same code: there is no line to show")

    def blocks(self) -> Iterator[tuple[str, list[int], list[int]]]:
        """What becomes of the lines: ``same``, ``changed`` or ``left out``, and their numbers.

        Yields:
            A word, and the numbers of the lines on the old and on the new side, from 0 on.
        """
        old, new = self.old.splitlines(), self.new.splitlines()
        matcher = SequenceMatcher(None, old, new, autojunk=False)
        context = CONTEXT if max(len(old), len(new)) > LONG else len(old)
        i_end = j_end = 0
        for group in matcher.get_grouped_opcodes(context):
            for tag, i, i_next, j, j_next in group:
                if i > i_end:
                    yield "left out", list(range(i_end, i)), list(range(j_end, j))
                i_end, j_end = i_next, j_next
                kind = "same" if tag == "equal" else "changed"
                yield kind, list(range(i, i_end)), list(range(j, j_end))
        if i_end < len(old):
            yield "left out", list(range(i_end, len(old))), list(range(j_end, len(new)))

    def __repr__(self) -> str:
        old, new = self.old.splitlines(), self.new.splitlines()
        lines = []
        for kind, i, j in self.blocks():
            if kind == "changed":
                lines += [f"- {old[n]}" for n in i] + [f"+ {new[n]}" for n in j]
            else:
                lines += [f"  {old[n]}" for n in i] if kind == "same" else ["..."]
        return "\n".join(line.rstrip() for line in lines)

    def _repr_html_(self) -> str:
        old, new = highlighted(self.old).splitlines(), highlighted(self.new).splitlines()
        body = "".join(
            _block_html(kind, [old[n] for n in i], [new[n] for n in j])
            for kind, i, j in self.blocks()
        )
        longest = max(map(len, (self.old + "\n" + self.new).splitlines()))
        columns = min(longest, WIDEST) + 3  # the sign, and a space on either side
        wide = f"<style>{read('diff_wide.css').replace('COLUMNS', str(columns))}</style>"
        caption = f"<figcaption>{self.caption}</figcaption>" if self.caption else ""
        return (
            f'<figure class="lt-diff highlight">{stylesheet("source", "diff")}{wide}'
            '<div class="lt-code" role="region" aria-label="code before and after" tabindex="0">'
            f'<div class="lt-blocks lt-columns-{columns}">{body}</div></div>{caption}</figure>'
        )


def diff(old: Any, new: Any, caption: str = "") -> Diff:
    """Old code beside new, as the last expression of a cell; see :class:`Diff`."""
    return Diff(old, new, caption)


def source_of(one: Any) -> str:
    """The source text of a function or class, or the text itself, as far left as it goes.

    Classes that were defined in a cell of a notebook are found, too.

    Raises:
        ValueError: There is no source, or it is empty.
    """
    if isinstance(one, str):
        text = one
    else:
        try:
            text = _cell_source(one) or inspect.getsource(one)
        except (OSError, TypeError) as error:
            raise ValueError(
                f"no source of {one!r} can be found: give a function, a class, or the text itself"
            ) from error
    text = textwrap.dedent(text).strip("\n").rstrip()
    if not text:
        raise ValueError("the source to be shown is empty")
    return text


def _cell_source(one: Any) -> str | None:
    """The text of a class in the cell where its methods were defined.

    ``inspect`` looks for a class in the file of its module, and the module of a notebook has none.
    """
    if not isinstance(one, type) or hasattr(inspect.getmodule(one), "__file__"):
        return None
    for member in vars(one).values():
        if not isinstance(member, FunctionType) or member.__module__ != one.__module__:
            continue
        lines, code = linecache.getlines(member.__code__.co_filename), member.__code__
        for node in ast.walk(ast.parse("".join(lines))):
            if not isinstance(node, ast.ClassDef) or node.name != one.__name__ or not lines:
                continue
            if node.lineno <= code.co_firstlineno <= (node.end_lineno or 0):
                first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
                return "".join(lines[first - 1 : node.end_lineno])
    return None


def _block_html(kind: str, old: list[str], new: list[str]) -> str:
    if kind == "left out":
        return f'<p class="lt-left-out">⋯ {len(old)} {"line" if len(old) == 1 else "lines"}</p>'
    if kind == "same":  # the right side repeats the left one, for the eye
        hidden = '<pre class="lt-new" aria-hidden="true">'
        return (
            f'<div class="lt-same"><pre class="lt-old">{_rows(" ", old)}</pre>'
            f"{hidden}{_rows(' ', new)}</pre></div>"
        )
    removed, added = f"<del>{_rows('−', old)}</del>", f"<ins>{_rows('+', new)}</ins>"
    return (
        f'<div class="lt-changed"><pre class="lt-old">{removed if old else ""}</pre>'
        f'<pre class="lt-new">{added if new else ""}</pre></div>'
    )


def _rows(sign: str, lines: list[str]) -> str:
    """The lines with their sign; the style sheet breaks long ones below their own beginning."""
    return "".join(
        f'<span class="lt-row" style="--lt-indent: {len(line) - len(line.lstrip())}ch">'
        f"<i>{sign}</i>{line}\n</span>"
        for line in lines
    )
