"""The engine in JavaScript against the one in NumPy: files, logits, greedy and drawn ids."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from llama_tutorial import BPETokenizer, ModelConfig
from llama_tutorial.numpy_llama import NumpyLlama, llama2c
from llama_tutorial.numpy_llama.sampling import next_probabilities
from llama_tutorial.shipped import SHIPPED

PROMPT = [1, 300, 40, 7, 300]


def _tensors(config: ModelConfig, seed: int = 0) -> dict[str, np.ndarray]:
    """Random weights for a model."""
    draw = np.random.default_rng(seed)
    entries = llama2c.Header(1, config).entries()
    return {name: draw.normal(0, 0.2, shape).astype(np.float32) for name, shape in entries}


def _config(**changes) -> ModelConfig:
    sizes = {"dim": 24, "n_layers": 2, "n_heads": 6, "n_kv_heads": 3, "hidden_dim": 20}
    return ModelConfig(**(sizes | {"vocab_size": 37, "max_seq_len": 24} | changes))


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_shipped_models_give_numpys_logits_and_ids(engine, name: str) -> None:
    path = SHIPPED[name].llama2c
    model = NumpyLlama.load(path)
    ids = [token % model.config.vocab_size for token in PROMPT]
    np.testing.assert_allclose(
        engine("logits", model=path, ids=ids), model.forward(ids), atol=1e-4, rtol=0
    )
    room = model.config.max_seq_len - len(ids)
    greedy = engine("generate", model=path, ids=ids, options={"temperature": 0})
    assert greedy == model.generate([ids], room, temperature=0)[0]
    assert len(greedy) == room


@pytest.mark.parametrize("name", sorted(SHIPPED))
@pytest.mark.parametrize("seed", [0, 1, 7, -3, 2**40 + 5])
def test_one_seed_is_one_text(engine, name: str, seed: int) -> None:
    path = SHIPPED[name].llama2c
    given = {"seed": seed, "temperature": 0.8, "maxNewTokens": 60}
    drawn = engine("generate", model=path, ids=[1, 263], options=given)
    expected = NumpyLlama.load(path).generate([[1, 263]], 60, seed=seed, temperature=0.8)
    assert drawn == expected[0]


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ({"topK": 3, "topP": 1}, {"top_k": 3, "top_p": 1}),
        ({"topK": 1}, {"top_k": 1}),
        ({"topP": 0.3, "temperature": 1.5}, {"top_p": 0.3, "temperature": 1.5}),
        ({"topP": 1, "temperature": 1}, {"top_p": 1, "temperature": 1}),
        ({"topK": 9, "topP": 0.5}, {"top_k": 9, "top_p": 0.5}),
        ({"temperature": 1e-30}, {"temperature": 1e-30}),
        ({"topP": 0.9999999, "temperature": 2}, {"top_p": 0.9999999, "temperature": 2}),
        ({"topP": 1e-9}, {"top_p": 1e-9}),
        (
            {"minP": 0.2, "topP": 1, "temperature": 1.5},
            {"min_p": 0.2, "top_p": 1, "temperature": 1.5},
        ),
        ({"minP": 1}, {"min_p": 1}),
        ({"repetitionPenalty": 1.3}, {"repetition_penalty": 1.3}),
        (
            {"repetitionPenalty": 1.7, "temperature": 0},
            {"repetition_penalty": 1.7, "temperature": 0},
        ),
        ({"repetitionPenalty": 0.5, "minP": 0.01}, {"repetition_penalty": 0.5, "min_p": 0.01}),
        ({"repetitionPenalty": 1e30}, {"repetition_penalty": 1e30}),
    ],
)
def test_cuts_are_those_of_python(engine, options: dict, settings: dict) -> None:
    path = SHIPPED["tales-small"].llama2c
    for ids in ([1], [1, 300, 12], list(range(1, 120))):
        given = {"seed": 5, "maxNewTokens": 40} | options
        drawn = engine("generate", model=path, ids=ids, options=given)
        assert drawn == NumpyLlama.load(path).generate([ids], 40, seed=5, **settings)[0]


def test_without_a_seed_each_text_is_another(engine) -> None:
    path = SHIPPED["tales-small"].llama2c
    options = {"temperature": 1, "topP": 1, "maxNewTokens": 30}
    texts = [engine("generate", model=path, ids=[1], options=options) for _ in range(3)]
    assert texts[0] != texts[1] != texts[2]


def test_stop_ids_end_a_text_and_are_not_given(engine) -> None:
    path = SHIPPED["tales"].llama2c
    all_of_it = engine("generate", model=path, ids=[1], options={"temperature": 0})
    stop = all_of_it[10]
    options = {"temperature": 0, "stopIds": [stop]}
    assert (
        engine("generate", model=path, ids=[1], options=options)
        == all_of_it[: all_of_it.index(stop)]
    )


@pytest.mark.parametrize("case", [0, 1, 2])
def test_published_texts_of_the_260k_model(engine, assets: Path, case: int) -> None:
    golden = json.loads((assets / "stories260k_greedy.json").read_text())["cases"][case]
    path, fed = assets / "stories260K.bin", golden["prompt_ids"][:1] + golden["next_ids"]
    start = len(golden["prompt_ids"])
    options = {"temperature": 0, "maxNewTokens": len(fed) - start}
    assert engine("generate", model=path, ids=fed[:start], options=options) == fed[start:]
    words = engine("decode", tokenizer=assets / "tok512.bin", ids=fed)
    assert words == BPETokenizer.from_file(assets / "tok512.bin").decode(fed)
    logits = NumpyLlama.load(path).forward(fed[:40])
    np.testing.assert_allclose(
        engine("logits", model=path, ids=fed[:40]), logits, atol=1e-4, rtol=0
    )


@pytest.mark.parametrize("version", [0, 1, 2])
@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("n_kv_heads", [1, 3, 6])
def test_every_version_and_head_layout(
    engine, tmp_path: Path, version: int, tied: bool, n_kv_heads: int
) -> None:
    config = _config(tie_embeddings=tied, n_kv_heads=n_kv_heads)
    tensors = _tensors(config)
    path = tmp_path / "model.bin"
    llama2c.write(path, config, tensors, version=version, group_size=4)
    model = NumpyLlama.load(path)
    ids = [1, 36, 0, 5, 5, 17]
    np.testing.assert_allclose(
        engine("logits", model=path, ids=ids), model.forward(ids), atol=1e-4, rtol=0
    )
    found = engine("config", model=path)
    assert found == {name: getattr(config, name) for name in found}
    assert {"dim", "head_dim", "vocab_size", "tie_embeddings", "norm_eps"} <= found.keys()


def test_a_model_forgets_at_reset(engine) -> None:
    path = SHIPPED["tales-small"].llama2c
    once = engine("logits", model=path, ids=PROMPT[:3])
    assert engine("logits", model=path, ids=PROMPT[:3]) == once


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1}, "temperature=-1: must be 0"),
        ({"temperature": "x"}, "temperature=x: must be 0"),
        ({"topK": 0}, "topK=0: must be an integer of at least 1"),
        ({"topP": 0}, "topP=0: must be above 0"),
        ({"topP": 1.5}, "topP=1.5: must be above 0"),
        ({"minP": -0.1}, "minP=-0.1: must be 0"),
        ({"minP": 2}, "minP=2: must be 0"),
        ({"repetitionPenalty": 0}, "repetitionPenalty=0: must be above 0"),
        ({"repetitionPenalty": "x"}, "repetitionPenalty=x: must be above 0"),
        ({"seed": 0.5}, "seed=0.5: must be an integer"),
        ({"maxNewTokens": 9999}, "2 ids and maxNewTokens=9999: must fit into the context of"),
        ({"maxNewTokens": -1}, "maxNewTokens=-1: must"),
    ],
)
def test_settings_that_mean_nothing_are_refused(engine, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        engine("generate", model=SHIPPED["tales-small"].llama2c, ids=[1, 2], options=options)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "prompt is empty"),
        ([1, 99999], "id 99999: .* 0 to"),
        ([-1], "id -1"),
        ([0.5], "id 0.5"),
    ],
)
def test_ids_that_the_model_lacks_are_refused(engine, ids: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        engine(
            "generate", model=SHIPPED["tales-small"].llama2c, ids=ids, options={"maxNewTokens": 1}
        )


def test_a_full_context_is_refused(engine) -> None:
    path = SHIPPED["tales-small"].llama2c
    context = NumpyLlama.load(path).config.max_seq_len
    with pytest.raises(
        ValueError, match=f"position {context} does not fit .* context of {context}"
    ):
        engine("logits", model=path, ids=[1] * (context + 1))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_damaged_weights_end_generation(engine, tmp_path: Path, value: float) -> None:
    config, path = _config(), tmp_path / "model.bin"
    llama2c.write(path, config, _tensors(config), version=1)
    data = bytearray(path.read_bytes())
    data[-4:] = struct.pack("<f", value)  # the head's last weight
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"largest logit is (NaN|Infinity|-Infinity)"):
        engine("generate", model=path, ids=[1, 2], options={"maxNewTokens": 3})


def _damaged(seed: int, files: list[bytes]) -> bytes:
    """A file with numbers changed, cut, doubled or made of noise."""
    draw = np.random.default_rng(seed)
    data = bytearray(files[int(draw.integers(len(files)))])
    kind = draw.integers(5)
    if kind == 0:
        del data[int(draw.integers(len(data))) :]
    elif kind == 1:
        data += bytes(int(draw.integers(1, 64)))
    elif kind == 2:  # a number of the header
        at = 4 * int(draw.integers(11))
        values = [0, -1, 1, 2, 3, 7, 2**31 - 1, -(2**31), 2**24, 2**24 + 1, 1_000_003]
        data[at : at + 4] = struct.pack("<i", values[int(draw.integers(len(values)))])
    elif kind == 3:
        at = int(draw.integers(64))
        data[at] ^= 1 << int(draw.integers(8))
    else:
        data = bytearray(draw.bytes(int(draw.integers(300))))
    return bytes(data)


def _refusal(read: Callable[[Path], object], path: Path) -> str:
    """What a reader says of a file; nothing where it reads it."""
    try:
        read(path)
    except ValueError as error:
        return str(error)
    return ""


def test_damaged_files_are_errors_at_once(engine, tmp_path: Path) -> None:
    """What NumPy's reader refuses this refuses, with an Error that says why; and no other way."""
    config, files = _config(), []
    for version in (0, 1, 2):
        llama2c.write(tmp_path / "model.bin", config, _tensors(config), version, group_size=4)
        files.append((tmp_path / "model.bin").read_bytes())
    outcomes = {"read": 0, "refused": 0}
    for seed in range(600):
        path = tmp_path / "damaged.bin"
        path.write_bytes(_damaged(seed, files))
        found = engine("read", kind="Llama", path=path)
        assert found["ms"] < 1000, (seed, found)
        refused = _refusal(NumpyLlama.load, path)
        if "NaN or infinite" in refused:  # which this finds at the first logits
            refused = ""
        assert (found.get("name") == "Error") == bool(refused), (seed, found, refused)
        assert len(found.get("message", "a" * 20)) >= 20
        outcomes["refused" if refused else "read"] += 1
    assert outcomes["refused"] > 300, outcomes
    assert outcomes["read"] > 5, outcomes


@pytest.mark.parametrize("top_p", [1e-6, 0.3, 0.9, 0.999, 0.99999, 1])
@pytest.mark.parametrize("spread", [0, 1e-6, 0.1, 1, 10])
def test_cuts_keep_the_same_tokens_of_flat_and_steep_logits(engine, top_p, spread) -> None:
    """Where top-p leaves tokens unsorted too: the sizes of the others do not matter."""
    draw = np.random.default_rng(3)
    for size in (1, 2, 1024):
        logits = (
            (spread * draw.normal(size=size)).round(2 if spread > 0.1 else 7).astype(np.float32)
        )
        for top_k, min_p in ((None, 0), (7, 0), (None, 0.3)):
            given = {"temperature": 0.7, "topK": top_k, "topP": top_p, "minP": min_p}
            found = engine("probabilities", logits=logits.tolist(), **given)
            expected = next_probabilities(logits, 0.7, top_k, top_p, min_p)
            assert np.flatnonzero(found).tolist() == np.flatnonzero(expected).tolist()
            np.testing.assert_allclose(found, expected, rtol=1e-5)
