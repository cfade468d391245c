"""The evaluation chapter's live figures in a browser, at every setting."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

from browser.live import SET, said
from figures.test_evaluation import MODELS

from llama_tutorial.figures.evaluation import live


def test_every_question_model_and_divisor(show):
    figure = live.endings(MODELS, shown=2)
    settings = [
        {"question": question, "model": model, "by": by}
        for question in (1, 2)
        for model in MODELS
        for by in live.UNITS
    ]
    for setting, shown in zip(settings, said(show(figure), settings), strict=True):
        expected = figure.numbers(**setting)
        assert shown.keys() == expected.keys()
        costs = shown.pop("costs")
        assert costs == pytest.approx(expected.pop("costs"), abs=1e-9)
        assert shown == expected, setting


def test_the_choice_has_the_shortest_bar_and_the_true_ending_a_tick(show):
    shown = show(live.endings(MODELS, shown=2))
    for by in live.UNITS:
        numbers = shown.evaluate(SET, {"by": by})
        bars = shown.evaluate(
            "figure => [...figure.querySelectorAll('.lt-bar')].map((bar) => bar.offsetWidth)"
        )
        assert bars.index(min(bars)) + 1 == numbers["chosen"]
        chosen = shown.evaluate(
            "figure => [...figure.querySelectorAll('.lt-ending')]"
            ".map((box) => box.classList.contains('lt-chosen'))"
        )
        assert chosen == [i + 1 == numbers["chosen"] for i in range(4)]
        ticks = shown.locator(".lt-clamped").all_inner_texts()
        assert ["✓" in text for text in ticks] == [i + 1 == numbers["right"] for i in range(4)]


@pytest.mark.parametrize("gap", live.GAPS)
def test_every_interval(show, gap):
    settings = [
        {"n": n, "right": right, "gap": gap}
        for n in live.QUESTIONS
        for right in (10, 30, 45, 50, 77, 88, 90)
    ]
    for setting, shown in zip(settings, said(show(live.interval()), settings), strict=True):
        expected = live.interval_numbers(**setting)
        assert shown == pytest.approx(expected, rel=1e-9, abs=1e-9), setting


def test_the_line_can_be_dragged_to_more_questions(offline_page, show):
    figure = show(live.interval())
    mouse = offline_page.mouse
    box = figure.locator(".lt-handle").bounding_box()
    y = box["y"] + box["height"] / 2
    mouse.move(box["x"] + box["width"] / 2, y)
    mouse.down()
    mouse.move(box["x"] + 3 * box["width"], y, steps=5)
    mouse.up()
    slider = figure.evaluate("figure => figure.querySelector('[data-name=n]').value")
    assert live.QUESTIONS[int(slider)] > 500
    assert figure.locator(".lt-handle").bounding_box()["x"] > box["x"] + box["width"]
