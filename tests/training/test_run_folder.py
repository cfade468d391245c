"""Checkpoints of a run: what they hold, and what is said when one cannot be written or read.

That runs go on from them is in test_loop.py, and with other numbers of processes in
test_processes.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp

from llama_tutorial import ModelConfig, Transformer
from llama_tutorial.training import make_optimizer, train_step
from llama_tutorial.training.run_folder import RunFolder

CONFIG = ModelConfig(dim=16, n_layers=1, n_heads=2, hidden_dim=24, vocab_size=31, max_seq_len=12)
SETTINGS = {"model": CONFIG.to_dict()}


def trained(seed: int, frozen: str = "") -> tuple[Transformer, torch.optim.Optimizer]:
    """A model and its optimiser after one step; parameters called ``frozen`` took no part."""
    torch.manual_seed(seed)
    model = Transformer(CONFIG)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(not frozen or frozen not in name)
    optimizer = make_optimizer(model, lr=1e-2)
    tokens = torch.randint(0, 31, (2, 11))
    train_step(model, optimizer, tokens[:, :-1], tokens[:, 1:], lr=1e-2)
    return model, optimizer


@pytest.fixture
def saved(tmp_path) -> tuple[Path, Transformer, torch.optim.Optimizer]:
    model, optimizer = trained(0)
    RunFolder(tmp_path, SETTINGS).save(7, model, optimizer)
    return tmp_path, model, optimizer


def test_everything_comes_back(saved):
    path, model, optimizer = saved
    expected = torch.rand(3)  # what came after it was saved
    other, other_optimizer = trained(1)
    folder = RunFolder(path, SETTINGS)
    assert folder.resume(other, other_optimizer) == 7
    assert torch.equal(torch.rand(3), expected)
    for ours, theirs in zip(other.parameters(), model.parameters(), strict=True):
        assert torch.equal(ours, theirs)
        for name, state in optimizer.state[theirs].items():
            assert torch.equal(other_optimizer.state[ours][name], state)


def test_frozen_weights_are_not_written_and_stay(tmp_path):
    model, optimizer = trained(0, frozen="feed_forward")
    RunFolder(tmp_path, SETTINGS).save(7, model, optimizer)
    folder = tmp_path / "checkpoints" / "step-00000007"
    names = dcp.FileSystemReader(folder).read_metadata().state_dict_metadata
    assert not [name for name in names if "feed_forward" in name]
    assert [name for name in names if "attention" in name]
    other, other_optimizer = trained(1, frozen="feed_forward")
    before = {name: weight.clone() for name, weight in other.state_dict().items()}
    assert RunFolder(tmp_path, SETTINGS).resume(other, other_optimizer) == 7
    for name, weight in other.state_dict().items():
        source = before if "feed_forward" in name else model.state_dict()
        assert torch.equal(weight, source[name])


def test_a_damaged_checkpoint_is_named(saved):
    path, model, optimizer = saved
    (part,) = path.glob("checkpoints/step-00000007/*.distcp")
    part.unlink()
    message = "damaged, or of another model: step-00000007 .*No such file.*distcp"
    with pytest.raises(ValueError, match=message):
        RunFolder(path, SETTINGS).resume(model, optimizer)


def test_a_checkpoint_that_cannot_be_written_leaves_the_one_before(saved, monkeypatch):
    path, model, optimizer = saved

    def full(*_arguments, **_settings) -> None:
        raise OSError(28, "No space left on device")

    folder = RunFolder(path, SETTINGS)
    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match=r"No space left on device: .*step-00000008.partial"):
        folder.save(8, model, optimizer)
    monkeypatch.undo()
    assert folder.resume(model, optimizer) == 7
