r"""The decoder: GPT-2 and Llama 2, one network under two configurations.

.. math::
    h &= x + \mathrm{Attention}(\mathrm{Norm}(x)) \\
    y &= h + \mathrm{FeedForward}(\mathrm{Norm}(h))

Each block reads the residual stream through a norm and adds to it; a last norm and the output
head turn the stream into logits. Parameters have Meta's names, so that the published
``consolidated.*.pth`` load without renaming.

Source: Touvron et al. (2023), "Llama 2"; Meta's ``model.py``; for the initialisation, Radford et
al. (2019), section 2.3.

Read next: :mod:`llama_tutorial.generation`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.checkpoint import checkpoint

from llama_tutorial._util.shapes import Bool, Float, Int
from llama_tutorial.config import ModelConfig
from llama_tutorial.gpt import GeluFeedForward, LayerNorm, LearnedPositions
from llama_tutorial.gqa import GroupedQueryAttention, visible
from llama_tutorial.kv_cache import KVCache, LayerCache
from llama_tutorial.linear import Linear, linear
from llama_tutorial.rmsnorm import RMSNorm
from llama_tutorial.rope import RotaryPositions
from llama_tutorial.swiglu import SwiGLU


def make_norm(config: ModelConfig) -> nn.Module:
    """The norm that ``config`` asks for."""
    if config.norm == "rmsnorm":
        return RMSNorm(config.dim, config.norm_eps)
    return LayerNorm(config.dim, config.norm_eps, bias=config.bias)


class TransformerBlock(nn.Module):
    """One layer: attention, then feed-forward, each behind a norm and added to the stream."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        feed_forward = SwiGLU if config.feed_forward == "swiglu" else GeluFeedForward
        self.attention = GroupedQueryAttention(
            config.dim, config.n_heads, config.n_kv_heads, bias=config.bias
        )
        self.feed_forward = feed_forward(config.dim, config.hidden_dim, bias=config.bias)
        self.attention_norm = make_norm(config)
        self.ffn_norm = make_norm(config)

    def forward(
        self,
        x: Float[Tensor, "B T D"],
        rotation: tuple[Tensor, Tensor] | None = None,
        mask: Bool[Tensor, "#B 1 T S"] | None = None,
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "B T D"]:
        """Add to the residual stream what this layer finds; arguments as in attention."""
        h = x + self.attention(self.attention_norm(x), rotation, mask, cache)
        return h + self.feed_forward(self.ffn_norm(h))


class Transformer(nn.Module):
    """A decoder-only language model, freshly initialised.

    Args:
        config: Sizes and switches. ``PRESETS["llama-2-7b"]`` is one.

    Attributes:
        config: The same.
        checkpoint_layers: Gradient checkpointing: in training, keep each layer's input alone and
            compute the rest again in the backward pass. Off by default.
        n_shares: Processes that share the heads of every layer; 1, or what
            :mod:`llama_tutorial.training.tensor_parallel` has made of it.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.checkpoint_layers = False
        self.n_shares = 1
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.dim)
        if config.positions == "learned":
            self.pos_embeddings = LearnedPositions(config.max_seq_len, config.dim)
        else:
            self.rope = RotaryPositions(config.head_dim, config.max_seq_len, config.rope_theta)
        self.layers = nn.ModuleList(TransformerBlock(config) for _ in range(config.n_layers))
        self.norm = make_norm(config)
        if not config.tie_embeddings:
            self.output = Linear(config.dim, config.vocab_size, bias=False)
        self.reset_parameters()
        self.register_load_state_dict_post_hook(_rebuild_rope)

    @property
    def device(self) -> torch.device:
        """Where the weights lie."""
        return self.tok_embeddings.weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The weights' floating type."""
        return self.tok_embeddings.weight.dtype

    def make_cache(self, batch_size: int = 1, max_seq_len: int | None = None) -> KVCache:
        """An empty cache for this model: its dtype, its device, and the heads that it has here."""
        n_kv_heads = self.config.n_kv_heads // self.n_shares
        like = {"dtype": self.dtype, "device": self.device, "n_kv_heads": n_kv_heads}
        return KVCache(self.config, batch_size, max_seq_len, **like)

    def reset_parameters(self) -> None:
        """Draw all weights anew, from torch's generator.

        Matrices are normal with standard deviation 0.02. The two that write to the residual
        stream, ``wo`` and ``w2``, get 0.02 / sqrt(2 · n_layers): the stream sums two additions
        a layer, and its variance shall not grow with depth. Biases are 0, norms 1.
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
        start: int | Int[Tensor, " B"] | None = None,
        documents: Int[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T V"]:
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

        Raises:
            ValueError: The tokens do not fit into the context or the cache, ``start`` leaves a
                gap in the cache, a shape is wrong, or ``documents`` is given with a cache or with
                ``start``.
        """
        return self.logits(self.hidden_states(tokens, cache, start, documents))

    def hidden_states(
        self,
        tokens: Int[Tensor, "B T"],
        cache: KVCache | None = None,
        start: int | Int[Tensor, " B"] | None = None,
        documents: Int[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """The residual stream after the last norm; arguments and errors as in :meth:`forward`.

        Apart from the output head, which is the greater part of the work in a small model with a
        large vocabulary: whoever needs the last position's logits only, takes them from here.
        """
        T = tokens.shape[1]
        start = self._start(tokens, cache, start, documents)
        positions = _positions(start, T, documents, tokens.device)
        caches = [None] * len(self.layers) if cache is None else cache.layers(start, T)
        if cache is None:  # the keys are the queries' own, so only the distance counts
            mask = visible(0, T, T, documents, tokens.device)
        else:
            mask = visible(start, T, caches[0].stop, None, tokens.device)

        x, rotation = self.tok_embeddings(tokens), None  # (B, T, D)
        if self.config.positions == "learned":
            x = x + self.pos_embeddings(positions)
        else:
            rotation = self.rope(positions)
        for layer, layer_cache in zip(self.layers, caches, strict=True):
            if self.checkpoint_layers and cache is None and torch.is_grad_enabled():
                x = checkpoint(layer, x, rotation, mask, use_reentrant=False)
            else:
                x = layer(x, rotation, mask, layer_cache)
        if cache is not None:
            cache.advance(start, T)
        return self.norm(x)

    def logits(self, hidden: Float[Tensor, "*B D"]) -> Float[Tensor, "*B V"]:
        """The output head on :meth:`hidden_states`, widened to float32 at least."""
        tied = self.config.tie_embeddings
        y = linear(hidden, self.tok_embeddings.weight) if tied else self.output(hidden)
        return y.to(torch.promote_types(y.dtype, torch.float32))  # (..., V)

    def _start(self, tokens, cache, start, documents) -> int | Tensor:
        """Where the tokens go: one number if all rows agree, which is the fast case."""
        _check_call(tokens, cache, start, documents)
        T = tokens.shape[1]
        if start is None:
            start = 0 if cache is None else cache.length
        first, last = (start, start) if isinstance(start, int) else map(int, start.aminmax())
        if first < 0 or last + T > self.config.max_seq_len:
            raise ValueError(
                f"{T} tokens at position {last if first >= 0 else first} do not fit into the "
                f"model's context of {self.config.max_seq_len}; shorten the input"
            )
        return first if first == last else start


def _check_call(tokens, cache, start, documents) -> None:
    B, T = tokens.shape
    if documents is not None and (cache is not None or start is not None):
        raise ValueError(
            "documents go with neither cache nor start: positions restart in each document; "
            "decode packed documents one by one"
        )
    if documents is not None and documents.shape != (B, T):
        raise ValueError(
            f"documents has shape {tuple(documents.shape)}: must be {(B, T)}, one for a token"
        )
    if isinstance(start, Tensor) and start.shape != (B,):
        raise ValueError(f"start has shape {tuple(start.shape)}: must be ({B},), one for a row")
    if cache is None:
        return
    if cache.batch_size != B:
        raise ValueError(f"{B} rows of tokens, but the cache has {cache.batch_size}")
    if start is not None and bool((torch.as_tensor(start).cpu() > cache.length).any()):
        raise ValueError(
            f"start={start} leaves empty slots behind the cache's length of "
            f"{cache.length.tolist()}, and queries would look at them; feed tokens in order"
        )


def _positions(
    start: int | Tensor, T: int, documents: Tensor | None, device: torch.device
) -> slice | Int[Tensor, "B T"]:
    """Positions of T tokens: a slice where all rows share them."""
    if documents is None:
        if isinstance(start, int):
            return slice(start, start + T)
        return start.to(device)[:, None] + torch.arange(T, device=device)  # (B, T)
    index = torch.arange(T, device=device).expand_as(documents)  # (B, T)
    begins = F.pad(documents.diff(dim=1) != 0, (1, 0), value=True)
    return index - torch.where(begins, index, 0).cummax(1).values


def _rebuild_rope(model: Transformer, _incompatible: object) -> None:
    # load_state_dict(assign=True) brings weights of another device (a model built on "meta") or
    # another dtype; the tables are no weights, and would stay as they were.
    if model.config.positions == "rope":
        model.rope.rebuild(model.device, model.dtype)
