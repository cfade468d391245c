"""The house rules of the package and of the repository, as far as a machine can hold them."""

from __future__ import annotations

import ast
import doctest
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbformat")
pytest.importorskip("yaml")

import api_page
import set_url
import yaml

import llama_tutorial

ROOT = Path(__file__).resolve().parent.parent

# A room imports only from floors below its own. A folder is one room, but for those of its modules
# that are named here.
FLOORS = [
    {"config", "shipped", "tales", "browser"},
    {"_util"},
    # the decoder
    {"rmsnorm", "rope", "swiglu", "gpt", "kv_cache", "quantization"},
    {"gqa", "sampling", "_util.fast_linear", "quantization.linear"},
    {"model", "tokenizer"},
    {"generation", "numpy_llama", "lora", "bugs"},
    # what is done with a model
    {"chat"},
    {"checkpoints"},
    {"training", "hub", "evaluation"},
    {"pretraining", "finetuning"},
    # what people use
    {"cli", "figures"},
]


# The package


def _imports(tree: ast.AST) -> list[str]:
    """Full names of what is imported, at the top or in a function, but not for type checkers."""
    names: list[str] = []
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only"
            names += [f"{node.module}.{alias.name}" for alias in node.names]
        names += _imports(node)
    return names


def _floor(name: str) -> int:
    """The floor of a module: its own, or its room's."""
    for place in (name, name.split(".")[0]):
        for height, floor in enumerate(FLOORS):
            if place in floor:
                return height
    raise AssertionError(f"{name} has no floor: put it into FLOORS in tests/test_house.py")


MODULES = api_page.modules()
each_module = pytest.mark.parametrize("name", MODULES)


@each_module
def test_module_imports_only_from_floors_below(name: str) -> None:
    own = name.split(".")[0]
    for imported in _imports(ast.parse(MODULES[name].read_text(encoding="utf-8"))):
        package, _, rest = imported.partition(".")
        if package != "llama_tutorial" or rest.split(".")[0] == own:
            continue
        target = ".".join(rest.split(".")[:2])
        assert _floor(target) < _floor(name), f"{name} imports {imported}"


@each_module
def test_module_reads_annotations_late(name: str) -> None:
    """So that shapes in signatures cost nothing, and names of the future need no quotes."""
    lines = MODULES[name].read_text(encoding="utf-8").splitlines()
    has_code = any(line.startswith(("def ", "class ")) for line in lines)
    assert not has_code or "from __future__ import annotations" in lines


def test_api_pages_hold_every_module() -> None:
    pages = api_page.pages()
    written = {path: (ROOT / "book" / path).read_text(encoding="utf-8") for path in pages}
    assert written == pages, "run: python scripts/api_page.py"
    there = {path.relative_to(ROOT / "book") for path in (ROOT / "book" / "api").iterdir()}
    assert there == pages.keys() - {Path("api.md")}, "a page of a section that is gone"
    everything = "".join(written.values())
    assert all(f".. automodule:: llama_tutorial.{name}\n" in everything for name in MODULES)


def test_the_examples_of_the_api_run() -> None:
    path = ROOT / "book" / "api.md"
    failed, tried = doctest.testfile(str(path), module_relative=False, encoding="utf-8")
    assert not failed
    assert tried > 20


# The repository


def _committed() -> list[Path]:
    if not (ROOT / ".git").exists():  # a source distribution, which lists what it holds
        [listed] = ROOT.glob("*.egg-info/SOURCES.txt")
        names = [name for name in listed.read_text("utf-8").splitlines() if "egg-info" not in name]
    else:
        git = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        done = subprocess.run(git, cwd=ROOT, capture_output=True, text=True, check=True)
        names = done.stdout.splitlines()
    return [ROOT / name for name in names if (ROOT / name).is_file()]


def _project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


def test_the_repositorys_address_is_edited_in_one_place() -> None:
    url = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]["url"]
    places = {path.relative_to(ROOT).as_posix() for path in _committed() if url in _text(path)}
    written = {place for place in places if re.fullmatch(r"book/\w+\.ipynb", place)}
    assert places - written == {"_config.yml", *set_url.FILES}, "run: python scripts/set_url.py"


def test_the_version_is_the_same_everywhere() -> None:
    version = _project()["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    changes = re.findall(r"^## (.+)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    released = next(heading for heading in changes if heading != "Unreleased")
    assert llama_tutorial.__version__ == version == citation["version"]
    assert released == f"{version}, {citation['date-released']}"
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert config["repository"]["branch"] == f"v{version}"  # what the notebooks install


def test_nothing_foreign_runs_by_a_name_that_can_be_moved() -> None:
    """Actions by commit: whoever takes over a tag of theirs would run code with our rights."""
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        uses = re.findall(r"\buses: (.+)", workflow.read_text(encoding="utf-8"))
        assert uses
        assert all(re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v[\d.]+", use) for use in uses)


def test_no_file_names_a_machine_or_a_registry() -> None:
    # Pieced together, so that this file does not find itself.
    folders = [f"/{name}/" for name in ("root", "home", "Users", "work", "tmp")]
    hosts = ["pypi" + ".org", "python" + "hosted", "local" + "host:", "files.pythonh" + "osted"]
    pattern = re.compile(
        "|".join(rf"(?<![\w.)}}/]){re.escape(f)}" for f in folders) + "|" + "|".join(hosts)
    )
    found = {
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in _committed()
        for match in [pattern.search(_text(path))]
        if match
    }
    assert found == set()


def test_requirements_are_exact_and_know_the_package() -> None:
    lines = [line.strip() for line in (ROOT / "requirements.txt").read_text().splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    assert lines[0] == "-c constraints.txt"
    assert lines[-1] == "-e ."
    pinned = lines[1:-1] + [
        line
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in pinned)
    names = [re.sub(r"[-_.]+", "-", line.split("==")[0]).lower() for line in pinned]
    assert len(set(names)) == len(names)


def test_requirements_hold_every_extra_of_the_package() -> None:
    project = _project()
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    wanted = [line for group in groups for line in group]
    names = {re.match(r"[\w-]+", line)[0].lower().replace("_", "-") for line in wanted}
    text = (ROOT / "requirements.txt").read_text().lower().replace("_", "-")
    names -= {"llama-tutorial"}  # one extra that takes in another
    assert {name for name in names if f"\n{name}==" not in text} == set()


@pytest.mark.parametrize(
    "command", ["ruff check --output-format=concise", "ruff format --check", "mypy"]
)
def test_linters_and_the_type_checker_are_content(command: str) -> None:
    name, *arguments = command.split()
    tool = Path(sys.executable).with_name(name)
    if not tool.exists():
        pytest.skip(f"{name} is not installed beside this Python")
    done = subprocess.run([tool, *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
