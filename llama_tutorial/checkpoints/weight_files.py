"""The files that hold a checkpoint's tensors: which they are, and each tensor by its name.

Hugging Face's folders come in four kinds, and are looked for in this order::

    model.safetensors
    model.safetensors.index.json    with model-00001-of-00002.safetensors, ...
    pytorch_model.bin               pickles, of older checkpoints
    pytorch_model.bin.index.json    with pytorch_model-00001-of-00002.bin, ...

An index says which file each tensor lies in. It is somebody else's text, so it may name nothing but
files beside it, and each of those must hold what the index says and no more.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from llama_tutorial._util.tensor_check import check_names
from llama_tutorial.checkpoints.folders import KINDS
from llama_tutorial.checkpoints.safetensors_file import open_safetensors
from llama_tutorial.checkpoints.torch_file import read_torch_file
from llama_tutorial.checkpoints.weights import dtype_name


@dataclass(frozen=True)
class Tensors:
    """The tensors of one file or of several, mapped and not yet read.

    Attributes:
        shapes: By name.
        get: Gives a tensor for its name, as a view of its file.
    """

    shapes: dict[str, tuple[int, ...]]
    get: Callable[[str], Tensor]

    def dtypes(self) -> str:
        """The types of all tensors, in words."""
        return " and ".join(sorted({dtype_name(self.get(name)) for name in self.shapes}))

    def items(self) -> Iterator[tuple[str, Tensor]]:
        """All names and tensors, one after another."""
        return ((name, self.get(name)) for name in self.shapes)


@contextmanager
def open_weights(path: Path) -> Iterator[Tensors]:
    """The tensors of one file: safetensors if it is called so, else PyTorch's own.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is damaged, or something else.
    """
    if path.suffix == ".safetensors":
        with open_safetensors(path) as file:
            names = list(file.keys())
            shapes = {name: tuple(file.get_slice(name).get_shape()) for name in names}
            yield Tensors(shapes, file.get_tensor)
    else:
        tensors = read_torch_file(path)
        shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
        yield Tensors(shapes, tensors.__getitem__)


@contextmanager
def open_folder(folder: Path, is_ignored: Callable[[str], bool]) -> Iterator[Tensors]:
    """The tensors of a folder, from whichever files it has.

    Args:
        folder: With one of the four kinds of files.
        is_ignored: Whether a tensor is none of the model's weights, and may lie in any file.

    Raises:
        FileNotFoundError: There are no weights, or a file that the index names is missing.
        ValueError: The index is damaged or names something outside the folder, or a file is
            damaged or holds other tensors than the index says.
    """
    path = next((folder / kind for kind in KINDS if (folder / kind).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{folder} holds no weights: there is none of {', '.join(KINDS)}")
    if path.suffix != ".json":
        with open_weights(path) as tensors:
            yield tensors
        return
    files = _read_index(path)
    with ExitStack() as stack:
        opened = {name: stack.enter_context(open_weights(folder / name)) for name in files}
        for name, tensors in opened.items():
            found = [key for key in tensors.shapes if not is_ignored(key)]
            wanted = [key for key in files[name] if not is_ignored(key)]
            check_names(found, wanted, f"{folder / name} does not hold what {path.name} says")
        yield _joined(opened, files)


def _joined(opened: Mapping[str, Tensors], files: Mapping[str, list[str]]) -> Tensors:
    place = {
        key: opened[name] for name, keys in files.items() for key in keys
        if key in opened[name].shapes
    }  # fmt: skip
    shapes = {key: tensors.shapes[key] for key, tensors in place.items()}
    return Tensors(shapes, lambda key: place[key].get(key))


def _read_index(path: Path) -> dict[str, list[str]]:
    """The names of the tensors in each file."""
    try:
        contents: Any = json.loads(path.read_text(encoding="utf-8"))
        places = contents["weight_map"].items()
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(f'{path} is damaged: it has no "weight_map" of names and files') from None
    files: dict[str, list[str]] = {}
    for tensor, name in places:
        # Windows' way of writing a path counts everywhere: an index is made on any machine.
        if not isinstance(name, str) or not re.fullmatch(r"(?!\.+$)[^/\\:\0]+", name):
            raise ValueError(
                f"{path} says that {tensor} lies in {name!r}: it may only name files beside it"
            )
        files.setdefault(name, []).append(tensor)
    if not files:
        raise ValueError(f"{path} is damaged: it names no tensors")
    return files
