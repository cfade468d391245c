"""Every task: the solution is right, its stub is not begun, and each mistake has its name."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("torch")

import api_page

from llama_tutorial import check
from llama_tutorial.workbook import folder
from llama_tutorial.workbook.registry import chapters, every_task, find, mistaken, solution
from llama_tutorial.workbook.task import Bug, Task

TASKS = list(every_task())
BUGS = [(task, bug) for task in TASKS for bug in task.bugs]
each_task = pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
PAGES = api_page.BOOK


@pytest.fixture(scope="module")
def stubs() -> dict[str, dict[str, object]]:
    """The learner's modules, by chapter, before anything is written."""
    made: dict[str, dict[str, object]] = {}
    for chapter in chapters():
        source = folder.with_stubs(chapter).replace(
            "from .", "from llama_tutorial.workbook.solutions."
        )
        made[chapter] = names = {"__name__": f"stubs.{chapter}"}
        exec(compile(source, f"stubs/{chapter}.py", "exec"), names)
    return made


@each_task
def test_the_solution_is_right(task: Task) -> None:
    result = check(task.name, solution(task))
    assert result.ok, result.message
    assert result.message == f"Right. {task.teaches}"


@each_task
def test_the_stub_is_not_begun(task: Task, stubs: dict[str, dict[str, object]]) -> None:
    result = check(task.name, stubs[task.chapter][task.function])
    assert result.state == "not begun", result
    assert "raise NotImplementedError" in result.message
    assert f"line {_line_of_stub(task)} of " in result.message


def _line_of_stub(task: Task) -> int:
    lines = folder.with_stubs(task.chapter).splitlines()
    begin = next(
        i for i, line in enumerate(lines) if re.match(rf"(def|class) {task.function}\b", line)
    )
    return (
        next(i for i in range(begin, len(lines)) if lines[i].endswith("raise NotImplementedError"))
        + 1
    )


@pytest.mark.parametrize(("task", "bug"), BUGS, ids=lambda x: getattr(x, "name", None))
def test_a_mistake_has_its_own_name(task: Task, bug: Bug) -> None:
    result = check(task.name, mistaken(task, bug))
    assert result.state == "wrong"
    assert result.bug in (bug.name, *bug.also), result.message
    told = next(known for known in task.bugs if known.name == result.bug)
    assert result.message.startswith(told.says)
    assert told.look in result.message
    assert not _shows_the_solution(task, result.message)


def _shows_the_solution(task: Task, message: str) -> bool:
    """Whether a line of the solution stands in a message."""
    import inspect

    lines = (
        line.partition("  #")[0].strip() for line in inspect.getsource(solution(task)).split("\n")
    )
    code = [line for line in lines if len(line) > 20 and "=" in line and not line.startswith("def")]
    return any(line in message for line in code)


@each_task
def test_a_task_is_whole(task: Task) -> None:
    assert find(task.name) is task
    assert len(task.bugs) >= 3
    assert len({bug.name for bug in task.bugs}) == len(task.bugs)
    assert len(task.hints) == 3
    assert 2 <= task.minutes <= 30
    assert task.teaches.endswith(".")
    assert (solution(task).__doc__ or "").strip()
    assert len({case.label for case in task.cases()}) == len(task.cases()) >= 2
    for bug in task.bugs:
        assert bug.says[0].isupper()
        assert bug.says.endswith((".", "?", ":")), bug.says
        assert bug.look.endswith((".", "?")), bug.look
    for hint in (1, 2, 3):
        shown = check(task.name, hint=hint).message
        assert [hint in shown for hint in task.hints] == [n < hint for n in range(3)]


@each_task
def test_a_mistake_says_what_it_does_to_a_model(task: Task) -> None:
    from llama_tutorial.bugs import BUGS as MUSEUM

    for bug in task.bugs:
        assert bug.effect or bug.name in MUSEUM, bug.name
        if bug.museum or (bug.museum is None and bug.name in MUSEUM):
            chapter = MUSEUM[bug.name].chapter
            message = check(task.name, mistaken(task, bug)).message
            assert f"{chapter}.html#fig-museum-{chapter}" in message
            assert f"fig-museum-{chapter}" in (PAGES / f"{chapter}.ipynb").read_text("utf-8")


def _anchors(chapter: str) -> set[str]:
    """What a link to a chapter's page can point to: its labels, and its headings' ids."""
    import nbformat

    found: set[str] = set()
    for cell in nbformat.read(PAGES / f"{chapter}.ipynb", as_version=4).cells:
        if cell.cell_type == "markdown":
            found |= {
                "#" + label.replace(":", "-").replace("_", "-")
                for label in re.findall(r"^\(([\w:-]+)\)=$", cell.source, re.MULTILINE)
            }
            exercises = re.findall(r"^:label: (ex-[\w-]+)$", cell.source, re.MULTILINE)
            found |= {f"#{label}" for label in exercises}
            for title in re.findall(r"^#+ (.+)$", cell.source, re.MULTILINE):
                name = re.sub(r"[^a-z0-9]+", "-", _ascii(title).lower())
                found.add("#" + name.lstrip("-0123456789").rstrip("-"))  # as docutils does
    return found


def _ascii(text: str) -> str:
    import unicodedata

    plain = unicodedata.normalize("NFKD", text)
    return plain.encode("ascii", "ignore").decode()


@each_task
def test_a_task_points_to_its_page(task: Task) -> None:
    assert not task.page or task.page in _anchors(task.chapter)
