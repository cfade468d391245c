"""How the recorded judges are read, word by word, and how the rounds of samples are named."""

from __future__ import annotations

import importlib
from itertools import pairwise
from pathlib import Path

import pytest
import torch

pytest.importorskip("sentencepiece")

from llama_tutorial.finetuning.evaluation import Answer
from llama_tutorial.preferences.rejection import learned_reward
from llama_tutorial.preferences.reward_model import RewardModel

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
REQUEST = "I would like to hear about Lily and the lake."
TALE = (
    'Lily went to the lake. "Look!" she said. It was a fine day. '
    "Lily took the kite home."  # which kite?
)


@pytest.fixture
def told(monkeypatch):
    if not BENCHMARKS.exists():
        pytest.skip("the benchmarks are not installed")
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return importlib.import_module("told_preferences")


@pytest.fixture
def judge(told):
    """A reward model with a head that says something, and its tokenizer."""
    model, tokenizer = told.small()
    reward = RewardModel.of(model)
    torch.manual_seed(0)
    torch.nn.init.normal_(reward.output.weight, std=0.01)
    return reward, tokenizer


def test_a_tale_is_read_as_if_it_ended_after_each_word(told, judge):
    read = told.read_by_word(*judge, REQUEST, told.Drawn(TALE, True, 60))
    assert "".join(read.words) == TALE
    beginnings = ["".join(read.words[:n]) for n in range(1, len(read.words) + 1)]
    prompt = told.prompt_of(REQUEST)
    plain = learned_reward(*judge)([(prompt, Answer(text, True)) for text in beginnings])
    assert read.scores[1:] == pytest.approx(plain, abs=1e-5)
    assert read.true == told.judge(REQUEST, told.Drawn(TALE, True, 60)).reward


def test_the_world_says_in_which_sentences_a_claim_fails(told, judge):
    read = told.read_by_word(*judge, REQUEST, told.Drawn(TALE, True, 60))
    ends = [0, *(end for end, _ in read.sentences)]
    texts = ["".join(read.words[first:end]).strip() for first, end in pairwise(ends)]
    assert list(zip(texts, [kind for _, kind in read.sentences], strict=True)) == [
        ("Lily went to the lake.", "holds"),
        ('"Look!"', "none"),
        ("she said.", "none"),
        ("It was a fine day.", "none"),
        ("Lily took the kite home.", "fails"),
    ]


def test_only_later_rounds_can_forget_earlier_ones(told):
    assert [told.version_name(v) for v in (1, 2)] == ["rejection-v1", "rejection-v2"]
    names = [told.version_name(v, earlier=False) for v in (1, 2)]
    assert names == ["rejection-v1", "rejection-only-v2"]


def test_a_mean_change_is_over_all_and_its_interval_over_requests(told):
    found = told.mean_change([[1.0, 2.0], [2.0], [3.0]])
    assert found["mean"] == 2
    assert found["n"] == 4
    low, high = found["interval"]
    assert 1.4 <= low < 2 < high <= 3
