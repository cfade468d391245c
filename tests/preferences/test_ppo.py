"""PPO: its parts against the papers in plain Python, and a small run that earns its reward."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from small_models import LLAMA, random_model, random_tokens, with_lora

pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")

from llama_tutorial import Transformer, load_tokenizer
from llama_tutorial.lora import add_lora
from llama_tutorial.preferences.ppo import (
    PPO,
    PolicyWithValue,
    PPOConfig,
    Prompts,
    advantages_of,
    clipped_loss,
    whiten,
)
from llama_tutorial.shipped import SHIPPED
from llama_tutorial.training.loop import TrainConfig, train

WORDS = LLAMA.replace(vocab_size=1024, max_seq_len=48)


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(SHIPPED["tales"].tokenizer)


def numbers(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def test_whitened_numbers_have_mean_0_and_variance_1():
    x = 5 + 3 * numbers(40)
    found = whiten(x)
    assert float(found.mean()) == pytest.approx(0, abs=1e-9)
    assert float(found.square().mean()) == pytest.approx(1, abs=1e-7)
    assert torch.equal(found.argsort(), x.argsort())
    assert (whiten(torch.full((5,), 7.0)) == 0).all()
    mask = torch.rand(40, generator=torch.Generator().manual_seed(1)) < 0.5
    masked = whiten(x, mask)
    assert torch.equal(masked[~mask], torch.zeros(int((~mask).sum()), dtype=torch.float64))
    assert torch.allclose(masked[mask], whiten(x[mask]))


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.5), (1.0, 1.0), (1.0, 0.0)])
def test_advantages_are_the_sum_of_equation_16(gamma, lam):
    rewards, values = numbers(2, 6), numbers(2, 6, seed=1)
    spans = [(0, 6), (2, 5)]
    mask = torch.zeros(2, 6, dtype=torch.bool)
    for row, (begin, end) in enumerate(spans):
        mask[row, begin:end] = True
    found = advantages_of(rewards, values, mask, gamma=gamma, lam=lam)
    for row, (begin, end) in enumerate(spans):
        r, v = rewards[row].tolist(), [*values[row].tolist(), 0.0]
        v[end] = 0.0
        for t in range(begin, end):
            oracle = sum(
                (gamma * lam) ** (s - t) * (r[s] + gamma * v[s + 1] - v[s]) for s in range(t, end)
            )
            assert float(found[row, t]) == pytest.approx(oracle, abs=1e-9)
    assert (found[~mask] == 0).all()


def test_the_clipped_loss_is_equation_7_in_plain_python():
    new, old, advantages = numbers(3, 4) / 3, numbers(3, 4, seed=1) / 3, numbers(3, 4, seed=2)
    mask = torch.tensor([[1, 1, 1, 0], [0, 1, 1, 1], [1, 0, 0, 0]], dtype=torch.bool)
    oracle = 0.0
    for row in range(3):
        for t in range(4):
            if mask[row, t]:
                ratio = math.exp(float(new[row, t] - old[row, t]))
                a = float(advantages[row, t])
                oracle -= min(ratio * a, max(0.8, min(ratio, 1.2)) * a)
    found = clipped_loss(new, old, advantages, mask, clip=0.2)
    assert float(found) == pytest.approx(oracle, abs=1e-9)


def test_where_the_ratio_is_1_the_gradient_is_the_policy_gradient():
    old, advantages = numbers(3, 4), numbers(3, 4, seed=2)
    mask = torch.ones(3, 4, dtype=torch.bool)
    new = old.clone().requires_grad_()
    clipped_loss(new, old, advantages, mask).backward()
    assert torch.allclose(new.grad, -advantages, atol=1e-12)


def test_beyond_the_clip_there_is_nothing_to_gain_and_still_something_to_lose():
    new = torch.tensor([[1.0, 1.0, -1.0, -1.0]], dtype=torch.float64).requires_grad_()
    advantages = torch.tensor([[1.0, -1.0, 1.0, -1.0]], dtype=torch.float64)
    clipped_loss(new, torch.zeros_like(new), advantages, torch.ones(1, 4).bool()).backward()
    assert (new.grad != 0).tolist() == [[False, True, True, False]]


@pytest.mark.parametrize("tied", [False, True])
def test_a_value_head_leaves_the_logits_as_they_are(tied):
    config = LLAMA.replace(tie_embeddings=tied)
    model, ids = random_model(config, dtype=torch.float64), random_tokens(config, 2, 5)
    logits = model(ids)
    names = set(model.state_dict())
    policy = PolicyWithValue.of(model)
    both = policy(ids, values=True)
    assert torch.equal(policy(ids), logits)
    assert torch.equal(both[..., :-1], logits)
    assert (both[..., -1] == 0).all()
    assert both.shape == (2, 5, config.vocab_size + 1)
    assert set(policy.without_value().state_dict()) == names


def talker(eos: int = 2) -> Transformer:
    """A random model that ends about one answer in four at each token."""
    model = random_model(WORDS, dtype=torch.float64)
    with torch.no_grad():  # one feature is always large, and speaks for EOS
        model.tok_embeddings.weight[:, 0] = 12.0
        model.norm.weight[0] = 1.0
        model.output.weight[:, 0] = 0.0
        model.output.weight[eos] = 0.0
        model.output.weight[eos, 0] = 1.9
    return model


def setting(tokenizer, *, lora=False, **changes):
    """A policy, its method, and prompts whose answers earn more the shorter they are."""
    model = talker()
    torch.manual_seed(0)
    reference = None if lora else copy.deepcopy(model)
    if lora:
        add_lora(model, rank=4)
    config = PPOConfig(**{"mini_batches": 2, "max_new_tokens": 6, **changes})

    def reward(answered):
        return [-float(len(answer.text)) for _, answer in answered]

    dialogs = [[{"role": "user", "content": f"Say {word}."}] for word in "abcdefgh"]
    prompts = Prompts(dialogs, tokenizer, 8)
    return PolicyWithValue.of(model), PPO(tokenizer, reward, config, reference), prompts


def test_a_rollout_is_what_the_policy_says_of_its_own_answers(tokenizer):
    policy, method, prompts = setting(tokenizer, kl=0.5)
    batch = prompts.batch(1)
    rollout, noted = method.rollout(policy, batch)
    logprobs = policy(rollout.ids).log_softmax(-1)
    for row, prompt in enumerate(batch.prompts):
        assert rollout.ids[row, : len(prompt)].tolist() == prompt
        places = rollout.mask[row].nonzero()[:, 0].tolist()
        assert places == list(range(len(prompt) - 1, len(prompt) - 1 + len(places)))
        for t in places:
            wanted = logprobs[row, t, rollout.ids[row, t + 1]]
            assert float(rollout.old[row, t]) == pytest.approx(float(wanted.detach()), abs=1e-9)
    assert torch.allclose(rollout.old, rollout.reference, atol=1e-9)  # nothing is learned yet
    assert noted["kl"] == pytest.approx(0, abs=1e-9)
    advantages = rollout.advantages[rollout.mask]
    assert float(advantages.mean()) == pytest.approx(0, abs=1e-9)
    assert float(advantages.square().mean()) == pytest.approx(1, abs=1e-6)


def test_the_penalty_is_paid_token_by_token_and_the_reward_at_the_end(tokenizer):
    policy, method, prompts = setting(tokenizer, kl=0.5, lam=1.0)
    with torch.no_grad():
        for parameter in policy.parameters():
            parameter.mul_(1.02)
    rollout, noted = method.rollout(policy, prompts.batch(1))
    assert noted["kl"] != 0
    # Values are 0 and lambda 1: what a token should have said is all that follows it.
    penalty = -0.5 * (rollout.old - rollout.reference)
    first = rollout.mask.long().argmax(1)
    totals = rollout.returns[torch.arange(8), first] - (penalty * rollout.mask).sum(1)
    assert float(totals.mean()) == pytest.approx(0, abs=1e-9)  # whitened rewards
    assert float(totals.square().mean()) == pytest.approx(1, abs=1e-6)


def test_an_answer_that_does_not_end_gets_less_than_the_worst(tokenizer):
    _, method, prompts = setting(tokenizer)
    drawn = [[450, 451], [450], []]
    judged = method._judge(prompts.dialogs[:3], drawn, [True, False, True])
    text = tokenizer.decode(drawn[0]).strip()
    assert judged.tolist() == [-len(text), -len(text) - 1, -len(text) - 1]


@pytest.mark.parametrize("lora", [False, True])
def test_it_earns_more_and_keeps_count_of_the_distance(tokenizer, tmp_path, lora):
    policy, method, prompts = setting(tokenizer, lora=lora, kl=0.0)
    settings = TrainConfig(total_steps=10, peak_lr=3e-3, warmup_steps=0, weight_decay=0.0)
    assert train(
        policy,
        prompts.batch,
        settings,
        tmp_path,
        method=method,
        validation=prompts.every_prompt(),
        write_model=lambda whole, path: torch.save(whole.state_dict(), f"{path}.pt"),
    )
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[0]["kl"] == pytest.approx(0, abs=1e-9)
    assert lines[-1]["kl"] > 0.01
    assert sum(line["reward"] for line in lines[-3:]) > sum(line["reward"] for line in lines[:3])
    assert {"reward", "kl", "ended", "clipped", "value_loss"} <= lines[0].keys()
    assert {"validation_reward", "validation_kl", "validation_loss"} <= lines[-1].keys()


def test_a_run_that_was_killed_goes_on_bit_for_bit(tokenizer, tmp_path):
    settings = TrainConfig(total_steps=6, peak_lr=1e-3, warmup_steps=0, checkpoint_every=2)

    class Killed(BaseException):
        pass

    def go(out, dies_at=0):
        policy, method, prompts = setting(tokenizer, lora=True)

        def batch_at(step):
            if step == dies_at:
                raise Killed
            return prompts.batch(step)

        return train(
            policy,
            batch_at,
            settings,
            out,
            method=method,
            write_model=lambda whole, path: torch.save(whole.state_dict(), f"{path}.pt"),
        )

    assert go(tmp_path / "whole")
    with pytest.raises(Killed):
        go(tmp_path / "again", dies_at=4)
    assert go(tmp_path / "again")
    weights = [
        torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("whole", "again")
    ]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_with_adapters_the_reference_is_the_base(tokenizer):
    policy, method, prompts = setting(tokenizer, lora=True)
    plain = talker()
    rollout, _ = method.rollout(policy, prompts.batch(1))
    again = PPO(tokenizer, method.reward, method.config, plain)
    learned = PolicyWithValue.of(with_lora(talker(), rank=4))
    one, _ = method.rollout(learned, prompts.batch(1))
    other, _ = again.rollout(learned, prompts.batch(1))
    assert torch.equal(one.reference, other.reference)
    assert not torch.allclose(one.old, one.reference, atol=1e-3)
    assert torch.allclose(rollout.old, rollout.reference, atol=1e-9)


def test_settings_out_of_range(tokenizer):
    for change, message in [
        ({"kl": -1}, "kl=-1: must be 0 or above, and finite"),
        ({"kl": math.inf}, "kl=inf: must be 0 or above, and finite"),
        ({"clip": 1}, "clip=1: must be between 0 and 1"),
        ({"mini_batches": 0}, "mini_batches=0: must be at least 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            PPOConfig(**change)
    with pytest.raises(ValueError, match="batch_size=1: must be at least 2, to whiten"):
        Prompts([[{"role": "user", "content": "Hi"}]], tokenizer, 1)
    with pytest.raises(ValueError, match="no prompt to draw answers to"):
        Prompts([], tokenizer, 4)
