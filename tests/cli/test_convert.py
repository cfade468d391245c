"""``convert`` and ``info``: every format to every other, from a shell."""

from __future__ import annotations

import json
import re

import pytest
import torch

pytest.importorskip("safetensors")
pytest.importorskip("gguf")
pytest.importorskip("sentencepiece")

from run_cli import run
from small_models import GPT2, LLAMA, random_model

from llama_tutorial import Tokenizer, load, load_model, save_model
from llama_tutorial._util.gguf_file import read_header
from llama_tutorial.checkpoints import FORMATS

LLAMA = LLAMA.replace(hidden_dim=48, vocab_size=290)


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["the cat sat on the mat", "a dog ran to the park"] * 50, 290)


@pytest.fixture(scope="module")
def every(tmp_path_factory, tokenizer):
    """One model in every format."""
    folder = tmp_path_factory.mktemp("every")
    for format in FORMATS:
        pieces = None if format.startswith("llama2c") else tokenizer
        save_model(random_model(LLAMA), folder / format, format, tokenizer=pieces, group_size=8)
    return folder


def same_weights(model, other):
    state, expected = model.state_dict(), other.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], tensor) for name, tensor in expected.items())


def test_the_help_names_every_format(capsys):
    code, out, _ = run(capsys, "convert", "--help")
    assert code == 0
    assert all(re.search(rf"\b{name}\b", out) for name in FORMATS)


@pytest.mark.parametrize("target", [name for name in FORMATS if name != "llama2c-int8"])
@pytest.mark.parametrize("source", FORMATS)
def test_every_format_becomes_every_other(every, tmp_path, capsys, source, target, tokenizer):
    output = tmp_path / "out"
    code, out, err = run(capsys, "convert", every / source, output, "--format", target)
    assert (code, err) == (0, "")
    model, expected = load_model(output), load_model(every / source)
    assert model.config == expected.config
    same_weights(model, expected)
    files = sorted(output.iterdir()) if output.is_dir() else sorted(tmp_path.iterdir())
    sizes = [f"{file.stat().st_size:,} bytes  {file}" for file in files]
    assert [line.strip() for line in out.splitlines() if "For llama" not in line] == sizes
    if not source.startswith("llama2c"):
        assert load(output)[1].encode("the cat") == tokenizer.encode("the cat")


@pytest.mark.parametrize(("format", "program"), [("llama2c", "run"), ("llama2c-int8", "runq")])
def test_llama2cs_tokenizer_lies_beside_the_file(tmp_path, capsys, format, program):
    output = tmp_path / "my tales.bin"
    code, out, _ = run(capsys, "convert", "tales", output, "--format", format)
    pieces = tmp_path / "my tales.tokenizer.bin"
    assert code == 0
    assert f"For llama2.c: ./{program} '{output}' -z '{pieces}'\n" in out
    for engine in ("torch", "numpy"):
        assert load(output, engine=engine)[1].encode("Once") == load("tales")[1].encode("Once")
    assert load(output, tokenizer="tales-chat")[1].vocab_size == 1024


def test_a_tokenizer_that_llama2c_cannot_hold_is_said(tmp_path, capsys):
    text = ["the cat sat on the mat", "a dog ran to the park"] * 50
    pieces = Tokenizer.train(text, 277, model_type="unigram")
    model = random_model(LLAMA.replace(vocab_size=277))
    save_model(model, tmp_path / "native", tokenizer=pieces)
    code, out, _ = run(
        capsys, "convert", tmp_path / "native", tmp_path / "x", "--format", "llama2c"
    )
    assert code == 0
    assert "The tokenizer is not written: " in out
    assert load_model(tmp_path / "x").config.vocab_size == 277


def test_the_chat_model_says_how_to_lay_out_a_dialog(tmp_path, capsys):
    for name, options in {"tales": (), "tales-chat": (), "asked": ("--chat-template",)}.items():
        model = name if name != "asked" else "tales"
        options = ("convert", model, tmp_path / name, "--format", "huggingface", *options)
        assert run(capsys, *options)[0] == 0
        about = json.loads((tmp_path / name / "tokenizer_config.json").read_text())
        assert ("chat_template" in about) == (name != "tales")


def test_llama_cpps_file_holds_all(tmp_path, capsys):
    output = tmp_path / "my tales.gguf"
    words = ("convert", "tales-chat", output, "--format", "gguf", "--quantize", "int8")
    code, out, err = run(capsys, *words)
    assert (code, err) == (0, "")
    assert out.endswith(f"For llama.cpp: llama-completion -m '{output}'\n")
    metadata = read_header(output).metadata
    assert "[INST]" in metadata["tokenizer.chat_template"]  # tales-chat says so anyway
    code, out, _ = run(capsys, "info", output)
    assert out.startswith(f"{output}: GGUF, version 3, Q8_0 and F32\n")
    assert "  tokenizer        1,024 pieces, my tales.gguf\n" in out
    code, out, err = run(capsys, "generate", "--model", output, "--temperature", "0")
    assert code == 0
    assert out.startswith("Once") or len(out) > 20
    (tmp_path / "notes").write_text("notes of mine")
    words = ("convert", "tales", tmp_path / "notes", "--format", "gguf", "--force")
    code, _, err = run(capsys, *words)
    assert code == 2
    assert "notes is there already and no GGUF file, and --force replaces nothing else" in err


def test_int8_in_groups(every, tmp_path, capsys):
    options = ("--format", "llama2c-int8", "--group-size", 8)
    assert run(capsys, "convert", every / "native", tmp_path / "q.bin", *options)[0] == 0
    same_weights(load_model(tmp_path / "q.bin"), load_model(every / "llama2c-int8"))


def test_another_dtype_and_several_shards(every, tmp_path, capsys):
    options = ("--format", "meta", "--shards", 2, "--dtype", "bfloat16")
    assert run(capsys, "convert", every / "huggingface", tmp_path / "out", *options)[0] == 0
    assert len(list((tmp_path / "out").glob("*.pth"))) == 2
    same_weights(load_model(tmp_path / "out"), random_model(LLAMA).bfloat16())


def test_a_model_of_the_packages_own(tmp_path, capsys):
    code, _, _ = run(capsys, "convert", "tales", tmp_path / "out", "--format", "huggingface")
    assert code == 0
    model, pieces = load(tmp_path / "out")
    assert model.dtype == torch.bfloat16  # as they are stored
    same_weights(model, load("tales", dtype="bfloat16")[0])
    assert pieces.encode("Once") == load("tales")[1].encode("Once")


def test_a_tokenizer_that_is_given(every, tmp_path, capsys):
    pieces = every / "native" / "tokenizer.model"
    options = ("convert", every / "llama2c", tmp_path / "out", "--tokenizer", pieces)
    assert run(capsys, *options)[0] == 0
    assert load(tmp_path / "out")[1].vocab_size == 290


def test_metas_tokenizer_lies_one_folder_above(every, tmp_path, capsys):
    download = tmp_path / "download" / "llama-2-7b"
    download.parent.mkdir()
    save_model(random_model(LLAMA), download, "meta")
    pieces = (every / "native" / "tokenizer.model").read_bytes()
    (tmp_path / "download" / "tokenizer.model").write_bytes(pieces)
    assert load(download)[1].vocab_size == 290
    assert run(capsys, "convert", download, tmp_path / "out")[0] == 0
    assert (tmp_path / "out" / "tokenizer.model").read_bytes() == pieces


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--format", "onnx"), "argument --format: invalid choice: 'onnx'"),
        (("--quantize", "q8_0"), "--quantize q8_0 is a form of --format gguf alone"),
        (("--format", "gguf", "--quantize", "q2_k"), "argument --quantize: invalid choice: 'q2_k'"),
        (
            ("--format", "meta", "--quantize", "int8"),
            "--quantize int8: only --format native and gg",
        ),
        (("--format", "llama2c", "--tokenizer", "x"), "x does not exist"),
        (("--chat-template",), "--chat-template belongs to a tokenizer in --format huggingface"),
        (("--format", "llama2c-int8"), "--group-size 64: must divide"),
        (("--shards", 2), "--shards 2: --format native is not cut; only 'meta' is"),
        (("--format", "meta", "--shards", 5), "--shards 5 does not divide dim=24"),
        (("--tokenizer", "missing.model"), "missing.model does not exist"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(every, tmp_path, capsys, options, message):
    code, out, err = run(capsys, "convert", every / "native", tmp_path / "out", *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err
    assert not list(tmp_path.iterdir())


def test_what_a_format_cannot_hold(tmp_path, capsys):
    save_model(random_model(GPT2), tmp_path / "gpt2")
    for format, reason in {
        "meta": "Meta's format cannot hold norm='layernorm'",
        "llama2c": "llama2.c's files cannot hold norm='layernorm'",
    }.items():
        code, _, err = run(capsys, "convert", tmp_path / "gpt2", tmp_path / "x", "--format", format)
        assert code == 2
        assert reason in err
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("format", "title"),
    [
        ("native", "native, float32"),
        ("huggingface", "Hugging Face, llama, float32"),
        ("meta", "Meta, 1 shard, float32"),
        ("llama2c", "llama2.c, version 0, float32"),
        ("llama2c-v1", "llama2.c, version 1, float32"),
        ("llama2c-int8", "llama2.c, version 2, int8 in groups of 8"),
        ("gguf", "GGUF, version 3, F32"),
    ],
)
def test_info_knows_every_format(every, capsys, format, title):
    code, out, err = run(capsys, "info", every / format)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == f"{every / format}: {title}"
    assert f"  parameters       {LLAMA.n_params:,}" in lines


def test_info_names_two_types_and_several_shards(tmp_path, capsys):
    save_model(random_model(LLAMA).bfloat16(), tmp_path / "model", "meta", shards=2)
    for path in (tmp_path / "model").glob("*.pth"):  # not by save_model, which refuses this
        state = torch.load(path)
        torch.save({**state, "norm.weight": state["norm.weight"].float()}, path)
    out = run(capsys, "info", tmp_path / "model")[1]
    assert out.startswith(f"{tmp_path / 'model'}: Meta, 2 shards, bfloat16 and float32\n")


def test_info_says_what_is_wrong(tmp_path, capsys):
    save_model(random_model(LLAMA), tmp_path / "model", "meta")
    (tmp_path / "model" / "params.json").unlink()
    code, out, err = run(capsys, "info", tmp_path / "model")
    assert (code, out) == (2, "")
    assert "params.json: no such file" in err


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_there_is_replaced_only_by_force(every, tmp_path, capsys, format):
    output = tmp_path / "out"
    words = ("convert", every / "native", output, "--format", format, "--group-size", 8)
    assert run(capsys, *words)[0] == 0
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}
    code, out, err = run(capsys, *words[:1], every / "meta", *words[2:])
    assert (code, out) == (2, "")
    said = "is there already: --force replaces it, or give another name"
    assert err == f"llama-tutorial: {output} {said}\n"
    other = random_model(LLAMA, seed=1)
    save_model(other, tmp_path / "other", tokenizer=load(every / "native")[1])
    assert all(file.read_bytes() == data for file, data in before.items())
    assert run(capsys, "convert", tmp_path / "other", *words[2:], "--force")[0] == 0
    if format != "llama2c-int8":
        same_weights(load_model(output), other)
    assert output.is_dir() == (format in ("native", "meta", "huggingface"))


def test_force_replaces_checkpoints_of_the_same_format_alone(every, tmp_path, capsys):
    save_model(random_model(LLAMA), tmp_path / "native")
    words = ("convert", every / "native", tmp_path / "native", "--format", "meta", "--force")
    code, _, err = run(capsys, *words)
    assert code == 2
    assert "is there already and no checkpoint of Meta's format; choose another name" in err
    # An empty folder is nothing; a tokenizer that lies where one would be written is something.
    (tmp_path / "empty").mkdir()
    assert run(capsys, "convert", every / "native", tmp_path / "empty")[0] == 0
    (tmp_path / "x.tokenizer.bin").touch()
    words = ("convert", every / "native", tmp_path / "x.bin", "--format", "llama2c")
    code, _, err = run(capsys, *words)
    assert (code, (tmp_path / "x.bin").exists()) == (2, False)
    assert f"{tmp_path / 'x.tokenizer.bin'} is there already: --force" in err


@pytest.mark.parametrize("name", ["x.bin", "x.tokenizer.bin"])
def test_force_replaces_no_other_file(every, tmp_path, capsys, name):
    (tmp_path / name).write_text("notes of mine")
    words = ("convert", every / "native", tmp_path / "x.bin", "--format", "llama2c", "--force")
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert f"{tmp_path / name} is there already and no " in err
    assert (tmp_path / name).read_text() == "notes of mine"
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_an_empty_name_is_no_output(every, capsys):
    code, _, err = run(capsys, "convert", every / "native", "")
    assert (code, err) == (2, "llama-tutorial: OUTPUT is empty: name the file or folder to write\n")


def test_info_takes_one_model(every, capsys):
    code, _, err = run(capsys, "info", "tales", "--model", every / "native")
    assert code == 2
    assert "tales is given already; leave one out" in err


def test_info_shows_tokenizer_size_and_memory(every, tmp_path, capsys):
    def lines(model):
        code, out, err = run(capsys, "info", model)
        assert (code, err) == (0, "")
        return dict(re.findall(r"^  (\S.{15}) (.*)$", out, re.MULTILINE))

    found = {name.strip(): text for name, text in lines(every / "native").items()}
    n_bytes = sum(file.stat().st_size for file in (every / "native").iterdir())
    assert found["on disk"] == f"{n_bytes:,} bytes in 3 files"
    assert found["tokenizer"] == "290 pieces, tokenizer.model"
    n, cache = LLAMA.n_params, 2 * 2 * 24 * LLAMA.max_seq_len  # keys and values, 2 layers of 24
    assert (
        found["weights"]
        == f"{2 * n / 1e3:.1f} kB of memory in 16 bits, {4 * n / 1e3:.1f} kB in float32"
    )
    both = n + cache
    assert found["and full cache"].startswith(f"{2 * both / 1e3:.1f} kB of memory in 16 bits, ")
    assert found["and full cache"].endswith(f"{4 * both / 1e3:.1f} kB in float32")
    found = {name.strip(): text for name, text in lines(every / "llama2c").items()}
    assert found["on disk"] == f"{(every / 'llama2c').stat().st_size:,} bytes"
    assert found["tokenizer"].startswith("none comes with it; --tokenizer")
    save_model(random_model(LLAMA), tmp_path / "model")
    (tmp_path / "model" / "tokenizer.model").write_text("no tokenizer")
    assert "cannot be read: " in lines(tmp_path / "model")["tokenizer".ljust(16)]
    seven = {name.strip(): text for name, text in lines("llama-2-7b").items()}
    assert seven["weights"] == "13.5 GB of memory in 16 bits, 27.0 GB in float32"
    assert seven["and full cache"] == "15.6 GB of memory in 16 bits, 31.2 GB in float32"
