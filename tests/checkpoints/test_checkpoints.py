"""Which format a path is of, and what is said when it is of none."""

from __future__ import annotations

import sys

import pytest
import torch
from small_models import LLAMA, random_model

from llama_tutorial import load_model, load_tokenizer, save_model
from llama_tutorial.checkpoints import open_checkpoint

pytest.importorskip("safetensors")
pytest.importorskip("gguf")

FOLDERS = ["native", "huggingface", "meta"]
LLAMA2C = ["llama2c", "llama2c-v1", "llama2c-int8"]
FORMATS = [*FOLDERS, *LLAMA2C, "gguf"]
KNOWN = (
    "load_model knows this package's own folders (config.json and model.safetensors), Meta's "
    "(params.json and consolidated.00.pth), Hugging Face's of a Llama or a GPT-2 (config.json and "
    "safetensors or pytorch_model.bin), llama2.c's files (.bin, version 0, 1 or 2), llama.cpp's "
    "(.gguf), and adapters' folders (adapter.json, or peft's adapter_config.json)"
)


@pytest.mark.parametrize("name", ["model", "model.safetensors", "tokenizer.model", "params.json"])
@pytest.mark.parametrize("format", FORMATS)
def test_a_format_is_known_by_its_content_and_not_by_its_name(tmp_path, format, name):
    model = random_model(LLAMA)
    save_model(model, tmp_path / name, format, group_size=8)
    again = load_model(tmp_path / name)
    assert again.config == model.config
    assert torch.equal(again.norm.weight, model.norm.weight)


def test_native_is_what_is_saved_if_nothing_is_said(tmp_path):
    save_model(random_model(LLAMA), str(tmp_path / "model"))
    assert (tmp_path / "model" / "config.json").is_file()


def refused(path, kind=ValueError):
    with pytest.raises(kind) as error:
        load_model(path)
    assert str(path) in str(error.value)
    return str(error.value)


def test_a_missing_path(tmp_path):
    assert refused(tmp_path / "x", FileNotFoundError).endswith("x: no such file or folder")


def test_an_empty_folder(tmp_path):
    assert refused(tmp_path) == f"the folder {tmp_path} is empty; {KNOWN}"


def test_a_folder_of_other_things(tmp_path):
    for name in "bdac":
        (tmp_path / name).touch()
    assert refused(tmp_path) == f"the folder {tmp_path} holds a, b, c, d; {KNOWN}"
    for number in range(10):
        (tmp_path / f"e{number}").touch()
    assert f"holds a, b, c, d, e0, e1 and 8 more; {KNOWN}" in refused(tmp_path)


def test_a_folder_with_someone_elses_config(tmp_path):
    (tmp_path / "config.json").write_text('{"sizes": [1, 2]}')
    assert f"holds config.json; {KNOWN}" in refused(tmp_path)


def test_a_folder_with_checkpoints_of_two_formats(tmp_path):
    save_model(random_model(LLAMA), tmp_path / "model", "huggingface")
    save_model(random_model(LLAMA), tmp_path / "other", "meta")
    for path in (tmp_path / "other").iterdir():
        path.rename(tmp_path / "model" / path.name)
    assert refused(tmp_path / "model").endswith(
        "holds checkpoints of several formats, Meta's and Hugging Face's: move one of them into a "
        "folder of its own"
    )


def test_an_empty_file(tmp_path):
    (tmp_path / "model.bin").touch()
    assert refused(tmp_path / "model.bin").endswith("model.bin is empty (0 bytes)")


def test_a_foreign_file(tmp_path):
    (tmp_path / "a.py").write_text("import torch\n\nmodel = load()\n")
    text = refused(tmp_path / "a.py")
    assert "is no llama2.c checkpoint but text that begins 'import torch model" in text
    assert text.endswith(KNOWN)


def test_a_lone_part_of_a_native_folder(tmp_path):
    save_model(random_model(LLAMA), tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    hint = f"it lies in a checkpoint: give the folder {tmp_path / 'model'}"
    assert f"is no llama2.c checkpoint but a safetensors file; {hint}" in refused(file)
    (tmp_path / "model" / "config.json").write_text("{")
    assert "is no llama2.c checkpoint but a safetensors file; load_model knows" in refused(file)


def test_a_lone_shard_of_metas(tmp_path):
    save_model(random_model(LLAMA), tmp_path / "model", "meta")
    text = refused(tmp_path / "model" / "consolidated.00.pth")
    assert "but a zip archive, as torch.save makes them; it lies in a checkpoint: give" in text


def test_a_tokenizer_in_the_models_place(assets):
    assert KNOWN in refused(assets / "tok512.bin")


def test_a_dtype_that_no_weight_has(tmp_path):
    save_model(random_model(LLAMA), tmp_path / "model")
    with pytest.raises(ValueError, match=r"dtype=int8: must be a floating type"):
        load_model(tmp_path / "model", dtype=torch.int8)


def test_an_unknown_format_lists_the_known_ones(tmp_path):
    message = (
        "format='onnx': must be one of 'native', 'huggingface', 'meta', 'llama2c', 'llama2c-v1', "
        "'llama2c-int8', 'gguf'$"
    )
    with pytest.raises(ValueError, match=message):
        save_model(random_model(LLAMA), tmp_path / "model", "onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", [name for name in FORMATS if name != "meta"])
def test_only_metas_format_is_cut_into_shards(tmp_path, format):
    with pytest.raises(ValueError, match=f"shards=2: format='{format}' is not cut; only 'meta' is"):
        save_model(random_model(LLAMA), tmp_path / "model", format, shards=2)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format", LLAMA2C)
def test_llama2cs_files_hold_no_tokenizer(assets, tmp_path, format):
    tokenizer = load_tokenizer(assets / "tok512.bin")
    model = load_model(assets / "stories260K.bin")
    with pytest.raises(
        ValueError, match=rf"format='{format}' holds no tokenizer: .*_tokenizer_bin"
    ):
        save_model(model, tmp_path / "model", format, tokenizer=tokenizer)
    assert not list(tmp_path.iterdir())


def test_a_checkpoint_is_opened_without_being_read(tmp_path):
    for format, (name, dtype) in {
        "native": ("native", "float32"),
        "huggingface": ("Hugging Face, llama", "float32"),
        "meta": ("Meta, 1 shard", "float32"),
        "llama2c": ("llama2.c, version 0", "float32"),
        "llama2c-int8": ("llama2.c, version 2", "int8 in groups of 8"),
    }.items():
        save_model(random_model(LLAMA), tmp_path / format, format, group_size=8)
        with open_checkpoint(tmp_path / format) as checkpoint:
            found = (checkpoint.format, checkpoint.dtype, checkpoint.config)
            assert found == (name, dtype, LLAMA)


def test_only_reading_safetensors_needs_the_library(tmp_path, monkeypatch):
    model = random_model(LLAMA)
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    for format in FORMATS:
        save_model(model, tmp_path / format, format, group_size=8)
    for format in ["meta", *LLAMA2C]:
        assert load_model(tmp_path / format).config == LLAMA
    message = r"need the library of that name: pip install 'llama-tutorial\[torch\]'"
    for format in ["native", "huggingface"]:
        with pytest.raises(ImportError, match=message):
            load_model(tmp_path / format)
