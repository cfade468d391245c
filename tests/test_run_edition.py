"""The run edition: plain, whole but for the solutions, and what the script makes of the book."""

from __future__ import annotations

import ast
import builtins
import re
from collections import Counter
from pathlib import Path

import pytest

pytest.importorskip("myst_parser")
pytest.importorskip("sphinxcontrib.bibtex")

import book_labels
import nbformat
import notebooks
import run_edition
from book_labels import Book, Numbers
from markdown_it import MarkdownIt
from nbformat import NotebookNode
from plain_markdown import PlainMarkdown

SOURCES = notebooks.every()
MYST = {
    "a role": r"\{[\w:+-]+\}`",
    "a directive in colons": r"^\s*:{3,}",
    "a directive in backticks": r"^\s*(`{3,}|~{3,})\s*\{",
    "a target": r"^\s*\([\w:. -]+\)=\s*$",
    "a labelled equation": r"\$\$\s*\([\w:-]+\)\s*$",
    "attributes of a link": r"\]\([^)\s]*\)\{",
    "a substitution": r"\{\{",
    "a footnote": r"\[\^",
    "a comment or a break": r"^(%|\+\+\+)",
}
LARGEST = 400_000  # bytes of a notebook

each = pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def facts() -> Book:
    return Book()


def plain(source: Path) -> NotebookNode:
    """The committed notebook of the edition."""
    return nbformat.read(notebooks.RUN_EDITION / source.name, as_version=4)


def texts(notebook: NotebookNode) -> list[str]:
    return [cell.source for cell in notebook.cells if cell.cell_type == "markdown"]


def code(cells: list[NotebookNode]) -> list[NotebookNode]:
    return [cell for cell in cells if cell.cell_type == "code"]


def parted(source: Path) -> tuple[list[NotebookNode], list[NotebookNode]]:
    """The code cells of the book's notebook: those outside its solutions, and those inside."""
    outside, inside, in_solution = [], [], False
    for cell in notebooks.read(source).cells:
        if cell.cell_type == "code":
            (inside if in_solution else outside).append(cell)
        marks = re.findall(r"^:::\{solution-(start|end)\}", cell.source, re.MULTILINE)
        in_solution = marks[-1] == "start" if marks else in_solution
    return outside, inside


def without_title(new: str, old: str) -> str:
    """The code of a cell without the title line that the edition gives to a collapsed one."""
    first, _, rest = new.partition("\n")
    return rest if first.startswith("# @title ") and not old.startswith(first) else new


# The committed notebooks


def test_there_is_one_for_every_notebook_of_the_book() -> None:
    made = {path.name for path in notebooks.RUN_EDITION.glob("*.ipynb")}
    assert made == {path.name for path in SOURCES}


@each
def test_it_is_what_the_script_makes_of_the_book(source: Path, facts: Book, tmp_path: Path) -> None:
    run_edition.write(run_edition.edition(facts, f"book/{source.stem}"), tmp_path / source.name)
    made = (tmp_path / source.name).read_text(encoding="utf-8")
    committed = (notebooks.RUN_EDITION / source.name).read_text(encoding="utf-8")
    assert made == committed, "run: python scripts/run_edition.py"


@each
def test_no_myst_is_left(source: Path) -> None:
    for text in texts(plain(source)):
        for what, pattern in MYST.items():
            found = re.search(pattern, text, re.MULTILINE)
            assert not found, f"{what}: {found[0]!r} in {text[:200]!r}"


@each
def test_book_s_parser_finds_nothing_left_to_replace(source: Path, facts: Book) -> None:
    again = PlainMarkdown(facts, f"book/{source.stem}", Numbers(None, Counter()))
    for text in texts(plain(source)):
        assert again.cell(text) == text


@each
def test_code_is_the_book_s_in_its_order(source: Path) -> None:
    outside, _ = parted(source)
    made = code(plain(source).cells)
    assert len(made) == len(outside)
    for new, old in zip(made, outside, strict=True):
        assert without_title(new.source, old.source) == old.source
        if new.source != old.source:
            assert "remove-input" in old.metadata["tags"]
        assert new.id == old.id


@each
def test_cells_are_collapsed_as_in_the_book_and_say_what_they_are(source: Path) -> None:
    outside, _ = parted(source)
    for new, old in zip(code(plain(source).cells), outside, strict=True):
        collapsed = old.metadata.get("jupyter", {}).get("source_hidden", False)
        assert new.metadata.get("jupyter", {}).get("source_hidden", False) == collapsed
        assert (new.metadata.get("cellView") == "form") == collapsed
        assert new.source.startswith("# @title ") == collapsed
        fails = "raises-exception" in old.metadata.get("tags", [])
        assert new.metadata.get("tags", []) == ["raises-exception"] * fails


@each
def test_no_solution_is_in_it_and_every_exercise_leads_to_its_own(source: Path) -> None:
    book, notebook = notebooks.read(source), plain(source)
    outside, inside = parted(source)
    kept = {cell.source for cell in outside}
    assert all(cell.source in kept or cell.source not in str(notebook) for cell in inside)
    prose = "\n".join(cell.source for cell in book.cells if cell.cell_type == "markdown")
    told = "\n".join(texts(notebook))
    for solution in re.findall(r":::\{solution-start\}.*?:::\{solution-end\}", prose, re.DOTALL):
        for line in solution.splitlines():
            sentence = line.split("$")[0].split("{")[0].split("`")[0].strip()
            assert len(sentence) < 20 or sentence not in told
    for label in re.findall(r"\{exercise(?:-start)?\}[^\n]*\n:label: (\S+)", prose):
        url = f"{notebooks.published()}book/{source.stem}.html#{label}"
        assert told.count(f"[Solution, on the page]({url})") == 1


def bound(source: str) -> set[str]:
    """The names that a cell gives a meaning."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            names.add(node.id)
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add((node.asname or node.name).split(".")[0])
    return names


def used(source: str) -> set[str]:
    """The names that a cell reads."""
    nodes = ast.walk(ast.parse(source))
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}


@each
def test_no_cell_needs_what_a_solution_left_behind(source: Path) -> None:
    _, inside = parted(source)
    solutions = {cell.id for cell in inside}
    last_bound: dict[str, str] = {}
    for cell in code(notebooks.read(source).cells):
        if cell.id not in solutions:
            own = bound(cell.source)
            for name in used(cell.source) - own - set(dir(builtins)):
                assert last_bound.get(name) not in solutions, f"{cell.id}: {name}"
            touched = re.findall(r"(\w+)\.(?:manual_seed|seed)\(", cell.source)
            random = re.search(r"torch\.(randn?|randint|randperm)\(", cell.source)
            if random and solutions & set(last_bound.values()):
                assert touched or "generator=" in cell.source, f"{cell.id}: draws after a solution"
        last_bound |= dict.fromkeys(bound(cell.source), cell.id)


@each
def test_outputs_are_the_book_s_but_for_scripts(source: Path) -> None:
    outside, _ = parted(source)
    made = code(plain(source).cells)
    assert [cell.execution_count for cell in made] == list(range(1, len(made) + 1))
    for new, old in zip(made, outside, strict=True):
        assert len(new.outputs) == len(old.outputs)
        for now, before in zip(new.outputs, old.outputs, strict=True):
            assert now.output_type == before.output_type
            assert now.get("text") == before.get("text")
            data, whole = dict(now.get("data", {})), dict(before.get("data", {}))
            html, full = data.pop("text/html", ""), whole.pop("text/html", "")
            if "image/svg+xml" in data:  # which an untrusted notebook does not draw
                alt = old.metadata["mystnb"]["image"]["alt"]
                assert " ".join(data.pop("text/plain").split()) == f"Picture: {alt}"
                del whole["text/plain"]
            assert data == whole
            assert "<script" not in html
            assert html == full or ("<script" in full and len(html) < len(full))


@each
def test_it_is_valid_and_of_modest_size(source: Path) -> None:
    path = notebooks.RUN_EDITION / source.name
    notebook = plain(source)
    nbformat.validate(notebook)
    assert "widgets" not in notebook.metadata
    assert notebook.metadata["made_from"] == f"book/{source.name}"
    assert path.stat().st_size < min(LARGEST, source.stat().st_size)


@each
def test_figures_have_their_number_and_caption_in_sight(source: Path, facts: Book) -> None:
    cells = plain(source).cells
    place = {cell.id: i for i, cell in enumerate(cells)}
    outside, _ = parted(source)
    shown: Counter[str] = Counter()
    for cell in outside:
        labels = list(book_labels.figures(cell, shown))
        below = cells[place[cell.id] + 1 :][: len(labels)]
        for label, text in zip(labels, below, strict=True):
            assert text.source.startswith(f"**{facts.label(label).text}** ")
        caption = cell.metadata.get("mystnb", {}).get("figure", {}).get("caption", "")
        words = caption.split("$")[0].split("{")[0].split("`")[0]
        assert not labels or words in below[0].source


@each
def test_questions_and_live_figures_say_what_they_ask_and_show(source: Path) -> None:
    outside, _ = parted(source)
    for new, old in zip(code(plain(source).cells), outside, strict=True):
        for now, before in zip(new.outputs, old.outputs, strict=True):
            html, full = (out.get("data", {}).get("text/html", "") for out in (now, before))
            if '<div class="lt-predict"' in full:
                [asked] = re.findall(r"</b> (.*?)</legend>", full, re.DOTALL)
                assert f'<b class="lt-kicker">Predict:</b> {asked[:20]}' in html
                assert html.count("<li>") == full.count('<button type="button" data-choice=')
                assert "lt-answer" not in html
                [unit] = re.findall('class="lt-unit">(.*?)</span>', full) or [""]
                assert html.count("<ul>") == ("data-choice=" in full)
                assert f"to answer{unit and ': … '}{unit}." in html
            elif 'class="lt-figure"' in full:
                assert len(re.sub(r"<[^>]*>", "", html)) > 100


@each
def test_links_lead_to_whole_addresses(source: Path) -> None:
    """Read as Jupyter, Colab, VS Code and GitHub read it: CommonMark with tables."""
    viewer = MarkdownIt("commonmark").enable("table")
    for text in texts(plain(source)):
        for token in viewer.parse(text):
            for child in token.children or []:
                if child.type in ("link_open", "image"):
                    target = str(child.attrs["href" if child.type == "link_open" else "src"])
                    assert re.fullmatch(r"https://[\w.-]+/[^\s]*", target), target
            assert token.type != "inline" or "](" not in "".join(
                child.content for child in token.children if child.type == "text"
            ), f"a link that is none: {token.content[:200]!r}"


@each
def test_equations_have_the_numbers_of_the_page(source: Path, facts: Book) -> None:
    page = f"book/{source.stem}"
    told = "\n".join(texts(plain(source)))
    tags = re.findall(r"\\tag\{([\d.]+)\}\s*\$\$", told)
    assert len(tags) == told.count("\\tag{")
    places = [place for place in facts.labels.values() if place.page == page]
    numbers = [p.text.strip("()") for p in places if p.anchor.startswith("equation-")]
    inside = [p.text.strip("()") for p in places if p.in_solution]
    assert tags == [number for number in numbers if number not in inside]


# The text, piece by piece

LABELS = {
    "eq-own": ("book/here", "equation-eq-own", "(2.1)"),
    "eq-far": ("book/there", "equation-eq-far", "(3.1)"),
    "fig-own": ("book/here", "fig-own", "Fig. 2.1"),
    "fig-far": ("book/there", "fig-far", "Fig. 3.4"),
    "sec-own": ("book/here", "sec-own", "A section"),
    "ex-own": ("book/here", "ex-own", "Exercise 2.1"),
}


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch) -> PlainMarkdown:
    """A page of a little book."""
    monkeypatch.setattr(notebooks, "published", lambda: "https://book.example/")
    monkeypatch.setattr(notebooks, "repository", lambda: ("https://code.example/r", "v1"))
    book = Book.__new__(Book)
    book.labels = {name: book_labels.Place(*place) for name, place in LABELS.items()}
    book.terms = {"token": book_labels.Place("book/glossary", "term-token", "token")}
    book.chapters = {"book/here": 2, "book/there": 3, "book/words": None}
    book.titles = {"book/there": "3. There"}
    book.modules = {"llama_tutorial.rope": "book/api/model"}
    book.works = book_labels.parse_file(str(notebooks.BOOK / "references.bib"), "bibtex").entries
    return PlainMarkdown(book, "book/here", Numbers(2, Counter(), [2]))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a {term}`token`", "a [token](https://book.example/book/glossary.html#term-token)"),
        (
            "{term}`Tokens\n<token>`",
            "[Tokens](https://book.example/book/glossary.html#term-token)",
        ),
        ("as {numref}`fig-own` shows", "as Fig. 2.1 shows"),
        ("{numref}`picture %s <fig-own>`", "picture 2.1"),
        ("{numref}`fig-far`", "[Fig. 3.4](https://book.example/book/there.html#fig-far)"),
        ("by {eq}`eq-own`", "by (2.1)"),
        ("{eq}`eq-far`", "[(3.1)](https://book.example/book/there.html#equation-eq-far)"),
        ("{ref}`sec-own`", "[A section](https://book.example/book/here.html#sec-own)"),
        ("{ref}`below <sec-own>`", "[below](https://book.example/book/here.html#sec-own)"),
        ("[below](sec-own)", "[below](https://book.example/book/here.html#sec-own)"),
        ("[](sec-own)", "[A section](https://book.example/book/here.html#sec-own)"),
        ("[](there.ipynb)", "[3. There](https://book.example/book/there.html)"),
        ("[a *b* `c`](there.ipynb)", "[a *b* `c`](https://book.example/book/there.html)"),
        ("[x](words.md#a-b){.big}", "[x](https://book.example/book/words.html#a-b)"),
        ("[x](https://a.example/b.md)", "[x](https://a.example/b.md)"),
        ("![x](_static/x.png)", "![x](https://code.example/r/raw/v1/book/_static/x.png)"),
        (
            "{func}`~llama_tutorial.rope.rotate`",
            "[`rotate()`](https://book.example/book/api/model.html#llama_tutorial.rope.rotate)",
        ),
        (
            "{mod}`llama_tutorial.rope`",
            "[`llama_tutorial.rope`]"
            "(https://book.example/book/api/model.html#module-llama_tutorial.rope)",
        ),
        (
            "{cite:t}`su2021roformer` and {cite}`su2021roformer,ba2016layernorm`",
            "Su *et al.* [[2021](https://book.example/book/bibliography.html#cite-su2021roformer)]"
            " and [[Su *et al.*, 2021]"
            "(https://book.example/book/bibliography.html#cite-su2021roformer), "
            "[Ba *et al.*, 2016]"
            "(https://book.example/book/bibliography.html#cite-ba2016layernorm)]",
        ),
        ("`{term}` in code, ``{eq}`x` ``", "`{term}` in code, ``{eq}`x` ``"),
        ("`{eq}` and {eq}`eq-own`, `{eq}`", "`{eq}` and (2.1), `{eq}`"),
        ("```python\n{eq}`x`\n```", "```python\n{eq}`x`\n```"),
        ("(sec-own)=\n## A section", "## 2.1. A section"),
        (
            "## A\n\n### B\n\n### C\n\n## D",
            "## 2.1. A\n\n### 2.1.1. B\n\n### 2.1.2. C\n\n## 2.2. D",
        ),
        ("$$\na\n$$ (eq-own)\n\nb", "$$\na \\tag{2.1}\n$$\n\nb"),
        ("$$ a $$ (eq-own)", "$$ a \\tag{2.1}\n$$"),
        ("- a\n\n  $$\n  b\n  $$ (eq-own)\n\n- c", "- a\n\n  $$\n  b \\tag{2.1}\n  $$\n\n- c"),
        ("```{math}\n:label: eq-own\na\n```", "$$\na \\tag{2.1}\n$$"),
        ("a\n\n% note\n\n+++\n\nb", "a\n\nb"),
        (
            "a[^z] b[^y] a[^z]\n\n[^y]: Why.\n\n[^z]: Zed.",
            "a<sup>1</sup> b<sup>2</sup> a<sup>1</sup>\n\n<sup>2</sup> Why.\n\n<sup>1</sup> Zed.",
        ),
        ("| a |\n|---|\n| {eq}`eq-own` `x` |", "| a |\n|---|\n| (2.1) `x` |"),
        (
            ":::{admonition} By {eq}`eq-own`\n:class: tip\n\nOne {term}`token`.\n\n- two\n:::\n\nb",
            "> **By (2.1)**\n>\n> One [token](https://book.example/book/glossary.html#term-token).\n"
            ">\n> - two\n\nb",
        ),
        ("::::{note}\n:::{div} c\na\n\nb\n:::\n::::", "> **Note**\n>\n> a\n>\n> b"),
        (":::{div} label\nName\n:::", "**Name**"),
        (":::{dropdown} More\na\n:::", "<details>\n<summary>More</summary>\n\na\n\n</details>"),
        (
            "::::{tab-set}\n:::{tab-item} One\na\n:::\n:::{tab-item} Two\nb\n:::\n::::",
            "**One**\n\na\n\n**Two**\n\nb",
        ),
        ("```{code-block} python\nx = 1\n```", "```python\nx = 1\n```"),
        (
            "## E\n\n:::{exercise-start} Try {eq}`eq-own`\n:label: ex-own\n:::\nDo it.\n"
            ":::{exercise-end}\n:::\n\n:::{solution-start} ex-own\n:::\n## Secret $$ x $$\n",
            "## 2.1. E\n\n### Exercise 2.1 (Try (2.1))\n\nDo it.\n\n"
            "[Solution, on the page](https://book.example/book/here.html#ex-own)",
        ),
    ],
)
def test_each_piece_has_its_plain_form(writer: PlainMarkdown, text: str, expected: str) -> None:
    assert writer.cell(text) == expected


def test_a_solution_over_several_cells_is_left_out(writer: PlainMarkdown) -> None:
    said = [
        writer.cell(":::{solution-start} ex-own\n:::\nSo."),
        writer.cell("And so."),
        writer.cell(":::{solution-end}\n:::\n\nAfter."),
        writer.cell("Later."),
    ]
    assert said == ["", "", "After.", "Later."]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{term}`tokn`", "the glossary has no term 'tokn'"),
        ("{cite}`nobody1900`", "references.bib has no 'nobody1900'"),
        ("{numref}`fig-none`", "the book has no label 'fig-none'"),
        ("[x](nowhere.ipynb)", "the book has no label 'nowhere.ipynb'"),
        ("{func}`torch.stack`", "the API reference has no 'torch.stack'"),
        ("{sup}`2`", "the role 'sup' has no form in plain Markdown: '2'"),
        (":::{list-table}\n- - a\n:::", "the directive 'list-table' has no form"),
        (":::\na\n:::", "a fence of colons without a directive"),
        ("{{ x }}", "has no form in plain Markdown"),
        ("a\n: b", "'dl_open' has no form in plain Markdown"),
        ("Title\n=====", "write the heading with '#'"),
        ("[x][y]\n\n[y]: there.ipynb", "write the link to 'there.ipynb' as"),
    ],
)
def test_what_has_no_plain_form_is_an_error(writer: PlainMarkdown, text: str, message: str) -> None:
    with pytest.raises((KeyError, ValueError)) as error:
        writer.cell(text)
    assert message in str(error.value.args[0])


def test_an_error_names_the_notebook_and_the_cell(
    facts: Book, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cells = [nbformat.v4.new_markdown_cell("# T"), nbformat.v4.new_markdown_cell("{term}`none`")]
    (tmp_path / "book").mkdir()
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebooks.write(notebook, tmp_path / "book" / "rope.ipynb")
    monkeypatch.setattr(notebooks, "ROOT", tmp_path)
    with pytest.raises(ValueError, match=r"book/rope\.ipynb, cell c001: the glossary has no term"):
        run_edition.edition(facts, "book/rope")


def test_the_script_writes_all_and_removes_what_the_book_has_no_longer(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(notebooks, "RUN_EDITION", tmp_path / "new")
    monkeypatch.setattr(notebooks, "every", lambda: [notebooks.BOOK / "intro.ipynb"])
    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "gone.ipynb").write_text("{}")
    run_edition.main()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["intro.ipynb"]
    made = (tmp_path / "new" / "intro.ipynb").read_text(encoding="utf-8")
    assert made == (notebooks.ROOT / "notebooks" / "intro.ipynb").read_text(encoding="utf-8")
