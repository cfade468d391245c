"""The museum's figure in Python: what stands in a page before anybody chooses."""

from __future__ import annotations

import html
import json
import re

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from llama_tutorial import Transformer, figures, generate, load
from llama_tutorial.bugs import BUGS, _int4, _packed, _truncated, break_model
from llama_tutorial.figures.museum.live import COUNT, exhibit, says
from llama_tutorial.quantization import quantize
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


def test_what_is_said_of_mistakes_in_quantization(models) -> None:
    """Three of them write a tale, three write no word of one; and some numbers of the sentences."""
    tale = {"one_scale", "truncated", "next_scale"}
    for bug in (name for name, one in BUGS.items() if one.chapter == "quantization"):
        shown = exhibit(*models, bug, "Once upon a time")
        cost = shown["brokenLoss"] - shown["rightLoss"]
        assert 0.01 < cost < 1 if bug in tale else cost > 5, bug
        assert bug == "truncated" or shown["parts"] < 10, bug
        assert (shown["parts"] == 0) == (bug not in tale), bug
    w = models[0].layers[0].feed_forward.w1.weight.detach().float().numpy()
    exact, moved, all_toward_zero = w.reshape(len(w), -1, 32), [], []
    step = np.abs(exact).max(-1, keepdims=True) / 8
    for change in (_int4, _truncated):
        read = change(w, 32).reshape(exact.shape)
        moved.append((np.abs(read - exact) / step).mean())
        all_toward_zero.append((np.abs(read) <= np.abs(exact) * 1.001).mean())
    assert [round(one, 2) for one in moved] == [0.25, 0.46]
    assert all_toward_zero[1] > 0.99 > all_toward_zero[0]
    ends = (models[0].tok_embeddings, models[0].output)
    one = BUGS["one_scale"].changes(models[0])
    steps = [forward.args[0] for layer, _, forward in one if layer not in ends]
    small = [(w.abs() < 1.5 * w.abs().max() / 8).double().mean().item() for w in steps]
    assert len(small) == 42
    assert min(small) > 0.5


def test_one_scale_costs_little_in_int8(models) -> None:
    """As its sentence says; beside it in int4."""
    model, tokenizer = models
    ids = torch.tensor([tokenizer.encode(held_out_tale(), bos=True)])

    def loss(changes) -> float:
        layers = list(changes(model))
        before = [vars(layer).get("forward") for layer, *_ in layers]
        assert not any(before)
        for layer, name, forward in layers:
            setattr(layer, name, forward)
        try:
            with torch.no_grad():
                return F.cross_entropy(model(ids)[0, :-1], ids[0, 1:]).item()
        finally:
            for layer, name, _ in layers:
                delattr(layer, name)

    def whole(w, _group):
        return quantize(w.reshape(1, -1), w.size, np.float16).dequantize().reshape(w.shape)

    eight = loss(_packed("int8", whole)) - loss(_packed("int8"))
    four = loss(BUGS["one_scale"].changes) - loss(BUGS["one_scale"].base)
    assert abs(eight) < 0.01 < 0.03 < four


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


@pytest.mark.parametrize("bug", ["half_split", "no_bos"])
def test_drawn_texts_are_those_of_generate_by_the_same_draws(models, bug: str) -> None:
    model, tokenizer = models
    given = {"temperature": 0.8, "seed": 3}
    shown = exhibit(model, tokenizer, bug, "Once upon a time", count=20, **given)
    ids = tokenizer.encode("Once upon a time", bos=True)
    assert shown["right"] == generate(model, [ids], 20, **given)[0]
    if bug != "no_bos":  # whose other prompt would begin other draws
        with break_model(model, bug):
            assert shown["broken"] == generate(model, [ids], 20, **given)[0]


@pytest.mark.parametrize(
    ("bug", "text", "given", "message"),
    [
        ("no such", "Once", {}, "no bug 'no such'; there are half_split"),
        ("no_bos", "", {}, "leaves nothing to feed: type a beginning"),
        ("gelu", "Once", {"count": 0}, "count=0: must be at least 1"),
        ("gelu", "Once", {"temperature": -1}, "temperature=-1"),
        ("gelu", "a b " * 200, {}, "context"),
    ],
)
def test_what_cannot_be_shown_is_said_so(models, bug, text, given, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        exhibit(*models, bug, text, **given)


@pytest.fixture
def view(models):
    pytest.importorskip("ipywidgets")
    return figures.museum.explore(*models, "The dragon", count=12)


def columns(view) -> list[str]:
    found = re.findall(r"<p><span>(.*?)</p>", view.children[-1].value)
    return [html.unescape(re.sub("<.*?>", "", one)) for one in found]


def test_explorer_shows_the_mistake_that_is_chosen(models, view) -> None:
    bug, *_, shown = view.children
    assert [name for _, name in bug.options] == list(BUGS)
    for name in ("half_split", "no_silu", "double_bos"):
        bug.value = name
        expected = exhibit(*models, name, "The dragon", count=12)
        assert says(expected) in html.unescape(shown.value)
        for found, side in zip(columns(view), ("right", "broken"), strict=True):
            assert found == "The dragon" + "".join(expected[f"{side}Texts"])
        marks = re.findall(r"<mark>(.*?)</mark>", shown.value)
        at = expected["parts"]
        tokens = [expected[f"{side}Texts"][at].strip() for side in ("right", "broken")]
        assert [html.unescape(mark) for mark in marks] == tokens
        assert html.escape(BUGS[name].wrong) in shown.value


def test_explorer_draws_by_its_temperature_and_seed(models, view) -> None:
    _, text, temperature, seed, _ = view.children
    text.value, temperature.value = "A <b>fox", 1
    texts = []
    for number in (1, 2, 1):
        seed.value = number
        expected = exhibit(*models, "half_split", "A <b>fox", temperature=1, seed=number, count=12)
        assert columns(view)[0] == "A <b>fox" + "".join(expected["rightTexts"])
        texts.append(columns(view))
    assert texts[0] == texts[2] != texts[1]


def test_explorer_leaves_the_model_right(models, view) -> None:
    model, tokenizer = models
    ids = [tokenizer.encode("The dragon", bos=True)]
    before = generate(model, ids, 12, temperature=0)
    for name in ("half_split", "no_norm_weight", "reads_before_writing"):
        view.children[0].value = name
    assert generate(model, ids, 12, temperature=0) == before
    assert all("forward" not in vars(module) for module in model.modules())


def test_explorer_says_what_is_wrong_and_goes_on(view) -> None:
    bug, text, *_, shown = view.children
    text.value = "a b " * 200
    assert "context" in shown.value
    bug.value, text.value = "no_bos", ""
    assert shown.value == "this mistake leaves nothing to feed: type a beginning"
    text.value = "Once"
    assert columns(view)[0].startswith("Once")


def test_explorer_takes_any_width_of_numbers(view) -> None:
    pytest.importorskip("ipywidgets")
    model, tokenizer = load("tales", dtype="bfloat16")
    view = figures.museum.explore(model, tokenizer, count=6)
    assert columns(view)[0].startswith("Once upon a time")


def test_explorer_refuses_a_gpt_in_words(models) -> None:
    pytest.importorskip("ipywidgets")
    config = models[0].config.replace(positions="learned")
    view = figures.museum.explore(Transformer(config), models[1])
    assert "only a Llama can be broken" in view.children[-1].value
