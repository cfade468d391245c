"""The GPT chapter's live figures in a browser, at many more settings than they carry along."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

import torch

from llama_tutorial import figures
from llama_tutorial.figures import gpt

WORDS = ["Ann", "saw", "her", "cat", "it"]
Q = torch.tensor([[0, 0], [1, 0], [1, 0], [0.5, 0.5], [0, 1]], dtype=torch.float64)
K = torch.tensor([[3, 0], [0, 0], [0, -1], [0, 3], [0, 0]], dtype=torch.float64)
V = torch.tensor([[1, 0], [0, 0], [0, 0], [0, 1], [0, 0]], dtype=torch.float64)

# Moves one control as a reader would and tells the numbers.
MOVE = """(figure, [name, value]) => {
  const input = figure.querySelector(`[data-name=${name}]`);
  if (input.type === "checkbox") input.checked = value;
  else input.value = JSON.parse(input.dataset.stops).indexOf(value);
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


def head():
    return gpt.head(WORDS, Q, K, V, ["Ann", "cat"], word="her")


@pytest.mark.parametrize("causal", [True, False])
def test_every_query_at_every_strength(show, causal):
    figure = show(head())
    figure.evaluate(MOVE, ["causal", causal])
    for at, strength in itertools.product(range(len(WORDS)), gpt.STRENGTHS):
        figure.evaluate(MOVE, ["word", WORDS[at]])
        shown = figure.evaluate(MOVE, ["strength", strength])
        expected = gpt.head_numbers(Q, K, V, at, strength, causal)
        for name in ("scores", "weights", "output"):
            assert shown[name] == pytest.approx(expected[name], abs=1e-9), (at, strength)
        assert shown["visible"] == expected["visible"]


def test_bars_are_as_high_as_the_weights(show):
    figure = show(head())
    shown = figure.evaluate(MOVE, ["word", "it"])
    bars = figure.locator(".lt-stage rect[width='30']").all()
    heights = [float(bar.get_attribute("height")) for bar in bars]
    assert heights == pytest.approx([72 * weight for weight in shown["weights"]])


def test_mask_is_seen_to_hide_the_future(show):
    figure = show(head())
    assert figure.locator(".lt-stage text", has_text="−∞").count() == 2
    figure.evaluate(MOVE, ["causal", False])
    assert figure.locator(".lt-stage text", has_text="−∞").count() == 0


@pytest.mark.parametrize("tied", [True, False])
def test_budget_at_sizes_of_every_control(show, tied):
    figure = show(gpt.budget())
    dim, layers, vocab, context = (control.values for control in gpt.budget().controls[:4])
    figure.evaluate(MOVE, ["tied", tied])
    for sizes in itertools.product(dim[::4], layers[::4], vocab[::7], context[::3]):
        for name, value in zip(("dim", "layers", "vocab", "context"), sizes, strict=True):
            shown = figure.evaluate(MOVE, [name, value])
        expected = gpt.budget_numbers(*sizes, tied)
        assert shown["total"] == expected["total"]
        for name in ("gflops", "ratio", "parameters", "operations"):
            assert shown[name] == pytest.approx(expected[name], rel=1e-12), sizes


def test_budget_draws_two_bars_for_every_part(show):
    figure = show(gpt.budget())
    shown = figure.evaluate(MOVE, ["tied", False])
    bars = figure.locator(".lt-stage rect[x='150']").all()
    widths = [float(bar.get_attribute("width")) for bar in bars]
    pairs = zip(shown["parameters"], shown["operations"], strict=True)
    assert widths == pytest.approx([2.4 * share for pair in pairs for share in pair])
