"""The tasks of the book's second half: answers that were written in another way are right, too.

Most are other people's code (torch's, safetensors', this package's own rooms), or the way in which
somebody would write who has not seen the solution. What all tasks have in common is held by
``test_tasks.py``.
"""

from __future__ import annotations

import ast
import itertools
import math
import os
import re
import statistics
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import notebooks
import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from llama_tutorial import chat, finetuning, generate, load, preferences, sampling, save_model
from llama_tutorial.checkpoints import meta_shards
from llama_tutorial.checkpoints.names import heads, stored_as
from llama_tutorial.lora.linear import LoRALinear
from llama_tutorial.numpy_llama import layers, llama2c
from llama_tutorial.preferences import losses, ppo
from llama_tutorial.quantization import Int4Tensor, QuantizedTensor, formats
from llama_tutorial.quantization.packed import PackedMatrix
from llama_tutorial.rope import to_interleaved
from llama_tutorial.training import cosine_schedule, token_loss
from llama_tutorial.workbook.checker import check
from llama_tutorial.workbook.registry import TITLES, find, module_of, tasks_of, way_of

CHAPTERS = (
    "checkpoints",
    "generation",
    "numpy_llama",
    "quantization",
    "pretraining",
    "swaps",
    "evaluation",
    "finetuning",
    "preferences",
)


# Checkpoints


def _by_the_library(path):
    from safetensors.torch import load_file

    return load_file(path)


def _names_by_replacement(stored, n_heads, n_kv_heads):
    state = {}
    for name, tensor in stored.items():
        for theirs, ours in (
            ("model.", ""),
            ("embed_tokens", "tok_embeddings"),
            ("lm_head", "output"),
            ("input_layernorm", "attention_norm"),
            ("post_attention_layernorm", "ffn_norm"),
            ("mlp.gate_proj", "feed_forward.w1"),
            ("mlp.down_proj", "feed_forward.w2"),
            ("mlp.up_proj", "feed_forward.w3"),
            *((f"self_attn.{x}_proj", f"attention.w{x}") for x in "qkvo"),
        ):
            name = name.replace(theirs, ours)
        if name.endswith(("wq.weight", "wk.weight")):
            n = n_heads if "wq" in name else n_kv_heads
            tensor = to_interleaved(tensor, n)
        state[name] = tensor
    state.setdefault("output.weight", state["tok_embeddings.weight"])
    return state


def _names_by_the_table(stored, n_heads, n_kv_heads):
    config = SimpleNamespace(n_heads=n_heads, n_kv_heads=n_kv_heads)
    n_layers = sum(name.endswith("q_proj.weight") for name in stored)
    parts = ("attention.wq", "attention.wk", "attention.wv", "attention.wo", "attention_norm")
    parts += ("feed_forward.w1", "feed_forward.w2", "feed_forward.w3", "ffn_norm")
    names = [f"layers.{i}.{part}.weight" for i in range(n_layers) for part in parts]
    state = {}
    for name in [*names, "tok_embeddings.weight", "norm.weight", "output.weight"]:
        there = stored_as(name, "llama")
        tensor = stored.get(there.name, stored["model.embed_tokens.weight"])
        state[name] = to_interleaved(tensor, heads(name, config)) if there.half_split else tensor
    return state


def _rows_one_by_one(weight, n_heads):
    h = len(weight) // n_heads
    order = [
        n * h + j + half for n in range(n_heads) for j in range(h // 2) for half in (0, h // 2)
    ]
    return weight[order]


# Generation


def _top_p_as_meta(logits, p):
    """``sample_top_p`` of Meta's generation.py, up to the draw."""
    probs_sort, probs_idx = torch.sort(logits.softmax(-1), dim=-1, descending=True)
    mask = torch.cumsum(probs_sort, dim=-1) - probs_sort > p
    dropped = torch.zeros_like(mask).scatter(-1, probs_idx, mask)
    return torch.where(dropped, -math.inf, logits)


def _top_k_by_threshold(logits, k):
    least = logits.topk(min(k, len(logits))).values[-1]
    return logits.masked_fill(logits < least, float("-inf"))


def _shares_of_the_package(logits, temperature, p):
    if temperature == 0:
        return F.one_hot(logits.argmax(), len(logits)).float()
    return sampling.next_probabilities(logits, temperature, None, p)


def _draw_in_python(probabilities, u):
    numbers = probabilities.tolist()
    target, reached = u * sum(numbers), 0.0
    for token, probability in enumerate(numbers):
        reached += probability
        if reached > target:
            return token
    raise AssertionError


def _draw_of_the_package(probabilities, u):
    return int(sampling.draw(probabilities, torch.tensor(u, dtype=torch.float64)))


def _greedy_without_the_last_feed(feed, prompt, n, stop_ids=()):
    ids, new = prompt, []
    for _ in range(n):
        token = feed(ids).argmax().item()
        if token in stop_ids:
            break
        new += [token]
        ids = [token]
    return new


# The NumPy engine


def _header_by_numpy(data):
    dim, hidden, n_layers, n_heads, n_kv_heads, vocab, context = data[:28].view("<i4").tolist()
    return SimpleNamespace(
        dim=dim,
        hidden_dim=hidden,
        n_layers=n_layers,
        n_heads=n_heads,
        n_kv_heads=n_kv_heads,
        vocab_size=abs(vocab),
        max_seq_len=context,
        tied=vocab > 0,
        head_dim=dim // n_heads,
    )


def _header_of_the_package(data):
    config = llama2c.parse_header(data[:28].tobytes()).config
    names = "dim hidden_dim n_layers n_heads n_kv_heads vocab_size max_seq_len head_dim".split()
    sizes = {name: getattr(config, name) for name in names}
    return SimpleNamespace(**sizes, tied=config.tie_embeddings)


def _shapes_of_the_package(m):
    sizes = (m.dim, m.hidden_dim, m.n_layers, m.n_heads, m.n_kv_heads)
    vocab = m.vocab_size if m.tied else -m.vocab_size
    header = llama2c.parse_header(struct.pack("<7i", *sizes, vocab, m.max_seq_len))
    shapes: dict[str, tuple[int, ...]] = {}
    tables = dict(zip(llama2c.ROPE_TABLES, ("rope_cos", "rope_sin"), strict=True))
    for name, shape in header.entries():
        parts = name.removesuffix(".weight").split(".")
        if parts[0] != "layers":
            shapes[tables.get(name, parts[-1])] = shape
        elif parts[1] == "0":  # one tensor for each layer there, one for all of them here
            shapes[parts[-1]] = (m.n_layers, *shape)
    return shapes


def _softmax_by_logarithms(x):
    largest = x.max(axis=-1, keepdims=True)
    logs = largest + np.log(np.exp(x - largest).sum(axis=-1, keepdims=True))
    return np.exp(x - logs)


def _rms_norm_of_the_package(x, weight, eps=1e-5):
    return layers.rms_norm(x, weight, eps)


def _rms_norm_by_einsum(x, weight, eps=1e-5):
    mean = np.einsum("td,td->t", x, x) / x.shape[1]
    return weight * x * (1 / np.sqrt(mean + eps))[:, None]


def _rotate_in_reals(x, turns):
    cos, sin = turns.real, turns.imag
    y = np.empty_like(x)
    y[..., ::2] = x[..., ::2] * cos - x[..., 1::2] * sin
    y[..., 1::2] = x[..., ::2] * sin + x[..., 1::2] * cos
    return y


def _attention_of_the_package(x, m, i, turns, keys, values, start):
    nothing = np.zeros(0, np.float32)
    mine = [getattr(m, name)[i] for name in ("wq", "wk", "wv", "wo")]
    layer = layers.Layer(nothing, *mine, nothing, nothing, nothing, nothing)
    return layers.attention(x, layer, turns, keys, values, start)


def _attention_by_the_sizes(x, m, i, turns, keys, values, start):
    T, D, h = len(x), m.dim, m.dim // m.n_heads
    q, k, v = (x @ w[i].T for w in (m.wq, m.wk, m.wv))
    k = _rotate_in_reals(k.reshape(T, m.n_kv_heads, h), turns)
    q = _rotate_in_reals(q.reshape(T, m.n_heads, h), turns)
    keys[:, start : start + T] = k.swapaxes(0, 1)
    values[:, start : start + T] = v.reshape(T, -1, h).swapaxes(0, 1)
    y = np.zeros((T, D), np.float32)
    for head in range(m.n_heads):
        shared = head * m.n_kv_heads // m.n_heads
        scores = q[:, head] @ keys[shared, : start + T].T / math.sqrt(h)
        scores[~np.tri(T, start + T, start, dtype=bool)] = -math.inf
        weights = _softmax_by_logarithms(scores)
        y[:, head * h : (head + 1) * h] = weights @ values[shared, : start + T]
    return y @ m.wo[i].T


def _attention_head_by_head(x, m, i, turns, keys, values, start):
    h, group = m.head_dim, m.n_heads // m.n_kv_heads
    out = np.zeros((len(x), m.n_heads * h), np.float32)
    for t, row in enumerate(x):
        for n in range(m.n_kv_heads):
            part = slice(n * h, (n + 1) * h)
            key = (m.wk[i][part] @ row)[None, None]
            keys[n, start + t] = _rotate_in_reals(key, turns[t : t + 1])[0, 0]
            values[n, start + t] = m.wv[i][part] @ row
        for n in range(m.n_heads):
            part, seen = slice(n * h, (n + 1) * h), slice(0, start + t + 1)
            query = (m.wq[i][part] @ row)[None, None]
            query = _rotate_in_reals(query, turns[t : t + 1])[0, 0]
            scores = keys[n // group, seen] @ query / math.sqrt(h)
            out[t, part] = _softmax_by_logarithms(scores[None])[0] @ values[n // group, seen]
    return out @ m.wo[i].T


# Quantization


def _quantized_of_the_package(w, group_size=32):
    made = formats.quantize(w, group_size)
    return made.values, made.scales


def _quantized_group_by_group(w, group_size=32):
    q, scales = np.zeros(w.shape, np.int8), np.zeros((len(w), w.shape[1] // group_size), np.float32)
    for r, row in enumerate(w):
        for g, group in enumerate(row.reshape(-1, group_size)):
            if largest := max(abs(float(one)) for one in group):
                scales[r, g] = largest / 127
                integers = [round(float(one) * 127 / largest) for one in group]
                q[r, g * group_size : (g + 1) * group_size] = integers
    return q, scales


def _quantized_by_nan_to_num(w, group_size=32):
    grouped = w.reshape(-1, group_size).astype(np.float64)
    scales = np.maximum(grouped.max(1), -grouped.min(1)) / 127
    with np.errstate(invalid="ignore"):
        q = np.nan_to_num(grouped / scales[:, None]).round()
    return q.astype("int8").reshape(w.shape), scales.astype("f4").reshape(len(w), -1)


def _read_of_the_package(q, scales):
    return QuantizedTensor(q, scales).dequantize()


def _read_by_repeating(q, scales):
    return q * scales.repeat(q.shape[1] // scales.shape[1], axis=1)


def _read_in_torch(q, scales):
    grouped = q.float().unflatten(1, (scales.shape[1], -1))
    return (grouped * scales.unsqueeze(-1)).flatten(1)


def _packed_byte_by_byte(q, group_size=32):
    rows = []
    for row in q.tolist():
        groups = [row[at : at + group_size] for at in range(0, len(row), group_size)]
        half = group_size // 2
        rows.append(
            [a + 8 + 16 * (b + 8) for g in groups for a, b in zip(g, g[half:], strict=False)]
        )
    return np.array(rows, np.uint8)


def _packed_by_xor(q, group_size=32):
    low, high = np.split((q.reshape(-1, group_size) & 15) ^ 8, 2, axis=1)
    return (low + 16 * high.astype(np.uint8)).astype(np.uint8).reshape(len(q), -1)


def _unpacked_of_the_package(packed, group_size=32):
    scales = np.ones((len(packed), 2 * packed.shape[1] // group_size), np.float16)
    return Int4Tensor(packed, scales).dequantize().astype(np.int8)


def _unpacked_by_gguf(packed, group_size=32):
    columns = 2 * packed.shape[1]
    places = np.arange(columns)
    group, place = places // group_size, places % group_size
    byte = packed[:, group * group_size // 2 + place % (group_size // 2)].astype(int)
    return (byte // np.where(place < group_size // 2, 1, 16) % 16 - 8).astype(np.int8)


def _zero_point_in_python(w, group_size=32):
    q, scales, zeros = np.zeros(w.shape, np.uint8), [], []
    for r, row in enumerate(w.astype(float)):
        groups = row.reshape(-1, group_size)
        zeros.append([min(group) for group in groups])
        scales.append([(max(group) - min(group)) / 15 for group in groups])
        steps = [scale or 1 for scale in scales[-1]]
        q[r] = [
            round((one - zero) / step)
            for group, zero, step in zip(groups, zeros[-1], steps, strict=True)
            for one in group
        ]
    return q, np.array(scales, np.float32), np.array(zeros, np.float32)


def _block_by_the_package(block):
    packed = np.frombuffer(block, np.uint8, offset=2)[None]
    scales = np.frombuffer(block, np.float16, count=1)[None]
    return Int4Tensor(packed, scales).dequantize()[0]


def _block_byte_by_byte(block):
    (scale,) = struct.unpack_from("<e", block)
    low = [(byte % 16 - 8) * scale for byte in block[2:]]
    high = [(byte // 16 - 8) * scale for byte in block[2:]]
    return np.array(low + high, dtype=np.float32)


def _quantized_product_of_the_package(x, q, scales):
    return x @ PackedMatrix.pack(QuantizedTensor(q, scales)).T


def _quantized_product_row_by_row(x, q, scales):
    size = q.shape[1] // scales.shape[1]
    y = np.empty((len(x), len(q)), np.float32)
    for r in range(len(q)):
        y[:, r] = x @ (q[r] * scales[r].repeat(size))
    return y


def _product_by_einsum(x, q, scales):
    groups = scales.shape[1]
    xs, qs = x.reshape(len(x), groups, -1), q.reshape(len(q), groups, -1)
    return np.einsum("tgr,rg->tr", np.einsum("tgi,rgi->tgr", xs, qs), scales)


# Pre-training


def _rows_by_index(stream, starts, T):
    places = torch.tensor(starts)[:, None] + torch.arange(T)
    return stream[places], stream[places + 1]


def _loss_by_gather(model, x, y, documents=None):
    kept = y != -100
    logs = model(x, documents=documents).log_softmax(-1)[kept]
    return -logs.gather(-1, y[kept][:, None]).mean()


def _loss_of_the_package(model, x, y, documents=None):
    total, n = token_loss(model, x, y, documents)
    return total / n


def _gradient_of_weighted_means(model, batch, parts):
    weights, total = list(model.parameters()), 0
    for x, y, documents in zip(*(one.chunk(parts) for one in batch), strict=True):
        if (here := (y >= 0).sum()) > 0:
            loss = F.cross_entropy(model(x, documents=documents).mT, y) * here
            total = total + nn.utils.parameters_to_vector(torch.autograd.grad(loss, weights))
    return total / (batch[1] >= 0).sum()


def _clip_of_torch(gradients, longest):
    parameters = [nn.Parameter(torch.zeros_like(gradient)) for gradient in gradients]
    for parameter, gradient in zip(parameters, gradients, strict=True):
        parameter.grad = gradient.clone()
    nn.utils.clip_grad_norm_(parameters, longest)
    return [parameter.grad for parameter in parameters]


class _AdamWOfTorch:
    def __init__(self, parameters):
        parameters = list(parameters)
        groups = [
            {"params": [p for p in parameters if p.ndim >= 2], "weight_decay": 0.1},
            {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
        ]
        groups = [group for group in groups if group["params"]]
        self.adam = torch.optim.AdamW(groups, betas=(0.9, 0.95), eps=1e-5)

    def step(self, lr):
        for group in self.adam.param_groups:
            group["lr"] = lr
        self.adam.step()


def _rate_of_the_package(step, peak, warmup, total):
    return cosine_schedule(step, peak_lr=peak, warmup_steps=warmup, total_steps=total)


# Swaps


def _interval_by_numpy(differences):
    values = np.array(differences)
    return float(values.mean()), float(4.303 * values.std(ddof=1) / len(values) ** 0.5)


def _interval_by_the_table(differences):
    mean, half = _interval_by_numpy(differences)
    return mean, half / 4.303 * 4.302652729911275  # Student's t with all its digits


def _worth_by_numpy(before, after):
    return _interval_by_numpy(np.subtract(after, before))


def _worth_by_the_table(before, after):
    return _interval_by_the_table(np.subtract(after, before))


# Evaluation


def _perplexity_in_python(model, texts):
    logs = []
    for ids in texts:
        shares = model(torch.tensor([ids]))[0].double().softmax(-1)  # the last one is not used
        logs += [math.log(shares[i, token]) for i, token in enumerate(ids[1:])]
    return math.e ** (-sum(logs) / len(logs))


def _option_costs_in_a_batch(model, stem, options):
    longest = max(map(len, options))
    ids = torch.tensor([stem + option + [0] * (longest - len(option)) for option in options])
    logs = model(ids)[:, len(stem) - 1 : -1].double().log_softmax(-1)  # (N, T, V)
    each = -logs.gather(-1, ids[:, len(stem) :, None])[..., 0]
    return [each[n, : len(option)].sum().item() for n, option in enumerate(options)]


def _bits_by_log2(costs, text):
    return sum(cost * math.log2(math.e) for cost in costs) / len(bytes(text, "utf-8"))


def _cheapest_by_numpy(costs, lengths):
    return int(np.argmin(np.array(costs) / lengths))


def _interval_by_moments(n_right, n):
    answers = np.repeat([1.0, 0.0], [n_right, n - n_right])
    half = 1.96 * answers.std() / np.sqrt(n)
    return answers.mean() - half, answers.mean() + half


# Fine-tuning


def _labelled_of_the_package(dialog, tokenizer):
    ids, labels = finetuning.encode_example(dialog, tokenizer)
    return ids, labels


def _labelled_backwards(dialog, tokenizer):
    ids, labels = [], []
    for question, answer in chat.dialog_turns(dialog):
        whole = tokenizer.encode(question + answer, bos=True, eos=True)
        learned = len(answer) + 1  # a token for each letter, and EOS
        ids.extend(whole)
        labels.extend(-100 if n < len(whole) - learned else t for n, t in enumerate(whole))
    return ids, labels


def _first_fit_with_sums(lengths, context):
    rows: list[list[int]] = []
    for number, length in enumerate(lengths):
        for row in rows:
            if sum(lengths[n] for n in row) + length <= context:
                row.append(number)
                break
        else:
            rows.append([number])
    return rows


def _row_by_lists(examples, context):
    ids, targets, documents = [], [], []
    for number, (tokens, labels) in enumerate(examples):
        ids += tokens
        targets += [*labels[1:], -100]
        documents += [number] * len(tokens)
    rest = context - len(ids)
    columns = (ids + [0] * rest, targets + [-100] * rest, documents + [-1] * rest)
    return tuple(torch.tensor(column) for column in columns)


def _row_of_the_package(examples, context):
    from llama_tutorial.finetuning.packing import _laid_out

    made = [finetuning.Example(*example) for example in examples]
    return tuple(torch.from_numpy(part[0].astype(np.int64)) for part in _laid_out([made], context))


class _LoRAOfThePackage(nn.Module):
    def __init__(self, linear, rank, alpha):
        super().__init__()
        self.both = LoRALinear(linear.requires_grad_(False), rank, alpha)
        self.a, self.b = self.both.lora_a, self.both.lora_b

    def forward(self, x):
        return self.both(x)

    def merged(self):
        return self.both.merged_weight()


class _LoRAByMatrix(nn.Module):
    def __init__(self, linear, rank, alpha):
        super().__init__()
        F_, D = linear.weight.shape
        self.linear, self.alpha = linear, alpha
        for parameter in self.linear.parameters():
            parameter.requires_grad = False
        self.a = nn.Parameter(torch.empty(rank, D))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))
        self.b = nn.Parameter(torch.zeros(F_, rank))

    def merged(self):
        return self.linear.weight + self.alpha / len(self.a) * self.b @ self.a

    def forward(self, x):
        return F.linear(x, self.merged(), self.linear.bias)


# Preferences


def _logprobs_of_the_package(logits, ids, mask):
    return losses.token_logprobs(logits, torch.where(mask, ids, -100)).sum(-1)


def _logprobs_token_by_token(logits, ids, mask):
    rows = []
    for row in range(len(ids)):
        logs = [
            (logits[row, t - 1] - logits[row, t - 1].logsumexp(0))[ids[row, t]]
            for t in range(1, ids.shape[1])
            if mask[row, t]
        ]
        rows.append(sum(logs))
    return torch.stack(rows)


def _reward_loss_by_softplus(chosen, rejected, margin=0.0):
    return F.softplus(margin + rejected - chosen).mean()


def _reward_loss_as_a_classifier(chosen, rejected, margin=0.0):
    both = torch.stack((chosen - margin, rejected), 1)
    return F.cross_entropy(both, torch.zeros(len(both), dtype=torch.long))


def _dpo_loss_by_ratios(p_chosen, p_rejected, r_chosen, r_rejected, *, beta=0.1):
    ratios, references = p_chosen - p_rejected, r_chosen - r_rejected
    return F.binary_cross_entropy_with_logits(beta * (ratios - references), torch.ones_like(ratios))


def _best_of_every_choice(rewards, n):
    return statistics.mean(max(some) for some in itertools.combinations(rewards, n))


def _token_rewards_of_the_package(rewards, logprobs, reference, mask, kl=0.01):
    found = -kl * (logprobs - reference) * mask
    found[torch.arange(len(found)), mask.long().cumsum(1).argmax(1)] += ppo.whiten(rewards)
    return found


def _token_rewards_row_by_row(rewards, logprobs, reference, mask, kl=0.01):
    scores = (rewards - rewards.mean()) / rewards.std(correction=0)
    found = torch.zeros_like(logprobs)
    for row, score in enumerate(scores):
        places = mask[row].nonzero()[:, 0]
        found[row, places] = kl * (reference[row, places] - logprobs[row, places])
        found[row, places[-1]] += score
    return found


def _clipped_loss_of_the_package(logprobs, old, advantages, mask, clip=0.2):
    return ppo.clipped_loss(logprobs, old, advantages, mask, clip=clip) / mask.sum()


def _clipped_loss_as_baselines_has_it(logprobs, old, advantages, mask, clip=0.2):
    """The larger of two losses is minus the smaller of two gains."""
    ratio = torch.exp(logprobs - old)
    first, second = -advantages * ratio, -advantages * torch.clamp(ratio, 1 - clip, 1 + clip)
    return (torch.max(first, second) * mask).sum() / mask.sum()


def _doubting_loss_by_softplus(margin, epsilon):
    return F.softplus(-margin) + epsilon * margin


def _doubting_loss_as_a_classifier(margin, epsilon):
    share = torch.full_like(margin, 1 - epsilon)
    return F.binary_cross_entropy_with_logits(margin, share, reduction="none")


def _shorter_wins_with_a_loop(pairs):
    won = 0
    for pair in pairs:
        chosen, rejected = (len(re.findall(r"\S+", pair[name])) for name in ("chosen", "rejected"))
        if chosen < rejected:
            won += 1
    return won / len(pairs)


def _shorter_wins_by_numpy(pairs):
    lengths = np.array([[len(p[name].split()) for name in ("chosen", "rejected")] for p in pairs])
    return np.mean(lengths[:, 0] - lengths[:, 1] < 0)


# The exercises


def _gpt2_by_splitting(stored, table):
    def ours(there):
        weight = stored["transformer." + there.name]
        if there.third is not None:
            size = weight.shape[-1] // 3
            weight = weight[..., there.third * size : (there.third + 1) * size]
        return weight.permute(*reversed(range(weight.ndim))) if there.transposed else weight

    return {name: ours(there) for name, there in table.items()}


def _losses_by_shapes(make, configs, tensors, loss):
    shapes = {name: tensor.shape for name, tensor in tensors.items()}
    found = dict.fromkeys(configs)
    for label in reversed(list(configs)):
        model = make(configs[label])
        if {name: tensor.shape for name, tensor in model.state_dict().items()} == shapes:
            model.load_state_dict(tensors)
            found[label] = loss(model)
    return found


def _losses_by_part(tensors, n_heads, n_kv_heads, loss):
    heads_of = {"wq": n_heads, "wk": n_kv_heads}
    parts = {name: name.split(".")[-2] for name in tensors}
    theirs = {
        name: to_interleaved(tensors[name], heads_of[part]) if part in heads_of else tensors[name]
        for name, part in parts.items()
    }
    return {"half-split": loss(theirs), "interleaved": loss(dict(tensors))}


def _min_p_by_shares(logits, m):
    shares = logits.double().softmax(-1)
    return torch.where(shares >= m * shares.max(), logits, float("-inf"))


def _penalised_one_by_one(logits, used, theta):
    lower = logits.double()
    for token in set(used):
        lower[token] *= 1 / theta if logits[token] > 0 else theta
    return lower


def _penalised_by_the_package(logits, used, theta):
    return sampling.repetition_penalty(logits, torch.tensor(used), theta)


def _beam_search_with_lists(model, ids, width, n):
    beams = [(0.0, [])]
    for _ in range(n):
        longer = []
        for total, new in beams:
            logs = model(torch.tensor([[*ids, *new]]))[0, -1].double().log_softmax(0).tolist()
            longer += [(total + log, [*new, token]) for token, log in enumerate(logs)]
        beams = sorted(longer, reverse=True)[:width]
    return beams[0][1], beams[0][0]


def _draft_by_search(texts):
    def draft(ids, n):
        a, b = ids[-2:]
        guesses = []
        for _ in range(n):
            after = [
                text[i + 2]
                for text in texts
                for i in range(len(text) - 2)
                if text[i : i + 2] == [a, b]
            ]
            guesses.append(Counter(after).most_common(1)[0][0] if after else 1)
            a, b = b, guesses[-1]
        return guesses

    return draft


def _trimmed_by_turns(dialog, tokenizer, room):
    first = 1 if dialog[0]["role"] == "system" else 0
    for start in range(first, len(dialog), 2):
        shorter = [*dialog[:first], *dialog[start:]]
        if len(chat.encode_dialog(shorter, tokenizer)) <= room:
            return shorter
    raise ValueError("no room")


def _version_1_of_the_package(path):
    file = llama2c.read(path)
    if struct.unpack("<4xi", path.read_bytes()[:8]) != (1,):
        raise ValueError("another version")
    config = file.config
    names = "dim hidden_dim n_layers n_heads n_kv_heads vocab_size max_seq_len head_dim".split()
    m = SimpleNamespace(**{name: getattr(config, name) for name in names})
    m.tied = config.tie_embeddings
    for name in _shapes_of_the_package(m):
        if "rope" in name:
            continue
        stored = [key for key in file.tensors if key.removesuffix(".weight").endswith(name)]
        if name == "norm":
            stored = ["norm.weight"]
        layers_of = [np.asarray(file.tensors[key], np.float32) for key in stored]
        setattr(m, name, np.stack(layers_of) if "layers." in stored[0] else layers_of[0])
    m.output = m.tok_embeddings if m.tied else m.output
    angles = np.arange(m.max_seq_len)[:, None] / 10000 ** (
        np.arange(m.head_dim // 2) * 2 / m.head_dim
    )
    m.turns = (np.cos(angles) + 1j * np.sin(angles)).astype(np.complex64)
    return m


def _product_row_by_row(x, tensor):
    rows = zip(tensor.values, tensor.scales, strict=True)
    columns = [
        x @ (values.reshape(len(scales), -1) * scales[:, None]).reshape(-1)
        for values, scales in rows
    ]
    return np.stack(columns, axis=1)


def _product_group_by_group(x, tensor):
    size = tensor.values.shape[1] // tensor.scales.shape[1]
    y = np.zeros((len(x), len(tensor.values)), np.float32)
    for group, scales in enumerate(tensor.scales.T):
        part = slice(group * size, (group + 1) * size)
        y += x[:, part] @ tensor.values[:, part].T.astype(np.float32) * scales
    return y


def _taken_back_in_a_row(gpt, llama, changes, fit):
    return {
        name: fit(llama.replace(**{f: vars(gpt)[f] for f in change}), n_params=llama.n_params)
        for name, change in reversed(changes.items())
    }


def _sign_test_by_halves(before, after):
    before, after = np.array(before), np.array(after)
    mended, spoilt = int((after & ~before).sum()), int((before & ~after).sum())
    n = mended + spoilt
    ways = [math.comb(n, k) for k in range(n + 1)]
    distance = abs(mended - spoilt)
    extreme = sum(way for k, way in enumerate(ways) if abs(n - 2 * k) >= distance)
    return mended, spoilt, extreme / sum(ways)


def _found_by_text(training, exam, n):
    texts = [" " + " ".join(text.split()) + " " for text in training]
    found = 0
    for text in exam:
        words = text.split()
        runs = [" ".join(words[i : i + n]) for i in range(len(words)) if i + n <= len(words)]
        found += any(f" {run} " in one for run in runs for one in texts)
    return found


def _gradient_of_the_mean(weight, parts):
    mean = sum(loss for loss, _ in parts) / sum(n for _, n in parts)
    return torch.autograd.grad(mean, weight)[0]


def _gradient_by_backward(weight, parts):
    weight.grad = None
    for loss, _ in parts:
        loss.backward()
    return weight.grad.double() / sum(n for _, n in parts)


def _longest_with_sums(lengths, context):
    rows: list[list[int]] = []
    for length, number in sorted(((n, i) for i, n in enumerate(lengths)), reverse=True):
        for row in rows:
            if sum(lengths[n] for n in row) + length <= context:
                row += [number]
                break
        else:
            rows += [[number]]
    return rows


OTHERS: dict[str, list[Callable[..., Any]]] = {
    "checkpoints.read_safetensors": [_by_the_library],
    "checkpoints.neighbours_again": [to_interleaved, _rows_one_by_one],
    "checkpoints.from_huggingface": [_names_by_replacement, _names_by_the_table],
    "checkpoints.merged": [meta_shards.merged],
    "checkpoints.from_gpt2": [_gpt2_by_splitting],
    "checkpoints.loss_by_config": [_losses_by_shapes],
    "checkpoints.loss_by_layout": [_losses_by_part],
    "generation.top_k": [sampling.top_k_filter, _top_k_by_threshold],
    "generation.top_p": [sampling.top_p_filter, _top_p_as_meta],
    "generation.next_shares": [_shares_of_the_package],
    "generation.draw": [_draw_in_python, _draw_of_the_package],
    "generation.greedy": [_greedy_without_the_last_feed],
    "generation.encode_dialog": [chat.encode_dialog],
    "generation.min_p": [sampling.min_p_filter, _min_p_by_shares],
    "generation.penalised": [_penalised_by_the_package, _penalised_one_by_one],
    "generation.beam_search": [_beam_search_with_lists],
    "generation.draft_from": [_draft_by_search],
    "generation.trimmed": [_trimmed_by_turns],
    "numpy_llama.read_header": [_header_by_numpy, _header_of_the_package],
    "numpy_llama.shapes_of": [_shapes_of_the_package],
    "numpy_llama.softmax": [layers.softmax, _softmax_by_logarithms],
    "numpy_llama.rms_norm": [_rms_norm_of_the_package, _rms_norm_by_einsum],
    "numpy_llama.rotate": [layers.rotate, _rotate_in_reals],
    "numpy_llama.attention_cached": [
        _attention_of_the_package,
        _attention_head_by_head,
        _attention_by_the_sizes,
    ],
    "quantization.quantize": [
        _quantized_of_the_package,
        _quantized_group_by_group,
        _quantized_by_nan_to_num,
    ],
    "quantization.dequantize": [_read_of_the_package, _read_by_repeating, _read_in_torch],
    "quantization.pack_nibbles": [_packed_byte_by_byte, _packed_by_xor],
    "quantization.unpack_nibbles": [_unpacked_of_the_package, _unpacked_by_gguf],
    "quantization.quantize_zero_point": [_zero_point_in_python],
    "quantization.product": [
        _quantized_product_of_the_package,
        _quantized_product_row_by_row,
        _product_by_einsum,
    ],
    "quantization.read_q4_0": [_block_by_the_package, _block_byte_by_byte],
    "numpy_llama.read_version_1": [_version_1_of_the_package],
    "numpy_llama.product": [_product_row_by_row, _product_group_by_group],
    "pretraining.rows_at": [_rows_by_index],
    "pretraining.loss_of": [_loss_by_gather, _loss_of_the_package],
    "pretraining.accumulated": [_gradient_of_weighted_means],
    "pretraining.clip": [_clip_of_torch],
    "pretraining.AdamW": [_AdamWOfTorch],
    "pretraining.rate": [_rate_of_the_package],
    "swaps.interval": [_interval_by_numpy, _interval_by_the_table],
    "swaps.worth": [_worth_by_numpy, _worth_by_the_table],
    "swaps.taken_back": [_taken_back_in_a_row],
    "evaluation.perplexity": [_perplexity_in_python],
    "evaluation.bits_per_byte": [_bits_by_log2],
    "evaluation.option_costs": [_option_costs_in_a_batch],
    "evaluation.cheapest": [_cheapest_by_numpy],
    "evaluation.interval": [_interval_by_moments],
    "evaluation.sign_test": [_sign_test_by_halves],
    "evaluation.n_found": [_found_by_text],
    "finetuning.labelled": [_labelled_of_the_package, _labelled_backwards],
    "finetuning.first_fit": [_first_fit_with_sums],
    "finetuning.packed_row": [_row_by_lists, _row_of_the_package],
    "finetuning.LoRA": [_LoRAOfThePackage, _LoRAByMatrix],
    "preferences.sequence_logprobs": [_logprobs_of_the_package, _logprobs_token_by_token],
    "preferences.reward_loss": [
        preferences.reward_loss,
        _reward_loss_by_softplus,
        _reward_loss_as_a_classifier,
    ],
    "preferences.dpo_loss": [preferences.dpo_loss, _dpo_loss_by_ratios],
    "preferences.best_of": [_best_of_every_choice],
    "preferences.token_rewards": [_token_rewards_of_the_package, _token_rewards_row_by_row],
    "preferences.doubting_loss": [_doubting_loss_by_softplus, _doubting_loss_as_a_classifier],
    "preferences.shorter_wins": [_shorter_wins_with_a_loop, _shorter_wins_by_numpy],
    "preferences.clipped_loss": [
        _clipped_loss_of_the_package,
        _clipped_loss_as_baselines_has_it,
    ],
    "finetuning.gradient_in_parts": [_gradient_of_the_mean, _gradient_by_backward],
    "finetuning.longest_first": [_longest_with_sums],
}


@pytest.mark.parametrize(
    ("name", "answer"), [(name, answer) for name, those in OTHERS.items() for answer in those]
)
def test_another_way_is_right_too(name: str, answer: Callable[..., Any], unchecked: None) -> None:
    result = check(name, answer)
    assert result.ok, result.message


# What gives the right numbers and is wrong all the same


def _prompt_token_by_token(feed, prompt, n, stop_ids=()):
    new = []
    for token in prompt:
        logits = feed([token])
    while len(new) < n and (token := int(logits.argmax())) not in stop_ids:
        new.append(token)
        logits = feed([token])
    return new


def _header_in_a_dict(data):
    return vars(_header_of_the_package(data))


def _quantized_in_floats(w, group_size=32):
    q, scales = _quantized_of_the_package(w, group_size)
    return q.astype(np.float32), scales


def _product_of_a_wide_matrix(x, q, scales):
    return x @ _read_by_repeating(q, scales).T


def _whole_batch_at_once(model, batch, parts):
    return _gradient_of_weighted_means(model, batch, 1)


def _product_over_float32(x, tensor):
    rows, groups = tensor.scales.shape
    weights = tensor.values.reshape(rows, groups, -1) * tensor.scales[..., None]
    return x @ weights.reshape(rows, -1).T


def _row_in_int32(examples, context):
    return tuple(part.int() for part in _row_by_lists(examples, context))


@pytest.mark.parametrize(
    ("name", "answer", "said"),
    [
        ("generation.greedy", _prompt_token_by_token, "ids of the first call"),
        ("numpy_llama.read_header", _header_in_a_dict, "return a SimpleNamespace"),
        ("quantization.product", _product_of_a_wide_matrix, "an array of the whole matrix"),
        ("quantization.quantize", _quantized_in_floats, "has the dtype float32, and int8 is"),
        ("pretraining.accumulated", _whole_batch_at_once, "the model sees 3 at once"),
        ("numpy_llama.product", _product_over_float32, "and should take less than a quarter"),
        ("finetuning.packed_row", _row_in_int32, "has the dtype int32, and int64 is right"),
    ],
)
def test_the_right_numbers_in_the_wrong_way(name, answer, said) -> None:
    result = check(name, answer)
    assert result.state == "wrong"
    assert said in result.message


def test_every_task_has_another_answer() -> None:
    assert {task.name for chapter in CHAPTERS for task in tasks_of(chapter)} == OTHERS.keys()


# What the chapters themselves show is right, under the same name

FROM_THE_PAGE = [
    "checkpoints.neighbours_again",
    "checkpoints.merged",
    "generation.top_k",
    "generation.top_p",
    "generation.draw",
    "generation.encode_dialog",
    "numpy_llama.read_header",
    "numpy_llama.shapes_of",
    "numpy_llama.softmax",
    "numpy_llama.rms_norm",
    "numpy_llama.rotate",
    "numpy_llama.attention_cached",
    "pretraining.rows_at",
    "pretraining.loss_of",
    "pretraining.accumulated",
    "pretraining.AdamW",
    "pretraining.rate",
    "swaps.interval",
    "finetuning.labelled",
    "finetuning.first_fit",
    "finetuning.LoRA",
    "model.folded",
    "model.loss_in_order",
    "model.bytes_kept",
    "checkpoints.from_gpt2",
    "checkpoints.loss_by_config",
    "checkpoints.loss_by_layout",
    "generation.min_p",
    "generation.penalised",
    "generation.beam_search",
    "generation.draft_from",
    "generation.trimmed",
    "numpy_llama.read_version_1",
    "numpy_llama.product",
    "quantization.quantize_zero_point",
    "quantization.read_q4_0",
    "swaps.taken_back",
    "evaluation.sign_test",
    "evaluation.n_found",
    "finetuning.gradient_in_parts",
    "finetuning.longest_first",
    "preferences.doubting_loss",
    "preferences.shorter_wins",
]
NAMES = {"torch": torch, "nn": nn, "F": F, "np": np, "math": math, "struct": struct}
NAMES |= {"SimpleNamespace": SimpleNamespace, "statistics": statistics}
NAMES |= {"dialog_turns": chat.dialog_turns}


def _on_the_page(chapter: str) -> dict[str, Any]:
    """The functions, classes and plain constants of a chapter; of those of one name the first."""
    names = dict(NAMES)
    for cell in notebooks.read(notebooks.BOOK / f"{chapter}.ipynb").cells:
        for node in ast.parse(cell.source).body if cell.cell_type == "code" else []:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                with suppress(ValueError):
                    names.setdefault(node.targets[0].id, ast.literal_eval(node.value))
            elif isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name not in names:
                with suppress(NameError):  # one that builds on what is not for a task
                    exec(compile(ast.Module([node], []), chapter, "exec"), names)
    return names


@pytest.mark.parametrize("name", FROM_THE_PAGE)
def test_what_the_page_shows_is_right(name: str, unchecked: None) -> None:
    chapter, function = name.split(".")
    result = check(name, _on_the_page(chapter)[function])
    assert result.ok, result.message


# The finished modules do what they are for


@pytest.fixture(scope="module")
def small() -> tuple[Any, list[int], list[int]]:
    """A trained model, a prompt, and what the package writes after it."""
    model, tokenizer = load("tales-small")
    prompt = tokenizer.encode("Once upon a time", bos=True)
    return model, prompt, generate(model, [prompt], 12, temperature=0)[0]


def test_a_file_is_read_and_goes_on_in_numpy(small, tmp_path) -> None:
    model, prompt, expected = small
    save_model(model, tmp_path / "small.bin", "llama2c")
    engine = module_of("numpy_llama")
    mine = engine.read_llama(tmp_path / "small.bin")
    assert list(engine.write(mine, prompt, 12)) == expected
    assert list(engine.write(mine, prompt, 12, stop_ids=expected[3:4])) == expected[:3]


def test_a_folder_of_hugging_face_s_goes_on_in_the_learner_s_model(small, tmp_path) -> None:
    model, prompt, expected = small
    save_model(model, tmp_path, "huggingface")
    there = module_of("checkpoints")
    stored = there.read_safetensors(tmp_path / "model.safetensors")
    config = model.config
    mine = module_of("model").Llama(config)
    tensors = there.from_huggingface(stored, config.n_heads, config.n_kv_heads)
    module_of("model").load_weights(mine, tensors)
    caches, fed = mine.new_caches(), 0

    @torch.no_grad()
    def feed(ids):
        nonlocal fed
        logits = mine(torch.tensor([ids]), caches, fed)[0, -1]
        fed += len(ids)
        return logits

    assert module_of("generation").greedy(feed, prompt, 12) == expected


def test_what_the_workbook_packs_is_llama_cpps(tmp_path) -> None:
    """A matrix through the learner's functions is the one that gguf's own reads."""
    gguf = pytest.importorskip("gguf")
    mine = module_of("quantization")
    w = np.random.default_rng(0).standard_normal((4, 64)).astype(np.float32)
    q, scales = mine.quantize(w)
    halves = scales.astype(np.float16)
    blocks = np.concatenate((halves.reshape(-1, 1).view(np.uint8), q.reshape(-1, 32).view("u1")), 1)
    read = gguf.quants.dequantize(blocks.reshape(4, -1), gguf.GGMLQuantizationType.Q8_0)
    np.testing.assert_array_equal(mine.dequantize(q, halves.astype(np.float32)), read)
    integers = np.random.default_rng(1).integers(-8, 8, (4, 64), dtype=np.int8)
    packed = mine.pack_nibbles(integers).reshape(-1, 16)
    blocks = np.concatenate((halves.reshape(-1, 1).view(np.uint8), packed), 1)
    read = gguf.quants.dequantize(blocks.reshape(4, -1), gguf.GGMLQuantizationType.Q4_0)
    np.testing.assert_array_equal(mine.dequantize(integers, halves.astype(np.float32)), read)
    mine_read = [mine.read_q4_0(block.tobytes()) for block in blocks]
    np.testing.assert_array_equal(np.reshape(mine_read, read.shape), read)
    np.testing.assert_array_equal(mine.unpack_nibbles(packed.reshape(4, -1)), integers)
    q, scales, zeros = mine.quantize_zero_point(w)
    ends = np.stack((scales, zeros), -1).astype(np.float16)
    packed = mine.pack_nibbles(q.astype(np.int8) - np.int8(8)).reshape(-1, 16)
    blocks = np.concatenate((ends.reshape(-1, 2).view(np.uint8), packed), 1)
    read = gguf.quants.dequantize(blocks.reshape(4, -1), gguf.GGMLQuantizationType.Q4_1)
    scales, zeros = (one.astype(np.float32)[..., None] for one in (ends[..., 0], ends[..., 1]))
    np.testing.assert_array_equal((q.reshape(4, 2, 32) * scales + zeros).reshape(4, 64), read)


def test_exercises_name_tasks_that_there_are() -> None:
    for path in notebooks.chapters():
        prose = "\n".join(c.source for c in notebooks.read(path).cells if c.cell_type == "markdown")
        named = re.findall(r'check\("([\w.]+)", \w+\)', prose)
        assert any(name.startswith(f"{path.stem}.") for name in named), path.stem
        for name in named:
            find(name)
        others = re.search(
            rf'^check\("({path.stem}\.\w+)", \w+\)\n.*\n# also ((?:.*\n)+?)```', prose, re.MULTILINE
        )
        assert others is not None, path.stem
        rest = re.findall(r"\w+", others[2])
        assert {others[1], *(f"{path.stem}.{name}" for name in rest)} == {
            task.name for task in way_of(path.stem)
        }


@pytest.mark.parametrize("chapter", TITLES)
def test_every_coding_exercise_has_a_task(chapter: str) -> None:
    cells = notebooks.read(notebooks.BOOK / f"{chapter}.ipynb").cells
    prose = "\n".join(c.source for c in cells if c.cell_type == "markdown")
    coding = re.findall(r"exercise-start\} Code: (.+?)\{exercise-end\}", prose, re.DOTALL)
    assert coding
    for exercise in coding:
        named = re.search(r'check\("([\w.]+)", (\w+)\)', exercise)
        assert named is not None, exercise.partition("\n")[0]
        task = find(named[1])
        # A later chapter's task may have another name there.
        assert task.function == named[2] or task.chapter != chapter
        assert f"`{named[2]}(" in exercise  # the signature is stated


def test_an_exercise_s_answer_is_right() -> None:
    answer = _on_the_page("rope")["interleaved_rows"]
    assert check("checkpoints.neighbours_again", answer).ok


@pytest.mark.parametrize(
    "task", ["numpy_llama.attention_cached", "quantization.product", "swaps.interval"]
)
def test_tasks_without_tensors_need_no_torch(task: str) -> None:
    chapter, function = task.split(".")
    code = (
        "import sys\n"
        "sys.modules['torch'] = None\n"
        "from llama_tutorial import check\n"
        f"from llama_tutorial.workbook.solutions.{chapter} import {function}\n"
        f"assert check('{task}', {function}).ok\n"
        f"assert check('{task}', lambda *_: None).bug is None\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(notebooks.ROOT)}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
