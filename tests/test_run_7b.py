"""The page ``run_7b``: its commands and code run, on small models, and its numbers are so."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("huggingface_hub")
pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")
pytest.importorskip("gguf")

import torch
from fake_hub import FakeHub, running
from small_models import LLAMA, random_model

import llama_tutorial
from llama_tutorial import PRESETS, Tokenizer, load_tokenizer, save_model
from llama_tutorial.cli.parser import make_parser
from llama_tutorial.figures import recorded
from llama_tutorial.quantization import packed_bytes

SOURCE = Path(llama_tutorial.__file__).parents[1]
PAGE = (SOURCE / "book" / "run_7b.md").read_text(encoding="utf-8")
PROSE = " ".join(PAGE.split())
BLOCKS = re.findall(r"```bash\n(.*?)\n```", PAGE, re.DOTALL)
LINES = [
    shlex.split(line, comments=True)
    for block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
]
COMMANDS = [line[1:] for line in LINES if line and line[0] == "llama-tutorial"]
[TORCHRUN] = [line for line in LINES if line[:1] == ["torchrun"]]
CODE = re.findall(r"```python\n(.*?)\n```", PAGE, re.DOTALL)
SMALL, LARGE = PRESETS["llama-2-7b"], PRESETS["llama-2-70b"]
EMBEDDING = SMALL.vocab_size * SMALL.dim


def test_every_line_is_one_that_is_tried() -> None:
    others = {line[0] for line in LINES if line} - {"llama-tutorial"}
    assert others == {"pip", "hf", "torchrun", "llama-completion"}
    assert len(COMMANDS) == 7
    assert len(CODE) == 3
    for command in [*COMMANDS, TORCHRUN[TORCHRUN.index("llama_tutorial") + 1 :]]:
        make_parser().parse_args(command)
    assert TORCHRUN[:5] == ["torchrun", "--nproc-per-node", "8", "-m", "llama_tutorial"]
    assert LARGE.n_kv_heads % 8 == LARGE.n_heads % 8 == LARGE.hidden_dim % 8 == 0


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory):
    """All repositories that the page names, with small models in the same forms."""
    folder = tmp_path_factory.mktemp("hub")
    tokenizer = Tokenizer.train(["the cat sat on the mat", "a dog ran to the park"] * 50, 290)
    model = random_model(LLAMA.replace(vocab_size=tokenizer.vocab_size))
    folders = {}
    for command in COMMANDS:
        known = vars(make_parser().parse_args(command))
        name, file = known.get("model") or known.get("input"), known["filename"]
        if "/" not in name:
            continue  # what `convert` has written
        folders[name] = path = folder / name.replace("/", "_")
        if file is None:
            save_model(model, path, "meta", tokenizer=tokenizer)
            continue
        path.mkdir(exist_ok=True)
        quantize = re.search(r"\.(Q\d_0)\.gguf$", file)[1].lower()
        save_model(model, path / file, "gguf", tokenizer=tokenizer, quantize=quantize)
    with running(FakeHub(folders)) as hub:
        yield hub


SCRIPT = """
import io, json, sys
import huggingface_hub
huggingface_hub.login = lambda: print("login")
from llama_tutorial.cli import main
commands, code = json.loads(sys.stdin.read())
for command in commands:
    sys.stdin = io.StringIO("Who was it?\\n")
    assert main(command) == 0, command
    print("\\nDONE")
for block in code:
    exec(block, {})
    print("\\nDONE")
"""


def test_the_commands_and_the_code_run(hub, tmp_path: Path) -> None:
    """As on the page, but shorter, and on the CPU."""
    commands = []
    for command in COMMANDS:
        words = ["cpu" if word == "cuda" else word for word in command]
        if command[0] != "convert":
            words += ["--max-new-tokens", "3"]
        commands.append(words)
    code = [block.replace('"cuda"', '"cpu"') for block in CODE]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache"), "PYTHONPATH": str(SOURCE)}
    env |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_IMPLICIT_TOKEN": "1"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], input=json.dumps([commands, code]), cwd=tmp_path,
        env=clean | env, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    parts = done.stdout.split("\nDONE\n")
    assert len(parts) == len(commands) + len(code) + 1
    # The eight numbers' code: the ids, and a mean for each.
    ids, means = parts[-2].strip().split("\n", 1)
    assert len(json.loads(ids)) == means.count(",") + 1
    assert json.loads(ids)[0] == 1


def test_the_published_results_fit_the_tokenizer(assets: Path) -> None:
    """The ids that transformers' tests feed are those of the line; forty tokens are forty."""
    tokenizer = load_tokenizer(assets / "tokenizer.model")
    [line] = re.findall(r'^text = "(.+)"$', PAGE, re.MULTILINE)
    [ids] = re.findall(r"The ids must be `(\[.+?\])`", PAGE)
    assert tokenizer.encode(line, bos=True) == json.loads(ids)
    pieces = re.findall(r"^\| `(.+?)` \| +-?\d", PAGE, re.MULTILINE)
    assert pieces[0] == "<s>"
    assert pieces[1:] == line.split()
    quotes = re.findall(r"^> \*(.+?)\*(.+?)(?=\n\n)", PAGE, re.DOTALL | re.MULTILINE)
    assert len(quotes) == 2
    for prompt, text in quotes:
        text = text.replace("\n>", "").replace("⏎", "\n")
        whole = prompt + (text.replace(" ⟨space⟩", "") if "⟨space⟩" in text else text)
        begin = prompt + (" " if "⟨space⟩" in text else "")
        n = len(tokenizer.encode(whole)) - len(tokenizer.encode(begin))
        assert n == 40


def test_what_was_measured() -> None:
    found = recorded("quantization")
    [result] = [r for r in found["results"] if (r["shape"], r["kind"]) == ("7B", "int4")]
    assert (result["engine"], result["threads"], result["clock"]) == ("torch", 1, "cpu")
    assert result["memory_gb"] < packed_bytes(SMALL, "int4") / 1e9 + 0.7
    assert f"took {result['memory_gb']:.2f} GB" in PROSE
    assert f"**Speed.** {result['tokens_a_second']:.1f} tokens a second on one thread" in PROSE
    assert f"That is {result['of_the_limit']:.0%} of what" in PROSE
    assert f"{result['first_token_s']:.0f} s for 128 tokens" in PROSE
    assert f"`{result['command']}`, on {found['date']}" in PROSE
    assert f"on {found['date']}, on an {found['machine']}, with one thread" in PROSE
    # The model, all that is not packed included, and what of it a token needs.
    assert f"{result['weights_gb']:.2f}" == "3.78"
    assert f"a token needs {result['weights_gb']:.2f} GB of weights" in PROSE


def test_what_was_computed() -> None:
    gb = 1e9
    half, token = 2 * SMALL.n_params, 2 * (SMALL.n_params - EMBEDDING)
    assert f"{half / gb:.1f} GB each, in" in PROSE
    for kind in ("int8", "int4"):
        assert f"The packed model has {packed_bytes(SMALL, kind) / gb:.1f} GB" in PROSE
    eight = packed_bytes(SMALL, "int8") - 8.5 / 8 * EMBEDDING
    assert f"a token needs {eight / gb:.2f} GB of it" in PROSE
    four = packed_bytes(SMALL, "int4") - 8.5 / 8 * EMBEDDING
    assert f"at most {51.2 / (four / gb):.1f} tokens a second" in PROSE
    assert f"most {51.2 / (eight / gb):.1f} tokens a second" in PROSE
    cache = SMALL.kv_bytes_per_token("bfloat16")
    assert f"{cache / 1e6:.2f} MB a token: {100 * cache / gb:.2f} GB for 100 tokens" in PROSE
    assert f"{4096 * cache / gb:.1f} GB for the whole context of 4,096" in PROSE
    assert f"a token needs {token / gb:.1f} GB: at most {320 / (token / gb):.0f} tokens" in PROSE
    assert f"reads 936 GB a second: at most {936 / (token / gb):.0f} tokens" in PROSE
    assert f"reads 1,008: at most {1008 / (token / gb):.0f} (computed)" in PROSE
    large = 2 * (LARGE.n_params - LARGE.vocab_size * LARGE.dim) / 8
    assert f"70B has {2 * LARGE.n_params / gb:.0f} GB in 16 bits" in PROSE
    assert f"{large / gb:.1f} GB to read for a token, at 2,039 GB a second: at most" in PROSE
    assert f"at most {2039 / (large / gb):.0f} tokens a second" in PROSE


def test_the_files_are_as_large_as_the_page_says() -> None:
    """Q4_0 and Q8_0: 4.5 and 8.5 bits a weight; the head of the first has 6.56."""
    weights = SMALL.n_params - EMBEDDING
    assert f"`Q8_0.gguf`, {SMALL.n_params * 8.5 / 8e9:.1f} GB" in PROSE
    assert f"`Q4_0.gguf`, {(weights * 4.5 + EMBEDDING * 6.5625) / 8e9:.1f} GB" in PROSE
    assert "up to 3.8 GB more" in PROSE


def test_the_numbers_of_the_two_columns_differ_as_said() -> None:
    rows = re.findall(r"^\| `.+?` \| (-?[\d.]+) \| (-?[\d.]+) \|$", PAGE, re.MULTILINE)
    assert len(rows) == 8
    assert max(abs(float(a) - float(b)) for a, b in rows) == pytest.approx(0.13, abs=0.005)


@torch.inference_mode()
def test_the_first_number_tells_of_the_weights_and_the_others_of_the_positions() -> None:
    """Rows of ``wq`` and ``wk`` in another order, or a weight of another matrix."""
    ids = torch.tensor([[1, 5, 9, 2, 7]])
    right = random_model(LLAMA)(ids)[0].mean(-1)
    for names, first in ((("wq", "wk"), True), (("wv",), False), (("w2",), False)):
        model = random_model(LLAMA)
        for name, weight in model.named_parameters():
            if name.split(".")[-2] in names:
                weight.copy_(weight.roll(1, 0))
        wrong = model(ids)[0].mean(-1)
        assert torch.allclose(wrong[0], right[0], rtol=0, atol=1e-6) == first
        assert not torch.isclose(wrong[1:], right[1:], rtol=0, atol=1e-6).any()
