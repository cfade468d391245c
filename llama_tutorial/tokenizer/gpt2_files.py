"""GPT-2's tokenizer on disk: read as it is meant, or refused by the setting that is not followed.

``vocab.json`` and ``merges.txt`` are OpenAI's form; ``tokenizer.json`` is that of the library
tokenizers; ``tokenizer_config.json`` and others may lie beside either. They can ask for more than
GPT-2 does: a space put in front, small letters, other words, more tokens. What would give other ids
is refused by its name; what changes nothing is let through.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from llama_tutorial._util.given_file import check_file, foreign
from llama_tutorial._util.json_file import LARGEST, read_json

VOCABULARY, MERGES, BOTH = "vocab.json", "merges.txt", "tokenizer.json"
SETTINGS = ("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
"""What may lie beside them and change what they mean."""
END_OF_TEXT = "<|endoftext|>"

# The values that give GPT-2's ids, None where a setting is left out.
_SAME = {
    "normalizer": (None,),
    "truncation": (None,),
    "padding": (None,),
    "pre_tokenizer.type": ("ByteLevel",),
    "pre_tokenizer.add_prefix_space": (False,),
    "pre_tokenizer.use_regex": (True, None),
    "post_processor.type": ("ByteLevel", None),  # it only says where each token stands
    "post_processor.single": (None, [{"Sequence": {"id": "A", "type_id": 0}}]),  # nothing around it
    "decoder.type": ("ByteLevel",),
    "model.type": ("BPE", None),
    "model.dropout": (None, 0.0),
    "model.continuing_subword_prefix": (None, ""),
    "model.end_of_word_suffix": (None, ""),
    "model.byte_fallback": (False, None),
    "model.ignore_merges": (False, None),
}
_SAME_CONFIG = {
    "add_prefix_space": (False, None),
    "add_bos_token": (False, None),
    "add_eos_token": (False, None),
    "do_lower_case": (False, None),
    "errors": ("replace", None),
    "tokenizer_class": (
        *("GPT2Tokenizer", "GPT2TokenizerFast", "PreTrainedTokenizerFast", "TokenizersBackend"),
        None,
    ),
}
_FLAGS = ("lstrip", "rstrip", "single_word")


def read_folder(folder: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """The vocabulary and the merges that a folder holds, in either form.

    Raises:
        FileNotFoundError: They are not there.
        ValueError: They are damaged, or a setting is not GPT-2's; the error names the file.
    """
    has_both, has_two = (folder / BOTH).is_file(), (folder / VOCABULARY).is_file()
    for name in (VOCABULARY, MERGES) if has_two else (BOTH,):
        if not (folder / name).is_file() and not has_both:
            raise FileNotFoundError(
                f"{folder / name}: no such file; GPT-2's tokenizer is {VOCABULARY} and "
                f"{MERGES}, or {BOTH}"
            )
    _check_settings(folder)
    if not has_two or not (folder / MERGES).is_file():
        return _read_one(folder / BOTH)
    vocabulary = _vocabulary(folder / VOCABULARY, read_json(folder / VOCABULARY, LARGEST))
    merges = _read_merges(folder / MERGES)
    if has_both and _read_one(folder / BOTH) != (vocabulary, merges):  # its settings count too
        raise _refusal(
            folder / BOTH, f"it says other than the {VOCABULARY} and {MERGES} beside it; remove one"
        )
    return vocabulary, merges


def _read_merges(path: Path) -> list[tuple[str, str]]:
    check_file(path)
    data = path.read_bytes()
    try:
        lines = data.decode().split("\n")
        return [
            _pair(line.rstrip("\r"))
            for line in lines
            if line.strip("\r") and not line.startswith("#version")
        ]
    except ValueError as error:
        raise _refusal(path, f"{error}; it is {foreign(data[:256]) or 'no text'}") from None


def _read_one(path: Path) -> tuple[dict[str, int], list[tuple[str, str]]]:
    contents = _object(path, read_json(path, LARGEST), "it")
    model = _object(path, contents.get("model"), "its model")
    vocabulary = model.get("vocab")
    if _is_sentencepiece(contents, model):
        raise ValueError(
            f"{path} is a SentencePiece tokenizer such as Llama's in the form of the library "
            "tokenizers, which is not read here: it needs the tokenizer.model that it was made of. "
            "Take that from the model's repository, and put it beside the weights or give it with "
            "tokenizer= (on the command line, --tokenizer)"
        )
    processor = contents.get("post_processor")
    if isinstance(processor, dict) and processor.get("type") == "TemplateProcessing":
        contents["post_processor"] = {"single": processor.get("single", "missing")}
    _check_same(path, contents, _SAME)
    added = contents.get("added_tokens") or []
    if not isinstance(added, list):
        raise _refusal(path, "its added_tokens are no list")
    for token in added:
        _check_added(path, token)
    merges = model.get("merges")
    if not isinstance(merges, list):
        raise _refusal(path, "its model has no list of merges")
    try:
        pairs = [_pair(pair) for pair in merges]
    except ValueError as error:
        raise _refusal(path, str(error)) from None
    ids = {token["content"]: token.get("id") for token in added}
    return _vocabulary(path, {**_object(path, vocabulary, "its vocabulary"), **ids}), pairs


def _is_sentencepiece(contents: dict[str, Any], model: dict[str, Any]) -> bool:
    """Whether ``▁`` stands for a space, or what has no piece becomes bytes."""
    vocabulary = model.get("vocab")
    return (
        model.get("byte_fallback") is True
        or model.get("type") == "Unigram"
        or any("▁" in str(contents.get(part)) for part in ("normalizer", "pre_tokenizer"))
        or (isinstance(vocabulary, dict) and "<0x0A>" in vocabulary)
    )


def _vocabulary(path: Path, contents: Any) -> dict[str, int]:
    for token, token_id in _object(path, contents, "its vocabulary").items():
        if type(token_id) is not int:
            raise _refusal(path, f"the id of {token!r:.50} is {token_id!r:.50}")
    return contents


def _check_settings(folder: Path) -> None:
    """Refuse what the files beside the tokenizer ask for, if it is not GPT-2's."""
    config, names, added = (
        _object(folder / name, read_json(folder / name, LARGEST), "it")
        if (folder / name).is_file()
        else {}
        for name in SETTINGS
    )
    path = folder / SETTINGS[0]
    _check_same(path, config, _SAME_CONFIG)
    for token in _object(path, config.get("added_tokens_decoder") or {}, "its tokens").values():
        _check_added(path, token)
    for name, tokens in zip(SETTINGS, (config, names), strict=False):
        path = folder / name
        for token in _named(tokens):
            _check_added(path, token if isinstance(token, dict) else {"content": token})
    for token in added:
        _check_added(folder / SETTINGS[2], {"content": token})


def _named(settings: dict[str, Any]) -> Iterator[Any]:
    """The tokens that settings name: each ``…_token``, and those in ``…_special_tokens``."""
    for key, value in settings.items():
        if value is None or key.startswith(("add_", "split_")):  # add_bos_token: true or false
            continue
        if key.endswith("_special_tokens"):
            parts = list(value.values()) if isinstance(value, dict) else value
            yield from parts if isinstance(parts, list) else [parts]
        elif key.endswith("_token"):
            yield value


def _check_added(path: Path, token: Any) -> None:
    content = token.get("content") if isinstance(token, dict) else None
    if content != END_OF_TEXT:
        raise _refusal(
            path, f"it adds the token {content!r:.50}, and GPT-2 has {END_OF_TEXT} alone"
        )
    for flag in _FLAGS:
        if token.get(flag):
            raise _refusal(
                path, f"its token {content} has the setting {flag}, which is not followed"
            )


def _check_same(path: Path, contents: dict[str, Any], same: dict[str, tuple[Any, ...]]) -> None:
    for name, values in same.items():
        value: Any = contents
        for key in name.split("."):
            value = value.get(key) if isinstance(value, dict) else None
        if value not in values:
            shown = f"{value!r}"[:60]
            raise _refusal(
                path,
                f"its setting {name} is {shown}, which is not followed; GPT-2's is {values[0]}",
            )


def _object(path: Path, contents: Any, what: str) -> dict[str, Any]:
    if not isinstance(contents, dict):
        raise _refusal(path, f"{what} is no JSON object")
    return contents


def _pair(merge: Any) -> tuple[str, str]:
    parts = merge.split(" ") if isinstance(merge, str) else merge
    if not (isinstance(parts, list) and len(parts) == 2 and all(isinstance(p, str) for p in parts)):
        raise ValueError(f"the merge {merge!r:.60} is not two tokens")
    return parts[0], parts[1]


def _refusal(path: Path, why: str) -> ValueError:
    return ValueError(f"{path} is no tokenizer of GPT-2's: {why}")
