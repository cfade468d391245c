"""Somebody else's weights under Meta's names, in Meta's order, and whole."""

import json
import struct

import torch


def read_safetensors(path):
    """Read the tensors of a safetensors file.

    The file begins with eight bytes, an unsigned little-endian integer: the length of a list in
    JSON, which comes next. The list maps each tensor's name to an entry such as
    ``{"dtype": "F32", "shape": [4, 2], "data_offsets": [0, 32]}``, where the offsets are counted
    from the end of the list. It may hold one entry more, ``"__metadata__"``, which is no tensor.

    Args:
        path: The file, a pathlib.Path.

    Returns:
        A dict from each name to its tensor. F32 is float32, F16 float16; BF16, bfloat16, is the
        upper half of a float32. All numbers are little-endian, and the last axis varies fastest.
    """
    dtypes = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    entries = json.loads(data[8 : 8 + length])
    entries.pop("__metadata__", None)
    tensors = {}
    for name, entry in entries.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        numbers = torch.frombuffer(bytearray(data[begin:end]), dtype=dtypes[entry["dtype"]])
        tensors[name] = numbers.reshape(entry["shape"])
    return tensors


def neighbours_again(weight, n_heads):
    """Reorder the rows of wq or wk from Hugging Face's layout to Meta's.

    In Hugging Face's files the two features that are rotated together are half a head apart: rows j
    and j + h/2 of a head. In Meta's they are neighbours: rows 2j and 2j + 1.

    Args:
        weight: float[n_heads * h, D], the rows of head 0 first.
        n_heads: How many heads there are in it.

    Returns:
        float[n_heads * h, D]: the same rows in Meta's order.
    """
    halves = weight.unflatten(0, (n_heads, 2, -1))  # (heads, 2, h / 2, D)
    return halves.transpose(1, 2).flatten(0, 2)  # (heads * h, D)


def from_huggingface(stored, n_heads, n_kv_heads):
    """Give the tensors of a Hugging Face Llama Meta's names and Meta's order of rows.

    Theirs are called ``model.embed_tokens.weight``, ``model.norm.weight``, ``lm_head.weight`` and,
    for layer 3, ``model.layers.3.self_attn.q_proj.weight`` (and k_proj, v_proj, o_proj),
    ``model.layers.3.mlp.gate_proj.weight`` (and up_proj, down_proj),
    ``model.layers.3.input_layernorm.weight`` (before attention) and
    ``model.layers.3.post_attention_layernorm.weight`` (after it, before the feed-forward layer).

    Args:
        stored: A dict from their names to tensors. Without ``lm_head.weight`` the head is tied: it
            is the embedding.
        n_heads: Query heads.
        n_kv_heads: Key and value heads.

    Returns:
        A dict from Meta's names to tensors: ``tok_embeddings.weight``, ``norm.weight``,
        ``output.weight`` and, for layer 3, ``layers.3.attention.wq.weight`` (and wk, wv, wo),
        ``layers.3.feed_forward.w1.weight`` (the gate; w2 leads down, w3 up),
        ``layers.3.attention_norm.weight`` and ``layers.3.ffn_norm.weight``. In any order.
    """
    names = {
        "embed_tokens": "tok_embeddings",
        "norm": "norm",
        "self_attn.q_proj": "attention.wq",
        "self_attn.k_proj": "attention.wk",
        "self_attn.v_proj": "attention.wv",
        "self_attn.o_proj": "attention.wo",
        "mlp.gate_proj": "feed_forward.w1",
        "mlp.down_proj": "feed_forward.w2",
        "mlp.up_proj": "feed_forward.w3",
        "input_layernorm": "attention_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    heads = {"self_attn.q_proj": n_heads, "self_attn.k_proj": n_kv_heads}
    state = {"output.weight": stored.get("lm_head.weight", stored["model.embed_tokens.weight"])}
    for name, weight in stored.items():
        if name == "lm_head.weight":
            continue
        part = name.removeprefix("model.").removesuffix(".weight")
        layer = ""
        if part.startswith("layers."):
            _, number, part = part.split(".", 2)
            layer = f"layers.{number}."
        if part in heads:
            weight = neighbours_again(weight, heads[part])
        state[f"{layer}{names[part]}.weight"] = weight
    return state


def merged(name, pieces):
    """Join what the shards of one of Meta's checkpoints hold of a tensor.

    Matrices that come first in a pair (wq, wk, wv; w1, w3) and the output head are cut by rows:
    each GPU computes some of the outputs. Those that come second (wo; w2) are cut by columns: each
    GPU has some of the inputs. Llama 2's embedding (tok_embeddings) is cut by columns, too. Norms
    are not cut: every shard holds all of them.

    Args:
        name: Meta's name, such as ``layers.3.attention.wo.weight``.
        pieces: A list with a tensor of each shard, in order.

    Returns:
        The whole tensor.
    """
    part = name.split(".")[-2]
    if part.endswith("norm"):
        return pieces[0]
    by_columns = part in ("tok_embeddings", "wo", "w2")
    return torch.cat(pieces, dim=1 if by_columns else 0)


def from_gpt2(stored, table):
    """Give the tensors of a Hugging Face GPT-2 our names, one tensor for each, as (out, in).

    There, a matrix may be stored as (in, out). And queries, keys and values share one tensor, side
    by side along its last axis: a matrix, (in, 3 · out), or a bias, (3 · out,).

    Args:
        stored: A dict from their names, which begin with ``transformer.``, to tensors.
        table: A dict from our names to how each is stored, with three attributes: ``name`` is
            theirs, without ``transformer.``; ``third`` says which part of it is ours, 0, 1 or 2, or
            is None if all of it is; ``transposed``, a bool, says whether a matrix is (in, out)
            there; for a bias it means nothing.

    Returns:
        A dict from our names to tensors.
    """
    state = {}
    for name, there in table.items():
        weight = stored[f"transformer.{there.name}"]
        if there.third is not None:
            weight = weight.chunk(3, dim=-1)[there.third]
        state[name] = weight.T if there.transposed and weight.ndim == 2 else weight
    return state


def loss_by_config(make, configs, tensors, loss):
    """Try the same weights with several configs: what strict loading does not notice, the loss may.

    Args:
        make: ``make(config)`` is a new model, an nn.Module.
        configs: A dict from labels to configs.
        tensors: The weights, a state dict.
        loss: ``loss(model)`` is a float.

    Returns:
        A dict from each label to the loss of a model of that config with these weights, or None
        where strict loading refuses them.
    """
    found = {}
    for label, config in configs.items():
        model = make(config)
        try:
            model.load_state_dict(tensors, strict=True)
        except RuntimeError:
            found[label] = None
        else:
            found[label] = loss(model)
    return found


def loss_by_layout(tensors, n_heads, n_kv_heads, loss):
    """In whose order are the rows of wq and wk? A trained model knows: try both.

    Args:
        tensors: A dict of Meta's names and tensors. The rows of wq and wk, in all layers alike, may
            be in Meta's order or in Hugging Face's.
        n_heads: Query heads.
        n_kv_heads: Key and value heads.
        loss: ``loss(tensors)`` is a float: what a model with Meta's order has with these weights.

    Returns:
        A dict of two losses. "interleaved": of the tensors as they are, which is the lower if their
        rows were in Meta's order. "half-split": with the rows brought from Hugging Face's order to
        Meta's.
    """
    moved = dict(tensors)
    for name, weight in tensors.items():
        if name.endswith("wq.weight"):
            moved[name] = neighbours_again(weight, n_heads)
        elif name.endswith("wk.weight"):
            moved[name] = neighbours_again(weight, n_kv_heads)
    return {"interleaved": loss(tensors), "half-split": loss(moved)}
