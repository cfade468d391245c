"""The model chapter's figures: the walk against the model, memory against plain arithmetic."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("matplotlib")

import torch
from live_figures import check_page, texts

from llama_tutorial import PRESETS, Transformer, figures
from llama_tutorial.figures.journey import STEPS
from llama_tutorial.figures.model import live, plots, tables

pytestmark = pytest.mark.usefixtures("figure_look")

IDS = [1, 7, 3, 30, 12, 7]
LAYERS, HEADS = 3, 4
CONFIG = PRESETS["llama-2-7b"].replace(
    dim=48, n_layers=LAYERS, n_heads=HEADS, n_kv_heads=2, hidden_dim=40, vocab_size=40
)
STATIONS = live.stations(LAYERS)


class Pieces:
    """A tokenizer of forty words."""

    def encode(self, text, bos=False, eos=False):
        return IDS

    def id_to_piece(self, i):
        return f"▁w{i}" if i > 2 else ["<unk>", "<s>", "</s>"][i]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(3)
    model = Transformer(CONFIG.replace(max_seq_len=32)).double()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture(scope="module")
def data(model):
    return live.walk_data(model, Pieces(), IDS)


# The trace


def test_trace_ends_in_the_models_own_logits(model):
    found = live.trace(model, torch.tensor(IDS))
    logits = model(torch.tensor([IDS]))[0]
    torch.testing.assert_close(model.output(found["normed"][-1]), logits, rtol=0, atol=1e-12)
    shown = live.read_out(model, found["stream"][-1])
    torch.testing.assert_close(shown, logits.softmax(-1), rtol=0, atol=1e-12)


def test_trace_is_a_sum(model):
    found = live.trace(model, torch.tensor(IDS))
    assert [len(found[name]) for name in ("stream", "normed", "added")] == [7, 7, 6]
    torch.testing.assert_close(found["stream"][-1], found["stream"][0] + sum(found["added"]))


def test_trace_keeps_what_hooks_see(model):
    """Against the modules' own inputs and outputs in an ordinary forward pass."""
    seen = {}
    for name, module in model.named_modules():
        module.register_forward_hook(lambda _, x, y, name=name: seen.update({name: (x[0], y)}))
    model(torch.tensor([IDS]))
    for module in model.modules():
        module._forward_hooks.clear()
    found = live.trace(model, torch.tensor(IDS))
    for n in range(LAYERS):
        for half, (norm, part) in enumerate(
            (("attention_norm", "attention"), ("ffn_norm", "feed_forward"))
        ):
            place = 2 * n + half
            assert torch.equal(found["stream"][place], seen[f"layers.{n}.{norm}"][0][0])
            assert torch.equal(found["normed"][place], seen[f"layers.{n}.{norm}"][1][0])
            assert torch.equal(found["added"][place], seen[f"layers.{n}.{part}"][1][0])
        assert torch.equal(found["hidden"][n], seen[f"layers.{n}.feed_forward.w2"][0][0])
        values = seen[f"layers.{n}.attention.wv"][1][0].view(6, 2, 12)  # (T, K, h)
        mixed = torch.einsum("hts,shd->thd", found["weights"][n], values.repeat_interleave(2, 1))
        heads = seen[f"layers.{n}.attention.wo"][0][0]  # (T, D)
        torch.testing.assert_close(mixed.flatten(1), heads, rtol=0, atol=1e-12)


def test_trace_refuses_a_gpt():
    gpt = PRESETS["gpt2"].replace(dim=8, n_layers=1, n_heads=2, hidden_dim=8, vocab_size=40)
    with pytest.raises(ValueError, match=r"RoPE and SwiGLU, not with 'learned' and 'gelu'"):
        live.trace(Transformer(gpt), torch.tensor(IDS))


# The walk


def test_stations_are_the_whole_pass_in_order():
    assert len(STATIONS) == len(set(STATIONS)) == 1 + 6 * LAYERS + 2
    assert STATIONS[0] == "embedding"
    assert STATIONS[1:4] == ["layer 1: norm", "layer 1: attention", "layer 1: attention added"]
    assert STATIONS[-2:] == ["last norm", "output head"]


@pytest.mark.parametrize("stop", range(len(STATIONS)))
def test_additions_are_counted_where_they_happen(stop):
    passed = STATIONS[: stop + 1]
    assert live.additions_before(stop, LAYERS) == sum("added" in name for name in passed)


def test_walk_says_what_the_model_would_say(model, data):
    logits = model(torch.tensor([IDS]))[0]
    for token in range(len(IDS)):
        numbers = live.walk_numbers(data, len(STATIONS) - 1, token, 1)
        best = logits[token].softmax(-1).max(-1)
        assert numbers["guess"] == Pieces().id_to_piece(best.indices.item())
        assert numbers["probability"] == pytest.approx(best.values.item(), rel=6e-3)


def test_walk_tells_sizes_and_looks(model, data):
    found = live.trace(model, torch.tensor(IDS))
    stop = STATIONS.index("layer 2: second norm")
    numbers = live.walk_numbers(data, stop, 4, 3)
    size, added = (
        math.sqrt(sum(x * x for x in found[name][place][4].tolist()) / 48)
        for name, place in (("stream", 3), ("added", 2))
    )
    assert numbers["size"] == pytest.approx(size, rel=6e-3)
    assert numbers["addition"] == pytest.approx(added, rel=6e-3)
    weights = found["weights"][1][2][4].tolist()
    assert numbers["weight"] == pytest.approx(max(weights), abs=6e-4)
    assert numbers["looks"] == data["pieces"][weights.index(max(weights))]
    assert live.walk_numbers(data, 0, 4, 3)["addition"] == "none yet"


def test_cells_are_thousandths_of_the_first_features(model, data):
    stream = live.trace(model, torch.tensor(IDS))["stream"][2]
    assert data["stream"][2] == [[round(1000 * x) for x in row[:32]] for row in stream.tolist()]
    assert [len(row) for row in data["weights"][0][0]] == [1, 2, 3, 4, 5, 6]
    assert all(sum(row) == pytest.approx(1, abs=4e-3) for row in data["weights"][1][3])


# Memory


@pytest.mark.parametrize("name", live.MODELS)
@pytest.mark.parametrize("width", [0.5, 1, 2, 4])
def test_memory_is_plain_arithmetic(name, width):
    config = PRESETS[name]
    held = live.memory_numbers(name, "hold", width, 32)
    assert held["total"] == held["weights"] == pytest.approx(config.n_params * width / 1e9)
    answer = live.memory_numbers(name, "answer", width, 4)
    slots = 2 * config.n_layers * config.n_kv_heads * config.head_dim * config.max_seq_len
    assert answer["cache"] == pytest.approx(4 * 2 * slots / 1e9)
    assert answer["total"] == pytest.approx(held["total"] + answer["cache"])
    train = live.memory_numbers(name, "train", width, 4)
    assert train["total"] == pytest.approx(16 * config.n_params / 1e9)
    assert train["weights"] + train["training"] == pytest.approx(train["total"])


def test_smallest_card_that_holds_it():
    assert live.memory_numbers("llama-2-7b", "hold", 2, 1)["fits"] == "16 GB card"
    assert live.memory_numbers("llama-2-7b", "answer", 2, 2)["fits"] == "24 GB card"
    assert live.memory_numbers("llama-2-7b", "hold", 4, 1)["fits"] == "80 GB card"
    assert live.memory_numbers("llama-2-7b", "train", 2, 1)["fits"] == "no single card of these"


# The figures as the page and the kernel have them


@pytest.fixture(params=["walk", "memory"])
def figure(request, model):
    return live.walk(model, Pieces(), "") if request.param == "walk" else live.memory()


def test_page_has_the_numbers_to_compare_and_says_them(figure):
    check_page(figure, n_checks=10, size=400_000)


# On the reader's own model


def test_explorer_walks_through_the_text_that_is_typed(model):
    pytest.importorskip("ipywidgets")
    view = figures.model.explore(model, Words(), "7 3")
    field, message, shown = view.children
    data = shown.outputs[0]["data"]
    assert data["text/html"] == live.walk(model, Words(), "7 3").to_html()
    assert 'data-live="model/walk"' in data["text/html"]
    field.value = "7 3 30 12"
    assert "One forward pass over 5 tokens" in shown.outputs[0]["data"]["text/html"]
    field.value = ""
    assert shown.outputs == ()
    assert "1 tokens, and the walk shows 2 to 40: give more text" in message.value
    field.value = "3"
    assert message.value == ""
    assert len(shown.outputs) == 1


class Words(Pieces):
    """A text is numbers of words."""

    def encode(self, text, bos=False, eos=False):
        return [1] * bos + [int(word) for word in text.split()]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_walk_is_for_models_of_any_precision_and_size(dtype):
    sizes = {"n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "max_seq_len": 8}
    small = Transformer(CONFIG.replace(**sizes))
    figure = live.walk(small.to(dtype), Words(), "5 6")
    exact = live.walk(small.double(), Words(), "5 6")  # the weights as they were rounded
    for name, worst in (("streamSize", 0.03), ("probability", 0.03)):
        found, wanted = (torch.tensor(one.data[name]).flatten() for one in (figure, exact))
        torch.testing.assert_close(found, wanted, rtol=worst, atol=0)
    check_page(figure)


def test_walk_refuses_a_text_that_is_too_long(model):
    with pytest.raises(ValueError, match="has 51 tokens, and the walk shows 2 to 40: give less"):
        live.walk(model, Words(), "5 " * 50)


# The static pictures


def test_map_has_metas_names_and_the_sizes():
    shown = texts(figures.svg_text(plots.forward_map(PRESETS["llama-2-7b"])))
    names = ["tok_embeddings", "attention_norm", "ffn_norm", "norm", "output"]
    matrices = ["wq", "wk", "wv", "wo", "w1", "w2", "w3"]
    assert {*names, *matrices, "one layer of 32"} <= set(shown)
    assert {"(B, T, D), D = 4,096", "(B, T, V), V = 32,000", "F = 11,008"} <= set(shown)
    assert shown.count("RoPE") == 2  # queries and keys
    assert "32 heads of 128:" in shown


def test_map_masks_what_comes_later():
    axes = plots.forward_map(PRESETS["llama-2-7b"]).axes[0]
    cells = [p for p in axes.patches if p.get_alpha() == 0.75]
    corners = {(round(p.get_x(), 3), round(p.get_y(), 3)) for p in cells}
    assert len(corners) == 15  # five queries see 1, 2, ..., 5 keys
    rows = sorted({y for _, y in corners}, reverse=True)
    assert [sum(y == row for _, y in corners) for row in rows] == [1, 2, 3, 4, 5]


def test_ring_draws_right_answers_as_solid_arrows():
    axes = plots.ring({"a": [1, 2, 2, 1]}, "wxyz").axes[0]  # right, right, itself, wrong
    arrows = [text.arrow_patch for text in axes.texts if getattr(text, "arrow_patch", None)]
    assert [arrow.get_linestyle() for arrow in arrows] == ["-", "-", "--"]
    assert len(axes.lines) == 1  # a circle
    assert {text.get_text() for text in axes.texts} == {"", *"wxyz"}


@pytest.mark.parametrize(("n", "row"), [(8, 5), (5, 2)])
def test_tiles_above_the_diagonal_are_never_touched(n, row):
    axes = plots.tiles(n, row).axes[0]
    kinds = {}
    for patch in axes.patches:
        at = round(patch.get_y() + 0.45), round(patch.get_x() + 0.45)
        kinds[at] = (patch.get_facecolor()[:3] if patch.get_fill() else None, patch.get_linestyle())
    assert len(kinds) == n * n
    dotted = {at for at, (_, style) in kinds.items() if style != "solid"}
    assert dotted == {(i, j) for i in range(n) for j in range(i + 1, n)}
    filled = {at for at, (color, _) in kinds.items() if color is not None}
    done = {(i, j) for i in range(row) for j in range(i + 1)}
    assert filled == done | {(row, j) for j in range(row)}


def test_two_cards_halve_every_matrix():
    shown = texts(figures.svg_text(plots.two_cards()))
    assert [shown.count(f"½ {name}") for name in ("w1", "w3", "w2")] == [2, 2, 2]


def test_lines_are_plotted_as_given():
    figure = plots.stream_growth({"a": [1.0, 2.0], "b": [1.0, 3.14159]})
    a, b = figure.axes[0].lines
    assert (list(a.get_ydata()), list(b.get_ydata())) == ([1.0, 2.0], [1.0, 3.14])
    assert a.get_linestyle() != b.get_linestyle()
    figure = plots.guesses({"x": [0.5, 0.25, 0.123456]}, ["0", "", "1"])
    assert list(figure.axes[0].lines[0].get_ydata()) == [0.5, 0.25, 0.123]
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["0", "1"]


def test_budget_bars_add_up():
    shares = {"one": {"p": 60.0, "q": 39.0, "r": 1.0}, "two": {"p": 10.0, "q": 10.0, "r": 80.0}}
    axes = plots.budget(shares).axes[0]
    ends = {round(bar.get_x() + bar.get_width(), 6) for bar in axes.patches}
    assert ends == {60.0, 99.0, 100.0, 10.0, 20.0}
    written = [text.get_text() for text in axes.texts]
    assert written == ["60", "39", "10", "10", "80"]  # a sliver has no room for its number


# The tables


def test_shares_are_counted_in_tensors():
    found = tables.shares()
    assert list(found) == ["GPT-2", "7B", "13B", "70B"]
    with torch.device("meta"):
        model = Transformer(PRESETS["llama-2-70b"])
    sizes = {name: p.numel() for name, p in model.named_parameters()}
    for part, words in (("attention", (".attention.",)), ("the ends", ("embeddings", "output"))):
        count = sum(size for name, size in sizes.items() if any(word in name for word in words))
        assert found["70B"][part] == pytest.approx(100 * count / sum(sizes.values()))
    for one in found.values():
        assert sum(one.values()) == pytest.approx(100)


def test_first_llamas_have_the_published_counts():
    counts = {name: config.n_params for name, config in tables.first_llamas().items()}
    assert counts["7B"] == PRESETS["llama-2-7b"].n_params
    assert counts["13B"] == PRESETS["llama-2-13b"].n_params
    assert [round(count / 1e9, 1) for count in counts.values()] == [6.7, 13.0, 32.5, 65.3]


def test_generations_name_what_changed():
    rows = {row[0]: row[1:] for row in tables.generations().rows}
    assert rows["context"] == ["2,048 tokens", "4,096 tokens"]
    assert rows["sizes"] == ["7B, 13B, 33B, 65B", "7B, 13B, 70B"]
    assert rows["queries to a key head"] == ["1", "1; in 70B 8"]


def test_released_are_six_models_by_name():
    names = ", ".join(row[0] for row in tables.released().rows).split(", ")
    assert len(names) == 6
    assert {"Llama 2 7B", "Llama 2-Chat 70B"} <= set(names)
    assert tables.released().rows[-1][1:] == ["68.98", 8192, 28672, 80, "64 (8)"]
    assert tables.released().rows[0][-1] == "32"


def test_tensors_add_up_to_the_model():
    rows = tables.tensors(PRESETS["llama-2-7b"]).rows
    assert sum(row[2] for row in rows[:-1]) == PRESETS["llama-2-7b"].n_params
    assert rows[-1] == ["rope.freqs", "64", "no weight"]
    by_name = {row[0]: row[1] for row in rows}
    assert by_name["layers.0–31.feed_forward.w2.weight"] == "4096 × 11008"


def test_costs_and_steps_are_the_configurations_own():
    rows = {row[0]: row[1:] for row in tables.costs().rows}
    assert rows["7B"][:3] == pytest.approx([13.477, 26.954, 107.815], abs=1e-3)
    seven = PRESETS["llama-2-7b"]
    assert rows["7B"][3] == pytest.approx(seven.flops_per_token(4096) / 1e9)
    table = tables.steps({"GPT-2": 6.9}, n_steps=7)
    assert [row[1] for row in table.rows] == [step.config.n_params for step in STEPS[:7]]
    assert [row[2] for row in table.rows] == [6.9, *"––––––"]


def test_mistakes_are_shown_as_given():
    table = tables.mistakes({"nothing": 0.5, "a norm": 0.75}, 6.93)
    assert table.rows == [["nothing", 0.5], ["a norm", 0.75]]
    assert "6.93" in table.caption
