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
        ValueError, match=f"token id {token_id} is out of range: this vocabulary has ids 0 to"
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
    # and what it saves is read here, or refused where it was asked for something else
    theirs.save_pretrained(tmp_path / "saved")
    assert GPT2Tokenizer.from_folder(tmp_path / "saved").encode(TEXT) == tokenizer.encode(TEXT)
    prefixing = transformers.GPT2Tokenizer.from_pretrained(
        tmp_path / "model", add_prefix_space=True
    )
    prefixing.save_pretrained(tmp_path / "prefixing")
    assert "add_prefix_space is True" in refused(tmp_path / "prefixing")


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
        ("{", "vocab.json is not JSON: "),
        ("[" * 10**5, "vocab.json is nested more than 64 deep"),
        ('{"a": 0, "a": 1}', "vocab.json says 'a' twice in one object"),
        ('{"a": 0.5}', "vocab.json is no tokenizer of GPT-2's: the id of 'a' is 0.5"),
        ('{"a": true}', "the id of 'a' is True"),
        ("<!DOCTYPE html>", "vocab.json is not JSON: it is a web page that was saved in its place"),
        ("[]", "is no tokenizer of GPT-2's: "),
        ('{"a": 0, "b": 2}', "its ids must be 0, 1, 2, ..."),
        ('{"a": 0, "b": 1}', "it has no <|endoftext|>"),
        ('{"日": 0, "<|endoftext|>": 1}', "the vocabulary has no token for the byte 0x00, 'Ā'"),
    ],
)
def test_a_damaged_vocabulary(folder, text, reason):
    (folder / "vocab.json").write_text(text, encoding="utf-8")
    (folder / "merges.txt").write_text("")
    assert reason in refused(folder)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("a b c", "merges.txt is no tokenizer of GPT-2's: the merge 'a b c' is not two tokens"),
        ("abc", "the merge 'abc' is not two tokens"),
        ("q qq", "the merge of 'q' and 'qq' names 'qq', which is no token"),
        ("t h\nt h", "a merge is there twice"),
        ("version https://git-lfs.github.com/spec/v1\noid a b", "it is a pointer of git-lfs"),
        ("", "is no byte, made by no merge, and not <|endoftext|>"),
    ],
)
def test_damaged_merges(folder, text, reason):
    (folder / "merges.txt").write_text(text)
    assert reason in refused(folder)


def test_lines_may_end_as_windows_ends_them(folder):
    merges = GPT2Tokenizer.from_folder(folder).merges
    text = (folder / "merges.txt").read_text(encoding="utf-8")
    (folder / "merges.txt").write_bytes(text.replace("\n", "\r\n").encode())
    assert GPT2Tokenizer.from_folder(folder).merges == merges


def test_what_is_no_text_and_no_id(tokenizer, unchecked):
    numpy, torch = pytest.importorskip("numpy"), pytest.importorskip("torch")
    for text in (None, b"abc", 7, ["abc"]):
        with pytest.raises(ValueError, match=f"encode takes one str, not {type(text).__name__}"):
            tokenizer.encode(text)
    with pytest.raises(ValueError, match=r"lone surrogate U\+DC00 at position 2"):
        tokenizer.encode("ab\udc00")
    ids = tokenizer.encode("the cat")
    for same in (numpy.array(ids), torch.tensor(ids), tuple(ids), iter(ids)):
        assert tokenizer.decode(same) == "the cat"
    for wrong in (None, 7, "ab", [1.5], [None], torch.tensor([ids]), numpy.array([0.5])):
        with pytest.raises(ValueError, match=r"takes a list of ids|is no whole number"):
            tokenizer.decode(wrong)
    with pytest.raises(ValueError, match=r"token id 1.5 is no whole number"):
        tokenizer.stream_decoder().feed(1.5)


def test_merges_that_tiktoken_would_take_for_others(folder):
    """It merges any two tokens whose join is a token; "aa" + "bc" is no merge here."""
    straight = GPT2Tokenizer.from_folder(folder).vocabulary
    vocabulary = {token: i for token, i in straight.items() if i < 256}
    assert len(vocabulary) == 256
    merges = [("b", "c"), ("a", "a"), ("aa", "b"), ("aab", "c")]
    for token in [*map("".join, merges), "<|endoftext|>"]:
        vocabulary[token] = len(vocabulary)
    theirs = tokenizers.ByteLevelBPETokenizer(vocabulary, merges)
    assert GPT2Tokenizer(vocabulary, merges).encode("aabc") == theirs.encode("aabc").ids


# What its files may ask for


def library_tokenizer(**parts):
    """A small one of the library's, whose ids tell its settings apart."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*alphabet, "he", "Ġhe", "<|endoftext|>"])}
    settings = {name: parts.pop(name) for name in list(parts) if hasattr(parts[name], "__len__")}
    model = tokenizers.models.BPE(vocabulary, [("h", "e"), ("Ġ", "he")], **settings)
    theirs = tokenizers.Tokenizer(model)
    theirs.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    theirs.decoder = tokenizers.decoders.ByteLevel()
    for name, part in parts.items():
        setattr(theirs, name, part)
    return theirs


pre, post = tokenizers.pre_tokenizers, tokenizers.processors


@pytest.mark.parametrize(
    ("parts", "setting"),
    [
        ({}, None),
        ({"post_processor": post.ByteLevel(trim_offsets=False)}, None),
        ({"unk_token": "he"}, None),  # with a token for every byte there is nothing unknown
        ({"pre_tokenizer": pre.ByteLevel(add_prefix_space=False, trim_offsets=False)}, None),
        ({"pre_tokenizer": pre.ByteLevel(add_prefix_space=True)}, "pre_tokenizer.add_prefix_space"),
        (
            {"pre_tokenizer": pre.ByteLevel(add_prefix_space=False, use_regex=False)},
            "pre_tokenizer.use_regex",
        ),
        ({"pre_tokenizer": pre.Whitespace()}, "pre_tokenizer.type"),
        ({"pre_tokenizer": None}, "pre_tokenizer.type"),
        ({"normalizer": tokenizers.normalizers.Lowercase()}, "normalizer"),
        (
            {
                "post_processor": post.TemplateProcessing(
                    single="<|endoftext|> $A", special_tokens=[("<|endoftext|>", 258)]
                )
            },
            "post_processor.single",
        ),
        ({"post_processor": post.TemplateProcessing(single="$A", special_tokens=[])}, None),
        ({"post_processor": post.BertProcessing(("he", 256), ("he", 256))}, "post_processor.type"),
        ({"decoder": tokenizers.decoders.WordPiece()}, "decoder.type"),
        ({"decoder": None}, "decoder.type"),
    ],
)
@pytest.mark.parametrize("beside", [False, True])
def test_a_setting_gives_the_librarys_ids_or_is_refused_by_its_name(
    tmp_path, parts, setting, beside
):
    theirs = library_tokenizer(**parts)
    theirs.save(str(tmp_path / "tokenizer.json"))
    if beside:  # transformers goes by tokenizer.json also where the older files lie beside it
        theirs.model.save(str(tmp_path))
    if setting is None:
        ours = GPT2Tokenizer.from_folder(tmp_path)
        for text in ("he HE hehe", " he", "", "naïve\n\n he"):
            assert ours.encode(text) == theirs.encode(text).ids
    else:
        assert f"tokenizer.json is no tokenizer of GPT-2's: its setting {setting} is" in refused(
            tmp_path
        )


def test_files_that_contradict_each_other(folder):
    library_tokenizer().save(str(folder / "tokenizer.json"))
    assert "tokenizer.json is no tokenizer of GPT-2's: it says other than the vocab.json" in (
        refused(folder)
    )


def changed(folder, change):
    """A plain tokenizer.json after ``change`` of its contents."""
    contents = json.loads(library_tokenizer().to_str())
    change(contents)
    (folder / "tokenizer.json").write_text(json.dumps(contents))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dropout", 0.1), ("continuing_subword_prefix", "##"), ("end_of_word_suffix", "</w>"),
        ("ignore_merges", True), ("type", "WordPiece"),
    ],
)  # fmt: skip
def test_so_does_one_of_the_models(tmp_path, name, value):
    changed(tmp_path, lambda contents: contents["model"].update({name: value}))
    assert f"its setting model.{name} is {value!r}, which is not followed" in refused(tmp_path)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        ({"content": "<pad>", "special": True}, "it adds the token '<pad>'"),
        ({"content": "<|endoftext|>", "lstrip": True}, "has the setting lstrip, which is not"),
        ({"content": "<|endoftext|>", "rstrip": True}, "has the setting rstrip, which is not"),
        ({"content": "<|endoftext|>", "single_word": True}, "has the setting single_word"),
        ("he", "it adds the token None"),
    ],
)
def test_added_tokens(tmp_path, token, reason):
    if isinstance(token, dict):
        token = {"id": 258, **token}
    changed(tmp_path, lambda contents: contents.update(added_tokens=[token]))
    assert reason in refused(tmp_path)


@pytest.mark.parametrize(
    ("name", "contents", "reason"),
    [
        ("tokenizer_config.json", {"add_prefix_space": True}, "its setting add_prefix_space is Tr"),
        ("tokenizer_config.json", {"add_bos_token": True}, "its setting add_bos_token is True"),
        ("tokenizer_config.json", {"errors": "ignore"}, "its setting errors is 'ignore'"),
        ("tokenizer_config.json", {"tokenizer_class": "CLIPTokenizer"}, "tokenizer_class is 'CLIP"),
        ("tokenizer_config.json", {"bos_token": "<s>"}, "it adds the token '<s>'"),
        (
            "tokenizer_config.json",
            {"added_tokens_decoder": {"258": {"content": "<|endoftext|>", "lstrip": True}}},
            "its token <|endoftext|> has the setting lstrip",
        ),
        ("special_tokens_map.json", {"pad_token": {"content": "[PAD]"}}, "the token '[PAD]'"),
        ("special_tokens_map.json", {"additional_special_tokens": ["<a>"]}, "the token '<a>'"),
        ("special_tokens_map.json", {"cls_token": {"content": "<c>"}}, "the token '<c>'"),
        ("tokenizer_config.json", {"sep_token": "<s>"}, "the token '<s>'"),
        ("tokenizer_config.json", {"mask_token": "cat"}, "the token 'cat'"),
        ("tokenizer_config.json", {"image_token": "<i>"}, "the token '<i>'"),
        ("tokenizer_config.json", {"extra_special_tokens": ["<x>"]}, "the token '<x>'"),
        ("tokenizer_config.json", {"extra_special_tokens": {"image_token": "<i>"}}, "'<i>'"),
        ("tokenizer_config.json", {"extra_special_tokens": {}, "add_bos_token": False}, None),
        ("added_tokens.json", {"<b>": 258}, "it adds the token '<b>'"),
        ("added_tokens.json", [], "it is no JSON object"),
        ("tokenizer_config.json", {"add_prefix_space": False, "model_max_length": 1024}, None),
        (
            "special_tokens_map.json",
            {"bos_token": "<|endoftext|>", "eos_token": {"content": "<|endoftext|>"}},
            None,
        ),
    ],
)
def test_what_lies_beside_them_counts(folder, name, contents, reason):
    (folder / name).write_text(json.dumps(contents))
    if reason is None:
        GPT2Tokenizer.from_folder(folder)
    else:
        text = refused(folder)
        assert f"{name} is no tokenizer of GPT-2's: " in text
        assert reason in text


@pytest.mark.parametrize(
    "contents",
    [
        {"model": {"type": "BPE", "byte_fallback": True, "vocab": {}, "merges": []}},
        {"model": {"type": "Unigram", "vocab": []}},
        {"model": {"vocab": {}}, "normalizer": {"type": "Prepend", "prepend": "▁"}},
        {"model": {"vocab": {}}, "pre_tokenizer": {"type": "Metaspace", "replacement": "▁"}},
    ],
)
def test_a_llamas_tokenizer_in_json_says_what_a_llama_needs(tmp_path, contents):
    (tmp_path / "tokenizer.json").write_text(json.dumps(contents), encoding="utf-8")
    text = refused(tmp_path)
    assert "it needs the tokenizer.model that it was made of" in text
    assert "give it with tokenizer= (on the command line, --tokenizer)" in text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[]", "it is no JSON object"),
        ('{"model": null}', "its model is no JSON object"),
        ('{"pre_tokenizer": null, "model": {}}', "its setting pre_tokenizer.type is None"),
        ("{", "tokenizer.json is not JSON"),
        ('{"model": ' * 200, "tokenizer.json is not JSON"),
    ],
)
def test_another_tokenizer_in_json(tmp_path, text, reason):
    (tmp_path / "tokenizer.json").write_text(text)
    assert reason in refused(tmp_path)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"merges": None}, "its model has no list of merges"),
        ({"merges": [7]}, "the merge 7 is not two tokens"),
        ({"merges": [["h", "e", "l"]]}, "is not two tokens"),
        ({"vocab": [["h", 0]]}, "its vocabulary is no JSON object"),
    ],
)
def test_damaged_models_in_json(tmp_path, change, reason):
    changed(tmp_path, lambda contents: contents["model"].update(change))
    assert reason in refused(tmp_path)


def test_without_either_library(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "tiktoken", None)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(
        ImportError, match="GPT-2's tokenizer needs a library: pip install tiktoken"
    ):
        GPT2Tokenizer.from_folder(folder)
