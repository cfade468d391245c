"""What of a chapter is its story, told from its notebook, and how much of it there is.

The story is what stands open on the page: neither in a section titled ``Deeper: ...`` nor in a
solution, and of the code only what the page shows.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

import notebooks
from nbformat import NotebookNode

WORDS_A_MINUTE = 200
LINES_A_MINUTE = 15

_HIDDEN = {"remove-cell", "remove-input", "hide-input", "hide-cell"}
_HEADING = re.compile(r"(#{1,6}) +(.+)")
_FENCE = re.compile(r"(`{3,}|~{3,})")
# What is not read as words: directives and their options, targets, formulas and comments.
_MARKUP = re.compile(r":{3,}.*|:[\w-]+:.*|\([\w:.-]+\)=|%.*|\+\+\+.*|[|:\s-]+")
_FORMULA = re.compile(r"\$\$.*?\$\$(?: *\([\w-]+\))?|\$[^$\n]+\$", re.DOTALL)
_ROLE = re.compile(r"\{[\w:]+\}(?=`)")
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")


@dataclass
class Story:
    """The numbers of a chapter's story."""

    words: int = 0
    lines: int = 0
    """Code lines in sight that are not blank."""
    asserts: int = 0
    """Asserts in sight."""
    longest_cell: int = 0
    """Lines of the longest cell in sight."""
    predictions: int = 0

    @property
    def minutes(self) -> float:
        """How long the story takes to read."""
        return self.words / WORDS_A_MINUTE + self.lines / LINES_A_MINUTE


def story(notebook: NotebookNode) -> Story:
    """Counts a chapter's story."""
    told = Story()
    for cell, text in in_story(notebook):
        if cell.cell_type == "markdown":
            told.words += count_words(text)
            continue
        tree = ast.parse(text)
        told.predictions += sum(_calls_predict(node) for node in ast.walk(tree))
        if not _HIDDEN & set(cell.metadata.get("tags", [])):
            lines = sum(bool(line.strip()) for line in text.splitlines())
            told.lines += lines
            told.longest_cell = max(told.longest_cell, lines)
            told.asserts += sum(isinstance(node, ast.Assert) for node in ast.walk(tree))
    return told


def in_story(notebook: NotebookNode) -> Iterator[tuple[NotebookNode, str]]:
    """The cells of the story, each with its text; of prose, the part that belongs to it."""
    depth = 0  # the level of the Deeper section that is open, 0 without one
    solution = False
    for cell in notebook.cells:
        if cell.cell_type == "code":
            if not depth and not solution:
                yield cell, cell.source
            continue
        kept, fence = [], ""
        for line in cell.source.splitlines():
            mark = _FENCE.match(line)
            if mark and (not fence or line.strip() == fence):
                fence = "" if fence else mark[1]
                continue
            heading = _HEADING.fullmatch(line) if not fence else None
            if heading and (not depth or len(heading[1]) <= depth):
                depth = len(heading[1]) if heading[2].startswith("Deeper: ") else 0
            solution = solution or "{solution-start}" in line or "{solution}" in line
            if not depth and not solution and not fence:
                kept.append(line)
            solution = solution and "{solution-end}" not in line
        yield cell, "\n".join(kept)


def count_words(text: str) -> int:
    """The words of Markdown as they stand on the page; a formula is one."""
    text = _LINK.sub(r"\1", _ROLE.sub("", _FORMULA.sub(" x ", text)))
    lines = (line for line in text.splitlines() if not _MARKUP.fullmatch(line.strip()))
    return sum(bool(re.search(r"\w", word)) for line in lines for word in line.split())


def headings(notebook: NotebookNode, level: int = 2) -> list[str]:
    """The chapter's headings of one level."""
    prose = (cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    lines = [line for text in prose for line in text.splitlines()]
    found = (_HEADING.fullmatch(line) for line in lines)
    return [one[2].strip() for one in found if one and len(one[1]) == level]


def stated_minutes(notebook: NotebookNode) -> int | None:
    """How long the story takes to read, as "Before you start" says; None where it does not."""
    said = re.search(r"\*\*(\d+) minutes?\*\* to read", _prose(notebook))
    return int(said[1]) if said else None


def stated_seconds(notebook: NotebookNode) -> int | None:
    """How long the notebook runs on one core, as "Before you start" says."""
    said = re.search(r"\*\*(\d+) (seconds?|minutes?)\*\* to run on one CPU core", _prose(notebook))
    return int(said[1]) * (60 if said[2].startswith("minute") else 1) if said else None


def names_the_setup(notebook: NotebookNode) -> bool:
    """Whether a paragraph says that ``torch`` and ``figures`` are there from the beginning."""
    paragraphs = re.split(r"\n\s*\n", _prose(notebook))
    return any("`torch`" in one and "`figures`" in one for one in paragraphs)


def untitled_checks(notebook: NotebookNode) -> list[str]:
    """The ids of check cells that do not begin with what they hold."""
    return [
        cell.id
        for cell in notebook.cells
        if "remove-cell" in cell.metadata.get("tags", [])
        and not notebooks.is_setup_cell(cell)
        and not re.match(r"# @title Check: \S", cell.source)
    ]


def _prose(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def _calls_predict(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call):
        return False
    called = node.func
    return getattr(called, "attr", None) == "Predict" or getattr(called, "id", None) == "Predict"
