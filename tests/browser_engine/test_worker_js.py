"""What a page asks of the engine in a worker: texts, looks inside, order, stops and errors."""

from __future__ import annotations

import json

import numpy as np
import pytest

from llama_tutorial import generate, load
from llama_tutorial.figures.kit.living import page_scripts
from llama_tutorial.numpy_llama import NumpyLlama
from llama_tutorial.shipped import SHIPPED

BEGINNINGS = ["Once upon a time", "", "The dragon", "你好", "🦙", "My name is Zoé"]


def asset(name: str) -> dict:
    """What the script of a model hands to the page."""
    _, _, value = page_scripts()[name].partition("] = ")
    return json.loads(value.rstrip(";\n"))


@pytest.fixture(scope="module")
def ask(engine, tmp_path_factory):
    """Sends requests to a worker with a model, and gives what it posts, by the request's id."""
    opened = []
    for name in ("tales", "tales-chat"):
        path = tmp_path_factory.mktemp("assets") / "asset.json"
        path.write_text(json.dumps(asset(name)), encoding="utf-8")
        opened.append({"id": f"open {name}", "do": "open", "name": name, "path": path})

    def send(*requests: dict, stop: dict | None = None) -> dict[str, list[dict]]:
        """``stop``: after how many tokens of a run (its id) a stop is sent."""
        requests = [{"name": "tales"} | request for request in (*opened, *requests)]
        found: dict[str, list[dict]] = {}
        for message in engine("work", requests=requests, stop=stop or {}):
            found.setdefault(message.pop("id"), []).append(message)
        return found

    return send


def write(run: str, prompt, **options) -> dict:
    return {"id": run, "do": "write", "prompt": prompt, "options": options}


def test_page_has_the_models_that_python_loads(engine, tmp_path) -> None:
    """All weights, bit for bit, though the page's come in 16 bits."""
    for name in SHIPPED:
        path = tmp_path / "asset.json"
        path.write_text(json.dumps(asset(name)), encoding="utf-8")
        engine("unpack", path=path, to=tmp_path / "model.bin")
        ours, theirs = NumpyLlama.load(tmp_path / "model.bin"), load(name)[0]
        ids = list(range(1, 40))
        np.testing.assert_allclose(
            ours.forward(ids), theirs(theirs.tok_embeddings.weight.new_tensor([ids]).long())
            .detach()[0].numpy(), atol=1e-4, rtol=0,
        )  # fmt: skip


@pytest.mark.parametrize("settings", [{"temperature": 0}, {"temperature": 0.6, "seed": 3}])
def test_texts_are_pythons(ask, settings: dict) -> None:
    model, tokenizer = load("tales")
    found = ask(*(write(text, text, **settings) for text in BEGINNINGS))
    for text in BEGINNINGS:
        ids = tokenizer.encode(text, bos=True)
        room = model.config.max_seq_len - len(ids)
        stops = {tokenizer.eos_id, tokenizer.bos_id}
        [expected] = generate(model, [ids], room, stop_ids=stops, **settings)
        *tokens, last = found[text]
        assert last["value"]["ids"] == expected
        assert [one["token"]["id"] for one in tokens] == expected
        assert [one["token"]["position"] for one in tokens] == [
            *range(len(ids), len(ids) + len(expected))
        ]
        assert "".join(one["token"]["text"] for one in tokens) == last["value"]["text"]
        assert text + last["value"]["text"] == tokenizer.decode(ids + expected)
        assert last["value"]["ended"] == "stop id"
