"""The pictures of the chapter on preferences that stand still.

Each function takes the numbers that the chapter has computed and returns a matplotlib figure.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from llama_tutorial.figures.kit.numbers import rounded
from llama_tutorial.figures.kit.style import BLUE, GREEN, INK, ORANGE, VIOLET

WIDTH = 4.0  # inches: on a phone the writing is then of 10 pixels


def eight(found: Mapping[str, Sequence[float | int]]) -> Figure:
    """The true rewards of several tales to each of some requests, the best and the worst marked.

    Args:
        found: By what was asked for, the rewards, from 0 to 1.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.45 * len(found) + 1.0))
    for row, rewards in enumerate(found.values()):
        places = rounded(sorted(rewards))
        axes.plot([places[0], places[-1]], [row, row], color=INK, linestyle="-", linewidth=0.8)
        axes.plot(places[1:-1], [row] * (len(places) - 2), "o", color=BLUE, markersize=5)
        look: dict[str, Any] = {"markersize": 8, "clip_on": False}
        axes.plot(places[:1], [row], "X", color=ORANGE, label="" if row else "the worst", **look)
        axes.plot(places[-1:], [row], "*", color=GREEN, label="" if row else "the best", **look)
    axes.set_yticks(range(len(found)), list(found))
    axes.set(xlim=(-0.03, 1.03), ylim=(len(found) - 0.5, -0.5), xlabel="true reward of a tale")
    axes.grid(axis="x")
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def ranking_loss(margins: Mapping[str, float | int]) -> Figure:
    """The loss of a reward model against the difference of the two rewards.

    Args:
        margins: The margin by grade.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 2.7))
    differences = [i / 10 for i in range(-30, 61)]
    for grade, margin in margins.items():
        losses = [math.log1p(math.exp(margin - d)) for d in differences]
        axes.plot(differences, rounded(losses), label=f"{grade}: {margin:g}")
    axes.axvline(0, color=INK, linestyle=":", linewidth=1.2)
    axes.set(xlabel="reward of the chosen − reward of the other", ylabel="loss (nats)")
    axes.legend(title="grade: margin")
    return figure


def dpo(curves: Mapping[str, Sequence[float | int]]) -> Figure:
    """A DPO training: how far the answers have moved, and the margin between them.

    Args:
        curves: ``"chosen"`` and ``"rejected"``, the change of the log-probability since the start
            of the answers of each step, in nats; and ``"margin"`` and ``"loss"``.
    """
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 4.2), sharex=True)
    steps = range(1, len(curves["chosen"]) + 1)
    upper.axhline(0, color=INK, linewidth=1.0)
    upper.plot(steps, rounded(curves["chosen"]), label="chosen")
    upper.plot(steps, rounded(curves["rejected"]), label="rejected")
    upper.set(ylabel="change of log p (nats)")
    upper.legend()
    lower.plot(steps, rounded(curves["loss"]), color=BLUE, label="loss")
    lower.plot(steps, rounded(curves["margin"]), color=GREEN, linestyle="-.", label="margin")
    lower.axhline(rounded(math.log(2)), color=INK, linestyle=":", linewidth=1.2)
    lower.text(1, math.log(2) + 0.01, "log 2", va="bottom")
    lower.set(xlabel="step", ylabel="loss and margin")
    lower.legend(loc="center left")
    return figure


def best_of(
    chosen_by: Mapping[str, Sequence[Sequence[Mapping[str, Any]]]],
    by_truth: Sequence[Mapping[str, Any]],
) -> Figure:
    """The best of N by learned rewards: what they say of it, and what the world says.

    Args:
        chosen_by: By the name of a kind of reward model, for each seed the points, which have
            ``n``, ``kl``, ``true`` and ``score``, the learned reward in standard deviations.
        by_truth: The points of the best by the true reward itself.
    """
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 4.6), sharex=True)
    looks = ((ORANGE, "--", "s"), (BLUE, "-", "o"), (VIOLET, "-.", "^"))
    for (name, seeds), (color, line, mark) in zip(chosen_by.items(), looks, strict=False):
        look: dict[str, Any] = {"color": color, "linestyle": line, "marker": mark, "ms": 4}
        kl = rounded([point["kl"] for point in seeds[0]])
        for axes, key in ((upper, "score"), (lower, "true")):
            means = [statistics.mean(p[key] for p in at) for at in zip(*seeds, strict=True)]
            axes.plot(kl, rounded(means), label=name, **look)
            for one in seeds:
                each = rounded([point[key] for point in one])
                axes.plot(kl, each, color=color, linestyle=line, linewidth=0.7, alpha=0.5)
    kl = rounded([point["kl"] for point in by_truth])
    true = rounded([point["true"] for point in by_truth])
    lower.plot(kl, true, "D:", color=GREEN, ms=4, label="by the truth")
    upper.set(ylabel="learned reward (std. dev.)")
    lower.set(xlabel="distance from the model (nats, at most)", ylabel="true reward")
    for x, point in zip(kl, by_truth, strict=True):
        lower.annotate(
            f"{point['n']}",
            (x, rounded(point["true"])),
            (0, 6),
            textcoords="offset points",
            ha="center",
        )
    figure.legend(*lower.get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def changes(
    found: Mapping[str, tuple[Sequence[float | int], Sequence[float | int]]], *, unit: str
) -> Figure:
    """What each method did to a score: seeds as dots, the interval of their mean as a bar.

    Args:
        found: By the method's name, the change of each seed, and the two ends of the interval.
        unit: Of the changes, as the axis says it.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.42 * len(found) + 0.9))
    axes.axvline(0, color=INK, linewidth=1.2)
    for row, (by_seed, ends) in enumerate(found.values()):
        mean = rounded(statistics.mean(by_seed))
        axes.plot(rounded(ends), [row, row], color=BLUE, linestyle="-", linewidth=5, alpha=0.4)
        axes.plot([mean, mean], [row - 0.25, row + 0.25], color=BLUE, linestyle="-")
        axes.plot(rounded(by_seed), [row] * len(by_seed), "o", color=ORANGE, markersize=4)
    axes.set_yticks(range(len(found)), list(found))
    axes.set_ylim(len(found) - 0.5, -0.5)
    axes.grid(axis="x")
    axes.set(xlabel=unit)
    return figure


def two_rewards(runs: Mapping[str, tuple[Sequence[float | int], Sequence[float | int]]]) -> Figure:
    """Reinforcement learning by a learned reward, and the true share beside it, step by step.

    Args:
        runs: By name, the learned reward of each step's answers and the share that is true.
    """
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(WIDTH, 4.2), sharex=True)
    for (name, (learned, right)), (color, line) in zip(
        runs.items(), ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-.")), strict=False
    ):
        look: dict[str, Any] = {"color": color, "linestyle": line, "label": name}
        steps = range(1, len(learned) + 1)
        upper.plot(steps, rounded(smoothed(learned)), **look)
        lower.plot(steps, rounded(smoothed([100 * share for share in right])), **look)
    upper.set(ylabel="learned reward")
    lower.set(xlabel="step", ylabel="true answers (%)")
    figure.legend(*upper.get_legend_handles_labels(), loc="outside upper center", ncols=len(runs))
    return figure


def rounds(
    measured: Mapping[str, Sequence[Sequence[float | int]]],
    newest: Mapping[str, Sequence[float | int]],
) -> Figure:
    """What rounds of rejection sampling do to some measures, one panel each.

    Args:
        measured: By the name of a measure, for each seed its values, from before the first round
            on. The means are drawn thick, the seeds thin.
        newest: For some of the same measures, those of one run whose later rounds learned from
            their newest samples alone; from before the first round on.
    """
    size = (WIDTH, 1.55 * len(measured) + 0.6)
    figure, panels = plt.subplots(len(measured), 1, figsize=size, sharex=True, squeeze=False)
    for axes, (name, seeds) in zip(panels[:, 0], measured.items(), strict=True):
        means = [statistics.mean(at) for at in zip(*seeds, strict=True)]
        axes.plot(range(len(means)), rounded(means), "o-", color=BLUE, ms=4, label="all samples")
        for one in seeds:
            axes.plot(range(len(one)), rounded(one), "-", color=BLUE, linewidth=1, alpha=0.8)
        if alone := newest.get(name):
            look: dict[str, Any] = {"color": ORANGE, "markersize": 4, "label": "the newest alone"}
            axes.plot(range(len(alone)), rounded(alone), "s--", **look)
        axes.set(ylabel=name)
    axes.set_xticks(range(len(means)), ["before", *(f"V{i}" for i in range(1, len(means)))])
    figure.legend(*panels[0, 0].get_legend_handles_labels(), loc="outside upper center", ncols=2)
    return figure


def kept(by_turn: Mapping[str, Sequence[Sequence[float | int]]]) -> Figure:
    """How long an instruction is kept: the share of answers that keep it, turn by turn.

    Args:
        by_turn: By the name of a model, for each seed the shares, from 0 to 1. The means are drawn
            thick, the seeds thin.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 2.7))
    looks = ((ORANGE, "--", "s"), (BLUE, "-", "o"))
    for (name, seeds), (color, line, mark) in zip(by_turn.items(), looks, strict=True):
        turns = range(1, len(seeds[0]) + 1)
        means = [100 * statistics.mean(at) for at in zip(*seeds, strict=True)]
        axes.plot(turns, rounded(means), mark + line, color=color, markersize=4, label=name)
        for one in seeds:
            each = rounded([100 * share for share in one])
            axes.plot(turns, each, color=color, linestyle=line, linewidth=1, alpha=0.8)
    axes.set(xlabel="turn", ylabel="answers that keep it (%)", ylim=(-4, 104))
    axes.set_xticks(turns if len(turns) < 10 else [1, *range(5, len(turns) + 1, 5)])
    figure.legend(loc="outside upper center", ncols=2)
    return figure


def smoothed(values: Sequence[float | int], width: int = 5) -> list[float]:
    """Running means over up to ``width`` values, the last of which is the newest."""
    return [statistics.fmean(values[max(0, i - width + 1) : i + 1]) for i in range(len(values))]
