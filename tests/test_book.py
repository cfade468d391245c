"""The house rules of the chapters, as far as a machine can hold them."""

from __future__ import annotations

import ast
import itertools
import re
import sys
from pathlib import Path

import pytest

pytest.importorskip("nbformat")
pytest.importorskip("yaml")

import notebooks
import yaml
from nbformat import NotebookNode

ROOT = notebooks.ROOT
NOTEBOOKS = notebooks.every()

TAGS = {
    "remove-cell",
    "remove-input",
    "hide-input",
    "hide-output",
    "hide-cell",
    "raises-exception",
    "nbval-ignore-output",
}

# What a chapter may import beside the standard library and the package.
LIBRARIES = {
    "matplotlib",
    "numpy",
    "regex",  # comes with tiktoken
    "safetensors",
    "sentencepiece",
    "tiktoken",
    "torch",
    "tqdm",
}

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
each_chapter = pytest.mark.parametrize("path", notebooks.chapters(), ids=lambda path: path.stem)


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _prose(notebook: NotebookNode) -> str:
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def _tags(cell: NotebookNode) -> set[str]:
    return set(cell.metadata.get("tags", []))


def _outputs(cell: NotebookNode, mime: str) -> list[str]:
    return [out.data[mime] for out in cell.outputs if mime in out.get("data", {})]


def _asserts(source: str) -> bool:
    return any(isinstance(node, ast.Assert) for node in ast.walk(ast.parse(source)))


def _imported(source: str) -> set[str]:
    """The packages from which a cell imports."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    return names


# The notebooks as files


@each_notebook
def test_every_cell_was_run_in_order(path: Path) -> None:
    counts = [cell.execution_count for cell in _code(notebooks.read(path))]
    assert counts == list(range(1, len(counts) + 1))  # nbval passes a cell that was never run


@each_notebook
def test_notebook_is_in_the_form_that_is_committed(path: Path, tmp_path: Path) -> None:
    again = tmp_path / path.name
    notebooks.write(notebooks.read(path), again)
    assert again.read_text(encoding="utf-8") == path.read_text(encoding="utf-8")


@each_notebook
def test_no_widget_state_and_no_untagged_error(path: Path) -> None:
    notebook = notebooks.read(path)
    assert "widgets" not in notebook.metadata
    for cell in _code(notebook):
        assert not _outputs(cell, "application/vnd.jupyter.widget-view+json"), cell.id
        if "raises-exception" not in _tags(cell):
            assert all(output.output_type != "error" for output in cell.outputs), cell.id


@each_notebook
def test_what_was_printed_in_one_go_is_one_output(path: Path) -> None:
    for cell in _code(notebooks.read(path)):
        kinds = [output.get("name") for output in cell.outputs]
        pairs = itertools.pairwise(kinds)
        assert not any(one == other == "stdout" for one, other in pairs), (
            f"{cell.id}: run it with scripts/run_notebooks.py"
        )


@each_notebook
def test_tags_are_known_and_hide_nothing_unasserted(path: Path) -> None:
    for cell in _code(notebooks.read(path)):
        assert _tags(cell) <= TAGS, cell.id
        assert "NBVAL" not in cell.source, f"{cell.id}: tags, not comments"
        if "nbval-ignore-output" in _tags(cell):
            assert _asserts(cell.source), f"{cell.id}: what is not compared must be asserted"


@each_notebook
def test_pictures_can_be_compared_and_have_words(path: Path) -> None:
    for cell in _code(notebooks.read(path)):
        assert not _outputs(cell, "image/png"), f"{cell.id}: nbval compares SVG only"
        assert not _outputs(cell, "image/jpeg"), f"{cell.id}: nbval compares SVG only"
        if _outputs(cell, "image/svg+xml"):
            shown = cell.metadata.get("mystnb", {})
            assert shown.get("image", {}).get("alt"), f"{cell.id}: no alt text"
            assert shown.get("figure", {}).get("caption"), f"{cell.id}: no caption"
            assert shown.get("figure", {}).get("name"), f"{cell.id}: no name to refer to"


@each_notebook
def test_no_cell_ends_in_a_semicolon(path: Path) -> None:
    for cell in _code(notebooks.read(path)):
        assert not cell.source.rstrip().endswith(";"), (
            f"{cell.id}: nbval runs cells outside the history, where a closing ; hides nothing; "
            "end a plot with plt.show()"
        )


# The set-up cell


@each_notebook
def test_set_up_cell_is_the_first_and_todays(path: Path) -> None:
    first, *others = _code(notebooks.read(path))
    assert first.source == notebooks.setup_cell(), "run: python scripts/set_url.py"
    assert first.outputs == []
    assert _tags(first) == {notebooks.SETUP_TAG}
    assert not any(notebooks.is_setup_cell(cell) for cell in others)


def test_set_up_cell_installs_from_the_one_address() -> None:
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    where = f"git+{config['repository']['url']}@{config['repository']['branch']}"
    assert f'"llama-tutorial[torch,figures] @ {where}"' in notebooks.setup_cell()


# What a chapter is made of


@each_chapter
def test_chapter_has_its_parts(path: Path) -> None:
    notebook = notebooks.read(path)
    prose, code = _prose(notebook), _code(notebook)
    title = notebook.cells[0].source if notebook.cells[0].cell_type == "markdown" else ""
    assert re.search(rf"^\(ch:{path.stem}\)=\n# ", title), "a label and a title come first"
    assert "{cite" in prose, "no reference"
    assert "{term}" in prose, "no link to the glossary"
    assert any("lt-figure" in html for c in code for html in _outputs(c, "text/html"))
    assert any(_outputs(cell, "image/svg+xml") for cell in code), "no static figure"


@each_chapter
def test_exercises_have_solutions_that_run(path: Path) -> None:
    notebook = notebooks.read(path)
    prose = _prose(notebook)
    given = re.findall(r"\{exercise(?:-start)?\}[^\n]*\n:label: (\S+)", prose)
    solved = re.findall(r"\{solution-start\} (\S+)\n:class: dropdown", prose)
    assert len(given) >= 4
    assert solved == given, "every exercise has one solution, folded, in the same order"
    inside: list[list[NotebookNode]] = []
    is_open = False
    for cell in notebook.cells:
        if cell.cell_type == "code" and is_open:
            inside[-1].append(cell)
        elif cell.cell_type == "markdown" and "{solution-start}" in cell.source:
            assert not is_open
            inside.append([])
            is_open = True
        if cell.cell_type == "markdown" and "{solution-end}" in cell.source:
            is_open = False
    assert not is_open
    for label, cells in zip(solved, inside, strict=True):
        assert any(_asserts(cell.source) for cell in cells), f"{label}: nothing is asserted"


@each_notebook
def test_notebook_stands_alone(path: Path) -> None:
    for cell in _code(notebooks.read(path)):
        assert not re.search(r"^\s*[%!]", cell.source, re.MULTILINE), (
            f"{cell.id}: plain Python only"
        )
        for root in _imported(cell.source):
            known = root in sys.stdlib_module_names or root in LIBRARIES
            assert known or root == "llama_tutorial", f"{cell.id} imports {root}"
        for call in ("interact", "Output"):
            assert not re.search(rf"\b{call}\(", cell.source), f"{cell.id}: {call} escapes nbval"


def test_every_page_is_in_the_contents() -> None:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter for part in toc["parts"] for chapter in part["chapters"]]
    sections = [section for chapter in chapters for section in chapter.get("sections", [])]
    pages = [*NOTEBOOKS, *notebooks.BOOK.glob("*.md"), *notebooks.BOOK.glob("api/*.md")]
    there = {page.relative_to(ROOT).with_suffix("").as_posix() for page in pages}
    assert {toc["root"], *(page["file"] for page in [*chapters, *sections])} == there


def test_every_script_of_a_figure_has_its_figure() -> None:
    paths = (ROOT / "llama_tutorial" / "figures").glob("*/[a-z]*.js")
    scripts = {f"{path.parent.name}/{path.stem}" for path in paths}
    shown = "".join(path.read_text(encoding="utf-8") for path in NOTEBOOKS)
    assert scripts == {name for name in scripts if f'data-live=\\"{name}\\"' in shown}
