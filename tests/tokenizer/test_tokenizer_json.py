"""tokenizer.json: Hugging Face's ``tokenizers`` gives our ids from it, and our text back."""

from __future__ import annotations

import json
import random

import pytest

pytest.importorskip("tokenizers")
pytest.importorskip("sentencepiece")

import tokenizers

from llama_tutorial import load
from llama_tutorial.tokenizer import BPETokenizer, Tokenizer, load_tokenizer
from llama_tutorial.tokenizer.tokenizer_json import format_tokenizer_json
from llama_tutorial.tokenizer.vocabulary import PieceType, Vocabulary, byte_piece

ALPHABET = ["the", "ing", "<0x0A>", *"abcdefgh    \n\t.,1234é日🤗▁"]
LINES = ["the thing is in the ring  2024", "a bat, a cat and a rat sat on the mat"] * 9
TEXTS = ["", " lead", "  two", " " * 17, " " * 40 + "x", "x" + " " * 100 + "y", "a" * 60, "🤗🤗"]


def _check(tokenizer, n: int) -> None:
    contents = json.dumps(format_tokenizer_json(tokenizer.vocabulary))
    theirs = tokenizers.Tokenizer.from_str(contents)
    chosen = random.Random(0)
    texts = ["".join(chosen.choices(ALPHABET, k=chosen.randrange(1, 40))) for _ in range(n)]
    for text in TEXTS + texts:
        ids = tokenizer.encode(text)
        assert theirs.encode(text, add_special_tokens=False).ids == ids, text
        assert theirs.decode(ids) == tokenizer.decode(ids)
        assert theirs.encode(text).ids == [tokenizer.bos_id, *ids]


def test_llama_2s(assets) -> None:
    tokenizer = load_tokenizer(assets / "tokenizer.model")
    assert len(format_tokenizer_json(tokenizer.vocabulary)["model"]["merges"]) == 61_249
    _check(tokenizer, 2000)


@pytest.mark.parametrize("name", ["tales", "tales-small"])
def test_the_shipped(name: str) -> None:
    _check(load(name)[1], 1000)


def test_trained_here() -> None:
    _check(BPETokenizer.train(LINES, 290), 1000)
    _check(Tokenizer.train(LINES, 290), 1000)


def test_without_a_space_before_the_text_nor_bos() -> None:
    tokenizer = Tokenizer.train(LINES, 290, add_dummy_prefix=False, bos_id=-1, eos_id=1)
    theirs = tokenizers.Tokenizer.from_str(json.dumps(format_tokenizer_json(tokenizer.vocabulary)))
    for text in ("the ring", " the", "é"):
        assert theirs.encode(text).ids == tokenizer.encode(text)
        assert theirs.decode(tokenizer.encode(text)) == text


def _with_scores(scores: dict[str, float]) -> Vocabulary:
    pieces = ["<unk>", "<s>", "</s>", *map(byte_piece, range(256)), *"▁abc", *scores]
    types = [PieceType.UNKNOWN, PieceType.CONTROL, PieceType.CONTROL, *[PieceType.BYTE] * 256]
    types += [PieceType.NORMAL] * (len(pieces) - len(types))
    return Vocabulary(pieces, [0.0] * 263 + list(scores.values()), types)


@pytest.mark.parametrize(
    ("scores", "first", "second"),
    [
        (
            {"bc": 0, "ab": 0},
            "bc",
            "ab",
        ),  # "abc": the leftmost comes first, not the first of a list
        ({"ab": -1, "bca": -1}, "ab", "bca"),
        ({"aaa": -1, "aa": -1, "aaaa": -2, "aaaaa": -2}, "aaa", "aa"),
    ],
)
def test_equal_scores_are_refused(scores: dict[str, float], first: str, second: str) -> None:
    with pytest.raises(ValueError, match=f"its pieces '{first}' and '{second}' have the same sc"):
        format_tokenizer_json(_with_scores(scores))


def test_runs_of_one_character_may_have_equal_scores() -> None:
    _check(BPETokenizer(_with_scores({"a" * n: -1e9 for n in (4, 2, 7, 5)} | {"ab": -1})), 1000)


def test_the_smallest_vocabulary_of_llama2c(assets) -> None:
    format_tokenizer_json(load_tokenizer(assets / "tok512.bin").vocabulary)


def test_what_merges_do_not_say_is_refused() -> None:
    unigram = Tokenizer.train(LINES, 280, model_type="unigram")
    with pytest.raises(ValueError, match=r"cannot write a tokenizer\.json: .*unigram"):
        format_tokenizer_json(unigram.vocabulary)
    whole = Tokenizer.train(LINES, 280, user_defined_symbols=["[MID]"])
    with pytest.raises(ValueError, match=r"cannot write a tokenizer\.json: it has user-defined"):
        format_tokenizer_json(whole.vocabulary)
