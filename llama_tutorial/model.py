r"""The decoder: GPT-2 and Llama 2, one network under two configurations.

.. math::
    h &= x + \mathrm{Attention}(\mathrm{Norm}(x)) \\
    y &= h + \mathrm{FeedForward}(\mathrm{Norm}(h))

Each block reads the residual stream through a norm and adds to it; a last norm and the output
head turn the stream into logits. Parameters have Meta's names, so that the published
``consolidated.*.pth`` load without renaming.

Source: Touvron et al. (2023), "Llama 2"; Meta's ``model.py``; for the initialisation, Radford et
al. (2019), section 2.3.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from llama_tutorial._util.generation_settings import plain
from llama_tutorial._util.shapes import Float, Int
from llama_tutorial.config import ModelConfig
from llama_tutorial.gpt import GeluFeedForward, LayerNorm, LearnedPositions, TiedOutput
from llama_tutorial.gqa import GroupedQueryAttention, causal_mask
from llama_tutorial.kv_cache import KVCache
from llama_tutorial.rmsnorm import RMSNorm
from llama_tutorial.rope import RotaryPositions, for_features
from llama_tutorial.swiglu import SwiGLU

_WHOLE = (torch.int64, torch.int32)


def make_norm(config: ModelConfig) -> RMSNorm | LayerNorm:
    """The norm that ``config`` asks for."""
    if config.norm == "rmsnorm":
        return RMSNorm(config.dim, config.norm_eps)
    return LayerNorm(config.dim, config.norm_eps, bias=config.bias)


class TransformerBlock(nn.Module):
    """One layer: attention, then feed-forward, each after a norm and added to the stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        feed_forward = SwiGLU if config.feed_forward == "swiglu" else GeluFeedForward
        self.attention = GroupedQueryAttention(
            config.dim, config.n_heads, config.n_kv_heads, bias=config.bias
        )
        self.feed_forward = feed_forward(config.dim, config.hidden_dim, bias=config.bias)
        self.attention_norm = make_norm(config)
        self.ffn_norm = make_norm(config)

    def forward(self, x: Float[Tensor, "B T D"], *shared: Any) -> Float[Tensor, "B T D"]:
        """Add to the residual stream what this layer finds; ``shared`` goes to attention."""
        h = x + self.attention(self.attention_norm(x), *shared)
        return h + self.feed_forward(self.ffn_norm(h))


class Transformer(nn.Module):
    """A decoder-only language model, freshly initialised.

    Args:
        config: Sizes and switches. ``PRESETS["llama-2-7b"]`` is one.

    Attributes:
        config: The same.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.dim)
        if config.positions == "learned":
            self.pos_embeddings = LearnedPositions(config.max_seq_len, config.dim)
        else:
            self.rope = RotaryPositions(config.head_dim, config.max_seq_len, config.rope_theta)
        self.layers = nn.ModuleList(TransformerBlock(config) for _ in range(config.n_layers))
        self.norm = make_norm(config)
        self.output: nn.Module = (
            TiedOutput(self.tok_embeddings)
            if config.tie_embeddings
            else nn.Linear(config.dim, config.vocab_size, bias=False)
        )
        self.reset_parameters()
        self.register_load_state_dict_post_hook(_rebuild_rope)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.norm.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The weights' floating type: the last norm's, which quantizing leaves alone."""
        return self.norm.weight.dtype

    def reset_parameters(self) -> None:
        """Draw all weights again, from torch's generator.

        Matrices are normal with standard deviation 0.02. The two that write to the residual
        stream, ``wo`` and ``w2``, get 0.02 / sqrt(2 · n_layers): the stream sums two additions
        a layer, and its variance must not grow with depth. Biases are 0, norms 1.
        """
        residual_std = 0.02 / math.sqrt(2 * self.config.n_layers)
        for name, parameter in self.named_parameters():
            if "norm" in name:
                nn.init.constant_(parameter, 0.0 if name.endswith("bias") else 1.0)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                writes = name.endswith(("wo.weight", "w2.weight"))
                nn.init.normal_(parameter, std=residual_std if writes else 0.02)

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        cache: KVCache | None = None,
        start: int | Sequence[int] | Int[Tensor, "*B"] | None = None,
        documents: Int[Tensor, "B T"] | None = None,
        logits_at: Int[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B _ V"]:
        """Logits of the next token at every position, float32 (float64 for a float64 model).

        Args:
            tokens: Token ids.
            cache: Keys and values of the positions before ``start``; those of ``tokens`` are
                added and its length moves on.
            start: Position of the first token, for all rows or for each. By default the
                cache's length, 0 without a cache.
            documents: The document that each token of a packed row belongs to. Attention does not
                cross from one to the next, and positions restart in each. Equal numbers side by
                side are one document.
            logits_at: The one token of each row whose logits are wanted, which gives ``(B, 1, V)``:
                after a prompt only the last counts, and the output head is a large matrix.

        Raises:
            ValueError: The tokens do not fit into the context or the cache, ``start`` leaves a
                gap in the cache, a shape, type or device is wrong, the cache is another model's,
                or ``documents`` is given with a cache or with ``start``. On the CPU also: an id is
                outside the vocabulary.
        """
        starts = self._check_call(tokens, cache, start, documents, logits_at)
        (B, T), device = tokens.shape, tokens.device
        positions = torch.tensor(starts, device=device)[:, None] + torch.arange(T, device=device)
        if documents is not None:
            positions = document_positions(documents)  # (B, T); else (B or 1, T)
        n_keys = T if cache is None else max(starts) + T
        lone = T == 1 and len(starts) == 1  # one query, which sees every key
        mask = None
        if documents is not None or (n_keys > T and not lone):
            keys = positions if cache is None else torch.arange(n_keys, device=device)[None]
            mask = causal_mask(positions, keys, documents)  # (B or 1, 1, T, S)

        try:
            x, rotation = self.tok_embeddings(tokens), None  # (B, T, D)
        except IndexError:  # a check of every id would make a GPU wait
            raise ValueError(f"tokens hold ids outside 0 to {self.config.vocab_size - 1}") from None
        if self.config.positions == "learned":
            x = x + self.pos_embeddings(positions)
        else:
            cos, sin = self.rope.cos[positions], self.rope.sin[positions]
            rotation = for_features(cos[:, None], sin[:, None])  # (B or 1, 1, T, h) each
        for layer, block in enumerate(self.layers):
            store = cache and partial(cache.update, layer, positions, n_keys)
            x = block(x, rotation, mask, store)
        if cache is not None:
            cache.length = torch.tensor(starts, device="cpu").expand(B) + T
        if logits_at is not None:
            x = x[torch.arange(B, device=logits_at.device), logits_at][:, None]  # (B, 1, D)
        logits = self.output(self.norm(x))  # (B, T or 1, V)
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def _check_call(
        self, tokens: Any, cache: KVCache | None, start: Any, documents: Any, logits_at: Any
    ) -> list[int]:
        """Where each row starts, once the call is known to make sense; one number if all agree."""
        shape, context = tuple(getattr(tokens, "shape", ())), self.config.max_seq_len
        if len(shape) != 2:
            rule = "must be a tensor of (B, T); one row of ids is torch.tensor([ids])"
            raise ValueError(f"tokens has shape {shape}: {rule}")
        B, T = shape
        inputs = (("tokens", tokens, shape), ("documents", documents, shape))
        for name, x, wanted in (*inputs, ("logits_at", logits_at, shape[:1])):
            if x is not None and (found := tuple(getattr(x, "shape", ()))) != wanted:
                raise ValueError(f"{name} has shape {found}: must be {wanted}")
            if x is not None and x.dtype not in _WHOLE:
                raise ValueError(f"{name} is {x.dtype}: must be torch.int64")
        if tokens.device != self.device:
            where = f"on {tokens.device}, the model is on {self.device}"
            raise ValueError(f"tokens are {where}: tokens.to(model.device)")
        if documents is not None and (cache is not None or start is not None):
            raise ValueError("documents go with neither cache nor start: each restarts at 0")
        if cache is not None and cache.batch_size != B:
            raise ValueError(f"{B} rows of tokens, but the cache has {cache.batch_size}")
        starts = filled = [0] if cache is None else cache.length.tolist()
        if start is not None:
            start = plain(start)
            starts = list(start) if isinstance(start, Sequence) else [start]
            if len(starts) not in {1, B} or any(type(number) is not int for number in starts):
                rule = f"must be a whole number, or {B} of them, one for a row"
                raise ValueError(f"start={start!r}: {rule}")
        first, end = min(starts), max(starts) + T
        if first < 0 or end > context:
            at = f"{T} tokens at position {first if first < 0 else end - T} do not fit into"
            raise ValueError(f"{at} the model's context of {context}; shorten the input")
        if cache is not None and end > cache.max_seq_len:
            need = f"{T} tokens at position {end - T} need {end} slots, max_seq_len is"
            raise ValueError(f"the cache is full: {need} {cache.max_seq_len}; make a longer one")
        if cache is not None and any(s > n for s, n in zip(starts * B, filled, strict=False)):
            after = f"after the cache's length of {filled}"
            raise ValueError(f"start={end - T} leaves empty slots {after}; feed tokens in order")
        if cache is not None:
            layer: Any = self.layers[0]
            found = (len(cache.k), *cache.k[0].shape[1::2], cache.k[0].dtype, cache.k[0].device)
            heads = (layer.attention.n_kv_heads, layer.attention.head_dim)
            if found != (needed := (len(self.layers), *heads, self.dtype, self.device)):
                what = "layers, heads, width, dtype and device"
                raise ValueError(f"the cache is another model's: {what} {found}, not {needed}")
        return [first] if first + T == end else starts


def document_positions(documents: Int[Tensor, "B T"]) -> Int[Tensor, "B T"]:
    """Positions in packed rows: they restart at 0 where another document begins."""
    index = torch.arange(documents.shape[1], device=documents.device).expand_as(documents)  # (B, T)
    begins = F.pad(documents.diff(dim=1) != 0, (1, 0), value=True)
    return index - torch.where(begins, index, 0).cummax(1).values


def _rebuild_rope(model: Transformer, _incompatible: object) -> None:
    # load_state_dict(assign=True) brings weights of another device (a model built on "meta") or
    # another dtype; the tables are not weights, and would stay as they were.
    if model.config.positions == "rope":
        model.rope.rebuild(model.device, model.dtype)
