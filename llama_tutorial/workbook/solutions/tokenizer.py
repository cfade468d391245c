"""Byte-pair encoding: learn pieces by counting, and spell a text with them. Plain Python.

A word is spelled as a list of symbols: at first its characters, then longer and longer pieces. "▁"
(not the underscore) stands for a space.
"""

import struct
import unicodedata

BOS, EOS = 1, 2  # the ids of the marks for the beginning and the end of a text
FIRST_BYTE = 3  # the ids 3 to 258 are the bytes 0 to 255


def count_pairs(spelled, counts):
    """How often two neighbours join to each string, in all words of a text.

    A word that occurs 5 times counts 5 times. In `a a a` the string aa occurs twice.

    Args:
        spelled: A dict: word, and the list of symbols that it is spelled with now.
        counts: A dict: word, and how often the text has it.

    Returns:
        A dict: joined string, and how often. Only strings that occur.
    """
    pairs = {}
    for word, symbols in spelled.items():
        for left, right in zip(symbols, symbols[1:], strict=False):
            pairs[left + right] = pairs.get(left + right, 0) + counts[word]
    return pairs


def merge(symbols, piece):
    """Join neighbours that together are the piece, from left to right.

    Each symbol can be part of one join only: aa in `a a a` gives `aa a`.

    Args:
        symbols: A list of strings; it must stay as it is.
        piece: The string to be made.

    Returns:
        A new list.
    """
    merged = []
    i = 0
    while i < len(symbols):
        if "".join(symbols[i : i + 2]) == piece and symbols[i] != piece:
            merged.append(piece)
            i += 2
        else:
            merged.append(symbols[i])
            i += 1
    return merged


def learn(counts, n_merges):
    """Learn pieces: count the pairs, merge the most frequent everywhere, and count again.

    Of strings that are equally frequent the shortest is taken, and of those that are equally short
    the first in the alphabet. Use your count_pairs and merge.

    Args:
        counts: A dict: word, and how often the text has it.
        n_merges: How many pieces to learn; fewer, if there are no pairs left.

    Returns:
        The list of the pieces, in the order in which they were learned.
    """
    spelled = {word: list(word) for word in counts}
    pieces = []
    while len(pieces) < n_merges:
        pairs = count_pairs(spelled, counts)
        if not pairs:
            break
        best = min(pairs, key=lambda piece: (-pairs[piece], len(piece), piece))
        spelled = {word: merge(symbols, best) for word, symbols in spelled.items()}
        pieces.append(best)
    return pieces


def spell(text, scores):
    """Spell a text with learned pieces: the join with the best score first.

    Begin with the characters. Among all neighbours whose join has a score, join the pair with the
    highest one, and of equals the leftmost; only this one pair. Then look again, until no
    neighbours can be joined.

    Args:
        text: A string; spaces are "▁" already.
        scores: A dict: piece, and its score. Early learned pieces have high scores.

    Returns:
        The list of symbols.
    """
    symbols = list(text)
    while True:
        best = None
        for i in range(len(symbols) - 1):
            score = scores.get(symbols[i] + symbols[i + 1])
            if score is not None and (best is None or score > best[0]):
                best = (score, i)
        if best is None:
            return symbols
        i = best[1]
        symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]


def encode(text, ids, scores, bos=False, eos=False):
    """The ids of a text, as Llama 2 wants them.

    "▁" is put in front and takes the place of every space; an empty text gets nothing in front. The
    text is spelled with your spell. A symbol that has no id becomes the bytes of its UTF-8 form,
    whose ids begin at FIRST_BYTE. BOS comes before everything and EOS after it, each only if asked
    for, and once.

    Args:
        text: Any string.
        ids: A dict: piece, and its id.
        scores: A dict: piece, and its score.
        bos: Whether BOS begins the list.
        eos: Whether EOS ends it.

    Returns:
        A list of integers.
    """
    framed = "▁" + text.replace(" ", "▁") if text else ""
    found = [BOS] if bos else []
    for symbol in spell(framed, scores):
        if symbol in ids:
            found.append(ids[symbol])
        else:
            found += [FIRST_BYTE + byte for byte in symbol.encode()]
    return [*found, EOS] if eos else found


class Tokenizer:
    """A vocabulary with your encode. Nothing to do here.

    Args:
        pieces: The text of every piece; its place in the list is its id.
        scores: The score of each piece that a text can be spelled with.
    """

    def __init__(self, pieces, scores):
        self.pieces, self.scores = pieces, scores
        self.ids = {piece: i for i, piece in enumerate(pieces) if piece in scores}

    def encode(self, text, bos=False, eos=False):
        """The ids of a text."""
        return encode(text, self.ids, self.scores, bos, eos)

    def decode(self, ids):
        """The text of ids, without the space in front and without BOS and EOS."""
        first_piece = FIRST_BYTE + 256
        raw = b""
        for i in ids:
            if i >= first_piece:
                raw += self.pieces[i].encode()
            elif i >= FIRST_BYTE:
                raw += bytes([i - FIRST_BYTE])
        text = raw.decode(errors="replace").replace("▁", " ")
        return text[1:] if text.startswith(" ") else text


def utf8(code_point):
    """The bytes of a character in UTF-8, without encode: with shifts and masks.

    A character up to 0x7F is one byte, its own number. All others begin with a byte that has as
    many leading ones as there are bytes, and then a zero; each byte that follows begins with 10.
    The free bits hold the number, highest bits first. Two bytes reach up to 0x7FF, three up to
    0xFFFF, four up to 0x10FFFF.

    Args:
        code_point: An integer from 0 to 0x10FFFF, the number of a character.

    Returns:
        bytes, one to four.
    """
    if code_point < 0x80:
        return bytes([code_point])
    following = 1 if code_point < 0x800 else 2 if code_point < 0x10000 else 3
    shifts = range(6 * following - 6, -1, -6)
    low = [0x80 | code_point >> shift & 0x3F for shift in shifts]
    leading_ones = 0xFF00 >> following + 1 & 0xFF
    return bytes([leading_ones | code_point >> 6 * following, *low])


def dead_pieces(ids, lines, encode):
    """The pieces that no line is spelled with, and those that may have swallowed them.

    A piece that was a step on the way to a longer one can be swallowed by it each time that it
    occurs. The text contains it, and yet its id never comes.

    Args:
        ids: A dict: learned piece, and its id.
        lines: The text, a list of strings. Each is encoded by itself.
        encode: Takes a line, gives the list of its ids.

    Returns:
        A dict: piece that is never used, and the list of the other pieces that contain it, in the
        order that they have in ids. The list is empty if there are none.
    """
    in_use = {token for line in lines for token in encode(line)}
    return {
        piece: [other for other in ids if piece in other and other != piece]
        for piece, number in ids.items()
        if number not in in_use
    }


def told_apart(first, second, encode):
    """Whether a tokenizer tells apart two strings that are the same text to Unicode.

    An é can be one character, or an e followed by an accent. unicodedata.normalize("NFC", text)
    makes one form of all such spellings: two strings are the same text if they are equal then.

    Args:
        first: A string.
        second: Another one, perhaps equal to it.
        encode: Takes a string, gives the list of its ids.

    Returns:
        True if they are the same text and have different ids; False in all other cases.
    """
    same_text = unicodedata.normalize("NFC", first) == unicodedata.normalize("NFC", second)
    return same_text and encode(first) != encode(second)


def tokenizer_bin(pieces, scores):
    """A vocabulary in the form of llama2.c's tokenizer.bin.

    The file begins with a 32-bit integer: the length in bytes of the longest piece. Then follow,
    for each piece: its score, a 32-bit float; its length in bytes, a 32-bit integer; and its bytes
    in UTF-8. "▁" is written as a plain space, and lengths are counted after that. All numbers have
    their lowest byte first (little-endian): "<" in the formats of struct.

    Args:
        pieces: A list of strings; the place of a piece is its id.
        scores: A list of floats, likewise.

    Returns:
        bytes, the content of the file.
    """
    encoded = [piece.replace("▁", " ").encode() for piece in pieces]
    content = struct.pack("<i", max(len(raw) for raw in encoded))
    for raw, score in zip(encoded, scores, strict=True):
        content += struct.pack("<fi", score, len(raw)) + raw
    return content
