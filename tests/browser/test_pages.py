"""Every page of the built book, as a reader's browser sees it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")
from axe_playwright_python.sync_playwright import Axe

ROOT = Path(__file__).resolve().parents[2]
PHONE = {"width": 390, "height": 844}

# What the theme itself does, and no page can mend: the search button's name differs from its words,
# and the bibliography's list is marked up by roles that have been dropped.
AXE = {
    "context": {"exclude": [[".citation-list"]]},
    "options": {
        "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"],
        "rules": {"label-content-name-mismatch": {"enabled": False}},
    },
}


def _pages() -> list[str]:
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf-8"))
    chapters = [chapter["file"] for part in toc["parts"] for chapter in part["chapters"]]
    return [f"{name}.html" for name in [toc["root"], *chapters, "genindex", "search"]]


def test_book_builds_from_nothing_without_a_warning(build: tuple[Path, str]) -> None:
    _, said = build
    assert [line for line in said.splitlines() if "WARNING" in line or "ERROR" in line] == []
    assert said.endswith("exit code 0"), said[-3000:]


def test_pages_are_those_of_the_contents(book: Path) -> None:
    built = {path.relative_to(book).as_posix() for path in book.rglob("*.html")}
    ours = {path for path in built if not path.startswith(("_static/", "_modules/"))}
    assert ours - {"index.html"} == set(_pages())


class Visit:
    """An open page, and what it has asked for and complained of so far."""

    def __init__(self, browser, site: str, path: str) -> None:
        self.site, self.path = site, path
        self.trouble: list[str] = []
        self.context = browser.new_context(reduced_motion="reduce")
        self.page = self.context.new_page()
        self.page.on("request", self._request)
        self.page.on("pageerror", lambda error: self.trouble.append(f"error: {error.message}"))
        self.page.on("console", self._console)
        self.page.on("response", self._response)
        self.page.goto(f"{site}/{path}", wait_until="load")
        self.page.evaluate("window.MathJax?.startup?.promise")

    def _request(self, request) -> None:
        if not request.url.startswith((self.site, "data:", "blob:")):
            self.trouble.append(f"off-site request: {request.url}")

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.trouble.append(f"console {message.type}: {message.text}")

    def _response(self, response) -> None:
        if response.status >= 400:
            self.trouble.append(f"status {response.status}: {response.url}")

    def show(self, theme: str) -> None:
        """Turns the page light or dark by its own switch."""
        for _ in range(3):  # the switch goes round: as the system has it, light, dark
            if self.page.locator("html").get_attribute("data-mode") == theme:
                self.page.wait_for_timeout(400)  # until the colours have faded over
                return
            self.page.locator(".theme-switch-button").first.click()
        raise AssertionError(f"the switch of {self.path} does not reach {theme}")

    def accessibility(self) -> list[str]:
        """The rules of WCAG 2.1 A and AA that the page breaks, and where."""
        found = Axe().run(self.page, **AXE).response["violations"]
        return [f"{rule['id']}: {node['target']}" for rule in found for node in rule["nodes"]]


@pytest.fixture(scope="module", params=_pages())
def visit(request: pytest.FixtureRequest, browser, site: str):
    """Each page in turn, opened once for all the tests that look at it."""
    visit = Visit(browser, site, request.param)
    yield visit
    visit.context.close()


def test_page_asks_nobody_and_complains_of_nothing(visit: Visit) -> None:
    visit.page.wait_for_load_state("networkidle")
    assert visit.trouble == []


def test_maths_is_typeset(visit: Visit) -> None:
    page = visit.page
    assert page.locator(".math.notranslate:not(:has(mjx-container))").count() == 0
    assert page.locator("mjx-merror").count() == 0


def test_pictures_have_words(visit: Visit) -> None:
    silent = visit.page.evaluate(
        """[...document.querySelectorAll("img, article svg[role=img]")]
          .filter(one => !one.ariaHidden)
          .filter(one => !(one.getAttribute("alt") || one.getAttribute("aria-label")))
          .map(one => one.outerHTML.slice(0, 100))"""
    )
    assert silent == []


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_page_is_accessible(visit: Visit, theme: str) -> None:
    visit.page.set_viewport_size({"width": 1280, "height": 800})
    visit.show(theme)
    assert visit.page.locator("html").get_attribute("data-theme") == theme
    assert visit.accessibility() == []


def test_page_fits_a_phone(visit: Visit) -> None:
    visit.page.set_viewport_size(PHONE)
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
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


def test_pages_of_the_source_are_clean(browser, site: str, book: Path) -> None:
    paths = sorted(path.relative_to(book).as_posix() for path in book.glob("_modules/**/*.html"))
    assert paths
    for path in paths:
        visit = Visit(browser, site, path)
        assert visit.trouble == [], path
        visit.context.close()


def test_root_leads_to_the_first_page(browser, site: str) -> None:
    page = browser.new_page()
    page.goto(f"{site}/index.html")
    page.wait_for_url(f"{site}/{_pages()[0]}")
    page.close()


def test_search_finds_a_term(browser, site: str) -> None:
    visit = Visit(browser, site, "search.html?q=token")
    visit.page.wait_for_selector("#search-results li a")
    assert visit.trouble == []
    visit.context.close()


def test_internal_links_and_anchors_lead_somewhere(site: str, tmp_path: Path) -> None:
    config = tmp_path / "linkchecker.ini"
    config.write_text("[AnchorCheck]\n", encoding="utf-8")
    tool = str(Path(sys.executable).with_name("linkchecker"))
    options = ["--no-status", "--no-robots", f"--config={config}", "--ignore-url=^https?://[^1]"]
    done = subprocess.run(
        [tool, *options, f"{site}/{_pages()[0]}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout
    assert " 0 warnings found. 0 errors found" in done.stdout
