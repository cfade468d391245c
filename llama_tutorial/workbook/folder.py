"""The learner's folder: a package of stubs, and a notebook for each chapter.

All of it is made from ``solutions/``: a stub is a solution without what is below its docstring.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from llama_tutorial._util.files import replace_file
from llama_tutorial.workbook.registry import (
    TITLES,
    chapters,
    further_of,
    page_of,
    solution,
    tasks_of,
    way_of,
)
from llama_tutorial.workbook.task import Task

PACKAGE = "my_llama"
_AFTER = "model"  # the chapter after which all parts are there
_ENGINE = "numpy_llama"  # whose parts write by themselves
_KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}


def write_workbook(folder: Path, *, solutions: bool = False) -> tuple[list[Path], list[Path]]:
    """Write the workbook; a file that is there already is somebody's work, and stays.

    Args:
        folder: Where to; made if it is not there.
        solutions: The finished functions in place of the stubs.

    Returns:
        The paths of the files that were written, and of those that were there.

    Raises:
        ValueError: ``folder`` is a file.
    """
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file: give the name of a folder")
    written, kept = [], []
    for name, text in _texts(solutions):
        path = folder / name
        if path.exists():
            kept.append(path)
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        with replace_file(path) as file:
            file.write(text.encode())
        written.append(path)
    return written, kept


def _texts(solutions: bool) -> Iterator[tuple[str, str]]:
    """The name and the text of every file."""
    yield "README.md", readme()
    yield f"{PACKAGE}/__init__.py", '"""A Llama 2 of your own parts."""\n'
    for chapter in chapters():
        text = source_of(chapter)
        yield f"{PACKAGE}/{chapter}.py", text if solutions else with_stubs(chapter)
        yield f"{chapter}.ipynb", _json(_chapter_cells(chapter))
    yield f"{PACKAGE}/together.py", source_of("together")
    yield "together.ipynb", _json(_together_cells())


def source_of(module: str) -> str:
    """The text of a finished module."""
    return (files(__package__) / "solutions" / f"{module}.py").read_text(encoding="utf-8")


def with_stubs(chapter: str) -> str:
    """A chapter's module, in which the bodies of the tasks are left out."""
    source = source_of(chapter)
    tree = ast.parse(source)
    lines = source.splitlines()
    bodies: list[tuple[ast.FunctionDef, Task]] = []
    for task in tasks_of(chapter):
        [node] = [n for n in tree.body if getattr(n, "name", None) == task.function]
        if isinstance(node, ast.ClassDef):
            methods = [n for n in node.body if getattr(n, "name", None) in task.cut]
            bodies += [(method, task) for method in methods if isinstance(method, ast.FunctionDef)]
        elif isinstance(node, ast.FunctionDef):
            bodies.append((node, task))
    for function, task in sorted(bodies, key=lambda body: -body[0].lineno):
        first, last = function.body[0], function.body[-1]
        assert ast.get_docstring(function), f"{task.name} has no docstring"
        assert first.end_lineno is not None
        assert last.end_lineno is not None
        stub = " " * first.col_offset + "raise NotImplementedError"
        lines[first.end_lineno : last.end_lineno] = [stub]
    return "\n".join(lines) + "\n"


def first_sentence(task: Task) -> str:
    """What a task asks for, in one sentence: the first of its docstring's."""
    text = inspect.getdoc(solution(task)) or ""
    return re.split(r"(?<=[.:])\s", text, maxsplit=1)[0].rstrip(":.") + "."


# The notebooks


def _chapter_cells(chapter: str) -> Iterator[tuple[str, str]]:
    way, further = way_of(chapter), further_of(chapter)
    yield (
        "markdown",
        f"# {TITLES[chapter]}\n\n"
        f"{_many(way, 'task')}, about {minutes_of(way)} minutes once you have read "
        f"[the chapter]({page_of(chapter)}). Write your code in "
        f"[`{PACKAGE}/{chapter}.py`]({PACKAGE}/{chapter}.py): each docstring there is the "
        "specification. Come back here to be told whether it is right.",
    )
    yield (
        "code",
        "# What you change in a file is read again before each cell.\n"
        "%load_ext autoreload\n%autoreload 2\n\n"
        f"from {PACKAGE} import {chapter}\n\nfrom llama_tutorial import check",
    )
    for task in way:
        yield from _task_cells(task)
    if chapter == _ENGINE:
        yield from _engine_cells()
    yield "markdown", _what_next(chapter)
    if further:
        yield (
            "markdown",
            f"# Further\n\n{_many(further, 'task')} from the chapter's exercises, about "
            f"{minutes_of(further)} minutes. No later chapter needs them: do them now, later, or "
            "those that you like.",
        )
    for task in further:
        yield from _task_cells(task)


def _task_cells(task: Task) -> Iterator[tuple[str, str]]:
    address = page_of(task.chapter, task.page)
    page = f"[The book explains it.]({address})"
    if task.extra:
        page = f"It is [an exercise of the book]({address}), whose solution is folded there."
    yield (
        "markdown",
        f"## `{task.function}`\n\n{first_sentence(task)} {page} About {task.minutes} minutes; "
        "for a hint, add `hint=1`, then 2, then 3.",
    )
    yield "code", f'check("{task.name}", {task.chapter}.{task.function})'


def _many(tasks: Sequence[Task], what: str) -> str:
    return f"{len(tasks)} {what}{'' if len(tasks) == 1 else 's'}"


def minutes_of(tasks: Sequence[Task]) -> int:
    """How long they take together."""
    return sum(task.minutes for task in tasks)


def _engine_cells() -> Iterator[tuple[str, str]]:
    yield (
        "markdown",
        "## It writes\n\nThe weights of `tales` as a file of llama2.c's, read and run by your "
        "functions, without torch in them:",
    )
    yield (
        "code",
        "from llama_tutorial import load, save_model\n\n"
        'model, tokenizer = load("tales")\n'
        'save_model(model, "tales.bin", "llama2c")\n\n'
        f'mine = {_ENGINE}.read_llama("tales.bin")\n'
        'ids = tokenizer.encode("Once upon a time", bos=True)\n'
        f"ids += {_ENGINE}.write(mine, ids, 80, stop_ids=[tokenizer.eos_id])\n"
        "print(tokenizer.decode(ids))",
    )


def _what_next(chapter: str) -> str:
    order = chapters()
    after = order[order.index(chapter) + 1 :]
    lines = ["All right? In a shell, `llama-tutorial check .` shows how far you are."]
    if chapter == _AFTER:
        lines.append("Your parts are complete. Let them write: [together](together.ipynb).")
    if after:
        lines.append(f"Next: [{TITLES[after[0]]}]({after[0]}.ipynb).")
    return "\n\n".join(lines)


def _together_cells() -> Iterator[tuple[str, str]]:
    yield (
        "markdown",
        "# Your parts together\n\nYour model takes the weights of `tales`, which comes with the "
        "package; your tokenizer spells; your probabilities choose. The file "
        f"[`{PACKAGE}/together.py`]({PACKAGE}/together.py) puts them together, and is short enough "
        "to read. It needs the chapters from `gpt` to `model`.",
    )
    yield "code", f"from {PACKAGE}.together import answer, load, tell"
    yield "code", 'model, tokenizer = load("tales")\nprint(tell(model, tokenizer))'
    yield "markdown", "Another seed, another tale:"
    yield "code", 'print(tell(model, tokenizer, "Tom had a kite", temperature=0.8, seed=1))'
    yield (
        "markdown",
        "The same model after it has learned to answer. (All that it knows is a tale, so give it "
        "one.)",
    )
    question = "Mia was in the garden. She had a red ball. Who had a red ball?"
    yield "code", f'chat = load("tales-chat")\nprint(answer(*chat, "{question}"))'
    yield (
        "markdown",
        "If you have a model in Meta's own format (`params.json` and `consolidated.00.pth`), give "
        "the path of its folder to `load`. `llama-tutorial convert tales tales-meta --format meta` "
        "makes one.",
    )


def _json(cells: Iterator[tuple[str, str]]) -> str:
    """A notebook's file."""
    made: list[dict[str, Any]] = []
    for number, (kind, source) in enumerate(cells):
        cell: dict[str, Any] = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}}
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        made.append({**cell, "source": source.splitlines(keepends=True)})
    metadata = {"kernelspec": _KERNEL, "language_info": {"name": "python"}}
    notebook = {"cells": made, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


# The way through


def readme() -> str:
    """The text of the folder's README.md."""
    rows = []
    for chapter in chapters():
        way, further = way_of(chapter), further_of(chapter)
        cells = [f"[{TITLES[chapter]}]({chapter}.ipynb)", _names(way), str(minutes_of(way))]
        rows.append(f"| {' | '.join([*cells, _names(further)]).strip()} |")
        if chapter == _AFTER:
            rows.append("| [Your parts together](together.ipynb) | it writes, and answers | | |")
    return _README.format(package=PACKAGE, rows=_lines(rows), first=chapters()[0])


def _names(tasks: Sequence[Task]) -> str:
    return ", ".join(f"`{task.function}`" for task in tasks)


def _lines(rows: Sequence[str]) -> str:
    return "\n".join(rows)


_README = """\
# My Llama

You have read how Llama 2 works; here you write it. Each chapter has a module in `{package}/`, with
functions whose bodies are missing. The docstring says what a function must do, the chapter of the
book explains it, and a checker tells you whether yours is right, and if not, which mistake it is.

1. Open the chapter's notebook, and its module beside it.
2. Write a function in place of `raise NotImplementedError`, and save the file.
3. Run the cell with `check`. For a hint, add `hint=1`, then 2, then 3.

Later chapters import what you wrote in the earlier ones, so go in this order. After the chapter on
the model, your own code loads trained weights and writes. There is nothing to install beside the
package that made this folder.

| chapter | you write | minutes | and, if you like |
| --- | --- | --- | --- |
{rows}

The last column has further tasks, from the chapters' exercises. Nothing else needs them.

No notebook? Any editor and a shell will do:

```bash
llama-tutorial check . {first}     # one chapter
llama-tutorial check .         # everything
```

`llama-tutorial workbook .` writes a file that you have deleted anew, and leaves all others alone.
"""
