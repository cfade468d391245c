"""The two losses of preferences, against the papers' formulas in plain Python."""

from __future__ import annotations

import math

import pytest
import torch
from small_models import LLAMA, random_model, random_tokens

from llama_tutorial.preferences import dpo_loss, reward_loss, sequence_logprobs
from llama_tutorial.preferences.losses import MARGINS, implicit_reward, token_logprobs
from llama_tutorial.training import IGNORE


def numbers(n: int, seed: int, scale: float = 3.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, generator=generator, dtype=torch.float64)


def log_sigmoid(x: float) -> float:
    return -math.log1p(math.exp(-x)) if x > 0 else x - math.log1p(math.exp(x))


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-9), (torch.float32, 1e-6)])
def test_the_reward_loss_is_equation_2_of_llama_2(dtype, close):
    chosen, rejected = numbers(7, 0), numbers(7, 1)
    margin = torch.tensor(MARGINS["small"], dtype=torch.float64)[torch.arange(7) % 4]
    oracle = sum(
        -log_sigmoid(c - r - m)
        for c, r, m in zip(chosen.tolist(), rejected.tolist(), margin.tolist(), strict=True)
    )
    found = reward_loss(chosen.to(dtype), rejected.to(dtype), margin.to(dtype))
    assert float(found) == pytest.approx(oracle / 7, abs=close)
    same = reward_loss(chosen.to(dtype), rejected.to(dtype), 0.5)
    oracle = [-log_sigmoid(float(c - r) - 0.5) for c, r in zip(chosen, rejected, strict=True)]
    assert float(same) == pytest.approx(sum(oracle) / 7, abs=close)


def test_equal_rewards_cost_log_2_and_a_margin_more():
    same = numbers(5, 2)
    assert float(reward_loss(same, same)) == pytest.approx(math.log(2), abs=1e-12)
    assert reward_loss(same, same, 1.0) > reward_loss(same, same, 0.3) > math.log(2)


def test_the_margins_are_those_of_table_27():
    assert MARGINS["large"] == (0, 1, 2, 3)
    assert MARGINS["small"] == (0, 1 / 3, 2 / 3, 1)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-9), (torch.float32, 1e-6)])
@pytest.mark.parametrize("beta", [0.1, 0.5, 2])
def test_the_dpo_loss_is_equation_7_of_rafailov(dtype, close, beta):
    given = [numbers(6, seed) for seed in range(4)]
    oracle = 0.0
    for c, r, rc, rr in zip(*(part.tolist() for part in given), strict=True):
        oracle -= log_sigmoid(beta * (c - rc) - beta * (r - rr)) / 6
    found = dpo_loss(*(part.to(dtype) for part in given), beta=beta)
    assert float(found) == pytest.approx(oracle, abs=10 * close if beta > 1 else close)


def test_dpo_costs_log_2_where_the_policy_is_the_reference():
    chosen, rejected = numbers(6, 3), numbers(6, 4)
    loss = dpo_loss(chosen, rejected, chosen, rejected, beta=0.7)
    assert float(loss) == pytest.approx(math.log(2), abs=1e-12)


def test_dpo_raises_the_chosen_answer_and_lowers_the_rejected_one():
    """The gradient of equation 7: -beta sigmoid(-margin), and the same with the other sign."""
    given = [numbers(6, seed).requires_grad_() for seed in range(4)]
    chosen, rejected, reference_chosen, reference_rejected = given
    dpo_loss(*given, beta=0.3).backward()
    margin = 0.3 * (chosen - reference_chosen - rejected + reference_rejected)
    wanted = -0.3 * torch.sigmoid(-margin.detach()) / 6
    assert (chosen.grad < 0).all()
    assert torch.allclose(chosen.grad, wanted, atol=1e-12)
    assert torch.allclose(rejected.grad, -wanted, atol=1e-12)


def test_what_the_reference_alone_adds_to_both_answers_does_not_count():
    given = [numbers(6, seed) for seed in range(4)]
    moved = [given[0], given[1], given[2] + 5, given[3] + 5]
    assert float(dpo_loss(*given)) == pytest.approx(float(dpo_loss(*moved)), abs=1e-9)


@pytest.mark.parametrize("beta", [0, -0.1, math.nan])
def test_beta_must_be_above_0(beta):
    zeros = torch.zeros(2)
    with pytest.raises(ValueError, match=f"beta={beta}: must be above 0; without it nothing holds"):
        dpo_loss(zeros, zeros, zeros, zeros, beta=beta)


def test_the_implicit_reward_is_beta_times_the_difference():
    assert implicit_reward(torch.tensor([2.0]), torch.tensor([5.0]), 0.1).item() == pytest.approx(
        -0.3
    )


def test_a_log_probability_is_the_sum_over_the_answers_tokens():
    model = random_model(LLAMA, dtype=torch.float64)
    ids = random_tokens(LLAMA, 3, 9)
    labels = ids.clone()
    for row, (begin, end) in enumerate([(3, 9), (1, 5), (8, 9)]):
        labels[row, :begin] = labels[row, end:] = IGNORE
    found = sequence_logprobs(model, ids, labels)
    logits = model(ids).tolist()
    for row in range(3):
        oracle = 0.0
        for t in range(1, 9):
            if labels[row, t] != IGNORE:
                before = logits[row][t - 1]
                total = math.log(sum(math.exp(x) for x in before))
                oracle += before[int(ids[row, t])] - total
        assert float(found[row].detach()) == pytest.approx(oracle, abs=1e-9)


def test_padding_after_the_answer_changes_nothing():
    model = random_model(LLAMA, dtype=torch.float64)
    ids = random_tokens(LLAMA, 2, 7)
    labels = ids.clone()
    labels[:, :3] = IGNORE
    padded = torch.cat((ids, torch.zeros(2, 4, dtype=torch.int64)), 1)
    ignored = torch.cat((labels, torch.full((2, 4), IGNORE)), 1)
    one, other = sequence_logprobs(model, ids, labels), sequence_logprobs(model, padded, ignored)
    assert torch.allclose(one, other, atol=1e-9)


def test_every_token_has_a_place_and_those_without_label_are_0():
    model = random_model(LLAMA, dtype=torch.float64)
    ids = random_tokens(LLAMA, 2, 6)
    labels = torch.where(torch.arange(6) < 4, IGNORE, ids)
    found = token_logprobs(model(ids), labels)
    assert found.shape == (2, 5)
    assert (found[:, :3] == 0).all()
    assert (found[:, 3:] < 0).all()
