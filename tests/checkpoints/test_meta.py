"""Meta's format: one shard or several, what Meta publishes and what is written here."""

from __future__ import annotations

import json
import zipfile

import pytest
import torch
from checkpoint_checks import listing, refused, same_weights
from oracles import decoder
from small_models import LLAMA, NAMED, float64_weights, random_model, random_tokens
from torch.testing import assert_close

from llama_tutorial import PRESETS, ModelConfig, Tokenizer, load_model, load_tokenizer, save_model
from llama_tutorial.checkpoints.folders import read_object
from llama_tutorial.checkpoints.meta_params import feed_forward_params, read_params
from llama_tutorial.swiglu import hidden_dim

# Sizes that eight shards divide, and key heads that are fewer than query heads, as in 70B.
LARGE = ModelConfig(64, 2, 16, 8, 96, vocab_size=40, max_seq_len=32)
HOLDABLE = [
    "llama", "llama-gqa", "llama-mqa", "llama-tied", "llama-theta", "llama-odd-sizes",
    "llama-one-head",
]  # fmt: skip
# Meta's rules, written down once more: what is cut into rows and what into columns.
ROWS, COLUMNS = ("wq", "wk", "wv", "w1", "w3", "output"), ("wo", "w2", "tok_embeddings")
PARAMS = {
    "llama-2-7b": {
        "dim": 4096, "multiple_of": 256, "n_heads": 32, "n_layers": 32, "norm_eps": 1e-05,
        "vocab_size": -1,
    },
    "llama-2-13b": {
        "dim": 5120, "multiple_of": 256, "n_heads": 40, "n_layers": 40, "norm_eps": 1e-05,
        "vocab_size": -1,
    },
    "llama-2-70b": {
        "dim": 8192, "multiple_of": 4096, "ffn_dim_multiplier": 1.3, "n_heads": 64,
        "n_kv_heads": 8, "n_layers": 80, "norm_eps": 1e-05, "vocab_size": -1,
    },
}  # fmt: skip


def write_as_meta(model, folder, shards=1, change=None, **params):
    """A folder as Meta publishes it: params.json, and shards cut by the rules above."""
    folder.mkdir(exist_ok=True)
    config = model.config
    params = {
        "dim": config.dim, "n_layers": config.n_layers, "n_heads": config.n_heads,
        "n_kv_heads": config.n_kv_heads, "norm_eps": config.norm_eps, "vocab_size": -1,
        **feed_forward_params(config.dim, config.hidden_dim), **params,
    }  # fmt: skip
    (folder / "params.json").write_text(json.dumps(params))
    for number in range(shards):
        tensors = {"rope.freqs": torch.ones(config.head_dim // 2)}
        for name, tensor in model.state_dict().items():
            layer = name.split(".")[-2]
            axis = 0 if layer in ROWS else 1
            cut = layer in ROWS + COLUMNS
            tensors[name] = tensor.chunk(shards, axis)[number].clone() if cut else tensor
        if change:
            change(number, tensors)
        torch.save(tensors, folder / f"consolidated.{number:02}.pth")
    return folder


# As Meta publishes it


@pytest.mark.parametrize("shards", [1, 2, 8])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_shards_become_the_whole_model(tmp_path, shards, dtype):
    full = random_model(LARGE, dtype=dtype)
    model = load_model(write_as_meta(full, tmp_path, shards))
    assert model.config == LARGE.replace(max_seq_len=4096)
    same_weights(model, full)


def test_the_merged_model_computes_what_the_formulas_say(tmp_path):
    full = random_model(LARGE)
    model = load_model(write_as_meta(full, tmp_path, 8))
    tokens = random_tokens(LARGE, 1, 12)
    expected = decoder(float64_weights(full), tokens[0].tolist(), **LARGE.to_dict())
    assert_close(model(tokens)[0].double(), torch.tensor(expected), rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", PARAMS)
def test_the_published_params_are_the_presets(tmp_path, name):
    """The real file's words, the real sizes, one layer; the weights have shapes and no numbers."""
    (tmp_path / "params.json").write_text(json.dumps(PARAMS[name]))
    assert (
        read_params(read_object(tmp_path / "params.json"), tmp_path, vocab_size=32000)
        == PRESETS[name]
    )


def test_code_llamas_theta(tmp_path):
    model = load_model(write_as_meta(random_model(LLAMA), tmp_path, rope_theta=1e6))
    assert model.config.rope_theta == 1e6


def test_a_context_or_batch_size_that_a_program_has_put_there(tmp_path):
    options = {"max_seq_len": 64, "max_batch_size": 4, "use_scaled_rope": False}
    assert load_model(write_as_meta(random_model(LLAMA), tmp_path, **options)).config == (
        LLAMA.replace(max_seq_len=64)
    )


def test_a_vocabulary_size_that_is_said(tmp_path):
    write_as_meta(random_model(LLAMA), tmp_path, vocab_size=37)
    assert load_model(tmp_path).config.vocab_size == 37
    write_as_meta(random_model(LLAMA), tmp_path, vocab_size=38)
    assert "wrong shape: tok_embeddings.weight is (37, 24), must be (38, 24)" in refused(tmp_path)


def test_views_of_one_storage(tmp_path):
    full, flat = random_model(LLAMA), []

    def in_one(_, tensors):
        storage = torch.cat([tensor.flatten() for tensor in tensors.values()])
        flat.append(storage)
        start = 0
        for name, tensor in tensors.items():
            tensors[name] = storage[start : start + tensor.numel()].view(tensor.shape)
            start += tensor.numel()

    model = load_model(write_as_meta(full, tmp_path, change=in_one))
    file = tmp_path / "consolidated.00.pth"
    assert file.stat().st_size < 2 * flat[0].nbytes  # one storage indeed
    same_weights(model, full)
    with torch.no_grad():
        model.norm.weight.zero_()  # and yet each is a parameter of its own
    assert torch.equal(model.output.weight, full.output.weight)
    save_model(model, tmp_path / "again", "meta")
    again = (tmp_path / "again" / "consolidated.00.pth").stat().st_size
    assert again < 1.2 * flat[0].nbytes  # what surrounds a view is not written with each


def test_matrices_that_lie_across(tmp_path):
    def across(_, tensors):
        for name, tensor in tensors.items():
            tensors[name] = tensor.T.contiguous().T if tensor.ndim == 2 else tensor

    full = random_model(LLAMA)
    model = load_model(write_as_meta(full, tmp_path, change=across))
    same_weights(model, full)
    assert all(parameter.is_contiguous() for parameter in model.parameters())


def test_one_tensor_under_two_names_makes_two_parameters(tmp_path):
    def shared(_, tensors):
        tensors["output.weight"] = tensors["tok_embeddings.weight"]

    model = load_model(write_as_meta(random_model(LLAMA), tmp_path, change=shared))
    assert torch.equal(model.output.weight, model.tok_embeddings.weight)
    assert model.output.weight.data_ptr() != model.tok_embeddings.weight.data_ptr()


def test_a_file_as_before_pytorch_1_6_or_packed_anew(tmp_path):
    full, folder = random_model(LLAMA), tmp_path / "model"
    write_as_meta(full, folder)
    path = folder / "consolidated.00.pth"
    tensors = torch.load(path, weights_only=True)
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    same_weights(load_model(folder), full)
    torch.save(tensors, tmp_path / "x")
    with (
        zipfile.ZipFile(tmp_path / "x") as old,
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in old.namelist():
            new.writestr(name, old.read(name))
    same_weights(load_model(folder), full)


@pytest.mark.filterwarnings("error")
def test_a_loaded_model_can_be_trained_and_its_file_stays(tmp_path):
    path = write_as_meta(random_model(LLAMA), tmp_path) / "consolidated.00.pth"
    before = path.read_bytes()
    model = load_model(tmp_path)
    model(random_tokens(LLAMA, 1, 8)).logsumexp(-1).sum().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()
    assert not torch.equal(model.norm.weight, random_model(LLAMA).norm.weight)
    assert path.read_bytes() == before


# Written here


@pytest.mark.parametrize("name", HOLDABLE)
def test_every_llama_comes_back_exactly(tmp_path, name):
    model = random_model(NAMED[name])
    save_model(model, tmp_path / "model", "meta")
    again = load_model(tmp_path / "model")
    assert again.config == model.config
    same_weights(again, model)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shards", [1, 2, 4, 8])
@pytest.mark.parametrize("tied", [False, True])
def test_any_number_of_shards_comes_back_exactly(tmp_path, shards, dtype, tied):
    model = random_model(LARGE.replace(tie_embeddings=tied), dtype=dtype)
    save_model(model, tmp_path / "model", "meta", shards=shards)
    again = load_model(tmp_path / "model")
    assert again.config == model.config
    same_weights(again, model)


def test_what_meta_would_find(tmp_path):
    """Read with torch and json: the names and cuts that Meta's code has."""
    model = random_model(LARGE)
    save_model(model, tmp_path / "ours", "meta", shards=2)
    names = ["consolidated.00.pth", "consolidated.01.pth", "llama-tutorial.json", "params.json"]
    assert listing(tmp_path / "ours") == names
    write_as_meta(model, tmp_path / "theirs", shards=2)
    for name in names[:2]:
        ours, theirs = (
            torch.load(tmp_path / folder / name, weights_only=True) for folder in ("ours", "theirs")
        )
        del theirs["rope.freqs"]
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[key], tensor) for key, tensor in theirs.items())
    assert json.loads((tmp_path / "ours" / "params.json").read_text()) == {
        "dim": 64, "n_layers": 2, "n_heads": 16, "n_kv_heads": 8, "vocab_size": 40,
        "norm_eps": 1e-05, **feed_forward_params(64, 96),
    }  # fmt: skip


def test_metas_words_alone_where_they_are_enough(tmp_path):
    model = random_model(LLAMA.replace(max_seq_len=4096))
    save_model(model, tmp_path / "model", "meta")
    assert listing(tmp_path / "model") == ["consolidated.00.pth", "params.json"]
    params = json.loads((tmp_path / "model" / "params.json").read_text())
    known = {"dim", "n_layers", "n_heads", "vocab_size", "norm_eps", "multiple_of"}
    assert params.keys() - {"ffn_dim_multiplier"} == known


def test_a_tied_head_is_there_for_metas_code_and_costs_nothing(tmp_path):
    for name in ("llama", "llama-tied"):
        save_model(random_model(NAMED[name].replace(dim=240)), tmp_path / name, "meta")
    tied, untied = (tmp_path / name / "consolidated.00.pth" for name in ("llama-tied", "llama"))
    tensors = torch.load(tied, weights_only=True)
    assert torch.equal(tensors["output.weight"], tensors["tok_embeddings.weight"])
    saved = untied.stat().st_size - tied.stat().st_size
    assert saved > 0.9 * tensors["output.weight"].nbytes


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("llama-2-7b", {"multiple_of": 256}),
        ("llama-2-13b", {"multiple_of": 256}),
        ("llama-2-34b", {"multiple_of": 256}),
        ("llama-2-70b", {"multiple_of": 4096, "ffn_dim_multiplier": 1.3}),
        ("stories15M", {"multiple_of": 256}),
        ("stories260K", {"multiple_of": 4}),
    ],
)
def test_the_width_in_metas_words(name, expected):
    config = PRESETS[name]
    assert feed_forward_params(config.dim, config.hidden_dim) == expected


@pytest.mark.parametrize("dim", [1, 7, 24, 64, 288, 4096])
def test_every_width_can_be_said(dim):
    for width in [*range(1, 400), 1003, 4999, 11007, 28673]:
        assert hidden_dim(dim, **feed_forward_params(dim, width)) == width


def test_the_tokenizer_lies_beside_the_weights(tmp_path):
    tokenizer = Tokenizer.train(["the cat sat on the mat", "a dog ran to the park"] * 50, 290)
    model = random_model(LLAMA.replace(vocab_size=tokenizer.vocab_size))
    save_model(model, tmp_path / "model", "meta", tokenizer=tokenizer)
    again = load_tokenizer(tmp_path / "model" / "tokenizer.model")
    assert again.encode("the cat") == tokenizer.encode("the cat")
    with pytest.raises(ValueError, match=r"would lose tokenizer.model.*pass tokenizer="):
        save_model(model, tmp_path / "model", "meta")
    with pytest.raises(ValueError, match=r"the tokenizer has 290 pieces, the model 37"):
        save_model(random_model(LLAMA), tmp_path / "other", "meta", tokenizer=tokenizer)


def test_fewer_shards_take_the_place_of_more(tmp_path):
    model = random_model(LARGE)
    for shards in (4, 1, 2):
        save_model(model, tmp_path / "model", "meta", shards=shards)
        same_weights(load_model(tmp_path / "model"), model)
        assert len(list((tmp_path / "model").glob("*.pth"))) == shards
    assert listing(tmp_path) == ["model"]


def test_a_checkpoint_is_saved_over_the_one_that_it_was_loaded_from(tmp_path):
    save_model(random_model(LARGE), tmp_path / "model", "meta")
    for shards in (1, 2):
        save_model(load_model(tmp_path / "model"), tmp_path / "model", "meta", shards=shards)
    same_weights(load_model(tmp_path / "model"), random_model(LARGE))


def test_what_is_not_replaced(tmp_path):
    model = random_model(LLAMA)
    save_model(model, tmp_path / "native")
    with pytest.raises(ValueError, match="is there already and no checkpoint of Meta's format"):
        save_model(model, tmp_path / "native", "meta")
    write_as_meta(model, tmp_path / "download")
    (tmp_path / "download" / "checklist.chk").touch()
    with pytest.raises(ValueError, match=r"download would lose checklist.chk, which the new"):
        save_model(model, tmp_path / "download", "meta")


def test_a_save_that_fails_halfway_leaves_the_old_checkpoint(tmp_path, monkeypatch):
    save_model(random_model(LARGE), tmp_path / "model", "meta")

    def full_disk(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(OSError, match="no space left"):
        save_model(random_model(LARGE, seed=1), tmp_path / "model", "meta", shards=2)
    same_weights(load_model(tmp_path / "model"), random_model(LARGE))
    assert listing(tmp_path) == ["model"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"norm": "layernorm"}, "norm='layernorm' (must be 'rmsnorm')"),
        ({"feed_forward": "gelu"}, "feed_forward='gelu' (must be 'swiglu')"),
        ({"positions": "learned"}, "positions='learned' (must be 'rope')"),
        ({"bias": True}, "bias=True (must be False)"),
    ],
)
def test_what_the_format_cannot_hold(tmp_path, changes, reason):
    with pytest.raises(ValueError, match=r"Meta's format cannot hold .*format='native'") as error:
        save_model(random_model(LLAMA.replace(**changes)), tmp_path / "model", "meta")
    assert reason in str(error.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("shards", "reason"),
    [
        (3, "shards=3 does not divide dim=64, vocab_size=40, n_heads=16, n_kv_heads=8: every"),
        (16, "shards=16 does not divide vocab_size=40, n_kv_heads=8"),
        (0, "shards=0: must be between 1 and 99"),
        (100, "shards=100: must be between 1 and 99"),
    ],
)
def test_shards_that_cannot_be(tmp_path, shards, reason):
    with pytest.raises(ValueError, match=reason):
        save_model(random_model(LARGE), tmp_path / "model", "meta", shards=shards)
    assert not list(tmp_path.iterdir())


# Damaged, missing, mixed up


@pytest.fixture
def two(tmp_path):
    """Two shards that can be damaged."""
    return write_as_meta(random_model(LARGE), tmp_path / "two", 2)


def change_shard(folder, number, change):
    path = folder / f"consolidated.{number:02}.pth"
    tensors = torch.load(path, weights_only=True)
    change(tensors)
    torch.save(tensors, path)


def test_no_params(two):
    (two / "params.json").unlink()
    text = refused(two, FileNotFoundError)
    assert text.endswith("params.json: no such file; it belongs to the weights, download it too")


def test_no_weights(two):
    for path in two.glob("*.pth"):
        path.unlink()
    expected = "holds params.json and no weights: no consolidated.00.pth"
    assert refused(two, FileNotFoundError).endswith(expected)


def test_a_missing_first_shard(two):
    (two / "consolidated.00.pth").unlink()
    assert refused(two, FileNotFoundError).endswith(
        "lacks consolidated.00.pth: it holds consolidated.01.pth, and the shards are counted from "
        "00"
    )


def test_a_missing_last_shard(two):
    (two / "consolidated.01.pth").unlink()
    assert refused(two).endswith(
        "consolidated.00.pth holds one part in 2 of each matrix, so it is one of 2 shards; the "
        "folder has 1"
    )


def test_a_shard_too_many(two, tmp_path):
    write_as_meta(random_model(LARGE), tmp_path / "one")
    (tmp_path / "one" / "consolidated.00.pth").rename(two / "consolidated.02.pth")
    assert "so it is one of 2 shards; the folder has 3" in refused(two)


def test_a_shard_of_another_cut(two, tmp_path):
    write_as_meta(random_model(LARGE), tmp_path / "four", 4)
    (tmp_path / "four" / "consolidated.01.pth").replace(two / "consolidated.01.pth")
    expected = (
        "01.pth holds one part in 4 of each matrix, so it is one of 4 shards; the folder has 2"
    )
    assert refused(two).endswith(expected)


def test_a_shard_of_another_model(two, tmp_path):
    write_as_meta(random_model(LARGE, seed=1), tmp_path / "other", 2)
    (tmp_path / "other" / "consolidated.01.pth").replace(two / "consolidated.01.pth")
    text = refused(two)
    assert "consolidated.01.pth does not belong to consolidated.00.pth: " in text
    assert text.endswith("norm.weight, which every shard repeats, differs")


def test_one_shard_twice(two):
    (two / "consolidated.01.pth").write_bytes((two / "consolidated.00.pth").read_bytes())
    assert refused(two).endswith(
        "consolidated.01.pth does not belong to consolidated.00.pth: both hold the same part, so "
        "one is a copy of the other"
    )


def test_shards_of_two_types(two):
    def half(tensors):
        tensors.update({name: tensor.half() for name, tensor in tensors.items()})

    change_shard(two, 1, half)
    text = refused(two)
    assert "does not belong to consolidated.00.pth: tok_embeddings.weight is torch.float32" in text
    assert text.endswith("there and torch.float16 here")


def test_weights_of_two_types_within_each(two):
    def half(tensors):
        tensors["norm.weight"] = tensors["norm.weight"].bfloat16()

    for number in range(2):
        change_shard(two, number, half)
    assert "the weights are bfloat16 and float32; choose one with dtype=" in refused(two)
    assert load_model(two, dtype=torch.float32).dtype == torch.float32


def test_missing_and_unexpected_tensors(two):
    change_shard(two, 1, lambda tensors: tensors.update(x=tensors.pop("norm.weight")))
    expected = "01.pth does not hold the model of params.json; missing: norm.weight; unexpected: x"
    assert refused(two).endswith(expected)


def test_a_missing_head(two):
    change_shard(two, 0, lambda tensors: tensors.pop("output.weight"))
    assert refused(two).endswith("params.json; missing: output.weight")


def test_a_missing_embedding(two):
    change_shard(two, 0, lambda tensors: tensors.pop("tok_embeddings.weight"))
    assert refused(two).endswith("params.json; missing: tok_embeddings.weight")


def test_a_wrong_shape(two):
    def transpose(tensors):
        tensors["output.weight"] = tensors["output.weight"].T.contiguous()

    change_shard(two, 0, transpose)
    assert refused(two).endswith("wrong shape: output.weight is (64, 20), must be (20, 64)")


@pytest.mark.parametrize("shape", [(0, 64), (20,), ()])
def test_an_odd_shape(two, shape):
    change_shard(two, 0, lambda tensors: tensors.update({"output.weight": torch.ones(shape)}))
    assert refused(two).endswith(f"wrong shape: output.weight is {shape}, must be (20, 64)")


def test_an_embedding_that_is_cut_into_rows(two):
    """Llama 3 does so: rows and columns make the same number of weights."""

    def in_rows(tensors):
        tensors["tok_embeddings.weight"] = tensors["tok_embeddings.weight"].reshape(20, 64)

    for number in range(2):
        change_shard(two, number, in_rows)
    assert "wrong shape: tok_embeddings.weight is (20, 64), must be (20, 32)" in refused(two)


def test_integers(two):
    for number in range(2):
        change_shard(two, number, lambda t: t.update({"norm.weight": torch.ones(64).int()}))
    assert "norm.weight is int32; weights are floating numbers" in refused(two)


def test_the_params_of_another_model(two):
    params = json.loads((two / "params.json").read_text())
    (two / "params.json").write_text(json.dumps({**params, "n_layers": 3}))
    assert "params.json; missing: layers.2.attention.wq.weight" in refused(two)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dim": ...}, "params.json is damaged; missing: dim"),
        ({"n_heads": 5}, "params.json is damaged: n_heads=5 does not divide dim=64"),
        ({"dim": "64"}, "params.json is damaged: "),
        ({"multiple_of": 0}, "params.json is damaged: multiple_of=0: must be a number above 0"),
        ({"moe": {"num_experts": 8}}, "params.json says moe, which no Llama 2 has: this package"),
        ({"use_scaled_rope": True}, "asks for scaled rotary angles, as Llama 3.1 has; Llama 2 has"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_params_that_make_no_llama_2(two, changes, message):
    params = json.loads((two / "params.json").read_text()) | changes
    params = {name: value for name, value in params.items() if value is not ...}
    (two / "params.json").write_text(json.dumps(params))
    assert message in refused(two)


def test_params_that_are_no_json(two):
    (two / "params.json").write_text("{")
    assert "params.json is not JSON: " in refused(two)


def test_a_file_of_our_own_that_says_too_much(tmp_path):
    save_model(random_model(LLAMA), tmp_path / "model", "meta")
    (tmp_path / "model" / "llama-tutorial.json").write_text('{"dim": 3}')
    assert refused(tmp_path / "model").endswith("llama-tutorial.json says dim, which it cannot")


def test_a_tied_model_with_another_head(tmp_path):
    save_model(random_model(NAMED["llama-tied"]), tmp_path / "model", "meta")

    def other(tensors):
        tensors["output.weight"] = tensors["output.weight"] + 1

    change_shard(tmp_path / "model", 0, other)
    assert refused(tmp_path / "model").endswith(
        "llama-tutorial.json says that output.weight is tok_embeddings.weight, and the two differ; "
        "the files do not belong together"
    )


@pytest.mark.parametrize("keep", [0, 10, 0.5, -30])
def test_a_truncated_shard(two, keep):
    path = two / "consolidated.01.pth"
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep) if isinstance(keep, float) else keep])
    text = refused(two)
    if keep == 0:
        assert text.endswith("consolidated.01.pth is empty (0 bytes)")
    else:
        assert "consolidated.01.pth is truncated or damaged: the zip archive" in text


def test_a_foreign_shard(two):
    (two / "consolidated.01.pth").write_text("import os\n" * 30)
    expected = "consolidated.01.pth is no file of PyTorch's: it begins with b'import os"
    assert expected in refused(two)
