"""The live figures of the checkpoints chapter: shards that are joined, and tests of some length.

Both show a real model after something has been done to its weights: :func:`shards` joins the parts
of a matrix along either axis and in either order, :func:`how_many_tokens` compares the logits of a
model that was loaded wrongly with the right ones. What the model says is computed here and looked
up in the page; the small matrix in the first figure is cut and joined in the page itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional as F

from llama_tutorial._util.shapes import Float, Int
from llama_tutorial.checkpoints.meta_shards import split_axis
from llama_tutorial.figures.kit.controls import Select, Slider, Stops, Toggle
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.model import Transformer

KINDS = ("tok_embeddings", "wq", "wk", "wv", "wo", "w1", "w2", "w3", "output")
COUNTS = (2, 4, 8)
AXES = {"above one another (axis 0)": 0, "side by side (axis 1)": 1}
SIZE = 8  # rows and columns of the matrix that stands for all


def joined(
    tensor: Float[Tensor, "rows columns"], count: int, cut: int, axis: int, backwards: bool
) -> Float[Tensor, "rows columns"]:
    """A matrix after it was cut along one axis and joined along another.

    Args:
        tensor: The whole matrix.
        count: How many parts it was cut into.
        cut: The axis along which it was cut.
        axis: The axis along which the parts are joined.
        backwards: Whether the last part comes first.

    Returns:
        The numbers of the joined matrix in their order, read in the shape of ``tensor``: what a
        reader gets who counts numbers and not rows.
    """
    parts = list(tensor.chunk(count, cut))
    return torch.cat(parts[::-1] if backwards else parts, axis).reshape(tensor.shape)


def shards(model: Transformer, tokens: Int[Tensor, "B T"]) -> LiveFigure:
    """The parts of one kind of matrix, joined as the reader likes, and the loss that comes of it.

    Args:
        model: A small model with an output head of its own.
        tokens: Texts; the loss is taken over all of their tokens but the first.

    Raises:
        ValueError: The model's output head is its embedding.
    """
    data = shard_data(model, tokens)
    return LiveFigure(
        "checkpoints/shards",
        data=data,
        controls=[
            Select("kind", "wo", label="matrix", options=list(KINDS)),
            Stops("count", 2, list(COUNTS), label="files"),
            Select("axis", 1, label="join the parts", options=AXES),
            Toggle("backwards", label="last file first"),
        ],
        numbers=partial(shard_numbers, data),
        readout="A file holds {part}. Joined: {joined}; wanted: {wanted}. Cells in their place: "
        "{in_place} of 64. Loss with these weights: {loss} nats.",
        alt="Left, the parts of an 8 by 8 matrix as {count} files hold them; right, the parts "
        "joined {axis} and read in 8 rows of 8: {in_place} of 64 cells are in their place. The "
        "model with its {kind} joined like this has a loss of {loss} nats.",
        caption="A matrix of 8 × 8 cells stands for all; each cell is named by its row and its "
        "column. Left, what the files hold of it; right, what becomes of it. Filled cells are in "
        "their place, empty ones are not. Where the joined matrix has another shape than the "
        "wanted one, its numbers are poured into the wanted shape in their order. The shapes and "
        "the loss are those of the trained model, all its layers treated alike. <b>Choose a "
        "matrix, then the axis on which its parts are joined.</b>",
        checks=[
            {"kind": "wq", "axis": 1, "count": 8},
            {"kind": "tok_embeddings", "axis": 0, "count": 4, "backwards": True},
            {"kind": "w1", "axis": 0, "backwards": True},
        ],
    )


def shard_data(model: Transformer, tokens: Int[Tensor, "B T"]) -> dict[str, Any]:
    """Shapes, axes and losses for every setting of the figure."""
    if model.config.tie_embeddings:
        raise ValueError(
            "the model's output head is its embedding (tie_embeddings=True), and Meta's files hold "
            "both; load its weights into a model with tie_embeddings=False"
        )
    state = model.state_dict()
    names = {kind: [n for n in state if n.split(".")[-2] == kind] for kind in KINDS}
    losses = {}
    for kind in KINDS:
        cut: Any = split_axis(names[kind][0])  # never None: these are matrices
        for count in COUNTS:
            for axis in AXES.values():
                for backwards in (False, True):
                    how = (count, cut, axis, backwards)
                    changed = {name: joined(state[name], *how) for name in names[kind]}
                    key = f"{kind} {count} {axis} {int(backwards)}"
                    losses[key] = _loss(model, state | changed, tokens)
    return {
        "size": SIZE,
        "shapes": {kind: list(state[names[kind][0]].shape) for kind in KINDS},
        "cut": {kind: split_axis(names[kind][0]) for kind in KINDS},
        "losses": rounded(losses),
    }


@torch.no_grad()
def _loss(model: Transformer, state: Mapping[str, Tensor], tokens: Int[Tensor, "B T"]) -> float:
    logits = functional_call(model, dict(state), (tokens,))[:, :-1]  # (B, T - 1, V)
    return F.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten()).item()


def shard_numbers(
    data: dict[str, Any], kind: str, count: int, axis: int, backwards: bool
) -> dict[str, Any]:
    """The readout: shapes, cells in their place, the loss."""
    cut, shape = data["cut"][kind], data["shapes"][kind]
    part = [n // count if i == cut else n for i, n in enumerate(shape)]
    together = [n * count if i == axis else n for i, n in enumerate(part)]
    cells = torch.arange(SIZE * SIZE, dtype=torch.float64).view(SIZE, SIZE)
    in_place = (joined(cells, count, cut, axis, backwards) == cells).sum().item()
    return {
        "part": " × ".join(map(str, part)),
        "joined": " × ".join(map(str, together)),
        "wanted": " × ".join(map(str, shape)),
        "in_place": in_place,
        "loss": data["losses"][f"{kind} {count} {axis} {int(backwards)}"],
    }


def how_many_tokens(
    right: Float[Tensor, "T V"],
    wrong: Mapping[str, Float[Tensor, "T V"]],
    ids: Sequence[int],
    tokenizer: Any,
) -> LiveFigure:
    """How far the logits of a wrongly loaded model are off, token by token of one text.

    Args:
        right: Logits of the model as it should be, in float64.
        wrong: Logits after each mistake, by its name.
        ids: The text.
        tokenizer: The model's; only ``id_to_piece`` is used.
    """
    data = token_data(right, wrong, ids, tokenizer)
    names = list(wrong)
    return LiveFigure(
        "checkpoints/tokens",
        data=data,
        controls=[
            Select("mistake", names[0], label="what is wrong", options=names),
            Slider("tokens", 1, len(ids), 1, label="tokens in the test"),
        ],
        numbers=partial(token_numbers, data),
        readout="Tokens in the test: {tokens}; max |difference| of the logits: {worst}; {verdict}. "
        "After {token} the right model says {right}, this one says {said}.",
        alt="Dots over the positions of a text: how far the logits are off with this mistake: "
        "{mistake}. A test of length {tokens} sees a difference of {worst} at most: {verdict}.",
        caption="The largest difference between the logits of the right model and of the wrong "
        "one, at each position of a story. Full dots are what the test looks at, hollow ones what "
        "it does not. <b>Choose a mistake, and make the test longer until it fails.</b>",
        checks=[{"mistake": name, "tokens": tokens} for name in names for tokens in (2, 5)],
    )


def token_data(
    right: Float[Tensor, "T V"],
    wrong: Mapping[str, Float[Tensor, "T V"]],
    ids: Sequence[int],
    tokenizer: Any,
) -> dict[str, Any]:
    """What the figure shows, rounded, as plain Python."""
    differences = {name: (logits - right).abs().amax(-1) for name, logits in wrong.items()}
    return {
        "pieces": [tokenizer.id_to_piece(i) for i in ids],
        "right": _said(right, tokenizer),
        "said": {name: _said(logits, tokenizer) for name, logits in wrong.items()},
        "differences": rounded(differences),
    }


def _said(logits: Float[Tensor, "T V"], tokenizer: Any) -> list[str]:
    return [tokenizer.id_to_piece(i) for i in logits.argmax(-1).tolist()]


def token_numbers(data: dict[str, Any], mistake: str, tokens: int) -> dict[str, Any]:
    """The readout of a test that looks at the first ``tokens`` tokens."""
    worst = max(data["differences"][mistake][:tokens])
    return {
        "worst": worst,
        "verdict": "it passes" if worst == 0 else "it fails",
        "token": data["pieces"][tokens - 1],
        "right": data["right"][tokens - 1],
        "said": data["said"][mistake][tokens - 1],
    }
