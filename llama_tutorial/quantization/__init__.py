"""Weights as integers of 8 or 4 bits: the formats, the products with them, whole models."""

from llama_tutorial.quantization.formats import (
    Int4Tensor,
    QuantizedTensor,
    check_group_size,
    fitting_group,
    packed_bytes,
    quantize,
    quantize_int4,
)

__all__ = [
    "Int4Tensor",
    "QuantizedTensor",
    "check_group_size",
    "fitting_group",
    "packed_bytes",
    "quantize",
    "quantize_int4",
]
