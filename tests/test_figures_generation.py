"""The generation chapter's figures: numbers against plain Python and the package, and pictures."""

from __future__ import annotations

import json
import math
import re

import pytest

pytest.importorskip("matplotlib")
pytest.importorskip("ipywidgets")

import numpy as np
import oracles
import torch
from live_figures import check_widgets

from llama_tutorial import figures
from llama_tutorial.figures import generation as live
from llama_tutorial.gqa import attention_weights

pytestmark = pytest.mark.usefixtures("figure_look")

PIECES = [f"▁t{i}" for i in range(40)]
LOGITS = {
    "an open place": torch.linspace(3, -3, 40, dtype=torch.float64).roll(7),
    "a sure place": torch.cat((torch.full((39,), -4.0), torch.tensor([5.0]))).double(),
}
TEXT = ["<s>", "▁Once", "▁upon", "▁a", "▁ti", "me", ",", "▁<b>", "."]


def some_weights(layers=2, heads=3):
    generator = torch.Generator().manual_seed(1)
    size = (layers, heads, len(TEXT), 4)
    q, k = torch.randn(2, *size, generator=generator, dtype=torch.float64)
    return attention_weights(3 * q, k)


def cuts():
    return live.cuts(LOGITS, PIECES)


def attention():
    return live.attention(TEXT, some_weights(), 1, 2, 5)


def oracle_shares(logits, temperature, k, p):
    """Sort, keep k, keep while the sum above is at most p, divide by what is left."""
    shares = oracles.softmax(np.array(logits) / temperature)
    order = sorted(range(len(shares)), key=lambda i: -shares[i])
    best = order if k == "all" else order[:k]
    whole = sum(shares[i] for i in best)
    kept, above = [], 0.0
    for i in best:
        if above <= p or p == 1:
            kept.append(i)
        above += shares[i] / whole
    left = sum(shares[i] for i in kept)
    return {i: shares[i] / left for i in kept}, sum(shares[i] for i in kept)


@pytest.mark.parametrize("place", LOGITS)
@pytest.mark.parametrize(
    ("temperature", "k", "p"),
    [(1, "all", 1), (0.6, "all", 0.9), (2, 20, 0.8), (1, 1, 1), (3, 3, 0.95), (0.1, 50, 0.1)],
)
def test_what_is_left_is_what_the_rules_say(place, temperature, k, p):
    logits = figures.rounded(LOGITS[place])
    numbers = live.cut_numbers(logits, PIECES, temperature, k, p, 0.405)
    shares, stayed = oracle_shares(logits, temperature, k, p)
    assert numbers["kept"] == len(shares)
    assert numbers["cut"] == pytest.approx(100 * (1 - stayed), abs=1e-9)
    entropy = -sum(share * math.log(share) for share in shares.values())
    assert numbers["choices"] == pytest.approx(math.exp(entropy), rel=1e-9)
    by_piece = {PIECES[i]: share for i, share in shares.items()}
    expected = [by_piece.get(piece, 0.0) for piece in numbers["tokens"]]
    assert numbers["shares"] == pytest.approx(expected, abs=1e-12)


def test_the_random_number_walks_through_the_ids():
    logits = [0.0, 0.0, -1e9, 0.0, 0.0]
    drawn = [
        live.cut_numbers(logits, PIECES, 1, "all", 1, u)["drawn"] for u in (0.1, 0.3, 0.6, 0.9)
    ]
    assert drawn == ["▁t0", "▁t1", "▁t3", "▁t4"]


def test_cuts_are_computed_from_the_numbers_that_the_page_has():
    figure = live.cuts({"a": [1.23456, 0.5], "b": [0.0, 1.0]}, PIECES[:2])
    assert figure.data["logits"]["a"] == [1.23, 0.5]
    shown = figure.numbers(place="a", temperature=1, k="all", p=1, u=0.405)
    assert shown["shares"] == pytest.approx([1 / (1 + math.exp(-0.73)), 1 / (1 + math.exp(0.73))])


def test_cuts_picture_names_the_tokens_and_says_what_was_cut():
    svg = figures.svg_text(cuts().render("an open place", 1, 5, 1, 0.405))
    shown = re.findall(r"<text[^>]*>([^<]*)</text>", svg)
    assert [text for text in shown if text in PIECES][:12] == PIECES[7:19]
    assert sum(text.strip() == "cut" for text in shown) == live.N_BARS - 5


@pytest.mark.parametrize("query", [0, 3, 8])
def test_attention_tells_the_largest_weights_of_the_row(query):
    weights = some_weights()
    figure = live.attention(TEXT, weights, 1, 1, 0)
    row = weights[1, 2, query].tolist()
    numbers = figure.numbers(layer=2, head=3, query=query)
    assert numbers["token"] == TEXT[query]
    assert numbers["start"] == pytest.approx(100 * row[0], abs=0.051)
    best = sorted(range(query + 1), key=lambda j: -round(1000 * row[j]))[:3]
    named = [text.rsplit(" (", 1)[0].strip("“”") for text in numbers["looks"]]
    assert named == [TEXT[j] for j in best if round(1000 * row[j])]
    assert named
    back = sum((query - j) * weight for j, weight in enumerate(row))
    assert numbers["back"] == pytest.approx(back, abs=0.05)


def test_attention_carries_the_triangle_in_thousandths():
    weights = some_weights()
    carried = live.attention(TEXT, weights, 1, 1, 0).data["weights"]
    for query in range(len(TEXT)):
        row = live.row_of(carried[1][0], query)
        assert row == (1000 * weights[1, 0, query, : query + 1]).round().int().tolist()
    assert len(carried[0][0]) == len(TEXT) * (len(TEXT) + 1) // 2


def test_attention_picture_underlines_what_is_seen_and_escapes_the_text():
    html = attention().render(layer=1, head=2, query=5)
    assert html.count('class="lt-word lt-asks"') == 1
    assert html.count('class="lt-word lt-later"') == len(TEXT) - 6
    assert "&lt;s&gt;</span>" in html
    assert "<b>" not in html
    weights = [float(w) for w in re.findall(r"--w:([\d.e-]+)", html)]
    assert sum(weights) == pytest.approx(1, abs=0.005)
    assert weights[6:] == [0, 0, 0]


def test_attention_map_draws_every_weight_that_counts():
    weights = some_weights()
    html = live.attention(TEXT, weights, 2, 1, 0).render(layer=2, head=1, query=0)
    drawn = (1000 * weights[1, 0]).round() >= live.FAINT
    assert html.count("<rect") == int(drawn.sum())


FIGURES = {"cuts": cuts, "attention": attention}
MOVES = {"cuts": {"temperature": 0.3, "p": 0.9}, "attention": {"head": 3, "query": 7}}


@pytest.mark.parametrize("name", FIGURES)
def test_page_has_the_numbers_to_compare_and_says_them(name):
    html = FIGURES[name]().to_html()
    payload = json.loads(re.search(r'application/json">(.*?)</script>', html, re.DOTALL)[1])
    assert len(payload["checks"]) >= 7
    assert "{" not in re.search(r'(?:<img alt|aria-label)="([^"]{40,})"', html)[1]
    assert "{" not in re.search(r"<output[^>]*>(.*?)</output>", html)[1]


@pytest.mark.parametrize("name", FIGURES)
def test_widgets_of_a_running_kernel_draw_and_say_the_same(name):
    check_widgets(FIGURES[name](), MOVES[name])


def test_the_chapter_cuts_as_hugging_face_does():
    pytest.importorskip("transformers")
    import notebooks
    from transformers.generation import logits_process

    cells = [cell.source for cell in notebooks.read(notebooks.BOOK / "generation.ipynb").cells]
    source = next(cell for cell in cells if "def hugging_face_keeps" in cell)
    names: dict = {"torch": torch}
    exec("def hugging" + source.split("def hugging")[1].split("\n\n\n")[0], names)
    eighths = torch.tensor([4, 2, 1, 1], dtype=torch.float64) / 8
    quarters = torch.full((4,), 0.25, dtype=torch.float64)  # whose softmax is exact
    cases = [(eighths, p) for p in (0.3, 0.6, 0.8, 0.9)]
    for shares, p in [*cases, (quarters, 0.25), (quarters, 0.5), (quarters, 0.75)]:
        warped = logits_process.TopPLogitsWarper(p)(None, shares.log()[None])[0]
        theirs = warped.isfinite().nonzero()[:, 0].tolist()
        assert names["hugging_face_keeps"](shares, p) == theirs, p
    tied = torch.tensor([[2.0, 1.0, 1.0, 1.0, 0.0]])
    assert logits_process.TopKLogitsWarper(2)(None, tied).isfinite().sum() == 4
