"""The table of patterns: sound, used, and refused where it is not."""

from __future__ import annotations

import random

import pytest

from llama_tutorial.tales.chunking import chunk, words_of
from llama_tutorial.tales.discourse import Discourse
from llama_tutorial.tales.index import clause_index, key_of, pattern_items
from llama_tutorial.tales.patterns import event_kinds, parse_grammar, spell_out
from llama_tutorial.tales.story import Story
from llama_tutorial.tales.words import HE_ANIMALS, PLACES, SHE_ANIMALS, SPOT_PLACES, THINGS
from llama_tutorial.tales.world import Being, World, parse_rules


def key(text: str) -> str:
    return key_of(chunk(words_of(text)))


# -- the table ----------------------------------------------------------------------------------


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
        parse_grammar(text)


@pytest.mark.parametrize(
    "text", ["{A} gave him {x}", "they ran", "{A} sat on the kite", "a fox ran"]
)
def test_literals_that_would_be_read_as_mentions_are_refused(text):
    (variant,) = spell_out(text)
    with pytest.raises(ValueError, match="which must be a slot"):
        pattern_items(variant)


# -- chunks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tom gave her the big red kite.", "C gave C X"),
        ("Pip the fox had a kite", "C had Xa"),
        ("Tom saw a little fox named Pip", "C saw Cn"),
        ("He met his best friend Bella the cat", "C met Cn"),
        ("Tom and Mia went to the park", "G went TO"),
        ("Tom, Mia and the owl ran into the forest", "G ran TO"),
        ("Tom flew his kite, and Mia ate an apple", "C USED X and C ate Xa"),
        ("The little boy's hands were cold", "C HANDS were cold"),
        ("Her mom was under the bench", "C was S"),
        ("She had no kite", "C had Xn"),
        ("They wanted to ride a bike", "G wanted W"),
        ("Was it in the hay? No.", "was X S . no"),
    ],
)
def test_chunks(text, expected):
    assert key(text) == expected


# -- pronouns -----------------------------------------------------------------------------------


def test_pronouns_mean_the_subject_first_then_the_last_sentence():
    beings = {n: Being(n, "boy", "he") for n in ("Tom", "Ben")} | {
        "Mia": Being("Mia", "girl", "she")
    }
    talk = Discourse()
    assert talk.person("he", beings) is None
    for name in ("Mia", "Tom", "Ben"):
        talk.mention(name)
    talk.next_sentence()
    assert talk.person("he", beings) == "Tom"
    assert talk.person("he", beings, exclude=["Tom"]) == "Ben"
    assert talk.person("she", beings) == "Mia"
    assert talk.clear("Mia", beings, True)
    assert not talk.clear("Ben", beings, True)
    assert set(talk.they()) == {"Mia", "Tom", "Ben"}
    assert talk.other("Ben") == "Tom"
    talk.mention_thing("kite")
    assert talk.thing_clear("kite")
    talk.mention_thing("ball")
    assert not talk.thing_clear("ball")


# -- rules --------------------------------------------------------------------------------------


def test_rules():
    world = World()
    roles = {
        "A": "Tom",
        "B": "Mia",
        "x": "kite",
        "p": "park",
        "s": "under the bench",
        "G": ("Tom", "Mia"),
    }

    def fault(text: str) -> str | None:
        return world.fault(parse_rules(text)[0], roles)

    def make(text: str) -> None:
        for rule in parse_rules(text):
            world.make(rule, roles)

    assert fault("x.holder=A") == "holder of kite is None, not = Tom"
    make("x.holder=A, helped(A,B), A.where=p")
    assert fault("x.holder=A") is None
    assert fault("x.holder!=A") == "holder of kite is Tom, not != Tom"
    assert fault("helped(A,B)") is None
    assert "is not so" in fault("helped(B,A)")
    assert "is so" in fault("!helped(A,B)")
    assert fault("B.where~A.where") is None  # nobody has said where Mia is
    assert fault("s@A") is None
    make("B.where=home, A.where=barn")
    assert fault("B.where~A.where") is not None
    assert fault("s@A") is not None
    make("G.where=p, x.holder=-, !helped(A,B)")
    assert world.where_is("Mia") == world.where_is("Tom") == "park"
    assert ("holder", "kite") not in world.facts
    assert fault("x.holder=C") == "it is not clear who or what is meant"


def test_a_plot_must_give_the_roles_that_the_rules_need():
    story = Story(random.Random(0))
    someone = story.someone()
    with pytest.raises(ValueError, match=r"give needs \['B', 'x'\] too, beside \['A'\]"):
        story("give", A=someone)
    story("once", A=someone)
    with pytest.raises(LookupError, match="no way to tell flavor"):
        story("flavor", A=someone, x="ladder")  # nothing is to be said of a ladder
