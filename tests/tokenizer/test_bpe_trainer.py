"""The trainer: by hand, against the definition, and against SentencePiece's."""

from __future__ import annotations

import random
from collections import Counter
from itertools import pairwise

import pytest

from llama_tutorial.tokenizer.bpe_trainer import (
    count_chunks,
    count_words,
    covered_characters,
    learn_merges,
    train_vocabulary,
)
from llama_tutorial.tokenizer.vocabulary import WHITESPACE_SCORE

SENTENCE = "the cat sat on the mat and the rat ran at the bat "


def spell(word: str, learned: list[str]) -> list[str]:
    """Byte-pair encoding by its definition: best piece first, leftmost first."""
    symbols = list(word)
    while True:
        pairs = [
            (learned.index(symbols[i] + symbols[i + 1]), i)
            for i in range(len(symbols) - 1)
            if symbols[i] + symbols[i + 1] in learned
        ]
        if not pairs:
            return symbols
        _, i = min(pairs)
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


def learn_by_definition(chunks: dict[str, int], room: int, longest: int) -> list[str]:
    """Spell every word anew and count every pair anew, for every merge."""
    learned: list[str] = []
    while len(learned) < room:
        counts: Counter[str] = Counter()
        for word, count in chunks.items():
            symbols = spell(word, learned)
            for left, right in pairwise(symbols):
                if len(left + right) <= longest:
                    counts[left + right] += count
        if not counts:
            break
        learned.append(min(counts, key=lambda piece: (-counts[piece], len(piece), piece)))
    return learned


def test_the_textbook_example():
    words = {"low": 5, "lower": 2, "newest": 6, "widest": 3}
    assert learn_merges(words, 3) == ["es", "est", "lo"]
    assert learn_merges(words, 5)[3:] == ["low", "ew"]


def test_incremental_counts_give_what_counting_anew_gives():
    generator = random.Random(3)
    for _ in range(60):
        alphabet = generator.choice(["ab", "abc", "abcdef"])
        chunks = {
            "".join(generator.choices(alphabet, k=generator.randint(1, 9))): generator.randint(1, 5)
            for _ in range(generator.randint(1, 12))
        }
        longest = generator.choice([3, 5, 16])
        room = generator.randint(0, 15)
        assert learn_merges(chunks, room, longest) == learn_by_definition(chunks, room, longest)


def test_words_are_counted_line_by_line_with_a_space_before_each():
    assert count_words(["a b\na", "  b"]) == {"▁a": 2, "▁b": 1, "▁▁▁b": 1}


def test_character_coverage_keeps_the_most_frequent():
    words = {"aaaaaaaa": 10, "bbbb": 4, "cd": 1, "\0": 5}  # 80 a, 16 b, 1 c, 1 d, no NUL
    assert covered_characters(words, 1.0) == ["a", "b", "c", "d"]
    assert covered_characters(words, 0.98) == ["a", "b", "c"]
    assert covered_characters(words, 0.97) == ["a", "b"]
    assert covered_characters(words, 0.5) == ["a"]


def test_chunks_are_what_a_merge_may_not_leave():
    words = count_words(["don't  go2024 (x) é😀b"])
    characters = set("".join(words)) - {"😀"}
    assert count_chunks(words, sorted(characters)) == {
        "▁don": 1, "'": 1, "t": 1,
        "▁": 1, "▁go": 1, "2": 2, "0": 1, "4": 1,
        "▁(": 1, "x": 1, ")": 1,
        "▁é": 1, "b": 1,
    }  # fmt: skip


def test_the_layout_is_llama_2s():
    v = train_vocabulary([SENTENCE * 5 + "\n    indented\n    text"], 300)
    assert list(v.pieces[:4]) == ["<unk>", "<s>", "</s>", "<0x00>"]
    learned = list(v.pieces[259:])
    first_character = learned.index("▁")
    assert all(len(piece) > 1 for piece in learned[:first_character])
    assert all(len(piece) == 1 for piece in learned[first_character:])
    assert learned[0] == "at"
    for n, piece in enumerate(learned):
        assert v.scores[259 + n] == (-float(n) if piece.strip("▁") else WHITESPACE_SCORE)
    assert "▁▁" in learned
    assert (v.bos_id, v.eos_id, v.pad_id, v.unk_id) == (1, 2, -1, 0)


def test_the_same_text_gives_the_same_vocabulary():
    texts = [SENTENCE, SENTENCE[::-1]]
    assert train_vocabulary(texts, 290).pieces == train_vocabulary(iter(texts), 290).pieces


def test_without_byte_fallback_there_are_no_bytes():
    v = train_vocabulary([SENTENCE], 30, byte_fallback=False)
    assert v.byte_ids == []
    assert len(v) == 30


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 269}, "vocab_size 269 is too small: 259 special and byte pieces and 13"),
        ({"vocab_size": 999}, "vocab_size 999 is too large: the text yields 293 pieces; lower it"),
        ({"texts": []}, "there is no text to learn from"),
        ({"texts": ["", "\n"]}, "there is no text to learn from"),
        ({"character_coverage": 0.0}, r"character_coverage is 0.0: it must be in \(0, 1\]"),
        ({"character_coverage": 1.5}, r"character_coverage is 1.5: it must be in \(0, 1\]"),
    ],
)
def test_what_cannot_be_trained(changes, message):
    arguments = {"texts": [SENTENCE], "vocab_size": 280, **changes}
    with pytest.raises(ValueError, match=message):
        train_vocabulary(**arguments)


def test_the_size_that_the_error_names_works():
    assert len(train_vocabulary([SENTENCE], 293)) == 293
    assert len(train_vocabulary([SENTENCE], 272)) == 272


def test_the_pieces_are_sentencepieces(assets):
    """On English, all 1,500 pieces and their order are those of SentencePiece's own trainer."""
    pytest.importorskip("sentencepiece")
    from llama_tutorial.tokenizer import Tokenizer

    text = (assets / "tinyshakespeare.txt").read_text()[:300_000]
    expected = Tokenizer.train(text, 1500).vocabulary
    v = train_vocabulary([text], 1500)
    assert list(v.pieces) == list(expected.pieces)
    scores = zip(v.pieces, v.scores, expected.scores, strict=True)
    assert all(ours == theirs for piece, ours, theirs in scores if piece.strip("▁"))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("abαγдж", ["▁ab", "αγ", "дж"]),
        ("日本語カタかな한글", ["▁日本語カタかな", "한글"]),
        ("ラーメン々", ["▁ラーメン々"]),
        ("ｆｕｌｌ width", ["▁ｆｕｌｌ", "▁width"]),
        ("nº µm", ["▁nº", "▁µ", "m"]),  # as in Unicode: º is Latin, µ is of no script
        ("cafe\u0301x", ["▁cafe\u0301x"]),  # a mark belongs to the letter before it
        ("д\u0301д", ["▁д\u0301д"]),
        ("❤\ufe0f!", ["▁❤\ufe0f!"]),
        ("a1б2", ["▁a", "1", "б", "2"]),
        ("שָׁלוֹם", ["▁שָׁלוֹם"]),
    ],
)
def test_letters_of_different_scripts_stay_apart(text, expected):
    words = count_words([text])
    characters = set().union(*words)
    assert list(count_chunks(words, characters)) == expected


def test_scripts_are_kept_apart_where_sentencepiece_does():
    pytest.importorskip("sentencepiece")
    from llama_tutorial import Tokenizer

    letters = "aëßñºｆαώджд日々かカー한אبहไ"
    pairs = [first + second for first in letters for second in letters]
    size = 259 + 1 + len(letters) + 3000
    pieces = Tokenizer.train(
        pairs * 2, size, character_coverage=1.0, hard_vocab_limit=False
    ).vocabulary.pieces
    theirs = {pair for pair in pairs if pair in pieces or "▁" + pair in pieces}
    words = count_words(pairs)
    chunks = count_chunks(words, set().union(*words))
    assert {pair for pair in pairs if "▁" + pair in chunks} == theirs
