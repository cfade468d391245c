"""The table that grows through the book: every step is one change, and the ends are the presets."""

from __future__ import annotations

import dataclasses
import itertools
import re

import pytest

from llama_tutorial import PRESETS, Transformer
from llama_tutorial.figures import recorded
from llama_tutorial.figures.journey import STEPS, journey_table, recorded_losses

CHANGES = [
    {"norm"},
    {"positions"},
    {"feed_forward", "hidden_dim"},
    {"bias", "tie_embeddings"},
    {"vocab_size"},
    {"dim", "n_layers", "n_heads", "n_kv_heads", "hidden_dim", "max_seq_len"},
    {"dim", "n_layers", "n_heads", "n_kv_heads", "hidden_dim"},
    {"n_layers", "hidden_dim"},
]


def by_chapter(chapter):
    return [step.config for step in STEPS if step.chapter == chapter]


def test_each_step_changes_what_its_chapter_is_about_and_nothing_else():
    fields = [dataclasses.asdict(step.config) for step in STEPS]
    changed = [
        {name for name in after if after[name] != before[name]}
        for before, after in itertools.pairwise(fields)
    ]
    assert changed == CHANGES


def test_path_runs_from_gpt2_through_the_published_models():
    assert by_chapter("gpt") == [PRESETS["gpt2"]]
    assert by_chapter("model")[-1] == PRESETS["llama-2-7b"]
    assert by_chapter("gqa") == [PRESETS["llama-2-34b"], PRESETS["llama-2-70b"]]


def test_one_step_saves_the_position_table_and_only_that():
    (before,), (after,) = by_chapter("rmsnorm"), by_chapter("rope")
    assert before.n_params - after.n_params == 1024 * 768 == 786_432
    assert before.flops_per_token(1024) == after.flops_per_token(1024)


def test_parameters_are_those_of_a_model_that_is_built():
    for step in STEPS[:6]:
        small = step.config.replace(dim=48, n_layers=2, n_heads=4, hidden_dim=96, vocab_size=50)
        built = sum(parameter.numel() for parameter in Transformer(small).parameters())
        assert built == small.n_params, step.name


def test_table_holds_the_packages_arithmetic():
    rows = {row[0]: row[1:4] for row in journey_table("rope").rows}
    assert rows["GPT-2"] == [124_439_808, pytest.approx(0.2848128), 36]
    assert rows["the sizes of Llama 2 7B"] == [6_738_415_616, pytest.approx(15.3616384), 512]
    assert rows["more layers: Llama 2 70B"][::2] == [68_976_648_192, 320]


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_chapter_finds_its_rows_marked_for_eye_and_ear(step):
    shown = journey_table(step.chapter)
    wanted = [other.name for other in STEPS if other.chapter == step.chapter]
    row = r'<tr class="lt-marked" aria-current="true"><th scope="row">(.*?)</th>'
    marked = re.findall(row, shown._repr_html_())
    assert marked == [f'<span aria-hidden="true">→ </span>{name}' for name in wanted]
    text = [line for line in repr(shown).splitlines() if line.startswith("→ ")]
    assert len(text) == len(wanted)


def test_loss_column_shows_what_was_recorded_and_a_dash_where_only_sizes_change():
    chain = {entry["name"]: entry["mean"] for entry in recorded("swaps")["chain"]}
    shown = journey_table("rope")
    assert shown.header[-1] == "loss of a small run"
    column = {row[0]: row[-1] for row in shown.rows}
    dashes = [name for name, loss in column.items() if loss == "–"]
    assert dashes == [STEPS[5].name, STEPS[6].name, STEPS[8].name]
    assert [loss for loss in column.values() if loss != "–"] == list(chain.values())


def test_each_recorded_loss_stands_beside_the_change_that_its_run_made():
    losses = recorded_losses()
    changes = {"GPT-2": set(), **{s.name: c for s, c in zip(STEPS[1:], CHANGES, strict=True)}}
    chain = recorded("swaps")["chain"]
    for before, after in itertools.pairwise(chain):
        (name,) = [n for n, loss in losses.items() if loss == after["mean"]]
        switched = {k for k, v in after["model"].items() if v != before["model"][k]}
        assert switched - {"hidden_dim"} <= changes[name]


def test_losses_may_be_given():
    shown = journey_table("rope", losses={"GPT-2": 1.25, "SwiGLU for GELU": 1.125})
    assert [row[-1] for row in shown.rows[:4]] == [1.25, "–", "–", 1.125]


def test_no_mark_marks_no_row():
    shown = journey_table()
    assert "lt-marked" not in shown._repr_html_().split("<table")[1]
    assert "arrow" not in shown.caption
    assert "The arrow marks this chapter." in journey_table("gpt").caption


def test_unknown_mark_and_unknown_loss_say_what_there_is():
    with pytest.raises(ValueError, match=r"mark='alibi': no step of that chapter.*'rope'"):
        journey_table("alibi")
    with pytest.raises(ValueError, match=r"losses for \['GPT-3'\]: no such step.*'GPT-2'"):
        journey_table("gpt", losses={"GPT-3": 1.0})
