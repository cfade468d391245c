"""Hugging Face's format: a folder that transformers opens, of a Llama or a GPT-2.

::

    config.json          what kind of model, and its sizes
    model.safetensors    the weights; or several such files with an index, or older pickles
    tokenizer.model, tokenizer.json, tokenizer_config.json; the first alone where transformers
                         would give other ids

Names and layouts are those of :mod:`llama_tutorial.checkpoints.names`. What needs no change stays
in the file, mapped; what does (Llama's ``wq`` and ``wk``, GPT-2's transposed matrices) is copied.
(To read ``tokenizer.model``, transformers needs ``pip install sentencepiece protobuf``.)
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from llama_tutorial._util.files import replace_folder
from llama_tutorial._util.tensor_check import check_names, check_shapes
from llama_tutorial.chat.dialog import CHAT_TEMPLATE
from llama_tutorial.checkpoints.folders import (
    CONFIG,
    SAFETENSORS,
    AnyTokenizer,
    check_replaceable,
    check_tokenizer,
    save_tokenizer,
    tokenizer_names,
    write_json,
)
from llama_tutorial.checkpoints.huggingface_config import family_for, read_config, write_config
from llama_tutorial.checkpoints.names import from_stored, heads, stored_as, to_stored
from llama_tutorial.checkpoints.safetensors_file import save_safetensors
from llama_tutorial.checkpoints.weight_files import Tensors, open_folder, tidied
from llama_tutorial.checkpoints.weights import Checkpoint, check_floating, check_state, empty_model
from llama_tutorial.model import Transformer
from llama_tutorial.tokenizer.gpt2 import END_OF_TEXT, GPT2Tokenizer
from llama_tutorial.tokenizer.tokenizer_json import format_tokenizer_json

_PREFIX, _HEAD = "transformer.", "lm_head.weight"
_SPECIAL = ("bos_token_id", "eos_token_id")
_TOKENIZER_JSON, _TOKENIZER_CONFIG = "tokenizer.json", "tokenizer_config.json"


@contextmanager
def opened(folder: Path, contents: dict[str, Any]) -> Iterator[Checkpoint]:
    """The checkpoint in a folder of Hugging Face's, checked and not yet read.

    Args:
        folder: Where it lies.
        contents: Of its ``config.json``.

    Raises:
        FileNotFoundError: ``config.json`` or a file with weights is missing.
        ValueError: It is of a model that this package cannot compute; a file is damaged, holds more
            than tensors, or not those of ``config.json``.
    """
    if not (folder / CONFIG).is_file():
        raise FileNotFoundError(
            f"{folder / CONFIG}: no such file; it belongs to the weights, download it too"
        )
    family, config = read_config(contents, folder / CONFIG)
    embedding = stored_as("tok_embeddings.weight", family).name
    with open_folder(folder) as stored:
        tensors = tidied(stored, embedding, folder)
        what = f"{folder} does not hold the model of {CONFIG}"
        model = empty_model(config, tensors.shapes, what)
        if config.tie_embeddings:
            _drop_tied_head(tensors, embedding, folder)
        _check(tensors, family, model, what)
        name, dtype = f"Hugging Face, {family}", tensors.dtypes()
        yield Checkpoint(folder, name, dtype, model, lambda: _ours(tensors, family, model, folder))


def save(
    model: Transformer,
    folder: str | os.PathLike[str],
    tokenizer: AnyTokenizer | None = None,
    chat_template: bool = False,
) -> None:
    """Write ``model`` for transformers; the folder appears when it is complete.

    Args:
        model: A Llama or a GPT-2.
        folder: May be an older checkpoint of this format.
        tokenizer: Stored beside the weights.
        chat_template: Whether the tokenizer's files say how Llama 2 lays out a dialog.

    Raises:
        FileNotFoundError: The folder that it is to lie in does not exist.
        ValueError: Neither family can hold the model; ``folder`` is something else, or holds a file
            that would be lost; or a chat template is to go with a tokenizer that transformers
            cannot read.

    Warns:
        UserWarning: Only SentencePiece encodes as the tokenizer does, so that transformers cannot.
    """
    config, folder = model.config, Path(folder)
    family, state = family_for(config), check_state(model)
    check_tokenizer(tokenizer, config)
    contents = _json_of(tokenizer, chat_template)
    new_names = {CONFIG, SAFETENSORS, *tokenizer_names(tokenizer)}
    new_names |= {_TOKENIZER_JSON} if contents else set()
    new_names |= {_TOKENIZER_CONFIG} if contents or isinstance(tokenizer, GPT2Tokenizer) else set()
    check_replaceable(folder, "huggingface", new_names, "Hugging Face's format")
    empty = {name: torch.empty_like(tensor, device="meta") for name, tensor in state.items()}
    with replace_folder(folder) as new:
        dtype = str(model.dtype).removeprefix("torch.")
        write_json(write_config(config, dtype, _special(tokenizer)), new / CONFIG)
        like = _prefixed(to_stored(empty, family, config), family)
        tensors = _prefixed(to_stored(state, family, config), family)
        save_safetensors(tensors, dict(like), new / SAFETENSORS)
        if tokenizer is not None:
            _write_tokenizer(tokenizer, contents, new, chat_template)


def _prefixed(tensors: Iterator[tuple[str, Tensor]], family: str) -> Iterator[tuple[str, Tensor]]:
    """GPT-2's names as transformers writes them today."""
    for name, tensor in tensors:
        yield _PREFIX + name if family == "gpt2" and name != _HEAD else name, tensor


def _drop_tied_head(tensors: Tensors, name: str, folder: Path) -> None:
    """A head that is the embedding may be stored all the same; then it must be the same."""
    if _HEAD not in tensors.shapes or name not in tensors.shapes:
        return
    if not torch.equal(tensors.get(_HEAD), tensors.get(name)):
        raise ValueError(
            f"{folder / CONFIG} says that the output head is the embedding (tie_word_embeddings), "
            f"and the weights hold another {_HEAD}; the files do not belong together"
        )
    del tensors.shapes[_HEAD]


def _check(tensors: Tensors, family: str, model: Transformer, what: str) -> None:
    expected = dict(to_stored(model.state_dict(), family, model.config))
    shapes = {name: tuple(tensor.shape) for name, tensor in expected.items()}
    check_names(tensors.shapes, shapes, what)
    check_shapes(tensors.shapes, shapes, what)


def _ours(
    tensors: Tensors, family: str, model: Transformer, folder: Path
) -> Iterator[tuple[str, Tensor]]:
    taken: set[int] = set()
    for name in model.state_dict():
        stored = stored_as(name, family)
        source = tensors.get(stored.name)
        check_floating(stored.name, source, folder)
        tensor = from_stored(source, stored, heads(name, model.config))
        if tensor is source:  # two names for the same numbers in a file are two parameters still
            tensor = tensor.clone() if tensor.data_ptr() in taken else tensor
            taken.add(tensor.data_ptr())
        yield name, tensor


def _special(tokenizer: AnyTokenizer | None) -> dict[str, Any]:
    if tokenizer is None:
        return {}
    ids = (tokenizer.bos_id, tokenizer.eos_id)
    return {name: i if i >= 0 else None for name, i in zip(_SPECIAL, ids, strict=True)}


def _json_of(tokenizer: AnyTokenizer | None, chat_template: bool) -> dict[str, Any] | None:
    """The contents of its tokenizer.json, or None.

    Where that cannot hold the tokenizer, transformers is told nothing of it, and the user is.
    """
    if tokenizer is None or isinstance(tokenizer, GPT2Tokenizer):
        return None
    try:
        return format_tokenizer_json(tokenizer.vocabulary)
    except ValueError as error:
        if chat_template:
            raise ValueError(f"chat_template=True: {error}; transformers has other ids") from None
        message = (
            f"{error}. Only tokenizer.model is written: SentencePiece and this package read it; "
            "what transformers makes of it gives other ids"
        )
        warnings.warn(message, stacklevel=4)
        return None


def _write_tokenizer(
    tokenizer: AnyTokenizer, contents: dict[str, Any] | None, folder: Path, chat_template: bool
) -> None:
    """Its files, and the one by which transformers finds the class that reads them."""
    save_tokenizer(tokenizer, folder)
    if isinstance(tokenizer, GPT2Tokenizer):
        special = ("bos_token", "eos_token", "unk_token")
        about: dict[str, Any] = {
            "tokenizer_class": "GPT2Tokenizer",
            **dict.fromkeys(special, END_OF_TEXT),
        }
    elif contents is None:
        return
    else:
        text = json.dumps(contents, indent=1, ensure_ascii=False)
        (folder / _TOKENIZER_JSON).write_text(text + "\n", encoding="utf-8")
        ids = {"bos": tokenizer.bos_id, "eos": tokenizer.eos_id}
        ids["unk"] = tokenizer.vocabulary.unk_id
        about = {
            # The class that takes tokenizer.json as it is. (LlamaTokenizer builds its own from the
            # pieces, which loses spaces at the beginning of a text.)
            "tokenizer_class": "PreTrainedTokenizerFast",
            "clean_up_tokenization_spaces": False,
            "model_max_length": 10**30,
            **{f"{kind}_token": tokenizer.id_to_piece(i) for kind, i in ids.items() if i >= 0},
        }
    if chat_template:
        about["chat_template"] = CHAT_TEMPLATE
    write_json(about, folder / _TOKENIZER_CONFIG)
