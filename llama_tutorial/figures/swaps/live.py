"""The live figure of the chapter on the swaps: the recorded runs, stopped at any step.

The script ``race.js`` computes the same in the page, and the browser
tests hold them equal.
"""

from __future__ import annotations

from typing import Any

from llama_tutorial.figures.kit.controls import Slider
from llama_tutorial.figures.kit.live import LiveFigure
from llama_tutorial.figures.kit.recorded import recorded

UNTIED, BEFORE = "no biases, untied", "SwiGLU"


def _curves() -> tuple[int, dict[str, list[int]]]:
    """The steps from one mean to the next, and the training losses in thousandths of a nat."""
    record = recorded("swaps")
    curves = {
        entry["name"]: [round(1000 * loss) for loss in entry["training_loss"]]
        for entry in record["chain"]
    }
    n_means = len(next(iter(curves.values())))
    return record["steps"] // n_means, curves


def race() -> LiveFigure:
    """The training losses of the whole chain, compared at a step that the reader chooses."""
    stride, curves = _curves()
    steps = stride * len(next(iter(curves.values())))
    return LiveFigure(
        "swaps/race",
        # Whole numbers: floats would be rounded on their way into the page.
        data={"stride": stride, "curves": curves, "untied": UNTIED, "before": BEFORE},
        controls=[Slider("step", stride, steps, steps // 2, stride, label="stop after step")],
        numbers=race_numbers,
        readout="After {step} steps, {best} is ahead, {lead} nats below GPT. “No biases, untied” "
        "is at {untied} nats against the model before it.",
        alt="Five curves of the training loss minus that of GPT, over {steps} steps, with a mark "
        "at step {step}. There {best} is lowest, {lead} nats below GPT, and “no biases, untied” "
        "differs from SwiGLU by {untied} nats.",
        caption="Training loss of each model of the chain minus that of GPT, mean of three seeds. "
        "Below zero is better than GPT. <b>Drag the upright line</b>, and read what a comparison "
        "stopped there would have told you.",
        checks=[{"step": stride * k} for k in (1, 3, 8, 18, 30, 40)],
    )


def race_numbers(step: int) -> dict[str, Any]:
    """Who is ahead after ``step`` steps, and what untying seems to be worth there."""
    stride, curves = _curves()
    at = {name: losses[step // stride - 1] for name, losses in curves.items()}
    best = min(at, key=lambda name: at[name])
    return {
        "steps": stride * len(next(iter(curves.values()))),
        "best": best,
        "lead": (at["GPT"] - at[best]) / 1000,
        "untied": signed((at[UNTIED] - at[BEFORE]) / 1000),
    }


def signed(value: float) -> str:
    """A difference with its sign and three decimals."""
    return f"{value:+.3f}".replace("-", "−")
