"""Writes the book's page on the workbook: each task, what it teaches and how long it takes.

    python scripts/workbook_page.py

It is ``book/workbook.md``, made of the tasks themselves. Run it when a task comes or goes; a test
holds the page to what this writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from notebooks import BOOK

from llama_tutorial.workbook.folder import minutes_of
from llama_tutorial.workbook.registry import TITLES, chapters, further_of, tasks_of, way_of
from llama_tutorial.workbook.task import Task

PAGE = BOOK / "workbook.md"
START = Path(__file__).with_name("workbook_start.md").read_text(encoding="utf-8")


def page() -> str:
    """The text of the page."""
    every = [task for chapter in chapters() for task in tasks_of(chapter)]
    hours = round(minutes_of([task for task in every if not task.extra]) / 60)
    extra = [task for task in every if task.extra]
    sentence = ""
    if extra:
        sentence = (
            f" The chapters' exercises have {len(extra)} further tasks, another "
            f"{round(minutes_of(extra) / 60)} hours,\nand nothing else needs them."
        )
    bugs = sum(len(task.bugs) for task in every)
    head, teachers = START.split("\n<!-- the tasks -->\n")
    parts = [head.format(n=len(every), bugs=bugs, hours=hours, further=sentence)]
    for chapter in chapters():
        way, further = way_of(chapter), further_of(chapter)
        parts.append(f"\n## [{TITLES[chapter]}]({chapter}.ipynb)\n\n")
        parts.append(f"About {minutes_of(way)} minutes.\n\n{_table(way)}")
        if further:
            parts.append(f"\nAnd, if you like, about {minutes_of(further)} more:\n\n")
            parts.append(_table(further))
    return "".join([*parts, teachers])


def _table(tasks: Sequence[Task]) -> str:
    head = "| you write | what it teaches | minutes |\n| --- | --- | --- |\n"
    rows = [
        # HTML, as headings of a notebook have no label that Markdown could name.
        f'| <a href="{task.chapter}.html{task.page}"><code>{_breakable(task.function)}</code></a> '
        f"| {task.teaches} | {task.minutes} |"
        for task in tasks
    ]
    return head + "\n".join(rows) + "\n"


def _breakable(name: str) -> str:
    """A name that a narrow screen breaks between its words."""
    return name.replace("_", "_<wbr>")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
