"""Turn the finished runs of ``llama_tutorial/shipped/train.sh`` into the files that are shipped.

    bash llama_tutorial/shipped/train.sh runs && python scripts/ship_models.py runs

It writes the models, their tokenizers, and for each a log, the losses and their curve. Names behind
the folder ship those alone.
"""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import torch

from llama_tutorial import figures, load_model, load_tokenizer, save_model
from llama_tutorial.shipped import SHIPPED

EVERY = 20  # steps in a row of the table
# Runs, one after the other.
PARTS = {"tales": ["tales-first", "tales"], "tales-chat": ["tales-chat-first", "tales-chat"]}


def main(runs: Path, names: list[str]) -> None:
    """Ship the models of these names, whose runs lie in ``runs``."""
    for name in names or list(SHIPPED):
        {"tales": ship_tales, "tales-small": ship_small, "tales-chat": ship_chat}[name](runs)
        folder = SHIPPED["tales"].model.parent / "training"
        folder.mkdir(exist_ok=True)
        parts = PARTS.get(name, [name])
        logs = [(runs / f"{part}.log").read_text(encoding="utf-8") for part in parts]
        # The last line of a run says where it lay.
        lines = "".join(logs).splitlines(keepends=True)
        kept = [line for line in lines if not line.startswith("finished")]
        (folder / f"{name}.log").write_text("".join(kept), encoding="utf-8")
        rows = thinned([runs / part / "metrics.jsonl" for part in parts])
        write_table(rows, folder / f"{name}.csv")
        draw(rows, name, folder / f"{name}.svg")


def ship_tales(runs: Path) -> None:
    """In bfloat16, and in int8 for the engine that needs no torch."""
    model = load_model(runs / "tales" / "model")
    # The int8 file is made from the weights that were trained, not from their bfloat16 rounding.
    save_model(model, SHIPPED["tales"].llama2c, "llama2c-int8")
    tokenizer = load_tokenizer(runs / "tales" / "model" / "tokenizer.model")
    save_model(model.to(torch.bfloat16), SHIPPED["tales"].model, tokenizer=tokenizer)


def ship_small(runs: Path) -> None:
    """In int8 alone, with the tokenizer in llama2.c's form."""
    small = SHIPPED["tales-small"]
    save_model(load_model(runs / "tales-small" / "model"), small.llama2c, "llama2c-int8")
    load_tokenizer(runs / "tales" / "model" / "tokenizer.model").save_tokenizer_bin(small.tokenizer)


def ship_chat(runs: Path) -> None:
    """In int8 alone, with the tokenizer of its base."""
    model = load_model(runs / "tales-chat" / "model")
    save_model(model, SHIPPED["tales-chat"].llama2c, "llama2c-int8")


def thinned(metrics: list[Path]) -> list[dict[str, Any]]:
    """The mean loss of every :data:`EVERY` steps, and the validation loss where there is one."""
    texts = [path.read_text(encoding="utf-8") for path in metrics]
    lines = [json.loads(line) for text in texts for line in text.splitlines()]
    rows: list[dict[str, Any]] = []
    tokens = 0
    for first in range(0, len(lines), EVERY):
        part = lines[first : first + EVERY]
        judged = [line["validation_loss"] for line in part if "validation_loss" in line]
        tokens += sum(line["tokens"] for line in part)
        rows.append(
            {
                "step": part[-1]["step"],
                "tokens": tokens,
                "loss": round(sum(line["loss"] for line in part) / len(part), 4),
                "validation_loss": round(judged[-1], 4) if judged else "",
            }
        )
    return rows


def write_table(rows: list[dict[str, Any]], path: Path) -> None:
    """As CSV."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def draw(rows: list[dict[str, Any]], name: str, path: Path) -> None:
    """The loss over the tokens that were seen."""
    figures.use()
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
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2:])
