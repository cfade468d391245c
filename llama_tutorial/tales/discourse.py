"""What a pronoun means: who and what the last sentences spoke of.

The teller writes "he" only where :meth:`Discourse.person` would find the right one, and the reader
asks the same method, so that the two cannot disagree.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from llama_tutorial.tales.patterns import EventKind
from llama_tutorial.tales.world import Being, Roles, World


class Discourse:
    """The mentions of this sentence and of the last one that mentioned anybody."""

    def __init__(self) -> None:
        self.now: list[str] = []  # beings of this sentence, the subject first
        self.before: list[str] = []  # of the sentence before
        self.recent: tuple[str, ...] = ()  # everybody, the last mentioned first
        self.alone = self.alone_before = True  # whether the sentence is led by one, not by several
        self.leads: tuple[str, ...] = ()  # the subjects of this sentence's clauses
        self.leads_before: tuple[str, ...] = ()
        self.group: tuple[str, ...] = ()  # the last that were named together
        self.things_now: list[str] = []
        self.things_before: list[str] = []
        self.thing: str | None = None  # the last that was mentioned

    def copy(self) -> Discourse:
        """An independent copy, to try a sentence with."""
        other = Discourse.__new__(Discourse)
        other.__dict__.update(self.__dict__)
        other.now, other.things_now = self.now[:], self.things_now[:]
        return other

    def next_sentence(self) -> None:
        """A full stop; a sentence that mentions nobody leaves the last one in mind."""
        if self.now:
            self.before, self.now = self.now, []
            self.alone_before, self.alone = self.alone, True
            self.leads_before, self.leads = self.leads, ()
        if self.things_now:
            self.things_before, self.things_now = self.things_now, []
        elif self.now or self.before:
            self.things_before = []

    def mention(self, name: str) -> None:
        """Somebody is spoken of."""
        if name not in self.now:
            self.now.append(name)
        if self.recent[:1] != (name,):
            self.recent = (name, *(other for other in self.recent if other != name))

    def mention_group(self, names: tuple[str, ...]) -> None:
        """Several are spoken of together."""
        self.alone = self.alone and bool(self.now)
        for name in names:
            self.mention(name)
        self.group = names

    def mention_thing(self, noun: str) -> None:
        """Something is spoken of."""
        if noun not in self.things_now:
            self.things_now.append(noun)
        self.thing = noun

    def person(
        self, gender: str, beings: Mapping[str, Being], exclude: Collection[str] = ()
    ) -> str | None:
        """Who "he" or "she" is: this sentence's subject first, then the last one's, then others.

        Of those who were mentioned earlier, the last.
        """
        for name in (*self.now, *self.before, *self.recent):
            if name not in exclude and name in beings and beings[name].gender == gender:
                return name
        return None

    def lead(self, name: str) -> None:
        """Somebody is the subject of a clause."""
        self.leads = (*self.leads, name)

    def clear(self, name: str, beings: Mapping[str, Being], first: bool) -> bool:
        """Whether a reader would take the pronoun without a second thought.

        That is so if nobody else of that gender was mentioned in this sentence or the last, or if
        the last was about this one alone and this sentence begins with the pronoun. It is not so
        if the last spoke of several together.
        """
        if not self.now:
            if not self.alone_before:
                return False
            if first and set(self.leads_before) == {name} == set(self.before[:1]):
                return True
        if name not in (*self.now, *self.before, *self.recent[:2]):
            return False
        gender = beings[name].gender
        rivals = (other for other in (*self.now, *self.before) if other != name)
        return not any(other in beings and beings[other].gender == gender for other in rivals)

    def they(self) -> tuple[str, ...]:
        """Who "they" are: all of this sentence and the last, or the last named together."""
        everyone = tuple(dict.fromkeys((*self.now, *self.before)))
        return everyone if len(everyone) > 1 else self.group

    def other(self, name: str) -> str | None:
        """The one spoken to or of beside ``name``: whoever was mentioned last."""
        return next((candidate for candidate in self.recent if candidate != name), None)

    def thing_clear(self, noun: str) -> bool:
        """Whether "it" can only be ``noun``: the last mentioned, alone in its sentence."""
        here = self.things_now or self.things_before
        return self.thing == noun and here == [noun]

    def infer(self, role: str, event: EventKind, known: Roles, world: World) -> Any:
        """What is meant by a role that the words leave out; None where nobody can tell.

        ``known`` are the roles that they give, and the world is as it was before the sentence.
        """
        if role == "G":
            return self.they()
        if role in "xyz":
            return self.thing
        subject = known.get(event.speaker or "A") or next(iter((*self.now, *self.before)), "")
        if role in "pqr":
            return world.facts.get(("where", subject))
        if role == "w":
            return world.facts.get(("wants", subject))
        if role in "ABCDE":
            return subject if role == "A" and not event.speaker else self.other(subject)
        return None
