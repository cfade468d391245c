"""Best of several: what is kept, what is no candidate, and that draws are repeatable."""

from __future__ import annotations

import pytest
import torch

pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")

from llama_tutorial import load
from llama_tutorial.finetuning.evaluation import Answer, answer_dialogs
from llama_tutorial.preferences import RewardModel
from llama_tutorial.preferences.rejection import best_of, encode_answered, is_usable, learned_reward

PROMPTS = [
    [{"role": "user", "content": f"Mia has a {color} kite.\nWhat color is the kite?"}]
    for color in ("red", "blue", "green")
]


@pytest.fixture(scope="module")
def chat():
    return load("tales-chat", dtype=torch.float32)


def shortest(answered):
    return [-float(len(answer.text)) for _, answer in answered]


def test_the_best_is_the_best_of_what_is_drawn(chat):
    bests = best_of(*chat, PROMPTS, shortest, k=4, max_new_tokens=12, temperature=1.5, seed=3)
    assert len(bests) == 3
    asked = [prompt for prompt in PROMPTS for _ in range(4)]
    seed = 3 * 1_000_003
    drawn = answer_dialogs(*chat, asked, 12, temperature=1.5, top_p=1.0, seed=seed)
    for i, best in enumerate(bests):
        usable = [a for a in drawn[4 * i : 4 * i + 4] if is_usable(a)]
        assert best.reward == max(shortest([(None, a) for a in usable]))
        assert best.answer in [a.text for a in usable]
        assert best.mean == pytest.approx(sum(shortest([(0, a) for a in usable])) / len(usable))
        assert best.dialog() == [*PROMPTS[i], {"role": "assistant", "content": best.answer}]
    assert bests == best_of(
        *chat, PROMPTS, shortest, k=4, max_new_tokens=12, temperature=1.5, seed=3
    )


def test_more_samples_never_have_a_worse_best(chat):
    """With the same seed the first draws are the same, so the best can only rise."""
    one, many = (
        best_of(*chat, PROMPTS, shortest, k=k, max_new_tokens=12, temperature=1.5) for k in (1, 6)
    )
    found = {best.prompt[0]["content"]: best.reward for best in many}
    assert all(best.reward <= found[best.prompt[0]["content"]] for best in one)


@pytest.mark.parametrize(
    ("answer", "usable"),
    [
        (Answer("Red.", True), True),
        (Answer("Red.", False), False),
        (Answer("", True), False),
        (Answer("Red. [INST] More", True), False),
    ],
)
def test_what_is_no_candidate(answer, usable):
    assert is_usable(answer) is usable


def test_nothing_to_learn_from_and_no_samples(chat):
    with pytest.raises(ValueError, match="of 2 answers to each of 3 prompts, none has ended"):
        best_of(*chat, PROMPTS, shortest, k=2, max_new_tokens=1)
    with pytest.raises(ValueError, match="k=0: must be at least 1"):
        best_of(*chat, PROMPTS, shortest, k=0, max_new_tokens=4)


def test_a_learned_reward_reads_dialogs_of_unequal_length(chat):
    model, tokenizer = chat
    reward = RewardModel.of(model).eval()
    reward.output.weight.data = torch.randn(1, 128, generator=torch.Generator().manual_seed(0))
    texts = ("Red.", "It is blue.", "No.")
    answered = [(p, Answer(t, True)) for p, t in zip(PROMPTS, texts, strict=True)]
    found = learned_reward(reward, tokenizer, batch_size=2)(answered)
    for (prompt, answer), value in zip(answered, found, strict=True):
        dialog = [*prompt, {"role": "assistant", "content": answer.text}]
        ids = encode_answered(dialog, tokenizer).ids
        assert ids[-1] == tokenizer.eos_id
        alone = reward.rewards(torch.tensor([ids]), torch.tensor([len(ids) - 1]))
        assert value == pytest.approx(float(alone.detach()), abs=1e-4)
