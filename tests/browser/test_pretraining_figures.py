"""The pre-training chapter's live figures in a browser, at many more settings than they carry."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

from browser.live import SET

from llama_tutorial.figures.pretraining import live

PIECES = [
    *("<s>", "▁The", "▁fox", "▁ran", ".", "</s>"),
    *("<s>", "▁Anna", "▁slept", ".", "</s>"),
    *("<s>", "▁“<b>”", "▁was", "▁late", ".", "</s>"),
]
CONTEXT = 8


def same(shown, expected):
    assert shown.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, float):
            assert shown[name] == pytest.approx(value, rel=1e-9), name
        else:
            assert shown[name] == value, name


@pytest.mark.parametrize("apart", [True, False])
def test_window_at_every_start_and_place(show, apart):
    made = live.window(PIECES, CONTEXT)
    figure = show(made)
    figure.evaluate(SET, {"apart": apart})
    for start in made.controls[0].values:
        figure.evaluate(SET, {"start": start})
        for place in range(CONTEXT):
            shown = figure.evaluate(SET, {"place": place})
            same(shown, made.numbers(start=start, place=place, apart=apart))
            boxes = figure.locator(".lt-piece").evaluate_all(
                "all => all.map((one) => [one.querySelector('bdi').textContent, "
                "one.querySelector('small').textContent, one.classList[1]])"
            )
            row = PIECES[start : start + CONTEXT + 1]
            assert [box[0] for box in boxes] == row[:-1]
            assert [box[1] for box in boxes] == ["–" if new == "<s>" else new for new in row[1:]]
            looks = [box[2] for box in boxes]
            assert looks[place] == "lt-next"
            seen = [i for i, look in enumerate(looks) if look == "lt-merged"]
            assert seen == list(range(place - shown["sees"] + 1, place))


def test_a_token_can_be_clicked(show):
    figure = show(live.window(PIECES, CONTEXT))
    figure.evaluate(SET, {"start": 3})
    figure.locator(".lt-piece").nth(5).click()
    assert figure.locator(".lt-piece").nth(5).get_attribute("class").endswith("lt-next")
    shown = figure.evaluate("figure => figure.numbers")
    same(shown, live.window_numbers(PIECES, CONTEXT, "<s>", 3, 5, True))


@pytest.mark.parametrize("card", live.CARDS)
def test_plan_at_many_settings(show, card):
    made = live.plan()
    figure = show(made)
    figure.evaluate(SET, {"card": card})
    settings = itertools.product(live.MODELS, (10, 140, 15000), (1, 8, 2048), (10, 45, 70))
    for model, tokens, cards, utilisation in settings:
        values = {"model": model, "tokens": tokens, "cards": cards, "utilisation": utilisation}
        shown = figure.evaluate(SET, values)
        same(shown, made.numbers(card=card, **values))


def test_bar_of_the_time_shrinks_with_more_cards_and_its_text_changes(show):
    figure = show(live.plan())

    def width():
        return float(figure.locator(".lt-stage rect").first.get_attribute("width"))

    said, wide = [], []
    for cards in (1, 8, 1024):
        figure.evaluate(SET, {"model": "llama-2-7b", "tokens": 2000, "cards": cards})
        said.append(figure.locator(".lt-readout").text_content().split(":")[0])
        wide.append(width())
    assert said == ["6.48 years", "296 days", "2.31 days"]
    assert wide == sorted(wide, reverse=True)


def test_memory_changes_its_colour_where_it_is_too_much(show):
    figure = show(live.plan())

    def colour():
        return figure.locator(".lt-stage rect").nth(1).get_attribute("fill")

    figure.evaluate(SET, {"model": "llama-2-7b", "cards": 1})
    assert colour() == "var(--lt-c2)"
    figure.evaluate(SET, {"card": "A100, 80 GB"})
    assert colour() == "var(--lt-c1)"
