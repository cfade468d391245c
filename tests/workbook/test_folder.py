"""The learner's folder: what is written, how far it is, and the model that comes of it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")


import llama_tutorial  # noqa: E402
from llama_tutorial import cli, generate, load, save_model  # noqa: E402
from llama_tutorial.workbook import folder as workbook  # noqa: E402
from llama_tutorial.workbook.registry import (  # noqa: E402
    chapters,
    every_task,
    further_of,
    solution,
    tasks_of,
)

TASKS = list(every_task())
WAY = [task for task in TASKS if not task.extra]
FURTHER = [task for task in TASKS if task.extra]


@pytest.fixture(scope="module")
def empty(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("empty") / "my-llama"
    workbook.write_workbook(path)
    return path


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("filled") / "solutions"
    workbook.write_workbook(path, solutions=True)
    return path


@pytest.fixture
def copied(filled, tmp_path) -> Path:
    """A filled folder in which a test may make a mistake."""
    return shutil.copytree(filled, tmp_path / "copied")


def edited(folder: Path, chapter: str, right: str, wrong: str) -> None:
    path = folder / "my_llama" / f"{chapter}.py"
    text = path.read_text(encoding="utf-8")
    assert text.count(right) == 1
    path.write_text(text.replace(right, wrong), encoding="utf-8")


def forget() -> None:
    for name in [name for name in sys.modules if name.startswith("my_llama")]:
        del sys.modules[name]


def in_a_process(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(llama_tutorial.__file__).parents[1])}
    command = [sys.executable, "-m", "llama_tutorial", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, encoding="utf-8", env=environment, cwd=cwd
    )


def test_the_filled_workbook_passes_whole(filled):
    done = in_a_process("check", filled)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    ends = [f"{len(WAY)} of {len(WAY)} done"]
    ends += [f"Further: {len(FURTHER)} of {len(FURTHER)} done"] if FURTHER else []
    assert lines[len(TASKS) :] == ends
    assert [line.split() for line in lines[: len(TASKS)]] == [[task.name, "done"] for task in TASKS]


def test_in_the_empty_one_nothing_is_begun(empty, capsys):
    assert cli.main(["check", str(empty)]) == 1
    lines = capsys.readouterr().out.splitlines()
    for line, task in zip(lines, TASKS, strict=False):
        tail = f"{task.minutes} minutes" + (", further" if task.extra else "")
        assert line.split() == [task.name, "not", "begun", *tail.split()]
    minutes = sum(task.minutes for task in WAY)
    ends = [f"0 of {len(WAY)} done, about {minutes} minutes to go"]
    ends += [f"Further: 0 of {len(FURTHER)} done"] if FURTHER else []
    assert lines[len(TASKS) :] == ends


def test_the_filled_workbooks_model_is_the_packages(filled):
    """In a process of its own: nothing of it but the folder and the package."""
    code = """
import json, torch
from llama_tutorial import generate, load
from my_llama import together
model, tokenizer = together.load("tales")
theirs, _ = load("tales")
ids = tokenizer.encode("Once upon a time", bos=True)
with torch.no_grad():
    difference = (model(torch.tensor([ids])) - theirs(torch.tensor([ids]))).abs().max().item()
print(json.dumps([difference, together.tell(model, tokenizer, n_new=60)]))
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(llama_tutorial.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=filled, env=environment, check=True, capture_output=True
    )
    difference, tale = json.loads(done.stdout)
    assert difference < 1e-5
    model, tokenizer = load("tales")
    ids = tokenizer.encode("Once upon a time", bos=True)
    new = generate(model, [ids], 60, temperature=0, stop_ids=[tokenizer.eos_id])[0]
    assert tale == tokenizer.decode(ids + new)
    assert len(tale.split()) > 30


def test_it_loads_metas_format_and_answers(tmp_path):
    from llama_tutorial.chat import encode_dialog
    from llama_tutorial.workbook.solutions import together

    theirs, tokenizer = load("tales-chat")
    save_model(theirs, tmp_path / "meta", "meta", tokenizer=tokenizer)
    question = "Mia was in the garden. She had a red ball. Who had a red ball?"
    model, mine = together.load(tmp_path / "meta")
    ids = encode_dialog([{"role": "user", "content": question}], tokenizer)
    new = generate(theirs, [ids], 40, temperature=0, stop_ids=[tokenizer.eos_id])[0]
    assert together.answer(model, mine, question) == tokenizer.decode(new).strip() != ""


@pytest.mark.parametrize("text", ["Once upon a time", "", " two  spaces ", "é\n☃", "<s> 12"])
def test_its_tokenizer_is_the_packages(text):
    from llama_tutorial.shipped import SHIPPED
    from llama_tutorial.workbook.solutions import together

    _, theirs = load("tales")
    mine = together.read_tokenizer(SHIPPED["tales"].tokenizer)
    for marks in ({}, {"bos": True}, {"bos": True, "eos": True}):
        assert mine.encode(text, **marks) == theirs.encode(text, **marks)
    assert mine.decode(mine.encode(text, bos=True)) == text


# What is written


def test_every_file_is_there(empty):
    names = {str(path.relative_to(empty)) for path in empty.rglob("*") if path.is_file()}
    assert names == {
        "README.md",
        "my_llama/__init__.py",
        "together.ipynb",
        "my_llama/together.py",
        *(f"{chapter}.ipynb" for chapter in chapters()),
        *(f"my_llama/{chapter}.py" for chapter in chapters()),
    }
    text = (empty / "README.md").read_text(encoding="utf-8")
    for task in TASKS:
        assert f"`{task.function}`" in text


def test_stubs_hold_the_specification_and_no_answer(empty, filled):
    for chapter in chapters():
        stub = (empty / "my_llama" / f"{chapter}.py").read_text(encoding="utf-8")
        whole = (filled / "my_llama" / f"{chapter}.py").read_text(encoding="utf-8")
        classes = [isinstance(solution(task), type) for task in tasks_of(chapter)]
        cuts = zip(tasks_of(chapter), classes, strict=True)
        n_stubs = sum(len(task.cut) if is_class else 1 for task, is_class in cuts)
        assert stub.count("raise NotImplementedError") == n_stubs
        assert "raise NotImplementedError" not in whole
        assert max(map(len, stub.splitlines())) <= 100
        assert set(stub.splitlines()) <= {*whole.splitlines(), *_stub_lines(stub)}
        compile(stub, chapter, "exec")


def _stub_lines(stub: str) -> set[str]:
    return {line for line in stub.splitlines() if line.strip() == "raise NotImplementedError"}


def test_notebooks_are_notebooks_whose_cells_run(filled, empty, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    for folder in (empty, filled):
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(str(folder))
        for chapter in chapters():
            path = folder / f"{chapter}.ipynb"
            nbformat.validate(nbformat.read(path, as_version=4))
            names: dict[str, object] = {}
            states = [
                eval(source, names).state if source.startswith("check(") else exec(source, names)
                for source in _code_of(path)
                if "check" in source
            ]
            wanted = "done" if folder == filled else "not begun"
            assert states == [None, *[wanted] * len(tasks_of(chapter))]
        forget()


def test_the_last_notebook_writes_and_answers(filled, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(filled))
    names: dict[str, object] = {}
    for source in _code_of(filled / "together.ipynb"):
        exec(source, names)
    first, second, answer = capsys.readouterr().out.strip().split("\n")[:3]
    assert first.startswith("Once upon a time, ")
    assert second.startswith("Tom had a kite")
    assert "Mia" in answer
    forget()


def test_the_engine_s_notebook_writes(filled, tmp_path, monkeypatch, capsys):
    monkeypatch.syspath_prepend(str(filled))
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    cells = _code_of(filled / "numpy_llama.ipynb")
    for source in (cells[0], *(source for source in cells if "read_llama(" in source)):
        exec(source, names)
    model, tokenizer = load("tales")
    prompt = tokenizer.encode("Once upon a time", bos=True)
    stops = [tokenizer.eos_id]
    [new] = generate(model, [prompt], 80, temperature=0, stop_ids=stops)
    assert capsys.readouterr().out == tokenizer.decode(prompt + new) + "\n"
    forget()


def _code_of(path: Path) -> list[str]:
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return ["\n".join(x for x in s.split("\n") if not x.startswith("%")) for s in sources]


def test_a_learners_files_are_kept(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["workbook"]) == 0
    out = capsys.readouterr().out
    assert "my-llama/README.md\n".replace("/", os.sep) in out
    assert out.endswith(
        "Begin with my-llama/README.md; llama-tutorial check my-llama shows how far you are\n"
    )
    mine = tmp_path / "my-llama" / "my_llama" / "rope.py"
    mine.write_text("# mine\n")
    (tmp_path / "my-llama" / "gqa.ipynb").unlink()
    assert cli.main(["workbook", "my-llama", "--solutions"]) == 0
    first, last, _ = capsys.readouterr().out.splitlines()
    assert first == str(Path("my-llama", "gqa.ipynb"))
    assert last.startswith("Kept as they are, because they were there: README.md, ")
    assert "rope.py" in last
    assert mine.read_text() == "# mine\n"
    assert cli.main(["workbook"]) == 0
    assert capsys.readouterr().out.count("\n") == 1  # all is kept


def test_a_file_in_the_folders_place_is_refused(tmp_path, capsys):
    (tmp_path / "taken").touch()
    assert cli.main(["workbook", str(tmp_path / "taken")]) == 2
    assert "taken is a file: give the name of a folder" in capsys.readouterr().err
    assert cli.main(["workbook", ""]) == 2
    assert "FOLDER is empty: name the folder to write" in capsys.readouterr().err


# How far it is


def test_a_mistake_is_named_and_what_needs_it_waits(copied, capsys):
    edited(copied, "gqa", "x.repeat_interleave(group_size, dim=1)", "x.repeat(1, group_size, 1, 1)")
    assert cli.main(["check", str(copied), "gqa", "model.Block", "rope"]) == 1
    out = capsys.readouterr().out
    lines = [line.split() for line in out.split("\n\n")[0].splitlines()]
    states = {name: state for name, state, *_ in lines if "." in name}
    assert states == {
        "gqa.repeat_kv": "wrong",
        "gqa.causal_mask": "done",
        "gqa.attention": "waits",
        "gqa.Cache": "done",
        "gqa.Attention": "waits",
        **{task.name: "done" for task in further_of("gqa")},
        "model.Block": "waits",
        **{task.name: "done" for task in tasks_of("rope")},
    }
    assert "\n\ngqa.repeat_kv is wrong. You repeat the heads in rounds: 0, 1, 0, 1." in out
    assert cli.main(["check", str(copied), "gqa.attention"]) == 1
    out = capsys.readouterr().out
    assert "gqa.attention waits. It is right by itself, but it needs gqa.repeat_kv: do" in out
    assert cli.main(["check", str(copied), "rope", "gqa.Cache"]) == 0


def test_a_file_that_cannot_be_read_is_told_with_its_line(copied, capsys):
    path = copied / "my_llama" / "rope.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n\ndef broken(:\n", encoding="utf-8")
    assert cli.main(["check", str(copied), "rope", "gqa", "swiglu"]) == 1
    out = capsys.readouterr().out
    assert out.count(" wrong ") == len(tasks_of("rope")) + len(tasks_of("gqa"))
    assert "my_llama/rope.py cannot be imported: SyntaxError: " in out
    assert "of rope.py: `def broken(:`." in out
    edited(copied, "rope", "\n\ndef broken(:\n", "\nimport no_such_thing\n")
    assert cli.main(["check", str(copied), "rope.rotate"]) == 1
    assert "ModuleNotFoundError: No module named 'no_such_thing'" in capsys.readouterr().out


def test_what_is_missing_is_not_begun(copied, capsys):
    (copied / "my_llama" / "rmsnorm.py").unlink()
    edited(copied, "swiglu", "def hidden_dim(", "def width(")
    assert cli.main(["check", str(copied), "rmsnorm.rms_norm", "swiglu.hidden_dim"]) == 1
    assert capsys.readouterr().out.count("not begun") == 2


def test_what_the_learners_code_prints_is_not_shown(copied, capsys):
    edited(copied, "swiglu", "return z * torch", "print('hello')\n    return z * torch")
    assert cli.main(["check", str(copied), "swiglu"]) == 0
    assert "hello" not in capsys.readouterr().out


def test_two_folders_do_not_mix(empty, filled, capsys):
    for folder, code in ((filled, 0), (empty, 1), (filled, 0)):
        assert cli.main(["check", str(folder), "swiglu"]) == code
    assert not [name for name in sys.modules if name.startswith("my_llama")]
    assert str(filled) not in sys.path


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere holds no my_llama: it is no workbook; llama-tutorial workbook nowh"),
        (["rope"], "name the workbook before what is to be checked: llama-tutorial check my-llama"),
        (["FOLDER", "rpe"], "no chapter 'rpe' in the workbook; close to it are rope"),
        (["FOLDER", "rope.rot"], "no task 'rope.rot' in the workbook; the chapter has rope.rope_t"),
    ],
)
def test_a_slip_in_the_command_is_told(arguments, sentence, empty, capsys):
    given = [str(empty) if word == "FOLDER" else word for word in arguments]
    assert cli.main(["check", *given]) == 2
    assert sentence in capsys.readouterr().err


def test_help_and_completion(capsys):
    for command in ("workbook", "check"):
        with pytest.raises(SystemExit):
            cli.main([command, "--help"])
        assert "FOLDER" in capsys.readouterr().out
    from llama_tutorial.cli import completion

    assert completion._NAMES_ALONE["tasks"] == chapters()
