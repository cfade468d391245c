"""``load``: a model and its tokenizer by one name."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")

from small_models import LLAMA, random_model

from llama_tutorial import Tokenizer, load, load_model, load_tokenizer, save_model
from llama_tutorial.checkpoints import save_adapter
from llama_tutorial.lora import add_lora
from llama_tutorial.shipped import SHIPPED


@pytest.fixture(scope="module")
def tokenizer():
    text = ["the cat sat on the mat", "a dog ran to the park", "the sun was warm"] * 50
    return Tokenizer.train(text, 300)


@pytest.fixture(scope="module")
def model(tokenizer):
    return random_model(LLAMA.replace(vocab_size=tokenizer.vocab_size))


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_needs_no_path(name):
    model, tokenizer = load(name)
    assert model.config == load_model(SHIPPED[name].model).config
    assert tokenizer.vocab_size == model.config.vocab_size
    assert load(name, dtype=torch.float64)[0].dtype == torch.float64
    assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("source", ["tales", Path("tales")])
@pytest.mark.parametrize("engine", ["torch", "numpy"])
def test_a_name_may_be_a_path(source, engine):
    assert load(source, engine=engine)[0].config.n_params == 1_312_384


def test_load_model_says_who_knows_the_name():
    message = (
        "tales: no such file or folder; the model that comes with the package is load('tales')"
    )
    for source in ("tales", Path("tales")):
        with pytest.raises(FileNotFoundError, match=re.escape(message)):
            load_model(source)


@pytest.mark.parametrize("dtype", ["bfloat16", "float64", "torch.float16", torch.float16])
def test_a_dtype_may_be_a_name(dtype):
    expected = getattr(torch, str(dtype).removeprefix("torch."))
    assert load("tales", dtype=dtype)[0].dtype == expected
    assert load_model(SHIPPED["tales"].model, dtype=dtype).dtype == expected


@pytest.mark.parametrize("dtype", ["int8", "fp16", "Tensor", "", torch.int64, 16, float])
def test_what_is_no_floating_dtype_is_refused(dtype, unchecked):
    for call, source in ((load, "tales"), (load_model, SHIPPED["tales"].model)):
        with pytest.raises(ValueError, match=r"^dtype=.*: must be a floating type, such as torch"):
            call(source, dtype=dtype)


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "", 99, 1.5, "mps:7"])
def test_a_device_that_is_not_here_is_named(device, unchecked):
    for call, source in ((load, "tales"), (load_model, SHIPPED["tales"].model)):
        with pytest.raises(ValueError, match=rf"^device='{device}': cannot be used here: "):
            call(source, device=device)


def test_an_adapter_on_a_shipped_model_computes_in_float32_too(tmp_path):
    model, _ = load("tales")
    add_lora(model, rank=2)
    save_adapter(model, tmp_path / "adapter", base="tales")
    assert load(tmp_path / "adapter")[0].dtype == torch.float32
    assert load_model(tmp_path / "adapter").dtype == torch.bfloat16
    assert load(tmp_path / "adapter", dtype="bfloat16")[0].dtype == torch.bfloat16


def test_a_native_folder_brings_its_tokenizer(tmp_path, model, tokenizer):
    save_model(model, tmp_path / "model", tokenizer=tokenizer)
    again, pieces = load(tmp_path / "model")
    assert torch.equal(again.norm.weight, model.norm.weight)
    assert pieces.encode("the cat") == tokenizer.encode("the cat")


def test_so_does_one_with_llama2cs_tokenizer(tmp_path, model, tokenizer):
    tokenizer.save_tokenizer_bin(tmp_path / "t.bin")
    save_model(model, tmp_path / "model", tokenizer=load_tokenizer(tmp_path / "t.bin"))
    assert load(tmp_path / "model")[1].encode("the cat") == tokenizer.encode("the cat")


def test_a_file_in_a_folder_takes_the_tokenizer_that_is_given(tmp_path, model, tokenizer):
    save_model(model, tmp_path / "small.bin", "llama2c")
    tokenizer.save(tmp_path / "pieces.model")
    with pytest.raises(ValueError, match=r"small.bin comes without a tokenizer: give one with"):
        load(tmp_path, "small.bin")
    again, pieces = load(tmp_path, "small.bin", tokenizer=tmp_path / "pieces.model")
    assert again.config.n_params == model.config.n_params
    assert pieces.vocab_size == tokenizer.vocab_size


def test_a_tokenizer_that_is_given_goes_before_the_one_that_lies_there(tmp_path, model, tokenizer):
    save_model(model, tmp_path / "model", tokenizer=tokenizer)
    with pytest.raises(ValueError, match=r"1024 pieces, the model has 300: they do not belong"):
        load(tmp_path / "model", tokenizer=SHIPPED["tales"].tokenizer)


def test_what_is_not_there():
    with pytest.raises(FileNotFoundError) as error:
        load("tails")
    assert str(error.value) == (
        "tails: no such file or folder, and no model of this package; those are 'tales', "
        "'tales-small', 'tales-chat'"
    )


def test_a_shipped_model_is_no_folder_of_files():
    with pytest.raises(ValueError, match=r"filename='model.bin': 'tales' comes with the package"):
        load("tales", "model.bin")


def test_the_numpy_engine_is_loaded_by_the_same_names(tmp_path, model, tokenizer):
    engine, pieces = load("tales", engine="numpy")
    assert engine.config == load_model(SHIPPED["tales"].llama2c).config
    assert pieces.vocab_size == engine.config.vocab_size
    save_model(model, tmp_path / "small.bin", "llama2c")
    tokenizer.save(tmp_path / "pieces.model")
    engine, pieces = load(
        tmp_path / "small.bin", tokenizer=tmp_path / "pieces.model", engine="numpy"
    )
    assert engine.config == model.config
    with pytest.raises(ValueError, match=r"small.bin comes without a tokenizer: give one with"):
        load(tmp_path / "small.bin", engine="numpy")
    with pytest.raises(ValueError, match=r"1024 pieces, the model has 300: they do not belong"):
        load(tmp_path / "small.bin", tokenizer=SHIPPED["tales"].tokenizer, engine="numpy")
    with pytest.raises(FileNotFoundError, match=r"tails: no such file or folder, and no model of"):
        load("tails", engine="numpy")


def test_an_engine_that_is_none_and_settings_that_an_engine_has_not(tmp_path, model):
    with pytest.raises(ValueError, match=r"engine='jax': must be 'torch' or 'numpy'"):
        load("tales", engine="jax")
    for settings in ({"dtype": torch.float32}, {"device": "meta"}):
        with pytest.raises(ValueError, match=r"engine='numpy' computes in float32 on the CPU, not"):
            load("tales", engine="numpy", **settings)


def test_the_numpy_engine_says_what_to_do_with_a_folder(tmp_path, model, tokenizer):
    save_model(model, tmp_path / "model", tokenizer=tokenizer)
    with pytest.raises(ValueError, match=r"is a folder; .*write one with save_model\(model"):
        load(tmp_path / "model", engine="numpy")


def test_a_file_name_in_a_folder_that_is_not_there():
    with pytest.raises(FileNotFoundError, match=r"tails: no such file or folder, and no model of"):
        load("tails", "model.bin")


def test_large_models_on_the_cpu_get_the_kernel_for_one_vector(monkeypatch):
    """And the small ones of the book stay as they are, so that they compute alike everywhere."""
    swapped = []
    monkeypatch.setattr("llama_tutorial._util.fast_linear.fast_linear", swapped.append)
    load("tales")
    assert swapped == []
    monkeypatch.setattr("llama_tutorial.hub.LARGE", 1_000_000)
    model, _ = load("tales")
    assert swapped == [model]
