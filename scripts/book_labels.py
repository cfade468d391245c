"""Where everything of the book is that a text can refer to, and what number it has there.

Sphinx finds this out while it builds, which takes minutes. Here the same rules are applied to the
sources in seconds: chapters are numbered through all numbered parts of ``_toc.yml``; headings,
figures, labelled equations and exercises are counted within their chapter, and on the pages without
a number through all of these. ``tests/browser/test_run_edition_pages.py`` holds every number and
every anchor equal to the built book's.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import notebooks
import yaml
from docutils.nodes import fully_normalize_name, make_id
from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from myst_parser.config.main import MdParserConfig
from myst_parser.parsers.mdit import create_md_parser
from nbformat import NotebookNode
from pybtex.database import Entry, parse_file
from sphinxcontrib.bibtex.style.referencing.author_year import AuthorYearReferenceStyle

FENCES = {"fence", "colon_fence"}
DIRECTIVE = re.compile(r"\{([^}]+)\}\s*(.*)")
OPTION = re.compile(r":([\w-]+):[ \t]*(.*)")
LIVE_FIGURE = re.compile(r'<figure class="lt-figure"[^>]* data-label="([^"]+)"')
AUTOMODULE = re.compile(r"^\.\. automodule:: (\S+)", re.MULTILINE)
NOT_SHOWN = {"remove-cell", "remove-output"}


@cache
def config() -> dict[str, Any]:
    """The book's ``_config.yml``."""
    return yaml.safe_load((notebooks.ROOT / "_config.yml").read_text(encoding="utf-8"))


@cache
def parser() -> MarkdownIt:
    """The book's own parser of Markdown, with the extensions that the book uses."""
    extensions = set(config()["parse"]["myst_enable_extensions"])
    return create_md_parser(MdParserConfig(enable_extensions=extensions), RendererHTML)


@dataclass(frozen=True)
class Directive:
    """A directive's name, what stands beside it, its options and what is left of its content."""

    name: str
    argument: str
    options: dict[str, str]
    content: str


def directive(token: Token) -> Directive | None:
    """What a fence says if it is a directive, else None."""
    found = DIRECTIVE.fullmatch(token.info.strip()) if token.type in FENCES else None
    if not found:
        return None
    lines, options = token.content.splitlines(), {}
    while lines and (option := OPTION.fullmatch(lines[0].strip())):
        options[option[1]] = option[2].strip()
        del lines[0]
    return Directive(found[1], found[2].strip(), options, "\n".join(lines).strip("\n"))


@dataclass(frozen=True)
class Place:
    """A place in the book, and what a reference without words of its own calls it."""

    page: str
    anchor: str
    text: str
    in_solution: bool = False


@dataclass
class Numbers:
    """Counts the headings and whatever else has numbers, from a page's beginning to its end."""

    chapter: int | None
    counts: Counter[Any]
    depth: list[int] = field(default_factory=list)
    in_solution: bool = False

    def heading(self, level: int) -> str:
        """The number of the next heading of that level; none on a page that has no number."""
        if self.chapter is None:
            return ""
        if level == 1:
            self.depth = [self.chapter]
        else:
            self.depth = (self.depth + [0] * level)[:level]
            self.depth[-1] += 1
        return ".".join(map(str, self.depth))

    def next(self, kind: str) -> str:
        """The number of the chapter's next figure, equation or exercise."""
        self.counts[kind, self.chapter] += 1
        number = str(self.counts[kind, self.chapter])
        return number if self.chapter is None else f"{self.chapter}.{number}"


class Book:
    """All labels, terms, works and objects of the package, with their places in the book."""

    def __init__(self) -> None:
        self.labels: dict[str, Place] = {}
        self.terms: dict[str, Place] = {}
        self.chapters: dict[str, int | None] = {}
        self.titles: dict[str, str] = {}
        counts: Counter[Any] = Counter()
        for page, chapter in pages():
            self.chapters[page] = chapter
            self._read(page, Numbers(chapter, counts))
        [bibliography] = config()["bibtex_bibfiles"]
        self.works: dict[str, Entry] = dict(
            parse_file(str(notebooks.ROOT / bibliography), "bibtex").entries
        )
        self.modules = {
            module: page
            for page in self.chapters
            for module in AUTOMODULE.findall(source_text(page))
        }

    def _read(self, page: str, numbers: Numbers) -> None:
        shown: Counter[str] = Counter()
        for cell in cells(page):
            if cell.cell_type == "markdown":
                self._read_text(page, numbers, cell.source)
                continue
            for label in figures(cell, shown):
                number = f"Fig. {numbers.next('figure')}"
                self.labels[label] = Place(page, make_id(label), number, numbers.in_solution)

    def _read_text(self, page: str, numbers: Numbers, text: str) -> None:
        pending: list[str] = []
        tokens = parser().parse(text)
        for i, token in enumerate(tokens):
            if token.type == "myst_target":
                pending.append(token.content)
                continue
            title = ""
            if token.type == "heading_open":
                title = plain_text(tokens[i + 1])
                number = numbers.heading(int(token.tag[1]))
                if token.tag == "h1":
                    self.titles.setdefault(page, f"{number}. {title}" if number else title)
            elif token.type == "math_block_label":
                self._read_equation(page, numbers, token.info)
            elif found := directive(token):
                self._read_directive(page, numbers, found)
            for label in pending:
                self.labels[label] = Place(page, make_id(label), title)
            pending = []

    def _read_directive(self, page: str, numbers: Numbers, found: Directive) -> None:
        label = found.options.get("label", "")
        if found.name in ("exercise", "exercise-start"):
            number = "" if "nonumber" in found.options else f" {numbers.next('exercise')}"
            self.labels[label] = Place(page, label, f"Exercise{number}")
        elif found.name in ("solution-start", "solution-end"):
            numbers.in_solution = found.name == "solution-start"
        elif found.name == "math" and label:
            self._read_equation(page, numbers, label)
        elif found.name == "glossary":
            for line in found.content.splitlines():
                if line and not line[0].isspace():
                    # As Sphinx: letters outside ASCII lose their accents, other signs go.
                    plain = unicodedata.normalize("NFKD", line).encode("ascii", "ignore").decode()
                    anchor = "term-" + re.sub(r"[^a-zA-Z0-9._]+", "-", plain).strip("-")
                    self.terms[line.lower()] = Place(page, anchor, line)
        if found.name not in ("eval-rst", "bibliography", "glossary"):
            self._read_text(page, numbers, found.content)

    def _read_equation(self, page: str, numbers: Numbers, label: str) -> None:
        number, anchor = f"({numbers.next('equation')})", f"equation-{make_id(label)}"
        self.labels[label] = Place(page, anchor, number, numbers.in_solution)

    def url(self, page: str, anchor: str = "") -> str:
        """The address of a page, or of a place on it, where the book is published."""
        return f"{notebooks.published()}{page}.html" + (f"#{anchor}" if anchor else "")

    def label(self, name: str) -> Place:
        """The place that a label names.

        Raises:
            KeyError: There is none of that name.
        """
        place = self.labels.get(name) or self.labels.get(fully_normalize_name(name))
        if place is None:
            raise KeyError(f"the book has no label {name!r}")
        return place

    def term(self, name: str) -> Place:
        """The place of a term in the glossary.

        Raises:
            KeyError: The glossary does not have it.
        """
        if name.lower() not in self.terms:
            raise KeyError(f"the glossary has no term {name!r}")
        return self.terms[name.lower()]

    def thing(self, name: str) -> Place:
        """The place of a module, function, class or method of the package in the API reference.

        Raises:
            KeyError: No page lists it.
        """
        if name in self.modules:
            return Place(self.modules[name], f"module-{name}", name)
        module = name
        while "." in module:
            module = module.rpartition(".")[0]
            if module in self.modules:
                return Place(self.modules[module], name, name)
        raise KeyError(f"the API reference has no {name!r}")

    def work(self, key: str) -> tuple[str, str]:
        """The authors of a work as the book's citations name them, and its year.

        Raises:
            KeyError: ``references.bib`` does not have it.
        """
        if key not in self.works:
            raise KeyError(f"references.bib has no {key!r}")
        entry, style = self.works[key], AuthorYearReferenceStyle()  # the book's
        template = style.person.author_or_editor_or_title(full=False)
        names = template.format_data({"entry": entry, "style": style})
        return str(names).replace("et al.", "*et al.*"), entry.fields["year"]

    def work_url(self, key: str) -> str:
        """The address of a work's entry in the bibliography."""
        return self.url("book/bibliography", make_id(f"cite-{key}"))


def pages() -> Iterator[tuple[str, int | None]]:
    """The pages in the book's order, each with its chapter's number if it has one."""
    contents = yaml.safe_load((notebooks.ROOT / "_toc.yml").read_text(encoding="utf-8"))
    yield contents["root"], None
    chapter = 0
    for part in contents["parts"]:
        for entry in part["chapters"]:
            if part.get("numbered"):
                chapter += 1
            yield entry["file"], chapter if part.get("numbered") else None
            for section in entry.get("sections", []):
                yield section["file"], None


def source_text(page: str) -> str:
    """The text of a page that is Markdown; nothing where it is a notebook."""
    path = notebooks.ROOT / f"{page}.md"
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def cells(page: str) -> list[NotebookNode]:
    """The cells of a page; one of text where it is no notebook."""
    path = notebooks.ROOT / f"{page}.ipynb"
    if path.is_file():
        return notebooks.read(path).cells
    return [NotebookNode(cell_type="markdown", source=source_text(page))]


def figures(cell: NotebookNode, shown: Counter[str]) -> Iterator[str]:
    """The labels of the figures that a cell shows on the page, in order.

    ``shown`` counts the live figures of the page so far, for a label that comes again.
    """
    if NOT_SHOWN & set(cell.metadata.get("tags", [])):
        return
    for output in cell.outputs:
        data = output.get("data", {})
        if live := LIVE_FIGURE.search(data.get("text/html", "")):
            shown[live[1]] += 1
            again = shown[live[1]]
            yield live[1] if again == 1 else f"{live[1]}-{again}"
        elif "image/svg+xml" in data or "image/png" in data:
            name = cell.metadata.get("mystnb", {}).get("figure", {}).get("name")
            if name:
                yield name


def plain_text(inline: Token) -> str:
    """The words of a heading, without their markup."""
    return "".join(child.content for child in inline.children or [])
