"""What can be imported where: without torch, without SentencePiece, without the shape checker."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import small_models

import llama_tutorial
from llama_tutorial import generate
from llama_tutorial.shipped import SHIPPED

OPTIONAL = ("torch", "sentencepiece", "safetensors", "jaxtyping", "beartype", "tqdm")

# All that the NumPy engine and its tokenizers stand on.
TORCH_FREE = (
    "_util.extras",
    "_util.files",
    "_util.generation_settings",
    "_util.progress",
    "_util.shapes",
    "_util.terminal",
    "chat",
    "chat.session",
    "checkpoints",
    "checkpoints.download",
    "cli",
    "cli.evaluate",
    "config",
    "evaluation",
    "finetuning.dialog_file",
    "hub",
    "numpy_llama",
    "pretraining",
    "quantization",
    "tales",
    "tokenizer",
    "tokenizer.bpe_trainer",
    "tokenizer.gpt2",
)

BLOCK = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def run_without(blocked: tuple[str, ...], code: str) -> str:
    """What ``code`` prints in a new Python where the ``blocked`` packages are not installed."""
    tests = Path(__file__).parent
    package = Path(llama_tutorial.__file__).parents[1]
    result = subprocess.run(
        [sys.executable, "-c", BLOCK.format(blocked=blocked) + code],
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(package), str(tests)))},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_numpy_alone_is_enough_for_the_torch_free_half():
    names = [f"llama_tutorial.{name}" for name in TORCH_FREE]
    out = run_without(
        OPTIONAL,
        f"""
import importlib
import llama_tutorial
print(llama_tutorial.ModelConfig().n_params, "gpt2" in llama_tutorial.PRESETS)
for name in {names}:
    importlib.import_module(name)
print(*(name for name in {OPTIONAL} if name in sys.modules))
""",
    )
    assert out == "6738415616 True\n\n"


def test_importing_the_package_loads_nothing_heavy():
    """Also where everything is installed: names come when they are used."""
    out = run_without(
        (), f"import llama_tutorial; print([n for n in {OPTIONAL} if n in sys.modules])"
    )
    assert out == "[]\n"


def test_a_checkpoint_and_its_tokenizer_are_read_without_torch(assets):
    out = run_without(
        OPTIONAL,
        f"""
from llama_tutorial import BPETokenizer, load_tokenizer
from llama_tutorial.numpy_llama.llama2c import read
file = read({str(assets / "stories260K.bin")!r})
print(sum(array.size for array in file.tensors.values()), file.config.n_params)
tokenizer = load_tokenizer({str(assets / "tok512.bin")!r})
print(type(tokenizer) is BPETokenizer, tokenizer.decode(tokenizer.encode("Once upon a time")))
""",
    )
    assert out == "260032 260032\nTrue Once upon a time\n"


def test_the_numpy_engine_tells_the_published_story_without_torch(assets):
    golden = json.loads((assets / "stories260k_greedy.json").read_text())["cases"][1]
    options = ["generate", "--engine", "numpy", "--temperature", "0", "--max-new-tokens", "256"]
    options += ["--checkpoint", str(assets / "stories260K.bin"), "--prompt", golden["prompt"]]
    options += ["--tokenizer", str(assets / "tok512.bin")]
    out = run_without(
        OPTIONAL,
        f"""
from llama_tutorial.cli import main
code = main({options})
print(code, *(name for name in {OPTIONAL} if name in sys.modules))
""",
    )
    assert out == golden["text"] + "\n0\n"


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_speaks_without_torch(name):
    out = run_without(
        OPTIONAL,
        f"""
from llama_tutorial.cli import main
from llama_tutorial import load
options = ["generate", "--engine", "numpy", "--checkpoint", {name!r}, "--seed", "1"]
code = main([*options, "--prompt", "Once", "--max-new-tokens", "20"])
model, tokenizer = load({name!r}, engine="numpy")
prompt = tokenizer.encode("Once", bos=True)
ids = model.stream(prompt, 20, seed=1, stop_ids=(tokenizer.bos_id, tokenizer.eos_id))
print(code, tokenizer.decode([*prompt, *ids]))
""",
    )
    text, _, again = out.rstrip("\n").rpartition("\n0 ")
    assert text == again
    assert text.startswith("Once")
    assert len(text) > 10


def test_the_shell_says_what_to_do_without_torch():
    out = run_without(
        ("torch",),
        """
from llama_tutorial.cli import main
sys.stderr = sys.stdout
print(main(["generate", "--prompt", "Once"]))
""",
    )
    assert out == (
        "llama-tutorial: --engine torch needs torch: pip install 'llama-tutorial[torch]', or take "
        "--engine numpy\n2\n"
    )


@pytest.mark.parametrize("missing", ["torch", "safetensors"])
def test_no_command_ends_in_a_missing_module(missing, tmp_path):
    commands = [["info", "tales"], ["convert", "tales", "out"], ["generate"], ["chat"]]
    commands += [["pretrain", "--out", "run"], ["finetune", "--out", "run"]]
    commands += [["prefer", "--out", "run"]]
    commands = commands if missing == "torch" else commands[:3]  # those that read such files
    out = run_without(
        (missing,),
        f"""
import os
from llama_tutorial.cli import main
os.chdir({str(tmp_path)!r})
sys.stderr = sys.stdout
print(*(main(command) for command in {commands}))
""",
    )
    *lines, codes = out.splitlines()
    assert codes.split() == ["2"] * len(commands)
    assert len(lines) == len(commands)
    for line in lines:
        assert line.startswith("llama-tutorial: ")
        assert "pip install 'llama-tutorial[torch]'" in line
    assert list(tmp_path.iterdir()) == []


def test_load_says_what_to_do_without_torch():
    out = run_without(
        ("torch",),
        """
from llama_tutorial import load
try:
    load("tales")
except ImportError as error:
    print(error)
""",
    )
    assert "needs torch: pip install 'llama-tutorial[torch]'" in out
    assert "engine='numpy'" in out


@pytest.mark.parametrize(
    ("name", "missing"), [("Transformer", "torch"), ("generate", "torch"), ("RMSNorm", "torch")]
)
def test_a_missing_package_is_named_with_what_to_install(name, missing):
    out = run_without(
        (missing,),
        f"""
import llama_tutorial
try:
    llama_tutorial.{name}
except ImportError as error:
    print(error)
try:
    from llama_tutorial import {name}
except ImportError as error:
    print(error)
""",
    )
    message = f"llama_tutorial.{name} needs {missing}: pip install 'llama-tutorial[torch]'"
    assert out == f"{message}\n{message}\n"


def test_without_the_shape_checker_the_model_is_the_same():
    code = """
import json
import small_models
from llama_tutorial import generate
model = small_models.random_model(small_models.NAMED["llama-gqa"])
print(json.dumps(generate(model, [[1, 2, 3], [4]], 12, seed=0)))

from typing import get_type_hints
import torch
assert get_type_hints(model.forward)["tokens"] is torch.Tensor  # the stand-ins can be read
"""
    model = small_models.random_model(small_models.NAMED["llama-gqa"])
    out = run_without(("jaxtyping", "beartype", "tqdm", "safetensors", "sentencepiece"), code)
    assert json.loads(out) == generate(model, [[1, 2, 3], [4]], 12, seed=0)


@pytest.mark.parametrize("name", llama_tutorial.__all__)
def test_every_public_name_is_there(name):
    value = getattr(llama_tutorial, name)
    assert value is getattr(llama_tutorial, name)  # and stays
    if name != "PRESETS":
        assert value.__name__ == name
        home = importlib.import_module(value.__module__)
        assert getattr(home, name) is value


def test_dir_lists_the_public_names_before_they_are_loaded_and_nothing_else():
    out = run_without((), "import llama_tutorial; print(*dir(llama_tutorial))")
    assert set(out.split()) == {*llama_tutorial.__all__, "__version__"}
    code = "import llama_tutorial.hub; print(*dir(llama_tutorial))"  # which loads private ones, too
    listed = run_without((), code).split()
    assert "hub" in listed
    assert [name for name in listed if name[0] == "_"] == ["__version__"]


def test_the_public_names_are_the_designs():
    public = {"ModelConfig", "PRESETS", "Transformer", "KVCache", "RMSNorm", "SwiGLU"}
    public |= {"GroupedQueryAttention", "load_model", "save_model", "load_tokenizer"}
    public |= {"Tokenizer", "BPETokenizer", "generate", "stream"}
    assert public <= set(llama_tutorial.__all__)


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'llama_tutorial' has no attribute 'GPT5'"):
        _ = llama_tutorial.GPT5
    assert not hasattr(llama_tutorial, "torch")
