"""The live figure of the generation chapter that cuts a distribution and draws from it.

Python computes with :mod:`llama_tutorial.sampling`; ``cuts.js`` computes the same in the page, and
the browser tests hold them equal.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from llama_tutorial._util.shapes import Float
from llama_tutorial.figures.kit.controls import Select, Slider, Stops
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.sampling import draw, next_probabilities

N_BARS = 12
TEMPERATURES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.2, 1.5, 2, 3]
TOP_K = [1, 2, 3, 5, 10, 20, 50, 100, "all"]
TOP_P = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1]


def cuts(places: Mapping[str, Sequence[float] | Tensor], pieces: Sequence[str]) -> LiveFigure:
    """Temperature, top-k and top-p over a model's logits, and one draw.

    Args:
        places: By the words that the reader chooses from, the logits of the next token, V of them.
        pieces: The text of each token.
    """
    logits = rounded(dict(places))

    def numbers(
        place: str, temperature: float | int, k: int | str, p: float | int, u: float
    ) -> dict[str, Any]:
        return cut_numbers(logits[place], pieces, temperature, k, p, u)

    return LiveFigure(
        "generation/cuts",
        data={"logits": logits, "pieces": list(pieces), "bars": N_BARS},
        controls=[
            Select("place", options=list(places), label="after"),
            Stops("temperature", 0.6, TEMPERATURES, label="temperature"),
            Stops("k", "all", TOP_K, label="top-k"),
            Stops("p", 0.9, TOP_P, label="top-p"),
            Slider("u", 0.005, 0.995, 0.405, 0.01, label="the random number"),
        ],
        numbers=numbers,
        readout="Tokens left: {kept}; {cut} % of the probability is cut away. As uncertain as "
        "{choices} equal choices. Drawn: “{drawn}”.",
        alt="Bars for the likeliest tokens after “{place}”, at temperature {temperature}, top-k "
        "{k}, top-p {p}: {tokens}, now drawn with probabilities {shares}. Below them the unit "
        "interval, divided among the tokens that are left; the random number {u} falls to {drawn}.",
        caption="The twelve likeliest tokens at a place of a tale. The hollow bar is what the "
        "model gives, the filled bar what the token is drawn with; a name struck out was cut. The "
        "strip is the unit interval, shared out among all tokens that are left, and the pointer is "
        "the random number. <b>Hold k or p still and change the place</b>; <b>move the "
        "temperature</b> and watch the filled bars leave the hollow ones.",
        checks=[
            {"place": place, "temperature": 1, "k": "all", "p": 1, "u": 0.735} for place in places
        ]
        + [{"temperature": 2, "k": 20, "p": 0.8}, {"k": 1, "u": 0.995}],
    )


def cut_numbers(
    logits: Sequence[float],
    pieces: Sequence[str],
    temperature: float | int,
    k: int | str,
    p: float | int,
    u: float,
) -> dict[str, Any]:
    """What is left of a distribution, and the token that the number ``u`` draws from it.

    Returns:
        How many tokens are kept, the per cent cut away, the number of equally likely tokens with
        the same entropy, the token drawn, and the likeliest tokens with their probabilities.
    """
    z = torch.tensor(logits, dtype=torch.float64)
    whole, left = _probabilities(z, temperature, k, p)
    kept = left > 0
    entropy = -(left[kept] * left[kept].log()).sum()
    best = z.sort(descending=True, stable=True).indices[:N_BARS]
    return {
        "kept": int(kept.sum()),
        "cut": 100 * (1 - whole[kept].sum().item()),
        "choices": entropy.exp().item(),
        "drawn": pieces[int(draw(left, torch.tensor(u, dtype=torch.float64)))],
        "tokens": [pieces[i] for i in best.tolist()],
        "shares": left[best].tolist(),
    }


def _probabilities(
    z: Float[Tensor, " V"], temperature: float | int, k: int | str, p: float | int
) -> tuple[Float[Tensor, " V"], Float[Tensor, " V"]]:
    """Before the cuts and after them."""
    top_k = k if isinstance(k, int) else None
    return next_probabilities(z, temperature), next_probabilities(z, temperature, top_k, p)
