"""The fine-tuning chapter's figures: numbers against the package's packing and mask, pictures."""

from __future__ import annotations

import pytest

pytest.importorskip("matplotlib")

import torch
from live_figures import check_page

from llama_tutorial import Tokenizer
from llama_tutorial.chat import dialog_turns
from llama_tutorial.figures import recorded
from llama_tutorial.figures.finetuning import live, plots
from llama_tutorial.finetuning import Example, encode_example
from llama_tutorial.finetuning.packing import PackedExamples
from llama_tutorial.gqa import causal_mask
from llama_tutorial.model import document_positions
from llama_tutorial.tales.dialogs import messages
from llama_tutorial.training import IGNORE

pytestmark = pytest.mark.usefixtures("figure_look")

EOS = 2
PIECES = ["<s>", "▁[", "INST", "]", "▁Hi", "▁", "</s>", "<s>", "▁[", "]", "▁Yes", "</s>"]
IDS = [1, 10, 11, 12, 13, 14, EOS, 1, 10, 12, 15, EOS]
LABELS = [*[IGNORE] * 4, 13, 14, EOS, *[IGNORE] * 3, 15, EOS]
LENGTHS = [5, 9, 3, 12, 7, 4]
CONTEXTS = [12, 16, 20]


def labels_figure():
    return live.labels(PIECES, IDS, LABELS, EOS, 3)


def packing_figure():
    return live.packing(LENGTHS, CONTEXTS, 16)


FIGURES = {"labels": labels_figure, "packing": packing_figure}


DIALOG = messages([("A tale?", "There <was> a fox."), ("Thanks.", "You are welcome.")])


def test_chat_stands_there_before_the_script_and_says_what_it_loads():
    figure = live.chat(DIALOG)
    assert "<b>You</b><p>A tale?</p>" in figure.still
    assert "<b>tales-chat</b><p>There &lt;was&gt; a fox.</p>" in figure.still
    assert figure.data["dialog"] == DIALOG
    assert "finetuning/chat" in figure.to_html()
    assert "MB" in figure.to_html()


def test_chat_shows_the_tags_of_the_dialog_format():
    around = live.AROUND
    shown = "".join(before + "{}" + after for before, after in around.values()).format("Q", "A")
    [(question, answer)] = dialog_turns(messages([("Q", "A")]))
    assert shown == f"<s> {question}{answer}</s>"


def test_recorded_dialog_is_the_real_tokenizers(assets):
    tokenizer, record = Tokenizer(assets / "tokenizer.model"), recorded("dialog_tokens")
    ids, labels = encode_example(record["dialog"], tokenizer)
    assert (record["ids"], record["labels"]) == (ids, labels)
    assert record["pieces"] == [tokenizer.id_to_piece(token) for token in ids]


def test_labels_under_the_three_rules():
    assert live.labels_by("answers", IDS, LABELS, EOS) == LABELS
    assert live.labels_by("everything", IDS, LABELS, EOS) == [IGNORE, *IDS[1:]]
    without = live.labels_by("no EOS", IDS, LABELS, EOS)
    assert without[6] == without[11] == IGNORE
    assert [a for a, b in zip(LABELS, without, strict=True) if a != b] == [EOS, EOS]


def test_labels_say_what_comes_and_whether_it_is_learned():
    figure = labels_figure()
    shown = figure.numbers(rule="answers", place=5)
    assert shown == {"input": "▁", "target": "</s>", "counts": True, "learned": 5, "total": 12}
    assert not figure.numbers(rule="no EOS", place=5)["counts"]
    assert not figure.numbers(rule="answers", place=6)["counts"]  # BOS after EOS
    assert figure.numbers(rule="everything", place=6)["learned"] == 11


@pytest.mark.parametrize("how", live.PACKINGS.values())
@pytest.mark.parametrize("context", CONTEXTS)
def test_packing_sees_what_the_packages_mask_lets_see(how, context):
    marked = [Example([n + 1] * length, [n + 1] * length) for n, length in enumerate(LENGTHS)]
    packed = PackedExamples(marked, len(LENGTHS), context, seed=1, packing=how)
    (batch,) = packed.every_row()
    owners = batch.inputs - 1
    mask = None
    if batch.documents is not None:
        positions = document_positions(batch.documents)
        mask = causal_mask(positions, positions, batch.documents)
    causal = torch.ones(context, context).tril().bool()
    figure = packing_figure()
    for row in range(packed.n_rows):
        seen_by = causal if mask is None else mask[row, 0]
        for query in range(context):
            shown = figure.numbers(how=how, context=context, row=row + 1, query=query)
            seen = owners[row][seen_by[query]]
            assert shown["sees"] == len(seen)
            assert shown["foreign"] == int((seen != owners[row, query]).sum())
            assert shown["rows"] == packed.n_rows
            empty = 1 - packed.n_tokens / owners.numel()
            assert shown["padding"] == pytest.approx(100 * empty)


def test_packing_whole_examples_are_never_cut_and_end_to_end_leaves_one_gap():
    whole = packing_figure().numbers(how="documents", context=12, row=1, query=5)
    assert whole["split"] == whole["foreign"] == 0
    laid = packing_figure().numbers(how="concatenate", context=12, row=1, query=11)
    assert laid["rows"] == 4
    assert laid["padding"] == pytest.approx(100 * 8 / 48)
    assert laid["split"] > 0
    assert laid["foreign"] > 0


def test_packing_stays_within_its_rows():
    beyond = packing_figure().numbers(how="documents", context=12, row=99, query=99)
    assert beyond["number"] == beyond["rows"]
    assert beyond["position"] == 11


def test_packing_refuses_an_example_longer_than_a_row():
    with pytest.raises(ValueError, match="an example of 12 tokens does not fit into rows of 8"):
        live.packing(LENGTHS, [8, 16], 16)


def test_packing_page_has_the_numbers_to_compare_and_says_them():
    check_page(packing_figure(), n_checks=12)
    check_page(labels_figure(), n_checks=6, size=40_000)


def test_accuracy_bars_are_the_shares():
    shares = {"before": {"all": 0.0, "said": 0.0}, "after": {"all": 0.5, "said": 0.25}}
    axes = plots.accuracy(shares).axes[0]
    widths = {bar.get_width() for bar in axes.patches}
    assert widths == {0.0, 50.0, 25.0}
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["all", "said"]


def test_overfitting_draws_both_losses_against_the_epoch():
    axes = plots.overfitting([0.9, 0.5, 0.2], [1.0, 1.1, 1.3]).axes[0]
    assert [line.get_ydata().tolist() for line in axes.lines] == [[1.0, 1.1, 1.3], [0.9, 0.5, 0.2]]
    assert axes.lines[0].get_xdata().tolist() == [1, 2, 3]


def test_best_of_draws_rewards_and_lengths_against_n():
    upper, lower = plots.best_of([1, 2, 4], [0.5, 0.6, 0.65], {"a": [9, 8, 7], "b": [9, 9, 9]}).axes
    assert upper.lines[0].get_ydata().tolist() == [0.5, 0.6, 0.65]
    assert [line.get_ydata().tolist() for line in lower.lines] == [[9, 8, 7], [9, 9, 9]]
    assert [line.get_linestyle() for line in lower.lines] == ["-", "--"]
