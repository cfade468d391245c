"""Shows the package's code in a chapter, read from its source: a pasted copy would drift."""

from __future__ import annotations

import ast
import inspect
import textwrap
from html import escape
from typing import Any

from llama_tutorial.figures.kit.assets import stylesheet


class Source:
    """Highlighted source of functions or classes; a notebook shows it as HTML.

    Args:
        objects: Functions, methods or classes of Python source, shown one under the other.
        docstring: Whether docstrings stay; a chapter that has just said it all may drop them.

    Raises:
        ValueError: No object was given.
    """

    def __init__(self, *objects: Any, docstring: bool = True) -> None:
        if not objects:
            raise ValueError("show_source needs at least one function or class")
        self.names = [f"{one.__module__}.{one.__qualname__}" for one in objects]
        files = [one.__module__.replace(".", "/") + ".py" for one in objects]
        self.files = list(dict.fromkeys(files))
        texts = (textwrap.dedent(inspect.getsource(one)).rstrip() for one in objects)
        self.text = "\n\n\n".join(texts if docstring else map(without_docstrings, texts)) + "\n"

    def __repr__(self) -> str:
        return f"<source of {', '.join(self.names)}>"

    def _repr_html_(self) -> str:
        code = highlighted(self.text)
        files = ", ".join(f"<code>{escape(file)}</code>" for file in self.files)
        return (
            f'<div class="lt-source">{stylesheet("source")}<p class="lt-source-name">{files}</p>'
            f'<div class="highlight"><pre tabindex="0">{code}</pre></div></div>'
        )


def show_source(*objects: Any, docstring: bool = True) -> Source:
    """Highlighted source of functions or classes, as the last expression of a cell."""
    return Source(*objects, docstring=docstring)


def highlighted(text: str) -> str:
    """Python source as HTML: a line for each line, every word in the class of its kind."""
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer

    return highlight(text, PythonLexer(), HtmlFormatter(nowrap=True))


def without_docstrings(text: str) -> str:
    """Python source without its docstrings; a body that is nothing else keeps its own."""
    lines, dropped = text.splitlines(), set[int]()
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Module)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, kinds) and len(node.body) > 1 and ast.get_docstring(node) is not None:
            first, after = node.body[0], node.body[1]
            # The blank lines behind the docstring go with it; a decorator belongs to what follows.
            decorators = getattr(after, "decorator_list", [])
            end = min([after.lineno, *(decorator.lineno for decorator in decorators)]) - 1
            behind = range(first.end_lineno or first.lineno, end)
            end = next((i for i in behind if lines[i].strip()), end)
            dropped.update(range(first.lineno - 1, end))
    return "\n".join(line for i, line in enumerate(lines) if i not in dropped)
