"""Recorded results are there, are whole, and say where they come from."""

from __future__ import annotations

import itertools
import statistics

import pytest

from llama_tutorial import ModelConfig
from llama_tutorial.figures import recorded

SWAPS = {
    "RMSNorm": {"norm"},
    "RoPE": {"positions"},
    "SwiGLU": {"feed_forward"},
    "no biases, untied": {"bias", "tie_embeddings"},
    "GQA": {"n_kv_heads"},
}


@pytest.mark.parametrize(
    "name",
    [
        "swaps",
        "shakespeare",
        "checkpoint_memory_7b",
        "preferences",
        "preference_pairs",
        "told_preferences",
        "ghost_attention",
    ],
)
def test_results_say_how_and_when_they_were_made(name):
    results = recorded(name)
    assert results["command"].startswith("python benchmarks/")
    assert all(results[key] for key in ("machine", "torch", "date"))


def test_unknown_name_lists_what_there_is():
    with pytest.raises(FileNotFoundError, match=r"no recorded results 'swap'; there are .*swaps"):
        recorded("swap")


def test_each_model_of_the_chain_is_one_swap_from_the_last_and_no_larger():
    chain = recorded("swaps")["chain"]
    assert [entry["name"] for entry in chain] == ["GPT", *SWAPS]
    for before, after in itertools.pairwise(chain):
        changed = {key for key, value in after["model"].items() if value != before["model"][key]}
        assert changed - {"hidden_dim"} == SWAPS[after["name"]]
    sizes = [ModelConfig.from_dict(entry["model"]).n_params for entry in chain]
    assert sizes == [entry["parameters"] for entry in chain]
    assert max(sizes) < 1.02 * min(sizes)


@pytest.mark.parametrize(("name", "part"), [("swaps", "chain"), ("shakespeare", "models")])
def test_means_and_spreads_are_those_of_the_runs(name, part):
    for entry in recorded(name)[part]:
        losses = entry["validation_loss"]
        assert len(losses) == len(entry["seeds"]) == len(set(entry["seeds"]))
        assert entry["mean"] == pytest.approx(statistics.mean(losses), abs=1e-4)
        if len(losses) > 1:
            assert entry["spread"] == pytest.approx(statistics.stdev(losses), abs=1e-4)
