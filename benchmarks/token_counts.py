"""How many tokens the real GPT-2 and the real Llama 2 make of the same short texts.

    npm pack js-tiktoken@1.0.21
    python benchmarks/token_counts.py js-tiktoken-1.0.21.tgz path/to/tokenizer.model

The package from npm holds GPT-2's ranks (``r50k_base``), and ``tokenizer.model`` comes with Llama
2's weights. Neither is part of this project; what is kept is the number of tokens of each text
below, and the pieces of a few words, in ``llama_tutorial/data/token_counts.json`` for the book.
"""

from __future__ import annotations

import argparse
import base64
import datetime
import json
import tarfile
import unicodedata
from pathlib import Path
from typing import Any

import sentencepiece
import tiktoken

from llama_tutorial import Tokenizer

DATA = Path(__file__).parents[1] / "llama_tutorial" / "data"

# One sentence, as nearly as languages allow.
SENTENCES = {
    "English": "The letter came this morning, and grandmother read it twice.",
    "German": "Der Brief kam heute Morgen an, und Großmutter las ihn zweimal.",
    "Polish": "List przyszedł dziś rano i babcia przeczytała go dwa razy.",
    "Greek": "Το γράμμα ήρθε σήμερα το πρωί και η γιαγιά το διάβασε δύο φορές.",
    "Russian": "Письмо пришло сегодня утром, и бабушка прочитала его два раза.",
    "Hindi": "चिट्ठी आज सुबह आई और दादी ने उसे दो बार पढ़ा।",
    "Chinese": "信今天早上到了，奶奶读了两遍。",
    "Amharic": "ደብዳቤው ዛሬ ጠዋት ደረሰ፤ አያቴም ሁለት ጊዜ አነበበችው።",
}
OTHERS = {
    "code": "def mean(rows):\n    total = 0\n    for row in rows:\n        if row:\n"
    "            total += row\n    return total / len(rows)\n",
    "numbers": "1890, 18900, 3.14159, 1,000,000, 2 + 2 = 4, 07:45, 2^10 = 1024",
    "emoji": "🦙 carries 📬 over the 🌊 👍🏽 🎉",
}
WORDS = ["ship", " ship", "Ship", "1890", " 1890", "18900", "don't", "DON'T", "Рим", "信", "🦙"]

# Blocks of Unicode whose letters may have a piece of their own in Llama 2's vocabulary.
BLOCKS = {
    "Cyrillic": (0x0400, 0x04FF),
    "Devanagari": (0x0900, 0x097F),
    "Ethiopic": (0x1200, 0x137F),
    "CJK Unified Ideographs": (0x4E00, 0x9FFF),
    "Hangul Syllables": (0xAC00, 0xD7A3),
}


def gpt2_of(package: Path) -> tiktoken.Encoding:
    """GPT-2's tokenizer, from the ranks in js-tiktoken's package."""
    with tarfile.open(package) as archive:
        file = archive.extractfile("package/dist/ranks/r50k_base.js")
        if file is None:
            raise ValueError(f"{package} holds no ranks: give the file that npm pack wrote")
        source = file.read().decode()
    table = json.loads(source[source.index("{") : source.rindex("}") + 1])
    ranks: dict[bytes, int] = {}
    for line in table["bpe_ranks"].split("\n"):
        _, first, *pieces = line.split(" ")
        ranks |= {base64.b64decode(piece): int(first) + i for i, piece in enumerate(pieces)}
    return tiktoken.Encoding(
        "gpt2",
        pat_str=table["pat_str"],
        mergeable_ranks=ranks,
        special_tokens=table["special_tokens"],
        explicit_n_vocab=table["explicit_n_vocab"],
    )


def readable(piece: bytes) -> str:
    """A piece as text where it is text, else its bytes as SentencePiece writes them."""
    try:
        return piece.decode().replace(" ", "▁")
    except UnicodeDecodeError:
        return "".join(f"<0x{byte:02X}>" for byte in piece)


def counts(name: str, text: str, gpt2: tiktoken.Encoding, llama2: Tokenizer) -> dict[str, Any]:
    """One row: the lengths of a text in four units."""
    return {
        "name": name,
        "characters": len(text),
        "bytes": len(text.encode()),
        "gpt2": len(gpt2.encode(text)),
        "llama2": len(llama2.encode(text)),
    }


def letters_with_a_piece(first: int, last: int, pieces: set[str]) -> dict[str, int]:
    """How many letters a block of Unicode has, and how many of them are pieces."""
    characters = map(chr, range(first, last + 1))
    letters = [one for one in characters if unicodedata.category(one).startswith("L")]
    return {"letters": len(letters), "pieces": sum(one in pieces for one in letters)}


def main() -> None:
    """Read the arguments and write the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ranks", type=Path, help="js-tiktoken's package, as npm pack wrote it")
    parser.add_argument("model", type=Path, help="Llama 2's tokenizer.model")
    arguments = parser.parse_args()
    gpt2, llama2 = gpt2_of(arguments.ranks), Tokenizer(arguments.model)
    # Known ids: a count made with another vocabulary would mean nothing.
    assert gpt2.encode("Hello World!") == [15496, 2159, 0]
    assert llama2.encode("Hello World!") == [15043, 2787, 29991]

    story = (DATA / "printer.txt").read_text(encoding="utf-8").strip()
    page = story.split("\nThe visitors' book\n\n")[1]
    single = {piece for piece in llama2.vocabulary.pieces[259:] if len(piece) == 1}
    results = {
        "command": f"python benchmarks/token_counts.py {arguments.ranks.name} tokenizer.model",
        "versions": {
            "GPT-2": f"r50k_base of {arguments.ranks.stem}",
            "tiktoken": tiktoken.__version__,
            "Llama 2": "tokenizer.model, 32,000 pieces",
            "sentencepiece": sentencepiece.__version__,
            "Unicode": unicodedata.unidata_version,
        },
        "date": datetime.date.today().isoformat(),
        "page": counts("page", page, gpt2, llama2),
        "sentences": [
            counts(name, text, gpt2, llama2) | {"text": text} for name, text in SENTENCES.items()
        ],
        "others": [
            counts(name, text, gpt2, llama2) | {"text": text} for name, text in OTHERS.items()
        ],
        "words": [
            {
                "text": word,
                "gpt2": [readable(gpt2.decode_single_token_bytes(i)) for i in gpt2.encode(word)],
                "llama2": llama2.pieces(word),
            }
            for word in WORDS
        ],
        "single": len(single),
        "blocks": {
            name: letters_with_a_piece(first, last, single)
            for name, (first, last) in BLOCKS.items()
        },
    }
    text = json.dumps(results, ensure_ascii=False, indent=1)
    (DATA / "token_counts.json").write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
