"""Every page of the built book, as a reader's browser sees it."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

from browser.visits import Visit, pages
from measure_page import PHONE, WRITING

SMALLEST_WRITING = 10  # pixels


def test_book_builds_from_nothing_without_a_warning(build: tuple[Path, str]) -> None:
    _, said = build
    assert [line for line in said.splitlines() if "WARNING" in line or "ERROR" in line] == []
    assert said.endswith("exit code 0"), said[-3000:]


def test_pages_are_those_of_the_contents(book: Path) -> None:
    built = {path.relative_to(book).as_posix() for path in book.rglob("*.html")}
    ours = {path for path in built if not path.startswith(("_static/", "_modules/"))}
    assert ours - {"index.html"} == set(pages())


@pytest.fixture(scope="module", params=pages())
def visit(request: pytest.FixtureRequest, browser, site: str):
    """Each page in turn, opened once for all the tests that look at it."""
    visit = Visit(browser, site, request.param)
    yield visit
    visit.context.close()


def test_page_asks_nobody_and_complains_of_nothing(visit: Visit) -> None:
    visit.page.wait_for_load_state("networkidle")
    assert visit.trouble == []


def test_page_is_light(visit: Visit, book: Path) -> None:
    """What a first visit sends over the wire, where the server compresses, as GitHub Pages does."""
    sent = 0
    for address in visit.loaded:
        path = book / unquote(address.removeprefix(visit.site).split("?")[0]).lstrip("/")
        sent += len(gzip.compress(path.read_bytes()))
    assert len(visit.loaded) > 5
    assert sent < 750_000  # bytes; the notebooks with many weights in them need most


def test_maths_is_typeset_before_any_script_runs(visit: Visit, book: Path) -> None:
    page = visit.page
    assert page.locator(".math.notranslate:not(:has(mjx-container > svg))").count() == 0
    lost = page.evaluate(
        """[...document.querySelectorAll("mjx-container use")]
          .map(use => use.getAttribute("xlink:href").slice(1))
          .filter(name => !document.getElementById(name)).length"""
    )
    assert lost == 0
    source = (book / visit.path).read_text(encoding="utf-8")
    assert source.count("<mjx-container") == page.locator("mjx-container").count()


def test_icons_are_drawn(visit: Visit) -> None:
    """Each is a character of a font that has been cut to those in use."""
    page = visit.page
    page.evaluate("document.fonts.ready")
    icons = page.evaluate(
        """[...document.querySelectorAll("i.fa-solid, i.fa-brands, i.fa-regular")]
          .map(icon => getComputedStyle(icon, "::before").content)"""
    )
    assert len(icons) > 3
    assert all(len(icon) == 3 for icon in icons), icons  # in quotes
    assert page.locator("script[src*=fontawesome]").count() == 0


def test_pictures_have_words(visit: Visit) -> None:
    silent = visit.page.evaluate(
        """[...document.querySelectorAll("img, article svg[role=img]")]
          .filter(one => !one.ariaHidden)
          .filter(one => !(one.getAttribute("alt") || one.getAttribute("aria-label")))
          .map(one => one.outerHTML.slice(0, 100))"""
    )
    assert silent == []


def test_page_is_accessible(visit: Visit) -> None:
    visit.page.set_viewport_size({"width": 1280, "height": 800})
    assert visit.complaints("light") == []


def test_page_fits_a_phone(visit: Visit) -> None:
    visit.page.set_viewport_size(PHONE)
    visit.unfold()
    # A figure that was just made visible is laid out a moment later, on a busy machine.
    fits = f"document.documentElement.scrollWidth <= {PHONE['width']}"
    visit.page.wait_for_function(fits, timeout=5000)
    wide = visit.page.evaluate(
        """width => [...document.querySelectorAll("article *")].filter(element => {
            const box = element.getBoundingClientRect();
            if (box.width === 0 || box.right <= width + 1) return false;
            for (let up = element.parentElement; up; up = up.parentElement) {
              if (["auto", "scroll", "hidden", "clip"].includes(getComputedStyle(up).overflowX))
                return false;  // it scrolls in a box of its own
            }
            return true;
        }).map(element => element.outerHTML.slice(0, 100))""",
        PHONE["width"],
    )
    assert wide == []


def test_formulas_fit_a_phone(visit: Visit) -> None:
    """A box that scrolls hides the end of a formula, and whether a reader looks there is luck."""
    visit.page.set_viewport_size(PHONE)
    visit.unfold()
    wide = visit.page.evaluate(
        """() => [...document.querySelectorAll("article div.math")].filter(formula =>
            [formula, ...formula.querySelectorAll("*")].some(element =>
              element.scrollWidth > element.clientWidth + 1
              && !element.closest("mjx-assistive-mml")  // for screen readers, never in sight
              && getComputedStyle(element).overflowX !== "visible")
        ).map(formula => formula.id || formula.textContent.slice(0, 60))"""
    )
    assert wide == []


def test_tables_fit_a_phone(visit: Visit) -> None:
    """A column that has to be scrolled to is a column that nobody reads."""
    visit.page.set_viewport_size(PHONE)
    visit.unfold()
    wide = visit.page.evaluate(
        """() => [...document.querySelectorAll("article table")].map(table => {
            const box = table.closest(".lt-scroll, .pst-scrollable-table-container");
            const over = table.scrollWidth - (box ?? table.parentElement).clientWidth;
            return [over, (table.caption ?? table).textContent.trim().slice(0, 60)];
        }).filter(([over]) => over > 1)"""
    )
    assert wide == [], "pixels too wide, and which: fewer columns, shorter heads, rounder numbers"


def test_code_that_scrolls_on_a_phone_shows_it(visit: Visit) -> None:
    """By shadows that stay where they are, under covers that scroll along to the lines' ends."""
    visit.page.set_viewport_size(PHONE)
    visit.unfold()
    found = visit.page.evaluate(
        """() => [...document.querySelectorAll("article pre, article .lt-diff .lt-code")]
          .filter(code => code.scrollWidth > code.clientWidth + 1)
          .filter(code => getComputedStyle(code).overflowX !== "visible")
          .map(code => getComputedStyle(code))
          .map(s => [s.backgroundAttachment, s.backgroundImage.split("gradient").length])"""
    )
    assert all(look == ["local, local, scroll, scroll, scroll", 5] for look in found), found


def test_writing_in_live_figures_is_legible_on_a_phone(visit: Visit) -> None:
    visit.page.set_viewport_size(PHONE)
    visit.unfold()
    visit.page.evaluate("new Promise(requestAnimationFrame)")  # what was folded is drawn anew
    found = visit.page.evaluate(WRITING, ".lt-stage svg text")
    assert [(size, words) for size, words in found if size < SMALLEST_WRITING] == []


def test_pages_of_the_source_name_no_foreign_host(book: Path) -> None:
    foreign = re.compile(r"<(?:script|link|img|iframe)[^>]+(?:src|href)=.(?:https?:)?//[^>]+>")
    paths = sorted(book.glob("_modules/**/*.html"))
    assert paths
    found = {match for path in paths for match in foreign.findall(path.read_text(encoding="utf-8"))}
    assert {one for one in found if 'rel="canonical"' not in one} == set()


def test_root_leads_to_the_first_page(browser, site: str) -> None:
    page = browser.new_page()
    page.goto(f"{site}/index.html")
    page.wait_for_url(f"{site}/{pages()[0]}")
    page.close()


def test_search_finds_a_term(browser, site: str) -> None:
    visit = Visit(browser, site, "search.html?q=token")
    visit.page.wait_for_selector("#search-results li a")
    assert visit.trouble == []
    visit.context.close()


def test_internal_links_lead_somewhere(site: str) -> None:
    tool = str(Path(sys.executable).with_name("linkchecker"))
    ignored = ["^https?://[^1]", "/_modules/", "/_sources/", "#"]
    options = ["--no-status", "--no-robots", *(f"--ignore-url={pattern}" for pattern in ignored)]
    done = subprocess.run(
        [tool, *options, f"{site}/{pages()[0]}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert " 0 warnings found. 0 errors found" in done.stdout


class _Anchors(HTMLParser):
    """The places of a page that a link may lead to, and the links that lead to a place."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.names, self.links = set(), set()
        self.feed(page.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.names |= {given.get("id"), given.get("name")}
        link = given.get("href") or ""
        if tag == "a" and "#" in link and not link.startswith(("http:", "https:", "mailto:")):
            self.links.add(link)


def test_links_into_pages_find_their_anchor(book: Path) -> None:
    read = {page.resolve(): _Anchors(page) for page in book.rglob("*.html")}
    assert sum(len(anchors.links) for anchors in read.values()) > 100
    lost = set()
    for page, anchors in read.items():
        for link in anchors.links:
            path, _, name = link.partition("#")
            target = (page.parent / unquote(path)).resolve() if path else page
            if name and (target not in read or unquote(name) not in read[target].names):
                lost.add(f"{page.relative_to(book.resolve())}: {link}")
    assert lost == set()


def test_bibliography_leads_back_to_the_chapters_that_cite(book: Path) -> None:
    page = (book / "book" / "bibliography.html").read_text(encoding="utf-8")
    whole = dict(
        re.findall(r'<div class="citation" id="([^"]+)"[^>]*>(.*?)</div>', page, re.DOTALL)
    )
    assert len(whole) > 50
    for name, entry in whole.items():
        _, found, back = entry.partition("Cited in")
        chapters = re.findall(r'href="(\w+\.html)"', back)
        assert found, f"{name} is cited nowhere"
        assert chapters, name
        for chapter in chapters:
            text = (book / "book" / chapter).read_text(encoding="utf-8")
            assert f'href="bibliography.html#{name}"' in text, f"{chapter} does not cite {name}"
