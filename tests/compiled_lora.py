"""Run by test_lora.py in a process of its own: adapters compile, without a break."""

from __future__ import annotations

import small_models
import torch

from llama_tutorial.lora import add_lora, lora_layers, merge_lora, unmerge_lora

config = small_models.LLAMA.replace(n_layers=1)
model, tokens = small_models.random_model(config), small_models.random_tokens(config, 2, 9)
add_lora(model, dropout=0.1)
for layer in lora_layers(model).values():
    torch.nn.init.normal_(layer.lora_b)
# No code is generated for the processor: what is asked is whether torch can follow the Python.
compiled = torch.compile(model, backend="aot_eager", fullgraph=True)
torch.testing.assert_close(compiled(tokens), model(tokens), rtol=0, atol=1e-4)
merge_lora(model)
torch.testing.assert_close(compiled(tokens), model(tokens), rtol=0, atol=1e-4)
unmerge_lora(model)

gradients = []
for function in (model, compiled):
    function(tokens).logsumexp(-1).sum().backward()
    gradients.append([p.grad for p in model.parameters() if p.requires_grad])
    model.zero_grad()
torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)
model.train()
compiled(tokens).sum().backward()  # with dropout
print("the same")
