"""How the teller calls a thing or a place: "a red kite", "her kite", "it", "in the park".

:class:`ThingDraft` is the half of a clause in the making that knows about things; the other half,
about beings, is :class:`~llama_tutorial.tales.referring.Draft`.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random

from llama_tutorial.tales.discourse import Discourse
from llama_tutorial.tales.words import LOOKS, PLACES, THINGS
from llama_tutorial.tales.world import Being, World

POSSESSIVE = {"he": "his", "she": "her"}
_ORDER = ("size", "age", "touch", "colour", "make")  # of adjectives: a big old red paper kite


class Unfit(Exception):  # noqa: N818 - not an error: this pattern does not suit this moment
    """The pattern cannot be used here."""


def article(words: str) -> str:
    """The words behind "a" or "an"."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def describe(noun: str, looks: Mapping[str, str], groups: tuple[str, ...] = tuple(LOOKS)) -> str:
    """A noun behind its adjectives of these groups: "little red kite"."""
    told = [looks[group] for group in _ORDER if group in looks and group in groups]
    return " ".join([*told, noun])


class ThingDraft:
    """One clause in the making: whom it names, what it introduces, how it calls things."""

    def __init__(
        self,
        random: Random,
        world: World,
        discourse: Discourse,
        cast: Mapping[str, Being],
        looks: Mapping[str, Mapping[str, str]],
        kin_of: Mapping[str, str],
    ) -> None:
        self.random = random
        self.world = world
        self.discourse = discourse
        self.cast = cast  # everybody of the tale, met or not
        self.looks = looks  # of everything, seen or not
        self.kin_of = kin_of  # whose grandma Grandma is
        self.bound: list[str] = []  # beings of this clause, the subject first
        self.new_beings: list[Being] = []
        self.new_things: dict[str, dict[str, str]] = {}
        self.owns: list[tuple[str, str]] = []  # "his kite" says whose it is
        self.speaker = self.hearer = ""  # of spoken words

    def thing(self, noun: str, form: str) -> str:
        """A thing in a form: new, a, no, own, my, your, this, the, it, used, use or free."""
        if form in ("used", "use"):
            return getattr(THINGS[noun], form) + " " + self.thing(noun, "")
        if form in ("a", "no"):
            return article(noun) if form == "a" else "no " + noun
        looks = self.world.things.get(noun, self.new_things.get(noun))
        if form == "new":
            return self.new_thing(noun, looks)
        if form == "own":
            return self.own(noun, looks)
        if looks is None:
            raise Unfit
        if self._may_be_it(noun, form):
            self.discourse.mention_thing(noun)
            return "it"
        self.discourse.mention_thing(noun)
        colour = ("colour",) if self.random.random() < 0.3 else ()
        return self._determiner(noun, form) + " " + describe(noun, looks, colour)

    def _may_be_it(self, noun: str, form: str) -> bool:
        if form not in ("", "it"):
            return False
        clear = self.discourse.thing_clear(noun)
        if form == "it" and not clear:
            raise Unfit
        return clear and (form == "it" or self.random.random() < 0.5)

    def _determiner(self, noun: str, form: str) -> str:
        """The, this, my, your, his."""
        owner = self.world.facts.get(("owner", noun))
        if form in ("my", "your"):
            holder = self.speaker if form == "my" else self.hearer
            if owner not in (None, holder):
                raise Unfit
            return form
        if form == "" and self.may_own(owner) and self.random.random() < 0.5:
            return POSSESSIVE[self.cast[owner].gender]
        return form or "the"

    def may_own(self, owner: str | None) -> bool:
        """Whether "his" can only mean the owner, who leads the clause."""
        if owner is None or self.bound[:1] != [owner]:
            return False
        gender = self.cast[owner].gender
        return not any(self.cast[name].gender == gender for name in self.bound[1:])

    def new_thing(self, noun: str, looks: Mapping[str, str] | None) -> str:
        """Something that nobody has heard of yet, with all its looks."""
        if looks is not None:
            raise Unfit
        self.new_things[noun] = dict(self.looks[noun])
        self.discourse.mention_thing(noun)
        return article(describe(noun, self.looks[noun]))

    def own(self, noun: str, looks: Mapping[str, str] | None) -> str:
        """His or her red kite, which may be the first that is heard of it."""
        if not self.bound:
            raise Unfit
        owner = self.bound[0]
        if looks is None:
            told = self.looks[noun].items()
            looks = {group: look for group, look in told if group in ("colour", "age")}
            self.new_things[noun] = dict(looks)
            self.owns.append((noun, owner))
        elif self.world.facts.get(("owner", noun)) != owner:
            raise Unfit
        self.discourse.mention_thing(noun)
        words = describe(noun, looks, ("age", "colour"))
        return POSSESSIVE[self.cast[owner].gender] + " " + words

    def place(self, noun: str, form: str) -> str:
        """A place: at it, to it, or by itself."""
        if form:
            return getattr(PLACES[noun], form)
        if noun in ("home", "school"):
            raise Unfit
        return "the " + noun
