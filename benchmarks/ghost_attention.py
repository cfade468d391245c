"""Does ghost attention make the small chat model keep an instruction that is said once?

    python benchmarks/ghost_attention.py --out runs/ghost
    python benchmarks/ghost_attention.py --out runs/ghost --json PATH

where PATH is ``llama_tutorial/data/ghost_attention.json`` for the book's numbers.

``tales-chat`` knows no instructions, so each seed first teaches it two: *You are a duck.*, and its
answer ends with *Quack!*. Most lessons are dialogs of one to three turns that say the instruction
on each; a few are long and say it in their last turn. Ordinary dialogs between them keep it from
quacking unasked. That is "before". Then the model answers dialogs of twenty questions about several
tales with the instruction on every turn, and learns last answers of these that keep it, with the
instruction on the first turn alone: "after". Both models are asked about tales of the test split,
with the instruction on the first turn alone: how many answers keep it, by turn? And without an
instruction: how many are still right, and how many quack?

Twenty turns need a context of 1,536 tokens: about 140 for each tale, of which there are several
since none has twenty questions, and nearly 50 for each turn that says the instruction again. The
shipped model has learned positions up to 512. RoPE has angles for all others, but only the long
dialogs teach the model to read them. About ten minutes a seed on one thread. A seed that has a
result is not run again.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import chain, count, islice
from pathlib import Path
from random import Random
from typing import Any

import torch
from recorded_runs import record

from llama_tutorial import Transformer, load
from llama_tutorial.chat.dialog import Dialog, encode_dialog
from llama_tutorial.chat.session import ChatSession
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
from llama_tutorial.tales.dialogs import Message, messages
from llama_tutorial.training.loop import TrainConfig, train

CONTEXT, TURNS = 1536, 20
SOUNDS = {
    "You are a duck.": "Quack!",
    "You are a cat.": "Meow!",
}
SEEDS = (0, 1, 2)


def main() -> None:
    """Run the seeds that have no result, then put all into one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder of the runs")
    parser.add_argument("--json", type=Path, help="write all results to this file too")
    parser.add_argument("--seeds", type=int, nargs="+", default=SEEDS)
    parser.add_argument("--lessons", type=int, default=1000, help="dialogs to teach with")
    parser.add_argument("--dialogs", type=int, default=36, help="sampled for ghost attention")
    parser.add_argument("--asked", type=int, default=12, help="dialogs to measure with")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.out.mkdir(parents=True, exist_ok=True)
    found = {
        str(seed): once(arguments.out / f"seed{seed}.json", partial(run, arguments, seed))
        for seed in arguments.seeds
    }
    if arguments.json is not None:
        seeds = " ".join(found)
        command = f"python benchmarks/ghost_attention.py --out OUT --seeds {seeds} --json PATH"
        settings = {"turns": TURNS, "context": CONTEXT, "sounds": SOUNDS, "asked": arguments.asked}
        record(arguments.json, command, {**settings, "seeds": found, "means": means(found)})


def once(file: Path, measure: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """A result, which is read from its file where it was noted before."""
    if not file.exists():
        file.write_text(json.dumps(measure()) + "\n", encoding="utf-8")
    return json.loads(file.read_text(encoding="utf-8"))


def run(arguments: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Teach the instructions, measure, make data and learn from it, measure again."""
    model, tokenizer = with_context(CONTEXT)
    out = arguments.out / f"seed{seed}"
    first = 1_000_000 * (50 + seed)
    shipped = right_answers(model, tokenizer)

    taught = lessons(tokenizer, arguments.lessons, first, seed)
    taught += late(tokenizer, arguments.lessons // 25, first + 300_000)
    ordinary = plain(tokenizer, arguments.lessons // 50, first + 400_000)
    learn(model, taught + ordinary, out / "taught", seed, lr=2e-3)
    measure = partial(measured, model, tokenizer, arguments.asked)
    before = once(arguments.out / f"seed{seed}-before.json", measure)
    print(f"seed {seed} before: {before}", flush=True)

    told = islice(about_tales(tokenizer, "train", first + 500_000), arguments.dialogs)
    rows = [(list(SOUNDS)[i % len(SOUNDS)], asked) for i, asked in enumerate(told)]
    sampled = sample(model, tokenizer, rows, on_every_turn)
    instructions = [row[0] for row in rows]
    print(f"seed {seed} sampled: {kept_by_turn(sampled, instructions)}", flush=True)
    data = ghost_examples(sampled, instructions, tokenizer, seed)
    ordinary = plain(tokenizer, arguments.dialogs, first + 900_000)
    learn(model, data + ordinary, out / "ghost", seed, lr=1e-3, epochs=3)
    after = measure()
    print(f"seed {seed} after: {after}", flush=True)
    return {
        "shipped": shipped,
        "lessons": len(taught),
        "sampled": len(sampled),
        "sampled_kept": kept_by_turn(sampled, instructions),
        "ghost_examples": len(data),
        "before": before,
        "after": after,
    }


def with_context(context: int) -> tuple[Transformer, Any]:
    """``tales-chat`` with room for so many positions; it has learned none beyond its own 512."""
    shipped, tokenizer = load("tales-chat", dtype=torch.float32)
    model = Transformer(shipped.config.replace(max_seq_len=context))
    model.load_state_dict(shipped.state_dict())
    return model, tokenizer


# -- data ---------------------------------------------------------------------------------------


def about_tales(tokenizer: Any, split: str, first: int) -> Iterator[list[tuple[str, str]]]:
    """Questions, with the right answers, for a dialog of so many turns about several tales.

    Each tale stands before its first question, and all questions until the next are about it, none
    twice. The tales of a dialog share nobody. Only dialogs with room for the instruction on every
    turn are taken.
    """
    told = chain.from_iterable(tales(200, split, number) for number in count(first, 200))
    while True:
        turns: list[tuple[str, str]] = []
        met: set[str] = set()
        while len(turns) < TURNS:
            tale = next(tale for tale in told if met.isdisjoint(tale.facts.beings))
            asked = asked_of(tale)
            Random(f"ghost/{split}/{tale.seed}").shuffle(asked)
            turns += with_tale(tale, asked)
            met.update(tale.facts.beings)
        if fits(tokenizer, turns[:TURNS]):
            yield turns[:TURNS]


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
    """An answer as the instruction wants it; the answer itself where there is none."""
    return f"{answer} {SOUNDS.get(instruction, '')}".strip()


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
    """Ordinary dialogs, without any instruction, as long as those that are measured."""
    told = islice(about_tales(tokenizer, "train", first), n)
    return [encode_example(messages(turns), tokenizer) for turns in told]


def late(tokenizer: Any, n: int, first: int) -> list[Example]:
    """Dialogs of 4 turns to all, ordinary up to the last, which says an instruction."""
    found = []
    for i, turns in enumerate(islice(about_tales(tokenizer, "train", first), n)):
        instruction = list(SOUNDS)[i % len(SOUNDS)]
        *before, (text, answer) = turns[: Random(f"late/{first + i}").randint(4, TURNS)]
        last = on_every_turn(instruction, messages([(text, keeping(instruction, answer))]))
        found.append(encode_example([*messages(before), *last], tokenizer))
    return found


def sample(
    model: Transformer,
    tokenizer: Any,
    rows: Sequence[tuple[str, list[tuple[str, str]]]],
    place: Callable[[str, Dialog], list[Message]],
) -> list[list[Message]]:
    """The model's own dialogs, as ``sample_dialog`` makes them, but with a cache from turn to turn.

    Args:
        model: The model.
        tokenizer: Its tokenizer.
        rows: An instruction, and questions with right answers, which are not used.
        place: Where the instruction stands.
    """
    found = []
    for instruction, asked in rows:
        session = ChatSession(model, tokenizer, max_new_tokens=ANSWER_TOKENS, temperature=0)
        placed = place(instruction, messages(asked))
        session.reset(placed[0]["content"] if placed[0]["role"] == "system" else None)
        texts = [message["content"] for message in placed if message["role"] == "user"]
        answers = ["".join(session.say(text)).strip() or "..." for text in texts]
        found.append(messages(list(zip([text for text, _ in asked], answers, strict=True))))
    return found


def nowhere(_: str, dialog: Dialog) -> list[Message]:
    """The dialog without the instruction."""
    return [dict(message) for message in dialog]


def ghost_examples(
    sampled: Sequence[Dialog], instructions: Sequence[str], tokenizer: Any, seed: int
) -> list[Example]:
    """Up to four beginnings of each dialog whose last answer, which is learned, keeps it."""
    random, found = Random(f"ghost/{seed}"), []
    for dialog, instruction in zip(sampled, instructions, strict=True):
        ends = [n for n in range(2, len(dialog) + 1, 2) if keeps(instruction, dialog[n - 1])]
        for end in random.sample(ends, min(4, len(ends))):
            found.append(ghost_example(instruction, dialog[:end], tokenizer))
    return found


def learn(
    model: Transformer, examples: list[Example], out: Path, seed: int, *, lr: float, epochs: int = 2
) -> None:
    """Fine-tune in place."""
    torch.manual_seed(seed)
    packed = PackedExamples(examples, 2, CONTEXT, seed=seed)
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
        "right_without": round(right_and_kept(silent, [("", asked) for asked in told]), 4),
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
