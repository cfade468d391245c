"""Generation: the ids of full passes, rows that leave each other alone, and no work done twice."""

from __future__ import annotations

import copy
import math
import re

import numpy as np
import oracles
import pytest
import small_models
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from llama_tutorial import KVCache, generate, generation, stream

CONFIG = small_models.LLAMA.replace(n_kv_heads=2, max_seq_len=64)
PROMPTS = [[5], [1, 2, 3, 4, 5, 6, 7], [9, 8, 7], [1, 2, 3], [30, 0, 30, 0, 30]]


@pytest.fixture(scope="module")
def model():
    return small_models.random_model(CONFIG, dtype=torch.float64)


@torch.no_grad()
def greedy_by_full_passes(model, prompt, n):
    """The whole text through the model for every token: slow, and without a cache to get wrong."""
    ids = list(prompt)
    for _ in range(n):
        ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    return ids[len(prompt) :]


# Greedy


@pytest.mark.parametrize("name", small_models.NAMED_AND_PATH)
def test_greedy_ids_equal_those_of_full_passes(name):
    model = small_models.random_model(small_models.NAMED_AND_PATH[name], dtype=torch.float64)
    prompts = [[token % model.config.vocab_size for token in prompt] for prompt in PROMPTS]
    new_ids = generate(model, prompts, 9, temperature=0)
    assert new_ids == [greedy_by_full_passes(model, prompt, 9) for prompt in prompts]
    assert len({tuple(ids) for ids in new_ids}) > 1


def test_a_row_may_fill_the_whole_context(model):
    prompt = [1, 2, 3]
    assert generate(model, [prompt], 61, temperature=0) == [
        greedy_by_full_passes(model, prompt, 61)
    ]


def test_greedy_takes_no_notice_of_seed_and_cuts(model):
    plain = generate(model, PROMPTS, 5, temperature=0)
    assert generate(model, PROMPTS, 5, temperature=0, seed=1, top_k=3, top_p=0.1) == plain
    assert generate(model, PROMPTS, 5, temperature=0.7, top_k=1, seed=1) == plain
    assert generate(model, PROMPTS, 5, temperature=1e-9, top_p=1, seed=1) == plain


# Rows


@pytest.mark.parametrize("temperature", [0, 0.6, 1.5])
@pytest.mark.parametrize("more", [{}, {"repetition_penalty": 1.5, "min_p": 0.02}])
@pytest.mark.parametrize("name", ["llama-gqa", "gpt2"])
def test_a_row_is_what_it_is_alone(temperature, more, name):
    model = small_models.random_model(small_models.NAMED[name], dtype=torch.float64)
    settings = {"temperature": temperature, "top_p": 0.95, "seed": 7, **more}
    together = generate(model, PROMPTS, 12, **settings)
    assert together == [generate(model, [prompt], 12, **settings)[0] for prompt in PROMPTS]


def test_the_order_of_rows_does_not_matter(model):
    together = generate(model, PROMPTS, 12, temperature=1.0, seed=7)
    order = [3, 1, 4, 0, 2]
    shuffled = generate(model, [PROMPTS[row] for row in order], 12, temperature=1.0, seed=7)
    assert shuffled == [together[row] for row in order]


def test_copies_of_a_prompt_give_different_samples(model):
    copies = generate(model, [[1, 2, 3]] * 4, 12, temperature=1.0, seed=7)
    assert len({tuple(ids) for ids in copies}) == 4
    among_others = generate(model, [[4], [1, 2, 3], [5, 6], [1, 2, 3]], 12, temperature=1.0, seed=7)
    assert [among_others[1], among_others[3]] == copies[:2]


def test_the_seed_decides(model):
    def sample(seed):
        return generate(model, [[1, 2, 3]], 12, temperature=1.0, seed=seed)

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)
    assert sample(None) != sample(None)


def test_the_seed_decides_whatever_the_default_dtype(model):
    plain = generate(model, PROMPTS, 12, temperature=1.0, seed=1)
    torch.set_default_dtype(torch.float64)
    try:
        assert generate(model, PROMPTS, 12, temperature=1.0, seed=1) == plain
    finally:
        torch.set_default_dtype(torch.float32)


def test_torchs_own_generator_is_left_alone(model):
    torch.manual_seed(0)
    before = torch.get_rng_state()
    generate(model, PROMPTS, 3, temperature=1.0)
    assert torch.equal(torch.get_rng_state(), before)


def test_numpys_integers_are_the_same_prompt(model, unchecked):
    arrays = [list(np.array(prompt)) for prompt in PROMPTS]
    plain = generate(model, PROMPTS, 9, temperature=1.0, seed=3)
    assert generate(model, arrays, 9, temperature=1.0, seed=3) == plain
    assert all(type(token) is int for ids in plain for token in ids)


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 1.0, "top_p": 1.0},
        {"temperature": 0.6, "top_p": 0.9},
        {"temperature": 2.0, "top_k": 5, "top_p": 0.8},
        {"temperature": 1.5, "top_p": 1.0, "min_p": 0.1},
    ],
)
@torch.no_grad()
def test_samples_follow_the_distribution(settings):
    """Pearson's chi-square over 5,000 copies of one prompt, with the seed fixed."""
    model = small_models.random_model(CONFIG.replace(vocab_size=12), dtype=torch.float64)
    n, prompt = 5000, [1, 2]
    ids = [row[0] for row in generate(model, [prompt] * n, 1, seed=0, **settings)]
    logits = model(torch.tensor([prompt]))[0, -1].numpy()
    expected = n * oracles.next_distribution(logits, **settings)
    counts = np.bincount(ids, minlength=12)
    assert (counts[expected == 0] == 0).all()
    drawn = expected > 0
    chi_square = ((counts - expected)[drawn] ** 2 / expected[drawn]).sum()
    assert chi_square < 31.3  # a thousandth of chance with 11 degrees; the seed makes it none


# Stops


def test_a_stop_id_ends_its_row_and_is_not_returned(model):
    plain = generate(model, PROMPTS, 12, temperature=0)
    stop = next(token for token in plain[0] if any(token not in row for row in plain))
    stopped = generate(model, PROMPTS, 12, temperature=0, stop_ids=[stop])
    for ids, full in zip(stopped, plain, strict=True):
        assert ids == (full[: full.index(stop)] if stop in full else full)
    assert len(stopped[0]) < 12
    assert max(map(len, stopped)) == 12  # others go on


def test_several_stop_ids(model):
    plain = generate(model, PROMPTS, 12, temperature=0)
    stops = {plain[0][5], plain[1][2]}
    for ids, full in zip(
        generate(model, PROMPTS, 12, temperature=0, stop_ids=stops), plain, strict=True
    ):
        places = [i for i, token in enumerate(full) if token in stops]
        assert ids == full[: min(places, default=12)]


def test_a_stop_id_at_once_leaves_nothing(model):
    first = generate(model, [[1, 2]], 1, temperature=0)[0][0]
    assert generate(model, [[1, 2]], 5, temperature=0, stop_ids=(first,)) == [[]]
    settings = {"temperature": 0, "stop_ids": (first,), "logprobs": True}
    assert generate(model, [[1, 2]], 5, **settings) == ([[]], [[]])


def test_a_stop_id_in_the_prompt_stops_nothing(model):
    plain = generate(model, [[1, 2, 3]], 5, temperature=0)
    unused = next(t for t in range(37) if t not in plain[0])
    prompt = [unused, 2, 3]
    assert len(generate(model, [prompt], 5, temperature=0, stop_ids=[prompt[0]])[0]) > 0


# The repetition penalty, and min-p


@torch.no_grad()
def penalised_by_full_passes(model, prompt, n, penalty):
    ids = list(prompt)
    for _ in range(n):
        logits = model(torch.tensor([ids]))[0, -1].numpy()
        ids.append(int(oracles.penalised(logits, ids, penalty).argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize("penalty", [0.6, 1.2, 3])
def test_the_penalty_counts_prompt_and_new_ids_of_its_own_row(model, penalty):
    penalised = generate(model, PROMPTS, 20, temperature=0, repetition_penalty=penalty)
    assert penalised == [penalised_by_full_passes(model, row, 20, penalty) for row in PROMPTS]
    assert penalised != generate(model, PROMPTS, 20, temperature=0)


def test_padding_is_not_penalised():
    """A short row beside a long one, and a model that likes 0 best, then 1, then 2, ..."""
    model = small_models.random_model(CONFIG, dtype=torch.float64)
    hook = model.output.register_forward_hook(
        lambda _layer, _inputs, logits: 2 - torch.arange(37).double() / 10 + 0 * logits
    )
    try:
        ids = generate(model, [[5], [9] * 30], 3, temperature=0, repetition_penalty=2)
    finally:
        hook.remove()
    assert ids == [[0, 1, 2], [0, 1, 2]]


def test_no_penalty_and_no_min_p_change_nothing(model):
    plain = generate(model, PROMPTS, 12, temperature=1.2, seed=3)
    off = {"repetition_penalty": 1, "min_p": 0}
    assert generate(model, PROMPTS, 12, temperature=1.2, seed=3, **off) == plain


def test_min_p_1_is_greedy(model):
    plain = generate(model, PROMPTS, 12, temperature=0)
    assert generate(model, PROMPTS, 12, temperature=3, top_p=1, min_p=1, seed=0) == plain


# Log-probabilities


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0},
        {"temperature": 1.4, "top_k": 20, "top_p": 0.9, "seed": 5},
        {"temperature": 0, "repetition_penalty": 1.8},
        {"temperature": 2.0, "top_p": 1, "min_p": 0.1, "repetition_penalty": 1.8, "seed": 5},
    ],
)
@torch.no_grad()
def test_logprobs_are_the_untempered_models(model, settings):
    ids, logs = generate(model, PROMPTS, 8, logprobs=True, **settings)
    assert ids == generate(model, PROMPTS, 8, **settings)
    for prompt, row_ids, row_logs in zip(PROMPTS, ids, logs, strict=True):
        full = model(torch.tensor([prompt + row_ids]))[0].numpy()
        expected = [
            oracles.log_softmax(full[len(prompt) - 1 + i])[token] for i, token in enumerate(row_ids)
        ]
        np.testing.assert_allclose(row_logs, expected, rtol=0, atol=1e-9)
        assert all(type(value) is float and value < 0 for value in row_logs)


def test_logprobs_stop_with_their_row(model):
    plain = generate(model, PROMPTS, 12, temperature=0)
    ids, logs = generate(
        model, PROMPTS, 12, temperature=0, logprobs=True, stop_ids=[plain[0][4], plain[2][7]]
    )
    assert [len(row) for row in logs] == [len(row) for row in ids]
    assert min(map(len, ids)) < 12


# Logits that are not finite


def damaged(value, name="norm.weight", dtype=torch.float64):
    model = small_models.random_model(CONFIG, dtype=dtype)
    with torch.no_grad():
        model.get_parameter(name).view(-1)[3] = value
    return model


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"temperature": 0.8, "seed": 0}])
@pytest.mark.parametrize(
    "name",
    [
        "norm.weight",
        "layers.0.attention.wq.weight",
        "layers.1.attention.wk.weight",
        "layers.1.feed_forward.w2.weight",
    ],
)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_damaged_weights_are_named(value, name, settings):
    model = damaged(value, name)
    message = r"the logits of row 0 are not finite: .*; the weights are damaged, " + re.escape(name)
    for call in (
        lambda: generate(model, [[1, 5], [2]], 1, **settings),
        lambda: generate(model, [[1, 5], [2]], 5, logprobs=True, **settings),
        lambda: list(stream(model, [1, 5], 5, **settings)),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("name", ["wq.bias", "wk.bias", "wq.lora_a", "wk.lora_b", "wk.weight"])
def test_so_are_damaged_biases_and_adapters_of_queries_and_keys(name, value):
    """The fused attention of CPUs hides them: it takes NaN for masked."""
    config = CONFIG if "lora" in name else CONFIG.replace(bias=True)
    model = small_models.random_model(config, dtype=torch.float32)
    if "lora" in name:
        small_models.with_lora(model)
    with torch.no_grad():
        model.get_parameter(f"layers.1.attention.{name}").fill_(value)
    with pytest.raises(ValueError, match=rf"the weights are damaged, layers\.1\.attention\.{name}"):
        generate(model, [[1, 5, 6, 7]], 2, temperature=0)


def test_large_weights_in_float16_are_no_damage():
    model = small_models.random_model(CONFIG, dtype=torch.float16)
    with torch.no_grad():
        model.layers[0].attention.wq.weight.fill_(2e4)  # their sum is more than float16 holds
        model.layers[0].attention.wk.weight.zero_()
    assert len(generate(model, [[1, 5]], 2, temperature=0)[0]) == 2


def test_a_temperature_may_be_any_whole_number(model):
    assert len(generate(model, [[1, 5]], 2, temperature=10**30, seed=0)[0]) == 2


def test_the_row_is_named_whose_logits_they_are():
    """An embedding that only one of the prompts needs."""
    model = damaged(math.nan, "tok_embeddings.weight")  # of token 0
    assert len(generate(model, [[1, 2]], 1, temperature=0)[0]) == 1
    with pytest.raises(ValueError, match=r"the logits of row 1 .* damaged, tok_embeddings\.weight"):
        generate(model, [[1, 2], [3, 0]], 1, temperature=0)


def test_an_overflow_is_told_from_damage():
    model = damaged(6e4, "norm.weight", torch.float16)
    with torch.no_grad():
        model.output.weight.mul_(1e3)
    message = "though the weights are finite: numbers on the way overflowed torch.float16; load the"
    with pytest.raises(ValueError, match=message):
        generate(model, [[1, 2]], 1, temperature=0)


def test_tokens_that_are_ruled_out_are_no_fault(model):
    """An output head that gives -inf, as one does that must not write some ids."""
    forbidden = torch.arange(37) % 2 == 0
    hook = model.output.register_forward_hook(
        lambda _layer, _inputs, logits: logits.masked_fill(forbidden, -math.inf)
    )
    try:
        for settings in ({"temperature": 0}, {"temperature": 1e30, "top_p": 1, "seed": 1}):
            ids, logs = generate(model, PROMPTS, 9, logprobs=True, **settings)
            assert all(token % 2 for row in ids for token in row)
            assert all(map(math.isfinite, (log for row in logs for log in row)))
        forbidden[:] = True
        with pytest.raises(
            ValueError, match="row 0 are not finite: the largest is -inf, though the"
        ):
            generate(model, PROMPTS, 9)
    finally:
        hook.remove()


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 1e-30},
        {"temperature": 1e-300, "top_p": 1},
        {"temperature": 1e300},
        {"top_p": 1e-300},
        {"top_k": 10**30},
        {"top_k": 1, "top_p": 1, "temperature": 1e38},
    ],
)
def test_no_setting_leads_out_of_the_vocabulary(model, settings):
    for row in generate(model, PROMPTS, 9, seed=0, **settings):
        assert len(row) == 9
        assert all(0 <= token < 37 for token in row)


# Evaluation mode


@pytest.fixture
def dropping():
    """A model with dropout, whose modules are in several modes."""
    model = small_models.with_lora(small_models.random_model(CONFIG), rank=4, dropout=0.5)
    model.train()
    model.layers[1].eval()
    return model


def modes(model):
    return [module.training for module in model.modules()]


@pytest.mark.parametrize("root", [True, False])
def test_dropout_is_off_and_every_module_has_its_mode_back(dropping, root):
    expected = generate(copy.deepcopy(dropping).eval(), PROMPTS, 9, temperature=0)
    dropping.training = root
    before, state = modes(dropping), torch.get_rng_state()
    for _ in range(2):
        assert generate(dropping, PROMPTS, 9, temperature=0) == expected
        assert [list(stream(dropping, p, 9, temperature=0)) for p in PROMPTS] == expected
        generate(dropping, PROMPTS, 3, temperature=1.0)
    assert modes(dropping) == before
    assert torch.equal(torch.get_rng_state(), state)


def test_between_two_tokens_of_a_stream_the_model_is_as_it_was(dropping):
    before = modes(dropping)
    expected = generate(copy.deepcopy(dropping).eval(), [[1, 2]], 9, temperature=0)[0]
    one, other = (stream(dropping, [1, 2], 9, temperature=0) for _ in range(2))
    for token in expected[:5]:  # two at once, and training in between
        assert (next(one), next(other)) == (token, token)
        assert modes(dropping) == before
        dropping(torch.tensor([[1, 2, 3]])).sum().backward()
        dropping.train()
        dropping.layers[1].eval()
    one.close()
    assert modes(dropping) == before
    assert list(other) == expected[5:]
    assert modes(dropping) == before


def test_an_error_puts_the_mode_back(dropping):
    before = modes(dropping)
    with torch.no_grad():
        dropping.norm.weight[0] = math.nan
    with pytest.raises(ValueError, match="not finite"):
        generate(dropping, PROMPTS, 9)
    with pytest.raises(ValueError, match="not finite"):
        next(stream(dropping, [1], 9))
    hook = dropping.layers[0].register_forward_pre_hook(lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        next(stream(dropping, [1], 9))
    hook.remove()
    assert modes(dropping) == before


# Arguments


def test_prompts_and_numbers_of_libraries(model, unchecked):
    prompts = [[1, 2, 3], [1, 2, 4]]
    settings = {"temperature": 0.5, "top_k": 5, "top_p": 0.75, "seed": 3, "stop_ids": {7}}
    settings |= {"min_p": 0.125, "repetition_penalty": 1.25}
    expected = generate(model, prompts, 9, **settings)
    for make in (np.array, torch.tensor):
        theirs = {name: make(value)[()] for name, value in settings.items() if name != "stop_ids"}
        theirs |= {"seed": make(3)[()], "stop_ids": make([7])}
        assert generate(model, make(prompts), make(9)[()], **theirs) == expected
        assert list(stream(model, make(prompts[0]), make(9)[()], **theirs)) == expected[0]
    assert generate(model, prompts, 9, **{**settings, "stop_ids": None}) == generate(
        model, prompts, 9, **{**settings, "stop_ids": ()}
    )


@pytest.mark.parametrize(
    ("prompt", "options", "message"),
    [
        ("text", {}, "prompt 0 is text: encode it first, tokenizer.encode(text, bos=True)"),
        ([[1, 2]], {}, "prompt 0 holds [1, 2]: ids are whole numbers"),
        ([1], {"max_new_tokens": 2.5}, "max_new_tokens=2.5: must be 0 or above, a whole number"),
        ([1], {"min_p": -1}, "min_p=-1: must be at least 0, which keeps all, and at most 1"),
        ([1], {"repetition_penalty": "1"}, "repetition_penalty='1': must be above 0 and finite"),
        ([1], {"stop_ids": 2}, "stop_ids=2: must be a set of ids; put a single one in a set"),
        ([1], {"seed": 1.5}, "seed=1.5: must be a whole number, or None"),
        ([1], {"start": 0.0}, "start=0.0: must be between 0 and 0"),
    ],
)
def test_a_stream_refuses_at_the_call(model, prompt, options, message, unchecked):
    with pytest.raises(ValueError, match=re.escape(message)):
        stream(model, prompt, **{"max_new_tokens": 5, **options})


# Streaming


@pytest.mark.parametrize("temperature", [0, 1.0])
def test_streaming_gives_generates_ids(model, temperature):
    for prompt in PROMPTS:
        settings = {"temperature": temperature, "top_k": 30, "top_p": 0.95, "seed": 3}
        (whole,) = generate(model, [prompt], 12, **settings)
        assert list(stream(model, prompt, 12, **settings)) == whole
        settings["stop_ids"] = {whole[6]}
        (stopped,) = generate(model, [prompt], 12, **settings)
        assert list(stream(model, prompt, 12, **settings)) == stopped
        assert len(stopped) <= 6


def test_a_stream_has_the_same_defaults_as_generate(model):
    (whole,) = generate(model, [[1, 2]], 12, seed=3)
    assert list(stream(model, [1, 2], 12, seed=3)) == whole
    explicit = {"temperature": 0.6, "top_k": None, "top_p": 0.9, "min_p": 0.0}
    explicit |= {"repetition_penalty": 1.0, "seed": 3, "stop_ids": ()}
    assert generate(model, [[1, 2]], 12, **explicit) == [whole]


def test_a_stream_computes_no_further_than_it_is_read(model):
    calls = count_calls(model)
    ids = stream(model, [1, 2, 3], 40, temperature=0)
    assert calls == []
    next(ids)
    assert calls == [(1, 3)]
    next(ids)
    assert calls == [(1, 3), (1, 1)]
    ids.close()
    assert len(calls) == 2


def test_a_streams_errors_come_at_the_call(model):
    with pytest.raises(ValueError, match="prompt 0 is empty"):
        stream(model, [], 5)
    with pytest.raises(ValueError, match="temperature=-1"):
        stream(model, [1], 5, temperature=-1)


# Nothing to do


def test_nothing_to_generate(model):
    calls = count_calls(model)
    assert generate(model, PROMPTS, 0) == [[], [], [], [], []]
    assert generate(model, PROMPTS, 0, logprobs=True) == ([[]] * 5, [[]] * 5)
    assert generate(model, [], 5) == []
    assert generate(model, [], 5, logprobs=True) == ([], [])
    cache = KVCache(CONFIG, dtype=torch.float64)
    cache.length[:] = 5
    assert list(stream(model, [1], 0, cache=cache)) == []
    assert cache.length.tolist() == [5]
    assert calls == []


# No wasted work


@pytest.fixture(autouse=True)
def _no_hooks_left(model):
    yield
    model.layers[0]._forward_pre_hooks.clear()


def count_calls(model) -> list:
    """The (rows, tokens) of each pass, from now on."""
    calls = []
    model.layers[0].register_forward_pre_hook(
        lambda _layer, arguments: calls.append(tuple(arguments[0].shape[:2]))
    )
    return calls


def test_one_prefill_and_then_one_token_at_a_time(model):
    calls = count_calls(model)
    generate(model, PROMPTS, 6, temperature=0)
    assert calls == [(5, 7)] + [(5, 1)] * 5  # the last token is not fed


def test_it_ends_when_every_row_has(model):
    first = generate(model, [[1, 2]], 1, temperature=0)[0][0]
    calls = count_calls(model)
    generate(model, [[1, 2], [1, 2]], 30, temperature=0, stop_ids=[first])
    assert calls == [(2, 2)]


@pytest.mark.parametrize("name", ["llama-gqa", "llama-tied"])
def test_the_output_head_sees_one_position_a_row(name, monkeypatch):
    """The prefill makes no logits for the prompt."""
    model, shapes = small_models.random_model(small_models.NAMED[name]), []
    linear = torch.nn.functional.linear

    def spy(x, weight, bias=None):
        if weight.shape[0] == model.config.vocab_size:
            shapes.append(tuple(x.shape[:-1]))
        return linear(x, weight, bias)

    monkeypatch.setattr(torch.nn.functional, "linear", spy)
    generate(model, PROMPTS, 4, temperature=0)
    assert [math.prod(shape) for shape in shapes] == [5] * 4


def test_the_cache_is_made_once_and_no_larger_than_needed(model, monkeypatch):
    made, places = [], set()

    def spy(*arguments, **options):
        made.append(KVCache(*arguments, **options))
        return made[-1]

    monkeypatch.setattr("llama_tutorial.generation.KVCache", spy)
    model.layers[0].register_forward_pre_hook(lambda *_: places.add(made[0].k[0].data_ptr()))
    generate(model, PROMPTS, 6, temperature=0)
    assert len(made) == len(places) == 1
    assert [k.shape for k in made[0].k] == 2 * [(5, 2, 7 + 6, 6)]
    assert made[0].k[0].dtype == torch.float64


class NewMemory(TorchDispatchMode):
    """The elements of all tensors that are made, views aside."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        results = function(*arguments, **(options or {}))
        given = {place(x) for x in torch.utils._pytree.tree_leaves((arguments, options))}
        for result in torch.utils._pytree.tree_leaves(results):
            if isinstance(result, torch.Tensor) and place(result) not in given:
                self.elements += result.numel()
        return results


def place(x):
    return x.untyped_storage().data_ptr() if isinstance(x, torch.Tensor) else None


@pytest.mark.parametrize("behind", [0, 5])
@torch.no_grad()
def test_a_step_makes_one_mask_and_no_copies_of_keys_and_values(behind):
    model = small_models.random_model(CONFIG.replace(max_seq_len=1024))
    sizes = []
    for context in (10, 1000):
        cache = KVCache(model.config, 2)
        model(torch.zeros(2, context, dtype=torch.int64), cache)
        cache.length = torch.tensor([context, context - behind])
        with NewMemory() as new:
            model(torch.zeros(2, 1, dtype=torch.int64), cache)
        sizes.append(new.elements)
    keys = 2 * 12 * 990  # what one layer's keys for two rows grew by
    assert sizes[1] - sizes[0] < keys


def test_no_gradients_are_kept(model, monkeypatch):
    seen = []
    monkeypatch.setattr(generation, "draw", lambda p, _: seen.append(p) or p.argmax(-1))
    generate(model, PROMPTS, 3, temperature=1.0)
    assert [p.requires_grad for p in seen] == [False] * 3


# A cache that is kept


@pytest.mark.parametrize(
    "settings",
    [
        {"temperature": 0},
        {"seed": 2},
        {"temperature": 0, "repetition_penalty": 2},
        {"temperature": 2, "min_p": 0.1, "repetition_penalty": 2, "seed": 2},
    ],
)
def test_a_stream_goes_on_where_a_kept_cache_ends(model, settings):
    cache = KVCache(CONFIG, dtype=torch.float64)
    prompt = [1, 2, 3, 4, 5]
    ids = list(stream(model, prompt, 6, cache=cache, **settings))
    assert ids == list(stream(model, prompt, 6, **settings))
    assert int(cache.length) == 10  # the last one yielded was not fed
    longer = [*prompt, *ids, 7, 8]
    shapes = count_calls(model)
    again = list(stream(model, longer, 6, cache=cache, start=10, **settings))
    assert shapes == [(1, 3), *[(1, 1)] * 5]
    assert again == list(stream(model, longer, 6, **settings))
    other = [*prompt[:3], 9, 9]  # the cache goes back: it holds more, and other ids
    back = list(stream(model, other, 6, cache=cache, start=3, **settings))
    assert back == list(stream(model, other, 6, **settings))


@pytest.mark.parametrize(
    ("start", "message"),
    [
        (3, "start=3: must be between 0 and 2, for the cache holds 9 positions, and of the prompt"),
        (-1, "start=-1: must be between 0 and 2"),
    ],
)
def test_a_start_that_is_not_there_is_refused(model, start, message):
    cache = KVCache(CONFIG, dtype=torch.float64)
    list(stream(model, [1, 2, 3, 4, 5], 5, cache=cache))
    with pytest.raises(ValueError, match=re.escape(message)):
        stream(model, [1, 2, 3], 5, cache=cache, start=start)
    with pytest.raises(ValueError, match="start=1: must be between 0 and 0, for the cache holds 0"):
        stream(model, [1, 2, 3], 5, start=1)


def test_a_cache_of_several_rows_or_too_few_slots_is_refused_at_the_call(model):
    with pytest.raises(ValueError, match="the cache has 2 rows: it must have one, for one prompt"):
        stream(model, [1, 2], 5, cache=KVCache(CONFIG, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"6 slots: 3 ids and max_new_tokens=5 need 7; make a lon"):
        stream(model, [1, 2, 3], 5, cache=KVCache(CONFIG, 1, 6, dtype=torch.float64))
    cache = KVCache(CONFIG, 1, 7, dtype=torch.float64)
    assert len(list(stream(model, [1, 2, 3], 5, cache=cache))) == 5


def test_torchs_default_device_is_not_asked():
    """As after torch.set_default_device("cuda"), with a model that is elsewhere."""
    model = small_models.random_model(small_models.LLAMA)
    prompts, starts = [[1, 2, 3], [4]], torch.tensor([0, 2])
    tokens = small_models.random_tokens(model.config, 2, 5)
    greedy = generate(model, prompts, 4, temperature=0)
    drawn = generate(model, prompts, 4, seed=1)
    logits = model(tokens, start=starts)
    with torch.device("meta"):
        assert generate(model, prompts, 4, temperature=0) == greedy
        assert generate(model, prompts, 4, seed=1) == drawn
        assert torch.equal(model(tokens, start=starts), logits)
