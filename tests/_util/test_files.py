"""A file or folder is replaced whole or not at all, and nothing is left beside it."""

from __future__ import annotations

import os
import signal
import stat
import sys
from pathlib import Path

import pytest

from llama_tutorial._util.files import (
    disk_errors,
    left_aside,
    make_folder,
    remove_leftovers,
    replace_file,
    replace_folder,
)

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


class Halfway(Exception):  # noqa: N818
    """What a writer dies of."""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_appears_when_it_is_complete(tmp_path):
    target = tmp_path / "a.bin"
    with replace_file(target) as file:
        file.write(b"new")
        assert not target.exists()
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin"]


def test_an_old_file_stays_until_the_new_one_is_complete(tmp_path):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")
    with replace_file(target) as file:
        file.write(b"new")
        file.flush()
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.parametrize("error", [Halfway, KeyboardInterrupt])
def test_a_writer_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path, error):
    target = tmp_path / "a.bin"
    target.write_bytes(b"old")

    def write():
        with replace_file(target) as file:
            file.write(b"ne")
            raise error

    with pytest.raises(error):
        write()
    assert target.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_a_new_file_is_as_open_as_any_other(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    with replace_file(tmp_path / "a.bin"):
        pass
    modes = {stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("plain", "a.bin")}
    assert len(modes) == 1


def test_what_a_symbolic_link_points_to_is_replaced_and_not_the_link(tmp_path):
    (tmp_path / "real.bin").write_bytes(b"old")
    link = tmp_path / "link.bin"
    link.symlink_to("real.bin")
    with replace_file(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert (tmp_path / "real.bin").read_bytes() == b"new"


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    with (
        pytest.raises(ValueError, match=r"is a folder: give the name of a file"),
        replace_file(tmp_path),
    ):
        pass


@pytest.mark.parametrize("replace", [replace_file, replace_folder])
def test_a_missing_parent_folder_is_named(tmp_path, replace):
    path = tmp_path / "missing" / "a"
    with pytest.raises(FileNotFoundError, match=r"missing does not exist; make it first"):  # noqa: SIM117
        with replace(path):
            pass
    assert names(tmp_path) == []


def test_a_folder_takes_the_place_of_another(tmp_path):
    target = tmp_path / "model"
    for content in ("first", "second"):
        with replace_folder(target) as new:
            (new / "a.txt").write_text(content)
            if content == "second":
                (new / "b.txt").write_text(content)
                assert (target / "a.txt").read_text() == "first"
        assert (target / "a.txt").read_text() == content
        assert names(tmp_path) == ["model"]
    assert names(target) == ["a.txt", "b.txt"]


def test_a_folder_that_fails_halfway_leaves_the_old_one(tmp_path):
    target = tmp_path / "model"
    target.mkdir()
    (target / "a.txt").write_text("old")

    def write():
        with replace_folder(target) as new:
            (new / "a.txt").write_text("new")
            raise Halfway

    with pytest.raises(Halfway):
        write()
    assert (target / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["model"]


def test_a_folder_that_cannot_be_put_in_place_gives_the_old_one_its_name_back(
    tmp_path, monkeypatch
):
    target = tmp_path / "model"
    target.mkdir()
    (target / "a.txt").write_text("old")
    rename, calls = os.rename, []

    def second_fails(source, goal):
        calls.append(goal)
        if len(calls) == 2:
            raise OSError("no")
        rename(source, goal)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises(OSError, match="no"), replace_folder(target) as new:
        (new / "a.txt").write_text("new")
    assert (target / "a.txt").read_text() == "old"
    assert names(tmp_path) == ["model"]


@needs_fork
@pytest.mark.parametrize("crash", [1, 2])
def test_a_crash_between_two_renames_loses_nothing(tmp_path, monkeypatch, crash):
    """The process ends after the first rename, or after the second: the next one goes on."""
    target = tmp_path / "model"
    rename, calls = os.rename, []

    def write(text):
        with replace_folder(target) as new:
            (new / "a.txt").write_text(text)

    def dies(source, goal):
        rename(source, goal)
        calls.append(goal)
        if len(calls) == crash:
            os._exit(7)

    write("old")
    if (child := os.fork()) == 0:
        monkeypatch.setattr(os, "rename", dies)
        write("new")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    if crash == 1:
        assert not target.exists()
        assert (left_aside(target) / "a.txt").read_text() == "old"
    else:
        assert (target / "a.txt").read_text() == "new"
        assert left_aside(target) is None
    with replace_folder(target) as new:
        assert (target / "a.txt").read_text() == ("old" if crash == 1 else "new")
        (new / "a.txt").write_text("newest")
    assert (target / "a.txt").read_text() == "newest"
    assert [name for name in names(tmp_path) if ".old" in name or name == "model"] == ["model"]


def test_a_folder_behind_a_symbolic_link_is_replaced(tmp_path):
    (tmp_path / "real").mkdir()
    link = tmp_path / "link"
    link.symlink_to("real", target_is_directory=True)
    with replace_folder(link) as new:
        (new / "a.txt").write_text("new")
    assert link.is_symlink()
    assert (tmp_path / "real" / "a.txt").read_text() == "new"
    assert names(tmp_path) == ["link", "real"]


def test_a_file_is_not_replaced_by_a_folder(tmp_path):
    target = tmp_path / "model"
    target.write_bytes(b"mine")
    with (
        pytest.raises(ValueError, match=r"is a file: give the name of a folder"),
        replace_folder(target),
    ):
        pass
    assert target.read_bytes() == b"mine"


# What a power cut, a kill, a full disk and a stranger find


@needs_fork
def test_what_killed_writers_left_is_removed_and_what_living_ones_write_is_not(tmp_path):
    (tmp_path / ".a.bin.0123abcd.tmp").write_bytes(b"of an older version")
    (tmp_path / ".a.bin.0123abce.tmp").mkdir()
    kept = [".a.bin.old.tmp", ".a.bin.0123abcx.tmp", ".b.bin.0123abcd.tmp", "a.bin.0123abcd.tmp"]
    for name in kept:
        (tmp_path / name).write_bytes(b"")
    if os.fork() == 0:
        with replace_file(tmp_path / "a.bin") as file, replace_folder(tmp_path / "a"):
            file.write(b"half")
            os.kill(os.getpid(), signal.SIGKILL)
    os.wait()
    assert len(names(tmp_path)) == len(kept) + 2  # the older ones went when these began
    with replace_file(tmp_path / "a.bin") as first:
        first.write(b"first")
        with replace_file(tmp_path / "a.bin") as second:  # finds the first, and lets it be
            second.write(b"second")
    assert (tmp_path / "a.bin").read_bytes() == b"first"
    with replace_folder(tmp_path / "a") as new:
        remove_leftovers(tmp_path)
        (new / "part").write_bytes(b"")
    assert names(tmp_path) == sorted({*kept, "a", "a.bin"} - {".b.bin.0123abcd.tmp"})


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o444])
def test_permissions_are_those_of_what_is_replaced(tmp_path, mode):
    file, folder = tmp_path / "a.bin", tmp_path / "model"
    file.write_bytes(b"old")
    folder.mkdir()
    (folder / "a.txt").write_text("old")
    for path in (file, folder / "a.txt"):
        path.chmod(mode)
    folder.chmod(0o700)
    with replace_file(file) as new:
        (begun,) = tmp_path.glob(".a.bin.*.tmp")
        assert stat.S_IMODE(begun.stat().st_mode) == mode
        new.write(b"new")
    with replace_folder(folder) as new:
        assert stat.S_IMODE(new.stat().st_mode) == 0o700
        (new / "a.txt").write_text("new")
        (new / "b.txt").write_text("new")
    assert file.read_bytes() == b"new"
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, folder, folder / "a.txt")] == [
        mode,
        0o700,
        mode,
    ]
    (tmp_path / "plain").write_bytes(b"")
    modes = {path.stat().st_mode for path in (tmp_path / "plain", folder / "b.txt")}
    assert len(modes) == 1  # new files are as open as any


def test_contents_are_on_the_disk_before_names_are(tmp_path, monkeypatch):
    (tmp_path / "model").mkdir()
    events = []

    def noted(function, what):
        def call(*arguments):
            events.append(what(*arguments))
            return function(*arguments)

        return call

    def of(descriptor: int) -> str:
        return Path(os.readlink(f"/proc/self/fd/{descriptor}")).name[:7]

    if not Path("/proc/self/fd").is_dir():
        pytest.skip("needs /proc")
    monkeypatch.setattr(os, "fsync", noted(os.fsync, lambda fd: f"sync {of(fd)}"))
    for name in ("rename", "replace"):
        function = getattr(os, name)
        monkeypatch.setattr(os, name, noted(function, lambda _, goal: f"name {Path(goal).name}"))
    with replace_file(tmp_path / "a.bin") as file:
        file.write(b"new")
    here = tmp_path.name[:7]
    assert events == ["sync .a.bin.", "name a.bin", f"sync {here}"]
    events.clear()
    with replace_folder(tmp_path / "model") as new:
        (new / "part").write_bytes(b"new")
    assert events == [
        "sync part",
        "sync .model.",
        "name .model.old.tmp",
        "name model",
        f"sync {here}",
    ]


@needs_fork
@pytest.mark.parametrize("replace", [replace_file, replace_folder])
def test_a_full_disk_is_named_with_the_path_also_by_torch_save(tmp_path, replace):
    torch = pytest.importorskip("torch")
    resource = pytest.importorskip("resource")
    target = tmp_path / "weights"

    def write() -> None:
        with replace(target) as new:
            if isinstance(new, Path):
                with open(new / "part", "wb") as file:
                    torch.save(torch.zeros(9999), file)
            else:
                torch.save(torch.zeros(9999), new)

    read, written = os.pipe()
    if os.fork() == 0:
        resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
        try:
            write()
        except BaseException as error:
            os.write(written, f"{type(error).__name__}: {error}".encode())
        os._exit(0)
    os.wait()
    assert os.read(read, 1000).decode() == f"OSError: [Errno 27] File too large: '{target}'"
    assert names(tmp_path) == []


def test_other_errors_stay_what_they_are(tmp_path):
    for error in (OSError("no number"), FileNotFoundError(2, "no", "x"), RuntimeError("no")):
        with pytest.raises(type(error)) as caught, disk_errors(tmp_path):
            raise error
        assert caught.value is error


def test_new_folders_are_made_with_those_above_them(tmp_path):
    make_folder(tmp_path / "a" / "b" / "c")
    make_folder(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b" / "c").is_dir()
