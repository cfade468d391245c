"""Makes the run edition: of every notebook of the book a plain one, for people who run it.

    python scripts/run_edition.py

The book's own notebooks are written for its pages, and tested cell by cell: their text is MyST,
their solutions stand below the exercises. In ``notebooks/`` is what readers open: the same code
cells without the solutions, and text that Jupyter, Colab, VS Code and GitHub all show. Edit nothing
there; edit ``book/`` and run this, which takes seconds. A test holds the two together.

The outputs are the book's, except where a script draws: an untrusted notebook would show nothing
there, so the output says in words what the cell shows once it is run. For the same reason the plain
text of a picture is its alt text: JupyterLab draws an SVG only for those whom it trusts.

Why no other tool: jupytext changes a notebook's format, not what its text means; sphinx-tojupyter
needs a full build of the book, minutes long, and keeps neither outputs nor collapsed cells.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import nbformat
import notebooks
from book_labels import Book, Numbers, figures
from bs4 import BeautifulSoup
from nbformat import NotebookNode
from plain_markdown import PlainMarkdown

TO_ANSWER = "<p><i>Run this cell to answer{unit}.</i></p>"
TITLES = {
    "lt-predict": "Predict: run this cell, and answer before you read on",
    "lt-table": "Table",
    "lt-source": "Code of the package",
    "lt-diff": "What changes",
}
BANNER = (
    "*This is the notebook of [{title}]({url}), to run and to change. The page has the same text, "
    "its figures move before anything has run, and its exercises have solutions.*"
)


def edition(book: Book, page: str) -> NotebookNode:
    """The plain notebook of a page of the book.

    Raises:
        ValueError: A cell has something that has no plain form, or refers to what does not exist.
    """
    source = notebooks.read(notebooks.ROOT / f"{page}.ipynb")
    text = PlainMarkdown(book, page, Numbers(book.chapters[page], Counter()))
    shown: Counter[str] = Counter()
    cells: list[NotebookNode] = []
    for cell in source.cells:
        try:
            if cell.cell_type == "markdown":
                cells += markdown(text, cell)
            else:
                labels = list(figures(cell, shown))
                cells += [] if text.in_solution else code(text, cell, labels)
        except (KeyError, ValueError) as error:
            raise ValueError(f"{page}.ipynb, cell {cell.id}: {error.args[0]}") from error
    banner = BANNER.format(title=book.titles[page], url=book.url(page))
    cells.insert(1, new_markdown("edition", banner))
    count_runs(cells)
    metadata = NotebookNode(notebooks.METADATA, made_from=f"{page}.ipynb")
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def markdown(text: PlainMarkdown, cell: NotebookNode) -> Iterator[NotebookNode]:
    """A cell of text, unless nothing is left of it."""
    if plain := text.cell(cell.source):
        yield new_markdown(cell.id, plain)


def code(text: PlainMarkdown, cell: NotebookNode, labels: list[str]) -> Iterator[NotebookNode]:
    """A cell of code, and below it the numbers and captions of its figures."""
    tags = set(cell.metadata.get("tags", []))
    new = nbformat.v4.new_code_cell(cell.source, id=cell.id, outputs=cell.outputs)
    if tags & notebooks.COLLAPSED_TAGS:
        notebooks.collapse(new)
        if not cell.source.startswith("# @title "):
            new.source = f"# @title {title(text.book, cell, labels)}\n{cell.source}"
    if "raises-exception" in tags:
        new.metadata["tags"] = ["raises-exception"]
    places = [text.book.label(label) for label in labels]
    urls = [text.book.url(place.page, place.anchor) for place in places]
    shown = cell.metadata.get("mystnb", {})
    for output in new.outputs:
        data = output.get("data", {})
        if "<script" in data.get("text/html", ""):
            data["text/html"] = still(data["text/html"])
        if "image/svg+xml" in data:
            data["text/plain"] = textwrap.fill(
                f"Picture: {shown['image']['alt']}", 78, break_on_hyphens=False
            )
    yield new
    caption = shown.get("figure", {})
    for label, place, url in zip(labels, places, urls, strict=True):
        said = f"**{place.text}** "
        if label == caption.get("name"):
            said += text.line(caption["caption"])
        else:
            said += f"moves once the cell above has run, and [on the page]({url})."
        yield new_markdown(f"{cell.id}-{label}", said)


def title(book: Book, cell: NotebookNode, labels: list[str]) -> str:
    """What stands in a collapsed cell's place."""
    html = "".join(output.get("data", {}).get("text/html", "") for output in cell.outputs)
    for kind, words in TITLES.items():
        if f'class="{kind}' in html:
            return words
    return " and ".join(book.label(label).text for label in labels) or "Show"


def still(html: str) -> str:
    """What a question or a live figure says before its cell has run: its words, and no script."""
    soup = BeautifulSoup(html, "html.parser")
    if question := soup.select_one(".lt-ask legend"):
        for kicker in question.select(".lt-kicker"):
            kicker.string = "Predict:"
        items = [f"<li>{one.decode_contents()}</li>" for one in soup.select(".lt-choices > *")]
        choices = f"<ul>{''.join(items)}</ul>" if items else ""
        unit = "".join(f": … {one.get_text()}" for one in soup.select(".lt-unit:not(:empty)"))
        return f"<p>{question.decode_contents()}</p>{choices}{TO_ANSWER.format(unit=unit)}"
    [stage], [caption] = soup.select(".lt-stage"), soup.select("figcaption")
    for note in stage.select(".lt-still:has(> i:only-child)"):
        note.decompose()  # how to make it move; the text below the cell says that
    return f"{stage.decode_contents()}<p>{caption.decode_contents()}</p>"


def new_markdown(name: str, source: str) -> NotebookNode:
    """A cell of text, whose id says where it comes from."""
    return nbformat.v4.new_markdown_cell(source, id=name)


def count_runs(cells: list[NotebookNode]) -> None:
    """Counts the code cells as a run of this notebook would."""
    code_cells = [cell for cell in cells if cell.cell_type == "code"]
    for count, cell in enumerate(code_cells, 1):
        cell.execution_count = count
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count


def write(notebook: NotebookNode, path: Path) -> None:
    """Writes a notebook of the edition, if it is a valid one."""
    nbformat.validate(notebook)
    nbformat.write(notebook, path)


def main() -> None:
    """Writes the whole edition, and removes what the book has no longer."""
    book = Book()
    notebooks.RUN_EDITION.mkdir(exist_ok=True)
    made = {path.stem: edition(book, f"book/{path.stem}") for path in notebooks.every()}
    for path in notebooks.RUN_EDITION.glob("*.ipynb"):
        if path.stem not in made:
            path.unlink()
    for name, notebook in made.items():
        write(notebook, notebooks.RUN_EDITION / f"{name}.ipynb")


if __name__ == "__main__":
    main()
