"""Casting: who, what and where a tale is about, drawn so that it makes sense."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

from llama_tutorial.tales.telling import Teller
from llama_tutorial.tales.words import (
    ANIMALS,
    BOYS,
    GENDER,
    GIRLS,
    HE_ANIMALS,
    KIN,
    KIND_LOOKS,
    LOOK_GROUP,
    PLACES,
    SHE_ANIMALS,
    STRANGERS,
    THINGS,
)
from llama_tutorial.tales.world import Being, stranger

Choice = TypeVar("Choice")


class Story(Teller):
    """A teller that also finds its own cast."""

    def __init__(self, random: Random) -> None:
        super().__init__(random, {}, {})
        self.child_tale = random.random() < 0.6

    def chance(self, share: float) -> bool:
        """True in that share of tales."""
        return self.random.random() < share

    def pick(self, options: Sequence[Choice]) -> Choice:
        """One of them."""
        return options[int(self.random.random() * len(options))]

    def someone(self, child: bool | None = None, *kinds: str) -> str:
        """A child or an animal with a name; like keeps to like unless said otherwise."""
        if child is None:
            child = self.child_tale if self.chance(0.8) else not self.child_tale
        boy = self.chance(0.5)
        while True:
            name = self.pick(
                (BOYS if boy else GIRLS) if child else (HE_ANIMALS if boy else SHE_ANIMALS)
            )
            if name not in self.cast:
                break
        taken = {being.kind for being in self.cast.values()}
        kind = (
            ("boy" if boy else "girl")
            if child
            else self.pick([k for k in kinds or ANIMALS if k not in taken])
        )
        self.cast[name] = Being(name, kind, GENDER[name], self.pick(KIND_LOOKS[kind]))
        return name

    def stranger(self, *kinds: str) -> str:
        """Somebody without a name: an owl, a baker."""
        kind = self.pick([k for k in kinds or tuple(STRANGERS) if k not in self.cast])
        self.cast[kind] = stranger(kind)._replace(look=self.pick(KIND_LOOKS[kind]))
        return kind

    def kin(self, *names: str) -> str:
        """A grown-up of the family of the one who was cast first."""
        name = self.pick([n for n in names or tuple(KIN) if n not in self.cast])
        self.kin_of[name] = next(iter(self.cast))
        self.cast[name] = Being(name, name, KIN[name])
        return name

    def thing(self, *traits: str, without: str = "") -> str:
        """Something that has any of these traits, and none of those."""
        nouns = [
            thing.noun
            for thing in THINGS.values()
            if (not traits or thing.traits & set(traits))
            and not thing.traits & set(without.split())
            and thing.noun not in self.looks
        ]
        return self.this(self.pick(nouns))

    def this(self, noun: str) -> str:
        """That very thing, with looks of its own."""
        thing = THINGS[noun]
        looks: dict[str, str] = {}
        if thing.colours and self.chance(0.75):
            looks["colour"] = self.pick(thing.colours)
        if thing.looks and self.chance(0.5 if looks else 0.8):
            look = self.pick(thing.looks)
            looks[LOOK_GROUP[look]] = look
        self.looks[noun] = looks
        return noun

    def place(self, *traits: str, without: str = "", other: Sequence[str] = ()) -> str:
        """A place that has any of these traits, and none of those."""
        return self.pick(
            [
                place.noun
                for place in PLACES.values()
                if (not traits or place.traits & set(traits))
                and not place.traits & set(without.split())
                and place.noun not in other
                and place.noun != "home"
            ]
        )

    def spots(self, place: str, count: int) -> list[str]:
        """Different spots of a place."""
        return self.random.sample(PLACES[place].spots, count)

    def known(self, name: str) -> bool:
        """Whether the tale has introduced somebody or something."""
        return name in self.world.beings or name in self.world.things

    def maybe(self, share: float, kind: str, link: str = "", join: str = "", **roles: Any) -> None:
        """Tell it in that share of tales."""
        if self.chance(share):
            self(kind, link, join, **roles)

    def wander(self, link: str, **roles: Any) -> None:
        """Go somewhere for no great reason."""
        self(self.pick(("go", "stroll", "stroll")), link, **roles)

    def flavor(self, a: str, x: str) -> None:
        """A sentence about a thing, where there is one."""
        try:
            self("flavor", A=a, x=x)
        except LookupError:
            return
