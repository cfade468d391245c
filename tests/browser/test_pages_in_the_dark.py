"""Every page of the book on the dark ground; and the contrast in code and figures, on both."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

from browser.visits import ROOT, UNIFORM, Visit, pages

CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}
CHAPTERS = [path for path in pages() if (ROOT / path).with_suffix(".ipynb").is_file()]


@pytest.mark.parametrize("path", pages())
def test_page_is_accessible_in_the_dark(browser, site: str, path: str) -> None:
    visit = Visit(browser, site, path)
    visit.show("dark")
    assert visit.page.locator("html").get_attribute("data-theme") == "dark"
    assert visit.accessibility(UNIFORM) == []
    visit.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("path", CHAPTERS)
def test_code_and_figures_are_legible(browser, site: str, path: str, theme: str) -> None:
    visit = Visit(browser, site, path)
    visit.show(theme)
    assert visit.accessibility([], CONTRAST) == []
    visit.context.close()
