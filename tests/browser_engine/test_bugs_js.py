"""Every switch of the museum against the same mistake in PyTorch: logits, texts, and distances."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from llama_tutorial import KVCache, Transformer, load_model, load_tokenizer
from llama_tutorial.bugs import BUGS, break_model, broken_prompt, right_model
from llama_tutorial.sampling import draw, next_probabilities
from llama_tutorial.shipped import SHIPPED

PATH = SHIPPED["tales"].llama2c
TEXTS = ["Once upon a time", "Lily had a red kite.", ""]
EACH_BUG = pytest.mark.parametrize("bug", BUGS)
ROUNDED = [name for name, bug in BUGS.items() if bug.base]


@pytest.fixture(scope="module")
def prompts() -> list[list[int]]:
    tokenizer = load_tokenizer(SHIPPED["tales"].tokenizer)
    return [tokenizer.encode(text, bos=True) for text in TEXTS if text] + [[1, 13]]


@pytest.fixture(scope="module")
def model() -> Iterator[Transformer]:
    model = load_model(PATH, dtype=torch.float64).eval()
    with torch.no_grad():
        yield model


def step_by_step(model: Transformer, ids: list[int]) -> torch.Tensor:
    """Logits of one token after the other, as the page computes them: (T, V)."""
    cache = KVCache(model.config, dtype=model.dtype)
    return torch.cat([model(torch.tensor([[token]]), cache)[0] for token in ids])


def continued(model: Transformer, ids: list[int], count: int, choose) -> list[int]:
    cache, found = KVCache(model.config, dtype=model.dtype), []
    for token in ids[:-1]:
        model(torch.tensor([[token]]), cache)
    last = ids[-1]
    for _ in range(count):
        last = choose(model(torch.tensor([[last]]), cache)[0, -1])
        found.append(last)
    return found


def test_both_know_the_same_bugs(engine) -> None:
    assert engine("bugs") == list(BUGS)


@EACH_BUG
def test_broken_logits_are_pytorchs(engine, model, prompts, bug: str) -> None:
    """Within what float32 rounds of a logit; and they are not the right ones."""
    moved = []
    for ids in prompts:
        more = [token % 1024 for token in range(300, 2300, 97)]
        with right_model(model, bug):
            right = step_by_step(model, ids + more)[-len(more) :]
        shown = np.array(engine("logits", model=PATH, beside=bug, prompt=ids, ids=more))
        np.testing.assert_allclose(shown[-len(more) :], right, atol=5e-6, rtol=0)
        with break_model(model, bug):
            wrong = step_by_step(model, broken_prompt(ids, bug) + more)
        shown = np.array(engine("logits", model=PATH, bug=bug, prompt=ids, ids=more))
        np.testing.assert_allclose(shown, wrong, atol=5e-6, rtol=0)
        moved.append((wrong[-len(more) :] - right).abs().max().item())
    if BUGS[bug].harmless:
        assert max(moved) < 1e-9
    else:
        assert min(moved) > 0.005, moved  # a thousand times what rounding does


@pytest.mark.parametrize("right", [False, True])
@pytest.mark.parametrize("bug", ROUNDED)
def test_rounded_matrices_are_pythons_bit_by_bit(engine, model, bug: str, right: bool) -> None:
    change = BUGS[bug].base if right else BUGS[bug].changes
    places = {id(layer): name for name, layer in model.named_modules()}
    matrices = {
        places[id(layer)]: [*forward.args, forward.keywords.get("weight")][0]
        for layer, _, forward in change(model)
    }
    last = model.config.n_layers - 1
    for layer in (0, last):
        shown = engine("matrices", model=PATH, bug=bug, right=right, layer=layer)
        for name, numbers in shown.items():
            part = "attention" if name in ("wq", "wk", "wv", "wo") else "feed_forward"
            place = name if name == "tok_embeddings" else f"layers.{layer}.{part}.{name}"
            np.testing.assert_array_equal(numbers, matrices[place].flatten().numpy(), err_msg=name)


@EACH_BUG
def test_greedy_text_parts_where_pytorchs_does(engine, model, prompts, bug: str) -> None:
    def best(logits: torch.Tensor) -> int:
        return int(logits.argmax())

    for ids in prompts[:2]:
        found = engine("exhibit", model=PATH, bug=bug, ids=ids)
        with right_model(model, bug):
            right = continued(model, ids, 40, best)
            logits = step_by_step(model, ids + right[:-1])[len(ids) - 1 :]
        with break_model(model, bug):
            fed = broken_prompt(ids, bug)
            wrong = continued(model, fed, 40, best)
            of_right = step_by_step(model, fed + right[:-1])[len(fed) - 1 :]
        assert (found["right"], found["broken"]) == (right, wrong)
        pairs = enumerate(zip(right, wrong, strict=True))
        parts = next((i for i, (a, b) in pairs if a != b), None)
        assert found["parts"] == parts
        losses = [F.cross_entropy(x, torch.tensor(right)).item() for x in (logits, of_right)]
        assert [found["rightLoss"], found["brokenLoss"]] == pytest.approx(losses, abs=5e-6)
        distance = (logits - of_right).abs().amax(1)
        at = int(distance.argmax()) if parts is None else parts
        assert found["largest"] == pytest.approx(distance[at].item(), abs=5e-6)
        p, q = logits[at].log_softmax(-1), of_right[at].log_softmax(-1)
        assert found["divergence"] == pytest.approx((p.exp() * (p - q)).sum().item(), abs=5e-6)


@pytest.mark.parametrize("bug", ["half_split", "gelu", "no_bos", "both_late"])
def test_both_texts_are_drawn_with_the_same_numbers(engine, model, prompts, bug: str) -> None:
    ids = prompts[0]
    options = {"temperature": 0.8, "topP": 0.9, "seed": 4, "count": 30}
    found = engine("exhibit", model=PATH, bug=bug, ids=ids, options=options)
    assert found["right"] == engine(
        "generate",
        model=PATH,
        ids=ids,
        options={"temperature": 0.8, "topP": 0.9, "seed": 4, "maxNewTokens": 30},
    )
    seen = engine("uniforms", ids=ids, seed=4, count=30)
    numbers = iter(seen)

    def drawn(logits: torch.Tensor) -> int:
        chances = next_probabilities(logits.float(), 0.8, None, 0.9)
        return int(draw(chances, torch.tensor(next(numbers), dtype=torch.float64)))

    with break_model(model, bug):
        assert found["broken"] == continued(model, broken_prompt(ids, bug), 30, drawn)
    assert (found["parts"] is None) == BUGS[bug].harmless


def test_a_text_that_ends_early_parts_there(engine, prompts) -> None:
    ids = prompts[0]
    whole = engine("exhibit", model=PATH, bug="half_split", ids=ids)
    stop = whole["broken"][-1]
    assert stop not in whole["right"][:6]
    ended = engine(
        "exhibit", model=PATH, bug="half_split", ids=ids, options={"stopIds": [stop], "count": 40}
    )
    at = whole["broken"].index(stop)
    assert ended["broken"] == whole["broken"][:at]


@pytest.mark.parametrize("count", [0, -1, 1.5])
def test_a_text_has_at_least_one_token(engine, prompts, count: float) -> None:
    with pytest.raises(ValueError, match=f"count={count}: must be"):
        engine("exhibit", model=PATH, bug="relu", ids=prompts[0], options={"count": count})


def test_a_bug_that_nobody_knows_is_refused(engine, prompts) -> None:
    with pytest.raises(ValueError, match="no bug none_such; there are half_split, "):
        engine("exhibit", model=PATH, bug="none_such", ids=prompts[0])
