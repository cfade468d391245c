"""The files that hold a checkpoint's tensors: which they are, and each tensor by its name.

Hugging Face's folders come in four kinds, and are looked for in this order::

    model.safetensors
    model.safetensors.index.json    with model-00001-of-00002.safetensors, ...
    pytorch_model.bin               pickles, of older checkpoints
    pytorch_model.bin.index.json    with pytorch_model-00001-of-00002.bin, ...

An index says which file each tensor lies in. It is somebody else's text, so it may name nothing but
files beside it, and each of those must hold what the index says and no more.

Files of every format hold two more things than weights under their names. There are tables and
masks that follow from the sizes, which older programs stored. And what wrapped the model when it
was saved has left a word in each name: ``torch.compile`` its ``_orig_mod.``, parallel training its
``module.``, a class around the model the name that it had there. Both are left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from llama_tutorial._util.given_file import is_unfinished, kind_of
from llama_tutorial._util.json_file import LARGEST, read_json
from llama_tutorial._util.tensor_check import check_names, listed
from llama_tutorial.checkpoints.folders import KINDS
from llama_tutorial.checkpoints.safetensors_file import open_safetensors
from llama_tutorial.checkpoints.torch_file import read_torch_file
from llama_tutorial.checkpoints.weights import dtype_name

_DERIVED = re.compile(
    r"(^|\.)(rope\.freqs|rotary_emb\.(inv_freq|cos_cached|sin_cached)|freqs_(cis|cos|sin)"
    r"|attn\.(masked_)?bias)$"
)
_WRAPPER = re.compile(
    r"(^|(?<=\.))(_orig_mod|module|_forward_module|_fsdp_wrapped_module|_checkpoint_wrapped_module)\."
)


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
def open_folder(folder: Path) -> Iterator[Tensors]:
    """The tensors of a folder with one of the four kinds of files.

    Raises:
        FileNotFoundError: There are no weights, or a file that the index names is missing.
        ValueError: The index is damaged or names something outside the folder, or a file is
            damaged or holds other tensors than the index says.
    """
    path = next((folder / kind for kind in KINDS if kind_of(folder / kind)), None)
    if path is None:
        half = sorted(entry.name for entry in folder.iterdir() if is_unfinished(entry.name))
        raise FileNotFoundError(
            f"{folder} holds no weights: there is none of {', '.join(KINDS)}"
            + (f"; {listed(half)} is a download that was not finished" if half else "")
        )
    if path.suffix != ".json":
        with open_weights(path) as tensors:
            yield tensors
        return
    files = _read_index(path)
    with ExitStack() as stack:
        opened = {name: stack.enter_context(open_weights(folder / name)) for name in files}
        for name, tensors in opened.items():
            found = [key for key in tensors.shapes if not _DERIVED.search(key)]
            wanted = [key for key in files[name] if not _DERIVED.search(key)]
            check_names(found, wanted, f"{folder / name} does not hold what {path.name} says")
        yield _joined(opened, files)


def tidied(tensors: Tensors, embedding: str, source: Path) -> Tensors:
    """The weights alone, under the names that they had before something was wrapped around them.

    Args:
        tensors: As they are stored.
        embedding: What the format calls the token embedding; what stands before it in a name is
            taken off all names.
        source: For the message.

    Raises:
        ValueError: Two tensors would have the same name.
    """
    plain = {name: _WRAPPER.sub("", name) for name in tensors.shapes if not _DERIVED.search(name)}
    fronts = (name.removesuffix(embedding) for name in plain.values() if name.endswith(embedding))
    front = next((front for front in fronts if front.endswith(".")), "")
    names: dict[str, str] = {}
    for stored, name in plain.items():
        other = names.setdefault(name.removeprefix(front), stored)
        if other != stored:
            raise ValueError(f"{source} holds both {listed([other])} and {listed([stored])}")
    shapes = {name: tensors.shapes[stored] for name, stored in names.items()}
    return Tensors(shapes, lambda name: tensors.get(names[name]))


def _joined(opened: Mapping[str, Tensors], files: Mapping[str, list[str]]) -> Tensors:
    place = {
        key: opened[name] for name, keys in files.items() for key in keys
        if key in opened[name].shapes
    }  # fmt: skip
    shapes = {key: tensors.shapes[key] for key, tensors in place.items()}
    return Tensors(shapes, lambda key: place[key].get(key))


def _read_index(path: Path) -> dict[str, list[str]]:
    """The names of the tensors in each file."""
    what = f'{path} is damaged: it has no "weight_map" of names and files'
    try:
        contents = read_json(path, LARGEST)
    except ValueError as error:
        raise ValueError(f"{what} ({error})") from None
    places = contents.get("weight_map") if isinstance(contents, dict) else None
    if not isinstance(places, dict):
        raise ValueError(what)
    files: dict[str, list[str]] = {}
    for tensor, name in places.items():
        # Windows' way of writing a path counts everywhere: an index is made on any machine.
        if not isinstance(name, str) or not re.fullmatch(r"(?!\.+$)[^/\\:\0]+", name):
            raise ValueError(
                f"{path} says that {listed([tensor])} lies in {name!r:.100}: it may only name "
                "files beside it"
            )
        files.setdefault(name, []).append(tensor)
    if not files:
        raise ValueError(f"{path} is damaged: it names no tensors")
    return files
