"""Pre-training data: where the text comes from, and from text to batches.

The text comes from the story world, a file, or a public data set. It becomes one long stream of
tokens, which is cut into rows.

Documents are tokenized once, each between BOS and EOS, and written one after the other to a file of
16- or 32-bit numbers, which is then memory-mapped: a corpus may be larger than memory. A batch
takes windows of ``context + 1`` tokens from the stream; the first ``context`` are the inputs, the
last ``context`` the targets. A window may begin in the middle of a document and hold parts of
several: attention does not cross from one to the next unless asked to, and the boundary has no
target, since EOS cannot predict the next document's BOS. EOS itself is learned, also where one
token is both, as GPT-2's ``<|endoftext|>``.

Source: the stream of tokens is GPT-2's and Llama's; masks between documents are our choice (Llama
2's pre-training attends across them).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, runtime_checkable

import numpy as np

from llama_tutorial._util.cache import fetch, keep
from llama_tutorial._util.files import replace_file
from llama_tutorial._util.json_file import read_json
from llama_tutorial._util.labels import IGNORE
from llama_tutorial._util.progress import progress
from llama_tutorial.chat.dialog import Encoder
from llama_tutorial.tales import tales
from llama_tutorial.tales.telling import texts

if TYPE_CHECKING:  # texts and token files are read without torch; batches are torch's
    from llama_tutorial.training.step import Batch

SEPARATOR = "<|endoftext|>"
VALIDATION_FRACTION = 0.1
VALIDATION_TALES = 500


@runtime_checkable
class SizedTexts(Protocol):
    """Texts whose number is known before they are read."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[str]: ...


@dataclass(frozen=True)
class Corpus:
    """Documents to learn from and documents to measure with.

    Attributes:
        training: Texts; they may be generated while they are read, so read them once.
        validation: Other texts.
        source: A name for both, which changes with their content; what was computed from them is
            found again by it.
        former_source: The name that version 0.2 of this package gave them, for runs that it began.
    """

    training: SizedTexts
    validation: list[str]
    source: str
    former_source: str = ""


class _Told:
    """The tales of the training split, told while they are read, by all processors."""

    def __init__(self, n: int, seed: int) -> None:
        self._n, self._seed = n, seed

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[str]:
        return texts(self._n, "train", self._seed)


# Public data sets: the repository on the hub, the file for training, the file for validation.
DATA_SETS = {
    "tinystories": (
        "roneneldan/TinyStories",
        "TinyStoriesV2-GPT4-train.txt",
        "TinyStoriesV2-GPT4-valid.txt",
    ),
}


def load_corpus(data: str, n_tales: int = 200_000, seed: int = 0) -> Corpus:
    """Load a corpus by its name.

    Args:
        data: ``"tales"``, the story world; ``"tinystories"``, downloaded from the hub; or the path
            of a text file, in UTF-8. Documents in a file are separated by ``<|endoftext|>``; the
            last tenth is kept for validation.
        n_tales: Number of tales.
        seed: Seed of the tales.

    Raises:
        FileNotFoundError: ``data`` is neither a known name nor a file.
        ValueError: The file is empty, not UTF-8, or a folder.
        ImportError: ``huggingface_hub`` is needed for a download.
    """
    if data == "tales":
        validation = [tale.text for tale in tales(VALIDATION_TALES, "validation")]
        return Corpus(_Told(n_tales, seed), validation, f"tales {n_tales} {seed}")
    if data in DATA_SETS:
        parts = [_read_text(Path(path)) for path in _download(*DATA_SETS[data])]
        training, validation = (documents for documents, _ in parts)
        return Corpus(training, validation, " ".join(digest for _, digest in parts), data)
    if Path(data).is_dir():
        raise ValueError(f"{data} is a folder: give one text file")
    if not Path(data).is_file():
        names = ", ".join(["tales", *DATA_SETS])
        raise FileNotFoundError(f"{data}: no such file, and none of the names {names}")
    status = Path(data).stat()
    documents, digest = _read_text(Path(data))
    former = f"{data} {status.st_size} {status.st_mtime_ns}"
    return Corpus(*split_documents(documents), digest, former)


def read_documents(path: str | Path) -> list[str]:
    """The documents of a text file, split at the separators; without one, the whole text.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is empty or not UTF-8.
    """
    return _read_text(Path(path))[0]


def _read_text(path: Path) -> tuple[list[str], str]:
    """A file's documents, and a name for its content: the hash of the very bytes that were read."""
    contents = path.read_bytes()
    try:
        text = contents.decode().removeprefix("\ufeff")  # the mark that some editors begin with
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from None
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    documents = [part.strip("\n") for part in text.split(SEPARATOR)]
    documents = [document for document in documents if document]
    if not documents:
        raise ValueError(f"{path} is empty: there is no text in it")
    return documents, f"sha256 {hashlib.sha256(contents).hexdigest()}"


def split_documents(
    documents: list[str], validation_fraction: float = VALIDATION_FRACTION
) -> tuple[list[str], list[str]]:
    """The first documents for training, the last for validation; a single one is cut in two."""
    if len(documents) == 1:
        cut = round(len(documents[0]) * (1 - validation_fraction))
        return [documents[0][:cut]], [documents[0][cut:]]
    cut = min(max(round(len(documents) * (1 - validation_fraction)), 1), len(documents) - 1)
    return documents[:cut], documents[cut:]


def _download(repository: str, *names: str) -> list[str]:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise ImportError(
            f"{repository} is downloaded through huggingface_hub: pip install 'llama-tutorial[hub]'"
        ) from None
    return [hf_hub_download(repository, name, repo_type="dataset") for name in names]


@dataclass(frozen=True)
class StreamInfo:
    """The description of a token file, stored in a ``.json`` file beside it.

    Attributes:
        n_tokens: Number of tokens.
        n_documents: Number of documents.
        vocab_size: Vocabulary size of the tokenizer that made the file.
        bos_id: The id that begins each document.
        dtype: ``"uint16"`` or ``"uint32"``.
        source: A name for text and tokenizer; when it changes, the file is written again.
        sha256: The file's hash; empty in files of version 0.2.
    """

    n_tokens: int
    n_documents: int
    vocab_size: int
    bos_id: int
    dtype: str
    source: str
    sha256: str = ""

    def __post_init__(self) -> None:
        for field in fields(self):
            kind = int if field.type == "int" else str
            if type(value := getattr(self, field.name)) is not kind:
                raise ValueError(f"{field.name}={value!r:.50}: must be of type {kind.__name__}")
        if self.dtype not in ("uint16", "uint32"):
            raise ValueError(f"dtype={self.dtype!r:.50}: must be 'uint16' or 'uint32'")


@runtime_checkable
class DocumentTokenizer(Encoder, Protocol):
    """The part of a tokenizer that is needed here."""

    vocab_size: int
    bos_id: int


def is_tokenized(path: str | Path, tokenizer: DocumentTokenizer, source: str) -> bool:
    """Whether the tokens of ``source`` are in ``path`` already, as `tokenize` writes them.

    Raises:
        ValueError: The description of the file is damaged.
    """
    path = Path(path)
    if not (_info_path(path).exists() and path.exists()):
        return False
    info = _read_info(path)
    return (info.source, info.vocab_size) == (source, tokenizer.vocab_size)


def fetch_tokens(path: str | Path, tokenizer: DocumentTokenizer, source: str, key: str) -> bool:
    """Take a token file from the user's cache; whether it was there, whole, and of ``source``."""
    path = Path(path)
    if not fetch(key, (path, _info_path(path))):
        return False
    with suppress(ValueError, OSError):
        if is_tokenized(path, tokenizer, source):
            with open(path, "rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == _read_info(path).sha256:
                    return True
    _info_path(path).unlink(missing_ok=True)  # made anew, then
    return False


def keep_tokens(path: str | Path, key: str) -> None:
    """Keep a token file in the user's cache, for `fetch_tokens`."""
    path = Path(path)
    keep(key, (path, _info_path(path)))


def tokenize(
    documents: Iterable[str], tokenizer: DocumentTokenizer, path: str | Path, source: str = ""
) -> Path:
    """Write the tokens of all documents to ``path``, unless they are there already.

    Args:
        documents: The texts; read one at a time.
        tokenizer: Encodes each document, with BOS and EOS.
        path: The token file. Its description has the same name with ``.json`` added.
        source: A name for texts and tokenizer. A file of the same source is not written again.

    Returns:
        ``path``.

    Raises:
        ValueError: There is no document.
    """
    path = Path(path)
    if is_tokenized(path, tokenizer, source):
        return path
    dtype = "uint16" if tokenizer.vocab_size <= 2**16 else "uint32"
    n_tokens = n_documents = 0
    digest = hashlib.sha256()
    _info_path(path).unlink(missing_ok=True)  # a half-made file must not look finished
    with replace_file(path) as file:
        for document in progress(documents, "tokenizing", unit="document"):
            ids = np.array(tokenizer.encode(document, bos=True, eos=True), dtype)
            file.write(ids.tobytes())
            digest.update(ids.tobytes())
            n_tokens, n_documents = n_tokens + len(ids), n_documents + 1
        if n_documents == 0:
            raise ValueError(f"no document to write to {path}: the text is empty")
    info = StreamInfo(
        n_tokens,
        n_documents,
        tokenizer.vocab_size,
        tokenizer.bos_id,
        dtype,
        source,
        digest.hexdigest(),
    )
    with replace_file(_info_path(path)) as file:
        file.write(json.dumps(asdict(info), indent=2).encode())
    return path


def open_tokens(path: str | Path) -> tuple[np.ndarray, StreamInfo]:
    """A token file's tokens, memory-mapped, ``(n_tokens,)``, and its description.

    Args:
        path: From :func:`tokenize`.

    Raises:
        FileNotFoundError: There is no such file, or no description beside it.
        ValueError: The file is not what its description says.
    """
    info = _read_info(Path(path))
    return _map_tokens(Path(path), info), info


def is_token_file(path: str | Path) -> bool:
    """Whether there is a file with the description that :func:`tokenize` writes beside it."""
    return Path(path).is_file() and _info_path(Path(path)).is_file()


class TokenStream:
    """A memory-mapped token file, read in batches.

    The batch of a step is a pure function of the step and the seed. Each epoch begins its windows
    at another offset and takes them in another order; no token is used twice in an epoch.

    Args:
        path: From :func:`tokenize`.
        batch_size: Rows, B.
        context: Tokens of a row, T.
        seed: Seed of the order.
        separate_documents: Keep attention within documents.

    Raises:
        FileNotFoundError: There is no such file, or no description beside it.
        ValueError: The file is not what its description says, or too short for one batch; or a
            number is out of range.
    """

    def __init__(
        self,
        path: str | Path,
        batch_size: int,
        context: int,
        *,
        seed: int = 0,
        separate_documents: bool = True,
    ) -> None:
        from llama_tutorial.training.step import check_rows

        check_rows(batch_size, context, seed)
        self.batch_size, self.context, self.seed = batch_size, context, seed
        self.separate_documents = separate_documents
        self.tokens, self.info = open_tokens(path)
        # One window less, to leave room for the offset, which differs from epoch to epoch.
        self.windows_per_epoch = (len(self.tokens) - 1) // context - 1
        if self.windows_per_epoch < batch_size:
            raise ValueError(
                f"{path} holds {len(self.tokens)} tokens, which is too short for a batch of "
                f"{batch_size} rows of {context}: give more text, or smaller batches"
            )
        # The stream ends as every document does; GPT-2 has one token for both ends.
        self._bos_is_eos = int(self.tokens[-1]) == self.info.bos_id

    def batch(self, step: int) -> Batch:
        """The batch of ``step``, counted from 1."""
        first = (step - 1) * self.batch_size
        starts = [self._start(first + row) for row in range(self.batch_size)]
        rows = np.stack([self.tokens[start : start + self.context + 1] for start in starts])
        return self._to_batch(rows)  # (B, T + 1)

    def every_window(self) -> Iterator[Batch]:
        """Batches that together hold every window of the stream once, in order; for validation.

        The last batch may be smaller. What is left of the stream is too short for a window.
        """
        windows = np.lib.stride_tricks.sliding_window_view(self.tokens, self.context + 1)
        windows = windows[:: self.context]  # (N, T + 1), and nothing is copied
        for first in range(0, len(windows), self.batch_size):
            rows = windows[first : first + self.batch_size]
            yield self._to_batch(rows)

    def _to_batch(self, windows: np.ndarray) -> Batch:
        import torch

        from llama_tutorial.training.step import Batch

        rows = torch.from_numpy(windows.astype(np.int64))
        inputs, targets = rows[:, :-1], rows[:, 1:]  # (B, T) each
        begins, boundary = inputs == self.info.bos_id, targets == self.info.bos_id
        if self._bos_is_eos:  # its first, after a text, is learned
            boundary &= begins
        targets = targets.masked_fill(boundary, IGNORE)
        documents = begins.long().cumsum(1) if self.separate_documents else None
        return Batch(inputs, targets, documents)

    def _start(self, window: int) -> int:
        epoch, position = divmod(window, self.windows_per_epoch)
        offset, order = _epoch(self.seed, epoch, self.windows_per_epoch, self.context)
        return offset + int(order[position]) * self.context


@lru_cache(maxsize=4)
def _epoch(seed: int, epoch: int, n_windows: int, context: int) -> tuple[int, np.ndarray]:
    random = np.random.default_rng((seed, epoch))
    return int(random.integers(context)), random.permutation(n_windows)


def _info_path(path: Path) -> Path:
    return path.with_name(path.name + ".json")


def _read_info(path: Path) -> StreamInfo:
    file = _info_path(path)
    try:
        contents = read_json(file)
        if not isinstance(contents, dict):
            raise ValueError("it holds no object")
        if unknown := contents.keys() - {field.name for field in fields(StreamInfo)}:
            raise ValueError(f"unexpected field {min(unknown)!r:.50}")
        return StreamInfo(**contents)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{path} has no description {file.name} beside it: make it with tokenize()"
        ) from None
    except (ValueError, TypeError) as error:
        reason = str(error).removeprefix("StreamInfo.__init__() ")
        raise ValueError(
            f"{file} is damaged: {reason}; delete it and {path.name} to make both anew"
        ) from None


def _map_tokens(path: Path, info: StreamInfo) -> np.ndarray:
    """The file's tokens, mapped, after a look at all of them."""
    n_bytes, expected = path.stat().st_size, info.n_tokens * np.dtype(info.dtype).itemsize
    damage = ""
    if n_bytes != expected:
        damage = f"it has {n_bytes} bytes, not {expected}"
    elif n_bytes == 0:
        damage = "it is empty"
    else:
        tokens = np.memmap(path, info.dtype, mode="r")
        if info.sha256 and hashlib.sha256(tokens.data).hexdigest() != info.sha256:
            damage = "its sha256 is another"
        elif (largest := int(tokens.max())) >= info.vocab_size:
            damage = f"it holds the id {largest}, and the vocabulary has {info.vocab_size}"
        else:
            return tokens
    raise ValueError(
        f"{path} was cut or changed: {damage}; delete it and {_info_path(path).name} to make both "
        "anew"
    )
