"""Models from the hub: a hub on this machine proves the path; nothing is ever downloaded."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import indent

import pytest

pytest.importorskip("huggingface_hub")
pytest.importorskip("safetensors")
pytest.importorskip("sentencepiece")

from fake_hub import ACCEPTED, REFUSED, FakeHub, running
from small_models import GPT2, LLAMA, random_model

import llama_tutorial
from llama_tutorial import Tokenizer, load_model, save_model
from llama_tutorial.checkpoints.download import is_hub_id, needed

SOURCE = Path(llama_tutorial.__file__).parents[1]


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer.train(["the cat sat on the mat", "a dog ran to the park"] * 50, 290)


@pytest.fixture(scope="module")
def model(tokenizer):
    return random_model(LLAMA.replace(vocab_size=tokenizer.vocab_size))


@pytest.fixture
def hub(tmp_path, model, tokenizer):
    """A hub with Llamas in several forms, a GPT-2 and a collection of files."""
    folders = {name: tmp_path / "hub" / name.replace("/", "_") for name in REPOSITORIES}
    (tmp_path / "hub").mkdir()
    save_model(model, folders["someone/llama"], "huggingface", tokenizer=tokenizer)
    save_model(model, folders["meta-llama/Llama-2-7b"], "meta", tokenizer=tokenizer)
    save_model(random_model(GPT2), folders["openai-community/gpt2"], "huggingface")
    for name in ("pytorch_model.bin", "tf_model.h5", "original/consolidated.00.pth", "README.md"):
        path = folders["someone/llama"] / name
        path.parent.mkdir(exist_ok=True)
        path.write_text("not needed")
    for name in ("stories15M.bin", "stories260K/stories260K.bin"):
        path = folders["karpathy/tinyllamas"] / name
        path.parent.mkdir(exist_ok=True, parents=True)
        save_model(model, path, "llama2c")
    tokenizer.save_tokenizer_bin(folders["karpathy/tinyllamas"] / "stories260K" / "tok512.bin")
    folders["someone/pictures"].mkdir()
    (folders["someone/pictures"] / "cat.png").touch()
    with running(FakeHub(folders, gated={"meta-llama/Llama-2-7b"})) as hub:
        yield hub


REPOSITORIES = (
    "someone/llama", "meta-llama/Llama-2-7b", "openai-community/gpt2", "karpathy/tinyllamas",
    "someone/pictures",
)  # fmt: skip


@pytest.fixture
def ask(hub, tmp_path):
    """Runs Python where the hub is ours; what it prints, or the error that ends it."""

    def run(code, **env):
        # A new process, for huggingface_hub reads its environment once.
        clean = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        env = {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path / "cache"), **env}
        env = {**clean, "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(SOURCE), **env}
        lines = [
            "from llama_tutorial.hub import find, load", "try:", indent(code, "    "),
            "except (OSError, ValueError) as error:", "    print(type(error).__name__, error)",
        ]  # fmt: skip
        command = [sys.executable, "-c", "\n".join(lines)]
        done = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    return run


def test_only_what_is_needed_is_fetched_and_loads(hub, ask, model, tokenizer):
    code = (
        "import torch; model, pieces = load('someone/llama', dtype=torch.float64); "
        "print(model.dtype, model.config.to_dict(), pieces.encode('the cat'))"
    )
    out = ask(code)
    expected = f"torch.float64 {model.config.to_dict()} {tokenizer.encode('the cat')}"
    assert out == expected
    names = ["config.json", "model.safetensors", "tokenizer.model"]
    assert sorted(hub.fetched) == [f"someone/llama/{name}" for name in names]
    # The second time nothing is fetched, and offline nothing is asked.
    assert ask(code) == expected
    hub.status = 500
    assert ask(code) == expected
    assert ask(code, HF_HUB_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:9") == expected
    assert len(hub.fetched) == 3


def test_a_gated_repository_says_what_to_do(hub, ask):
    code = "find('meta-llama/Llama-2-7b')"
    expected = (
        "PermissionError meta-llama/Llama-2-7b is gated: its owners open it to those who accept "
        f"their terms. Log in at {hub.url}/meta-llama/Llama-2-7b, accept the terms there and wait "
        f"for the answer; make a token that may read at {hub.url}/settings/tokens; give it to this "
        "machine with `hf auth login` or as HF_TOKEN; then try again"
    )
    assert ask(code) == expected  # 401: a stranger
    assert ask(code, HF_TOKEN=REFUSED) == expected  # 403: logged in, not let in
    assert hub.fetched == []
    out = ask(f"path, pieces = {code}; print(path, pieces.name)", HF_TOKEN=ACCEPTED)
    assert load_model(out.split()[0]).config.dim == 24
    assert out.endswith("tokenizer.model")


def test_offline_and_not_in_the_cache(ask):
    out = ask("find('someone/llama')", HF_HUB_OFFLINE="1")
    assert out == (
        "FileNotFoundError someone/llama is not in the cache, and HF_HUB_OFFLINE is set; go online "
        "once, or give the path of a folder"
    )
    out = ask("find('karpathy/tinyllamas', 'stories15M.bin', 'x')", HF_HUB_OFFLINE="1")
    assert out.startswith("FileNotFoundError stories15M.bin of karpathy/tinyllamas is not in the")


def test_a_hub_that_does_not_answer(ask):
    address = "http://127.0.0.1:9"
    out = ask("find('someone/llama')", HF_ENDPOINT=address)
    assert out == (
        f"FileNotFoundError someone/llama is not in the cache, and {address} cannot be reached "
        "([Errno 111] Connection refused); check the connection, or give the path of a folder"
    )


PAGE = b"<!DOCTYPE html><html>Log in to this network</html>"
NO_HUB = (
    "what answers at {hub} is not a Hugging Face hub, or its answer is damaged; is it the login "
    "page of a network, a proxy, or a wrong HF_ENDPOINT?"
)
REFUSED_HERE = "access is refused: to this address, or to your token (`hf auth whoami`)"
# What is asked for, how the hub answers, and what is said.
ANSWERS = [
    ("", 403, "PermissionError {name}: {hub} answers 403 (Forbidden): " + REFUSED_HERE),
    ("config.json", 403, "PermissionError config.json of {name}: {hub} answers 403 (Forbidden): "),
    ("", 404, "FileNotFoundError {name}: no such folder here, and {hub} shows no such repository"),
    ("config.json", 404, "FileNotFoundError {name} holds no file config.json"),
    ("model.safetensors", 401, "FileNotFoundError model.safetensors of {name}: {hub} answers 401"),
    ("config.json", 416, "OSError config.json of {name}: {hub} answers 416 ("),
    ("", 429, "OSError {name}: {hub} answers 429 (Too Many Requests): too many requests; try again "
     "in 7 seconds"),
    ("", 500, "OSError {name}: {hub} answers 500 (Internal Server Error): the fault is the server"),
    ("", 503, "OSError {name}: {hub} answers 503 (Service Unavailable): the fault is the server's"),
    ("", PAGE, "OSError {name}: " + NO_HUB),
    ("config.json", PAGE, "OSError config.json of {name}: " + NO_HUB),
    ("", b"{", "OSError {name}: " + NO_HUB),
    ("", b"[]", "OSError {name}: " + NO_HUB),
    ("", "loop", "OSError {name} cannot be downloaded from {hub}: Exceeded maximum allowed redir"),
    ("config.json", "loop", "OSError config.json of {name} cannot be downloaded from {hub}: Excee"),
    ("config.json", "short", "OSError config.json of {name} cannot be downloaded from {hub}: Cons"),
    ("model.safetensors", "cut", "OSError model.safetensors of {name} cannot be downloaded from "
     "{hub}: peer closed connection without sending complete message body"),
]  # fmt: skip


def test_what_a_hub_answers_is_said_with_its_status_and_the_file(hub, ask):
    """All in one process; no answer is taken for a missing connection, nor asked for for long."""
    folder = hub.folders["someone/llama"]
    hub.headers = {"Retry-After": "7"}
    for number, (file, trick, _) in enumerate(ANSWERS):
        hub.folders[f"try/n{number}"] = folder
        hub.tricks[f"try/n{number}/{file}".rstrip("/")] = trick
    lines = ask(
        f"import time\nfor number in range({len(ANSWERS)}):\n"
        "    begin = time.time()\n"
        "    try: find(f'try/n{number}')\n"
        "    except (OSError, ValueError) as error:\n"
        "        print(round(time.time() - begin), type(error).__name__, error)"
    ).splitlines()
    assert len(lines) == len(ANSWERS)
    for number, (line, (_, trick, expected)) in enumerate(zip(lines, ANSWERS, strict=True)):
        seconds, _, said = line.partition(" ")
        assert said.startswith(expected.format(hub=hub.url, name=f"try/n{number}"))
        assert int(seconds) < 5 or trick == "cut"  # which the library goes on with five times
        assert "offline" not in said
        assert "online" not in said
        assert "cannot be reached" not in said


def test_where_the_connection_fails_it_says_how(hub, ask):
    port = hub.url.rpartition(":")[2]
    for address, reason in [
        ("http://nowhere.invalid", "([Errno -"),  # whatever the system calls it
        (f"https://127.0.0.1:{port}", "([SSL: "),
    ]:
        said = ask("find('someone/llama')", HF_ENDPOINT=address)
        assert f"is not in the cache, and {address} cannot be reached {reason}" in said
    said = ask(
        "find('someone/llama')", HF_ENDPOINT="http://hub.example", http_proxy="http://127.0.0.1:9"
    )
    assert "http://hub.example cannot be reached ([Errno 111] Connection refused)" in said


def test_what_comes_instead_of_a_file_is_refused_and_not_kept(hub, ask, tmp_path):
    weights = hub.folders["someone/llama"] / "model.safetensors"
    content, name = weights.read_bytes(), "someone/llama/model.safetensors"
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n"
    weights.write_bytes(pointer)
    said = ask("find('someone/llama')")
    assert said.startswith("ValueError model.safetensors of someone/llama is a pointer of git-lfs,")
    weights.write_bytes(PAGE)
    said = ask("find('someone/llama')")
    assert said.startswith("ValueError model.safetensors of someone/llama is a web page that was")
    weights.write_bytes(content)
    hub.etags[name] = "0" * 64
    assert ask("find('someone/llama')") == (
        "ValueError model.safetensors of someone/llama came damaged: its SHA-256 is not the one "
        "that the hub gives; try again"
    )
    assert not [path for path in tmp_path.glob("cache/**/*") if path.name == "model.safetensors"]
    hub.etags[name] = hashlib.sha256(content).hexdigest()
    assert ask("print(find('someone/llama')[1].name)") == "tokenizer.model"


def test_names_that_lead_elsewhere(hub, ask):
    said = ask("find('karpathy/tinyllamas', '../../x', 'x')")
    assert said == "ValueError ../../x of karpathy/tinyllamas: must be a path within it"
    for name in ("model-/../../../x-of-1.safetensors", "model-\x1b[2J-of-1.safetensors"):
        with pytest.raises(ValueError, match=r"a/b holds the file '.*', which is refused") as error:
            needed("a/b", ["config.json", "model.safetensors.index.json", name])
        assert "\x1b" not in str(error.value)


def test_half_of_a_model_in_the_cache_is_none(hub, ask):
    hub.tricks["someone/llama/model.safetensors"] = 404
    assert "holds no file model.safetensors" in ask("find('someone/llama')")  # config.json is there
    hub.status = 503
    assert "answers 503 (Service Unavailable)" in ask("find('someone/llama')")
    assert "HF_HUB_OFFLINE is set" in ask("find('someone/llama')", HF_HUB_OFFLINE="1")


def test_a_repository_that_is_not_there(hub, ask):
    assert ask("find('someone/lama')") == (
        f"FileNotFoundError someone/lama: no such folder here, and {hub.url} shows no such "
        "repository; check the name, or, if it is private, log in with `hf auth login`"
    )


def test_a_file_of_a_collection_needs_its_tokenizer(hub, ask, tmp_path, tokenizer):
    out = ask("find('karpathy/tinyllamas', 'stories15M.bin')")
    assert out.startswith("ValueError stories15M.bin of karpathy/tinyllamas comes without a token")
    assert "trained with Llama 2's own, which that repository does not hold" in out
    assert "take tokenizer.bin from the repository karpathy/llama2.c on GitHub" in out
    assert hub.fetched == []
    tokenizer.save(tmp_path / "t.model")
    code = "model, pieces = load('karpathy/tinyllamas', 'stories15M.bin', tokenizer='t.model'); "
    assert ask(code + "print(pieces.vocab_size)") == "290"
    assert hub.fetched == ["karpathy/tinyllamas/stories15M.bin"]


def test_a_file_whose_tokenizer_is_known(hub, ask):
    out = ask("print(*find('karpathy/tinyllamas', 'stories260K/stories260K.bin'))")
    assert [Path(path).name for path in out.split()] == ["stories260K.bin", "tok512.bin"]


def test_a_tokenizer_from_another_repository(hub, ask):
    code = "print(*find('karpathy/tinyllamas', 'stories15M.bin', 'someone/llama'))"
    assert Path(ask(code).split()[1]).name == "tokenizer.model"
    assert "someone/llama/tokenizer.model" in hub.fetched


def test_a_file_that_is_not_there(hub, ask):
    out = ask("find('karpathy/tinyllamas', 'stories1T.bin', 'someone/llama')")
    assert out == "FileNotFoundError karpathy/tinyllamas holds no file stories1T.bin"


def test_a_collection_wants_a_file_name(hub, ask):
    def size(name):
        path = hub.folders["karpathy/tinyllamas"] / name
        return f"{name} ({path.stat().st_size / 1e3:.1f} kB)"

    names = ("stories15M.bin", "stories260K/stories260K.bin", "stories260K/tok512.bin")
    assert ask("find('karpathy/tinyllamas')") == (
        "ValueError karpathy/tinyllamas holds several files, and no model's folder: name one of "
        "them with filename= (on the command line, --filename); there are "
        + ", ".join(map(size, names))
    )


@pytest.fixture
def ggufs(hub, model, tokenizer):
    """A repository of GGUF files alone, one of them in two parts."""
    pytest.importorskip("gguf")
    folder = hub.folders["TheBloke/Llama-2-7B-GGUF"] = hub.folders["someone/llama"].parent / "ggufs"
    (folder / "q8").mkdir(parents=True)
    save_model(model, folder / "llama-2-7b.Q4_0.gguf", "gguf", tokenizer=tokenizer, quantize="q4_0")
    save_model(model, folder / "bare.gguf", "gguf")
    for i in (1, 2):
        (folder / "q8" / f"x-0000{i}-of-00002.gguf").write_bytes(bytes(10 * i))
    hub.sizes |= {"llama-2-7b.Q4_0.gguf": 3_825_807_040, "bare.gguf": 0}
    hub.sizes |= {f"q8/x-0000{i}-of-00002.gguf": i * 1_500_000_000 for i in (1, 2)}
    return hub


def test_one_gguf_file_of_a_repository(ggufs, ask, tokenizer):
    out = ask(
        "model, pieces = load('TheBloke/Llama-2-7B-GGUF', 'llama-2-7b.Q4_0.gguf'); "
        "print(model.config.n_heads, pieces.encode('the cat'))"
    )
    assert out == f"4 {tokenizer.encode('the cat')}"
    assert ggufs.fetched == ["TheBloke/Llama-2-7B-GGUF/llama-2-7b.Q4_0.gguf"]
    out = ask("load('TheBloke/Llama-2-7B-GGUF', 'bare.gguf')")
    assert "bare.gguf comes without a tokenizer: give one with tokenizer=" in out


def test_all_parts_of_a_gguf_file_are_fetched(ggufs, ask):
    out = ask("print(find('TheBloke/Llama-2-7B-GGUF', 'q8/x-00002-of-00002.gguf')[0].name)")
    assert out == "x-00002-of-00002.gguf"
    parts = [f"TheBloke/Llama-2-7B-GGUF/q8/x-0000{i}-of-00002.gguf" for i in (1, 2)]
    assert ggufs.fetched == parts


def test_a_repository_of_gguf_files_says_how_large_they_are(ggufs, ask):
    assert ask("load('TheBloke/Llama-2-7B-GGUF')") == (
        "ValueError TheBloke/Llama-2-7B-GGUF holds several files, and no model's folder: name one "
        "of them with filename= (on the command line, --filename); there are bare.gguf, "
        "llama-2-7b.Q4_0.gguf (3.8 GB), q8/x-00001-of-00002.gguf (4.5 GB)"
    )
    assert ggufs.fetched == []


def test_a_repository_of_other_things(ask):
    out = ask("find('someone/pictures')")
    assert out == "ValueError someone/pictures holds no model that this package reads"


def test_gpt2_by_its_short_name(hub, ask):
    out = ask("path, pieces = find('gpt2'); print(path, pieces)")
    assert load_model(out.split()[0]).config == GPT2
    assert out.endswith("None")  # this one has no tokenizer
    assert set(hub.fetched) == {
        f"openai-community/gpt2/{name}" for name in ("config.json", "model.safetensors")
    }


def test_convert_takes_a_repository(hub, ask, tmp_path):
    code = "from llama_tutorial.cli import main; main(['convert', 'someone/llama', 'out'])"
    assert ask(code).count("bytes") == 3
    assert json.loads((tmp_path / "out/config.json").read_text())["format"] == "llama-tutorial"


# Without any hub


LISTING = (
    "config.json", "generation_config.json", "model.safetensors", "pytorch_model.bin", "vocab.json",
    "merges.txt", "tokenizer.json", "onnx/model.onnx", "tf_model.h5", "64.tflite", "README.md",
)  # fmt: skip
SHARDS = (
    "config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors",
    "model.safetensors.index.json", "tokenizer.model", "tokenizer.json",
    "pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json",
)  # fmt: skip


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (LISTING, ["config.json", "model.safetensors", "vocab.json", "merges.txt"]),
        (
            [name for name in LISTING if "safe" not in name and "vocab" not in name],
            ["config.json", "pytorch_model.bin", "tokenizer.json"],
        ),
        (SHARDS, [SHARDS[0], SHARDS[3], *SHARDS[1:3], SHARDS[4]]),
        (
            [name for name in SHARDS if "safe" not in name],
            [SHARDS[0], SHARDS[7], SHARDS[6], SHARDS[4]],
        ),
        (
            ["params.json", "consolidated.00.pth", "consolidated.01.pth", "checklist.chk",
             "tokenizer.model", "LICENSE.txt"],
            ["params.json", "consolidated.00.pth", "consolidated.01.pth", "tokenizer.model"],
        ),
        (["config.json", "model.safetensors"], ["config.json", "model.safetensors"]),
        (  # what may change the meaning of a GPT-2's tokenizer comes with it
            ["config.json", "model.safetensors", "vocab.json", "merges.txt", "added_tokens.json",
             "tokenizer_config.json"],
            ["config.json", "model.safetensors", "vocab.json", "merges.txt",
             "tokenizer_config.json", "added_tokens.json"],
        ),
    ],
)  # fmt: skip
def test_one_form_of_the_weights_is_enough(names, expected):
    assert needed("a/b", names) == expected


@pytest.mark.parametrize("name", ["meta-llama/Llama-2-7b", "a/b", "a1/b.c_d-e"])
def test_what_is_a_repository(name):
    assert is_hub_id(name)


@pytest.mark.parametrize(
    "name",
    ["tails", "a/b/c", "./a/b", "../b", "/a/b", "a/..", "a/b..c", "a b/c", "~/b", "a/", "a\\b"],
)
def test_what_is_none(name):
    assert not is_hub_id(name)


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match=r"pip install 'llama-tutorial\[hub\]'"):
        llama_tutorial.load("someone/llama")
