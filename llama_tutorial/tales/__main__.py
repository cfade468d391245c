"""``python -m llama_tutorial.tales 20``: print so many tales, with their scores and questions."""

from __future__ import annotations

import sys

from llama_tutorial.tales import consistency, questions, tales


def main(count: str = "5", split: str = "train", seed: str = "0") -> None:
    """Print tales, from that seed on, with their scores and questions."""
    for tale in tales(int(count), split, int(seed)):
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
    main(*sys.argv[1:])
