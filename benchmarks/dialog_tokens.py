"""The ids of a dialog in the real Llama 2's tokenizer, with their labels.

    python benchmarks/dialog_tokens.py path/to/tokenizer.model

``tokenizer.model`` comes with Llama 2's weights and is no part of this project; what is kept is one
dialog's pieces, ids and labels, in ``llama_tutorial/data/dialog_tokens.json`` for the book.
"""

from __future__ import annotations

import argparse
import datetime
import json
from pathlib import Path
from typing import Any

from llama_tutorial import Tokenizer
from llama_tutorial.finetuning import encode_example
from llama_tutorial.tales.dialogs import messages

DATA = Path(__file__).parents[1] / "llama_tutorial" / "data"
TURNS = [("Hello.", "Hello! Shall I tell you a tale?"), ("Who are you?", "I tell tales.")]


def dialog_tokens(tokenizer: Tokenizer) -> dict[str, Any]:
    """The dialog, and its pieces, ids and labels."""
    dialog = messages(TURNS)
    ids, labels = encode_example(dialog, tokenizer)
    pieces = [tokenizer.id_to_piece(token) for token in ids]
    return {"dialog": dialog, "pieces": pieces, "ids": list(ids), "labels": list(labels)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tokenizer", type=Path, help="Llama 2's tokenizer.model")
    arguments = parser.parse_args()
    record = {
        "command": "python benchmarks/dialog_tokens.py tokenizer.model",
        "date": datetime.date.today().isoformat(),
        **dialog_tokens(Tokenizer(arguments.tokenizer)),
    }
    text = json.dumps(record, ensure_ascii=False, indent=1)
    (DATA / "dialog_tokens.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
