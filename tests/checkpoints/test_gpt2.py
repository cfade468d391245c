"""GPT-2 in Hugging Face's format: both styles of names, transformers the oracle both ways."""

from __future__ import annotations

import json

import pytest
import torch
from checkpoint_checks import refused
from huggingface_models import (
    GPT2S,
    change_config,
    make_gpt2,
    same_model,
    tensors_of,
    transformers,
)
from safetensors.torch import load_file, save_file
from small_models import GPT2 as OURS
from small_models import NAMED, random_model

from llama_tutorial import PRESETS, load_model, save_model

MASK = torch.ones(1, 1, 32, 32).tril().bool()


@pytest.fixture(scope="module")
def hf():
    return make_gpt2()


@pytest.fixture
def folder(tmp_path, hf):
    hf.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def rewrite(folder, change):
    path = folder / "model.safetensors"
    tensors = {key: tensor.clone() for key, tensor in load_file(path).items()}
    change(tensors)
    save_file(tensors, path)


# From transformers


@pytest.mark.parametrize("name", GPT2S)
def test_what_transformers_writes_is_the_same_model_here(tmp_path, name):
    hf = make_gpt2(**GPT2S[name])
    hf.save_pretrained(tmp_path / "model")
    model = load_model(tmp_path / "model")
    same_model(model, hf)
    assert model.config.tie_embeddings is (name != "untied")
    assert model.config.hidden_dim == (40 if name == "inner" else 96)


def old_buffers():
    """What files of 2019 hold beside the weights."""
    return {
        f"h.{i}.attn.{name}": value
        for i in range(2)
        for name, value in {"bias": MASK.clone(), "masked_bias": torch.tensor(-1e4)}.items()
    }


def test_gpt2_as_it_was_published(tmp_path, hf):
    """Its config word for word but for the sizes; names without prefix; masks among the weights."""
    config = {
        "activation_function": "gelu_new", "architectures": ["GPT2LMHeadModel"], "attn_pdrop": 0.1,
        "bos_token_id": 50256, "embd_pdrop": 0.1, "eos_token_id": 50256,
        "initializer_range": 0.02, "layer_norm_epsilon": 1e-05, "model_type": "gpt2", "n_ctx": 32,
        "n_embd": 24, "n_head": 4, "n_layer": 2, "n_positions": 32, "resid_pdrop": 0.1,
        "summary_activation": None, "summary_first_dropout": 0.1, "summary_proj_to_labels": True,
        "summary_type": "cls_index", "summary_use_proj": True,
        "task_specific_params": {"text-generation": {"do_sample": True, "max_length": 50}},
        "vocab_size": 37,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({**tensors_of(hf, "transformer."), **old_buffers()}, tmp_path / "model.safetensors")
    model = load_model(tmp_path)
    assert model.config == OURS.replace(hidden_dim=96)
    same_model(model, hf)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "as before 1.6"])
@pytest.mark.parametrize("prefix", ["", "transformer."])
def test_a_pickle_with_either_names(folder, hf, prefix, zipped):
    (folder / "model.safetensors").unlink()
    tensors = {**tensors_of(hf, "transformer."), **old_buffers()}
    tensors = {prefix + name: tensor for name, tensor in tensors.items()}
    tensors["lm_head.weight"] = hf.lm_head.weight.detach()  # the embedding's own storage
    options = {"_use_new_zipfile_serialization": zipped}
    torch.save(tensors, folder / "pytorch_model.bin", **options)
    model = load_model(folder)
    assert model.config.tie_embeddings
    same_model(model, hf)


def test_a_headless_class_is_the_same_model(folder, hf):
    change_config(folder, architectures=["GPT2Model"], model_type=...)
    same_model(load_model(folder), hf)


def test_the_sizes_of_gpt2_are_the_presets(tmp_path):
    config = transformers.GPT2Config(n_layer=1)
    with torch.device("meta"):
        model = transformers.GPT2LMHeadModel(config)
    model.to_empty(device="cpu").to(torch.bfloat16).save_pretrained(tmp_path / "model")
    assert load_model(tmp_path / "model").config == PRESETS["gpt2"].replace(n_layers=1)


# To transformers


@pytest.mark.parametrize("name", ["gpt2", "gpt2-odd-sizes", "gpt2-untied"])
def test_what_is_written_here_is_the_same_model_in_transformers(tmp_path, name):
    model = random_model(NAMED[name])
    save_model(model, tmp_path / "model", "huggingface")
    theirs, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", output_loading_info=True
    )
    assert not any(report.values())
    assert type(theirs) is transformers.GPT2LMHeadModel
    same_model(model, theirs.eval())
    again = load_model(tmp_path / "model")
    assert again.config == model.config
    state = again.state_dict()
    assert all(torch.equal(state[key], tensor) for key, tensor in model.state_dict().items())


def test_nothing_is_dropped_when_transformers_trains_it(tmp_path):
    model = random_model(OURS)
    save_model(model, tmp_path / "model", "huggingface")
    same_model(model, transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model").train())


def test_special_tokens_are_gpt2s_where_the_vocabulary_has_them(tmp_path):
    for vocab_size, expected in ((37, None), (50257, 50256)):
        model = random_model(OURS.replace(vocab_size=vocab_size, dim=4, n_heads=1))
        save_model(model, tmp_path / "model", "huggingface")
        config = json.loads((tmp_path / "model/config.json").read_text())
        assert config["bos_token_id"] == config["eos_token_id"] == expected


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"n_kv_heads": 2}, "its gpt2 cannot have n_kv_heads=2"),
        ({"bias": False}, "its gpt2 cannot have bias=False"),
        ({"norm": "rmsnorm"}, "its gpt2 cannot have norm='rmsnorm'"),
    ],
)
def test_what_no_gpt2_can_be(tmp_path, changes, reason):
    with pytest.raises(ValueError, match=r"Hugging Face's format cannot hold this model") as error:
        save_model(random_model(OURS.replace(**changes)), tmp_path / "model", "huggingface")
    assert reason in str(error.value)


# What is refused


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"activation_function": "relu"},
            "asks for activation_function='relu' (must be 'gelu_new'",
        ),
        ({"activation_function": "gelu"}, "asks for activation_function='gelu' (must be"),
        ({"scale_attn_weights": False}, "asks for scale_attn_weights=False (must be True)"),
        (
            {"scale_attn_by_inverse_layer_idx": True},
            "asks for scale_attn_by_inverse_layer_idx=True (must be False)",
        ),
        ({"add_cross_attention": True}, "asks for add_cross_attention=True (must be False)"),
        (
            {"architectures": ["GPT2ForSequenceClassification"]},
            "is of a GPT2ForSequenceClassification; this package reads GPT2LMHeadModel and",
        ),
        ({"n_positions": ...}, "config.json is damaged; missing: n_positions"),
        ({"n_head": 5}, "config.json is damaged: n_heads=5 does not divide dim=24"),
    ],
)
def test_a_config_that_this_package_cannot_compute(folder, changes, reason):
    change_config(folder, **changes)
    assert reason in refused(folder)


def test_sizes_under_their_other_names(folder):
    aliases = {"n_embd": "hidden_size", "n_layer": "num_hidden_layers"}
    aliases |= {"n_head": "num_attention_heads", "n_positions": "max_position_embeddings"}
    config = json.loads((folder / "config.json").read_text())
    for name, alias in aliases.items():
        size = config[name]
        change_config(folder, **{alias: size})
        load_model(folder)
        change_config(folder, **{alias: size // 2})
        text = refused(folder)
        assert f"{name}={size} and {alias}={size // 2} are two names of one size" in text
        change_config(folder, **{alias: size, name: ...})
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    same_model(load_model(folder), theirs)
    change_config(folder, is_causal=False)
    assert "is_causal=False (must be True)" in refused(folder)


def test_both_names_at_once(folder):
    rewrite(folder, lambda t: t.update({"wte.weight": t["transformer.wte.weight"].clone()}))
    text = refused(folder)
    assert f"{folder} holds both " in text
    assert "transformer.wte.weight" in text


def test_a_missing_bias(folder):
    rewrite(folder, lambda tensors: tensors.pop("transformer.h.1.attn.c_attn.bias"))
    assert refused(folder).endswith("config.json; missing: h.1.attn.c_attn.bias")


def test_a_matrix_that_is_not_transposed(folder):
    """Square ones cannot be told; the joint one can."""
    name = "transformer.h.0.attn.c_attn.weight"
    rewrite(folder, lambda tensors: tensors.update({name: tensors[name].T.contiguous()}))
    expected = "wrong shape: h.0.attn.c_attn.weight is (72, 24), must be (24, 72)"
    assert refused(folder).endswith(expected)


def test_a_llamas_weights_under_a_gpt2s_config(folder, tmp_path):
    save_model(random_model(NAMED["llama"]), tmp_path / "llama", "huggingface")
    (tmp_path / "llama/model.safetensors").replace(folder / "model.safetensors")
    text = refused(folder)
    assert "does not hold the model of config.json; missing: wte.weight" in text
    assert "unexpected: lm_head.weight, model.embed_tokens.weight, model.layers.0." in text
