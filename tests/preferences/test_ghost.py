"""Ghost attention: where the instruction stands, what is learned, and how long it is kept."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("sentencepiece")

from llama_tutorial import load
from llama_tutorial.finetuning import encode_example
from llama_tutorial.preferences.ghost import (
    ghost_example,
    on_every_turn,
    on_first_turn,
    sample_dialog,
    share_kept,
    turns_kept,
)
from llama_tutorial.training import IGNORE

DIALOG = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello."},
    {"role": "user", "content": "Who are you?"},
    {"role": "assistant", "content": "A llama."},
]


@pytest.fixture(scope="module")
def chat():
    return load("tales-chat", dtype=torch.float32)


def test_the_instruction_is_on_every_question_to_sample_and_on_the_first_to_learn():
    everywhere = on_every_turn("Be kind.", DIALOG)
    assert [m["content"] for m in everywhere] == [
        "Be kind.\nHi", "Hello.", "Be kind.\nWho are you?", "A llama.",
    ]  # fmt: skip
    first = on_first_turn("Be kind.", DIALOG)
    assert first == [{"role": "system", "content": "Be kind."}, *DIALOG]


def test_only_the_last_answer_is_learned(chat):
    tokenizer = chat[1]
    ids, labels = ghost_example("Be kind.", DIALOG, tokenizer)
    whole = encode_example(on_first_turn("Be kind.", DIALOG), tokenizer)
    assert ids == whole.ids
    learned = [label for label in labels if label != IGNORE]
    assert tokenizer.decode(learned[:-1]).strip() == "A llama."
    assert learned[-1] == tokenizer.eos_id
    assert labels[-len(learned) :] == learned
    assert "Be kind." in tokenizer.decode(ids)


def test_a_dialog_is_sampled_turn_by_turn(chat):
    questions = ["Hi!", "What color is the kite?"]
    dialog = sample_dialog(*chat, questions, "A tale about Mia.")
    assert [m["content"] for m in dialog if m["role"] == "user"] == questions
    assert [m["role"] for m in dialog] == ["user", "assistant"] * 2
    assert all(m["content"] for m in dialog)
    other = sample_dialog(*chat, questions, "A tale about Mia.", everywhere=False)
    assert len(other) == 4


def test_how_long_an_instruction_is_kept():
    def says(*answers):
        return [
            {"role": role, "content": text}
            for answer in answers
            for role, text in (("user", "?"), ("assistant", answer))
        ]

    def keeps(text):
        return text.isupper()

    dialogs = [says("A", "B", "c", "D"), says("A", "b"), says("A", "B", "C")]
    assert [turns_kept(dialog, keeps) for dialog in dialogs] == [2, 1, 3]
    assert share_kept(dialogs, keeps) == [1, 2 / 3, 1 / 2, 1]


def test_mistakes_are_said(chat):
    with pytest.raises(ValueError, match="instruction='': must say something"):
        on_every_turn(" ", DIALOG)
    with pytest.raises(ValueError, match="message 0 is by 'system': the instruction takes its"):
        on_first_turn("Be kind.", on_first_turn("Be brief.", DIALOG))
    with pytest.raises(ValueError, match="no question to ask: the list is empty"):
        sample_dialog(*chat, [], "Be kind.")
    with pytest.raises(ValueError, match="no answer in any of the dialogs"):
        share_kept([DIALOG[:1]], str.isupper)
