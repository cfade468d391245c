"""The tasks of the chapter on tokenizers. They need no torch."""

from __future__ import annotations

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
