"""A sharded model: a group of one here, real processes in test_processes.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from small_models import LLAMA, NAMED, random_model, random_tokens
from torch.distributed.tensor import DTensor

from llama_tutorial import generate
from llama_tutorial.lora import add_lora, lora_layers
from llama_tutorial.training import autocast_to, make_optimizer, train_step
from llama_tutorial.training.sharding import gather, shard


@pytest.fixture(autouse=True)
def group_of_one() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("name", ["llama-gqa", "llama-tied", "gpt2"])
def test_a_sharded_model_is_used_as_before(name):
    ours, theirs = (random_model(NAMED[name], dtype=torch.float64) for _ in range(2))
    whole = shard(ours)
    assert all(isinstance(parameter, DTensor) for parameter in ours.parameters())
    tokens = random_tokens(NAMED[name], 3, 11)
    losses = [
        [train_step(model, optimizer, tokens[:, :-1], tokens[:, 1:], lr=1e-2) for _ in range(3)]
        for model in (ours, theirs)
        for optimizer in [make_optimizer(model, lr=1e-2)]
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-9)
    prompts = [[1, 2, 3], [4]]
    assert generate(ours, prompts, 7, temperature=0) == generate(theirs, prompts, 7, temperature=0)
    assert {parameter.device.type for parameter in whole.parameters()} == {"meta"}
    gathered = gather(ours, whole)
    with torch.no_grad():
        torch.testing.assert_close(gathered(tokens), theirs(tokens), rtol=0, atol=1e-9)


def test_adapters_are_gathered_in_their_places():
    model = random_model(LLAMA)
    add_lora(model, rank=2)
    expected = {name: weight.clone() for name, weight in model.state_dict().items()}
    gathered = gather(model, shard(model))
    assert len(lora_layers(gathered)) == 7 * LLAMA.n_layers
    assert gathered.state_dict().keys() == expected.keys()
    for name, weight in gathered.named_parameters():
        assert torch.equal(weight, expected[name])
        assert weight.requires_grad == ("lora_" in name)


def test_layers_compute_in_the_narrow_type_and_learn_in_the_wide_one():
    ours, theirs = random_model(LLAMA), random_model(LLAMA)
    shard(ours, torch.bfloat16)
    tokens = random_tokens(LLAMA, 3, 11)
    with torch.no_grad(), autocast_to(torch.device("cpu"), torch.bfloat16):
        ours_logits, their_logits = ours(tokens), theirs(tokens)
    assert (ours_logits - their_logits).abs().mean() < 0.02 * their_logits.std()
    optimizer, rows = make_optimizer(ours, lr=1e-3), (tokens[:, :-1], tokens[:, 1:])
    train_step(ours, optimizer, *rows, lr=1e-3, autocast=torch.bfloat16)
    assert {parameter.dtype for parameter in ours.parameters()} == {torch.float32}
    assert {parameter.grad.dtype for parameter in ours.parameters()} == {torch.float32}
