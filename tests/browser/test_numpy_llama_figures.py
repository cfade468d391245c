"""The NumPy chapter's live figures in a browser, at more settings than they carry along."""

from __future__ import annotations

import itertools

import pytest

pytest.importorskip("playwright", reason="the browser tests need pytest-playwright")

import numpy as np
from browser.live import SET

from llama_tutorial import PRESETS, ModelConfig
from llama_tutorial.figures.numpy_llama import live
from llama_tutorial.numpy_llama import llama2c
from llama_tutorial.numpy_llama.llama2c import ROPE_TABLES, Header

TIED = ModelConfig(16, 3, 4, 2, hidden_dim=24, vocab_size=300, max_seq_len=256, tie_embeddings=True)
FORMS = {
    "version 0": (TIED, 0),
    "untied": (TIED.replace(tie_embeddings=False), 0),
    "version 1": (TIED.replace(tie_embeddings=False), 1),
    "int8": (TIED, 2),
}


@pytest.fixture(scope="module")
def walk(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    generator = np.random.default_rng(0)
    for name, (config, version) in FORMS.items():
        tensors = {
            key: generator.standard_normal(shape, np.float32)
            for key, shape in Header(0, config).entries()
            if key not in ROPE_TABLES
        }
        llama2c.write(folder / name, config, tensors, version, group_size=8)
    return live.file_walk({name: folder / name for name in FORMS})


def same(shown, expected):
    assert set(shown) == set(expected)
    for name, value in expected.items():
        if isinstance(value, list):
            assert len(shown[name]) == len(value)
            for one, other in zip(shown[name], value, strict=True):
                assert one == (other if isinstance(other, str) else pytest.approx(other)), name
        else:
            assert shown[name] == (value if isinstance(value, str) else pytest.approx(value)), name


@pytest.mark.parametrize("file", FORMS)
def test_every_part_of_every_file(show, walk, file):
    figure = show(walk)
    figure.evaluate(SET, {"file": file})
    for part, layer in itertools.product(range(15), range(3)):
        shown = figure.evaluate(SET, {"part": part, "layer": layer})
        same(shown, live.file_numbers(walk.data[file], part, layer))


def test_slider_ends_where_the_file_ends(show, walk):
    figure = show(walk)
    for file, last in {"version 0": 13, "untied": 14, "version 1": 12, "int8": 11}.items():
        figure.evaluate(SET, {"file": file})
        assert figure.locator("[data-name=part]").get_attribute("max") == str(last)


def test_first_bytes_stand_in_boxes_with_their_numbers(show, walk):
    figure = show(walk)
    shown = figure.evaluate(SET, {"file": "int8", "part": 5, "layer": 2})
    texts = figure.locator(".lt-stage text").all_text_contents()
    assert [text for text in texts if text in shown["hexes"]] == shown["hexes"]
    assert texts.count("int8") == 3
    assert texts.count("scale") == 1
    assert figure.locator(".lt-stage rect[rx='4']").count() == 4


def test_parts_of_the_strip_are_named_in_their_order(show, walk):
    """All that have room for a name."""
    figure = show(walk)
    for file, last in {"version 0": [], "untied": ["out."]}.items():
        figure.evaluate(SET, {"file": file})
        shown = figure.locator(".lt-stage .lt-part").all_text_contents()
        tensors = ["emb.", "wq", "wo", "w1", "w2", "w3"]
        assert [name for name in shown if name in tensors + last] == tensors + last


def test_chosen_part_is_framed_where_it_lies(show, walk):
    figure = show(walk)
    for part in (1, 5, 10):
        shown = figure.evaluate(SET, {"file": "version 0", "part": part, "layer": 1})
        frame = figure.locator(".lt-stage rect[stroke-width='2']")
        left, width = (float(frame.get_attribute(name)) for name in ("x", "width"))
        first, whole = (int(shown[name].replace(",", "")) for name in ("first", "whole"))
        scale = 424 / whole
        assert left == pytest.approx(10 + first * scale, abs=0.01)
        assert width == pytest.approx(max(3, shown["size"] * scale), abs=0.01)


@pytest.fixture(scope="module")
def cost():
    return live.cost(TIED)


def test_every_cost(show, cost):
    figure = show(cost)
    configs = {"tales": TIED, "stories110M": PRESETS["stories110M"]}
    configs["Llama 2 7B"] = PRESETS["llama-2-7b"]
    for model, config in configs.items():
        for tokens, ridge in itertools.product([1, 16, 256, 4096], [1, 8, 256]):
            setting = {"model": model, "tokens": tokens, "ridge": ridge}
            if tokens <= config.max_seq_len:
                shown = figure.evaluate(SET, setting)
                same(shown, live.cost_numbers(config, tokens, ridge))


def test_a_small_context_ends_the_slider(show, cost):
    figure = show(cost)
    figure.evaluate(SET, {"model": "Llama 2 7B", "tokens": 4096})
    shown = figure.evaluate(SET, {"model": "stories15M"})
    same(shown, live.cost_numbers(PRESETS["stories15M"], 256, 8))
    assert figure.locator("[data-name=tokens]").get_attribute("max") == "8"


def test_dots_stand_on_both_lines(show, cost):
    figure = show(cost)
    shown = figure.evaluate(SET, {"model": "stories15M", "tokens": 256, "ridge": 8})
    heights = [float(dot.get_attribute("cy")) for dot in figure.locator(".lt-stage circle").all()]
    tens = (250 - 28) / 4  # the axis covers four powers of ten, from a fifth of one below 1
    floor = 250 - 0.2 * tens
    naive, cached = (np.log10(shown[name]) for name in ("naive_time", "cached_time"))
    assert heights == pytest.approx([floor - tens * naive, floor - tens * cached], abs=0.01)
