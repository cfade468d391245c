"""Folded sections and numbered live figures, in a little book that is built as ours is."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")
from browser.conftest import serving
from browser.fixtures import turning
from browser.live import SET
from browser.test_diff import NEW, OLD
from browser.visits import Visit
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_output
from playwright.sync_api import expect

from llama_tutorial import figures

PHONE = {"width": 390, "height": 844}
TOP = """\
# A page

See {numref}`fig-cycles`, {numref}`fig-turning` and {numref}`fig-turning-2`, or
[what it costs](#sec-costs), or [more](#sec-detail).

$$ a = b $$ (eq-one)
"""
COSTS = f"(sec-costs)=\n## Deeper: What it *costs*\n\n{'word ' * 299}zebra\n"
SOLUTION = """\
:::{exercise-start} One
:label: ex-one
:::
What is one?
:::{exercise-end}
:::

:::{solution-start} ex-one
:class: dropdown
:::
"""
DETAIL = "### Deeper: A fold in the fold\n\n(sec-detail)=\nA detail.\n"


def _shown(figure: object, **metadata: object) -> NotebookNode:
    data = {"text/html": figure._repr_html_(), "text/plain": repr(figure)}
    output = new_output("execute_result", data, execution_count=1)
    return new_code_cell("x", execution_count=1, outputs=[output], metadata=metadata)


@pytest.fixture(scope="module")
def little(build_little):
    """The little book's pages; the fold holds 300 words and 30 lines of code in sight."""
    figures.use()
    hidden = {"tags": ["hide-input"]}
    pages, log = build_little(
        new_markdown_cell(TOP),
        _shown(turning.framed(), tags=["remove-input"]),
        new_markdown_cell("## The story\n\nGoes on.\n"),
        _shown(turning.turning(), tags=["remove-input"]),
        new_markdown_cell(COSTS),
        new_code_cell("x = 1\n\n" * 30),
        new_code_cell("y = 1\n" * 300, metadata=hidden),
        _shown(turning.turning(), tags=["remove-input"]),
        new_markdown_cell(SOLUTION),
        new_code_cell("assert True\n" * 100),
        new_markdown_cell(":::{solution-end}\n:::\n"),
        new_markdown_cell(DETAIL),
        new_markdown_cell("## Afterwards\n\nThe story ends.\n"),
        _shown(figures.diff(OLD, NEW, "The gate.")),
        _shown(figures.Predict("How many?", choices=["one", "two"], answer=0, why="Since.")),
    )
    assert log.endswith("exit code 0"), log
    return pages


@pytest.fixture(scope="module")
def little_site(little: Path):
    with serving(little) as address:
        yield address


@pytest.fixture
def page(browser, little_site: str):
    context = browser.new_context(reduced_motion="reduce")
    page = context.new_page()
    page.goto(f"{little_site}/book/page.html")
    yield page
    context.close()


def _fold(page):
    return page.locator("details.lt-deeper").first


def test_fold_is_shut_and_its_summary_is_the_numbered_heading(page) -> None:
    fold = _fold(page)
    assert fold.get_attribute("open") is None
    assert fold.locator("h2").inner_text().rstrip("#\n ") == "1.2. Deeper: What it costs"
    assert not page.get_by_text("zebra").is_visible()
    assert page.get_by_text("The story ends.").is_visible()
    page.locator("details.lt-deeper > summary").first.click()
    assert page.get_by_text("zebra").is_visible()
    assert not page.get_by_text("A detail.", exact=True).is_visible()


def test_time_is_that_of_the_words_and_the_code_in_sight(page) -> None:
    # 300 words, an exercise's eight, 30 lines: hidden cells and the solution take no time.
    assert _fold(page).locator(".lt-minutes").first.text_content() == "4 min"


@pytest.mark.parametrize("name", ["sec-costs", "deeper-what-it-costs", "sec-detail", "ex-one"])
def test_an_address_opens_the_fold(browser, little_site: str, name: str) -> None:
    page = browser.new_page(reduced_motion="reduce")
    page.goto(f"{little_site}/book/page.html#{name}")
    expect(_fold(page)).to_have_attribute("open", "")
    assert page.get_by_text("A detail.", exact=True).is_visible() == (name == "sec-detail")
    place = f"() => document.getElementById('{name}').getBoundingClientRect().y"
    page.wait_for_function(f"0 <= ({place})() && ({place})() < innerHeight")
    page.close()


def test_a_link_opens_the_fold_again_and_again(page) -> None:
    for _ in range(2):
        page.locator("article a[href='#sec-costs']").first.click()
        expect(_fold(page)).to_have_attribute("open", "")
        page.evaluate("document.querySelector('details.lt-deeper').open = false")


def test_contents_list_the_fold_and_open_it(page) -> None:
    page.set_viewport_size({"width": 1280, "height": 800})
    entry = page.locator(".toc-entry > a[href='#deeper-what-it-costs']:visible").first
    assert entry.inner_text() == "1.2. Deeper: What it costs"
    assert entry.locator(".lt-deeper-label").count() == 1
    entry.click()
    expect(_fold(page)).to_have_attribute("open", "")


def test_keyboard_opens_the_fold(page) -> None:
    summary = page.locator("details.lt-deeper > summary").first
    summary.focus()
    for is_open in ("", None):
        page.keyboard.press("Enter")
        assert _fold(page).get_attribute("open") == is_open


def test_search_leads_into_the_fold(browser, little_site: str) -> None:
    page = browser.new_page(reduced_motion="reduce")
    page.goto(f"{little_site}/search.html?q=zebra")
    page.locator("#search-results li a").first.click()
    expect(_fold(page)).to_have_attribute("open", "")
    expect(page.locator("span.highlighted")).to_be_visible()
    page.close()


def test_print_opens_everything_and_leaves_it_as_it_was(page) -> None:
    shut = "document.querySelectorAll('details.lt-deeper:not([open])').length"
    assert page.evaluate(shut) == 2
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert page.evaluate(shut) == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert page.evaluate(shut) == 2


def test_without_script_the_fold_opens_by_hand_and_in_print(browser, little_site: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{little_site}/book/page.html")
    assert not page.get_by_text("zebra").is_visible()
    page.emulate_media(media="print")
    assert page.get_by_text("zebra").is_visible()
    page.emulate_media(media="screen")
    page.locator("details.lt-deeper > summary").first.click()
    assert page.get_by_text("zebra").is_visible()
    context.close()


def test_a_live_figure_in_the_fold_is_drawn_once_it_is_open(page) -> None:
    page.locator("details.lt-deeper > summary").first.click()
    figure = _fold(page).locator("figure.lt-figure")
    assert figure.locator(".lt-stage svg").bounding_box()["width"] > 200
    assert figure.evaluate(SET, {"m": 7})["angle"] == pytest.approx(0.7)
    assert figure.locator(".lt-readout").bounding_box()["height"] > 10


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_folds_are_accessible(browser, little_site: str, theme: str) -> None:
    visit = Visit(browser, little_site, "book/page.html")
    visit.page.set_viewport_size({"width": 1280, "height": 800})
    visit.show(theme)
    assert visit.accessibility([]) == []
    visit.unfold()
    visit.page.wait_for_timeout(400)  # until the solution has faded in
    assert visit.accessibility([]) == []
    visit.context.close()


def test_folds_fit_a_phone(browser, little_site: str) -> None:
    visit = Visit(browser, little_site, "book/page.html")
    visit.page.set_viewport_size(PHONE)
    visit.unfold()
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    visit.context.close()


def test_live_figures_have_numbers_that_the_text_cites(page) -> None:
    cited = page.locator("article p").first.locator("a").all_inner_texts()
    assert cited[:3] == ["Fig. 1.1", "Fig. 1.2", "Fig. 1.3"]
    heads = page.locator("figcaption .caption-number").all_text_contents()
    assert heads == ["Fig. 1.1 ", "Fig. 1.2 ", "Fig. 1.3 "]
    page.locator("article p").first.locator("a").nth(2).click()
    expect(page.locator("#fig-turning-2")).to_be_in_viewport()
    assert _fold(page).get_attribute("open") == ""


def test_two_figures_of_one_name_are_an_error(build_little) -> None:
    figures.use()
    _, log = build_little(
        new_markdown_cell("# A page\n\n(fig-turning)=\n## Section\n"), _shown(turning.turning())
    )
    assert "both have the label 'fig-turning': give the other one another name" in log
    assert log.endswith("exit code 1")
