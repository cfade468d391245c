"""The generation chapter's live figures in a browser, at many more settings than they carry."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

import torch
from browser.live import SET, said

from llama_tutorial.figures.generation import live
from llama_tutorial.gqa import attention_weights

PIECES = [f"▁t{i}" for i in range(300)]
TEXT = ["<s>", *(f"{'▁' * (i % 3 > 0)}w{i}" for i in range(30)), "<i>"]


def _places():
    generator = torch.Generator().manual_seed(3)
    wild = 3 * torch.randn(300, generator=generator, dtype=torch.float64)
    level = torch.randint(-2, 3, (300,), generator=generator).double()  # full of ties
    level[40:45] = 2.37  # so that no sum of equal shares hits a round p
    sure = torch.full((300,), -6.0, dtype=torch.float64)
    sure[7] = 6
    return {"wild": wild, "level": level, "sure": sure}


def _same(shown, expected):
    assert set(shown) == set(expected)
    for name, value in expected.items():
        if isinstance(value, str) or (isinstance(value, list) and isinstance(value[0], str)):
            assert shown[name] == value, name
        else:
            assert shown[name] == pytest.approx(value, abs=1e-9, rel=1e-9), name


def test_every_cut_is_the_packages(show):
    places = _places()
    computed = live.cuts(places, PIECES)
    figure = show(computed)
    knobs = {
        "place": list(places),
        "temperature": [0.1, 0.6, 1, 2],
        "k": [1, 3, 20, "all"],
        "p": [0.3, 0.9, 0.99, 1],
    }
    settings = [
        dict(zip(knobs, values, strict=True)) | {"u": round(0.005 + n % 100 / 100, 3)}
        for n, values in enumerate(itertools.product(*knobs.values()))
    ]
    for setting, shown in zip(settings, said(figure, settings), strict=True):
        _same(shown, computed.numbers(**setting))


def test_bars_and_names_show_what_was_cut(show):
    figure = show(live.cuts(_places(), PIECES))
    figure.evaluate(SET, {"place": "wild", "k": 3})
    texts = figure.locator(".lt-stage text").all_text_contents()
    assert texts.count("cut") == live.N_BARS - 3
    assert figure.locator(".lt-stage text[text-decoration]").count() == live.N_BARS - 3
    assert figure.locator(".lt-stage .lt-share").count() == 3


def test_the_drawn_token_is_named_beside_the_pointer(show):
    figure = show(live.cuts(_places(), PIECES))
    for u in (0.005, 0.505, 0.995):
        shown = figure.evaluate(SET, {"place": "wild", "temperature": 1, "u": u})
        said = figure.locator(".lt-stage").text_content()
        assert f"draws {shown['drawn']}" in said


def _attention():
    generator = torch.Generator().manual_seed(5)
    q, k = torch.randn(2, 3, 4, len(TEXT), 8, generator=generator, dtype=torch.float64)
    return live.attention(TEXT, attention_weights(2 * q, k), 1, 1, 20)


def test_every_row_of_every_head_is_the_packages(show):
    computed = _attention()
    figure = show(computed)
    settings = [
        {"layer": layer, "head": head, "query": query}
        for layer, head in itertools.product((1, 2, 3), (1, 2, 3, 4))
        for query in range(0, len(TEXT), 3)
    ]
    for setting, shown in zip(settings, said(figure, settings), strict=True):
        _same(shown, computed.numbers(**setting))


def test_words_are_underlined_by_their_weights(show):
    computed = _attention()
    figure = show(computed)
    figure.evaluate(SET, {"layer": 2, "head": 3, "query": 11})
    row = live.row_of(computed.data["weights"][1][2], 11)
    given = figure.evaluate(
        """figure => [...figure.querySelectorAll(".lt-word")].map((word) =>
             Number(word.style.getPropertyValue("--w")))"""
    )
    assert given == pytest.approx([w / 1000 for w in row] + [0] * (len(TEXT) - 12))
    thick = figure.evaluate(
        """figure => [...figure.querySelectorAll(".lt-word")].map((word) =>
             parseFloat(getComputedStyle(word).borderBottomWidth))"""
    )
    assert thick.index(max(thick)) == row.index(max(row))


def test_a_tap_on_a_word_moves_the_position(show):
    figure = show(_attention())
    figure.locator(".lt-word").nth(9).click()
    assert figure.evaluate("figure => figure.numbers.token") == TEXT[9]
    assert figure.locator("[data-name=query]").input_value() == "9"
    assert figure.locator(".lt-asks").text_content() == TEXT[9].removeprefix("▁")


def test_text_is_shown_whole_and_as_text(show):
    figure = show(_attention())
    assert figure.locator(".lt-words i").count() == 0
    words = figure.locator(".lt-word").all_text_contents()
    assert words == [piece.removeprefix("▁") for piece in TEXT]


def test_map_draws_every_weight_that_counts(show):
    computed = _attention()
    figure = show(computed)
    drawn = sum(weight >= live.FAINT for weight in computed.data["weights"][0][0])
    assert figure.locator(".lt-map rect[opacity]").count() == drawn
