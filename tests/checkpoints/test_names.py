"""The table of names has a place for every parameter, and each transformation undoes the other."""

from __future__ import annotations

import pytest
import torch
from small_models import GPT2, LLAMA, NAMED, SWITCHES, random_model

from llama_tutorial.checkpoints.names import (
    FAMILIES,
    TABLE,
    Stored,
    from_stored,
    heads,
    stored_as,
    to_stored,
)


def test_every_parameter_of_every_model_has_a_row():
    kinds = {
        name.replace(".0.", ".{}.").replace(".1.", ".{}.")
        for config in SWITCHES.values()
        for name in random_model(config).state_dict()
    }
    assert kinds == set(TABLE)


@pytest.mark.parametrize("column", range(3))
def test_no_name_is_given_twice(column):
    stored = [row[column] for row in TABLE.values() if row[column]]
    places = [(place.name, place.third) for place in stored]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize(
    ("name", "family", "theirs"),
    [
        ("layers.11.attention.wq.weight", "llama", "model.layers.11.self_attn.q_proj.weight"),
        ("layers.0.feed_forward.w2.weight", "llama", "model.layers.0.mlp.down_proj.weight"),
        ("layers.3.feed_forward.w1.weight", "llama", "model.layers.3.mlp.gate_proj.weight"),
        ("layers.3.feed_forward.w3.weight", "llama", "model.layers.3.mlp.up_proj.weight"),
        ("layers.7.ffn_norm.weight", "llama", "model.layers.7.post_attention_layernorm.weight"),
        ("layers.10.attention.wv.bias", "gpt2", "h.10.attn.c_attn.bias"),
        ("layers.2.feed_forward.w1.weight", "gpt2", "h.2.mlp.c_fc.weight"),
        ("pos_embeddings.weight", "gpt2", "wpe.weight"),
        ("output.weight", "llama", "lm_head.weight"),
        ("layers.11.attention.wq.weight", "gguf", "blk.11.attn_q.weight"),
        ("layers.2.feed_forward.w1.weight", "gguf", "blk.2.ffn_gate.weight"),
        ("layers.2.feed_forward.w2.bias", "gguf", "blk.2.ffn_down.bias"),
        ("norm.weight", "gguf", "output_norm.weight"),
    ],
)
def test_a_name_with_its_layer(name, family, theirs):
    assert stored_as(name, family).name == theirs


def test_ggufs_names_are_those_of_the_gguf_package():
    gguf = pytest.importorskip("gguf")
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, 1)
    for ours, (llama, _, there) in TABLE.items():
        if there is not None:
            theirs = names.get_name(llama.name.format(0), try_suffixes=(".weight", ".bias"))
            assert there.name.format(0) == theirs, ours
            assert there == Stored(there.name), ours  # laid out as here


@pytest.mark.parametrize(
    ("name", "family"),
    [
        ("pos_embeddings.weight", "llama"),
        ("layers.0.feed_forward.w3.weight", "gpt2"),
        ("x", "gpt2"),
    ],
)
def test_a_name_that_a_family_has_not(name, family):
    with pytest.raises(ValueError, match=f"{name}: Hugging Face's '{family}' models have no such"):
        stored_as(name, family)


@pytest.mark.parametrize("name", ["llama", "llama-gqa", "llama-one-head", "gpt2", "gpt2-untied"])
def test_there_and_back_is_the_same(name):
    config = NAMED[name]
    family = FAMILIES[name.startswith("gpt2")]
    state = random_model(config).state_dict()
    theirs = dict(to_stored(state, family, config))
    for key, tensor in state.items():
        stored = stored_as(key, family)
        again = from_stored(theirs[stored.name], stored, heads(key, config))
        assert again.is_contiguous()
        assert torch.equal(again, tensor), key


def test_what_needs_no_change_is_not_copied():
    state = random_model(LLAMA).state_dict()
    theirs = dict(to_stored(state, "llama", LLAMA))
    for key, tensor in state.items():
        stored = stored_as(key, "llama")
        moved = theirs[stored.name]
        assert (moved.data_ptr() == tensor.data_ptr()) is not stored.half_split
        assert (from_stored(moved, stored, 4) is moved) is not stored.half_split


def test_queries_keys_and_values_stand_side_by_side():
    layer = "layers.1.attention."
    state = random_model(GPT2).state_dict()
    joined = dict(to_stored(state, "gpt2", GPT2))["h.1.attn.c_attn.weight"]
    assert joined.shape == (24, 72)
    for i, name in enumerate(("wq", "wk", "wv")):
        assert torch.equal(joined[:, 24 * i : 24 * (i + 1)].T, state[f"{layer}{name}.weight"])
    # in whatever order they come
    backwards = dict(to_stored(dict(reversed(state.items())), "gpt2", GPT2))
    assert torch.equal(backwards["h.1.attn.c_attn.weight"], joined)


def test_the_shapes_can_be_had_without_the_numbers():
    state = {key: tensor.to("meta") for key, tensor in random_model(GPT2).state_dict().items()}
    assert dict(to_stored(state, "gpt2", GPT2))["h.0.mlp.c_fc.weight"].shape == (24, 40)
