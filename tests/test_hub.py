"""``load``: a model and its tokenizer by one name."""

from __future__ import annotations

import os
import re
from functools import partial
from pathlib import Path

import pytest
import torch

pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")

from small_models import LLAMA, random_model, with_lora

from llama_tutorial import Tokenizer, generate, load, load_model, load_tokenizer, save_model
from llama_tutorial.checkpoints import load_adapter, save_adapter
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
        with pytest.raises(ValueError, match=rf"^device='{device}': .* here; this machine has cpu"):
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


# Vocabularies that were filled up to a multiple of 64 or 128.

PADDED = [("llama", {}), ("tied", {"tie_embeddings": True})]


def padding_that_would_be_drawn(config, rows):
    """A model in which the ids without a piece are by far the likeliest."""
    model = random_model(config.replace(vocab_size=rows))
    with torch.no_grad():
        model.norm.weight.fill_(1.0)
        model.output.weight[config.vocab_size :] = 1e3 * model.output.weight[:1]
        model.output.weight[config.vocab_size + 1 :: 2] *= -1
    return model


def check_pair(model, tokenizer, whole):
    n = tokenizer.vocab_size
    assert model.config == whole.config.replace(vocab_size=n)
    prompts = [[1], [1, 5, 9], [1, n - 1]]
    for temperature in (0, 1.0):
        rows = model.generate if hasattr(model, "generate") else partial(generate, model)
        drawn = rows(prompts, 8, temperature=temperature, top_p=1.0, seed=0)
        assert all(0 <= i < n for row in drawn for i in row)
        assert tokenizer.decode(drawn[0]) is not None
    with pytest.raises(ValueError, match=f"the model's ids are 0 to {n - 1}"):
        rows([[n]], 1)


@pytest.mark.parametrize(("name", "changes"), PADDED)
@pytest.mark.parametrize("format", ["native", "huggingface", "meta"])
def test_padding_is_left_out_and_never_drawn(tmp_path, model, tokenizer, format, name, changes):
    whole = padding_that_would_be_drawn(model.config.replace(**changes), 320)
    save_model(whole, tmp_path / "model", format, tokenizer=tokenizer)
    assert load_model(tmp_path / "model").config.vocab_size == 320
    small, pieces = load(tmp_path / "model")
    check_pair(small, pieces, load_model(tmp_path / "model"))
    tokens = torch.tensor([[1, 5, 9]])
    logits = whole(tokens)[..., :300]
    assert torch.allclose(small(tokens), logits, atol=1e-5)
    save_model(small, tmp_path / "again", tokenizer=pieces)  # and comes back as it is
    assert load(tmp_path / "again")[0].config == small.config


@pytest.mark.parametrize("format", ["llama2c", "llama2c-v1", "llama2c-int8"])
@pytest.mark.parametrize("engine", ["torch", "numpy"])
@pytest.mark.parametrize(("name", "changes"), PADDED)
def test_so_it_is_in_a_file_for_both_engines(
    tmp_path, model, tokenizer, format, engine, name, changes
):
    whole = padding_that_would_be_drawn(model.config.replace(**changes), 320)
    save_model(whole, tmp_path / "a.bin", format, group_size=8)
    tokenizer.save(tmp_path / "t.model")
    small, pieces = load(tmp_path / "a.bin", tokenizer=tmp_path / "t.model", engine=engine)
    check_pair(small, pieces, load_model(tmp_path / "a.bin"))


def test_an_adapter_of_a_padded_model_loads_with_it(tmp_path, model, tokenizer):
    whole = random_model(model.config.replace(vocab_size=320))
    save_model(whole, tmp_path / "base", tokenizer=tokenizer)
    for base in (whole, load(tmp_path / "base")[0]):
        save_adapter(with_lora(base), tmp_path / "adapter", base=tmp_path / "base")
        again, pieces = load(tmp_path / "adapter")
        assert again.config.vocab_size == pieces.vocab_size == 300
        plain, _ = load(tmp_path / "base")
        load_adapter(plain, tmp_path / "adapter")
        tokens = torch.tensor([[1, 5, 9]])
        assert torch.allclose(again(tokens), plain(tokens), atol=1e-4)


@pytest.mark.parametrize("format", ["native", "huggingface", "meta"])
@pytest.mark.parametrize("rows", [299, 300, 301, 308, 309, 320, 384, 552, 553, 600])
def test_what_is_saved_with_a_tokenizer_is_loaded(tmp_path, model, tokenizer, format, rows):
    other = random_model(model.config.replace(vocab_size=rows))
    if rows in (299, 309, 553, 600):
        with pytest.raises(ValueError, match=f"the tokenizer has 300 pieces, the model {rows}"):
            save_model(other, tmp_path / "model", format, tokenizer=tokenizer)
        assert not (tmp_path / "model").exists()
    else:
        save_model(other, tmp_path / "model", format, tokenizer=tokenizer)
        assert load(tmp_path / "model")[0].config.vocab_size == 300


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


def test_what_is_no_model_and_no_tokenizer_is_named_without_waiting(tmp_path, model, tokenizer):
    os.mkfifo(tmp_path / "pipe")
    save_model(model, tmp_path / "model", tokenizer=tokenizer)
    (tmp_path / "lfs").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 2**28)
    for path, message in {
        tmp_path / "pipe": "is a named pipe",
        "a" * 5000: "5000 characters",
    }.items():
        with pytest.raises(ValueError, match=message):
            load(path)
        with pytest.raises(ValueError, match=message):
            load(tmp_path / "model", tokenizer=path)
    with pytest.raises(ValueError, match="git lfs pull"):
        load(tmp_path / "model", tokenizer=tmp_path / "lfs")
    with pytest.raises(ValueError, match="268435456 bytes: no tokenizer has so many"):
        load(tmp_path / "model", tokenizer=tmp_path / "large")


def test_the_folder_of_a_run_is_its_model(tmp_path):
    tokenizer = Tokenizer.train(["the cat sat on the mat", "a dog ran to the park"] * 50, 290)
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "settings.json").write_text("{}")
    with pytest.raises(FileNotFoundError, match="a training run that is not finished: it has no"):
        load(run)
    save_model(random_model(LLAMA.replace(vocab_size=290)), run / "model", tokenizer=tokenizer)
    model, found = load(run)
    assert (model.config.vocab_size, found.vocab_size) == (290, 290)


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("stories15M", "karpathy/tinyllamas with --filename stories15M.bin"),
        ("llama-2-7b", "meta-llama/Llama-2-7b on the Hugging Face hub"),
        ("llama-2-34b", "Meta has never published them"),
    ],
)
def test_a_preset_is_no_model(name, where):
    with pytest.raises(FileNotFoundError, match=f"{name} is a preset: .* without its weights; .*"):
        load(name)
    with pytest.raises(FileNotFoundError, match=re.escape(where)):
        load(name)
