"""The RMSNorm chapter's figures: numbers against plain Python and the package, and pictures."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("matplotlib")

import numpy as np
import oracles
import torch
from live_figures import check_page, texts

from llama_tutorial import PRESETS, Transformer, figures
from llama_tutorial.figures.rmsnorm import live, plots, tables

pytestmark = pytest.mark.usefixtures("figure_look")


# One activation, shifted and scaled


@pytest.mark.parametrize("eps", [1e-5, 1e-6, 0])
@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1), (1.0, 0.01), (-2.5, 1000), (4.0, 0.001)])
def test_both_norms_are_what_the_formulas_say(shift, scale, eps):
    numbers = live.shift_numbers(shift, scale, eps)
    x = np.array([[(value + shift) * scale for value in live.ACTIVATION]])
    ones = np.ones(8)
    assert numbers["rms"] == pytest.approx(oracles.rms_norm(x, ones, eps)[0], abs=1e-9)
    assert numbers["layer"] == pytest.approx(oracles.layer_norm(x, ones, None, eps)[0], abs=1e-9)
    assert numbers["mean"] == pytest.approx(x.mean(), abs=1e-12)
    assert numbers["size"] == pytest.approx(math.sqrt((x**2).mean()), abs=1e-12)
    for name in ("layer", "rms"):
        values = np.array(numbers[name])
        assert numbers[f"{name}_mean"] == pytest.approx(values.mean(), abs=1e-12)
        assert numbers[f"{name}_size"] == pytest.approx(math.sqrt((values**2).mean()), abs=1e-12)
    apart = np.abs(np.array(numbers["layer"]) - np.array(numbers["rms"])).max()
    assert numbers["apart"] == pytest.approx(apart, abs=1e-12)


def test_the_two_agree_where_the_mean_is_zero_and_nowhere_else():
    assert sum(live.ACTIVATION) == pytest.approx(0, abs=1e-12)
    shifts, scales, _ = live.shift().controls
    assert 0.0 in shifts.values
    for shift in shifts.values:
        apart = live.shift_numbers(shift, 1, 1e-5)["apart"]
        assert apart < 1e-12 if shift == 0 else apart > 0.1
    assert all(live.shift_numbers(0.0, scale, 1e-5)["apart"] < 1e-12 for scale in scales.values)


# Which outputs change with a token


def loop(table, over, eps=1e-5):
    """RMSNorm over an axis, one number at a time."""
    positions, width = len(table), len(table[0])
    result = []
    for t in range(positions):
        row = []
        for i in range(width):
            if over == "features":
                chosen = table[t]
            elif over == "positions":
                chosen = [table[s][i] for s in range(positions)]
            else:
                chosen = [value for other in table for value in other]
            mean_square = sum(value * value for value in chosen) / len(chosen)
            row.append(table[t][i] / math.sqrt(mean_square + eps))
        result.append(row)
    return np.array(result)


@pytest.mark.parametrize("over", live.AXES.values())
@pytest.mark.parametrize("token", [0, 3, 7])
def test_changes_are_those_of_a_loop(over, token):
    figure = live.axis()
    x, other = figure.data["x"], figure.data["other"]
    changed = [other if t == token else row for t, row in enumerate(x)]
    expected = np.abs(loop(changed, over) - loop(x, over))
    np.testing.assert_allclose(live.axis_changes(over, token), expected, atol=1e-9)
    numbers = live.axis_numbers(over, token)
    assert numbers["changes"] == pytest.approx(expected.max(1), abs=1e-9)
    assert (numbers["earlier"], numbers["later"]) == (token, 7 - token)
    assert numbers["leak"] == pytest.approx(expected[:token].max() if token else 0, abs=1e-9)


@pytest.mark.parametrize("token", range(8))
def test_over_features_nothing_else_changes_and_over_anything_else_all_does(token):
    assert live.axis_numbers("features", token)["told"] == 0
    assert live.axis_numbers("features", token)["told_later"] == 0
    for over in ("both", "positions"):
        numbers = live.axis_numbers(over, token)
        assert (numbers["told"], numbers["told_later"]) == (token, 7 - token)
        assert all(change > 0.01 for change in numbers["changes"])  # enough to be seen


# Both figures as the page and the kernel have them

FIGURES = {"shift": live.shift, "axis": live.axis}


@pytest.mark.parametrize("name", FIGURES)
def test_page_has_the_numbers_to_compare_and_says_them(name):
    check_page(FIGURES[name]())


# The pictures that stand still


def test_stream_sizes_are_plotted_as_given():
    sizes = {name: [0.012345 * 10**i for i in range(6)] for name in "abcd"}
    figure = plots.stream_sizes(sizes, largest=65504)
    axes = figure.axes[0]
    drawn = [line for line in axes.lines if len(line.get_xdata()) == 6]
    assert len(drawn) == 4
    assert drawn[0].get_ydata().tolist() == figures.rounded(sizes["a"])
    assert axes.get_yscale() == "log"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list("abcd")
    assert "the end of float16" in texts(figures.svg_text(figure))


def test_geometry_puts_both_norms_where_they_belong():
    torch.manual_seed(0)
    figure = plots.geometry(torch.randn(20, 3, dtype=torch.float64) + 0.5)
    left, right = figure.axes
    rms, layer = (line.get_data() for line in right.lines if len(line.get_xdata()) == 20)
    assert max(np.hypot(*rms)) <= math.sqrt(3) + 0.01
    flat = math.sqrt(3) * math.sin(plots.TILT)  # the slice as an ellipse
    on_ellipse = (np.array(layer[0]) / math.sqrt(3)) ** 2 + (np.array(layer[1]) / flat) ** 2
    assert on_ellipse == pytest.approx(1, abs=0.05)
    assert max(abs(np.array(rms[1]))) > flat + 0.1  # and RMSNorm's points are not on it
    ends = [line.get_data() for line in left.lines if line.get_marker() == "o"]
    for (x, y), (on_x, on_y) in zip(ends[::2], ends[1::2], strict=True):
        assert math.hypot(on_x[0], on_y[0]) == pytest.approx(math.sqrt(3), abs=0.01)
        assert x[0] * on_y[0] == pytest.approx(y[0] * on_x[0], abs=0.02)  # one direction


def test_mistakes_are_bars_of_their_losses_beside_both_yardsticks():
    losses = {"loud": 5.1249, "quiet": 0.4936}
    figure = plots.mistakes(losses, right=0.4893, bigram=2.8261)
    axes = figure.axes[0]
    assert [bar.get_width() for bar in axes.patches] == [5.12, 0.494]
    assert [label.get_text() for label in axes.get_yticklabels()] == list(losses)
    assert axes.get_ylim()[0] > axes.get_ylim()[1]  # the first one on top
    assert [line.get_xdata()[0] for line in axes.lines] == [0.489, 2.83]
    words = [text.get_text() for text in axes.texts]
    assert words == ["5.12", "0.49", "no mistake", "bigram table"]


def test_ablation_is_the_recorded_runs_that_differ_in_the_norm():
    shown = tables.ablation()
    chain = figures.recorded("swaps")["chain"]
    _, *norms = shown.header
    _, *columns = zip(*shown.rows, strict=True)
    assert [norm.lower() for norm in norms] == ["layernorm", "rmsnorm"]
    for norm, (*losses, mean) in zip(norms, columns, strict=True):
        entries = [e for e in chain if [f"{x:.3f}" for x in e["validation_loss"]] == losses]
        assert {entry["model"]["norm"] for entry in entries} == {norm.lower()}
        assert float(mean) == pytest.approx(sum(map(float, losses)) / 3, abs=1e-3)


def test_costs_are_counted_in_the_model_itself():
    rows = {row[0]: row for row in tables.costs().rows}
    for name, row in rows.items():
        with torch.device("meta"):
            model = Transformer(PRESETS[name])
        norms = [p for key, p in model.named_parameters() if "norm" in key]
        n_all = sum(p.numel() for p in model.parameters())
        n_norms = sum(p.numel() for p in norms)
        assert row[2] == n_norms
        assert row[3] == f"{100 * n_norms / n_all:.4f} %"
        biases = sum(key.endswith("norm.bias") for key, _ in model.named_parameters())
        assert row[1] == len(norms) - biases


def test_eps_curves_keep_their_data():
    sizes = torch.tensor([0.001, 0.1], dtype=torch.float64)
    figure = plots.eps_curves(sizes, {"one": sizes * 5, "two": sizes * 7})
    one, two = figure.axes[0].lines[:2]
    assert one.get_ydata().tolist() == [0.005, 0.5]
    assert (one.get_label(), two.get_label()) == ("one", "two")
    assert figure.axes[0].get_xscale() == "log"
