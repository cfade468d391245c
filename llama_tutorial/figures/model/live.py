"""The live figures of the model chapter: a walk through the forward pass, and the memory it takes.

The walk shows a real model at work on a real sentence: :func:`trace` runs the model's own modules
one by one and keeps what goes in and what comes out; ``walk.js`` draws it in the page.
``memory.js`` computes the bytes that the configuration's arithmetic gives here, and the
browser tests hold the two equal.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from llama_tutorial._util.shapes import Float, Int
from llama_tutorial.config import PRESETS
from llama_tutorial.figures.kit.controls import Select, Slider, Stops
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.gqa import attention_weights
from llama_tutorial.model import Transformer
from llama_tutorial.swiglu import SwiGLU

IN_A_LAYER = ("norm", "attention", "attention added", "second norm", "SwiGLU", "SwiGLU added")
FEATURES = 32  # columns of a picture: the first features of a vector
GUESSES = 3
MOST_TOKENS = 40  # rows of a picture
_HEATS = ("stream", "normed", "added", "hidden")


@torch.no_grad()
def trace(model: Transformer, ids: Int[Tensor, " T"]) -> dict[str, list[Tensor]]:
    """What flows through the model while it reads one text, module by module.

    Args:
        model: With RoPE and SwiGLU, such as ``load("tales")``'s.
        ids: The text's tokens.

    Returns:
        Lists of tensors without a batch axis. ``stream``: the residual stream after the embedding
        and after each addition, ``(T, D)``. ``normed``: what each norm made of it, the last norm
        included. ``added``: what each sub-layer added. ``weights``: attention weights of each
        layer, ``(H, T, T)``. ``hidden``: the gated activations of each layer, ``(T, F)``.

    Raises:
        ValueError: The model is none of Llama's kind.
    """
    if model.config.positions != "rope" or model.config.feed_forward != "swiglu":
        raise ValueError(
            f"the walk is for models with RoPE and SwiGLU, not with {model.config.positions!r} "
            f"and {model.config.feed_forward!r}"
        )
    found: dict[str, list[Tensor]] = {
        name: [] for name in ("stream", "normed", "added", "weights", "hidden")
    }
    rotation = model.rope.cos[: len(ids)], model.rope.sin[: len(ids)]
    x = model.tok_embeddings(ids)[None]  # (1, T, D)
    found["stream"].append(x[0])
    layer: Any  # to mypy, a ModuleList's members are plain modules
    for layer in model.layers:
        normed = layer.attention_norm(x)
        q, k, _ = layer.attention.project_qkv(normed, rotation)
        found["weights"].append(attention_weights(q, k)[0])
        x = _add(found, x, normed, layer.attention(normed, rotation))
        normed = layer.ffn_norm(x)
        found["hidden"].append(_hidden(layer.feed_forward, normed)[0])
        x = _add(found, x, normed, layer.feed_forward(normed))
    found["normed"].append(model.norm(x)[0])
    return found


def _add(found: dict[str, list[Tensor]], x: Tensor, normed: Tensor, y: Tensor) -> Tensor:
    found["normed"].append(normed[0])
    found["added"].append(y[0])
    found["stream"].append((x + y)[0])
    return x + y


def _hidden(layer: SwiGLU, x: Float[Tensor, "... D"]) -> Float[Tensor, "... F"]:
    return torch.nn.functional.silu(layer.w1(x)) * layer.w3(x)


@torch.no_grad()
def read_out(model: Transformer, stream: Float[Tensor, "T D"]) -> Float[Tensor, "T V"]:
    """The next-token probabilities, were the model to end here: last norm, head, softmax."""
    logits = model.output(model.norm(stream))  # (T, V)
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(-1)


def stations(n_layers: int) -> list[str]:
    """The stops of the walk, by name, from the embedding to the output head."""
    layers = [f"layer {n}: {name}" for n in range(1, n_layers + 1) for name in IN_A_LAYER]
    return ["embedding", *layers, "last norm", "output head"]


def additions_before(stop: int, n_layers: int) -> int:
    """How many sub-layers have been added to the stream at a station, that one included."""
    if stop == 0:
        return 0
    layer, place = divmod(stop - 1, len(IN_A_LAYER))
    return min(2 * layer + (place >= 2) + (place >= 5), 2 * n_layers)


def walk(model: Transformer, tokenizer: Any, text: str, *, llama: str = "") -> LiveFigure:
    """The forward pass over a short text, to be walked through station by station.

    Args:
        model: A small model of Llama's kind, in float64, so that every machine finds the same.
        tokenizer: Its tokenizer; only ``encode`` and ``id_to_piece`` are used.
        text: A dozen tokens or so; BOS is put before it.
        llama: The name of the same model in the package, such as ``"tales"``: in the book's page it
            then walks over the reader's own text, too.

    Raises:
        ValueError: The model is none of Llama's kind, or the text is empty or too long to be shown.
    """
    ids = tokenizer.encode(text, bos=True)
    if not 2 <= len(ids) <= MOST_TOKENS:
        raise ValueError(
            f"with BOS the text has {len(ids)} tokens, and the walk shows 2 to {MOST_TOKENS}: give "
            f"{'more' if len(ids) < 2 else 'less'} text"
        )
    data = walk_data(model, tokenizer, ids)
    L, H, last = model.config.n_layers, model.config.n_heads, len(ids) - 1
    stops = stations(L)
    own = ", or over your own text" if llama else ""
    return LiveFigure(
        "model/walk",
        data=data | {"stops": stops, "most": MOST_TOKENS},
        llama=llama,
        controls=[
            Stops("station", stops[0], stops, label="station"),
            Select(
                "token",
                last,
                label="at token",
                options={f"{t}  {piece}": t for t, piece in enumerate(data["pieces"])},
            ),
            Slider("head", 1, H, 1, label="head"),
        ],
        numbers=lambda station, token, head: walk_numbers(data, stops.index(station), token, head),
        readout="Size of the stream at this token (root mean square): {size}; the last addition: "
        "{addition}. Best guess so far: {guess}, {probability}.",
        alt="Station {station} of the forward pass, at token {token}. The stream's size there is "
        "{size}, the last addition's {addition}; read out here, the model would say {guess} with "
        "probability {probability}. Head {head} looks most at {looks}, weight {weight}.",
        caption=f"One forward pass over {len(ids)} tokens{own}, with a trained model's own "
        "numbers. "
        "Below the route: the part of the network where you are, what it takes, and what it gives. "
        "A row is a token, a column one of the first 32 features; blue is positive, orange "
        "negative, faint is small for its panel. At an attention station the left square holds the "
        "weights of one head: <b>choose the head</b>. At the bottom, what the model would say if "
        "it ended here. <b>Press play, jump, or drag the dot; tap a row to choose its token.</b>",
        checks=[
            {"station": f"layer {min(2, L)}: attention", "token": last // 2, "head": min(3, H)},
            {"station": f"layer {min(2, L)}: SwiGLU", "token": last - 1},
            {"station": f"layer {L}: SwiGLU added", "token": min(3, last)},
            {"station": "output head", "token": 0, "head": 2},
        ],
    )


def walk_data(model: Transformer, tokenizer: Any, ids: list[int]) -> dict[str, Any]:
    """Everything that the walk shows, rounded, as plain Python."""
    found = trace(model, torch.tensor(ids, device=model.device))
    best = [read_out(model, x).topk(GUESSES) for x in found["stream"]]
    # Sums in half precision would overflow, and rounding needs more digits than bfloat16 has.
    found = {name: [x.cpu().double() for x in states] for name, states in found.items()}
    return {
        "pieces": [tokenizer.id_to_piece(i) for i in ids],
        "ids": ids,
        "sizes": [model.config.dim, model.config.hidden_dim, model.config.vocab_size],
        "layers": model.config.n_layers,
        "stream": _shown(found["stream"]),
        "normed": _shown(found["normed"]),
        "added": _shown(found["added"]),
        "hidden": _shown(found["hidden"]),
        "weights": [_triangle(w) for w in found["weights"]],
        "ranges": {name: [_range(x) for x in found[name]] for name in _HEATS},
        "streamSize": rounded([_size(x) for x in found["stream"]]),
        "addedSize": rounded([_size(x) for x in found["added"]]),
        "guess": [
            [[tokenizer.id_to_piece(i) for i in row] for row in one.indices.tolist()]
            for one in best
        ],
        "probability": rounded([one.values for one in best]),
    }


def _shown(states: list[Tensor]) -> Any:
    # Thousandths as whole numbers: all that a colour needs, in half the space of floats.
    return [x[:, :FEATURES].mul(1000).round().int().tolist() for x in states]


def _range(x: Float[Tensor, "T D"]) -> int:
    """The value of full colour, in thousandths: three times the size of a middling row."""
    return max(1, round(3000 * sorted(_size(x))[len(x) // 2]))


def _size(x: Float[Tensor, "T D"]) -> list[float]:
    return x.pow(2).mean(-1).sqrt().tolist()


def _triangle(weights: Float[Tensor, "H T T"]) -> list[list[list[float]]]:
    heads = weights.tolist()
    return [[[round(w, 3) for w in row[: t + 1]] for t, row in enumerate(head)] for head in heads]


def walk_numbers(data: dict[str, Any], stop: int, token: int, head: int) -> dict[str, Any]:
    """The readout at a station: sizes, the guess, and where a head of the layer looks most."""
    additions = additions_before(stop, data["layers"])
    layer = min(max(stop - 1, 0) // len(IN_A_LAYER), data["layers"] - 1)
    row = data["weights"][layer][head - 1][token]
    looks = row.index(max(row))
    return {
        "size": data["streamSize"][additions][token],
        "addition": data["addedSize"][additions - 1][token] if additions else "none yet",
        "guess": data["guess"][additions][token][0],
        "probability": data["probability"][additions][token][0],
        "looks": data["pieces"][looks],
        "weight": row[looks],
    }


GB = 10**9
MODELS = ("gpt2", "llama-2-7b", "llama-2-13b", "llama-2-70b")
CARDS = {"16 GB card": 16, "24 GB card": 24, "80 GB card": 80}
USES = {"hold it": "hold", "answer (with the cache)": "answer", "train it (AdamW)": "train"}
BYTES: dict[str, float | int] = {
    "float32: 4 bytes": 4,
    "bfloat16: 2 bytes": 2,
    "int8: 1 byte": 1,
    "int4: half a byte": 0.5,
}
TRAIN_BYTES = 16  # a parameter's weight, gradient and AdamW's two means, in float32


def memory_numbers(model: str, use: str, width: float | int, texts: int) -> dict[str, Any]:
    """Gigabytes for weights, cache and training, and how many 80 GB cards they fill."""
    config = PRESETS[model]
    weights = config.n_params * (4 if use == "train" else width) / GB
    cache = config.kv_bytes_per_token("float16") * config.max_seq_len * texts / GB
    cache = cache if use == "answer" else 0.0
    training = config.n_params * (TRAIN_BYTES - 4) / GB if use == "train" else 0.0
    total = weights + cache + training
    fits = [name for name, size in CARDS.items() if total <= size]
    return {
        "weights": weights,
        "cache": cache,
        "training": training,
        "total": total,
        "fits": fits[0] if fits else "no single card of these",
    }


def memory() -> LiveFigure:
    """The bytes of a published model, to hold, to answer and to train."""
    return LiveFigure(
        "model/memory",
        data={
            "models": {
                name: {
                    "params": PRESETS[name].n_params,
                    "cache": PRESETS[name].kv_bytes_per_token("float16")
                    * PRESETS[name].max_seq_len,
                }
                for name in MODELS
            },
            "cards": CARDS,
        },
        controls=[
            Select("model", "llama-2-7b", label="model", options=list(MODELS)),
            Select("use", "hold", label="to", options=USES),
            Select("width", 2, label="weights in", options=BYTES),
            Stops("texts", 1, [1, 2, 4, 8, 16, 32], label="full contexts at once"),
        ],
        numbers=memory_numbers,
        readout="{total} GB: weights {weights}, cache {cache}, training {training}. "
        "Smallest card: {fits}.",
        alt="A bar of {total} gigabytes beside the sizes of three graphics cards: weights "
        "{weights}, cache {cache}, gradients and optimiser {training}. Smallest card: {fits}.",
        caption="Decimal gigabytes, and nothing but what the arithmetic says: activations and the "
        "program itself come on top. The cache is in 16 bits, at the model's full context. "
        "Training is in float32 throughout, whatever the weights are stored in. <b>Choose a model "
        "and what you want to do with it.</b>",
        checks=[
            {"model": "llama-2-70b", "use": "answer", "texts": 8},
            {"model": "llama-2-13b", "use": "train", "width": 1},
            {"model": "gpt2", "use": "answer", "texts": 32, "width": 4},
        ],
    )
