"""The table of names: one set of weights as Meta, Hugging Face, GPT-2 and llama.cpp call it.

Inside this package every parameter has Meta's name. The others differ from it in two ways, and both
stand here and nowhere else: in what a tensor is called, and in how it is laid out.

- **half-split**: Hugging Face's Llama rotates the features j and j + h/2 of a head together where
  Meta's rotates 2j and 2j + 1, so the rows of ``wq`` and ``wk`` stand in another order; see
  :mod:`llama_tutorial.rope`. Forgotten, the first position is still right, for RoPE does not rotate
  it, and every later one is wrong. GGUF has Meta's order: llama.cpp's converter undoes Hugging
  Face's (``LlamaModel.permute``).
- **transposed**: GPT-2 keeps a matrix as (in, out), for a layer called Conv1D; a linear layer has
  it as (out, in).
- **one third**: GPT-2 keeps queries, keys and values side by side in one matrix, ``c_attn``.

The table itself needs no torch, nor does reading a GGUF file into the NumPy engine.

Source: ``convert_llama_weights_to_hf.py``, ``modeling_llama.py`` and ``modeling_gpt2.py`` of
transformers; ``convert_hf_to_gguf.py`` and ``llama-arch.cpp`` of llama.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from llama_tutorial.config import ModelConfig

if TYPE_CHECKING:
    import torch


class Stored(NamedTuple):
    """How another format keeps a tensor.

    Attributes:
        name: What it is called there; ``{}`` stands for the layer's number.
        half_split: Whether the rows of each head stand in Hugging Face's order.
        transposed: Whether a matrix is (in, out).
        third: Which part of a tensor of three it is, 0 to 2 along the last axis; None if all.
    """

    name: str
    half_split: bool = False
    transposed: bool = False
    third: int | None = None


def _same(name: str) -> Stored:
    return Stored(name)


def _half_split(name: str) -> Stored:
    return Stored(name, half_split=True)


def _transposed(name: str) -> Stored:
    return Stored(name, transposed=True)


def _third(part: int, name: str) -> Stored:
    return Stored(name, transposed=True, third=part)


# fmt: off
_ATTENTION, _MLP = "model.layers.{}.self_attn.", "model.layers.{}.mlp."
# This package and Meta: (Hugging Face's Llama, GPT-2, GGUF's Llama). The second half, biases and
# learned positions, Meta does not have.
TABLE: dict[str, tuple[Stored | None, Stored | None, Stored | None]] = {
    "tok_embeddings.weight":
        (_same("model.embed_tokens.weight"), _same("wte.weight"), _same("token_embd.weight")),
    "layers.{}.attention.wq.weight":
        (_half_split(_ATTENTION + "q_proj.weight"), _third(0, "h.{}.attn.c_attn.weight"),
         _same("blk.{}.attn_q.weight")),
    "layers.{}.attention.wk.weight":
        (_half_split(_ATTENTION + "k_proj.weight"), _third(1, "h.{}.attn.c_attn.weight"),
         _same("blk.{}.attn_k.weight")),
    "layers.{}.attention.wv.weight":
        (_same(_ATTENTION + "v_proj.weight"), _third(2, "h.{}.attn.c_attn.weight"),
         _same("blk.{}.attn_v.weight")),
    "layers.{}.attention.wo.weight":
        (_same(_ATTENTION + "o_proj.weight"), _transposed("h.{}.attn.c_proj.weight"),
         _same("blk.{}.attn_output.weight")),
    "layers.{}.feed_forward.w1.weight":
        (_same(_MLP + "gate_proj.weight"), _transposed("h.{}.mlp.c_fc.weight"),
         _same("blk.{}.ffn_gate.weight")),
    "layers.{}.feed_forward.w2.weight":
        (_same(_MLP + "down_proj.weight"), _transposed("h.{}.mlp.c_proj.weight"),
         _same("blk.{}.ffn_down.weight")),
    "layers.{}.feed_forward.w3.weight":
        (_same(_MLP + "up_proj.weight"), None, _same("blk.{}.ffn_up.weight")),
    "layers.{}.attention_norm.weight":
        (_same("model.layers.{}.input_layernorm.weight"), _same("h.{}.ln_1.weight"),
         _same("blk.{}.attn_norm.weight")),
    "layers.{}.ffn_norm.weight":
        (_same("model.layers.{}.post_attention_layernorm.weight"), _same("h.{}.ln_2.weight"),
         _same("blk.{}.ffn_norm.weight")),
    "norm.weight":
        (_same("model.norm.weight"), _same("ln_f.weight"), _same("output_norm.weight")),
    "output.weight":
        (_same("lm_head.weight"), _same("lm_head.weight"), _same("output.weight")),

    "pos_embeddings.weight":
        (None, _same("wpe.weight"), None),
    "layers.{}.attention.wq.bias":
        (_half_split(_ATTENTION + "q_proj.bias"), _third(0, "h.{}.attn.c_attn.bias"),
         _same("blk.{}.attn_q.bias")),
    "layers.{}.attention.wk.bias":
        (_half_split(_ATTENTION + "k_proj.bias"), _third(1, "h.{}.attn.c_attn.bias"),
         _same("blk.{}.attn_k.bias")),
    "layers.{}.attention.wv.bias":
        (_same(_ATTENTION + "v_proj.bias"), _third(2, "h.{}.attn.c_attn.bias"),
         _same("blk.{}.attn_v.bias")),
    "layers.{}.attention.wo.bias":
        (_same(_ATTENTION + "o_proj.bias"), _same("h.{}.attn.c_proj.bias"),
         _same("blk.{}.attn_output.bias")),
    "layers.{}.feed_forward.w1.bias":
        (_same(_MLP + "gate_proj.bias"), _same("h.{}.mlp.c_fc.bias"),
         _same("blk.{}.ffn_gate.bias")),
    "layers.{}.feed_forward.w2.bias":
        (_same(_MLP + "down_proj.bias"), _same("h.{}.mlp.c_proj.bias"),
         _same("blk.{}.ffn_down.bias")),
    "layers.{}.feed_forward.w3.bias":
        (_same(_MLP + "up_proj.bias"), None, _same("blk.{}.ffn_up.bias")),
    "layers.{}.attention_norm.bias":
        (None, _same("h.{}.ln_1.bias"), None),
    "layers.{}.ffn_norm.bias":
        (None, _same("h.{}.ln_2.bias"), None),
    "norm.bias":
        (None, _same("ln_f.bias"), None),
}
# fmt: on
FAMILIES = ("llama", "gpt2", "gguf")
_WHOSE = {
    "llama": "Hugging Face's 'llama' models have",
    "gpt2": "Hugging Face's 'gpt2' models have",
    "gguf": "a Llama's GGUF file has",
}
_LAYER = re.compile(r"(?<=^layers\.)\d+")


def stored_as(name: str, family: str) -> Stored:
    """How ``family`` keeps this parameter, for instance ``layers.3.attention.wq.weight``.

    Args:
        name: A parameter's name in this package.
        family: ``"llama"`` or ``"gpt2"`` (Hugging Face's), or ``"gguf"``.

    Raises:
        ValueError: That family has no such parameter.
    """
    layer = _LAYER.search(name)
    row = TABLE.get(_LAYER.sub("{}", name), (None,) * 3)
    stored = row[FAMILIES.index(family)]
    if stored is None:
        raise ValueError(f"{name}: {_WHOSE[family]} no such weights")
    return stored._replace(name=stored.name.format(layer and layer[0]))


def from_stored(tensor: torch.Tensor, stored: Stored, n_heads: int) -> torch.Tensor:
    """A tensor of another format as this package has it.

    Args:
        tensor: As it is stored.
        stored: How that is.
        n_heads: Heads in it, where its rows are half-split: ``n_kv_heads`` for ``wk``.

    Returns:
        ``tensor`` itself where nothing has to change, else a contiguous copy.
    """
    if stored.third is not None:
        tensor = tensor.chunk(3, -1)[stored.third]
    if stored.transposed and tensor.ndim == 2:
        tensor = tensor.T
    if stored.half_split:
        from llama_tutorial.rope import to_interleaved

        tensor = to_interleaved(tensor, n_heads)
    return tensor.contiguous()


def to_stored(
    state: Mapping[str, torch.Tensor], family: str, config: ModelConfig
) -> Iterator[tuple[str, torch.Tensor]]:
    """Tensors under the names of this package as ``family`` keeps them, made one at a time.

    Raises:
        ValueError: ``family`` has no place for one of them.
    """
    import torch

    from llama_tutorial.rope import to_half_split

    thirds: dict[str, dict[int, torch.Tensor]] = {}
    for name, tensor in state.items():
        stored = stored_as(name, family)
        if stored.half_split:
            tensor = to_half_split(tensor, heads(name, config))
        if stored.transposed and tensor.ndim == 2:
            tensor = tensor.T
        if stored.third is None:
            yield stored.name, tensor.contiguous()
            continue
        parts = thirds.setdefault(stored.name, {})
        parts[stored.third] = tensor
        if len(parts) == 3:
            yield stored.name, torch.cat([parts[i] for i in range(3)], -1)
            del thirds[stored.name]


def heads(name: str, config: ModelConfig) -> int:
    """How many heads the rows of a query or key matrix hold."""
    return config.n_kv_heads if ".wk." in name else config.n_heads
