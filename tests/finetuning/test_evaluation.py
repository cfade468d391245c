"""Exact match: who is asked what, and what counts as right."""

from __future__ import annotations

import copy

import pytest
import torch

pytest.importorskip("sentencepiece")

from llama_tutorial import ModelConfig, Transformer, generate, load_tokenizer
from llama_tutorial.chat import encode_dialog
from llama_tutorial.finetuning import evaluation
from llama_tutorial.finetuning.evaluation import (
    Answer,
    DialogQuestion,
    Score,
    answer_dialogs,
    exact_match,
    questions_about_tales,
)
from llama_tutorial.lora import add_lora, lora_layers
from llama_tutorial.shipped import SHIPPED
from llama_tutorial.tales import NOT_SAID, questions, tales


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer(SHIPPED["tales"].tokenizer)


@pytest.fixture(scope="module")
def model() -> Transformer:
    torch.manual_seed(0)
    return Transformer(ModelConfig(16, 1, 2, 1, 24, vocab_size=1024, max_seq_len=300))


def say(*contents: str) -> list[dict[str, str]]:
    roles = ["user", "assistant"] * len(contents)
    return [{"role": r, "content": c} for r, c in zip(roles, contents, strict=False)]


def test_answers_are_greedy_and_in_the_order_of_the_questions(model, tokenizer):
    dialogs = [
        say("Who has the kite?"),
        say("Hi"),
        say("Hi", "Ho", "Where was the red kite found?"),
    ]
    found = answer_dialogs(model, tokenizer, dialogs, 5)
    for dialog, one in zip(dialogs, found, strict=True):
        prompt = encode_dialog(dialog, tokenizer)
        (ids,) = generate(model, [prompt], 5, temperature=0, stop_ids={tokenizer.eos_id})
        assert one == Answer(tokenizer.decode(ids).strip(), len(ids) < 5)


def test_answers_are_given_without_dropout(model, tokenizer):
    adapted = copy.deepcopy(model)
    add_lora(adapted, rank=2, dropout=0.5)
    for layer in lora_layers(adapted).values():
        torch.nn.init.normal_(layer.lora_b, std=0.5)
    dialogs, state = [say("Hi"), say("Who has the kite?")], torch.get_rng_state()
    expected = answer_dialogs(adapted.eval(), tokenizer, dialogs, 9)
    assert answer_dialogs(adapted.train(), tokenizer, dialogs, 9) == expected
    assert all(module.training for module in adapted.modules())
    with pytest.raises(ValueError, match="300"):
        answer_dialogs(adapted, tokenizer, [say("Tom " * 300)])
    assert all(module.training for module in adapted.modules())
    assert torch.equal(torch.get_rng_state(), state)


def test_sampling_and_another_template(model, tokenizer):
    def bare(dialog, tokenizer) -> list[int]:
        return tokenizer.encode(dialog[-1]["content"], bos=True)

    (found,) = answer_dialogs(
        model, tokenizer, [say("Hi")], 6, encode=bare, temperature=1.0, top_p=1.0, seed=3
    )
    (ids,) = generate(model, [bare(say("Hi"), tokenizer)], 6, temperature=1.0, top_p=1.0, seed=3)
    assert found.text == tokenizer.decode(ids).strip()


def test_more_dialogs_than_are_answered_together(model, tokenizer, monkeypatch):
    dialogs = [say("Hi" + "!" * i) for i in (4, 1, 3, 0, 2)]
    together = answer_dialogs(model, tokenizer, dialogs, 4)
    monkeypatch.setattr(evaluation, "BATCH_SIZE", 2)
    assert answer_dialogs(model, tokenizer, dialogs, 4) == together


def test_an_answer_ended_if_eos_came(model, tokenizer, monkeypatch):
    said = tokenizer.encode("Tom. ")
    monkeypatch.setattr(evaluation, "generate", lambda *_args, **_rest: [said])
    assert answer_dialogs(model, tokenizer, [say("Who?")], len(said) + 1) == [Answer("Tom.", True)]
    assert answer_dialogs(model, tokenizer, [say("Who?")], len(said)) == [Answer("Tom.", False)]


def test_what_does_not_fit_is_an_error(model, tokenizer):
    with pytest.raises(ValueError, match="300"):
        answer_dialogs(model, tokenizer, [say("Tom " * 300)])


def test_later_tales_are_asked_about_by_their_seed():
    later = questions_about_tales(2, seed=3)
    assert later == questions_about_tales(5)[-len(later) :]
    assert later != questions_about_tales(2)


def test_all_questions_of_the_tales_but_the_request():
    asked = questions_about_tales(5, "test")
    expected = [
        (tale, question)
        for tale in tales(5, "test")
        for question in questions(tale)
        if question.kind != "tell"
    ]
    assert len(asked) == len(expected)
    for one, (tale, question) in zip(asked, expected, strict=True):
        assert (one.answer, one.kind) == (question.answer, question.kind)
        assert one.dialog == say(f"{tale.text}\n{question.text}")
    (first, *_) = questions_about_tales(1, "test", "told")
    assert [message["role"] for message in first.dialog] == ["user", "assistant", "user"]


def test_scores_by_kind_and_in_all():
    asked = [
        DialogQuestion(say("Who?"), "Tom.", "has"),
        DialogQuestion(say("Who?"), "The owl.", "has"),
        DialogQuestion(say("What color?"), "Red.", "color"),
        DialogQuestion(say("What color?"), NOT_SAID, "color"),
    ]
    answers = [
        Answer("Tom.", True),
        Answer("Owl.", True),  # not to the letter
        Answer("Red.", False),  # it goes on
        Answer(NOT_SAID, True),
    ]
    assert exact_match(asked, answers) == {
        "all": Score(2, 4),
        "said": Score(1, 3),
        "not said": Score(1, 1),
        "has": Score(1, 2),
        "color": Score(1, 2),
    }
    assert Score(1, 4).accuracy == 0.25
    with pytest.raises(ValueError, match="4 questions and 3 answers: one for each"):
        exact_match(asked, answers[:3])
