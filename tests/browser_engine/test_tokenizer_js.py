"""The tokenizer in JavaScript against the one in Python: ids, text, and what streams in between."""

from __future__ import annotations

import json
import random
import struct
from contextlib import suppress
from pathlib import Path

import pytest

from llama_tutorial import BPETokenizer
from llama_tutorial.tales import tell

TEXTS = [
    *[
        "",
        " ",
        "  ",
        "a",
        "Once upon a time",
        " lead",
        "trail ",
        "two  spaces",
        "\n",
        "\n\nA\tb\r\n",
    ],
    *[
        "<s>",
        "</s><unk>",
        "<0x0A>",
        "[INST] x [/INST]",
        "naïve café",
        "e\u0301",
        "🦙🦙",
        "👩‍👩‍👧",
        "▁x▁",
    ],
    *[
        "\ufeffbom",
        "\x00",
        "日本語 text",
        "עברית",
        "1234567890",
        "don't",
        "a" * 300,
        "undefined",
        " undefined",
        "\ufffd",
        "\u2028",
    ],
]


@pytest.mark.parametrize("name", ["tales", "tales-small"])
def test_ids_are_pythons(engine, tokenizers, name: str) -> None:
    python = BPETokenizer.from_file(tokenizers[name])
    draw = random.Random(0)
    letters = "abc  é🦙▁\n<>0x日\u0301s"
    mixed = ["".join(draw.choices(letters, k=draw.randrange(1, 30))) for _ in range(300)]
    texts = [*TEXTS, *mixed, *(tell(seed).text for seed in range(20))]
    found = engine("encode", tokenizer=tokenizers[name], texts=texts)
    assert found == [python.encode(text) for text in texts]
    with_bos = engine("encode", tokenizer=tokenizers[name], texts=TEXTS, bos=True)
    assert with_bos == [python.encode(text, bos=True) for text in TEXTS]


@pytest.mark.parametrize("name", ["tales", "tales-small"])
def test_any_unicode_becomes_pythons_ids_and_itself_again(engine, tokenizers, name: str) -> None:
    """Characters of the whole range, alone and among words."""
    python = BPETokenizer.from_file(tokenizers[name])
    draw = random.Random(3)
    ranges = [(0, 0x80), (0x80, 0x800), (0x800, 0xD800), (0xE000, 0x10000), (0x10000, 0x110000)]

    def character() -> str:
        low, high = draw.choice(ranges)
        return chr(draw.randrange(low, high))

    words = ["Once upon", " a ", "dragon", "  ", "\n", "'s"]
    texts = [
        "".join(
            draw.choice([character(), draw.choice(words)]) for _ in range(draw.randrange(1, 25))
        )
        for _ in range(500)
    ]
    found = engine("encode", tokenizer=tokenizers[name], texts=texts)
    assert found == [python.encode(text) for text in texts]
    assert [engine("decode", tokenizer=tokenizers[name], ids=ids) for ids in found] == texts


@pytest.mark.parametrize("file", ["tokenizer.bin", "tok512.bin"])
def test_ids_are_pythons_with_real_tokenizers(engine, assets: Path, file: str) -> None:
    python = BPETokenizer.from_file(assets / file)
    cases = json.loads((assets / "llama2_tokenizer_cases.json").read_text(encoding="utf-8"))
    texts = [*TEXTS, *(case["text"] for case in cases["cases"])]
    found = engine("encode", tokenizer=assets / file, texts=texts)
    assert found == [python.encode(text) for text in texts]


@pytest.mark.parametrize("name", ["tales", "tales-small"])
def test_any_ids_stream_as_in_python(engine, tokenizers, name: str) -> None:
    """Random ids hold bytes in every order: whole characters, halves of some, and none."""
    python = BPETokenizer.from_file(tokenizers[name])
    draw = random.Random(1)
    for _ in range(400):
        ids = [
            draw.choice(
                [draw.randrange(3), draw.randrange(3, 259), draw.randrange(python.vocab_size)]
            )
            for _ in range(draw.randrange(1, 12))
        ]
        decoder = python.stream_decoder()
        expected = [*map(decoder.feed, ids), decoder.flush()]
        assert engine("feed", tokenizer=tokenizers[name], ids=ids) == expected, ids
        assert engine("decode", tokenizer=tokenizers[name], ids=ids) == python.decode(ids)


@pytest.mark.parametrize("text", ["🦙", "é", "日本", "\U0010ffff", "\ud7ff", "\u0800\uffff"])
def test_bytes_of_characters_come_out_when_they_are_whole(engine, tokenizers, text: str) -> None:
    ids = [byte + 3 for byte in text.encode()]
    fed = engine("feed", tokenizer=tokenizers["tales"], ids=ids)
    assert "".join(fed) == text
    assert fed[-1] == ""


def test_half_a_surrogate_pair_is_refused(engine, tokenizers) -> None:
    with pytest.raises(ValueError, match="must be a text without half a surrogate pair"):
        engine("encode", tokenizer=tokenizers["tales"], texts=["a\ud83e"])


@pytest.mark.parametrize("ids", [[-1], [99999], [1.5], ["x"], [None]])
def test_ids_out_of_range_are_refused(engine, tokenizers, ids: list) -> None:
    with pytest.raises(ValueError, match=r"id .* is out of range: this vocabulary has ids 0 to"):
        engine("decode", tokenizer=tokenizers["tales"], ids=ids)


def test_damaged_files_are_errors_at_once(engine, tokenizers, tmp_path: Path) -> None:
    whole = tokenizers["tales-small"].read_bytes()
    draw = random.Random(2)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(400):
        data = bytearray(whole)
        kind = draw.randrange(4)
        if kind == 0:
            del data[draw.randrange(len(data)) :]
        elif kind == 1:
            at = draw.randrange(len(data) - 4)
            data[at : at + 4] = struct.pack("<i", draw.choice([0, -1, 2**31 - 1, 5, 70000]))
        elif kind == 2:
            data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
        else:
            data = bytearray(draw.randbytes(draw.randrange(100)))
        path = tmp_path / "damaged.bin"
        path.write_bytes(data)
        found = engine("read", kind="Tokenizer", path=path)
        assert found["ms"] < 1000
        with suppress(ValueError):
            BPETokenizer.from_file(path)
            assert "name" not in found, found
            outcomes["read"] += 1
            continue
        assert found.get("name") == "Error", found
        assert len(found["message"]) > 20
        outcomes["refused"] += 1
    assert min(outcomes.values()) > 30, outcomes
