"""The table that grows through the book: every step is one change, and the ends are the presets."""

from __future__ import annotations

import dataclasses
import itertools
import re

import pytest

from llama_tutorial import PRESETS, Transformer
from llama_tutorial.figures.journey import STEPS, journey_table

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
    rows = {row[0]: row[1:] for row in journey_table("rope").rows}
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


def test_loss_column_comes_with_the_losses():
    assert "loss" not in repr(journey_table("rope"))
    shown = journey_table("rope", losses={"GPT-2": 1.25, "SwiGLU for GELU": 1.125})
    assert shown.header[-1] == "validation loss"
    assert [row[-1] for row in shown.rows[:4]] == [1.25, "–", "–", 1.125]


def test_unknown_mark_and_unknown_loss_say_what_there_is():
    with pytest.raises(ValueError, match=r"mark='alibi': no step of that chapter.*'rope'"):
        journey_table("alibi")
    with pytest.raises(ValueError, match=r"losses for \['GPT-3'\]: no such step.*'GPT-2'"):
        journey_table("gpt", losses={"GPT-3": 1.0})
