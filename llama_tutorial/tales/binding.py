"""Whom and what a clause means: from its mentions to roles, with all that is wrong about them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from llama_tutorial.tales.chunking import Mention
from llama_tutorial.tales.discourse import Discourse
from llama_tutorial.tales.index import Candidate
from llama_tutorial.tales.patterns import Slot, guard_holds
from llama_tutorial.tales.settling import infer
from llama_tutorial.tales.words import GENDER, KIN, KINDS, LOOK_GROUP, PLACES, THINGS
from llama_tutorial.tales.world import Being, World


class Binding(ThingBinding):
    """One candidate tried on one clause: its roles, its faults, whom and what it introduces."""

    def hear(self, candidate: Candidate, frame: Binding) -> None:
        """Take over from a frame who speaks to whom."""
        assert candidate.pattern is not None
        event = candidate.pattern.event
        self.speaker, self.hearer = frame.roles.get("A", ""), frame.roles.get("B", "")
        for role, name in ((event.speaker, self.speaker), (event.hearer, self.hearer)):
            if name:
                self.roles[role] = name
        self.bound, self.faults, self.refers = frame.bound[:], frame.faults[:], frame.refers

    def bind(self, candidate: Candidate, mentions: Sequence[Mention]) -> bool:
        """Give every mention its role; False where the clause cannot be this pattern at all."""
        has_kind = any(e.slot and e.slot.form == "kind" for e in candidate.expected)
        for expected, mention in zip(candidate.expected, mentions, strict=True):
            if expected.literal and expected.literal != mention.value:
                return False
            if expected.slot is not None:
                self._fill(expected.slot, mention, has_kind)
        return True

    def complete(self, candidate: Candidate) -> None:
        """Infer the roles that are left out, then see whether the event can be."""
        pattern = candidate.pattern
        assert pattern is not None
        event = pattern.event
        for guard in pattern.guards:
            role, relation, wanted = guard
            if relation == "=" and role not in self.roles:
                self.roles[role] = wanted
            elif isinstance(self.roles.get(role), str) and not guard_holds(guard, self.roles[role]):
                self.faults.append(f"a {self.roles[role]} does not do that")
        for role in sorted(event.roles - self.roles.keys()):
            value = infer(role, event, self.roles, self.before, self.world)
            if value:
                self.roles[role] = value
        for rule in event.needs:
            self.refers = True
            if fault := self.world.fault(rule, self.roles):
                self.faults.append(fault)

    def _fill(self, slot: Slot, mention: Mention, has_kind: bool) -> None:
        role, form = slot
        if role in "ABCDE":
            self._being(role, form, mention, has_kind)
        elif role == "G":
            self._group(role, mention)
        elif form == "verb":
            pass  # looked at with its thing
        elif role in "xyz":
            self._thing(role, form, mention)
        else:
            self.same(role, mention.value)

    # -- beings ---------------------------------------------------------------------------------

    def _being(self, role: str, form: str, mention: Mention, has_kind: bool) -> None:
        if form == "kind":
            self._kind_told(self.roles.get(role), mention)
        elif mention.how == "pronoun" and role in self.roles:
            being = self._known(self.roles[role])
            if being is not None and being.gender != mention.value:
                self.faults.append(f"{being.name} is {mention.value}")
        else:
            name = self.resolve(mention, has_kind)
            if name is not None:
                self.same(role, name)

    def resolve(self, mention: Mention, has_kind: bool = False) -> str | None:
        """Who is meant."""
        name = self._find(mention, has_kind)
        if name is None:
            return None
        self.refers |= name not in self.new_beings
        if name not in self.bound:
            self.bound.append(name)
        self.discourse.mention(name)
        return name

    def _find(self, mention: Mention, has_kind: bool) -> str | None:
        if mention.how == "same" and isinstance(mention.value, str):
            return mention.value
        if mention.how == "same":
            self.faults.append("it is not clear who")
            self.refers = True
            return None
        if mention.how == "pronoun":
            name = self.discourse.person(mention.value, self.world.beings, self.bound)
            if name is None:
                self.faults.append(f"nobody is there to be called {mention.value}")
                self.refers = True
            return name
        if mention.how == "kind":
            return self._by_kind(mention)
        name = mention.value
        known = self._known(name)
        if mention.how in ("new", "rel"):
            if known is not None:
                self.faults.append(f"{name} is known already")
            else:
                self._introduce(name, mention)
        elif known is None:
            if mention.how == "kin" and mention.owner is not None:
                self.new_beings[name] = Being(name, name, KIN[name])
            elif mention.how == "name" and self.opening:
                self._introduce(
                    name, mention._replace(looks=mention.looks or (("?",) if has_kind else ()))
                )
            else:
                self.faults.append(f"nobody has introduced {name}")
                self.refers = True
        elif mention.looks and mention.looks[-1] != known.kind:
            self.faults.append(f"{name} is no {mention.looks[-1]}")
        return name

    def _by_kind(self, mention: Mention) -> str | None:
        names = self.world.of_kind(mention.value)
        looks = [look for look in mention.looks if look in LOOK_GROUP or look]
        if not names:
            self.faults.append(f"there is no {mention.value}")
            self.refers = True
            return None
        recent = [n for n in (*self.discourse.now, *self.discourse.before) if n in names]
        name = (recent or names)[0]
        told = self.world.beings[name].look
        if looks and told and told not in looks:
            self.faults.append(f"{name} is not {looks[0]}")
        return name

    def _introduce(self, name: str, mention: Mention) -> None:
        kind = mention.looks[-1] if mention.looks else ("boy" if GENDER[name] == "he" else "girl")
        look = mention.looks[-2] if len(mention.looks) > 1 else ""
        gender = GENDER.get(name) or KINDS.get(kind, "")
        self.new_beings[name] = Being(name, kind, gender, look)
        if kind in ("boy", "girl") and KINDS[kind] != gender:
            self.faults.append(f"{name} is no {kind}")

    def _kind_told(self, name: str | None, mention: Mention) -> None:
        """ "Tom was a little boy": what kind a being is."""
        if name in self.new_beings:
            self._introduce(name, mention._replace(value=name))
        elif (
            name is not None
            and self._known(name) is not None
            and self._known(name).kind != mention.value
        ):
            self.faults.append(f"{name} is no {mention.value}")

    def _group(self, role: str, mention: Mention) -> None:
        if mention.how == "group":
            names = tuple(filter(None, (self.resolve(member) for member in mention.value)))
        elif role in self.roles:
            return
        else:
            names = mention.value if mention.how == "same" else self.discourse.they()
            names = names if isinstance(names, tuple) else ()
            wanted = {"two": 2, "three": 3}.get(mention.value, len(names))
            if len(names) < 2 or len(names) != wanted:
                self.faults.append("nobody is there to be called they")
                self.refers = True
                return
            self.refers = True
        self.bound += [name for name in names if name not in self.bound]
        self.discourse.mention_group(names)
        if set(self.roles.setdefault(role, names)) != set(names):
            self.same(role, names)
