"""Which extra of this package brings a package that is not installed."""

from __future__ import annotations

_EXTRAS = {
    "torch": ("torch", "safetensors", "sentencepiece", "jaxtyping", "tqdm"),
    "notebooks": ("matplotlib", "ipywidgets", "pygments", "tiktoken", "jupyterlab"),
    "fast": ("numba",),
    "hub": ("huggingface_hub",),
    "tensorboard": ("tensorboard",),
    "gguf": ("gguf",),
}


def install_hint(module: str | None) -> str | None:
    """What installs ``module``, a name as imports write it; None if no extra of ours brings it."""
    root = (module or "").partition(".")[0]
    for extra, brought in _EXTRAS.items():
        if root in brought:
            return f"pip install 'llama-tutorial[{extra}]'"
    return "pip install numpy" if root == "numpy" else None
