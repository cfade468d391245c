"""The RMSNorm chapter's live figures in a browser, at many more settings than they carry along."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

from browser.live import SET

from llama_tutorial.figures.rmsnorm import live


@pytest.mark.parametrize("index", range(3))
def test_every_shift_at_every_scale(show, index):
    figure = show(live.shift())
    shift, scale, choice = live.shift().controls
    eps = choice.settings()[index]
    figure.evaluate(SET, {"eps": eps})
    for move in shift.values[::4]:
        figure.evaluate(SET, {"shift": move})
        for factor in scale.values:
            shown = figure.evaluate(SET, {"scale": factor})
            expected = live.shift_numbers(move, factor, eps)
            assert shown.keys() == expected.keys()
            for name, value in expected.items():
                assert shown[name] == pytest.approx(value, rel=1e-9, abs=1e-9), (move, factor, name)


@pytest.mark.parametrize("scale", [0.01, 1, 100])
def test_a_dragged_bar_ends_under_the_pointer(offline_page, show, scale):
    figure = show(live.shift())
    figure.evaluate(SET, {"shift": 0, "scale": scale})
    mouse = offline_page.mouse
    box = figure.locator(".lt-handle").nth(2).bounding_box()
    middle = box["x"] + box["width"] / 2
    mouse.move(middle, box["y"] + box["height"] / 2)
    mouse.down()
    for share in (0.4, 0.25):  # a quarter from the top is half way up from zero
        mouse.move(middle + 30, box["y"] + share * box["height"], steps=4)
    mouse.up()
    shift = figure.evaluate("figure => figure.querySelector('[data-name=shift]').value")
    value = live.shift().controls[0].values[int(shift)]
    assert value + live.ACTIVATION[2] == pytest.approx(3, abs=0.13)
    shown = figure.evaluate("figure => figure.numbers")
    assert shown["mean"] == pytest.approx(value * scale, rel=1e-9)


def test_the_frame_of_the_changed_token_can_be_dragged(offline_page, show):
    figure = show(live.axis())
    figure.evaluate(SET, {"token": 5})
    mouse = offline_page.mouse
    box = figure.locator(".lt-handle").bounding_box()
    y = box["y"] + box["height"] / 2
    mouse.move(box["x"] + box["width"] / 2, y)
    mouse.down()
    mouse.move(box["x"] - 2.5 * box["width"], y, steps=5)
    mouse.up()
    assert figure.evaluate("figure => figure.numbers.earlier") == 2
    assert figure.locator(".lt-handle").bounding_box()["x"] < box["x"] - 2 * box["width"]


def test_shift_moves_only_the_bars_of_rmsnorm(show):
    figure = show(live.shift())
    figure.evaluate(SET, {"shift": 0})
    bars = """figure => [1, 0].map((i) => {
      const filled = figure.querySelectorAll(`.lt-stage rect[fill="var(--lt-c${i})"]`);
      return [...filled].map((bar) => ["y", "height"].map((name) => +bar.getAttribute(name)));
    })"""
    layer, rms = figure.evaluate(bars)
    assert len(layer) == len(rms) == 8
    figure.evaluate(SET, {"shift": 3})
    layer_now, rms_now = figure.evaluate(bars)
    for before, now in zip(layer, layer_now, strict=True):
        assert now == pytest.approx(before, abs=0.01)
    pairs = zip(rms, rms_now, strict=True)
    assert max(abs(before[0] - now[0]) for before, now in pairs) > 10


@pytest.mark.parametrize("over", live.AXES.values())
def test_every_token_under_every_axis(show, over):
    figure = show(live.axis())
    figure.evaluate(SET, {"over": over})
    for token in range(live.N_POSITIONS):
        shown = figure.evaluate(SET, {"token": token})
        expected = live.axis_numbers(over, token)
        assert shown.keys() == expected.keys()
        for name, value in expected.items():
            assert shown[name] == pytest.approx(value, abs=1e-9), (over, token, name)


def test_squares_are_filled_where_the_output_changed(show):
    figure = show(live.axis())
    squares = ".lt-stage rect[fill-opacity]:not([data-key], .lt-handle)"
    filled = f"""figure => [...figure.querySelectorAll("{squares}")]
      .map((square) => Number(square.getAttribute("fill-opacity")))"""
    for over in live.AXES.values():
        figure.evaluate(SET, {"over": over})
        expected = live.axis_changes(over, 5).sqrt().clamp(max=1).flatten().tolist()
        assert figure.evaluate(filled) == pytest.approx(expected, abs=1e-6)
