"""The tokenizer over SentencePiece: Meta's semantics, Llama 2's training settings, loading."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import zipfile

import pytest

pytest.importorskip("sentencepiece")

import sentencepiece as spm

from llama_tutorial.tokenizer import Tokenizer, load_tokenizer
from llama_tutorial.tokenizer import sentencepiece as sentencepiece_room
from llama_tutorial.tokenizer.bpe import BPETokenizer
from llama_tutorial.tokenizer.vocabulary import PieceType

TEXT = "the cat sat on the mat and the rat ran at the bat in 2024\n" * 3


@pytest.fixture(scope="module")
def llama(assets) -> Tokenizer:
    return Tokenizer(assets / "tokenizer.model")


def test_llama_2(llama):
    assert llama.vocab_size == 32_000
    assert (llama.bos_id, llama.eos_id, llama.pad_id) == (1, 2, -1)
    assert llama.encode("Hello World!") == [15043, 2787, 29991]
    assert llama.encode("Hello World!", bos=True, eos=True) == [1, 15043, 2787, 29991, 2]
    assert llama.encode(" Hello") == [29871, 15043]
    assert llama.encode("<s>") == [529, 29879, 29958]
    assert llama.encode("2024") == [29871, 29906, 29900, 29906, 29946]
    assert llama.pieces("Hello World!") == ["▁Hello", "▁World", "!"]


def test_the_170_cases(assets, llama):
    cases = json.loads((assets / "llama2_tokenizer_cases.json").read_text())["cases"]
    assert len(cases) == 170
    for case in cases:
        assert llama.encode(case["text"]) == case["ids"]
        assert llama.decode(case["ids"]) == case["decoded"]
        decoder = llama.stream_decoder()
        assert "".join(map(decoder.feed, case["ids"])) + decoder.flush() == case["decoded"]


def test_what_is_shown_while_streaming(llama):
    decoder = llama.stream_decoder()
    shown = [decoder.feed(i) for i in llama.encode("Once upon a 🦙", bos=True)]
    assert shown == ["", "Once", " upon", " a", " ", "", "", "", "🦙"]
    assert decoder.flush() == ""


def test_saved_as_it_came(llama, assets, tmp_path):
    llama.save(tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == (assets / "tokenizer.model").read_bytes()
    llama.save_tokenizer_bin(tmp_path / "bin")
    assert (tmp_path / "bin").read_bytes() == (assets / "tokenizer.bin").read_bytes()


def test_the_table_is_read_when_it_is_used(assets, monkeypatch):
    """Encoding, decoding and looking at pieces are SentencePiece's alone."""
    monkeypatch.setattr(sentencepiece_room, "parse_model", None)
    tokenizer = load_tokenizer(assets / "tokenizer.model")
    assert tokenizer.decode(tokenizer.encode("Hello", bos=True)) == "Hello"
    assert tokenizer.pieces("Hello World!") == ["▁Hello", "▁World", "!"]
    assert (tokenizer.vocab_size, tokenizer.eos_id) == (32_000, 2)


def test_a_model_that_sentencepiece_refuses_is_explained():
    """Cut between two pieces: without byte pieces SentencePiece would take it for a whole one."""
    whole = Tokenizer.train(TEXT, 50, byte_fallback=False)
    data, piece = whole._model, whole.id_to_piece(29).encode()
    cut = data.index(bytes([len(piece)]) + piece) + 1 + len(piece) + 5  # text and score
    assert spm.SentencePieceProcessor(model_proto=data[:cut]).vocab_size() == 30
    with pytest.raises(ValueError, match=r"ends after 30 pieces, before .*: it is truncated"):
        Tokenizer(data[:cut])
    unknown = data.replace(b"<unk>\x15\0\0\0\0\x18\x02", b"<unk>\x15\0\0\0\0\x18\x03")
    with pytest.raises(ValueError, match=r"exactly one unknown piece|SentencePiece refuses it"):
        Tokenizer(unknown)


def test_pickling(llama):
    back = pickle.loads(pickle.dumps(llama))
    assert back.encode("Hello World!") == [15043, 2787, 29991]


def test_training_follows_llama_2():
    tokenizer = Tokenizer.train(TEXT, 300)
    v = tokenizer.vocabulary
    assert list(v.pieces[:4]) == ["<unk>", "<s>", "</s>", "<0x00>"]
    assert v.types.count(PieceType.BYTE) == 256
    assert (v.unk_id, v.bos_id, v.eos_id, v.pad_id) == (0, 1, 2, -1)
    assert v.add_dummy_prefix
    assert not v.remove_extra_whitespaces
    assert not v.inexact_because
    assert v.unk_surface == " ⁇ "
    assert tokenizer.pieces("the 2024") == ["▁the", "▁", "2", "0", "2", "4"]
    assert tokenizer.decode(tokenizer.encode("  the\n\n 🦙  ")) == "  the\n\n 🦙  "


def test_training_is_deterministic_and_quiet(capfd, tmp_path):
    first, second = Tokenizer.train(TEXT, 300), Tokenizer.train([TEXT], 300)
    for tokenizer, name in ((first, "a"), (second, "b")):
        tokenizer.save(tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert load_tokenizer(tmp_path / "a").encode(TEXT) == first.encode(TEXT)
    assert capfd.readouterr() == ("", "")


def test_coverage_and_byte_fallback_may_vary():
    text = TEXT * 10 + "Ω"
    all_covered = Tokenizer.train(text, 300, character_coverage=1.0)
    assert all_covered.pieces("Ω") == ["▁", "Ω"]
    rest_in_bytes = Tokenizer.train(text, 300, character_coverage=0.995)
    assert rest_in_bytes.pieces("Ω") == ["▁", "<0xCE>", "<0xA9>"]
    unknown = Tokenizer.train(text, 50, character_coverage=0.995, byte_fallback=False)
    assert unknown.pieces("ΩΩ") == ["▁", "<unk>"]
    assert unknown.decode(unknown.encode("ΩΩ")) == " ⁇ "


def test_no_line_is_left_out():
    """SentencePiece would skip a long line, and one that holds its mark for unknown characters."""
    long_line = "abracadabra " * 1000
    assert "▁abracadabra" in Tokenizer.train(long_line, 274).vocabulary.pieces
    assert "▁hocus" in Tokenizer.train("hocus ▅ hocus\nhocus", 272).vocabulary.pieces


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"vocab_size": 200},
            "cannot train 200 pieces: vocab_size=200: the characters of this text alone take 2",
        ),
        ({"vocab_size": 9999}, r"vocab_size=9999: this text gives at most \d+$"),
        ({"text": ""}, "there is no text to learn from"),
        ({"text": ["\n", ""]}, "there is no text to learn from"),
        ({"text": "a\ud800"}, r"lone surrogate U\+D800 at position 1"),
        ({"character_coverage": 0.1}, "cannot train 300 pieces"),
        ({"model_typ": "bpe"}, "cannot train 300 pieces"),
    ],
)
def test_what_cannot_be_trained(changes, message):
    with pytest.raises(ValueError, match=message):
        Tokenizer.train(**{"text": TEXT, "vocab_size": 300, **changes})


def test_models_other_than_llama_2s():
    """A unigram model with SentencePiece's own defaults: normalised, extra spaces removed."""
    tokenizer = Tokenizer.train(
        TEXT,
        278,
        model_type="unigram",
        normalization_rule_name="nmt_nfkc",
        remove_extra_whitespaces=True,
    )
    processor = spm.SentencePieceProcessor(model_proto=tokenizer._model)
    for text in ("  the   cat ", "ﬁ ①", "", "🦙"):
        ids = processor.encode(text)
        assert tokenizer.encode(text) == ids
        for sequence in (ids, [tokenizer.piece_to_id("▁")] * 3 + ids, [1, *ids, 2]):
            decoder = tokenizer.stream_decoder()
            streamed = "".join(map(decoder.feed, sequence)) + decoder.flush()
            assert streamed == tokenizer.decode(sequence) == processor.decode(sequence)


def test_loading_goes_by_content_not_by_name(assets, tmp_path):
    for name, kind in (("tokenizer.model", Tokenizer), ("tokenizer.bin", BPETokenizer)):
        misnamed = tmp_path / f"{name}.txt"
        misnamed.write_bytes((assets / name).read_bytes())
        tokenizer = load_tokenizer(misnamed)
        assert type(tokenizer) is kind
        assert tokenizer.encode("Hello World!") == [15043, 2787, 29991]
    assert load_tokenizer(assets / "tok512.bin").vocab_size == 512


def test_bytes_are_a_model_too(assets):
    assert Tokenizer((assets / "tokenizer.model").read_bytes()).vocab_size == 32_000
    with pytest.raises(ValueError, match="byte 2: a value of 5 bytes"):
        Tokenizer(b"\x0a\x05abc")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty: expected a tokenizer.model or tokenizer.bin"),
        (b'{"version": "1.0"}', "neither a SentencePiece .model nor a tokenizer.bin"),
        (b"\x0a\x0e\x0a\x05<un", "byte 2: a value of 14 bytes where 5 are left: the file is trunc"),
        (b"\x1b\0\0\0\0\0", "byte 4: 2 bytes left where piece 0 needs 8"),
    ],
)
def test_what_is_no_tokenizer(tmp_path, content, message):
    file = tmp_path / "some-file"
    file.write_bytes(content)
    for load in (load_tokenizer, BPETokenizer.from_file):
        with pytest.raises(ValueError, match=f"some-file.*{message}"):
            load(file)


def test_more_that_is_no_tokenizer(assets, tmp_path):
    with zipfile.ZipFile(tmp_path / "archive", "w") as archive:
        archive.writestr("data", "x")
    for file in (assets / "stories260K.bin", tmp_path / "archive", assets / "README.md"):
        with pytest.raises(ValueError, match=r"no tokenizer\.bin|neither a SentencePiece"):
            load_tokenizer(file)
    with pytest.raises(FileNotFoundError, match="does not exist"):
        load_tokenizer(tmp_path / "missing")
    with pytest.raises(ValueError, match="is a folder"):
        load_tokenizer(assets)


@pytest.mark.parametrize("name", ["tokenizer.model", "tokenizer.bin"])
def test_a_truncated_real_file(assets, tmp_path, name):
    data = (assets / name).read_bytes()
    for part in (0.1, 0.5, 0.999):
        file = tmp_path / "part"
        file.write_bytes(data[: int(len(data) * part)])
        with pytest.raises(ValueError, match=r"part: .*truncated"):
            load_tokenizer(file)


def run_without(modules: str, code: str, *arguments: str) -> str:
    """Run code in a process where importing any of ``modules`` fails."""
    block = f"import sys\nfor name in {modules.split()!r}: sys.modules[name] = None\n"
    command = [sys.executable, "-c", block + code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout


def test_without_torch_and_sentencepiece(assets):
    """Importing works; a .model is read by BPETokenizer, whose ids are the same."""
    out = run_without(
        "torch sentencepiece jaxtyping tqdm numpy",
        "import llama_tutorial.tokenizer as t, llama_tutorial.chat\n"
        "for name in ('tokenizer.model', 'tokenizer.bin'):\n"
        "    tokenizer = t.load_tokenizer(sys.argv[1] + '/' + name)\n"
        "    print(tokenizer, tokenizer.encode('Hello World!'))\n"
        "t.BPETokenizer.train('ab ab', 264)\n"
        "for make in (lambda: t.Tokenizer('x'), lambda: t.Tokenizer.train('ab', 300)):\n"
        "    try: make()\n"
        "    except ImportError as error: print(error)\n",
        str(assets),
    )
    error = "Tokenizer needs SentencePiece: pip install sentencepiece (BPETokenizer does not)"
    loaded = "BPETokenizer(32000 pieces) [15043, 2787, 29991]"
    assert out.splitlines() == [loaded, loaded, error, error]


def test_importing_loads_neither_torch_nor_sentencepiece():
    code = (
        "import sys, llama_tutorial.tokenizer\n"
        "print([name for name in ('torch', 'sentencepiece', 'numpy') if name in sys.modules])"
    )
    assert run_without("", code) == "[]\n"
