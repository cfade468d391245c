"""The small models that come with the package: what they are called and where they lie.

Nothing to download, and small enough for two processor cores. ``README.md`` beside the files says
how they were made and what they reach, ``train.sh`` makes them again. Nothing here needs torch.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Shipped:
    """Where a model lies that comes with the package.

    Args:
        model: What :func:`~llama_tutorial.checkpoints.load_model` reads: a native folder, or
            a llama2.c file.
        tokenizer: Its tokenizer's file.
        llama2c: The same model as a llama2.c file in int8, for the engine that needs no torch.
    """

    model: Path
    tokenizer: Path
    llama2c: Path


SHIPPED = {
    "tales": Shipped(
        model=_FOLDER / "tales",
        tokenizer=_FOLDER / "tales" / "tokenizer.model",
        llama2c=_FOLDER / "tales-int8.bin",
    ),
    "tales-small": Shipped(
        model=_FOLDER / "tales-small-int8.bin",
        tokenizer=_FOLDER / "tales-small.tokenizer.bin",
        llama2c=_FOLDER / "tales-small-int8.bin",
    ),
    "tales-chat": Shipped(
        model=_FOLDER / "tales-chat-int8.bin",
        tokenizer=_FOLDER / "tales" / "tokenizer.model",
        llama2c=_FOLDER / "tales-chat-int8.bin",
    ),
}
"""By name: ``tales``, 1.3 million parameters; ``tales-small``, a fifth of that, for places where
size counts; ``tales-chat``, which is ``tales`` after its first 16,000 steps, fine-tuned to answer,
in Llama 2's dialog format."""
