"""The tasks of the chapter on tokenizers. They need no torch."""

from __future__ import annotations

import unicodedata
from typing import Any

from llama_tutorial.workbook.solutions.tokenizer import BOS, EOS, encode
from llama_tutorial.workbook.task import Bug, Case, Task

_COUNTS = {"▁low": 5, "▁lower": 2, "▁new": 6, "▁newer": 3, "▁aaa": 1}
_PIECES = ["▁l", "er", "ow", "▁low", "lo", "wer", "▁n", "ew", "▁new", "aa", "▁▁"]
_SCORES = {piece: -float(rank) for rank, piece in enumerate(_PIECES)}


def _pair_cases() -> list[Case]:
    words = {word: list(word) for word in _COUNTS}
    return [
        Case("one word, once", {"abc": ["a", "b", "c"]}, {"abc": 1}),
        Case("one word, five times", {"low": ["l", "o", "w"]}, {"low": 5}),
        Case("a a a", {"aaa": ["a", "a", "a"]}, {"aaa": 1}),
        Case(
            "a word that is one symbol already",
            {"low": ["low"], "lo": ["l", "o"]},
            {"low": 5, "lo": 1},
        ),
        Case("five words", words, _COUNTS),
    ]


def _merge_cases() -> list[Case]:
    return [
        Case("lo in l o w", ["l", "o", "w"], "lo"),
        Case("aa in a a a", ["a", "a", "a"], "aa"),
        Case("aa in a a a a", ["a", "a", "a", "a"], "aa"),
        Case("low in l ow lo w", ["l", "ow", "lo", "w"], "low"),
        Case("er in ne w e r", ["ne", "w", "e", "r"], "er"),
        Case("a piece that is not there", ["l", "o", "w"], "wl"),
        Case("a piece that is a symbol already", ["lo", "l", "o"], "lo"),
        Case("an empty word", [], "lo"),
    ]


def _learn_cases() -> list[Case]:
    return [
        Case("one merge of five words", _COUNTS, 1),
        Case("six merges of five words", _COUNTS, 6),
        Case("pairs that are equally frequent", {"ba": 2, "ab": 2, "cab": 1}, 3),
        Case("more merges than there are pairs", {"abc": 1}, 9),
        Case("no merges", _COUNTS, 0),
    ]


def _spell_cases() -> list[Case]:
    return [
        Case("▁lower", "▁lower", _SCORES),
        Case("▁new▁lower", "▁new▁lower", _SCORES),
        Case("lower, without a space in front", "lower", _SCORES),
        Case("abcd", "abcd", {"bc": -1.0, "bcd": -2.0, "abcd": -3.0, "ab": -5.0}),
        Case("aaa, of which the left pair is joined", "aaa", {"aa": 0.0}),
        Case("a text without a piece", "xyz", _SCORES),
        Case("an empty text", "", _SCORES),
        Case("a join that only later joins make", "▁low▁low", _SCORES),
    ]


def _encode_cases() -> list[Case]:
    characters = ["▁", "l", "o", "w", "e", "r", "n", "a"]
    everything = [*_PIECES, *characters]
    ids = {piece: 259 + i for i, piece in enumerate(everything)}
    return [
        Case("lower", "lower", ids, _SCORES),
        Case("new lower, with BOS", "new lower", ids, _SCORES, True),
        Case("é, which has no id", "é", ids, _SCORES),
        Case("a line break, which has no id", "low\nlow", ids, _SCORES),
        Case("a space in front and one behind", " low ", ids, _SCORES),
        Case("an empty text with BOS and EOS", "", ids, _SCORES, True, True),
        Case("low with BOS and EOS", "low", ids, _SCORES, True, True),
        Case("low with EOS", "low", ids, _SCORES, False, True),
        Case(
            "two spaces, for which there is a piece",
            "low  low",
            {**ids, "▁▁": 300},
            {**_SCORES, "▁▁": 0.0},
        ),
    ]


def _word_by_word(
    text: str,
    ids: dict[str, int],
    scores: dict[str, float],
    bos: bool = False,
    eos: bool = False,
) -> list[int]:
    words = text.split(" ") if text else []
    spelled = [encode(word, ids, scores) or [ids["▁"]] for word in words]
    return [BOS] * bos + [i for word in spelled for i in word] + [EOS] * eos


_CHARACTERS = "Aé▁🪿"
_LIMITS = (0x7F, 0x80, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF, 0)


def _utf8_cases() -> list[Case]:
    letters = [Case(f"{letter}, 0x{ord(letter):X}", ord(letter)) for letter in _CHARACTERS]
    return [*letters, *(Case(f"the code point 0x{number:X}", number) for number in _LIMITS)]


def _spells_every_character(answer: Any) -> str | None:
    for number in range(0, 0x110000, 61):
        if not 0xD800 <= number < 0xE000:  # halves of UTF-16's pairs, which are no characters
            yours, right = answer(number), chr(number).encode()
            if yours != right:
                return f"Of 0x{number:X} it makes {yours!r}, and {right!r} is right."
    return None


_IDS = {"ab": 10, "▁ab": 11, "abc": 12, "▁abc": 13, "cd": 14, "xab": 15, "▁": 16, "d": 17}


def _encode_small(text: str) -> list[int]:
    """The longest piece first, from left to right; 99 for what has none."""
    rest, found = "▁" + text.replace(" ", "▁"), []
    while rest:
        piece = max((p for p in _IDS if rest.startswith(p)), key=len, default=rest[0])
        found.append(_IDS.get(piece, 99))
        rest = rest[len(piece) :]
    return found


def _dead_cases() -> list[Case]:
    return [
        Case("one line", _IDS, ["abc d"], _encode_small),
        Case("two lines", _IDS, ["ab cd", "abc"], _encode_small),
        Case("three lines", _IDS, ["xab", "abcd", "d"], _encode_small),
        Case("no text at all", _IDS, [], _encode_small),
    ]


def _bytes_of(text: str) -> list[int]:
    return list(text.encode())


def _normalised_bytes_of(text: str) -> list[int]:
    return list(unicodedata.normalize("NFC", text).encode())


def _spelling_cases() -> list[Case]:
    one, two = "caf\u00e9", "cafe\u0301"
    return [
        Case("café with one character for é, and café with two", one, two, _bytes_of),
        Case("the same string twice", one, one, _bytes_of),
        Case("two different words", "café", "cafe", _bytes_of),
        Case("ﬁ as one character and fi as two", "ﬁ", "fi", _bytes_of),
        Case("a tokenizer that normalises", one, two, _normalised_bytes_of),
        Case("the sign for an ångström and the letter Å", "\u212b", "\u00c5", _bytes_of),
    ]


def _bin_cases() -> list[Case]:
    return [
        Case("one piece", ["ab"], [-1.5]),
        Case("two pieces with spaces", ["▁ab", "c▁d▁e"], [-0.25, -7.0]),
        Case("pieces that are no ASCII", ["é", "▁née", "🪿a"], [0.0, -1.0, -1e9]),
    ]


TASKS = [
    Task(
        "tokenizer.count_pairs",
        cases=_pair_cases,
        bugs=[
            Bug(
                "words_once",
                edit=("+ counts[word]", "+ 1"),
                says="You count every word once, however often the text has it.",
                effect="Rare words decide as much as common ones, and the pieces are bad ones.",
                look="What are the counts for?",
            ),
            Bug(
                "overwritten",
                edit=("pairs.get(left + right, 0) + counts[word]", "counts[word]"),
                says="A pair that comes again overwrites what was counted: the sum is missing.",
                effect="The last word decides.",
                look="What becomes of a pair in two words?",
            ),
            Bug(
                "once_a_word",
                edit=(
                    "zip(symbols, symbols[1:], strict=False)",
                    "dict.fromkeys(zip(symbols, symbols[1:], strict=False))",
                ),
                says="You count a pair once in a word, even where the word has it twice.",
                effect="Repeated letters count for too little.",
                look="How often is aa in a a a?",
            ),
            Bug(
                "characters",
                edit=(
                    "zip(symbols, symbols[1:], strict=False)",
                    "zip(word, word[1:], strict=False)",
                ),
                says="You take the characters of the word, not the symbols that it is spelled with "
                "now.",
                effect="After the first merge, nothing changes any more.",
                look="What changes after a merge, the word or its spelling?",
            ),
            Bug(
                "pairs_apart",
                edit=(
                    "zip(symbols, symbols[1:], strict=False)",
                    "zip(symbols[::2], symbols[1::2], strict=False)",
                ),
                says="You step two symbols at a time. Every symbol but the last has a right "
                "neighbour.",
                effect="Half of the pairs are never seen.",
                look="Which pairs are there in a b c?",
            ),
        ],
        hints=[
            "Two loops: over the words, and over the neighbours in each.",
            "zip(symbols, symbols[1:]) gives the neighbours.",
            "A Counter, or a defaultdict(int), adds what was not there before.",
        ],
        minutes=5,
        page="#count-the-pairs-merge-the-best-count-again",
        teaches="Byte-pair encoding begins with counting neighbours.",
    ),
    Task(
        "tokenizer.merge",
        cases=_merge_cases,
        bugs=[
            Bug(
                "used_twice",
                wrong=lambda symbols, piece: _overlapping(symbols, piece),
                says="A symbol is part of two joins: of a a a you make aa aa.",
                effect="Text is doubled, and decoding does not give it back.",
                look="Where do you go on after a join?",
            ),
            Bug(
                "first_only",
                edit=("i += 2", "return [*merged, *symbols[i + 2 :]]"),
                says="You make one join and stop. Make all of them, from left to right.",
                effect="A word that has the piece twice is spelled in two ways.",
                look="What comes after the first join?",
            ),
            Bug(
                "from_the_right",
                wrong=lambda symbols, piece: _from_the_right(symbols, piece),
                says="You go from right to left: of a a a you make a aa.",
                effect="Words are spelled differently than when the vocabulary was learned.",
                look="Which of two overlapping pairs is the first?",
            ),
            Bug(
                "text_replaced",
                wrong=lambda symbols, piece: [
                    s
                    for part in "".join(symbols).replace(piece, f"\0{piece}\0").split("\0")
                    for s in ([part] if part == piece else list(part))
                ],
                says="You search the text for the piece and forget how it was spelled: symbols "
                "that were longer than a character fall apart.",
                effect="Every merge undoes those before.",
                look="What becomes of the symbols that are no part of the join?",
            ),
            Bug(
                "not_dropped",
                edit=("i += 2", "i += 1"),
                says="After a join you go on with its right half, which stands there again.",
                effect="Text is doubled.",
                look="How many symbols does a join use up?",
            ),
        ],
        hints=[
            "Walk through the symbols, and build a new list.",
            "Either look at the next two, or look back at the last one of the new list.",
            "A while loop with an index can step by 1 or by 2.",
        ],
        minutes=6,
        page="#count-the-pairs-merge-the-best-count-again",
        teaches="A merge rewrites the spelling, not the text.",
    ),
    Task(
        "tokenizer.learn",
        cases=_learn_cases,
        bugs=[
            Bug(
                "rarest",
                edit=("-pairs[piece]", "pairs[piece]"),
                says="You take the rarest pair.",
                effect="The pieces are those that nobody needs.",
                look="Which is wanted, the most or the least frequent?",
            ),
            Bug(
                "ties_by_order",
                edit=("(-pairs[piece], len(piece), piece)", "-pairs[piece]"),
                says="Of equally frequent pairs you take whichever was counted first. The shorter "
                "one comes first, then the alphabet decides.",
                effect="The same text gives other pieces on another day.",
                look="What should happen in a tie?",
            ),
            Bug(
                "ties_by_alphabet",
                edit=("len(piece), piece)", "piece)"),
                says="In a tie you let the alphabet decide; the length comes before that.",
                effect="The pieces differ from SentencePiece's.",
                look="Which of two equally frequent pieces comes first?",
            ),
            Bug(
                "never_merged",
                edit=("merge(symbols, best)", "symbols"),
                says="You do not merge what you have learned, so the same pair wins each time.",
                effect="The vocabulary has one piece.",
                look="What changes between two rounds?",
            ),
            Bug(
                "counted_once",
                edit=(
                    "pairs = count_pairs(spelled, counts)\n        if not pairs",
                    "pairs = count_pairs({w: list(w) for w in counts}, counts)\n"
                    "        for piece in pieces:\n            pairs.pop(piece, None)\n"
                    "        if not pairs",
                ),
                says="You count the pairs of characters once, and take the most frequent ones. "
                "They have to be counted again after each merge.",
                effect="No piece is longer than two characters.",
                look="When do pieces of three characters come about?",
            ),
        ],
        hints=[
            "A loop: count, find the best, merge it everywhere, note it down.",
            "min with a key that is a tuple: what is first in it decides first.",
            "The key: minus the count, then the length, then the string.",
        ],
        minutes=8,
        page="#count-the-pairs-merge-the-best-count-again",
        teaches="A vocabulary is the history of its merges.",
    ),
    Task(
        "tokenizer.spell",
        cases=_spell_cases,
        bugs=[
            Bug(
                "longest_first",
                wrong=lambda text, scores: _greedy(text, scores),
                says="You take the longest piece from the left. The best score goes first, "
                "wherever it stands.",
                effect="Most words come out right, and the others are spelled as the model never "
                "saw them.",
                look="Which pair of ▁lower is joined first?",
            ),
            Bug(
                "leftmost_first",
                edit=("score > best[0]", "False"),
                says="You join the first pair that has a score. It is the one with the best score.",
                effect="Most words come out right, and the others are spelled as the model never "
                "saw them.",
                look="What are the scores for?",
            ),
            Bug(
                "worst_first",
                edit=("score > best[0]", "score < best[0]"),
                says="You join the pair with the lowest score. High scores were learned early.",
                effect="Text is cut into other pieces than in training.",
                look="Is -1 higher than -5?",
            ),
            Bug(
                "rightmost",
                edit=("score > best[0]", "score >= best[0]"),
                says="Of equal scores you join the rightmost pair: of aaa you make a aa.",
                effect="Repeated letters are spelled differently than in training.",
                look="Which of two equals is taken?",
            ),
            Bug(
                "one_join",
                edit=(
                    "symbols[i : i + 2] = [symbols[i] + symbols[i + 1]]",
                    "return [*symbols[:i], symbols[i] + symbols[i + 1], *symbols[i + 2 :]]",
                ),
                says="You join once and stop. Look again, until there is nothing to join.",
                effect="Nearly every letter stays a token of its own, and texts become much "
                "longer.",
                look="When is it finished?",
            ),
        ],
        hints=[
            "A loop in which one pair is joined, or the end is reached.",
            "Look at all neighbours before you join any; keep the best score and its place.",
            "A slice can be replaced: symbols[i : i + 2] = [joined].",
        ],
        minutes=12,
        page="#the-best-score-first",
        teaches="The scores replay the training: what was learned first is joined first.",
    ),
    Task(
        "tokenizer.encode",
        cases=_encode_cases,
        bugs=[
            Bug(
                "no_prefix",
                edit=('"▁" + text.replace', '"" + text.replace'),
                says="Nothing is put in front of the text, so its first word is not spelled as it "
                "is inside a text.",
                effect="The first word is one that the model has hardly ever seen.",
                look="What comes before the first word?",
            ),
            Bug(
                "word_by_word",
                wrong=_word_by_word,
                says="You split at the spaces and spell each word by itself. Llama's vocabulary "
                "has pieces for two spaces and more.",
                effect="Indented code is spelled as the model never saw it.",
                look="What does your spell get to see of two spaces?",
            ),
            Bug(
                "prefix_alone",
                edit=(' if text else ""', ""),
                says="An empty text has a ▁ in front. It gets nothing.",
                effect="A model that should begin from BOS alone gets a lone space.",
                look="What should become of an empty text?",
            ),
            Bug(
                "spaces_left",
                edit=('text.replace(" ", "▁")', "text"),
                says="Your spaces are still spaces; no piece has one.",
                effect="Every space becomes a byte, and no word has its beginning.",
                look="How is a space written in a piece?",
            ),
            Bug(
                "bytes_shifted",
                edit=("FIRST_BYTE + byte", "byte"),
                says="Your bytes begin at id 0. The first three ids are not bytes.",
                effect="A line break becomes another byte.",
                look="Which id has byte 0?",
            ),
            Bug(
                "code_point",
                edit=(
                    "found += [FIRST_BYTE + byte for byte in symbol.encode()]",
                    "found += [FIRST_BYTE + ord(c) for c in symbol]",
                ),
                says="You take the character's number in Unicode; it is the bytes of its UTF-8 "
                "form that have ids.",
                effect="Below 128 it is the same; é becomes one wrong id instead of two.",
                look="How many bytes does é have?",
            ),
            Bug(
                "unknown_dropped",
                edit=("found += [FIRST_BYTE + byte for byte in symbol.encode()]", "pass"),
                says="Symbols without an id vanish.",
                effect="The model never sees a line break.",
                look="What is byte fallback?",
            ),
            Bug(
                "unknown_unk",
                edit=("[FIRST_BYTE + byte for byte in symbol.encode()]", "[0]"),
                says="Symbols without an id become <unk>, id 0. Llama spells them in bytes.",
                effect="Every rare character looks like every other.",
                look="What is byte fallback?",
            ),
            Bug(
                "double_bos",
                edit=("[BOS] if bos", "[BOS, BOS] if bos"),
                says="BOS is there twice.",
                look="Once is enough.",
            ),
            Bug(
                "bos_always",
                edit=("[BOS] if bos else []", "[BOS]"),
                says="BOS is there even where it was not asked for.",
                effect="Pieces of a text that are encoded one by one begin anew each time.",
                look="When does BOS come?",
            ),
            Bug(
                "no_bos",
                edit=("[BOS] if bos else []", "[]"),
                says="BOS is missing where it was asked for.",
                look="When does BOS come?",
            ),
            Bug(
                "no_eos",
                edit=("[*found, EOS] if eos else found", "found"),
                says="EOS is missing where it was asked for.",
                effect="In training, no text ever ends, and the model never learns to stop.",
                look="When does EOS come?",
            ),
        ],
        hints=[
            "Three steps: frame the text, spell it, look the symbols up.",
            "symbol.encode() gives the bytes of a string, and a loop over them gives integers.",
            "[BOS] if bos else [] begins the list.",
        ],
        minutes=14,
        page="#the-best-score-first",
        teaches="Nothing is unknown to Llama: what has no piece is spelled in bytes.",
    ),
    Task(
        "tokenizer.utf8",
        cases=_utf8_cases,
        properties=[_spells_every_character],
        bugs=[
            Bug(
                "raw_number",
                edit=(
                    "if code_point < 0x80:\n        return bytes([code_point])",
                    "if True:\n        size = max(1, (code_point.bit_length() + 7) // 8)\n"
                    '        return code_point.to_bytes(size, "big")',
                ),
                says="You write the number itself, byte by byte. UTF-8 keeps some bits of each "
                "byte free to say which byte it is.",
                effect="Half of these bytes look like letters, and a text cannot be cut into "
                "characters again.",
                look="With which bits does a byte begin that follows another?",
            ),
            Bug(
                "limit_too_high",
                edit=("code_point < 0x80:", "code_point <= 0x80:"),
                more=(
                    ("code_point < 0x800 ", "code_point <= 0x800 "),
                    ("code_point < 0x10000 ", "code_point <= 0x10000 "),
                ),
                says="Your limits are one too high: 0x80 needs two bytes, 0x800 three, 0x10000 "
                "four.",
                effect="Three characters are spelled with bytes that no reader accepts.",
                look="How many bits does 0x80 have, and how many has 0x7F?",
            ),
            Bug(
                "no_mask",
                edit=("& 0x3F", "& 0xFF"),
                says="A byte that follows carries six bits, and yours keep more of the number.",
                effect="They no longer begin with 10, and the text cannot be read.",
                look="What does & cut off?",
            ),
            Bug(
                "no_mark",
                edit=("[0x80 | code_point >> shift & 0x3F", "[code_point >> shift & 0x3F"),
                says="Your following bytes do not begin with 10.",
                effect="They look like plain letters and signs, which a vocabulary has other "
                "pieces for.",
                look="Which bit do all of them have in common?",
            ),
            Bug(
                "one_leading_bit_short",
                edit=("0xFF00 >> following + 1", "0xFF00 >> following"),
                says="Your first byte has one leading 1 too few: it counts the bytes that follow, "
                "and should count all.",
                effect="A first byte looks like one that follows, and every reader loses its "
                "place.",
                look="A character of two bytes begins with 110.",
            ),
            Bug(
                "low_bits_first",
                edit=("range(6 * following - 6, -1, -6)", "range(0, 6 * following, 6)"),
                says="Your following bytes come lowest bits first. With two bytes it does not "
                "show, with three it does.",
                effect="A ▁ becomes another character, and so does all of Chinese.",
                look="Which bits come first in a number as you write it?",
            ),
            Bug(
                "never_four",
                edit=("2 if code_point < 0x10000 else 3", "2"),
                says="You stop at three bytes. Beyond 0xFFFF it takes four.",
                effect="The model cannot read an emoji.",
                look="How many bits have room in three bytes?",
            ),
        ],
        hints=[
            "How many bits does each length hold? 7, then 5 + 6, 4 + 6 + 6, 3 + 6 + 6 + 6.",
            "`number >> shift & 0x3F` is six bits; `0x80 |` puts 10 before them.",
            "The first byte has the highest bits, after 110, 1110 or 11110.",
        ],
        minutes=10,
        page="#ex-tokenizer-utf8",
        teaches="256 bytes spell every character that there will ever be.",
        extra=True,
    ),
    Task(
        "tokenizer.dead_pieces",
        cases=_dead_cases,
        bugs=[
            Bug(
                "searched",
                edit=(
                    "if number not in in_use",
                    "if not any(piece in line for line in lines)",
                ),
                says="You search the text for the piece. A piece that the text contains is still "
                "dead if a longer one takes its place each time.",
                effect="No row seems to be wasted.",
                look="What does a model see: the text, or the ids?",
            ),
            Bug(
                "in_use_listed",
                edit=("if number not in in_use", "if number in in_use"),
                says="You list the pieces that are used.",
                effect="The rows that were trained seem to be those that were not.",
                look="Which ids are missing?",
            ),
            Bug(
                "itself",
                edit=("if piece in other and other != piece", "if piece in other"),
                says="Your lists have the piece itself: nothing swallows itself.",
                effect="Every dead piece seems to have been swallowed.",
                look="A string contains itself.",
            ),
            Bug(
                "the_other_way",
                edit=("if piece in other and", "if other in piece and"),
                says="Your lists have the pieces that it contains; asked for are those that "
                "contain it.",
                effect="You look for the cause among the steps before, not after.",
                look="Which of the two is longer?",
            ),
            Bug(
                "last_line",
                edit=(
                    "in_use = {token for line in lines for token in encode(line)}",
                    "in_use = set()\n    for line in lines:\n        in_use = set(encode(line))",
                ),
                says="Only your last line counts: each one forgets those before.",
                effect="Nearly every row seems to be dead.",
                look="Where does the set begin?",
            ),
            Bug(
                "one_text",
                edit=(
                    "for line in lines for token in encode(line)",
                    'for token in encode("\\n".join(lines))',
                ),
                says="You encode all lines as one text. Then only the first begins with a ▁.",
                effect="Words at the beginning of a line are counted as other pieces.",
                look="What is put in front of a text, and how often?",
            ),
            Bug(
                "starts_only",
                edit=("if piece in other and", "if other.startswith(piece) and"),
                says="Your lists have the pieces that begin with it. It can stand in the middle or "
                "at the end, too.",
                effect="Some dead pieces seem to have been swallowed by nothing.",
                look="Where in a longer piece can a shorter one be?",
            ),
        ],
        hints=[
            "First: which ids does the text have?",
            "A set of all ids of all lines; then look up each piece's id in it.",
            "For the list: every other piece of which `piece in other` is true.",
        ],
        minutes=6,
        page="#ex-tokenizer-dead",
        teaches="A row that no text reaches is never trained, and stays as random as it began.",
        extra=True,
    ),
    Task(
        "tokenizer.told_apart",
        cases=_spelling_cases,
        bugs=[
            Bug(
                "any_two_texts",
                edit=("return same_text and encode", "return encode"),
                says="You say True of any two texts with different ids. First they must be the "
                "same text.",
                effect="Any two words seem to be spellings of one.",
                look="What is to be true of the strings, and what of the ids?",
            ),
            Bug(
                "normalised_first",
                edit=(
                    "encode(first) != encode(second)",
                    'encode(unicodedata.normalize("NFC", first)) != '
                    'encode(unicodedata.normalize("NFC", second))',
                ),
                says="You normalise the strings before you encode them, and so they are equal. The "
                "tokenizer gets the string as it is.",
                effect="You measure a tokenizer that normalises, not this one.",
                look="What does the model's tokenizer get from a user?",
            ),
            Bug(
                "compatible",
                edit=('"NFC", first)', '"NFKC", first)'),
                more=(('"NFC", second)', '"NFKC", second)'),),
                says="You normalise to NFKC, which changes what is written: ﬁ becomes fi, and ² "
                "becomes 2.",
                effect="10² and 102 would be the same text.",
                look="Which form does the docstring name?",
            ),
            Bug(
                "strings_compared",
                edit=("encode(first) != encode(second)", "first != second"),
                says="You compare the strings. It is the tokenizer that is to be asked: some make "
                "one form of both.",
                effect="A tokenizer that normalises seems to tell them apart.",
                look="What does a model get to see?",
            ),
            Bug(
                "equal_ids",
                edit=("encode(first) != encode(second)", "encode(first) == encode(second)"),
                says="You say True where the ids are equal, that is, where it tells nothing apart.",
                effect="Every text seems to have two spellings.",
                look="Which ids do two strings have that are told apart?",
            ),
        ],
        hints=[
            "Two questions: are they the same text, and are their ids different?",
            "For the first, normalise both strings to NFC and compare.",
            "For the second, encode both as they are, and compare the lists.",
        ],
        minutes=4,
        page="#ex-tokenizer-normal",
        teaches="A tokenizer that normalises nothing loses nothing, and sees two words for one.",
        extra=True,
    ),
    Task(
        "tokenizer.tokenizer_bin",
        cases=_bin_cases,
        bugs=[
            Bug(
                "characters_counted",
                edit=('"<fi", score, len(raw)', '"<fi", score, len(raw.decode())'),
                says="Your lengths count characters. An é is one character and two bytes.",
                effect="From the first such piece on, a reader is in the wrong place of the file.",
                look="What does a C program read: characters or bytes?",
            ),
            Bug(
                "longest_in_characters",
                edit=("max(len(raw) for raw in encoded)", "max(len(piece) for piece in pieces)"),
                says="Your first number is the length of the longest piece in characters.",
                effect="A program that makes room for so many bytes writes past it.",
                look="In what are the lengths counted?",
            ),
            Bug(
                "mark_kept",
                edit=('piece.replace("▁", " ").encode()', "piece.encode()"),
                says="Your pieces still have the ▁; in this file it is a plain space.",
                effect="No word with a space before it is found: a text falls into letters.",
                look="What does llama2.c compare a piece with?",
            ),
            Bug(
                "longest_with_the_mark",
                edit=(
                    "max(len(raw) for raw in encoded)",
                    "max(len(piece.encode()) for piece in pieces)",
                ),
                says="Your first number counts each ▁ as three bytes. It is written as a space, "
                "which is one.",
                effect="A reader makes room for more than there is; no text changes.",
                look="Do you measure the pieces as they are, or as you write them?",
            ),
            Bug(
                "no_longest",
                edit=(
                    'struct.pack("<i", max(len(raw) for raw in encoded))',
                    'b""',
                ),
                says="The first number is missing: the length of the longest piece.",
                effect="A reader takes the first score for it, and everything after is shifted.",
                look="What comes before the first piece?",
            ),
            Bug(
                "highest_byte_first",
                edit=('"<i", max', '">i", max'),
                more=(('"<fi"', '">fi"'),),
                says="Your numbers have their highest byte first.",
                effect="A length of 4 is read as 67 million.",
                look="Which sign stands for the lowest byte first?",
            ),
            Bug(
                "length_first",
                edit=('"<fi", score, len(raw)', '"<if", len(raw), score'),
                says="You write the length before the score.",
                effect="A score is read as a length: some billions, or less than nothing.",
                look="In which order do they stand in the file?",
            ),
            Bug(
                "wide_scores",
                edit=('"<fi"', '"<di"'),
                says="Your scores have 64 bits; the file's have 32.",
                effect="From the first score on, a reader is in the wrong place of the file.",
                look="Which letter of struct is a float of 32 bits?",
            ),
        ],
        hints=[
            "Make bytes of every piece first; then all lengths are lengths of these.",
            "struct.pack makes bytes of numbers: i is a 32-bit integer, f a 32-bit float.",
            "One number, and then a score, a length and the bytes, piece after piece.",
        ],
        minutes=8,
        page="#ex-tokenizer-bin",
        teaches="A vocabulary is a list of strings with scores, and any program can read it.",
        extra=True,
    ),
]


def _overlapping(symbols: list[str], piece: str) -> list[str]:
    merged, i = [], 0
    while i < len(symbols):
        if i + 1 < len(symbols) and symbols[i] + symbols[i + 1] == piece:
            merged.append(piece)
            following = "".join(symbols[i + 1 : i + 3]) == piece
            i += 1 if following else 2
        else:
            merged.append(symbols[i])
            i += 1
    return merged


def _from_the_right(symbols: list[str], piece: str) -> list[str]:
    merged: list[str] = []
    for symbol in reversed(symbols):
        if merged and symbol + merged[0] == piece:
            merged[0] = piece
        else:
            merged.insert(0, symbol)
    return merged


def _greedy(text: str, scores: dict[str, float]) -> list[str]:
    symbols, i = [], 0
    while i < len(text):
        n = next((n for n in range(len(text) - i, 1, -1) if text[i : i + n] in scores), 1)
        symbols.append(text[i : i + n])
        i += n
    return symbols
