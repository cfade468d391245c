"""The living figure of the generation chapter: how each token of a tale was chosen.

The page writes the reader's own tale with the engine of ``llama_tutorial/browser/`` and sees every
choice. What stands there before, and what a notebook has, was written and seen here, in PyTorch;
the browser tests hold the two equal.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape
from typing import Any

import torch
from torch import Tensor

from llama_tutorial._util.shapes import Float
from llama_tutorial.figures.kit.controls import Stops, Text
from llama_tutorial.figures.kit.live import WITHOUT_SCRIPT, LiveFigure, fill
from llama_tutorial.figures.kit.numbers import number_text
from llama_tutorial.generation import generate
from llama_tutorial.gqa import attention_weights
from llama_tutorial.model import Transformer
from llama_tutorial.sampling import next_probabilities

N_CANDIDATES = 10
TEMPERATURES = [0, 0.3, 0.6, 0.8, 1, 1.2, 1.5]
TOP_P = [0.5, 0.8, 0.9, 0.95, 1]

SAYS = {
    "drawn": "The model gave “{token}” {before}; after temperature and top-p it had {after}.",
    "given": "“{token}” is your own; the model would have given it {before}.",
    "looks": "Layer {layer}, head {number} looked at {looks}.",
}
"""The line under the tale; the script fills the same."""


@torch.inference_mode()
def look(
    model: Transformer, ids: Sequence[int]
) -> tuple[Float[Tensor, "L H T T"], Float[Tensor, "L T V"]]:
    """What one pass over a text shows inside: where heads look, and what each layer would say.

    Args:
        model: A Llama with RoPE, as ``load`` gives it.
        ids: The text's ids, BOS first.

    Returns:
        The attention weights of all layers and heads, and for each layer the logits of the residual
        stream after it, sent through the last norm and the output head.
    """
    x = model.tok_embeddings(torch.tensor([list(ids)], device=model.device))  # (1, T, D)
    rotation = model.rope.cos[: len(ids)], model.rope.sin[: len(ids)]  # (T, h / 2) each
    weights, lens = [], []
    layers: Any = model.layers
    for layer in layers:
        q, k, _ = layer.attention.project_qkv(layer.attention_norm(x), rotation)
        weights.append(attention_weights(q, k)[0])  # (H, T, T)
        x = layer(x, rotation)
        lens.append(model.output(model.norm(x))[0])  # (T, V)
    return torch.stack(weights), torch.stack(lens)


def seen(
    model: Transformer,
    tokenizer: Any,
    ids: Sequence[int],
    positions: Sequence[int],
    temperature: float | int = 0.6,
    top_p: float | int = 0.9,
) -> list[dict[str, Any]]:
    """What the page's engine sees at some positions of a text: ``onSeen`` of ``kit/_llama.js``.

    Args:
        model: The model that reads, with a tokenizer of its own vocabulary.
        tokenizer: Its tokenizer.
        ids: The text's ids, BOS first.
        positions: Where to look; position i is where token i + 1 is chosen.
        temperature: With which it is drawn.
        top_p: With which it is drawn.
    """
    weights, lens = look(model, ids)
    found = []
    for position in positions:
        logits = lens[-1, position]
        before = logits.softmax(-1)
        after = next_probabilities(logits, temperature, top_p=top_p)
        best = logits.sort(descending=True, stable=True).indices[:N_CANDIDATES].tolist()
        shares = [{"before": before[i].item(), "after": after[i].item()} for i in best]
        guesses = lens[:, position].softmax(-1).max(-1)
        guessed = zip(guesses.indices.tolist(), guesses.values.tolist(), strict=True)
        here: dict[str, Any] = {
            "position": position,
            "candidates": [
                {"id": i, "piece": tokenizer.id_to_piece(i), **share}
                for i, share in zip(best, shares, strict=True)
            ],
            "attention": weights[:, :, position, : position + 1].tolist(),
            "lens": [
                {"id": i, "piece": tokenizer.id_to_piece(i), "probability": share}
                for i, share in guessed
            ],
        }
        if position + 1 < len(ids):
            own = ids[position + 1]
            here["own"] = {"before": before[own].item(), "after": after[own].item()}
        found.append(here)
    return found


def inside(
    model: Transformer,
    tokenizer: Any,
    beginning: str,
    words: Sequence[tuple[str, int]],
    head: tuple[int, int],
    seed: int = 0,
) -> LiveFigure:
    """How each token of a tale was chosen, in the page itself, over the reader's own beginning.

    Args:
        model: The ``tales`` that the page has, in float64, which writes what stands there first.
        tokenizer: Its tokenizer.
        beginning: What stands in the field at first.
        words: The tokens of that tale whose choice is recorded, for pages without a script and for
            notebooks: each as a piece, such as ``"▁He"``, and which one of them, from 0 on. The
            first is the one looked at.
        head: Layer and head looked through at first, both from 1.
        seed: Of the first tale; it is drawn at Meta's temperature 0.6 and top-p 0.9.

    Raises:
        ValueError: The tale has no such token.
    """
    prompt = tokenizer.encode(beginning, bos=True)
    room = model.config.max_seq_len - len(prompt)
    stops = {tokenizer.bos_id, tokenizer.eos_id}
    [new] = generate(model, [prompt], room, seed=seed, stop_ids=stops)
    ids = [*prompt, *new]
    pieces = [tokenizer.id_to_piece(i) for i in ids]
    chosen = [_find(pieces, piece, count) for piece, count in words]
    recorded = seen(model, tokenizer, ids, [i - 1 for i in chosen])
    for here in recorded:
        here["attention"] = [
            [[_thousandths(weight) for weight in weights] for weights in heads]
            for heads in here["attention"]
        ]
    first = recorded[0]
    return LiveFigure(
        "generation/inside",
        data={
            "tokens": [{"id": i, "piece": piece} for i, piece in zip(ids, pieces, strict=True)],
            "prompt": len(prompt),
            "seen": recorded,
            "chosen": chosen[0],
            "head": list(head),
            "seed": seed,
            "says": SAYS,
        },
        controls=[
            Text("beginning", beginning, label="a beginning", max_length=400),
            Stops("temperature", 0.6, TEMPERATURES, label="temperature"),
            Stops("p", 0.9, TOP_P, label="top-p"),
        ],
        numbers=lambda **_: {},
        alt="A tale, token by token.",
        caption="<b>Choose a token</b> (click it, or use the arrow keys): the tint shows where one "
        "head looked while that token was chosen, the bars what else could have come (hollow: what "
        "the model gave; filled: what was drawn from), the list what each layer would have said. "
        "<b>Choose another head</b> in the grid; the stronger a square, the more of its weight is "
        "on one token. Then <b>write a tale of your own</b>.",
        llama="tales",
        still=_still(pieces, len(prompt), chosen[0], first, head),
    )


def _find(pieces: Sequence[str], piece: str, count: int) -> int:
    """The place of one piece in a text, the first of them for ``count`` 0."""
    places = [i for i, one in enumerate(pieces) if one == piece]
    if count >= len(places):
        raise ValueError(f"the tale has {piece!r} {len(places)} times, so none has number {count}")
    return places[count]


def _word(pieces: Sequence[str], i: int) -> str:
    """A token as it stands in the tale; the twin of the script's."""
    piece = pieces[i].removeprefix("▁") if i == 1 else pieces[i]
    ascii_byte = re.fullmatch("<0x([2-7][0-9A-F])>", piece)
    return chr(int(ascii_byte[1], 16)) if ascii_byte else piece.replace("▁", " ")


def _thousandths(weight: float) -> float:
    """Fine enough to order and to print weights as the script does, which has all their digits."""
    return round(1000 * weight, 2) or 0


def _percent(share: float) -> str:
    """A probability in words; the twin of the script's."""
    return "< 0.1 %" if share < 0.001 else f"{number_text(round(1000 * share) / 10)} %"


def _still(
    pieces: Sequence[str], n_prompt: int, at: int, here: dict[str, Any], head: tuple[int, int]
) -> str:
    """The tale with the tint of one head, and the line under it; the script draws the same."""
    weights = here["attention"][head[0] - 1][head[1] - 1]
    shown = []
    for i in range(len(pieces)):
        word = _word(pieces, i)
        space = " " if word.startswith(" ") and len(word) > 1 else ""
        kinds = (
            "lt-bos " * (i == 0)
            + "lt-given " * (i < n_prompt)
            + "lt-chosen " * (i == at)
            + "lt-later" * (i > at)
        )
        share = round(weights[i] / 1000, 4) if i < len(weights) else 0
        token = escape(word.removeprefix(space))
        shown.append(f'{space}<span class="lt-token {kinds}" style="--w: {share}">{token}</span>')
    best = sorted(range(len(weights)), key=lambda j: -weights[j])[:3]
    looks = [
        f"“{_word(pieces, j).strip()}” ({_percent(weights[j] / 1000)})"
        for j in best
        if weights[j] >= 1
    ]
    own = {name: _percent(share) for name, share in here["own"].items()}
    says = fill(SAYS["drawn"], {"token": _word(pieces, at).strip(), **own})
    says += " " + fill(SAYS["looks"], {"layer": head[0], "number": head[1], "looks": looks})
    return (
        f'<div class="lt-inside"><p class="lt-tokens">{"".join(shown)}</p>'
        f'<p class="lt-told">{escape(says)}</p>'
        f'<p class="lt-still"><i>{WITHOUT_SCRIPT}</i></p></div>'
    )
