"""Where a model lies, and downloads from the Hugging Face hub: its files, and no others.

A repository often holds a model several times, in safetensors, in pickles, in Meta's form, for
other frameworks. Its list of files is asked for first, and one form is fetched. All else is
``huggingface_hub``'s: the cache, going on after a break, the login. With ``HF_HUB_OFFLINE=1``, or
where the hub does not answer, what is in the cache is used. What comes anew is looked at: a web
page, a pointer of git-lfs, or a large file with another SHA-256 is refused, and deleted again.

This module knows nothing of what is in the files.
"""

from __future__ import annotations

import errno
import hashlib
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from fnmatch import filter as matching
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from types import ModuleType

from llama_tutorial._util.gguf_file import parts_of
from llama_tutorial._util.given_file import foreign, kind_of
from llama_tutorial._util.terminal import bytes_in_words, one_line, printable
from llama_tutorial.config import PRESETS
from llama_tutorial.shipped import SHIPPED
from llama_tutorial.tokenizer.gpt2_files import SETTINGS

# The forms of a model, the preferred one first: what must be there, then what belongs to it.
_FORMS = (
    ("config.json", "model.safetensors"),
    ("config.json", "model.safetensors.index.json", "model-*-of-*.safetensors"),
    ("config.json", "pytorch_model.bin"),
    ("config.json", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin"),
    ("params.json", "consolidated.[0-9][0-9].pth"),
)
_TOKENIZERS = (
    ("tokenizer.model",),
    ("tokenizer.bin",),
    ("vocab.json", "merges.txt"),
    ("tokenizer.json",),
)
_GPT2 = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
SHORT_NAMES = {name: f"openai-community/{name}" for name in _GPT2}
"""Repositories that are known by a name without an owner."""
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_id(name: str) -> bool:
    """Whether ``name`` is ``owner/repository``."""
    return bool(_ID.fullmatch(name)) and ".." not in name and not name.endswith((".", "-"))


# Where the weights of a preset are to be had.
_META = "Meta gives them at llama.com, and as meta-llama/{} on the Hugging Face hub"
_WEIGHTS = {
    **{f"llama-2-{size}": _META.format(f"Llama-2-{size}") for size in ("7b", "13b", "70b")},
    "llama-2-34b": "Meta has never published them",
    "stories260K": "karpathy/tinyllamas with --filename stories260K/stories260K.bin",
    **{
        f"stories{size}": f"karpathy/tinyllamas with --filename stories{size}.bin"
        for size in ("15M", "42M", "110M")
    },
    "tinyllama-1.1b": "TinyLlama/TinyLlama-1.1B-intermediate-step-1431k-3T on the hub",
}


def locate(source: str) -> Path:
    """The file or folder of a model.

    Args:
        source: The name of a model that comes with the package; a path, also of the folder of a
            finished training run; or a repository of the hub, which is downloaded.

    Raises:
        FileNotFoundError: There is no such model. For repositories as in `download_model`, and its
            other errors.
    """
    if source in SHIPPED:
        return SHIPPED[source].model
    if kind_of(source):
        return _model_of_run(Path(source))
    if is_hub_id(repository := SHORT_NAMES.get(source, source)):
        return download_model(repository)
    if source in PRESETS:
        raise FileNotFoundError(
            f"{source} is a preset: the sizes of a model, without its weights; "
            f"{_WEIGHTS.get(source, 'pretrain makes some')}"
        )
    raise FileNotFoundError(
        f"{source}: no such file or folder, and no model of this package; those are "
        f"{', '.join(map(repr, SHIPPED))}"
    )


def _model_of_run(path: Path) -> Path:
    """The finished model in the folder of a training run; other paths as they are."""
    if not ((path / "settings.json").is_file() and (path / "checkpoints").is_dir()):
        return path
    if not (path / "model").is_dir():
        raise FileNotFoundError(
            f"{path} holds a training run that is not finished: it has no model yet; the command "
            "that began it goes on with it"
        )
    return path / "model"


def download_model(repository: str) -> Path:
    """Fetch a model and its tokenizer; returns the folder that they are in.

    Where the hub cannot be asked, by choice or not, the cache has what was fetched before.

    Raises:
        FileNotFoundError: There is no such repository, or the hub cannot be reached and the
            repository is not in the cache.
        PermissionError: It is gated, and access was not given; the message says how to get it.
        OSError: The hub answers otherwise than with the files; the message says how.
        ValueError: It holds no model that this package reads, or several; or what was fetched is
            something else.
        ImportError: huggingface_hub is not installed.
    """
    library = _library()
    with _explained(library, repository):
        try:
            siblings = library.HfApi().model_info(repository).siblings
            names = [str(file.rfilename) for file in siblings or ()]
            if not any(_complete(form, names) for form in _FORMS):  # the sizes help to choose
                siblings = library.HfApi().model_info(repository, files_metadata=True).siblings
            sizes = {str(file.rfilename): file.size or 0 for file in siblings or ()}
        except Exception as error:
            folder = None if _is_final(error) else _cached(library, repository)
            if folder is None:
                raise
            return folder
    files = needed(repository, names, sizes)
    paths = [_fetch(library, repository, files[0])]
    commit = paths[0].parent.name  # so that all are of one state of the repository
    paths += [_fetch(library, repository, name, commit) for name in files[1:]]
    return paths[0].parent


def download_file(repository: str, filename: str) -> Path:
    """Fetch one file; errors as in `download_model`."""
    return _fetch(_library(), repository, filename)


def _fetch(library: ModuleType, repository: str, filename: str, commit: str | None = None) -> Path:
    """One file, checked if it was not in the cache."""
    if filename.startswith(("/", "\\")) or ".." in re.split(r"[/\\]", filename):
        raise ValueError(f"{printable(filename)} of {repository}: must be a path within it")
    begin = time.time()
    with _explained(library, repository, filename):
        path = Path(library.hf_hub_download(repository, filename, revision=commit))
        blob = path.resolve()
        if blob.stat().st_mtime < begin - 2:  # a file system may round to seconds
            return path
        with open(path, "rb") as file:
            what = foreign(head) if (head := file.read(256)) else None
        if what and ("git-lfs" in what or "web page" in what):
            broken = f"is {what}"
        elif _is_damaged(blob):
            broken = "came damaged: its SHA-256 is not the one that the hub gives; try again"
        else:
            return path
        path.unlink()  # or the next call would take it from the cache
        blob.unlink(missing_ok=True)
    raise ValueError(f"{printable(filename)} of {repository} {broken}")


def _is_damaged(blob: Path) -> bool:
    """Whether a large file, which the cache names by its SHA-256, has another."""
    if not re.fullmatch(r"[0-9a-f]{64}", blob.name):
        return False
    with open(blob, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() != blob.name


def _cached(library: ModuleType, repository: str) -> Path | None:
    """The folder that an earlier download has left, if a model is in it."""
    one_of = ["config.json", "params.json"]  # any model has one, and the rest is beside it
    try:
        folder = Path(
            library.snapshot_download(repository, allow_patterns=one_of, local_files_only=True)
        )
        needed(repository, [file.name for file in folder.iterdir()])
    except (library.errors.LocalEntryNotFoundError, ValueError):
        return None
    return folder


def needed(
    repository: str, names: Sequence[str], sizes: Mapping[str, int] | None = None
) -> list[str]:
    """Which of a repository's files make the model and its tokenizer.

    Args:
        repository: For the message.
        names: Of its files.
        sizes: In bytes, of some of them or all, for the message.

    Raises:
        ValueError: None do, or each of several; or a name that would be taken leads elsewhere.
    """
    for form in _FORMS:
        if chosen := _complete(form, names):
            break
    else:
        files = [name for name in names if re.search(r"\.(bin|pth?|safetensors|gguf)$", name)]
        if files:
            raise ValueError(
                f"{repository} holds several files, and no model's folder: name one of them with "
                "filename= (on the command line, --filename); there are "
                + printable(", ".join(_with_sizes(files, sizes or {})))
            )
        raise ValueError(f"{repository} holds no model that this package reads")
    tokenizer: list[str] = next(filter(None, (_complete(f, names) for f in _TOKENIZERS)), [])
    if any(name.endswith(".json") for name in tokenizer):
        tokenizer += [name for name in SETTINGS if name in names]
    chosen += tokenizer
    for name in chosen:
        if not re.fullmatch(r"[\w.-]+", name):  # a pattern's * would take ../ too
            raise ValueError(f"{repository} holds the file {printable(name)!r}, which is refused")
    return chosen


def _with_sizes(names: Sequence[str], sizes: Mapping[str, int]) -> list[str]:
    """Names with their sizes, as far as these are known; of a GGUF file in parts the first."""
    total: dict[str, int] = {}
    for name in names:
        folder, slash, last = name.rpartition("/")
        first = f"{folder}{slash}{parts_of(Path(last))[0]}"
        first = first if first in names else name
        total[first] = total.get(first, 0) + sizes.get(name, 0)
    return [f"{name} ({bytes_in_words(size)})" if size else name for name, size in total.items()]


def _complete(form: Sequence[str], names: Sequence[str]) -> list[str]:
    """The names that a form consists of; none if one of its kinds is missing."""
    kinds = [matching(names, kind) for kind in form]
    return [name for kind in kinds for name in kind] if all(kinds) else []


def _library() -> ModuleType:
    try:
        import_module("huggingface_hub.constants")
        import_module("huggingface_hub.errors")
        return import_module("huggingface_hub")
    except ModuleNotFoundError as error:
        raise ImportError(
            "downloads need huggingface_hub: pip install 'llama-tutorial[hub]'"
        ) from error


def _is_final(error: BaseException) -> bool:
    """Whether the hub has answered, and would answer the same again."""
    return _status(error) in (401, 403, 404, 410)


def _status(error: BaseException) -> int | None:
    """The status of the hub's answer that an error came of, if there was an answer."""
    codes = (getattr(getattr(e, "response", None), "status_code", None) for e in _causes(error))
    return next((code for code in codes if code), None)


def _causes(error: BaseException | None) -> list[BaseException]:
    """An error, and those that it came of, the first one last."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


@contextmanager
def _explained(library: ModuleType, repository: str, filename: str | None = None) -> Iterator[None]:
    """Turn the library's errors into ones that say what happened, and what to do."""
    try:
        yield
    except Exception as error:  # of whatever http library is in use
        raise _explanation(library, error, repository, filename) from None


def _explanation(
    library: ModuleType, error: Exception, repository: str, filename: str | None
) -> Exception:
    errors, hub = library.errors, library.constants.ENDPOINT
    causes, status = _causes(error), _status(error)
    what = f"{printable(filename)} of {repository}" if filename else repository
    reason = one_line(causes[-1])[:200] or type(causes[-1]).__name__

    def among(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if among(errors.GatedRepoError):
        return PermissionError(
            f"{repository} is gated: its owners open it to those who accept their terms. Log "
            f"in at {hub}/{repository}, accept the terms there and wait for the answer; make a "
            f"token that may read at {hub}/settings/tokens; give it to this machine with "
            "`hf auth login` or as HF_TOKEN; then try again"
        )
    if among(errors.RepositoryNotFoundError) or status == 401 or (status == 404 and not filename):
        if filename:
            return FileNotFoundError(
                f"{what}: {hub} answers {status}: there is no such repository, or it is private; "
                "check the name, or log in with `hf auth login`"
            )
        return FileNotFoundError(
            f"{repository}: no such folder here, and {hub} shows no such repository; check the "
            "name, or, if it is private, log in with `hf auth login`"
        )
    if status == 404:
        return FileNotFoundError(f"{repository} holds no file {printable(filename or '')}")
    if status is not None:
        return _answered(causes, status, f"{what}: {hub}")
    if among(errors.OfflineModeIsEnabled):
        offline = library.constants.HF_HUB_OFFLINE
        why = "HF_HUB_OFFLINE is set" if offline else f"{hub} cannot be reached"
        return FileNotFoundError(
            f"{what} is not in the cache, and {why}; go online once, or give the path of a folder"
        )
    if among(errors.FileMetadataError, AttributeError, KeyError, TypeError) or any(
        "JSONDecodeError" in type(cause).__name__ for cause in causes
    ):
        return OSError(
            f"{what}: what answers at {hub} is not a Hugging Face hub, or its answer is damaged; "
            "is it the login page of a network, a proxy, or a wrong HF_ENDPOINT?"
        )
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        cache = library.constants.HF_HUB_CACHE
        return OSError(error.errno, f"{error.strerror} for {what}; HF_HOME moves it", cache)
    if any(type(cause).__name__ in _UNREACHED for cause in causes):
        return FileNotFoundError(
            f"{what} is not in the cache, and {hub} cannot be reached ({reason}); check the "
            "connection, or give the path of a folder"
        )
    if isinstance(error, errors.HFValidationError):
        return ValueError(f"{what}: {reason}")
    return OSError(f"{what} cannot be downloaded from {hub}: {reason}")


# Names of the errors by which the libraries say so: httpx's and requests'.
_UNREACHED = (
    *("ConnectError", "ConnectTimeout", "ConnectionError", "NewConnectionError", "NameResolution"),
    *("ProxyError", "SSLError", "PoolTimeout", "ReadTimeout", "UnsupportedProtocol"),
)


def _answered(causes: list[BaseException], status: int, whom: str) -> OSError:
    """The error for an answer that is none of those that have a meaning of their own."""
    response = next(filter(None, (getattr(e, "response", None) for e in causes)), None)
    try:
        phrase = f" ({HTTPStatus(status).phrase})"
    except ValueError:
        phrase = ""
    wait = printable(getattr(response, "headers", {}).get("Retry-After", ""))[:40]
    if status == 403:
        hint = "access is refused: to this address, or to your token (`hf auth whoami`)"
    elif status == 429:
        hint = f"too many requests; try again {f'in {wait} seconds' if wait.isdigit() else 'later'}"
    elif status >= 500:
        hint = "the fault is the server's; try again later"
    else:
        hint = "check HF_ENDPOINT, and what is between it and you"
    kind = PermissionError if status == 403 else OSError
    return kind(f"{whom} answers {status}{phrase}: {hint}")
