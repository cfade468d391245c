"""GGUF: what the gguf package and llama.cpp say of our files, and we of theirs."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import time
from array import array
from pathlib import Path

import numpy as np
import pytest
import torch
from checkpoint_checks import refused, same_weights
from small_models import GPT2, LLAMA, NAMED, random_model, random_tokens
from torch import nn

from llama_tutorial import (
    BPETokenizer,
    ModelConfig,
    Tokenizer,
    generate,
    load,
    load_model,
    load_tokenizer,
    save_model,
)
from llama_tutorial._util.gguf_file import read_header
from llama_tutorial.chat.dialog import CHAT_TEMPLATE
from llama_tutorial.checkpoints import gguf as our_gguf
from llama_tutorial.checkpoints import open_checkpoint
from llama_tutorial.checkpoints.gguf_tensors import numpy_llama
from llama_tutorial.checkpoints.names import stored_as
from llama_tutorial.numpy_llama import NumpyLlama
from llama_tutorial.numpy_llama import engine as engine_module
from llama_tutorial.quantization.linear import quantize_model, quantized_layers
from llama_tutorial.quantization.packed import PackedMatrix
from llama_tutorial.rope import to_interleaved
from llama_tutorial.tokenizer.gpt2 import GPT2Tokenizer
from llama_tutorial.tokenizer.vocabulary import PieceType, Vocabulary

gguf = pytest.importorskip("gguf")
pytest.importorskip("sentencepiece")
Types = gguf.GGMLQuantizationType

LLAMAS = {name: config for name, config in NAMED.items() if name.startswith("llama")}
LLAMAS["llama-bias"] = LLAMA.replace(bias=True, n_kv_heads=2)
WIDE = ModelConfig(256, 1, 4, 2, 512, 290, 32)  # rows of a block of every type
TEXTS = ["the cat sat on the mat", "a dog ran to the park"] * 20
QUANTIZED = (
    "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL",
    "IQ4_XS",
)  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(TEXTS, 290)


@pytest.fixture(scope="module")
def written(tmp_path_factory, tokenizer):
    """A small file of ours, with its tokenizer."""
    path = tmp_path_factory.mktemp("gguf") / "small.gguf"
    save_model(random_model(LLAMA.replace(vocab_size=290)), path, "gguf", tokenizer=tokenizer)
    return path


# What we write


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", LLAMAS)
def test_there_and_back_is_the_same(tmp_path, name, dtype):
    # Norms are kept in float32, so that a number that is none in 16 bits would be seen.
    model = random_model(LLAMAS[name], dtype=dtype)
    save_model(model, tmp_path / "x", "gguf")
    again = load_model(tmp_path / "x")
    assert again.config == model.config
    same_weights(again, model)
    assert not again.training


def test_the_gguf_package_reads_what_we_write(written, tokenizer):
    reader, header = gguf.GGUFReader(written), read_header(written)
    model = load_model(written)
    fields = {key: field.contents() for key, field in reader.fields.items()}
    for key, value in header.metadata.items():
        assert fields[key] == (value.tolist() if isinstance(value, array) else value), key
    assert {key for key in fields if not key.startswith("GGUF.")} == set(header.metadata)
    ours = {stored_as(name, "gguf").name: t for name, t in model.state_dict().items()}
    assert [tensor.name for tensor in reader.tensors] == list(ours)
    for tensor in reader.tensors:
        assert torch.equal(torch.from_numpy(np.array(tensor.data)), ours[tensor.name])
        assert tensor.data_offset % 32 == 0
        assert tensor.data_offset == header.tensors[tensor.name].start
        assert tuple(tensor.shape[::-1]) == header.tensors[tensor.name].shape
    assert fields["general.architecture"] == "llama"
    assert fields["general.file_type"] == gguf.LlamaFileType.ALL_F32
    assert fields["general.alignment"] == 32
    assert fields["llama.rope.dimension_count"] == 6
    assert fields["tokenizer.ggml.model"] == "llama"
    assert fields["tokenizer.ggml.tokens"] == list(tokenizer.vocabulary.pieces)
    assert fields["tokenizer.ggml.token_type"] == list(map(int, tokenizer.vocabulary.types))
    assert fields["tokenizer.ggml.scores"] == list(tokenizer.vocabulary.scores)
    special = ("bos", "eos", "unknown")
    assert [fields[f"tokenizer.ggml.{name}_token_id"] for name in special] == [1, 2, 0]
    assert fields["tokenizer.ggml.add_bos_token"] is True
    assert fields["tokenizer.ggml.add_eos_token"] is False
    assert fields["tokenizer.ggml.add_space_prefix"] is True
    assert "tokenizer.ggml.padding_token_id" not in fields
    assert "tokenizer.chat_template" not in fields


@pytest.mark.parametrize(
    ("dtype", "quantize", "file_type", "matrix", "head"),
    [
        (torch.float32, None, "ALL_F32", "F32", "F32"),
        (torch.float16, None, "MOSTLY_F16", "F16", "F16"),
        (torch.bfloat16, None, "MOSTLY_BF16", "BF16", "BF16"),
        (torch.float32, "q8_0", "MOSTLY_Q8_0", "Q8_0", "Q8_0"),
        (torch.bfloat16, "q4_0", "MOSTLY_Q4_0", "Q4_0", "Q8_0"),
    ],
)
@pytest.mark.parametrize("tied", [False, True])
def test_the_types_of_a_file(tmp_path, dtype, quantize, file_type, matrix, head, tied):
    model = random_model(WIDE.replace(tie_embeddings=tied), dtype=dtype)
    save_model(model, tmp_path / "x", "gguf", quantize=quantize)
    reader = gguf.GGUFReader(tmp_path / "x")
    kinds = {tensor.name: tensor.tensor_type.name for tensor in reader.tensors}
    assert kinds["output.weight" if not tied else "token_embd.weight"] == head
    assert ("output.weight" in kinds) is not tied
    assert kinds["blk.0.ffn_down.weight"] == kinds["blk.0.attn_k.weight"] == matrix
    assert kinds["output_norm.weight"] == kinds["blk.0.attn_norm.weight"] == "F32"
    assert reader.fields["general.file_type"].contents() == gguf.LlamaFileType[file_type]
    assert ("general.quantization_version" in reader.fields) == (quantize is not None)


@pytest.mark.parametrize("quantize", ["q8_0", "q4_0"])
def test_weights_are_rounded_as_the_gguf_package_does(tmp_path, quantize):
    model = random_model(WIDE)
    save_model(model, tmp_path / "x", "gguf", quantize=quantize)
    again = load_model(tmp_path / "x")
    assert again.dtype == torch.float32
    for name, tensor in again.state_dict().items():
        own, kind = model.state_dict()[name], Types[quantize.upper()]
        if own.ndim == 1:
            assert torch.equal(tensor, own)
            continue
        kind = Types.Q8_0 if name == "output.weight" else kind
        packed = gguf.quants.quantize(own.numpy(), kind)
        assert torch.equal(tensor, torch.from_numpy(gguf.quants.dequantize(packed, kind)))
        levels = 127 if kind is Types.Q8_0 else 8
        largest = own.reshape(-1, 32).abs().amax(1, keepdim=True)
        error = (tensor - own).reshape(-1, 32).abs() / (largest / levels)
        # Half of a step, and what the scale lost in float16; but the sixteen levels of Q4_0 go
        # from -8 to 7, so that the largest of the other sign is cut.
        assert error.max() <= (0.5 if levels == 127 else 1) + levels / 2**11 + 1e-3


PACKED = {"int8": ("Q8_0", 8), "int4": ("Q4_0", 4)}


@pytest.mark.parametrize("quantize", PACKED)
def test_packed_layers_take_the_files_bits(tmp_path, quantize):
    """Blocks of random bits, most of which no rounding would have made."""
    kind, bits = PACKED[quantize]
    path = _random_blocks(tmp_path, WIDE, Types[kind])
    floating, model = load_model(path), load_model(path, quantize=quantize)
    layers = quantized_layers(model)
    ends = ("tok_embeddings", "output")  # which the file holds in float32
    assert {layer.bits for name, layer in layers.items() if name not in ends} == {bits}
    assert [layers[name].bits for name in ends] == [8, 8]
    assert {layer.group_size for layer in layers.values()} == {32}
    assert len(layers) == 9
    for name, layer in layers.items():
        if name not in ends:
            assert torch.equal(layer.dequantize(), floating.state_dict()[f"{name}.weight"]), name
    floating.tok_embeddings.weight = nn.Parameter(layers["tok_embeddings"].dequantize())
    tokens = random_tokens(WIDE, 1, 5)
    largest = floating(tokens).abs().max()
    assert (model(tokens) - floating(tokens)).abs().max() < 0.02 * largest
    # and back
    save_model(model, tmp_path / "again", "gguf")
    same_weights(load_model(tmp_path / "again", quantize=quantize), model)
    before, after = gguf.GGUFReader(path), gguf.GGUFReader(tmp_path / "again")
    written = {tensor.name: tensor.data for tensor in after.tensors}
    for tensor in before.tensors:
        if tensor.tensor_type == Types[kind]:
            assert np.array_equal(tensor.data, written[tensor.name]), tensor.name
    field = after.fields["general.file_type"].contents()
    assert field == gguf.LlamaFileType[f"MOSTLY_{kind}"]
    assert after.fields["general.quantization_version"].contents() == 2


def test_zero_points_are_q4_1(tmp_path):
    path = _random_blocks(tmp_path, WIDE, Types.Q4_1)
    floating, model = load_model(path), load_model(path, quantize="int4")
    layer = quantized_layers(model)["layers.0.feed_forward.w2"]
    assert layer.zeros is not None
    difference = layer.dequantize() - floating.layers[0].feed_forward.w2.weight
    assert difference.abs().max() < 1e-6
    save_model(model, tmp_path / "again", "gguf")
    same_weights(load_model(tmp_path / "again", quantize="int4"), model)


@pytest.mark.parametrize("kind", ["Q6_K", "F16", "Q8_0"])
def test_other_types_are_rounded_once_more(tmp_path, kind):
    """Q8_0 to int4, for instance."""
    path = _random_blocks(tmp_path, WIDE, Types[kind])
    model = load_model(path, quantize="int4")
    expected = quantize_model(load_model(path), "int4")
    same_weights(model.to(expected.dtype), expected)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("quantize", PACKED)
def test_a_file_of_ours_becomes_the_model_that_is_packed_at_once(tmp_path, quantize, tied):
    """Rounding gives the integers of the gguf package, and what is rounded twice stays."""
    kind, _ = PACKED[quantize]
    model = random_model(WIDE.replace(tie_embeddings=tied))
    save_model(model, tmp_path / "x", "gguf", quantize=kind.lower())
    again = load_model(tmp_path / "x", quantize=quantize)
    expected = quantize_model(model, quantize)
    for name, tensor in again.state_dict().items():
        own = expected.state_dict()[name]
        if (kind, tied, name.partition(".")[0]) == ("Q4_0", False, "tok_embeddings"):
            assert again.tok_embeddings.bits == 4  # as it is in the file
        else:
            # Halves are rounded by each in its own way.
            assert (tensor.float() - own.float()).ne(0).float().mean() < 1e-3, name
    save_model(again, tmp_path / "y", "gguf")
    if tied:
        assert not load_model(tmp_path / "y").state_dict().keys() & {"output.weight"}
    same_weights(load_model(tmp_path / "y", quantize=quantize), again)


def test_packed_groups_that_gguf_has_not_are_written_in_float32(tmp_path):
    config = WIDE.replace(hidden_dim=344)  # groups of 8
    model = quantize_model(random_model(config), "int8")
    save_model(model, tmp_path / "x", "gguf")
    kinds = {t.name: t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "x").tensors}
    assert (kinds["blk.0.ffn_down.weight"], kinds["blk.0.ffn_up.weight"]) == ("F32", "Q8_0")
    stored = load_model(tmp_path / "x").state_dict()["layers.0.feed_forward.w2.weight"]
    assert torch.equal(stored, model.layers[0].feed_forward.w2.dequantize())


def test_scales_that_are_not_finite_are_named(tmp_path):
    path = _random_blocks(tmp_path, WIDE, Types.Q4_0)
    place = read_header(path).tensors["blk.0.ffn_up.weight"]
    data = bytearray(path.read_bytes())
    data[place.start : place.start + 2] = struct.pack("<e", float("inf"))
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"blk\.0\.ffn_up\.weight holds scales that are NaN or"):
        load_model(path, quantize="int4")
    assert "layers.0.feed_forward.w3.weight holds 32 numbers" in refused(path)


def _random_blocks(folder, config, kind):
    """A file whose blocks' matrices are of ``kind``: random bits, but for their scales."""
    save_model(random_model(config), folder / "random", "huggingface")

    def change(writer):
        for name, info in writer.tensors[0].items():
            if len(info.shape) == 2 and name.startswith("blk"):
                data = random_bits(kind, *info.shape)
                info.dtype, info.nbytes, info.tensor = kind, data.nbytes, data

    return write_as_llama_cpp(folder / "random.gguf", folder / "random", change=change)


def random_bits(kind, rows, columns):
    """Blocks of a type whose scales alone are sensible."""
    dice = np.random.default_rng(int(kind))
    if kind is Types.F16:
        return (dice.normal(size=(rows, columns)) / 30).astype("<f2")
    block, size = gguf.GGML_QUANT_SIZES[kind]
    data = dice.integers(0, 256, (rows * columns // block, size), dtype=np.uint8)
    for at in _scales(kind):
        scale = dice.normal(size=len(data)).astype("<f2") / 100
        data[:, at : at + 2] = scale.view(np.uint8).reshape(-1, 2)
    return data.reshape(rows, -1)


def test_rows_that_are_no_multiple_of_32_stay_as_they_are(tmp_path):
    model = random_model(WIDE.replace(hidden_dim=344))
    save_model(model, tmp_path / "x", "gguf", quantize="q4_0")
    again = load_model(tmp_path / "x").state_dict()
    name = "layers.0.feed_forward.w2.weight"  # its rows are of hidden_dim
    assert torch.equal(again[name], model.state_dict()[name])
    assert not torch.equal(
        again[name.replace("w2", "w1")], model.state_dict()[name.replace("w2", "w1")]
    )


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (GPT2, "its llama cannot have norm='layernorm', feed_forward='gelu', positions='learned'"),
        (LLAMA.replace(norm_eps=1.23456789012e-5), r"norm_eps=1.23456789012e-05 \(the file has it"),
        (LLAMA.replace(rope_theta=10000.000001), "rope_theta=10000.000001 .* as 10000.0"),
    ],
)
def test_a_model_that_gguf_cannot_hold(tmp_path, config, message):
    with pytest.raises(ValueError, match=message):
        save_model(random_model(config), tmp_path / "x", "gguf")
    assert not list(tmp_path.iterdir())


def test_what_save_model_refuses(tmp_path, tokenizer, written):
    model = random_model(LLAMA.replace(vocab_size=290))
    before = written.read_bytes()
    words = GPT2Tokenizer.from_folder(_gpt2_folder(tmp_path / "words"))
    for wrong, message in [
        ({"quantize": "q5_k"}, "quantize='q5_k': must be 'q8_0', 'q4_0', or None"),
        ({"tokenizer": words}, "the tokenizer has 259 pieces, the model 290"),
        ({"tokenizer": Tokenizer.train(TEXTS, 277)}, "the tokenizer has 277 pieces"),
        ({"chat_template": True}, "chat_template=True belongs to a tokenizer in format="),
        ({"shards": 2}, "shards=2: format='gguf' is not cut"),
    ]:
        with pytest.raises(ValueError, match=message):
            save_model(model, written, "gguf", **wrong)
    with pytest.raises(ValueError, match="quantize='q8_0' belongs to format='gguf', not 'native'"):
        save_model(model, written, quantize="q8_0")
    with pytest.raises(ValueError, match="its own is 'llama2c-int8'"):
        save_model(model, written, "llama2c", quantize="q8_0")
    with pytest.raises(ValueError, match="pieces are GPT-2's, not SentencePiece's"):
        save_model(random_model(LLAMA.replace(vocab_size=259)), written, "gguf", tokenizer=words)
    unigram = Tokenizer.train(TEXTS, 277, model_type="unigram")
    with pytest.raises(ValueError, match="cannot hold this tokenizer: its model_type is unigram"):
        save_model(random_model(LLAMA.replace(vocab_size=277)), written, "gguf", tokenizer=unigram)
    with pytest.raises(ValueError, match=r"does not compute in float64: .* model.float\(\)"):
        save_model(model.double(), written, "gguf")
    with pytest.raises(ValueError, match="is a folder: give the name of a file"):
        save_model(model.float(), tmp_path, "gguf")
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def test_a_write_that_fails_leaves_the_old_file(written, monkeypatch):
    before = written.read_bytes()

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(our_gguf, "_packed", fail)
    with pytest.raises(OSError, match="No space left"):
        save_model(random_model(LLAMA), written, "gguf")
    assert written.read_bytes() == before
    assert [path.name for path in written.parent.iterdir()] == [written.name]


def test_without_the_gguf_package(written, monkeypatch, tokenizer):
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(ImportError, match=r"pip install 'llama-tutorial\[gguf\]'"):
        load_model(written)
    with pytest.raises(ImportError, match=r"pip install 'llama-tutorial\[gguf\]'"):
        save_model(random_model(LLAMA), written, "gguf")
    assert load_tokenizer(written).encode("the cat") == tokenizer.encode("the cat")


# What others write


def write_as_llama_cpp(path, folder, kind=Types.F32, *, pieces=None, change=None, **split):
    """What ``convert_hf_to_gguf.py`` writes of a folder of Hugging Face's, by its rules.

    The keys are those of ``LlamaModel.set_gguf_parameters``; ``permute`` is its own.
    """
    from safetensors.torch import load_file

    about = json.loads((folder / "config.json").read_text())
    heads, kv_heads = about["num_attention_heads"], about["num_key_value_heads"]

    def permute(weights, n_head):
        return (
            weights.reshape(n_head, 2, weights.shape[0] // n_head // 2, *weights.shape[1:])
            .swapaxes(1, 2)
            .reshape(weights.shape)
        )

    writer = gguf.GGUFWriter(path, "llama", **split)
    writer.add_type("model")
    writer.add_name("a test's")
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    writer.add_block_count(about["num_hidden_layers"])
    writer.add_context_length(about["max_position_embeddings"])
    writer.add_embedding_length(about["hidden_size"])
    writer.add_feed_forward_length(about["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_rope_freq_base(about["rope_theta"])
    writer.add_layer_norm_rms_eps(about["rms_norm_eps"])
    writer.add_vocab_size(about["vocab_size"])
    writer.add_rope_dimension_count(about["hidden_size"] // heads)
    if pieces is None:
        writer.add_tokenizer_model("none")
    else:
        rows = about["vocab_size"] - len(pieces)
        tokens = [*pieces.pieces, *(f"[PAD{i}]" for i in range(rows))]
        writer.add_tokenizer_model("llama")
        writer.add_tokenizer_pre("default")
        writer.add_token_list([piece.encode() for piece in tokens])
        writer.add_token_scores([*pieces.scores, *[-10000.0] * rows])
        writer.add_token_types([*map(int, pieces.types), *[5] * rows])
        writer.add_bos_token_id(1)
        writer.add_eos_token_id(2)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, about["num_hidden_layers"])
    for name, weights in load_file(folder / "model.safetensors").items():
        if "q_proj" in name:
            weights = permute(weights, heads)
        if "k_proj" in name:
            weights = permute(weights, kv_heads)
        new = names.get_name(name, try_suffixes=(".weight", ".bias"))
        data = weights.float().contiguous().numpy()
        here = kind if data.ndim == 2 else Types.F32
        writer.add_tensor(new, gguf.quants.quantize(data, here), raw_dtype=here)
    if change is not None:
        change(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer):
    """A Llama in Hugging Face's form."""
    path = tmp_path_factory.mktemp("hf") / "model"
    config = LLAMA.replace(vocab_size=290, n_kv_heads=2)
    save_model(random_model(config), path, "huggingface", tokenizer=tokenizer)
    return path


@pytest.mark.parametrize("name", ["llama", "llama-gqa", "llama-mqa", "llama-tied", "llama-bias"])
@pytest.mark.parametrize("kind", [Types.F32, Types.F16, Types.BF16])
def test_what_llama_cpps_converter_writes(tmp_path, name, kind):
    dtype = {Types.F32: torch.float32, Types.F16: torch.float16, Types.BF16: torch.bfloat16}[kind]
    model = random_model(LLAMAS[name], dtype=dtype)
    save_model(model, tmp_path / "hf", "huggingface")
    path = write_as_llama_cpp(tmp_path / "x.gguf", tmp_path / "hf", kind)
    again = load_model(path)
    same_weights(again, model)
    assert again.config == model.config
    tokens = random_tokens(model.config, 1, 12)
    assert torch.equal(again(tokens), load_model(tmp_path / "hf")(tokens))


def test_its_permutation_undoes_hugging_faces():
    """The rows of a head of 6: 0 2 4 1 3 5 are 0 1 2 3 4 5 again."""
    rows = torch.tensor([0.0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11]).reshape(12, 1)
    theirs = rows.reshape(2, 2, 3, 1).swapaxes(1, 2).reshape(12, 1)
    assert torch.equal(theirs, torch.arange(12.0).reshape(12, 1))
    assert torch.equal(to_interleaved(rows, 2), theirs)


def test_vectors_that_16_bits_do_not_hold_make_it_float32(tmp_path, folder):
    path = write_as_llama_cpp(tmp_path / "x.gguf", folder, Types.F16)  # norms of float32
    model = load_model(path)
    assert model.dtype == torch.float32
    assert torch.equal(
        model.state_dict()["norm.weight"], load_model(folder).state_dict()["norm.weight"]
    )
    assert load_model(path, dtype="float16").dtype == torch.float16


@pytest.mark.parametrize("kind", QUANTIZED)
def test_every_type_is_what_the_gguf_package_makes_of_it(tmp_path, kind):
    """Random bits in every block, but for scales that are finite."""
    kind = Types[kind]
    block, size = gguf.GGML_QUANT_SIZES[kind]
    model = random_model(WIDE)
    path = _random_blocks(tmp_path, WIDE, kind)
    packed = {t.name: t.data for t in gguf.GGUFReader(path).tensors if t.tensor_type == kind}
    assert len(packed) == 7
    with open_checkpoint(path) as checkpoint:
        assert checkpoint.dtype == f"{kind.name} and F32"
    state = load_model(path).state_dict()
    for name in state:
        data = packed.get(stored_as(name, "gguf").name)
        if data is None:
            assert torch.equal(state[name], model.state_dict()[name])
        else:
            expected = gguf.quants.dequantize(data, kind)
            assert np.array_equal(state[name].numpy(), expected), name
            if (by_hand := BY_HAND.get(kind.name)) is not None:
                first = [by_hand(bytes(data.reshape(-1, size)[i])) for i in range(3)]
                np.testing.assert_allclose(
                    expected.reshape(-1, block)[:3], first, rtol=1e-6, atol=1e-7
                )
    assert load_model(path, dtype="bfloat16").dtype == torch.bfloat16


def _scales(kind):
    """Where the float16 scales of a block are."""
    size = gguf.GGML_QUANT_SIZES[kind][1]
    return {
        "Q4_1": (0, 2), "Q5_1": (0, 2), "Q2_K": (80, 82), "Q3_K": (size - 2,),
        "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (size - 2,),
    }.get(kind.name, (0,))  # fmt: skip


def _half(data, at):
    return struct.unpack_from("<e", data, at)[0]


def _q8_0(data):
    return [_half(data, 0) * q for q in struct.unpack_from("<32b", data, 2)]


def _q4_0(data):
    nibbles = [b & 15 for b in data[2:]] + [b >> 4 for b in data[2:]]
    return [_half(data, 0) * (q - 8) for q in nibbles]


def _q4_1(data):
    nibbles = [b & 15 for b in data[4:]] + [b >> 4 for b in data[4:]]
    return [_half(data, 0) * q + _half(data, 2) for q in nibbles]


def _q4_k(data):
    """From ``dequantize_row_q4_K`` of ggml."""
    scales, numbers, out = data[4:16], data[16:], []

    def scale_and_minimum(j):
        if j < 4:
            return scales[j] & 63, scales[j + 4] & 63
        return (
            (scales[j + 4] & 15) | (scales[j - 4] >> 6) << 4,
            (scales[j + 4] >> 4) | (scales[j] >> 6) << 4,
        )

    for j in range(8):
        scale, minimum = scale_and_minimum(j)
        for b in numbers[32 * (j // 2) : 32 * (j // 2) + 32]:
            q = b >> 4 if j % 2 else b & 15
            out.append(_half(data, 0) * scale * q - _half(data, 2) * minimum)
    return out


BY_HAND = {"Q8_0": _q8_0, "Q4_0": _q4_0, "Q4_1": _q4_1, "Q4_K": _q4_k}


def test_a_model_in_parts(tmp_path, folder):
    write_as_llama_cpp(tmp_path / "x.gguf", folder, split_max_tensors=9)
    parts = sorted(tmp_path.glob("*.gguf"))
    assert parts[0].name == "x-00001-of-00003.gguf"
    assert len(parts) == 3
    for part in parts:
        same_weights(load_model(part), load_model(folder))
    parts[1].rename(tmp_path / "aside")
    said = refused(parts[0], FileNotFoundError)
    assert said.endswith("is one of 3 parts of a model; missing beside it: x-00002-of-00003.gguf")
    parts[1].write_bytes(parts[2].read_bytes())
    assert "x-00002-of-00003.gguf is not part 2 of 3, as its name says" in _said(parts[0])
    alone = tmp_path / "renamed.gguf"
    parts[0].rename(alone)
    assert "is one part of several (split.no=0, split.count=3), and its name" in refused(alone)


def test_a_file_without_the_keys_of_later_years(tmp_path, folder):
    """No vocab_size, rope.freq_base, head_count_kv or alignment, and version 2."""

    def older(writer):
        for key in ("vocab_size", "rope.freq_base", "attention.head_count_kv"):
            del writer.kv_data[0][f"llama.{key}"]

    save_model(random_model(LLAMA), tmp_path / "hf", "huggingface")
    path = write_as_llama_cpp(tmp_path / "x.gguf", tmp_path / "hf", change=older)
    data = bytearray(path.read_bytes())
    data[4:8] = struct.pack("<I", 2)
    path.write_bytes(data)
    assert load_model(path).config == LLAMA
    with open_checkpoint(path) as checkpoint:
        assert (checkpoint.format, checkpoint.dtype) == ("GGUF, version 2", "F32")


def test_harmless_extras(tmp_path, folder):
    def extras(writer):
        writer.add_rope_scaling_type(gguf.RopeScalingType.NONE)
        writer.add_rope_scaling_factor(1.0)
        writer.add_sliding_window(4096)
        writer.add_key_length(6)
        writer.add_array("llama.some.list", [1, 2, 3])
        writer.add_tensor("rope_freqs.weight", np.ones(3, np.float32))
        writer.kv_data[0].pop("llama.attention.head_count_kv")
        writer.add_head_count_kv([2, 2])  # one a layer

    path = write_as_llama_cpp(tmp_path / "x.gguf", folder, change=extras)
    same_weights(load_model(path), load_model(folder))


# What is refused


def _key(name, value, kind):
    kind = getattr(gguf.GGUFValueType, kind)
    return lambda writer: writer.add_key_value(name, value, kind)


def _drop(name):
    return lambda writer: writer.kv_data[0].pop(name)


def _tensor(name, array, kind=None):
    return lambda writer: writer.add_tensor(name, array, raw_dtype=kind)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_key("general.architecture", "qwen2", "STRING"), "general.architecture is 'qwen2'; of"),
        (_drop("general.architecture"), "general.architecture is None"),
        (
            _key("llama.rope.scaling.type", "yarn", "STRING"),
            "llama.rope.scaling.type='yarn' (must ",
        ),
        (_key("llama.rope.scaling.factor", 4.0, "FLOAT32"), "llama.rope.scaling.factor=4.0 (must"),
        (_key("llama.rope.scale_linear", 2.0, "FLOAT32"), "llama.rope.scale_linear=2.0 (must be "),
        (_key("llama.rope.dimension_count", 4, "UINT32"), "dimension_count=4 (must be embedding_"),
        (_key("llama.attention.key_length", 8, "UINT32"), "llama.attention.key_length=8 (must be"),
        (_key("llama.expert_count", 8, "UINT32"), "llama.expert_count=8 (must be 0), which this"),
        (_key("llama.attention.sliding_window", 16, "UINT32"), "sliding_window=16 (must be 0, or"),
        (_key("llama.attention.causal", False, "BOOL"), "llama.attention.causal=False (must be"),
        (_key("llama.attention.head_count", 5, "UINT32"), "n_heads=5 does not divide dim=24"),
        (_key("llama.attention.head_count_kv", [2, 4], "ARRAY"), "head_count_kv=[2, 4] (must be "),
        (_key("llama.block_count", "2", "STRING"), "llama.block_count is '2', must be a whole"),
        (_key("llama.block_count", -2, "INT32"), "n_layers=-2: must be a whole number of at"),
        (_key("llama.block_count", 2**30, "UINT32"), "n_layers=1073741824: must be"),
        (_key("llama.block_count", 2**20, "UINT32"), "1048576 layers, and 21 tensors in all"),
        (_key("llama.block_count", 3, "UINT32"), "missing: blk.2.attn_q.weight, blk.2.attn_k"),
        (_key("llama.feed_forward_length", 41, "UINT32"), "blk.0.ffn_gate.weight is (40, 24), mus"),
        (_key("llama.vocab_size", 291, "UINT32"), "token_embd.weight is (290, 24), must be (291"),
        (_key("llama.attention.layer_norm_rms_epsilon", 0.0, "FLOAT32"), "norm_eps=0.0: must be"),
        (_key("llama.rope.freq_base", float("nan"), "FLOAT32"), "freq_base is nan, must be a num"),
        (_key("llama.rope.freq_base", 7, "UINT32"), "llama.rope.freq_base is 7, must be a number"),
        (_drop("llama.context_length"), "is damaged; missing: llama.context_length"),
        (_key("general.alignment", 4096, "UINT32"), "begins at 27840, no multiple of the alignme"),
        (
            _key("general.alignment", 24, "UINT32"),
            "general.alignment is 24, must be a power of two",
        ),
        (_tensor("rope_freqs.weight", np.float32([1, 2, 8])), "rope_freqs.weight, factors of the"),
        (_tensor("blk.0.extra.weight", np.ones(3, np.float32)), "unexpected: blk.0.extra.weight"),
        (_tensor("blk.0.attn_q.bias", np.ones(24, np.float32)), "missing: blk.0.attn_k.bias, blk"),
        (_tensor("a", np.ones(3, np.int32)), "a is of type 26, I32, which the gguf package"),
        (_tensor("a", np.ones(3, np.float64)), "a is of type 28, F64, which the gguf package"),
    ],
)
def test_other_models_are_refused(tmp_path, folder, change, message):
    path = write_as_llama_cpp(tmp_path / "x.gguf", folder, change=change)
    assert message in refused(path)
    assert message in _cli_line(path)


def _cli_line(path):
    """The error as ``info`` would print it: one line."""
    with pytest.raises(ValueError, match=" ") as error, open_checkpoint(path):
        pass
    assert "\n" not in str(error.value)
    return str(error.value)


def _said(path):
    with pytest.raises(ValueError, match=" ") as error:
        load_model(path)
    return str(error.value)


def test_a_cut_file_is_refused_wherever_it_is_cut(tmp_path, written):
    data, path = written.read_bytes(), tmp_path / "cut.gguf"
    header = read_header(written)
    last = max(place.start + 4 * int(np.prod(place.shape)) for place in header.tensors.values())
    for end in [*range(0, 400, 7), *range(400, last, 997), last - 1]:
        path.write_bytes(data[:end])
        said = refused(path)
        assert len(said) < 500
        if end >= 4:
            assert "truncated" in said, (end, said)
    path.write_bytes(data[:last])
    load_model(path)


def _header(n_tensors=0, n_keys=0, version=3):
    return b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_keys)


def _text(text):
    text = text if isinstance(text, bytes) else text.encode()
    return struct.pack("<Q", len(text)) + text


HOSTILE = {
    "many keys": (_header(n_keys=2**63), "the number of keys is 9223372036854775808; at most 4096"),
    "many tensors": (_header(2**40), "the number of tensors is 1099511627776; at most 65536 can"),
    "a long name": (_header(n_keys=1) + struct.pack("<Q", 2**60), "name of key 0 is 1152921504606"),
    "a long text": (
        _header(n_keys=1) + _text("a") + struct.pack("<IQ", 8, 2**40) + bytes(100),
        "a is 1099511627776 bytes long; at most 4194304 can be",
    ),
    "a long array": (
        _header(n_keys=1) + _text("a") + struct.pack("<IIQ", 9, 4, 2**61) + bytes(100),
        "a takes 9223372036854775808 bytes at byte 49, and the file has 149",
    ),
    "many strings": (
        _header(n_keys=1) + _text("a") + struct.pack("<IIQ", 9, 8, 2**61) + bytes(100),
        "a makes 2305843009213693952 strings; at most 1048576 can be",
    ),
    "strings that are not there": (
        _header(n_keys=1) + _text("a") + struct.pack("<IIQ", 9, 8, 2**20) + bytes(100),
        "a takes 8 bytes at byte 145, and the file has 149",
    ),
    "arrays in an array": (
        _header(n_keys=1) + _text("a") + struct.pack("<IIQ", 9, 9, 2) + bytes(100),
        "a is of type 9, which is none that a value can have",
    ),
    "an unknown type": (
        _header(n_keys=1) + _text("a") + struct.pack("<IQ", 13, 2),
        "a is of type 13, which is none",
    ),
    "a bool of two": (
        _header(n_keys=1) + _text("a") + struct.pack("<IB", 7, 2), "a is 2, must be 0 or 1"
    ),
    "a key twice": (
        _header(n_keys=2) + 2 * (_text("a") + struct.pack("<IB", 0, 2)), "key a is there twice"
    ),
    "a name of bytes": (_header(n_keys=1) + _text(b"\xff\xfe"), "key 0 is not UTF-8 text, at byte"),
    "a name that gives orders": (
        _header(n_keys=2) + 2 * (_text("\x1b[2J\n") + struct.pack("<IB", 0, 2)),
        r"key \x1b[2J is there twice",
    ),
    "a tensor twice": (
        _header(2) + 2 * (_text("a") + struct.pack("<IQIQ", 1, 4, 0, 0)) + bytes(300),
        "tensor a is there twice",
    ),
    "nine dimensions": (_header(1) + _text("a") + struct.pack("<I", 9), "a has 9 dimensions; 1 to"),
    "a negative size": (
        _header(1) + _text("a") + struct.pack("<IqqIQ", 2, -4, 4, 0, 0) + bytes(300),
        "a is of shape (4, 18446744073709551612), in a file of",
    ),
    "no rows": (
        _header(1) + _text("a") + struct.pack("<IQQIQ", 2, 4, 0, 0, 0) + bytes(300),
        "a is of shape (0, 4), in a file of",
    ),
    "sizes that overflow together": (
        _header(1) + _text("a") + struct.pack("<I4QIQ", 4, *[2**14] * 4, 0, 0) + bytes(300),
        "a takes 288230376151711744 bytes at byte",
    ),
    "an offset beyond the file": (
        _header(1) + _text("a") + struct.pack("<IQIQ", 1, 4, 0, 2**62) + bytes(300),
        "a begins at 4611686018427387904, and the file has",
    ),
    "an odd offset": (
        _header(1) + _text("a") + struct.pack("<IQIQ", 1, 4, 0, 4) + bytes(300),
        "a begins at 4, no multiple of the alignment, 32",
    ),
    "half of a block": (
        _header(1) + _text("a") + struct.pack("<IQIQ", 1, 33, 8, 0) + bytes(300),
        "a is Q8_0, in blocks of 32, and has rows of 33",
    ),
    "an unknown type of a tensor": (
        _header(1) + _text("a") + struct.pack("<IQIQ", 1, 32, 99, 0) + bytes(300),
        "a is of type 99, which the gguf package cannot turn into numbers",
    ),
    "tensors over one another": (
        _header(2)
        + _text("a") + struct.pack("<IQIQ", 1, 16, 0, 0)
        + _text("b") + struct.pack("<IQIQ", 1, 16, 0, 32)
        + bytes(300),
        "b lies over a",
    ),
    "no tensors": (_header(), "holds no whole Llama; missing: token_embd.weight"),
    "version 1": (_header(version=1), "is a GGUF file of version 1; this package reads versions"),
    "another order of bytes": (
        b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "is a GGUF file for big-endian machines"
    ),
    "nothing but the mark": (b"GGUF", "the version takes 4 bytes at byte 4, and the file has 4"),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_at_once(tmp_path, name):
    data, message = HOSTILE[name]
    (tmp_path / "x.gguf").write_bytes(data)
    begin = time.monotonic()
    assert message in refused(tmp_path / "x.gguf")
    assert time.monotonic() - begin < 5
    assert "\n" not in _said(tmp_path / "x.gguf")


def test_a_header_that_is_longer_than_any(tmp_path):
    """Sparse, so that it takes no room on the disk."""
    path = tmp_path / "x.gguf"
    with open(path, "wb") as file:
        file.write(_header(n_keys=1) + _text("a") + struct.pack("<IIQ", 9, 0, 2**27))
        file.truncate(2**28)
    assert "its header is longer than 67108864 bytes, at a" in refused(path)


def test_weights_that_are_not_finite_are_named(tmp_path, folder):
    def spoil(writer):
        info = writer.tensors[0]["blk.1.ffn_up.weight"]
        info.tensor = info.tensor.copy()
        info.tensor[2, 3] = np.inf

    path = write_as_llama_cpp(tmp_path / "x.gguf", folder, change=spoil)
    assert "layers.1.feed_forward.w3.weight holds 1 numbers of 960 that are NaN or" in refused(path)


def test_a_file_that_is_mapped_is_not_changed_by_training(written):
    before = written.read_bytes()
    model = load_model(written)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert written.read_bytes() == before


def test_a_folder_with_gguf_files_says_to_give_one(tmp_path, written):
    (tmp_path / "x.gguf").write_bytes(written.read_bytes())
    assert refused(tmp_path).endswith("holds x.gguf: give one of these files itself")
    model, pieces = load(tmp_path, "x.gguf")
    assert model.config.vocab_size == pieces.vocab_size == 290


# The NumPy engine


def test_what_the_numpy_engine_loads_itself_is_llama2cs(written):
    message = r"is no llama2\.c checkpoint but a GGUF file.*are read by load\(\.\.\., engine="
    with pytest.raises(ValueError, match=message):
        NumpyLlama.load(written)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", [name for name in LLAMAS if name != "llama-bias"])
def test_the_numpy_engine_computes_the_same(tmp_path, name, dtype):
    model = random_model(LLAMAS[name], dtype=dtype)
    save_model(model, tmp_path / "x", "gguf")
    engine = numpy_llama(tmp_path / "x")
    assert engine.config == model.config
    tokens = random_tokens(model.config, 1, 9)
    expected = load_model(tmp_path / "x", dtype="float32")(tokens)[0].detach().numpy()
    np.testing.assert_allclose(engine.forward(tokens[0].tolist()), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", QUANTIZED)
def test_the_numpy_engine_reads_every_type(tmp_path, kind):
    path = _random_blocks(tmp_path, WIDE, Types[kind])
    engine, state = numpy_llama(path), load_model(path).state_dict()
    layer = engine.layers[0]
    for name in ("wq", "wk", "wv", "wo"):
        same = state[f"layers.0.attention.{name}.weight"].numpy()
        np.testing.assert_allclose(getattr(layer, name), same, rtol=0, atol=1e-6, err_msg=name)
    for name in ("w1", "w2", "w3"):
        same = state[f"layers.0.feed_forward.{name}.weight"].numpy()
        np.testing.assert_allclose(getattr(layer, name), same, rtol=0, atol=1e-6, err_msg=name)


@pytest.mark.parametrize(
    ("kind", "quantize"), [("Q8_0", "int8"), ("Q4_0", "int4"), ("Q4_1", "int4")]
)
@pytest.mark.parametrize("large", [False, True])
def test_the_numpy_engine_keeps_packed_blocks(tmp_path, monkeypatch, kind, quantize, large):
    """The file's own integers: where it is asked for, and in a large model in any case."""
    path = _random_blocks(tmp_path, WIDE, Types[kind])
    if large:
        monkeypatch.setattr(engine_module, "LARGE", 1)
        monkeypatch.setattr(engine_module, "has_kernels", lambda: True)
    engine = numpy_llama(path, None if large else quantize)
    packed = quantized_layers(load_model(path, quantize=quantize))
    for name, matrix in {
        "attention.wk": engine.layers[0].wk,
        "feed_forward.w2": engine.layers[0].w2,
    }.items():
        theirs = packed[f"layers.0.{name}"].packed
        assert isinstance(matrix, PackedMatrix)
        assert np.array_equal(matrix.integers, theirs.integers)
        assert np.array_equal(matrix.scales, theirs.scales)
        assert (matrix.zeros is None) == (kind != "Q4_1")
    tokens = random_tokens(WIDE, 1, 5)
    floating = load_model(path)
    if not large:  # else embedding and head are not packed
        rows = packed["tok_embeddings"].dequantize()
        assert np.array_equal(engine.tok_embeddings.dequantize(), rows.numpy())
        floating.tok_embeddings.weight = nn.Parameter(rows)
    floating = floating(tokens)[0].detach().numpy()
    off = np.abs(engine.forward(tokens[0].tolist()) - floating).max()
    assert off < (1e-4 if large else 0.02) * np.abs(floating).max()


def test_the_numpy_engine_widens_where_another_form_is_asked_for(tmp_path):
    path = _random_blocks(tmp_path, WIDE, Types.Q4_0)
    matrix = numpy_llama(path, "int8").layers[0].wq
    assert matrix.bits == 8
    right = load_model(path).layers[0].attention.wq.weight.detach().numpy()
    assert np.abs(matrix.dequantize() - right).max() <= np.abs(right).max() / 127


def test_load_gives_the_numpy_engine_and_the_files_tokenizer(written, tokenizer):
    engine, pieces = load(written, engine="numpy")
    model, _ = load(written)
    assert pieces.encode("the cat") == tokenizer.encode("the cat")
    prompt = tokenizer.encode("the cat", bos=True)
    greedy = {"temperature": 0.0}
    assert engine.generate([prompt], 12, **greedy) == generate(model, [prompt], 12, **greedy)


def test_the_numpy_engine_leaves_rows_beyond_the_pieces_out(tmp_path, tokenizer):
    model = random_model(LLAMA.replace(vocab_size=320))
    save_model(model, tmp_path / "x.gguf", "gguf", tokenizer=tokenizer)
    for quantize in (None, "int8", "int4"):
        engine, _ = load(tmp_path / "x.gguf", engine="numpy", quantize=quantize)
        assert engine.forward([1, 5]).shape == (2, 290)


def test_a_model_in_parts_in_the_numpy_engine(tmp_path, folder):
    write_as_llama_cpp(tmp_path / "x.gguf", folder, split_max_tensors=7)
    parts = sorted(tmp_path.glob("x-*.gguf"))
    assert len(parts) > 1
    engine, model = numpy_llama(parts[1]), load_model(parts[0])
    expected = model(torch.tensor([[1, 5, 9]]))[0].detach().numpy()
    np.testing.assert_allclose(engine.forward([1, 5, 9]), expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda writer: writer.tensors[0].pop("blk.1.ffn_up.weight"), "missing: blk.1.ffn_up.weig"),
        (lambda writer: writer.add_tensor("blk.7.x", np.zeros(4, "f4")), "unexpected: blk.7.x"),
        (
            lambda writer: writer.add_tensor("blk.0.attn_q.bias", np.zeros(24, "f4")),
            r"NumpyLlama computes Llamas only, not bias=True",
        ),
        (
            lambda writer: writer.add_key_value(
                "llama.rope.scaling.type", "linear", gguf.GGUFValueType.STRING
            ),
            "rope.scaling.type",
        ),
    ],
)
def test_what_the_numpy_engine_refuses(tmp_path, folder, change, message):
    path = write_as_llama_cpp(tmp_path / "x.gguf", folder, change=change)
    with pytest.raises(ValueError, match=message):
        numpy_llama(path)


def test_the_numpy_engine_needs_no_torch(written):
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from llama_tutorial import load\n"
        f"model, tokenizer = load({str(written)!r}, engine='numpy')\n"
        "ids = tokenizer.encode('the cat', bos=True)\n"
        "print(model.generate([ids], 5, temperature=0)[0])\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    model, pieces = load(written)
    ids = pieces.encode("the cat", bos=True)
    assert json.loads(found.stdout) == generate(model, [ids], 5, temperature=0)[0]


# The tokenizer


def test_the_tokenizer_comes_with_the_model(written, tokenizer):
    model, pieces = load(written)
    assert isinstance(pieces, Tokenizer)
    assert model.config.vocab_size == pieces.vocab_size == 290
    again = BPETokenizer.from_file(written)
    for text in ("the cat sat", " a  dog\n", "<s> é語 ▁", "", "x"):
        ids = tokenizer.encode(text)
        assert pieces.encode(text) == again.encode(text) == ids
        assert pieces.decode(ids) == again.decode(ids) == tokenizer.decode(ids)
    assert (pieces.bos_id, pieces.eos_id, pieces.pad_id) == (1, 2, -1)


def test_llama_2s_own_tokenizer(tmp_path, assets):
    """The ids of the real cases, through both classes."""
    pieces = load_tokenizer(assets / "tokenizer.model")
    config = ModelConfig(8, 1, 1, 1, 8, 32000, 16, tie_embeddings=True)
    save_model(random_model(config), tmp_path / "x", "gguf", tokenizer=pieces)
    again, ours = load_tokenizer(tmp_path / "x"), BPETokenizer.from_file(tmp_path / "x")
    assert list(ours.vocabulary.scores) == list(pieces.vocabulary.scores)
    assert list(ours.vocabulary.types) == list(pieces.vocabulary.types)
    cases = json.loads((assets / "llama2_tokenizer_cases.json").read_text("utf-8"))["cases"]
    assert len(cases) > 10
    for case in cases:
        assert again.encode(case["text"]) == ours.encode(case["text"]) == case["ids"], case["text"]


def test_the_spaces_of_llama2cs_form_are_written_as_sentencepiece_does(tmp_path, assets):
    pieces = load_tokenizer(assets / "tok512.bin")
    assert pieces.vocabulary.space == " "
    save_model(load_model(assets / "stories260K.bin"), tmp_path / "x", "gguf", tokenizer=pieces)
    model, again = load(tmp_path / "x")
    text = "Once upon a time, there was a little girl."
    assert again.encode(text) == pieces.encode(text)
    assert again.vocabulary.pieces[again.encode("Once")[0]].startswith("▁")
    case = json.loads((assets / "stories260k_greedy.json").read_text("utf-8"))
    prompt = case.get("prompt_ids") or [1]
    expected = generate(load_model(assets / "stories260K.bin"), [prompt], 40, temperature=0)
    assert generate(model, [prompt], 40, temperature=0) == expected


def test_rows_beyond_the_pieces_are_named_and_left_out_again(tmp_path, tokenizer, folder):
    config = LLAMA.replace(vocab_size=320)
    model = random_model(config)
    save_model(model, tmp_path / "x", "gguf", tokenizer=tokenizer)
    tokens = read_header(tmp_path / "x").metadata["tokenizer.ggml.tokens"]
    assert tokens[289:292] == [tokenizer.id_to_piece(289), "[PAD290]", "[PAD291]"]
    assert load_model(tmp_path / "x").config == config
    cut, pieces = load(tmp_path / "x")
    assert cut.config.vocab_size == pieces.vocab_size == 290
    # and so where llama.cpp's converter has written them
    save_model(model, tmp_path / "hf", "huggingface", tokenizer=tokenizer)
    vocabulary = tokenizer.vocabulary
    write_as_llama_cpp(tmp_path / "y", tmp_path / "hf", pieces=vocabulary)
    other, pieces = load(tmp_path / "y")
    same_weights(other, cut)
    assert pieces.encode("the cat") == tokenizer.encode("the cat")


def _vocabulary(**changes):
    """Three special pieces, the bytes, a few letters and merges, and two of a user's."""
    texts = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{i:02X}>" for i in range(256)),
        *"▁ab",
        "▁a",
        "<<▁>>",
        "##",
    ]
    types = [2, 3, 3, *[6] * 256, *[1] * 4, 4, 4]
    scores = [0.0] * 259 + [-1.0, -2.0, -3.0, -0.5, 0.0, 0.0]
    return Vocabulary(texts, scores, [PieceType(t) for t in types], **changes)


@pytest.mark.parametrize("prefix", [True, False])
def test_pieces_of_a_user_and_no_dummy_prefix(tmp_path, prefix):
    pieces = BPETokenizer(_vocabulary(add_dummy_prefix=prefix, pad_id=0))
    model = random_model(LLAMA.replace(vocab_size=pieces.vocab_size))
    save_model(model, tmp_path / "x", "gguf", tokenizer=pieces)
    metadata = read_header(tmp_path / "x").metadata
    assert metadata["tokenizer.ggml.add_space_prefix"] is prefix
    assert metadata["tokenizer.ggml.tokens"][-2] == "<< >>"
    assert metadata["tokenizer.ggml.padding_token_id"] == 0
    again = BPETokenizer.from_file(tmp_path / "x")
    for text in ("ab a b", "a<< >>b##", " a"):
        assert again.encode(text) == pieces.encode(text)
        assert load_tokenizer(tmp_path / "x").encode(text) == pieces.encode(text)
    assert again.pad_id == 0


def test_a_tokenizer_without_bos(tmp_path):
    pieces = BPETokenizer(_vocabulary(bos_id=-1))
    model = random_model(LLAMA.replace(vocab_size=pieces.vocab_size))
    save_model(model, tmp_path / "x", "gguf", tokenizer=pieces)
    metadata = read_header(tmp_path / "x").metadata
    assert metadata["tokenizer.ggml.add_bos_token"] is False
    assert "tokenizer.ggml.bos_token_id" not in metadata
    again = BPETokenizer.from_file(tmp_path / "x")
    assert again.bos_id == -1
    assert again.encode("ab a b") == pieces.encode("ab a b")


def test_without_a_tokenizer(tmp_path):
    save_model(random_model(LLAMA), tmp_path / "x", "gguf")
    assert read_header(tmp_path / "x").metadata["tokenizer.ggml.model"] == "none"
    with pytest.raises(ValueError, match="comes without a tokenizer: give one with tokenizer="):
        load(tmp_path / "x")
    with pytest.raises(ValueError, match=r"holds no tokenizer \(tokenizer.ggml.model is 'none'\)"):
        load_tokenizer(tmp_path / "x")


def test_an_unknown_piece_that_is_called_a_control(tmp_path, folder, tokenizer):
    """As llama.cpp's converter takes it from a tokenizer.json."""

    def change(writer):
        writer.kv_data[0]["tokenizer.ggml.token_type"].value[0] = 3

    path = write_as_llama_cpp(tmp_path / "x", folder, pieces=tokenizer.vocabulary, change=change)
    assert load_tokenizer(path).encode("the cat é") == tokenizer.encode("the cat é")


def test_the_chat_template_is_stored(tmp_path, tokenizer):
    model = random_model(LLAMA.replace(vocab_size=290))
    save_model(model, tmp_path / "x", "gguf", tokenizer=tokenizer, chat_template=True)
    assert read_header(tmp_path / "x").metadata["tokenizer.chat_template"] == CHAT_TEMPLATE


def _array(name, value):
    return lambda writer: writer.kv_data[0].__setitem__(
        f"tokenizer.ggml.{name}",
        gguf.gguf_writer.GGUFValue(value=value, type=gguf.GGUFValueType.ARRAY),
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_key("tokenizer.ggml.model", "gpt2", "STRING"), "tokenizer.ggml.model is 'gpt2': this"),
        (_array("tokens", ["a", "b"]), "tokenizer.ggml.tokens is 2 strings, must be a list of 3"),
        (_key("tokenizer.ggml.tokens", "abc", "STRING"), "tokenizer.ggml.tokens is str, must be a"),
        (_array("scores", [1.0, 2.0]), "scores has 2 entries, and there are 290 pieces"),
        (_array("scores", [1] * 290), "tokenizer.ggml.scores is no list of numbers of its kind"),
        (_array("scores", [float("nan")] * 290), "has score nan: it must be finite"),
        (_array("token_type", [9] * 290), "tokenizer.ggml.token_type holds 9; types are 1 to 6"),
        (_array("token_type", [5] * 290), "is 1, which is one of the unused pieces"),
        (_array("tokens", ["a"] * 290), "are both 'a': ids must be unique"),
        (_array("tokens", [b"\xff"] * 290), "tokenizer.ggml.tokens holds bytes that are no UTF-8"),
        (
            _key("tokenizer.ggml.bos_token_id", 290, "UINT32"),
            "bos_token_id is 290, must be 0 to 28",
        ),
        (_key("tokenizer.ggml.add_space_prefix", 1, "UINT32"), "add_space_prefix is 1, must be tr"),
        (_key("tokenizer.ggml.remove_extra_whitespaces", True, "BOOL"), "remove_extra_whitespaces"),
        (
            _key("tokenizer.ggml.add_bos_token", False, "BOOL"),
            "does: tokenizer.ggml.add_bos_token is off, and here every prompt begins with BOS; gi",
        ),
        (
            _key("tokenizer.ggml.add_eos_token", True, "BOOL"),
            "does: tokenizer.ggml.add_eos_token is on, and here no prompt ends with EOS; give",
        ),
        (_key("tokenizer.ggml.add_bos_token", 0, "UINT32"), "add_bos_token is 0, must be true or"),
        (_array("precompiled_charsmap", [1, 2]), "its normaliser rewrites the text (tokenizer.ggm"),
    ],
)
def test_tokenizers_that_are_refused(tmp_path, folder, tokenizer, change, message):
    path = write_as_llama_cpp(
        tmp_path / "x.gguf", folder, pieces=tokenizer.vocabulary, change=change
    )
    for read in (load_tokenizer, BPETokenizer.from_file, load):
        with pytest.raises(ValueError, match=" ") as error:
            read(path)
        assert message in str(error.value)
        assert str(path) in str(error.value)
    load_model(path)  # which takes the weights alone


def _gpt2_folder(path):
    from llama_tutorial.tokenizer.gpt2 import _printable

    path.mkdir()
    pieces = [*_printable(), "th", "the", "<|endoftext|>"]
    GPT2Tokenizer({piece: i for i, piece in enumerate(pieces)}, [("t", "h"), ("th", "e")]).save(
        path
    )
    return path


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_an_embedding_of_four_bits_is_alike_in_both_engines(tmp_path, tokenizer, kind, tied):
    model = random_model(WIDE.replace(tie_embeddings=tied))
    save_model(model, tmp_path / "hf", "huggingface")
    vocabulary = tokenizer.vocabulary
    path = tmp_path / "x.gguf"
    write_as_llama_cpp(path, tmp_path / "hf", Types.Q4_0, pieces=vocabulary)
    ours, _ = load(path, quantize=kind)
    theirs, _ = load(path, quantize=kind, engine="numpy")
    assert ours.tok_embeddings.bits == int(kind[3:])
    tokens = random_tokens(model.config, 1, 12)
    logits = ours(tokens)[0].detach().numpy()
    np.testing.assert_allclose(theirs.forward(tokens[0].tolist()), logits, atol=1e-4)


# llama.cpp itself, where it is installed


def _llama_cpp(path):
    library = pytest.importorskip("llama_cpp")
    single = library.GGML_TYPE_F32  # keys and values: by default they are float16
    settings = {"n_ctx": 128, "type_k": single, "type_v": single, "logits_all": True}
    return library.Llama(str(path), verbose=False, n_threads=1, **settings)


def _greedy(engine, prompt, n):
    ids = []
    for token in engine.generate(prompt, temp=0.0, top_k=1, repeat_penalty=1.0):
        ids.append(token)
        if len(ids) == n:
            return ids
    return ids


@pytest.mark.parametrize("name", ["llama-gqa", "llama-bias", "llama-theta", "llama-tied"])
def test_llama_cpp_computes_the_same(tmp_path, tokenizer, name):
    """Random weights, a vocabulary that is filled up, a chat template."""
    config = LLAMAS[name].replace(vocab_size=320)
    model = random_model(config)
    path = tmp_path / "x.gguf"
    save_model(model, path, "gguf", tokenizer=tokenizer, chat_template=True)
    engine = _llama_cpp(path)
    assert engine.metadata["tokenizer.chat_template"] == CHAT_TEMPLATE
    tokens = random_tokens(LLAMA.replace(vocab_size=290), 1, 20)
    engine.eval(tokens[0].tolist())
    theirs = torch.from_numpy(np.array(engine.scores[:20]))
    ours = model(tokens)[0].detach()
    torch.testing.assert_close(theirs, ours, rtol=1e-3, atol=1e-4 * ours.abs().max().item())


@pytest.mark.parametrize("kind", QUANTIZED)
def test_llama_cpp_reads_every_type_as_we_do(tmp_path, kind):
    path = _random_blocks(tmp_path, WIDE, Types[kind])
    engine, model = _llama_cpp(path), load_model(path)
    # One token: attention sees it alone, and cannot turn a small difference into a large one.
    engine.eval([7])
    theirs = torch.from_numpy(np.array(engine.scores[:1]))
    ours = model(torch.tensor([[7]]))[0].detach()
    # It rounds activations to int8, in blocks; other weights would give other logits altogether.
    assert (theirs - ours).norm() < 0.05 * ours.norm()


@pytest.mark.parametrize("quantize", [None, "q8_0", "q4_0"])
@pytest.mark.parametrize("name", ["tales", "tales-small", "stories260K"])
def test_llama_cpp_writes_the_same(tmp_path, request, name, quantize):
    pytest.importorskip("llama_cpp")
    if name == "stories260K":
        assets = request.getfixturevalue("assets")
        model, pieces = load(assets / "stories260K.bin", tokenizer=assets / "tok512.bin")
    else:
        model, pieces = load(name)
    path = tmp_path / "x.gguf"
    save_model(model, path, "gguf", tokenizer=pieces, quantize=quantize)
    again, _ = load(path)
    engine = _llama_cpp(path)
    text = "Once upon a time, there was"
    prompt = pieces.encode(text, bos=True)
    assert engine.tokenize(text.encode()) == prompt
    [ids] = generate(again, [prompt], 60, temperature=0)
    engine.reset()
    engine.eval([*prompt, *ids])
    theirs = torch.from_numpy(np.array(engine.scores[: len(prompt) + len(ids)]))
    ours = again(torch.tensor([[*prompt, *ids]]))[0]
    # It rounds activations to int8 where the weights are quantized.
    assert (theirs - ours).abs().max() < (1e-3 if quantize is None else 1.0)
    if quantize is None:
        assert _greedy(engine, prompt, 60) == ids
    assert Path(path).stat().st_size > 0


@pytest.mark.parametrize("name", ["tales", "llama-gqa", "llama-mqa"])
@pytest.mark.parametrize("kind", ["f32", "f16", "q8_0"])
def test_what_its_own_converter_makes_of_our_folder(tmp_path, tokenizer, name, kind):
    """Where ``LLAMA_CPP_SOURCE`` names a copy of llama.cpp's source."""
    if not (source := os.environ.get("LLAMA_CPP_SOURCE")):
        pytest.skip("LLAMA_CPP_SOURCE is not set")
    if name == "tales":
        model, tokenizer = load(name, dtype=torch.float32)
    else:
        model = random_model(LLAMAS[name].replace(vocab_size=290))
    folder, path = tmp_path / "model", tmp_path / "x.gguf"
    save_model(model, folder, "huggingface", tokenizer=tokenizer)
    script, package = Path(source) / "convert_hf_to_gguf.py", Path(source) / "gguf-py"
    command = [sys.executable, script, folder, "--outtype", kind, "--outfile", path]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(package)})
    again, pieces = load(path, dtype=torch.float32)
    assert again.config == model.config
    assert again.state_dict().keys() == model.state_dict().keys()
    for weight, before in zip(
        again.state_dict().values(), model.state_dict().values(), strict=True
    ):
        if kind == "q8_0" and weight.ndim == 2:
            assert (weight - before).norm() < 0.01 * before.norm()
        else:
            half = kind == "f16" and weight.ndim == 2
            assert torch.equal(weight, before.half().float() if half else before)
    for text in ("Once upon a time, there was", " two  spaces", "日本 é\n<s>"):
        assert pieces.encode(text, bos=True) == tokenizer.encode(text, bos=True)
