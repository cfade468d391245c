"""The interface that both tokenizers share, and the checks at its door."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("sentencepiece")

from llama_tutorial.tokenizer import Tokenizer, load_tokenizer
from llama_tutorial.tokenizer.base import check_text, read_bytes
from llama_tutorial.tokenizer.bpe import BPETokenizer

TEXT = "the cat sat on the mat and the rat ran at the bat\n" * 3


@pytest.fixture(scope="module", params=[Tokenizer, BPETokenizer])
def tokenizer(request):
    return request.param.train(TEXT, 285)


def test_ids_and_sizes(tokenizer):
    assert tokenizer.vocab_size == len(tokenizer.vocabulary) == 285
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.pad_id) == (1, 2, -1)
    assert repr(tokenizer) == f"{type(tokenizer).__name__}(285 pieces)"


def test_bos_and_eos_are_added_where_asked_for(tokenizer):
    ids = tokenizer.encode("the cat")
    assert tokenizer.encode("the cat", bos=True) == [1, *ids]
    assert tokenizer.encode("the cat", eos=True) == [*ids, 2]
    assert tokenizer.encode("the cat", True, True) == [1, *ids, 2]
    assert tokenizer.encode("") == []
    assert tokenizer.encode("", bos=True, eos=True) == [1, 2]
    assert tokenizer.decode([1, *ids, 2]) == "the cat"
    assert tokenizer.decode([]) == ""


def test_a_typed_control_token_is_text(tokenizer):
    for typed in ("<s>", "</s>", "<unk>", "<0x0A>"):
        ids = tokenizer.encode(typed)
        assert not {0, 1, 2} & set(ids)
        assert tokenizer.decode(ids) == typed


def test_looking_at_pieces(tokenizer):
    pieces = tokenizer.pieces("the 🦙")
    assert pieces == ["▁the", "▁", "<0xF0>", "<0x9F>", "<0xA6>", "<0x99>"]
    assert [tokenizer.piece_to_id(piece) for piece in pieces] == tokenizer.encode("the 🦙")
    assert [tokenizer.id_to_piece(i) for i in tokenizer.encode("the 🦙")] == pieces
    assert tokenizer.id_to_piece(1) == "<s>"
    with pytest.raises(ValueError, match=r"'zebra' is not one of the 285 pieces .* with '▁'"):
        tokenizer.piece_to_id("zebra")
    with pytest.raises(ValueError, match="token id 285 is out of range"):
        tokenizer.id_to_piece(285)


def test_decode_takes_any_integers(tokenizer):
    numpy = pytest.importorskip("numpy")
    ids = tokenizer.encode("the cat")
    assert tokenizer.decode(numpy.array(ids)) == tokenizer.decode(iter(ids)) == "the cat"
    torch = pytest.importorskip("torch")
    assert tokenizer.decode(torch.tensor(ids)) == "the cat"
    assert tokenizer.id_to_piece(numpy.int64(ids[0])) == tokenizer.id_to_piece(ids[0])


def test_other_numbers_are_refused(tokenizer, unchecked):
    numpy, torch = pytest.importorskip("numpy"), pytest.importorskip("torch")
    for wrong in (numpy.array([1.5]), torch.tensor([1.5]), torch.tensor([[3, 4]]), [None]):
        with pytest.raises(ValueError, match="is no whole number: ids are integers"):
            tokenizer.decode(wrong)


def test_ids_that_are_not_in_the_vocabulary(tokenizer):
    with pytest.raises(ValueError, match=r"token id 285 is out of range: .* ids 0 to 284"):
        tokenizer.decode([3, 285])
    with pytest.raises(ValueError, match="-1 is padding: leave it out"):
        tokenizer.decode([3, -1])


def test_a_lone_surrogate_is_no_text(tokenizer):
    for call in (tokenizer.encode, tokenizer.pieces):
        with pytest.raises(ValueError, match=r"lone surrogate U\+DC00 at position 2.*clean it"):
            call("ab\udc00")


def test_only_a_str_is_text():
    assert check_text("é") == "é"
    for other in (b"abc", ["abc"], None, 7):
        with pytest.raises(ValueError, match=f"one str, not {type(other).__name__}: encode"):
            check_text(other)


def test_the_check_is_made_by_encode():
    """In a process of its own: here the runtime type check would speak first."""
    code = (
        "from llama_tutorial.tokenizer.bpe import BPETokenizer\n"
        "t = BPETokenizer.train('ab ab', 264)\n"
        "for call in (t.encode, t.merge_steps, t.pieces):\n"
        "    try: call(b'ab')\n"
        "    except ValueError as error: print(error)\n"
        "for ids in (7, [1.5], [[1, 2]], 'ab', None):\n"
        "    try: t.decode(ids)\n"
        "    except ValueError as error: print(error)\n"
        "for text in (7, None, b'ab', ['ab', 7]):\n"
        "    try: BPETokenizer.train(text, 264)\n"
        "    except ValueError as error: print(error)\n"
        "for call in (t.id_to_piece, t.piece_to_id, t.stream_decoder().feed):\n"
        "    try: call([1.5])\n"
        "    except ValueError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lines = done.stdout.splitlines()
    assert lines[:3] == ["encode takes one str, not bytes: encode texts one by one"] * 3
    kinds = ", not {}; put a single id in a list"
    no_number = " is no whole number: ids are integers, Python's, NumPy's or torch's"
    assert lines[3] == "decode takes a list of ids" + kinds.format("int")
    assert lines[4:6] == [f"token id {shown}{no_number}" for shown in ("1.5", "[1, 2]")]
    assert lines[6] == "decode takes a list of ids" + kinds.format("str")
    assert lines[7] == "decode takes a list of ids" + kinds.format("NoneType")
    several = "text is a {}: pass a str, or several in a list"
    assert lines[8:11] == [several.format(kind) for kind in ("int", "NoneType", "bytes")]
    assert lines[11] == "encode takes one str, not int: encode texts one by one"
    assert lines[12] == lines[14] == f"token id [1.5]{no_number}"
    assert lines[13].startswith("[1.5] is not one of the 264 pieces")
    assert done.stderr == ""


def test_a_vocabulary_without_bos():
    tokenizer = Tokenizer.train(TEXT, 285, bos_id=-1, eos_id=-1)
    from_scratch = BPETokenizer(tokenizer.vocabulary)
    for each in (tokenizer, from_scratch):
        assert (each.bos_id, each.eos_id) == (-1, -1)
        with pytest.raises(ValueError, match="this vocabulary has no BOS: encode with bos=False"):
            each.encode("the cat", bos=True)
        with pytest.raises(ValueError, match="this vocabulary has no EOS: encode with eos=False"):
            each.encode("the cat", eos=True)


def test_reading_what_is_not_there(tmp_path):
    with pytest.raises(ValueError, match=r"is a folder: pass the file in it, such as tokenizer\."):
        read_bytes(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"nowhere does not exist: pass a tokenizer\.model"):
        read_bytes(tmp_path / "nowhere")
    (tmp_path / "empty").touch()
    with pytest.raises(ValueError, match=r"empty is empty: expected a tokenizer\.model"):
        read_bytes(tmp_path / "empty")
    os.mkfifo(tmp_path / "pipe")  # reading it would wait for ever
    with pytest.raises(ValueError, match=r"pipe is a named pipe: it must be a file"):
        read_bytes(tmp_path / "pipe")
    with open(tmp_path / "large", "wb") as file:
        file.truncate(2**26 + 1)
    with pytest.raises(ValueError, match=r"large has 67108865 bytes: no tokenizer has so many"):
        read_bytes(tmp_path / "large")


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "a pointer of git"),
        (b"\n<!DOCTYPE html><html>Log in</html>", "a web page that was saved in its place"),
        (b'{"version": "1.0"}', 'text that begins \'{"version": "1.0"}\''),
    ],
)
def test_what_lies_in_a_tokenizers_place_is_named(tmp_path, data, what):
    (tmp_path / "tokenizer.model").write_bytes(data)
    for read in (load_tokenizer, Tokenizer, BPETokenizer.from_file):
        with pytest.raises(ValueError, match=r"tokenizer\.model is ") as error:
            read(tmp_path / "tokenizer.model")
        assert f"tokenizer.model is {what}" in str(error.value)
        assert str(error.value).endswith("neither a SentencePiece .model nor a tokenizer.bin")


def test_a_file_is_never_half_there(tokenizer, tmp_path, monkeypatch):
    file = tmp_path / "tokenizer.model"
    tokenizer.save(file)
    before = file.read_bytes()

    def full_disk(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr("os.replace", full_disk)
    with pytest.raises(OSError, match="No space left"):
        tokenizer.save(file)
    assert file.read_bytes() == before
    assert list(tmp_path.iterdir()) == [file]


def test_saving_as_tokenizer_bin(tokenizer, tmp_path):
    tokenizer.save_tokenizer_bin(tmp_path / "tokenizer.bin")
    back = BPETokenizer.from_file(tmp_path / "tokenizer.bin")
    for text in (TEXT, "the  cat", "🦙 <s>"):
        assert back.encode(text) == tokenizer.encode(text)
