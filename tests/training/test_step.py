"""The training step: schedule, optimiser, loss, accumulation."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch

from llama_tutorial import ModelConfig, Transformer, generate
from llama_tutorial.training import (
    IGNORE,
    Batch,
    checkpoint_layers,
    cosine_schedule,
    make_optimizer,
    token_loss,
    train_step,
)

CONFIG = ModelConfig(
    dim=32, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=48, vocab_size=61, max_seq_len=24
)


PAPER = {"peak_lr": 3e-4, "warmup_steps": 2000, "total_steps": 500_000}


def make_model(**changes) -> Transformer:
    torch.manual_seed(0)
    return Transformer(CONFIG.replace(**changes))


def make_batches(n: int, rows: int = 4, length: int = 16) -> list[Batch]:
    random = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, CONFIG.vocab_size, (n, rows, length + 1), generator=random)
    return [Batch(batch[:, :-1].clone(), batch[:, 1:].clone()) for batch in tokens]


class TestCosineSchedule:
    def test_known_points(self):
        # The formula of the paper's section 2.2, evaluated by hand.
        assert cosine_schedule(0, **PAPER) == 0
        assert cosine_schedule(1, **PAPER) == pytest.approx(3e-4 / 2000, rel=1e-12)
        assert cosine_schedule(2000, **PAPER) == pytest.approx(3e-4, rel=1e-12)
        middle = (2000 + 500_000) // 2
        assert cosine_schedule(middle, **PAPER) == pytest.approx(1.65e-4, rel=1e-12)
        assert cosine_schedule(500_000, **PAPER) == pytest.approx(3e-5, rel=1e-12)

    def test_stays_on_the_floor(self):
        # Hugging Face's cosine turns up again behind the end.
        assert cosine_schedule(600_000, **PAPER) == pytest.approx(3e-5, rel=1e-12)

    def test_equals_an_independent_formula_everywhere(self):
        for step in range(0, 1300, 7):
            x = min(max((step - 100) / 900, 0), 1)
            expected = 2e-3 * (step / 100 if step < 100 else 0.55 + 0.45 * np.cos(np.pi * x))
            got = cosine_schedule(step, peak_lr=2e-3, warmup_steps=100, total_steps=1000)
            assert got == pytest.approx(expected, abs=1e-15)

    def test_without_warm_up_starts_at_the_peak(self):
        assert cosine_schedule(0, peak_lr=1.0, warmup_steps=0, total_steps=10) == 1.0

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"step": -1}, "step=-1: must be 0 or above"),
            ({"warmup_steps": 11}, "warmup_steps=11: must be between 0 and total_steps=10"),
            ({"min_ratio": 1.5}, "min_ratio=1.5: must be between 0 and 1"),
        ],
    )
    def test_errors(self, changes, message):
        settings = {"step": 1, "peak_lr": 1.0, "warmup_steps": 2, "total_steps": 10} | changes
        with pytest.raises(ValueError, match=message):
            cosine_schedule(settings.pop("step"), **settings)


class TestOptimizer:
    @pytest.mark.parametrize("switches", [{}, {"bias": True, "norm": "layernorm"}])
    def test_decay_falls_on_matrices_only(self, switches):
        model = make_model(**switches)
        decayed, spared = make_optimizer(model, lr=1e-3, weight_decay=0.3).param_groups
        assert (decayed["weight_decay"], spared["weight_decay"]) == (0.3, 0.0)
        assert {p.ndim for p in decayed["params"]} == {2}
        assert {p.ndim for p in spared["params"]} == {1}
        assert len(decayed["params"]) + len(spared["params"]) == len(list(model.parameters()))

    def test_frozen_parameters_are_left_out(self):
        model = make_model()
        model.requires_grad_(False)
        model.norm.weight.requires_grad_(True)
        (group,) = make_optimizer(model, lr=1e-3).param_groups
        assert [id(p) for p in group["params"]] == [id(model.norm.weight)]


def reference_adamw(model, batches, lrs, clip, decay=0.1, beta1=0.9, beta2=0.95, eps=1e-5):
    """AdamW from its paper (Loshchilov and Hutter, 2019), with float64 autograd gradients."""
    parameters = list(model.parameters())
    means = [torch.zeros_like(p) for p in parameters]
    squares = [torch.zeros_like(p) for p in parameters]
    losses = []
    for t, (batch, lr) in enumerate(zip(batches, lrs, strict=True), 1):
        logp = model(batch.inputs).log_softmax(-1)
        loss = -logp.gather(-1, batch.targets[..., None]).mean()
        grads = torch.autograd.grad(loss, parameters)
        norm = math.sqrt(sum(float((g**2).sum()) for g in grads))
        scale = min(1.0, clip / (norm + 1e-6))
        losses.append(float(loss.detach()))
        with torch.no_grad():
            for p, g, m, v in zip(parameters, grads, means, squares, strict=True):
                g = g * scale
                m.copy_(beta1 * m + (1 - beta1) * g)
                v.copy_(beta2 * v + (1 - beta2) * g**2)
                step = (m / (1 - beta1**t)) / ((v / (1 - beta2**t)).sqrt() + eps)
                p.copy_(p - lr * step - lr * (decay if p.ndim > 1 else 0) * p)
    return losses


class TestTrainStep:
    def test_twelve_steps_equal_adamw_written_out(self):
        batches = make_batches(12)
        lrs = [
            cosine_schedule(step, peak_lr=3e-3, warmup_steps=3, total_steps=12)
            for step in range(1, 13)
        ]
        model = make_model()
        expected = reference_adamw(make_model().double(), batches, lrs, clip=0.5)
        optimizer = make_optimizer(model, lr=1.0)
        losses = [
            train_step(model, optimizer, b.inputs, b.targets, lr=lr, clip=0.5)
            for b, lr in zip(batches, lrs, strict=True)
        ]
        assert losses == pytest.approx(expected, abs=1e-5)

    def test_loss_at_the_start_is_that_of_guessing(self):
        model, (batch,) = make_model(), make_batches(1)
        loss = train_step(model, make_optimizer(model, lr=0), *batch[:2], lr=0)
        assert loss == pytest.approx(math.log(CONFIG.vocab_size), abs=0.05)

    def test_the_norm_is_the_gradients_before_it_is_clipped(self):
        model, (batch,), norms = make_model(), make_batches(1), []
        loss, n = token_loss(model, *batch[:2])
        gradients = torch.autograd.grad(loss / n, list(model.parameters()))
        train_step(model, make_optimizer(model, lr=0), *batch[:2], lr=0, clip=1e-3, norms=norms)
        squares = sum(float(gradient.double().square().sum()) for gradient in gradients)
        assert norms == pytest.approx([squares**0.5], rel=1e-5)
        assert norms[0] > 1e-3

    @pytest.mark.parametrize("micro_batches", [2, 3, 4])
    def test_accumulation_equals_the_large_batch(self, micro_batches):
        # Rows of unequal token counts: a mean of means would be wrong.
        (batch,) = make_batches(1)
        batch.targets[0, 3:] = IGNORE
        batch.targets[2, :] = IGNORE
        states = []
        for parts in (1, micro_batches):
            model = make_model().double()
            optimizer = make_optimizer(model, lr=1e-2)
            loss = train_step(model, optimizer, *batch[:2], lr=1e-2, micro_batches=parts)
            states.append((loss, model.state_dict()))
        assert states[0][0] == pytest.approx(states[1][0], abs=1e-9)
        for name, tensor in states[0][1].items():
            torch.testing.assert_close(tensor, states[1][1][name], atol=1e-9, rtol=0)

    def test_ignored_targets_have_no_gradient(self):
        (batch,) = make_batches(1, rows=1)
        targets = torch.full_like(batch.targets, IGNORE)
        targets[0, 4] = batch.targets[0, 4]
        model = make_model().double()
        loss, n = token_loss(model, batch.inputs, targets)
        alone = model(batch.inputs)[0, 4].log_softmax(-1)[batch.targets[0, 4]]
        assert n == 1
        assert float(loss.detach()) == pytest.approx(-float(alone.detach()), abs=1e-9)

    def test_overfits_one_batch(self):
        model, (batch,) = make_model(), make_batches(1)
        optimizer = make_optimizer(model, lr=1e-2)
        for _ in range(80):
            loss = train_step(model, optimizer, *batch[:2], lr=1e-2)
        assert loss < 0.1

    def test_gradient_checkpointing_changes_nothing_but_memory(self):
        (batch,) = make_batches(1)
        documents = (torch.arange(16) // 5).expand(4, 16)
        plain = make_model().double()
        recomputing = make_model().double()
        names = [name for name, _ in recomputing.named_modules()]
        checkpoint_layers(recomputing)
        checkpoint_layers(recomputing)  # twice is once
        recomputing = copy.deepcopy(recomputing)
        assert [name for name, _ in recomputing.named_modules()] == names
        assert recomputing.state_dict().keys() == plain.state_dict().keys()
        gradients, kept = [], []
        for model in (plain, recomputing):
            n_bytes = []
            with torch.autograd.graph.saved_tensors_hooks(
                lambda tensor, n_bytes=n_bytes: (n_bytes.append(tensor.nbytes), tensor)[1],
                lambda tensor: tensor,
            ):
                loss, _ = token_loss(model, batch.inputs, batch.targets, documents)
            loss.backward()
            gradients.append([p.grad for p in model.parameters()])
            kept.append(sum(n_bytes))
        assert kept[1] < kept[0] / 3
        for expected, recomputed in zip(*gradients, strict=True):
            torch.testing.assert_close(expected, recomputed, atol=1e-12, rtol=0)
        prompts = [[1, 2, 3], [4]]
        assert generate(recomputing, prompts, 8, seed=0) == generate(plain, prompts, 8, seed=0)

    def test_bfloat16_autocast_trains(self):
        model, (batch,) = make_model(), make_batches(1)
        optimizer = make_optimizer(model, lr=1e-2)
        losses = [
            train_step(model, optimizer, *batch[:2], lr=1e-2, autocast=torch.bfloat16)
            for _ in range(30)
        ]
        assert losses[-1] < 0.5 * losses[0]
        assert model.dtype == torch.float32

    def test_a_batch_without_targets_is_an_error_and_no_nan(self):
        model, (batch,) = make_model(), make_batches(1)
        before = model.output.weight.clone()
        with pytest.raises(ValueError, match="no token has a target: all 64 labels are -100"):
            train_step(
                model,
                make_optimizer(model, lr=1.0),
                batch.inputs,
                torch.full_like(batch.targets, IGNORE),
                lr=1.0,
            )
        assert torch.equal(model.output.weight, before)

    def test_more_parts_than_rows_is_an_error(self):
        model, (batch,) = make_model(), make_batches(1)
        with pytest.raises(ValueError, match="micro_batches=5: must be between 1 and 4 rows"):
            train_step(model, make_optimizer(model, lr=1.0), *batch[:2], lr=1.0, micro_batches=5)
