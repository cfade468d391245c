"""Adapters on disk: there and back, merged and not, and nothing loaded onto the wrong base."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from small_models import GPT2, LLAMA, NAMED, random_model, random_tokens, with_lora
from torch.testing import assert_close

pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")

from safetensors.torch import load_file

from llama_tutorial import Tokenizer, Transformer, load, load_model, load_tokenizer, save_model
from llama_tutorial.checkpoints import (
    adapter,
    load_adapter,
    open_checkpoint,
    save_adapter,
)
from llama_tutorial.checkpoints.folders import formats_of
from llama_tutorial.cli import main
from llama_tutorial.lora import (
    adapter_state,
    add_lora,
    lora_config,
    lora_layers,
    merge_lora,
    unmerge_lora,
)
from llama_tutorial.shipped import SHIPPED

TOKENS = random_tokens(LLAMA, 2, 9)


def trained(tmp_path, config=LLAMA, dtype=torch.float32, **settings) -> Transformer:
    """A base in ``tmp_path / "base"``, its adapter in ``tmp_path / "adapter"``, and both."""
    model = random_model(config, dtype=dtype)
    save_model(model, tmp_path / "base")
    with_lora(model, **settings)
    save_adapter(model, tmp_path / "adapter", base=tmp_path / "base")
    return model


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


def edit(folder, **changes):
    """Write other values into an adapter.json."""
    path = folder / "adapter.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# There and back


@pytest.mark.parametrize("name", NAMED)
@torch.no_grad()
def test_every_models_adapter_comes_back_exactly(tmp_path, name):
    config = NAMED[name]
    targets = ("wq", "wo", "w1", "w2") + (("w3",) if config.feed_forward == "swiglu" else ())
    model = trained(tmp_path, config, rank=3, alpha=5.0, dropout=0.25, targets=targets)
    again, tokens = random_model(config), random_tokens(config, 2, 9)
    load_adapter(again, tmp_path / "adapter")
    assert lora_config(again) == lora_config(model)
    assert {n for n, p in again.named_parameters() if p.requires_grad} == set(adapter_state(model))
    for tensor_name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[tensor_name], tensor), tensor_name
    assert_close(again(tokens), model(tokens), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_an_adapter_that_was_loaded_drops_nothing(tmp_path):
    trained(tmp_path, dropout=0.5)
    model = load_model(tmp_path / "base").train()
    for _ in range(2):  # new adapters, and other values for those that are there
        load_adapter(model.train(), tmp_path / "adapter")
        assert torch.equal(model(TOKENS), model(TOKENS))
        assert not any(module.training for module in model.modules())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_adapters_keep_their_own_dtype(tmp_path, dtype):
    model = trained(tmp_path, dtype=dtype)
    stored = load_file(tmp_path / "adapter" / adapter.TENSORS)
    wide = torch.promote_types(dtype, torch.float32)
    assert {tensor.dtype for tensor in stored.values()} == {wide}
    assert all(torch.equal(stored[name], t) for name, t in adapter_state(model).items())


def test_the_folder_is_small_and_says_what_it_is(tmp_path):
    trained(tmp_path, rank=2, targets=("wq",))
    assert listing(tmp_path / "adapter") == ["adapter.json", "adapter.safetensors"]
    assert json.loads((tmp_path / "adapter" / "adapter.json").read_text()) == {
        "format": "llama-tutorial-adapter",
        "version": 1,
        "base": "../base",
        "lora": {"rank": 2, "alpha": 16.0, "dropout": 0.0, "targets": ["wq"]},
        "model": LLAMA.to_dict(),
    }
    numbers = 2 * 2 * (24 + 24)
    assert (tmp_path / "adapter" / "adapter.safetensors").stat().st_size < 4 * numbers + 1000


def test_a_merged_model_saves_the_same_adapter(tmp_path):
    model = trained(tmp_path)
    before = (tmp_path / "adapter" / "adapter.safetensors").read_bytes()
    merge_lora(model)
    save_adapter(model, tmp_path / "adapter", base=tmp_path / "base")
    assert (tmp_path / "adapter" / "adapter.safetensors").read_bytes() == before


@torch.no_grad()
def test_values_are_replaced_in_a_model_that_has_such_adapters(tmp_path):
    model = trained(tmp_path, rank=3, dropout=0.1)
    again = random_model(LLAMA)
    add_lora(again, rank=3, dropout=0.5)
    parameters = dict(again.named_parameters())
    load_adapter(again, tmp_path / "adapter")
    assert_close(again(TOKENS), model(TOKENS), rtol=1e-5, atol=1e-5)
    assert lora_config(again).dropout == 0.5  # how it goes on training is the caller's affair
    # An optimiser that holds them goes on with them.
    assert all(parameters[name] is p for name, p in again.named_parameters())


def test_a_model_without_storage_gets_the_adapters(tmp_path):
    model = trained(tmp_path)
    with torch.device("meta"):
        again = Transformer(LLAMA)
    load_adapter(again, tmp_path / "adapter")
    state = again.state_dict()
    assert all(torch.equal(state[name], t) for name, t in adapter_state(model).items())


def test_the_context_may_be_another(tmp_path):
    trained(tmp_path)
    again = random_model(LLAMA.replace(max_seq_len=64))
    load_adapter(again, tmp_path / "adapter")
    assert lora_layers(again)


# As a model


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@torch.no_grad()
def test_load_model_merges(tmp_path, dtype):
    model = trained(tmp_path, dtype=dtype)
    again = load_model(tmp_path / "adapter")
    assert again.dtype == dtype
    assert not lora_layers(again)
    assert all(p.requires_grad for p in again.parameters())
    merge_lora(model, keep_base=False)
    for name, tensor in model.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name


@torch.no_grad()
def test_it_is_merged_in_the_type_that_is_asked_for(tmp_path):
    """A bfloat16 base in float32: the change is not rounded to bfloat16 on the way."""
    model = trained(tmp_path, dtype=torch.bfloat16)
    again = load_model(tmp_path / "adapter", dtype=torch.float32)
    wide = model.float()
    merge_lora(wide, keep_base=False)
    assert all(torch.equal(again.state_dict()[n], t) for n, t in wide.state_dict().items())
    rounded = load_model(tmp_path / "adapter").float()
    assert not torch.equal(rounded(TOKENS), again(TOKENS))


@pytest.mark.parametrize("format", ["huggingface", "meta", "llama2c"])
@torch.no_grad()
def test_the_base_may_be_of_any_format(tmp_path, format):
    model = trained(tmp_path, rank=2)
    save_model(random_model(LLAMA), tmp_path / "other", format)
    save_adapter(model, tmp_path / "adapter", base=tmp_path / "other")
    merge_lora(model)
    assert_close(load_model(tmp_path / "adapter")(TOKENS), model(TOKENS), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_an_adapter_may_stand_on_an_adapter(tmp_path):
    model = trained(tmp_path, rank=2)
    merge_lora(model, keep_base=False)
    with_lora(model, rank=1, targets=("w2",))
    save_adapter(model, tmp_path / "second", base=tmp_path / "adapter")
    merge_lora(model)
    assert_close(load_model(tmp_path / "second")(TOKENS), model(TOKENS), rtol=1e-5, atol=1e-5)


def test_base_and_adapter_can_be_moved_together(tmp_path, monkeypatch):
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path / "runs")
    model = random_model(LLAMA)
    save_model(model, "base")
    save_adapter(with_lora(model), "adapter", base="base")  # as seen from here
    shutil.move(tmp_path / "runs", tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)
    assert load_model("elsewhere/adapter").config == LLAMA
    shutil.rmtree("elsewhere/base")
    with pytest.raises(
        FileNotFoundError, match=r"adapter on \.\./base, and there is no such file or folder"
    ):
        load_model("elsewhere/adapter")


@torch.no_grad()
def test_load_finds_the_bases_tokenizer_or_its_own(tmp_path, capsys):
    model, tokenizer = load("tales", dtype=torch.float32)
    with_lora(model, rank=2)
    save_adapter(model, tmp_path / "adapter", base="tales")
    again, found = load(tmp_path / "adapter", dtype=torch.float32)
    assert found.vocabulary.pieces == tokenizer.vocabulary.pieces
    tokens = torch.arange(30)[None]
    merge_lora(model)
    assert_close(again(tokens), model(tokens), rtol=0, atol=1e-4)

    save_adapter(model, tmp_path / "adapter", base="tales", tokenizer=tokenizer)
    assert "tokenizer.model" in listing(tmp_path / "adapter")
    again_found = load(tmp_path / "adapter")[1]
    assert again_found.vocabulary.pieces == tokenizer.vocabulary.pieces

    assert main(["info", str(tmp_path / "adapter")]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first.endswith("adapter: LoRA of rank 2 on tales (native), bfloat16")
    assert main(["generate", "--checkpoint", str(tmp_path / "adapter"), "--seed", "1"]) == 0
    out = str(tmp_path / "whole")
    assert main(["convert", str(tmp_path / "adapter"), out, "--dtype", "float32"]) == 0
    whole, _ = load(out)
    assert_close(whole(tokens), again(tokens), rtol=0, atol=1e-5)


def test_a_base_on_the_hub_is_downloaded(tmp_path, monkeypatch):
    model = random_model(LLAMA)
    save_model(model, tmp_path / "downloaded")
    save_adapter(with_lora(model), tmp_path / "adapter", base="meta-llama/Llama-2-7b")
    contents = json.loads((tmp_path / "adapter" / "adapter.json").read_text())
    assert contents["base"] == "meta-llama/Llama-2-7b"
    save_adapter(model, tmp_path / "short", base="gpt2-xl")
    contents = json.loads((tmp_path / "short" / "adapter.json").read_text())
    assert contents["base"] == "openai-community/gpt2-xl"
    asked = []
    monkeypatch.setattr(
        "llama_tutorial.checkpoints.download.download_model",
        lambda name: asked.append(name) or tmp_path / "downloaded",
    )
    assert load_model(tmp_path / "adapter").config == LLAMA
    assert asked == ["meta-llama/Llama-2-7b"]


# Errors


def test_save_model_refuses_a_model_with_adapters(tmp_path):
    model = trained(tmp_path)
    for merged in (False, True):
        for format in ("native", "huggingface", "meta", "llama2c"):
            with pytest.raises(ValueError, match=r"has LoRA adapters: save_adapter\(model, path\)"):
                save_model(model, tmp_path / "whole", format)
        if not merged:
            merge_lora(model)
    assert listing(tmp_path) == ["adapter", "base"]
    merge_lora(model, keep_base=False)
    save_model(model, tmp_path / "whole")


def test_save_adapter_says_what_is_wrong(tmp_path):
    model, plain = trained(tmp_path), random_model(LLAMA)
    with pytest.raises(ValueError, match="the model has no LoRA adapters"):
        save_adapter(plain, tmp_path / "new")
    with pytest.raises(FileNotFoundError, match=r"base='talse': no such .* \(tales, tales-small"):
        save_adapter(model, tmp_path / "new", base="talse")
    with pytest.raises(ValueError, match="base is there already and no checkpoint of this pack"):
        save_adapter(model, tmp_path / "base")
    with pytest.raises(FileNotFoundError, match="missing does not exist; make it first"):
        save_adapter(model, tmp_path / "missing" / "new")
    big = load_tokenizer(SHIPPED["tales"].tokenizer)
    with pytest.raises(ValueError, match="the tokenizer has 1024 pieces, the model 37"):
        save_adapter(model, tmp_path / "new", tokenizer=big)
    (tmp_path / "adapter" / "notes.txt").write_text("mine")
    with pytest.raises(ValueError, match=r"would lose notes\.txt"):
        save_adapter(model, tmp_path / "adapter")
    assert listing(tmp_path) == ["adapter", "base"]


@pytest.mark.parametrize(
    ("base", "error", "message"),
    [
        ("tales", ValueError, "tales is not the base of the adapter in .*dim is 128, must be 24"),
        ("other", ValueError, "other is not the base of the adapter in .*n_layers is 3, must be 2"),
        ("", ValueError, "base='': must be a name or a path"),
        (".", ValueError, "base='.': the folder . holds adapter, base, notes.txt, other; load_mod"),
        ("notes.txt", ValueError, "base='notes.txt': notes.txt"),
        ("empty", FileNotFoundError, "base='empty': .*safetensors"),
        ("adapter", ValueError, "base='adapter': adapter cannot be its own base"),
        ("second", ValueError, "base='second': the bases of adapters point in a circle"),
    ],
)
def test_a_base_that_load_would_refuse_is_refused(tmp_path, monkeypatch, base, error, message):
    model = trained(tmp_path)
    save_model(random_model(LLAMA.replace(n_layers=3)), tmp_path / "other")
    (tmp_path / "notes.txt").write_text("mine")
    if base == "empty":
        shutil.copytree(tmp_path / "base", tmp_path / "empty")
        (tmp_path / "empty" / "model.safetensors").unlink()
    if base == "second":
        save_adapter(model, tmp_path / "second", base=tmp_path / "adapter")
    monkeypatch.chdir(tmp_path)
    before = (tmp_path / "adapter" / "adapter.json").read_bytes()
    with pytest.raises(error, match=message):
        save_adapter(model, "adapter", base=base)
    assert (tmp_path / "adapter" / "adapter.json").read_bytes() == before


def test_adapters_that_one_file_cannot_hold_are_refused(tmp_path):
    model = with_lora(random_model(LLAMA))
    layer = model.layers[1].attention.wk
    for name, value in (("alpha", 99.0), ("rank", 3), ("dropout", 0.5)):
        before = getattr(layer, name)
        setattr(layer, name, value)
        with pytest.raises(ValueError, match=f"{name} is .* in layers.0.*{value} in layers.1.att"):
            save_adapter(model, tmp_path / "new")
        setattr(layer, name, before)
    save_adapter(model, tmp_path / "new")
    model.layers[1].attention.wk = torch.nn.Linear(24, 24, bias=False)
    with pytest.raises(
        ValueError, match=r"layers\.1\.attention\.wk has no adapter, and wk of another"
    ):
        save_adapter(model, tmp_path / "newer")
    assert listing(tmp_path) == ["new"]


def test_an_adapter_that_could_not_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    model = trained(tmp_path)
    before = {path.name: path.read_bytes() for path in (tmp_path / "adapter").iterdir()}

    def full_disk(*_):
        raise OSError("no space left on device")

    monkeypatch.setattr(adapter, "save_safetensors", full_disk)
    with pytest.raises(OSError, match="no space left"):
        save_adapter(model, tmp_path / "adapter")
    after = {path.name: path.read_bytes() for path in (tmp_path / "adapter").iterdir()}
    assert after == before
    assert listing(tmp_path) == ["adapter", "base"]


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (LLAMA.replace(dim=32), "dim is 32, must be 24"),
        (LLAMA.replace(n_layers=3), "n_layers is 3, must be 2"),
        (LLAMA.replace(n_kv_heads=2), "n_kv_heads is 2, must be 4"),
        (LLAMA.replace(rope_theta=500.0), r"rope_theta is 500\.0, must be 10000\.0"),
        (GPT2, "norm is layernorm, must be rmsnorm, feed_forward is gelu"),
    ],
)
def test_another_base_is_refused(tmp_path, config, message):
    trained(tmp_path)
    model = random_model(config)
    with pytest.raises(ValueError, match=f"the model is not the base of the .*{message}"):
        load_adapter(model, tmp_path / "adapter")
    assert not lora_layers(model)
    save_model(model, tmp_path / "other")
    edit(tmp_path / "adapter", base="../other")
    with pytest.raises(ValueError, match=f"is not the base of the adapter .*{message}"):
        load_model(tmp_path / "adapter")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"rank": 4}, "rank is 4, must be 3"),
        ({"rank": 3, "alpha": 4.0}, r"alpha is 4\.0, must be 16\.0"),
        (
            {"rank": 3, "targets": ("wq",)},
            r"targets is \['wq'\], must be \['w1', 'w2', 'w3', 'wk', 'wo', 'wq', 'wv'\]",
        ),
    ],
)
def test_other_adapters_are_not_overwritten(tmp_path, settings, message):
    trained(tmp_path, rank=3)
    model = random_model(LLAMA)
    add_lora(model, **settings)
    with pytest.raises(ValueError, match=rf"are not like those in .*{message}; remove_lora\(model"):
        load_adapter(model, tmp_path / "adapter")


def test_merged_adapters_are_not_overwritten(tmp_path):
    model = trained(tmp_path)
    merge_lora(model)
    with pytest.raises(ValueError, match=r"are merged: unmerge_lora\(model\) first"):
        load_adapter(model, tmp_path / "adapter")
    unmerge_lora(model)
    load_adapter(model, tmp_path / "adapter")


def test_tensors_that_do_not_fit_are_named(tmp_path):
    model = trained(tmp_path, rank=2, targets=("wq",))
    folder = tmp_path / "adapter"
    state = adapter_state(model)
    names = list(state)
    broken = {
        r"missing: layers\.1\.attention\.wq\.lora_b": {n: state[n] for n in names[:-1]},
        r"unexpected: extra": {**state, "extra": torch.zeros(1)},
        r"wrong shape: layers\.0\.attention\.wq\.lora_a is \(3, 24\), must be \(2, 24\)": {
            **state,
            names[0]: torch.zeros(3, 24),
        },
    }
    for message, tensors in broken.items():
        adapter.save_safetensors(tensors.items(), tensors, folder / "adapter.safetensors")
        with pytest.raises(
            ValueError, match=f"does not hold the adapter of adapter.json; {message}"
        ):
            load_adapter(random_model(LLAMA), folder)
    whole = (folder / "adapter.safetensors").read_bytes()
    (folder / "adapter.safetensors").write_bytes(whole[:-8])
    with pytest.raises(ValueError, match=r"adapter\.safetensors is truncated, damaged or no safe"):
        load_adapter(random_model(LLAMA), folder)
    (folder / "adapter.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"adapter\.safetensors: no such file"):
        load_adapter(random_model(LLAMA), folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": "other"}, 'does not say "format": "llama-tutorial-adapter"'),
        ({"version": 2}, "is of version 2, and this package reads version 1; update the package"),
        ({"base": 3}, '"base" is 3, must be a name, a path or null'),
        ({"extra": 1}, "is damaged; unexpected: extra"),
        ({"lora": {"rank": 2}}, '"lora"; missing: alpha, dropout, targets'),
        (
            {"lora": {"rank": 0, "alpha": 1, "dropout": 0, "targets": ["wq"]}},
            "is damaged: rank=0: must be a whole number",
        ),
        (
            {"lora": {"rank": 2, "alpha": 1, "dropout": 0, "targets": ["wx"]}},
            "is damaged: targets: no linear layer is called 'wx'",
        ),
        ({"lora": None}, "is damaged: "),
        ({"model": {"dims": 3}}, "is damaged: dims: no field of ModelConfig"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_damaged_adapter_json_says_where(tmp_path, changes, message):
    trained(tmp_path)
    edit(tmp_path / "adapter", **changes)
    with pytest.raises(ValueError, match=rf"adapter\.json.*{message}"):
        load_adapter(random_model(LLAMA), tmp_path / "adapter")


def test_what_is_no_adapter_is_said(tmp_path):
    save_model(random_model(LLAMA), tmp_path / "base")
    with pytest.raises(FileNotFoundError, match=r"adapter\.json: no such file; the folder of an"):
        load_adapter(random_model(LLAMA), tmp_path / "base")
    (tmp_path / "base" / "adapter.json").write_text("{")
    with pytest.raises(ValueError, match=r"adapter\.json is not JSON"):
        load_adapter(random_model(LLAMA), tmp_path / "base")


def test_an_adapter_without_a_base_is_no_model(tmp_path):
    save_adapter(with_lora(random_model(LLAMA)), tmp_path / "adapter")
    for opens in (load_model, load):
        with pytest.raises(ValueError, match=r"names no base: load the base, then load_adapter"):
            opens(tmp_path / "adapter")
    load_adapter(random_model(LLAMA), tmp_path / "adapter")


def test_two_formats_in_one_folder_are_refused(tmp_path):
    trained(tmp_path)
    for file in (tmp_path / "base").iterdir():
        shutil.copy(file, tmp_path / "adapter")
    with pytest.raises(ValueError, match=r"several formats, .*own format and an adapter's"):
        load_model(tmp_path / "adapter")


def test_the_numpy_engine_says_what_it_takes(tmp_path):
    model, _ = load("tales", dtype=torch.float32)
    add_lora(model)
    save_adapter(model, tmp_path / "adapter", base="tales")
    with pytest.raises(ValueError, match=r"is a folder; a llama2\.c checkpoint is one file"):
        load(tmp_path / "adapter", engine="numpy")


def test_an_open_adapter_is_described(tmp_path):
    trained(tmp_path, rank=5)
    with open_checkpoint(tmp_path / "adapter") as checkpoint:
        assert checkpoint.format == "LoRA of rank 5 on ../base (native)"
        assert checkpoint.config == LLAMA
        assert checkpoint.source == tmp_path / "adapter"
    assert list(formats_of(tmp_path / "adapter")) == ["adapter"]


def test_a_tokenizer_is_stored_in_its_own_form(tmp_path):
    tokenizer = Tokenizer.train(["the cat sat on the mat"] * 50, 290)
    model = random_model(LLAMA.replace(vocab_size=290))
    add_lora(model)
    save_adapter(model, tmp_path / "adapter", tokenizer=tokenizer)
    again = load_tokenizer(tmp_path / "adapter" / "tokenizer.model")
    assert again.encode("the cat") == tokenizer.encode("the cat")
