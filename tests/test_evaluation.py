"""Perplexity and choosing: against sums by hand, transformers, and the loss of training."""

from __future__ import annotations

import math

import numpy as np
import oracles
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small_models import LLAMA, float64_weights, random_model, random_tokens

pytest.importorskip("sentencepiece")

from llama_tutorial import load, load_model, load_tokenizer, save_model
from llama_tutorial._util.labels import IGNORE
from llama_tutorial.evaluation import Loss, _windows, choose, example_loss, perplexity, text_loss
from llama_tutorial.finetuning import encode_example
from llama_tutorial.finetuning.packing import PackedExamples
from llama_tutorial.numpy_llama import NumpyLlama
from llama_tutorial.pretraining import TokenStream, tokenize
from llama_tutorial.shipped import SHIPPED
from llama_tutorial.tales import tales
from llama_tutorial.training.loop import evaluate

CONTEXT = LLAMA.max_seq_len


def log_probabilities(model, ids) -> np.ndarray:
    """By the oracle, in float64: (T, V)."""
    logits = oracles.decoder(float64_weights(model), list(ids), **model.config.to_dict())
    return np.asarray(logits) - np.log(np.exp(logits).sum(-1, keepdims=True))


def by_hand(model, ids) -> list[float]:
    """-ln p of each token but the first, from all tokens before it."""
    logs = log_probabilities(model, ids)
    return [-logs[i, token] for i, token in enumerate(ids[1:])]


@pytest.fixture(scope="module")
def engines(tmp_path_factory):
    """The same weights in both engines, and as they are in float64."""
    model = random_model(LLAMA)
    path = tmp_path_factory.mktemp("engines") / "model.bin"
    save_model(model, path, "llama2c")
    return {"torch": model, "numpy": NumpyLlama.load(path), "float64": random_model(LLAMA).double()}


each_engine = pytest.mark.parametrize("engine", ["torch", "numpy", "float64"])
TOLERANCE = {"torch": 1e-5, "numpy": 1e-5, "float64": 1e-12}


@each_engine
def test_perplexity_is_what_the_definition_says(engines, engine):
    ids = random_tokens(LLAMA, CONTEXT).tolist()
    losses = by_hand(engines["torch"], ids)
    found = text_loss(engines[engine], ids)
    assert found.n_tokens == CONTEXT - 1
    assert found.mean == pytest.approx(np.mean(losses), rel=TOLERANCE[engine])
    expected = math.exp(np.mean(losses))
    assert perplexity(engines[engine], ids) == pytest.approx(expected, rel=10 * TOLERANCE[engine])


@pytest.mark.parametrize("family", ["llama", "gpt2"])
def test_as_transformers_computes_it(family, tmp_path):
    huggingface_models = pytest.importorskip("huggingface_models")
    theirs = getattr(huggingface_models, f"make_{family}")()
    theirs.save_pretrained(tmp_path)
    model = load_model(tmp_path)
    ids = random_tokens(model.config, 1, model.config.max_seq_len)
    with torch.no_grad():
        expected = theirs(ids, labels=ids).loss.item()
    assert text_loss(model, ids[0]).mean == pytest.approx(expected, rel=1e-5)


@each_engine
@pytest.mark.parametrize(("n", "context", "stride"), [(60, 32, 32), (60, 10, 3), (75, 8, 1)])
def test_windows_by_hand(engines, engine, n, context, stride):
    """Each token from the first window that has it as a target, and from no token before that."""
    ids = random_tokens(LLAMA, n).tolist()
    losses: dict[int, float] = {}
    starts = [*range(0, n - 1 - context, stride), n - 1 - context]
    for start in starts:
        window = ids[start : start + context + 1]
        for i, loss in enumerate(by_hand(engines["torch"], window), start + 1):
            losses.setdefault(i, loss)
    assert sorted(losses) == list(range(1, n))
    found = text_loss(engines[engine], ids, context=context, stride=stride, batch_size=3)
    assert found.n_tokens == n - 1
    assert found.total == pytest.approx(sum(losses.values()), rel=TOLERANCE[engine])


@given(st.integers(2, 200), st.integers(1, 40), st.data())
def test_every_token_but_the_first_is_predicted_once(n, context, data):
    stride = data.draw(st.integers(1, context))
    tokens = np.arange(n)
    targets = []
    for row in _windows(tokens, context, stride, None):
        assert len(row.inputs) == min(context, n - 1)
        assert (np.diff(row.inputs) == 1).all()
        scored = row.targets[row.targets != IGNORE]
        assert (scored == row.inputs[row.targets != IGNORE] + 1).all()
        if targets:  # what it is predicted from
            assert scored[0] - row.inputs[0] >= min(context - stride + 1, scored[0])
        targets += scored.tolist()
    assert targets == list(range(1, n))


def test_a_smaller_stride_gives_more_to_predict_from(engines):
    """Of a trained model, the loss falls; with the whole text in one window there is no stride."""
    model, tokenizer = load("tales")
    [tale] = tales(1, "validation")
    ids = tokenizer.encode(tale.text, bos=True)
    losses = [text_loss(model, ids, context=8, stride=stride).mean for stride in (8, 4, 1)]
    assert losses[0] > losses[1] > losses[2] > text_loss(model, ids).mean
    whole = [text_loss(model, ids, stride=stride).total for stride in (1, 7, None)]
    assert whole == [whole[0]] * 3


# Documents


def stream(config, n, seed=0, bos=1, eos=2, tokens_of=3):
    """Documents of different lengths, BOS and EOS around each, ``n`` ids in all."""
    random, ids = np.random.default_rng(seed), []
    while len(ids) < n:
        body = random.integers(tokens_of, config.vocab_size, random.integers(1, 30)).tolist()
        ids += [bos, *body, eos]
    return [*ids[: n - 1], eos]


@each_engine
def test_documents_see_nothing_of_each_other(engines, engine):
    parts = [stream(LLAMA, n, seed=n) for n in (9, 4, 15)]
    together = text_loss(engines[engine], [*parts[0], *parts[1], *parts[2]], bos_id=1)
    alone = [text_loss(engines[engine], part, bos_id=1) for part in parts]
    assert together.n_tokens == sum(loss.n_tokens for loss in alone)
    expected = sum(loss.total for loss in alone)
    assert together.total == pytest.approx(expected, rel=TOLERANCE[engine])


class Ids:
    """A tokenizer of a text of numbers."""

    vocab_size, bos_id = LLAMA.vocab_size, 1

    def __init__(self, eos_id):
        self.eos_id = eos_id

    def encode(self, text, bos=False, eos=False):
        return [self.bos_id] * bos + [int(word) for word in text.split()] + [self.eos_id] * eos


@each_engine
@pytest.mark.parametrize("eos", [2, 1])  # 1: GPT-2's way
def test_it_is_the_validation_loss_of_pretraining(engines, engine, eos, tmp_path):
    random = np.random.default_rng(eos)
    lengths = [5, 20, 1, 33, 40, 9]
    texts = [" ".join(map(str, random.integers(3, 37, n))) for n in lengths]
    n_ids = sum(lengths) + 2 * len(lengths)
    texts[-1] += " 7" * (-(n_ids - 1) % 8)  # so that the last window is full
    path = tokenize(texts, Ids(eos), tmp_path / "x.tokens", "x")
    batches = TokenStream(path, 3, 8)
    assert (len(batches.tokens) - 1) % 8 == 0
    expected = evaluate(engines["float64"], batches.every_window())
    found = text_loss(engines[engine], batches.tokens, context=8, bos_id=1, batch_size=5)
    assert found.n_tokens == sum(int((b.targets >= 0).sum()) for b in batches.every_window())
    assert found.mean == pytest.approx(expected, rel=TOLERANCE[engine])


@each_engine
def test_it_is_the_validation_loss_of_finetuning(engine, tmp_path):
    """On answers alone: as packed as each by itself."""
    tokenizer = load_tokenizer(SHIPPED["tales"].tokenizer)
    model = random_model(LLAMA.replace(vocab_size=tokenizer.vocab_size, max_seq_len=64))
    dialogs = [
        [{"role": "user", "content": "Hi " * n}, {"role": "assistant", "content": f"Ho {n}."}]
        for n in range(1, 8)
    ]
    examples = [encode_example(dialog, tokenizer) for dialog in dialogs]
    rows = PackedExamples(examples, 2, 64)
    expected = evaluate(model.double(), rows.every_row())
    if engine == "numpy":
        save_model(model.float(), tmp_path / "model.bin", "llama2c")
    elif engine == "torch":
        model.float()
    measured = NumpyLlama.load(tmp_path / "model.bin") if engine == "numpy" else model
    found = example_loss(measured, examples, batch_size=3)
    assert found.n_tokens == rows.n_targets
    assert found.mean == pytest.approx(expected, rel=TOLERANCE[engine])


# What it leaves alone, takes and refuses


def test_modes_and_random_state_are_left_alone(engines):
    model = random_model(LLAMA)
    model.layers[0].train()
    modes = [module.training for module in model.modules()]
    torch.manual_seed(0)
    states = torch.get_rng_state(), np.random.get_state()[1].copy()
    perplexity(model, random_tokens(LLAMA, 9))
    assert [module.training for module in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), states[0])
    assert (np.random.get_state()[1] == states[1]).all()
    assert all(parameter.grad is None for parameter in model.parameters())


@each_engine
def test_ids_in_every_form_and_any_batch_size(engines, engine, unchecked):
    ids = random_tokens(LLAMA, 80)
    forms = [ids, ids.tolist(), ids.numpy(), ids.numpy().astype(np.uint16), ids.int()]
    losses = [text_loss(engines[engine], form, context=np.int64(16)).total for form in forms]
    assert losses == [losses[0]] * len(forms)
    for batch_size in (1, 2, 100):
        found = text_loss(engines[engine], ids, context=16, batch_size=batch_size).total
        assert found == pytest.approx(losses[0], rel=TOLERANCE[engine])


@each_engine
@pytest.mark.parametrize(
    ("ids", "options", "message"),
    [
        ([3], {}, r"shape \(1,\) and type int64: .* at least two, since nothing predicts"),
        ([[3, 4]], {}, r"shape \(1, 2\)"),
        ([1.5, 2.0], {}, "type float64"),
        ([3, 37], {}, "the ids go from 3 to 37: the model's are 0 to 36"),
        ([-1, 3], {}, "the ids go from -1 to 3"),
        ([3, 4], {"context": 0}, "context=0: must be a whole number, between 1 and .* 32"),
        ([3, 4], {"context": 33}, "context=33: must be"),
        ([3, 4], {"context": 4, "stride": 5}, "stride=5: .* between 1 and the context, 4"),
        ([3, 4], {"stride": 0}, "stride=0"),
        ([3, 4], {"batch_size": 0}, "batch_size=0: must be a whole number, at least 1"),
        ([3, 1], {"bos_id": 1}, None),
        ([1, 1], {"bos_id": 1}, "no token is to be predicted"),
    ],
)
def test_what_is_refused(engines, engine, ids, options, message):
    if message is None:
        assert perplexity(engines[engine], ids, **options) > 1
        return
    with pytest.raises(ValueError, match=message):
        perplexity(engines[engine], ids, **options)


def test_examples_that_are_refused(engines):
    for examples, message in [
        ([([3, 4], [3])], "example 0 has 2 ids and 1 labels"),
        ([([3, 4], [IGNORE] * 2)], "no token is to be predicted"),
        ([([3] * 34, [3] * 34)], "example 0 has 34 tokens, more than the context of 32"),
        ([([3, 99], [3, 99])], "the ids go from 3 to 99"),
    ]:
        with pytest.raises(ValueError, match=message):
            example_loss(engines["torch"], examples)


@pytest.mark.parametrize("engine", ["torch", "numpy"])
def test_damaged_weights_are_named(engine, tmp_path, recwarn):
    model = random_model(LLAMA)
    save_model(model, tmp_path / "model.bin", "llama2c")
    damaged = model if engine == "torch" else NumpyLlama.load(tmp_path / "model.bin")
    weight = damaged.norm.weight.data if engine == "torch" else damaged.norm
    if engine == "numpy":
        damaged.norm = damaged.numbers["norm.weight"] = weight * np.nan
    else:
        weight[0] = float("nan")
    with pytest.raises(ValueError, match=r"the weights are damaged, norm\.weight holds nan"):
        perplexity(damaged, [3, 4, 5])
    assert not recwarn.list


def test_an_impossible_token_has_an_infinite_perplexity(engines):
    assert Loss(math.inf, 3).perplexity == math.inf
    assert Loss(3000.0, 3).perplexity == math.inf
    assert Loss(math.log(8) * 4, 4).perplexity == pytest.approx(8)
    assert Loss(math.log(8) * 4, 4).bits_per_byte(6) == pytest.approx(2)


# Choosing


@pytest.fixture(scope="module")
def chooser(tmp_path_factory):
    tokenizer = load_tokenizer(SHIPPED["tales"].tokenizer)
    model = random_model(LLAMA.replace(vocab_size=tokenizer.vocab_size, max_seq_len=64))
    path = tmp_path_factory.mktemp("chooser") / "model.bin"
    save_model(model, path, "llama2c")
    return {"torch": model, "numpy": NumpyLlama.load(path)}, tokenizer


@pytest.mark.parametrize("engine", ["torch", "numpy"])
@pytest.mark.parametrize("normalization", ["none", "tokens", "bytes"])
def test_scores_by_hand(chooser, engine, normalization):
    models, tokenizer = chooser
    question, answers = "The color of the kite is", [" red", " blue and a little greenish", " ö"]
    prompt = tokenizer.encode(question, bos=True)
    expected = []
    for answer in answers:
        ids = tokenizer.encode(question + answer, bos=True)
        assert ids[: len(prompt)] == prompt
        losses = by_hand(models["torch"], ids)[len(prompt) - 1 :]
        divisor = {"none": 1, "tokens": len(losses), "bytes": len(answer.encode())}
        expected.append(-sum(losses) / divisor[normalization])
    for batch_size in (1, 8):
        settings = {"normalization": normalization, "batch_size": batch_size}
        index, scores = choose(models[engine], tokenizer, question, answers, **settings)
        assert scores == pytest.approx(expected, rel=1e-5)
        assert index == int(np.argmax(expected))


def test_spaces_and_pieces_at_the_border_are_the_answers(chooser):
    models, tokenizer = chooser
    model = models["torch"]
    _, plain = choose(model, tokenizer, "a red", [" kite"])
    assert choose(model, tokenizer, "a red ", ["kite"])[1] == plain
    # "k" alone is a piece, and no prefix of the ids of "kite": the whole word is the answer's.
    whole = tokenizer.encode("a kite", bos=True)
    [score] = choose(model, tokenizer, "a k", ["ite"])[1]
    shared = 0
    for a, b in zip(tokenizer.encode("a k", bos=True), whole, strict=False):
        if a != b:
            break
        shared += 1
    assert score == pytest.approx(-sum(by_hand(model, whole)[shared - 1 :]), rel=1e-5)


def test_an_empty_question_and_equal_answers(chooser):
    models, tokenizer = chooser
    index, scores = choose(models["torch"], tokenizer, "", ["Once", "Once"])
    assert index == 0
    ids = tokenizer.encode("Once", bos=True)
    assert scores == pytest.approx([-sum(by_hand(models["torch"], ids))] * 2, rel=1e-5)


def test_a_trained_model_chooses_well():
    model, tokenizer = load("tales")
    index, scores = choose(model, tokenizer, "Once upon a", [" kite", " time", " green"])
    assert index == 1
    assert scores[1] > math.log(0.9)


@pytest.mark.parametrize(
    ("answers", "settings", "message"),
    [
        ([], {}, r"answers=\[\]: must be a list"),
        ("yes", {}, "answers='yes': must be a list"),
        (["a", ""], {}, "answer 1 is empty"),
        (["a"], {"batch_size": 0}, "batch_size=0"),
        (["word " * 80], {}, "the question with answer 0 has .* more than the context of 64"),
    ],
)
def test_choices_that_are_refused(chooser, answers, settings, message):
    models, tokenizer = chooser
    with pytest.raises(ValueError, match=message):
        choose(models["torch"], tokenizer, "What?", answers, **settings)


def test_an_unknown_normalization(chooser, unchecked):
    models, tokenizer = chooser
    with pytest.raises(ValueError, match="normalization='words': must be one of 'none', 'tokens'"):
        choose(models["torch"], tokenizer, "What?", ["a"], normalization="words")
