"""The live figures of the chapter on preferences in a browser, at many more settings."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

from browser.live import SET, said
from figures.test_preferences import PATH

from llama_tutorial.figures.preferences import live


def test_plane_computes_what_the_package_does(show):
    made = live.plane(PATH)
    figure = show(made)
    places = [one.values[::7] for one in made.controls[:2]]
    settings = [
        {"chosen": x, "rejected": y, "beta": beta}
        for x, y, beta in itertools.product(*places, live.BETAS)
    ]
    for setting, shown in zip(settings, said(figure, settings), strict=True):
        assert shown == pytest.approx(made.numbers(**setting), rel=1e-9, abs=1e-12)


def test_arrow_is_as_long_as_the_weight(show):
    figure = show(live.plane(PATH))
    for setting in ({"chosen": -1.7, "rejected": -0.4}, {"chosen": 0.0, "rejected": -6.0}):
        numbers = figure.evaluate(SET, {"beta": 1.0, **setting})
        arrow = figure.locator("line[stroke='var(--lt-c2)']")
        ends = [float(arrow.get_attribute(name)) for name in ("x1", "x2", "y1", "y2")]
        assert ends[1] - ends[0] == pytest.approx(64 * numbers["weight"])
        assert ends[3] - ends[2] == pytest.approx(64 * numbers["weight"])


def test_policy_can_be_dragged(show, offline_page):
    figure = show(live.plane(PATH))
    svg = figure.locator(".lt-stage svg").bounding_box()
    scale = svg["width"] / 390
    handle = figure.locator(".lt-handle").bounding_box()
    offline_page.mouse.move(handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2)
    offline_page.mouse.down()
    x, y = 40 + 300 * 4 / 7, 28 + 300 * 2 / 7  # where both axes run from -7 to 0
    offline_page.mouse.move(svg["x"] + x * scale, svg["y"] + y * scale, steps=4)
    offline_page.mouse.up()
    values = figure.evaluate(
        "figure => ['chosen', 'rejected'].map((name) => {"
        "const input = figure.querySelector(`[data-name=${name}]`);"
        "return JSON.parse(input.dataset.stops)[input.value]})"
    )
    assert values == [-3, -2]


def test_plane_says_what_the_controls_do(show):
    """Equal steps of both leave the loss as it is: the line along which the figure can be moved."""
    figure = show(live.plane(PATH))
    losses = [
        figure.evaluate(SET, {"chosen": -one, "rejected": -one - 1, "beta": 0.3})["loss"]
        for one in (0.5, 1.5, 5.5)
    ]
    assert losses == pytest.approx([losses[0]] * 3)


def test_mistakes_at_every_step(show):
    made = live.mistakes()
    figure = show(made)
    settings = [
        {"mistake": name, "step": step}
        for name in live.MISTAKES
        for step in made.controls[1].values
    ]
    for setting in settings:
        shown = figure.evaluate(SET, setting)
        expected = made.numbers(**setting)
        for name, value in expected.items():
            close = pytest.approx(value, rel=5e-3, abs=1e-9) if isinstance(value, float) else value
            assert shown[name] == close, (setting, name)


def test_line_of_the_mistakes_can_be_dragged(show, offline_page):
    figure = show(live.mistakes())
    svg = figure.locator(".lt-stage svg").bounding_box()
    scale = svg["width"] / 390
    handle = figure.locator(".lt-handle").bounding_box()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    offline_page.mouse.move(x, y)
    offline_page.mouse.down()
    offline_page.mouse.move(svg["x"] + (46 + 328 * 12 / 28) * scale, y, steps=4)
    offline_page.mouse.up()
    assert figure.evaluate("figure => figure.numbers.at") == 12
