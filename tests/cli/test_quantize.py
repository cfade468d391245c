"""``--quantize``: what each command does with it, and what it refuses."""

from __future__ import annotations

import json

import pytest
from run_cli import run

pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")

from llama_tutorial import ModelConfig, Transformer, load, load_model, load_tokenizer, save_model
from llama_tutorial.cli import finetune
from llama_tutorial.quantization import packed
from llama_tutorial.quantization.linear import kind_of_model
from llama_tutorial.shipped import SHIPPED

GREEDY = ("--temperature", "0", "--max-new-tokens", "12")


@pytest.fixture(autouse=True)
def _no_warning(monkeypatch):
    """Without numba the commands say that they are slow."""
    monkeypatch.setattr(packed, "_warn_once", lambda: None)


@pytest.mark.parametrize("engine", ["torch", "numpy"])
@pytest.mark.parametrize("kind", ["int8", "int4"])
def test_generate_tells_what_the_packed_model_tells(capsys, engine, kind):
    options = ("generate", "Once upon a time", *GREEDY, "--engine", engine, "--quantize", kind)
    code, out, err = run(capsys, *options)
    assert (code, err) == (0, "")
    model, tokenizer = load("tales", engine=engine, quantize=kind)
    prompt = tokenizer.encode("Once upon a time", bos=True)
    if engine == "numpy":
        (ids,) = model.generate([prompt], 12, temperature=0)
    else:
        from llama_tutorial import generate

        (ids,) = generate(model, [prompt], 12, temperature=0)
    assert out == tokenizer.decode([*prompt, *ids]) + "\n"


@pytest.mark.parametrize("quantize", [(), ("--quantize", "int4")])
def test_both_engines_tell_the_same_from_a_gguf_file(tmp_path, capsys, quantize):
    pytest.importorskip("gguf")
    path = tmp_path / "small.gguf"
    words = ("convert", "tales-small", path, "--format", "gguf", "--quantize", "int4")
    assert run(capsys, *words)[0] == 0
    told = []
    for engine in ("torch", "numpy"):
        options = ("generate", "Once upon a time", *GREEDY, "--engine", engine, *quantize)
        code, out, err = run(capsys, *options, "--model", path)
        assert (code, err) == (0, "")
        told.append(out)
    assert told[0] == told[1] != ""


def test_convert_writes_packed_weights_and_info_shows_them(tmp_path, capsys):
    code, out, _ = run(capsys, "convert", "tales", tmp_path / "four", "--quantize", "int4")
    assert code == 0
    assert kind_of_model(load_model(tmp_path / "four")) == "int4"
    size = (tmp_path / "four" / "model.safetensors").stat().st_size
    assert f"{size:,} bytes" in out
    whole = run(capsys, "convert", "tales", tmp_path / "whole", "--dtype", "float32")[0]
    assert whole == 0
    assert size < 0.3 * (tmp_path / "whole" / "model.safetensors").stat().st_size
    code, out, _ = run(capsys, "info", tmp_path / "four")
    assert code == 0
    assert (
        "native, int4 in groups of 32, embedding and head int8, the rest bfloat16"
        in out.splitlines()[0]
    )
    code, out, err = run(capsys, "generate", "Once", *GREEDY, "--model", tmp_path / "four")
    assert (code, err) == (0, "")
    assert out.startswith("Once")


def test_info_says_what_packing_would_take(capsys):
    code, out, _ = run(capsys, "info", "llama-2-7b")
    assert code == 0
    assert "packed           7.2 GB of memory with --quantize int8, 3.9 GB with int4" in out


def test_finetune_trains_adapters_beside_packed_weights(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(finetune, "VALIDATION_DIALOGS", 4)
    config = ModelConfig(32, 1, 2, 1, 64, vocab_size=1024, max_seq_len=256, tie_embeddings=True)
    base = tmp_path / "base"
    save_model(Transformer(config), base, tokenizer=load_tokenizer(SHIPPED["tales"].tokenizer))
    options = ("finetune", "--model", base, "--lora", "--dialogs", 12, "--batch-size", 2)
    options += ("--rank", 2, "--targets", "wq", "w1", "--out", tmp_path / "run", "--epochs", 2)
    code, out, err = run(capsys, *options, "--quantize", "int4")
    assert (code, err) == (0, "")
    assert f"{2 * (32 + 32) + 2 * (32 + 64)} of them trained" in out
    assert (tmp_path / "run" / "model" / "adapter.json").exists()
    settings = json.loads((tmp_path / "run" / "settings.json").read_text())
    assert settings["data"]["quantize"] == "int4"
    model, _ = load(tmp_path / "run" / "model", quantize="int4")  # base and adapter, packed again
    assert kind_of_model(model) == "int4"
    # The run is one of a packed base, and goes on as no other.
    code, _, err = run(capsys, *options)
    assert code == 2
    assert "go on with the same settings, or choose another folder" in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ("convert", "tales", "OUT", "--format", "llama2c", "--quantize", "int8"),
            "--quantize int8: only --format native and gguf hold what it packs; llama2c-int8",
        ),
        (
            ("finetune", "--quantize", "int4", "--out", "OUT"),
            "--quantize int4: only with --lora; leave it out",
        ),
        (
            ("finetune", "--model", "FOUR", "--out", "OUT", "--dialogs", "24"),
            "is quantized to int4, and packed weights do not learn: train adapters beside them, "
            "with --lora",
        ),
        (
            ("generate", "--model", "FOUR", "--quantize", "int8"),
            "is quantized to int4 already, not",
        ),
        (
            ("convert", "FOUR", "OUT", "--format", "huggingface"),
            "--format huggingface does not hold a model that is quantized to int4: 'native' and "
            "'gguf' do; or save the floating model that it was made from",
        ),
        (("generate", "--quantize", "int2"), "argument --quantize: invalid choice: 'int2'"),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, options, message):
    if "FOUR" in options:
        assert run(capsys, "convert", "tales", tmp_path / "four", "--quantize", "int4")[0] == 0
    places = {"OUT": tmp_path / "out", "FOUR": tmp_path / "four"}
    code, _, err = run(capsys, *(places.get(option, option) for option in options))
    assert (code, err.count("\n")) == (2, 1)
    assert message in err
    assert not (tmp_path / "out").exists()
