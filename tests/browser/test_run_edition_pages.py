"""The run edition beside the built book: one numbering, links that arrive, and the buttons."""

from __future__ import annotations

import itertools
import re
from functools import cache
from html import unescape
from pathlib import Path

import book_labels
import nbformat
import notebooks
import pytest
import yaml
from book_labels import Book
from markdown_it import MarkdownIt
from nbformat import NotebookNode

NAMES = [path.stem for path in notebooks.every()]
LINK = re.compile(r"\]\((https://[^)\s]+)\)")
FIGURE = r'id="{anchor}">.*?<span class="caption-number">(Fig\. [\d.]+) </span>'
EQUATION = r'id="{anchor}">\s*<span class="eqno">(\([\d.]+\))<'
EXERCISE = (
    r'id="{anchor}">\s*<p class="admonition-title"><span class="caption-number">'
    r"(Exercise [\d.]+) </span>"
)
HEADING = re.compile(
    r'<h[1-6]>(?:<span class="section-number">([\d.]+) </span>)?'
    r'((?:(?!<h[1-6]).)*?)<a class="headerlink"',
    re.DOTALL,
)
CITATION = re.compile(r'<span class="bibtex-citation"[^>]*>(.*?)</span>', re.DOTALL)
TAG = re.compile(r"<[^>]+>")

each = pytest.mark.parametrize("name", NAMES)


@pytest.fixture(scope="module")
def facts() -> Book:
    return Book()


@cache
def page(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def edition(name: str) -> NotebookNode:
    return nbformat.read(notebooks.RUN_EDITION / f"{name}.ipynb", as_version=4)


def texts(name: str) -> list[str]:
    return [cell.source for cell in edition(name).cells if cell.cell_type == "markdown"]


def words(html: str) -> str:
    return " ".join(unescape(TAG.sub("", html)).split())


@each
def test_numbers_are_the_page_s(name: str, book: Path, facts: Book) -> None:
    html = page(book / "book" / f"{name}.html")
    places = [place for place in facts.labels.values() if place.page == f"book/{name}"]
    seen = 0
    for kind, pattern in (("Fig.", FIGURE), ("(", EQUATION), ("Exercise", EXERCISE)):
        for place in places:
            if place.text.startswith(kind) and re.search(r"\d", place.text):
                found = re.search(pattern.format(anchor=re.escape(place.anchor)), html, re.DOTALL)
                assert found, f"{place.anchor} is not on the page"
                assert found[1] == place.text, place.anchor
                seen += 1
    shown = html.count('<span class="caption-number">') + html.count('<span class="eqno">')
    assert seen == shown  # all that has a number has its label here


@each
def test_headings_have_the_page_s_numbers_and_words(name: str, book: Path) -> None:
    on_page = [
        (number, words(re.sub(r"<mjx-container.*?</mjx-container>", "", title, flags=re.DOTALL)))
        for number, title in HEADING.findall(page(book / "book" / f"{name}.html"))
    ]
    viewer = MarkdownIt("commonmark")
    in_notebook = []
    for text in texts(name):
        tokens = viewer.parse(text)
        for token, inline in itertools.pairwise(tokens):
            if token.type == "heading_open" and not inline.content.startswith("Exercise "):
                number, title = re.fullmatch(r"(?:([\d.]+\.) )?(.*)", inline.content).groups()
                html = viewer.renderInline(re.sub(r"\$[^$]*\$", "", title))
                in_notebook.append((number or "", words(html)))
    plain_quotes = str.maketrans("“”’‘", "\"\"''")
    assert in_notebook == [(n, title.translate(plain_quotes)) for n, title in on_page]


@each
def test_citations_read_as_on_the_page(name: str, book: Path) -> None:
    html = page(book / "book" / f"{name}.html")
    on_page = {words(citation) for citation in CITATION.findall(html)}
    viewer = MarkdownIt("commonmark")
    told = words(" ".join(viewer.render(text) for text in texts(name)))
    links = re.findall(r"\[([^\[\]]+)\]\([^)]*#cite-", " ".join(texts(name)))
    assert links or name == "intro"
    linked = {words(viewer.renderInline(link)) for link in links}
    for text in linked:
        assert any(text in citation for citation in on_page), text
    # Whole, with the names of those cited in a sentence; those in solutions are not told.
    assert sum(citation in told for citation in on_page) >= 0.7 * len(on_page)


@each
def test_every_link_into_the_book_arrives(name: str, book: Path) -> None:
    base = notebooks.published()
    html = [
        output.get("data", {}).get("text/html", "")
        for cell in edition(name).cells
        for output in cell.get("outputs", [])
    ]
    targets = {target for text in texts(name) for target in LINK.findall(text)}
    targets |= {target for text in html for target in re.findall(rf'"({base}[^"]*)"', text)}
    inside = {target.removeprefix(base) for target in targets if target.startswith(base)}
    assert inside
    for target in inside:
        path, _, anchor = target.partition("#")
        assert (book / path).is_file(), target
        assert not anchor or f'id="{anchor}"' in page(book / path), target


@each
def test_the_buttons_open_the_run_edition(name: str, book: Path) -> None:
    html = page(book / "book" / f"{name}.html")
    (url, tag), plain = notebooks.repository(), f"notebooks/{name}.ipynb"
    own = url.removeprefix("https://github.com/")
    links = {unescape(link) for link in re.findall(r'href="([^"]+)"', html)}
    assert f"https://colab.research.google.com/github/{own}/blob/{tag}/{plain}" in links
    assert f"https://mybinder.org/v2/gh/{own}/{tag}?urlpath=lab/tree/{plain}" in links
    assert f"../{plain}" in links  # the download
    assert not {link for link in links if link.endswith(f"book/{name}.ipynb")}
    copied = (book / plain).read_text(encoding="utf-8")
    assert copied == (notebooks.RUN_EDITION / f"{name}.ipynb").read_text(encoding="utf-8")


def test_pages_say_where_they_are_published(book: Path) -> None:
    config = yaml.safe_load((notebooks.ROOT / "_config.yml").read_text(encoding="utf-8"))
    address = config["html"]["baseurl"].rstrip("/")
    for name, _ in book_labels.pages():
        assert f'<link rel="canonical" href="{address}/{name}.html"' in page(book / f"{name}.html")
