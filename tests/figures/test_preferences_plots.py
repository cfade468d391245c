"""The static pictures of the chapter on preferences, and the pairs that come with it."""

from __future__ import annotations

import math
import statistics

import pytest
from bs4 import BeautifulSoup

pytest.importorskip("matplotlib")

from llama_tutorial import figures, load
from llama_tutorial.figures import recorded
from llama_tutorial.figures.preferences import plots
from llama_tutorial.preferences.batches import encode_pair
from llama_tutorial.preferences.losses import MARGINS, reward_loss
from llama_tutorial.preferences.pair_file import Pair
from llama_tutorial.tales import consistency

pytestmark = pytest.mark.usefixtures("figure_look")


def test_eight_shows_every_reward_and_marks_the_ends():
    rewards = {"a": [0.4, 0.1, 0.9, 0.5], "b": [0.2, 0.3, 0.3, 0.0]}
    lines = plots.eight(rewards).axes[0].lines
    for row, several in enumerate(rewards.values()):
        here = [line for line in lines if set(line.get_ydata()) == {row}]
        marks = {line.get_marker(): list(line.get_xdata()) for line in here}
        assert marks["X"] == [min(several)]
        assert marks["*"] == [max(several)]
        assert marks["o"] == sorted(several)[1:-1]


def test_ranking_loss_is_the_packages():
    import torch

    figure = plots.ranking_loss(dict(zip("abcd", MARGINS["large"], strict=True)))
    curves = figure.axes[0].lines[:4]
    for curve, margin in zip(curves, MARGINS["large"], strict=True):
        for x, y in list(zip(*curve.get_data(), strict=True))[::10]:
            loss = reward_loss(torch.tensor([x]), torch.tensor([0.0]), float(margin))
            assert y == pytest.approx(float(loss), rel=6e-3)


def test_dpo_shows_what_it_is_given():
    curves = {"chosen": [0.0, -1.0], "rejected": [0.0, -3.0], "loss": [0.693, 0.6]}
    upper, lower = plots.dpo({**curves, "margin": [0.0, 0.2]}).axes
    shown = {line.get_label(): list(line.get_ydata()) for line in (*upper.lines, *lower.lines)}
    for name, values in {**curves, "margin": [0.0, 0.2]}.items():
        assert shown[name] == values


def test_best_of_draws_the_mean_of_the_seeds_and_the_truth():
    def points(shift):
        return [
            {"n": n, "kl": math.log(n) - (n - 1) / n, "true": 0.3 + shift, "score": n + shift}
            for n in (1, 2, 4)
        ]

    upper, lower = plots.best_of({"few": [points(0.0), points(0.2)]}, points(0.5)).axes
    mean = next(line for line in upper.lines if line.get_label() == "few")
    assert list(mean.get_ydata()) == pytest.approx([1.1, 2.1, 4.1])
    mean = next(line for line in lower.lines if line.get_label() == "few")
    assert list(mean.get_ydata()) == pytest.approx([0.4] * 3)
    truth = next(line for line in lower.lines if line.get_label() == "by the truth")
    assert list(truth.get_ydata()) == pytest.approx([0.8] * 3)
    assert [text.get_text() for text in lower.texts] == ["1", "2", "4"]


def test_changes_show_every_seed_and_the_interval():
    found = {"a": ([1.0, 2.0, 3.0], (-1.0, 5.0)), "b": ([-2.0, -1.0], (-3.0, 0.0))}
    axes = plots.changes(found, unit="points").axes[0]
    dots = [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "o"]
    assert dots == [list(by_seed) for by_seed, _ in found.values()]
    bands = [tuple(line.get_xdata()) for line in axes.lines if line.get_linewidth() == 5]
    assert bands == [ends for _, ends in found.values()]


def test_two_rewards_are_running_means_in_points_of_a_hundred():
    learned, right = [0.0, 1.0, 2.0], [0.5, 0.7, 0.6]
    upper, lower = plots.two_rewards({"a run": (learned, right)}).axes
    assert list(upper.lines[0].get_ydata()) == pytest.approx([0.0, 0.5, 1.0])
    assert list(lower.lines[0].get_ydata()) == pytest.approx([50, 60, 60])


def test_rounds_draw_each_measure_of_every_seed_and_the_run_without_the_old_samples():
    measured = {"reward": [[0.5, 0.7, 0.8], [0.5, 0.8, 0.7]], "right": [[9, 8, 7], [9, 9, 8]]}
    upper, lower = plots.rounds(measured, {"reward": [0.5, 0.7, 0.6]}).axes
    curves = [list(line.get_ydata()) for line in upper.lines]
    assert curves == [[0.5, 0.75, 0.75], *measured["reward"], [0.5, 0.7, 0.6]]
    assert [list(line.get_ydata()) for line in lower.lines] == [[9, 8.5, 7.5], *measured["right"]]
    assert upper.get_ylabel() == "reward"
    assert [tick.get_text() for tick in lower.get_xticklabels()] == ["before", "V1", "V2"]


READ = {
    "words": ["Lily", " ran", ".", " She", " <3", "."],
    "scores": [0.0, 0.3, 0.2, -0.4, -0.4, 1.0, 1.25],
    "sentences": [[3, "holds"], [6, "fails"]],
}


def test_words_are_tinted_by_what_they_change_and_numbers_say_it_without_colours():
    found = figures.preferences.words({"A tale": READ}, "Words & tints.")
    assert repr(found) == "A tale: Lily ran. [−0.40] She <3. [+1.25 ✗]"
    page = BeautifulSoup(found._repr_html_(), "html.parser")
    tints = [(one["class"], one["style"], one.get_text()) for one in page.select("i")]
    assert tints == [
        (["lt-up"], "--w: 0.5", "Lily"),
        (["lt-down"], "--w: 0.17", "ran"),
        (["lt-down"], "--w: 1.0", "."),
        (["lt-down"], "--w: 0.0", "She"),
        (["lt-up"], "--w: 1.0", "<3"),
        (["lt-up"], "--w: 0.42", "."),
    ]
    assert page.select_one(".lt-tale").get_text() == "Lily ran.\u00a0−0.40 She <3.\u00a0+1.25 ✗"
    assert [p.get_text() for p in page.select("p")[:2]] == ["Words & tints.", "A tale"]


def test_words_need_a_score_before_the_first_and_after_each():
    with pytest.raises(ValueError, match=r"'A tale' has 6 words and 6 scores: give one score bef"):
        figures.preferences.words({"A tale": {**READ, "scores": READ["scores"][1:]}}, "")


def test_smoothed_forgets_what_is_old():
    assert plots.smoothed([1, 2, 3, 4], 2) == [1, 1.5, 2.5, 3.5]


# The pairs


def test_recorded_pairs_can_be_learned_and_the_world_agrees_with_them():
    record = recorded("preference_pairs")
    assert record["command"].startswith("python benchmarks/preference_pairs.py")
    _, tokenizer = load("tales-chat")
    pairs = record["pairs"]
    assert len({pair["request"] for pair in pairs}) == len(pairs) == 160
    better = []
    for pair in pairs:
        prompt = [{"role": "user", "content": pair["request"]}]
        whole = Pair(prompt, pair["chosen"], pair["rejected"], pair["grade"])
        assert all(len(one.ids) < 256 for one in encode_pair(whole, tokenizer))
        good, bad = consistency(pair["chosen"]), consistency(pair["rejected"])
        better.append((good.score or 0) * good.parsed - (bad.score or 0) * bad.parsed)
    assert statistics.mean(better) > 0.2


def test_kept_shows_means_over_the_seeds_and_each_seed():
    axes = plots.kept({"before": [[1.0, 0.5], [0.5, 0.0]], "after": [[1.0, 1.0], [1.0, 0.5]]}).axes[
        0
    ]
    curves = [list(line.get_ydata()) for line in axes.lines]
    assert curves == [[75, 25], [100, 50], [50, 0], [100, 75], [100, 100], [100, 50]]
    assert {tuple(line.get_xdata()) for line in axes.lines} == {(1, 2)}
