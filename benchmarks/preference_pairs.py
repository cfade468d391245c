"""Pairs of told tales for the chapter on preferences, which has no time to draw them.

    python benchmarks/preference_pairs.py --out runs/told

They are those that ``benchmarks/told_preferences.py`` makes for seed 0, and are taken from its
folder ``--out``, or drawn there: to each of 240 requests of the training split the shipped
``tales-chat`` tells eight tales, and the best and the worst by the world's reward are a pair if
they are far enough apart.
"""

from __future__ import annotations

import argparse
import datetime
import json
import platform
from pathlib import Path

import torch
from told_preferences import first_pool, pairs_of

DATA = Path(__file__).parents[1] / "llama_tutorial" / "data"
APART = 0.2


def main() -> None:
    """Take the pairs and write them, a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, type=Path, help="the folder of the runs")
    parser.add_argument("--pairs", type=int, default=160, help="how many are kept")
    arguments = parser.parse_args()
    (arguments.out / "runs").mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    found = pairs_of(first_pool(arguments, 0), 1, APART)[: arguments.pairs]
    rows = [
        {
            "request": pair.prompt[0]["content"],
            "chosen": pair.chosen,
            "rejected": pair.rejected,
            "grade": pair.grade,
        }
        for pair in found
    ]
    head = {
        "command": f"python benchmarks/preference_pairs.py --pairs {arguments.pairs}",
        "machine": f"{platform.system()} {platform.machine()}, one thread",
        "torch": torch.__version__,
        "date": datetime.date.today().isoformat(),
    }
    kept = ",\n  ".join(json.dumps(row) for row in rows)
    text = json.dumps(head, indent=1)[:-2] + f',\n "pairs": [\n  {kept}\n ]\n}}\n'
    (DATA / "preference_pairs.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
