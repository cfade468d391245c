"""The table of patterns: sound, used, and refused where it is not."""

from __future__ import annotations

import pytest

from llama_tutorial.tales.index import clause_index, pattern_items
from llama_tutorial.tales.patterns import event_kinds, parse_events, spell_out
from llama_tutorial.tales.words import HE_ANIMALS, PLACES, SHE_ANIMALS, SPOT_PLACES, THINGS


def test_every_kind_has_patterns_and_every_pattern_a_key():
    kinds = event_kinds()
    assert len(kinds) > 250
    assert all(event.patterns for event in kinds.values())
    assert sum(len(event.patterns) for event in kinds.values()) > 1200
    assert len(clause_index()) > 1400  # raises where a literal would be read as a mention


def test_no_pattern_twice():
    texts = [p.text for event in event_kinds().values() for p in event.patterns]
    by_event = [(p.event.name, p.text) for event in event_kinds().values() for p in event.patterns]
    assert len(set(by_event)) == len(texts)


def test_no_key_belongs_to_two_kinds():
    """Else the reader could not know what happened."""
    for pattern_key, candidates in clause_index().items():
        assert len({candidate.pattern.event.name for candidate in candidates}) == 1, pattern_key


def test_the_words_of_the_tables():
    assert all(len(place.spots) == 3 for place in PLACES.values())
    assert all(len(SPOT_PLACES[spot]) <= 2 for spot in SPOT_PLACES)
    assert not set(HE_ANIMALS) & set(SHE_ANIMALS)
    assert len(THINGS) > 50


def test_choices_are_spelled_out():
    assert len(spell_out("{A} [ran|went] {p.to} [|again]")) == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{A} ran", "comes before the first kind"),
        ("= give x.holder=A -> x.holder=B", "must be '= kind: needs -> makes'"),
        ("= a: ->\n{A} ran\n= a: ->", "with a kind of its own"),
        ("= a: x holder A ->", "is no rule of the story world"),
    ],
)
def test_bad_tables_are_refused(text, message):
    with pytest.raises(ValueError, match=message):
        parse_events(text.splitlines())


@pytest.mark.parametrize(
    "text", ["{A} gave him {x}", "they ran", "{A} sat on the kite", "a fox ran"]
)
def test_literals_that_would_be_read_as_mentions_are_refused(text):
    (variant,) = spell_out(text)
    with pytest.raises(ValueError, match="which must be a slot"):
        pattern_items(variant)
