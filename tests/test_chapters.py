"""The bars of the two-depth form: how long a chapter's story is, and what stands in sight.

What only the built page tells is held by
``tests/browser/test_chapter_bars.py``.
"""

from __future__ import annotations

import ast
from collections import Counter

import pytest

pytest.importorskip("nbformat")
pytest.importorskip("yaml")

import notebooks
import story
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

WORDS = (1200, 2400)
MOST_LINES = 220
MOST_ASSERTS = 10
LONGEST_CELL = 20
PREDICTIONS = (2, 4)
PARTS = {"LayerNorm", "RMSNorm", "Attention", "FeedForward", "Block", "GPT", "Llama"}

CHAPTERS = [path.stem for path in notebooks.chapters()]
each_chapter = pytest.mark.parametrize("name", CHAPTERS)


def _chapter(name: str) -> NotebookNode:
    return notebooks.read(notebooks.BOOK / f"{name}.ipynb")


@each_chapter
def test_story_keeps_to_its_bars(name: str) -> None:
    told = story.story(_chapter(name))
    assert WORDS[0] <= told.words <= WORDS[1]
    assert told.lines <= MOST_LINES
    assert told.asserts <= MOST_ASSERTS
    assert told.longest_cell <= LONGEST_CELL
    assert PREDICTIONS[0] <= told.predictions <= PREDICTIONS[1]


@each_chapter
def test_times_are_stated_and_the_reading_time_is_right(name: str) -> None:
    chapter = _chapter(name)
    stated, minutes = story.stated_minutes(chapter), story.story(chapter).minutes
    assert stated is not None, "no “**N minutes** to read”"
    assert abs(stated - minutes) <= minutes / 3
    assert story.stated_seconds(chapter) is not None, "no “**M seconds** to run on one CPU core”"


@each_chapter
def test_what_the_set_up_provides_is_named(name: str) -> None:
    assert story.names_the_setup(_chapter(name)), "no paragraph names `torch` and `figures`"


@each_chapter
def test_check_cells_say_what_they_hold(name: str) -> None:
    assert story.untitled_checks(_chapter(name)) == [], "begin with: # @title Check: ..."


def test_headings_of_all_chapters_differ() -> None:
    found = Counter(h for name in CHAPTERS for h in story.headings(_chapter(name)))
    assert [heading for heading, count in found.items() if count > 1] == []


# The counting itself


def _book(*cells: str | tuple[str, list[str]]) -> NotebookNode:
    """Prose as text; code as a pair of its source and its tags."""
    return new_notebook(
        cells=[
            new_markdown_cell(cell)
            if isinstance(cell, str)
            else new_code_cell(cell[0], metadata={"tags": cell[1]})
            for cell in cells
        ]
    )


CODE = "def f(x):\n\n    return x\n\nassert f(1) == 1\n"


def test_words_are_those_that_the_page_shows() -> None:
    text = """\
(sec-x)=
## Two words

:::{admonition} Before you start
:class: tip
One {term}`token`, [a link](https://example.com/a/b), $a + b$ and `code here`.
:::

$$
x = y + z
$$ (eq-x)

| a | b |
| --- | --- |
| one | two |

```{math}
not counted at all
```
+++
"""
    assert story.story(_book(text)).words == 15


def test_story_leaves_out_what_is_folded() -> None:
    told = story.story(
        _book(
            "# T\n\none two",
            (CODE, []),
            *((CODE, [tag]) for tag in ("remove-cell", "remove-input", "hide-input", "hide-cell")),
            "## Deeper: x\n\nfolded words",
            (CODE, []),
            "### Below\n\nfolded too",
            "## Open\n\nthree four\n\n:::{solution-start} ex\n:class: dropdown\n:::\nfolded",
            (CODE, []),
            ":::{solution-end}\n:::\nfive",
            "### Deeper: y\n\nfolded",
            "#### Below\n\nfolded",
            (CODE, []),
            "### Open again",
            (CODE + CODE, ["raises-exception"]),
        )
    )
    assert told == story.Story(words=9, lines=9, asserts=3, longest_cell=6)
    assert told.minutes == 9 / 200 + 9 / 15


def test_predictions_count_where_they_stand_in_the_story() -> None:
    asked = ("figures.Predict('?', choices=['a', 'b'], answer=0)", ["remove-input"])
    told = story.story(_book("# T", asked, "text", asked, "## Deeper: x", asked))
    assert (told.predictions, told.lines) == (2, 0)


@pytest.mark.parametrize(
    ("text", "minutes", "seconds"),
    [
        ("**14 minutes** to read, **20 seconds** to run on one CPU core", 14, 20),
        ("**14 minutes** to read, **2 minutes** to run on one CPU core", 14, 120),
        ("14 minutes to read", None, None),
    ],
)
def test_times_are_read(text: str, minutes: int | None, seconds: int | None) -> None:
    book = _book(text)
    assert (story.stated_minutes(book), story.stated_seconds(book)) == (minutes, seconds)


def test_checks_without_a_title_are_found() -> None:
    cells = [
        (notebooks.setup_cell(), ["remove-cell"]),
        ("# @title Check: it holds\nassert True", ["remove-cell"]),
        ("assert True", ["remove-cell"]),
        ("# @title Check: \nassert True", ["remove-cell"]),
        ("assert True", []),
    ]
    book = _book("# T", *cells)
    assert story.untitled_checks(book) == [book.cells[3].id, book.cells[4].id]


def test_a_paragraph_names_the_set_up() -> None:
    assert story.names_the_setup(_book("One.\n\nThe set-up provides `torch` and `figures`."))
    assert not story.names_the_setup(_book("It provides `torch`.\n\nAnd `figures`."))


def test_headings_are_those_of_their_level() -> None:
    book = _book("# T\n\n## One\n\n### Sub", "## Deeper: two\n\ntext")
    assert story.headings(book) == ["One", "Deeper: two"]


def _parts(cell: NotebookNode) -> dict[str, str]:
    """The reader's own classes in a cell of code, without comments and layout."""
    nodes = [node for node in ast.parse(cell.source).body if isinstance(node, ast.ClassDef)]
    return {node.name: ast.unparse(node) for node in nodes if node.name in PARTS}


def test_each_chapter_goes_on_with_the_model_of_the_chapters_before() -> None:
    """The reader's own GPT is one model through the whole book, and each chapter changes it."""
    model: dict[str, str] = {}
    for name in ("gpt", "rmsnorm", "rope", "swiglu", "gqa", "model"):
        changed: dict[str, str] = {}
        begins = []
        for cell in _chapter(name).cells:
            if cell.cell_type == "code" and cell.source.startswith("# The model so far"):
                begins.append(_parts(cell))
            elif cell.cell_type == "code":
                changed |= _parts(cell)
        assert changed, name
        if model:
            [so_far] = begins
            assert so_far == {part: model[part] for part in so_far}, name
            assert so_far.keys() >= {"Attention", "FeedForward", "Block", "GPT"}, name
        model |= changed
    assert changed.keys() == {"Attention", "FeedForward", "Llama"}  # the last changes
    assert "bias=False" in model["Attention"]
    assert "bias=False" in model["FeedForward"]
    assert "self.output(self.norm(x))" in model["Llama"]
