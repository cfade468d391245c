"""The tables of the tokenizer chapter: code points, merges by hand, real pieces, bugs, rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

from llama_tutorial.config import ModelConfig
from llama_tutorial.figures.kit.recorded import recorded
from llama_tutorial.figures.kit.table import Table, table
from llama_tutorial.tokenizer.base import BaseTokenizer
from llama_tutorial.tokenizer.bpe import BPETokenizer
from llama_tutorial.tokenizer.merging import merge_symbols
from llama_tutorial.tokenizer.vocabulary import PieceType

MODELS = ("gpt2", "llama2")
SEPARATOR = " · "
NARROW = "\N{NARROW NO-BREAK SPACE}"


def visible(symbols: Sequence[str]) -> str:
    """Symbols side by side, with a mark for each space in them."""
    return SEPARATOR.join(symbol.replace(" ", "▁") for symbol in symbols)


def code_points(characters: str) -> Table:
    """Each character as a code point and as UTF-8, in bits."""
    rows = []
    for character in characters:
        bits = " ".join(f"{byte:08b}" for byte in character.encode())
        rows.append([character, f"U+{ord(character):04X}", bits])
    header = ["character", "code point", "UTF-8, in bits"]
    return table(rows, header, "One character is one code point, and one to four bytes.")


def merges_by_hand(counts: Mapping[str, int], pieces: Sequence[str], shown: Sequence[str]) -> Table:
    """The first merges of a small text: what each is worth, and what becomes of two words.

    Args:
        counts: How often each word occurs.
        pieces: The pieces in the order in which they were learned.
        shown: Words whose spelling is shown after each merge.

    Raises:
        ValueError: A piece cannot be made by a merge when its turn comes.
    """

    def total(ranks: Mapping[str, int]) -> int:
        return sum(n * len(merge_symbols(list(word), ranks)) for word, n in counts.items())

    rows: list[list[object]] = []
    for step, piece in enumerate(pieces):
        before = {piece: rank for rank, piece in enumerate(pieces[:step])}
        after = before | {piece: step}
        count = 0
        for word, n in counts.items():
            symbols = merge_symbols(list(word), before)
            count += n * sum(left + right == piece for left, right in pairwise(symbols))
        if not count:
            raise ValueError(f"piece {piece!r} is the join of no two neighbours at step {step}")
        cut = [visible(merge_symbols(list(word), after)) for word in shown]
        spelled = [word.replace(SEPARATOR, NARROW) for word in cut]  # for a phone's width
        rows.append([visible([piece]), count, total(after), *spelled])
    header = ["piece", "count", "symbols left", *(visible([word]) for word in shown)]
    caption = f"{total({})} symbols at first; each merge takes away as many as its count."
    return table(rows, header, caption)


def real_pieces(words: Sequence[str]) -> Table:
    """A few texts as the real GPT-2 and the real Llama 2 cut them, as recorded.

    Raises:
        KeyError: A text was not recorded.
    """
    known = {row["text"]: row for row in recorded("token_counts")["words"]}
    rows = [[visible([word]), *(visible(known[word][m]) for m in MODELS)] for word in words]
    return table(rows, ["text", "GPT-2", "Llama 2"], "Real pieces, recorded; ▁ is a space.")


def bugs(tokenizer: BPETokenizer, without_bytes: BaseTokenizer) -> Table:
    """Seven bugs that raise nothing: what a text should become, and what it becomes.

    Args:
        tokenizer: A vocabulary with byte pieces.
        without_bytes: One of the same size without them.

    Raises:
        ValueError: A bug does no harm under this vocabulary.
    """
    vocabulary = tokenizer.vocabulary
    rows_of = zip(vocabulary.pieces, vocabulary.scores, vocabulary.types, strict=True)
    scores = {piece: score for piece, score, kind in rows_of if kind == PieceType.NORMAL}
    ranks = {piece: -int(score) for piece, score in scores.items()}
    by_id = {piece: number for number, piece in enumerate(scores)}
    rows: list[list[str]] = []

    def row(bug: str, right: str, wrong: str) -> None:
        if right == wrong:
            raise ValueError(f"the bug {bug!r} does nothing to {right!r} under this vocabulary")
        rows.append([bug, right, wrong])

    def cut(text: str) -> str:
        return visible(tokenizer.pieces(text))

    id_of_score = {score: i for i, score in enumerate(vocabulary.scores)}
    looked_up = vocabulary.pieces[id_of_score[scores["▁▁"]]]
    row("a dictionary from score to id", cut(" "), looked_up)

    text = "She sells shells"
    stripped = "".join(piece.strip("<s>") for piece in tokenizer.pieces(text))
    row('piece.strip("<s>")', text, stripped.replace("▁", " ").strip())

    row("no space before the text", cut("ship"), visible(merge_symbols("ship", ranks)))

    text = "Maud 🦙"
    row("no bytes in reserve", text, without_bytes.decode(without_bytes.encode(text)))

    text = "stop.  The"
    symbols = "▁" + text.replace(" ", "▁")
    row("merging by id", cut(text), visible(merge_symbols(symbols, by_id)))

    ids = tokenizer.encode("ship", bos=True)
    twice = [tokenizer.bos_id, *ids]
    row("BOS twice", " ".join(map(str, ids)), " ".join(map(str, twice)))

    text = "a 🦙"
    one_by_one = [tokenizer.decode([i]) for i in tokenizer.encode(text)]
    row("decoding id by id", text, "".join(one_by_one))
    return table(rows, ["the bug", "right", "wrong"], "Seven bugs, switched on.")


def rows_of_models(configs: Mapping[str, ModelConfig], other: int) -> Table:
    """What a vocabulary costs in several models, and what another number of rows would cost.

    Args:
        configs: Models by name.
        other: The other vocabulary's number of rows.
    """
    rows = []
    for name, config in configs.items():
        each = config.dim if config.tie_embeddings else 2 * config.dim
        cost = config.vocab_size * each
        share = f"{100 * cost / config.n_params:.1f} %"
        rows.append([name, config.vocab_size, cost, share, (other - config.vocab_size) * each])
    header = ["model", "pieces", "parameters for them", "share", f"more, with {other:,}"]
    return table(rows, header, "What the vocabulary costs.")
