"""Pages of a file that have been copied are given back, and memory of our own never is."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from small_models import random_model

from llama_tutorial import ModelConfig, load_model, save_model
from llama_tutorial.checkpoints.mapped import Mapped

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
MEGABYTE = 1 << 20


@pytest.fixture
def mapped(tmp_path):
    """A file of eight megabytes as a tensor, and what is known of it."""
    path = tmp_path / "numbers"
    np.arange(2 * MEGABYTE, dtype=np.float32).tofile(path)
    tensor = torch.from_numpy(np.memmap(path, np.float32, mode="c"))
    return tensor, Mapped(path)


def resident(path):
    """Kilobytes of the file that this process holds in memory."""
    total, here = 0, False
    with open("/proc/self/smaps", encoding="utf-8") as lines:
        for line in lines:
            if "-" in line.split()[0]:
                here = line.rstrip("\n").endswith(str(path))
            elif here and line.startswith("Rss:"):
                total += int(line.split()[1])
    return total


def test_what_has_been_read_is_given_back_and_can_be_read_again(mapped):
    tensor, file = mapped
    assert tensor.sum() > 0
    assert resident(file.path) > 7000
    file.release(tensor)
    assert resident(file.path) == 0
    assert torch.equal(tensor, torch.arange(2.0 * MEGABYTE))


def test_only_whole_pages_of_the_tensor_itself_go(mapped):
    tensor, file = mapped
    assert tensor.sum() > 0
    before = resident(file.path)
    part = tensor[MEGABYTE // 2 : MEGABYTE]
    file.release(part)
    assert 0 <= before - resident(file.path) - 2048 <= 4
    file.release(tensor[:3])
    assert 0 <= before - resident(file.path) - 2048 <= 4


def test_memory_of_our_own_is_left_alone(mapped):
    _, file = mapped
    own = torch.ones(2 * MEGABYTE)
    assert own not in file
    file.release(own)
    assert bool((own == 1).all())


def test_a_tensor_in_the_file_is_known_in_any_layout(mapped):
    tensor, file = mapped
    assert tensor in file
    assert tensor.view(1024, -1)[3:7, ::2].T in file
    assert tensor.clone() not in file


def test_a_file_that_is_not_mapped(tmp_path):
    (tmp_path / "x").write_bytes(bytes(MEGABYTE))
    own = torch.ones(MEGABYTE)
    file = Mapped(tmp_path / "x")
    assert own not in file
    file.release(own)
    assert bool((own == 1).all())


CONFIG = ModelConfig(256, 2, 4, 4, 1024, vocab_size=1024, max_seq_len=16)


@pytest.mark.parametrize("format", ["native", "meta", "huggingface"])
def test_weights_that_need_no_change_stay_in_their_file(tmp_path, format):
    save_model(random_model(CONFIG), tmp_path / "model", format)
    [path] = [p for p in (tmp_path / "model").iterdir() if p.stat().st_size > MEGABYTE]
    model = load_model(tmp_path / "model")
    file = Mapped(path)
    copied = {name for name, parameter in model.named_parameters() if parameter.data not in file}
    rows = {f"layers.{i}.attention.{w}.weight" for i in range(2) for w in ("wq", "wk")}
    assert copied == (rows if format == "huggingface" else set())


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("dtype", [None, torch.float16])
def test_sources_are_given_back_as_they_are_consumed(tmp_path, shards, dtype):
    model = random_model(CONFIG)
    save_model(model, tmp_path / "model", "meta", shards=shards)
    load_model(tmp_path / "model", dtype=dtype)
    files = sorted((tmp_path / "model").glob("*.pth"))
    kept = load_model(tmp_path / "model", dtype=dtype)
    left = sum(resident(path) for path in files)
    assert left < 0.05 * sum(path.stat().st_size for path in files) / 1024
    same = all(torch.equal(p.float(), q.to(p.dtype).float()) for p, q in pairs(kept, model))
    assert same


def test_so_are_the_permuted_ones_of_hugging_face(tmp_path):
    save_model(random_model(CONFIG), tmp_path / "model", "huggingface")
    kept = load_model(tmp_path / "model")
    assert resident(tmp_path / "model" / "model.safetensors") < 400
    assert all(torch.equal(p, q) for p, q in pairs(kept, random_model(CONFIG)))


def pairs(model, other):
    return zip(model.parameters(), other.parameters(), strict=True)
