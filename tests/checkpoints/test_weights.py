"""A model takes loaded tensors as they are, and costs nothing before it has them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from small_models import EVERY, LLAMA, random_model

import llama_tutorial
from llama_tutorial.checkpoints.weights import Checkpoint, check_tensors, empty_model, fill


def checkpoint(model, tensors):
    return Checkpoint(Path("x"), "a test", "float32", empty_model(model.config), tensors)


@pytest.mark.parametrize("name", EVERY)
def test_an_empty_model_has_all_names_and_no_storage(name):
    model, full = empty_model(EVERY[name]), random_model(EVERY[name])
    assert {p.device.type for p in (*model.parameters(), *model.buffers())} == {"meta"}
    shapes = {key: tuple(tensor.shape) for key, tensor in full.state_dict().items()}
    check_tensors(model, shapes, "the model")
    assert model.state_dict().keys() == shapes.keys()


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_a_filled_model_holds_the_tensors_themselves(name):
    full = random_model(EVERY[name])
    model = fill(checkpoint(full, full.state_dict().items), None, "cpu")
    for key, parameter in model.named_parameters():
        assert parameter.requires_grad
        assert parameter.data_ptr() == full.get_parameter(key).data_ptr()
    for key, buffer in full.named_buffers():
        assert torch.equal(model.get_buffer(key), buffer)


def test_each_tensor_is_converted_before_the_next_is_asked_for():
    full, asked = random_model(LLAMA), []

    def one_by_one():
        for name, tensor in full.state_dict().items():
            asked.append(name)
            yield name, tensor

    model = fill(checkpoint(full, one_by_one), torch.bfloat16, "cpu")
    assert asked == list(full.state_dict())
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    assert model.rope.cos.dtype == torch.float32


def test_an_empty_model_does_not_wake_torchs_compiler(tmp_path):
    """Drawing random weights on the meta device would, at the cost of a second."""
    code = (
        "import sys\n"
        "from llama_tutorial import PRESETS\n"
        "from llama_tutorial.checkpoints.weights import empty_model\n"
        "empty_model(PRESETS['stories110M'])\n"
        "empty_model(PRESETS['gpt2'])\n"
        "print([name for name in ('sympy', 'torch._dynamo') if name in sys.modules])\n"
    )
    source = Path(llama_tutorial.__file__).parents[1]
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(source)!r})\n{code}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_the_random_numbers_are_left_alone():
    before = torch.random.get_rng_state()
    empty_model(LLAMA)
    assert torch.equal(torch.random.get_rng_state(), before)
