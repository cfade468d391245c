"""What measures a model changes nothing: neither its mode, nor the random state, nor the losses."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from torch import nn

pytest.importorskip("safetensors")

from llama_tutorial import ModelConfig, Transformer, generate
from llama_tutorial.lora import add_lora, lora_layers
from llama_tutorial.training import IGNORE, Batch, make_optimizer, token_loss, train_step
from llama_tutorial.training.loop import TrainConfig, evaluate, train

CONFIG = ModelConfig(dim=16, n_layers=2, n_heads=2, hidden_dim=24, vocab_size=31, max_seq_len=12)
SETTINGS = TrainConfig(total_steps=6, peak_lr=1e-2, warmup_steps=0, min_ratio=1.0)


def batch_at(step: int) -> Batch:
    tokens = torch.randint(0, 31, (4, 11), generator=torch.Generator().manual_seed(step))
    return Batch(tokens[:, :-1].clone(), tokens[:, 1:].clone())


def with_dropout(dropout: float = 0.3) -> Transformer:
    """A model whose adapters are not 0, so that their dropout is seen."""
    torch.manual_seed(0)
    model = Transformer(CONFIG)
    add_lora(model, rank=2, dropout=dropout)
    for layer in lora_layers(model).values():
        nn.init.normal_(layer.lora_b, std=0.3)
    return model


def run(out: Path, model: Transformer | None = None, on_evaluation=None, **changes) -> list[dict]:
    model = with_dropout() if model is None else model
    torch.manual_seed(1)
    train(
        model,
        batch_at,
        dataclasses.replace(SETTINGS, **changes),
        out,
        validation=[batch_at(99)],
        on_evaluation=on_evaluation,
        write_model=lambda model, path: torch.save(model.state_dict(), path),
    )
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def noisy_sample(step: int, model: Transformer) -> None:
    """Uses the model and the random state as freely as anyone may."""
    assert not any(module.training for module in model.modules())
    torch.rand(7)
    generate(model, [[1, 2]], 4, temperature=0)
    model.train()
    model(batch_at(1).inputs)


@pytest.mark.parametrize("changes", [{}, {"gradient_checkpointing": True, "micro_batches": 2}])
def test_the_losses_do_not_depend_on_how_often_they_are_measured(tmp_path, changes):
    runs = {}
    for every in (0, 1, 2):
        for saved in (0, 3):
            out = tmp_path / f"{every}-{saved}"
            lines = run(
                out,
                on_evaluation=noisy_sample,
                evaluate_every=every,
                checkpoint_every=saved,
                **changes,
            )
            losses = [line["loss"] for line in lines]
            runs[every, saved] = losses, torch.load(out / "model", weights_only=True)
    losses, weights = runs[0, 0]
    # Dropout is on: without it the losses are others.
    assert losses != [line["loss"] for line in run(tmp_path / "no", with_dropout(0.0), **changes)]
    for other_losses, other_weights in runs.values():
        assert other_losses == losses
        assert all(torch.equal(weights[name], other_weights[name]) for name in weights)


def test_the_validation_loss_is_without_dropout(tmp_path):
    model = with_dropout()
    lines = run(tmp_path, model, peak_lr=1e-12, evaluate_every=1)
    with torch.no_grad():
        loss, n = token_loss(with_dropout(0.0), *batch_at(99))
    seen = [line["validation_loss"] for line in lines]
    assert seen == pytest.approx([float(loss) / n] * 6, abs=1e-6)


@pytest.mark.parametrize("mode", [True, False])
def test_a_model_that_arrives_in_eval_mode_learns_with_dropout(tmp_path, mode):
    model = with_dropout().train(mode)
    losses = [line["loss"] for line in run(tmp_path / "a", model)]
    assert losses == [line["loss"] for line in run(tmp_path / "b")]
    assert not any(module.training for module in model.modules())


def test_a_step_by_hand_is_in_training_mode_too():
    losses = set()
    for seed in range(3):
        model = with_dropout().eval()
        torch.manual_seed(seed)
        losses.add(train_step(model, make_optimizer(model, lr=0.0), *batch_at(1), lr=0.0))
    assert len(losses) == 3


def test_the_model_is_in_eval_mode_afterwards_however_it_ends(tmp_path):
    def fail(step: int, model: Transformer) -> None:
        raise OSError("no more paper")

    model = with_dropout().train()
    with pytest.raises(OSError, match="no more paper"):
        run(tmp_path / "a", model, on_evaluation=fail)
    assert not any(module.training for module in model.modules())
    run(tmp_path / "b")
    run(tmp_path / "b", model.train())  # nothing is left to do
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("grad", [True, False])
def test_evaluation_leaves_each_module_and_the_random_state_as_they_were(grad):
    model = with_dropout().train()
    model.layers[0].eval()  # a part of its own mode
    modes = [module.training for module in model.modules()]
    seen = []
    model.norm.register_forward_hook(
        lambda module, *_: seen.append((module.training, torch.rand(1)))
    )
    state = torch.get_rng_state()
    with torch.set_grad_enabled(grad):
        first, second = evaluate(model, [batch_at(1)]), evaluate(model, [batch_at(1)])
        assert torch.is_grad_enabled() == grad
    assert first == second
    assert [training for training, _ in seen] == [False, False]
    assert torch.equal(torch.get_rng_state(), state)
    nothing = batch_at(1)._replace(targets=torch.full((4, 10), IGNORE))
    with pytest.raises(ValueError, match="no token has a target"):
        evaluate(model, [nothing])
    with pytest.raises(ValueError, match="outside"):  # also when the model fails in the middle
        evaluate(model, [Batch(batch_at(1).inputs + 31, batch_at(1).targets)])
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), state)


def test_evaluation_in_parts_is_the_same():
    model = with_dropout()
    batch = batch_at(1)
    batch.targets[0, 2:] = IGNORE
    whole = evaluate(model, [batch])
    for parts in (2, 3, 4, 7):
        assert evaluate(model, [batch], micro_batches=parts) == pytest.approx(whole, abs=1e-6)


def test_a_validation_that_measures_nothing_is_seen_before_the_first_step(tmp_path):
    nothing = batch_at(1)._replace(targets=torch.full((4, 10), IGNORE))
    with pytest.raises(ValueError, match="validation: no token of it has a target, so there is"):
        train(with_dropout(), pytest.fail, SETTINGS, tmp_path, validation=[nothing, nothing])
    assert list(tmp_path.iterdir()) == []
