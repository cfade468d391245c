"""The RoPE chapter's figures: numbers against plain Python and the package, and pictures."""

from __future__ import annotations

import math
import re

import pytest

pytest.importorskip("matplotlib")

import numpy as np
import oracles
import torch
from live_figures import check_page, texts

from llama_tutorial import figures
from llama_tutorial.figures.rope import live, plots
from llama_tutorial.rope import to_half_split

pytestmark = pytest.mark.usefixtures("figure_look")

QUERY = [1.5, -0.5, 2.0, 0.25, -1.0, 0.75, 0.5, 1.25]
KEY = [0.5, 1.0, -1.5, 0.75, 1.25, -0.25, -0.5, 2.0]


def oracle_score(m, n):
    q, k = (oracles.rope_interleaved(np.array(x), p) for x, p in ((QUERY, m), (KEY, n)))
    return float(q @ k) / math.sqrt(8)


@pytest.mark.parametrize("base", [10000, 1000000])
@pytest.mark.parametrize("position", [0, 1, 7, 10, 99, 1000, 4000])
def test_hands_stand_where_the_formula_says(position, base):
    numbers = live.clock_numbers(position, base)
    angles = [position * base ** (-2 * j / 16) for j in range(8)]
    for shown, angle in zip(numbers["degrees"], angles, strict=True):
        apart = (shown - math.degrees(angle)) % 360
        assert min(apart, 360 - apart) < 1e-6
    assert numbers["turns"] == pytest.approx([angle / math.tau for angle in angles])
    assert numbers["completed"] == sum(angle >= math.tau for angle in angles)
    assert numbers["moved"] == sum(math.degrees(angle) >= 5 for angle in angles)


def test_clocks_offer_every_early_position_and_both_bases():
    position, base = live.clocks().controls
    assert position.values[:101] == list(range(101))
    assert {10, 100, 1000, 4000} <= set(position.values)
    assert base.settings() == [10000, 1000000]


@pytest.mark.parametrize(("m", "n"), [(0, 0), (9, 0), (20, 5), (100, 37), (2100, 2000)])
def test_score_is_the_sum_of_what_its_pairs_give(m, n):
    numbers = live.score_numbers(QUERY, KEY, m, n)
    assert numbers["score"] == pytest.approx(oracle_score(m, n), abs=1e-9)
    assert sum(numbers["parts"]) == pytest.approx(numbers["score"], abs=1e-12)
    assert (numbers["query"], numbers["key"], numbers["distance"]) == (m, n, m - n)


def test_score_and_every_part_of_it_depend_on_the_distance_only():
    here = live.score_numbers(QUERY, KEY, 33, 24)
    there = live.score_numbers(QUERY, KEY, 1733, 1724)
    assert here["parts"] == pytest.approx(there["parts"], abs=1e-9)
    assert abs(here["score"] - live.score_numbers(QUERY, KEY, 33, 23)["score"]) > 0.01


def test_curve_holds_the_score_at_every_distance():
    curve = live.score_curve(QUERY, KEY)
    assert len(curve) == live.WIDEST + 1
    assert curve == pytest.approx([oracle_score(d, 0) for d in range(101)], abs=1e-9)


def test_no_key_stands_after_its_query():
    figure = live.score(QUERY, KEY, trained=64)
    assert figure.numbers(m=5, n=30, both=100)["key"] == 105
    assert figure.numbers(m=5, n=3, both=100)["distance"] == 2


def test_score_is_computed_from_the_numbers_that_the_page_has():
    query = [x + 0.00049 for x in QUERY]
    figure = live.score(torch.tensor(query, dtype=torch.float64).tolist(), KEY, trained=64)
    assert figure.data["query"] == figures.rounded(query) != query
    expected = live.score_numbers(figure.data["query"], KEY, 9, 4)["score"]
    assert figure.numbers(m=9, n=4, both=0)["score"] == expected


FIGURES = {"clocks": live.clocks, "score": lambda: live.score(QUERY, KEY, trained=64)}


@pytest.mark.parametrize("name", FIGURES)
def test_page_has_the_numbers_to_compare_and_says_them(name):
    check_page(FIGURES[name]())


def test_layouts_show_the_packages_permutation():
    order = to_half_split(torch.arange(8.0), 1).long()
    shown = texts(figures.svg_text(plots.layouts(8, order)))
    boxes = [text for text in shown if re.fullmatch(r"\d[a-d]", text)]
    above, below = set(boxes[::2]), boxes[1::2]
    assert above == {"0a", "1a", "2b", "3b", "4c", "5c", "6d", "7d"}
    assert below == ["0a", "2b", "4c", "6d", "1a", "3b", "5c", "7d"]


def test_attention_draws_the_weights_that_count():
    weight = torch.zeros(20, 20)
    weight[3, 1], weight[7, 5], weight[9, 2], weight[11, 4] = 0.9, 0.3, 0.1, 0.04
    figure = plots.attention({"model": weight, "other": weight}, trained=10, gap=slice(2, 4))
    axes = figure.axes[0]
    drawn = {point for line in axes.lines for point in zip(*line.get_data(), strict=True)}
    assert drawn == {(1, 3), (5, 7), (2, 9)}
    assert axes.get_ylim() == (20, 0)  # queries run downward


def test_arc_between_query_and_key_stays_when_both_move():
    figure = plots.two_dimensions(0.5, query=[0.6, 0.8], key=[1.0, 0.0])
    arcs = [line.get_data() for line in figure.axes[1].lines if len(line.get_xdata()) == 21]
    spans = [math.atan2(y[-1], x[-1]) - math.atan2(y[0], x[0]) for x, y in arcs]
    assert len(spans) == 2
    first, second = (span % math.tau for span in spans)
    assert first == pytest.approx(second, abs=0.01)
    assert first == pytest.approx(math.atan2(0.8, 0.6) + 0.5, abs=0.01)


def test_losses_are_plotted_as_given_with_gaps_where_nothing_is_asked():
    loss = torch.tensor([math.nan, math.nan, 0.123456, 4.0, 2.0], dtype=torch.float64)
    given = {"a": loss, "b": loss}
    figure = plots.loss_by_position(given, trained=3, gap=slice(1, 2), chance=2.77)
    a, b = (line for line in figure.axes[0].lines if line.get_label() in "ab")
    np.testing.assert_array_equal(a.get_ydata(), [math.nan, math.nan, 0.123, 4.0, 2.0])
    assert a.get_color() != b.get_color()
    assert a.get_linestyle() != b.get_linestyle()


def test_wavelengths_positions_and_decay_keep_their_data():
    lengths = torch.tensor([6.28319, 62.8319], dtype=torch.float64)
    figure = plots.wavelengths({"x": lengths}, marks={"context": 40})
    assert figure.axes[0].lines[0].get_ydata().tolist() == [6.28, 62.8]
    assert figure.axes[0].get_yscale() == "log"
    positions = torch.arange(2000, 2100)
    stored = {"float32": positions.float(), "bfloat16": positions.bfloat16()}
    figure = plots.stored_positions(positions, stored)
    plain, stairs = figure.axes[0].lines
    assert plain.get_ydata().tolist() == positions.tolist()
    assert len(set(stairs.get_ydata().tolist())) == len(positions.bfloat16().unique())
    figure = plots.decay([1, 10], {"one": lengths, "two": -lengths})
    assert [line.get_label() for line in figure.axes[0].lines[:2]] == ["one", "two"]
