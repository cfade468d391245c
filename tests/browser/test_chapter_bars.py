"""The bars of the two-depth form that only the page tells: heights, shares, the size of writing."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

import measure_page
import notebooks

MOST_CODE = 0.35
LEAST_PROSE_AND_PICTURES = 0.60
FIRST_FIGURE = 1800
SMALLEST_WRITING = 10


@pytest.fixture(scope="module", params=[path.stem for path in notebooks.chapters()])
def measured(request: pytest.FixtureRequest, browser, site: str) -> dict:
    return measure_page.measure_page(browser, f"{site}/book/{request.param}.html")


def test_code_leaves_room_for_prose_and_pictures(measured: dict) -> None:
    assert measured["code"] <= MOST_CODE
    assert measured["prose"] + measured["pictures"] >= LEAST_PROSE_AND_PICTURES


def test_a_picture_comes_soon(measured: dict) -> None:
    assert measured["first_figure"] is not None
    assert measured["first_figure"] <= FIRST_FIGURE


def test_writing_in_pictures_is_legible_on_a_phone(measured: dict) -> None:
    if measured["writing"] is not None:
        size, words = measured["writing"]
        assert size >= SMALLEST_WRITING, words


# The measuring itself


def _block(tag: str, kind: str = "", inside: str = "") -> str:
    """A block of a page, 100 px high."""
    return f'<{tag} class="{kind}">{inside}</{tag}>'


def test_shares_are_those_of_the_heights(browser, tmp_path) -> None:
    svg = '<svg viewBox="0 0 716 100"><text y="20" style="font-size: 20px">small</text></svg>'
    blocks = [
        _block("h1"),
        _block("p") * 4,
        _block("div", "cell_input", "<pre>x</pre>"),
        f'<div class="cell_output">{_block("div", "output stream")}</div>',
        f'<div class="cell_output">{_block("figure", "", f"<b class=lt-static>{svg}</b>")}</div>',
        f'<details class="lt-deeper">{_block("summary")}{_block("p") * 9}</details>',
        f'<div class="cell_output"><div class="output">{_block("div", "lt-diff")}</div></div>',
    ]
    sheet = (
        "body, pre { margin: 0 } b, svg { display: block; width: 100% }"
        "h1, p, figure, summary, .cell_input, .stream, .lt-diff"
        "{ display: block; height: 100px; margin: 0 }"
    )
    (tmp_path / "page.html").write_text(
        f"<!doctype html><style>{sheet}</style><title>t</title>"
        '<meta name="viewport" content="width=device-width">'
        f'<article class="bd-article">{"".join(blocks)}</article>',
        encoding="utf-8",
    )
    found = measure_page.measure_page(browser, (tmp_path / "page.html").as_uri())
    assert (found["height"], found["phone_height"]) == (1000, 1000)
    shares = [round(found[kind], 3) for kind in ("code", "prose", "pictures", "prints")]
    assert shares == [0.2, 0.6, 0.1, 0.1]
    assert found["first_figure"] == 700
    assert found["writing"] == [pytest.approx(20 * 390 / 716, abs=0.06), "small"]
    assert found["live_writing"] is None
