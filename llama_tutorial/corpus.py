"""Where the text for pre-training comes from: the story world, a file, or a public data set.

Read next: :mod:`llama_tutorial.pretraining`, which turns text into batches.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from llama_tutorial.tales import tales

SEPARATOR = "<|endoftext|>"
VALIDATION_SHARE = 0.1
VALIDATION_TALES = 500


@dataclass(frozen=True)
class Corpus:
    """Documents to learn from and documents to measure with.

    Attributes:
        training: Texts; may be made while they are read, so read them once.
        validation: Texts that are not among them.
        source: Names both, so that work done on them can be found again.
    """

    training: Iterable[str]
    validation: list[str]
    source: str


# Files of public data sets: repository on the hub, and the names there.
DATA_SETS = {
    "tinystories": (
        "roneneldan/TinyStories",
        "TinyStoriesV2-GPT4-train.txt",
        "TinyStoriesV2-GPT4-valid.txt",
    ),
}


def load_corpus(data: str, n_tales: int = 200_000, seed: int = 0) -> Corpus:
    """The corpus of that name.

    Args:
        data: ``"tales"``, the story world; ``"tinystories"``, downloaded from the hub; or the path
            of a text file, in UTF-8. Documents in a file are separated by ``<|endoftext|>``; the
            last tenth is kept for validation.
        n_tales: How many tales to tell.
        seed: Of the tales.

    Raises:
        FileNotFoundError: It is no name and no file.
        ValueError: The file is empty or no UTF-8.
        ImportError: A download needs ``huggingface_hub``.
    """
    if data == "tales":
        validation = [tale.text for tale in tales(VALIDATION_TALES, "validation")]
        told = (tale.text for tale in tales(n_tales, "train", seed))
        return Corpus(told, validation, f"tales {n_tales} {seed}")
    if data in DATA_SETS:
        training, validation = (read_documents(path) for path in _download(*DATA_SETS[data]))
        return Corpus(training, validation, data)
    if not Path(data).is_file():
        names = ", ".join(["tales", *DATA_SETS])
        raise FileNotFoundError(f"{data}: no such file, and none of the names {names}")
    training, validation = split_documents(read_documents(data))
    status = Path(data).stat()
    return Corpus(training, validation, f"{data} {status.st_size} {status.st_mtime_ns}")


def read_documents(path: str | Path) -> list[str]:
    """The documents of a text file: what stands between separators; without one, the whole.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It is empty, or no UTF-8.
    """
    path = Path(path)
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text: {error.reason} at byte {error.start}") from None
    documents = [part.strip("\n") for part in text.split(SEPARATOR)]
    documents = [document for document in documents if document]
    if not documents:
        raise ValueError(f"{path} is empty: there is nothing to learn from")
    return documents


def split_documents(
    documents: list[str], validation_share: float = VALIDATION_SHARE
) -> tuple[list[str], list[str]]:
    """The first documents for training and the last for validation; one alone is cut in two."""
    if len(documents) == 1:
        cut = round(len(documents[0]) * (1 - validation_share))
        return [documents[0][:cut]], [documents[0][cut:]]
    cut = min(max(round(len(documents) * (1 - validation_share)), 1), len(documents) - 1)
    return documents[:cut], documents[cut:]


def _download(repository: str, *names: str) -> list[str]:
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise ImportError(
            f"{repository} is downloaded through huggingface_hub: pip install 'llama-tutorial[hub]'"
        ) from None
    return [hf_hub_download(repository, name, repo_type="dataset") for name in names]
