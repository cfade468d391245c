"""The pre-training chapter's figures: numbers against the package and arithmetic, pictures."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("matplotlib")

import numpy as np
import torch
from live_figures import check_page

from llama_tutorial import PRESETS
from llama_tutorial.figures.pretraining import live, plots, tables
from llama_tutorial.gqa import causal_mask
from llama_tutorial.model import document_positions
from llama_tutorial.pretraining import TokenStream
from llama_tutorial.training import IGNORE

pytestmark = pytest.mark.usefixtures("figure_look")

PIECES = [
    *("<s>", "▁The", "▁fox", "▁ran", ".", "</s>"),
    *("<s>", "▁Anna", "▁slept", ".", "</s>"),
    *("<s>", "▁It", "▁was", "▁late", ".", "</s>"),
]
CONTEXT = 8
PLAN = {
    "model": "llama-2-7b",
    "tokens": 2000,
    "card": "H200, 141 GB",
    "cards": 8,
    "utilisation": 40,
}


def window_figure():
    return live.window(PIECES, CONTEXT)


FIGURES = {"window": window_figure, "plan": live.plan}


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    """The pieces as a token file: the ids are places in the sorted vocabulary, BOS is 0."""
    path = tmp_path_factory.mktemp("stream") / "tokens"
    known = ["<s>", *sorted(set(PIECES) - {"<s>"})]
    ids = np.array([known.index(piece) for piece in PIECES], "uint16")
    ids.tofile(path)
    info = {"n_tokens": len(ids), "n_documents": 3, "vocab_size": len(known), "bos_id": 0}
    described = path.with_name("tokens.json")
    described.write_text(json.dumps({**info, "dtype": "uint16", "source": ""}), encoding="utf-8")
    return TokenStream(path, 1, 4), known, ids


@pytest.mark.parametrize("apart", [True, False])
def test_window_asks_what_the_packages_stream_asks(stream, apart):
    tokens, known, ids = stream
    figure = window_figure()
    for start in range(len(PIECES) - CONTEXT):
        row = ids[None, start : start + CONTEXT + 1].astype(np.int64)
        batch = tokens._to_batch(row)
        documents = batch.documents if apart else None
        mask = torch.ones(CONTEXT, CONTEXT).tril().bool()
        if documents is not None:
            positions = document_positions(documents)
            mask = causal_mask(positions, positions, documents)[0, 0]
        for place in range(CONTEXT):
            shown = figure.numbers(start=start, place=place, apart=apart)
            target = int(batch.targets[0, place])
            assert shown["input"] == known[batch.inputs[0, place]]
            assert shown["target"] == (live.NOTHING if target == IGNORE else known[target])
            assert shown["sees"] == int(mask[place].sum()) == shown["position"] + 1
            assert shown["targets"] == int((batch.targets != IGNORE).sum())


def test_plan_of_metas_own_run_comes_to_its_hours():
    given = {**PLAN, "card": "A100, 80 GB", "cards": 2048, "utilisation": 39}
    numbers = live.plan_numbers(**given)
    assert numbers["gpu_hours"] == pytest.approx(184_320, rel=0.01)
    assert numbers["operations"] == 6 * PRESETS["llama-2-7b"].n_params * 2e12
    assert numbers["seconds"] * 2048 / 3600 == pytest.approx(numbers["gpu_hours"])
    assert numbers["mwh"] == pytest.approx(numbers["gpu_hours"] * 400 / 1e6)


def test_plan_memory_is_shared_among_the_cards():
    one, eight = (live.plan_numbers(**{**PLAN, "cards": n}) for n in (1, 8))
    assert one["memory"] == pytest.approx(107.8, abs=0.05)
    assert eight["memory"] == one["memory"] / 8
    assert one["fits"] == eight["fits"] == "it fits"
    large = live.plan_numbers(**{**PLAN, "model": "llama-2-70b", "cards": 4})
    assert large["fits"] == "too much"
    assert one["gpu_hours"] == pytest.approx(eight["gpu_hours"])


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (59, "0.983 minutes"),
        (7199, "120 minutes"),
        (7200, "2 hours"),
        (172_800, "2 days"),
        (100 * 86400, "100 days"),
        (10 * 365.25 * 86400, "10 years"),
    ],
)
def test_time_is_told_in_the_largest_unit_of_which_it_is_two(seconds, words):
    assert live.time_text(seconds) == words


def test_page_has_the_numbers_to_compare_and_says_them():
    check_page(live.plan(), n_checks=12)
    check_page(window_figure(), size=40_000)


def test_valley_marks_its_models():
    figure = plots.valley([1e9, 1e10], [2.12345, 2.0], {"7B": (7e9, 2.01), "26B": (2.6e10, 2.02)})
    curve, *marks = figure.axes[0].lines
    assert curve.get_ydata().tolist() == [2.1235, 2.0]
    assert [mark.get_label() for mark in marks] == ["7B", "26B"]


def test_rates_are_told_apart_without_colour():
    figure = plots.rates(range(3), {"a": [1.0, 2.0, 3.0], "b": [3.0, 2.0, 1.0]})
    axes = figure.axes[0]
    assert [line.get_linestyle() for line in axes.lines] == ["-", "--"]
    assert axes.lines[1].get_ydata().tolist() == [3.0, 2.0, 1.0]


def test_mixture_marks_what_was_read_more_than_twice():
    axes = plots.mixture({"web": (90.0, 1.1), "books": (10.0, 2.5)}).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [90.0, 10.0]
    assert [bar.get_hatch() for bar in axes.patches] == ["", "//"]
    assert [text.get_text() for text in axes.texts] == ["read 1.10 times", "read 2.50 times"]


def test_mixture_of_the_first_llama_is_a_whole():
    shares, epochs = zip(*tables.MIXTURE.values(), strict=True)
    assert sum(shares) == pytest.approx(100)
    # 1.4 trillion tokens: no source had more of its own than the run read of it.
    assert all(
        0 < share * 14e9 / epoch < 1.4e12 for share, epoch in zip(shares, epochs, strict=True)
    )


def test_memory_bars_are_stacks_of_their_parts():
    rows = {"one": {"weights": 20.0, "rest": 30.0}, "two": {"weights": 5.0, "rest": 6.0}}
    axes = plots.memory(rows, 141, "H200").axes[0]
    ends = {round(bar.get_x() + bar.get_width(), 3) for bar in axes.patches}
    assert ends == {20.0, 50.0, 5.0, 11.0}
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["one", "two"]


def test_run_keeps_its_data_and_its_levels():
    axes = plots.run([6.9, 5.0, 4.0], {2: 5.1}, {"a uniform guess": 6.93, "pairs": 2.8}).axes[0]
    assert axes.lines[0].get_ydata().tolist() == [6.9, 5.0, 4.0]
    assert axes.lines[1].get_xdata().tolist() == [2]
    assert [line.get_ydata()[0] for line in axes.lines[2:]] == [6.93, 2.8]
    assert [text.get_text() for text in axes.texts] == ["a uniform guess", "pairs"]


def test_runs_energy_is_hours_times_the_watts_of_their_own_gpus():
    rows = {row[0]: row for row in tables.runs().rows}
    assert [rows[size][3] for size in ("7B", "13B", "34B", "70B")] == [74, 147, 363, 688]
    tons = {name: run.tons / run.mwh for name, run in tables.RUNS.items()}
    assert max(tons.values()) == pytest.approx(min(tons.values()), rel=2e-3)  # one grid for all


def test_papers_settings_are_those_of_the_presets():
    rows = {row[0]: row for row in tables.paper().rows}
    for name in ("7b", "13b", "34b", "70b"):
        _, context, grouped, _, rate = rows[f"Llama 2 {name.upper()}"]
        config = PRESETS[f"llama-2-{name}"]
        assert context == f"{config.max_seq_len // 1024}k"
        assert grouped == ("yes" if config.group_size > 1 else "no")
        assert float(rate) == tables.RUNS[f"llama-2-{name}"].peak_lr


def test_table_of_what_a_format_loses():
    assert tables.gradients({"float16": (0.428, 1.122)}).rows == [["float16", "42.8%", "112.2%"]]


@pytest.mark.parametrize(("gb", "words"), [(107.8, "108 GB"), (1.0, "1 GB"), (0.0674, "67.4 MB")])
def test_memory_is_told_in_a_unit_that_fits(gb, words):
    assert live.memory_text(gb) == words
