"""GPT-2's tokenizer: both libraries give the same ids, and decoding is its own."""

from __future__ import annotations

import json
import sys

import pytest

pytest.importorskip("tokenizers")
pytest.importorskip("tiktoken")
pytest.importorskip("hypothesis")

import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import GPT2, random_model

from llama_tutorial import load, save_model
from llama_tutorial.tokenizer.gpt2 import GPT2Tokenizer

TEXT = "The cat can't say it's 1998; naïve café, 日本 🦙🦙!\n\n  So  it   goes.\t'll"
TEXTS = ["", " ", "a", "  a  b ", TEXT, TEXT * 3, "<|endoftext|>", "\0\x7f\xa0\xad", "ĠĊ", "don'T"]


@pytest.fixture(scope="module")
def trained():
    """The library's own tokenizer, trained here, with GPT-2's order of ids."""
    theirs = tokenizers.ByteLevelBPETokenizer()
    theirs.train_from_iterator([TEXT, "the theme of them all is the thing"] * 9, vocab_size=330)
    return theirs


@pytest.fixture
def folder(trained, tmp_path):
    """GPT-2's two files."""
    contents = json.loads(trained.to_str())["model"]
    vocabulary = {**contents["vocab"], "<|endoftext|>": len(contents["vocab"])}
    (tmp_path / "vocab.json").write_text(json.dumps(vocabulary))
    lines = ["#version: 0.2", *(" ".join(pair) for pair in contents["merges"])]
    (tmp_path / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tmp_path


@pytest.fixture(params=["tiktoken", "tokenizers"])
def tokenizer(request, folder, monkeypatch):
    if request.param == "tokenizers":
        monkeypatch.setitem(sys.modules, "tiktoken", None)
    return GPT2Tokenizer.from_folder(folder)


@pytest.mark.parametrize("text", TEXTS)
def test_ids_are_the_librarys_and_the_text_comes_back(tokenizer, trained, text):
    ids = tokenizer.encode(text)
    assert ids == trained.encode(text).ids
    assert tokenizer.decode(ids) == text


def test_any_text_comes_back(folder, trained):
    tokenizer = GPT2Tokenizer.from_folder(folder)

    @settings(max_examples=200, deadline=None)
    @given(st.text())
    def check(text):
        ids = tokenizer.encode(text)
        assert ids == trained.encode(text).ids
        assert tokenizer.decode(ids) == text

    check()


def test_special_ids(tokenizer):
    end = tokenizer.vocab_size - 1
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (end, end, -1)
    ids = tokenizer.encode("a cat", bos=True, eos=True)
    assert ids == [end, *tokenizer.encode("a cat"), end]
    assert tokenizer.decode(ids) == "a cat"
    assert end not in tokenizer.encode("<|endoftext|>")
    assert repr(tokenizer) == f"GPT2Tokenizer({end + 1} tokens)"


def test_a_stream_shows_no_half_characters(tokenizer):
    decoder = tokenizer.stream_decoder()
    text = TEXT + "a 🐪 is no llama"
    shown = [decoder.feed(i) for i in tokenizer.encode(text)]
    assert "".join(shown) == text
    assert "" in shown  # some of the camel's bytes
    assert decoder.flush() == ""
    assert decoder.feed(tokenizer.encode("🐪")[0]) == ""
    assert decoder.flush() == "\ufffd"
    assert decoder.feed(tokenizer.encode("a")[0]) == "a"


@pytest.mark.parametrize("ids", [[0, 5, 9], [200, 201], list(range(256)), [240, 97]])
def test_any_ids_decode_as_bytes_do(tokenizer, ids):
    data = b"".join(tokenizer._bytes[i] for i in ids)
    assert tokenizer.decode(ids) == data.decode("utf-8", "replace")


@pytest.mark.parametrize("token_id", [-1, 10_000])
def test_an_id_that_is_none(tokenizer, token_id):
    with pytest.raises(
        ValueError, match=f"token id {token_id} is out of range: there are ids 0 to"
    ):
        tokenizer.decode([token_id])


def test_one_file_with_both(folder, trained, tmp_path):
    two = GPT2Tokenizer.from_folder(folder)
    theirs = tokenizers.Tokenizer.from_str(trained.to_str())
    theirs.add_special_tokens(["<|endoftext|>"])
    (tmp_path / "one").mkdir()
    theirs.save(str(tmp_path / "one" / "tokenizer.json"))
    one = GPT2Tokenizer.from_folder(tmp_path / "one")
    assert (one.vocabulary, one.merges) == (two.vocabulary, two.merges)


def test_saved_and_read_again(folder, tmp_path):
    tokenizer = GPT2Tokenizer.from_folder(folder)
    (tmp_path / "again").mkdir()
    tokenizer.save(tmp_path / "again")
    again = GPT2Tokenizer.from_folder(tmp_path / "again")
    assert (again.vocabulary, again.merges) == (tokenizer.vocabulary, tokenizer.merges)


def test_transformers_reads_the_saved_files(folder, tmp_path):
    transformers = pytest.importorskip("transformers")
    tokenizer = GPT2Tokenizer.from_folder(folder)
    model = random_model(GPT2.replace(vocab_size=tokenizer.vocab_size))
    save_model(model, tmp_path / "model", "huggingface", tokenizer=tokenizer)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    assert theirs(TEXT)["input_ids"] == tokenizer.encode(TEXT)
    assert theirs.eos_token_id == tokenizer.eos_id


@pytest.mark.parametrize("format", ["native", "huggingface"])
def test_a_checkpoint_brings_it_along(folder, tmp_path, format):
    tokenizer = GPT2Tokenizer.from_folder(folder)
    model = random_model(GPT2.replace(vocab_size=tokenizer.vocab_size))
    save_model(model, tmp_path / "model", format, tokenizer=tokenizer)
    again, pieces = load(tmp_path / "model")
    assert again.config == model.config
    assert pieces.encode(TEXT) == tokenizer.encode(TEXT)
    with pytest.raises(ValueError, match=r"would lose merges.txt,"):
        save_model(model, tmp_path / "model", format)


def test_ids_in_another_order_than_the_merges(folder):
    """tiktoken cannot spell so, and is passed over."""
    straight = GPT2Tokenizer.from_folder(folder)
    vocabulary, merges = dict(straight.vocabulary), straight.merges
    joined = ["".join(pair) for pair in merges]
    vocabulary |= dict(zip(joined, map(straight.vocabulary.get, reversed(joined)), strict=True))
    swapped = {straight.vocabulary[token]: vocabulary[token] for token in joined}
    other = GPT2Tokenizer(vocabulary, merges)
    text = TEXT + " themthem ththingall saysofe cathe oalllem"  # words that are no tokens
    assert other.encode(text) == [swapped.get(i, i) for i in straight.encode(text)]
    assert other.decode(other.encode(text)) == text


# What is wrong with a file


def refused(folder, kind=ValueError):
    with pytest.raises(kind) as error:
        GPT2Tokenizer.from_folder(folder)
    assert str(folder) in str(error.value)
    return str(error.value)


def test_missing_files(folder):
    (folder / "merges.txt").unlink()
    text = refused(folder, FileNotFoundError)
    assert "merges.txt: no such file; GPT-2's tokenizer is vocab.json and merges.txt, or" in text
    (folder / "vocab.json").unlink()
    assert "tokenizer.json: no such file" in refused(folder, FileNotFoundError)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "is no tokenizer of GPT-2's: "),
        ("[]", "is no tokenizer of GPT-2's: "),
        ('{"a": 0, "b": 2}', "its ids must be 0, 1, 2, ..."),
        ('{"a": 0, "b": 1}', "it has no <|endoftext|>"),
        ('{"日": 0, "<|endoftext|>": 1}', "is no tokenizer of GPT-2's: "),
    ],
)
def test_a_damaged_vocabulary(folder, text, reason):
    (folder / "vocab.json").write_text(text, encoding="utf-8")
    (folder / "merges.txt").write_text("")
    assert reason in refused(folder)


@pytest.mark.parametrize("text", ["a b c", "abc", "q qq"])
def test_damaged_merges(folder, text):
    (folder / "merges.txt").write_text(text)
    assert "vocab.json is no tokenizer of GPT-2's: " in refused(folder)


def test_another_tokenizer_in_json(tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"pre_tokenizer": null, "model": {}}')
    assert refused(tmp_path).endswith("it cuts words by None, GPT-2's by 'ByteLevel'")


def test_without_either_library(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(
        ImportError, match="GPT-2's tokenizer needs a library: pip install tiktoken"
    ):
        GPT2Tokenizer.from_folder(folder)
