"""What installs a package that is missing."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from llama_tutorial._util.extras import install_hint

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))[
    "project"
]


@pytest.mark.parametrize(
    ("extra", "own"),
    [
        ("torch", "torch"),
        ("notebooks", "notebooks"),
        ("notebooks", "figures"),
        ("fast", "fast"),
        ("hub", "hub"),
        ("tensorboard", "tensorboard"),
        ("gguf", "gguf"),
    ],
)
def test_what_an_extra_brings_is_found_in_it(extra, own):
    """The extra ``notebooks`` takes in ``figures``."""
    for requirement in PROJECT["optional-dependencies"][own]:
        if requirement.startswith("llama-tutorial["):
            continue
        name = re.match(r"[\w-]+", requirement)[0]
        assert install_hint(name) == f"pip install 'llama-tutorial[{extra}]'"
        assert install_hint(f"{name}.part.of_it") == install_hint(name)


def test_what_no_extra_brings():
    assert install_hint("numpy") == "pip install numpy"
    assert install_hint("llama_tutorial.nothing") is None
    assert install_hint(None) is None
