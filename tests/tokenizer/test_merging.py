"""The merge loop against the definition of byte-pair encoding."""

from __future__ import annotations

import random

from llama_tutorial.tokenizer.merging import merge_symbols


def merge_by_definition(symbols: list[str], ranks: dict[str, int]) -> list[list[str]]:
    """Look through all pairs for every merge; return the symbols before and after each."""
    states = [list(symbols)]
    while True:
        now = states[-1]
        pairs = [
            (ranks[now[i] + now[i + 1]], i)
            for i in range(len(now) - 1)
            if now[i] + now[i + 1] in ranks
        ]
        if not pairs:
            return states
        _, i = min(pairs)
        states.append([*now[:i], now[i] + now[i + 1], *now[i + 2 :]])


def test_an_example_by_hand():
    ranks = {"er": 2, "lo": 5, "▁lo": 9, "wer": 20}
    states: list[list[str]] = []
    assert merge_symbols("▁lower", ranks, states) == ["▁lo", "wer"]
    assert [" ".join(state) for state in states] == [
        "▁ l o w er",
        "▁ lo w er",
        "▁lo w er",
        "▁lo wer",
    ]


def test_equal_ranks_merge_from_the_left():
    assert merge_symbols("aaaaa", {"aa": 0}) == ["aa", "aa", "a"]
    assert merge_symbols("▁▁▁▁", {"▁▁": 0, "▁▁▁": 0}) == ["▁▁▁", "▁"]


def test_a_stale_pair_is_left_alone():
    # "bc" is in the heap when "ab" takes its b; so is "aa" when its left a has gone.
    assert merge_symbols("abc", {"ab": 0, "bc": 1}) == ["ab", "c"]
    assert merge_symbols("xaaa", {"xa": 0, "aa": 1}) == ["xa", "aa"]


def test_nothing_to_merge():
    assert merge_symbols("", {"ab": 0}) == []
    assert merge_symbols("a", {"ab": 0}) == ["a"]


def test_every_step_is_the_one_that_the_definition_takes():
    generator = random.Random(0)
    merged = 0
    for _ in range(3000):
        alphabet = generator.choice(["ab", "abc", "ab▁"])
        pieces = {
            "".join(generator.choices(alphabet, k=generator.randint(2, 5)))
            for _ in range(generator.randint(0, 20))
        }
        # Few ranks, so that there are many equal ones.
        ranks = {piece: generator.randint(0, 6) for piece in pieces}
        text = generator.choices(alphabet, k=generator.randint(0, 30))
        states: list[list[str]] = []
        result = merge_symbols(text, ranks, states)
        expected = merge_by_definition(text, ranks)
        assert [text, *states] == expected
        assert result == expected[-1]
        merged += len(states)
    assert merged > 10_000
