"""The words of the story world, from ``data/words.txt``: who there is, what there is, and where.

Every table is read by the teller and by the reader alike.
"""

from __future__ import annotations

from typing import NamedTuple

from llama_tutorial.tales.tables import keyed, sections


class Thing(NamedTuple):
    """A kind of object: its noun and what can be said of it."""

    noun: str
    traits: frozenset[str]
    colours: tuple[str, ...]
    looks: tuple[str, ...]
    used: str  # what one did with it: "flew"
    use: str  # "fly"


class Place(NamedTuple):
    """A place: how one is there, how one gets there, and where things can hide."""

    noun: str
    at: str
    to: str
    traits: frozenset[str]
    spots: tuple[str, ...]


def _thing(row: str) -> Thing:
    row = row.replace("bright", " ".join(LOOKS["colour"][:6]))
    noun, traits, colours, looks, verbs = (cell.strip() for cell in row.split("|"))
    used, use = verbs.split(" / ")
    look = tuple(colours.split()), tuple(looks.split())
    return Thing(noun, frozenset(traits.split()), *look, used, use)


def _place(row: str) -> Place:
    noun, at, to, traits, spots = (cell.strip() for cell in row.split("|"))
    return Place(noun, at, to, frozenset(traits.split()), tuple(spots.split(", ")))


_TABLES = sections("words")


def _list(heading: str) -> list[str]:
    return " ".join(_TABLES[heading]).split()


def _pronouns(heading: str) -> dict[str, str]:
    return {name: gender for name, (gender,) in keyed(_TABLES[heading]).items()}


BOYS, GIRLS = _list("boys"), _list("girls")
HE_ANIMALS, SHE_ANIMALS = _list("he animals"), _list("she animals")
GENDER = dict.fromkeys(BOYS + HE_ANIMALS, "he") | dict.fromkeys(GIRLS + SHE_ANIMALS, "she")
KIN = _pronouns("kin")
ANIMALS = _list("animals")
STRANGERS = _pronouns("strangers")
KINDS = {"boy": "he", "girl": "she"} | dict.fromkeys(ANIMALS, "") | STRANGERS
KIND_LOOKS = keyed(_TABLES["kind looks"])
HANDS = {kind: hands for hands, kinds in keyed(_TABLES["hands"]).items() for kind in kinds}
LOOKS = keyed(_TABLES["looks"])
LOOK_GROUP = {look: group for group, looks in LOOKS.items() for look in looks}
PLAIN_LOOKS = frozenset(_list("plain looks"))
SKILLS = tuple(_TABLES["skills"])
THINGS = {thing.noun: thing for thing in map(_thing, _TABLES["things"])}
PLACES = {place.noun: place for place in map(_place, _TABLES["places"])}
SPOT_PLACES: dict[str, tuple[str, ...]] = {}  # the places that have a spot
for _home in PLACES.values():
    for _spot in _home.spots:
        SPOT_PLACES[_spot] = (*SPOT_PLACES.get(_spot, ()), _home.noun)
