"""Weights that need no change are the file's own pages."""

from __future__ import annotations

import sys

import pytest
from small_models import random_model

from llama_tutorial import ModelConfig, load_model, save_model

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
CONFIG = ModelConfig(256, 2, 4, 4, 1024, vocab_size=1024, max_seq_len=16)


def lies_in(tensor, path):
    """Whether the first number of a tensor lies where the file is mapped."""
    with open("/proc/self/maps", encoding="utf-8") as maps:
        for line in maps:
            if line.rstrip("\n").endswith(str(path)):
                start, stop = (int(number, 16) for number in line.split()[0].split("-"))
                if start <= tensor.data_ptr() < stop:
                    return True
    return False


@pytest.mark.parametrize("format", ["native", "meta", "huggingface"])
def test_weights_that_need_no_change_stay_in_their_file(tmp_path, format):
    save_model(random_model(CONFIG), tmp_path / "model", format)
    [path] = [p for p in (tmp_path / "model").iterdir() if p.stat().st_size > 1 << 20]
    model = load_model(tmp_path / "model")
    copied = {name for name, p in model.named_parameters() if not lies_in(p.data, path)}
    rows = {f"layers.{i}.attention.{w}.weight" for i in range(2) for w in ("wq", "wk")}
    assert copied == (rows if format == "huggingface" else set())
