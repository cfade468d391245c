"""``llama-tutorial check``: how far a workbook is, and what is wrong first.

Further tasks are listed, but a folder is done without them, unless they were asked for by name.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from llama_tutorial._util.terminal import printable
from llama_tutorial.workbook.checker import WAITS, WRONG, Result
from llama_tutorial.workbook.report import asked_for, check_folder

NOT_ALL_DONE = 1


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each task; returns 0 only if all of them are done, but further ones."""
    tasks = asked_for(arguments.tasks)
    width = max(len(task.name) for task in tasks)
    results: list[Result] = []
    minutes = 0
    wanted: list[Result] = []
    further: list[Result] = []
    for task, result in check_folder(Path(arguments.folder), tasks):
        is_further = task.extra and task.name not in arguments.tasks
        left = f"{task.minutes:>3} minutes{', further' if is_further else ''}"
        line = f"{task.name:<{width}}  {result.state:<9}  {'' if result.ok else left}"
        print(line.rstrip(), flush=True)
        results.append(result)
        (further if is_further else wanted).append(result)
        minutes += 0 if result.ok or is_further else task.minutes
    done = _done(wanted)
    print(f"{done}{f', about {minutes} minutes to go' if minutes else ''}")
    if further:
        print(f"Further: {_done(further)}")
    for state, what in ((WRONG, "is wrong"), (WAITS, "waits")):
        found = [result for result in results if result.state == state]
        if found:
            print(printable(f"\n{found[0].task} {what}. {found[0].message}"))
            break
    return 0 if all(wanted) else NOT_ALL_DONE


def _done(results: Sequence[Result]) -> str:
    return f"{sum(result.ok for result in results)} of {len(results)} done"
