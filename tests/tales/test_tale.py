"""The story world tells good tales: the same everywhere, varied, well formed, rightly split."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
from collections import Counter
from itertools import pairwise, product

import pytest

from llama_tutorial.tales import SPLITS, Tale, combinations, held_out, tales, tell
from llama_tutorial.tales.patterns import event_kinds
from llama_tutorial.tales.plots import plots
from llama_tutorial.tales.reading import split_units
from llama_tutorial.tales.words import GENDER, PLACES, THINGS

COUNT = 2000


@pytest.fixture(scope="module")
def told() -> list[Tale]:
    return list(tales(COUNT))


@pytest.fixture(scope="module")
def sentences(told) -> list[list[str]]:
    return [[unit.text for unit in split_units(tale.text)] for tale in told]


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z]+", text.lower())


# -- the same on every machine ------------------------------------------------------------------


def test_a_seed_is_a_tale_in_every_process():
    code = "from llama_tutorial.tales import *; print([(t.text, questions(t)) for t in tales(20)])"
    runs = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": ":".join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert runs[0] == runs[1]
    assert tell(3).text in runs[0].replace("\\'", "'")


def test_tales_are_those_of_consecutive_seeds():
    assert [tale.text for tale in tales(3, seed=5)] == [tell(seed).text for seed in (5, 6, 7)]
    assert list(tales(0)) == []


def test_the_story_world_needs_no_torch():
    code = (
        "import sys; from llama_tutorial.tales import *; "
        "consistency(tell(0).text); questions(tell(0));"
        "assert not {'torch', 'numpy', 'jaxtyping'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": ":".join(sys.path)}, check=True)


def test_printing_tales():
    done = subprocess.run(
        [sys.executable, "-m", "llama_tutorial.tales", "2", "test", "4"],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert tell(4, "test").text in done.stdout
    assert tell(5, "test").text in done.stdout
    assert "score 1.0" in done.stdout


def test_bad_arguments():
    with pytest.raises(ValueError, match=r"split='dev': must be one of train, validation, test"):
        tell(0, "dev")
    with pytest.raises(ValueError, match=r"split='dev': must be one of"):
        tales(1, "dev")
    with pytest.raises(ValueError, match=r"n=-1: must be at least 0"):
        tales(-1)


@pytest.mark.parametrize(
    ("split", "digest"),
    [
        ("train", "48b25954e78f2b2e"),
        ("validation", "185014cf3fa3b52b"),
        ("test", "31a4ad600b5e3c17"),
    ],
)
def test_a_seed_is_the_same_tale_for_ever(split, digest):
    """The shipped models were trained on these very texts: a table must never change them."""
    texts = "\n".join(tale.text for tale in tales(200, split))
    assert hashlib.sha256(texts.encode()).hexdigest()[:16] == digest


# -- splits -------------------------------------------------------------------------------------


def independent_combinations(text: str) -> set[tuple[str, str, str]]:
    """Straight from the words, without the package's own function."""
    words = set(re.split(r"[^A-Za-z]+", text))
    names, things = words & set(GENDER), words & set(THINGS)
    places = words & (set(PLACES) - {"home"})
    return set(product(names, things, places))


def test_splits_share_no_tale_and_held_out_combinations_are_in_the_test_only(told):
    seen = {"train": told, **{split: list(tales(400, split)) for split in SPLITS[1:]}}
    texts = {split: {tale.text for tale in of} for split, of in seen.items()}
    for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
        assert not texts[one] & texts[other]
    triples = {
        split: set().union(*(independent_combinations(tale.text) for tale in of))
        for split, of in seen.items()
    }
    assert all(any(map(held_out, independent_combinations(t.text))) for t in seen["test"])
    assert not any(map(held_out, triples["train"] | triples["validation"]))
    test_only = {triple for triple in triples["test"] if held_out(triple)}
    assert len(test_only) > 300
    assert not test_only & (triples["train"] | triples["validation"])


def test_combinations_are_read_from_the_words():
    text = "Tom took the kite to the beach. Mia saw the kite at home."
    assert combinations(text) == {("Tom", "kite", "beach"), ("Mia", "kite", "beach")}
    assert combinations("Tom had a kite.") == set()


def test_about_one_combination_in_eight_is_held_out_the_same_for_ever():
    everything = list(product(sorted(GENDER), sorted(THINGS), sorted(PLACES)))
    assert sum(map(held_out, everything)) / len(everything) == pytest.approx(1 / 8, rel=0.02)
    assert held_out(("Tom", "kite", "beach"))
    assert not held_out(("Mia", "kite", "river"))


def test_seeds_hardly_repeat_a_tale(told):
    assert len({tale.text for tale in told}) == COUNT


# -- form ---------------------------------------------------------------------------------------


def test_length(told, sentences):
    counts = sorted(len(tale.text.split()) for tale in told)
    assert counts[0] >= 50
    assert counts[-1] <= 135
    between = sum(60 <= count <= 130 for count in counts) / COUNT
    assert between > 0.95
    units = sorted(map(len, sentences))
    assert units[0] >= 3
    assert units[-1] <= 15  # a sound ("Plop!") is a sentence too
    assert units[COUNT // 2] <= 10
    assert units[COUNT * 3 // 4] <= 11


def test_vocabulary(told):
    words = {word for tale in told for word in words_of(re.sub(r"'s\b", "", tale.text))}
    names = {name.lower() for name in GENDER}
    assert 600 <= len(words - names) <= 1100


def test_every_sentence_begins_with_a_capital_and_ends_with_a_stop(told, sentences):
    for tale, parts in zip(told, sentences, strict=True):
        for part in parts:
            assert re.match(r'"?[A-Z]', part), part
            assert re.search(r'[.!?]"?$', part), part
        assert tale.text.count('"') % 2 == 0, tale.text
        # Inside a tale too: a capital after a full stop, none in "said He".
        assert not re.search(r'[.!?]"? [a-z]', re.sub(r'[!?]" [a-z]', "", tale.text)), tale.text


def test_spelling_of_articles_spaces_and_punctuation(told):
    for tale in told:
        assert not re.search(r"\b[Aa] [aeiou]", tale.text), tale.text
        assert not re.search(r"\b[Aa]n [^aeiou]", tale.text), tale.text
        assert not re.search(r" [ .,!?]|[.,!?]{2}|\b(\w+) \1\b", tale.text), tale.text
        assert set(tale.text) <= set(
            "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz .,!?'\""
        ), tale.text
        assert "{" not in tale.text
        assert "[" not in tale.text


def test_names_are_always_capitals_and_pronouns_never_inside(told):
    for tale in told:
        inside = re.sub(r'(^|[.!?]"? |")[A-Z]', "", tale.text)
        assert not re.search(r"\b(He|She|They|His|Her|It|The)\b", inside), tale.text


# -- variety ------------------------------------------------------------------------------------


def first_word(sentence: str) -> str:
    return words_of(sentence)[0]


def test_sentences_in_a_row_seldom_begin_alike(sentences):
    pairs = [pair for parts in sentences for pair in pairwise(parts)]
    alike = sum(first_word(one) == first_word(other) for one, other in pairs) / len(pairs)
    assert alike < 0.03


def test_no_sentence_twice_in_a_tale(sentences):
    repeated = sum(len(set(parts)) < len(parts) for parts in sentences)
    assert repeated == 0


def test_every_plot_is_told_about_as_often(told):
    counts = Counter(tale.plot for tale in told)
    assert set(counts) == set(plots())
    assert len(counts) >= 30
    assert min(counts.values()) > 0.4 * COUNT / len(counts)


def test_many_patterns_in_a_thousand_tales(told):
    used = Counter(pattern for tale in told[:1000] for pattern in tale.patterns)
    everything = {pattern.text for event in event_kinds().values() for pattern in event.patterns}
    assert len(used) > 0.9 * len(everything) > 1000
    assert max(used.values()) < 80  # none in more than 8 % of the tales


def repetition(texts: list[str], size: int = 6) -> float:
    """Share of n-grams that were in an earlier text already."""
    seen: set[tuple[str, ...]] = set()
    repeated = total = 0
    for text in texts:
        words = words_of(text)
        grams = set(zip(*(words[i:] for i in range(size)), strict=False))
        repeated += len(grams & seen)
        total += len(grams)
        seen |= grams
    return repeated / total


def test_ten_tales_do_not_read_like_a_template(told):
    """Six words in a row are seldom the same again within ten tales, one in three in a hundred."""
    tens = [repetition([t.text for t in told[i : i + 10]]) for i in range(0, 1000, 10)]
    assert sum(tens) / len(tens) < 0.04
    assert repetition([tale.text for tale in told[:100]]) < 0.2
    template = (
        "Once upon a time, there was a little boy named {}. {} had a {}. One day, {} lost it."
    )
    names, things = sorted(GENDER)[:10], sorted(THINGS)[:10]
    filled = [
        template.format(name, name, thing, name) for name, thing in zip(names, things, strict=True)
    ]
    assert repetition(filled) > 0.2


def test_openings_and_endings_vary(sentences):
    starts = Counter(" ".join(words_of(parts[0])[:3]) for parts in sentences)
    ends = Counter(parts[-1] for parts in sentences)
    assert max(starts.values()) / COUNT < 0.08
    assert max(ends.values()) / COUNT < 0.03
    assert len(ends) > 0.4 * COUNT


def test_most_tales_have_somebody_speak(told):
    assert 0.6 < sum('"' in tale.text for tale in told) / COUNT < 0.95
