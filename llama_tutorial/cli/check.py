"""``llama-tutorial check``: how far a workbook is, and what is wrong first."""

from __future__ import annotations

import argparse
from pathlib import Path

from llama_tutorial._util.terminal import printable
from llama_tutorial.workbook.checker import WAITS, WRONG, Result
from llama_tutorial.workbook.report import asked_for, check_folder

NOT_ALL_DONE = 1


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each task; returns 0 only if all of them are done."""
    tasks = asked_for(arguments.tasks)
    width = max(len(task.name) for task in tasks)
    results: list[Result] = []
    minutes = 0
    for task, result in check_folder(Path(arguments.folder), tasks):
        left = "" if result.ok else f"{task.minutes:>3} minutes"
        print(f"{task.name:<{width}}  {result.state:<9}  {left}".rstrip(), flush=True)
        results.append(result)
        minutes += 0 if result.ok else task.minutes
    done = sum(result.ok for result in results)
    print(f"{done} of {len(tasks)} done{f', about {minutes} minutes to go' if minutes else ''}")
    for state, what in ((WRONG, "is wrong"), (WAITS, "waits")):
        found = [result for result in results if result.state == state]
        if found:
            print(printable(f"\n{found[0].task} {what}. {found[0].message}"))
            break
    return 0 if done == len(tasks) else NOT_ALL_DONE
