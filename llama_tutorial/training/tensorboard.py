"""The metrics of a run for TensorBoard, by PyTorch's own writer, in ``tensorboard`` in its folder.

::

    tensorboard --logdir runs

Each start of a run writes a file of its own, which tells TensorBoard to forget the steps of earlier
files that come again.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from llama_tutorial._util.extras import install_hint
from llama_tutorial._util.files import disk_errors

FOLDER = "tensorboard"
_NAMES = {
    "loss": "loss/training",
    "validation_loss": "loss/validation",
    "lr": "learning rate",
    "grad_norm": "norm of the gradient",
    "tokens_per_s": "tokens per second",
    "margin": "preferences/margin",
    "accuracy": "preferences/accuracy",
    "validation_margin": "preferences/validation margin",
    "validation_accuracy": "preferences/validation accuracy",
    "logprob_chosen": "preferences/log-probability, chosen",
    "logprob_rejected": "preferences/log-probability, rejected",
    "kl": "preferences/KL",
    "reward": "preferences/reward",
}


class TensorBoard:
    """Writes while the block lasts; without ``path`` it writes nothing.

    Args:
        path: The run's folder, or None.
        done: The steps that are done; what earlier files say of later ones does not count.

    Raises:
        ImportError: TensorBoard is not installed.
        OSError: The disk is full.
    """

    def __init__(self, path: Path | None, done: int) -> None:
        self._writer: Any = None
        if path is None:
            return
        check_installed()
        from torch.utils.tensorboard import SummaryWriter

        self._path = path / FOLDER
        with disk_errors(self._path):
            self._writer = SummaryWriter(str(self._path), purge_step=done + 1)

    def __enter__(self) -> TensorBoard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            # Where something has failed already, that is what must be said.
            with suppress(OSError) if error is not None else disk_errors(self._path):
                self._writer.close()

    def log(self, metrics: dict[str, Any]) -> None:
        """Write a step's metrics; those that are measured now and then are on the disk then."""
        if self._writer is None:
            return
        with disk_errors(self._path):
            for key, name in _NAMES.items():
                if key in metrics:
                    self._writer.add_scalar(name, metrics[key], metrics["step"])
            if "validation_loss" in metrics:
                self._writer.flush()

    def text(self, step: int, text: str) -> None:
        """Write a sample of what the model says."""
        if self._writer is not None:
            with disk_errors(self._path):
                self._writer.add_text("samples", text, step)


def check_installed() -> None:
    """Raise an ImportError that says what to install, unless TensorBoard is there."""
    try:
        import tensorboard  # noqa: F401
    except ImportError:
        hint = install_hint("tensorboard")
        raise ImportError(f"TensorBoard is not installed: {hint}") from None
