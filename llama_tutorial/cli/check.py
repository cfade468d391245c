"""``llama-tutorial check``: how far a workbook is, and what is wrong first."""

from __future__ import annotations

import argparse
from pathlib import Path

from llama_tutorial._util.terminal import printable
from llama_tutorial.workbook.checker import DONE, WRONG, Result
from llama_tutorial.workbook.report import asked_for, check_folder

NOT_ALL_DONE = 1


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each task; returns 0 only if all of them are done."""
    tasks = asked_for(arguments.tasks)
    width = max(len(task.name) for task in tasks)
    done, minutes, first_wrong = 0, 0, None
    for task, result in check_folder(Path(arguments.folder), tasks):
        left = "" if result.ok else f"{task.minutes:>3} minutes"
        print(f"{task.name:<{width}}  {result.state:<9}  {left}".rstrip(), flush=True)
        done += result.ok
        minutes += 0 if result.ok else task.minutes
        if result.state == WRONG and first_wrong is None:
            first_wrong = result
    to_go = f", about {minutes} minutes to go" if minutes else ""
    print(f"{done} of {len(tasks)} done{to_go}")
    if first_wrong is not None:
        _explain(first_wrong)
    return 0 if done == len(tasks) else NOT_ALL_DONE


def _explain(result: Result) -> None:
    assert result.state != DONE
    print(f"\n{result.task} is wrong. {printable(result.message)}")
