"""Checkpoints of a run: what they hold, and what is said when one cannot be written or read.

That runs go on from them is in test_loop.py, and with other numbers of processes in
test_processes.py.
"""

from __future__ import annotations

import importlib
import json
import math
import os
import pickle
import re
import shutil
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata

from llama_tutorial import ModelConfig, Transformer
from llama_tutorial.training import make_optimizer, shared_checkpoint, train_step
from llama_tutorial.training.run_folder import RunFolder
from llama_tutorial.training.run_lock import run_lock

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
    message = "damaged, or of another model: step-00000007 .*distcp: no such file"
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


# Damage


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def flip(file: Path) -> None:
    """One bit, in the middle of the largest entry."""
    contents = bytearray(file.read_bytes())
    contents[len(contents) // 2] ^= 1
    file.write_bytes(contents)


def store(value: object) -> Callable[[Path], None]:
    return lambda file: torch.save(value, file)


def compressed(file: Path) -> None:
    """The same entries, packed by somebody else: they may unpack to a thousand times their size."""
    with zipfile.ZipFile(file) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in entries.items():
            archive.writestr(name, contents)


def unsealed(folder: Path) -> None:
    """As older versions wrote it: without the metadata's checksum."""
    rest = torch.load(folder / "training.pt")
    rest.pop("metadata_sha256", None)
    torch.save(rest, folder / "training.pt")


# One tuple in another, three million times, as the key of a dictionary: C's hash recurses.
NESTED = b"\x80\x02}" + b")" + b"\x85" * 3_000_000 + b"K\x01s."
RANDOM = {"cpu": torch.get_rng_state()}
DAMAGE = [
    ("training.pt", Path.unlink, "no such file"),
    ("training.pt", lambda file: file.write_bytes(b""), "training.pt"),
    ("training.pt", cut, "training.pt"),
    ("training.pt", compressed, "an entry is compressed"),
    ("training.pt", lambda file: file.write_bytes(b"x" * 2**21), "too large"),
    ("training.pt", store({"random": RANDOM}), "training.pt: KeyError 'step'"),
    ("training.pt", store({"step": 9, "random": {"cpu": torch.zeros(3)}}), "training.pt: "),
    ("training.pt", store({"step": 5, "random": RANDOM}), "training.pt is of step 5"),
    ("training.pt", store({"step": 9.0, "random": RANDOM}), r"training.pt is of step \d.0"),
    ("training.pt", store({"step": torch.tensor(9), "random": RANDOM}), "is of step tensor"),
    ("training.pt", store([1]), "training.pt: TypeError"),
    ("training.pt", store(Path), "training.pt: UnpicklingError"),
    (".metadata", lambda file: file.write_bytes(NESTED), r"\.metadata: .*nested more than 64 deep"),
    (".metadata", lambda file: file.write_bytes(b"x" * (2**25 + 1)), "too large"),
    (".metadata", Path.unlink, "no such file"),
    (".metadata", lambda file: file.write_bytes(b""), r"\.metadata: "),
    (".metadata", cut, r"\.metadata: "),
    (".metadata", lambda file: file.write_bytes(pickle.dumps([1])), "does not describe"),
    ("__0_0.distcp", Path.unlink, "no such file"),
    ("__0_0.distcp", lambda file: file.write_bytes(b""), "is truncated: it has 0 bytes"),
    ("__0_0.distcp", cut, "is truncated"),
    ("__0_0.distcp", flip, "checksum|zip|magic"),
]


@pytest.fixture
def saved_twice(tmp_path) -> tuple[Path, Transformer, torch.optim.Optimizer]:
    """Steps 7 and 9, with metrics up to step 10."""
    folder = RunFolder(tmp_path, SETTINGS)
    for step in range(1, 11):
        folder.log({"step": step, "loss": 1 / step})
        if step in (7, 9):
            folder.save(step, *trained(step))
    return tmp_path, *trained(0)


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (path / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("name", "damage", "message"), DAMAGE)
def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    saved_twice, capfd, name, damage, message
):
    path, model, optimizer = saved_twice
    damage(path / "checkpoints" / "step-00000009" / name)
    folder = RunFolder(path, SETTINGS)
    assert folder.resume(model, optimizer) == 7
    (line,) = capfd.readouterr().err.splitlines()  # torch writes nothing of its own
    assert re.search(f"checkpoints: damaged.* step-00000009 .*({message}).* from step 7$", line)
    for ours, theirs in zip(model.parameters(), trained(7)[0].parameters(), strict=True):
        assert torch.equal(ours, theirs)
    assert steps(path) == list(range(1, 8))
    folder.save(8, model, optimizer)
    assert folder._steps() == ["step-00000008", "step-00000007"]
    damage(path / "checkpoints" / "step-00000008" / name)
    damage(path / "checkpoints" / "step-00000007" / name)
    with pytest.raises(
        ValueError, match=r"step-00000008 .*, step-00000007 .* to begin anew, choose"
    ):
        folder.resume(model, optimizer)


@pytest.mark.parametrize(
    ("latest", "step", "said"),
    [
        ("", 9, "latest (it says ''"),
        ("step-00000009\n", 9, ""),
        ("step-00000007", 7, ""),
        ("step-00000008", 9, "latest (it says 'step-00000008', and there is no such checkpoint)"),
        ("../../elsewhere", 9, "latest (it says '../../elsewhere'"),
        ("step-00000009/../step-00000009", 9, "latest (it says "),
        ("\x1b]0;x\x07", 9, r"latest (it says '\x1b]0;x\x07'"),
        (None, 9, ""),
    ],
)
def test_latest_must_name_a_checkpoint(saved_twice, capfd, latest, step, said):
    path, model, optimizer = saved_twice
    shutil.copytree(path / "checkpoints" / "step-00000007", path / "elsewhere")
    (path / "checkpoints" / "latest").unlink()
    if latest is not None:
        (path / "checkpoints" / "latest").write_text(latest)
    assert RunFolder(path, SETTINGS).resume(model, optimizer) == step
    assert said in (err := capfd.readouterr().err)
    assert err.count("\n") == bool(said)


def test_a_latest_without_checkpoints_is_no_new_run(saved):
    path, model, optimizer = saved
    shutil.rmtree(path / "checkpoints" / "step-00000007")
    with pytest.raises(ValueError, match=r"latest .*it says 'step-00000007', and there is no such"):
        RunFolder(path, SETTINGS).resume(model, optimizer)


def test_the_two_newest_checkpoints_are_kept(saved):
    path, model, optimizer = saved
    folder = RunFolder(path, SETTINGS)
    for step in (9, 10, 99_999_999, 100_000_000, 100_000_001):
        folder.save(step, model, optimizer)
    assert folder._steps() == ["step-100000001", "step-100000000"]
    assert (path / "checkpoints" / "latest").read_text() == "step-100000001"
    assert folder.resume(model, optimizer) == 100_000_001


def test_leftovers_of_killed_processes_are_removed(saved):
    path, model, optimizer = saved
    (path / "checkpoints" / "step-00000009.partial").mkdir()
    (path / "checkpoints" / ".latest.0123abcd.tmp").touch()
    (path / ".training.tokens.0123abcd.tmp").touch()
    (path / ".model.0123abcd.tmp").mkdir()
    (path / ".model.old.tmp").mkdir()  # this one may be the only whole one
    RunFolder(path, SETTINGS).resume(model, optimizer)
    assert sorted(p.name for p in path.iterdir()) == [
        ".model.old.tmp",
        "checkpoints",
        "settings.json",
    ]
    assert sorted(p.name for p in (path / "checkpoints").iterdir()) == ["latest", "step-00000007"]


# Code


class Evil:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("place", ["metadata", "inside", "training", "value", "rank"])
def test_resuming_runs_no_code(saved_twice, place):
    path, model, optimizer = saved_twice
    evil, folder = Evil(path / "code-ran"), path / "checkpoints" / "step-00000009"
    if place == "metadata":
        (folder / ".metadata").write_bytes(pickle.dumps(evil))
    elif place == "rank":  # where DCP looks if there is no other
        (folder / ".metadata").rename(folder / "__0.metadata")
        (folder / "__0.metadata").write_bytes(pickle.dumps(evil))
    elif place == "training":
        torch.save({"step": 9, "random": RANDOM, "more": evil}, folder / "training.pt")
    else:
        metadata = dcp.FileSystemReader(folder).read_metadata()
        if place == "inside":
            metadata.planner_data = evil
        else:  # what is no tensor is a pickle among the tensors
            (name,) = (n for n in metadata.storage_data if n.fqn == "optimizer.param_groups.0.lr")
            with open(folder / "__0_0.distcp", "ab") as file:
                metadata.storage_data[name].offset = file.tell()
                torch.save(evil, file)
                metadata.storage_data[name].length = (
                    file.tell() - metadata.storage_data[name].offset
                )
        (folder / ".metadata").write_bytes(pickle.dumps(metadata))
        unsealed(folder)
    step = RunFolder(path, SETTINGS).resume(model, optimizer)
    assert not evil.path.exists()
    assert step == (9 if place == "value" else 7)  # that pickle is not even opened


def test_metadata_must_fit_the_files_and_the_model(saved, monkeypatch):
    path, model, optimizer = saved
    folder = path / "checkpoints" / "step-00000007"
    weight = "model.output.weight"
    unsealed(folder)

    def refusal(change: Callable[[Any], object]) -> str:
        metadata = dcp.FileSystemReader(folder).read_metadata()
        before = (folder / ".metadata").read_bytes()
        change(metadata)
        (folder / ".metadata").write_bytes(pickle.dumps(metadata))
        with pytest.raises(ValueError, match="step-00000007 ") as caught:
            RunFolder(path, SETTINGS).resume(model, optimizer)
        (folder / ".metadata").write_bytes(before)
        return str(caught.value)

    def huge(metadata):
        metadata.state_dict_metadata[weight].size = torch.Size([2**40, 2**20])

    def incomplete(metadata):
        metadata.state_dict_metadata[weight].chunks.clear()

    def chunk(name, value):
        return lambda m: setattr(m.state_dict_metadata[weight].chunks[0], name, torch.Size(value))

    def twice(metadata):
        first, second, *_ = metadata.storage_data.values()
        second.offset = first.offset

    def place(**changes):
        def change(metadata):
            for name, value in changes.items():
                setattr(next(iter(metadata.storage_data.values())), name, value)

        return change

    assert f"{weight} has the shape (1099511627776, 1048576), not (31, 16)" in refusal(huge)
    assert f"{weight} is not complete" in refusal(incomplete)
    for name, value in [("offsets", (16, 0)), ("offsets", (0, 1)), ("sizes", (30, 16))]:
        assert f"{weight} is not complete" in refusal(chunk(name, value))
    assert "two tensors lie at byte " in refusal(twice)
    assert f"{weight} is missing" in refusal(lambda m: m.state_dict_metadata.pop(weight))
    for name in ("../../x", "/etc/passwd", "training.pt"):
        assert f"names a file {name!r}" in refusal(place(relative_path=name))
    assert "is truncated" in refusal(place(length=2**50))
    assert "is truncated" in refusal(place(offset=-1))
    assert "is compressed" in refusal(place(transform_descriptors=["stream.zstd/1"]))
    assert RunFolder(path, SETTINGS).resume(model, optimizer) == 7


def test_a_tensor_must_be_covered_once():
    def tile(size, *chunks):
        chunks = [ChunkStorageMetadata(torch.Size(a), torch.Size(b)) for a, b in chunks]
        return shared_checkpoint._tile(chunks, size)

    assert tile((), ((), ()))
    assert not tile(())
    assert tile((4, 2), ((0, 0), (3, 2)), ((3, 0), (1, 2)), ((4, 0), (0, 2)))
    quarters = [((i, j), (2, 1)) for i in (0, 2) for j in (0, 1)]
    assert tile((4, 2), *quarters)
    assert not tile((4, 2), *quarters[1:])
    assert not tile((4, 2), ((0, 0), (2, 2)), ((0, 0), (2, 2)))
    assert not tile((4, 2), ((0, 0), (2, 2)), ((1, 0), (2, 2)))
    assert not tile((4, 2), ((0, 0), (4, 2)), ((0, 0), (1, 2)))
    assert not tile((4, 2), ((0,), (8,)))


def test_any_flipped_bit_of_the_metadata_is_seen(saved):
    path, model, optimizer = saved
    file = path / "checkpoints" / "step-00000007" / ".metadata"
    data = file.read_bytes()
    at = data.index(b"offsets") + 20
    for place in range(at, at + 400, 40):
        file.write_bytes(data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])
        with pytest.raises(ValueError, match=r"step-00000007 \(\.metadata"):
            RunFolder(path, SETTINGS).resume(model, optimizer)


def opcode(text: str) -> bytes:
    return b"X" + len(text).to_bytes(4, "little") + text.encode()


@pytest.mark.parametrize(
    ("module", "name", "attribute"),
    [
        ("pathlib", "PosixPath", "with_suffix"),
        ("torch.distributed.checkpoint.metadata", "_MEM_FORMAT_ENCODING", "_member_map_"),
        ("torch.distributed.checkpoint.metadata", "Metadata", "state_dict_metadata"),
        ("torch.serialization", "_get_layout", "cache"),
    ],
)
def test_metadata_changes_nothing_outside_itself(saved, module, name, attribute):
    """A pickle may set attributes of whatever it can name, also if it is refused afterwards."""
    path, model, optimizer = saved
    folder = path / "checkpoints" / "step-00000007"
    unsealed(folder)
    named = f"c{module}\n{name}\n".encode()
    evil = b"\x80\x02" + named + b"N}" + opcode(attribute) + b"Ns\x86b0"
    data = (folder / ".metadata").read_bytes()
    target = getattr(importlib.import_module(module), name)
    before = getattr(target, attribute, None)
    for state in (evil, evil.replace(b"N}", b"}").replace(b"\x86b0", b"b0")):
        (folder / ".metadata").write_bytes(state + data)
        with pytest.raises(ValueError, match=r"step-00000007 \(\.metadata: "):
            RunFolder(path, SETTINGS).resume(model, optimizer)
        assert getattr(target, attribute, None) is before


# Odd things in a run's folder


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
@pytest.mark.parametrize(
    "name",
    [
        "checkpoints/latest",
        "checkpoints/step-00000007/.metadata",
        "checkpoints/step-00000007/training.pt",
        "checkpoints/step-00000007/__0_0.distcp",
        "metrics.jsonl",
        "settings.json",
        "model",
    ],
)
def test_named_pipes_are_refused_and_not_waited_for(saved, name):
    path, model, optimizer = saved
    (path / name).unlink(missing_ok=True)
    os.mkfifo(path / name)
    with pytest.raises(ValueError, match=f"{Path(name).name} is a named pipe"):
        RunFolder(path, SETTINGS).resume(model, optimizer)


@pytest.mark.parametrize("name", ["checkpoints/latest", "metrics.jsonl"])
def test_huge_files_are_refused(saved, name):
    path, model, optimizer = saved
    with open(path / name, "wb") as file:
        file.truncate(2**40)  # a sparse file, which takes no space
    with pytest.raises(ValueError, match=f"{Path(name).name} is too large"):
        RunFolder(path, SETTINGS).resume(model, optimizer)


def test_odd_entries_among_the_checkpoints(saved):
    path, model, optimizer = saved
    elsewhere = path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "mine").touch()
    checkpoints = path / "checkpoints"
    (checkpoints / "step-00000005").symlink_to(elsewhere)
    (checkpoints / "step-00000008.partial").symlink_to(elsewhere)
    (checkpoints / "step-00000009.partial").touch()
    folder = RunFolder(path, SETTINGS)
    assert folder.resume(model, optimizer) == 7
    (checkpoints / "step-00000008.partial").symlink_to(elsewhere)
    (checkpoints / "step-00000008").symlink_to(elsewhere)
    folder.save(8, model, optimizer)
    assert folder._steps() == ["step-00000008", "step-00000007"]
    assert (elsewhere / "mine").exists()
    (checkpoints / "step-00000010").touch()
    with pytest.raises(ValueError, match=r"step-00000010 is no folder, .* move it away"):
        folder.resume(model, optimizer)


def test_nothing_is_written_to_a_folder_that_took_the_runs_name(tmp_path):
    model, optimizer = trained(0)
    with run_lock(tmp_path / "run"):
        folder = RunFolder(tmp_path / "run", SETTINGS)
        folder.log({"step": 1})
        (tmp_path / "run").rename(tmp_path / "moved")
        with pytest.raises(OSError, match="while this run trained in it, the folder was moved"):
            folder.log({"step": 2})
        with pytest.raises(OSError, match="while this run trained in it, the folder was moved"):
            folder.save(2, model, optimizer)
        assert not (tmp_path / "run").exists()


# Metrics


def test_notices_that_nobody_can_read_stop_nothing(saved_twice, monkeypatch):
    path, model, optimizer = saved_twice
    (path / "checkpoints" / "latest").write_text("other")
    with open(os.devnull) as unwritable:
        monkeypatch.setattr(sys, "stderr", unwritable)
        assert RunFolder(path, SETTINGS).resume(model, optimizer) == 9
    assert RunFolder(path, SETTINGS).resume(model, optimizer) == 9  # closed
    monkeypatch.setattr(sys, "stderr", None)
    assert RunFolder(path, SETTINGS).resume(model, optimizer) == 9


def test_notices_give_no_orders_to_the_terminal(tmp_path, capfd):
    folder = RunFolder(tmp_path / "\x1b]0;title\x07", SETTINGS)
    folder.save(7, *trained(0))
    folder.metrics.write_text('{"step": 7}\nx\n')
    assert folder.resume(*trained(0)) == 7
    err = capfd.readouterr().err
    assert r"\x1b]0;title\x07/metrics.jsonl: damaged lines are removed" in err
    assert "\x1b" not in err


def test_one_damaged_line_blocks_no_run(saved, capfd):
    path, model, optimizer = saved
    (path / "metrics.jsonl").write_text('{"step": 1, "lo\n')
    assert RunFolder(path, SETTINGS).resume(model, optimizer) == 7
    assert "damaged lines are removed" in capfd.readouterr().err
    assert (path / "metrics.jsonl").read_text() == ""


def test_metrics_are_cut_to_the_checkpoint(saved_twice):
    path, model, optimizer = saved_twice
    assert steps(path) == list(range(1, 11))
    before = (path / "metrics.jsonl").read_text().splitlines(keepends=True)
    assert RunFolder(path, SETTINGS).resume(model, optimizer) == 9
    assert (path / "metrics.jsonl").read_text() == "".join(before[:9])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [*lines, '{"step": 11, "lo'], ""),
        (lambda lines: ['{"step": 1, "lo' + lines[0], *lines], "damaged lines are removed"),
        (lambda lines: [*lines[:4], "\0" * 50 + "\n", *lines[4:]], "damaged lines are removed"),
        (lambda lines: [*lines[:4], "null\n", "[]\n", "{}\n", *lines[4:]], "damaged lines are"),
        (lambda lines: [*lines[:4], "[" * 100_000 + "\n", *lines[4:]], "damaged lines are"),
        (lambda lines: [*lines[:4], '{"step": 4, "loss": NaN}\n', *lines[4:]], "damaged lines"),
        (lambda lines: [*lines, *lines], ""),
        (lambda lines: lines[::-1], ""),
        (lambda lines: [*lines[:-2], lines[-2].strip()], ""),
    ],
)
def test_metrics_become_one_whole_line_a_step(saved_twice, capfd, change, said):
    path, model, optimizer = saved_twice
    before = (path / "metrics.jsonl").read_text().splitlines(keepends=True)
    (path / "metrics.jsonl").write_text("".join(change(before)))
    assert RunFolder(path, SETTINGS).resume(model, optimizer) == 9
    assert (path / "metrics.jsonl").read_text() == "".join(before[:9])
    assert said in (err := capfd.readouterr().err)
    assert err.count("\n") == bool(said)


def test_a_file_that_holds_no_metrics_is_left_alone(tmp_path):
    folder = RunFolder(tmp_path, SETTINGS)
    folder.metrics.write_text("a letter\nto a friend\n")
    with pytest.raises(
        ValueError, match=r"metrics\.jsonl does not hold the metrics of a run: move"
    ):
        folder.resume(*trained(0))
    assert folder.metrics.read_text() == "a letter\nto a friend\n"
    folder.metrics.write_text('{"st')  # killed in its first line
    assert folder.resume(*trained(0)) == 0
    assert folder.metrics.read_text() == ""


def test_metrics_are_json_or_nothing(tmp_path):
    folder = RunFolder(tmp_path, SETTINGS)
    with pytest.raises(ValueError, match=r"metrics that are not finite: .*'loss': nan"):
        folder.log({"step": 1, "loss": math.nan})
    assert not folder.metrics.exists()


# Settings


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        (b"", "settings.json is not JSON"),
        (b"\xff", "settings.json is not JSON"),
        (b'{"model": ', "settings.json is not JSON"),
        (b"[" * 100_000, "settings.json is nested more than 64 deep"),
        (b"[]", "settings.json does not hold the settings of a run"),
        (b"null", "settings.json is not JSON"),
        (b'{"model": null}', "settings.json does not hold the settings of a run"),
        (None, "holds checkpoints but no settings.json: put it back"),
    ],
)
def test_damaged_settings_are_named(saved, contents, message):
    path, *_ = saved
    (path / "settings.json").unlink()
    if contents is not None:
        (path / "settings.json").write_bytes(contents)
    with pytest.raises(ValueError, match=message):
        RunFolder(path, SETTINGS)
    assert (path / "settings.json").exists() == (contents is not None)


def test_settings_that_an_older_version_did_not_know_are_added(tmp_path):
    RunFolder(tmp_path, {"model": {"dim": 16}, "data": {"data": "text.txt"}})
    RunFolder(tmp_path, {"model": {"dim": 16, "new": 1}, "data": {"content": "sha256 1"}})
    with pytest.raises(ValueError, match="model setting new=1, not 2"):
        RunFolder(tmp_path, {"model": {"new": 2}})
    assert json.loads((tmp_path / "settings.json").read_text()) == {
        "model": {"dim": 16, "new": 1},
        "data": {"data": "text.txt", "content": "sha256 1"},
    }


def test_settings_of_checkpoints_are_not_made_up(saved, capfd):
    path, *_ = saved
    file = path / "settings.json"
    before = json.loads(file.read_text())
    file.write_text(json.dumps({"training": {}}))
    with pytest.raises(ValueError, match=r"settings\.json does not hold the model settings of"):
        RunFolder(path, SETTINGS)
    assert json.loads(file.read_text()) == {"training": {}}
    del before["model"]["dim"]
    file.write_text(json.dumps(before))
    RunFolder(path, SETTINGS)
    assert "settings.json does not say" in (err := capfd.readouterr().err)
    assert err.endswith("taken as now: model.dim\n")
    RunFolder(path, SETTINGS)
    assert not capfd.readouterr().err
