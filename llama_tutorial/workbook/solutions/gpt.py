"""The GPT that we start from: its norm, its attention, its loss, and how it writes.

B texts, T positions, D features, V tokens; h is the width of one head.
"""

import copy
import math

import torch
from torch import nn
from torch.nn import functional as F


def layer_norm(x, weight, bias, eps=1e-5):
    """Give each vector of x mean 0 and variance 1, then scale and shift each feature.

    The variance is the mean of the squared distances from the mean: divided by D, not by D - 1. eps
    is added to it, under the root, so that a vector of equal numbers does not divide by 0.

    Args:
        x: The vectors, float[..., D].
        weight: What each feature is multiplied by at the end, float[D].
        bias: What is then added to it, float[D].
        eps: A small number.

    Returns:
        float[..., D].
    """
    centred = x - x.mean(-1, keepdim=True)
    variance = centred.pow(2).mean(-1, keepdim=True)  # (..., 1)
    return centred / torch.sqrt(variance + eps) * weight + bias


def attention_weights(q, k):
    """Who looks at whom: for each query, its weights over the keys at or before its position.

    A score is the dot product of a query and a key, divided by the square root of the head's width.
    A softmax over the keys turns the scores of a query into weights that sum to 1. Keys after the
    query's own position must have the weight 0, and must not have any influence on the others.

    Args:
        q: Queries, float[..., T, h].
        k: Keys, float[..., T, h].

    Returns:
        float[..., T, T]: a row for each query, a column for each key.
    """
    T, h = q.shape[-2:]
    scores = q @ k.transpose(-2, -1) / math.sqrt(h)  # (..., T, T)
    later = torch.ones(T, T, dtype=torch.bool, device=q.device).triu(1)
    scores = scores.masked_fill(later, -math.inf)
    return scores.softmax(-1)


def next_token_loss(logits, tokens):
    """The cross-entropy of a text: the mean of -ln p over its tokens, in nats.

    p is the probability that the model gave to the token that did come. The logits at position i
    are the model's guess about the token at position i + 1. So nothing is asked about the first
    token, and the last logits have no token to be compared with.

    Args:
        logits: The model's output, float[B, T, V]. They can be as large as some hundreds.
        tokens: The texts that it has read, int[B, T]. Nobody has shifted them.

    Returns:
        float[]: one number, the mean over all B · (T - 1) predictions.
    """
    guesses, targets = logits[:, :-1], tokens[:, 1:]  # (B, T - 1, V), (B, T - 1)
    log_p = guesses.log_softmax(-1)  # (B, T - 1, V)
    return -log_p.gather(-1, targets[..., None]).mean()


def probabilities(logits, temperature=1.0):
    """How likely each token is to be drawn.

    A softmax of the logits, which are first divided by the temperature: below 1 that makes the
    likely tokens likelier, above 1 it makes all of them more alike. Temperature 0 stands for its
    limit: all on the largest logit (the first, if several are the largest).

    Args:
        logits: float[V]. They can be as large as some hundreds.
        temperature: 0 or above.

    Returns:
        float[V]: numbers that sum to 1.
    """
    if temperature == 0:
        return F.one_hot(logits.argmax(-1), logits.shape[-1]).to(logits.dtype)
    return (logits / temperature).softmax(-1)


def generate(model, ids, n_new, choose, stop=None):
    """Write: ask the model, append its answer to the text, and ask again.

    The model takes the whole text each time, and its logits at the last position say what comes
    next. choose makes a token of them: for instance `lambda logits: int(logits.argmax())`.

    Args:
        model: Takes int[1, T], gives float[1, T, V].
        ids: The text so far: a list of token ids. It must stay as it is.
        n_new: How many tokens to write, at most.
        choose: Takes float[V], gives the id of a token.
        stop: When this id is chosen, the text is at its end.

    Returns:
        The list of the new ids: without those of ids, and without the stop id.
    """
    new = []
    while len(new) < n_new:
        logits = model(torch.tensor([ids + new]))[0, -1]  # (V,)
        token = choose(logits)
        if token == stop:
            break
        new.append(token)
    return new


def losses_without(model, loss):
    """What each part is worth: the loss of a model in which that part writes nothing.

    A block has two parts that write to the stream: its attention with wo, its feed-forward layer
    with w2. Silence one of them at a time, with zeros in everything that this layer adds to the
    stream, its bias included; nn.init.zeros_ fills a parameter. All other parts work as before, and
    the given model must stay as it is: copy.deepcopy(model) makes another.

    Args:
        model: A GPT: model.layers holds the blocks, and block.attention.wo and
            block.feed_forward.w2 are Linear layers.
        loss: Takes a model, gives its loss, a float.

    Returns:
        A dict: (number of the block from 0, "attention" or "feed_forward"), and the loss without
        that part.
    """
    without = {}
    for number in range(len(model.layers)):
        for part, name in (("attention", "wo"), ("feed_forward", "w2")):
            silenced = copy.deepcopy(model)
            writer = getattr(getattr(silenced.layers[number], part), name)
            for parameter in writer.parameters():
                nn.init.zeros_(parameter)
            without[number, part] = loss(silenced)
    return without
