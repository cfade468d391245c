"""Pickles are read as data, and what is wrong with a file is said."""

from __future__ import annotations

import pickle
import zipfile

import pytest
import torch

from llama_tutorial.checkpoints import torch_file
from llama_tutorial.checkpoints.torch_file import read_torch_file, write_torch_file


class Program:
    """A pickle that runs a program when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def refused(path, kind=ValueError):
    with pytest.raises(kind) as error:
        read_torch_file(path)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_program_is_not_run(tmp_path, zipped):
    tensors = {"a": torch.ones(2), "b": Program(tmp_path / "was run")}
    torch.save(tensors, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    text = refused(tmp_path / "x.pth")
    assert "x.pth holds more than tensors, and loading it could run any program (" in text
    assert "open" in text
    assert text.endswith("ask its author for safetensors, or for the state dictionary alone")
    assert not (tmp_path / "was run").exists()
    torch.load(tmp_path / "x.pth", weights_only=False)
    assert (tmp_path / "was run").exists()  # it would have been


def test_a_whole_module(tmp_path):
    torch.save(torch.nn.Linear(2, 2), tmp_path / "x.pth")
    assert "holds more than tensors, and loading it could run any program" in refused(
        tmp_path / "x.pth"
    )


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ([1, 2], "holds one list, not a dictionary of named tensors"),
        (torch.ones(2), "holds one Tensor, not a dictionary of named tensors"),
        ({"a": torch.ones(2), "step": 3}, "holds more than tensors: step"),
        ({"model": {}, "module": {}}, "holds more than tensors: model, module"),
        ({"model": {"a": torch.ones(2), "b": [1]}, "step": 3}, "holds more than tensors: b"),
        ({"a": torch.ones(2).to_sparse()}, "holds more than tensors: a"),
    ],
)
def test_other_things_than_a_dictionary_of_tensors(tmp_path, contents, message):
    torch.save(contents, tmp_path / "x.pth")
    assert refused(tmp_path / "x.pth").endswith(message)


def test_a_missing_file(tmp_path):
    assert refused(tmp_path / "x.pth", FileNotFoundError).endswith("x.pth: no such file")


def test_an_empty_file(tmp_path):
    (tmp_path / "x.pth").touch()
    assert refused(tmp_path / "x.pth").endswith("x.pth is empty (0 bytes)")


def test_a_foreign_file(tmp_path):
    (tmp_path / "x.pth").write_bytes(b"GGUF" + bytes(100))
    assert "x.pth is no file of PyTorch's: it begins with b'GGUF" in refused(tmp_path / "x.pth")


def test_someone_elses_pickle(tmp_path):
    (tmp_path / "x.pth").write_bytes(pickle.dumps({"a": 1}, protocol=2))
    assert "x.pth is no file of PyTorch's: it begins with b'\\x80" in refused(tmp_path / "x.pth")


def test_someone_elses_zip(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.pth", "w") as archive:
        archive.writestr("letter.txt", "Dear ...")
    assert "x.pth is truncated or damaged: " in refused(tmp_path / "x.pth")


@pytest.mark.parametrize("keep", [30, 60, 100, 150, 200, 300, -10])
def test_a_truncated_file_as_before_1_6(tmp_path, keep):
    path = tmp_path / "x.bin"
    torch.save({"a": torch.ones(100)}, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:keep])
    text = refused(path)
    assert "x.bin is truncated" in text or "x.bin is damaged: " in text


@pytest.mark.parametrize("zipped", [True, False])
def test_any_byte_may_be_wrong(tmp_path, zipped):
    """Whatever torch makes of it, the message names the file, or the numbers are others."""
    path = tmp_path / "x.bin"
    torch.save({"a": torch.ones(3)}, path, _use_new_zipfile_serialization=zipped)
    data = path.read_bytes()
    for place in range(0, len(data), 7):
        path.write_bytes(data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :])
        try:
            read_torch_file(path)
        except ValueError as error:
            assert str(path) in str(error)  # noqa: PT017


def test_numbers_beyond_the_files_end(tmp_path):
    """A pickle that promises more than there is must not be believed."""
    torch.save({"a": torch.zeros(4)}, tmp_path / "x.pth")
    with zipfile.ZipFile(tmp_path / "x.pth") as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "bad.pth", "w") as archive:
        for name, data in entries.items():
            if name.endswith("data.pkl"):
                assert data.count(b"K\x04") == 2
                data = data.replace(b"K\x04", b"J\x00\x00\x10\x00")
            archive.writestr(name, data)
    assert "bad.pth is truncated or damaged: " in refused(tmp_path / "bad.pth")


def test_parameters_are_tensors(tmp_path):
    torch.save({"a": torch.nn.Parameter(torch.ones(3))}, tmp_path / "x.pth")
    assert not read_torch_file(tmp_path / "x.pth")["a"].requires_grad


def test_a_part_is_written_without_its_surroundings(tmp_path):
    large, path = torch.arange(100_000.0), tmp_path / "x.pth"
    write_torch_file({"a": large[:10], "b": large.view(100, 1000)[:2, :3].T}, path)
    assert path.stat().st_size < 10_000
    tensors = torch.load(path, weights_only=True)
    assert torch.equal(tensors["a"], large[:10])
    assert torch.equal(tensors["b"], large.view(100, 1000)[:2, :3].T)


def test_what_is_written_is_counted(tmp_path, monkeypatch):
    bars = []

    class Bar:
        def __init__(self, _, description, total, **options):
            self.text, self.total, self.done, self.closed = description, total, 0, False
            bars.append(self)

        def update(self, amount):
            self.done += amount

        def close(self):
            self.closed = True

    monkeypatch.setattr(torch_file, "progress", Bar)
    write_torch_file({"a": torch.ones(100_000), "b": torch.ones(5).half()}, tmp_path / "x.pth")
    [bar] = bars
    assert (bar.text, bar.total, bar.closed) == ("writing x.pth", 400_010, True)
    assert 0 <= bar.done - bar.total < 10_000  # names and shapes too
