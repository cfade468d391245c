"""The answers of other tasks that an answer calls.

An answer that calls a wrong one is wrong, too, and yet there is nothing to mend in it. So it is
tried with the right ones in their place.
"""

from __future__ import annotations

import inspect
import types
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llama_tutorial.workbook.registry import every_task, solution
from llama_tutorial.workbook.task import Task


def parts_of(task: Task, answer: Any) -> dict[str, tuple[Task, Any]]:
    """The tasks' functions that an answer calls, by the name it calls them by, and whose they are.

    A module's function belongs to the chapter of that module's name; one that was written in a
    notebook to the task's own chapter, or to the first that has one of that name. Under the task's
    own name an answer calls itself, though other chapters may have a task called so.
    """
    tasks = list(every_task())
    used = _names_used(answer, {other.function for other in tasks})
    found: dict[str, tuple[Task, Any]] = {}
    named = [other for other in tasks if other.function in used and other.name != task.name]
    for other in sorted(named, key=lambda other: other.chapter != task.chapter):
        theirs = _globals_of(answer).get(other.function)
        home = str(getattr(theirs, "__module__", None)).rpartition(".")[2]
        if callable(theirs) and theirs is not solution(other) and other.function not in found:
            homes = {known.chapter for known in tasks if known.function == other.function}
            if home == other.chapter or (home not in homes and other.function != task.function):
                found[other.function] = (other, theirs)
    return found


@contextmanager
def right_parts(answer: Any, parts: dict[str, tuple[Task, Any]]) -> Iterator[None]:
    """Let an answer call the solutions of other tasks for a while."""
    names = _globals_of(answer)
    names.update({name: solution(task) for name, (task, _) in parts.items()})
    try:
        yield
    finally:
        names.update({name: theirs for name, (_, theirs) in parts.items()})


def _functions(answer: Any) -> list[types.FunctionType]:
    things = list(vars(answer).values()) if isinstance(answer, type) else [answer]
    functions = [thing for thing in things if isinstance(thing, types.FunctionType)]
    return [inspect.unwrap(function) for function in functions]  # of decorators


def _globals_of(answer: Any) -> dict[str, Any]:
    """The names that an answer's code sees: its module's, or its notebook's."""
    functions = _functions(answer)
    return functions[0].__globals__ if functions else {}


def _names_used(answer: Any, tasks: set[str]) -> set[str]:
    """The names in an answer's code, and in that of the helpers beside it, which are no tasks."""
    names, used = _globals_of(answer), set[str]()
    waiting = [function.__code__ for function in _functions(answer)]
    while waiting:
        code = waiting.pop()
        waiting += [constant for constant in code.co_consts if isinstance(constant, types.CodeType)]
        for name in set(code.co_names) - used - tasks:
            helper = names.get(name)
            if isinstance(helper, types.FunctionType) and helper.__globals__ is names:
                waiting.append(helper.__code__)
        used |= set(code.co_names)
    return used
