"""Where a model lies, and downloads from the Hugging Face hub: its files, and no others.

A repository often holds a model several times, in safetensors, in pickles, in Meta's form, for
other frameworks. Its list of files is asked for first, and one form is fetched. All else is
``huggingface_hub``'s: the cache, going on after a break, the login. With ``HF_HUB_OFFLINE=1``, or
without a network, what is in the cache is used.

This module knows nothing of what is in the files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from fnmatch import filter as matching
from importlib import import_module
from pathlib import Path
from types import ModuleType

from llama_tutorial._util.given_file import kind_of
from llama_tutorial.shipped import SHIPPED

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


def locate(source: str) -> Path:
    """The file or folder of a model.

    Args:
        source: The name of a model that comes with the package; a path; or a repository of the
            hub, which is downloaded.

    Raises:
        FileNotFoundError: There is no such model. For repositories as in `download_model`, and its
            other errors.
    """
    if source in SHIPPED:
        return SHIPPED[source].model
    if kind_of(source):
        return Path(source)
    if is_hub_id(repository := SHORT_NAMES.get(source, source)):
        return download_model(repository)
    raise FileNotFoundError(
        f"{source}: no such file or folder, and no model of this package; those are "
        f"{', '.join(map(repr, SHIPPED))}"
    )


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
    with _explained(library, repository):
        try:
            siblings = library.HfApi().model_info(repository).siblings
        except library.errors.RepositoryNotFoundError:
            raise
        except Exception:  # offline, by choice or not: the cache has what was fetched before
            one_of = ["config.json", "params.json"]  # any model has one, and the rest is beside it
            folder = library.snapshot_download(
                repository, allow_patterns=one_of, local_files_only=True
            )
        else:
            files = needed(repository, [file.rfilename for file in siblings])
            folder = library.snapshot_download(repository, allow_patterns=files)
        return Path(folder)


def download_file(repository: str, filename: str) -> Path:
    """Fetch one file; errors as in `download_model`."""
    library = _library()
    with _explained(library, repository, filename):
        return Path(library.hf_hub_download(repository, filename))


def needed(repository: str, names: Sequence[str]) -> list[str]:
    """Which of a repository's files make the model and its tokenizer.

    Raises:
        ValueError: None do, or each of several.
    """
    for form in _FORMS:
        if chosen := _complete(form, names):
            break
    else:
        files = [name for name in names if re.search(r"\.(bin|pth?|safetensors|gguf)$", name)]
        if files:
            raise ValueError(
                f"{repository} holds several files, and no model's folder: name one of them with "
                f"filename= (on the command line, --filename); there are {', '.join(files)}"
            )
        raise ValueError(f"{repository} holds no model that this package reads")
    tokenizers = (_complete(form, names) for form in _TOKENIZERS)
    return chosen + next(filter(None, tokenizers), [])


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


@contextmanager
def _explained(library: ModuleType, repository: str, filename: str | None = None) -> Iterator[None]:
    """Turn the library's errors into ones that say what to do."""
    errors, hub = library.errors, library.constants.ENDPOINT
    try:
        yield
    except ValueError:  # our own
        raise
    except Exception as error:  # of whatever http library is in use
        status = getattr(getattr(error, "response", None), "status_code", None)
        if isinstance(error, errors.GatedRepoError) or status == 403:
            raise PermissionError(
                f"{repository} is gated: its owners open it to those who accept their terms. Log "
                f"in at {hub}/{repository}, accept the terms there and wait for the answer; make a "
                f"token that may read at {hub}/settings/tokens; give it to this machine with "
                "`hf auth login` or as HF_TOKEN; then try again"
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
                f"{what} is not in the cache, and {why}; go online once, or give the path of a "
                "folder"
            ) from None
        if isinstance(error, errors.EntryNotFoundError):
            raise FileNotFoundError(f"{repository} holds no file {filename}") from None
        reason = str(error).strip().partition("\n")[0]
        raise OSError(f"{repository} cannot be downloaded from {hub}: {reason}") from error
