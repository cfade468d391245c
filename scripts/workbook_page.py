"""Writes the book's page on the workbook: each task, what it teaches and how long it takes.

    python scripts/workbook_page.py

It is ``book/workbook.md``, made of the tasks themselves. Run it when a task comes or goes; a test
holds the page to what this writes.
"""

from __future__ import annotations

from pathlib import Path

from notebooks import BOOK

from llama_tutorial.workbook.registry import TITLES, chapters, tasks_of

PAGE = BOOK / "workbook.md"
START = Path(__file__).with_name("workbook_start.md").read_text(encoding="utf-8")


def page() -> str:
    """The text of the page."""
    every = [task for chapter in chapters() for task in tasks_of(chapter)]
    hours = round(sum(task.minutes for task in every) / 60)
    bugs = sum(len(task.bugs) for task in every)
    head, teachers = START.split("\n<!-- the tasks -->\n")
    parts = [head.format(n=len(every), bugs=bugs, hours=hours)]
    for chapter in chapters():
        tasks = tasks_of(chapter)
        minutes = sum(task.minutes for task in tasks)
        rows = [
            # HTML, as headings of a notebook have no label that Markdown could name.
            f'| <a href="{chapter}.html{task.page}"><code>{_breakable(task.function)}</code></a> '
            f"| {task.teaches} | {task.minutes} |"
            for task in tasks
        ]
        parts.append(
            f"\n## [{TITLES[chapter]}]({chapter}.ipynb)\n\nAbout {minutes} minutes.\n\n"
            "| you write | what it teaches | minutes |\n| --- | --- | --- |\n"
        )
        parts.append("\n".join(rows) + "\n")
    return "".join([*parts, teachers])


def _breakable(name: str) -> str:
    """A name that a narrow screen breaks between its words."""
    return name.replace("_", "_<wbr>")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
