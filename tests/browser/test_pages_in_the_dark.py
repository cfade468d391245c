"""The contrast of every page of the book on the dark ground; once also in code and figures."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

from browser.visits import UNIFORM, Visit, pages

CONTRAST = {"runOnly": {"type": "rule", "values": ["color-contrast"]}}


@pytest.mark.parametrize("path", pages())
def test_page_is_legible_in_the_dark(browser, site: str, path: str) -> None:
    visit = Visit(browser, site, path)
    visit.show("dark")
    assert visit.page.locator("html").get_attribute("data-theme") == "dark"
    assert visit.accessibility(UNIFORM, CONTRAST) == []
    visit.context.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_code_and_figures_are_legible(browser, site: str, theme: str) -> None:
    visit = Visit(browser, site, "book/rope.html")
    visit.show(theme)
    assert visit.accessibility([], CONTRAST) == []
    visit.context.close()
