"""The RoPE chapter's live figures in a browser, at many more settings than they carry along."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

from llama_tutorial import figures
from llama_tutorial.figures import rope

QUERY = [1.5, -0.5, 2.0, 0.25, -1.0, 0.75, 0.5, 1.25]
KEY = [0.5, 1.0, -1.5, 0.75, 1.25, -0.25, -0.5, 2.0]

# Moves one control as a reader would and tells the numbers.
MOVE = """(figure, [name, value]) => {
  const input = figure.querySelector(`[data-name=${name}]`);
  const { stops } = input.dataset;
  input.value = stops ? JSON.parse(stops).indexOf(value) : JSON.stringify(value);
  input.dispatchEvent(new Event("input"));
  return figure.numbers;
}"""


@pytest.fixture
def show(browser):
    """Puts a figure into a page without network; an error in its script fails the test."""
    context = browser.new_context(offline=True)
    page, errors = context.new_page(), []
    page.on("pageerror", lambda error: errors.append(error.message))

    def put(figure: figures.LiveFigure):
        page.set_content(f"<!doctype html><body>{figure.to_html()}")
        return page.locator("figure.lt-figure")

    yield put
    context.close()
    assert errors == []


@pytest.mark.parametrize("base", [10000, 1000000])
def test_every_stop_of_the_clocks(show, base):
    figure = show(rope.clocks())
    figure.evaluate(MOVE, ["base", base])
    for position in rope.POSITIONS:
        shown = figure.evaluate(MOVE, ["position", position])
        expected = rope.clock_numbers(position, base)
        for name in ("moved", "completed"):
            assert shown[name] == expected[name], position
        assert shown["turns"] == pytest.approx(expected["turns"], rel=1e-9)
        apart = [(a - b) % 360 for a, b in zip(shown["degrees"], expected["degrees"], strict=True)]
        assert max(min(one, 360 - one) for one in apart) < 1e-6, position


def test_hands_are_drawn_where_the_numbers_say(show):
    figure = show(rope.clocks())
    figure.evaluate(MOVE, ["position", 10])
    hands = figure.locator(".lt-stage line[stroke-width='3']").all()
    for hand, degrees in zip(hands, rope.clock_numbers(10, 10000)["degrees"], strict=True):
        x1, y1, x2, y2 = (float(hand.get_attribute(name)) for name in ("x1", "y1", "x2", "y2"))
        turned = figure.evaluate(
            "(_, [x, y]) => Math.atan2(y, x) * 180 / Math.PI", [x2 - x1, y1 - y2]
        )
        assert (turned - degrees) % 360 == pytest.approx(0, abs=1e-6) or (
            (degrees - turned) % 360 == pytest.approx(0, abs=1e-6)
        )


def test_score_at_every_distance_and_shift(show):
    figure = show(rope.score(QUERY, KEY, trained=64))
    figure.evaluate(MOVE, ["n", 0])
    for m in range(0, 101, 4):
        for both in (0, 10, 1000, 2000):
            figure.evaluate(MOVE, ["m", m])
            shown = figure.evaluate(MOVE, ["both", both])
            expected = rope.score_numbers(QUERY, KEY, m + both, both)
            assert shown["parts"] == pytest.approx(expected["parts"], abs=1e-9)
            assert shown["score"] == pytest.approx(expected["score"], abs=1e-9)
            assert (shown["query"], shown["key"]) == (m + both, both)


def test_moving_both_turns_the_hands_and_keeps_the_score(show):
    figure = show(rope.score(QUERY, KEY, trained=64))
    hands = ".lt-stage line[stroke-width='3']"
    before = figure.locator(hands).first.get_attribute("x2")
    first = figure.evaluate("figure => figure.numbers")
    second = figure.evaluate(MOVE, ["both", 500])
    assert figure.locator(hands).first.get_attribute("x2") != before
    assert second["score"] == pytest.approx(first["score"], abs=1e-9)


def test_key_follows_where_its_query_goes_back(show):
    figure = show(rope.score(QUERY, KEY, trained=64))
    figure.evaluate(MOVE, ["n", 15])
    shown = figure.evaluate(MOVE, ["m", 7])
    assert (shown["query"], shown["key"], shown["distance"]) == (7, 7, 0)
    assert figure.locator("[data-name=n]").input_value() == "7"
