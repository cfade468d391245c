"""Downloads from the Hugging Face hub: the files that a model needs, and no others.

A repository often holds a model several times, in safetensors, in pickles, in Meta's form, for
other frameworks. Its list of files is asked for first, and one form is fetched. All else is
``huggingface_hub``'s: the cache, going on after a break, the login. With ``HF_HUB_OFFLINE=1``, or
without a network, what is in the cache is used.

This module knows nothing of what is in the files.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NoReturn

# The forms of a model, the preferred one first: what must be there, then what belongs to it.
_FORMS = (
    (r"config\.json", r"model\.safetensors"),
    (r"config\.json", r"model\.safetensors\.index\.json", r"model-\d+-of-\d+\.safetensors"),
    (r"config\.json", r"pytorch_model\.bin"),
    (r"config\.json", r"pytorch_model\.bin\.index\.json", r"pytorch_model-\d+-of-\d+\.bin"),
    (r"params\.json", r"consolidated\.\d\d\.pth"),
)
_TOKENIZERS = (
    (r"tokenizer\.model",),
    (r"tokenizer\.bin",),
    (r"vocab\.json", r"merges\.txt"),
    (r"tokenizer\.json",),
)
_GPT2 = ("gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl")
SHORT_NAMES = {name: f"openai-community/{name}" for name in _GPT2}
"""Repositories that are known by a name without an owner."""
_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_hub_id(name: str) -> bool:
    """Whether ``name`` is ``owner/repository``."""
    return bool(_ID.fullmatch(name)) and ".." not in name and not name.endswith((".", "-"))


def download_model(repository: str) -> Path:
    """Fetch a model and its tokenizer; returns the folder that they are in.

    Raises:
        FileNotFoundError: There is no such repository, or it cannot be reached and is not in the
            cache.
        PermissionError: It is gated, and access was not given; the message says how to get it.
        ValueError: It holds no model that this package reads, or several.
        ImportError: huggingface_hub is not installed.
    """
    library = _library()
    names = _names(library, repository)
    if names is None:
        patterns = ["config.json", "params.json"]  # any model has one; the cache has the rest
        return _snapshot(library, repository, patterns, local_files_only=True)
    return _snapshot(library, repository, needed(repository, names))


def download_file(repository: str, filename: str) -> Path:
    """Fetch one file; errors as in `download_model`."""
    library = _library()
    try:
        return Path(library.hf_hub_download(repository, filename))
    except Exception as error:  # of whatever http library is in use
        _explain(library, repository, error, filename)


def needed(repository: str, names: Sequence[str]) -> list[str]:
    """Which of a repository's files make the model and its tokenizer.

    Raises:
        ValueError: None do, or each of several.
    """
    for form in _FORMS:
        if chosen := _matching(form, names):
            break
    else:
        files = [name for name in names if re.search(r"\.(bin|pth?|safetensors|gguf)$", name)]
        if files:
            raise ValueError(
                f"{repository} holds several files, and no model's folder: name one of them with "
                f"filename= (on the command line, --filename); there are {', '.join(files)}"
            )
        raise ValueError(f"{repository} holds no model that this package reads")
    tokenizers = (_matching(form, names) for form in _TOKENIZERS)
    return chosen + next(filter(None, tokenizers), [])


def _matching(form: Sequence[str], names: Sequence[str]) -> list[str]:
    """The names that a form consists of; none if one of its kinds is missing."""
    kinds = [[name for name in names if re.fullmatch(kind, name)] for kind in form]
    return [name for kind in kinds for name in kind] if all(kinds) else []


def _library() -> ModuleType:
    try:
        return import_module("huggingface_hub")
    except ModuleNotFoundError as error:
        raise ImportError(
            "downloads need huggingface_hub: pip install 'llama-tutorial[hub]'"
        ) from error


def _names(library: ModuleType, repository: str) -> list[str] | None:
    """The repository's files; None where it cannot be asked."""
    errors = import_module("huggingface_hub.errors")
    try:
        return [file.rfilename for file in library.HfApi().model_info(repository).siblings]
    except errors.HfHubHTTPError as error:
        if error.response is not None and error.response.status_code >= 500:
            return None
        _explain(library, repository, error)
    except Exception:  # offline, by choice or not; each http library has its own errors for it
        return None


def _snapshot(
    library: ModuleType, repository: str, patterns: list[str], local_files_only: bool = False
) -> Path:
    try:
        folder = library.snapshot_download(
            repository, allow_patterns=patterns, local_files_only=local_files_only
        )
    except Exception as error:  # of whatever http library is in use
        _explain(library, repository, error)
    return Path(folder)


def _explain(
    library: ModuleType, repository: str, error: Exception, filename: str | None = None
) -> NoReturn:
    """Raise what a reader can act upon."""
    errors, hub = import_module("huggingface_hub.errors"), library.constants.ENDPOINT
    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if isinstance(error, errors.GatedRepoError) or status == 403:
        raise PermissionError(
            f"{repository} is gated: its owners open it to those who accept their terms. Log in at "
            f"{hub}/{repository}, accept the terms there and wait for the answer; make a token "
            f"that may read at {hub}/settings/tokens; give it to this machine with `hf auth login` "
            "or as HF_TOKEN; then try again"
        ) from None
    if isinstance(error, errors.RepositoryNotFoundError) or status == 401:
        raise FileNotFoundError(
            f"{repository}: no such folder here, and {hub} shows no such repository; check the "
            "name, or, if it is private, log in with `hf auth login`"
        ) from None
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        offline = library.constants.HF_HUB_OFFLINE
        why = "HF_HUB_OFFLINE is set" if offline else f"{hub} cannot be reached"
        what = f"{filename} of {repository}" if filename else repository
        raise FileNotFoundError(
            f"{what} is not in the cache, and {why}; go online once, or give the path of a folder"
        ) from None
    if isinstance(error, errors.EntryNotFoundError):
        raise FileNotFoundError(f"{repository} holds no file {filename}") from None
    reason = str(error).strip().partition("\n")[0]
    raise OSError(f"{repository} cannot be downloaded from {hub}: {reason}") from error
