"""The NumPy engine: the logits of float64 and of PyTorch, the ids too, and float32 all the way."""

from __future__ import annotations

import json
import mmap
import re

import numpy as np
import oracles
import pytest
import small_models
import torch

from llama_tutorial import generate, load_model, save_model, stream
from llama_tutorial.checkpoints import llama2c
from llama_tutorial.numpy_llama import Cache, NumpyLlama, layers
from llama_tutorial.numpy_llama import engine as engine_module
from llama_tutorial.quantization import quantize
from llama_tutorial.shipped import SHIPPED

LLAMAS = {name: config for name, config in small_models.NAMED.items() if name.startswith("llama")}
CONFIG = small_models.LLAMA.replace(n_kv_heads=2, max_seq_len=64)
each_llama = pytest.mark.parametrize("name", LLAMAS)


def both(config, seed=0):
    """The same weights in PyTorch and in NumPy."""
    model = small_models.random_model(config, seed)
    tensors = {name: p.detach().numpy() for name, p in model.named_parameters()}
    return model, NumpyLlama(config, tensors)


def tokens_of(config, n, seed=0):
    return small_models.random_tokens(config, n, seed=seed).tolist()


@pytest.fixture(scope="module")
def engines():
    return both(CONFIG)


# The logits


@each_llama
def test_logits_are_those_of_the_float64_formulas(name):
    model, engine = both(LLAMAS[name])
    ids = tokens_of(model.config, 17)
    expected = oracles.decoder(small_models.float64_weights(model), ids, **model.config.to_dict())
    np.testing.assert_allclose(engine.forward(ids), expected, rtol=0, atol=1e-4)


@each_llama
@torch.no_grad()
def test_logits_are_those_of_the_pytorch_model(name):
    for seed in range(5):
        model, engine = both(LLAMAS[name], seed)
        ids = tokens_of(model.config, model.config.max_seq_len, seed)
        expected = model(torch.tensor([ids]))[0].numpy()
        np.testing.assert_allclose(engine.forward(ids), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("case", [0, 1, 2])
@torch.no_grad()
def test_logits_of_a_trained_model(assets, case):
    golden = json.loads((assets / "stories260k_greedy.json").read_text())["cases"][case]
    ids = golden["prompt_ids"][:1] + golden["next_ids"]
    expected = load_model(assets / "stories260K.bin")(torch.tensor([ids]))[0].numpy()
    logits = NumpyLlama.load(assets / "stories260K.bin").forward(ids)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
    assert (
        logits[len(golden["prompt_ids"]) - 1 : -1].argmax(-1).tolist()
        == (golden["next_ids"][len(golden["prompt_ids"]) - 1 :])
    )


def test_a_later_token_changes_nothing_before_it(engines):
    engine = engines[1]
    ids = tokens_of(CONFIG, 20)
    logits = engine.forward(ids)
    for place in (0, 7, 19):
        other = [*ids]
        other[place] = (ids[place] + 1) % CONFIG.vocab_size
        changed = engine.forward(other)
        np.testing.assert_allclose(changed[:place], logits[:place], rtol=0, atol=1e-5)
        assert np.abs(changed[place] - logits[place]).max() > 1e-2


def test_arrays_of_ids_are_ids(engines, unchecked):
    ids = tokens_of(CONFIG, 9)
    assert np.array_equal(engines[1].forward(np.array(ids, np.uint16)), engines[1].forward(ids))


# The cache


@each_llama
def test_cached_equals_full_at_every_position(name):
    _, engine = both(LLAMAS[name])
    n = engine.config.max_seq_len
    ids = tokens_of(engine.config, n)
    full = engine.forward(ids)
    for sizes in ([1] * n, [5, *[1] * (n - 5)], [1, 4, 6, n - 11], [n]):
        cache, start = Cache(engine.config, n), 0
        for size in sizes:
            logits = engine.forward(ids[start : start + size], cache)
            np.testing.assert_allclose(logits, full[start : start + size], rtol=0, atol=1e-4)
            start += size
            assert cache.length == start


def test_the_cache_is_as_long_as_it_must_be_and_is_written_in_place(engines, monkeypatch):
    made = []

    class Spy(Cache):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr("llama_tutorial.numpy_llama.engine.Cache", Spy)
    assert len(list(engines[1].stream([1, 2, 3], 9, temperature=0))) == 9
    (cache,) = made
    assert cache.k.shape == cache.v.shape == (2, 2, 3 + 9, 6)
    assert cache.length == 3 + 9 - 1  # the last token is not fed
    for array in (cache.k, cache.v):
        assert array.dtype == np.float32
        assert (np.abs(array[:, :, :-1]).max(-1) > 0).all()
        assert (array[:, :, -1] == 0).all()


def test_one_prefill_then_one_token_at_a_time_and_the_head_on_one_position(engines, monkeypatch):
    engine, passes, heads = engines[1], [], []
    hidden_states, logits = engine.hidden_states, engine.logits
    monkeypatch.setattr(
        engine,
        "hidden_states",
        lambda ids, cache: passes.append(len(ids)) or hidden_states(ids, cache),
    )
    monkeypatch.setattr(engine, "logits", lambda x: heads.append(x.shape) or logits(x))
    ids = engine.stream(list(range(7)), 40, temperature=0)
    assert passes == []
    next(ids)
    assert passes == [7]
    next(ids)
    assert passes == [7, 1]
    ids.close()
    assert passes == [7, 1]
    list(engine.stream(list(range(7)), 4, temperature=0))
    assert passes == [7, 1, 7, 1, 1, 1]
    assert set(heads) == {(24,)}


# float32 throughout


def test_every_array_is_float32(engines, monkeypatch):
    engine, seen = engines[1], []

    def watched(function):
        def watch(*arguments):
            result = function(*arguments)
            seen.extend(x.dtype for x in (*arguments, result) if isinstance(x, np.ndarray))
            return result

        return watch

    for name in ("softmax", "rms_norm", "silu", "rotate"):
        monkeypatch.setattr(
            f"llama_tutorial.numpy_llama.layers.{name}",
            watched(getattr(layers, name)),
        )
    for name in ("attention", "feed_forward", "rms_norm"):
        monkeypatch.setattr(
            f"llama_tutorial.numpy_llama.engine.{name}",
            watched(getattr(engine_module, name)),
        )
    cache = Cache(CONFIG, 20)
    for ids in ([1, 2, 3, 4], [5], [6]):
        assert engine.forward(ids, cache).dtype == np.float32
    assert {*seen} == {np.dtype(np.float32), np.dtype(np.complex64)}
    assert engine.rotations.dtype == np.complex64
    assert all(weight.dtype == np.float32 for layer in engine.layers for weight in layer)


def test_a_configuration_with_whole_numbers_stays_float32():
    config = CONFIG.replace(rope_theta=10000, norm_eps=1)
    model, engine = both(config)
    logits = engine.forward([1, 2, 3])
    assert logits.dtype == np.float32
    with torch.no_grad():
        expected = model(torch.tensor([[1, 2, 3]]))[0].numpy()
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)


def test_large_activations_give_no_warning_and_no_nan(recwarn):
    model = small_models.random_model(CONFIG)
    tensors = {name: p.detach().numpy() * 30 for name, p in model.named_parameters()}
    assert np.isfinite(NumpyLlama(CONFIG, tensors).forward(tokens_of(CONFIG, 12))).all()
    assert not recwarn.list


# Files


def root(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return array


@pytest.mark.parametrize("version", [0, 1])
@pytest.mark.parametrize("name", ["llama-gqa", "llama-tied"])
def test_a_float32_file_is_mapped_and_not_copied(tmp_path, name, version):
    model = small_models.random_model(LLAMAS[name].replace(norm_eps=1e-5, rope_theta=10000.0))
    path = tmp_path / "model.bin"
    llama2c.save(model, path, version)
    engine = NumpyLlama.load(path)
    weights = [
        engine.tok_embeddings,
        engine.norm,
        engine.output,
        *(weight for layer in engine.layers for weight in layer),
    ]
    assert all(isinstance(root(weight), mmap.mmap) for weight in weights)
    ids = tokens_of(engine.config, 12)
    expected = both(model.config)[1].forward(ids)
    np.testing.assert_allclose(engine.forward(ids), expected, rtol=0, atol=1e-5)


def test_an_int8_file_gives_the_logits_of_its_dequantised_weights(tmp_path):
    config = CONFIG.replace(dim=32, hidden_dim=48)
    model, path = small_models.random_model(config), tmp_path / "model.bin"
    llama2c.save(model, path, 2, 16)
    engine, ids = NumpyLlama.load(path), tokens_of(config, 12)
    assert engine.layers[0].wq.dtype == np.float32
    weights = small_models.float64_weights(model)
    for weight_name, weight in weights.items():
        if weight.ndim == 2:
            weights[weight_name] = quantize(weight.astype(np.float32), 16).dequantize()
    expected = oracles.decoder(weights, ids, **config.to_dict())
    np.testing.assert_allclose(engine.forward(ids), expected, rtol=0, atol=1e-4)
    assert np.abs(both(config)[1].forward(ids) - expected).max() > 1e-3  # the rounding shows


@pytest.mark.parametrize("name", SHIPPED)
@torch.no_grad()
def test_a_shipped_model_by_its_name(name):
    engine, model = NumpyLlama.load(name), load_model(SHIPPED[name].llama2c)
    assert engine.config == model.config
    ids = tokens_of(model.config, 40)
    expected = model(torch.tensor([ids]))[0].numpy()
    np.testing.assert_allclose(engine.forward(ids), expected, rtol=0, atol=1e-4)


# Generation


@pytest.mark.parametrize("case", [0, 1, 2])
def test_the_published_greedy_ids(assets, case):
    golden = json.loads((assets / "stories260k_greedy.json").read_text())["cases"][case]
    prompt, engine = golden["prompt_ids"], NumpyLlama.load(assets / "stories260K.bin")
    expected = golden["next_ids"][len(prompt) - 1 :]
    assert list(engine.stream(prompt, len(expected), temperature=0)) == expected
    text = [token for token in expected if token != 1]  # a story ends where the next would begin
    assert list(engine.stream(prompt, len(expected), temperature=0, stop_ids={1})) == text


@each_llama
@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0},
        {},
        {"temperature": 1.0, "top_p": 1},
        {"temperature": 1.3, "top_k": 7, "top_p": 0.8},
        {"temperature": 2, "top_k": 3, "top_p": 1.0},
        {"temperature": 0, "repetition_penalty": 1.4},
        {"temperature": 2, "top_p": 1, "min_p": 0.1},
        {"temperature": 1.5, "min_p": 0.02, "repetition_penalty": 1.4},
        {"temperature": 1.5, "top_k": 20, "repetition_penalty": 0.8},
    ],
)
def test_both_engines_give_the_same_ids_for_the_same_seed(name, settings):
    model, engine = both(LLAMAS[name])
    for seed in range(4):
        prompt = tokens_of(model.config, 3 + seed, seed)
        ids = list(engine.stream(prompt, 10, seed=seed, **settings))
        assert generate(model, [prompt], 10, seed=seed, **settings) == [ids]
        assert all(type(token) is int for token in ids)


@pytest.mark.parametrize("penalty", [0.8, 1.2, 2.0])
def test_greedy_ids_with_a_penalty_are_those_of_transformers(engines, tmp_path, penalty):
    transformers = pytest.importorskip("transformers", minversion="5")
    pytest.importorskip("safetensors")
    model, engine = engines
    save_model(model, tmp_path / "model", "huggingface")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    prompts = [tokens_of(CONFIG, n, n) for n in (1, 3, 8)]
    settings = {"temperature": 0, "repetition_penalty": penalty}
    expected = [
        theirs.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.int64),
            max_new_tokens=30,
            do_sample=False,
            eos_token_id=None,
            repetition_penalty=penalty,
        )[0, len(prompt) :].tolist()
        for prompt in prompts
    ]
    assert generate(model, prompts, 30, **settings) == expected
    assert engine.generate(prompts, 30, **settings) == expected
    assert generate(model, prompts, 30, temperature=0) != expected


def test_without_a_seed_every_draw_is_new(engines):
    draws = {tuple(engines[1].stream([1, 2], 12, temperature=1.0, top_p=1)) for _ in range(3)}
    assert len(draws) == 3


def test_a_stop_id_ends_it_and_is_not_yielded(engines):
    whole = list(engines[1].stream([1, 2, 3], 20, temperature=0))
    stop = whole[6]
    stopped = list(engines[1].stream([1, 2, 3], 20, temperature=0, stop_ids=(stop, 36)))
    assert stopped == whole[: whole.index(stop)]
    assert list(engines[1].stream([1, 2, 3], 20, temperature=0, stop_ids={whole[0]})) == []


def test_it_may_fill_the_whole_context(engines):
    model, engine = engines
    ids = list(engine.stream([1, 2, 3], 61, temperature=0))
    assert len(ids) == 61
    assert ids == list(stream(model, [1, 2, 3], 61, temperature=0))
    assert list(engine.stream([1], 0)) == []


@pytest.mark.parametrize(
    "settings", [{"temperature": 0}, {"seed": 2}, {"temperature": 0, "repetition_penalty": 2}]
)
def test_it_goes_on_where_a_kept_cache_ends(engines, settings):
    _, engine = engines
    cache = Cache(CONFIG, CONFIG.max_seq_len)
    prompt = [1, 2, 3, 4, 5]
    ids = list(engine.stream(prompt, 6, cache=cache, **settings))
    assert ids == list(engine.stream(prompt, 6, **settings))
    assert cache.length == 10  # the last one yielded was not fed
    for longer, start in (([*prompt, *ids, 7, 8], 10), ([*prompt[:3], 9, 9], 3)):
        again = list(engine.stream(longer, 6, cache=cache, start=start, **settings))
        assert again == list(engine.stream(longer, 6, **settings))
        assert cache.length == len(longer) + 5
    with pytest.raises(ValueError, match="start=3: must be between 0 and 2, for the cache holds"):
        engine.stream([1, 2, 3], 6, cache=cache, start=3)


@each_llama
@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0},
        {"seed": 3, "temperature": 1.0},
        {"seed": 3, "temperature": 1.5, "repetition_penalty": 1.3, "min_p": 0.05},
    ],
)
def test_a_batch_of_prompts_is_what_pytorch_makes_of_it(name, settings):
    model, engine = both(LLAMAS[name])
    prompts = [tokens_of(model.config, n, n) for n in (3, 5, 1)] * 2  # a copy has its own draws
    ids, logs = generate(model, prompts, 9, logprobs=True, stop_ids={3}, **settings)
    ours, our_logs = engine.generate(prompts, 9, logprobs=True, stop_ids={3}, **settings)
    assert ours == ids == engine.generate(prompts, 9, stop_ids={3}, progress=True, **settings)
    for row, expected in zip(our_logs, logs, strict=True):
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-4)
    assert engine.generate([], 5) == []
    assert engine.generate([[1], [2]], 0) == [[], []]


# Logits that are not finite


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"temperature": 0.8, "seed": 0}])
@pytest.mark.parametrize("name", ["norm.weight", "layers.0.attention.wk.weight"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_damaged_weights_are_named_without_a_warning(value, name, settings, recwarn):
    model = small_models.random_model(CONFIG)
    tensors = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
    tensors[name].reshape(-1)[3] = value
    engine = NumpyLlama(CONFIG, tensors)
    damage = f"are not finite: .*; the weights are damaged, {re.escape(name)} holds nan or inf"
    with pytest.raises(ValueError, match=f"the logits of row 0 {damage}"):
        engine.generate([[1, 5], [2]], 5, **settings)
    with pytest.raises(ValueError, match=damage):
        list(engine.stream([1, 5], 5, **settings))
    assert not recwarn.list


def test_the_row_is_named_and_an_overflow_told_from_damage(recwarn):
    model = small_models.random_model(CONFIG)
    tensors = {name: p.detach().numpy().copy() for name, p in model.named_parameters()}
    tensors["tok_embeddings.weight"][0] = np.nan
    with pytest.raises(ValueError, match=r"row 1 are not finite: .* tok_embeddings\.weight holds"):
        NumpyLlama(CONFIG, tensors).generate([[1], [0]], 1)
    tensors["tok_embeddings.weight"][0] = 1
    tensors["output.weight"] = tensors["output.weight"] * np.float32(1e38)
    message = "though the weights are finite: numbers on the way overflowed float32"
    with pytest.raises(ValueError, match=message):
        NumpyLlama(CONFIG, tensors).generate([[1], [0]], 1)
    assert not recwarn.list


def test_prompts_and_numbers_of_libraries(engines, unchecked):
    prompts = [[1, 2, 3], [1, 2, 4]]
    expected = engines[1].generate(prompts, 9, temperature=0.5, top_k=5, seed=3, stop_ids={7})
    for make in (np.array, torch.tensor):
        half, five, three, nine = make(0.5)[()], make(5)[()], make(3)[()], make(9)[()]
        options = {"temperature": half, "top_k": five, "seed": three, "stop_ids": make([7])}
        assert engines[1].generate(make(prompts), nine, **options) == expected
        assert list(engines[1].stream(make(prompts[0]), nine, **options)) == expected[0]
    assert engines[1].forward(torch.tensor(prompts[0])).shape == (3, 37)


# Refusals


@pytest.mark.parametrize(
    ("prompt", "n", "settings", "message"),
    [
        ([], 5, {}, "prompt 0 is empty: give at least one id, such as BOS"),
        (
            [0] * 60,
            5,
            {},
            "prompt 0 has 60 tokens; with max_new_tokens=5 that is more than the context of 64; "
            "shorten one of the two",
        ),
        ([1, 37], 5, {}, "prompt 0 holds the id 37: the model's ids are 0 to 36"),
        ([1], -1, {}, "max_new_tokens=-1: must be 0 or above"),
        ([1], 5, {"temperature": -1}, "temperature=-1: must be 0 (the likeliest token) or above"),
        ([1], 5, {"top_k": 0}, "top_k=0: must be a whole number of at least 1"),
        ([1], 5, {"top_p": 1.5}, "top_p=1.5: must be above 0 and at most 1"),
        ([1], 5, {"min_p": 1.5}, "min_p=1.5: must be at least 0, which keeps all, and at most 1"),
        ([1], 5, {"repetition_penalty": 0}, "repetition_penalty=0: must be above 0 and finite"),
        ([1], 2.5, {}, "max_new_tokens=2.5: must be 0 or above, a whole number"),
        ([1], 5, {"stop_ids": 2}, "stop_ids=2: must be a set of ids; put a single one in a set"),
        ([1], 5, {"seed": 1.5}, "seed=1.5: must be a whole number, or None"),
        ("text", 5, {}, "prompt 0 is text: encode it first, tokenizer.encode(text, bos=True)"),
        ([1.0], 5, {}, "prompt 0 holds 1.0: ids are whole numbers"),
    ],
)
def test_what_does_not_fit_is_refused_at_the_call(engines, prompt, n, settings, message, unchecked):
    for call, given in ((engines[1].stream, prompt), (engines[1].generate, [prompt])):
        with pytest.raises(ValueError, match=re.escape(message)):
            call(given, n, **settings)


def test_one_prompt_is_no_list_of_prompts(engines, unchecked):
    with pytest.raises(ValueError, match="prompts must be a list of lists of ids; put the one"):
        engines[1].generate([1, 2, 3], 5)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "ids=[]: must be one row of token ids, and at least one"),
        ([[1, 2]], "ids=[[1, 2]]: must be one row of token ids"),
        ([1.0], "ids=[1.0]: must be one row of token ids"),
        ([0] * 65, "65 tokens at position 0 need 65 positions; the cache has 65, the model's "),
        ([3, 37], "ids hold 3 to 37: the model's ids are 0 to 36; was it made by another tok"),
        ([-1, 2], "ids hold -1 to 2: the model's ids are 0 to 36"),
        ([True], "ids=[True]: must be one row of token ids"),
        (5, "ids=5: must be one row of token ids"),
        (None, "ids=None: must be one row of token ids"),
        ("text", "ids='text': must be one row of token ids"),
    ],
)
def test_ids_that_the_model_cannot_take(engines, ids, message, unchecked):
    with pytest.raises(ValueError, match=re.escape(message)):
        engines[1].forward(ids)


def test_caches_of_other_sizes(engines, unchecked):
    for size in (0, -1, 65, 2.5, True, None):
        with pytest.raises(ValueError, match=f"max_seq_len={size}: must be between 1 and the mode"):
            Cache(CONFIG, size)
    for changes in ({"n_layers": 1}, {"n_kv_heads": 1}, {"dim": 48}):
        with pytest.raises(ValueError, match="the cache is for another model: its keys are"):
            engines[1].forward([1, 2], Cache(CONFIG.replace(**changes), 9))
    with pytest.raises(ValueError, match=r"6 slots: 3 ids and max_new_tokens=5 need 7; make a lon"):
        engines[1].stream([1, 2, 3], 5, cache=Cache(CONFIG, 6))


def test_a_full_cache(engines):
    cache = Cache(CONFIG, 5)
    engines[1].forward([1, 2, 3], cache)
    message = (
        "3 tokens at position 3 need 6 positions; the cache has 5, the model's context 64: "
        "shorten the input"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        engines[1].forward([4, 5, 6], cache)
    assert cache.length == 3


@pytest.mark.parametrize(
    ("changes", "wrong"),
    [
        ({"norm": "layernorm"}, "norm='layernorm' (must be 'rmsnorm')"),
        ({"feed_forward": "gelu"}, "feed_forward='gelu' (must be 'swiglu')"),
        ({"positions": "learned"}, "positions='learned' (must be 'rope')"),
        ({"bias": True}, "bias=True (must be False)"),
    ],
)
def test_another_decoder_is_refused(changes, wrong):
    with pytest.raises(ValueError, match=re.escape(f"Llamas only, not {wrong}; use Transformer")):
        NumpyLlama(CONFIG.replace(**changes), {})


def test_missing_and_unexpected_tensors_are_named():
    model = small_models.random_model(CONFIG)
    tensors = {name: p.detach().numpy() for name, p in model.named_parameters()}
    less = {name: array for name, array in tensors.items() if "ffn_norm" not in name}
    with pytest.raises(ValueError, match=r"missing: layers\.0\.ffn_norm\.weight, layers\.1\.ffn"):
        NumpyLlama(CONFIG, less)
    with pytest.raises(ValueError, match=r"unexpected: output\.weight"):
        NumpyLlama(CONFIG.replace(tie_embeddings=True), tensors)


def test_files_that_cannot_be_read(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.bin: no such file"):
        NumpyLlama.load(tmp_path / "none.bin")
    with pytest.raises(ValueError, match=r"is a folder.*write one with save_model\(model, path, "):
        NumpyLlama.load(tmp_path)
    (tmp_path / "text.bin").write_text("Once upon a time " * 100)
    with pytest.raises(ValueError, match=r"the NumPy engine reads llama2\.c's files: write"):
        NumpyLlama.load(tmp_path / "text.bin")
    path = tmp_path / "model.bin"
    llama2c.save(small_models.random_model(CONFIG), path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match="is truncated: a version 0 file"):
        NumpyLlama.load(path)


def test_two_streams_in_one_cache_are_refused():
    _, model = both(CONFIG)
    cache = Cache(CONFIG, 32)
    first = model.stream([1, 2, 3], 8, temperature=0, cache=cache)
    next(first)
    second = model.stream([4, 5], 8, temperature=0, cache=cache)
    next(second)
    with pytest.raises(ValueError, match="the cache holds 2 positions where this stream left 3"):
        next(first)
    assert len(list(second)) == 7


def test_its_repr_tells_the_sizes():
    text = repr(NumpyLlama.load("tales-small"))
    config = NumpyLlama.load("tales-small").config
    for name in ("dim", "n_layers", "n_heads", "n_kv_heads", "hidden_dim", "vocab_size"):
        assert f"{name}={getattr(config, name)}, " in text
    assert text.startswith("NumpyLlama(dim=")
    assert text.endswith(f"; {config.n_params:,} parameters in float32)")
