"""What the recorded run of ghost attention is made of: its questions, examples and shares."""

from __future__ import annotations

import importlib
from itertools import islice
from pathlib import Path

import pytest
import torch

pytest.importorskip("sentencepiece")

from llama_tutorial import load
from llama_tutorial.chat.dialog import encode_dialog
from llama_tutorial.figures import recorded
from llama_tutorial.finetuning.evaluation import ANSWER_TOKENS
from llama_tutorial.preferences.ghost import on_every_turn
from llama_tutorial.training import IGNORE

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
DUCK, CAT = "You are a duck.", "You are a cat."


@pytest.fixture
def ghost(monkeypatch):
    if not BENCHMARKS.exists():
        pytest.skip("the benchmarks are not installed")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("ghost_attention")


@pytest.fixture(scope="module")
def tokenizer():
    return load("tales-chat", dtype=torch.float32)[1]


def says(*answers):
    return [
        {"role": role, "content": text}
        for answer in answers
        for role, text in (("user", "Who?"), ("assistant", answer))
    ]


def test_shares_are_counted_by_turn_and_by_the_dialogs_own_instruction(ghost):
    dialogs = [says("Tom. Quack!", "Tom. Quack!"), says("Tom. Quack!", "Tom. Meow!")]
    assert ghost.kept_by_turn(dialogs, [DUCK, CAT]) == [0.5, 1.0]
    assert ghost.kept_by_turn(dialogs, [DUCK, DUCK]) == [1.0, 0.5]


def test_right_and_kept_wants_both(ghost):
    dialog = says("Tom. Quack!", "Mia. Quack!", "Tom.", "Tom. Meow!")
    asked = [("Who?", "Tom.")] * 4
    assert ghost.right_and_kept([dialog], [(DUCK, asked)]) == 0.25


def test_means_are_over_the_seeds(ghost):
    found = {
        "0": {"before": {"kept": [1.0, 0.0]}, "after": {"kept": [1.0, 1.0]}},
        "1": {"before": {"kept": [0.5, 0.5]}, "after": {"kept": [0.0, 1.0]}},
    }
    assert ghost.means(found) == {"before": [0.75, 0.25], "after": [0.5, 1.0]}


def test_a_dialog_has_a_tale_and_seven_different_questions_and_fits(ghost, tokenizer):
    for asked in islice(ghost.about_tales(tokenizer, "test", 0), 5):
        texts = [text for text, _ in asked]
        assert len(set(texts)) == len(texts) == ghost.TURNS
        assert len(texts[0].splitlines()) == 2
        assert all("\n" not in text for text in texts[1:])
        dialog = says(*(ghost.keeping(CAT, answer) for _, answer in asked))
        for message, text in zip(dialog[::2], texts, strict=True):
            message["content"] = text
        prompt = encode_dialog(on_every_turn(CAT, dialog)[:-1], tokenizer)
        assert len(prompt) <= ghost.CONTEXT - ANSWER_TOKENS


def test_only_answers_that_keep_the_instruction_are_learned_from(ghost, tokenizer):
    dialogs = [says("Tom. Quack!", "Mia.", "Ben. Quack!"), says("Tom.", "Tom. Quack!")]
    examples = ghost.ghost_examples(dialogs, [DUCK, CAT], tokenizer, 0)
    learned = {tokenizer.decode([i for i in e.labels if i != IGNORE]).strip() for e in examples}
    assert len(examples) == 2
    assert learned == {"Tom. Quack!", "Ben. Quack!"}
    assert all(tokenizer.decode(e.ids).count(DUCK) == 1 for e in examples)


def test_the_recorded_means_are_those_of_its_seeds(ghost):
    results = recorded("ghost_attention")
    assert ghost.means(results["seeds"]) == results["means"]
    assert results["sounds"] == ghost.SOUNDS
    for one in results["seeds"].values():
        for when in ("before", "after"):
            assert len(one[when]["kept"]) == results["turns"] == ghost.TURNS
