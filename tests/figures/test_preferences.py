"""The figures of the chapter on preferences: their numbers against the package's."""

from __future__ import annotations

import math

import pytest
import torch

pytest.importorskip("matplotlib")

from live_figures import check_page

from llama_tutorial import load
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
