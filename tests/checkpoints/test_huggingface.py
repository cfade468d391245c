"""Llamas in Hugging Face's format: transformers' own class is the oracle, in both directions."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from checkpoint_checks import listing, refused, same_weights
from huggingface_models import (
    LLAMA,
    LLAMAS,
    change_config,
    make_llama,
    same_model,
    tensors_of,
    transformers,
    write_index,
)
from safetensors.torch import load_file, save_file
from small_models import LLAMA as OURS
from small_models import NAMED, random_model, random_tokens
from torch.testing import assert_close

from llama_tutorial import ModelConfig, Tokenizer, load, load_model, load_tokenizer, save_model
from llama_tutorial.chat.dialog import encode_dialog
from llama_tutorial.rope import to_half_split

Q = "model.layers.0.self_attn.q_proj.weight"
HOLDABLE = [
    "llama", "llama-gqa", "llama-mqa", "llama-tied", "llama-theta", "llama-odd-sizes",
    "llama-one-head",
]  # fmt: skip


@pytest.fixture(scope="module")
def hf():
    return make_llama(num_key_value_heads=2)


@pytest.fixture
def folder(tmp_path, hf):
    """A folder as transformers writes it, that can be damaged."""
    hf.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


# From transformers


@pytest.mark.parametrize("name", LLAMAS)
def test_what_transformers_writes_is_the_same_model_here(tmp_path, name):
    hf = make_llama(**LLAMAS[name])
    hf.save_pretrained(tmp_path / "model")
    model = load_model(tmp_path / "model")
    same_model(model, hf)
    assert model.config.tie_embeddings is (name == "tied")
    assert model.config.bias is (name == "biases")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_sixteen_bits_stay_sixteen_bits(tmp_path, dtype):
    hf = make_llama().to(dtype)
    hf.save_pretrained(tmp_path / "model")
    assert json.loads((tmp_path / "model/config.json").read_text())["dtype"] in str(dtype)
    model = load_model(tmp_path / "model")
    assert model.dtype == dtype
    wq = model.layers[1].attention.wq.weight
    theirs = hf.model.layers[1].self_attn.q_proj.weight
    assert torch.equal(to_half_split(wq, 4), theirs)
    assert torch.equal(
        model.layers[1].attention.wv.weight, hf.model.layers[1].self_attn.v_proj.weight
    )
    wide = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype="float32")
    same_model(load_model(tmp_path / "model", dtype=torch.float32), wide.eval())


def test_without_the_permutation_only_the_first_position_is_right(folder, hf):
    """Why one token proves nothing."""
    model = load_model(folder)
    with torch.no_grad():
        for layer, theirs in zip(model.layers, hf.model.layers, strict=True):
            layer.attention.wq.weight.copy_(theirs.self_attn.q_proj.weight)
            layer.attention.wk.weight.copy_(theirs.self_attn.k_proj.weight)
        tokens = random_tokens(model.config, 1, 12)
        difference = (model(tokens) - hf(tokens).logits).abs().amax((0, 2))
    assert difference[0] < 1e-5
    assert difference[1:].min() > 1e-2


def test_the_published_config_of_llama_2(tmp_path, hf):
    """Its fields word for word, with sizes of ours: no rope_theta, and torch_dtype."""
    config = {
        "_name_or_path": "meta-llama/Llama-2-7b-hf", "architectures": ["LlamaForCausalLM"],
        "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 24,
        "initializer_range": 0.02, "intermediate_size": 40, "max_position_embeddings": 4096,
        "model_type": "llama", "num_attention_heads": 4, "num_hidden_layers": 2,
        "num_key_value_heads": 2, "pretraining_tp": 1, "rms_norm_eps": 1e-05, "rope_scaling": None,
        "tie_word_embeddings": False, "torch_dtype": "float16", "transformers_version": "4.31.0",
        "use_cache": True, "vocab_size": 37,
    }  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file(tensors_of(hf), tmp_path / "model.safetensors")
    model = load_model(tmp_path)
    sizes = (24, 2, 4, 2, 40, 37)
    assert model.config == ModelConfig(*sizes, max_seq_len=4096, norm_eps=1e-5, rope_theta=10000.0)
    assert model.dtype == torch.float32  # the file's own
    same_model(model, hf)


def test_what_old_configs_leave_out(folder):
    names = ["num_key_value_heads", "rms_norm_eps", "max_position_embeddings"]
    change_config(folder, rope_parameters=..., **dict.fromkeys(names, ...))
    hf = make_llama()
    save_file(tensors_of(hf), folder / "model.safetensors")
    config = load_model(folder).config
    assert (config.n_kv_heads, config.norm_eps, config.max_seq_len) == (4, 1e-6, 2048)
    assert config.rope_theta == 10000.0


def test_theta_in_either_place(folder):
    change_config(folder, rope_parameters=..., rope_theta=500.0)
    assert load_model(folder).config.rope_theta == 500.0
    new = {"rope_theta": 700.0, "rope_type": "default"}
    change_config(folder, rope_parameters=new, rope_theta=...)
    assert load_model(folder).config.rope_theta == 700.0
    change_config(folder, rope_theta=700)
    assert load_model(folder).config.rope_theta == 700.0
    change_config(folder, rope_theta=500.0)
    text = refused(folder)
    assert (
        "two bases of the rotary angles: rope_theta=500.0 and rope_parameters.rope_theta=" in text
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"rope_parameters": ..., "rope_scaling": {"rope_type": "default", "rope_theta": 500.0}},
        {"rope_parameters": ..., "rope_scaling": {"type": "default", "rope_theta": 500.0}},
        {"rope_parameters": {}, "rope_scaling": {"rope_theta": 500.0}, "rope_theta": 500.0},
        {"rope_parameters": ..., "rope_scaling": {"type": "default"}, "rope_theta": 500.0},
    ],
)
def test_theta_in_rope_scaling_is_what_transformers_takes(folder, changes):
    change_config(folder, **changes)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    assert theirs.config.rope_parameters["rope_theta"] == 500.0
    model = load_model(folder)
    assert model.config.rope_theta == 500.0
    same_model(model, theirs)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"rope_scaling": {"rope_type": "default", "rope_theta": 500.0}},
            "rope_parameters.rope_theta=10000.0 and rope_scaling.rope_theta=500.0",
        ),
        (
            {"rope_parameters": {"rope_theta": 500.0}, "rope_scaling": {"rope_type": "default"}},
            "rope_parameters.rope_theta=500.0 and rope_scaling.rope_theta=10000.0",
        ),
        (
            {"rope_parameters": ..., "rope_theta": 9.0, "rope_scaling": {"rope_theta": 8.0}},
            "rope_theta=9.0 and rope_scaling.rope_theta=8.0",
        ),
        ({"rope_parameters": {"full_attention": {"rope_theta": 500.0}}}, "other rotary angles"),
        ({"is_causal": False}, "is_causal=False (must be True)"),
    ],
)
def test_what_transformers_would_compute_otherwise_is_refused(folder, changes, reason):
    change_config(folder, **changes)
    assert reason in refused(folder)


def test_whole_numbers_are_written_as_floats(tmp_path):
    model = random_model(OURS.replace(norm_eps=1, rope_theta=500))
    save_model(model, tmp_path / "model", "huggingface")
    same_model(model, transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval())


def test_a_config_without_a_model_type(folder, hf):
    change_config(folder, model_type=...)
    same_model(load_model(folder), hf)


def in_two_files(folder, write, pattern, index):
    """A folder's one file as two with an index."""
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    names = list(tensors)
    places = {name: pattern.format(1 + (i % 3 == 0)) for i, name in enumerate(names)}
    for file in set(places.values()):
        write({name: tensors[name] for name in names if places[name] == file}, folder / file)
    write_index(folder, places, index)
    return places


def as_pickle(folder, extra=(), **options):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({**tensors, **dict(extra)}, folder / "pytorch_model.bin", **options)


def test_safetensors_in_shards(folder, hf):
    in_two_files(folder, save_file, "model-{:05}-of-00002.safetensors", "model.safetensors")
    same_model(load_model(folder), hf)


def test_shards_as_transformers_makes_them(tmp_path, hf):
    hf.save_pretrained(tmp_path, max_shard_size="8KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    same_model(load_model(tmp_path), hf)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "as before 1.6"])
def test_a_pickle(folder, hf, zipped):
    inv_freq = {f"model.layers.{i}.self_attn.rotary_emb.inv_freq": torch.ones(3) for i in range(2)}
    as_pickle(folder, inv_freq, _use_new_zipfile_serialization=zipped)
    same_model(load_model(folder), hf)


def test_pickles_in_shards(folder, hf):
    in_two_files(folder, torch.save, "pytorch_model-{:05}-of-00002.bin", "pytorch_model.bin")
    same_model(load_model(folder), hf)


def test_safetensors_go_before_pickles(folder, hf):
    (folder / "pytorch_model.bin").write_text("not looked at")
    same_model(load_model(folder), hf)


def test_an_old_buffer_in_safetensors_and_not_in_the_index(folder, hf):
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"

    def write(tensors, path):
        save_file({**tensors, name: torch.ones(3)} if "00001" in path.name else tensors, path)

    in_two_files(folder, write, "model-{:05}-of-00002.safetensors", "model.safetensors")
    same_model(load_model(folder), hf)


def test_an_old_buffer_that_only_the_index_knows(folder, hf):
    places = in_two_files(
        folder, save_file, "model-{:05}-of-00002.safetensors", "model.safetensors"
    )
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    write_index(folder, {**places, name: places[Q]}, "model.safetensors")
    same_model(load_model(folder), hf)


def test_a_file_whose_numbers_begin_at_an_odd_place(folder, hf):
    """Older files do: gpt2's own, for one."""
    path = folder / "model.safetensors"
    data = path.read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = data[8 : 8 + length].rstrip()
    header += b" " * (1 - len(header) % 2)
    path.write_bytes(struct.pack("<Q", len(header)) + header + data[8 + length :])
    same_model(load_model(folder), hf)


def test_a_tied_model_whose_head_is_stored_all_the_same(tmp_path):
    hf = make_llama(tie_word_embeddings=True)
    hf.save_pretrained(tmp_path / "model")
    as_pickle(tmp_path / "model", {"lm_head.weight": hf.lm_head.weight.detach()})
    model = load_model(tmp_path / "model")
    assert model.config.tie_embeddings
    same_model(model, hf)


def test_one_tensor_under_two_names_makes_two_parameters(tmp_path):
    hf = make_llama()
    hf.lm_head.weight = hf.model.embed_tokens.weight
    hf.save_pretrained(tmp_path / "other")
    torch.save(hf.state_dict(), tmp_path / "pytorch_model.bin")
    (tmp_path / "config.json").write_text(json.dumps({**LLAMA, "model_type": "llama"}))
    model = load_model(tmp_path)
    assert torch.equal(model.output.weight, model.tok_embeddings.weight)
    assert model.output.weight.data_ptr() != model.tok_embeddings.weight.data_ptr()


# To transformers


@pytest.mark.parametrize("name", HOLDABLE)
def test_what_is_written_here_is_the_same_model_in_transformers(tmp_path, name):
    model = random_model(NAMED[name])
    save_model(model, tmp_path / "model", "huggingface")
    assert listing(tmp_path / "model") == ["config.json", "model.safetensors"]
    hf, report = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "model", output_loading_info=True
    )
    assert not any(report.values())
    assert type(hf) is transformers.LlamaForCausalLM
    same_model(model, hf.eval())
    same_weights(load_model(tmp_path / "model"), model)
    assert load_model(tmp_path / "model").config == model.config


def test_biases_everywhere_go_there_and_back(tmp_path):
    model = random_model(OURS.replace(bias=True, n_kv_heads=2))
    save_model(model, tmp_path / "model", "huggingface")
    same_model(model, transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval())
    same_weights(load_model(tmp_path / "model"), model)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_every_dtype_comes_back_exactly(tmp_path, dtype):
    model = random_model(NAMED["llama-gqa"], dtype=dtype)
    save_model(model, tmp_path / "model", "huggingface")
    same_weights(load_model(tmp_path / "model"), model)
    hf = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert hf.dtype == dtype


def test_what_the_library_reads_from_the_file(tmp_path):
    model = random_model(NAMED["llama-tied"])
    save_model(model, tmp_path / "model", "huggingface")
    tensors = load_file(tmp_path / "model/model.safetensors")
    assert "lm_head.weight" not in tensors
    assert len(tensors) == len(model.state_dict())
    assert torch.equal(tensors["model.norm.weight"], model.norm.weight)
    with open(tmp_path / "model/model.safetensors", "rb") as file:
        assert struct.unpack("<Q", file.read(8))[0] % 8 == 0  # so the numbers are aligned


def test_a_config_that_every_version_of_transformers_understands(tmp_path):
    save_model(random_model(NAMED["llama-theta"]), tmp_path / "model", "huggingface")
    config = json.loads((tmp_path / "model/config.json").read_text())
    assert config["torch_dtype"] == config["dtype"] == "float32"
    assert config["rope_theta"] == config["rope_parameters"]["rope_theta"] == 500.0
    assert (config["bos_token_id"], config["eos_token_id"]) == (1, 2)


def test_the_tokenizer_lies_beside_the_weights(tmp_path):
    tokenizer = Tokenizer.train(["the cat sat on the mat", "a dog ran to the park"] * 50, 290)
    model = random_model(OURS.replace(vocab_size=tokenizer.vocab_size))
    save_model(model, tmp_path / "model", "huggingface", tokenizer=tokenizer)
    names = ["tokenizer.json", "tokenizer.model", "tokenizer_config.json"]
    assert listing(tmp_path / "model") == ["config.json", "model.safetensors", *names]
    assert load_tokenizer(tmp_path / "model/tokenizer.model").encode("cat") == tokenizer.encode(
        "cat"
    )
    # and takes the place of an older one
    save_model(model, tmp_path / "model", "huggingface", tokenizer=tokenizer)
    with pytest.raises(ValueError, match=r"would lose tokenizer.json, tokenizer.model, "):
        save_model(model, tmp_path / "model", "huggingface")


def _tokenizers(kind):
    if kind == "trained here":
        return Tokenizer.train(["the cat sat on the mat", "a dog ran to the park"] * 50, 290)
    return load(kind)[1]  # tales has SentencePiece's form, tales-small llama2.c's


@pytest.mark.parametrize("kind", ["trained here", "tales", "tales-small"])
def test_transformers_opens_the_tokenizer_and_gives_our_ids(kind, tmp_path):
    tokenizer = _tokenizers(kind)
    model = random_model(OURS.replace(vocab_size=tokenizer.vocab_size))
    save_model(model, tmp_path / "model", "huggingface", tokenizer=tokenizer)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    texts = ["the cat ran to the dog", " lead", "  two", "a\n\nb\t", "x" + " " * 40, "né 日本", ""]
    for text in texts:
        ids = tokenizer.encode(text, bos=True)
        assert theirs(text)["input_ids"] == ids
        assert theirs.decode(ids, skip_special_tokens=True) == tokenizer.decode(ids)
    assert theirs(texts[:2])["input_ids"] == [tokenizer.encode(t, bos=True) for t in texts[:2]]
    assert (theirs.bos_token_id, theirs.eos_token_id) == (1, 2)
    assert load_tokenizer(next((tmp_path / "model").glob("tokenizer.[bm]*"))).vocab_size


DIALOGS = [
    [{"role": "user", "content": " Who was it? "}],
    [
        {"role": "system", "content": "  Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": " Hello! "},
        {"role": "user", "content": "Where\nis Tom?"},
    ],
]


def test_apply_chat_template_gives_our_ids(tmp_path):
    model, tokenizer = load("tales-chat")
    folder = tmp_path / "model"
    save_model(model, folder, "huggingface", tokenizer=tokenizer, chat_template=True)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    for dialog in DIALOGS:
        ids = theirs.apply_chat_template(dialog, return_dict=False)
        assert ids == encode_dialog(dialog, tokenizer)
    with pytest.raises(Exception, match="user and assistant alternate"):
        theirs.apply_chat_template(DIALOGS[1][2:])
    with pytest.raises(ValueError, match="chat_template=True belongs to a tokenizer in format='h"):
        save_model(model, tmp_path / "native", tokenizer=tokenizer, chat_template=True)


@pytest.mark.parametrize(
    ("setting", "why"),
    [
        ({"normalization_rule_name": "nmt_nfkc_cf"}, "its normaliser rewrites"),
        ({"user_defined_symbols": ["cat"]}, "it has user-defined pieces"),
        ({"model_type": "unigram"}, "its model_type is unigram"),
        ({"treat_whitespace_as_suffix": True}, "treat_whitespace_as_suffix is on"),
        ({"remove_extra_whitespaces": True}, "remove_extra_whitespaces is on"),
    ],
)
def test_what_only_sentencepiece_encodes_is_left_to_it(tmp_path, setting, why):
    text = ["the cat sat on the mat", "a dog ran to the park"] * 50
    tokenizer = Tokenizer.train(text, 277, **setting)
    model = random_model(OURS.replace(vocab_size=tokenizer.vocab_size))
    with pytest.warns(UserWarning, match=rf"{why}.*Only tokenizer\.model is written"):
        save_model(model, tmp_path / "model", "huggingface", tokenizer=tokenizer)
    names = sorted(file.name for file in (tmp_path / "model").iterdir())
    assert names == ["config.json", "model.safetensors", "tokenizer.model"]
    assert load(tmp_path / "model")[1].encode("the cat") == tokenizer.encode("the cat")
    with pytest.raises(ValueError, match=f"chat_template=True: .*{why}"):
        save_model(model, tmp_path / "m2", "huggingface", tokenizer=tokenizer, chat_template=True)
    assert not (tmp_path / "m2").exists()


def test_the_real_small_model_in_transformers(assets, tmp_path):
    model = load_model(assets / "stories260K.bin")
    save_model(model, tmp_path / "model", "huggingface")
    hf = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model").eval()
    golden = json.loads((assets / "stories260k_greedy.json").read_text())["cases"][0]
    prompt = torch.tensor([golden["prompt_ids"][:1]])
    ids = hf.generate(prompt, max_new_tokens=60, do_sample=False, eos_token_id=None)
    assert ids[0, 1:].tolist() == golden["next_ids"][:60]
    tokens = random_tokens(model.config, 1, 100)
    with torch.no_grad():
        assert_close(model(tokens), hf(tokens).logits, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"norm": "layernorm"}, "its llama cannot have norm='layernorm'"),
        ({"positions": "learned"}, "its llama cannot have positions='learned'"),
        ({"feed_forward": "gelu", "bias": True}, "its llama cannot have feed_forward='gelu'"),
    ],
)
def test_what_neither_family_can_be(tmp_path, changes, reason):
    with pytest.raises(
        ValueError, match=r"format cannot hold this model: .*format='native'"
    ) as error:
        save_model(random_model(OURS.replace(**changes)), tmp_path / "model", "huggingface")
    assert reason in str(error.value)
    assert not list(tmp_path.iterdir())


def test_only_a_checkpoint_of_this_format_is_replaced(folder, tmp_path):
    model = random_model(OURS)
    with pytest.raises(ValueError, match=r"would lose generation_config.json"):
        save_model(model, folder, "huggingface")
    (folder / "generation_config.json").unlink()
    save_model(model, folder, "huggingface")
    same_weights(load_model(folder), model)
    save_model(model, tmp_path / "native")
    with pytest.raises(ValueError, match="is there already and no checkpoint of Hugging Face's"):
        save_model(model, tmp_path / "native", "huggingface")


def test_a_tokenizer_that_is_larger_than_the_model(tmp_path):
    tokenizer = Tokenizer.train(["the cat sat on the mat"] * 50, 275)
    with pytest.raises(ValueError, match=r"the tokenizer has 275 pieces, the model 37"):
        save_model(random_model(OURS), tmp_path / "model", "huggingface", tokenizer=tokenizer)


# Other models


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "mistral"}, "is of a 'mistral' model; of Hugging Face's models"),
        ({"model_type": ..., "architectures": ["OPTForCausalLM"]}, "is of a OPTForCausalLM model"),
        (
            {"architectures": ["LlamaForSequenceClassification"]},
            "is of a LlamaForSequenceClassification; this package reads LlamaForCausalLM",
        ),
        (
            {"rope_scaling": {"type": "linear", "factor": 2.0}},
            "asks for rope_scaling={'type': 'linear', 'factor': 2.0}: other rotary angles than",
        ),
        (
            {"rope_parameters": {"rope_type": "llama3", "rope_theta": 5e5, "factor": 8.0}},
            "asks for rope_parameters={'rope_type': 'llama3'",
        ),
        (
            {"rope_parameters": {"partial_rotary_factor": 0.5}},
            "asks for rope_parameters={'partial_rotary_factor': 0.5}",
        ),
        ({"partial_rotary_factor": 0.5}, "asks for partial_rotary_factor=0.5 (must be 1.0)"),
        (
            {"attention_bias": True},
            "asks for biases on some matrices alone (attention_bias=True, mlp_bias=False; here all",
        ),
        ({"mlp_bias": True}, "(attention_bias=False, mlp_bias=True; here all have them or none)"),
        ({"hidden_act": "gelu"}, "asks for hidden_act='gelu' (must be 'silu'), which this package"),
        ({"head_dim": 8}, "asks for head_dim=8 (must be hidden_size / heads, 6), which"),
        ({"quantization_config": {"bits": 4}}, "asks for quantization_config: quantized weights"),
        ({"hidden_size": ...}, "config.json is damaged; missing: hidden_size"),
        ({"num_attention_heads": 5}, "config.json is damaged: n_heads=5 does not divide dim=24"),
        (
            {"rope_scaling": "linear"},
            "config.json is damaged: rope_scaling is 'linear', must be an object",
        ),
    ],
)
def test_a_config_that_this_package_cannot_compute(folder, changes, reason):
    change_config(folder, **changes)
    text = refused(folder)
    assert text.startswith(str(folder / "config.json"))
    assert reason in text


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("value", ["24", 2.5, None, -1])
def test_a_size_that_is_none(folder, value):
    change_config(folder, hidden_size=value)
    assert "config.json is damaged: " in refused(folder)


# Damaged, missing, mixed up


def rewrite(folder, change, name="model.safetensors"):
    tensors = {key: tensor.clone() for key, tensor in load_file(folder / name).items()}
    change(tensors)
    save_file(tensors, folder / name)


def test_no_config(folder):
    (folder / "config.json").unlink()
    text = refused(folder, FileNotFoundError)
    assert text.endswith("config.json: no such file; it belongs to the weights, download it too")


def test_no_weights(folder):
    (folder / "model.safetensors").unlink()
    assert refused(folder, FileNotFoundError).endswith(
        "holds no weights: there is none of model.safetensors, model.safetensors.index.json, "
        "pytorch_model.bin, pytorch_model.bin.index.json"
    )


def test_a_config_that_is_no_json(folder):
    (folder / "config.json").write_text("{")
    assert "config.json is not JSON: " in refused(folder)


def test_missing_and_unexpected_tensors(folder):
    rewrite(folder, lambda tensors: tensors.update(x=tensors.pop(Q)))
    expected = f"does not hold the model of config.json; missing: {Q}; unexpected: x"
    assert refused(folder).endswith(expected)


def test_a_head_that_is_not_there(folder):
    rewrite(folder, lambda tensors: tensors.pop("lm_head.weight"))
    assert refused(folder).endswith("config.json; missing: lm_head.weight")


def test_a_bias_that_the_config_does_not_say(folder):
    name = Q.replace("weight", "bias")
    rewrite(folder, lambda tensors: tensors.update({name: torch.ones(24)}))
    assert refused(folder).endswith(f"unexpected: {name}")


def test_a_wrong_shape(folder):
    rewrite(folder, lambda tensors: tensors.update({Q: tensors[Q][:12].clone()}))
    assert refused(folder).endswith(f"wrong shape: {Q} is (12, 24), must be (24, 24)")


def test_the_config_of_another_model(folder):
    change_config(folder, num_hidden_layers=3)
    assert "missing: model.layers.2.self_attn.q_proj.weight" in refused(folder)


def test_a_tied_config_with_another_head(folder):
    change_config(folder, tie_word_embeddings=True)
    assert refused(folder).endswith(
        "config.json says that the output head is the embedding (tie_word_embeddings), and the "
        "weights hold another lm_head.weight; the files do not belong together"
    )


def test_weights_of_two_types(folder):
    rewrite(folder, lambda tensors: tensors.update({Q: tensors[Q].bfloat16()}))
    assert "the weights are bfloat16 and float32; choose one with dtype=" in refused(folder)
    assert load_model(folder, dtype=torch.float16).dtype == torch.float16


def test_integers(folder):
    rewrite(folder, lambda tensors: tensors.update({Q: tensors[Q].int()}))
    assert f"{Q} is int32; weights are floating numbers" in refused(folder)


def test_a_truncated_file(folder):
    path = folder / "model.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    assert (
        f"is truncated, damaged or no safetensors file: it has {len(data) - 100} bytes"
        in refused(folder)
    )


def sharded(folder):
    return in_two_files(folder, save_file, "model-{:05}-of-00002.safetensors", "model.safetensors")


def test_a_missing_shard(folder):
    sharded(folder)
    (folder / "model-00002-of-00002.safetensors").unlink()
    assert refused(folder, FileNotFoundError).endswith("00002-of-00002.safetensors: no such file")


def test_two_shards_that_have_changed_places(folder):
    sharded(folder)
    one, two = (folder / f"model-{i:05}-of-00002.safetensors" for i in (1, 2))
    data = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(data)
    text = refused(folder)
    assert "of-00002.safetensors does not hold what model.safetensors.index.json says; " in text
    assert "missing: " in text
    assert "unexpected: " in text


def test_a_shard_with_more_than_the_index_says(folder):
    sharded(folder)
    rewrite(folder, lambda t: t.update(more=torch.ones(1)), "model-00001-of-00002.safetensors")
    text = refused(folder)
    assert text.endswith("model.safetensors.index.json says; unexpected: more")


@pytest.mark.parametrize(
    "name",
    [
        "../secret.safetensors", "/etc/passwd", "..", ".", "a/b.safetensors", "C:model.safetensors",
        "..\\secret.safetensors", "", 7, None, ["model.safetensors"], "model\0.safetensors",
    ],
)  # fmt: skip
def test_an_index_that_points_elsewhere(folder, name):
    places = sharded(folder)
    save_file({"x": torch.ones(1)}, folder.parent / "secret.safetensors")
    write_index(folder, {**places, "x": name}, "model.safetensors")
    assert refused(folder).endswith(
        f"safetensors.index.json says that x lies in {name!r}: it may only name files beside it"
    )


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"weight_map": []}', '{"weight_map": {"a"'])
def test_a_damaged_index(folder, text):
    sharded(folder)
    (folder / "model.safetensors.index.json").write_text(text)
    assert 'index.json is damaged: it has no "weight_map" of names and files' in refused(folder)


def test_an_index_of_nothing(folder):
    sharded(folder)
    write_index(folder, {}, "model.safetensors")
    assert refused(folder).endswith("index.json is damaged: it names no tensors")


def test_an_index_that_names_something_else(folder):
    places = sharded(folder)
    write_index(folder, {**places, "x": "config.json"}, "model.safetensors")
    assert "config.json is no file of PyTorch's: it begins with b'{" in refused(folder)


def test_a_cache_of_links_is_no_way_out(folder, hf):
    """The hub's own cache is made of them: the names are beside the index, the data elsewhere."""
    sharded(folder)
    for path in list(folder.glob("*.safetensors")):
        path.rename(folder.parent / path.name)
        path.symlink_to(folder.parent / path.name)
    same_model(load_model(folder), hf)
