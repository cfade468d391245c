"""Turn the finished runs of ``llama_tutorial/shipped/train.sh`` into the files that are shipped.

    bash llama_tutorial/shipped/train.sh runs && python scripts/ship_models.py runs

It writes the models, their tokenizers, and for each a log, the losses and their curve.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from llama_tutorial import load_model, load_tokenizer, save_model
from llama_tutorial.figures import style
from llama_tutorial.shipped import SHIPPED

EVERY = 20  # steps in a row of the table


def main(runs: Path) -> None:
    """Ship both."""
    tales, small = SHIPPED["tales"], SHIPPED["tales-small"]
    tokenizer = load_tokenizer(runs / "tales" / "tokenizer.model")
    model = load_model(runs / "tales" / "model")
    # The int8 file is made from the weights that were trained, not from their bfloat16 rounding.
    save_model(model, tales.llama2c, "llama2c-int8")
    save_model(model.to(torch.bfloat16), tales.model, tokenizer=tokenizer)
    save_model(load_model(runs / "tales-small" / "model"), small.llama2c, "llama2c-int8")
    tokenizer.save_tokenizer_bin(small.tokenizer)
    for name in SHIPPED:
        folder = tales.model.parent / "training"
        folder.mkdir(exist_ok=True)
        log = (runs / f"{name}.log").read_text(encoding="utf-8").splitlines(keepends=True)
        # The last line says where the run lay.
        kept = [line for line in log if not line.startswith("finished")]
        (folder / f"{name}.log").write_text("".join(kept), encoding="utf-8")
        rows = thinned(runs / name / "metrics.jsonl")
        write_table(rows, folder / f"{name}.csv")
        draw(rows, name, folder / f"{name}.svg")


def thinned(metrics: Path) -> list[dict[str, float | str]]:
    """The mean loss of every :data:`EVERY` steps, and the validation loss where there is one."""
    lines = [json.loads(line) for line in metrics.read_text(encoding="utf-8").splitlines()]
    rows = []
    for last in range(EVERY, len(lines) + 1, EVERY):
        part = lines[last - EVERY : last]
        rows.append(
            {
                "step": part[-1]["step"],
                "tokens": sum(line["tokens"] for line in lines[:last]),
                "loss": round(sum(line["loss"] for line in part) / EVERY, 4),
                "validation_loss": round(part[-1]["validation_loss"], 4)
                if "validation_loss" in part[-1]
                else "",
            }
        )
    return rows


def write_table(rows: list[dict[str, float | str]], path: Path) -> None:
    """As CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def draw(rows: list[dict[str, float | str]], name: str, path: Path) -> None:
    """The loss over the tokens that were seen."""
    style.use()
    fig, ax = plt.subplots()
    millions = [row["tokens"] / 1e6 for row in rows]
    ax.plot(millions, [row["loss"] for row in rows], label="training")
    judged = [row for row in rows if row["validation_loss"] != ""]
    ax.plot(
        [row["tokens"] / 1e6 for row in judged],
        [row["validation_loss"] for row in judged],
        "o--",
        label="validation",
    )
    ax.set(xlabel="tokens seen (millions)", ylabel="loss (nats a token)", yscale="log", title=name)
    ax.legend()
    fig.savefig(path, bbox_inches="tight")
    plt.close(fig)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]))
