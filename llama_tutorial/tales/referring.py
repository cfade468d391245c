"""How the teller calls somebody: by name, by "the fox", or by a pronoun.

A :class:`Draft` is one clause being tried. It keeps to what
:class:`~llama_tutorial.tales.discourse.Discourse` would understand; where a form would mislead, it
raises :class:`~llama_tutorial.tales.describing.Unfit`, and the teller tries another pattern.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from llama_tutorial.tales.describing import POSSESSIVE, ThingDraft, Unfit, article
from llama_tutorial.tales.patterns import Slot
from llama_tutorial.tales.words import HANDS, KIN
from llama_tutorial.tales.world import Being

SUBJECT = {"he": "he", "she": "she"}
OBJECT = {"he": "him", "she": "her"}
_FREE = {"": SUBJECT, "o": OBJECT, "s": POSSESSIVE}  # a name, or this pronoun where it is clear
_FORCED = {
    "he": SUBJECT,
    "him": OBJECT,
    "his": POSSESSIVE,
    "self": {"he": "himself", "she": "herself"},
}
# Of a group; form w never says "the two friends".
_THEY = {"": "they", "w": "they", "o": "them", "they": "they", "them": "them", "their": "their"}
_NUMBER = {2: "two", 3: "three"}


class Draft(ThingDraft):
    """One clause in the making; see :class:`~llama_tutorial.tales.describing.ThingDraft`."""

    same_subject = ""  # whom the clause before it in the sentence is about
    kind_told = False  # "Pip was a little fox": no "Pip the fox" before it

    def write(self, variant: tuple[str | Slot, ...], roles: Mapping[str, Any]) -> str:
        """The clause in words, without capital and full stop."""
        slots = [part for part in variant if isinstance(part, Slot)]
        self.kind_told = any(slot.form == "kind" for slot in slots)
        return "".join(
            part if isinstance(part, str) else self.fill(part, roles[part.role], not i)
            for i, part in enumerate(variant)
        )

    def fill(self, slot: Slot, value: Any, first: bool) -> str:
        """The words for one slot; ``first`` if the clause begins with it."""
        role, form = slot
        if role in "ABCDE":
            return self.being(value, form, first)
        if role == "G":
            return self.group(value, form)
        if role in "xyz":
            return self.thing(value, form)
        if role in "pqr":
            return self.place(value, form)
        return "to " + value if role == "w" else value

    def being(self, name: str, form: str, first: bool) -> str:
        """A being in a form: new, rel, kind, he, him, his, self, n, voc, hands, s, o or free."""
        being = self.cast[name]
        if form in ("", "n", "he", "new", "rel"):
            self.discourse.lead(name)
        if form == "new":
            return self.introduce(being)
        if form == "rel":
            return self.introduce_friend(being)
        if form == "kind":
            self.new_beings = [being if new.name == name else new for new in self.new_beings]
            return article(_kind_words(being))
        if form == "hands":
            return HANDS.get(being.kind, "hands" if being.kind in KIN else "paws")
        if form == "voc" and not being.named and being.kind not in KIN:
            raise Unfit
        if form in _FORCED:
            return self.forced(being, form, first)
        if name not in self.world.beings and all(new.name != name for new in self.new_beings):
            return self.first_words(being, form)
        if form in _FREE and self.pronoun_fits(being, form, first):
            self.mention(name)
            return _FREE[form][being.gender]
        words = self.named(being, may_describe=form in _FREE)
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
        only = (
            sum(other.kind == being.kind for other in alike) == 1 and being not in self.new_beings
        )
        if may_describe and only and self.random.random() < 0.15:
            plain = self.random.random() < 0.6
            return "the " + (being.kind if plain else _kind_words(self.world.beings[being.name]))
        return being.name

    # -- pronouns -------------------------------------------------------------------------------

    def pronoun_fits(self, being: Being, form: str, first: bool) -> bool:
        """Whether a pronoun would be understood, and is wanted."""
        if being.name in self.bound:  # named in this clause already
            return form != "o" and not self._rival(being)
        if first and self.same_subject == being.name:
            return True
        return self._clear(being, first) and self.random.random() < 0.75

    def forced(self, being: Being, form: str, first: bool) -> str:
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

    def introduce(self, being: Being) -> str:
        """The first words on somebody: "a little fox named Pip", "an old owl"."""
        if being.name in self.world.beings or being.kind in KIN:
            raise Unfit
        self.new_beings.append(being)
        self.mention(being.name)
        words = article(_kind_words(being))
        called = self.random.choice((" named ", " called "))
        return words + called + being.name if being.named else words

    def introduce_friend(self, being: Being) -> str:
        """The first words on a friend: "his best friend Ben", "Mia's friend Pip the fox"."""
        if being.name in self.world.beings or not being.named:
            raise Unfit
        whose = self._whose()
        self.new_beings.append(being._replace(look=""))
        self.mention(being.name)
        words = f"{whose} {self.random.choice(('', 'best ', 'good '))}friend {being.name}"
        return words if being.kind in ("boy", "girl") else f"{words} the {being.kind}"

    def first_words(self, being: Being, form: str) -> str:
        """Somebody not yet introduced, in a slot that introduces nobody."""
        child = being.kind in ("boy", "girl")
        if being.kind in KIN:
            words = f"{self._whose(self.kin_of[being.name])} {being.name.lower()}"
            self.new_beings.append(being)
        elif not self.world.beings and being.named and (form != "s" or child):
            # Only the first sentence may name somebody plainly.
            words = being.name if child or self.kind_told else f"{being.name} the {being.kind}"
            self.new_beings.append(being._replace(look=""))
        else:
            raise Unfit
        self.mention(being.name)
        return words + "'s" if form == "s" else words

    def _whose(self, owner: str | None = None) -> str:
        """His, her or Tom's; without an owner it is somebody just mentioned."""
        if owner is None:
            around = self.bound or (*self.discourse.now, *self.discourse.before)
            owner = next((name for name in around if self.cast[name].named), None)
        if owner is None or owner not in (*self.world.beings, *self.bound):
            raise Unfit
        return POSSESSIVE[self.cast[owner].gender] if self.may_own(owner) else owner + "'s"

    # -- groups ---------------------------------------------------------------------------------

    def group(self, names: tuple[str, ...], form: str) -> str:
        """Several together: "Tom and Mia", "they", "the two friends"."""
        if any(name not in self.world.beings for name in names):
            return self.new_group(names)
        clear = set(self.discourse.they()) == set(names)
        forced = form in ("they", "them", "their")
        if forced and not clear and set(self.bound) != set(names):
            raise Unfit
        chance = self.random.random()
        order = self.discourse.they() if clear else names  # as the reader knows them
        if forced or (clear and form != "n" and chance < 0.6):
            words = _THEY[form]
        elif clear and chance < 0.75 and form in ("", "o"):
            words = f"the {_NUMBER[len(names)]} friends"
        else:
            words, order = self._listed(names), names
        self.bound += [name for name in order if name not in self.bound]
        self.discourse.mention_group(order)
        return words

    def _listed(self, names: tuple[str, ...]) -> str:
        listed = [name if name[0].isupper() else "the " + name for name in names]
        return ", ".join(listed[:-1]) + " and " + listed[-1]

    def new_group(self, names: tuple[str, ...]) -> str:
        """Several who are introduced at once, in the first sentence."""
        if self.world.beings:
            raise Unfit
        listed = [self.first_words(self.cast[name], "") for name in names]
        self.discourse.mention_group(names)
        return ", ".join(listed[:-1]) + " and " + listed[-1]


def _kind_words(being: Being) -> str:
    return f"{being.look} {being.kind}".strip()
