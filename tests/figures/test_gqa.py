"""The attention chapter's figures: numbers against plain Python and the package, and pictures."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("matplotlib")

import torch
from live_figures import check_page
from matplotlib.colors import to_rgba

from llama_tutorial import PRESETS, ModelConfig, Transformer, generate
from llama_tutorial.figures.gqa import live, plots, tables
from llama_tutorial.figures.kit.style import BLUE, ORANGE
from llama_tutorial.gqa import attention_weights

pytestmark = pytest.mark.usefixtures("figure_look")

LETTERS = "abcdefgh"
PROMPTS = [[1, 2, 3], [4, 5, 6, 7, 0]]
N_NEW = 4


@pytest.fixture(scope="module")
def model() -> Transformer:
    config = ModelConfig(16, 2, 4, 2, hidden_dim=16, vocab_size=8, max_seq_len=16)
    model = Transformer(config).double()
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


@pytest.fixture(scope="module")
def data(model) -> dict:
    return live.decode(model, PROMPTS, N_NEW, LETTERS.__getitem__).data


# A decode through its cache


def test_traced_decode_says_what_generate_says(model, data):
    said = generate(model, PROMPTS, N_NEW + 1, temperature=0)
    rows = [prompt + new for prompt, new in zip(PROMPTS, said, strict=True)]
    assert live.decode_trace(model, PROMPTS, N_NEW)["tokens"] == rows
    assert data["words"] == [[LETTERS[token] for token in row] for row in rows]


def test_decode_begins_where_it_is_told_to(model):
    first = {"step": 2, "layer": 1, "head": 3}
    figure = live.decode(model, PROMPTS, N_NEW, LETTERS.__getitem__, start=first)
    assert figure.first().items() >= {**first, "keep": True}.items()


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("step", range(N_NEW + 1))
def test_traced_weights_are_those_of_one_pass_over_the_row_alone(model, data, row, step):
    length = len(PROMPTS[row]) + step
    tokens = torch.tensor([[LETTERS.index(word) for word in data["words"][row][:length]]])
    with torch.no_grad():
        rotation = model.rope.cos[:length], model.rope.sin[:length]
        x = model.tok_embeddings(tokens)
        for number, layer in enumerate(model.layers):
            q, k, _ = layer.attention.project_qkv(layer.attention_norm(x), rotation)
            expected = attention_weights(q, k)[0, :, -1].tolist()
            for head in range(4):
                shown = data["weights"][step][row][number][head]
                assert shown[:length] == pytest.approx(expected[head], rel=6e-3, abs=1e-9)
                assert not any(shown[length:])  # behind a row's end nothing is read
            x = layer(x, rotation)


@pytest.mark.parametrize("keep", [True, False])
def test_counts_are_sums_of_what_each_step_writes(data, keep):
    total = 0
    for step in range(N_NEW + 1):
        numbers = live.decode_numbers(data, step, 0, 0, keep)
        # The prefill is a rectangle, padding and all; after it a step writes one slot of each row.
        assert numbers["written"] == 2 * (5 + step if step == 0 or not keep else 1)
        total += numbers["written"]
        assert numbers["computed"] == total
    assert total == (18 if keep else 70)


def test_numbers_name_the_texts_and_the_slot_most_read(data):
    numbers = live.decode_numbers(data, 2, 1, 3, True)
    assert numbers["last"] == [4, 6]
    assert [len(text) for text in numbers["texts"]] == [5, 7]
    assert numbers["texts"][0].startswith("bcd")
    for row in (0, 1):
        read = data["weights"][2][row][1][3]
        assert read[numbers["best"][row]] == max(read) == numbers["weights"][row]


# What heads share


@pytest.mark.parametrize("model_name", live.SIZES.values())
@pytest.mark.parametrize("kv_heads", [1, 8, 32, 64])
def test_bytes_are_those_of_the_configuration(model_name, kv_heads):
    numbers = live.memory_numbers(model_name, kv_heads, context=2048, batch=4)
    heads = PRESETS[model_name].n_heads
    config = PRESETS[model_name].replace(n_kv_heads=min(kv_heads, heads))
    per_token = 2 * config.n_layers * config.n_kv_heads * 128 * 2
    assert numbers["per_token"] == per_token / 1024
    assert numbers["cache"] == 4 * 2048 * per_token / 2**30
    assert numbers["weights"] == 2 * config.n_params / 2**30
    assert numbers["group"] * numbers["kv"] == numbers["heads"] == heads
    assert numbers["most"] == pytest.approx(numbers["cache"] * numbers["group"])
    read = (numbers["cache"] + numbers["weights"]) * 2**30
    assert numbers["milliseconds"] == pytest.approx(1000 * read / 2e12)


def test_what_the_script_counts_from_gives_the_parameters():
    for sizes, name in ((live.memory().data["models"][n], n) for n in live.SIZES.values()):
        config = PRESETS[name]
        shared = sizes["layers"] * 2 * sizes["dim"] * config.n_kv_heads * sizes["width"]
        assert sizes["others"] + shared == config.n_params


# Both


FIGURES = {
    "decode": lambda model: live.decode(model, PROMPTS, N_NEW, LETTERS.__getitem__),
    "memory": lambda _: live.memory(),
}


@pytest.mark.parametrize("name", FIGURES)
def test_page_has_the_numbers_to_compare_and_says_them(name, model):
    check_page(FIGURES[name](model), n_checks=5)


# The pictures that stand still


def test_pairings_draw_a_line_from_each_query_to_its_key():
    figure = plots.pairings({"right": [0, 0, 1, 1], "wrong": [0, 1, 0, 1]}, wrong="wrong")
    right, wrong = figure.axes
    places = {0: 0.5, 1: 2.5}
    for axes, readers in ((right, [0, 0, 1, 1]), (wrong, [0, 1, 0, 1])):
        ends = [line.get_xdata() for line in axes.lines]
        assert [list(end) for end in ends] == [[q, places[k]] for q, k in enumerate(readers)]
    assert {line.get_linestyle() for line in right.lines} == {"-"}
    assert {line.get_linestyle() for line in wrong.lines} == {"--"}


def test_cache_saves_the_triangle_but_for_its_last_row():
    words = ["a", "b", "c", "d"]
    again, cached = plots.triangle(words).axes
    assert [label.get_text() for label in again.get_yticklabels()] == words
    for axes in (again, cached):
        assert len(axes.patches) == 10 + 4  # pairs, and the keys below them
        new = [patch for patch in axes.patches if patch.get_facecolor() == to_rgba(ORANGE)]
        assert len(new) == 4 + 1  # the last row, and the last key
    outlines = [patch for patch in cached.patches if not patch.get_fill()]
    assert len(outlines) == 6
    kept = [patch for patch in cached.patches if patch.get_facecolor() == to_rgba(BLUE)]
    assert len(kept) == 3
    assert all(patch.get_fill() for patch in again.patches)


def test_slabs_are_those_of_queries_keys_and_values():
    figure = plots.slabs({"all": 4, "pairs": 2, "one": 1}, n_heads=4)
    for axes, n_kv_heads in zip(figure.axes, (4, 2, 1), strict=True):
        assert len(axes.patches) == 6 * (4 + 2 * n_kv_heads)  # three faces, three edges
        written = [text.get_text() for text in axes.texts]
        assert written == ["0", "1", "2", "3", "queries", "keys", "values"]


def test_work_keeps_its_numbers_on_logarithmic_axes():
    figure = plots.work([1, 2, 4], {"a": [1, 20, 3456], "b": [1, 2, 3]}, unit="things")
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert axes.get_ylabel() == "things"
    a, b = axes.lines
    assert list(a.get_ydata()) == [1, 20, 3460]
    assert a.get_color() != b.get_color()
    assert a.get_linestyle() != b.get_linestyle()
    assert math.isclose(b.get_xdata()[-1], 4)


# The tables


def test_caches_have_the_heads_of_llama_2():
    rows = tables.caches().rows
    assert [row[1] for row in rows] == ["32 / 32", "40 / 40", "64 / 8", "64 / 8"]
    assert [row[2] for row in rows] == [512, 800, 192, 320]
    assert [row[3] for row in rows] == [2, 3.125, 0.75, 1.25]
    assert [row[4] for row in rows] == [2, 3.125, 6, 10]


def test_reading_counts_weights_and_cache_once():
    name = "llama-2-7b"
    config, (read, flops) = PRESETS[name], tables.step_costs(name)
    embedding = 2 * config.vocab_size * config.dim
    assert read == 2 * config.n_params - embedding + 4096 * 512 * 1024
    assert flops == config.flops_per_token(4096)
    row = tables.reading().rows[0]
    assert row[0] == name
    assert row[1:] == pytest.approx([15.35, 7.53, 15.36, 1.0], rel=5e-3)


def test_tables_show_what_they_are_given():
    (right, wrong) = tables.mistakes({"right": (1.0, 0.5, 1e-14), "wrong": (0.25, 2.0, 3.21)}).rows
    assert right == ["right", "100 %", "0.50", "0"]
    assert wrong == ["wrong", "25 %", "2.00", "3.2"]
    assert tables.conversions({"mean": (3.0, 1.234)}).rows == [["mean", "3.00", "1.23"]]
