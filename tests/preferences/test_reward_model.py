"""The reward model: one number at the last token, learned from pairs, kept in a folder."""

from __future__ import annotations

import json
import math

import pytest
import torch
from small_models import EVERY, LLAMA, random_model, random_tokens

pytest.importorskip("safetensors")

from llama_tutorial.finetuning import Example
from llama_tutorial.lora import add_lora
from llama_tutorial.preferences import RewardModel
from llama_tutorial.preferences.batches import PairBatches
from llama_tutorial.preferences.losses import reward_loss
from llama_tutorial.preferences.reward_model import (
    RewardTraining,
    accuracy_by_grade,
    calibration,
    load_reward_model,
    save_reward_model,
)
from llama_tutorial.training import IGNORE
from llama_tutorial.training.loop import TrainConfig, train


def random_reward(config=LLAMA, dtype=torch.float64) -> RewardModel:
    model = RewardModel.of(random_model(config, dtype=dtype))
    generator = torch.Generator().manual_seed(5)
    noise = torch.randn(1, config.dim, generator=generator, dtype=torch.float64)
    model.output.weight.data = noise.to(dtype)
    return model.eval()


def pairs(n: int = 12, batch_size: int = 4) -> PairBatches:
    """The better answer always has token 7 in it."""
    found = []
    for i in range(n):
        prompt = [1, 10 + i % 5, 11]
        for_all = [IGNORE] * 3
        good, bad = [7, 20 + i % 3, 2], [8, 20 + i % 3, 9, 2]
        found.append(
            (Example(prompt + good, for_all + good), Example(prompt + bad, for_all + bad), i % 4)
        )
    return PairBatches(found, batch_size, 32)


@pytest.mark.parametrize("name", ["llama", "llama-tied", "gpt2"])
def test_a_reward_is_read_at_the_last_token_and_the_decoder_is_the_chat_models(name):
    config = EVERY[name]
    model = random_model(config, dtype=torch.float64)
    reward = RewardModel.of(model)
    ids = random_tokens(config, 3, 6)
    last = torch.tensor([5, 2, 4])
    assert torch.equal(reward.rewards(ids, last), torch.zeros(3, dtype=torch.float64))
    assert reward(ids).shape == (3, 6, 1)
    # With a row of an untied head as its own, it gives that token's logit.
    head = model.output.weight[4:5].detach()
    reward.output.weight.data = head
    logits = model(ids)[torch.arange(3), last, 4]
    assert torch.allclose(reward.rewards(ids, last), logits, atol=1e-9)


def test_what_follows_the_last_token_does_not_count():
    model, ids = random_reward(), random_tokens(LLAMA, 2, 8)
    other = ids.clone()
    other[:, 5:] = 3
    last = torch.tensor([4, 4])
    assert torch.allclose(model.rewards(ids, last), model.rewards(other, last), atol=1e-9)


def test_it_is_a_copy_of_the_chat_model():
    model = random_model(LLAMA)
    reward = RewardModel.of(model)
    reward.tok_embeddings.weight.data.zero_()
    assert model.tok_embeddings.weight.abs().sum() > 0
    assert all(parameter.requires_grad for parameter in reward.parameters())


def test_its_loss_has_the_margins_of_the_grades():
    model, batch = random_reward(), pairs(4).of([0, 1, 2, 3])
    loss, noted = RewardTraining("large").loss(model, batch)
    chosen, rejected = model.rewards(batch.inputs, batch.last).chunk(2)
    margins = torch.tensor([0.0, 1.0, 2.0, 3.0], dtype=torch.float64)
    assert torch.allclose(loss, reward_loss(chosen, rejected, margins))
    assert torch.equal(noted["margin"], chosen - rejected)
    without, _ = RewardTraining("none").loss(model, batch)
    assert without < loss
    with pytest.raises(ValueError, match="margins='medium': must be one of none, small, large"):
        RewardTraining("medium")


def test_it_learns_what_is_preferred(tmp_path):
    torch.manual_seed(0)
    model, training = RewardModel.of(random_model(LLAMA)), pairs()
    settings = TrainConfig(total_steps=30, peak_lr=3e-3, warmup_steps=5)
    assert train(
        model,
        training.batch,
        settings,
        tmp_path,
        method=RewardTraining(),
        validation=list(training.every_pair()),
        write_model=save_reward_model,
    )
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["accuracy"] == 0.5
    assert lines[0]["margin"] == 0
    assert lines[-1]["validation_accuracy"] == 1
    assert lines[-1]["validation_margin"] > 1
    assert lines[-1]["loss"] < 0.5 * lines[0]["loss"]
    again = load_reward_model(tmp_path / "model")
    batch = training.of([0, 1])
    rewards = [m.rewards(batch.inputs, batch.last) for m in (again, model)]
    assert torch.equal(*rewards)


def test_accuracy_by_grade_and_calibration():
    chosen = torch.tensor([1.0, 0.0, 2.0, 5.0, 0.5])
    rejected = torch.tensor([0.0, 1.0, 2.0, 0.0, 0.0])
    grades = torch.tensor([3, 3, 1, 1, 3])
    found = accuracy_by_grade(chosen, rejected, grades)
    assert list(found) == [1, 3]
    assert (found[1].accuracy, found[1].n) == (0.75, 2)  # a tie is a half
    assert (found[3].accuracy, found[3].n) == (pytest.approx(2 / 3), 3)

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    assert found[3].confidence == pytest.approx((2 * sigmoid(1) + sigmoid(0.5)) / 3)
    bins = calibration(chosen, rejected, n_bins=2)  # below and from 0.75 on
    assert [share.n for share in bins] == [4, 1]
    assert bins[1] == (1.0, pytest.approx(sigmoid(5)), 1)
    assert bins[0].accuracy == pytest.approx(2.5 / 4)


def test_a_model_that_says_how_sure_it_is_is_calibrated():
    """Preferences drawn from its own probabilities: every bin is about as right as it says."""
    generator = torch.Generator().manual_seed(0)
    difference = 2 * torch.randn(20_000, generator=generator, dtype=torch.float64)
    first = torch.rand(20_000, generator=generator, dtype=torch.float64) < difference.sigmoid()
    chosen = torch.where(first, difference, 0.0)
    rejected = torch.where(first, 0.0, difference)
    for share in calibration(chosen, rejected):
        assert share.accuracy == pytest.approx(share.confidence, abs=0.02)


def test_a_folder_that_holds_no_reward_model(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such file; a reward model's folder has one"):
        load_reward_model(tmp_path)
    save_reward_model(random_reward(dtype=torch.float32), tmp_path / "reward")
    config = tmp_path / "reward" / "reward.json"
    whole = json.loads(config.read_text())
    config.write_text(json.dumps({**whole, "format": "other"}))
    with pytest.raises(ValueError, match='does not say "format": "llama-tutorial-reward"'):
        load_reward_model(tmp_path / "reward")
    config.write_text(json.dumps({**whole, "model": {"dim": 3}}))
    with pytest.raises(ValueError, match=r"reward\.json is damaged: "):
        load_reward_model(tmp_path / "reward")
    config.write_text(json.dumps({**whole, "model": {**whole["model"], "vocab_size": 36}}))
    with pytest.raises(ValueError, match=r"is not the reward model of reward\.json; wrong shape"):
        load_reward_model(tmp_path / "reward")


def test_a_model_that_is_not_finite_is_not_written(tmp_path):
    model = random_reward()
    model.norm.weight.data[0] = math.nan
    with pytest.raises(ValueError, match=r"norm\.weight of the reward model is not finite"):
        save_reward_model(model, tmp_path / "reward")


def test_with_adapters_only_they_and_the_head_learn():
    model = RewardModel.of(random_model(LLAMA))
    add_lora(model, rank=2)
    model.output.requires_grad_(True)
    loss, _ = RewardTraining().loss(model, pairs(4).of([0, 1]))
    loss.backward()
    learned = {name for name, p in model.named_parameters() if p.grad is not None}
    assert all("lora" in name or name == "output.weight" for name in learned)
    assert "output.weight" in learned
