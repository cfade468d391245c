"""The live figure of the chapter on the swaps in a browser, at every step."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

from browser.live import SET, said

from llama_tutorial.figures.swaps import live


def test_race_at_every_stop(show):
    made = live.race()
    figure = show(made)
    stops = made.controls[0].values
    for stop, shown in zip(stops, said(figure, [{"step": stop} for stop in stops]), strict=True):
        expected = live.race_numbers(stop)
        assert shown.pop("lead") == pytest.approx(expected.pop("lead"), rel=1e-9)
        assert shown == expected


def test_ranking_follows_the_step(show):
    figure = show(live.race())

    def ranking():
        return figure.locator(".lt-stage text").evaluate_all(
            "all => all.map((one) => one.textContent).filter((text) => /^[A-Zn]/.test(text))"
        )[-5:]

    figure.evaluate(SET, {"step": 80})
    assert ranking()[0] == "no biases, untied"
    figure.evaluate(SET, {"step": 800})
    assert ranking()[0] == "SwiGLU"
    assert ranking()[-1] == "RMSNorm"


def test_line_can_be_dragged(show, offline_page):
    figure = show(live.race())
    svg = figure.locator(".lt-stage svg").bounding_box()
    scale = svg["width"] / 390
    handle = figure.locator(".lt-handle").bounding_box()
    x, y = handle["x"] + handle["width"] / 2, handle["y"] + handle["height"] / 2
    offline_page.mouse.move(x, y)
    offline_page.mouse.down()
    offline_page.mouse.move(svg["x"] + (42 + 332 * 280 / 800) * scale, y, steps=4)
    offline_page.mouse.up()
    assert figure.evaluate("figure => figure.querySelector('[data-name=step]').value") == "13"
