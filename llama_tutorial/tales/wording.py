"""How the teller calls somebody or something: "Pip", "the fox", "he", "a red kite", "it".

A :class:`Draft` is one clause being tried. It keeps to what
:class:`~llama_tutorial.tales.discourse.Discourse` would understand; where a form would mislead, it
raises :class:`Unfit`, and the teller tries another pattern. ``data/patterns.txt`` lists the forms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from llama_tutorial.tales.discourse import Discourse
from llama_tutorial.tales.patterns import Parts, Slot
from llama_tutorial.tales.words import HANDS, KIN, LOOKS, PLACES, THINGS
from llama_tutorial.tales.world import Being

if TYPE_CHECKING:
    from llama_tutorial.tales.story import Story

SUBJECT = {"he": "he", "she": "she"}
OBJECT = {"he": "him", "she": "her"}
POSSESSIVE = {"he": "his", "she": "her"}
_FREE = {"": SUBJECT, "o": OBJECT, "s": POSSESSIVE}  # a name, or this pronoun where it is clear
_FORCED = {"he": SUBJECT, "his": POSSESSIVE, "self": {"he": "himself", "she": "herself"}}
_THEY = {"": "they", "w": "they", "o": "them", "they": "they", "their": "their"}
_NUMBER = {2: "two", 3: "three"}
_ORDER = ("size", "age", "touch", "colour", "make")  # of adjectives: a big old red paper kite


class Unfit(LookupError):  # noqa: N818 - not an error: another pattern or another tale is tried
    """A pattern, or all patterns of an event, cannot be used at this moment."""


def article(words: str) -> str:
    """The words behind "a" or "an"."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def describe(noun: str, looks: Mapping[str, str], groups: tuple[str, ...] = tuple(LOOKS)) -> str:
    """A noun behind its adjectives of these groups: "little red kite"."""
    told = [looks[group] for group in _ORDER if group in looks and group in groups]
    return " ".join([*told, noun])


def listed(words: list[str]) -> str:
    """Words joined: "Tom, Mia and the owl"."""
    return ", ".join(words[:-1]) + " and " + words[-1]


def the(name: str) -> str:
    """How a being goes by its name: "Tom", "the owl", "Grandma"."""
    return name if name[0].isupper() else "the " + name


class Draft:
    """One clause in the making: whom it names, what it introduces, how it calls things."""

    def __init__(self, story: Story, discourse: Discourse) -> None:
        self.random = story.random
        self.world = story.world
        self.cast = story.cast  # everybody of the tale, met or not
        self.looks = story.looks  # of everything, seen or not
        self.kin_of = story.kin_of  # whose grandma Grandma is
        self.discourse = discourse
        self.bound: list[str] = []  # beings of this clause, the subject first
        self.new_beings: list[Being] = []
        self.new_things: dict[str, dict[str, str]] = {}
        self.owns: list[tuple[str, str]] = []  # "his kite" says whose it is
        self.speaker = self.hearer = ""  # of spoken words
        self.same_subject = ""  # whom the clause before it in the sentence is about
        self.variant: Parts = ()

    def write(self, variant: Parts, roles: Mapping[str, Any]) -> str:
        """The clause in words, without capital and full stop."""
        self.variant = variant
        words = [
            part if isinstance(part, str) else self._fill(part, roles[part.role], not i)
            for i, part in enumerate(variant)
        ]
        return "".join(words)

    def _fill(self, slot: Slot, value: Any, first: bool) -> str:
        """The words for one slot; ``first`` if the clause begins with it."""
        role, form = slot
        if role in "ABCDE":
            return self._being(value, form, first)
        if role == "G":
            return self._group(value, form)
        if role in "xyz":
            return self._thing(value, form)
        if role in "pqr":
            return self._place(value, form)
        return "to " + value if role == "w" else value

    # -- beings ---------------------------------------------------------------------------------

    def _being(self, name: str, form: str, first: bool) -> str:
        being = self.cast[name]
        if form in ("", "n", "he", "new", "rel"):
            self.discourse.lead(name)
        if form == "new":
            return self._introduce(being)
        if form == "rel":
            return self._introduce_friend(being)
        if form == "kind":
            self.new_beings = [being if new.name == name else new for new in self.new_beings]
            return article(_kind_words(being))
        if form == "hands":
            return HANDS.get(being.kind, "hands" if being.kind in KIN else "paws")
        if form == "voc" and not being.named and being.kind not in KIN:
            raise Unfit
        if form in _FORCED:
            return self._pronoun(being, form, first)
        if name not in self.world.beings and all(new.name != name for new in self.new_beings):
            return self._first_words(being, form)
        if form in _FREE and self._pronoun_fits(being, form, first):
            self.mention(name)
            return _FREE[form][being.gender]
        words = self._named(being, may_describe=form in _FREE)
        return words + "'s" if form == "s" else words

    def mention(self, name: str) -> None:
        """Note that the clause speaks of a being."""
        if name not in self.bound:
            self.bound.append(name)
        self.discourse.mention(name)

    def _named(self, being: Being, may_describe: bool) -> str:
        """The name, or "the fox" for Pip where there is one fox only."""
        self.mention(being.name)
        if being.kind in KIN or not being.named:
            return the(being.name)
        alike = [*self.world.beings.values(), *self.new_beings]
        only = sum(other.kind == being.kind for other in alike) == 1
        only = only and being not in self.new_beings
        if may_describe and only and self.random.random() < 0.15:
            plain = self.random.random() < 0.6
            return "the " + (being.kind if plain else _kind_words(self.world.beings[being.name]))
        return being.name

    def _pronoun_fits(self, being: Being, form: str, first: bool) -> bool:
        """Whether a pronoun would be understood, and is wanted."""
        if being.name in self.bound:  # named in this clause already
            return form != "o" and not self._rival(being)
        if first and self.same_subject == being.name:
            return True
        return self._clear(being, first) and self.random.random() < 0.75

    def _pronoun(self, being: Being, form: str, first: bool) -> str:
        """A pronoun that the pattern asks for."""
        if being.name not in self.bound:
            if not self._clear(being, first):
                raise Unfit
            self.mention(being.name)
        elif form != "self" and self._rival(being):
            raise Unfit
        return _FORCED[form][being.gender]

    def _clear(self, being: Being, first: bool) -> bool:
        beings = self.world.beings
        found = self.discourse.person(being.gender, beings, self.bound)
        return found == being.name and self.discourse.clear(being.name, beings, first)

    def _rival(self, being: Being) -> bool:
        """Whether the clause names another of the same gender."""
        others = (self.cast[name] for name in self.bound if name != being.name)
        return any(other.gender == being.gender for other in others)

    # -- introductions --------------------------------------------------------------------------

    def _introduce(self, being: Being) -> str:
        """The first words on somebody: "a little fox named Pip", "an old owl"."""
        if being.name in self.world.beings or being.kind in KIN:
            raise Unfit
        self.new_beings.append(being)
        self.mention(being.name)
        called = self.random.choice((" named ", " called "))
        return article(_kind_words(being)) + (called + being.name if being.named else "")

    def _introduce_friend(self, being: Being) -> str:
        """The first words on a friend: "his best friend Ben", "Mia's friend Pip the fox"."""
        if being.name in self.world.beings or not being.named:
            raise Unfit
        # Without an owner it is somebody just mentioned.
        around = self.bound or (*self.discourse.now, *self.discourse.before)
        whose = self._whose(next((name for name in around if self.cast[name].named), None))
        self.new_beings.append(being._replace(look=""))
        self.mention(being.name)
        words = f"{whose} {self.random.choice(('', 'best ', 'good '))}friend {being.name}"
        return words if being.kind in ("boy", "girl") else f"{words} the {being.kind}"

    def _first_words(self, being: Being, form: str) -> str:
        """Somebody not yet introduced, in a slot that introduces nobody."""
        child = being.kind in ("boy", "girl")
        if being.kind in KIN:
            words = f"{self._whose(self.kin_of[being.name])} {being.name.lower()}"
        elif not self.world.beings and being.named and (form != "s" or child):
            # Only the first sentence may do so: "Pip the fox sang", but "Pip was a fox".
            told = child or any(isinstance(p, Slot) and p.form == "kind" for p in self.variant)
            words = being.name if told else f"{being.name} the {being.kind}"
        else:
            raise Unfit
        self.new_beings.append(being._replace(look=""))
        self.mention(being.name)
        return words + "'s" if form == "s" else words

    def _whose(self, owner: str | None) -> str:
        """His, her or Tom's."""
        if owner is None or owner not in (*self.world.beings, *self.bound):
            raise Unfit
        return POSSESSIVE[self.cast[owner].gender] if self._may_own(owner) else owner + "'s"

    # -- groups ---------------------------------------------------------------------------------

    def _group(self, names: tuple[str, ...], form: str) -> str:
        """Several together: "Tom and Mia", "they", "the two friends"."""
        if any(name not in self.world.beings for name in names):
            if self.world.beings:
                raise Unfit
            words = listed([self._first_words(self.cast[name], "") for name in names])
            self.discourse.mention_group(names)
            return words
        they = self.discourse.they()
        clear = set(they) == set(names)
        order = they if clear else names  # as the reader knows them
        forced = form in ("they", "their")
        if forced and not clear and set(self.bound) != set(names):
            raise Unfit
        chance = self.random.random()
        if forced or (clear and form != "n" and chance < 0.6):
            words = _THEY[form]
        elif clear and chance < 0.75 and form in ("", "o"):
            words = f"the {_NUMBER[len(names)]} friends"
        else:
            words, order = listed(list(map(the, names))), names
        self.bound += [name for name in order if name not in self.bound]
        self.discourse.mention_group(order)
        return words

    # -- things and places ----------------------------------------------------------------------

    def _thing(self, noun: str, form: str) -> str:
        if form == "used":
            return f"{THINGS[noun].used} {self._thing(noun, '')}"
        if form in ("a", "no"):
            return article(noun) if form == "a" else "no " + noun
        looks = self.world.things.get(noun, self.new_things.get(noun))
        if form == "new":  # all its looks
            if looks is not None:
                raise Unfit
            self.new_things[noun] = dict(self.looks[noun])
            self.discourse.mention_thing(noun)
            return article(describe(noun, self.looks[noun]))
        if form == "own":
            return self._own_thing(noun, looks)
        if looks is None:
            raise Unfit
        if form in ("", "it"):
            clear = self.discourse.thing_clear(noun)
            if form == "it" and not clear:
                raise Unfit
            if clear and (form == "it" or self.random.random() < 0.5):
                self.discourse.mention_thing(noun)
                return "it"
        self.discourse.mention_thing(noun)
        colour = ("colour",) if self.random.random() < 0.3 else ()
        return self._determiner(noun, form) + " " + describe(noun, looks, colour)

    def _own_thing(self, noun: str, looks: Mapping[str, str] | None) -> str:
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

    def _determiner(self, noun: str, form: str) -> str:
        """The, this, my, your, his."""
        owner = self.world.facts.get(("owner", noun))
        if form in ("my", "your"):
            if owner not in (None, self.speaker if form == "my" else self.hearer):
                raise Unfit
            return form
        if form == "" and owner and self._may_own(owner) and self.random.random() < 0.5:
            return POSSESSIVE[self.cast[owner].gender]
        return form or "the"

    def _may_own(self, owner: str) -> bool:
        """Whether "his" can only mean the owner, who leads the clause."""
        if self.bound[:1] != [owner]:
            return False
        return not self._rival(self.cast[owner])

    def _place(self, noun: str, form: str) -> str:
        if form:
            return getattr(PLACES[noun], form)
        if noun in ("home", "school"):
            raise Unfit
        return "the " + noun


def _kind_words(being: Being) -> str:
    return f"{being.look} {being.kind}".strip()
