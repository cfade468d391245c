"""A model cut into shares: a group of one here, real processes in test_distributed.py."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as dist
from small_models import LLAMA, NAMED, random_model, random_tokens

pytest.importorskip("safetensors")

from safetensors.torch import load_file, save_file

from llama_tutorial import generate, save_model
from llama_tutorial.training.tensor_parallel import check_divisible, load_shard


@pytest.fixture
def group_of_one() -> Iterator[None]:
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("name", ["llama-gqa", "llama-tied", "gpt2", "gpt2-untied"])
def test_the_only_share_is_the_whole(tmp_path, group_of_one, name):
    model = random_model(NAMED[name], dtype=torch.float64)
    save_model(model, tmp_path / "model")
    share, tokens = load_shard(tmp_path / "model"), random_tokens(NAMED[name], 2, 9)
    with torch.inference_mode():
        torch.testing.assert_close(share(tokens), model(tokens), rtol=0, atol=1e-9)
    assert generate(share, [[1], [2, 3]], 9, seed=0) == generate(model, [[1], [2, 3]], 9, seed=0)


def test_another_type(tmp_path, group_of_one):
    save_model(random_model(LLAMA), tmp_path / "model")
    share = load_shard(tmp_path / "model", dtype=torch.bfloat16)
    assert {parameter.dtype for parameter in share.parameters()} == {torch.bfloat16}
    assert share.rope.cos.dtype == torch.float32


def test_weights_of_several_types_need_a_choice(tmp_path, group_of_one):
    save_model(random_model(LLAMA), tmp_path / "model")
    path = tmp_path / "model" / "model.safetensors"
    state = load_file(path)
    save_file({**state, "norm.weight": state["norm.weight"].bfloat16()}, path)
    with pytest.raises(ValueError, match=r"are bfloat16 and float32; choose one \(--dtype\)"):
        load_shard(tmp_path / "model")


@pytest.mark.parametrize(
    ("changes", "name"), [({"n_kv_heads": 1}, "n_kv_heads of 1"), ({}, "hidden_dim of 39")]
)
def test_what_cannot_be_shared_is_refused(changes, name):
    config = LLAMA.replace(hidden_dim=39, **changes)
    message = f"2 processes cannot share this model: its {name} must be a multiple of their number"
    with pytest.raises(ValueError, match=message):
        check_divisible(config, 2)
