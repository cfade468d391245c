"""The GPT chapter's figures: numbers against plain NumPy and a built model, and pictures."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("matplotlib")

import numpy as np
import torch
from live_figures import check_page, texts

from llama_tutorial import PRESETS, Transformer, figures
from llama_tutorial.figures.gpt import live, plots

pytestmark = pytest.mark.usefixtures("figure_look")

WORDS = ["Ann", "saw", "her", "cat", "it"]
NAMES = ["Ann", "cat"]
Q = torch.tensor([[0, 0], [1, 0], [1, 0], [0.5, 0.5], [0, 1]], dtype=torch.float64)
K = torch.tensor([[3, 0], [0, 0], [0, -1], [0, 3], [0, 0]], dtype=torch.float64)
V = torch.tensor([[1, 0], [0, 0], [0, 0], [0, 1], [0, 0]], dtype=torch.float64)


def oracle(at, strength, causal):
    """One query by hand: scores, weights, weighted sum."""
    q, k, v = (x.numpy() for x in (Q, K, V))
    scores = k @ (strength * q[at]) / math.sqrt(2)
    seen = scores[: at + 1] if causal else scores
    weights = np.exp(seen) / np.exp(seen).sum()
    weights = np.pad(weights, (0, len(k) - len(weights)))
    return scores, weights, weights @ v


def head():
    return live.head(WORDS, Q, K, V, NAMES, word="her")


@pytest.mark.parametrize("causal", [True, False])
@pytest.mark.parametrize("strength", live.STRENGTHS)
@pytest.mark.parametrize("at", range(5))
def test_head_computes_attention(at, strength, causal):
    numbers = live.head_numbers(Q, K, V, at, strength, causal)
    scores, weights, output = oracle(at, strength, causal)
    assert numbers["scores"] == pytest.approx(scores, abs=1e-9)
    assert numbers["weights"] == pytest.approx(weights, abs=1e-9)
    assert numbers["output"] == pytest.approx(output, abs=1e-9)
    assert numbers["visible"] == (at + 1 if causal else 5)


def test_strength_zero_asks_nothing_and_gets_the_mean():
    weights = live.head_numbers(Q, K, V, 2, 0, True)["weights"]
    assert weights == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0, 0], abs=1e-12)


def test_head_is_asked_by_its_words():
    figure = head()
    asked = figure.numbers(word="it", strength=2, causal=True)
    assert asked == live.head_numbers(Q, K, V, 4, 2, True)
    assert figure.controls[0].settings() == ["Ann", "her", "it"]


SIZES = [
    (128, 1, 256, 128, True),
    (768, 12, 50257, 1024, True),
    (768, 12, 50257, 1024, False),
    (1600, 48, 32000, 16384, False),
]


@pytest.mark.parametrize("sizes", SIZES)
def test_parts_of_the_budget_add_up_to_the_packages_counts(sizes):
    config = live.gpt_config(*sizes)
    parameters, operations = live.budget_parts(config)
    assert len(parameters) == len(operations) == len(live.PARTS)
    assert sum(parameters) == config.n_params
    assert sum(operations) == config.flops_per_token(config.max_seq_len)


def test_parts_of_the_budget_are_the_parameters_of_a_model_that_is_built():
    config = live.gpt_config(128, 3, 256, 128, tied=False)
    with torch.device("meta"):
        named = dict(Transformer(config).named_parameters())
    sizes = {name: parameter.numel() for name, parameter in named.items()}

    def total(*words, small=False):
        kept = (n for n in sizes if any(word in n for word in words))
        return sum(sizes[n] for n in kept if (named[n].ndim == 1) == small)

    parameters, _ = live.budget_parts(config)
    assert dict(zip(live.PARTS, parameters, strict=True)) == {
        "token embedding": total("tok_embeddings"),
        "positions": total("pos_embeddings"),
        "attention matrices": total(".attention."),
        "feed-forward": total(".feed_forward."),
        "biases and norms": total("", small=True),
        "scores and sums": 0,
        "output head": total("output"),
    }


def test_budget_starts_at_gpt2():
    figure = live.budget()
    first = {control.name: control.value for control in figure.controls}
    assert live.gpt_config(**first) == PRESETS["gpt2"]
    assert figure.numbers(**first)["total"] == "124,439,808"
    assert figure.numbers(**first | {"tied": False})["total"] == "163,037,184"


@pytest.mark.parametrize("dim", [128, 768, 4096])
def test_scores_cost_as_much_as_the_blocks_matrices_at_the_crossing(dim):
    crossing = live.budget_numbers(dim, 12, 50257, 1024, True)["crossing"]
    _, operations = live.budget_parts(live.gpt_config(dim, 12, 50257, crossing, True))
    by_name = dict(zip(live.PARTS, operations, strict=True))
    matrices = by_name["attention matrices"] + by_name["feed-forward"]
    assert by_name["scores and sums"] == matrices


def test_every_stop_of_the_budget_is_a_model():
    dim, *_ = live.budget().controls
    for width in dim.values:
        numbers = live.budget_numbers(width, 12, 50257, 1024, True)
        assert sum(numbers["parameters"]) == pytest.approx(100)
        assert sum(numbers["operations"]) == pytest.approx(100)


FIGURES = {"head": head, "budget": live.budget}


@pytest.mark.parametrize("name", FIGURES)
def test_page_has_the_numbers_to_compare_and_says_them(name):
    check_page(FIGURES[name]())


def test_map_names_every_part_and_every_mark():
    shown = texts(figures.svg_text(plots.network_map(12)))
    assert {"tokens", "attention", "feed-forward", "output head"} <= set(shown)
    assert "one block, 12 of them" in shown
    assert sorted(text for text in shown if text.isdigit()) == list("111234445")


CAFE = "Ann tea Ben figs Cleo rice Ben figs Ann tea Cleo rice".split()


def test_cafe_shows_every_word_at_its_position():
    shown = texts(figures.svg_text(plots.cafe(CAFE)))
    assert [text for text in shown if text in CAFE] == CAFE
    assert [int(text) for text in shown if text.isdigit()] == list(range(12))


def test_cafe_draws_the_waiters_dishes_dashed_and_looks_the_first_one_up():
    axes = plots.cafe(CAFE).axes[0]
    boxes = [patch for patch in axes.patches if isinstance(patch, plots.plt.Rectangle)]
    dashed = [at for at, box in enumerate(boxes) if box.get_linestyle() != "-"]
    assert dashed == [7, 9, 11]
    to_guest, to_dish = (text for text in axes.texts if text.get_text() == "")
    corners = [box.get_x() + box.get_width() / 2 for box in boxes]
    assert to_guest.xy[0] == pytest.approx(corners[2])  # where Ben ordered
    assert to_dish.get_position()[0] == pytest.approx(corners[3])  # his figs


@pytest.mark.parametrize("n_heads", [2, 4])
def test_slabs_are_cut_and_set_behind_each_other_with_one_size(n_heads):
    figure = plots.slabs(n_heads)
    columns = [p for p in figure.axes[0].patches if p.get_facecolor()[3] == 0]
    assert len(columns) == 2 * n_heads  # before and after
    assert len({(p.get_width(), p.get_height()) for p in columns}) == 1
    shown = texts(figures.svg_text(figure))
    assert {"(B, T, D)", "(B, H, T, h)", f"h = D / {n_heads}"} <= set(shown)


def test_curves_are_plotted_at_their_steps():
    figure = plots.losses({"a": [2.0, 1.23456], "b": [2.0, 0.5]}, 20, {"ln 6": 1.79})
    a, b = (line for line in figure.axes[0].lines if line.get_label() in "ab")
    assert a.get_xdata().tolist() == [0, 20]
    assert a.get_ydata().tolist() == [2.0, 1.23]
    assert (a.get_color(), a.get_linestyle()) != (b.get_color(), b.get_linestyle())
    assert "ln 6" in texts(figures.svg_text(figure))


def test_attention_shows_queries_downward_and_points_at_the_questions():
    weight = torch.eye(3)
    figure = plots.attention({"block 1": weight, "block 2": weight}, list("abc"), [2])
    for axes in figure.axes:
        assert axes.get_ylim() == (3, 0)
        assert axes.lines[0].get_ydata() == [2.5]
        assert axes.collections[0].get_array().reshape(3, 3).tolist() == weight.tolist()
    assert [axes.get_title() for axes in figure.axes] == ["block 1", "block 2"]


def test_growth_keeps_its_data():
    figure = plots.growth({"x": [0.1, 0.23456], "y": [0.1, 3.0]})
    x, y = figure.axes[0].lines
    assert x.get_ydata().tolist() == [0.1, 0.235]
    assert x.get_linestyle() != y.get_linestyle()
