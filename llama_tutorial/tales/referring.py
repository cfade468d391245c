"""How the teller calls somebody or something: by name, by "the fox", or by a pronoun.

A :class:`Draft` is one clause being tried. It keeps to what :class:`~.discourse.Discourse` would
understand; where a form would mislead, it raises :class:`Unfit` and the teller tries another pattern.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Any

from llama_tutorial.tales.discourse import Discourse
from llama_tutorial.tales.patterns import Slot
from llama_tutorial.tales.words import HANDS, KIN, LOOKS, PLACES, STRANGERS, THINGS
from llama_tutorial.tales.world import Being, World

OBJECT = {"he": "him", "she": "her"}
POSSESSIVE = {"he": "his", "she": "her"}
GROUP_WORDS = {"": "they", "o": "them", "s": "their", "they": "they", "them": "them", "their": "their"}
_FORCED = {"he": {"he": "he", "she": "she"}, "him": OBJECT, "his": POSSESSIVE,
           "self": {"he": "himself", "she": "herself"}}  # fmt: skip


class Unfit(Exception):  # noqa: N818 - not an error: this pattern does not suit this moment
    """The pattern cannot be used here."""


def article(word: str) -> str:
    """The word with "a" or "an" before it."""
    return ("an " if word[0] in "aeiou" else "a ") + word


def describe_thing(noun: str, looks: Mapping[str, str], groups: tuple[str, ...] = tuple(LOOKS)) -> str:
    """A noun behind its adjectives: "little red kite"."""
    order = ("size", "age", "touch", "colour", "make")
    return " ".join([*(looks[group] for group in order if group in looks and group in groups), noun])


class Draft:
    """One clause in the making: what it mentions, whom it introduces."""

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
        self.looks = looks
        self.kin_of = kin_of  # whose grandma Grandma is
        self.bound: list[str] = []  # beings of this clause, the subject first
        self.new_beings: list[Being] = []
        self.new_things: dict[str, dict[str, str]] = {}
        self.owns: list[tuple[str, str]] = []  # "his kite" says whose it is
        self.same_subject = ""  # whom the clause before it in the sentence is about
        self.speaker = self.hearer = ""  # of spoken words
        self.kind_told = False  # "Pip was a little fox": no "Pip the fox" before it
        self.opening = not world.beings  # only the first sentence may name somebody plainly

    def write(self, variant: tuple[str | Slot, ...], roles: Mapping[str, Any]) -> str:
        """The clause in words, without capital and full stop."""
        self.kind_told = any(not isinstance(part, str) and part.form == "kind" for part in variant)
        return "".join(
            part if isinstance(part, str) else self.fill(part, roles[part.role], not i)
            for i, part in enumerate(variant)
        )

    def fill(self, slot: Slot, value: Any, first: bool) -> str:
        """The words for one slot."""
        role, form = slot
        if role in "ABCDE":
            return self.being(value, form, first)
        if role == "G":
            return self.group(value, form, first)
        if role in "xyz":
            return self.thing(value, form)
        if role in "pqr":
            return self.place(value, form)
        return "to " + value if role == "w" and form == "" else value

    # -- beings ---------------------------------------------------------------------------------

    def being(self, name: str, form: str, first: bool) -> str:
        """A being in a form: new, rel, kind, he, him, his, self, n, voc, hands, s, o or free."""
        being = self.cast[name]
        if form in ("", "n", "he", "new", "rel"):
            self.discourse.lead(name)
        if form in ("new", "rel"):
            return self.introduce(being, form)
        if form == "kind":
            self.new_beings = [being if new.name == name else new for new in self.new_beings]
            return article(_kind_words(being))
        if form == "hands":
            return HANDS.get(being.kind, "paws" if being.kind not in KIN else "hands")
        if form == "voc":
            return self.named(being) if being.named or being.kind in KIN else _unfit()
        if form in _FORCED:
            return self.forced(being, form, first)
        known = name in self.world.beings or any(new.name == name for new in self.new_beings)
        if not known:
            return self.first_words(being, form)
        if form != "n" and self.pronoun_fits(being, form, first):
            self.mention(name)
            return {"": {"he": "he", "she": "she"}, "o": OBJECT, "s": POSSESSIVE}[form][being.gender]
        words = self.named(being, may_describe=form != "n")
        return words + "'s" if form == "s" else words

    def mention(self, name: str) -> None:
        """Note that the clause speaks of a being."""
        if name not in self.bound:
            self.bound.append(name)
        self.discourse.mention(name)

    def named(self, being: Being, may_describe: bool = False) -> str:
        """The name, or "the fox" for Pip where there is one fox only."""
        self.mention(being.name)
        if being.kind in KIN:
            return being.name
        if not being.named:
            return "the " + being.kind
        alike = [*self.world.beings.values(), *self.new_beings]
        only = sum(other.kind == being.kind for other in alike) == 1 and being not in self.new_beings
        if may_describe and self.random.random() < 0.15 and only:
            return "the " + (being.kind if self.random.random() < 0.6 else _kind_words(self.world.beings[being.name]))
        return being.name

    def pronoun_fits(self, being: Being, form: str, first: bool) -> bool:
        """Whether a pronoun would be understood, and is wanted."""
        if being.name in self.bound:  # named in this clause already
            return form != "o" and not self._rival(being)
        if first and self.same_subject == being.name:
            return True
        exclude = self.bound
        found = self.discourse.person(being.gender, self.world.beings, exclude)
        if found != being.name or not self.discourse.clear(being.name, self.world.beings, first):
            return False
        return self.random.random() < 0.75

    def forced(self, being: Being, form: str, first: bool) -> str:
        """A pronoun that the pattern asks for."""
        if being.name not in self.bound:
            found = self.discourse.person(being.gender, self.world.beings, self.bound)
            if found != being.name or not self.discourse.clear(being.name, self.world.beings, first):
                raise Unfit
            self.mention(being.name)
        elif form != "self" and self._rival(being):
            raise Unfit
        return _FORCED[form][being.gender]

    def _rival(self, being: Being) -> bool:
        """Whether the clause names another of the same gender before this one has the floor."""
        others = [name for name in self.bound if name != being.name]
        return any(self.cast[name].gender == being.gender for name in others) and (
            self.bound[0] != being.name or len(self.bound) > 1
        )

    def introduce(self, being: Being, form: str) -> str:
        """The first words on somebody: "a little fox named Pip", "his friend Ben"."""
        if being.name in self.world.beings:
            raise Unfit
        self.new_beings.append(being)
        if form == "rel":
            if not being.named:
                raise Unfit
            words = f"{self._whose()} {self.random.choice(('', 'best ', 'good '))}friend {being.name}"
            self.new_beings[-1] = being._replace(look="")
            self.mention(being.name)
            return words + ("" if being.kind in ("boy", "girl") else f" the {being.kind}")
        if being.kind in KIN:
            raise Unfit
        self.mention(being.name)
        words = article(_kind_words(being))
        return words + self.random.choice((" named ", " called ")) + being.name if being.named else words

    def first_words(self, being: Being, form: str) -> str:
        """Somebody not yet introduced, in a slot that introduces nobody."""
        if being.kind in KIN:
            self.new_beings.append(being)
            words = f"{self._whose(self.kin_of[being.name])} {being.name.lower()}"
        elif self.opening and being.named and (form != "s" or being.kind in ("boy", "girl")):
            self.new_beings.append(being._replace(look=""))
            plain = being.kind in ("boy", "girl") or self.kind_told
            words = being.name if plain else f"{being.name} the {being.kind}"
        else:
            raise Unfit
        self.mention(being.name)
        return words + "'s" if form == "s" else words

    def _whose(self, owner: str | None = None) -> str:
        """ "His" of "his mom", or "Tom's"; without an owner it is somebody just mentioned."""
        if owner is None:
            around = self.bound or (*self.discourse.now, *self.discourse.before)
            owner = next((name for name in around if self.cast[name].named), None)
        if owner is None or owner not in self.world.beings and owner not in self.bound:
            raise Unfit
        return POSSESSIVE[self.cast[owner].gender] if self._may_own(owner) else owner + "'s"

    def group(self, names: tuple[str, ...], form: str, first: bool) -> str:
        """Several together: "Tom and Mia", "they", "the two friends"."""
        if any(name not in self.world.beings for name in names):
            return self.new_group(names)
        clear = set(self.discourse.they()) == set(names)
        if form in ("they", "them", "their") and not (clear or set(self.bound) == set(names)):
            raise Unfit
        chance = self.random.random()
        told = names
        if clear:  # the order in which the reader knows them
            names = self.discourse.they()
        if clear and form != "n" and (form in ("they", "them", "their") or chance < 0.6):
            words = GROUP_WORDS[form]
        elif clear and chance < 0.75 and form in ("", "o"):
            words = f"the {({2: 'two', 3: 'three'})[len(names)]} friends"
        else:
            listed = [self.cast[name].name if self.cast[name].named or self.cast[name].kind in KIN
                      else "the " + self.cast[name].kind for name in told]  # fmt: skip
            words = ", ".join(listed[:-1]) + " and " + listed[-1]
            if form in ("s", "their"):
                raise Unfit
            names = told
        self.bound += [name for name in names if name not in self.bound]
        self.discourse.mention_group(names)
        return words

    def new_group(self, names: tuple[str, ...]) -> str:
        """Several who are introduced at once, in the first sentence."""
        if not self.opening:
            raise Unfit
        listed = [self.first_words(self.cast[name], "") for name in names]
        self.discourse.mention_group(names)
        return ", ".join(listed[:-1]) + " and " + listed[-1]

    # -- things and places ----------------------------------------------------------------------

    def thing(self, noun: str, form: str) -> str:
        """A thing in a form: new, a, no, own, my, your, the, it, used, use or free."""
        if form in ("used", "use"):
            return getattr(THINGS[noun], form) + " " + self.thing(noun, "")
        if form == "a":
            return article(noun)
        if form == "no":
            return "no " + noun
        looks = self.world.things.get(noun, self.new_things.get(noun))
        if form == "new":
            if looks is not None:
                raise Unfit
            self.new_things[noun] = dict(self.looks[noun])
            self.discourse.mention_thing(noun)
            return article(describe_thing(noun, self.looks[noun]))
        if form == "own":
            return self.own(noun, looks)
        if looks is None:
            raise Unfit
        if form in ("", "it") and self.discourse.thing_clear(noun) and (form == "it" or self.random.random() < 0.5):
            self.discourse.mention_thing(noun)
            return "it"
        if form == "it":
            raise Unfit
        self.discourse.mention_thing(noun)
        colour = ("colour",) if self.random.random() < 0.3 else ()
        words = describe_thing(noun, looks, colour)
        if form in ("my", "your"):
            holder = self.speaker if form == "my" else self.hearer
            if self.world.facts.get(("owner", noun), holder) != holder:
                raise Unfit
            return form + " " + words
        owner = self.world.facts.get(("owner", noun))
        if form == "this":
            return "this " + words
        if form == "" and self._may_own(owner) and self.random.random() < 0.5:
            return POSSESSIVE[self.cast[owner].gender] + " " + words
        return "the " + words

    def _may_own(self, owner: str | None) -> bool:
        """Whether "his" before a thing can only mean the owner, who leads the clause."""
        if owner is None or self.bound[:1] != [owner]:
            return False
        gender = self.cast[owner].gender
        return not any(self.cast[name].gender == gender for name in self.bound[1:])

    def own(self, noun: str, looks: Mapping[str, str] | None) -> str:
        """ "His red kite", which may be the first that is heard of it."""
        if not self.bound:
            raise Unfit
        owner = self.bound[0]
        if looks is None:
            looks = {group: look for group, look in self.looks[noun].items() if group in ("colour", "age")}
            self.new_things[noun] = dict(looks)
            self.owns.append((noun, owner))
        elif self.world.facts.get(("owner", noun)) != owner:
            raise Unfit
        self.discourse.mention_thing(noun)
        return POSSESSIVE[self.cast[owner].gender] + " " + describe_thing(noun, looks, ("age", "colour"))

    def place(self, noun: str, form: str) -> str:
        """A place: at it, to it, or by itself."""
        if form:
            return getattr(PLACES[noun], form)
        if noun in ("home", "school"):
            raise Unfit
        return "the " + noun


def _kind_words(being: Being) -> str:
    return f"{being.look} {being.kind}".strip()


def _unfit() -> str:
    raise Unfit


def stranger_kind(kind: str) -> bool:
    """Whether somebody of this kind goes without a name."""
    return kind in STRANGERS
