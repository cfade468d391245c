"""Options of both commands that train with values out of range, and what is said of them."""

from __future__ import annotations

LONG = 10**30
OUT_OF_RANGE = [
    ("--steps 0", "--steps 0: must be at least 1"),
    (f"--steps {LONG}", f"--steps {LONG}: must be at most 99,999,999"),
    ("--steps 3 --warmup 9", "--warmup 9: must be between 0 and --steps 3"),
    ("--warmup -1", "--warmup -1: must be 0 or above"),
    ("--lr inf", "--lr inf: must be above 0 and finite"),
    ("--lr nan", "--lr nan: must be above 0 and finite"),
    ("--lr -1", "--lr -1.0: must be above 0 and finite"),
    ("--lr 1e-999", "--lr 0.0: must be above 0 and finite"),
    ("--weight-decay nan", "--weight-decay nan: must be 0 or above, and finite"),
    ("--weight-decay -0.1", "--weight-decay -0.1: must be 0 or above, and finite"),
    ("--evaluate-every -1", "--evaluate-every -1: must be 0 or above"),
    ("--checkpoint-every -5", "--checkpoint-every -5: must be 0 or above"),
    ("--batch-size 0", "--batch-size 0: must be at least 1"),
    (f"--batch-size {LONG}", f"--batch-size {LONG}: must be at most 100000000"),
    ("--micro-batches 0", "--micro-batches 0: must be at least 1"),
    ("--seed -1", "--seed -1: must be at least 0"),
    ("--seed 99999999999999999999", "--seed 99999999999999999999: must be at most 92233720368547"),
]
