"""The figures of the chapter on the swaps: numbers against the records, pictures, tables."""

from __future__ import annotations

import itertools
import statistics

import pytest

pytest.importorskip("matplotlib")

from live_figures import check_page

from llama_tutorial.figures.kit.recorded import recorded
from llama_tutorial.figures.swaps import live, plots, tables

pytestmark = pytest.mark.usefixtures("figure_look")

GAINS = {"a": [-0.1, -0.2, -0.15], "b": [0.01, -0.01, 0.0]}


def test_race_tells_what_the_records_say_at_every_stop():
    record = recorded("swaps")
    losses = {entry["name"]: entry["training_loss"] for entry in record["chain"]}
    stops = live.race().controls[0].values
    assert stops[-1] == record["steps"]
    for k, step in enumerate(stops):
        said = live.race_numbers(step)
        lowest = min(by_step[k] for by_step in losses.values())
        assert losses[said["best"]][k] == lowest
        assert said["lead"] == pytest.approx(losses["GPT"][k] - lowest, abs=1e-9)
        gap = losses["no biases, untied"][k] - losses["SwiGLU"][k]
        assert float(said["untied"].replace("−", "-")) == pytest.approx(gap, abs=1e-9)


def test_race_has_numbers_to_compare_and_says_them():
    check_page(live.race())


@pytest.mark.parametrize(
    ("value", "words"), [(0.037, "+0.037"), (-0.192, "−0.192"), (0.0, "+0.000")]
)
def test_differences_have_a_sign(value, words):
    assert live.signed(value) == words


def test_interval_is_students():
    mean, half = tables.interval([1.0, 2.0, 3.0])
    assert (mean, half) == (2.0, pytest.approx(4.303 / 3**0.5))
    assert tables.interval([1.0, 2.0])[1] == pytest.approx(
        12.706 * statistics.stdev([1, 2]) / 2**0.5
    )


def test_changes_show_every_seed_and_the_interval():
    axes = plots.changes(GAINS).axes[0]
    dots = [line.get_xdata().tolist() for line in axes.lines if line.get_marker() == "o"]
    assert dots == list(GAINS.values())
    bands = [line.get_xdata() for line in axes.lines if line.get_linewidth() == 4]
    for (low, high), by_seed in zip(bands, GAINS.values(), strict=True):
        mean, half = tables.interval(by_seed)
        assert (low, high) == pytest.approx((mean - half, mean + half), abs=1e-3)


def test_lines_are_told_apart_without_colour():
    axes = plots.longer([8.0, 24.0], {"a": [1.0, 2.0], "b": [2.0, 1.0]}, edge=16).axes[0]
    assert [line.get_linestyle() for line in axes.lines[:2]] == ["-", "--"]
    assert list(axes.lines[2].get_xdata()) == [16, 16]
    axes = plots.rates({"a": {0.001: 2.0, 0.002: 1.0}, "b": {0.001: 1.0, 0.002: 1.5}}).axes[0]
    assert [line.get_marker() for line in axes.lines] == ["o", "s"]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0.001", "0.002"]


def test_tables_hold_the_records():
    chain = recorded("swaps")["chain"]
    rows = tables.chain().rows
    assert [row[-1] for row in rows] == [f"{entry['mean']:.3f}" for entry in chain]
    gains = {
        after["name"]: [
            new - old
            for new, old in zip(after["validation_loss"], before["validation_loss"], strict=True)
        ]
        for before, after in itertools.pairwise(chain)
    }
    costs = tables.worth(gains).rows
    assert [row[3] for row in costs] == [entry["kv_bytes_per_token"] for entry in chain]
    assert costs[0][1] == "–"
    assert costs[2][1].startswith("−0.169\N{NO-BREAK SPACE}±\N{NO-BREAK SPACE}")
    assert tables.shakespeare().rows[-1][-1] == str(recorded("shakespeare")["published"])
