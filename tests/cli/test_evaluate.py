"""``llama-tutorial evaluate``: what it prints is what the package measures, and what trained."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
from run_cli import run

pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")

from llama_tutorial import BPETokenizer, load
from llama_tutorial.cli import evaluate, finetune, pretrain
from llama_tutorial.evaluation import example_loss, text_loss
from llama_tutorial.finetuning import encode_example

SMALL = ["--model", "tales-small"]


@pytest.fixture(autouse=True)
def little_to_measure_with(monkeypatch):
    monkeypatch.setattr(evaluate, "VALIDATION_TALES", 3)
    monkeypatch.setattr(evaluate, "VALIDATION_DIALOGS", 4)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "two.txt"
    path.write_text("Once upon a time, ünd so on.\n<|endoftext|>\nThe end of it is red.\n" * 2)
    return path


def measured(capsys, *options) -> dict:
    code, out, err = run(capsys, "evaluate", "--json", *options)
    assert (code, err, out.count("\n")) == (0, "", 1)
    return json.loads(out)


@pytest.mark.parametrize("engine", ["torch", "numpy"])
def test_a_text_is_measured_document_by_document(text, capsys, engine):
    found = measured(capsys, text, *SMALL, "--engine", engine)
    model, tokenizer = load("tales-small", engine=engine)
    texts = [part.strip("\n") for part in text.read_text().split("<|endoftext|>")]
    losses = [text_loss(model, tokenizer.encode(part, bos=True, eos=True)) for part in texts]
    total, n = (sum(part) for part in zip(*losses, strict=True))
    assert found["loss"] == pytest.approx(total / n, rel=1e-5)
    assert found["perplexity"] == pytest.approx(math.exp(total / n), rel=1e-4)
    n_bytes = sum(len(part.encode()) for part in texts)
    assert found["bits_per_byte"] == pytest.approx(total / math.log(2) / n_bytes, rel=1e-5)
    assert (found["tokens"], found["bytes"], found["documents"]) == (n, n_bytes, len(texts))
    assert (found["context"], found["stride"], found["form"]) == (256, 256, "text")
    assert found["tokens_per_second"] == pytest.approx(n / found["seconds"])
    without = measured(capsys, text, *SMALL, "--engine", engine, "--no-eos")
    assert without["tokens"] == n - len(texts)


def test_without_data_it_is_held_out_tales(capsys):
    found = measured(capsys, "--model", "tales-small")
    assert found == {**measured(capsys, "tales", *SMALL), **{k: found[k] for k in TIMES}}
    assert found["documents"] == 3
    assert found["loss"] < 0.6  # it has learned them
    smaller = measured(capsys, *SMALL, "--context", 32, "--stride", 8)
    assert (smaller["context"], smaller["stride"]) == (32, 8)
    assert found["loss"] < smaller["loss"] < measured(capsys, *SMALL, "--context", 32)["loss"]


TIMES = ("seconds", "tokens_per_second")


def test_what_people_read(text, capsys):
    code, out, err = run(capsys, "evaluate", "--data", text, *SMALL, "--stride", 64)
    found = measured(capsys, text, *SMALL, "--stride", 64)
    assert (code, err) == (0, "")
    title, *lines = out.splitlines()
    assert title == f"tales-small on {text}"
    assert [line.split()[0] for line in lines] == ["loss", "perplexity", "bits", "tokens", "time"]
    assert f"{found['loss']:.4f} nats per token" in lines[0]
    assert f"{found['bits_per_byte']:.4f}" in lines[2]
    assert f"{found['tokens']:,} of {found['documents']} documents, windows of 256" in lines[3]
    assert lines[3].endswith("one every 64")


def test_it_is_what_pretrain_reports(tmp_path, capsys, monkeypatch):
    """The validation loss of a run, on the token file that it measured with, and on its text."""
    data, out, context = tmp_path / "text.txt", tmp_path / "run", 16
    monkeypatch.setattr(pretrain, "VALIDATION_BATCHES", 1000)
    words = "a cat sat on the mat and a dog ran to the park "
    tokenizer = BPETokenizer.of_characters([words])
    for n in range(600, 800):  # a held-out text that is whole windows
        text = (words * 20)[:n]
        held_out = text[round(n * 0.9) :]
        n_targets = len(tokenizer.encode(held_out, bos=True, eos=True)) - 1
        if n_targets % context == 0:
            break
    data.write_text(text)
    sizes = "--dim 16 --layers 1 --heads 2 --kv-heads 1 --hidden-dim 24 --batch-size 2 --characters"
    options = ("--data", data, "--out", out, *sizes.split(), "--context", context)
    steps = "--steps 6 --warmup 1 --evaluate-every 6".split()
    assert run(capsys, "pretrain", *options, *steps)[0] == 0
    lines = (out / "metrics.jsonl").read_text().splitlines()
    reported = [json.loads(line)["validation_loss"] for line in lines if "validation" in line][-1]
    found = measured(capsys, out / "validation.tokens", "--model", out)
    assert (found["form"], found["bits_per_byte"]) == ("tokens", None)
    assert found["tokens"] == n_targets
    assert found["loss"] == pytest.approx(reported, rel=1e-5)
    (tmp_path / "held out.txt").write_text(held_out)
    again = measured(capsys, tmp_path / "held out.txt", "--model", out)
    assert again["tokens"] == found["tokens"]
    assert again["loss"] == pytest.approx(reported, rel=1e-5)
    code, _, err = run(capsys, "evaluate", out / "validation.tokens", *SMALL)
    assert code == 2
    assert "they do not belong together; give the text itself" in err


FORMS = [
    {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho"}]},
    {"instruction": "Say it.", "input": "A red kite.", "output": "Red."},
    {"prompt": "And?", "completion": "Or."},
    {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello!"}]},
]


@pytest.mark.parametrize("engine", ["torch", "numpy"])
@pytest.mark.parametrize("array", [False, True])
def test_dialogs_in_all_forms(tmp_path, capsys, engine, array):
    path = tmp_path / "dialogs.jsonl"
    path.write_text(json.dumps(FORMS) if array else "\n".join(map(json.dumps, FORMS)))
    found = measured(capsys, path, "--model", "tales-chat", "--engine", engine)
    model, tokenizer = load("tales-chat", engine=engine)
    pairs = [("Hi", "Ho"), ("Say it.\n\nA red kite.", "Red."), ("And?", "Or."), ("Hi", "Hello!")]
    dialogs = [
        [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        for question, answer in pairs
    ]
    expected = example_loss(model, [encode_example(dialog, tokenizer) for dialog in dialogs])
    assert (found["form"], found["documents"]) == ("dialogs", 4)
    assert found["tokens"] == expected.n_tokens
    assert found["loss"] == pytest.approx(expected.mean, rel=1e-5)


def test_it_is_what_finetune_reports(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(finetune, "VALIDATION_DIALOGS", 4)
    options = "--dialogs 6 --context 256 --batch-size 2 --epochs 1".split()
    assert run(capsys, "finetune", "--out", tmp_path, *SMALL, *options)[0] == 0
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    reported = [json.loads(line)["validation_loss"] for line in lines if "validation" in line][-1]
    found = measured(capsys, "--as", "dialogs", "--model", tmp_path)
    assert found["loss"] == pytest.approx(reported, rel=1e-4)
    assert found["documents"] == 4


def test_dialogs_that_are_too_long_are_cut_and_counted(tmp_path, capsys):
    path = tmp_path / "dialogs.json"
    lines = [{"prompt": "Hi", "completion": "word " * n} for n in (1, 100)]
    path.write_text(json.dumps([*lines, {"prompt": "word " * 100, "completion": "Ho"}]))
    code, out, err = run(capsys, "evaluate", path, *SMALL, "--context", 50)
    assert code == 0
    assert err == (
        "longer than 50 tokens: 2 dialogs lost their end; 1 of them have no answer left and are "
        "not measured\n"
    )
    assert " of 2 dialogs, answers only" in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["nope.txt"], "nope.txt: no such file; without one, held-out tales are measured"),
        (["."], ". is a folder: it must be a file"),
        (["tales", "--data", "tales"], "--data tales: tales is given already"),
        (["tales", "--as", "tokens"], "--as tokens: tales are text, or dialogs"),
        (["--as", "dialogs", "--stride", "3"], "--stride: tales is measured as dialogs; leave it"),
        (["--as", "dialogs", "--no-eos"], "--no-eos: tales is measured as dialogs; leave it out"),
        (["{empty}"], "is empty: there is no text"),
        (["{bytes}"], "is not UTF-8"),
        (["{text}", "--as", "dialogs"], "line 1: the text is not JSON"),
        (["{text}", "--as", "tokens"], "has no description"),
        (["{text}", "--context", "0"], "--context 0: must be a whole number, between 1 and"),
        (["{text}", "--context", "257"], "between 1 and the model's context, 256"),
        (["{text}", "--context", "8", "--stride", "9"], "between 1 and the context, 8"),
        (["{text}", "--batch-size", "0"], "--batch-size 0: must be at least 1"),
        (["--as", "dialogs", "--context", "0"], "between 1 and the model's context, 256"),
        (["--model", "nope"], "nope: no such file or folder"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(text, tmp_path, capsys, options, message):
    (tmp_path / "empty").touch()
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    places = {"text": text, "empty": tmp_path / "empty", "bytes": tmp_path / "bytes"}
    options = [option.format(**places) for option in options]
    model = [] if "--model" in options else SMALL
    code, out, err = run(capsys, "evaluate", *model, *options)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert message in err


WITHOUT_TORCH = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "sentencepiece", "safetensors", "jaxtyping", "tqdm"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Absent())
from llama_tutorial.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("options", [[], ["--as", "dialogs"]])
def test_the_numpy_engine_needs_no_torch(text, tmp_path, capsys, options):
    data = text
    if options:
        data = tmp_path / "dialogs.jsonl"
        data.write_text(json.dumps(FORMS[0]))
    options = ["evaluate", str(data), *options, *SMALL, "--engine", "numpy", "--json"]
    command = [sys.executable, "-c", WITHOUT_TORCH, *options]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["loss"] == measured(capsys, data, *options[2:-1])["loss"]


def test_json_holds_what_is_infinite(text, capsys, monkeypatch):
    """As null: JSON has no infinity."""
    infinite = evaluate.Loss(math.inf, 3)
    monkeypatch.setattr(evaluate, "text_loss", lambda *_, **__: infinite)
    found = measured(capsys, text, *SMALL)
    assert (found["loss"], found["perplexity"], found["bits_per_byte"]) == (None, None, None)
    assert found["tokens"] == 3
