"""The native folder: any model there and back, and never half a checkpoint."""

from __future__ import annotations

import json
import os
import shutil
import struct
import sys

import pytest
import torch
from checkpoint_checks import listing, refused, same_weights
from small_models import EVERY, GPT2, LLAMA, NAMED, random_model, random_tokens
from torch.testing import assert_close

from llama_tutorial import PRESETS, load_model, load_tokenizer, save_model
from llama_tutorial.checkpoints import native, safetensors_file, save_adapter
from llama_tutorial.lora import add_lora
from llama_tutorial.shipped import SHIPPED

safetensors_torch = pytest.importorskip("safetensors.torch")


@pytest.fixture
def saved(tmp_path):
    """A native folder that can be damaged."""
    folder = tmp_path / "model"
    save_model(random_model(LLAMA), folder)
    return folder


# There and back


@pytest.mark.parametrize("name", EVERY)
def test_every_model_comes_back_exactly(tmp_path, name):
    model = random_model(EVERY[name])
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    assert again.config == model.config
    same_weights(again, model)
    tokens = random_tokens(model.config, 2, 9)
    # Not bit by bit: kernels may add in another order where the weights lie at another address.
    assert_close(again(tokens), model(tokens), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["llama-tied", "gpt2-untied"])
def test_every_dtype_comes_back_exactly(tmp_path, name, dtype):
    model = random_model(NAMED[name], dtype=dtype)
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    same_weights(again, model)
    tokens = random_tokens(model.config, 2, 9)
    if dtype in (torch.float64, torch.float32):
        small = 1e-5 if dtype == torch.float32 else 1e-12
        assert_close(again(tokens), model(tokens), rtol=small, atol=small)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_another_dtype_is_asked_for(saved, dtype):
    model = load_model(saved, dtype=dtype)
    same_weights(model, random_model(LLAMA).to(dtype))
    wide = torch.float64 if dtype == torch.float64 else torch.float32
    assert model.rope.cos.dtype == wide


def test_what_the_folder_holds(tmp_path):
    """Read with the library and with json, not with this package."""
    model = random_model(NAMED["llama-tied"])
    save_model(model, tmp_path / "model")
    assert listing(tmp_path / "model") == ["config.json", "model.safetensors"]
    config = json.loads((tmp_path / "model" / "config.json").read_text(encoding="utf-8"))
    assert config == {
        "format": "llama-tutorial",
        "version": 1,
        "model": {
            "dim": 24, "n_layers": 2, "n_heads": 4, "n_kv_heads": 4, "hidden_dim": 40,
            "vocab_size": 37, "max_seq_len": 32, "norm_eps": 1e-5, "rope_theta": 10000.0,
            "norm": "rmsnorm", "feed_forward": "swiglu", "positions": "rope", "bias": False,
            "tie_embeddings": True,
        },
    }  # fmt: skip
    tensors = safetensors_torch.load_file(tmp_path / "model" / "model.safetensors")
    assert "output.weight" not in tensors
    assert tensors.keys() == model.state_dict().keys()
    assert all(torch.equal(tensors[name], weight) for name, weight in model.state_dict().items())


@pytest.mark.filterwarnings("error")
def test_a_loaded_model_can_be_trained_and_its_file_stays(saved):
    before = (saved / "model.safetensors").read_bytes()
    model = load_model(saved)
    assert all(parameter.requires_grad for parameter in model.parameters())
    model(random_tokens(LLAMA, 1, 8)).logsumexp(-1).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert not torch.equal(model.norm.weight, random_model(LLAMA).norm.weight)
    assert (saved / "model.safetensors").read_bytes() == before


def test_a_checkpoint_is_saved_over_the_one_that_it_was_loaded_from(saved):
    model = load_model(saved)
    for _ in range(3):
        save_model(model, saved)
        model = load_model(saved)
    same_weights(model, random_model(LLAMA))
    assert listing(saved.parent) == ["model"]


def test_parameters_that_share_memory_without_being_tied(tmp_path):
    model = random_model(LLAMA)
    model.output.weight = model.tok_embeddings.weight
    model.layers[1].ffn_norm.weight.data = model.norm.weight.data
    model.layers[0].attention.wq.weight.data = model.layers[0].attention.wq.weight.data.T
    save_model(model, tmp_path / "model")
    again = load_model(tmp_path / "model")
    same_weights(again, model)
    assert again.output.weight.data_ptr() != again.tok_embeddings.weight.data_ptr()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such permissions")
def test_every_file_is_as_open_as_any_other(saved):
    (saved.parent / "plain").touch()
    plain = (saved.parent / "plain").stat().st_mode
    assert {path.stat().st_mode for path in saved.iterdir()} == {plain}


@pytest.mark.gpu
def test_a_model_is_loaded_to_a_gpu_and_saved_from_there(saved):
    model = load_model(saved, device="cuda")
    assert {p.device.type for p in (*model.parameters(), *model.buffers())} == {"cuda"}
    save_model(model, saved.parent / "again")
    same_weights(load_model(saved.parent / "again"), load_model(saved))


# With a tokenizer


def test_the_tokenizer_lies_beside_the_weights(assets, tmp_path):
    model = load_model(assets / "stories260K.bin")
    folder = tmp_path / "stories"
    save_model(model, folder, tokenizer=load_tokenizer(assets / "tok512.bin"))
    assert listing(folder) == ["config.json", "model.safetensors", "tokenizer.bin"]
    assert load_model(folder).config == PRESETS["stories260K"]
    assert (folder / "tokenizer.bin").read_bytes() == (assets / "tok512.bin").read_bytes()


def test_a_sentencepiece_tokenizer_keeps_its_own_form(assets, tmp_path):
    model = random_model(LLAMA.replace(dim=8, vocab_size=32000))
    tokenizer = load_tokenizer(assets / "tokenizer.model")
    save_model(model, tmp_path / "model", tokenizer=tokenizer)
    assert listing(tmp_path / "model") == ["config.json", "model.safetensors", "tokenizer.model"]
    written = (tmp_path / "model" / "tokenizer.model").read_bytes()
    assert written == (assets / "tokenizer.model").read_bytes()


def test_each_form_of_tokenizer_has_its_name(assets, tmp_path):
    model = random_model(LLAMA.replace(dim=8, vocab_size=32000))
    for name in ("tokenizer.model", "tokenizer.bin"):
        save_model(model, tmp_path / name, tokenizer=load_tokenizer(assets / name))
        assert listing(tmp_path / name) == ["config.json", "model.safetensors", name]


def test_a_tokenizer_that_is_larger_than_the_model(assets, tmp_path):
    tokenizer = load_tokenizer(assets / "tok512.bin")
    with pytest.raises(ValueError, match="the tokenizer has 512 pieces, the model 37: the model"):
        save_model(random_model(LLAMA), tmp_path / "model", tokenizer=tokenizer)
    assert not list(tmp_path.iterdir())


def test_saving_without_the_tokenizer_does_not_lose_it(assets, tmp_path):
    model = load_model(assets / "stories260K.bin")
    folder = tmp_path / "stories"
    save_model(model, folder, tokenizer=load_tokenizer(assets / "tok512.bin"))
    with pytest.raises(ValueError, match=r"would lose tokenizer.bin.*pass tokenizer="):
        save_model(model, folder)
    assert "tokenizer.bin" in listing(folder)


# What is replaced


def test_a_folder_that_is_no_checkpoint_is_not_replaced(tmp_path):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1.tex").write_text("mine")
    with pytest.raises(ValueError, match="is there already and no checkpoint of this package"):
        save_model(random_model(LLAMA), folder)
    assert (folder / "chapter1.tex").read_text() == "mine"
    assert listing(tmp_path) == ["thesis"]


def test_someone_elses_checkpoint_is_not_replaced(tmp_path):
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "config.json").write_text('{"model_type": "llama"}')
    (folder / "model.safetensors").write_bytes(b"weights")
    with pytest.raises(ValueError, match="is there already and no checkpoint of this package"):
        save_model(random_model(LLAMA), folder)
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_notes_in_a_checkpoint_are_not_lost(saved):
    (saved / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"model would lose notes.txt, which the new checkpoint"):
        save_model(random_model(LLAMA, seed=1), saved)
    same_weights(load_model(saved), random_model(LLAMA))


@pytest.mark.parametrize("format", ["native", "huggingface", "meta", "adapter"])
def test_only_the_files_that_are_written_are_replaced(tmp_path, format):
    """Another kind of tokenizer's files, and a folder of a tokenizer's name, are somebody's."""
    tokenizer = load_tokenizer(SHIPPED["tales"].tokenizer)
    model, folder = random_model(LLAMA.replace(vocab_size=1024)), tmp_path / "model"

    def save():
        if format == "adapter":
            save_adapter(model, folder, tokenizer=tokenizer)
        else:
            save_model(model, folder, format, tokenizer=tokenizer)

    if format == "adapter":
        add_lora(model, rank=1)
    save()
    save()
    names = listing(folder)
    own = next(name for name in names if name in ("tokenizer.model", "tokenizer.bin"))
    for name in {"vocab.json", "merges.txt", "tokenizer.bin", "tokenizer.model"} - {own}:
        (folder / name).write_text("precious")
        with pytest.raises(ValueError, match=f"would lose {name}, which the new"):
            save()
        assert (folder / name).read_text() == "precious"
        (folder / name).unlink()
    (folder / own).unlink()
    (folder / own).mkdir()
    (folder / own / "thesis.tex").write_text("precious")
    with pytest.raises(ValueError, match=f"would lose {own}/"):
        save()
    assert (folder / own / "thesis.tex").read_text() == "precious"
    assert listing(folder) == names


def test_an_empty_folder_is_filled(tmp_path):
    (tmp_path / "model").mkdir()
    save_model(random_model(LLAMA), tmp_path / "model")
    same_weights(load_model(tmp_path / "model"), random_model(LLAMA))


def test_a_file_is_not_replaced_by_a_folder(tmp_path):
    (tmp_path / "model").write_bytes(b"mine")
    with pytest.raises(ValueError, match="model is a file: give the name of a folder"):
        save_model(random_model(LLAMA), tmp_path / "model")
    assert (tmp_path / "model").read_bytes() == b"mine"


def test_another_model_takes_the_place_of_the_first(saved):
    model = random_model(GPT2, dtype=torch.bfloat16)
    save_model(model, saved)
    assert load_model(saved).config == GPT2
    same_weights(load_model(saved), model)


@pytest.mark.parametrize("step", ["weights", "tokenizer"])
def test_a_save_that_fails_halfway_leaves_the_old_checkpoint(saved, monkeypatch, assets, step):
    def full_disk(*args, **kwargs):
        raise OSError("no space left on device")

    tokenizer = None
    if step == "tokenizer":
        tokenizer = load_tokenizer(assets / "tok512.bin")
        monkeypatch.setattr(type(tokenizer), "save", full_disk)
        monkeypatch.setattr(native, "check_tokenizer", lambda *_: None)
    else:
        monkeypatch.setattr(safetensors_file, "progress", full_disk)
    with pytest.raises(OSError, match="no space left"):
        save_model(random_model(LLAMA, seed=1), saved, tokenizer=tokenizer)
    same_weights(load_model(saved), random_model(LLAMA))
    assert listing(saved.parent) == ["model"]


def test_a_missing_parent_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="no does not exist; make it first"):
        save_model(random_model(LLAMA), tmp_path / "no" / "model")


def test_a_model_that_is_not_as_its_config_says_is_not_saved(tmp_path):
    model = random_model(LLAMA)
    model.layers[1].attention.lora = torch.nn.Linear(2, 3, bias=False)
    message = r"the model is not as its config says; unexpected: layers.1.attention.lora.weight$"
    with pytest.raises(ValueError, match=message):
        save_model(model, tmp_path / "model")
    assert not list(tmp_path.iterdir())


# Damaged and foreign


def rewrite_tensors(folder, change):
    path = folder / "model.safetensors"
    tensors = {name: t.clone() for name, t in safetensors_torch.load_file(path).items()}
    change(tensors)
    safetensors_torch.save_file(tensors, path)


def rewrite_config(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    change(config)
    path.write_text(json.dumps(config), encoding="utf-8")


def test_missing_weights(saved):
    (saved / "model.safetensors").unlink()
    assert refused(saved, FileNotFoundError).endswith("model.safetensors: no such file")


def test_missing_tensors(saved):
    rewrite_tensors(saved, lambda tensors: tensors.pop("layers.1.attention.wo.weight"))
    expected = "does not hold the model of config.json; missing: layers.1.attention.wo.weight"
    assert refused(saved).endswith(expected)


def test_many_missing_tensors(saved):
    rewrite_tensors(saved, lambda tensors: [tensors.pop(n) for n in list(tensors) if ".1." in n])
    assert refused(saved).endswith("layers.1.feed_forward.w2.weight and 3 more")


def test_unexpected_tensors(saved):
    def add(tensors):
        tensors["rope.freqs"] = torch.ones(3)

    rewrite_tensors(saved, add)
    expected = "does not hold the model of config.json; unexpected: rope.freqs"
    assert refused(saved).endswith(expected)


def test_a_tied_model_with_a_head(tmp_path):
    save_model(random_model(LLAMA), tmp_path / "model")
    rewrite_config(tmp_path / "model", lambda c: c["model"].update(tie_embeddings=True))
    assert refused(tmp_path / "model").endswith("unexpected: output.weight")


def test_tensors_of_a_wrong_shape(saved):
    def transpose(tensors):
        tensors["output.weight"] = tensors["output.weight"].T.contiguous()

    rewrite_tensors(saved, transpose)
    expected = "config.json; wrong shape: output.weight is (24, 37), must be (37, 24)"
    assert refused(saved).endswith(expected)


def test_integer_weights(saved):
    def truncate(tensors):
        tensors["norm.weight"] = tensors["norm.weight"].long()

    rewrite_tensors(saved, truncate)
    assert "norm.weight is int64; weights are floating numbers" in refused(saved)


def test_weights_of_two_types_need_a_choice(saved):
    def half(tensors):
        tensors["norm.weight"] = tensors["norm.weight"].bfloat16()

    rewrite_tensors(saved, half)
    assert "the weights are bfloat16 and float32; choose one with dtype=" in refused(saved)
    assert load_model(saved, dtype=torch.float32).dtype == torch.float32


REFUSED = (
    "model.safetensors is truncated, damaged or no safetensors file: it has {} bytes and begins"
)


@pytest.mark.parametrize("keep", [0, 5, 100, 0.5, -1])
def test_truncated_weights(saved, keep):
    path = saved / "model.safetensors"
    data = path.read_bytes()
    size = int(len(data) * keep) if isinstance(keep, float) else len(data[:keep])
    path.write_bytes(data[:size])
    text = refused(saved)
    assert REFUSED.format(size) in text
    assert text.endswith("; download or write it again")


def test_weights_with_something_behind_them(saved):
    path = saved / "model.safetensors"
    size = path.stat().st_size
    with open(path, "ab") as file:
        file.write(b"more")
    assert REFUSED.format(size + 4) in refused(saved)


def test_foreign_weights(saved):
    (saved / "model.safetensors").write_text("import os\n" * 30)
    assert REFUSED.format(300) + r" with b'import os\nimport os\n'" in refused(saved)


@pytest.mark.parametrize("header", [b"{nonsense", b"{}  ", b'{"a": 1}', b'{"a": {"shape": [1]}}'])
def test_weights_with_a_damaged_header(saved, header):
    path = saved / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header)
    text = refused(saved)
    if header == b"{}  ":
        assert "missing: tok_embeddings.weight" in text
    else:
        assert "invalid JSON in header" in text


def test_weights_whose_places_overlap(saved):
    entry = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
    header = json.dumps({"a": entry, "b": {**entry, "data_offsets": [4, 12]}}).encode()
    data = struct.pack("<Q", len(header)) + header + bytes(12)
    (saved / "model.safetensors").write_bytes(data)
    assert "invalid offset for tensor" in refused(saved)


@pytest.mark.parametrize("text", ["", "{", '{"format": "llama-tut'])
def test_a_truncated_config(saved, text):
    (saved / "config.json").write_text(text)
    assert "config.json is not JSON: " in refused(saved)


@pytest.mark.parametrize("version", [2, 0, "1", None])
def test_an_unknown_version(saved, version):
    rewrite_config(saved, lambda config: config.update(version=version))
    text = refused(saved)
    assert f"config.json is of version {version!r}, and this package reads version 1" in text


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.pop("model"), 'is damaged: "model" must hold the model\'s configuration'),
        (lambda c: c["model"].pop("norm_eps"), "config.json is damaged; missing: norm_eps"),
        (lambda c: c["model"].update(dropout=0.1), "config.json is damaged; unexpected: dropout"),
        (lambda c: c["model"].update(n_heads=5), "config.json is damaged: n_heads=5 does not"),
        (lambda c: c["model"].update(norm="batchnorm"), "config.json is damaged: norm='batchnorm'"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_config_that_makes_no_model(saved, change, message):
    rewrite_config(saved, change)
    assert message in refused(saved)


def test_the_config_of_another_model(saved):
    rewrite_config(saved, lambda config: config["model"].update(n_layers=3))
    assert "missing: layers.2.attention.wq.weight" in refused(saved)


def test_a_folder_whose_save_was_interrupted_is_named(saved):
    """Between the two renames of a save the old checkpoint has another name."""
    aside = saved.with_name(f".{saved.name}.old.tmp")
    saved.rename(aside)
    text = refused(saved, FileNotFoundError)
    assert text.endswith(f"has left the old one as {aside}: give it its name back")
    save_model(random_model(LLAMA, seed=1), saved)
    same_weights(load_model(saved), random_model(LLAMA, seed=1))
    assert listing(saved.parent) == ["model"]


def test_a_renamed_folder_is_still_known(saved):
    shutil.move(saved, saved.parent / "x.bin")
    same_weights(load_model(os.fspath(saved.parent / "x.bin")), random_model(LLAMA))
