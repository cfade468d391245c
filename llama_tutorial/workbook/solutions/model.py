"""Llama 2, whole: the block, the model, its size, and trained weights.

A config has the fields dim, n_layers, n_heads, n_kv_heads, hidden_dim, vocab_size, max_seq_len,
norm_eps and rope_theta.
"""

import torch
from torch import nn
from torch.nn import functional as F

from .gqa import Attention, Cache
from .rmsnorm import RMSNorm
from .rope import rope_table
from .swiglu import FeedForward


class Block(nn.Module):
    """One layer: attention, then the feed-forward layer."""

    def __init__(self, config):
        super().__init__()
        self.attention = Attention(config)
        self.feed_forward = FeedForward(config)
        self.attention_norm = RMSNorm(config.dim, config.norm_eps)
        self.ffn_norm = RMSNorm(config.dim, config.norm_eps)

    def forward(self, x, cos, sin, cache=None, start=0):
        """Add to the stream what attention finds, then what the feed-forward layer makes of it.

        Each of the two reads the stream as it is then, through its own norm, and adds its result to
        the stream itself. Attention gets cos, sin, cache and start as they are.

        Args:
            x: The stream, float[B, T, D].
            cos: See Attention.
            sin: See Attention.
            cache: See Attention.
            start: See Attention.

        Returns:
            The stream, float[B, T, D].
        """
        h = x + self.attention(self.attention_norm(x), cos, sin, cache, start)
        return h + self.feed_forward(self.ffn_norm(h))


class Llama(nn.Module):
    """The model. Its parameters have the names that they have in Meta's checkpoints."""

    def __init__(self, config):
        super().__init__()
        self.config = config
        self.tok_embeddings = nn.Embedding(config.vocab_size, config.dim)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.norm = RMSNorm(config.dim, config.norm_eps)
        self.output = nn.Linear(config.dim, config.vocab_size, bias=False)
        head_dim = config.dim // config.n_heads
        self.cos, self.sin = rope_table(head_dim, config.max_seq_len, config.rope_theta)

    def new_caches(self, batch_size=1):
        """An empty cache for each layer."""
        return [Cache(self.config, batch_size) for _ in self.layers]

    def forward(self, tokens, caches=None, start=0):
        """The logits of the next token at every position.

        Look the tokens up, send the stream through all layers, norm it once more, and let the
        output matrix make logits of it. Each layer has a cache of its own.

        Args:
            tokens: int[B, T], at the positions start, start + 1, ...
            caches: A list with a Cache for each layer, or None: then start is 0.
            start: The position of the first token.

        Returns:
            float[B, T, V].
        """
        x = self.tok_embeddings(tokens)  # (B, T, D)
        for n, layer in enumerate(self.layers):
            cache = None if caches is None else caches[n]
            x = layer(x, self.cos, self.sin, cache, start)
        return self.output(self.norm(x))  # (B, T, V)


def count_parameters(config):
    """How many numbers are learned in a Llama, from its config alone.

    All matrices, the norms' weights, the embeddings; the output matrix is one of its own, and no
    layer has a bias. RoPE learns nothing.

    Args:
        config: See above. Nothing has to be built: for 70B it must take no longer than for tales.

    Returns:
        An integer: 6738415616 for 7B.
    """
    D, h = config.dim, config.dim // config.n_heads
    attention = 2 * D * D + 2 * D * config.n_kv_heads * h
    feed_forward = 3 * D * config.hidden_dim
    norms = 2 * D
    ends = 2 * config.vocab_size * D
    return ends + config.n_layers * (attention + feed_forward + norms) + D


def load_weights(model, tensors):
    """Put trained weights into a model, all of them or none.

    The names of the tensors must be exactly those of the model's parameters, and each must have its
    shape. Otherwise raise a ValueError, before anything has been changed. A model of which a part
    was left as it was drawn at first runs just as well, and writes nonsense.

    Args:
        model: A Llama; afterwards its parameters hold the numbers of the tensors, in its own dtype.
        tensors: A dict: name of a parameter, such as "layers.0.attention.wq.weight", and tensor.
    """
    parameters = dict(model.named_parameters())
    if missing := sorted(set(parameters) - set(tensors)):
        raise ValueError(f"there is no {missing[0]}, and {len(missing) - 1} more are missing")
    if unknown := sorted(set(tensors) - set(parameters)):
        raise ValueError(f"the model has no {unknown[0]}, nor {len(unknown) - 1} more")
    for name, parameter in parameters.items():
        if parameter.shape != tensors[name].shape:
            shapes = f"{tuple(tensors[name].shape)}, not {tuple(parameter.shape)}"
            raise ValueError(f"{name} has the shape {shapes}")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(tensors[name])


def folded(tensors):
    """Move the weights of all norms into the matrices that read the norms' results.

    An RMSNorm multiplies its result by its weight, feature by feature, and whatever reads that
    result is a matrix. Change these matrices so that all norms can have weights of 1, and the
    logits stay what they are.

    Args:
        tensors: A dict: names of a Llama's parameters, such as "layers.0.attention.wq.weight", and
            tensors. Without an "output.weight" the head is tied: it is the embedding's matrix.

    Returns:
        A dict of the same names and shapes, in which the norms' weights are 1; it always has an
        "output.weight". The tensors that were given stay as they are.
    """
    readers = {
        "attention_norm": ["attention.wq", "attention.wk", "attention.wv"],
        "ffn_norm": ["feed_forward.w1", "feed_forward.w3"],
        "norm": ["output"],
    }
    state = {"output.weight": tensors["tok_embeddings.weight"], **tensors}
    for name, g in tensors.items():
        *place, norm, _ = name.split(".")  # "layers", "0", "ffn_norm", "weight"
        if norm in readers:
            for reader in readers[norm]:
                matrix = ".".join([*place, reader, "weight"])
                state[matrix] = state[matrix] * g  # (out, D) times (D,): column by column
            state[name] = torch.ones_like(g)
    return state


@torch.no_grad()
def loss_in_order(model, tokens, order):
    """The loss of a model whose layers run in another order, or of which some are left out.

    Args:
        model: A Llama, whose layers are in ``model.layers``, an nn.ModuleList. Afterwards it is as
            it was.
        tokens: int[B, T].
        order: The numbers of the layers that run, one after the other, a list of int.

    Returns:
        The mean of -ln p of the next token, over all positions that have one, a float.
    """
    layers = model.layers
    model.layers = nn.ModuleList(layers[n] for n in order)
    logits = model(tokens)  # (B, T, V)
    model.layers = layers
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten()).item()


def bytes_kept(run, weights):
    """The bytes that a forward pass puts away for the backward pass.

    Several of the tensors that are put away may look into one storage, as views do: each storage
    counts once, and with all of its bytes. The storages of the weights do not count.

    Args:
        run: A function without arguments, which makes the forward pass and returns the loss.
        weights: The parameters, an iterable of tensors.

    Returns:
        A number of bytes, an int.
    """
    apart = {weight.untyped_storage().data_ptr() for weight in weights}
    kept = {}

    def put_away(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in apart:
            kept[storage.data_ptr()] = storage
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(put_away, lambda tensor: tensor):
        run()
    return sum(storage.nbytes() for storage in kept.values())
