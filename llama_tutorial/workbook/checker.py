"""The checker: is an answer right, and if not, which mistake is it?

An answer is run on the cases of its task. If its results are those of the solution, it is right,
however it has come to them. If they are those of the solution with one of the known mistakes, or
with two of them, that is what it is told; otherwise where its results differ first.
"""

from __future__ import annotations

import html
import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from typing import Any

from llama_tutorial.workbook.compare import Rules, difference, is_tensor, kind
from llama_tutorial.workbook.parts import parts_of, right_parts
from llama_tutorial.workbook.registry import BOOK, find, mistaken, page_of, solution
from llama_tutorial.workbook.running import Outcome, Place, TimeUp, place_of, run_limited
from llama_tutorial.workbook.task import Bug, Case, Task, call

DONE, WRONG, WAITS, NOT_BEGUN = "done", "wrong", "waits", "not begun"
_NOTHING = object()
_TOGETHER = 1.0  # seconds for two known mistakes in one solution
# What torch and NumPy say of shapes that do not fit, in one word or another.
_SHAPES = re.compile(r"shape|size|dimension|\bdim\b|broadcast|\bax[ei]s\b|mat1|equation", re.I)
_MARKS = {DONE: "✓", WRONG: "✗", WAITS: "…", NOT_BEGUN: "○"}
_COLOURS = {DONE: "#1e875a", WRONG: "#b45a00", WAITS: "#888", NOT_BEGUN: "#888"}


@dataclass(frozen=True, repr=False)
class Result:
    """What a check has found.

    Attributes:
        task: The task's name.
        state: ``"done"``, ``"wrong"``, ``"not begun"``; or ``"waits"``, where it is right by itself
            and calls another task's function that is not.
        message: What is wrong and what to look at; or what you know now.
        bug: The name of the mistake, where it is a known one; of two, joined by "+".
    """

    task: str
    state: str
    message: str
    bug: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the answer is right."""
        return self.state == DONE

    def __bool__(self) -> bool:
        return self.ok

    def __repr__(self) -> str:
        return f"{_MARKS[self.state]} {self.task}: {self.message}"

    def _repr_html_(self) -> str:
        colour = _COLOURS[self.state]
        text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(self.message, quote=False))
        text = re.sub(rf"{re.escape(BOOK)}[\w./#-]+", r"<a href='\g<0>'>\g<0></a>", text)
        paragraphs = "".join(f"<p style='margin:0.3em 0'>{line}</p>" for line in text.split("\n"))
        title = f"<b>{_MARKS[self.state]} {self.task}</b>"
        return (
            f"<div style='border-left:3px solid {colour};padding-left:0.8em;max-width:46em'>"
            f"{title}{paragraphs}</div>"
        )


def check(
    task: str, answer: Any = _NOTHING, *, hint: int = 0, seconds: float | int | None = None
) -> Result:
    """Check an answer of the workbook; say which mistake it is, if it is wrong.

    It takes a second or two, needs no network, and never shows the solution::

        >>> check("rope.rotate", rotate)
        ✗ rope.rotate: Your pairs are half-split: ...

    Args:
        task: ``"chapter.function"``.
        answer: Your function or class itself, not a call of it.
        hint: 1, 2 or 3: add that many hints, each more telling than the one before.
        seconds: What your code may take for all cases together; by default what the task says.

    Returns:
        A :class:`Result`: ``.ok`` and ``.message``; it is true if the answer is right.

    Raises:
        ValueError: There is no such task (the message has those that are called alike), or ``hint``
            is not between 0 and 3.
    """
    found = find(task)
    if type(hint) is not int or not 0 <= hint <= 3:
        raise ValueError(f"hint={hint!r}: must be 1, 2 or 3, or 0 for none")
    if answer is _NOTHING:
        how = f"give your own: check({task!r}, {found.function})."
        result = Result(task, NOT_BEGUN, f"{how[0].upper()}{how[1:]}")
    else:
        limit = found.seconds if seconds is None else seconds
        result = _Check(found, answer, limit).result()
    if hint and not result.ok:
        hints = [f"Hint {n}: {text}" for n, text in enumerate(found.hints[:hint], 1)]
        result = Result(task, result.state, "\n".join([result.message, *hints]), result.bug)
    return result


class _Check:
    """One check of one answer."""

    def __init__(self, task: Task, answer: Any, seconds: float | int) -> None:
        self.task, self.answer, self.seconds = task, answer, seconds
        self.rules = Rules(task.tolerance, task.same_dtype)
        self.right = [_use(task, solution(task), case) for case in _cases(task)]

    def result(self) -> Result:
        if not callable(self.answer):
            name = self.task.function
            return self._wrong(
                f"You gave {kind(self.answer)}. Give the function itself, without brackets "
                f"after it: check({self.task.name!r}, {name})."
            )
        if problem := self._signature_problem():
            return self._wrong(problem)
        cases = _cases(self.task)
        outcomes = self._run(cases)
        if (first := self._fault(cases, outcomes)) is None:
            return self._properties()
        if self._is_right_with_other_arrays(outcomes):
            return self._properties()
        if self._own_stub(outcomes[-1].error) is None and (
            parts := parts_of(self.task, self.answer)
        ):
            with right_parts(self.answer, parts):
                outcomes = self._run(cases := _cases(self.task))
            if (first := self._fault(cases, outcomes)) is None:
                return self._waits(parts)
        error = outcomes[-1].error
        if place := self._own_stub(error):
            message = (
                f"Not begun: line {place.number} of {place.function} is still "
                "`raise NotImplementedError`."
            )
            return Result(self.task.name, NOT_BEGUN, message)
        if (bugs := self._known(outcomes)) and not isinstance(error, TimeUp):
            return self._explained(bugs)
        return self._wrong(first)

    def _wrong(self, message: str) -> Result:
        return Result(self.task.name, WRONG, message)

    def _done(self) -> Result:
        return Result(self.task.name, DONE, f"Right. {self.task.teaches}".strip())

    # Run it

    def _run(self, cases: Sequence[Case]) -> list[Outcome]:
        """What the answer does in each case, up to the first that runs out of time."""
        outcomes: list[Outcome] = []

        def all_cases() -> None:
            for case in cases:
                try:
                    outcomes.append(Outcome(self.task.use(self.answer, *case.args, **case.kwargs)))
                except (Exception, SystemExit) as error:
                    outcomes.append(Outcome(error=error))

        whole = run_limited(all_cases, self.seconds)
        done = outcomes[: len(cases)]
        return done if whole.error is None else [*done, whole]

    def _fault(self, cases: Sequence[Case], outcomes: Sequence[Outcome]) -> str | None:
        """The first thing that is wrong; None if nothing is."""
        fresh = _cases(self.task)
        for n, outcome in enumerate(outcomes):
            label = cases[min(n, len(cases) - 1)].label
            if isinstance(outcome.error, TimeUp):
                return self._time_up(outcome.error, label)
            if outcome.error is not None:
                return self._raised(outcome.error, label, cases[n])
            if found := difference(outcome.value, self.right[n].value, self.rules):
                return f"In the case “{label}”, {found}{'' if found.endswith('?') else '.'}"
            if found := self._changed(cases[n], fresh[n]):
                return f"{found} (The case is “{label}”.)"
        for outcome, case in zip(outcomes, cases, strict=False):
            if self.task.fresh and (name := self._shares_memory(outcome.value, case)):
                return (
                    f"The result shares its memory with the argument {name}: whoever changes one "
                    "changes the other. Return a tensor of its own."
                )
        return None

    def _raised(self, error: BaseException, label: str, case: Case | None = None) -> str:
        place, name = place_of(error, self.answer), type(error).__name__
        if isinstance(error, SystemExit):
            return f"In the case “{label}” your code ends the program, {_at(place)}."
        text = str(error).strip().split("\n")[0]
        if isinstance(error, RecursionError):
            text = "it calls itself without end"
        said = f"{name}: {text}" if text else name
        message = f"In the case “{label}” it raises {said}\nThat is {_at(place)}."
        if "leaf Variable" in text:
            message += " Write into parameters under `with torch.no_grad():`."
        is_shape = isinstance(error, RuntimeError | ValueError) and _SHAPES.search(text)
        if (is_shape or isinstance(error, IndexError)) and not isinstance(error, RecursionError):
            message += _told_shapes(place, self._given(case))
        return message

    def _given(self, case: Case | None) -> dict[str, Any]:
        """What it was called with, by name."""
        if case is None:
            return {}
        return {**dict(zip(self._names(len(case.args)), case.args, strict=False)), **case.kwargs}

    def _time_up(self, error: TimeUp, label: str) -> str:
        place = place_of(error, self.answer)
        where = f" When it was stopped, it was {_at(place)}." if place else ""
        return (
            f"In the case “{label}” it is not done after {self.seconds:g} seconds, and should take "
            f"a moment: is there a loop that never ends?{where}"
        )

    def _changed(self, case: Case, fresh: Case) -> str | None:
        """Whether an argument that should have stayed as it is was changed in place."""
        given = self._given(case).items()
        before = [*fresh.args, *fresh.kwargs.values()]
        for (name, now), then in zip(given, before, strict=True):
            if name in self.task.changes or not _is_data(then):
                continue
            if difference(now, then, Rules(0.0, same_dtype=True), name):
                return (
                    f"Your code changes its argument {name} in place: afterwards it is not what it "
                    "was. Whoever called it may still need it, so make something new of it."
                )
        return None

    def _shares_memory(self, value: Any, case: Case) -> str | None:
        if not is_tensor(value):
            return None
        for name, given in zip(self._names(len(case.args)), case.args, strict=False):
            if is_tensor(given) and given.untyped_storage().data_ptr() == (
                value.untyped_storage().data_ptr()
            ):
                return name
        return None

    def _names(self, n: int) -> list[str]:
        """What the first ``n`` arguments are called."""
        use = solution(self.task) if self.task.use is call else partial(self.task.use, None)
        try:
            names = list(inspect.signature(use).parameters)
        except (TypeError, ValueError):
            names = []
        return [*names, *(f"number {i + 1}" for i in range(len(names), n))][:n]

    def _signature_problem(self) -> str | None:
        """What is wrong with the parameters; None where they fit, or cannot be read."""
        try:
            wanted = inspect.signature(solution(self.task))
            theirs = inspect.signature(self.answer)
        except (TypeError, ValueError):
            return None
        needed = [p for p in wanted.parameters.values() if p.default is p.empty]
        calls: list[tuple[Sequence[Any], dict[str, Any]]]
        calls = [([p.name for p in needed if p.kind is not p.KEYWORD_ONLY], {})]
        if self.task.use is call:
            calls = [(case.args, case.kwargs) for case in self.task.cases()]
        for args, kwargs in calls:
            try:
                theirs.bind(*args, **kwargs)
            except TypeError as error:
                name = self.task.function
                return (
                    f"Its parameters should be {name}{_plain(wanted)}, and yours are "
                    f"{name}{_plain(theirs)}: {error}."
                )
        return None

    # Judge it

    def _own_stub(self, error: BaseException | None) -> Place | None:
        """Where the answer itself is a stub, if it is one."""
        if not isinstance(error, NotImplementedError):
            return None
        traceback: Any = error.__traceback__
        while traceback.tb_next is not None:
            traceback = traceback.tb_next
        stub = traceback.tb_frame.f_code.co_qualname
        own = getattr(self.answer, "__qualname__", self.task.function)
        place = place_of(error, self.answer)
        return place if stub == own or stub.startswith(f"{own}.") else None

    def _waits(self, parts: dict[str, tuple[Task, Any]]) -> Result:
        """It is right once what it calls is."""
        wrong = [task.name for task, theirs in parts.values() if not check(task.name, theirs).ok]
        names = " and ".join(wrong or [task.name for task, _ in parts.values()])
        message = f"It is right by itself, but it needs {names}: do that first."
        return Result(self.task.name, WAITS, message)

    def _properties(self) -> Result:
        for holds in self.task.properties:
            outcome = run_limited(partial(holds, self.answer), self.seconds)
            if isinstance(outcome.error, TimeUp):
                return self._wrong(self._time_up(outcome.error, "a last test"))
            if outcome.error is not None:
                return self._wrong(self._raised(outcome.error, "a last test"))
            if outcome.value is not None:
                return self._wrong(str(outcome.value))
        return self._done()

    def _is_right_with_other_arrays(self, outcomes: Sequence[Outcome]) -> bool:
        """Whether it was written for NumPy's arrays where we have tensors, or the other way."""
        if self.task.use is not call or not isinstance(
            outcomes[0].error, TypeError | AttributeError | RuntimeError
        ):
            return False
        other = Rules(self.task.tolerance, self.task.same_dtype, any_array=True)
        cases = _cases(self.task)
        if not any(_is_array(value) for case in cases for value in case.args):
            return False
        try:
            cases = [_with_other_arrays(case) for case in cases]
        except (TypeError, ModuleNotFoundError):  # bfloat16, or there is no torch
            return False
        again = self._run(cases)
        return len(again) == len(cases) and all(
            outcome.error is None and not difference(outcome.value, right.value, other)
            for outcome, right in zip(again, self.right, strict=True)
        )

    def _known(self, outcomes: Sequence[Outcome]) -> tuple[Bug, ...]:
        """The known mistake that gives these outcomes, or two of them together; or nothing."""
        edits = [bug for bug in self.task.bugs if bug.edit is not None]
        singles = [(bug,) for bug in self.task.bugs]
        wrong: dict[tuple[Bug, ...], list[Outcome]] = {}
        for rules in (self.rules, replace(self.rules, rounded=True)):
            for bugs in [*singles, *combinations(edits, 2)]:
                if bugs not in wrong:
                    wrong[bugs] = self._outcomes_with(bugs)
                if self._same(outcomes, wrong[bugs], rules):
                    return bugs
        return ()

    def _outcomes_with(self, bugs: tuple[Bug, ...]) -> list[Outcome]:
        """What the solution does with some mistakes in it; nothing, if they exclude each other."""
        try:
            wrong = mistaken(self.task, *bugs)
        except (ValueError, SyntaxError):  # two edits of the same place
            if len(bugs) == 1:
                raise
            return []
        cases = _cases(self.task)
        # Two mistakes that end alone may never end together.
        together = run_limited(lambda: [_use(self.task, wrong, case) for case in cases], _TOGETHER)
        return together.value or []

    def _same(self, outcomes: Sequence[Outcome], wrong: Sequence[Outcome], rules: Rules) -> bool:
        """Whether the outcomes are those of a mistake, and one at least is a wrong one."""
        telling = False
        if len(outcomes) != len(wrong):
            return False
        for yours, theirs, right in zip(outcomes, wrong, self.right, strict=True):
            if (yours.error is None) != (theirs.error is None):
                return False
            if theirs.error is not None:
                if repr(yours.error) != repr(theirs.error):
                    return False
                telling = True
            elif difference(yours.value, theirs.value, rules):
                return False
            elif difference(yours.value, right.value, rules):
                telling = True
        return telling

    def _explained(self, bugs: Sequence[Bug]) -> Result:
        texts = ["There are two mistakes in it at once."] if len(bugs) > 1 else []
        for bug in bugs:
            effect, page = _museum(self.task, bug)
            parts = [bug.says, effect and f"What that does to a model: {effect}", bug.look, page]
            texts.append(" ".join(part for part in parts if part))
        name = "+".join(bug.name for bug in bugs)
        return Result(self.task.name, WRONG, "\n".join(texts), name)


def _cases(task: Task) -> list[Case]:
    """The cases, none of which shares memory with another.

    They are often pieces of one tensor, and an answer that changes its argument in place would make
    the other cases wrong, too: then the message would speak of numbers, and not of the change.
    """
    return [
        Case(
            case.label,
            *map(_copied, case.args),
            **{name: _copied(value) for name, value in case.kwargs.items()},
        )
        for case in task.cases()
    ]


def _copied(value: Any) -> Any:
    """Data with memory of its own; a model or a function as it is."""
    if not _is_data(value):
        return value
    if isinstance(value, dict):
        return {name: _copied(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_copied, value))
    if is_tensor(value):
        return value.detach().clone().requires_grad_(value.requires_grad)
    return value.copy() if _is_array(value) else value


def _use(task: Task, function: Any, case: Case) -> Outcome:
    try:
        return Outcome(task.use(function, *case.args, **case.kwargs))
    except Exception as error:  # a mistake may well raise
        return Outcome(error=error)


def _museum(task: Task, bug: Bug) -> tuple[str, str]:
    """What a mistake does to a model, and where the book shows it."""
    try:
        from llama_tutorial.bugs import BUGS
    except ModuleNotFoundError:  # without torch there is no model to break
        return bug.effect, ""
    shown = BUGS.get(bug.name)
    has_page = bug.museum if bug.museum is not None else shown is not None
    chapter = shown.chapter if shown else task.chapter
    page = page_of(chapter, f"#fig-museum-{chapter}")
    return bug.effect or (shown.what if shown else ""), f"See it: {page}" if has_page else ""


def _with_other_arrays(case: Case) -> Case:
    import numpy as np
    import torch

    def other(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return value.numpy()
        return torch.from_numpy(value) if isinstance(value, np.ndarray) else value

    args = [other(value) for value in case.args]
    return Case(case.label, *args, **{name: other(v) for name, v in case.kwargs.items()})


def _is_array(value: Any) -> bool:
    return is_tensor(value) or type(value).__name__ == "ndarray"


def _is_data(value: Any) -> bool:
    """Whether a value can be compared with what it was: no model, no function."""
    if isinstance(value, list | tuple | set):
        return all(_is_data(element) for element in value)
    if isinstance(value, dict):
        return all(_is_data(element) for element in value.values())
    return _is_array(value) or isinstance(value, int | float | str | bytes | None)


def _at(place: Place | None) -> str:
    return f"in {place}" if place else "outside your own lines"


def _told_shapes(place: Place | None, given: Mapping[str, Any]) -> str:
    """The shapes in the line that failed, and of the arguments."""
    told = ""
    if place is not None:
        used = dict.fromkeys(re.findall(r"[^\W\d]\w*", place.text))
        there = _shapes({name: place.names[name] for name in used if name in place.names})
        told = f" The shapes in it: {there}." if there else ""
    arguments = _shapes(given)
    return f"{told} It was called with {arguments}." if arguments else told


def _shapes(values: Mapping[str, Any]) -> str:
    """``x (2, 5, 8) and w1 (6, 4)``: of those values that are tensors or arrays."""
    arrays = [f"{name} {tuple(value.shape)}" for name, value in values.items() if _is_array(value)]
    return " and ".join([", ".join(arrays[:-1]), arrays[-1]] if len(arrays) > 1 else arrays)


def _plain(signature: inspect.Signature) -> str:
    """A signature without its annotations."""
    parameters = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
    return str(inspect.Signature(parameters))
