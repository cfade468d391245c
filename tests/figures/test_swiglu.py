"""The SwiGLU chapter's figures: numbers against plain Python, and pictures."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("matplotlib")

import numpy as np
import oracles
import torch
from live_figures import check_page

from llama_tutorial import figures
from llama_tutorial.config import PRESETS
from llama_tutorial.figures.kit.svg import svg_text
from llama_tutorial.figures.swiglu import live, plots, tables

pytestmark = pytest.mark.usefixtures("figure_look")

WORDS = ["Once", "a", "fox", "a", "ball"]
GATES = {
    "layer 1": torch.tensor([[0.5, -3.0], [-1.0, 0.25], [2.5, 0.0], [-0.2, 4.0], [0.0, 1.0]]),
    "layer 2": torch.tensor([[3.0, 1.0], [0.0, 2.0], [0.1, 0.2], [-9.0, 0.3], [-1.278, 0.4]]),
}
UPS = {name: gate.flip(0) - 0.5 for name, gate in GATES.items()}


def words_figure() -> figures.LiveFigure:
    return live.words_gates(WORDS, GATES, UPS)


FIGURES = {"gate": live.gate, "plane": live.plane, "words": words_figure}


@pytest.mark.parametrize("gate", [-4.0, -1.3, -0.1, 0.0, 0.7, 4.0])
def test_factors_are_the_activations(gate):
    expected = {
        "silu": oracles.silu(np.float64(gate)),
        "sigmoid": 1 / (1 + math.exp(-gate)),
        "relu": max(gate, 0.0),
        "gelu": oracles.gelu_tanh(np.float64(gate)),
        "none": gate,
    }
    assert set(expected) == set(live.GATES.values())
    for kind, value in expected.items():
        assert live.factor(kind, gate) == pytest.approx(value, abs=1e-12)
        numbers = live.gate_numbers(kind, gate, -1.5)
        assert numbers["passes"] == pytest.approx(-1.5 * value, abs=1e-12)


@pytest.mark.parametrize(
    ("kind", "gate", "state"),
    [
        ("silu", 0.0, "closed"),
        ("silu", 0.08, "closed"),
        ("silu", 0.2, "open"),
        ("silu", -1.3, "reversed"),
        ("relu", -1.3, "closed"),
        ("sigmoid", -1.3, "open"),
        ("none", -4.0, "reversed"),
    ],
)
def test_the_word_for_a_gate(kind, gate, state):
    assert live.gate_numbers(kind, gate, 1)["state"] == state


@pytest.mark.parametrize("angle", [0, 45, 90, 135, 180])
@pytest.mark.parametrize("point", [(2.0, 1.0), (-3.0, 0.5), (0.0, -2.0)])
def test_unit_over_the_plane(angle, point):
    x = np.array(point)
    w3 = np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
    gated = live.plane_numbers("gated", angle, *point)
    assert gated["gate"] == point[0]
    assert gated["up"] == pytest.approx(x @ w3, abs=1e-12)
    assert gated["output"] == pytest.approx(oracles.silu(x[0]) * (x @ w3), abs=1e-12)
    plain = live.plane_numbers("plain", angle, *point)
    assert plain["output"] == pytest.approx(oracles.silu(x[0]), abs=1e-12)


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("layer", GATES)
def test_words_find_the_widest_gate(layer, place):
    numbers = words_figure().numbers(layer=layer, unit=1, place=place)
    factors = oracles.silu(np.array(figures.rounded(GATES[layer][:, 0])))
    assert numbers["word"] == WORDS[place]
    assert numbers["factor"] == pytest.approx(factors[place], abs=1e-12)
    assert numbers["passes"] == pytest.approx(factors[place] * numbers["up"], abs=1e-12)
    assert numbers["widest"] == WORDS[factors.argmax()]
    assert numbers["most"] == pytest.approx(factors.max(), abs=1e-12)


def test_words_are_computed_from_the_numbers_that_the_page_has():
    gates = {name: gate + 0.000049 for name, gate in GATES.items()}
    figure = live.words_gates(WORDS, gates, UPS)
    kept = figure.data["gates"]["layer 1"][0]
    assert kept == figures.rounded(gates["layer 1"].T)[0]
    shown = figure.numbers(layer="layer 1", unit=1, place=2)
    assert shown["gate"] == kept[2] == 2.5


@pytest.mark.parametrize("name", FIGURES)
def test_page_has_the_numbers_to_compare_and_says_them(name):
    check_page(FIGURES[name](), size=160_000)


def test_plots_keep_their_data():
    z = torch.tensor([-1.0, 0.0, 1.23456], dtype=torch.float64)
    figure = plots.activations(z, {"ReLU": z.relu()}, {"ReLU": (z > 0).double()})
    left, right = figure.axes
    assert left.lines[0].get_ydata().tolist() == [0.0, 0.0, 1.23]
    assert right.lines[0].get_ydata().tolist() == [0.0, 0.0, 1.0]
    figure = plots.along_a_line(z, {"true": z**2, "plain": z, "gated": -z}, trained=2)
    labels = [line.get_label() for line in figure.axes[0].lines]
    assert labels == ["true", "plain", "gated"]
    looks = {(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}
    assert len(looks) == 3


def test_matrices_are_drawn_to_scale():
    widths = {"plain": [("w1", 4), ("w2", 4)], "gated": [("w1", 8 / 3), ("w3", 8 / 3)]}
    boxes = plots.matrices(widths).axes[0].patches
    assert [box.get_width() for box in boxes] == [4, 4, 2.67, 2.67]
    assert {box.get_height() for box in boxes} == {1}
    assert len({box.get_y() for box in boxes}) == 2


def test_circuits_name_every_matrix_and_curve():
    written = svg_text(plots.circuits())
    for name in ("GPT", "Llama 2", "w1", "w2", "w3", "gate", "up", "down", "GELU", "SiLU", "4D"):
        assert f">{name}<" in written, name


def test_bars_of_the_wirings_are_their_losses():
    figure = plots.wirings({"GELU": 0.495, "none": 2.5, "w3": 10.26}, right=0.49, bigram=2.8)
    (axes,) = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [0.495, 2.5, 10.3]
    said = {text.get_text(): text.get_position()[0] for text in axes.texts}
    assert {"0.49", "2.50", "10.26", "no mistake", "bigram table"} <= set(said)
    assert said["2.50"] > 2.8  # not on the line


def test_recorded_runs_are_those_of_the_two_layers():
    chain = {entry["name"]: entry for entry in figures.recorded("swaps")["chain"]}
    for row, name in zip(tables.ablation().rows, tables.LAYERS, strict=True):
        expected = [*chain[name]["validation_loss"], chain[name]["mean"]]
        assert row[1:] == [f"{loss:.3f}" for loss in expected]


def test_tasks_are_shares():
    table = tables.tasks({"plain": {"product": 0.00756, "size": 0.1}})
    assert table.header == ["layer", "product", "size"]
    assert table.rows == [["plain", "0.76%", "10.00%"]]


def test_widths_have_a_column_for_each_size():
    table = tables.widths({"llama-2-7b": [16384, 10922, 10922, 11008]})
    assert table.header == ["", "7B"]
    assert [row[1] for row in table.rows] == [4096, 16384, 10922, 10922, 256, 11008]


def test_costs_are_counted_from_the_model():
    name, layer, ratio, share = tables.costs({"7B": PRESETS["llama-2-7b"]}).rows[0]
    assert (name, layer, ratio, share) == ("7B", 3 * 4096 * 11008, "1.0078", "64.2%")


def test_published_losses_are_all_shown():
    assert [row[0] for row in tables.published().rows] == list(tables.PUBLISHED)
