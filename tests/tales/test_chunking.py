"""Words become the tokens by which a clause is looked up."""

from __future__ import annotations

import pytest

from llama_tutorial.tales.chunking import chunk, words_of
from llama_tutorial.tales.index import key_of


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Tom gave her the big red kite.", "C gave C X"),
        ("Pip the fox had a kite", "C had Xa"),
        ("Tom saw a little fox named Pip", "C saw Cn"),
        ("He met his best friend Bella the cat", "C met Cn"),
        ("Tom and Mia went to the park", "G went TO"),
        ("Tom, Mia and the owl ran into the forest", "G ran TO"),
        ("Tom flew his kite, and Mia ate an apple", "C USED X and C ate Xa"),
        ("The little boy's hands were cold", "C HANDS were cold"),
        ("Her mom was under the bench", "C was S"),
        ("She had no kite", "C had Xn"),
        ("They wanted to ride a bike", "G wanted W"),
        ("Was it in the hay? No.", "was X S . no"),
    ],
)
def test_chunks(text, expected):
    assert key_of(chunk(words_of(text))) == expected
