"""Fine-tuning on dialogs: examples with their labels, packing them into rows, dialog files."""

from llama_tutorial.finetuning.examples import Example, encode_example, with_context

__all__ = ["Example", "encode_example", "with_context"]
