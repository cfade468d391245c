"""The GPT chapter's live figures in a browser, at many more settings than they carry along."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

import torch
from browser.live import SET, said

from llama_tutorial.figures.gpt import live

WORDS = ["Ann", "saw", "her", "cat", "it"]
Q = torch.tensor([[0, 0], [1, 0], [1, 0], [0.5, 0.5], [0, 1]], dtype=torch.float64)
K = torch.tensor([[3, 0], [0, 0], [0, -1], [0, 3], [0, 0]], dtype=torch.float64)
V = torch.tensor([[1, 0], [0, 0], [0, 0], [0, 1], [0, 0]], dtype=torch.float64)


def head():
    return live.head(WORDS, Q, K, V, ["Ann", "cat"], word="her")


@pytest.mark.parametrize("causal", [True, False])
def test_every_query_at_every_strength(show, causal):
    figure = show(head())
    figure.evaluate(SET, {"causal": causal})
    for at, strength in itertools.product(range(len(WORDS)), live.STRENGTHS):
        figure.evaluate(SET, {"word": WORDS[at]})
        shown = figure.evaluate(SET, {"strength": strength})
        expected = live.head_numbers(Q, K, V, at, strength, causal)
        for name in ("scores", "weights", "output"):
            assert shown[name] == pytest.approx(expected[name], abs=1e-9), (at, strength)
        assert shown["visible"] == expected["visible"]


def test_bars_are_as_high_as_the_weights(show):
    figure = show(head())
    shown = figure.evaluate(SET, {"word": "it"})
    bars = figure.locator(".lt-stage rect[width='30']").all()
    heights = [float(bar.get_attribute("height")) for bar in bars]
    assert heights == pytest.approx([72 * weight for weight in shown["weights"]])


def test_mask_is_seen_to_hide_the_future(show):
    figure = show(head())
    assert figure.locator(".lt-stage text", has_text="−∞").count() == 2
    figure.evaluate(SET, {"causal": False})
    assert figure.locator(".lt-stage text", has_text="−∞").count() == 0


def test_a_word_that_is_touched_asks(show):
    figure = show(head())
    for at, word in enumerate(WORDS):
        figure.locator(f"rect[data-word='{at}']").first.click()
        assert figure.evaluate("(root) => root.numbers.visible") == at + 1
        assert f"“{word}”" in figure.locator(".lt-readout").inner_text()


def test_context_passes_the_orange_mark_where_scores_overtake(show):
    figure = show(live.budget())
    for context in (1024, 4096, 8192):
        shown = figure.evaluate(SET, {"context": context})
        mark = float(figure.locator(".lt-stage line[stroke-width='3']").get_attribute("x1"))
        dot = float(figure.locator(".lt-stage circle").get_attribute("cx"))
        assert (dot > mark) == (context > shown["crossing"] == 6 * 768)


def test_context_can_be_dragged_past_the_mark(show):
    figure = show(live.budget())
    figure.locator(".lt-stage circle").scroll_into_view_if_needed()
    dot = figure.locator(".lt-stage circle").bounding_box()
    mark = figure.locator(".lt-stage line[stroke-width='3']").bounding_box()
    figure.page.mouse.move(dot["x"] + dot["width"] / 2, dot["y"] + dot["height"] / 2)
    figure.page.mouse.down()
    figure.page.mouse.move(mark["x"] + 60, dot["y"] + dot["height"] / 2, steps=5)
    figure.page.mouse.up()
    *_, scores, _ = figure.evaluate("(root) => root.numbers.operations")
    assert scores > 50


@pytest.mark.parametrize("tied", [True, False])
def test_budget_at_sizes_of_every_control(show, tied):
    figure = show(live.budget())
    dim, layers, vocab, context = (control.values for control in live.budget().controls[:4])
    names = ("dim", "layers", "vocab", "context", "tied")
    sizes = itertools.product(dim[::4], layers[::4], vocab[::7], context[::3], [tied])
    settings = [dict(zip(names, values, strict=True)) for values in sizes]
    for values, shown in zip(settings, said(figure, settings), strict=True):
        expected = live.budget_numbers(**values)
        assert (shown["total"], shown["crossing"]) == (expected["total"], expected["crossing"])
        for name in ("gflops", "ratio", "parameters", "operations"):
            assert shown[name] == pytest.approx(expected[name], rel=1e-12), values


def test_budget_draws_two_bars_for_every_part(show):
    figure = show(live.budget())
    shown = figure.evaluate(SET, {"tied": False})
    bars = figure.locator(".lt-stage rect[x='150']").all()
    widths = [float(bar.get_attribute("width")) for bar in bars]
    pairs = zip(shown["parameters"], shown["operations"], strict=True)
    assert widths == pytest.approx([2.4 * share for pair in pairs for share in pair])
