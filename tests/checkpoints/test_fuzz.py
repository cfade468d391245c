"""A thousand damaged files of every format; ``tests/fuzz_files.py`` runs any number of them."""

from __future__ import annotations

import signal
import sys
import time

import fuzz_files
import pytest

pytest.importorskip("safetensors")
pytest.importorskip("gguf")
pytest.importorskip("sentencepiece")
pytest.importorskip("tiktoken")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the memory is read from /proc")

SEED, FILES, SECONDS = 7, 1000, 50


@pytest.mark.slow
def test_damaged_files_load_or_are_refused():
    """A number is the same case on every machine; a slow machine runs fewer of them."""
    kinds = list(fuzz_files.KINDS)
    until = time.monotonic() + SECONDS
    outcomes = fuzz_files.run(SEED, range(FILES), kinds, until=until)
    print(f"seed {SEED}", fuzz_files.report(outcomes), sep="\n")
    assert len(outcomes) > FILES / 10
    bad = [outcome for outcome in outcomes if outcome.what not in fuzz_files.GOOD]
    assert not bad, f"seed {SEED}\n{fuzz_files.report(outcomes)}"
    assert {outcome.what for outcome in outcomes} >= {"loaded", "ValueError"}


def test_every_kind_loads_while_it_is_whole(tmp_path):
    """Where nothing loads, nothing that is damaged can be refused for its damage."""
    fuzz_files.build_corpus(tmp_path)
    for name, use in fuzz_files.KINDS.values():
        use(tmp_path / name)


def wasteful(_path):
    return bytearray(b"x") * 1_100_000_000


def slow(_path):
    time.sleep(5)


def raises(kind, text):
    def use(path):
        raise kind(text.format(path))

    return use


@pytest.mark.parametrize(
    ("use", "what"),
    [
        (lambda _path: None, "loaded"),
        (raises(ValueError, "{} is damaged"), "ValueError"),
        (raises(FileNotFoundError, "{}: no such file"), "FileNotFoundError"),
        (raises(ValueError, "it is damaged"), "names no file"),
        (raises(ValueError, "{} is\ndamaged"), "more than one line"),
        (raises(ValueError, "{}" + 2000 * "x"), "very long message"),
        (raises(OverflowError, "{}"), "OverflowError"),
        (raises(RecursionError, "{}"), "RecursionError"),
        (slow, "TimeoutError"),
        (wasteful, " MB"),
    ],
)
def test_the_fuzzer_sees_what_is_not_good(tmp_path, monkeypatch, use, what):
    (tmp_path / "a.bin").write_bytes(bytes(100))
    monkeypatch.setitem(fuzz_files.KINDS, "a", ("a.bin", use))
    monkeypatch.setattr(fuzz_files, "SECONDS", 1 if use is slow else 10)
    before = signal.signal(signal.SIGALRM, fuzz_files.too_slow)
    try:
        outcome = fuzz_files.run_case(tmp_path, 0, 0, ["a"], None)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert outcome.what.endswith(what)
