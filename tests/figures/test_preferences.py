"""The figures of the chapter on preferences: their numbers against the package's."""

from __future__ import annotations

import math

import pytest
import torch

pytest.importorskip("matplotlib")

from live_figures import check_page

from llama_tutorial import load
from llama_tutorial.figures import recorded
from llama_tutorial.figures.preferences import PairPath, dpo_steps, live
from llama_tutorial.preferences import Pair, dpo_loss, sequence_logprobs
from llama_tutorial.preferences.batches import PairBatches, encode_pair

PROMPT = [{"role": "user", "content": "Tom had a red kite.\nWhat color is the kite?"}]
PAIR = Pair(PROMPT, "Red.", "Blue.", 3)
PATH = PairPath(
    ("A turtle.", "A mouse."),
    (["▁A", "▁tur", "t", "le", ".", "▁", "</s>", "!"], ["▁A", "▁mouse", ".", "▁", "</s>"]),
    [
        ([-0.01, -1.19, 0.0, 0.0, 0.0, 0.0, -0.2, -0.3], [-0.01, -0.39, 0.0, 0.0, 0.0]),
        ([-0.01, -0.5, 0.0, 0.0, 0.0, 0.0, -0.1, -0.1], [-0.01, -5.25, 0.0, 0.0, 0.0]),
    ],
)


@pytest.mark.parametrize("beta", live.BETAS)
@pytest.mark.parametrize("place", [(-3.0, -3.0), (-0.1, -6.5), (-6.0, 0.0)])
def test_plane_says_what_the_loss_and_its_gradient_are(place, beta):
    reference = (-1.7, -0.4)
    said = live.plane_numbers(*place, reference, beta)
    policy = [torch.tensor([one], dtype=torch.float64, requires_grad=True) for one in place]
    before = [torch.tensor([one], dtype=torch.float64) for one in reference]
    loss = dpo_loss(*policy, *before, beta=beta)
    loss.backward()
    assert said["loss"] == pytest.approx(loss.item(), rel=1e-12)
    margin = beta * (place[0] - reference[0]) - beta * (place[1] - reference[1])
    assert said["margin"] == pytest.approx(margin, rel=1e-12)
    assert said["reward_chosen"] - said["reward_rejected"] == pytest.approx(said["margin"])
    assert said["weight"] == pytest.approx(1 / (1 + math.exp(margin)), rel=1e-9)
    assert [one.grad.item() for one in policy] == pytest.approx(
        [-beta * said["weight"], beta * said["weight"]]
    )
    assert said["percent"] == pytest.approx(100 * (1 - said["weight"]))


def test_plane_begins_where_the_path_ends():
    figure = live.plane(PATH)
    check_page(figure, n_checks=20)
    assert figure.first() == {"chosen": -0.7, "rejected": -5.3, "beta": 0.1}
    assert figure.data["lowest"] == -7
    chosen, rejected = figure.data["tokens"]
    assert [one[0] for one in chosen] == ["▁A", "▁tur", "t", "le", ".", "▁", "…"]
    assert chosen[-1][1:] == [-0.5, -0.2]
    assert [one[0] for one in rejected] == PATH.pieces[1]
    for n, columns in enumerate((chosen, rejected)):
        for when in (0, 1):
            assert sum(one[1 + when] for one in columns) == pytest.approx(PATH.sums[-when][n])


def test_steps_on_a_pair_are_those_of_dpo():
    model, tokenizer = load("tales-chat", dtype=torch.float64)
    batch = PairBatches([(*encode_pair(PAIR, tokenizer), 3)], 1, 512).of([0])
    before = sequence_logprobs(model, batch.inputs, batch.labels).tolist()
    path = dpo_steps(model, tokenizer, PAIR, 2)
    after = sequence_logprobs(model, batch.inputs, batch.labels).tolist()
    assert path.sums[0] == pytest.approx(before)
    assert path.sums[2] == pytest.approx(after)
    margins = [chosen - rejected for chosen, rejected in path.sums]
    assert margins == sorted(margins)
    assert margins[2] > margins[0] + 0.1
    for pieces, tokens, answer in zip(path.pieces, path.logprobs[0], path.answers, strict=True):
        assert len(pieces) == len(tokens)
        assert pieces[-1] == "</s>"
        assert "".join(pieces[:-1]).replace("▁", " ").strip() == answer


@pytest.fixture(scope="module")
def record():
    return recorded("preference_mistakes")


def test_every_recorded_mistake_can_be_chosen(record):
    assert record["command"].startswith("python benchmarks/preference_mistakes.py")
    assert all(record[key] for key in ("machine", "torch", "date"))
    runs = {(method, name) for method in live.REPORTED for name in record[method]}
    assert runs == {*live.MISTAKES.values(), *((method, live.RIGHT) for method in live.REPORTED)}


def test_mistakes_have_numbers_to_compare_and_say_them():
    check_page(live.mistakes(), n_checks=20)


@pytest.mark.parametrize("mistake", live.MISTAKES)
def test_a_mistake_s_numbers_are_the_record_s(record, mistake):
    method, name = live.MISTAKES[mistake]
    mine, every = record[method][name], record["watched_every"]
    first, second = live.REPORTED[method]
    steps = len(mine[first])
    assert steps == record["steps" if method == "dpo" else "ppo_steps"]
    for at in range(every, steps + 1, every):
        said = live.mistake_numbers(mistake, at)
        for key, curve in (("first", first), ("second", second)):
            assert said[key] == pytest.approx(sum(mine[curve][at - every : at]) / every)
            right = record[method]["right"][curve][at - every : at]
            assert said[f"right_{key}"] == pytest.approx(sum(right) / every)
        assert said["chosen"] == mine["logprob_chosen"][at // every]
        assert said["rejected"] == mine["logprob_rejected"][at // every]
    assert live.mistake_numbers(mistake, 10**3)["at"] == steps
    assert said["right"] == mine["after"]["right"] < said["total"] == record["questions"]


def test_held_out_pairs_begin_where_the_shipped_model_is(record):
    every_run = [run for method in live.REPORTED for run in record[method].values()]
    assert len({run["logprob_chosen"][0] for run in every_run}) == 1
    assert len({run["logprob_rejected"][0] for run in every_run}) == 1
    assert all(run["true_margin"][0] == 0 for run in every_run)
    for run in every_run:  # the margin is what the log-probabilities say it is
        gaps = [a - b for a, b in zip(run["logprob_chosen"], run["logprob_rejected"], strict=True)]
        for gap, margin in zip(gaps, run["true_margin"], strict=True):
            assert record["beta"] * (gap - gaps[0]) == pytest.approx(margin, abs=1e-4)


def test_what_is_said_of_the_mistakes_of_dpo_is_so(record):
    runs = record["dpo"]
    right = runs["right"]

    def apart(name):
        return max(abs(a - b) for a, b in zip(runs[name]["loss"], right["loss"], strict=True))

    assert set(runs["reference not frozen"]["loss"]) == {round(math.log(2), 6)}
    assert set(runs["reference not frozen"]["margin"]) == {0.0}
    real = {name: run["true_margin"][-1] for name, run in runs.items()}
    assert real["reference not frozen"] == pytest.approx(real["right"], rel=0.1)
    assert runs["reference forgotten"]["loss"][0] < 0.6
    assert runs["reference forgotten"]["loss"][-4:] < runs["reference forgotten"]["loss"][:4]
    assert apart("prompt counted") < 1e-5
    assert apart("EOS outside") < 1e-5
    assert runs["mean for sum"]["margin"][-1] < right["margin"][-1] / 3
    assert real["mean for sum"] > 0.8 * real["right"]
    swapped = runs["pairs swapped"]
    assert swapped["loss"][-1] == pytest.approx(right["loss"][-1], abs=0.01)
    assert swapped["margin"][-1] > 0.1
    assert real["pairs swapped"] < 0
    assert swapped["after"]["right"] < right["after"]["right"] - 10


def test_what_is_said_of_the_mistakes_of_ppo_is_so(record):
    right, sign = record["ppo"]["right"], record["ppo"]["KL sign"]
    assert sum(sign["kl"][-4:]) > 1.5 * sum(right["kl"][-4:])
    assert sum(sign["reward"][-4:]) <= sum(right["reward"][-4:])
    assert sign["after"]["right"] < right["after"]["right"]
    assert sum(record["ppo"]["whitening forgotten"]["kl"][-4:]) < 0.8 * sum(right["kl"][-4:])


def test_verdicts_hold_the_record_s_numbers(record):
    said = live.verdicts(record)
    assert set(said) == set(live.MISTAKES)
    assert f"{record['dpo']['pairs swapped']['after']['right']} of" in said["the pairs are swapped"]
    assert "more than 0.000002" in said["prompt tokens are counted"]
