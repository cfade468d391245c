"""On a CUDA device: the same numbers as on the CPU. Needs torch, NumPy and pytest, nothing else."""

from __future__ import annotations

import copy

import pytest
import torch
from torch.nn import functional as F

from llama_tutorial import KVCache, ModelConfig, Transformer, generate, stream
from llama_tutorial.gqa import attention_weights, repeat_kv
from llama_tutorial.rope import apply_rope, rope_table
from llama_tutorial.sampling import draw, next_probabilities, repetition_penalty

pytestmark = pytest.mark.gpu

LLAMA = ModelConfig(
    dim=64, n_layers=3, n_heads=8, n_kv_heads=2, hidden_dim=96, vocab_size=211, max_seq_len=96
)
GPT2 = LLAMA.replace(
    n_kv_heads=8,
    norm="layernorm",
    feed_forward="gelu",
    positions="learned",
    bias=True,
    tie_embeddings=True,
)
CONFIGS = {"llama": LLAMA, "gpt2": GPT2}
PROMPTS = [[5], [1, 2, 3, 4, 5, 6, 7], [9, 8, 7], [200, 0, 200], [1, 2, 3]]

# TF32 is off by default for matrix products, so float32 on the GPU is float32.
TOLERANCE = {torch.float32: 1e-4, torch.float64: 1e-9}
DTYPES = [torch.float32, torch.float64]


def random_model(name: str, dtype: torch.dtype = torch.float32) -> Transformer:
    """On the CPU, with weights as large as a trained model's."""
    model = Transformer(CONFIGS[name]).double()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            if parameter.ndim == 2 and "embeddings" not in parameter_name:
                noise *= 1.5 / parameter.shape[1] ** 0.5
            if parameter.ndim == 1:
                is_scale = "norm" in parameter_name and parameter_name.endswith("weight")
                noise = 0.5 * noise + is_scale
            parameter.copy_(noise)
    return model.to(dtype)


def both(name: str, dtype: torch.dtype = torch.float32) -> tuple[Transformer, Transformer]:
    model = random_model(name, dtype)
    return model, copy.deepcopy(model).to("cuda")


def random_tokens(*shape: int) -> torch.Tensor:
    return torch.randint(211, shape, generator=torch.Generator().manual_seed(1))


def close(on_gpu: torch.Tensor, on_cpu: torch.Tensor, dtype: torch.dtype) -> None:
    assert on_gpu.device.type == "cuda"
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=0, atol=TOLERANCE[dtype])


def test_tf32_is_off():
    assert not torch.backends.cuda.matmul.allow_tf32


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_logits(name, dtype):
    cpu, gpu = both(name, dtype)
    tokens = random_tokens(3, 96)
    assert gpu(tokens.cuda()).dtype == dtype
    close(gpu(tokens.cuda()), cpu(tokens), dtype)


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_starts_and_documents(name):
    cpu, gpu = both(name, torch.float64)
    tokens = random_tokens(2, 20)
    starts, documents = torch.tensor([3, 40]), torch.tensor([[0] * 20, [1] * 5 + [2] * 9 + [1] * 6])
    expected = cpu(tokens, start=starts)
    for start in (starts, starts.cuda()):
        close(gpu(tokens.cuda(), start=start), expected, torch.float64)
    packed = gpu(tokens.cuda(), documents=documents.cuda())
    close(packed, cpu(tokens, documents=documents), torch.float64)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_cached_passes_equal_the_full_one(name, dtype):
    cpu, gpu = both(name, dtype)
    tokens = random_tokens(2, 30)
    cache = KVCache(gpu.config, 2, dtype=dtype, device="cuda")
    pieces = [gpu(piece, cache) for piece in tokens.cuda().split([11, 1, 1, 7, 10], dim=1)]
    close(torch.cat(pieces, 1), cpu(tokens), dtype)
    assert cache.k[0].device.type == "cuda"
    assert cache.length.device.type == "cpu"
    assert cache.length.tolist() == [30, 30]


@torch.no_grad()
def test_rows_at_different_positions():
    cpu, gpu = both("llama", torch.float64)
    tokens, lengths = random_tokens(2, 12), torch.tensor([4, 10])
    full = cpu(tokens)
    cache = KVCache(gpu.config, 2, dtype=torch.float64, device="cuda")
    gpu(tokens[:, :10].cuda(), cache)
    cache.length = lengths
    behind = torch.stack([tokens[row, n : n + 2] for row, n in enumerate(lengths)])
    expected = torch.stack([full[row, n : n + 2] for row, n in enumerate(lengths)])
    close(gpu(behind.cuda(), cache), expected, torch.float64)


@pytest.mark.parametrize(("H", "K"), [(8, 8), (8, 2), (8, 1)])
@pytest.mark.parametrize(("T", "S"), [(33, 33), (1, 70)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_every_attention_kernel_equals_the_written_out_path(H, K, T, S, dtype):
    generator = torch.Generator().manual_seed(0)
    q, k, v = (
        torch.randn(shape, generator=generator).to("cuda", dtype)
        for shape in ((2, H, T, 64), (2, K, S, 64), (2, K, S, 64))
    )
    q64, k64, v64 = (x.double() for x in (q, k, v))
    exact = attention_weights(q64, k64) @ repeat_kv(v64, H // K)
    rounding = max(1e-5, 2 * torch.finfo(dtype).eps)
    fused = F.scaled_dot_product_attention(q, k, v, is_causal=T > 1, enable_gqa=True)
    torch.testing.assert_close(fused.double(), exact, rtol=0, atol=rounding)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONFIGS)
def test_greedy_ids_of_a_ragged_batch(name, dtype):
    cpu, gpu = both(name, dtype)
    on_cpu = generate(cpu, PROMPTS, 40, temperature=0, logprobs=True)
    on_gpu = generate(gpu, PROMPTS, 40, temperature=0, logprobs=True)
    assert on_gpu[0] == on_cpu[0]
    for ours, theirs in zip(on_gpu[1], on_cpu[1], strict=True):
        assert ours == pytest.approx(theirs, abs=10 * TOLERANCE[dtype])
    alone = [generate(gpu, [prompt], 40, temperature=0)[0] for prompt in PROMPTS]
    assert alone == on_cpu[0]


@pytest.mark.parametrize("name", CONFIGS)
def test_a_seed_gives_the_ids_it_gives_on_the_cpu(name):
    cpu, gpu = both(name, torch.float64)
    settings = {"temperature": 0.9, "top_k": 100, "top_p": 0.95, "seed": 3}
    settings |= {"min_p": 0.01, "repetition_penalty": 1.2}
    on_cpu = generate(cpu, PROMPTS, 30, **settings)
    assert generate(gpu, PROMPTS, 30, **settings) == on_cpu
    assert list(stream(gpu, PROMPTS[1], 30, **settings)) == on_cpu[1]
    stop = on_cpu[1][7]
    settings["stop_ids"] = [stop]
    assert generate(gpu, PROMPTS, 30, **settings) == generate(cpu, PROMPTS, 30, **settings)


def test_generation_where_cuda_is_the_default_device():
    cpu, gpu = both("llama", torch.float64)
    expected = generate(cpu, PROMPTS, 9, temperature=1.0, seed=0)
    with torch.device("cuda"):
        assert generate(gpu, PROMPTS, 9, temperature=1.0, seed=0) == expected


def test_sampling_equals_the_cpus():
    logits = 4 * torch.randn(16, 32000, generator=torch.Generator().manual_seed(0)).double()
    uniform = torch.rand(16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ids = torch.randint(0, 32000, (16, 200), generator=torch.Generator().manual_seed(2))
    penalised = repetition_penalty(logits.cuda(), ids.cuda(), 1.3)
    close(penalised, repetition_penalty(logits, ids, 1.3), torch.float64)
    settings_of = [(0.6, None, 0.9), (1.0, 40, 1.0), (1.3, 500, 0.7), (1.0, None, 1.0)]
    for settings in (*settings_of, (1.5, None, 1.0, 0.05)):
        on_cpu = next_probabilities(logits, *settings)
        on_gpu = next_probabilities(logits.cuda(), *settings)
        close(on_gpu, on_cpu, torch.float64)
        drawn = draw(on_gpu, uniform)
        assert drawn.device.type == "cuda"
        assert drawn.tolist() == draw(on_cpu, uniform).tolist()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_half_precision(name, dtype):
    wide = random_model(name)
    gpu = copy.deepcopy(wide).to("cuda", dtype)
    tokens = random_tokens(2, 50)
    logits, expected = gpu(tokens.cuda()), wide(tokens)
    assert logits.dtype == torch.float32
    assert logits.isfinite().all()
    assert (logits.cpu() - expected).abs().mean() < 0.05 * expected.std()
    ids = generate(gpu, PROMPTS, 20, seed=0)
    assert [len(row) for row in ids] == [20] * 5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
def test_rope_tables_follow_and_keep_their_precision(dtype):
    config = LLAMA.replace(dim=256, n_heads=2, max_seq_len=4096)
    wide = torch.promote_types(dtype, torch.float32)
    cos, sin = rope_table(128, 4096, dtype=wide)
    for model in (
        Transformer(config).to("cuda").to(dtype),
        Transformer(config).to(dtype).cuda(),
        Transformer(config).to("cuda", dtype),
    ):
        assert model.device.type == model.rope.cos.device.type == "cuda"
        assert model.rope.cos.dtype == model.rope.sin.dtype == wide
        assert torch.equal(model.rope.cos.cpu(), cos)
        assert torch.equal(model.rope.sin.cpu(), sin)
        assert torch.equal(model.cpu().rope.cos, cos)


@torch.no_grad()
def test_weights_assigned_from_the_cpu_to_a_model_on_meta():
    source = random_model("llama")
    with torch.device("meta"):
        model = Transformer(LLAMA)
    model.load_state_dict({n: w.cuda() for n, w in source.state_dict().items()}, assign=True)
    tokens = random_tokens(2, 30)
    close(model(tokens.cuda()), source(tokens), torch.float32)


def test_a_model_built_on_the_device():
    with torch.device("cuda"):
        model = Transformer(LLAMA)
    assert {p.device.type for p in model.parameters()} == {"cuda"}
    assert model.rope.cos.device.type == "cuda"


def test_apply_rope():
    x = torch.randn(2, 4, 50, 64, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    tables = rope_table(64, 50, dtype=torch.float64)
    close(apply_rope(x.cuda(), *(t.cuda() for t in tables)), apply_rope(x, *tables), torch.float64)


@pytest.mark.parametrize("name", CONFIGS)
def test_gradients(name):
    cpu, gpu = both(name, torch.float64)
    tokens = random_tokens(2, 40)
    for model, ids in ((cpu, tokens), (gpu, tokens.cuda())):
        model(ids).logsumexp(-1).mean().backward()
    for ours, theirs in zip(gpu.parameters(), cpu.parameters(), strict=True):
        close(ours.grad, theirs.grad, torch.float64)


@torch.no_grad()
def test_compiled(unchecked):  # the compiler does not see through the shape check
    cpu, gpu = both("llama")
    tokens = random_tokens(2, 30)
    close(torch.compile(gpu)(tokens.cuda()), cpu(tokens), torch.float32)
