"""Questions about a tale, with the answers that its facts give.

Each is a function from facts to (what to fill in, answer); what it returns is worded in one of
several ways, drawn by the tale's seed. A question that the tale does not answer has the answer
:data:`NOT_SAID`. The last is no question but a request, and the tale itself is its answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, NamedTuple

from llama_tutorial.tales.referring import article
from llama_tutorial.tales.tale import Facts, Tale
from llama_tutorial.tales.words import BOYS, GIRLS, KIN, PLACES, THINGS

NOT_SAID = "The tale does not say."
Found = Iterator[tuple[dict[str, str], str]]  # what to fill in, and the answer

_WORDINGS: dict[str, tuple[str, ...]] = {
    "has": ("Who has the {x} at the end?", "At the end, who has the {x}?", "Who has the {x} when the tale is over?"),
    "color": ("What color is the {x}?", "Which color does the {x} have?", "Tell me the color of the {x}."),
    "animal": ("What kind of animal is {A}?", "What animal is {A}?", "{A} is an animal. Which one?"),
    "found_where": ("Where was the {x} found?", "Where did the {x} turn up?"),
    "found_who": ("Who found the {x}?", "Who was it that found the {x}?"),
    "gave": ("Who gave the {x} to {B}?", "From whom did {B} get the {x}?", "Who gave {B} the {x}?"),
    "got": ("What did {A} give to {B}?", "What did {B} get from {A}?"),
    "wanted": ("What did {A} want?", "What did {A} wish for?", "{A} wanted something. What was it?"),
    "why_sad": ("Why was {A} sad?", "What made {A} sad?", "{A} was sad. Why?"),
    "went": ("Where did {A} go?", "To which place did {A} go?", "{A} went somewhere. Where?"),
    "helped": ("Who helped {A}?", "Who was it that helped {A}?", "{A} got help. From whom?"),
    "hid": ("Where did {A} hide?", "What was the hiding place of {A}?"),
    "traded": ("What did {A} give for the {y}?", "What did {A} trade for the {y}?"),
    "broke": ("Who broke the {x}?", "Who was it that broke the {x}?"),
    "took": ("Who took the {x}?", "Who took the {x} without asking?"),
    "learned": ("What did {A} learn?", "What can {A} do now?"),
    "birthday": ("Whose birthday was it?", "Who had a birthday?"),
    "scared": ("What was {A} afraid of?", "What scared {A}?"),
    "age": ("How old is {A}?", "What is the age of {A}?"),
    "breakfast": ("What did {A} eat for breakfast?", "What did {A} have for breakfast?"),
    "stranger": ("Where does {A} live?", "What does {A} want?", "Why is {A} sad?", "Whom did {A} help?"),
    "nowhere": ("Who has the {x}?", "What color is the {x}?", "Where was the {x} found?"),
    "tell": (
        "Tell a story about {A}, {x} and {p}.",
        "Tell me a tale with {A}, {x} and {p} in it.",
        "Please tell a story about {A} and {x}. It happens {at}.",
        "I would like to hear about {A}, {x} and {p}.",
    ),
}  # fmt: skip


class Question(NamedTuple):
    """Something to ask of a tale."""

    text: str
    answer: str
    kind: str  # the key of its wordings


def name_of(being: str) -> str:
    """How an answer names somebody: "Tom", "the owl", "Grandma"."""
    return being if being[0].isupper() else "the " + being


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:] + "."


def _has(facts: Facts) -> Found:
    for noun in facts.things:
        holder = facts.get("holder", noun)
        if holder:
            yield {"x": noun}, _sentence(name_of(holder))


def _color(facts: Facts) -> Found:
    for noun, looks in facts.things.items():
        yield {"x": noun}, _sentence(looks["colour"]) if "colour" in looks else NOT_SAID


def _animal(facts: Facts) -> Found:
    for being in facts.beings.values():
        if being.named and being.kind not in ("boy", "girl"):
            yield {"A": being.name}, _sentence(article(being.kind))


def _found_where(facts: Facts) -> Found:
    for roles in facts.told("find", "find_there", "find_for"):
        yield {"x": roles["x"]}, _sentence(roles["s"])


def _found_who(facts: Facts) -> Found:
    for roles in facts.told("find", "find_there"):
        yield {"x": roles["x"]}, _sentence(name_of(roles["A"]))
    for roles in facts.told("find_for"):
        yield {"x": roles["x"]}, _sentence(name_of(roles["B"]))


def _gave(facts: Facts) -> Found:
    for roles in facts.told("give", "gift_said", "give_back", "present"):
        giver, taker = (
            (roles["B"], roles["A"]) if "present" in _kinds(facts) else (roles["A"], roles["B"])
        )
        yield {"x": roles["x"], "B": name_of(taker)}, _sentence(name_of(giver))


def _got(facts: Facts) -> Found:
    for roles in facts.told("give", "gift_said"):
        yield {"A": name_of(roles["A"]), "B": name_of(roles["B"])}, _sentence(article(roles["x"]))


def _kinds(facts: Facts) -> set[str]:
    return {event.kind for event in facts.events}


def _wanted(facts: Facts) -> Found:
    for roles in facts.told("spy"):
        yield {"A": name_of(roles["A"])}, _sentence(article(roles["x"]))
    for roles in facts.told("moon"):
        yield {"A": name_of(roles["A"])}, "The moon."


def _why_sad(facts: Facts) -> Found:
    for kind, reason in _REASONS.items():
        for roles in facts.told(kind):
            who = roles["B"] if kind in ("miss", "miss_said") else roles["A"]
            pronoun = facts.beings[who].gender
            told = reason.format(
                he=pronoun,
                his={"he": "his", "she": "her"}[pronoun],
                x=roles.get("x", ""),
                B=name_of(roles.get("B", who)),
            )
            yield {"A": name_of(who)}, _sentence("because " + told)


_REASONS = {
    "lose": "{he} had lost the {x}",
    "stuck_up": "the {x} was up in a tree",
    "miss": "the {x} was gone",
    "miss_said": "the {x} was gone",
    "alone": "{he} had no friends",
    "forgotten": "nobody remembered {his} birthday",
    "regret": "{he} missed the {x}",
    "try_fail": "{he} could not do it",
    "grow_dim": "the light grew weak",
}


def _went(facts: Facts) -> Found:
    journeys = facts.told("go", "stroll", "go_with")
    for roles in journeys:
        if sum(other["A"] == roles["A"] for other in journeys) == 1 and not _kinds(facts) & {
            "dark_home",
            "guide",
        }:
            yield {"A": name_of(roles["A"])}, _sentence(PLACES[roles["p"]].to)


def _helped(facts: Facts) -> Found:
    helped = [(key[1], key[2]) for key in facts.final if key[0] == "helped"]
    for helper, one in helped:
        if sum(other == one for _, other in helped) == 1 and _kinds(facts) & _HELPING:
            yield {"A": name_of(one)}, _sentence(name_of(helper))


_HELPING = {
    "do_help",
    "here",
    "bring_back",
    "clue",
    "rescue",
    "guide",
    "encourage",
    "show",
    "get_down",
    "comfort",
}


def _hid(facts: Facts) -> Found:
    for roles in facts.told("hide"):
        yield {"A": name_of(roles["B"])}, _sentence(roles["s"])


def _traded(facts: Facts) -> Found:
    for roles in facts.told("swap"):
        yield {"A": name_of(roles["A"]), "y": roles["y"]}, _sentence("the " + roles["x"])


def _one(kind: str, role: str, filled: str = "") -> Callable[[Facts], Found]:
    """The answer is who has a role in an event; ``filled`` is a thing that the question names."""

    def ask(facts: Facts) -> Found:
        for roles in facts.told(*kind.split()):
            yield {filled: roles[filled]} if filled else {}, _sentence(name_of(roles[role]))

    return ask


def _learned(facts: Facts) -> Found:
    if "can" in _kinds(facts):
        for roles in facts.told("cannot"):
            yield {"A": name_of(roles["A"])}, _sentence("to " + roles["w"])


def _scared(facts: Facts) -> Found:
    for roles in facts.told("afraid"):
        yield {"A": name_of(roles["A"])}, "The thunder."
    for roles in facts.told("strange_noise"):
        yield {"A": name_of(roles["A"])}, "A strange sound."


_ASKERS: dict[str, Callable[[Facts], Found]] = {
    "has": _has, "color": _color, "animal": _animal, "found_where": _found_where, "found_who": _found_who,
    "gave": _gave, "got": _got, "wanted": _wanted, "why_sad": _why_sad, "went": _went, "helped": _helped,
    "hid": _hid, "traded": _traded, "broke": _one("break", "A", "x"), "took": _one("take", "A", "x"),
    "learned": _learned, "birthday": _one("birthday friend_birthday", "B"), "scared": _scared,
}  # fmt: skip


def _not_said(facts: Facts, random: Random) -> Iterator[tuple[str, dict[str, str]]]:
    """Questions that no tale answers, or not this one."""
    hero = name_of(next(iter(facts.beings)))
    yield random.choice(("age", "breakfast")), {"A": hero}
    unknown = [name for name in (*BOYS, *GIRLS) if name not in facts.beings]
    yield "stranger", {"A": random.choice(unknown)}
    told = {dict(event.roles).get(role) for event in facts.events for role in "xyz"}
    yield (
        "nowhere",
        {
            "x": random.choice(
                [noun for noun in THINGS if noun not in facts.things and noun not in told]
            )
        },
    )


def questions(tale: Tale) -> list[Question]:
    """Every question that the tale's facts answer, three that they do not, and the request to tell it.

    The same for the same tale, on every machine. Questions with two different answers are left out.
    """
    random = Random(f"questions/{tale.split}/{tale.seed}")
    asked: dict[tuple[str, tuple], set[str]] = {}
    for kind, ask in _ASKERS.items():
        for filled, answer in ask(tale.facts):
            asked.setdefault((kind, tuple(sorted(filled.items()))), set()).add(answer)
    found = [
        _worded(kind, dict(filled), answers.pop(), random)
        for (kind, filled), answers in asked.items()
        if len(answers) == 1
    ]
    found += [
        _worded(kind, filled, NOT_SAID, random) for kind, filled in _not_said(tale.facts, random)
    ]
    request = _request(tale.facts)
    return [*found, _worded("tell", request, tale.text, random)] if request else found


def _worded(kind: str, filled: dict[str, str], answer: str, random: Random) -> Question:
    text = random.choice(_WORDINGS[kind]).format(**filled)
    return Question(text[0].upper() + text[1:], answer, kind)


def _request(facts: Facts) -> dict[str, Any]:
    """Whom, what and where to ask a tale about; empty where it has no thing or no place."""
    places = [roles["p"] for event in facts.events if "p" in (roles := dict(event.roles))]
    if not facts.things or not places or not facts.beings:
        return {}
    being = facts.beings[next(iter(facts.beings))]
    place = PLACES[places[0]]
    noun = next(iter(facts.things))
    return {
        "A": name_of(being.name) if being.name in KIN or being.named else article(being.kind),
        "x": article(noun),
        "p": "the " + place.noun if place.noun not in ("home", "school") else place.noun,
        "at": place.at,
    }
