"""llama2.c's files as models: Karpathy's own 260K model, and random ones there and back."""

from __future__ import annotations

import json
import os
import struct

import numpy as np
import pytest
import torch
from checkpoint_checks import same_weights
from small_models import LLAMA, NAMED, random_model, random_tokens
from torch.testing import assert_close

from llama_tutorial import PRESETS, generate, load_model, save_model
from llama_tutorial.checkpoints import llama2c as checkpoints_llama2c
from llama_tutorial.numpy_llama import llama2c

HOLDABLE = ["llama", "llama-gqa", "llama-mqa", "llama-tied", "llama-odd-sizes", "llama-one-head"]
FORMATS = {"llama2c": 0, "llama2c-v1": 1, "llama2c-int8": 2}
BOS = 1


@pytest.fixture(scope="module")
def stories(assets):
    return load_model(assets / "stories260K.bin")


# The real model


def greedy_cases():
    return pytest.mark.parametrize("number", range(3))


def case(assets, number):
    """A prompt's ids, and those that llama2.c's `run` put behind it."""
    text = (assets / "stories260k_greedy.json").read_text(encoding="utf-8")
    found = json.loads(text)["cases"][number]
    prompt = found["prompt_ids"]
    sequence = [*prompt[:1], *found["next_ids"]]
    assert sequence[: len(prompt)] == prompt
    return prompt, sequence[len(prompt) :], found["stopped_on_bos"]


def test_the_real_model_is_the_preset(stories):
    assert stories.config == PRESETS["stories260K"]
    assert stories.dtype == torch.float32
    assert stories.device == torch.device("cpu")
    assert sum(parameter.numel() for parameter in stories.parameters()) == 260_032
    assert "output.weight" not in stories.state_dict()


@greedy_cases()
def test_the_real_model_tells_llama2cs_story_with_the_cache(assets, stories, number):
    prompt, expected, stopped = case(assets, number)
    (ids,) = generate(stories, [prompt], len(expected), temperature=0, stop_ids=(BOS,))
    assert ids == (expected[:-1] if stopped else expected)
    assert not stopped or expected[-1] == BOS


@greedy_cases()
def test_the_real_model_tells_llama2cs_story_without_the_cache(assets, stories, number):
    prompt, expected, _ = case(assets, number)
    ids = list(prompt)
    with torch.inference_mode():
        for _ in expected:
            ids.append(int(stories(torch.tensor([ids]))[0, -1].argmax()))
    assert ids[len(prompt) :] == expected


def test_the_real_models_three_stories_in_one_batch(assets, stories):
    cases = [case(assets, number) for number in range(3)]
    longest = max(len(expected) for _, expected, _ in cases)
    prompts = [prompt for prompt, *_ in cases]
    rows = generate(stories, prompts, longest, temperature=0, stop_ids=(BOS,))
    for row, (_, expected, stopped) in zip(rows, cases, strict=True):
        told = expected[:-1] if stopped else expected
        assert row[: len(told)] == told
        assert not stopped or len(row) == len(told)


@greedy_cases()
def test_version_1_tells_the_same_story(assets, stories, number, tmp_path):
    save_model(stories, tmp_path / "model", "llama2c-v1")
    prompt, expected, stopped = case(assets, number)
    model = load_model(tmp_path / "model")
    (ids,) = generate(model, [prompt], len(expected), temperature=0, stop_ids=(BOS,))
    assert ids == (expected[:-1] if stopped else expected)


def test_the_real_file_comes_back_byte_for_byte_but_for_its_rope_tables(assets, stories, tmp_path):
    """Its tables are rounded otherwise than ours; the NumPy engine's tests compare the two."""
    original = (assets / "stories260K.bin").read_bytes()
    save_model(stories, tmp_path / "a.bin", "llama2c")
    save_model(load_model(tmp_path / "a.bin"), tmp_path / "b.bin", "llama2c-v1")
    save_model(load_model(tmp_path / "b.bin"), tmp_path / "c.bin", "llama2c")
    tables = 2 * 512 * 4 * 4
    assert (tmp_path / "a.bin").read_bytes()[:-tables] == original[:-tables]
    assert (tmp_path / "c.bin").read_bytes() == (tmp_path / "a.bin").read_bytes()


def test_int8_moves_no_weight_of_the_real_model_by_more_than_half_a_step(stories, tmp_path):
    path = tmp_path / "model.bin"
    save_model(stories, path, "llama2c-int8", group_size=4)
    rounded = load_model(path).state_dict()
    file = llama2c.read(path)
    for name, weight in stories.state_dict().items():
        if weight.ndim == 1:
            assert torch.equal(rounded[name], weight)
            continue
        scales = torch.from_numpy(file.tensors[name].scales).repeat_interleave(4, dim=1)
        largest = weight.view(-1, 4).abs().amax(1).view_as(scales[:, ::4])
        assert_close(scales[:, ::4], largest / 127)
        error = (rounded[name].double() - weight.double()).abs()
        # Quotient and product are each rounded to float32, up to 127 steps away from zero.
        assert (error <= scales.double() * (0.5 + 127 * 2**-22)).all(), name


def test_int8_keeps_the_real_models_judgement(assets, stories, tmp_path):
    """On llama2.c's own story, fed as it is, the likeliest next token is nearly always the same."""
    save_model(stories, tmp_path / "model.bin", "llama2c-int8", group_size=4)
    prompt, expected, _ = case(assets, 0)
    tokens = torch.tensor([[*prompt, *expected][:-1]])
    with torch.inference_mode():
        same = load_model(tmp_path / "model.bin")(tokens).argmax(-1) == stories(tokens).argmax(-1)
    assert same.float().mean() > 0.97


# There and back


@pytest.mark.parametrize("format", ["llama2c", "llama2c-v1"])
@pytest.mark.parametrize("name", HOLDABLE)
def test_weights_come_back_exactly(tmp_path, name, format):
    model = random_model(NAMED[name])
    save_model(model, tmp_path / "model", format)
    again = load_model(tmp_path / "model")
    assert again.config == model.config
    same_weights(again, model)
    tokens = random_tokens(model.config, 2, 9)
    # Not bit by bit: kernels may add in another order where the weights lie at another address.
    assert_close(again(tokens), model(tokens), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "llama-tied", "llama-gqa"])
def test_int8_weights_come_back_within_half_a_step(tmp_path, name):
    model = random_model(NAMED[name])
    save_model(model, tmp_path / "model", "llama2c-int8", group_size=8)
    again = load_model(tmp_path / "model")
    assert (again.config, again.dtype) == (model.config, torch.float32)
    for key, weight in model.state_dict().items():
        found = again.state_dict()[key]
        if weight.ndim == 1:
            assert torch.equal(found, weight)
            continue
        steps = weight.view(len(weight), -1, 8).abs().amax(-1, keepdim=True) / 127
        error = (found - weight).view(len(weight), -1, 8).abs()
        assert (error <= steps * 0.5001).all()
        assert (error > steps * 0.45).any()


def test_a_model_with_an_equal_but_untied_head_stays_untied(tmp_path):
    model = random_model(LLAMA)
    with torch.no_grad():
        model.output.weight.copy_(model.tok_embeddings.weight)
    for format in ("llama2c", "llama2c-v1"):
        save_model(model, tmp_path / "model", format)
        again = load_model(tmp_path / "model")
        assert not again.config.tie_embeddings
        same_weights(again, model)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_16_bits_are_kept_exactly_by_widening_them(tmp_path, dtype):
    model = random_model(LLAMA, dtype=dtype)
    save_model(model, tmp_path / "model.bin", "llama2c")
    assert load_model(tmp_path / "model.bin").dtype == torch.float32
    same_weights(load_model(tmp_path / "model.bin", dtype=dtype), model)


def test_a_file_made_with_struct_becomes_the_model_it_says(tmp_path):
    """2 heads of width 2; every number its own place in the file."""
    sizes = (4, 3, 1, 2, 1, 5, 6)
    numbers = iter(range(1000))
    shapes = {
        "tok_embeddings.weight": (5, 4), "layers.0.attention_norm.weight": (4,),
        "layers.0.attention.wq.weight": (4, 4), "layers.0.attention.wk.weight": (2, 4),
        "layers.0.attention.wv.weight": (2, 4), "layers.0.attention.wo.weight": (4, 4),
        "layers.0.ffn_norm.weight": (4,), "layers.0.feed_forward.w1.weight": (3, 4),
        "layers.0.feed_forward.w2.weight": (4, 3), "layers.0.feed_forward.w3.weight": (3, 4),
        "norm.weight": (4,),
    }  # fmt: skip
    expected = {
        name: torch.tensor([next(numbers) for _ in range(int(np.prod(shape)))]).view(shape)
        for name, shape in shapes.items()
    }
    for _ in range(12):  # the tables: 6 positions, one pair, cosine and sine
        next(numbers)
    total = next(numbers)
    data = struct.pack("<7i", *sizes) + struct.pack(f"<{total}f", *range(total))
    (tmp_path / "model.bin").write_bytes(data)
    state = load_model(tmp_path / "model.bin").state_dict()
    assert state.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(state[name], tensor.float()), name


# Memory, dtype, device


@pytest.fixture
def opened(monkeypatch):
    """The files that were read, newest last."""
    files, read = [], llama2c.read

    def spy(path):
        files.append(read(path))
        return files[-1]

    monkeypatch.setattr(checkpoints_llama2c, "read", spy)
    return files


@pytest.mark.parametrize("format", ["llama2c", "llama2c-v1"])
def test_the_parameters_are_the_file_itself_and_no_copy(tmp_path, opened, format):
    save_model(random_model(LLAMA), tmp_path / "model", format)
    model = load_model(tmp_path / "model")
    for name, parameter in model.named_parameters():
        assert parameter.data_ptr() == opened[-1].tensors[name].ctypes.data


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("format", FORMATS)
def test_a_loaded_model_can_be_trained_and_its_file_stays(tmp_path, format):
    path = tmp_path / "model.bin"
    save_model(random_model(LLAMA), path, format, group_size=8)
    before = path.read_bytes()
    model = load_model(path)
    assert all(parameter.requires_grad for parameter in model.parameters())
    tokens = random_tokens(LLAMA, 2, 9)
    losses = []
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    for _ in range(3):
        logits = model(tokens[:, :-1])
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert losses[2] < losses[1] < losses[0]
    assert path.read_bytes() == before


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_another_dtype(tmp_path, format, dtype):
    save_model(random_model(LLAMA), tmp_path / "model.bin", format, group_size=8)
    plain = load_model(tmp_path / "model.bin")
    model = load_model(tmp_path / "model.bin", dtype=dtype)
    same_weights(model, plain.to(dtype))
    tokens = random_tokens(LLAMA, 1, 5)
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert model.rope.cos.dtype == model(tokens).dtype == wide


def test_another_device(tmp_path):
    save_model(random_model(LLAMA), tmp_path / "model.bin", "llama2c")
    model = load_model(tmp_path / "model.bin", device=torch.device("meta"))
    assert {p.device.type for p in (*model.parameters(), *model.buffers())} == {"meta"}


@pytest.mark.gpu
@pytest.mark.parametrize("format", FORMATS)
def test_a_model_is_loaded_to_a_gpu_and_saved_from_there(tmp_path, format):
    model = random_model(LLAMA)
    save_model(model, tmp_path / "a.bin", format, group_size=8)
    on_gpu = load_model(tmp_path / "a.bin", device="cuda")
    assert {p.device.type for p in (*on_gpu.parameters(), *on_gpu.buffers())} == {"cuda"}
    tokens = random_tokens(LLAMA, 2, 9)
    expected = load_model(tmp_path / "a.bin")(tokens)
    assert_close(on_gpu(tokens.cuda()).cpu(), expected, rtol=1e-4, atol=1e-4)
    save_model(on_gpu, tmp_path / "b.bin", format, group_size=8)
    assert (tmp_path / "a.bin").read_bytes() == (tmp_path / "b.bin").read_bytes()


def test_loading_leaves_the_random_numbers_alone(tmp_path):
    save_model(random_model(LLAMA), tmp_path / "model.bin", "llama2c")
    before = torch.random.get_rng_state()
    load_model(tmp_path / "model.bin")
    assert torch.equal(torch.random.get_rng_state(), before)


# Errors


def test_a_model_that_is_no_plain_llama_is_refused(tmp_path):
    for name, field in {"gpt2": "norm='layernorm'", "llama-theta": "norm_eps=0.1"}.items():
        with pytest.raises(ValueError, match=r"cannot hold .*save with format='native'") as error:
            save_model(random_model(NAMED[name]), tmp_path / "model.bin", "llama2c")
        assert field in str(error.value)
    assert not list(tmp_path.iterdir())


def test_float64_weights_are_refused(tmp_path):
    model = random_model(LLAMA, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"tok_embeddings.weight is float64.*model.float\(\)"):
        save_model(model, tmp_path / "model.bin", "llama2c")
    assert not list(tmp_path.iterdir())


def test_a_group_size_that_does_not_fit_the_real_model(stories, tmp_path):
    """export.py looks at dim alone and takes 64 here; runq then drops 44 of w2's 172 columns."""
    with pytest.raises(ValueError, match=r"must divide rows of 64 and 172 .* do: 1, 2, 4$"):
        save_model(stories, tmp_path / "model.bin", "llama2c-int8")


def test_a_save_that_fails_halfway_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "model.bin"
    save_model(random_model(LLAMA), path, "llama2c")
    before, written = path.read_bytes(), []

    def full_disk(arrays, name):
        written.append(name)
        if name == "norm.weight":
            raise OSError("no space left on device")
        return arrays.state[name].numpy()

    monkeypatch.setattr(checkpoints_llama2c._AsArrays, "__getitem__", full_disk)
    with pytest.raises(OSError, match="no space left"):
        save_model(random_model(LLAMA, seed=1), path, "llama2c")
    assert len(written) > 10
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["model.bin"]
