"""How fast the tokenizers are, side by side: the from-scratch one against SentencePiece.

    python benchmarks/tokenizer.py path/to/tokenizer.model [text-file]

With a model of Llama 2's (or any SentencePiece BPE model) and a text file, or a text made here of
English words in English proportions. It prints megabytes a second, the median of interleaved runs,
and the ratio to SentencePiece (above 1: faster): for encoding a text that was not seen before
(``cold``: an empty cache), the same text again (``warm``), decoding it, a text of 100,000 different
words, and one word of 50,000 letters; then the seconds for loading and for training 2,000 pieces.
The results are compared first: a speed for other ids would mean nothing. On a busy machine,
``--clock cpu`` counts only the time that the process had itself.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from llama_tutorial.tokenizer import Tokenizer
from llama_tutorial.tokenizer.bpe import BPETokenizer

# The most frequent words of English, about how often in a thousand; then parts of words.
COMMON = {
    "the": 60, "of": 33, "and": 29, "to": 26, "a": 23, "in": 20, "that": 11, "is": 10, "was": 10,
    "he": 9, "for": 9, "it": 9, "with": 7, "as": 7, "his": 7, "on": 7, "be": 6, "at": 5, "by": 5,
    "I": 5, "this": 5, "had": 5, "not": 5, "are": 4, "but": 4, "from": 4, "or": 4, "have": 4,
}  # fmt: skip
BEGIN = "b br c ch cl d dr f fl g gr h j k l m n p pl pr qu r s sh sl st str t th tr v w".split()
MIDDLE = "a ai e ea ee i ie o oa oo ou u".split()
END = "b ck d ft g l ll m n nd ng nt p r rd rn rt s ss st t th tion x y ment ing ed er ly".split()
RUNS = 5
CLOCKS = {"wall": time.perf_counter, "cpu": time.process_time}
clock = time.perf_counter
KINDS = (BPETokenizer, Tokenizer)


def make_text(size: int, seed: int = 1) -> str:
    """English-looking text: frequent words, 20,000 rarer ones by Zipf's law, sentences, lines."""
    generator = random.Random(seed)
    rare = [_word(generator) for _ in range(20_000)]
    words = [*COMMON, *rare]
    weights = [*COMMON.values(), *(500 / (rank + 10) for rank in range(len(rare)))]
    pieces, length = [], 0
    while length < size:
        sentence = generator.choices(words, weights, k=generator.randint(4, 22))
        end = generator.choices([". ", "? ", "! ", ".\n", ", 1998. "], [70, 5, 3, 20, 2])[0]
        pieces.append(" ".join(sentence).capitalize() + end)
        length += len(pieces[-1])
    return "".join(pieces)[:size]


def _word(generator: random.Random) -> str:
    syllables = generator.choices([1, 2, 3], [4, 4, 2])[0]
    parts = [generator.choice(BEGIN) + generator.choice(MIDDLE) for _ in range(syllables)]
    return "".join(parts) + generator.choice(END)


def seconds(call: Callable[[], object]) -> float:
    start = clock()
    call()
    return clock() - start


def many_words(n: int, seed: int = 1) -> str:
    """``n`` different words of letters and figures, each of them three times, in turn."""
    generator = random.Random(seed)
    return " ".join(3 * [f"{_word(generator)}{number % 1000}" for number in range(n)])


def report(name: str, size: int, ours: Callable, theirs: Callable, before: Callable = list) -> None:
    """Compare the results, time both in turn, print a row; ``before`` runs untimed first."""
    if ours() != theirs():
        raise SystemExit(f"{name}: the results differ")
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(RUNS):
        before()
        times[0].append(seconds(ours))
        times[1].append(seconds(theirs))
    a, b = (size / statistics.median(each) / 1e6 for each in times)
    print(f"{name:28} {a:12.2f} {b:14.2f} {a / b:8.2f}")


def main() -> None:
    """Read the arguments and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="a SentencePiece BPE .model")
    parser.add_argument("text", type=Path, nargs="?", help="a text file; made here without one")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    global clock
    clock = CLOCKS[arguments.clock]
    text = arguments.text.read_text() if arguments.text else make_text(1_000_000)
    loaders = (BPETokenizer.from_file, Tokenizer)
    loading = [seconds(partial(load, arguments.model)) for load in loaders]
    ours = BPETokenizer.from_file(arguments.model)
    theirs = Tokenizer(arguments.model)

    def forget() -> None:
        ours._cache.clear()
        ours._older.clear()

    print(f"{ours.vocab_size} pieces; megabytes a second, median of {RUNS} runs\n")
    print(f"{'':28} {'from scratch':>12} {'SentencePiece':>14} {'ratio':>8}")
    for part in (text[:1_000], text[:10_000], text[:100_000], text):
        size = len(part.encode())
        calls = partial(ours.encode, part), partial(theirs.encode, part)
        report(f"encode {size:,} bytes, cold", size, *calls, before=forget)
        report(f"encode {size:,} bytes, warm", size, *calls)
    ids = theirs.encode(text)
    report("decode", len(text.encode()), partial(ours.decode, ids), partial(theirs.decode, ids))
    words = many_words(100_000)
    calls = partial(ours.encode, words), partial(theirs.encode, words)
    report(f"{len(set(words.split())):,} different words, cold", len(words), *calls, before=forget)
    report("the same, warm", len(words), *calls)
    word = "".join(random.Random(1).choices("etaoinshrdlu", k=50_000))
    calls = partial(ours.encode, word), partial(theirs.encode, word)
    report("one word of 50,000 letters", len(word), *calls)
    training = [seconds(partial(kind.train, text, 2000)) for kind in KINDS]
    print("\nseconds:")
    for name, (a, b) in {"loading": loading, "training 2,000 pieces": training}.items():
        print(f"{name:28} {a:12.2f} {b:14.2f} {b / a:8.2f}")


if __name__ == "__main__":
    main()
