"""What a question on the book's page covers below itself, until it has been answered."""

from __future__ import annotations

import notebooks
import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")
from playwright.sync_api import expect

from llama_tutorial import figures

STATIC = notebooks.BOOK / "_static"


@pytest.fixture(scope="module")
def page_text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a page as the book lays it out: a question, and four blocks below it."""
    figures.use()
    asked = figures.Predict("Where?", choices=["left", "right"], answer=1, why="Since.", covers=2)
    sheet, script = ((STATIC / name).read_text("utf-8") for name in ("book.css", "predict.js"))
    page = tmp_path_factory.mktemp("covers") / "page.html"
    page.write_text(
        f'<!doctype html><meta charset="utf-8"><title>t</title><style>{sheet}</style>'
        f'<script>{script}</script><article class="bd-article"><section>'
        '<p><a href="#fig">See the figure.</a></p>'
        f'<div class="cell"><div class="cell_output">{asked.to_html()}</div></div>'
        '<div class="cell"><figure id="fig">The picture.</figure></div>'
        "<p>It was right.</p><p>The story goes on.</p>"
        "</section><section><p>Another section.</p></section></article>",
        encoding="utf-8",
    )
    return page.as_uri()


@pytest.fixture
def page(browser, page_text: str):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(page_text)
    yield page
    page.close()


TOLD = ("The picture.", "It was right.")


def test_the_result_waits_for_the_guess(page) -> None:
    for words in TOLD:
        assert not page.get_by_text(words).is_visible()
    assert page.get_by_text("The story goes on.").is_visible()
    assert page.get_by_text("The result appears below once you answer.").is_visible()
    page.get_by_role("button", name="left").click()
    for words in TOLD:
        expect(page.get_by_text(words)).to_be_visible()
    assert not page.get_by_text("The result appears below").is_visible()


def test_who_asks_is_shown(page) -> None:
    page.get_by_role("button", name="Just show me").click()
    for words in TOLD:
        expect(page.get_by_text(words)).to_be_visible()


def test_a_link_into_it_shows_it(page) -> None:
    page.get_by_role("link", name="See the figure.").click()
    for words in TOLD:
        expect(page.get_by_text(words)).to_be_visible()
    assert page.locator(".lt-verdict").inner_text() == ""  # the question is still open


def test_an_address_into_it_shows_it(browser, page_text: str) -> None:
    page = browser.new_page()
    page.goto(f"{page_text}#fig")
    expect(page.get_by_text("The picture.")).to_be_visible()
    page.close()


def test_print_shows_it(page) -> None:
    page.emulate_media(media="print")
    for words in TOLD:
        assert page.get_by_text(words).is_visible()


def test_without_script_it_is_in_sight(browser, page_text: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(page_text)
    for words in TOLD:
        assert page.get_by_text(words).is_visible()
    context.close()
