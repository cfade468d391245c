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
from llama_tutorial.preferences.ghost import on_every_turn, on_first_turn, sample_dialog
from llama_tutorial.tales import tales
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
    assert ghost.right_and_kept([dialog], [("", asked)]) == 0.25


def test_a_result_that_is_noted_is_not_measured_again(ghost, tmp_path):
    results = iter([{"kept": [1.0]}, {"kept": [0.0]}])
    for _ in range(2):
        assert ghost.once(tmp_path / "seed0.json", lambda: next(results)) == {"kept": [1.0]}
    assert next(results) == {"kept": [0.0]}


def test_means_are_over_the_seeds(ghost):
    found = {
        "0": {"before": {"kept": [1.0, 0.0]}, "after": {"kept": [1.0, 1.0]}},
        "1": {"before": {"kept": [0.5, 0.5]}, "after": {"kept": [0.0, 1.0]}},
    }
    assert ghost.means(found) == {"before": [0.75, 0.25], "after": [0.5, 1.0]}


def test_a_dialog_goes_over_several_tales_and_fits(ghost, tokenizer):
    for asked in islice(ghost.about_tales(tokenizer, "test", 0), 5):
        texts = [text for text, _ in asked]
        assert len(texts) == ghost.TURNS == 20
        told = [i for i, text in enumerate(texts) if "\n" in text]
        assert told[0] == 0
        assert 2 <= len(told) <= 6
        for first, end in zip(told, [*told[1:], ghost.TURNS], strict=True):
            about = [text.splitlines()[-1] for text in texts[first:end]]
            assert len(set(about)) == len(about)
        dialog = says(*(ghost.keeping(CAT, answer) for _, answer in asked))
        for message, text in zip(dialog[::2], texts, strict=True):
            message["content"] = text
        prompt = encode_dialog(on_every_turn(CAT, dialog)[:-1], tokenizer)
        assert len(prompt) <= ghost.CONTEXT - ANSWER_TOKENS


def test_the_tales_of_a_dialog_share_nobody(ghost, tokenizer):
    by_text = {tale.text: tale for tale in tales(100, "test", 0)}
    for asked in islice(ghost.about_tales(tokenizer, "test", 0), 5):
        told = [by_text[text.splitlines()[0]] for text, _ in asked if "\n" in text]
        names = [name for tale in told for name in tale.facts.beings]
        assert len(set(names)) == len(names)


def test_a_longer_context_leaves_the_model_as_it_is(ghost, tokenizer):
    model, _ = ghost.with_context(600)
    ids = torch.tensor([tokenizer.encode("Once upon a time, there was a cat.", bos=True)])
    with torch.no_grad():
        assert torch.equal(model(ids), load("tales-chat", dtype=torch.float32)[0](ids))
        long = model(ids.repeat(1, 600)[:, :600])
    assert long.shape == (1, 600, model.config.vocab_size)
    assert long.isfinite().all()


def test_late_lessons_are_ordinary_up_to_the_last_turn_which_says_the_instruction(ghost, tokenizer):
    lessons = ghost.late(tokenizer, 4, 0)
    for number, example in enumerate(lessons):
        text = tokenizer.decode(example.ids)
        instruction = list(ghost.SOUNDS)[number % 2]
        sound = ghost.SOUNDS[instruction]
        assert text.count(instruction) == text.count(sound) == 1
        assert 4 <= text.count("[/INST]") <= ghost.TURNS
        assert text.rindex("[INST]") < text.index(instruction) < text.index(sound)
        assert tokenizer.decode([i for i in example.labels if i != IGNORE]).strip().endswith(sound)


def test_sampling_is_the_packages_own_with_a_cache(ghost, tokenizer):
    model, _ = ghost.with_context(512)
    (asked,) = islice(ghost.about_tales(tokenizer, "test", 0), 1)
    asked = asked[:3]
    questions = [text for text, _ in asked]
    for place, everywhere in ((on_every_turn, True), (on_first_turn, False)):
        (dialog,) = ghost.sample(model, tokenizer, [(DUCK, asked)], place)
        assert dialog == sample_dialog(model, tokenizer, questions, DUCK, everywhere=everywhere)
    (silent,) = ghost.sample(model, tokenizer, [("", asked)], ghost.nowhere)
    assert [message["content"] for message in silent[::2]] == questions
    assert not any(sound in str(silent) for sound in ghost.SOUNDS.values())


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
