"""The folder of a training run: settings, metrics, checkpoints that survive a kill at any moment.

::

    settings.json        what the run was started with; where it got more steps, at which step
    metrics.jsonl        one line a step (see below)
    checkpoints/latest   the name of the newest complete checkpoint
    checkpoints/step-…   trainable weights, optimizer, random state; the two newest
    model/               the finished model
    tensorboard/         the metrics for TensorBoard, if they were asked for (:mod:`.tensorboard`)
    .lock                held by the process that trains here (:mod:`.run_lock`)

A line of the metrics is a JSON object:

===================  ==========================================================================
``step``             number of the update, from 1 on
``loss``             mean loss of the step's batch before the update, nats a token that is learned
``lr``               learning rate of the update
``grad_norm``        norm of the whole gradient before it was clipped
``tokens``           tokens of the batch, those that are not learned too
``tokens_per_s``     those by the seconds of the step alone, without validation and checkpoints
``validation_loss``  at evaluations: mean loss of the validation batches after the update, nats a
                     token
===================  ==========================================================================

A training on preferences (:mod:`llama_tutorial.preferences`) counts its loss by pairs, not tokens,
and has more: ``margin``, ``accuracy`` and what its method notes.

A checkpoint is written under another name and renamed when it is complete; only then does
``latest`` name it. So whenever the process is killed, the newest complete checkpoint is found, and
the metrics are cut back to its step. Each of these steps is on the disk before the next one begins,
so the same is true after a power cut. Where a checkpoint is damaged all the same, the run goes on
from the one before, and says so.

Checkpoints have the format of PyTorch's distributed ones, read without running what is in them
(:mod:`.shared_checkpoint`). Frozen weights are left out: a run that trains adapters on a 13 GB
model would write those 13 GB each time, and they have not changed since it began.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_state_dict,
    set_state_dict,
)

from llama_tutorial._util.files import (
    disk_errors,
    make_folder,
    remove_leftovers,
    replace_file,
    sync_file,
    sync_folder,
)
from llama_tutorial._util.given_file import kind_of, read_bytes
from llama_tutorial._util.json_file import read_json
from llama_tutorial._util.pickle_check import LARGEST
from llama_tutorial._util.terminal import notice
from llama_tutorial.model import Transformer
from llama_tutorial.training.processes import is_rank0, of_rank0
from llama_tutorial.training.run_lock import RunLock
from llama_tutorial.training.shared_checkpoint import (
    METADATA,
    check_archive,
    load_state,
    read_metadata,
    save_state,
)

_TRAINABLE = StateDictOptions(ignore_frozen_params=True, strict=False)
_STEP_NAME = re.compile(r"step-(\d{8,})")
_KEPT = 2
_LARGEST = 2**20  # bytes of training.pt, which holds two random states
_LONGEST = 2**30  # bytes of the metrics: those of some millions of steps
_KINDS = {
    "settings.json": "file",
    "metrics.jsonl": "file",
    "checkpoints": "folder",
    "checkpoints/latest": "file",
}


class RunFolder:
    """One run's folder. Only the process group that holds its lock may use it.

    Args:
        path: The folder; it need not exist.
        settings: What the run is started with, as plain values by part: ``{"model": {...}, ...}``.
            A run goes on only with the settings that it began with; but a finished one may get more
            steps.

    Attributes:
        ends: The numbers of steps that the run has had before this one, where it got more.

    Raises:
        ValueError: The folder holds a run with other settings, or its files are damaged.
    """

    def __init__(self, path: str | Path, settings: dict[str, dict[str, Any]]) -> None:
        self.path = Path(path)
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.jsonl"
        make_folder(self.path)
        self.lock = RunLock(self.path)
        before = check_settings(self.path, settings)
        merged = before | {part: before.get(part, {}) | settings[part] for part in settings}
        ends = before.get("history", {}).get("ends")
        self.ends = ends if isinstance(ends, list) else []
        was = before.get("training", {}).get("total_steps")
        if was is not None and was != merged["training"]["total_steps"]:
            self.ends.append(was)
            merged["history"] = {"ends": self.ends}
        if merged != before:
            new = [
                f"{part}.{name}" for part in settings for name in settings[part]
                if name not in before.get(part, {})
            ]  # fmt: skip
            if is_rank0() and new and _has_checkpoints(self.path):
                said = "does not say with which settings its checkpoints were made"
                notice(f"{self.path / 'settings.json'} {said}; taken as now: {', '.join(new)}")
            text = json.dumps(merged, indent=2, allow_nan=False) + "\n"
            _replace(self.path / "settings.json", text)

    def log(self, metrics: dict[str, Any]) -> None:
        """Append one line to the metrics (in rank 0 only).

        Raises:
            OSError: The disk is full; what is there of the line is cut when the run goes on. Or
                the folder is no longer the one that this process has locked.
            ValueError: A number is not finite, which JSON cannot say.
        """
        if is_rank0():
            try:
                line = json.dumps(metrics, allow_nan=False) + "\n"
            except ValueError:
                raise ValueError(f"metrics that are not finite: {metrics}") from None
            self.lock.check()
            with disk_errors(self.metrics), self.metrics.open("a", encoding="utf-8") as file:
                file.write(line)

    def save(self, step: int, model: Transformer, optimizer: torch.optim.Optimizer) -> None:
        """Write a complete checkpoint, then point to it, then remove all but the two newest.

        Every process must call it.

        Raises:
            OSError: The checkpoint could not be written; those before are still there. Or the
                folder is no longer the one that this process has locked.
        """
        new = self.checkpoints / f"step-{step:08d}.partial"

        def begin() -> None:
            self.lock.check()
            make_folder(self.checkpoints)
            _remove(new)
            new.mkdir()

        of_rank0(begin)
        try:
            save_state(_state(model, optimizer), new)
            of_rank0(lambda: self._complete(new, step, _random_state(model.device)))
        except BaseException:
            if is_rank0() and self.lock.holds():  # a full disk: it must not hold the space
                shutil.rmtree(new, ignore_errors=True)
            raise

    def resume(self, model: Transformer, optimizer: torch.optim.Optimizer) -> int:
        """Restore model, optimizer and random state from the newest checkpoint that is whole.

        Every process must call it; all get rank 0's random state.

        Returns:
            The number of steps already done; 0 where there is no checkpoint.

        Raises:
            ValueError: All checkpoints are damaged.
        """
        names, damage = of_rank0(self._find)
        step = 0
        for name in names:
            state = _state(model, optimizer)
            try:
                metadata, rest = of_rank0(partial(_read, self.checkpoints / name))
                load_state(state, self.checkpoints / name, metadata)
            except (ValueError, OSError) as error:
                damage.append(f"{name} ({error})")
                continue
            set_state_dict(
                model,
                optimizer,
                model_state_dict=state["model"],
                optim_state_dict=state["optimizer"],
                options=_TRAINABLE,
            )
            _set_random_state(rest["random"], model.device)
            step = rest["step"]
            break
        what = f"{self.checkpoints}: damaged, or of another model: {', '.join(damage)}"
        if damage and step == 0:
            raise ValueError(f"{what}; to begin anew, choose another folder")
        if is_rank0() and damage:
            notice(f"{what}; the run goes on from step {step}")
        of_rank0(lambda: self._clean(step))
        return step

    def _complete(self, new: Path, step: int, random_state: dict[str, Any]) -> None:
        """Make a checkpoint of what is in ``new``; on the disk each time before the next."""
        self.lock.check()
        sha256 = hashlib.sha256((new / METADATA).read_bytes()).hexdigest()
        rest = {"step": step, "random": random_state, "metadata_sha256": sha256}
        contents = io.BytesIO()  # torch.save says of a file only that it could not be written
        torch.save(rest, contents)
        _replace(new / "training.pt", contents.getvalue())
        sync_folder(new)
        if self.metrics.exists():
            sync_file(self.metrics)
            sync_folder(self.path)
        folder = new.with_suffix("")
        _remove(folder)  # complete, but not the latest
        new.rename(folder)
        sync_folder(self.checkpoints)
        _replace(self.checkpoints / "latest", folder.name)
        before = [name for name in self._steps() if _number(name) < step]
        for name in set(self._steps()) - {folder.name, *before[: _KEPT - 1]}:
            _remove(self.checkpoints / name)

    def _steps(self) -> list[str]:
        """The names of the checkpoints, the newest first."""
        if not self.checkpoints.is_dir():
            return []
        found = [path for path in self.checkpoints.iterdir() if _STEP_NAME.fullmatch(path.name)]
        for path in found:
            if not path.is_dir():
                raise ValueError(f"{path} is no folder, as a checkpoint must be: move it away")
        return sorted((path.name for path in found), key=_number, reverse=True)

    def _find(self) -> tuple[list[str], list[str]]:
        """The checkpoints in the order in which to try them, and what is wrong already."""
        names, latest = self._steps(), self.checkpoints / "latest"
        if not latest.exists():
            return names, []
        first = read_bytes(latest, _LARGEST)[:100].decode(errors="replace").strip()
        if first not in names:
            return names, [f"latest (it says {first!r}, and there is no such checkpoint)"]
        return [first, *(name for name in names if name != first)], []

    def _clean(self, step: int) -> None:
        """Remove what killed processes have left, and the metrics of steps that come again."""
        remove_leftovers(self.path)
        if self.checkpoints.is_dir():
            remove_leftovers(self.checkpoints)
            for unfinished in self.checkpoints.glob("step-*.partial"):
                _remove(unfinished)
        self._cut_metrics(step)

    def _cut_metrics(self, step: int) -> None:
        """Leave one whole line of each step up to ``step``."""
        if not self.metrics.exists():
            return
        text = read_bytes(self.metrics, _LONGEST).decode(errors="replace")
        whole, _, torn = text.rpartition("\n")  # the last line was being written, or is empty
        lines = {_step_of(line): line for line in (text if _step_of(torn) else whole).splitlines()}
        damaged = lines.pop(0, None)
        if damaged is not None and not lines and "\n" in whole:  # one line may be damage
            raise ValueError(f"{self.metrics} does not hold the metrics of a run: move it away")
        if damaged is not None:
            notice(f"{self.metrics}: damaged lines are removed")
        kept = "".join(f"{lines[number]}\n" for number in sorted(lines) if number <= step)
        if kept != text:
            _replace(self.metrics, kept)


def check_settings(path: Path, settings: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Compare settings with those that a run began with.

    Args:
        path: The run's folder.
        settings: As `RunFolder` takes them; those that are not given are not compared, and those
            that the run, of an older version of this package, does not have are taken as given,
            unless a whole part of them is missing where there are checkpoints.

    Returns:
        The run's settings; an empty dictionary where there is no run.

    Raises:
        ValueError: They differ, or what the folder holds about them is damaged or missing.
    """
    for name, kind in _KINDS.items():  # a named pipe is refused here already
        if kind_of(path / name) not in ("", kind):
            raise ValueError(f"{path / name}: a run needs a {kind} by this name; move it away")
    kind_of(path / "model")  # a file or a folder, as `train`'s ``write_model`` has it
    file = path / "settings.json"
    if not file.exists():
        left = [name for name in ("checkpoints", "metrics.jsonl") if (path / name).exists()]
        if left:
            raise ValueError(
                f"{path} holds {' and '.join(left)} but no settings.json: put it back, or choose "
                "another folder"
            )
        return {}
    before = read_json(file)
    if not (isinstance(before, dict) and all(isinstance(part, dict) for part in before.values())):
        raise ValueError(f"{file} does not hold the settings of a run")
    for part, values in settings.items():
        if values and part not in before and _has_checkpoints(path):
            raise ValueError(
                f"{file} does not hold the {part} settings of this run's checkpoints: put them "
                "back, or choose another folder"
            )
        for name, value in values.items():
            if (was := before.get(part, {}).get(name, value)) != value:
                if (part, name, type(was)) == ("training", "total_steps", int):
                    _check_more_steps(path, was, value)
                    continue
                # Two hashes would say nothing.
                if part == "data" and name in {"source", "content", "preferences"}:
                    other = {
                        "source": "another text or tokenizer",
                        "content": "other dialogs",
                        "preferences": "other pairs",
                    }
                    raise ValueError(
                        f"{path} holds a run on {other[name]}: go on with the same, or choose "
                        "another folder"
                    )
                raise ValueError(
                    f"{path} holds a run with {part} setting {name}={was!r}, not {value!r}: go on "
                    "with the same settings, or choose another folder"
                )
    return before


def _check_more_steps(path: Path, was: int, steps: int) -> None:
    """Raise a ValueError unless a run has done the ``was`` steps and gets more."""
    if steps < was:
        raise ValueError(
            f"{path} holds a run of {was} steps, and none gets shorter (total_steps={steps}): go "
            "on with as many or more, or choose another folder"
        )
    if not (path / "checkpoints" / f"step-{was:08d}").is_dir():
        raise ValueError(
            f"{path} holds a run of {was} steps, and it gets more only when it has done these "
            f"(total_steps={steps}): let it go on with {was} first, or choose another folder"
        )


def _read(folder: Path) -> tuple[Any, dict[str, Any]]:
    """A checkpoint's metadata, and what it holds beside the tensors; all of it checked."""
    described = read_bytes(folder / METADATA, LARGEST)
    metadata = read_metadata(described)
    contents = io.BytesIO(read_bytes(folder / "training.pt", _LARGEST))
    try:
        check_archive(contents)
        rest = torch.load(contents, weights_only=True, map_location="cpu")
        step, random_state = rest["step"], rest["random"]
        torch.Generator().set_state(random_state["cpu"])
    except Exception as error:  # a damaged file makes torch raise anything
        reason = str(error).strip().partition("\n")[0][:200]
        raise ValueError(f"training.pt: {type(error).__name__} {reason}") from None
    if type(step) is not int or step != _number(folder.name):
        raise ValueError(f"training.pt is of step {step!r:.40}")
    sha256 = rest.get("metadata_sha256")  # older checkpoints have none
    if sha256 is not None and sha256 != hashlib.sha256(described).hexdigest():
        raise ValueError(f"{METADATA} is not the one that was written: its checksum is wrong")
    return metadata, rest


def _has_checkpoints(path: Path) -> bool:
    return any(_STEP_NAME.fullmatch(found.name) for found in path.glob("checkpoints/step-*"))


def _remove(path: Path) -> None:
    """Remove a folder of a checkpoint, or what is there in its place; of a link, the link alone."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def _number(name: str) -> int:
    return int(name.removeprefix("step-"))


def _step_of(line: str) -> int:
    """The step of a line of the metrics; 0 if it is damaged."""
    try:
        step = json.loads(line, parse_constant=_refuse)["step"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return 0
    return max(step, 0) if type(step) is int else 0


def _refuse(number: str) -> None:
    raise ValueError(f"{number} is no JSON")


def _state(model: Transformer, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Trainable weights and optimizer state, both by the parameters' names."""
    weights, moments = get_state_dict(model, optimizer, options=_TRAINABLE)
    return {"model": weights, "optimizer": moments}


def _random_state(device: torch.device) -> dict[str, Any]:
    state = {"cpu": torch.get_rng_state()}
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def _set_random_state(state: dict[str, Any], device: torch.device) -> None:
    torch.set_rng_state(state["cpu"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def _replace(path: Path, contents: str | bytes) -> None:
    with replace_file(path) as file:
        file.write(contents.encode() if isinstance(contents, str) else contents)
