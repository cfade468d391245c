"""Two processes, or two threads, cannot train in one folder; nobody else is kept out."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import pytest

from llama_tutorial._util import file_lock
from llama_tutorial.training.run_lock import RunLock, run_lock

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")


def is_free(out) -> bool:
    """Whether another process can take the lock."""
    code = (
        "import sys; from llama_tutorial.training.run_lock import run_lock\n"
        "with run_lock(sys.argv[1]): pass"
    )
    done = subprocess.run([sys.executable, "-c", code, out], capture_output=True, check=False)
    if done.returncode:
        assert b"BlockingIOError" in done.stderr
        assert f"another process (pid {os.getpid()} on ".encode() in done.stderr
    return done.returncode == 0


def test_another_process_is_kept_out_until_the_end(tmp_path):
    out = tmp_path / "new" / "run"

    def train():
        with run_lock(out):
            assert not is_free(out)
            with run_lock(f"{out}/."):  # the same thread, the same folder
                pass
            assert not is_free(out)
            raise KeyError

    with pytest.raises(KeyError):
        train()
    assert is_free(out)
    with run_lock(out):
        pass


def test_another_thread_is_kept_out(tmp_path):
    errors = []

    def train():
        try:
            with run_lock(tmp_path):
                errors.append("none")
        except BlockingIOError as error:
            errors.append(str(error))

    for _ in range(2):
        thread = threading.Thread(target=train)
        if errors:
            thread.start()
            thread.join()
        else:
            with run_lock(tmp_path):
                thread.start()
                thread.join()
    assert errors[0].startswith(f"{tmp_path}: another process (pid {os.getpid()} on ")
    assert errors[1] == "none"


@needs_fork
def test_a_killed_process_blocks_nobody_nor_do_its_children(tmp_path):
    """A child that was forked while the lock was held lives longer than its parent."""
    context = multiprocessing.get_context("fork")
    children = context.Queue()

    def train():
        with run_lock(tmp_path):
            if (child := os.fork()) == 0:
                time.sleep(60)
                os._exit(0)
            children.put(child)
            time.sleep(60)

    process = context.Process(target=train)
    process.start()
    child = children.get(timeout=30)
    with pytest.raises(BlockingIOError), run_lock(tmp_path):
        pass
    process.kill()
    process.join()
    try:
        with run_lock(tmp_path):
            os.kill(child, 0)  # it is alive
    finally:
        os.kill(child, signal.SIGKILL)


@needs_fork
def test_a_forked_child_does_not_own_its_parents_lock(tmp_path):
    with run_lock(tmp_path):
        if (child := os.fork()) == 0:
            try:
                with run_lock(tmp_path):
                    os._exit(0)
            except BlockingIOError:
                os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        assert not is_free(tmp_path)


@pytest.mark.skipif(file_lock.fcntl is None, reason="needs fcntl")
@pytest.mark.parametrize("number", [errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_locks_only_warns(tmp_path, monkeypatch, number):
    def flock(_descriptor, _operation):
        raise OSError(number, os.strerror(number))

    def train():
        with run_lock(tmp_path):
            thread = threading.Thread(target=another)
            thread.start()
            thread.join()

    def another():
        try:
            with run_lock(tmp_path):
                errors.append("none")
        except BlockingIOError:
            errors.append("kept out")

    errors = []
    monkeypatch.setattr(file_lock.fcntl, "flock", flock)
    with pytest.warns(UserWarning, match="lies on a file system without locks"):
        train()
    assert errors == ["kept out"]  # within a process it works all the same


@needs_fork
def test_the_lock_writes_to_no_other_file(tmp_path):
    """In a folder from elsewhere, .lock may be a link; and what it says is no pid."""
    (tmp_path / "precious").write_text("mine")
    (tmp_path / ".lock").symlink_to("precious")
    with pytest.raises(OSError, match=r"\.lock"), run_lock(tmp_path):
        pass
    assert (tmp_path / "precious").read_text() == "mine"


@pytest.mark.parametrize("how", ["rename", "remove", "unlock", "replace"])
@pytest.mark.skipif(os.name == "nt", reason="Windows renames no folder with an open file")
def test_the_lock_does_not_follow_the_name(tmp_path, how):
    out = tmp_path / "run"
    with run_lock(out):
        lock = RunLock(out)
        lock.check()
        if how == "rename":
            out.rename(tmp_path / "other")
        elif how == "remove":
            shutil.rmtree(out)
        else:
            (out / ".lock").unlink()
        if how in ("rename", "replace"):  # there is one, of another process
            out.mkdir(exist_ok=True)
            (out / ".lock").touch()
        assert not lock.holds()
        with pytest.raises(OSError, match=r"run: while this run trained in it, the folder was mov"):
            lock.check()
    RunLock(out).check()  # who has locked nothing is not stopped


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_lock_that_is_no_file_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / ".lock")
    with pytest.raises(ValueError, match=r"\.lock is a named pipe"), run_lock(tmp_path):
        pass
    (tmp_path / ".lock").unlink()
    (tmp_path / ".lock").mkdir()
    with pytest.raises(ValueError, match=r"\.lock is a folder"), run_lock(tmp_path):
        pass
