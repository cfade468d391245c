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

from llama_tutorial import PRESETS, Transformer, figures, generate, load
from llama_tutorial.figures import generation
from llama_tutorial.figures.generation import live, serving
from llama_tutorial.sampling import next_probabilities

pytestmark = pytest.mark.usefixtures("figure_look")

PIECES = [f"▁t{i}" for i in range(40)]
LOGITS = {
    "an open place": torch.linspace(3, -3, 40, dtype=torch.float64).roll(7),
    "a sure place": torch.cat((torch.full((39,), -4.0), torch.tensor([5.0]))).double(),
}


def cuts():
    return live.cuts(LOGITS, PIECES)


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


@pytest.fixture(scope="module")
def tales():
    return load("tales", dtype=torch.float64)


TALE = "Mia and Tom played hide and seek."


def inside(tales, words=(("▁He", 0), ("▁Mia", 1))):
    return generation.inside(*tales, TALE, words, head=(6, 7), seed=3)


def test_look_is_the_forward_pass_seen_from_inside(tales):
    model, tokenizer = tales
    ids = tokenizer.encode("Once upon a time, Tom had a kite.", bos=True)
    weights, lens = generation.look(model, ids)
    with torch.inference_mode():
        assert (lens[-1] - model(torch.tensor([ids]))[0]).abs().max() < 1e-9
    assert weights.shape == (6, 8, len(ids), len(ids))
    assert (weights.sum(-1) - 1).abs().max() < 1e-12
    assert weights.triu(1).abs().max() == 0
    # The first layer by hand: query head 5 reads key head 2.
    layer = model.layers[0]
    x = layer.attention_norm(model.tok_embeddings(torch.tensor(ids)))
    q = (x @ layer.attention.wq.weight.T)[:, 5 * 16 : 6 * 16]
    k = (x @ layer.attention.wk.weight.T)[:, 2 * 16 : 3 * 16]
    cos, sin = model.rope.cos[: len(ids)], model.rope.sin[: len(ids)]
    turned = [torch.view_as_complex(one.unflatten(-1, (-1, 2)).contiguous()) for one in (q, k)]
    q, k = (torch.view_as_real(one * torch.complex(cos, sin)).flatten(1) for one in turned)
    expected = oracles.softmax((q[-1] @ k.T / 4).detach().numpy())
    assert weights[0, 5, -1].tolist() == pytest.approx(expected, abs=1e-9)


def test_seen_is_what_the_model_says_and_what_is_drawn_from(tales):
    model, tokenizer = tales
    ids = tokenizer.encode(TALE, bos=True)
    [here] = generation.seen(model, tokenizer, ids, [4], temperature=0.8, top_p=0.7)
    with torch.inference_mode():
        logits = model(torch.tensor([ids[:5]]))[0, -1]
    shares, _ = oracle_shares(logits.numpy(), 0.8, "all", 0.7)
    own = oracles.softmax(logits.numpy())
    best = sorted(range(len(own)), key=lambda i: -own[i])[: len(here["candidates"])]
    assert [one["id"] for one in here["candidates"]] == best
    for one in here["candidates"]:
        assert one["piece"] == tokenizer.id_to_piece(one["id"])
        assert one["before"] == pytest.approx(own[one["id"]], abs=1e-9)
        assert one["after"] == pytest.approx(shares.get(one["id"], 0), abs=1e-9)
    assert here["own"]["before"] == pytest.approx(own[ids[5]], abs=1e-9)
    assert here["lens"][-1]["id"] == best[0]
    assert here["lens"][-1]["probability"] == pytest.approx(own[best[0]], abs=1e-9)
    assert [len(weights) for weights in here["attention"][0]] == [5] * 8
    [last] = generation.seen(model, tokenizer, ids, [len(ids) - 1])
    assert "own" not in last  # nothing was chosen there


def test_the_tale_that_stands_there_is_the_packages(tales):
    model, tokenizer = tales
    figure = inside(tales)
    prompt = tokenizer.encode(TALE, bos=True)
    stops = {tokenizer.bos_id, tokenizer.eos_id}
    [new] = generate(model, [prompt], 200, seed=3, stop_ids=stops)
    assert [token["id"] for token in figure.data["tokens"]] == prompt + new
    assert figure.data["prompt"] == len(prompt)
    at = figure.data["chosen"]
    assert figure.data["tokens"][at]["piece"] == "▁He"
    assert figure.data["seen"][0]["position"] == at - 1
    text = re.sub(r"<[^>]*>", "", figure.still.split("</p>")[0])
    assert text.removeprefix("&lt;s&gt;") == tokenizer.decode(prompt + new).replace('"', "&quot;")


def test_the_line_under_the_tale_names_the_head_and_what_it_saw(tales):
    assert (
        "The model gave “He” 78.3 %; after temperature and top-p it had 100 %. "
        "Layer 6, head 7 looked at “Tom” (99.5 %)" in inside(tales).still
    )


def test_a_token_that_the_tale_has_not_is_said_so(tales):
    with pytest.raises(ValueError, match="the tale has '▁dragon' 0 times"):
        inside(tales, words=[("▁dragon", 0)])


def test_page_of_the_cuts_has_the_numbers_to_compare_and_says_them():
    check_page(cuts())


# A server's rows and blocks

SIZES = [37, 12, 30, 5, 44, 18, 7]


def test_a_batch_that_waits_takes_as_long_as_its_longest_texts():
    turns = serving.schedule(SIZES, 3, refill=False)
    assert [turn.begin for turn in turns] == [0, 0, 0, 37, 37, 37, 81]
    assert [turn.row for turn in turns] == [0, 1, 2, 0, 1, 2, 0]
    assert max(turn.end for turn in turns) == 37 + 44 + 7


def test_a_row_that_is_done_takes_the_next_text_at_once():
    turns = serving.schedule(SIZES, 3, refill=True)
    assert [turn.size for turn in turns] == SIZES
    for row in range(3):
        own = [turn for turn in turns if turn.row == row]
        assert own[0].begin == 0
        assert [turn.begin for turn in own[1:]] == [turn.end for turn in own[:-1]]
    assert [turn.begin for turn in turns] == sorted(turn.begin for turn in turns)


@pytest.mark.parametrize("block", [1, 8, 16, 64])
def test_blocks_are_those_of_the_texts_at_work_and_no_two_share_one(block):
    turns = serving.schedule(SIZES, 3, refill=True)
    reserved = []
    for step in range(max(turn.end for turn in turns)):
        tables = serving._tables(turns, block, step)
        lengths = {i: step - t.begin + 1 for i, t in enumerate(turns) if t.begin <= step < t.end}
        blocks = {text: math.ceil(length / block) for text, length in lengths.items()}
        assert {text: len(table) for text, table in tables.items()} == blocks
        taken = [number for table in tables.values() for number in table]
        assert len(taken) == len(set(taken))
        reserved.append(block * len(taken))
        numbers = serving.page_numbers(turns, block, step)
        assert (numbers["used"], numbers["reserved"]) == (sum(lengths.values()), reserved[-1])
        assert numbers["empty"] == pytest.approx(100 - 100 * numbers["used"] / reserved[-1])
        assert numbers["table"] == tables[numbers["text"] - 1]
    assert numbers["most"] == max(reserved)


def test_a_block_once_taken_stays_until_the_end_of_its_text():
    turns = serving.schedule(SIZES, 3, refill=True)
    before: dict = {}
    for step in range(max(turn.end for turn in turns)):
        tables = serving._tables(turns, 8, step)
        for text in before.keys() & tables.keys():
            assert tables[text][: len(before[text])] == before[text]
        before = tables


def test_page_of_the_blocks_has_the_numbers_to_compare_and_says_them():
    check_page(serving.pages(SIZES, 3, 64, step=20))


# What stands still


def test_drafts_say_every_guess_and_strike_out_what_was_refused():
    passes = [(["a", "b", "c"], 3, "d"), (["e", "f", "g"], 1, "h"), (["i", "j", "k"], 0, "l")]
    axes = generation.drafts(passes).axes[0]
    assert [text.get_text() for text in axes.texts][:-2] == [
        word for guesses, _, own in passes for word in [*guesses, own]
    ]
    assert [line.get_ydata()[0] for line in axes.lines] == [1, 1, 2, 2, 2]
    colors = [box.get_facecolor()[:3] for box in axes.patches if box.get_alpha()]
    assert len(set(colors)) == 3
    kept = colors.count(colors[0])
    own = colors.count(colors[3])
    assert (kept, own, len(colors) - kept - own) == (4, 3, 2)


def test_turns_are_drawn_where_they_are_and_the_rest_is_hatched():
    timelines = {
        name: serving.schedule(SIZES, 3, refill=refill)
        for name, refill in (("wait", False), ("refill", True))
    }
    for axes, (name, turns) in zip(
        generation.turns(timelines).axes, timelines.items(), strict=True
    ):
        assert axes.get_title() == name
        idle = sum(bar.get_width() for bar in axes.patches if bar.get_hatch())
        assert idle + sum(SIZES) == 3 * max(turn.end for turn in turns)
        drawn = [bar for bar in axes.patches if not bar.get_hatch()]
        assert [round(bar.get_x()) for bar in drawn] == [turn.begin + 1 for turn in turns]
        assert [text.get_text() for text in axes.texts] == [str(n) for n in range(1, 8)]


def test_curves_are_the_running_sums_of_the_probabilities():
    axes = generation.sureness(LOGITS, k=20, p=0.9).axes[0]
    for line, (name, logits) in zip(axes.lines, LOGITS.items(), strict=False):
        assert line.get_label() == name
        shares = np.sort(oracles.softmax(logits.numpy()))[::-1].cumsum()
        counts = list(line.get_xdata())
        assert (counts[0], counts[-1]) == (1, 40)
        assert line.get_ydata() == pytest.approx(shares[[n - 1 for n in counts]], abs=5e-3)


def test_habits_have_a_square_for_each_head():
    figure = generation.habits({"one": torch.rand(3, 5), "two": torch.rand(3, 5)})
    for axes, name in zip(figure.axes, ("one", "two"), strict=False):
        assert axes.get_title() == name
        assert len(axes.collections[0].get_array().flatten()) == 15
        assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "2", "3", "4", "5"]


def test_layout_shows_all_that_a_dialog_says():
    parts = [("BOS", "id"), ("[INST] ", "tag"), ("Who has the kite? " * 4, "user"), ("\n", "tag")]
    axes = generation.layout([parts, parts]).axes[0]
    texts = "".join(text.get_text() for text in axes.texts)
    everything = 2 * "".join(text for text, _ in parts).replace("\n", "⏎")
    assert texts.replace(" ", "") == everything.replace(" ", "")
    assert max(box.get_x() + box.get_width() for box in axes.patches) <= 280
    assert {text.get_position()[1] for text in axes.texts} == {0, 1, 3, 4}
    colors = [box.get_facecolor() for box in axes.patches]
    assert len(set(colors)) == 3


def test_candidates_are_the_likeliest_and_the_others():
    axes = generation.candidates(LOGITS["an open place"], PIECES, n=3).axes[0]
    shares = np.sort(oracles.softmax(LOGITS["an open place"].numpy()))[::-1]
    widths = [bar.get_width() for bar in axes.patches]
    assert widths == pytest.approx([*100 * shares[:3], 100 * shares[3:].sum()], rel=5e-3)
    names = [text.get_text() for text in axes.get_yticklabels()]
    assert names == ["t7", "t8", "t9", "37 others"]


def test_costs_are_the_configs_own():
    prefill, step, read = generation.step_costs("llama-2-7b", 10)
    config = PRESETS["llama-2-7b"]
    assert prefill == sum(config.flops_per_token(t) for t in range(1, 11))
    assert step == config.flops_per_token(11)
    assert read == 2 * config.n_params + 11 * config.kv_bytes_per_token("float16")
    assert [row[0] for row in generation.costs(10).rows] == [
        "llama-2-7b",
        "llama-2-13b",
        "llama-2-70b",
    ]


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
