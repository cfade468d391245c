"""What a shell reads of an error: commands and options, and no name of the Python API."""

from __future__ import annotations

import ast
import io
import json
import re
import shutil
import sys
from argparse import Namespace
from dataclasses import fields
from types import SimpleNamespace

import api_page
import pytest
import torch
from run_cli import run

pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")

from small_models import GPT2, LLAMA, random_model

import llama_tutorial
from llama_tutorial import ModelConfig, Tokenizer, load, load_model, load_tokenizer, save_model
from llama_tutorial._util import torch_names
from llama_tutorial.cli import engines
from llama_tutorial.cli.options import for_shell
from llama_tutorial.cli.parser import LINEAR, make_parser
from llama_tutorial.model import Transformer
from llama_tutorial.shipped import SHIPPED

IN_FILES = frozenset(field.name for field in fields(ModelConfig))
DESTINATIONS = {
    action.dest
    for command in make_parser()._subparsers._group_actions[0].choices.values()
    for action in command._actions
}
CALL = re.compile(r"\b[A-Za-z_][\w.]*\((?!s\))")  # "load_model(", but not "file(s)"
PYTHON = re.compile(
    rf"\b({'|'.join(llama_tutorial._HOME)}|NumpyLlama|save_adapter|load_adapter)\b(?<!\bload\b)"
    r"(?<!\bgenerate\b)(?<!\bTokenizer\b)(?<!\bstream\b)"
)


def python_names(message: str, allowed: frozenset[str] = IN_FILES) -> list[str]:
    """What of Python stands in a message; fields of a model's configuration are no Python."""
    names = set(re.findall(r"(?<![\w/\\.-])([a-z]\w*)=", message))
    return [
        *sorted((names & DESTINATIONS) - allowed),
        *CALL.findall(message),
        *PYTHON.findall(message),
    ]


@pytest.mark.parametrize(
    ("message", "arguments", "expected"),
    [
        ("top_p=2.0: must be", {"top_p": 2.0}, "--top-p 2.0: must be"),
        ("peak_lr=inf: must", {"peak_lr": 1.0}, "--lr inf: must"),
        ("chat_template=True belongs to", {"chat_template": True}, "--chat-template belongs to"),
        ("save with format='native'", {"format": "meta"}, "save with --format native"),
        ("targets=('a', 'b'): name", {"targets": ["a", "b"]}, "--targets a b: name"),
        ("targets: no linear layer", {"targets": ["a"]}, "--targets: no linear layer"),
        ("pass tokenizer=", {"tokenizer": None}, "pass --tokenizer"),
        ("with tokenizer= (on the command line, --tokenizer)", {}, "with --tokenizer"),
        ("warmup_steps=9: not total_steps=3", {"warmup_steps": 9}, "--warmup 9: not 3 steps"),
        # A field of the model is an option only with the value that was given.
        ("x: max_seq_len=-1: must", {"max_seq_len": 64}, "x: max_seq_len=-1: must"),
        ("max_seq_len=64: must", {"max_seq_len": 64}, "--context 64: must"),
        # What was typed stays.
        ("seed=1/x: no such file", {"seed": 1, "model": "seed=1/x"}, "seed=1/x: no such file"),
        ("runs/seed=1/x: no such file", {"seed": 1}, "runs/seed=1/x: no such file"),
        ("seed=2: not seed=1/x", {"seed": 2, "data": ["seed=1/x"]}, "--seed 2: not seed=1/x"),
        ("unknown=3 is kept", {"seed": 2}, "unknown=3 is kept"),
    ],
)  # fmt: skip
def test_arguments_become_options(message, arguments, expected):
    assert for_shell(message, Namespace(**arguments)) == expected


# Errors that advise Python and that no command can raise, by module: how their parts begin.
NOT_FROM_A_SHELL = {
    "_util.generation_settings": (" is text: encode it first",),  # the commands encode
    "checkpoints": (
        "the model has LoRA adapters",  # what is loaded has them merged
        " holds no tokenizer: it is a file",  # convert writes that file itself
    ),
    "quantization.linear": ("the model has LoRA adapters",),  # likewise merged
    "checkpoints.adapter": ("the model's adapters are", "; remove_lora"),
    "lora.adapters": ("the model has", " of another layer has one", "; remove_lora", "the model's"),
    "model": (": tokens.to(model.device)",),
    "numpy_llama.engine": ("; make one with Cache",),
}


def _literals() -> list[tuple[str, str]]:
    """The texts of all errors that the package raises for users, by module."""
    found = []
    for name, path in api_page.modules().items():
        if name.startswith(("figures", "tales", "preferences", "workbook")):
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
                continue
            for part in ast.walk(node.exc):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    found.append((name, part.value))
    return found


def test_no_error_of_the_package_advises_python_to_a_shell():
    given = Namespace(**dict.fromkeys(DESTINATIONS, None))
    left = {}
    for module, text in _literals():
        known = NOT_FROM_A_SHELL.get(module, ())
        if text.startswith(known) or not (found := CALL.findall(for_shell(text, given))):
            continue
        left.setdefault(module, []).append((text, found))
    assert left == {}, "add a phrase to cli/options.py, or say why no command can print it"


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """Files and folders with something wrong, by what is wrong."""
    root = tmp_path_factory.mktemp("places")
    tokenizer = load_tokenizer(SHIPPED["tales"].tokenizer)
    llama = LLAMA.replace(vocab_size=tokenizer.vocab_size, max_seq_len=64)
    save_model(random_model(llama), root / "good", tokenizer=tokenizer)
    save_model(random_model(llama), root / "bare")
    save_model(random_model(llama), root / "meta", "meta", tokenizer=tokenizer)
    save_model(random_model(GPT2), root / "gpt2")
    save_model(random_model(LLAMA), root / "other.bin", "llama2c")
    save_model(random_model(llama), root / "wrong", tokenizer=tokenizer)
    config = json.loads((root / "wrong" / "config.json").read_text())
    config["model"]["max_seq_len"] = -1
    (root / "wrong" / "config.json").write_text(json.dumps(config))
    (root / "empty").mkdir()
    (root / "text.txt").write_text("no checkpoint at all\n" * 9)
    (root / "adapter").mkdir()
    about = {"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": ["q_proj"]}
    (root / "adapter" / "adapter_config.json").write_text(json.dumps(about))
    (root / "one.jsonl").write_text('{"prompt": "Hi", "completion": "Ho"}\n')
    (root / "two.jsonl").write_text('{"prompt": "Hi", "completion": "Ho"}\n' * 2)
    (root / "bad.jsonl").write_text('{"question": "Hi"}\n')
    Tokenizer.train(["one two three four five six seven"] * 50, 280).save(root / "other.model")
    return root


BAD = """
generate --temperature -1
generate --top-k 0
generate --top-p 2
generate --max-new-tokens -1
generate --max-new-tokens 300
generate --num-samples 0
generate --prompt-file none.txt
generate --model none
generate --model empty
generate --model text.txt
generate --model text.txt --tokenizer other.model
generate --model bare
generate --model wrong
generate --model adapter
generate --model good --tokenizer other.model
generate --model good --tokenizer text.txt
generate --model good --filename none.bin
generate --model tales --filename x.bin
generate --model llama-2-7b
generate --engine numpy --model good
generate --engine numpy --model other.bin --tokenizer other.model
generate --engine numpy --dtype bfloat16
generate --engine numpy --model gpt2 --tokenizer other.model
generate --device warp
generate --device mps:9
generate --device cuda:99
generate --device meta
chat --temperature nan
chat --max-new-tokens 0
chat --max-new-tokens 600
chat --model bare
chat --system [INST]
chat --device warp
convert none out
convert empty out
convert wrong out
convert good out --shards 2
convert good out --format meta --shards 5
convert good out --format meta --shards 0
convert good out --format llama2c-int8 --group-size 7
convert good out --format llama2c-int8 --group-size 0
convert good out --chat-template
convert good out --tokenizer other.model
convert gpt2 out --format meta
convert gpt2 out --format llama2c
convert good none/out
convert good text.txt
convert good text.txt --force
convert good meta --force
convert good good
convert adapter out
info
info none
info empty
info wrong
info text.txt
info adapter
info tales --filename x
evaluate --context 0
evaluate --stride 1000
evaluate --batch-size 0
evaluate none.txt
evaluate text.txt --as tokens
evaluate bad.jsonl
evaluate --device warp
finetune --out out --targets nope --lora
finetune --out out --rank 0 --lora
finetune --out out --alpha 0 --lora
finetune --out out --dropout 1 --lora
finetune --out out --rank 4
finetune --out out --epochs 0
finetune --out out --warmup -1
finetune --out out --lr -1
finetune --out out --steps 3
finetune --out out --context 0
prefer --out out --beta 0
prefer --out out --method ppo --kl -1
prefer --out out --method ppo --clip-ratio 2
prefer --out out --rank 4
prefer --out out --samples 3
prefer --out out --data none.jsonl
finetune --out out --batch-size 0
finetune --out out --batch-size 20000
finetune --out out --micro-batches 99
finetune --out out --data two.jsonl --batch-size 9 --model good
finetune --out out --data one.jsonl
finetune --out out --data bad.jsonl
finetune --out out --data none.jsonl
finetune --out out --model none
finetune --out out --model wrong --context 32
finetune --out out --model bare
finetune --out out --model good --data two.jsonl --context 8
finetune --out out --model good --data two.jsonl --lora --context 99
finetune --out out --model good --data two.jsonl --lora --context 64 --targets output --tokenizer other.model
finetune --out good --model good
finetune --out out --seed -1
finetune --out out --device mps
pretrain --out out --heads 3
pretrain --out out --steps 3 --warmup 4
pretrain --out out --preset none
pretrain --out out --device cuda:99
""".strip().splitlines()  # noqa: E501


@pytest.mark.parametrize("command", BAD)
def test_a_bad_command_is_told_in_a_shells_words(places, capsys, monkeypatch, command):
    monkeypatch.chdir(places)
    monkeypatch.setattr(sys, "stdin", io.StringIO("Hi\n"))
    code, _, err = run(capsys, *command.split())
    assert code == 2, err
    assert err.startswith("llama-tutorial")
    assert err.count("\n") == 1
    trains = command.startswith("pretrain")  # where all of these are options
    assert python_names(err, frozenset() if trains else IN_FILES) == [], err
    shutil.rmtree("out", ignore_errors=True)


def test_a_file_that_is_wrong_is_not_called_an_option(places, capsys, monkeypatch):
    monkeypatch.chdir(places)
    err = run(capsys, "finetune", "--out", "out", "--model", "wrong", "--context", 32)[2]
    assert "max_seq_len=-1" in err
    assert "--context" not in err


def test_a_question_that_is_not_asked_is_told_in_the_same_words(capsys, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("word " * 600 + "\n[INST]\n/system [INST]\n"))
    code, out, err = run(capsys, "chat", "--engine", "numpy")
    assert (code, out) == (0, "")
    assert err.count("[not asked: ") == 2
    assert "[not taken: " in err
    assert python_names(err) == []


# Devices


def test_devices_that_are_there_are_listed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert torch_names.available_devices() == ["cpu", "cuda:0", "cuda:1", "mps"]

    def refuse(*_, device):
        raise RuntimeError("Could not run 'aten::empty.memory_format'\n" + "If you are a ... " * 99)

    monkeypatch.setattr(torch, "empty", refuse)
    message = r"device='cuda:2': cannot be used here; this machine has cpu, cuda:0, cuda:1, mps$"
    for call in (lambda: load("tales", device="cuda:2"), lambda: load_model("x", device="cuda:2")):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("name", ["mps", "cuda", "cuda:1"])
def test_a_device_that_is_there_is_taken(monkeypatch, name):
    device = torch.device(name)
    monkeypatch.setattr(torch, "empty", lambda *_, **__: SimpleNamespace(device=device))
    assert engines.parse_device(name) == device


_TRAINING = ("pretrain", "finetune", "prefer")


@pytest.mark.skipif(torch.cuda.is_available(), reason="has a GPU")
@pytest.mark.parametrize("device", ["mps", "cuda", "warp"])
@pytest.mark.parametrize(
    "command",
    ["generate", "chat", "evaluate", *(f"{name} --out out" for name in _TRAINING)],
)
def test_every_command_says_in_one_line_what_there_is(
    tmp_path, capsys, monkeypatch, command, device
):
    if device == "mps" and torch.backends.mps.is_available():
        pytest.skip("has it")
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *command.split(), "--device", device)
    assert (code, out) == (2, "")
    assert re.fullmatch(
        rf"llama-tutorial: --device {device}: cannot be used here; this machine has cpu(, mps)?\n",
        err,
    )
    assert not list(tmp_path.iterdir())


def test_the_layers_that_can_be_adapted_are_those_that_there_are():
    names = [
        name.rpartition(".")[2]
        for name, module in Transformer(LLAMA).named_modules()
        if isinstance(module, torch.nn.Linear)
    ]
    assert set(names) == set(LINEAR)
