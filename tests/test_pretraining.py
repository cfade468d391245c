"""Where the text comes from, and from text to batches."""

from __future__ import annotations

import json
import os
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from llama_tutorial import ModelConfig, Transformer
from llama_tutorial.pretraining import (
    TokenStream,
    load_corpus,
    read_documents,
    split_documents,
    tokenize,
)
from llama_tutorial.training import IGNORE, token_loss

# Where the text comes from


def test_tales_are_told_for_training_and_validation():
    corpus = load_corpus("tales", n_tales=30, seed=5)
    training = list(corpus.training)
    assert len(set(training)) == 30
    assert len(corpus.validation) == 500
    assert not set(training) & set(corpus.validation)
    assert list(load_corpus("tales", n_tales=30, seed=5).training) == training
    assert list(load_corpus("tales", n_tales=30, seed=6).training) != training


def test_a_file_gives_its_last_tenth_for_validation(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("<|endoftext|>".join(f"document {i}" for i in range(20)))
    corpus = load_corpus(str(file))
    assert corpus.training == [f"document {i}" for i in range(18)]
    assert corpus.validation == ["document 18", "document 19"]


def test_a_corpus_is_known_by_its_content(tmp_path, monkeypatch):
    file = tmp_path / "text.txt"
    file.write_text("a text")
    before = load_corpus(str(file))
    os.utime(file, (1, 1))
    shutil.copy(file, tmp_path / "copy")
    monkeypatch.chdir(tmp_path)
    for name in (str(file), "text.txt", "./text.txt", "copy"):
        assert load_corpus(name).source == before.source
    file.write_text("a test")  # as long as before
    os.utime(file, (1, 1))
    assert load_corpus(str(file)).source != before.source


def test_a_mark_at_the_beginning_and_the_kind_of_line_end_are_no_text(tmp_path):
    file = tmp_path / "text.txt"
    file.write_bytes("\ufeffone\r\ntwo\rthree \ufeff".encode())
    assert read_documents(file) == ["one\ntwo\nthree \ufeff"]


def test_a_data_set_comes_through_the_hub(tmp_path, monkeypatch):
    asked = []

    def hf_hub_download(repository, name, repo_type):
        asked.append((repository, name, repo_type))
        path = tmp_path / name
        path.write_text(f"a story from {name}\n<|endoftext|>\nanother\n")
        return str(path)

    fake = SimpleNamespace(hf_hub_download=hf_hub_download)
    monkeypatch.setitem(sys.modules, "huggingface_hub", fake)
    corpus = load_corpus("tinystories")
    assert corpus.training == ["a story from TinyStoriesV2-GPT4-train.txt", "another"]
    assert corpus.validation[0] == "a story from TinyStoriesV2-GPT4-valid.txt"
    assert {(repository, kind) for repository, _, kind in asked} == {
        ("roneneldan/TinyStories", "dataset")
    }


def test_a_download_without_the_hub_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install 'llama-tutorial\[hub\]'"):
        load_corpus("tinystories")


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(FileNotFoundError, match="fables: no such file, and none of the names tal"):
        load_corpus("fables")


def test_documents_of_a_text_file(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("\none\n<|endoftext|>\ntwo\nlines\n<|endoftext|>\n", encoding="utf-8")
    assert read_documents(file) == ["one", "two\nlines"]
    file.write_text("a whole\n\ntext", encoding="utf-8")
    assert read_documents(file) == ["a whole\n\ntext"]
    file.write_bytes(b"caf\xe9")
    with pytest.raises(ValueError, match=r"is not UTF-8: .* at byte 3"):
        read_documents(file)
    file.write_text("\n")
    with pytest.raises(ValueError, match="is empty: there is no text in it"):
        read_documents(file)


def test_splitting_documents():
    many = [str(i) for i in range(50)]
    training, validation = split_documents(many)
    assert training + validation == many
    assert len(validation) == 5
    assert split_documents(["abcdefghij"]) == (["abcdefghi"], ["j"])
    assert split_documents(["a", "b"]) == (["a"], ["b"])


# From text to batches

BOS, EOS = 1, 2


class Letters:
    """A tokenizer of the letters a to z."""

    vocab_size, bos_id, eos_id = 29, BOS, EOS

    def encode(self, text: str, bos: bool = False, eos: bool = False) -> list[int]:
        return [BOS] * bos + [ord(letter) - 94 for letter in text] + [EOS] * eos


DOCUMENTS = ["abc", "hello", "z" * 9, "q", "training", "batches", "documents", "tokens"] * 6


@pytest.fixture
def path(tmp_path):
    return tokenize(DOCUMENTS, Letters(), tmp_path / "tokens", source="test")


def test_the_file_holds_every_document_between_bos_and_eos(path):
    expected = [i for d in DOCUMENTS for i in Letters().encode(d, bos=True, eos=True)]
    assert np.fromfile(path, "uint16").tolist() == expected
    info = TokenStream(path, 2, 8).info
    assert (info.n_tokens, info.n_documents) == (len(expected), len(DOCUMENTS))


def test_a_large_vocabulary_takes_32_bits(tmp_path):
    class Large(Letters):
        vocab_size = 70_000

        def encode(self, _text, **_):
            return [BOS, 69_999, EOS] * 9

    path = tokenize(["x"], Large(), tmp_path / "tokens")
    assert int(TokenStream(path, 1, 4).tokens.max()) == 69_999


def test_tokens_are_made_once_for_each_source(path):
    before = path.stat().st_mtime_ns, path.read_bytes()
    tokenize(iter(()), Letters(), path, source="test")  # not even read
    assert (path.stat().st_mtime_ns, path.read_bytes()) == before
    tokenize(["new"], Letters(), path, source="another")
    assert path.read_bytes() != before[1]


def test_a_failure_leaves_nothing_that_looks_finished(path):
    def failing():
        yield "abc"
        raise RuntimeError("the text broke off")

    with pytest.raises(RuntimeError):
        tokenize(failing(), Letters(), path, source="another")
    with pytest.raises(FileNotFoundError, match="has no description"):
        TokenStream(path, 1, 4)


def test_targets_are_the_next_tokens_but_for_bos(path):
    stream = TokenStream(path, 4, 16)
    tokens = stream.tokens.tolist()
    text = ",".join(map(str, tokens))
    for step in range(1, 6):
        inputs, targets, _ = stream.batch(step)
        for row, labels in zip(inputs.tolist(), targets.tolist(), strict=True):
            assert ",".join(map(str, row)) in text
            for here, label, after in zip(row, labels, row[1:], strict=False):
                assert label == (IGNORE if here == EOS else after)


def test_an_epoch_uses_no_token_twice_and_nearly_all_once(path):
    stream = TokenStream(path, 2, 8, seed=3)
    for epoch in (0, 1):
        starts = [
            stream._start(window)
            for window in range(
                epoch * stream.windows_per_epoch, (epoch + 1) * stream.windows_per_epoch
            )
        ]
        used = [start + i for start in starts for i in range(8)]
        assert len(set(used)) == len(used) >= len(stream.tokens) - 3 * 8
        assert max(used) + 1 < len(stream.tokens)
    assert stream._start(0) != stream._start(stream.windows_per_epoch)


def test_a_batch_depends_on_step_and_seed_alone(path):
    one, two = TokenStream(path, 4, 16, seed=5), TokenStream(path, 4, 16, seed=5)
    late = two.batch(9)
    for step in range(1, 9):
        one.batch(step)
    assert torch.equal(one.batch(9).inputs, late.inputs)
    assert not torch.equal(TokenStream(path, 4, 16, seed=6).batch(9).inputs, late.inputs)


def test_packed_documents_equal_separate_ones(path):
    torch.manual_seed(0)
    config = ModelConfig(
        dim=32, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=48, vocab_size=29, max_seq_len=64
    )
    model = Transformer(config)
    inputs, targets, documents = TokenStream(path, 3, 48).batch(1)
    packed, n_packed = token_loss(model, inputs, targets, documents)
    separate, n_separate = 0.0, 0
    for row, labels, numbers in zip(inputs, targets, documents, strict=True):
        for number in numbers.unique():
            part = numbers == number
            loss, n = token_loss(model, row[part][None], labels[part][None])
            separate, n_separate = separate + float(loss.detach()), n_separate + n
    assert len(documents.unique()) > 3
    assert n_packed == n_separate
    assert float(packed.detach()) / n_packed == pytest.approx(separate / n_separate, abs=1e-5)
    crossing, _ = token_loss(model, inputs, targets)
    assert (
        abs(float(crossing.detach()) - float(packed.detach())) / n_packed > 1e-4
    )  # the mask does something


@pytest.mark.parametrize("batch_size", [1, 2, 3, 5, 7, 30])
def test_every_window_covers_the_stream_in_order(path, batch_size):
    stream = TokenStream(path, batch_size, 8)
    batches = list(stream.every_window())
    n_windows = (len(stream.tokens) - 1) // 8
    assert [len(batch.inputs) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    assert sum(len(batch.inputs) for batch in batches) == n_windows
    inputs = torch.cat([batch.inputs for batch in batches]).flatten().tolist()
    assert inputs == stream.tokens.tolist()[: 8 * n_windows]
    targets = torch.cat([batch.targets for batch in batches]).flatten()
    after = torch.from_numpy(stream.tokens[1 : 8 * n_windows + 1].astype("int64"))
    assert torch.equal(targets, after.masked_fill(after == BOS, IGNORE))


class OneEnd(Letters):
    """Like GPT-2's tokenizer: one token begins a document and ends it."""

    eos_id = BOS

    def encode(self, text: str, bos: bool = False, eos: bool = False) -> list[int]:
        return [BOS] * bos + super().encode(text) + [BOS] * eos


@pytest.mark.parametrize("tokenizer", [Letters(), OneEnd()])
def test_every_documents_end_is_learned(tmp_path, tokenizer):
    stream = TokenStream(tokenize(DOCUMENTS, tokenizer, tmp_path / "tokens"), 3, 8)
    ends = begins = 0
    batches = [*stream.every_window(), *(stream.batch(step) for step in range(1, 40))]
    for inputs, targets, documents in batches:
        for row in range(len(inputs)):
            learned = targets[row] != IGNORE
            # In a document, and from its last letter, never from its end to the next beginning.
            letter = inputs[row] > EOS
            ends += int((targets[row][letter] == tokenizer.eos_id).sum())
            assert learned[letter].all()
            assert (targets[row][learned & ~letter] > EOS).all()
            begins += int((~learned).sum())
            # What ends a document is foreseen from within it.
            same = documents[row][1:] == documents[row][:-1]
            assert (learned[:-1] & ~same & (targets[row][:-1] != tokenizer.eos_id)).sum() == 0
    assert ends > 100
    assert begins > 100


def test_without_masks_there_are_no_documents(path):
    assert TokenStream(path, 2, 8, separate_documents=False).batch(1).documents is None


def test_errors(path, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing has no description nothing\.json beside"):
        TokenStream(tmp_path / "nothing", 1, 4)
    for arguments, message in [
        ((0, 8), "batch_size=0: must be at least 1"),
        ((2, 0), "context=0: must be at least 1"),
        ((2, -8), "context=-8: must be at least 1"),
    ]:
        with pytest.raises(ValueError, match=message):
            TokenStream(path, *arguments)
    with pytest.raises(ValueError, match="seed=-1: must be at least 0"):
        TokenStream(path, 2, 8, seed=-1)
    with pytest.raises(ValueError, match="too short for a batch of 100 rows of 8"):
        TokenStream(path, 100, 8)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(ValueError, match="was cut or changed: it has 766 bytes, not 768"):
        TokenStream(path, 2, 8)
    with pytest.raises(ValueError, match="the text is empty"):
        tokenize([], Letters(), tmp_path / "none")


def test_tokens_that_were_changed_are_refused(path):
    """In place, in length as before; in time as well, where a clock stood still."""
    status, ids = path.stat(), np.fromfile(path, "uint16")
    ids[5] = 7
    ids.tofile(path)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    with pytest.raises(
        ValueError, match="tokens was cut or changed: its sha256 is another; delete"
    ):
        TokenStream(path, 2, 8)


def test_ids_beyond_the_vocabulary_are_refused(path):
    """Also in files of version 0.2, whose description has no hash."""
    info, ids = path.with_name("tokens.json"), np.fromfile(path, "uint16")
    description = json.loads(info.read_text())
    del description["sha256"]
    info.write_text(json.dumps(description))
    assert len(TokenStream(path, 2, 8).tokens) == len(ids)
    ids[5] = 29
    ids.tofile(path)
    with pytest.raises(
        ValueError, match="it holds the id 29, and the vocabulary has 29; delete it"
    ):
        TokenStream(path, 2, 8)


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ("", "is damaged: .*an empty file"),
        ("[1]", "is damaged"),
        ("null", "is damaged"),
        ("[" * 100_000, "is damaged: .*nested more than 64 deep"),
        ("{}", "is damaged: .*missing"),
        ({"more": 1}, "is damaged: unexpected field 'more'"),
        ({"dtype": "object"}, "is damaged: dtype='object': must be 'uint16' or 'uint32'"),
        ({"n_tokens": "9"}, "(?s)is damaged: .*n_tokens"),
        ({"n_tokens": 2**70}, "was cut or changed: it has 768 bytes, not 2361183241434822606848"),
    ],
)
def test_a_damaged_description_is_named(path, contents, message, unchecked):
    file = path.with_name("tokens.json")
    if isinstance(contents, dict):
        contents = json.dumps(json.loads(file.read_text()) | contents)
    file.write_text(contents)
    with pytest.raises(ValueError, match=message):
        TokenStream(path, 2, 8)
    if "damaged" in message:
        with pytest.raises(
            ValueError, match=r"(?s)tokens\.json is damaged: .*; delete it and tokens to"
        ):
            tokenize(DOCUMENTS, Letters(), path, source="test")


def test_cross_entropy_of_a_uniform_model_is_ln_v(path):
    inputs, targets, _ = TokenStream(path, 2, 8).batch(1)
    logits = torch.zeros(*inputs.shape, 29)
    loss = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=IGNORE)
    assert float(loss) == pytest.approx(np.log(29), abs=1e-6)
