"""The options of ``llama-tutorial finetune``, and what is taken where they say nothing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llama_tutorial.cli.options import add_device


@dataclass(frozen=True)
class Defaults:
    """What is taken where no option says otherwise."""

    lr: float
    lora_lr: float
    batch_size: int
    context: int
    epochs: float | int
    warmup_share: float = 0.03  # the paper does not give it


SMALL = Defaults(lr=2e-3, lora_lr=5e-3, batch_size=4, context=512, epochs=1)
PAPER = Defaults(lr=2e-5, lora_lr=2e-4, batch_size=64, context=4096, epochs=2)
SMALL_MODEL = 100_000_000  # parameters


def add_data(group: Any) -> None:
    """What to learn from, and how it is laid into rows."""
    group.add_argument("--data", default="tales", help="tales, or a .jsonl file of dialogs")
    group.add_argument("--validation", help="another file; by default the last tenth of --data")
    group.add_argument("--dialogs", type=int, default=15_000, help="how many about tales")
    group.add_argument(
        "--packing",
        choices=["documents", "concatenate"],
        default="documents",
        help="keep dialogs whole and apart, or lay them end to end as in the paper",
    )
    group.add_argument("--context", type=int, help="tokens of a row")


def add_lora_options(group: Any) -> None:
    """Adapters in place of all weights."""
    group.add_argument("--lora", action="store_true", help="train adapters beside frozen weights")
    group.add_argument("--rank", type=int, default=8)
    group.add_argument("--alpha", type=float, default=16.0)
    group.add_argument("--dropout", type=float, default=0.0)
    group.add_argument("--targets", nargs="+", help="layers, such as wq wv; by default all")


def add_training(group: Any) -> None:
    """Epochs, sizes and rates; what is None comes from :class:`Defaults`."""
    group.add_argument("--epochs", type=float, help="how often each row is seen")
    group.add_argument("--batch-size", type=int, help="rows of --context tokens")
    group.add_argument("--micro-batches", type=int, default=1, help="parts of a batch, for memory")
    group.add_argument("--lr", type=float, help="the peak")
    group.add_argument("--warmup", type=int, help="steps")
    group.add_argument("--weight-decay", type=float, default=0.1)
    group.add_argument("--evaluate-every", type=int, default=250, help="steps")
    group.add_argument("--checkpoint-every", type=int, default=250, help="steps")
    group.add_argument("--seed", type=int, default=0)
    group.add_argument("--autocast", choices=["bfloat16"], help="compute in it")
    group.add_argument("--compile", action="store_true")
    group.add_argument("--gradient-checkpointing", action="store_true")
    add_device(group)
