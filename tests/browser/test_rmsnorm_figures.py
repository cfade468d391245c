"""The RMSNorm chapter's live figures in a browser, at many more settings than they carry along."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

from llama_tutorial import figures
from llama_tutorial.figures import rmsnorm

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


# The option's value as the script sees it: JSON writes 0.00001 as 1e-05 in Python only.
CHOOSE = """(figure, [name, index]) => {
  const input = figure.querySelector(`[data-name=${name}]`);
  input.selectedIndex = index;
  input.dispatchEvent(new Event("input"));
  return figure.numbers;
}"""


@pytest.mark.parametrize("index", range(3))
def test_every_shift_at_every_scale(show, index):
    figure = show(rmsnorm.shift())
    shift, scale, choice = rmsnorm.shift().controls
    eps = choice.settings()[index]
    figure.evaluate(CHOOSE, ["eps", index])
    for move in shift.values[::4]:
        figure.evaluate(MOVE, ["shift", move])
        for factor in scale.values:
            shown = figure.evaluate(MOVE, ["scale", factor])
            expected = rmsnorm.shift_numbers(move, factor, eps)
            assert shown.keys() == expected.keys()
            for name, value in expected.items():
                assert shown[name] == pytest.approx(value, rel=1e-9, abs=1e-9), (move, factor, name)


def test_shift_moves_only_the_bars_of_rmsnorm(show):
    figure = show(rmsnorm.shift())
    figure.evaluate(MOVE, ["shift", 0])
    bars = """figure => [1, 0].map((i) => {
      const filled = figure.querySelectorAll(`.lt-stage rect[fill="var(--lt-c${i})"]`);
      return [...filled].map((bar) => ["y", "height"].map((name) => +bar.getAttribute(name)));
    })"""
    layer, rms = figure.evaluate(bars)
    assert len(layer) == len(rms) == 8
    figure.evaluate(MOVE, ["shift", 3])
    layer_now, rms_now = figure.evaluate(bars)
    for before, now in zip(layer, layer_now, strict=True):
        assert now == pytest.approx(before, abs=0.01)
    pairs = zip(rms, rms_now, strict=True)
    assert max(abs(before[0] - now[0]) for before, now in pairs) > 10


@pytest.mark.parametrize("index", range(3))
def test_every_token_under_every_axis(show, index):
    figure = show(rmsnorm.axis())
    over = list(rmsnorm.AXES.values())[index]
    figure.evaluate(CHOOSE, ["over", index])
    for token in range(rmsnorm.N_POSITIONS):
        shown = figure.evaluate(MOVE, ["token", token])
        expected = rmsnorm.axis_numbers(over, token)
        assert shown.keys() == expected.keys()
        for name, value in expected.items():
            assert shown[name] == pytest.approx(value, abs=1e-9), (over, token, name)


def test_squares_are_filled_where_the_output_changed(show):
    figure = show(rmsnorm.axis())
    filled = """figure => [...figure.querySelectorAll(".lt-stage rect[fill-opacity]")]
      .map((square) => Number(square.getAttribute("fill-opacity")))"""
    for index, over in enumerate(rmsnorm.AXES.values()):
        figure.evaluate(CHOOSE, ["over", index])
        expected = rmsnorm.axis_changes(over, 5).sqrt().clamp(max=1).flatten().tolist()
        assert figure.evaluate(filled) == pytest.approx(expected, abs=1e-6)
