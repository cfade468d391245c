"""transformers' own models for the tests: the oracle of Hugging Face's format, in both directions.

Weights are random and of a size that lets every one of them count.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from llama_tutorial import Transformer, generate

transformers = pytest.importorskip("transformers", minversion="5")
pytest.importorskip("safetensors")

LLAMA = {
    "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 4,
    "intermediate_size": 40, "vocab_size": 37, "max_position_embeddings": 32,
    "rms_norm_eps": 1e-5, "bos_token_id": None, "eos_token_id": None, "initializer_range": 0.4,
}  # fmt: skip
GPT2 = {
    "n_embd": 24, "n_layer": 2, "n_head": 4, "vocab_size": 37, "n_positions": 32,
    "bos_token_id": None, "eos_token_id": None, "initializer_range": 0.4,
    "attn_pdrop": 0.0, "embd_pdrop": 0.0, "resid_pdrop": 0.0,
}  # fmt: skip

LLAMAS = {
    "llama": {},
    "gqa": {"num_key_value_heads": 2},
    "mqa": {"num_key_value_heads": 1},
    "tied": {"tie_word_embeddings": True},
    "theta": {"rope_parameters": {"rope_type": "default", "rope_theta": 500.0}},
    "eps": {"rms_norm_eps": 0.1},
    "biases": {"attention_bias": True, "mlp_bias": True, "num_key_value_heads": 2},
}
GPT2S = {
    "gpt2": {},
    "untied": {"tie_word_embeddings": False},
    "inner": {"n_inner": 40, "layer_norm_epsilon": 0.1},
}


def make_llama(**changes) -> torch.nn.Module:
    return _random(transformers.LlamaForCausalLM(transformers.LlamaConfig(**LLAMA | changes)))


def make_gpt2(**changes) -> torch.nn.Module:
    return _random(transformers.GPT2LMHeadModel(transformers.GPT2Config(**GPT2 | changes)))


def _random(model: torch.nn.Module) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:  # transformers leaves norms at 1 and biases at 0
                noise = torch.randn(parameter.shape, generator=generator) / 2
                parameter.copy_(noise + ("bias" not in name))
    return model.eval()


def tensors_of(model: torch.nn.Module, prefix: str = "") -> dict[str, torch.Tensor]:
    """What a file shall hold: a tied head once, GPT-2's names without ``prefix``."""
    tensors = {name.removeprefix(prefix): tensor for name, tensor in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del tensors["lm_head.weight"]
    return tensors


def same_model(ours: Transformer, theirs: torch.nn.Module) -> None:
    """Logits at every position within 1e-4, and the same greedy ids."""
    T = min(20, ours.config.max_seq_len)
    tokens = torch.randint(ours.config.vocab_size, (2, T), generator=torch.manual_seed(1))
    with torch.no_grad():
        expected = theirs(tokens).logits.to(torch.float32)
        found = ours(tokens)
    assert expected.std() > 0.1
    assert_close(found, expected, rtol=0, atol=1e-4)
    prompt = tokens[:1, :5]
    theirs.generation_config.eos_token_id = None  # these models do not know where to stop
    ids = theirs.generate(
        prompt, max_new_tokens=12, do_sample=False, attention_mask=torch.ones_like(prompt)
    )
    assert generate(ours, prompt.tolist(), 12, temperature=0) == ids[:, 5:].tolist()


def write_index(folder: Path, places: dict[str, str], name: str) -> None:
    contents = {"metadata": {"total_size": 0}, "weight_map": places}
    (folder / f"{name}.index.json").write_text(json.dumps(contents))


def change_config(folder: Path, **changes) -> None:
    """Set fields of config.json; ``...`` takes one away."""
    path = folder / "config.json"
    config = json.loads(path.read_text()) | changes
    path.write_text(json.dumps({name: v for name, v in config.items() if v is not ...}))
