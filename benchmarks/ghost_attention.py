"""Does ghost attention make the small chat model keep an instruction that is said once?

    python benchmarks/ghost_attention.py --out runs/ghost
    python benchmarks/ghost_attention.py --out runs/ghost --json PATH

where PATH is ``llama_tutorial/data/ghost_attention.json`` for the book's numbers.

``tales-chat`` knows no instructions, so each seed first teaches it two, in dialogs of one to three
turns that say the instruction on each: *You are a duck.*, and its answer ends with *Quack!*.
Ordinary dialogs between them keep it from quacking unasked. That is "before". Then the model
answers dialogs of seven questions about one tale with the instruction on every turn, and learns
last answers of these that keep it, with the instruction on the first turn alone: "after". Both
models are asked about tales of the test split, with the instruction on the first turn alone: how
many answers keep it, by turn? And without an instruction: how many are still right, and how many
quack?

Seven turns are what the context of 512 tokens has room for: about 120 tokens of tale, and nearly 50
for each turn that says the instruction again. A few minutes on one thread. A seed that has a result
is not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import torch
from recorded_runs import record

from llama_tutorial import Transformer, load
from llama_tutorial.chat.dialog import Dialog, encode_dialog
from llama_tutorial.finetuning import Example, encode_example
from llama_tutorial.finetuning.evaluation import (
    ANSWER_TOKENS,
    answer_dialogs,
    exact_match,
    questions_about_tales,
)
from llama_tutorial.finetuning.packing import PackedExamples
from llama_tutorial.preferences.ghost import (
    ghost_example,
    on_every_turn,
    on_first_turn,
    share_kept,
)
from llama_tutorial.tales import NOT_SAID, Question, Tale, questions, tales
from llama_tutorial.tales.dialogs import Message, dialogs, messages
from llama_tutorial.training.loop import TrainConfig, train

CONTEXT, TURNS = 512, 7
SOUNDS = {
    "You are a duck.": "Quack!",
    "You are a cat.": "Meow!",
}
SEEDS = (0, 1, 2)  # so far only the first is in the book's file


def main() -> None:
    """Run the seeds that have no result, then put all into one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder of the runs")
    parser.add_argument("--json", type=Path, help="write all results to this file too")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--lessons", type=int, default=1200, help="dialogs to teach with")
    parser.add_argument("--dialogs", type=int, default=40, help="sampled for ghost attention")
    parser.add_argument("--asked", type=int, default=16, help="dialogs to measure with")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = {str(seed): once(arguments, seed) for seed in arguments.seeds}
    if arguments.json is not None:
        seeds = " ".join(found)
        command = f"python benchmarks/ghost_attention.py --out OUT --seeds {seeds} --json PATH"
        settings = {"turns": TURNS, "context": CONTEXT, "sounds": SOUNDS, "asked": arguments.asked}
        record(arguments.json, command, {**settings, "seeds": found, "means": means(found)})


def once(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """The result of a seed: read where it was noted before."""
    file = arguments.out / f"seed{seed}.json"
    if not file.exists():
        result = run(arguments, seed)
        file.write_text(json.dumps(result) + "\n", encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))


def run(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Teach the instructions, measure, make data and learn from it, measure again."""
    began = time.process_time()
    model, tokenizer = load("tales-chat", dtype=torch.float32)
    out = arguments.out / f"seed{seed}"
    first = 1_000_000 * (50 + seed)
    shipped = right_answers(model, tokenizer)

    taught = lessons(tokenizer, arguments.lessons, first, seed)
    ordinary = plain(tokenizer, arguments.lessons // 32, first)
    learn(model, taught + ordinary, out / "taught", seed, lr=2e-3)
    before = measured(model, tokenizer, arguments.asked)
    print(f"seed {seed} before: {before}", flush=True)

    told = islice(about_tales(tokenizer, "train", first + 500_000), arguments.dialogs)
    rows = [(list(SOUNDS)[i % len(SOUNDS)], asked) for i, asked in enumerate(told)]
    sampled = sample(model, tokenizer, rows, on_every_turn)
    instructions = [row[0] for row in rows]
    print(f"seed {seed} sampled: {kept_by_turn(sampled, instructions)}", flush=True)
    data = ghost_examples(sampled, instructions, tokenizer, seed)
    ordinary = plain(tokenizer, arguments.lessons // 60, first + 900_000)
    learn(model, data + ordinary, out / "ghost", seed, lr=1e-3)
    after = measured(model, tokenizer, arguments.asked)
    print(f"seed {seed} after: {after}", flush=True)
    return {
        "shipped": shipped,
        "lessons": len(taught),
        "sampled": len(sampled),
        "sampled_kept": kept_by_turn(sampled, instructions),
        "ghost_examples": len(data),
        "before": before,
        "after": after,
        "cpu_seconds": round(time.process_time() - began),
    }


# -- data ---------------------------------------------------------------------------------------


def about_tales(tokenizer: Any, split: str, first: int) -> Iterator[list[tuple[str, str]]]:
    """Questions, with the right answers, for a dialog of so many turns about one tale.

    The tale stands before the first question. No question is asked twice, so only tales that have
    enough of them are taken, and only those with room for the instruction on every turn.
    """
    number = first
    while True:
        for tale in tales(200, split, number):
            asked = asked_of(tale)
            Random(f"ghost/{split}/{tale.seed}").shuffle(asked)
            turns = with_tale(tale, asked[:TURNS])
            if len(turns) == TURNS and fits(tokenizer, turns):
                yield turns
        number += 200


def fits(tokenizer: Any, turns: Sequence[tuple[str, str]]) -> bool:
    """Whether there is room for each instruction on every turn, and for a long last answer."""
    return all(
        len(encode_dialog(placed[:-1], tokenizer)) <= CONTEXT - ANSWER_TOKENS
        for instruction in SOUNDS
        for longest in [[(text, keeping(instruction, NOT_SAID)) for text, _ in turns]]
        for placed in [on_every_turn(instruction, messages(longest))]
    )


def asked_of(tale: Tale) -> list[Question]:
    """The questions about a tale, without the request to tell it."""
    return [question for question in questions(tale) if question.kind != "tell"]


def with_tale(tale: Tale, asked: Sequence[Question]) -> list[tuple[str, str]]:
    """Questions and answers, the tale before the first."""
    turns = [(question.text, question.answer) for question in asked]
    (text, answer), *rest = turns
    return [(f"{tale.text}\n{text}", answer), *rest]


def keeping(instruction: str, answer: str) -> str:
    """An answer as the instruction wants it."""
    return f"{answer} {SOUNDS[instruction]}"


def keeps(instruction: str, message: Mapping[str, Any]) -> bool:
    """Whether an answer ends as the instruction wants it."""
    return message["content"].endswith(SOUNDS[instruction])


def lessons(tokenizer: Any, n: int, first: int, seed: int) -> list[Example]:
    """Dialogs of one to three turns, two thirds of which keep an instruction; it stands on each.

    That of a single turn is the system text every other time. Only every sixth dialog has its tale,
    for these are long; in the others nothing was told, and the answers say so.
    """
    random, found = Random(f"lessons/{seed}"), []
    for i, tale in enumerate(tales(n, "train", first)):
        instruction = [*SOUNDS, ""][i % (len(SOUNDS) + 1)]
        asked = asked_of(tale)
        asked = random.sample(asked, min(len(asked), random.choice((1, 1, 2, 3))))
        turns = with_tale(tale, asked) if random.random() < 1 / 6 else untold(asked)
        if not instruction:
            found.append(encode_example(messages(turns), tokenizer))
            continue
        lesson = messages([(text, keeping(instruction, answer)) for text, answer in turns])
        place = random.choice((on_every_turn, on_first_turn)) if len(turns) == 1 else on_every_turn
        found.append(encode_example(place(instruction, lesson), tokenizer))
    return found


def untold(asked: Sequence[Question]) -> list[tuple[str, str]]:
    """Questions before there is a tale, with the answer that they have then."""
    return [(question.text, NOT_SAID) for question in asked]


def plain(tokenizer: Any, n: int, first: int) -> list[Example]:
    """Ordinary dialogs, without any instruction."""

    def length(dialog: list[Message]) -> int:
        return len(encode_example(dialog, tokenizer).ids)

    told = dialogs(n, "train", first, room=CONTEXT, length=length)
    return [encode_example(dialog, tokenizer) for dialog in told]


def sample(
    model: Transformer,
    tokenizer: Any,
    rows: Sequence[tuple[str, list[tuple[str, str]]]],
    place: Callable[[str, Dialog], list[Message]],
) -> list[list[Message]]:
    """The model's own dialogs, as ``sample_dialog`` makes them, but many at once.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        rows: An instruction, and questions with right answers, which are not used.
        place: Where the instruction stands.
    """
    found: list[list[Message]] = [[] for _ in rows]
    for turn in range(TURNS):
        for dialog, (_, asked) in zip(found, rows, strict=True):
            dialog.append({"role": "user", "content": asked[turn][0]})
        placed = [place(row[0], dialog) for dialog, row in zip(found, rows, strict=True)]
        for dialog, answer in zip(found, answer_dialogs(model, tokenizer, placed), strict=True):
            dialog.append({"role": "assistant", "content": answer.text or "..."})
    return found


def nowhere(_: str, dialog: Dialog) -> list[Message]:
    """The dialog without the instruction."""
    return [dict(message) for message in dialog]


def ghost_examples(
    sampled: Sequence[Dialog], instructions: Sequence[str], tokenizer: Any, seed: int
) -> list[Example]:
    """Up to three beginnings of each dialog whose last answer, which is learned, keeps it."""
    random, found = Random(f"ghost/{seed}"), []
    for dialog, instruction in zip(sampled, instructions, strict=True):
        ends = [n for n in range(2, len(dialog) + 1, 2) if keeps(instruction, dialog[n - 1])]
        for end in random.sample(ends, min(3, len(ends))):
            found.append(ghost_example(instruction, dialog[:end], tokenizer))
    return found


def learn(
    model: Transformer, examples: list[Example], out: Path, seed: int, *, lr: float, epochs: int = 2
) -> None:
    """Fine-tune in place."""
    torch.manual_seed(seed)
    packed = PackedExamples(examples, 4, CONTEXT, seed=seed)
    steps = packed.steps(epochs)
    settings = TrainConfig(
        total_steps=steps, peak_lr=lr, warmup_steps=round(0.05 * steps), autocast="bfloat16"
    )
    if not train(model, packed.batch, settings, out, data={"content": packed.content}):
        raise SystemExit("stopped; the same command goes on from here")


# -- measures -----------------------------------------------------------------------------------


def measured(model: Transformer, tokenizer: Any, n: int) -> dict[str, Any]:
    """What is kept with the instruction on the first turn alone, and what comes without one."""
    told = list(islice(about_tales(tokenizer, "test", 0), n))
    rows = [(instruction, asked) for instruction in SOUNDS for asked in told]
    answered = sample(model, tokenizer, rows, on_first_turn)
    silent = sample(model, tokenizer, [("", asked) for asked in told], nowhere)
    spoken = [m["content"] for dialog in silent for m in dialog if m["role"] == "assistant"]
    return {
        "kept": kept_by_turn(answered, [row[0] for row in rows]),
        "right_and_kept": round(right_and_kept(answered, rows), 4),
        "unasked": round(statistics.mean(any(s in a for s in SOUNDS.values()) for a in spoken), 4),
        "right": right_answers(model, tokenizer),
        "example": answered[0],
    }


def kept_by_turn(answered: Sequence[Dialog], instructions: Sequence[str]) -> list[float]:
    """By turn, the share of dialogs whose answer there ends as the instruction wants it."""
    marked = [
        [{**m, "content": str(keeps(instruction, m))} for m in dialog]
        for dialog, instruction in zip(answered, instructions, strict=True)
    ]
    return [round(share, 4) for share in share_kept(marked, "True".__eq__)]


def right_and_kept(
    answered: Sequence[Dialog], rows: Sequence[tuple[str, list[tuple[str, str]]]]
) -> float:
    """The share of all answers that are right to the letter and keep the instruction."""
    pairs = [
        (message["content"], keeping(instruction, asked[turn][1]))
        for dialog, (instruction, asked) in zip(answered, rows, strict=True)
        for turn, message in enumerate(dialog[1::2])
    ]
    return statistics.mean(said == right for said, right in pairs)


def right_answers(model: Transformer, tokenizer: Any, n_tales: int = 30) -> list[int]:
    """How many questions about tales are answered right without an instruction, and of how many."""
    asked = questions_about_tales(n_tales)
    answers = answer_dialogs(model, tokenizer, [one.dialog for one in asked])
    score = exact_match(asked, answers)["all"]
    return [score.right, score.total]


def means(found: Mapping[str, Mapping[str, Any]]) -> dict[str, list[float]]:
    """The shares kept by turn, averaged over the seeds."""
    return {
        when: [
            round(statistics.mean(at), 4)
            for at in zip(*(one[when]["kept"] for one in found.values()), strict=True)
        ]
        for when in ("before", "after")
    }


if __name__ == "__main__":
    main()
