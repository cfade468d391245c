"""The walk of the model chapter over the reader's own text, in the book's page."""

from __future__ import annotations

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

import torch
from axe_playwright_python.sync_playwright import Axe
from browser.live import SET
from browser.visits import RULES, Visit
from playwright.sync_api import expect

from llama_tutorial import load
from llama_tutorial.figures.model import live

PHONE = {"width": 390, "height": 844}


@pytest.fixture(params=["desktop", "phone"])
def figure(request, browser, site):
    visit = Visit(browser, site, "book/model.html")
    if request.param == "phone":
        visit.page.set_viewport_size(PHONE)
    figure = visit.page.locator("figure[data-live='model/walk']")
    # A question covers it until it is answered; a link to the figure shows it, too.
    figure.evaluate("figure => figure.closest('.lt-covered')?.dispatchEvent(new Event('lt-show'))")
    figure.scroll_into_view_if_needed()
    yield figure
    visit.context.close()
    assert visit.trouble == []


@pytest.fixture(scope="module")
def tales():
    return load("tales", dtype=torch.float64)


def own(figure, text: str) -> None:
    figure.get_by_label("your own text").fill(text)
    figure.get_by_role("button", name="walk", exact=True).click()


def test_walk_over_a_typed_text_is_pythons(figure, tales):
    model, tokenizer = tales
    text = "The dragon was hungry, so"
    own(figure, text)
    ids = tokenizer.encode(text, bos=True)
    expect(figure.get_by_role("status").first).to_contain_text(f"{len(ids)} tokens")
    expected = live.walk_data(model, tokenizer, ids)
    found = figure.evaluate("figure => figure.walk")
    assert found["pieces"] == expected["pieces"]
    assert found["ids"] == ids
    for name in ("stream", "normed", "added", "hidden"):
        ours, theirs = (torch.tensor(one[name]) for one in (found, expected))
        assert ours.shape == theirs.shape
        assert (ours - theirs).abs().max() <= 1  # thousandths, rounded
        assert found["ranges"][name] == pytest.approx(expected["ranges"][name], abs=1)
    for ours, theirs in zip(found["weights"], expected["weights"], strict=True):
        for head, wanted in zip(ours, theirs, strict=True):
            for row, weights in zip(head, wanted, strict=True):
                assert row == pytest.approx(weights, abs=6e-4)
    assert found["guess"] == expected["guess"]
    for name in ("streamSize", "addedSize", "probability"):
        ours, theirs = (torch.tensor(one[name]) for one in (found, expected))
        torch.testing.assert_close(ours, theirs, rtol=6e-3, atol=1e-7)
    for station in ("embedding", "layer 4: attention added", "output head"):
        numbers = figure.evaluate(SET, {"station": station, "token": 3})
        wanted = live.walk_numbers(expected, live.stations(6).index(station), 3, 1)
        assert numbers["guess"] == wanted["guess"]
        assert numbers["probability"] == pytest.approx(wanted["probability"], rel=6e-3)
    assert figure.locator(".lt-row").count() == len(ids)


@pytest.mark.parametrize(
    ("text", "why"), [("", "has 1 tokens"), ("word " * 30, "the walk shows 2")]
)
def test_text_that_does_not_fit_is_told_so(figure, text, why):
    before = figure.locator(".lt-row").count()
    own(figure, text)
    expect(figure.get_by_role("status").first).to_contain_text(why)
    assert figure.locator(".lt-row").count() == before


def test_own_walk_is_accessible_and_fits(figure):
    own(figure, "Once upon a time")
    expect(figure.get_by_role("status").first).to_contain_text("read in this page")
    context = {"include": [["figure[data-live='model/walk']"]]}
    found = Axe().run(figure.page, context=context, options=RULES | {"preload": False}).response
    assert len(found["passes"]) > 5
    violations = found["violations"]
    assert [(each["id"], each["nodes"][0]["html"]) for each in violations] == []
    page = figure.page
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
