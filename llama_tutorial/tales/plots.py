"""The plots: what happens, in which order, from ``data/plots.txt``, which explains its rows."""

from __future__ import annotations

import re
from functools import cache
from typing import Any, NamedTuple

from llama_tutorial.tales.story import Story
from llama_tutorial.tales.tables import lines
from llama_tutorial.tales.wording import Unfit
from llama_tutorial.tales.words import KIN, SKILLS

_SHARE = re.compile(r"(0\.\d+): ?")
_DRAWS = frozenset(("someone", "stranger", "kin", "thing", "this", "place"))


class Choice(NamedTuple):
    """Options of which one is taken; with a share, the first of two in that share of tales."""

    share: float
    options: tuple[str, ...]


class Draw(NamedTuple):
    """A step that draws somebody or something: ``A = someone``."""

    names: tuple[str, ...]
    what: str | Choice


class Tell(NamedTuple):
    """A step that tells an event, or a piece: ``oneday, meet A B``."""

    kind: str | Choice
    opener: str | Choice
    roles: tuple[tuple[str, str], ...]  # role letter, and the name of what has it
    optional: bool


class If(NamedTuple):
    """Steps that depend on chance, or on what was drawn."""

    tests: tuple[list[str], ...]
    then: list[Step]
    otherwise: list[Step]


Step = Draw | Tell | If


@cache
def plots(mark: str = "=") -> dict[str, list[Step]]:
    """The steps of every plot by its name; with "-", of the pieces that plots share."""
    found: dict[str, list[Step]] = {}
    rows = lines("plots")[::-1]
    while rows:
        head = rows.pop()
        steps = _steps(rows, "")
        if head[0] == mark:
            found[head[2:].split(":")[0]] = steps
    return found


def tell_plot(name: str, story: Story) -> None:
    """Tell a plot.

    Raises:
        Unfit: No pattern suits one of its events; another attempt may succeed.
    """
    _run(plots()[name], story, {})


def _steps(rows: list[str], indent: str) -> list[Step]:
    """The rows with this indent, taken off the end of a reversed list."""
    steps: list[Step] = []
    while rows and rows[-1].startswith(indent) and rows[-1][:2] not in ("= ", "- "):
        row = rows.pop()[len(indent) :]
        if row.startswith("if "):
            tests, then = row[3:].split(":", 1)
            branch = If(tuple(test.split() for test in tests.split(" and ")), [], [])
            branch.then.extend([_step(then)] if then else _steps(rows, indent + "    "))
            steps.append(branch)
        elif row.startswith("else:"):
            last = steps[-1] if steps else None
            if not isinstance(last, If):
                raise ValueError(f"data/plots.txt: {row!r} must come right behind an if")
            last.otherwise.extend([_step(row[5:])] if row[5:] else _steps(rows, indent + "    "))
        else:
            steps.append(_step(row))
    return steps


def _step(row: str) -> Draw | Tell:
    names, equals, what = row.partition(" = ")
    if equals:
        return Draw(tuple(names.split()), _choice(what))
    words = row.split()
    optional = words[0] == "try"
    opener, kind, *roles = words[optional:] if "," in row else ("", *words[optional:])
    pairs = tuple((role[0], role[2:] or role) for role in roles)
    return Tell(_choice(kind), _choice(opener.rstrip(",")), pairs, optional)


def _choice(text: str) -> str | Choice:
    share = _SHARE.match(text)
    options = tuple(option.strip() for option in text[share.end() if share else 0 :].split("|"))
    if share:
        return Choice(float(share[1]), (*options, ""))
    return Choice(0.0, options) if len(options) > 1 else options[0]


def _run(steps: list[Step], story: Story, names: dict[str, Any]) -> None:
    for step in steps:
        if isinstance(step, If):
            holds = all(_holds(test, story, names) for test in step.tests)
            _run(step.then if holds else step.otherwise, story, names)
        elif isinstance(step, Draw):
            names.update(zip(step.names, _drawn(step, story, names), strict=True))
        else:
            _tell(step, story, names)


def _tell(step: Tell, story: Story, names: dict[str, Any]) -> None:
    words = _word(step.kind, story), _word(step.opener, story)
    kind, opener = (names.get(word, word) for word in words)
    roles = {role: names[name] for role, name in step.roles}
    if kind in plots("-"):
        _run(plots("-")[kind], story, {"link": opener, **roles})
        return
    try:
        story(kind, opener, **roles)
    except Unfit:
        if not step.optional:
            raise


def _word(choice: str | Choice, story: Story) -> str:
    """One of the options, if there is a choice."""
    if isinstance(choice, str):
        return choice
    if choice.share:
        return choice.options[0 if story.chance(choice.share) else 1]
    return story.pick(choice.options)


def _drawn(step: Draw, story: Story, names: dict[str, Any]) -> list[Any]:
    """What the step draws, one for each of its names."""
    first, *rest = [names.get(word, word) for word in _word(step.what, story).split()]
    if first in _DRAWS:
        return [getattr(story, first)(*rest)]
    if first == "skill":
        return [story.pick(SKILLS)]
    if first == "spots":
        return story.spots(rest[0], len(step.names))
    if first == "sample":
        return story.random.sample(rest, len(step.names))
    return [(first, rest[1])] if rest[:1] == ["and"] else [first, *rest]


def _holds(test: list[str], story: Story, names: dict[str, Any]) -> bool:
    """Whether a condition holds: a share of tales, or "B is kin", "p is orchard"."""
    if len(test) == 1:
        return story.chance(float(test[0]))
    value = names[test[0]]
    if test[2] == "not":
        return value not in test[3:]
    if test[2] == "named":
        return story.cast[value].named
    return value in KIN if test[2] == "kin" else value in test[2:]
