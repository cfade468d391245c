"""Pickles are followed before they are read: what could end the process is refused."""

from __future__ import annotations

import pickle
import zipfile
from collections import OrderedDict

import pytest
import torch

from llama_tutorial._util import pickle_check
from llama_tutorial._util.pickle_check import check_pickle
from llama_tutorial.checkpoints.torch_file import read_torch_file

# One tuple in another, three million times, as the key of a dictionary: C's hash recurses.
NESTED = b"\x80\x02}" + b")" + b"\x85" * 3_000_000 + b"K\x01s."


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickles_pass(protocol):
    shared = ["a", (1, 2.5, True), None, {3, 4}, frozenset("bc")]
    value = {"x": shared, "y": (shared, b"d" * 300), "z": OrderedDict(e=1), "many": [[1]] * 500}
    data = pickle.dumps(value, protocol)
    check_pickle(data)
    check_pickle(data + data, count=2)
    with pytest.raises(ValueError, match=r"pickle|newline|expected"):
        check_pickle(data[:-5])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (NESTED, "nested more than 64 deep"),
        (b"\x80\x02)" + b"q\x00h\x00\x85" * 100 + b".", "nested more than 64 deep"),
        (b"\x80\x02)" + b"(t" * 10 + b"2\x86" * 100 + b".", "nested more than 64 deep"),
        (b"\x80\x02]" + b"]" * 100 + b"a" * 100 + b".", "nested more than 64 deep"),
        (b"\x80\x02Nr\xff\xff\xff\xff.", "number 4294967295"),
        (b"\x80\x02\x82\x01.", "EXT1"),
        (b"\x80\x02\x85.", "damaged"),
        (b"\x80\x02h\x05.", "damaged"),
        (b"", "pickle"),
        (b"N" * (2**25 + 1), "bytes"),
    ],
)
def test_dangerous_pickles_are_refused(data, message):
    with pytest.raises(ValueError, match=message):
        check_pickle(data)


def test_long_pickles_are_refused(monkeypatch):
    monkeypatch.setattr(pickle_check, "_LONGEST", 1000)
    check_pickle(b"\x80\x02" + b"N0" * 400 + b"N.")
    with pytest.raises(ValueError, match="more than 1000 opcodes"):
        check_pickle(b"\x80\x02" + b"N0" * 600 + b"N.")


def test_nested_pickles_in_a_file_of_pytorch_are_refused(tmp_path):
    whole, file = tmp_path / "whole.pth", tmp_path / "nested.pth"
    torch.save({"x": torch.ones(3)}, whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            new.writestr(name, NESTED if name.endswith("data.pkl") else old.read(name))
    with pytest.raises(ValueError, match=r"nested\.pth .*more than 64 deep"):
        read_torch_file(file)
    torch.save({"x": torch.ones(3)}, whole, _use_new_zipfile_serialization=False)
    assert torch.equal(read_torch_file(whole)["x"], torch.ones(3))
    contents = whole.read_bytes()
    at = contents.index(b"\x80\x02}q\x00X\x01\x00\x00\x00x")
    file.write_bytes(contents[:at] + NESTED)
    with pytest.raises(ValueError, match=r"nested\.pth .*more than 64 deep"):
        read_torch_file(file)
