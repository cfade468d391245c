"""The fine-tuning chapter's live figures in a browser, at many more settings than they carry."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

from browser.live import SET

from llama_tutorial.figures.finetuning import live
from llama_tutorial.training import IGNORE

EOS = 2
PIECES = ["<s>", "▁[", "INST", "]", "▁<b>", "▁", "</s>", "<s>", "▁[", "]", "▁Yes", "</s>"]
IDS = [1, 10, 11, 12, 13, 14, EOS, 1, 10, 12, 15, EOS]
LABELS = [*[IGNORE] * 4, 13, 14, EOS, *[IGNORE] * 3, 15, EOS]
LENGTHS = [5, 9, 3, 12, 7, 4]
CONTEXTS = [12, 16, 20]


def packing():
    return live.packing(LENGTHS, CONTEXTS, 16)


def same(shown, expected):
    assert shown.keys() == expected.keys()
    for name, value in expected.items():
        if isinstance(value, float):
            assert shown[name] == pytest.approx(value, rel=1e-9), name
        else:
            assert shown[name] == value, name


@pytest.mark.parametrize("rule", live.RULES.values())
def test_labels_at_every_place(show, rule):
    made = live.labels(PIECES, IDS, LABELS, EOS, 3)
    figure = show(made)
    given = live.labels_by(rule, IDS, LABELS, EOS)
    for place in range(len(PIECES) - 1):
        shown = figure.evaluate(SET, {"rule": rule, "place": place})
        same(shown, made.numbers(rule=rule, place=place))
        boxes = figure.locator(".lt-piece").evaluate_all(
            "all => all.map((one) => [one.querySelector('bdi').textContent, "
            "one.querySelector('small').textContent, one.classList[1]])"
        )
        below = ["−100" if label == IGNORE else str(label) for label in given]
        looks = ["lt-character" if label == IGNORE else "lt-merged" for label in given]
        looks[place] = "lt-next"
        assert boxes == [list(box) for box in zip(PIECES, below, looks, strict=True)]


@pytest.mark.parametrize("how", live.PACKINGS.values())
def test_packing_at_every_row_and_query(show, how):
    made = packing()
    figure = show(made)
    for context in CONTEXTS:
        figure.evaluate(SET, {"how": how, "context": context})
        n_rows = made.numbers(how=how, context=context, row=1, query=0)["rows"]
        for row, query in itertools.product(range(1, n_rows + 1), range(0, context, 3)):
            setting = {"row": row, "query": query}
            shown = figure.evaluate(SET, setting)
            same(shown, made.numbers(how=how, context=context, **setting))


def test_mask_has_as_many_cells_as_are_seen(show):
    figure = show(packing())
    areas = {}
    for how in live.PACKINGS.values():
        figure.evaluate(SET, {"how": how, "context": 12, "row": 1})
        widths = figure.evaluate(
            """figure => [...figure.querySelectorAll(".lt-stage rect")]
                 .filter((rect) => rect.getAttribute("height") === "25")
                 .map((rect) => Number(rect.getAttribute("width")) / 25)"""
        )
        areas[how] = round(sum(widths))
        rows = live.packed_rows(LENGTHS, 12, how)
        seen = [query + 1 - live.first_seen(rows[0], how, query) for query in range(12)]
        assert areas[how] == sum(seen)
    assert areas["concatenate"] == 78 > areas["documents"]


def test_sliders_end_where_the_rows_do(show):
    figure = show(packing())
    figure.evaluate(SET, {"how": "concatenate", "context": 20})
    n_rows = len(live.packed_rows(LENGTHS, 20, "concatenate"))
    assert figure.locator("[data-name=row]").get_attribute("max") == str(n_rows - 1)
    assert figure.locator("[data-name=query]").get_attribute("max") == "19"
