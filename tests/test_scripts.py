"""The tools for notebooks: what they write is what the house rules ask for."""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path

import pytest

pytest.importorskip("nbformat")
pytest.importorskip("nbclient")
pytest.importorskip("yaml")
pytest.importorskip("jupytext")

import notebook_text
import notebooks
import run_notebooks
import set_url
import workbook_page
import yaml
from nbclient.exceptions import CellExecutionError

from llama_tutorial.workbook.registry import BOOK

DRAFT = """\
(ch:x)=
# Title

Prose, with `code` and $x^2$.

+++

Another cell.

```{code-cell}
---
mystnb:
  figure:
    caption: 'A caption: with a colon'
    name: fig-x
  image:
    alt: Words.
tags:
- hide-input
---
x = {"a": 1}

print(x)
```

:::{note}
Fences in prose stay prose.
:::

```{code-cell}
x
```
"""


COLLAPSED = {"cellView": "form", "jupyter": {"source_hidden": True}}


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    path = tmp_path / "x.ipynb"
    (tmp_path / "x.md").write_text(DRAFT, encoding="utf-8")
    notebook_text.convert(tmp_path / "x.md", path)
    return path


def edit(notebook: Path, old: str, new: str) -> None:
    """Changes a notebook as its author does, in a draft."""
    draft = notebook.with_suffix(".md")
    notebook_text.convert(notebook, draft)
    text = draft.read_text(encoding="utf-8")
    assert text.count(old) == 1
    draft.write_text(text.replace(old, new), encoding="utf-8")
    notebook_text.convert(draft, notebook)


def test_a_draft_becomes_cells(notebook: Path) -> None:
    first, second, setup, shown, prose, last = notebooks.read(notebook).cells
    assert first.source.startswith("(ch:x)=\n# Title")
    assert second.source == "Another cell."
    assert setup.source == notebooks.setup_cell()
    assert setup.metadata == {**COLLAPSED, "tags": ["remove-cell"]}
    assert shown.source == 'x = {"a": 1}\n\nprint(x)'
    assert shown.metadata["tags"] == ["hide-input"]
    assert shown.metadata["mystnb"]["figure"]["caption"] == "A caption: with a colon"
    assert prose.source == ":::{note}\nFences in prose stay prose.\n:::"
    assert last.source == "x"


@pytest.mark.parametrize("chapter", notebooks.every(), ids=lambda path: path.stem)
def test_a_chapter_survives_the_way_through_a_draft(chapter: Path, tmp_path: Path) -> None:
    again = Path(shutil.copy(chapter, tmp_path))
    notebook_text.convert(again, tmp_path / "draft.md")
    notebook_text.convert(tmp_path / "draft.md", again)
    assert again.read_bytes() == chapter.read_bytes()


def test_another_word_of_prose_is_another_line_of_the_notebook(tmp_path: Path) -> None:
    chapter = Path(shutil.copy(notebooks.BOOK / "rope.ipynb", tmp_path))
    before = chapter.read_text(encoding="utf-8").splitlines()
    edit(chapter, "Before you start", "Before you begin")
    after = chapter.read_text(encoding="utf-8").splitlines()
    assert len(after) == len(before)
    [(old, new)] = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert old.replace("start", "begin", 1) == new


@pytest.mark.parametrize("tag", ["remove-cell", "remove-input"])
def test_what_the_page_does_not_show_is_collapsed_in_jupyter_and_colab(
    notebook: Path, tag: str
) -> None:
    edit(notebook, "\nx\n```", f"\n:tags: [{tag}]\n\nx\n```")
    last = notebooks.read(notebook).cells[-1]
    assert (last.source, last.metadata) == ("x", {**COLLAPSED, "tags": [tag]})
    edit(notebook, f":tags: [{tag}]\n\nx\n", ":tags: [hide-input]\n\nx\n")
    assert "source_hidden" not in notebook.with_suffix(".md").read_text(encoding="utf-8")
    assert notebooks.read(notebook).cells[-1].metadata == {"tags": ["hide-input"]}


def test_what_an_author_says_of_a_cell_in_jupyter_stays(notebook: Path) -> None:
    changed = notebooks.read(notebook)
    changed.cells[-1].metadata = {"jupyter": {"outputs_hidden": True, "source_hidden": True}}
    notebooks.write(changed, notebook)
    assert notebooks.read(notebook).cells[-1].metadata == {"jupyter": {"outputs_hidden": True}}


def test_changed_code_loses_its_outputs_and_moved_code_keeps_them(notebook: Path) -> None:
    run_notebooks.run(notebook)
    edit(notebook, "\nx\n```", "\nx, 2\n```")
    shown, _, changed = notebooks.read(notebook).cells[3:]
    assert shown.outputs[0].text == "{'a': 1}\n"
    assert (changed.source, changed.outputs, changed.execution_count) == ("x, 2", [], None)
    edit(notebook, "Another cell.", "```{code-cell}\n3\n```")
    new, _, shown = notebooks.read(notebook).cells[1:4]
    assert (new.source, new.outputs) == ("3", [])
    assert shown.outputs[0].text == "{'a': 1}\n"


def test_two_notebooks_or_two_texts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"one of 'a\.md' and 'b\.md' must be a notebook"):
        notebook_text.convert(tmp_path / "a.md", tmp_path / "b.md")


def test_two_runs_write_the_same_bytes(notebook: Path) -> None:
    run_notebooks.run(notebook)
    once = notebook.read_bytes()
    run_notebooks.run(notebook)
    assert notebook.read_bytes() == once
    cells = notebooks.read(notebook).cells
    assert [cell.id for cell in cells] == [f"c00{i}" for i in range(6)]
    assert [cell.execution_count for cell in cells if cell.cell_type == "code"] == [1, 2, 3]
    assert cells[3].outputs[0].text == "{'a': 1}\n"
    assert all("execution" not in cell.metadata for cell in cells)


def test_what_is_printed_slowly_is_one_output(notebook: Path) -> None:
    changed = notebooks.read(notebook)
    source = "import time\nprint(1)\ntime.sleep(0.7)\nprint(2)\ndisplay(3)\nprint(4)"
    changed.cells[-1].source = source
    notebooks.write(changed, notebook)
    run_notebooks.run(notebook)
    outputs = notebooks.read(notebook).cells[-1].outputs
    assert [output.get("text") for output in outputs] == ["1\n2\n", None, "4\n"]


def test_a_failing_cell_leaves_the_file_as_it_was(notebook: Path) -> None:
    changed = notebooks.read(notebook)
    changed.cells[-1].source = "1 / 0"
    notebooks.write(changed, notebook)
    before = notebook.read_bytes()
    with pytest.raises(CellExecutionError, match="ZeroDivisionError"):
        run_notebooks.run(notebook)
    assert notebook.read_bytes() == before


def test_figures_come_out_as_html_and_svg(notebook: Path) -> None:
    changed = notebooks.read(notebook)
    changed.cells[-1].source = (
        "import matplotlib.pyplot as plt\n"
        "def draw(k):\n"
        "    fig, ax = plt.subplots()\n"
        "    ax.plot([0, k], [0, 1])\n"
        "    return fig\n"
        "draw(3)\n"
        "plt.show()\n"
        "figures.FrameSlider(draw, [1, 2], alt='{value}', caption='c')"
    )
    notebooks.write(changed, notebook)
    run_notebooks.run(notebook)
    picture, slider = notebooks.read(notebook).cells[-1].outputs
    assert set(picture.data) == {"text/plain", "image/svg+xml"}
    assert picture.data["image/svg+xml"].startswith("<svg ")
    assert "<style" not in picture.data["image/svg+xml"]
    assert set(slider.data) == {"text/plain", "text/html"}


def test_an_unknown_chapter_lists_those_that_there_are() -> None:
    with pytest.raises(FileNotFoundError, match=r"no notebook 'nowhere\.ipynb'; .* \['"):
        run_notebooks.chosen(["nowhere"])
    assert run_notebooks.chosen([]) == notebooks.every()


def test_the_address_is_carried_to_where_it_is_needed(
    notebook: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_notebooks.run(notebook)
    outputs = [cell.get("outputs") for cell in notebooks.read(notebook).cells]
    config = (notebooks.ROOT / "_config.yml").read_text(encoding="utf-8")
    elsewhere = re.sub(r"^(  url: ).*$", r"\1https://example.org/a/b/", config, flags=re.MULTILINE)
    elsewhere = re.sub(r"^(  branch: ).*$", r"\1v9.9", elsewhere, flags=re.MULTILINE)
    elsewhere = re.sub(r"^(  baseurl: ).*$", r"\1https://example.org/pages", elsewhere, flags=re.M)
    (notebook.parent / "_config.yml").write_text(elsewhere, encoding="utf-8")
    for name in (*set_url.FILES, set_url.WORKBOOK):
        (notebook.parent / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(notebooks.ROOT / name, notebook.parent / name)
    monkeypatch.setattr(notebooks, "ROOT", notebook.parent)
    monkeypatch.setattr(notebooks, "BOOK", notebook.parent)
    set_url.main()
    after = notebooks.read(notebook)
    source = '"llama-tutorial[torch,figures] @ git+https://example.org/a/b@v9.9",'
    assert source in str(after.cells[2])
    assert [cell.get("outputs") for cell in after.cells] == outputs
    project = tomllib.loads((notebook.parent / "pyproject.toml").read_text(encoding="utf-8"))
    assert project["project"]["urls"]["Issues"] == "https://example.org/a/b/issues"
    citation = yaml.safe_load((notebook.parent / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["repository-code"] == "https://example.org/a/b"
    renewed = re.findall("(.*): renewed", capsys.readouterr().out)
    assert renewed == ["x.ipynb", "pyproject.toml", "CITATION.cff", "registry.py"]
    workbook = (notebook.parent / set_url.WORKBOOK).read_text(encoding="utf-8")
    assert 'BOOK = "https://example.org/pages/"\n' in workbook
    set_url.main()
    assert "renewed" not in capsys.readouterr().out


def test_the_books_page_has_every_task() -> None:
    assert workbook_page.PAGE.read_text(encoding="utf-8") == workbook_page.page(), (
        "run: python scripts/workbook_page.py"
    )


def test_the_workbook_links_to_where_the_book_is() -> None:
    assert notebooks.published() == BOOK, "run: python scripts/set_url.py"
