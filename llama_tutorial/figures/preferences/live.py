"""The live figures of the chapter on preferences: a plane of two answers, and recorded mistakes.

Python computes with :mod:`llama_tutorial.preferences.losses`; ``plane.js`` computes the same in the
page, and the browser tests hold the two equal.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import Any

import torch

from llama_tutorial.figures.kit.controls import Select, Slider, Stops
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.figures.kit.numbers import number_text, rounded
from llama_tutorial.figures.kit.recorded import recorded
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


RIGHT = "right"
MISTAKES = {
    "the reference is not frozen": ("dpo", "reference not frozen"),
    "the reference is forgotten": ("dpo", "reference forgotten"),
    "prompt tokens are counted": ("dpo", "prompt counted"),
    "a mean in place of the sum": ("dpo", "mean for sum"),
    "the pairs are swapped": ("dpo", "pairs swapped"),
    "EOS is left out": ("dpo", "EOS outside"),
    "PPO: the KL cost has the wrong sign": ("ppo", "KL sign"),
    "PPO: rewards are not whitened": ("ppo", "whitening forgotten"),
}
"""What a mistake is called in the figure, and where its run is in the records."""

REPORTED = {
    "dpo": {"loss": "loss", "margin": "margin"},
    "ppo": {"reward": "mean reward", "kl": "KL from the reference"},
}
"""What a run reports of itself, by method, and what the figure calls it."""


def mistakes() -> LiveFigure:
    """Recorded trainings with one mistake each, beside the right one."""
    record = recorded("preference_mistakes")
    every = record["watched_every"]
    names = {name: name for name in MISTAKES}
    steps = every * max(len(one["first"]) for one in _runs(record).values())
    return LiveFigure(
        "preferences/mistakes",
        data={
            "runs": _runs(record),
            "right": {method: run_curves(record, method, RIGHT) for method in REPORTED},
            "titles": {method: list(names.values()) for method, names in REPORTED.items()},
            "before": record["before"]["right"],
            "total": record["questions"],
            "every": every,
            "verdicts": verdicts(record),
        },
        controls=[
            Select("mistake", "the pairs are swapped", names, label="mistake"),
            Slider("step", every, steps, steps, every, label="after step"),
        ],
        numbers=mistake_numbers,
        readout="After step {at} the run reports: {first_name} {first}, {second_name} {second}; "
        "the right run: {right_first}, {right_second}. {verdict}",
        alt="Three panels of curves, of the right run and of one with a mistake: {mistake}. At "
        "step {at} the run reports {first_name} {first} and {second_name} {second}, the right run "
        "{right_first} and {right_second}; held-out right answers have the log-probability "
        "{chosen}, wrong ones {rejected}. Below, three bars of right answers: {before} before, "
        "{right_right} after the right run, {right} after this one, of {total}.",
        caption="Short recorded runs on the same pairs in the same order, each with one mistake "
        "(dashed) beside the right one. The two upper panels are what you would see on your "
        f"screen: means of {every} steps. The third and the bars are what is so, measured as it "
        "should be. <b>Choose a mistake, and guess from the upper two whether you would have "
        "noticed</b>; drag the line to read the curves at another step. One seed each: a few "
        "answers more or less are chance.",
        checks=[
            {"mistake": name, "step": step} for name in MISTAKES for step in (every, steps - every)
        ],
    )


def run_curves(record: dict[str, Any], method: str, name: str) -> dict[str, Any]:
    """What the figure shows of a run: means of what it reports, and what is so."""
    run, every = record[method][name], record["watched_every"]
    first, second = (
        [statistics.mean(run[key][at : at + every]) for at in range(0, len(run[key]), every)]
        for key in REPORTED[method]
    )
    return {
        "method": method,
        "first": first,
        "second": second,
        "chosen": run["logprob_chosen"],
        "rejected": run["logprob_rejected"],
        "right": run["after"]["right"],
    }


def _runs(record: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: run_curves(record, *where) for name, where in MISTAKES.items()}


def mistake_numbers(mistake: str, step: int) -> dict[str, Any]:
    """What a run reports at a step, what the right one does, and what is so."""
    record = recorded("preference_mistakes")
    method, _ = MISTAKES[mistake]
    mine = run_curves(record, *MISTAKES[mistake])
    right = run_curves(record, method, RIGHT)
    every = record["watched_every"]
    at = min(step, every * len(mine["first"]))
    place = at // every - 1
    first_name, second_name = REPORTED[method].values()
    return {
        "at": at,
        "first_name": first_name,
        "second_name": second_name,
        "first": mine["first"][place],
        "second": mine["second"][place],
        "right_first": right["first"][place],
        "right_second": right["second"][place],
        "chosen": mine["chosen"][place + 1],
        "rejected": mine["rejected"][place + 1],
        "right": mine["right"],
        "right_right": right["right"],
        "before": record["before"]["right"],
        "total": record["questions"],
        "verdict": verdicts(record)[mistake],
    }


def verdicts(record: dict[str, Any]) -> dict[str, str]:
    """What one sees of each mistake, and what one does not; the numbers are the record's."""
    dpo, ppo = record["dpo"], record["ppo"]
    right, total = dpo[RIGHT], record["questions"]
    margins = {name: run["true_margin"][-1] for name, run in dpo.items()}

    def apart(name: str) -> str:
        pairs = zip(dpo[name]["loss"], right["loss"], strict=True)
        return number_text(max(abs(mine - other) for mine, other in pairs))

    forgotten, mean, swapped = (
        dpo[name] for name in ("reference forgotten", "mean for sum", "pairs swapped")
    )
    sign, unwhitened = ppo["KL sign"], ppo["whitening forgotten"]
    found = {
        "reference not frozen": "You see it at once: the policy is compared with itself, so that "
        f"every loss is log 2 and every margin 0. It learns all the same: a held-out margin of "
        f"{margins['reference not frozen']:.3f}, the right run’s is {margins[RIGHT]:.3f}. Only, "
        "the pull never weakens.",
        "reference forgotten": f"Nearly quiet. The first loss is {forgotten['loss'][0]:.3f} in "
        "place of log 2, 0.693, since what the model preferred already counts as learned; then the "
        "loss falls like the right one.",
        "prompt counted": "Quiet, and without effect: both answers have the same prompt, which "
        f"falls out of the difference. No loss differs by more than {apart('prompt counted')}, "
        "which is rounding.",
        "mean for sum": f"Nearly quiet: the loss falls only to {_last(mean, 'loss'):.3f}, and the "
        f"margin that is reported is a mean’s. The real one on held-out pairs is "
        f"{margins['mean for sum']:.3f}, the right run’s {margins[RIGHT]:.3f}: AdamW makes up for "
        "small gradients. Long answers count for less.",
        "pairs swapped": f"Quiet: the loss falls to {_last(swapped, 'loss'):.3f}, the right run’s "
        f"to {_last(right, 'loss'):.3f}, and the margin rises as if all were well. On held-out "
        f"pairs the margin is {_signed(margins['pairs swapped'])}: wrong answers get likelier. "
        f"{swapped['after']['right']} of {total} questions are answered rightly, after the right "
        f"run {right['after']['right']}.",
        "EOS outside": f"Quiet: no loss differs by more than {apart('EOS outside')}, because this "
        "model is sure of the EOS in both answers. One that still had to learn when to stop would "
        "not learn it.",
        "KL sign": "The cost pays for distance. The KL rises for a right run as well, here to "
        f"{_last(ppo[RIGHT], 'kl'):.2f}, and with the mistake to {_last(sign, 'kl'):.2f}, with no "
        f"more reward for it. {sign['after']['right']} answers are right, after the right run "
        f"{ppo[RIGHT]['after']['right']}.",
        "whitening forgotten": "Quiet. These rewards lie between 0 and 1 and differ less than "
        "whitened ones do, so the cost weighs more and the policy stays nearer: a KL of "
        f"{_last(unwhitened, 'kl'):.2f}, the right run’s {_last(ppo[RIGHT], 'kl'):.2f}. A louder "
        "reward would do the opposite.",
    }
    return {name: found[where] for name, (_, where) in MISTAKES.items()}


def _last(run: dict[str, Any], name: str, n: int = 4) -> float:
    """The mean of the last steps."""
    return statistics.mean(run[name][-n:])


def _signed(value: float) -> str:
    return f"{value:+.3f}".replace("-", "−")
