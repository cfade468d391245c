"""What a page asks of the engine in a worker: texts, looks inside, order, stops and errors."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from llama_tutorial import generate, load
from llama_tutorial.chat import encode_dialog
from llama_tutorial.figures.kit.living import page_scripts
from llama_tutorial.figures.model.live import read_out, trace
from llama_tutorial.figures.quantization import rounded_model
from llama_tutorial.numpy_llama import llama2c
from llama_tutorial.quantization import QuantizedTensor
from llama_tutorial.sampling import next_probabilities
from llama_tutorial.shipped import SHIPPED

BEGINNINGS = ["Once upon a time", "", "The dragon", "你好", "🦙", "My name is Zoé"]


def asset(name: str) -> dict:
    """What the script of a model hands to the page."""
    _, _, value = page_scripts()[name].partition("] = ")
    return json.loads(value.rstrip(";\n"))


@pytest.fixture(scope="module")
def ask(engine, tmp_path_factory):
    """Sends requests to a worker with a model, and gives what it posts, by the request's id."""
    assets = {}
    for name in ("tales", "tales-chat"):
        assets[name] = tmp_path_factory.mktemp("assets") / f"{name}.json"
        assets[name].write_text(json.dumps(asset(name)), encoding="utf-8")

    def send(*requests: dict, stop: dict | None = None) -> dict[str, list[dict]]:
        """``stop``: after how many tokens of a run (its id) a stop is sent; ``now``: at once."""
        requests = [{"name": "tales"} | request for request in requests]
        for name in sorted({one["name"] for one in requests} & assets.keys()):
            opening = {"id": f"open {name}", "do": "open", "name": name, "path": assets[name]}
            requests.insert(0, opening)
        found: dict[str, list[dict]] = {}
        for message in engine("work", requests=requests, stop=stop or {}):
            found.setdefault(message.pop("id"), []).append(message)
        return found

    return send


def write(run: str, prompt, **options) -> dict:
    return {"id": run, "do": "write", "prompt": prompt, "options": options}


@pytest.mark.parametrize("name", sorted(SHIPPED))
def test_page_has_the_models_that_python_loads(engine, tmp_path, name: str) -> None:
    """All weights, bit for bit, though the page's come in 16 bits and packed."""
    path = tmp_path / "asset.json"
    path.write_text(json.dumps(asset(name)), encoding="utf-8")
    engine("unpack", path=path, to=tmp_path / "model.bin")
    theirs = load(name)[0].state_dict()
    ours = llama2c.read(tmp_path / "model.bin").tensors
    for key, tensor in ours.items():
        found = tensor.dequantize() if isinstance(tensor, QuantizedTensor) else tensor
        np.testing.assert_array_equal(found, theirs[key].float().numpy())
    assert len(ours) > 10


def test_browser_that_cannot_unpack_says_so(engine, tmp_path) -> None:
    path = tmp_path / "asset.json"
    path.write_text(json.dumps(asset("tales-small")), encoding="utf-8")
    with pytest.raises(ValueError, match="cannot unpack the weights: that takes one from 2023"):
        engine("unpack", path=path, to=tmp_path / "model.bin", old=True)


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


def test_runs_wait_for_each_other(ask) -> None:
    found = ask(*(write(str(i), "Once", seed=i, maxNewTokens=20) for i in range(4)))
    alone = [ask(write("alone", "Once", seed=i, maxNewTokens=20))["alone"] for i in range(4)]
    assert [found[str(i)][-1]["value"]["ids"] for i in range(4)] == [
        one[-1]["value"]["ids"] for one in alone
    ]


def test_a_stop_ends_a_run_within_a_token(ask) -> None:
    whole = ask(write("whole", "Once", temperature=0))["whole"][-1]["value"]
    found = ask(
        write("cut", "Once", temperature=0), write("next", "Once", temperature=0), stop={"cut": 7}
    )
    *tokens, last = found["cut"]
    assert last["value"]["ended"] == "stopped"
    assert len(tokens) == len(last["value"]["ids"]) == 7
    assert last["value"]["ids"] == whole["ids"][:7]
    assert found["next"][-1]["value"]["ids"] == whole["ids"]


def test_a_stop_ends_a_run_that_waits_and_one_that_reads_its_beginning(ask) -> None:
    long = [1, *range(300, 500)]
    found = ask(write("first", "Once", maxNewTokens=5), write("waits", long), stop={"now": "waits"})
    assert found["first"][-1]["value"]["ended"] == "length"
    assert [one["value"]["ids"] for one in found["waits"]] == [[]]
    assert found["waits"][0]["value"]["ended"] == "stopped"


def test_what_it_sees_is_what_python_computes(ask) -> None:
    """Candidates, attention, and each layer's guess, of the beginning's tokens too."""
    model, tokenizer = load("tales")
    look = {"candidates": 5, "attention": True, "lens": True, "logits": True}
    settings = {"temperature": 0.8, "topK": 4, "topP": 0.7}
    found = ask(write("run", "The dragon", seed=1, maxNewTokens=6, look=look, **settings))["run"]
    value = found[-1]["value"]
    ids = value["promptIds"] + value["ids"]
    seen = [one["seen"] for one in found if "seen" in one]
    assert [one["position"] for one in seen] == list(range(len(ids) - 1))
    assert [one["id"] for one in seen] == ids[:-1]
    inside = trace(model, torch.tensor(ids[:-1]))
    layers = [read_out(model, stream) for stream in inside["stream"][2::2]]  # after each of them
    logits = model(torch.tensor([ids[:-1]])).detach()[0]
    for position, one in enumerate(seen):
        np.testing.assert_allclose(one["logits"], logits[position], atol=1e-4, rtol=0)
        before = logits[position].softmax(-1)
        after = next_probabilities(logits[position], 0.8, top_k=4, top_p=0.7)
        assert [each["id"] for each in one["candidates"]] == before.topk(5).indices.tolist()
        for each in one["candidates"]:
            assert each["piece"] == tokenizer.id_to_piece(each["id"]).replace("▁", " ")
            assert each["before"] == pytest.approx(before[each["id"]].item(), abs=1e-5)
            assert each["after"] == pytest.approx(after[each["id"]].item(), abs=1e-5)
        for heads, expected in zip(one["attention"], inside["weights"], strict=True):
            expected = expected[:, position, : position + 1]
            np.testing.assert_allclose(heads, expected, atol=1e-5, rtol=0)
        guesses = [layer[position].max(-1) for layer in layers]
        assert [each["id"] for each in one["lens"]] == [each.indices.item() for each in guesses]
        for each, guess in zip(one["lens"], guesses, strict=True):
            assert each["probability"] == pytest.approx(guess.values.item(), abs=1e-5)


@pytest.mark.parametrize("lens", [False, True])
def test_flow_is_what_the_trace_of_python_keeps(ask, lens: bool) -> None:
    """The stream, what the norms made of it, what was added, and the gated activations."""
    model, _ = load("tales", dtype=torch.float64)
    look = {"flow": True, "lens": lens}
    request = {"id": "run", "do": "read", "prompt": "The dragon flew", "options": {"look": look}}
    *seen, last = ask(request, {**request, "id": "blind", "options": {}})["run"]
    inside = trace(model, torch.tensor(last["value"]["ids"]))
    guesses = [read_out(model, stream).topk(3) for stream in inside["stream"]]
    for position, one in enumerate(seen):
        flow = one["seen"]["flow"]
        for name in ("stream", "normed", "added", "hidden"):
            expected = torch.stack(inside[name])[:, position]
            np.testing.assert_allclose(flow[name], expected, atol=1e-5, rtol=0)
        for three, expected in zip(flow["guesses"], guesses, strict=True):
            assert [each["id"] for each in three] == expected.indices[position].tolist()
            found = [each["probability"] for each in three]
            np.testing.assert_allclose(found, expected.values[position], atol=1e-5, rtol=0)


def test_to_look_changes_no_text(ask) -> None:
    plain = ask(write("run", "The dragon", seed=1))["run"][-1]["value"]["ids"]
    looked = ask(
        write("run", "The dragon", seed=1, look=True), write("after", "The dragon", seed=1)
    )
    flows = write("flow", "The dragon", seed=1, look={"flow": True})
    after_flows = ask(flows, write("after", "The dragon", seed=1))
    assert [after_flows[run][-1]["value"]["ids"] for run in ("flow", "after")] == [plain, plain]
    assert looked["run"][-1]["value"]["ids"] == plain
    assert not any("seen" in one for one in looked["after"])


def test_reading_looks_at_every_token_of_a_text(ask) -> None:
    request = {"id": "run", "do": "read", "prompt": "The dragon flew", "options": {"look": True}}
    found = ask(request, {**request, "id": "blind", "options": {}})
    *seen, last = found["run"]
    assert [one["seen"]["id"] for one in seen] == last["value"]["ids"]
    assert last["value"]["ids"] == load("tales")[1].encode("The dragon flew", bos=True)
    assert found["blind"] == [last]


def test_characters_of_several_tokens_stream_whole(ask) -> None:
    """Ids of bytes go on with a character that the beginning has begun."""
    half = [1, *(byte + 3 for byte in "🦙".encode()[:2])]
    found = ask(write("run", half, temperature=2, topP=1, seed=3, maxNewTokens=40))["run"]
    *tokens, last = found
    assert "".join(one["token"]["text"] for one in tokens) == last["value"]["text"]
    tokenizer = load("tales")[1]
    decoder = tokenizer.stream_decoder()
    for each in half:
        decoder.feed(each)
    expected = [decoder.feed(each) for each in last["value"]["ids"]]
    assert [one["token"]["text"] for one in tokens][: len(expected)] == expected


def test_a_dialog_is_answered(ask) -> None:
    model, tokenizer = load("tales-chat")
    dialog = [{"role": "user", "content": "Tell me a story about a fox."}]
    for question in ("Who is the story about?", "What did the fox find?"):
        prompt = encode_dialog(dialog, tokenizer)
        given = write("run", dialog, temperature=0) | {"name": "tales-chat"}
        found = ask(given)["run"][-1]["value"]
        room = model.config.max_seq_len - len(prompt)
        stops = {tokenizer.bos_id, tokenizer.eos_id}
        assert found["promptIds"] == prompt
        assert found["ids"] == generate(model, [prompt], room, temperature=0, stop_ids=stops)[0]
        dialog += [
            {"role": "assistant", "content": found["text"]},
            {"role": "user", "content": question},
        ]


def test_a_bug_is_of_its_own_run_only(ask) -> None:
    sound = write("sound", "The dragon", temperature=0)
    found = ask(write("bug", "The dragon", temperature=0, bug="not_rotated"), sound)
    alone = ask(sound)["sound"][-1]["value"]["ids"]
    assert found["sound"][-1]["value"]["ids"] == alone
    assert found["bug"][-1]["value"]["ids"] != alone


def test_words_become_ids_and_ids_words(ask) -> None:
    text = {"id": "text", "do": "encode", "text": "A 🦙", "bos": True, "eos": True}
    ids = ask(text)["text"][0]["value"]["ids"]
    tokenizer = load("tales")[1]
    assert ids == tokenizer.encode("A 🦙", bos=True, eos=True)
    assert ask({"id": "ids", "do": "decode", "ids": ids})["ids"][0]["value"] == "A 🦙"
    pieces = ask(text)["text"][0]["value"]["pieces"]
    assert pieces == [tokenizer.id_to_piece(each).replace("▁", " ") for each in ids]
    dialog = [{"role": "user", "content": "Hello."}]
    asked = ask(text | {"text": dialog})["text"][0]["value"]["ids"]
    assert asked == encode_dialog(dialog, tokenizer)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (write("run", "🦙" * 100), "this beginning is 402 tokens long; the model holds 256"),
        (write("run", "Once", temperature=-1), "temperature=-1: must be 0"),
        (write("run", "a\ud83e"), "cannot be encoded"),
        (write("run", [1, 5000]), "id 5000 is out of range: this vocabulary has ids 0"),
        (write("run", "Once", bug="no such bug"), "no bug no such bug; there are half_split"),
        (write("run", "Once") | {"name": "gpt"}, 'no model "gpt" is open'),
    ],
)
def test_what_goes_wrong_is_answered_in_words(ask, request_: dict, message: str) -> None:
    found = ask(request_, write("next", "Once", temperature=0, maxNewTokens=3))
    assert message in found["run"][-1]["error"]
    assert len(found["next"][-1]["value"]["ids"]) == 3  # and the next one runs


def test_rounded_weights_write_what_python_writes_with_them(ask) -> None:
    model, tokenizer = load("tales", dtype=torch.float64)
    stops = {tokenizer.bos_id, tokenizer.eos_id}
    settings = [(4, 32), (2, "matrix"), (3, "row"), (2, 16), None]
    requests = {
        (setting, beginning): write(
            f"{setting} {beginning}",
            beginning,
            temperature=0,
            maxNewTokens=24,
            **({"quantize": dict(zip(("bits", "group"), setting, strict=True))} if setting else {}),
        )
        for setting in settings
        for beginning in ("Once upon a time", "The dragon")
    }
    answers = ask(*requests.values())
    for (setting, beginning), request in requests.items():
        rounded = rounded_model(model, *setting) if setting else model
        prompt = tokenizer.encode(beginning, bos=True)
        [ids] = generate(rounded, [prompt], 24, temperature=0, stop_ids=stops)
        assert answers[request["id"]][-1]["value"]["ids"] == ids, request["id"]
