"""The checkpoints chapter's live figures in a browser, at many more settings than they carry."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

import torch
from browser.live import SET

from llama_tutorial import PRESETS, Transformer, figures
from llama_tutorial.figures.checkpoints import live

IDS = [1, 7, 3, 30, 12, 7]


class Pieces:
    """A tokenizer of forty words."""

    def id_to_piece(self, i):
        return f"▁w{i}"


@pytest.fixture(scope="module")
def shards():
    torch.manual_seed(5)
    sizes = {"dim": 32, "n_layers": 1, "n_heads": 4, "hidden_dim": 40, "vocab_size": 40}
    model = Transformer(PRESETS["llama-2-7b"].replace(**sizes, max_seq_len=32)).double()
    return live.shards(model, torch.tensor([IDS]))


@pytest.fixture(scope="module")
def tokens():
    torch.manual_seed(1)
    right = torch.randn(6, 40, dtype=torch.float64)
    late = right.clone()
    late[3:] += 1 + torch.rand(3, 40, dtype=torch.float64)
    return live.how_many_tokens(right, {"late": late, "doubled": 2 * right}, IDS, Pieces())


@pytest.mark.parametrize("kind", live.KINDS)
def test_every_way_to_join_a_matrix(show, shards, kind):
    figure = show(shards)
    figure.evaluate(SET, {"kind": kind})
    ways = itertools.product(live.COUNTS, live.AXES.values(), (False, True))
    for count, axis, backwards in ways:
        given = {"count": count, "axis": axis, "backwards": backwards}
        shown = figure.evaluate(SET, given)
        assert shown == figures.rounded(shards.numbers(kind=kind, **given)), given
        assert figure.locator(".lt-stage rect.lt-in").count() == 64 + shown["in_place"]
        assert figure.locator(".lt-stage rect.lt-out").count() == 64 - shown["in_place"]


def test_cells_stand_where_the_packages_own_joining_puts_them(show, shards):
    figure = show(shards)
    cells = torch.arange(64.0).view(8, 8)
    for kind, cut in (("wo", 1), ("w1", 0)):
        for count, axis, backwards in itertools.product((2, 4, 8), (0, 1), (False, True)):
            given = {"kind": kind, "count": count, "axis": axis, "backwards": backwards}
            figure.evaluate(SET, given)
            drawn = figure.locator(".lt-stage text").all_text_contents()
            names = [text for text in drawn if len(text) == 2 and text.isdigit()]
            wanted = live.joined(cells, count, cut, axis, backwards).flatten().int().tolist()
            assert names[64:] == [f"{cell // 8}{cell % 8}" for cell in wanted], given


def test_every_length_of_a_test(show, tokens):
    figure = show(tokens)
    for mistake in ("late", "doubled"):
        figure.evaluate(SET, {"mistake": mistake})
        for length in range(1, 7):
            shown = figure.evaluate(SET, {"tokens": length})
            assert shown == figures.rounded(tokens.numbers(mistake, length))
            assert figure.locator(".lt-stage circle.lt-seen").count() == length
            assert figure.locator(".lt-stage circle").count() == 6


def test_verdict_turns_where_the_difference_begins(show, tokens):
    figure = show(tokens)
    verdicts = [figure.evaluate(SET, {"tokens": n})["verdict"] for n in range(1, 7)]
    assert verdicts == ["it passes"] * 3 + ["it fails"] * 3
