"""Where the text comes from."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from llama_tutorial.pretraining import load_corpus, read_documents, split_documents


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
    before = corpus.source
    file.write_text("another text")
    assert load_corpus(str(file)).source != before


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
    with pytest.raises(ValueError, match=r"is no UTF-8 text: .* at byte 3"):
        read_documents(file)
    file.write_text("\n")
    with pytest.raises(ValueError, match="is empty: there is nothing to learn from"):
        read_documents(file)


def test_splitting_documents():
    many = [str(i) for i in range(50)]
    training, validation = split_documents(many)
    assert training + validation == many
    assert len(validation) == 5
    assert split_documents(["abcdefghij"]) == (["abcdefghi"], ["j"])
    assert split_documents(["a", "b"]) == (["a"], ["b"])
