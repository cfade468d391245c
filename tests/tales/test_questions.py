"""Questions: answered by the text itself, read here without the package's own facts."""

from __future__ import annotations

import hashlib
import re
from collections import Counter

import pytest

from llama_tutorial.tales import NOT_SAID, Facts, Question, Tale, questions, tales
from llama_tutorial.tales.questions import question_kinds
from llama_tutorial.tales.reading import Reader
from llama_tutorial.tales.words import GENDER, LOOKS, PLACES, SPOT_PLACES, THINGS

WORDINGS = {kind: wordings for kind, (wordings, _) in question_kinds().items()}


@pytest.fixture(scope="module")
def asked() -> list[tuple[Tale, Question]]:
    return [(tale, question) for tale in tales(800, seed=7000) for question in questions(tale)]


def of_kind(asked, *kinds: str) -> list[tuple[Tale, Question]]:
    found = [(tale, question) for tale, question in asked if question.kind in kinds]
    assert found
    return found


def thing_in(question: str) -> str:
    return next(word for word in re.findall(r"\b[a-z]+", question) if word in THINGS)


def by_hand(text: str) -> dict[str, str]:
    """The questions on a text that no teller made, by kind: its facts are read from it."""
    reader = Reader().read(text)
    assert reader.parsed == reader.sentences
    assert all(claim.holds for claim in reader.claims), reader.claims
    world = reader.world
    facts = Facts(world.beings, world.things, tuple(reader.events), world.facts)
    tale = Tale(text, facts, 0, "train", "", ())
    return {f"{question.kind}: {question.text}": question.answer for question in questions(tale)}


def answers(found: dict[str, str], kind: str) -> set[str]:
    return {answer for key, answer in found.items() if key.startswith(kind + ":")}


# -- the text itself ----------------------------------------------------------------------------


def test_colors_stand_before_the_noun(asked):
    said = 0
    for tale, question in of_kind(asked, "color"):
        noun = thing_in(question.text)
        colored = rf"\b({'|'.join(LOOKS['colour'])}) (?:wooden |woolen |paper )?{noun}\b"
        colors = {f"{color.capitalize()}." for color in re.findall(colored, tale.text)}
        assert {question.answer} == (colors or {NOT_SAID}), tale.text
        said += question.answer != NOT_SAID
    assert said > 100


def test_animals_are_what_the_text_calls_them(asked):
    for tale, question in of_kind(asked, "animal"):
        kind = question.answer.rstrip(".").split()[-1]
        name = next(word for word in re.findall(r"\w+", question.text) if word in GENDER)
        said = rf"{name} the {kind}|{kind} (named|called) {name}|{name} was an? \w+ {kind}"
        assert re.search(said, tale.text), (tale.text, question)


def test_what_is_found_is_where_the_text_last_says(asked):
    """After the place where it lay, a tale of a lost thing names no other spot."""
    spot = re.compile("|".join(sorted(map(re.escape, SPOT_PLACES), key=len, reverse=True)))
    for tale, question in of_kind(asked, "found_where"):
        assert question.answer.lower() == spot.findall(tale.text.lower())[-1] + ".", tale.text


def test_who_goes_somewhere_goes_where_the_text_says(asked):
    for tale, question in of_kind(asked, "went"):
        answer = question.answer[0].lower() + question.answer[1:-1]
        (place,) = (place for place in PLACES.values() if place.to == answer)
        said = (place.to, place.at, f"the {place.noun}")
        assert any(words in tale.text for words in said), (tale.text, question)


def test_every_answer_is_in_the_words_of_the_tale(asked):
    """Names, things, places and spots are copied, never made up."""
    kinds = ("has", "found_who", "gave", "helped", "broke", "took", "birthday", "hid", "traded")
    for tale, question in of_kind(asked, *kinds):
        words = question.answer.rstrip(".").lower().removeprefix("the ")
        assert words in tale.text.lower(), (tale.text, question)


def test_what_is_not_said_is_not_said(asked):
    for tale, question in of_kind(asked, "stranger", "nowhere"):
        assert question.answer == NOT_SAID
        asked_for = set(re.findall(r"\w+", question.text)) & {*THINGS, *GENDER}
        assert len(asked_for) == 1
        assert not asked_for & set(re.findall(r"\w+", tale.text)), (tale.text, question)
    for _, question in of_kind(asked, "nobody_asked"):
        assert question.answer == NOT_SAID


def test_who_has_it_at_the_end_after_reading_the_text_again(asked):
    for tale, question in of_kind(asked, "has")[:150]:
        world = Reader().read(tale.text).world
        holder = world.facts["holder", thing_in(question.text)]
        assert question.answer == f"{holder}." or question.answer == f"The {holder}."


# -- by hand ------------------------------------------------------------------------------------


def test_a_lost_kite():
    found = by_hand(
        "Once there was a little girl named Mia. She had a red kite and took it everywhere. "
        "One windy day, she took the kite up the hill. Suddenly, the wind blew hard and carried "
        "the kite away from Mia. Just then, a little fox named Pip came by. "
        '"Have you seen my kite?" asked Mia. "Yes, I saw it in the clover," said Pip. '
        "She ran to look, and there was the kite, in the clover."
    )
    assert answers(found, "has") == {"Mia."}
    assert answers(found, "color") == {"Red."}
    assert answers(found, "animal") == {"A fox."}
    assert answers(found, "found_where") == {"In the clover."}
    assert answers(found, "found_who") == {"Mia."}
    assert answers(found, "why_sad") == {"Because she had lost the kite."}
    assert answers(found, "went") == {"Up the hill."}
    assert answers(found, "helped") == {"Pip."}


def test_a_gift():
    found = by_hand(
        "Once there was a small boy named Tom. It was almost his grandma's birthday. "
        "Tom did not know what to give Grandma. He sat down and made a paper crown. "
        "He knocked on Grandma's door. Tom gave the crown to Grandma. "
        '"It is just what I wanted!" said Grandma.'
    )
    assert answers(found, "has") == {"Grandma."}
    assert answers(found, "color") == {NOT_SAID}
    assert answers(found, "gave") == {"Tom."}
    assert answers(found, "got") == {"A crown."}
    assert answers(found, "birthday") == {"Grandma."}
    assert answers(found, "why_sad") == set()


def test_a_trade_a_wish_a_hiding_place_and_a_skill():
    found = by_hand(
        "Ben and Zoe were good friends. Ben had a drum. Zoe came by with a blue kite. "
        'Ben looked at the kite and wanted it. "Will you trade your kite for my drum?" asked Ben. '
        "Ben gave Zoe the drum, and Zoe gave him the kite."
    )
    assert answers(found, "traded") == {"The drum."}
    assert answers(found, "has") == {"Ben.", "Zoe."}
    found = by_hand(
        "Ella was a little girl with big eyes and a kind heart. She wanted to have the moon."
    )
    assert answers(found, "wanted") == {"The moon."}
    assert answers(found, "tell") == set()  # no thing, no place: nothing to ask for
    found = by_hand(
        "Ben and Zoe were good friends. They went to the park together. "
        'Ben smiled and said, "Let us play hide and seek!" '
        "He turned to the wall and began to count. Zoe ran and hid under the bench."
    )
    assert answers(found, "hid") == {"Under the bench."}
    found = by_hand(
        "Theo was a small boy with bright eyes and a warm smile. He wanted to learn to swim. "
        "Theo tried and tried in vain. His dad had seen it all. "
        '"Try again," said Dad. "I will help you." At last, Theo swam like a fish.'
    )
    assert answers(found, "learned") == {"To swim."}
    assert answers(found, "helped") == {"Dad."}


def test_who_has_what_was_lent_is_not_asked():
    """It is mended, and no tale says whether it was given back."""
    beginning = "Ben and Zoe were good friends. Zoe had a long white flute. "
    lent = "Zoe let Ben play with the flute. "
    rest = (
        "Crack! Ben dropped the flute, and it broke. He stared at the pieces and felt hot and cold."
    )
    found = by_hand(beginning + lent + rest)
    assert answers(found, "has") == set()
    assert answers(found, "broke") == {"Ben."}
    assert answers(by_hand(beginning), "has") == {"Zoe."}


# -- as data ------------------------------------------------------------------------------------


def test_questions_are_the_same_every_time_and_the_request_is_the_tale():
    for tale in tales(50):
        assert questions(tale) == questions(tale)
        requests = [question for question in questions(tale) if question.kind == "tell"]
        assert all(question.answer == tale.text for question in requests)
        for question in requests:
            assert re.match(r"(Tell|Please|I would like)", question.text)


def test_the_same_questions_for_ever():
    texts = "\n".join(f"{q.text} {q.answer}" for tale in tales(200) for q in questions(tale))
    assert hashlib.sha256(texts.encode()).hexdigest()[:16] == "cd6409c295b6411c"


def test_no_question_twice_with_two_answers(asked):
    for tale in {tale.seed: tale for tale, _ in asked}.values():
        texts = [question.text for question in questions(tale)]
        assert len(texts) == len(set(texts)), texts


def test_every_kind_and_every_wording_is_asked(asked):
    kinds = Counter(question.kind for _, question in asked)
    assert set(kinds) == set(WORDINGS)
    assert min(kinds.values()) >= 8
    wordings = Counter()
    for _, question in asked:
        for wording in WORDINGS[question.kind]:
            pattern = re.sub(r"\\\{\w+\\\}", "(.+)", re.escape(wording))
            wordings[wording] += bool(re.fullmatch(pattern, question.text, re.IGNORECASE))
    assert set(wordings) == {wording for texts in WORDINGS.values() for wording in texts}
    assert min(wordings.values()) > 0
    unsaid = sum(question.answer == NOT_SAID for _, question in asked) / len(asked)
    assert 0.2 < unsaid < 0.6


def test_questions_are_well_formed(asked):
    for _, question in asked:
        assert re.fullmatch(r"[A-Z][^{}]*[.?]", question.text), question
        assert re.fullmatch(r'[A-Z"][^{}]*[.!?"]', question.answer), question
        assert not re.search(r"\b[Aa] [aeiou]|  ", question.text), question
