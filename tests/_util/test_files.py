"""A file or folder is replaced whole or not at all, and nothing is left beside it."""

from __future__ import annotations

import os
import stat
import sys

import pytest

from llama_tutorial._util.files import left_aside, replace_file, replace_folder


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


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
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
