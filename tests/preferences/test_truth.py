"""The story world as the judge: what an answer is worth, and pairs of a model's own answers."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("sentencepiece")

from llama_tutorial import load
from llama_tutorial.finetuning.evaluation import Answer, DialogQuestion
from llama_tutorial.preferences.pair_file import read_pairs, write_pairs
from llama_tutorial.preferences.truth import (
    make_pairs,
    pairs_of,
    questions_on,
    sample_answers,
    uncertain,
    worth,
)
from llama_tutorial.tales import NOT_SAID, questions, tell

SAID = DialogQuestion([{"role": "user", "content": "?"}], "Red.", "color")
UNSAID = DialogQuestion([{"role": "user", "content": "?"}], NOT_SAID, "color")


@pytest.fixture(scope="module")
def chat():
    return load("tales-chat", dtype=torch.float32)


@pytest.mark.parametrize(
    ("question", "text", "ended", "value"),
    [
        (SAID, "Red.", True, 3),
        (SAID, "Red.", False, 0),
        (SAID, "Blue.", True, 0),
        (SAID, "red.", True, 0),
        (SAID, NOT_SAID, True, 1),
        (UNSAID, NOT_SAID, True, 3),
        (UNSAID, NOT_SAID, False, 0),
        (UNSAID, "Red.", True, 0),
    ],
)
def test_what_an_answer_is_worth(question, text, ended, value):
    assert worth(question, Answer(text, ended)) == value


def test_a_pair_is_the_best_and_the_worst_and_its_grade_the_difference():
    answers = [Answer(text, True) for text in ("Blue.", NOT_SAID, "Red.")]
    (pair,) = pairs_of(SAID, answers)
    assert (pair.chosen, pair.rejected, pair.grade) == ("Red.", "Blue.", 3)
    assert [p.grade for p in pairs_of(SAID, answers[1:])] == [2]
    assert [p.grade for p in pairs_of(SAID, answers[:2])] == [1]
    assert list(pairs_of(SAID, answers[:1])) == []
    assert list(pairs_of(SAID, [Answer("Red.", True), Answer("Red.", True)])) == []
    # What did not end cannot be in a file, where every text ends.
    assert list(pairs_of(SAID, [Answer("Red.", True), Answer("Blue.", False)])) == []


def test_all_questions_on_a_tale_but_the_request_to_tell_it():
    tale = tell(3)
    found = questions_on([tale])
    wanted = [q for q in questions(tale) if q.kind != "tell"]
    assert [(q.answer, q.kind) for q in found] == [(q.answer, q.kind) for q in wanted]
    assert found[0].dialog[0]["content"] == f"{tale.text}\n{wanted[0].text}"


def test_pairs_are_the_models_own_answers_and_the_world_prefers_the_right_one(chat, tmp_path):
    told = [tell(seed) for seed in range(900, 910)]
    pairs = list(make_pairs(*chat, told, 4, k=6))
    assert 1 <= len(pairs) <= 4
    right = {q.dialog[0]["content"]: q for q in questions_on(told)}
    for pair in pairs:
        question = right[pair.prompt[0]["content"]]
        values = [worth(question, Answer(text, True)) for text in (pair.chosen, pair.rejected)]
        assert values[0] - values[1] == pair.grade > 0
    write_pairs(pairs, tmp_path / "pairs.jsonl")
    assert read_pairs(tmp_path / "pairs.jsonl") == pairs
    assert list(make_pairs(*chat, told, 4, k=6)) == pairs
    assert list(make_pairs(*chat, [], 4)) == []


def test_certain_questions_are_left_out(chat):
    asked = questions_on([tell(seed) for seed in range(900, 903)])
    assert uncertain(*chat, asked, certain=0.0) == []
    assert uncertain(*chat, asked, certain=1.1) == asked
    some = uncertain(*chat, asked, certain=0.98)
    assert len(some) < len(asked)
    drawn = sample_answers(*chat, asked[:3], 2, seed=1)
    assert [len(answers) for answers in drawn] == [2, 2, 2]
