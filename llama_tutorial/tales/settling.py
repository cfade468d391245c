"""What teller and reader do alike once a clause is understood."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llama_tutorial.tales.discourse import Discourse
from llama_tutorial.tales.patterns import EventKind
from llama_tutorial.tales.world import Being, Roles, World


def settle(
    world: World,
    event: EventKind,
    roles: Roles,
    beings: Iterable[Being],
    things: dict[str, dict[str, str]],
    owns: list[tuple[str, str]],
) -> None:
    """Let an event happen: who is new, whose is what, and the event's own effects."""
    world.beings.update((being.name, being) for being in beings)
    world.things.update(things)
    for noun, owner in owns:
        world.facts["owner", noun] = owner
    for rule in event.makes:
        world.make(rule, roles)


def in_order(roles: Roles) -> tuple[tuple[str, Any], ...]:
    """Roles as an event keeps them: by letter, groups by name."""
    return tuple(
        (role, tuple(sorted(value)) if isinstance(value, tuple) else value)
        for role, value in sorted(roles.items())
    )


def infer(role: str, event: EventKind, known: Roles, discourse: Discourse, world: World) -> Any:
    """What is meant by a role that the words leave out; None where nobody can tell.

    Args:
        role: The letter.
        event: What is told.
        known: The roles that the words give.
        discourse: As it was before the sentence.
        world: As it was before the sentence.
    """
    if role == "G":
        return discourse.they()
    if role in "xyz":
        return discourse.thing
    subject = known.get(event.speaker or "A") or discourse.subject() or ""
    if role in "pqr":
        return world.where_is(subject)
    if role == "w":
        return world.facts.get(("wants", subject))
    if role in "ABCDE":
        return subject if role == "A" and not event.speaker else discourse.other(subject)
    return None
