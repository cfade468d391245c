"""Files of others: what hangs, takes memory or ends in a foreign error is refused, and named."""

from __future__ import annotations

import io
import json
import os
import shutil
import time
import zipfile

import pytest
import torch
from checkpoint_checks import refused, same_weights
from small_models import GPT2, LLAMA, random_model, with_lora

from llama_tutorial import ModelConfig, Transformer, load_model, save_model
from llama_tutorial.checkpoints import load_adapter, save_adapter
from llama_tutorial.checkpoints.torch_file import read_torch_file
from llama_tutorial.checkpoints.weights import SMALL
from llama_tutorial.numpy_llama import NumpyLlama

pytest.importorskip("safetensors")
pytestmark = pytest.mark.usefixtures("unchecked")

MODEL = random_model(LLAMA)
FILES = {"native": "config.json", "meta": "params.json", "huggingface": "config.json"}
FORMATS = ("native", "huggingface", "meta", "llama2c", "llama2c-v1", "llama2c-int8")


@pytest.fixture
def begin():
    """Refusals take less than a second; the test's own preparation does too."""
    start = time.monotonic()
    yield
    assert time.monotonic() - start < 3


def rewrite(path, **changes):
    contents = json.loads(path.read_text())
    inner = contents.get("model", contents)
    inner.update(changes)
    path.write_text(json.dumps(contents))


# Numbers

HUGE = (10**12 + 1, 2**24 + 1, 2**40, 2**62, 10**30, -1, 0, 1.5, True, "8", [], [[1]], {}, None)
SIZES = {
    "native": ("dim", "n_layers", "n_heads", "hidden_dim", "vocab_size", "max_seq_len"),
    "meta": ("dim", "n_layers", "n_heads", "multiple_of", "vocab_size"),
    "huggingface": (
        *("hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size"),
        *("vocab_size", "max_position_embeddings"),
    ),
}


@pytest.mark.parametrize(("format", "name"), [(f, n) for f in SIZES for n in SIZES[f]])
def test_no_size_hangs_or_ends_in_a_foreign_error(tmp_path, format, name, begin):
    save_model(MODEL, tmp_path / "model", format)
    good = (tmp_path / "model" / FILES[format]).read_text()
    for value in HUGE:
        (tmp_path / "model" / FILES[format]).write_text(good)
        rewrite(tmp_path / "model" / FILES[format], **{name: value})
        if (name, value) != ("vocab_size", -1) or format != "meta":  # there the file has it
            assert len(refused(tmp_path / "model")) < 600


@pytest.mark.parametrize(
    ("format", "changes"),
    [
        ("native", {"n_layers": 10**7}),
        ("native", {"dim": 10**12 + 1, "n_heads": 7}),
        ("native", {"max_seq_len": 2**24}),
        ("native", {"rope_theta": 10**30}),
        ("native", {"norm_eps": 2.0}),
        ("meta", {"n_layers": 10**7}),
        ("meta", {"ffn_dim_multiplier": 1e308}),
        ("meta", {"ffn_dim_multiplier": [1.3]}),
        ("meta", {"ffn_dim_multiplier": True}),
        ("huggingface", {"num_hidden_layers": 10**7}),
        ("huggingface", {"architectures": 5}),
        ("huggingface", {"architectures": [1]}),
        ("huggingface", {"architectures": {"LlamaForCausalLM": 1}}),
        ("huggingface", {"model_type": ["llama"]}),
        ("huggingface", {"model_type": {}}),
        ("huggingface", {"rope_parameters": [1]}),
        ("huggingface", {"rope_parameters": {"rope_theta": "a", "rope_type": "default"}}),
        ("huggingface", {"rope_parameters": {"rope_theta": 500.0, "rope_type": "default"}}),
        ("huggingface", {"tie_word_embeddings": "false"}),
        ("huggingface", {"attention_bias": 1}),
        ("huggingface", {"head_dim": [6] * 10**5}),
    ],
)
def test_values_that_make_no_model(tmp_path, format, changes, begin):
    save_model(MODEL, tmp_path / "model", format)
    rewrite(tmp_path / "model" / FILES[format], **changes)
    assert len(refused(tmp_path / "model")) < 600


@pytest.mark.parametrize("format", FILES)
@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, '{"dim": NaN}', "{}{}"])
def test_json_that_is_none(tmp_path, format, text, begin):
    save_model(MODEL, tmp_path / "model", format)
    (tmp_path / "model" / FILES[format]).write_text(text)
    assert FILES[format] in refused(tmp_path / "model")


def test_a_key_that_stands_twice(tmp_path):
    save_model(MODEL, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_text(path.read_text().replace('"dim": 24,', '"dim": 24, "dim": 48,'))
    assert refused(tmp_path / "model").endswith("config.json says 'dim' twice in one object")
    save_model(MODEL, tmp_path / "other")
    path = tmp_path / "other" / "model.safetensors"
    data = path.read_bytes()
    length = int.from_bytes(data[:8], "little")
    header, rest = data[8 : 8 + length], data[8 + length :]
    entry = header[header.index(b'"norm.weight"') :].partition(b"}")[0] + b"}, "
    header = b"{" + entry + header[1:]
    path.write_bytes(len(header).to_bytes(8, "little") + header + rest)
    assert "says 'norm.weight' twice" in refused(tmp_path / "other")


@pytest.mark.parametrize(
    "changes",
    [
        {"rank": 2**62}, {"rank": 2.5}, {"alpha": "16"}, {"alpha": [1]}, {"alpha": 1e300},
        {"dropout": True}, {"dropout": "x"}, {"targets": 5}, {"targets": "wq"}, {"targets": [1]},
        {"targets": []},
    ],
)  # fmt: skip
def test_an_adapters_settings(tmp_path, changes, begin):
    save_model(MODEL, tmp_path / "base")
    save_adapter(with_lora(random_model(LLAMA)), tmp_path / "a", base=tmp_path / "base")
    contents = json.loads((tmp_path / "a" / "adapter.json").read_text())
    contents["lora"].update(changes)
    (tmp_path / "a" / "adapter.json").write_text(json.dumps(contents))
    refused(tmp_path / "a")


@pytest.mark.parametrize("key", ["lora", "model", "base"])
@pytest.mark.parametrize("value", [5, [], "x", {}, [1, 2]])
def test_an_adapters_json(tmp_path, key, value, begin):
    save_model(MODEL, tmp_path / "base")
    save_adapter(with_lora(random_model(LLAMA)), tmp_path / "a", base=tmp_path / "base")
    contents = json.loads((tmp_path / "a" / "adapter.json").read_text())
    (tmp_path / "a" / "adapter.json").write_text(json.dumps({**contents, key: value}))
    refused(tmp_path / "a", (ValueError, FileNotFoundError))


@pytest.mark.parametrize("changes", [{"n_layers": 10**7}, {"dim": 2**24}, {"max_seq_len": 2**40}])
def test_an_adapters_base(tmp_path, changes, begin):
    save_model(MODEL, tmp_path / "base")
    save_adapter(with_lora(random_model(LLAMA)), tmp_path / "a", base=tmp_path / "base")
    rewrite(tmp_path / "a" / "adapter.json", **changes)
    refused(tmp_path / "a")


def test_adapters_whose_bases_point_in_a_circle(tmp_path, begin):
    save_model(MODEL, tmp_path / "base")
    names = ["a", "b", "c"]
    for name in names:
        save_adapter(with_lora(random_model(LLAMA)), tmp_path / name, base=tmp_path / "base")
    load_model(tmp_path / "a")
    for base in (".", "../a", "", str(tmp_path / "a"), "../b/../a"):
        rewrite_base(tmp_path / "a", base)
        text = refused(tmp_path / "a")
        assert "the bases of adapters point in a circle: " in text
    for name, base in zip(names, ["../b", "../c", "../a"], strict=True):
        rewrite_base(tmp_path / name, base)
    assert refused(tmp_path / "b").count(" -> ") == 3
    from llama_tutorial import load

    with pytest.raises(ValueError, match="point in a circle"):
        load(tmp_path / "a")  # which looks for the base's tokenizer


def test_adapters_on_adapters(tmp_path, begin):
    save_model(MODEL, tmp_path / "0")
    adapted = with_lora(random_model(LLAMA), rank=1)
    for number in range(1, 9):
        save_adapter(adapted, tmp_path / str(number), base=tmp_path / str(number - 1))
    load_model(tmp_path / "8")
    with pytest.raises(ValueError, match="is an adapter on more than 8 adapters"):
        save_adapter(adapted, tmp_path / "9", base=tmp_path / "8")
    save_adapter(adapted, tmp_path / "9", base=tmp_path / "0")
    rewrite_base(tmp_path / "9", "../8")
    assert "is an adapter on more than 8 adapters" in refused(tmp_path / "9")


HOSTILE = "a\x1b]0;title\x07\nb" + "c" * 500


@pytest.mark.parametrize("where", ["field", "model_type", "architecture", "base", "index"])
def test_names_from_a_file_are_shown_and_not_obeyed(tmp_path, where):
    folder = tmp_path / "a"
    if where == "field":
        save_model(MODEL, folder)
        rewrite(folder / "config.json", **{HOSTILE: 1})
    elif where == "base":
        save_adapter(with_lora(random_model(LLAMA)), folder)
        rewrite_base(folder, HOSTILE[:40])
    else:
        save_model(MODEL, folder, "huggingface")
        changes = {"model_type": {"model_type": HOSTILE}, "index": {}}
        changes["architecture"] = {"architectures": [HOSTILE]}
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config | changes[where]))
    if where == "index":
        (folder / "model.safetensors").unlink()
        index = {"weight_map": {HOSTILE: "../x"}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        load_model(folder)
    text = str(error.value)
    assert r"\x1b]0;title\x07" in text
    assert text.isprintable()
    assert len(text) < 900


def rewrite_base(folder, base):
    contents = json.loads((folder / "adapter.json").read_text())
    (folder / "adapter.json").write_text(json.dumps({**contents, "base": base}))


# Archives


def repacked(path, change, packed=zipfile.ZIP_STORED):
    old = zipfile.ZipFile(io.BytesIO(path.read_bytes()))
    with zipfile.ZipFile(path, "w", packed) as new:
        for entry in old.infolist():
            if (data := change(entry.filename, old.read(entry))) is not None:
                new.writestr(entry.filename, data)


@pytest.fixture
def archive(tmp_path):
    save_model(MODEL, tmp_path / "model", "meta")
    return tmp_path / "model" / "consolidated.00.pth"


@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
@pytest.mark.parametrize("length", [0, 16, -1])
def test_a_record_that_is_shorter_than_its_pickle_says(archive, packed, length):
    repacked(archive, lambda name, data: data[:length] if name.endswith("data/0") else data, packed)
    refused(archive.parent)


def test_a_record_that_is_longer(archive):
    repacked(archive, lambda name, data: data + bytes(64) if name.endswith("data/3") else data)
    assert "its record 3 has" in refused(archive.parent)


def test_records_of_two_tensors_that_changed_places(archive):
    names = {"data/0": "data/1", "data/1": "data/0"}
    old = zipfile.ZipFile(io.BytesIO(archive.read_bytes()))
    with zipfile.ZipFile(archive, "w") as new:
        for entry in old.infolist():
            prefix, _, name = entry.filename.partition("/")
            new.writestr(f"{prefix}/{names.get(name, name)}", old.read(entry))
    assert "where there must be" in refused(archive.parent)


def test_a_packed_archive_is_read_and_a_bomb_is_not(archive, begin):
    repacked(archive, lambda _name, data: data, zipfile.ZIP_DEFLATED)
    same_weights(load_model(archive.parent), MODEL)
    bomb = lambda name, data: bytes(10**8) if name.endswith("data/0") else data  # noqa: E731
    repacked(archive, bomb, zipfile.ZIP_DEFLATED)
    assert "would unpack to" in refused(archive.parent)


def test_an_archive_whose_checksums_were_not_computed(tmp_path):
    torch.serialization.set_crc32_options(False)
    try:
        torch.save({"a": torch.ones(3)}, tmp_path / "x.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert torch.equal(read_torch_file(tmp_path / "x.pth")["a"], torch.ones(3))


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(2, device="meta"),
        torch.ones(3).to_sparse(),
        torch.ones(1).expand(1000),
        torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
    ],
    ids=["meta", "sparse", "expanded", "quantized"],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_without_numbers_of_their_own(tmp_path, tensor, zipped):
    torch.save({"a": tensor}, tmp_path / "x.pth", _use_new_zipfile_serialization=zipped)
    with pytest.raises(ValueError, match=r"x\.pth"):
        read_torch_file(tmp_path / "x.pth")


@pytest.mark.parametrize(
    "dtype", [torch.complex64, torch.int64, torch.bool, torch.float8_e4m3fn, torch.uint8]
)
def test_types_that_are_no_weights(archive, dtype):
    state = torch.load(archive)
    state["norm.weight"] = state["norm.weight"].to(dtype)
    torch.save(state, archive)
    assert "weights are floating numbers of 16 bits or more" in refused(archive.parent)


# Names that others give

LEFTOVERS = {
    "meta": (
        "rope.freqs", "layers.0.attention.inner_attention.rope.freqs", "freqs_cis", "freqs_cos",
        "freqs_sin",
    ),
    "huggingface": (
        "model.layers.0.self_attn.rotary_emb.inv_freq", "model.rotary_emb.inv_freq",
        "model.layers.1.self_attn.rotary_emb.cos_cached",
    ),
}  # fmt: skip
WRAPPERS = (
    *("module.", "_orig_mod.", "_orig_mod.module.", "module._orig_mod.", "_forward_module."),
    *("model.", "_forward_module.model.", "net."),
)
NESTED = (
    lambda state: {"model": state},
    lambda state: {"state_dict": state, "epoch": 3, "optimizer_states": [1]},
    lambda state: {"module": state, "lr_scheduler": None},
    lambda state: {"model_state_dict": state, "optimizer_state_dict": {"state": {}}},
    lambda state: {"model": {"state_dict": state}, "args": {"dim": 5}},
)


def pickled(folder, config, change):
    """A folder whose weights are a pickle that ``change`` has made of the state."""
    model, format = random_model(config), folder.name
    save_model(model, folder, format)
    if format == "meta":
        path = folder / "consolidated.00.pth"
        torch.save(change(torch.load(path)), path)
    else:
        from safetensors.torch import load_file

        state = load_file(folder / "model.safetensors")
        (folder / "model.safetensors").unlink()
        torch.save(change(state), folder / "pytorch_model.bin")
    same_weights(load_model(folder), model)


@pytest.mark.parametrize("format", ["meta", "huggingface"])
@pytest.mark.parametrize("config", [LLAMA, LLAMA.replace(tie_embeddings=True)])
def test_tables_that_older_programs_stored(tmp_path, format, config):
    extra = dict.fromkeys(LEFTOVERS[format], torch.zeros(4))
    pickled(tmp_path / format, config, lambda state: {**extra, **state})


@pytest.mark.parametrize(
    ("format", "config"), [("meta", LLAMA), ("huggingface", LLAMA), ("huggingface", GPT2)]
)
@pytest.mark.parametrize("front", WRAPPERS)
def test_what_wrapped_the_model_is_taken_off_its_names(tmp_path, format, config, front):
    pickled(tmp_path / format, config, lambda s: {front + name: t for name, t in s.items()})


@pytest.mark.parametrize("format", ["meta", "huggingface"])
def test_layers_that_were_wrapped_alone(tmp_path, format):
    def change(state):
        return {name.replace("layers.0.", "layers.0._orig_mod."): t for name, t in state.items()}

    pickled(tmp_path / format, LLAMA, change)


@pytest.mark.parametrize("format", ["meta", "huggingface"])
@pytest.mark.parametrize("nest", NESTED)
def test_training_checkpoints(tmp_path, format, nest):
    pickled(tmp_path / format, LLAMA, nest)


def test_two_tensors_that_would_have_one_name(archive):
    state = torch.load(archive)
    torch.save({**state, "module.norm.weight": torch.ones(24)}, archive)
    assert "holds both norm.weight and module.norm.weight" in refused(archive.parent)


# Files that are something else

OTHERS = {
    "lfs": (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
    "html": (b"<!DOCTYPE html><html><body>Log in</body></html>", "web page"),
    "empty": (b"", "empty"),
    "gzip": (b"\x1f\x8b\x08\0" + bytes(50), "compressed"),
}


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize(
    ("format", "file"),
    [
        ("native", "config.json"), ("native", "model.safetensors"), ("meta", "params.json"),
        ("meta", "consolidated.00.pth"), ("huggingface", "config.json"), ("llama2c", ""),
    ],
)  # fmt: skip
def test_what_is_no_weights_is_named(tmp_path, format, file, other):
    save_model(MODEL, tmp_path / "model", format)
    path = tmp_path / "model" / file if file else tmp_path / "model"
    content, words = OTHERS[other]
    path.write_bytes(content)
    if (other, path.suffix) != ("gzip", ".json"):  # that is no text, which is said
        assert words in refused(tmp_path / "model")
    if format == "llama2c":
        with pytest.raises(ValueError, match=words):
            NumpyLlama.load(path)


@pytest.mark.parametrize("load", [load_model, NumpyLlama.load])
def test_what_is_no_file_is_named_without_waiting(tmp_path, load, begin):
    os.mkfifo(tmp_path / "pipe")
    for path, message in {
        tmp_path / "pipe": "is a named pipe",
        "/dev/zero": "is a device",
        "a" * 5000: "5000 characters",
        "a\0b": "null",
    }.items():
        with pytest.raises(ValueError, match=message):
            load(path)
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises((ValueError, FileNotFoundError), match="loop"):
        load(tmp_path / "loop")


@pytest.mark.parametrize("format", FILES)
def test_pipes_inside_a_folder(tmp_path, format, begin):
    save_model(MODEL, tmp_path / "model", format)
    for name in os.listdir(tmp_path / "model"):
        folder = shutil.copytree(tmp_path / "model", tmp_path / f"with {name}")
        (folder / name).unlink()
        os.mkfifo(folder / name)
        refused(folder, (ValueError, FileNotFoundError))


def test_half_a_download_is_named(tmp_path):
    save_model(MODEL, tmp_path / "model", "huggingface")
    path = tmp_path / "model" / "model.safetensors"
    path.rename(path.with_name("model.safetensors.incomplete"))
    text = refused(tmp_path / "model", FileNotFoundError)
    assert "model.safetensors.incomplete is a download that was not finished" in text


def test_a_byte_order_mark_is_read_past(tmp_path):
    save_model(MODEL, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    same_weights(load_model(tmp_path / "model"), MODEL)


# Eval mode, and weights that are not finite


@pytest.mark.parametrize("format", FORMATS)
def test_a_model_is_loaded_in_eval_mode(tmp_path, format):
    settings = {"group_size": 8} if format == "llama2c-int8" else {}
    save_model(MODEL.train(), tmp_path / "model", format, **settings)
    assert not any(module.training for module in load_model(tmp_path / "model").modules())


def test_an_adapter_puts_its_model_into_eval_mode(tmp_path):
    save_model(MODEL, tmp_path / "base")
    save_adapter(
        with_lora(random_model(LLAMA), dropout=0.5), tmp_path / "a", base=tmp_path / "base"
    )
    model = Transformer(LLAMA).train()
    load_adapter(model, tmp_path / "a")
    assert not any(module.training for module in model.modules())
    assert not any(module.training for module in load_model(tmp_path / "a").modules())


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("format", FORMATS)
def test_a_weight_that_is_not_finite_is_neither_loaded_nor_saved(tmp_path, format, value):
    settings = {"group_size": 8} if format == "llama2c-int8" else {}
    model = random_model(LLAMA)
    save_model(model, tmp_path / "model", format, **settings)
    damage(tmp_path / "model", format, value)
    assert "not finite" in refused(tmp_path / "model") or "NaN or infinite" in refused(
        tmp_path / "model"
    )
    if format.startswith("llama2c"):
        with pytest.raises(ValueError, match=r"norm\.weight holds 1 numbers of 24"):
            NumpyLlama.load(tmp_path / "model")
    with torch.no_grad():
        model.norm.weight[3] = value
    with pytest.raises(ValueError, match=r"norm\.weight holds 1 numbers of 24"):
        save_model(model, tmp_path / "other", format, **settings)
    assert not (tmp_path / "other").exists()


def damage(path, format, value):
    """Write ``value`` over a number of the last norm."""
    number = torch.tensor([value]).numpy().tobytes()
    wanted = random_model(LLAMA).norm.weight.detach().numpy().tobytes()
    names = {"native": "model.safetensors", "huggingface": "model.safetensors"}
    if path.is_dir():
        path = path / names.get(format, "consolidated.00.pth")
    data = path.read_bytes()
    at = data.index(wanted) + 12
    path.write_bytes(data[:at] + number + data[at + 4 :])


def test_very_large_weights_are_finite(tmp_path):
    model = random_model(LLAMA)
    with torch.no_grad():
        model.output.weight.fill_(3e38)  # their sum is not
    save_model(model, tmp_path / "model")
    same_weights(load_model(tmp_path / "model"), model)


def test_the_weights_of_a_large_model_are_not_read(tmp_path, monkeypatch):
    monkeypatch.setattr("llama_tutorial.checkpoints.weights.SMALL", MODEL.config.n_params - 1)
    save_model(MODEL, tmp_path / "model")
    damage(tmp_path / "model", "native", float("nan"))
    assert load_model(tmp_path / "model").norm.weight.isnan().any()
    assert ModelConfig().n_params > SMALL  # 7B is large


@pytest.mark.parametrize("format", FORMATS)
def test_a_model_of_two_types_is_not_saved_where_it_would_not_load(tmp_path, format):
    model = random_model(LLAMA)
    model.norm.half()
    settings = {"group_size": 8} if format == "llama2c-int8" else {}
    if format.startswith("llama2c"):  # widened, as every 16-bit weight
        save_model(model, tmp_path / "model", format, **settings)
        load_model(tmp_path / "model")
    else:
        with pytest.raises(ValueError, match="the model's weights are float16 and float32"):
            save_model(model, tmp_path / "model", format)
        assert not (tmp_path / "model").exists()


def test_arguments_that_are_none_of_torchs_types(tmp_path):
    save_model(MODEL, tmp_path / "model")
    for dtype in ("brainfloat", torch.int8, torch.float8_e4m3fn, 5):
        with pytest.raises(ValueError, match="must be a floating type"):
            load_model(tmp_path / "model", dtype=dtype)
    with pytest.raises(FileNotFoundError, match=r"comes with the package is load\('tales'\)"):
        load_model("tales")
    with pytest.raises(ValueError, match="is on the meta device"):
        save_model(Transformer(LLAMA).to("meta"), tmp_path / "m")


def test_a_scale_whose_weights_overflow(tmp_path):
    save_model(MODEL, tmp_path / "a.bin", "llama2c-int8", group_size=8)
    data = (tmp_path / "a.bin").read_bytes()
    start = 256 + 4 * (2 * LLAMA.n_layers + 1) * LLAMA.dim + LLAMA.vocab_size * LLAMA.dim
    large = torch.tensor([1e37]).numpy().tobytes()  # the first group of the embedding's
    (tmp_path / "a.bin").write_bytes(data[:start] + large + data[start + 4 :])
    for load in (load_model, NumpyLlama.load):
        with pytest.raises(ValueError, match=r"tok_embeddings\.weight holds . numbers of 888 that"):
            load(tmp_path / "a.bin")
    small = torch.tensor([1e36]).numpy().tobytes()
    (tmp_path / "a.bin").write_bytes(data[:start] + small + data[start + 4 :])
    for load in (load_model, NumpyLlama.load):
        load(tmp_path / "a.bin")


def test_a_pickle_that_is_no_list_of_names(archive, begin):
    bomb = lambda name, data: bytes(2**25 + 1) if name.endswith("data.pkl") else data  # noqa: E731
    repacked(archive, bomb)
    assert "its pickle has more than 33554432 bytes" in refused(archive.parent)
