"""How far a folder is: every task of it, checked."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from functools import partial
from importlib import import_module, invalidate_caches
from pathlib import Path
from typing import Any

from llama_tutorial.workbook.checker import NOT_BEGUN, WRONG, Result, check
from llama_tutorial.workbook.folder import PACKAGE
from llama_tutorial.workbook.registry import chapters, find, tasks_of
from llama_tutorial.workbook.running import TimeUp, run_limited
from llama_tutorial.workbook.task import Task

_IMPORT_SECONDS = 60  # torch is imported with it, on a slow disk perhaps


def asked_for(names: Iterable[str]) -> list[Task]:
    """The tasks that are meant by names of chapters and of tasks; by none, all.

    Raises:
        ValueError: There is no such chapter or task.
    """
    tasks: list[Task] = []
    for name in names or chapters():
        tasks += tasks_of(name) if name in chapters() or "." not in name else [find(name)]
    return list({task.name: task for task in tasks}.values())


def check_folder(folder: Path, tasks: Sequence[Task]) -> Iterator[tuple[Task, Result]]:
    """Check what a learner has written, task by task.

    What the learner's code prints is not shown.

    Args:
        folder: That of ``llama-tutorial workbook``.
        tasks: What to check.

    Raises:
        FileNotFoundError: There is no such folder, or it is none of these.
    """
    if not folder.exists() and folder.name.partition(".")[0] in chapters():
        raise FileNotFoundError(
            f"{folder}: no such folder; name the workbook before what is to be checked: "
            f"llama-tutorial check my-llama {folder}"
        )
    if not (folder / PACKAGE).is_dir():
        raise FileNotFoundError(
            f"{folder} holds no {PACKAGE}: it is no workbook; "
            f"llama-tutorial workbook {folder} makes one"
        )
    with _importable(folder):
        modules: dict[str, Any] = {}
        for task in tasks:
            if task.chapter not in modules:
                modules[task.chapter] = _load(folder, task.chapter)
            yield task, _check(task, modules[task.chapter])


def _check(task: Task, module: Any) -> Result:
    if isinstance(module, Result):
        return Result(task.name, module.state, module.message)
    answer = getattr(module, task.function, None)
    if answer is None:
        message = f"{PACKAGE}/{task.chapter}.py has no {task.function}."
        return Result(task.name, NOT_BEGUN, message)
    with redirect_stdout(io.StringIO()):
        return check(task.name, answer)


def _load(folder: Path, chapter: str) -> Any:
    """A learner's module, or what is to be said of all its tasks."""
    path = folder / PACKAGE / f"{chapter}.py"
    if not path.exists():
        message = f"There is no {path}: llama-tutorial workbook {folder} writes it."
        return Result(chapter, NOT_BEGUN, message)
    with redirect_stdout(io.StringIO()):
        outcome = run_limited(partial(import_module, f"{PACKAGE}.{chapter}"), _IMPORT_SECONDS)
    error = outcome.error
    if error is None:
        return outcome.value
    what = f"{PACKAGE}/{chapter}.py cannot be imported"
    if isinstance(error, TimeUp):
        return Result(chapter, WRONG, f"{what}: it is not done after {_IMPORT_SECONDS} seconds.")
    if isinstance(error, SyntaxError):
        name = Path(error.filename or path).name
        where = f"line {error.lineno} of {name}: `{(error.text or '').strip()}`"
        return Result(
            chapter, WRONG, f"{what}: {type(error).__name__}: {error.msg}\nThat is {where}."
        )
    text = str(error).strip().split("\n")[0]
    return Result(chapter, WRONG, f"{what}: {type(error).__name__}: {text}")


@contextmanager
def _importable(folder: Path) -> Iterator[None]:
    """Let the folder's package be imported, and no other of that name; forget it afterwards."""
    before = {name: sys.modules.pop(name) for name in _loaded()}
    sys.path.insert(0, str(folder.resolve()))
    invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(str(folder.resolve()))
        for name in _loaded():
            del sys.modules[name]
        sys.modules.update(before)


def _loaded() -> list[str]:
    return [name for name in sys.modules if name.partition(".")[0] == PACKAGE]
