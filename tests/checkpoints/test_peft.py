"""Adapters in peft's form: both sides compute the same from what either has written."""

from __future__ import annotations

import json
import re

import pytest
import torch
from small_models import GPT2, LLAMA, random_model, random_tokens, with_lora
from torch.testing import assert_close

pytest.importorskip("safetensors")
pytest.importorskip("peft")
pytest.importorskip("transformers")

import peft
from transformers import AutoModelForCausalLM

from llama_tutorial import load_model, save_model
from llama_tutorial.checkpoints import load_adapter, save_adapter
from llama_tutorial.checkpoints.peft import parse_config
from llama_tutorial.lora import adapter_state, lora_config

TOKENS = random_tokens(LLAMA, 2, 9)


def _logits(model) -> torch.Tensor:
    model.eval()
    with torch.no_grad():
        out = model(TOKENS)
    return getattr(out, "logits", out)


@pytest.fixture
def base(tmp_path):
    """A base in Hugging Face's form."""
    model = random_model(LLAMA)
    save_model(model, tmp_path / "base", "huggingface")
    return model


@pytest.mark.parametrize("settings", [{}, {"targets": ("wq", "wk"), "rank": 3, "alpha": 5}])
def test_peft_opens_what_we_write(base, tmp_path, settings):
    plain = _logits(base)
    with_lora(base, **settings)
    save_adapter(base, tmp_path / "adapter", base=tmp_path / "base", format="peft")
    names = sorted(file.name for file in (tmp_path / "adapter").iterdir())
    assert names == ["adapter_config.json", "adapter_model.safetensors"]
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    theirs = peft.PeftModel.from_pretrained(theirs, tmp_path / "adapter")
    ours = _logits(base)
    assert (ours - plain).abs().max() > 0.1
    assert_close(_logits(theirs), ours, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"use_rslora": True},
        {"init_lora_weights": "gaussian", "task_type": "CAUSAL_LM"},
        {"init_lora_weights": "orthogonal"},
    ],
    ids=str,
)
def test_we_open_what_peft_writes(base, tmp_path, more):
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    targets = ["q_proj", "k_proj", "down_proj"]
    settings = peft.LoraConfig(r=4, lora_alpha=12, target_modules=targets, lora_dropout=0.1, **more)
    theirs = peft.get_peft_model(theirs, settings)
    for name, parameter in theirs.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    theirs.save_pretrained(tmp_path / "adapter")
    plain = _logits(base)
    load_adapter(base, tmp_path / "adapter")
    wanted = _logits(theirs)
    assert (wanted - plain).abs().max() > 0.1
    assert_close(_logits(base), wanted, rtol=0, atol=1e-4)
    assert set(lora_config(base).targets) == {"wq", "wk", "w2"}
    # As a model: its base, which peft names by a path, with the adapter merged.
    assert_close(_logits(load_model(tmp_path / "adapter")), wanted, rtol=0, atol=1e-4)


def test_there_and_back_is_exact(base, tmp_path):
    with_lora(base)
    save_adapter(base, tmp_path / "adapter", base=tmp_path / "base", format="peft")
    again = load_model(tmp_path / "base")
    load_adapter(again, tmp_path / "adapter")
    state = adapter_state(base)
    assert adapter_state(again).keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in adapter_state(again).items())
    assert lora_config(again) == lora_config(base)
    # The two forms take each other's place.
    save_adapter(base, tmp_path / "adapter", base=tmp_path / "base", format="peft")
    with pytest.raises(ValueError, match=r"would lose adapter_config\.json"):
        save_adapter(base, tmp_path / "adapter", base=tmp_path / "base")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type='IA3'; this package reads plain LoRA, with peft_type='L"),
        ({"use_dora": True}, "'use_dora' is True; this package reads plain LoRA, without it"),
        ({"modules_to_save": ["lm_head"]}, "'modules_to_save' is ['lm_head']"),
        ({"rank_pattern": {"q_proj": 2}}, "'rank_pattern' is"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa'; this package reads plain L"),
        ({"init_lora_weights": "pissa_niter_16"}, "init_lora_weights="),
        ({"init_lora_weights": "olora"}, "init_lora_weights="),
        ({"init_lora_weights": "corda"}, "init_lora_weights="),
        ({"init_lora_weights": "loftq"}, "init_lora_weights="),
        ({"init_lora_weights": "lora_ga"}, "init_lora_weights="),
        ({"init_lora_weights": 1}, "init_lora_weights=1"),
        ({"bias": "all"}, "bias='all'"),
        ({"alora_invocation_tokens": [1, 2]}, "'alora_invocation_tokens' is [1, 2]"),
        ({"use_qalora": True}, "'use_qalora'"),
        ({"use_bdlora": {"nblocks": 2}}, "'use_bdlora'"),
        ({"arrow_config": {"top_k": 2}}, "'arrow_config'"),
        ({"monteclora_config": {"a": 1}}, "'monteclora_config'"),
        ({"velora_config": {"a": 1}}, "'velora_config'"),
        ({"kasa_config": {"a": 1}}, "'kasa_config'"),
        ({"loftq_config": {"loftq_bits": 4}}, "'loftq_config'"),
        ({"layers_pattern": "h"}, "'layers_pattern'"),
        ({"ensure_weight_tying": True}, "'ensure_weight_tying'"),
        ({"of\x1b[2J\ntomorrow": 1}, r"'of\x1b[2J\ntomorrow' is 1"),
        ({"use_rslora": "false"}, "use_rslora='false'"),
        ({"use_rslora": 1}, "use_rslora=1"),
        ({"target_modules": "all-linear"}, "target_modules='all-linear' must be a list of q_proj"),
        ({"target_modules": ["query"]}, "target_modules="),
        ({"target_modules": [["q_proj"]]}, "target_modules="),
        ({"target_modules": ["q_proj"]}, "does not hold the adapter of adapter_config.json"),
        ({"r": 10**30}, "rank=1000"),
        ({"r": None}, "r=None must be a whole number"),
        ({"lora_alpha": "x"}, "lora_alpha='x' must be a number"),
        ({"base_model_name_or_path": 5}, "base_model_name_or_path=5"),
        ({"base_model_name_or_path": "."}, "point in a circle"),
    ],
)
def test_what_would_compute_something_else_is_refused(base, tmp_path, changes, message):
    with_lora(base)
    save_adapter(base, tmp_path / "adapter", base=tmp_path / "base", format="peft")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=re.escape(message)):
        load_model(tmp_path / "adapter")


def test_what_peft_leaves_at_its_defaults_is_harmless(tmp_path):
    """Every field that peft writes, and a field of tomorrow that is switched off."""
    peft.LoraConfig(r=4, target_modules=["q_proj"]).save_pretrained(tmp_path)
    path = tmp_path / "adapter_config.json"
    written = json.loads(path.read_text())
    assert len(written) > 20
    for off in (None, False, "", [], {}):
        _, lora = parse_config(written | {"of_tomorrow": off}, path)
        assert (lora.rank, lora.alpha, lora.targets) == (4, 8, ("wq",))
    old = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "target_modules": ["q_proj"]}
    assert parse_config(old, path) == (None, lora)


def test_what_peft_has_no_place_for(tmp_path):
    model = random_model(GPT2)
    with_lora(model, targets=("w1",))
    with pytest.raises(ValueError, match="a Llama"):
        save_adapter(model, tmp_path / "adapter", format="peft")
