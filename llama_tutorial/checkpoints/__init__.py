"""Checkpoints: models on disk, in this package's own format and in others'.

`load_model` knows a format by its content, never by its name. Each format is one module with
``opened`` and ``save``:

- :mod:`~llama_tutorial.checkpoints.native`: a folder, for every model that this package can build;
- :mod:`~llama_tutorial.checkpoints.meta`: Meta's folder, in one shard or several;
- :mod:`~llama_tutorial.checkpoints.huggingface`: the folder that transformers opens, of a Llama or
  a GPT-2;
- :mod:`~llama_tutorial.checkpoints.llama2c`: one ``.bin`` file, in float32 or int8;
- :mod:`~llama_tutorial.checkpoints.gguf`: llama.cpp's file, quantized or not, tokenizer included.

The folder of a LoRA adapter (:mod:`~llama_tutorial.checkpoints.adapter`) counts as a model too: its
base, with the adapter merged into the weights.

What they call the weights, and how they lay them out, is one table:
:mod:`~llama_tutorial.checkpoints.names`.

Importing this module does not import torch; loading and saving do.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from llama_tutorial._util.files import left_aside
from llama_tutorial._util.given_file import kind_of
from llama_tutorial._util.tensor_check import listed
from llama_tutorial.checkpoints.folders import AnyTokenizer, formats_of
from llama_tutorial.shipped import SHIPPED

if TYPE_CHECKING:
    import torch

    from llama_tutorial.checkpoints.adapter import load_adapter, save_adapter
    from llama_tutorial.checkpoints.weights import Checkpoint
    from llama_tutorial.model import Transformer

__all__ = [
    "FORMATS",
    "load_adapter",
    "load_model",
    "open_checkpoint",
    "save_adapter",
    "save_model",
]

_KNOWN = (
    "load_model knows this package's own folders (config.json and model.safetensors), Meta's "
    "(params.json and consolidated.00.pth), Hugging Face's of a Llama or a GPT-2 (config.json and "
    "safetensors or pytorch_model.bin), llama2.c's files (.bin, version 0, 1 or 2), llama.cpp's "
    "(.gguf), and adapters' folders (adapter.json, or peft's adapter_config.json)"
)
_WHOSE = {
    "native": "this package's own format",
    "meta": "Meta's",
    "huggingface": "Hugging Face's",
    "adapter": "an adapter's",
}
_LLAMA2C_VERSIONS = {"llama2c": 0, "llama2c-v1": 1, "llama2c-int8": 2}
FORMATS = ("native", "huggingface", "meta", *_LLAMA2C_VERSIONS, "gguf")
"""What `save_model` writes."""


def __getattr__(name: str) -> Any:
    if name in ("load_adapter", "save_adapter"):
        return getattr(import_module(f"{__name__}.adapter"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_model(
    path: str | os.PathLike[str],
    *,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str = "cpu",
    quantize: Literal["int8", "int4"] | None = None,
) -> Transformer:
    """Load a model from a file or a folder, whatever its format.

    Weights that need no conversion are mapped into memory: the model is there at once, and its
    pages are read from disk when they are used. Training does not change the file.

    The model is in eval mode: what drops numbers in training, as LoRA's dropout does, is off until
    ``model.train()``.

    The weights of a model of up to 16 million are looked at, which takes some hundredths of a
    second: one that is NaN or infinite is named. To look at a larger model's would read all of its
    file; there a damage shows at the first logits.

    Args:
        path: A native folder; Meta's folder, of any number of shards; Hugging Face's, of a Llama or
            a GPT-2, in safetensors or pickles, sharded or not; a llama2.c file of version 0, 1 or
            2; llama.cpp's GGUF file of a Llama, of several parts any; or the folder of an adapter,
            this package's or peft's, which gives the base with the adapter merged.
        dtype: Of the model, such as ``torch.float16`` or ``"float16"``. None keeps the file's; int8
            and GGUF's quantized types become float32.
        device: Where the weights go.
        quantize: Pack the matrices into integers of 8 or 4 bits, each as soon as it is read: see
            :mod:`llama_tutorial.quantization.linear`. What has been saved so is packed without
            being asked.

    Raises:
        FileNotFoundError: There is no such file or folder, or a part of it is missing.
        ValueError: It is of no known format, of an unknown version, of a model that this package
            cannot compute, truncated or damaged, its parts do not belong together, or its tensors
            do not fit its configuration; or ``dtype`` is not floating, or ``device`` is none that
            can be used here.
    """
    _check_torch()
    from llama_tutorial._util.torch_names import as_device, as_dtype
    from llama_tutorial.checkpoints.weights import fill
    from llama_tutorial.quantization.linear import check_kind

    if quantize is not None:
        check_kind(quantize)
    dtype, device = as_dtype(dtype), as_device(device)
    with open_checkpoint(path, quantize=quantize) as checkpoint:
        return fill(checkpoint, dtype, device, quantize)


@contextmanager
def open_checkpoint(
    path: str | os.PathLike[str], *, quantize: str | None = None
) -> Iterator[Checkpoint]:
    """What `load_model` would load, checked and not yet read: its format, configuration, tensors.

    Args:
        path: The file or folder.
        quantize: What the matrices will be packed in: a file that holds them so need not give
            numbers that are rounded once more.

    Raises:
        FileNotFoundError, ValueError: As `load_model` does.
    """
    _check_torch()
    path = Path(path)
    kind = kind_of(path)
    if not kind:
        if (old := left_aside(path)) is not None:
            raise FileNotFoundError(
                f"{path}: no such folder; a save was interrupted and has left the old one as {old}:"
                " give it its name back"
            )
        hint = f"; the model that comes with the package is load({str(path)!r})"
        raise FileNotFoundError(
            f"{path}: no such file or folder{hint if str(path) in SHIPPED else ''}"
        )
    if kind == "folder":
        format, contents = _folder_format(path)
        module = import_module(f"{__name__}.{format}")
        with module.opened(path, contents) as checkpoint:
            yield checkpoint
        return

    from llama_tutorial._util.gguf_file import is_gguf
    from llama_tutorial.checkpoints import gguf, llama2c
    from llama_tutorial.numpy_llama.llama2c import ForeignFileError

    if is_gguf(path):
        with gguf.opened(path, quantize) as checkpoint:
            yield checkpoint
        return
    try:
        with llama2c.opened(path) as checkpoint:
            yield checkpoint
    except ForeignFileError as error:
        raise ValueError(f"{error}; {_hint(path)}") from None


def save_model(
    model: Transformer,
    path: str | os.PathLike[str],
    format: str = "native",
    *,
    tokenizer: AnyTokenizer | None = None,
    group_size: int = 64,
    shards: int = 1,
    chat_template: bool = False,
    quantize: str | None = None,
) -> None:
    """Write a model, so that at ``path`` there is always the old checkpoint or the whole new one.

    Every format keeps the weights exactly, tied or not, except ``"llama2c-int8"``, and ``"gguf"``
    with ``quantize``. A quantized model goes into ``"native"`` and ``"gguf"`` as it is packed, and
    into no other.

    Args:
        model: Any model for ``"native"``. Hugging Face's format holds Llamas (RMSNorm, SwiGLU,
            RoPE) and GPT-2s (LayerNorm, GELU, learned positions, biases), GGUF Llamas, Meta's
            holds Llamas without biases, and so do llama2.c's, with an eps of 1e-5 and a theta of
            10000 only.
        path: A file for llama2.c's formats and GGUF, else a folder.
        format: ``"native"``, ``"huggingface"``, ``"meta"``, ``"llama2c"`` (version 0, what
            llama2.c's ``run`` reads), ``"llama2c-v1"``, ``"llama2c-int8"`` (version 2, what its
            ``runq`` reads), or ``"gguf"`` (what llama.cpp reads).
        tokenizer: Stored beside the weights in a folder, and in GGUF's file. In ``"huggingface"``,
            one that only SentencePiece encodes with (unigram, a normaliser, user-defined pieces,
            and so on) is its tokenizer.model alone, with a warning: open it with SentencePiece or
            this package, for transformers' AutoTokenizer makes one with other ids of it.
        group_size: Weights that share a scale in ``"llama2c-int8"``; divides ``dim`` and
            ``hidden_dim``.
        shards: Files that ``"meta"`` cuts the matrices into; divides every size.
        chat_template: For a model that was fine-tuned on dialogs, in ``"huggingface"`` and
            ``"gguf"``: whether the tokenizer's files say how Llama 2 lays them out, so that
            transformers' ``apply_chat_template`` gives the ids of
            :func:`~llama_tutorial.chat.dialog.encode_dialog`.
        quantize: In ``"gguf"``: ``"q8_0"`` or ``"q4_0"``, what the matrices are rounded to, 32
            weights with a common scale: 8.5 or 4.5 bits a weight. For a floating model; a packed
            one is written as it is.

    Raises:
        FileNotFoundError: The folder that ``path`` is to lie in does not exist.
        ValueError: There is no such format, it cannot hold this model, a tokenizer or shards,
            ``path`` is something that must not be replaced, or the model is quantized, has LoRA
            adapters, weights of several types, or one that is not finite.
    """
    _check_torch()
    from llama_tutorial.checkpoints import gguf, huggingface, llama2c, meta, native
    from llama_tutorial.lora.adapters import lora_layers
    from llama_tutorial.quantization.linear import kind_of_model

    if format not in FORMATS:
        raise ValueError(f"format={format!r}: must be one of {', '.join(map(repr, FORMATS))}")
    if lora_layers(model):
        raise ValueError(
            "the model has LoRA adapters: save_adapter(model, path) writes them alone, and after "
            "merge_lora(model, keep_base=False) they are part of the weights"
        )
    if (kind := kind_of_model(model)) and format not in ("native", "gguf"):
        raise ValueError(
            f"format={format!r} does not hold a model that is quantized to {kind}: 'native' and "
            "'gguf' do; or save the floating model that it was made from"
        )
    for name, value in (("shards", shards), ("group_size", group_size)):
        if type(value) is not int:
            raise ValueError(f"{name}={value!r:.50}: must be a whole number")
    if shards != 1 and format != "meta":
        raise ValueError(f"shards={shards}: format={format!r} is not cut; only 'meta' is")
    if chat_template and (format not in ("huggingface", "gguf") or tokenizer is None):
        raise ValueError(
            "chat_template=True belongs to a tokenizer in format='huggingface' or 'gguf'"
        )
    if quantize is not None and format != "gguf":
        hint = "; its own is 'llama2c-int8'" if format.startswith("llama2c") else ""
        raise ValueError(
            f"quantize={quantize!r:.50} belongs to format='gguf', not {format!r}{hint}"
        )
    if format == "native":
        native.save(model, path, tokenizer)
    elif format == "huggingface":
        huggingface.save(model, path, tokenizer, chat_template)
    elif format == "meta":
        meta.save(model, path, tokenizer, shards)
    elif format == "gguf":
        gguf.save(model, path, tokenizer, quantize, chat_template)
    elif tokenizer is not None:
        raise ValueError(
            f"format={format!r} holds no tokenizer: it is a file of its own there; leave "
            "tokenizer= out and call tokenizer.save_tokenizer_bin(path)"
        )
    else:
        llama2c.save(model, path, _LLAMA2C_VERSIONS[format], group_size)


def _check_torch() -> None:
    try:
        import torch
    except ModuleNotFoundError:
        raise ImportError(
            "reading and writing checkpoints needs torch: pip install 'llama-tutorial[torch]'; "
            "llama2.c's files are also read by load(..., engine='numpy'), without it"
        ) from None


def _folder_format(folder: Path) -> tuple[str, dict[str, Any]]:
    """A folder's format, and what its JSON file says."""
    found = formats_of(folder)
    if len(found) > 1:
        raise ValueError(
            f"the folder {folder} holds checkpoints of several formats, "
            f"{' and '.join(_WHOSE[format] for format in found)}: move one of them into a folder "
            "of its own"
        )
    if not found:
        names = sorted(entry.name for entry in folder.iterdir())
        if files := [name for name in names if name.endswith(".gguf")]:
            raise ValueError(
                f"the folder {folder} holds {listed(files)}: give one of these files itself"
            )
        what = f"holds {listed(names)}" if names else "is empty"
        raise ValueError(f"the folder {folder} {what}; {_KNOWN}")
    return next(iter(found.items()))


def _hint(file: Path) -> str:
    """What to do with a file that is no checkpoint by itself."""
    folder = file.absolute().parent
    try:
        if formats_of(folder):
            return f"it lies in a checkpoint: give the folder {folder}"
    except ValueError:  # a config.json that is none; it is not this file's fault
        pass
    return _KNOWN
