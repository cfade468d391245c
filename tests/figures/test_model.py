"""The model chapter's figures: the walk against the model, memory against plain arithmetic."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("matplotlib")

import torch
from live_figures import check_page, texts

from llama_tutorial import PRESETS, Transformer, figures
from llama_tutorial.figures.model import live, plots

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
@pytest.mark.parametrize("width", [1, 2, 4])
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
    names = ["tok_embeddings", "attention_norm", "attention", "ffn_norm", "feed_forward"]
    assert {*names, "norm", "output", "one layer of 32"} <= set(shown)
    assert {"(B, T, D), D = 4,096", "(B, T, V), V = 32,000", "11,008"} <= set(shown)


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
