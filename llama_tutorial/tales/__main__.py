"""``python -m llama_tutorial.tales 20``: print so many tales, with their scores and questions."""

from __future__ import annotations

import sys

from llama_tutorial.tales import consistency, questions, tales


def main(arguments: list[str]) -> None:
    """Print tales with their scores and questions: ``[count] [split] [first seed]``."""
    count = int(arguments[0]) if arguments else 5
    split = arguments[1] if len(arguments) > 1 else "train"
    seed = int(arguments[2]) if len(arguments) > 2 else 0
    for tale in tales(count, split, seed):
        result = consistency(tale.text)
        print(
            f"[{tale.split} {tale.seed}: {tale.plot}, score {result.score}, parsed {result.parsed}]"
        )
        print(tale.text)
        for question in questions(tale):
            if question.kind != "tell":
                print(f"  - {question.text} {question.answer}")
        print()


if __name__ == "__main__":
    main(sys.argv[1:])
