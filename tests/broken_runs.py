"""Runs that are killed, that fill the disk, that lose what was not synced: each must go on.

training/test_broken_runs.py does a little of it. The whole takes some minutes::

    python tests/broken_runs.py --kills 20 --disks 10 --cuts 1000

Every broken run is followed by the same command, and its losses and its finished model must be, bit
for bit, those of a run that nothing happened to. The commands run in forked children of a process
that has torch already.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"  # before torch comes: its threads do not survive a fork
os.environ.setdefault("TQDM_DISABLE", "1")

from llama_tutorial.training.run_folder import RunFolder

SMALL = "--dim 16 --layers 1 --heads 2 --kv-heads 1 --hidden-dim 24 --context 64"
TEXT = "Tom lost a small red ball in the garden. He was sad. Then he saw it under a tree. "
MARK = "<|endoftext|>"


class Commands:
    """The commands that are broken off, by name, and their input in a folder."""

    def __init__(self, folder: Path) -> None:
        import llama_tutorial.cli.finetune  # noqa: F401  # so that no child has to

        text, dialogs, self.base = (folder / name for name in ("text", "dialogs.jsonl", "base"))
        text.write_text(MARK.join(f"{i} {TEXT * 20}" for i in range(8)))
        lines = ({"instruction": f"{i}?", "output": f"{i + 1}."} for i in range(60))
        dialogs.write_text("".join(json.dumps(line) + "\n" for line in lines))
        often = "--warmup 3 --checkpoint-every 4 --evaluate-every 8 --batch-size 4"
        pretrain = f"pretrain --data {text} --vocab-size 290 {SMALL} {often} --steps 24"
        self.commands = {"pretrain": pretrain}
        code, errors = in_child(partial(self.run, "pretrain", self.base))
        if code != 0:
            raise RuntimeError(errors)
        tune = f"finetune --model {self.base / 'model'} --data {dialogs} {often}"
        tune += f" --epochs 3 --context 64 --tokenizer {self.base / 'tokenizer.model'}"
        self.commands["finetune"] = tune
        self.commands["finetune --lora"] = f"{tune} --lora --rank 2"

    def run(self, name: str, out: Path) -> int:
        """Run a command in this process, quietly; the exit code."""
        from llama_tutorial.cli import main

        with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
            return main([*self.commands[name].split(), "--out", str(out)])


def results(out: Path) -> tuple[list[tuple], dict[str, bytes]]:
    """The losses of all steps, and the files of the finished model."""
    lines = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    keys = ("step", "loss", "lr", "validation_loss")
    model = {file.name: file.read_bytes() for file in (out / "model").iterdir()}
    model.pop("adapter.json", None)  # it says where the base lies, as seen from here
    return [tuple(line.get(key) for key in keys) for line in lines], model


def in_child(work: Callable[[], int], kill_after: float | None = None) -> tuple[int, str]:
    """Do some work in a forked child; its exit code (below 0: the signal), and what it wrote."""
    with tempfile.TemporaryFile() as errors:
        if (child := os.fork()) == 0:
            code = 99
            try:
                os.dup2(errors.fileno(), 2)
                sys.stderr = open(2, "w", closefd=False)  # noqa: SIM115  # not pytest's
                code = work()
            finally:
                sys.stderr.flush()
                os._exit(code)
        if kill_after is not None:
            time.sleep(kill_after)
            os.kill(child, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        errors.seek(0)
        return code, errors.read().decode(errors="replace")


def goes_on(commands: Commands, name: str, out: Path, whole: tuple) -> str:
    """Run the same command again; what is wrong then, or nothing."""
    code, errors = in_child(lambda: commands.run(name, out))
    if code != 0 or errors:  # nothing is damaged, so there is nothing to say
        return f"exit code {code}: {errors[-300:]}"
    if results(out) != whole:
        return "other losses, or another model"
    left = [
        str(path.relative_to(out))
        for path in out.rglob("*")
        if path.name.endswith((".tmp", ".partial"))
    ]
    return f"left behind: {left}" if left else ""


def kill(
    commands: Commands, name: str, folder: Path, whole: tuple, n: int, seed: int = 0
) -> Iterator[tuple[str, str]]:
    """Kill a run at ``n`` random moments, in ``n`` folders; the moment, and what is wrong then."""
    began = time.perf_counter()
    in_child(lambda: commands.run(name, folder / "timed"))
    seconds = time.perf_counter() - began
    shutil.rmtree(folder / "timed")
    moments = random.Random(seed)
    for i in range(n):
        out, moment = folder / str(i), moments.uniform(0, seconds)
        in_child(lambda out=out: commands.run(name, out), kill_after=moment)
        latest = out / "checkpoints" / "latest"
        where = latest.read_text() if latest.exists() else "no checkpoint"
        yield f"{moment / seconds:.0%} ({where})", goes_on(commands, name, out, whole)
        shutil.rmtree(out)


def fill(
    commands: Commands, name: str, folder: Path, whole: tuple, sizes: list[int]
) -> Iterator[tuple[str, str]]:
    """Run on disks of so many kilobytes; then give room. Without mounts, limit each file's size."""
    for size in sizes:
        out, mounted = folder / f"disk{size}", False
        out.mkdir()
        if os.geteuid() == 0:
            mount = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(out)]
            mounted = subprocess.run(mount, capture_output=True, check=False).returncode == 0

        def work(out: Path = out, limit: int | None = None if mounted else size * 1024) -> int:
            if limit is not None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
            return commands.run(name, out / "run")

        try:
            code, errors = in_child(work)
            wrong = ""
            full = "No space left on device" in errors or "File too large" in errors
            if code != 0 and (code != 2 or errors.count("\n") != 1 or not full):
                wrong = f"exit code {code}: {errors[-300:]}"
            elif code != 0 and str(out) not in errors:
                wrong = f"no path: {errors}"
            elif list(out.rglob("*.partial")):
                wrong = "a partial checkpoint holds the space"
            if mounted:
                subprocess.run(["mount", "-o", "remount,size=50m", str(out)], check=True)
            said = errors.strip().replace(str(out), "...") if code else "enough"
            yield f"{size} KB: {said}", wrong or goes_on(commands, name, out / "run", whole)
        finally:
            if mounted:
                subprocess.run(["umount", str(out)], check=True)


class Disk:
    """What could be left of a folder after a power cut, at every moment of a run.

    What was synced is there: the content of a file at its last fsync, the names in a folder at its
    own. Of all that has changed since, each name and each content may be the old one or the new.
    Three choices are made at each moment: all old, names new and contents old, and one at random.

    Attributes:
        promised: The last step whose checkpoint was complete, for the program that trained.
    """

    def __init__(self, root: Path, keep: Path) -> None:
        self.root, self.keep = root, keep
        self.contents: dict[int, bytes] = {}  # synced, by inode
        self.names: dict[int, dict[str, int]] = {}
        self.known: set[int] = set()
        self.seen: set[int] = set()
        self.busy, self.promised, self.random = False, 0, random.Random(0)

    def watch(self) -> None:
        """Look at the folder before each change of it, and around each fsync."""
        fsync, save = os.fsync, RunFolder.save

        def synced(descriptor: int) -> None:
            self.look()
            fsync(descriptor)
            self.sync(descriptor)
            self.look()

        def saved(folder: RunFolder, step: int, *arguments: object) -> None:
            save(folder, step, *arguments)
            self.promised = step

        os.fsync, RunFolder.save = synced, saved
        events = {"os.rename", "os.remove", "os.rmdir", "os.mkdir"}  # some with relative names

        def hook(event: str, arguments: tuple) -> None:
            opens = event == "open" and str(arguments[0]).startswith(str(self.root))
            if opens or event in events:
                self.look()

        sys.addaudithook(hook)

    def sync(self, descriptor: int) -> None:
        self.busy = True
        inode, path = os.fstat(descriptor).st_ino, Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        if path.is_dir():
            self.names[inode] = inodes_in(path)
        else:
            self.contents[inode] = path.read_bytes()
        self.busy = False

    def look(self) -> None:
        if self.busy or not self.root.exists():
            return
        self.busy = True
        paths = {path.stat().st_ino: path for path in (self.root, *self.root.rglob("*"))}
        for new in paths.keys() - self.known:  # numbers of deleted files are given out again
            self.contents.pop(new, None)
            self.names.pop(new, None)
        self.known = set(paths)
        self.new_names = {i: inodes_in(path) for i, path in paths.items() if path.is_dir()}
        self.new_contents = {i: path.read_bytes() for i, path in paths.items() if path.is_file()}
        for choose in (lambda old, _: old, None, lambda *both: self.random.choice(both)):
            state = self.left(self.root.stat().st_ino, choose)
            if (key := hash((self.promised, repr(state)))) not in self.seen:
                self.seen.add(key)
                write_state(state, self.keep / f"{len(self.seen):05d}-{self.promised}")
        self.busy = False

    def left(self, inode: int, choose: Callable | None) -> dict | bytes:
        """A folder by names, or a file's content; without ``choose``, new names, old contents."""
        if inode not in self.names and inode not in self.new_names:
            old = self.contents.get(inode, b"")  # what is deleted was not emptied before
            return choose(old, self.new_contents.get(inode, old)) if choose else old
        old, new = self.names.get(inode, {}), self.new_names.get(inode, {})
        children = {
            name: choose(old.get(name), new.get(name)) if choose else new.get(name)
            for name in sorted({*old, *new})
        }
        return {name: self.left(i, choose) for name, i in children.items() if i is not None}


def inodes_in(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in folder.iterdir()}


def write_state(state: dict | bytes, path: Path) -> None:
    if isinstance(state, bytes):
        path.write_bytes(state)
        return
    path.mkdir(parents=True)
    for name, part in state.items():
        write_state(part, path / name)


def cut(
    commands: Commands, name: str, folder: Path, whole: tuple, n: int
) -> Iterator[tuple[str, str]]:
    """Cut the power between any two operations on the disk, or at ``n`` of these moments."""
    out, kept = folder / "watched", folder / "kept"
    kept.mkdir()

    def work() -> int:
        Disk(out, kept).watch()
        return commands.run(name, out)

    code, errors = in_child(work)
    if code != 0:
        yield "watching", errors
    states = sorted(kept.iterdir())
    chosen = states if n >= len(states) else random.Random(0).sample(states, n)
    for state in sorted(chosen):
        latest = state / "checkpoints" / "latest"
        step = int(latest.read_bytes()[5:] or 0) if latest.exists() else 0
        wrong = goes_on(commands, name, state, whole)
        if step < (promised := int(state.name.split("-")[1])):
            wrong = f"step {promised} was saved, and {step} is left"
        yield f"{state.name} of {len(states)} (step {step})", wrong
        shutil.rmtree(state)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20, help="of each command")
    parser.add_argument("--disks", type=int, default=10, help="sizes of disks")
    parser.add_argument("--cuts", type=int, default=1000, help="moments of a power cut, at most")
    arguments = parser.parse_args()
    n_wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = Commands(folder)
        for command in commands.commands:
            out = folder / command.replace(" ", "")
            out.mkdir()
            code, errors = in_child(partial(commands.run, command, out / "whole"))
            if code != 0:
                raise RuntimeError(errors)
            whole = results(out / "whole")
            n_bytes = sum(path.stat().st_size for path in (out / "whole").rglob("*"))
            n_kb = n_bytes * 1.3 / 1024  # for the largest there is room
            sizes = [round(8 + n_kb * i / arguments.disks) for i in range(arguments.disks)]
            for what, tried in [
                ("killed", kill(commands, command, out, whole, arguments.kills)),
                ("disk full", fill(commands, command, out, whole, sizes)),
                ("power cut", cut(commands, command, out, whole, arguments.cuts)),
            ]:
                outcomes = []
                for where, wrong in tried:
                    outcomes.append(wrong)
                    if wrong or what != "power cut":
                        print(f"{command}, {what} at {where}: {wrong or 'goes on'}", flush=True)
                bad = sum(map(bool, outcomes))
                n_wrong += bad
                print(f"== {command}, {what}: {len(outcomes)} times, {bad} wrong", flush=True)
    return 1 if n_wrong else 0


if __name__ == "__main__":
    raise SystemExit(main())
