"""The measure: it reads every tale of the story world without fault, and faults the others."""

from __future__ import annotations

import hashlib
import random
import re

import pytest

from llama_tutorial.tales import Tale, consistency, mean_consistency, tales
from llama_tutorial.tales.reading import Reader, split_units
from llama_tutorial.tales.words import GENDER, LOOKS, SPOT_PLACES, THINGS

KITE = (
    "Once there was a little girl named Mia. She had a red kite and took it everywhere. "
    "One windy day, she took the kite up the hill. Suddenly, the wind blew hard and carried the "
    "red kite away from Mia. She looked behind the wall, but the kite was not there. "
    'Just then, a little fox named Pip came by. "Have you seen my kite?" asked Mia. '
    '"Yes, I saw it in the clover," said Pip. She ran to look, and there was the kite, in the '
    'clover. "Thank you, Pip!" said Mia. Mia held the kite tight all the way home.'
)


@pytest.fixture(scope="module")
def told() -> list[Tale]:
    return [*tales(400, "train", 50_000), *tales(100, "validation"), *tales(30, "test")]


@pytest.fixture(scope="module")
def some(told) -> list[Tale]:
    return told[:200]


def sentences(text: str) -> list[str]:
    return [unit.text for unit in split_units(text)]


def perfect(texts: list[str]) -> float:
    """Share of texts without a fault."""
    return sum(consistency(text).score == 1.0 for text in texts) / len(texts)


def replace_words(text: str, words: list[str], rng: random.Random) -> str:
    """Every one of the words in the text becomes another of them."""
    some_word = re.compile(r"\b(" + "|".join(map(re.escape, words)) + r")\b")
    return some_word.sub(lambda m: rng.choice([word for word in words if word != m[0]]), text)


# -- its own tales ------------------------------------------------------------------------------


def assert_read_back(tale: Tale) -> None:
    """Every sentence is read, every claim holds, and the facts are what the text alone says."""
    reader = Reader().read(tale.text)
    assert reader.parsed == reader.sentences, tale.text
    assert len(reader.claims) >= 2
    assert all(claim.holds for claim in reader.claims), (reader.claims, tale.text)
    assert reader.world.beings == tale.facts.beings, tale.text
    assert reader.world.things == tale.facts.things, tale.text
    assert reader.world.facts == tale.facts.final, tale.text
    events = [(event.kind, event.roles) for event in tale.facts.events]
    assert [(event.kind, event.roles) for event in reader.events] == events, tale.text


def test_own_tales_are_read_back(told):
    for tale in told:
        assert_read_back(tale)


@pytest.mark.slow
def test_thousands_of_own_tales_are_read_back():
    for tale in tales(3000, seed=1_000_000):
        assert_read_back(tale)


def test_own_tales_score_one(some):
    for tale in some[:100]:
        result = consistency(tale.text)
        assert (result.score, result.parsed, result.faults) == (1.0, 1.0, ())


def test_mean_consistency_counts_claims_and_sentences():
    texts = [tale.text for tale in tales(3)]
    assert mean_consistency(texts) == (1.0, 1.0)
    assert mean_consistency([]) == (None, 0.0)
    assert mean_consistency(["Nothing of this is known to anybody."]) == (None, 0.0)
    score, parsed = mean_consistency([KITE, "Blah blah. Blah. " * 6])
    assert score == 1.0
    assert parsed == pytest.approx(11 / 23)


# -- the power to tell (seeded; the numbers stand in the comments) ------------------------------


def test_shuffled_within_a_tale_most_claims_fall(some):
    rng = random.Random(0)
    shuffled = []
    for tale in some:
        parts = sentences(tale.text)
        rng.shuffle(parts)
        shuffled.append(" ".join(parts))
    score, parsed = mean_consistency(shuffled)
    assert score < 0.4  # 0.34
    assert parsed > 0.9
    assert perfect(shuffled) < 0.02


def test_the_same_faults_for_ever(some):
    """Scores that were published must not move."""
    rng = random.Random(1)
    found = []
    for tale in some:
        parts = sentences(tale.text)
        rng.shuffle(parts)
        found += consistency(" ".join(parts)).claims
    lines = "\n".join(f"{claim.kind} {claim.text} {claim.fault}" for claim in found)
    assert hashlib.sha256(lines.encode()).hexdigest()[:16] == "4c9610d58bed5896"


def test_mixed_from_other_tales_nearly_all_claims_fall(some):
    rng = random.Random(0)
    pool = [part for tale in some for part in sentences(tale.text)]
    mixed = [" ".join(rng.sample(pool, 10)) for _ in some]
    score, parsed = mean_consistency(mixed)
    assert score < 0.15  # 0.10
    assert parsed > 0.9
    assert perfect(mixed) == 0


def test_one_foreign_sentence_is_found(some):
    rng = random.Random(0)
    spoiled = []
    for tale in some:
        parts = sentences(tale.text)
        parts[rng.randrange(1, len(parts))] = rng.choice(sentences(rng.choice(some).text)[1:])
        spoiled.append(" ".join(parts))
    assert perfect(spoiled) < 0.15  # 0.10


def test_swapped_names_things_spots_and_colors(some):
    rng = random.Random(0)
    names = [replace_words(tale.text, list(GENDER), rng) for tale in some]
    assert mean_consistency(names)[0] < 0.5  # 0.41
    assert perfect(names) < 0.05
    things = [replace_words(tale.text, list(THINGS), rng) for tale in some if tale.facts.things]
    assert perfect(things) < 0.25  # 0.13: a thing that is named once can be any thing
    spots = [tale.text for tale in some if any(spot in tale.text for spot in SPOT_PLACES)]
    assert perfect([replace_words(text, list(SPOT_PLACES), rng) for text in spots]) < 0.2
    color = re.compile(r"\b(" + "|".join(LOOKS["colour"]) + r")\b")
    colors = [tale.text for tale in some if len(color.findall(tale.text)) > 1]
    assert perfect([replace_words(text, list(LOOKS["colour"]), rng) for text in colors]) < 0.3


def test_nonsense_is_not_a_score(some):
    rng = random.Random(0)
    words = [word for tale in some for word in tale.text.split()]
    for text in ("", "   ", "The end", "Mia", ". . .", '"', '" "', "a a a a a a a a a."):
        assert consistency(text).score is None
    salad = [" ".join(rng.sample(words, 90)) for _ in range(100)]
    assert mean_consistency(salad)[1] < 0.05
    assert perfect(salad) == 0
    loops = [" ".join(sentences(tale.text)[:2] * 5) for tale in some]
    assert perfect(loops) == 0


def test_any_text_can_be_measured(some):
    """Cut, doubled and spliced anywhere: the reader never fails."""
    rng = random.Random(0)
    for tale in some[:100]:
        text = tale.text
        i, j = sorted(rng.sample(range(len(text)), 2))
        for broken in (text[i:j], text[:i] + text[j:], text[j:] + text[:i], text[::-1]):
            result = consistency(broken)
            assert 0 <= result.parsed <= 1
            assert result.score is None or 0 <= result.score <= 1


# -- fault by fault -----------------------------------------------------------------------------


def test_a_tale_by_hand_holds():
    result = consistency(KITE)
    assert (result.score, result.parsed, result.sentences) == (1.0, 1.0, 11)


@pytest.mark.parametrize(
    ("change", "to", "fault"),
    [
        ("red kite away", "blue kite away", "the kite is red, not blue"),
        ("red kite away", "red drum away", "nothing was said of a drum"),
        ("away from Mia", "away from Tom", "nobody has introduced Tom"),
        ("behind the wall", "under the slide", "where of Mia is hill, not"),
        ("in the clover. ", "behind the wall. ", "spot of kite is in the clover, not"),
        ("Thank you, Pip", "Thank you, Tom", "nobody has introduced Tom"),
        ('"Thank you, Pip!" said Mia.', '"Thank you, Mia!" said Pip.', "is not so"),
        ('" asked Mia', '" asked Pip', "the kite is Mia's, not Pip's"),
        ("She looked", "He looked", "it is not clear who is called he"),
        ("a little fox named Pip", "a little girl named Mia", "Mia is known already"),
        ("the kite, in", "it, in", ""),
        ("Mia held the kite tight", "Pip held the kite tight", "holder of kite is Mia, not"),
        ("took the kite up the hill", "flew the kite all morning", ""),
        ("took the kite up the hill", "ate the kite all morning", "nobody ate a kite"),
        ("Mia held the kite tight all the way home.", "Mia jumped for joy.", ""),
        ("Mia held the kite tight all the way home.", "Mia was very sad.", "mood of Mia is glad"),
        ('"Thank you, Pip!" said Mia.', '"Have you seen my kite?" asked Mia.', "loser of kite"),
    ],
)
def test_one_change_one_fault(change, to, fault):
    assert change in KITE
    result = consistency(KITE.replace(change, to))
    assert result.parsed == 1.0
    if fault:
        assert any(fault in claim.fault for claim in result.faults), result.faults
    else:
        assert result.score == 1.0, result.faults


def test_loops_are_faults():
    result = consistency(KITE + " Mia held the kite tight all the way home.")
    assert [claim.fault for claim in result.faults] == ["this has been said before"]


def test_a_last_sentence_that_breaks_off_is_left_out():
    for rest in (" Then", ' "Oh, thank you', " She jumped for j"):
        assert consistency(KITE + rest).score == 1.0
        assert consistency(KITE + rest).sentences == 11


def test_clauses_are_read_one_by_one():
    text = "Mia had a red kite, so she went up the hill and jumped for joy, but Tom began to cry."
    result = consistency(text)
    assert result.parsed == 1.0
    assert [(claim.kind, claim.fault) for claim in result.claims] == [
        ("go", ""),
        ("glad", "mood of Mia is None, not = glad"),
        ("sad", "nobody has introduced Tom; mood of Tom is None, not = sad"),
    ]


def test_words_said_in_two_parts_belong_to_one_speaker():
    text = '"Oh no!" cried Mia. "My kite is gone!" "Where is it?" asked Pip.'
    assert [unit.spoken for unit in split_units(text)] == [
        "Oh no! My kite is gone!",
        "Where is it?",
    ]
    told = 'Mia said, "It is late." Then she went home. "Good night," she said.'
    assert [unit.told.strip() for unit in split_units(told)] == [
        "Mia said,",
        "Then she went home.",
        "she said.",
    ]
