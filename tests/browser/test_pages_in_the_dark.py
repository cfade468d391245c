"""Every page of the book on the dark ground."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

from browser.visits import Visit, pages


@pytest.mark.parametrize("path", pages())
def test_page_is_accessible_in_the_dark(browser, site: str, path: str) -> None:
    visit = Visit(browser, site, path)
    assert visit.complaints("dark") == []
    assert visit.page.locator("html").get_attribute("data-theme") == "dark"
    visit.context.close()
