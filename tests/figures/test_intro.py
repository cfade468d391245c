"""The first page's figure: its numbers against the package and against published models."""

from __future__ import annotations

import itertools

import pytest
import torch

pytest.importorskip("matplotlib")

from live_figures import check_page

from llama_tutorial import PRESETS, Transformer
from llama_tutorial.figures.intro import live
from llama_tutorial.sampling import next_probabilities

NONE, ALL = dict.fromkeys(live.CHANGES, False), dict.fromkeys(live.CHANGES, True)
each_size = pytest.mark.parametrize("size", live.SIZES.values())


def settings():
    for made in itertools.product([False, True], repeat=len(live.CHANGES)):
        yield dict(zip(live.CHANGES, made, strict=True))


def test_ends_of_the_way_are_the_published_models():
    assert live.chosen_config("gpt2", **NONE) == PRESETS["gpt2"]
    assert live.chosen_config("llama-2-70b", **ALL) == PRESETS["llama-2-70b"]
    assert live.chosen_config("llama-2-7b", **ALL | {"groups": False}) == PRESETS["llama-2-7b"]


@each_size
def test_published_models_have_their_name_and_no_other_setting_has(size):
    named = [changes for changes in settings() if live.block_numbers(size, **changes)["name"] in
             live.SIZES]  # fmt: skip
    expected = {"gpt2": NONE, "llama-2-7b": ALL | {"groups": False}, "llama-2-70b": ALL}
    assert named == [expected[size]]


def test_names_between_count_the_changes():
    names = [live.block_numbers("gpt2", **changes)["name"] for changes in settings()]
    assert [names[0], names[1], names[3], names[-1]] == [
        "GPT-2", "1 of 5 changes", "2 of 5 changes", "Llama 2’s design",
    ]  # fmt: skip
    assert live.block_numbers("llama-2-7b", **NONE)["name"] == "GPT-2’s design"


@each_size
def test_each_switch_is_one_change_of_the_configuration(size):
    fields = {
        "norm": {"norm"},
        "positions": {"positions"},
        "feed_forward": {"feed_forward", "hidden_dim"},
        "ends": {"bias", "tie_embeddings"},
        "groups": {"n_kv_heads"},
    }
    for changes, (name, changed) in itertools.product(settings(), fields.items()):
        before = live.chosen_config(size, **changes | {name: False}).to_dict()
        after = live.chosen_config(size, **changes | {name: True}).to_dict()
        assert {field for field in after if after[field] != before[field]} == changed


def test_parameters_are_those_of_a_model_that_is_built():
    for changes in (NONE, ALL, ALL | {"positions": False}, NONE | {"ends": True}):
        config = live.chosen_config("gpt2", **changes)
        small = config.replace(dim=96, n_layers=2, hidden_dim=64, vocab_size=50, max_seq_len=32)
        built = sum(parameter.numel() for parameter in Transformer(small).parameters())
        assert built == small.n_params


def test_numbers_are_in_words_and_units():
    numbers = live.block_numbers("llama-2-70b", **ALL)
    assert numbers["params"] == "68,976,648,192"
    assert numbers["weights"] == "138.0\N{NO-BREAK SPACE}GB"
    assert numbers["cache"] == "320\N{NO-BREAK SPACE}KiB"  # 2 · 80 layers · 8 · 128 · 2 bytes
    assert numbers["cache_before"] == "2,560\N{NO-BREAK SPACE}KiB"
    small = live.block_numbers("gpt2", **NONE)
    assert [small["params"], small["weights"], small["cache"]] == [
        "124,439,808", "249\N{NO-BREAK SPACE}MB", "36\N{NO-BREAK SPACE}KiB",
    ]  # fmt: skip
    assert small["changed"] == "none"


@each_size
def test_the_script_is_given_the_same_numbers_for_every_setting(size):
    given = live.block().data["sizes"][size]
    for changes, (name, *costs) in zip(settings(), given["settings"], strict=True):
        numbers = live.block_numbers(size, **changes)
        assert [name, *costs] == [numbers[k] for k in ("name", "params", "weights", "cache")]


def test_page_has_the_numbers_to_compare_and_says_them():
    check_page(live.block(), n_checks=11)


def test_temperature_says_what_it_does_to_a_draw():
    """Of two tokens, one twice as likely as the other, at every stop of the slider."""
    [slider] = [one for one in live.writer("Once", "").controls if one.name == "temperature"]
    for temperature in slider.values:
        both = next_probabilities(torch.tensor([2.0, 1.0]).log(), temperature)
        often = live.writer_numbers(temperature)["often"]
        assert often == round(100 * (both[1] / both[0]).item())
