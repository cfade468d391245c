"""DPO in the training loop: its reference, its numbers, killed and going on."""

from __future__ import annotations

import copy
import json
import math

import pytest
import torch
from small_models import LLAMA, random_model, with_lora

pytest.importorskip("safetensors")

from llama_tutorial.finetuning import Example
from llama_tutorial.lora import adapters_off, add_lora, lora_layers, merge_lora
from llama_tutorial.preferences import dpo_loss, sequence_logprobs
from llama_tutorial.preferences.batches import PairBatches
from llama_tutorial.preferences.dpo import DPO, reference_logprobs
from llama_tutorial.training import IGNORE
from llama_tutorial.training.loop import TrainConfig, train

SETTINGS = TrainConfig(total_steps=12, peak_lr=1e-3, warmup_steps=2, checkpoint_every=4)


def pairs(n: int = 10, batch_size: int = 4) -> PairBatches:
    generator = torch.Generator().manual_seed(1)
    found = []
    for i in range(n):
        prompt, *answers = (
            torch.randint(3, 37, (length,), generator=generator).tolist()
            for length in (4, 2 + i % 3, 3)
        )
        chosen, rejected = (
            Example([1, *prompt, *answer, 2], [IGNORE] * 5 + [*answer, 2]) for answer in answers
        )
        found.append((chosen, rejected, i % 4))
    return PairBatches(found, batch_size, 32)


def metrics(out) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def run(out, *, lora=False, batches=None, **changes) -> bool:
    model, training = random_model(LLAMA, dtype=torch.float64), pairs()
    torch.manual_seed(0)
    if lora:
        add_lora(model, rank=2)
    settings = TrainConfig(**(vars(SETTINGS) | changes))
    return train(
        model,
        batches or training.batch,
        settings,
        out,
        method=DPO(training, pairs(5), beta=0.2),
        validation=list(pairs(5).every_pair()),
        write_model=lambda whole, path: torch.save(whole.state_dict(), f"{path}.pt"),
    )


def test_the_first_step_costs_log_2_and_the_rest_less(tmp_path):
    assert run(tmp_path)
    lines = metrics(tmp_path)
    first, last = lines[0], lines[-1]
    assert first["loss"] == pytest.approx(math.log(2), abs=1e-9)
    assert first["margin"] == pytest.approx(0, abs=1e-9)
    assert first["kl"] == pytest.approx(0, abs=1e-9)
    assert last["loss"] < 0.6
    assert last["accuracy"] == 1
    assert last["margin"] > 0
    assert first["logprob_chosen"] < 0
    assert {"validation_loss", "validation_margin", "validation_accuracy"} <= last.keys()


def test_the_loss_is_dpo_loss_by_a_frozen_copy(tmp_path):
    model, training = random_model(LLAMA, dtype=torch.float64), pairs()
    frozen, method = copy.deepcopy(model), DPO(training, beta=0.2)
    method.start(model, SETTINGS)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.03)
    batch = training.batch(2)
    loss, noted = method.loss(model, batch)
    policy = sequence_logprobs(model, batch.inputs, batch.labels).chunk(2)
    reference = sequence_logprobs(frozen, batch.inputs, batch.labels).chunk(2)
    assert torch.allclose(loss, dpo_loss(*policy, *reference, beta=0.2), atol=1e-9)
    kl = sum(r - p for r, p in zip(reference, policy, strict=True)) / 2
    assert torch.allclose(noted["kl"], kl, atol=1e-9)


def test_the_reference_is_measured_pair_by_pair():
    model, training = random_model(LLAMA, dtype=torch.float64), pairs(7, batch_size=3)
    found = reference_logprobs(model, training)
    batch = training.of(list(range(7)))
    alone = torch.stack(sequence_logprobs(model, batch.inputs, batch.labels).chunk(2), 1)
    assert torch.allclose(found, alone, atol=1e-9)


def test_adapters_off_are_a_frozen_copy():
    base = random_model(LLAMA, dtype=torch.float64)
    frozen, batch = copy.deepcopy(base), pairs().batch(1)
    model = with_lora(base, rank=3)
    with adapters_off(model):
        off = sequence_logprobs(model, batch.inputs, batch.labels)
    on = sequence_logprobs(model, batch.inputs, batch.labels)
    assert torch.equal(off, sequence_logprobs(frozen, batch.inputs, batch.labels))
    assert not torch.allclose(on, off, atol=1e-3)
    assert not any(layer.off for layer in lora_layers(model).values())


def test_adapters_are_on_again_after_an_error_and_merged_ones_cannot_be_off():
    model = with_lora(random_model(LLAMA), rank=2)
    with pytest.raises(KeyError), adapters_off(model):
        raise KeyError
    assert not any(layer.off for layer in lora_layers(model).values())
    merge_lora(model)
    with pytest.raises(ValueError, match="the model's adapters are merged"), adapters_off(model):
        pass
    with pytest.raises(ValueError, match="has no LoRA adapters"), adapters_off(random_model(LLAMA)):
        pass


@pytest.mark.parametrize("lora", [False, True])
def test_a_run_that_was_killed_goes_on_bit_for_bit(tmp_path, lora):
    whole, again = tmp_path / "whole", tmp_path / "again"
    assert run(whole, lora=lora)

    class Killed(BaseException):
        pass

    def dying(step: int):
        if step == 7:
            raise Killed
        return pairs().batch(step)

    with pytest.raises(Killed):
        run(again, lora=lora, batches=dying)
    assert len(metrics(again)) == 6
    assert run(again, lora=lora)
    drop = ("tokens_per_s",)
    ours, theirs = (
        [{k: v for k, v in line.items() if k not in drop} for line in metrics(out)]
        for out in (whole, again)
    )
    assert ours == theirs
    weights = [torch.load(out / "model.pt", weights_only=True) for out in (whole, again)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_parts_of_a_batch_give_the_same_step(tmp_path):
    assert run(tmp_path / "one")
    assert run(tmp_path / "parts", micro_batches=3)
    for line, other in zip(metrics(tmp_path / "one"), metrics(tmp_path / "parts"), strict=True):
        for name in ("loss", "margin", "kl", "grad_norm"):
            assert line[name] == pytest.approx(other[name], abs=1e-9), name
