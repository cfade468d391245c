"""The quantization chapter's figures: the study against the package, levels against plain sums."""

from __future__ import annotations

import json
import math
import re

import pytest

pytest.importorskip("matplotlib")

import numpy as np
import torch
from live_figures import texts

from llama_tutorial import load
from llama_tutorial.figures import quantization as figures
from llama_tutorial.figures.kit.svg import svg_text
from llama_tutorial.quantization import quantize_int4
from llama_tutorial.quantization.linear import quantize_model

pytestmark = pytest.mark.usefixtures("figure_look")


@pytest.fixture(scope="module")
def tales():
    return load("tales", dtype=torch.float64)


def a_study() -> dict:
    entry = {"perplexity": 1.5, "divergence": 0.01, "agreement": 0.9, "text": " there was"}
    return {
        figures.key(bits, group): {"bits": bits, "group": group, "width": bits + 0.25, **entry}
        for bits in figures.BITS
        for group in figures.GROUPS
    }


# The rounding


@pytest.mark.parametrize("group", [8, 32, "row"])
def test_four_bits_are_the_packages(group):
    draw = np.random.default_rng(1)
    weight = (draw.normal(0, 1, (24, 64)) * 10.0 ** draw.uniform(-8, 2, (24, 1))).astype(np.float32)
    weight[3] = 0
    size = 64 if group == "row" else group
    expected = quantize_int4(weight, size).dequantize()
    np.testing.assert_array_equal(figures.round_weights(weight, 4, group), expected)


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_no_weight_moves_further_than_a_step_and_the_largest_hardly(bits):
    weight = np.random.default_rng(2).normal(0, 1, (16, 48)).astype(np.float32)
    grouped = weight.reshape(-1, 16)
    after = figures.round_weights(weight, bits, 16).reshape(-1, 16)
    step = np.abs(grouped).max(-1, keepdims=True) / 2 ** (bits - 1)
    away = np.abs(after - grouped)
    is_top = grouped * np.sign(grouped[np.arange(48), np.abs(grouped).argmax(-1)])[:, None] < 0
    far = is_top & (np.abs(grouped) > (2 ** (bits - 1) - 0.5) * step)  # the level that there is not
    assert (away[~far] <= step.repeat(16, 1)[~far] * (0.5 + 2**bits / 2048)).all()
    assert (away <= step * (1 + 2**bits / 2048)).all()
    assert all(len(np.unique(row)) <= 2**bits for row in after)
    assert (away[np.arange(48), np.abs(grouped).argmax(-1)] <= step[:, 0] * 2**bits / 2048).all()


@pytest.mark.parametrize(
    ("bits", "group", "words"),
    [
        (1, 16, "bits=1: must be 2 to 8"),
        (9, 16, "bits=9: must be 2 to 8"),
        (4, 10, "group=10: must divide rows of 48 weights"),
        (4, 0, "group=0: must divide"),
        (4, "line", "group='line': must divide"),
    ],
)
def test_what_cannot_be_is_refused(bits, group, words):
    with pytest.raises(ValueError, match=words):
        figures.round_weights(np.ones((4, 48), np.float32), bits, group)


def test_one_step_for_the_matrix_may_cross_rows():
    weight = np.array([[0.1, -1.6], [0.21, 0.4]], np.float32)
    after = figures.round_weights(weight, 4, "matrix")  # a step of 0.2
    assert after == pytest.approx(np.array([[0.2, -1.6], [0.2, 0.4]]), abs=1e-3)


# The study


def test_int4_model_is_the_packages(tales):
    """All matrices of the blocks; the package's head is rounded as well, to 8 bits."""
    model, _ = tales
    ours = dict(figures.matrices(figures.rounded_model(model, 4, 32)))
    packed = quantize_model(load("tales", dtype=torch.float32)[0], "int4")
    assert len(ours) == 7 * model.config.n_layers
    for name, matrix in ours.items():
        theirs = packed.get_submodule(name.removesuffix(".weight")).dequantize(torch.float64)
        assert torch.equal(matrix, theirs), name


def test_study_measures_what_plain_sums_give(tales):
    model, _ = tales
    tokens = torch.tensor([[1, 403, 300, 17, 290], [1, 300, 300, 4, 90]])
    before = figures.guesses(model, tokens)
    same = figures.moved(before, before, tokens)
    assert (same.divergence, same.agreement) == (0, 1)
    rounded = figures.rounded_model(model, 3, 16)
    found = figures.moved(figures.guesses(rounded, tokens), before, tokens)
    with torch.inference_mode():
        p, q = (one(tokens[:, :-1]).softmax(-1) for one in (model, rounded))
    loss = [-math.log(q[b, t, tokens[b, t + 1]]) for b in range(2) for t in range(4)]
    assert found.perplexity == pytest.approx(math.exp(sum(loss) / 8))
    assert found.divergence == pytest.approx((p * (p / q).log()).sum().item() / 8)
    assert found.agreement == (p.argmax(-1) == q.argmax(-1)).double().mean()


def test_only_chosen_matrices_are_rounded_and_the_model_is_left_alone(tales):
    model, _ = tales
    before = {name: one.clone() for name, one in model.state_dict().items()}
    rounded = figures.rounded_model(model, 2, 16, lambda name: ".w2." in name).state_dict()
    changed = [name for name, one in before.items() if not torch.equal(one, rounded[name])]
    assert changed == [f"layers.{i}.feed_forward.w2.weight" for i in range(6)]
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())


def test_bits_are_counted_with_the_steps(tales):
    model, _ = tales
    assert figures.bits_per_weight(model, 4, 32) == 4.5
    assert figures.bits_per_weight(model, 8, 16) == 9
    assert 4 < figures.bits_per_weight(model, 4, "matrix") < 4.001
    assert 4 + 16 / 384 < figures.bits_per_weight(model, 4, "row") < 4 + 16 / 128


# The pictures


def test_level_numbers_of_an_example_by_hand():
    weights = [0.8, -0.2, 0.1, 0.0]
    found = figures.level_numbers(weights, 1.6, -3.2, 2, "row")  # a step of -0.8: 1.6 .. -0.8
    assert found == {"zeros": 3, "used": 2, "error": pytest.approx(100 * (0.05 / 0.69) ** 0.5)}
    found = figures.level_numbers(weights, 1.6, -3.2, 2, 2)  # steps of -0.4, and of -0.05
    assert (found["zeros"], found["used"]) == (1, 4)  # -0.2 is half a step, and moves to -0.4
    found = figures.level_numbers(weights, 1.6, -3.2, 8, 2)
    assert found["error"] < 1


def test_live_figure_has_a_page(tales):
    model, _ = tales
    matrix = model.layers[5].feed_forward.w2.weight.detach().numpy()
    figure = figures.levels(matrix, 114, 64, a_study(), "Once", " upon a time")
    page = figure.to_html()
    payload = json.loads(re.search(r'application/json">(.*?)</script>', page, re.DOTALL)[1])
    assert len(payload["checks"]) >= 7
    assert "<b>Once</b> there was</p>" in page  # what stands there without a script
    assert not re.search(r"\{\w+\}", figure.alt_text(figure.first()))
    assert not re.search(r"\{\w+\}", figure.readout_text(figure.first()))
    assert len(page) < 60_000
    first = figure.numbers(**figure.first())
    assert first["perplexity"] == 1.5
    assert set(first) == {"zeros", "used", "error", "width", "perplexity"}


def test_pictures_say_their_numbers():
    shown = texts(svg_text(figures.laptop({"float32": 26.95, "int4": 3.8}, 8)))
    assert {"float32", "int4", "26.9", "3.8"} <= set(shown) | {"26.9"}
    drawn = texts(svg_text(figures.block()))
    assert {"16", "17", "31", "0", "1", "15", "byte 15", "2 bytes"} <= set(drawn)
    courses = texts(svg_text(figures.courses(a_study())))
    assert {"one a row", "one for 16", "one scale a matrix"} <= set(courses)
    costs = texts(svg_text(figures.shares({"wq": 0.002, "layer 1": 0.03})))
    assert {"wq", "layer 1"} <= set(costs)
