"""Where the tasks are: by chapter and by name, with their solutions and their mistakes."""

from __future__ import annotations

import ast
import difflib
import inspect
import textwrap
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from llama_tutorial._util.extras import install_hint
from llama_tutorial.workbook.task import Bug, Task

TITLES = {
    "gpt": "The GPT that we start from",
    "tokenizer": "SentencePiece and byte-pair encoding",
    "rmsnorm": "From LayerNorm to RMSNorm",
    "rope": "From learned positions to RoPE",
    "swiglu": "From GELU to SwiGLU",
    "gqa": "From multi-head to grouped-query attention",
    "model": "The whole model: GPT becomes Llama 2",
    "checkpoints": "Checkpoints: load what the world has",
    "generation": "Writing with a model: from logits to text",
    "numpy_llama": "Llama in NumPy",
    "quantization": "Quantization",
    "pretraining": "Pre-training: learning what comes next",
    "swaps": "What each change was worth",
    "evaluation": "How good is it?",
    "finetuning": "Fine-tuning: from a model that continues to a model that answers",
    "preferences": "Preferences",
}
"""What the chapters are called, in the book's order."""

BOOK = "https://llama2-from-scratch.github.io/llama2-from-scratch/"
"""Where the book's pages are; written by scripts/set_url.py."""


def page_of(chapter: str, anchor: str = "") -> str:
    """The address of a chapter's page, or of a place on it, such as ``"#fig-museum-rope"``."""
    return f"{BOOK}book/{chapter}.html{anchor}"


@cache
def chapters() -> tuple[str, ...]:
    """The chapters that have tasks, in the book's order."""
    return tuple(name for name in TITLES if find_spec(f"{__package__}.tasks.{name}"))


@cache
def tasks_of(chapter: str) -> tuple[Task, ...]:
    """A chapter's tasks, in the order of the work.

    Raises:
        ModuleNotFoundError: They need torch, which is not there.
        ValueError: The chapter has none.
    """
    if chapter not in chapters():
        raise ValueError(f"no chapter {chapter!r} in the workbook; {_close(chapter, chapters())}")
    try:
        return tuple(import_module(f"{__package__}.tasks.{chapter}").TASKS)
    except ModuleNotFoundError as error:
        if (hint := install_hint(error.name)) is None:
            raise
        message = f"the tasks of {chapter} need {error.name}: {hint}"
        raise ModuleNotFoundError(message, name=error.name) from error


def way_of(chapter: str) -> tuple[Task, ...]:
    """The tasks of a chapter that the learner's model is made of."""
    return tuple(task for task in tasks_of(chapter) if not task.extra)


def further_of(chapter: str) -> tuple[Task, ...]:
    """The further tasks of a chapter, from its exercises: nothing later needs them."""
    return tuple(task for task in tasks_of(chapter) if task.extra)


def find(name: str) -> Task:
    """The task of that name.

    Raises:
        ValueError: There is none; the message has those that are called alike.
    """
    if not isinstance(name, str):
        raise ValueError(f'{name!r}: a task is called by its name, as in check("rope.rotate", ...)')
    chapter, _, function = name.partition(".")
    if chapter in chapters():
        for task in tasks_of(chapter):
            if task.name == name:
                return task
        names = [task.name for task in tasks_of(chapter)]
        if not function:
            raise ValueError(f"{name!r} is a chapter; its tasks are {', '.join(names)}")
        raise ValueError(f"no task {name!r} in the workbook; the chapter has {', '.join(names)}")
    everything = [task.name for task in every_task()]
    endings = [task for task in everything if task.partition(".")[2] in (chapter, function)]
    if endings:
        raise ValueError(f"no task {name!r} in the workbook; do you mean {' or '.join(endings)}?")
    raise ValueError(f"no task {name!r} in the workbook; {_close(name, everything)}")


def every_task() -> Iterator[Task]:
    """All tasks that can be read here: without torch, those that need none."""
    for chapter in chapters():
        try:
            yield from tasks_of(chapter)
        except ModuleNotFoundError:
            continue


def _close(name: str, names: Sequence[str]) -> str:
    """Those that are called alike, by their whole names or by what stands behind the dot."""
    alike = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    if not alike:
        ends = {known.rpartition(".")[2]: known for known in reversed(names)}
        alike = [ends[end] for end in difflib.get_close_matches(name, ends, n=3)]
    return f"close to it are {', '.join(alike)}" if alike else f"there are {', '.join(names)}"


def module_of(chapter: str) -> Any:
    """The chapter's finished module."""
    return import_module(f"{__package__}.solutions.{chapter}")


def solution(task: Task) -> Any:
    """The function or class that is right."""
    return getattr(module_of(task.chapter), task.function)


def mistaken(task: Task, *bugs: Bug) -> Any:
    """The solution with one mistake, or with several.

    Raises:
        ValueError: The text to be changed does not occur in the solution, or occurs twice.
    """
    if len(bugs) == 1 and bugs[0].wrong is not None:
        return bugs[0].wrong
    source = without_docstrings(textwrap.dedent(inspect.getsource(solution(task))))
    for bug in bugs:
        if bug.edit is None:
            raise ValueError(f"{task.name}, {bug.name}: it has no edit")
        for right, wrong in (bug.edit, *bug.more):
            if (found := source.count(right)) != 1:
                raise ValueError(f"{task.name}, {bug.name}: {right!r} occurs {found} times")
            source = source.replace(right, wrong)
    # The names of the chapter's module, and the mistaken one over the right one.
    names = dict(vars(module_of(task.chapter)))
    exec(compile(source, f"<{task.name}>", "exec"), names)
    return names[task.function]


def without_docstrings(source: str) -> str:
    """Python text without the docstrings of its functions and classes."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node):
            text = node.body[0]
            assert text.end_lineno is not None
            lines[text.lineno - 1 : text.end_lineno] = [""] * (text.end_lineno - text.lineno + 1)
    return "".join(lines)
