"""Many tales by several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import time

import pytest

from llama_tutorial.tales import tell, telling


@pytest.mark.parametrize(("n", "processes"), [(0, 2), (7, 0), (120, 1), (200, 3), (101, 2)])
def test_they_come_in_the_order_of_their_seeds(n, processes):
    told = list(telling.texts(n, "validation", 40, processes))
    assert told == [tell(number, "validation").text for number in range(40, 40 + n)]


def running(monkeypatch) -> list[subprocess.Popen]:
    """The processes that are started."""
    started, start = [], telling.subprocess.Popen

    def popen(*arguments, **options):
        started.append(start(*arguments, **options))
        return started[-1]

    monkeypatch.setattr(telling.subprocess, "Popen", popen)
    return started


def test_nobody_goes_on_telling_when_the_reader_has_enough(monkeypatch):
    started = running(monkeypatch)
    told = telling.texts(10**6, processes=2)
    assert next(told) == tell(0).text
    told.close()
    assert len(started) == 2
    assert all(worker.poll() is not None for worker in started)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_process_that_is_killed_is_no_end_of_the_tales(monkeypatch):
    started = running(monkeypatch)
    told = telling.texts(10**6, processes=2)
    next(told)
    os.kill(started[1].pid, signal.SIGKILL)
    message = r"a process that tells tales has ended \(exit code -9\)"
    with pytest.raises(ChildProcessError, match=message):
        list(told)
    assert started[0].poll() is not None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_where_the_reader_is_killed_they_end(monkeypatch):
    started = running(monkeypatch)
    told = telling.texts(10**6, processes=1)
    next(told)
    worker = started[0]
    worker.stdout.close()  # as the system does for a process that is killed
    for _ in range(600):
        if worker.poll() is not None:
            break
        time.sleep(0.1)
    assert worker.poll() == 1
