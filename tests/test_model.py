"""The whole decoder against plain float64 and Hugging Face's; its properties; its housekeeping."""

from __future__ import annotations

import copy
import math
import os
import pickle
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import oracles
import pytest
import small_models
import torch
from torch.nn import functional as F

import llama_tutorial
from llama_tutorial import PRESETS, KVCache, ModelConfig, Transformer
from llama_tutorial.model import TransformerBlock
from llama_tutorial.rope import rope_table, to_half_split

LLAMA = small_models.LLAMA


def model_of(name, dtype=torch.float64):
    return small_models.random_model(small_models.EVERY[name], dtype=dtype)


def close(actual, expected, atol=1e-9):
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


# Oracles


@pytest.mark.parametrize("name", small_models.EVERY)
@torch.no_grad()
def test_equals_the_formulas(name):
    config = small_models.EVERY[name]
    for dtype, atol in ((torch.float32, 1e-4), (torch.float64, 1e-9)):
        model = small_models.random_model(config, dtype=dtype)
        tokens = small_models.random_tokens(config, 2, 10)
        logits = model(tokens)
        assert logits.dtype == dtype
        for row in range(2):
            expected = oracles.decoder(
                small_models.float64_weights(model), tokens[row].tolist(), **config.to_dict()
            )
            np.testing.assert_allclose(logits[row], expected, rtol=0, atol=atol)


@pytest.mark.parametrize("name", [n for n in small_models.NAMED if n.startswith("llama")])
@torch.no_grad()
def test_equals_hugging_faces_llama(name):
    transformers = pytest.importorskip("transformers")
    config, model = small_models.NAMED[name], model_of(name, torch.float32)
    theirs = transformers.LlamaForCausalLM(
        transformers.LlamaConfig(
            hidden_size=config.dim,
            intermediate_size=config.hidden_dim,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.n_kv_heads,
            vocab_size=config.vocab_size,
            max_position_embeddings=config.max_seq_len,
            rms_norm_eps=config.norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rope_theta},
            tie_word_embeddings=config.tie_embeddings,
        )
    ).eval()
    theirs.load_state_dict(hugging_face_llama_weights(model))
    tokens = small_models.random_tokens(config, 2, config.max_seq_len)
    close(model(tokens), theirs(tokens).logits, atol=1e-4)


def hugging_face_llama_weights(model):
    config, state = model.config, {}
    parts = {
        "attention.wq": "self_attn.q_proj",
        "attention.wk": "self_attn.k_proj",
        "attention.wv": "self_attn.v_proj",
        "attention.wo": "self_attn.o_proj",
        "feed_forward.w1": "mlp.gate_proj",
        "feed_forward.w2": "mlp.down_proj",
        "feed_forward.w3": "mlp.up_proj",
        "attention_norm": "input_layernorm",
        "ffn_norm": "post_attention_layernorm",
    }
    for i, layer in enumerate(model.layers):
        for ours, theirs in parts.items():
            weight = layer.get_parameter(f"{ours}.weight")
            if ours in ("attention.wq", "attention.wk"):
                n_heads = config.n_heads if ours.endswith("q") else config.n_kv_heads
                weight = to_half_split(weight, n_heads)
            state[f"model.layers.{i}.{theirs}.weight"] = weight
    state["model.embed_tokens.weight"] = model.tok_embeddings.weight
    state["model.norm.weight"] = model.norm.weight
    head = model.tok_embeddings if config.tie_embeddings else model.output
    state["lm_head.weight"] = head.weight
    return state


@pytest.mark.parametrize("name", [n for n in small_models.NAMED if n.startswith("gpt2")])
@torch.no_grad()
def test_equals_hugging_faces_gpt2(name):
    transformers = pytest.importorskip("transformers")
    config, model = small_models.NAMED[name], model_of(name, torch.float32)
    theirs = transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            n_embd=config.dim,
            n_inner=config.hidden_dim,
            n_layer=config.n_layers,
            n_head=config.n_heads,
            vocab_size=config.vocab_size,
            n_positions=config.max_seq_len,
            layer_norm_epsilon=config.norm_eps,
            tie_word_embeddings=config.tie_embeddings,
        )
    ).eval()
    theirs.load_state_dict(hugging_face_gpt2_weights(model))
    tokens = small_models.random_tokens(config, 2, config.max_seq_len)
    close(model(tokens), theirs(tokens).logits, atol=1e-4)


def hugging_face_gpt2_weights(model):
    state = {
        "transformer.wte.weight": model.tok_embeddings.weight,
        "transformer.wpe.weight": model.pos_embeddings.weight,
        "transformer.ln_f.weight": model.norm.weight,
        "transformer.ln_f.bias": model.norm.bias,
    }
    for i, layer in enumerate(model.layers):
        at, att = f"transformer.h.{i}", layer.attention
        state[f"{at}.attn.c_attn.weight"] = torch.cat(
            [w.weight for w in (att.wq, att.wk, att.wv)]
        ).T
        state[f"{at}.attn.c_attn.bias"] = torch.cat([w.bias for w in (att.wq, att.wk, att.wv)])
        for theirs, ours in {
            "attn.c_proj": att.wo,
            "mlp.c_fc": layer.feed_forward.w1,
            "mlp.c_proj": layer.feed_forward.w2,
        }.items():
            state[f"{at}.{theirs}.weight"] = ours.weight.T  # Conv1D keeps (in, out)
            state[f"{at}.{theirs}.bias"] = ours.bias
        for theirs, ours in {"ln_1": layer.attention_norm, "ln_2": layer.ffn_norm}.items():
            state[f"{at}.{theirs}.weight"], state[f"{at}.{theirs}.bias"] = ours.weight, ours.bias
    head = model.tok_embeddings if model.config.tie_embeddings else model.output
    state["lm_head.weight"] = head.weight
    return state


# Properties


@pytest.mark.parametrize("name", small_models.EVERY)
@torch.no_grad()
def test_a_token_does_not_change_the_logits_before_it(name):
    model = model_of(name)
    tokens = small_models.random_tokens(model.config, 1, 12)
    before = model(tokens)
    for t in (0, 1, 6, 11):
        changed = tokens.clone()
        changed[0, t] = (changed[0, t] + 1) % model.config.vocab_size
        after = model(changed)
        close(after[:, :t], before[:, :t], atol=1e-12)
        assert (after[:, t:] - before[:, t:]).abs().amax(-1).min() > 1e-6  # all behind it do change


@pytest.mark.parametrize("name", small_models.NAMED_AND_PATH)
@torch.no_grad()
def test_rows_do_not_mix(name):
    model = model_of(name)
    tokens = small_models.random_tokens(model.config, 3, 9)
    rows = torch.cat([model(row[None]) for row in tokens])
    close(model(tokens), rows)
    close(model(tokens.flip(0)), rows.flip(0))


@pytest.mark.parametrize(
    "name", [n for n, c in small_models.EVERY.items() if c.positions == "rope"]
)
@torch.no_grad()
def test_with_rope_only_distances_count(name):
    model = model_of(name)
    tokens = small_models.random_tokens(model.config, 2, 9)
    at_0 = model(tokens)
    close(model(tokens, start=0), at_0)
    close(model(tokens, start=7), at_0)
    close(model(tokens, start=torch.tensor([3, 10])), at_0)


@torch.no_grad()
def test_with_learned_positions_the_place_counts():
    model = model_of("gpt2")
    tokens = small_models.random_tokens(model.config, 1, 9)
    moved = copy.deepcopy(model)
    moved.pos_embeddings.weight.copy_(model.pos_embeddings.weight.roll(-7, 0))
    close(model(tokens, start=7), moved(tokens))
    close(model(tokens, start=torch.tensor([7])), moved(tokens))
    assert (model(tokens, start=7) - model(tokens)).abs().max() > 0.1


@torch.no_grad()
def test_the_order_of_the_past_counts_only_through_positions():
    model = model_of("llama")
    tokens = small_models.random_tokens(model.config, 1, 9)
    swapped = tokens[:, [1, 0, *range(2, 9)]]
    assert (model(tokens) - model(swapped))[:, -1].abs().max() > 1e-3
    model.rope.cos.fill_(1.0)
    model.rope.sin.fill_(0.0)
    one_layer = Transformer(model.config.replace(n_layers=1)).double()  # no positions by any way
    one_layer.load_state_dict(model.state_dict(), strict=False)
    one_layer.rope.cos.fill_(1.0)
    one_layer.rope.sin.fill_(0.0)
    close(one_layer(tokens)[:, -1], one_layer(swapped)[:, -1])


DOCUMENTS = [
    [0, 0, 0, 0, 1, 1, 1, 2, 3, 3, 3, 3],
    [5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5],
    [9, 4, 4, 4, 4, 9, 9, 9, 4, 4, 0, 0],  # a number that comes back is another document
]


@pytest.mark.parametrize("name", small_models.EVERY)
@torch.no_grad()
def test_packed_documents_equal_separate_ones(name):
    model = model_of(name)
    tokens, documents = small_models.random_tokens(model.config, 3, 12), torch.tensor(DOCUMENTS)
    packed = model(tokens, documents=documents)
    for row in range(3):
        changes = [0, *((documents[row].diff() != 0).nonzero()[:, 0] + 1).tolist(), 12]
        for begin, end in pairwise(changes):
            close(packed[row, begin:end], model(tokens[row : row + 1, begin:end])[0])


@torch.no_grad()
def test_packed_documents_equal_the_formulas():
    model = model_of("llama-gqa")
    tokens = small_models.random_tokens(model.config, 1, 12)
    for documents in DOCUMENTS:
        expected = oracles.decoder(
            small_models.float64_weights(model),
            tokens[0].tolist(),
            documents=documents,
            **model.config.to_dict(),
        )
        packed = model(tokens, documents=torch.tensor([documents]))
        np.testing.assert_allclose(packed[0], expected, rtol=0, atol=1e-9)


@torch.no_grad()
def test_the_logits_of_one_token_a_row_are_those_of_the_whole_pass():
    for name in ("llama", "llama-tied", "gpt2"):
        model = model_of(name)
        tokens, at = small_models.random_tokens(model.config, 3, 5), torch.tensor([4, 0, 2])
        logits = model(tokens, logits_at=at)
        assert logits.shape == (3, 1, model.config.vocab_size)
        close(logits[:, 0], model(tokens)[torch.arange(3), at])


@torch.no_grad()
def test_one_token_and_none():
    model = model_of("llama")
    assert model(torch.zeros(2, 1, dtype=torch.int64)).shape == (2, 1, 37)
    assert model(torch.zeros(2, 0, dtype=torch.int64)).shape == (2, 0, 37)


@torch.no_grad()
def test_int32_tokens_are_tokens():
    model = model_of("llama")
    tokens = small_models.random_tokens(model.config, 2, 5)
    assert torch.equal(model(tokens.int()), model(tokens))


# Initialisation


def deviation(parameter):
    return parameter.detach().std().item()


@pytest.mark.parametrize("name", small_models.PATH)
def test_fresh_weights(name):
    config = small_models.PATH[name].replace(
        dim=128, n_layers=8, hidden_dim=200, vocab_size=300, max_seq_len=300
    )
    torch.manual_seed(0)
    for name, parameter in Transformer(config).named_parameters():
        if name.endswith("bias"):
            assert not parameter.any(), name
        elif "norm" in name:
            assert (parameter == 1).all(), name
        else:
            writes = name.endswith(("attention.wo.weight", "feed_forward.w2.weight"))
            expected = 0.02 / math.sqrt(2 * 8) if writes else 0.02
            assert deviation(parameter) == pytest.approx(expected, rel=0.05), name
            assert abs(parameter.mean().item()) < 0.1 * expected, name


@pytest.mark.parametrize("name", small_models.NAMED_AND_PATH)
@torch.no_grad()
def test_the_loss_starts_at_the_logarithm_of_the_vocabulary(name):
    config = small_models.NAMED_AND_PATH[name].replace(vocab_size=500)
    torch.manual_seed(0)
    tokens = small_models.random_tokens(config, 16, config.max_seq_len)
    logits = Transformer(config)(tokens)
    loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())
    assert loss.item() == pytest.approx(math.log(500), abs=0.03)


def test_the_seed_decides():
    models = []
    for _ in range(2):
        torch.manual_seed(3)
        models.append(Transformer(LLAMA))
    models[0].reset_parameters()
    torch.manual_seed(3)
    fresh = Transformer(LLAMA)
    for one, other in zip(models[1].parameters(), fresh.parameters(), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(models[0].output.weight, fresh.output.weight)


@pytest.mark.parametrize("name", small_models.EVERY)
def test_every_parameter_gets_a_gradient(name):
    model = model_of(name)
    tokens = small_models.random_tokens(model.config, 2, model.config.max_seq_len)
    model(tokens).logsumexp(-1).sum().backward()
    for parameter_name, parameter in model.named_parameters():
        gradient = parameter.grad
        assert gradient is not None, parameter_name
        # A key's bias shifts all scores of a query alike, which no softmax sees without RoPE.
        if not (parameter_name.endswith("wk.bias") and model.config.positions == "learned"):
            assert gradient.abs().max() > 1e-6, parameter_name


# Names


def test_parameters_have_metas_names_and_shapes():
    config = ModelConfig(
        dim=16, n_layers=2, n_heads=4, n_kv_heads=2, hidden_dim=20, vocab_size=30, max_seq_len=8
    )
    state = {name: tuple(p.shape) for name, p in Transformer(config).state_dict().items()}
    block = {
        "attention.wq.weight": (16, 16),
        "attention.wk.weight": (8, 16),
        "attention.wv.weight": (8, 16),
        "attention.wo.weight": (16, 16),
        "feed_forward.w1.weight": (20, 16),
        "feed_forward.w2.weight": (16, 20),
        "feed_forward.w3.weight": (20, 16),
        "attention_norm.weight": (16,),
        "ffn_norm.weight": (16,),
    }
    assert state == {
        "tok_embeddings.weight": (30, 16),
        **{f"layers.{i}.{name}": shape for i in range(2) for name, shape in block.items()},
        "norm.weight": (16,),
        "output.weight": (30, 16),
    }


def test_a_tied_model_has_no_output_matrix():
    assert "output.weight" not in Transformer(LLAMA.replace(tie_embeddings=True)).state_dict()


def test_gpt2s_additional_names():
    gpt2 = Transformer(small_models.GPT2).state_dict()
    llama = Transformer(LLAMA).state_dict()
    additional = {name for name in gpt2.keys() - llama.keys() if not name.endswith("bias")}
    assert additional == {"pos_embeddings.weight"}
    assert gpt2["layers.1.attention.wk.bias"].shape == (24,)
    assert gpt2["layers.1.feed_forward.w1.bias"].shape == (40,)
    assert gpt2["norm.bias"].shape == (24,)
    assert "output.bias" not in Transformer(LLAMA.replace(bias=True)).state_dict()


def test_nothing_but_two_tables_is_stored_beside_the_weights():
    """No mask, in no layer."""
    assert [n for n, _ in Transformer(LLAMA).named_buffers()] == ["rope.cos", "rope.sin"]
    assert not list(Transformer(small_models.GPT2).buffers())


@torch.no_grad()
def test_all_layers_share_one_mask():
    model, masks = model_of("llama-gqa"), []
    for layer in model.layers:
        layer.register_forward_pre_hook(lambda _layer, arguments: masks.append(arguments[2]))
    tokens = small_models.random_tokens(model.config, 2, 6)
    cache = KVCache(model.config, 2, dtype=torch.float64)
    model(tokens, cache)
    assert masks == [None, None]  # plain causal, which torch does without a mask
    cache.length = torch.tensor([2, 7])
    model(tokens[:, :1], cache)
    assert masks[2] is masks[3]
    assert masks[2].shape == (2, 1, 1, 8)


# Moving it about


@torch.no_grad()
def test_weights_assigned_to_a_model_on_meta():
    for name in ("llama-gqa", "gpt2"):
        source = model_of(name)
        with torch.device("meta"):
            model = Transformer(source.config)
        assert model.device.type == "meta"
        model.load_state_dict(source.state_dict(), strict=True, assign=True)
        tokens = small_models.random_tokens(model.config, 2, 9)
        assert torch.equal(model(tokens), source(tokens))  # float64 tables came with the weights


@torch.no_grad()
def test_weights_of_another_dtype_assigned_in_place():
    source, model = model_of("llama"), Transformer(LLAMA)
    model.load_state_dict(source.state_dict(), assign=True)
    tokens = small_models.random_tokens(model.config, 2, 9)
    assert torch.equal(model(tokens), source(tokens))
    model.load_state_dict(model_of("llama", torch.bfloat16).state_dict(), assign=True)
    assert (model.dtype, model.rope.cos.dtype) == (torch.bfloat16, torch.float32)
    assert torch.equal(model.rope.cos, rope_table(6, 32)[0])


@torch.no_grad()
def test_a_loaded_state_is_the_same_model():
    source, model = model_of("llama-gqa", torch.float32), Transformer(LLAMA.replace(n_kv_heads=2))
    model.load_state_dict(source.state_dict(), strict=True)
    tokens = small_models.random_tokens(model.config, 2, 9)
    assert torch.equal(model(tokens), source(tokens))


@pytest.mark.parametrize("name", ["llama-gqa", "llama-tied", "gpt2"])
@torch.no_grad()
def test_copies_and_pickles_are_the_same_model(name):
    model = model_of(name)
    tokens = small_models.random_tokens(model.config, 2, 9)
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(other(tokens), model(tokens))
        assert other.tok_embeddings.weight.data_ptr() != model.tok_embeddings.weight.data_ptr()
        other.to("meta").load_state_dict(model.state_dict(), assign=True)  # its hook works as well
        assert torch.equal(other(tokens), model(tokens))


@torch.no_grad()
def test_to_empty_keeps_the_tables():
    source = model_of("llama", torch.float32)
    model = copy.deepcopy(source).to("meta").to_empty(device="cpu")
    model.load_state_dict(source.state_dict())
    tokens = small_models.random_tokens(model.config, 2, 9)
    assert torch.equal(model(tokens), source(tokens))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["llama-gqa", "llama-tied", "gpt2"])
@torch.no_grad()
def test_half_precision(name, dtype):
    wide = model_of(name, torch.float32)
    model = copy.deepcopy(wide).to(dtype)
    assert model.dtype == dtype
    tokens = small_models.random_tokens(model.config, 2, 9)
    logits = model(tokens)
    assert logits.dtype == torch.float32
    assert (logits - wide(tokens)).abs().mean() < 0.05 * wide(tokens).std()
    cache = KVCache(model.config, 2, dtype=dtype)
    model(tokens[:, :5], cache)
    assert model(tokens[:, 5:], cache).dtype == torch.float32


@pytest.mark.parametrize("change", [torch.nn.Module.bfloat16, torch.nn.Module.half])
def test_the_tables_of_a_half_precision_model_stay_in_float32(change):
    config = LLAMA.replace(dim=256, n_heads=2, max_seq_len=4096)
    model = change(Transformer(config))
    cos, sin = rope_table(128, 4096)
    assert torch.equal(model.rope.cos, cos)
    assert torch.equal(model.rope.sin, sin)
    assert (model.rope.cos[4094] != model.rope.cos[4095]).any()


def test_a_float64_model_is_float64_throughout():
    model = model_of("llama").float().double()
    assert model.rope.cos.dtype == torch.float64
    tokens = small_models.random_tokens(LLAMA, 1, 30)
    single = copy.deepcopy(model).float()
    assert (model(tokens) - single(tokens)).abs().max() > 1e-8
    assert model(tokens).dtype == torch.float64


@torch.no_grad()
def test_autocast_keeps_the_logits_in_float32():
    model = model_of("llama", torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert model(small_models.random_tokens(LLAMA, 2, 9)).dtype == torch.float32


def test_device_and_dtype():
    model = Transformer(LLAMA)
    assert (model.device, model.dtype) == (torch.device("cpu"), torch.float32)
    assert model.to("meta").device.type == "meta"


@pytest.mark.slow
def test_compiled_is_the_same_model():
    """In a process of its own, without the hook that checks shapes."""
    tests = Path(__file__).parent
    package = Path(llama_tutorial.__file__).parents[1]
    result = subprocess.run(
        [sys.executable, tests / "compiled_model.py"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(package), str(tests)))},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout == "the same\n"


# Refusals


def refuses(message, *arguments, name="llama", **options):
    model = model_of(name)
    with pytest.raises(ValueError, match=re.escape(message)):
        model(*arguments, **options)


def ids(*shape):
    return torch.zeros(shape, dtype=torch.int64)


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_more_tokens_than_the_context_are_refused(name):
    message = "33 tokens at position 0 do not fit into the model's context of 32; shorten the input"
    refuses(message, ids(1, 33), name=name)


def test_positions_outside_the_context_are_refused():
    refuses("3 tokens at position 30 do not fit into", ids(1, 3), start=30)
    refuses("3 tokens at position -1 do not fit into", ids(1, 3), start=-1)
    refuses("3 tokens at position 30 do not fit into", ids(2, 3), start=torch.tensor([0, 30]))
    refuses("3 tokens at position -2 do not fit into", ids(2, 3), start=torch.tensor([-2, 30]))


@pytest.mark.parametrize("start", [[0, 1, 2], torch.tensor([0, 1, 2]), [], 1.0, [0.0, 1.0], "1"])
def test_a_start_for_each_row_or_one_for_all(start, unchecked):
    given = start.tolist() if isinstance(start, torch.Tensor) else start
    message = f"start={given!r}: must be a whole number, or 2 of them, one for a row"
    refuses(message, ids(2, 3), start=start)
    refuses("start=True: must be a whole number", ids(2, 3), start=True)


@torch.no_grad()
def test_a_start_may_be_any_librarys_numbers(unchecked):
    model, tokens = model_of("llama"), small_models.random_tokens(LLAMA, 2, 3)
    for same in ((5, np.int64(5), torch.tensor(5), [5, 5]), ([2, 5], np.array([2, 5]), (2, 5))):
        logits = [model(tokens, start=start) for start in same]
        assert all(torch.equal(logits[0], other) for other in logits[1:])


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (
            ids(3),
            "tokens has shape (3,): must be a tensor of (B, T); one row of ids is torch.tensor",
        ),
        (ids(1, 2, 3), "tokens has shape (1, 2, 3): must be a tensor of (B, T)"),
        ([1, 2, 3], "tokens has shape (): must be a tensor of (B, T)"),
        ("text", "tokens has shape (): must be a tensor of (B, T)"),
        (torch.zeros(1, 3), "tokens is torch.float32: must be torch.int64"),
        (ids(1, 3).bool(), "tokens is torch.bool: must be torch.int64"),
        (ids(1, 3).to(torch.uint8), "tokens is torch.uint8: must be torch.int64"),
        (np.zeros((1, 3), np.int64), "tokens is int64: must be torch.int64"),
        (ids(1, 3).to("meta"), "tokens are on meta, the model is on cpu: tokens.to(model.device)"),
        (ids(1, 3) - 1, "tokens hold ids outside 0 to 36"),
        (ids(1, 3) + 37, "tokens hold ids outside 0 to 36"),
    ],
)
def test_tokens_that_are_none(tokens, message, unchecked):
    refuses(message, tokens)


@torch.no_grad()
def test_tokens_of_32_bits_are_tokens():
    model, tokens = model_of("llama"), small_models.random_tokens(LLAMA, 2, 3)
    assert torch.equal(model(tokens.int()), model(tokens))


def test_one_position_of_each_row(unchecked):
    refuses("logits_at has shape (3,): must be (2,)", ids(2, 3), logits_at=ids(3))
    refuses("logits_at has shape (): must be (2,)", ids(2, 3), logits_at=[0, 0])
    refuses("logits_at is torch.float32: must be", ids(2, 3), logits_at=torch.zeros(2))


@pytest.mark.parametrize(
    ("changes", "options"),
    [
        ({"n_layers": 1}, {}),
        ({"n_layers": 5}, {}),
        ({"n_kv_heads": 1}, {}),
        ({"dim": 48}, {}),
        ({}, {"dtype": torch.float32}),
        ({}, {"dtype": torch.bfloat16}),
        ({}, {"device": "meta"}),
    ],
)
def test_a_cache_of_another_model_is_refused(changes, options):
    cache = KVCache(LLAMA.replace(**changes), **{"dtype": torch.float64, **options})
    refuses("the cache is another model's: layers, heads, width, dtype and", ids(1, 3), cache)


def test_the_cache_must_have_a_row_for_each():
    refuses("2 rows of tokens, but the cache has 3", ids(2, 3), KVCache(LLAMA, 3))


def test_a_full_cache_is_refused():
    message = "the cache is full: 5 tokens at position 0 need 5 slots, max_seq_len is 4"
    refuses(message, ids(1, 5), KVCache(LLAMA, 1, 4))


def test_a_gap_in_the_cache_is_refused():
    cache = KVCache(LLAMA, 2, dtype=torch.float64)
    model_of("llama")(ids(2, 3), cache)
    message = "start=4 leaves empty slots after the cache's length of [3, 3]"
    refuses(message, ids(2, 1), cache, start=4)
    refuses("start=4 leaves empty slots", ids(2, 1), cache, torch.tensor([3, 4]))


def test_documents_go_with_neither_cache_nor_start(unchecked):
    message = "documents go with neither cache nor start: each restarts at 0"
    refuses(message, ids(1, 3), KVCache(LLAMA), documents=ids(1, 3))
    refuses(message, ids(1, 3), start=0, documents=ids(1, 3))
    message = "documents has shape (1, 3): must be (2, 3)"
    refuses(message, ids(2, 3), documents=ids(1, 3))
    refuses("documents has shape (6,): must be (2, 3)", ids(2, 3), documents=ids(6))
    refuses("documents is torch.float32: must be", ids(2, 3), documents=torch.zeros(2, 3))


def test_the_hook_that_checks_shapes_is_on():
    """Otherwise every shape in a signature would be an unchecked claim."""
    jaxtyping = pytest.importorskip("jaxtyping")
    pytest.importorskip("beartype")
    block = TransformerBlock(LLAMA)
    with pytest.raises(jaxtyping.TypeCheckError):
        block(torch.zeros(5, 24))


def test_the_real_sizes_can_be_built_without_memory():
    with torch.device("meta"):
        model = Transformer(PRESETS["llama-2-70b"])
        logits = model(torch.zeros(1, 16, dtype=torch.int64))
    assert logits.shape == (1, 16, 32000)
