"""Small models for the tests: every switch, random weights that leave nothing at its default.

A fresh model has zero biases, unit norms and nearly even attention, which hides mistakes; here
every parameter is drawn at a size that lets it count.
"""

from __future__ import annotations

from itertools import product

import torch

from llama_tutorial import ModelConfig, Transformer
from llama_tutorial.lora import add_lora, lora_layers

LLAMA = ModelConfig(
    dim=24, n_layers=2, n_heads=4, hidden_dim=40, vocab_size=37, max_seq_len=32, norm_eps=1e-5
)
GPT2 = LLAMA.replace(
    norm="layernorm", feed_forward="gelu", positions="learned", bias=True, tie_embeddings=True
)

NAMED = {
    "llama": LLAMA,
    "llama-gqa": LLAMA.replace(n_kv_heads=2),
    "llama-mqa": LLAMA.replace(n_kv_heads=1),
    "llama-tied": LLAMA.replace(tie_embeddings=True),
    "llama-theta": LLAMA.replace(rope_theta=500.0, norm_eps=0.1),
    "llama-odd-sizes": ModelConfig(30, 3, 5, 1, 23, 29, 19),
    "llama-one-head": LLAMA.replace(n_heads=1, n_layers=1),
    "gpt2": GPT2,
    "gpt2-odd-sizes": GPT2.replace(dim=21, n_heads=3, hidden_dim=17, vocab_size=11, norm_eps=0.1),
    "gpt2-untied": GPT2.replace(tie_embeddings=False),
}

# From GPT-2 to Llama 2, one change at a time, as the chapters go.
PATH = {
    "gpt2": GPT2,
    "+rmsnorm": GPT2.replace(norm="rmsnorm"),
    "+rope": GPT2.replace(norm="rmsnorm", positions="rope"),
    "+swiglu": GPT2.replace(norm="rmsnorm", positions="rope", feed_forward="swiglu"),
    "+no bias, untied": LLAMA,
    "+gqa": LLAMA.replace(n_kv_heads=2),
}

# Every mixture of the five switches, with grouped heads so that those are tried as well.
SWITCHES = {
    "-".join(map(str, switches)): LLAMA.replace(
        n_kv_heads=2,
        **dict(
            zip(
                ("norm", "feed_forward", "positions", "bias", "tie_embeddings"),
                switches,
                strict=True,
            )
        ),
    )
    for switches in product(
        ("layernorm", "rmsnorm"), ("gelu", "swiglu"), ("learned", "rope"), (True, False),
        (True, False),
    )
}  # fmt: skip

NAMED_AND_PATH = {**NAMED, **PATH}
EVERY = {**NAMED_AND_PATH, **SWITCHES}


def random_model(
    config: ModelConfig, seed: int = 0, dtype: torch.dtype = torch.float32
) -> Transformer:
    """A model whose weights are of the size that a trained model's have."""
    model = Transformer(config).to(dtype)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.ndim == 2 and "embeddings" not in name:
                noise *= 1.5 / parameter.shape[1] ** 0.5
            if parameter.ndim == 1:
                noise = 0.5 * noise + ("norm" in name and name.endswith("weight"))
            parameter.copy_(noise)
    return model.eval()


def random_tokens(config: ModelConfig, *shape: int, seed: int = 0) -> torch.Tensor:
    """Token ids, ``shape`` of them."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(config.vocab_size, shape, generator=generator)


def float64_weights(model: Transformer) -> dict:
    """The weights as NumPy arrays, for :mod:`oracles`."""
    return {name: p.detach().cpu().double().numpy() for name, p in model.named_parameters()}


def with_lora(model: Transformer, **settings) -> Transformer:
    """The model with adapters that have learned something."""
    add_lora(model, **settings)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for layer in lora_layers(model).values():
            noise = torch.randn(layer.lora_b.shape, generator=generator, dtype=torch.float64)
            layer.lora_b.copy_(0.3 * noise)
    return model
