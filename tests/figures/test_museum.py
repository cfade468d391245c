"""The museum's figure in Python: what stands in a page before anybody chooses."""

from __future__ import annotations

import html
import json
import re

import pytest

from llama_tutorial import figures, generate, load
from llama_tutorial.bugs import BUGS, break_model
from llama_tutorial.figures.museum.live import COUNT, exhibit, says
from llama_tutorial.tales import tales


@pytest.fixture(scope="module")
def models():
    return load("tales", dtype="float64")


@pytest.mark.parametrize("bug", ["half_split", "mean_subtracted", "no_bos"])
def test_texts_are_those_of_generate(models, bug: str) -> None:
    model, tokenizer = models
    shown = exhibit(model, tokenizer, bug, "Once upon a time")
    ids = tokenizer.encode("Once upon a time", bos=True)
    assert shown["right"] == generate(model, [ids], COUNT, temperature=0)[0]
    fed = ids[1:] if bug == "no_bos" else ids
    with break_model(model, bug):
        assert shown["broken"] == generate(model, [fed], COUNT, temperature=0)[0]
    whole = tokenizer.decode(ids + shown["right"])
    assert "Once upon a time" + "".join(shown["rightTexts"]) == whole
    at = shown["parts"]
    assert shown["right"][:at] == shown["broken"][:at]
    assert shown["right"][at] != shown["broken"][at]


def test_a_harmless_bug_and_a_quiet_one(models) -> None:
    harmless = exhibit(*models, "both_late", "Once upon a time")
    quiet = exhibit(*models, "small_eps", "Once upon a time")
    for shown in (harmless, quiet):
        assert shown["parts"] is None
        assert shown["right"] == shown["broken"]
    assert harmless["largest"] < 1e-9
    assert 0.01 < quiet["largest"] < 0.1  # the second decimal, as its description says
    assert "no mistake at all" in says(harmless)
    assert says(quiet).startswith("The same 40 tokens. But some logit is off by 0.0")


def test_what_is_said_of_a_large_eps(models) -> None:
    """A mean square of about 0.006, and less than a quarter of it left."""
    model, tokenizer = models
    x = model.tok_embeddings.weight[tokenizer.encode(held_out_tale(), bos=True)]
    square = x.pow(2).mean(-1).median().item()
    assert round(square, 3) == 0.006
    assert ((square + 1e-5) / (square + 0.1)) ** 0.5 < 0.25


def held_out_tale() -> str:
    return next(tales(1, "test")).text


def test_page_carries_every_bug_of_its_chapter_and_the_first_pair(models) -> None:
    figure = figures.museum.show("gqa")
    page = figure.to_html()
    assert figure.label == "fig-museum-gqa"
    assert len(page) < 60_000
    payload = json.loads(re.search(r'application/json">(.*?)</script>', page, re.DOTALL)[1])
    names = [name for name, bug in BUGS.items() if bug.chapter == "gqa"]
    assert list(payload["data"]["bugs"]) == names
    first = exhibit(*models, names[0], "Once upon a time")
    assert payload["data"]["first"]["broken"] == first["broken"]
    text = html.unescape(re.sub(r"</?(?:mark|span)>", "", page))
    assert "".join(first["brokenTexts"]) in text
    assert says(first) in text
    assert page == figures.museum.show("gqa").to_html()


def test_a_chapter_without_bugs_is_refused() -> None:
    with pytest.raises(ValueError, match="no bugs of a chapter 'lora'; there are rope, rmsnorm"):
        figures.museum.show("lora")
