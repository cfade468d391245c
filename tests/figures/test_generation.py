"""The generation chapter's figures: numbers against plain Python and the package, and pictures."""

from __future__ import annotations

import math
import re

import pytest

pytest.importorskip("matplotlib")

import numpy as np
import oracles
import torch
from live_figures import check_page

from llama_tutorial import PRESETS, Transformer, figures, generate
from llama_tutorial.figures.generation import live
from llama_tutorial.gqa import attention_weights
from llama_tutorial.sampling import next_probabilities

pytestmark = pytest.mark.usefixtures("figure_look")

PIECES = [f"▁t{i}" for i in range(40)]
LOGITS = {
    "an open place": torch.linspace(3, -3, 40, dtype=torch.float64).roll(7),
    "a sure place": torch.cat((torch.full((39,), -4.0), torch.tensor([5.0]))).double(),
}
TEXT = ["<s>", "▁Once", "▁upon", "▁a", "▁ti", "me", ",", "▁<b>", "."]


def some_weights(layers=2, heads=3):
    generator = torch.Generator().manual_seed(1)
    size = (layers, heads, len(TEXT), 4)
    q, k = torch.randn(2, *size, generator=generator, dtype=torch.float64)
    return attention_weights(3 * q, k)


def cuts():
    return live.cuts(LOGITS, PIECES)


def attention():
    return live.attention(TEXT, some_weights(), 1, 2, 5)


def oracle_shares(logits, temperature, k, p):
    """Sort, keep k, keep while the sum above is at most p, divide by what is left."""
    shares = oracles.softmax(np.array(logits) / temperature)
    order = sorted(range(len(shares)), key=lambda i: -shares[i])
    best = order if k == "all" else order[:k]
    whole = sum(shares[i] for i in best)
    kept, above = [], 0.0
    for i in best:
        if above <= p or p == 1:
            kept.append(i)
        above += shares[i] / whole
    left = sum(shares[i] for i in kept)
    return {i: shares[i] / left for i in kept}, sum(shares[i] for i in kept)


@pytest.mark.parametrize("place", LOGITS)
@pytest.mark.parametrize(
    ("temperature", "k", "p"),
    [(1, "all", 1), (0.6, "all", 0.9), (2, 20, 0.8), (1, 1, 1), (3, 3, 0.95), (0.1, 50, 0.1)],
)
def test_what_is_left_is_what_the_rules_say(place, temperature, k, p):
    logits = figures.rounded(LOGITS[place])
    numbers = live.cut_numbers(logits, PIECES, temperature, k, p, 0.405)
    shares, stayed = oracle_shares(logits, temperature, k, p)
    assert numbers["kept"] == len(shares)
    assert numbers["cut"] == pytest.approx(100 * (1 - stayed), abs=1e-9)
    entropy = -sum(share * math.log(share) for share in shares.values())
    assert numbers["choices"] == pytest.approx(math.exp(entropy), rel=1e-9)
    by_piece = {PIECES[i]: share for i, share in shares.items()}
    expected = [by_piece.get(piece, 0.0) for piece in numbers["tokens"]]
    assert numbers["shares"] == pytest.approx(expected, abs=1e-12)


def test_the_random_number_walks_through_the_ids():
    logits = [0.0, 0.0, -1e9, 0.0, 0.0]
    drawn = [
        live.cut_numbers(logits, PIECES, 1, "all", 1, u)["drawn"] for u in (0.1, 0.3, 0.6, 0.9)
    ]
    assert drawn == ["▁t0", "▁t1", "▁t3", "▁t4"]


def test_cuts_are_computed_from_the_numbers_that_the_page_has():
    figure = live.cuts({"a": [1.23456, 0.5], "b": [0.0, 1.0]}, PIECES[:2])
    assert figure.data["logits"]["a"] == [1.23, 0.5]
    shown = figure.numbers(place="a", temperature=1, k="all", p=1, u=0.405)
    assert shown["shares"] == pytest.approx([1 / (1 + math.exp(-0.73)), 1 / (1 + math.exp(0.73))])


@pytest.mark.parametrize("query", [0, 3, 8])
def test_attention_tells_the_largest_weights_of_the_row(query):
    weights = some_weights()
    figure = live.attention(TEXT, weights, 1, 1, 0)
    row = weights[1, 2, query].tolist()
    numbers = figure.numbers(layer=2, head=3, query=query)
    assert numbers["token"] == TEXT[query]
    assert numbers["start"] == pytest.approx(100 * row[0], abs=0.051)
    best = sorted(range(query + 1), key=lambda j: -round(1000 * row[j]))[:3]
    named = [text.rsplit(" (", 1)[0].strip("“”") for text in numbers["looks"]]
    assert named == [TEXT[j] for j in best if round(1000 * row[j])]
    assert named
    back = sum((query - j) * weight for j, weight in enumerate(row))
    assert numbers["back"] == pytest.approx(back, abs=0.05)


def test_attention_carries_the_triangle_in_thousandths():
    weights = some_weights()
    carried = live.attention(TEXT, weights, 1, 1, 0).data["weights"]
    for query in range(len(TEXT)):
        row = live.row_of(carried[1][0], query)
        assert row == (1000 * weights[1, 0, query, : query + 1]).round().int().tolist()
    assert len(carried[0][0]) == len(TEXT) * (len(TEXT) + 1) // 2


FIGURES = {"cuts": cuts, "attention": attention}


@pytest.mark.parametrize("name", FIGURES)
def test_page_has_the_numbers_to_compare_and_says_them(name):
    check_page(FIGURES[name]())


# On the reader's own model


class Words:
    """A tokenizer of forty words, of which a text is a number of each."""

    bos_id, eos_id = 1, 2

    def encode(self, text, bos=False):
        return [self.bos_id] * bos + [int(word) for word in text.split()]

    def id_to_piece(self, i):
        return f"<w{i}>"

    def stream_decoder(self):
        class Decoder:
            feed = staticmethod(lambda i: f" <w{i}>")
            flush = staticmethod(lambda: "")

        return Decoder()


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 16, "vocab_size": 40}
    model = Transformer(PRESETS["llama-2-7b"].replace(**sizes, max_seq_len=16))
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model


@pytest.fixture
def view(model):
    pytest.importorskip("ipywidgets")
    return figures.generation.explore(model, Words(), "7 8 9", max_new_tokens=6)


def cells(view):
    """The rows of the table of next tokens."""
    rows = re.findall(r"<tr><th.*?</tr>", view.children[5].value.split("<tbody>")[1])
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def test_explorer_shows_what_the_model_says_next(model, view):
    text, temperature, top_p = view.children[:3]
    logits = model(torch.tensor([[1, 7, 8, 9]]))[0, -1]
    shares = logits.softmax(-1).sort(descending=True)
    first, *rest = cells(view)
    assert first[0] == f"&lt;w{shares.indices[0]}&gt;"
    assert float(first[1]) == pytest.approx(shares.values[0].item(), abs=5e-4)
    assert len(rest) == 9
    drawn = next_probabilities(logits, 0.6, top_p=0.9)[shares.indices[0]].item()
    assert float(first[2]) == pytest.approx(drawn, abs=5e-4)
    temperature.value = 0
    assert [row[2] for row in cells(view)] == ["1", *["0"] * 9]
    temperature.value, top_p.value = 1, 1
    assert all(row[1] == row[2] for row in cells(view))
    text.value = "12"
    other = model(torch.tensor([[1, 12]]))[0, -1].argmax()
    assert cells(view)[0][0] == f"&lt;w{other}&gt;"


def test_explorer_asks_the_model_once_for_a_prompt(model, view):
    calls = []
    hook = model.register_forward_hook(lambda *_: calls.append(1))
    view.children[1].value, view.children[2].value = 1.2, 0.5
    assert calls == []
    view.children[0].value = "3 4"
    hook.remove()
    assert calls == [1]


def test_explorer_writes_what_generate_writes(model, view):
    _, temperature, _, button, written, _ = view.children
    temperature.value = 0
    button.click()
    (ids,) = generate(model, [[1, 7, 8, 9]], 6, temperature=0, stop_ids={1, 2})
    said = "".join(f" &lt;w{i}&gt;" for i in ids)
    assert f"<b>7 8 9</b>{said}</p>" in written.value
    assert not button.disabled


def test_explorer_says_what_is_wrong_and_goes_on(view):
    text, *_, button, written, rows = view.children
    text.value = " ".join(["5"] * 20)
    assert "21" in rows.value
    button.click()
    assert "16" in written.value
    assert not button.disabled
    text.value = "5"
    assert "<table>" in rows.value


def test_the_chapter_cuts_as_hugging_face_does():
    pytest.importorskip("transformers")
    import notebooks
    from transformers.generation import logits_process

    cells = [cell.source for cell in notebooks.read(notebooks.BOOK / "generation.ipynb").cells]
    source = next(cell for cell in cells if "def hugging_face_keeps" in cell)
    names: dict = {"torch": torch}
    exec("def hugging" + source.split("def hugging")[1].split("\n\n\n")[0], names)
    eighths = torch.tensor([4, 2, 1, 1], dtype=torch.float64) / 8
    quarters = torch.full((4,), 0.25, dtype=torch.float64)  # whose softmax is exact
    cases = [(eighths, p) for p in (0.3, 0.6, 0.8, 0.9)]
    for shares, p in [*cases, (quarters, 0.25), (quarters, 0.5), (quarters, 0.75)]:
        warped = logits_process.TopPLogitsWarper(p)(None, shares.log()[None])[0]
        theirs = warped.isfinite().nonzero()[:, 0].tolist()
        assert names["hugging_face_keeps"](shares, p) == theirs, p
    tied = torch.tensor([[2.0, 1.0, 1.0, 1.0, 0.0]])
    assert logits_process.TopKLogitsWarper(2)(None, tied).isfinite().sum() == 4
