"""The attention chapter's live figures in a browser, at more settings than they carry along."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

import torch
from browser.live import SET

from llama_tutorial import ModelConfig, Transformer, figures
from llama_tutorial.figures.gqa import live

LETTERS = "abcdefgh"
PROMPTS = [[1, 2, 3], [4, 5, 6, 7, 0]]
N_NEW = 4


@pytest.fixture(scope="module")
def decode() -> figures.LiveFigure:
    config = ModelConfig(16, 2, 4, 2, hidden_dim=16, vocab_size=8, max_seq_len=16)
    model = Transformer(config).double()
    torch.manual_seed(0)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return live.decode(model, PROMPTS, N_NEW, LETTERS.__getitem__)


def test_every_setting_of_the_decode(show, decode):
    figure = show(decode)
    settings = itertools.product(range(N_NEW + 1), range(2), range(4), [True, False])
    for step, layer, head, keep in settings:
        values = {"step": step, "layer": layer, "head": head, "keep": keep}
        shown = figure.evaluate(SET, values)
        expected = live.decode_numbers(decode.data, **values)
        assert shown == expected, values


def test_frames_stand_around_the_slots_that_are_written(show, decode):
    figure = show(decode)
    for step, keep in itertools.product(range(N_NEW + 1), [True, False]):
        shown = figure.evaluate(SET, {"step": step, "keep": keep})
        frames = figure.locator(".lt-stage rect[stroke-width='3']")
        assert frames.count() == shown["written"]


def test_each_word_stands_over_its_slot(show, decode):
    figure = show(decode)
    for step in range(N_NEW + 1):
        figure.evaluate(SET, {"step": step})
        for row, (prompt, words) in enumerate(zip(PROMPTS, decode.data["words"], strict=True)):
            shown = figure.locator(".lt-stage text[style*='13px']").all_text_contents()
            before = (len(PROMPTS[0]) + step + 1) * row
            length = len(prompt) + step + 1  # with the one that is said next
            assert shown[before : before + length] == words[:length]


def test_padding_is_marked_until_it_is_written_over(show, decode):
    figure = show(decode)
    for step, left in enumerate([2, 1, 0, 0]):
        figure.evaluate(SET, {"step": step})
        assert figure.locator(".lt-stage text", has_text="×").count() == left


@pytest.mark.parametrize("model", live.SIZES.values())
def test_every_number_of_heads(show, model):
    figure = show(live.memory())
    figure.evaluate(SET, {"model": model})
    kv_heads, context, batch = (control.values for control in live.memory().controls[1:])
    for values in itertools.product(kv_heads, context[::3], batch[::3]):
        chosen = dict(zip(("kv_heads", "context", "batch"), values, strict=True))
        shown = figure.evaluate(SET, chosen)
        expected = live.memory_numbers(model, **chosen)
        assert shown == pytest.approx(expected, rel=1e-9), chosen


def test_picture_has_a_dot_for_each_query_head_and_a_bar_for_each_key_head(show):
    figure = show(live.memory())
    for kv_heads in (64, 8, 1):
        figure.evaluate(SET, {"kv_heads": kv_heads})
        assert figure.locator(".lt-stage circle").count() == 64
        assert figure.locator(".lt-stage rect[rx='2']").count() == kv_heads


def test_a_smaller_model_cannot_have_more_key_heads_than_queries(show):
    figure = show(live.memory())
    shown = figure.evaluate(SET, {"kv_heads": 64, "model": "llama-2-7b"})
    assert (shown["heads"], shown["kv"], shown["group"]) == (32, 32, 1)
    assert figure.locator("[data-name=kv_heads]").get_attribute("max") == "5"
