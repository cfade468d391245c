"""Training on several GPUs: each holds a share of every weight, and works on a share of the rows.

PyTorch's ``fully_shard`` (FSDP2) does it. Between its uses a weight lies cut into as many parts as
there are processes, with its gradient and its two averages in the optimiser, 16 bytes a parameter
in all that are so divided. Before a layer computes, its parts are gathered; after it they are
dropped again. The gradients of all rows are summed, and each process keeps its part.

The numbers are those of one process, up to rounding, which
:func:`llama_tutorial.training.step.train_step` sees to: every gradient is weighted by the number of
targets in the *whole* batch.

Source: Rajbhandari et al. (2020), "ZeRO", stage 3; PyTorch's ``torch.distributed.fsdp``.
"""

from __future__ import annotations

import copy

import torch
from torch import nn

from llama_tutorial.model import Transformer
from llama_tutorial.training.processes import group_device, world_size


def shard(
    model: Transformer, compute_dtype: torch.dtype | None = None, compile: bool = False
) -> Transformer:
    """Leave this process its share of ``model``'s weights, in place.

    The model is then used as before, by all processes at the same time: called, generated with,
    trained by an optimiser that is made afterwards. Its parameters are torch's ``DTensor``.

    Args:
        model: The same in every process. Where it lies on the CPU and the processes have GPUs, it
            goes there layer by layer.
        compute_dtype: What the layers' weights are gathered in, such as ``torch.bfloat16`` for half
            the traffic. Use the model under torch's autocast to the same type then: the matrices
            are those that it would make itself; only the norms' weights are rounded as well.
            Gradients are summed in float32.
        compile: Compile each layer.

    Returns:
        The whole model without its weights, for `gather`.
    """
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard

    whole = _without_weights(model)
    mesh = init_device_mesh(group_device().type, (world_size(),))
    policy = MixedPrecisionPolicy(
        param_dtype=compute_dtype,
        reduce_dtype=None if compute_dtype is None else torch.float32,
        cast_forward_inputs=False,
    )
    for layer in model.layers:
        if compile:  # the computation alone: gathering is nothing to compile
            layer.forward = torch.compile(layer.forward)
        fully_shard(layer, mesh=mesh, mp_policy=policy)
    fully_shard(model, mesh=mesh)  # the rest: embedding, last norm, output head
    return whole


def gather(model: Transformer, whole: Transformer) -> Transformer:
    """The whole model, in the first process's CPU memory; every process must call it.

    Args:
        model: From `shard`, and trained since.
        whole: What `shard` returned. In the first process it is filled.

    Returns:
        ``whole``. In the other processes it stays without weights.
    """
    from torch.distributed.checkpoint.state_dict import StateDictOptions, get_model_state_dict

    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    if state := get_model_state_dict(model, options=options):
        whole.load_state_dict(state, assign=True)
    return whole


def _without_weights(model: Transformer) -> Transformer:
    """A copy, adapters and all, whose parameters have shapes and no storage."""
    known = {
        id(parameter): nn.Parameter(
            torch.empty_like(parameter, device="meta"), requires_grad=parameter.requires_grad
        )
        for parameter in model.parameters()
    }
    return copy.deepcopy(model, known)
