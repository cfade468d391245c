"""The log of a run for people: a line of text at each evaluation, at the first step and the last.

::

    step 2000/16000: training loss 0.612 (mean of 1000 steps), validation loss 0.587, lr 0.00292,
    7,310 tokens/s, 1:04:10 left

The training loss is the mean since the line before. Tokens a second are those of the steps alone;
what is left of the time counts evaluations and checkpoints, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from llama_tutorial._util.progress import clock

_LINE_EVERY = 60.0  # seconds, where nothing else shows how far the run is


class LogLines:
    """Makes the lines from the metrics of each step.

    Args:
        write: Takes each line.
        total_steps: Where the run ends.
        done: The steps that were done before.
        every_minute: Whether a line is due after a minute in any case.
        shown: More metrics to show, means as the training loss is.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        total_steps: int,
        done: int,
        *,
        every_minute: bool,
        shown: tuple[str, ...] = (),
    ) -> None:
        self.write, self._total, self._first = write, total_steps, done + 1
        self._longest = _LINE_EVERY if every_minute else float("inf")
        self._began = self._last = time.monotonic()
        self._shown: dict[str, list[float]] = {name: [] for name in ("loss", *shown)}
        self._tokens, self._seconds = 0, 0.0

    def start(self, validation_loss: float) -> None:
        """The line before the first step."""
        self.write(f"step 0/{self._total}: validation loss {validation_loss:.3f}")
        self._began = self._last = time.monotonic()

    def add(self, metrics: dict[str, Any], seconds: float) -> None:
        """Take a step's metrics, and write a line if one is due."""
        for name, values in self._shown.items():
            values.append(metrics[name])
        self._tokens, self._seconds = self._tokens + metrics["tokens"], self._seconds + seconds
        step, now = metrics["step"], time.monotonic()
        if not (
            "validation_loss" in metrics
            or step in (self._first, self._total)
            or now - self._last >= self._longest
        ):
            return
        means = {name: sum(values) / len(values) for name, values in self._shown.items()}
        n = len(self._shown["loss"])
        figures = [f"training loss {means.pop('loss'):.3f}" + f" (mean of {n} steps)" * (n > 1)]
        figures += [f"{name.replace('_', ' ')} {mean:.3f}" for name, mean in means.items()]
        if "validation_loss" in metrics:
            figures.append(f"validation loss {metrics['validation_loss']:.3f}")
        figures.append(f"lr {metrics['lr']:.3g}")
        figures.append(f"{self._tokens / max(self._seconds, 1e-9):,.0f} tokens/s")
        if left := self._total - step:
            figures.append(f"{clock((now - self._began) / (step - self._first + 1) * left)} left")
        self.write(f"step {step}/{self._total}: {', '.join(figures)}")
        self._last, self._tokens, self._seconds = now, 0, 0.0
        for values in self._shown.values():
            values.clear()
