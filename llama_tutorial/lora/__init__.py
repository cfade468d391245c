"""LoRA: one adapted layer (:mod:`.linear`), and adapters for a whole model (:mod:`.adapters`)."""

from llama_tutorial.lora.adapters import (
    TARGETS,
    LoRAConfig,
    adapter_state,
    adapters_off,
    add_lora,
    lora_config,
    lora_layers,
    merge_lora,
    remove_lora,
    unmerge_lora,
)
from llama_tutorial.lora.linear import LoRALinear

__all__ = [
    "TARGETS",
    "LoRAConfig",
    "LoRALinear",
    "adapter_state",
    "adapters_off",
    "add_lora",
    "lora_config",
    "lora_layers",
    "merge_lora",
    "remove_lora",
    "unmerge_lora",
]
