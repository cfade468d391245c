"""What a task of the workbook is made of.

A chapter has two files of one name here:

``solutions/rope.py``
    The learner's own module, finished: ordinary code, whose docstrings are the specifications. The
    stubs are cut from it (:mod:`.folder`), and what is no task stays as it is. It imports torch or
    NumPy, and the chapters before it as ``from .rmsnorm import ...``, and nothing of this package,
    so that it works in the learner's folder, too.
``tasks/rope.py``
    ``TASKS``: a list of :class:`Task`, in the order of the work. What each answer is tried on, the
    mistakes that people make, the hints.

A mistake is an edit of the solution's text, as in the bug museum: the right line and the wrong one.
So it is always exactly one mistake away from the solution, and stays so when the solution changes::

    Task(
        "rope.rotate",
        cases=lambda: [Case("one head at positions 0 to 5", x, cos, sin)],
        bugs=[
            Bug(
                "half_split",
                edit=("x[..., 0::2], x[..., 1::2]", "x.chunk(2, dim=-1)"),
                says="Your pairs are half-split: feature j is turned with feature j + h/2.",
                look="Which two features make pair j?",
            )
        ],
        hints=[...],
    )
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Use = Callable[..., Any]


class Case:
    """One call of an answer.

    Args:
        label: What it is, as it is said in a message: "four heads at positions 3 to 7".
        args: What the answer is called with: tensors, arrays, numbers, lists, models.
        kwargs: Likewise, by name.
    """

    def __init__(self, label: str, *args: Any, **kwargs: Any) -> None:
        self.label, self.args, self.kwargs = label, args, kwargs


@dataclass(frozen=True)
class Bug:
    """A mistake that people make, and what to tell them.

    Args:
        name: Short, ``"half_split"``; the one of :data:`llama_tutorial.bugs.BUGS` if it is there.
        says: What theirs does, in a sentence or two that speak to them: "Your pairs are
            half-split: position 0 is right, position 1 is not." Never the right code.
        edit: The right piece of the solution's text, which occurs in it once, and the wrong one.
        more: Further edits that belong to the same mistake.
        wrong: In place of ``edit``: a function (or class) with the mistake. With an edit, a mistake
            is also found beside another one.
        effect: What it does to a model, in a sentence; by default what the museum says.
        look: What to look at, as a question or a pointer; not the answer.
        museum: Whether the chapter's page has it in its museum, which the message then links to; by
            default if ``name`` is one of the museum's.
        also: Names of bugs of the same task that no case can tell from this one. Empty, if you can
            find a case that does.
    """

    name: str
    says: str
    edit: tuple[str, str] | None = None
    more: tuple[tuple[str, str], ...] = ()
    wrong: Any = None
    effect: str = ""
    look: str = ""
    museum: bool | None = None
    also: tuple[str, ...] = ()


def call(answer: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """The ordinary use of an answer: one call."""
    return answer(*args, **kwargs)


@dataclass(frozen=True)
class Task:
    """One function or class to write.

    The learner's outputs are compared with those of ``solutions/<chapter>.py``, case by case. They
    may come about in any way: what counts is the result, up to ``tolerance``.

    Args:
        name: ``chapter.function``; the solution is found by it.
        cases: Makes the :class:`Case` list, the same in each call: draw from a generator of your
            own (``torch.Generator().manual_seed(0)``). Small, a few milliseconds all together; the
            first the simplest. Every bug must show in some case, and no two bugs look alike.
        bugs: At least three, the likeliest first.
        hints: Three, from a nudge to nearly the line. Never the line itself.
        minutes: How long it takes who has read the chapter.
        page: Anchor on the chapter's page where this is explained: ``"#rope-stretch"``, ids of the
            headings as Sphinx makes them from their text, or labels. Empty for the page itself.
        teaches: What you know once it is right, one sentence, said on success.
        use: How a case uses an answer: ``use(answer, *args, **kwargs)`` returns what is compared
            (numbers, strings, tensors, arrays, None; lists, tuples and dicts of them). For a class:
            make it, give it weights, run it.
        tolerance: Largest difference of a number, relative to the largest of the right answer (or
            to 1, where that is less).
        same_dtype: Whether floats must have the dtype of the solution's; otherwise only the kind
            counts (float, integer, bool).
        changes: Names of arguments that an answer is meant to change in place. All others must
            stay as they are.
        fresh: Whether the result must not share memory with an argument.
        cut: For a class: the methods whose bodies the stub leaves out.
        properties: Further tests, after the cases: ``property(answer)`` returns a sentence that
            says what is wrong, or None.
        seconds: What an answer may take for all cases together.
        extra: A further task, from the chapter's exercises: no other task and no later chapter
            calls it. It stands behind the tasks of the way, in ``TASKS`` and in the module.
    """

    name: str
    cases: Callable[[], Sequence[Case]]
    bugs: Sequence[Bug] = field(default_factory=list)
    hints: Sequence[str] = field(default_factory=list)
    minutes: int = 5
    page: str = ""
    teaches: str = ""
    use: Use = call
    tolerance: float | int = 1e-5
    same_dtype: bool = False
    changes: tuple[str, ...] = ()
    fresh: bool = False
    cut: tuple[str, ...] = ("forward",)
    properties: Sequence[Callable[[Any], str | None]] = ()
    seconds: float | int = 5.0
    extra: bool = False

    @property
    def chapter(self) -> str:
        """``rope`` of ``rope.rotate``."""
        return self.name.partition(".")[0]

    @property
    def function(self) -> str:
        """``rotate`` of ``rope.rotate``."""
        return self.name.partition(".")[2]
