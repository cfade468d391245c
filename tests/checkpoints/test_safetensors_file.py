"""safetensors files are written one tensor at a time, and the library finds them right."""

from __future__ import annotations

import json
import struct

import pytest
import torch

pytest.importorskip("safetensors")

from safetensors import safe_open
from safetensors.torch import load_file

from llama_tutorial.checkpoints import safetensors_file
from llama_tutorial.checkpoints.safetensors_file import open_safetensors, save_safetensors

DTYPES = (torch.float64, torch.float32, torch.float16, torch.bfloat16)


def tensors():
    generator = torch.Generator().manual_seed(0)
    return {
        f"{dtype}.{i}": torch.randn(shape, generator=generator).to(dtype)
        for dtype in DTYPES
        for i, shape in enumerate([(3, 5), (7,), (2, 3, 4), (1, 1)])
    }


def test_the_library_reads_what_is_written(tmp_path):
    save_safetensors(tensors().items(), tensors(), tmp_path / "x")
    found = load_file(tmp_path / "x")
    assert found.keys() == tensors().keys()
    for name, tensor in tensors().items():
        assert found[name].dtype == tensor.dtype
        assert torch.equal(found[name], tensor)
    with safe_open(tmp_path / "x", framework="pt") as file:
        assert file.metadata() == {"format": "pt"}


@pytest.mark.parametrize("length", range(1, 9))
def test_the_numbers_begin_at_a_multiple_of_8(tmp_path, length):
    given = {"n" * length: torch.ones(3)}
    save_safetensors(given.items(), given, tmp_path / "x")
    assert struct.unpack("<Q", (tmp_path / "x").read_bytes()[:8])[0] % 8 == 0
    assert load_file(tmp_path / "x").keys() == given.keys()


def test_any_layout_is_written_whole(tmp_path):
    large = torch.arange(24.0).view(4, 6)
    given = {"a": large.T, "b": large[1:3, ::2], "c": large, "d": large.requires_grad_()}
    save_safetensors(given.items(), given, tmp_path / "x")
    with open_safetensors(tmp_path / "x") as file:
        assert all(torch.equal(file.get_tensor(name), tensor) for name, tensor in given.items())


def test_each_tensor_is_asked_for_when_its_turn_comes(tmp_path):
    path, sizes = tmp_path / "x", []

    def one_by_one():
        for name, tensor in tensors().items():
            sizes.append(path.stat().st_size)
            yield name, tensor

    like = {name: tensor.to("meta") for name, tensor in tensors().items()}
    save_safetensors(one_by_one(), like, path)
    assert len(sizes) == len(like)
    assert load_file(path).keys() == like.keys()


def test_what_is_written_is_counted(tmp_path, monkeypatch):
    calls = []

    def bar(items, description, **options):
        calls.append((description, options["total"]))
        return items

    monkeypatch.setattr(safetensors_file, "progress", bar)
    save_safetensors(tensors().items(), tensors(), tmp_path / "x")
    assert calls == [("writing x", 16)]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"b": torch.ones(2), "a": torch.ones(2)}, "b comes where the header of .* promises a"),
        ({"a": torch.ones(3), "b": torch.ones(2)}, "a comes where the header of .* promises a"),
        ({"a": torch.ones(2).half(), "b": torch.ones(2)}, "a comes where the header of"),
        ({"a": torch.ones(2)}, "b, which the header of .* promises, is missing"),
        (dict.fromkeys("abc", torch.ones(2)), "c comes where the header of .* promises None"),
    ],
)
def test_other_tensors_than_were_promised(tmp_path, given, message):
    like = {"a": torch.ones(2), "b": torch.ones(2)}
    with pytest.raises(ValueError, match=message):
        save_safetensors(given.items(), like, tmp_path / "x")


def test_a_negative_bit_is_written_as_the_sign(tmp_path):
    negative = torch._neg_view(torch.arange(1.0, 7.0).reshape(2, 3))
    save_safetensors([("a", negative)], {"a": negative}, tmp_path / "a.safetensors")
    assert torch.equal(load_file(tmp_path / "a.safetensors")["a"], negative)


def test_a_header_of_more_tensors_than_any_model_has(tmp_path):
    entry = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({f"q{i}": entry for i in range(40_000)}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(8))
    with (
        pytest.raises(ValueError, match=r"a\.safetensors has a header of \d+ bytes: no model"),
        open_safetensors(path),
    ):
        pass
