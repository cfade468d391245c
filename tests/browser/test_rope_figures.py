"""The RoPE chapter's live figures in a browser, at many more settings than they carry along."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

from browser.live import SET, said

from llama_tutorial.figures.rope import live

QUERY = [1.5, -0.5, 2.0, 0.25, -1.0, 0.75, 0.5, 1.25]
KEY = [0.5, 1.0, -1.5, 0.75, 1.25, -0.25, -0.5, 2.0]


@pytest.mark.parametrize("base", [10000, 1000000])
def test_every_stop_of_the_clocks(show, base):
    figure = show(live.clocks())
    figure.evaluate(SET, {"base": base})
    every = said(figure, [{"position": position} for position in live.POSITIONS])
    for position, shown in zip(live.POSITIONS, every, strict=True):
        expected = live.clock_numbers(position, base)
        for name in ("moved", "completed"):
            assert shown[name] == expected[name], position
        assert shown["turns"] == pytest.approx(expected["turns"], rel=1e-9)
        apart = [(a - b) % 360 for a, b in zip(shown["degrees"], expected["degrees"], strict=True)]
        assert max(min(one, 360 - one) for one in apart) < 1e-6, position


def test_hands_are_drawn_where_the_numbers_say(show):
    figure = show(live.clocks())
    figure.evaluate(SET, {"position": 10})
    hands = figure.locator(".lt-stage line[stroke-width='3']").all()
    for hand, degrees in zip(hands, live.clock_numbers(10, 10000)["degrees"], strict=True):
        x1, y1, x2, y2 = (float(hand.get_attribute(name)) for name in ("x1", "y1", "x2", "y2"))
        turned = figure.evaluate(
            "(_, [x, y]) => Math.atan2(y, x) * 180 / Math.PI", [x2 - x1, y1 - y2]
        )
        assert (turned - degrees) % 360 == pytest.approx(0, abs=1e-6) or (
            (degrees - turned) % 360 == pytest.approx(0, abs=1e-6)
        )


def test_score_and_its_softmax_at_every_distance_and_shift(show):
    figure = show(live.score(QUERY, KEY, trained=64))
    places = [(m, both) for m in range(0, 101, 4) for both in (0, 10, 1000, 2000)]
    every = said(figure, [{"n": 0, "m": m, "both": both} for m, both in places])
    for (m, both), shown in zip(places, every, strict=True):
        expected = live.score_numbers(QUERY, KEY, m, 0, both)
        assert shown["parts"] == pytest.approx(expected["parts"], abs=1e-9)
        assert shown["score"] == pytest.approx(expected["score"], abs=1e-9)
        assert shown["percent"] == pytest.approx(expected["percent"], abs=1e-9)
        assert (shown["query"], shown["key"]) == (m + both, both)


@pytest.mark.parametrize("way", ["turn", "add"])
def test_sentence_at_every_pair_of_words(show, way):
    figure = show(live.sentence())
    last = len(live.WORDS)
    settings = [
        {"way": way, "query": query, "key": key, "front": front}
        for query in range(last)
        for key in range(query + 1)
        for front in (0, 1, 17, 60)
    ]
    every = said(figure, settings)
    for setting, shown in zip(settings, every, strict=True):
        expected = live.sentence_numbers(**setting)
        assert shown == pytest.approx(expected, abs=1e-9), setting


def test_clicked_word_before_the_query_is_the_key_and_others_the_query(show):
    figure = show(live.sentence())

    def click(i):
        figure.locator(".lt-stage svg > g").nth(i).click()
        return figure.evaluate("figure => [figure.numbers.m, figure.numbers.n]")

    assert click(2) == [5, 2]
    assert click(0) == [5, 0]
    assert figure.evaluate(SET, {"query": 3})["m"] == 3
    assert click(4) == [4, 0]


def test_dragged_dot_puts_words_in_front(show, offline_page):
    figure = show(live.sentence())
    drag(offline_page, figure.locator(".lt-stage .lt-handle"), 100, 0)
    shown = figure.evaluate("figure => figure.numbers")
    front = int(figure.locator("[data-name=front]").input_value())
    assert front > 10
    assert shown["m"] == 5 + front
    expected = live.sentence_numbers(front, "turn", 5, 1)["score"]
    assert shown["score"] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("j", [0, 1])
def test_dragged_hand_takes_the_position_along(show, offline_page, j):
    figure = show(live.clocks())
    figure.evaluate(SET, {"position": 0})
    hand = figure.locator(".lt-stage .lt-handle").nth(j)
    box = figure.locator(".lt-stage svg").bounding_box()
    unit = box["width"] / 450
    drag(offline_page, hand, -42 * unit, -42 * unit)  # from three o'clock to twelve
    position = figure.locator("[data-name=position]").evaluate(
        "input => JSON.parse(input.dataset.stops)[input.value]"
    )
    speed = 10000 ** (-j / live.N_HANDS)
    assert position == pytest.approx(math.pi / 2 / speed, abs=0.5)


def test_dragged_dot_moves_the_key_and_not_past_its_query(show, offline_page):
    figure = show(live.score(QUERY, KEY, trained=64))
    figure.evaluate(SET, {"m": 50, "n": 40})
    for i, far, expected in ((0, 40, None), (1, 2000, 0), (0, -2000, 50)):
        handle = figure.locator(".lt-stage .lt-handle").nth(i)
        drag(offline_page, handle, far, 0)
        key = figure.evaluate("figure => figure.numbers.key")
        assert key < 40 if expected is None else key == expected


def drag(page, handle, right, down):
    """Pulls the middle of a thing by so many pixels."""
    box = handle.bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + right / 2, y + down / 2)
    page.mouse.move(x + right, y + down)
    page.mouse.up()


def test_moving_both_turns_the_hands_and_keeps_the_score(show):
    figure = show(live.score(QUERY, KEY, trained=64))
    hands = ".lt-stage line[stroke-width='3']"
    before = figure.locator(hands).first.get_attribute("x2")
    first = figure.evaluate("figure => figure.numbers")
    second = figure.evaluate(SET, {"both": 500})
    assert figure.locator(hands).first.get_attribute("x2") != before
    assert second["score"] == pytest.approx(first["score"], abs=1e-9)


def test_key_follows_where_its_query_goes_back(show):
    figure = show(live.score(QUERY, KEY, trained=64))
    figure.evaluate(SET, {"n": 15})
    shown = figure.evaluate(SET, {"m": 7})
    assert (shown["query"], shown["key"], shown["distance"]) == (7, 7, 0)
    assert figure.locator("[data-name=n]").input_value() == "7"
