"""The command line: what it prints, and how it fails."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys

import pytest
import torch
from run_cli import run

pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")

import llama_tutorial
from llama_tutorial import (
    ModelConfig,
    Tokenizer,
    Transformer,
    generate,
    hub,
    load_model,
    save_model,
)
from llama_tutorial.shipped import SHIPPED

TALES = ["--checkpoint", "tales", "--tokenizer", SHIPPED["tales"].tokenizer]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A native checkpoint with a tokenizer of its own: nothing that has to be downloaded."""
    text = ["the cat sat on the mat", "a dog ran to the park", "the sun was warm"] * 50
    tokenizer = Tokenizer.train(text, 300)
    torch.manual_seed(0)
    model = Transformer(
        ModelConfig(32, 2, 4, 2, 64, vocab_size=tokenizer.vocab_size, max_seq_len=48)
    )
    path = tmp_path_factory.mktemp("checkpoint") / "model"
    save_model(model, path, tokenizer=tokenizer)
    return path


@pytest.mark.parametrize("case", [0, 1, 2])
def test_generate_prints_the_published_text_to_the_letter(assets, capsys, case):
    golden = json.loads((assets / "stories260k_greedy.json").read_text())["cases"][case]
    code, out, err = run(
        capsys,
        *("generate", "--checkpoint", assets / "stories260K.bin"),
        *("--tokenizer", assets / "tok512.bin", "--temperature", 0, "--max-new-tokens", 256),
        *("--prompt", golden["prompt"]),
    )
    assert (code, out, err) == (0, golden["text"] + "\n", "")


def test_generate_takes_the_tokenizer_from_the_folder(folder, capsys):
    options = ("generate", "--checkpoint", folder, "--prompt", "the cat", "--seed", 3)
    code, out, err = run(capsys, *options, "--max-new-tokens", 12)
    assert (code, err) == (0, "")
    assert out.startswith("the cat")
    assert run(capsys, *options, "--max-new-tokens", 12)[1] == out
    assert run(capsys, *options, "--max-new-tokens", 0)[1] == "the cat\n"


def test_generate_goes_to_the_end_of_the_context_by_default(folder, capsys):
    code, out, _ = run(capsys, "generate", "--checkpoint", folder, "--temperature", 0)
    assert code == 0
    assert out.strip()


@pytest.mark.parametrize(
    "options", [["--temperature", 0], ["--seed", 3], ["--top-k", 5, "--seed", 1]]
)
def test_both_engines_print_the_same(folder, tmp_path, capsys, options):
    save_model(load_model(folder), tmp_path / "model.bin", "llama2c")
    command = ["generate", "--checkpoint", tmp_path / "model.bin", "--prompt", "the cat", *options]
    command += ["--tokenizer", folder / "tokenizer.model"]
    code, out, err = run(capsys, *command, "--engine", "numpy")
    assert (code, err) == (0, "")
    assert out.startswith("the cat")
    assert run(capsys, *command, "--engine", "torch")[1] == out
    assert run(capsys, *command)[1] == out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--dtype", "bfloat16"], "on the CPU, not with --dtype bfloat16; leave it out"),
        (["--device", "cuda"], "on the CPU, not with --device cuda; leave it out"),
        ([], "is a folder; a llama2.c checkpoint is one file; the NumPy engine reads llama2.c's"),
        (["--checkpoint", "none.bin"], "none.bin: no such file or folder, and no model of this"),
        (["--checkpoint", "tales"], "they do not belong together; give the model's own"),
        (["--max-new-tokens", "999", *TALES], "that is more than the context of 256; shorten one"),
    ],
)
def test_what_the_numpy_engine_does_not_take(folder, capsys, options, message):
    given = ["--checkpoint", folder, "--tokenizer", folder / "tokenizer.model", *options]
    code, out, err = run(capsys, "generate", "--engine", "numpy", *given)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


def test_generate_in_bfloat16(folder, capsys):
    assert run(capsys, "generate", "--checkpoint", folder, "--dtype", "bfloat16")[0] == 0


def test_it_runs_as_a_module(folder):
    command = [sys.executable, "-m", "llama_tutorial", "generate", "--checkpoint", str(folder)]
    done = subprocess.run([*command, "--temperature", "-1"], capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == (
        "llama-tutorial: --temperature -1.0: must be 0 (the likeliest token) or above\n"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--temperature", "-0.5"], "--temperature -0.5: must be 0 (the likeliest token) or above"),
        (["--temperature", "nan"], "--temperature nan: must be 0"),
        (["--temperature", "hot"], "argument --temperature: invalid float value: 'hot'"),
        (["--top-p", "0"], "--top-p 0.0: must be above 0 and at most 1"),
        (["--top-p", "1.01"], "--top-p 1.01: must be above 0 and at most 1"),
        (["--top-k", "0"], "--top-k 0: must be a whole number of at least 1"),
        (
            ["--max-new-tokens", "48"],
            "with --max-new-tokens 48 that is more than the context of 48",
        ),
        (["--max-new-tokens", "-1"], "--max-new-tokens -1: must be 0 or above"),
        (["--prompt", "cat " * 60], "more than the context of 48: shorten it"),
        (["--tokenizer", "missing.model"], "missing.model"),
        (["--device", "warp"], "--device warp: cannot be used here; this machine has cpu"),
        (["--device", "meta"], "--device meta: it holds shapes and no numbers; take cpu or cuda"),
        (["--dtype", "int8"], "argument --dtype: invalid choice: 'int8'"),
        (["--chekpoint", "x"], "unrecognized arguments: --chekpoint"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(folder, capsys, options, message):
    code, out, err = run(capsys, "generate", "--checkpoint", folder, *options)
    assert (code, out) == (2, "")
    assert message in err
    assert err.startswith("llama-tutorial")
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    "option", ["--temperature nan", "--top-k 0", "--top-p 2.0", "--max-new-tokens -1"]
)
def test_a_mistake_names_the_option_before_any_work(capsys, monkeypatch, option):
    monkeypatch.setattr(hub, "load", lambda *_, **__: pytest.fail("that is work"))
    assert run(capsys, "generate", *option.split())[0] == 2
    code, _, err = run(capsys, "chat", *option.split())
    assert (code, err.count("\n")) == (2, 1)
    assert f"{option}: must be" in err


def test_bad_files_are_one_line_and_exit_code_2(folder, capsys, tmp_path):
    foreign = tmp_path / "foreign.bin"
    foreign.write_text("import this\n" * 100)
    empty = tmp_path / "empty.bin"
    empty.touch()
    other = tmp_path / "other.model"
    Tokenizer.train(["one two three four five six seven"] * 50, 280).save(other)
    for options, message in [
        (("--checkpoint", tmp_path / "none.bin", "--tokenizer", other), "none.bin"),
        (("--checkpoint", foreign, "--tokenizer", other), "foreign.bin"),
        (("--checkpoint", empty, "--tokenizer", other), "empty.bin is empty (0 bytes)"),
        (("--checkpoint", folder, "--tokenizer", foreign), "foreign.bin"),
        (("--checkpoint", foreign), "foreign.bin comes without a tokenizer: give one with"),
        (("--checkpoint", folder, "--tokenizer", other), "they do not belong together"),
    ]:
        code, out, err = run(capsys, "generate", *options)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert message in err


def test_no_command_at_all_shows_the_help(capsys):
    code, out, err = run(capsys)
    assert (code, err) == (0, "")
    assert "usage: llama-tutorial" in out
    assert "continue a text" in out


def test_the_version(capsys):
    code, out, _ = run(capsys, "--version")
    assert (code, out) == (0, f"llama-tutorial {llama_tutorial.__version__}\n")


def test_texts_to_continue_are_given_in_many_ways(folder, capsys, monkeypatch, tmp_path):
    options = ("--model", folder, "--temperature", 0, "--max-new-tokens", 3)
    _, cat, err = run(capsys, "generate", "the cat", *options)
    assert cat.startswith("the cat")
    assert err == ""
    assert run(capsys, "generate", "--prompt", "the cat", *options)[1] == cat
    (tmp_path / "a.txt").write_text("the cat\n")
    assert run(capsys, "generate", "--prompt-file", tmp_path / "a.txt", *options)[1] == cat
    monkeypatch.setattr(sys, "stdin", io.StringIO("the cat\n"))
    assert run(capsys, "generate", "-", *options)[1] == cat
    dog = run(capsys, "generate", "a dog", *options)[1]
    assert run(capsys, "generate", "the cat", "a dog", *options)[1] == f"{cat}\n{dog}"
    for wrong in ("none.txt", tmp_path):
        code, _, err = run(capsys, "generate", "--prompt-file", wrong, *options)
        assert (code, err.count("\n")) == (2, 1)


def test_several_samples_are_those_of_the_seeds_from_there_on(folder, capsys):
    options = ("generate", "the cat", "--model", folder, "--max-new-tokens", 5)
    each = [run(capsys, *options, "--seed", seed)[1] for seed in (3, 4)]
    both = run(capsys, *options, "--seed", 3, "--num-samples", 2)[1]
    assert both == "\n".join(each)
    assert run(capsys, *options, "--num-samples", 0)[0] == 2


@pytest.mark.parametrize("engine", ["torch", "numpy"])
def test_how_fast_it_was_and_why_it_stopped(capsys, engine):
    options = ("generate", "Once", "--engine", engine, "--seed", 0, "--stats")
    code, _, err = run(capsys, *options, "--max-new-tokens", 3)
    assert code == 0
    assert re.fullmatch(
        r"\[\d tokens read, 3 written; the first after [\d.]+ s, then \d+ tokens/s; "
        r"--max-new-tokens is reached\]\n",
        err,
    )
    assert "the text has ended]" in run(capsys, *options)[2]


@pytest.mark.parametrize("engine", ["torch", "numpy"])
def test_a_text_ends_before_a_stop_string_and_it_is_named(capsys, engine):
    options = ("generate", "Once upon a time", "--engine", engine, "--seed", 0, "--stats")
    whole = run(capsys, *options)[1].rstrip("\n")
    told = whole.removeprefix("Once upon a time")
    word = told.split()[9]
    for stop in (word, word[1:], f"{told.split()[8][-1]} {word[0]}", told[40:60]):
        code, out, err = run(capsys, *options, "--stop", "time", "--stop", stop, "--stop", "\u2603")
        assert (code, out) == (0, whole[: -len(told)] + told[: told.index(stop)] + "\n")
        assert err.endswith(f"; --stop {stop!r} is reached]\n")
    assert run(capsys, *options, "--stop", "\u2603")[1] == whole + "\n"


@pytest.mark.parametrize("engine", ["torch", "numpy"])
def test_min_p_and_the_penalty_reach_the_engine(capsys, engine):
    options = ("generate", "Once", "--model", "tales-small", "--engine", engine)
    options += ("--max-new-tokens", 30)
    model, tokenizer = hub.load("tales-small", engine=engine)
    one = model.generate if engine == "numpy" else lambda *a, **b: generate(model, *a, **b)
    prompt = tokenizer.encode("Once", bos=True)
    for settings in (
        {"temperature": 0.0, "repetition_penalty": 1.5},
        {"temperature": 2.0, "top_p": 1.0, "min_p": 0.1, "seed": 3},
    ):
        given = [f"--{name.replace('_', '-')}={value}" for name, value in settings.items()]
        (ids,) = one([prompt], 30, stop_ids={1, 2}, **settings)
        assert run(capsys, *options, *given)[1] == tokenizer.decode(prompt + ids) + "\n"


@pytest.mark.parametrize("command", ["generate", "chat"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--min-p 2", "--min-p 2.0: must be at least 0, which keeps all, and at most 1"),
        ("--min-p nan", "--min-p nan: must be at least 0, which keeps all, and at most 1"),
        ("--min-p=-0.1", "--min-p -0.1: must be at least 0, which keeps all, and at most 1"),
        ("--repetition-penalty 0", "--repetition-penalty 0.0: must be above 0 and finite; 1 is no"),
        ("--repetition-penalty=-1", "--repetition-penalty -1.0: must be above 0 and finite; 1 is"),
        ("--repetition-penalty inf", "--repetition-penalty inf: must be above 0 and finite; 1 is"),
        ("--repetition-penalty x", "--repetition-penalty: invalid float value: 'x'"),
        ("--stop=", "--stop '': each must be a text of at least one character"),
        ("--stop=a\udcff", "holds half of a surrogate pair, which no text has"),
        ("--top-k 0", "--top-k 0: must be a whole number of at least 1, or left out for all"),
    ],
)
def test_sampling_that_means_nothing(capsys, command, options, message):
    code, out, err = run(capsys, command, "--engine", "numpy", *options.split())
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


HELP = """
import sys
from llama_tutorial.cli import main
for command in ([], ["generate"], ["chat"], ["convert"], ["info"], ["evaluate"],
                ["pretrain"], ["finetune"], ["prefer"]):
    try:
        main([*command, "--help"])
    except SystemExit:
        pass
print("loaded", [name for name in ("torch", "sentencepiece") if name in sys.modules])
"""


def test_help_shows_the_defaults_and_loads_nothing_heavy():
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=True)
    text = " ".join(done.stdout.split())
    assert text.endswith("loaded []")
    assert "0: the likeliest token (default: 0.6)" in text
    assert "of weights, data and order (default: 0)" in text
    assert "a finished run may get more (default: 1, large models 2)" in text
    assert "of the output (default: native)" in text
    assert "(default: [])" not in text
    assert "compile the model --" in text  # a switch is off by default


def test_info_counts_a_preset_and_a_checkpoint(folder, capsys):
    code, out, _ = run(capsys, "info", "llama-2-7b")
    assert code == 0
    for figure in ("6,738,415,616", "524,288 bytes in 16 bits", "n_kv_heads       32"):
        assert figure in out
    code, out, _ = run(capsys, "info", folder)
    assert code == 0
    assert "float32" in out
    assert "n_kv_heads       2" in out


def test_info_names_the_presets_where_a_name_is_unknown(capsys):
    code, out, err = run(capsys, "info", "llama-2-8b")
    assert (code, out) == (2, "")
    assert "llama-2-8b: no such file or folder, no model, no preset; those are tales, " in err
