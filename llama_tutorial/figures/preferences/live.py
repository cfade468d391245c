"""The live figures of the chapter on preferences: DPO's plane of two answers, and its mistakes.

Python computes with :mod:`llama_tutorial.preferences.losses`; ``plane.js`` computes the same in the
page, and the browser tests hold the two equal.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from llama_tutorial.figures.kit.controls import Slider, Stops
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.preferences.path import PairPath
from llama_tutorial.preferences.losses import dpo_loss, implicit_reward

BETAS = [0.01, 0.03, 0.1, 0.3, 1.0]
STEP = 0.1  # nats from one stop to the next
MOST_COLUMNS = 7  # of tokens, on a phone


def plane(path: PairPath, beta: float = 0.1) -> LiveFigure:
    """Two answers' log-probabilities as a place in a plane, which the reader drags.

    Args:
        path: Real steps, as :func:`~llama_tutorial.figures.preferences.path.dpo_steps` gives them:
            the first place is the reference, and the last is where the figure begins.
        beta: The first value, one of ``BETAS``.
    """
    sums = rounded(path.sums)
    reference = sums[0]
    lowest = math.floor(min(min(both) for both in sums)) - 1
    first = [min(0.0, max(lowest, round(round(one / STEP) * STEP, 9))) for one in sums[-1]]

    def numbers(chosen: float, rejected: float, beta: float) -> dict[str, float]:
        return plane_numbers(chosen, rejected, reference, beta)

    words = [
        f"{which}: “{answer}”"
        for which, answer in zip(("right", "wrong"), path.answers, strict=True)
    ]
    return LiveFigure(
        "preferences/plane",
        data={
            "answers": path.answers,
            "path": sums,
            "lowest": lowest,
            "tokens": [token_columns(path, which) for which in (0, 1)],
        },
        controls=[
            Slider("chosen", float(lowest), 0.0, first[0], STEP, label=words[0], unit=" nats"),
            Slider("rejected", float(lowest), 0.0, first[1], STEP, label=words[1], unit=" nats"),
            Stops("beta", beta, BETAS, label="β"),
        ],
        numbers=numbers,
        readout="Rewards {reward_chosen} and {reward_rejected}: margin {margin}, so the right "
        "answer is preferred with {percent} %. Loss {loss}; the pair pulls with weight {weight}.",
        alt="A plane: to the right the log-probability of the right answer, upward that of the "
        "wrong one. A ring marks the reference, a dot the policy, where the margin is {margin}, "
        "the loss {loss} and the weight of the gradient {weight}. Dots between them are steps of "
        "DPO. Below, the rewards, {reward_chosen} and {reward_rejected}, as bars, and both "
        "answers token by token.",
        caption="Two real answers of <code>tales-chat</code> to one question: “"
        f"{path.answers[0]}” is right, “{path.answers[1]}” is wrong. The ring is the reference, "
        f"the small dots are {len(sums) - 1} real steps of DPO, and the large dot is the policy: "
        "<b>drag it</b>. Blue is where the right answer has the higher reward, orange where the "
        "wrong one has, and the arrow is the pull, as long as its weight σ(−margin). The thin line "
        "joins all places of equal loss: <b>move along it</b>, and see what the loss does not see. "
        "Then <b>change β</b>. Below, each answer’s reward, and its tokens’ log-probabilities "
        "before the steps and after.",
        checks=[
            {"chosen": x, "rejected": y, "beta": b}
            for x, y in ((-3.0, -3.0), (0.0, float(lowest)), (float(lowest), 0.0))
            for b in BETAS
        ],
    )


def plane_numbers(
    chosen: float, rejected: float, reference: Sequence[float], beta: float
) -> dict[str, float]:
    """What DPO makes of one pair: rewards, margin, loss, and the weight of its gradient."""
    policy = torch.tensor([chosen, rejected], dtype=torch.float64, requires_grad=True)
    before = torch.tensor(reference, dtype=torch.float64)
    rewards = implicit_reward(policy, before, beta)
    loss = dpo_loss(*policy[:, None], *before[:, None], beta=beta)
    (gradient,) = torch.autograd.grad(loss, policy)
    right, wrong = rewards.tolist()
    return {
        "reward_chosen": right,
        "reward_rejected": wrong,
        "margin": right - wrong,
        "percent": 100 / (1 + math.exp(wrong - right)),
        "loss": loss.item(),
        "weight": -float(gradient[0]) / beta,
    }


def token_columns(path: PairPath, which: int) -> list[tuple[str, float, float]]:
    """Each token of an answer with its log-probability before and after; the last ones together."""
    before, after = path.logprobs[0][which], path.logprobs[-1][which]
    columns = list(zip(path.pieces[which], before, after, strict=True))
    if len(columns) > MOST_COLUMNS:
        rest = columns[MOST_COLUMNS - 1 :]
        columns = columns[: MOST_COLUMNS - 1]
        columns.append(("…", sum(one[1] for one in rest), sum(one[2] for one in rest)))
    return [(piece, round(first, 2), round(last, 2)) for piece, first, last in columns]
