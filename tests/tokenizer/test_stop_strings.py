"""Stop strings: the cut is exactly before them, in whatever pieces a text comes, and none shows."""

from __future__ import annotations

import itertools
import re

import pytest

pytest.importorskip("hypothesis")
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_tutorial.tokenizer import StopStrings

repeatable = settings(derandomize=True, deadline=None, max_examples=500)
texts = st.text("ab🦙", max_size=14)  # three characters, so that much overlaps
stop_lists = st.lists(st.text("ab🦙", min_size=1, max_size=4), max_size=3)


def reference(text: str, stops: list[str]) -> tuple[str, str | None]:
    """Character by character: the first end of any stop string, and of those the longest."""
    for end in range(len(text) + 1):
        if ending := [stop for stop in stops if text[:end].endswith(stop)]:
            longest = max(ending, key=len)
            return text[: end - len(longest)], longest
    return text, None


def through(stops: StopStrings, pieces: list[str]) -> list[str]:
    """What each piece lets out, and last what the end does."""
    return [*map(stops.feed, pieces), stops.flush()]


@repeatable
@given(texts, stop_lists, st.lists(st.integers(0, 14)))
def test_the_cut_is_before_the_first_that_is_complete_in_whatever_pieces(text, stops, cuts):
    places = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in itertools.pairwise(places)]
    expected, found = reference(text, stops)
    filtered = StopStrings(stops)
    assert ("".join(through(filtered, pieces)), filtered.found) == (expected, found)
    assert "".join(filtered.until(pieces)) == expected
    assert filtered.found == found


@repeatable
@given(texts, stop_lists)
def test_only_what_could_be_a_beginning_is_held_back(text, stops):
    """Whatever came before, all is out but the longest end that begins a stop string."""
    filtered, out = StopStrings(stops), ""
    for n, character in enumerate(text, 1):
        out += filtered.feed(character)
        if filtered.found is not None:
            break
        begins = [text[i:n] for i in range(n) if any(s.startswith(text[i:n]) for s in stops)]
        assert out == text[:n].removesuffix(max(begins, key=len, default=""))


def test_pieces_come_as_early_as_they_may():
    stops = StopStrings(["\n\n", "User:"])
    assert through(stops, ["Hi", " Us", "e", "less", "\n", "U"]) == [
        "Hi", " ", "", "Useless", "", "\n", "U",
    ]  # fmt: skip
    assert stops.found is None
    assert through(StopStrings(["End"]), ["The", " E", "nd of", " it"]) == ["The", " ", "", "", ""]


def test_the_first_end_counts_and_then_the_longer_one():
    for stops, kept, found in (
        (["abcd", "bc"], "x a", "bc"),  # the shorter one is there first
        (["c", "abc"], "x ", "abc"),
        (["abc", "c"], "x ", "abc"),
        (["d", "e"], "x abc", "d"),
    ):
        filtered = StopStrings(stops)
        assert "".join(filtered.until(["x ab", "cde"])) == kept
        assert filtered.found == found


def test_no_further_piece_is_asked_for():
    pieces = iter(["a", "b", "c", "d"])
    assert list(StopStrings(["b"]).until(pieces)) == ["a"]
    assert list(pieces) == ["c", "d"]


def test_nothing_comes_behind_a_stop_string_and_another_text_starts_anew():
    stops = StopStrings(["stop"])
    assert stops.feed("go stop go") == "go "
    assert (stops.feed("go"), stops.flush(), stops.found) == ("", "", "stop")
    assert "".join(stops.until(["go", " on"])) == "go on"
    assert stops.found is None


def test_without_stop_strings_all_goes_through():
    assert list(StopStrings().until(["a", "", "b"])) == ["a", "b"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("END", "stop_strings='END': must be a list of texts; put a single one in a list"),
        (b"END", "stop_strings=b'END': must be a list of texts"),
        (None, "stop_strings=None: must be a list of texts"),
        (2, "stop_strings=2: must be a list of texts"),
        (["a", ""], "stop_strings='': each must be a text of at least one character"),
        ([2], "stop_strings=2: each must be a text of at least one character"),
        ([b"a"], "stop_strings=b'a': each must be a text"),
    ],
)
def test_what_is_no_list_of_texts(given, message, unchecked):
    with pytest.raises(ValueError, match=re.escape(message)):
        StopStrings(given)
