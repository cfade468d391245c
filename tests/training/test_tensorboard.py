"""What TensorBoard reads of a run."""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip("safetensors")
if not os.environ.get("CI"):
    pytest.importorskip("tensorboard")

from llama_tutorial import ModelConfig, Transformer
from llama_tutorial.cli import main
from llama_tutorial.training import Batch
from llama_tutorial.training.loop import TrainConfig, train

CONFIG = ModelConfig(dim=16, n_layers=1, n_heads=2, hidden_dim=24, vocab_size=31, max_seq_len=12)
SETTINGS = TrainConfig(total_steps=12, warmup_steps=0, checkpoint_every=4, evaluate_every=3)


def batch_at(step: int) -> Batch:
    tokens = torch.randint(0, 31, (4, 11), generator=torch.Generator().manual_seed(step))
    return Batch(tokens[:, :-1].clone(), tokens[:, 1:].clone())


def run(out: Path, batches=batch_at, **options) -> bool:
    torch.manual_seed(0)
    return train(
        Transformer(CONFIG),
        batches,
        SETTINGS,
        out,
        validation=[batch_at(0)],
        on_evaluation=lambda step, _model: f"said at {step}",
        tensorboard=True,
        **options,
    )


def read(out: Path, module: str, **options):
    accumulators = importlib.import_module(f"tensorboard.backend.event_processing.{module}")
    return accumulators.EventAccumulator(str(out / "tensorboard"), **options).Reload()


def metrics(out: Path) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def check_equal(out: Path) -> None:
    """TensorBoard reads what metrics.jsonl holds, each step once."""
    events, lines = read(out, "event_accumulator"), metrics(out)
    for key, name in [
        ("loss", "loss/training"),
        ("validation_loss", "loss/validation"),
        ("lr", "learning rate"),
        ("grad_norm", "norm of the gradient"),
        ("tokens_per_s", "tokens per second"),
    ]:
        points = [(event.step, event.value) for event in events.Scalars(name)]
        assert [step for step, _ in points] == [line["step"] for line in lines if key in line]
        values = [line[key] for line in lines if key in line]
        assert [value for _, value in points] == pytest.approx(values, rel=1e-6)
    # That one keeps texts of steps that came again; the one that TensorBoard itself uses does not.
    everything = read(out, "plugin_event_accumulator", tensor_size_guidance={"text": 0})
    samples = everything.Tensors("samples/text_summary")
    assert [event.step for event in samples] == [3, 6, 9, 12]
    assert samples[1].tensor_proto.string_val == [b"said at 6"]


def test_the_metrics_and_samples_of_a_run(tmp_path):
    assert run(tmp_path)
    check_equal(tmp_path)
    assert run(tmp_path)  # a finished run adds nothing
    assert len(list((tmp_path / "tensorboard").iterdir())) == 1


def test_a_run_that_was_killed_has_no_point_twice(tmp_path):
    def killed_at_8(step: int) -> Batch:
        if step == 8:
            raise MemoryError
        return batch_at(step)

    with pytest.raises(MemoryError):
        run(tmp_path, killed_at_8)
    assert run(tmp_path)  # from step 4
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2
    check_equal(tmp_path)


def test_without_tensorboard_it_says_what_to_install(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    hint = r"TensorBoard is not installed: pip install 'llama-tutorial\[tensorboard\]'"
    with pytest.raises(ImportError, match=hint):
        run(tmp_path / "run", pytest.fail)
    assert main(["pretrain", "--out", str(tmp_path / "run"), "--tensorboard"]) == 2
    assert "pip install 'llama-tutorial[tensorboard]'" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
