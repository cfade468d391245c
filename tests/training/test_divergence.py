"""A run that leaves the finite numbers stops before anything is computed from them or written."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

pytest.importorskip("safetensors")

from llama_tutorial import ModelConfig, Transformer, load_model
from llama_tutorial.training import Batch, DivergenceError, make_optimizer, train_step
from llama_tutorial.training.loop import TrainConfig, evaluate, train
from llama_tutorial.training.run_folder import RunFolder

CONFIG = ModelConfig(dim=16, n_layers=1, n_heads=2, hidden_dim=24, vocab_size=31, max_seq_len=12)
UNUSED = 30  # an id that no batch holds
SETTINGS = TrainConfig(total_steps=9, peak_lr=1e-2, warmup_steps=0, checkpoint_every=2)


def batch_at(step: int) -> Batch:
    tokens = torch.randint(0, UNUSED, (4, 11), generator=torch.Generator().manual_seed(step))
    return Batch(tokens[:, :-1].clone(), tokens[:, 1:].clone())


def new_model() -> Transformer:
    torch.manual_seed(0)
    return Transformer(CONFIG)


def poisoned(model: Transformer, at: int, poison: Callable[[Transformer], object]) -> Callable:
    """`batch_at`, which does something to the model before step ``at``."""

    def batches(step: int) -> Batch:
        if step == at:
            with torch.no_grad():
                poison(model)
        return batch_at(step)

    return batches


def weight(value: float) -> Callable[[Transformer], object]:
    return lambda model: model.layers[0].attention.wq.weight[0, 0].fill_(value)


def unused_row(value: float) -> Callable[[Transformer], object]:
    return lambda model: model.tok_embeddings.weight[UNUSED, 0].fill_(value)


def gradient(value: float) -> Callable[[Transformer], object]:
    """A finite loss, and one entry of the gradient that is not."""

    def poison(model: Transformer) -> None:
        def spoil(grad: torch.Tensor) -> torch.Tensor:
            grad[0, 0] = value
            return grad

        model.output.weight.register_hook(spoil)

    return poison


def lines(out: Path) -> list[dict]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    text = (out / "metrics.jsonl").read_text()
    return [json.loads(line, parse_constant=refuse) for line in text.splitlines()]


def newest(out: Path) -> str:
    return (out / "checkpoints" / "latest").read_text()


@pytest.mark.parametrize(
    "changes", [{}, {"micro_batches": 3}, {"autocast": "bfloat16"}], ids=["", "parts", "bfloat16"]
)
@pytest.mark.parametrize(
    ("poison", "seen"),
    [
        # torch's fused attention makes zeros of scores that are NaN: the gradient alone shows them.
        (weight(math.nan), "the loss is .*, and the norm of its gradient nan"),
        (weight(math.inf), "the loss is .*, and the norm of its gradient nan"),
        (gradient(math.nan), r"the loss is 3\.\d+, and the norm of its gradient nan"),
        (gradient(math.inf), r"the loss is 3\.\d+, and the norm of its gradient inf"),
    ],
    ids=["nan", "inf", "nan-gradient", "inf-gradient"],
)
def test_the_run_stops_before_the_weights_change(tmp_path, poison, seen, changes):
    model, settings = new_model(), dataclasses.replace(SETTINGS, **changes)
    before = []

    def spoil(model: Transformer) -> None:
        poison(model)
        before.extend(parameter.clone() for parameter in model.parameters())

    message = (
        rf"the training has diverged at step 5, with a learning rate of {settings.lr(5):g}: {seen}"
        r".*; nothing of this step was written, and the last good checkpoint is that of step 4, "
        r".*/checkpoints/step-00000004; begin again in another folder with a lower learning rate"
    )
    with pytest.raises(DivergenceError, match=message) as caught:
        train(model, poisoned(model, 5, spoil), settings, tmp_path)
    assert "\n" not in str(caught.value)
    for parameter, old in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter.nan_to_num(), old.nan_to_num())
    assert [line["step"] for line in lines(tmp_path)] == [1, 2, 3, 4]
    assert newest(tmp_path) == "step-00000004"
    assert not (tmp_path / "model").exists()
    # What is there goes on as if nothing had been.
    assert train(new_model(), batch_at, settings, tmp_path)
    assert train(new_model(), batch_at, settings, tmp_path / "whole")
    losses = [[line["loss"] for line in lines(out)] for out in (tmp_path, tmp_path / "whole")]
    assert losses[0] == losses[1]


def test_without_a_checkpoint_the_message_says_so(tmp_path):
    model = new_model()
    with pytest.raises(DivergenceError, match=r"at step 1, .* there is no checkpoint yet"):
        train(model, poisoned(model, 1, weight(math.nan)), SETTINGS, tmp_path)
    assert not (tmp_path / "checkpoints").exists()
    assert not (tmp_path / "metrics.jsonl").exists()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_no_loss_shows_are_not_saved(tmp_path, value):
    model = new_model()
    with pytest.raises(DivergenceError, match=r"at step 6, .* weights are NaN or infinite"):
        train(model, poisoned(model, 5, unused_row(value)), SETTINGS, tmp_path)
    assert newest(tmp_path) == "step-00000004"
    assert lines(tmp_path)[-1]["step"] == 5


def test_averages_of_the_optimizer_are_looked_at_too(tmp_path):
    def spoil(model: Transformer) -> None:
        optimizers[0].state[model.norm.weight]["exp_avg_sq"][0] = math.inf

    optimizers = []
    model = new_model()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "llama_tutorial.training.loop.make_optimizer",
            lambda *args, **rest: optimizers.append(make_optimizer(*args, **rest)) or optimizers[0],
        )
        with pytest.raises(DivergenceError, match=r"at step 6"):
            train(model, poisoned(model, 5, spoil), SETTINGS, tmp_path)
    assert newest(tmp_path) == "step-00000004"


@pytest.mark.parametrize("lr", [1e30, 1e300])
def test_a_step_after_which_there_is_no_loss_is_not_saved(tmp_path, lr):
    """Finite weights of 1e30 are as useless as infinite ones; also at the last step."""
    settings = TrainConfig(total_steps=1, peak_lr=lr, warmup_steps=0, min_ratio=1)
    with pytest.raises(DivergenceError, match=r"at step 1, with a learning rate of 1e\+30*: "):
        train(new_model(), batch_at, settings, tmp_path)
    assert not (tmp_path / "checkpoints").exists()
    assert not (tmp_path / "model").exists()


def test_a_validation_loss_that_is_not_finite_stops_it(tmp_path):
    model, settings = new_model(), dataclasses.replace(SETTINGS, evaluate_every=3)
    held_out = batch_at(0)
    held_out.inputs[0, 0] = UNUSED
    with pytest.raises(DivergenceError, match=r"at step 3, .* the validation loss is nan after it"):
        train(
            model,
            poisoned(model, 3, unused_row(math.nan)),
            settings,
            tmp_path,
            validation=[held_out],
            on_evaluation=lambda *_: pytest.fail("there is nothing to sample from"),
        )
    assert [line["step"] for line in lines(tmp_path)] == [1, 2]
    assert newest(tmp_path) == "step-00000002"


def test_a_checkpoint_of_nan_is_not_gone_on_with(tmp_path):
    """An earlier version has written it; also where the run was finished."""
    for total in (9, 4):
        settings = dataclasses.replace(SETTINGS, total_steps=total)
        out = tmp_path / str(total)
        model, batches = new_model(), []
        optimizer = make_optimizer(model, lr=1e-3)
        train_step(model, optimizer, *batch_at(1), lr=1e-3)
        with torch.no_grad():
            weight(math.nan)(model)
        description = {
            "model": CONFIG.to_dict(),
            "training": dataclasses.asdict(settings),
            "data": {},
        }
        RunFolder(out, description).save(4, model, optimizer)
        with pytest.raises(DivergenceError, match=r"the checkpoint of step 4 in .* holds weights"):
            train(new_model(), batches.append, settings, out)
        assert batches == []
        assert not (out / "model").exists()


def test_a_model_of_nan_is_not_trained(tmp_path):
    model = new_model()
    with torch.no_grad():
        unused_row(math.nan)(model)
    with pytest.raises(DivergenceError, match="the model holds weights that are NaN or infinite"):
        train(model, batch_at, SETTINGS, tmp_path)


def test_every_checkpoint_gives_a_finite_loss(tmp_path):
    """Whatever the learning rate, what is written can be used."""
    for power in (1, 3, 6, 12, 24, 38):
        settings = dataclasses.replace(SETTINGS, peak_lr=10.0**power, checkpoint_every=1)
        out = tmp_path / str(power)
        try:
            assert train(new_model(), batch_at, settings, out)
            model = load_model(out / "model")
        except DivergenceError:
            assert not (out / "model").exists()
            if not (out / "checkpoints").exists():
                continue
            model = new_model()
            optimizer = make_optimizer(model, lr=1.0)
            step = RunFolder(out, {}).resume(model, optimizer)
            assert step == lines(out)[-1]["step"]
            assert math.isfinite(train_step(model, optimizer, *batch_at(step), lr=0.0))
        assert math.isfinite(evaluate(model, [batch_at(1)]))
        assert all(math.isfinite(line["loss"]) for line in lines(out))


def test_a_step_by_hand_stops_too():
    model = new_model()
    optimizer = make_optimizer(model, lr=1e-2)
    train_step(model, optimizer, *batch_at(1), lr=1e-2)
    with torch.no_grad():
        weight(math.nan)(model)
    before = model.output.weight.clone()
    with pytest.raises(DivergenceError, match=r"the loss is .*, and the norm of its gradient nan"):
        train_step(model, optimizer, *batch_at(2), lr=1e-2)
    assert torch.equal(model.output.weight, before)
    assert all(bool(s["exp_avg"].isfinite().all()) for s in optimizer.state.values())
