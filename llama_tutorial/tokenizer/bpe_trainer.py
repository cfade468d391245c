"""Learning a byte-pair vocabulary: count pairs, merge the most frequent, repeat.

Start with every word as its characters. Count how often two neighbours make each string; make
the most frequent one a piece; merge it wherever it stands; count again (Sennrich, Haddow and Birch
2016)::

    l o w ·5   l o w e r ·2   n e w e s t ·6   w i d e s t ·3
    "es" 9 times  →  n e w es t ·6   w i d es t ·3
    "est" 9 times →  n e w est ·6    w i d est ·3
    "lo" 7 times  →  lo w ·5   lo w e r ·2   …

The order in which pieces are learned is their priority when text is encoded, so the score of the
n-th piece is -n. Two things make it fast. Words are kept once, with how often they occur; and a
merge changes only the words that hold it, and in them the pairs on its two sides, so these alone
are counted again. The most frequent pair comes from a heap whose entries may be out of date: an
entry counts only while it agrees with the counts. After every merge each word has exactly the
pieces that the encoder would give it.

What may become a piece follows Llama 2's SentencePiece settings: each line begins with ``▁``, no
piece crosses the start of a word, letters do not join with other characters nor with letters of
another script (Kanji and Kana count as one), a digit stands alone, a run of spaces is a piece of
its own, 16 characters at most. The rarest characters, those beyond ``character_coverage``, get no
piece: they become bytes.
"""

from __future__ import annotations

import heapq
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from itertools import pairwise

from llama_tutorial._util.progress import progress
from llama_tutorial.tokenizer.merging import merge_symbols
from llama_tutorial.tokenizer.vocabulary import (
    SPACE,
    WHITESPACE_SCORE,
    PieceType,
    Vocabulary,
    byte_piece,
)

SPECIAL_PIECES = ("<unk>", "<s>", "</s>")
_WORD = re.compile(f"{SPACE}*[^{SPACE}]+|{SPACE}+")
# A word by the kinds of its characters (S space, D digit, M mark on any letter, O other, a kind for
# each script's letters): a run of spaces but for the one that belongs to what follows; characters
# of one kind with that space and their marks; or a lone digit.
_CHUNK = re.compile(r"S+(?=S[^SD-])|S?([^SD-])(?:\1|M)*|S+|D")
# Python does not know scripts, but the name of a letter begins with that of its script; these do
# not. Japanese writes with three scripts, which SentencePiece takes for one.
_SCRIPTS = {
    **dict.fromkeys(("HIRAGANA", "KATAKANA", "KATAKANA-HIRAGANA", "IDEOGRAPHIC"), "CJK"),
    **dict.fromkeys(("FEMININE", "MASCULINE", "SUPERSCRIPT", "SUBSCRIPT", "KELVIN"), "LATIN"),
    "ANGSTROM": "LATIN",
    "OHM": "GREEK",
}


def train_vocabulary(
    texts: Iterable[str],
    vocab_size: int,
    *,
    character_coverage: float = 0.99995,
    byte_fallback: bool = True,
    max_piece_length: int = 16,
) -> Vocabulary:
    """Learn a vocabulary with Llama 2's layout: special pieces, bytes, merges, characters.

    Args:
        texts: what to learn from; every line of every text counts as a text of its own.
        vocab_size: number of pieces, the special ones, bytes and characters included.
        character_coverage: share of the characters in ``texts``, counted as they occur, that must
            have a piece; the rarest beyond it have none.
        byte_fallback: whether there are 256 byte pieces for what has no piece.
        max_piece_length: the longest piece, in characters.

    Raises:
        ValueError: The size leaves no room for the characters, or asks for more pieces than the
            texts yield; the coverage is outside (0, 1]; or there is no text.
    """
    if not 0 < character_coverage <= 1:
        raise ValueError(f"character_coverage is {character_coverage}: it must be in (0, 1]")
    words = count_words(texts)
    characters = covered_characters(words, character_coverage)
    reserved = [*SPECIAL_PIECES, *(map(byte_piece, range(256)) if byte_fallback else ())]
    room = vocab_size - len(reserved) - len(characters)
    if room < 0:
        raise ValueError(
            f"vocab_size {vocab_size} is too small: {len(reserved)} special and byte pieces and "
            f"{len(characters)} characters need {vocab_size - room}; raise it, or lower "
            f"character_coverage ({character_coverage})"
        )
    merges = learn_merges(count_chunks(words, characters), room, max_piece_length)
    if len(merges) < room:
        raise ValueError(
            f"vocab_size {vocab_size} is too large: the text yields "
            f"{vocab_size - room + len(merges)} pieces; lower it, or train on more text"
        )
    return _vocabulary(reserved, [*merges, *characters])


def _vocabulary(reserved: list[str], learned: list[str]) -> Vocabulary:
    """Number the pieces; those of spaces alone merge last, as in Llama 2."""
    spaces_alone = [not piece.strip(SPACE) for piece in learned]
    scores = [WHITESPACE_SCORE if s else -float(n) for n, s in enumerate(spaces_alone)]
    types = [PieceType.UNKNOWN, PieceType.CONTROL, PieceType.CONTROL]
    types += [PieceType.BYTE] * (len(reserved) - len(types))
    return Vocabulary(
        pieces=[*reserved, *learned],
        scores=[0.0] * len(reserved) + scores,
        types=types + [PieceType.NORMAL] * len(learned),
    )


def count_words(texts: Iterable[str]) -> Counter[str]:
    """How often each word occurs, a word being a run of ``▁`` and what follows it."""
    words: Counter[str] = Counter()
    for text in texts:
        for line in filter(None, text.split("\n")):
            words.update(_WORD.findall(SPACE + line.replace(" ", SPACE)))
    if not words:
        raise ValueError("there is no text to learn from: pass at least one line that is not empty")
    return words


def covered_characters(words: Mapping[str, int], coverage: float) -> list[str]:
    """The most frequent characters, until their share of all characters reaches ``coverage``."""
    counts: Counter[str] = Counter()
    for word, count in words.items():
        for character in word:
            counts[character] += count
    # NUL ends a string in C: SentencePiece refuses a piece that holds one.
    del counts["\0"]
    covered, total, characters = 0, counts.total(), []
    for character, count in sorted(counts.items(), key=lambda item: (-item[1], item[0])):
        if covered >= coverage * total:
            break
        characters.append(character)
        covered += count
    return characters


def count_chunks(words: Mapping[str, int], characters: Iterable[str]) -> Counter[str]:
    """How often each stretch of text occurs that merges may not leave."""
    kinds = _kinds(characters)
    chunks: Counter[str] = Counter()
    for word, count in words.items():
        # A character without a piece is left as it is, matches nothing, and so parts the chunks.
        shape = "".join(kinds.get(character, "-") for character in word)
        for match in _CHUNK.finditer(shape):
            chunks[word[match.start() : match.end()]] += count
    return chunks


def _kinds(characters: Iterable[str]) -> dict[str, str]:
    """One letter for the kind of each character, as `_CHUNK` reads them."""
    letters: dict[str, str] = {}  # of the scripts: capitals beyond those of the other kinds
    return {
        character: kind
        if len(kind := _kind(character)) == 1
        else letters.setdefault(kind, chr(0xE000 + len(letters)))  # of private use
        for character in characters
    }


def _kind(character: str) -> str:
    """S, D, M or O as in `_CHUNK`, or the script of a letter."""
    if character == SPACE:
        return "S"
    category = unicodedata.category(character)
    if category[0] not in "LM":
        return "D" if category == "Nd" else "O"
    name = unicodedata.name(character, "")
    word = name.removeprefix("FULLWIDTH ").removeprefix("HALFWIDTH ").partition(" ")[0]
    if word in ("COMBINING", "VARIATION"):
        return "M"
    return _SCRIPTS.get(word, word) or "no name"


def learn_merges(chunks: Mapping[str, int], room: int, max_piece_length: int = 16) -> list[str]:
    """The ``room`` most useful pieces, in the order learned; fewer if the text has no more.

    Of pieces that are equally frequent the shorter comes first, then the alphabetically smaller.
    """
    words = [(list(chunk), count) for chunk, count in chunks.items() if len(chunk) > 1]
    pairs = _PairCounts(max_piece_length)
    for index, (symbols, count) in enumerate(words):
        pairs.add(symbols, count, index)
    ranks: dict[str, int] = {}
    for rank in progress(range(room), "learning merges", unit="merge"):
        piece = pairs.pop_most_frequent()
        if piece is None:
            break
        ranks[piece] = rank
        for index in pairs.holders.pop(piece):
            symbols, count = words[index]
            symbols[:] = pairs.merge(symbols, piece, ranks, count, index)
    return list(ranks)


class _PairCounts:
    """How often two neighbours make each string, which words hold it, and which is the most."""

    def __init__(self, max_piece_length: int) -> None:
        self.holders: defaultdict[str, set[int]] = defaultdict(set)
        self._counts: Counter[str] = Counter()
        self._changed: set[str] = set()
        self._heap: list[tuple[int, int, str]] = []
        self._max_piece_length = max_piece_length

    def add(self, symbols: list[str], count: int, index: int) -> None:
        """Add ``count`` to every pair of a word; a negative count takes the pairs out."""
        for left, right in pairwise(symbols):
            self._change(left + right, count, index)

    def _change(self, piece: str, count: int, index: int) -> None:
        if len(piece) <= self._max_piece_length:
            self._counts[piece] += count
            self._changed.add(piece)
            if count > 0:
                self.holders[piece].add(index)

    def merge(
        self, symbols: list[str], piece: str, ranks: Mapping[str, int], count: int, index: int
    ) -> list[str]:
        """A word after its pairs that make ``piece`` are one symbol each, from the left.

        Each of these merges takes the pairs with both neighbours out and puts two others in. Where
        one of them makes a piece that was learned before, that comes first, and may change all that
        follows: then the whole word is merged and counted anew.
        """
        merged: list[str] = []
        anew, at, last = False, 0, len(symbols) - 1
        while at <= last:
            symbol = symbols[at]
            at += 1
            if at <= last and symbol + symbols[at] == piece:
                self._counts[piece] -= count
                if merged:
                    joined = merged[-1] + piece
                    anew = anew or joined in ranks
                    self._change(merged[-1] + symbol, -count, index)
                    self._change(joined, count, index)
                at += 1
                if at <= last:
                    joined = piece + symbols[at]
                    anew = anew or joined in ranks
                    self._change(symbols[at - 1] + symbols[at], -count, index)
                    self._change(joined, count, index)
                symbol = piece
            merged.append(symbol)
        if anew:
            self.add(merged, -count, index)
            merged = merge_symbols(symbols, ranks)
            self.add(merged, count, index)
        return merged

    def pop_most_frequent(self) -> str | None:
        """The most frequent pair, or None when no two neighbours are left."""
        for piece in self._changed:
            heapq.heappush(self._heap, (-self._counts[piece], len(piece), piece))
        self._changed.clear()
        while self._heap:
            negative_count, _, piece = heapq.heappop(self._heap)
            if -negative_count == self._counts[piece] > 0:
                return piece
        return None
