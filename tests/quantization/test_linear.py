"""Layers and whole models on packed weights, against the same with dequantized ones."""

from __future__ import annotations

import copy
import io
import pickle
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pytest
import small_models
import torch
from torch import nn

from llama_tutorial import KVCache, ModelConfig, generate, load, load_model, save_model
from llama_tutorial.checkpoints import open_checkpoint
from llama_tutorial.checkpoints.weights import Checkpoint, empty_model, fill
from llama_tutorial.gpt import TiedOutput
from llama_tutorial.hub import leave_out_padding
from llama_tutorial.lora import add_lora, lora_layers, merge_lora, remove_lora, unmerge_lora
from llama_tutorial.numpy_llama import NumpyLlama, llama2c
from llama_tutorial.quantization import packed, packed_bytes, quantize_int4
from llama_tutorial.quantization.linear import (
    KINDS,
    QuantizedLinear,
    kind_of_model,
    put_packed,
    quantize_model,
    quantized_layers,
)
from llama_tutorial.quantization.packed import PackedMatrix

CONFIG = ModelConfig(64, 2, 4, 2, 96, vocab_size=80, max_seq_len=32)
TIED = CONFIG.replace(tie_embeddings=True)
GPT2 = CONFIG.replace(
    norm="layernorm", feed_forward="gelu", positions="learned", bias=True, tie_embeddings=True,
    n_kv_heads=4,
)  # fmt: skip
CONFIGS = {"llama": CONFIG, "tied": TIED, "gpt2": GPT2}
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def _no_warning(monkeypatch):
    """Without numba these tests run as well, and need not say that it is slow."""
    monkeypatch.setattr(packed, "_warn_once", lambda: None)


def model_of(name: str):
    return small_models.random_model(CONFIGS[name])


def dequantized(model):
    """The same model with floating matrices in place of the packed ones."""
    model = copy.deepcopy(model)
    for name, packing in quantized_layers(model).items():
        if name == "tok_embeddings":
            model.tok_embeddings = nn.Embedding.from_pretrained(packing.dequantize())
            if model.config.tie_embeddings:
                model.output = TiedOutput(model.tok_embeddings)
            continue
        layer = nn.Linear(packing.in_features, packing.out_features, bias=False)
        layer.weight = nn.Parameter(packing.dequantize())
        layer.bias = packing.bias
        parent, _, last = name.rpartition(".")
        setattr(model.get_submodule(parent), last, layer)
    return model


@each_kind
@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_a_models_logits_are_those_of_the_dequantized_model(name, kind):
    model = quantize_model(model_of(name), kind)
    plain, tokens = dequantized(model), small_models.random_tokens(model.config, 3, 12)
    torch.testing.assert_close(model(tokens), plain(tokens), rtol=1e-5, atol=1e-4)
    cache = KVCache(model.config, 3)  # and token by token, through the kernels for one vector
    pieces = [model(tokens[:, i : i + 1], cache) for i in range(12)]
    torch.testing.assert_close(torch.cat(pieces, 1), plain(tokens), rtol=1e-5, atol=1e-4)


@each_kind
@pytest.mark.parametrize("name", CONFIGS)
def test_greedy_ids_are_those_of_the_dequantized_model(name, kind):
    model, prompts = quantize_model(model_of(name), kind), [[1, 2, 3], [70], [7, 8]]
    expected = generate(dequantized(model), prompts, 12, temperature=0)
    assert generate(model, prompts, 12, temperature=0) == expected
    assert [generate(model, [p], 12, temperature=0)[0] for p in prompts] == expected


@each_kind
@pytest.mark.parametrize("config", [CONFIG, TIED])
def test_both_engines_give_the_same(tmp_path, kind, config):
    model = small_models.random_model(config)
    path = tmp_path / "model.bin"
    llama2c.write(path, config.replace(norm_eps=1e-5), small_models_arrays(model))
    torch_model = load_model(path, quantize=kind)
    numpy_model = NumpyLlama.load(path, quantize=kind)
    tokens = small_models.random_tokens(config, 1, 9)
    with torch.no_grad():
        expected = torch_model(tokens)[0].numpy()
    np.testing.assert_allclose(
        numpy_model.forward(tokens[0].tolist()), expected, rtol=1e-5, atol=1e-4
    )
    prompts = [[1, 2, 3], [4]]
    ids = generate(torch_model, prompts, 10, temperature=0)
    assert numpy_model.generate(prompts, 10, temperature=0) == ids
    assert isinstance(numpy_model.layers[0].wq, PackedMatrix)
    assert isinstance(numpy_model.output, PackedMatrix)
    assert (numpy_model.output is numpy_model.tok_embeddings) == config.tie_embeddings
    rows = torch_model.tok_embeddings(torch.arange(config.vocab_size)).numpy()
    np.testing.assert_array_equal(numpy_model.tok_embeddings.dequantize(), rows)
    assert f"{config.n_params:,} parameters in {kind})" in repr(numpy_model)


def small_models_arrays(model) -> dict[str, np.ndarray]:
    return {name: p.detach().numpy() for name, p in model.named_parameters()}


def test_what_is_packed_and_what_stays():
    model = quantize_model(model_of("llama"), "int4")
    bits = {name.rpartition(".")[2]: layer.bits for name, layer in quantized_layers(model).items()}
    matrices = ("wq", "wk", "wv", "wo", "w1", "w2", "w3")
    assert bits == {**dict.fromkeys(matrices, 4), "tok_embeddings": 8, "output": 8}
    assert {layer.group_size for layer in quantized_layers(model).values()} == {32}
    names = {name.split(".")[-2] for name, _ in model.named_parameters()}
    assert names == {"attention_norm", "ffn_norm", "norm"}
    assert not any(p.requires_grad for p in model.parameters())
    assert kind_of_model(model) == "int4"
    assert "int4 in groups of 32" in repr(model)
    eight = quantize_model(model_of("llama"), "int8")
    assert {layer.bits for layer in quantized_layers(eight).values()} == {8}
    assert (kind_of_model(eight), kind_of_model(model_of("llama"))) == ("int8", None)


def test_rows_that_no_group_divides_stay_floating():
    config = ModelConfig(32, 1, 2, 2, 43, vocab_size=50, max_seq_len=16)
    model = quantize_model(small_models.random_model(config), "int4")
    assert "layers.0.feed_forward.w2" not in quantized_layers(model)  # 43 is prime
    assert "layers.0.feed_forward.w1" in quantized_layers(model)
    assert len(generate(model, [[1]], 5, temperature=0)[0]) == 5


def test_a_tied_head_multiplies_by_the_embeddings_packed_matrix():
    model = model_of("tied")
    weight = model.tok_embeddings.weight.detach().clone()
    quantize_model(model, "int4")
    assert "output" not in quantized_layers(model)
    table = model.tok_embeddings
    assert (table.bits, table.out_features) == (8, 80)
    assert str(table) == "QuantizedEmbedding(80, 64, int8 in groups of 32)"
    rows = table.dequantize()
    assert 0 < (rows - weight).abs().max() < weight.abs().max() / 200
    x = torch.randn(2, 3, 64)
    torch.testing.assert_close(model.output(x), x @ rows.T)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@each_kind
def test_rows_of_a_packed_embedding_are_those_of_its_matrix(kind, dtype):
    model = quantize_model(model_of("llama"), kind).to(dtype)
    ids = torch.tensor([[0, 79, 64], [63, 5, 5]])
    rows = model.tok_embeddings(ids)
    assert rows.dtype == dtype
    assert torch.equal(rows, model.tok_embeddings.dequantize(dtype)[ids])
    for wrong in (80, -1):  # the 81st row is there, of zeros
        with pytest.raises(ValueError, match="tokens hold ids outside 0 to 79"):
            model(torch.tensor([[3, wrong]]))


@pytest.mark.parametrize("zero_point", [False, True])
def test_an_embedding_may_be_in_four_bits(zero_point):
    """As in llama.cpp's files."""
    model, ids = model_of("tied"), torch.tensor([[0, 79, 64]])
    packing = PackedMatrix.pack(
        quantize_int4(model.tok_embeddings.weight.detach().numpy(), 32, zero_point)
    )
    parts = {"integers": packing.integers, "scales": packing.scales, "zeros": packing.zeros}
    parts = {name: torch.from_numpy(a) for name, a in parts.items() if a is not None}
    table = put_packed(model, "tok_embeddings", parts)
    for name, part in parts.items():
        setattr(table, name, part)
    assert torch.equal(table(ids)[0], torch.from_numpy(packing[ids[0].numpy()]))


@each_kind
def test_the_gradient_for_the_input_is_the_dequantized_layers(kind):
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Linear(64, 70))
    packing = quantize_model(copy.deepcopy(layer), kind)[0]
    for shape in ((3, 64), (2, 20, 64)):
        x = torch.randn(shape, requires_grad=True)
        y = packing(x)
        weight = torch.randn(y.shape)
        (y * weight).sum().backward()
        expected = weight @ packing.dequantize()
        torch.testing.assert_close(x.grad, expected, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(
            y, x @ packing.dequantize().T + layer[0].bias, rtol=1e-5, atol=1e-5
        )


@each_kind
def test_adapters_learn_beside_packed_weights_as_beside_the_dequantized_ones(kind):
    model = quantize_model(model_of("llama"), kind)
    plain, losses, tokens = dequantized(model), [], small_models.random_tokens(CONFIG, 4, 10)
    models = (model, plain)
    for one in models:
        torch.manual_seed(5)
        add_lora(one, rank=3)
        trainable = [p for p in one.parameters() if p.requires_grad]
        assert len(trainable) == 2 * 14
        optimizer, loss = torch.optim.SGD(trainable, lr=0.05), None
        for _ in range(4):
            optimizer.zero_grad()
            logits = one(tokens[:, :-1])
            loss = nn.functional.cross_entropy(logits.flatten(0, 1), tokens[:, 1:].flatten())
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    assert losses[:4] == pytest.approx(losses[4:], rel=1e-4)
    assert losses[3] < losses[0]
    theirs = dict(plain.named_parameters())
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.testing.assert_close(parameter, theirs[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@torch.no_grad()
def test_adapters_merge_into_floating_weights_and_out_again(dtype):
    model = quantize_model(model_of("llama"), "int4").to(dtype)
    tokens = small_models.random_tokens(CONFIG, 2, 8)
    base = model(tokens)
    small_models.with_lora(model)
    changed = model(tokens)
    assert (changed - base).abs().max() > 0.1
    tolerance = {"rtol": 1e-4, "atol": 1e-4 if dtype == torch.float32 else 1.0}
    merge_lora(model)
    assert model.layers[0].attention.wq.weight.dtype == dtype
    torch.testing.assert_close(model(tokens), changed, **tolerance)
    unmerge_lora(model)
    assert torch.equal(model(tokens), changed)
    other = copy.deepcopy(model)
    merge_lora(other, keep_base=False)
    assert [*quantized_layers(other)] == ["tok_embeddings", "output"]
    torch.testing.assert_close(other(tokens), changed, **tolerance)
    remove_lora(model)
    assert not lora_layers(model)
    assert torch.equal(model(tokens), base)
    assert kind_of_model(model) == "int4"


def test_the_integers_keep_their_types_whatever_the_model_computes_in():
    model = quantize_model(model_of("llama"), "int4")
    before = {name: (buffer.dtype, buffer.clone()) for name, buffer in model.named_buffers()}
    tokens = small_models.random_tokens(CONFIG, 2, 8)
    with torch.no_grad():
        exact = model(tokens)
        # What is not packed has been rounded to 16 bits before it is widened again.
        for dtype in (torch.bfloat16, torch.float64):
            model.to(dtype)
            packings = quantized_layers(model).values()
            assert {layer.scales.dtype for layer in packings} == {torch.float16}
            logits = model(tokens)
            assert logits.dtype == torch.promote_types(dtype, torch.float32)
            torch.testing.assert_close(logits.float(), exact, rtol=0.05, atol=0.3)
    for name, buffer in model.named_buffers():
        if "rope" not in name:
            assert buffer.dtype == before[name][0]
            assert torch.equal(buffer, before[name][1])


def test_models_are_copied_and_pickled():
    model = quantize_model(model_of("tied"), "int8")
    tokens = small_models.random_tokens(TIED, 1, 8)
    with torch.no_grad():
        expected = model(tokens)
        for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert torch.equal(other(tokens), expected)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = quantize_model(small_models.random_model(TIED, seed=1), "int8")
    other.load_state_dict(torch.load(file, weights_only=True))
    with torch.no_grad():
        assert torch.equal(other(tokens), expected)


def test_numpy_and_torch_share_the_memory():
    layer = quantize_model(nn.Sequential(nn.Linear(32, 64, bias=False)), "int8")[0]
    assert np.shares_memory(layer.packed.integers, layer.integers.numpy())
    again = QuantizedLinear.of(layer.packed, torch.ones(64))
    assert again.integers.data_ptr() == layer.integers.data_ptr()
    x = torch.randn(2, 32)
    torch.testing.assert_close(again(x), layer(x) + 1)


@pytest.mark.slow
@pytest.mark.usefixtures("unchecked")
def test_it_compiles():
    model = quantize_model(model_of("llama"), "int4")
    tokens = small_models.random_tokens(CONFIG, 1, 8)
    with torch.no_grad():
        expected = model(tokens)
        compiled = torch.compile(model, backend="aot_eager")(tokens)
    torch.testing.assert_close(compiled, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.usefixtures("unchecked")
def test_ids_outside_the_vocabulary_are_refused(compiled):
    """Also those that the last block of 64 rows has room for."""
    config = CONFIG.replace(vocab_size=100)
    model = small_models.random_model(config)
    table = quantize_model(model, "int8").tok_embeddings
    look_up = torch.compile(table, backend="eager") if compiled else table
    assert look_up(torch.tensor([[0, 99]])).shape == (1, 2, config.dim)
    for outside in (-1, 100, 127, 128, 10**9):
        with pytest.raises(IndexError):
            look_up(torch.tensor([[outside]]))


def test_no_tokens_have_no_logits():
    model = quantize_model(small_models.random_model(CONFIG), "int4")
    for shape in ((0, 3), (2, 0)):
        tokens = torch.zeros(shape, dtype=torch.long)
        assert model(tokens).shape == (*shape, CONFIG.vocab_size)


def test_only_a_models_own_embedding_is_packed():
    model = quantize_model(nn.Sequential(nn.Embedding(10, 32), nn.Linear(32, 32)), "int8")
    assert [type(layer).__name__ for layer in model] == ["Embedding", "QuantizedLinear"]


@pytest.mark.gpu
@each_kind
def test_it_runs_on_a_gpu(kind):
    model = quantize_model(model_of("llama"), kind)
    tokens = small_models.random_tokens(CONFIG, 2, 8)
    with torch.no_grad():
        expected = model(tokens)
        model.cuda()
        assert {buffer.device.type for buffer in model.buffers()} == {"cuda"}
        torch.testing.assert_close(model(tokens.cuda()).cpu(), expected, rtol=1e-3, atol=1e-2)
    add_lora(model)
    model(tokens.cuda()).sum().backward()
    assert all(layer.lora_b.grad is not None for layer in lora_layers(model).values())


# Files


@each_kind
@pytest.mark.parametrize("name", CONFIGS)
def test_loading_packs_what_packing_the_loaded_model_packs(tmp_path, name, kind):
    save_model(model_of(name), tmp_path / "model")
    expected = quantize_model(load_model(tmp_path / "model"), kind).state_dict()
    found = load_model(tmp_path / "model", quantize=kind)
    assert found.state_dict().keys() == expected.keys()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in found.state_dict().items())
    assert not found.training


@each_kind
@pytest.mark.parametrize("name", CONFIGS)
def test_a_quantized_model_is_saved_as_it_is(tmp_path, name, kind):
    model = quantize_model(model_of(name), kind).bfloat16()
    save_model(model, tmp_path / "model")
    back = load_model(tmp_path / "model")
    assert back.dtype == torch.bfloat16
    state = model.state_dict()
    assert back.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[key]) for key, tensor in back.state_dict().items())
    prompts = [[1, 2, 3]]
    assert generate(back, prompts, 8, temperature=0) == generate(model, prompts, 8, temperature=0)
    assert load_model(tmp_path / "model", quantize=kind, dtype="float32").dtype == torch.float32
    other = next(k for k in KINDS if k != kind)
    message = rf"is quantized to {kind} already, not to {other}"
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path / "model", quantize=other)
    with open_checkpoint(tmp_path / "model") as checkpoint:
        head = ", embedding and head int8" if kind == "int4" else ""
        assert checkpoint.dtype == f"{kind} in groups of 32{head}, the rest bfloat16"


def test_zero_points_and_float32_scales_are_saved_and_loaded(tmp_path):
    """What other formats bring along."""
    from llama_tutorial.quantization import quantize

    model = model_of("llama")
    for layer in model.layers:
        weight = layer.feed_forward.w1.weight.detach().numpy()
        zeros = PackedMatrix.pack(quantize_int4(weight, 16, zero_point=True))
        layer.feed_forward.w1 = QuantizedLinear.of(zeros)
        weight = layer.attention.wq.weight.detach().numpy()
        layer.attention.wq = QuantizedLinear.of(PackedMatrix.pack(quantize(weight, 64)))
    save_model(model, tmp_path / "model")
    back = load_model(tmp_path / "model")
    assert back.layers[0].feed_forward.w1.zeros.dtype == torch.float16
    assert back.layers[0].attention.wq.scales.dtype == torch.float32
    tokens = small_models.random_tokens(CONFIG, 1, 8)
    with torch.no_grad():
        assert torch.equal(back(tokens), model(tokens))


def test_a_damaged_file_of_packed_weights_is_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    save_model(quantize_model(model_of("llama"), "int4"), tmp_path / "model")
    path, name = tmp_path / "model" / "model.safetensors", "layers.0.attention.wq"
    whole = load_file(path)

    def refused(changes: dict, message: str) -> None:
        state = {**whole, **changes}
        save_file({key: tensor for key, tensor in state.items() if tensor is not None}, path)
        with pytest.raises(ValueError, match=message):
            load_model(tmp_path / "model")

    scales, integers = whole[f"{name}.scales"], whole[f"{name}.integers"]
    refused({f"{name}.scales": None}, rf"missing: {name}.weight; unexpected: {name}.integers")
    refused({f"{name}.scales": scales.bfloat16()}, f"{name} is packed in bfloat16 and uint8")
    refused({f"{name}.integers": integers.short()}, f"{name} is packed in float16 and int16")
    refused({f"{name}.scales": scales[:, :0]}, f"{name} has 0 scales for 64 weights of a row")
    refused({f"{name}.integers": integers[:, :8].clone()}, f"wrong shape: {name}.integers is")
    refused({"norm.integers": integers.clone()}, "unexpected: norm.integers")
    refused({f"{name}.scales": scales * torch.nan}, f"{name}.scales holds .* NaN")


@pytest.mark.parametrize("format", ["huggingface", "meta", "llama2c", "llama2c-int8"])
def test_other_formats_refuse_packed_weights(tmp_path, format):
    model = quantize_model(model_of("llama"), "int8")
    with pytest.raises(ValueError, match="does not hold a model that is quantized to int8: 'nat"):
        save_model(model, tmp_path / "model", format)
    assert not any(tmp_path.iterdir())


def test_what_cannot_be_quantized_is_refused(tmp_path):
    model = model_of("llama")
    with pytest.raises(ValueError, match="quantize='int3': must be 'int8' or 'int4', or None"):
        quantize_model(model, "int3")
    with pytest.raises(ValueError, match="is quantized already: load it anew"):
        quantize_model(quantize_model(copy.deepcopy(model), "int8"), "int4")
    add_lora(model)
    with pytest.raises(ValueError, match="has LoRA adapters: remove_lora"):
        quantize_model(model, "int8")
    remove_lora(model)
    with torch.no_grad():
        model.layers[1].attention.wk.weight[3, 3] = torch.inf
    with pytest.raises(ValueError, match=r"layers\.1\.attention\.wk\.weight holds an infinite"):
        quantize_model(model, "int4")


@pytest.mark.usefixtures("unchecked")
def test_loaders_refuse_an_unknown_kind_before_they_read(tmp_path):
    for engine in ("torch", "numpy"):
        with pytest.raises(ValueError, match="quantize='int2': must be 'int8' or 'int4', or None"):
            load("tales", engine=engine, quantize="int2")
    with pytest.raises(ValueError, match="quantize='nf4': must be"):
        load_model(tmp_path / "nothing", quantize="nf4")


@each_kind
def test_the_shipped_model_still_tells_its_tale(kind):
    texts = []
    for engine in ("torch", "numpy"):
        model, tokenizer = load("tales", engine=engine, quantize=kind)
        prompt = tokenizer.encode("Once upon a time", bos=True)
        ids = (
            model.generate([prompt], 20, temperature=0)
            if engine == "numpy"
            else generate(model, [prompt], 20, temperature=0)
        )
        texts.append(tokenizer.decode(ids[0]))
    assert all(text.startswith(", there was a") for text in texts)


@pytest.mark.parametrize("name", ["llama", "tied"])
def test_padding_of_the_vocabulary_is_cut_off_a_packed_head(tmp_path, name):
    model = quantize_model(model_of(name), "int4")
    tokens = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        logits = model(tokens)
        leave_out_padding(model, 60)
        torch.testing.assert_close(model(tokens), logits[..., :60])
    save_model(model, tmp_path / "model")
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path / "model")(tokens), model(tokens))


# Memory


def traced(make):
    """What ``make`` returns, the bytes that are left, and the most that there were."""
    tracemalloc.start()
    try:
        made = make()
        return made, *tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()


WIDE = ModelConfig(512, 2, 8, 8, 1024, vocab_size=512, max_seq_len=32)


@each_kind
def test_a_model_is_packed_with_the_memory_of_the_result_and_some_tensors(kind):
    """Made tensor by tensor, as from a file; torch's memory and NumPy's are counted alike."""
    made = []

    def tensors():
        for name, tensor in empty.state_dict().items():
            made.append(tensor.numel())
            yield name, torch.from_numpy(np.full(tensor.shape, 0.5, np.float32))

    empty = empty_model(WIDE)
    checkpoint = Checkpoint(Path("here"), "made", "float32", empty, tensors)
    _model, now, peak = traced(lambda: fill(checkpoint, None, "cpu", kind))
    largest = 4 * max(made)
    assert now == pytest.approx(packed_bytes(WIDE, kind), rel=0.1)
    assert peak < now + 7 * largest  # a tensor, and what rounding a million weights takes
    assert 4 * WIDE.n_params > now + 7 * largest  # so the floating model was never there


def test_int8_files_take_no_more_memory_than_float32_ones(tmp_path, monkeypatch):
    """In the NumPy engine: packed where there are kernels, and widened where there are none."""
    generator = np.random.default_rng(0)
    arrays = {
        name: generator.random(shape, np.float32) if len(shape) == 2 else np.ones(shape, np.float32)
        for name, shape in llama2c.Header(1, WIDE).entries()
    }
    llama2c.write(tmp_path / "int8.bin", WIDE, arrays, version=2)
    float32 = 4 * WIDE.n_params
    taken, logits = {}, {}
    for way, large in (("packed", 1), ("float32", 10**9)):
        monkeypatch.setattr("llama_tutorial.numpy_llama.engine.LARGE", large)
        model, taken[way], _ = traced(lambda: NumpyLlama.load(tmp_path / "int8.bin"))
        logits[way] = model.forward([1, 2, 3])
    is_packed = packed.has_kernels()
    assert taken["float32"] == pytest.approx(float32, rel=0.05)
    assert taken["packed"] < (0.3 if is_packed else 1.05) * float32
    np.testing.assert_allclose(logits["packed"], logits["float32"], rtol=1e-4, atol=1e-2)


def test_no_warning_comes_where_there_are_kernels(monkeypatch):
    pytest.importorskip("numba")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generate(quantize_model(model_of("llama"), "int4"), [[1]], 3)


def test_a_prompt_is_multiplied_by_the_library_whose_threads_are_awake(monkeypatch):
    torch.manual_seed(0)
    layer = nn.Linear(64, 96, bias=False)
    small = quantize_model(nn.Sequential(layer), "int8")[0]
    x = torch.randn(packed.FEW + 1, 64)
    with torch.no_grad():
        right = x @ small.dequantize().T
    threads = torch.get_num_threads()
    called = []
    real = torch.matmul
    monkeypatch.setattr(torch, "matmul", lambda *args: called.append(args) or real(*args))
    try:
        for n in (1, 2):
            torch.set_num_threads(n)
            called.clear()
            with torch.no_grad():
                assert (small(x) - right).abs().max() < 1e-5
            assert bool(called) == (n > 1)
    finally:
        torch.set_num_threads(threads)
